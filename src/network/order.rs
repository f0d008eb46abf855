//! What the adapter is started with, told and ordered.

use std::{
    net::Ipv4Addr,
    path::PathBuf,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use ipnet::Ipv4Net;
use secrecy::SecretString;
use thiserror::Error;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::{
    clock::Clock,
    config::NetworkConfig,
    core::{
        moment::Moment,
        network::wifi::{SavedWifi, WifiError},
    },
};

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
    /// The address of the bus; none: the system's.
    pub bus: Option<String>,
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
pub(super) enum Command {
    Look(Answer<()>),
    Join(Join, Answer<()>),
    Forget(String, Answer<()>),
    Saved(Answer<Vec<SavedWifi>>),
    Hotspot(bool, Answer<()>),
    Address(String, Addressing, Answer<()>),
    Confirm(bool, Answer<()>),
}

pub(super) type Answer<T> = oneshot::Sender<Result<T, NetworkError>>;

/// When somebody on the access point last did something: milliseconds since the start, and one more; 0: never.
#[derive(Debug, Default)]
pub(super) struct Touches {
    /// Whoever it was.
    anyone: AtomicU64,
    /// Somebody who has signed in.
    account: AtomicU64,
}

pub(super) type Touched = Arc<Touches>;

impl Touches {
    /// Somebody did something.
    pub(super) fn at(&self, now: Moment, signed_in: bool) {
        let now = u64::try_from(now.since_start().as_millis()).unwrap_or(u64::MAX).saturating_add(1);
        self.anyone.store(now, Ordering::Relaxed);
        if signed_in {
            self.account.store(now, Ordering::Relaxed);
        }
    }

    /// When anybody last did.
    pub(super) fn by_anyone(&self) -> Option<Moment> {
        moment(&self.anyone)
    }

    /// When somebody who has signed in last did.
    pub(super) fn by_account(&self) -> Option<Moment> {
        moment(&self.account)
    }
}

fn moment(touched: &AtomicU64) -> Option<Moment> {
    let at = touched.load(Ordering::Relaxed).checked_sub(1)?;
    Some(Moment::from_start(Duration::from_millis(at)))
}

/// The password of the streamers' network, once the box has made one.
pub(super) type Made = Arc<OnceLock<SecretString>>;
