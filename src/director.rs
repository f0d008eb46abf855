//! The one task that owns the queue: drain events, apply each, one commit, answer all, act.

use std::{collections::HashMap, sync::Arc, time::Duration};

use serde::Serialize;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;

pub use crate::core::queue::Presence;
use crate::{
    clock::Clock,
    config::{IngestConfig, QueueConfig},
    core::{
        account::AccountId,
        frame::ConnectionId,
        moment::Moment,
        queue::{EntryId, Order, Queue, Record, Settings, TurnId},
    },
    ingest::IngestEvent,
    media::MediaEvents,
    store::Loaded,
};

mod flight;
mod ports;
mod task;
#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]
mod tests;
mod view;

use flight::Message;
pub use ports::{AccountsPort, IngestPort, MediaPort, StorePort};
use task::Task;

/// The setting under which the store remembers whether a show is on.
const SHOW_SETTING: &str = "show";

/// Orders that may wait. An order beyond them waits in its caller.
const ORDERS: usize = 64;

/// One place in the queue, as everybody may see it.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct EntryView {
    /// Its id, for an admin's calls.
    pub id: EntryId,
    /// Whose it is.
    pub account: AccountId,
    /// The streamer's name.
    pub name: String,
    /// Whether it can be taken.
    pub presence: Presence,
}

/// The turn that runs.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct TurnView {
    /// Its id, for `skip`.
    pub id: TurnId,
    /// Whose turn it is.
    pub entry: EntryView,
    /// Length in seconds.
    pub length_seconds: f64,
    /// Time on air, in seconds, at the moment of the snapshot.
    pub elapsed_seconds: f64,
    /// What is left, in seconds; zero in overtime.
    pub remaining_seconds: f64,
    /// Whether the clock runs: not while suspended or under the forced slate.
    pub running: bool,
    /// The streamer is gone for the moment and the place is kept.
    pub suspended: bool,
    /// The input is stalled: the slate fills in.
    pub stalled: bool,
}

/// Somebody who may not publish for a while.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct HoldOffView {
    /// The account.
    pub account: AccountId,
    /// Its name.
    pub name: String,
    /// Seconds left.
    pub remaining_seconds: f64,
    /// Why: a kick, or the block toggle.
    pub reason: String,
}

/// One consistent look at the queue.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
#[expect(clippy::struct_excessive_bools, reason = "switches that are independent of each other")]
pub struct QueueView {
    /// Whose turn it is.
    pub on_air: Option<TurnView>,
    /// Who waits, in order.
    pub waiting: Vec<EntryView>,
    /// The first ready one of them.
    pub next: Option<EntryId>,
    /// The block toggle.
    pub block: bool,
    /// Rotation is frozen.
    pub hold: bool,
    /// The panic button.
    pub forced_slate: bool,
    /// The length of a turn in seconds.
    pub turn_seconds: u64,
    /// Whether a show is on.
    pub show: bool,
}

/// The latest look with what only admins and the owners see.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// When it was taken; `elapsed` and `remaining` are as of then.
    pub taken: Moment,
    /// What everybody may see.
    pub queue: QueueView,
    /// The entry that is to be taken: ordered, and waiting for its key frame.
    pub pending: Option<EntryId>,
    /// Held-off streamers.
    pub hold_offs: Vec<HoldOffView>,
    /// The connection of each entry that has one.
    pub connections: HashMap<EntryId, ConnectionId>,
    /// Why each account's last publish was refused or connection ended by us, with the wall-clock time.
    pub refusals: Arc<Refusals>,
}

/// By account: when and why its last publish was refused or its connection ended by us. Of this process, and bounded.
pub type Refusals = HashMap<AccountId, (jiff::Timestamp, String)>;

/// Why an order was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum OrderError {
    /// No such entry, account or hold-off.
    #[error("no such {0}")]
    NotFound(&'static str),
    /// The turn that was named is over.
    #[error("that turn is already over")]
    AlreadyOver,
    /// The rules do not allow it now.
    #[error("{0}")]
    Refused(String),
    /// A value is out of bounds.
    #[error("{field}: {reason}")]
    Invalid {
        /// Which.
        field: &'static str,
        /// What would be right.
        reason: String,
    },
    /// It could not be made durable, so it did not happen.
    #[error("could not be stored: {0}")]
    Store(String),
    /// The box is stopping.
    #[error("the box is stopping")]
    Stopping,
}

