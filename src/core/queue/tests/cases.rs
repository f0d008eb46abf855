//! The table of cases.

use super::stage::{Stage, seconds};
use crate::core::queue::{Order, QueueSettings, Reason, Refusal, TurnEnd};

const TURN: u64 = 3600;

fn block_on() -> Stage {
    Stage::with(QueueSettings { block: true, ..QueueSettings::default() })
}

/// A had the air and was skipped; nobody is there.
fn a_was_last(mut stage: Stage) -> Stage {
    stage.goes_on_air("a1");
    stage.ordered(Order::Skip { turn: None });
    assert_eq!((stage.on_air().as_str(), stage.waiting().as_str()), ("-", ""));
    stage
}

/// Case 1.
#[test]
fn case_1_the_first_to_come_is_on_air() {
    let mut stage = Stage::new();
    stage.arrive("a1");
    assert_eq!(stage.pending(), "a1");
    stage.taken();
    assert_eq!(stage.on_air(), "A");
}

/// Case 2.
#[test]
fn case_2_the_last_streamer_is_refused_while_the_block_is_on() {
    let mut stage = a_was_last(block_on());
    assert_eq!(stage.refused("a2"), Refusal::LastStreamer { remaining: seconds(300) });
}

/// Case 3.
#[test]
fn case_3_the_block_keeps_nobody_else_out() {
    let mut stage = a_was_last(block_on());
    stage.goes_on_air("b1");
}

/// Case 4.
#[test]
fn case_4_an_encoder_that_reconnects_takes_its_own_place_over() {
    let mut stage = Stage::new();
    stage.goes_on_air("a1");
    stage.accepted("b1");
    assert_eq!(stage.accepted("a2").as_deref(), Some("a1"));
    assert_eq!((stage.on_air().as_str(), stage.waiting().as_str()), ("A", "B"));
    stage.leaves("a1");
    stage.ready("a2");
    assert_eq!(stage.pending(), "a2");
    stage.taken();
    assert_eq!(stage.on_air(), "A");
    assert!(stage.history.is_empty());
}

/// Case 5.
#[test]
fn case_5_a_streamer_whose_time_is_up_rejoins_at_the_tail() {
    let mut stage = Stage::new();
    stage.goes_on_air("b1");
    stage.arrive("c1");
    stage.arrive("d1");
    stage.after(seconds(TURN));
    stage.taken();
    assert_eq!((stage.on_air().as_str(), stage.closed()), ("C", vec!["b1"]));
    stage.arrive("b2");
    assert_eq!(stage.waiting(), "DB");
}

/// Case 6.
#[test]
fn case_6_a_streamer_who_stops_is_gone_after_the_time_to_rejoin() {
    let mut stage = Stage::new();
    stage.goes_on_air("b1");
    stage.arrive("c1");
    stage.leaves("b1");
    stage.taken();
    assert_eq!((stage.on_air().as_str(), stage.waiting().as_str()), ("C", "B"));
    stage.after(seconds(14));
    assert_eq!(stage.waiting(), "B");
    stage.after(seconds(1));
    assert_eq!(stage.waiting(), "");
}

/// Case 7.
#[test]
fn case_7_a_newcomer_waits_behind_those_who_wait() {
    let mut stage = Stage::new();
    stage.goes_on_air("b1");
    stage.accepted("c1");
    stage.arrive("a1");
    assert_eq!((stage.on_air().as_str(), stage.waiting().as_str(), stage.pending().as_str()), ("B", "CA", "-"));
}

/// Case 8.
#[test]
fn case_8_who_never_sends_a_key_frame_is_passed_over_and_told_why() {
    let mut stage = Stage::new();
    stage.goes_on_air("a1");
    stage.after(seconds(TURN - 5));
    stage.accepted("b1");
    stage.after(seconds(6));
    assert_eq!((stage.on_air().as_str(), stage.pending().as_str()), ("A", "-"));
    stage.after(seconds(14));
    assert_eq!(stage.closed, [("b1".into(), Reason::NeverReady { limit: seconds(20) })]);
    assert_eq!((stage.on_air().as_str(), stage.remaining()), ("A", seconds(0)));
    stage.after(seconds(15));
    assert_eq!(stage.waiting(), "");
}

/// Case 8a: media calls a connection with sound alone ready after 3 s; for the queue it is like any other.
#[test]
fn case_8a_sound_alone_goes_on_air() {
    let mut stage = Stage::new();
    stage.accepted("a1");
    stage.after(seconds(3));
    stage.ready("a1");
    stage.taken();
    assert_eq!(stage.on_air(), "A");
}

/// Case 9.
#[test]
fn case_9_a_kicked_target_is_replaced_by_the_next_or_nobody() {
    for with_c in [true, false] {
        let mut stage = Stage::new();
        stage.goes_on_air("a1");
        stage.arrive("b1");
        if with_c {
            stage.arrive("c1");
        }
        stage.after(seconds(TURN));
        assert_eq!(stage.pending(), "b1");
        stage.ordered(Order::Kick(stage.entry("B")));
        if with_c {
            assert_eq!(stage.pending(), "c1");
            stage.taken();
            assert_eq!(stage.on_air(), "C");
        } else {
            assert_eq!((stage.pending().as_str(), stage.on_air().as_str()), ("-", "A"));
        }
    }
}

/// Case 10.
#[test]
fn case_10_after_a_power_cut_the_place_on_air_is_kept_for_a_while() {
    let mut stage = Stage::new();
    stage.goes_on_air("a1");
    stage.accepted("b1");
    stage.after(seconds(10));
    stage.restart(&[]);
    assert_eq!((stage.on_air().as_str(), stage.waiting().as_str()), ("A", "B"));
    stage.after(seconds(2));
    stage.arrive("b2");
    assert_eq!(stage.pending(), "-");
    stage.after(seconds(13));
    assert_eq!(stage.pending(), "b2");
    stage.taken();
    assert_eq!((stage.on_air().as_str(), stage.waiting().as_str(), stage.why()), ("B", "A", TurnEnd::Lost));
    stage.accepted("c1");
    stage.after(seconds(10));
    stage.arrive("a2");
    assert_eq!((stage.waiting().as_str(), stage.queue.next()), ("AC", Some(stage.entry("A"))));
}

/// Case 11.
#[test]
fn case_11_nothing_ends_under_the_forced_slate() {
    let mut stage = Stage::new();
    stage.goes_on_air("a1");
    stage.arrive("b1");
    stage.after(seconds(TURN - 10));
    stage.ordered(Order::ForcedSlate(true));
    stage.after(seconds(1000));
    assert_eq!((stage.on_air().as_str(), stage.pending().as_str()), ("A", "-"));
    stage.ordered(Order::ForcedSlate(false));
    assert_eq!((stage.on_air().as_str(), stage.pending().as_str(), stage.remaining()), ("A", "-", seconds(10)));
    stage.after(seconds(10));
    assert_eq!(stage.pending(), "b1");
}

/// Case 12.
#[test]
fn case_12_lifting_the_hold_takes_the_next_one() {
    let mut stage = Stage::new();
    stage.goes_on_air("a1");
    stage.arrive("b1");
    stage.ordered(Order::Hold(true));
    stage.leaves("a1");
    assert_eq!(stage.pending(), "-");
    stage.after(seconds(15));
    assert_eq!((stage.on_air().as_str(), stage.pending().as_str()), ("-", "-"));
    assert!(stage.cleared());
    stage.ordered(Order::Hold(false));
    assert_eq!(stage.pending(), "b1");
    stage.taken();
    assert_eq!(stage.on_air(), "B");
}
