//! Connection profiles as NetworkManager takes them.

use std::collections::HashMap;

use secrecy::{ExposeSecret, SecretString};
use zbus::Variant;

use super::{
    bus::Profile,
    order::{Addressing, Join},
    view::{ACCESS_POINT, SECOND},
};
use crate::core::network::{
    Purpose,
    wifi::{MOST_USER, Security, WifiError, check_name, check_passphrase, check_user},
};

/// The profile of the access point, by what it is for: the machine's own rules (nftables) go by these names.
pub(super) const SETUP: &str = "motherstream-setup";
pub(super) const GUESTS: &str = "motherstream-guests";
/// What the profiles of Wi-Fi networks that people joined on the page begin with.
const WIFI: &str = "motherstream-wifi-";
/// The profile of a cable whose address somebody fixed.
pub(super) const CABLE: &str = "motherstream-cable";

/// How long an address may take while somebody waits for it, in seconds.
const FIRST_ADDRESS: i32 = 30;
/// And afterwards: a venue's router may start after the box.
const ANY_ADDRESS: i32 = i32::MAX;

type Section = HashMap<String, Variant<'static>>;

fn section<const N: usize>(pairs: [(&str, Variant<'static>); N]) -> Section {
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn text(text: &str) -> Variant<'static> {
    Variant::from(text.to_owned())
}

fn bytes(text: &str) -> Variant<'static> {
    Variant::from(text.as_bytes().to_vec())
}

/// The name of the profile of the access point.
pub(super) const fn access_point_id(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::Setup | Purpose::Portal => SETUP,
        Purpose::Guests => GUESTS,
    }
}

/// The own access point.
pub(super) fn access_point(
    ssid: &str,
    purpose: Purpose,
    password: Option<&SecretString>,
    interface: &str,
    channel: Channel,
) -> Profile {
    let mut profile = Profile::from([
        (
            "connection".to_owned(),
            section([
                ("id", text(access_point_id(purpose))),
                ("type", text("802-11-wireless")),
                ("interface-name", text(interface)),
                ("autoconnect", Variant::from(false)),
            ]),
        ),
        (
            "802-11-wireless".to_owned(),
            section([
                ("ssid", bytes(ssid)),
                ("mode", text("ap")),
                ("band", text(if channel.is_5_ghz() { "a" } else { "bg" })),
                ("channel", Variant::from(channel.0)),
            ]),
        ),
        (
            "ipv4".to_owned(),
            section([("method", text("shared")), ("address-data", address_data(&[(&ACCESS_POINT.to_string(), 24)]))]),
        ),
        ("ipv6".to_owned(), section([("method", text("disabled"))])),
    ]);
    if let Some(password) = password {
        let closed = section([
            ("key-mgmt", text("wpa-psk")),
            ("psk", text(password.expose_secret())),
            ("proto", Variant::from(vec!["rsn".to_owned()])),
            ("pairwise", Variant::from(vec!["ccmp".to_owned()])),
            ("group", Variant::from(vec!["ccmp".to_owned()])),
        ]);
        profile.insert("802-11-wireless-security".to_owned(), closed);
    }
    profile
}

fn address_data(addresses: &[(&str, u32)]) -> Variant<'static> {
    let each = addresses.iter().map(|(address, prefix)| {
        HashMap::from([("address".to_owned(), text(address)), ("prefix".to_owned(), Variant::from(*prefix))])
    });
    Variant::from(each.collect::<Vec<HashMap<String, Variant<'static>>>>())
}

