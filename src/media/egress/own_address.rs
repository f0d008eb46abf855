//! Whether an address leads back to this machine's own ingest.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use url::Url;

use crate::core::destination::{is_own, points_at, port_of};

/// A name that can not be looked up in this time is taken for somebody else's: the box may have no internet yet.
const LOOK_UP: Duration = Duration::from_secs(2);

/// The addresses at which an ingest that listens at `listen` is reached: that address, or all of this machine's.
pub fn own_addresses(listen: SocketAddr) -> Vec<IpAddr> {
    if !listen.ip().is_unspecified() {
        return vec![listen.ip()];
    }
    let mut own = vec![IpAddr::from([127, 0, 0, 1]), IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1])];
    // Without the list there is still loopback, which is what people try.
    own.extend(if_addrs::get_if_addrs().unwrap_or_default().iter().map(if_addrs::Interface::ip));
    own
}

/// Whether `url` leads to the ingest that listens at `listen`: the programme would go round and round. Looks names up, which
/// takes 2 s at most. Other ports of this machine are fine.
pub async fn leads_to_own_ingest(url: &Url, listen: SocketAddr) -> bool {
    let own = own_addresses(listen);
    if points_at(url, &own, listen.port()) {
        return true;
    }
    if port_of(url) != listen.port() {
        return false;
    }
    let Some(host) = url.host_str().map(|host| host.trim_start_matches('[').trim_end_matches(']')) else {
        return false;
    };
    match tokio::time::timeout(LOOK_UP, tokio::net::lookup_host((host, port_of(url)))).await {
        Ok(Ok(mut found)) => found.any(|address| is_own(address.ip(), &own)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[tokio::test]
    async fn own_ingest_is_found_by_address_and_by_name_and_other_ports_are_not() {
        let listen = "0.0.0.0:1935".parse().unwrap();
        for (url, own) in
            [("rtmp://127.0.0.1/live", true), ("rtmp://localhost/live", true), ("rtmp://127.0.0.1:19350/live", false)]
        {
            assert_eq!(leads_to_own_ingest(&Url::parse(url).unwrap(), listen).await, own, "{url}");
        }
        for interface in if_addrs::get_if_addrs().unwrap().into_iter().filter(|found| found.ip().is_ipv4()) {
            let url = Url::parse(&format!("rtmp://{}/live", interface.ip())).unwrap();
            assert!(leads_to_own_ingest(&url, listen).await, "{url}");
        }
    }

    #[tokio::test]
    async fn ingest_of_one_address_is_not_reached_at_another() {
        let listen = "127.0.0.2:1935".parse().unwrap();
        assert!(leads_to_own_ingest(&Url::parse("rtmp://127.0.0.2/live").unwrap(), listen).await);
        assert!(!leads_to_own_ingest(&Url::parse("rtmp://192.0.2.1/live").unwrap(), listen).await);
    }
}
