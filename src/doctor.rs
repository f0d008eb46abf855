//! `motherstream doctor`: what is missing or wrong on this machine, and what to do about it. Changes nothing.

use std::path::Path;

use gstreamer as gst;
use rustix::{fs::Access, process::Resource};

use crate::{
    config::{Config, Problem, Sources},
    core::destination::Protocol,
    media::{egress, house, pictures, slate, source},
    precedence,
    store::{self, Look, StoreError},
    web::fingerprint,
};

mod finding;
mod ingest;
mod machine;
mod network;
mod obs;
mod port;
mod tls;

pub use finding::{Finding, Grade};
use finding::{bad, good, note};
use port::port;

/// Which of Debian's packages brings an element.
const PACKAGES: &[(&str, &[&str])] = &[
    ("libgstreamer1.0-0", &["capsfilter", "fdsrc"]),
    (
        "gstreamer1.0-plugins-base",
        &["appsrc", "appsink", "audioconvert", "audioresample", "videoconvert", "videoscale"],
    ),
    ("gstreamer1.0-plugins-good", &["jpegenc"]),
    ("gstreamer1.0-plugins-bad", &["rtmp2sink", "rtmp2src", "h264parse", "aacparse", "voaacenc"]),
    ("gstreamer1.0-plugins-ugly", &["x264enc"]),
    ("gstreamer1.0-libav", &["avdec_aac", "avenc_aac", "avdec_h264"]),
];

/// Below this the box works and somebody should look after it; history and accounts need a few megabytes.
const LITTLE_DISK: u64 = 200 << 20;

/// Below this the next commits fail.
const NO_DISK: u64 = 20 << 20;

/// Files that a box has open besides one for each publisher: listeners, destinations, page, store.
const OTHER_FILES: u64 = 256;

/// A clock that shows less than this was never set: 2026-01-01, by which time this program did not exist.
const EARLIEST: i64 = 1_767_225_600;

/// Looks at everything.
pub fn examine(sources: &Sources) -> Vec<Finding> {
    let loaded = match sources.load() {
        Ok(loaded) => {
            let mut findings = vec![good("configuration")];
            findings.extend(loaded.ignored.iter().map(left_out));
            let config = loaded.config;
            findings.extend(elements());
            findings.extend(tls::examine(&config.locked_destinations()));
            findings.extend(disk(&config.data_dir));
            let store = store::look(&config.data_dir);
            let running = matches!(store, Err(StoreError::InUse { .. }));
            findings.push(stored(&config.data_dir, store));
            findings.push(port("web.listen", config.web.listen, running));
            findings.extend(https(&config, running));
            findings.extend(ingest::examine(&config, running));
            findings.push(open_files(&config));
            findings.push(precedence());
            findings.extend(machine::examine(&config.machine));
            findings.extend(network::examine(&config));
            findings.extend(obs::examine(&config.obs));
            findings
        }
        Err(error) => {
            let problems = error.problems.iter();
            let mut findings: Vec<_> = problems.map(|problem| bad("configuration", problem.to_string())).collect();
            findings.extend(elements());
            findings
        }
    };
    let mut findings = loaded;
    findings.push(clock(jiff::Timestamp::now()));
    findings.push(zones(Path::new("/usr/share/zoneinfo")));
    findings
}

/// Whose time zones they are. Those of a system get news with its updates.
fn zones(system: &Path) -> Finding {
    let whose = if system.is_dir() { "the system's" } else { "the program's own" };
    match jiff::tz::db().get("Europe/Berlin") {
        Ok(_) => good(format!("time zones: {whose}")),
        Err(error) => {
            bad(format!("there are no time zones: {error}"), "install tzdata, or take a program that has them")
        }
    }
}

/// The box runs without it.
fn left_out(problem: &Problem) -> Finding {
    note(
        format!("a setting of the page is left out: {problem}"),
        "set it anew on the page Settings; the damaged file is kept beside the new one",
    )
}

/// GStreamer and its elements, by name.
fn elements() -> Vec<Finding> {
    if let Err(error) = gst::init() {
        return vec![bad(format!("GStreamer does not start: {error}"), "apt-get install libgstreamer1.0-0")];
    }
    let there = |name: &str| gst::ElementFactory::find(name).is_some();
    let mut wanted: Vec<_> =
        [house::ELEMENTS, slate::ELEMENTS, &egress::elements(), source::PULL_ELEMENTS, pictures::ELEMENTS].concat();
    wanted.sort_unstable();
    wanted.dedup();
    let mut findings: Vec<_> = wanted.iter().filter(|name| !there(name)).map(|name| missing(name, there)).collect();
    if findings.is_empty() {
        let version = gst::version_string();
        findings.push(good(format!("{version} with all {} elements: {}", wanted.len(), wanted.join(", "))));
    }
    findings
}

