//! The network of a box that is an image of its own: which networks it joins, how it gets its addresses, its own access point; and what is
//! wrong with it, in the words of a venue.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use sysinfo::System;
use utoipa::ToSchema;

use super::{denied::Denied, journal::By, room::Control};
use crate::{
    core::network::{Hotspot, Purpose},
    network::{ACCESS_POINT, Addressing, Interface, Internet, Join, Kind, Manager, Snapshot},
};

/// A Wi-Fi network to join, as a person writes it.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct JoinWifi {
    /// Its name: 1 to 32 bytes, as it is announced.
    pub(crate) ssid: String,
    /// Its password: 8 to 63 characters; of a network that asks each for their own, the user's. It is never told again.
    #[schema(value_type = Option<String>)]
    pub(crate) password: Option<SecretString>,
    /// It does not announce its name.
    #[serde(default)]
    pub(crate) hidden: bool,
    /// The user name, where the network asks each for their own.
    pub(crate) identity: Option<String>,
    /// The name in the certificate of the venue's server: who else has one is refused then.
    pub(crate) server: Option<String>,
}

/// How an interface is to get its address. Without an address the venue's network gives it.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AddressWanted {
    /// A fixed IPv4 address with its prefix, such as `192.168.1.7/24`.
    pub(crate) address: Option<String>,
    /// The way out, such as `192.168.1.1`.
    pub(crate) gateway: Option<String>,
    /// Who is asked for names.
    #[serde(default)]
    pub(crate) dns: Vec<String>,
}

impl AddressWanted {
    /// # Errors
    /// The field that is none.
    fn read(&self) -> Result<Addressing, Denied> {
        let filled =
            |text: &Option<String>| text.as_deref().map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned);
        let dns: Vec<_> = self.dns.iter().map(|text| text.trim()).filter(|text| !text.is_empty()).collect();
        let Some(address) = filled(&self.address) else {
            if filled(&self.gateway).is_some() || !dns.is_empty() {
                return Err(Denied::invalid(
                    "address",
                    "write the fixed address too, such as 192.168.1.7/24; or leave all of it empty",
                ));
            }
            return Ok(Addressing::Given);
        };
        let address: Ipv4Net = address
            .parse()
            .map_err(|_| Denied::invalid("address", "write an IPv4 address with its prefix, such as 192.168.1.7/24"))?;
        if !is_a_hosts(address) {
            return Err(Denied::invalid(
                "address",
                format!("no machine can have {address}: it is not one within a network"),
            ));
        }
        if address.contains(&ACCESS_POINT) {
            return Err(Denied::invalid(
                "address",
                format!("{ACCESS_POINT} is what the box is called on its own Wi-Fi; take another network"),
            ));
        }
        let one = |field: &'static str, text: &str| {
            text.parse::<Ipv4Addr>()
                .map_err(|_| Denied::invalid(field, format!("{text} is no IPv4 address, such as 192.168.1.1")))
        };
        let gateway = filled(&self.gateway).map(|text| one("gateway", &text)).transpose()?;
        if let Some(gateway) = gateway.filter(|gateway| !address.contains(gateway) || *gateway == address.addr()) {
            return Err(Denied::invalid(
                "gateway",
                format!("{gateway} is not another machine in the network of {address}"),
            ));
        }
        if dns.len() > 3 {
            return Err(Denied::invalid("dns", "name three at most"));
        }
        let dns = dns.into_iter().map(|text| one("dns", text)).collect::<Result<_, _>>()?;
        Ok(Addressing::Fixed { address, gateway, dns })
    }
}

/// Whether a machine can have it: neither the network's own address nor everybody's.
fn is_a_hosts(address: Ipv4Net) -> bool {
    let own = address.addr();
    let small = address.prefix_len() < 31 && (own == address.network() || own == address.broadcast());
    (8..=32).contains(&address.prefix_len())
        && !small
        && !own.is_loopback()
        && !own.is_multicast()
        && !own.is_unspecified()
}

/// Has the radio look for networks. The snapshot has them then; while the radio is the access point, those that it saw before.
///
/// # Errors
/// Without NetworkManager or a radio.
pub(crate) async fn look(control: &Control) -> Result<(), Denied> {
    Ok(control.parts().network.look().await?)
}

