//! Rules 12 to 14: the block toggle, kicks, the timer, and the admin's other orders.

use super::stage::{Stage, account, seconds};
use crate::core::queue::{
    Action, CommandId, Denial, EntryId, Event, HoldOffCause, Order, QueueSettings, Reason, Refusal, TurnEnd, TurnId,
    Urgency, Verdict,
};

const TURN: u64 = 3600;

fn block_on() -> Stage {
    Stage::with(QueueSettings { block: true, ..QueueSettings::default() })
}

/// A's turn was ended by a skip, B's runs.
fn b_after_a() -> Stage {
    let mut stage = block_on();
    stage.goes_on_air("a1");
    stage.arrive("b1");
    stage.ordered(Order::Skip { turn: None });
    stage.taken();
    stage
}

/// Rule 12.
#[test]
fn the_last_streamer_may_come_back_when_anothers_turn_has_lasted_a_minute() {
    let mut stage = b_after_a();
    stage.after(seconds(59));
    stage.refused("a2");
    stage.after(seconds(1));
    stage.accepted("a3");
}

/// Rule 12.
#[test]
fn the_last_streamer_may_come_back_when_anothers_turn_has_begun_and_ended() {
    let mut stage = b_after_a();
    stage.refused("a2");
    stage.leaves("b1");
    stage.after(seconds(15));
    assert_eq!((stage.on_air().as_str(), stage.why()), ("-", TurnEnd::Lost));
    stage.accepted("a3");
}

/// Rule 12.
#[test]
fn the_last_streamer_may_come_back_after_the_hold_off() {
    let mut stage = block_on();
    stage.goes_on_air("a1");
    stage.ordered(Order::Skip { turn: None });
    stage.after(seconds(299));
    assert_eq!(stage.refused("a2"), Refusal::LastStreamer { remaining: seconds(1) });
    stage.after(seconds(1));
    stage.accepted("a3");
}

/// Rule 12.
#[test]
fn the_last_streamer_may_come_back_when_an_admin_lifts_it() {
    let mut stage = b_after_a();
    let hold_offs = stage.queue.hold_offs(stage.now);
    assert_eq!((hold_offs.len(), hold_offs[0].account, &hold_offs[0].why), (1, account("a"), &HoldOffCause::Block));
    stage.ordered(Order::LiftHoldOff(account("a")));
    assert_eq!(stage.queue.hold_offs(stage.now), []);
    assert_eq!(stage.denied(Order::LiftHoldOff(account("a"))), Denial::NotFound("hold-off"));
    stage.accepted("a2");
}

/// Rule 12: only a new entry is refused.
#[test]
fn the_block_refuses_no_takeover() {
    let mut stage = b_after_a();
    stage.accepted("b2");
}

/// Rule 12: "while it is off they join at the tail at once".
#[test]
fn the_block_counts_only_while_it_is_on() {
    let mut stage = Stage::new();
    stage.goes_on_air("a1");
    stage.ordered(Order::Skip { turn: None });
    assert_eq!(stage.queue.hold_offs(stage.now), []);
    assert_eq!(stage.order(Order::SetBlock(None)), Verdict::Done { block: true });
    stage.refused("a2");
    assert_eq!(stage.order(Order::SetBlock(None)), Verdict::Done { block: false });
    stage.accepted("a3");
    stage.ordered(Order::SetBlock(Some(true)));
    assert!(stage.queue.block());
}

/// Rule 12.
#[test]
fn a_kick_holds_off_whatever_the_toggle_says_and_can_be_lifted() {
    let mut stage = Stage::new();
    stage.goes_on_air("a1");
    stage.arrive("b1");
    stage.arrive("c1");
    stage.ordered(Order::Kick(stage.entry("B")));
    stage.ordered(Order::Kick(stage.entry("C")));
    assert_eq!(stage.closed[0], ("b1".into(), Reason::Kicked { hold_off: seconds(300) }));
    assert_eq!(stage.refused("b2"), Refusal::HeldOff { remaining: seconds(300) });
    stage.ordered(Order::LiftHoldOff(account("b")));
    stage.accepted("b3");
    stage.after(seconds(299));
    stage.refused("c2");
    stage.after(seconds(1));
    assert_eq!(stage.queue.hold_offs(stage.now), []);
    stage.accepted("c3");
}

