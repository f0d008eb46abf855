//! Live updates and the programme: answers that have no end.

use std::time::Duration;

use futures_util::StreamExt;
use tokio::time::timeout;

use super::*;
use crate::web::http::lines::MOST_PROGRAMS;

const SOON: Duration = Duration::from_secs(5);

/// An event stream, read event by event.
struct Events {
    response: reqwest::Response,
    text: String,
}

impl Events {
    async fn open(site: &Site, who: &As) -> Self {
        let response = site.request(Method::GET, "/api/v1/events", who).send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { response, text: String::new() }
    }

    /// The next event's name and data; none at the end.
    async fn next(&mut self) -> Option<(String, Value)> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
                let found = field("event:")
                    .map(|name| (name.to_owned(), serde_json::from_str(field("data:").unwrap()).unwrap()));
                self.text = rest.to_owned();
                match found {
                    Some(event) => return Some(event),
                    None => continue,
                }
            }
            let piece = timeout(SOON, self.response.chunk()).await.expect("an event in time").ok()??;
            self.text.push_str(std::str::from_utf8(&piece).unwrap());
        }
    }

    /// The data of the next event of this name for which `wanted` holds.
    async fn until(&mut self, name: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        loop {
            let (event, data) = self.next().await.unwrap();
            if event == name && wanted(&data) {
                return data;
            }
        }
    }
}

#[tokio::test]
async fn anyone_sees_the_queue_change_and_nothing_more() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    let mut events = Events::open(&site, &As::Nobody).await;
    assert_eq!(events.next().await.unwrap().0, "queue");
    assert_eq!(events.next().await.unwrap(), ("show".to_owned(), json!({"on": false})));
    site.put("/api/v1/turn", &As::Token, json!({"seconds": 77})).await.is(200);
    events.until("queue", |queue| queue["turn_seconds"] == 77).await;
    site.put("/api/v1/show", &As::Token, json!({"on": true})).await.is(200);
    let mut names = Vec::new();
    loop {
        let (name, data) = events.next().await.unwrap();
        names.push(name.clone());
        if name == "show" && data["on"] == true {
            break;
        }
    }
    assert!(names.iter().all(|name| name == "queue" || name == "show"), "{names:?}");
    site.end().await;
}

#[tokio::test]
async fn admins_see_everything_until_they_are_none() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    let (_, _other) = site.admin("Ada").await;
    let (id, bob) = site.admin("Bob").await;
    let mut events = Events::open(&site, &bob).await;
    events.until("hold-offs", |_| true).await;
    events.until("status", |status| status["program"].is_object()).await;
    site.patch(&format!("/api/v1/accounts/{}", id.0), &As::Token, json!({"role": "streamer"})).await.is(200);
    site.put("/api/v1/turn", &As::Token, json!({"seconds": 77})).await.is(200);
    events.until("queue", |queue| queue["turn_seconds"] == 77).await;
    site.put("/api/v1/turn", &As::Token, json!({"seconds": 78})).await.is(200);
    loop {
        let (name, data) = events.next().await.unwrap();
        assert!(name == "queue" || name == "show", "{name}");
        if data["turn_seconds"] == 78 {
            break;
        }
    }
    site.end().await;
}

#[tokio::test]
async fn stream_ends_with_the_session_it_was_asked_for_with() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    let (id, ada) = site.admin("Ada").await;
    let elsewhere = site.session("Ada").await;
    let (mut here, mut there) = (Events::open(&site, &ada).await, Events::open(&site, &elsewhere).await);
    here.until("status", |_| true).await;
    there.until("status", |_| true).await;
    // Signed out here: the other session goes on, and its stream too.
    site.delete("/api/v1/session", &ada).await.is(204);
    timeout(SOON, async { while here.next().await.is_some() {} }).await.expect("the end in time");
    site.put("/api/v1/turn", &As::Token, json!({"seconds": 77})).await.is(200);
    there.until("queue", |queue| queue["turn_seconds"] == 77).await;
    // A new password ends all.
    let path = format!("/api/v1/accounts/{}", id.0);
    site.patch(&path, &As::Token, json!({"password": "a new password"})).await.is(200);
    timeout(SOON, async { while there.next().await.is_some() {} }).await.expect("the end in time");
    site.end().await;
}

#[tokio::test]
async fn streams_end_when_the_box_stops() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    let mut events = Events::open(&site, &As::Nobody).await;
    events.next().await.unwrap();
    site.stop.cancel();
    while events.next().await.is_some() {}
    timeout(SOON, site.end()).await.unwrap();
}

#[tokio::test]
async fn too_many_listeners_are_refused() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    let mut open = Vec::new();
    for _ in 0..MOST_PROGRAMS {
        open.push(Events::open(&site, &As::Nobody).await);
    }
    site.get("/api/v1/events", &As::Nobody).await.is(503);
    drop(open);
    for _ in 0..100 {
        let response = site.request(Method::GET, "/api/v1/events", &As::Nobody).send().await.unwrap();
        if response.status() == 200 {
            return site.end().await;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("places are not given free");
}

#[tokio::test]
async fn program_needs_a_viewer_token_that_stands() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    site.get("/program.flv", &As::Token).await.is(401);
    site.get("/program.flv?token=guess", &As::Token).await.is(403);
    site.post("/api/v1/viewers", &As::Token, json!({"label": ""})).await.blames(422, "label");
    let made = site.post("/api/v1/viewers", &As::Token, json!({"label": "OBS in the hall"})).await;
    let token = made.is(201).body["token"].as_str().unwrap().to_owned();
    let list = site.get("/api/v1/viewers", &As::Token).await;
    assert_eq!(list.is(200).body[0]["label"], "OBS in the hall");
    assert!(!list.body.to_string().contains(&token));

    let path = made.body["path"].as_str().unwrap();
    let response = site.request(Method::GET, path, &As::Nobody).send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "video/x-flv");
    assert_eq!(response.headers()["cache-control"], "no-store");
    let mut bytes = response.bytes_stream();
    let first = timeout(SOON, bytes.next()).await.expect("the programme in time").unwrap().unwrap();
    assert!(first.starts_with(b"FLV"));

    // Revoked: whoever plays is cut off, and nobody else begins.
    site.delete(&format!("/api/v1/viewers/{}", made.body["id"]), &As::Token).await.is(204);
    timeout(SOON, async { while let Some(Ok(_)) = bytes.next().await {} }).await.expect("the end in time");
    site.get(path, &As::Nobody).await.is(403);
    site.delete(&format!("/api/v1/viewers/{}", made.body["id"]), &As::Token).await.is(404);
    site.end().await;
}
