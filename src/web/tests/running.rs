//! Running the box: queue, show, destinations, history, measurements.

use std::time::Duration;

use super::*;
use crate::{
    core::queue::TurnId,
    ingest::Door,
    store::{Change, Durability, HistoryRecord},
};

#[tokio::test]
async fn empty_queue_is_an_answer() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    let queue = site.get("/api/v1/queue", &As::Nobody).await;
    assert_eq!((&queue.is(200).body["on_air"], &queue.body["waiting"]), (&Value::Null, &json!([])));
    assert_eq!(site.get("/queue-json", &As::Nobody).await.is(200).body, json!([]));
    site.end().await;
}

#[tokio::test]
async fn turns_length_is_set_and_checked() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    assert_eq!(site.get("/api/v1/turn", &As::Token).await.is(200).body["seconds"], 3600);
    let set = site.put("/api/v1/turn", &As::Token, json!({"seconds": 90, "reset": true})).await;
    assert_eq!(set.is(200).body["seconds"], 90);
    eventually(async || site.get("/api/v1/turn", &As::Token).await.body["seconds"] == 90).await;
    for wrong in [0, -1, 86_401] {
        site.put("/api/v1/turn", &As::Token, json!({"seconds": wrong})).await.blames(422, "seconds");
    }
    site.end().await;
}

#[tokio::test]
async fn old_addresses_of_docks_and_scripts_work_with_the_token() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    for (query, status) in
        [("", 200), ("?reset_time=True", 200), ("?reset_time=false", 200), ("?reset_time=perhaps", 422)]
    {
        site.get(&format!("/update-timer/120{query}"), &As::Token).await.is(status);
    }
    site.get("/update-timer/0", &As::Token).await.is(422);
    site.get("/update-timer/-5", &As::Token).await.is(422);
    assert_eq!(site.get("/update-block-toggle/", &As::Token).await.is(200).body["on"], true);
    assert_eq!(site.get("/update-block-toggle/", &As::Token).await.is(200).body["on"], false);
    site.end().await;
}

#[tokio::test]
async fn switches_switch() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    for on in [true, false] {
        assert_eq!(site.put("/api/v1/block", &As::Token, json!({"on": on})).await.is(200).body["on"], on);
        assert_eq!(site.put("/api/v1/show", &As::Token, json!({"on": on})).await.is(200).body["on"], on);
        site.post("/api/v1/queue/hold", &As::Token, json!({"on": on})).await.is(204);
        site.post("/api/v1/queue/slate", &As::Token, json!({"on": on})).await.is(204);
        eventually(async || {
            let queue = site.get("/api/v1/queue", &As::Nobody).await.body;
            ["block", "hold", "forced_slate", "show"].iter().all(|name| queue[name] == on)
        })
        .await;
        assert_eq!(site.get("/api/v1/block", &As::Token).await.is(200).body["on"], on);
        assert_eq!(site.get("/api/v1/show", &As::Token).await.is(200).body["on"], on);
    }
    site.end().await;
}

#[tokio::test]
async fn orders_about_what_is_not_there_are_refused() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    for order in ["take", "kick", "move"] {
        site.post(&format!("/api/v1/queue/entries/77/{order}"), &As::Token, json!({})).await.is(404);
    }
    site.post("/api/v1/queue/skip", &As::Token, json!({"turn": 77})).await.is(409);
    site.post("/api/v1/accounts/77/lift-hold-off", &As::Token, json!({})).await.is(404);
    let (_, bob) = site.streamer("Bob").await;
    site.delete("/api/v1/me/entry", &bob).await.is(404);
    site.end().await;
}

