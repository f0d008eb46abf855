//! The hooks of a real SRS 7.0.18, word for word and in their order, at the running listener.

use motherstream::core::frame::ConnectionId;
use serde_json::Value;

use crate::{
    support::{seconds, simulated_srs::post},
    venue::{Seen, Venue},
};

/// The bodies of a capture.
fn bodies(capture: &str) -> Vec<Value> {
    let lines = capture.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.map(|mut line| line["body"].take()).collect()
}

fn granted(venue: &Venue, body: &Value) -> bool {
    let (status, text) = post(&venue.hooks, body, &|| false).unwrap();
    status == 200 && serde_json::from_str::<Value>(&text).unwrap()["code"] == 0
}

/// `key-abc` was let in and kicked, `bad` and `bad401` were refused, `dup` was published twice at once: the newcomer takes over.
#[test]
fn captured_hooks_are_answered_and_told_in_their_order() {
    let venue = Venue::simulated_in(seconds(60), "22g50b76");
    let sim = venue.sim.as_ref().unwrap();
    let all = bodies(include_str!("../../src/ingest/srs/fixtures/hooks.jsonl"));
    let name = |body: &Value| ConnectionId::new(format!("srs-22g50b76-{}", body["client_id"].as_str().unwrap()));
    let mut there = Vec::new();
    for body in &all {
        let (id, stream) = (body["client_id"].as_str().unwrap(), body["stream"].as_str().unwrap());
        // Nobody answered these two as the box does: their names begin otherwise here.
        let mut body = body.clone();
        if stream.starts_with("bad") {
            body["stream"] = Value::from(format!("refuse-{stream}"));
        }
        match body["action"].as_str().unwrap() {
            "on_publish" => {
                assert_eq!(granted(&venue, &body), !stream.starts_with("bad"), "{body}");
                if !stream.starts_with("bad") {
                    there.push(sim.appear_as(id, "live", stream));
                }
            }
            "on_unpublish" => assert!(granted(&venue, &body), "{body}"),
            // It asks whom to forward to; the box does not configure it.
            _ => drop(granted(&venue, &body)),
        }
    }
    let publish = |body: &Value, key: &str| Seen::Publish(name(body), key.to_owned());
    let (abc, bad, bad401, dup, taker) = (&all[0], &all[3], &all[4], &all[5], &all[7]);
    assert_eq!(
        venue.story(&name(abc)),
        [publish(abc, "key-abc"), Seen::Opened(name(abc)), Seen::Closed(name(abc)), Seen::Unpublish(name(abc))]
    );
    assert_eq!(venue.story(&name(bad)), [publish(bad, "refuse-bad")]);
    assert_eq!(venue.story(&name(bad401)), [publish(bad401, "refuse-bad401")]);
    assert_eq!(
        venue.story(&name(dup)),
        [publish(dup, "dup"), Seen::Opened(name(dup)), Seen::Closed(name(dup)), Seen::Unpublish(name(dup))]
    );
    assert_eq!(venue.story(&name(taker)), [publish(taker, "dup"), Seen::Opened(name(taker))]);
    assert_eq!(venue.connections(), [name(taker)]);
}

#[test]
fn captured_hooks_of_srt_are_as_those_of_rtmp() {
    let venue = Venue::simulated_in(seconds(60), "0v8z9027");
    let [publish, unpublish] = &bodies(include_str!("../../src/ingest/srs/fixtures/hooks-srt.jsonl"))[..] else {
        panic!("two hooks")
    };
    assert!(granted(&venue, publish));
    assert!(granted(&venue, unpublish));
    let id = venue.published("srtkey");
    venue.unpublished(&id);
    let story = [
        Seen::Publish(id.clone(), "srtkey".to_owned()),
        Seen::Opened(id.clone()),
        Seen::Closed(id.clone()),
        Seen::Unpublish(id.clone()),
    ];
    assert_eq!(venue.story(&id), story);
}
