//! An ingest with a director and a media of the test's own, which note what they see and answer by the key.

use std::{
    collections::HashMap,
    io::Write,
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream},
    path::Path,
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use motherstream::{
    clock::Clock,
    config::{IngestConfig, IngestKind, Sources},
    core::{
        frame::{ConnectionId, Frame, FrameSink, FrameSinks, PullAddress, RemoteFigures, RemoteInput},
        moment::Moment,
    },
    ingest::{Ingest, IngestEvent, PublishVerdict, embedded, srs},
};
use secrecy::SecretString;
use tempfile::TempDir;
use tokio::{net::TcpListener, runtime::Runtime, sync::mpsc};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::support::{
    self, free_port, free_udp_port,
    rtmp::{AUDIO, PublishError, Publisher},
    seconds,
    simulated_srs::{Refusal, SimulatedEncoder, SimulatedSrs},
    wait,
};

/// Times on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// The secret in the hooks' path.
pub(crate) const SECRET: &str = "the-secret-of-the-hooks-0123456789";

/// What happened, in order.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Seen {
    /// The director was asked: connection and key.
    Publish(ConnectionId, String),
    /// The director was told.
    Trouble(ConnectionId, String),
    /// The director was told.
    Unpublish(ConnectionId),
    /// Media got an input.
    Opened(ConnectionId),
    /// Media's input ended.
    Closed(ConnectionId),
}

/// What the director and media have seen.
#[derive(Default)]
pub(crate) struct Record {
    seen: Vec<Seen>,
    addresses: HashMap<ConnectionId, String>,
    figures: HashMap<ConnectionId, RemoteFigures>,
    apps: Vec<String>,
}

impl Record {
    fn note(&mut self, seen: Seen) {
        self.seen.push(seen);
    }
}

struct Sinks(Arc<Mutex<Record>>);

struct Input(ConnectionId, Arc<Mutex<Record>>);

impl FrameSinks for Sinks {
    fn open(&self, connection: ConnectionId) -> Box<dyn FrameSink> {
        self.0.lock().unwrap().note(Seen::Opened(connection.clone()));
        Box::new(Input(connection, Arc::clone(&self.0)))
    }

    fn announce(&self, connection: ConnectionId, address: PullAddress) -> Box<dyn RemoteInput> {
        let mut record = self.0.lock().unwrap();
        record.note(Seen::Opened(connection.clone()));
        record.addresses.insert(connection.clone(), address.expose().to_owned());
        Box::new(Input(connection, Arc::clone(&self.0)))
    }
}

impl FrameSink for Input {
    fn push(&mut self, _frame: Frame, _arrival: Moment) {}
}

impl RemoteInput for Input {
    fn report(&mut self, figures: RemoteFigures, _at: Moment) {
        self.1.lock().unwrap().figures.insert(self.0.clone(), figures);
    }

    fn is_mute(&self) -> bool {
        let record = self.1.lock().unwrap();
        record.addresses.get(&self.0).is_some_and(|address| address.contains("/mute"))
    }
}

impl Drop for Input {
    fn drop(&mut self) {
        self.1.lock().unwrap().note(Seen::Closed(self.0.clone()));
    }
}

/// Answers by the key. `refuse-...` is refused, `drop-...` gets no answer, `slow-...` is accepted after a second; the second publish
/// of `only-...` is refused; everything else is accepted and replaces an earlier connection with the same key.
async fn direct(mut events: mpsc::Receiver<IngestEvent>, record: Arc<Mutex<Record>>) {
    let mut current: HashMap<String, ConnectionId> = HashMap::new();
    while let Some(event) = events.recv().await {
        match event {
            IngestEvent::Publish(request) => {
                let key = request.key.expose().to_owned();
                let mut record = record.lock().unwrap();
                record.note(Seen::Publish(request.connection.clone(), key.clone()));
                record.apps.push(request.app.clone());
                let refuse = |reason: &str| PublishVerdict::Refuse { reason: reason.to_owned() };
                let verdict = if request.app != "live" {
                    refuse("nobody publishes to that application")
                } else if key.starts_with("refuse") || (key.starts_with("only") && current.contains_key(&key)) {
                    refuse("held off for another 4 minutes")
                } else if key.starts_with("drop") {
                    continue;
                } else {
                    PublishVerdict::Accept { replaces: current.insert(key.clone(), request.connection) }
                };
                if key.starts_with("slow") {
                    tokio::spawn(async move {
                        tokio::time::sleep(Duration::from_secs(1)).await;
                        let _ = request.verdict.send(verdict);
                    });
                } else {
                    let _ = request.verdict.send(verdict);
                }
            }
            IngestEvent::Unpublish(id) => {
                current.retain(|_, other| *other != id);
                record.lock().unwrap().note(Seen::Unpublish(id));
            }
            IngestEvent::Unusable { connection, reason, .. } => {
                record.lock().unwrap().note(Seen::Trouble(connection, reason.to_string()));
            }
            IngestEvent::Trouble { connection, reason } => {
                record.lock().unwrap().note(Seen::Trouble(connection, reason));
            }
        }
    }
}

