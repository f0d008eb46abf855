//! The director's loop: take what waits; facts act at once; requests are applied, committed, answered, and then act.
//!
//! While a commit of requests is under way, facts go on being applied to the new state, and act. Only when the requests have
//! actions of their own do those of later facts wait behind them, so that media hears everything in order, and not longer than
//! [`PATIENCE`]: a slow disk delays an answer, never a handover. If the commit fails, the state is what it would be without the
//! requests, and media is told anew what it should show.
//!
//! Orders that make the show safe (rule 19) are facts that somebody is answered: they are applied and act at once, whatever commit is under
//! way, and what waits behind a request acts just before them, so that media still hears everything in order. They come by a channel of
//! their own, which no crowd of requests fills.

use std::{
    collections::{HashMap, VecDeque},
    future::pending,
    sync::Arc,
    time::Duration,
};

use futures_util::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::{
    AccountsPort, Dark, IngestPort, MediaPort, Parts, PastShow, StorePort,
    request::{Flight, Message, OrderError, Promise, Request, Safe, SafeOrder, order_error},
    stored::{history_change, show_changes},
    view::{self, Refusals, Snapshot},
};
use crate::{
    core::{
        account::AccountId,
        frame::ConnectionId,
        moment::Moment,
        queue::{Action, CommandId, Event, Order, Queue, Reason, Verdict},
        show::darkness::LifeSign,
    },
    ingest::IngestEvent,
    media::{MediaEvent, MediaEvents},
    store::{Change, Note, Receipt, StoreError},
};

/// How long actions wait behind those of a request that is being committed. An SD card's fsync takes tens of milliseconds; the
/// programme's buffer, in which a handover has to happen, is at least 300.
const PATIENCE: Duration = Duration::from_millis(100);

/// The elapsed time of a turn is right to 5 s after a crash: noted beside the store this often.
const NOTE_EVERY: Duration = Duration::from_secs(4);

/// And to 30 s after a power cut: committed this often.
const COMMIT_EVERY: Duration = Duration::from_secs(30);

/// How often a connection that was taken over is looked at (rule 3), as often as media publishes its figures; and, where no other request may
/// wait, whether one was given up.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// A connection is alive if it delivered within this time: the rule's 2 s, and the age of media's figures.
const ALIVE: Duration = Duration::from_millis(2500);

/// Events taken in one go. More wait in their channels.
const BATCH: usize = 256;

/// Requests that wait for a commit. More wait in their channels; each is a connection or a web request, which are bounded.
const WAITING: usize = 1024;

/// Accounts whose last refusal is remembered.
const REFUSALS: usize = 4096;

/// How long the ingest may take at the start to say which connections it still has.
const LIST_LIMIT: Duration = Duration::from_secs(10);

/// A commit that takes so long is a slow disk's: everybody is shown what is done, and does not wait for it.
const SLOW: Duration = Duration::from_millis(250);

/// How long the last commits may take at the end.
const END_LIMIT: Duration = Duration::from_secs(2);

enum Input {
    Cancelled,
    Safe(SafeOrder),
    Committed(Result<(), StoreError>),
    Media(MediaEvent),
    Ingest(IngestEvent),
    Message(Message),
    Due,
}

