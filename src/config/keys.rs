//! Every key, a row for each: what it holds, what it is called, and when a change of it takes effect. Sample configuration, page, API and
//! `doctor` are made from these rows, or checked against them.

use std::ops::RangeInclusive;

use figment::value::Value;

use self::Applies::{AtOnce, Elsewhere, Never, NextStart};

/// One key of the configuration: a row that holds all that is known of it.
#[derive(Debug, PartialEq, Eq)]
pub struct Key {
    /// Where it stands: `section.key`.
    pub path: &'static str,
    /// What it holds, and what it is when nobody sets it.
    pub kind: ValueKind,
    /// What the page calls it.
    pub label: &'static str,
    /// When a change on the page takes effect.
    pub applies: Applies,
}

/// What a key holds, and what it is when nobody sets it. A `shape` says what may stand there, as the end of "write ...".
#[derive(Debug, PartialEq, Eq)]
pub enum ValueKind {
    /// A text; unset where `default` is none.
    Text {
        /// When nobody sets it.
        default: Option<&'static str>,
        /// What may stand there.
        shape: &'static str,
    },
    /// A text that is never shown, unset.
    Secret {
        /// What may stand there.
        shape: &'static str,
    },
    /// An address and a port to listen on.
    Address {
        /// When nobody sets it.
        default: &'static str,
    },
    /// One word of some.
    Choice {
        /// When nobody sets it.
        default: &'static str,
        /// All words that may stand there.
        choices: &'static [&'static str],
    },
    /// A whole number.
    Number {
        /// When nobody sets it.
        default: u64,
        /// What it counts, if it is a quantity.
        unit: Option<&'static str>,
        /// From the least to the most.
        bounds: RangeInclusive<u64>,
    },
    /// A port that something listens on.
    Port {
        /// When nobody sets it.
        default: u16,
    },
    /// `true` or `false`.
    Flag {
        /// When nobody sets it.
        default: bool,
    },
    /// A list of texts, empty.
    Texts {
        /// What may stand there.
        shape: &'static str,
    },
    /// What the venue's OBS calls a scene or a source of its own, unset.
    ObsName {
        /// Which of the two.
        of: &'static str,
    },
    /// A list of what the venue's OBS calls sources of its own, empty.
    ObsSources,
    /// A list of tables, empty.
    Tables {
        /// What may stand there.
        shape: &'static str,
    },
}

/// When a change on the page takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applies {
    /// At once.
    AtOnce,
    /// At the next start of the box.
    NextStart,
    /// It cannot be changed among the settings: another part of the page sets it, at once, and which.
    Elsewhere(&'static str),
    /// It cannot be changed there, and why: whoever gets hold of an admin's session must not gain the machine by it.
    Never(&'static str),
}

impl Applies {
    /// Whether what is written is in force at once.
    pub(super) const fn is_at_once(self) -> bool {
        matches!(self, AtOnce | Elsewhere(_))
    }

    /// Why it cannot be changed among the settings, if so.
    pub(super) const fn locked(self) -> Option<&'static str> {
        match self {
            Elsewhere(why) | Never(why) => Some(why),
            AtOnce | NextStart => None,
        }
    }
}

/// The commented reference of all keys.
const REFERENCE: &str = include_str!("../../config/motherstream.toml");

/// The sections of the page of settings in its order, and what it calls them. `[obs]` has a page of its own.
pub const SECTIONS: &[(&str, &str)] = &[
    ("venue", "Venue"),
    ("accounts", "Who may join"),
    ("queue", "Queue"),
    ("program", "Programme"),
    ("web", "Page"),
    ("ingest", "Ingest"),
    ("network", "Network"),
];

/// The keys of one destination.
pub(super) const DESTINATION_KEYS: &[&str] = &["name", "url", "key", "enabled"];

const LOOPBACK: &str = "a loopback address and a port, such as \"127.0.0.1:1985\"";
const AS_INSTALLED: Applies = Never("it is set where the box is installed");
const BY_THE_IMAGE: Applies = Never("it is set by the image");
const DAY: u64 = 24 * 3600;

const fn key(path: &'static str, kind: ValueKind, label: &'static str, applies: Applies) -> Key {
    Key { path, kind, label, applies }
}

const fn text(default: &'static str, shape: &'static str) -> ValueKind {
    ValueKind::Text { default: Some(default), shape }
}

const fn unset(shape: &'static str) -> ValueKind {
    ValueKind::Text { default: None, shape }
}

const fn secret(shape: &'static str) -> ValueKind {
    ValueKind::Secret { shape }
}

const fn address(default: &'static str) -> ValueKind {
    ValueKind::Address { default }
}

