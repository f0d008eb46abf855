//! Who is on air: one pure function, `apply(event, now) -> (verdict, actions)`. The policy in words is `docs/queue.md`.
//!
//! What the function knows is the [`Queue`]; what must survive a restart is its [`Record`], which holds durations and no
//! moments. One event goes through three steps: what is over by the clock ends (`expire`), the event itself changes the
//! entries, and then the rules are judged on what is there (`settle`), which orders a take, gives one up or ends a turn.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use super::{account::AccountId, flaw::Flaw, frame::ConnectionId, moment::Moment, origin::Origin};

mod entry;
mod events;
mod look;
mod orders;
#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod properties;
mod record;
mod settle;
mod strikes;
#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]
mod tests;
mod words;

use entry::{Entry, HoldOff, LastStreamer, Pending, Shown, Strike, Turn};
pub use look::{EntryId, EntryLook, HoldOffCause, HoldOffLook, Presence, TakeId, TurnId, TurnLook, Urgency};
pub use record::{EntryRecord, HoldOffRecord, Record, TurnRecord};
pub use words::{Denial, Reason, Refusal, TurnEnd};

/// One order of an admin or a streamer. The same one twice is the same as once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CommandId(pub u64);

/// The longest turn that can be set.
pub const LONGEST_TURN: Duration = Duration::from_hours(24);

/// A streamer who lost the air through no order of an admin gets at least this much when it is their turn again (but never
/// more than a whole turn).
pub const LEAST_REST: Duration = Duration::from_mins(1);

/// How long after a takeover the next one is refused while the connection lives.
pub const TAKEOVER_WINDOW: Duration = Duration::from_mins(1);

/// The last streamer may come back once somebody else has been on air for so long.
pub const BLOCK_RELEASE: Duration = Duration::from_mins(1);

/// A take that was ordered and neither happened nor failed for so long has failed, although nobody else is ready. A planned take waits
/// for a key frame, and encoders send one at least every 10 s; three times that says that it is not coming.
pub const PENDING_LIMIT: Duration = Duration::from_secs(30);

/// The same with another ready, while somebody is seen: two key frame intervals of 2 s.
pub const TAKE_LIMIT: Duration = Duration::from_secs(4);

/// The same of who is put on air by hand. Nothing of theirs may be kept yet, and OBS sends a key frame every 8.3 s by default.
pub const PUT_ON_AIR_LIMIT: Duration = Duration::from_secs(12);

/// The same while nobody is seen: of the first that is tried, the second, and each further one. Whoever is next has been kept for long, and
/// is taken at once if they can be; those behind are kept from the first try on. Five tries fit in the 5 s that the slate may
/// be seen with somebody ready.
pub const DARK_LIMITS: [Duration; 3] =
    [Duration::from_millis(2500), Duration::from_secs(1), Duration::from_millis(500)];

/// Rings at the same time.
const MOST_CUED: usize = 4;

/// How many ended connections are remembered, so that a late event cannot bring one back.
const RETIRED_KEPT: usize = 128;

/// How many orders are remembered, so that one that is sent twice is carried out once.
const COMMANDS_KEPT: usize = 32;

/// The part of the configuration that the rules need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueSettings {
    /// Length of a turn, until an admin sets another. 1 h.
    pub turn: Duration,
    /// How long a place is kept for a streamer who lost the connection. 15 s; zero keeps none.
    pub rejoin: Duration,
    /// The same after a restart of the box. 60 s.
    pub restart_grace: Duration,
    /// How long a kick or the block toggle holds a streamer off. 300 s.
    pub hold_off: Duration,
    /// How long a stall is borne. 20 s.
    pub stall_limit: Duration,
    /// Whether a turn whose time is up goes on while nobody else is ready. Yes.
    pub overtime: bool,
    /// The block toggle, until an admin sets it. Off.
    pub block: bool,
    /// Places in the queue, the one on air included. 100.
    pub max_publishers: usize,
}