#[expect(clippy::struct_excessive_bools, reason = "independent facts")]
pub(super) struct Task<M, I, S, A, N> {
    pub(super) queue: Queue,
    pub(super) app: String,
    pub(super) media: M,
    pub(super) media_events: Option<MediaEvents>,
    pub(super) ingest: I,
    pub(super) ingest_events: Option<mpsc::Receiver<IngestEvent>>,
    pub(super) orders: Option<mpsc::Receiver<Message>>,
    pub(super) safe: Option<mpsc::Receiver<SafeOrder>>,
    pub(super) store: S,
    pub(super) accounts: A,
    pub(super) now: N,
    pub(super) snapshot: watch::Sender<Arc<Snapshot>>,
    pub(super) show: bool,
    /// Whether the last one was ended by hand, as the store has it.
    pub(super) ended_by_hand: bool,
    /// A show was on before the start, or was ended by hand, and it is not known yet whether that still holds.
    pub(super) dark: Option<Dark>,
    pub(super) looked_at_darkness: Moment,
    /// What became of it; until the next show begins.
    pub(super) past: Option<PastShow>,
    pub(super) alive: Arc<dyn Fn() -> LifeSign + Send + Sync>,
    /// Where the numbers of commands begin; chance makes those of two processes differ.
    pub(super) next_command: u64,
    pub(super) refusals: Arc<Refusals>,
    /// Why a connection is not ready yet, in media's words.
    pub(super) advice: HashMap<ConnectionId, String>,
    /// Bytes of each guarded connection, and since when it has so many.
    pub(super) received: HashMap<ConnectionId, (u64, Moment)>,
    pub(super) cued: Vec<ConnectionId>,
    pub(super) requests: VecDeque<Request>,
    pub(super) flight: Option<Flight>,
    /// Actions that wait behind those of the requests in flight, and since when one of a fact does.
    pub(super) held: VecDeque<Action>,
    pub(super) held_fact: Option<Moment>,
    pub(super) disconnects: FuturesUnordered<BoxFuture<'static, ()>>,
    /// Facts changed what must survive, and these rows; not handed to the store yet.
    pub(super) dirty: bool,
    pub(super) rows: Vec<Change>,
    /// Who ordered some of that, and waits to hear when it is stored. They do not wait long, so there are few.
    pub(super) unstored: Vec<oneshot::Sender<Receipt>>,
    /// Something happened since the last snapshot.
    pub(super) news: bool,
    pub(super) noted: Moment,
    pub(super) committed: Moment,
    pub(super) looked: Moment,
}

impl<M: MediaPort, I: IngestPort, S: StorePort, A: AccountsPort, N: Fn() -> Moment> Task<M, I, S, A, N> {
    pub(super) fn new(
        queue: Queue,
        dark: Option<Dark>,
        parts: Parts<M, I, S, A>,
        orders: mpsc::Receiver<Message>,
        safe: mpsc::Receiver<SafeOrder>,
        now: N,
    ) -> (Self, watch::Receiver<Arc<Snapshot>>) {
        let refusals = Arc::default();
        let at = now();
        // A crash and a restart go on without a moment of doubt.
        let was_on = dark.as_ref().filter(|dark| dark.was_on);
        let show = was_on.is_some_and(|dark| dark.is_short(&(parts.alive)(), at));
        let past = was_on.filter(|_| !show).map(|dark| PastShow::Waits(dark.decided_by()));
        let name = |account| parts.accounts.name(account);
        let (sender, snapshot) =
            watch::channel(Arc::new(view::snapshot(&queue, show, past.clone(), &refusals, name, at)));
        let task = Self {
            queue,
            app: parts.app,
            media: parts.media,
            media_events: Some(parts.media_events),
            ingest: parts.ingest,
            ingest_events: Some(parts.ingest_events),
            orders: Some(orders),
            safe: Some(safe),
            store: parts.store,
            accounts: parts.accounts,
            now,
            snapshot: sender,
            show,
            ended_by_hand: parts.stored.ended_by_hand,
            dark,
            looked_at_darkness: at,
            past,
            alive: parts.alive,
            next_command: rand::random(),
            refusals,
            advice: HashMap::new(),
            received: HashMap::new(),
            cued: Vec::new(),
            requests: VecDeque::new(),
            flight: None,
            held: VecDeque::new(),
            held_fact: None,
            disconnects: FuturesUnordered::new(),
            dirty: false,
            rows: Vec::new(),
            unstored: Vec::new(),
            news: true,
            noted: at,
            committed: at,
            looked: at,
        };
        (task, snapshot)
    }

    pub(super) async fn run(mut self, token: CancellationToken) {
        let list = tokio::time::timeout(LIST_LIMIT, self.ingest.connections());
        let connections = tokio::select! {
            () = token.cancelled() => return,
            list = list => list.unwrap_or_else(|_| {
                tracing::warn!("the ingest does not say which connections it has");
                Vec::new()
            }),
        };
        if let Some(dark) = self.dark.as_mut().filter(|_| !self.show) {
            dark.held = true;
            self.media.hold_show(true);
        }
        self.fact(Event::Restarted { connections });
        self.finish_batch();
        loop {
            match self.input(&token).await {
                Input::Cancelled => break,
                input => self.take(input),
            }
            self.drain();
            self.finish_batch();
        }
        self.end().await;
    }

