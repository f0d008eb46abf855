//! The show's rules as claims, and what holds after every sequence of looks and orders.

use std::time::Duration;

use proptest::{collection::vec, prelude::*};

use super::{Change, EVERYBODY_GONE, Seen, Show};
use crate::core::moment::Moment;

const LIMIT: Duration = Duration::from_mins(30);
const INSTANT: Duration = Duration::from_millis(1);

const BEGINS: Option<Change> = Some(Change { on: true, by_hand: false });
const ENDS: Option<Change> = Some(Change { on: false, by_hand: false });

fn just_before(end: Duration) -> Duration {
    end.saturating_sub(INSTANT)
}

/// A show, and what is there to be seen.
struct Stage {
    show: Show,
    seen: Seen,
    now: Moment,
}

impl Stage {
    fn new(idle_end: Option<Duration>) -> Self {
        let now = Moment::from_start(Duration::from_secs(7));
        let seen = Seen { takes: 0, on_air: false, connected: false };
        Self { show: Show::new(idle_end, now), seen, now }
    }

    /// A streamer is taken.
    fn take(&mut self) -> Option<Change> {
        self.seen = Seen { takes: self.seen.takes + 1, on_air: true, connected: true };
        self.look()
    }

    /// Nobody is on air any longer, but somebody is connected.
    fn off_air(&mut self) -> Option<Change> {
        self.seen.on_air = false;
        self.look()
    }

    /// Nobody is connected any longer.
    fn all_leave(&mut self) -> Option<Change> {
        self.seen.on_air = false;
        self.seen.connected = false;
        self.look()
    }

    fn look(&mut self) -> Option<Change> {
        self.show.look(self.seen, self.now)
    }

    fn look_after(&mut self, time: Duration) -> Option<Change> {
        self.now = self.now + time;
        self.look()
    }

    fn order(&mut self, on: bool) -> Option<Change> {
        self.show.order(on, self.now)
    }
}

#[test]
fn the_first_take_begins_the_show() {
    let mut stage = Stage::new(Some(LIMIT));
    assert_eq!(stage.look(), None);
    stage.seen.connected = true;
    assert_eq!(stage.look_after(LIMIT), None, "whoever is only connected begins nothing");
    assert_eq!(stage.take(), BEGINS);
    assert!(stage.show.is_on());
    assert_eq!(stage.take(), None);
}

#[test]
fn while_it_is_held_nothing_begins_by_itself_and_the_takes_count_afterwards() {
    let mut stage = Stage::new(Some(LIMIT));
    stage.show.hold(true);
    assert_eq!(stage.take(), None);
    assert_eq!(stage.look_after(LIMIT), None);
    stage.show.hold(false);
    assert_eq!(stage.look(), BEGINS);
    stage.show.hold(true);
    assert_eq!(stage.order(false), Some(Change { on: false, by_hand: true }), "an order holds always");
}

#[test]
fn an_order_begins_and_ends_it_at_once_and_without_a_take() {
    let mut stage = Stage::new(Some(LIMIT));
    assert_eq!(stage.order(true), Some(Change { on: true, by_hand: true }));
    assert!(stage.show.is_on());
    assert_eq!(stage.order(true), None);
    assert_eq!(stage.order(false), Some(Change { on: false, by_hand: true }));
    assert!(!stage.show.is_on());
    assert_eq!(stage.order(false), None);
}

#[test]
fn it_ends_once_nobody_was_on_air_for_the_limit() {
    let mut stage = Stage::new(Some(LIMIT));
    stage.take();
    assert_eq!(stage.look_after(3 * LIMIT), None, "somebody is on air");
    assert_eq!(stage.off_air(), None);
    assert_eq!(stage.look_after(just_before(LIMIT)), None);
    assert_eq!(stage.look_after(INSTANT), ENDS, "whoever waits keeps no show");
    assert!(!stage.show.is_on());
}

