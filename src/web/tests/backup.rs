//! A backup and its way back.

use std::{
    fs,
    io::{Cursor, Read as _, Write as _},
};

use zip::{ZipArchive, ZipWriter, write::SimpleFileOptions};

use super::*;
use crate::{
    control::testing::{radio, seen},
    core::network::wifi::{SavedWifi, Security},
    network::Internet,
    store::backup,
};

async fn downloaded(site: &Site) -> Vec<u8> {
    let response = site.request(Method::GET, "/api/v1/backup", &As::Token).send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert!(response.headers()["content-disposition"].to_str().unwrap().starts_with("attachment"));
    response.bytes().await.unwrap().to_vec()
}

async fn restored(site: &Site, file: Vec<u8>) -> Answer {
    answer(site.request(Method::PUT, "/api/v1/backup", &As::Token).body(file)).await
}

/// The same archive, with parts changed, added (`None` before) or taken out (`None` after).
fn changed(file: &[u8], change: impl Fn(&str, Vec<u8>) -> Option<Vec<u8>>) -> Vec<u8> {
    let mut old = ZipArchive::new(Cursor::new(file)).unwrap();
    let mut new = ZipWriter::new(Cursor::new(Vec::new()));
    for index in 0..old.len() {
        let mut entry = old.by_index(index).unwrap();
        let name = entry.name().unwrap().into_owned();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        if let Some(content) = change(&name, content) {
            new.start_file(name, SimpleFileOptions::default()).unwrap();
            new.write_all(&content).unwrap();
        }
    }
    new.finish().unwrap().into_inner()
}

#[tokio::test]
async fn backup_brings_accounts_settings_and_destinations_to_another_box() {
    let (one, other) = (folder(), folder());
    let site = Site::start(one.path(), &[]).await;
    let (ada, _) = site.streamer("Ada").await;
    let key = site.state.accounts.stream_key(ada).unwrap();
    let input = json!({"name": "Twitch", "url": "rtmp://127.0.0.1:1/app", "key": "live_secret_of_twitch"});
    site.post("/api/v1/destinations", &As::Token, input).await.is(201);
    site.patch("/api/v1/settings", &As::Token, json!({"venue.name": "Blue Room"})).await.is(200);
    let file = downloaded(&site).await;
    let text = changed(&file, |name, content| {
        assert!(!name.contains("sessions") && !name.contains("resets"), "{name}");
        Some(content)
    });
    assert!(!text.is_empty());
    site.end().await;

    let site = Site::start(other.path(), &[]).await;
    site.account("Grace").await;
    let lies_ready = restored(&site, file).await;
    assert_eq!(lies_ready.is(200).body["accounts"], 1, "{lies_ready:?}");
    // Nothing has changed before the next start.
    assert_eq!(site.get("/api/v1/accounts", &As::Token).await.is(200).body[0]["name"], "Grace");
    site.end().await;

    assert!(backup::apply(other.path()).unwrap());
    assert!(!backup::apply(other.path()).unwrap(), "once");
    let site = Site::start(other.path(), &[]).await;
    let accounts = site.get("/api/v1/accounts", &As::Token).await.is(200).body.clone();
    assert_eq!(accounts.as_array().unwrap().len(), 1, "{accounts}");
    assert_eq!(accounts[0]["name"], "Ada");
    assert_eq!(site.state.accounts.stream_key(ada).unwrap().expose(), key.expose());
    site.session("Ada").await;
    assert_eq!(site.get("/api/v1/destinations", &As::Token).await.is(200).body[0]["name"], "Twitch");
    assert_eq!(site.state.settings.now().venue.name, "Blue Room");
    site.end().await;
    // What was replaced is still there.
    assert!(other.path().join("before-restore/motherstream.redb").exists());
}

