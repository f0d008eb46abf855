//! What must survive: accounts, the queue, history, destinations. The only user of redb.
//!
//! One file, `motherstream.redb`, whose rows are JSON documents. One thread writes: it takes everything that waits, applies it
//! in one transaction, commits once and answers all. Reads at the start fill the memory of whoever owns the data; later reads
//! (history, web sessions) see the last commit and wait for no writer, unless a write has just failed and the file is opened anew.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
    time::Duration,
};

use thiserror::Error;
use tokio::sync::oneshot;

use crate::core::{account::AccountId, destination::DestinationId, queue::TurnId};

pub mod backup;
mod elapsed;
mod file;
mod records;
#[cfg(test)]
mod tests;
mod writer;

pub use self::records::{
    AccountRecord, AuditRecord, DestinationRecord, HistoryRecord, InvitationRecord, ResetRecord, SessionRecord,
    ViewerRecord,
};
use self::{
    file::{Cell, Disk},
    writer::Inbox,
};

/// The store's file inside the data folder.
pub const FILE_NAME: &str = "motherstream.redb";

/// Turns that history keeps. A turn an hour for a year is 8,760; a row is about 200 bytes, so the file stays below 4 MB.
pub const HISTORY_ROWS: u64 = 10_000;

/// Rows of the audit log that are kept. A busy night has a few hundred; a row is about 250 bytes.
pub const AUDIT_ROWS: u64 = 5_000;

/// Why the store can not be opened or written. Each says what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum StoreError {
    /// The data folder can not be made or entered.
    #[error(
        "the data folder {path} can not be used: {detail}; create it, or set `data_dir` to a folder that this user may write"
    )]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        detail: String,
    },
    /// The folder or the file is read-only.
    #[error(
        "{path} can not be written: {detail}; give this user the right to write it, or set `data_dir` to another folder"
    )]
    ReadOnly {
        /// The folder or file.
        path: PathBuf,
        /// What the system said.
        detail: String,
    },
    /// Another process has it open.
    #[error(
        "{path} is in use by another process, most likely a running motherstream; stop that one, or set another `data_dir`"
    )]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The file is something else.
    #[error(
        "{path} is not a store of motherstream ({detail}); it was left as it is: move it away, or set another `data_dir`"
    )]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What is there instead.
        detail: String,
    },
    /// The file is damaged.
    #[error(
        "{path} is damaged ({detail}); it was left as it is: put a backup in its place, or move it away to begin empty"
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// A newer program wrote it, and said that this one can not read it.
    #[error(
        "{path} was written by a newer motherstream (schema {found}, readable from {oldest}; this program knows {known}); \
         update motherstream, or put back the backup made before the update"
    )]
    TooNew {
        /// The file.
        path: PathBuf,
        /// The schema of the file.
        found: u32,
        /// The oldest program's schema that may read it.
        oldest: u32,
        /// The schema of this program.
        known: u32,
    },
    /// The disk is full.
    #[error("the disk that holds {path} is full; free some space, nothing stored is lost")]
    Full {
        /// The file.
        path: PathBuf,
    },
    /// The disk failed in another way.
    #[error("{path} can not be read or written: {detail}; check the disk")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        detail: String,
    },
    /// More changes wait than the disk takes.
    #[error("the disk does not keep up; try again in a moment")]
    Busy,
    /// The store is closed: the box is stopping.
    #[error("the store is closed")]
    Stopped,
}

/// When a change must be on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Before `commit` returns. For requests: they are answered yes only then, and refused when it fails.
    Durable,
    /// As soon as possible; `commit` does not wait. Kept and tried again while the disk fails. For facts.
    Soon,
}

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
    /// Named values.
    pub settings: BTreeMap<String, serde_json::Value>,
    /// Time on air of the turn that ran last, newer than the committed queue unless power was cut.
    pub elapsed: Option<(TurnId, Duration)>,
}

/// The handle. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    inbox: Arc<Inbox>,
    cell: Arc<Cell>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// Why there is no store and this only stands in for it.
    trouble: Option<StoreError>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("path", &self.inner.cell.path()).finish_non_exhaustive()
    }
}

impl Store {
    /// Opens the store in `data_dir`, makes the folder and an empty store where there is none, migrates an older one, and
    /// starts the writer thread.
    ///
    /// # Errors
    /// One of [`StoreError`] for each thing that can be wrong. An existing file is never replaced.
    pub fn open(data_dir: &Path) -> Result<(Self, Loaded), StoreError> {
        Self::start(Disk::folder(data_dir)?)
    }

    fn start(disk: Disk) -> Result<(Self, Loaded), StoreError> {
        let elapsed_path = disk.path().with_file_name(elapsed::FILE_NAME);
        let (cell, mut loaded) = Cell::open(disk)?;
        loaded.elapsed = elapsed::read(&elapsed_path);
        let cell = Arc::new(cell);
        let inbox = Arc::new(Inbox::default());
        let thread = writer::spawn(Arc::clone(&inbox), Arc::clone(&cell), elapsed_path)?;
        let inner = Inner { inbox, cell, thread: Mutex::new(Some(thread)), trouble: None };
        Ok((Self { inner: Arc::new(inner) }, loaded))
    }