/// Rule 13.
#[test]
fn a_new_length_counts_for_the_running_turn_and_for_later_ones() {
    let mut stage = Stage::new();
    stage.goes_on_air("a1");
    stage.arrive("b1");
    stage.after(seconds(600));
    stage.ordered(Order::SetTurn { length: seconds(900), reset: false });
    assert_eq!((stage.elapsed(), stage.remaining()), (seconds(600), seconds(300)));
    stage.ordered(Order::SetTurn { length: seconds(900), reset: true });
    assert_eq!((stage.elapsed(), stage.remaining()), (seconds(0), seconds(900)));
    stage.after(seconds(100));
    stage.ordered(Order::SetTurn { length: seconds(60), reset: false });
    assert_eq!(stage.pending(), "b1");
    stage.taken();
    assert_eq!(stage.remaining(), seconds(60));
}

/// Rule 13: of one turn alone.
#[test]
fn a_turn_with_a_length_of_its_own_changes_no_other() {
    let mut stage = Stage::new();
    stage.goes_on_air("a1");
    stage.arrive("b1");
    stage.after(seconds(TURN - 60));
    let turn = stage.turn();
    stage.ordered(Order::SetThisTurn { turn, length: seconds(TURN + 240) });
    assert_eq!((stage.remaining(), stage.queue.turn_length()), (seconds(300), seconds(TURN)));
    // It outlives the box, and being displaced.
    stage.restart(&["a1", "b1"]);
    stage.ready("a1");
    stage.taken();
    stage.ready("b1");
    assert_eq!(stage.remaining(), seconds(300));
    stage.after(seconds(300));
    assert_eq!(stage.pending(), "b1");
    stage.taken();
    assert_eq!(stage.remaining(), seconds(TURN));
    let denial = stage.denied(Order::SetThisTurn { turn, length: seconds(900) });
    assert_eq!(denial, Denial::AlreadyOver);
    let turn = stage.turn();
    let denial = stage.denied(Order::SetThisTurn { turn, length: seconds(0) });
    assert!(matches!(denial, Denial::Invalid { field: "seconds", .. }));
    // A new length of all turns is this one's too.
    stage.ordered(Order::SetThisTurn { turn, length: seconds(900) });
    stage.ordered(Order::SetTurn { length: seconds(700), reset: false });
    assert_eq!(stage.remaining(), seconds(700));
}

/// Rules 13 and 14.
#[test]
fn a_turn_that_was_made_longer_keeps_its_rest_when_it_is_displaced() {
    let mut stage = Stage::new();
    stage.goes_on_air("a1");
    stage.arrive("b1");
    stage.ordered(Order::SetThisTurn { turn: stage.turn(), length: seconds(TURN + 600) });
    stage.after(seconds(60));
    stage.ordered(Order::PutOnAir(stage.entry("B")));
    stage.taken();
    stage.ordered(Order::Skip { turn: None });
    stage.taken();
    assert_eq!((stage.on_air().as_str(), stage.remaining()), ("A", seconds(TURN + 540)));
}

#[test]
fn new_settings_hold_from_then_on_even_over_an_admins_own() {
    let mut stage = Stage::new();
    stage.goes_on_air("a1");
    stage.arrive("b1");
    stage.ordered(Order::SetTurn { length: seconds(900), reset: false });
    stage.ordered(Order::SetBlock(Some(true)));
    stage.after(seconds(600));
    // What did not change leaves an admin's own value alone.
    stage.ordered(Order::Configure(QueueSettings { rejoin: seconds(1), ..QueueSettings::default() }));
    assert_eq!((stage.remaining(), stage.queue.block()), (seconds(300), true));
    stage.ordered(Order::Configure(QueueSettings {
        turn: seconds(700),
        rejoin: seconds(1),
        ..QueueSettings::default()
    }));
    assert_eq!((stage.remaining(), stage.queue.block()), (seconds(100), true));
    stage.ordered(Order::Configure(QueueSettings { turn: seconds(60), ..QueueSettings::default() }));
    assert_eq!(stage.pending(), "b1");
    let denial = stage.denied(Order::Configure(QueueSettings { turn: seconds(0), ..QueueSettings::default() }));
    assert!(matches!(denial, Denial::Invalid { .. }));
}

/// Rule 13.
#[test]
fn a_length_out_of_bounds_is_an_error() {
    let mut stage = Stage::new();
    for length in [0, 24 * 3600 + 1] {
        let denial = stage.denied(Order::SetTurn { length: seconds(length), reset: false });
        assert!(matches!(denial, Denial::Invalid { field: "seconds", .. }));
    }
    stage.ordered(Order::SetTurn { length: seconds(24 * 3600), reset: false });
}

/// Rules 11 and 13: more time in the last moment keeps the streamer on air.
#[test]
fn a_take_by_the_clock_is_given_up_when_the_turn_is_prolonged() {
    let mut stage = Stage::new();
    stage.goes_on_air("a1");
    stage.arrive("b1");
    stage.after(seconds(TURN));
    stage.ordered(Order::SetTurn { length: seconds(TURN + 60), reset: false });
    assert_eq!(stage.pending(), "-");
    stage.after(seconds(60));
    assert_eq!(stage.pending(), "b1");
}

