//! Settings that change while the box runs.

use super::*;

fn found<'a>(settings: &'a Value, key: &str) -> &'a Value {
    settings.as_array().unwrap().iter().find(|setting| setting["key"] == key).unwrap()
}

#[tokio::test]
async fn every_key_is_told_with_its_origin_and_without_secrets() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    let settings = site.get("/api/v1/settings", &As::Token).await.is(200).body.clone();
    assert_eq!(settings.as_array().unwrap().len(), crate::config::KEYS.len());
    let turn = found(&settings, "queue.turn_seconds");
    assert_eq!((&turn["value"], &turn["default"], &turn["unit"]), (&json!(3600), &json!(3600), &json!("seconds")));
    assert_eq!(
        (&turn["origin"], &turn["applies"], &turn["locked"]),
        (&json!("built in"), &json!("at_once"), &Value::Null)
    );
    let token = found(&settings, "admin.token");
    assert_eq!((&token["value"], &token["applies"]), (&json!("[redacted]"), &json!("never")));
    assert!(found(&settings, "data_dir")["origin"].as_str().unwrap().contains("MOTHERSTREAM_DATA_DIR"));
    assert!(!settings.to_string().contains(TOKEN));
    site.end().await;
}

#[tokio::test]
async fn changes_take_effect_at_once_and_outlive_a_restart() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    let edits = json!({"queue.turn_seconds": 900, "accounts.registration": "closed", "web.public_host": "stream.example.org",
        "program.idle_end_minutes": 5, "program.latency_ms": 2000});
    let changed = site.patch("/api/v1/settings", &As::Token, edits).await;
    assert_eq!(found(&changed.is(200).body["settings"], "queue.turn_seconds")["value"], 900);
    assert_eq!(changed.body["notes"].as_array().unwrap().len(), 1, "{changed:?}");
    assert_eq!(found(&changed.body["settings"], "program.latency_ms")["waits_for_start"], true);
    assert_eq!(site.get("/api/v1/turn", &As::Token).await.body["seconds"], 900);
    let body = json!({"name": "Eve", "password": PASSWORD});
    site.post("/api/v1/accounts", &As::Nobody, body.clone()).await.is(403);
    let ada = site.post("/api/v1/accounts", &As::Token, json!({"name": "Ada", "password": PASSWORD})).await;
    assert_eq!(ada.is(201).body["rtmp_url"], "rtmp://stream.example.org:19350/live");
    answer(site.request(Method::GET, "/api/v1/queue", &As::Nobody).header("host", "stream.example.org")).await.is(200);
    site.end().await;
    let site = Site::start(folder.path(), &[]).await;
    assert_eq!(site.get("/api/v1/turn", &As::Token).await.body["seconds"], 900);
    site.post("/api/v1/accounts", &As::Nobody, body.clone()).await.is(403);
    site.patch("/api/v1/settings", &As::Token, json!({"accounts.registration": null})).await.is(200);
    site.post("/api/v1/accounts", &As::Nobody, body).await.is(201);
    site.end().await;
}

#[tokio::test]
async fn what_can_not_be_changed_is_refused_by_name() {
    let folder = folder();
    let site = Site::start(folder.path(), &[("QUEUE__BLOCK", "true")]).await;
    let change = |edits| site.patch("/api/v1/settings", &As::Token, edits);
    change(json!({"queue.turn_seconds": 0, "venue.name": "A"})).await.blames(422, "queue.turn_seconds");
    change(json!({"queue.turns": 1})).await.blames(422, "queue.turns");
    change(json!({"queue.block": false})).await.blames(409, "queue.block");
    change(json!({"admin.token": "a-token-that-is-long"})).await.blames(409, "admin.token");
    change(json!([1])).await.is(422);
    let settings = site.get("/api/v1/settings", &As::Token).await.body;
    assert_eq!(found(&settings, "venue.name")["value"], "Motherstream");
    site.end().await;
}

#[tokio::test]
async fn new_name_of_the_venue_is_on_the_slate_at_once() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    let changed = site.patch("/api/v1/settings", &As::Token, json!({"venue.name": "Blue Room"})).await;
    // On a machine that is busy with other tests it may take a moment.
    let notes = &changed.is(200).body["notes"];
    assert!(*notes == json!([]) || *notes == json!(["the slate changes in a moment"]), "{notes}");
    site.end().await;
}

#[tokio::test]
async fn crowd_can_not_fill_the_store_with_accounts_and_an_admin_may_let_more_in_at_once() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    site.admin("Ada").await;
    let register = async |name: &str| {
        site.post("/api/v1/accounts", &As::Nobody, json!({"name": name, "password": PASSWORD})).await
    };
    site.patch("/api/v1/settings", &As::Token, json!({"accounts.most": 2})).await.is(200);
    register("Bob").await.is(201);
    let full = register("Cleo").await;
    assert!(full.is(503).body["detail"].as_str().unwrap().contains("ask the crew"), "{full:?}");
    site.account("Dora").await;
    register("Cleo").await.is(503);
    site.patch("/api/v1/settings", &As::Token, json!({"accounts.most": 4})).await.is(200);
    register("Cleo").await.is(201);
    site.end().await;
}
