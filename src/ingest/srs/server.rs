//! Keeps an SRS running, or finds the one that runs already, or watches one elsewhere.
//!
//! SRS outlives us: it runs in a session of its own (or as a unit of its own), and the next supervisor finds it again by its pid file and
//! by what the process was started with, which also tells whether it is still what the configuration wants. One that could no longer work
//! with us (other addresses, other hooks) is replaced at once; one that differs otherwise, when nobody publishes.

use std::{path::PathBuf, time::Duration};

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use secrecy::SecretString;
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::spawn_blocking,
    time::{Instant, MissedTickBehavior, interval, sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::Instrument;

use super::{
    api::{Api, Identity, Summary},
    install,
};
use crate::config::IngestConfig;

pub(super) mod launch;
mod log;
pub(crate) mod ports;
mod process;
#[cfg(test)]
mod tests;
mod unit;

use self::{
    launch::{LOG_FILE, Launch},
    log::Redaction,
    process::Process,
};

/// How often a server that runs is asked whether it still answers.
const LOOK: Duration = Duration::from_secs(2);
/// One elsewhere is away after so long without an answer: a single call may be lost.
const AWAY: Duration = Duration::from_secs(5);
/// How often a server that is coming up is asked.
const ASK: Duration = Duration::from_millis(20);
/// How long things may take.
#[derive(Clone, Copy)]
struct Limits {
    /// A server that has not answered for so long is frozen. Encoders' own patience is about as long.
    frozen: Duration,
    /// From a server's start to its first answer; it takes 50 ms, and seconds on a busy board.
    up: Duration,
    /// From TERM to KILL. SRS takes up to 2 s; the whole box has 5 s to stop.
    patience: Duration,
}

const LIMITS: Limits =
    Limits { frozen: Duration::from_secs(15), up: Duration::from_secs(20), patience: Duration::from_secs(3) };

/// A server that lived so long was well; its end is tried to be mended at once.
const STABLE: Duration = Duration::from_secs(10);
/// The first wait: an encoder's first try to come back is a second or more away.
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// The further waits, doubled from the one to the other.
const WAITS: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

/// What is known of the server.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum ServerState {
    /// Not up yet.
    Starting,
    /// It answers.
    Running(Running),
    /// It does not run; it is tried again with backoff.
    Down {
        /// What is wrong and what to do, in words for an admin.
        problem: String,
        /// Times it was started again since the box started.
        restarts: u64,
    },
}

/// A server that answers. Another `identity` is another process: nothing of the old one lives.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Running {
    pub(super) identity: Identity,
    pub(super) version: String,
    /// It ran already when the box started.
    pub(super) adopted: bool,
    pub(super) restarts: u64,
}

/// What keeping a server takes.
pub(super) struct Parts {
    pub(super) config: IngestConfig,
    /// Where pid file, log and SRS's folder lie: `data_dir/srs`.
    pub(super) folder: PathBuf,
    pub(super) api: Api,
    /// The address of the hooks, secret included, for its environment.
    pub(super) hooks_url: SecretString,
    pub(super) tracker: TaskTracker,
    /// Ends the keeping; the server itself goes on.
    pub(super) token: CancellationToken,
}

/// The handle of the task that keeps SRS running.
pub(super) struct Server {
    /// See [`ServerState`].
    pub(super) state: watch::Receiver<ServerState>,
    /// Asks for the server's own end (TERM, then KILL); answered when it is gone. Without it the server outlives the box.
    pub(super) stop: mpsc::Sender<oneshot::Sender<()>>,
}

impl Server {
    /// Starts keeping; returns at once.
    pub(super) fn keep(parts: Parts) -> Self {
        Self::keep_with(parts, LIMITS, "systemctl".into())
    }

    fn keep_with(parts: Parts, limits: Limits, systemctl: PathBuf) -> Self {
        let (sender, state) = watch::channel(ServerState::Starting);
        let (stop, stops) = mpsc::channel(1);
        let tracker = parts.tracker.clone();
        if parts.config.srs.api_url.is_none() {
            let path = parts.folder.join(LOG_FILE);
            let redaction = Redaction::new(&parts.config.app, &parts.hooks_url);
            let from = log::begin_at(&path);
            let following = log::follow(path, from, redaction, parts.token.clone());
            tracker.spawn(following.instrument(tracing::info_span!("srs")));
        }
        let keeper = Keeper {
            parts,
            limits,
            systemctl,
            state: sender,
            process: None,
            insist: false,
            known: false,
            adopted: false,
            restarts: 0,
        };
        tracker.spawn(keeper.run(stops).instrument(tracing::info_span!("srs")));
        Self { state, stop }
    }
}

