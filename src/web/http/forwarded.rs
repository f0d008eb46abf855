//! Requests that come through a proxy. Of one that `web.trusted_proxies` names it is believed for whom it asks: that address counts for
//! limits and logs, the scheme and host that it was asked by for links and cookies. Of anybody else such headers count for nothing, but for
//! this: whoever sends them is nobody's neighbour.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use axum::{
    extract::{ConnectInfo, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Uri, header, request::Parts},
    middleware::Next,
    response::Response,
};

use super::{connections::Encrypted, hosts::requested_host};
use crate::{config::WebConfig, web::app::App};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// What proxies say of whom they ask for, whichever of them.
const PROXIED: [HeaderName; 4] =
    [header::FORWARDED, X_FORWARDED_FOR, HeaderName::from_static("x-real-ip"), header::VIA];

/// Proxies that one request has passed, at most; more are made up.
const MOST_HOPS: usize = 32;

/// In the extensions of every request that came through a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Through {
    /// One that is named, and says whom it asks for: the request's address is that one's.
    Named,
    /// Another one, or one that does not say: the request's address is the proxy's.
    Unknown,
}

/// Reads what a named proxy says, and puts it where the connection's own address and encryption stand.
pub(crate) async fn resolve(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let config = app.control.config();
    let host_is_ours =
        requested_host(&parts.uri, &parts.headers).is_some_and(|host| app.hosts.are_ours(host, config.web.names()));
    believe(&mut parts, &config.web, host_is_ours);
    next.run(Request::from_parts(parts, body)).await
}

fn believe(parts: &mut Parts, web: &WebConfig, host_is_ours: bool) {
    let Some(ConnectInfo(peer)) = parts.extensions.get::<ConnectInfo<SocketAddr>>().copied() else { return };
    let trusts = |address: IpAddr| {
        let address = address.to_canonical();
        web.trusted_proxies.iter().any(|network| network.contains(&address))
    };
    if !trusts(peer.ip()) {
        if PROXIED.iter().any(|name| parts.headers.contains_key(name)) {
            parts.extensions.insert(Through::Unknown);
        }
        return;
    }
    let listed = listed(&parts.headers);
    let standard = standard(&parts.headers);
    let said = match (nearest(&listed, trusts), nearest(&standard, trusts)) {
        (client, None) if standard.is_empty() => client,
        (None, client) if listed.is_empty() => client,
        // A proxy writes one of the two and lets the other pass as it came: who is believed of two that differ, a client could choose.
        (Some(one), Some(other)) if one.address == other.address => Some(one),
        _ => None,
    };
    match said.and_then(|hop| hop.address) {
        Some(client) => {
            parts.extensions.insert(ConnectInfo(SocketAddr::new(client, 0)));
            parts.extensions.insert(Through::Named);
        }
        None => {
            parts.extensions.insert(Through::Unknown);
        }
    }
    let first = |name: &HeaderName| {
        let value = parts.headers.get(name)?.to_str().ok()?;
        Some(value.split(',').next()?.trim().to_owned()).filter(|value| !value.is_empty())
    };
    let by_standard = nearest(&standard, trusts);
    let scheme = first(&X_FORWARDED_PROTO).or_else(|| by_standard?.scheme.clone());
    let host = first(&X_FORWARDED_HOST).or_else(|| by_standard?.host.clone());
    match scheme.as_deref() {
        Some(scheme) if scheme.eq_ignore_ascii_case("https") => {
            parts.extensions.insert(Encrypted);
        }
        Some(scheme) if scheme.eq_ignore_ascii_case("http") => {
            parts.extensions.remove::<Encrypted>();
        }
        _ => {}
    }
    // Where the one that was sent is not ours, another site's page may have sent this: then it stays, and is refused.
    if let Some(host) = host.filter(|_| host_is_ours).and_then(|host| HeaderValue::from_str(&host).ok()) {
        parts.headers.insert(header::HOST, host);
        if parts.uri.authority().is_some()
            && let Some(path) = parts.uri.path_and_query().cloned()
        {
            parts.uri = Uri::from(path);
        }
    }
}

/// One proxy's word for whom it asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Hop {
    /// None where it is kept secret, or makes no sense.
    address: Option<IpAddr>,
    scheme: Option<String>,
    host: Option<String>,
}

/// The word of the outermost proxy that is trusted: read from the right, where the last one wrote, the first address that is no trusted
/// proxy's. None where a word is not understood before that, or there is none.
fn nearest(hops: &[Hop], trusts: impl Fn(IpAddr) -> bool) -> Option<&Hop> {
    let mut nearest = None;
    for hop in hops.iter().rev().take(MOST_HOPS) {
        let address = hop.address?;
        nearest = Some(hop);
        if !trusts(address) {
            break;
        }
    }
    nearest
}

/// `X-Forwarded-For: client, proxy, proxy`.
fn listed(headers: &HeaderMap) -> Vec<Hop> {
    let values = headers.get_all(X_FORWARDED_FOR).into_iter().map(|value| value.to_str().unwrap_or("?"));
    let hops = values.flat_map(|value| value.split(','));
    hops.map(|text| Hop { address: address(text), ..Hop::default() }).collect()
}

/// `Forwarded: for=client;proto=https;host=box.example, for=proxy` (RFC 7239).
fn standard(headers: &HeaderMap) -> Vec<Hop> {
    let values = headers.get_all(header::FORWARDED).into_iter().map(|value| value.to_str().unwrap_or("?"));
    values.flat_map(|value| split(value, ',')).map(hop).collect()
}

