//! The box itself: the real binary with a folder, ports and a configuration of its own.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::{free_port, free_udp_port, seconds, srs, wait};

/// `admin.token` of every box of the tests.
pub(crate) const TOKEN: &str = "the-tests-own-admin-token";

/// By which ingest a box takes its streamers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Through {
    /// The one in its process.
    Embedded,
    /// A real SRS that the box runs, with the project's configuration file. See [`super::real_srs`].
    Srs,
}

/// Where an SRS of a box of the tests has its doors.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SrsPorts {
    pub(crate) api: SocketAddr,
    pub(crate) http: SocketAddr,
    pub(crate) hooks: SocketAddr,
    pub(crate) srt: SocketAddr,
    pub(crate) rtc: SocketAddr,
}

impl SrsPorts {
    /// Free ones on loopback.
    pub(crate) fn free() -> Self {
        let tcp = || SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let udp = || SocketAddr::from((Ipv4Addr::LOCALHOST, free_udp_port()));
        Self { api: tcp(), http: tcp(), hooks: tcp(), srt: udp(), rtc: udp() }
    }
}

/// What a box is to be like.
pub(crate) struct Builder {
    program: PathBuf,
    settings: BTreeMap<String, String>,
    destinations: Vec<(String, String)>,
    srs: Option<SrsPorts>,
    environment: BTreeMap<String, String>,
}

impl Builder {
    /// Its ingest; the embedded one if nothing is said.
    pub(crate) fn through(mut self, ingest: Through) -> Self {
        if ingest == Through::Embedded {
            return self.set("ingest.kind", "embedded");
        }
        let ports = SrsPorts::free();
        self.srs = Some(ports);
        let program = super::real_srs().expect("a test that needs a real SRS looks for one first");
        self.set("ingest.kind", "srs")
            .set("ingest.srs.binary", program.display())
            .set("ingest.srs.config", concat!(env!("CARGO_MANIFEST_DIR"), "/srs.conf"))
            .srs_at(&ports)
    }

    /// Where an SRS of its own is to have its doors.
    pub(crate) fn srs_at(self, ports: &SrsPorts) -> Self {
        // SRS takes UDP on all addresses or on none.
        let everywhere = |address: SocketAddr| SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port()));
        self.set("ingest.srs.api_listen", ports.api)
            .set("ingest.srs.http_listen", ports.http)
            .set("ingest.srs.hooks_listen", ports.hooks)
            .set("ingest.srs.srt_listen", everywhere(ports.srt))
            .set("ingest.srs.rtc_listen", everywhere(ports.rtc))
    }

    /// A configuration key, for example `queue.turn_seconds`.
    pub(crate) fn set(mut self, key: &str, value: impl std::fmt::Display) -> Self {
        self.settings.insert(key.to_owned(), value.to_string());
        self
    }

    /// A variable of its environment that is no configuration.
    pub(crate) fn environment(mut self, name: &str, value: impl std::fmt::Display) -> Self {
        self.environment.insert(name.to_owned(), value.to_string());
        self
    }

    /// Leaves a key at its default.
    pub(crate) fn without(mut self, key: &str) -> Self {
        self.settings.remove(key);
        self
    }

    /// A destination from the configuration file.
    pub(crate) fn destination(mut self, name: &str, url: &str) -> Self {
        self.destinations.push((name.to_owned(), url.to_owned()));
        self
    }

    /// Starts it and waits until it is ready.
    pub(crate) fn start(self) -> TheBox {
        let mut this = self.start_hindered();
        this.wait_ready();
        this
    }

    /// Starts it and waits until it answers, whether encoders can connect or not.
    pub(crate) fn start_hindered(self) -> TheBox {
        let folder = TempDir::new().unwrap();
        let mut text = String::new();
        for (name, url) in &self.destinations {
            write!(text, "[[destinations]]\nname = \"{name}\"\nurl = \"{url}\"\nkey = \"key-of-{name}\"\n\n").unwrap();
        }
        fs::write(folder.path().join("motherstream.toml"), text).unwrap();
        let slate = KeptSlate::of(&self.program);
        slate.lay_into(folder.path());
        let (web, rtmp) = (free_port(), free_port());
        let mut this = TheBox {
            program: self.program,
            settings: self.settings,
            environment: self.environment,
            api: Api::new(web),
            rtmp: SocketAddr::from(([127, 0, 0, 1], rtmp)),
            srs: self.srs,
            folder,
            child: None,
            started: Instant::now(),
        };
        this.boot();
        this.wait_answers();
        slate.keep_that_of(this.folder.path());
        this
    }
}

