//! The orders of admins, and of streamers about their own entries: rules 12 to 16.

use std::{sync::Arc, time::Duration};

use super::{
    Action, COMMANDS_KEPT, CommandId, Denial, EntryId, LONGEST_TURN, Order, Queue, QueueSettings, Reason, TurnEnd,
    TurnId, Urgency, Verdict,
    entry::{Cause, HoldOff, Pending, Stopwatch},
};
use crate::core::{account::AccountId, moment::Moment};

impl Queue {
    pub(super) fn order(&mut self, command: CommandId, order: Order, now: Moment) -> Verdict {
        if let Some((_, verdict)) = self.commands.iter().find(|(known, _)| *known == command) {
            return verdict.clone();
        }
        let verdict = match self.obey(order, now) {
            Ok(()) => {
                self.changed = true;
                Verdict::Done { block: self.block() }
            }
            Err(denial) => Verdict::Denied(denial),
        };
        if self.commands.len() >= COMMANDS_KEPT {
            self.commands.pop_front();
        }
        self.commands.push_back((command, verdict.clone()));
        verdict
    }

    fn obey(&mut self, order: Order, now: Moment) -> Result<(), Denial> {
        match order {
            Order::Skip { turn } => self.skip(turn),
            Order::Hold(on) => {
                self.hold = on;
                Ok(())
            }
            Order::ForcedSlate(on) => {
                if self.forced_slate != on {
                    self.forced_slate = on;
                    self.actions.push(Action::ForceSlate(on));
                }
                Ok(())
            }
            Order::PutOnAir(entry) => self.put_on_air(entry, now),
            Order::Kick(entry) => self.kick(entry, now),
            Order::Move { entry, before } => self.move_entry(entry, before),
            Order::SetTurn { length, reset } => self.set_turn(length, reset),
            Order::SetThisTurn { turn, length } => self.set_this_turn(turn, length),
            Order::SetBlock(on) => {
                self.block = Some(on.unwrap_or(!self.block()));
                Ok(())
            }
            Order::Configure(settings) => self.configure(settings),
            Order::LiftHoldOff(account) => self.lift_hold_off(account, now),
            Order::Leave(account) => self.leave(account),
            Order::Revoke { account, remove, reason } => {
                self.revoke(account, remove, &reason, now);
                Ok(())
            }
        }
    }

    /// The turn ends as soon as its successor is taken, or at once if there is none; `settle` sees to it.
    fn skip(&mut self, named: Option<TurnId>) -> Result<(), Denial> {
        let Some(turn) = &mut self.on_air else {
            return Err(if named.is_some() { Denial::AlreadyOver } else { Denial::NotFound("turn") });
        };
        if named.is_some_and(|named| named != turn.id) || turn.ending.is_some() {
            return Err(Denial::AlreadyOver);
        }
        self.end_soon(TurnEnd::Skip, None);
        Ok(())
    }

    /// Marks the turn as ending. A take that is on its way to another entry becomes its successor's, and waits no longer.
    fn end_soon(&mut self, why: TurnEnd, reason: Option<Reason>) {
        let Some(turn) = &mut self.on_air else { return };
        turn.ending = Some(why);
        turn.ending_reason = reason;
        let Some(pending) = &mut self.pending else { return };
        if matches!(pending.cause, Cause::Resume) {
            return;
        }
        pending.cause = Cause::Ending;
        if pending.urgency == Urgency::Planned {
            let Pending { entry, connection, since, .. } = pending.clone();
            self.order_take(entry, connection, Cause::Ending, Urgency::Now, since);
        }
    }

    fn put_on_air(&mut self, id: EntryId, now: Moment) -> Result<(), Denial> {
        if self.on_air.as_ref().is_some_and(|turn| turn.entry.id == id) {
            return Err(Denial::NotNow("that entry is on air already"));
        }
        let entry = self.waiting.iter().find(|entry| entry.id == id).ok_or(Denial::NotFound("entry"))?;
        let connection = entry
            .connection()
            .filter(|_| entry.is_ready())
            .cloned()
            .ok_or(Denial::NotNow("that entry is not ready: it has no connection, or no picture yet"))?;
        self.order_take(id, connection, Cause::PutOnAir, Urgency::Now, now);
        Ok(())
    }

    fn kick(&mut self, id: EntryId, now: Moment) -> Result<(), Denial> {
        let entry = self.entries().find(|entry| entry.id == id).ok_or(Denial::NotFound("entry"))?.clone();
        let hold_off = self.settings.hold_off;
        self.hold_offs.retain(|hold_off| hold_off.account != entry.account);
        if !hold_off.is_zero() {
            self.hold_offs.push(HoldOff {
                account: entry.account,
                name: Arc::clone(&entry.name),
                until: now + hold_off,
            });
        }
        self.remove(id, TurnEnd::Kick, Reason::Kicked { hold_off });
        Ok(())
    }

