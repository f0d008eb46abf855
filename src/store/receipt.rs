//! Whether what was handed to the writer is on the disk, and how the writer does.

use std::time::{Duration, Instant};

use tokio::{sync::watch, time::timeout};

use super::StoreError;

/// How long an answer waits for the disk when what was ordered is done already. A healthy SD card commits in tens of milliseconds, and two
/// commits one after the other fit; a person who has pressed a button does not feel a quarter of a second.
const ANSWER_WAIT: Duration = Duration::from_millis(250);

/// Whether something that has been done is on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// It is: a restart brings it back.
    Stored,
    /// Not yet: a restart brings back what was stored before. It is tried until it is stored.
    NotYet,
}

impl Kept {
    /// Of two things that were done together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        if self == Self::Stored { other } else { Self::NotYet }
    }
}

/// What the writer does at this moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Writing {
    /// Why the last commit failed; none when it did not.
    pub failure: Option<StoreError>,
    /// Since when a commit has been under way.
    pub commit_since: Option<Instant>,
    /// Since when changes wait that have been answered, or that nobody waits for; none: they are all on the disk.
    pub unstored_since: Option<Instant>,
    /// Of the changes that nobody waits for: the number of the last one on the disk.
    pub stored: u64,
}

/// Tells when a change that nobody has to wait for is on the disk.
#[derive(Clone, Debug)]
pub struct Receipt {
    number: u64,
    /// None: never.
    writing: Option<watch::Receiver<Writing>>,
}

impl Receipt {
    pub(super) fn new(number: u64, writing: watch::Receiver<Writing>) -> Self {
        Self { number, writing: Some(writing) }
    }

    /// Of a change that no disk will see.
    pub(crate) fn never() -> Self {
        Self { number: 0, writing: None }
    }

    /// Of a change that was on the disk at once.
    #[cfg(test)]
    pub(crate) fn at_once() -> Self {
        Self { number: 0, writing: Some(watch::channel(Writing::default()).1) }
    }

    /// Whether the change is on the disk, after a moment at most: as long as an answer may wait for it. No longer than until it is known
    /// that the disk takes nothing.
    pub async fn kept(self) -> Kept {
        let Some(mut writing) = self.writing else { return Kept::NotYet };
        let ended = |now: &Writing| now.stored >= self.number || now.failure.is_some();
        match timeout(ANSWER_WAIT, writing.wait_for(ended)).await {
            Ok(Ok(now)) if now.stored >= self.number => Kept::Stored,
            _ => Kept::NotYet,
        }
    }
}

/// What `receipt` brings, which may come a little later itself: after a moment at most.
pub(crate) async fn kept_by(receipt: impl Future<Output = Option<Receipt>>) -> Kept {
    let kept = async {
        match receipt.await {
            Some(receipt) => receipt.kept().await,
            None => Kept::NotYet,
        }
    };
    timeout(ANSWER_WAIT, kept).await.unwrap_or(Kept::NotYet)
}
