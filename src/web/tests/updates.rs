//! What only the machine can do. RAUC is a simulation here, which says what RAUC says; the real one is tried in the image's tests.

use std::{fs, os::unix::fs::PermissionsExt as _};

use super::{running::eventually, *};

const SAYS: &str = r#"#!/bin/sh
echo "$1" >>"$0.asked"
case "$1" in
status) echo '{"compatible":"motherstream-qemu","booted":"A","slots":[{"rootfs.0":{"bootname":"A","state":"booted","boot_status":"good"}}]}' ;;
info) if grep -q other-key "$3"; then echo 'signature verification failed: Verify error: self-signed certificate' >&2; exit 1; fi
  echo '{"compatible":"motherstream-qemu","version":"2.0"}' ;;
install) echo ' 40% Copying'; sleep 0.7; echo '100% Installing done.' ;;
esac
"#;

/// A box with an image's configuration around it.
async fn image(folder: &Path) -> Site {
    let boot = folder.join("boot");
    for name in ["boot", STICK, REQUESTS] {
        fs::create_dir(folder.join(name)).unwrap();
    }
    let rauc = folder.join(SIMULATED_RAUC);
    fs::write(&rauc, SAYS).unwrap();
    fs::set_permissions(&rauc, fs::Permissions::from_mode(0o755)).unwrap();
    Site::start(folder, &[("BOX__BOOT_DIR", boot.to_str().unwrap()), ("BOX__UPDATES", "true")]).await
}

/// What looks like an update.
fn bundle(word: &str) -> Vec<u8> {
    let mut file = [b"hsqs", word.as_bytes()].concat();
    file.resize(30_000, 7);
    let mut signature = vec![0x30, 0x82];
    signature.resize(1600, 1);
    let size = (signature.len() as u64).to_be_bytes();
    [file, signature, size.to_vec()].concat()
}

async fn sent(site: &Site, file: Vec<u8>) -> Answer {
    answer(site.request(Method::PUT, "/api/v1/update", &As::Token).body(file)).await
}

#[tokio::test]
async fn update_is_installed_from_an_upload_or_a_stick_and_the_machine_asked_to_start_again() {
    let folder = folder();
    let site = image(folder.path()).await;
    assert_eq!(site.get("/api/v1/update", &As::Token).await.is(200).body["systems"]["board"], "motherstream-qemu");
    let begun = sent(&site, bundle("good")).await;
    begun.is(202);
    // In the middle nothing else begins.
    assert_eq!(sent(&site, bundle("good")).await.is(409).body["type"], "urn:motherstream:refused");
    site.post("/api/v1/system/restart", &As::Token, json!({})).await.is(409);
    let stage = async || site.get("/api/v1/update", &As::Token).await.body["progress"]["stage"].clone();
    eventually(async || stage().await == "installed").await;

    fs::write(folder.path().join(STICK).join("new.raucb"), bundle("good")).unwrap();
    assert_eq!(site.get("/api/v1/update", &As::Token).await.body["stick"], json!(["new.raucb"]));
    site.post("/api/v1/update/stick", &As::Token, json!({"file": "old.raucb"})).await.is(404);
    let (_, admin) = site.admin("Ada").await;
    let said = "the stick's motherstream.toml was not taken: unknown key `colour`";
    fs::write(folder.path().join(STICK).with_extension("said"), format!("{said}\n")).unwrap();
    assert_eq!(site.get("/api/v1/update", &As::Token).await.body["stick_settings"], said);
    let page = site.get("/admin/system", &admin).await.is(200).body.as_str().unwrap().to_owned();
    assert!(page.contains("new.raucb") && page.contains("Runs now") && page.contains("unknown key"), "{page}");
    let screen = site.get("/api/v1/console", &As::Machine).await.body["troubles"].to_string();
    assert!(screen.contains("unknown key"), "{screen}");
    site.post("/api/v1/update/stick", &As::Token, json!({"file": "new.raucb"})).await.is(202);
    eventually(async || stage().await == "installed").await;

    site.post("/api/v1/system/restart", &As::Token, json!({})).await.is(204);
    assert!(folder.path().join(REQUESTS).join("reboot").exists());
    site.end().await;
}

