//! The one task of the SRS ingest: takes what hooks, API, director and server say to the publishers, and does what they order. Everything that
//! takes time is done in tasks of their own, so that a hook waits for nothing but the director.

use std::{
    collections::{HashMap, VecDeque},
    future::pending,
    sync::Arc,
    time::Duration,
};

use futures_util::StreamExt;
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    api::{Api, ApiError, Features},
    doors::Porch,
    publishers::{Client, Effect, Live, Obstacle, Publishers, Snapshot, TAKEOVER_LIMIT, Ticket, Wish},
    server::ServerState,
};
use crate::{
    clock::Clock,
    core::{
        account::StreamKey,
        frame::{ConnectionId, FrameSinks, PullAddress, RemoteInput},
        moment::Moment,
    },
    ingest::{IngestEvent, IngestOrder, PublishRequest, PublishVerdict},
};

/// How often the truth is asked for.
const POLL_EVERY: Duration = Duration::from_secs(5);

/// And while somebody's figures matter to the second.
const POLL_WATCHED: Duration = Duration::from_secs(1);

/// And while the box's start waits for it.
const POLL_AT_START: Duration = Duration::from_millis(100);

/// One whole look, every page of it.
const POLL_LIMIT: Duration = Duration::from_secs(5);

/// How long the start waits to hear who is there already. The programme is to be back 3 s after the box.
const LIST_LIMIT: Duration = Duration::from_secs(3);

/// A server elsewhere that does not answer may still be well; after so long media has long taken its streams for dead.
const ELSEWHERE_PATIENCE: Duration = Duration::from_secs(20);

/// How often a client that was told to go is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// SRS looks every 100 ms whether the last one who pulled a stream is gone, and takes the stream apart then.
const DISPOSAL: Duration = Duration::from_millis(200);

/// How often a disconnect is tried that the API did not take.
const KICKS: usize = 4;

/// How long SRS has to finish a WebRTC session's answer before the session may be ended.
const LINGER: Duration = Duration::from_millis(200);

/// What the dispatcher is told.
#[derive(Debug)]
pub(super) enum Message {
    /// A hook: may it publish? A refusal comes with its reason.
    Publish(Wish, oneshot::Sender<Result<(), Arc<str>>>),
    /// A hook, or a look by name: it does not publish any more.
    Unpublish(Client),
    /// The director's answer.
    Verdict(Client, Option<PublishVerdict>),
    /// Nobody pulls the old stream any more for which this client waits.
    Cleared(Client),
    /// SRS's API.
    Polled(Result<Snapshot, ApiError>),
    /// What the SRS with this service id was built with.
    Features(String, Features),
    /// See [`Publishers::make_room`]. Answered when there is room, or there will be none.
    MakeRoom { app: String, key: StreamKey, since: Moment, answer: oneshot::Sender<Room> },
}

/// See [`Obstacle`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Room {
    Free,
    Refused(String),
    Taken,
}

/// What the dispatcher is made of.
pub(super) struct Dispatcher {
    pub(super) api: Api,
    pub(super) clock: Clock,
    pub(super) sinks: Arc<dyn FrameSinks>,
    pub(super) events: mpsc::Sender<IngestEvent>,
    pub(super) token: CancellationToken,
    pub(super) tracker: TaskTracker,
    /// The other end of what it is told by.
    pub(super) inbox: mpsc::Sender<Message>,
    pub(super) porch: Porch,
    /// The box runs the server itself.
    pub(super) own: bool,
    /// Where media pulls from.
    pub(super) pull: PullBase,
    /// How long the director has for a verdict.
    pub(super) verdict_limit: Duration,
    pub(super) publishers: Publishers,
    pub(super) stop: mpsc::Sender<oneshot::Sender<()>>,
    pub(super) book: Book,
}