const fn choice(default: &'static str, choices: &'static [&'static str]) -> ValueKind {
    ValueKind::Choice { default, choices }
}

const fn number(default: u64, unit: &'static str, bounds: RangeInclusive<u64>) -> ValueKind {
    ValueKind::Number { default, unit: Some(unit), bounds }
}

const fn seconds(default: u64, bounds: RangeInclusive<u64>) -> ValueKind {
    number(default, "seconds", bounds)
}

const fn flag(default: bool) -> ValueKind {
    ValueKind::Flag { default }
}

const fn scene() -> ValueKind {
    ValueKind::ObsName { of: "scene" }
}

const fn source() -> ValueKind {
    ValueKind::ObsName { of: "source" }
}

/// All keys, in the order of `config/motherstream.toml`, which explains them.
pub const KEYS: &[Key] = &[
    key(
        "data_dir",
        text("./data", "a folder, such as \"/var/lib/motherstream\""),
        "data dir",
        Never("the page's own settings lie in it"),
    ),
    key("venue.name", text("Motherstream", "a name, such as \"Blue Room\""), "Name", AtOnce),
    key("venue.timezone", unset("a time zone, such as \"Europe/Berlin\""), "Time zone", AtOnce),
    key("web.listen", address("0.0.0.0:8080"), "Address of the page", NextStart),
    key(
        "web.https_listen",
        text("0.0.0.0:8443", "an address and a port, such as \"0.0.0.0:8443\", or \"off\""),
        "Address over HTTPS",
        NextStart,
    ),
    key(
        "web.public_host",
        unset("a name or an address, such as \"stream.example.org\""),
        "What streamers are told to connect to",
        AtOnce,
    ),
    key(
        "web.hosts",
        ValueKind::Texts { shape: "a list of names, such as [\"box.example.org\"]" },
        "More names of the page",
        AtOnce,
    ),
    key(
        "web.trusted_proxies",
        ValueKind::Texts { shape: "a list of addresses and networks, such as [\"127.0.0.1\", \"10.0.0.0/8\"]" },
        "Proxies before the page",
        AtOnce,
    ),
    key("web.metrics_token", secret("a text in quotes, 16 characters or more"), "Token for health and metrics", AtOnce),
    key("web.open_preview", flag(false), "The room may watch the programme", AtOnce),
    key("web.session_idle_hours", number(720, "hours", 1..=366 * 24), "Signed out when unused for", NextStart),
    key("web.session_max_days", number(90, "days", 1..=366), "Signed out at the latest after", NextStart),
    key("admin.token", secret("a text in quotes, 16 characters or more"), "token", AS_INSTALLED),
    key("accounts.registration", choice("open", &["open", "invite", "approval", "closed"]), "Registration", AtOnce),
    key(
        "accounts.most",
        ValueKind::Number { default: 10_000, unit: None, bounds: 1..=10_000 },
        "Accounts at most",
        AtOnce,
    ),
    key("ingest.kind", choice("auto", &["auto", "srs", "embedded"]), "Ingest", NextStart),
    key("ingest.app", text("live", "a word, such as \"live\""), "RTMP application", NextStart),
    key("ingest.rtmp_listen", address("0.0.0.0:1935"), "Address of RTMP", NextStart),
    key(
        "ingest.max_publishers",
        ValueKind::Number { default: 100, unit: None, bounds: 1..=1000 },
        "Streamers at once, at most",
        NextStart,
    ),
    key("ingest.handshake_seconds", seconds(10, 1..=60), "Time to begin", NextStart),
    key("ingest.silence_seconds", seconds(30, 1..=DAY), "Silence that ends a connection", NextStart),
    key(
        "ingest.srs.binary",
        text("srs", "a path, or a name in PATH, such as \"srs\""),
        "SRS: binary",
        Never("it names a program; set it where the box is installed"),
    ),
    key(
        "ingest.srs.config",
        text("srs.conf", "the path of SRS's configuration file"),
        "SRS: config",
        Never("it names a file; set it where the box is installed"),
    ),
    key("ingest.srs.api_listen", text("127.0.0.1:1985", LOOPBACK), "SRS: api listen", NextStart),
    key("ingest.srs.http_listen", text("127.0.0.1:8086", LOOPBACK), "SRS: http listen", NextStart),
    key("ingest.srs.hooks_listen", text("127.0.0.1:8085", LOOPBACK), "SRS: hooks listen", NextStart),
    key("ingest.srs.srt_listen", address("0.0.0.0:10080"), "SRS: srt listen", NextStart),
    key("ingest.srs.rtc_listen", address("0.0.0.0:8000"), "SRS: rtc listen", NextStart),
    key(
        "ingest.srs.unit",
        unset("the name of a systemd unit, such as \"motherstream-srs.service\""),
        "SRS: unit",
        Never("it names a service; set it where the box is installed"),
    ),
    key(
        "ingest.srs.api_url",
        secret("the address of an SRS's API, such as \"http://10.0.0.5:1985\""),
        "SRS: api url",
        NextStart,
    ),
    key(
        "ingest.srs.rtmp_url",
        unset("where streamers publish, such as \"rtmp://10.0.0.5/live\""),
        "SRS: rtmp url",
        NextStart,
    ),
    key(
        "ingest.srs.http_url",
        unset("an SRS's HTTP server, such as \"http://10.0.0.5:8080\""),
        "SRS: http url",
        NextStart,
    ),
    key(
        "ingest.srs.hooks_allow",
        ValueKind::Texts { shape: "a list of addresses, such as [\"10.0.0.5\"]" },
        "SRS: hooks allow",
        NextStart,
    ),
    key(
        "ingest.srs.hooks_secret",
        secret("a text in quotes, 16 letters and digits or more"),
        "SRS: hooks secret",
        AS_INSTALLED,
    ),
    key("queue.turn_seconds", seconds(3600, 1..=DAY), "Length of a turn", AtOnce),
    key("queue.rejoin_seconds", seconds(15, 0..=3600), "A lost connection keeps its place for", AtOnce),
    key("queue.restart_grace_seconds", seconds(60, 0..=3600), "The same after the box was restarted", AtOnce),
    key("queue.hold_off_seconds", seconds(300, 0..=DAY), "A kick keeps out for", AtOnce),
    key("queue.stall_limit_seconds", seconds(20, 1..=600), "A stalled stream loses its turn after", AtOnce),
    key("queue.overtime", flag(true), "Turns go on while nobody else is ready", AtOnce),
    key("queue.block", flag(false), "Others first", AtOnce),
    key("program.latency_ms", number(1500, "milliseconds", 300..=10_000), "Buffer", NextStart),
    key("program.house_format", choice("audio", &["off", "audio"]), "House format", NextStart),
    key("program.slate", unset("the path of a PNG or JPEG picture"), "slate", Elsewhere("upload a picture instead")),
    key("program.slate_sound", choice("silence", &["silence", "tone"]), "Sound of the slate", AtOnce),
    key(
        "program.idle_end_minutes",
        number(30, "minutes", 0..=DAY / 60),
        "The show ends when nobody was on air for",
        AtOnce,
    ),
    key(
        "program.resume_minutes",
        number(15, "minutes", 1..=DAY / 60),
        "It goes on by itself after a power cut of up to",
        AtOnce,
    ),
    key("obs.host", unset("a name or an address, such as \"10.0.0.7\""), "Where OBS runs", AtOnce),
    key("obs.port", ValueKind::Port { default: 4455 }, "Server port", AtOnce),
    key("obs.password", secret("a text in quotes"), "Server password", AtOnce),
    key("obs.only_our_scenes", flag(true), "Leave OBS alone while it shows another scene", AtOnce),
    key("obs.scene_on_air", scene(), "While somebody is on air", AtOnce),
    key("obs.scene_slate", scene(), "While nobody is on air", AtOnce),
    key("obs.scene_handover", scene(), "During a handover", AtOnce),
    key("obs.handover_seconds", seconds(3, 0..=60), "The handover's scene stays at least", AtOnce),
    key("obs.show_on_air", ValueKind::ObsSources, "Shown only while somebody is on air", AtOnce),
    key("obs.show_next", ValueKind::ObsSources, "Shown only while somebody is next", AtOnce),
    key("obs.show_slate", ValueKind::ObsSources, "Shown only while nobody is on air", AtOnce),
    key("obs.text_streamer", source(), "Name of who is on air", AtOnce),
    key("obs.text_next", source(), "Name of who is next", AtOnce),
    key("obs.text_time", source(), "Time left", AtOnce),
    key("obs.restart_at_take", ValueKind::ObsSources, "Begin anew at each take", AtOnce),
    key("obs.program_source", source(), "Media source", AtOnce),
    key("obs.stream", flag(false), "Start it with the show, and watch it", AtOnce),
    key("network.hotspot", choice("setup", &["off", "setup", "always"]), "The box's own Wi-Fi", AtOnce),
    key("network.setup_password", secret("a text in quotes, 8 to 63 characters"), "Its password", AtOnce),
    key("network.setup_after_seconds", seconds(120, 10..=3600), "It comes when there was no network for", AtOnce),
    key("network.country", unset("two letters, such as \"DE\""), "Country", AtOnce),
    key(
        "network.check_url",
        text(
            "http://nmcheck.gnome.org/check_network_status.txt",
            "an address, such as \"http://nmcheck.gnome.org/check_network_status.txt\", or \"off\"",
        ),
        "How the internet is looked for",
        AtOnce,
    ),
    key(
        "network.time_servers",
        ValueKind::Texts { shape: "a list of names or addresses, such as [\"time.example.org\"]" },
        "Time servers",
        AtOnce,
    ),
    key("box.boot_dir", unset("the folder where the boot partition is mounted"), "boot dir", BY_THE_IMAGE),
    key("box.updates", flag(false), "updates", BY_THE_IMAGE),
    key(
        "destinations",
        ValueKind::Tables { shape: "[[destinations]] with name, url, key and enabled" },
        "destinations",
        Never("these are set where the box is installed; others are added on the page of destinations"),
    ),
];

/// The key at `path`.
pub(super) fn find(path: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.path == path)
}

