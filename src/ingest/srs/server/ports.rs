//! The ports that SRS needs, and who holds them.

use std::{
    fs, io,
    net::{SocketAddr, TcpListener, UdpSocket},
    path::Path,
};

use super::process;
use crate::config::IngestConfig;

/// One port that SRS listens on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Port {
    /// The key that sets it.
    pub(crate) key: &'static str,
    pub(crate) address: SocketAddr,
    protocol: Protocol,
}

/// Who has a port.
#[derive(Debug)]
pub(crate) enum Held {
    /// Nobody has it, so SRS can.
    Free,
    /// The SRS of this box, by its pid.
    Own(u32),
    /// Somebody else, as `nginx (process 123)` where this user may know.
    Foreign(Option<String>),
    /// This user cannot have it.
    Refused(io::Error),
}

/// All that SRS listens on.
pub(crate) fn all(config: &IngestConfig) -> [Port; 5] {
    let srs = &config.srs;
    let port = |key, address, protocol| Port { key, address, protocol };
    [
        port("ingest.rtmp_listen", config.rtmp_listen, Protocol::Tcp),
        port("ingest.srs.api_listen", srs.api_listen, Protocol::Tcp),
        port("ingest.srs.http_listen", srs.http_listen, Protocol::Tcp),
        port("ingest.srs.srt_listen", srs.srt_listen, Protocol::Udp),
        port("ingest.srs.rtc_listen", srs.rtc_listen, Protocol::Udp),
    ]
}

impl Port {
    /// Who has it now; `folder` is where the box's own SRS leaves its pid.
    pub(crate) fn held(&self, folder: &Path) -> Held {
        match taken(self.protocol, self.address) {
            None => Held::Free,
            Some(error) if error.kind() != io::ErrorKind::AddrInUse => Held::Refused(error),
            Some(_) => match (holder(self.protocol, self.address.port()), process::running(folder)) {
                (Some((pid, _)), Some(own)) if pid == own => Held::Own(own),
                (holder, _) => Held::Foreign(holder.map(|(_, name)| name)),
            },
        }
    }

    /// Why SRS cannot have it, and what to do.
    pub(super) fn problem(&self, folder: &Path) -> Option<String> {
        let Self { key, address, .. } = self;
        match self.held(folder) {
            Held::Free => None,
            Held::Own(pid) => Some(format!("{key} {address} is still held by the last SRS (process {pid})")),
            Held::Foreign(who) => {
                let who = who.unwrap_or_else(|| "another program".to_owned());
                Some(format!("{key} {address} is in use by {who}; stop it, or set {key} to another port"))
            }
            Held::Refused(error) => {
                Some(format!("SRS cannot listen on {key} {address}: {error}; set {key} to another address"))
            }
        }
    }
}

/// TCP or UDP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    Tcp,
    Udp,
}

/// Why an address cannot be listened on; none when it can.
fn taken(protocol: Protocol, address: SocketAddr) -> Option<io::Error> {
    match protocol {
        Protocol::Tcp => TcpListener::bind(address).err(),
        Protocol::Udp => UdpSocket::bind(address).err(),
    }
}

/// Who holds a port, as `nginx (process 123)`, as far as this user may know.
fn holder(protocol: Protocol, port: u16) -> Option<(u32, String)> {
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
