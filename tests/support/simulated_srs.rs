//! SRS as the box meets it, without SRS: its HTTP API, its hooks, and publishers that exist by word alone. What it says, and in which
//! order, is what SRS 7.0.18 was seen to say. It can also do what a healthy SRS never does.
//!
//! - A publisher is in the lists of clients and streams from before its `on_publish` is answered; only its stream's
//!   `publish.active` tells that it was let in.
//! - A second publisher of a stream that is live is asked for as any other, and refused as busy only after a yes. There is no
//!   `on_unpublish` for it, nor for one that was refused, or disconnected while its hook was open: then the hook is cut off.
//! - A publisher that left is listed until its `on_unpublish` is answered; its stream is free before that.
//! - An encoder that leaves while its hook is open is let in when the answer comes, and is gone in the same instant.
//! - A stream that somebody plays by HTTP is taken down 100 ms after its publisher left. Whoever is let in before that is refused,
//!   and the name is called busy from then on, until the process ends.
//! - Hooks of different publishers run at once; an answer that is not HTTP 200 with code 0 refuses, and so does none at all.
//! - Lists are in the order of the ids, ten a page unless more are asked for; fewer cannot be had.
//! - The end of its process is the end of every publisher, without a word.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use self::api::serve;
use super::flv;

mod api;

/// As SRS: how long it waits for the answer to a hook.
const HOOK_PATIENCE: Duration = Duration::from_secs(30);

/// How long SRS takes to take a stream down that is played.
const TAKEN_DOWN_WITHIN: Duration = Duration::from_millis(100);

/// How its API answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Answers {
    /// As SRS does.
    #[default]
    Fine,
    /// So much later.
    After(Duration),
    /// With what is no JSON.
    Garbage,
    /// With HTTP status 500.
    Failure,
    /// With JSON in which nothing is of the expected kind.
    Nonsense,
    /// A head that promises more than ever comes.
    Half,
    /// Never; the connection stays open.
    Never,
}

/// How it misbehaves.
#[expect(clippy::struct_excessive_bools, reason = "misdeeds that have nothing to do with each other")]
#[derive(Clone, Debug, Default)]
pub(crate) struct Manner {
    /// See [`Answers`].
    pub(crate) api: Answers,
    /// `on_unpublish` never arrives.
    pub(crate) lose_unpublish: bool,
    /// The answer to `on_publish` is lost on its way, so the publisher is refused although it was let in.
    pub(crate) lose_verdict: bool,
    /// Every hook is called twice.
    pub(crate) twice: bool,
    /// `on_unpublish` comes so much later.
    pub(crate) late_unpublish: Duration,
    /// Hooks and lists hold fields nobody knows, and there are actions nobody knows.
    pub(crate) strange: bool,
    /// A publisher that sends nothing for so long is dropped.
    pub(crate) silence: Option<Duration>,
}

#[derive(Clone, Debug)]
struct Client {
    id: String,
    app: String,
    key: String,
    /// The key's query with its `?`.
    param: String,
    live: bool,
    /// It has left; its `on_unpublish` is on its way.
    gone: bool,
    since: Instant,
    /// Set when it is disconnected while its hook is open.
    kicked: Arc<AtomicBool>,
}

impl Client {
    fn is(&self, other: &Self) -> bool {
        self.app == other.app && self.key == other.key
    }

    /// The path of its stream.
    fn stream(&self) -> String {
        format!("/{}/{}", self.app, self.key)
    }
}

struct State {
    hooks: String,
    service: String,
    clients: Vec<Client>,
    /// Who plays by HTTP-FLV: ids and paths of streams.
    players: Vec<(String, String)>,
    /// Streams that are being taken down, and until when.
    falling: Vec<(String, Instant)>,
    /// Streams whose name is lost.
    lost: Vec<String>,
    manner: Manner,
    /// What every stream holds, for those who play it.
    media: Option<PathBuf>,
    /// Hooks called, with the HTTP status and body of the answer; status 0: none.
    calls: Vec<(Value, u16, String)>,
}

struct Shared {
    state: Mutex<State>,
    made: AtomicU64,
    requests: AtomicU64,
    /// Counts its processes; what belongs to an earlier one ends.
    life: AtomicU64,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// An id as SRS makes them. Not in the order in which they are made.
    fn id(&self) -> String {
        let made = self.made.fetch_add(1, Ordering::Relaxed) + 1;
        format!("{:08x}", made.wrapping_mul(0x9e37_79b9) & 0xffff_ffff)
    }
}