/// What the page calls the key at `path`; where there is none, the path itself.
pub fn label(path: &str) -> &str {
    find(path).map_or(path, |key| key.label)
}

/// Whether keys lie below `path`, such as `ingest` or `ingest.srs`.
pub(super) fn is_section(path: &str) -> bool {
    KEYS.iter().any(|key| key.path.strip_prefix(path).is_some_and(|rest| rest.starts_with('.')))
}

impl ValueKind {
    /// What stands there when nobody sets it; none: nothing.
    pub(super) fn built_in(&self) -> Option<Value> {
        Some(match self {
            Self::Text { default, .. } => Value::from((*default)?),
            Self::Secret { .. } | Self::ObsName { .. } => return None,
            Self::Address { default } | Self::Choice { default, .. } => Value::from(*default),
            Self::Number { default, .. } => Value::from(*default),
            Self::Port { default } => Value::from(*default),
            Self::Flag { default } => Value::from(*default),
            Self::Texts { .. } | Self::ObsSources | Self::Tables { .. } => Value::from(Vec::<Value>::new()),
        })
    }

    /// What may stand there, as the end of "write ...".
    pub fn shape(&self) -> String {
        match self {
            Self::Text { shape, .. } | Self::Secret { shape } | Self::Texts { shape } | Self::Tables { shape } => {
                (*shape).to_owned()
            }
            Self::Address { default } => format!("an address and a port, such as {default:?}"),
            Self::Choice { choices, .. } => either(choices),
            Self::Number { unit: Some(unit), .. } => format!("a whole number of {unit}"),
            Self::Number { unit: None, .. } => "a whole number".to_owned(),
            Self::Port { .. } => "a port from 1 to 65535".to_owned(),
            Self::Flag { .. } => "true or false".to_owned(),
            Self::ObsName { of } => format!("the name of a {of} of that OBS"),
            Self::ObsSources => "a list of names of sources of that OBS, such as [\"Timer\"]".to_owned(),
        }
    }