#[tokio::test]
async fn files_that_are_no_backup_are_refused_and_change_nothing() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    site.account("Ada").await;
    let good = downloaded(&site).await;
    let half = good.get(..good.len() / 2).unwrap().to_vec();
    let manifest = |from: &'static str, to: &'static str| {
        changed(&good, move |name, content| {
            let text = String::from_utf8_lossy(&content).replace(from, to);
            Some(if name == "backup.json" { text.into_bytes() } else { content })
        })
    };
    let with = |part: &'static str, text: &str| {
        let mut file = changed(&good, move |name, content| (name != part).then_some(content));
        let mut archive = ZipWriter::new_append(Cursor::new(&mut file)).unwrap();
        archive.start_file(part, SimpleFileOptions::default()).unwrap();
        archive.write_all(text.as_bytes()).unwrap();
        archive.finish().unwrap();
        file
    };
    let named = manifest("\"slate\": null", "\"slate\": \"slate-0123456789abcdef.png\"");
    let mut no_picture = named.clone();
    let mut archive = ZipWriter::new_append(Cursor::new(&mut no_picture)).unwrap();
    archive.start_file("slate-0123456789abcdef.png", SimpleFileOptions::default()).unwrap();
    archive.write_all(b"exec { }").unwrap();
    archive.finish().unwrap();
    // The first part's own header, which names it a second time.
    let mut unreadable = good.clone();
    unreadable.iter_mut().take(4).for_each(|byte| *byte = 0);
    for (what, file, words) in [
        ("nothing", Vec::new(), "not a whole backup"),
        ("text", b"hello".to_vec(), "not a whole backup"),
        ("half", half, "not a whole backup"),
        ("another's", manifest("\"motherstream\"", "\"otherstream\""), "another program"),
        ("newer", manifest("\"format\": 1", "\"format\": 2"), "newer"),
        ("without store", changed(&good, |name, content| (name != "store/meta.jsonl").then_some(content)), "meta"),
        (
            "more accounts than a box has",
            with("store/viewers.jsonl", &"{\"key\": 1, \"row\": {}}\n".repeat(1001)),
            "viewers",
        ),
        (
            "a row without an end",
            with("store/viewers.jsonl", &format!("{{\"key\": 1, \"row\": \"{}\"}}\n", "x".repeat(70_000))),
            "longer",
        ),
        (
            "a password that asks for more memory than there may be",
            changed(&good, |name, content| {
                let text = String::from_utf8_lossy(&content).replace("m=19456,", "m=65537,");
                Some(if name == "store/accounts.jsonl" { text.into_bytes() } else { content })
            }),
            "password",
        ),
        ("broken row", with("store/accounts.jsonl", "{\"key\": 1, \"row\": {\"id\": 1}}\n"), "accounts"),
        ("wrong key", with("store/accounts.jsonl", "{\"key\": \"one\", \"row\": {}}\n"), "accounts.jsonl"),
        (
            "newer store",
            with("store/meta.jsonl", "{\"key\":\"motherstream\",\"row\":{\"schema\":9,\"oldest_reader\":9}}\n"),
            "newer",
        ),
        ("wrong settings", with("settings.toml", "[queue]\nturn_seconds = 0\n"), "queue.turn_seconds"),
        ("queue without sense", with("store/queue.jsonl", "{\"key\":\"state\",\"row\":{\"waiting\":5}}\n"), "queue"),
        ("another's slate", manifest("\"slate\": null", "\"slate\": \"slate-x.conf\""), "slate"),
        ("a slate that is missing", manifest("\"slate\": null", "\"slate\": \"slate-0123456789abcdef.png\""), "slate"),
        ("a slate that is no picture", no_picture, "picture"),
        ("a part that cannot be opened", unreadable, "backup.json"),
    ] {
        let refused = restored(&site, file).await;
        assert_eq!(refused.status, 422, "{what}: {refused:?}");
        assert!(refused.body["detail"].as_str().unwrap().contains(words), "{what}: {refused:?}");
        assert!(!backup::is_staged(folder.path()), "{what}");
        assert!(!folder.path().join("restore.new").exists(), "{what}");
    }
    site.end().await;
}

