//! Layers, blame, bounds, and the reference file.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::fs;

use secrecy::ExposeSecret;
use tempfile::TempDir;

use super::{load::SETTINGS_FILE, *};

const REFERENCE: &str = include_str!("../../config/motherstream.toml");

/// A folder with a configuration file and a data folder.
struct Place {
    folder: TempDir,
    environment: Vec<(String, String)>,
}

impl Place {
    fn new(file: &str) -> Self {
        let folder = TempDir::new().unwrap();
        fs::create_dir(folder.path().join("data")).unwrap();
        fs::write(folder.path().join("box.toml"), file).unwrap();
        let data = folder.path().join("data").display().to_string();
        Self { folder, environment: vec![("MOTHERSTREAM_DATA_DIR".to_owned(), data)] }
    }

    fn with(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    fn settings(self, text: &str) -> Self {
        fs::write(self.folder.path().join("data").join(SETTINGS_FILE), text).unwrap();
        self
    }

    fn load(&self) -> Result<LoadedConfig, ConfigError> {
        let file = Some(self.folder.path().join("box.toml"));
        Sources { file, fallback: "/nowhere".into(), environment: self.environment.clone() }.load()
    }

    fn config(&self) -> Config {
        self.load().unwrap().config
    }

    fn problem(&self) -> String {
        self.load().unwrap_err().to_string().replace(&format!("{}/", self.folder.path().display()), "")
    }
}

fn problem(file: &str) -> String {
    Place::new(file).problem()
}

fn defaults() -> LoadedConfig {
    Sources { file: None, fallback: "/nowhere".into(), environment: Vec::new() }.load().unwrap()
}

#[test]
fn nothing_configured_is_complete() {
    let config = defaults().config;
    assert_eq!(config.web.listen.port(), 8080);
    assert_eq!(config.queue.turn_seconds, 3600);
    assert!(config.queue.overtime && !config.queue.block);
    assert_eq!(config.program.house_format, HouseFormat::Audio);
    assert!(config.admin.token.is_none() && config.destinations.is_empty());
}

#[test]
fn reference_sets_every_default_and_nothing_else() {
    let reference = Place::new(REFERENCE);
    let settings = |loaded: &LoadedConfig| -> Vec<_> {
        loaded.settings.iter().map(|setting| (setting.key.clone(), setting.value.clone())).collect()
    };
    let mut expected = settings(&defaults());
    let mut found = settings(&reference.load().unwrap());
    // Said by the environment in these tests.
    expected.retain(|(key, _)| key != "data_dir");
    found.retain(|(key, _)| key != "data_dir");
    assert_eq!(found, expected);
    assert!(REFERENCE.contains("data_dir = \"./data\""));
}

#[test]
fn reference_names_every_key_in_order() {
    let mut section = String::new();
    let mut named = Vec::new();
    for line in REFERENCE.lines() {
        let line = line.strip_prefix("# ").unwrap_or(line);
        if let Some(name) = line.strip_prefix("[[").and_then(|rest| rest.strip_suffix("]]")) {
            named.push(name.to_owned());
            section = name.to_owned();
        } else if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = name.to_owned();
        } else if let Some((key, _)) = line.split_once(" = ")
            && key.chars().all(|c| c.is_ascii_lowercase() || c == '_')
            && section != "destinations"
        {
            named.push(if section.is_empty() { key.to_owned() } else { format!("{section}.{key}") });
        }
    }
    assert_eq!(named, KEYS.iter().map(|key| key.path).collect::<Vec<_>>());
}

#[test]
fn reference_tells_the_bounds_of_every_number() {
    // That of the silence is told by what it goes with.
    for key in KEYS.iter().filter(|key| key.path != "ingest.silence_seconds") {
        let ValueKind::Number { default, bounds, unit } = &key.kind else { continue };
        let about = key.about();
        let told: Vec<u64> = about.split(|c: char| !c.is_ascii_digit()).filter_map(|word| word.parse().ok()).collect();
        assert!(told.contains(bounds.start()) && told.contains(bounds.end()), "{}: {bounds:?}: {about}", key.path);
        assert!(bounds.contains(default), "{}: {default}", key.path);
        let ending = unit.map(|unit| if unit == "milliseconds" { "ms" } else { unit });
        assert!(ending.is_none_or(|ending| key.path.ends_with(ending)), "{} counts {unit:?}", key.path);
    }
}

#[test]
fn every_key_that_a_page_sets_has_a_label_and_a_section() {
    for key in KEYS.iter().filter(|key| key.applies.locked().is_none()) {
        assert!(key.label.chars().next().is_some_and(char::is_uppercase), "{}: {}", key.path, key.label);
        let shown = key.section() == "obs" || SECTIONS.iter().any(|(section, _)| *section == key.section());
        assert!(shown, "{} is on no page", key.path);
    }
}

#[test]
fn key_is_called_by_its_label() {
    assert_eq!(label("queue.block"), "Others first");
    assert_eq!(label("ingest.srs.api_listen"), "SRS: api listen");
    assert_eq!(label("queue.blok"), "queue.blok");
}

