//! Who may call what, and what is refused before a handler sees it.

use axum::{body::Body, extract::ConnectInfo, http::Request};
use tower::ServiceExt;

use super::*;

/// Who a route is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum For {
    Anyone,
    Own,
    Admin,
    Token,
    Local,
    Viewer,
    Encoder,
}

/// The table of the design.
const ROUTES: &[(&str, &str, For)] = &[
    ("POST", "/api/v1/accounts", For::Anyone),
    ("POST", "/api/v1/setup", For::Anyone),
    ("POST", "/api/v1/session", For::Anyone),
    ("DELETE", "/api/v1/session", For::Own),
    ("GET", "/api/v1/me", For::Own),
    ("PATCH", "/api/v1/me", For::Own),
    ("POST", "/api/v1/me/stream-key", For::Own),
    ("DELETE", "/api/v1/me/entry", For::Own),
    ("DELETE", "/api/v1/me", For::Own),
    ("GET", "/api/v1/show", For::Admin),
    ("PUT", "/api/v1/show", For::Admin),
    ("GET", "/program.flv", For::Viewer),
    ("GET", "/api/v1/viewers", For::Admin),
    ("POST", "/api/v1/viewers", For::Admin),
    ("DELETE", "/api/v1/viewers/{id}", For::Admin),
    ("GET", "/api/v1/queue", For::Anyone),
    ("POST", "/api/v1/queue/skip", For::Admin),
    ("POST", "/api/v1/queue/hold", For::Admin),
    ("POST", "/api/v1/queue/slate", For::Admin),
    ("POST", "/api/v1/queue/entries/{id}/take", For::Admin),
    ("POST", "/api/v1/queue/entries/{id}/kick", For::Admin),
    ("POST", "/api/v1/queue/entries/{id}/move", For::Admin),
    ("GET", "/api/v1/turn", For::Admin),
    ("PUT", "/api/v1/turn", For::Admin),
    ("GET", "/api/v1/block", For::Admin),
    ("PUT", "/api/v1/block", For::Admin),
    ("GET", "/api/v1/destinations", For::Admin),
    ("POST", "/api/v1/destinations", For::Admin),
    ("PATCH", "/api/v1/destinations/{id}", For::Admin),
    ("DELETE", "/api/v1/destinations/{id}", For::Admin),
    ("GET", "/api/v1/accounts", For::Admin),
    ("PATCH", "/api/v1/accounts/{id}", For::Admin),
    ("DELETE", "/api/v1/accounts/{id}", For::Admin),
    ("POST", "/api/v1/accounts/{id}/ban", For::Admin),
    ("POST", "/api/v1/accounts/{id}/unban", For::Admin),
    ("POST", "/api/v1/accounts/{id}/lift-hold-off", For::Admin),
    ("GET", "/api/v1/status", For::Admin),
    ("GET", "/api/v1/history", For::Admin),
    ("GET", "/api/v1/events", For::Anyone),
    ("GET", "/queue-json", For::Anyone),
    ("GET", "/update-timer/{seconds}", For::Token),
    ("GET", "/update-block-toggle/", For::Token),
    ("POST", "/whip", For::Encoder),
    ("DELETE", "/whip/{session}", For::Encoder),
    ("GET", "/healthz", For::Local),
    ("GET", "/readyz", For::Local),
    ("GET", "/metrics", For::Local),
];

#[tokio::test]
async fn description_has_every_route_and_no_other() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    let description = site.get("/api/v1/openapi.json", &As::Nobody).await;
    let mut described: Vec<_> = description.is(200).body["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, item)| {
            item.as_object().unwrap().keys().map(move |method| format!("{} {path}", method.to_uppercase()))
        })
        .collect();
    let mut table: Vec<_> = ROUTES.iter().map(|(method, path, _)| format!("{method} {path}")).collect();
    described.sort();
    table.sort();
    assert_eq!(described, table);
    site.end().await;
}

#[tokio::test]
async fn description_is_whole_and_says_who_may_call() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    let description = site.get("/api/v1/openapi.json", &As::Nobody).await.body;
    for (method, path, who) in ROUTES {
        let operation = &description["paths"][path][method.to_lowercase()];
        assert_eq!(operation["security"].is_array(), !matches!(who, For::Anyone | For::Viewer), "{method} {path}");
        assert!(operation["responses"]["default"].is_object(), "{method} {path}");
        assert!(operation["summary"].is_string(), "{method} {path}");
    }
    // Every reference leads somewhere.
    let text = description.to_string();
    for reference in text.split("\"#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(description["components"]["schemas"][name].is_object(), "{name}");
    }
    assert!(!text.contains("password_hash"));
    site.end().await;
}

