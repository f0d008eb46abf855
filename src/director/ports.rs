//! What the director needs of its neighbours, so that it can be tested without them. None of these calls waits.

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use tokio::sync::mpsc;

use super::stored::Stored;
use crate::{
    accounts::{Accounts, KeyOwner},
    clock::Clock,
    core::{
        account::{AccountId, StreamKey},
        frame::ConnectionId,
        queue::{QueueSettings, TakeId, Urgency},
        show::darkness::LifeSign,
    },
    ingest::{Ingest, IngestEvent},
    media::{Media, MediaEvents},
    store::{Change, Durability, Note, Receipt, Store, StoreError},
};

/// Whom the director works with, and by which rules.
pub struct Parts<M, I, S, A> {
    /// The rules' figures.
    pub settings: QueueSettings,
    /// The RTMP application streamers publish to.
    pub app: String,
    /// What the store knew.
    pub stored: Stored,
    /// The process's clock.
    pub clock: Clock,
    /// The machine's clocks, which go on while the box is off.
    pub alive: Arc<dyn Fn() -> LifeSign + Send + Sync>,
    /// After a darkness longer than this a show that was on does not go on by itself.
    pub resume: Duration,
    /// Cues, takes and shows the slate.
    pub media: M,
    /// What media tells: takes, first key frames, stalls.
    pub media_events: MediaEvents,
    /// Disconnects encoders, and knows who is connected.
    pub ingest: I,
    /// What the ingest asks and tells: publishes and their ends.
    pub ingest_events: mpsc::Receiver<IngestEvent>,
    /// Makes a change durable before it is answered.
    pub store: S,
    /// Whose key a key is.
    pub accounts: A,
}

/// Media, as the director sees it.
pub trait MediaPort: Send + 'static {
    /// See [`Media::set_cued`].
    fn set_cued(&self, connections: Vec<ConnectionId>);
    /// See [`Media::take`].
    fn take(&self, take: TakeId, connection: ConnectionId, urgency: Urgency);
    /// See [`Media::cancel_take`].
    fn cancel_take(&self, take: TakeId);
    /// See [`Media::give_up_take`].
    fn give_up_take(&self, take: TakeId, connection: ConnectionId);
    /// See [`Media::clear`].
    fn clear(&self);
    /// See [`Media::force_slate`].
    fn force_slate(&self, on: bool);
    /// See [`Media::set_show`].
    fn set_show(&self, on: bool);
    /// See [`Media::hold_show`].
    fn hold_show(&self, held: bool);
    /// Bytes that a connection has delivered so far; none for one that media does not know.
    fn received(&self, connection: &ConnectionId) -> Option<u64>;
}

impl MediaPort for Media {
    fn set_cued(&self, connections: Vec<ConnectionId>) {
        Self::set_cued(self, connections);
    }

    fn take(&self, take: TakeId, connection: ConnectionId, urgency: Urgency) {
        Self::take(self, take, connection, urgency);
    }

    fn cancel_take(&self, take: TakeId) {
        Self::cancel_take(self, take);
    }

    fn give_up_take(&self, take: TakeId, connection: ConnectionId) {
        Self::give_up_take(self, take, connection);
    }

    fn clear(&self) {
        Self::clear(self);
    }

    fn force_slate(&self, on: bool) {
        Self::force_slate(self, on);
    }

    fn set_show(&self, on: bool) {
        Self::set_show(self, on);
    }

    fn hold_show(&self, held: bool) {
        Self::hold_show(self, held);
    }

    fn received(&self, connection: &ConnectionId) -> Option<u64> {
        self.status().borrow().inputs.get(connection).map(|input| input.bytes)
    }
}

/// The ingest, as the director sees it.
pub trait IngestPort: Send + 'static {
    /// See [`Ingest::disconnect`].
    fn disconnect(&self, connection: ConnectionId, reason: String) -> BoxFuture<'static, ()>;
    /// See [`Ingest::connections`].
    fn connections(&self) -> BoxFuture<'static, Vec<ConnectionId>>;
}

impl IngestPort for Ingest {
    fn disconnect(&self, connection: ConnectionId, reason: String) -> BoxFuture<'static, ()> {
        let ingest = self.clone();
        Box::pin(async move { ingest.disconnect(connection, reason).await })
    }

    fn connections(&self) -> BoxFuture<'static, Vec<ConnectionId>> {
        let ingest = self.clone();
        Box::pin(async move { ingest.connections().await })
    }
}

/// The store, as the director sees it.
pub trait StorePort: Send + 'static {
    /// Commits durably; see [`Durability::Durable`].
    fn commit(&self, changes: Vec<Change>) -> BoxFuture<'static, Result<(), StoreError>>;
    /// Commits as soon as possible; see [`Durability::Soon`].
    fn commit_soon(&self, changes: Vec<Change>) -> Receipt;
    /// See [`Store::note`].
    fn note(&self, note: Note);
}

impl StorePort for Store {
    fn commit(&self, changes: Vec<Change>) -> BoxFuture<'static, Result<(), StoreError>> {
        let store = self.clone();
        Box::pin(async move { store.commit(changes, Durability::Durable).await })
    }

    fn commit_soon(&self, changes: Vec<Change>) -> Receipt {
        Self::commit_soon(self, changes)
    }

    fn note(&self, note: Note) {
        Self::note(self, note);
    }
}

/// The accounts, as the director sees them.
pub trait AccountsPort: Send + 'static {
    /// See [`Accounts::key_owner`].
    fn key_owner(&self, key: &StreamKey) -> Option<KeyOwner>;
    /// The account's present name.
    fn name(&self, account: AccountId) -> Option<String>;
    /// Why nobody is known: the accounts cannot be read.
    fn trouble(&self) -> Option<String> {
        None
    }
}

impl AccountsPort for Accounts {
    fn trouble(&self) -> Option<String> {
        Self::trouble(self).map(|_| {
            "this box cannot read what it remembers, so nobody can publish; its page says what to do".to_owned()
        })
    }

    fn key_owner(&self, key: &StreamKey) -> Option<KeyOwner> {
        Self::key_owner(self, key)
    }

    fn name(&self, account: AccountId) -> Option<String> {
        self.get(account).map(|account| account.name)
    }
}
