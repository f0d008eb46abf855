//! The night's orders.

use super::*;
use crate::{
    control::{night, people},
    core::queue::TurnId,
};

#[tokio::test]
async fn switches_of_the_night_switch_and_are_noted() {
    let mut room = Room::open(&[]).await;
    let opa = Caller::Account(room.account("Opa", Role::Operator).await);
    for (on, word) in [(true, "on"), (false, "off")] {
        let order = room.order(&opa, async |control, by| night::set_hold(control, by, on).await).await;
        order.done_quietly(&format!("Opa queue.hold {word}"));
        let order = room.order(&opa, async |control, by| night::set_slate(control, by, on).await).await;
        order.done_quietly(&format!("Opa queue.slate {word}"));
        let order = room.order(&opa, async |control, by| night::switch_block(control, by, Some(on)).await).await;
        assert_eq!(order.done_quietly(&format!("Opa queue.block {word}")), on);
        let order = room.order(&opa, async |control, by| night::switch_show(control, by, on).await).await;
        order.done_quietly(&format!("Opa show {word}"));
        room.until(|queue| [queue.hold, queue.forced_slate, queue.block, queue.show] == [on; 4]).await;
    }
    let toggle = room.order(&opa, async |control, by| night::switch_block(control, by, None).await).await;
    assert!(toggle.done_quietly("Opa queue.block the other way"));
    let turn = async |room: &mut Room, seconds: i64| {
        room.order(&opa, async |control, by| night::change_turn(control, by, seconds, true).await).await
    };
    turn(&mut room, -1).await.denied("", "a turn lasts");
    turn(&mut room, 0).await.denied("Opa queue.turn 0 s, afresh", "seconds");
    assert_eq!(turn(&mut room, 900).await.done_quietly("Opa queue.turn 900 s, afresh"), 900);
    room.until(|queue| queue.turn_seconds == 900).await;
}

#[tokio::test]
async fn turns_are_ordered_changed_and_ended() {
    let mut room = Room::open(&[]).await;
    let skip = async |room: &mut Room, turn: Option<TurnId>| {
        room.order(&Caller::Token, async |control, by| night::skip(control, by, turn).await).await
    };
    skip(&mut room, None).await.denied("admin.token queue.skip", "no such turn");
    let (ada, _) = room.waits("Ada").await;
    let _camera = Camera::start(room.parts(), "Ada").await;
    room.until(|queue| queue.on_air.as_ref().is_some_and(|turn| turn.entry.account == ada)).await;
    let (bob, second) = room.waits("Bob").await;
    let (_, third) = room.waits("Cy").await;

    let move_before = async |room: &mut Room, id: EntryId, before: Option<EntryId>| {
        room.order(&Caller::Token, async |control, by| night::move_before(control, by, id, before).await).await
    };
    move_before(&mut room, third, Some(EntryId(77))).await.denied("admin.token queue.move Cy", "no such entry");
    move_before(&mut room, third, Some(second)).await.done_quietly("admin.token queue.move Cy");
    room.until(|queue| queue.waiting.iter().map(|entry| entry.id).eq([third, second])).await;

    let take = async |room: &mut Room, id: EntryId| {
        room.order(&Caller::Token, async |control, by| night::put_on_air(control, by, id).await).await
    };
    take(&mut room, second).await.denied("admin.token queue.take Bob", "ready");
    take(&mut room, EntryId(77)).await.denied("admin.token queue.take", "no such entry");

    let kick = async |room: &mut Room, id: EntryId| {
        room.order(&Caller::Token, async |control, by| night::kick(control, by, id).await).await
    };
    let lift = async |room: &mut Room, id: AccountId| {
        room.order(&Caller::Token, async |control, by| people::lift_hold_off(control, by, id).await).await
    };
    lift(&mut room, bob).await.denied("admin.token account.lift-hold-off Bob", "no such hold-off");
    lift(&mut room, AccountId(77)).await.denied("admin.token account.lift-hold-off", "no such account");
    kick(&mut room, second).await.done_quietly("admin.token queue.kick Bob");
    room.until(|queue| queue.waiting.iter().map(|entry| entry.id).eq([third])).await;
    assert!(!publish(room.parts(), &room.whole.ingest, bob, "held off").await);
    kick(&mut room, second).await.denied("admin.token queue.kick", "no such entry");
    lift(&mut room, bob).await.done_quietly("admin.token account.lift-hold-off Bob");
    assert!(publish(room.parts(), &room.whole.ingest, bob, "back").await);

    let turn = room.control.snapshot().queue.on_air.as_ref().map(|turn| turn.id).unwrap();
    let this_turn = async |room: &mut Room, turn: TurnId, seconds: i64| {
        room.order(&Caller::Token, async |control, by| night::change_this_turn(control, by, turn, seconds).await).await
    };
    this_turn(&mut room, turn, -1).await.denied("", "a turn lasts");
    this_turn(&mut room, TurnId(turn.0 + 1), 60).await.denied("admin.token queue.this-turn Ada, 60 s", "already over");
    this_turn(&mut room, turn, 600).await.done_quietly("admin.token queue.this-turn Ada, 600 s");
    room.until(|queue| queue.on_air.as_ref().is_some_and(|turn| (turn.length_seconds - 600.0).abs() < 1.0)).await;
    skip(&mut room, Some(TurnId(turn.0 + 1))).await.denied("admin.token queue.skip Ada", "already over");
    skip(&mut room, Some(turn)).await.done_quietly("admin.token queue.skip Ada");
    room.until(|queue| queue.on_air.is_none()).await;
}