/// Rule 14.
#[test]
fn a_skip_takes_the_next_and_then_disconnects() {
    let mut stage = Stage::new();
    stage.goes_on_air("a1");
    stage.arrive("b1");
    stage.ordered(Order::Skip { turn: Some(stage.turn()) });
    assert!(matches!(stage.last[..], [Action::Take { urgency: Urgency::Now, .. }]));
    assert_eq!((stage.on_air().as_str(), stage.closed().len()), ("A", 0));
    stage.taken();
    assert_eq!(stage.closed, [("a1".into(), Reason::TurnOver(TurnEnd::Skip))]);
}

/// Rule 14.
#[test]
fn a_second_click_on_skip_hits_nobody_else() {
    let mut stage = Stage::new();
    assert_eq!(stage.denied(Order::Skip { turn: None }), Denial::NotFound("turn"));
    assert_eq!(stage.denied(Order::Skip { turn: Some(TurnId(1)) }), Denial::AlreadyOver);
    stage.goes_on_air("a1");
    stage.arrive("b1");
    let turn = stage.turn();
    stage.ordered(Order::Skip { turn: Some(turn) });
    for named in [Some(turn), None] {
        assert_eq!(stage.denied(Order::Skip { turn: named }), Denial::AlreadyOver);
    }
    stage.taken();
    assert_eq!(stage.denied(Order::Skip { turn: Some(turn) }), Denial::AlreadyOver);
    assert_eq!(stage.on_air(), "B");
}

/// Rule 14: with nobody ready.
#[test]
fn a_skip_without_a_successor_gives_the_slate() {
    let mut stage = Stage::new();
    stage.goes_on_air("a1");
    stage.accepted("b1");
    stage.ordered(Order::Skip { turn: None });
    assert_eq!((stage.on_air().as_str(), stage.closed(), stage.cleared()), ("-", vec!["a1"], true));
    assert!(matches!(stage.last[0], Action::Clear));
    stage.ready("b1");
    assert_eq!(stage.pending(), "b1");
}

/// Rules 11 and 14: a skip that was answered yes holds, whatever becomes of the successor.
#[test]
fn a_skipped_turn_ends_even_if_its_successor_goes() {
    let mut stage = Stage::new();
    stage.goes_on_air("a1");
    stage.arrive("b1");
    stage.ordered(Order::Skip { turn: None });
    stage.leaves("b1");
    assert_eq!((stage.on_air().as_str(), stage.why(), stage.closed()), ("-", TurnEnd::Skip, vec!["a1"]));
}

/// Rule 14.
#[test]
fn a_kick_of_the_one_on_air_is_a_skip_besides() {
    let mut stage = Stage::new();
    stage.goes_on_air("a1");
    stage.arrive("b1");
    stage.ordered(Order::Kick(stage.entry("A")));
    assert_eq!(stage.refused("a2"), Refusal::HeldOff { remaining: seconds(300) });
    stage.taken();
    assert_eq!((stage.on_air().as_str(), stage.waiting().as_str(), stage.why()), ("B", "", TurnEnd::Kick));
    assert_eq!(stage.closed, [("a1".into(), Reason::Kicked { hold_off: seconds(300) })]);
    assert_eq!(stage.denied(Order::Kick(EntryId(999))), Denial::NotFound("entry"));
}

/// Rule 14.
#[test]
fn a_move_changes_the_order_of_those_who_wait() {
    let mut stage = Stage::new();
    for name in ["a1", "b1", "c1", "d1"] {
        stage.accepted(name);
    }
    let [a, b, c] = ["A", "B", "C"].map(|name| stage.entry(name));
    stage.ordered(Order::Move { entry: c, before: Some(a) });
    assert_eq!(stage.waiting(), "CABD");
    stage.ordered(Order::Move { entry: a, before: None });
    assert_eq!(stage.waiting(), "CBDA");
    stage.ordered(Order::Move { entry: b, before: Some(b) });
    assert_eq!(stage.waiting(), "CBDA");
    let nobody = EntryId(999);
    assert_eq!(stage.denied(Order::Move { entry: nobody, before: None }), Denial::NotFound("entry"));
    assert!(matches!(stage.denied(Order::Move { entry: b, before: Some(nobody) }), Denial::NotFound(_)));
    stage.ready("b1");
    stage.taken();
    assert!(matches!(stage.denied(Order::Move { entry: b, before: None }), Denial::NotNow(_)));
    assert_eq!(stage.waiting(), "CDA");
}