#[tokio::test]
async fn streamers_see_their_place_and_admins_order_it() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    let mut people = Vec::new();
    for name in ["Ada", "Bob", "Cem"] {
        let (id, session) = site.streamer(name).await;
        assert!(site.publish(id, name).await);
        people.push((id, session));
    }
    let names = async || site.get("/queue-json", &As::Nobody).await.body;
    eventually(async || names().await == json!(["Ada", "Bob", "Cem"])).await;
    let me = async |who: usize| site.get("/api/v1/me", &people[who].1).await.body;
    // Their frames go nowhere here: health is told once media knows the connection.
    assert!(me(1).await.as_object().unwrap().contains_key("health"));
    assert_eq!((&me(1).await["entry"]["position"], &me(1).await["entry"]["presence"]), (&json!(2), &json!("present")));

    let entry = async |who: usize| me(who).await["entry"]["id"].clone();
    let order = async |who: usize, what: &str, body: Value| {
        let path = format!("/api/v1/queue/entries/{}/{what}", entry(who).await);
        site.post(&path, &As::Token, body).await
    };
    order(2, "move", json!({"before": entry(0).await})).await.is(204);
    eventually(async || names().await == json!(["Cem", "Ada", "Bob"])).await;
    order(2, "move", json!({})).await.is(204);
    eventually(async || names().await == json!(["Ada", "Bob", "Cem"])).await;
    // Not ready: nothing was sent yet.
    order(1, "take", json!({})).await.is(409);

    // A kick holds off, and says so on the streamer's page.
    order(1, "kick", json!({})).await.is(204);
    eventually(async || names().await == json!(["Ada", "Cem"])).await;
    assert!(me(1).await["held_off_seconds"].as_f64().unwrap() > 200.0);
    assert!(!site.publish(people[1].0, "Bob again").await);
    eventually(async || me(1).await["last_refusal"]["reason"].is_string()).await;
    let lift = format!("/api/v1/accounts/{}/lift-hold-off", people[1].0.0);
    site.post(&lift, &As::Token, json!({})).await.is(204);
    eventually(async || me(1).await["held_off_seconds"].is_null()).await;
    assert!(site.publish(people[1].0, "Bob once more").await);
    site.post(&lift, &As::Token, json!({})).await.is(404);

    // Leaving, a ban and a deletion empty the places.
    site.delete("/api/v1/me/entry", &people[1].1).await.is(204);
    site.post(&format!("/api/v1/accounts/{}/ban", people[0].0.0), &As::Token, json!({})).await.is(200);
    eventually(async || names().await == json!(["Cem"])).await;
    let sure = Some(json!({"current_password": PASSWORD}));
    site.call(Method::DELETE, "/api/v1/me", &people[2].1, sure).await.is(204);
    eventually(async || names().await == json!([])).await;
    site.end().await;
}

fn destination(name: &str) -> Value {
    json!({"name": name, "url": "rtmp://127.0.0.1:1/live", "key": "very-secret-key", "enabled": true})
}

#[tokio::test]
async fn destinations_are_made_edited_and_removed_and_never_show_their_key() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    let made = site.post("/api/v1/destinations", &As::Token, destination("Twitch")).await;
    let path = format!("/api/v1/destinations/{}", made.is(201).body["id"]);
    assert_eq!((&made.body["name"], &made.body["locked"]), (&json!("Twitch"), &json!(false)));
    assert_eq!(made.body["state"], "waiting_for_show");
    let edited = site.patch(&path, &As::Token, json!({"enabled": false, "name": "Kick"})).await;
    assert_eq!((&edited.is(200).body["name"], &edited.body["enabled"]), (&json!("Kick"), &json!(false)));
    let list = site.get("/api/v1/destinations", &As::Token).await;
    let text = format!("{}{}{}", made.body, edited.body, list.is(200).body);
    assert!(!text.contains("very-secret-key") && !text.contains("\"key\""), "{text}");
    eventually(async || site.get("/api/v1/destinations", &As::Token).await.body[0]["state"] == "disabled").await;
    site.delete(&path, &As::Token).await.is(204);
    site.delete(&path, &As::Token).await.is(404);
    site.patch(&path, &As::Token, json!({})).await.is(404);
    assert_eq!(site.get("/api/v1/destinations", &As::Token).await.body, json!([]));
    site.end().await;
}

