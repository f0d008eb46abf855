//! What systemd hears, on a real socket: that the box is ready, that it lives, that it stops; and nothing from a box that is frozen.

use std::{
    os::unix::net::UnixDatagram,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::support::{boxed::TheBox, seconds};

/// Messages until `enough` is among them, or none came for `patience`.
fn heard(socket: &UnixDatagram, enough: &str, patience: Duration) -> Vec<String> {
    socket.set_read_timeout(Some(patience)).unwrap();
    let deadline = Instant::now() + seconds(60);
    let mut all = Vec::new();
    let mut buffer = [0; 4096];
    while Instant::now() < deadline {
        let Ok(length) = socket.recv(&mut buffer) else { break };
        let message = String::from_utf8_lossy(&buffer[..length]).into_owned();
        let last = message.contains(enough);
        all.push(message);
        if last {
            break;
        }
    }
    all
}

#[test]
fn systemd_hears_that_the_box_is_ready_lives_and_stops_and_nothing_while_it_is_frozen() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    let mut the_box = TheBox::builder().environment("NOTIFY_SOCKET", path.display()).start();

    let first = heard(&socket, "READY=1", seconds(15));
    assert!(first.last().is_some_and(|message| message.contains("READY=1")), "{first:?}");
    for _ in 0..3 {
        let signs = heard(&socket, "WATCHDOG=1", seconds(5));
        assert!(signs.iter().any(|sign| sign.contains("WATCHDOG=1")), "{signs:?}");
        assert!(!signs.iter().any(|sign| sign.contains("READY=1")), "ready is said once: {signs:?}");
    }

    let pid = Pid::from_raw(i32::try_from(the_box.pid()).unwrap());
    kill(pid, Signal::SIGSTOP).unwrap();
    // What was sent before may lie there still.
    let _sent_before = heard(&socket, "nothing says this", Duration::from_millis(300));
    let frozen = heard(&socket, "WATCHDOG=1", seconds(4));
    kill(pid, Signal::SIGCONT).unwrap();
    assert!(frozen.is_empty(), "{frozen:?}");
    let again = heard(&socket, "WATCHDOG=1", seconds(10));
    assert!(again.iter().any(|sign| sign.contains("WATCHDOG=1")), "{again:?}");

    assert!(the_box.stop().success());
    let last = heard(&socket, "STOPPING=1", seconds(2));
    assert!(last.iter().any(|message| message.contains("STOPPING=1")), "{last:?}");
}
