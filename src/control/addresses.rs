//! By which addresses and ports this box is reached.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use crate::{
    config::{Config, IngestConfig},
    ingest::{Door, IngestState},
};

/// By which ports and with which certificate the page is reached.
#[derive(Clone, Debug, Default)]
pub struct Doors {
    /// The port of plain HTTP.
    pub plain: u16,
    /// The port of HTTPS, and the SHA-256 of its certificate.
    pub https: Option<(u16, String)>,
}

impl Doors {
    /// A host as it is reached by plain HTTP.
    pub(crate) fn plain_host(&self, host: &str) -> String {
        with_port(without_port(host), self.plain, 80)
    }

    /// The address of a page by HTTPS, if there is any.
    pub(crate) fn https_url(&self, host: &str, path: &str) -> Option<String> {
        let (port, _) = self.https.as_ref()?;
        Some(format!("https://{}{path}", with_port(without_port(host), *port, 443)))
    }
}

pub(crate) fn with_port(host: &str, port: u16, usual: u16) -> String {
    if port == usual { host.to_owned() } else { format!("{host}:{port}") }
}

/// `[::1]:80` -> `[::1]`, `box.local:80` -> `box.local`.
pub(crate) fn without_port(host: &str) -> &str {
    if host.starts_with('[') {
        return host.split_inclusive(']').next().unwrap_or(host);
    }
    host.split(':').next().unwrap_or(host)
}

/// An address as it stands in a URL.
pub(crate) fn bracketed(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }
}

/// The address by which the rest of the network reaches this box, if it has a route at all. Sends nothing: connecting a
/// datagram socket only looks the route up.
pub(crate) fn primary_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    // An address for documentation (RFC 5737): nobody's, so only the default route matches.
    socket.connect(SocketAddr::from(([192, 0, 2, 1], 9))).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

/// The addresses of this machine by which others may reach it: of any interface, no loopback, those of IPv6 links left out (nobody
/// can write them into a browser). The one that leads to the rest of the network comes first.
pub(crate) fn own_addresses() -> Vec<IpAddr> {
    let table = std::fs::read_to_string("/proc/net/fib_trie").unwrap_or_default();
    let listed = std::fs::read_to_string("/proc/net/if_inet6").unwrap_or_default();
    let mut all: Vec<IpAddr> = primary_address().into_iter().collect();
    let found =
        v4_addresses(&table).into_iter().map(IpAddr::V4).chain(v6_addresses(&listed).into_iter().map(IpAddr::V6));
    for address in found.filter(|address| !address.is_loopback()) {
        if !all.contains(&address) {
            all.push(address);
        }
    }
    all
}

/// Those in the kernel's routing trie, `/proc/net/fib_trie`: leaves that are `/32 host LOCAL`.
fn v4_addresses(table: &str) -> Vec<Ipv4Addr> {
    let mut found = Vec::new();
    let mut leaf = None;
    for line in table.lines().map(str::trim) {
        if let Some(address) = line.strip_prefix("|-- ") {
            leaf = address.parse().ok();
        } else if line == "/32 host LOCAL"
            && let Some(address) = leaf
            && !found.contains(&address)
        {
            found.push(address);
        }
    }
    found
}

/// Those in `/proc/net/if_inet6`, whose first column is the address in hexadecimal and whose fourth is the scope.
fn v6_addresses(table: &str) -> Vec<Ipv6Addr> {
    let own = |line: &str| {
        let mut columns = line.split_whitespace();
        let address = u128::from_str_radix(columns.next()?, 16).ok()?;
        (columns.nth(2)? == "00").then_some(Ipv6Addr::from(address))
    };
    table.lines().filter_map(own).collect()
}

/// What to tell people to connect to when no request says by which name they reach the box.
pub fn public_host(config: &Config) -> String {
    let configured = config.web.public_host.clone();
    configured
        .or_else(|| primary_address().map(|address| address.to_string()))
        .unwrap_or_else(|| "motherstream.local".to_owned())
}

/// Where RTMP is taken, whether the ingest runs at this moment or not: an address does not change because a server starts anew.
pub fn rtmp_door(state: &IngestState, config: &IngestConfig) -> Door {
    state.doors.rtmp.clone().unwrap_or_else(|| match (&config.srs.api_url, &config.srs.rtmp_url) {
        (Some(_), Some(url)) => Door::Elsewhere(url.clone()),
        _ => Door::Port(config.rtmp_listen.port()),
    })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_from_the_kernels_tables() {
        let trie = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n     |-- 127.0.0.1\n        /32 host LOCAL\n     \
                    |-- 192.0.2.0\n        /24 link UNICAST\n     |-- 192.0.2.2\n        /32 host LOCAL\nLocal:\n     |-- 192.0.2.2\n        /32 host LOCAL\n";
        assert_eq!(v4_addresses(trie), [Ipv4Addr::LOCALHOST, Ipv4Addr::new(192, 0, 2, 2)]);
        let list = "fd000000000000000000000000000002 04 40 00 82     eth0\nfe8000000000000000fc00fffe000001 04 40 20 80     eth0\n";
        assert_eq!(v6_addresses(list), ["fd00::2".parse::<Ipv6Addr>().unwrap()]);
        assert!(own_addresses().iter().all(|address| !address.is_loopback()));
    }
}
