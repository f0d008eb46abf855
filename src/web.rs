//! The face: pages, API, live updates. It talks to handles and reads snapshots; it decides nothing.
//!
//! A request passes, from the outside in: headers every answer carries; errors made problems; panics caught; requests counted;
//! hosts and pages that are not ours refused; the session found; the right judged that was stated for the route (see
//! [`rights`]); body and time limited.

use std::{
    future::{Future, ready},
    sync::{Arc, OnceLock, atomic::AtomicU64},
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    http::{HeaderName, HeaderValue, header},
    middleware::{from_fn, from_fn_with_state, map_response},
    response::Response,
};
use tokio::{
    net::TcpListener,
    sync::{Mutex, Semaphore},
};
use tokio_util::sync::CancellationToken;
use tower_http::{catch_panic::CatchPanicLayer, set_header::SetResponseHeaderLayer};
use tracing::{Instrument, error, warn};

use crate::{
    accounts::Accounts,
    clock::Clock,
    config::{Config, Settings},
    director::Director,
    ingest::Ingest,
    media::Media,
    obs::Obs,
    store::Store,
    telemetry::RecentEvents,
    update::Updates,
};

mod accounts;
mod audit;
mod backup;
mod body;
mod connections;
mod console;
mod describe;
mod destinations;
mod encoders;
mod events;
mod health;
mod history;
mod hosts;
mod invitations;
mod limits;
mod log;
mod me;
mod metrics;
mod obs;
mod obs_profile;
mod page;
mod pictures;
mod problem;
mod queue;
mod rights;
mod sessions;
mod settings;
mod show;
mod slate;
mod system;
#[cfg(test)]
mod tests;
mod tls;
mod updates;
mod upload;
mod viewers;
mod whip;

pub use console::ConsoleView;
pub use destinations::Destinations;
pub use encoders::rtmp_door;
pub use health::{Latch, Readiness, Ready};
pub use hosts::public_host;
pub use tls::{Https, HttpsError, fingerprint};

use self::{
    hosts::Hosts,
    limits::Limits,
    metrics::HttpMetrics,
    problem::{Kind, NOTHING_HERE, Problem},
    rights::{Right, Routes},
    sessions::Sessions,
    viewers::Players,
    whip::WhipSessions,
};

/// How long an answer may take, streams excepted.
const ANSWER_TIME: Duration = Duration::from_secs(10);

/// What the web is built from.
#[derive(Clone)]
pub struct WebState {
    /// The configuration as it was when the box started.
    pub config: Arc<Config>,
    /// The configuration in force, and changes of it: what may change while the box runs is read from here.
    pub settings: Settings,
    /// The process's clock.
    pub clock: Clock,
    /// Accounts, keys, viewer tokens.
    pub accounts: Accounts,
    /// The queue.
    pub director: Director,
    /// The programme.
    pub media: Media,
    /// For sessions and history.
    pub store: Store,
    /// All destinations as they are wanted.
    pub destinations: Destinations,
    /// Which parts of the box work.
    pub readiness: Readiness,
    /// The front door, for its state and for WebRTC.
    pub ingest: Ingest,
    /// The venue's OBS.
    pub obs: Obs,
    /// The latest events of the log.
    pub recent: RecentEvents,
    /// What only the machine can do: updates, a restart, a reset.
    pub updates: Updates,
}

