//! The audit log: who did what.

use super::{pages::told, running::eventually, *};

impl Site {
    /// Rows as `who action target: outcome`, the latest first, as soon as `last` is among them.
    pub(super) async fn rows(&self, last: &str) -> Vec<String> {
        let rows = async || {
            let rows = self.get("/api/v1/audit", &As::Token).await;
            let text = |row: &Value, key: &str| row[key].as_str().unwrap().to_owned();
            let told = |row: &Value| {
                format!(
                    "{} {} {}: {}",
                    text(row, "who"),
                    text(row, "action"),
                    text(row, "target"),
                    text(row, "outcome")
                )
            };
            rows.is(200).body.as_array().unwrap().iter().map(told).collect::<Vec<_>>()
        };
        eventually(async || rows().await.iter().any(|row| row == last)).await;
        rows().await
    }
}

#[tokio::test]
async fn what_the_crew_does_is_in_the_log_with_who_and_from_where() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    let (ada, admin) = site.admin("Ada").await;
    let bob = site.account("Bob").await;
    site.post("/api/v1/queue/hold", &admin, json!({"on": true})).await.is(204);
    site.put("/api/v1/turn", &As::Token, json!({"seconds": 900})).await.is(200);
    let edit = json!({"password": "a new password", "role": "operator"});
    site.patch(&format!("/api/v1/accounts/{}", bob.0), &admin, edit).await.is(200);
    site.patch("/api/v1/settings", &admin, json!({"venue.name": "Blue Room"})).await.is(200);
    // Reading is nobody's business, but for the file with all keys in it.
    site.get("/api/v1/accounts", &admin).await.is(200);
    site.get("/api/v1/backup", &admin).await.is(200);
    site.rows("Ada backup.download : done").await;
    let rows = site.rows("Ada settings.change venue.name: done").await;
    assert_eq!(
        rows,
        [
            "Ada backup.download : done",
            "Ada settings.change venue.name: done",
            "Ada account.edit Bob: password, role operator: done",
            "admin.token queue.turn 900 s: done",
            "Ada queue.hold on: done",
            "admin.token account.create Bob: done",
            "Ada session.begin : done",
            "admin.token account.create Ada: done",
        ]
    );
    let page = site.get("/api/v1/audit?limit=1&before=5", &admin).await;
    let row = &page.is(200).body[0];
    assert_eq!((&row["number"], &row["account"], &row["address"]), (&json!(4), &json!(ada.0), &json!("127.0.0.1")));
    assert_eq!(page.body.as_array().unwrap().len(), 1);
    // None of it is for others.
    let session = As::Cookie(
        site.post("/api/v1/session", &As::Nobody, json!({"name": "Bob", "password": "a new password"}))
            .await
            .cookie()
            .unwrap()
            .to_owned(),
    );
    site.get("/api/v1/audit", &session).await.is(403);
    site.end().await;
}

#[tokio::test]
async fn refusals_are_noted_and_what_strangers_try_is_not() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    let (ada, admin) = site.admin("Ada").await;
    site.delete(&format!("/api/v1/accounts/{}", ada.0), &admin).await.is(409);
    let refused = "Ada account.delete Ada: refused: The last admin cannot be removed, disabled or demoted.";
    site.rows(refused).await;
    // Mistyped, refused at the door, read only: nothing of that changed anything.
    site.put("/api/v1/turn", &admin, json!({"seconds": "long"})).await.is(422);
    site.put("/api/v1/turn", &As::Nobody, json!({"seconds": 900})).await.is(401);
    site.post("/api/v1/session", &As::Nobody, json!({"name": "Ada", "password": "wrong wrong"})).await.is(401);
    // Registration makes somebody: that is noted, by a form as by a call.
    let (status, ..) = told(site.form("/register", &[("name", "Eve"), ("password", PASSWORD)])).await;
    assert_eq!(status, 303);
    let rows = site.rows("Eve account.register : done").await;
    assert_eq!(rows.len(), 4, "{rows:?}");
    assert_eq!(rows[1], refused);
    assert!(!rows.concat().contains(PASSWORD));
    site.end().await;
}
