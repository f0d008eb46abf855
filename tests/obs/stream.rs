//! OBS's own stream: started once whoever asks, started with the show, watched.

use std::{
    thread,
    time::{Duration, Instant},
};

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    support::{boxed::Api, obs::Observer, recorder::Recorder, seconds, wait},
    venue::{SOON, Venue},
};

/// How many times OBS began to start.
fn starts(observer: &Observer, since: Instant) -> usize {
    let events = observer.events_of("StreamStateChanged", since);
    events.iter().filter(|event| event.data["outputState"] == "OBS_WEBSOCKET_OUTPUT_STARTING").count()
}

fn order(api: &Api, path: &str) -> (u16, Value) {
    api.try_call(&Method::POST, path, Some(&json!({}))).unwrap()
}

#[test]
fn two_admins_start_the_stream_at_once_and_obs_lives() {
    let venues = Recorder::start();
    let Some(mut venue) = Venue::open_with(|obs| obs.stream_to(&venues.url(), "the-venues-key")) else { return };
    venue.furnish();
    let observer = venue.obs.observe();
    wait_streaming(&venue, "stopped", SOON);
    // Its platform takes its time, so that OBS stays in the middle of the start.
    venues.freeze(true);
    let begin = Instant::now();
    let answers: Vec<_> = thread::scope(|scope| {
        let admins = [(); 2].map(|()| {
            let api = venue.the_box.api.clone();
            scope.spawn(move || order(&api, "/api/v1/obs/stream/start"))
        });
        admins.into_iter().map(|admin| admin.join().unwrap()).collect()
    });
    eprintln!("{answers:?}");
    assert!(answers.iter().any(|(code, _)| *code < 300), "{answers:?}");
    // One more, while it starts.
    let (code, answer) = order(&venue.the_box.api, "/api/v1/obs/stream/start");
    assert!((400..500).contains(&code), "a start in the middle of a start: {code} {answer}");
    thread::sleep(seconds(1));
    assert!(venue.obs.is_alive(), "OBS died");
    assert_eq!(starts(&observer, begin), 1, "{answers:?}");
    venues.freeze(false);
    wait_streaming(&venue, "running", SOON);
    wait("OBS's stream at the venue's platform", SOON, || venues.first_picture(0));
    assert_eq!(venues.only_session().key, "the-venues-key");

    let (code, answer) = order(&venue.the_box.api, "/api/v1/obs/stream/stop");
    assert!(code < 300, "{code} {answer}");
    wait_streaming(&venue, "stopped", SOON);
    assert_eq!(observer.request("GetStreamStatus", &json!({}))["outputActive"], false);
}

#[test]
fn stream_is_started_with_the_show_and_watched() {
    let mut venues = Recorder::start();
    let Some(mut venue) = Venue::open_with(|obs| obs.stream_to(&venues.url(), "the-venues-key")) else { return };
    venue.furnish();
    let observer = venue.obs.observe();
    let begin = Instant::now();
    venue.settings(&json!({ "obs.stream": true }));
    thread::sleep(seconds(1));
    assert_eq!(starts(&observer, begin), 0, "no show, no stream");

    // The platform takes nobody: three tries, then a person is waited for.
    venues.refuse(true);
    venue.the_box.api.show(true);
    wait_streaming(&venue, "given_up", seconds(60));
    assert_eq!(starts(&observer, begin), 3, "{:?}", observer.events_of("StreamStateChanged", begin));
    venues.refuse(false);
    thread::sleep(seconds(6));
    assert_eq!(starts(&observer, begin), 3, "a person is waited for");
    assert!(venue.obs.is_alive(), "OBS died");
    let (code, answer) = order(&venue.the_box.api, "/api/v1/obs/stream/start");
    assert!(code < 300, "{code} {answer}");
    wait_streaming(&venue, "running", SOON);
    wait("OBS's stream at the venue's platform", SOON, || venues.first_picture(0));

    // OBS says that it is active while its platform is away. That is not healthy, and is left to OBS.
    venues.die();
    wait_streaming(&venue, "reconnecting", SOON);
    assert_eq!(observer.request("GetStreamStatus", &json!({}))["outputActive"], true);
    venues.come_back();
    wait_streaming(&venue, "running", seconds(30));
    assert_eq!(starts(&observer, begin), 4);

    // The show ends, and with it the stream.
    venue.the_box.api.show(false);
    wait_streaming(&venue, "stopped", SOON);
    assert_eq!(observer.request("GetStreamStatus", &json!({}))["outputActive"], false);
}

/// Waits until the box says so of OBS's stream.
#[track_caller]
fn wait_streaming(venue: &Venue, state: &str, patience: Duration) {
    venue.wait_status(&format!("OBS's stream to be {state}"), patience, |status| status["streaming"] == state);
}
