//! What only SRS can do: hooks that are lost, late, doubled or forged, an API that fails, a process that ends.

use std::{
    collections::BTreeMap,
    thread,
    time::{Duration, Instant},
};

use motherstream::core::frame::ConnectionId;
use serde_json::json;

use crate::{
    support::{
        real_srs, seconds,
        simulated_srs::{Answers, Refusal, SimulatedSrs, post},
        wait,
    },
    venue::{Kind, Seen, Venue},
};

const LONG: Duration = seconds(60);

/// The truth is asked for every 5 s; the rest is the machine's.
const HEALED: Duration = seconds(8);

fn sim(venue: &Venue) -> &SimulatedSrs {
    venue.sim.as_ref().unwrap()
}

/// How often each thing happened to each connection: publishes, inputs opened and closed, unpublishes.
fn counts(venue: &Venue) -> BTreeMap<ConnectionId, [u32; 4]> {
    let mut counts: BTreeMap<_, [u32; 4]> = BTreeMap::new();
    for seen in venue.seen() {
        let (id, index) = match seen {
            Seen::Publish(id, _) => (id, 0),
            Seen::Opened(id) => (id, 1),
            Seen::Closed(id) => (id, 2),
            Seen::Unpublish(id) => (id, 3),
            Seen::Trouble(..) => continue,
        };
        counts.entry(id).or_default()[index] += 1;
    }
    counts
}

/// Waits until the ingest's connections are those that SRS has, and checks that nothing was told twice.
#[track_caller]
fn agrees(venue: &Venue, patience: Duration) {
    let truth = || {
        let mut live = sim(venue).live();
        live.sort();
        live
    };
    venue.until("agreement with SRS", patience, |_| {
        let connections = venue.connections();
        let mut ids: Vec<_> =
            connections.iter().map(|id| id.to_string().rsplit('-').next().unwrap().to_owned()).collect();
        ids.sort();
        (ids == truth()).then_some(())
    });
    thread::sleep(Duration::from_millis(150));
    let connections = venue.connections();
    for (id, [published, opened, closed, unpublished]) in counts(venue) {
        let alive = connections.contains(&id);
        let now = format!("{id}: {published} {opened} {closed} {unpublished}, alive {alive}: {:#?}", venue.seen());
        assert_eq!(published, 1, "{now}");
        assert!(opened <= 1 && closed <= opened && unpublished <= 1, "{now}");
        assert_eq!(alive, opened == 1 && unpublished == 0, "{now}");
        assert_eq!(closed == 0, opened == 0 || alive, "{now}");
    }
}

#[test]
fn a_hook_that_comes_twice_counts_once() {
    let venue = Venue::simulated(LONG);
    sim(&venue).manner(|manner| manner.twice = true);
    let (guest, id) = venue.guest("key");
    assert!(venue.publish("live", "refuse-me").is_err());
    assert_eq!(venue.connections(), std::slice::from_ref(&id));
    guest.stop();
    venue.unpublished(&id);
    let (_guest, again) = venue.guest("key");
    assert_ne!(id, again);
    agrees(&venue, seconds(2));
    assert!(sim(&venue).calls().iter().all(|(_, status, _)| *status == 200));
}

#[test]
fn a_lost_unpublish_is_found_within_the_reconciliation_period() {
    let venue = Venue::simulated(LONG);
    let (kept, lost) = (venue.guest("kept"), venue.guest("lost"));
    sim(&venue).manner(|manner| manner.lose_unpublish = true);
    lost.0.kill();
    venue.unpublished_within(&lost.1, HEALED);
    agrees(&venue, seconds(2));
    assert_eq!(venue.connections(), [kept.1]);
}

#[test]
fn an_encoder_whose_unpublish_was_lost_comes_back_at_once() {
    let venue = Venue::simulated(LONG);
    let (guest, id) = venue.guest("key");
    sim(&venue).manner(|manner| manner.lose_unpublish = true);
    guest.kill();
    let begin = Instant::now();
    let (_guest, again) = venue.guest("key");
    assert!(begin.elapsed() < seconds(3), "{:?}", begin.elapsed());
    assert_ne!(id, again);
    venue.unpublished(&id);
    agrees(&venue, HEALED);
}

