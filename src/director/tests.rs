//! The director among neighbours that write down what they are told.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::future::BoxFuture;
use proptest::prelude::*;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

mod abandoned;
mod darkness;
mod unusable;

use super::*;
use crate::{
    accounts::KeyOwner,
    clock::Clock,
    core::{
        account::StreamKey,
        frame::ConnectionId,
        queue::{TakeId, Urgency},
        show::darkness::LifeSign,
    },
    ingest::{IngestEvent, PublishRequest, PublishVerdict},
    media::MediaEvent,
    store::{Change, Kept, Note, Receipt, SHOW, SHOW_ENDED_BY_HAND, Store, StoreError},
};

/// What the disk does.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Disk {
    Works,
    Fails,
    Hangs,
}

/// What the neighbours were told, and how they behave.
struct Book {
    lines: Vec<String>,
    disk: Disk,
    queue: Option<Vec<u8>>,
    settings: HashMap<String, serde_json::Value>,
    note: Note,
    /// What the machine's clocks say.
    clocks: LifeSign,
    commits: usize,
    /// What nobody waits for, while the disk takes nothing.
    waiting: Vec<Change>,
    bytes: HashMap<ConnectionId, u64>,
    connections: Vec<ConnectionId>,
}

#[derive(Clone)]
struct Neighbours(Arc<Mutex<Book>>);

impl Neighbours {
    fn new() -> Self {
        Self(Arc::new(Mutex::new(Book {
            lines: Vec::new(),
            disk: Disk::Works,
            queue: None,
            settings: HashMap::new(),
            note: Note::default(),
            clocks: LifeSign { boot: "one".into(), up_ms: 60_000, wall: jiff::Timestamp::UNIX_EPOCH, known: true },
            commits: 0,
            waiting: Vec::new(),
            bytes: HashMap::new(),
            connections: Vec::new(),
        })))
    }

    fn with<T>(&self, see: impl FnOnce(&mut Book) -> T) -> T {
        see(&mut self.0.lock().unwrap())
    }

    fn say(&self, line: impl Into<String>) {
        self.with(|book| book.lines.push(line.into()));
    }

    /// What was said since the last time.
    fn said(&self) -> Vec<String> {
        self.with(|book| std::mem::take(&mut book.lines))
    }

    /// The disk works again, and takes what waited.
    fn mend(&self) {
        self.with(|book| book.disk = Disk::Works);
        self.store(Vec::new());
    }

    fn store(&self, changes: Vec<Change>) {
        self.with(|book| {
            book.commits += 1;
            let waited = std::mem::take(&mut book.waiting);
            for change in waited.into_iter().chain(changes) {
                match change {
                    Change::PutQueue(queue) => book.queue = Some(queue),
                    Change::PutSetting(name, value) => drop(book.settings.insert(name, value)),
                    Change::AppendHistory(row) => book.lines.push(format!("history {} {}", row.name, row.reason)),
                    Change::AppendAudit(row) => {
                        book.lines.push(format!("audit {} {} {}", row.who, row.action, row.target));
                    }
                    other => panic!("{other:?}"),
                }
            }
        });
    }
}

impl MediaPort for Neighbours {
    fn set_cued(&self, connections: Vec<ConnectionId>) {
        let names: Vec<_> = connections.iter().map(ToString::to_string).collect();
        self.say(format!("cue {}", names.join(" ")));
    }

    fn take(&self, take: TakeId, connection: ConnectionId, urgency: Urgency) {
        self.say(format!("take {} {connection} {urgency:?}", take.0));
    }

    fn cancel_take(&self, take: TakeId) {
        self.say(format!("cancel {}", take.0));
    }

    fn give_up_take(&self, take: TakeId, _connection: ConnectionId) {
        self.say(format!("give up {}", take.0));
    }

    fn clear(&self) {
        self.say("clear");
    }

    fn force_slate(&self, on: bool) {
        self.say(format!("slate {on}"));
    }

    fn set_show(&self, on: bool) {
        self.say(format!("show {on}"));
    }

    fn hold_show(&self, held: bool) {
        self.say(format!("show held {held}"));
    }

    fn received(&self, connection: &ConnectionId) -> Option<u64> {
        self.with(|book| book.bytes.get(connection).copied())
    }
}

impl IngestPort for Neighbours {
    fn disconnect(&self, connection: ConnectionId, reason: String) -> BoxFuture<'static, ()> {
        self.say(format!("disconnect {connection}: {reason}"));
        Box::pin(async {})
    }

    fn connections(&self) -> BoxFuture<'static, Vec<ConnectionId>> {
        let connections = self.with(|book| book.connections.clone());
        Box::pin(async { connections })
    }
}

impl StorePort for Neighbours {
    fn commit(&self, changes: Vec<Change>) -> BoxFuture<'static, Result<(), StoreError>> {
        let book = self.clone();
        Box::pin(async move {
            sleep(Duration::from_millis(1)).await;
            while book.with(|book| book.disk) == Disk::Hangs {
                sleep(Duration::from_millis(1)).await;
            }
            if book.with(|book| book.disk) == Disk::Fails {
                return Err(StoreError::Full { path: "disk".into() });
            }
            book.store(changes);
            Ok(())
        })
    }

    fn commit_soon(&self, changes: Vec<Change>) -> Receipt {
        if self.with(|book| book.disk) == Disk::Works {
            self.store(changes);
            return Receipt::at_once();
        }
        self.with(|book| book.waiting.extend(changes));
        Receipt::never()
    }

    fn note(&self, note: Note) {
        self.with(|book| book.note = note);
    }
}

