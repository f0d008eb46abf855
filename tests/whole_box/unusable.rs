//! Streams that cannot be used, or not taken: told once, refused from the second time on, and in nobody's way.

use std::{thread, time::Duration};

use crate::support::{
    assets::Asset,
    boxed::TheBox,
    publisher::Encoder,
    recorder::Recorder,
    rtmp::{self, PublishError, Publisher},
    seconds, wait,
};

/// An encoder that was set to AV1 over enhanced RTMP, as OBS is: it reconnects as soon as it is dropped.
#[test]
fn av1_is_told_twice_and_refused_from_then_on() {
    let platform = Recorder::start();
    let the_box = TheBox::builder().destination("recorder", &platform.url()).start();
    let api = the_box.api.clone();
    let [good, bad] = ["Anna", "Bert"].map(|name| api.register(name));
    let _encoder = Encoder::publish(&Asset::A.path(), &the_box.publish_url(&good.key));
    api.wait_on_air("Anna", seconds(15));
    let mut accepted = 0;
    let refusal = loop {
        match Publisher::publish(the_box.rtmp, "live", &bad.key) {
            Ok(mut publisher) => {
                accepted += 1;
                assert!(accepted <= 2, "accepted {accepted} times");
                // A sequence start of AV1, with nothing in it.
                publisher.send(rtmp::VIDEO, 0, b"\x90av01").unwrap();
                assert!(publisher.closed_within(seconds(5)), "what cannot be used is not dropped");
            }
            Err(PublishError::Refused { description, .. }) => break description,
            Err(other) => panic!("{other:?}"),
        }
        thread::sleep(Duration::from_millis(200));
    };
    assert_eq!(accepted, 2);
    assert!(refusal.contains("AV1 is not supported") && refusal.contains("H.264"), "{refusal}");
    wait("the place to be given away", seconds(3), || api.entry("Bert").is_none().then_some(()));
    let held = api.get("/api/v1/status")["hold_offs"][0].clone();
    assert_eq!(held["name"], "Bert");
    assert!(held["reason"].as_str().unwrap().contains("AV1 is not supported"), "{held}");
    assert_eq!(api.on_air().as_deref(), Some("Anna"));
}

/// Pictures that are all sent with the same time stamp are never ready, and their streamer reads why.
#[test]
fn stream_whose_time_stamps_stand_still_is_never_ready_and_told_why() {
    let the_box = TheBox::builder().start();
    let api = the_box.api.clone();
    let [good, bad] = ["Anna", "Bert"].map(|name| api.register(name));
    let tags = crate::support::flv::read(&Asset::C.path()).unwrap();
    let mut publisher = Publisher::publish(the_box.rtmp, "live", &bad.key).unwrap();
    let feeder = thread::spawn(move || {
        let begin = std::time::Instant::now();
        for tag in tags.iter().take_while(|tag| tag.timestamp < 9000) {
            thread::sleep(Duration::from_millis(u64::from(tag.timestamp)).saturating_sub(begin.elapsed()));
            if publisher.send(tag.kind, 0, &tag.payload).is_err() {
                break;
            }
        }
    });
    let _encoder = Encoder::publish(&Asset::A.path(), &the_box.publish_url(&good.key));
    // Whoever comes first would be taken first.
    api.wait_on_air("Anna", seconds(15));
    let cookie = api.sign_in("Bert");
    let trouble = || {
        let me: serde_json::Value = serde_json::from_slice(&api.bytes_with_cookie("/api/v1/me", &cookie)).unwrap();
        me["entry"]["trouble"].as_str().map(ToOwned::to_owned)
    };
    let told = wait("the reason", seconds(5), trouble);
    assert!(told.contains("stand still"), "{told}");
    assert_eq!(api.entry("Bert").unwrap()["presence"], "present");
    feeder.join().unwrap();
}
