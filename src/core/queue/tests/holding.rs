//! Rules 15 and 16: hold and forced slate.

use super::stage::{Stage, account, seconds};
use crate::core::queue::{Action, Order, TurnEnd};

const TURN: u64 = 3600;

/// Rule 15.
#[test]
fn under_hold_nothing_ends_by_time_or_stall_and_nobody_is_taken() {
    let mut stage = Stage::new();
    stage.goes_on_air("a1");
    stage.arrive("b1");
    stage.ordered(Order::Hold(true));
    stage.after(seconds(TURN));
    stage.stalls("a1");
    stage.after(seconds(60));
    assert_eq!((stage.on_air().as_str(), stage.pending().as_str()), ("A", "-"));
    stage.ordered(Order::Hold(false));
    assert_eq!(stage.pending(), "b1");
}

/// Rule 15.
#[test]
fn under_hold_nobody_is_taken_from_an_empty_stage() {
    let mut stage = Stage::new();
    stage.ordered(Order::Hold(true));
    stage.arrive("a1");
    assert_eq!(stage.pending(), "-");
    stage.ordered(Order::PutOnAir(stage.entry("A")));
    stage.taken();
    assert_eq!(stage.on_air(), "A");
}

/// Rule 15: leave, skip and kick give the slate.
#[test]
fn under_hold_whoever_goes_is_followed_by_the_slate() {
    let mut stage = Stage::new();
    stage.goes_on_air("a1");
    stage.arrive("b1");
    stage.arrive("c1");
    stage.arrive("d1");
    stage.ordered(Order::Hold(true));
    stage.ordered(Order::Skip { turn: None });
    assert_eq!((stage.on_air().as_str(), stage.cleared(), stage.closed()), ("-", true, vec!["a1"]));
    for name in ["B", "C"] {
        stage.ordered(Order::PutOnAir(stage.entry(name)));
        stage.taken();
        assert_eq!(stage.on_air(), name);
        if name == "B" {
            stage.ordered(Order::Kick(stage.entry(name)));
        } else {
            stage.ordered(Order::Leave(account(name)));
        }
        assert_eq!((stage.on_air().as_str(), stage.cleared()), ("-", true));
    }
    assert_eq!(stage.waiting(), "D");
}

/// Rule 15: back in time under hold, the turn goes on.
#[test]
fn under_hold_a_suspended_turn_goes_on_when_its_streamer_is_back() {
    let mut stage = Stage::new();
    stage.goes_on_air("a1");
    stage.arrive("b1");
    stage.ordered(Order::Hold(true));
    stage.leaves("a1");
    stage.after(seconds(10));
    stage.arrive("a2");
    assert_eq!(stage.pending(), "a2");
    stage.taken();
    assert_eq!(stage.on_air(), "A");
}

/// Rule 15: a take by rule that is pending is given up, one by order is not.
#[test]
fn hold_gives_up_the_take_of_a_rule_and_keeps_that_of_an_admin() {
    let mut stage = Stage::new();
    stage.goes_on_air("a1");
    stage.arrive("b1");
    stage.after(seconds(TURN));
    stage.ordered(Order::Hold(true));
    assert_eq!(stage.pending(), "-");
    stage.ordered(Order::PutOnAir(stage.entry("B")));
    stage.ordered(Order::Hold(false));
    stage.ordered(Order::Hold(true));
    assert_eq!(stage.pending(), "b1");
}

/// Rule 16.
#[test]
fn the_forced_slate_is_pressed_and_lifted_once() {
    let mut stage = Stage::new();
    stage.goes_on_air("a1");
    stage.ordered(Order::ForcedSlate(true));
    assert_eq!(stage.last, [Action::ForceSlate(true)]);
    stage.ordered(Order::ForcedSlate(true));
    assert_eq!(stage.last, []);
    assert!(!stage.runs());
    stage.after(seconds(50));
    stage.ordered(Order::ForcedSlate(false));
    assert_eq!(stage.last, [Action::ForceSlate(false)]);
    assert_eq!((stage.runs(), stage.elapsed()), (true, seconds(0)));
}

/// Rule 16: skip, kick, leave and put on air change who is underneath.
#[test]
fn under_the_forced_slate_people_come_and_go_underneath() {
    let mut stage = Stage::new();
    stage.goes_on_air("a1");
    for name in ["b1", "c1", "d1", "e1"] {
        stage.arrive(name);
    }
    stage.ordered(Order::ForcedSlate(true));
    stage.ordered(Order::Skip { turn: None });
    stage.taken();
    assert_eq!((stage.on_air().as_str(), stage.runs()), ("B", false));
    stage.leaves("b1");
    stage.taken();
    assert_eq!(stage.on_air(), "C");
    stage.ordered(Order::PutOnAir(stage.entry("E")));
    stage.taken();
    assert_eq!((stage.on_air().as_str(), stage.why()), ("E", TurnEnd::Displaced));
    stage.ordered(Order::Kick(stage.entry("E")));
    stage.taken();
    stage.after(seconds(100));
    assert_eq!((stage.on_air().as_str(), stage.waiting().as_str()), ("C", "D"));
    assert!(!stage.last.contains(&Action::ForceSlate(false)));
}

/// Rule 16: a stall under the forced slate ends nothing.
#[test]
fn under_the_forced_slate_a_stall_ends_nothing() {
    let mut stage = Stage::new();
    stage.goes_on_air("a1");
    stage.arrive("b1");
    stage.ordered(Order::ForcedSlate(true));
    stage.stalls("a1");
    stage.after(seconds(100));
    assert_eq!((stage.on_air().as_str(), stage.pending().as_str()), ("A", "-"));
}