impl AccountsPort for Neighbours {
    /// Everybody's key is `key-` and their name; Zoe may not publish.
    fn key_owner(&self, key: &StreamKey) -> Option<KeyOwner> {
        let name = key.expose().strip_prefix("key-")?.to_owned();
        let refusal = (name == "zoe").then(|| "your account is disabled".to_owned());
        Some(KeyOwner { id: id(&name), name, refusal })
    }

    fn name(&self, _: AccountId) -> Option<String> {
        None
    }
}

fn id(name: &str) -> AccountId {
    AccountId(u64::from(name.bytes().next().unwrap()))
}

fn connection(name: &str) -> ConnectionId {
    ConnectionId::new(name)
}

/// A director at work.
struct House {
    neighbours: Neighbours,
    director: Director,
    media: mpsc::Sender<MediaEvent>,
    ingest: mpsc::Sender<IngestEvent>,
    token: CancellationToken,
    task: JoinHandle<()>,
}

impl House {
    fn start(neighbours: &Neighbours) -> Self {
        Self::start_with(neighbours, neighbours.clone(), None)
    }

    fn start_with(neighbours: &Neighbours, store: impl StorePort, stored: Option<Stored>) -> Self {
        let (media, media_events) = mpsc::channel(64);
        let (ingest, ingest_events) = mpsc::channel(64);
        let stored = stored.unwrap_or_else(|| {
            neighbours.with(|book| Stored {
                queue: book.queue.clone(),
                note: book.note.clone(),
                show: book.settings.get(SHOW).is_some_and(|show| show == true),
                ended_by_hand: book.settings.get(SHOW_ENDED_BY_HAND).is_some_and(|ended| ended == true),
            })
        });
        let parts = Parts {
            settings: QueueSettings::default(),
            app: "live".into(),
            stored,
            clock: Clock::start(),
            alive: Arc::new({
                let neighbours = neighbours.clone();
                move || neighbours.with(|book| book.clocks.clone())
            }),
            resume: Duration::from_mins(15),
            media: neighbours.clone(),
            media_events,
            ingest: neighbours.clone(),
            ingest_events,
            store,
            accounts: neighbours.clone(),
        };
        let token = CancellationToken::new();
        let start = Instant::now();
        let now = move || Moment::from_start(start.elapsed());
        let (director, task) = Director::start_with(parts, token.clone(), now).unwrap();
        Self { neighbours: neighbours.clone(), director, media, ingest, token, task: tokio::spawn(task) }
    }

    async fn ask(&self, name: &str, connection: &str, app: &str) -> oneshot::Receiver<PublishVerdict> {
        let (verdict, answer) = oneshot::channel();
        let request = PublishRequest {
            connection: ConnectionId::new(connection),
            app: app.into(),
            key: StreamKey::new(format!("key-{name}")),
            address: [127, 0, 0, 1].into(),
            verdict,
        };
        self.ingest.send(IngestEvent::Publish(request)).await.unwrap();
        answer
    }

    /// Ann's connections are `a...`.
    async fn publish(&self, name: &str, connection: &str) -> PublishVerdict {
        self.ask(name, connection, "live").await.await.unwrap()
    }

    async fn arrive(&self, name: &str, connection_name: &str) {
        assert!(matches!(self.publish(name, connection_name).await, PublishVerdict::Accept { .. }));
        self.media(MediaEvent::Ready(connection(connection_name))).await;
    }

    async fn media(&self, event: MediaEvent) {
        self.media.send(event).await.unwrap();
        self.rest().await;
    }

    async fn leaves(&self, name: &str) {
        self.ingest.send(IngestEvent::Unpublish(connection(name))).await.unwrap();
        self.rest().await;
    }

    /// Long enough for whatever is under way, on a disk that works.
    async fn rest(&self) {
        sleep(Duration::from_millis(5)).await;
    }

    /// The take that was ordered last happens.
    async fn taken(&self, said: &[String]) {
        let take = said.iter().rev().find_map(|line| line.strip_prefix("take ")).expect("a take was ordered");
        let take = take.split(' ').next().unwrap().parse().unwrap();
        self.media(MediaEvent::Taken(TakeId(take))).await;
    }

    /// Ann is on air, bea and cid wait and can be taken.
    async fn with_three(neighbours: &Neighbours) -> Self {
        let stage = Self::start(neighbours);
        stage.goes_on_air("ann", "a1").await;
        stage.arrive("bea", "b1").await;
        stage.arrive("cid", "c1").await;
        neighbours.said();
        stage
    }

    /// Arrives on an empty stage and is taken.
    async fn goes_on_air(&self, name: &str, connection: &str) {
        self.arrive(name, connection).await;
        self.taken(&self.neighbours.said()).await;
        assert_eq!(self.on_air(), name);
        self.neighbours.said();
    }

    fn on_air(&self) -> String {
        let snapshot = self.director.snapshot.borrow().clone();
        snapshot.queue.on_air.as_ref().map_or_else(|| "-".into(), |turn| turn.entry.name.clone())
    }