/// One call of a route with things that are not there: it goes as far as it is allowed to.
async fn attempt(site: &Site, method: &str, path: &str, who: &As) -> u16 {
    let path = path.replace("{id}", "999999").replace("{seconds}", "60").replace("{session}", "none");
    let request = site.request(method.parse().unwrap(), &path, who);
    let request = if matches!(method, "GET" | "DELETE") { request } else { request.json(&json!({})) };
    // The head only: an event stream has no end.
    request.send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn every_route_is_open_to_whom_it_is_for_and_to_nobody_else() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    let (_, admin) = site.admin("Ada").await;
    // What the calls below delete is made by their own accounts.
    site.account("Bob").await;
    for (method, path, who) in ROUTES {
        let leaves = *who == For::Own && *method == "DELETE";
        let streamer = if leaves && *path == "/api/v1/me" {
            site.streamer("Leaver").await.1
        } else {
            site.state_session("Bob").await
        };
        let admin = if leaves { site.state_session("Ada").await } else { admin.clone() };
        if leaves && *path == "/api/v1/me" {
            // The last admin may not leave: allowed, and refused for another reason.
            assert_eq!(attempt(&site, method, path, &admin).await, 409);
        }
        for (caller, kind) in
            [(&As::Nobody, "nobody"), (&streamer, "streamer"), (&admin, "admin"), (&As::Token, "token")]
        {
            let expected = match (who, kind) {
                (For::Own | For::Admin | For::Token, "nobody") | (For::Viewer | For::Encoder, _) => Some(401),
                (For::Admin | For::Token, "streamer") | (For::Token, "admin") | (For::Own, "token") => Some(403),
                _ => None,
            };
            let status = attempt(&site, method, path, caller).await;
            match expected {
                Some(expected) => assert_eq!(status, expected, "{method} {path} by {kind}"),
                // The body of `{}` and the id of nothing are refused later, by what they are.
                None => assert!(
                    matches!(status, 200..=299 | 404 | 409 | 422) || (path.ends_with("readyz") && status == 503),
                    "{method} {path} by {kind}: {status}"
                ),
            }
        }
    }
    site.end().await;
}

impl Site {
    /// A session made past the limit of sign-ins.
    async fn state_session(&self, name: &str) -> As {
        let account = self.state.accounts.sign_in(name, &PASSWORD.into()).await.unwrap();
        let store = Arc::new(Sessions::new(self.state.store.clone()));
        let session = tower_sessions::Session::new(None, store, None);
        sessions::sign_in(&session, account.id).await.unwrap();
        session.save().await.unwrap();
        As::Cookie(format!("motherstream={}", session.id().unwrap()))
    }
}

#[tokio::test]
async fn wrong_token_is_nobody_even_beside_an_admins_cookie() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    let (_, admin) = site.admin("Ada").await;
    for token in ["Bearer wrong", "Basic YTpi", "Bearer", "nonsense"] {
        let request = site.request(Method::GET, "/api/v1/accounts", &admin).header("authorization", token);
        answer(request).await.is(401);
    }
    site.end().await;
}

#[tokio::test]
async fn wrong_tokens_are_limited_and_the_right_one_is_not() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    let wrong = || site.request(Method::GET, "/api/v1/status", &As::Nobody).bearer_auth("wrong");
    let mut last = answer(wrong()).await;
    for _ in 0..12 {
        last = answer(wrong()).await;
    }
    assert!(last.is(429).headers.contains_key("retry-after"));
    site.get("/api/v1/status", &As::Token).await.is(200);
    site.end().await;
}

#[tokio::test]
async fn change_sent_by_another_sites_page_is_refused() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    let (_, admin) = site.admin("Ada").await;
    let own_origin = format!("http://{}", site.address);
    for (header, value, by, status) in [
        ("sec-fetch-site", "cross-site", &admin, 403),
        ("sec-fetch-site", "same-site", &admin, 403),
        ("origin", "http://evil.example", &admin, 403),
        ("origin", "null", &admin, 403),
        ("sec-fetch-site", "same-origin", &admin, 200),
        ("origin", own_origin.as_str(), &admin, 200),
        ("origin", "http://evil.example", &As::Token, 200),
        ("origin", "http://evil.example", &As::Nobody, 403),
    ] {
        let request = site.request(Method::PUT, "/api/v1/block", by).header(header, value).json(&json!({"on": false}));
        answer(request).await.is(status);
    }
    // Looking is free: another site can not read the answer.
    answer(site.request(Method::GET, "/api/v1/block", &admin).header("sec-fetch-site", "cross-site")).await.is(200);
    site.end().await;
}