fn missing(name: &str, there: impl Fn(&str) -> bool) -> Finding {
    let package = PACKAGES.iter().find(|(_, elements)| elements.contains(&name)).map(|(package, _)| *package);
    let advice = package.map_or_else(
        || "install the GStreamer plugin that brings it".to_owned(),
        |package| format!("apt-get install {package}"),
    );
    let what = format!("GStreamer element {name} is missing");
    // The one that has a stand-in.
    if name == "voaacenc" && there("avenc_aac") {
        note(format!("{what}; avenc_aac takes its place, which sounds a little worse"), advice)
    } else if pictures::ELEMENTS.contains(&name) {
        note(format!("{what}; there will be no thumbnails"), advice)
    } else {
        bad(what, advice)
    }
}

/// Whether the programme leaves on time on a machine that is busy with something else.
fn precedence() -> Finding {
    match precedence::may_go_first() {
        Ok(()) => good("the programme goes before other programs"),
        Err(error) => note(
            format!("the programme cannot go first: this account may not put it before other programs ({error})"),
            "on a machine that is busy with something else it may have holes: LimitNICE=-10 in its systemd unit, or a line `ACCOUNT - nice \
             -10` in /etc/security/limits.conf",
        ),
    }
}

/// The data folder: whether it can be written, and how much room there is.
fn disk(data_dir: &Path) -> Vec<Finding> {
    // The folder may be made at the first start; then the one above has to allow that.
    let absolute = std::path::absolute(data_dir).unwrap_or_else(|_| data_dir.to_owned());
    let Some(existing) = absolute.ancestors().find(|folder| folder.exists()) else {
        return vec![bad(
            format!("data_dir {} cannot be reached", data_dir.display()),
            "set data_dir to another folder",
        )];
    };
    let shown = data_dir.display();
    let writable = existing.is_dir() && rustix::fs::access(existing, Access::WRITE_OK | Access::EXEC_OK).is_ok();
    let mut findings = vec![if writable {
        good(format!("data_dir {shown} can be written"))
    } else {
        bad(
            format!("data_dir {shown} cannot be written by this user"),
            format!("give this user the right to write {}, or set data_dir to another folder", existing.display()),
        )
    }];
    if let Ok(room) = rustix::fs::statvfs(existing) {
        findings.push(free(room.f_bavail.saturating_mul(room.f_frsize)));
    }
    findings
}

fn free(bytes: u64) -> Finding {
    let what = format!("{} MB free on its disk", bytes >> 20);
    match bytes {
        0..NO_DISK => bad(what, "free some space: accounts and the queue cannot be stored"),
        NO_DISK..LITTLE_DISK => note(what, "free some space soon"),
        _ => good(what),
    }
}

fn stored(data_dir: &Path, look: Result<Look, StoreError>) -> Finding {
    let shown = data_dir.join(store::FILE_NAME).display().to_string();
    match look {
        Ok(Look::Missing) => good(format!("no store yet; the first start makes {shown}")),
        Ok(Look::Unclean) => good(format!("store {shown} was cut off in the middle; the next start repairs it")),
        Ok(Look::Opens { accounts }) => good(format!("store {shown} opens; accounts: {accounts}")),
        Err(StoreError::InUse { .. }) => good(format!("store {shown} is in use: a box is running")),
        Err(error) => {
            let text = error.to_string();
            // The errors of the store end with what to do.
            let (what, advice) = text.split_once("; ").unwrap_or((&text, "look at the disk"));
            bad(format!("store: {what}"), advice)
        }
    }
}

/// The page over HTTPS: a port that is taken is a pity and no more, because there is plain HTTP.
fn https(config: &Config, running: bool) -> Vec<Finding> {
    let Some(address) = config.web.https_listen else {
        return vec![note("the page is on plain HTTP only", "set web.https_listen if the network is shared")];
    };
    let mut found = port("web.https_listen", address, running);
    if found.grade == Grade::Bad {
        found.grade = Grade::Note;
    }
    let certificate = fingerprint(&config.data_dir).map_or_else(
        || good("no certificate for HTTPS yet; the first start makes it"),
        |fingerprint| good(format!("the certificate for HTTPS has the SHA-256 {fingerprint}")),
    );
    vec![found, certificate]
}

