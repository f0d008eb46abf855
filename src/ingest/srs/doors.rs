//! What everybody may know of this ingest: which ways in it has, and how it is doing.

use std::{collections::HashSet, fs};

use tokio::sync::watch;

use super::{
    api::Features,
    server::{Running, ServerState},
};
use crate::{
    config::IngestConfig,
    ingest::{Door, Doors, IngestState, IngestStatus},
};

/// Publishes the ingest's state.
pub(super) struct Porch {
    state: watch::Sender<IngestState>,
    rtmp: Option<Door>,
    srt: u16,
    rtc: u16,
    own: bool,
    /// The process that runs, if it does.
    pid: Option<u32>,
}

impl Porch {
    /// With every door shut.
    pub(super) fn new(config: &IngestConfig, chosen_because: String) -> (Self, watch::Receiver<IngestState>) {
        let own = config.srs.api_url.is_none();
        let status = IngestStatus {
            kind: if own { "srs" } else { "srs elsewhere" },
            chosen_because,
            running: false,
            version: None,
            adopted: false,
            problem: None,
            restarts: 0,
        };
        let (state, receiver) = watch::channel(IngestState { doors: Doors::default(), status });
        let rtmp = if own {
            Some(Door::Port(config.rtmp_listen.port()))
        } else {
            config.srs.rtmp_url.clone().map(Door::Elsewhere)
        };
        let porch =
            Self { state, rtmp, srt: config.srs.srt_listen.port(), rtc: config.srs.rtc_listen.port(), own, pid: None };
        (porch, receiver)
    }

    /// The server's state changed.
    pub(super) fn server(&mut self, server: &ServerState) {
        self.pid = match server {
            ServerState::Running(running) => Some(running.identity.pid),
            _ => None,
        };
        let doors = match server {
            // Until it says otherwise it was built with everything, as the official ones are.
            ServerState::Running(_) => self.doors(Features { srt: true, rtc: true }),
            _ => Doors::default(),
        };
        self.publish(doors, |status| match server {
            ServerState::Starting => status.running = false,
            ServerState::Running(Running { version, adopted, restarts, .. }) => {
                status.running = true;
                status.version = Some(version.clone());
                status.adopted = *adopted;
                status.problem = None;
                status.restarts = *restarts;
            }
            ServerState::Down { problem, restarts } => {
                status.running = false;
                status.adopted = false;
                status.problem = Some(problem.clone());
                status.restarts = *restarts;
            }
        });
    }

    /// The server that runs said what it was built with.
    pub(super) fn features(&mut self, features: Features) {
        if self.pid.is_some() {
            let doors = self.doors(features);
            self.publish(doors, |_| {});
        }
    }

    fn doors(&self, features: Features) -> Doors {
        let rtmp = self.rtmp.clone();
        if !self.own {
            // What else it takes is not known.
            return Doors { rtmp, ..Doors::default() };
        }
        let open = self.pid.and_then(udp_ports);
        let is_open = |port| open.as_ref().is_none_or(|open| open.contains(&port));
        Doors {
            rtmp,
            srt: (features.srt && is_open(self.srt)).then_some(Door::Port(self.srt)),
            whip: features.rtc && is_open(self.rtc),
        }
    }

    fn publish(&self, doors: Doors, change: impl FnOnce(&mut IngestStatus)) {
        self.state.send_if_modified(|state| {
            let before = (state.doors.clone(), state.status.clone());
            state.doors = doors;
            change(&mut state.status);
            before != (state.doors.clone(), state.status.clone())
        });
    }
}

/// The UDP ports that are open where process `pid` runs; none when the system does not say.
fn udp_ports(pid: u32) -> Option<HashSet<u16>> {
    let read = |name: &str| fs::read_to_string(format!("/proc/{pid}/net/{name}"));
    let mut ports = parse(&read("udp").ok()?);
    // A system without IPv6 has no such file.
    ports.extend(parse(&read("udp6").unwrap_or_default()));
    Some(ports)
}

/// Local ports out of `/proc/net/udp`: the second column is `ADDRESS:PORT` in hexadecimal.
fn parse(table: &str) -> HashSet<u16> {
    let port = |line: &str| u16::from_str_radix(line.split_whitespace().nth(1)?.rsplit(':').next()?, 16).ok();
    table.lines().skip(1).filter_map(port).collect()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    #[test]
    fn an_open_udp_port_is_seen() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        assert!(udp_ports(std::process::id()).unwrap().contains(&port));
        drop(socket);
        assert!(!udp_ports(std::process::id()).unwrap().contains(&port));
        assert_eq!(udp_ports(u32::MAX), None);
    }

    #[test]
    fn both_tables_are_understood() {
        let table = "  sl  local_address rem_address   st\n  1: 00000000:2760 00000000:0000 07 0 0\n 2: \
                     00000000000000000000000001000000:1F40 0:0 07\n";
        assert_eq!(parse(table), HashSet::from([10080, 8000]));
    }
}
