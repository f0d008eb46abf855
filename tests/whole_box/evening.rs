//! An evening as people have it: claiming the box, registering, publishing, watching.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use reqwest::{Client, Method};
use serde_json::{Value, json};

use crate::support::{
    assets::Asset,
    boxed::{TOKEN, TheBox, Through},
    flv::{self, Content},
    publisher::Encoder,
    recorder::Recorder,
    seconds, wait,
};

#[test]
fn on_an_image_the_setup_code_is_in_its_file_and_not_in_what_the_journal_keeps() {
    let (boot, run) = (tempfile::TempDir::new().unwrap(), tempfile::TempDir::new().unwrap());
    let the_box = TheBox::builder().without("admin.token").set("box.boot_dir", boot.path().display());
    let the_box = the_box.environment("RUNTIME_DIRECTORY", run.path().display()).start();
    let code = wait("the setup code, laid ready for the machine", seconds(10), || {
        let text = std::fs::read_to_string(run.path().join("setup-code")).ok()?;
        Some(text.trim().to_owned()).filter(|code| code.len() == 8)
    });
    let log = the_box.log();
    assert!(log.contains("Setup code") && log.contains("setup-code.txt"), "{log}");
    assert!(!log.contains(&code), "{log}");
}

through_both![a_newcomer_claims_the_box_registers_publishes_and_is_on_air];

/// A newcomer needs nothing but what the box prints and what its API answers.
fn a_newcomer_claims_the_box_registers_publishes_and_is_on_air(ingest: Through) {
    let the_box = TheBox::builder().through(ingest).without("admin.token").start();
    let log = the_box.log();
    let line = log.lines().find(|line| line.contains("Setup code")).unwrap_or_else(|| panic!("no setup code\n{log}"));
    let code = line.split_whitespace().nth(2).unwrap();
    assert_eq!(code.len(), 8, "{line}");

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let call = |client: &Client, method: Method, path: &str, body: Value| {
        let request = client.request(method, the_box.api.url(path));
        let request = if body.is_null() { request } else { request.json(&body) };
        runtime.block_on(async {
            let answer = request.send().await.unwrap();
            (answer.status().as_u16(), answer.json::<Value>().await.unwrap_or_default())
        })
    };
    let [visitor, admin, streamer] = [(); 3].map(|()| Client::builder().cookie_store(true).build().unwrap());
    let claim = |code: &str| json!({ "code": code, "name": "Stage", "password": "a good password" });
    assert!((400..500).contains(&call(&visitor, Method::POST, "/api/v1/setup", claim("WRONGONE")).0));
    let (status, answer) = call(&admin, Method::POST, "/api/v1/setup", claim(code));
    assert!((200..300).contains(&status), "{status} {answer}");
    let (status, _) = call(&visitor, Method::POST, "/api/v1/setup", claim(code));
    assert!((400..500).contains(&status), "the code works once: {status}");
    let signed_in =
        call(&admin, Method::POST, "/api/v1/session", json!({ "name": "Stage", "password": "a good password" }));
    assert!(signed_in.0 < 300, "{signed_in:?}");

    let account = json!({ "name": "Ada", "password": "another good one" });
    let (status, registered) = call(&streamer, Method::POST, "/api/v1/accounts", account.clone());
    assert_eq!(status, 201, "{registered}");
    assert_eq!(
        call(&visitor, Method::POST, "/api/v1/accounts", json!({ "name": " ada ", "password": "12345678" })).0,
        409
    );
    assert_eq!(call(&visitor, Method::POST, "/api/v1/accounts", json!({ "name": "Eve", "password": "short" })).0, 422);
    assert!(call(&streamer, Method::POST, "/api/v1/session", account).0 < 300);
    let (_, me) = call(&streamer, Method::GET, "/api/v1/me", Value::Null);
    assert_eq!(me["stream_key"], registered["stream_key"]);

    // The address that streamers are told, the key that they are told.
    let url = format!("{}/{}", registered["rtmp_url"].as_str().unwrap(), me["stream_key"].as_str().unwrap());
    let encoder = Encoder::publish(&Asset::A.path(), &url);
    let queue = || call(&visitor, Method::GET, "/api/v1/queue", Value::Null).1;
    wait("Ada to be on air", seconds(10), || (queue()["on_air"]["entry"]["name"] == "Ada").then_some(()));
    assert_eq!(call(&visitor, Method::GET, "/queue-json", Value::Null).1, json!(["Ada"]));
    for client in [&visitor, &streamer] {
        let (status, _) = call(client, Method::POST, "/api/v1/queue/skip", json!({}));
        assert!(status == 401 || status == 403, "only an admin skips: {status}");
    }
    assert!(call(&admin, Method::GET, "/api/v1/status", Value::Null).0 == 200);
    // An admin's cookie alone, as another site could make a browser send it, changes nothing.
    let forged = runtime.block_on(async {
        let request = admin.post(the_box.api.url("/api/v1/queue/skip")).header("Origin", "http://elsewhere.example");
        request.header("Sec-Fetch-Site", "cross-site").send().await.unwrap().status().as_u16()
    });
    assert_eq!(forged, 403);
    drop(encoder);
    let log = the_box.log();
    assert!(!log.contains(me["stream_key"].as_str().unwrap()), "a stream key in the log");
}

