//! A real SRS that the box runs, or that a test runs itself.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

use super::{seconds, wait};

/// One call of SRS's API. `None` where nobody answers.
pub(crate) fn api(address: SocketAddr, method: &str, path: &str) -> Option<Value> {
    let mut socket = TcpStream::connect_timeout(&address, Duration::from_secs(2)).ok()?;
    socket.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    write!(socket, "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
        .ok()?;
    let mut text = String::new();
    socket.read_to_string(&mut text).ok()?;
    serde_json::from_str(text.split_once("\r\n\r\n")?.1).ok()
}

/// The process behind an API.
pub(crate) fn pid(address: SocketAddr) -> Option<u32> {
    api(address, "GET", "/api/v1/versions")?["pid"].as_str()?.parse().ok()
}

/// Ids and stream names of the publishers that were let in, in the order of their names.
pub(crate) fn publishers(address: SocketAddr) -> Vec<(String, String)> {
    let streams = api(address, "GET", "/api/v1/streams/?count=1000").unwrap_or_default();
    let live = streams["streams"].as_array().into_iter().flatten();
    let live = live.filter(|stream| stream["publish"]["active"] == true);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut found: Vec<_> = live.map(|stream| (text(&stream["publish"]["cid"]), text(&stream["name"]))).collect();
    found.sort_by(|one, other| one.1.cmp(&other.1));
    found
}

/// Ends the SRS that answers at `address`, if one does, at once.
pub(crate) fn end(address: SocketAddr) {
    if let Some(pid) = pid(address) {
        let _ = kill(Pid::from_raw(pid as i32), Signal::SIGKILL);
        wait("SRS to be gone", seconds(5), || self::pid(address).is_none().then_some(()));
    }
}
