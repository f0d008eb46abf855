//! Reasons, in words for the streamer or the admin who reads them.

use std::{fmt, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Why a turn ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TurnEnd {
    /// Its time was up.
    Time,
    /// An admin skipped it.
    Skip,
    /// An admin kicked the streamer.
    Kick,
    /// The account was disabled, banned or deleted.
    Revoked,
    /// Its input was stalled for too long while another was ready.
    Stall,
    /// The streamer left by their own page.
    Left,
    /// The connection was lost.
    Lost,
    /// An admin put another entry on air.
    Displaced,
}

impl TurnEnd {
    /// Whether the streamer is the last streamer after it (rule 12). A stall ends a turn "as time does" (rule 8).
    pub(super) const fn makes_last_streamer(self) -> bool {
        matches!(self, Self::Time | Self::Skip | Self::Kick | Self::Revoked | Self::Stall)
    }
}

impl fmt::Display for TurnEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Time => "time",
            Self::Skip => "skip",
            Self::Kick => "kick",
            Self::Revoked => "revoked",
            Self::Stall => "stall",
            Self::Left => "left",
            Self::Lost => "lost",
            Self::Displaced => "displaced",
        })
    }
}

/// Why a publish is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// An admin kicked the streamer a short while ago.
    HeldOff {
        /// For how long yet.
        remaining: Duration,
    },
    /// The block toggle is on and nobody else has been on air since.
    LastStreamer {
        /// For how long yet, if nobody else comes.
        remaining: Duration,
    },
    /// Another encoder took over with this key a short while ago, and delivers.
    TakenOver,
    /// Every place is taken.
    FullHouse {
        /// How many there are.
        places: usize,
    },
    /// The streamer's stream could not be used more than once within minutes (rule 5).
    Unusable {
        /// Why it could not.
        reason: Arc<str>,
        /// For how long yet.
        remaining: Duration,
    },
    /// The connection was ended or refused before.
    Ended,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HeldOff { remaining } => {
                write!(f, "an admin removed you from the queue; you can come back in {}", Span(*remaining))
            }
            Self::LastStreamer { remaining } => write!(
                f,
                "you were on air last; you can come back when somebody else has been, or in {}",
                Span(*remaining)
            ),
            Self::TakenOver => f.write_str(
                "two encoders use your stream key: another one took over less than a minute ago and is sending; stop one of them",
            ),
            Self::FullHouse { places } => write!(f, "all {places} places in the queue are taken; try again later"),
            Self::Unusable { reason, remaining } => write!(
                f,
                "{reason} (your stream was ended because of this more than once; change it, and start again in {})",
                Span(*remaining)
            ),
            Self::Ended => f.write_str("this connection was ended; start your stream again"),
        }
    }
}

/// Why a connection is closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The turn ended.
    TurnOver(TurnEnd),
    /// An admin removed the entry.
    Kicked {
        /// The streamer may come back after so long.
        hold_off: Duration,
    },
    /// The streamer left by their own page.
    Left,
    /// It never sent what can be shown.
    NeverReady {
        /// How long it was given.
        limit: Duration,
    },
    /// It stopped sending.
    Stalled {
        /// How long nothing arrived.
        limit: Duration,
    },
    /// What it sends cannot be put on air: why, and what to do.
    Unusable(Arc<str>),
    /// It was to be put on air, that did not happen, and it has not shown since that it can be.
    NotTaken,
    /// The account has a new key, or was disabled, banned or deleted.
    Revoked(Arc<str>),
    /// All places were taken, nothing had come from it yet, and another wanted one (rule 1).
    MadeRoom,
    /// The ingest has it and the queue does not.
    Unknown,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TurnOver(TurnEnd::Time) => f.write_str("your turn is over"),
            Self::TurnOver(TurnEnd::Skip) => f.write_str("an admin ended your turn"),
            Self::TurnOver(TurnEnd::Stall) => {
                f.write_str("your picture or sound was missing for too long while somebody else was ready")
            }
            Self::TurnOver(TurnEnd::Left) | Self::Left => f.write_str("you left the queue"),
            Self::TurnOver(TurnEnd::Kick) => f.write_str("an admin removed you from the queue"),
            Self::TurnOver(TurnEnd::Revoked) => f.write_str("your account cannot publish any more"),
            Self::TurnOver(TurnEnd::Lost | TurnEnd::Displaced) => f.write_str("your turn has ended"),
            Self::Kicked { hold_off } => {
                write!(f, "an admin removed you from the queue; you can come back in {}", Span(*hold_off))
            }
            Self::NeverReady { limit } => write!(
                f,
                "nothing that can be shown arrived within {}: check that the encoder sends H.264 with key frames (interval 2 s)",
                Span(*limit)
            ),
            Self::Stalled { limit } => {
                write!(f, "nothing arrived for {}: check the connection and the encoder", Span(*limit))
            }
            Self::Revoked(reason) | Self::Unusable(reason) => f.write_str(reason),
            Self::NotTaken => f.write_str(
                "it was your turn, and your stream could not be put on air: no picture that a broadcast can begin with came in time; \
                 set the keyframe interval to 2 s and start your stream again",
            ),
            Self::MadeRoom => f.write_str(
                "all places are taken and nothing that can be shown had arrived from you, so yours went to another; start your stream again",
            ),
            Self::Unknown => f.write_str("this connection has no place in the queue; start your stream again"),
        }
    }
}

/// Why an order is not carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denial {
    /// There is no such thing.
    NotFound(&'static str),
    /// The turn that was named is over, or ends already.
    AlreadyOver,
    /// The rules do not allow it now.
    NotNow(&'static str),
    /// A value is out of bounds.
    Invalid {
        /// The value's name, as the API has it.
        field: &'static str,
        /// What would be right.
        reason: &'static str,
    },
}

/// A duration as people say it, rounded up to whole seconds: `20 s`, `5 min`, `1 min 5 s`.
struct Span(Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs() + u64::from(self.0.subsec_nanos() > 0);
        match (seconds / 60, seconds % 60) {
            (0, seconds) => write!(f, "{seconds} s"),
            (minutes, 0) => write!(f, "{minutes} min"),
            (minutes, seconds) => write!(f, "{minutes} min {seconds} s"),
        }
    }
}