/// The dispatcher's own state.
#[derive(Default)]
pub(super) struct Book {
    inputs: HashMap<ConnectionId, Box<dyn RemoteInput>>,
    hooks: HashMap<Ticket, oneshot::Sender<Result<(), Arc<str>>>>,
    last_ticket: Ticket,
    /// What the director's channel had no room for yet, in order.
    outbox: VecDeque<IngestEvent>,
    /// Who asked at the start which connections there are, until when it is waited, and whether it was answered.
    list: Option<(oneshot::Sender<Vec<ConnectionId>>, Moment)>,
    listed: bool,
    polling: bool,
    /// When to look again.
    poll_at: Moment,
    /// The run of SRS's process that answers.
    service: Option<Arc<str>>,
    /// Since when a server elsewhere does not answer.
    lost: Option<Moment>,
    rooms: Vec<(Vec<Client>, oneshot::Sender<Room>)>,
    /// The server is being ended: whoever goes with it keeps the place in the queue.
    muted: bool,
}

/// Where the streams lie.
pub(super) enum PullBase {
    /// `http://HOST:PORT`, from which streams are pulled as FLV.
    Http(reqwest::Url),
    /// `rtmp://HOST:PORT/APP`.
    Rtmp(String),
}

impl PullBase {
    fn address(&self, app: &str, key: &StreamKey) -> PullAddress {
        match self {
            Self::Http(base) => {
                let mut url = base.clone();
                if let Ok(mut path) = url.path_segments_mut() {
                    path.pop_if_empty().push(app).push(&format!("{}.flv", key.expose()));
                }
                PullAddress::new(url.to_string())
            }
            Self::Rtmp(base) => PullAddress::new(format!("{}/{}", base.trim_end_matches('/'), key.expose())),
        }
    }
}

impl Dispatcher {
    /// Runs until the token is cancelled. Nobody is told then that a connection is over: SRS goes on, and so do they.
    pub(super) async fn run(
        mut self,
        mut messages: mpsc::Receiver<Message>,
        mut orders: mpsc::Receiver<IngestOrder>,
        mut server: watch::Receiver<ServerState>,
    ) {
        let events = self.events.clone();
        let mut server_lives = true;
        self.server_changed(&server.borrow_and_update().clone());
        loop {
            self.settle();
            let wake = self.next_wake();
            tokio::select! {
                biased;
                () = self.token.cancelled() => return,
                changed = server.changed(), if server_lives => {
                    server_lives = changed.is_ok();
                    let state = server.borrow_and_update().clone();
                    self.server_changed(&state);
                }
                Some(order) = orders.recv() => self.order(order),
                Some(message) = messages.recv() => self.message(message),
                // There is room again: `settle` uses it. Or the director is gone: the box stops.
                room = events.reserve(), if !self.book.outbox.is_empty() => {
                    if room.is_err() {
                        self.book.outbox.clear();
                    }
                }
                () = wait(wake) => {}
            }
        }
    }

    fn message(&mut self, message: Message) {
        let now = self.clock.now();
        match message {
            Message::Publish(mut wish, answer) => {
                if self.book.muted {
                    // Dropped: a refusal.
                    return;
                }
                self.name_service(&mut wish.client);
                self.book.last_ticket += 1;
                self.book.hooks.insert(self.book.last_ticket, answer);
                self.publishers.publish(wish, self.book.last_ticket, now);
            }
            Message::Unpublish(mut client) => {
                self.name_service(&mut client);
                self.publishers.unpublish(&client, now);
            }
            Message::Verdict(client, verdict) => self.publishers.verdict(&client, verdict, now),
            Message::Cleared(client) => self.publishers.cleared(&client, now),
            Message::Polled(polled) => self.polled(polled, now),
            Message::Features(service, features) => {
                if self.book.service.as_deref() == Some(&service) {
                    self.porch.features(features);
                }
            }
            Message::MakeRoom { app, key, since, answer } => {
                let room = match self.publishers.make_room(&app, &key, since, now) {
                    Obstacle::None => Room::Free,
                    Obstacle::Stays => Room::Taken,
                    Obstacle::Refused(reason) => Room::Refused(reason.to_string()),
                    Obstacle::Going(clients) => return self.book.rooms.push((clients, answer)),
                };
                // Nobody waits for it any more: no harm.
                let _ = answer.send(room);
            }
        }
    }

