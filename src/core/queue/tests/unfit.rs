//! Rules 5 and 11: who cannot be taken, and who cannot be used.

use std::time::Duration;

use proptest::{collection::vec, prelude::*};

use super::stage::{Stage, account, connection, seconds};
use crate::core::{
    flaw::Flaw,
    moment::Moment,
    queue::{
        Action, DARK_LIMITS, Event, HoldOffCause, Order, Presence, QueueSettings, Reason, Refusal, TAKE_LIMIT, TakeId,
        TurnEnd,
    },
};

fn unfit(stage: &mut Stage, name: &str, reason: &str) {
    stage.apply(Event::Unfit { connection: connection(name), reason: reason.into() });
}

fn unusable(stage: &mut Stage, name: &str, flaw: Flaw) {
    stage.apply(Event::Unusable { connection: connection(name), flaw, reason: "AV1 is not supported".into() });
    stage.leaves(name);
}

/// Rule 11: a pending take whose target turns out not to be takeable goes to the next.
#[test]
fn a_take_of_who_cannot_be_taken_goes_to_the_next_at_once() {
    let mut stage = Stage::new();
    stage.goes_on_air("a1");
    stage.arrive("b1");
    stage.arrive("c1");
    stage.leaves("a1");
    assert_eq!(stage.pending(), "b1");
    unfit(&mut stage, "b1", "your time stamps stand still");
    assert_eq!(stage.pending(), "c1");
    stage.taken();
    assert_eq!((stage.on_air().as_str(), stage.waiting().as_str()), ("C", "AB"), "B keeps the place");
    stage.ready("b1");
    assert_eq!(stage.queue.next(), Some(stage.entry("B")));
}

/// Rule 11: one that says that it is ready and is never taken does not keep others from the air.
#[test]
fn a_take_that_does_not_happen_in_time_goes_to_the_next() {
    let mut stage = Stage::new();
    stage.goes_on_air("a1");
    stage.arrive("b1");
    stage.arrive("c1");
    stage.leaves("a1");
    stage.after(DARK_LIMITS[0]);
    assert!(stage.last.iter().any(|action| matches!(action, Action::GiveUpTake(..))));
    assert_eq!(stage.pending(), "c1");
    stage.taken();
    assert_eq!(stage.waiting(), "AB");
    // It is told the truth if it does not come right.
    stage.after(seconds(20));
    assert_eq!(stage.closed, [("b1".to_owned(), Reason::NotTaken)]);
}

/// Rule 11: with somebody seen there is a little more time.
#[test]
fn a_planned_take_that_does_not_happen_goes_to_the_next_while_the_turn_goes_on() {
    let mut stage = Stage::with(QueueSettings { turn: seconds(90), ..QueueSettings::default() });
    stage.goes_on_air("a1");
    stage.arrive("b1");
    stage.arrive("c1");
    stage.after(seconds(90));
    assert_eq!(stage.pending(), "b1");
    stage.after(TAKE_LIMIT.checked_sub(Duration::from_millis(1)).unwrap());
    assert_eq!((stage.pending().as_str(), stage.on_air().as_str()), ("b1", "A"));
    stage.after(Duration::from_millis(1));
    assert_eq!((stage.pending().as_str(), stage.on_air().as_str()), ("c1", "A"));
}

/// Rule 11: with nobody else there is nothing to be gained.
#[test]
fn a_take_of_the_only_one_is_not_given_up_so_soon() {
    let mut stage = Stage::new();
    stage.arrive("a1");
    stage.after(seconds(20));
    assert_eq!(stage.pending(), "a1");
    // Another has only just come: the first is as near to the air as that one.
    stage.arrive("b1");
    assert_eq!(stage.pending(), "a1");
    stage.after(DARK_LIMITS[0]);
    assert_eq!(stage.pending(), "b1");
}