/// The server. Ends with its owner.
pub(crate) struct SimulatedSrs {
    address: SocketAddr,
    shared: Arc<Shared>,
    listener: Option<(Arc<AtomicBool>, JoinHandle<()>)>,
}

/// Why a publish did not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The hook said no, or nothing.
    Hook,
    /// Somebody publishes that stream.
    Busy,
    /// The stream is being taken down.
    Falling,
    /// Disconnected while the hook was open.
    Kicked,
}

impl SimulatedSrs {
    /// Serves its API on a port of its own. `hooks` is the hooks' address.
    pub(crate) fn start(hooks: &str) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let state = State {
            hooks: hooks.to_owned(),
            service: "service-1".to_owned(),
            clients: Vec::new(),
            players: Vec::new(),
            falling: Vec::new(),
            lost: Vec::new(),
            manner: Manner::default(),
            media: None,
            calls: Vec::new(),
        };
        let shared = Shared {
            state: Mutex::new(state),
            made: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            life: AtomicU64::new(1),
        };
        let mut this = Self { address: listener.local_addr().unwrap(), shared: Arc::new(shared), listener: None };
        this.listen(listener);
        this
    }

    fn listen(&mut self, listener: TcpListener) {
        listener.set_nonblocking(true).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let (shared, stopped) = (self.shared.clone(), stop.clone());
        let life = shared.life.load(Ordering::Relaxed);
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                match listener.accept() {
                    Ok((socket, _)) => {
                        let shared = shared.clone();
                        // It ends with its connection, or with this life of the server.
                        thread::spawn(move || {
                            let _ = serve(&shared, socket, life);
                        });
                    }
                    Err(_) => thread::sleep(Duration::from_millis(2)),
                }
            }
        });
        self.listener = Some((stop, thread));
    }

    /// `http://127.0.0.1:PORT`: its API, and HTTP-FLV.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Changes how it behaves.
    pub(crate) fn manner(&self, change: impl FnOnce(&mut Manner)) {
        change(&mut self.shared.state().manner);
    }

    /// The name of its process's run from now on.
    pub(crate) fn service(&self, service: &str) {
        service.clone_into(&mut self.shared.state().service);
    }

    /// Serves `file`, from its beginning and again and again, to whoever plays a live stream.
    pub(crate) fn media(&self, file: PathBuf) {
        self.shared.state().media = Some(file);
    }

    /// Requests to its API so far.
    pub(crate) fn requests(&self) -> u64 {
        self.shared.requests.load(Ordering::Relaxed)
    }

    /// Hooks called so far, with what was answered.
    pub(crate) fn calls(&self) -> Vec<(Value, u16, String)> {
        self.shared.state().calls.clone()
    }

    /// The ids of the publishers that were let in, in the order in which they came.
    pub(crate) fn live(&self) -> Vec<String> {
        self.shared.state().clients.iter().filter(|client| client.live).map(|client| client.id.clone()).collect()
    }

    fn client(&self, app: &str, key: &str) -> Client {
        let (key, param) = key.split_once('?').map_or((key, String::new()), |(key, param)| (key, format!("?{param}")));
        Client {
            id: self.shared.id(),
            app: app.to_owned(),
            key: key.to_owned(),
            param,
            live: false,
            gone: false,
            since: Instant::now(),
            kicked: Arc::default(),
        }
    }

    /// An encoder publishes; it is there when this returns. `key` may carry a query.
    ///
    /// # Errors
    /// When it was refused.
    pub(crate) fn publish(&self, app: &str, key: &str) -> Result<SimulatedEncoder, Refusal> {
        let client = self.client(app, key);
        self.shared.state().clients.push(client.clone());
        ask(&self.shared, &client)?;
        Ok(SimulatedEncoder { shared: self.shared.clone(), client })
    }

    /// An encoder asks, and is gone before the answer; SRS notices only afterwards. Its id.
    pub(crate) fn publish_and_leave_at_once(&self, app: &str, key: &str) -> String {
        let client = self.client(app, key);
        self.shared.state().clients.push(client.clone());
        let (shared, id) = (self.shared.clone(), client.id.clone());
        thread::spawn(move || {
            if ask(&shared, &client).is_ok() {
                leave(&shared, &client.id);
            }
        });
        id
    }

    /// A publisher of whom nobody was told: its hook was answered by somebody else.
    pub(crate) fn appear(&self, app: &str, key: &str) -> SimulatedEncoder {
        self.appear_as(&self.shared.id(), app, key)
    }

    /// The same with an id of the test's choice.
    pub(crate) fn appear_as(&self, id: &str, app: &str, key: &str) -> SimulatedEncoder {
        let client = Client { id: id.to_owned(), live: true, ..self.client(app, key) };
        self.shared.state().clients.push(client.clone());
        SimulatedEncoder { shared: self.shared.clone(), client }
    }

    /// Calls a hook as it stands. The answer's HTTP status, 0 if there was none, and its body.
    pub(crate) fn call(&self, body: &Value) -> (u16, String) {
        call(&self.shared, body, &|| false)
    }

    /// Calls `action` for a client, whether that is true or not.
    pub(crate) fn hook(&self, action: &str, id: &str, app: &str, key: &str) -> (u16, String) {
        let client = Client { id: id.to_owned(), ..self.client(app, key) };
        let body = body(&self.shared.state(), action, &client);
        self.call(&body)
    }

    /// The process ends: everybody is gone, and nobody hears of it.
    pub(crate) fn die(&mut self) {
        self.shared.life.fetch_add(1, Ordering::Relaxed);
        let mut state = self.shared.state();
        state.clients.clear();
        state.lost.clear();
        drop(state);
        if let Some((stop, thread)) = self.listener.take() {
            stop.store(true, Ordering::Relaxed);
            thread.join().unwrap();
        }
    }

    /// Another process on the same port.
    pub(crate) fn come_back(&mut self) {
        self.shared.state().service = format!("service-{}", self.shared.life.load(Ordering::Relaxed));
        let listener = TcpListener::bind(self.address).unwrap();
        self.listen(listener);
    }
}

