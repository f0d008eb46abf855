//! What a destination's failures amount to over several tries: whether one is looked at once more, followed elsewhere, or taken for a
//! refusal.

use std::time::Duration;

use super::protocols;
use crate::core::{
    destination::{ClosedAt, Destination, DestinationFailure},
    moment::Moment,
};

/// A server is looked at again for the same failure after this long: it counts whoever comes, and seldom changes.
const LOOK_AGAIN: Duration = Duration::from_mins(1);

/// Failures that are remembered with what they were.
const KEPT: usize = 4;

/// So many closes in a row at the key or the application are a refusal. Two may be a platform that restarts.
const CLOSES: u32 = 3;

/// The failures of one destination.
#[derive(Debug, Default)]
pub(super) struct Judge {
    /// Servers' failures that were looked at. Few: what has nothing to look at is not kept.
    looked: Vec<Looked>,
    /// Closes in a row, without a word, since something else happened.
    closes: u32,
}

/// A failure that was looked at.
#[derive(Debug)]
struct Looked {
    /// Whose it was, without the key: a platform that is elsewhere may fail there in the same words.
    server: String,
    failure: DestinationFailure,
    /// What it was.
    seen: Option<DestinationFailure>,
    at: Moment,
}

impl Judge {
    /// Forgets everything: another address or key.
    pub(super) fn reset(&mut self) {
        *self = Self::default();
    }

    /// A session lasted.
    pub(super) fn was_live(&mut self) {
        self.reset();
    }

    /// What a failure of a session with `destination` was, at `now`.
    pub(super) async fn closer(
        &mut self,
        destination: &Destination,
        failure: DestinationFailure,
        now: Moment,
    ) -> DestinationFailure {
        let failure = self.seen(destination, failure, now).await;
        match self.counted(failure) {
            // Whoever closes without a word to rtmp2sink may have said one that it does not pass on.
            refusal @ DestinationFailure::ClosesAgain(_) => self.seen(destination, refusal, now).await,
            failure => failure,
        }
    }

    /// What a failure was by a second look, or by the last one where that was not long ago.
    async fn seen(
        &mut self,
        destination: &Destination,
        failure: DestinationFailure,
        now: Moment,
    ) -> DestinationFailure {
        let server = destination.redacted();
        self.looked.retain(|looked| now.since(looked.at) < LOOK_AGAIN);
        let known = self.looked.iter().find(|looked| looked.server == server && looked.failure == failure);
        let seen = if let Some(looked) = known {
            looked.seen.clone()
        } else {
            let seen = protocols::closer(destination, &failure).await;
            self.looked.truncate(KEPT - 1);
            self.looked.insert(0, Looked { server, failure: failure.clone(), seen: seen.clone(), at: now });
            seen
        };
        seen.unwrap_or(failure)
    }

    /// A failure, or what it is for the third time in a row.
    fn counted(&mut self, failure: DestinationFailure) -> DestinationFailure {
        let DestinationFailure::Closed(at @ (ClosedAt::Connect | ClosedAt::Publish | ClosedAt::Accepted)) = failure
        else {
            self.closes = 0;
            return failure;
        };
        self.closes = self.closes.saturating_add(1);
        if self.closes >= CLOSES { DestinationFailure::ClosesAgain(at) } else { failure }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn third_close_at_the_key_in_a_row_is_a_refusal() {
        let mut judge = Judge::default();
        let mut refused = |failure: &DestinationFailure| judge.counted(failure.clone()).is_refusal();
        let closed = |at| DestinationFailure::Closed(at);
        let (publish, accepted) = (closed(ClosedAt::Publish), closed(ClosedAt::Accepted));
        assert_eq!([&publish, &accepted].map(&mut refused), [false, false]);
        assert_eq!([&publish, &publish].map(&mut refused), [true, true]);
        // Something else in between, and it begins anew.
        assert!(!refused(&DestinationFailure::NobodyListens));
        assert_eq!([&publish, &publish, &publish].map(&mut refused), [false, false, true]);
    }

    #[test]
    fn server_that_closes_before_it_answers_or_in_mid_stream_refuses_nothing() {
        let mut judge = Judge::default();
        for at in [ClosedAt::Greeting, ClosedAt::Live].repeat(4) {
            assert!(!judge.counted(DestinationFailure::Closed(at)).is_refusal());
        }
    }
}
