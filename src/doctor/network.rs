//! The network, where it is the box's to set: whether NetworkManager is there, what is connected, and how far that leads.

use std::time::Duration;

use super::finding::{Finding, good, note};
use crate::{
    config::Config,
    control::network::{called, words},
    network::{Network, NetworkError, Snapshot},
};

/// How long NetworkManager is waited for.
const LIMIT: Duration = Duration::from_secs(10);

/// Asks it, on a runtime of its own; nothing where the network is the machine's own.
pub(super) fn examine(config: &Config) -> Option<Finding> {
    config.machine.boot_dir.as_ref()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
    let seen = runtime
        .block_on(async { tokio::time::timeout(LIMIT, Network::glance()).await.unwrap_or(Err(NetworkError::Slow)) });
    runtime.shutdown_background();
    Some(match seen {
        Ok(now) => told(&now, words(&now, config.network.hotspot)),
        Err(error) => note(
            format!("the network cannot be seen or set: {error}"),
            "NetworkManager belongs to the image; start the box again, and if this stays write the card anew",
        ),
    })
}

fn told(now: &Snapshot, trouble: Option<String>) -> Finding {
    if let Some(trouble) = trouble {
        let name = now.access_point_name.as_deref().map(|name| format!(", or join the Wi-Fi {name} with a phone"));
        return note(trouble, format!("the page Network, under System, says more{}", name.unwrap_or_default()));
    }
    let connected = now.interfaces.iter().filter(|interface| interface.is_uplink()).map(|interface| {
        let signal = interface.signal.map(|signal| format!(", {signal} %")).unwrap_or_default();
        let addresses: Vec<_> = interface.addresses.iter().map(ToString::to_string).collect();
        format!("{}{signal} ({})", called(interface), addresses.join(", "))
    });
    good(format!("network: {}", connected.collect::<Vec<_>>().join("; ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{Interface, Internet, Kind, State};

    fn wifi(state: State) -> Interface {
        Interface {
            name: "wlan0".to_owned(),
            kind: Kind::Wifi,
            state,
            link: true,
            mac: "02:00:00:00:00:01".to_owned(),
            ssid: Some("Venue".to_owned()),
            signal: Some(70),
            frequency: Some(2412),
            speed: None,
            addresses: vec![std::net::Ipv4Addr::new(192, 168, 1, 7).into()],
            gateway: None,
            dns: Vec::new(),
            fixed: false,
            internet: Internet::Full,
        }
    }

    #[test]
    fn what_is_connected_is_told_and_what_is_wrong_with_a_way_on() {
        let now = Snapshot { interfaces: vec![wifi(State::Up)], ..Snapshot::default() };
        assert_eq!(told(&now, None).what, "network: the Wi-Fi Venue, 70 % (192.168.1.7)");
        let name = Some("Motherstream-0001".to_owned());
        let now = Snapshot { access_point_name: name, ..Snapshot::default() };
        let advice = told(&now, Some("No network.".to_owned())).advice;
        assert!(advice.is_some_and(|advice| advice.contains("Motherstream-0001")));
    }
}
