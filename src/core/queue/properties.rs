//! Properties that hold after every sequence of events, with restarts in between (`docs/queue.md`, "What always holds").

use std::{collections::HashMap, sync::Arc, time::Duration};

use proptest::{collection::vec, prelude::*, sample::Index};

use super::{
    Action, CommandId, EntryId, EntryLook, Event, LONGEST_TURN, Order, Outcome, Presence, Queue, QueueSettings, Record,
    TakeId, TurnId, Verdict,
};
use crate::core::{account::AccountId, flaw::Flaw, frame::ConnectionId, moment::Moment, origin::Origin};

const STREAMERS: u64 = 5;

#[derive(Clone, Debug)]
enum Step {
    Publish {
        streamer: u64,
        alive: bool,
    },
    /// A publish under a connection that was used before.
    Again {
        streamer: u64,
        connection: Index,
    },
    Unpublish(Index),
    Ready(Index),
    Stalled(Index),
    Recovered(Index),
    Unfit(Index),
    Unusable(Index),
    /// The take that is pending.
    Taken,
    TakeFailed,
    /// One that media was given some time, perhaps given up since.
    AnyTaken(Index),
    AnyTakeFailed(Index),
    /// Time passes, every deadline being kept, or all of them late.
    Wait {
        millis: u64,
        late: bool,
    },
    Skip {
        named: Option<Index>,
    },
    Hold(bool),
    ForcedSlate(bool),
    PutOnAir(Index),
    Kick(Index),
    Move {
        entry: Index,
        before: Option<Index>,
    },
    SetTurn {
        seconds: u64,
        reset: bool,
    },
    SetThisTurn {
        seconds: u64,
    },
    SetBlock(Option<bool>),
    LiftHoldOff(u64),
    Leave(u64),
    Revoke {
        streamer: u64,
        remove: bool,
    },
    /// The last order again, under its own name.
    SameOrder,
    /// Which of the connections outlive it.
    Restart(Vec<bool>),
}

fn step() -> impl Strategy<Value = Step> {
    let streamer = 0..STREAMERS;
    let index = any::<Index>();
    prop_oneof![
        12 => (streamer.clone(), any::<bool>()).prop_map(|(streamer, alive)| Step::Publish { streamer, alive }),
        1 => (streamer.clone(), index.clone()).prop_map(|(streamer, connection)| Step::Again { streamer, connection }),
        6 => index.clone().prop_map(Step::Unpublish),
        14 => index.clone().prop_map(Step::Ready),
        4 => index.clone().prop_map(Step::Stalled),
        4 => index.clone().prop_map(Step::Recovered),
        4 => index.clone().prop_map(Step::Unfit),
        3 => index.clone().prop_map(Step::Unusable),
        14 => Just(Step::Taken),
        2 => Just(Step::TakeFailed),
        2 => index.clone().prop_map(Step::AnyTaken),
        1 => index.clone().prop_map(Step::AnyTakeFailed),
        12 => (0..40_000_u64, prop::bool::weighted(0.2)).prop_map(|(millis, late)| Step::Wait { millis, late }),
        3 => prop::option::of(index.clone()).prop_map(|named| Step::Skip { named }),
        2 => any::<bool>().prop_map(Step::Hold),
        2 => any::<bool>().prop_map(Step::ForcedSlate),
        3 => index.clone().prop_map(Step::PutOnAir),
        2 => index.clone().prop_map(Step::Kick),
        3 => (index.clone(), prop::option::of(index.clone())).prop_map(|(entry, before)| Step::Move { entry, before }),
        1 => (0..200_u64, any::<bool>()).prop_map(|(seconds, reset)| Step::SetTurn { seconds, reset }),
        1 => (0..400_u64).prop_map(|seconds| Step::SetThisTurn { seconds }),
        1 => any::<Option<bool>>().prop_map(Step::SetBlock),
        1 => streamer.clone().prop_map(Step::LiftHoldOff),
        1 => streamer.clone().prop_map(Step::Leave),
        1 => (streamer, any::<bool>()).prop_map(|(streamer, remove)| Step::Revoke { streamer, remove }),
        1 => Just(Step::SameOrder),
        2 => vec(any::<bool>(), 8).prop_map(Step::Restart),
    ]
}

