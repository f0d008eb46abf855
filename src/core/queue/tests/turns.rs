//! Rules 8 to 11, 18 and 20: how a turn ends.

use super::stage::{Stage, seconds};
use crate::core::queue::{Action, Event, Order, PENDING_LIMIT, QueueSettings, Reason, TurnEnd, Urgency};

const TURN: u64 = 3600;

/// Rule 8.
#[test]
fn a_stalled_turn_runs_on_and_its_input_returns_by_itself() {
    let mut stage = Stage::new();
    stage.goes_on_air("a1");
    stage.arrive("b1");
    stage.stalls("a1");
    stage.after(seconds(19));
    stage.recovers("a1");
    assert!(stage.last.is_empty(), "media returns by itself: {:?}", stage.last);
    stage.after(seconds(100));
    assert_eq!((stage.on_air().as_str(), stage.pending().as_str(), stage.elapsed()), ("A", "-", seconds(119)));
}

/// Rule 8.
#[test]
fn a_long_stall_ends_the_turn_when_another_is_ready() {
    let mut stage = Stage::new();
    stage.goes_on_air("a1");
    stage.arrive("b1");
    stage.stalls("a1");
    stage.after(seconds(20));
    assert!(matches!(stage.last[..], [Action::Take { urgency: Urgency::Now, .. }]));
    stage.taken();
    assert_eq!((stage.on_air().as_str(), stage.why()), ("B", TurnEnd::Stall));
    assert_eq!(stage.closed, [("a1".into(), Reason::TurnOver(TurnEnd::Stall))]);
}

/// Rule 8.
#[test]
fn a_long_stall_is_borne_while_nobody_else_is_ready() {
    let mut stage = Stage::new();
    stage.goes_on_air("a1");
    stage.stalls("a1");
    stage.after(seconds(100));
    assert_eq!((stage.on_air().as_str(), stage.closed().len()), ("A", 0));
    stage.arrive("b1");
    assert_eq!(stage.pending(), "b1");
}

/// Rule 8: "as in 9" makes the stalled streamer the last streamer.
#[test]
fn a_turn_that_ended_by_a_stall_counts_for_the_block() {
    let mut stage = Stage::with(QueueSettings { block: true, ..QueueSettings::default() });
    stage.goes_on_air("a1");
    stage.arrive("b1");
    stage.stalls("a1");
    stage.after(seconds(20));
    stage.taken();
    stage.refused("a2");
}

/// Rule 9.
#[test]
fn the_turn_goes_on_between_order_and_taken() {
    let mut stage = Stage::new();
    stage.goes_on_air("a1");
    stage.arrive("b1");
    stage.after(seconds(TURN));
    assert!(matches!(stage.last[..], [Action::Take { urgency: Urgency::Planned, .. }]));
    stage.after(seconds(8));
    assert_eq!((stage.on_air().as_str(), stage.elapsed(), stage.closed().len()), ("A", seconds(TURN + 8), 0));
    stage.taken();
    assert_eq!((stage.on_air().as_str(), stage.elapsed()), ("B", seconds(0)));
    assert_eq!(stage.closed, [("a1".into(), Reason::TurnOver(TurnEnd::Time))]);
}

/// Rule 9: when there is nothing to see meanwhile, the take waits no longer.
#[test]
fn a_planned_take_is_hurried_when_the_one_on_air_goes() {
    for leaves in [true, false] {
        let mut stage = Stage::new();
        stage.goes_on_air("a1");
        stage.arrive("b1");
        stage.after(seconds(TURN));
        if leaves {
            stage.leaves("a1");
        } else {
            stage.stalls("a1");
        }
        assert!(matches!(stage.last[..], [Action::Take { urgency: Urgency::Now, .. }]), "{:?}", stage.last);
        stage.taken();
        assert_eq!((stage.on_air().as_str(), stage.waiting().as_str(), stage.why()), ("B", "", TurnEnd::Time));
    }
}

/// Rule 10.
#[test]
fn overtime_lasts_until_somebody_is_ready() {
    let mut stage = Stage::new();
    stage.goes_on_air("a1");
    stage.after(seconds(TURN + 1000));
    assert_eq!(stage.on_air(), "A");
    stage.arrive("b1");
    stage.taken();
    assert_eq!((stage.on_air().as_str(), stage.why()), ("B", TurnEnd::Time));
}

