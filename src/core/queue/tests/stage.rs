//! A stage to play the rules on: a queue, a clock that is moved by hand, and a media engine that does as it is told when it is told.

use std::{sync::Arc, time::Duration};

use crate::core::{
    account::AccountId,
    frame::ConnectionId,
    moment::Moment,
    origin::Origin,
    queue::{
        Action, CommandId, Denial, EntryId, Event, Order, Outcome, Queue, QueueSettings, Reason, Record, Refusal,
        TakeId, TurnEnd, TurnId, TurnOver, Verdict,
    },
};

/// Streamers by the first letter of their connections: `a1` and `a2` are connections of A.
pub(crate) struct Stage {
    pub(crate) queue: Queue,
    pub(crate) settings: QueueSettings,
    pub(crate) now: Moment,
    /// What the last event led to.
    pub(crate) last: Vec<Action>,
    /// Every turn that ended.
    pub(crate) history: Vec<TurnOver>,
    /// Every connection that was closed, with the reason.
    pub(crate) closed: Vec<(String, Reason)>,
    /// Whether the current connection of whoever publishes next delivers.
    pub(crate) alive: bool,
    /// Where whoever publishes next comes from.
    pub(crate) origin: Origin,
    commands: u64,
}

pub(crate) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(crate) fn connection(name: &str) -> ConnectionId {
    ConnectionId::new(name)
}

/// One of a few addresses.
pub(crate) fn from(number: u8) -> Origin {
    Origin::of([10, 0, 0, number].into())
}

pub(crate) fn account(name: &str) -> AccountId {
    AccountId(u64::from(name.to_lowercase().bytes().next().unwrap()))
}

impl Stage {
    pub(crate) fn new() -> Self {
        Self::with(QueueSettings::default())
    }

    pub(crate) fn with(settings: QueueSettings) -> Self {
        Self {
            queue: Queue::new(settings.clone()),
            settings,
            now: Moment::from_start(seconds(100)),
            last: Vec::new(),
            history: Vec::new(),
            closed: Vec::new(),
            alive: false,
            origin: from(1),
            commands: 0,
        }
    }

    pub(crate) fn apply(&mut self, event: Event) -> Verdict {
        let Outcome { verdict, actions, .. } = self.queue.apply(event, self.now);
        for action in &actions {
            match action {
                Action::History(row) => self.history.push(row.clone()),
                Action::Disconnect { connection, reason, .. } => {
                    self.closed.push((connection.to_string(), reason.clone()));
                }
                _ => {}
            }
        }
        self.last = actions;
        verdict
    }

    /// Time passes; every deadline on the way is kept.
    pub(crate) fn after(&mut self, duration: Duration) {
        let end = self.now + duration;
        let mut seen = Vec::new();
        while let Some(deadline) = self.queue.next_deadline().filter(|deadline| *deadline <= end) {
            assert!(deadline >= self.now, "a deadline in the past: {deadline:?} at {:?}", self.now);
            self.now = deadline;
            self.apply(Event::Tick);
            seen.append(&mut self.last);
            assert!(self.queue.next_deadline().is_none_or(|next| next > deadline), "a deadline that no tick ends");
        }
        self.now = end;
        self.apply(Event::Tick);
        seen.append(&mut self.last);
        self.last = seen;
    }

    pub(crate) fn publish(&mut self, name: &str) -> Verdict {
        let event = Event::Publish {
            account: account(name),
            name: Arc::from(name[..1].to_uppercase()),
            connection: connection(name),
            origin: self.origin,
            current_alive: self.alive,
        };
        self.apply(event)
    }

    #[track_caller]
    pub(crate) fn accepted(&mut self, name: &str) -> Option<String> {
        match self.publish(name) {
            Verdict::Accepted { replaces } => replaces.map(|connection| connection.to_string()),
            verdict => panic!("{name} was not accepted: {verdict:?}"),
        }
    }

    #[track_caller]
    pub(crate) fn refused(&mut self, name: &str) -> Refusal {
        match self.publish(name) {
            Verdict::Refused(refusal) => refusal,
            verdict => panic!("{name} was not refused: {verdict:?}"),
        }
    }

    /// Publishes and is ready.
    #[track_caller]
    pub(crate) fn arrive(&mut self, name: &str) {
        self.accepted(name);
        self.ready(name);
    }

    pub(crate) fn ready(&mut self, name: &str) {
        self.apply(Event::Ready(connection(name)));
    }

    pub(crate) fn stalls(&mut self, name: &str) {
        self.apply(Event::Stalled(connection(name)));
    }

