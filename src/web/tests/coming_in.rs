//! Registering, signing in and out, claiming the box, and one's own page, by plain forms.

use super::{
    pages::{NAME, told},
    running::eventually,
    *,
};

pub(super) fn cookies(headers: &HeaderMap) -> String {
    let set = headers.get_all("set-cookie").into_iter().map(|cookie| cookie.to_str().unwrap());
    set.filter_map(|cookie| cookie.split(';').next()).collect::<Vec<_>>().join("; ")
}

pub(super) fn location(headers: &HeaderMap) -> &str {
    headers["location"].to_str().unwrap()
}

#[tokio::test]
async fn whoever_registers_is_signed_in_and_sees_server_and_key() {
    let folder = folder();
    let site = Site::start(folder.path(), &[("ACCOUNTS__REGISTRATION", "open")]).await;
    let (status, _, text) = site.look("/register", &As::Nobody).await;
    assert!(status == 200 && text.contains("action=\"/register\""), "{text}");

    let (status, headers, _) = told(site.form("/register", &[("name", NAME), ("password", PASSWORD)])).await;
    assert_eq!((status, location(&headers)), (303, "/me"));
    let session = As::Cookie(cookies(&headers));
    let (status, headers, text) = site.look("/me", &session).await;
    assert_eq!(status, 200, "{text}");
    assert!(!headers.contains_key("content-encoding"));
    let id = site.state.accounts.list().first().unwrap().id;
    let key = site.state.accounts.stream_key(id).unwrap();
    for told in [key.expose(), "rtmp://127.0.0.1:19350/live", "Welcome", "You are not in the queue", "ffmpeg -re"] {
        assert!(text.contains(told), "{told}: {text}");
    }
    assert!(!text.contains("<script>x"));
    // Who is in needs neither door.
    for door in ["/register", "/login"] {
        let door = format!("http://{}{door}", site.address);
        let (status, headers, _) =
            told(Site::without_redirects().get(&door).header("cookie", cookies_of(&session))).await;
        assert_eq!((status, location(&headers)), (303, "/me"), "{door}");
    }
    site.end().await;
}

fn cookies_of(who: &As) -> String {
    match who {
        As::Cookie(cookie) => cookie.clone(),
        As::Nobody | As::Token | As::Machine => String::new(),
    }
}

#[tokio::test]
async fn form_that_does_not_fit_comes_back_filled_in_but_for_the_password() {
    let folder = folder();
    let site = Site::start(folder.path(), &[("ACCOUNTS__REGISTRATION", "open")]).await;
    let again = site.form("/register", &[("name", "\"><b>Ada"), ("password", "short")]);
    let (status, headers, text) = told(again).await;
    assert_eq!((status, headers["content-type"].to_str().unwrap()), (422, "text/html; charset=utf-8"));
    assert!(text.contains("aria-invalid=\"true\"") && text.contains("b&#62;Ada"), "{text}");
    assert!(!text.contains("<b>Ada") && !text.contains("short\""), "{text}");

    site.account("Ada").await;
    let (status, _, text) = told(site.form("/register", &[("name", "Ada"), ("password", PASSWORD)])).await;
    assert!(status == 422 && text.contains("name is taken") && !text.contains(PASSWORD), "{text}");
    let (status, _, text) = told(site.form("/login", &[("name", "Ada"), ("password", "not this one")])).await;
    assert!(status == 422 && text.contains("wrong") && text.contains("value=\"Ada\""), "{text}");
    assert!(!text.contains("not this one"), "{text}");
    site.end().await;
}

#[tokio::test]
async fn closed_registration_says_so_and_approval_leads_to_the_crew() {
    let (one, two) = (folder(), folder());
    let site = Site::start(one.path(), &[("ACCOUNTS__REGISTRATION", "closed")]).await;
    let (status, _, text) = site.look("/register", &As::Nobody).await;
    assert!(status == 200 && !text.contains("action=\"/register\""), "{text}");
    let (status, ..) = told(site.form("/register", &[("name", "Ada"), ("password", PASSWORD)])).await;
    assert_eq!(status, 422);
    site.end().await;

    let site = Site::start(two.path(), &[("ACCOUNTS__REGISTRATION", "approval")]).await;
    let (status, headers, _) = told(site.form("/register", &[("name", "Ada"), ("password", PASSWORD)])).await;
    assert_eq!((status, location(&headers)), (303, "/login"));
    let (_, _, text) = site.look("/login", &As::Cookie(cookies(&headers))).await;
    assert!(text.contains("crew has to let you in"), "{text}");
    site.end().await;
}