#[tokio::test]
async fn destinations_outlive_a_restart_with_their_key() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    let id = site.post("/api/v1/destinations", &As::Token, destination("Twitch")).await.is(201).body["id"].clone();
    site.end().await;
    let site = Site::start(folder.path(), &[]).await;
    assert_eq!(site.get("/api/v1/destinations", &As::Token).await.body[0]["id"], id);
    let all = site.state.destinations.all();
    assert_eq!(secrecy::ExposeSecret::expose_secret(&all[0].key), "very-secret-key");
    site.end().await;
}

#[tokio::test]
async fn destination_that_can_not_work_is_refused_with_the_field() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    let add = |change: Value| {
        let mut body = destination("Twitch");
        for (key, value) in change.as_object().unwrap() {
            body[key] = value.clone();
        }
        site.post("/api/v1/destinations", &As::Token, body)
    };
    add(json!({"url": "https://twitch.tv/me"})).await.blames(422, "url");
    add(json!({"key": ""})).await.blames(422, "key");
    add(json!({"name": ""})).await.blames(422, "name");
    // The box's own ingest: the programme would come back to it.
    for host in ["127.0.0.1", "localhost", "0.0.0.0", "[::1]"] {
        add(json!({"url": format!("rtmp://{host}:19350/live")})).await.blames(422, "url");
    }
    // One elsewhere is the box's own too, by name or by address.
    site.door.send_modify(|state| state.doors.rtmp = Some(Door::Elsewhere("rtmp://localhost:19351/live".into())));
    for host in ["127.0.0.1", "localhost"] {
        add(json!({"url": format!("rtmp://{host}:19351/live")})).await.blames(422, "url");
    }
    add(json!({})).await.is(201);
    add(json!({})).await.blames(422, "name");
    for number in 2..=8 {
        add(json!({"name": format!("Number {number}")})).await.is(201);
    }
    add(json!({"name": "Number 9"})).await.blames(422, "destinations");
    site.end().await;
}

#[tokio::test]
async fn configured_destination_is_shown_locked_and_can_not_be_edited() {
    let folder = folder();
    std::fs::write(
        folder.path().join("none.toml"),
        "[[destinations]]\nname = \"House\"\nurl = \"rtmp://127.0.0.1:1/live\"\nkey = \"very-secret-key\"\n",
    )
    .unwrap();
    let site = Site::start(folder.path(), &[]).await;
    let list = site.get("/api/v1/destinations", &As::Token).await.body;
    assert_eq!((&list[0]["name"], &list[0]["locked"]), (&json!("House"), &json!(true)));
    let path = format!("/api/v1/destinations/{}", list[0]["id"]);
    site.patch(&path, &As::Token, json!({"enabled": false})).await.is(409);
    site.delete(&path, &As::Token).await.is(409);
    site.post("/api/v1/destinations", &As::Token, destination("house")).await.blames(422, "name");
    site.end().await;
}

