//! The listener that SRS's hooks call: `POST /hooks/SECRET`. Who may not call is hung up on before anything is read.
//!
//! Everything that is not understood is refused. Of SRS's other hooks, those that merely tell something are acknowledged, so that
//! they harm nobody who configures them; a connection grants nothing by itself; only the machine itself may play, because a stream key
//! is no viewing address.

use std::{net::IpAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Path, Request, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::post,
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use subtle::ConstantTimeEq;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, mpsc, oneshot},
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::Instrument;

use super::{
    dispatcher::Message,
    publishers::{Client, Wish},
};
use crate::{
    core::account::StreamKey,
    telemetry::seldom::{seldom, start_of},
};

/// Connections at once; SRS makes one for each hook. More wait in the listener's backlog.
const MOST_CONNECTIONS: usize = 512;

/// How long a caller may take over the head of a request.
const HEAD_TIME: Duration = Duration::from_secs(5);

/// And over its body.
const BODY_TIME: Duration = Duration::from_secs(5);

/// Bytes of one body, at most. SRS's have 300, and the query of a stream key besides.
const MOST_BODY: usize = 64 * 1024;

/// The director's verdict, a takeover and some. SRS waits for 30 s.
const ANSWER_TIME: Duration = Duration::from_secs(15);

/// The longest id that is taken for one: SRS's have 8 characters.
const MOST_ID: usize = 64;

/// Who may call the hooks: whoever knows the secret and calls from an address that is allowed.
pub(super) struct Guard {
    pub(super) secret: SecretString,
    /// The addresses that may call besides loopback.
    pub(super) allow: Vec<IpAddr>,
}

/// What every hook's handler is given.
#[derive(Clone)]
struct HookState {
    guard: Arc<Guard>,
    dispatcher: mpsc::Sender<Message>,
}

/// What SRS sends, as far as it matters.
#[derive(Deserialize)]
struct Hook {
    action: String,
    #[serde(default)]
    service_id: String,
    #[serde(default)]
    client_id: String,
    #[serde(default)]
    ip: String,
    #[serde(default)]
    app: String,
    #[serde(default, rename = "tcUrl")]
    tc_url: String,
    #[serde(default)]
    stream: String,
}

