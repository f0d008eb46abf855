//! What survives a restart: durations instead of moments, nothing that belongs to one process (rule 17).
//!
//! What is still to come is stored as what is left of it, what has passed as how long it took, so that time switched off
//! does not count. Fields that a newer program wrote are kept and written back (`unknown`).

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    CommandId, EntryId, Queue, QueueSettings, TurnEnd, TurnId, Verdict,
    entry::{Entry, HoldOff, Lack, Link, Stopwatch, Turn},
};
use crate::core::{account::AccountId, frame::ConnectionId, moment::Moment, show::darkness::LifeSign};

type Unknown = serde_json::Map<String, serde_json::Value>;

/// The queue as it is stored.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Record {
    /// The turn that runs or is suspended.
    pub on_air: Option<TurnRecord>,
    /// Who waits, in order.
    pub waiting: Vec<EntryRecord>,
    /// The length of turns in milliseconds, if an admin set it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub turn_length_ms: Option<u64>,
    /// The block toggle, if an admin set it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block: Option<bool>,
    /// The rotation is frozen.
    pub hold: bool,
    /// The panic button is pressed.
    pub forced_slate: bool,
    /// Kicked streamers.
    pub hold_offs: Vec<HoldOffRecord>,
    /// The streamer whose turn ended last by time, skip or kick, and how long that still matters.
    pub last_streamer: Option<HoldOffRecord>,
    /// Every entry, turn and take before has a smaller id.
    pub next_id: u64,
    /// Connections that are over, the oldest first.
    pub retired: Vec<ConnectionId>,
    /// Orders that were carried out, the oldest first.
    pub commands: Vec<CommandId>,
    /// When it was stored, by the machine's clocks; none while a start does not know yet how long the box was dark, and said nothing before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alive: Option<LifeSign>,
    /// Fields of a newer program.
    #[serde(flatten)]
    pub unknown: Unknown,
}

/// An entry as it is stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EntryRecord {
    /// The same after a restart.
    pub id: EntryId,
    /// The streamer whose place it is.
    pub account: AccountId,
    /// The streamer's name at the last publish.
    pub name: Arc<str>,
    /// Its connection, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection: Option<ConnectionId>,
    /// How long the place is kept, in milliseconds, if it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub absent_ms: Option<u64>,
    /// What is left of an interrupted turn, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rest_ms: Option<u64>,
    /// How long another takeover is refused yet while the connection delivers, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guarded_ms: Option<u64>,
    /// Fields of a newer program.
    #[serde(flatten)]
    pub unknown: Unknown,
}

/// A turn as it is stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TurnRecord {
    /// The same after a restart.
    pub id: TurnId,
    /// The entry whose turn it is.
    pub entry: EntryRecord,
    /// What is used up of it, in milliseconds.
    pub elapsed_ms: u64,
    /// How long it is, in milliseconds, where an admin said so of this turn alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub length_ms: Option<u64>,
    /// Time on air, in milliseconds.
    pub on_air_ms: u64,
    /// When it began, by the wall clock.
    pub began: jiff::Timestamp,
    /// It was ordered to end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ending: Option<TurnEnd>,
    /// Its place is kept while it is suspended.
    #[serde(default)]
    pub keeps_place: bool,
    /// Fields of a newer program.
    #[serde(flatten)]
    pub unknown: Unknown,
}

/// A hold-off as it is stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HoldOffRecord {
    /// The streamer who is held off.
    pub account: AccountId,
    /// The streamer's name when it began.
    pub name: Arc<str>,
    /// For how long yet, in milliseconds.
    pub remaining_ms: u64,
}

impl Record {
    /// What of it belongs to the box and not to one night: a backup carries this alone. Ids go on, since rows of the history have them.
    #[must_use]
    pub fn of_the_box(&self) -> Self {
        Self { turn_length_ms: self.turn_length_ms, block: self.block, next_id: self.next_id, ..Self::default() }
    }

    /// Whose places it has.
    pub fn accounts(&self) -> impl Iterator<Item = AccountId> {
        self.entries().map(|entry| entry.account)
    }

    /// Whose places have a connection.
    pub fn connected(&self) -> impl Iterator<Item = AccountId> {
        self.entries().filter(|entry| entry.connection.is_some()).map(|entry| entry.account)
    }

    fn entries(&self) -> impl Iterator<Item = &EntryRecord> {
        self.on_air.iter().map(|turn| &turn.entry).chain(&self.waiting)
    }

    /// The running turn is known to have been on air for `on_air`, which was noted after the record was stored.
    pub fn catch_up(&mut self, turn: TurnId, on_air: Duration) {
        if let Some(record) = self.on_air.as_mut().filter(|record| record.id == turn) {
            let missed = ms(on_air).saturating_sub(record.on_air_ms);
            record.on_air_ms += missed;
            record.elapsed_ms += missed;
        }
    }
}

