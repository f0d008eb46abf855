//! The network of a box that is an image of its own: an adapter over NetworkManager's D-Bus interface.
//!
//! It publishes what is connected and how well, joins networks that people choose, and raises the box's own access point when the rule of
//! [`core::network`](crate::core::network) says so. Nothing waits for it: without NetworkManager, or with one that hangs, there is no such
//! feature, it says so, and it comes back by itself. What needs root is asked for by one file, which the machine checks ([`asks`]).

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use ipnet::Ipv4Net;
use secrecy::SecretString;
use serde::Serialize;
use thiserror::Error;
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use utoipa::ToSchema;

use crate::{
    clock::Clock,
    config::NetworkConfig,
    core::{
        moment::Moment,
        network::{
            Purpose, Reason,
            wifi::{Failure, Security, WifiError},
        },
    },
};

mod asks;
mod bus;
mod jobs;
mod look;
mod profile;
mod task;
#[cfg(test)]
mod tests;

/// The address of the box on its own access point. A public one: some Androids take a private address for a network without internet, and
/// show no page.
pub const ACCESS_POINT: Ipv4Addr = Ipv4Addr::new(4, 3, 2, 1);

/// So long a change of addresses is tried before it is taken back.
pub const TRIAL: Duration = Duration::from_secs(60);

/// People's orders that wait for each other. More are refused.
const COMMANDS: usize = 8;
/// The longest that a person waits for an answer: less than any answer of the web may take.
const ANSWERED: Duration = Duration::from_secs(8);

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

    /// Whether a radio is there.
    pub fn has_radio(&self) -> bool {
        self.interfaces.iter().any(|interface| interface.kind == Kind::Wifi)
    }

    /// Whether a cable is plugged in.
    pub fn has_cable(&self) -> bool {
        self.interfaces.iter().any(|interface| interface.kind == Kind::Cable && interface.link)
    }
}

/// A Wi-Fi network to join.
#[derive(Clone, Debug)]
pub struct Join {
    /// Its name.
    pub ssid: String,
    /// The password of the network, or of the user.
    pub password: Option<SecretString>,
    /// It does not announce its name.
    pub hidden: bool,
    /// The user name, where the network asks each for their own.
    pub identity: Option<String>,
    /// The name in the certificate of the venue's server, where that is checked.
    pub server: Option<String>,
}

/// How an interface gets its address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Addressing {
    /// From the venue's network.
    Given,
    /// Fixed.
    Fixed {
        /// Address and prefix.
        address: Ipv4Net,
        /// The way out.
        gateway: Option<Ipv4Addr>,
        /// Who is asked for names.
        dns: Vec<Ipv4Addr>,
    },
}

/// Why something was not done.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NetworkError {
    /// There is no NetworkManager, or it does not answer.
    #[error("{0}")]
    NoManager(&'static str),
    /// The network is not this program's to set.
    #[error("this machine's network is its own: only a box that runs the image sets it from its page")]
    NotOurs,
    /// There is no radio.
    #[error("this box has no Wi-Fi radio, or it is switched off")]
    NoRadio,
    /// What was written cannot be.
    #[error(transparent)]
    Wifi(#[from] WifiError),
    /// Something else is under way.
    #[error("{0}")]
    Busy(&'static str),
    /// There is no such thing.
    #[error("{0}")]
    NotFound(String),
    /// NetworkManager refused.
    #[error("the network service refused: {0}")]
    Refused(String),
    /// It did not answer in time.
    #[error("the network service takes its time, and what was asked for may be done yet: look again in a moment")]
    Slow,
}

/// What the adapter is told of the box, whenever it looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Situation {
    /// The box has an owner.
    pub claimed: bool,
    /// A show is on.
    pub show: bool,
}

/// What the adapter is started with.
pub struct Parts {
    /// `[network]` at the start.
    pub config: NetworkConfig,
    /// Whether the network is this box's to set.
    pub own: bool,
    /// Where what needs root is asked for.
    pub requests: Option<PathBuf>,
    /// Where a join that is under way is noted, over a pulled plug.
    pub data_dir: PathBuf,
    /// The card's small partition, on which the file `wifi-setup` may lie.
    pub boot_dir: Option<PathBuf>,
    /// How the box does.
    pub situation: Arc<dyn Fn() -> Situation + Send + Sync>,
    /// The process's clock.
    pub clock: Clock,
    /// Ends the adapter.
    pub token: CancellationToken,
}

/// What people order.
enum Command {
    Look(Answer<()>),
    Join(Join, Answer<()>),
    Forget(String, Answer<()>),
    Hotspot(bool, Answer<()>),
    Address(String, Addressing, Answer<()>),
    Confirm(bool, Answer<()>),
}

type Answer<T> = oneshot::Sender<Result<T, NetworkError>>;

/// When somebody on the access point last did something: milliseconds since the start, and one more.
type Touched = Arc<AtomicU64>;

/// The password of the streamers' network, once the box has made one.
type Made = Arc<OnceLock<SecretString>>;

/// The handle. Cheap to clone.
#[derive(Clone)]
pub struct Network {
    config: Arc<watch::Sender<Arc<NetworkConfig>>>,
    snapshot: watch::Receiver<Arc<Snapshot>>,
    commands: mpsc::Sender<Command>,
    touched: Touched,
    made: Made,
    clock: Clock,
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network").field("snapshot", &self.snapshot.borrow()).finish_non_exhaustive()
    }
}