/// An ingest, and who stands around it.
pub(crate) struct Venue {
    config: IngestConfig,
    pub(crate) sim: Option<SimulatedSrs>,
    runtime: Runtime,
    record: Arc<Mutex<Record>>,
    pub(crate) ingest: Ingest,
    /// Where hooks are taken, secret included.
    pub(crate) hooks: String,
    token: CancellationToken,
    tracker: TaskTracker,
    data: TempDir,
}

/// An encoder that was let in.
pub(crate) enum Guest {
    Wire(Box<Publisher>),
    Simulated(SimulatedEncoder),
}

fn config(kind: IngestKind, rtmp: SocketAddr, silence: Duration) -> IngestConfig {
    let nothing = Sources { file: None, fallback: "/nonexistent".into(), environment: Vec::new() };
    let defaults = nothing.load().unwrap().config.ingest;
    let mut config = IngestConfig { kind, rtmp_listen: rtmp, silence_seconds: silence.as_secs(), ..defaults };
    config.srs.hooks_secret = Some(SecretString::from(SECRET));
    config
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// SRS takes UDP on all addresses or on none.
fn everywhere(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))
}

/// Which ingest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The one in the process.
    Embedded,
    /// SRS as the tests play it.
    Simulated,
    /// A real one; only where there is one.
    Real,
}

impl Kind {
    /// One that bears an encoder's silence for so long.
    pub(crate) fn open(self, silence: Duration) -> Venue {
        match self {
            Self::Embedded => Venue::embedded(silence),
            Self::Simulated => Venue::simulated(silence),
            Self::Real => Venue::real(silence),
        }
    }
}

impl Venue {
    fn embedded(silence: Duration) -> Self {
        let config = config(IngestKind::Embedded, loopback(free_port()), silence);
        Self::around(config, "", None)
    }

    /// A simulated SRS that the box does not run.
    pub(crate) fn simulated(silence: Duration) -> Self {
        Self::simulated_in(silence, "service-1")
    }

    /// The same in a run of its process with that name.
    pub(crate) fn simulated_in(silence: Duration, service: &str) -> Self {
        let port = free_port();
        let hooks = format!("http://127.0.0.1:{port}/hooks/{SECRET}");
        let sim = SimulatedSrs::start(&hooks);
        sim.service(service);
        let mut config = config(IngestKind::Srs, loopback(0), silence);
        config.srs.hooks_listen = loopback(port);
        config.srs.api_url = Some(SecretString::from(sim.url()));
        config.srs.http_url = Some(sim.url());
        config.srs.rtmp_url = Some("rtmp://127.0.0.1:1935/live".to_owned());
        sim.manner(|manner| manner.silence = Some(silence));
        Self::around(config, &hooks, Some(sim))
    }

    /// The real one, run by the production code with the project's own configuration file.
    fn real(silence: Duration) -> Self {
        let mut config = config(IngestKind::Srs, loopback(free_port()), silence);
        let hooks = loopback(free_port());
        config.srs.binary = support::real_srs().unwrap();
        config.srs.config = Path::new(env!("CARGO_MANIFEST_DIR")).join("srs.conf");
        config.srs.hooks_listen = hooks;
        config.srs.api_listen = loopback(free_port());
        config.srs.http_listen = loopback(free_port());
        config.srs.srt_listen = everywhere(free_udp_port());
        config.srs.rtc_listen = everywhere(free_udp_port());
        Self::around(config, &format!("http://{hooks}/hooks/{SECRET}"), None)
    }

    fn around(config: IngestConfig, hooks: &str, sim: Option<SimulatedSrs>) -> Self {
        let (runtime, data) = (Runtime::new().unwrap(), TempDir::new().unwrap());
        let (record, token, tracker) = (Arc::default(), CancellationToken::new(), TaskTracker::new());
        let ingest = open(&runtime, &config, data.path(), &record, &token, &tracker);
        let this = Self { config, sim, runtime, record, ingest, hooks: hooks.to_owned(), token, tracker, data };
        assert!(this.connections().is_empty(), "nobody is there at the start");
        this.opened();
        this
    }