    /// Waits for whatever comes first.
    async fn input(&mut self, token: &CancellationToken) -> Input {
        let room = self.has_room();
        // Nobody tells when somebody who asked gives up.
        let crowded = (!room).then_some(LOOK_EVERY);
        let due = self.due().into_iter().chain(crowded).min();
        loop {
            tokio::select! {
                biased;
                () = token.cancelled() => return Input::Cancelled,
                Some(()) = self.disconnects.next() => {}
                order = received(&mut self.safe, true) => match order {
                    Some(order) => return Input::Safe(order),
                    None => self.safe = None,
                },
                result = committed(&mut self.flight) => return Input::Committed(result),
                event = received(&mut self.media_events, true) => match event {
                    Some(event) => return Input::Media(event),
                    None => self.media_events = None,
                },
                event = received(&mut self.ingest_events, room) => match event {
                    Some(event) => return Input::Ingest(event),
                    None => self.ingest_events = None,
                },
                order = received(&mut self.orders, room) => match order {
                    Some(message) => return Input::Message(message),
                    None => self.orders = None,
                },
                () = sleep(due) => return Input::Due,
            }
        }
    }

    /// Whether another request may wait. Those that nobody waits for any more keep no fact of the ingest from being heard.
    fn has_room(&mut self) -> bool {
        if self.requests.len() >= WAITING {
            self.requests.retain(|request| !request.is_abandoned());
        }
        self.requests.len() < WAITING
    }

    /// Takes what else is there already, so that one commit does for all of it.
    fn drain(&mut self) {
        for _ in 0..BATCH {
            let room = self.has_room();
            if let Some(order) = waiting(&mut self.safe, true) {
                self.take(Input::Safe(order));
            } else if let Some(event) = waiting(&mut self.media_events, true) {
                self.take(Input::Media(event));
            } else if let Some(event) = waiting(&mut self.ingest_events, room) {
                self.take(Input::Ingest(event));
            } else if let Some(message) = waiting(&mut self.orders, room) {
                self.take(Input::Message(message));
            } else {
                break;
            }
        }
    }

    fn take(&mut self, input: Input) {
        let now = (self.now)();
        // The snapshot changes at every event, and not when the clock is merely noted.
        self.news |= !matches!(input, Input::Due) || self.queue.next_deadline().is_some_and(|deadline| deadline <= now);
        match input {
            // Whoever asks for another look is answered by the snapshot.
            Input::Cancelled | Input::Message(Message::LookAgain) => {}
            Input::Safe(order) => self.safe(order),
            Input::Committed(result) => self.land(result),
            Input::Media(event) => self.media_event(event),
            Input::Ingest(IngestEvent::Publish(request)) => self.requests.push_back(Request::Publish(request)),
            Input::Ingest(IngestEvent::Unpublish(connection)) => drop(self.fact(Event::Unpublish(connection))),
            Input::Ingest(IngestEvent::Unusable { connection, flaw, reason }) => {
                self.fact(Event::Unusable { connection, flaw, reason });
            }
            Input::Ingest(IngestEvent::Trouble { connection, reason }) => {
                if let Some(account) = self.queue.owner_of(&connection) {
                    self.note_refusal(account, reason);
                }
            }
            Input::Message(message) => self.requests.push_back(Request::Message(message)),
            Input::Due => drop(self.fact(Event::Tick)),
        }
    }

    fn media_event(&mut self, event: MediaEvent) {
        match event {
            MediaEvent::Ready(connection) => {
                self.advice.remove(&connection);
                self.fact(Event::Ready(connection));
            }
            MediaEvent::Stalled(connection) => drop(self.fact(Event::Stalled(connection))),
            MediaEvent::Recovered(connection) => drop(self.fact(Event::Recovered(connection))),
            MediaEvent::Unfit(connection, reason) => drop(self.fact(Event::Unfit { connection, reason })),
            MediaEvent::Unusable(connection, flaw, reason) => {
                self.fact(Event::Unusable { connection, flaw, reason });
            }
            MediaEvent::Taken(take) => drop(self.fact(Event::Taken { take, wall: jiff::Timestamp::now() })),
            MediaEvent::TakeFailed(take) => drop(self.fact(Event::TakeFailed(take))),
            MediaEvent::Advice(connection, advice) => {
                if self.queue.owner_of(&connection).is_some() {
                    self.advice.insert(connection, advice);
                }
            }
            MediaEvent::Show(on) => {
                if self.show != on {
                    self.show_is(on);
                    self.rows.extend(show_changes(on, false));
                    self.dirty = true;
                }
            }
        }
    }

