//! Who publishes: what SRS's hooks, its API, the director and the clock say, brought together. No I/O and no clock of its own.
//!
//! State is kept by SRS's client id within one run of SRS's process, never by stream name: a second publisher of a live stream has a hook
//! of its own, and when SRS then refuses it as busy nothing more is heard of it. A client goes one way:
//!
//! Asking (the director has been asked) -> Waiting (accepted; the client it takes over from has to go first) -> Settling (nobody may
//! pull the old stream any more) -> Accepted -> over. From each of them it may be over at once, and the middle ones are mostly skipped. What is over never comes back to life: RTMP allows to publish again on one connection,
//! under the same client id, and a late hook looks just like that; both are refused, and an honest encoder reconnects.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

pub(super) use self::words::{Client, Effect, Live, Obstacle, Snapshot, Ticket, Wish};
use super::{api::Stream, figures::Meter};
use crate::{
    core::{account::StreamKey, flv::FlvError, frame::ConnectionId, moment::Moment},
    ingest::PublishVerdict,
    telemetry::seldom::seldom,
};

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
mod words;

/// How long the connection that is taken over has to go.
pub(super) const TAKEOVER_LIMIT: Duration = Duration::from_secs(2);

/// How long SRS may take to let go of everybody who pulled a stream that ended. It refuses the next publisher of that name meanwhile
/// ("stream is disposing"), and for ever after: its version 7.0.18 then holds the name as busy until it is started anew. With us as the
/// only one who pulls it takes 0.1 s.
const SETTLE_LIMIT: Duration = Duration::from_millis(800);

/// A stream that ended longer ago has settled.
const SETTLED: Duration = Duration::from_secs(3);

/// SRS lists a publisher a few milliseconds after its hook was answered, and no longer a few after its end. A list that was asked for
/// within this time says nothing about it.
const GRACE: Duration = Duration::from_secs(1);

/// One that was told to go and is still there after so long is told again.
const KICK_AGAIN: Duration = Duration::from_secs(2);

/// QUEUE.md, rule 3: within so long the next takeover is refused while the connection delivers; and some.
const GUARDED: Duration = Duration::from_secs(70);

/// The second part of the rule: delivered within so long, and SRS's own delay.
const DELIVERED: Duration = Duration::from_secs(4);

/// Figures of a new publisher are asked for often: its codec and size are known within a few seconds.
const YOUNG: Duration = Duration::from_secs(6);

/// Clients that are over and remembered. SRS tells each end once; what is late is late by seconds.
const OVER_KEPT: usize = 1024;

/// SRS's figures are up to 4 s old, and a look at them 5 s.
const STALE: Duration = Duration::from_secs(10);

/// What the streamer is told whose encoder fell silent until SRS gave it up.
const SILENT: &str = "nothing was received for so long that the connection was given up; look at the network";

/// What an encoder is told that never began.
const TAKEN_OVER: &str = "another encoder took over with the same stream key";

/// What the streamer is told whose publish was accepted by everybody but SRS.
const BUSY: &str = "the media server did not take the stream, it holds its name for another one; try again in a moment, and if that \
                    does not help, make a new stream key on your page";

/// What the streamer is told whose stream SRS receives and hands to nobody. Measured with 7.0.18: a hook that is open while SRS's
/// timer of 3 s fires can leave a stream so, until its publisher goes.
const LOST: &str = "your stream arrives, but the media server has lost it on the way; you were disconnected so that your encoder \
                    connects again, which mends it";

/// Slower than this is no sound and no picture, but an encoder that says that it is there. Bytes a second.
const MEDIA_RATE: f64 = 2500.0;

/// How far a publish has come: see the module.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Phase {
    Asking {
        /// It is over already; its verdict is still to come.
        gone: bool,
    },
    Waiting {
        old: Client,
        until: Moment,
    },
    Settling {
        until: Moment,
    },
    Accepted,
}

impl Phase {
    fn until(&self) -> Option<Moment> {
        match self {
            Self::Waiting { until, .. } | Self::Settling { until } => Some(*until),
            Self::Asking { .. } | Self::Accepted => None,
        }
    }
}

