//! Which hosts are ours. A name that somebody else made point at this box (DNS rebinding) is refused, and so is a request that
//! another site's page sent with our cookie.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, Method, Uri, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::problem::{Kind, Problem};
use crate::control::{addresses::without_port, room::Control};

/// What a network at home or in a house puts behind a machine's name: nobody can have such a name in the world's DNS, so no page from
/// elsewhere makes one point here.
const HOUSE: [&str; 5] = ["lan", "home", "home.arpa", "internal", "localdomain"];

/// How the box is called where nobody named it otherwise.
const USUAL: &str = "motherstream";

/// The names this machine answers to, in lower case, besides `web.public_host` and `web.hosts`; IP addresses always are its own.
#[derive(Debug)]
pub(crate) struct Hosts {
    names: Vec<String>,
    /// The machine's own, without what stands behind it.
    own: Vec<String>,
}

impl Hosts {
    pub(crate) fn of_this_machine() -> Self {
        let machine = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        Self::new(machine.trim())
    }

    fn new(machine: &str) -> Self {
        let mut names = vec!["localhost".to_owned(), USUAL.to_owned(), format!("{USUAL}.local")];
        let mut own = vec![USUAL.to_owned()];
        let machine = machine.to_ascii_lowercase();
        if !machine.is_empty() {
            let first = machine.split('.').next().unwrap_or_default().to_owned();
            names.extend([format!("{first}.local"), first.clone(), machine]);
            own.push(first);
        }
        own.retain(|name| !name.is_empty() && name != "localhost");
        Self { names, own }
    }

    /// These names.
    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// Whether a request for `host` (a Host header's value) is meant for this box, which is called `more` besides.
    pub(crate) fn are_ours<'a>(&self, host: &str, more: impl IntoIterator<Item = &'a str>) -> bool {
        let name = without_port(host);
        if address(name).is_some() {
            return true;
        }
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        self.names.contains(&name)
            || self.own.iter().any(|own| is_of_the_house(own, &name))
            || more.into_iter().any(|host| without_port(host).eq_ignore_ascii_case(&name))
    }
}

/// Whether `name` is what a network calls the machine `own` by itself: with its own ending; or, where two are called alike, with a number
/// behind the name (`box-2.local` as Avahi counts, `box2.local` as systemd does).
fn is_of_the_house(own: &str, name: &str) -> bool {
    let Some((first, ending)) = name.split_once('.') else { return false };
    let Some(rest) = first.strip_prefix(own) else { return false };
    let number = rest.strip_prefix('-').unwrap_or(rest);
    if ending == "local" {
        return (1..=4).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_digit());
    }
    rest.is_empty() && HOUSE.contains(&ending)
}

/// The host a request is meant for, as its sender wrote it, with the port if there was one.
pub(crate) fn requested_host<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Option<&'a str> {
    match uri.authority() {
        Some(authority) => Some(authority.as_str()),
        None => headers.get(header::HOST).and_then(|value| value.to_str().ok()),
    }
}

/// The address that a host without a port is, if it is no name.
pub(crate) fn address(name: &str) -> Option<IpAddr> {
    let inner = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
    match inner {
        Some(v6) => v6.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => name.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
    }
}

/// Refuses requests for hosts that are not ours.
pub(crate) async fn only_our_hosts(
    State((hosts, control)): State<(Arc<Hosts>, Control)>,
    request: Request,
    next: Next,
) -> Response {
    match requested_host(request.uri(), request.headers()) {
        Some(host) if hosts.are_ours(host, control.config().web.names()) => next.run(request).await,
        _ => Problem::new(
            Kind::WrongHost,
            "this box answers to its IP address, its own .local name, web.public_host and web.hosts; use one of these, or add this name to \
             web.hosts",
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
            "motherstream",
            "venue-box",
            "venue-box.local:80",
            "venue-box.lan",
            "venue-box.local.",
            "stream.example.org",
            // As networks call it by themselves.
            "venue-box.home.arpa",
            "motherstream.lan",
            "motherstream7.local",
            "motherstream-2.local",
            "venue-box-12.local:8080",
        ] {
            assert!(hosts.are_ours(host, ["stream.example.org:8080"]), "{host}");
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
            "motherstream-evil.local",
            "motherstream-.local",
            "motherstream12345.local",
            "motherstream7.lan",
            "motherstream.fritz.box",
            "motherstream.lan.evil.example",
            "",
            "[::1",
            "::1",
            "1.2.3.4.evil",
        ] {
            assert!(!hosts.are_ours(host, []), "{host}");
        }
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
