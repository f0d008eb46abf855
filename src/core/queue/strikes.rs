//! Streams that cannot be used: the first time one is ended and told why, from the second on its streamer is refused for a while (rule 5).

use std::{sync::Arc, time::Duration};

use super::{Entry, EntryId, HoldOffCause, HoldOffLook, Queue, Reason, Strike, Verdict, entry::Link};
use crate::core::{account::AccountId, flaw::Flaw, frame::ConnectionId, moment::Moment};

/// Encoders reconnect every 2 s, and people change a setting within a minute or two: the same flaw again within this time is the same try.
const MEMORY: Duration = Duration::from_mins(5);

/// How long the second time is refused; each further one twice as long. OBS waits longer with each refusal, so that it is heard.
const FIRST_HOLD: Duration = Duration::from_mins(1);

/// At most so long: whoever has mended it does not wait for ever.
const LONGEST_HOLD: Duration = Duration::from_mins(10);

/// Who was ready for so long without a break sends what can be used.
const SUCCESS: Duration = Duration::from_secs(30);

impl Entry {
    /// Whether it has been ready for so long without a break that what it sends can be used.
    fn has_worked(&self, now: Moment) -> bool {
        self.is_ready() && self.works_since.is_some_and(|since| now.since(since) >= SUCCESS)
    }
}

impl Queue {
    /// What the connection sends cannot be used. Its streamer is told, and loses the place when it is not the first time.
    pub(super) fn unusable(&mut self, connection: &ConnectionId, flaw: Flaw, reason: Arc<str>, now: Moment) -> Verdict {
        let entry = self.entries().find(|entry| entry.has(connection)).cloned();
        if let Some(entry) = entry {
            self.lose(connection, now);
            if self.strike(&entry, flaw, Arc::clone(&reason), now) {
                self.give_no_place(entry.id, now);
            }
            self.disconnect(&entry, Reason::Unusable(reason));
        }
        Verdict::Noted
    }

    /// Notes that the entry's stream could not be used. True when its streamer is refused from here on.
    pub(super) fn strike(&mut self, entry: &Entry, flaw: Flaw, reason: Arc<str>, now: Moment) -> bool {
        let before = self.strikes.iter().position(|strike| strike.account == entry.account);
        let before = before.map(|at| self.strikes.swap_remove(at));
        let before = before.filter(|strike| strike.flaw == flaw && strike.forgotten > now);
        let count = before.map_or(0, |strike| strike.count) + 1;
        let hold = (count > 1).then(|| FIRST_HOLD.saturating_mul(1 << (count - 2).min(8)).min(LONGEST_HOLD));
        self.strikes.push(Strike {
            account: entry.account,
            name: Arc::clone(&entry.name),
            flaw,
            reason,
            count,
            until: hold.map(|hold| now + hold),
            forgotten: now + hold.unwrap_or_default() + MEMORY,
        });
        hold.is_some()
    }

    /// The entry, which is absent, is kept no longer.
    pub(super) fn give_no_place(&mut self, id: EntryId, now: Moment) {
        if let Some(entry) = self.entry_mut(|entry| entry.id == id) {
            entry.link = Link::Absent { until: now };
        }
    }

    /// Why a streamer is refused because of what they sent, and for how long yet.
    pub(super) fn struck_out(&self, account: AccountId, now: Moment) -> Option<(Arc<str>, Duration)> {
        let strike = self.strikes.iter().find(|strike| strike.account == account)?;
        let until = strike.until.filter(|until| *until > now)?;
        Some((Arc::clone(&strike.reason), until.since(now)))
    }

    pub(super) fn struck_out_looks(&self, now: Moment) -> impl Iterator<Item = HoldOffLook> {
        self.strikes.iter().filter_map(move |strike| {
            let until = strike.until.filter(|until| *until > now)?;
            Some(HoldOffLook {
                account: strike.account,
                name: Arc::clone(&strike.name),
                remaining: until.since(now),
                why: HoldOffCause::Unusable(Arc::clone(&strike.reason)),
            })
        })
    }

    pub(super) fn forget_strikes(&mut self, now: Moment) {
        let mut strikes = std::mem::take(&mut self.strikes);
        strikes.retain_mut(|strike| {
            strike.until.take_if(|until| *until <= now);
            // Looked at before what has just happened, which may be that it works no longer.
            strike.forgotten > now
                && !self.entries().any(|entry| entry.account == strike.account && entry.has_worked(now))
        });
        self.strikes = strikes;
    }

    pub(super) fn strike_deadlines(&self) -> impl Iterator<Item = Moment> {
        self.strikes.iter().map(|strike| strike.until.unwrap_or(strike.forgotten))
    }
}