/// A client's publish, from the question whether it may to its end.
#[derive(Debug)]
struct Publish {
    wish: Wish,
    phase: Phase,
    /// When it came to its present phase.
    since: Moment,
    /// The director counts it as alive, so its end is to be told.
    told: bool,
    /// It was in the list with which the box began, so its end was or will be told without a verdict.
    listed: bool,
    tickets: Vec<Ticket>,
    /// It took over from another.
    successor: bool,
    /// It was told to go.
    leaving: Option<Moment>,
    meter: Meter,
    /// When its figures were looked at.
    looked: Option<Moment>,
}

/// One that is over.
#[derive(Debug)]
struct Over {
    client: Client,
    app: String,
    key: StreamKey,
    at: Moment,
    reason: Option<Arc<str>>,
    /// It had been accepted, so the stream was there.
    published: bool,
}

/// All clients that publish to SRS, each on its one way from asking to over.
#[derive(Debug)]
pub(super) struct Publishers {
    silence: Duration,
    clients: HashMap<Client, Publish>,
    over: VecDeque<Over>,
    effects: Vec<Effect>,
}

impl Publishers {
    /// Nobody publishes. SRS drops a publisher after `silence`.
    pub(super) fn new(silence: Duration) -> Self {
        Self { silence, clients: HashMap::new(), over: VecDeque::new(), effects: Vec::new() }
    }

    /// What is to be done since this was called last.
    pub(super) fn effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    /// SRS asks whether a client may publish.
    pub(super) fn publish(&mut self, wish: Wish, ticket: Ticket, now: Moment) {
        if self.over.iter().any(|over| over.client == wish.client) {
            self.answer(ticket, Err("it is over already; connect again"));
            return;
        }
        let Some(publish) = self.clients.get_mut(&wish.client) else {
            self.ask(wish, Some(ticket), false, now);
            return;
        };
        let same = publish.wish.app == wish.app && publish.wish.key.expose() == wish.key.expose();
        match publish.phase {
            _ if !same => self.answer(ticket, Err("one connection publishes one stream")),
            Phase::Asking { gone: true } => self.answer(ticket, Err("it is over already; connect again")),
            Phase::Asking { .. } | Phase::Waiting { .. } | Phase::Settling { .. } => publish.tickets.push(ticket),
            Phase::Accepted => self.answer(ticket, Ok(())),
        }
    }

    fn ask(&mut self, wish: Wish, ticket: Option<Ticket>, listed: bool, now: Moment) {
        let publish = Publish {
            wish: wish.clone(),
            phase: Phase::Asking { gone: false },
            since: now,
            told: listed,
            listed,
            tickets: ticket.into_iter().collect(),
            successor: false,
            leaving: None,
            meter: Meter::default(),
            looked: None,
        };
        self.clients.insert(wish.client.clone(), publish);
        self.effects.push(Effect::Ask(wish));
    }

    fn answer(&mut self, ticket: Ticket, answer: Result<(), &str>) {
        self.effects.push(Effect::Answer(ticket, answer.map_err(Arc::from)));
    }

    /// The director's answer for a client; none: there was none in time.
    pub(super) fn verdict(&mut self, client: &Client, verdict: Option<PublishVerdict>, now: Moment) {
        let Some(publish) = self.clients.get_mut(client) else { return };
        let Phase::Asking { gone } = publish.phase else { return };
        match verdict {
            Some(PublishVerdict::Accept { replaces }) => {
                // What was listed and is gone has been told already.
                publish.told = !(publish.listed && gone);
                if gone {
                    self.end(client, None, now);
                } else if publish.leaving.is_some() {
                    self.put_out(client, now);
                } else {
                    self.let_in(client, replaces.as_ref(), now);
                }
            }
            refusal => {
                let reason = match refusal {
                    Some(PublishVerdict::Refuse { reason }) => reason,
                    _ => "the box did not answer in time, try again".to_owned(),
                };
                // One that publishes already, and a WebRTC session, do not go by themselves.
                let lingers = publish.wish.lingers;
                let stays = !gone && (publish.tickets.is_empty() || lingers);
                self.end(client, Some(reason.into()), now);
                if stays {
                    self.effects.push(Effect::Kick { client: client.clone(), watch: false, lingers });
                }
            }
        }
    }

