//! Builds everything in order, owns the tokens, says when the box is ready, and stops it.
//!
//! The order of a start: store, programme on the slate, ingest, director, OBS, web, destinations. Nothing waits for the internet. The order of a
//! stop: director (its last commit), front doors and destinations together, store. SRS, where it is the ingest, is stopped by TERM and INT; it
//! goes on when HUP ends the supervisor for an upgrade, and when the supervisor dies.
//!
//! Platforms are said goodbye to when the box is stopped, and not when it comes back: see [`Running::parting`].

use std::{
    io,
    io::Write as _,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use rustix::time::{ClockId, clock_gettime};
use secrecy::ExposeSecret;
use thiserror::Error;
use tokio::{
    net::TcpListener,
    runtime::Handle,
    signal::unix::{Signal, SignalKind, signal},
    sync::{mpsc, oneshot, watch},
    task::{JoinHandle, spawn_blocking},
    time::{MissedTickBehavior, interval, sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::Instrument;

use self::setup_file::SetupFile;
use crate::{
    accounts::{AccountError, Accounts},
    clock::{Clock, machine::MachineClock},
    config::{Config, ConfigError, LoadedConfig, Settings},
    control::{
        addresses::{Doors, public_host, rtmp_door},
        destinations::wanted::Destinations,
        machine_key::MachineKey,
        news::Wire,
        readiness::{Latch, Readiness},
        room::{self, Control},
        sessions::Sessions,
        stage,
    },
    core::frame::FrameSinks,
    director::{self, Director, Stored},
    ingest::{self, Door, Ingest, IngestEvent, embedded, srs},
    media::{Media, MediaError, MediaEvents, MediaSettings, egress::Parting},
    network::{self, Network, Situation},
    obs::{self, Obs},
    precedence,
    store::{
        self, Loaded, Store, StoreError,
        backup::{self, LiesReady},
    },
    telemetry::{self, RecentEvents},
    update::Updates,
    web::{self, Https},
};

mod setup_file;
mod systemd;

/// Threads that serve.
const WORKERS: usize = 2;
/// What threads are called that draw, hash, pack and read files.
const BLOCKING: &str = "blocking";
/// A clean stop takes at most so long.
const STOP_LIMIT: Duration = Duration::from_secs(5);
/// How often it is looked whether the programme's thread still runs.
const WATCH: Duration = Duration::from_secs(1);
/// So many seconds a network has to give the addresses that the page's settings name: a router that starts with the box takes longer now
/// and then, and then the box listens on all of them until its next start.
const ADDRESSES: u32 = 30;
/// Events of the ingest that wait for the director; when it is full the encoders concerned wait.
const INGEST_EVENTS: usize = 256;

/// Why the box does not start, or had to end.
#[derive(Debug, Error)]
pub enum SupervisorError {
    /// The store cannot be opened or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The configuration, read again.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The programme cannot be started.
    #[error(transparent)]
    Media(#[from] MediaError),
    /// The accounts cannot be read or set up.
    #[error("accounts: {0}")]
    Accounts(#[from] AccountError),
    /// The queue cannot be restored.
    #[error("queue: {0}")]
    Director(#[from] director::StartError),
    /// SRS as the ingest.
    #[error(transparent)]
    Srs(#[from] srs::StartError),
    /// A port cannot be opened.
    #[error(
        "{what} cannot listen on {address}: {error}; is another box running, or does the port need more rights? (`{key}` changes it)"
    )]
    Listen {
        /// What wants to listen there, in words.
        what: &'static str,
        /// The address and port that were asked for.
        address: SocketAddr,
        /// The key of the configuration that names the address.
        key: &'static str,
        /// What the system said.
        error: io::Error,
    },
    /// A part of the box died.
    #[error("{0} ended by itself; this is a defect, please report it with the log")]
    Died(&'static str),
    /// The system refuses something basic.
    #[error("the system refuses {what}: {error}")]
    System {
        /// What was asked of the system, in words.
        what: &'static str,
        /// What the system said.
        error: io::Error,
    },
}

/// Starts telemetry and the async runtime, and runs the box.
///
/// # Errors
/// See [`SupervisorError`].
pub fn start(loaded: LoadedConfig) -> Result<(), SupervisorError> {
    precedence::begin();
    precedence::lead_session();
    let telemetry = telemetry::start().map_err(|error| SupervisorError::System { what: "the log", error })?;
    // Two workers: the work is small, and every thread costs memory. Hashing and other blocking work have threads of their own.
    let named = AtomicUsize::new(0);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .max_blocking_threads(16)
        // The workers are the first to be started.
        .thread_name_fn(move || {
            if named.fetch_add(1, Ordering::Relaxed) < WORKERS { "tokio" } else { BLOCKING }.to_owned()
        })
        .on_thread_start(|| {
            if thread::current().name() == Some(BLOCKING) {
                precedence::go_behind();
            }
        })
        .enable_all()
        .build()
        .map_err(|error| SupervisorError::System { what: "threads", error })?;
    let ended = runtime.block_on(run(loaded, telemetry.recent()));
    // What is left are blocking tasks that nobody waits for any more.
    runtime.shutdown_timeout(Duration::from_millis(100));
    ended
}

/// Runs the box until it is told to stop: the first TERM or INT ends everything cleanly within 5 s, a second one at once. HUP does the same
/// and leaves SRS running with its encoders connected, for the next supervisor to find.
///
/// # Errors
/// See [`SupervisorError`].
pub async fn run(loaded: LoadedConfig, recent: RecentEvents) -> Result<(), SupervisorError> {
    let mut signals = Signals::new()?;
    let loaded = with_own_addresses(restored(loaded)?).await;
    for problem in &loaded.ignored {
        tracing::warn!(setting = problem.field, reason = problem.reason, "a setting of the page is ignored");
    }
    let config = Arc::new(loaded.config.clone());
    let mut running = Running::start(config, Settings::new(loaded), Clock::start(), recent).await?;
    let ended = tokio::select! {
        asked = signals.next() => Ok(asked),
        error = running.watch() => Err(error),
    };
    systemd::tell_stopping();
    let with_server = matches!(ended, Ok(Asked::Stop));
    tracing::info!(with_server, "stopping");
    tokio::select! {
        stopped = timeout(STOP_LIMIT, running.stop(with_server)) => {
            if stopped.is_err() {
                tracing::warn!("not everything ended in time");
            }
        }
        _ = signals.next() => tracing::warn!("told twice to stop, ending at once"),
    }
    ended.map(|_| ())
}

/// Puts a backup into place that lies ready, and reads the configuration again if there was one.
fn restored(loaded: LoadedConfig) -> Result<LoadedConfig, SupervisorError> {
    match backup::apply(&loaded.config.data_dir) {
        Ok(false) => Ok(loaded),
        Ok(true) => {
            tracing::info!("a backup was restored; what it replaced lies in the data folder's before-restore");
            Ok(loaded.reload()?)
        }
        // It lies ready still; the box starts as it was.
        Err(LiesReady::ShowIsOn) => {
            tracing::warn!("a backup lies ready and a show is on: it is restored at the next start without one");
            Ok(loaded)
        }
        Err(error) => {
            tracing::error!(%error, "a backup that lies ready could not be restored");
            Ok(loaded)
        }
    }
}

/// Without addresses to listen on that the network has not given this machine by now: a page that is reached by another address is better
/// than none. Only on an image.
async fn with_own_addresses(loaded: LoadedConfig) -> LoadedConfig {
    let mut foreign = loaded.foreign_addresses();
    for _ in 0..ADDRESSES {
        if foreign.is_empty() {
            return loaded;
        }
        sleep(WATCH).await;
        foreign = loaded.foreign_addresses();
    }
    loaded.without(&foreign).unwrap_or(loaded)
}

/// The box, running.
struct Running {
    clock: Clock,
    store: Store,
    ingest: Ingest,
    media: Media,
    director: JoinHandle<()>,
    web: JoinHandle<io::Result<()>>,
    tracker: TaskTracker,
    /// The front doors: ingest and web.
    doors: CancellationToken,
    director_token: CancellationToken,
    readiness: Readiness,
    accounts: Accounts,
    setup_file: SetupFile,
    updates: Updates,
}

impl Running {
    async fn start(
        config: Arc<Config>,
        settings: Settings,
        clock: Clock,
        recent: RecentEvents,
    ) -> Result<Self, SupervisorError> {
        let tracker = TaskTracker::new();
        let (doors, director_token) = (CancellationToken::new(), CancellationToken::new());
        let readiness = Readiness::default();

        let (store, loaded) = open_store(&config).await?;
        readiness.set(Latch::Store, store.trouble().is_none());
        reached(clock, "store");

        let (media, media_events) = start_media(&config, clock, &tracker).await?;
        readiness.set(Latch::Program, true);
        reached(clock, "programme");

        let accounts = Accounts::open(store.clone(), &loaded, &config).await?;
        let page = listen("the page", config.web.listen, "web.listen").await?;
        let page_port = page.local_addr().map_or(config.web.listen.port(), |address| address.port());

        let https = open_https(&config).await;

        let (ingest_events, ingest_receiver) = mpsc::channel(INGEST_EVENTS);
        let ingest = start_ingest(&config, clock, media.sinks(), ingest_events, doors.child_token(), &tracker).await?;
        tracker.spawn(follow_ingest(ingest.clone(), readiness.clone(), doors.child_token()));

        let front = Front {
            ingest: ingest.clone(),
            ingest_receiver,
            media: media.clone(),
            media_events,
            accounts: accounts.clone(),
        };
        let (director, task) = start_director(&config, clock, &store, &loaded, front, director_token.clone())?;
        let task = tracker.spawn(task.instrument(tracing::info_span!("director")));
        reached(clock, "queue");

        let obs = start_obs(&config, clock, &director, doors.child_token(), &tracker);

        let machine = lay_down_key(&config.data_dir).await;
        let wire = Wire::default();
        let sessions = Sessions::new(store.clone(), loaded.sessions, &config.web);
        let destinations =
            Destinations::new(store.clone(), &config, loaded.destinations, ingest.state(), media.clone(), wire.clone());
        let requests = std::env::var_os("RUNTIME_DIRECTORY").map(PathBuf::from);
        let updates = Updates::new(&config, requests.clone());
        let network =
            start_network(&config, clock, &accounts, &director, requests.clone(), doors.child_token(), &tracker);
        let secure = https.as_ref().map(|https| (https.port, https.fingerprint.clone()));
        let control = Control::new(room::Parts {
            settings,
            clock,
            accounts: accounts.clone(),
            director,
            media: media.clone(),
            store: store.clone(),
            sessions,
            destinations,
            readiness: readiness.clone(),
            ingest: ingest.clone(),
            obs,
            network,
            recent,
            updates: updates.clone(),
            wire,
            doors: Doors { plain: page_port, https: secure.clone() },
            machine,
            stop: doors.child_token(),
        });
        let room = control.clone();
        tracker.spawn(async move { room.run().await }.instrument(tracing::info_span!("control")));
        let serving = web::serve(page, https, control, doors.child_token());
        let web = tracker.spawn(serving.instrument(tracing::info_span!("web")));
        greet(&config, &accounts, page_port, secure, &ingest);
        reached(clock, "page");
        Ok(Self {
            clock,
            store,
            ingest,
            media,
            director: task,
            web,
            tracker,
            doors,
            director_token,
            readiness,
            setup_file: SetupFile::new(requests.as_deref().filter(|_| config.machine.boot_dir.is_some())),
            updates,
            accounts,
        })
    }

    /// Returns when a part that must never end has ended.
    async fn watch(&mut self) -> SupervisorError {
        let mut health = systemd::Health::default();
        // The machine has said both before it started this program.
        let version = if self.updates.is_established() {
            systemd::Version::Established
        } else {
            systemd::Version::New { remembers: self.updates.memory_disk().is_none() }
        };
        let mut look = interval(WATCH);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            look.tick().await;
            if !self.media.is_running() {
                return SupervisorError::Died("the programme");
            }
            if !self.ingest.is_running() {
                return SupervisorError::Died("the ingest");
            }
            if self.director.is_finished() {
                return SupervisorError::Died("the director");
            }
            if self.web.is_finished() {
                return SupervisorError::Died("the web server");
            }
            let ready = self.readiness.look();
            let in_trouble = self.store.trouble().is_some();
            let signs = health.judge(systemd::Look {
                now: self.clock.now(),
                // Without its store it serves as well as it can; a new version has not proven itself then.
                serves: (ready.store || in_trouble) && ready.program && ready.web,
                ingest: ready.ingest && ready.store,
                version,
                program_ms: self.media.status().borrow().program.time_ms,
            });
            if signs.ready {
                reached(self.clock, "ready");
            }
            systemd::tell(signs);
            if signs.proven && self.updates.are_possible() {
                let (doors, updates) = (self.doors.clone(), self.updates.clone());
                self.tracker.spawn(async move { doors.run_until_cancelled(systemd::mark_good(updates)).await });
            }
            if !in_trouble {
                self.setup_file.keep(self.accounts.setup_code().as_ref());
            }
        }
    }

    /// What platforms hear. A broadcast that was said goodbye to is over, and its viewers are gone; one whose connection broke is kept for
    /// half a minute and more. So a goodbye belongs to an end that a person ordered, and to none after which the box goes on by itself with
    /// the show that is on: an upgrade (HUP), a part that died, a restart of the machine ordered on the page, one of the unit or the machine
    /// by systemd.
    async fn parting(&self, by_a_person: bool) -> Parting {
        let show = self.media.status().borrow().program.show;
        let comes_back = !by_a_person || self.updates.comes_back() || show && systemd::starts_again().await;
        if show {
            tracing::info!(goodbye = !comes_back, "the show is on");
        }
        if comes_back { Parting::Interruption } else { Parting::Goodbye }
    }

    async fn stop(self, with_server: bool) {
        let began = self.clock.now();
        // First: that everybody's connection closes now is no news for the queue.
        self.director_token.cancel();
        let parting = self.parting(with_server).await;
        let director = async {
            let _ = self.director.await;
        };
        let front = async {
            if with_server {
                self.ingest.stop_server().await;
            }
            self.doors.cancel();
        };
        tokio::join!(director, front, self.media.stop(parting));
        self.store.close().await;
        self.tracker.close();
        self.tracker.wait().await;
        tracing::info!(elapsed_ms = self.clock.now().since(began).as_millis(), "stopped");
    }
}

/// The key by which programs on this machine are told from everybody else. The data folder may lie on a disk that cannot be written.
async fn lay_down_key(data_dir: &Path) -> MachineKey {
    let (key, file) = (MachineKey::new(), MachineKey::place(data_dir));
    let (laid, place) = (key.clone(), file.clone());
    let done = spawn_blocking(move || laid.lay_down(&place)).await.unwrap_or_else(|error| Err(io::Error::other(error)));
    if let Err(error) = done {
        tracing::warn!(%error, file = %file.display(), "programs on this machine cannot show who they are: its screen shows nothing");
    }
    key
}

/// Ready is who can take encoders: while SRS does not run, the box says so.
async fn follow_ingest(ingest: Ingest, readiness: Readiness, token: CancellationToken) {
    let mut state = ingest.state();
    loop {
        readiness.set(Latch::Ingest, state.borrow_and_update().status.running);
        tokio::select! {
            () = token.cancelled() => return,
            // That of the embedded ingest never changes: its sender is gone.
            changed = state.changed() => if changed.is_err() { return },
        }
    }
}

/// The store, or what stands in for one that is there and cannot be read: then the programme runs on the slate, and the page says why.
async fn open_store(config: &Config) -> Result<(Store, Loaded), SupervisorError> {
    let data_dir = config.data_dir.clone();
    let trouble = match blocking("the store", move || Store::open(&data_dir)).await {
        Ok(Ok(opened)) => return Ok(opened),
        Ok(Err(error @ StoreError::InUse { .. })) => return Err(error.into()),
        // A mistake in the configuration: whoever started it is there to read it. Not where the image is the configuration.
        Ok(Err(error @ StoreError::Folder { .. })) if config.machine.boot_dir.is_none() => return Err(error.into()),
        Ok(Err(error)) => error,
        // The library stumbled over what it read.
        Err(_) => StoreError::Corrupt {
            path: config.data_dir.join(store::FILE_NAME),
            detail: "what it holds makes no sense".to_owned(),
        },
    };
    tracing::error!(error = %trouble, "the box runs without its store, on the slate; it takes nobody");
    Ok(Store::stand_in(&config.data_dir, trouble))
}

async fn start_media(
    config: &Config,
    clock: Clock,
    tracker: &TaskTracker,
) -> Result<(Media, MediaEvents), SupervisorError> {
    let settings = MediaSettings::of(config);
    let tracker = tracker.clone();
    let token = CancellationToken::new();
    // Not on a thread for blocking work: it starts threads, which would go behind as that does, and where the account has no right to change
    // that they would stay there.
    let (done, started) = oneshot::channel();
    let handle = Handle::current();
    let start = move || {
        let _within = handle.enter();
        let _ = done.send(Media::start(&settings, clock, &tracker, &token));
    };
    let spawned = thread::Builder::new().name("media".to_owned()).spawn(start);
    spawned.map_err(|error| SupervisorError::System { what: "threads", error })?;
    Ok(started.await.map_err(|_| SupervisorError::Died("the programme"))??)
}

/// The ingest that is chosen.
async fn start_ingest(
    config: &Config,
    clock: Clock,
    sinks: Arc<dyn FrameSinks>,
    events: mpsc::Sender<IngestEvent>,
    token: CancellationToken,
    tracker: &TaskTracker,
) -> Result<Ingest, SupervisorError> {
    let wanted = config.ingest.clone();
    let choice = blocking("the ingest", move || ingest::choose(&wanted)).await?;
    tracing::info!(ingest = if choice.srs { "srs" } else { "embedded" }, because = choice.because, "ingest chosen");
    if choice.srs {
        let parts = srs::Parts {
            config: &config.ingest,
            data_dir: &config.data_dir,
            chosen_because: choice.because,
            clock,
            sinks,
            events,
            token,
            tracker,
        };
        return Ok(srs::start(parts).await?);
    }
    let rtmp = listen("RTMP", config.ingest.rtmp_listen, "ingest.rtmp_listen").await?;
    Ok(embedded::start(rtmp, &config.ingest, &choice.because, clock, sinks, events, token, tracker))
}

async fn blocking<T: Send + 'static>(
    what: &'static str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, SupervisorError> {
    spawn_blocking(work).await.map_err(|_| SupervisorError::Died(what))
}

/// What the director stands between.
struct Front {
    ingest: Ingest,
    ingest_receiver: mpsc::Receiver<IngestEvent>,
    media: Media,
    media_events: MediaEvents,
    accounts: Accounts,
}

fn start_director(
    config: &Config,
    clock: Clock,
    store: &Store,
    loaded: &Loaded,
    front: Front,
    token: CancellationToken,
) -> Result<(Director, impl Future<Output = ()> + Send + 'static), SupervisorError> {
    let machine = MachineClock::of_this_machine();
    let parts = director::Parts {
        settings: director::settings(&config.queue, &config.ingest),
        app: config.ingest.app.clone(),
        stored: Stored::from(loaded),
        clock,
        alive: Arc::new(move || machine.look()),
        resume: config.program.resume_limit(),
        media: front.media,
        media_events: front.media_events,
        ingest: front.ingest,
        ingest_events: front.ingest_receiver,
        store: store.clone(),
        accounts: front.accounts,
    };
    Ok(Director::start(parts, token)?)
}

/// The venue's OBS, which follows the queue. Nothing waits for it.
fn start_obs(
    config: &Config,
    clock: Clock,
    director: &Director,
    token: CancellationToken,
    tracker: &TaskTracker,
) -> Obs {
    let (shown, stage) = watch::channel(Arc::default());
    let follow = stage::follow(director.snapshot(), shown, token.clone());
    tracker.spawn(follow.instrument(tracing::info_span!("stage")));
    Obs::start(obs::Parts { config: config.obs.clone(), stage, clock, token }, tracker)
}

/// The network, where NetworkManager has it. Nothing waits for it.
fn start_network(
    config: &Config,
    clock: Clock,
    accounts: &Accounts,
    director: &Director,
    requests: Option<PathBuf>,
    token: CancellationToken,
    tracker: &TaskTracker,
) -> Network {
    let (accounts, snapshot) = (accounts.clone(), director.snapshot());
    let parts = network::Parts {
        config: config.network.clone(),
        // On somebody's own computer the network is theirs.
        own: config.machine.boot_dir.is_some(),
        bus: None,
        requests,
        data_dir: config.data_dir.clone(),
        boot_dir: config.machine.boot_dir.clone(),
        situation: Arc::new(move || Situation { claimed: accounts.is_claimed(), show: snapshot.borrow().queue.show }),
        clock,
        token,
    };
    Network::start(parts, tracker)
}

async fn listen(what: &'static str, address: SocketAddr, key: &'static str) -> Result<TcpListener, SupervisorError> {
    TcpListener::bind(address).await.map_err(|error| SupervisorError::Listen { what, address, key, error })
}

/// The page's second door. Without it the box does all the same, so what is in its way is said and no more.
async fn open_https(config: &Config) -> Option<Https> {
    match Https::open(config).await {
        Ok(https) => {
            if let Some(Https { port, fingerprint, .. }) = &https {
                tracing::info!(port, fingerprint, "https certificate");
            }
            https
        }
        Err(error) => {
            tracing::warn!(%error, setting = "web.https_listen", "the page is on plain http only");
            None
        }
    }
}

/// Since the process started, and since the machine did: on a box of its own that is the whole boot.
fn reached(clock: Clock, stage: &'static str) {
    let up = clock_gettime(ClockId::Boottime);
    let machine_ms = up.tv_sec * 1000 + up.tv_nsec / 1_000_000;
    tracing::info!(stage, elapsed_ms = clock.now().since_start().as_millis(), machine_ms, "started");
}

/// Tells whoever started it where to go. Standard output, not the log: this is for people, and the setup code belongs in no log. By a thread of
/// its own, which nobody waits for: a full pipe that nobody reads, or a disk that is full, is no reason not to start.
fn greet(config: &Config, accounts: &Accounts, page_port: u16, secure: Option<(u16, String)>, ingest: &Ingest) {
    let text = greeting(config, accounts, page_port, secure, ingest);
    let written = thread::Builder::new().name("greeting".to_owned()).spawn(move || {
        let mut out = io::stdout();
        if let Err(error) = out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            tracing::warn!(%error, "nobody can read where the page is: standard output cannot be written");
        }
    });
    if let Err(error) = written {
        tracing::warn!(%error, "no thread to say where the page is");
    }
}

fn greeting(
    config: &Config,
    accounts: &Accounts,
    page_port: u16,
    secure: Option<(u16, String)>,
    ingest: &Ingest,
) -> String {
    let host = public_host(config);
    let port = |port: u16, usual: u16| if port == usual { String::new() } else { format!(":{port}") };
    let rtmp = match rtmp_door(&ingest.state().borrow(), &config.ingest) {
        Door::Port(rtmp) => format!("rtmp://{host}{}/{}", port(rtmp, 1935), config.ingest.app),
        Door::Elsewhere(url) => url,
    };
    let mut lines = vec![
        String::new(),
        "  Motherstream is running.".to_owned(),
        String::new(),
        format!("  Page          http://{host}{}/", port(page_port, 80)),
    ];
    if let Some((secure, fingerprint)) = secure {
        lines.push(format!("  Over HTTPS    https://{host}{}/", port(secure, 443)));
        lines.push(format!("                the certificate's SHA-256 is {fingerprint}"));
    }
    lines.push(format!("  Encoders      {rtmp}   (stream key: from the page)"));
    match (accounts.setup_code(), &config.machine.boot_dir) {
        // There the journal keeps what is said here.
        (Some(_), Some(_)) => {
            lines.push(
                "  Setup code    on the box's screen, and in setup-code.txt on the card's small partition".to_owned(),
            );
        }
        (Some(code), None) => {
            lines.push(format!("  Setup code    {}   (makes you the admin, once)", code.expose_secret()));
        }
        (None, _) => {}
    }
    lines.push("\n".to_owned());
    lines.join("\n")
}

/// How the box was asked to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    /// With everything that it started.
    Stop,
    /// Without the media server.
    Leave,
}

/// TERM, INT and HUP.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Option<Signal>,
}

impl Signals {
    fn new() -> Result<Self, SupervisorError> {
        let on = |kind| signal(kind).map_err(|error| SupervisorError::System { what: "signal handlers", error });
        // Whoever started it by `nohup` wants it to outlive the terminal.
        let hang_up = if hang_up_is_ignored() { None } else { Some(on(SignalKind::hangup())?) };
        Ok(Self { terminate: on(SignalKind::terminate())?, interrupt: on(SignalKind::interrupt())?, hang_up })
    }

    async fn next(&mut self) -> Asked {
        let hang_up = async {
            match &mut self.hang_up {
                Some(signal) => signal.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.terminate.recv() => Asked::Stop,
            _ = self.interrupt.recv() => Asked::Stop,
            _ = hang_up => Asked::Leave,
        }
    }
}

fn hang_up_is_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}
