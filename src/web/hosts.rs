//! Which hosts are ours. A name that somebody else made point at this box (DNS rebinding) is refused, and so is a request that
//! another site's page sent with our cookie.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    sync::Arc,
};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, Method, Uri, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

use crate::config::Config;

use super::{
    App,
    problem::{Kind, Problem},
};

/// The names this machine answers to, in lower case, besides `web.public_host`; IP addresses always are its own.
#[derive(Debug)]
pub(crate) struct Hosts {
    names: Vec<String>,
}

impl Hosts {
    pub(crate) fn of_this_machine() -> Self {
        let machine = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        Self::new(machine.trim())
    }

    fn new(machine: &str) -> Self {
        let mut names = vec!["localhost".to_owned(), "motherstream.local".to_owned()];
        let machine = machine.to_ascii_lowercase();
        if !machine.is_empty() {
            let first = machine.split('.').next().unwrap_or_default().to_owned();
            names.extend([format!("{first}.local"), first, machine]);
        }
        Self { names }
    }

    /// These names.
    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// Whether a request for `host` (a Host header's value) is meant for this box, which is called `public_host` besides.
    pub(crate) fn are_ours(&self, host: &str, public_host: Option<&str>) -> bool {
        let name = without_port(host);
        if address(name).is_some() {
            return true;
        }
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        self.names.contains(&name) || public_host.is_some_and(|host| without_port(host).eq_ignore_ascii_case(&name))
    }
}

/// The host a request is meant for, as its sender wrote it, with the port if there was one.
pub(crate) fn requested_host<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Option<&'a str> {
    match uri.authority() {
        Some(authority) => Some(authority.as_str()),
        None => headers.get(header::HOST).and_then(|value| value.to_str().ok()),
    }
}

/// `[::1]:80` -> `[::1]`, `box.local:80` -> `box.local`.
pub(crate) fn without_port(host: &str) -> &str {
    if host.starts_with('[') {
        return host.split_inclusive(']').next().unwrap_or(host);
    }
    host.split(':').next().unwrap_or(host)
}

/// The address that a host without a port is, if it is no name.
pub(crate) fn address(name: &str) -> Option<IpAddr> {
    let inner = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
    match inner {
        Some(v6) => v6.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => name.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
    }
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

/// Refuses requests for hosts that are not ours.
pub(crate) async fn only_our_hosts(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    match requested_host(request.uri(), request.headers()) {
        Some(host) if app.hosts.are_ours(host, app.state.settings.now().web.public_host.as_deref()) => {
            next.run(request).await
        }
        _ => Problem::new(
            Kind::WrongHost,
            "this box answers to its IP address, its own .local name and web.public_host; use one of these",
        )
        .into_response(),
    }
}

/// Refuses state-changing requests that another site's page sent. One with an Authorization header is exempt: no page can add
/// that to a request to another site, and a cookie does not count beside it.
pub(crate) async fn only_our_pages(request: Request, next: Next) -> Response {
    let headers = request.headers();
    let safe = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    if !safe
        && !headers.contains_key(header::AUTHORIZATION)
        && is_cross_site(headers, requested_host(request.uri(), headers))
    {
        return Problem::new(Kind::CrossSite, "changes are accepted from this box's own pages only").into_response();
    }
    next.run(request).await
}

/// As Go's `net/http.CrossOriginProtection` judges: by `Sec-Fetch-Site`, else (browsers send that to HTTPS and localhost only)
/// by `Origin` against `Host`. A request with neither does not come from a browser.
fn is_cross_site(headers: &HeaderMap, host: Option<&str>) -> bool {
    if let Some(site) = headers.get("sec-fetch-site") {
        return !matches!(site.as_bytes(), b"same-origin" | b"none");
    }
    let Some(origin) = headers.get(header::ORIGIN) else {
        return false;
    };
    let origin_host = origin.to_str().ok().and_then(|origin| origin.split_once("://")).map(|(_, host)| host);
    match (origin_host, host) {
        (Some(origin), Some(host)) => !origin.eq_ignore_ascii_case(host),
        _ => true,
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn the_boxs_own_names_and_addresses_are_ours() {
        let hosts = Hosts::new("Venue-Box.lan");
        for host in [
            "192.168.1.7",
            "192.168.1.7:8080",
            "[::1]",
            "[fe80::1]:8080",
            "localhost:8080",
            "LOCALHOST",
            "motherstream.local",
            "venue-box",
            "venue-box.local:80",
            "venue-box.lan",
            "venue-box.local.",
            "stream.example.org",
        ] {
            assert!(hosts.are_ours(host, Some("stream.example.org:8080")), "{host}");
        }
    }

    #[test]
    fn everybody_elses_names_are_not() {
        let hosts = Hosts::new("venue-box");
        for host in [
            "evil.example",
            "localhost.evil.example",
            "venue-box.evil.example",
            "evil.local",
            "",
            "[::1",
            "::1",
            "1.2.3.4.evil",
        ] {
            assert!(!hosts.are_ours(host, None), "{host}");
        }
    }

    #[test]
    fn addresses_are_read_from_the_kernels_tables() {
        let trie = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n     |-- 127.0.0.1\n        /32 host LOCAL\n     \
                    |-- 192.0.2.0\n        /24 link UNICAST\n     |-- 192.0.2.2\n        /32 host LOCAL\nLocal:\n     |-- 192.0.2.2\n        /32 host LOCAL\n";
        assert_eq!(v4_addresses(trie), [Ipv4Addr::LOCALHOST, Ipv4Addr::new(192, 0, 2, 2)]);
        let list = "fd000000000000000000000000000002 04 40 00 82     eth0\nfe8000000000000000fc00fffe000001 04 40 20 80     eth0\n";
        assert_eq!(v6_addresses(list), ["fd00::2".parse::<Ipv6Addr>().unwrap()]);
        assert!(own_addresses().iter().all(|address| !address.is_loopback()));
    }

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap()))
            .collect()
    }

    #[test]
    fn another_sites_page_is_recognised_by_either_header() {
        for (pairs, cross) in [
            (&[][..], false),
            (&[("sec-fetch-site", "same-origin")], false),
            (&[("sec-fetch-site", "none")], false),
            (&[("sec-fetch-site", "same-site")], true),
            (&[("sec-fetch-site", "cross-site")], true),
            (&[("sec-fetch-site", "cross-site"), ("origin", "http://box.local")], true),
            (&[("origin", "http://box.local")], false),
            (&[("origin", "http://BOX.local")], false),
            (&[("origin", "http://box.local:81")], true),
            (&[("origin", "http://evil.example")], true),
            (&[("origin", "null")], true),
        ] {
            assert_eq!(is_cross_site(&headers(pairs), Some("box.local")), cross, "{pairs:?}");
        }
    }
}
