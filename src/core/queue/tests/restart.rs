//! Rule 17: a restart of the box.

use std::time::Duration;

use super::stage::{Stage, account, seconds};
use crate::core::queue::{Action, Order, Presence, QueueSettings, Record, Refusal, TurnEnd};

/// Rule 17.
#[test]
fn everything_comes_back_as_it_was() {
    let mut stage = Stage::new();
    stage.goes_on_air("a1");
    stage.arrive("b1");
    stage.arrive("c1");
    stage.ordered(Order::SetTurn { length: seconds(900), reset: false });
    stage.ordered(Order::SetBlock(Some(true)));
    stage.ordered(Order::Skip { turn: None });
    stage.taken();
    stage.ordered(Order::Kick(stage.entry("C")));
    stage.arrive("d1");
    stage.arrive("e1");
    stage.after(seconds(20));
    stage.ordered(Order::Hold(true));
    stage.ordered(Order::ForcedSlate(true));
    let turn = stage.turn();
    stage.restart(&[]);
    assert_eq!((stage.on_air().as_str(), stage.waiting().as_str()), ("B", "DE"));
    assert_eq!((stage.turn(), stage.elapsed(), stage.runs()), (turn, seconds(20), false));
    assert_eq!(stage.queue.turn_length(), seconds(900));
    assert!(stage.queue.block() && stage.queue.hold() && stage.queue.forced_slate());
    assert_eq!(stage.last, [Action::ForceSlate(true)]);
    assert_eq!(stage.refused("c2"), Refusal::HeldOff { remaining: seconds(280) });
    assert_eq!(stage.refused("a2"), Refusal::LastStreamer { remaining: seconds(280) });
}

/// Rule 17: an admin's settings outlive the configuration they replaced; what no admin touched follows it.
#[test]
fn the_configuration_counts_until_an_admin_says_otherwise() {
    let mut stage = Stage::new();
    stage.settings.turn = seconds(60);
    stage.restart(&[]);
    assert_eq!(stage.queue.turn_length(), seconds(60));
    stage.ordered(Order::SetTurn { length: seconds(90), reset: false });
    stage.settings.turn = seconds(70);
    stage.restart(&[]);
    assert_eq!(stage.queue.turn_length(), seconds(90));
}

/// Rule 17: connections that outlived the box.
#[test]
fn connections_that_are_left_are_present_and_strangers_are_closed() {
    let mut stage = Stage::new();
    stage.goes_on_air("a1");
    stage.arrive("b1");
    stage.arrive("c1");
    stage.after(seconds(10));
    stage.restart(&["a1", "c1", "x1"]);
    assert_eq!(stage.closed(), ["x1"]);
    assert!(stage.runs());
    let presence: Vec<_> = stage.queue.waiting().map(|entry| entry.presence).collect();
    assert_eq!(presence, [Presence::Absent, Presence::Present]);
    stage.ready("c1");
    assert_eq!(stage.pending(), "-");
    stage.ready("a1");
    assert_eq!(stage.pending(), "a1");
    stage.taken();
    assert_eq!((stage.on_air().as_str(), stage.elapsed(), stage.history.len()), ("A", seconds(10), 0));
}

/// Rule 17.
#[test]
fn the_absent_have_the_grace_to_return() {
    let mut stage = Stage::new();
    stage.accepted("a1");
    stage.accepted("b1");
    stage.restart(&[]);
    stage.after(seconds(59));
    stage.accepted("b2");
    assert_eq!(stage.waiting(), "AB");
    stage.after(seconds(1));
    assert_eq!(stage.waiting(), "B");
}

/// Rule 17: for the whole grace when nobody is ready.
#[test]
fn the_turn_is_kept_for_the_whole_grace_while_nobody_is_ready() {
    let mut stage = Stage::new();
    stage.goes_on_air("a1");
    stage.after(seconds(100));
    stage.restart(&[]);
    stage.after(seconds(59));
    stage.arrive("a2");
    stage.taken();
    assert_eq!((stage.on_air().as_str(), stage.elapsed()), ("A", seconds(100)));

    stage.restart(&[]);
    stage.after(seconds(60));
    assert_eq!((stage.on_air().as_str(), stage.why()), ("-", TurnEnd::Lost));
}

/// Rule 17: who is ready after the first 15 s is taken at once.
#[test]
fn after_the_first_seconds_whoever_is_ready_is_taken() {
    let mut stage = Stage::new();
    stage.goes_on_air("a1");
    stage.restart(&[]);
    stage.after(seconds(30));
    stage.arrive("b1");
    assert_eq!(stage.pending(), "b1");
}

/// Rule 17: a skip that was answered yes holds.
#[test]
fn a_turn_that_was_skipped_does_not_come_back() {
    let mut stage = Stage::with(QueueSettings { block: true, ..QueueSettings::default() });
    stage.goes_on_air("a1");
    stage.arrive("b1");
    stage.ordered(Order::Skip { turn: None });
    stage.restart(&["a1"]);
    assert_eq!((stage.on_air().as_str(), stage.why(), stage.closed()), ("-", TurnEnd::Skip, vec!["a1"]));
    assert_eq!(stage.queue.hold_offs(stage.now)[0].account, account("a"));
}

/// Rule 17: what the turn's time on air was noted to be after the last commit counts.
#[test]
fn time_noted_after_the_last_commit_counts() {
    let mut stage = Stage::new();
    stage.goes_on_air("a1");
    stage.after(seconds(100));
    stage.ordered(Order::SetTurn { length: seconds(900), reset: true });
    let turn = stage.turn();
    let mut record = stage.queue.record(stage.now);
    record.catch_up(turn, seconds(104));
    let on_air = record.on_air.clone().unwrap();
    assert_eq!((on_air.elapsed_ms, on_air.on_air_ms), (4000, 104_000));
    record.catch_up(turn, seconds(50));
    record.catch_up(crate::core::queue::TurnId(999), seconds(500));
    assert_eq!(record.on_air, Some(on_air));
}

/// What a newer program wrote is kept.
#[test]
fn fields_of_a_newer_program_survive() {
    let mut stage = Stage::new();
    stage.goes_on_air("a1");
    stage.accepted("b1");
    let mut stored = serde_json::to_value(stage.queue.record(stage.now)).unwrap();
    stored["mood"] = "calm".into();
    stored["waiting"][0]["colour"] = "red".into();
    stored["on_air"]["dance"] = true.into();
    stored["on_air"]["entry"]["shoe_size"] = 43.into();
    let record: Record = serde_json::from_value(stored.clone()).unwrap();
    let queue =
        crate::core::queue::Queue::restore(record, QueueSettings::default(), stage.now + Duration::from_secs(1));
    let again = serde_json::to_value(queue.record(stage.now + Duration::from_secs(1))).unwrap();
    assert_eq!(again, stored);
}
