//! Every key, with its default and what may stand there.

/// What a key is when nobody sets it, which also says of what kind it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Default {
    /// A text.
    Text(&'static str),
    /// A whole number.
    Number(u64),
    /// `true` or `false`.
    Flag(bool),
    /// A text, unset.
    NoText,
    /// A text that is never shown, unset.
    NoSecret,
    /// A list of texts, empty.
    NoTexts,
    /// A list of tables, empty.
    NoTables,
}

/// One key.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Where it stands: `section.key`.
    pub path: &'static str,
    /// Its default.
    pub default: Default,
    /// What may stand there, as the end of "write ...".
    pub shape: &'static str,
}

/// When a change on the page takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applies {
    /// At once.
    AtOnce,
    /// At the next start of the box.
    NextStart,
    /// It can not be changed there, and why.
    Never(&'static str),
}

/// Keys whose change takes effect at once.
const AT_ONCE: &[&str] = &[
    "venue.name",
    "venue.timezone",
    "web.public_host",
    "web.open_preview",
    "accounts.registration",
    "queue.turn_seconds",
    "queue.rejoin_seconds",
    "queue.restart_grace_seconds",
    "queue.hold_off_seconds",
    "queue.stall_limit_seconds",
    "queue.overtime",
    "queue.block",
    "program.slate_sound",
    "program.idle_end_minutes",
    "obs.host",
    "obs.port",
    "obs.password",
    "obs.only_our_scenes",
    "obs.scene_on_air",
    "obs.scene_slate",
    "obs.scene_handover",
    "obs.handover_seconds",
    "obs.show_on_air",
    "obs.show_next",
    "obs.show_slate",
    "obs.text_streamer",
    "obs.text_next",
    "obs.text_time",
    "obs.restart_at_take",
    "obs.program_source",
    "obs.stream",
];

/// Keys that the page shows and does not change, with the reason: whoever gets hold of an admin's session must not gain the
/// machine by it.
const NEVER: &[(&str, &str)] = &[
    ("data_dir", "the page's own settings lie in it"),
    ("admin.token", "it is set where the box is installed"),
    ("ingest.srs.binary", "it names a program; set it where the box is installed"),
    ("ingest.srs.config", "it names a file; set it where the box is installed"),
    ("ingest.srs.unit", "it names a service; set it where the box is installed"),
    ("ingest.srs.hooks_secret", "it is set where the box is installed"),
    ("program.slate", "upload a picture instead"),
    ("box.boot_dir", "it is set by the image"),
    ("box.updates", "it is set by the image"),
    ("destinations", "these are set where the box is installed; others are added on the page of destinations"),
];

/// The commented reference of all keys.
const REFERENCE: &str = include_str!("../../config/motherstream.toml");

const LOOPBACK: &str = "a loopback address and a port, such as \"127.0.0.1:1985\"";
const SCENE: &str = "the name of a scene of that OBS";
const SOURCE: &str = "the name of a source of that OBS";
const SOURCES: &str = "a list of names of sources of that OBS, such as [\"Timer\"]";
const SECONDS: &str = "a whole number of seconds";

const fn key(path: &'static str, default: Default, shape: &'static str) -> Key {
    Key { path, default, shape }
}