    /// Accepted, but ordered to go meanwhile.
    fn put_out(&mut self, client: &Client, now: Moment) {
        self.end(client, Some("disconnected".into()), now);
        self.kick(client, false);
    }

    fn kick(&mut self, client: &Client, watch: bool) {
        let lingers = self.clients.get(client).is_none_or(|publish| publish.wish.lingers);
        self.effects.push(Effect::Kick { client: client.clone(), watch, lingers });
    }

    fn let_in(&mut self, client: &Client, replaces: Option<&ConnectionId>, now: Moment) {
        let there = |old: &Client| {
            old != client && self.clients.get(old).is_some_and(|old| old.phase != (Phase::Asking { gone: true }))
        };
        let old = replaces.and_then(|old| self.find(old)).filter(there);
        let Some(old) = old else {
            if let (Some(publish), true) = (self.clients.get_mut(client), replaces.is_some()) {
                publish.successor = true;
            }
            self.settle(client, now);
            return;
        };
        // One that still waits for its own predecessor never began: what has to go is that one.
        let holder = match self.clients.get(&old).map(|publish| publish.phase.clone()) {
            Some(Phase::Waiting { old: holder, .. }) => holder,
            Some(Phase::Settling { .. }) => {
                self.end(&old, Some(TAKEN_OVER.into()), now);
                if let Some(publish) = self.clients.get_mut(client) {
                    publish.successor = true;
                }
                self.settle(client, now);
                return;
            }
            _ => old.clone(),
        };
        let Some(publish) = self.clients.get_mut(client) else { return };
        publish.successor = true;
        publish.phase = Phase::Waiting { old: holder.clone(), until: now + TAKEOVER_LIMIT };
        publish.since = now;
        if holder != old {
            self.end(&old, Some(TAKEN_OVER.into()), now);
        }
        if let Some(publish) = self.clients.get_mut(&holder) {
            publish.leaving = Some(now);
        }
        self.kick(&holder, true);
    }

    /// Accepts, as soon as the stream of the same name that ended just now has gone entirely.
    fn settle(&mut self, client: &Client, now: Moment) {
        let Some(publish) = self.clients.get_mut(client) else { return };
        let wish = &publish.wish;
        let recent = self.over.iter().rev().take_while(|over| now.since(over.at) < SETTLED);
        let same = |over: &Over| {
            let run = over.client.service == wish.client.service;
            over.published && run && over.app == wish.app && over.key.expose() == wish.key.expose()
        };
        // What publishes already needs no leave of SRS.
        let settled = publish.tickets.is_empty() || !recent.into_iter().any(same);
        if settled {
            self.accept(client, now);
        } else {
            publish.phase = Phase::Settling { until: now + SETTLE_LIMIT };
            publish.since = now;
            self.effects.push(Effect::Clear { client: client.clone(), key: publish.wish.key.clone() });
        }
    }

    /// Nobody pulls the old stream of that name any more.
    pub(super) fn cleared(&mut self, client: &Client, now: Moment) {
        if self.clients.get(client).is_some_and(|publish| matches!(publish.phase, Phase::Settling { .. })) {
            self.accept(client, now);
        }
    }

    fn accept(&mut self, client: &Client, now: Moment) {
        let Some(publish) = self.clients.get_mut(client) else { return };
        publish.phase = Phase::Accepted;
        publish.since = now;
        for ticket in std::mem::take(&mut publish.tickets) {
            self.effects.push(Effect::Answer(ticket, Ok(())));
        }
        let (app, key) = (publish.wish.app.clone(), publish.wish.key.clone());
        self.effects.push(Effect::Announce { connection: client.connection(), app, key });
    }