    fn waiting(&self) -> Vec<String> {
        self.director.snapshot.borrow().queue.waiting.iter().map(|entry| entry.name.clone()).collect()
    }

    fn refusal(&self, name: &str) -> Option<String> {
        self.director.snapshot.borrow().refusals.get(&id(name)).map(|(_, reason)| reason.clone())
    }

    async fn stop(self) {
        self.token.cancel();
        self.task.await.unwrap();
    }
}

fn takes(said: &[String]) -> Vec<&str> {
    said.iter().filter(|line| line.starts_with("take ")).map(String::as_str).collect()
}

#[tokio::test(start_paused = true)]
async fn a_publish_is_cued_and_taken_at_its_first_key_frame() {
    let neighbours = Neighbours::new();
    let stage = House::start(&neighbours);
    assert_eq!(stage.publish("ann", "a1").await, PublishVerdict::Accept { replaces: None });
    stage.rest().await;
    assert_eq!(neighbours.said(), ["cue a1"]);
    stage.media(MediaEvent::Ready(connection("a1"))).await;
    let said = neighbours.said();
    assert!(said[0].ends_with("a1 Now"), "{said:?}");
    stage.taken(&said).await;
    assert_eq!(stage.on_air(), "ann");
    stage.stop().await;
}

/// Rule 1.
#[tokio::test(start_paused = true)]
async fn refusals_are_readable_on_the_streamers_page() {
    let stage = House::start(&Neighbours::new());
    let refused = |verdict| match verdict {
        PublishVerdict::Refuse { reason } => reason,
        verdict @ PublishVerdict::Accept { .. } => panic!("{verdict:?}"),
    };
    assert!(refused(stage.publish("zoe", "z1").await).contains("disabled"));
    assert!(refused(stage.ask("ann", "a1", "studio").await.await.unwrap()).contains("\"live\""));
    let (verdict, answer) = oneshot::channel();
    let request = PublishRequest {
        connection: connection("x1"),
        app: "live".into(),
        key: StreamKey::new("nobody's"),
        address: [127, 0, 0, 1].into(),
        verdict,
    };
    stage.ingest.send(IngestEvent::Publish(request)).await.unwrap();
    assert!(refused(answer.await.unwrap()).contains("stream key"));
    stage.rest().await;
    assert!(stage.refusal("zoe").unwrap().contains("disabled"));
    assert!(stage.refusal("ann").unwrap().contains("live"));
    assert_eq!(stage.neighbours.with(|book| book.commits), 1, "refusing writes nothing but the restart's state");
    // Over, once she is let in.
    stage.arrive("ann", "a2").await;
    assert_eq!((stage.refusal("ann"), stage.refusal("zoe").is_some()), (None, true));
    stage.stop().await;
}

/// Rules 3 and 14, from the handle to media and ingest and back.
#[tokio::test(start_paused = true)]
async fn a_skip_takes_the_next_and_disconnects_only_after_taken() {
    let neighbours = Neighbours::new();
    let stage = House::start(&neighbours);
    stage.goes_on_air("ann", "a1").await;
    stage.arrive("bea", "b1").await;
    neighbours.said();
    let turn = stage.director.snapshot().borrow().queue.on_air.as_ref().unwrap().id;
    stage.director.skip(Some(turn)).await.unwrap();
    stage.rest().await;
    assert_eq!(stage.director.skip(Some(turn)).await, Err(OrderError::AlreadyOver));
    let said = neighbours.said();
    assert_eq!((said.len(), takes(&said).len()), (1, 1), "{said:?}");
    stage.taken(&said).await;
    assert_eq!(neighbours.said(), ["disconnect a1: an admin ended your turn", "history ann skip", "cue b1"]);
    assert_eq!((stage.on_air().as_str(), stage.refusal("ann").as_deref()), ("bea", Some("an admin ended your turn")));
    stage.stop().await;
}

/// Rule 19.
#[tokio::test(start_paused = true)]
async fn requests_that_can_not_be_stored_are_refused_and_did_not_happen() {
    let neighbours = Neighbours::new();
    let stage = House::start(&neighbours);
    stage.goes_on_air("ann", "a1").await;
    stage.arrive("bea", "b1").await;
    neighbours.said();
    neighbours.with(|book| book.disk = Disk::Fails);
    assert!(matches!(stage.publish("cid", "c1").await, PublishVerdict::Refuse { .. }));
    let bea = stage.director.snapshot().borrow().queue.waiting[0].id;
    assert!(matches!(stage.director.put_on_air(bea).await, Err(OrderError::Store(_))));
    assert!(matches!(stage.director.begin_show().await, Err(OrderError::Store(_))));
    assert!(matches!(stage.director.set_block(None).await, Err(OrderError::Store(_))));
    stage.rest().await;
    assert_eq!((stage.on_air().as_str(), stage.waiting()), ("ann", vec!["bea".to_owned()]));
    assert!(takes(&neighbours.said()).is_empty());
    assert!(stage.refusal("cid").unwrap().contains("store"));
    neighbours.with(|book| book.disk = Disk::Works);
    assert_eq!(stage.director.set_block(None).await, Ok(true));
    stage.stop().await;
}