#[test]
fn a_verdict_that_never_reached_srs_is_taken_back() {
    let venue = Venue::simulated(LONG);
    sim(&venue).manner(|manner| manner.lose_verdict = true);
    assert_eq!(sim(&venue).publish("live", "key").err(), Some(Refusal::Hook));
    let id = venue.published("key");
    venue.unpublished_within(&id, HEALED);
    sim(&venue).manner(|manner| manner.lose_verdict = false);
    let (_guest, _) = venue.guest("key");
    agrees(&venue, HEALED);
}

#[test]
fn a_publisher_whose_hook_never_came_is_asked_for_all_the_same() {
    let venue = Venue::simulated(LONG);
    let found = sim(&venue).appear("live", "found");
    let refused = sim(&venue).appear("live", "refuse-me");
    let stranger = sim(&venue).appear("other", "stranger");
    let begin = Instant::now();
    let id = venue.published("found");
    assert!(begin.elapsed() < HEALED, "{:?}", begin.elapsed());
    wait("who may not publish to go", HEALED, || (!refused.is_connected() && !stranger.is_connected()).then_some(()));
    assert!(found.is_connected());
    agrees(&venue, HEALED);
    drop(found);
    venue.unpublished(&id);
    agrees(&venue, HEALED);
}

/// Four pages and a half, with ten on each.
#[test]
fn every_page_of_srs_lists_is_read() {
    let mut venue = Venue::simulated(LONG);
    let found: Vec<_> = (0..45).map(|n| sim(&venue).appear("live", &format!("key-{n}"))).collect();
    venue.until("everybody", HEALED, |seen| {
        (seen.iter().filter(|seen| matches!(seen, Seen::Opened(_))).count() == 45).then_some(())
    });
    agrees(&venue, HEALED);
    thread::sleep(seconds(7));
    assert!(!venue.seen().iter().any(|seen| matches!(seen, Seen::Unpublish(_))), "nobody was lost between two pages");
    assert_eq!(venue.restart().len(), 45, "nor at the start");
    agrees(&venue, HEALED);
    drop(found);
    agrees(&venue, HEALED);
    assert!(venue.connections().is_empty());
}

#[test]
fn the_end_of_srs_ends_everybody_once() {
    let mut venue = Venue::simulated(LONG);
    let guests: Vec<_> = ["a", "b", "c"].map(|key| venue.guest(key)).into();
    let old = sim(&venue).calls()[0].0.clone();
    venue.sim.as_mut().unwrap().die();
    thread::sleep(seconds(1));
    venue.sim.as_mut().unwrap().come_back();
    for (_, id) in &guests {
        venue.unpublished_within(id, HEALED);
    }
    let (_guest, id) = venue.guest("a");
    // The old process's last words.
    let mut late = old;
    late["action"] = json!("on_unpublish");
    sim(&venue).call(&late);
    late["client_id"] = json!(sim(&venue).live()[0]);
    sim(&venue).call(&late);
    agrees(&venue, seconds(2));
    assert_eq!(venue.connections(), [id]);
}

#[test]
fn an_srs_that_is_away_for_a_moment_loses_nobody() {
    let venue = Venue::simulated(LONG);
    let (guest, id) = venue.guest("key");
    for answers in [Answers::Failure, Answers::Garbage, Answers::Nonsense, Answers::Half, Answers::Never] {
        sim(&venue).manner(|manner| manner.api = answers);
        thread::sleep(seconds(2));
        // Hooks need no API.
        let begin = Instant::now();
        let (other, other_id) = venue.guest("other");
        assert!(begin.elapsed() < seconds(1), "{answers:?}: {:?}", begin.elapsed());
        assert_eq!(venue.connections().len(), 2, "{answers:?}");
        other.stop();
        venue.unpublished_within(&other_id, seconds(1));
    }
    sim(&venue).manner(|manner| manner.api = Answers::After(seconds(1)));
    thread::sleep(seconds(6));
    assert_eq!(venue.connections(), std::slice::from_ref(&id));
    sim(&venue).manner(|manner| (manner.api, manner.lose_unpublish) = (Answers::Fine, true));
    guest.kill();
    venue.unpublished_within(&id, HEALED + seconds(6));
    agrees(&venue, seconds(2));
}