    /// SRS says that a client does not publish any more.
    pub(super) fn unpublish(&mut self, client: &Client, now: Moment) {
        let Some(publish) = self.clients.get(client) else {
            // A publish of it that is still under way comes too late.
            if !self.over.iter().any(|over| &over.client == client) {
                let (app, key) = (String::new(), StreamKey::new(""));
                self.remember(Over { client: client.clone(), app, key, at: now, reason: None, published: false });
            }
            return;
        };
        // SRS drops by itself who was silent, and does not say so.
        let quiet = now.since(publish.meter.last_growth().unwrap_or(publish.since)) + STALE;
        let silent = publish.phase == Phase::Accepted
            && publish.leaving.is_none()
            && publish.looked.is_some_and(|at| now.since(at) < STALE)
            && quiet >= self.silence.max(2 * STALE);
        if silent {
            self.effects.push(Effect::Trouble(client.connection(), SILENT.to_owned()));
        }
        self.lose(client, now);
    }

    /// It is gone, whoever said so.
    fn lose(&mut self, client: &Client, now: Moment) {
        let Some(publish) = self.clients.get_mut(client) else { return };
        if let Phase::Asking { gone } = &mut publish.phase {
            // Nobody can take back what the director was asked. Its verdict ends it.
            *gone = true;
            let tickets = std::mem::take(&mut publish.tickets);
            let told = std::mem::take(&mut publish.told);
            for ticket in tickets {
                self.answer(ticket, Err("it is over already"));
            }
            if told {
                self.effects.push(Effect::Unpublish(client.connection()));
            }
            self.wake(client, now);
        } else {
            self.end(client, None, now);
        }
    }

    /// Forgets a client, tells everybody, and lets in who waited for that.
    fn end(&mut self, client: &Client, reason: Option<Arc<str>>, now: Moment) {
        let Some(publish) = self.clients.remove(client) else { return };
        for ticket in &publish.tickets {
            self.answer(*ticket, Err(reason.as_deref().unwrap_or("it is over already")));
        }
        if publish.phase == Phase::Accepted {
            self.effects.push(Effect::Withdraw(client.connection()));
        }
        if publish.told {
            self.effects.push(Effect::Unpublish(client.connection()));
        }
        let Wish { app, key, .. } = publish.wish;
        let published = publish.phase == Phase::Accepted;
        self.remember(Over { client: client.clone(), app, key, at: now, reason, published });
        self.wake(client, now);
    }

    fn wake(&mut self, gone: &Client, now: Moment) {
        let waits = |publish: &Publish| matches!(&publish.phase, Phase::Waiting { old, .. } if old == gone);
        let waiting = self.clients.iter().find(|(_, publish)| waits(publish)).map(|(client, _)| client.clone());
        if let Some(client) = waiting {
            self.settle(&client, now);
        }
    }

    fn remember(&mut self, over: Over) {
        if self.over.len() >= OVER_KEPT {
            self.over.pop_front();
        }
        self.over.push_back(over);
    }

    /// The director wants a connection closed.
    pub(super) fn disconnect(&mut self, connection: &ConnectionId, now: Moment) {
        let Some(client) = self.find(connection) else { return };
        let Some(publish) = self.clients.get_mut(&client) else { return };
        match publish.phase {
            Phase::Waiting { .. } | Phase::Settling { .. } => return self.put_out(&client, now),
            Phase::Asking { .. } if !publish.listed => {
                // The order was quicker than the verdict, which ends it.
                publish.leaving = Some(now);
                return;
            }
            Phase::Asking { .. } | Phase::Accepted => publish.leaving = Some(now),
        }
        self.kick(&client, true);
    }

