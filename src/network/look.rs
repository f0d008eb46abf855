//! What NetworkManager says, made into what the box shows and the rule is told.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr},
};

use zbus::{OwnedObjectPath, Variant};

use super::{
    bus::{ACTIVE, DEVICE, Kept, Objects, PROFILE, Properties},
    profile::{GUESTS, SETUP},
    view::{Interface, Internet, Kind, SECOND, State, Visible},
};
use crate::core::network::wifi::Security;

const WIRELESS: &str = "org.freedesktop.NetworkManager.Device.Wireless";
const WIRED: &str = "org.freedesktop.NetworkManager.Device.Wired";
const HEARD: &str = "org.freedesktop.NetworkManager.AccessPoint";
const MANAGER: &str = "org.freedesktop.NetworkManager";
const IP4: &str = "org.freedesktop.NetworkManager.IP4Config";
const IP6: &str = "org.freedesktop.NetworkManager.IP6Config";

/// Device types: Ethernet, Wi-Fi, and the end of a virtual cable.
const ETHERNET: u32 = 1;
const WIFI: u32 = 2;
const VETH: u32 = 20;
/// Device states: not NetworkManager's; not to be used; nothing joined; everything from the first step to the last; joined.
const UNMANAGED: u32 = 10;
const UNAVAILABLE: u32 = 20;
const DISCONNECTED: u32 = 30;
pub(super) const ACTIVATED: u32 = 100;
pub(super) const FAILED: u32 = 120;
/// A radio's mode as an access point.
const AS_ACCESS_POINT: u32 = 3;
/// Networks that are kept of one look around. Halls have many; people read the loudest.
pub(super) const MOST_NETWORKS: usize = 60;
/// Profiles that are read.
const MOST_PROFILES: usize = 64;

/// A Wi-Fi or cable of the box, with what it is called on the bus.
#[derive(Clone, Debug)]
pub(super) struct Device {
    pub(super) path: OwnedObjectPath,
    pub(super) shown: Interface,
    /// The profile of that.
    pub(super) profile: Option<OwnedObjectPath>,
    /// Whether it can be used now: a radio that is switched off cannot.
    pub(super) usable: bool,
    /// When it last looked around, in milliseconds since the machine's start; -1: never.
    pub(super) last_scan: i64,
}

/// A Wi-Fi network that the box joins by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) ssid: String,
    pub(super) profile: OwnedObjectPath,
    /// It does not announce its name.
    pub(super) hidden: bool,
}

/// The own access point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Own {
    pub(super) interface: String,
    pub(super) active: OwnedObjectPath,
    /// Which profile: [`SETUP`] or [`GUESTS`].
    pub(super) id: &'static str,
    /// It is up, and not on its way.
    pub(super) up: bool,
    /// It asks for a password.
    pub(super) closed: bool,
}

/// All of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Look {
    pub(super) devices: Vec<Device>,
    internet: Internet,
    /// What the radios hear, with its frequency in MHz.
    pub(super) heard: Vec<(Visible, u32)>,
    pub(super) known: Vec<Known>,
    pub(super) own: Option<Own>,
}