    /// Carries out what makes the show safe, shows it to everybody, and answers.
    fn safe(&mut self, SafeOrder { what, answer }: SafeOrder) {
        let done = match what {
            Safe::Order(order) => self.order_at_once(order),
            Safe::EndShow => {
                self.end_show();
                Ok(())
            }
        };
        self.news = false;
        self.publish_snapshot();
        let answered = done.map(|()| {
            let (told, receipt) = oneshot::channel();
            self.unstored.retain(|waits| !waits.is_closed());
            self.unstored.push(told);
            receipt
        });
        // Whoever ordered it may be gone; it stands.
        let _gone = answer.send(answered);
    }

    fn order_at_once(&mut self, order: Order) -> Result<(), OrderError> {
        // The turn that is meant has its name from here on: when a request fails, this is judged once more on what is left then.
        let order = match order {
            Order::Skip { turn: None } => Order::Skip { turn: self.queue.on_air((self.now)()).map(|turn| turn.id) },
            order => order,
        };
        let command = self.fresh_command();
        match self.fact(Event::Order { command, order }) {
            Verdict::Denied(denial) => Err(order_error(&denial)),
            Verdict::Done { .. } | Verdict::Noted | Verdict::Accepted { .. } | Verdict::Refused(_) => {
                self.release();
                Ok(())
            }
        }
    }

    /// The show ends, also where its begin is not stored yet.
    fn end_show(&mut self) {
        let ended = || Err(OrderError::Refused("the show was ended meanwhile".to_owned()));
        let promises = self.flight.as_mut().map(|flight| &mut flight.promises);
        let begun = promises.into_iter().flat_map(|promises| {
            promises.extract_if(.., |promise| matches!(promise, Promise::BeginShow { .. })).collect::<Vec<_>>()
        });
        for promise in begun {
            if let Promise::BeginShow { answer } = promise {
                let _gone = answer.send(ended());
            }
        }
        for request in std::mem::take(&mut self.requests) {
            match request {
                Request::Message(Message::BeginShow { answer }) => {
                    let _gone = answer.send(ended());
                }
                other => self.requests.push_back(other),
            }
        }
        self.show_ordered(false);
        self.ended_by_hand = true;
        self.media.set_show(false);
        self.rows.extend(show_changes(false, true));
        self.dirty = true;
    }

    /// The name of the next order.
    pub(super) fn fresh_command(&mut self) -> CommandId {
        self.next_command = self.next_command.wrapping_add(1);
        CommandId(self.next_command)
    }

    /// Applies a fact and acts on it.
    pub(super) fn fact(&mut self, event: Event) -> Verdict {
        let now = (self.now)();
        if let Some(flight) = &mut self.flight {
            flight.facts.push((event.clone(), now));
        }
        let outcome = self.queue.apply(event, now);
        self.dirty |= outcome.changed;
        for action in outcome.actions {
            match action {
                Action::History(turn) => self.rows.push(history_change(&turn)),
                action if self.held.is_empty() => self.act(action),
                action => {
                    self.held.push_back(action);
                    self.held_fact.get_or_insert(now);
                }
            }
        }
        outcome.verdict
    }

    /// A show is on, or is not any more. One that begins makes that of before the start old.
    pub(super) fn show_is(&mut self, on: bool) {
        self.show = on;
        if on {
            self.past = None;
            self.ended_by_hand = false;
        }
    }

    /// What follows when everything that was there has been taken.
    fn finish_batch(&mut self) {
        self.look_at_darkness();
        let now = (self.now)();
        if self.held_fact.is_some_and(|since| now.since(since) >= PATIENCE) {
            self.release();
        }
        if self.flight.is_none() {
            self.flush(now);
            self.take_off();
        }
        self.keep_time(now);
        self.look_at_guarded(now);
        self.tell_cued();
        if self.flight.is_none() {
            self.flush(now);
        }
        if self.flight.as_ref().is_none_or(|flight| now.since(flight.since) >= SLOW) && std::mem::take(&mut self.news) {
            self.publish_snapshot();
        }
    }

