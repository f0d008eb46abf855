//! What takes seconds: joining a network, raising the access point, changing addresses. One at a time, each with its limit of time.

use std::{
    collections::HashMap,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use secrecy::SecretString;
use tokio::{
    net::UdpSocket,
    sync::broadcast,
    time::{Instant, sleep, timeout, timeout_at},
};
use zbus::OwnedObjectPath;

use super::{
    bus::{Bus, BusError, Kept, Profile, Properties, StateChange},
    look::{Device, FAILED, Look, Own},
    order::{Addressing, Join},
    profile::{self, Channel},
    view::{ACCESS_POINT, Kind, SECOND, TRIAL, Visible},
};
use crate::core::network::{
    Purpose,
    wifi::{DeviceReason, Failure},
};

/// How long a radio may take to look around.
const SCAN: Duration = Duration::from_secs(6);
/// How long a join may take: association, and the half minute for an address.
const JOIN: Duration = Duration::from_secs(75);
/// How long the access point may take.
const RAISE: Duration = Duration::from_secs(30);
/// Its server for names and addresses ends half a second after it began, if its configuration is wrong: so it is held for this.
const HOLD: Duration = Duration::from_secs(2);
/// What it is asked for then, and how long it may take.
const QUESTIONS: usize = 5;
const QUESTION: Duration = Duration::from_millis(700);
/// An activation's states: up, and from which on it is over.
const ACTIVE_UP: u32 = 2;
const ACTIVE_ENDED: u32 = 3;
/// How long the second of the two may take that say that something failed.
const OTHER_HALF: Duration = Duration::from_secs(2);

/// Has a radio look around, if it can, and waits for that; what is there then, without what is known of it, unless NetworkManager does not tell.
pub(super) async fn look_around(bus: &Bus, device: &Device) -> Option<Look> {
    if bus.scan(&device.path).await.is_err() {
        // It did a moment ago, or cannot while it is joining.
        sleep(Duration::from_secs(1)).await;
        return seen(bus).await;
    }
    let end = Instant::now() + SCAN;
    let mut now = None;
    // `LastScan` changes, and with it the list.
    while timeout_at(end, bus.changed.notified()).await.is_ok() {
        let look = now.insert(seen(bus).await?);
        if look.devices.iter().any(|other| other.path == device.path && other.last_scan != device.last_scan) {
            break;
        }
    }
    // Whoever waits for changes is told that there were some.
    bus.changed.notify_one();
    if now.is_some() { now } else { seen(bus).await }
}

async fn seen(bus: &Bus) -> Option<Look> {
    bus.objects().await.ok().map(|objects| Look::of(&objects, &HashMap::new()))
}

/// Takes the own access point down, and gives the radio its moment.
async fn lower(bus: &Bus, own: &Own) {
    let _gone = bus.deactivate(&own.active).await;
    sleep(Duration::from_millis(500)).await;
}

/// How an activation went; without a reason where it took too long. Told by the activation itself: another one on the same device may have ended
/// a moment before. Why it failed is told by the device.
async fn followed(
    states: &mut broadcast::Receiver<StateChange>,
    device: &OwnedObjectPath,
    active: &OwnedObjectPath,
    limit: Duration,
) -> Result<(), Option<u32>> {
    let mut end = Instant::now() + limit;
    let (mut began, mut reason, mut over) = (false, None, false);
    loop {
        match timeout_at(end, states.recv()).await {
            Ok(Ok(change)) if change.path == *active => match change.state {
                ACTIVE_UP => return Ok(()),
                ACTIVE_ENDED.. => over = true,
                _ => began = true,
            },
            Ok(Ok(change)) if change.path == *device && change.state == FAILED && began => reason = Some(change.reason),
            Ok(Ok(_) | Err(broadcast::error::RecvError::Lagged(_))) => {}
            Ok(Err(broadcast::error::RecvError::Closed)) => return Err(None),
            Err(_) => return Err(reason.or(over.then_some(0))),
        }
        // One says that it is over, the other why, in either order.
        if over && reason.is_some() {
            return Err(reason);
        }
        if over || reason.is_some() {
            end = end.min(Instant::now() + OTHER_HALF);
        }
    }
}

/// Joins a network by the profile that was made of `join`. What works is kept; of what does not, nothing is left.
pub(super) async fn join(
    bus: &Bus,
    look: &Look,
    device: &Device,
    join: &Join,
    profile: Profile,
    seen: Option<&Visible>,
) -> Result<(), Failure> {
    // Its one radio is the access point, or has it on the channel of another network.
    if let Some(own) = look.own.as_ref().filter(|own| own.interface == device.shown.name || own.interface == SECOND) {
        lower(bus, own).await;
    }
    let mut states = bus.states();
    let (path, active) = bus.add_and_activate(&profile, &device.path, "memory").await.map_err(failure)?;
    let ended = followed(&mut states, &device.path, &active, JOIN).await;
    let failure = match ended {
        Ok(()) => {
            bus.update(&path, &profile::kept(profile), true).await.map_err(failure)?;
            // Others by the same name, with another password.
            for known in &look.known {
                if known.ssid == join.ssid && known.profile != path {
                    let _gone = bus.delete(&known.profile).await;
                }
            }
            return Ok(());
        }
        Err(Some(reason)) => Failure::of(DeviceReason(reason), seen.map(|seen| seen.security)),
        Err(None) => Failure::TooLong,
    };
    let _ended = bus.deactivate(&active).await;
    let _gone = bus.delete(&path).await;
    Err(failure)
}

fn failure(error: BusError) -> Failure {
    match error {
        BusError::Silent | BusError::Absent => Failure::BrokenOff,
        BusError::Refused(said) => Failure::Other { said },
    }
}

/// The access point that is to be.
#[derive(Clone, Debug)]
pub(super) struct Raise {
    pub(super) ssid: String,
    pub(super) purpose: Purpose,
    pub(super) password: Option<SecretString>,
    /// Where the radio is a client as well, its channel is the client's.
    pub(super) channel: Option<Channel>,
}

/// Raises it, and sees that it serves.
///
/// # Errors
/// What is in the way, in words.
pub(super) async fn raise(bus: &Bus, look: &Look, device: &Device, wanted: &Raise) -> Result<(), String> {
    let mut heard = look.heard.clone();
    let own = look.own.as_ref().filter(|own| own.interface == device.shown.name);
    if let Some(own) = own {
        lower(bus, own).await;
    } else if wanted.channel.is_none() {
        // It cannot look around once it is one. Beside a network that it has joined it would be away from that meanwhile.
        if let Some(now) = look_around(bus, device).await {
            heard = now.heard;
        }
    }
    let others = heard.iter().map(|(network, frequency)| (*frequency, network.signal));
    let channel = wanted.channel.unwrap_or_else(|| Channel::quietest(others));
    let profile: Profile =
        profile::access_point(&wanted.ssid, wanted.purpose, wanted.password.as_ref(), &device.shown.name, channel);
    let mut states = bus.states();
    let (_, active) =
        bus.add_and_activate(&profile, &device.path, "volatile").await.map_err(|error| error.to_string())?;
    let raised = match followed(&mut states, &device.path, &active, RAISE).await {
        Ok(()) => serves(&mut states, &active).await,
        Err(Some(reason)) => Err(format!("the radio does not become an access point (reason {reason})")),
        Err(None) => Err("the radio took too long".to_owned()),
    };
    if raised.is_err() {
        let _gone = bus.deactivate(&active).await;
    }
    raised
}

/// Whether whoever joins it gets answers: activated is not serving.
async fn serves(states: &mut broadcast::Receiver<StateChange>, active: &OwnedObjectPath) -> Result<(), String> {
    let end = Instant::now() + HOLD;
    while let Ok(change) = timeout_at(end, states.recv()).await {
        if change.is_ok_and(|change| change.path == *active && change.state >= ACTIVE_ENDED) {
            return Err("it ended as soon as it was up; its server for names and addresses does not start".to_owned());
        }
    }
    for _ in 0..QUESTIONS {
        if asked(ACCESS_POINT).await {
            return Ok(());
        }
    }
    Err("nobody answers for names and addresses on it".to_owned())
}

/// Asks the server of the access point for a name, which it answers with the box's address.
async fn asked(server: Ipv4Addr) -> bool {
    // A question (RFC 1035): its number, "recursion desired", one question; `box.test`, A, IN.
    const QUERY: &[u8] = b"\x42\x4d\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03box\x04test\x00\x00\x01\x00\x01";
    let question = async {
        let socket = UdpSocket::bind(SocketAddr::from((server, 0))).await?;
        socket.connect(SocketAddr::from((server, 53))).await?;
        socket.send(QUERY).await?;
        let mut answer = [0; 512];
        let length = socket.recv(&mut answer).await?;
        Ok::<_, std::io::Error>(
            answer
                .get(..length)
                .is_some_and(|answer| answer.starts_with(b"\x42\x4d") && answer.ends_with(&server.octets())),
        )
    };
    match timeout(QUESTION, question).await {
        Ok(Ok(good)) => good,
        Ok(Err(_)) => {
            sleep(QUESTION).await;
            false
        }
        Err(_) => false,
    }
}

/// A change of addresses that is tried.
#[derive(Clone, Debug)]
pub(super) struct Tried {
    checkpoint: OwnedObjectPath,
    profile: OwnedObjectPath,
    settings: Profile,
    /// The cable whose profile was made for it.
    cable: Option<String>,
}

/// Sets how an interface gets its address, after it was remembered how it was.
pub(super) async fn address(bus: &Bus, device: &Device, addressing: &Addressing) -> Result<Tried, BusError> {
    let seconds = u32::try_from(TRIAL.as_secs()).unwrap_or(60);
    let checkpoint = bus.remember(&device.path, seconds).await?;
    let done = async {
        if device.shown.kind == Kind::Cable {
            let settings = profile::cable(&device.shown.name, addressing);
            let (profile, _) = bus.add_and_activate(&settings, &device.path, "memory").await?;
            return Ok((profile, settings));
        }
        let profile = device.profile.clone().ok_or_else(|| BusError::Refused("it has joined nothing".to_owned()))?;
        let mut settings = written(&bus.settings(&profile).await?);
        settings.insert("ipv4".to_owned(), profile::ipv4(addressing));
        bus.update(&profile, &settings, false).await?;
        bus.activate(&profile, &device.path).await?;
        Ok((profile, settings))
    };
    match done.await {
        Ok((profile, settings)) => {
            let cable = (device.shown.kind == Kind::Cable).then(|| device.shown.name.clone());
            Ok(Tried { checkpoint, profile, settings, cable })
        }
        Err(error) => {
            let _back = bus.go_back(&checkpoint).await;
            Err(error)
        }
    }
}

/// Keeps what is tried.
pub(super) async fn keep(bus: &Bus, tried: &Tried) -> Result<(), BusError> {
    bus.keep(&tried.checkpoint).await?;
    bus.update(&tried.profile, &tried.settings, true).await?;
    // An older one for the same cable.
    let Some(cable) = &tried.cable else { return Ok(()) };
    for path in bus.profiles().await? {
        if path != tried.profile && bus.settings(&path).await.is_ok_and(|settings| is_of_cable(&settings, cable)) {
            let _gone = bus.delete(&path).await;
        }
    }
    Ok(())
}

/// Takes back what is tried; NetworkManager may have done its part by itself already.
pub(super) async fn take_back(bus: &Bus, tried: &Tried) -> Result<(), BusError> {
    let back = bus.go_back(&tried.checkpoint).await;
    if tried.cable.is_some() {
        let _gone = bus.delete(&tried.profile).await;
    }
    back
}

fn is_of_cable(settings: &Kept, cable: &str) -> bool {
    let says = |key: &str, word: &str| {
        let said = settings.get("connection").and_then(|section| section.get(key));
        said.is_some_and(|said| matches!(&**said, zbus::Variant::Str(said) if said.as_str() == word))
    };
    says("id", profile::CABLE) && says("interface-name", cable)
}

/// A profile as it was read, to be written. Its secrets are not in it, and stay as they are.
fn written(kept: &Kept) -> Profile {
    let section = |section: &Properties| {
        section.iter().map(|(key, value)| (key.clone(), zbus::Variant::from(value.clone()))).collect()
    };
    kept.iter().map(|(name, properties)| (name.clone(), section(properties))).collect()
}