fn settings() -> impl Strategy<Value = QueueSettings> {
    (prop_oneof![Just(0_u64), Just(15)], any::<bool>(), any::<bool>(), 2..6_usize).prop_map(
        |(rejoin, overtime, block, max_publishers)| QueueSettings {
            turn: Duration::from_secs(90),
            rejoin: Duration::from_secs(rejoin),
            overtime,
            block,
            max_publishers,
            ..QueueSettings::default()
        },
    )
}

/// A queue, and a media engine that is told what to show and does so when it likes.
struct World {
    queue: Queue,
    settings: QueueSettings,
    now: Moment,
    restarted: Moment,
    connections: Vec<ConnectionId>,
    takes: Vec<(TakeId, ConnectionId)>,
    happened: TakeId,
    shown: Option<ConnectionId>,
    commands: u64,
    last_order: Option<Order>,
}

impl World {
    fn new(settings: QueueSettings) -> Self {
        Self {
            queue: Queue::new(settings.clone()),
            settings,
            now: Moment::ZERO,
            restarted: Moment::ZERO,
            connections: Vec::new(),
            takes: Vec::new(),
            happened: TakeId(0),
            shown: None,
            commands: 0,
            last_order: None,
        }
    }

    fn entries(&self) -> Vec<EntryLook> {
        self.queue.on_air(self.now).map(|turn| turn.entry).into_iter().chain(self.queue.waiting()).collect()
    }

    fn pick_connection(&self, index: Index) -> ConnectionId {
        if self.connections.is_empty() {
            ConnectionId::new("none")
        } else {
            // The young ones are the interesting ones.
            let young = self.connections.len().saturating_sub(8);
            index.get(&self.connections[young..]).clone()
        }
    }

    fn pick_entry(&self, index: Index) -> EntryId {
        let entries = self.entries();
        if entries.is_empty() { EntryId(0) } else { index.get(&entries).id }
    }

    fn order(&mut self, order: Order) {
        self.commands += 1;
        self.last_order = Some(order.clone());
        self.apply(Event::Order { command: CommandId(self.commands), order });
    }

    fn take(&mut self, take: TakeId, connection: ConnectionId) {
        if take > self.happened {
            self.happened = take;
            self.shown = Some(connection);
        }
        self.apply(Event::Taken { take, wall: jiff::Timestamp::UNIX_EPOCH });
    }

