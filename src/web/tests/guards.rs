//! Who may call what, and what is refused before a handler sees it.

use axum::{body::Body, extract::ConnectInfo, http::Request};
use tower::ServiceExt;

use super::*;

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
        assert_eq!(headers["referrer-policy"], "same-origin", "{path}");
        assert_eq!(headers["cache-control"], "no-store", "{path}");
        assert!(headers["content-security-policy"].to_str().unwrap().contains("frame-ancestors 'none'"), "{path}");
    }
    site.end().await;
}

#[tokio::test]
async fn health_is_told_to_this_machine_and_to_admins_only() {
    let folder = folder();
    let state = a_box(folder.path(), &[], None).await.state;
    let router = router(&App::new(state, Doors::default(), CancellationToken::new()), false);
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