#[test]
fn whoever_goes_on_air_starts_the_limit_afresh() {
    let mut stage = Stage::new(Some(LIMIT));
    stage.take();
    stage.off_air();
    assert_eq!(stage.look_after(just_before(LIMIT)), None);
    assert_eq!(stage.take(), None);
    stage.off_air();
    assert_eq!(stage.look_after(just_before(LIMIT)), None);
    assert_eq!(stage.look_after(INSTANT), ENDS);
}

#[test]
fn a_show_begun_by_hand_has_the_whole_limit_and_so_has_one_that_is_begun_again() {
    let mut stage = Stage::new(Some(LIMIT));
    stage.look_after(2 * LIMIT);
    stage.order(true);
    assert_eq!(stage.look_after(just_before(LIMIT)), None);
    assert_eq!(stage.order(true), None);
    assert_eq!(stage.look_after(just_before(LIMIT)), None);
    assert_eq!(stage.look_after(INSTANT), ENDS);
}

#[test]
fn without_a_limit_it_ends_by_hand_only() {
    let mut stage = Stage::new(None);
    stage.take();
    stage.all_leave();
    assert_eq!(stage.look_after(1000 * LIMIT), None);
    assert_eq!(stage.order(false), Some(Change { on: false, by_hand: true }));
}

#[test]
fn another_limit_counts_the_time_that_has_passed() {
    let mut stage = Stage::new(None);
    stage.take();
    stage.all_leave();
    stage.look_after(LIMIT);
    stage.show.set_idle_end(Some(LIMIT + INSTANT));
    assert_eq!(stage.look(), None);
    stage.show.set_idle_end(Some(LIMIT));
    assert_eq!(stage.look(), ENDS);
}

#[test]
fn after_it_ended_by_itself_the_next_take_begins_it_and_an_old_one_does_not() {
    let mut stage = Stage::new(Some(LIMIT));
    stage.take();
    stage.off_air();
    stage.look_after(LIMIT);
    assert!(!stage.show.is_on());
    assert_eq!(stage.look(), None);
    assert_eq!(stage.take(), BEGINS);
}

#[test]
fn after_an_end_by_hand_takes_do_not_begin_it_anew() {
    let mut stage = Stage::new(Some(LIMIT));
    stage.take();
    stage.order(false);
    assert_eq!(stage.take(), None);
    stage.off_air();
    assert_eq!(stage.look_after(EVERYBODY_GONE), None);
    assert_eq!(stage.take(), None, "somebody was connected all the time");
    assert!(!stage.show.is_on());
}

#[test]
fn an_end_by_hand_holds_takes_off_even_if_there_was_no_show() {
    let mut stage = Stage::new(Some(LIMIT));
    assert_eq!(stage.look_after(EVERYBODY_GONE), None);
    assert_eq!(stage.order(false), None);
    assert_eq!(stage.look_after(just_before(EVERYBODY_GONE)), None);
    assert_eq!(stage.take(), None, "the minute begins with the order");
}

#[test]
fn after_an_end_by_hand_the_first_take_after_everybody_was_gone_for_a_minute_begins_it() {
    let mut stage = Stage::new(Some(LIMIT));
    stage.take();
    stage.order(false);
    stage.look_after(Duration::from_secs(5));
    stage.all_leave();
    assert_eq!(stage.look_after(EVERYBODY_GONE), None, "an older take begins nothing");
    assert_eq!(stage.take(), BEGINS);
}

#[test]
fn an_encoder_that_reconnects_within_the_minute_starts_it_afresh() {
    let mut stage = Stage::new(Some(LIMIT));
    stage.take();
    stage.order(false);
    for _ in 0..3 {
        stage.all_leave();
        assert_eq!(stage.look_after(just_before(EVERYBODY_GONE)), None);
        assert_eq!(stage.take(), None);
    }
    stage.all_leave();
    stage.look_after(EVERYBODY_GONE);
    assert_eq!(stage.take(), BEGINS);
}

