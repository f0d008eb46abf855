//! One SRS process: found, waited for and ended by a descriptor that never means another process, child of ours or not.

use std::{
    fs,
    net::{SocketAddr, TcpListener, UdpSocket},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    process::Child,
    time::Duration,
};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::{io::unix::AsyncFd, time::timeout};

use super::launch::{Environment, NAME_VARIABLE, PID_FILE, PID_VARIABLE};

/// A process that is, or was, an SRS.
pub(super) struct Process {
    pub(super) pid: u32,
    descriptor: AsyncFd<OwnedFd>,
    child: Option<Child>,
    /// What it was started with, where this user may know.
    pub(super) environment: Environment,
}

impl Process {
    /// The SRS that this box started and that still runs, by the pid file in its folder.
    pub(super) fn find(folder: &Path) -> Option<Self> {
        let pid = fs::read_to_string(folder.join(PID_FILE)).ok()?.trim().parse().ok()?;
        Self::of_box(pid, folder)
    }

    /// The process `pid`, if it is an SRS that was started for this folder.
    pub(super) fn of_box(pid: u32, folder: &Path) -> Option<Self> {
        let process = Self::open(pid, None)?;
        let folder = std::path::absolute(folder).ok()?;
        let ours = PathBuf::from(process.variable(PID_VARIABLE)?) == folder.join(PID_FILE);
        ours.then_some(process)
    }

    /// The process `pid`, whosever it is.
    pub(super) fn other(pid: u32) -> Option<Self> {
        Self::open(pid, None)
    }

    /// One that was started just now.
    pub(super) fn started(child: Child) -> Option<Self> {
        Self::open(child.id(), Some(child))
    }

    fn open(pid: u32, child: Option<Child>) -> Option<Self> {
        let number = Pid::from_raw(i32::try_from(pid).ok()?)?;
        let descriptor = pidfd_open(number, PidfdFlags::NONBLOCK).ok()?;
        // Read after the descriptor was opened: what is read is of the process that the descriptor means, or it has ended.
        let environment = environment(pid);
        #[expect(deprecated, reason = "its successor is unsafe; an OwnedFd is what it says and stays open")]
        let descriptor = AsyncFd::new(descriptor).ok()?;
        Some(Self { pid, descriptor, child, environment })
    }

    fn variable(&self, name: &str) -> Option<&str> {
        self.environment.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// The name under which it was started.
    pub(super) fn name(&self) -> Option<&str> {
        self.variable(NAME_VARIABLE)
    }

    /// Returns when it has ended, with how, where that can be known.
    pub(super) async fn ended(&mut self) -> String {
        // An error of the descriptor would say that nothing more can be learned from it.
        let _ = self.descriptor.readable().await;
        match self.child.as_mut().map(Child::try_wait) {
            Some(Ok(Some(status))) => status.to_string(),
            _ => "unknown how".to_owned(),
        }
    }

    /// Whether it still runs.
    pub(super) async fn runs(&mut self) -> bool {
        timeout(Duration::ZERO, self.ended()).await.is_err()
    }

    /// Asks it to end, insists after `patience`, and returns when it is gone.
    pub(super) async fn end(&mut self, patience: Duration) {
        // One that is gone can not be told; one that may not be told is waited for no longer than patience.
        let _ = pidfd_send_signal(self.descriptor.get_ref(), Signal::TERM);
        // One that is stopped does not act on it.
        let _ = pidfd_send_signal(self.descriptor.get_ref(), Signal::CONT);
        if timeout(patience, self.ended()).await.is_err() {
            let _ = pidfd_send_signal(self.descriptor.get_ref(), Signal::KILL);
            let _ = timeout(patience, self.ended()).await;
        }
    }
}

fn environment(pid: u32) -> Environment {
    let Ok(bytes) = fs::read(format!("/proc/{pid}/environ")) else { return Vec::new() };
    let texts = bytes.split(|byte| *byte == 0).map(String::from_utf8_lossy);
    texts.filter_map(|text| text.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()))).collect()
}

/// TCP or UDP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Tcp,
    Udp,
}

/// Why an address can not be listened on; none when it can.
pub(crate) fn taken(protocol: Protocol, address: SocketAddr) -> Option<std::io::Error> {
    match protocol {
        Protocol::Tcp => TcpListener::bind(address).err(),
        Protocol::Udp => UdpSocket::bind(address).err(),
    }
}

/// Who holds a port, as `nginx (process 123)`, as far as this user may know.
pub(crate) fn holder(protocol: Protocol, port: u16) -> Option<(u32, String)> {
    let tables: [&str; 2] = match protocol {
        Protocol::Tcp => ["tcp", "tcp6"],
        Protocol::Udp => ["udp", "udp6"],
    };
    let sockets: Vec<String> = tables
        .iter()
        .filter_map(|table| fs::read_to_string(format!("/proc/net/{table}")).ok())
        .flat_map(|table| table.lines().skip(1).filter_map(|line| socket(line, protocol, port)).collect::<Vec<_>>())
        .collect();
    let processes = fs::read_dir("/proc").ok()?.flatten();
    processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).find_map(|pid: u32| {
        let mut files = fs::read_dir(format!("/proc/{pid}/fd")).ok()?.flatten();
        let holds = files.any(|file| {
            let target = fs::read_link(file.path()).unwrap_or_default();
            sockets.iter().any(|socket| target == Path::new(socket))
        });
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        holds.then(|| (pid, format!("{} (process {pid})", name.trim())))
    })
}

/// The socket of a line of `/proc/net/tcp` that listens on `port`, as a link in `/proc/PID/fd` names it.
fn socket(line: &str, protocol: Protocol, port: u16) -> Option<String> {
    let fields: Vec<_> = line.split_whitespace().collect();
    let (local, state, inode) = (fields.get(1)?, fields.get(3)?, fields.get(9)?);
    let listens = protocol == Protocol::Udp || *state == "0A";
    let own = u16::from_str_radix(local.rsplit_once(':')?.1, 16).ok()?;
    (listens && own == port).then(|| format!("socket:[{inode}]"))
}