/// All keys, in the order of `config/motherstream.toml`, which explains them.
pub const KEYS: &[Key] = &[
    key("data_dir", Default::Text("./data"), "a folder, such as \"/var/lib/motherstream\""),
    key("venue.name", Default::Text("Motherstream"), "a name, such as \"Blue Room\""),
    key("venue.timezone", Default::NoText, "a time zone, such as \"Europe/Berlin\""),
    key("web.listen", Default::Text("0.0.0.0:8080"), "an address and a port, such as \"0.0.0.0:8080\""),
    key(
        "web.https_listen",
        Default::Text("0.0.0.0:8443"),
        "an address and a port, such as \"0.0.0.0:8443\", or \"off\"",
    ),
    key("web.public_host", Default::NoText, "a name or an address, such as \"stream.example.org\""),
    key("web.open_preview", Default::Flag(false), "true or false"),
    key("web.session_idle_hours", Default::Number(720), "a whole number of hours"),
    key("web.session_max_days", Default::Number(90), "a whole number of days"),
    key("admin.token", Default::NoSecret, "a text in quotes, 16 characters or more"),
    key("accounts.registration", Default::Text("open"), "\"open\", \"invite\", \"approval\" or \"closed\""),
    key("ingest.kind", Default::Text("auto"), "\"auto\", \"srs\" or \"embedded\""),
    key("ingest.app", Default::Text("live"), "a word, such as \"live\""),
    key("ingest.rtmp_listen", Default::Text("0.0.0.0:1935"), "an address and a port, such as \"0.0.0.0:1935\""),
    key("ingest.max_publishers", Default::Number(100), "a whole number"),
    key("ingest.handshake_seconds", Default::Number(10), SECONDS),
    key("ingest.silence_seconds", Default::Number(30), SECONDS),
    key("ingest.srs.binary", Default::Text("srs"), "a path, or a name in PATH, such as \"srs\""),
    key("ingest.srs.config", Default::Text("srs.conf"), "the path of SRS's configuration file"),
    key("ingest.srs.api_listen", Default::Text("127.0.0.1:1985"), LOOPBACK),
    key("ingest.srs.http_listen", Default::Text("127.0.0.1:8086"), LOOPBACK),
    key("ingest.srs.hooks_listen", Default::Text("127.0.0.1:8085"), LOOPBACK),
    key("ingest.srs.srt_listen", Default::Text("0.0.0.0:10080"), "an address and a port, such as \"0.0.0.0:10080\""),
    key("ingest.srs.rtc_listen", Default::Text("0.0.0.0:8000"), "an address and a port, such as \"0.0.0.0:8000\""),
    key("ingest.srs.unit", Default::NoText, "the name of a systemd unit, such as \"motherstream-srs.service\""),
    key("ingest.srs.api_url", Default::NoSecret, "the address of an SRS's API, such as \"http://10.0.0.5:1985\""),
    key("ingest.srs.rtmp_url", Default::NoText, "where streamers publish, such as \"rtmp://10.0.0.5/live\""),
    key("ingest.srs.http_url", Default::NoText, "an SRS's HTTP server, such as \"http://10.0.0.5:8080\""),
    key("ingest.srs.hooks_allow", Default::NoTexts, "a list of addresses, such as [\"10.0.0.5\"]"),
    key("ingest.srs.hooks_secret", Default::NoSecret, "a text in quotes, 16 letters and digits or more"),
    key("queue.turn_seconds", Default::Number(3600), SECONDS),
    key("queue.rejoin_seconds", Default::Number(15), SECONDS),
    key("queue.restart_grace_seconds", Default::Number(60), SECONDS),
    key("queue.hold_off_seconds", Default::Number(300), SECONDS),
    key("queue.stall_limit_seconds", Default::Number(20), SECONDS),
    key("queue.overtime", Default::Flag(true), "true or false"),
    key("queue.block", Default::Flag(false), "true or false"),
    key("program.latency_ms", Default::Number(1500), "a whole number of milliseconds"),
    key("program.house_format", Default::Text("audio"), "\"off\" or \"audio\""),
    key("program.slate", Default::NoText, "the path of a PNG or JPEG picture"),
    key("program.slate_sound", Default::Text("silence"), "\"silence\" or \"tone\""),
    key("program.idle_end_minutes", Default::Number(30), "a whole number of minutes"),
    key("obs.host", Default::NoText, "a name or an address, such as \"10.0.0.7\""),
    key("obs.port", Default::Number(4455), "a port from 1 to 65535"),
    key("obs.password", Default::NoSecret, "a text in quotes"),
    key("obs.only_our_scenes", Default::Flag(true), "true or false"),
    key("obs.scene_on_air", Default::NoText, SCENE),
    key("obs.scene_slate", Default::NoText, SCENE),
    key("obs.scene_handover", Default::NoText, SCENE),
    key("obs.handover_seconds", Default::Number(3), SECONDS),
    key("obs.show_on_air", Default::NoTexts, SOURCES),
    key("obs.show_next", Default::NoTexts, SOURCES),
    key("obs.show_slate", Default::NoTexts, SOURCES),
    key("obs.text_streamer", Default::NoText, SOURCE),
    key("obs.text_next", Default::NoText, SOURCE),
    key("obs.text_time", Default::NoText, SOURCE),
    key("obs.restart_at_take", Default::NoTexts, SOURCES),
    key("obs.program_source", Default::NoText, SOURCE),
    key("obs.stream", Default::Flag(false), "true or false"),
    key("box.boot_dir", Default::NoText, "the folder where the boot partition is mounted"),
    key("box.updates", Default::Flag(false), "true or false"),
    key("destinations", Default::NoTables, "[[destinations]] with name, url, key and enabled"),
];

