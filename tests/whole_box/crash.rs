//! The box is killed in the middle of everything, twenty times.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{
    analysis,
    assets::Asset,
    boxed::{Api, TheBox, Through},
    publisher::Returning,
    recorder::Recorder,
    rtmp::Publisher,
    seconds, wait,
};

through_both![twenty_kills_lose_nothing_acknowledged_and_the_show_goes_on];

/// What the box has said yes to.
#[derive(Default)]
struct Acknowledged {
    /// Registered names.
    names: Vec<String>,
    /// The length of a turn, and one that was asked for and not answered.
    turn: Option<u64>,
    turn_asked: Option<u64>,
    /// Turns that were skipped.
    skipped: Vec<Value>,
    /// The last look at the queue, and when it was taken.
    queue: Option<(Instant, Value)>,
    /// Names whose publish was accepted and who therefore must be in the queue.
    published: Vec<String>,
}

/// Names in the queue, on air first.
fn names(queue: &Value) -> Vec<String> {
    let waiting = queue["waiting"].as_array().unwrap().iter();
    let all = std::iter::once(&queue["on_air"]["entry"]).chain(waiting);
    all.filter_map(|entry| entry["name"].as_str()).map(ToOwned::to_owned).collect()
}

/// Registers, sets the turn's length, publishes and looks at the queue until it is told to stop or the box is gone.
fn load(api: &Api, rtmp: std::net::SocketAddr, round: u64, stop: &AtomicBool, acknowledged: &Mutex<Acknowledged>) {
    // Connections of this life; they end with it.
    let mut publishers = Vec::new();
    for n in 0.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let name = format!("Guest {round} {n}");
        let body = json!({ "name": name, "password": "a good password" });
        let Ok((201, answer)) = api.try_call(&Method::POST, "/api/v1/accounts", Some(&body)) else { return };
        acknowledged.lock().unwrap().names.push(name.clone());
        // The first guest of each life joins the queue, so that its order has something to keep.
        if n == 0 {
            let Ok(publisher) = Publisher::publish(rtmp, "live", answer["stream_key"].as_str().unwrap()) else {
                return;
            };
            publishers.push(publisher);
            acknowledged.lock().unwrap().published.push(name);
        }
        let length = 600 + round * 100 + n % 100;
        acknowledged.lock().unwrap().turn_asked = Some(length);
        let body = json!({ "seconds": length, "reset": false });
        if !api.try_call(&Method::PUT, "/api/v1/turn", Some(&body)).is_ok_and(|(status, _)| status < 300) {
            return;
        }
        let mut now = acknowledged.lock().unwrap();
        (now.turn, now.turn_asked) = (Some(length), None);
        drop(now);
        let Ok((200, queue)) = api.try_call(&Method::GET, "/api/v1/queue", None) else { return };
        acknowledged.lock().unwrap().queue = Some((Instant::now(), queue));
        thread::sleep(Duration::from_millis(10));
    }
}

/// What holds right after a restart, before any encoder is back.
fn assert_nothing_is_lost(api: &Api, acknowledged: &Acknowledged, round: u64) {
    let accounts = api.get("/api/v1/accounts");
    let known: std::collections::HashSet<_> =
        accounts.as_array().unwrap().iter().filter_map(|account| account["name"].as_str()).collect();
    for name in &acknowledged.names {
        assert!(known.contains(name.as_str()), "round {round}: {name} was registered and is gone");
    }
    let turn = api.get("/api/v1/turn")["seconds"].as_u64();
    let fine = acknowledged.turn.is_none() || turn == acknowledged.turn || turn == acknowledged.turn_asked;
    assert!(fine, "round {round}: turns of {turn:?}, set to {:?}", acknowledged.turn);
    let queue = api.queue();
    let Some((looked, before)) = &acknowledged.queue else { return };
    // Whoever was there before and is there now stands in the same order.
    let (old, new) = (names(before), names(&queue));
    let still: Vec<_> = old.iter().filter(|name| new.contains(name)).collect();
    let kept: Vec<_> = new.iter().filter(|name| old.contains(name)).collect();
    if acknowledged.skipped.is_empty() {
        assert_eq!(still, kept, "round {round}: the order changed: {old:?}, then {new:?}");
        assert_eq!(still.len(), old.len(), "round {round}: an entry is gone: {old:?}, then {new:?}");
        let elapsed = |queue: &Value| queue["on_air"]["elapsed_seconds"].as_f64().unwrap();
        let (was, is) = (elapsed(before), elapsed(&queue));
        let most = was + looked.elapsed().as_secs_f64();
        assert!(was - 5.0 <= is && is <= most + 5.0, "round {round}: {was} s on air became {is} s");
    } else {
        assert!(
            !acknowledged.skipped.contains(&queue["on_air"]["id"]),
            "round {round}: a skipped turn is back: {queue}"
        );
    }
    for name in &acknowledged.published {
        assert!(new.contains(name), "round {round}: {name}'s publish was accepted, and the place is gone: {new:?}");
    }
}

