//! Publishing by WebRTC, as encoders and browsers see it.

use super::*;

#[tokio::test]
async fn offer_needs_a_stream_key_and_nothing_else_will_do() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    let (_, ada) = site.streamer("Ada").await;
    let offer =
        |who: &As| site.request(Method::POST, "/whip", who).header("content-type", "application/sdp").body("v=0");
    for who in [&As::Nobody, &ada, &As::Token] {
        let refused = answer(offer(who)).await;
        assert_eq!(refused.is(401).headers["www-authenticate"], "Bearer");
    }
    let key = site.get("/api/v1/me", &ada).await.body["stream_key"].as_str().unwrap().to_owned();
    let plain = site.request(Method::POST, "/whip", &As::Nobody).bearer_auth(&key).body("v=0");
    answer(plain).await.is(415);
    let large = offer(&As::Nobody).bearer_auth(&key).body(vec![b' '; LARGEST_BODY + 1]);
    answer(large).await.is(413);
    site.end().await;
}

#[tokio::test]
async fn where_no_webrtc_is_taken_the_answer_says_so() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    let (_, ada) = site.streamer("Ada").await;
    let key = site.get("/api/v1/me", &ada).await.body["stream_key"].as_str().unwrap().to_owned();
    let offer = || {
        let request = site.request(Method::POST, "/whip", &As::Nobody).bearer_auth(&key);
        request.header("content-type", "application/sdp").body("v=0")
    };
    let refused = answer(offer()).await;
    assert!(refused.is(404).body["detail"].as_str().unwrap().contains("RTMP"));
    site.door.send_modify(|state| state.status.running = false);
    let away = answer(offer()).await;
    assert_eq!(away.is(503).headers["retry-after"], "5");
    site.end().await;
}

#[tokio::test]
async fn nobody_is_invited_from_elsewhere_and_nothing_plays() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    let ask = site.request(Method::OPTIONS, "/whip", &As::Nobody);
    let ask = ask.header("origin", "http://evil.example").header("access-control-request-method", "POST");
    let told = answer(ask).await;
    assert_eq!(told.is(200).headers["accept-post"], "application/sdp");
    assert!(!told.headers.contains_key("access-control-allow-origin"));
    for (method, path) in
        [("GET", "/whip"), ("PUT", "/whip"), ("GET", "/whip/x"), ("PATCH", "/whip/x"), ("POST", "/whip/x")]
    {
        let refused = answer(site.request(method.parse().unwrap(), path, &As::Nobody)).await;
        assert!(refused.is(405).headers.contains_key("allow"), "{method} {path}");
    }
    site.end().await;
}

#[tokio::test]
async fn one_address_can_not_knock_without_end() {
    let folder = folder();
    let site = Site::start(folder.path(), &[]).await;
    let mut refused = None;
    for _ in 0..40 {
        let knock = answer(site.request(Method::POST, "/whip", &As::Nobody).bearer_auth("guess")).await;
        if knock.status == 429 {
            refused = Some(knock);
            break;
        }
        knock.is(401);
    }
    assert!(refused.unwrap().headers.contains_key("retry-after"));
    site.end().await;
}
