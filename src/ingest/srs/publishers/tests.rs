#![expect(clippy::unwrap_used, clippy::panic, clippy::unnecessary_wraps, reason = "tests")]

use super::*;
use crate::ingest::srs::api::{Publishing, Video};

const A: Ticket = 1;
const B: Ticket = 2;

fn at(seconds: f64) -> Moment {
    Moment::from_start(Duration::from_secs_f64(seconds))
}

fn client(id: &str) -> Client {
    Client::new("run1", id)
}

fn wish(id: &str, key: &str) -> Wish {
    Wish {
        client: client(id),
        app: "live".to_owned(),
        key: StreamKey::new(key),
        address: "127.0.0.1".parse().unwrap(),
        lingers: false,
    }
}

fn publishers() -> Publishers {
    Publishers::new(Duration::from_secs(30))
}

fn accept(replaces: Option<&str>) -> Option<PublishVerdict> {
    Some(PublishVerdict::Accept { replaces: replaces.map(|id| client(id).connection()) })
}

fn refuse() -> Option<PublishVerdict> {
    Some(PublishVerdict::Refuse { reason: "no".to_owned() })
}

fn live(id: &str, key: &str, bytes: u64) -> Live {
    let stream = Stream {
        name: key.to_owned(),
        app: "live".to_owned(),
        recv_bytes: bytes,
        publish: Publishing { active: true, cid: None },
        ..Stream::default()
    };
    Live { id: id.into(), stream, address: None }
}

fn snapshot(asked: f64, live: Vec<Live>, gone: &[&str]) -> Snapshot {
    Snapshot { service: "run1".into(), asked: at(asked), live, gone: gone.iter().map(|id| client(id)).collect() }
}

/// What is to be done, in words.
fn done(publishers: &mut Publishers) -> Vec<String> {
    let word = |effect| match effect {
        Effect::Ask(wish) => format!("ask {} {}", wish.client.id, wish.key.expose()),
        Effect::Answer(ticket, Ok(())) => format!("yes {ticket}"),
        Effect::Answer(ticket, Err(_)) => format!("no {ticket}"),
        Effect::Kick { client, watch, lingers } => {
            let how = if watch { " and watch" } else { "" };
            format!("kick {}{how}{}", client.id, if lingers { " later" } else { "" })
        }
        Effect::Clear { client, .. } => format!("clear for {}", client.id),
        Effect::Announce { connection, .. } => format!("announce {connection}"),
        Effect::Withdraw(connection) => format!("withdraw {connection}"),
        Effect::Report(connection, figures) => format!("report {connection} {}", figures.bytes),
        Effect::Trouble(connection, _) => format!("trouble {connection}"),
        Effect::Unpublish(connection) => format!("unpublish {connection}"),
    };
    publishers.effects().into_iter().map(word).map(|text| text.replace("srs-run1-", "")).collect()
}

/// `id` publishes `key` since `since`.
fn accepted(publishers: &mut Publishers, id: &str, key: &str, since: f64) {
    publishers.publish(wish(id, key), A, at(since));
    publishers.verdict(&client(id), accept(None), at(since));
    assert_eq!(done(publishers), [format!("ask {id} {key}"), "yes 1".to_owned(), format!("announce {id}")]);
}

#[test]
fn publish_verdict_unpublish() {
    let mut publishers = publishers();
    accepted(&mut publishers, "a", "k", 0.0);
    assert_eq!(publishers.accepted(), [client("a").connection()]);
    publishers.unpublish(&client("a"), at(5.0));
    assert_eq!(done(&mut publishers), ["withdraw a", "unpublish a"]);
    publishers.unpublish(&client("a"), at(5.1));
    assert!(done(&mut publishers).is_empty());
    // And its publish, late.
    publishers.publish(wish("a", "k"), B, at(5.2));
    assert_eq!(done(&mut publishers), ["no 2"]);
}

