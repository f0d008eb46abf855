//! The thread that writes, and the box its work lies in.

use std::{
    collections::VecDeque,
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use super::{Change, StoreError, elapsed::ElapsedFile, file::Cell};
use crate::core::queue::TurnId;

/// Commits that may wait. At 1,000 a second on a disk that hangs this is four seconds of work; requests beyond it are refused.
const MAX_WAITING: usize = 4096;

/// How long the writer waits before it tries again what could not be written, unless a request comes before.
const RETRY: Duration = Duration::from_secs(2);

struct Job {
    changes: Vec<Change>,
    /// None: nobody waits, and it is kept until it can be written.
    answer: Option<oneshot::Sender<Result<(), StoreError>>>,
}

/// What waits to be written.
#[derive(Default)]
pub(super) struct Inbox {
    waiting: Mutex<Waiting>,
    arrived: Condvar,
}

#[derive(Default)]
struct Waiting {
    jobs: VecDeque<Job>,
    elapsed: Option<(TurnId, Duration)>,
    stopping: bool,
}

impl Inbox {
    pub(super) fn push(
        &self,
        changes: Vec<Change>,
        answer: Option<oneshot::Sender<Result<(), StoreError>>>,
    ) -> Result<(), StoreError> {
        let mut waiting = self.lock();
        if waiting.stopping {
            return Err(StoreError::Stopped);
        }
        if answer.is_none() {
            supersede(&mut waiting.jobs, &changes);
        }
        if waiting.jobs.len() >= MAX_WAITING {
            if answer.is_some() {
                return Err(StoreError::Busy);
            }
            // Facts are not refused. What is left out is the oldest row of history; the queue is in the newest job.
            if let Some(oldest) = waiting.jobs.iter().position(|job| job.answer.is_none()) {
                waiting.jobs.remove(oldest);
            }
        }
        waiting.jobs.push_back(Job { changes, answer });
        drop(waiting);
        self.arrived.notify_one();
        Ok(())
    }

    pub(super) fn note_elapsed(&self, turn: TurnId, elapsed: Duration) {
        self.lock().elapsed = Some((turn, elapsed));
        self.arrived.notify_one();
    }

    pub(super) fn stop(&self) {
        self.lock().stopping = true;
        self.arrived.notify_one();
    }

    /// Waits for work. While `retry` is set, jobs that nobody waits for are left until then.
    fn take(&self, retry: Option<Instant>) -> Waiting {
        let mut waiting = self.lock();
        loop {
            let left = retry.map(|at| at.saturating_duration_since(Instant::now()));
            let due = match left {
                None | Some(Duration::ZERO) => !waiting.jobs.is_empty(),
                Some(_) => waiting.jobs.iter().any(|job| job.answer.is_some()),
            };
            if due || waiting.stopping {
                return Waiting {
                    jobs: std::mem::take(&mut waiting.jobs),
                    elapsed: waiting.elapsed.take(),
                    stopping: waiting.stopping,
                };
            }
            if waiting.elapsed.is_some() {
                return Waiting { jobs: VecDeque::new(), elapsed: waiting.elapsed.take(), stopping: false };
            }
            waiting = match left.filter(|left| !left.is_zero()) {
                Some(left) => self.arrived.wait_timeout(waiting, left).unwrap_or_else(PoisonError::into_inner).0,
                None => self.arrived.wait(waiting).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    /// Puts back what could not be written, before what came meanwhile.
    fn put_back(&self, mut kept: VecDeque<Job>) {
        let mut waiting = self.lock();
        for job in &waiting.jobs {
            if job.answer.is_none() {
                supersede(&mut kept, &job.changes);
            }
        }
        kept.append(&mut waiting.jobs);
        waiting.jobs = kept;
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A newer queue makes older ones that nobody waits for superfluous: so a disk that fails for hours fills no memory with them.
fn supersede(jobs: &mut VecDeque<Job>, newer: &[Change]) {
    if !newer.iter().any(|change| matches!(change, Change::PutQueue(_))) {
        return;
    }
    for job in jobs.iter_mut().filter(|job| job.answer.is_none()) {
        job.changes.retain(|change| !matches!(change, Change::PutQueue(_)));
    }
    jobs.retain(|job| job.answer.is_some() || !job.changes.is_empty());
}

/// Starts the writer.
pub(super) fn spawn(inbox: Arc<Inbox>, cell: Arc<Cell>, elapsed_path: PathBuf) -> Result<JoinHandle<()>, StoreError> {
    let path = cell.path().to_owned();
    let writer =
        Writer { inbox, cell, elapsed_path, elapsed: ElapsedFile::default(), failing: false, elapsed_failing: false };
    std::thread::Builder::new()
        .name("store".to_owned())
        .spawn(move || writer.run())
        .map_err(|error| StoreError::Io { path, detail: format!("no thread for the writer: {error}") })
}

struct Writer {
    inbox: Arc<Inbox>,
    cell: Arc<Cell>,
    elapsed_path: PathBuf,
    elapsed: ElapsedFile,
    /// The last commit failed.
    failing: bool,
    elapsed_failing: bool,
}

impl Drop for Writer {
    /// Whatever ends the thread, nobody waits for ever for an answer.
    fn drop(&mut self) {
        self.inbox.stop();
        self.inbox.lock().jobs.clear();
    }
}

impl Writer {
    fn run(mut self) {
        loop {
            let retry = self.failing.then(|| Instant::now() + RETRY);
            let work = self.inbox.take(retry);
            if let Some((turn, elapsed)) = work.elapsed {
                self.write_elapsed(turn, elapsed);
            }
            if !work.jobs.is_empty() {
                self.write(work.jobs);
            }
            if work.stopping {
                let lost = self.inbox.lock().jobs.len();
                if lost > 0 {
                    tracing::error!(lost, "store closes with changes that could not be written");
                }
                return;
            }
        }
    }

    fn write(&mut self, jobs: VecDeque<Job>) {
        let result = self.cell.write(jobs.iter().flat_map(|job| &job.changes));
        self.report(result.as_ref().err());
        let mut kept = VecDeque::new();
        for job in jobs {
            match (job.answer, &result) {
                // Whoever asked may be gone meanwhile; the change stands.
                (Some(answer), result) => drop(answer.send(result.clone())),
                (None, Ok(())) => {}
                (None, Err(_)) => kept.push_back(Job { changes: job.changes, answer: None }),
            }
        }
        if !kept.is_empty() {
            self.inbox.put_back(kept);
        }
    }

    /// One line when it begins to fail, one when it works again.
    fn report(&mut self, error: Option<&StoreError>) {
        match error {
            Some(error) if !self.failing => tracing::error!(%error, "store can not write"),
            None if self.failing => tracing::info!("store writes again"),
            _ => {}
        }
        self.failing = error.is_some();
    }

    fn write_elapsed(&mut self, turn: TurnId, elapsed: Duration) {
        let path: &Path = &self.elapsed_path;
        match self.elapsed.write(path, turn, elapsed) {
            Ok(()) => self.elapsed_failing = false,
            Err(error) if !self.elapsed_failing => {
                self.elapsed_failing = true;
                tracing::warn!(%error, "the turn's elapsed time can not be noted");
            }
            Err(_) => {}
        }
    }
}