struct Keeper {
    parts: Parts,
    limits: Limits,
    systemctl: PathBuf,
    state: watch::Sender<ServerState>,
    /// The server that runs here, once it is known.
    process: Option<Process>,
    /// The unit has to be restarted, whatever it says of itself.
    insist: bool,
    /// One was started or found since the box started.
    known: bool,
    adopted: bool,
    restarts: u64,
}

/// The end of a server's life, or of a try to begin one.
struct Ended {
    problem: String,
    /// How long it had answered.
    lived: Duration,
}

impl Ended {
    fn never(problem: String) -> Self {
        Self { problem, lived: Duration::ZERO }
    }
}

impl Keeper {
    async fn run(mut self, mut stops: mpsc::Receiver<oneshot::Sender<()>>) {
        let token = self.parts.token.clone();
        let asked = tokio::select! {
            biased;
            () = token.cancelled() => return,
            Some(asked) = stops.recv() => asked,
            () = self.keep() => return,
        };
        self.stop().await;
        // Nobody may wait any more.
        let _ = asked.send(());
        loop {
            tokio::select! {
                () = token.cancelled() => return,
                asked = stops.recv() => match asked {
                    Some(asked) => drop(asked.send(())),
                    None => return,
                },
            }
        }
    }

    async fn keep(&mut self) {
        if self.parts.config.srs.api_url.is_some() {
            return self.watch_elsewhere().await;
        }
        let mut waits = Waits::default();
        loop {
            let ended = self.life().await;
            self.process = None;
            self.down(ended.problem);
            sleep(waits.after(ended.lived, rand::random())).await;
        }
    }

    /// Ends the server, if it is one that we started. A unit is its manager's.
    async fn stop(&mut self) {
        let config = &self.parts.config.srs;
        if config.api_url.is_none() && config.unit.is_none() {
            let process = self.process.take().or_else(|| Process::find(&self.parts.folder));
            if let Some(mut process) = process {
                process.end(self.limits.patience).await;
                tracing::info!(pid = process.pid, "srs stopped");
            }
        }
        self.state.send_replace(ServerState::Down { problem: "it was stopped".to_owned(), restarts: self.restarts });
    }

    fn down(&self, problem: String) {
        let state = ServerState::Down { problem, restarts: self.restarts };
        self.state.send_if_modified(|old| {
            let news = *old != state;
            // Said once for each problem, not at every try.
            let said =
                |problem: &String| matches!(&*old, ServerState::Down { problem: before, .. } if before == problem);
            if let ServerState::Down { problem, .. } = &state
                && !said(problem)
            {
                tracing::warn!(problem, "srs does not run");
            }
            *old = state;
            news
        });
    }

    fn running(&self, summary: Summary) {
        let running = Running {
            identity: summary.identity,
            version: summary.version,
            adopted: self.adopted,
            restarts: self.restarts,
        };
        let state = ServerState::Running(running.clone());
        self.state.send_if_modified(|old| {
            let news = *old != state;
            if news {
                let Running { identity, version, adopted, restarts } = running;
                tracing::info!(version, pid = identity.pid, adopted, restarts, "srs runs");
            }
            *old = state;
            news
        });
    }

    /// One life of a server here: found or started, until it ends or has to be ended.
    async fn life(&mut self) -> Ended {
        let launch = match self.prepare().await {
            Ok(launch) => launch,
            Err(problem) => return self.life_without_launch(problem).await,
        };
        let from = log::begin_at(&self.parts.folder.join(LOG_FILE));
        // What the unit would be started with now, and was before.
        let before = match self.write_environment(&launch).await {
            Ok(before) => before,
            Err(problem) => return Ended::never(problem),
        };
        let unit = self.parts.config.srs.unit.is_some();
        let found = match self.find().await {
            _ if unit && self.insist => None,
            Ok(found) => found,
            Err(problem) => return Ended::never(problem),
        };
        let mut stale = false;
        if let Some(Found { mut process, name }) = found {
            let with = if process.environment.is_empty() { before.as_ref() } else { Some(&process.environment) };
            if name != launch.name && with.is_none_or(|with| launch.estranged(with)) {
                tracing::info!(pid = process.pid, "srs was started with other addresses, replacing it");
                if unit {
                    self.insist = true;
                } else {
                    process.end(self.limits.patience).await;
                }
            } else {
                stale = name != launch.name;
                if stale {
                    tracing::info!(
                        pid = process.pid,
                        "srs was started with other settings, replacing it when nobody publishes"
                    );
                }
                self.process = Some(process);
            }
        }
        if self.process.is_some() {
            self.adopted = !self.known;
        } else {
            if let Err(problem) = self.start(&launch).await {
                return Ended::never(problem);
            }
            self.adopted = false;
            self.restarts += u64::from(self.known);
        }
        self.known = true;
        let summary = match self.up(Some(&launch.name).filter(|_| !stale), from).await {
            Ok(summary) => summary,
            Err(problem) => return Ended::never(problem),
        };
        self.live(summary, from, stale).await
    }