/// Rule 14.
#[test]
fn put_on_air_makes_the_displaced_one_next_with_the_rest_of_the_turn() {
    let mut stage = Stage::new();
    stage.goes_on_air("a1");
    stage.arrive("b1");
    stage.arrive("c1");
    stage.after(seconds(600));
    stage.ordered(Order::PutOnAir(stage.entry("C")));
    assert!(matches!(stage.last[..], [Action::Take { urgency: Urgency::Now, .. }]));
    stage.taken();
    assert_eq!((stage.on_air().as_str(), stage.waiting().as_str(), stage.why()), ("C", "AB", TurnEnd::Displaced));
    assert!(stage.closed().is_empty());
    stage.ordered(Order::Skip { turn: None });
    stage.taken();
    assert_eq!((stage.on_air().as_str(), stage.remaining()), ("A", seconds(3000)));
}

/// Rule 14.
#[test]
fn only_a_ready_waiting_entry_can_be_put_on_air() {
    let mut stage = Stage::new();
    stage.goes_on_air("a1");
    stage.accepted("b1");
    for name in ["A", "B"] {
        assert!(matches!(stage.denied(Order::PutOnAir(stage.entry(name))), Denial::NotNow(_)));
    }
    assert_eq!(stage.denied(Order::PutOnAir(EntryId(999))), Denial::NotFound("entry"));
}

/// Rules 11 and 14: a put-on-air whose target goes leaves the one on air alone, whose time is not up.
#[test]
fn a_put_on_air_that_fails_changes_nothing() {
    let mut stage = Stage::new();
    stage.goes_on_air("a1");
    stage.arrive("b1");
    stage.arrive("c1");
    stage.ordered(Order::PutOnAir(stage.entry("C")));
    stage.leaves("c1");
    assert_eq!((stage.on_air().as_str(), stage.pending().as_str()), ("A", "-"));
}

/// Rule 11: a later order replaces a pending one.
#[test]
fn a_later_put_on_air_replaces_the_first() {
    let mut stage = Stage::new();
    stage.goes_on_air("a1");
    stage.arrive("b1");
    stage.arrive("c1");
    stage.ordered(Order::PutOnAir(stage.entry("C")));
    let (first, _) = stage.queue.pending().unwrap();
    stage.ordered(Order::PutOnAir(stage.entry("B")));
    stage.take_happens(first);
    assert_eq!(stage.on_air(), "A");
    stage.taken();
    assert_eq!((stage.on_air().as_str(), stage.waiting().as_str()), ("B", "AC"));
}

/// Rule 14: a new key.
#[test]
fn a_new_key_drops_the_connection_and_keeps_the_place() {
    let mut stage = Stage::new();
    stage.goes_on_air("a1");
    stage.arrive("b1");
    stage.arrive("c1");
    stage.ordered(Order::Revoke { account: account("b"), remove: false, reason: "you have a new stream key".into() });
    assert_eq!((stage.waiting().as_str(), stage.closed()), ("BC", vec!["b1"]));
    stage.leaves("b1");
    stage.accepted("b2");
    assert_eq!(stage.waiting(), "BC");
    stage.ordered(Order::Revoke { account: account("a"), remove: false, reason: "you have a new stream key".into() });
    assert_eq!(stage.pending(), "c1");
    stage.taken();
    assert_eq!((stage.on_air().as_str(), stage.waiting().as_str()), ("C", "AB"));
}

/// Rule 14: disabling, banning, deleting.
#[test]
fn a_disabled_account_loses_connection_and_place() {
    let mut stage = Stage::new();
    stage.goes_on_air("a1");
    stage.arrive("b1");
    stage.arrive("c1");
    for name in ["b", "x"] {
        stage.ordered(Order::Revoke {
            account: account(name),
            remove: true,
            reason: "your account was disabled".into(),
        });
    }
    assert_eq!((stage.waiting().as_str(), stage.closed()), ("C", vec!["b1"]));
    stage.ordered(Order::Revoke { account: account("a"), remove: true, reason: "your account was disabled".into() });
    stage.taken();
    assert_eq!((stage.on_air().as_str(), stage.why()), ("C", TurnEnd::Revoked));
    assert_eq!(stage.closed[1], ("a1".into(), Reason::Revoked("your account was disabled".into())));
}

/// The events: the same command twice is the same as once.
#[test]
fn the_same_command_twice_is_carried_out_once() {
    let mut stage = Stage::new();
    let toggle = Event::Order { command: CommandId(77), order: Order::SetBlock(None) };
    for _ in 0..3 {
        assert_eq!(stage.apply(toggle.clone()), Verdict::Done { block: true });
    }
    stage.restart(&[]);
    stage.apply(toggle);
    assert!(stage.queue.block());
}
