//! When the show is on. Pure: it is given what is seen, orders and `now`, and says what changes.
//!
//! The show begins by itself with a take, and ends by itself once nobody was on air for as long as is set. An order begins or
//! ends it at once. After an end by hand takes do not begin it anew until everybody has been gone for a minute: the streamers
//! who are still there go on taking turns, and the next of them would.

pub mod darkness;
#[cfg(test)]
mod tests;

use std::time::Duration;

use super::moment::Moment;

/// After a show was ended by hand, the next one begins by itself only when nobody was connected for so long: longer than an encoder
/// that reconnects stays away.
const EVERYBODY_GONE: Duration = Duration::from_mins(1);

/// What is seen at one look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// How many takes have happened since the programme started.
    pub takes: u64,
    /// Whether an input is on air.
    pub on_air: bool,
    /// Whether any connection is there, on air or waiting.
    pub connected: bool,
}

/// The show begins or ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Whether it begins.
    pub on: bool,
    /// Whether somebody ordered it; otherwise it does so by itself.
    pub by_hand: bool,
}

/// Whether the show is on, and what decides when that changes.
#[derive(Clone, Debug)]
pub struct Show {
    /// It ends after so long without anybody on air; none: by hand only.
    idle_end: Option<Duration>,
    on: bool,
    /// It was ended by hand: takes do not begin it anew until everybody has been gone for a while.
    ended_by_hand: bool,
    /// It is not decided yet whether the show of before the start goes on: nothing begins or ends by itself.
    held: bool,
    takes_seen: u64,
    /// When somebody was on air last; or the latest order or change, if that was later.
    last_busy: Moment,
    /// The same of anybody connected.
    last_connected: Moment,
}

impl Show {
    /// No show yet. It will end after `idle_end` (more than zero) without anybody on air; none: by hand only.
    pub const fn new(idle_end: Option<Duration>, now: Moment) -> Self {
        Self {
            idle_end,
            on: false,
            ended_by_hand: false,
            held: false,
            takes_seen: 0,
            last_busy: now,
            last_connected: now,
        }
    }

    /// Whether it is on.
    pub const fn is_on(&self) -> bool {
        self.on
    }

    /// Sets another limit (see [`Show::new`]); the time without anybody so far counts.
    pub const fn set_idle_end(&mut self, idle_end: Option<Duration>) {
        self.idle_end = idle_end;
    }

    /// While it is held nothing begins or ends by itself. Takes of that time count once it is not any more.
    pub const fn hold(&mut self, held: bool) {
        self.held = held;
    }

    /// Begins or ends it by hand.
    pub fn order(&mut self, on: bool, now: Moment) -> Option<Change> {
        self.set(Change { on, by_hand: true }, now)
    }

    /// Judges what is seen. To be called whenever something changes, and regularly while nothing does.
    pub fn look(&mut self, seen: Seen, now: Moment) -> Option<Change> {
        if self.held {
            return None;
        }
        let taken = seen.takes > self.takes_seen;
        self.takes_seen = seen.takes;
        if seen.on_air {
            self.last_busy = now;
        }
        if seen.connected {
            self.last_connected = now;
        } else if now.since(self.last_connected) >= EVERYBODY_GONE {
            self.ended_by_hand = false;
        }
        if self.on {
            let idle = self.idle_end.is_some_and(|limit| now.since(self.last_busy) >= limit);
            return if idle { self.set(Change { on: false, by_hand: false }, now) } else { None };
        }
        if taken && !self.ended_by_hand { self.set(Change { on: true, by_hand: false }, now) } else { None }
    }

    /// Even what changes nothing starts the limits afresh.
    fn set(&mut self, change: Change, now: Moment) -> Option<Change> {
        self.ended_by_hand = !change.on && change.by_hand;
        self.last_busy = now;
        self.last_connected = now;
        let changes = self.on != change.on;
        self.on = change.on;
        changes.then_some(change)
    }
}