impl Look {
    /// Reads it out of everything that NetworkManager has, and of its profiles' settings.
    pub(super) fn of(objects: &Objects, profiles: &HashMap<OwnedObjectPath, Kept>) -> Self {
        let mut look = Self::default();
        let properties = |path: &OwnedObjectPath, interface: &str| objects.get(path)?.get(interface);
        for interfaces in objects.values() {
            if let Some(manager) = interfaces.get(MANAGER) {
                look.internet = internet(number(manager, "Connectivity"));
            }
        }
        for (path, kept) in profiles {
            let section = |name: &str, key: &str| kept.get(name).and_then(|section| section.get(key));
            let mode = section("802-11-wireless", "mode").and_then(|mode| string(mode)).unwrap_or_default();
            let says = |name: &str, key: &str, flag: bool| matches!(section(name, key).map(|value| &**value), Some(Variant::Bool(said)) if *said == flag);
            // One that is being tried is not known yet.
            let by_itself = !says("connection", "autoconnect", false);
            if let Some(ssid) = section("802-11-wireless", "ssid").and_then(|ssid| name_of(ssid))
                && mode != "ap"
                && by_itself
            {
                look.known.push(Known { ssid, profile: path.clone(), hidden: says("802-11-wireless", "hidden", true) });
            }
        }
        look.known.sort_by(|one, other| one.ssid.cmp(&other.ssid));
        for (path, interfaces) in objects {
            let Some(device) = interfaces.get(DEVICE) else { continue };
            let kind = match number(device, "DeviceType") {
                ETHERNET | VETH => Kind::Cable,
                WIFI => Kind::Wifi,
                _ => continue,
            };
            let state = number(device, "State");
            if state <= UNMANAGED {
                continue;
            }
            let active = object(device, "ActiveConnection");
            let connection = active.as_ref().and_then(|active| properties(active, ACTIVE));
            let profile = connection.and_then(|connection| object(connection, "Connection"));
            let wireless = interfaces.get(WIRELESS);
            let is_access_point = wireless.is_some_and(|wireless| number(wireless, "Mode") == AS_ACCESS_POINT)
                || connection.is_some_and(|connection| own_id(connection).is_some());
            let ip4 = object(device, "Ip4Config").and_then(|path| properties(&path, IP4));
            let ip6 = object(device, "Ip6Config").and_then(|path| properties(&path, IP6));
            let joined = wireless
                .filter(|_| state == ACTIVATED && !is_access_point)
                .and_then(|wireless| object(wireless, "ActiveAccessPoint"))
                .and_then(|heard| properties(&heard, HEARD));
            let method = profile.as_ref().and_then(|profile| profiles.get(profile)?.get("ipv4")?.get("method"));
            let shown = Interface {
                name: word(device, "Interface"),
                kind,
                state: match state {
                    ..=DISCONNECTED | FAILED => State::Down,
                    _ if is_access_point => State::AccessPoint,
                    ACTIVATED => State::Up,
                    _ => State::Joining,
                },
                link: match kind {
                    Kind::Cable => interfaces.get(WIRED).is_some_and(|wired| flag(wired, "Carrier")),
                    Kind::Wifi => joined.is_some(),
                },
                // Its own: while it looks around it may call itself otherwise.
                mac: wireless
                    .map(|wireless| word(wireless, "PermHwAddress"))
                    .filter(|mac| !mac.is_empty())
                    .unwrap_or_else(|| word(device, "HwAddress")),
                ssid: joined.and_then(|joined| name_of(joined.get("Ssid")?)),
                signal: joined.map(|joined| byte(joined, "Strength")),
                frequency: joined.map(|joined| number(joined, "Frequency")),
                speed: interfaces.get(WIRED).map(|wired| number(wired, "Speed")).filter(|speed| *speed > 0),
                addresses: addresses(ip4, ip6),
                gateway: ip4.map(|ip4| word(ip4, "Gateway")).filter(|gateway| !gateway.is_empty()),
                dns: ip4.map(|ip4| listed(ip4, "NameserverData", "address")).unwrap_or_default(),
                fixed: method.and_then(|method| string(method)).is_some_and(|method| method == "manual"),
                internet: internet(number(device, "Ip4Connectivity")).max(internet(number(device, "Ip6Connectivity"))),
            };
            if let Some((active, id)) = active.zip(connection.and_then(own_id)) {
                let up = connection.is_some_and(|connection| number(connection, "State") == 2);
                let kept = profile.as_ref().and_then(|profile| profiles.get(profile));
                let closed = kept.is_some_and(|kept| kept.contains_key("802-11-wireless-security"));
                look.own = Some(Own { interface: shown.name.clone(), active, id, up, closed });
            }
            look.devices.push(Device {
                path: path.clone(),
                profile,
                usable: state > UNAVAILABLE,
                last_scan: wireless.and_then(|wireless| wireless.get("LastScan")).map_or(-1, |value| match &**value {
                    Variant::I64(at) => *at,
                    _ => -1,
                }),
                shown,
            });
        }
        look.devices.sort_by(|one, other| {
            (one.shown.kind == Kind::Wifi, &one.shown.name).cmp(&(other.shown.kind == Kind::Wifi, &other.shown.name))
        });
        look.listen(objects);
        look
    }

