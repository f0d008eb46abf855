//! What must survive: accounts, the queue, history, destinations. The only user of redb.
//!
//! One file, `motherstream.redb`, whose rows are JSON documents. One thread writes: it takes everything that waits, applies it
//! in one transaction, commits once and answers all. Reads at the start fill the memory of whoever owns the data; later reads
//! (history, audit log) see the last commit and wait for no writer, unless a write has just failed and the file is opened anew: then for a
//! second at most. What cannot be written and was answered already is kept in memory, the latest of each row, and tried until it can.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
};

use tokio::sync::{oneshot, watch};

use crate::core::queue::TurnId;

mod alive;
pub mod backup;
mod contents;
mod error;
mod file;
mod place;
mod receipt;
mod records;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod writer;

pub(crate) use self::receipt::kept_by;
pub use self::{
    alive::Note,
    contents::{AUDIT_ROWS, Change, FILE_NAME, HISTORY_ROWS, Loaded, Look, SETUP_CODE, SHOW, SHOW_ENDED_BY_HAND},
    error::StoreError,
    receipt::{Kept, Receipt, Writing},
    records::{
        AccountRecord, AuditRecord, DestinationRecord, HistoryRecord, InvitationRecord, ResetRecord, SessionRecord,
        ViewerRecord,
    },
};
use self::{
    file::{Cell, Disk},
    writer::Inbox,
};

/// When a change must be on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Before `commit` returns. For requests: they are answered yes only then, and refused when it fails.
    Durable,
    /// As soon as possible; `commit` does not wait. Kept and tried again while the disk fails. For facts, and for orders that make the
    /// show safe.
    Soon,
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
        let note_path = disk.path().with_file_name(alive::FILE_NAME);
        let (cell, mut loaded) = Cell::open(disk)?;
        loaded.note = note_path.parent().map(alive::read).unwrap_or_default();
        let cell = Arc::new(cell);
        let inbox = Arc::new(Inbox::default());
        let thread = writer::spawn(Arc::clone(&inbox), Arc::clone(&cell), note_path)?;
        let inner = Inner { inbox, cell, thread: Mutex::new(Some(thread)), trouble: None };
        Ok((Self { inner: Arc::new(inner) }, loaded))
    }

    /// Stands in for a store that cannot be opened, so that the box comes up on the slate and can say why: it is empty, refuses every
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
    /// [`Durability::Soon`]: none.
    pub async fn commit(&self, changes: Vec<Change>, durability: Durability) -> Result<(), StoreError> {
        match (durability, self.trouble()) {
            (Durability::Soon, _) => {
                self.commit_soon(changes);
                Ok(())
            }
            (Durability::Durable, Some(trouble)) => Err(trouble.clone()),
            (Durability::Durable, None) => {
                let (answer, answered) = oneshot::channel();
                self.inner.inbox.push(changes, answer)?;
                answered.await.unwrap_or(Err(StoreError::Stopped))
            }
        }
    }

    /// [`Durability::Soon`] without an `await`: for callers that are not async, and for those who want to know when it is stored. After
    /// [`Store::close`], and where this only stands in for a store, never.
    pub fn commit_soon(&self, changes: Vec<Change>) -> Receipt {
        if self.trouble().is_some() {
            return Receipt::never();
        }
        self.inner.inbox.push_soon(changes)
    }

    /// What the writer does, as it changes.
    pub fn writing(&self) -> watch::Receiver<Writing> {
        self.inner.inbox.writing()
    }

    /// Notes that the box is alive, and how long the running turn has been on air: right after the death of the process, not after a power
    /// cut (no fsync, so that an SD card does not wear). Meant for every 4 s or so; never waits.
    pub fn note(&self, note: Note) {
        if self.trouble().is_none() {
            self.inner.inbox.note(note);
        }
    }

    /// Past turns, the latest first, at most `limit`; only those before a turn, if one is given.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn history(&self, before: Option<TurnId>, limit: usize) -> Result<Vec<HistoryRecord>, StoreError> {
        self.read(move |cell| cell.history(before, limit)).await
    }

    /// The audit log, the latest first, at most `limit` rows, all below `before` if that is given.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn audit(&self, before: Option<u64>, limit: usize) -> Result<Vec<AuditRecord>, StoreError> {
        self.read(move |cell| cell.audit(before, limit)).await
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

/// Looks at the store in `data_dir` without changing anything.
///
/// # Errors
/// As [`Store::open`]; [`StoreError::InUse`] while a box runs on it.
pub fn look(data_dir: &Path) -> Result<Look, StoreError> {
    file::look(&data_dir.join(FILE_NAME))
}
