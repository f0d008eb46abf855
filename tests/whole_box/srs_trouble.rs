//! SRS that cannot run: the box runs all the same, shows its slate, and says in clear words what is wrong, in the status and in `doctor`.

use std::{fs, net::TcpListener, os::unix::fs::PermissionsExt, path::PathBuf};

use tempfile::TempDir;

use crate::support::{
    boxed::{Builder, SrsPorts, TheBox, Through},
    real_srs,
    recorder::Recorder,
    rtmp::Publisher,
    seconds, wait,
};

/// A program that passes for SRS as far as `script` does.
fn stand_in(folder: &TempDir, script: &str) -> PathBuf {
    let path = folder.path().join("stand-in-srs");
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// A box that would run `program` as its SRS.
fn with(program: &std::path::Path, ports: &SrsPorts) -> Builder {
    TheBox::builder()
        .set("ingest.kind", "srs")
        .set("ingest.srs.binary", program.display())
        .set("ingest.srs.config", concat!(env!("CARGO_MANIFEST_DIR"), "/srs.conf"))
        .srs_at(ports)
}

/// The problem in the status, which must hold `words`, as must the doctor's findings.
#[track_caller]
fn told(the_box: &TheBox, words: &[&str]) {
    let problem = wait("the problem in the status", seconds(15), || {
        let status = the_box.api.get("/api/v1/status");
        let problem = status["ingest"]["problem"].as_str()?.to_owned();
        (status["ingest"]["running"] == false && words.iter().all(|word| problem.contains(word))).then_some(problem)
    });
    eprintln!("status: {problem}");
    let (content, said) = the_box.command("doctor");
    let shown: Vec<_> = said.lines().filter(|line| line.contains("SRS") || line.contains("FAIL")).collect();
    eprintln!("doctor: {}", shown.join("\n        "));
    assert!(!content, "the doctor finds nothing wrong:\n{said}");
    assert!(words.iter().all(|word| said.contains(word)), "the doctor does not say {words:?}:\n{said}");
    let log = the_box.log();
    assert!(words.iter().all(|word| log.contains(word)), "the log does not say {words:?}:\n{log}");
}

#[test]
fn a_missing_too_old_or_unwilling_srs_is_named_and_the_programme_goes_on() {
    let folder = TempDir::new().unwrap();
    let platform = Recorder::start();
    let cases: [(PathBuf, &[&str]); 4] = [
        (folder.path().join("no-such-srs"), &["no-such-srs", "there is no program"]),
        (stand_in(&TempDir::new().unwrap(), "").with_file_name("gone"), &["there is no program"]),
        (PathBuf::from("/bin/true"), &["says no version"]),
        (stand_in(&folder, "echo 5.0.213"), &["SRS 5.0.213 is too old"]),
    ];
    for (program, words) in cases {
        let the_box = with(&program, &SrsPorts::free()).destination("recorder", &platform.url()).start_hindered();
        told(&the_box, words);
        let shows = platform.session_count();
        the_box.api.show(true);
        wait("the slate at the platform", seconds(8), || platform.first_picture(shows));
    }
    // One that is SRS by its version, and will not have the configuration.
    let script = "[ \"$1\" = -v ] && echo 7.0.18 && exit\n\
                  echo '[2026-01-01 00:00:00.000][ERROR][1][a][22] invalid config, code=1023 : illegal directive vhost.x'; exit 255";
    let the_box = with(&stand_in(&folder, script), &SrsPorts::free()).start_hindered();
    told(&the_box, &["illegal directive vhost.x"]);
}

#[test]
fn auto_takes_the_embedded_ingest_where_no_srs_can_be_used_and_says_why() {
    let folder = TempDir::new().unwrap();
    let the_box = with(&stand_in(&folder, "echo 5.0.213"), &SrsPorts::free()).set("ingest.kind", "auto").start();
    let status = the_box.api.get("/api/v1/status")["ingest"].clone();
    assert_eq!(status["kind"], "embedded", "{status}");
    assert_eq!(status["running"], true, "{status}");
    assert!(status["chosen_because"].as_str().unwrap().contains("5.0.213"), "{status}");
    let streamer = the_box.api.register("Anna");
    Publisher::publish(the_box.rtmp, "live", &streamer.key).unwrap();
}

#[test]
fn a_real_srs_that_is_hindered_by_a_strange_process_starts_when_that_is_gone() {
    if real_srs().is_none() {
        return;
    }
    let mut the_box = TheBox::builder().through(Through::Srs).start();
    assert!(the_box.stop().success());
    let strange = TcpListener::bind(the_box.rtmp).unwrap();
    the_box.boot();
    the_box.wait_answers();
    told(&the_box, &["ingest.rtmp_listen", &the_box.rtmp.port().to_string(), "is in use by"]);
    drop(strange);
    wait("SRS to run", seconds(40), || (the_box.api.get("/api/v1/status")["ingest"]["running"] == true).then_some(()));
    let streamer = the_box.api.register("Anna");
    let publisher = Publisher::publish(the_box.rtmp, "live", &streamer.key).unwrap();
    assert_eq!(the_box.srs_publishers().len(), 1);
    drop(publisher);
    assert!(the_box.stop().success());
    assert_eq!(the_box.srs_pid(), None);
}

/// A setting that SRS does not know is told in SRS's own words.
#[test]
fn a_real_srs_that_refuses_its_configuration_is_quoted() {
    if real_srs().is_none() {
        return;
    }
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("srs.conf");
    let text = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/srs.conf")).unwrap();
    fs::write(&file, text + "\nno_such_directive on;\n").unwrap();
    let the_box = TheBox::builder().through(Through::Srs).set("ingest.srs.config", file.display()).start_hindered();
    told(&the_box, &["no_such_directive"]);
}