    /// The networks within reach, each name once: as its loudest closed station has it, or else its loudest.
    fn listen(&mut self, objects: &Objects) {
        let mut found: HashMap<String, (Visible, u32)> = HashMap::new();
        for station in objects.values().filter_map(|interfaces| interfaces.get(HEARD)) {
            let Some(ssid) = station.get("Ssid").and_then(|ssid| name_of(ssid)) else { continue };
            let visible = Visible {
                signal: byte(station, "Strength"),
                security: Security::of(
                    number(station, "Flags"),
                    number(station, "WpaFlags"),
                    number(station, "RsnFlags"),
                ),
                known: self.known.iter().any(|known| known.ssid == ssid),
                ssid: ssid.clone(),
            };
            let frequency = number(station, "Frequency");
            // An open one by the name of one that is closed is somebody else's, however loud it is.
            let rank = |visible: &Visible| (visible.security.wants_password(), visible.signal);
            if found.get(&ssid).is_none_or(|(before, _)| rank(before) < rank(&visible)) {
                found.insert(ssid, (visible, frequency));
            }
        }
        self.heard = found.into_values().collect();
        self.heard
            .sort_by(|(one, _), (other, _)| other.signal.cmp(&one.signal).then_with(|| one.ssid.cmp(&other.ssid)));
        self.heard.truncate(MOST_NETWORKS);
    }

    /// The radios, one interface each.
    pub(super) fn radios(&self) -> impl Iterator<Item = &Device> {
        self.devices
            .iter()
            .filter(|device| device.shown.kind == Kind::Wifi && device.usable && device.shown.name != SECOND)
    }

    /// The name that the own access point has, or would have: it ends in the last two bytes of the radio's hardware address. None without a radio.
    pub(super) fn access_point_name(&self) -> Option<String> {
        let mac = &self.radios().next()?.shown.mac;
        let digits: String = mac.chars().filter(char::is_ascii_hexdigit).collect::<String>().to_ascii_uppercase();
        Some(format!("Motherstream-{}", digits.get(digits.len().saturating_sub(4)..).unwrap_or_default()))
    }

    /// How far the box gets: nowhere without an address.
    pub(super) fn reaches(&self) -> Internet {
        if self.has_uplink() { self.internet } else { Internet::None }
    }

    /// Whether the box has an address in somebody's network.
    pub(super) fn has_uplink(&self) -> bool {
        self.devices.iter().any(|device| device.shown.is_uplink())
    }

    /// The same for the rule. A cable whose address somebody fixed in another venue is up in this one too, and leads nowhere.
    pub(super) fn leads_somewhere(&self) -> bool {
        self.devices.iter().map(|device| &device.shown).any(|shown| {
            let astray = shown.kind == Kind::Cable
                && shown.fixed
                && matches!(shown.internet, Internet::None | Internet::Limited);
            shown.is_uplink() && !astray
        })
    }

    /// The Wi-Fi interface that has joined a network.
    pub(super) fn joined(&self) -> Option<&Device> {
        self.devices.iter().find(|device| device.shown.kind == Kind::Wifi && device.shown.state == State::Up)
    }

    /// The interface for the own access point: the one that is it, or one that has joined nothing.
    pub(super) fn free(&self) -> Option<&Device> {
        let wifi = || self.devices.iter().filter(|device| device.shown.kind == Kind::Wifi && device.usable);
        let own = self.own.as_ref().and_then(|own| wifi().find(|device| device.shown.name == own.interface));
        let second = || wifi().find(|device| device.shown.name == SECOND && device.shown.state != State::Up);
        // A second interface is for beside what the first one has joined.
        let second = || self.joined().and_then(|_| second());
        own.or_else(second).or_else(|| self.radios().find(|device| device.shown.state != State::Up))
    }

