//! What the stage shows: all that OBS follows.

use serde::Serialize;
use utoipa::ToSchema;

use crate::core::moment::Moment;

/// What the stage shows: all that OBS has to know of the queue.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stage {
    /// Whether a show is on.
    pub show: bool,
    /// Which part of the evening this is.
    pub act: Act,
    /// Who is on air, or was until the handover that is under way.
    pub streamer: Option<String>,
    /// Who is next: the target of a handover under way, else the first ready one.
    pub next: Option<String>,
    /// The time left.
    pub time: TimeLeft,
    /// Names the turn; another number is another take.
    pub turn: Option<u64>,
}

/// A part of the evening.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// The slate is shown: nobody is on air, the turn is suspended, or the panic button was pressed.
    #[default]
    Slate,
    /// Somebody is on air, and a take of somebody else was ordered.
    Handover,
    /// Somebody is on air.
    OnAir,
}

/// What is left of a turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimeLeft {
    /// No turn.
    #[default]
    None,
    /// The clock runs, until then.
    Until(Moment),
    /// The clock stands; so many seconds are left.
    Standing(u64),
}
