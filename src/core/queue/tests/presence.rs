//! Rules 1 to 7: coming, taking over, going.

use super::stage::{Stage, connection, from, seconds};
use crate::core::{
    account::AccountId,
    queue::{Action, Event, Order, Presence, QueueSettings, Reason, Refusal, TurnEnd, Urgency, Verdict},
};

/// Rule 1.
#[test]
fn a_full_house_refuses_newcomers_and_nobody_who_has_a_place() {
    let mut stage = Stage::with(QueueSettings { max_publishers: 2, ..QueueSettings::default() });
    stage.goes_on_air("a1");
    stage.accepted("b1");
    assert_eq!(stage.refused("c1"), Refusal::FullHouse { places: 2 });
    stage.leaves("b1");
    assert_eq!(stage.refused("c2"), Refusal::FullHouse { places: 2 });
    stage.accepted("b2");
    stage.accepted("a2");
}

/// Rule 1: who holds places without a picture gives one to whoever comes from elsewhere, and no more than that.
#[test]
fn an_address_cannot_fill_the_house_without_a_picture() {
    let mut stage = Stage::with(QueueSettings { max_publishers: 4, ..QueueSettings::default() });
    stage.goes_on_air("a1");
    stage.origin = from(2);
    for name in ["b1", "c1", "d1"] {
        stage.accepted(name);
    }
    stage.origin = from(3);
    stage.arrive("e1");
    assert_eq!(stage.closed, [("b1".to_owned(), Reason::MadeRoom)]);
    assert_eq!(stage.waiting(), "CDE");
    // The address has two without a picture left, the newcomer would have its second: no gain.
    stage.accepted("f1");
    assert_eq!(stage.waiting(), "DEF");
    assert_eq!(stage.refused("g1"), Refusal::FullHouse { places: 4 });
    // Nor does the crowded address take anything back.
    stage.origin = from(2);
    assert_eq!(stage.refused("h1"), Refusal::FullHouse { places: 4 });
}

/// Rule 1: within one address, time tells.
#[test]
fn a_place_without_a_picture_is_anybodys_after_a_while_and_one_that_was_ready_is_nobodys() {
    let mut stage = Stage::with(QueueSettings { max_publishers: 3, ..QueueSettings::default() });
    stage.goes_on_air("a1");
    stage.arrive("b1");
    stage.stalls("b1");
    stage.accepted("c1");
    stage.after(seconds(9));
    assert_eq!(stage.refused("d1"), Refusal::FullHouse { places: 3 });
    stage.after(seconds(1));
    stage.accepted("d2");
    assert_eq!(stage.waiting(), "BD");
    assert_eq!(stage.closed, [("c1".to_owned(), Reason::MadeRoom)]);
    // Its connection is over, and its streamer may come back when there is room.
    assert_eq!(stage.refused("c1"), Refusal::Ended);
    stage.ready("d2");
    stage.after(seconds(10));
    assert_eq!(stage.refused("c2"), Refusal::FullHouse { places: 3 });
    // What a restart finds keeps its place.
    stage.restart(&["a1", "b1", "d2"]);
    stage.after(seconds(11));
    assert_eq!(stage.refused("c3"), Refusal::FullHouse { places: 3 });
}

/// Rule 1, and the events: what is not current changes nothing.
#[test]
fn events_about_unknown_connections_and_takes_change_nothing() {
    let mut stage = Stage::new();
    stage.goes_on_air("a1");
    stage.accepted("b1");
    let before = stage.queue.record(stage.now);
    for event in [
        Event::Unpublish(connection("x1")),
        Event::Ready(connection("x1")),
        Event::Stalled(connection("x1")),
        Event::Recovered(connection("x1")),
        Event::Taken { take: crate::core::queue::TakeId(999), wall: jiff::Timestamp::UNIX_EPOCH },
        Event::TakeFailed(crate::core::queue::TakeId(1)),
        Event::Tick,
    ] {
        assert_eq!(stage.apply(event.clone()), Verdict::Noted);
        assert!(stage.last.is_empty(), "{event:?}: {:?}", stage.last);
        assert_eq!(stage.queue.record(stage.now), before, "{event:?}");
    }
}

/// The events: the same hook twice is the same as once.
#[test]
fn the_same_publish_twice_is_accepted_once() {
    let mut stage = Stage::new();
    stage.accepted("a1");
    stage.accepted("a1");
    assert_eq!(stage.waiting(), "A");
}