/// What handlers share.
pub(crate) struct App {
    pub(crate) state: WebState,
    pub(crate) hosts: Hosts,
    pub(crate) sessions: Sessions,
    pub(crate) limits: Limits,
    pub(crate) http: HttpMetrics,
    /// Places for listeners of `/api/v1/events`.
    pub(crate) listeners: Arc<Semaphore>,
    pub(crate) players: Players,
    pub(crate) whip: WhipSessions,
    /// Places for pages that listen.
    pub(crate) pages: Arc<Semaphore>,
    pub(crate) live: page::live::Live,
    pub(crate) seals: page::flash::Seals,
    /// Held over a whole change of the settings, from its check on.
    pub(crate) settings_turn: Mutex<()>,
    pub(crate) machine: system::Machine,
    pub(crate) bitrates: destinations::bitrate::Bitrates,
    /// Held while a destination is tried out: one at a time.
    pub(crate) trial: Mutex<()>,
    /// Held while a connection to an OBS is tried out: one at a time.
    pub(crate) obs_trial: Mutex<()>,
    /// How many slates were asked for: the last one counts.
    pub(crate) slates: AtomicU64,
    /// By which ports and with which certificate the page is reached.
    pub(crate) doors: Doors,
    pub(crate) stop: CancellationToken,
}

/// By which ports and with which certificate the page is reached.
#[derive(Clone, Debug, Default)]
pub(crate) struct Doors {
    /// That of plain HTTP.
    pub(crate) plain: u16,
    /// That of HTTPS, and the SHA-256 of its certificate.
    pub(crate) https: Option<(u16, String)>,
}

impl Doors {
    /// A host as it is reached by plain HTTP.
    pub(crate) fn plain_host(&self, host: &str) -> String {
        with_port(hosts::without_port(host), self.plain, 80)
    }

    /// The address of a page by HTTPS, if there is any.
    pub(crate) fn https_url(&self, host: &str, path: &str) -> Option<String> {
        let (port, _) = self.https.as_ref()?;
        Some(format!("https://{}{path}", with_port(hosts::without_port(host), *port, 443)))
    }
}

fn with_port(host: &str, port: u16, usual: u16) -> String {
    if port == usual { host.to_owned() } else { format!("{host}:{port}") }
}

impl App {
    fn new(state: WebState, doors: Doors, stop: CancellationToken) -> Arc<Self> {
        Arc::new(Self {
            hosts: Hosts::of_this_machine(),
            sessions: Sessions::new(state.store.clone(), &state.config.web),
            limits: Limits::new(),
            http: HttpMetrics::default(),
            listeners: Arc::new(Semaphore::new(events::MOST_LISTENERS)),
            players: Players::default(),
            whip: WhipSessions::default(),
            pages: Arc::new(Semaphore::new(page::live::MOST_PAGES)),
            live: page::live::Live::new(),
            seals: page::flash::Seals::new(),
            settings_turn: Mutex::default(),
            machine: system::Machine::default(),
            bitrates: destinations::bitrate::Bitrates::default(),
            trial: Mutex::default(),
            obs_trial: Mutex::default(),
            slates: AtomicU64::new(0),
            doors,
            stop,
            state,
        })
    }
}

/// Serves until `stop`, on plain HTTP and where there is one on HTTPS too; then ends the streams, finishes the answers under way, and returns within 2 s.
///
/// # Errors
///
/// None at present: a listener that fails is tried again, because the box must not end for it.
pub async fn serve(
    listener: TcpListener,
    https: Option<Https>,
    state: WebState,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let readiness = state.readiness.clone();
    let doors = Doors {
        plain: listener.local_addr()?.port(),
        https: https.as_ref().map(|https| (https.port, https.fingerprint.clone())),
    };
    let app = App::new(state, doors, stop.clone());
    let limits = connections::Limits::default();
    let plain = connections::serve(listener, None, router(&app, false), limits.clone(), stop.clone());
    let encrypted = async {
        if let Some(Https { listener, acceptor, .. }) = https {
            connections::serve(listener, Some(acceptor), router(&app, true), limits, stop.clone()).await;
        }
    };
    readiness.set(Latch::Web, true);
    tokio::join!(
        plain,
        encrypted,
        page::live::run(Arc::clone(&app)),
        destinations::bitrate::run(Arc::clone(&app)),
        keep_house(Arc::clone(&app), stop.clone())
    );
    readiness.set(Latch::Web, false);
    Ok(())
}

