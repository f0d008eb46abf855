//! The one task that owns the queue: drain events, apply each, one commit, answer all, act. Orders that make the show safe act first and
//! are stored as soon as possible.

use std::{sync::Arc, time::Duration};

use thiserror::Error;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

pub use crate::core::queue::Presence;
use crate::{
    config::{IngestConfig, QueueConfig},
    core::{
        account::AccountId,
        moment::Moment,
        queue::{EntryId, Order, Queue, QueueSettings, Record, TurnId},
    },
    store::{Kept, kept_by},
};

mod dark;
mod flight;
mod past;
mod ports;
mod request;
mod stored;
mod task;
#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]
mod tests;
mod view;

use past::Dark;
pub use past::{Ended, PastShow};
pub use ports::{AccountsPort, IngestPort, MediaPort, Parts, StorePort};
pub use request::OrderError;
use request::{Message, Safe, SafeOrder};
pub use stored::Stored;
use task::Task;
pub use view::{EntryView, HoldOffView, QueueView, Refusals, Snapshot, TurnView, hold_offs_at, queue_at};

/// Orders that may wait, and as many of those that do not wait for the disk: they have a way of their own. An order beyond them waits in its
/// caller.
const ORDERS: usize = 64;

/// The queue's settings out of the configuration.
pub fn settings(queue: &QueueConfig, ingest: &IngestConfig) -> QueueSettings {
    QueueSettings {
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

/// Why the director cannot start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The stored queue cannot be read.
    #[error(
        "the stored queue cannot be read ({0}); it was left as it is: put a backup of the store in its place, or move it away \
         to begin empty"
    )]
    Record(#[from] serde_json::Error),
}

/// The handle. Cheap to clone.
#[derive(Clone)]
pub struct Director {
    snapshot: watch::Receiver<Arc<Snapshot>>,
    orders: mpsc::Sender<Message>,
    safe: mpsc::Sender<SafeOrder>,
}