#[test]
fn choices_are_the_words_of_their_shape() {
    let choice = ValueKind::Choice { default: "open", choices: &["open", "invite", "closed"] };
    assert_eq!(choice.shape(), "\"open\", \"invite\" or \"closed\"");
    assert_eq!(choice.choices(), ["open", "invite", "closed"]);
    assert!(ValueKind::Text { default: None, shape: "a name, such as \"Blue Room\"" }.choices().is_empty());
    for key in KEYS {
        let ValueKind::Choice { default, choices } = &key.kind else { continue };
        assert!(choices.contains(default), "{}: {default}", key.path);
        let (section, name) = key.path.split_once('.').unwrap();
        for word in *choices {
            Place::new(&format!("[{section}]\n{name} = \"{word}\"")).load().unwrap();
        }
    }
}

#[test]
fn destinations_of_the_reference_are_valid() {
    let commented = REFERENCE.split("# [[destinations]]").nth(1).unwrap().replace("# ", "");
    let place = Place::new(&format!("[[destinations]]{commented}"));
    let list = place.config().locked_destinations();
    assert_eq!(list.len(), 1);
    assert!(list[0].locked && list[0].enabled);
    assert_eq!(list[0].id, place.config().locked_destinations()[0].id);
}

#[test]
fn environment_wins_over_data_partition_over_file() {
    let place = Place::new("[queue]\nturn_seconds = 1000\nrejoin_seconds = 1\nblock = true")
        .settings("[queue]\nturn_seconds = 2000\nrejoin_seconds = 2")
        .with("MOTHERSTREAM_QUEUE__TURN_SECONDS", "3000");
    let loaded = place.load().unwrap();
    let queue = &loaded.config.queue;
    assert_eq!((queue.turn_seconds, queue.rejoin_seconds, queue.block), (3000, 2, true));
    let origin = |key: &str| loaded.settings.iter().find(|setting| setting.key == key).unwrap().origin.clone();
    assert_eq!(origin("queue.turn_seconds"), "environment variable MOTHERSTREAM_QUEUE__TURN_SECONDS");
    assert!(origin("queue.rejoin_seconds").ends_with("settings.toml"));
    assert!(origin("queue.block").ends_with("box.toml"));
    assert_eq!(origin("queue.overtime"), "built in");
}

#[test]
fn data_partition_can_not_move_itself() {
    let place = Place::new("").settings("data_dir = \"/elsewhere\"");
    let loaded = place.load().unwrap();
    assert!(loaded.config.data_dir.ends_with("data"));
    assert_eq!(loaded.ignored[0].field, "data_dir");
}

#[test]
fn box_starts_without_those_settings_of_its_page_that_are_wrong() {
    let image = "[box]\nboot_dir = \"/boot/firmware\"";
    let settings = "data_dir = \"/elsewhere\"\n[queue]\nturn_seconds = 77\nrejoin_seconds = \"long\"\n[accounts]\nregistration = \"by magic\"";
    let loaded = Place::new(image).settings(settings).load().unwrap();
    assert_eq!((loaded.config.queue.turn_seconds, loaded.config.queue.rejoin_seconds), (77, 15));
    let mut ignored: Vec<_> = loaded.ignored.iter().map(|problem| problem.field.as_str()).collect();
    ignored.sort_unstable();
    assert_eq!(ignored, ["accounts.registration", "data_dir", "queue.rejoin_seconds"]);
    assert_eq!(loaded.config.accounts.registration, Registration::Closed, "who may register is not known: nobody may");
    // Nothing of it can be read.
    let loaded = Place::new(image).settings("[queue\nturn_seconds = 77").load().unwrap();
    assert_eq!((loaded.config.queue.turn_seconds, loaded.ignored.len()), (3600, 1));
    assert_eq!(loaded.config.accounts.registration, Registration::Closed);
    // What does not go with a value from elsewhere is left out, and nothing else.
    let settings = "[queue]\nstall_limit_seconds = 40\nturn_seconds = 77\n[accounts]\nregistration = \"invite\"";
    let loaded = Place::new(image).settings(settings).load().unwrap();
    assert_eq!((loaded.config.queue.stall_limit_seconds, loaded.config.queue.turn_seconds), (20, 77));
    assert_eq!(loaded.config.accounts.registration, Registration::Invite);
    assert_eq!(loaded.ignored[0].field, "queue.stall_limit_seconds");
    // Mistakes of every kind at once cost what is wrong alone.
    let more = "[[destinations]]\nname = \"T\"\nurl = \"http://no\"\nkey = \"k\"\n[queue]\nstall_limit_seconds = 40\nturn_seconds = 0\nrejoin_seconds = 7\n";
    let loaded = Place::new(image).settings(&format!("{more}[accounts]\nregistration = \"invite\"")).load().unwrap();
    assert_eq!((loaded.config.queue.rejoin_seconds, loaded.config.queue.turn_seconds), (7, 3600));
    assert_eq!(loaded.config.accounts.registration, Registration::Invite);
    let mut told: Vec<_> = loaded.ignored.iter().map(|problem| problem.field.as_str()).collect();
    told.sort_unstable();
    assert_eq!(told, ["destinations", "queue.stall_limit_seconds", "queue.turn_seconds"], "{:?}", loaded.ignored);
    assert!(loaded.ignored.iter().any(|problem| problem.reason.contains("destinations.0.url")), "{:?}", loaded.ignored);
    // An image or not. Whoever wrote the box's own file wrong is told.
    assert_eq!(Place::new("").settings(settings).load().unwrap().ignored.len(), 1);
    Place::new(&format!("{image}\n[queue]\nturn_seconds = 0")).settings(settings).load().unwrap_err();
}