/// Answers hooks until `token` is cancelled.
pub(super) async fn serve(
    listener: TcpListener,
    guard: Guard,
    dispatcher: mpsc::Sender<Message>,
    token: CancellationToken,
    tracker: TaskTracker,
) {
    let state = HookState { guard: Arc::new(guard), dispatcher };
    let router = Router::new().route("/hooks/{secret}", post(hook)).with_state(state.clone());
    let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let mut failing = false;
    loop {
        let accepted = tokio::select! {
            () = token.cancelled() => return,
            accepted = accept(&listener, &places) => accepted,
        };
        let (stream, peer, place) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                if !failing {
                    tracing::warn!(%error, "hooks cannot be accepted");
                }
                failing = true;
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        failing = false;
        if !state.guard.admits(peer) {
            seldom!(WARN, address = %peer, "hook from an address that may not call");
            continue;
        }
        let (router, token) = (router.clone(), token.clone());
        let task = async move {
            tokio::select! {
                () = token.cancelled() => {}
                () = connection(stream, router) => {}
            }
            drop(place);
        };
        tracker.spawn(task.instrument(tracing::debug_span!("hook")));
    }
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> std::io::Result<(TcpStream, IpAddr, tokio::sync::OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.map_err(std::io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    Ok((stream, peer.ip().to_canonical(), place))
}

async fn connection(stream: TcpStream, router: Router) {
    // An answer is one small packet.
    let _ = stream.set_nodelay(true);
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .keep_alive(false)
        .max_buf_size(64 * 1024)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    // Whoever hangs up before the answer has heard enough.
    let _ = served.await;
}

impl Guard {
    fn admits(&self, peer: IpAddr) -> bool {
        peer.is_loopback() || self.allow.iter().any(|allowed| allowed.to_canonical() == peer)
    }

    fn knows(&self, secret: &str) -> bool {
        self.secret.expose_secret().as_bytes().ct_eq(secret.as_bytes()).into()
    }
}

async fn hook(State(state): State<HookState>, Path(secret): Path<String>, request: Request<Body>) -> Response {
    if !state.guard.knows(&secret) {
        seldom!(WARN, "hook with a wrong secret");
        return StatusCode::NOT_FOUND.into_response();
    }
    let Ok(Ok(body)) = timeout(BODY_TIME, to_bytes(request.into_body(), MOST_BODY)).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let Ok(hook) = serde_json::from_slice::<Hook>(&body) else {
        tracing::debug!("hook that is not understood");
        return refusal();
    };
    match hook.action.as_str() {
        "on_publish" => publish(&state, hook).await,
        "on_unpublish" => {
            if let Some(client) = client(&hook) {
                // The dispatcher ends only when the box stops.
                let _ = state.dispatcher.send(Message::Unpublish(client)).await;
            }
            grant()
        }
        "on_play" if ip(&hook).is_some_and(|ip| ip.is_loopback()) => grant(),
        "on_connect" | "on_close" | "on_stop" | "on_dvr" | "on_hls" | "on_hls_notify" => grant(),
        _ => {
            tracing::debug!("hook with an action that is not granted");
            refusal()
        }
    }
}

async fn publish(state: &HookState, hook: Hook) -> Response {
    let (Some(client), Some(address)) = (client(&hook), ip(&hook)) else { return refusal() };
    let scheme = hook.tc_url.split("://").next().unwrap_or_default();
    let wish = Wish {
        client,
        app: hook.app,
        key: StreamKey::new(hook.stream),
        address,
        // A WebRTC session has no such address.
        lingers: !scheme.starts_with("rtmp") && scheme != "srt",
    };
    let (sender, answer) = oneshot::channel();
    if state.dispatcher.send(Message::Publish(wish, sender)).await.is_err() {
        return refusal();
    }
    match timeout(ANSWER_TIME, answer).await {
        Ok(Ok(Ok(()))) => grant(),
        Ok(Ok(Err(reason))) => {
            seldom!(WARN, %address, reason = start_of(&reason), "publish refused");
            refusal()
        }
        _ => refusal(),
    }
}

fn client(hook: &Hook) -> Option<Client> {
    let is_id = |text: &str| {
        text.len() <= MOST_ID && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    let known = !hook.client_id.is_empty() && is_id(&hook.client_id) && is_id(&hook.service_id);
    known.then(|| Client::new(hook.service_id.as_str(), hook.client_id.as_str()))
}

fn ip(hook: &Hook) -> Option<IpAddr> {
    hook.ip.parse::<IpAddr>().ok().map(|ip| ip.to_canonical())
}

fn grant() -> Response {
    answer("{\"code\":0}")
}

/// Another code than 0 refuses.
fn refusal() -> Response {
    answer("{\"code\":403}")
}

fn answer(body: &'static str) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::panic, reason = "tests")]
mod tests {
    use std::net::SocketAddr;

    use serde_json::{Value, json};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    const SECRET: &str = "0123456789abcdef";

    async fn listening() -> (SocketAddr, mpsc::Receiver<Message>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (dispatcher, messages) = mpsc::channel(16);
        let guard = Guard { secret: SECRET.to_owned().into(), allow: Vec::new() };
        tokio::spawn(serve(listener, guard, dispatcher, CancellationToken::new(), TaskTracker::new()));
        (address, messages)
    }

    async fn call(address: SocketAddr, secret: &str, body: String) -> (StatusCode, String) {
        let request = reqwest::Client::new().post(format!("http://{address}/hooks/{secret}")).body(body);
        let response = request.send().await.unwrap();
        (response.status(), response.text().await.unwrap())
    }

    async fn code(address: SocketAddr, hook: Value) -> i64 {
        let (status, body) = call(address, SECRET, hook.to_string()).await;
        assert_eq!(status, StatusCode::OK);
        serde_json::from_str::<Value>(&body).unwrap().get("code").unwrap().as_i64().unwrap()
    }

    fn captured() -> Vec<Value> {
        let lines =
            include_str!("fixtures/hooks.jsonl").lines().chain(include_str!("fixtures/hooks-srt.jsonl").lines());
        lines.map(|line| serde_json::from_str::<Value>(line).unwrap().get("body").unwrap().clone()).collect()
    }

    #[tokio::test]
    async fn captured_hooks_are_understood() {
        let (address, mut messages) = listening().await;
        let told = tokio::spawn(async move {
            let mut told = Vec::new();
            while let Some(message) = messages.recv().await {
                match message {
                    Message::Publish(wish, answer) => {
                        let key = wish.key.expose().to_owned();
                        answer.send(if key.starts_with("bad") { Err("no".into()) } else { Ok(()) }).unwrap();
                        told.push(format!("{} publishes {key} at {} from {}", wish.client.id, wish.app, wish.address));
                        assert!(!wish.lingers);
                    }
                    Message::Unpublish(client) => told.push(format!("{} ends", client.id)),
                    _ => panic!("not a hook"),
                }
                if told.len() == 10 {
                    break;
                }
            }
            told
        });
        let mut codes = Vec::new();
        for hook in captured() {
            codes.push((hook.get("action").unwrap().as_str().unwrap().to_owned(), code(address, hook).await));
        }
        let refused =
            codes.iter().filter(|(_, code)| *code != 0).map(|(action, _)| action.as_str()).collect::<Vec<_>>();
        // Two of them are publishes, refused above; on_forward is nothing that the box was asked to grant.
        assert_eq!(refused.iter().filter(|action| **action == "on_publish").count(), 2);
        assert!(refused.iter().all(|action| ["on_publish", "on_forward"].contains(action)), "{refused:?}");
        drop(told);
    }

    #[tokio::test]
    async fn webrtc_is_told_from_the_others() {
        let (address, mut messages) = listening().await;
        let hook = json!({ "action": "on_publish", "client_id": "a", "service_id": "s", "ip": "10.0.0.9", "app": "live",
            "stream": "k", "tcUrl": "", "param": "app=live&stream=k" });
        let asked = tokio::spawn(async move { code(address, hook).await });
        let Some(Message::Publish(wish, answer)) = messages.recv().await else { panic!("no publish") };
        assert!(wish.lingers);
        assert_eq!(wish.client.connection().to_string(), "srs-s-a");
        drop(answer);
        assert_ne!(asked.await.unwrap(), 0);
    }

    #[tokio::test]
    async fn a_wrong_secret_gets_nothing() {
        let (address, mut messages) = listening().await;
        for secret in ["0123456789abcdee", "0123456789abcde", "0123456789abcdef0", "x"] {
            let hook = json!({ "action": "on_unpublish", "client_id": "a" }).to_string();
            assert_eq!(call(address, secret, hook).await.0, StatusCode::NOT_FOUND);
        }
        assert!(messages.try_recv().is_err());
    }

    #[tokio::test]
    async fn what_is_not_understood_is_refused() {
        let (address, mut messages) = listening().await;
        let publish = |id: &str, ip: &str| json!({ "action": "on_publish", "client_id": id, "ip": ip });
        for hook in [
            json!({ "action": "on_something" }),
            json!({ "action": "on_play", "ip": "10.0.0.1" }),
            json!({ "action": "on_play" }),
            publish("", "127.0.0.1"),
            publish("../x", "127.0.0.1"),
            publish("a", "nowhere"),
            json!({ "action": 1 }),
            json!([1]),
        ] {
            assert_ne!(code(address, hook.clone()).await, 0, "{hook}");
        }
        for hook in [
            json!({ "action": "on_connect" }),
            json!({ "action": "on_close" }),
            json!({ "action": "on_play", "ip": "127.0.0.1" }),
        ] {
            assert_eq!(code(address, hook.clone()).await, 0, "{hook}");
        }
        assert_eq!(call(address, SECRET, "x".repeat(MOST_BODY + 1)).await.0, StatusCode::PAYLOAD_TOO_LARGE);
        assert!(messages.try_recv().is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_that_does_not_finish_is_given_up() {
        let (address, _messages) = listening().await;
        for begun in
            ["POST /hooks/", &format!("POST /hooks/{SECRET} HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{{")]
        {
            let mut caller = TcpStream::connect(address).await.unwrap();
            caller.write_all(begun.as_bytes()).await.unwrap();
            let ended = timeout(HEAD_TIME + BODY_TIME, caller.read_to_end(&mut Vec::new())).await;
            assert!(ended.is_ok(), "{begun:?} is waited for");
        }
    }

    #[test]
    fn only_loopback_and_the_named_may_call() {
        let guard = Guard { secret: SECRET.to_owned().into(), allow: vec!["10.0.0.5".parse().unwrap()] };
        for (peer, admitted) in [("127.0.0.1", true), ("::1", true), ("10.0.0.5", true), ("10.0.0.6", false)] {
            assert_eq!(guard.admits(peer.parse().unwrap()), admitted, "{peer}");
        }
    }
}