#[tokio::test]
async fn nothing_is_restored_during_a_show_nor_after_second_thoughts() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    let file = downloaded(&site).await;
    site.put("/api/v1/show", &As::Token, json!({"on": true})).await.is(200);
    assert_eq!(
        restored(&site, file.clone()).await.is(409).body["detail"],
        "a show is on: end it first, then restore the backup"
    );
    site.put("/api/v1/show", &As::Token, json!({"on": false})).await.is(200);
    restored(&site, file).await.is(200);
    assert!(backup::is_staged(folder.path()));
    site.delete("/api/v1/backup", &As::Token).await.is(204);
    assert!(!backup::is_staged(folder.path()));
    site.end().await;
    assert!(!backup::apply(folder.path()).unwrap());
}

#[tokio::test]
async fn swap_that_was_cut_off_is_finished_by_the_next_start() {
    let (one, other) = (folder(), folder());
    let site = Site::start(one.path(), &[]).await;
    site.account("Ada").await;
    site.patch("/api/v1/settings", &As::Token, json!({"venue.name": "Blue Room"})).await.is(200);
    let file = downloaded(&site).await;
    site.end().await;
    let site = Site::start(other.path(), &[]).await;
    site.patch("/api/v1/settings", &As::Token, json!({"venue.name": "Red Room"})).await.is(200);
    restored(&site, file).await.is(200);
    site.end().await;
    // As a power cut leaves it: the settings are in place, the store is not yet.
    fs::create_dir(other.path().join("before-restore.new")).unwrap();
    fs::hard_link(other.path().join("settings.toml"), other.path().join("before-restore.new/settings.toml")).unwrap();
    fs::rename(other.path().join("restore/settings.toml"), other.path().join("settings.toml")).unwrap();
    assert!(backup::apply(other.path()).unwrap());
    let kept = fs::read_to_string(other.path().join("before-restore/settings.toml")).unwrap();
    assert!(kept.contains("Red Room"), "{kept}");
    assert!(!other.path().join("before-restore.new").exists());
    let site = Site::start(other.path(), &[]).await;
    assert_eq!(site.get("/api/v1/accounts", &As::Token).await.is(200).body[0]["name"], "Ada");
    assert_eq!(site.state.settings.now().venue.name, "Blue Room");
    site.end().await;
}

/// What a box remembers of one night: whoever is on air and waits, hold, panic, and that a show is on.
async fn night(site: &Site) {
    site.put("/api/v1/show", &As::Token, json!({"on": true})).await.is(200);
    for what in ["hold", "slate"] {
        site.post(&format!("/api/v1/queue/{what}"), &As::Token, json!({"on": true})).await.is(204);
    }
    site.put("/api/v1/turn", &As::Token, json!({"seconds": 777, "reset": false})).await.is(200);
}

/// The row of the store that holds the queue, out of a backup.
fn part(file: &[u8], wanted: &str) -> String {
    let mut archive = ZipArchive::new(Cursor::new(file)).unwrap();
    let mut text = String::new();
    archive.by_name(wanted).unwrap().read_to_string(&mut text).unwrap();
    text
}

#[tokio::test]
async fn backup_carries_the_box_and_not_the_night() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    site.account("Ada").await;
    night(&site).await;
    let file = downloaded(&site).await;
    let (queue, settings) = (part(&file, "store/queue.jsonl"), part(&file, "store/settings.jsonl"));
    assert!(queue.contains("\"turn_length_ms\":777000") && queue.contains("\"next_id\""), "{queue}");
    assert!(queue.contains("\"hold\":false") && queue.contains("\"forced_slate\":false"), "{queue}");
    assert!(!settings.contains("\"show\""), "{settings}");
    site.end().await;
}