#[test]
fn refused_publish_is_answered_and_never_told() {
    let mut publishers = publishers();
    publishers.publish(wish("a", "k"), A, at(0.0));
    publishers.verdict(&client("a"), refuse(), at(0.1));
    assert_eq!(done(&mut publishers), ["ask a k", "no 1"]);
    publishers.unpublish(&client("a"), at(0.2));
    assert!(done(&mut publishers).is_empty());
}

#[test]
fn refused_webrtc_session_is_put_out_because_it_keeps_the_name_taken() {
    let mut publishers = publishers();
    publishers.publish(Wish { lingers: true, ..wish("a", "k") }, A, at(0.0));
    publishers.verdict(&client("a"), refuse(), at(0.1));
    assert_eq!(done(&mut publishers), ["ask a k", "no 1", "kick a later"]);
}

#[test]
fn repeated_hook_shares_the_verdict_and_is_accepted_again() {
    let mut publishers = publishers();
    publishers.publish(wish("a", "k"), A, at(0.0));
    publishers.publish(wish("a", "k"), B, at(0.0));
    publishers.publish(wish("a", "other"), 3, at(0.0));
    publishers.verdict(&client("a"), accept(None), at(0.1));
    publishers.publish(wish("a", "k"), 4, at(0.2));
    publishers.verdict(&client("a"), accept(None), at(0.3));
    assert_eq!(done(&mut publishers), ["ask a k", "no 3", "yes 1", "yes 2", "announce a", "yes 4"]);
}

#[test]
fn unpublish_before_the_verdict_ends_it() {
    for (verdict, told) in [(accept(None), vec!["unpublish a"]), (refuse(), vec![]), (None, vec![])] {
        let mut publishers = publishers();
        publishers.publish(wish("a", "k"), A, at(0.0));
        publishers.unpublish(&client("a"), at(0.1));
        assert_eq!(done(&mut publishers), ["ask a k", "no 1"]);
        publishers.publish(wish("a", "k"), B, at(0.1));
        assert_eq!(done(&mut publishers), ["no 2"]);
        publishers.verdict(&client("a"), verdict, at(0.2));
        assert_eq!(done(&mut publishers), told);
        assert!(publishers.accepted().is_empty());
    }
}

#[test]
fn takeover_waits_until_the_old_one_is_gone() {
    let mut publishers = publishers();
    accepted(&mut publishers, "old", "k", 0.0);
    publishers.publish(wish("new", "k"), B, at(10.0));
    publishers.verdict(&client("new"), accept(Some("old")), at(10.0));
    assert_eq!(done(&mut publishers), ["ask new k", "kick old and watch"]);
    publishers.tick(at(10.1));
    assert!(done(&mut publishers).is_empty());
    publishers.unpublish(&client("old"), at(10.2));
    assert_eq!(done(&mut publishers), ["withdraw old", "unpublish old", "clear for new"]);
    publishers.cleared(&client("new"), at(10.4));
    assert_eq!(done(&mut publishers), ["yes 2", "announce new"]);
    publishers.cleared(&client("new"), at(10.5));
    assert!(done(&mut publishers).is_empty());
}

#[test]
fn encoder_that_is_back_at_once_waits_until_its_old_stream_has_settled() {
    let mut publishers = publishers();
    accepted(&mut publishers, "a", "k", 0.0);
    publishers.unpublish(&client("a"), at(10.0));
    done(&mut publishers);
    for (id, key, now, expected) in [
        ("b", "k", 10.5, vec!["ask b k", "clear for b"]),
        ("c", "l", 10.6, vec!["ask c l", "yes 2", "announce c"]),
        ("d", "k", 14.0, vec!["ask d k", "yes 2", "announce d"]),
    ] {
        publishers.publish(wish(id, key), B, at(now));
        publishers.verdict(&client(id), accept(None), at(now));
        assert_eq!(done(&mut publishers), expected);
    }
    // It is not waited for without end.
    assert_eq!(publishers.next_deadline(), Some(at(10.5) + SETTLE_LIMIT));
    publishers.tick(at(11.4));
    assert_eq!(done(&mut publishers), ["yes 2", "announce b"]);
}

