//! What each event does to the entries. What follows from it is judged afterwards, in `settle`.

use std::{cmp::Reverse, collections::HashMap, sync::Arc, time::Duration};

use super::{
    Action, Entry, EntryId, Pending, Queue, RETIRED_KEPT, Reason, Refusal, Shown, TAKEOVER_WINDOW, TakeId, Turn,
    TurnEnd, TurnId, Verdict,
    entry::{Cause, Lack, Link, Stopwatch, Unseen},
};
use crate::core::{account::AccountId, frame::ConnectionId, moment::Moment, origin::Origin};

/// Ids that facts may have used up between the last commit and a crash: a restart skips so many.
const IDS_SKIPPED: u64 = 1000;

/// An encoder is ready within a second or two of its publish, over a slow line within a few. In a full house one that is not for so long gives
/// its place to whoever comes.
const UNSEEN: Duration = Duration::from_secs(10);

impl Queue {
    /// Rules 1, 2, 3 and 12.
    pub(super) fn publish(
        &mut self,
        (account, name): (AccountId, Arc<str>),
        connection: ConnectionId,
        origin: Origin,
        current_alive: bool,
        now: Moment,
    ) -> Verdict {
        if let Some(owner) = self.owner_of(&connection) {
            // The same hook twice is the same as once.
            return if owner == account {
                Verdict::Accepted { replaces: None }
            } else {
                Verdict::Refused(Refusal::Ended)
            };
        }
        if self.retired.contains(&connection) {
            return Verdict::Refused(Refusal::Ended);
        }
        match self.admit((account, name), &connection, origin, current_alive, now) {
            Ok(replaces) => {
                self.changed = true;
                Verdict::Accepted { replaces }
            }
            Err(refusal) => {
                self.retire(connection);
                Verdict::Refused(refusal)
            }
        }
    }

    fn admit(
        &mut self,
        (account, name): (AccountId, Arc<str>),
        connection: &ConnectionId,
        origin: Origin,
        current_alive: bool,
        now: Moment,
    ) -> Result<Option<ConnectionId>, Refusal> {
        if let Some(hold_off) = self.hold_offs.iter().find(|hold_off| hold_off.account == account) {
            return Err(Refusal::HeldOff { remaining: hold_off.until.since(now) });
        }
        if let Some((reason, remaining)) = self.struck_out(account, now) {
            return Err(Refusal::Unusable { reason, remaining });
        }
        let on_air = self.on_air.as_ref().is_some_and(|turn| turn.entry.account == account);
        if let Some(entry) = self.entry_mut(|entry| entry.account == account) {
            let replaced = entry.connection().cloned();
            if replaced.is_some() {
                if current_alive && entry.guarded_until.is_some_and(|until| until > now) {
                    return Err(Refusal::TakenOver);
                }
                entry.guarded_until = Some(now + TAKEOVER_WINDOW);
            }
            // An entry on air that shows nothing shows nothing, however often its encoder reconnects: its stall goes on.
            let since = match entry.link {
                Link::Present { since, .. } if on_air => since,
                _ => now,
            };
            entry.name = name;
            entry.works_since = None;
            entry.link = Link::Present { connection: connection.clone(), since, lack: Lack::Picture };
            if let Some(turn) = self.on_air.as_mut().filter(|_| on_air) {
                turn.kept_until = None;
            }
            if let Some(replaced) = &replaced {
                self.retire(replaced.clone());
            }
            return Ok(replaced);
        }
        let places = self.settings.max_publishers;
        let full = self.entries().count() >= places;
        let makes_room = if full { self.least_seen(origin, now) } else { None };
        if full && makes_room.is_none() {
            return Err(Refusal::FullHouse { places });
        }
        if let Some(last) = self.blocked(now)
            && last.account == account
        {
            return Err(Refusal::LastStreamer { remaining: last.until.since(now) });
        }
        if let Some(at) = makes_room {
            let entry = self.waiting.remove(at);
            self.disconnect(&entry, Reason::MadeRoom);
        }
        let id = EntryId(self.fresh_id());
        self.waiting.push(Entry {
            id,
            account,
            name,
            link: Link::Present { connection: connection.clone(), since: now, lack: Lack::Picture },
            rest: None,
            guarded_until: None,
            unseen: Some(Unseen { origin, since: now }),
            works_since: None,
            unknown: serde_json::Map::new(),
        });
        Ok(None)
    }

