//! The venue's OBS as admins see it, where no OBS is: what is refused, what is told, and that no secret is.

use super::*;

/// The password of the tests' OBS.
const SECRET: &str = "the-password-of-obs";

/// A port of this machine that nothing listens on.
async fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port()
}

/// A site with an OBS configured that is not there.
async fn site_without_its_obs(folder: &Path) -> (Site, u16) {
    let port = free_port().await;
    let set = port.to_string();
    (Site::start(folder, &[("OBS__HOST", "127.0.0.1"), ("OBS__PORT", &set), ("OBS__PASSWORD", SECRET)]).await, port)
}

#[tokio::test]
async fn status_tells_connection_and_mapping_and_never_the_password() {
    let folder = folder();
    let (site, port) = site_without_its_obs(folder.path()).await;
    let set = json!({"obs.scene_on_air": "Live", "obs.show_next": ["Banner"]});
    site.patch("/api/v1/settings", &As::Token, set).await.is(200);
    let mut status = site.state.obs.status();
    status.wait_for(|status| matches!(status.link, crate::obs::Link::Away { .. })).await.unwrap();
    let told = site.get("/api/v1/obs/status", &As::Token).await;
    told.is(200);
    assert_eq!(told.body["link"]["state"], "away", "{told:?}");
    assert_eq!(told.body["link"]["trouble"]["kind"], "nothing_there", "{told:?}");
    assert_eq!((&told.body["host"], &told.body["port"]), (&json!("127.0.0.1"), &json!(port)));
    assert_eq!(told.body["password"], true);
    assert_eq!(told.body["mapping"]["scene_on_air"], "Live");
    assert_eq!(told.body["mapping"]["show_next"], json!(["Banner"]));
    assert!(!told.body.to_string().contains(SECRET), "{told:?}");
    site.end().await;
}

#[tokio::test]
async fn settings_reach_the_adapter_at_once() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    let mut status = site.state.obs.status();
    let told = site.get("/api/v1/obs/status", &As::Token).await;
    assert_eq!(told.is(200).body["link"]["state"], "off");
    let set = json!({"obs.host": "127.0.0.1", "obs.port": free_port().await});
    site.patch("/api/v1/settings", &As::Token, set).await.is(200);
    status.wait_for(|status| matches!(status.link, crate::obs::Link::Away { .. })).await.unwrap();
    site.patch("/api/v1/settings", &As::Token, json!({"obs.host": null})).await.is(200);
    status.wait_for(|status| status.link == crate::obs::Link::Off).await.unwrap();
    site.end().await;
}

#[tokio::test]
async fn what_needs_obs_says_that_it_is_away_and_leaves_no_token_behind() {
    let folder = folder();
    let (site, _) = site_without_its_obs(folder.path()).await;
    let program = json!({"input": "Screen"});
    for (method, path, body) in [
        (Method::GET, "/api/v1/obs/scenes", None),
        (Method::GET, "/api/v1/obs/inputs", None),
        (Method::POST, "/api/v1/obs/stream/start", None),
        (Method::POST, "/api/v1/obs/stream/stop", None),
        (Method::POST, "/api/v1/obs/setup", None),
        (Method::POST, "/api/v1/obs/program", Some(program)),
    ] {
        let refused = site.call(method, path, &As::Token, body).await;
        assert_eq!(refused.is(409).body["type"], "urn:motherstream:no-obs", "{path}: {refused:?}");
    }
    site.post("/api/v1/obs/program", &As::Token, json!({"input": ""})).await.blames(422, "input");
    site.post("/api/v1/obs/reconnect", &As::Token, json!({})).await.is(204);
    assert!(site.state.accounts.viewers().list().is_empty());
    assert_eq!(site.state.settings.now().obs.program_source, None);
    site.end().await;
}