/// Rule 10.
#[test]
fn without_overtime_the_slate_follows() {
    let mut stage = Stage::with(QueueSettings { overtime: false, block: true, ..QueueSettings::default() });
    stage.goes_on_air("a1");
    stage.after(seconds(TURN - 1));
    assert_eq!(stage.on_air(), "A");
    stage.after(seconds(1));
    assert_eq!((stage.on_air().as_str(), stage.why(), stage.cleared()), ("-", TurnEnd::Time, true));
    assert!(matches!(stage.last[0], Action::Clear), "the slate comes before the disconnect: {:?}", stage.last);
    assert_eq!(stage.closed(), ["a1"]);
    stage.refused("a2");
}

/// Rule 11.
#[test]
fn a_target_that_leaves_stalls_or_is_moved_gives_the_next_one_its_chance() {
    for (event, then) in [("leaves", "c1"), ("stalls", "c1"), ("moved", "c1"), ("taken over", "c1"), ("failed", "c1")] {
        let mut stage = Stage::new();
        stage.goes_on_air("a1");
        stage.arrive("b1");
        stage.arrive("c1");
        stage.after(seconds(TURN));
        let (take, _) = stage.queue.pending().unwrap();
        match event {
            "leaves" => stage.leaves("b1"),
            "stalls" => stage.stalls("b1"),
            "moved" => stage.ordered(Order::Move { entry: stage.entry("B"), before: None }),
            "taken over" => drop(stage.accepted("b2")),
            _ => drop(stage.apply(Event::TakeFailed(take))),
        }
        assert_eq!(stage.pending(), then, "{event}");
        if event != "failed" {
            assert_eq!(stage.last[0], Action::CancelTake(take), "{event}");
        }
    }
}

/// Rule 11: a take that never happens is given up in bounded time.
#[test]
fn a_take_that_never_happens_is_given_up() {
    let mut stage = Stage::new();
    stage.arrive("a1");
    stage.arrive("b1");
    assert_eq!(stage.pending(), "a1");
    stage.after(PENDING_LIMIT);
    assert_eq!(stage.pending(), "b1");
    stage.taken();
    stage.after(seconds(20));
    assert_eq!(stage.closed(), ["a1"]);
}

/// Rule 11, and the events: a take that was given up and happens nevertheless changes nothing, and what is seen is put right.
#[test]
fn a_take_that_goes_astray_is_put_right() {
    let mut stage = Stage::new();
    stage.goes_on_air("a1");
    stage.arrive("b1");
    stage.ordered(Order::PutOnAir(stage.entry("B")));
    let (take, _) = stage.queue.pending().unwrap();
    stage.stalls("b1");
    assert_eq!(stage.pending(), "-");
    stage.take_happens(take);
    assert_eq!((stage.on_air().as_str(), stage.pending().as_str()), ("A", "a1"));
    stage.taken();
    // The same with nobody to return to.
    stage.leaves("a1");
    stage.recovers("b1");
    let (take, _) = stage.queue.pending().unwrap();
    stage.ordered(Order::Hold(true));
    stage.take_happens(take);
    assert_eq!((stage.on_air().as_str(), stage.pending().as_str(), stage.cleared()), ("A", "-", true));
    // Twice is the same as once.
    stage.take_happens(take);
    assert!(stage.last.is_empty());
}

/// Rule 18: nothing depends on the time of day.
#[test]
fn a_clock_that_was_set_back_changes_the_history_only() {
    let mut stage = Stage::new();
    stage.arrive("a1");
    let (take, _) = stage.queue.pending().unwrap();
    let wall: jiff::Timestamp = "2030-01-01T00:00:00Z".parse().unwrap();
    stage.apply(Event::Taken { take, wall });
    stage.arrive("b1");
    stage.after(seconds(TURN));
    stage.taken();
    assert_eq!((stage.history[0].began, stage.history[0].on_air), (wall, seconds(TURN)));
}

/// Rule 20.
#[test]
fn every_turn_that_ended_leaves_a_row() {
    let mut stage = Stage::new();
    stage.goes_on_air("a1");
    stage.arrive("b1");
    stage.after(seconds(30));
    stage.ordered(Order::ForcedSlate(true));
    stage.after(seconds(100));
    stage.ordered(Order::ForcedSlate(false));
    let turn = stage.turn();
    stage.ordered(Order::Skip { turn: None });
    stage.after(seconds(2));
    stage.taken();
    let row = stage.history.last().unwrap();
    assert_eq!((row.turn, &*row.name, row.on_air, row.why), (turn, "A", seconds(32), TurnEnd::Skip));
    assert_eq!(stage.history.len(), 1);
}