#[test]
fn image_listens_everywhere_rather_than_nowhere() {
    // A documentation address (RFC 5737): no machine has it.
    let settings = "[web]\nlisten = \"192.0.2.7:80\"\n[ingest]\nrtmp_listen = \"127.0.0.1:1936\"";
    let image = "[box]\nboot_dir = \"/boot/firmware\"\n[web]\nlisten = \"[::]:80\"";
    let place = Place::new(image).settings(settings);
    let loaded = place.load().unwrap();
    assert_eq!(loaded.config.web.listen.to_string(), "192.0.2.7:80", "the network may still give it");
    let foreign = loaded.foreign_addresses();
    assert_eq!(foreign.len(), 1, "{foreign:?}");
    let loaded = loaded.without(&foreign).unwrap();
    assert_eq!(loaded.config.web.listen.to_string(), "[::]:80");
    assert_eq!(loaded.config.ingest.rtmp_listen.to_string(), "127.0.0.1:1936");
    assert!(loaded.ignored[0].to_string().contains("does not have the address 192.0.2.7"), "{:?}", loaded.ignored);
    // Elsewhere whoever starts it is told by the start itself, and on the page by the page.
    let place = Place::new("").settings(settings);
    let settings = Settings::new(place.load().unwrap());
    let edit = |address: &str| std::collections::BTreeMap::from([("ingest.rtmp_listen".to_owned(), address.into())]);
    let refused = settings.propose(&edit("192.0.2.8:1935")).unwrap_err();
    assert!(matches!(&refused, ChangeError::Invalid { key, .. } if key == "ingest.rtmp_listen"), "{refused:?}");
    settings.propose(&edit("127.0.0.1:1937")).unwrap();
}

#[test]
fn backup_brings_back_nothing_by_which_an_admin_s_session_gains_the_machine() {
    let place = Place::new("").settings("[ingest.srs]\nbinary = \"/usr/bin/srs\"\n");
    let settings = Settings::new(place.load().unwrap());
    let text = "[ingest.srs]\nbinary = \"/usr/bin/srs\"\nconfig = \"/data/evil.conf\"\n[admin]\ntoken = \"0123456789abcdef\"\n\
        [queue]\nturn_seconds = 77\n[[destinations]]\nname = \"T\"\nurl = \"rtmp://live.twitch.tv/app\"\n";
    let (kept, left_out) = settings.restorable(text).unwrap();
    assert_eq!(left_out, ["admin.token", "ingest.srs.config"]);
    assert!(
        kept.contains("/usr/bin/srs") && kept.contains("turn_seconds") && kept.contains("live.twitch.tv"),
        "{kept}"
    );
    assert!(!kept.contains("evil") && !kept.contains("0123456789abcdef"), "{kept}");
    let inline = "ingest = { srs = { config = \"/data/evil.conf\" } }";
    let (kept, left_out) = settings.restorable(inline).unwrap();
    assert_eq!((left_out.len(), kept.contains("evil")), (1, false), "{kept}");
    // What the box has of these stays, in whatever quotes, and what needs what was left out goes with it.
    let (kept, left_out) = settings.restorable("[queue]\nblock = true\n").unwrap();
    assert!(left_out.is_empty() && kept.contains("/usr/bin/srs"), "{kept}");
    let elsewhere = "[ingest.srs]\nbinary = '/usr/bin/srs' # ours\napi_url = \"http://127.0.0.2:1985\"\nhooks_secret = \"0123456789abcdef\"\n";
    let (kept, left_out) = settings.restorable(elsewhere).unwrap();
    assert_eq!(left_out, ["ingest.srs.hooks_secret", "ingest.srs.api_url"], "{kept}");
    settings.check(&kept).unwrap();
}

#[test]
fn plain_names_are_understood_and_the_full_ones_win() {
    let place =
        Place::new("[ingest]\nrtmp_listen = \"127.0.0.1:1\"").with("HOST", "box.example").with("RTMP_PORT", "1936");
    let config = place.config();
    assert_eq!(config.web.public_host.as_deref(), Some("box.example"));
    assert_eq!(config.ingest.rtmp_listen.to_string(), "127.0.0.1:1936");
    let place = place
        .with("MOTHERSTREAM_WEB__PUBLIC_HOST", "other.example")
        .with("MOTHERSTREAM_INGEST__RTMP_LISTEN", "0.0.0.0:5");
    let config = place.config();
    assert_eq!(config.web.public_host.as_deref(), Some("other.example"));
    assert_eq!(config.ingest.rtmp_listen.to_string(), "0.0.0.0:5");
}

#[test]
fn texts_of_digits_in_variables_stay_texts() {
    let config = Place::new("")
        .with("MOTHERSTREAM_VENUE__NAME", "42")
        .with("MOTHERSTREAM_ADMIN__TOKEN", "12345678901234567890")
        .config();
    assert_eq!(config.venue.name, "42");
    assert_eq!(config.admin.token.unwrap().expose_secret(), "12345678901234567890");
}