    /// Stands in for a store that can not be opened, so that the box comes up on the slate and can say why: it is empty, refuses every
    /// request with that reason, forgets facts, and never touches the disk.
    pub fn stand_in(data_dir: &Path, trouble: StoreError) -> (Self, Loaded) {
        let cell = Arc::new(Cell::closed(data_dir, trouble.clone()));
        let inner = Inner { inbox: Arc::default(), cell, thread: Mutex::new(None), trouble: Some(trouble) };
        (Self { inner: Arc::new(inner) }, Loaded::default())
    }

    /// Why the store could not be opened, if this only stands in for it.
    pub fn trouble(&self) -> Option<&StoreError> {
        self.inner.trouble.as_ref()
    }

    /// Commits `changes` in one transaction, together with whatever else waits.
    ///
    /// # Errors
    /// With [`Durability::Durable`]: whatever kept the changes from the disk; then none of them happened. With
    /// [`Durability::Soon`]: only [`StoreError::Stopped`].
    pub async fn commit(&self, changes: Vec<Change>, durability: Durability) -> Result<(), StoreError> {
        match (durability, self.trouble()) {
            (Durability::Soon, _) => self.commit_soon(changes),
            (Durability::Durable, Some(trouble)) => Err(trouble.clone()),
            (Durability::Durable, None) => {
                let (answer, answered) = oneshot::channel();
                self.inner.inbox.push(changes, Some(answer))?;
                answered.await.unwrap_or(Err(StoreError::Stopped))
            }
        }
    }

    /// [`Durability::Soon`] without an `await`: for callers that are not async.
    ///
    /// # Errors
    /// [`StoreError::Stopped`] after [`Store::close`].
    pub fn commit_soon(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        if self.trouble().is_some() {
            return Ok(());
        }
        self.inner.inbox.push(changes, None)
    }

    /// Notes how long the running turn has been on air: right after the death of the process, not after a power cut (no
    /// fsync, so that an SD card does not wear). Meant for every 4 s or so; never waits.
    pub fn note_elapsed(&self, turn: TurnId, elapsed: Duration) {
        if self.trouble().is_none() {
            self.inner.inbox.note_elapsed(turn, elapsed);
        }
    }

    /// Past turns, the latest first, at most `limit`; only those before a turn, if one is given.
    ///
    /// # Errors
    /// When the file can not be read.
    pub async fn history(&self, before: Option<TurnId>, limit: usize) -> Result<Vec<HistoryRecord>, StoreError> {
        self.read(move |cell| cell.history(before, limit)).await
    }

    /// The audit log, the latest first, at most `limit` rows, all below `before` if that is given.
    ///
    /// # Errors
    /// When the file can not be read.
    pub async fn audit(&self, before: Option<u64>, limit: usize) -> Result<Vec<AuditRecord>, StoreError> {
        self.read(move |cell| cell.audit(before, limit)).await
    }

    /// One web session. An expired one is given as it is: its owner judges.
    ///
    /// # Errors
    /// When the file can not be read.
    pub async fn session(&self, id: &str) -> Result<Option<SessionRecord>, StoreError> {
        let id = id.to_owned();
        self.read(move |cell| cell.session(&id)).await
    }

    /// All web sessions, for clearing out the expired ones.
    ///
    /// # Errors
    /// When the file can not be read.
    pub async fn sessions(&self) -> Result<Vec<SessionRecord>, StoreError> {
        self.read(Cell::sessions).await
    }

    async fn read<T, F>(&self, read: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Cell) -> Result<T, StoreError> + Send + 'static,
    {
        let cell = Arc::clone(&self.inner.cell);
        tokio::task::spawn_blocking(move || read(&cell)).await.unwrap_or(Err(StoreError::Stopped))
    }

    /// Commits what waits, ends the writer thread and closes the file. Later commits are refused.
    pub async fn close(&self) {
        self.inner.inbox.stop();
        let thread = self.inner.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        let cell = Arc::clone(&self.inner.cell);
        // Both ends can only fail by a panic in there, which the runtime has reported.
        let _ended = tokio::task::spawn_blocking(move || {
            let _ended = thread.map(JoinHandle::join);
            cell.close();
        })
        .await;
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // The last handle is gone without `close`: the thread ends by itself after committing what waits.
        self.inbox.stop();
    }
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

/// Looks at the store in `data_dir` without changing anything.
///
/// # Errors
/// As [`Store::open`]; [`StoreError::InUse`] while a box runs on it.
pub fn look(data_dir: &Path) -> Result<Look, StoreError> {
    file::look(&data_dir.join(FILE_NAME))
}
