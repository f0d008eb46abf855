//! What each event does to the entries. What follows from it is judged afterwards, in `settle`.

use std::sync::Arc;

use super::{
    Action, Entry, EntryId, Pending, Queue, RETIRED_KEPT, Reason, Refusal, Shown, TAKEOVER_WINDOW, TakeId, Turn,
    TurnEnd, TurnId, Verdict,
    entry::{Cause, Link, Stopwatch},
};
use crate::core::{account::AccountId, frame::ConnectionId, moment::Moment};

/// Ids that facts may have used up between the last commit and a crash: a restart skips so many.
const IDS_SKIPPED: u64 = 1000;

impl Queue {
    /// Rules 1, 2, 3 and 12.
    pub(super) fn publish(
        &mut self,
        account: AccountId,
        name: Arc<str>,
        connection: ConnectionId,
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
        match self.admit(account, name, &connection, current_alive, now) {
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
        account: AccountId,
        name: Arc<str>,
        connection: &ConnectionId,
        current_alive: bool,
        now: Moment,
    ) -> Result<Option<ConnectionId>, Refusal> {
        if let Some(hold_off) = self.hold_offs.iter().find(|hold_off| hold_off.account == account) {
            return Err(Refusal::HeldOff { remaining: hold_off.until.since(now) });
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
            entry.link = Link::Present { connection: connection.clone(), since, stalled: false };
            if let Some(turn) = self.on_air.as_mut().filter(|_| on_air) {
                turn.kept_until = None;
            }
            if let Some(replaced) = &replaced {
                self.retire(replaced.clone());
            }
            return Ok(replaced);
        }
        let places = self.settings.max_publishers;
        if self.entries().count() >= places {
            return Err(Refusal::FullHouse { places });
        }
        if let Some(last) = self.blocked(now)
            && last.account == account
        {
            return Err(Refusal::LastStreamer { remaining: last.until.since(now) });
        }
        let id = EntryId(self.fresh_id());
        self.waiting.push(Entry {
            id,
            account,
            name,
            link: Link::Present { connection: connection.clone(), since: now, stalled: false },
            rest: None,
            guarded_until: None,
            unknown: serde_json::Map::new(),
        });
        Ok(None)
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

    pub(super) fn ready(&mut self, connection: &ConnectionId) -> Verdict {
        if let Some(entry) = self.entry_mut(|entry| entry.has(connection)) {
            entry.link = Link::Ready { connection: connection.clone() };
        }
        Verdict::Noted
    }

    pub(super) fn stalled(&mut self, connection: &ConnectionId, now: Moment) -> Verdict {
        if let Some(entry) = self.entry_mut(|entry| entry.has(connection)) {
            entry.not_ready(now);
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

    /// The target can not be taken: it is not ready, whatever it said.
    pub(super) fn take_failed(&mut self, take: TakeId, now: Moment) -> Verdict {
        if let Some(pending) = self.pending.take_if(|pending| pending.take == take) {
            self.blame(&pending, now);
        }
        Verdict::Noted
    }

    pub(super) fn blame(&mut self, pending: &Pending, now: Moment) {
        if let Some(entry) = self.entry_mut(|entry| entry.id == pending.entry && entry.has(&pending.connection)) {
            entry.not_ready(now);
        }
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
                    Link::Present { connection: connection.clone(), since: now, stalled: false }
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