    /// The program or its configuration is gone. One that still runs works as well as before.
    async fn life_without_launch(&mut self, problem: String) -> Ended {
        let Some(process) = Process::find(&self.parts.folder) else { return Ended::never(problem) };
        tracing::warn!(problem, "srs runs and could not be started again");
        (self.adopted, self.known) = (!self.known, true);
        self.process = Some(process);
        let from = log::begin_at(&self.parts.folder.join(LOG_FILE));
        match self.up(None, from).await {
            Ok(summary) => self.live(summary, from, false).await,
            Err(problem) => Ended::never(problem),
        }
    }

    async fn prepare(&self) -> Result<Launch, String> {
        let (config, folder) = (self.parts.config.clone(), self.parts.folder.clone());
        let hooks_url = self.parts.hooks_url.clone();
        blocking(move || Launch::prepare(&config, &folder, &hooks_url)).await?
    }

    async fn write_environment(&self, launch: &Launch) -> Result<Option<launch::Environment>, String> {
        if self.parts.config.srs.unit.is_none() {
            return Ok(None);
        }
        let launch = launch.clone();
        let written = blocking(move || launch.write_environment()).await?;
        written.map_err(|error| format!("SRS's environment cannot be written: {error}; look at data_dir's disk"))
    }

    /// The server that runs already: ours by its pid file or by its API, none, or a problem when somebody else holds a port.
    async fn find(&self) -> Result<Option<Found>, String> {
        if let Some(process) = Process::find(&self.parts.folder) {
            let name = process.name().unwrap_or_default().to_owned();
            return Ok(Some(Found { process, name }));
        }
        // Its pid file may be gone, or, with a unit, its process another user's.
        if let Ok(Summary { identity, .. }) = self.parts.api.summary().await {
            let by_name = self.parts.config.srs.unit.is_some() && launch::is_name(&identity.server);
            let process = Process::of_box(identity.pid, &self.parts.folder)
                .or_else(|| by_name.then(|| Process::other(identity.pid)).flatten());
            if let Some(process) = process {
                return Ok(Some(Found { process, name: identity.server }));
            }
            return Err(format!(
                "another SRS (process {}) answers on ingest.srs.api_listen {}; stop it, or choose other ports for one of them",
                identity.pid, self.parts.config.srs.api_listen
            ));
        }
        let (needed, folder) = (ports::all(&self.parts.config), self.parts.folder.clone());
        match blocking(move || needed.iter().find_map(|port| port.problem(&folder))).await? {
            Some(problem) => Err(problem),
            None => Ok(None),
        }
    }

    async fn start(&mut self, launch: &Launch) -> Result<(), String> {
        if let Some(unit) = self.parts.config.srs.unit.clone() {
            // Of a unit that runs, a start would change nothing.
            let order = if self.insist { "restart" } else { "start" };
            self.insist = false;
            let systemctl = self.systemctl.clone();
            return blocking(move || unit::order(&systemctl, order, &unit)).await?;
        }
        let looked = launch.clone();
        blocking(move || looked.look()).await??;
        // Nothing is awaited from here until the process is known, or nobody could end it.
        let child = launch.spawn().map_err(|error| format!("SRS cannot be started: {error}"))?;
        self.process = Process::started(child);
        match &self.process {
            Some(_) => Ok(()),
            None => Err("SRS cannot be watched; the kernel has to be Linux 5.3 or newer".to_owned()),
        }
    }

    /// Waits for the first answer: from our process, and of this name.
    async fn up(&mut self, name: Option<&String>, from: u64) -> Result<Summary, String> {
        let api = self.parts.api.clone();
        let path = self.parts.folder.join(LOG_FILE);
        let redaction = Redaction::new(&self.parts.config.app, &self.parts.hooks_url);
        let pid = self.process.as_ref().map(|process| process.pid);
        let answered = async {
            loop {
                if let Ok(summary) = api.summary().await
                    && pid.is_none_or(|pid| pid == summary.identity.pid)
                    && name.is_none_or(|name| *name == summary.identity.server)
                {
                    return summary;
                }
                sleep(ASK).await;
            }
        };
        let ended = async {
            match &mut self.process {
                Some(process) => process.ended().await,
                None => std::future::pending().await,
            }
        };
        let address = self.parts.config.srs.api_listen;
        let summary = tokio::select! {
            biased;
            how = ended => return Err(over(&how, &path, from, &redaction)),
            answered = timeout(self.limits.up, answered) => answered,
        };
        match summary {
            Ok(summary) if install::usable(&summary.version) => {
                // A unit's process is known by its answer.
                if self.process.is_none() {
                    self.process = Process::other(summary.identity.pid);
                }
                Ok(summary)
            }
            Ok(summary) => Err(install::too_old(&summary.version)),
            Err(_) => {
                self.end().await;
                let seconds = self.limits.up.as_secs();
                Err(format!(
                    "SRS runs, but its API did not answer on {address} within {seconds} s; is ingest.srs.config the srs.conf that came with this program?"
                ))
            }
        }
    }

