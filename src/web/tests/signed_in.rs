//! Sessions and their ends, and what people do with their own account.

use std::time::Duration;

use super::{
    coming_in::{cookies, location},
    pages::told,
    *,
};

impl Site {
    /// A form of the box's own page, by somebody who is signed in.
    async fn own_form(&self, path: &str, who: &As, fields: &[(&str, &str)]) -> (u16, HeaderMap, String) {
        let As::Cookie(cookie) = who else { panic!("nobody") };
        told(self.form(path, fields).header("cookie", cookie)).await
    }

    /// As if so much time had passed since the sessions began, and since they were used.
    fn age(&self, hours: i64, unused: bool) {
        self.state.sessions.age(jiff::SignedDuration::from_hours(hours), unused);
    }
}

#[tokio::test]
async fn session_that_is_not_used_ends_and_one_that_is_goes_on_until_its_last_day() {
    let folder = folder();
    let site = Site::start(folder.path(), &[("WEB__SESSION_IDLE_HOURS", "8"), ("WEB__SESSION_MAX_DAYS", "2")]).await;
    let (_, ada) = site.streamer("Ada").await;
    site.age(9, true);
    site.get("/api/v1/me", &ada).await.is(401);

    let ada = site.session("Ada").await;
    site.age(7, true);
    // Used: its end is put off by eight hours.
    site.get("/api/v1/me", &ada).await.is(200);
    site.age(7, true);
    site.get("/api/v1/me", &ada).await.is(200);
    // But not beyond the second day: 47 hours after its beginning it has one left.
    site.age(33, false);
    site.get("/api/v1/me", &ada).await.is(200);
    site.age(1, true);
    site.get("/api/v1/me", &ada).await.is(401);
    site.end().await;
}

#[tokio::test]
async fn signing_out_everywhere_ends_all_sessions_and_nobody_elses() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    let (_, here) = site.streamer("Ada").await;
    let there = site.session("Ada").await;
    let (_, bob) = site.streamer("Bob").await;
    site.delete("/api/v1/sessions", &here).await.is(204);
    for who in [&here, &there] {
        site.get("/api/v1/me", who).await.is(401);
    }
    let (status, headers, _) = site.own_form("/me/sign-out-everywhere", &bob, &[]).await;
    assert_eq!((status, location(&headers)), (303, "/login"));
    site.get("/api/v1/me", &bob).await.is(401);
    site.end().await;
}

#[tokio::test]
async fn whoever_changes_their_own_all_the_time_is_told_to_wait_and_nobody_else_is() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    let (_, ada) = site.streamer("Ada").await;
    let (_, bob) = site.streamer("Bob").await;
    // Every kind counts, by either face.
    let mut refused = None;
    for round in 0..40 {
        let answer = match round % 3 {
            0 => site.post("/api/v1/me/stream-key", &ada, json!({})).await,
            1 => site.patch("/api/v1/me", &ada, json!({"timezone": "Europe/Berlin"})).await,
            _ => site.delete("/api/v1/me/entry", &ada).await,
        };
        if answer.status == 429 {
            refused = Some((round, answer));
            break;
        }
    }
    let (round, answer) = refused.expect("there is a limit");
    assert!((30..36).contains(&round), "after {round}");
    let seconds: u64 = answer.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=2).contains(&seconds), "{answer:?}");
    assert!(answer.body["detail"].as_str().unwrap().contains("wait a little"), "{answer:?}");
    let (status, headers, page) = site.own_form("/me/timezone", &ada, &[("timezone", "")]).await;
    assert_eq!(status, 429, "{page}");
    assert!(headers.contains_key("retry-after"));
    // Reading, the other one, and leaving the box are free.
    site.get("/api/v1/me", &ada).await.is(200);
    site.post("/api/v1/me/stream-key", &bob, json!({})).await.is(200);
    site.delete("/api/v1/session", &ada).await.is(204);
    site.end().await;
}

