//! What takes seconds: joining a network, raising the access point, changing addresses. One at a time, each with its limit of time.

use std::{
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
    ACCESS_POINT, Addressing, Interface, Join, Kind, TRIAL, Visible,
    bus::{Bus, BusError, Profile, StateChange},
    look::{ACTIVATED, Device, FAILED, Look},
    profile::{self, Channel},
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
/// A reason that says that something was ended by another activation, which is no failure of this one.
const SUPERSEDED: u32 = 60;

/// Has a radio look around, if it can, and waits for that.
pub(super) async fn look_around(bus: &Bus, device: &Device) {
    if bus.scan(&device.path).await.is_err() {
        // It did a moment ago, or cannot while it is joining.
        sleep(Duration::from_secs(1)).await;
        return;
    }
    let end = Instant::now() + SCAN;
    // `LastScan` changes, and with it the list.
    while timeout_at(end, bus.changed.notified()).await.is_ok() {
        let Ok(objects) = bus.objects().await else { return };
        let now = Look::of(&objects, &Default::default());
        let scanned = now.devices.iter().any(|other| other.path == device.path && other.last_scan != device.last_scan);
        if scanned {
            break;
        }
    }
    // Whoever waits for changes is told that there were some.
    bus.changed.notify_one();
}

/// How an activation went: its last state and the reason.
async fn followed(
    states: &mut broadcast::Receiver<StateChange>,
    device: &OwnedObjectPath,
    limit: Duration,
) -> Result<(), Option<u32>> {
    let end = Instant::now() + limit;
    let mut began = false;
    loop {
        match timeout_at(end, states.recv()).await {
            Ok(Ok(change)) if change.device == *device => match change.state {
                ACTIVATED => return Ok(()),
                FAILED => return Err(Some(change.reason)),
                // What was there before ends first.
                ..=30 if began && change.reason != SUPERSEDED => return Err(Some(change.reason)),
                40..ACTIVATED => began = true,
                _ => {}
            },
            Ok(Ok(_)) | Ok(Err(broadcast::error::RecvError::Lagged(_))) => {}
            Ok(Err(broadcast::error::RecvError::Closed)) | Err(_) => return Err(None),
        }
    }
}

/// Joins a network. What works is kept; of what does not, nothing is left.
pub(super) async fn join(
    bus: &Bus,
    look: &Look,
    device: &Device,
    join: &Join,
    seen: Option<&Visible>,
) -> Result<(), Failure> {
    let profile = profile::venue(join, seen).map_err(|error| Failure::Other { said: error.to_string() })?;
    // Its one radio is the access point.
    if let Some(own) = look.own.as_ref().filter(|own| own.interface == device.shown.name) {
        let _gone = bus.deactivate(&own.active).await;
        sleep(Duration::from_millis(500)).await;
    }
    let mut states = bus.states();
    let (path, active) = bus.add_and_activate(&profile, &device.path, "memory").await.map_err(failure)?;
    let ended = followed(&mut states, &device.path, JOIN).await;
    let failure = match ended {
        Ok(()) => {
            // Others by the same name, with another password.
            for known in &look.known {
                if known.ssid == join.ssid && known.profile != path {
                    let _gone = bus.delete(&known.profile).await;
                }
            }
            return bus.update(&path, &profile::kept(profile), true).await.map_err(failure);
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
    if own.is_none() {
        // It cannot look around once it is one.
        look_around(bus, device).await;
        if let Ok(objects) = bus.objects().await {
            heard = Look::of(&objects, &Default::default()).heard;
        }
    } else if let Some(own) = own {
        let _gone = bus.deactivate(&own.active).await;
        sleep(Duration::from_millis(500)).await;
    }
    let others = heard.iter().map(|(network, frequency)| (*frequency, network.signal));
    let channel = wanted.channel.unwrap_or_else(|| Channel::quietest(others));
    let profile: Profile =
        profile::access_point(&wanted.ssid, wanted.purpose, wanted.password.as_ref(), &device.shown.name, channel);
    let mut states = bus.states();
    let (_, active) =
        bus.add_and_activate(&profile, &device.path, "volatile").await.map_err(|error| error.to_string())?;
    let raised = match followed(&mut states, &device.path, RAISE).await {
        Ok(()) => serves(&mut states, &device.path).await,
        Err(Some(reason)) => Err(format!("the radio does not become an access point (reason {reason})")),
        Err(None) => Err("the radio took too long".to_owned()),
    };
    if raised.is_err() {
        let _gone = bus.deactivate(&active).await;
    }
    raised
}

/// Whether whoever joins it gets answers: activated is not serving.
async fn serves(states: &mut broadcast::Receiver<StateChange>, device: &OwnedObjectPath) -> Result<(), String> {
    let end = Instant::now() + HOLD;
    while let Ok(change) = timeout_at(end, states.recv()).await {
        if change.is_ok_and(|change| change.device == *device && change.state != ACTIVATED) {
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
#[derive(Debug)]
pub(super) struct Tried {
    pub(super) checkpoint: OwnedObjectPath,
    profile: OwnedObjectPath,
    settings: Profile,
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
        Ok((profile, settings)) => Ok(Tried { checkpoint, profile, settings }),
        Err(error) => {
            let _back = bus.go_back(&checkpoint).await;
            Err(error)
        }
    }
}

/// Keeps what is tried.
pub(super) async fn keep(bus: &Bus, look: &Look, tried: &Tried) -> Result<(), BusError> {
    bus.keep(&tried.checkpoint).await?;
    bus.update(&tried.profile, &tried.settings, true).await?;
    // An older one for the same cable.
    for path in bus.profiles().await? {
        let older = path != tried.profile && !look.known.iter().any(|known| known.profile == path);
        if older && bus.settings(&path).await.is_ok_and(|settings| is_cable(&settings)) {
            let _gone = bus.delete(&path).await;
        }
    }
    Ok(())
}

fn is_cable(settings: &super::bus::Kept) -> bool {
    let id = settings.get("connection").and_then(|section| section.get("id"));
    id.is_some_and(|id| matches!(&**id, zbus::Variant::Str(id) if id.as_str() == profile::CABLE))
}

/// A profile as it was read, to be written. Its secrets are not in it, and stay as they are.
fn written(kept: &super::bus::Kept) -> Profile {
    let section = |section: &super::bus::Properties| {
        section.iter().map(|(key, value)| (key.clone(), zbus::Variant::from(value.clone()))).collect()
    };
    kept.iter().map(|(name, properties)| (name.clone(), section(properties))).collect()
}

/// The last two bytes of a radio's hardware address, as the access point's name ends.
pub(super) fn ending(interface: &Interface) -> String {
    let digits: String = interface.mac.chars().filter(char::is_ascii_hexdigit).collect::<String>().to_ascii_uppercase();
    digits.chars().rev().take(4).collect::<Vec<_>>().into_iter().rev().collect()
}