    /// SRS 5 does not say in its hooks which run it is.
    fn name_service(&self, client: &mut Client) {
        if client.service.is_empty()
            && let Some(service) = &self.book.service
        {
            client.service = service.clone();
        }
    }

    fn order(&mut self, order: IngestOrder) {
        let now = self.clock.now();
        match order {
            IngestOrder::Disconnect(connection, reason) => {
                tracing::debug!(%connection, %reason, "publisher is to go");
                self.publishers.disconnect(&connection, now);
            }
            IngestOrder::List(answer) => {
                let unknown = self.book.service.is_none() && !self.book.listed;
                self.book.list = Some((answer, if unknown { now + LIST_LIMIT } else { now }));
                self.book.poll_at = self.book.poll_at.min(now);
            }
            IngestOrder::StopServer(answer) => {
                self.book.muted = true;
                self.book.outbox.clear();
                // Gone when the token was cancelled first: then it has nobody to answer either.
                if let Err(error) = self.stop.try_send(answer) {
                    tracing::debug!(%error, "the server's keeper does not listen");
                }
            }
        }
    }

    fn server_changed(&mut self, state: &ServerState) {
        let now = self.clock.now();
        self.porch.server(state);
        match state {
            ServerState::Starting => {}
            ServerState::Running(running) => {
                let service: Arc<str> = running.identity.service.as_str().into();
                self.publishers.run_changed(&service, now, now);
                self.book.lost = None;
                if self.own {
                    self.look_at_features(running.identity.service.clone());
                }
                self.book.poll_at = now;
            }
            ServerState::Down { .. } if self.own => {
                self.publishers.down(now);
                self.book.service = None;
                // It does not run, so nobody publishes.
                self.book.list = self.book.list.take().map(|(answer, _)| (answer, now));
            }
            ServerState::Down { .. } => {
                self.book.lost.get_or_insert(now);
            }
        }
    }

    fn look_at_features(&self, service: String) {
        let (api, dispatcher, token) = (self.api.clone(), self.inbox.clone(), self.token.clone());
        self.tracker.spawn(async move {
            let features = tokio::select! {
                () = token.cancelled() => return,
                features = api.features() => features,
            };
            match features {
                Ok(features) => drop(dispatcher.send(Message::Features(service, features)).await),
                Err(error) => tracing::debug!(%error, "what SRS was built with is not known"),
            }
        });
    }

    fn polled(&mut self, polled: Result<Snapshot, ApiError>, now: Moment) {
        self.book.polling = false;
        match polled {
            Ok(snapshot) => {
                self.book.service = Some(snapshot.service.clone());
                self.publishers.snapshot(snapshot, !self.book.listed, now);
                if let Some((_, until)) = &mut self.book.list {
                    *until = now;
                }
                let every = if self.publishers.is_watched(now) { POLL_WATCHED } else { POLL_EVERY };
                self.book.poll_at = now + every;
            }
            Err(error) => {
                // Said by the server's keeper, once.
                tracing::debug!(%error, "SRS's list of publishers cannot be read");
                self.book.poll_at = now + if self.book.list.is_some() { POLL_AT_START } else { POLL_WATCHED };
            }
        }
    }

    /// What follows from whatever was just said, and from the time.
    fn settle(&mut self) {
        let now = self.clock.now();
        self.publishers.tick(now);
        if self.book.lost.is_some_and(|since| now.since(since) >= ELSEWHERE_PATIENCE) {
            self.book.lost = None;
            self.publishers.down(now);
        }
        if self.publishers.is_watched(now) {
            self.book.poll_at = self.book.poll_at.min(now + POLL_WATCHED);
        }
        if !self.book.polling && self.book.poll_at <= now {
            self.poll();
        }
        if let Some((answer, _)) = self.book.list.take_if(|(_, until)| *until <= now) {
            self.book.listed = true;
            let connections = self.publishers.accepted();
            tracing::debug!(publishers = connections.len(), "publishers that are there already");
            // The director gave up waiting: it takes everybody for gone, and they are refused when they are told to it.
            let _ = answer.send(connections);
        }
        // What is done may have consequences of its own.
        loop {
            let effects = self.publishers.effects();
            if effects.is_empty() {
                break;
            }
            for effect in effects {
                self.act(effect, now);
            }
        }
        self.post();
        let publishers = &self.publishers;
        for (_, answer) in self.book.rooms.extract_if(.., |(clients, _)| !publishers.has_any(clients)) {
            let _ = answer.send(Room::Free);
        }
    }

