//! What encoders do, and what must be seen of it.

use std::{
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

use motherstream::core::frame::ConnectionId;

use crate::{
    support::seconds,
    venue::{Guest, Kind, Seen, Venue},
};

/// Longer than any test.
const LONG: Duration = seconds(60);

/// The whole of a connection that was let in.
fn life(id: &ConnectionId, key: &str) -> [Seen; 4] {
    let id = id.clone();
    [Seen::Publish(id.clone(), key.to_owned()), Seen::Opened(id.clone()), Seen::Closed(id.clone()), Seen::Unpublish(id)]
}

/// The whole of one that was not.
fn knock(id: &ConnectionId, key: &str) -> [Seen; 1] {
    [Seen::Publish(id.clone(), key.to_owned())]
}

pub(crate) fn an_encoder_is_let_in_and_ends_cleanly(kind: Kind) {
    let venue = kind.open(LONG);
    let (guest, id) = venue.guest("key");
    assert_eq!(venue.story(&id), life(&id, "key")[..2]);
    assert_eq!(venue.connections(), std::slice::from_ref(&id));
    guest.stop();
    venue.unpublished_within(&id, seconds(2));
    assert_eq!(venue.story(&id), life(&id, "key"));
    assert_eq!(venue.seen().len(), 4);
    assert!(venue.connections().is_empty());
}

pub(crate) fn a_killed_encoder_is_unpublished_at_once(kind: Kind) {
    let venue = kind.open(LONG);
    let (guest, id) = venue.guest("key");
    guest.kill();
    venue.unpublished_within(&id, seconds(2));
    assert_eq!(venue.story(&id), life(&id, "key"));
}

pub(crate) fn a_refused_encoder_is_told_and_never_unpublished(kind: Kind) {
    let venue = kind.open(LONG);
    assert!(venue.publish("live", "refuse-me").is_err());
    let id = venue.published("refuse-me");
    assert!(venue.publish("live", "refuse-me").is_err());
    let again = venue.published("refuse-me");
    assert_ne!(id, again, "another publish is another connection");
    assert_eq!(venue.story(&id), knock(&id, "refuse-me"));
    assert_eq!(venue.story(&again), knock(&again, "refuse-me"));
    assert!(venue.connections().is_empty());
}

pub(crate) fn a_verdict_that_never_comes_refuses(kind: Kind) {
    let venue = kind.open(LONG);
    let begin = Instant::now();
    assert!(venue.publish("live", "drop-me").is_err());
    assert!(begin.elapsed() < seconds(5), "a dropped verdict is one at once");
    let id = venue.published("drop-me");
    assert_eq!(venue.story(&id), knock(&id, "drop-me"));
    assert!(venue.connections().is_empty());
    // A slow one is waited for.
    let (guest, id) = venue.guest("slow-key");
    guest.stop();
    venue.unpublished(&id);
    assert_eq!(venue.story(&id), life(&id, "slow-key"));
}

pub(crate) fn another_application_is_asked_for_as_such(kind: Kind) {
    let venue = kind.open(LONG);
    assert!(venue.publish("other", "key").is_err());
    // An ingest may know by itself that nobody publishes there; if it asks, then with the name.
    assert!(venue.apps().iter().all(|app| app == "other"), "{:?}", venue.apps());
    assert!(venue.seen().iter().all(|seen| matches!(seen, Seen::Publish(..))), "{:?}", venue.seen());
    assert!(venue.connections().is_empty());
    let (_guest, id) = venue.guest("key");
    assert_eq!(venue.connections(), [id]);
}

/// The second of two with one key, which takes over.
#[track_caller]
fn takes_over(venue: &Venue, mut old: Guest, old_id: &ConnectionId) {
    let begin = Instant::now();
    let (mut new, new_id) = venue.guest("key");
    // An old connection is waited for, 2 s at most.
    assert!(begin.elapsed() < seconds(3), "a takeover took {:?}", begin.elapsed());
    assert_ne!(*old_id, new_id);
    venue.unpublished_within(old_id, Duration::from_millis(100));
    let seen = venue.seen();
    let place = |wanted: &Seen| seen.iter().position(|seen| seen == wanted).unwrap();
    let (gone, there) = (place(&Seen::Closed(old_id.clone())), place(&Seen::Opened(new_id.clone())));
    assert!(gone < there, "the new one was in before the old one was gone: {seen:#?}");
    old.is_disconnected();
    assert!(new.is_connected());
    assert_eq!(venue.story(old_id), life(old_id, "key"));
    assert_eq!(venue.story(&new_id), life(&new_id, "key")[..2]);
    assert_eq!(venue.connections(), std::slice::from_ref(&new_id));
    new.stop();
    venue.unpublished(&new_id);
    assert_eq!(venue.story(&new_id), life(&new_id, "key"));
    assert_eq!(venue.story(old_id), life(old_id, "key"));
}

pub(crate) fn the_same_key_takes_over_and_the_old_one_is_gone_before_the_new_one_is_in(kind: Kind) {
    let venue = kind.open(LONG);
    let (old, old_id) = venue.guest("key");
    takes_over(&venue, old, &old_id);
}

pub(crate) fn a_frozen_encoder_is_taken_over_from(kind: Kind) {
    let venue = kind.open(LONG);
    let (old, old_id) = venue.guest("key");
    old.freeze();
    thread::sleep(seconds(1));
    takes_over(&venue, old, &old_id);
}

/// As the one on air is: media pulls it while another encoder comes for its key, again and again.
pub(crate) fn an_encoder_that_media_pulls_is_taken_over_from(kind: Kind) {
    let venue = kind.open(LONG);
    let (mut old, mut old_id) = venue.guest("key");
    for _ in 0..4 {
        let _player = venue.play(&old_id);
        old.media();
        thread::sleep(Duration::from_millis(500));
        takes_over(&venue, old, &old_id);
        // The newcomer of the takeover has left.
        (old, old_id) = venue.guest("key");
    }
}

pub(crate) fn a_refused_second_encoder_leaves_the_first_alone(kind: Kind) {
    let venue = kind.open(LONG);
    let (mut first, id) = venue.guest("only-one");
    assert!(venue.publish("live", "only-one").is_err());
    let second = venue.published("only-one");
    assert_ne!(id, second);
    assert_eq!(venue.story(&second), knock(&second, "only-one"));
    assert!(first.is_connected());
    assert_eq!(venue.story(&id), life(&id, "only-one")[..2]);
    assert_eq!(venue.connections(), [id]);
}

pub(crate) fn a_disconnect_ends_one_connection_and_is_told_once(kind: Kind) {
    let venue = kind.open(LONG);
    let ((mut guest, id), (mut other, other_id)) = (venue.guest("key"), venue.guest("other"));
    venue.disconnect(&id, "your turn is over");
    venue.disconnect(&id, "twice");
    venue.unpublished_within(&id, seconds(3));
    guest.is_disconnected();
    venue.disconnect(&id, "a third time");
    assert_eq!(venue.story(&id), life(&id, "key"));
    assert!(other.is_connected());
    assert_eq!(venue.connections(), [other_id]);
    // Whoever was disconnected may come back.
    let (_guest, again) = venue.guest("key");
    assert_eq!(venue.story(&again), life(&again, "key")[..2]);
}

pub(crate) fn a_disconnect_of_nobody_changes_nothing(kind: Kind) {
    let venue = kind.open(LONG);
    let (mut guest, id) = venue.guest("key");
    let (left, left_id) = venue.guest("left");
    left.stop();
    venue.unpublished(&left_id);
    venue.disconnect(&left_id, "gone long ago");
    venue.disconnect(&ConnectionId::new("nobody"), "never there");
    venue.disconnect(&ConnectionId::new("../../etc/passwd?x=1#y"), "not even a name");
    assert!(venue.publish("live", "refuse-me").is_err());
    venue.disconnect(&venue.published("refuse-me"), "refused before");
    assert_eq!(venue.story(&left_id), life(&left_id, "left"));
    assert_eq!(venue.connections(), [id]);
    assert!(guest.is_connected());
    assert_eq!(venue.seen().iter().filter(|seen| matches!(seen, Seen::Unpublish(_))).count(), 1);
}

pub(crate) fn fifty_encoders_come_and_go_at_once(kind: Kind) {
    let venue = kind.open(LONG);
    let guests = Mutex::new(Vec::new());
    thread::scope(|scope| {
        // Ten knock at a time: from one address no more than sixteen may that nobody has let in yet.
        for five in 0..10 {
            let (venue, guests) = (&venue, &guests);
            scope.spawn(move || {
                for n in 5 * five..5 * (five + 1) {
                    let guest = venue.publish("live", &format!("key-{n}")).unwrap();
                    guests.lock().unwrap().push(guest);
                }
            });
        }
    });
    let mut ids: Vec<_> = (0..50).map(|n| venue.published(&format!("key-{n}"))).collect();
    ids.sort();
    assert_eq!(venue.connections(), ids);
    let guests = guests.into_inner().unwrap();
    thread::scope(|scope| {
        for (n, guest) in guests.into_iter().enumerate() {
            scope.spawn(move || if n % 2 == 0 { guest.stop() } else { guest.kill() });
        }
    });
    for id in &ids {
        venue.unpublished(id);
    }
    thread::sleep(Duration::from_millis(200));
    let count = |wanted: fn(&Seen) -> bool| venue.seen().iter().filter(|seen| wanted(seen)).count();
    assert_eq!(count(|seen| matches!(seen, Seen::Publish(..))), 50);
    assert_eq!(count(|seen| matches!(seen, Seen::Unpublish(_))), 50);
    assert!(venue.connections().is_empty());
}

pub(crate) fn connections_are_those_that_were_let_in(kind: Kind) {
    let venue = kind.open(LONG);
    let mut kept = Vec::new();
    for n in 0..25 {
        kept.push(venue.guest(&format!("key-{n}")));
    }
    assert!(venue.publish("live", "refuse-me").is_err());
    let (left, left_id) = venue.guest("left");
    left.kill();
    venue.unpublished(&left_id);
    thread::scope(|scope| {
        let waiting = scope.spawn(|| venue.publish("live", "slow-one").unwrap());
        let pending = venue.published("slow-one");
        let mut ids: Vec<_> = kept.iter().map(|(_, id)| id.clone()).collect();
        ids.sort();
        assert_eq!(venue.connections(), ids, "one that waits for its verdict is none yet");
        let _guest = waiting.join().unwrap();
        ids.push(pending);
        ids.sort();
        assert_eq!(venue.connections(), ids);
    });
}

pub(crate) fn a_silent_encoder_is_dropped_after_the_limit_and_no_sooner(kind: Kind) {
    let limit = seconds(5);
    let venue = kind.open(limit);
    let begin = Instant::now();
    let (mut guest, id) = venue.guest("key");
    guest.freeze();
    venue.unpublished_within(&id, limit + seconds(10));
    let lasted = begin.elapsed();
    assert!(lasted >= limit, "dropped after {lasted:?}, before {limit:?} had passed");
    assert!(lasted < limit + seconds(6), "dropped only after {lasted:?}");
    guest.is_disconnected();
    // Who knows why it ended says so first.
    let mut story = venue.story(&id);
    story.retain(|seen| !matches!(seen, Seen::Trouble(..)));
    assert_eq!(story, life(&id, "key"));
}

pub(crate) fn an_encoder_that_comes_back_is_another_connection(kind: Kind) {
    let venue = kind.open(LONG);
    let mut ids = Vec::new();
    for round in 0..5 {
        let (guest, id) = venue.guest("key");
        assert!(!ids.contains(&id), "a name is never used twice");
        if round % 2 == 0 {
            guest.stop();
        } else {
            guest.kill();
        }
        venue.unpublished(&id);
        ids.push(id);
    }
    for id in &ids {
        assert_eq!(venue.story(id), life(id, "key"));
    }
}

pub(crate) fn a_stop_of_the_box_unpublishes_nobody(kind: Kind) {
    let venue = kind.open(LONG);
    let (mut guest, id) = venue.guest("key");
    venue.stop();
    thread::sleep(Duration::from_millis(300));
    assert!(!venue.seen().contains(&Seen::Unpublish(id)), "the queue keeps the place for the restart");
    if kind == Kind::Embedded {
        guest.is_disconnected();
    } else {
        assert!(guest.is_connected(), "SRS outlives the box");
    }
}