/// Joins a Wi-Fi network. It begins; the snapshot says how it ends.
///
/// # Errors
/// What is wrong with what was written, that a show is in the way, or that another join is under way.
pub(crate) async fn join(control: &Control, by: &By, wanted: JoinWifi) -> Result<(), Denied> {
    let now = control.network();
    // One that is chosen is taken as it is; one that is typed loses the space that a phone's keyboard adds.
    let heard = now.networks.iter().any(|network| network.ssid == wanted.ssid);
    let ssid = if heard { wanted.ssid } else { wanted.ssid.trim().to_owned() };
    by.did("network.join", ssid.clone());
    let uplink = now.interfaces.iter().find(|interface| interface.kind == Kind::Wifi && interface.is_uplink());
    spares_the_show(control, uplink, "join another network")?;
    spares_the_streamers(control, &now, "join another network")?;
    let filled = |text: Option<String>| text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    let join = Join {
        ssid,
        password: wanted.password.filter(|password| !password.expose_secret().is_empty()),
        hidden: wanted.hidden,
        identity: filled(wanted.identity),
        server: filled(wanted.server),
    };
    Ok(control.parts().network.join(join).await?)
}

/// Forgets a Wi-Fi network: the box leaves it, and does not join it by itself any more.
///
/// # Errors
/// That it is not known, or that the show goes over it.
pub(crate) async fn forget(control: &Control, by: &By, ssid: &str) -> Result<(), Denied> {
    by.did("network.forget", ssid);
    let now = control.network();
    let used = now.interfaces.iter().find(|interface| interface.is_uplink() && interface.ssid.as_deref() == Some(ssid));
    spares_the_show(control, used, "forget it")?;
    if is_only_way(&now, ssid) && control.config().network.hotspot == Hotspot::Off {
        let why = "nothing else leads to the box, and its own Wi-Fi is off: plug a cable in or join another network first, or choose when its own \
                   Wi-Fi is there under Settings, Network";
        return Err(Denied::not_now(why));
    }
    Ok(control.parts().network.forget(ssid.to_owned()).await?)
}

/// Whether nothing but this Wi-Fi leads to the box.
pub(crate) fn is_only_way(now: &Snapshot, ssid: &str) -> bool {
    let mut uplinks = now.interfaces.iter().filter(|interface| interface.is_uplink());
    uplinks.next().is_some_and(|uplink| uplink.ssid.as_deref() == Some(ssid)) && uplinks.next().is_none()
}

/// The Wi-Fi that the box leaves when its own is switched on: its radio is the only one.
pub(crate) fn left_for_own(now: &Snapshot) -> Option<&Interface> {
    let taken = now.access_point.is_none() && now.radios() < 2;
    now.interfaces.iter().find(|interface| taken && interface.kind == Kind::Wifi && interface.is_uplink())
}

/// Raises the own access point, or lowers it.
///
/// # Errors
/// Without a radio; and that it would take the show's network away, or the streamers'.
pub(crate) async fn hotspot(control: &Control, by: &By, on: bool) -> Result<(), Denied> {
    by.did("network.hotspot", if on { "on" } else { "off" });
    let now = control.network();
    if on {
        spares_the_show(control, left_for_own(&now), "switch the box's own Wi-Fi on")?;
    } else {
        spares_the_streamers(control, &now, "switch it off")?;
        if control.config().network.hotspot == Hotspot::Always {
            let why = "the box's own Wi-Fi is set to be there always: choose another under Settings, Network";
            return Err(Denied::not_now(why));
        }
    }
    Ok(control.parts().network.hotspot(on).await?)
}

/// Sets how an interface gets its address: tried for a minute, and taken back unless somebody confirms it.
///
/// # Errors
/// What is wrong with what was written, that the show goes over it, or that another change is being tried.
pub(crate) async fn address(control: &Control, by: &By, interface: &str, wanted: &AddressWanted) -> Result<(), Denied> {
    let how = wanted.address.as_deref().map(str::trim).filter(|address| !address.is_empty()).unwrap_or("given");
    by.did("network.address", format!("{interface}: {how}"));
    let addressing = wanted.read()?;
    let now = control.network();
    let used = now.interfaces.iter().find(|used| used.name == interface && used.is_uplink());
    spares_the_show(control, used, "change its address")?;
    Ok(control.parts().network.address(interface.to_owned(), addressing).await?)
}

