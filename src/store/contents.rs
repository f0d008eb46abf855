//! What the store holds, and how it is changed.

use std::collections::BTreeMap;

use super::{
    alive::Note,
    records::{
        AccountRecord, AuditRecord, DestinationRecord, HistoryRecord, InvitationRecord, ResetRecord, SessionRecord,
        ViewerRecord,
    },
};
use crate::core::{account::AccountId, destination::DestinationId};

/// The store's file inside the data folder.
pub const FILE_NAME: &str = "motherstream.redb";

/// Turns that history keeps. A turn an hour for a year is 8,760; a row is about 200 bytes, so the file stays below 4 MB.
pub const HISTORY_ROWS: u64 = 10_000;

/// Rows of the audit log that are kept. A busy night has a few hundred; a row is about 250 bytes.
pub const AUDIT_ROWS: u64 = 5_000;

/// The setting under which is kept whether a show is on.
pub const SHOW: &str = "show";

/// And whether the last one was ended by hand: then takes do not begin one while the night goes on.
pub const SHOW_ENDED_BY_HAND: &str = "show_ended_by_hand";

/// The setting that holds the setup code until it is used.
pub const SETUP_CODE: &str = "setup_code";

/// One typed change. All changes of one `commit` happen together or not at all.
#[derive(Clone, Debug)]
pub enum Change {
    /// Adds an account or replaces the one with its id.
    PutAccount(AccountRecord),
    /// Removes an account.
    DeleteAccount(AccountId),
    /// The whole queue, serialised by its owner as JSON. The last one counts.
    PutQueue(Vec<u8>),
    /// Appends a turn to the history; the oldest beyond [`HISTORY_ROWS`] go.
    AppendHistory(HistoryRecord),
    /// Appends a row to the audit log, whose number is given here; the oldest beyond [`AUDIT_ROWS`] go.
    AppendAudit(AuditRecord),
    /// Adds a destination or replaces the one with its id.
    PutDestination(DestinationRecord),
    /// Removes a destination.
    DeleteDestination(DestinationId),
    /// Adds a viewer token or replaces the one with its id.
    PutViewer(ViewerRecord),
    /// Revokes a viewer token.
    DeleteViewer(u64),
    /// Adds an invitation or replaces the one with its id.
    PutInvitation(InvitationRecord),
    /// Revokes an invitation.
    DeleteInvitation(u64),
    /// Adds a reset link or replaces the account's.
    PutReset(ResetRecord),
    /// Ends an account's reset link.
    DeleteReset(AccountId),
    /// Sets a named value.
    PutSetting(String, serde_json::Value),
    /// Removes a named value.
    DeleteSetting(String),
    /// Adds a web session or replaces the one with its id.
    PutSession(SessionRecord),
    /// Removes a web session.
    DeleteSession(String),
}

/// The row that a change is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Key<'a> {
    Account(AccountId),
    Queue,
    Destination(DestinationId),
    Viewer(u64),
    Invitation(u64),
    Reset(AccountId),
    Setting(&'a str),
    Session(&'a str),
}

impl Change {
    /// The row that this writes or removes; none where it adds one each time.
    pub(super) fn key(&self) -> Option<Key<'_>> {
        Some(match self {
            Self::PutAccount(AccountRecord { id, .. }) | Self::DeleteAccount(id) => Key::Account(*id),
            Self::PutQueue(_) => Key::Queue,
            Self::AppendHistory(_) | Self::AppendAudit(_) => return None,
            Self::PutDestination(DestinationRecord { id, .. }) | Self::DeleteDestination(id) => Key::Destination(*id),
            Self::PutViewer(ViewerRecord { id, .. }) | Self::DeleteViewer(id) => Key::Viewer(*id),
            Self::PutInvitation(InvitationRecord { id, .. }) | Self::DeleteInvitation(id) => Key::Invitation(*id),
            Self::PutReset(ResetRecord { account, .. }) | Self::DeleteReset(account) => Key::Reset(*account),
            Self::PutSetting(key, _) | Self::DeleteSetting(key) => Key::Setting(key),
            Self::PutSession(SessionRecord { id, .. }) | Self::DeleteSession(id) => Key::Session(id),
        })
    }
}

/// Everything that is read when the store opens.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// All accounts, by id.
    pub accounts: Vec<AccountRecord>,
    /// The queue as it was committed last.
    pub queue: Option<Vec<u8>>,
    /// Destinations made on the page, by id.
    pub destinations: Vec<DestinationRecord>,
    /// Viewer tokens, by id.
    pub viewers: Vec<ViewerRecord>,
    /// Invitations, by id.
    pub invitations: Vec<InvitationRecord>,
    /// Reset links, by account.
    pub resets: Vec<ResetRecord>,
    /// Web sessions, those that have expired among them: their owner judges.
    pub sessions: Vec<SessionRecord>,
    /// Named values.
    pub settings: BTreeMap<String, serde_json::Value>,
    /// That the box was alive, and the time on air of the turn that ran last; newer than the committed queue unless power was cut.
    pub note: Note,
}

/// What `motherstream doctor` sees of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// There is none yet; the first start makes it.
    Missing,
    /// The box was killed or lost power in the middle; the next start repairs it, which is no fault.
    Unclean,
    /// It opens.
    Opens {
        /// How many accounts it holds.
        accounts: u64,
    },
}