impl Director {
    /// Restores the queue. The future is the director: it runs until `token` is cancelled, then commits a last time and ends.
    /// It asks the ingest for its connections first, so the ingest has to be running by then.
    ///
    /// # Errors
    /// When the stored queue cannot be read.
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
        let mut record: Option<Record> = parts.stored.queue.as_deref().map(serde_json::from_slice).transpose()?;
        if let (Some(record), Some((turn, on_air))) = (&mut record, parts.stored.note.elapsed()) {
            record.catch_up(turn, on_air);
        }
        let stored = &parts.stored;
        let dark = (stored.show || stored.ended_by_hand).then(|| Dark::new(record.as_ref(), &parts, now()));
        let queue = match record {
            None => Queue::new(parts.settings.clone()),
            Some(record) => Queue::restore(record, parts.settings.clone(), now()),
        };
        let (orders, inbox) = mpsc::channel(ORDERS);
        let (safe, safe_inbox) = mpsc::channel(ORDERS);
        let (task, snapshot) = Task::new(queue, dark, parts, inbox, safe_inbox, now);
        Ok((Self { snapshot, orders, safe }, task.run(token)))
    }

    /// The latest look; `watch` for changes. Changes at every event, not by the clock.
    pub fn snapshot(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.snapshot.clone()
    }

    /// Takes another look: an account has another name. Never waits.
    pub fn look_again(&self) {
        // With no room, another look is due anyway.
        let _due = self.orders.try_send(Message::LookAgain);
    }

    /// Ends the turn `turn`, or whichever runs, at once: it waits for no disk. Rules 14 and 19.
    ///
    /// # Errors
    /// [`OrderError::AlreadyOver`] when that turn is over or ends already, [`OrderError::NotFound`] when none runs.
    pub async fn skip(&self, turn: Option<TurnId>) -> Result<Kept, OrderError> {
        self.at_once(Safe::Order(Order::Skip { turn })).await
    }

    /// Freezes or frees the rotation, at once. Rules 15 and 19.
    ///
    /// # Errors
    /// When the box stops.
    pub async fn set_hold(&self, on: bool) -> Result<Kept, OrderError> {
        self.at_once(Safe::Order(Order::Hold(on))).await
    }

    /// The panic button, at once. Rules 16 and 19.
    ///
    /// # Errors
    /// When the box stops.
    pub async fn set_forced_slate(&self, on: bool) -> Result<Kept, OrderError> {
        self.at_once(Safe::Order(Order::ForcedSlate(on))).await
    }

    /// Puts an entry on air now. Rule 14.
    ///
    /// # Errors
    /// When there is no such entry, or it is not ready, or on air already.
    pub async fn put_on_air(&self, entry: EntryId) -> Result<(), OrderError> {
        self.order(Order::PutOnAir(entry)).await.map(drop)
    }

    /// Removes an entry, at once. Rules 14 and 19.
    ///
    /// # Errors
    /// When there is no such entry.
    pub async fn kick(&self, entry: EntryId) -> Result<Kept, OrderError> {
        self.at_once(Safe::Order(Order::Kick(entry))).await
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
    /// When it cannot be stored.
    pub async fn set_block(&self, on: Option<bool>) -> Result<bool, OrderError> {
        self.order(Order::SetBlock(on)).await
    }

    /// Follows other settings from here on.
    ///
    /// # Errors
    /// When it cannot be stored: the length of turns and the block toggle, which an admin may have set, are.
    pub async fn configure(&self, settings: QueueSettings) -> Result<(), OrderError> {
        self.order(Order::Configure(settings)).await.map(drop)
    }

    /// Lifts a hold-off. Rule 12.
    ///
    /// # Errors
    /// When the account is not held off.
    pub async fn lift_hold_off(&self, account: AccountId) -> Result<(), OrderError> {
        self.order(Order::LiftHoldOff(account)).await.map(drop)
    }

    /// The streamer leaves the queue by their own page, at once: the entry goes, the connection is dropped, nobody is held off.
    ///
    /// # Errors
    /// When the account has no entry.
    pub async fn leave(&self, account: AccountId) -> Result<Kept, OrderError> {
        self.at_once(Safe::Order(Order::Leave(account))).await
    }

    /// The account got a new key or was disabled, banned or deleted: its connection is dropped, at once. Rules 14 and 19. `remove` also
    /// removes its entry (disabled, banned, deleted). An account that is not in the queue is no error.
    ///
    /// # Errors
    /// When the box stops.
    pub async fn revoke(&self, account: AccountId, remove: bool, reason: String) -> Result<Kept, OrderError> {
        self.at_once(Safe::Order(Order::Revoke { account, remove, reason: reason.into() })).await
    }

    /// Begins the show by hand; remembered across a restart.
    ///
    /// # Errors
    /// When it cannot be stored, and when the show was ended meanwhile.
    pub async fn begin_show(&self) -> Result<(), OrderError> {
        let (answer, answered) = oneshot::channel();
        self.send(Message::BeginShow { answer }).await?;
        answered.await.unwrap_or(Err(OrderError::Stopping)).map(drop)
    }

    /// Ends the show by hand, at once. Rule 19. A begin that is not stored yet is given up.
    ///
    /// # Errors
    /// When the box stops.
    pub async fn end_show(&self) -> Result<Kept, OrderError> {
        self.at_once(Safe::EndShow).await
    }

    /// Has an order carried out that waits for no disk, and says whether it was stored within a moment.
    async fn at_once(&self, what: Safe) -> Result<Kept, OrderError> {
        let (answer, answered) = oneshot::channel();
        self.safe.send(SafeOrder { what, answer }).await.map_err(|_| OrderError::Stopping)?;
        let receipt = answered.await.unwrap_or(Err(OrderError::Stopping))?;
        Ok(kept_by(async { receipt.await.ok() }).await)
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