/// The slate that a box drew and keeps, for the next box of the same program. A new folder would have it drawn anew, which without
/// optimisation takes longer than all the rest of a start. The box draws its own all the same where its settings want another one.
struct KeptSlate(PathBuf);

impl KeptSlate {
    fn of(program: &Path) -> Self {
        Self(program.with_extension("slate-of-tests"))
    }

    fn inside(folder: &Path) -> PathBuf {
        folder.join("data/slate.kept")
    }

    fn lay_into(&self, folder: &Path) {
        if self.0.exists() {
            fs::create_dir(folder.join("data")).unwrap();
            fs::copy(&self.0, Self::inside(folder)).unwrap();
        }
    }

    fn keep_that_of(&self, folder: &Path) {
        // None where the test is about a folder that takes nothing.
        let Ok(drawn) = fs::read(Self::inside(folder)) else { return };
        if fs::read(&self.0).is_ok_and(|kept| kept == drawn) {
            return;
        }
        // Tests run beside each other: whole or not at all.
        let own = self.0.with_extension(std::process::id().to_string());
        fs::write(&own, drawn).unwrap();
        fs::rename(own, &self.0).unwrap();
    }
}

/// A running box. Ends with its owner, who is told what it said if the test has failed.
pub(crate) struct TheBox {
    program: PathBuf,
    settings: BTreeMap<String, String>,
    environment: BTreeMap<String, String>,
    pub(crate) api: Api,
    /// Where encoders connect.
    pub(crate) rtmp: SocketAddr,
    /// Where its SRS has its doors, if it runs one.
    pub(crate) srs: Option<SrsPorts>,
    folder: TempDir,
    child: Option<Child>,
    /// When the process was started last.
    pub(crate) started: Instant,
}

impl TheBox {
    /// A box of the program that is under test.
    pub(crate) fn builder() -> Builder {
        Self::of(Path::new(env!("CARGO_BIN_EXE_motherstream")))
    }

    /// A box of another build.
    pub(crate) fn of(program: &Path) -> Builder {
        let builder = Builder {
            program: program.to_owned(),
            settings: BTreeMap::new(),
            destinations: Vec::new(),
            srs: None,
            environment: BTreeMap::new(),
        };
        builder.set("ingest.kind", "embedded").set("admin.token", TOKEN)
    }

    /// Starts the process, which must not run.
    pub(crate) fn boot(&mut self) {
        assert!(self.child.is_none(), "the box runs already");
        let log = File::options().create(true).append(true).open(self.log_path()).unwrap();
        let mut command = self.invocation("run");
        self.started = Instant::now();
        let child = command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        self.child = Some(child);
    }