    fn play(&mut self, step: Step) {
        match step {
            Step::Publish { streamer, alive } => {
                let connection = ConnectionId::new(format!("{}", self.connections.len()));
                self.connections.push(connection.clone());
                self.publish(streamer, connection, alive);
            }
            Step::Again { streamer, connection } => {
                let connection = self.pick_connection(connection);
                self.publish(streamer, connection, false);
            }
            Step::Unpublish(index) => self.apply(Event::Unpublish(self.pick_connection(index))),
            Step::Ready(index) => self.apply(Event::Ready(self.pick_connection(index))),
            Step::Stalled(index) => self.apply(Event::Stalled(self.pick_connection(index))),
            Step::Recovered(index) => self.apply(Event::Recovered(self.pick_connection(index))),
            Step::Unfit(index) => {
                self.apply(Event::Unfit { connection: self.pick_connection(index), reason: "unfit".into() });
            }
            Step::Unusable(index) => {
                let connection = self.pick_connection(index);
                self.apply(Event::Unusable { connection, flaw: Flaw::Pictures, reason: "AV1".into() });
            }
            Step::Taken => {
                let pending = self.queue.pending().map(|(take, _)| take);
                if let Some((take, connection)) = self.takes.iter().find(|(take, _)| Some(*take) == pending).cloned() {
                    self.take(take, connection);
                }
            }
            Step::TakeFailed => {
                if let Some((take, _)) = self.queue.pending() {
                    self.apply(Event::TakeFailed(take));
                }
            }
            Step::AnyTaken(index) => {
                if !self.takes.is_empty() {
                    let (take, connection) = index.get(&self.takes).clone();
                    self.take(take, connection);
                }
            }
            Step::AnyTakeFailed(index) => {
                if !self.takes.is_empty() {
                    let (take, _) = *index.get(&self.takes);
                    self.apply(Event::TakeFailed(take));
                }
            }
            Step::Wait { millis, late } => self.wait(Duration::from_millis(millis), late),
            Step::Skip { named } => {
                let turn = self.queue.on_air(self.now).map(|turn| turn.id);
                self.order(Order::Skip { turn: named.and(turn) });
            }
            Step::Hold(on) => self.order(Order::Hold(on)),
            Step::ForcedSlate(on) => self.order(Order::ForcedSlate(on)),
            Step::PutOnAir(index) => self.order(Order::PutOnAir(self.pick_entry(index))),
            Step::Kick(index) => self.order(Order::Kick(self.pick_entry(index))),
            Step::Move { entry, before } => {
                let before = before.map(|index| self.pick_entry(index));
                self.order(Order::Move { entry: self.pick_entry(entry), before });
            }
            Step::SetTurn { seconds, reset } => {
                self.order(Order::SetTurn { length: Duration::from_secs(seconds), reset });
            }
            Step::SetThisTurn { seconds } => {
                let turn = self.queue.on_air(self.now).map_or(TurnId(0), |turn| turn.id);
                self.order(Order::SetThisTurn { turn, length: Duration::from_secs(seconds) });
            }
            Step::SetBlock(on) => self.order(Order::SetBlock(on)),
            Step::LiftHoldOff(streamer) => self.order(Order::LiftHoldOff(AccountId(streamer))),
            Step::Leave(streamer) => self.order(Order::Leave(AccountId(streamer))),
            Step::Revoke { streamer, remove } => {
                self.order(Order::Revoke { account: AccountId(streamer), remove, reason: "revoked".into() });
            }
            Step::SameOrder => {
                if let Some(order) = self.last_order.clone() {
                    let before = self.queue.record(self.now);
                    self.apply(Event::Order { command: CommandId(self.commands), order });
                    let after = self.queue.record(self.now);
                    assert_eq!(before, after, "the same order twice is more than once");
                }
            }
            Step::Restart(outlive) => self.restart(&outlive),
        }
    }

    fn publish(&mut self, streamer: u64, connection: ConnectionId, current_alive: bool) {
        let name = Arc::from(format!("streamer {streamer}"));
        // Three addresses.
        let origin = Origin::of([10, 0, 0, u8::try_from(streamer % 3).expect("less than three")].into());
        self.apply(Event::Publish { account: AccountId(streamer), name, connection, origin, current_alive });
    }

    fn wait(&mut self, duration: Duration, late: bool) {
        let end = self.now + duration;
        while let Some(deadline) = self.queue.next_deadline().filter(|deadline| *deadline <= end && !late) {
            self.now = deadline;
            self.apply(Event::Tick);
        }
        self.now = end;
        self.apply(Event::Tick);
    }

    fn restart(&mut self, outlive: &[bool]) {
        let record = self.queue.record(self.now);
        let stored = serde_json::to_vec(&record).unwrap();
        let restored: Record = serde_json::from_slice(&stored).unwrap();
        assert_eq!(restored, record);
        // Another process, another clock.
        self.now = Moment::from_start(Duration::from_millis(17));
        self.restarted = self.now;
        self.queue = Queue::restore(restored, self.settings.clone(), self.now);
        assert_eq!(self.queue.record(self.now), record, "the state survives a round trip");
        (self.takes, self.happened, self.shown) = (Vec::new(), TakeId(0), None);
        // One that was denied is forgotten, and may be carried out now.
        self.last_order = None;
        let young = self.connections.len().saturating_sub(outlive.len());
        let left = self.connections.iter().skip(young).zip(outlive).filter(|(_, outlives)| **outlives);
        self.apply(Event::Restarted { connections: left.map(|(connection, _)| connection.clone()).collect() });
    }