#[test]
fn takeover_waits_two_seconds_at_most() {
    let mut publishers = publishers();
    accepted(&mut publishers, "old", "k", 0.0);
    publishers.publish(wish("new", "k"), B, at(10.0));
    publishers.verdict(&client("new"), accept(Some("old")), at(10.0));
    done(&mut publishers);
    assert_eq!(publishers.next_deadline(), Some(at(12.0)));
    publishers.tick(at(12.0));
    assert_eq!(done(&mut publishers), ["withdraw old", "unpublish old", "clear for new"]);
    publishers.tick(at(12.8));
    assert_eq!(done(&mut publishers), ["yes 2", "announce new"]);
    assert_eq!(publishers.next_deadline(), None);
    publishers.unpublish(&client("old"), at(13.0));
    assert!(done(&mut publishers).is_empty());
}

#[test]
fn takeover_from_one_that_is_gone_is_let_in_at_once() {
    let mut publishers = publishers();
    publishers.publish(wish("new", "k"), A, at(0.0));
    publishers.verdict(&client("new"), accept(Some("old")), at(0.0));
    assert_eq!(done(&mut publishers), ["ask new k", "yes 1", "announce new"]);
}

#[test]
fn third_encoder_waits_for_the_first_when_the_second_never_began() {
    let mut publishers = publishers();
    accepted(&mut publishers, "one", "k", 0.0);
    publishers.publish(wish("two", "k"), 2, at(10.0));
    publishers.verdict(&client("two"), accept(Some("one")), at(10.0));
    publishers.publish(wish("three", "k"), 3, at(10.1));
    publishers.verdict(&client("three"), accept(Some("two")), at(10.1));
    assert_eq!(
        done(&mut publishers),
        ["ask two k", "kick one and watch", "ask three k", "no 2", "unpublish two", "kick one and watch"]
    );
    publishers.unpublish(&client("one"), at(10.2));
    assert_eq!(done(&mut publishers), ["withdraw one", "unpublish one", "clear for three"]);
    // And a fourth, before the third began.
    publishers.publish(wish("four", "k"), 4, at(10.3));
    publishers.verdict(&client("four"), accept(Some("three")), at(10.3));
    assert_eq!(done(&mut publishers), ["ask four k", "no 3", "unpublish three", "clear for four"]);
    publishers.disconnect(&client("four").connection(), at(10.4));
    assert_eq!(done(&mut publishers), ["no 4", "unpublish four", "kick four later"]);
}

#[test]
fn disconnect_that_overtakes_its_verdict_puts_out() {
    let mut publishers = publishers();
    publishers.publish(wish("a", "k"), A, at(0.0));
    publishers.disconnect(&client("a").connection(), at(0.1));
    publishers.verdict(&client("a"), accept(None), at(0.2));
    assert_eq!(done(&mut publishers), ["ask a k", "no 1", "unpublish a", "kick a later"]);
}

#[test]
fn disconnected_one_that_stays_is_told_again() {
    let mut publishers = publishers();
    accepted(&mut publishers, "a", "k", 0.0);
    publishers.disconnect(&client("a").connection(), at(10.0));
    assert_eq!(done(&mut publishers), ["kick a and watch"]);
    publishers.snapshot(snapshot(11.0, vec![live("a", "k", 0)], &[]), false, at(11.0));
    assert_eq!(done(&mut publishers), ["report a 0"]);
    publishers.snapshot(snapshot(15.0, vec![live("a", "k", 0)], &[]), false, at(15.0));
    assert_eq!(done(&mut publishers), ["report a 0", "kick a and watch"]);
    publishers.unpublish(&client("a"), at(16.0));
    assert_eq!(done(&mut publishers), ["withdraw a", "unpublish a"]);
}

