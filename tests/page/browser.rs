//! Scenarios in a real Chromium. They are written in JavaScript (`tests/browser`), because that is what drives a browser best; each
//! has a box of its own, started here. Screenshots lie in `target/browser`.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use crate::support::{
    assets::Asset,
    boxed::{Builder, TOKEN, TheBox},
    obs::{PASSWORD, RealObs},
    recorder::Recorder,
    seconds,
};

const SCENARIOS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/browser");
const ARTEFACTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/browser");

/// Longer than any scenario takes on a slow machine, and less than the test runner's patience.
const PATIENCE: Duration = seconds(240);

/// Node, ended with its owner, and with it the browser and the encoders that it has started.
struct Scenario(Child);

impl Drop for Scenario {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Plays a scenario against a box, and fails with what it says. It may ask for the box to be killed and started.
#[track_caller]
fn play(name: &str, the_box: &mut TheBox, more: &[(&str, &str)]) {
    assert!(
        Path::new(SCENARIOS).join("node_modules/playwright-core").exists(),
        "the browser's tests are not installed: run scripts/install test"
    );
    let mut command = Command::new("node");
    command.arg("run.mjs").arg(name).current_dir(SCENARIOS).stdin(Stdio::piped()).stdout(Stdio::piped());
    command.env("BOX_PORT", the_box.api.port().to_string()).env("BOX_TOKEN", TOKEN);
    command.env("BOX_PID", the_box.pid().to_string()).env("BOX_RTMP", the_box.rtmp.to_string());
    command.env("ASSET_A", Asset::A.path()).env("ASSET_B", Asset::B.path()).env("ARTEFACTS", ARTEFACTS);
    command.envs(more.iter().copied());
    let mut node = Scenario(command.spawn().unwrap());
    let mut orders = node.0.stdin.take().unwrap();
    let (said, lines) = mpsc::channel();
    let output = BufReader::new(node.0.stdout.take().unwrap());
    thread::spawn(move || {
        for line in output.lines().map_while(Result::ok) {
            if said.send(line).is_err() {
                return;
            }
        }
    });
    let deadline = Instant::now() + PATIENCE;
    let mut passed = false;
    loop {
        match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => {
                eprintln!("{line}");
                match line.strip_prefix('@') {
                    Some("kill") => the_box.kill(),
                    Some("boot") => {
                        the_box.boot();
                        the_box.wait_ready();
                    }
                    Some(order) => panic!("the scenario asks for {order}, which nobody knows"),
                    None => {
                        passed |= line == format!("ok {name}");
                        continue;
                    }
                }
                orders.write_all(b"done\n").unwrap();
            }
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => panic!("the scenario {name} has not ended after {PATIENCE:?}"),
        }
    }
    assert!(passed, "the scenario {name} failed; what the browser showed lies in {ARTEFACTS}");
}

/// A box as most scenarios want it.
fn a_box() -> Builder {
    TheBox::builder().set("venue.name", "The Harbour").set("queue.rejoin_seconds", 2)
}

/// The setup code that a box without an owner printed.
fn setup_code(the_box: &TheBox) -> String {
    let log = the_box.log();
    let told = log.lines().find_map(|line| line.trim().strip_prefix("Setup code"));
    told.and_then(|told| told.split_whitespace().next()).expect("the box prints its setup code").to_owned()
}

#[test]
fn box_without_an_owner_is_claimed_by_whoever_has_the_code() {
    let mut the_box = a_box().without("admin.token").start();
    let code = setup_code(&the_box);
    play("claim", &mut the_box, &[("SETUP_CODE", &code)]);
}

#[test]
fn box_is_set_up_step_by_step_without_a_script_on_the_smallest_screen() {
    let platform = Recorder::start();
    let mut the_box = a_box().without("admin.token").without("venue.name").start();
    let code = setup_code(&the_box);
    play("setup", &mut the_box, &[("SETUP_CODE", &code), ("PLATFORM", &platform.url())]);
}

#[test]
fn streamer_registers_on_a_phone_and_watches_herself_go_on_air() {
    play("join", &mut a_box().start(), &[]);
}