    /// Whether the venue's network wants somebody to sign in on a page of its own, and nothing else leads further.
    pub(super) fn is_behind_portal(&self) -> bool {
        let best =
            self.devices.iter().filter(|device| device.shown.is_uplink()).map(|device| device.shown.internet).max();
        best == Some(Internet::Portal)
    }
}

/// Which of the own profiles an activation is of.
fn own_id(connection: &Properties) -> Option<&'static str> {
    let id = word(connection, "Id");
    [SETUP, GUESTS].into_iter().find(|own| *own == id)
}

/// The paths of the profiles. More than a box has are not looked at.
pub(super) fn profiles(objects: &Objects) -> Vec<OwnedObjectPath> {
    let profiles = objects.iter().filter(|(_, interfaces)| interfaces.contains_key(PROFILE));
    profiles.map(|(path, _)| path.clone()).take(MOST_PROFILES).collect()
}

pub(super) const fn internet(connectivity: u32) -> Internet {
    match connectivity {
        1 => Internet::None,
        2 => Internet::Portal,
        3 => Internet::Limited,
        4 => Internet::Full,
        _ => Internet::Unknown,
    }
}

fn number(properties: &Properties, name: &str) -> u32 {
    match properties.get(name).map(|value| &**value) {
        Some(Variant::U32(number)) => *number,
        _ => 0,
    }
}

fn byte(properties: &Properties, name: &str) -> u8 {
    match properties.get(name).map(|value| &**value) {
        Some(Variant::U8(byte)) => *byte,
        _ => 0,
    }
}

pub(super) fn flag(properties: &Properties, name: &str) -> bool {
    matches!(properties.get(name).map(|value| &**value), Some(Variant::Bool(true)))
}

pub(super) fn string(value: &Variant<'_>) -> Option<String> {
    match value {
        Variant::Str(text) => Some(text.as_str().to_owned()),
        _ => None,
    }
}

fn word(properties: &Properties, name: &str) -> String {
    properties.get(name).and_then(|value| string(value)).unwrap_or_default()
}

/// Another object that a property names, if it names one.
fn object(properties: &Properties, name: &str) -> Option<OwnedObjectPath> {
    match properties.get(name).map(|value| &**value) {
        Some(Variant::ObjectPath(path)) if path.as_str() != "/" => Some(path.to_owned().into()),
        _ => None,
    }
}

/// A network's name, which is bytes. What is no text cannot be written on a page, or typed.
pub(super) fn name_of(value: &Variant<'_>) -> Option<String> {
    let Variant::Array(bytes) = value else { return None };
    let bytes: Option<Vec<u8>> = bytes
        .iter()
        .map(|byte| match byte {
            Variant::U8(byte) => Some(*byte),
            _ => None,
        })
        .collect();
    String::from_utf8(bytes?).ok().filter(|name| !name.is_empty() && !name.contains(char::is_control))
}

/// Of a list of dictionaries, one word of each.
fn listed(properties: &Properties, name: &str, key: &str) -> Vec<String> {
    let Some(Variant::Array(list)) = properties.get(name).map(|value| &**value) else { return Vec::new() };
    let each = list.iter().filter_map(|entry| {
        let Variant::Dict(entry) = entry else { return None };
        let found = entry.iter().find(|(name, _)| string(name).is_some_and(|name| name == key))?.1;
        match found {
            Variant::Variant(inner) => string(inner),
            other => string(other),
        }
    });
    each.collect()
}

/// Those that people can use: none that is only good on the cable itself.
fn addresses(ip4: Option<&Properties>, ip6: Option<&Properties>) -> Vec<IpAddr> {
    let all = [ip4, ip6].into_iter().flatten().flat_map(|config| listed(config, "AddressData", "address"));
    let parsed = all.filter_map(|address| address.parse::<IpAddr>().ok());
    parsed
        .filter(|address| match address {
            IpAddr::V4(address) => !address.is_link_local() && *address != Ipv4Addr::UNSPECIFIED,
            IpAddr::V6(address) => !address.is_unicast_link_local(),
        })
        .collect()
}