#[tokio::test]
async fn signing_in_leads_where_one_wanted_to_go_and_signing_out_ends_it() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    site.account("Ada").await;
    let (status, headers, _) =
        told(Site::without_redirects().get(format!("http://{}/me", site.address)).header("accept", "text/html")).await;
    assert_eq!((status, location(&headers)), (303, "/login?next=%2Fme"));
    for (next, to) in [("/queue-list", "/queue-list"), ("", "/me"), ("//evil.example", "/me")] {
        let fields = [("name", "Ada"), ("password", PASSWORD), ("next", next)];
        let (status, headers, _) = told(site.form("/login", &fields)).await;
        assert_eq!((status, location(&headers)), (303, to));
    }
    let (_, headers, _) = told(site.form("/login", &[("name", "Ada"), ("password", PASSWORD)])).await;
    let session = cookies(&headers);
    let (status, headers, _) = told(site.form("/logout", &[]).header("cookie", &session)).await;
    assert_eq!((status, location(&headers)), (303, "/"));
    site.get("/api/v1/me", &As::Cookie(session)).await.is(401);
    site.end().await;
}

#[tokio::test]
async fn own_page_shows_the_place_leaves_the_queue_and_makes_a_fresh_key() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    let (id, session) = site.streamer("Ada").await;
    assert!(site.publish(id, "one").await);
    eventually(async || site.get("/api/v1/me", &session).await.body["entry"]["id"].is_u64()).await;
    let (_, _, text) = site.look("/me", &session).await;
    assert!(text.contains("Number 1 in the queue") && text.contains("No picture yet"), "{text}");

    let cookie = cookies_of(&session);
    let (status, headers, _) = told(site.form("/me/leave", &[]).header("cookie", &cookie)).await;
    assert_eq!((status, location(&headers)), (303, "/me"));
    eventually(async || site.get("/api/v1/me", &session).await.body["entry"].is_null()).await;

    let before = site.state.accounts.stream_key(id).unwrap();
    let (status, headers, _) = told(site.form("/me/key", &[]).header("cookie", &cookie)).await;
    assert_eq!((status, location(&headers)), (303, "/me"));
    let after = site.state.accounts.stream_key(id).unwrap();
    assert_ne!(before.expose(), after.expose());
    let (_, _, text) = site.look("/me", &session).await;
    assert!(text.contains(after.expose()) && !text.contains(before.expose()));
    site.end().await;
}

#[tokio::test]
async fn box_gets_its_owner_by_a_form() {
    let folder = folder();
    let site = Site::start(folder.path(), &[("ADMIN__TOKEN", "")]).await;
    let (status, _, text) = site.look("/", &As::Nobody).await;
    assert!(status == 200 && text.contains("no owner yet") && !text.contains("href=\"/login\""), "{text}");
    let fields = |code| [("code", code), ("name", "Ada"), ("password", PASSWORD)];
    let (status, _, text) = told(site.form("/setup", &fields("wrong"))).await;
    assert!(status == 422 && text.contains("code is wrong"), "{text}");
    let code = site.state.accounts.setup_code().unwrap();
    let (status, headers, _) = told(site.form("/setup", &fields(secrecy::ExposeSecret::expose_secret(&code)))).await;
    assert_eq!((status, location(&headers)), (303, "/setup/venue"));
    let session = As::Cookie(cookies(&headers));
    assert_eq!(site.get("/api/v1/me", &session).await.is(200).body["role"], "admin");
    let (status, _, text) = site.look("/setup", &session).await;
    assert!(status == 200 && !text.contains("no owner yet"));
    site.end().await;
}