#[test]
fn stream_that_srs_receives_and_hands_to_nobody_connects_anew() {
    let mut publishers = publishers();
    let id = client("a").connection();
    accepted(&mut publishers, "a", "k", 0.0);
    publishers.unheard(&id, at(1.0));
    assert!(done(&mut publishers).is_empty(), "SRS has not said that it receives anything");
    publishers.snapshot(snapshot(4.0, vec![live("a", "k", 4000)], &[]), false, at(4.0));
    publishers.unheard(&id, at(4.0));
    assert_eq!(done(&mut publishers), ["report a 4000"], "words about the stream are no stream");
    publishers.snapshot(snapshot(7.0, vec![live("a", "k", 1_000_000)], &[]), false, at(7.0));
    publishers.unheard(&id, at(7.0));
    publishers.unheard(&id, at(7.0));
    let told: Vec<_> = done(&mut publishers).into_iter().skip(1).collect();
    assert_eq!(told, ["trouble a", "kick a and watch"], "once");
    publishers.unpublish(&client("a"), at(7.1));
    assert_eq!(done(&mut publishers), ["withdraw a", "unpublish a"]);
}

#[test]
fn silent_stream_is_not_taken_for_a_lost_one() {
    let mut publishers = publishers();
    accepted(&mut publishers, "a", "k", 0.0);
    publishers.snapshot(snapshot(4.0, vec![live("a", "k", 1_000_000)], &[]), false, at(4.0));
    publishers.snapshot(snapshot(9.0, vec![live("a", "k", 1_000_000)], &[]), false, at(9.0));
    drop(done(&mut publishers));
    publishers.unheard(&client("a").connection(), at(9.0));
    assert!(done(&mut publishers).is_empty());
}

#[test]
fn busy_stream_after_our_yes_heals_by_the_list() {
    let mut publishers = publishers();
    accepted(&mut publishers, "a", "k", 10.0);
    // Asked for too soon to say anything.
    publishers.snapshot(snapshot(10.5, vec![], &["a"]), false, at(10.6));
    assert!(done(&mut publishers).is_empty());
    publishers.snapshot(snapshot(15.0, vec![], &["a"]), false, at(15.1));
    assert_eq!(done(&mut publishers), ["trouble a", "withdraw a", "unpublish a"]);
}

#[test]
fn lost_unpublish_hook_heals_by_the_list() {
    let mut publishers = publishers();
    accepted(&mut publishers, "a", "k", 10.0);
    publishers.snapshot(snapshot(15.0, vec![live("a", "k", 5)], &[]), false, at(15.1));
    publishers.snapshot(snapshot(20.0, vec![], &["a"]), false, at(20.1));
    assert_eq!(done(&mut publishers), ["report a 5", "withdraw a", "unpublish a"]);
}

#[test]
fn lost_publish_hook_heals_by_the_list() {
    let mut publishers = publishers();
    publishers.snapshot(snapshot(5.0, vec![live("a", "k", 7), live("b", "l", 0)], &[]), false, at(5.1));
    assert_eq!(done(&mut publishers), ["ask a k", "ask b l"]);
    assert!(publishers.accepted().is_empty());
    publishers.verdict(&client("a"), accept(None), at(5.2));
    publishers.verdict(&client("b"), refuse(), at(5.2));
    assert_eq!(done(&mut publishers), ["announce a", "kick b"]);
    publishers.snapshot(snapshot(10.0, vec![live("a", "k", 70), live("b", "l", 0)], &[]), false, at(10.1));
    assert_eq!(done(&mut publishers), ["report a 70", "kick b"]);
}

#[test]
fn list_that_is_older_than_a_hook_changes_nothing() {
    let mut publishers = publishers();
    accepted(&mut publishers, "a", "k", 4.0);
    publishers.unpublish(&client("a"), at(5.05));
    done(&mut publishers);
    accepted(&mut publishers, "b", "l", 5.06);
    publishers.snapshot(snapshot(5.0, vec![live("a", "k", 0)], &["b"]), false, at(5.1));
    assert!(done(&mut publishers).is_empty());
}