    /// What the box does with an ingest that has just been started.
    fn opened(&self) {
        wait("the ingest to run", PATIENCE, || self.ingest.state().borrow().status.running.then_some(()));
    }

    /// The box ends, and another one begins with the same configuration and data. Gives the connections that it was told of first; what
    /// was seen before is forgotten.
    pub(crate) fn restart(&mut self) -> Vec<ConnectionId> {
        self.stop();
        self.record = Arc::default();
        (self.token, self.tracker) = (CancellationToken::new(), TaskTracker::new());
        self.ingest = open(&self.runtime, &self.config, self.data.path(), &self.record, &self.token, &self.tracker);
        let connections = self.connections();
        self.opened();
        connections
    }

    fn runs_srs(&self) -> bool {
        self.config.kind == IngestKind::Srs && self.sim.is_none()
    }

    /// An encoder asks to publish.
    pub(crate) fn publish(&self, app: &str, key: &str) -> Result<Guest, String> {
        if let Some(sim) = &self.sim {
            return sim.publish(app, key).map(Guest::Simulated).map_err(|refusal: Refusal| format!("{refusal:?}"));
        }
        match Publisher::publish(self.config.rtmp_listen, app, key) {
            Ok(publisher) => Ok(Guest::Wire(Box::new(publisher))),
            Err(PublishError::Refused { description, .. }) => Err(description),
            Err(PublishError::Io(error)) => Err(error.to_string()),
        }
    }

    /// The same with a key that is let in, and its connection.
    #[track_caller]
    pub(crate) fn guest(&self, key: &str) -> (Guest, ConnectionId) {
        let guest = self.publish("live", key).unwrap();
        let id = self.published(key);
        (guest, id)
    }

    /// What happened so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.record.lock().unwrap().seen.clone()
    }

    /// Applications that were asked for.
    pub(crate) fn apps(&self) -> Vec<String> {
        self.record.lock().unwrap().apps.clone()
    }

    /// Where media would fetch a connection's stream.
    pub(crate) fn address(&self, id: &ConnectionId) -> Option<String> {
        self.record.lock().unwrap().addresses.get(id).cloned()
    }

    /// Pulls a connection's stream as media does, if that is what media has to do. Ends with its owner.
    pub(crate) fn play(&self, id: &ConnectionId) -> Option<Player> {
        let address = self.address(id)?;
        Some(Player::start(&address))
    }

    /// The last figures of a connection that nobody pulls.
    pub(crate) fn figures(&self, id: &ConnectionId) -> Option<RemoteFigures> {
        self.record.lock().unwrap().figures.get(id).cloned()
    }

    /// Waits until `find` finds something in what happened.
    #[track_caller]
    pub(crate) fn until<T>(&self, what: &str, patience: Duration, mut find: impl FnMut(&[Seen]) -> Option<T>) -> T {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(found) = find(&self.seen()) {
                return found;
            }
            assert!(Instant::now() < deadline, "waited {patience:?} in vain for {what}: {:#?}", self.seen());
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// The last connection that asked with `key`.
    #[track_caller]
    pub(crate) fn published(&self, key: &str) -> ConnectionId {
        self.until(&format!("a publish of {key}"), PATIENCE, |seen| {
            seen.iter().rev().find_map(|seen| match seen {
                Seen::Publish(id, other) if other == key => Some(id.clone()),
                _ => None,
            })
        })
    }

    #[track_caller]
    pub(crate) fn unpublished_within(&self, id: &ConnectionId, patience: Duration) {
        self.until(&format!("the unpublish of {id}"), patience, |seen| {
            seen.contains(&Seen::Unpublish(id.clone())).then_some(())
        });
    }

    #[track_caller]
    pub(crate) fn unpublished(&self, id: &ConnectionId) {
        self.unpublished_within(id, PATIENCE);
    }

    /// What the director was asked and told of one connection, and what media saw of it. Nothing more comes: it was waited for.
    pub(crate) fn story(&self, id: &ConnectionId) -> Vec<Seen> {
        thread::sleep(Duration::from_millis(150));
        let of = |seen: &Seen| match seen {
            Seen::Publish(other, _)
            | Seen::Trouble(other, _)
            | Seen::Unpublish(other)
            | Seen::Opened(other)
            | Seen::Closed(other) => other == id,
        };
        self.seen().into_iter().filter(of).collect()
    }

    /// The connections it says it has.
    pub(crate) fn connections(&self) -> Vec<ConnectionId> {
        let mut connections = self.runtime.block_on(self.ingest.connections());
        connections.sort();
        connections
    }

    pub(crate) fn disconnect(&self, id: &ConnectionId, reason: &str) {
        self.runtime.block_on(self.ingest.disconnect(id.clone(), reason.to_owned()));
    }

    /// Waits for all that the ingest has started.
    pub(crate) fn stop(&self) {
        self.token.cancel();
        self.tracker.close();
        self.runtime
            .block_on(async { tokio::time::timeout(seconds(5), self.tracker.wait()).await })
            .expect("every task ends within 5 s");
    }
}

