//! Whether the box can remember anything at the moment, and whether it has everything that was ordered: for pages, API and readiness.

use std::time::{Duration, Instant};

use serde::Serialize;
use utoipa::ToSchema;

use super::{news::News, room::Control};
use crate::{
    director::{QueueView, queue_at},
    store::Writing,
};

/// What is not stored after so long is told as not stored. A healthy card needs a tenth of that.
const SLOW: Duration = Duration::from_millis(250);

/// A disk that does not answer for so long takes nothing.
const STUCK: Duration = Duration::from_secs(2);

/// What is said of something that was done and is not stored.
pub(crate) const NOT_YET: &str = "This is done, but not stored yet, because the box cannot write to its disk now. It tries again by itself; after a restart \
                                  before that, what was stored last holds.";

/// Whether the box can remember, and does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Storing {
    /// Whether the disk takes what is written: the last commit did not fail, and none has been under way for 2 s.
    pub(crate) works: bool,
    /// Whether everything that was ordered is on the disk, but for what came in the last quarter of a second.
    pub(crate) stored: bool,
    /// Why nothing can be stored.
    pub(crate) why: Option<String>,
}

impl Storing {
    fn judge(writing: &Writing, now: Instant) -> Self {
        let since = |then: Option<Instant>| then.map(|then| now.saturating_duration_since(then));
        let stuck = since(writing.commit_since).is_some_and(|under_way| under_way >= STUCK);
        let why = writing.failure.as_ref().map(ToString::to_string);
        let why = why.or_else(|| stuck.then(|| "the disk does not answer".to_owned()));
        let unstored = since(writing.unstored_since);
        let late = unstored.is_some_and(|waits| waits >= SLOW || writing.failure.is_some());
        Self { works: why.is_none(), stored: !late, why }
    }

    /// After how long this may be otherwise although nothing happens.
    fn lasts(writing: &Writing, now: Instant) -> Option<Duration> {
        let until = |then: Option<Instant>, limit: Duration| {
            then.and_then(|then| limit.checked_sub(now.saturating_duration_since(then))).filter(|left| !left.is_zero())
        };
        until(writing.commit_since, STUCK).into_iter().chain(until(writing.unstored_since, SLOW)).min()
    }

    /// What those who run the night are told while nothing can be stored.
    pub(crate) fn words(&self) -> Option<String> {
        let why = self.why.as_ref()?;
        Some(format!(
            "Nothing can be stored: {why}. What makes the show safe acts at once all the same: the slate, skip, kick, ban, hold, switching a \
             destination off and ending the show. Everything else is refused. If the box starts again before this is put right, what was stored \
             last holds."
        ))
    }
}

/// The queue with whether it is stored.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct QueueNow {
    #[serde(flatten)]
    queue: QueueView,
    /// Whether everything that was ordered is on the disk. If not, a restart brings back what was stored before.
    stored: bool,
}

impl Control {
    /// Whether the box can remember, and does, at this moment.
    pub(crate) fn storing(&self) -> Storing {
        match self.parts().store.trouble() {
            Some(trouble) => Storing { works: false, stored: true, why: Some(trouble.to_string()) },
            None => Storing::judge(&self.parts().store.writing().borrow(), Instant::now()),
        }
    }

    /// The queue as it is at this moment.
    pub(crate) fn queue_now(&self) -> QueueNow {
        QueueNow { queue: queue_at(&self.snapshot(), self.now()), stored: self.storing().stored }
    }

    /// Tells whenever that is otherwise.
    pub(super) async fn follow_storing(&self) {
        let mut writing = self.parts().store.writing();
        let mut told = self.storing();
        loop {
            let now = self.storing();
            if now != told {
                told = now;
                self.tell(News::StoringChanged);
            }
            let lasts = Storing::lasts(&writing.borrow_and_update(), Instant::now());
            tokio::select! {
                changed = writing.changed() => if changed.is_err() { break },
                () = tokio::time::sleep(lasts.unwrap_or(Duration::MAX)), if lasts.is_some() => {}
            }
        }
        // The store is gone: the box stops.
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::store::{Change, Durability, StoreError, testing::Flaky};

    fn at(millis: u64, start: Instant) -> Instant {
        start + Duration::from_millis(millis)
    }

    #[test]
    fn slow_disk_is_told_after_two_seconds_and_what_waits_after_a_quarter() {
        let start = Instant::now();
        let writing = Writing { commit_since: Some(start), unstored_since: Some(start), ..Writing::default() };
        for (millis, stored, storing) in [(10, true, true), (249, true, true), (250, false, true), (2000, false, false)]
        {
            let judged = Storing::judge(&writing, at(millis, start));
            assert_eq!((judged.stored, judged.works), (stored, storing), "{millis} ms");
        }
        assert_eq!(Storing::lasts(&writing, at(100, start)), Some(Duration::from_millis(150)));
        assert_eq!(Storing::lasts(&writing, at(300, start)), Some(Duration::from_millis(1700)));
        assert_eq!(Storing::lasts(&writing, at(3000, start)), None);
        assert!(Storing::judge(&writing, at(2500, start)).words().unwrap().contains("does not answer"));
    }

    /// As the director does it: facts at once, then a publish.
    #[tokio::test]
    async fn healthy_disk_has_everything_also_after_a_publish() {
        let (store, _) = Flaky::new().open();
        store.commit_soon(vec![Change::PutQueue(b"{}".to_vec())]).kept().await;
        store.commit(vec![Change::PutQueue(b"{}".to_vec())], Durability::Durable).await.unwrap();
        let judged = Storing::judge(&store.writing().borrow(), Instant::now() + SLOW);
        assert_eq!(judged, Storing { works: true, stored: true, why: None });
        store.close().await;
    }

    #[test]
    fn failed_disk_is_told_at_once_with_what_it_said() {
        let failure = Some(StoreError::Full { path: "/data/x".into() });
        let judged = Storing::judge(&Writing { failure, ..Writing::default() }, Instant::now());
        assert!(!judged.works && judged.stored, "nothing waits");
        assert!(judged.words().unwrap().contains("/data/x is full"), "{judged:?}");
        assert_eq!(Storing::judge(&Writing::default(), Instant::now()).words(), None);
    }
}
