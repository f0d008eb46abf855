//! The queue as everybody, and as its admins, may see it.

use std::{collections::HashMap, sync::Arc, time::Duration};

use serde::Serialize;
use utoipa::ToSchema;

use super::PastShow;
use crate::core::{
    account::AccountId,
    frame::ConnectionId,
    moment::Moment,
    queue::{EntryId, EntryLook, HoldOffCause, Presence, Queue, TurnId},
};

/// One place in the queue, as everybody may see it.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct EntryView {
    /// Its id, for an admin's calls.
    pub id: EntryId,
    /// Whose it is.
    pub account: AccountId,
    /// The streamer's name.
    pub name: String,
    /// Whether it can be taken.
    pub presence: Presence,
}

/// The turn that runs.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct TurnView {
    /// Its id, for `skip`.
    pub id: TurnId,
    /// Whose turn it is.
    pub entry: EntryView,
    /// Length in seconds.
    pub length_seconds: f64,
    /// Time on air, in seconds, at the moment of the snapshot.
    pub elapsed_seconds: f64,
    /// What is left, in seconds; zero in overtime.
    pub remaining_seconds: f64,
    /// Whether the clock runs: not while suspended or under the forced slate.
    pub running: bool,
    /// The streamer is gone for the moment and the place is kept.
    pub suspended: bool,
    /// The input is stalled: the slate fills in.
    pub stalled: bool,
}

/// Somebody who may not publish for a while.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct HoldOffView {
    /// The account.
    pub account: AccountId,
    /// Its name.
    pub name: String,
    /// Seconds left.
    pub remaining_seconds: f64,
    /// Why: a kick, the block toggle, or a stream that could not be used more than once.
    pub reason: String,
}

/// One consistent look at the queue.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
#[expect(clippy::struct_excessive_bools, reason = "switches that are independent of each other")]
pub struct QueueView {
    /// Whose turn it is.
    pub on_air: Option<TurnView>,
    /// Who waits, in order.
    pub waiting: Vec<EntryView>,
    /// The first ready one of them.
    pub next: Option<EntryId>,
    /// The block toggle.
    pub block: bool,
    /// Rotation is frozen.
    pub hold: bool,
    /// The panic button.
    pub forced_slate: bool,
    /// The length of a turn in seconds.
    pub turn_seconds: u64,
    /// Whether a show is on.
    pub show: bool,
}

/// The latest look with what only admins and the owners see.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// When it was taken; `elapsed` and `remaining` are as of then.
    pub taken: Moment,
    /// What everybody may see.
    pub queue: QueueView,
    /// The entry that is to be taken: ordered, and waiting for its key frame.
    pub pending: Option<EntryId>,
    /// Held-off streamers.
    pub hold_offs: Vec<HoldOffView>,
    /// The connection of each entry that has one.
    pub connections: HashMap<EntryId, ConnectionId>,
    /// Why an entry that sends cannot be taken, in words for its streamer.
    pub lacks: HashMap<EntryId, Arc<str>>,
    /// Why each account's last publish was refused or connection ended by us, with the wall-clock time.
    pub refusals: Arc<Refusals>,
    /// What became of the show of before the start; none once it goes on, or another has begun.
    pub past: Option<PastShow>,
}

/// By account: when and why its last publish was refused or its connection ended by us. Of this process, and bounded.
pub type Refusals = HashMap<AccountId, (jiff::Timestamp, String)>;

