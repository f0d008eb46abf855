//! Accounts, sessions and limits.

use super::*;
use crate::ingest::Door;

#[tokio::test]
async fn registering_gives_what_an_encoder_needs() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    let body = json!({"name": "Ada", "password": PASSWORD, "email": "ada@example.org", "timezone": "Europe/Berlin"});
    let made = site.post("/api/v1/accounts", &As::Nobody, body).await;
    assert_eq!(made.is(201).body["name"], "Ada");
    assert_eq!(made.body["rtmp_url"], "rtmp://127.0.0.1:19350/live");
    assert!(made.body["stream_key"].as_str().unwrap().len() >= 20);
    assert!(made.cookie().is_none());

    let ada = site.session("Ada").await;
    let me = site.get("/api/v1/me", &ada).await;
    assert_eq!(me.is(200).body["stream_key"], made.body["stream_key"]);
    assert_eq!(me.body["email"], "ada@example.org");
    assert_eq!(me.body["entry"], Value::Null);
    assert_eq!(me.headers["cache-control"], "no-store");
    assert!(!me.body.to_string().contains("argon2"));
    site.end().await;
}

#[tokio::test]
async fn address_for_the_encoder_follows_the_host_or_the_configuration() {
    let (open, fixed) = (folder(), folder());
    let site = Site::start(open.path(), &[]).await;
    let body = json!({"name": "Ada", "password": PASSWORD});
    let request = site.request(Method::POST, "/api/v1/accounts", &As::Nobody).header("host", "motherstream.local:8080");
    assert_eq!(answer(request.json(&body)).await.body["rtmp_url"], "rtmp://motherstream.local:19350/live");
    site.end().await;
    let site = Site::start(fixed.path(), &[("WEB__PUBLIC_HOST", "stream.example.org")]).await;
    let made = site.post("/api/v1/accounts", &As::Nobody, body).await;
    assert_eq!(made.is(201).body["rtmp_url"], "rtmp://stream.example.org:19350/live");
    site.end().await;
}

#[tokio::test]
async fn ways_to_publish_are_those_that_the_ingest_has_now() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    let made = site.post("/api/v1/accounts", &As::Nobody, json!({"name": "Ada", "password": PASSWORD})).await;
    let key = made.is(201).body["stream_key"].clone();
    let rtmp = json!({"kind": "rtmp", "url": "rtmp://127.0.0.1:19350/live", "stream_key": key});
    assert_eq!(made.body["ways"], json!([rtmp]));

    // A media server takes SRT too; WebRTC only where there is a way to pass it on.
    site.door.send_modify(|state| {
        state.doors.srt = Some(Door::Port(10_080));
        state.doors.whip = true;
    });
    let ada = site.session("Ada").await;
    let me = site.get("/api/v1/me", &ada).await;
    let stream_id = format!("#!::r=live/{},m=publish", key.as_str().unwrap());
    let srt =
        json!({"kind": "srt", "url": format!("srt://127.0.0.1:10080?streamid={stream_id}"), "stream_id": stream_id});
    assert_eq!(me.is(200).body["ways"], json!([rtmp, srt]));

    // One elsewhere.
    site.door.send_modify(|state| state.doors.rtmp = Some(Door::Elsewhere("rtmp://edge.example/live".into())));
    let made = site.post("/api/v1/me/stream-key", &ada, json!({})).await;
    assert_eq!(
        (&made.is(200).body["rtmp_url"], &made.body["ways"][0]["url"]),
        (&json!("rtmp://edge.example/live"), &json!("rtmp://edge.example/live"),)
    );

    // While it is down there is no way, and the address is still told.
    site.door.send_modify(|state| state.doors = crate::ingest::Doors::default());
    let me = site.get("/api/v1/me", &ada).await;
    assert_eq!((&me.body["ways"], &me.body["rtmp_url"]), (&json!([]), &json!("rtmp://127.0.0.1:1935/live")));
    // Nobody else is told.
    for path in ["/api/v1/queue", "/api/v1/status", "/api/v1/accounts"] {
        assert!(!site.get(path, &As::Token).await.body.to_string().contains(key.as_str().unwrap()), "{path}");
    }
    site.end().await;
}