fn hop(element: &str) -> Hop {
    let mut hop = Hop::default();
    for pair in split(element, ';') {
        let Some((name, value)) = pair.split_once('=') else { continue };
        let value = value.trim().trim_matches('"');
        match name.trim().to_ascii_lowercase().as_str() {
            "for" => hop.address = address(value),
            "proto" => hop.scheme = Some(value.to_owned()),
            "host" => hop.host = Some(value.to_owned()),
            _ => {}
        }
    }
    hop
}

/// The parts between separators that stand in no quotes.
fn split(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    text.split(move |c: char| {
        quoted ^= c == '"';
        c == separator && !quoted
    })
}

/// `192.0.2.7`, `192.0.2.7:4711`, `2001:db8::7`, `[2001:db8::7]`, `[2001:db8::7]:4711`.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()));
    address.as_ref().map(IpAddr::to_canonical)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests {
    use axum::http::Request as HttpRequest;

    use super::*;
    use crate::control::testing::{config, folder};

    /// From where and how a request counts as sent, which came from `peer` with these headers.
    fn counted(peer: &str, headers: &[(&str, &str)]) -> (String, Option<Through>, bool, String) {
        let folder = folder();
        let settings = [("WEB__TRUSTED_PROXIES", "[\"127.0.0.1\", \"10.1.0.0/16\", \"fd00::/64\"]")];
        let config = config(folder.path(), &settings).config;
        let mut request = HttpRequest::get("/").header("host", "127.0.0.1:8080");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        parts.extensions.insert(ConnectInfo(SocketAddr::new(peer.parse().unwrap(), 4711)));
        believe(&mut parts, &config.web, true);
        let ConnectInfo(address) = parts.extensions.get::<ConnectInfo<SocketAddr>>().unwrap();
        (
            address.ip().to_string(),
            parts.extensions.get::<Through>().copied(),
            parts.extensions.get::<Encrypted>().is_some(),
            parts.headers["host"].to_str().unwrap().to_owned(),
        )
    }

    #[test]
    fn named_proxy_is_believed_for_whom_it_asks_and_nobody_further_out() {
        for (headers, client) in [
            (&[("x-forwarded-for", "203.0.113.9")][..], "203.0.113.9"),
            // What the client wrote itself stands further left.
            (&[("x-forwarded-for", "198.51.100.1, 203.0.113.9")], "203.0.113.9"),
            (&[("x-forwarded-for", "198.51.100.1"), ("x-forwarded-for", "203.0.113.9, 10.1.2.3")], "203.0.113.9"),
            (&[("x-forwarded-for", "203.0.113.9:51234")], "203.0.113.9"),
            (&[("x-forwarded-for", "::ffff:203.0.113.9")], "203.0.113.9"),
            (&[("x-forwarded-for", "2001:db8::9")], "2001:db8::9"),
            // All of them ours: the outermost.
            (&[("x-forwarded-for", "10.1.0.9, 10.1.2.3")], "10.1.0.9"),
            (&[("forwarded", "for=198.51.100.1, for=\"[2001:db8::9]:4711\";proto=https")], "2001:db8::9"),
            (&[("forwarded", "For=203.0.113.9;by=\"a,b\"")], "203.0.113.9"),
            (&[("forwarded", "for=203.0.113.9"), ("x-forwarded-for", "203.0.113.9")], "203.0.113.9"),
        ] {
            let (address, through, ..) = counted("127.0.0.1", headers);
            assert_eq!((address.as_str(), through), (client, Some(Through::Named)), "{headers:?}");
        }
    }

    #[test]
    fn what_is_not_understood_or_said_in_two_ways_is_not_believed() {
        for headers in [
            &[][..],
            &[("x-forwarded-for", "unknown")],
            &[("x-forwarded-for", "203.0.113.9, nonsense")],
            &[("x-forwarded-for", "")],
            &[("forwarded", "for=_hidden")],
            &[("forwarded", "proto=https")],
            &[("forwarded", "for=198.51.100.1"), ("x-forwarded-for", "203.0.113.9")],
            &[("forwarded", "for=_hidden"), ("x-forwarded-for", "203.0.113.9")],
        ] {
            let (address, through, ..) = counted("127.0.0.1", headers);
            assert_eq!((address.as_str(), through), ("127.0.0.1", Some(Through::Unknown)), "{headers:?}");
        }
        let far = ["10.1.0.1"; 1000].join(",");
        assert_eq!(counted("127.0.0.1", &[("x-forwarded-for", &format!("203.0.113.9,{far}"))]).0, "10.1.0.1");
    }

    #[test]
    fn headers_of_anybody_else_count_for_nothing() {
        let headers = [
            ("x-forwarded-for", "203.0.113.9"),
            ("forwarded", "for=203.0.113.9;proto=https;host=evil.example"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "evil.example"),
        ];
        for peer in ["127.0.0.2", "192.0.2.7", "fd00:0:0:1::7"] {
            let (address, through, encrypted, host) = counted(peer, &headers);
            assert_eq!((address.as_str(), encrypted, host.as_str()), (peer, false, "127.0.0.1:8080"));
            assert_eq!(through, Some(Through::Unknown));
        }
        assert_eq!(counted("192.0.2.7", &[]).1, None);
    }

    #[test]
    fn scheme_and_host_by_which_a_named_proxy_was_asked_are_the_pages() {
        for (headers, encrypted, host) in [
            (&[("x-forwarded-proto", "https")][..], true, "127.0.0.1:8080"),
            (&[("x-forwarded-proto", "http")], false, "127.0.0.1:8080"),
            (&[("x-forwarded-proto", "HTTPS"), ("x-forwarded-host", "stage.example")], true, "stage.example"),
            (&[("forwarded", "for=203.0.113.9;proto=https;host=\"stage.example:444\"")], true, "stage.example:444"),
        ] {
            let (_, _, secure, name) = counted("fd00::7", headers);
            assert_eq!((secure, name.as_str()), (encrypted, host), "{headers:?}");
        }
    }
}
