//! Without NetworkManager, with one that hangs, and with one that comes back: on a real bus, with a SIMULATED service on it. With the real one
//! the adapter is tried in a virtual machine (tests/image/phone.py).

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::{
    collections::HashMap,
    fs,
    process::{Child, Command as Program, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::StreamExt as _;
use tempfile::TempDir;
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use zbus::{
    Connection, MatchRule, MessageStream, ObjectPath, OwnedObjectPath, Variant, connection::Builder,
    message::Type as MessageType,
};

use super::{
    Internet, Join, Manager, Network, NetworkError, Parts, Situation, Snapshot, State,
    bus::{Kept, Properties},
    look::Look,
    profile::{self, Channel},
};
use crate::{
    clock::Clock,
    config::Sources,
    core::network::wifi::{self, Security, WifiError},
};

#[test]
fn channel_is_the_one_that_the_fewest_use() {
    assert_eq!(Channel::quietest(std::iter::empty()), Channel(6));
    assert_eq!(Channel::quietest([(2437, 80)].into_iter()), Channel(1));
    assert_eq!(Channel::quietest([(2437, 80), (2412, 30), (2462, 20), (2422, 10)].into_iter()), Channel(11));
    // Those of 5 GHz do not count.
    assert_eq!(Channel::quietest([(5180, 99)].into_iter()), Channel(6));
    assert_eq!(Channel::of(2412), Some(Channel(1)));
    assert_eq!(Channel::of(2472), Some(Channel(13)));
    assert_eq!(Channel::of(5180), Some(Channel(36)));
    assert_eq!(Channel::of(60_000), None);
}

/// A bus of its own.
struct OwnBus {
    daemon: Child,
    address: String,
    folder: TempDir,
}

impl OwnBus {
    fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let socket = folder.path().join("bus");
        let rules = "<busconfig><listen>unix:path=SOCKET</listen><policy context=\"default\"><allow send_destination=\"*\"/>\
                     <allow eavesdrop=\"false\"/><allow own=\"*\"/></policy></busconfig>";
        let config = folder.path().join("bus.conf");
        fs::write(&config, rules.replace("SOCKET", socket.to_str().unwrap())).unwrap();
        let config = format!("--config-file={}", config.display());
        let daemon = Program::new("dbus-daemon")
            .args([&config, "--nofork", "--nopidfile", "--nosyslog"])
            .stdin(Stdio::null())
            .spawn()
            .expect("dbus-daemon runs (package dbus)");
        Self { daemon, address: format!("unix:path={}", socket.display()), folder }
    }

    async fn connection(&self) -> Connection {
        for _ in 0..100 {
            if let Ok(connection) = Builder::address(self.address.as_str()).build().await {
                return connection;
            }
            sleep(Duration::from_millis(50)).await;
        }
        Builder::address(self.address.as_str()).build().await.unwrap()
    }

    fn network(&self, own: bool) -> Network {
        self.network_on(&self.address, own)
    }

    fn network_on(&self, address: &str, own: bool) -> Network {
        let none = self.folder.path().join("none.toml");
        let sources = Sources { file: None, fallback: none, environment: Vec::new() };
        let parts = Parts {
            config: sources.load().unwrap().config.network,
            own,
            bus: Some(address.to_owned()),
            requests: None,
            data_dir: self.folder.path().to_owned(),
            boot_dir: None,
            situation: Arc::new(Situation::default),
            clock: Clock::start(),
            token: CancellationToken::new(),
        };
        Network::start(parts, &TaskTracker::new())
    }
}

impl Drop for OwnBus {
    fn drop(&mut self) {
        let _gone = self.daemon.kill();
        let _gone = self.daemon.wait();
    }
}

/// The profiles that were added.
static ADDED: Mutex<Vec<Kept>> = Mutex::new(Vec::new());

/// A SIMULATED NetworkManager: it has a cable with an address, or hangs.
async fn service(bus: &OwnBus, answers: bool) -> (Connection, JoinHandle<()>) {
    let connection = bus.connection().await;
    let rule = MatchRule::builder().msg_type(MessageType::MethodCall).build().unwrap();
    let mut calls = MessageStream::for_match_rule(rule, &connection, None).await.unwrap();
    connection.request_name("org.freedesktop.NetworkManager").await.unwrap();
    let answering = connection.clone();
    let task = tokio::spawn(async move {
        while let Some(Ok(call)) = calls.next().await {
            if !answers {
                continue;
            }
            let head = call.header();
            if head.member().is_some_and(|member| member == "AddConnection2") {
                let (profile, ..) = call.body().deserialize::<(Kept, u32, Properties)>().unwrap();
                ADDED.lock().unwrap().push(profile);
                let path = ObjectPath::try_from("/org/freedesktop/NetworkManager/Settings/1").unwrap();
                answering.reply(&head, &(path, HashMap::<&str, Variant<'_>>::new())).await.unwrap();
            } else {
                answering.reply(&head, &objects()).await.unwrap();
            }
        }
    });
    (connection, task)
}

type Simulated = HashMap<ObjectPath<'static>, HashMap<&'static str, HashMap<&'static str, Variant<'static>>>>;

fn objects() -> Simulated {
    let path = |path: &'static str| ObjectPath::try_from(path).unwrap();
    let address = HashMap::from([("address", Variant::from("192.168.1.7")), ("prefix", Variant::from(24_u32))]);
    let device = HashMap::from([
        ("Interface", Variant::from("eth0")),
        ("DeviceType", Variant::from(1_u32)),
        ("State", Variant::from(100_u32)),
        ("Ip4Config", Variant::from(path("/org/freedesktop/NetworkManager/IP4Config/1"))),
        ("Ip4Connectivity", Variant::from(2_u32)),
    ]);
    let wired = HashMap::from([("Carrier", Variant::from(true)), ("Speed", Variant::from(1000_u32))]);
    HashMap::from([
        (
            path("/org/freedesktop/NetworkManager"),
            HashMap::from([(
                "org.freedesktop.NetworkManager",
                HashMap::from([("Connectivity", Variant::from(2_u32))]),
            )]),
        ),
        (
            path("/org/freedesktop/NetworkManager/Devices/1"),
            HashMap::from([
                ("org.freedesktop.NetworkManager.Device", device),
                ("org.freedesktop.NetworkManager.Device.Wired", wired),
            ]),
        ),
        (
            path("/org/freedesktop/NetworkManager/IP4Config/1"),
            HashMap::from([(
                "org.freedesktop.NetworkManager.IP4Config",
                HashMap::from([
                    ("AddressData", Variant::from(vec![address])),
                    ("Gateway", Variant::from("192.168.1.1")),
                ]),
            )]),
        ),
    ])
}

async fn until(network: &Network, what: impl Fn(&Snapshot) -> bool) -> Arc<Snapshot> {
    let mut shown = network.snapshot();
    let seen = timeout(Duration::from_mins(1), shown.wait_for(|now| what(now))).await;
    Arc::clone(&*seen.expect("in time").unwrap())
}

fn join() -> Join {
    Join { ssid: "Venue".to_owned(), password: None, hidden: false, identity: None, server: None }
}

#[tokio::test]
async fn without_networkmanager_the_feature_is_absent_and_says_so() {
    let bus = OwnBus::start();
    let _there = bus.connection().await;
    let network = bus.network(true);
    until(&network, |now| now.manager == Manager::Absent).await;
    assert!(matches!(network.join(join()).await, Err(NetworkError::NoManager(_))));
    // Nor without a bus at all.
    let network = bus.network_on(&format!("unix:path={}", bus.folder.path().join("nobody").display()), false);
    until(&network, |now| now.manager == Manager::Absent).await;
    assert!(matches!(network.look().await, Err(NetworkError::NoManager(_))));
}

#[tokio::test]
async fn networkmanager_that_hangs_is_told_of_in_time_and_seen_again_when_it_answers() {
    let bus = OwnBus::start();
    let (hanging, task) = service(&bus, false).await;
    let network = bus.network(true);
    until(&network, |now| now.manager == Manager::Silent).await;
    let asked = Instant::now();
    assert!(network.look().await.is_err());
    assert!(asked.elapsed() < Duration::from_secs(10));
    task.abort();
    hanging.close().await.unwrap();
    let (_there, _task) = service(&bus, true).await;
    let now = until(&network, |now| now.manager == Manager::There).await;
    let uplink = now.uplink().unwrap();
    assert_eq!((uplink.name.as_str(), uplink.state, uplink.speed), ("eth0", State::Up, Some(1000)));
    assert_eq!(uplink.addresses, ["192.168.1.7".parse::<std::net::IpAddr>().unwrap()]);
    assert_eq!((now.internet, uplink.internet), (Internet::Portal, Internet::Portal));
    assert!(now.has_cable() && !now.has_radio() && now.access_point_name.is_none());
    assert_eq!(network.hotspot(true).await, Err(NetworkError::NoRadio));
    assert_eq!(
        network.forget("Venue".to_owned()).await.map_err(|error| error.to_string()),
        Err("the box does not know a network called Venue".to_owned())
    );
}

#[tokio::test]
async fn somebody_s_own_computer_is_looked_at_and_left_alone() {
    let bus = OwnBus::start();
    let (_there, _task) = service(&bus, true).await;
    let network = bus.network(false);
    until(&network, |now| now.manager == Manager::There && now.uplink().is_some()).await;
    for refused in [network.join(join()).await, network.hotspot(true).await, network.confirm(true).await] {
        assert_eq!(refused, Err(NetworkError::NotOurs));
    }
}

#[tokio::test]
async fn networks_of_a_restored_backup_are_known_and_their_passwords_lie_about_no_longer() {
    let bus = OwnBus::start();
    let file = bus.folder.path().join(wifi::SAVED);
    let saved = br#"[{"ssid": "House of Sound", "security": "wpa2", "password": "correct horse"}, {"ssid": "Bar", "security": "open"}]"#;
    fs::write(&file, saved).unwrap();
    let (_there, _task) = service(&bus, true).await;
    let _network = bus.network(true);
    let gone = async {
        while file.exists() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_mins(1), gone).await.expect("the box knows them");
    let added = ADDED.lock().unwrap();
    let told =
        |profile: &Kept, section: &str, key: &str| profile.get(section)?.get(key).map(|value| format!("{value:?}"));
    let ids: Vec<_> = added.iter().map(|profile| told(profile, "connection", "id").unwrap()).collect();
    assert!(ids[0].contains("House of Sound") && ids[1].contains("Bar") && ids.len() == 2, "{ids:?}");
    assert!(told(&added[0], "802-11-wireless-security", "psk").unwrap().contains("correct horse"));
    assert!(told(&added[0], "connection", "autoconnect").unwrap().contains("true"));
    assert_eq!(told(&added[1], "802-11-wireless-security", "psk"), None);
}

/// As the adapter reads what the service tells.
fn read(told: Simulated, profiles: &HashMap<OwnedObjectPath, Kept>) -> Look {
    let told = told.into_iter().map(|(path, interfaces)| {
        let interfaces = interfaces.into_iter().map(|(name, properties)| {
            let own = |(key, value): (&str, Variant<'static>)| (key.to_owned(), value.try_into().unwrap());
            (name.to_owned(), properties.into_iter().map(own).collect())
        });
        (OwnedObjectPath::from(path), interfaces.collect())
    });
    Look::of(&told.collect(), profiles)
}

#[test]
fn open_network_by_a_closed_ones_name_is_somebody_elses_however_loud_it_is() {
    let mut told = objects();
    for (number, (signal, rsn)) in [(90_u8, 0_u32), (40, 0x100), (30, 0x100)].into_iter().enumerate() {
        let path = ObjectPath::try_from(format!("/org/freedesktop/NetworkManager/AccessPoint/{number}")).unwrap();
        let heard = HashMap::from([
            ("Ssid", Variant::from(b"Venue".to_vec())),
            ("Strength", Variant::from(signal)),
            ("RsnFlags", Variant::from(rsn)),
        ]);
        told.insert(path, HashMap::from([("org.freedesktop.NetworkManager.AccessPoint", heard)]));
    }
    let heard: Vec<_> = read(told, &HashMap::new()).heard.into_iter().map(|(network, _)| network).collect();
    assert_eq!(heard.iter().map(|one| (one.security, one.signal)).collect::<Vec<_>>(), [(Security::Wpa2, 40)]);
    // Nor is one joined without the password that somebody typed for it.
    let join = Join { password: Some("correct horse".to_owned().into()), ..join() };
    assert_eq!(profile::venue(&join, Some(Security::Open)), Err(WifiError::Open));
    assert!(profile::venue(&join, Some(Security::Wpa2)).is_ok());
}

#[test]
fn cable_with_an_address_of_another_venue_is_no_way_to_the_box() {
    const ACTIVE: &str = "/org/freedesktop/NetworkManager/ActiveConnection/1";
    let profile = ObjectPath::try_from("/org/freedesktop/NetworkManager/Settings/1").unwrap();
    let leads = |method: &str, connectivity: u32| {
        let mut told = objects();
        let device = told.get_mut(&ObjectPath::try_from("/org/freedesktop/NetworkManager/Devices/1").unwrap()).unwrap();
        let device = device.get_mut("org.freedesktop.NetworkManager.Device").unwrap();
        device.insert("ActiveConnection", Variant::from(ObjectPath::try_from(ACTIVE).unwrap()));
        device.insert("Ip4Connectivity", Variant::from(connectivity));
        let active = HashMap::from([("Connection", Variant::from(profile.clone()))]);
        let active = HashMap::from([("org.freedesktop.NetworkManager.Connection.Active", active)]);
        told.insert(ObjectPath::try_from(ACTIVE).unwrap(), active);
        let method = Variant::from(method.to_owned()).try_into().unwrap();
        let kept = Kept::from([("ipv4".to_owned(), HashMap::from([("method".to_owned(), method)]))]);
        let look = read(told, &HashMap::from([(profile.clone().into(), kept)]));
        assert!(look.has_uplink());
        look.leads_somewhere()
    };
    // 3: no further than the venue; 4: to the internet; 0: not looked for.
    assert_eq!(
        [leads("manual", 3), leads("manual", 4), leads("manual", 0), leads("auto", 3)],
        [false, true, true, true]
    );
}