impl Drop for SimulatedSrs {
    fn drop(&mut self) {
        self.die();
    }
}

/// A publisher that was let in. Leaves with its owner.
pub(crate) struct SimulatedEncoder {
    shared: Arc<Shared>,
    client: Client,
}

impl SimulatedEncoder {
    /// SRS's name for it.
    pub(crate) fn id(&self) -> &str {
        &self.client.id
    }

    /// Whether it is still connected.
    pub(crate) fn is_connected(&self) -> bool {
        self.shared.state().clients.iter().any(|client| client.id == self.client.id && !client.gone)
    }

    /// Sends nothing from now on, and stays connected until the server drops it.
    pub(crate) fn fall_silent(&self) {
        let Some(silence) = self.shared.state().manner.silence else { return };
        let (shared, id) = (self.shared.clone(), self.client.id.clone());
        thread::spawn(move || {
            thread::sleep(silence);
            leave(&shared, &id);
        });
    }
}

impl Drop for SimulatedEncoder {
    fn drop(&mut self) {
        leave(&self.shared, &self.client.id);
    }
}

/// The hook, and what SRS makes of its answer.
fn ask(shared: &Arc<Shared>, client: &Client) -> Result<(), Refusal> {
    let life = shared.life.load(Ordering::Relaxed);
    let (message, lose) = {
        let state = shared.state();
        (body(&state, "on_publish", client), state.manner.lose_verdict)
    };
    let cut = || client.kicked.load(Ordering::Relaxed) || shared.life.load(Ordering::Relaxed) != life;
    let (status, text) = call(shared, &message, &cut);
    let code = serde_json::from_str::<Value>(&text).ok().and_then(|answer| answer["code"].as_i64());
    let mut state = shared.state();
    let remove = |state: &mut State| state.clients.retain(|other| other.id != client.id);
    if cut() {
        remove(&mut state);
        return Err(Refusal::Kicked);
    }
    if status != 200 || code != Some(0) || lose {
        remove(&mut state);
        return Err(Refusal::Hook);
    }
    let stream = client.stream();
    if state.clients.iter().any(|other| other.live && other.is(client)) || state.lost.contains(&stream) {
        remove(&mut state);
        return Err(Refusal::Busy);
    }
    let now = Instant::now();
    if state.falling.iter().any(|(other, until)| *other == stream && *until > now) {
        state.lost.push(stream);
        remove(&mut state);
        return Err(Refusal::Falling);
    }
    if let Some(here) = state.clients.iter_mut().find(|other| other.id == client.id) {
        here.live = true;
        here.since = Instant::now();
    }
    let forward = state.manner.strange.then(|| body(&state, "on_forward", client));
    drop(state);
    if let Some(forward) = forward {
        call(shared, &forward, &|| false);
    }
    Ok(())
}