/// Keeps what is tried, or takes it back now.
///
/// # Errors
/// That nothing is tried.
pub(crate) async fn confirm(control: &Control, by: &By, keep: bool) -> Result<(), Denied> {
    by.did("network.confirm", if keep { "kept" } else { "taken back" });
    Ok(control.parts().network.confirm(keep).await?)
}

/// Somebody on the access point did something: it is not taken down under them.
pub(crate) fn touch(control: &Control, signed_in: bool) {
    control.parts().network.touch(signed_in);
}

/// The password of the streamers' Wi-Fi, for those who may hand it out; none while it has none.
pub(crate) fn guests_password(control: &Control) -> Option<SecretString> {
    control.config().network.setup_password.clone().or_else(|| control.parts().network.guests_password())
}

/// Whether whoever is on the box's own Wi-Fi loses it when the box joins another: its radio is the only one, and cannot be both.
pub(crate) fn loses_access_point(now: &Snapshot) -> bool {
    now.access_point.is_some() && now.radios() < 2
}

/// Where the page is found in a network that the box is about to join: by name, because nobody knows the address yet.
pub(crate) fn pages(control: &Control) -> Vec<String> {
    let own = System::host_name().ok().filter(|name| !name.is_empty() && name != "localhost");
    let own = own.map(|name| name.split('.').next().unwrap_or_default().to_owned());
    let own = format!("{}.local", own.as_deref().unwrap_or("motherstream"));
    let hosts = control.config().web.public_host.clone().into_iter().chain([own]);
    hosts.map(|host| format!("http://{}/", control.doors().plain_host(&host))).collect()
}

/// A show that goes over an interface is not cut off: its encoders and platforms are there.
fn spares_the_show(control: &Control, used: Option<&Interface>, what: &str) -> Result<(), Denied> {
    match used.filter(|_| control.snapshot().queue.show) {
        Some(used) => {
            Err(Denied::not_now(format!("a show is on and goes over {}: end it first, then {what}", called(used))))
        }
        None => Ok(()),
    }
}

/// Encoders that came over the box's own Wi-Fi stay, too.
fn spares_the_streamers(control: &Control, now: &Snapshot, what: &str) -> Result<(), Denied> {
    let streamers = now.access_point.as_ref().is_some_and(|own| own.purpose == Purpose::Guests);
    if streamers && control.snapshot().queue.show {
        return Err(Denied::not_now(format!(
            "a show is on and streamers are on the box's own Wi-Fi: end it first, then {what}"
        )));
    }
    Ok(())
}

/// An interface, as people call it.
pub(crate) fn called(interface: &Interface) -> String {
    match (interface.kind, &interface.ssid) {
        (Kind::Cable, _) => "the network cable".to_owned(),
        (Kind::Wifi, Some(ssid)) => format!("the Wi-Fi {ssid}"),
        (Kind::Wifi, None) => "Wi-Fi".to_owned(),
    }
}

/// What is wrong with the network, in words for people; none while it is well, not looked at yet, or not the box's to set.
pub(crate) fn trouble(control: &Control) -> Option<String> {
    words(&control.network(), control.config().network.hotspot)
}