#[tokio::test]
async fn registration_that_does_not_fit_names_the_field() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    site.account("Ada").await;
    let register = |body| site.post("/api/v1/accounts", &As::Nobody, body);
    register(json!({"name": "ada", "password": PASSWORD})).await.blames(409, "name");
    register(json!({"name": "x", "password": PASSWORD})).await.blames(422, "name");
    register(json!({"name": "Bob", "password": "short"})).await.blames(422, "password");
    register(json!({"name": "Bob", "password": PASSWORD, "timezone": "Mars/Olympus"})).await.blames(422, "timezone");
    register(json!({"name": "Bob"})).await.blames(422, "password");
    site.end().await;
}

#[tokio::test]
async fn closed_registration_is_open_to_admins() {
    let folder = folder();
    let site = Site::start(folder.path(), &[("ACCOUNTS__REGISTRATION", "closed")]).await;
    let body = |name: &str| json!({"name": name, "password": PASSWORD});
    site.post("/api/v1/accounts", &As::Nobody, body("Eve")).await.is(403);
    let (_, admin) = site.admin("Ada").await;
    site.post("/api/v1/accounts", &admin, body("Bob")).await.is(201);
    let bob = site.session("Bob").await;
    site.post("/api/v1/accounts", &bob, body("Eve")).await.is(403);
    site.end().await;
}

#[tokio::test]
async fn one_address_can_not_register_without_end_and_the_token_can() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    let mut refused = None;
    for _ in 0..25 {
        // Refused for its name: the attempt counts, and no password is hashed.
        let made = site.post("/api/v1/accounts", &As::Nobody, json!({"name": "x", "password": PASSWORD})).await;
        if made.status == 429 {
            refused = Some(made);
            break;
        }
    }
    assert!(refused.unwrap().headers.contains_key("retry-after"));
    site.account("Ada").await;
    site.end().await;
}

#[tokio::test]
async fn setup_code_makes_one_admin_once() {
    let folder = folder();
    let site = Site::start(folder.path(), &[("ADMIN__TOKEN", "")]).await;
    let code = site.state.accounts.setup_code().unwrap();
    let code = secrecy::ExposeSecret::expose_secret(&code).to_owned();
    let claim = |code: &str| json!({"code": code, "name": "Ada", "password": PASSWORD});
    site.post("/api/v1/setup", &As::Nobody, claim("00000000")).await.blames(403, "code");
    let made = site.post("/api/v1/setup", &As::Nobody, claim(&code)).await;
    assert!(made.is(201).body["stream_key"].is_string());
    site.post("/api/v1/setup", &As::Nobody, claim(&code)).await.is(409);
    let ada = site.session("Ada").await;
    site.get("/api/v1/accounts", &ada).await.is(200);
    site.end().await;
}

#[tokio::test]
async fn wrong_setup_codes_have_to_wait() {
    let folder = folder();
    let site = Site::start(folder.path(), &[("ADMIN__TOKEN", "")]).await;
    let body = json!({"code": "00000000", "name": "Eve", "password": PASSWORD});
    for _ in 0..5 {
        site.post("/api/v1/setup", &As::Nobody, body.clone()).await.is(403);
    }
    assert!(site.post("/api/v1/setup", &As::Nobody, body).await.is(429).headers.contains_key("retry-after"));
    site.end().await;
}

#[tokio::test]
async fn sign_in_sets_a_careful_cookie_and_sign_out_ends_it() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    site.account("Ada").await;
    let signed_in = site.post("/api/v1/session", &As::Nobody, json!({"name": "ADA", "password": PASSWORD})).await;
    let cookie = signed_in.is(200).headers["set-cookie"].to_str().unwrap();
    assert!(
        cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax") && cookie.contains("Max-Age=2592000"),
        "{cookie}"
    );
    assert!(!cookie.contains("Secure"), "{cookie}");
    let ada = As::Cookie(signed_in.cookie().unwrap().to_owned());
    site.get("/api/v1/me", &ada).await.is(200);
    site.delete("/api/v1/session", &ada).await.is(204);
    site.get("/api/v1/me", &ada).await.is(401);
    site.end().await;
}