#[tokio::test]
async fn trial_tells_what_is_in_the_way() {
    let folder = folder();
    let (site, port) = site_without_its_obs(folder.path()).await;
    let tried = async |host: &str, port: u16| {
        site.post("/api/v1/obs/test", &As::Token, json!({"host": host, "port": port})).await
    };
    let nothing = tried("127.0.0.1", port).await;
    assert_eq!(nothing.is(200).body["trouble"]["kind"], "nothing_there", "{nothing:?}");
    assert!(nothing.body["message"].as_str().unwrap().contains("WebSocket Server Settings"), "{nothing:?}");
    // The page of the box itself listens, and is none.
    let other = tried("127.0.0.1", site.address.port()).await;
    assert_eq!(other.is(200).body["trouble"]["kind"], "not_obs", "{other:?}");
    tried("", port).await.blames(422, "host");
    tried("a b", port).await.blames(422, "host");
    tried("127.0.0.1", 0).await.blames(422, "port");
    site.end().await;
}

#[tokio::test]
async fn only_admins_reach_obs_and_what_they_do_is_noted() {
    let folder = folder();
    let (site, _) = site_without_its_obs(folder.path()).await;
    let (_, operator) = site.operator("Opa").await;
    for path in ["/api/v1/obs/status", "/api/v1/obs/scenes", "/api/v1/obs/inputs"] {
        site.get(path, &operator).await.is(403);
    }
    site.post("/api/v1/obs/stream/start", &operator, json!({})).await.is(403);
    site.post("/api/v1/obs/stream/start", &As::Token, json!({})).await.is(409);
    let test = json!({"host": "127.0.0.1", "port": 1, "password": SECRET});
    site.post("/api/v1/obs/test", &As::Token, test).await.is(200);
    let rows = site.rows("admin.token obs.test 127.0.0.1:1: done").await;
    assert!(rows.iter().any(|row| row.starts_with("admin.token obs.stream start: refused")), "{rows:?}");
    assert!(!rows.join(" ").contains(SECRET), "{rows:?}");
    site.end().await;
}

#[tokio::test]
async fn connection_is_saved_by_the_form_and_its_password_is_never_shown() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    let (_, admin) = site.admin("Root").await;
    let form = "/admin/obs/connection";
    let (_, _, page) = site.look("/admin/obs", &admin).await;
    assert!(page.contains("Not set up") && page.contains("Test connection"), "{page}");
    let port = free_port().await.to_string();
    let fields = [("host", "127.0.0.1"), ("port", port.as_str()), ("password", SECRET), ("act", "save")];
    site.does(&admin, form, &fields, "/admin/obs", "OBS is being connected").await;
    let password = || {
        let set = site.state.settings.now().obs.password.clone();
        set.map(|secret| secrecy::ExposeSecret::expose_secret(&secret).to_owned())
    };
    assert_eq!(password().as_deref(), Some(SECRET));
    for path in ["/admin/obs", "/admin/settings", "/admin/audit", "/api/v1/settings", "/api/v1/obs/status"] {
        let (status, _, text) = site.look(path, &admin).await;
        assert_eq!(status, 200, "{path}");
        assert!(!text.contains(SECRET), "{path}");
    }

    // Left empty it stays; nonsense is said beside its field and keeps what was written.
    let wrong = site.sends(&admin, form, &[("host", "a b"), ("port", "x"), ("password", "")], false).await;
    assert_eq!(wrong.status, 422);
    assert!(wrong.text.contains("value=\"a b\"") && wrong.text.contains("-wrong\" role=\"alert\""), "{}", wrong.text);
    let same = [("host", "127.0.0.1"), ("port", port.as_str()), ("password", "")];
    site.does(&admin, form, &same, "/admin/obs", "stays as it was").await;
    assert_eq!(password().as_deref(), Some(SECRET));
    let remove = [("host", "127.0.0.1"), ("port", port.as_str()), ("password", ""), ("remove", "yes")];
    site.does(&admin, form, &remove, "/admin/obs", "Saved").await;
    assert_eq!(password(), None);
    let none = [("host", ""), ("port", port.as_str()), ("password", "")];
    site.does(&admin, form, &none, "/admin/obs", "no OBS to follow").await;
    assert_eq!(site.state.settings.now().obs.host, None);
    site.end().await;
}