    /// Does everything that waited.
    pub(super) fn release(&mut self) {
        self.held_fact = None;
        self.tell_cued();
        for action in std::mem::take(&mut self.held) {
            self.act(action);
        }
    }

    pub(super) fn act(&mut self, action: Action) {
        if let Some(flight) = &mut self.flight {
            flight.acted = true;
        }
        match action {
            Action::Take { take, connection, urgency } => {
                tracing::debug!(take = take.0, %connection, ?urgency, "take ordered");
                // What is taken is cued first.
                self.tell_cued();
                self.media.take(take, connection, urgency);
            }
            Action::CancelTake(take) => self.media.cancel_take(take),
            Action::GiveUpTake(take, connection) => {
                tracing::info!(take = take.0, "a take did not happen in time and is given up");
                self.media.give_up_take(take, connection);
            }
            Action::Clear => self.media.clear(),
            Action::ForceSlate(on) => self.media.force_slate(on),
            Action::Disconnect { connection, account, reason } => {
                let mut text = reason.to_string();
                if let (Reason::NeverReady { .. } | Reason::Stalled { .. } | Reason::NotTaken, Some(advice)) =
                    (&reason, self.advice.get(&connection))
                {
                    text = format!("{text} ({advice})");
                }
                tracing::debug!(%connection, reason = text, "connection closed");
                if let Some(account) = account {
                    self.note_refusal(account, text.clone());
                }
                self.disconnects.push(self.ingest.disconnect(connection, text));
            }
            // Rows are stored, not done; whoever calls this has taken them out.
            Action::History(_) => {}
        }
    }

    pub(super) fn tell_cued(&mut self) {
        let cued = self.queue.cued();
        if self.cued != cued {
            self.cued.clone_from(&cued);
            self.media.set_cued(cued);
        }
    }

    /// Hands what facts changed to the store.
    fn flush(&mut self, now: Moment) {
        if !self.dirty {
            return;
        }
        self.dirty = false;
        self.committed = now;
        let mut changes = std::mem::take(&mut self.rows);
        changes.extend(self.queue_change());
        let receipt = self.store.commit_soon(changes);
        for told in self.unstored.drain(..) {
            // Whoever waited has been answered meanwhile.
            let _gone = told.send(receipt.clone());
        }
    }

    /// Rule 17: the elapsed time survives.
    fn keep_time(&mut self, now: Moment) {
        let running = self.queue.on_air(now).filter(|turn| turn.running);
        if self.note_due(running.is_some()).is_some_and(|due| due <= now) {
            self.noted = now;
            let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
            let turn = running.as_ref().map(|turn| (turn.id, millis(turn.on_air)));
            self.store.note(Note { alive: self.life_sign(), turn });
        }
        if running.is_some() && now.since(self.committed) >= COMMIT_EVERY {
            self.dirty = true;
        }
    }

    /// When the next note is due. A show without a turn that runs, and a queue without one, are noted as seldom as a turn is committed.
    fn note_due(&self, runs: bool) -> Option<Moment> {
        let seldom = self.show || !self.queue.is_empty();
        let every = if runs { Some(NOTE_EVERY) } else { seldom.then_some(COMMIT_EVERY) };
        every.map(|every| self.noted + every)
    }

    /// The box is alive. While it is not known for how long it was not, that stays as it was.
    fn life_sign(&self) -> Option<LifeSign> {
        match &self.dark {
            Some(dark) => dark.last_alive(),
            None => Some((self.alive)()),
        }
    }

    fn look_at_guarded(&mut self, now: Moment) {
        if now.since(self.looked) < LOOK_EVERY && !self.received.is_empty() {
            return;
        }
        self.looked = now;
        let guarded: Vec<_> = self.queue.guarded(now).cloned().collect();
        self.received.retain(|connection, _| guarded.contains(connection));
        for connection in guarded {
            self.is_alive(&connection, now);
        }
        let queue = &self.queue;
        self.advice.retain(|connection, _| queue.owner_of(connection).is_some());
    }

    /// Whether a connection delivered lately (rule 3), as far as media's figures say.
    pub(super) fn is_alive(&mut self, connection: &ConnectionId, now: Moment) -> bool {
        let Some(bytes) = self.media.received(connection) else { return false };
        let (seen, since) = self.received.entry(connection.clone()).or_insert((0, Moment::ZERO));
        if *seen != bytes {
            (*seen, *since) = (bytes, now);
        }
        bytes > 0 && now.since(*since) <= ALIVE
    }