#[test]
fn who_was_there_before_the_box_is_listed_and_then_asked_for() {
    let mut publishers = publishers();
    publishers.snapshot(snapshot(0.1, vec![live("a", "k", 0), live("b", "l", 0)], &[]), true, at(0.2));
    let mut listed = publishers.accepted();
    listed.sort();
    assert_eq!(listed, [client("a").connection(), client("b").connection()]);
    assert_eq!(done(&mut publishers), ["ask a k", "ask b l"]);
    publishers.verdict(&client("a"), accept(None), at(0.3));
    // As for everybody of whom the queue knows nothing after a restart.
    publishers.disconnect(&client("b").connection(), at(0.3));
    publishers.verdict(&client("b"), refuse(), at(0.3));
    assert_eq!(done(&mut publishers), ["announce a", "kick b and watch", "unpublish b", "kick b"]);
}

#[test]
fn listed_one_that_goes_before_its_verdict_is_told_once() {
    for verdict in [accept(None), refuse(), None] {
        let mut publishers = publishers();
        publishers.snapshot(snapshot(0.1, vec![live("a", "k", 0)], &[]), true, at(0.2));
        publishers.unpublish(&client("a"), at(0.3));
        assert_eq!(done(&mut publishers), ["ask a k", "unpublish a"]);
        publishers.verdict(&client("a"), verdict, at(0.4));
        assert!(done(&mut publishers).is_empty());
    }
}

#[test]
fn another_run_of_srs_ends_everybody_of_the_last_one() {
    let mut publishers = publishers();
    accepted(&mut publishers, "a", "k", 0.0);
    let again = Wish { client: Client::new("run2", "a"), ..wish("a", "k") };
    publishers.publish(again.clone(), B, at(5.0));
    publishers.run_changed("run2", at(5.1), at(5.1));
    assert_eq!(done(&mut publishers), ["ask a k", "withdraw a", "unpublish a"]);
    publishers.verdict(&again.client, accept(None), at(5.2));
    assert_eq!(done(&mut publishers), ["yes 2", "announce srs-run2-a"]);
    // A list of the old run, late.
    publishers.snapshot(snapshot(4.9, vec![live("a", "k", 0)], &[]), false, at(5.3));
    assert!(done(&mut publishers).is_empty());
}

#[test]
fn server_that_is_down_has_nobody() {
    let mut publishers = publishers();
    accepted(&mut publishers, "a", "k", 0.0);
    publishers.publish(wish("b", "l"), B, at(1.0));
    done(&mut publishers);
    publishers.down(at(2.0));
    let mut told = done(&mut publishers);
    told.sort();
    assert_eq!(told, ["no 2", "unpublish a", "withdraw a"]);
    publishers.verdict(&client("b"), accept(None), at(2.1));
    assert_eq!(done(&mut publishers), ["unpublish b"]);
}

#[test]
fn unsupported_codec_is_told_and_put_out() {
    let mut publishers = publishers();
    accepted(&mut publishers, "a", "k", 0.0);
    let mut hevc = live("a", "k", 0);
    hevc.stream.video = Some(Video { codec: "HEVC".to_owned(), ..Video::default() });
    publishers.snapshot(snapshot(5.0, vec![hevc.clone()], &[]), false, at(5.0));
    assert_eq!(done(&mut publishers), ["report a 0", "trouble a", "kick a and watch"]);
    publishers.snapshot(snapshot(6.0, vec![hevc], &[]), false, at(6.0));
    assert_eq!(done(&mut publishers), ["report a 0"]);
}