/// A venue's Wi-Fi, as it is tried: in memory, with an address within half a minute. `security`: how it showed in the last look around.
///
/// # Errors
/// What is wrong with what was written.
pub(super) fn venue(join: &Join, security: Option<Security>) -> Result<Profile, WifiError> {
    check_name(&join.ssid)?;
    if security == Some(Security::Wep) {
        return Err(WifiError::Wep);
    }
    let password = join.password.as_ref().map(ExposeSecret::expose_secret).filter(|password| !password.is_empty());
    let identity = join.identity.as_deref().map(str::trim).filter(|identity| !identity.is_empty());
    let server = join.server.as_deref().map(str::trim).filter(|server| !server.is_empty());
    for text in [identity, server].into_iter().flatten() {
        check_user(text)?;
    }
    let mut profile = Profile::from([
        (
            "connection".to_owned(),
            section([
                ("id", text(&format!("{WIFI}{}", join.ssid))),
                ("type", text("802-11-wireless")),
                // Not before it has worked once.
                ("autoconnect", Variant::from(false)),
                ("auth-retries", Variant::from(1_i32)),
            ]),
        ),
        // The radio's second interface is for the access point.
        ("match".to_owned(), section([("interface-name", Variant::from(vec![format!("!{SECOND}")]))])),
        (
            "802-11-wireless".to_owned(),
            section([
                ("ssid", bytes(&join.ssid)),
                ("mode", text("infrastructure")),
                ("hidden", Variant::from(join.hidden)),
            ]),
        ),
        ("ipv4".to_owned(), given(FIRST_ADDRESS)),
        ("ipv6".to_owned(), section([("method", text("auto"))])),
    ]);
    if security == Some(Security::Enterprise) || identity.is_some() {
        let (Some(identity), Some(password)) = (identity, password) else {
            return Err(if identity.is_none() { WifiError::NoIdentity } else { WifiError::NoPassword });
        };
        if password.len() > MOST_USER {
            return Err(WifiError::Length(password.len()));
        }
        profile.insert("802-11-wireless-security".to_owned(), section([("key-mgmt", text("wpa-eap"))]));
        let mut user = section([
            ("eap", Variant::from(vec!["peap".to_owned()])),
            ("phase2-auth", text("mschapv2")),
            ("identity", text(identity)),
            ("password", text(password)),
        ]);
        if let Some(server) = server {
            user.insert("domain-suffix-match".to_owned(), text(server));
            user.insert("system-ca-certs".to_owned(), Variant::from(true));
        }
        profile.insert("802-1x".to_owned(), user);
    } else if let Some(password) = password {
        if security.is_some_and(|security| !security.wants_password()) {
            // Joined without it, the box would be in somebody else's network, and keep that in place of the venue's.
            return Err(WifiError::Open);
        }
        check_passphrase(password)?;
        // It joins WPA3 by itself where that is spoken.
        let closed = section([("key-mgmt", text("wpa-psk")), ("psk", text(password))]);
        profile.insert("802-11-wireless-security".to_owned(), closed);
    } else if security.is_some_and(Security::wants_password) {
        return Err(WifiError::NoPassword);
    } else if security == Some(Security::Enhanced) {
        profile.insert("802-11-wireless-security".to_owned(), section([("key-mgmt", text("owe"))]));
    }
    Ok(profile)
}

fn given(seconds: i32) -> Section {
    section([("method", text("auto")), ("dhcp-timeout", Variant::from(seconds)), ("may-fail", Variant::from(false))])
}

/// The same, as it is kept once it has worked: it waits for an address for as long as that takes.
pub(super) fn kept(mut profile: Profile) -> Profile {
    if let Some(connection) = profile.get_mut("connection") {
        connection.insert("autoconnect".to_owned(), Variant::from(true));
        connection.remove("auth-retries");
    }
    profile.insert("ipv4".to_owned(), given(ANY_ADDRESS));
    profile
}

/// How addresses come, as a profile's `ipv4`.
pub(super) fn ipv4(addressing: &Addressing) -> HashMap<String, Variant<'static>> {
    match addressing {
        Addressing::Given => section([("method", text("auto")), ("dhcp-timeout", Variant::from(ANY_ADDRESS))]),
        Addressing::Fixed { address, gateway, dns } => {
            let own = address.addr().to_string();
            let mut section = section([
                ("method", text("manual")),
                ("address-data", address_data(&[(&own, u32::from(address.prefix_len()))])),
                ("dns-data", Variant::from(dns.iter().map(ToString::to_string).collect::<Vec<_>>())),
            ]);
            if let Some(gateway) = gateway {
                section.insert("gateway".to_owned(), text(&gateway.to_string()));
            }
            section
        }
    }
}

/// A cable, with addresses as they were chosen.
pub(super) fn cable(interface: &str, addressing: &Addressing) -> Profile {
    Profile::from([
        (
            "connection".to_owned(),
            section([
                ("id", text(CABLE)),
                ("type", text("802-3-ethernet")),
                ("interface-name", text(interface)),
                ("autoconnect", Variant::from(true)),
                ("autoconnect-priority", Variant::from(10_i32)),
            ]),
        ),
        ("ipv4".to_owned(), ipv4(addressing)),
        ("ipv6".to_owned(), section([("method", text("auto"))])),
    ])
}

/// A Wi-Fi channel, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Channel(pub(super) u32);

impl Channel {
    /// The channel of a frequency in MHz; none outside the bands that an access point is raised in.
    pub(super) const fn of(frequency: u32) -> Option<Self> {
        match frequency {
            2484 => Some(Self(14)),
            2412..=2472 => Some(Self((frequency - 2407) / 5)),
            5150..=5895 => Some(Self((frequency - 5000) / 5)),
            _ => None,
        }
    }

    const fn is_5_ghz(self) -> bool {
        self.0 > 14
    }

    /// Of the three that do not overlap and are allowed everywhere, the one that the fewest others use, each counted by its loudness.
    pub(super) fn quietest(others: impl Iterator<Item = (u32, u8)>) -> Self {
        let mut noise = [0_u32; 3];
        for (frequency, signal) in others {
            // 2412, 2437 and 2462 MHz; a network takes 20 MHz.
            for (noise, own) in noise.iter_mut().zip([2412_u32, 2437, 2462]) {
                if frequency.abs_diff(own) < 20 {
                    *noise += u32::from(signal);
                }
            }
        }
        // Of equals the middle one, as access points come.
        let [low, middle, high] = noise;
        let ranked = [(middle, 6), (low, 1), (high, 11)].into_iter().min_by_key(|(noise, _)| *noise);
        Self(ranked.map_or(6, |(_, channel)| channel))
    }
}