    #[expect(clippy::needless_pass_by_value, reason = "the callers make their events on the spot")]
    fn apply(&mut self, event: Event) {
        let before = self.entries();
        let stored = self.queue.record(self.now);
        let waited: Vec<_> = self.queue.waiting().map(|entry| entry.id).collect();
        let outcome = self.queue.apply(event.clone(), self.now);
        for action in &outcome.actions {
            match action {
                Action::Take { take, connection, .. } => self.takes.push((*take, connection.clone())),
                Action::Clear => self.shown = None,
                _ => {}
            }
        }
        self.check_entries(&before, &event, &outcome);
        self.check_order(&waited, &event);
        self.check_air(&event);
        if !outcome.changed {
            let mut after = self.queue.record(self.now);
            // What the clock alone changes, and what is no loss.
            (after.next_id, after.retired, after.commands) =
                (stored.next_id, stored.retired.clone(), stored.commands.clone());
            let timeless = |record: &Record| {
                let mut record = record.clone();
                (record.hold_offs, record.last_streamer) = (Vec::new(), None);
                record.waiting.iter_mut().for_each(|entry| entry.guarded_ms = None);
                if let Some(turn) = &mut record.on_air {
                    turn.entry.guarded_ms = None;
                }
                record
            };
            assert_eq!(
                timeless(&after),
                timeless(&stored),
                "{event:?} changed what must be committed, and did not say so"
            );
        }
    }

    fn check_entries(&self, before: &[EntryLook], event: &Event, outcome: &Outcome) {
        let after = self.entries();
        assert!(after.len() <= self.settings.max_publishers);
        for (at, entry) in after.iter().enumerate() {
            let others = &after[at + 1..];
            assert!(!others.iter().any(|other| other.account == entry.account), "a streamer with two entries");
            assert!(!others.iter().any(|other| other.id == entry.id), "an entry twice");
            assert!(entry.connection.is_none() || !others.iter().any(|other| other.connection == entry.connection));
            let known = before.iter().any(|old| old.id == entry.id && old.account == entry.account);
            let new = matches!(event, Event::Publish { account, .. } if *account == entry.account)
                && matches!(outcome.verdict, Verdict::Accepted { .. });
            assert!(known || new, "an entry from nowhere: {entry:?} by {event:?}");
        }
        let closed = |connection: &ConnectionId| {
            outcome
                .actions
                .iter()
                .any(|action| matches!(action, Action::Disconnect { connection: c, .. } if c == connection))
        };
        for old in before.iter().filter(|old| !after.iter().any(|entry| entry.id == old.id)) {
            if let Some(connection) = &old.connection {
                let gone =
                    matches!(event, Event::Unpublish(c) if c == connection) || matches!(event, Event::Restarted { .. });
                assert!(gone || closed(connection), "a connected entry was lost: {old:?} by {event:?}");
            }
        }
        for entry in &after {
            assert!(!entry.connection.as_ref().is_some_and(closed), "a closed connection is current");
        }
        if let Verdict::Accepted { .. } = outcome.verdict
            && let Event::Publish { account, connection, .. } = event
        {
            assert_eq!(self.queue.connection_of(*account), Some(connection));
        }
    }

    fn check_order(&self, waited: &[EntryId], event: &Event) {
        if matches!(event, Event::Order { order: Order::Move { .. }, .. }) {
            return;
        }
        let wait: Vec<_> = self.queue.waiting().map(|entry| entry.id).collect();
        let kept = |list: &[EntryId], other: &[EntryId]| -> Vec<_> {
            list.iter().copied().filter(|id| other.contains(id)).collect()
        };
        assert_eq!(kept(&wait, waited), kept(waited, &wait), "those who wait changed places by {event:?}");
        // Who comes from the air is next; who is new is last.
        let new: Vec<_> = wait.iter().positions_of_new(waited);
        assert!(new.iter().all(|at| *at == 0 || *at + 1 == wait.len()), "{wait:?} after {waited:?} by {event:?}");
    }

