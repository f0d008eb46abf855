//! What whole-box tests, benches and the demo share: a box to run, publishers, platforms, and judges of what arrived.

pub(crate) mod analysis;
pub(crate) mod assets;
pub(crate) mod boxed;
pub(crate) mod flv;
pub(crate) mod nginx;
pub(crate) mod publisher;
pub(crate) mod recorder;
pub(crate) mod rtmp;

use std::{
    net::{Ipv4Addr, TcpListener},
    thread,
    time::{Duration, Instant},
};

/// A port nobody listens on at the moment.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
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

/// Whether the long runs are wanted (`make soak`).
pub(crate) fn soak() -> bool {
    std::env::var_os("MOTHERSTREAM_TEST_SOAK").is_some()
}

/// Seconds, for short.
pub(crate) const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