#[tokio::test]
async fn wrong_updates_and_those_during_a_show_are_refused_with_the_reason() {
    let folder = folder();
    let site = image(folder.path()).await;
    let half = bundle("good").get(..20_000).unwrap().to_vec();
    for (file, words) in
        [(half, "not a whole update"), (bundle("other-key"), "not signed"), (Vec::new(), "not a whole")]
    {
        let refused = sent(&site, file).await;
        refused.blames(422, "update");
        assert!(refused.body["detail"].as_str().unwrap().contains(words), "{refused:?}");
        let view = site.get("/api/v1/update", &As::Token).await.body;
        assert_eq!(view["progress"]["stage"], "failed");
    }
    site.put("/api/v1/show", &As::Token, json!({"on": true})).await.is(200);
    for (path, body) in [
        ("/api/v1/system/restart", json!({})),
        ("/api/v1/system/factory-reset", json!({"venue": "Motherstream"})),
        ("/api/v1/update/stick", json!({"file": "new.raucb"})),
    ] {
        let refused = site.post(path, &As::Token, body).await;
        assert!(refused.is(409).body["detail"].as_str().unwrap().starts_with("a show is on"), "{refused:?}");
    }
    assert!(sent(&site, bundle("good")).await.is(409).body["detail"].as_str().unwrap().starts_with("a show is on"));
    assert_eq!(fs::read_dir(folder.path().join(REQUESTS)).unwrap().count(), 0);
    site.end().await;
}

/// What is in the data folder.
fn kept(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| !name.contains(".asked")).collect();
    names.sort_unstable();
    names
}

fn was_installed(folder: &Path) -> bool {
    let asked = fs::read_to_string(folder.join(format!("{SIMULATED_RAUC}.asked"))).unwrap_or_default();
    asked.lines().any(|word| word == "install")
}

#[tokio::test]
async fn what_is_no_update_or_finds_no_room_is_refused_in_words_and_nothing_is_lost() {
    let folder = folder();
    let site = image(folder.path()).await;
    let before = kept(folder.path());
    let systems = site.get("/api/v1/update", &As::Token).await.body["systems"].clone();
    let half = bundle("good").get(..20_000).unwrap().to_vec();
    for (what, file, status, words) in [
        ("rubbish", vec![7; 2 << 20], 422, "not a whole update"),
        ("half of it", half, 422, "not a whole update"),
        ("nothing", Vec::new(), 422, "not a whole update"),
    ] {
        let refused = sent(&site, file).await;
        assert!(refused.is(status).body["detail"].as_str().unwrap().contains(words), "{what}: {refused:?}");
        assert_eq!(kept(folder.path()), before, "{what}");
    }
    // A device that is always full stands where the upload is written: the system itself says that there is no room.
    std::os::unix::fs::symlink("/dev/full", folder.path().join("update.raucb")).unwrap();
    let refused = sent(&site, bundle("good")).await;
    let words = refused.is(503).body["detail"].as_str().unwrap();
    assert!(words.contains("no room") && words.contains("USB stick"), "{refused:?}");
    assert_eq!(kept(folder.path()), before);
    let view = site.get("/api/v1/update", &As::Token).await.body;
    assert_eq!((&view["systems"], view["progress"]["stage"].as_str()), (&systems, Some("failed")));
    assert!(!was_installed(folder.path()));
    sent(&site, bundle("good")).await.is(202);
    eventually(async || was_installed(folder.path())).await;
    site.end().await;
}

