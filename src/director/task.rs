//! The director's loop: take what waits; facts act at once; requests are applied, committed, answered, and then act.
//!
//! While a commit of requests is under way, facts go on being applied to the new state, and act. Only when the requests have
//! actions of their own do those of later facts wait behind them, so that media hears everything in order, and not longer than
//! [`PATIENCE`]: a slow disk delays an answer, never a handover. If the commit fails, the state is what it would be without the
//! requests, and media is told anew what it should show.

use std::{
    collections::{HashMap, VecDeque},
    future::pending,
    sync::Arc,
    time::Duration,
};

use futures_util::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::{
    AccountsPort, IngestPort, MediaPort, OrderError, Parts, Refusals, SHOW_SETTING, Snapshot, StorePort,
    flight::{Flight, Message, Request},
    view,
};
use crate::{
    core::{
        account::AccountId,
        frame::ConnectionId,
        moment::Moment,
        queue::{Action, Event, Queue, Reason, TurnOver},
    },
    ingest::IngestEvent,
    media::{MediaEvent, MediaEvents, Urgency},
    store::{Change, HistoryRecord, StoreError},
};

/// How long actions wait behind those of a request that is being committed. An SD card's fsync takes tens of milliseconds; the
/// programme's buffer, in which a handover has to happen, is at least 300.
const PATIENCE: Duration = Duration::from_millis(100);

/// The elapsed time of a turn is right to 5 s after a crash: noted beside the store this often.
const NOTE_EVERY: Duration = Duration::from_secs(4);

/// And to 30 s after a power cut: committed this often.
const COMMIT_EVERY: Duration = Duration::from_secs(30);

/// How often a connection that was taken over is looked at (rule 3), as often as media publishes its figures.
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

/// How long the last commits may take at the end.
const END_LIMIT: Duration = Duration::from_secs(2);

enum Input {
    Cancelled,
    Committed(Result<(), StoreError>),
    Media(MediaEvent),
    Ingest(IngestEvent),
    Message(Message),
    Due,
}

pub(super) struct Task<M, I, S, A, N> {
    pub(super) queue: Queue,
    pub(super) app: String,
    pub(super) media: M,
    pub(super) media_events: Option<MediaEvents>,
    pub(super) ingest: I,
    pub(super) ingest_events: Option<mpsc::Receiver<IngestEvent>>,
    pub(super) orders: Option<mpsc::Receiver<Message>>,
    pub(super) store: S,
    pub(super) accounts: A,
    pub(super) now: N,
    pub(super) snapshot: watch::Sender<Arc<Snapshot>>,
    pub(super) show: bool,
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
    /// Something happened since the last snapshot.
    pub(super) news: bool,
    pub(super) noted: Moment,
    pub(super) committed: Moment,
    pub(super) looked: Moment,
}

