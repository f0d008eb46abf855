//! The keeper, with stand-ins for SRS (shell scripts), for its API and for `systemctl`; and with a real SRS where
//! `MOTHERSTREAM_TEST_SRS` names its program.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use axum::{Router, http::StatusCode, response::IntoResponse};
use secrecy::ExposeSecret;
use tempfile::TempDir;
use tracing::Level;

use super::*;
use crate::config::Sources;

const HOOKS: &str = "http://127.0.0.1:9/hooks/0123456789abcdef0123456789abcdef";

/// The real SRS to test with, if there is one.
fn real() -> Option<PathBuf> {
    let program = std::env::var_os("MOTHERSTREAM_TEST_SRS").filter(|program| !program.is_empty());
    if program.is_none() {
        eprintln!("SKIPPED, NOT TESTED: MOTHERSTREAM_TEST_SRS names no SRS; set it to the path of one");
    }
    program.map(PathBuf::from)
}

/// A port that is free now, and is not given to anybody who only wants to connect: SRS comes back to it.
fn port() -> u16 {
    let free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    std::iter::repeat_with(|| rand::random_range(10_000..32_000)).find(free).unwrap()
}

/// A folder, ports of its own, and whatever runs there.
struct Place {
    folder: TempDir,
    config: IngestConfig,
    limits: Limits,
    systemctl: PathBuf,
    hooks: String,
}

impl Place {
    /// With `program` as SRS.
    fn new(program: &Path) -> Self {
        let folder = TempDir::new().unwrap();
        let mut config =
            Sources { file: None, fallback: "/nowhere".into(), environment: Vec::new() }.load().unwrap().config.ingest;
        let listen = || format!("127.0.0.1:{}", port()).parse().unwrap();
        config.rtmp_listen = listen();
        config.srs.api_listen = listen();
        config.srs.http_listen = listen();
        config.srs.srt_listen = listen();
        config.srs.rtc_listen = listen();
        program.clone_into(&mut config.srs.binary);
        config.srs.config = Path::new(env!("CARGO_MANIFEST_DIR")).join("srs.conf");
        let second = Duration::from_secs(1);
        let limits = Limits { frozen: second * 3, up: second * 10, patience: second * 3 };
        Self { folder, config, limits, systemctl: "/bin/false".into(), hooks: HOOKS.to_owned() }
    }

    /// With a stand-in: a shell script that does `what` when it is started as SRS, and answers `-v` with 7.0.0.
    fn stand_in(what: &str) -> Self {
        let mut place = Self::new(Path::new("/bin/false"));
        place.config.srs.binary =
            place.script("stand-in-srs", &format!("[ \"$1\" = -v ] && echo 7.0.0 && exit\n{what}"));
        place
    }

    fn script(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    fn srs_folder(&self) -> PathBuf {
        self.folder.path().join("srs")
    }

    /// A supervisor's part.
    fn keep(&self) -> Kept {
        let token = CancellationToken::new();
        let parts = Parts {
            config: self.config.clone(),
            folder: self.srs_folder(),
            api: Api::new(&format!("http://{}", self.config.srs.api_listen)).unwrap(),
            hooks_url: SecretString::from(self.hooks.as_str()),
            tracker: TaskTracker::new(),
            token: token.clone(),
        };
        Kept { server: Server::keep_with(parts, self.limits, self.systemctl.clone()), token }
    }

    fn pid(&self) -> u32 {
        fs::read_to_string(self.srs_folder().join("srs.pid")).unwrap().trim().parse().unwrap()
    }

    fn log(&self) -> String {
        fs::read_to_string(self.srs_folder().join(LOG_FILE)).unwrap_or_default()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Ok(pid) = fs::read_to_string(self.srs_folder().join("srs.pid")) {
            signal(pid.trim().parse().unwrap_or(0), rustix::process::Signal::KILL);
        }
    }
}

fn signal(pid: u32, signal: rustix::process::Signal) {
    if let Some(pid) = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()) {
        let _ = rustix::process::kill_process(pid, signal);
    }
}