/// Rule 19: a failing store never stops a handover.
#[tokio::test(start_paused = true)]
async fn facts_act_although_nothing_can_be_stored() {
    let neighbours = Neighbours::new();
    let stage = House::start(&neighbours);
    stage.goes_on_air("ann", "a1").await;
    stage.arrive("bea", "b1").await;
    neighbours.said();
    neighbours.with(|book| book.disk = Disk::Fails);
    stage.leaves("a1").await;
    let said = neighbours.said();
    assert_eq!(takes(&said).len(), 1, "{said:?}");
    stage.taken(&said).await;
    assert_eq!(stage.on_air(), "bea");
    neighbours.with(|book| book.disk = Disk::Works);
    stage.leaves("b1").await;
    let stored: Record = serde_json::from_slice(&neighbours.with(|book| book.queue.clone()).unwrap()).unwrap();
    assert_eq!(&*stored.on_air.unwrap().entry.name, "bea");
    stage.stop().await;
}

/// Rule 19: facts do not wait for the commit of a request.
#[tokio::test(start_paused = true)]
async fn a_disk_that_hangs_delays_answers_and_no_handover() {
    let neighbours = Neighbours::new();
    let stage = House::start(&neighbours);
    stage.goes_on_air("ann", "a1").await;
    stage.arrive("bea", "b1").await;
    neighbours.said();
    neighbours.with(|book| book.disk = Disk::Hangs);
    let answer = stage.ask("cid", "c1", "live").await;
    stage.rest().await;
    stage.leaves("a1").await;
    let said = neighbours.said();
    assert_eq!(takes(&said).len(), 1, "{said:?}");
    stage.taken(&said).await;
    // Once more, with the panic button pressed.
    neighbours.said();
    let skip = tokio::spawn({
        let director = stage.director.clone();
        async move { director.set_forced_slate(true).await }
    });
    stage.rest().await;
    stage.leaves("b1").await;
    neighbours.with(|book| book.disk = Disk::Works);
    assert_eq!(answer.await.unwrap(), PublishVerdict::Accept { replaces: None });
    assert!(skip.await.unwrap().is_ok());
    stage.rest().await;
    assert_eq!((stage.on_air().as_str(), stage.waiting()), ("bea", vec!["ann".to_owned(), "cid".to_owned()]));
    stage.stop().await;
}

/// Rule 19: a dead disk never stops a hand on the panic button.
#[tokio::test(start_paused = true)]
async fn orders_that_make_the_show_safe_act_although_nothing_can_be_stored() {
    let neighbours = Neighbours::new();
    let stage = House::start(&neighbours);
    stage.goes_on_air("ann", "a1").await;
    for (name, connection) in [("bea", "b1"), ("cid", "c1"), ("dan", "d1"), ("eve", "e1")] {
        stage.arrive(name, connection).await;
    }
    stage.director.begin_show().await.unwrap();
    neighbours.said();
    let snapshot = || stage.director.snapshot().borrow().queue.clone();
    for disk in [Disk::Fails, Disk::Hangs] {
        neighbours.with(|book| book.disk = disk);
        assert_eq!(stage.director.set_forced_slate(true).await, Ok(Kept::NotYet));
        assert!(snapshot().forced_slate && neighbours.said() == ["slate true"], "{disk:?}");
        assert_eq!(stage.director.set_forced_slate(false).await, Ok(Kept::NotYet));
        assert!(!snapshot().forced_slate && neighbours.said() == ["slate false"], "{disk:?}");
        assert_eq!(stage.director.set_hold(true).await, Ok(Kept::NotYet));
        assert!(snapshot().hold, "{disk:?}");
        assert_eq!(stage.director.set_hold(false).await, Ok(Kept::NotYet));
        assert_eq!(stage.director.end_show().await, Ok(Kept::NotYet));
        assert!(!snapshot().show && neighbours.said() == ["show false"], "{disk:?}");
    }
    neighbours.with(|book| book.disk = Disk::Fails);
    let turn = snapshot().on_air.unwrap().id;
    assert_eq!(stage.director.skip(Some(turn)).await, Ok(Kept::NotYet));
    let said = neighbours.said();
    assert_eq!(takes(&said).len(), 1, "{said:?}");
    assert_eq!(stage.director.skip(Some(turn)).await, Err(OrderError::AlreadyOver), "as ever");
    stage.taken(&said).await;
    assert_eq!((stage.on_air().as_str(), stage.waiting().len()), ("bea", 3));
    neighbours.said();
    let waits = |name: &str| snapshot().waiting.into_iter().find(|entry| entry.name == name).unwrap().id;
    assert_eq!(stage.director.kick(waits("cid")).await, Ok(Kept::NotYet));
    assert_eq!(stage.director.revoke(id("dan"), true, "you were banned".into()).await, Ok(Kept::NotYet));
    assert_eq!(stage.director.leave(id("eve")).await, Ok(Kept::NotYet));
    assert_eq!(stage.waiting(), [""; 0]);
    let said = neighbours.said().join("; ");
    for gone in ["disconnect c1", "disconnect d1: you were banned", "disconnect e1"] {
        assert!(said.contains(gone), "{said}");
    }

    // A restart now brings back what was stored; and once the disk works again, what was done.
    let stored = || -> Record { serde_json::from_slice(&neighbours.with(|book| book.queue.clone()).unwrap()).unwrap() };
    assert_eq!((&*stored().on_air.unwrap().entry.name, stored().waiting.len()), ("ann", 4));
    assert_eq!(neighbours.with(|book| book.settings[SHOW].clone()), true);
    neighbours.mend();
    stage.rest().await;
    assert_eq!(
        (&*stored().on_air.unwrap().entry.name, stored().waiting.len(), stored().hold_offs.len()),
        ("bea", 0, 1)
    );
    assert_eq!(neighbours.with(|book| book.settings[SHOW].clone()), false);
    assert_eq!(stage.director.set_hold(true).await, Ok(Kept::Stored), "on a disk that works");
    stage.stop().await;
}