    /// Takes an entry out: a waiting one at once, the one on air as by a skip.
    fn remove(&mut self, id: EntryId, why: TurnEnd, reason: Reason) {
        if self.on_air.as_ref().is_some_and(|turn| turn.entry.id == id) {
            self.end_soon(why, Some(reason));
        } else if let Some(at) = self.waiting.iter().position(|entry| entry.id == id) {
            let entry = self.waiting.remove(at);
            self.disconnect(&entry, reason);
        }
    }

    fn move_entry(&mut self, id: EntryId, before: Option<EntryId>) -> Result<(), Denial> {
        if self.on_air.as_ref().is_some_and(|turn| turn.entry.id == id || before == Some(turn.entry.id)) {
            return Err(Denial::NotNow("the entry on air has no place among those that wait"));
        }
        let from = self.waiting.iter().position(|entry| entry.id == id).ok_or(Denial::NotFound("entry"))?;
        if before == Some(id) {
            return Ok(());
        }
        if before.is_some_and(|before| !self.waiting.iter().any(|entry| entry.id == before)) {
            return Err(Denial::NotFound("entry to move it before"));
        }
        let entry = self.waiting.remove(from);
        let to = before
            .and_then(|before| self.waiting.iter().position(|entry| entry.id == before))
            .unwrap_or(self.waiting.len());
        self.waiting.insert(to, entry);
        if let Some(pending) = self.pending.take_if(|pending| pending.entry == id) {
            self.actions.push(Action::CancelTake(pending.take));
        }
        Ok(())
    }

    fn set_turn(&mut self, length: Duration, reset: bool) -> Result<(), Denial> {
        bounded(length)?;
        self.turn_length = Some(length);
        if let Some(turn) = &mut self.on_air {
            turn.length = None;
            if reset {
                // Whether it runs is judged afterwards.
                turn.clock = Stopwatch::default();
            }
        }
        Ok(())
    }

    fn set_this_turn(&mut self, named: TurnId, length: Duration) -> Result<(), Denial> {
        bounded(length)?;
        let turn = self.on_air.as_mut().filter(|turn| turn.id == named && turn.ending.is_none());
        turn.ok_or(Denial::AlreadyOver)?.length = Some(length);
        Ok(())
    }

    fn configure(&mut self, settings: QueueSettings) -> Result<(), Denial> {
        if settings.turn.is_zero() || settings.turn > LONGEST_TURN {
            return Err(Denial::Invalid {
                field: "queue.turn_seconds",
                reason: "must be more than 0 and at most 86400",
            });
        }
        if settings.turn != self.settings.turn {
            self.turn_length = None;
            if let Some(turn) = &mut self.on_air {
                turn.length = None;
            }
        }
        if settings.block != self.settings.block {
            self.block = None;
        }
        self.settings = settings;
        Ok(())
    }

    fn lift_hold_off(&mut self, account: AccountId, now: Moment) -> Result<(), Denial> {
        let blocked = self.blocked(now).is_some_and(|last| last.account == account);
        let kicked = self.hold_offs.iter().any(|hold_off| hold_off.account == account);
        let struck_out = self.struck_out(account, now).is_some();
        if !blocked && !kicked && !struck_out {
            return Err(Denial::NotFound("hold-off"));
        }
        self.hold_offs.retain(|hold_off| hold_off.account != account);
        self.strikes.retain(|strike| strike.account != account);
        self.last.take_if(|last| last.account == account);
        Ok(())
    }

    fn leave(&mut self, account: AccountId) -> Result<(), Denial> {
        let id = self
            .entries()
            .find(|entry| entry.account == account)
            .map(|entry| entry.id)
            .ok_or(Denial::NotFound("entry"))?;
        if !self.ends_already(id) {
            self.remove(id, TurnEnd::Left, Reason::Left);
        }
        Ok(())
    }

    fn revoke(&mut self, account: AccountId, remove: bool, reason: &Arc<str>, now: Moment) {
        let Some(entry) = self.entries().find(|entry| entry.account == account).cloned() else { return };
        let reason = Reason::Revoked(Arc::clone(reason));
        if remove {
            self.remove(entry.id, TurnEnd::Revoked, reason);
        } else if let Some(connection) = entry.connection() {
            self.disconnect(&entry, reason);
            self.lose(connection, now);
        }
    }

    fn ends_already(&self, id: EntryId) -> bool {
        self.on_air.as_ref().is_some_and(|turn| turn.entry.id == id && turn.ending.is_some())
    }
}

fn bounded(length: Duration) -> Result<(), Denial> {
    if length.is_zero() || length > LONGEST_TURN {
        return Err(Denial::Invalid { field: "seconds", reason: "must be more than 0 and at most 86400 (24 hours)" });
    }
    Ok(())
}