fn lives(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

/// A supervisor that keeps a server. Dropped, it is gone as one that was killed.
struct Kept {
    server: Server,
    token: CancellationToken,
}

impl Kept {
    async fn state<T>(&mut self, within: Duration, wanted: impl Fn(&ServerState) -> Option<T>) -> T {
        let state = self.server.state.clone();
        let found = async {
            let mut state = self.server.state.clone();
            loop {
                if let Some(found) = wanted(&state.borrow_and_update()) {
                    return found;
                }
                state.changed().await.unwrap();
            }
        };
        timeout(within, found).await.unwrap_or_else(|_| panic!("it is {:?}", state.borrow()))
    }

    async fn runs(&mut self) -> Running {
        self.state(Duration::from_secs(15), |state| match state {
            ServerState::Running(running) => Some(running.clone()),
            _ => None,
        })
        .await
    }

    async fn down(&mut self) -> String {
        self.state(Duration::from_secs(15), |state| match state {
            ServerState::Down { problem, .. } => Some(problem.clone()),
            _ => None,
        })
        .await
    }

    async fn stop(self) {
        let (answer, answered) = oneshot::channel();
        self.server.stop.send(answer).await.unwrap();
        answered.await.unwrap();
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.token.cancel();
    }
}

/// Stands in for SRS's API: answers for the process that the pid file names, with the name that it was started with.
struct StandInApi {
    answers: Arc<AtomicBool>,
    token: CancellationToken,
}

impl StandInApi {
    fn of(place: &Place) -> Self {
        Self::versioned(place, "7.0.0")
    }

    fn versioned(place: &Place, version: &'static str) -> Self {
        let (answers, token) = (Arc::new(AtomicBool::new(true)), CancellationToken::new());
        let pid_file = place.srs_folder().join("srs.pid");
        let shared = answers.clone();
        let answer = move || async move {
            let pid: u32 = fs::read_to_string(&pid_file).unwrap_or_default().trim().parse().unwrap_or(0);
            if !shared.load(Ordering::Relaxed) || !lives(pid) {
                return StatusCode::SERVICE_UNAVAILABLE.into_response();
            }
            let name = Process::other(pid).and_then(|process| process.name().map(str::to_owned)).unwrap_or_default();
            let head = format!(r#""code":0,"server":"{name}","service":"s{pid}","pid":"{pid}""#);
            let own = format!(r#"{{"version":"{version}","pid":{pid},"ppid":1,"argv":"srs","cwd":"/"}}"#);
            format!(r#"{{{head},"clients":[],"data":{{"ok":true,"self":{own}}}}}"#).into_response()
        };
        // Where a place is looked at, its ports must be free: the stand-in of the API listens while the stand-in of SRS runs.
        let (address, ended) = (place.config.srs.api_listen, token.clone());
        let pid_file = place.srs_folder().join("srs.pid");
        tokio::spawn(async move {
            loop {
                let pid = || fs::read_to_string(&pid_file).ok()?.trim().parse().ok();
                while !pid().is_some_and(lives) {
                    sleep(Duration::from_millis(5)).await;
                }
                let listener = tokio::net::TcpListener::bind(address).await.unwrap();
                let serving = axum::serve(listener, Router::new().fallback(answer.clone()));
                let over = async {
                    while pid().is_some_and(lives) {
                        sleep(Duration::from_millis(5)).await;
                    }
                };
                tokio::select! {
                    _ = serving.into_future() => {}
                    () = over => {}
                    () = ended.cancelled() => return,
                }
            }
        });
        Self { answers, token }
    }
}

impl Drop for StandInApi {
    fn drop(&mut self) {
        self.token.cancel();
    }
}

/// A stand-in that runs for ever.
const RUNS: &str = "echo $$ > \"$SRS_PID\"\nwhile :; do sleep 0.05; done";

#[tokio::test]
async fn missing_program_is_told_with_what_to_do() {
    let mut kept = Place::new(Path::new("/no/such/srs")).keep();
    let problem = kept.down().await;
    assert!(problem.contains("/no/such/srs") && problem.contains("ingest.srs.binary"), "{problem}");
}

#[tokio::test]
async fn missing_configuration_is_told_with_what_to_do() {
    let mut place = Place::stand_in(RUNS);
    place.config.srs.config = "/no/such.conf".into();
    let problem = place.keep().down().await;
    assert!(problem.contains("/no/such.conf") && problem.contains("ingest.srs.config"), "{problem}");
}

#[tokio::test]
async fn old_server_is_refused() {
    let mut place = Place::new(Path::new("/bin/false"));
    place.config.srs.binary = place.script("stand-in-srs", "echo 5.0.213");
    let problem = place.keep().down().await;
    assert!(problem.contains("5.0.213") && problem.contains("6.0"), "{problem}");
}

#[tokio::test]
async fn what_a_server_says_at_its_end_is_the_problem_without_keys() {
    let place = Place::stand_in(&format!(
        "echo '[2026-11-22 19:01:04.149][ERROR][1][p9g566tr][2] Failed, code=1023(ConfigInvalid) : illegal vhost.bogus for {HOOKS}'\nexit 3"
    ));
    let mut kept = place.keep();
    let problem = kept.down().await;
    assert!(problem.contains("illegal vhost.bogus") && problem.contains("exit status: 3"), "{problem}");
    assert!(!problem.contains("0123456789abcdef"), "{problem}");
}

#[tokio::test]
async fn foreign_program_on_a_port_is_named() {
    let place = Place::stand_in(RUNS);
    let _taken = TcpListener::bind(place.config.rtmp_listen).unwrap();
    let problem = place.keep().down().await;
    let own = format!("(process {})", std::process::id());
    assert!(problem.contains("ingest.rtmp_listen") && problem.contains(&own), "{problem}");
}

#[tokio::test]
async fn server_is_back_within_a_second_of_being_killed() {
    let place = Place::stand_in(RUNS);
    let _api = StandInApi::of(&place);
    let mut kept = place.keep();
    let first = kept.runs().await;
    assert!(!first.adopted && first.restarts == 0);

    let began = Instant::now();
    signal(place.pid(), rustix::process::Signal::KILL);
    let problem = kept.down().await;
    assert!(problem.contains("signal: 9"), "{problem}");
    let second = kept.runs().await;
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    assert_ne!(first.identity, second.identity);
    assert!(!second.adopted && second.restarts == 1);
    kept.stop().await;
    assert!(!lives(place.pid()));
}

#[tokio::test]
async fn server_outlives_its_keeper_and_is_found_again_at_once() {
    let place = Place::stand_in(RUNS);
    let _api = StandInApi::of(&place);
    let mut kept = place.keep();
    let first = kept.runs().await;
    drop(kept);
    sleep(Duration::from_millis(200)).await;

    let began = Instant::now();
    let mut next = place.keep();
    let found = next.runs().await;
    assert!(began.elapsed() < Duration::from_millis(300), "{:?}", began.elapsed());
    assert_eq!(found.identity, first.identity);
    assert!(found.adopted && found.restarts == 0);

    // The end of one that is no child of ours is noticed as well.
    signal(place.pid(), rustix::process::Signal::KILL);
    next.down().await;
    assert_eq!(next.runs().await.restarts, 1);
    next.stop().await;
}

#[tokio::test]
async fn server_with_other_addresses_is_replaced_at_once() {
    let mut place = Place::stand_in(RUNS);
    let _api = StandInApi::of(&place);
    let first = place.keep().runs().await;
    place.config.rtmp_listen.set_port(port());
    let mut next = place.keep();
    let second = next.runs().await;
    assert_ne!(first.identity.pid, second.identity.pid);
    assert!(!second.adopted && !lives(first.identity.pid));
    next.stop().await;
}

#[tokio::test]
async fn server_with_other_settings_is_replaced_when_nobody_publishes() {
    let mut place = Place::stand_in(RUNS);
    let _api = StandInApi::of(&place);
    let first = place.keep().runs().await;
    place.config.silence_seconds += 1;
    let mut next = place.keep();
    let adopted = next.runs().await;
    assert_eq!(adopted.identity, first.identity);
    let problem = next.down().await;
    assert!(problem.contains("settings"), "{problem}");
    assert_ne!(next.runs().await.identity.server, first.identity.server);
    next.stop().await;
}

#[tokio::test]
async fn frozen_server_is_ended_and_started_again() {
    let place = Place::stand_in(&format!("trap '' TERM\n{RUNS}"));
    let api = StandInApi::of(&place);
    let mut kept = place.keep();
    let first = kept.runs().await;
    api.answers.store(false, Ordering::Relaxed);
    let problem = kept.down().await;
    assert!(problem.contains("did not answer"), "{problem}");
    // It does not heed TERM.
    timeout(Duration::from_secs(8), async {
        while lives(first.identity.pid) {
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .unwrap();
    api.answers.store(true, Ordering::Relaxed);
    assert_ne!(kept.runs().await.identity, first.identity);
    kept.stop().await;
}

#[tokio::test]
async fn secret_is_in_no_argument_and_the_process_in_a_session_of_its_own() {
    let place = Place::stand_in(RUNS);
    let _api = StandInApi::of(&place);
    let mut kept = place.keep();
    let pid = kept.runs().await.identity.pid;
    let arguments = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
    assert!(!arguments.contains("0123456789abcdef"), "{arguments}");
    let environment = fs::read_to_string(format!("/proc/{pid}/environ")).unwrap();
    assert!(environment.contains("0123456789abcdef"));
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    assert!(limits.lines().any(|line| line.starts_with("Max file size") && line.contains("16777216")), "{limits}");
    let session = rustix::process::getsid(rustix::process::Pid::from_raw(i32::try_from(pid).unwrap())).unwrap();
    assert_eq!(session.as_raw_nonzero().get().unsigned_abs(), pid);
    kept.stop().await;
}

#[tokio::test]
async fn server_elsewhere_is_watched_and_never_run_or_stopped() {
    // Somebody else's, by another keeper.
    let other = Place::stand_in(RUNS);
    let mut place = Place::stand_in("exit 1");
    place.config.srs.api_listen = other.config.srs.api_listen;
    place.config.srs.api_url = Some(format!("http://{}", other.config.srs.api_listen).into());
    let mut kept = place.keep();
    let problem = kept.down().await;
    assert!(problem.contains("ingest.srs.api_url"), "{problem}");

    let _api = StandInApi::of(&other);
    let theirs = other.keep().runs().await;
    let seen = kept.runs().await;
    assert_eq!(seen.identity, theirs.identity);
    kept.stop().await;
    assert!(lives(theirs.identity.pid) && !place.srs_folder().exists());
}

#[tokio::test]
async fn server_elsewhere_that_is_too_old_is_told() {
    let other = Place::stand_in(RUNS);
    let mut place = Place::stand_in("exit 1");
    place.config.srs.api_listen = other.config.srs.api_listen;
    place.config.srs.api_url = Some(format!("http://{}", other.config.srs.api_listen).into());
    let _api = StandInApi::versioned(&other, "5.0.213");
    let _other = other.keep();
    let mut kept = place.keep();
    let told = |state: &ServerState| {
        matches!(state, ServerState::Down { problem, .. } if problem.contains("5.0.213")).then_some(())
    };
    kept.state(Duration::from_secs(15), told).await;
}

#[tokio::test]
async fn unit_is_started_by_systemctl_with_its_environment_and_never_stopped() {
    let mut place = Place::stand_in(RUNS);
    place.config.srs.unit = Some("stand-in.service".to_owned());
    let binary = place.config.srs.binary.display().to_string();
    let (folder, log) = (place.srs_folder().display().to_string(), place.folder.path().join("orders"));
    // Does with the environment file what systemd does.
    let systemctl = place.script(
        "systemctl",
        &format!(
            "echo \"$*\" >> {}\nset -a; . {folder}/environment; set +a\nsetsid {binary} -c x >/dev/null 2>&1 &",
            log.display()
        ),
    );
    let _api = StandInApi::of(&place);
    place.systemctl = systemctl;
    let mut kept = place.keep();
    let running = kept.runs().await;
    assert_eq!(fs::read_to_string(&log).unwrap(), "--quiet start -- stand-in.service\n");
    let file = place.srs_folder().join("environment");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(fs::read_to_string(&file).unwrap().contains(SecretString::from(HOOKS).expose_secret()));
    kept.stop().await;
    assert!(lives(running.identity.pid));

    let mut next = place.keep();
    assert!(next.runs().await.adopted);
    assert_eq!(fs::read_to_string(&log).unwrap().lines().count(), 1);
}

#[tokio::test]
async fn port_that_srs_lacks_is_told_before_it_is_started() {
    let mut place = Place::stand_in("exit 1");
    place.config.srs.http_listen.set_port(0);
    let problem = place.keep().down().await;
    assert!(problem.contains("ingest.srs.http_listen"), "{problem}");
}

/// With the real SRS named by `MOTHERSTREAM_TEST_SRS`.
mod real_srs {
    use std::{
        process::{Child, Command, Stdio},
        thread,
    };

    use super::*;

    fn place() -> Option<Place> {
        real().map(|program| Place::new(&program))
    }

    /// A hooks' listener that says yes to everybody. Where it listens.
    async fn yes_man() -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(async || "{\"code\":0}");
        tokio::spawn(async move { axum::serve(listener, router).await });
        format!("http://{address}/hooks/0123456789abcdef0123456789abcdef")
    }

    fn ffmpeg(arguments: &[&str]) -> Encoder {
        let source =
            ["-re", "-f", "lavfi", "-i", "testsrc=size=320x240:rate=25", "-c:v", "libx264", "-preset", "ultrafast"];
        let child = Command::new("ffmpeg")
            .args(["-hide_banner", "-loglevel", "error", "-nostdin"])
            .args(source)
            .args(["-g", "50"])
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Encoder(child)
    }

    struct Encoder(Child);

    impl Drop for Encoder {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    async fn publishers(place: &Place, wanted: usize) {
        let api = Api::new(&format!("http://{}", place.config.srs.api_listen)).unwrap();
        timeout(Duration::from_secs(15), async {
            while api.clients().await.map_or(0, |all| all.entries.iter().filter(|client| client.publish).count())
                != wanted
            {
                sleep(Duration::from_millis(50)).await;
            }
        })
        .await
        .unwrap();
    }

    #[tokio::test]
    async fn it_starts_is_back_after_a_kill_is_found_again_and_stops() {
        let Some(place) = place() else { return };
        let mut kept = place.keep();
        let first = kept.runs().await;
        assert_eq!(first.identity.pid, place.pid());
        assert!(install::usable(&first.version), "{}", first.version);

        let began = Instant::now();
        signal(place.pid(), rustix::process::Signal::KILL);
        kept.down().await;
        let second = kept.runs().await;
        eprintln!("back after {:?}", began.elapsed());
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
        assert_ne!(second.identity, first.identity);
        drop(kept);

        let began = Instant::now();
        let mut next = place.keep();
        let found = next.runs().await;
        eprintln!("found after {:?}", began.elapsed());
        assert!(found.adopted && found.identity == second.identity);
        assert!(began.elapsed() < Duration::from_millis(500), "{:?}", began.elapsed());
        let began = Instant::now();
        next.stop().await;
        eprintln!("stopped after {:?}", began.elapsed());
        assert!(!lives(found.identity.pid));
        assert!(began.elapsed() < Duration::from_secs(5));
    }

    #[tokio::test]
    async fn publishers_keep_their_connection_when_the_keeper_dies_and_their_keys_stay_out_of_the_log() {
        let Some(mut place) = place() else { return };
        place.hooks = yes_man().await;
        let mut kept = place.keep();
        let first = kept.runs().await;
        let rtmp = place.config.rtmp_listen;
        let srt = place.config.srs.srt_listen;
        let key = "7k2mv0qx3c9zr8hw1t5ydn4bpg";
        let one = ffmpeg(&["-f", "flv", &format!("rtmp://{rtmp}/live/{key}")]);
        let two = ffmpeg(&["-f", "mpegts", &format!("srt://{srt}?streamid=#!::r=live/{key}srt,m=publish")]);
        publishers(&place, 2).await;
        // Busy: what SRS says of it names the stream.
        let third = ffmpeg(&["-f", "flv", &format!("rtmp://{rtmp}/live/{key}")]);
        sleep(Duration::from_secs(2)).await;
        drop(third);
        drop(kept);
        sleep(Duration::from_millis(300)).await;

        // Other settings: not while somebody publishes.
        place.config.silence_seconds += 1;
        let mut next = place.keep();
        assert_eq!(next.runs().await.identity, first.identity);
        sleep(LOOK * 2).await;
        assert_eq!(next.runs().await.identity, first.identity);
        publishers(&place, 2).await;
        drop((one, two));
        next.down().await;
        assert_ne!(next.runs().await.identity, first.identity);
        next.stop().await;

        let said = place.log();
        assert!(said.contains(key), "nothing to redact:\n{said}");
        let redaction = Redaction::new("live", &SecretString::from(place.hooks.as_str()));
        for raw in said.lines() {
            if let Some(line) = log::line(raw, &redaction) {
                assert!(!line.text.contains(key) && !line.text.contains("0123456789abcdef"), "{raw}\n{line:?}");
                assert!(line.level >= Level::WARN, "{raw}");
            }
        }
    }

    #[tokio::test]
    async fn it_refuses_a_broken_configuration_and_says_why() {
        let Some(mut place) = place() else { return };
        let conf = fs::read_to_string(&place.config.srs.config).unwrap();
        place.config.srs.config = place.folder.path().join("srs.conf");
        fs::write(&place.config.srs.config, conf.replace("min_latency", "no_such_directive")).unwrap();
        let problem = place.keep().down().await;
        assert!(problem.contains("no_such_directive"), "{problem}");
        let found = install::find(&place.config.srs).unwrap();
        let refused = launch::check(&found, &place.config, &place.srs_folder()).unwrap_err();
        assert!(refused.contains("no_such_directive"), "{refused}");
    }

    #[tokio::test]
    async fn its_own_check_accepts_the_configuration_that_comes_with_the_box() {
        let Some(place) = place() else { return };
        let found = install::find(&place.config.srs).unwrap();
        launch::check(&found, &place.config, &place.srs_folder()).unwrap();
        assert!(!place.srs_folder().exists(), "a check makes nothing");
    }

    #[tokio::test]
    async fn silent_publisher_is_dropped_after_the_time_of_silence_and_no_sooner() {
        let Some(mut place) = place() else { return };
        place.hooks = yes_man().await;
        place.config.silence_seconds = 2;
        let mut kept = place.keep();
        kept.runs().await;
        let encoder = ffmpeg(&["-f", "flv", &format!("rtmp://{}/live/silent", place.config.rtmp_listen)]);
        publishers(&place, 1).await;
        thread::sleep(Duration::from_secs(3));
        signal(encoder.0.id(), rustix::process::Signal::STOP);
        let began = Instant::now();
        publishers(&place, 0).await;
        let lasted = began.elapsed();
        signal(encoder.0.id(), rustix::process::Signal::CONT);
        eprintln!("silent for {lasted:?}");
        assert!(lasted > Duration::from_millis(1900) && lasted < Duration::from_secs(5), "{lasted:?}");
        kept.stop().await;
    }

    #[tokio::test]
    async fn frozen_it_is_replaced() {
        let Some(place) = place() else { return };
        let mut kept = place.keep();
        let first = kept.runs().await;
        signal(first.identity.pid, rustix::process::Signal::STOP);
        kept.down().await;
        assert_ne!(kept.runs().await.identity, first.identity);
        kept.stop().await;
    }

    #[tokio::test]
    async fn another_one_on_our_port_is_told() {
        let Some(first) = place() else { return };
        let mut kept = first.keep();
        kept.runs().await;
        let mut second = place().unwrap();
        second.config.srs.api_listen = first.config.srs.api_listen;
        let problem = second.keep().down().await;
        assert!(problem.contains("another SRS") && problem.contains("ingest.srs.api_listen"), "{problem}");
        kept.stop().await;
    }
}
