//! The one task that owns the queue: drain events, apply each, one commit, answer all, act.

use std::{collections::HashMap, sync::Arc, time::Duration};

use serde::Serialize;
use thiserror::Error;
use tokio::sync::watch;
use utoipa::ToSchema;

use crate::core::{
    account::AccountId,
    frame::ConnectionId,
    moment::Moment,
    queue::{EntryId, TurnId},
};

pub use crate::core::queue::Presence;

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
    /// Held-off streamers.
    pub hold_offs: Vec<HoldOffView>,
    /// The connection of each entry that has one.
    pub connections: HashMap<EntryId, ConnectionId>,
    /// Why each account's last publish was refused or connection ended by us, with the wall-clock time.
    pub refusals: HashMap<AccountId, (jiff::Timestamp, String)>,
}

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

/// The handle. Cheap to clone.
#[derive(Clone)]
pub struct Director {
    snapshot: watch::Receiver<Arc<Snapshot>>,
}

#[expect(clippy::todo, clippy::unused_self, clippy::unused_async, unused_variables, reason = "skeleton")]
impl Director {
    /// The latest look; `watch` for changes. Changes at every event, not by the clock.
    pub fn snapshot(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.snapshot.clone()
    }

    /// Ends the turn `turn`, or whichever runs. Rule 14.
    pub async fn skip(&self, turn: Option<TurnId>) -> Result<(), OrderError> {
        todo!()
    }

    /// Freezes or frees the rotation. Rule 15.
    pub async fn set_hold(&self, on: bool) -> Result<(), OrderError> {
        todo!()
    }

    /// The panic button. Rule 16.
    pub async fn set_forced_slate(&self, on: bool) -> Result<(), OrderError> {
        todo!()
    }

    /// Puts an entry on air now. Rule 14.
    pub async fn put_on_air(&self, entry: EntryId) -> Result<(), OrderError> {
        todo!()
    }

    /// Removes an entry. Rule 14.
    pub async fn kick(&self, entry: EntryId) -> Result<(), OrderError> {
        todo!()
    }

    /// Moves a waiting entry before another, or to the tail. Rule 14.
    pub async fn move_entry(&self, entry: EntryId, before: Option<EntryId>) -> Result<(), OrderError> {
        todo!()
    }

    /// Sets the length of turns. Rule 13.
    pub async fn set_turn(&self, length: Duration, reset: bool) -> Result<(), OrderError> {
        todo!()
    }

    /// Sets or toggles (`None`) the block toggle and says what it is now. Rule 12.
    pub async fn set_block(&self, on: Option<bool>) -> Result<bool, OrderError> {
        todo!()
    }

    /// Lifts a hold-off. Rule 12.
    pub async fn lift_hold_off(&self, account: AccountId) -> Result<(), OrderError> {
        todo!()
    }

    /// The streamer leaves the queue by their own page: the entry goes, the connection is dropped, nobody is held off.
    pub async fn leave(&self, account: AccountId) -> Result<(), OrderError> {
        todo!()
    }

    /// The account got a new key or was disabled, banned or deleted: its connection is dropped. Rule 14. `remove` also removes
    /// its entry (disabled, banned, deleted).
    pub async fn revoke(&self, account: AccountId, remove: bool, reason: String) -> Result<(), OrderError> {
        todo!()
    }

    /// Begins or ends the show by hand; remembered across a restart.
    pub async fn set_show(&self, on: bool) -> Result<(), OrderError> {
        todo!()
    }
}
