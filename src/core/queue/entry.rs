//! What the queue is made of: entries and their connections, the turn and its clocks, the pending take, hold-offs.

use std::{sync::Arc, time::Duration};

use super::{
    look::{EntryId, EntryLook, HoldOffCause, HoldOffLook, Presence, TakeId, TurnId, Urgency},
    words::{Reason, TurnEnd},
};
use crate::core::{account::AccountId, flaw::Flaw, frame::ConnectionId, moment::Moment, origin::Origin};

/// An entry's connection. Absent -> Present (publish) -> Ready (can be taken) -> Present (stall, takeover, not fit) -> Ready; anything ->
/// Absent when the connection is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Link {
    /// No connection; the place is kept until then.
    Absent { until: Moment },
    /// Connected, not ready.
    Present {
        connection: ConnectionId,
        /// Since when it is not ready.
        since: Moment,
        /// Why not.
        lack: Lack,
    },
    /// Connected, and can be taken now.
    Ready { connection: ConnectionId },
}

/// What a connected entry lacks to be taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Lack {
    /// Nothing that can be shown has come yet.
    Picture,
    /// It was ready, and sends no longer.
    Life,
    /// It sends, and cannot be taken: why, in words for its streamer.
    Fitness(Arc<str>),
    /// It was to be taken, and that did not happen.
    Take,
}

/// A streamer's place.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) id: EntryId,
    pub(super) account: AccountId,
    pub(super) name: Arc<str>,
    pub(super) link: Link,
    /// What the streamer has left of a turn that was interrupted; none for a whole turn.
    pub(super) rest: Option<Duration>,
    /// One connection took over from another: until then the next takeover is refused while the connection delivers (rule 3).
    pub(super) guarded_until: Option<Moment>,
    /// Where it came from and when, as long as it has never been ready: until then its place may go to another (rule 1).
    pub(super) unseen: Option<Unseen>,
    /// Since when it is ready without a break.
    pub(super) works_since: Option<Moment>,
    pub(super) unknown: serde_json::Map<String, serde_json::Value>,
}

/// See [`Entry::unseen`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Unseen {
    pub(super) origin: Origin,
    pub(super) since: Moment,
}

impl Entry {
    pub(super) fn connection(&self) -> Option<&ConnectionId> {
        match &self.link {
            Link::Absent { .. } => None,
            Link::Present { connection, .. } | Link::Ready { connection } => Some(connection),
        }
    }

    pub(super) fn has(&self, connection: &ConnectionId) -> bool {
        self.connection() == Some(connection)
    }

    pub(super) const fn is_ready(&self) -> bool {
        matches!(self.link, Link::Ready { .. })
    }

    pub(super) const fn is_absent(&self) -> bool {
        matches!(self.link, Link::Absent { .. })
    }

    /// It cannot be taken (any more). It counts from the first time this is said.
    pub(super) fn not_ready(&mut self, lack: Lack, now: Moment) {
        if let Link::Ready { connection } = &self.link {
            self.link = Link::Present { connection: connection.clone(), since: now, lack };
            self.works_since = None;
        }
    }

    /// It is there and sends, and cannot be taken yet, or not any more.
    pub(super) const fn may_be_ready(&self) -> bool {
        matches!(self.link, Link::Present { lack: Lack::Picture | Lack::Fitness(_) | Lack::Take, .. })
    }

    pub(super) fn look(&self) -> EntryLook {
        EntryLook {
            id: self.id,
            account: self.account,
            name: Arc::clone(&self.name),
            presence: match self.link {
                Link::Absent { .. } => Presence::Absent,
                Link::Present { .. } => Presence::Present,
                Link::Ready { .. } => Presence::Ready,
            },
            connection: self.connection().cloned(),
            lack: match &self.link {
                Link::Present { lack: Lack::Fitness(reason), .. } => Some(Arc::clone(reason)),
                _ => None,
            },
        }
    }
}

/// Time that was counted while it ran.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Stopwatch {
    counted: Duration,
    since: Option<Moment>,
}

