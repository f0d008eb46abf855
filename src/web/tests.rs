//! The API as clients see it: the real router on a port of its own, real accounts, store, director and media behind it.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use std::{collections::BTreeMap, net::SocketAddr, path::Path, sync::Arc};

use reqwest::{Method, RequestBuilder, header::HeaderMap};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use super::{http::body::LARGEST_BODY, *};
use crate::{
    accounts::Edit,
    control::{
        addresses::Doors,
        room::{Control, Parts},
        testing::{
            PASSWORD, REQUESTS, RTMP_PORT, SIMULATED_RAUC, STICK, TOKEN, Whole, a_box, a_box_on, config, control_room,
            folder, publish,
        },
    },
    core::account::{AccountId, Role},
    ingest::{IngestEvent, IngestState},
    network::Simulated,
    obs::Stage,
    store::testing::Flaky,
};

mod admin;
mod audit;
mod backup;
mod card;
mod coming_in;
mod desk;
mod faces;
mod guards;
mod house;
mod invitations;
mod lines;
mod network;
mod obs;
mod pages;
mod people;
mod proxies;
mod rights;
mod running;
mod secure;
mod settings;
mod signed_in;
mod streams;
mod together;
mod updates;
mod webrtc;

/// Lets this process have as many sockets as the system allows, for tests that hold many.
pub(crate) fn allow_sockets() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, rustix::process::Rlimit { current: limit.maximum, ..limit }).unwrap();
}

/// Who makes a call.
#[derive(Clone, Debug)]
enum As {
    Nobody,
    /// A session's cookie, `name=value`.
    Cookie(String),
    Token,
    /// A program on this machine.
    Machine,
}

/// An answer.
#[derive(Debug)]
struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Value,
}

impl Answer {
    /// The session's cookie that the answer sets, `name=value`.
    fn cookie(&self) -> Option<&str> {
        self.headers.get("set-cookie")?.to_str().unwrap().split(';').next()
    }

    /// That it is a problem of this status that blames this field.
    #[track_caller]
    fn blames(&self, status: u16, field: &str) {
        assert_eq!((self.status, self.body["field"].as_str()), (status, Some(field)), "{self:?}");
        assert_eq!(self.headers["content-type"], "application/problem+json");
    }

    #[track_caller]
    fn is(&self, status: u16) -> &Self {
        assert_eq!(self.status, status, "{self:?}");
        if status >= 400 {
            assert_eq!(self.headers["content-type"], "application/problem+json");
            assert_eq!(self.body["status"], status, "{self:?}");
        }
        self
    }
}

/// A served API. Ends with its owner.
struct Site {
    address: SocketAddr,
    client: reqwest::Client,
    state: Parts,
    /// What encoders do.
    ingest: mpsc::Sender<IngestEvent>,
    /// How the ingest does.
    door: watch::Sender<IngestState>,
    /// What OBS follows.
    stage: watch::Receiver<Arc<Stage>>,
    /// What stands for NetworkManager.
    network: Simulated,
    /// Ends director and media.
    token: CancellationToken,
    stop: CancellationToken,
    served: JoinHandle<std::io::Result<()>>,
}

impl Site {
    /// With `admin.token` and whatever else is configured, `KEY=value` as in the environment.
    async fn start(folder: &Path, settings: &[(&str, &str)]) -> Self {
        Self::start_on(folder, settings, None).await
    }

    /// The same, whose store is on another disk.
    async fn start_on(folder: &Path, settings: &[(&str, &str)], disk: Option<&Flaky>) -> Self {
        let Whole { state, ingest, door, stage, network, token } = a_box_on(folder, settings, None, disk).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let control = control_room(Parts { doors: Doors { plain: address.port(), https: None }, ..state.clone() });
        let served = tokio::spawn(serve(listener, None, control, stop.clone()));
        Self { address, client: reqwest::Client::new(), state, ingest, door, stage, network, token, stop, served }
    }

    /// An encoder publishes with this account's key; whether it is accepted.
    async fn publish(&self, account: AccountId, connection: &str) -> bool {
        publish(&self.state, &self.ingest, account, connection).await
    }

    fn request(&self, method: Method, path: &str, who: &As) -> RequestBuilder {
        let request = self.client.request(method, format!("http://{}{path}", self.address));
        match who {
            As::Nobody => request,
            As::Cookie(cookie) => request.header("cookie", cookie),
            As::Token => request.bearer_auth(TOKEN),
            As::Machine => request.bearer_auth(self.state.machine.expose()),
        }
    }

    async fn call(&self, method: Method, path: &str, who: &As, body: Option<Value>) -> Answer {
        let mut request = self.request(method, path, who);
        if let Some(body) = body {
            request = request.json(&body);
        }
        answer(request).await
    }

    async fn get(&self, path: &str, who: &As) -> Answer {
        self.call(Method::GET, path, who, None).await
    }

    async fn post(&self, path: &str, who: &As, body: Value) -> Answer {
        self.call(Method::POST, path, who, Some(body)).await
    }

    async fn put(&self, path: &str, who: &As, body: Value) -> Answer {
        self.call(Method::PUT, path, who, Some(body)).await
    }

    async fn patch(&self, path: &str, who: &As, body: Value) -> Answer {
        self.call(Method::PATCH, path, who, Some(body)).await
    }

    async fn delete(&self, path: &str, who: &As) -> Answer {
        self.call(Method::DELETE, path, who, None).await
    }

    /// Makes an account.
    async fn account(&self, name: &str) -> AccountId {
        let made = self.post("/api/v1/accounts", &As::Token, json!({"name": name, "password": PASSWORD})).await;
        AccountId(made.is(201).body["id"].as_u64().unwrap())
    }

    /// Signs in.
    async fn session(&self, name: &str) -> As {
        let signed_in = self.post("/api/v1/session", &As::Nobody, json!({"name": name, "password": PASSWORD})).await;
        As::Cookie(signed_in.is(200).cookie().unwrap().to_owned())
    }

    /// Makes an account and signs in.
    async fn streamer(&self, name: &str) -> (AccountId, As) {
        (self.account(name).await, self.session(name).await)
    }

    /// Makes an admin and signs in.
    async fn admin(&self, name: &str) -> (AccountId, As) {
        let id = self.account(name).await;
        let edit = Edit { role: Some(Role::Admin), ..Edit::default() };
        self.state.accounts.edit(id, edit).await.unwrap();
        (id, self.session(name).await)
    }

    /// Stops, and gives the data folder free.
    async fn end(self) {
        self.stop.cancel();
        self.served.await.unwrap().unwrap();
        self.state.media.stop(crate::media::egress::Parting::Goodbye).await;
        self.token.cancel();
        self.state.store.close().await;
    }
}

/// The whole of the web, not on a port.
fn whole(parts: Parts) -> (Arc<App>, Router) {
    let app = App::new(Control::new(parts), CancellationToken::new());
    let router = router(&app, &Arc::new(Channels::new()));
    (app, router)
}

async fn answer(request: RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let text = response.text().await.unwrap();
    Answer { status, headers, body: serde_json::from_str(&text).unwrap_or(Value::String(text)) }
}