impl Default for QueueSettings {
    fn default() -> Self {
        Self {
            turn: Duration::from_hours(1),
            rejoin: Duration::from_secs(15),
            restart_grace: Duration::from_mins(1),
            hold_off: Duration::from_mins(5),
            stall_limit: Duration::from_secs(20),
            overtime: true,
            block: false,
            max_publishers: 100,
        }
    }
}

/// What happened. `Publish` and `Order` are requests and get a verdict; everything else is a fact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The owner of a known key asks to publish.
    Publish {
        /// Whose key it was.
        account: AccountId,
        /// The owner's name, for the room.
        name: Arc<str>,
        /// The new connection.
        connection: ConnectionId,
        /// Where it comes from.
        origin: Origin,
        /// Whether the connection that the streamer has already, if any, delivered media in the last 2 s.
        current_alive: bool,
    },
    /// A connection is over.
    Unpublish(ConnectionId),
    /// A connection can be taken now: its first IDR is there (or 3 s of sound without any picture), and nothing stands in the way.
    Ready(ConnectionId),
    /// A connection delivers no longer.
    Stalled(ConnectionId),
    /// A connection delivers, and cannot be taken. It is ready again when that is said.
    Unfit {
        /// The connection.
        connection: ConnectionId,
        /// Why, in words for its streamer.
        reason: Arc<str>,
    },
    /// What a connection sends cannot be used: it is over, or is to be ended.
    Unusable {
        /// The connection.
        connection: ConnectionId,
        /// What is wrong with it, so that the same is known again.
        flaw: Flaw,
        /// The same in words for its streamer.
        reason: Arc<str>,
    },
    /// It delivers again, and can be taken: its first IDR since is there.
    Recovered(ConnectionId),
    /// The take has happened.
    Taken {
        /// The take, as [`Action::Take`] named it.
        take: TakeId,
        /// The time of day, for the history only.
        wall: jiff::Timestamp,
    },
    /// The take cannot happen.
    TakeFailed(TakeId),
    /// Time passed: limits that are over take effect.
    Tick,
    /// Somebody ordered something.
    Order {
        /// The order's own name.
        command: CommandId,
        /// What the person wants.
        order: Order,
    },
    /// The box has started again; the state was restored from its record just before.
    Restarted {
        /// The connections that the ingest still has.
        connections: Vec<ConnectionId>,
    },
}

/// An order of an admin, or of a streamer about their own entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// End the turn `turn`, or whichever runs. Rule 14.
    Skip {
        /// The turn that is meant.
        turn: Option<TurnId>,
    },
    /// Freeze or free the rotation. Rule 15.
    Hold(bool),
    /// Press or lift the panic button. Rule 16.
    ForcedSlate(bool),
    /// Put a ready entry on air now. Rule 14.
    PutOnAir(EntryId),
    /// Remove an entry and hold its streamer off. Rule 14.
    Kick(EntryId),
    /// Move a waiting entry before another, or to the tail. Rule 14.
    Move {
        /// The entry to move.
        entry: EntryId,
        /// Before which; none for the tail.
        before: Option<EntryId>,
    },
    /// Set the length of turns. Rule 13.
    SetTurn {
        /// The new length: more than zero, at most [`LONGEST_TURN`].
        length: Duration,
        /// Whether the clock of the running turn starts afresh.
        reset: bool,
    },
    /// Set the length of one turn, and of no other. Rule 13.
    SetThisTurn {
        /// The turn that is meant.
        turn: TurnId,
        /// Its new length: more than zero, at most [`LONGEST_TURN`].
        length: Duration,
    },
    /// Set or toggle (`None`) the block toggle. Rule 12.
    SetBlock(Option<bool>),
    /// Follow other settings from here on. What changed of the length of turns and of the block toggle holds even if an admin
    /// had set another; limits that run already keep their end.
    Configure(QueueSettings),
    /// Lift a streamer's hold-off. Rule 12.
    LiftHoldOff(AccountId),
    /// The streamer leaves by their own page.
    Leave(AccountId),
    /// The account has a new key, or was disabled, banned or deleted. Rule 14.
    Revoke {
        /// The account that may not go on publishing.
        account: AccountId,
        /// Whether its entry goes too (disabled, banned, deleted).
        remove: bool,
        /// Why, for the streamer.
        reason: Arc<str>,
    },
}

