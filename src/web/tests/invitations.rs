//! Invitations, and links that set a forgotten password.

use super::{
    coming_in::{cookies, location},
    pages::told,
    *,
};

const INVITE: &[(&str, &str)] = &[("ACCOUNTS__REGISTRATION", "invite")];

impl Site {
    async fn invitation(&self, uses: u32) -> Value {
        let new = json!({"label": "Friday", "uses": uses, "valid_hours": 2});
        self.post("/api/v1/invitations", &As::Token, new).await.is(201).body.clone()
    }

    async fn join(&self, name: &str, invitation: Option<&str>) -> Answer {
        let body = json!({"name": name, "password": PASSWORD, "invitation": invitation});
        self.post("/api/v1/accounts", &As::Nobody, body).await
    }
}

/// The path of an address that was made for others.
fn path_of(url: &Value) -> String {
    let url = url::Url::parse(url.as_str().unwrap()).unwrap();
    url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()))
}

#[tokio::test]
async fn invitation_lets_as_many_in_as_it_says_and_outlives_a_restart() {
    let folder = folder();
    let site = Site::start(folder.path(), INVITE).await;
    let made = site.invitation(2).await;
    let code = made["code"].as_str().unwrap().to_owned();
    site.join("Eve", None).await.blames(403, "invitation");
    site.join("Eve", Some("0000-0000-0000-0000")).await.blames(422, "invitation");
    site.join("Ada", Some(&code)).await.is(201);
    // A registration that fails uses nothing up.
    site.join("ada", Some(&code)).await.blames(409, "name");
    site.end().await;

    let site = Site::start(folder.path(), INVITE).await;
    // However it was typed.
    site.join("Bob", Some(&code.to_uppercase().replace('-', " "))).await.is(201);
    site.join("Cy", Some(&code)).await.blames(422, "invitation");
    let list = site.get("/api/v1/invitations", &As::Token).await;
    let row = &list.is(200).body[0];
    assert_eq!((&row["used"], &row["open"], &row["label"]), (&json!(2), &json!(false), &json!("Friday")));
    assert!(!list.body.to_string().contains(&code));
    let file = std::fs::read(folder.path().join(crate::store::FILE_NAME)).unwrap();
    for kept in [code.clone(), code.replace('-', "")] {
        assert!(!file.windows(kept.len()).any(|part| part == kept.as_bytes()), "the code is in the file");
    }
    site.end().await;
}

#[tokio::test]
async fn invitation_is_revoked_checked_and_of_admins_only() {
    let folder = folder();
    let site = Site::start(folder.path(), INVITE).await;
    let made = site.invitation(1).await;
    let (_, ada) = site.streamer("Ada").await;
    site.get("/api/v1/invitations", &ada).await.is(403);
    let path = format!("/api/v1/invitations/{}", made["id"]);
    site.delete(&path, &As::Token).await.is(204);
    site.delete(&path, &As::Token).await.is(404);
    site.join("Eve", made["code"].as_str()).await.blames(422, "invitation");
    for (body, field) in [
        (json!({"label": " "}), "label"),
        (json!({"label": "x", "uses": 0}), "uses"),
        (json!({"label": "x", "valid_hours": 9000}), "valid_hours"),
    ] {
        site.post("/api/v1/invitations", &As::Token, body).await.blames(422, field);
    }
    site.end().await;
}

#[tokio::test]
async fn who_was_invited_waits_for_no_approval_and_closed_is_closed() {
    let (one, two) = (folder(), folder());
    let site = Site::start(one.path(), &[("ACCOUNTS__REGISTRATION", "approval")]).await;
    let made = site.invitation(1).await;
    site.join("Ada", made["code"].as_str()).await.is(201);
    site.session("Ada").await;
    site.end().await;
    let site = Site::start(two.path(), &[("ACCOUNTS__REGISTRATION", "closed")]).await;
    let made = site.invitation(1).await;
    site.join("Ada", made["code"].as_str()).await.is(403);
    site.end().await;
}