impl Queue {
    /// What must survive, as of `now`.
    pub fn record(&self, now: Moment) -> Record {
        Record {
            on_air: self.on_air.as_ref().map(|turn| TurnRecord {
                id: turn.id,
                entry: entry_record(&turn.entry, now),
                elapsed_ms: ms(turn.clock.elapsed(now)),
                length_ms: turn.length.map(ms),
                on_air_ms: ms(turn.on_air.elapsed(now)),
                began: turn.began,
                ending: turn.ending,
                keeps_place: turn.keeps_place,
                unknown: turn.unknown.clone(),
            }),
            waiting: self.waiting.iter().map(|entry| entry_record(entry, now)).collect(),
            turn_length_ms: self.turn_length.map(ms),
            block: self.block,
            hold: self.hold,
            forced_slate: self.forced_slate,
            hold_offs: self.hold_offs.iter().map(|hold_off| hold_off_record(hold_off, now)).collect(),
            last_streamer: self.last.as_ref().map(|last| hold_off_record(last, now)),
            next_id: self.next_id,
            retired: self.retired.iter().cloned().collect(),
            commands: self
                .commands
                .iter()
                .filter(|(_, verdict)| matches!(verdict, Verdict::Done { .. }))
                .map(|(command, _)| *command)
                .collect(),
            alive: None,
            unknown: self.unknown.clone(),
        }
    }

    /// The queue as it was stored. The first event must be `Restarted`, which says which connections are left.
    pub fn restore(record: Record, settings: QueueSettings, now: Moment) -> Self {
        let mut queue = Self::new(settings);
        queue.on_air = record.on_air.map(|turn| Turn {
            id: turn.id,
            entry: entry(turn.entry, now),
            clock: Stopwatch::at(Duration::from_millis(turn.elapsed_ms)),
            length: turn.length_ms.map(Duration::from_millis),
            on_air: Stopwatch::at(Duration::from_millis(turn.on_air_ms)),
            began: turn.began,
            ending: turn.ending,
            ending_reason: None,
            keeps_place: turn.keeps_place,
            kept_until: None,
            unknown: turn.unknown,
        });
        queue.waiting = record.waiting.into_iter().map(|record| entry(record, now)).collect();
        queue.turn_length = record.turn_length_ms.map(Duration::from_millis);
        queue.block = record.block;
        queue.hold = record.hold;
        queue.forced_slate = record.forced_slate;
        queue.hold_offs = record.hold_offs.into_iter().map(|record| hold_off(record, now)).collect();
        queue.last = record.last_streamer.map(|record| hold_off(record, now));
        queue.next_id = record.next_id.max(1);
        queue.retired = record.retired.into();
        let block = queue.block();
        queue.commands = record.commands.into_iter().map(|command| (command, Verdict::Done { block })).collect();
        queue.unknown = record.unknown;
        queue
    }
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn entry_record(entry: &Entry, now: Moment) -> EntryRecord {
    EntryRecord {
        id: entry.id,
        account: entry.account,
        name: Arc::clone(&entry.name),
        connection: entry.connection().cloned(),
        absent_ms: match entry.link {
            Link::Absent { until } => Some(ms(until.since(now))),
            Link::Present { .. } | Link::Ready { .. } => None,
        },
        rest_ms: entry.rest.map(ms),
        guarded_ms: entry.guarded_until.filter(|until| *until > now).map(|until| ms(until.since(now))),
        unknown: entry.unknown.clone(),
    }
}

fn entry(record: EntryRecord, now: Moment) -> Entry {
    Entry {
        id: record.id,
        account: record.account,
        name: record.name,
        link: match record.connection {
            Some(connection) => Link::Present { connection, since: now, lack: Lack::Picture },
            None => Link::Absent { until: now + Duration::from_millis(record.absent_ms.unwrap_or(0)) },
        },
        rest: record.rest_ms.map(Duration::from_millis),
        guarded_until: record.guarded_ms.map(|left| now + Duration::from_millis(left)),
        // Whoever was there before a restart keeps the place as anybody does.
        unseen: None,
        works_since: None,
        unknown: record.unknown,
    }
}

fn hold_off_record(hold_off: &HoldOff, now: Moment) -> HoldOffRecord {
    HoldOffRecord {
        account: hold_off.account,
        name: Arc::clone(&hold_off.name),
        remaining_ms: ms(hold_off.until.since(now)),
    }
}

fn hold_off(record: HoldOffRecord, now: Moment) -> HoldOff {
    HoldOff { account: record.account, name: record.name, until: now + Duration::from_millis(record.remaining_ms) }
}
