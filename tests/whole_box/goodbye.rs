//! What a platform hears at the end of a session. A goodbye ends the broadcast for its viewers, so it is said when the show is over there,
//! and not when the box only starts again: then the platform keeps the broadcast for the encoder that comes back.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use reqwest::Method;
use serde_json::json;
use tempfile::TempDir;

use crate::support::{
    boxed::{Builder, TheBox, path_part},
    recorder::{Recorder, Session},
    seconds, wait,
};

/// A box with a show on, at a platform.
fn on_a_show(builder: Builder) -> (TheBox, Recorder) {
    let platform = Recorder::start();
    let the_box = builder.destination("platform", &platform.url()).start();
    the_box.api.show(true);
    wait("the programme at the platform", seconds(10), || platform.first_picture(0));
    (the_box, platform)
}

/// The first session, when it has ended.
fn ended(platform: &Recorder) -> Session {
    wait("the end of the session", seconds(10), || platform.look(|sessions| sessions.first()?.ended));
    platform.sessions().remove(0)
}

/// The box was interrupted in mid show: the platform heard nothing, and the next start publishes to it again.
fn comes_back(the_box: &mut TheBox, platform: &Recorder) {
    let session = ended(platform);
    assert!(!session.said_goodbye(), "{:?}", session.commands);
    the_box.boot();
    the_box.wait_ready();
    wait("the programme at the platform again", seconds(15), || platform.first_picture(1));
}

/// A folder with a `systemctl` that says these are systemd's jobs.
fn with_jobs(jobs: &str) -> TempDir {
    let folder = TempDir::new().unwrap();
    let program = folder.path().join("systemctl");
    fs::write(&program, format!("#!/bin/sh\n[ \"$1\" = list-jobs ] && echo '{jobs}'\n")).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

/// A box that systemd started.
fn by_systemd(programs: &Path) -> Builder {
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
    TheBox::builder().environment("INVOCATION_ID", "0123456789abcdef0123456789abcdef").environment("PATH", path)
}

#[test]
fn platform_is_said_goodbye_to_at_the_end_of_the_show() {
    let (the_box, platform) = on_a_show(TheBox::builder());
    the_box.api.show(false);
    let session = ended(&platform);
    assert!(session.said_goodbye(), "{:?}", session.commands);
    assert!(session.commands.iter().any(|command| command == "FCUnpublish"), "{:?}", session.commands);
}

#[test]
fn platform_that_is_switched_off_edited_or_removed_is_said_goodbye_to() {
    let [off, edited, removed] = [Recorder::start(), Recorder::start(), Recorder::start()];
    let the_box = TheBox::builder().start();
    the_box.api.show(true);
    let add = |name: &str, platform: &Recorder| {
        let new = json!({ "name": name, "url": platform.url(), "key": "secret", "enabled": true });
        let id = the_box.api.post("/api/v1/destinations", &new)["id"].clone();
        wait("the programme at the platform", seconds(10), || platform.first_picture(0));
        format!("/api/v1/destinations/{}", path_part(&id))
    };
    let paths = [add("off", &off), add("edited", &edited), add("removed", &removed)];
    the_box.api.call(&Method::PATCH, &paths[0], Some(&json!({ "enabled": false })));
    the_box.api.call(&Method::PATCH, &paths[1], Some(&json!({ "key": "another" })));
    the_box.api.call(&Method::DELETE, &paths[2], None);
    for platform in [&off, &edited, &removed] {
        let session = ended(platform);
        assert!(session.said_goodbye(), "{:?}", session.commands);
    }
}

#[test]
fn platform_is_said_goodbye_to_when_a_person_stops_the_box() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let (mut the_box, platform) = on_a_show(TheBox::builder());
        assert!(the_box.end(signal).success());
        let session = ended(&platform);
        assert!(session.said_goodbye(), "{signal}: {:?}", session.commands);
    }
}

#[test]
fn upgrade_in_mid_show_leaves_the_broadcast_open() {
    let (mut the_box, platform) = on_a_show(TheBox::builder());
    assert!(the_box.end(Signal::SIGHUP).success());
    comes_back(&mut the_box, &platform);
}

#[test]
fn end_by_the_watchdog_leaves_the_broadcast_open() {
    let (mut the_box, platform) = on_a_show(TheBox::builder());
    kill(Pid::from_raw(the_box.pid() as i32), Signal::SIGSTOP).unwrap();
    the_box.kill();
    comes_back(&mut the_box, &platform);
}

#[test]
fn restart_by_systemd_in_mid_show_leaves_the_broadcast_open_and_its_poweroff_does_not() {
    let restart = with_jobs("97 motherstream.service stop running\n95 reboot.target start waiting");
    let (mut the_box, platform) = on_a_show(by_systemd(restart.path()));
    assert!(the_box.stop().success());
    comes_back(&mut the_box, &platform);

    let off = with_jobs("97 motherstream.service stop running\n95 poweroff.target start waiting");
    let (mut the_box, platform) = on_a_show(by_systemd(off.path()));
    assert!(the_box.stop().success());
    assert!(ended(&platform).said_goodbye());
}

#[test]
fn restart_ordered_on_the_page_leaves_the_broadcast_open_that_began_since() {
    let machine = TempDir::new().unwrap();
    let platform = Recorder::start();
    let builder = TheBox::builder().set("box.boot_dir", machine.path().display());
    let builder = builder.environment("RUNTIME_DIRECTORY", machine.path().display());
    let mut the_box = builder.destination("platform", &platform.url()).start();
    the_box.api.call(&Method::POST, "/api/v1/system/restart", None);
    wait("the order to the machine", seconds(5), || machine.path().join("reboot").exists().then_some(()));
    // The machine takes its time, and somebody begins the evening meanwhile.
    the_box.api.show(true);
    wait("the programme at the platform", seconds(10), || platform.first_picture(0));
    assert!(the_box.stop().success());
    comes_back(&mut the_box, &platform);
}