#[tokio::test]
async fn wrong_name_and_wrong_password_look_alike() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    site.account("Ada").await;
    let password = site.post("/api/v1/session", &As::Nobody, json!({"name": "Ada", "password": "wrong horse"})).await;
    let name = site.post("/api/v1/session", &As::Nobody, json!({"name": "Bob", "password": "wrong horse"})).await;
    assert_eq!(password.is(401).body, name.is(401).body);
    assert!(name.cookie().is_none());
    site.end().await;
}

#[tokio::test]
async fn cookie_planted_before_sign_in_is_worth_nothing_after_it() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    let (_, eve) = site.streamer("Eve").await;
    site.account("Ada").await;
    let ada = site.post("/api/v1/session", &eve, json!({"name": "Ada", "password": PASSWORD})).await;
    let As::Cookie(planted) = &eve else { panic!() };
    assert_ne!(ada.is(200).cookie().unwrap(), planted);
    site.get("/api/v1/me", &eve).await.is(401);
    let ada = site.get("/api/v1/me", &As::Cookie(ada.cookie().unwrap().to_owned())).await;
    assert_eq!(ada.is(200).body["name"], "Ada");
    site.end().await;
}

#[tokio::test]
async fn one_address_can_not_guess_without_end() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    let guess = || site.post("/api/v1/session", &As::Nobody, json!({"name": "Nobody", "password": "guess guess"}));
    for _ in 0..10 {
        assert!(matches!(guess().await.status, 401 | 503));
    }
    assert!(guess().await.is(429).headers.contains_key("retry-after"));
    site.end().await;
}

#[tokio::test]
async fn session_outlives_a_restart_and_its_id_is_not_in_the_file() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    let (_, ada) = site.streamer("Ada").await;
    site.end().await;
    let As::Cookie(cookie) = &ada else { panic!() };
    let id = cookie.split('=').nth(1).unwrap();
    let file = std::fs::read(folder.path().join(crate::store::FILE_NAME)).unwrap();
    assert!(!file.windows(id.len()).any(|window| window == id.as_bytes()));
    let site = Site::start(folder.path(), &[]).await;
    site.get("/api/v1/me", &ada).await.is(200);
    site.end().await;
}

#[tokio::test]
async fn sessions_of_a_disabled_banned_or_deleted_account_are_dead_at_once() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    for (name, method, path, body, status) in [
        ("Disabled", Method::PATCH, "", Some(json!({"enabled": false})), 200),
        ("Banned", Method::POST, "/ban", None, 200),
        ("Deleted", Method::DELETE, "", None, 204),
    ] {
        let (id, session) = site.streamer(name).await;
        site.get("/api/v1/me", &session).await.is(200);
        let path = format!("/api/v1/accounts/{}{path}", id.0);
        site.call(method, &path, &As::Token, body).await.is(status);
        site.get("/api/v1/me", &session).await.is(401);
        let again = site.post("/api/v1/session", &As::Nobody, json!({"name": name, "password": PASSWORD})).await;
        assert!(matches!(again.status, 401 | 403), "{again:?}");
    }
    site.end().await;
}

#[tokio::test]
async fn ban_is_taken_back_by_unban() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    let id = site.account("Bob").await.0;
    assert_eq!(
        site.post(&format!("/api/v1/accounts/{id}/ban"), &As::Token, json!({})).await.is(200).body["banned"],
        true
    );
    let unbanned = site.post(&format!("/api/v1/accounts/{id}/unban"), &As::Token, json!({})).await;
    assert_eq!(unbanned.is(200).body["enabled"], true);
    site.session("Bob").await;
    site.end().await;
}