#[tokio::test]
async fn request_for_a_host_that_is_not_ours_is_refused() {
    let folder = folder();
    let site = Site::start(folder.path(), &[("WEB__PUBLIC_HOST", "stream.example.org")]).await;
    for (host, status) in [
        ("evil.example", 421),
        ("localhost:80", 200),
        ("stream.example.org", 200),
        ("10.1.2.3", 200),
        ("motherstream.local", 200),
    ] {
        answer(site.request(Method::GET, "/api/v1/queue", &As::Nobody).header("host", host)).await.is(status);
    }
    site.end().await;
}

#[tokio::test]
async fn too_large_bodies_are_refused_whether_their_length_is_told_or_not() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    let large = vec![b' '; LARGEST_BODY + 1];
    let request =
        || site.request(Method::POST, "/api/v1/accounts", &As::Nobody).header("content-type", "application/json");
    answer(request().body(large.clone())).await.is(413);
    let pieces: Vec<Result<Vec<u8>, std::io::Error>> = large.chunks(8192).map(|piece| Ok(piece.to_vec())).collect();
    let stream = reqwest::Body::wrap_stream(futures_util::stream::iter(pieces));
    answer(request().body(stream)).await.is(413);
    site.end().await;
}

#[tokio::test]
async fn malformed_requests_are_problems() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    let account = |kind: &'static str, body: &'static str| {
        site.request(Method::POST, "/api/v1/accounts", &As::Nobody).header("content-type", kind).body(body)
    };
    answer(account("application/json", "{")).await.is(400);
    answer(account("text/plain", "{}")).await.is(415);
    answer(account("application/json", "{}")).await.blames(422, "name");
    answer(account("application/json", r#"{"name": "Ada", "password": 1}"#)).await.blames(422, "password");
    site.get("/nowhere", &As::Nobody).await.is(404);
    site.get("/api/v1/queue/entries/x/take", &As::Token).await.is(405);
    site.post("/api/v1/queue/entries/x/take", &As::Token, json!({})).await.is(400);
    site.get("/api/v1/history?limit=many", &As::Token).await.is(400);
    site.put("/api/v1/block", &As::Token, json!({"on": "yes"})).await.blames(422, "on");
    site.put("/api/v1/turn", &As::Token, json!({"seconds": 60, "rest": true})).await.blames(422, "rest");
    site.end().await;
}

#[tokio::test]
async fn answers_carry_the_headers_that_keep_browsers_careful() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    for path in ["/", "/api/v1/queue", "/nowhere", "/program.flv"] {
        let headers = site.get(path, &As::Nobody).await.headers;
        assert_eq!(headers["x-content-type-options"], "nosniff", "{path}");
        assert_eq!(headers["referrer-policy"], "no-referrer", "{path}");
        assert_eq!(headers["cache-control"], "no-store", "{path}");
        assert!(headers["content-security-policy"].to_str().unwrap().contains("frame-ancestors 'none'"), "{path}");
    }
    site.end().await;
}

#[tokio::test]
async fn health_is_told_to_this_machine_and_to_admins_only() {
    let folder = folder();
    let state = a_box(folder.path(), &[], None).await.state;
    let router = router(&App::new(state, CancellationToken::new()));
    for (peer, token, status) in [
        ("127.0.0.1", false, 200),
        ("127.0.0.9", false, 200),
        ("::1", false, 200),
        ("::ffff:127.0.0.1", false, 200),
        ("192.0.2.7", false, 401),
        ("2001:db8::1", false, 401),
        ("192.0.2.7", true, 200),
    ] {
        for path in ["/healthz", "/metrics"] {
            let mut request = Request::get(path).header("host", "localhost");
            if token {
                request = request.header("authorization", format!("Bearer {TOKEN}"));
            }
            let mut request = request.body(Body::empty()).unwrap();
            let peer = SocketAddr::new(peer.parse().unwrap(), 5000);
            request.extensions_mut().insert(ConnectInfo(peer));
            let response = router.clone().oneshot(request).await.unwrap();
            assert_eq!(response.status(), status, "{path} from {peer}");
        }
    }
}
