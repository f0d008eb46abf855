//! The promise: streamers come, go, die and freeze; the platform sees one unbroken stream.

use std::{thread, time::Duration};

use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::support::{
    analysis::{self, Owner, Sound, without_bridges},
    assets::Asset,
    boxed::{Diary, TheBox, Through},
    nginx::Nginx,
    publisher::Encoder,
    recorder::Recorder,
    seconds, wait,
};

through_both![
    whatever_streamers_do_the_platforms_see_one_unbroken_stream,
    a_skip_right_after_the_next_is_ready_goes_from_picture_to_picture
];

/// Two streamers in turns: a take by the timer, one by skip, the one on air killed, the other frozen for 10 s, nobody, and a third.
fn whatever_streamers_do_the_platforms_see_one_unbroken_stream(ingest: Through) {
    let platform = Recorder::start();
    let foreign = Nginx::start();
    let mut the_box = TheBox::builder()
        .through(ingest)
        .set("queue.turn_seconds", 10)
        .destination("recorder", &platform.url())
        .destination("foreign", &foreign.url())
        .start();
    let api = the_box.api.clone();
    let diary = Diary::keep(&the_box);
    let [a, b, c] = ["Anna", "Bert", "Cleo"].map(|name| api.register(name));
    let publish = |asset: Asset, key: &str| Encoder::publish(&asset.path(), &the_box.publish_url(key));

    api.show(true);
    wait("the slate at the platform", seconds(5), || platform.first_picture(0));
    // The slate's pictures are learned from the time before anybody is on air.
    thread::sleep(seconds(6));
    let slate_until_ms = platform.look(|sessions| sessions[0].records.last().unwrap().time);

    let first = publish(Asset::A, &a.key);
    api.wait_on_air("Anna", seconds(10));
    let second = publish(Asset::B, &b.key);
    api.wait_on_air("Bert", seconds(20));
    // Anna's turn was up: she is disconnected, and her encoder, which is not of the kind that returns, ends.
    first.wait_end(seconds(5));
    thread::sleep(seconds(3));

    let third = publish(Asset::A, &a.key);
    api.wait_ready("Anna", seconds(10));
    api.skip();
    api.wait_on_air("Anna", seconds(5));
    second.wait_end(seconds(5));

    let fourth = publish(Asset::B, &b.key);
    api.wait_ready("Bert", seconds(10));
    thread::sleep(seconds(2));
    third.kill();
    api.wait_on_air("Bert", seconds(5));
    thread::sleep(seconds(4));

    fourth.signal(Signal::SIGSTOP);
    thread::sleep(seconds(10));
    fourth.signal(Signal::SIGCONT);
    thread::sleep(seconds(7));

    fourth.kill();
    thread::sleep(seconds(5));
    let _fifth = publish(Asset::C, &c.key);
    api.wait_on_air("Cleo", seconds(10));
    thread::sleep(seconds(5));
    api.show(false);
    wait("the end of the session", seconds(5), || platform.look(|sessions| sessions[0].ended));
    drop(diary);
    let status = the_box.stop();
    assert!(status.success(), "a clean stop: {status}");

    let session = platform.only_session();
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("programme.flv");
    session.dump(&file).unwrap();
    let figures = analysis::figures(&session);
    eprintln!("{figures:#?}");
    analysis::assert_unbroken(&figures);
    assert_eq!(analysis::remux_complaints(&file), "");

    let pictures = analysis::picture_stretches(&session, &file, slate_until_ms, &[Asset::A, Asset::B, Asset::C]);
    let all = analysis::describe(&pictures);
    let shown: Vec<_> = without_bridges(&pictures, Owner::Slate, 2500);
    let owners: Vec<_> = shown.iter().map(|stretch| stretch.owner).collect();
    let [slate, a, b, c] = [Owner::Slate, Owner::Source(Asset::A), Owner::Source(Asset::B), Owner::Source(Asset::C)];
    let sound = Sound::of_session(&session, &file);
    let tones = sound.tones(&[440.0, 880.0, 660.0]);
    let heard = without_bridges(&tones, None, 2500);
    let all = format!("{all}\n{}", analysis::describe(&tones));
    assert_eq!(owners, [slate, a, b, a, b, slate, b, slate, c], "\n{all}");
    let hertz: Vec<_> = heard.iter().map(|stretch| stretch.owner).collect();
    let [a, b, c] = [Some(440), Some(880), Some(660)];
    assert_eq!(hertz, [None, a, b, a, b, None, b, None, c], "\n{all}");
    for (n, (picture, tone)) in shown.iter().zip(&heard).enumerate() {
        let Some(hz) = tone.owner else { continue };
        let pitch = sound.pitch_hz(tone.begin_ms + 300, tone.end_ms - 300);
        assert!((pitch / f64::from(hz) - 1.0).abs() < 0.003, "{hz} Hz plays at {pitch} Hz\n{all}");
        // Picture and sound fail each for itself: after a stall the sound is back at once, the picture at its next key frame.
        let ahead = if n > 0 && heard[n - 1].owner.is_none() { 2500 } else { 300 };
        let (begins, ends) = (picture.begin_ms - tone.begin_ms, picture.end_ms - tone.end_ms);
        assert!((-300..ahead).contains(&begins), "a tone begins {begins} ms before its picture\n{all}");
        assert!(ends.abs() < 400, "a tone ends {ends} ms before its picture\n{all}");
    }

    let recordings = foreign.recordings();
    assert_eq!(recordings.len(), 1, "one publish session at the foreign server too: {recordings:?}");
    assert_eq!(analysis::remux_complaints(&recordings[0]), "");
    let received = analysis::picture_sums(&recordings[0]).len();
    assert!(received + 60 > session.pictures().count(), "nginx recorded {received} pictures");
}

