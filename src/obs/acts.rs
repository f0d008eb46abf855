//! Which part of the evening OBS is to show: the stage's, but for the handover scene, which stays a while. And the time left in words.
//! Pure: the present comes as an argument.

use std::time::Duration;

use tokio::time::Instant;

use super::{Act, Stage};

/// Follows the stage through the evening, connected or not.
#[derive(Debug, Default)]
pub(super) struct Acts {
    /// What OBS is to show.
    act: Act,
    /// Until when the handover stays at least.
    until: Option<Instant>,
    /// The turn that was last seen on air.
    turn: Option<u64>,
    /// The turn whose sources were last started anew.
    restarted: Option<u64>,
}

impl Acts {
    /// Takes the stage over. `stays` is how long the handover's scene stays at least; none if there is no such scene.
    pub(super) fn follow(&mut self, stage: &Stage, stays: Option<Duration>, now: Instant) {
        let another = stage.turn.is_some() && self.turn.is_some() && stage.turn != self.turn;
        let from_air = self.act != Act::Slate;
        match (stage.act, stays) {
            // Nobody's picture is on: the slate never waits.
            (Act::Slate, _) => (self.act, self.until) = (Act::Slate, None),
            (act, None) => (self.act, self.until) = (act, None),
            (Act::Handover, Some(stays)) => self.hand_over(now + stays),
            // A handover so short that it was never seen looks like the others.
            (Act::OnAir, Some(stays)) if another && from_air && self.until.is_none() => self.hand_over(now + stays),
            (Act::OnAir, Some(_)) => {
                if self.until.is_none_or(|until| until <= now) {
                    (self.act, self.until) = (Act::OnAir, None);
                }
            }
        }
        self.turn = stage.turn;
    }

    /// The part of the evening.
    pub(super) fn act(&self) -> Act {
        self.act
    }

    /// When `follow` is to be called again although the stage does not change.
    pub(super) fn wake(&self, stage: &Stage) -> Option<Instant> {
        self.until.filter(|_| stage.act == Act::OnAir)
    }

    /// Whether sources are to begin anew: another turn is on air.
    pub(super) fn restart(&self) -> bool {
        self.act == Act::OnAir && self.turn.is_some() && self.turn != self.restarted
    }

    /// They did, or it is too late for this turn.
    pub(super) fn restarted(&mut self) {
        if self.act == Act::OnAir {
            self.restarted = self.turn;
        }
    }

    fn hand_over(&mut self, until: Instant) {
        if self.act != Act::Handover {
            (self.act, self.until) = (Act::Handover, Some(until));
        }
    }
}

/// The time left as people read it. Whole seconds, rounded up, so that it says 0:00 only when time is up.
pub(super) fn words(left: Duration) -> String {
    let seconds = left.as_secs() + u64::from(left.subsec_nanos() > 0);
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

/// When the words for the time left change next; none when they stay at 0:00.
pub(super) fn next_change(deadline: Instant, now: Instant) -> Option<Instant> {
    let left = deadline.saturating_duration_since(now);
    if left.is_zero() {
        return None;
    }
    let past = left.subsec_nanos();
    Some(now + if past > 0 { Duration::from_nanos(u64::from(past)) } else { Duration::from_secs(1) })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    const STAYS: Option<Duration> = Some(Duration::from_secs(3));

    fn stage(act: Act, turn: Option<u64>) -> Stage {
        Stage { act, turn, ..Stage::default() }
    }

    #[test]
    fn handover_stays_its_seconds_and_then_the_next_is_on_air() {
        let now = Instant::now();
        let mut acts = Acts::default();
        acts.follow(&stage(Act::OnAir, Some(1)), STAYS, now);
        assert_eq!((acts.act(), acts.restart()), (Act::OnAir, true));
        acts.restarted();
        acts.follow(&stage(Act::Handover, Some(1)), STAYS, now);
        assert_eq!(acts.act(), Act::Handover);
        let next = stage(Act::OnAir, Some(2));
        acts.follow(&next, STAYS, now + Duration::from_secs(1));
        assert_eq!((acts.act(), acts.restart()), (Act::Handover, false));
        let wake = acts.wake(&next).unwrap();
        assert_eq!(wake, now + Duration::from_secs(3));
        acts.follow(&next, STAYS, wake);
        assert_eq!((acts.act(), acts.restart(), acts.wake(&next)), (Act::OnAir, true, None));
    }

    #[test]
    fn handover_too_short_to_be_seen_looks_like_the_others() {
        let now = Instant::now();
        let mut acts = Acts::default();
        acts.follow(&stage(Act::OnAir, Some(1)), STAYS, now);
        acts.follow(&stage(Act::OnAir, Some(2)), STAYS, now);
        assert_eq!(acts.act(), Act::Handover);
        acts.follow(&stage(Act::OnAir, Some(2)), STAYS, now + Duration::from_secs(3));
        assert_eq!(acts.act(), Act::OnAir);
        // Without such a scene there is nothing to wait for.
        acts.follow(&stage(Act::OnAir, Some(3)), None, now);
        assert_eq!(acts.act(), Act::OnAir);
    }

    #[test]
    fn slate_never_waits_for_a_handover() {
        let now = Instant::now();
        let mut acts = Acts::default();
        acts.follow(&stage(Act::OnAir, Some(1)), STAYS, now);
        acts.follow(&stage(Act::Handover, Some(1)), STAYS, now);
        acts.follow(&stage(Act::Slate, None), STAYS, now);
        assert_eq!(acts.act(), Act::Slate);
        acts.follow(&stage(Act::OnAir, Some(2)), STAYS, now);
        assert_eq!((acts.act(), acts.restart()), (Act::OnAir, true));
    }

    #[test]
    fn sources_begin_anew_once_a_turn() {
        let now = Instant::now();
        let mut acts = Acts::default();
        acts.follow(&stage(Act::OnAir, Some(1)), None, now);
        acts.restarted();
        acts.follow(&stage(Act::Slate, Some(1)), None, now);
        acts.follow(&stage(Act::OnAir, Some(1)), None, now);
        assert!(!acts.restart(), "the same turn came back from the slate");
        acts.follow(&stage(Act::OnAir, Some(2)), None, now);
        assert!(acts.restart());
    }

    #[test]
    fn time_left_reads_as_people_read_it() {
        for (millis, text) in [
            (0, "0:00"),
            (1, "0:01"),
            (59_000, "0:59"),
            (59_001, "1:00"),
            (600_000, "10:00"),
            (3_599_999, "1:00:00"),
            (3_661_000, "1:01:01"),
        ] {
            assert_eq!(words(Duration::from_millis(millis)), text);
        }
    }

    #[test]
    fn time_left_changes_once_a_second_and_stops_at_nothing() {
        let now = Instant::now();
        let deadline = now + Duration::from_millis(2500);
        let mut texts = vec![words(deadline - now)];
        let mut at = now;
        while let Some(next) = next_change(deadline, at) {
            assert!(next > at);
            at = next;
            texts.push(words(deadline.saturating_duration_since(at)));
        }
        assert_eq!(texts, ["0:03", "0:02", "0:01", "0:00"]);
        assert_eq!(at, deadline);
    }
}