#[test]
fn empty_variables_and_those_of_tests_and_builds_set_nothing() {
    Place::new("")
        .with("MOTHERSTREAM_ADMIN__TOKEN", "")
        .with("HOST", "")
        .with("RTMP_PORT", " ")
        .with("MOTHERSTREAM_TEST_SOAK", "1")
        .with("MOTHERSTREAM_TARGET", "/x")
        .with("MOTHERSTREAM_CONFIG", "/x")
        .with("MOTHERSTREAM_DEMO_BOX", "/x")
        .load()
        .unwrap();
}

#[test]
fn destinations_come_from_a_variable_too() {
    let list = r#"[{ name = "T", url = "rtmp://live.twitch.tv/app", key = "live_1", enabled = false }]"#;
    let place = Place::new("").with("MOTHERSTREAM_DESTINATIONS", list);
    assert!(!place.config().locked_destinations()[0].enabled);
    let shown = place.load().unwrap().to_string();
    assert!(shown.contains("1 (T)") && !shown.contains("live_1"), "{shown}");
}

#[test]
fn unknown_keys_are_blamed_with_a_suggestion() {
    assert_eq!(
        problem("[queue]\nturn_second = 5"),
        "box.toml: queue.turn_second: there is no such key; did you mean queue.turn_seconds?"
    );
    assert_eq!(
        problem("[web]\nturn_seconds = 5"),
        "box.toml: web.turn_seconds: there is no such key; did you mean queue.turn_seconds?"
    );
    assert_eq!(
        problem("[qeue]\nblock = true"),
        "box.toml: qeue.block: there is no such key; did you mean queue.block?"
    );
    assert_eq!(
        Place::new("").with("MOTHERSTREAM_QUEUE_TURN_SECONDS", "5").problem(),
        "environment variable MOTHERSTREAM_QUEUE_TURN_SECONDS: queue_turn_seconds: there is no such key; \
         did you mean MOTHERSTREAM_QUEUE__TURN_SECONDS?"
    );
    assert_eq!(problem("wombat = 1"), "box.toml: wombat: there is no such key; `motherstream config` lists them all");
    assert!(problem("[[destinations]]\nname='a'\nurl='rtmp://a.example/b'\nkye='c'").contains("destinations.0.kye"));
}

#[test]
fn all_problems_are_told_at_once() {
    let error = Place::new("[queue]\nturn_seconds = 0\n[program]\nlatency_ms = 20").load().unwrap_err();
    assert_eq!(error.problems.len(), 2);
}

#[test]
fn wrong_types_are_blamed_with_what_to_write() {
    assert_eq!(
        problem("[queue]\nturn_seconds = \"long\""),
        "box.toml: queue.turn_seconds: found string \"long\"; write a whole number of seconds"
    );
    assert_eq!(
        problem("[accounts]\nregistration = \"public\""),
        "box.toml: accounts.registration: \"public\" is not known; write \"open\", \"invite\", \"approval\" or \"closed\""
    );
    assert_eq!(
        Place::new("").with("MOTHERSTREAM_QUEUE__BLOCK", "maybe").problem(),
        "environment variable MOTHERSTREAM_QUEUE__BLOCK: queue.block: write true or false"
    );
    assert!(problem("[web]\nlisten = \"8080\"").contains("write an address and a port"));
    assert!(problem("queue = 5").contains("box.toml: queue"), "{}", problem("queue = 5"));
    assert!(problem("[[destinations]]\nname='a'\nurl='rtmp://a.example/b'").contains("`key` is missing"));
}

#[test]
fn broken_file_is_blamed_by_its_line_without_quoting_it() {
    let problem = problem("[admin]\ntoken = secret-without-quotes");
    assert!(problem.starts_with("box.toml: line 2:") && !problem.contains("secret"), "{problem}");
}

#[test]
fn secrets_are_never_repeated() {
    let number = problem("[admin]\ntoken = 123456789012345678");
    assert!(number.contains("admin.token") && !number.contains("123456"), "{number}");
    let short = problem("[admin]\ntoken = \"hunter2\"");
    assert!(short.contains("too short") && !short.contains("hunter2"), "{short}");
    let key = problem("[[destinations]]\nname='a'\nurl='rtmp://a.example/b'\nkey=7788");
    assert!(key.contains("destinations.0.key") && !key.contains("7788"), "{key}");
    let loaded = Place::new("[admin]\ntoken = \"0123456789abcdef\"").load().unwrap();
    assert!(!format!("{loaded} {loaded:?}").contains("0123456789abcdef"));
}

#[test]
fn file_that_was_named_must_exist() {
    let sources = Sources { file: Some("/no/such.toml".into()), fallback: "/nowhere".into(), environment: Vec::new() };
    assert!(sources.load().unwrap_err().to_string().starts_with("/no/such.toml: cannot be read"));
}

#[test]
fn no_minutes_without_anybody_are_no_limit_to_the_show() {
    let idle_end =
        |minutes: u64| Place::new(&format!("[program]\nidle_end_minutes = {minutes}")).config().program.idle_end();
    assert_eq!(idle_end(0), None);
    assert_eq!(idle_end(1), Some(Duration::from_mins(1)));
    assert_eq!(defaults().config.program.idle_end(), Some(Duration::from_mins(30)));
}

