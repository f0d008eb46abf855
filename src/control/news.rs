//! What happened, told to whoever follows it: live pages, the names in the queue's snapshots, and whatever comes later. Each follows
//! at its own pace; nobody waits for them.
//!
//! News say that something is different and what, not how it is now: a follower looks that up. One that was too slow hears
//! [`Heard::Missed`] instead of what it missed, and looks everything up.

use tokio::sync::broadcast;

use crate::core::{account::AccountId, destination::DestinationId};

/// News that wait for the slowest follower; beyond that it misses the oldest. An evening has a few a minute.
const WAITING: usize = 256;

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// Somebody registered, or was made an account.
    AccountMade(AccountId),
    /// An account has another name.
    AccountRenamed(AccountId),
    /// An account's role, state or data changed.
    AccountChanged(AccountId),
    /// An account is gone.
    AccountGone(AccountId),
    /// These keys of the configuration have other values; the configuration in force has them already.
    SettingsChanged(Vec<&'static str>),
    /// A destination was added, or changed.
    DestinationPut(DestinationId),
    /// A destination is gone.
    DestinationGone(DestinationId),
    /// The venue's OBS, or the way to it, does otherwise.
    ObsChanged,
    /// What is connected, the box's own access point, or what is being done about them, is otherwise.
    NetworkChanged,
    /// Whether the box can store anything, or has stored everything, is otherwise.
    StoringChanged,
}

/// Where news are told. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Wire {
    sender: broadcast::Sender<News>,
}

impl Default for Wire {
    fn default() -> Self {
        Self { sender: broadcast::Sender::new(WAITING) }
    }
}

impl Wire {
    /// Tells everybody who follows. Never waits.
    pub fn tell(&self, news: News) {
        tracing::debug!(?news, "news");
        // That nobody follows is no error.
        let _heard_by = self.sender.send(news);
    }

    /// Follows from now on.
    pub fn follow(&self) -> Follower {
        Follower { receiver: self.sender.subscribe() }
    }
}

/// One who follows the news.
#[derive(Debug)]
pub struct Follower {
    receiver: broadcast::Receiver<News>,
}

/// What a follower hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// The next piece of news.
    News(News),
    /// It was too slow: anything may be different.
    Missed,
}

impl Follower {
    /// The next piece of news; none when the box stops.
    pub async fn next(&mut self) -> Option<Heard> {
        match self.receiver.recv().await {
            Ok(news) => Some(Heard::News(news)),
            Err(broadcast::error::RecvError::Lagged(_)) => Some(Heard::Missed),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }

    /// Forgets what was told so far: for one that is about to look everything up.
    pub fn catch_up(&mut self) {
        self.receiver = self.receiver.resubscribe();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn slow_follower_hears_that_it_missed_something_and_then_the_latest() {
        let wire = Wire::default();
        let (mut slow, mut quick) = (wire.follow(), wire.follow());
        for number in 0..=WAITING as u64 {
            wire.tell(News::AccountMade(AccountId(number)));
            assert_eq!(quick.next().await, Some(Heard::News(News::AccountMade(AccountId(number)))));
        }
        assert_eq!(slow.next().await, Some(Heard::Missed));
        assert_eq!(slow.next().await, Some(Heard::News(News::AccountMade(AccountId(1)))));
        slow.catch_up();
        wire.tell(News::ObsChanged);
        assert_eq!(slow.next().await, Some(Heard::News(News::ObsChanged)));
    }

    #[tokio::test]
    async fn news_end_with_the_box() {
        let wire = Wire::default();
        let mut follower = wire.follow();
        drop(wire);
        assert_eq!(follower.next().await, None);
    }
}