fn open_files(config: &Config) -> Finding {
    let wanted = (config.ingest.max_publishers as u64).saturating_add(OTHER_FILES);
    let limit = rustix::process::getrlimit(Resource::Nofile).current;
    match limit {
        Some(limit) if limit < wanted => bad(
            format!(
                "this user may open {limit} files; {wanted} are needed for {} publishers",
                config.ingest.max_publishers
            ),
            format!("start it after `ulimit -n {wanted}`, or lower ingest.max_publishers"),
        ),
        _ => good("enough files may be open"),
    }
}

fn clock(now: jiff::Timestamp) -> Finding {
    if now.as_second() < EARLIEST {
        note(
            format!("the clock says {now}, which is not so"),
            format!(
                "connect the box to a network with a time server, or run `timedatectl set-ntp true`; {} waits for the right time",
                Protocol::beginnings(Protocol::is_encrypted)
            ),
        )
    } else {
        good(format!("the clock says {}", now.strftime("%F %R UTC")))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

    use std::net::TcpListener;

    use tempfile::TempDir;

    use super::*;

    fn on(folder: &TempDir, more: &[(&str, &str)]) -> Vec<Finding> {
        let mut environment = vec![
            ("MOTHERSTREAM_DATA_DIR".to_owned(), folder.path().join("data").display().to_string()),
            ("MOTHERSTREAM_WEB__LISTEN".to_owned(), "127.0.0.1:0".to_owned()),
            ("MOTHERSTREAM_WEB__HTTPS_LISTEN".to_owned(), "127.0.0.1:0".to_owned()),
            ("MOTHERSTREAM_INGEST__RTMP_LISTEN".to_owned(), "127.0.0.1:0".to_owned()),
        ];
        // Whatever is installed on the machine that runs these tests.
        if !more.iter().any(|(name, _)| name.contains("__SRS__") || name.ends_with("__KIND")) {
            environment.push(("MOTHERSTREAM_INGEST__KIND".to_owned(), "embedded".to_owned()));
        }
        environment.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        examine(&Sources { file: None, fallback: "/nowhere".into(), environment })
    }

    fn worst(findings: &[Finding]) -> Grade {
        findings.iter().map(|finding| finding.grade).max().unwrap()
    }

    #[test]
    fn machine_that_runs_these_tests_is_healthy() {
        let folder = TempDir::new().unwrap();
        let findings = on(&folder, &[]);
        assert!(worst(&findings) < Grade::Bad, "{findings:?}");
        assert!(!folder.path().join("data").exists(), "the doctor makes nothing");
    }

    #[test]
    fn port_in_use_is_named_with_its_key() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let found = port("web.listen", address, false);
        assert_eq!(found.grade, Grade::Bad);
        assert!(found.to_string().contains("web.listen") && found.to_string().contains("ss -ltnp"), "{found}");
        assert_eq!(port("web.listen", address, true).grade, Grade::Good);
    }

    #[test]
    fn running_box_is_no_fault() {
        let folder = TempDir::new().unwrap();
        let (_store, _) = store::Store::open(&folder.path().join("data")).unwrap();
        let findings = on(&folder, &[]);
        assert!(worst(&findings) < Grade::Bad, "{findings:?}");
        assert!(findings.iter().any(|finding| finding.what.contains("a box is running")));
    }

    #[test]
    fn bad_configuration_and_foreign_store_are_told_with_advice() {
        let folder = TempDir::new().unwrap();
        let findings = on(&folder, &[("MOTHERSTREAM_QUEUE__TURN_SECONDS", "0")]);
        assert_eq!(worst(&findings), Grade::Bad);
        std::fs::create_dir(folder.path().join("data")).unwrap();
        std::fs::write(folder.path().join("data").join(store::FILE_NAME), "what is this").unwrap();
        let findings = on(&folder, &[]);
        let bad: Vec<_> = findings.iter().filter(|finding| finding.grade == Grade::Bad).collect();
        assert_eq!(bad.len(), 1, "{bad:?}");
        assert!(bad.iter().all(|finding| finding.advice.is_some()));
    }

    fn stand_in(folder: &TempDir, text: &str) -> String {
        let path = folder.path().join("stand-in-srs");
        std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        path.display().to_string()
    }

    #[test]
    fn srs_that_refuses_its_configuration_is_told_in_its_words() {
        let folder = TempDir::new().unwrap();
        let srs = stand_in(
            &folder,
            "[ \"$1\" = -v ] && echo 7.0.18 && exit\necho '[t][INFO][1][a] invalid code=1023 : illegal vhost.x'; exit 255",
        );
        let port = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let (rtmp, api, http) = (port(), port(), port());
        let findings = on(
            &folder,
            &[
                ("MOTHERSTREAM_INGEST__KIND", "srs"),
                ("MOTHERSTREAM_INGEST__RTMP_LISTEN", &rtmp),
                ("MOTHERSTREAM_INGEST__SRS__BINARY", &srs),
                ("MOTHERSTREAM_INGEST__SRS__CONFIG", concat!(env!("CARGO_MANIFEST_DIR"), "/srs.conf")),
                ("MOTHERSTREAM_INGEST__SRS__API_LISTEN", &api),
                ("MOTHERSTREAM_INGEST__SRS__HTTP_LISTEN", &http),
                ("MOTHERSTREAM_INGEST__SRS__HOOKS_LISTEN", "127.0.0.1:0"),
            ],
        );
        let bad: Vec<_> = findings.iter().filter(|finding| finding.grade == Grade::Bad).collect();
        assert!(bad.iter().any(|finding| finding.what.contains("illegal vhost.x")), "{findings:?}");
        assert!(findings.iter().any(|finding| finding.what.starts_with("SRS 7.0.18")), "{findings:?}");
        assert!(findings.iter().any(|finding| finding.what.contains("ingest.kind says so")), "{findings:?}");
        assert!(!folder.path().join("data").exists(), "the doctor makes nothing");
    }

    #[test]
    fn missing_srs_is_a_fault_only_where_it_is_wanted() {
        let folder = TempDir::new().unwrap();
        let srs = ("MOTHERSTREAM_INGEST__SRS__BINARY", "/no/such/srs");
        let told = |findings: &[Finding], grade| {
            findings.iter().any(|finding| finding.grade == grade && finding.what.contains("/no/such/srs"))
        };
        let findings = on(&folder, &[srs]);
        assert!(told(&findings, Grade::Note) && worst(&findings) < Grade::Bad, "{findings:?}");
        let findings = on(&folder, &[srs, ("MOTHERSTREAM_INGEST__KIND", "srs")]);
        assert!(told(&findings, Grade::Bad), "{findings:?}");
    }

    #[test]
    fn srs_elsewhere_that_does_not_answer_is_told_without_its_password() {
        let folder = TempDir::new().unwrap();
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let url = format!("http://admin:hunter22@{closed}");
        let findings = on(
            &folder,
            &[
                ("MOTHERSTREAM_INGEST__SRS__API_URL", &url),
                ("MOTHERSTREAM_INGEST__SRS__RTMP_URL", "rtmp://10.0.0.5/live"),
                ("MOTHERSTREAM_INGEST__SRS__HOOKS_SECRET", "0123456789abcdef"),
                ("MOTHERSTREAM_INGEST__SRS__HOOKS_LISTEN", "127.0.0.1:0"),
            ],
        );
        let bad: Vec<_> = findings.iter().filter(|finding| finding.grade == Grade::Bad).collect();
        assert_eq!(bad.len(), 1, "{findings:?}");
        assert!(bad[0].to_string().contains("ingest.srs.api_url"));
        assert!(!format!("{findings:?}").contains("hunter22") && !format!("{findings:?}").contains("0123456789abcdef"));
    }

    #[test]
    fn missing_element_names_its_package() {
        assert!(missing("x264enc", |_| false).to_string().contains("apt-get install gstreamer1.0-plugins-ugly"));
        assert_eq!(missing("voaacenc", |_| true).grade, Grade::Note);
        assert_eq!(missing("voaacenc", |_| false).grade, Grade::Bad);
    }

    #[test]
    fn every_element_in_use_has_a_package() {
        let egress = egress::elements();
        for name in [house::ELEMENTS, slate::ELEMENTS, &egress, source::PULL_ELEMENTS, pictures::ELEMENTS].concat() {
            assert!(PACKAGES.iter().any(|(_, elements)| elements.contains(&name)), "{name}");
        }
    }

    #[test]
    fn little_room_and_a_clock_that_was_never_set_are_noticed() {
        assert_eq!(free(1 << 20).grade, Grade::Bad);
        assert_eq!(free(100 << 20).grade, Grade::Note);
        assert_eq!(free(10 << 30).grade, Grade::Good);
        assert_eq!(clock(jiff::Timestamp::UNIX_EPOCH).grade, Grade::Note);
        // Also where the system has no time zones.
        assert!(zones(Path::new("/nowhere")).what.ends_with("the program's own"));
        assert!(jiff::tz::TimeZoneDatabase::bundled().get("Asia/Tokyo").is_ok());
    }
}