/// The keys of one destination.
pub(super) const DESTINATION_KEYS: &[&str] = &["name", "url", "key", "enabled"];

/// The key at `path`.
pub(super) fn find(path: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.path == path)
}

/// Whether keys lie below `path`, such as `ingest` or `ingest.srs`.
pub(super) fn is_section(path: &str) -> bool {
    KEYS.iter().any(|key| key.path.strip_prefix(path).is_some_and(|rest| rest.starts_with('.')))
}

impl Key {
    /// Whether its value is a text: then a variable's value is taken as it is, `42` and `true` included.
    pub(super) const fn is_text(&self) -> bool {
        matches!(self.default, Default::Text(_) | Default::NoText | Default::NoSecret)
    }

    /// What its number counts, if it is one that counts something.
    pub fn unit(&self) -> Option<&'static str> {
        let units = [
            ("_ms", "milliseconds"),
            ("_seconds", "seconds"),
            ("_minutes", "minutes"),
            ("_hours", "hours"),
            ("_days", "days"),
        ];
        units.iter().find(|(ending, _)| self.path.ends_with(ending)).map(|(_, unit)| *unit)
    }

    /// When a change on the page takes effect.
    pub fn applies(&self) -> Applies {
        if let Some((_, why)) = NEVER.iter().find(|(path, _)| *path == self.path) {
            Applies::Never(why)
        } else if AT_ONCE.contains(&self.path) {
            Applies::AtOnce
        } else {
            Applies::NextStart
        }
    }

    /// Whether a backup may bring it back. What gains the machine when the page sets it gains it by a backup too; pictures and destinations
    /// are the page's own.
    pub(super) fn is_restored(&self) -> bool {
        !matches!(self.applies(), Applies::Never(_)) || matches!(self.path, "program.slate" | "destinations")
    }

    /// What it means: the comment above it in `config/motherstream.toml`. Keys that stand together share one.
    pub fn about(&self) -> String {
        let (wanted_section, name) = self.path.rsplit_once('.').unwrap_or(("", self.path));
        let (mut section, mut comment, mut taken) = (String::new(), Vec::new(), false);
        for line in REFERENCE.lines() {
            let bare = line.strip_prefix("# ").unwrap_or(line);
            let named = bare.split_once(" = ").map(|(name, _)| name);
            if line.starts_with('[') || bare.starts_with("[[") {
                bare.trim_matches(['[', ']']).clone_into(&mut section);
                if bare.starts_with("[[") && section == self.path {
                    return comment.join(" ");
                }
                (taken, comment) = (false, Vec::new());
            } else if named.is_some_and(|name| name.chars().all(|c| c.is_ascii_lowercase() || c == '_')) {
                if section == wanted_section && named == Some(name) {
                    return comment.join(" ");
                }
                taken = true;
            } else if let Some(text) = line.strip_prefix("# ") {
                if std::mem::take(&mut taken) {
                    comment.clear();
                }
                comment.push(text);
            } else {
                (taken, comment) = (false, Vec::new());
            }
        }
        String::new()
    }

    /// Whether its value, or a part of it, is never shown.
    pub(super) const fn is_secret(&self) -> bool {
        matches!(self.default, Default::NoSecret | Default::NoTables)
    }
}

/// The known key that `path` was most likely meant to be.
pub(super) fn suggestion(path: &str) -> Option<&'static str> {
    let last = |path: &str| path.rsplit('.').next().unwrap_or_default().to_owned();
    let likeness = |known: &str| {
        // The right key in the wrong section is as good as a slip of the pen in the right one.
        let whole = strsim::jaro_winkler(&path.replace('.', "_"), &known.replace('.', "_"));
        let end = strsim::jaro_winkler(&last(path), &last(known)) - 0.02;
        whole.max(end)
    };
    KEYS.iter()
        .map(|key| (key.path, likeness(key.path)))
        .filter(|(_, likeness)| *likeness > 0.85)
        .max_by(|(_, one), (_, other)| one.total_cmp(other))
        .map(|(path, _)| path)
}