/// A client goes, for whatever reason. One that was let in is told of, by a hook of its own, at the same time as whatever else; it is
/// listed until that is answered, but its stream is free at once.
fn leave(shared: &Arc<Shared>, id: &str) {
    let mut state = shared.state();
    let Some(index) = state.clients.iter().position(|client| client.id == id && !client.gone) else { return };
    let stream = state.clients[index].stream();
    if state.clients[index].live && state.players.iter().any(|(_, played)| *played == stream) {
        state.falling.push((stream, Instant::now() + TAKEN_DOWN_WITHIN));
    }
    if !state.clients[index].live || state.manner.lose_unpublish {
        state.clients[index].kicked.store(true, Ordering::Relaxed);
        state.clients.remove(index);
        return;
    }
    let client = &mut state.clients[index];
    (client.live, client.gone) = (false, true);
    let client = client.clone();
    let (message, late) = (body(&state, "on_unpublish", &client), state.manner.late_unpublish);
    let (shared, life) = (shared.clone(), shared.life.load(Ordering::Relaxed));
    thread::spawn(move || {
        thread::sleep(late);
        if shared.life.load(Ordering::Relaxed) == life {
            call(&shared, &message, &|| false);
        }
        shared.state().clients.retain(|other| other.id != client.id);
    });
}

fn body(state: &State, action: &str, client: &Client) -> Value {
    let mut body = json!({
        "server_id": "vid-simulated", "service_id": state.service, "action": action, "client_id": client.id,
        "ip": "127.0.0.1", "vhost": "__defaultVhost__", "app": client.app,
        "tcUrl": format!("rtmp://127.0.0.1:1935/{}", client.app), "stream": client.key, "param": client.param,
        "stream_url": format!("/{}/{}", client.app, client.key), "stream_id": format!("vid-{}", client.key),
    });
    if state.manner.strange {
        body["tomorrow"] = json!({ "a": [1, null, { "deep": "field" }] });
    }
    body
}

/// Posts a hook, twice if that is the manner; the answer to the first.
fn call(shared: &Shared, body: &Value, cut: &dyn Fn() -> bool) -> (u16, String) {
    let (hooks, twice) = {
        let state = shared.state();
        (state.hooks.clone(), state.manner.twice)
    };
    let answer = post(&hooks, body, cut).unwrap_or_default();
    if twice {
        let _ = post(&hooks, body, cut);
    }
    shared.state().calls.push((body.clone(), answer.0, answer.1.clone()));
    answer
}

/// One HTTP call, as SRS makes them: a connection each.
pub(crate) fn post(url: &str, body: &Value, cut: &dyn Fn() -> bool) -> io::Result<(u16, String)> {
    let rest = url.trim_start_matches("http://");
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let body = body.to_string();
    let mut socket = TcpStream::connect(host)?;
    socket.set_read_timeout(Some(Duration::from_millis(10)))?;
    write!(
        socket,
        "POST /{path} HTTP/1.1\r\nConnection: Keep-Alive\r\nContent-Length: {}\r\nContent-Type: application/json\r\n\
         Host: {host}\r\nUser-Agent: SRS/7.0.18(Hang)\r\n\r\n{body}",
        body.len()
    )?;
    let (begin, mut heard, mut buffer) = (Instant::now(), Vec::new(), [0; 4096]);
    loop {
        if let Some(answer) = answer_in(&heard) {
            return Ok(answer);
        }
        if cut() || begin.elapsed() > HOOK_PATIENCE {
            return Err(io::Error::from(io::ErrorKind::TimedOut));
        }
        match socket.read(&mut buffer) {
            Ok(0) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
            Ok(count) => heard.extend_from_slice(&buffer[..count]),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
            Err(error) => return Err(error),
        }
    }
}

/// Status and body of a whole answer.
fn answer_in(heard: &[u8]) -> Option<(u16, String)> {
    let text = String::from_utf8_lossy(heard);
    let (lines, body) = text.split_once("\r\n\r\n")?;
    let status = lines.split_whitespace().nth(1)?.parse().ok()?;
    let length = lines.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    (body.len() >= length.unwrap_or(0)).then(|| (status, body.to_owned()))
}