/// The events: a connection that was replaced, refused or ended stays so.
#[test]
fn a_connection_that_is_over_never_comes_back_to_life() {
    let mut stage = Stage::with(QueueSettings { max_publishers: 2, ..QueueSettings::default() });
    stage.goes_on_air("a1");
    stage.accepted("b1");
    stage.refused("c1");
    stage.accepted("a2");
    stage.leaves("b1");
    stage.after(seconds(60));
    for name in ["a1", "b1", "c1"] {
        assert_eq!(stage.refused(name), Refusal::Ended, "{name}");
        stage.ready(name);
    }
    assert_eq!((stage.on_air().as_str(), stage.waiting().as_str(), stage.pending().as_str()), ("A", "", "-"));
    stage.restart(&["a2"]);
    assert_eq!(stage.refused("b1"), Refusal::Ended);
}

/// Rule 2.
#[test]
fn the_first_to_be_ready_is_taken_even_from_behind() {
    let mut stage = Stage::new();
    stage.accepted("a1");
    stage.accepted("b1");
    assert_eq!(stage.pending(), "-");
    stage.ready("b1");
    assert_eq!(stage.pending(), "b1");
    stage.ready("a1");
    assert_eq!(stage.pending(), "b1");
    stage.taken();
    assert_eq!((stage.on_air().as_str(), stage.waiting().as_str()), ("B", "A"));
}

/// Rule 2: those who may be taken first are cued before their first key frame arrives.
#[test]
fn the_first_who_may_become_ready_are_cued() {
    let mut stage = Stage::new();
    for name in ["a1", "b1", "c1"] {
        stage.accepted(name);
    }
    assert_eq!(stage.cued(), ["a1", "b1"]);
    stage.ready("c1");
    assert_eq!(stage.cued(), ["c1", "a1"], "what is kept of the first one is not thrown away");
    stage.taken();
    assert_eq!(stage.cued(), ["c1", "a1", "b1"]);
    stage.ready("b1");
    assert_eq!(stage.cued(), ["c1", "b1", "a1"]);
}

/// Rule 3.
#[test]
fn a_takeover_keeps_place_turn_and_time() {
    let mut stage = Stage::new();
    stage.goes_on_air("a1");
    stage.arrive("b1");
    stage.arrive("c1");
    stage.after(seconds(100));
    assert_eq!(stage.accepted("b2").as_deref(), Some("b1"));
    assert_eq!(stage.waiting(), "BC");
    assert_eq!(stage.queue.next(), Some(stage.entry("C")));
    stage.ready("b2");
    assert_eq!(stage.queue.next(), Some(stage.entry("B")));
    let turn = stage.turn();
    stage.accepted("a2");
    stage.after(seconds(5));
    stage.ready("a2");
    stage.taken();
    assert_eq!((stage.turn(), stage.elapsed()), (turn, seconds(105)));
}

/// Rule 3: until the new connection is ready, the entry on air counts as stalled (rule 8).
#[test]
fn a_takeover_that_never_gets_ready_ends_the_turn_like_a_stall() {
    let mut stage = Stage::new();
    stage.goes_on_air("a1");
    stage.arrive("b1");
    stage.accepted("a2");
    assert_eq!(stage.pending(), "-");
    stage.after(seconds(10));
    // Reconnecting does not prolong it.
    stage.accepted("a3");
    stage.after(seconds(9));
    assert_eq!(stage.pending(), "-");
    stage.after(seconds(1));
    assert_eq!(stage.pending(), "b1");
    stage.taken();
    assert_eq!((stage.why(), stage.closed()), (TurnEnd::Stall, vec!["a3"]));
}

/// Rule 3.
#[test]
fn two_encoders_with_one_key_do_not_throw_each_other_out_for_ever() {
    let mut stage = Stage::new();
    stage.alive = true;
    stage.goes_on_air("a1");
    assert_eq!(stage.accepted("a2").as_deref(), Some("a1"));
    assert_eq!(stage.refused("a3"), Refusal::TakenOver);
    stage.after(seconds(59));
    assert_eq!(stage.refused("a4"), Refusal::TakenOver);
    stage.alive = false;
    assert_eq!(stage.accepted("a5").as_deref(), Some("a2"));
    stage.alive = true;
    assert_eq!(stage.refused("a6"), Refusal::TakenOver);
    stage.after(seconds(60));
    assert_eq!(stage.accepted("a7").as_deref(), Some("a5"));
}