/// Clears out what is expired, until `stop`.
async fn keep_house(app: Arc<App>, stop: CancellationToken) {
    let mut minutes: u64 = 0;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(Duration::from_mins(1)) => {}
        }
        app.limits.forget_the_quiet();
        app.whip.retain(|account| app.state.accounts.get(account).is_some());
        // Sessions last for days: once an hour is enough, and spares the disk.
        minutes += 1;
        if minutes.is_multiple_of(60)
            && let Err(error) = app.sessions.delete_expired().await
        {
            warn!(%error, "expired sessions not deleted");
        }
    }
}

/// Every route, each with its right.
fn routes() -> Routes {
    Routes::new()
        .merge(accounts::routes())
        .merge(me::routes())
        .merge(obs::routes())
        .merge(obs_profile::routes())
        .merge(queue::routes())
        .merge(show::routes())
        .merge(history::routes())
        .merge(system::routes())
        .merge(slate::routes())
        .merge(log::routes())
        .merge(destinations::routes())
        .merge(viewers::routes())
        .merge(pictures::routes())
        .merge(events::routes())
        .merge(settings::routes())
        .merge(audit::routes())
        .merge(backup::routes())
        .merge(updates::routes())
        .merge(console::routes())
        .merge(invitations::routes())
        .merge(health::routes())
        .merge(whip::routes())
        .merge(page::routes())
}

/// All of it, for plain HTTP or for HTTPS: they differ in their sessions' cookies.
fn router(app: &Arc<App>, encrypted: bool) -> Router {
    let description: Arc<OnceLock<Bytes>> = Arc::default();
    let described = Arc::clone(&description);
    let answer =
        async move || ([(header::CONTENT_TYPE, "application/json")], described.get().cloned().unwrap_or_default());
    let (router, document, table) = routes().file(Right::Anyone, "/api/v1/openapi.json", answer).finish();
    // Once and only here. As text: what it is made of takes 4 MB.
    match serde_json::to_vec(&document) {
        Ok(text) => drop(description.set(text.into())),
        Err(error) => error!(%error, "the API can not be described"),
    }
    drop(document);
    router
        .fallback(async || Problem::new(Kind::NotFound, NOTHING_HERE))
        .layer(from_fn_with_state((Arc::clone(app), Arc::new(table)), rights::enforce))
        .layer(app.sessions.layer(encrypted))
        .layer(from_fn(hosts::only_our_pages))
        .layer(from_fn_with_state(Arc::clone(app), hosts::only_our_hosts))
        .layer(CatchPanicLayer::new())
        .layer(from_fn(problem::every_error_is_a_problem))
        .layer(from_fn_with_state(Arc::clone(app), page::errors::for_people))
        .layer(from_fn_with_state(Arc::clone(app), metrics::count))
        .layer(map_response(move |response: Response| {
            ready(if encrypted { page::flash::secured(response) } else { response })
        }))
        .layer(always(header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        // Nobody else learns where a reader came from. (With `no-referrer` a form's POST would carry `Origin: null`.)
        .layer(always(header::REFERRER_POLICY, "same-origin"))
        .layer(always(header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"))
        .layer(always(header::CACHE_CONTROL, "no-store"))
        .with_state(Arc::clone(app))
}

/// A header that an answer carries unless its handler chose otherwise.
fn always(name: HeaderName, value: &'static str) -> SetResponseHeaderLayer<HeaderValue> {
    SetResponseHeaderLayer::if_not_present(name, HeaderValue::from_static(value))
}

/// Does a change in several steps to its end, even when the client hangs up or the time of the answer is over: an account that
/// is disabled must not keep its connection because a browser was closed in between.
pub(crate) async fn to_the_end<T: Send + 'static>(
    change: impl Future<Output = Result<T, Problem>> + Send + 'static,
) -> Result<T, Problem> {
    match tokio::spawn(change.in_current_span()).await {
        Ok(done) => done,
        Err(_) => Err(Problem::ours()),
    }
}