/// Starts the ingest that `config` wants.
fn open(
    runtime: &Runtime,
    config: &IngestConfig,
    data: &Path,
    record: &Arc<Mutex<Record>>,
    token: &CancellationToken,
    tracker: &TaskTracker,
) -> Ingest {
    let (events, receiver) = mpsc::channel(64);
    let sinks = Arc::new(Sinks(Arc::clone(record)));
    let token = token.clone();
    runtime.spawn(direct(receiver, Arc::clone(record)));
    let (chosen, clock) = ("the test says so", Clock::start());
    runtime.block_on(async {
        if config.kind == IngestKind::Embedded {
            let listener = TcpListener::bind(config.rtmp_listen).await.unwrap();
            return embedded::start(listener, config, chosen, clock, sinks, events, token, tracker);
        }
        let chosen_because = chosen.to_owned();
        let parts = srs::Parts { config, data_dir: data, chosen_because, clock, sinks, events, token, tracker };
        srs::start(parts).await.unwrap()
    })
}

impl Drop for Venue {
    fn drop(&mut self) {
        if self.runs_srs() {
            // It outlives the box; not the test.
            let stop = async { tokio::time::timeout(seconds(10), self.ingest.stop_server()).await };
            let _ = self.runtime.block_on(stop);
            support::srs::end(self.config.srs.api_listen);
        }
        self.token.cancel();
    }
}

/// Whoever pulls a stream by HTTP: reads what comes, and is gone as soon as it ends.
pub(crate) struct Player(TcpStream);

impl Player {
    fn start(address: &str) -> Self {
        let rest = address.strip_prefix("http://").unwrap();
        let (host, path) = rest.split_once('/').unwrap();
        let mut socket = TcpStream::connect(host).unwrap();
        write!(socket, "GET /{path} HTTP/1.1\r\nHost: {host}\r\n\r\n").unwrap();
        let mut reader = socket.try_clone().unwrap();
        thread::spawn(move || {
            let _ = std::io::copy(&mut reader, &mut std::io::sink());
            // As media does: what has ended is closed.
            let _ = reader.shutdown(Shutdown::Both);
        });
        Self(socket)
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

impl Guest {
    /// Sends headers and some sound.
    pub(crate) fn media(&mut self) {
        if let Self::Wire(publisher) = self {
            publisher.send(AUDIO, 0, &[0xaf, 0, 0x11, 0x90]).unwrap();
            for n in 1..50 {
                publisher.send(AUDIO, n * 21, &[0xaf, 1, 1, 2, 3, 4]).unwrap();
            }
        }
    }

    /// Stops publishing as encoders do.
    pub(crate) fn stop(self) {
        match self {
            Self::Wire(publisher) => publisher.unpublish(),
            Self::Simulated(encoder) => drop(encoder),
        }
    }

    /// Is gone without a word.
    pub(crate) fn kill(self) {
        drop(self);
    }

    /// Sends nothing any more.
    pub(crate) fn freeze(&self) {
        if let Self::Simulated(encoder) = self {
            encoder.fall_silent();
        }
    }

    /// Waits until it is disconnected.
    #[track_caller]
    pub(crate) fn is_disconnected(&mut self) {
        match self {
            Self::Wire(publisher) => assert!(publisher.closed_within(PATIENCE), "it is still connected"),
            Self::Simulated(encoder) => {
                wait("a disconnect", PATIENCE, || (!encoder.is_connected()).then_some(()));
            }
        }
    }

    /// Whether it is connected, as far as it knows.
    pub(crate) fn is_connected(&mut self) -> bool {
        match self {
            Self::Wire(publisher) => !publisher.closed_within(Duration::from_millis(50)),
            Self::Simulated(encoder) => encoder.is_connected(),
        }
    }
}