#[tokio::test]
async fn older_backup_that_carries_a_night_is_restored_without_it() {
    let (one, other) = (folder(), folder());
    let site = Site::start(one.path(), &[]).await;
    site.account("Ada").await;
    site.put("/api/v1/turn", &As::Token, json!({"seconds": 777, "reset": false})).await.is(200);
    let file = downloaded(&site).await;
    site.end().await;
    // As earlier programs made it.
    let entry = json!({"id": 3, "account": 1, "name": "Ada", "absent_ms": 60_000});
    let queue = json!({"key": "state", "row": {
        "on_air": {"id": 4, "entry": entry, "elapsed_ms": 5000, "on_air_ms": 5000, "began": "2026-01-01T20:00:00Z"},
        "waiting": [{"id": 5, "account": 2, "name": "Bert", "absent_ms": 60_000}],
        "turn_length_ms": 777_000, "hold": true, "forced_slate": true, "next_id": 900, "retired": ["c1"],
        "hold_offs": [{"account": 3, "name": "Cleo", "remaining_ms": 90_000}],
        "last_streamer": {"account": 4, "name": "Dora", "remaining_ms": 90_000},
    }});
    let settings = [("show", json!(true)), ("show_ended_by_hand", json!(true)), ("setup_code", json!("abcd2345"))]
        .map(|(key, row)| format!("{}\n", json!({"key": key, "row": row})))
        .concat();
    let older = changed(&file, |name, content| match name {
        "store/queue.jsonl" => Some(format!("{queue}\n").into_bytes()),
        "store/settings.jsonl" => Some([content, settings.clone().into_bytes()].concat()),
        _ => Some(content),
    });

    let site = Site::start(other.path(), &[]).await;
    night(&site).await;
    site.put("/api/v1/show", &As::Token, json!({"on": false})).await.is(200);
    restored(&site, older).await.is(200);
    site.end().await;
    for file in ["alive", "elapsed"] {
        fs::write(other.path().join(file), "of the old queue").unwrap();
    }
    assert!(backup::apply(other.path()).unwrap());
    assert!(!other.path().join("alive").exists() && !other.path().join("elapsed").exists());
    let site = Site::start(other.path(), &[]).await;
    let queue = site.get("/api/v1/queue", &As::Token).await.is(200).body.clone();
    for (what, is) in [
        ("show", json!(false)),
        ("hold", json!(false)),
        ("forced_slate", json!(false)),
        ("on_air", json!(null)),
        ("waiting", json!([])),
    ] {
        assert_eq!(queue[what], is, "{what}: {queue}");
    }
    assert_eq!(queue["turn_seconds"], 777, "the length of turns is the box's");
    let status = site.get("/api/v1/status", &As::Token).await.is(200).body.clone();
    assert_eq!(status["hold_offs"], json!([]), "{status}");
    assert_eq!(site.get("/api/v1/accounts", &As::Token).await.is(200).body[0]["name"], "Ada");
    site.end().await;
}

#[tokio::test]
async fn backup_without_an_admin_is_refused_unless_that_is_meant() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    site.account("Ada").await;
    let no_admin = downloaded(&site).await;
    restored(&site, no_admin.clone()).await.is(200);
    site.delete("/api/v1/backup", &As::Token).await.is(204);
    site.end().await;

    let other = super::folder();
    let site = Site::start(other.path(), &[]).await;
    let _admin = site.admin("Grace").await;
    site.end().await;
    let site = Site::start(other.path(), &[("ADMIN__TOKEN", "")]).await;
    let admin = site.session("Grace").await;
    let put = async |query: &str, file: &[u8]| {
        let path = format!("/api/v1/backup{query}");
        answer(site.request(Method::PUT, &path, &admin).body(file.to_vec())).await
    };
    let refused = put("", &no_admin).await;
    assert!(refused.is(422).body["detail"].as_str().unwrap().contains("without_admin=true"), "{refused:?}");
    assert!(!backup::is_staged(other.path()));
    put("?without_admin=true", &no_admin).await.is(200);
    site.end().await;
    assert!(backup::apply(other.path()).unwrap());
    let site = Site::start(other.path(), &[("ADMIN__TOKEN", "")]).await;
    assert!(!site.state.accounts.is_claimed() && site.state.accounts.setup_code().is_some());
    site.end().await;
}