    /// What SRS's API says. `list`: this is the first look after the box's start, and who publishes is in the list that the director
    /// gets.
    pub(super) fn snapshot(&mut self, snapshot: Snapshot, list: bool, now: Moment) {
        let Snapshot { service, asked, live, gone } = snapshot;
        self.run_changed(&service, asked, now);
        for live in live {
            let client = Client { service: service.clone(), id: live.id.clone() };
            if self.clients.contains_key(&client) {
                self.look_at(&client, &live, asked, now);
            } else if let Some(over) = self.over.iter().find(|over| over.client == client) {
                if over.at + KICK_AGAIN < asked {
                    self.effects.push(Effect::Kick { client, watch: false, lingers: false });
                }
            } else {
                let wish = Wish {
                    client,
                    app: live.stream.app,
                    key: StreamKey::new(live.stream.name),
                    address: live.address.unwrap_or(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED)),
                    lingers: false,
                };
                self.ask(wish, None, list, now);
            }
        }
        for client in gone {
            let settled = |publish: &Publish| publish.phase == Phase::Accepted || publish.listed;
            if self.clients.get(&client).is_some_and(|publish| settled(publish) && publish.since + GRACE < asked) {
                tracing::debug!(connection = %client.connection(), "publisher is gone without a word");
                if self.clients.get(&client).is_some_and(|publish| publish.looked.is_none() && !publish.listed) {
                    self.effects.push(Effect::Trouble(client.connection(), BUSY.to_owned()));
                }
                self.lose(&client, now);
            }
        }
    }

    fn look_at(&mut self, client: &Client, live: &Live, asked: Moment, now: Moment) {
        let Some(publish) = self.clients.get_mut(client) else { return };
        if publish.phase != Phase::Accepted {
            return;
        }
        let connection = client.connection();
        publish.looked = Some(now);
        let figures = publish.meter.sample(&live.stream, publish.since, publish.successor, now);
        self.effects.push(Effect::Report(connection.clone(), figures));
        if publish.leaving.is_some_and(|since| since + KICK_AGAIN < asked) {
            publish.leaving = Some(now);
            self.kick(client, true);
        } else if let (None, Some(error)) = (publish.leaving, unsupported(&live.stream)) {
            seldom!(INFO, %connection, %error, "publisher is dropped");
            publish.leaving = Some(now);
            self.effects.push(Effect::Trouble(connection, error.to_string()));
            self.kick(client, true);
        }
    }

    /// Media pulls a connection for seconds and gets nothing. If SRS receives it, SRS has lost it: its encoder connects anew.
    pub(super) fn unheard(&mut self, connection: &ConnectionId, now: Moment) {
        let Some(client) = self.find(connection) else { return };
        let Some(publish) = self.clients.get_mut(&client) else { return };
        let arrives = publish.meter.last_growth().is_some_and(|at| now.since(at) < DELIVERED);
        if publish.phase != Phase::Accepted
            || publish.leaving.is_some()
            || !arrives
            || publish.meter.rate() < MEDIA_RATE
        {
            return;
        }
        seldom!(WARN, %connection, "media server has lost a stream that arrives, its encoder is disconnected");
        publish.leaving = Some(now);
        self.effects.push(Effect::Trouble(connection.clone(), LOST.to_owned()));
        self.kick(&client, true);
    }

    /// Another run of SRS's process answers, asked at `asked`: nobody of an older one lives.
    pub(super) fn run_changed(&mut self, service: &str, asked: Moment, now: Moment) {
        self.lose_all(|client, publish| &*client.service != service && publish.since < asked, now);
    }

    /// SRS does not run.
    pub(super) fn down(&mut self, now: Moment) {
        self.lose_all(|_, _| true, now);
    }

    fn lose_all(&mut self, which: impl Fn(&Client, &Publish) -> bool, now: Moment) {
        let lost: Vec<_> = self
            .clients
            .iter()
            .filter(|(client, publish)| which(client, publish))
            .map(|(client, _)| client.clone())
            .collect();
        for client in lost {
            self.lose(&client, now);
        }
    }

    /// Time passes: who waits waits no longer.
    pub(super) fn tick(&mut self, now: Moment) {
        let due: Vec<_> = self
            .clients
            .iter()
            .filter(|(_, publish)| publish.phase.until().is_some_and(|until| until <= now))
            .collect();
        let due: Vec<_> = due.into_iter().map(|(client, publish)| (client.clone(), publish.phase.clone())).collect();
        for (client, phase) in due {
            match phase {
                Phase::Waiting { old, .. } => {
                    seldom!(WARN, connection = %old.connection(), "replaced connection does not go");
                    self.lose(&old, now);
                    // One that was not known any more woke nobody.
                    if self.clients.get(&client).is_some_and(|publish| matches!(publish.phase, Phase::Waiting { .. })) {
                        self.settle(&client, now);
                    }
                }
                Phase::Settling { .. } => self.accept(&client, now),
                Phase::Asking { .. } | Phase::Accepted => {}
            }
        }
    }

    /// When `tick` is to be called.
    pub(super) fn next_deadline(&self) -> Option<Moment> {
        self.clients.values().filter_map(|publish| publish.phase.until()).min()
    }

    /// Whether figures are wanted every second: somebody is new, or may be thrown out by a second takeover.
    pub(super) fn is_watched(&self, now: Moment) -> bool {
        let watched = |publish: &Publish| {
            let limit = if publish.successor { GUARDED } else { YOUNG };
            publish.phase == Phase::Accepted && now.since(publish.since) < limit
        };
        self.clients.values().any(watched)
    }

    /// Whom SRS should have: whoever is missing from its list is asked for by name.
    pub(super) fn expected(&self) -> Vec<Client> {
        let settled = |publish: &Publish| publish.phase == Phase::Accepted || publish.listed;
        self.clients.iter().filter(|(_, publish)| settled(publish)).map(|(client, _)| client.clone()).collect()
    }

    /// Ids about which nothing has to be looked up.
    pub(super) fn known(&self) -> HashSet<Arc<str>> {
        self.clients
            .keys()
            .map(|client| client.id.clone())
            .chain(self.over.iter().map(|over| over.client.id.clone()))
            .collect()
    }

    /// The connections that the director counts as alive, or should.
    pub(super) fn accepted(&self) -> Vec<ConnectionId> {
        self.clients.iter().filter(|(_, publish)| publish.told).map(|(client, _)| client.connection()).collect()
    }

    /// SRS called the stream name of a WebRTC session busy, before it asked whether it may come in. Makes room where a takeover by RTMP would be
    /// let in (QUEUE.md, rule 3). The session was asked for at `since`.
    pub(super) fn make_room(&mut self, app: &str, key: &StreamKey, since: Moment, now: Moment) -> Obstacle {
        let same = |held: &StreamKey| held.expose() == key.expose();
        let refused = self.over.iter().rev().find(|over| over.at >= since && same(&over.key));
        if let Some(reason) = refused.and_then(|over| over.reason.clone()) {
            return Obstacle::Refused(reason);
        }
        let mut going = Vec::new();
        for (client, publish) in &mut self.clients {
            let gone = publish.phase == Phase::Asking { gone: true };
            if gone || publish.wish.app != app || !same(&publish.wish.key) {
                continue;
            }
            let young = publish.successor && now.since(publish.since) < GUARDED;
            let delivers = publish.meter.last_growth().is_some_and(|at| now.since(at) < DELIVERED);
            if publish.phase != Phase::Accepted || young && delivers {
                return Obstacle::Stays;
            }
            publish.leaving = Some(now);
            going.push(client.clone());
        }
        for client in &going {
            self.kick(client, true);
        }
        if going.is_empty() { Obstacle::None } else { Obstacle::Going(going) }
    }

    /// Whether one of these is still there.
    pub(super) fn has_any(&self, clients: &[Client]) -> bool {
        clients.iter().any(|client| self.clients.contains_key(client))
    }

    fn find(&self, connection: &ConnectionId) -> Option<Client> {
        self.clients.keys().find(|client| client.connection() == *connection).cloned()
    }
}

/// What the programme cannot carry, in the words that the embedded ingest has for it.
fn unsupported(stream: &Stream) -> Option<FlvError> {
    if let Some(video) = &stream.video
        && !video.codec.is_empty()
        && video.codec != "H264"
    {
        return Some(FlvError::VideoCodec(video.codec.clone()));
    }
    let audio = stream.audio.as_ref()?;
    // SRS makes AAC of WebRTC's Opus.
    (!matches!(audio.codec.as_str(), "" | "AAC" | "Opus")).then(|| FlvError::AudioCodec(audio.codec.clone()))
}