#[tokio::test]
async fn upload_that_breaks_off_or_is_overtaken_by_a_show_leaves_nothing() {
    let folder = folder();
    let site = image(folder.path()).await;
    let before = kept(folder.path());
    let file = bundle("good");
    let (first, rest) = file.split_at(20_000);
    let begin = async || {
        let (pieces, body) = mpsc::channel::<Result<Vec<u8>, std::io::Error>>(4);
        let body = reqwest::Body::wrap_stream(tokio_stream::wrappers::ReceiverStream::new(body));
        let request = site.request(Method::PUT, "/api/v1/update", &As::Token).body(body);
        pieces.send(Ok(first.to_vec())).await.unwrap();
        let sending = tokio::spawn(request.send());
        let arrived = async || site.get("/api/v1/update", &As::Token).await.body["progress"]["bytes"] == 20_000;
        eventually(arrived).await;
        (pieces, sending)
    };
    let (pieces, sending) = begin().await;
    sent(&site, bundle("good")).await.is(409);
    pieces.send(Err(std::io::ErrorKind::BrokenPipe.into())).await.unwrap();
    sending.await.unwrap().unwrap_err();
    let reason = async || site.get("/api/v1/update", &As::Token).await.body["progress"]["reason"].clone();
    eventually(async || reason().await == "the update did not arrive whole").await;
    assert_eq!(kept(folder.path()), before);

    let (pieces, sending) = begin().await;
    site.put("/api/v1/show", &As::Token, json!({"on": true})).await.is(200);
    pieces.send(Ok(rest.to_vec())).await.unwrap();
    drop(pieces);
    assert_eq!(sending.await.unwrap().unwrap().status(), 409);
    assert_eq!(reason().await, "A show is on: end it first, then install the update.");
    assert_eq!(kept(folder.path()), before);
    assert!(!was_installed(folder.path()));
    site.end().await;
}

#[tokio::test]
async fn pages_form_installs_an_update_and_says_what_is_wrong_with_another_file() {
    let folder = folder();
    let site = image(folder.path()).await;
    let (_, admin) = site.admin("Ada").await;
    let upload = async |field: &str, file: &[u8]| {
        let head = format!("--b\r\ncontent-disposition: form-data; name=\"{field}\"; filename=\"a.raucb\"\r\n\r\n");
        let body = [head.as_bytes(), file, b"\r\n--b--\r\n"].concat();
        let As::Cookie(cookie) = &admin else { unreachable!() };
        let request = Site::without_redirects().post(format!("http://{}/admin/update", site.address));
        let request = request.header("cookie", cookie).header("content-type", "multipart/form-data; boundary=b");
        let request = request.header("accept", "text/html");
        answer(request.header("referer", format!("http://{}/admin/system", site.address)).body(body)).await
    };
    for (field, file, words) in [
        ("update", &b"hello"[..], "not a whole update"),
        ("update", b"", "not a whole update"),
        ("another", b"hsqs", "Choose an update first"),
    ] {
        let refused = upload(field, file).await;
        assert_eq!(refused.status, 422, "{refused:?}");
        let page = refused.body.as_str().unwrap();
        assert!(page.contains(words) && page.contains(r#"href="/admin/system">Try again"#), "{page}");
    }
    let begun = upload("update", &bundle("good")).await;
    assert_eq!((begun.status, begun.headers["location"].to_str().unwrap()), (303, "/admin/system#machine"));
    eventually(async || was_installed(folder.path())).await;
    site.end().await;
}

#[tokio::test]
async fn factory_reset_asks_for_the_venues_name_and_lays_the_flag_for_the_next_start() {
    let folder = folder();
    let site = image(folder.path()).await;
    let flag = folder.path().join(REQUESTS).join("factory-reset");
    let venue = site.state.settings.now().venue.name.clone();
    site.post("/api/v1/system/factory-reset", &As::Token, json!({"venue": "yes"})).await.blames(422, "venue");
    assert!(!flag.exists());
    site.post("/api/v1/system/factory-reset", &As::Token, json!({"venue": venue})).await.is(204);
    assert!(flag.exists() && folder.path().join(REQUESTS).join("reboot").exists());
    site.end().await;
}

#[tokio::test]
async fn box_that_is_no_image_says_so() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    site.get("/api/v1/update", &As::Token).await.is(409);
    sent(&site, bundle("good")).await.is(409);
    for (path, body) in
        [("/api/v1/system/restart", json!({})), ("/api/v1/system/factory-reset", json!({"venue": "Motherstream"}))]
    {
        assert!(site.post(path, &As::Token, body).await.is(409).body["detail"].as_str().unwrap().contains("image"));
    }
    let (_, admin) = site.admin("Ada").await;
    let page = site.get("/admin/system", &admin).await.is(200).body.as_str().unwrap().to_owned();
    assert!(!page.contains("Clear everything"));
    site.end().await;
}
