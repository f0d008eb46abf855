//! The control room without HTTP: real accounts, store, director and media, and each order given as a face gives it. Of each: how it ends,
//! why it is denied, what the audit log says, and what is told.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use std::{net::IpAddr, time::Duration};

use futures_util::FutureExt;
use tempfile::TempDir;

use super::{
    denied::Denied,
    journal::{self, By, Caller, Deed, Noted, Part},
    news::{Follower, Heard, News},
    room::{Control, Parts},
    sessions::{ACCOUNT, BEGAN, SessionId},
    testing::{Camera, PASSWORD, REQUESTS, RTMP_PORT, Whole, a_box_on, control_room, folder, publish},
    ways::Reached,
};
use crate::{
    accounts::{Account, Edit, Registration},
    core::{
        account::{AccountId, Role},
        queue::EntryId,
    },
    director::QueueView,
    store::testing::Flaky,
};

mod log;
mod machine;
mod network;
mod night;
mod own;
mod people;
mod programme;
mod safe;
mod settings;

/// Where the orders of the tests come from.
const ADDRESS: [u8; 4] = [10, 0, 0, 7];

/// A control room, and what it tells.
struct Room {
    control: Control,
    whole: Whole,
    news: Follower,
    /// How many rows the audit log has.
    rows: u64,
    folder: TempDir,
}

/// How an order ended.
struct Ended<T> {
    outcome: Result<T, Denied>,
    /// Its row as `who action target: outcome`; empty where it said nothing of itself.
    row: String,
    news: Vec<News>,
}

impl Room {
    async fn open(settings: &[(&str, &str)]) -> Self {
        Self::open_on(settings, None).await
    }

    /// On a disk of its own.
    async fn open_on(settings: &[(&str, &str)], disk: Option<&Flaky>) -> Self {
        let folder = folder();
        let whole = a_box_on(folder.path(), settings, None, disk).await;
        let control = control_room(whole.state.clone());
        let news = control.news();
        Self { control, whole, news, rows: 0, folder }
    }

    fn parts(&self) -> &Parts {
        &self.whole.state
    }

    /// Has an order carried out, and its row written as the web's guard does afterwards.
    async fn order<T>(
        &mut self,
        caller: &Caller,
        order: impl AsyncFnOnce(&Control, &By) -> Result<T, Denied>,
    ) -> Ended<T> {
        self.told();
        let (noted, address) = (Noted::default(), IpAddr::from(ADDRESS));
        let by = By::new(caller.clone(), Some(address), noted.clone());
        let outcome = order(&self.control, &by).await;
        // An order tells before it answers.
        let news = self.told();
        let row = match noted.take() {
            None => String::new(),
            words => {
                let refused = outcome.as_ref().err().map(ToString::to_string);
                let otherwise = Default::default();
                let deed = Deed { caller: by.caller, address: Some(address), words, otherwise, refused };
                journal::write(&self.control, deed);
                self.last_row().await
            }
        };
        Ended { outcome, row, news }
    }

    /// The row that was written last, as soon as it is there.
    async fn last_row(&mut self) -> String {
        self.rows += 1;
        for _ in 0..200 {
            let rows = journal::read(&self.control, &Part { limit: Some(500), before: None }).await.unwrap();
            if rows.len() as u64 >= self.rows {
                assert_eq!(rows.len() as u64, self.rows, "one order, one row");
                let row = &rows[0];
                assert_eq!(row.address.as_deref(), Some("10.0.0.7"));
                let words = [row.who.as_str(), &row.action, &row.target];
                let words = words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
                return format!("{words}: {}", row.outcome);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("no row within 2 s");
    }

    /// What was told since the last look.
    fn told(&mut self) -> Vec<News> {
        let mut told = Vec::new();
        while let Some(heard) = self.news.next().now_or_never() {
            match heard {
                // A disk that is slow for a moment is nobody's order.
                Some(Heard::News(News::StoringChanged)) => {}
                Some(Heard::News(news)) => told.push(news),
                heard => panic!("{heard:?}"),
            }
        }
        told
    }

    /// An account of this role, whose password is [`PASSWORD`].
    async fn account(&self, name: &str, role: Role) -> Account {
        let accounts = &self.parts().accounts;
        let id = accounts.create(joining(name)).await.unwrap().0.id;
        accounts.edit(id, Edit { role: Some(role), ..Edit::default() }).await.unwrap()
    }

    async fn streamer(&self, name: &str) -> AccountId {
        self.account(name, Role::Streamer).await.id
    }

    /// A session of an account, on this device.
    fn session(&self, id: AccountId, device: &str) -> SessionId {
        let (session, now) = (SessionId::of(&format!("held on {device} by {}", id.0)), jiff::Timestamp::now());
        let data = serde_json::json!({ACCOUNT: id.0, BEGAN: now.as_second()});
        self.control.sessions().begin(&session, now + Duration::from_hours(1), data);
        session
    }

    /// A streamer who publishes, by a connection of the same name, and has a place.
    async fn waits(&self, name: &str) -> (AccountId, EntryId) {
        let id = self.streamer(name).await;
        assert!(publish(self.parts(), &self.whole.ingest, id, name).await);
        self.until(|queue| place(queue, id).is_some()).await;
        let entry = place(&self.control.snapshot().queue, id).unwrap();
        (id, entry)
    }

    /// Waits until the queue is so.
    async fn until(&self, so: impl Fn(&QueueView) -> bool) {
        let mut snapshots = self.control.snapshots();
        let seen = snapshots.wait_for(|snapshot| so(&snapshot.queue));
        let seen = tokio::time::timeout(Duration::from_secs(10), seen).await;
        assert!(seen.is_ok_and(|seen| seen.is_ok()), "not within 10 s");
    }
}

impl<T> Ended<T> {
    /// That it was carried out, with this row, or without one.
    #[track_caller]
    fn done(self, row: &str) -> (T, Vec<News>) {
        match self.outcome {
            Ok(outcome) => {
                let row = if row.is_empty() { String::new() } else { format!("{row}: done") };
                assert_eq!(self.row, row);
                (outcome, self.news)
            }
            Err(denied) => panic!("{denied}"),
        }
    }

    /// As [`Self::done`], and that nothing was told, because nothing that others show has changed.
    #[track_caller]
    fn done_quietly(self, row: &str) -> T {
        let (outcome, news) = self.done(row);
        assert_eq!(news, []);
        outcome
    }

    /// That it was denied with these words, and with this row, or without one; and that nobody was told of anything.
    #[track_caller]
    fn denied(self, row: &str, why: &str) -> Denied {
        let denied = self.outcome.err().unwrap_or_else(|| panic!("carried out"));
        let text = denied.to_string();
        assert!(text.contains(why), "{text}");
        // As much as a row holds.
        let outcome: String = format!("refused: {text}").chars().take(200).collect();
        assert_eq!(self.row, if row.is_empty() { String::new() } else { format!("{row}: {outcome}") });
        assert_eq!(self.news, []);
        denied
    }
}

fn place(queue: &QueueView, id: AccountId) -> Option<EntryId> {
    let entries = queue.on_air.iter().map(|turn| &turn.entry).chain(&queue.waiting);
    entries.into_iter().find(|entry| entry.account == id).map(|entry| entry.id)
}

fn joining(name: &str) -> Registration {
    let password = PASSWORD.into();
    Registration { name: name.to_owned(), password, email: None, timezone: None, invitation: None }
}

/// By which name whoever asks reaches the box.
fn reached() -> Reached {
    Reached::new(None, Some("10.0.0.1:8080"))
}
