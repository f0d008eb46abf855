//! When to try again: pure, with the clock and the dice handed in.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

use crate::core::moment::Moment;

/// No two tries are closer than this.
const SHORTEST: Duration = Duration::from_millis(500);
/// In the first `PROMPT_FOR` of an outage tries are at most this far apart: most outages are a platform's restart or a pulled
/// cable, and whoever is back is live again within 2 s.
const PROMPT: Duration = Duration::from_secs(1);
/// See `PROMPT`.
const PROMPT_FOR: Duration = Duration::from_secs(30);
/// The longest wait there is.
const LONGEST: Duration = Duration::from_secs(30);
/// A refused key is tried this slowly from the start: platforms count refusals.
const REFUSED: Duration = Duration::from_secs(30);
/// A refusal of a key that the platform accepted before is most likely our own old session, which it has not noticed the end of.
const REFUSED_AGAIN: Duration = Duration::from_secs(3);
/// A session that lasted this long ends the outage. One that did not would otherwise make an outage of many short ones, each
/// tried at once.
const STABLE: Duration = Duration::from_secs(10);

/// The tries of one destination.
#[derive(Debug, Default)]
pub(super) struct Retry {
    /// When the outage began; none while all is well.
    since: Option<Moment>,
    /// The waits after the prompt ones.
    slow: Option<ExponentialBackoff>,
}

impl Retry {
    /// Forgets the outage: another show, or another address.
    pub(super) fn reset(&mut self) {
        *self = Self::default();
    }

    /// A try begins.
    pub(super) fn trying(&mut self, now: Moment) {
        self.since.get_or_insert(now);
    }

    /// A session ended at `now` that had been live since `live`.
    pub(super) fn was_live(&mut self, live: Moment, now: Moment) {
        if now.since(live) >= STABLE {
            self.reset();
            self.since = Some(now);
        }
    }

    /// How long to wait after a failure at `now`. `dice` is from 0 to 1.
    pub(super) fn after_failure(&mut self, now: Moment, dice: f64) -> Duration {
        let since = *self.since.get_or_insert(now);
        if now.since(since) < PROMPT_FOR {
            return jittered(PROMPT, 0.5, dice);
        }
        let slow = self.slow.get_or_insert_with(|| {
            ExponentialBuilder::new()
                .with_min_delay(PROMPT * 2)
                .with_max_delay(LONGEST)
                .with_factor(2.0)
                .without_max_times()
                .build()
        });
        jittered(slow.next().unwrap_or(LONGEST).min(LONGEST), 0.25, dice)
    }

    /// How long to wait after a refusal at `now`. `known` says that the platform accepted this key before.
    pub(super) fn after_refusal(&mut self, now: Moment, known: bool, dice: f64) -> Duration {
        let since = *self.since.get_or_insert(now);
        if known && now.since(since) < PROMPT_FOR * 2 { REFUSED_AGAIN } else { jittered(REFUSED, 0.2, dice) }
    }
}

/// `longest` less up to the share `spread` of it, but no less than `SHORTEST`. Several boxes, and the destinations of one, must
/// not knock in step.
fn jittered(longest: Duration, spread: f64, dice: f64) -> Duration {
    longest.mul_f64(1.0 - spread * dice.clamp(0.0, 1.0)).max(SHORTEST)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever happens, waits are between half a second and thirty, and in the first thirty seconds at most one.
        #[test]
        fn waits_are_bounded_and_prompt_at_first(steps in prop::collection::vec((0_u64..60_000, 0.0_f64..=1.0, any::<bool>()), 1..80)) {
            let mut retry = Retry::default();
            let mut now = Moment::ZERO;
            let mut outage = None;
            for (passes, dice, lived) in steps {
                let began = now;
                retry.trying(now);
                outage.get_or_insert(now);
                now = now + Duration::from_millis(passes);
                if lived {
                    retry.was_live(began, now);
                    if now.since(began) >= STABLE {
                        outage = Some(now);
                    }
                }
                let wait = retry.after_failure(now, dice);
                prop_assert!(wait >= SHORTEST && wait <= LONGEST);
                if now.since(outage.unwrap_or_default()) < PROMPT_FOR {
                    prop_assert!(wait <= PROMPT);
                }
                now = now + wait;
            }
        }

        /// An outage that goes on for long is tried every half minute or so, not more often and not less.
        #[test]
        fn long_outage_is_tried_slowly(dice in 0.0_f64..=1.0) {
            let mut retry = Retry::default();
            let mut now = Moment::ZERO;
            let mut last = Duration::ZERO;
            while now.since(Moment::ZERO) < Duration::from_mins(5) {
                retry.trying(now);
                last = retry.after_failure(now, dice);
                now = now + last;
            }
            prop_assert!(last >= LONGEST.mul_f64(0.74) && last <= LONGEST);
        }

        /// A refused key is tried every half minute, but soon when it was good before.
        #[test]
        fn refused_key_is_tried_slowly(dice in 0.0_f64..=1.0) {
            let mut retry = Retry::default();
            prop_assert!(retry.after_refusal(Moment::ZERO, false, dice) >= Duration::from_secs(24));
            prop_assert!(retry.after_refusal(Moment::ZERO, true, dice) <= REFUSED_AGAIN);
            let later = Moment::ZERO + Duration::from_mins(1);
            prop_assert!(retry.after_refusal(later, true, dice) >= Duration::from_secs(24));
        }
    }

    #[test]
    fn short_sessions_do_not_end_an_outage() {
        let mut retry = Retry::default();
        let mut now = Moment::ZERO;
        for _ in 0..20 {
            retry.trying(now);
            let live = now;
            now = now + Duration::from_secs(3);
            retry.was_live(live, now);
            now = now + retry.after_failure(now, 0.0);
        }
        assert!(retry.after_failure(now, 0.0) > PROMPT);
    }
}
