//! What the clock ends, and what the rules say about what is there: takes are ordered and given up, turns end.

use std::sync::Arc;

use super::{
    Action, BLOCK_RELEASE, DARK_LIMITS, EntryId, LEAST_REST, PENDING_LIMIT, PUT_ON_AIR_LIMIT, Pending, Queue, Reason,
    Shown, TAKE_LIMIT, TakeId, TurnEnd, TurnOver, Urgency,
    entry::{Cause, HoldOff, Lack, LastStreamer, Link, Turn},
};
use crate::core::{flaw::Flaw, frame::ConnectionId, moment::Moment};

impl Queue {
    /// Ends what is over by the clock: hold-offs, waiting that never became ready, absences, takes that never happened.
    pub(super) fn expire(&mut self, now: Moment) {
        self.hold_offs.retain(|hold_off| hold_off.until > now);
        self.forget_strikes(now);
        // Another streamer's turn has lasted long enough: whoever was the last one before is free (rule 12).
        let on_air = self
            .on_air
            .as_ref()
            .filter(|turn| turn.on_air.elapsed(now) >= BLOCK_RELEASE)
            .map(|turn| turn.entry.account);
        self.last.take_if(|last| last.until <= now || on_air.is_some_and(|account| account != last.account));

        let limit = self.settings.stall_limit;
        let until = now + self.settings.rejoin;
        let mut idle = Vec::new();
        for entry in &mut self.waiting {
            if let Link::Present { since, lack, .. } = &entry.link
                && *since + limit <= now
            {
                let reason = match lack {
                    Lack::Picture => Reason::NeverReady { limit },
                    Lack::Life => Reason::Stalled { limit },
                    Lack::Fitness(reason) => Reason::Unusable(Arc::clone(reason)),
                    Lack::Take => Reason::NotTaken,
                };
                idle.push((entry.clone(), reason));
                entry.link = Link::Absent { until };
            }
        }
        for (entry, reason) in idle {
            if let Reason::Unusable(reason) = &reason
                && self.strike(&entry, Flaw::Stream, Arc::clone(reason), now)
            {
                self.give_no_place(entry.id, now);
            }
            self.disconnect(&entry, reason);
            self.changed = true;
        }

        let before = self.waiting.len();
        self.waiting.retain(|entry| !matches!(entry.link, Link::Absent { until } if until <= now));
        self.changed |= self.waiting.len() != before;

        let until = self.take_until();
        if let Some(pending) = self.pending.take_if(|_| until.is_some_and(|until| until <= now)) {
            self.actions.push(Action::GiveUpTake(pending.take, pending.connection.clone()));
            self.blame(&pending, now);
        }

        if self.on_air.as_ref().is_some_and(|turn| matches!(turn.entry.link, Link::Absent { until } if until <= now)) {
            let why = self.on_air.as_ref().and_then(|turn| turn.ending).unwrap_or(TurnEnd::Lost);
            self.end_turn(why, now);
        }
    }

    /// Rule 11: until when the pending take may wait. While nobody else could be taken there is nothing to be gained by giving it up, so the
    /// time counts from when somebody else is ready.
    fn take_until(&self) -> Option<Moment> {
        let pending = self.pending.as_ref()?;
        let others = self.waiting.iter().filter(|entry| entry.is_ready() && entry.id != pending.entry);
        let Some(other) = others.map(|entry| entry.works_since.unwrap_or(pending.since)).min() else {
            return Some(pending.since + PENDING_LIMIT);
        };
        let limit = match (self.is_seen(), pending.cause, self.not_taken) {
            (true, Cause::PutOnAir, _) => PUT_ON_AIR_LIMIT,
            (true, ..) => TAKE_LIMIT,
            (false, _, 0) => DARK_LIMITS[0],
            (false, _, 1) => DARK_LIMITS[1],
            (false, ..) => DARK_LIMITS[2],
        };
        Some((pending.since.max(other) + limit).min(pending.since + PENDING_LIMIT))
    }

    /// Whether somebody is to be seen, as far as is known, rather than the slate alone.
    pub(super) fn is_seen(&self) -> bool {
        let shown = |turn: &Turn| matches!(&self.shown, Shown::Input(shown) if turn.entry.has(shown));
        self.on_air.as_ref().is_some_and(|turn| turn.entry.is_ready() && shown(turn))
    }