#[test]
fn newcomer_is_on_air_within_three_minutes() {
    play("newcomer", &mut a_box().start(), &[]);
}

#[test]
fn lost_connection_is_told_and_heals() {
    play("lost", &mut a_box().start(), &[]);
}

#[test]
fn many_pages_in_one_browser_share_one_line_and_hear_only_what_is_theirs() {
    play("shared", &mut a_box().start(), &[]);
}

#[test]
fn live_updates_that_are_held_back_are_told_and_asked_for_instead() {
    play("held_back", &mut a_box().start(), &[]);
}

#[test]
fn overlays_are_transparent_and_alive() {
    play("overlays", &mut a_box().start(), &[]);
}

#[test]
fn streamers_need_no_script() {
    play("plain", &mut a_box().start(), &[]);
}

#[test]
fn two_who_run_the_night_reorder_skip_and_panic_and_see_the_same() {
    play("night", &mut a_box().start(), &[]);
}

#[test]
fn night_is_run_without_a_script() {
    play("night_plain", &mut a_box().start(), &[]);
}

#[test]
fn programme_plays_across_takes_and_its_thumbnail_changes() {
    play("player", &mut a_box().set("web.open_preview", true).start(), &[]);
}

#[test]
fn admins_pages_are_sound_and_a_destination_is_edited() {
    let platform = Recorder::start();
    play("desk", &mut a_box().without("venue.name").start(), &[("PLATFORM", &platform.url())]);
    // The trial connects; nothing else is sent outside a show.
    assert!(platform.sessions().iter().all(|session| session.records.len() < 10));
}

#[test]
fn update_is_installed_and_the_box_cleared_from_its_page_with_a_simulated_rauc() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name);
    for name in ["boot", "run", "bin"] {
        fs::create_dir(path(name)).unwrap();
    }
    // Says what RAUC says, and knows nothing else of it.
    let simulated = r#"#!/bin/sh
case "$1" in
status) echo '{"compatible":"motherstream-qemu","slots":[{"rootfs.0":{"bootname":"A","state":"booted","boot_status":"good"}},
  {"rootfs.1":{"bootname":"B","state":"inactive","boot_status":"good","slot_status":{"bundle":{"version":"0.9"}}}}]}' ;;
info) if grep -q other-key "$3"; then echo 'signature verification failed: Verify error: self-signed certificate' >&2; exit 1; fi
  echo '{"compatible":"motherstream-qemu","version":"2.0"}' ;;
install) echo ' 40% Copying'; i=0; while [ ! -e "$0.go" ] && [ $i -lt 600 ]; do sleep 0.1; i=$((i + 1)); done; echo '100% Installing done.' ;;
esac
"#;
    fs::write(path("bin/rauc"), simulated).unwrap();
    fs::set_permissions(path("bin/rauc"), fs::Permissions::from_mode(0o755)).unwrap();
    let programs = format!("{}:{}", path("bin").display(), std::env::var("PATH").unwrap());
    let the_box = a_box().set("box.boot_dir", path("boot").display()).set("box.updates", true);
    let the_box = the_box.environment("PATH", programs).environment("RUNTIME_DIRECTORY", path("run").display());
    play("machine", &mut the_box.start(), &[("FOLDER", folder.path().to_str().unwrap())]);
    assert!(path("run/reboot").exists() && path("run/factory-reset").exists());
}

#[test]
fn tab_of_obs_works_where_no_obs_is() {
    let nobody = crate::support::free_port().to_string();
    play("obs", &mut a_box().start(), &[("NOBODY", &nobody)]);
}

#[test]
fn tab_of_obs_sets_a_real_obs_up_and_offers_its_lists() {
    let Some(obs) = RealObs::start() else { return };
    let more = [("OBS_TEST_PORT", obs.port.to_string()), ("OBS_TEST_PASSWORD", PASSWORD.to_owned())];
    play("obs_real", &mut a_box().start(), &more.each_ref().map(|(key, value)| (*key, value.as_str())));
}

#[test]
fn first_look_is_light_and_quick() {
    play("light", &mut a_box().start(), &[]);
}
