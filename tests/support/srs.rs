//! A real SRS that the box runs, or that a test runs itself.

use std::{
    fs,
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    process::{Child, Command, Stdio},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use tempfile::TempDir;

use super::{free_port, real_srs, seconds, wait};

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

/// An SRS that nobody but the test runs, as one on another machine. Ends with its owner.
pub(crate) struct OwnSrs {
    child: Option<Child>,
    folder: TempDir,
    /// Where encoders connect.
    pub(crate) rtmp: SocketAddr,
}

impl OwnSrs {
    /// Where one will listen for encoders.
    pub(crate) fn address() -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()))
    }

    /// Starts one at `rtmp`; `configuration` says everything but where and how it runs.
    pub(crate) fn start(rtmp: SocketAddr, configuration: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let head = format!(
            "daemon off; listen {rtmp}; max_connections 100; pid ./pid; srs_log_tank file; srs_log_file ./log;"
        );
        fs::write(folder.path().join("srs.conf"), format!("{head}\n{configuration}")).unwrap();
        let mut this = Self { child: None, folder, rtmp };
        this.run();
        this
    }

    /// Starts it again, after [`Self::kill`].
    pub(crate) fn run(&mut self) {
        let log = fs::File::create(self.folder.path().join("said")).unwrap();
        let mut command = Command::new(real_srs().unwrap());
        command.args(["-c", "srs.conf"]).current_dir(self.folder.path());
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        self.child = Some(command.spawn().unwrap());
        wait("SRS to listen", seconds(10), || {
            let ended = self.child.as_mut().unwrap().try_wait().unwrap();
            let said = || fs::read_to_string(self.folder.path().join("said")).unwrap_or_default();
            assert!(ended.is_none(), "SRS ended: {}", said());
            TcpStream::connect(self.rtmp).ok()
        });
    }

    /// Kills it with SIGKILL.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// The URL to publish to with `key`.
    pub(crate) fn publish_url(&self, key: &str) -> String {
        format!("rtmp://{}/live/{key}", self.rtmp)
    }
}

impl Drop for OwnSrs {
    fn drop(&mut self) {
        self.kill();
    }
}