/// `kill -9` in mid-turn at random instants under load.
fn twenty_kills_lose_nothing_acknowledged_and_the_show_goes_on(ingest: Through) {
    let platform = Recorder::start();
    let mut the_box = TheBox::builder()
        .through(ingest)
        .set("queue.turn_seconds", 600)
        .set("queue.rejoin_seconds", 5)
        .destination("recorder", &platform.url())
        .start();
    let api = the_box.api.clone();
    let sources = [("Anna", Asset::A), ("Bert", Asset::FlashA), ("Cleo", Asset::C)];
    let _encoders = sources.map(|(name, asset)| {
        let streamer = api.register(name);
        let encoder =
            Returning::publish(&asset.path(), &the_box.publish_url(&streamer.key), Duration::from_millis(200));
        wait("an entry in the queue", seconds(10), || api.entry(name));
        encoder
    });
    wait("somebody on air", seconds(10), || api.on_air());
    let mut slowest = Duration::ZERO;
    let mut registered = 0;
    // No generator: the instants differ from round to round and from run to run by the machine's own jitter too.
    let mut random = std::process::id();
    for round in 1..=20 {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let acknowledged = Arc::new(Mutex::new(Acknowledged::default()));
        let stop = Arc::new(AtomicBool::new(false));
        let rtmp = the_box.rtmp;
        let worker = thread::spawn({
            let (api, stop, acknowledged) = (api.clone(), stop.clone(), acknowledged.clone());
            move || load(&api, rtmp, round, &stop, &acknowledged)
        });
        thread::sleep(Duration::from_millis(700 + u64::from(random >> 16) % 1300));
        if round % 5 == 0 {
            // A skip and, before the dust has settled, the kill.
            let turn = api.queue()["on_air"]["id"].clone();
            let skip = api.try_call(&Method::POST, "/api/v1/queue/skip", Some(&json!({ "turn": turn })));
            wait("the skipped turn's end", seconds(8), || (api.queue()["on_air"]["id"] != turn).then_some(()));
            // 202: done and not stored yet.
            if skip.is_ok_and(|(status, _)| status == 204) {
                acknowledged.lock().unwrap().skipped.push(turn);
            }
        }
        let sessions = platform.session_count();
        the_box.kill();
        stop.store(true, Ordering::Relaxed);
        worker.join().unwrap();

        the_box.boot();
        the_box.wait_ready();
        let acknowledged = std::mem::take(&mut *acknowledged.lock().unwrap());
        assert_nothing_is_lost(&api, &acknowledged, round);
        registered += acknowledged.names.len();
        let back = wait("the programme at the platform", seconds(12), || platform.first_picture(sessions));
        slowest = slowest.max(back - the_box.started);
        // Three times the promised 3 s, as for all times here.
        assert!(back - the_box.started < seconds(9), "round {round}: {:?}", back - the_box.started);
        wait("somebody on air again", seconds(15), || api.on_air());
    }
    eprintln!("the slowest return to the platform took {slowest:?}; {registered} accounts were registered meanwhile");
    assert!(registered > 50, "there was hardly any load: {registered} accounts");
    for session in platform.sessions() {
        let figures = analysis::figures(&session);
        assert!(figures.faults.is_empty(), "{figures:#?}");
    }
}