    /// It runs. Returns when it has ended, by itself or by us.
    async fn live(&mut self, summary: Summary, from: u64, stale: bool) -> Ended {
        let began = Instant::now();
        let identity = summary.identity.clone();
        self.running(summary);
        let Some(process) = &mut self.process else {
            return Ended::never("SRS ended as soon as it had answered".to_owned());
        };
        let problem = tokio::select! {
            how = process.ended() => {
                let redaction = Redaction::new(&self.parts.config.app, &self.parts.hooks_url);
                over(&how, &self.parts.folder.join(LOG_FILE), from, &redaction)
            }
            problem = unwell(&self.parts.api, &identity, stale, self.limits.frozen) => problem,
        };
        if process.runs().await {
            self.down(problem.clone());
            self.end().await;
        }
        Ended { problem, lived: began.elapsed() }
    }

    /// Ends the process in order to have another; that of a unit is ended by the order to come.
    async fn end(&mut self) {
        match &mut self.process {
            Some(process) if self.parts.config.srs.unit.is_none() => process.end(self.limits.patience).await,
            _ => self.insist = true,
        }
    }

    /// An SRS that somebody else runs: nothing but its state.
    async fn watch_elsewhere(&mut self) {
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut answered: Option<Instant> = None;
        self.adopted = true;
        loop {
            look.tick().await;
            match self.parts.api.summary().await {
                Ok(summary) if install::usable(&summary.version) => {
                    answered = Some(Instant::now());
                    self.running(summary);
                }
                Ok(summary) => self.down(install::too_old(&summary.version)),
                Err(_) if answered.is_some_and(|at| at.elapsed() < AWAY) => {}
                Err(error) => self.down(format!(
                    "{error}; is the SRS of ingest.srs.api_url running, and does its API take calls from this machine?"
                )),
            }
        }
    }
}

struct Found {
    process: Process,
    /// What it calls itself.
    name: String,
}

/// Returns why a server that runs has to be ended.
async fn unwell(api: &Api, identity: &Identity, stale: bool, frozen: Duration) -> String {
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    look.tick().await;
    let mut answered = Instant::now();
    loop {
        look.tick().await;
        match api.summary().await {
            Ok(summary) if summary.identity == *identity => answered = Instant::now(),
            _ if answered.elapsed() >= frozen => {
                return format!("SRS did not answer for {} s; it is started again", frozen.as_secs());
            }
            _ => continue,
        }
        if stale && api.clients().await.is_ok_and(|clients| !clients.entries.iter().any(|client| client.publish)) {
            return "SRS is started again, with the present settings".to_owned();
        }
    }
}

/// That it ended, how, and why, in its own last words.
fn over(how: &str, log: &std::path::Path, from: u64, redaction: &Redaction) -> String {
    let said = log::since(log, from);
    let words = said.lines().rfind(|line| line.contains("Failed, code=") || line.contains("invalid config"));
    match words.and_then(install::why) {
        Some(why) => {
            format!("SRS ended{how}: {}; `motherstream doctor` looks for the reason", redaction.clean(&why))
        }
        None => format!("SRS ended{how}; it is started again"),
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, String> {
    spawn_blocking(work).await.map_err(|error| error.to_string())
}

/// How long to wait before the next try.
#[derive(Default)]
struct Waits {
    further: Option<ExponentialBackoff>,
}

impl Waits {
    /// After a server that had lived so long. `dice` is from 0 to 1.
    fn after(&mut self, lived: Duration, dice: f64) -> Duration {
        if lived >= STABLE {
            self.further = None;
        }
        let Some(further) = &mut self.further else {
            let (least, most) = WAITS;
            let builder = ExponentialBuilder::new()
                .with_min_delay(least)
                .with_max_delay(most)
                .with_factor(2.0)
                .without_max_times();
            self.further = Some(builder.build());
            return FIRST_WAIT;
        };
        let wait = further.next().unwrap_or(WAITS.1).min(WAITS.1);
        wait.mul_f64(0.25_f64.mul_add(-dice.clamp(0.0, 1.0), 1.0))
    }
}