/// The answer to an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A fact was taken note of; it may have changed nothing.
    Noted,
    /// The publish is accepted.
    Accepted {
        /// The connection it takes over from, to be disconnected first.
        replaces: Option<ConnectionId>,
    },
    /// The publish is refused.
    Refused(Refusal),
    /// The order is carried out.
    Done {
        /// The block toggle as it is now.
        block: bool,
    },
    /// The order is not carried out.
    Denied(Denial),
}

/// What is to be done about it, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Order a take. It replaces an earlier one that has not happened.
    Take {
        /// What [`Event::Taken`] or [`Event::TakeFailed`] will name.
        take: TakeId,
        /// The connection whose input goes on air.
        connection: ConnectionId,
        /// How soon it must happen.
        urgency: Urgency,
    },
    /// Give a take up that nobody wants any more.
    CancelTake(TakeId),
    /// Give a take up that did not happen in time: its input is ready again when it has shown that it can be taken.
    GiveUpTake(TakeId, ConnectionId),
    /// Nobody is on air: the slate.
    Clear,
    /// Press or lift the panic button.
    ForceSlate(bool),
    /// Close a connection.
    Disconnect {
        /// The connection to close.
        connection: ConnectionId,
        /// Whose it was, if known.
        account: Option<AccountId>,
        /// Why, for the streamer.
        reason: Reason,
    },
    /// A turn ended: a row for the history. Its end, by the wall clock, is now.
    History(TurnOver),
}

/// A turn that ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TurnOver {
    /// The turn that ended.
    pub turn: TurnId,
    /// The streamer who was on air.
    pub account: AccountId,
    /// The streamer's name at the last publish.
    pub name: Arc<str>,
    /// When it began, by the wall clock.
    pub began: jiff::Timestamp,
    /// Time on air; suspensions and the forced slate do not count.
    pub on_air: Duration,
    /// The rule or the person that ended it.
    pub why: TurnEnd,
}

/// What one event led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// For whoever sent the event.
    pub verdict: Verdict,
    /// What the director has to order of media, ingest and history, in this order.
    pub actions: Vec<Action>,
    /// Whether something changed that must survive a restart.
    pub changed: bool,
}

/// The queue's whole state. Cloning it costs a few microseconds for a hundred entries; the director does, to be able to go back.
#[derive(Clone, Debug)]
pub struct Queue {
    settings: QueueSettings,
    /// Set by an admin; otherwise the settings' hold.
    turn_length: Option<Duration>,
    /// Set by an admin; otherwise the settings' holds.
    block: Option<bool>,
    hold: bool,
    forced_slate: bool,
    on_air: Option<Turn>,
    waiting: Vec<Entry>,
    hold_offs: Vec<HoldOff>,
    /// Of this process only: who could not be used before a restart is given another chance.
    strikes: Vec<Strike>,
    last: Option<LastStreamer>,
    /// One counter for entries, turns and takes.
    next_id: u64,
    retired: VecDeque<ConnectionId>,
    commands: VecDeque<(CommandId, Verdict)>,
    /// What a newer program wrote into the record and this one does not know.
    unknown: serde_json::Map<String, serde_json::Value>,

    // Of this process only.
    pending: Option<Pending>,
    /// Takes that did not happen since the last that did.
    not_taken: u32,
    shown: Shown,
    last_taken: TakeId,
    actions: Vec<Action>,
    changed: bool,
}

