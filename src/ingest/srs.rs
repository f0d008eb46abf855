//! The SRS media server as the ingest: RTMP, SRT and WebRTC. The box runs it, or uses one elsewhere.
//!
//! SRS asks before it lets a publisher in (`hooks`), its API says who is there and disconnects (`api`), and a periodic comparison of both
//! heals what was lost (`publishers`). `server` keeps its process. Frames do not pass here: media pulls what it needs.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};
use thiserror::Error;
use tokio::{net::TcpListener, sync::mpsc, task::spawn_blocking};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::Instrument;

use self::{
    api::Api,
    dispatcher::{Book, Dispatcher, PullBase},
    doors::Porch,
    hooks::Guard,
    publishers::Publishers,
    server::Server,
    whip::Whip,
};
use super::{Ingest, IngestEvent};
use crate::{
    clock::Clock,
    config::{IngestConfig, SrsConfig},
    core::frame::FrameSinks,
};

pub(crate) mod api;
mod dispatcher;
mod doors;
mod figures;
mod hooks;
pub mod install;
mod publishers;
mod secret;
mod server;
pub mod whip;

pub(crate) use self::server::launch::check;

/// How long the director has at most; a hook is answered within 15 s, a takeover included.
const VERDICT_LIMIT: Duration = Duration::from_secs(10);

/// What waits for the one task. Hooks are bounded by their connections; verdicts and looks by the publishers.
const MESSAGES: usize = 256;

/// Why this ingest cannot start at all. A server that does not run is no such reason: it is tried again, and the status says why.
#[derive(Debug, Error)]
pub enum StartError {
    /// The hooks' port cannot be opened.
    #[error("cannot listen for SRS's hooks on {0}: {1}")]
    Listen(SocketAddr, std::io::Error),
    /// The folder for its files cannot be used.
    #[error("{0} cannot be used: {1}")]
    Folder(PathBuf, std::io::Error),
    /// The HTTP client.
    #[error("SRS's API: {0}")]
    Api(String),
}

/// What the ingest is made of.
pub struct Parts<'a> {
    /// `[ingest]`.
    pub config: &'a IngestConfig,
    /// Where the hooks' secret and SRS's own files lie.
    pub data_dir: &'a Path,
    /// Why SRS was chosen, for the status.
    pub chosen_because: String,
    /// The process's clock.
    pub clock: Clock,
    /// Where connections are announced.
    pub sinks: Arc<dyn FrameSinks>,
    /// To the director.
    pub events: mpsc::Sender<IngestEvent>,
    /// Ends the ingest, not SRS: see [`Ingest::stop_server`].
    pub token: CancellationToken,
    /// Where its tasks live.
    pub tracker: &'a TaskTracker,
}

/// Listens for hooks, and starts or finds SRS. Returns before SRS is up.
///
/// # Errors
/// See [`StartError`].
pub async fn start(parts: Parts<'_>) -> Result<Ingest, StartError> {
    let Parts { config, data_dir, chosen_because, clock, sinks, events, token, tracker } = parts;
    let folder = data_dir.join("srs");
    let secret = secret(&config.srs, folder.clone()).await?;
    let wanted = config.srs.hooks_listen;
    let listener = TcpListener::bind(wanted).await.map_err(|error| StartError::Listen(wanted, error))?;
    let listening = listener.local_addr().map_err(|error| StartError::Listen(wanted, error))?;
    let hooks_url = format!("http://{}/hooks/{}", callable(listening), secret.expose_secret());

    let own = config.srs.api_url.is_none();
    let base = match &config.srs.api_url {
        Some(url) => url.expose_secret().to_owned(),
        None => format!("http://{}", callable(config.srs.api_listen)),
    };
    let api = Api::new(&base).map_err(StartError::Api)?;
    let (dispatcher, messages) = mpsc::channel(MESSAGES);
    let whip = if own {
        let base = Url::parse(&base).map_err(|error| StartError::Api(error.to_string()))?;
        let whip = Whip::new(base, &config.app, clock, dispatcher.clone());
        Some(whip.map_err(|error| StartError::Api(error.to_string()))?)
    } else {
        None
    };
    let (porch, state) = Porch::new(config, chosen_because);
    let (ingest, orders) = Ingest::channel(state, whip);
    let server = Server::keep(server::Parts {
        config: config.clone(),
        folder,
        api: api.clone(),
        hooks_url: hooks_url.into(),
        tracker: tracker.clone(),
        token: token.clone(),
    });

    let guard = Guard { secret, allow: config.srs.hooks_allow.clone() };
    let hooks = hooks::serve(listener, guard, dispatcher.clone(), token.clone(), tracker.clone());
    tracker.spawn(hooks.instrument(tracing::info_span!("hooks")));
    let task = Dispatcher {
        api,
        clock,
        sinks,
        events,
        token,
        tracker: tracker.clone(),
        inbox: dispatcher,
        porch,
        own,
        pull: pull_base(&config.srs)?,
        verdict_limit: Duration::from_secs(config.handshake_seconds).min(VERDICT_LIMIT),
        publishers: Publishers::new(Duration::from_secs(config.silence_seconds)),
        stop: server.stop,
        book: Book::default(),
    };
    tracker.spawn(task.run(messages, orders, server.state).instrument(tracing::info_span!("ingest")));
    Ok(ingest)
}

/// The configured secret, else the one that is kept in `folder`, which is made if need be.
async fn secret(config: &SrsConfig, folder: PathBuf) -> Result<SecretString, StartError> {
    let configured = config.hooks_secret.clone();
    let shown = folder.clone();
    let found = spawn_blocking(move || {
        std::fs::create_dir_all(&folder)?;
        configured.map_or_else(|| secret::kept(&folder), Ok)
    });
    let found = found.await.unwrap_or_else(|error| Err(std::io::Error::other(error)));
    found.map_err(|error| StartError::Folder(shown, error))
}

/// Where media pulls streams from.
fn pull_base(config: &SrsConfig) -> Result<PullBase, StartError> {
    let http = match (&config.api_url, &config.http_url, &config.rtmp_url) {
        (Some(_), None, Some(rtmp)) => return Ok(PullBase::Rtmp(rtmp.clone())),
        (Some(_), Some(http), _) => http.clone(),
        _ => format!("http://{}", callable(config.http_listen)),
    };
    let unusable = |error: url::ParseError| StartError::Api(format!("ingest.srs.http_url: {error}"));
    Url::parse(&http).map(PullBase::Http).map_err(unusable)
}

/// The address by which this machine itself reaches a listener.
fn callable(listening: SocketAddr) -> SocketAddr {
    let ip = match listening.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listening.port())
}