/// The old picture stays until the new one is there: a skip at whatever moment shows no slate in between.
fn a_skip_right_after_the_next_is_ready_goes_from_picture_to_picture(ingest: Through) {
    let platform = Recorder::start();
    let the_box = TheBox::builder().through(ingest).destination("recorder", &platform.url()).start();
    let api = &the_box.api;
    let _diary = Diary::keep(&the_box);
    let people = [(api.register("Anna"), Asset::A), (api.register("Bert"), Asset::B)];
    let publish = |turn: usize| {
        let (streamer, asset) = &people[turn % 2];
        (Encoder::publish(&asset.path(), &the_box.publish_url(&streamer.key)), streamer.name.clone())
    };
    let (mut on_air, name) = publish(0);
    api.wait_on_air(&name, seconds(10));
    thread::sleep(seconds(2));
    for turn in 1..=8 {
        let (next, name) = publish(turn);
        api.wait_ready(&name, seconds(10));
        thread::sleep(Duration::from_millis(100 * turn as u64));
        api.skip();
        api.wait_on_air(&name, seconds(8));
        on_air.wait_end(seconds(5));
        on_air = next;
        thread::sleep(Duration::from_millis(2500));
    }
    let session = platform.only_session();
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("programme.flv");
    session.dump(&file).unwrap();
    analysis::assert_unbroken(&analysis::figures(&session));
    // Nothing is known of the slate here: whatever is neither streamer's is the slate, or wrong.
    let pictures = analysis::picture_stretches(&session, &file, 0, &[Asset::A, Asset::B]);
    let people = without_bridges(&pictures[..], Owner::Nobody, 0);
    let expected: Vec<_> = (0..9).map(|turn| Owner::Source([Asset::A, Asset::B][turn % 2])).collect();
    let owners: Vec<_> =
        people.iter().map(|stretch| stretch.owner).skip_while(|owner| *owner == Owner::Nobody).collect();
    assert_eq!(owners, expected, "\n{}", analysis::describe(&pictures));
}

/// Outside a show nothing goes to a platform; the first take begins it.
#[test]
fn the_first_take_begins_the_show_and_the_end_closes_the_session() {
    let platform = Recorder::start();
    let the_box = TheBox::builder().destination("recorder", &platform.url()).start();
    let streamer = the_box.api.register("Anna");
    thread::sleep(seconds(1));
    assert_eq!(platform.session_count(), 0);
    let encoder = Encoder::publish(&Asset::A.path(), &the_box.publish_url(&streamer.key));
    the_box.api.wait_on_air("Anna", seconds(10));
    wait("the programme at the platform", seconds(5), || platform.first_picture(0));
    assert_eq!(the_box.api.get("/api/v1/show")["on"], true);
    the_box.api.show(false);
    wait("the end of the session", seconds(5), || platform.look(|sessions| sessions[0].ended));
    drop(encoder);
    thread::sleep(Duration::from_millis(500));
    assert_eq!(platform.session_count(), 1);
}

/// A second TERM does not wait for anything.
#[test]
fn term_stops_cleanly_within_five_seconds() {
    let platform = Recorder::start();
    let mut the_box = TheBox::builder().destination("recorder", &platform.url()).start();
    the_box.api.show(true);
    wait("the slate at the platform", seconds(5), || platform.first_picture(0));
    let begin = std::time::Instant::now();
    let status = the_box.stop();
    assert!(status.success(), "{status}");
    assert!(begin.elapsed() < seconds(5), "{:?}", begin.elapsed());
    wait("the end of the session", seconds(1), || platform.look(|sessions| sessions[0].ended));
}
