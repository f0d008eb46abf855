//! A backup and its way back.

use std::{
    fs,
    io::{Cursor, Read as _, Write as _},
};

use zip::{ZipArchive, ZipWriter, write::SimpleFileOptions};

use super::*;
use crate::store::backup;

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
    let with = |part: &'static str, text: &'static str| {
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
        ("a part that can not be opened", unreadable, "backup.json"),
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
    fs::create_dir(other.path().join("before-restore")).unwrap();
    fs::hard_link(other.path().join("settings.toml"), other.path().join("before-restore/settings.toml")).unwrap();
    fs::rename(other.path().join("restore/settings.toml"), other.path().join("settings.toml")).unwrap();
    assert!(backup::apply(other.path()).unwrap());
    let kept = fs::read_to_string(other.path().join("before-restore/settings.toml")).unwrap();
    assert!(kept.contains("Red Room"), "{kept}");
    let site = Site::start(other.path(), &[]).await;
    assert_eq!(site.get("/api/v1/accounts", &As::Token).await.is(200).body[0]["name"], "Ada");
    assert_eq!(site.state.settings.now().venue.name, "Blue Room");
    site.end().await;
}
