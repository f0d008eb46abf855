//! Lines that outsiders can cause as often as they like, said once a second at most. The next line of the kind says how many were left out,
//! so that a storm of them is seen, and neither fills the log nor pushes out of the admin's page what else happened.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Between two lines of one kind.
const APART: Duration = Duration::from_secs(1);

/// The longest text of an outsider's that is repeated in a line, in bytes.
const LONGEST: usize = 200;

/// Says a line of one kind, which is the place where this stands: `seldom!(WARN, address = %peer, "publish refused")`, as
/// [`tracing::event!`] takes it. Within a second of the one before it is left out and counted; the next one carries the count as `left_out`.
///
/// For every line that somebody causes who is not trusted: a refusal, a broken connection, a wrong password. What an outsider wrote goes
/// through [`start_of`], with `?`, which makes control characters visible.
macro_rules! seldom {
    ($level:ident, $($line:tt)+) => {{
        static KIND: $crate::telemetry::seldom::Seldom = $crate::telemetry::seldom::Seldom::new();
        if let Some(left_out) = KIND.turn(::std::time::Instant::now()) {
            let left_out = (left_out > 0).then_some(left_out);
            ::tracing::event!(::tracing::Level::$level, left_out, $($line)+);
        }
    }};
}
pub(crate) use seldom;

/// When a kind of line was said last, and how many were not since. [`seldom!`] has one for each place it is used.
#[derive(Debug)]
pub(crate) struct Seldom {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    said: Option<Instant>,
    left_out: u64,
}

impl Seldom {
    pub(crate) const fn new() -> Self {
        Self { state: Mutex::new(State { said: None, left_out: 0 }) }
    }

    /// Whether a line may be said now: if so, how many were left out since the one before.
    pub(crate) fn turn(&self, now: Instant) -> Option<u64> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.said.is_some_and(|said| now.saturating_duration_since(said) < APART) {
            state.left_out = state.left_out.saturating_add(1);
            return None;
        }
        state.said = Some(now);
        Some(std::mem::take(&mut state.left_out))
    }
}

/// As much of an outsider's text as a line repeats.
pub(crate) fn start_of(text: &str) -> &str {
    text.get(..text.floor_char_boundary(LONGEST)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use tracing::Level;
    use tracing_subscriber::{Registry, layer::SubscriberExt};

    use super::*;
    use crate::telemetry::RecentEvents;

    #[test]
    fn a_storm_is_one_line_a_second_and_the_next_says_how_many_were_left_out() {
        let (kind, began) = (Seldom::new(), Instant::now());
        let at = |milliseconds| kind.turn(began + Duration::from_millis(milliseconds));
        assert_eq!(at(0), Some(0), "the first one is said at once");
        for milliseconds in 1..=999 {
            assert_eq!(at(milliseconds), None);
        }
        assert_eq!(at(1000), Some(999));
        assert_eq!(at(1001), None);
        assert_eq!(at(60_000), Some(1));
        assert_eq!(at(120_000), Some(0), "in quiet times nothing is counted");
    }

    #[test]
    fn each_kind_has_lines_of_its_own() {
        let recent = RecentEvents::default();
        tracing::subscriber::with_default(Registry::default().with(recent.layer()), || {
            for number in 0..3 {
                seldom!(WARN, number, "publish refused");
                seldom!(INFO, "publisher is dropped");
            }
        });
        let texts: Vec<_> = recent.latest(Level::TRACE, None).into_iter().map(|event| event.text).collect();
        assert_eq!(texts, ["publisher is dropped", "publish refused number=0"]);
    }

    #[test]
    fn long_text_of_an_outsider_is_cut_at_a_character() {
        assert_eq!(start_of("box.local"), "box.local");
        assert_eq!(start_of(&"ä".repeat(LONGEST)).chars().count(), LONGEST / 2);
        assert_eq!(start_of(&format!("x{}", "ä".repeat(LONGEST))).len(), LONGEST - 1);
    }
}