/// What the store knew about the queue when it was opened.
#[derive(Clone, Debug, Default)]
pub struct Stored {
    /// The queue's record; none before the first commit.
    pub queue: Option<Vec<u8>>,
    /// Time on air of the turn that ran last, noted after the last commit.
    pub elapsed: Option<(TurnId, Duration)>,
    /// Whether a show was on.
    pub show: bool,
}

impl From<&Loaded> for Stored {
    fn from(loaded: &Loaded) -> Self {
        Self {
            queue: loaded.queue.clone(),
            elapsed: loaded.elapsed,
            show: loaded.settings.get(SHOW_SETTING).and_then(serde_json::Value::as_bool).unwrap_or(false),
        }
    }
}

/// The queue's settings out of the configuration.
pub fn settings(queue: &QueueConfig, ingest: &IngestConfig) -> Settings {
    Settings {
        turn: Duration::from_secs(queue.turn_seconds),
        rejoin: Duration::from_secs(queue.rejoin_seconds),
        restart_grace: Duration::from_secs(queue.restart_grace_seconds),
        hold_off: Duration::from_secs(queue.hold_off_seconds),
        stall_limit: Duration::from_secs(queue.stall_limit_seconds),
        overtime: queue.overtime,
        block: queue.block,
        max_publishers: ingest.max_publishers,
    }
}

/// Whom the director works with, and by which rules.
pub struct Parts<M, I, S, A> {
    /// The rules' figures.
    pub settings: Settings,
    /// The RTMP application streamers publish to.
    pub app: String,
    /// What the store knew.
    pub stored: Stored,
    /// The process's clock.
    pub clock: Clock,
    /// Media.
    pub media: M,
    /// Its events.
    pub media_events: MediaEvents,
    /// The ingest.
    pub ingest: I,
    /// Its events.
    pub ingest_events: mpsc::Receiver<IngestEvent>,
    /// The store.
    pub store: S,
    /// Whose key a key is.
    pub accounts: A,
}

/// Why the director can not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The stored queue can not be read.
    #[error(
        "the stored queue can not be read ({0}); it was left as it is: put a backup of the store in its place, or move it away \
         to begin empty"
    )]
    Record(#[from] serde_json::Error),
}

/// The handle. Cheap to clone.
#[derive(Clone)]
pub struct Director {
    snapshot: watch::Receiver<Arc<Snapshot>>,
    orders: mpsc::Sender<Message>,
}

impl Director {
    /// Restores the queue. The future is the director: it runs until `token` is cancelled, then commits a last time and ends.
    /// It asks the ingest for its connections first, so the ingest has to be running by then.
    ///
    /// # Errors
    /// When the stored queue can not be read.
    pub fn start<M: MediaPort, I: IngestPort, S: StorePort, A: AccountsPort>(
        parts: Parts<M, I, S, A>,
        token: CancellationToken,
    ) -> Result<(Self, impl Future<Output = ()> + Send + 'static), StartError> {
        let clock = parts.clock;
        Self::start_with(parts, token, move || clock.now())
    }

    fn start_with<M: MediaPort, I: IngestPort, S: StorePort, A: AccountsPort>(
        parts: Parts<M, I, S, A>,
        token: CancellationToken,
        now: impl Fn() -> Moment + Send + 'static,
    ) -> Result<(Self, impl Future<Output = ()> + Send + 'static), StartError> {
        let queue = match &parts.stored.queue {
            None => Queue::new(parts.settings.clone()),
            Some(stored) => {
                let mut record: Record = serde_json::from_slice(stored)?;
                if let Some((turn, on_air)) = parts.stored.elapsed {
                    record.catch_up(turn, on_air);
                }
                Queue::restore(record, parts.settings.clone(), now())
            }
        };
        let (orders, inbox) = mpsc::channel(ORDERS);
        let (task, snapshot) = Task::new(queue, parts, inbox, now);
        Ok((Self { snapshot, orders }, task.run(token)))
    }

    /// The latest look; `watch` for changes. Changes at every event, not by the clock.
    pub fn snapshot(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.snapshot.clone()
    }

    /// Ends the turn `turn`, or whichever runs. Rule 14.
    ///
    /// # Errors
    /// [`OrderError::AlreadyOver`] when that turn is over or ends already, [`OrderError::NotFound`] when none runs.
    pub async fn skip(&self, turn: Option<TurnId>) -> Result<(), OrderError> {
        self.order(Order::Skip { turn }).await.map(drop)
    }

    /// Freezes or frees the rotation. Rule 15.
    ///
    /// # Errors
    /// When it can not be stored.
    pub async fn set_hold(&self, on: bool) -> Result<(), OrderError> {
        self.order(Order::Hold(on)).await.map(drop)
    }

