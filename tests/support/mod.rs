//! What whole-box tests, benches and the demo share: a box to run, publishers, platforms, and judges of what arrived.

pub(crate) mod analysis;
pub(crate) mod assets;
pub(crate) mod boxed;
pub(crate) mod flv;
pub(crate) mod load;
pub(crate) mod nginx;
pub(crate) mod obs;
pub(crate) mod publisher;
pub(crate) mod qr;
pub(crate) mod recorder;
pub(crate) mod rtmp;
pub(crate) mod simulated_srs;
pub(crate) mod srs;

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, TcpListener, UdpSocket},
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// Ports that were given out: the system gives one that nobody has bound yet a second time.
static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

/// A port nobody listens on at the moment, and that was not given out before.
pub(crate) fn free_port() -> u16 {
    let mut given = GIVEN.lock().unwrap();
    loop {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        if given.insert(port) {
            return port;
        }
    }
}

/// The same of UDP.
pub(crate) fn free_udp_port() -> u16 {
    UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// Waits until `ready` gives something, and fails with `what` after `patience`.
#[track_caller]
pub(crate) fn wait<R>(what: &str, patience: Duration, mut ready: impl FnMut() -> Option<R>) -> R {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(result) = ready() {
            return result;
        }
        assert!(Instant::now() < deadline, "waited {patience:?} in vain for {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// The SRS to test with: the program that `MOTHERSTREAM_TEST_SRS` names. Without it, what needs it is skipped, and says so.
pub(crate) fn real_srs() -> Option<PathBuf> {
    let program = std::env::var_os("MOTHERSTREAM_TEST_SRS").filter(|program| !program.is_empty());
    let Some(program) = program.map(PathBuf::from) else {
        eprintln!("SKIPPED, NOT TESTED: MOTHERSTREAM_TEST_SRS names no SRS; set it to the path of one");
        return None;
    };
    assert!(program.is_file(), "MOTHERSTREAM_TEST_SRS names {}, which is no file", program.display());
    Some(program)
}

/// Whether the long runs are wanted (`make soak`).
pub(crate) fn soak() -> bool {
    std::env::var_os("MOTHERSTREAM_TEST_SOAK").is_some()
}

/// Seconds, for short.
pub(crate) const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// How long the machine itself kept a thread waiting that only wanted to wake every 5 ms: what no program can do anything about.
pub(crate) struct Metronome {
    worst_micros: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
}

impl Metronome {
    /// Begins to beat.
    pub(crate) fn start() -> Self {
        let (worst_micros, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (worst, stopped) = (worst_micros.clone(), stop.clone());
        thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let asleep = Instant::now();
                thread::sleep(Duration::from_millis(5));
                let late = asleep.elapsed().saturating_sub(Duration::from_millis(5));
                worst.fetch_max(late.as_micros() as u64, Ordering::Relaxed);
            }
        });
        Self { worst_micros, stop }
    }

    /// The longest time by which it woke late.
    pub(crate) fn worst(&self) -> Duration {
        Duration::from_micros(self.worst_micros.load(Ordering::Relaxed))
    }
}

impl Drop for Metronome {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}
