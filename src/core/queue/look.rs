//! What the queue shows of itself: its entries and turns, and what they are called by.

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::core::{account::AccountId, frame::ConnectionId};

/// A streamer's place in the queue. Never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
pub struct EntryId(pub u64);

/// One turn, from an entry's take to its end. Never used twice. `skip` names it, so that a second click hits nobody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
pub struct TurnId(pub u64);

/// One order to put an input on air. Media answers it by Taken or `TakeFailed`; an answer to an older one changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
pub struct TakeId(pub u64);

/// How soon a take must happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// The turn is up: the next key frame of the new input will do, the old one goes on until then.
    Planned,
    /// The old input is gone, or somebody pressed a button: as soon as a key frame can be had, also from the ring's past.
    Now,
}

/// Whether an entry can be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Presence {
    /// No connection.
    Absent,
    /// Connected, not ready.
    Present,
    /// Connected and ready to be taken.
    Ready,
}

/// One entry, as it looks from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryLook {
    /// Names the entry in orders.
    pub id: EntryId,
    /// The streamer whose place it is.
    pub account: AccountId,
    /// Their name at the last publish.
    pub name: Arc<str>,
    /// Whether it can be taken.
    pub presence: Presence,
    /// Its connection, if it has one.
    pub connection: Option<ConnectionId>,
    /// Why it cannot be taken although it sends, in words for its streamer.
    pub lack: Option<Arc<str>>,
}

/// The turn that runs, as it looks from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TurnLook {
    /// Names the turn in orders, and in the history.
    pub id: TurnId,
    /// The entry whose turn it is.
    pub entry: EntryLook,
    /// How long it is.
    pub length: Duration,
    /// Time of it that is used up.
    pub elapsed: Duration,
    /// Time on air; nothing resets it.
    pub on_air: Duration,
    /// Whether its clock runs.
    pub running: bool,
}

/// A streamer who may not publish for a while, as it looks from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HoldOffLook {
    /// The streamer who is held off.
    pub account: AccountId,
    /// The streamer's name when it began.
    pub name: Arc<str>,
    /// For how long yet.
    pub remaining: Duration,
    /// What keeps them out.
    pub why: HoldOffCause,
}

/// What keeps a streamer from publishing for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HoldOffCause {
    /// A kick.
    Kick,
    /// The block toggle.
    Block,
    /// Their stream cannot be used: why, in words for the streamer.
    Unusable(Arc<str>),
}