impl Queue {
    /// An empty queue, for a box that has never run.
    pub fn new(settings: QueueSettings) -> Self {
        Self {
            settings,
            turn_length: None,
            block: None,
            hold: false,
            forced_slate: false,
            on_air: None,
            waiting: Vec::new(),
            hold_offs: Vec::new(),
            strikes: Vec::new(),
            last: None,
            next_id: 1,
            retired: VecDeque::new(),
            commands: VecDeque::new(),
            unknown: serde_json::Map::new(),
            pending: None,
            not_taken: 0,
            shown: Shown::Nothing,
            last_taken: TakeId(0),
            actions: Vec::new(),
            changed: false,
        }
    }

    /// The whole policy: what follows from `event` at `now`. `now` must never run back.
    pub fn apply(&mut self, event: Event, now: Moment) -> Outcome {
        // A restored state is judged only after the restart has said which connections are left.
        if !matches!(event, Event::Restarted { .. }) {
            self.expire(now);
        }
        let verdict = match event {
            Event::Publish { account, name, connection, origin, current_alive } => {
                self.publish((account, name), connection, origin, current_alive, now)
            }
            Event::Unpublish(connection) => self.unpublish(&connection, now),
            Event::Ready(connection) | Event::Recovered(connection) => self.ready(&connection, now),
            Event::Stalled(connection) => self.stalled(&connection, now),
            Event::Unfit { connection, reason } => self.unfit(&connection, reason, now),
            Event::Unusable { connection, flaw, reason } => self.unusable(&connection, flaw, reason, now),
            Event::Taken { take, wall } => self.taken(take, wall, now),
            Event::TakeFailed(take) => self.take_failed(take, now),
            Event::Tick => Verdict::Noted,
            Event::Order { command, order } => self.order(command, order, now),
            Event::Restarted { connections } => self.restarted(&connections, now),
        };
        self.expire(now);
        self.settle(now);
        Outcome { verdict, actions: std::mem::take(&mut self.actions), changed: std::mem::take(&mut self.changed) }
    }

    /// The connections that media should keep in a ring, in order of importance: the one on air and what is still seen of one that is over, the
    /// target of a take, while nobody is seen the ready ones behind it, the next, and the first one before it that may become ready. While
    /// nobody is ready, the first two that are connected. See *Where rules meet* in docs/queue.md.
    pub fn cued(&self) -> Vec<ConnectionId> {
        let mut cued = Vec::with_capacity(4);
        let mut add = |connection: Option<&ConnectionId>| {
            if let Some(connection) = connection
                && !cued.contains(connection)
            {
                cued.push(connection.clone());
            }
        };
        add(self.on_air.as_ref().and_then(|turn| turn.entry.connection()));
        if self.on_air.is_some()
            && let Shown::Input(connection) = &self.shown
        {
            // A connection that is over still has the programme's buffer to give.
            add(Some(connection));
        }
        add(self.pending.as_ref().map(|pending| &pending.connection));
        if self.pending.is_some() && !self.is_seen() {
            // When it does not happen, those behind are tried, and have no time to lose.
            for entry in self.waiting.iter().filter(|entry| entry.is_ready()).take(3) {
                add(entry.connection());
            }
        }
        if let Some(next) = self.next_ready() {
            add(next.connection());
            // Who is before them keeps what came, for when they are ready, be it again.
            let mut before = self.waiting.iter().take_while(|entry| entry.id != next.id);
            add(before.find(|entry| entry.may_be_ready()).and_then(Entry::connection));
        } else {
            for entry in self.waiting.iter().filter(|entry| entry.connection().is_some()).take(2) {
                add(entry.connection());
            }
        }
        cued.truncate(MOST_CUED);
        cued
    }

    /// When something is due by the clock, so that a [`Event::Tick`] is wanted. After a tick at that moment it is later, or none.
    pub fn next_deadline(&self) -> Option<Moment> {
        self.deadlines().min()
    }