impl Network {
    /// Starts the adapter. It ends with its token; nothing waits for NetworkManager on the way.
    pub fn start(parts: Parts, tracker: &TaskTracker) -> Self {
        let (config, configured) = watch::channel(Arc::new(parts.config.clone()));
        let first = Snapshot { own: parts.own, ..Snapshot::default() };
        let (publish, snapshot) = watch::channel(Arc::new(first));
        let (commands, ordered) = mpsc::channel(COMMANDS);
        let (touched, made) = (Touched::default(), Made::default());
        let (clock, token) = (parts.clock, parts.token.clone());
        let mut task = task::Task::new(parts, configured, ordered, publish, (Arc::clone(&touched), Arc::clone(&made)));
        let work = async move {
            tokio::select! {
                biased;
                () = token.cancelled() => {}
                () = task.run() => {}
            }
        };
        tracker.spawn(tracing::Instrument::instrument(work, tracing::info_span!("network")));
        Self { config: Arc::new(config), snapshot, commands, touched, made, clock }
    }

    /// A handle without NetworkManager: the test says what is seen, and takes the orders.
    #[cfg(test)]
    pub(crate) fn simulated(config: NetworkConfig, clock: Clock) -> (Self, Simulated) {
        let config = watch::channel(Arc::new(config)).0;
        let (publish, snapshot) = watch::channel(Arc::default());
        let (commands, ordered) = mpsc::channel(COMMANDS);
        let (touched, made) = (Touched::default(), Made::default());
        let network = Self {
            config: Arc::new(config),
            snapshot,
            commands,
            touched: Arc::clone(&touched),
            made: Arc::clone(&made),
            clock,
        };
        (network, Simulated { publish, ordered, touched, made })
    }

    /// The network; `watch` for changes.
    pub fn snapshot(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.snapshot.clone()
    }

    /// Takes a changed `[network]` over.
    pub fn configure(&self, config: NetworkConfig) {
        self.config.send_replace(Arc::new(config));
    }

    /// What was taken over, as it changes.
    #[cfg(test)]
    pub(crate) fn configured(&self) -> watch::Receiver<Arc<NetworkConfig>> {
        self.config.subscribe()
    }

    /// Somebody on the access point did something: it is not taken down under them.
    pub fn touch(&self) {
        let now = self.clock.now().since_start().as_millis();
        self.touched.store(u64::try_from(now).unwrap_or(u64::MAX).saturating_add(1), Ordering::Relaxed);
    }

    /// The password that the box made for its streamers' network, once that was up; `network.setup_password` goes before it.
    pub fn guests_password(&self) -> Option<SecretString> {
        self.made.get().cloned()
    }

    /// Has the radio look for networks, where it can: one that is the access point cannot, and what it saw before stays. The snapshot has them
    /// then.
    ///
    /// # Errors
    /// Without NetworkManager or a radio.
    pub async fn look(&self) -> Result<(), NetworkError> {
        self.ask(Command::Look).await
    }

    /// Joins a Wi-Fi network. Answered when it begins; the snapshot says how it ends. It is kept once it has worked, and joined by itself then.
    ///
    /// # Errors
    /// What is wrong with what was written, or that another join is under way.
    pub async fn join(&self, join: Join) -> Result<(), NetworkError> {
        self.ask(|answer| Command::Join(join, answer)).await
    }