    /// Judges the rules on what is there.
    pub(super) fn settle(&mut self, now: Moment) {
        let forced_slate = self.forced_slate;
        if let Some(turn) = &mut self.on_air {
            turn.run(!forced_slate && !turn.entry.is_absent(), now);
        }
        self.give_up_stale_take(now);
        self.hurry_take(now);
        if self.pending.is_none() {
            if let Some(why) = self.ends_without_successor(now) {
                self.end_turn(why, now);
            }
            if let Some((cause, urgency)) = self.take_due(now) {
                let target = if cause == Cause::Resume {
                    self.on_air.as_ref().and_then(|turn| Some((turn.entry.id, turn.entry.connection()?.clone())))
                } else {
                    self.next_ready().and_then(|entry| Some((entry.id, entry.connection()?.clone())))
                };
                if let Some((entry, connection)) = target {
                    self.order_take(entry, connection, cause, urgency, now);
                }
            }
        }
        self.clear_if_nobody();
    }

    /// Rule 11: a take whose target cannot be taken any more, or whose reason is gone, is given up.
    fn give_up_stale_take(&mut self, now: Moment) {
        let Some(pending) = &mut self.pending else { return };
        if self.on_air.is_none() && pending.cause != Cause::PutOnAir {
            // What it was to replace has ended meanwhile.
            pending.cause = Cause::Start;
        }
        let (take, cause, id, connection) = (pending.take, pending.cause, pending.entry, pending.connection.clone());
        let target = if cause == Cause::Resume {
            self.on_air.as_ref().map(|turn| &turn.entry).filter(|entry| entry.id == id)
        } else {
            self.waiting.iter().find(|entry| entry.id == id)
        };
        let can = target.is_some_and(|entry| entry.is_ready() && entry.has(&connection));
        let should = match cause {
            Cause::Start | Cause::Lost => !self.hold,
            Cause::Time => !self.frozen() && self.time_up(now),
            Cause::Stall => !self.frozen(),
            Cause::Ending | Cause::PutOnAir => true,
            // What another's take or the turn's end replaces is not worth resuming.
            Cause::Resume => {
                !self.ends()
                    && self.ends_without_successor(now).is_none()
                    && !matches!(self.take_due(now), Some((cause, _)) if cause != Cause::Resume)
            }
        };
        if !(can && should) {
            self.actions.push(Action::CancelTake(take));
            self.pending = None;
            if !can && !self.is_seen() {
                // Time was lost, whoever found it out.
                self.not_taken += 1;
            }
        }
    }

    /// A take that could wait cannot any more when there is nothing to see meanwhile.
    fn hurry_take(&mut self, now: Moment) {
        if self.on_air.as_ref().is_some_and(|turn| turn.entry.is_ready()) {
            return;
        }
        if let Some(pending) = self.pending.take_if(|pending| pending.urgency == Urgency::Planned) {
            self.order_take(pending.entry, pending.connection, pending.cause, Urgency::Now, now);
        }
    }

    /// Rules 10, 14 and 15: why the turn must end although nobody follows, if it must.
    fn ends_without_successor(&self, now: Moment) -> Option<TurnEnd> {
        let turn = self.on_air.as_ref()?;
        let successor = self.next_ready().is_some();
        if turn.ending.is_some() {
            return turn.ending.filter(|_| self.hold || !successor);
        }
        let over = !successor && !self.settings.overtime && !self.frozen() && self.time_up(now);
        over.then_some(TurnEnd::Time)
    }

    /// The take that is to be ordered by the rules, and how soon it must happen, if none is pending.
    fn take_due(&self, now: Moment) -> Option<(Cause, Urgency)> {
        let successor = self.next_ready().is_some();
        let Some(turn) = &self.on_air else {
            return (successor && !self.hold).then_some((Cause::Start, Urgency::Now));
        };
        if successor {
            if turn.ending.is_some() && !self.hold {
                return Some((Cause::Ending, Urgency::Now));
            }
            if turn.entry.is_absent() {
                let free = !self.hold && turn.kept_until.is_none_or(|until| until <= now);
                return free.then_some((Cause::Lost, Urgency::Now));
            }
            if !self.frozen() {
                if self.time_up(now) {
                    let urgency = if turn.entry.is_ready() { Urgency::Planned } else { Urgency::Now };
                    return Some((Cause::Time, urgency));
                }
                if self.stall_over().is_some_and(|over| over <= now) {
                    return Some((Cause::Stall, Urgency::Now));
                }
            }
        }
        let shown = matches!(&self.shown, Shown::Input(shown) if turn.entry.has(shown));
        (turn.entry.is_ready() && !shown && turn.ending.is_none()).then_some((Cause::Resume, Urgency::Now))
    }

    pub(super) fn order_take(
        &mut self,
        entry: EntryId,
        connection: ConnectionId,
        cause: Cause,
        urgency: Urgency,
        now: Moment,
    ) {
        let take = TakeId(self.fresh_id());
        self.actions.push(Action::Take { take, connection: connection.clone(), urgency });
        self.pending = Some(Pending { take, entry, connection, cause, urgency, since: now });
    }

