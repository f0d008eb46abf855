//! A show that was on when the box went dark: it goes on, or has ended. Nothing is sent before that is known.
//!
//! The same clocks and streamers say whether an end by hand still holds: after a short darkness no take begins a show, after a long one the
//! next does.

use std::time::Duration;

use super::{
    AccountsPort, Ended, IngestPort, MediaPort, PastShow, StorePort,
    stored::{audit_change, show_changes},
    task::Task,
};
use crate::core::{moment::Moment, queue::Presence, show::darkness::Resumption};

/// How often it is looked whether the time is known by now.
const LOOK_EVERY: Duration = Duration::from_millis(500);

impl<M: MediaPort, I: IngestPort, S: StorePort, A: AccountsPort, N: Fn() -> Moment> Task<M, I, S, A, N> {
    /// Judges whether the show of before the start goes on, until that is known.
    pub(super) fn look_at_darkness(&mut self) {
        let Some(dark) = &self.dark else { return };
        let now = (self.now)();
        self.looked_at_darkness = now;
        let (mut awaited, mut back) = (false, false);
        for entry in self.queue.on_air(now).map(|turn| turn.entry).into_iter().chain(self.queue.waiting()) {
            // Whoever had gone before is not waited for, and is as welcome.
            awaited |= dark.connected.contains(&entry.account);
            back |= dark.there.contains(&entry.account) && entry.presence != Presence::Absent;
        }
        match dark.show.look(&(self.alive)(), back, awaited, now) {
            Resumption::Waits => {}
            Resumption::GoesOn => {
                let on = dark.was_on;
                self.show = on;
                // Where it was ended by hand, that is ordered once more: then no take begins one.
                self.media.set_show(on);
                self.end_darkness(None);
            }
            Resumption::Ended(_) if !dark.was_on => {
                self.ended_by_hand = false;
                self.rows.extend(show_changes(false, false));
                self.end_darkness(None);
            }
            Resumption::Ended(dark_for) => {
                let last_alive = dark.show.last().map(|last| last.wall);
                let ended = Ended { last_alive, dark_for };
                let reason = ended.reason();
                tracing::warn!(
                    last_alive = last_alive.map(|at| at.to_string()),
                    reason,
                    "the show of before the start has ended"
                );
                let of = last_alive.map(|at| format!(" of {}", at.strftime("%F"))).unwrap_or_default();
                self.show = false;
                self.ended_by_hand = false;
                self.rows.extend(show_changes(false, false));
                self.rows.push(audit_change("show", format!("off: the show{of} ended: {reason}")));
                self.end_darkness(Some(PastShow::Ended(ended)));
            }
        }
    }

    /// It is known, or somebody ordered it: takes may begin a show again.
    pub(super) fn end_darkness(&mut self, past: Option<PastShow>) {
        if self.dark.take().is_some_and(|dark| dark.held) {
            self.media.hold_show(false);
        }
        self.past = past;
        self.dirty = true;
        self.news = true;
    }

    /// When it has to be looked again, while it is not known.
    pub(super) fn darkness_due(&self) -> Option<Moment> {
        self.dark.as_ref().map(|_| self.looked_at_darkness + LOOK_EVERY)
    }
}