/// One consistent look. `name` gives an account's present name; without one, that of the last publish is shown.
pub(super) fn snapshot(
    queue: &Queue,
    show: bool,
    past: Option<PastShow>,
    refusals: &Arc<Refusals>,
    name: impl Fn(AccountId) -> Option<String>,
    now: Moment,
) -> Snapshot {
    let (mut connections, mut lacks) = (HashMap::new(), HashMap::new());
    let mut view = |entry: EntryLook| {
        if let Some(lack) = entry.lack {
            lacks.insert(entry.id, lack);
        }
        if let Some(connection) = entry.connection {
            connections.insert(entry.id, connection);
        }
        EntryView {
            id: entry.id,
            account: entry.account,
            name: name(entry.account).unwrap_or_else(|| entry.name.to_string()),
            presence: entry.presence,
        }
    };
    let on_air = queue.on_air(now).map(|turn| TurnView {
        id: turn.id,
        length_seconds: turn.length.as_secs_f64(),
        elapsed_seconds: turn.elapsed.as_secs_f64(),
        remaining_seconds: turn.length.saturating_sub(turn.elapsed).as_secs_f64(),
        running: turn.running,
        suspended: turn.entry.presence == Presence::Absent,
        stalled: turn.entry.presence == Presence::Present,
        entry: view(turn.entry),
    });
    let waiting = queue.waiting().map(&mut view).collect();
    let hold_offs = queue
        .hold_offs(now)
        .into_iter()
        .map(|hold_off| HoldOffView {
            account: hold_off.account,
            name: name(hold_off.account).unwrap_or_else(|| hold_off.name.to_string()),
            remaining_seconds: hold_off.remaining.as_secs_f64(),
            reason: match hold_off.why {
                HoldOffCause::Kick => "removed by an admin".to_owned(),
                HoldOffCause::Block => "was on air last".to_owned(),
                HoldOffCause::Unusable(reason) => format!("its stream cannot be used: {reason}"),
            },
        })
        .collect();
    Snapshot {
        taken: now,
        queue: QueueView {
            on_air,
            waiting,
            next: queue.next(),
            block: queue.block(),
            hold: queue.hold(),
            forced_slate: queue.forced_slate(),
            turn_seconds: whole_seconds(queue.turn_length()),
            show,
        },
        pending: queue.pending().map(|(_, entry)| entry),
        hold_offs,
        connections,
        lacks,
        refusals: Arc::clone(refusals),
        past,
    }
}

/// Rounded up: a length of half a second is not shown as none.
fn whole_seconds(length: Duration) -> u64 {
    length.as_secs() + u64::from(length.subsec_nanos() > 0)
}

/// The queue with the times as they are at `now`: a snapshot is made at events only, and the clock runs on meanwhile.
pub fn queue_at(snapshot: &Snapshot, now: Moment) -> QueueView {
    let mut queue = snapshot.queue.clone();
    if let Some(turn) = queue.on_air.as_mut().filter(|turn| turn.running) {
        let since = now.since(snapshot.taken).as_secs_f64();
        turn.elapsed_seconds += since;
        turn.remaining_seconds = (turn.remaining_seconds - since).max(0.0);
    }
    queue
}

/// The hold-offs that are left at `now`.
pub fn hold_offs_at(snapshot: &Snapshot, now: Moment) -> Vec<HoldOffView> {
    let since = now.since(snapshot.taken).as_secs_f64();
    let held = snapshot.hold_offs.iter().cloned().map(|mut held| {
        held.remaining_seconds -= since;
        held
    });
    held.filter(|held| held.remaining_seconds > 0.0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::queue::{EntryId, TurnId};

    fn snapshot(running: bool) -> Snapshot {
        let entry = EntryView { id: EntryId(1), account: AccountId(1), name: "Ada".into(), presence: Presence::Ready };
        let turn = TurnView {
            id: TurnId(1),
            entry,
            length_seconds: 60.0,
            elapsed_seconds: 50.0,
            remaining_seconds: 10.0,
            running,
            suspended: false,
            stalled: false,
        };
        Snapshot {
            taken: Moment::from_start(Duration::from_secs(100)),
            queue: QueueView { on_air: Some(turn), ..QueueView::default() },
            ..Snapshot::default()
        }
    }

    fn times(running: bool, at: u64) -> Option<(f64, f64)> {
        let queue = queue_at(&snapshot(running), Moment::from_start(Duration::from_secs(at)));
        queue.on_air.map(|turn| (turn.elapsed_seconds, turn.remaining_seconds))
    }

    #[test]
    fn remaining_time_is_as_of_the_answer() {
        assert_eq!(times(true, 104), Some((54.0, 6.0)));
        assert_eq!(times(true, 130), Some((80.0, 0.0)));
    }

    #[test]
    fn standing_clock_stands_in_the_answer_too() {
        assert_eq!(times(false, 104), Some((50.0, 10.0)));
    }
}
