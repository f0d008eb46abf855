//! Whether a destination leads to the box's own ingest: then the programme would come back as an input, in a loop.

use std::net::{IpAddr, Ipv4Addr};

use url::{Host, Url};

use super::port_of;

/// Where encoders publish to.
#[derive(Clone, Copy, Debug)]
pub enum OwnIngest<'a> {
    /// A port of this machine, by whatever name or address.
    Port(u16),
    /// A server elsewhere.
    Server(&'a Url),
}

impl OwnIngest<'_> {
    /// Whether `url` leads there. None: only the addresses of its host tell, which are to be compared with those of the ingest's
    /// host by [`is_own`].
    pub fn is_at(self, url: &Url) -> Option<bool> {
        let (port, same_host) = match self {
            Self::Port(port) => (Some(port), false),
            Self::Server(server) => (port_of(server), server.host_str() == url.host_str()),
        };
        if port.is_none() || port_of(url) != port { Some(false) } else { same_host.then_some(true) }
    }
}

/// Whether `url` points at a port of this machine. `own` are this machine's addresses, `own_port` is the ingest's. Another port on
/// this machine is fine. Names other than `localhost` must be looked up by the caller, and the addresses be given to [`is_own`].
pub fn points_at(url: &Url, own: &[IpAddr], own_port: u16) -> bool {
    let told = OwnIngest::Port(own_port).is_at(url);
    told.unwrap_or_else(|| written_address(url).is_some_and(|address| is_own(address, own)))
}

/// The address that stands in a URL: a number, or `localhost`.
fn written_address(url: &Url) -> Option<IpAddr> {
    // The URL's scheme is not one of the web's, so that its host is always kept as text: numbers are numbers here nevertheless.
    let host = url.host()?.to_string();
    if let Ok(address) = host.trim_start_matches('[').trim_end_matches(']').parse() {
        return Some(address);
    }
    match Host::parse(&host) {
        Ok(Host::Ipv4(address)) => Some(address.into()),
        Ok(Host::Ipv6(address)) => Some(address.into()),
        _ => {
            let name = host.trim_end_matches('.').to_ascii_lowercase();
            (name == "localhost" || name.ends_with(".localhost")).then_some(Ipv4Addr::LOCALHOST.into())
        }
    }
}

/// Whether `address` leads to the machine whose addresses are `own`. All of 127.0.0.0/8 and the unspecified address do when a
/// loopback address is among them.
pub fn is_own(address: IpAddr, own: &[IpAddr]) -> bool {
    let address = address.to_canonical();
    own.iter().any(|own| own.to_canonical() == address)
        || ((address.is_loopback() || address.is_unspecified())
            && own.iter().any(|own| own.to_canonical().is_loopback()))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn own_ingest_is_a_loop_and_other_ports_are_not() {
        let own: Vec<IpAddr> =
            ["127.0.0.1", "::1", "192.168.1.5", "fe80::1"].iter().map(|a| a.parse().unwrap()).collect();
        for (url, looped) in [
            ("rtmp://127.0.0.1/live", true),
            ("rtmp://127.0.0.1:1935/live", true),
            ("rtmp://127.9.9.9/live", true),
            ("rtmp://0.0.0.0/live", true),
            ("rtmp://localhost/live", true),
            ("rtmp://LOCALHOST./live", true),
            ("rtmp://x.localhost/live", true),
            ("rtmp://[::1]/live", true),
            ("rtmp://[::ffff:192.168.1.5]/live", true),
            ("rtmp://192.168.1.5/live", true),
            ("rtmp://127.1/live", true),
            ("rtmp://127.0.0.1:1936/live", false),
            ("rtmps://127.0.0.1/live", false),
            ("rtmps://127.0.0.1:1935/live", true),
            ("rtmp://192.168.1.6/live", false),
            ("rtmp://live.twitch.tv/app", false),
        ] {
            assert_eq!(points_at(&Url::parse(url).unwrap(), &own, 1935), looped, "{url}");
        }
        let elsewhere: Vec<IpAddr> = vec!["192.168.1.5".parse().unwrap()];
        assert!(!points_at(&Url::parse("rtmp://127.0.0.1/live").unwrap(), &elsewhere, 1935));
    }

    #[test]
    fn ingest_elsewhere_is_told_by_its_name_and_port_and_else_by_addresses() {
        let server = Url::parse("rtmp://srs.venue.lan/live").unwrap();
        for (url, told) in [
            ("rtmp://srs.venue.lan/other", Some(true)),
            ("rtmp://srs.venue.lan:1935/live", Some(true)),
            ("rtmp://srs.venue.lan:1936/live", Some(false)),
            ("rtmps://srs.venue.lan/live", Some(false)),
            ("rtmps://srs.venue.lan:1935/live", Some(true)),
            ("rtmp://10.0.0.5/live", None),
            ("rtmp://10.0.0.5:80/live", Some(false)),
            ("srt://10.0.0.5:1935", Some(false)),
        ] {
            assert_eq!(OwnIngest::Server(&server).is_at(&Url::parse(url).unwrap()), told, "{url}");
        }
        let unspoken = Url::parse("srt://10.0.0.5").unwrap();
        assert_eq!(OwnIngest::Server(&unspoken).is_at(&unspoken), Some(false));
    }
}