#[test]
fn silence_is_told_and_a_plain_end_is_not() {
    for (end, troubled) in [(12.0, false), (40.0, true)] {
        let mut publishers = publishers();
        accepted(&mut publishers, "a", "k", 0.0);
        let mut now = 5.0;
        while now < end {
            publishers.snapshot(snapshot(now, vec![live("a", "k", 1000)], &[]), false, at(now));
            now += 5.0;
        }
        done(&mut publishers);
        publishers.unpublish(&client("a"), at(end));
        assert_eq!(done(&mut publishers).first().unwrap() == "trouble a", troubled, "{end}");
    }
}

#[test]
fn figures_are_wanted_often_of_the_new_and_the_guarded() {
    let mut publishers = publishers();
    assert!(!publishers.is_watched(at(0.0)));
    accepted(&mut publishers, "old", "k", 0.0);
    assert!(publishers.is_watched(at(3.0)));
    assert!(!publishers.is_watched(at(10.0)));
    publishers.publish(wish("new", "k"), B, at(10.0));
    publishers.verdict(&client("new"), accept(Some("old")), at(10.0));
    publishers.unpublish(&client("old"), at(10.1));
    publishers.cleared(&client("new"), at(10.3));
    assert!(publishers.is_watched(at(70.0)));
    assert!(!publishers.is_watched(at(81.0)));
}

#[test]
fn room_is_made_for_webrtc_where_a_takeover_would_be_let_in() {
    let mut publishers = publishers();
    let key = StreamKey::new("k");
    assert_eq!(publishers.make_room("live", &key, at(0.0), at(0.0)), Obstacle::None);
    accepted(&mut publishers, "old", "k", 0.0);
    assert_eq!(publishers.make_room("live", &StreamKey::new("l"), at(9.0), at(9.0)), Obstacle::None);
    let going = vec![client("old")];
    assert_eq!(publishers.make_room("live", &key, at(9.0), at(9.0)), Obstacle::Going(going.clone()));
    assert_eq!(done(&mut publishers), ["kick old and watch"]);
    assert!(publishers.has_any(&going));
    publishers.unpublish(&client("old"), at(9.1));
    assert!(!publishers.has_any(&going));
    publishers.publish(wish("refused", "k"), B, at(10.0));
    assert_eq!(publishers.make_room("live", &key, at(9.9), at(10.0)), Obstacle::Stays);
    publishers.verdict(&client("refused"), refuse(), at(10.0));
    let Obstacle::Refused(reason) = publishers.make_room("live", &key, at(9.9), at(10.1)) else { panic!("room") };
    assert_eq!(&*reason, "no");
    assert_eq!(publishers.make_room("live", &key, at(11.0), at(11.1)), Obstacle::None);
}

#[test]
fn second_takeover_by_webrtc_is_refused_while_the_first_delivers() {
    let mut publishers = publishers();
    let key = StreamKey::new("k");
    accepted(&mut publishers, "old", "k", 0.0);
    publishers.publish(wish("new", "k"), B, at(10.0));
    publishers.verdict(&client("new"), accept(Some("old")), at(10.0));
    publishers.unpublish(&client("old"), at(10.1));
    publishers.cleared(&client("new"), at(10.3));
    for (now, bytes) in [(11.0, 0), (14.0, 500), (17.0, 1000)] {
        publishers.snapshot(snapshot(now, vec![live("new", "k", bytes)], &[]), false, at(now));
    }
    assert_eq!(publishers.make_room("live", &key, at(18.0), at(18.0)), Obstacle::Stays);
    assert_eq!(publishers.make_room("live", &key, at(30.0), at(30.0)), Obstacle::Going(vec![client("new")]));
}

#[test]
fn what_is_remembered_is_bounded() {
    let mut publishers = publishers();
    for number in 0..3 * OVER_KEPT {
        publishers.unpublish(&client(&format!("c{number}")), at(1.0));
    }
    assert_eq!(publishers.over.len(), OVER_KEPT);
    assert!(done(&mut publishers).is_empty());
}