impl Stopwatch {
    /// One that stands at `counted`.
    pub(super) const fn at(counted: Duration) -> Self {
        Self { counted, since: None }
    }

    pub(super) fn elapsed(&self, now: Moment) -> Duration {
        self.counted + self.since.map_or(Duration::ZERO, |since| now.since(since))
    }

    pub(super) const fn runs(&self) -> bool {
        self.since.is_some()
    }

    pub(super) fn run(&mut self, on: bool, now: Moment) {
        match (on, self.since) {
            (true, None) => self.since = Some(now),
            (false, Some(_)) => *self = Self::at(self.elapsed(now)),
            _ => {}
        }
    }

    /// When it will show `length`, if it runs.
    pub(super) fn reaches(&self, length: Duration) -> Option<Moment> {
        self.since.map(|since| since + length.saturating_sub(self.counted))
    }
}

/// A turn, from its take to its end.
#[derive(Clone, Debug)]
pub(super) struct Turn {
    pub(super) id: TurnId,
    pub(super) entry: Entry,
    /// What is used up of the turn; a rest begins with the difference.
    pub(super) clock: Stopwatch,
    /// How long it is, where an admin said so of this turn alone.
    pub(super) length: Option<Duration>,
    /// Time on air, for the history and for rule 12. Runs and stands with `clock`, and nothing resets it.
    pub(super) on_air: Stopwatch,
    pub(super) began: jiff::Timestamp,
    /// It was ordered to end and goes on only until its successor is taken.
    pub(super) ending: Option<TurnEnd>,
    /// What its streamer is told then, where the end itself does not say it.
    pub(super) ending_reason: Option<Reason>,
    /// While suspended: another was ready when the connection was lost, or the box restarted; the place is kept (rule 6).
    pub(super) keeps_place: bool,
    /// While suspended after a restart: until then nobody else is taken (rule 17).
    pub(super) kept_until: Option<Moment>,
    pub(super) unknown: serde_json::Map<String, serde_json::Value>,
}

impl Turn {
    pub(super) fn run(&mut self, on: bool, now: Moment) {
        self.clock.run(on, now);
        self.on_air.run(on, now);
    }
}

/// Why a take was ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// Nobody is on air.
    Start,
    /// The connection on air was lost.
    Lost,
    /// The turn was ordered to end.
    Ending,
    /// The turn's time is up.
    Time,
    /// The input on air is stalled for too long.
    Stall,
    /// An admin wants it.
    PutOnAir,
    /// The entry on air has a connection that media does not show yet.
    Resume,
}

/// A take that was ordered and has not happened.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    pub(super) take: TakeId,
    pub(super) entry: EntryId,
    pub(super) connection: ConnectionId,
    pub(super) cause: Cause,
    pub(super) urgency: Urgency,
    pub(super) since: Moment,
}

/// What media shows on our order, as far as is known. An input whose connection is over is shown by nobody, but media has
/// not been told so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    Nothing,
    Input(ConnectionId),
    /// A take that was given up happened nevertheless.
    Astray,
}

/// A kicked streamer.
#[derive(Clone, Debug)]
pub(super) struct HoldOff {
    pub(super) account: AccountId,
    pub(super) name: Arc<str>,
    pub(super) until: Moment,
}

/// The streamer whose turn ended last by time, skip, kick or stall, or because the account was shut out.
pub(super) type LastStreamer = HoldOff;

impl HoldOff {
    pub(super) fn look(&self, now: Moment, why: HoldOffCause) -> HoldOffLook {
        HoldOffLook { account: self.account, name: Arc::clone(&self.name), remaining: self.until.since(now), why }
    }
}

/// A streamer whose stream could not be used.
#[derive(Clone, Debug)]
pub(super) struct Strike {
    pub(super) account: AccountId,
    pub(super) name: Arc<str>,
    pub(super) flaw: Flaw,
    pub(super) reason: Arc<str>,
    /// How often in a row.
    pub(super) count: u32,
    /// Until then a publish is refused; none: the next one is let in.
    pub(super) until: Option<Moment>,
    /// It is remembered until then.
    pub(super) forgotten: Moment,
}
