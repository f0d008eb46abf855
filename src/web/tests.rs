//! The API as clients see it: the real router on a port of its own, real accounts, store, director and media behind it.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use std::{collections::BTreeMap, net::SocketAddr, path::Path, sync::Arc};

use reqwest::{Method, RequestBuilder, header::HeaderMap};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    net::TcpListener,
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{body::LARGEST_BODY, *};
use crate::{
    accounts::Edit,
    config::{LoadedConfig, Sources},
    core::{
        account::{AccountId, Role},
        frame::ConnectionId,
    },
    director::Parts,
    ingest::{Ingest, IngestEvent, IngestOrder, IngestState, PublishRequest, Verdict, srs::whip::Whip},
    media::MediaSettings,
};

mod admin;
mod audit;
mod backup;
mod coming_in;
mod desk;
mod guards;
mod house;
mod invitations;
mod obs;
mod pages;
mod people;
mod rights;
mod running;
mod secure;
mod settings;
mod signed_in;
mod streams;
mod updates;
mod webrtc;

/// `admin.token` of the tests.
const TOKEN: &str = "a-token-for-the-tests";

/// The port that encoders would connect to.
const RTMP_PORT: u16 = 19_350;

/// In the data folder: what stands for RAUC, a USB stick, and the folder that the machine looks into.
const SIMULATED_RAUC: &str = "simulated-rauc";
const STICK: &str = "stick";
const REQUESTS: &str = "requests";

/// The password of everybody in the tests.
const PASSWORD: &str = "correct horse";

/// Who makes a call.
#[derive(Clone, Debug)]
enum As {
    Nobody,
    /// A session's cookie, `name=value`.
    Cookie(String),
    Token,
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
    state: WebState,
    /// What encoders do.
    ingest: mpsc::Sender<IngestEvent>,
    /// How the ingest does.
    door: watch::Sender<IngestState>,
    /// Ends director and media.
    token: CancellationToken,
    stop: CancellationToken,
    served: JoinHandle<std::io::Result<()>>,
}

impl Site {
    /// With `admin.token` and whatever else is configured, `KEY=value` as in the environment.
    async fn start(folder: &Path, settings: &[(&str, &str)]) -> Self {
        let Whole { state, ingest, door, token } = a_box(folder, settings, None).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let served = tokio::spawn(serve(listener, None, state.clone(), stop.clone()));
        Self { address, client: reqwest::Client::new(), state, ingest, door, token, stop, served }
    }

    /// An encoder publishes with this account's key; whether it is accepted.
    async fn publish(&self, account: AccountId, connection: &str) -> bool {
        let (verdict, answered) = oneshot::channel();
        let request = PublishRequest {
            connection: ConnectionId::new(connection),
            app: "live".into(),
            key: self.state.accounts.stream_key(account).unwrap(),
            address: "127.0.0.1".parse().unwrap(),
            verdict,
        };
        self.ingest.send(IngestEvent::Publish(request)).await.unwrap();
        matches!(answered.await.unwrap(), Verdict::Accept { .. })
    }

    fn request(&self, method: Method, path: &str, who: &As) -> RequestBuilder {
        let request = self.client.request(method, format!("http://{}{path}", self.address));
        match who {
            As::Nobody => request,
            As::Cookie(cookie) => request.header("cookie", cookie),
            As::Token => request.bearer_auth(TOKEN),
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
        self.state.media.stop().await;
        self.token.cancel();
        self.state.store.close().await;
    }
}

async fn answer(request: RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let text = response.text().await.unwrap();
    Answer { status, headers, body: serde_json::from_str(&text).unwrap_or(Value::String(text)) }
}

/// `KEY`, `value`; an empty value leaves a key out that is set here otherwise.
fn config(folder: &Path, settings: &[(&str, &str)]) -> LoadedConfig {
    let mut environment = BTreeMap::from([("DATA_DIR", folder.to_str().unwrap()), ("ADMIN__TOKEN", TOKEN)]);
    environment.extend(settings.iter().copied());
    environment.retain(|_, value| !value.is_empty());
    let environment =
        environment.iter().map(|(key, value)| (format!("MOTHERSTREAM_{key}"), (*value).to_owned())).collect();
    Sources { file: None, fallback: folder.join("none.toml"), environment }.load().unwrap()
}

/// What stands behind the web, and the ends that the ingest would hold.
struct Whole {
    state: WebState,
    ingest: mpsc::Sender<IngestEvent>,
    door: watch::Sender<IngestState>,
    token: CancellationToken,
}

/// A whole box but for its ingest: the tests say what encoders do.
async fn a_box(folder: &Path, settings: &[(&str, &str)], whip: Option<Whip>) -> Whole {
    let configured = config(folder, settings);
    let config = Arc::new(configured.config.clone());
    let (clock, token) = (Clock::start(), CancellationToken::new());
    let (store, loaded) = Store::open(&config.data_dir).unwrap();
    let accounts = Accounts::open(store.clone(), &loaded, &config).await.unwrap();
    let media_settings = MediaSettings {
        latency: config.program.latency(),
        house: false,
        venue: config.venue.name.clone(),
        slate: None,
        tone: false,
        kept: config.data_dir.clone(),
        idle_end: None,
    };
    let end = token.clone();
    let started = move || Media::start(&media_settings, clock, &TaskTracker::new(), &end);
    let (media, media_events) = tokio::task::spawn_blocking(started).await.unwrap().unwrap();
    let (door, ingest_state) = watch::channel(IngestState::embedded(RTMP_PORT, "the test says so"));
    let (ingest, mut orders) = Ingest::channel(ingest_state, whip);
    let (events, ingest_events) = mpsc::channel(16);
    let from_encoders = events.clone();
    tokio::spawn(async move {
        while let Some(order) = orders.recv().await {
            match order {
                IngestOrder::Disconnect(connection, _) => {
                    let _ = from_encoders.send(IngestEvent::Unpublish(connection)).await;
                }
                IngestOrder::List(answer) => answer.send(Vec::new()).unwrap(),
                IngestOrder::StopServer(answer) => answer.send(()).unwrap(),
            }
        }
    });
    let parts = Parts {
        settings: crate::director::settings(&config.queue, &config.ingest),
        app: config.ingest.app.clone(),
        stored: (&loaded).into(),
        clock,
        media: media.clone(),
        media_events,
        ingest: ingest.clone(),
        ingest_events,
        store: store.clone(),
        accounts: accounts.clone(),
    };
    let (director, running) = Director::start(parts, token.clone()).unwrap();
    tokio::spawn(running);
    let destinations = Destinations::new(store.clone(), &config, loaded.destinations, ingest.state());
    for destination in destinations.all() {
        media.put_destination(destination);
    }
    let readiness = Readiness::default();
    let settings = Settings::new(configured);
    let recent = RecentEvents::default();
    let (_, shown) = watch::channel(Arc::default());
    let obs = crate::obs::Parts { config: config.obs.clone(), stage: shown, clock, token: token.clone() };
    let obs = Obs::start(obs, &TaskTracker::new());
    // Where a test puts a program in RAUC's place.
    let rauc = Some(config.data_dir.join(SIMULATED_RAUC)).filter(|_| config.machine.updates);
    let requests = Some(config.data_dir.join(REQUESTS));
    let updates = Updates::with(rauc, &config, config.data_dir.join(STICK), requests);
    let state = WebState {
        config,
        settings,
        clock,
        accounts,
        director,
        media,
        store,
        destinations,
        readiness,
        ingest,
        obs,
        recent,
        updates,
    };
    Whole { state, ingest: events, door, token }
}

fn folder() -> TempDir {
    TempDir::new().unwrap()
}