impl<M: MediaPort, I: IngestPort, S: StorePort, A: AccountsPort, N: Fn() -> Moment> Task<M, I, S, A, N> {
    pub(super) fn new(
        queue: Queue,
        parts: Parts<M, I, S, A>,
        orders: mpsc::Receiver<Message>,
        now: N,
    ) -> (Self, watch::Receiver<Arc<Snapshot>>) {
        let refusals = Arc::default();
        let show = parts.stored.show;
        let at = now();
        let name = |account| parts.accounts.name(account);
        let (sender, snapshot) = watch::channel(Arc::new(view::snapshot(&queue, show, &refusals, name, at)));
        let task = Self {
            queue,
            app: parts.app,
            media: parts.media,
            media_events: Some(parts.media_events),
            ingest: parts.ingest,
            ingest_events: Some(parts.ingest_events),
            orders: Some(orders),
            store: parts.store,
            accounts: parts.accounts,
            now,
            snapshot: sender,
            show,
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
        self.fact(Event::Restarted { connections });
        if self.show {
            self.media.set_show(true);
        }
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
        let due = self.due();
        let room = self.requests.len() < WAITING;
        loop {
            tokio::select! {
                biased;
                () = token.cancelled() => return Input::Cancelled,
                Some(()) = self.disconnects.next() => {}
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

    /// Takes what else is there already, so that one commit does for all of it.
    fn drain(&mut self) {
        for _ in 0..BATCH {
            let room = self.requests.len() < WAITING;
            if let Some(event) = waiting(&mut self.media_events, true) {
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
            Input::Cancelled => {}
            Input::Committed(result) => self.land(result),
            Input::Media(event) => self.media_event(event),
            Input::Ingest(IngestEvent::Publish(request)) => self.requests.push_back(Request::Publish(request)),
            Input::Ingest(IngestEvent::Unpublish(connection)) => self.fact(Event::Unpublish(connection)),
            Input::Ingest(IngestEvent::Trouble { connection, reason }) => {
                if let Some(account) = self.queue.owner_of(&connection) {
                    self.note_refusal(account, reason);
                }
            }
            Input::Message(message) => self.requests.push_back(Request::Message(message)),
            Input::Due => self.fact(Event::Tick),
        }
    }

    fn media_event(&mut self, event: MediaEvent) {
        match event {
            MediaEvent::Ready(connection) => {
                self.advice.remove(&connection);
                self.fact(Event::Ready(connection));
            }
            MediaEvent::Stalled(connection) => self.fact(Event::Stalled(connection)),
            MediaEvent::Recovered(connection) => self.fact(Event::Recovered(connection)),
            MediaEvent::Taken(take) => self.fact(Event::Taken { take, wall: jiff::Timestamp::now() }),
            MediaEvent::TakeFailed(take) => self.fact(Event::TakeFailed(take)),
            MediaEvent::Advice(connection, advice) => {
                if self.queue.owner_of(&connection).is_some() {
                    self.advice.insert(connection, advice);
                }
            }
            MediaEvent::Show(on) => {
                if self.show != on {
                    self.show = on;
                    self.rows.push(show_change(on));
                    self.dirty = true;
                }
            }
        }
    }

    /// Applies a fact and acts on it.
    pub(super) fn fact(&mut self, event: Event) {
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
    }

    /// What follows when everything that was there has been taken.
    fn finish_batch(&mut self) {
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
            if std::mem::take(&mut self.news) {
                self.publish_snapshot();
            }
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
            Action::Take { take, connection, now } => {
                tracing::debug!(take = take.0, %connection, now, "take ordered");
                // What is taken is cued first.
                self.tell_cued();
                self.media.take(take, connection, if now { Urgency::Now } else { Urgency::Planned });
            }
            Action::CancelTake(take) => self.media.cancel_take(take),
            Action::Clear => self.media.clear(),
            Action::ForceSlate(on) => self.media.force_slate(on),
            Action::Disconnect { connection, account, reason } => {
                let mut text = reason.to_string();
                if let (Reason::NeverReady { .. } | Reason::Stalled { .. }, Some(advice)) =
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
        self.store.commit_soon(changes);
    }

    /// Rule 17: the elapsed time survives.
    fn keep_time(&mut self, now: Moment) {
        let Some(turn) = self.queue.on_air(now).filter(|turn| turn.running) else { return };
        if now.since(self.noted) >= NOTE_EVERY {
            self.noted = now;
            self.store.note_elapsed(turn.id, turn.on_air);
        }
        if now.since(self.committed) >= COMMIT_EVERY {
            self.dirty = true;
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
        let note = runs.then(|| self.noted + NOTE_EVERY);
        // While a commit is under way nothing is flushed, and its end wakes us.
        let commit = (runs && self.flight.is_none()).then(|| self.committed + COMMIT_EVERY);
        let look = self.queue.guarded(now).next().map(|_| self.looked + LOOK_EVERY);
        let held = self.held_fact.map(|since| since + PATIENCE);
        let soonest = [self.queue.next_deadline(), note, commit, look, held].into_iter().flatten().min();
        soonest.map(|soonest| soonest.since(now))
    }

    pub(super) fn queue_change(&self) -> Option<Change> {
        let record = self.queue.record((self.now)());
        serde_json::to_vec(&record)
            .inspect_err(|error| tracing::error!(%error, "the queue can not be written as JSON"))
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

    pub(super) fn publish_snapshot(&self) {
        let name = |account| self.accounts.name(account);
        let snapshot = view::snapshot(&self.queue, self.show, &self.refusals, name, (self.now)());
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
                // A sender that is dropped is a refusal.
                Request::Publish(request) => drop(request),
                Request::Message(Message::Order { answer, .. } | Message::Show { answer, .. }) => {
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

pub(super) fn show_change(on: bool) -> Change {
    Change::PutSetting(SHOW_SETTING.to_owned(), on.into())
}

/// A turn that ended just now. Where the wall clock was set back meanwhile its begin is reckoned from its end.
pub(super) fn history_change(turn: &TurnOver) -> Change {
    let ended = jiff::Timestamp::now();
    let started = if turn.began <= ended { turn.began } else { ended.checked_sub(turn.on_air).unwrap_or(ended) };
    tracing::info!(streamer = %turn.name, elapsed_ms = turn.on_air.as_millis(), reason = %turn.why, "turn over");
    Change::AppendHistory(HistoryRecord {
        turn: turn.turn,
        account: turn.account,
        name: turn.name.to_string(),
        started,
        ended,
        seconds_on_air: turn.on_air.as_secs_f64(),
        reason: turn.why.to_string(),
        extra: serde_json::Map::new(),
    })
}