    /// What runs one of its commands, as its user would.
    pub(crate) fn invocation(&self, command_name: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--config").arg(self.folder.path().join("motherstream.toml")).arg(command_name);
        command.current_dir(self.folder.path()).env_clear();
        for name in ["PATH", "HOME", "LANG", "XDG_CACHE_HOME", "RUST_BACKTRACE", "LD_LIBRARY_PATH"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command.envs(&self.environment);
        let set = |key: &str| format!("MOTHERSTREAM_{}", key.to_uppercase().replace('.', "__"));
        command.env(set("data_dir"), self.folder.path().join("data"));
        command.env(set("web.listen"), format!("127.0.0.1:{}", self.api.port));
        // Several boxes run at once.
        command.env(set("web.https_listen"), "off");
        command.env(set("ingest.rtmp_listen"), self.rtmp.to_string());
        for (key, value) in &self.settings {
            command.env(set(key), value);
        }
        command
    }

    /// Waits until it serves.
    pub(crate) fn wait_ready(&mut self) {
        // Without a token of ours, by the key that every program of this account can read.
        let token = self.settings.get("admin.token").cloned();
        let runtime = self.environment.get("RUNTIME_DIRECTORY").map_or_else(|| self.data(), PathBuf::from);
        let key = runtime.join("machine-key");
        let token = move || token.clone().or_else(|| fs::read_to_string(&key).ok()).unwrap_or_default();
        self.wait_for("ready", |api| api.is_ready(token().trim()));
    }

    /// Waits until it answers, which it does before encoders can connect.
    pub(crate) fn wait_answers(&mut self) {
        self.wait_for("there", |api| api.try_call(&Method::GET, "/healthz", None).is_ok());
    }

    fn wait_for(&mut self, what: &str, so: impl Fn(&Api) -> bool) {
        let deadline = Instant::now() + seconds(20);
        while !so(&self.api) {
            if let Some(status) = self.child.as_mut().unwrap().try_wait().unwrap() {
                panic!("the box ended while starting: {status}\n{}", self.log());
            }
            assert!(Instant::now() < deadline, "the box is not {what} after 20 s\n{}", self.log());
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// Whether it still runs.
    pub(crate) fn is_alive(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| child.try_wait().unwrap().is_none())
    }

    /// Asks it to stop, and waits for at most 10 s.
    pub(crate) fn stop(&mut self) -> ExitStatus {
        self.end(Signal::SIGTERM)
    }

    /// Sends it a signal that ends it, and waits for at most 10 s.
    pub(crate) fn end(&mut self, signal: Signal) -> ExitStatus {
        let mut child = self.child.take().unwrap();
        kill(Pid::from_raw(child.id() as i32), signal).unwrap();
        wait("the box to stop", seconds(10), || child.try_wait().unwrap())
    }

    /// Kills it with SIGKILL.
    pub(crate) fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// The URL a streamer with `key` publishes to.
    pub(crate) fn publish_url(&self, key: &str) -> String {
        format!("rtmp://{}/live/{key}", self.rtmp)
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// The folder that stands for the data partition.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The publishers that its SRS has let in: ids and keys, sorted by key.
    pub(crate) fn srs_publishers(&self) -> Vec<(String, String)> {
        srs::publishers(self.srs.unwrap().api)
    }

    /// The process of its SRS, if one answers.
    pub(crate) fn srs_pid(&self) -> Option<u32> {
        srs::pid(self.srs.unwrap().api)
    }

    /// Runs the program with another command, as its user would, and gives whether it was content and what it printed.
    pub(crate) fn command(&self, name: &str) -> (bool, String) {
        let output = self.invocation(name).stdin(Stdio::null()).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&text).into_owned())
    }

    /// What it printed.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// Memory that is the process's own and backed by no file, in bytes.
    pub(crate) fn anonymous_memory(&self) -> u64 {
        process_kilobytes(self.pid(), "RssAnon:") * 1024
    }
}

impl Drop for TheBox {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if let Some(ports) = self.srs {
            // It outlives the box; not the test.
            srs::end(ports.api);
        }
        if thread::panicking() {
            let log = self.log();
            let lines: Vec<_> = log.lines().collect();
            eprintln!("--- what the box said (last lines)\n{}", lines[lines.len().saturating_sub(80)..].join("\n"));
        }
    }
}