    /// How long until something is to be done without anybody asking; none: for ever.
    fn due(&self) -> Option<Duration> {
        let now = (self.now)();
        let runs = self.queue.on_air(now).is_some_and(|turn| turn.running);
        let note = self.note_due(runs);
        // While a commit is under way nothing is flushed, and its end wakes us.
        let commit = (runs && self.flight.is_none()).then(|| self.committed + COMMIT_EVERY);
        let look = self.queue.guarded(now).next().map(|_| self.looked + LOOK_EVERY);
        let held = self.held_fact.map(|since| since + PATIENCE);
        let show = self.flight.as_ref().filter(|_| self.news).map(|flight| flight.since + SLOW);
        let dark = self.darkness_due();
        let soonest = [self.queue.next_deadline(), note, commit, look, held, show, dark].into_iter().flatten().min();
        soonest.map(|soonest| soonest.since(now))
    }

    pub(super) fn queue_change(&self) -> Option<Change> {
        let mut record = self.queue.record((self.now)());
        record.alive = self.life_sign();
        serde_json::to_vec(&record)
            .inspect_err(|error| tracing::error!(%error, "the queue cannot be written as JSON"))
            .map(Change::PutQueue)
            .ok()
    }

    pub(super) fn note_refusal(&mut self, account: AccountId, reason: String) {
        let refusals = Arc::make_mut(&mut self.refusals);
        if refusals.len() >= REFUSALS && !refusals.contains_key(&account) {
            let oldest = refusals.iter().min_by_key(|(_, (at, _))| *at).map(|(account, _)| *account);
            oldest.map(|oldest| refusals.remove(&oldest));
        }
        refusals.insert(account, (jiff::Timestamp::now(), reason));
    }

    pub(super) fn forget_refusal(&mut self, account: AccountId) {
        if self.refusals.contains_key(&account) {
            Arc::make_mut(&mut self.refusals).remove(&account);
        }
    }

    pub(super) fn publish_snapshot(&self) {
        let name = |account| self.accounts.name(account);
        let snapshot = view::snapshot(&self.queue, self.show, self.past.clone(), &self.refusals, name, (self.now)());
        self.snapshot.send_replace(Arc::new(snapshot));
    }

    /// The box stops: no to what waits, the last facts, a last commit.
    async fn end(mut self) {
        if let Some(flight) = &mut self.flight {
            let result = tokio::time::timeout(END_LIMIT, &mut flight.commit).await;
            self.land(result.unwrap_or(Err(StoreError::Stopped)));
        }
        self.drain();
        for request in std::mem::take(&mut self.requests) {
            match request {
                Request::Message(Message::LookAgain) => {}
                // A sender that is dropped is a refusal.
                Request::Publish(request) => drop(request),
                Request::Message(Message::Order { answer, .. } | Message::BeginShow { answer }) => {
                    let _gone = answer.send(Err(OrderError::Stopping));
                }
            }
        }
        let mut changes = std::mem::take(&mut self.rows);
        changes.extend(self.queue_change());
        match tokio::time::timeout(END_LIMIT, self.store.commit(changes)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "the queue's last state is not stored"),
            Err(_) => tracing::error!("the queue's last state is not stored: the disk does not answer"),
        }
    }
}

/// The end of the commit that is under way; never, if none is.
async fn committed(flight: &mut Option<Flight>) -> Result<(), StoreError> {
    match flight {
        Some(flight) => (&mut flight.commit).await,
        None => pending().await,
    }
}

/// The next one of a channel that is open and wanted; `None` when it closes.
async fn received<T>(channel: &mut Option<mpsc::Receiver<T>>, wanted: bool) -> Option<T> {
    match channel {
        Some(channel) if wanted => channel.recv().await,
        _ => pending().await,
    }
}

fn waiting<T>(channel: &mut Option<mpsc::Receiver<T>>, wanted: bool) -> Option<T> {
    channel.as_mut().filter(|_| wanted)?.try_recv().ok()
}

async fn sleep(duration: Option<Duration>) {
    match duration {
        Some(duration) => tokio::time::sleep(duration).await,
        None => pending().await,
    }
}
