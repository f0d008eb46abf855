//! How far behind its streamer the programme is, by a clock drawn into the picture.

use std::{
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::support::{
    analysis,
    assets::Asset,
    boxed::TheBox,
    publisher::{Encoder, Manner, Paced},
    recorder::{Recorder, Session},
    seconds, wait,
};

/// `program.latency_ms` as it is by default.
const LATENCY: Duration = Duration::from_millis(1500);
/// What the pacing thread, the way and the machine add.
const SLACK: Duration = Duration::from_millis(400);
/// Of the clock.
const KEYFRAMES: Duration = seconds(4);

/// The clock's pictures at the platform: when each arrived, and how long before that it was sent.
fn clock_pictures(session: &Session, began: Instant) -> Vec<(Instant, Duration)> {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("programme.flv");
    session.dump(&file).unwrap();
    let shown = analysis::clock_pictures(&file);
    assert_eq!(shown.len(), session.pictures().count());
    let lag = |arrival: Instant, number: u32| {
        let sent = began + Duration::from_millis(u64::from(number) * 1000 / 30);
        (arrival, arrival.saturating_duration_since(sent))
    };
    let pictures = session.pictures().zip(shown);
    // Before the take everything else is on air, and the slate may look like a clock.
    let clock = pictures.skip_while(|(_, shown)| shown.is_none_or(|number| number == 0));
    clock.filter_map(|(picture, shown)| Some(lag(picture.arrival, shown?))).collect()
}

#[test]
fn turn_that_begins_in_the_past_is_as_far_behind_as_promised_after_two_key_frames() {
    let platform = Recorder::start();
    let the_box = TheBox::builder().destination("recorder", &platform.url()).start();
    let api = &the_box.api;
    let [anna, bert] = ["Anna", "Bert"].map(|name| api.register(name));
    let _anna = Encoder::publish(&Asset::A.path(), &the_box.publish_url(&anna.key));
    api.wait_on_air("Anna", seconds(10));
    let clock = Paced::publish(&Asset::Clock.path(), the_box.rtmp, &bert.key, Manner::default());
    api.wait_ready("Bert", seconds(10));
    // The next key frame is not here yet, nor due for long after it is: the take is of the past.
    let phase = Duration::from_millis(3700);
    thread::sleep((clock.began + phase).saturating_duration_since(Instant::now()));
    api.skip();
    api.wait_on_air("Bert", seconds(2));
    let until = Instant::now() + KEYFRAMES * 2;
    wait("two key frames and some more", KEYFRAMES * 4, || (Instant::now() > until + seconds(3)).then_some(()));

    let session = platform.only_session();
    analysis::assert_unbroken(&analysis::figures(&session));
    let pictures = clock_pictures(&session, clock.began);
    let (begin, first) = pictures[0];
    let settled = pictures.iter().filter(|(arrival, _)| *arrival > begin + KEYFRAMES * 2);
    let mut lags: Vec<_> = settled.map(|(_, lag)| *lag).collect();
    lags.sort_unstable();
    // A machine that was late for a moment is no lag.
    let (least, most) = (lags[lags.len() / 10], lags[lags.len() * 9 / 10]);
    eprintln!(
        "at the take {first:?} behind, two key frames later {least:?} to {most:?} but for a tenth at each end, {} pictures",
        lags.len()
    );
    assert!(first > LATENCY + seconds(2), "the take was not of the past: {first:?}");
    assert!(lags.len() > 60);
    assert!(most < LATENCY + SLACK && least + SLACK > LATENCY, "{least:?} to {most:?}");
}