#[test]
fn bounds_hold() {
    for (file, field) in [
        ("[queue]\nturn_seconds = 0", "queue.turn_seconds"),
        ("[queue]\nturn_seconds = 86401", "queue.turn_seconds"),
        ("[queue]\nturn_seconds = -1", "queue.turn_seconds"),
        ("[queue]\nstall_limit_seconds = 26", "ingest.silence_seconds"),
        ("[ingest]\nsilence_seconds = 24", "ingest.silence_seconds"),
        ("[ingest]\napp = \"a/b\"", "ingest.app"),
        ("[ingest]\nmax_publishers = 0", "ingest.max_publishers"),
        ("[ingest]\nrtmp_listen = \"0.0.0.0:8080\"", "web.listen"),
        ("[program]\nlatency_ms = 299", "program.latency_ms"),
        ("[program]\nlatency_ms = 10001", "program.latency_ms"),
        ("[program]\nhouse_format = \"full\"", "program.house_format"),
        ("[program]\nslate = \"/no/such.png\"", "program.slate"),
        ("[program]\nslate = \"/etc/passwd\"", "program.slate"),
        ("[web]\npublic_host = \"rtmp://box/live\"", "web.public_host"),
        ("[web]\npublic_host = \"box:1935\"", "web.public_host"),
        ("[web]\npublic_host = \"0.0.0.0\"", "web.public_host"),
        ("[venue]\nname = \" \"", "venue.name"),
        ("[admin]\ntoken = \"with some spaces in it\"", "admin.token"),
        // As root's helper takes them, letter by letter.
        ("[network]\ncheck_url = \"HTTP://a.example/\"", "network.check_url"),
        ("[network]\ncheck_url = \"http:a.example\"", "network.check_url"),
        ("[network]\ntime_servers = [\"[2001:db8::1]\"]", "network.time_servers"),
        ("[network]\ntime_servers = [\"ntp_1.lan\"]", "network.time_servers"),
        ("[network]\ntime_servers = [\"zeit.m\u{fc}nchen.example\"]", "network.time_servers"),
        ("[network]\ntime_servers = [\"-x\"]", "network.time_servers"),
        ("[obs]\nport = 0", "obs.port"),
        ("[obs]\nhandover_seconds = 61", "obs.handover_seconds"),
        ("[obs]\nscene_slate = \"\"", "obs.scene_slate"),
        ("[obs]\nshow_next = [\"Banner\", \"a\\nb\"]", "obs.show_next"),
        ("[[destinations]]\nname='a'\nurl='http://a.example/b'\nkey='c'", "destinations.0.url"),
        ("[[destinations]]\nname='a'\nurl='rtmp://127.0.0.1/live'\nkey='c'", "destinations.0.url"),
        (
            "[[destinations]]\nname='a'\nurl='rtmp://a.example/b'\nkey='c'\n[[destinations]]\nname='A'\nurl='rtmp://a.example/b'\nkey='c'",
            "destinations.1.name",
        ),
    ] {
        let problem = problem(file);
        assert!(
            problem.starts_with(&format!("box.toml: {field}: ")) || problem.contains(&format!(" {field}: ")),
            "{file}: {problem}"
        );
    }
    for file in [
        "[web]\npublic_host = \"192.168.1.9\"",
        "[web]\npublic_host = \"fe80::1\"",
        "[web]\npublic_host = \"box.local\"",
        "[network]\ntime_servers = [\"2001:db8::1\", \"time.example.org\"]\ncheck_url = \"http://a.example/b\"",
        "[queue]\nstall_limit_seconds = 25",
        "[[destinations]]\nname='a'\nurl='rtmp://127.0.0.1:19350/live'\nkey='c'",
    ] {
        Place::new(file).load().unwrap();
    }
}