pub(crate) fn words(now: &Snapshot, hotspot: Hotspot) -> Option<String> {
    if !now.own {
        return None;
    }
    if now.manager == Manager::Silent {
        return Some("The network service does not answer: networks cannot be joined or changed until it does. What is connected stays so.".to_owned());
    }
    if now.manager != Manager::There {
        return None;
    }
    if let Some(ssid) = &now.joining {
        return Some(format!("The box is joining {ssid}."));
    }
    let Some(uplink) = now.uplink() else {
        // A venue with no network at all runs a night on the box's own.
        if hotspot == Hotspot::Always && now.access_point.is_some() {
            return Some(
                "No network: streamers on the box's own Wi-Fi are taken, and no platform is reached.".to_owned(),
            );
        }
        return Some(match now.outcome.as_ref().filter(|outcome| outcome.failure.is_some()) {
            Some(outcome) => format!("No network. {}", outcome.message),
            None if now.has_cable() => {
                "No network: the cable is plugged in, and nothing on it gives the box an address. Is the venue's router on?".to_owned()
            }
            None if now.has_radio() => "No network: no cable is plugged in, and no Wi-Fi is joined.".to_owned(),
            None => "No network: is the cable plugged in at both ends?".to_owned(),
        });
    };
    match now.internet {
        Internet::Portal => Some(format!(
            "No internet yet: {} wants somebody to sign in on a page of the venue's own. The page Network says how.",
            called(uplink)
        )),
        Internet::None | Internet::Limited if uplink.fixed => Some(format!(
            "No internet: {} has the fixed address {}, which may be another venue's. The page Network takes it back; without a way to that \
             page, the box's own Wi-Fi comes up.",
            called(uplink),
            uplink.addresses.first().map(ToString::to_string).unwrap_or_default()
        )),
        Internet::None | Internet::Limited => {
            Some(format!("No internet: {} leads no further than the venue. No platform is reached.", called(uplink)))
        }
        Internet::Unknown | Internet::Full => None,
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::{
        control::testing::cable,
        core::network::wifi::Failure,
        network::{Outcome, State},
    };

    fn wanted(address: &str, gateway: &str, dns: &[&str]) -> AddressWanted {
        AddressWanted {
            address: Some(address.to_owned()),
            gateway: Some(gateway.to_owned()),
            dns: dns.iter().map(|&text| text.to_owned()).collect(),
        }
    }

    #[test]
    fn addresses_that_no_machine_can_have_are_refused_beside_their_field() {
        assert_eq!(wanted(" ", "", &[""]).read().unwrap(), Addressing::Given);
        let fixed = wanted(" 192.168.1.7/24", "192.168.1.1", &["9.9.9.9"]).read().unwrap();
        let Addressing::Fixed { address, gateway, dns } = fixed else { unreachable!("it is fixed") };
        assert_eq!(address.to_string(), "192.168.1.7/24");
        assert_eq!((gateway, dns.len()), (Some(Ipv4Addr::new(192, 168, 1, 1)), 1));
        for (address, gateway, dns, field) in [
            ("192.168.1.7", "", [""], "address"),
            ("192.168.1.0/24", "", [""], "address"),
            ("192.168.1.255/24", "", [""], "address"),
            ("127.0.0.1/8", "", [""], "address"),
            ("10.0.0.1/4", "", [""], "address"),
            ("4.3.2.9/24", "", [""], "address"),
            ("", "192.168.1.1", [""], "address"),
            ("192.168.1.7/24", "192.168.2.1", [""], "gateway"),
            ("192.168.1.7/24", "192.168.1.7", [""], "gateway"),
            ("192.168.1.7/24", "router", [""], "gateway"),
            ("192.168.1.7/24", "", ["router"], "dns"),
        ] {
            let denied = wanted(address, gateway, &dns).read().unwrap_err();
            let Denied::Invalid { field: blamed, .. } = denied else { unreachable!("{denied}") };
            assert_eq!(blamed, field, "{address} {gateway} {dns:?}");
        }
    }

    #[test]
    fn trouble_is_told_in_the_words_of_a_venue() {
        let there = Snapshot { own: true, manager: Manager::There, ..Snapshot::default() };
        let told = |snapshot: &Snapshot| words(snapshot, Hotspot::Setup).unwrap_or_default();
        assert_eq!(told(&Snapshot { own: false, ..there.clone() }), "", "somebody's own computer");
        assert_eq!(told(&Snapshot { manager: Manager::Absent, ..there.clone() }), "");
        assert!(told(&Snapshot { manager: Manager::Silent, ..there.clone() }).contains("does not answer"));
        assert!(told(&there).contains("is the cable plugged in"));
        let unplugged = Interface { state: State::Down, addresses: Vec::new(), ..cable(Internet::None) };
        let plugged = Snapshot { interfaces: vec![unplugged], ..there.clone() };
        assert!(told(&plugged).contains("gives the box an address"));
        let outcome = Outcome {
            ssid: "Venue".to_owned(),
            failure: Some(Failure::NotFound),
            message: Failure::NotFound.words("Venue"),
            hidden: false,
            identity: None,
            server: None,
        };
        assert!(told(&Snapshot { outcome: Some(outcome), ..there.clone() }).contains("No network called Venue"));
        let on = |internet| Snapshot { interfaces: vec![cable(internet)], internet, ..there.clone() };
        assert!(told(&on(Internet::Portal)).contains("sign in on a page of the venue's own"));
        assert!(told(&on(Internet::Limited)).contains("No internet"));
        assert_eq!(told(&on(Internet::Full)), "");
        assert_eq!(told(&on(Internet::Unknown)), "", "the venue does not want it looked for");
        assert!(told(&Snapshot { joining: Some("Venue".to_owned()), ..there }).contains("joining Venue"));
    }
}
