//! Many takes: one session, no growth, and sound that stays with its picture.

use std::{
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::support::{
    analysis::{self, Owner, Sound},
    assets::Asset,
    boxed::{TheBox, Through},
    publisher::{Encoder, Returning},
    recorder::Recorder,
    seconds, soak, wait,
};

through_both![
    forty_takes_make_one_session_leak_nothing_and_keep_sound_with_picture,
    whoever_is_killed_on_air_at_whatever_moment_is_followed_within_a_key_frame_interval,
];

/// Takes so far.
fn takes(the_box: &TheBox) -> u64 {
    the_box.api.get("/api/v1/status")["program"]["takes"].as_u64().unwrap()
}

/// The least of some samples: what is held, not what is in flight.
fn memory(the_box: &TheBox) -> u64 {
    let samples = (0..20).map(|_| {
        thread::sleep(Duration::from_millis(50));
        the_box.anonymous_memory()
    });
    samples.min().unwrap()
}

/// Turns of 3 s, three streamers that return whenever they are disconnected.
fn forty_takes_make_one_session_leak_nothing_and_keep_sound_with_picture(ingest: Through) {
    let wanted = if soak() { 400 } else { 40 };
    let platform = Recorder::start();
    let the_box =
        TheBox::builder().through(ingest).set("queue.turn_seconds", 3).destination("recorder", &platform.url()).start();
    let sources = [("Anna", Asset::FlashA), ("Bert", Asset::FlashB), ("Cleo", Asset::FlashA)];
    let _encoders = sources.map(|(name, asset)| {
        let streamer = the_box.api.register(name);
        Returning::publish(&asset.path(), &the_box.publish_url(&streamer.key), Duration::from_millis(100))
    });

    wait("the first ten takes", seconds(90), || (takes(&the_box) >= 10).then_some(()));
    let early = memory(&the_box);
    wait("all takes", seconds(10 * wanted), || (takes(&the_box) >= wanted).then_some(()));
    let late = memory(&the_box);
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    eprintln!("anonymous memory after 10 takes {:.1} MB, after {wanted} {:.1} MB", megabytes(early), megabytes(late));
    assert!(late as f64 <= early as f64 * 1.1, "{:.1} MB grew to {:.1} MB", megabytes(early), megabytes(late));

    let session = platform.only_session();
    let figures = analysis::figures(&session);
    eprintln!("{figures:#?}");
    analysis::assert_unbroken(&figures);

    let folder = TempDir::new().unwrap();
    let file = folder.path().join("programme.flv");
    session.dump(&file).unwrap();
    let beeps = Sound::of_session(&session, &file).beeps();
    let drifts = analysis::drifts(&session, &file, &beeps, &[(Asset::FlashA, 48_000), (Asset::FlashB, 44_100)]);
    for drift in &drifts {
        assert!(drift.late_ms.abs() <= 40.0, "sound is not where its source had it: {drift:?}");
    }
    let worst = drifts.iter().map(|drift| drift.late_ms.abs()).fold(0.0, f64::max);
    let judged = drifts.len();
    eprintln!("{judged} flashes, the worst offset {worst:.1} ms");
    assert!(judged as u64 >= wanted, "only {judged} flashes were judged");
}

/// Two streamers with a key frame every 2 s; whoever is on air is killed, the other follows, the first comes back.
fn whoever_is_killed_on_air_at_whatever_moment_is_followed_within_a_key_frame_interval(ingest: Through) {
    const INTERVAL_MS: i64 = 2000;
    let wanted = if soak() { 500 } else { 5 };
    let platform = Recorder::start();
    let the_box = TheBox::builder().through(ingest).destination("recorder", &platform.url()).start();
    let api = &the_box.api;
    let streamers = [("Anna", Asset::A), ("Bert", Asset::B)].map(|(name, asset)| (api.register(name), asset));
    let publish = |turn: usize| {
        let (streamer, asset) = &streamers[turn % 2];
        Encoder::publish(&asset.path(), &the_box.publish_url(&streamer.key))
    };
    api.show(true);
    wait("the slate at the platform", seconds(5), || platform.first_picture(0));
    thread::sleep(seconds(6));
    let slate_until_ms = platform.look(|sessions| sessions[0].records.last().unwrap().time);
    let mut on_air = publish(0);
    api.wait_on_air("Anna", seconds(10));
    let mut kills = Vec::new();
    for turn in 1..=wanted {
        let (next, asset) = &streamers[turn % 2];
        let follower = publish(turn);
        api.wait_ready(&next.name, seconds(20));
        // Every phase of both groups of pictures comes by.
        thread::sleep(seconds(2) + Duration::from_millis(turn as u64 * 617 % 2000));
        kills.push((Instant::now(), *asset));
        on_air.kill();
        api.wait_on_air(&next.name, seconds(5));
        on_air = follower;
    }
    thread::sleep(seconds(3));

    let session = platform.only_session();
    analysis::assert_unbroken(&analysis::figures(&session));
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("programme.flv");
    session.dump(&file).unwrap();
    let stretches = analysis::picture_stretches(&session, &file, slate_until_ms, &[Asset::A, Asset::B]);
    let after: Vec<_> = kills
        .iter()
        .map(|(killed, asset)| {
            let seen = session.records.iter().rev().find(|record| record.arrival <= *killed).unwrap().time;
            let followed = |stretch: &&analysis::Stretch<Owner>| {
                stretch.owner == Owner::Source(*asset) && stretch.end_ms > seen && stretch.length_ms() > 1000
            };
            stretches.iter().find(followed).unwrap().begin_ms - seen
        })
        .collect();
    let dark = stretches.iter().filter(|stretch| stretch.owner == Owner::Slate && stretch.begin_ms > slate_until_ms);
    let dark: Vec<_> = dark.map(analysis::Stretch::length_ms).collect();
    let worst = after.iter().max().unwrap();
    eprintln!("{wanted} kills: followed after {worst} ms at most; {} times the slate, of {dark:?} ms", dark.len());
    assert!(*worst <= INTERVAL_MS, "{after:?}\n{}", analysis::describe(&stretches));
}