#[tokio::test]
async fn live_page_ends_with_its_own_session_and_with_no_other() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    let (_, here) = site.admin("Ada").await;
    let there = site.session("Ada").await;
    let open = async |path: &str, who: &As| site.request(Method::GET, path, who).send().await.unwrap();
    let mut ending = vec![open("/live/me", &here).await, open("/live/admin", &here).await];
    let mut staying = open("/live/me", &there).await;
    for stream in ending.iter_mut().chain([&mut staying]) {
        assert_eq!(stream.status(), 200);
        stream.chunk().await.unwrap().unwrap();
    }
    site.delete("/api/v1/session", &here).await.is(204);
    for mut stream in ending {
        let end = async { while stream.chunk().await.unwrap().is_some() {} };
        tokio::time::timeout(Duration::from_secs(5), end).await.expect("the end in time");
    }
    site.post("/api/v1/queue/hold", &As::Token, json!({"on": true})).await.is(204);
    let goes_on = async { while staying.chunk().await.unwrap().is_some() {} };
    assert!(tokio::time::timeout(Duration::from_millis(500), goes_on).await.is_err(), "it ended too");
    site.end().await;
}

#[tokio::test]
async fn new_password_needs_the_old_one_and_signs_out_everywhere_else() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    let (_, here) = site.streamer("Ada").await;
    let there = site.session("Ada").await;
    let change = |old, new| [("current_password", old), ("password", new)];
    let (status, _, text) = site.own_form("/me/password", &here, &change("not this one", "another horse")).await;
    assert!(status == 422 && text.contains("not the current password"), "{text}");
    assert!(!text.contains("another horse") && !text.contains("not this one"), "{text}");
    let (status, _, text) = site.own_form("/me/password", &here, &change(PASSWORD, "short")).await;
    assert!(status == 422 && text.contains("new-password-wrong\" role"), "{text}");
    let (status, headers, _) = site.own_form("/me/password", &here, &change(PASSWORD, "another horse")).await;
    assert_eq!((status, location(&headers)), (303, "/me"));
    site.get("/api/v1/me", &here).await.is(200);
    site.get("/api/v1/me", &there).await.is(401);
    site.post("/api/v1/session", &As::Nobody, json!({"name": "Ada", "password": "another horse"})).await.is(200);
    site.end().await;
}

#[tokio::test]
async fn account_is_deleted_by_who_knows_its_password() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    let (id, ada) = site.streamer("Ada").await;
    let (status, _, text) = site.own_form("/me/delete", &ada, &[("current_password", "wrong wrong")]).await;
    assert!(status == 422 && text.contains("not the current password"), "{text}");
    assert!(site.state.accounts.get(id).is_some());
    let (status, headers, _) = site.own_form("/me/delete", &ada, &[("current_password", PASSWORD)]).await;
    assert_eq!((status, location(&headers)), (303, "/"));
    assert!(cookies(&headers).contains("motherstream="), "{headers:?}");
    assert!(site.state.accounts.get(id).is_none());
    site.get("/api/v1/me", &ada).await.is(401);
    // The last admin has to stay, and is told so where they asked.
    let (_, boss) = site.admin("Boss").await;
    let (status, _, text) = site.own_form("/me/delete", &boss, &[("current_password", PASSWORD)]).await;
    assert!(status == 422 && text.contains("The last admin"), "{text}");
    site.end().await;
}

#[tokio::test]
async fn time_zone_is_kept_and_one_that_is_none_is_refused() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    let (id, ada) = site.streamer("Ada").await;
    let (status, ..) = site.own_form("/me/timezone", &ada, &[("timezone", "Europe/Berlin")]).await;
    assert_eq!(status, 303);
    assert_eq!(site.state.accounts.get(id).unwrap().timezone.as_deref(), Some("Europe/Berlin"));
    let (status, _, text) = site.own_form("/me/timezone", &ada, &[("timezone", "Mars; <b>")]).await;
    assert!(status == 422 && text.contains("not a time zone") && !text.contains("<b>\""), "{text}");
    let (status, ..) = site.own_form("/me/timezone", &ada, &[("timezone", "")]).await;
    assert_eq!((status, site.state.accounts.get(id).unwrap().timezone), (303, None));
    site.end().await;
}