#[test]
fn bounds_of_srs_hold() {
    const ELSEWHERE: &str = "api_url = \"http://10.0.0.5:1985\"\n";
    const SECRET: &str = "hooks_secret = \"0123456789abcdef\"\n";
    let elsewhere = |more: &str| format!("{ELSEWHERE}{SECRET}http_url = \"http://10.0.0.5:8080\"\n{more}");
    for (lines, field, word) in [
        ("api_listen = \"0.0.0.0:1985\"".to_owned(), "api_listen", "loopback"),
        ("http_listen = \"192.168.1.2:8086\"".to_owned(), "http_listen", "loopback"),
        ("hooks_listen = \"0.0.0.0:8085\"".to_owned(), "hooks_listen", "hooks_allow"),
        ("srt_listen = \"127.0.0.1:10080\"".to_owned(), "srt_listen", "0.0.0.0:10080"),
        ("rtc_listen = \"127.0.0.1:8000\"".to_owned(), "rtc_listen", "0.0.0.0:8000"),
        ("rtc_listen = \"0.0.0.0:10080\"".to_owned(), "rtc_listen", "srt_listen"),
        ("api_listen = \"127.0.0.1:8080\"".to_owned(), "api_listen", "web.listen"),
        ("http_listen = \"127.0.0.1:1985\"".to_owned(), "http_listen", "api_listen"),
        ("hooks_listen = \"127.0.0.1:1935\"".to_owned(), "hooks_listen", "rtmp_listen"),
        ("hooks_secret = \"short\"".to_owned(), "hooks_secret", "16 letters"),
        ("hooks_secret = \"with/a/slash/in/it/x\"".to_owned(), "hooks_secret", "16 letters"),
        ("rtmp_url = \"rtmp://10.0.0.5/live\"".to_owned(), "rtmp_url", "api_url"),
        (format!("{ELSEWHERE}{SECRET}"), "api_url", "http_url"),
        (format!("{ELSEWHERE}rtmp_url = \"rtmp://10.0.0.5/live\""), "api_url", "hooks_secret"),
        (elsewhere("unit = \"srs.service\""), "unit", "api_url"),
        (elsewhere("rtmp_url = \"http://10.0.0.5/live\""), "rtmp_url", "rtmp://"),
        (elsewhere("rtmp_url = \"rtmps://10.0.0.5/live\""), "rtmp_url", "rtmps"),
        (elsewhere("rtmp_url = \"rtmp://10.0.0.5\""), "rtmp_url", "application"),
        (elsewhere("").replace("http://10.0.0.5:1985", "https://10.0.0.5:1985"), "api_url", "https"),
        (elsewhere("").replace("http://10.0.0.5:1985", "10.0.0.5"), "api_url", "address"),
    ] {
        let problem = problem(&format!("[ingest.srs]\n{lines}"));
        assert!(problem.contains(&format!("ingest.srs.{field}: ")) && problem.contains(word), "{lines}: {problem}");
    }
    let place = |lines: &str| Place::new(&format!("[ingest.srs]\n{lines}"));
    place(&elsewhere("hooks_listen = \"0.0.0.0:8085\"\nhooks_allow = [\"10.0.0.5\"]")).load().unwrap();
    place(&elsewhere("rtmp_url = \"rtmp://10.0.0.5:1936/live\"")).load().unwrap();
    // Ports that are not used are nobody's.
    Place::new("[ingest]\nkind = \"embedded\"\n[ingest.srs]\napi_listen = \"127.0.0.1:8080\"").load().unwrap();
    let password = problem("[ingest.srs]\napi_url = \"https://admin:hunter22@10.0.0.5\"");
    assert!(!password.contains("hunter22"), "{password}");
}

#[test]
fn key_of_a_newer_program_in_the_pages_file_is_left_out_and_told() {
    let loaded = Place::new("")
        .settings("[queue]\nturn_seconds = 900\nfairness = 1\n[lights]\nwall = \"blue\"\nfloor = 2")
        .load()
        .unwrap();
    assert_eq!(loaded.config.queue.turn_seconds, 900);
    let ignored: Vec<_> = loaded.ignored.iter().map(|problem| problem.field.as_str()).collect();
    assert_eq!(ignored, ["lights.floor", "lights.wall", "queue.fairness"]);
}

/// What stands in the place of the page's file, and what of it can be read.
#[test]
fn damaged_settings_never_keep_the_box_from_starting() {
    let place = Place::new("");
    let path = place.folder.path().join("data").join(SETTINGS_FILE);
    for (what, content, turn) in [
        ("broken line", &b"[queue]\nturn_seconds = 77\n[venue]\nname = \"Bl"[..], 77),
        ("not text", &b"[queue]\nturn_seconds = 77\n[venue]\nname = \"\xff\""[..], 77),
        ("zeros", &[0; 4096][..], 3600),
        ("too large", &vec![b'#'; 300_000][..], 3600),
    ] {
        fs::write(&path, content).unwrap();
        let loaded = place.load().unwrap();
        assert_eq!(loaded.config.queue.turn_seconds, turn, "{what}");
        assert!(loaded.damage().next().is_some(), "{what}");
        assert_eq!(loaded.config.accounts.registration, Registration::Closed, "{what}: who may register is not known");
    }
    fs::write(&path, "[accounts]\nregistration = \"invite\"\n[venue]\nname = \"Bl").unwrap();
    assert_eq!(place.config().accounts.registration, Registration::Invite, "that line is whole");
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert_eq!(place.load().unwrap().damage().count(), 1, "a folder in its place");
}

#[test]
fn damaged_settings_are_kept_aside_before_the_page_writes_new_ones() {
    let text = "# ours\n[queue]\nturn_seconds = 77\nrejoin_seconds = \"long\"\nfuture = 1\n[venue]\nname = \"Bl";
    let place = Place::new("").settings(text);
    let folder = place.folder.path().join("data");
    let settings = Settings::new(place.load().unwrap());
    assert_eq!(settings.ignored().len(), 3, "{:?}", settings.ignored());
    change(&settings, "queue.hold_off_seconds", 0.into()).unwrap();
    assert_eq!(fs::read_to_string(folder.join("settings.toml.damaged")).unwrap(), text);
    let file = file_of(&place);
    assert!(file.contains("turn_seconds = 77") && file.contains("future = 1") && file.contains("# ours"), "{file}");
    assert!(!file.contains("long") && !file.contains("Bl"), "{file}");
    // What was wrong can be set, and is not taken out again by the next change.
    change(&settings, "queue.rejoin_seconds", 30.into()).unwrap();
    change(&settings, "venue.name", "Blue Room".into()).unwrap();
    let again = place.load().unwrap();
    assert_eq!((again.config.queue.rejoin_seconds, again.config.queue.turn_seconds), (30, 77));
    assert_eq!(again.damage().count(), 0);
    assert!(!folder.join("settings.toml.damaged-2").exists());
    // A second damage, of another kind, is kept beside the first.
    fs::remove_file(folder.join(SETTINGS_FILE)).unwrap();
    fs::create_dir(folder.join(SETTINGS_FILE)).unwrap();
    change(&Settings::new(place.load().unwrap()), "venue.name", "Red Room".into()).unwrap();
    assert!(folder.join("settings.toml.damaged-2").is_dir());
    assert_eq!(place.config().venue.name, "Red Room");
}