/// Rule 19: nor does a request that hangs, whether it is stored in the end or not.
#[tokio::test(start_paused = true)]
async fn orders_that_make_the_show_safe_overtake_what_is_being_stored() {
    for end in [Disk::Works, Disk::Fails] {
        let neighbours = Neighbours::new();
        let stage = House::start(&neighbours);
        stage.goes_on_air("ann", "a1").await;
        stage.arrive("bea", "b1").await;
        neighbours.said();
        neighbours.with(|book| book.disk = Disk::Hangs);
        let bea = stage.director.snapshot().borrow().queue.waiting[0].id;
        let (director, other) = (stage.director.clone(), stage.director.clone());
        let put_on_air = tokio::spawn(async move { director.put_on_air(bea).await });
        stage.rest().await;
        let publish = stage.ask("cid", "c1", "live").await;
        let begin = tokio::spawn(async move { other.begin_show().await });
        stage.rest().await;
        assert_eq!(neighbours.said(), [""; 0], "what is being stored has not acted");
        let (asked, director) = (Instant::now(), stage.director.clone());
        let panic = tokio::spawn(async move { director.set_forced_slate(true).await });
        stage.rest().await;
        // In order, and not when patience is at its end: what waited, then the slate.
        let said = neighbours.said();
        assert!(takes(&said).len() == 1 && said.last().unwrap() == "slate true", "{said:?}");
        assert!(stage.director.snapshot().borrow().queue.forced_slate, "everybody sees it");
        assert_eq!(panic.await.unwrap(), Ok(Kept::NotYet));
        assert!(asked.elapsed() <= Duration::from_millis(260), "{:?}", asked.elapsed());
        assert_eq!(stage.director.set_hold(true).await, Ok(Kept::NotYet));
        assert_eq!(stage.director.end_show().await, Ok(Kept::NotYet));
        assert_eq!(begin.await.unwrap(), Err(OrderError::Refused("the show was ended meanwhile".into())));
        neighbours.said();

        neighbours.with(|book| book.disk = end);
        assert_eq!(put_on_air.await.unwrap().is_ok(), end == Disk::Works);
        assert_eq!(matches!(publish.await.unwrap(), PublishVerdict::Accept { .. }), end == Disk::Works);
        neighbours.mend();
        stage.rest().await;
        let snapshot = stage.director.snapshot().borrow().queue.clone();
        assert!(snapshot.forced_slate && snapshot.hold && !snapshot.show, "{end:?}");
        let slates: Vec<_> = neighbours.said().into_iter().filter(|line| line.starts_with("slate ")).collect();
        assert!(slates.iter().all(|line| line == "slate true"), "{end:?}: {slates:?}");
        stage.stop().await;
        let stage = House::start(&neighbours);
        let snapshot = stage.director.snapshot().borrow().queue.clone();
        assert!(snapshot.forced_slate && snapshot.hold && !snapshot.show, "{end:?}: after a restart");
        stage.stop().await;
    }
}

/// What happens, one thing after another.
#[derive(Clone, Debug)]
enum Step {
    Disk(Disk),
    Publish(usize),
    Ready(usize),
    Unpublish(usize),
    Taken,
    Block(bool),
    Begin,
    Slate(bool),
    Hold(bool),
    End,
    Skip,
    Kick(usize),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => prop_oneof![Just(Disk::Works), Just(Disk::Fails), Just(Disk::Hangs)].prop_map(Step::Disk),
        3 => (0..5_usize).prop_map(Step::Publish),
        3 => (0..5_usize).prop_map(Step::Ready),
        1 => (0..5_usize).prop_map(Step::Unpublish),
        3 => Just(Step::Taken),
        1 => any::<bool>().prop_map(Step::Block),
        1 => Just(Step::Begin),
        1 => any::<bool>().prop_map(Step::Slate),
        1 => any::<bool>().prop_map(Step::Hold),
        1 => Just(Step::End),
        1 => Just(Step::Skip),
        1 => (0..5_usize).prop_map(Step::Kick),
        1 => prop_oneof![Just(1), Just(120), Just(5000)].prop_map(Step::Wait),
    ]
}

