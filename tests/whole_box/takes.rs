//! Many takes: one session, no growth, and sound that stays with its picture.

use std::{thread, time::Duration};

use tempfile::TempDir;

use crate::support::{
    analysis::{self, Owner, Sound},
    assets::Asset,
    boxed::{TheBox, Through},
    flv::Content,
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
    let offsets_at_source = [
        (Asset::FlashA, analysis::source_offset(Asset::FlashA, 48_000)),
        (Asset::FlashB, analysis::source_offset(Asset::FlashB, 44_100)),
    ];
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
    let pictures = analysis::picture_stretches(&session, &file, 0, &[Asset::FlashA, Asset::FlashB]);
    let flashes = analysis::flashes(&file, &analysis::presentation_times(&session));
    let beeps = Sound::of_session(&session, &file).beeps();
    let configurations = session.records.iter().filter(|record| matches!(record.content, Content::VideoConfig));
    let cuts: Vec<_> = configurations.map(|record| record.time as f64).collect();
    let mut judged = 0;
    let mut worst: f64 = 0.0;
    for (flash, offset) in analysis::offsets(&flashes, &beeps) {
        // Near a cut the flash, or its beep, may be the other streamer's.
        let within =
            |s: &&analysis::Stretch<Owner>| flash > s.begin_ms as f64 + 300.0 && flash < s.end_ms as f64 - 300.0;
        let Some(stretch) = pictures.iter().find(within) else { continue };
        // Two streamers send the same pictures: a cut between them shows in the configuration alone.
        if cuts.iter().any(|cut| (flash - cut).abs() < 600.0) {
            continue;
        }
        let source = offsets_at_source.iter().find(|(asset, _)| stretch.owner == Owner::Source(*asset));
        let Some((asset, at_source)) = source else { continue };
        let drift = offset - at_source;
        assert!(drift.abs() <= 40.0, "at {flash} ms sound is {drift} ms from where {asset:?} had it");
        worst = worst.max(drift.abs());
        judged += 1;
    }
    eprintln!("{judged} flashes, the worst offset {worst:.1} ms");
    assert!(judged as u64 >= wanted, "only {judged} flashes were judged");
}