    fn next_wake(&self) -> Option<Duration> {
        let now = self.clock.now();
        let poll = (!self.book.polling).then_some(self.book.poll_at);
        let answer = self.book.list.as_ref().map(|(_, until)| *until);
        let given_up = self.book.lost.map(|since| since + ELSEWHERE_PATIENCE);
        let soonest = [self.publishers.next_deadline(), poll, answer, given_up].into_iter().flatten().min();
        soonest.map(|soonest| soonest.since(now))
    }

    fn poll(&mut self) {
        self.book.polling = true;
        let (api, clock, dispatcher, token) = (self.api.clone(), self.clock, self.inbox.clone(), self.token.clone());
        let (expected, known) = (self.publishers.expected(), self.publishers.known());
        self.tracker.spawn(async move {
            let look = timeout(POLL_LIMIT, look(&api, clock, expected, &known));
            let polled = tokio::select! {
                () = token.cancelled() => return,
                polled = look => polled.unwrap_or_else(|_| Err(ApiError::Unreachable("it takes too long".to_owned()))),
            };
            let _ = dispatcher.send(Message::Polled(polled)).await;
        });
    }

    fn act(&mut self, effect: Effect, now: Moment) {
        match effect {
            Effect::Ask(wish) => self.ask(wish),
            Effect::Answer(ticket, answer) => {
                if let Some(hook) = self.book.hooks.remove(&ticket) {
                    // SRS hung up: its list says so sooner or later.
                    let _ = hook.send(answer);
                }
            }
            Effect::Kick { client, watch, lingers } => self.kick(client, watch, lingers),
            Effect::Clear { client, key } => self.clear(client, key),
            Effect::Announce { connection, app, key } => {
                tracing::debug!(%connection, "publisher accepted");
                let input = self.sinks.announce(connection.clone(), self.pull.address(&app, &key));
                self.book.inputs.insert(connection, input);
            }
            Effect::Withdraw(connection) => {
                tracing::debug!(%connection, "publisher gone");
                self.book.inputs.remove(&connection);
            }
            Effect::Report(connection, figures) => {
                if let Some(input) = self.book.inputs.get_mut(&connection) {
                    input.report(figures, now);
                    if input.is_mute() {
                        self.publishers.unheard(&connection, now);
                    }
                }
            }
            Effect::Trouble(connection, reason) => self.tell(IngestEvent::Trouble { connection, reason }),
            Effect::Unpublish(connection) => self.tell(IngestEvent::Unpublish(connection)),
        }
    }

    fn tell(&mut self, event: IngestEvent) {
        if !self.book.muted {
            self.book.outbox.push_back(event);
            self.post();
        }
    }

    /// Hands over what there is room for.
    fn post(&mut self) {
        while !self.book.outbox.is_empty() {
            let Ok(permit) = self.events.try_reserve() else { return };
            if let Some(event) = self.book.outbox.pop_front() {
                permit.send(event);
            }
        }
    }

    fn ask(&mut self, wish: Wish) {
        let (verdict, answer) = oneshot::channel();
        let Wish { client, app, key, address, .. } = wish;
        let connection = client.connection();
        self.tell(IngestEvent::Publish(PublishRequest { connection, app, key, address, verdict }));
        let (dispatcher, token, limit) = (self.inbox.clone(), self.token.clone(), self.verdict_limit);
        self.tracker.spawn(async move {
            let verdict = tokio::select! {
                () = token.cancelled() => return,
                // A dropped sender is a refusal. When the time is over the receiver goes, which says so to the director.
                verdict = timeout(limit, answer) => verdict.ok().and_then(Result::ok),
            };
            let _ = dispatcher.send(Message::Verdict(client, verdict)).await;
        });
    }