async fn play(steps: Vec<Step>) {
    let neighbours = Neighbours::new();
    let stage = House::start(&neighbours);
    let names = ["ann", "bea", "cid", "dan", "eve"];
    let mut connections = [0; 5];
    let mut said = Vec::new();
    let snapshot = || stage.director.snapshot().borrow().queue.clone();
    for step in steps {
        let asked = Instant::now();
        match step {
            Step::Disk(Disk::Works) => neighbours.mend(),
            Step::Disk(disk) => neighbours.with(|book| book.disk = disk),
            Step::Publish(who) => {
                connections[who] += 1;
                // Nobody waits for the verdict: the disk may hang.
                drop(stage.ask(names[who], &format!("{}{}", names[who], connections[who]), "live").await);
            }
            Step::Ready(who) => {
                let name = format!("{}{}", names[who], connections[who]);
                stage.media(MediaEvent::Ready(connection(&name))).await;
            }
            Step::Unpublish(who) => stage.leaves(&format!("{}{}", names[who], connections[who])).await,
            Step::Taken => {
                if let Some(take) = takes(&said).last() {
                    let take = take.split(' ').nth(1).unwrap().parse().unwrap();
                    stage.media(MediaEvent::Taken(TakeId(take))).await;
                }
            }
            Step::Block(on) => drop(tokio::spawn({
                let director = stage.director.clone();
                async move { director.set_block(Some(on)).await }
            })),
            Step::Begin => drop(tokio::spawn({
                let director = stage.director.clone();
                async move { director.begin_show().await }
            })),
            Step::Slate(on) => {
                said.extend(neighbours.said());
                let before = snapshot().forced_slate;
                stage.director.set_forced_slate(on).await.unwrap();
                assert_eq!(snapshot().forced_slate, on);
                let now = neighbours.said();
                assert!(before == on || now.contains(&format!("slate {on}")), "{now:?}");
                said.extend(now);
            }
            Step::Hold(on) => {
                stage.director.set_hold(on).await.unwrap();
                assert_eq!(snapshot().hold, on);
            }
            Step::End => {
                stage.director.end_show().await.unwrap();
                assert!(!snapshot().show);
                said.extend(neighbours.said());
                assert!(said.contains(&"show false".to_owned()));
            }
            Step::Skip => {
                let turn = snapshot().on_air.map(|turn| turn.id);
                if stage.director.skip(turn).await.is_ok() {
                    let again = stage.director.skip(turn).await;
                    assert_eq!(again, Err(OrderError::AlreadyOver));
                }
            }
            Step::Kick(at) => {
                if let Some(entry) = snapshot().waiting.get(at) {
                    stage.director.kick(entry.id).await.unwrap();
                    assert!(snapshot().waiting.iter().all(|other| other.id != entry.id));
                }
            }
            Step::Wait(millis) => sleep(Duration::from_millis(millis)).await,
        }
        if !matches!(step, Step::Wait(_)) {
            assert!(asked.elapsed() <= Duration::from_millis(600), "{step:?} took {:?}", asked.elapsed());
        }
        said.extend(neighbours.said());
    }
    // The disk recovers: what it has then is what is in memory.
    neighbours.mend();
    sleep(Duration::from_millis(500)).await;
    let now = snapshot();
    let stored = neighbours.with(|book| book.queue.clone()).unwrap();
    let stored: Record = serde_json::from_slice(&stored).unwrap();
    let waiting: Vec<_> = stored.waiting.iter().map(|entry| entry.name.to_string()).collect();
    assert_eq!(stage.waiting(), waiting);
    assert_eq!(now.on_air.map(|turn| turn.id), stored.on_air.map(|turn| turn.id));
    assert_eq!((now.hold, now.forced_slate), (stored.hold, stored.forced_slate));
    assert_eq!(now.block, stored.block.unwrap_or_default());
    let held = stage.director.snapshot().borrow().hold_offs.clone();
    let held: Vec<_> = held.iter().filter(|held| held.reason.contains("removed")).map(|held| held.account).collect();
    assert_eq!(held, stored.hold_offs.iter().map(|held| held.account).collect::<Vec<_>>());
    let show = neighbours.with(|book| book.settings.get(SHOW).is_some_and(|show| show == true));
    assert_eq!(now.show, show);
    // And media shows what memory says.
    let slate = said.iter().rev().find(|line| line.starts_with("slate "));
    assert_eq!(now.forced_slate, slate.is_some_and(|line| line == "slate true"));
    stage.stop().await;
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Rule 19, whatever the disk does meanwhile.
    #[test]
    fn orders_that_make_the_show_safe_always_act_and_the_disk_has_what_memory_has_in_the_end(
        steps in prop::collection::vec(step(), 1..60)
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(play(steps));
    }
}

/// Rule 19: what was done on the strength of a request that failed is put right.
#[tokio::test(start_paused = true)]
async fn media_is_told_anew_when_a_request_fails_after_facts_acted() {
    let neighbours = Neighbours::new();
    let stage = House::with_three(&neighbours).await;
    neighbours.with(|book| book.disk = Disk::Hangs);
    let director = stage.director.clone();
    let put_on_air = tokio::spawn(async move {
        let entry = director.snapshot().borrow().queue.waiting[0].id;
        director.put_on_air(entry).await
    });
    stage.rest().await;
    assert!(takes(&neighbours.said()).is_empty(), "an order that can wait acts when it is stored");
    // The target goes: the fact waits behind the order's take, but not for long.
    stage.leaves("b1").await;
    assert!(takes(&neighbours.said()).is_empty());
    sleep(Duration::from_millis(200)).await;
    let said = neighbours.said();
    let given_up = said.iter().any(|line| line.starts_with("cancel "));
    assert!(takes(&said)[0].contains("b1") && given_up, "{said:?}");
    neighbours.with(|book| book.disk = Disk::Fails);
    assert!(matches!(put_on_air.await.unwrap(), Err(OrderError::Store(_))));
    stage.rest().await;
    let said = neighbours.said();
    assert!(takes(&said).last().unwrap().contains("a1 Now"), "ann is on air: {said:?}");
    stage.taken(&said).await;
    assert_eq!((stage.on_air().as_str(), stage.waiting()), ("ann", vec!["bea".to_owned(), "cid".to_owned()]));
    stage.stop().await;
}