#[tokio::test]
async fn link_of_an_invitation_leads_to_a_form_that_keeps_its_code() {
    let folder = folder();
    let site = Site::start(folder.path(), INVITE).await;
    let (_, _, text) = site.look("/register", &As::Nobody).await;
    assert!(text.contains("id=\"invitation\""), "{text}");
    let made = site.invitation(1).await;
    let code = made["code"].as_str().unwrap();
    let link = path_of(&made["url"]);
    let (status, headers, text) = site.look(&link, &As::Nobody).await;
    assert_eq!((status, &headers["referrer-policy"]), (200, &"strict-origin".parse().unwrap()));
    assert!(text.contains(&format!("type=\"hidden\" name=\"invitation\" value=\"{code}\"")), "{text}");
    // What is wrong elsewhere does not lose the code.
    let fields = |name, password| [("name", name), ("password", password), ("invitation", code)];
    let (status, _, text) = told(site.form("/register", &fields("Ada", "short"))).await;
    assert!(status == 422 && text.contains(&format!("type=\"hidden\" name=\"invitation\" value=\"{code}\"")), "{text}");
    let (status, headers, _) = told(site.form("/register", &fields("Ada", PASSWORD))).await;
    assert_eq!((status, location(&headers)), (303, "/me"));
    let (status, _, text) = told(site.form("/register", &fields("Bob", PASSWORD))).await;
    assert!(status == 422 && text.contains("used up") && text.contains("id=\"invitation\""), "{text}");
    site.end().await;
}

#[tokio::test]
async fn reset_link_sets_the_password_once_and_signs_out_everywhere_else() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    let (ada, session) = site.streamer("Ada").await;
    let ask = || async { site.post(&format!("/api/v1/accounts/{}/reset-link", ada.0), &As::Token, json!({})).await };
    let first = path_of(&ask().await.is(201).body["url"]);
    let made = ask().await;
    let link = path_of(&made.is(201).body["url"]);
    assert!(made.body["expires"].is_string());
    // The one before is dead; and a look uses nothing up.
    assert_eq!(site.look(&first, &As::Nobody).await.0, 404);
    for _ in 0..2 {
        let (status, headers, text) = site.look(&link, &As::Nobody).await;
        assert_eq!((status, &headers["referrer-policy"]), (200, &"strict-origin".parse().unwrap()));
        assert!(text.contains("A new password for Ada"), "{text}");
    }
    let (status, _, text) = told(site.form(&link, &[("password", "short")])).await;
    assert!(status == 422 && text.contains("aria-invalid"), "{text}");
    site.get("/api/v1/me", &session).await.is(200);
    let (status, headers, _) = told(site.form(&link, &[("password", "another horse")])).await;
    assert_eq!((status, location(&headers)), (303, "/me"));
    let fresh = As::Cookie(cookies(&headers));
    site.get("/api/v1/me", &fresh).await.is(200);
    site.get("/api/v1/me", &session).await.is(401);
    let (status, ..) = told(site.form(&link, &[("password", "a third horse")])).await;
    assert_eq!(status, 404);
    site.post("/api/v1/session", &As::Nobody, json!({"name": "Ada", "password": "another horse"})).await.is(200);
    site.end().await;
}

#[tokio::test]
async fn new_password_or_the_end_of_the_account_ends_its_reset_link() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    let (ada, bob) = (site.account("Ada").await, site.account("Bob").await);
    let mut links = Vec::new();
    for id in [ada, bob] {
        let made = site.post(&format!("/api/v1/accounts/{}/reset-link", id.0), &As::Token, json!({})).await;
        links.push(path_of(&made.is(201).body["url"]));
    }
    let new = json!({"password": "a new password"});
    site.patch(&format!("/api/v1/accounts/{}", ada.0), &As::Token, new).await.is(200);
    site.delete(&format!("/api/v1/accounts/{}", bob.0), &As::Token).await.is(204);
    for link in &links {
        assert_eq!(site.look(link, &As::Nobody).await.0, 404);
    }
    site.post("/api/v1/accounts/999/reset-link", &As::Token, json!({})).await.is(404);
    // None of these came back with a restart.
    site.end().await;
    let site = Site::start(folder.path(), &[]).await;
    for link in &links {
        assert_eq!(site.look(link, &As::Nobody).await.0, 404);
    }
    site.end().await;
}