    pub(crate) fn recovers(&mut self, name: &str) {
        self.apply(Event::Recovered(connection(name)));
    }

    pub(crate) fn leaves(&mut self, name: &str) {
        self.apply(Event::Unpublish(connection(name)));
    }

    /// The take that was ordered happens.
    #[track_caller]
    pub(crate) fn taken(&mut self) {
        let (take, _) = self.queue.pending().expect("a take is pending");
        self.take_happens(take);
    }

    pub(crate) fn take_happens(&mut self, take: TakeId) {
        self.apply(Event::Taken { take, wall: jiff::Timestamp::UNIX_EPOCH });
    }

    /// Arrives and goes on air.
    #[track_caller]
    pub(crate) fn goes_on_air(&mut self, name: &str) {
        self.arrive(name);
        self.taken();
        assert_eq!(self.on_air(), name[..1].to_uppercase());
    }

    pub(crate) fn order(&mut self, order: Order) -> Verdict {
        self.commands += 1;
        self.apply(Event::Order { command: CommandId(self.commands), order })
    }

    #[track_caller]
    pub(crate) fn ordered(&mut self, order: Order) {
        let verdict = self.order(order);
        assert!(matches!(verdict, Verdict::Done { .. }), "{verdict:?}");
    }

    #[track_caller]
    pub(crate) fn denied(&mut self, order: Order) -> Denial {
        match self.order(order) {
            Verdict::Denied(denial) => denial,
            verdict => panic!("not denied: {verdict:?}"),
        }
    }

    /// The box is switched off for a while and starts again; the ingest still has `connections`.
    pub(crate) fn restart(&mut self, connections: &[&str]) {
        let record = serde_json::to_vec(&self.queue.record(self.now)).unwrap();
        let record: Record = serde_json::from_slice(&record).unwrap();
        // A new process has a clock of its own.
        self.now = Moment::from_start(seconds(1));
        self.queue = Queue::restore(record, self.settings.clone(), self.now);
        let connections = connections.iter().copied().map(connection).collect();
        self.apply(Event::Restarted { connections });
    }

    /// The name of whoever is on air or suspended; `-` for nobody.
    pub(crate) fn on_air(&self) -> String {
        self.queue.on_air(self.now).map_or_else(|| "-".into(), |turn| turn.entry.name.to_string())
    }

    /// The names of those who wait, in order.
    pub(crate) fn waiting(&self) -> String {
        self.queue.waiting().map(|entry| entry.name.to_string()).collect()
    }

    /// The connection that the pending take is for; `-` for none.
    pub(crate) fn pending(&self) -> String {
        self.queue
            .pending()
            .and_then(|(_, id)| {
                let on_air = self.queue.on_air(self.now).map(|turn| turn.entry);
                self.queue.waiting().chain(on_air).find(|entry| entry.id == id)
            })
            .and_then(|entry| entry.connection)
            .map_or_else(|| "-".into(), |connection| connection.to_string())
    }

    #[track_caller]
    pub(crate) fn entry(&self, name: &str) -> EntryId {
        let on_air = self.queue.on_air(self.now).map(|turn| turn.entry);
        self.queue.waiting().chain(on_air).find(|entry| *entry.name == *name).expect("no such entry").id
    }

    #[track_caller]
    pub(crate) fn turn(&self) -> TurnId {
        self.queue.on_air(self.now).expect("nobody is on air").id
    }

    #[track_caller]
    pub(crate) fn elapsed(&self) -> Duration {
        self.queue.on_air(self.now).expect("nobody is on air").elapsed
    }

    #[track_caller]
    pub(crate) fn remaining(&self) -> Duration {
        let length = self.queue.on_air(self.now).map_or_else(|| self.queue.turn_length(), |turn| turn.length);
        length.saturating_sub(self.elapsed())
    }

    #[track_caller]
    pub(crate) fn runs(&self) -> bool {
        self.queue.on_air(self.now).expect("nobody is on air").running
    }

    /// The connections that were closed so far.
    pub(crate) fn closed(&self) -> Vec<&str> {
        self.closed.iter().map(|(connection, _)| connection.as_str()).collect()
    }

    /// Why the last turn ended.
    #[track_caller]
    pub(crate) fn why(&self) -> TurnEnd {
        self.history.last().expect("no turn has ended").why
    }

    pub(crate) fn cleared(&self) -> bool {
        self.last.contains(&Action::Clear)
    }

    pub(crate) fn cued(&self) -> Vec<String> {
        self.queue.cued().iter().map(ToString::to_string).collect()
    }
}
