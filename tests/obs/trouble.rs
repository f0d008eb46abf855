//! OBS dies, freezes, wants another password: the programme does not notice, and OBS is right again soon.

use std::{
    thread,
    time::{Duration, Instant},
};

use reqwest::Method;
use serde_json::json;

use crate::{
    support::{analysis, obs::PASSWORD, seconds, wait},
    venue::{AIR, PAUSE, SOON, Venue, blue, green, red, seconds_of, switches, wait_shown},
};

#[test]
fn obs_killed_in_mid_turn_is_right_within_five_seconds_of_its_return() {
    let Some(mut venue) = Venue::open() else { return };
    let (observer, _encoders) = venue.anna_on_air();
    observer.wait_text("Name", "Anna", SOON);
    observer.wait_text("Next", "Bert", SOON);
    observer.wait_colour("red", SOON, red);
    let before = venue.program();

    venue.obs.kill();
    venue.wait_link("away");
    // The night goes on meanwhile: Bert is taken, and Anna is no longer next.
    venue.the_box.api.skip();
    venue.the_box.api.wait_on_air("Bert", SOON);
    // Long enough for the delays between two tries to grow.
    thread::sleep(seconds(8));

    venue.obs.launch();
    let back = venue.obs.wait_socket();
    let observer = venue.obs.observe();
    let right = || {
        let time = seconds_of(&observer.text("Clock"));
        observer.scene() == AIR
            && observer.text("Name") == "Bert"
            && observer.text("Next") != "Bert"
            && time.is_some_and(|time| time > 500)
            && blue(observer.colour())
    };
    while !right() {
        assert!(
            back.elapsed() < seconds(20),
            "{} {} {} {:?} {:?}",
            observer.scene(),
            observer.text("Name"),
            observer.text("Clock"),
            observer.colour(),
            venue.status()
        );
        thread::sleep(Duration::from_millis(20));
    }
    let took = back.elapsed();
    eprintln!("right again {:.2} s after OBS's socket was back", took.as_secs_f64());
    assert!(took < seconds(5), "{took:?}");
    venue.wait_link("connected");

    let after = venue.program();
    assert_eq!(after["starvations"], before["starvations"], "{before} {after}");
    let session = venue.platform.only_session();
    analysis::assert_unbroken(&analysis::figures(&session));
}

#[test]
fn obs_frozen_for_half_a_minute_is_not_noticed_and_gets_no_stale_commands() {
    let Some(venue) = Venue::open() else { return };
    let (observer, _encoders) = venue.anna_on_air();
    observer.wait_text("Next", "Bert", SOON);
    wait("the programme at the platform", SOON, || venue.platform.first_picture(0));
    // OBS tells of a switch with its next picture: what happened before the freeze is not to be told after it.
    thread::sleep(seconds(1));
    let before = (Instant::now(), venue.program());

    venue.obs.freeze(true);
    let frozen = Instant::now();
    let status = venue.wait_status("the freeze to be noticed", SOON, |status| status["link"]["state"] == "away");
    assert_eq!(status["link"]["trouble"]["kind"], "frozen", "{status}");
    eprintln!("noticed after {:.1} s", frozen.elapsed().as_secs_f64());
    // Takes, the panic slate, takes: everything that OBS would follow.
    for round in 0..3 {
        for name in ["Bert", "Anna"] {
            venue.the_box.api.take(name);
            venue.the_box.api.wait_on_air(name, SOON);
            thread::sleep(Duration::from_millis(1500));
        }
        venue.slate(true);
        thread::sleep(Duration::from_millis(500));
        if round < 2 {
            venue.slate(false);
        }
    }
    // Longer than the system waits for a peer that acknowledges nothing: the player in OBS must have been told before.
    thread::sleep(seconds(33).saturating_sub(frozen.elapsed()));
    let after = (Instant::now(), venue.program());

    let thawed = Instant::now();
    venue.obs.freeze(false);
    venue.wait_link("connected");
    observer.wait_scene(PAUSE, seconds(5));
    observer.wait_colour("green", SOON, green);
    thread::sleep(seconds(3));
    // The slate is up: it is the only scene that anybody could want now.
    let seen = switches(&observer, thawed);
    assert!(seen.iter().all(|scene| scene == PAUSE) && seen.len() <= 1, "after the thaw OBS showed {seen:?}");
    let texts = observer.events_of("InputSettingsChanged", thawed);
    let early = texts.iter().filter(|event| event.at < thawed + Duration::from_millis(500)).count();
    assert!(early <= 4, "{early} texts at once: {texts:?}");

    let elapsed = (after.0 - before.0).as_millis() as f64;
    let time = |program: &serde_json::Value| program["time_ms"].as_f64().unwrap();
    let went_on = time(&after.1) - time(&before.1);
    assert!((went_on - elapsed).abs() < 1500.0, "{elapsed} ms, and {went_on} ms of programme");
    assert_eq!(after.1["starvations"], before.1["starvations"], "{} {}", before.1, after.1);
    let session = venue.platform.only_session();
    let figures = analysis::figures(&session);
    eprintln!(
        "longest hole {:?}, latest tick {} ms before, {} ms after, machine {:?}",
        figures.arrival_gap, before.1["latest_tick_ms"], after.1["latest_tick_ms"], figures.machine_was_late
    );
    analysis::assert_unbroken(&figures);
    // Three times the promise, as for all arrivals here.
    assert!(figures.arrival_gap < Duration::from_millis(450) + figures.machine_was_late, "{figures:?}");

    // Late by a tick when the machine is.
    let tick = |program: &serde_json::Value| program["latest_tick_ms"].as_u64().unwrap();
    let late = 100 + figures.machine_was_late.as_millis() as u64;
    assert!(tick(&after.1) <= tick(&before.1).max(late), "{} {}", before.1, after.1);

    venue.slate(false);
    observer.wait_scene(AIR, SOON);
    observer.wait_text("Name", "Anna", SOON);
    observer.wait_colour("red", SOON, red);
    eprintln!("the programme's picture was there again {:.1} s after the thaw at most", thawed.elapsed().as_secs_f64());

    // What was ordered before the freeze is noticed: the one request that is under way may still be carried out, no other.
    venue.obs.freeze(true);
    for _ in 0..3 {
        venue.slate(true);
        thread::sleep(Duration::from_millis(300));
        venue.slate(false);
        thread::sleep(Duration::from_millis(300));
    }
    venue.wait_link("away");
    let thawed = Instant::now();
    venue.obs.freeze(false);
    venue.wait_link("connected");
    observer.wait_scene(AIR, seconds(5));
    thread::sleep(seconds(1));
    let seen = switches(&observer, thawed);
    assert!(seen.len() <= 2 && observer.scene() == AIR, "after the thaw OBS showed {seen:?}");
    eprintln!("with one request under way OBS showed {seen:?}");
}