    /// The turn that runs or is suspended.
    pub fn on_air(&self, now: Moment) -> Option<TurnLook> {
        self.on_air.as_ref().map(|turn| TurnLook {
            id: turn.id,
            entry: turn.entry.look(),
            length: self.length_of(turn),
            elapsed: turn.clock.elapsed(now),
            on_air: turn.on_air.elapsed(now),
            running: turn.clock.runs(),
        })
    }

    /// Who waits, in order.
    pub fn waiting(&self) -> impl Iterator<Item = EntryLook> {
        self.waiting.iter().map(Entry::look)
    }

    /// The first ready waiting entry.
    pub fn next(&self) -> Option<EntryId> {
        self.next_ready().map(|entry| entry.id)
    }

    /// The take that was ordered and has not happened: its name and its target.
    pub fn pending(&self) -> Option<(TakeId, EntryId)> {
        self.pending.as_ref().map(|pending| (pending.take, pending.entry))
    }

    /// Who may not publish for a while.
    pub fn hold_offs(&self, now: Moment) -> Vec<HoldOffLook> {
        let mut looks: Vec<_> = self
            .hold_offs
            .iter()
            .filter(|hold_off| hold_off.until > now)
            .map(|hold_off| hold_off.look(now, HoldOffCause::Kick))
            .chain(self.struck_out_looks(now))
            .collect();
        if let Some(last) = self.blocked(now)
            && !looks.iter().any(|look| look.account == last.account)
        {
            looks.push(last.look(now, HoldOffCause::Block));
        }
        looks
    }

    /// The length of turns.
    pub fn turn_length(&self) -> Duration {
        self.turn_length.unwrap_or(self.settings.turn)
    }

    /// How long the turn is.
    fn length_of(&self, turn: &Turn) -> Duration {
        turn.length.unwrap_or_else(|| self.turn_length())
    }

    /// The block toggle.
    pub fn block(&self) -> bool {
        self.block.unwrap_or(self.settings.block)
    }

    /// Whether the rotation is frozen.
    pub const fn hold(&self) -> bool {
        self.hold
    }

    /// Whether the panic button is pressed.
    pub const fn forced_slate(&self) -> bool {
        self.forced_slate
    }

    /// Connections whose liveness decides on the next takeover (rule 3): the director keeps an eye on them.
    pub fn guarded(&self, now: Moment) -> impl Iterator<Item = &ConnectionId> {
        self.entries()
            .filter(move |entry| entry.guarded_until.is_some_and(|until| until > now))
            .filter_map(Entry::connection)
    }

    /// This state takes the place of `other`, whose requests could not be stored, but some of whose actions were carried out:
    /// what media was told is not known, so it is told again. Gives the actions for that.
    pub fn supersede(&mut self, other: &Self, now: Moment) -> Vec<Action> {
        self.next_id = self.next_id.max(other.next_id);
        self.last_taken = self.last_taken.max(other.last_taken);
        self.shown = Shown::Astray;
        if let Some(Pending { entry, connection, cause, urgency, since, .. }) = self.pending.take() {
            self.order_take(entry, connection, cause, urgency, since);
        } else if let Some((take, _)) = other.pending() {
            self.actions.push(Action::CancelTake(take));
        }
        self.settle(now);
        std::mem::take(&mut self.actions)
    }

    /// Whose connection this is, if it is somebody's current one.
    pub fn owner_of(&self, connection: &ConnectionId) -> Option<AccountId> {
        self.entries().find(|entry| entry.connection() == Some(connection)).map(|entry| entry.account)
    }

    /// The streamer's current connection.
    pub fn connection_of(&self, account: AccountId) -> Option<&ConnectionId> {
        self.entries().find(|entry| entry.account == account).and_then(Entry::connection)
    }

    /// Whether nobody has a place.
    pub fn is_empty(&self) -> bool {
        self.entries().next().is_none()
    }

    fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.on_air.iter().map(|turn| &turn.entry).chain(&self.waiting)
    }

    fn next_ready(&self) -> Option<&Entry> {
        self.waiting.iter().find(|entry| entry.is_ready())
    }

    fn fresh_id(&mut self) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        id
    }
}
