//! The thread that writes, and the box its work lies in.

use std::{
    collections::{HashSet, VecDeque},
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use tokio::sync::{oneshot, watch};

use super::{
    Change, Receipt, StoreError, Writing,
    alive::{Note, NoteFile},
    contents::Key,
    file::Cell,
};

/// Requests that may wait. At 1,000 a second on a disk that hangs this is four seconds of work; those beyond it are refused.
const MAX_WAITING: usize = 4096;

/// Rows of history and audit log that may wait; of every other table it is the latest of each row. A busy night has a few hundred.
const MAX_ROWS: usize = 2000;

/// How long after a failed commit the writer tries again, unless a request comes before: also with nothing to write, because whoever looks has
/// to know when the disk takes something again.
const RETRY: Duration = Duration::from_secs(2);

struct Job {
    changes: Vec<Change>,
    /// None: nobody waits, and it is kept until it can be written.
    answer: Option<oneshot::Sender<Result<(), StoreError>>>,
    /// Of what nobody waits for: the number of the last change.
    number: u64,
}

/// What waits to be written.
#[derive(Default)]
pub(super) struct Inbox {
    waiting: Mutex<Waiting>,
    arrived: Condvar,
    /// Changed only while `waiting` is held.
    writing: watch::Sender<Writing>,
}

#[derive(Default)]
struct Waiting {
    jobs: VecDeque<Job>,
    note: Option<Note>,
    stopping: bool,
    /// The number of the last change that nobody waits for.
    handed: u64,
    /// Rows had to be left out, which has been said.
    left_out: bool,
}

/// What the writer has to do now.
struct Work {
    /// None at all, and yet a commit is due: to see whether the disk takes one.
    jobs: VecDeque<Job>,
    commit: bool,
    note: Option<Note>,
    stopping: bool,
}

impl Inbox {
    /// Hands over a request.
    pub(super) fn push(
        &self,
        changes: Vec<Change>,
        answer: oneshot::Sender<Result<(), StoreError>>,
    ) -> Result<(), StoreError> {
        let mut waiting = self.lock();
        if waiting.stopping {
            return Err(StoreError::Stopped);
        }
        if waiting.jobs.iter().filter(|job| job.answer.is_some()).count() >= MAX_WAITING {
            return Err(StoreError::Busy);
        }
        waiting.jobs.push_back(Job { changes, answer: Some(answer), number: 0 });
        drop(waiting);
        self.arrived.notify_one();
        Ok(())
    }

    /// Hands over what nobody waits for.
    pub(super) fn push_soon(&self, changes: Vec<Change>) -> Receipt {
        let mut waiting = self.lock();
        if waiting.stopping {
            return Receipt::never();
        }
        supersede(&mut waiting.jobs, &changes);
        waiting.handed += 1;
        let number = waiting.handed;
        match waiting.jobs.back_mut().filter(|job| job.answer.is_none()) {
            Some(last) => {
                last.changes.extend(changes);
                last.number = number;
            }
            None => waiting.jobs.push_back(Job { changes, answer: None, number }),
        }
        waiting.leave_out();
        self.writing.send_modify(|writing| {
            writing.unstored_since.get_or_insert_with(Instant::now);
        });
        drop(waiting);
        self.arrived.notify_one();
        Receipt::new(number, self.writing())
    }

    /// What the writer does, as it changes.
    pub(super) fn writing(&self) -> watch::Receiver<Writing> {
        self.writing.subscribe()
    }

    pub(super) fn note(&self, note: Note) {
        self.lock().note = Some(note);
        self.arrived.notify_one();
    }

    pub(super) fn stop(&self) {
        self.lock().stopping = true;
        self.arrived.notify_one();
    }

    /// Waits for work. While `retry` is set, jobs that nobody waits for are left until then; and then something is written in any case.
    fn take(&self, retry: Option<Instant>) -> Work {
        let mut waiting = self.lock();
        loop {
            let left = retry.map(|at| at.saturating_duration_since(Instant::now()));
            let commit = match left {
                None => !waiting.jobs.is_empty(),
                Some(Duration::ZERO) => true,
                Some(_) => waiting.jobs.iter().any(|job| job.answer.is_some()),
            };
            if commit || waiting.stopping {
                return Work {
                    jobs: std::mem::take(&mut waiting.jobs),
                    commit,
                    note: waiting.note.take(),
                    stopping: waiting.stopping,
                };
            }
            if waiting.note.is_some() {
                return Work { jobs: VecDeque::new(), commit, note: waiting.note.take(), stopping: false };
            }
            waiting = match left {
                Some(left) => self.arrived.wait_timeout(waiting, left).unwrap_or_else(PoisonError::into_inner).0,
                None => self.arrived.wait(waiting).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    /// A commit begins.
    fn begins(&self) {
        let _waiting = self.lock();
        self.writing.send_modify(|writing| writing.commit_since = Some(Instant::now()));
    }

    /// A commit has ended: all up to `number` are on the disk; or not, and what is `kept` waits again, before what came meanwhile.
    fn ends(&self, number: u64, kept: Vec<Change>, failure: Option<StoreError>) {
        let mut waiting = self.lock();
        if failure.is_none() {
            waiting.left_out = false;
        } else if number > 0 {
            // Also where there is nothing in it: somebody may wait to hear that it is stored.
            let mut kept = VecDeque::from([Job { changes: kept, answer: None, number }]);
            for job in waiting.jobs.iter().filter(|job| job.answer.is_none()) {
                supersede(&mut kept, &job.changes);
            }
            kept.append(&mut waiting.jobs);
            waiting.jobs = kept;
            waiting.leave_out();
        }
        let handed = waiting.handed;
        self.writing.send_modify(|writing| {
            writing.commit_since = None;
            if failure.is_none() {
                // Requests alone have no number.
                writing.stored = writing.stored.max(number);
                writing.unstored_since = (handed > writing.stored).then(Instant::now);
            }
            writing.failure = failure;
        });
    }

    /// How many changes wait that nobody waits for.
    #[cfg(test)]
    pub(super) fn waiting_soon(&self) -> usize {
        self.lock().jobs.iter().filter(|job| job.answer.is_none()).map(|job| job.changes.len()).sum()
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    /// Leaves out the oldest rows of history and audit log where too many wait.
    fn leave_out(&mut self) {
        let adds = |change: &Change| change.key().is_none();
        let waits = self.jobs.iter().filter(|job| job.answer.is_none());
        let mut beyond =
            waits.flat_map(|job| &job.changes).filter(|change| adds(change)).count().saturating_sub(MAX_ROWS);
        if beyond == 0 {
            return;
        }
        if !std::mem::replace(&mut self.left_out, true) {
            tracing::warn!(
                "the disk takes nothing for so long that rows of history and audit log are left out, the oldest first"
            );
        }
        for job in self.jobs.iter_mut().filter(|job| job.answer.is_none()) {
            job.changes.retain(|change| {
                let goes = beyond > 0 && adds(change);
                beyond -= usize::from(goes);
                !goes
            });
        }
    }
}

/// A newer row makes older ones that nobody waits for superfluous: so a disk that fails for hours fills no memory with them. A request does not:
/// it may fail, and then the older one holds.
fn supersede(jobs: &mut VecDeque<Job>, newer: &[Change]) {
    let keys: HashSet<Key<'_>> = newer.iter().filter_map(Change::key).collect();
    if keys.is_empty() {
        return;
    }
    for job in jobs.iter_mut().filter(|job| job.answer.is_none()) {
        job.changes.retain(|change| change.key().is_none_or(|key| !keys.contains(&key)));
    }
    jobs.retain(|job| job.answer.is_some() || !job.changes.is_empty());
}

/// Starts the writer.
pub(super) fn spawn(inbox: Arc<Inbox>, cell: Arc<Cell>, note_path: PathBuf) -> Result<JoinHandle<()>, StoreError> {
    let path = cell.path().to_owned();
    let writer = Writer { inbox, cell, note_path, note: NoteFile::default(), failed: None, note_failing: false };
    std::thread::Builder::new()
        .name("store".to_owned())
        .spawn(move || writer.run())
        .map_err(|error| StoreError::Io { path, detail: format!("no thread for the writer: {error}") })
}

struct Writer {
    inbox: Arc<Inbox>,
    cell: Arc<Cell>,
    note_path: PathBuf,
    note: NoteFile,
    /// The last commit failed, at this time.
    failed: Option<Instant>,
    note_failing: bool,
}

impl Drop for Writer {
    /// Whatever ends the thread, nobody waits for ever for an answer.
    fn drop(&mut self) {
        self.inbox.stop();
        self.inbox.lock().jobs.clear();
        self.inbox.ends(0, Vec::new(), Some(StoreError::Stopped));
    }
}

impl Writer {
    fn run(mut self) {
        loop {
            let work = self.inbox.take(self.failed.map(|at| at + RETRY));
            if let Some(note) = work.note {
                self.write_note(&note);
            }
            if work.commit || !work.jobs.is_empty() {
                self.write(work.jobs);
            }
            if work.stopping {
                let lost = self.inbox.lock().jobs.iter().filter(|job| !job.changes.is_empty()).count();
                if lost > 0 {
                    tracing::error!(lost, "store closes with changes that could not be written");
                }
                return;
            }
        }
    }

    fn write(&mut self, jobs: VecDeque<Job>) {
        self.inbox.begins();
        let result = self.cell.write(jobs.iter().flat_map(|job| &job.changes));
        self.report(result.as_ref().err());
        let number = jobs.iter().map(|job| job.number).max().unwrap_or_default();
        let (mut kept, mut answers) = (Vec::new(), Vec::new());
        for job in jobs {
            match job.answer {
                Some(answer) => answers.push(answer),
                None if result.is_err() => kept.extend(job.changes),
                None => {}
            }
        }
        // First: whoever is answered and looks sees how it is.
        self.inbox.ends(number, kept, result.as_ref().err().cloned());
        for answer in answers {
            // Whoever asked may be gone meanwhile; the change stands.
            let _gone = answer.send(result.clone());
        }
    }

    /// One line when it begins to fail, one when it works again.
    fn report(&mut self, error: Option<&StoreError>) {
        match error {
            Some(error) if self.failed.is_none() => tracing::error!(%error, "store cannot write"),
            None if self.failed.is_some() => tracing::info!("store writes again"),
            _ => {}
        }
        self.failed = error.map(|_| Instant::now());
    }

    fn write_note(&mut self, note: &Note) {
        let path: &Path = &self.note_path;
        match self.note.write(path, note) {
            Ok(()) => self.note_failing = false,
            Err(error) if !self.note_failing => {
                self.note_failing = true;
                tracing::warn!(%error, "the turn's elapsed time cannot be noted");
            }
            Err(_) => {}
        }
    }
}