/// Rule 3: an absent place is filled whatever happened before.
#[test]
fn an_absent_place_is_filled_at_once() {
    let mut stage = Stage::new();
    stage.alive = true;
    stage.goes_on_air("a1");
    stage.accepted("a2");
    stage.leaves("a2");
    assert_eq!(stage.accepted("a3"), None);
}

/// Rule 4.
#[test]
fn the_end_of_a_replaced_connection_changes_nothing() {
    let mut stage = Stage::new();
    stage.goes_on_air("a1");
    stage.arrive("b1");
    stage.accepted("a2");
    stage.accepted("b2");
    stage.leaves("a1");
    stage.leaves("b1");
    stage.ready("a2");
    stage.taken();
    assert_eq!((stage.on_air().as_str(), stage.waiting().as_str()), ("A", "B"));
    assert!(stage.runs());
}

/// Rule 5.
#[test]
fn a_waiting_place_is_kept_passed_over_and_then_lost() {
    let mut stage = Stage::new();
    stage.goes_on_air("a1");
    stage.arrive("b1");
    stage.arrive("c1");
    stage.leaves("b1");
    assert_eq!((stage.waiting().as_str(), stage.queue.next()), ("BC", Some(stage.entry("C"))));
    stage.after(seconds(14));
    stage.arrive("b2");
    assert_eq!((stage.waiting().as_str(), stage.queue.next()), ("BC", Some(stage.entry("B"))));
    stage.leaves("b2");
    stage.after(seconds(15));
    assert_eq!(stage.waiting(), "C");
}

/// Rule 5: zero keeps no place.
#[test]
fn without_a_time_to_rejoin_a_lost_connection_is_a_lost_place() {
    let mut stage = Stage::with(QueueSettings { rejoin: seconds(0), ..QueueSettings::default() });
    stage.goes_on_air("a1");
    stage.arrive("b1");
    stage.arrive("c1");
    stage.leaves("b1");
    assert_eq!(stage.waiting(), "C");
    stage.leaves("a1");
    assert_eq!((stage.on_air().as_str(), stage.pending().as_str()), ("-", "c1"));
    assert!(!stage.cleared(), "a take is on its way, and the slate would be seen before it");
    stage.taken();
    stage.leaves("c1");
    assert_eq!((stage.on_air().as_str(), stage.cleared()), ("-", true));
}

/// Rule 5: a waiting connection that stops delivering.
#[test]
fn a_waiting_connection_that_stalls_for_long_is_closed_with_the_reason() {
    let mut stage = Stage::new();
    stage.goes_on_air("a1");
    stage.arrive("b1");
    stage.stalls("b1");
    stage.after(seconds(10));
    stage.recovers("b1");
    stage.after(seconds(100));
    assert!(stage.closed().is_empty());
    stage.stalls("b1");
    stage.after(seconds(20));
    assert_eq!(stage.closed, [("b1".into(), Reason::Stalled { limit: seconds(20) })]);
    assert_eq!(stage.queue.waiting().next().map(|entry| entry.presence), Some(Presence::Absent));
}

/// Rule 6.
#[test]
fn who_loses_the_air_and_comes_back_in_time_is_next_with_the_rest_of_the_turn() {
    let mut stage = Stage::new();
    stage.goes_on_air("a1");
    stage.arrive("b1");
    stage.arrive("c1");
    stage.after(seconds(600));
    stage.leaves("a1");
    assert!(matches!(stage.last[..], [Action::Take { urgency: Urgency::Now, .. }]));
    stage.taken();
    stage.after(seconds(10));
    stage.arrive("a2");
    assert_eq!((stage.on_air().as_str(), stage.waiting().as_str()), ("B", "AC"));
    stage.ordered(Order::Skip { turn: None });
    stage.taken();
    assert_eq!((stage.on_air().as_str(), stage.remaining()), ("A", seconds(3000)));
}

/// Rule 6: at least 60 s, but never more than a turn.
#[test]
fn the_rest_of_a_turn_is_at_least_a_minute_and_at_most_a_turn() {
    for (length, left, rest) in [(3600, 5, 60), (30, 5, 30)] {
        let mut stage = Stage::with(QueueSettings { turn: seconds(length), ..QueueSettings::default() });
        stage.goes_on_air("a1");
        stage.arrive("b1");
        stage.after(seconds(length - left));
        stage.leaves("a1");
        stage.taken();
        stage.arrive("a2");
        stage.ordered(Order::Skip { turn: None });
        stage.taken();
        assert_eq!((stage.on_air().as_str(), stage.remaining()), ("A", seconds(rest)));
    }
}