/// The turn's history, the event stream, and the clock that an admin sets.
#[test]
fn pages_follow_the_queue_and_past_turns_are_kept() {
    let the_box = TheBox::builder().start();
    let api = &the_box.api;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (sender, events) = std::sync::mpsc::channel();
    let url = api.url("/api/v1/events");
    runtime.spawn(async move {
        let mut stream = Client::new().get(url).send().await.unwrap();
        while let Ok(Some(chunk)) = stream.chunk().await {
            let _ = sender.send(String::from_utf8_lossy(&chunk).into_owned());
        }
    });
    let streamer = api.register("Anna");
    let encoder = Encoder::publish(&Asset::A.path(), &the_box.publish_url(&streamer.key));
    api.wait_on_air("Anna", seconds(10));
    wait("the page to hear of it", seconds(5), || events.try_iter().any(|event| event.contains("Anna")).then_some(()));
    let (status, _) = api.try_call(&Method::GET, "/update-timer/120?reset_time=true", None).unwrap();
    assert!(status < 300, "{status}");
    assert_eq!(api.get("/api/v1/turn")["seconds"], 120);
    assert_eq!(api.queue()["on_air"]["length_seconds"], 120.0);
    api.skip();
    encoder.wait_end(seconds(5));
    let history = wait("the turn in the history", seconds(5), || {
        Some(api.get("/api/v1/history")).filter(|history| !history.as_array().unwrap().is_empty())
    });
    assert!(history.to_string().contains("Anna") || history[0]["account"] == streamer.id, "{history}");
    let (status, metrics) = api.try_call(&Method::GET, "/metrics", None).unwrap();
    assert!(status == 200 && metrics.as_str().unwrap().contains("# TYPE"), "{status}");
    assert!(api.get("/api/v1/openapi.json")["paths"]["/api/v1/queue/skip"].is_object());
}

/// Players on the network see what platforms see, within half a second.
#[test]
fn a_player_gets_the_programme_when_the_platforms_do() {
    let platform = Recorder::start();
    let the_box = TheBox::builder().destination("recorder", &platform.url()).start();
    let streamer = the_box.api.register("Anna");
    let _encoder = Encoder::publish(&Asset::A.path(), &the_box.publish_url(&streamer.key));
    the_box.api.wait_on_air("Anna", seconds(10));
    wait("the programme at the platform", seconds(5), || platform.first_picture(0));
    let token = the_box.api.post("/api/v1/viewers", &json!({ "label": "a screen" }))["token"].clone();
    let url = the_box.api.url(&format!("/program.flv?token={}", token.as_str().unwrap()));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let played = runtime.block_on(async {
        let refused = Client::new().get(the_box.api.url("/program.flv?token=nonsense")).send().await.unwrap();
        assert!(refused.status().is_client_error(), "{}", refused.status());
        let mut stream = Client::new().get(url).bearer_auth(TOKEN).send().await.unwrap();
        assert!(stream.status().is_success(), "{}", stream.status());
        let (begin, mut bytes, mut arrivals) = (Instant::now(), Vec::new(), Vec::new());
        while begin.elapsed() < seconds(6) {
            let Ok(Ok(Some(chunk))) = tokio::time::timeout(seconds(2), stream.chunk()).await else { break };
            bytes.extend_from_slice(&chunk);
            arrivals.push((bytes.len(), Instant::now()));
        }
        (bytes, arrivals)
    });
    let (bytes, arrivals) = played;
    assert!(bytes.starts_with(b"FLV"), "{} bytes", bytes.len());
    let sent: HashMap<_, _> = platform.only_session().pictures().map(|r| (r.payload.clone(), r.arrival)).collect();
    let (mut at, mut compared, mut worst) = (13, 0, Duration::ZERO);
    let tags = flv::parse(&bytes[13..]);
    // What the player was sent at once, from the last key frame on, is older.
    let live_from = arrivals[0].1 + seconds(2);
    for tag in &tags {
        at += 11 + tag.payload.len() + 4;
        let arrival = arrivals.iter().find(|(length, _)| *length >= at).unwrap().1;
        if let (Content::Picture { .. }, Some(there)) = (flv::content(tag.kind, &tag.payload), sent.get(&tag.payload)) {
            if arrival <= live_from {
                continue;
            }
            worst = worst.max(arrival.saturating_duration_since(*there).max(there.saturating_duration_since(arrival)));
            compared += 1;
        }
    }
    eprintln!("{compared} pictures, at most {worst:?} apart");
    assert!(compared > 60, "only {compared} pictures were the platform's too");
    // Three times the promised half second, as for all times here.
    assert!(worst < Duration::from_millis(1500), "{worst:?}");
}
