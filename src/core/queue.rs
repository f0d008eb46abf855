//! Who is on air: one pure function, `apply(event, now) -> (verdict, actions)`.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

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
