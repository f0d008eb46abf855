//! Whatever SRS, its hooks, its API, the director and the clock do, in whatever order.

use std::collections::{HashMap, HashSet};

use proptest::prelude::*;

use super::*;

const CLIENTS: u8 = 5;
const RUNS: u8 = 2;

/// What happens next.
#[derive(Clone, Debug)]
enum Step {
    Publish {
        run: u8,
        client: u8,
        key: u8,
    },
    Unpublish {
        run: u8,
        client: u8,
    },
    /// The director answers a question that is open: one of them, yes or no, replacing somebody or not.
    Verdict {
        which: u8,
        answer: u8,
        replaces: Option<(u8, u8)>,
    },
    Disconnect {
        run: u8,
        client: u8,
    },
    /// SRS's list: by client, not there, live, or gone; asked for so many tenths of a second ago.
    Snapshot {
        run: u8,
        clients: Vec<u8>,
        age: u8,
        list: bool,
    },
    RunChanged {
        run: u8,
    },
    Down,
    Cleared {
        run: u8,
        client: u8,
    },
    MakeRoom {
        key: u8,
    },
    Wait {
        tenths: u8,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let (run, client, key) = (0..RUNS, 0..CLIENTS, 0..3_u8);
    prop_oneof![
        6 => (run.clone(), client.clone(), key.clone()).prop_map(|(run, client, key)| Step::Publish { run, client, key }),
        4 => (run.clone(), client.clone()).prop_map(|(run, client)| Step::Unpublish { run, client }),
        8 => (any::<u8>(), 0..4_u8, proptest::option::of((run.clone(), client.clone())))
            .prop_map(|(which, answer, replaces)| Step::Verdict { which, answer, replaces }),
        2 => (run.clone(), client.clone()).prop_map(|(run, client)| Step::Disconnect { run, client }),
        2 => (run.clone(), client).prop_map(|(run, client)| Step::Cleared { run, client }),
        4 => (run.clone(), prop::collection::vec(0..3_u8, usize::from(CLIENTS)), 0..40_u8, any::<bool>())
            .prop_map(|(run, clients, age, list)| Step::Snapshot { run, clients, age, list }),
        1 => run.prop_map(|run| Step::RunChanged { run }),
        1 => Just(Step::Down),
        1 => key.prop_map(|key| Step::MakeRoom { key }),
        4 => (1..50_u8).prop_map(|tenths| Step::Wait { tenths }),
    ]
}

/// Keeps the books on what was ordered, and complains.
#[derive(Default)]
struct Witness {
    /// Connections that the director was asked about, and owes an answer.
    open: Vec<Client>,
    asked: HashSet<ConnectionId>,
    /// The director counts them as alive.
    alive: HashSet<ConnectionId>,
    /// It was told that they are over.
    unpublished: HashSet<ConnectionId>,
    announced: HashMap<ConnectionId, bool>,
    unanswered: HashSet<Ticket>,
    given: Ticket,
}

impl Witness {
    fn watch(&mut self, publishers: &mut Publishers) {
        for effect in publishers.effects() {
            match effect {
                Effect::Ask(wish) => {
                    let connection = wish.client.connection();
                    assert!(self.asked.insert(connection), "the director is asked twice");
                    self.open.push(wish.client);
                }
                Effect::Answer(ticket, _) => assert!(self.unanswered.remove(&ticket), "a hook is answered twice"),
                Effect::Announce { connection, .. } => {
                    assert!(self.alive.contains(&connection), "announced, and not accepted");
                    let again = self.announced.insert(connection, true);
                    assert!(again.is_none(), "announced twice");
                }
                Effect::Withdraw(connection) => {
                    assert_eq!(self.announced.insert(connection, false), Some(true), "withdrawn, and not there");
                }
                Effect::Report(connection, _) => {
                    assert_eq!(self.announced.get(&connection), Some(&true), "figures of one who is not there");
                }
                Effect::Trouble(connection, _) => {
                    assert!(self.alive.contains(&connection), "trouble of one who is not there");
                }
                Effect::Unpublish(connection) => {
                    assert!(self.alive.remove(&connection), "over, and never accepted: {connection}");
                    assert!(self.unpublished.insert(connection), "over twice");
                }
                Effect::Kick { .. } | Effect::Clear { .. } => {}
            }
        }
    }
}

fn client(run: u8, client: u8) -> Client {
    Client::new(format!("r{run}"), format!("c{client}"))
}

fn live(id: u8) -> Live {
    let stream = Stream { name: format!("k{}", id % 3), app: "live".to_owned(), ..Stream::default() };
    Live { id: format!("c{id}").into(), stream, address: None }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_end_is_told_once_and_every_hook_answered_once(steps in prop::collection::vec(step(), 1..60)) {
        let mut publishers = Publishers::new(Duration::from_secs(30));
        let mut witness = Witness::default();
        let mut now = Moment::from_start(Duration::from_secs(100));
        let mut first = true;
        for step in steps {
            now = now + Duration::from_millis(1);
            take(&mut publishers, &mut witness, step, &mut now, &mut first);
            publishers.tick(now);
            witness.watch(&mut publishers);
            // Both agree on who is there.
            let accepted: HashSet<_> = publishers.accepted().into_iter().collect();
            prop_assert_eq!(&accepted, &witness.alive);
        }
        // The end: the director says all it has to say, and SRS is gone.
        while let Some(open) = witness.open.pop() {
            publishers.verdict(&open, None, now);
            witness.watch(&mut publishers);
        }
        // Who waited for another may have to wait for the other's stream as well.
        publishers.tick(now + Duration::from_secs(10));
        publishers.tick(now + Duration::from_secs(20));
        witness.watch(&mut publishers);
        publishers.down(now);
        witness.watch(&mut publishers);
        prop_assert!(witness.alive.is_empty());
        prop_assert!(witness.unanswered.is_empty());
        prop_assert!(witness.announced.values().all(|there| !there));
        prop_assert!(publishers.clients.is_empty());
        prop_assert_eq!(publishers.next_deadline(), None);
    }
}

fn take(publishers: &mut Publishers, witness: &mut Witness, step: Step, now: &mut Moment, first: &mut bool) {
    match step {
        Step::Publish { run, client: id, key } => {
            witness.given += 1;
            witness.unanswered.insert(witness.given);
            let wish = Wish {
                client: client(run, id),
                app: "live".to_owned(),
                key: StreamKey::new(format!("k{key}")),
                address: std::net::Ipv4Addr::LOCALHOST.into(),
                lingers: id == 0,
            };
            publishers.publish(wish, witness.given, *now);
        }
        Step::Unpublish { run, client: id } => publishers.unpublish(&client(run, id), *now),
        Step::Verdict { which, answer, replaces } => {
            if witness.open.is_empty() {
                return;
            }
            let open = witness.open.remove(usize::from(which) % witness.open.len());
            let verdict = match answer {
                0 => None,
                1 => Some(PublishVerdict::Refuse { reason: "no".to_owned() }),
                _ => Some(PublishVerdict::Accept { replaces: replaces.map(|(run, id)| client(run, id).connection()) }),
            };
            if matches!(verdict, Some(PublishVerdict::Accept { .. }))
                && !witness.unpublished.contains(&open.connection())
            {
                witness.alive.insert(open.connection());
            }
            publishers.verdict(&open, verdict, *now);
        }
        Step::Disconnect { run, client: id } => publishers.disconnect(&client(run, id).connection(), *now),
        Step::Snapshot { run, clients, age, list } => {
            let list = list && std::mem::take(first);
            let with = |wanted: u8| {
                let clients = clients.clone();
                (0..CLIENTS).filter(move |id| clients.get(usize::from(*id)) == Some(&wanted))
            };
            let snapshot = Snapshot {
                service: format!("r{run}").into(),
                asked: *now - Duration::from_millis(100) * u32::from(age),
                live: with(1).map(live).collect(),
                gone: with(2).map(|id| client(run, id)).collect(),
            };
            let before = witness.asked.clone();
            publishers.snapshot(snapshot, list, *now);
            if list {
                // Who is listed is alive for the director, and nobody was before.
                witness.alive.extend(publishers.accepted().into_iter().filter(|id| !before.contains(id)));
            }
        }
        Step::RunChanged { run } => publishers.run_changed(&format!("r{run}"), *now, *now),
        Step::Down => publishers.down(*now),
        Step::Cleared { run, client: id } => publishers.cleared(&client(run, id), *now),
        Step::MakeRoom { key } => drop(publishers.make_room("live", &StreamKey::new(format!("k{key}")), *now, *now)),
        Step::Wait { tenths } => *now = *now + Duration::from_millis(100) * u32::from(tenths),
    }
}
