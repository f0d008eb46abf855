//! Who may call what, and what is refused before a handler sees it.

use axum::{body::Body, extract::ConnectInfo, http::Request};
use tower::ServiceExt;
use tracing_subscriber::layer::SubscriberExt;

use super::*;
use crate::telemetry::RecentEvents;

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
    // Looking is free: another site cannot read the answer.
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
async fn pages_of_other_sites_read_what_everybody_may_and_nothing_else() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    for (path, read) in [
        ("/queue-json", true),
        ("/api/v1/queue", true),
        ("/api/v1/show", false),
        ("/api/v1/accounts", false),
        ("/api/v1/me", false),
        ("/", false),
    ] {
        let asked = site.request(Method::GET, path, &As::Token).header("origin", "http://elsewhere.example");
        let answered = asked.send().await.unwrap();
        let leave = answered.headers().get("access-control-allow-origin").map(|origin| origin.to_str().unwrap());
        assert_eq!(leave, read.then_some("*"), "{path}");
        assert!(!answered.headers().contains_key("access-control-allow-credentials"), "{path}");
    }
    site.end().await;
}

#[tokio::test]
async fn health_is_told_to_whoever_shows_that_they_may_know_and_loopback_shows_nothing() {
    let folder = folder();
    let metrics_token = "a-token-for-prometheus";
    let state = a_box(folder.path(), &[("WEB__METRICS_TOKEN", metrics_token)], None).await.state;
    let machine = state.machine.expose().to_owned();
    let (_, router) = whole(state);
    for peer in ["127.0.0.1", "127.0.0.9", "::1", "::ffff:127.0.0.1", "192.0.2.7", "2001:db8::1"] {
        for (token, status) in [
            (None, 401),
            (Some("another-token-of-somebody"), 401),
            (Some(TOKEN), 200),
            (Some(machine.as_str()), 200),
            (Some(metrics_token), 200),
        ] {
            for path in ["/healthz", "/readyz", "/metrics"] {
                let mut request = Request::get(path).header("host", "localhost");
                if let Some(token) = token {
                    request = request.header("authorization", format!("Bearer {token}"));
                }
                let mut request = request.body(Body::empty()).unwrap();
                let peer = SocketAddr::new(peer.parse().unwrap(), 5000);
                request.extensions_mut().insert(ConnectInfo(peer));
                let response = router.clone().oneshot(request).await.unwrap();
                // Its parts are not there yet.
                let answers = response.status().as_u16() == status || (status == 200 && response.status() == 503);
                assert!(answers, "{path} from {peer} with {token:?}: {}", response.status());
            }
        }
    }
}

#[tokio::test]
async fn what_outsiders_are_refused_is_one_line_a_second_of_each_kind_and_the_next_says_how_many_there_were() {
    let folder = folder();
    let recent = RecentEvents::default();
    let _here = tracing::subscriber::set_default(tracing_subscriber::registry().with(recent.layer()));
    let site = Site::start(folder.path(), &[("WEB__TRUSTED_PROXIES", "[\"127.0.0.1\"]")]).await;
    let from =
        |request: RequestBuilder, last: u8| answer(request.header("x-forwarded-for", format!("203.0.113.{last}")));
    let storm = async |last: u8| {
        let wrong_host = site.request(Method::GET, "/?key=hush", &As::Nobody).header("host", "evil.example");
        from(wrong_host, last).await.is(421);
        let elsewhere =
            site.request(Method::POST, "/api/v1/queue/skip", &As::Nobody).header("sec-fetch-site", "cross-site");
        from(elsewhere, last).await.is(403);
        let sign_in = |name: &str| {
            let credentials = json!({"name": name, "password": "hunter2"});
            site.request(Method::POST, "/api/v1/session", &As::Nobody).json(&credentials)
        };
        from(sign_in(&"x".repeat(LARGEST_BODY)), last).await.is(413);
        from(sign_in("hunter2"), last).await.is(401);
        from(site.request(Method::GET, "/api/v1/status", &As::Nobody).bearer_auth("hunter2"), last).await.is(401);
        let again = from(site.request(Method::GET, "/api/v1/status", &As::Nobody).bearer_auth("hunter2"), 200).await;
        assert!(matches!(again.status, 401 | 429), "{again:?}");
    };
    let began = std::time::Instant::now();
    for last in 0..24 {
        storm(last).await;
        tokio::time::sleep(std::time::Duration::from_millis(40)).await;
    }
    let seconds = usize::try_from(began.elapsed().as_secs()).unwrap() + 1;
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    storm(100).await;

    let lines: Vec<_> = recent.latest(tracing::Level::WARN, None).into_iter().map(|event| event.text).collect();
    for what in [
        "request for a host that is not ours",
        "request from another site's page",
        "request's body is too large",
        "wrong name or password",
        "wrong token or stream key",
        "too many attempts from one address",
    ] {
        let said: Vec<_> = lines.iter().filter(|line| line.starts_with(what)).collect();
        assert!((1..=seconds + 1).contains(&said.len()), "{what}: {said:?}");
        assert!(said.iter().all(|line| line.contains("address=203.0.113.")), "{said:?}");
    }
    let hosts: Vec<_> = lines.iter().filter(|line| line.starts_with("request for a host")).collect();
    let left_out = |line: &str| -> usize {
        let told = line.split_whitespace().find_map(|word| word.strip_prefix("left_out="));
        told.map_or(0, |number| number.parse().unwrap())
    };
    let told: usize = hosts.iter().map(|line| 1 + left_out(line)).sum();
    assert!(told == 25 && hosts.iter().all(|line| line.contains("evil")), "all are counted: {hosts:?}");
    assert!(!lines.iter().any(|line| line.contains("hunter2") || line.contains("hush")), "{lines:?}");
    site.end().await;
}