#[tokio::test]
async fn what_was_before_a_restore_is_kept_until_another_has_happened() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    site.account("Precious").await;
    let file = downloaded(&site).await;
    site.account("Ada").await;
    restored(&site, file.clone()).await.is(200);
    site.end().await;
    assert!(backup::apply(folder.path()).unwrap());
    let kept = folder.path().join("before-restore/motherstream.redb");
    let before = fs::read(&kept).unwrap();

    let site = Site::start(folder.path(), &[]).await;
    restored(&site, file.clone()).await.is(200);
    assert_eq!(fs::read(&kept).unwrap(), before, "laid ready");
    site.delete("/api/v1/backup", &As::Token).await.is(204);
    assert_eq!(fs::read(&kept).unwrap(), before, "and taken back");
    restored(&site, file).await.is(200);
    site.end().await;
    assert!(backup::apply(folder.path()).unwrap());
    assert_ne!(fs::read(&kept).unwrap(), before, "another has happened");
}

#[tokio::test]
async fn passwords_of_networks_are_in_a_backup_only_where_that_is_asked_for_and_reach_another_box() {
    let (one, other) = (folder(), folder());
    let mut site = Site::start(one.path(), &[]).await;
    site.account("Ada").await;
    site.sees(seen(vec![radio(Some("Campus"), Internet::Full)]));
    site.network.saved = vec![SavedWifi {
        ssid: "Campus".to_owned(),
        security: Security::Wpa2,
        password: Some("sword fish".to_owned().into()),
        hidden: false,
        identity: None,
        server: None,
    }];
    let _carried_out = site.network.carried_out();
    let page = site.request(Method::GET, "/admin/system", &As::Token).header("accept", "text/html");
    assert!(page.send().await.unwrap().text().await.unwrap().contains("name=\"wifi\""));
    let parts = |file: &[u8]| {
        let mut archive = ZipArchive::new(Cursor::new(file)).unwrap();
        let mut text = String::new();
        let wifi = archive.by_name("wifi.json").is_ok_and(|mut part| part.read_to_string(&mut text).is_ok());
        (wifi, text)
    };
    assert_eq!(parts(&downloaded(&site).await), (false, String::new()));
    let file = site.request(Method::GET, "/api/v1/backup?wifi=true", &As::Token).send().await.unwrap();
    let file = file.bytes().await.unwrap().to_vec();
    let (_, text) = parts(&file);
    assert!(text.contains("Campus") && text.contains("sword fish"), "{text}");
    site.request(Method::GET, "/api/v1/backup?wifi=perhaps", &As::Token)
        .send()
        .await
        .unwrap()
        .error_for_status()
        .unwrap_err();
    site.end().await;

    // A computer whose network is its own keeps none of them.
    let site = Site::start(other.path(), &[]).await;
    assert_eq!(restored(&site, file.clone()).await.is(200).body["networks"], 0);
    assert!(!other.path().join("restore/wifi.json").exists());
    site.sees(seen(vec![radio(None, Internet::Full)]));
    let lies_ready = restored(&site, file.clone()).await;
    assert_eq!(lies_ready.is(200).body["networks"], 1);
    assert!(!lies_ready.body.to_string().contains("sword fish"), "{lies_ready:?}");
    for (wrong, why) in
        [("[{", "wifi.json"), (r#"[{"ssid": "Campus", "security": "wpa2", "password": "short"}]"#, "8 to 63")]
    {
        let broken = changed(&file, |name, content| Some(if name == "wifi.json" { wrong.into() } else { content }));
        let refused = restored(&site, broken).await;
        refused.blames(422, "backup");
        assert!(refused.body.to_string().contains(why), "{refused:?}");
    }
    site.end().await;
    assert!(backup::apply(other.path()).unwrap());
    let kept = other.path().join("wifi.json");
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&kept).unwrap().permissions()) & 0o777, 0o600);
    assert!(fs::read_to_string(kept).unwrap().contains("sword fish"));
}