/// A change, made and written.
fn change(settings: &Settings, key: &str, value: serde_json::Value) -> Result<std::sync::Arc<Config>, ChangeError> {
    let proposal = settings.propose(&[(key.to_owned(), value)].into())?;
    settings.write(&proposal)
}

fn file_of(place: &Place) -> String {
    fs::read_to_string(place.folder.path().join("data").join(SETTINGS_FILE)).unwrap_or_default()
}

fn shown(settings: &Settings, key: &str) -> SettingView {
    settings.view().into_iter().find(|setting| setting.key == key).unwrap()
}

#[test]
fn page_changes_keep_what_else_is_in_the_file_and_outlive_a_start() {
    let text = "# by hand\nqueue = { block = true } # so be it\n\n[future]\nkey = 1\n";
    let place = Place::new("[queue]\nturn_seconds = 1000").settings(text);
    let settings = Settings::new(place.load().unwrap());
    assert_eq!(shown(&settings, "queue.turn_seconds").value, 1000);
    change(&settings, "queue.turn_seconds", 900.into()).unwrap();
    change(&settings, "venue.name", "Blue \"Room\"\nInc".into()).unwrap_err();
    change(&settings, "venue.name", "Blue \"Room\"".into()).unwrap();
    change(&settings, "ingest.srs.hooks_allow", serde_json::json!(["10.0.0.5"])).unwrap();
    let file = file_of(&place);
    assert!(file.contains("# by hand") && file.contains("key = 1"), "{file}");
    let again = place.config();
    assert_eq!((again.queue.turn_seconds, again.queue.block), (900, true));
    assert_eq!((again.venue.name.as_str(), again.ingest.srs.hooks_allow.len()), ("Blue \"Room\"", 1));
    assert!(shown(&settings, "queue.turn_seconds").origin.ends_with(SETTINGS_FILE));
    // Null: as the file says.
    assert_eq!(change(&settings, "queue.turn_seconds", serde_json::Value::Null).unwrap().queue.turn_seconds, 1000);
    assert_eq!(place.config().queue.turn_seconds, 1000);
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &fs::metadata(place.folder.path().join("data").join(SETTINGS_FILE)).unwrap().permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn what_can_not_be_is_refused_by_its_key_and_nothing_is_written() {
    let place = Place::new("").with("MOTHERSTREAM_QUEUE__BLOCK", "true");
    let settings = Settings::new(place.load().unwrap());
    for (key, value, blamed) in [
        ("queue.turn_seconds", serde_json::json!(0), "queue.turn_seconds"),
        ("queue.turn_seconds", serde_json::json!("long"), "queue.turn_seconds"),
        ("queue.turn_seconds", serde_json::json!(1.5), "queue.turn_seconds"),
        ("queue.turn_seconds", serde_json::json!({"a": 1}), "queue.turn_seconds"),
        ("accounts.registration", serde_json::json!("anyone"), "accounts.registration"),
        ("venue.timezone", serde_json::json!("Mars/Olympus"), "venue.timezone"),
        ("web.https_listen", serde_json::json!("here"), "web.https_listen"),
        ("web.https_listen", serde_json::json!("0.0.0.0:8080"), "web.https_listen"),
        // It goes with another key only.
        ("queue.stall_limit_seconds", serde_json::json!(600), "ingest.silence_seconds"),
    ] {
        let error = change(&settings, key, value.clone()).unwrap_err();
        assert!(matches!(&error, ChangeError::Invalid { key, .. } if key == blamed), "{key} = {value}: {error:?}");
    }
    assert!(matches!(change(&settings, "queue.turn", 1.into()), Err(ChangeError::Unknown { .. })));
    for key in ["queue.block", "data_dir", "admin.token", "ingest.srs.binary", "program.slate", "destinations"] {
        let error = change(&settings, key, true.into()).unwrap_err();
        assert!(matches!(&error, ChangeError::Locked { reason, .. } if !reason.is_empty()), "{key}: {error:?}");
        assert!(shown(&settings, key).locked.is_some());
    }
    assert_eq!(file_of(&place), "");
    let both = [("venue.name".to_owned(), "A".into()), ("queue.turn_seconds".to_owned(), 0.into())];
    settings.propose(&both.into()).unwrap_err();
    assert_eq!(file_of(&place), "");
}

#[test]
fn change_is_told_and_what_waits_for_the_start_is_kept_out_of_it() {
    let place = Place::new("[obs]\npassword = \"letmein\"\n[program]\nlatency_ms = 1800")
        .with("MOTHERSTREAM_ADMIN__TOKEN", "0123456789abcdef");
    let settings = Settings::new(place.load().unwrap());
    let mut changes = settings.changes();
    assert!(!changes.has_changed().unwrap());
    change(&settings, "program.latency_ms", 2000.into()).unwrap();
    change(&settings, "venue.name", "Blue Room".into()).unwrap();
    assert!(changes.has_changed().unwrap());
    let seen = changes.borrow_and_update().clone();
    assert_eq!((seen.venue.name.as_str(), seen.program.latency_ms), ("Blue Room", 1800));
    assert_eq!(seen.obs.password.as_ref().unwrap().expose_secret(), "letmein");
    assert_eq!(seen.admin.token.as_ref().unwrap().expose_secret(), "0123456789abcdef");
    // The page sets the picture in a way of its own, at once.
    let picture = place.folder.path().join("slate.png");
    fs::write(&picture, b"\x89PNG\r\n\x1a\n").unwrap();
    let edits = [("program.slate".to_owned(), picture.display().to_string().into())].into();
    settings.write(&settings.propose_own(&edits).unwrap()).unwrap();
    assert_eq!(changes.borrow_and_update().program.slate.as_ref(), Some(&picture));
    for key in ["data_dir", "admin.token", "destinations"] {
        settings.propose_own(&[(key.to_owned(), "/x".into())].into()).unwrap_err();
    }
}

#[test]
fn every_key_says_when_it_applies_and_that_is_so() {
    let samples: &[(&str, serde_json::Value)] = &[
        ("venue.name", "Blue Room".into()),
        ("venue.timezone", "UTC".into()),
        ("web.public_host", "box.example".into()),
        ("web.hosts", serde_json::json!(["box.lan"])),
        ("web.trusted_proxies", serde_json::json!(["127.0.0.1", "10.0.0.0/8"])),
        ("web.metrics_token", "sixteen-or-more-characters".into()),
        ("web.open_preview", true.into()),
        ("accounts.registration", "invite".into()),
        ("queue.turn_seconds", 900.into()),
        ("queue.rejoin_seconds", 16.into()),
        ("queue.restart_grace_seconds", 61.into()),
        ("queue.hold_off_seconds", 301.into()),
        ("queue.stall_limit_seconds", 21.into()),
        ("queue.overtime", false.into()),
        ("accounts.most", 500.into()),
        ("queue.block", true.into()),
        ("program.slate_sound", "tone".into()),
        ("program.idle_end_minutes", 31.into()),
        ("program.resume_minutes", 16.into()),
        ("obs.host", "10.0.0.7".into()),
        ("obs.port", 4456.into()),
        ("obs.password", "letmein".into()),
        ("obs.only_our_scenes", false.into()),
        ("obs.scene_on_air", "On air".into()),
        ("obs.scene_slate", "Slate".into()),
        ("obs.scene_handover", "Handover".into()),
        ("obs.handover_seconds", 4.into()),
        ("obs.show_on_air", serde_json::json!(["Timer"])),
        ("obs.show_next", serde_json::json!(["Banner"])),
        ("obs.show_slate", serde_json::json!(["Logo"])),
        ("obs.text_streamer", "Name".into()),
        ("obs.text_next", "Next".into()),
        ("obs.text_time", "Time".into()),
        ("obs.restart_at_take", serde_json::json!(["Sting"])),
        ("obs.program_source", "Programme".into()),
        ("obs.stream", true.into()),
        ("network.hotspot", "always".into()),
        ("network.setup_password", "letmein-now".into()),
        ("network.setup_after_seconds", 60.into()),
        ("network.country", "DE".into()),
        ("network.check_url", "off".into()),
        ("network.time_servers", serde_json::json!(["time.example.org"])),
        ("program.latency_ms", 2000.into()),
        ("web.https_listen", "off".into()),
        ("ingest.app", "stage".into()),
    ];
    let place = Place::new("");
    let settings = Settings::new(place.load().unwrap());
    for (key, value) in samples {
        let before = format!("{:?}", settings.now());
        change(&settings, key, value.clone()).unwrap();
        let at_once = keys::find(key).unwrap().applies == Applies::AtOnce;
        assert_eq!(before != format!("{:?}", settings.now()), at_once, "{key}");
        let seen = shown(&settings, key);
        assert_eq!(seen.waits_for_start, !at_once, "{key}");
        // A secret is never told.
        let secret = matches!(*key, "obs.password" | "web.metrics_token" | "network.setup_password");
        assert_eq!(seen.value == *value, !secret, "{key}: {}", seen.value);
    }
    for setting in settings.view() {
        assert!(!setting.about.is_empty(), "{} is not explained", setting.key);
        let tried = samples.iter().any(|(key, _)| *key == setting.key);
        assert!(setting.applies != "at_once" || tried, "{} takes effect at once, says the table", setting.key);
    }
    assert_eq!(shown(&settings, "queue.turn_seconds").unit, Some("seconds"));
    assert_eq!(shown(&settings, "venue.name").about, "On the slate and on the page. 1 to 64 characters.");
    assert!(shown(&settings, "destinations").about.starts_with("Where the programme goes."));
}