#[test]
fn a_takeover_that_can_not_disconnect_the_old_one_is_answered_in_time_and_heals() {
    let venue = Venue::simulated(LONG);
    let (mut old, old_id) = venue.guest("key");
    sim(&venue).manner(|manner| manner.api = Answers::Never);
    let begin = Instant::now();
    // Whatever the ingest says, SRS calls it busy.
    assert!(sim(&venue).publish("live", "key").is_err());
    assert!(begin.elapsed() < seconds(5), "SRS was kept waiting for {:?}", begin.elapsed());
    sim(&venue).manner(|manner| manner.api = Answers::Fine);
    agrees(&venue, seconds(20));
    if !old.is_connected() {
        venue.unpublished(&old_id);
    }
    let (_guest, _) = venue.guest("key");
    agrees(&venue, HEALED);
}

#[test]
fn a_late_unpublish_does_not_touch_who_came_after() {
    let venue = Venue::simulated(LONG);
    sim(&venue).manner(|manner| manner.late_unpublish = seconds(2));
    let (guest, id) = venue.guest("key");
    guest.stop();
    let (mut new, new_id) = venue.guest("key");
    thread::sleep(seconds(3));
    assert!(new.is_connected());
    assert!(!venue.seen().contains(&Seen::Unpublish(new_id.clone())));
    assert!(venue.seen().contains(&Seen::Unpublish(id)));
    assert_eq!(venue.connections(), [new_id]);
    agrees(&venue, seconds(2));
}

#[test]
fn what_is_over_never_comes_back_to_life() {
    let venue = Venue::simulated(LONG);
    let said = |action: &str, id: &str, key: &str| {
        let (status, text) = sim(&venue).hook(action, id, "live", key);
        status == 200 && text.replace(' ', "").contains("\"code\":0")
    };
    // The end before the beginning.
    said("on_unpublish", "early000", "early");
    assert!(!said("on_publish", "early000", "early"), "it is over already");
    let (guest, id) = venue.guest("key");
    let client = sim(&venue).live()[0].clone();
    guest.stop();
    venue.unpublished(&id);
    assert!(!said("on_publish", &client, "key"), "so is this one");
    said("on_unpublish", &client, "key");
    said("on_unpublish", "never-heard-of", "key");
    // One connection is one stream.
    let (_other, other_id) = venue.guest("other");
    let client = sim(&venue).live()[0].clone();
    assert!(!said("on_publish", &client, "another-key"));
    assert_eq!(venue.connections(), [other_id]);
    agrees(&venue, seconds(2));
}

#[test]
fn an_encoder_that_leaves_while_it_is_asked_for_leaves_nothing_behind() {
    let venue = Venue::simulated(LONG);
    for key in ["slow-one", "quick"] {
        sim(&venue).publish_and_leave_at_once("live", key);
        let id = venue.published(key);
        venue.unpublished(&id);
    }
    // One that SRS lets go of in the middle of its hook: nothing is heard of it any more.
    thread::scope(|scope| {
        let asking = scope.spawn(|| sim(&venue).publish("live", "slow-two").err());
        let id = venue.published("slow-two");
        venue.disconnect(&id, "go");
        assert!(asking.join().unwrap().is_some());
    });
    agrees(&venue, HEALED);
    assert!(venue.connections().is_empty());
}

#[test]
fn what_is_not_understood_is_refused_and_survived() {
    let venue = Venue::simulated(LONG);
    sim(&venue).manner(|manner| manner.strange = true);
    let _guest = venue.publish("live", "key?token=x&y=1").unwrap();
    let id = venue.published("key");
    let body = sim(&venue).calls()[0].0.clone();
    let granted = |(status, text): (u16, String)| {
        status == 200 && serde_json::from_str::<serde_json::Value>(&text).is_ok_and(|answer| answer["code"] == 0)
    };
    let changed = |field: &str, value: serde_json::Value| {
        let mut body = body.clone();
        body["client_id"] = json!("stranger");
        body[field] = value;
        body
    };
    for body in [
        json!({}),
        json!([]),
        json!("on_publish"),
        json!({ "action": "on_publish" }),
        changed("action", json!("on_tomorrow")),
        changed("action", json!(7)),
        changed("client_id", json!("")),
        changed("client_id", json!("../x")),
        changed("client_id", json!("x".repeat(5000))),
        changed("ip", json!("nowhere")),
        changed("stream", json!(["key"])),
        changed("stream", json!("x".repeat(200_000))),
    ] {
        assert!(!granted(sim(&venue).call(&body)), "{body}");
    }
    // Another secret, another path.
    let never = || false;
    for path in ["", "/hooks", "/hooks/", "/hooks/the-secret-of-the-hooks-012345678", "/hooks/x/y"] {
        let base = venue.hooks.split("/hooks").next().unwrap();
        let answer = post(&format!("{base}{path}"), &changed("stream", json!("other")), &never).unwrap_or_default();
        assert_ne!(answer.0, 200, "{path}");
    }
    assert_eq!(venue.connections(), [id]);
    assert_eq!(venue.seen().iter().filter(|seen| matches!(seen, Seen::Publish(..))).count(), 1, "{:?}", venue.seen());
    agrees(&venue, HEALED);
}