#[tokio::test]
async fn new_password_ends_the_other_sessions_and_needs_the_old_one() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    let (_, here) = site.streamer("Ada").await;
    let elsewhere = site.session("Ada").await;
    let patch = |body| site.patch("/api/v1/me", &here, body);
    patch(json!({"password": "a new password"})).await.blames(422, "current_password");
    patch(json!({"password": "a new password", "current_password": "wrong horse"}))
        .await
        .blames(422, "current_password");
    site.get("/api/v1/me", &elsewhere).await.is(200);
    patch(json!({"password": "a new password", "current_password": PASSWORD})).await.is(200);
    site.get("/api/v1/me", &here).await.is(200);
    site.get("/api/v1/me", &elsewhere).await.is(401);
    site.post("/api/v1/session", &As::Nobody, json!({"name": "Ada", "password": "a new password"})).await.is(200);
    site.end().await;
}

#[tokio::test]
async fn password_reset_by_an_admin_ends_all_sessions() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    let (id, ada) = site.streamer("Ada").await;
    let path = format!("/api/v1/accounts/{}", id.0);
    site.patch(&path, &As::Token, json!({"password": "a new password"})).await.is(200);
    site.get("/api/v1/me", &ada).await.is(401);
    site.end().await;
}

#[tokio::test]
async fn own_edit_changes_what_is_ones_own_and_nothing_more() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    let (_, bob) = site.streamer("Bob").await;
    let edited = site.patch("/api/v1/me", &bob, json!({"name": "Bobby", "email": "b@example.org"})).await;
    assert_eq!(
        (edited.is(200).body["name"].as_str(), edited.body["email"].as_str()),
        (Some("Bobby"), Some("b@example.org"))
    );
    site.patch("/api/v1/me", &bob, json!({"role": "admin"})).await.blames(422, "role");
    site.patch("/api/v1/me", &bob, json!({"enabled": true})).await.blames(422, "enabled");
    site.end().await;
}

#[tokio::test]
async fn new_key_replaces_the_old_one() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    let (_, ada) = site.streamer("Ada").await;
    let before = site.get("/api/v1/me", &ada).await.body["stream_key"].clone();
    let made = site.post("/api/v1/me/stream-key", &ada, json!({})).await;
    assert_ne!(made.is(200).body["stream_key"], before);
    assert_eq!(site.get("/api/v1/me", &ada).await.body["stream_key"], made.body["stream_key"]);
    site.end().await;
}

#[tokio::test]
async fn whoever_deletes_their_account_is_gone() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    let (id, ada) = site.streamer("Ada").await;
    // A browser that was left open is not enough.
    site.delete("/api/v1/me", &ada).await.is(415);
    let delete = async |password: &str| {
        site.call(Method::DELETE, "/api/v1/me", &ada, Some(json!({"current_password": password}))).await
    };
    delete("another password").await.blames(422, "current_password");
    site.get("/api/v1/me", &ada).await.is(200);
    delete(PASSWORD).await.is(204);
    site.get("/api/v1/me", &ada).await.is(401);
    site.patch(&format!("/api/v1/accounts/{}", id.0), &As::Token, json!({})).await.is(404);
    site.end().await;
}

#[tokio::test]
async fn last_admin_stays() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    let (id, ada) = site.admin("Ada").await;
    let path = format!("/api/v1/accounts/{}", id.0);
    site.patch(&path, &ada, json!({"role": "streamer"})).await.is(409);
    site.patch(&path, &ada, json!({"enabled": false})).await.is(409);
    site.post(&format!("{path}/ban"), &ada, json!({})).await.is(409);
    site.delete(&path, &ada).await.is(409);
    let sure = Some(json!({"current_password": PASSWORD}));
    site.call(Method::DELETE, "/api/v1/me", &ada, sure).await.is(409);
    site.get("/api/v1/me", &ada).await.is(200);
    site.end().await;
}

#[tokio::test]
async fn list_of_accounts_holds_no_secrets() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    let (_, ada) = site.streamer("Ada").await;
    let key = site.get("/api/v1/me", &ada).await.body["stream_key"].as_str().unwrap().to_owned();
    let list = site.get("/api/v1/accounts", &As::Token).await;
    let text = list.is(200).body.to_string();
    assert!(text.contains("Ada") && !text.contains(&key) && !text.contains("argon2") && !text.contains("password"));
    site.end().await;
}
