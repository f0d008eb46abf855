//! The queue as everybody, and as its admins, may see it.

use std::{collections::HashMap, sync::Arc, time::Duration};

use super::{EntryView, HoldOffView, QueueView, Refusals, Snapshot, TurnView};
use crate::core::{
    account::AccountId,
    moment::Moment,
    queue::{EntryLook, Presence, Queue},
};

/// One consistent look. `name` gives an account's present name; without one, that of the last publish is shown.
pub(super) fn snapshot(
    queue: &Queue,
    show: bool,
    refusals: &Arc<Refusals>,
    name: impl Fn(AccountId) -> Option<String>,
    now: Moment,
) -> Snapshot {
    let mut connections = HashMap::new();
    let mut view = |entry: EntryLook| {
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
            reason: if hold_off.kicked { "removed by an admin" } else { "was on air last" }.to_owned(),
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
        refusals: Arc::clone(refusals),
    }
}

/// Rounded up: a length of half a second is not shown as none.
fn whole_seconds(length: Duration) -> u64 {
    length.as_secs() + u64::from(length.subsec_nanos() > 0)
}