#[test]
fn takes_while_they_were_held_off_do_not_count_later() {
    let mut stage = Stage::new(Some(LIMIT));
    stage.order(false);
    assert_eq!(stage.take(), None);
    stage.all_leave();
    assert_eq!(stage.look_after(EVERYBODY_GONE), None);
    assert_eq!(stage.look_after(EVERYBODY_GONE), None);
    assert_eq!(stage.take(), BEGINS);
}

#[test]
fn a_begin_by_hand_undoes_an_end_by_hand() {
    let mut stage = Stage::new(Some(LIMIT));
    stage.take();
    stage.order(false);
    stage.order(true);
    stage.off_air();
    assert_eq!(stage.look_after(LIMIT), ENDS);
    assert_eq!(stage.take(), BEGINS, "the latest end was none by hand, though somebody was connected all the time");
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// Takes since the last look, and what else is seen.
    Look {
        takes: u64,
        on_air: bool,
        connected: bool,
    },
    Order(bool),
    IdleEnd(Option<Duration>),
}

/// One step that was played, and what came of it.
#[derive(Debug)]
struct Row {
    at: Moment,
    step: Step,
    /// The limit that holds from this step on.
    idle_end: Option<Duration>,
    was_on: bool,
    is_on: bool,
    change: Option<Change>,
}

impl Row {
    const fn is_order(&self) -> bool {
        matches!(self.step, Step::Order(_))
    }

    const fn on_air(&self) -> bool {
        matches!(self.step, Step::Look { on_air: true, .. })
    }

    const fn connected(&self) -> bool {
        matches!(self.step, Step::Look { connected: true, .. })
    }

    const fn taken(&self) -> bool {
        matches!(self.step, Step::Look { takes: 1.., .. })
    }

    const fn begins_by_itself(&self) -> bool {
        matches!(self.change, Some(Change { on: true, by_hand: false }))
    }

    const fn ends_by_itself(&self) -> bool {
        matches!(self.change, Some(Change { on: false, by_hand: false }))
    }
}

fn limit() -> impl Strategy<Value = Option<Duration>> {
    prop::option::weighted(0.8, (1..300_u64).prop_map(Duration::from_secs))
}

/// Each with the milliseconds that pass before it.
fn steps() -> impl Strategy<Value = Vec<(u64, Step)>> {
    // Nobody is there more often than by chance: only a minute of that changes something.
    let anybody = (0..2_u64, any::<bool>(), any::<bool>());
    let look = prop_oneof![
        2 => anybody.prop_map(|(takes, on_air, connected)| Step::Look { takes, on_air, connected }),
        3 => Just(Step::Look { takes: 0, on_air: false, connected: false }),
    ];
    let step = prop_oneof![
        20 => look,
        1 => any::<bool>().prop_map(Step::Order),
        1 => limit().prop_map(Step::IdleEnd),
    ];
    vec((prop_oneof![0..1000_u64, 0..40_000_u64], step), 1..200)
}

fn played() -> impl Strategy<Value = Vec<Row>> {
    (limit(), steps()).prop_map(|(idle_end, steps)| play(idle_end, steps))
}

fn play(mut idle_end: Option<Duration>, steps: Vec<(u64, Step)>) -> Vec<Row> {
    let mut at = Moment::ZERO;
    let mut show = Show::new(idle_end, at);
    let mut count = 0;
    let mut rows = Vec::new();
    for (millis, step) in steps {
        at = at + Duration::from_millis(millis);
        let was_on = show.is_on();
        let change = match step {
            Step::Look { takes, on_air, connected } => {
                count += takes;
                show.look(Seen { takes: count, on_air, connected }, at)
            }
            Step::Order(on) => show.order(on, at),
            Step::IdleEnd(limit) => {
                idle_end = limit;
                show.set_idle_end(limit);
                None
            }
        };
        rows.push(Row { at, step, idle_end, was_on, is_on: show.is_on(), change });
    }
    rows
}