    /// Rule 1: whose place a newcomer from `origin` is given in a full house. One that has never been ready, of the origin that has the most
    /// of these; among them one that is gone, then the oldest.
    fn least_seen(&self, origin: Origin, now: Moment) -> Option<usize> {
        let mut held: HashMap<Origin, usize> = HashMap::new();
        for unseen in self.waiting.iter().filter_map(|entry| entry.unseen) {
            *held.entry(unseen.origin).or_default() += 1;
        }
        let of = |origin: Origin| held.get(&origin).copied().unwrap_or_default();
        let own = of(origin);
        let unseen = self.waiting.iter().enumerate().filter_map(|(at, entry)| Some((at, entry, entry.unseen?)));
        unseen
            .filter(|(_, _, unseen)| of(unseen.origin) > own + 1 || now.since(unseen.since) >= UNSEEN)
            .min_by_key(|(_, entry, unseen)| (Reverse(of(unseen.origin)), !entry.is_absent(), unseen.since))
            .map(|(at, ..)| at)
    }

    /// Rules 4 to 7.
    pub(super) fn unpublish(&mut self, connection: &ConnectionId, now: Moment) -> Verdict {
        self.lose(connection, now);
        Verdict::Noted
    }

    /// The entry with this connection becomes absent. Says whose it was; nobody's changes nothing (rule 4).
    pub(super) fn lose(&mut self, connection: &ConnectionId, now: Moment) -> Option<AccountId> {
        let until = now + self.settings.rejoin;
        let another = self.next_ready().is_some();
        let entry = self.entry_mut(|entry| entry.has(connection))?;
        let account = entry.account;
        entry.link = Link::Absent { until };
        if let Some(turn) = self.on_air.as_mut().filter(|turn| turn.entry.account == account) {
            turn.keeps_place = another;
            turn.kept_until = None;
        }
        self.retire(connection.clone());
        self.changed = true;
        Some(account)
    }

    pub(super) fn ready(&mut self, connection: &ConnectionId, now: Moment) -> Verdict {
        if let Some(entry) = self.entry_mut(|entry| entry.has(connection)) {
            entry.link = Link::Ready { connection: connection.clone() };
            entry.unseen = None;
            entry.works_since.get_or_insert(now);
        }
        Verdict::Noted
    }

    pub(super) fn stalled(&mut self, connection: &ConnectionId, now: Moment) -> Verdict {
        if let Some(entry) = self.entry_mut(|entry| entry.has(connection)) {
            entry.not_ready(Lack::Life, now);
        }
        Verdict::Noted
    }

    /// It sends, and cannot be taken. Who is seen is judged by what is seen.
    pub(super) fn unfit(&mut self, connection: &ConnectionId, reason: Arc<str>, now: Moment) -> Verdict {
        let seen = self.shown == Shown::Input(connection.clone());
        if let Some(entry) = self.entry_mut(|entry| entry.has(connection) && !seen) {
            entry.not_ready(Lack::Life, now);
            if let Link::Present { lack, .. } = &mut entry.link {
                *lack = Lack::Fitness(reason);
            }
        }
        Verdict::Noted
    }

    /// The handover itself: the old turn ends, the target's begins.
    pub(super) fn taken(&mut self, take: TakeId, wall: jiff::Timestamp, now: Moment) -> Verdict {
        let Some(pending) = self.pending.take_if(|pending| pending.take == take) else {
            // One that was given up or replaced and happened nevertheless changes nothing here, but media shows what it should not.
            if take > self.last_taken && take.0 < self.next_id {
                self.last_taken = take;
                self.shown = Shown::Astray;
            }
            return Verdict::Noted;
        };
        self.last_taken = take;
        self.shown = Shown::Input(pending.connection.clone());
        self.not_taken = 0;
        if pending.cause == Cause::Resume {
            return Verdict::Noted;
        }
        let Some(at) = self.waiting.iter().position(|entry| entry.id == pending.entry) else {
            // A take whose target is gone is given up at once, so this is never the case.
            self.shown = Shown::Astray;
            return Verdict::Noted;
        };
        let entry = self.waiting.remove(at);
        if let Some(turn) = &self.on_air {
            let why = turn.ending.unwrap_or(match pending.cause {
                Cause::Time => TurnEnd::Time,
                Cause::Stall => TurnEnd::Stall,
                _ if turn.entry.is_absent() => TurnEnd::Lost,
                _ => TurnEnd::Displaced,
            });
            self.end_turn(why, now);
        }
        self.begin_turn(entry, wall, now);
        Verdict::Noted
    }