/// Those behind the one that is to be taken are kept while nobody is seen, and who was given up, too.
#[test]
fn who_may_be_tried_is_cued() {
    let mut stage = Stage::new();
    for name in ["a1", "b1", "c1", "d1", "e1"] {
        stage.accepted(name);
    }
    for name in ["a1", "b1", "c1", "d1", "e1"] {
        stage.ready(name);
    }
    assert_eq!(stage.cued(), ["a1", "b1", "c1"]);
    stage.after(DARK_LIMITS[0]);
    assert_eq!((stage.pending().as_str(), stage.cued()), ("b1", ["b1", "c1", "d1", "a1"].map(String::from).to_vec()));
    stage.taken();
    assert_eq!(stage.cued(), ["b1", "c1", "a1"]);
    stage.ready("a1");
    assert_eq!(stage.cued(), ["b1", "a1"]);
}

/// Rule 5: a waiting stream that cannot be taken is closed with the true reason.
#[test]
fn a_waiting_stream_that_stays_unfit_is_closed_with_the_reason() {
    let mut stage = Stage::new();
    stage.goes_on_air("a1");
    stage.arrive("b1");
    unfit(&mut stage, "b1", "your time stamps stand still");
    assert_eq!(stage.queue.waiting().next().unwrap().lack.as_deref(), Some("your time stamps stand still"));
    stage.after(seconds(20));
    assert_eq!(stage.closed, [("b1".to_owned(), Reason::Unusable("your time stamps stand still".into()))]);
    assert_eq!(stage.queue.waiting().next().unwrap().presence, Presence::Absent);
    // The second time is the last for a while.
    stage.accepted("b2");
    unfit(&mut stage, "b2", "your time stamps stand still");
    stage.after(seconds(20));
    assert_eq!(stage.waiting(), "");
    assert!(matches!(stage.refused("b3"), Refusal::Unusable { .. }));
}

/// Rule 5: what cannot be used is ended once, told, and refused from the second time on.
#[test]
fn a_stream_that_cannot_be_used_is_refused_after_the_second_time() {
    let mut stage = Stage::new();
    stage.goes_on_air("b1");
    stage.accepted("a1");
    unusable(&mut stage, "a1", Flaw::Pictures);
    assert_eq!(stage.waiting(), "A", "the place is kept once");
    assert_eq!(stage.closed, [("a1".to_owned(), Reason::Unusable("AV1 is not supported".into()))]);
    stage.after(seconds(2));
    stage.accepted("a2");
    unusable(&mut stage, "a2", Flaw::Pictures);
    assert_eq!(stage.waiting(), "");
    let refusal = stage.refused("a3");
    assert_eq!(refusal, Refusal::Unusable { reason: "AV1 is not supported".into(), remaining: seconds(60) });
    assert!(refusal.to_string().starts_with("AV1 is not supported"), "{refusal}");
    let held = stage.queue.hold_offs(stage.now);
    assert_eq!((held[0].account, &held[0].why), (account("a"), &HoldOffCause::Unusable("AV1 is not supported".into())));
    stage.after(seconds(60));
    assert_eq!(stage.queue.hold_offs(stage.now), []);
    // Then it is let in once, and the next time is twice as long.
    for minutes in [2, 4, 8, 10, 10] {
        let name = format!("a{minutes}x{}", stage.now.as_micros());
        stage.accepted(&name);
        unusable(&mut stage, &name, Flaw::Pictures);
        let again = format!("{name}again");
        let Refusal::Unusable { remaining, .. } = stage.refused(&again) else { panic!("not refused as unusable") };
        assert_eq!(remaining, seconds(minutes * 60));
        stage.after(remaining);
    }
}