    fn check_air(&self, event: &Event) {
        let on_air = self.queue.on_air(self.now);
        let pending = self.queue.pending();
        let entries = self.entries();
        if let Some(turn) = &on_air {
            let runs = turn.entry.presence != Presence::Absent && !self.queue.forced_slate();
            assert_eq!(turn.running, runs, "the clock of {turn:?}");
        }
        if let Some((_, target)) = pending {
            let target = entries.iter().find(|entry| entry.id == target).expect("a take of nobody");
            assert_eq!(target.presence, Presence::Ready, "a take of who is not ready, by {event:?}");
        }
        let ready = self.queue.next().is_some();
        let suspended = on_air.as_ref().is_some_and(|turn| turn.entry.presence == Presence::Absent);
        let kept = suspended && self.now.since(self.restarted) < self.settings.rejoin;
        if ready && !self.queue.hold() && (on_air.is_none() || (suspended && !kept)) {
            assert!(pending.is_some(), "dead air after {event:?}");
        }
        if pending.is_none() {
            match &on_air {
                None => assert_eq!(self.shown, None, "nobody is on air and somebody is seen, after {event:?}"),
                Some(turn) if turn.entry.presence == Presence::Ready => {
                    assert_eq!(
                        self.shown, turn.entry.connection,
                        "another than the one on air is seen, after {event:?}"
                    );
                }
                Some(_) => {}
            }
        }
        for connection in on_air.iter().filter_map(|turn| turn.entry.connection.as_ref()) {
            assert!(self.queue.cued().contains(connection));
        }
        assert!(self.queue.cued().len() <= 4);
        assert!(
            self.queue.next_deadline().is_none_or(|deadline| deadline > self.now),
            "a deadline in the past, after {event:?}"
        );
    }

    /// Nobody does anything any more: what ends by itself has ended. Everybody who is ready may have a turn still, and the end of the last
    /// one may hold its streamer off.
    fn check_end(&mut self) {
        let usual = self.queue.turn_length();
        let this = self.queue.on_air(self.now).map_or(usual, |turn| turn.length);
        let turns = this + usual * u32::try_from(self.entries().len()).unwrap_or(u32::MAX);
        // A stream that cannot be used is refused for ten minutes at most.
        self.wait(turns + self.settings.hold_off + Duration::from_mins(15), false);
        assert_eq!(self.queue.hold_offs(self.now), []);
        assert!(self.entries().iter().all(|entry| entry.presence != Presence::Absent), "absent for ever");
        assert_eq!(self.queue.pending(), None, "pending for ever");
        assert!(
            self.queue.waiting().all(|entry| entry.presence == Presence::Ready),
            "waits for ever without being ready"
        );
    }
}

trait PositionsOfNew {
    fn positions_of_new(self, old: &[EntryId]) -> Vec<usize>;
}

impl<'a, I: Iterator<Item = &'a EntryId>> PositionsOfNew for I {
    fn positions_of_new(self, old: &[EntryId]) -> Vec<usize> {
        self.enumerate().filter(|(_, id)| !old.contains(id)).map(|(at, _)| at).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1024, max_shrink_iters: 20_000, ..ProptestConfig::default() })]

    /// All properties together, over long random sequences with restarts in between.
    #[test]
    fn the_properties_hold_after_every_sequence_of_events(settings in settings(), steps in vec(step(), 1..250)) {
        let mut world = World::new(settings);
        for step in steps {
            world.play(step);
        }
        world.check_end();
    }

    /// Rule 13: any length but none and more than a day.
    #[test]
    fn any_length_up_to_a_day_can_be_set(millis in 1..=86_400_000_u64) {
        let mut queue = Queue::new(QueueSettings::default());
        let order = Order::SetTurn { length: Duration::from_millis(millis), reset: false };
        let outcome = queue.apply(Event::Order { command: CommandId(1), order }, Moment::ZERO);
        prop_assert_eq!(outcome.verdict, Verdict::Done { block: false });
        prop_assert!(queue.turn_length() <= LONGEST_TURN);
    }
}

/// The restart's ids do not collide with those of the process before, which the maps of a page may still hold.
#[test]
fn ids_are_never_used_twice() {
    let mut world = World::new(QueueSettings::default());
    let mut seen: HashMap<EntryId, AccountId> = HashMap::new();
    for round in 0..20 {
        world.play(Step::Publish { streamer: round % STREAMERS, alive: false });
        for entry in world.entries() {
            assert_eq!(*seen.entry(entry.id).or_insert(entry.account), entry.account);
        }
        world.play(Step::Restart(Vec::new()));
        world.play(Step::Wait { millis: 70_000, late: false });
    }
    assert_eq!(seen.len(), 20);
}
