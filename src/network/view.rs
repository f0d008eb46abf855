//! What the box shows of its network.

use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use serde::Serialize;
use utoipa::ToSchema;

use crate::core::network::{
    Purpose, Reason,
    wifi::{Failure, Security},
};

/// The address of the box on its own access point. A public one: some Androids take a private address for a network without internet, and
/// show no page.
pub const ACCESS_POINT: Ipv4Addr = Ipv4Addr::new(4, 3, 2, 1);

/// So long a change of addresses is tried before it is taken back.
pub const TRIAL: Duration = Duration::from_mins(1);

/// The second interface of a radio that can be two things at once, as the machine calls it.
pub(super) const SECOND: &str = "ap0";

/// Whether NetworkManager is there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Manager {
    /// It has not been asked yet.
    #[default]
    Unknown,
    /// There is none on this machine.
    Absent,
    /// It does not answer.
    Silent,
    /// It does.
    There,
}

/// What leads somewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A network cable.
    Cable,
    /// A Wi-Fi radio.
    Wifi,
}

/// How far an interface leads, or the box.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Internet {
    /// Nobody has looked.
    #[default]
    Unknown,
    /// Nowhere.
    None,
    /// Into the venue's network, and no further.
    Limited,
    /// To a page of the venue's own, on which somebody has to sign in first.
    Portal,
    /// To the internet.
    Full,
}

/// What an interface does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Nothing: no cable, or no network.
    #[default]
    Down,
    /// It is joining one, or waits for an address.
    Joining,
    /// It has an address.
    Up,
    /// It is the box's own access point.
    AccessPoint,
}

/// An interface of the box.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = NetworkInterface)]
pub struct Interface {
    /// As the system calls it.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// What it does.
    pub state: State,
    /// For a cable, whether it is plugged in at both ends; for Wi-Fi, whether it has joined one.
    pub link: bool,
    /// Its hardware address, which venues want that let known devices in only.
    pub mac: String,
    /// The Wi-Fi network that it has joined.
    pub ssid: Option<String>,
    /// How well that is heard, 0 to 100.
    pub signal: Option<u8>,
    /// Its frequency in MHz.
    pub frequency: Option<u32>,
    /// For a cable, Mbit/s.
    pub speed: Option<u32>,
    /// Its addresses.
    #[schema(value_type = Vec<String>)]
    pub addresses: Vec<IpAddr>,
    /// The way out.
    pub gateway: Option<String>,
    /// Who is asked for names.
    pub dns: Vec<String>,
    /// Whether its address is fixed, and not given by the venue's network.
    pub fixed: bool,
    /// How far it leads.
    pub internet: Internet,
}

impl Interface {
    /// Whether it leads into somebody's network.
    pub fn is_uplink(&self) -> bool {
        self.state == State::Up && !self.addresses.is_empty()
    }
}

/// A Wi-Fi network within reach.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = WifiNetwork)]
pub struct Visible {
    /// Its name.
    pub ssid: String,
    /// How well it is heard, 0 to 100.
    pub signal: u8,
    /// How it is closed.
    pub security: Security,
    /// Whether the box has its password already.
    pub known: bool,
}

/// The box's own access point, while it is up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct AccessPoint {
    /// Its name.
    pub ssid: String,
    /// What it is for.
    pub purpose: Purpose,
    /// Why it is up.
    pub reason: Reason,
    /// Its interface.
    pub interface: String,
    /// Whether it asks for a password.
    pub closed: bool,
    /// Whether somebody is on it, and does something.
    pub guests: bool,
}

/// How the last join that a person asked for ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Outcome {
    /// The network.
    pub ssid: String,
    /// Why it was not joined; none: it was.
    pub failure: Option<Failure>,
    /// The same in a sentence.
    pub message: String,
    /// Whether it was typed as a hidden one, for the form.
    pub hidden: bool,
    /// The user name, where there was one, for the form.
    pub identity: Option<String>,
    /// The name of the venue's server, where it is checked, for the form.
    pub server: Option<String>,
}

/// A change that is taken back unless somebody confirms it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = NetworkTrial)]
pub struct Trial {
    /// What is tried, in words.
    pub what: String,
    /// When it is taken back: milliseconds since the start of the process.
    pub until_ms: u64,
}

/// The network, at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = NetworkView)]
pub struct Snapshot {
    /// Whether NetworkManager is there.
    pub manager: Manager,
    /// Whether the network is this box's to set: it runs as an image of its own.
    pub own: bool,
    /// The interfaces, cables first.
    pub interfaces: Vec<Interface>,
    /// How far the box gets.
    pub internet: Internet,
    /// Wi-Fi networks within reach when the radio last looked, the loudest first; without the box's own.
    pub networks: Vec<Visible>,
    /// The names of those that the box joins by itself.
    pub known: Vec<String>,
    /// The own access point.
    pub access_point: Option<AccessPoint>,
    /// The name that it has, or would have; none without a radio.
    pub access_point_name: Option<String>,
    /// The access point cannot be raised: why, in words.
    pub access_point_trouble: Option<String>,
    /// The network that a person had it join, while that is under way.
    pub joining: Option<String>,
    /// How the last such join ended.
    pub outcome: Option<Outcome>,
    /// A change that is taken back unless somebody confirms it.
    pub trial: Option<Trial>,
    /// Whether one radio has to be client and access point, and cannot be both.
    pub one_radio: bool,
}

impl Snapshot {
    /// The cable or Wi-Fi by which the box is in somebody's network, the best first.
    pub fn uplink(&self) -> Option<&Interface> {
        self.interfaces
            .iter()
            .filter(|interface| interface.is_uplink())
            .max_by_key(|interface| (interface.internet, interface.kind == Kind::Cable))
    }

    /// How many radios there are: one that is two things at once counts once.
    pub fn radios(&self) -> usize {
        let wifi = self.interfaces.iter().filter(|interface| interface.kind == Kind::Wifi);
        wifi.filter(|interface| interface.name != SECOND).count()
    }

    /// Whether a radio is there.
    pub fn has_radio(&self) -> bool {
        self.radios() > 0
    }

    /// Whether a cable is plugged in.
    pub fn has_cable(&self) -> bool {
        self.interfaces.iter().any(|interface| interface.kind == Kind::Cable && interface.link)
    }
}