    fn begin_turn(&mut self, mut entry: Entry, wall: jiff::Timestamp, now: Moment) {
        let length = self.turn_length();
        let rest = entry.rest.take().unwrap_or(length);
        let mut turn = Turn {
            id: TurnId(self.fresh_id()),
            entry,
            clock: Stopwatch::at(length.saturating_sub(rest)),
            // The rest of a turn that an admin had made longer.
            length: (rest > length).then_some(rest),
            on_air: Stopwatch::default(),
            began: wall,
            ending: None,
            ending_reason: None,
            keeps_place: false,
            kept_until: None,
            unknown: serde_json::Map::new(),
        };
        turn.run(!self.forced_slate, now);
        self.on_air = Some(turn);
        self.changed = true;
    }

    /// The target cannot be taken: it is not ready, whatever it said.
    pub(super) fn take_failed(&mut self, take: TakeId, now: Moment) -> Verdict {
        if let Some(pending) = self.pending.take_if(|pending| pending.take == take) {
            self.blame(&pending, now);
        }
        Verdict::Noted
    }

    pub(super) fn blame(&mut self, pending: &Pending, now: Moment) {
        // A turn that is to go on stands still since the take was ordered, and not since it was given up.
        let since = if pending.cause == Cause::Resume { pending.since } else { now };
        if let Some(entry) = self.entry_mut(|entry| entry.id == pending.entry && entry.has(&pending.connection)) {
            entry.not_ready(Lack::Take, since);
        }
        self.not_taken = if self.is_seen() { 0 } else { self.not_taken + 1 };
    }

    /// Rule 17.
    pub(super) fn restarted(&mut self, connections: &[ConnectionId], now: Moment) -> Verdict {
        self.next_id += IDS_SKIPPED;
        self.pending = None;
        self.shown = Shown::Nothing;
        let until = now + self.settings.restart_grace;
        let mut ended = Vec::new();
        for entry in self.on_air.iter_mut().map(|turn| &mut turn.entry).chain(&mut self.waiting) {
            entry.link = match entry.connection() {
                Some(connection) if connections.contains(connection) => {
                    Link::Present { connection: connection.clone(), since: now, lack: Lack::Picture }
                }
                connection => {
                    ended.extend(connection.cloned());
                    Link::Absent { until }
                }
            };
        }
        for connection in ended {
            self.retire(connection);
        }
        if let Some(turn) = self.on_air.as_mut().filter(|turn| turn.entry.is_absent()) {
            turn.keeps_place = true;
            turn.kept_until = Some(now + self.settings.rejoin);
        }
        if self.forced_slate {
            self.actions.push(Action::ForceSlate(true));
        }
        for connection in connections {
            if self.owner_of(connection).is_none() {
                self.retire(connection.clone());
                self.actions.push(Action::Disconnect {
                    connection: connection.clone(),
                    account: None,
                    reason: Reason::Unknown,
                });
            }
        }
        self.changed = true;
        Verdict::Noted
    }

    pub(super) fn entry_mut(&mut self, wanted: impl Fn(&Entry) -> bool) -> Option<&mut Entry> {
        self.on_air.iter_mut().map(|turn| &mut turn.entry).chain(&mut self.waiting).find(|entry| wanted(entry))
    }

    /// The connection is over and never comes back to life.
    pub(super) fn retire(&mut self, connection: ConnectionId) {
        if !self.retired.contains(&connection) {
            if self.retired.len() >= RETIRED_KEPT {
                self.retired.pop_front();
            }
            self.retired.push_back(connection);
        }
    }

    /// Closes the entry's connection, if it has one.
    pub(super) fn disconnect(&mut self, entry: &Entry, reason: Reason) {
        if let Some(connection) = entry.connection() {
            self.retire(connection.clone());
            self.actions.push(Action::Disconnect {
                connection: connection.clone(),
                account: Some(entry.account),
                reason,
            });
        }
    }
}