/// Rule 5: whoever mends it is let in and believed.
#[test]
fn who_changed_the_setting_is_believed_again() {
    let mut stage = Stage::new();
    for name in ["a1", "a2"] {
        stage.accepted(name);
        unusable(&mut stage, name, Flaw::Sound);
    }
    stage.after(seconds(61));
    stage.goes_on_air("a3");
    stage.after(seconds(31));
    unusable(&mut stage, "a3", Flaw::Sound);
    assert_eq!(stage.on_air(), "A", "the first time of another row");
    // An admin may lift it.
    stage.accepted("a4");
    unusable(&mut stage, "a4", Flaw::Sound);
    assert_eq!((stage.on_air().as_str(), stage.why()), ("-", TurnEnd::Lost));
    stage.refused("a5");
    stage.ordered(Order::LiftHoldOff(account("a")));
    stage.accepted("a6");
}

/// Rule 5: a bad line later is no mistake that was not mended.
#[test]
fn who_worked_for_long_and_cannot_be_taken_later_is_let_in_again() {
    let mut stage = Stage::new();
    stage.goes_on_air("b1");
    for name in ["a1", "a2", "a3"] {
        stage.arrive(name);
        stage.after(seconds(31));
        unfit(&mut stage, name, "your stream arrives in bursts without end");
        stage.after(seconds(20));
        assert!(
            matches!(stage.closed.last(), Some((closed, Reason::Unusable(_))) if closed == name),
            "{:?}",
            stage.closed
        );
        stage.leaves(name);
    }
    // Without that time in between it is the second time.
    stage.accepted("a4");
    unfit(&mut stage, "a4", "your time stamps stand still");
    stage.after(seconds(20));
    stage.leaves("a4");
    stage.refused("a5");
}

/// Rule 5: another flaw, or the same after long, begins anew.
#[test]
fn another_flaw_and_an_old_one_count_as_the_first() {
    let mut stage = Stage::new();
    stage.accepted("a1");
    unusable(&mut stage, "a1", Flaw::Sound);
    stage.accepted("a2");
    unusable(&mut stage, "a2", Flaw::Pictures);
    stage.after(seconds(300));
    stage.accepted("a3");
    unusable(&mut stage, "a3", Flaw::Pictures);
    stage.accepted("a4");
}

/// One who waits, as media would find them. Simulated: only whether, and how soon, a take of it happens.
#[derive(Clone, Copy, Debug)]
enum Media {
    /// Every take happens after so many milliseconds.
    Takes(u64),
    /// None does, although it says that it is ready; after one that was given up it says so again, later each time.
    Never,
    /// None does, and after so many milliseconds of being cued media takes back that it is ready.
    FoundOut(u64),
}

fn media() -> impl Strategy<Value = Media> {
    prop_oneof![(0..=400_u64).prop_map(Media::Takes), Just(Media::Never), (200..=4000_u64).prop_map(Media::FoundOut),]
}

/// Media, simulated, and a queue that gives it orders.
struct Simulation {
    stage: Stage,
    streams: Vec<(String, Media)>,
    /// The take that is to happen, and when.
    take: Option<(TakeId, String, Option<Moment>)>,
    cued_since: Vec<Option<Moment>>,
    failed: Vec<u32>,
    again: Vec<Option<Moment>>,
    shown: Option<String>,
}

impl Simulation {
    fn see(&mut self) {
        for action in std::mem::take(&mut self.stage.last) {
            match action {
                Action::Take { take, connection, .. } => {
                    let name = connection.to_string();
                    let media = self.streams.iter().find(|(other, _)| *other == name).unwrap().1;
                    let when = match media {
                        Media::Takes(millis) => Some(self.stage.now + Duration::from_millis(millis)),
                        Media::Never | Media::FoundOut(_) => None,
                    };
                    self.take = Some((take, name, when));
                }
                Action::CancelTake(take) => drop(self.take.take_if(|(pending, ..)| *pending == take)),
                Action::GiveUpTake(take, _) => {
                    if let Some((_, name, _)) = self.take.take_if(|(pending, ..)| *pending == take) {
                        let at = self.streams.iter().position(|(other, _)| *other == name).unwrap();
                        self.failed[at] += 1;
                        let proof = Duration::from_secs(4).saturating_mul(1 << (self.failed[at] - 1).min(4));
                        self.again[at] = Some(self.stage.now + proof);
                    }
                }
                Action::Clear => self.shown = None,
                Action::Disconnect { connection, .. } => {
                    let name = connection.to_string();
                    self.again[self.streams.iter().position(|(other, _)| *other == name).unwrap()] = None;
                }
                _ => {}
            }
        }
    }