/// An encoder that hangs up while it waits for the verdict has no place.
#[tokio::test(start_paused = true)]
async fn an_encoder_that_did_not_wait_is_absent() {
    let stage = House::start(&Neighbours::new());
    stage.neighbours.with(|book| book.disk = Disk::Hangs);
    let answer = stage.ask("ann", "a1", "live").await;
    stage.rest().await;
    drop(answer);
    stage.neighbours.with(|book| book.disk = Disk::Works);
    stage.rest().await;
    assert_eq!(stage.director.snapshot().borrow().queue.waiting[0].presence, Presence::Absent);
    sleep(Duration::from_secs(16)).await;
    assert!(stage.waiting().is_empty());
    stage.stop().await;
}

/// Rule 3: otherwise it would go on sending, without a place.
#[tokio::test(start_paused = true)]
async fn a_connection_is_told_to_come_again_when_the_one_that_took_it_over_did_not_wait() {
    let neighbours = Neighbours::new();
    let stage = House::start(&neighbours);
    stage.goes_on_air("ann", "a1").await;
    neighbours.with(|book| book.disk = Disk::Hangs);
    let answer = stage.ask("ann", "a2", "live").await;
    stage.rest().await;
    drop(answer);
    neighbours.said();
    neighbours.mend();
    stage.rest().await;
    let said = neighbours.said();
    assert!(said.iter().any(|line| line.starts_with("disconnect a1: another encoder")), "{said:?}");
    assert!(stage.refusal("ann").unwrap().contains("start your stream again"));
    // It comes again, and goes on with its turn.
    stage.arrive("ann", "a3").await;
    stage.taken(&neighbours.said()).await;
    assert_eq!(stage.on_air(), "ann");
    stage.stop().await;
}

/// Rule 3: whether the old connection is alive comes from media's figures.
#[tokio::test(start_paused = true)]
async fn a_second_takeover_is_refused_while_the_current_connection_delivers() {
    let neighbours = Neighbours::new();
    let stage = House::start(&neighbours);
    stage.goes_on_air("ann", "a1").await;
    let took = |old| PublishVerdict::Accept { replaces: Some(connection(old)) };
    assert_eq!(stage.publish("ann", "a2").await, took("a1"));
    for round in 1..10 {
        neighbours.with(|book| book.bytes.insert(connection("a2"), round * 1000));
        sleep(Duration::from_secs(1)).await;
    }
    assert!(matches!(stage.publish("ann", "a3").await, PublishVerdict::Refuse { .. }));
    sleep(Duration::from_secs(3)).await;
    assert_eq!(stage.publish("ann", "a4").await, took("a2"));
    stage.stop().await;
}

/// Rule 17.
#[tokio::test(start_paused = true)]
async fn a_crash_loses_at_most_five_seconds_of_the_turn_and_nothing_acknowledged() {
    let neighbours = Neighbours::new();
    let stage = House::start(&neighbours);
    stage.goes_on_air("ann", "a1").await;
    stage.arrive("bea", "b1").await;
    stage.media(MediaEvent::Show(true)).await;
    let commits = neighbours.with(|book| book.commits);
    sleep(Duration::from_secs(59)).await;
    let written = neighbours.with(|book| book.commits) - commits;
    assert!(written <= 2, "{written} commits by the clock in 59 s");
    // Gone without a word.
    stage.task.abort();
    neighbours.said();

    let stage = House::start(&neighbours);
    stage.rest().await;
    let snapshot = stage.director.snapshot().borrow().clone();
    let turn = snapshot.queue.on_air.as_ref().unwrap();
    assert!((54.0..=59.1).contains(&turn.elapsed_seconds), "{}", turn.elapsed_seconds);
    assert!(turn.suspended && snapshot.queue.show);
    assert_eq!(stage.waiting(), ["bea"]);
    assert_eq!(neighbours.said(), ["show true"]);
    stage.stop().await;
}

/// Rule 17: after a power cut there is only what was committed.
#[tokio::test(start_paused = true)]
async fn a_power_cut_loses_at_most_thirty_seconds_of_the_turn() {
    let neighbours = Neighbours::new();
    let stage = House::start(&neighbours);
    stage.goes_on_air("ann", "a1").await;
    sleep(Duration::from_secs(89)).await;
    stage.task.abort();
    neighbours.with(|book| book.note = Note::default());
    let stage = House::start(&neighbours);
    let elapsed = stage.director.snapshot().borrow().queue.on_air.as_ref().unwrap().elapsed_seconds;
    assert!((59.0..=89.1).contains(&elapsed), "{elapsed}");
    stage.stop().await;
}