#[tokio::test]
async fn history_comes_in_pages_the_latest_first() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    let rows = (1..=7).map(|turn| {
        Change::AppendHistory(HistoryRecord {
            turn: TurnId(turn),
            account: AccountId(1),
            name: "Ada".into(),
            started: jiff::Timestamp::UNIX_EPOCH,
            ended: jiff::Timestamp::UNIX_EPOCH,
            seconds_on_air: 1.5,
            reason: "its time was up".into(),
            extra: serde_json::Map::new(),
        })
    });
    site.state.store.commit(rows.collect(), Durability::Durable).await.unwrap();
    let turns = async |query: &str| {
        let page = site.get(&format!("/api/v1/history{query}"), &As::Token).await;
        let rows = page.is(200).body.as_array().unwrap().clone();
        rows.iter().map(|row| row["turn"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(turns("").await, [7, 6, 5, 4, 3, 2, 1]);
    assert_eq!(turns("?limit=3").await, [7, 6, 5]);
    assert_eq!(turns("?limit=3&before=5").await, [4, 3, 2]);
    assert_eq!(turns("?limit=3&before=2").await, [1]);
    assert_eq!(turns("?limit=0").await, [7]);
    site.end().await;
}

#[tokio::test]
async fn status_tells_how_everything_does() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    site.post("/api/v1/destinations", &As::Token, destination("Twitch")).await.is(201);
    let status = site.get("/api/v1/status", &As::Token).await;
    assert_eq!(status.is(200).body["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(status.body["destinations"][0]["name"], "Twitch");
    assert_eq!((&status.body["ingest"]["kind"], &status.body["ingest"]["running"]), (&json!("embedded"), &json!(true)));
    assert!(
        status.body["program"].is_object() && status.body["inputs"].is_array() && status.body["hold_offs"].is_array()
    );
    assert!(!status.body.to_string().contains("very-secret-key"));
    site.end().await;
}

#[tokio::test]
async fn ready_means_that_every_part_works() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    let readiness = site.state.readiness.clone();
    let not_yet = site.get("/readyz", &As::Machine).await;
    assert!(not_yet.is(503).body["detail"].as_str().unwrap().contains("ingest"));
    for latch in [Latch::Store, Latch::Program, Latch::Ingest] {
        site.get("/readyz", &As::Machine).await.is(503);
        readiness.set(latch, true);
    }
    assert_eq!(site.get("/readyz", &As::Machine).await.is(200).body["ready"], true);
    // A media server that went away is one part that does not work; it may come back.
    let down = |problem: Option<&str>| {
        site.door.send_modify(|state| {
            state.status.running = problem.is_none();
            state.status.problem = problem.map(str::to_owned);
        });
    };
    down(Some("it is not installed"));
    let not_ready = site.get("/readyz", &As::Machine).await;
    assert!(not_ready.is(503).body["detail"].as_str().unwrap().contains("ingest: it is not installed"));
    assert!(site.get("/metrics", &As::Machine).await.body.as_str().unwrap().contains("ingest_up{kind=\"embedded\"} 0"));
    assert_eq!(site.get("/api/v1/status", &As::Token).await.body["ingest"]["problem"], "it is not installed");
    down(None);
    site.get("/readyz", &As::Machine).await.is(200);
    site.get("/healthz", &As::Machine).await.is(200);
    site.end().await;
}

#[tokio::test]
async fn measurements_are_prometheus_text_without_secrets() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    site.post("/api/v1/destinations", &As::Token, destination("Twitch")).await.is(201);
    site.get("/program.flv?token=hush-hush", &As::Nobody).await.is(403);
    site.get("/nowhere/hush-hush", &As::Nobody).await.is(404);
    let metrics = site.get("/metrics", &As::Machine).await;
    assert!(metrics.is(200).headers["content-type"].to_str().unwrap().starts_with("application/openmetrics-text"));
    let text = metrics.body.as_str().unwrap();
    for line in [
        "motherstream_program_frames_total",
        "motherstream_program_starvations_total",
        "motherstream_program_takes_total",
        "motherstream_program_latest_tick_seconds",
        "motherstream_queue_waiting 0",
        "motherstream_inputs 0",
        "motherstream_ingest_up{kind=\"embedded\"} 1",
        "motherstream_ingest_restarts_total 0",
        "motherstream_destination_bytes_total{destination=\"Twitch\"}",
        "motherstream_destination_state{destination=\"Twitch\",state=\"waiting_for_show\"} 1",
        "motherstream_destination_reconnects_total{destination=\"Twitch\"}",
        "motherstream_destination_dropped_frames_total{destination=\"Twitch\"}",
        "motherstream_process_cpu_seconds_total",
        "motherstream_process_resident_memory_bytes",
        "motherstream_http_requests_total{method=\"GET\",route=\"/program.flv\",status=\"403\"} 1",
        "motherstream_http_requests_total{method=\"GET\",route=\"none\",status=\"404\"} 1",
        "# EOF",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    assert!(!text.contains("hush"));
    site.end().await;
}

/// Snapshots follow the orders: what was ordered is seen within moments.
pub(super) async fn eventually(seen: impl AsyncFn() -> bool) {
    for _ in 0..100 {
        if seen().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("not seen within 2 s");
}