    /// Media is told that nobody is on air, if it may still show somebody and no take is on its way.
    fn clear_if_nobody(&mut self) {
        if self.pending.is_some() {
            return;
        }
        let wrong = match (&self.on_air, &self.shown) {
            (_, Shown::Nothing) | (Some(_), Shown::Input(_)) => false,
            (None, _) | (Some(_), Shown::Astray) => true,
        };
        if wrong {
            // The slate comes before the disconnect, so that nobody sees the end of the connection.
            self.actions.insert(0, Action::Clear);
            self.shown = Shown::Nothing;
        }
    }

    /// Ends the turn: its row, its last streamer, and what becomes of its entry. What follows it is for others to say.
    pub(super) fn end_turn(&mut self, why: TurnEnd, now: Moment) {
        let Some(turn) = self.on_air.take() else { return };
        self.changed = true;
        let mut entry = turn.entry;
        self.actions.push(Action::History(TurnOver {
            turn: turn.id,
            account: entry.account,
            name: entry.name.clone(),
            began: turn.began,
            on_air: turn.on_air.elapsed(now),
            why,
        }));
        // Another streamer's turn has begun and ended: whoever was the last one before is free (rule 12).
        self.last.take_if(|last| last.account != entry.account);
        if why.makes_last_streamer() {
            self.last = Some(LastStreamer {
                account: entry.account,
                name: entry.name.clone(),
                until: now + self.settings.hold_off,
            });
        }
        let becomes_next = match why {
            TurnEnd::Lost | TurnEnd::Displaced => match entry.link {
                Link::Absent { until } => turn.keeps_place && until > now,
                Link::Present { .. } | Link::Ready { .. } => true,
            },
            _ => false,
        };
        if becomes_next {
            let length = turn.length.unwrap_or_else(|| self.turn_length());
            let rest = length.saturating_sub(turn.clock.elapsed(now));
            entry.rest = Some(rest.max(LEAST_REST.min(length)));
            if let Link::Present { since, .. } = &mut entry.link {
                // It has the time of a waiting entry to become ready.
                *since = now;
            }
            self.waiting.insert(0, entry);
        } else {
            self.disconnect(&entry, turn.ending_reason.unwrap_or(Reason::TurnOver(why)));
        }
    }

    /// The last streamer, while the block toggle keeps them out (rule 12).
    pub(super) fn blocked(&self, now: Moment) -> Option<&LastStreamer> {
        self.last.as_ref().filter(|last| self.block() && last.until > now)
    }

    /// Nothing ends by time or stall: rules 15 and 16.
    const fn frozen(&self) -> bool {
        self.hold || self.forced_slate
    }

    fn ends(&self) -> bool {
        self.on_air.as_ref().is_some_and(|turn| turn.ending.is_some())
    }

    fn time_up(&self, now: Moment) -> bool {
        self.on_air.as_ref().is_some_and(|turn| turn.clock.elapsed(now) >= self.length_of(turn))
    }

    /// When the stall on air is over the limit.
    fn stall_over(&self) -> Option<Moment> {
        match &self.on_air.as_ref()?.entry.link {
            Link::Present { since, .. } => Some(*since + self.settings.stall_limit),
            Link::Absent { .. } | Link::Ready { .. } => None,
        }
    }

    /// Every moment at which a tick would change something.
    pub(super) fn deadlines(&self) -> impl Iterator<Item = Moment> {
        let limit = self.settings.stall_limit;
        let waiting = self.waiting.iter().filter_map(move |entry| match entry.link {
            Link::Absent { until } => Some(until),
            Link::Present { since, .. } => Some(since + limit),
            Link::Ready { .. } => None,
        });
        let hold_offs = self.hold_offs.iter().chain(&self.last).map(|hold_off: &HoldOff| hold_off.until);
        let pending = self.take_until();
        waiting
            .chain(hold_offs)
            .chain(self.strike_deadlines())
            .chain(pending)
            .chain(self.turn_deadlines().into_iter().flatten())
    }

    fn turn_deadlines(&self) -> [Option<Moment>; 5] {
        let Some(turn) = &self.on_air else { return [None; 5] };
        let successor = self.next_ready().is_some();
        let open = match &self.pending {
            None => true,
            Some(pending) => pending.cause == Cause::Resume,
        };
        let suspended = match turn.entry.link {
            Link::Absent { until } => Some(until),
            _ => None,
        };
        let kept = turn.kept_until.filter(|_| open && successor && !self.hold && turn.entry.is_absent());
        let judged = open && !self.frozen();
        let time =
            turn.clock.reaches(self.length_of(turn)).filter(|_| judged && (successor || !self.settings.overtime));
        let stall = self.stall_over().filter(|_| judged && successor);
        let released = self
            .last
            .as_ref()
            .filter(|last| last.account != turn.entry.account)
            .and_then(|_| turn.on_air.reaches(BLOCK_RELEASE));
        [suspended, kept, time, stall, released]
    }
}