    fn clear(&self, client: Client, key: StreamKey) {
        let (api, inbox, token) = (self.api.clone(), self.inbox.clone(), self.token.clone());
        self.tracker.spawn(async move {
            tokio::select! {
                () = token.cancelled() => return,
                // Longer is not waited for.
                _ = timeout(TAKEOVER_LIMIT, clear(&api, &key)) => {}
            }
            let _ = inbox.send(Message::Cleared(client)).await;
        });
    }

    fn kick(&self, client: Client, watch: bool, lingers: bool) {
        let (api, dispatcher, token) = (self.api.clone(), self.inbox.clone(), self.token.clone());
        self.tracker.spawn(async move {
            tokio::select! {
                () = token.cancelled() => {}
                () = kick(&api, client, watch, lingers, &dispatcher) => {}
            }
        });
    }
}

/// Waits until nobody pulls `key` by HTTP any more.
async fn clear(api: &Api, key: &StreamKey) {
    let file = format!("{}.flv", key.expose());
    loop {
        let pulled = |client: &super::api::Client| !client.publish && client.kind == "flv-play" && client.name == file;
        match api.clients().await {
            Ok(clients) if clients.entries.iter().any(pulled) => {}
            Ok(_) => break,
            Err(error) => tracing::debug!(%error, "SRS's list of players cannot be read"),
        }
        sleep(LOOK_EVERY).await;
    }
    sleep(DISPOSAL).await;
}

/// Who publishes, and who does not any more.
async fn look(
    api: &Api,
    clock: Clock,
    expected: Vec<Client>,
    known: &std::collections::HashSet<Arc<str>>,
) -> Result<Snapshot, ApiError> {
    let asked = clock.now();
    let streams = api.streams().await?;
    let service: Arc<str> = streams.identity.service.as_str().into();
    let mut live: Vec<_> = streams
        .entries
        .into_iter()
        .filter_map(|mut stream| {
            let id = stream.publish.cid.take().filter(|_| stream.publish.active)?;
            Some(Live { id: id.into(), stream, address: None })
        })
        .collect();
    // Where they come from is of use only at their first sight.
    if live.iter().any(|live| !known.contains(&live.id)) {
        let clients = api.clients().await?;
        let addresses: HashMap<_, _> =
            clients.entries.iter().filter_map(|client| Some((client.id.as_str(), client.ip.parse().ok()?))).collect();
        for live in &mut live {
            live.address = addresses.get(&*live.id).copied();
        }
    }
    // Not in the list: between two pages, on its way in (WebRTC), or gone.
    let missing =
        expected.into_iter().filter(|client| client.service == service && live.iter().all(|live| live.id != client.id));
    let gone: Vec<_> = futures_util::stream::iter(missing)
        .map(|client| async move { api.has_client(&client.id).await.map(|there| (!there).then_some(client)) })
        .buffer_unordered(4)
        .collect()
        .await;
    let gone = gone.into_iter().filter_map(Result::transpose).collect::<Result<_, _>>()?;
    Ok(Snapshot { service, asked, live, gone })
}

async fn kick(api: &Api, client: Client, watch: bool, lingers: bool, dispatcher: &mpsc::Sender<Message>) {
    if lingers {
        sleep(LINGER).await;
    }
    for _ in 0..KICKS {
        match api.disconnect(&client.id).await {
            Ok(()) => break,
            Err(error) => tracing::debug!(connection = %client.connection(), %error, "publisher is not disconnected"),
        }
        sleep(POLL_AT_START).await;
    }
    let gone = async {
        loop {
            sleep(LOOK_EVERY).await;
            if let Ok(false) = api.has_client(&client.id).await {
                return;
            }
        }
    };
    if watch && timeout(TAKEOVER_LIMIT, gone).await.is_ok() {
        // Mostly its hook was quicker.
        let _ = dispatcher.send(Message::Unpublish(client)).await;
    }
}

async fn wait(duration: Option<Duration>) {
    match duration {
        Some(duration) => sleep(duration).await,
        None => pending().await,
    }
}