    fn step(&mut self) {
        self.stage.after(Duration::from_millis(50));
        self.see();
        let now = self.stage.now;
        if let Some((take, name, _)) = self.take.take_if(|(_, _, when)| when.is_some_and(|when| when <= now)) {
            self.stage.take_happens(take);
            self.shown = Some(name);
            self.see();
        }
        let cued = self.stage.cued();
        for at in 0..self.streams.len() {
            let (name, media) = self.streams[at].clone();
            self.cued_since[at] = cued.contains(&name).then(|| self.cued_since[at].unwrap_or(now));
            if let (Media::FoundOut(millis), Some(since)) = (media, self.cued_since[at])
                && now.since(since) >= Duration::from_millis(millis)
            {
                unfit(&mut self.stage, &name, "it cannot be taken");
                self.see();
            }
            if self.again[at].take_if(|when| *when <= now).is_some() {
                self.stage.ready(&name);
                self.see();
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// However many of those who wait are not what they seem: with somebody there who can be taken, the slate is never seen for more than
    /// five seconds. With up to four who never can, whether media finds that out by what it keeps or not. The media is simulated.
    #[test]
    fn never_more_than_five_seconds_of_slate_while_anybody_can_be_taken(
        odd in vec(media(), 0..8),
        healthy in 0..=400_u64,
        place in any::<prop::sample::Index>(),
        leave in vec(1..40_u64, 1..4),
    ) {
        let mut left = 4;
        let mut streams: Vec<Media> = odd
            .into_iter()
            .map(|media| match media {
                Media::Never | Media::FoundOut(_) if left > 0 => { left -= 1; media }
                Media::Takes(_) => media,
                // Enough of the others have been there.
                _ => Media::Takes(300),
            })
            .collect();
        let at = place.index(streams.len() + 1);
        streams.insert(at, Media::Takes(healthy));
        let streams: Vec<_> =
            ('b'..='z').zip(streams).map(|(name, media)| (format!("{name}1"), media)).collect();
        let stage = Stage::new();
        let count = streams.len();
        let mut simulation = Simulation {
            stage,
            streams,
            take: None,
            cued_since: vec![None; count],
            failed: vec![0; count],
            again: vec![None; count],
            shown: None,
        };
        for at in 0..count {
            let name = simulation.streams[at].0.clone();
            simulation.stage.arrive(&name);
            simulation.see();
        }
        let mut dark = Duration::ZERO;
        let mut leave = leave.into_iter().map(Duration::from_secs);
        let mut leaves = leave.next();
        let mut seen = Duration::ZERO;
        for _ in 0..1200 {
            simulation.step();
            if let (Some(shown), Some(after)) = (simulation.shown.clone(), leaves) && seen >= after {
                // Who is on air goes.
                simulation.stage.leaves(&shown);
                simulation.shown = None;
                simulation.see();
                (leaves, seen) = (leave.next(), Duration::ZERO);
            }
            let can = simulation.streams.iter().any(|(name, media)| {
                let ready = simulation.stage.queue.waiting().any(|entry| {
                    entry.presence == Presence::Ready && entry.connection.as_ref().is_some_and(|id| id.to_string() == *name)
                });
                ready && matches!(media, Media::Takes(_))
            });
            seen = if simulation.shown.is_some() { seen + Duration::from_millis(50) } else { Duration::ZERO };
            dark = if simulation.shown.is_none() && can { dark + Duration::from_millis(50) } else { Duration::ZERO };
            prop_assert!(dark <= Duration::from_secs(5), "{:?}", simulation.streams);
        }
    }
}