/// Every row, with those before it.
fn with_past(rows: &[Row]) -> impl Iterator<Item = (&[Row], &Row)> {
    (0..rows.len()).filter_map(|at| rows.split_at_checked(at).and_then(|(past, rest)| Some((past, rest.first()?))))
}

/// How long, at `now`, nobody has been on air, counted from the latest order or change at the earliest.
fn idle(past: &[Row], now: Moment) -> Duration {
    let busy = past.iter().rev().find(|row| row.on_air() || row.is_order() || row.change.is_some());
    now.since(busy.map_or(Moment::ZERO, |row| row.at))
}

/// Whether takes are held off in the look `row`: the latest word was an end by hand, and there was no look since, this one
/// included, before which nobody had been connected for a minute.
fn held_off(past: &[Row], row: &Row) -> bool {
    let Some(word) = past.iter().rposition(|row| row.is_order() || row.change.is_some()) else { return false };
    let Some((order, since)) = past.get(word..).and_then(<[Row]>::split_first) else { return false };
    let mut last_connected = order.at;
    matches!(order.step, Step::Order(false))
        && since.iter().chain([row]).all(|look| {
            if look.connected() {
                last_connected = look.at;
            }
            !matches!(look.step, Step::Look { .. }) || look.at.since(last_connected) < EVERYBODY_GONE
        })
}

proptest! {
    #[test]
    fn a_change_is_said_once_and_whether_it_is_by_hand(rows in played()) {
        for row in &rows {
            let said = (row.was_on != row.is_on).then_some(Change { on: row.is_on, by_hand: row.is_order() });
            prop_assert_eq!(row.change, said, "{:?}", row);
        }
    }

    #[test]
    fn an_order_always_holds(rows in played()) {
        for row in &rows {
            if let Step::Order(on) = row.step {
                prop_assert_eq!(row.is_on, on);
            }
        }
    }

    #[test]
    fn it_never_begins_by_itself_without_a_take_that_is_new(rows in played()) {
        for row in rows.iter().filter(|row| row.begins_by_itself()) {
            prop_assert!(row.taken(), "{:?}", row);
        }
    }

    #[test]
    fn after_an_end_by_hand_it_never_begins_by_itself_before_everybody_was_gone_for_a_minute(rows in played()) {
        for (past, row) in with_past(&rows).filter(|(_, row)| row.begins_by_itself()) {
            prop_assert!(!held_off(past, row), "{:?}", row);
        }
    }

    #[test]
    fn after_a_take_that_is_not_held_off_it_is_on(rows in played()) {
        for (past, row) in with_past(&rows).filter(|(_, row)| row.taken() && !row.was_on) {
            prop_assert!(row.is_on || held_off(past, row), "{:?}", row);
        }
    }

    #[test]
    fn without_a_limit_it_never_ends_by_itself(rows in played()) {
        for row in rows.iter().filter(|row| row.idle_end.is_none()) {
            prop_assert!(!row.ends_by_itself(), "{:?}", row);
        }
    }

    #[test]
    fn it_never_ends_by_itself_while_somebody_is_on_air(rows in played()) {
        for row in rows.iter().filter(|row| row.on_air()) {
            prop_assert!(!row.ends_by_itself(), "{:?}", row);
        }
    }

    #[test]
    fn it_never_ends_by_itself_before_the_limit(rows in played()) {
        for (past, row) in with_past(&rows).filter(|(_, row)| row.ends_by_itself()) {
            prop_assert!(row.idle_end.is_some_and(|limit| idle(past, row.at) >= limit), "{:?}", row);
        }
    }

    #[test]
    fn after_the_limit_without_anybody_on_air_it_has_ended(rows in played()) {
        for (past, row) in with_past(&rows) {
            let looked_in_vain = matches!(row.step, Step::Look { on_air: false, .. });
            if looked_in_vain && row.was_on && row.idle_end.is_some_and(|limit| idle(past, row.at) >= limit) {
                prop_assert!(!row.is_on, "{:?}", row);
            }
        }
    }
}