#[test]
fn one_slow_verdict_holds_nobody_else_back() {
    let venue = Venue::simulated(LONG);
    thread::scope(|scope| {
        for n in 0..20 {
            let venue = &venue;
            scope.spawn(move || std::mem::forget(sim(venue).publish("live", &format!("slow-{n}"))));
        }
        venue.published("slow-19");
        for n in 0..20 {
            let begin = Instant::now();
            std::mem::forget(venue.publish("live", &format!("quick-{n}")).unwrap());
            assert!(begin.elapsed() < Duration::from_millis(500), "{:?}", begin.elapsed());
        }
    });
    assert_eq!(venue.connections().len(), 40);
    agrees(&venue, HEALED);
}

#[test]
fn what_srs_measures_is_passed_on() {
    let venue = Venue::simulated(LONG);
    let (_guest, id) = venue.guest("key");
    // An encoder that came this millisecond has sent nothing yet.
    let figures = venue.until("figures with bytes", HEALED, |_| venue.figures(&id).filter(|figures| figures.bytes > 0));
    assert_eq!((figures.size, figures.kbps), (Some((640, 360)), Some(1000.0)), "{figures:?}");
    let address = venue.address(&id).unwrap();
    assert!(address.starts_with(&sim(&venue).url()) && address.ends_with("/live/key.flv"), "{address}");
}

#[test]
fn a_stream_that_srs_has_lost_is_sent_back_to_begin_anew() {
    let venue = Venue::simulated(LONG);
    let (kept, lost) = (venue.guest("kept"), venue.guest("mute"));
    venue.unpublished_within(&lost.1, HEALED);
    let told = |seen: &Seen| matches!(seen, Seen::Trouble(id, reason) if *id == lost.1 && reason.contains("media server has lost"));
    assert!(venue.seen().iter().any(told), "{:#?}", venue.seen());
    agrees(&venue, HEALED);
    assert_eq!(venue.connections(), [kept.1]);
}

/// The box is killed and started again; SRS and the encoders do not notice.
fn a_new_box_finds_who_publishes(kind: Kind) {
    let mut venue = kind.open(LONG);
    let mut guests: Vec<_> = (0..12).map(|n| venue.guest(&format!("key-{n}"))).collect();
    let mut ids: Vec<_> = guests.iter().map(|(_, id)| id.clone()).collect();
    ids.sort();
    for _ in 0..2 {
        assert_eq!(venue.restart(), ids, "the same names as before");
        for (n, (guest, id)) in guests.iter_mut().enumerate() {
            assert_eq!(venue.published(&format!("key-{n}")), *id);
            assert!(guest.is_connected());
        }
        venue.until("everybody to be let in", seconds(5), |seen| {
            (seen.iter().filter(|seen| matches!(seen, Seen::Opened(_))).count() == 12).then_some(())
        });
        assert_eq!(venue.connections(), ids);
    }
    let (guest, id) = guests.remove(3);
    guest.kill();
    venue.unpublished(&id);
    ids.retain(|other| *other != id);
    assert_eq!(venue.connections(), ids);
}

#[test]
fn a_new_box_finds_who_publishes_at_a_simulated_srs() {
    a_new_box_finds_who_publishes(Kind::Simulated);
}

#[test]
fn a_new_box_finds_who_publishes_at_a_real_srs() {
    if real_srs().is_some() {
        a_new_box_finds_who_publishes(Kind::Real);
    }
}
