use std::sync::{Arc, Mutex};

use axum::{
    Json, Router,
    extract::{Path, Query, Request, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::*;

/// What was asked: method, path with query, and the header with name and password.
type Asked = Arc<Mutex<Vec<(String, String, Option<String>)>>>;

async fn serve(router: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

/// Answers with the captures of a real SRS 7.
async fn captured() -> (String, Asked) {
    let asked = Asked::default();
    let router = Router::new().fallback(answer).with_state(asked.clone());
    (serve(router).await, asked)
}

async fn answer(State(asked): State<Asked>, request: Request) -> &'static str {
    let login = request.headers().get("authorization").map(|value| value.to_str().unwrap().to_owned());
    let call = (request.method().to_string(), request.uri().to_string(), login);
    asked.lock().unwrap().push(call);
    match (request.method().as_str(), request.uri().path()) {
        ("GET", "/api/v1/summaries") => include_str!("../fixtures/summaries.json"),
        ("GET", "/api/v1/streams/") => include_str!("../fixtures/streams.json"),
        ("GET", "/api/v1/clients/") => include_str!("../fixtures/clients.json"),
        ("DELETE" | "GET", "/api/v1/clients/1j3592z1") => include_str!("../fixtures/kick.json"),
        (_, path) if path.starts_with("/api/v1/clients/") => r#"{"code":2049}"#,
        _ => r#"{"code":100}"#,
    }
}

#[tokio::test]
async fn captured_answers_are_understood() {
    let (base, _) = captured().await;
    let api = Api::new(&base).unwrap();

    let summary = api.summary().await.unwrap();
    let identity = Identity { server: "vid-13406nv".to_owned(), service: "22g50b76".to_owned(), pid: 26908 };
    assert_eq!(summary.identity, identity);
    assert_eq!(summary.version, "7.0.18");
    assert_eq!(summary.argv, "/usr/local/srs/objs/srs -c srs.conf");
    assert_eq!(summary.cwd, "/usr/local/srs");

    let streams = api.streams().await.unwrap();
    assert_eq!(streams.identity, identity);
    let stream = &streams.entries[0];
    assert_eq!((stream.app.as_str(), stream.name.as_str()), ("live", "key-abc"));
    assert_eq!(stream.publish, Publishing { active: true, cid: Some("1j3592z1".to_owned()) });
    assert_eq!(stream.recv_bytes, 223_991);
    assert_eq!(stream.video.as_ref().map(|video| (video.width, video.height)), Some((640, 360)));
    assert_eq!(stream.audio.as_ref().map(|audio| audio.sample_rate), Some(44_100));

    let clients = api.clients().await.unwrap();
    let client = &clients.entries[0];
    assert_eq!(
        (client.id.as_str(), client.kind.as_str(), client.ip.as_str()),
        ("1j3592z1", "fmle-publish", "127.0.0.1")
    );
    assert!(client.publish);
    assert_eq!(client.tc_url, "rtmp://127.0.0.1:13935/live");
}

#[tokio::test]
async fn disconnecting_a_client_that_is_gone_is_no_error() {
    let (base, asked) = captured().await;
    let api = Api::new(&base).unwrap();
    api.disconnect("1j3592z1").await.unwrap();
    api.disconnect("gone").await.unwrap();
    api.disconnect("../streams/").await.unwrap();
    assert!(api.has_client("1j3592z1").await.unwrap());
    assert!(!api.has_client("gone").await.unwrap());
    let paths: Vec<_> = asked.lock().unwrap().iter().map(|(method, path, _)| format!("{method} {path}")).collect();
    assert_eq!(
        paths,
        [
            "DELETE /api/v1/clients/1j3592z1",
            "DELETE /api/v1/clients/gone",
            "GET /api/v1/clients/1j3592z1",
            "GET /api/v1/clients/gone"
        ]
    );
}

#[tokio::test]
async fn name_and_password_are_sent_and_never_shown() {
    let (base, asked) = captured().await;
    let api = Api::new(&base.replace("http://", "http://ad%20min:s%2Bcr+et@")).unwrap();
    api.summary().await.unwrap();
    let login = asked.lock().unwrap()[0].2.clone().unwrap();
    let text = data_encoding::BASE64.encode(b"ad min:s+cr+et");
    assert_eq!(login, format!("Basic {text}"));
    let shown = format!("{api:?}");
    assert!(!shown.contains("min") && !shown.contains("cr"), "{shown}");
    let error = Api::new("http://user:secret@").unwrap_err();
    assert!(!error.contains("secret"), "{error}");
    assert!(Api::new("https://127.0.0.1").is_err());
}

#[tokio::test]
async fn errors_do_not_show_the_address() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let api = Api::new(&format!("http://name:secret@{address}")).unwrap();
    let error = api.summary().await.unwrap_err();
    assert!(matches!(error, ApiError::Unreachable(_)));
    assert!(!format!("{error} {error:?}").contains("secret"));
}

fn paged(total: usize) -> Router {
    let page = move |Query(query): Query<Vec<(String, usize)>>| async move {
        let start = query.iter().find(|(name, _)| name == "start").map_or(0, |(_, value)| *value);
        // As SRS does: at least ten.
        let count = query.iter().find(|(name, _)| name == "count").map_or(10, |(_, value)| (*value).max(10));
        let clients: Vec<Value> =
            (0..total).skip(start).take(count).map(|number| json!({ "id": format!("c{number}") })).collect();
        Json(json!({ "code": 0, "server": "a", "service": "b", "pid": 7, "clients": clients }))
    };
    Router::new().route("/api/v1/clients/", get(page))
}

#[tokio::test]
async fn every_page_is_read() {
    for total in [0, 1, 99, 100, 101, 350] {
        let api = Api::new(&serve(paged(total)).await).unwrap();
        let list = api.clients().await.unwrap();
        assert_eq!(list.entries.len(), total);
        assert_eq!(list.identity.pid, 7);
    }
}

#[tokio::test]
async fn a_list_without_an_end_is_given_up() {
    let api = Api::new(&serve(paged(usize::MAX)).await).unwrap();
    assert_eq!(api.clients().await.unwrap().entries.len(), MAX_PAGES * PAGE);
}

#[tokio::test]
async fn unknown_and_missing_fields_are_survived() {
    let answer = json!({
        "code": 0, "server": "a", "service": "b", "pid": "7", "news": [1],
        "streams": [{ "name": "k", "publish": { "active": true, "cid": "c", "more": {} }, "video": null, "extra": 1 }, {}]
    });
    let router = Router::new().route("/api/v1/streams/", get(move || async move { Json(answer) }));
    let list = Api::new(&serve(router).await).unwrap().streams().await.unwrap();
    assert_eq!(list.entries.len(), 2);
    assert_eq!(list.entries[0].publish.cid.as_deref(), Some("c"));
    assert!(!list.entries[1].publish.active);
    assert!(!format!("{list:?}").contains("\"k\""));
}

#[tokio::test]
async fn what_is_not_srs_is_said_to_be_foreign() {
    async fn odd(Path(path): Path<String>) -> Response {
        match path.as_str() {
            "api/v1/summaries" => (StatusCode::OK, "<html>").into_response(),
            "api/v1/streams/" => (StatusCode::OK, r#"{"code":0}"#).into_response(),
            _ => (StatusCode::UNAUTHORIZED, r#"{"code":0}"#).into_response(),
        }
    }
    let router = Router::new().route("/{*path}", get(odd));
    let api = Api::new(&serve(router).await).unwrap();
    assert!(matches!(api.summary().await, Err(ApiError::Foreign(_))));
    assert!(matches!(api.streams().await, Err(ApiError::Foreign(_))));
    assert!(matches!(api.clients().await, Err(ApiError::Foreign(_))));
}

#[tokio::test]
async fn an_answer_without_an_end_is_refused() {
    let huge = "x".repeat(MAX_ANSWER + 1);
    let router = Router::new().route("/api/v1/summaries", get(move || async move { huge }));
    let api = Api::new(&serve(router).await).unwrap();
    assert!(matches!(api.summary().await, Err(ApiError::Foreign(_))));
}

#[tokio::test]
async fn an_encoder_that_names_its_stream_badly_hides_nobody() {
    let answer = b"{\"code\":0,\"server\":\"a\",\"service\":\"b\",\"pid\":\"7\",\"streams\":[{\"name\":\"\x01\xff\"},{\"name\":\"k\"}]}";
    let router = Router::new().route("/api/v1/streams/", get(move || async move { answer.to_vec() }));
    let list = Api::new(&serve(router).await).unwrap().streams().await.unwrap();
    assert_eq!(list.entries[1].name, "k");
}

#[tokio::test]
async fn features_are_read_from_the_options_of_the_build() {
    async fn features(options: &str) -> Features {
        let answer = json!({ "code": 0, "data": { "options": "--srt=on", "options2": options } });
        let router = Router::new().route("/api/v1/features", get(move || async move { Json(answer) }));
        Api::new(&serve(router).await).unwrap().features().await.unwrap()
    }
    assert_eq!(features("--srt=on --rtc=on --ffmpeg-fit=on").await, Features { srt: true, rtc: true });
    assert_eq!(features("--srt=off --rtc=on --ffmpeg-fit=off").await, Features { srt: false, rtc: false });
    assert_eq!(features("").await, Features { srt: true, rtc: true });
}