/// Rule 17: connections that outlived the box.
#[tokio::test(start_paused = true)]
async fn connections_the_ingest_still_has_go_on() {
    let neighbours = Neighbours::new();
    let stage = House::start(&neighbours);
    stage.goes_on_air("ann", "a1").await;
    stage.stop().await;
    neighbours.said();
    neighbours.with(|book| book.connections = vec![connection("a1"), connection("x1")]);
    let stage = House::start(&neighbours);
    stage.rest().await;
    let said = neighbours.said();
    assert!(said.iter().any(|line| line.starts_with("disconnect x1")), "{said:?}");
    stage.media(MediaEvent::Ready(connection("a1"))).await;
    stage.taken(&neighbours.said()).await;
    assert_eq!(stage.on_air(), "ann");
    stage.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_show_is_remembered() {
    let neighbours = Neighbours::new();
    let stage = House::start(&neighbours);
    stage.director.begin_show().await.unwrap();
    stage.rest().await;
    assert!(stage.director.snapshot().borrow().queue.show);
    assert_eq!(neighbours.said(), ["show true"]);
    stage.media(MediaEvent::Show(false)).await;
    assert!(!stage.director.snapshot().borrow().queue.show);
    assert_eq!(neighbours.with(|book| book.settings[SHOW].clone()), false);
    stage.stop().await;
}

/// Rule 5, with what media saw.
#[tokio::test(start_paused = true)]
async fn who_is_never_ready_is_told_what_media_saw() {
    let stage = House::start(&Neighbours::new());
    stage.publish("ann", "a1").await;
    stage.media(MediaEvent::Advice(connection("a1"), "intra refresh is on".into())).await;
    sleep(Duration::from_secs(20)).await;
    assert!(stage.refusal("ann").unwrap().contains("intra refresh is on"));
    stage.leaves("a1").await;
    assert_eq!(stage.director.snapshot().borrow().queue.waiting[0].presence, Presence::Absent);
    stage.stop().await;
}

#[tokio::test(start_paused = true)]
async fn orders_after_the_end_say_that_the_box_stops() {
    let neighbours = Neighbours::new();
    let stage = House::start(&neighbours);
    let director = stage.director.clone();
    stage.arrive("ann", "a1").await;
    stage.stop().await;
    assert_eq!(director.set_hold(true).await, Err(OrderError::Stopping));
}

/// A snapshot is news; a clock that runs is not.
#[tokio::test(start_paused = true)]
async fn the_snapshot_changes_at_events_and_not_by_the_clock() {
    let neighbours = Neighbours::new();
    let stage = House::start(&neighbours);
    stage.goes_on_air("ann", "a1").await;
    let mut snapshot = stage.director.snapshot();
    snapshot.mark_unchanged();
    assert!(timeout(Duration::from_mins(5), snapshot.changed()).await.is_err());
    stage.media(MediaEvent::Stalled(connection("a1"))).await;
    assert!(snapshot.has_changed().unwrap());
    stage.stop().await;
}

/// The whole of it on a real store: a publish, a turn, a crash, a restart.
#[tokio::test]
async fn on_a_real_store_everything_acknowledged_is_there_after_a_crash() {
    let folder = tempfile::tempdir().unwrap();
    let neighbours = Neighbours::new();
    let (store, loaded) = Store::open(folder.path()).unwrap();
    let stage = House::start_with(&neighbours, store.clone(), Some(Stored::from(&loaded)));
    stage.goes_on_air("ann", "a1").await;
    stage.arrive("bea", "b1").await;
    stage.arrive("cid", "c1").await;
    stage.director.set_turn(Duration::from_mins(15), false).await.unwrap();
    stage.director.begin_show().await.unwrap();
    stage.director.skip(None).await.unwrap();
    stage.taken(&neighbours.said()).await;
    sleep(Duration::from_millis(50)).await;
    stage.task.abort();
    assert_eq!(store.history(None, 10).await.unwrap()[0].name, "ann");
    store.close().await;

    let (store, loaded) = Store::open(folder.path()).unwrap();
    let stage = House::start_with(&neighbours, store.clone(), Some(Stored::from(&loaded)));
    assert_eq!((stage.on_air().as_str(), stage.waiting()), ("bea", vec!["cid".to_owned()]));
    let snapshot = stage.director.snapshot().borrow().clone();
    assert_eq!((snapshot.queue.turn_seconds, snapshot.queue.show), (900, true));
    stage.stop().await;
    store.close().await;
}

/// Not a benchmark (that is `make bench`'s), but a guard against something a hundred times too slow.
#[tokio::test]
async fn a_publish_is_answered_quickly_with_a_full_house() {
    let folder = tempfile::tempdir().unwrap();
    let neighbours = Neighbours::new();
    let (store, loaded) = Store::open(folder.path()).unwrap();
    let stage = House::start_with(&neighbours, store.clone(), Some(Stored::from(&loaded)));
    let mut times = Vec::new();
    for letter in b'a'..=b'z' {
        for round in 0..3 {
            let name = char::from(letter).to_string();
            let before = std::time::Instant::now();
            // Zoe aside, these are publishes and takeovers.
            stage.publish(&name, &format!("{name}{round}")).await;
            times.push(before.elapsed());
        }
    }
    times.sort();
    eprintln!(
        "publish answered: median {:?}, 99th percentile {:?}",
        times[times.len() / 2],
        times[times.len() * 99 / 100]
    );
    assert!(times[times.len() / 2] < Duration::from_millis(100));
    stage.stop().await;
    store.close().await;
}
