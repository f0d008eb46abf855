//! What the store keeps for the director, besides the queue itself.

use crate::{
    core::queue::TurnOver,
    store::{AuditRecord, Change, HistoryRecord, Loaded, Note, SHOW, SHOW_ENDED_BY_HAND},
};

/// What the store knew about the queue when it was opened.
#[derive(Clone, Debug, Default)]
pub struct Stored {
    /// The queue's record; none before the first commit.
    pub queue: Option<Vec<u8>>,
    /// That the box was alive, and the time on air of the turn that ran last, noted after the last commit.
    pub note: Note,
    /// Whether a show was on.
    pub show: bool,
    /// Whether the last one was ended by hand.
    pub ended_by_hand: bool,
}

impl From<&Loaded> for Stored {
    fn from(loaded: &Loaded) -> Self {
        let is_set = |name| loaded.settings.get(name).and_then(serde_json::Value::as_bool).unwrap_or(false);
        Self {
            queue: loaded.queue.clone(),
            note: loaded.note.clone(),
            show: is_set(SHOW),
            ended_by_hand: is_set(SHOW_ENDED_BY_HAND),
        }
    }
}

/// A show is on, or is not; where it is not, whether a hand ended it.
pub(super) fn show_changes(on: bool, ended_by_hand: bool) -> [Change; 2] {
    [(SHOW, on), (SHOW_ENDED_BY_HAND, ended_by_hand)]
        .map(|(name, value)| Change::PutSetting(name.to_owned(), value.into()))
}

/// Whether a change is one of these.
pub(super) fn is_about_show(change: &Change) -> bool {
    matches!(change, Change::PutSetting(name, _) if name == SHOW || name == SHOW_ENDED_BY_HAND)
}

/// A row of the audit log about what the box did by itself.
pub(super) fn audit_change(action: &str, target: String) -> Change {
    Change::AppendAudit(AuditRecord {
        number: 0,
        at: jiff::Timestamp::now(),
        account: None,
        who: "the box".to_owned(),
        address: None,
        action: action.to_owned(),
        target,
        outcome: "done".to_owned(),
        extra: serde_json::Map::new(),
    })
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