/// A field of `/proc/PID/status` in kilobytes.
pub(crate) fn process_kilobytes(pid: u32, field: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// CPU time that a process has used, all threads, user and system.
pub(crate) fn cpu_time(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // The name, which may hold anything, stands in brackets before the numbers.
    let fields: Vec<_> = stat[stat.rfind(')').unwrap() + 2..].split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    // Linux has counted them in hundredths of a second for user space on every platform for decades.
    Duration::from_millis(ticks * 10)
}

/// Notes who is on air and who waits, whenever it changes; for a failure's message. Ends with its owner.
pub(crate) struct Diary {
    stop: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Diary {
    /// Looks ten times a second.
    pub(crate) fn keep(the_box: &TheBox) -> Self {
        let api = the_box.api.clone();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = thread::spawn(move || {
            let (begin, mut last) = (Instant::now(), String::new());
            while !stopped.load(Ordering::Relaxed) {
                if let Ok((200, queue)) = api.try_call(&Method::GET, "/api/v1/queue", None) {
                    let turn = &queue["on_air"];
                    let waiting = queue["waiting"].as_array().into_iter().flatten();
                    let waiting: Vec<_> =
                        waiting.map(|entry| format!("{} {}", entry["name"], entry["presence"])).collect();
                    let entry = &turn["entry"];
                    let flags = format!(
                        "running {} suspended {} stalled {}",
                        turn["running"], turn["suspended"], turn["stalled"]
                    );
                    let now = format!("{} {} {flags}; {}", entry["name"], entry["presence"], waiting.join(", "));
                    if now != last {
                        eprintln!("diary {:7.2} s: {now}", begin.elapsed().as_secs_f64());
                        last = now;
                    }
                }
                thread::sleep(Duration::from_millis(100));
            }
        });
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Diary {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A streamer.
#[derive(Clone, Debug)]
pub(crate) struct Streamer {
    pub(crate) id: Value,
    pub(crate) name: String,
    pub(crate) key: String,
}

/// The HTTP API, spoken as an administrator: with the token of the tests' boxes, or with the cookie of whoever has claimed one.
pub(crate) struct Api {
    port: u16,
    cookie: Option<String>,
    runtime: Runtime,
    client: reqwest::Client,
}

impl Clone for Api {
    /// Another client of the same box, for another thread.
    fn clone(&self) -> Self {
        Self { cookie: self.cookie.clone(), ..Self::new(self.port) }
    }
}

impl Api {
    /// Of a box that was claimed by a person, who is signed in with `cookie`.
    pub(crate) fn signed_in(port: u16, cookie: &str) -> Self {
        Self { cookie: Some(cookie.to_owned()), ..Self::new(port) }
    }

    pub(crate) fn new(port: u16) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        // Nobody drives the runtime between two calls, so a connection that the box closes meanwhile would be used again.
        let client = reqwest::Client::builder().timeout(seconds(10)).pool_max_idle_per_host(0).build().unwrap();
        Self { port, cookie: None, runtime, client }
    }

    /// Where the page and the API are.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The address of `path`.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    fn is_ready(&self, token: &str) -> bool {
        let request = self.client.get(self.url("/readyz")).bearer_auth(token);
        self.runtime.block_on(async { request.send().await }).is_ok_and(|answer| answer.status() == 200)
    }

    /// One call; the answer's body as JSON, or as text in a JSON string. An error when there was no answer.
    pub(crate) fn try_call(&self, method: &Method, path: &str, body: Option<&Value>) -> Result<(u16, Value), String> {
        let request = self.client.request(method.clone(), self.url(path));
        let mut request = match &self.cookie {
            Some(cookie) => request.header("cookie", cookie),
            None => request.bearer_auth(TOKEN),
        };
        if let Some(body) = body {
            request = request.json(body);
        }
        self.runtime.block_on(async {
            let response = request.send().await.map_err(|error| error.to_string())?;
            let status = response.status().as_u16();
            let text = response.text().await.map_err(|error| error.to_string())?;
            Ok((status, serde_json::from_str(&text).unwrap_or(Value::String(text))))
        })
    }

    /// One call that must be answered with success.
    #[track_caller]
    pub(crate) fn call(&self, method: &Method, path: &str, body: Option<&Value>) -> Value {
        let (status, answer) = self.try_call(method, path, body).unwrap();
        assert!((200..300).contains(&status), "{method} {path} {body:?}: {status} {answer}");
        answer
    }

    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> Value {
        self.call(&Method::GET, path, None)
    }

    #[track_caller]
    pub(crate) fn post(&self, path: &str, body: &Value) -> Value {
        self.call(&Method::POST, path, Some(body))
    }

    #[track_caller]
    pub(crate) fn put(&self, path: &str, body: &Value) -> Value {
        self.call(&Method::PUT, path, Some(body))
    }

    /// Registers a streamer. With the administrator's token, which no rate limit holds back.
    #[track_caller]
    pub(crate) fn register(&self, name: &str) -> Streamer {
        let answer = self.post("/api/v1/accounts", &json!({ "name": name, "password": format!("{name}-password") }));
        let key = answer["stream_key"].as_str().unwrap().to_owned();
        Streamer { id: answer["id"].clone(), name: name.to_owned(), key }
    }

    /// Signs a registered streamer in and gives the cookie, as a header has it.
    #[track_caller]
    pub(crate) fn sign_in(&self, name: &str) -> String {
        let credentials = json!({ "name": name, "password": format!("{name}-password") });
        let request = self.client.post(self.url("/api/v1/session")).json(&credentials);
        let answer = self.runtime.block_on(async { request.send().await }).unwrap().error_for_status().unwrap();
        let cookie = answer.headers()["set-cookie"].to_str().unwrap();
        cookie.split(';').next().unwrap().to_owned()
    }

    /// The status that a GET with a cookie is answered.
    #[track_caller]
    pub(crate) fn status_with_cookie(&self, path: &str, cookie: &str) -> u16 {
        let request = self.client.get(self.url(path)).header("cookie", cookie);
        self.runtime.block_on(async { request.send().await }).unwrap().status().as_u16()
    }

    /// What is downloaded with a cookie.
    #[track_caller]
    pub(crate) fn bytes_with_cookie(&self, path: &str, cookie: &str) -> Vec<u8> {
        let request = self.client.get(self.url(path)).header("cookie", cookie);
        let answer = self.runtime.block_on(async { request.send().await?.error_for_status()?.bytes().await });
        answer.unwrap().to_vec()
    }

    /// Begins or ends the show.
    #[track_caller]
    pub(crate) fn show(&self, on: bool) {
        self.put("/api/v1/show", &json!({ "on": on }));
    }

    /// The queue as everybody sees it.
    #[track_caller]
    pub(crate) fn queue(&self) -> Value {
        self.get("/api/v1/queue")
    }

    /// Skips whoever is on air.
    #[track_caller]
    pub(crate) fn skip(&self) {
        self.post("/api/v1/queue/skip", &json!({}));
    }

    /// The name of whoever is on air and not suspended.
    #[track_caller]
    pub(crate) fn on_air(&self) -> Option<String> {
        let turn = &self.queue()["on_air"];
        let there = turn["suspended"] == json!(false);
        turn["entry"]["name"].as_str().filter(|_| there).map(ToOwned::to_owned)
    }

    /// Names of those who wait and can be taken.
    #[track_caller]
    pub(crate) fn ready(&self) -> Vec<String> {
        let queue = self.queue();
        let waiting = queue["waiting"].as_array().unwrap();
        let ready = waiting.iter().filter(|entry| entry["presence"] == "ready");
        ready.map(|entry| entry["name"].as_str().unwrap().to_owned()).collect()
    }

    /// The entry of a streamer, on air or waiting.
    #[track_caller]
    pub(crate) fn entry(&self, name: &str) -> Option<Value> {
        let queue = self.queue();
        let waiting = queue["waiting"].as_array().unwrap().iter();
        let mut entries = std::iter::once(&queue["on_air"]["entry"]).chain(waiting);
        entries.find(|entry| entry["name"] == name).cloned()
    }

    /// Waits until `name` is on air.
    #[track_caller]
    pub(crate) fn wait_on_air(&self, name: &str, patience: Duration) {
        wait(&format!("{name} to be on air"), patience, || (self.on_air().as_deref() == Some(name)).then_some(()));
    }

    /// Waits until `name` waits and can be taken.
    #[track_caller]
    pub(crate) fn wait_ready(&self, name: &str, patience: Duration) {
        wait(&format!("{name} to be ready"), patience, || self.ready().iter().any(|n| n == name).then_some(()));
    }

    /// Puts a streamer's entry on air now.
    #[track_caller]
    pub(crate) fn take(&self, name: &str) {
        let id = self.entry(name).unwrap()["id"].clone();
        self.post(&format!("/api/v1/queue/entries/{}/take", path_part(&id)), &json!({}));
    }
}

/// An id as a part of a path.
pub(crate) fn path_part(id: &Value) -> String {
    id.as_str().map_or_else(|| id.to_string(), ToOwned::to_owned)
}