    /// Forgets a Wi-Fi network: the box leaves it, and does not join it by itself any more.
    ///
    /// # Errors
    /// That it is not known.
    pub async fn forget(&self, ssid: String) -> Result<(), NetworkError> {
        self.ask(|answer| Command::Forget(ssid, answer)).await
    }

    /// Raises the own access point, or lowers it; see [`crate::core::network::Rule::ask`].
    ///
    /// # Errors
    /// Without a radio, or a NetworkManager.
    pub async fn hotspot(&self, on: bool) -> Result<(), NetworkError> {
        self.ask(|answer| Command::Hotspot(on, answer)).await
    }

    /// Sets how an interface gets its address. It is tried for [`TRIAL`], and taken back unless it is confirmed.
    ///
    /// # Errors
    /// That there is no such interface, or that another change is being tried.
    pub async fn address(&self, interface: String, addressing: Addressing) -> Result<(), NetworkError> {
        self.ask(|answer| Command::Address(interface, addressing, answer)).await
    }

    /// Keeps what is tried, or takes it back now.
    ///
    /// # Errors
    /// That nothing is tried.
    pub async fn confirm(&self, keep: bool) -> Result<(), NetworkError> {
        self.ask(|answer| Command::Confirm(keep, answer)).await
    }

    async fn ask<T>(&self, command: impl FnOnce(Answer<T>) -> Command) -> Result<T, NetworkError> {
        let (answer, answered) = oneshot::channel();
        self.commands.try_send(command(answer)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => {
                NetworkError::Busy("too much is asked of the network at once: try again in a moment")
            }
            mpsc::error::TrySendError::Closed(_) => NetworkError::NoManager("the box is stopping"),
        })?;
        match timeout(ANSWERED, answered).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(NetworkError::NoManager("the box is stopping")),
            Err(_) => Err(NetworkError::Slow),
        }
    }
}

/// What stands where NetworkManager would, in tests.
#[cfg(test)]
#[derive(Debug)]
pub(crate) struct Simulated {
    /// What is seen.
    pub(crate) publish: watch::Sender<Arc<Snapshot>>,
    ordered: mpsc::Receiver<Command>,
    touched: Touched,
    /// The password of the streamers' network.
    pub(crate) made: Made,
}

#[cfg(test)]
impl Simulated {
    /// The next order, in words, which is carried out: `join Venue with a password`.
    pub(crate) async fn next(&mut self) -> Option<String> {
        let (answer, words) = match self.ordered.recv().await? {
            Command::Look(answer) => (answer, "look".to_owned()),
            Command::Join(join, answer) => {
                let mut words = format!("join {}", join.ssid);
                for (has, what) in [
                    (join.password.is_some(), " with a password"),
                    (join.identity.is_some(), " as a user"),
                    (join.hidden, ", hidden"),
                ] {
                    words.push_str(if has { what } else { "" });
                }
                (answer, words)
            }
            Command::Forget(ssid, answer) => (answer, format!("forget {ssid}")),
            Command::Hotspot(on, answer) => (answer, format!("access point {}", if on { "up" } else { "down" })),
            Command::Address(interface, addressing, answer) => (answer, format!("{interface}: {addressing:?}")),
            Command::Confirm(keep, answer) => (answer, format!("confirm {keep}")),
        };
        let _ = answer.send(Ok(()));
        Some(words)
    }

    /// From now on every order is carried out at once, and told here in words.
    pub(crate) fn carried_out(&mut self) -> mpsc::UnboundedReceiver<String> {
        let (words, heard) = mpsc::unbounded_channel();
        let (publish, touched, made) = (self.publish.clone(), Arc::clone(&self.touched), Arc::clone(&self.made));
        let ordered = std::mem::replace(&mut self.ordered, mpsc::channel(1).1);
        let mut taken = Self { publish, ordered, touched, made };
        tokio::spawn(async move {
            while let Some(order) = taken.next().await {
                let _ = words.send(order);
            }
        });
        heard
    }

    /// Whether somebody on the access point did something.
    pub(crate) fn was_touched(&self) -> bool {
        last_touch(&self.touched).is_some()
    }
}

/// When `touched` was last, if ever.
fn last_touch(touched: &Touched) -> Option<Moment> {
    let at = touched.load(Ordering::Relaxed).checked_sub(1)?;
    Some(Moment::from_start(Duration::from_millis(at)))
}