    /// The panic button. Rule 16.
    ///
    /// # Errors
    /// When it can not be stored.
    pub async fn set_forced_slate(&self, on: bool) -> Result<(), OrderError> {
        self.order(Order::ForcedSlate(on)).await.map(drop)
    }

    /// Puts an entry on air now. Rule 14.
    ///
    /// # Errors
    /// When there is no such entry, or it is not ready, or on air already.
    pub async fn put_on_air(&self, entry: EntryId) -> Result<(), OrderError> {
        self.order(Order::PutOnAir(entry)).await.map(drop)
    }

    /// Removes an entry. Rule 14.
    ///
    /// # Errors
    /// When there is no such entry.
    pub async fn kick(&self, entry: EntryId) -> Result<(), OrderError> {
        self.order(Order::Kick(entry)).await.map(drop)
    }

    /// Moves a waiting entry before another, or to the tail. Rule 14.
    ///
    /// # Errors
    /// When one of them does not wait.
    pub async fn move_entry(&self, entry: EntryId, before: Option<EntryId>) -> Result<(), OrderError> {
        self.order(Order::Move { entry, before }).await.map(drop)
    }

    /// Sets the length of turns. Rule 13.
    ///
    /// # Errors
    /// [`OrderError::Invalid`] for none and for more than 24 h.
    pub async fn set_turn(&self, length: Duration, reset: bool) -> Result<(), OrderError> {
        self.order(Order::SetTurn { length, reset }).await.map(drop)
    }

    /// Sets the length of the turn `turn`, and of no other. Rule 13.
    ///
    /// # Errors
    /// [`OrderError::AlreadyOver`] when that turn is over or ends already, [`OrderError::Invalid`] as [`Self::set_turn`].
    pub async fn set_this_turn(&self, turn: TurnId, length: Duration) -> Result<(), OrderError> {
        self.order(Order::SetThisTurn { turn, length }).await.map(drop)
    }

    /// Sets or toggles (`None`) the block toggle and says what it is now. Rule 12.
    ///
    /// # Errors
    /// When it can not be stored.
    pub async fn set_block(&self, on: Option<bool>) -> Result<bool, OrderError> {
        self.order(Order::SetBlock(on)).await
    }

    /// Follows other settings from here on.
    ///
    /// # Errors
    /// When it can not be stored: the length of turns and the block toggle, which an admin may have set, are.
    pub async fn configure(&self, settings: Settings) -> Result<(), OrderError> {
        self.order(Order::Configure(settings)).await.map(drop)
    }

    /// Lifts a hold-off. Rule 12.
    ///
    /// # Errors
    /// When the account is not held off.
    pub async fn lift_hold_off(&self, account: AccountId) -> Result<(), OrderError> {
        self.order(Order::LiftHoldOff(account)).await.map(drop)
    }

    /// The streamer leaves the queue by their own page: the entry goes, the connection is dropped, nobody is held off.
    ///
    /// # Errors
    /// When the account has no entry.
    pub async fn leave(&self, account: AccountId) -> Result<(), OrderError> {
        self.order(Order::Leave(account)).await.map(drop)
    }

    /// The account got a new key or was disabled, banned or deleted: its connection is dropped. Rule 14. `remove` also removes
    /// its entry (disabled, banned, deleted). An account that is not in the queue is no error.
    ///
    /// # Errors
    /// When it can not be stored.
    pub async fn revoke(&self, account: AccountId, remove: bool, reason: String) -> Result<(), OrderError> {
        self.order(Order::Revoke { account, remove, reason: reason.into() }).await.map(drop)
    }

    /// Begins or ends the show by hand; remembered across a restart.
    ///
    /// # Errors
    /// When it can not be stored.
    pub async fn set_show(&self, on: bool) -> Result<(), OrderError> {
        let (answer, answered) = oneshot::channel();
        self.send(Message::Show { on, answer }).await?;
        answered.await.unwrap_or(Err(OrderError::Stopping)).map(drop)
    }

    async fn order(&self, order: Order) -> Result<bool, OrderError> {
        let (answer, answered) = oneshot::channel();
        self.send(Message::Order { order, answer }).await?;
        answered.await.unwrap_or(Err(OrderError::Stopping))
    }

    async fn send(&self, message: Message) -> Result<(), OrderError> {
        self.orders.send(message).await.map_err(|_| OrderError::Stopping)
    }
}
