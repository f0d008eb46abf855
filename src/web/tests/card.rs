//! What people and programs are told while the disk takes nothing.

use std::{io::ErrorKind, time::Duration};

use super::{coming_in::location, pages::told, *};
use crate::control::readiness::Latch;

impl Site {
    /// A page as somebody sees it.
    async fn text(&self, path: &str, who: &As) -> String {
        told(self.request(Method::GET, path, who).header("accept", "text/html")).await.2
    }

    /// The answer to a look, once it is so.
    async fn becomes(&self, path: &str, who: &As, so: impl Fn(&Answer) -> bool) -> Answer {
        for _ in 0..500 {
            let answer = self.get(path, who).await;
            if so(&answer) {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{path} is not so within 10 s: {:?}", self.get(path, who).await);
    }
}

#[tokio::test]
async fn everybody_is_told_that_nothing_can_be_stored_and_what_acts_all_the_same() {
    let (folder, flaky) = (folder(), Flaky::new());
    let site = Site::start_on(folder.path(), &[], Some(&flaky)).await;
    for latch in [Latch::Store, Latch::Program, Latch::Ingest] {
        site.state.readiness.set(latch, true);
    }
    let (_, root) = site.admin("Root").await;
    let (ada, of_ada) = site.streamer("Ada").await;
    let url = json!({"name": "Wide", "url": "rtmp://192.0.2.1/app", "key": "k", "enabled": true});
    let wide = site.post("/api/v1/destinations", &As::Token, url).await.is(201).body["id"].clone();
    let on = json!({"on": true});
    let off = json!({"on": false});
    site.becomes("/readyz", &As::Token, |answer| answer.status == 200).await;
    site.post("/api/v1/queue/slate", &As::Token, off.clone()).await.is(204);
    assert_eq!(site.get("/api/v1/queue", &As::Nobody).await.body["stored"], true);
    assert!(!site.text("/admin", &root).await.contains("Nothing can be stored"));
    let mut events = site.request(Method::GET, "/api/v1/events", &As::Nobody).send().await.unwrap();

    flaky.fail(Some(ErrorKind::StorageFull));
    // Done, and said to be not stored: 202 with the usual body.
    let panic = site.post("/api/v1/queue/slate", &root, on.clone()).await;
    assert_eq!((panic.is(202).body["stored"].as_bool(), panic.body["detail"].is_string()), (Some(false), true));
    let queue = site.get("/api/v1/queue", &As::Nobody).await;
    assert_eq!((&queue.body["forced_slate"], &queue.body["stored"]), (&json!(true), &json!(false)));
    let ban = site.post(&format!("/api/v1/accounts/{}/ban", ada.0), &root, json!({})).await;
    assert_eq!((&ban.is(202).body["name"], &ban.body["banned"]), (&json!("Ada"), &json!(true)));
    assert_eq!(ban.body["stored"], false);
    site.get("/api/v1/me", &of_ada).await.is(401);
    let switch = site.put(&format!("/api/v1/destinations/{wide}/enabled"), &As::Token, off.clone()).await;
    assert_eq!((&switch.is(202).body["name"], &switch.body["enabled"]), (&json!("Wide"), &json!(false)));
    assert_eq!((&switch.body["stored"], &switch.body["state"]), (&json!(false), &switch.body["state"]));
    let show = site.put("/api/v1/show", &As::Token, off.clone()).await;
    assert_eq!((&show.is(202).body["on"], &show.body["stored"]), (&json!(false), &json!(false)));
    // What can wait is refused as ever.
    site.put("/api/v1/show", &As::Token, on).await.is(503);

    let ready = site.get("/readyz", &As::Token).await;
    let detail = ready.is(503).body["detail"].as_str().unwrap();
    assert!(detail.contains("not working: storing") && detail.contains("is full"), "{detail}");
    let status = site.get("/api/v1/status", &As::Token).await.body;
    assert_eq!((&status["stored"], &status["ready"]["storing"]), (&json!(false), &json!(false)));
    assert!(status["store_problem"].as_str().unwrap().contains("is full"));
    let metrics = site.get("/metrics", &As::Token).await.body;
    assert!(metrics.as_str().unwrap().contains("\nmotherstream_storing 0"), "{metrics}");
    for path in ["/admin", "/admin/people", "/admin/destinations", "/admin/system"] {
        let page = site.text(path, &root).await;
        assert_eq!(page.matches("Nothing can be stored").count(), 1, "{path}");
    }
    let (status, _, toast) =
        told(site.form("/admin/hold", &[("on", "true")]).header("cookie", cookie(&root)).header("hx-request", "true"))
            .await;
    assert!(status == 200 && toast.contains("not stored yet"), "{toast}");
    assert!(!site.text("/", &root).await.contains("Nothing can be stored"), "the room's page is for the room");

    // Who runs the night comes in on another phone.
    let credentials = json!({"name": "Root", "password": PASSWORD});
    let signed_in = site.post("/api/v1/session", &As::Nobody, credentials).await;
    assert_eq!((&signed_in.is(202).body["role"], &signed_in.body["stored"]), (&json!("admin"), &json!(false)));
    let phone = As::Cookie(signed_in.cookie().unwrap().to_owned());
    site.get("/api/v1/status", &phone).await.is(200);
    let (status, headers, _) = told(site.form("/login", &[("name", "Root"), ("password", PASSWORD)])).await;
    assert_eq!((status, location(&headers)), (303, "/admin"));
    let cookies: Vec<_> = headers.get_all("set-cookie").iter().map(|value| value.to_str().unwrap()).collect();
    let cookies: Vec<_> = cookies.iter().map(|cookie| cookie.split(';').next().unwrap()).collect();
    assert!(site.text("/admin", &As::Cookie(cookies.join("; "))).await.contains("this sign-in is forgotten"));

    // Listeners hear of it, and hear when it is over.
    let mut heard = String::new();
    while !heard.contains("\"stored\":false") {
        heard += std::str::from_utf8(&events.chunk().await.unwrap().unwrap()).unwrap();
    }
    flaky.fail(None);
    site.becomes("/readyz", &As::Token, |answer| answer.status == 200).await;
    site.becomes("/api/v1/queue", &As::Nobody, |answer| answer.body["stored"] == true).await;
    heard.clear();
    while !heard.contains("\"stored\":true") {
        heard += std::str::from_utf8(&events.chunk().await.unwrap().unwrap()).unwrap();
    }
    assert!(!site.text("/admin", &root).await.contains("Nothing can be stored"));
    site.post("/api/v1/queue/slate", &As::Token, off).await.is(204);
    drop(events);
    site.end().await;
    assert!(flaky.open().1.accounts.iter().any(|account| account.id == ada && account.banned));
}

fn cookie(who: &As) -> &str {
    let As::Cookie(cookie) = who else { panic!("nobody") };
    cookie
}