/// Rule 6: back before the other was taken, the streamer is next as well.
#[test]
fn who_is_back_before_the_take_is_next_and_stays_connected() {
    let mut stage = Stage::new();
    stage.goes_on_air("a1");
    stage.arrive("b1");
    stage.leaves("a1");
    stage.arrive("a2");
    assert_eq!(stage.pending(), "b1");
    stage.taken();
    assert_eq!((stage.on_air().as_str(), stage.waiting().as_str()), ("B", "A"));
    assert!(stage.closed().is_empty());
}

/// Rule 6: later than in time, it is a new entry at the tail.
#[test]
fn who_comes_back_too_late_is_at_the_tail_with_a_whole_turn() {
    let mut stage = Stage::new();
    stage.goes_on_air("a1");
    stage.arrive("b1");
    stage.arrive("c1");
    stage.after(seconds(600));
    stage.leaves("a1");
    stage.taken();
    stage.after(seconds(15));
    stage.arrive("a2");
    assert_eq!(stage.waiting(), "CA");
}

/// Rule 7.
#[test]
fn with_nobody_ready_the_turn_waits_for_its_streamer() {
    let mut stage = Stage::new();
    stage.goes_on_air("a1");
    stage.after(seconds(100));
    stage.leaves("a1");
    assert_eq!((stage.on_air().as_str(), stage.runs()), ("A", false));
    stage.after(seconds(14));
    stage.accepted("a2");
    assert_eq!((stage.on_air().as_str(), stage.runs(), stage.elapsed()), ("A", true, seconds(100)));
    stage.ready("a2");
    assert_eq!(stage.pending(), "a2");
    stage.taken();
    assert!(stage.history.is_empty());
}

/// Rule 7.
#[test]
fn a_suspended_turn_ends_when_its_time_to_rejoin_is_over() {
    let mut stage = Stage::new();
    stage.goes_on_air("a1");
    stage.after(seconds(100));
    stage.leaves("a1");
    stage.after(seconds(15));
    assert_eq!((stage.on_air().as_str(), stage.waiting().as_str(), stage.why()), ("-", "", TurnEnd::Lost));
    assert!(stage.cleared());
    assert_eq!(stage.history[0].on_air, seconds(100));
}

/// Rule 7.
#[test]
fn a_suspended_turn_ends_when_another_is_taken() {
    let mut stage = Stage::new();
    stage.goes_on_air("a1");
    stage.leaves("a1");
    stage.after(seconds(5));
    stage.arrive("b1");
    assert_eq!((stage.on_air().as_str(), stage.pending().as_str()), ("A", "b1"));
    stage.taken();
    assert_eq!((stage.on_air().as_str(), stage.waiting().as_str()), ("B", ""));
}

/// Rule 7: the programme's buffer still holds the end of the connection that was lost.
#[test]
fn what_is_left_of_a_lost_connection_stays_cued() {
    let mut stage = Stage::new();
    stage.goes_on_air("a1");
    stage.leaves("a1");
    assert_eq!(stage.cued(), ["a1"]);
    stage.accepted("a2");
    assert_eq!(stage.cued(), ["a2", "a1"]);
}

/// The streamer's own page.
#[test]
fn who_leaves_by_their_page_is_gone_and_held_off_by_nobody() {
    let mut stage = Stage::with(QueueSettings { block: true, ..QueueSettings::default() });
    stage.goes_on_air("a1");
    stage.arrive("b1");
    stage.ordered(Order::Leave(AccountId(u64::from(b'b'))));
    assert_eq!((stage.waiting().as_str(), stage.closed()), ("", vec!["b1"]));
    stage.arrive("b2");
    stage.ordered(Order::Leave(AccountId(u64::from(b'a'))));
    assert_eq!(stage.pending(), "b2");
    stage.taken();
    assert_eq!((stage.on_air().as_str(), stage.why()), ("B", TurnEnd::Left));
    assert_eq!(stage.closed.last(), Some(&("a1".into(), Reason::Left)));
    stage.accepted("a2");
    stage.ordered(Order::Leave(AccountId(u64::from(b'b'))));
    assert_eq!((stage.on_air().as_str(), stage.cleared()), ("-", true));
}
