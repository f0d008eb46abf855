//! Many takes: one session, no growth, and sound that stays with its picture.

use std::{thread, time::Duration};

use tempfile::TempDir;

use crate::support::{
    analysis::{self, Sound},
    assets::Asset,
    boxed::{TheBox, Through},
    publisher::Returning,
    recorder::Recorder,
    seconds, soak, wait,
};

through_both![forty_takes_make_one_session_leak_nothing_and_keep_sound_with_picture];

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