    /// What its number counts, if it is one that counts something.
    pub const fn unit(&self) -> Option<&'static str> {
        match self {
            Self::Number { unit, .. } => *unit,
            _ => None,
        }
    }

    /// The words of which it is one; none where it is no choice.
    pub const fn choices(&self) -> &'static [&'static str] {
        match self {
            Self::Choice { choices, .. } => choices,
            _ => &[],
        }
    }

    /// Whether it is a text: then a variable's value is taken as it is, `42` and `true` included.
    pub(super) const fn is_text(&self) -> bool {
        match self {
            Self::Text { .. }
            | Self::Secret { .. }
            | Self::Address { .. }
            | Self::Choice { .. }
            | Self::ObsName { .. } => true,
            Self::Number { .. }
            | Self::Port { .. }
            | Self::Flag { .. }
            | Self::Texts { .. }
            | Self::ObsSources
            | Self::Tables { .. } => false,
        }
    }

    /// Whether its value, or a part of it, is never shown.
    pub(super) const fn is_secret(&self) -> bool {
        matches!(self, Self::Secret { .. } | Self::Tables { .. })
    }
}

/// `"open", "invite" or "closed"`.
fn either(words: &[&str]) -> String {
    let quoted: Vec<_> = words.iter().map(|word| format!("{word:?}")).collect();
    match quoted.split_last() {
        Some((last, before)) if !before.is_empty() => format!("{} or {last}", before.join(", ")),
        _ => quoted.concat(),
    }
}

impl Key {
    /// The section of the page that it belongs to: `ingest` for `ingest.srs.binary`. Empty for what stands in none.
    pub fn section(&self) -> &'static str {
        self.path.split_once('.').map_or("", |(section, _)| section)
    }

    /// Whether a backup may bring it back. What gains the machine when the page sets it gains it by a backup too; pictures and destinations
    /// are the page's own.
    pub(super) fn is_restored(&self) -> bool {
        !matches!(self.applies, Never(_)) || self.path == "destinations"
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