#[test]
fn wrong_password_is_told_and_the_right_one_connects() {
    let Some(venue) = Venue::open() else { return };
    venue.connect("no password of this OBS");
    let status = venue.wait_link("away");
    assert_eq!(status["link"]["trouble"]["kind"], "wrong_password", "{status}");
    assert!(status["link"]["reason"].as_str().unwrap().contains("password"), "{status}");

    // A trial of a connection tells one trouble from another, and changes nothing.
    let trial = |port: u16, password: &str| {
        let target = json!({ "host": "127.0.0.1", "port": port, "password": password });
        venue.the_box.api.try_call(&Method::POST, "/api/v1/obs/test", Some(&target)).unwrap()
    };
    let port = venue.obs.port;
    for (port, password, wanted) in [
        (port, "another wrong one", "wrong_password"),
        (venue.the_box.api.port(), PASSWORD, "not_obs"),
        (venue.the_box.rtmp.port(), PASSWORD, "not_obs"),
        (crate::support::free_port(), PASSWORD, "nothing_there"),
        (port, PASSWORD, "30.2.3"),
    ] {
        let (code, answer) = trial(port, password);
        assert!(answer.to_string().contains(wanted), "port {port}, {wanted}: {code} {answer}");
        assert!(!answer.to_string().contains(PASSWORD), "{answer}");
    }
    venue.obs.freeze(true);
    let (code, answer) = trial(port, PASSWORD);
    assert!(answer.to_string().contains("frozen"), "{code} {answer}");
    venue.obs.freeze(false);
    assert_eq!(venue.status()["link"]["state"], "away");

    let told = Instant::now();
    venue.connect(PASSWORD);
    let status = venue.wait_link("connected");
    assert_eq!(status["link"]["version"], "30.2.3", "{status}");
    assert!(told.elapsed() < seconds(3), "{:?}: a changed password is tried at once", told.elapsed());
    let log = venue.the_box.log();
    assert!(!log.contains(PASSWORD) && !log.contains("no password of this OBS"), "a password in the log");
}

#[test]
fn scene_that_a_person_chose_is_left_alone() {
    let Some(venue) = Venue::open() else { return };
    let (observer, _encoders) = venue.anna_on_air();
    wait_shown(&observer, AIR, "Banner", true);

    observer.choose(crate::venue::OTHER);
    let status =
        venue.wait_status("the box to say that it leaves OBS alone", SOON, |status| status["left_alone"].is_string());
    assert!(status["left_alone"].as_str().unwrap().contains("Interview"), "{status}");
    thread::sleep(Duration::from_millis(500));
    let chosen = Instant::now();
    venue.the_box.api.take("Bert");
    venue.the_box.api.wait_on_air("Bert", SOON);
    venue.slate(true);
    thread::sleep(seconds(2));
    venue.slate(false);
    thread::sleep(seconds(1));
    let touched: Vec<_> = observer.events().into_iter().filter(|event| event.at >= chosen).collect();
    let touched: Vec<_> = touched.iter().filter(|event| !event.kind.starts_with("Media")).collect();
    assert!(touched.is_empty(), "OBS was touched: {touched:?}");
    assert_eq!(observer.scene(), "Interview");

    // Any of ours gives the wheel back.
    observer.choose(PAUSE);
    observer.wait_scene(AIR, seconds(5));
    observer.wait_text("Name", "Bert", SOON);
    observer.wait_colour("blue", SOON, blue);
    venue.wait_status("the box to follow again", SOON, |status| status["left_alone"].is_null());
}
