//! The network of a box that is an image of its own: an adapter over NetworkManager's D-Bus interface.
//!
//! It publishes what is connected and how well, joins networks that people choose, and raises the box's own access point when the rule of
//! [`core::network`](crate::core::network) says so. Nothing waits for it: without NetworkManager, or with one that hangs, there is no such
//! feature, it says so, and it comes back by itself. What needs root is asked for by one file, which the machine checks ([`asks`]).

use std::{fmt, sync::Arc, time::Duration};

use secrecy::SecretString;
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::timeout,
};
use tokio_util::task::TaskTracker;

use self::order::{Answer, Command, Made, Touched};
pub use self::{
    order::{Addressing, Join, NetworkError, Parts, Situation},
    view::{
        ACCESS_POINT, AccessPoint, Interface, Internet, Kind, Manager, Outcome, Snapshot, State, TRIAL, Trial, Visible,
    },
};
use crate::{clock::Clock, config::NetworkConfig, core::network::wifi::SavedWifi};

mod asks;
mod bus;
mod guests;
mod jobs;
mod look;
mod order;
mod profile;
mod saved;
mod task;
#[cfg(test)]
mod tests;
mod view;

/// People's orders that wait for each other. More are refused.
const COMMANDS: usize = 8;
/// The longest that a person waits for an answer: less than any answer of the web may take.
const ANSWERED: Duration = Duration::from_secs(8);

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

    /// One look, without an adapter that runs: for the doctor. Changes nothing.
    ///
    /// # Errors
    /// Without a NetworkManager, or one that answers.
    pub async fn glance() -> Result<Snapshot, NetworkError> {
        task::glance().await
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
        (network, Simulated { publish, ordered, touched, made, saved: Vec::new() })
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

    /// Somebody on the access point did something: it is not taken down under them. Those who have not signed in hold it for a quarter of an
    /// hour at a time: a stranger's phone is not to keep the box out of the venue's Wi-Fi.
    pub fn touch(&self, signed_in: bool) {
        self.touched.at(self.clock.now(), signed_in);
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

    /// The networks that the box joins by itself, with their passwords: for a backup.
    ///
    /// # Errors
    /// Without a NetworkManager, or one that does not tell.
    pub async fn saved(&self) -> Result<Vec<SavedWifi>, NetworkError> {
        self.ask(Command::Saved).await
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
    /// What is known, with its passwords.
    pub(crate) saved: Vec<SavedWifi>,
}

#[cfg(test)]
impl Simulated {
    /// The next order, in words, which is carried out: `join Venue with a password`.
    pub(crate) async fn next(&mut self) -> Option<String> {
        let (answer, words) = match self.ordered.recv().await? {
            Command::Saved(answer) => {
                let _ = answer.send(Ok(self.saved.clone()));
                return Some("tell what is known".to_owned());
            }
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
        let mut taken = Self { publish, ordered, touched, made, saved: self.saved.clone() };
        tokio::spawn(async move {
            while let Some(order) = taken.next().await {
                let _ = words.send(order);
            }
        });
        heard
    }

    /// Whether somebody on the access point did something.
    pub(crate) fn was_touched(&self) -> bool {
        self.touched.by_anyone().is_some()
    }
}
