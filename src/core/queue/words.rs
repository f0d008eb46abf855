//! Reasons, in words for the streamer or the admin who reads them.

use std::{fmt, sync::Arc, time::Duration};

use super::TurnEnd;

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
        /// For so long.
        limit: Duration,
    },
    /// It stopped sending.
    Stalled {
        /// For so long.
        limit: Duration,
    },
    /// The account has a new key, or was disabled, banned or deleted.
    Revoked(Arc<str>),
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
            Self::TurnOver(TurnEnd::Revoked) => f.write_str("your account can not publish any more"),
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
            Self::Revoked(reason) => f.write_str(reason),
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
        /// Which.
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