#[tokio::test]
async fn trial_by_the_form_says_what_is_in_the_way_and_saves_nothing() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    let (_, admin) = site.admin("Root").await;
    let port = free_port().await.to_string();
    let fields = [("host", "127.0.0.1"), ("port", port.as_str()), ("password", SECRET), ("act", "test")];
    let tried = site.sends(&admin, "/admin/obs/connection", &fields, false).await;
    assert_eq!(tried.status, 200);
    assert!(
        tried.text.contains("Nothing answers there") && tried.text.contains("value=\"127.0.0.1\""),
        "{}",
        tried.text
    );
    assert!(!tried.text.contains(SECRET));
    assert_eq!(site.state.settings.now().obs.host, None);
    let nowhere = [("host", ""), ("port", port.as_str()), ("act", "test")];
    let wrong = site.sends(&admin, "/admin/obs/connection", &nowhere, false).await;
    assert!(wrong.status == 422 && wrong.text.contains("id=\"obs-host-wrong\""), "{}", wrong.text);
    site.end().await;
}

#[tokio::test]
async fn mapping_is_typed_while_obs_is_away_and_stays_on_its_own_page() {
    let folder = folder();
    let (site, _) = site_without_its_obs(folder.path()).await;
    let (_, admin) = site.admin("Root").await;
    let fields = [
        ("obs.scene_on_air", "Live & loud"),
        ("obs.scene_slate", ""),
        ("obs.handover_seconds", "5"),
        ("obs.show_next", "Banner\r\n\r\nBanner\r\nArrow"),
        ("obs.stream", "true"),
    ];
    site.does(&admin, "/admin/obs/mapping", &fields, "/admin/obs#mapping", "Saved").await;
    let set = site.state.settings.now().obs.clone();
    assert_eq!((set.scene_on_air.as_deref(), set.handover_seconds, set.stream), (Some("Live & loud"), 5, true));
    assert_eq!(set.show_next, ["Banner", "Arrow"]);
    assert!(!set.only_our_scenes, "a box that is not ticked is not sent");
    let (_, _, page) = site.look("/admin/obs", &admin).await;
    assert!(page.contains("value=\"Live &#38; loud\""), "{page}");
    // What the environment sets is shown and not asked for.
    assert!(page.contains("MOTHERSTREAM_OBS__HOST") && page.contains("disabled"), "{page}");
    let (_, _, settings) = site.look("/admin/settings", &admin).await;
    assert!(!settings.contains("obs.scene_on_air") && !settings.contains("obs.host"), "{settings}");

    let wrong = site.sends(&admin, "/admin/obs/mapping", &[("obs.handover_seconds", "900")], false).await;
    assert_eq!(wrong.status, 422);
    assert!(wrong.text.contains("id=\"obs-handover_seconds-wrong\""), "{}", wrong.text);
    assert_eq!(site.state.settings.now().obs.handover_seconds, 5);
    site.end().await;
}

#[tokio::test]
async fn tab_is_live_and_for_admins_only() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    let (_, admin) = site.admin("Root").await;
    let (_, operator) = site.operator("Opa").await;
    let (status, _, page) = site.look("/admin/obs", &operator).await;
    assert!(status == 403 && !page.contains("/admin/obs/connection"), "{page}");
    for form in ["connection", "mapping", "reconnect", "stream", "setup", "program"] {
        let sent = site.sends(&operator, &format!("/admin/obs/{form}"), &[("on", "true")], false).await;
        assert_eq!(sent.status, 403, "{form}");
    }
    let mut ear = pages::Ear::as_who(&site, "/live/admin/obs", &admin).await;
    assert!(ear.hears("obs").await.contains("Not set up"));
    let set = json!({"obs.host": "127.0.0.1", "obs.port": free_port().await});
    site.patch("/api/v1/settings", &As::Token, set).await.is(200);
    // It may be heard while it connects.
    let mut heard = ear.hears("obs").await;
    if heard.contains("Connecting") {
        heard = ear.hears("obs").await;
    }
    assert!(heard.contains("Not connected") && heard.contains("It is tried again by itself"), "{heard}");
    let toast = site.sends(&admin, "/admin/obs/setup", &[], true).await;
    assert!(toast.status == 409 && toast.text.contains("toast-failed"), "{} {}", toast.status, toast.text);
    site.end().await;
}
