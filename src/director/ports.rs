//! What the director needs of its neighbours, so that it can be tested without them. None of these calls waits.

use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::{
    accounts::{Accounts, KeyOwner},
    core::{
        account::{AccountId, StreamKey},
        frame::ConnectionId,
        queue::{TakeId, TurnId},
    },
    ingest::Ingest,
    media::{Media, Urgency},
    store::{Change, Durability, Store, StoreError},
};

/// Media, as the director sees it.
pub trait MediaPort: Send + 'static {
    /// See [`Media::set_cued`].
    fn set_cued(&self, connections: Vec<ConnectionId>);
    /// See [`Media::take`].
    fn take(&self, take: TakeId, connection: ConnectionId, urgency: Urgency);
    /// See [`Media::cancel_take`].
    fn cancel_take(&self, take: TakeId);
    /// See [`Media::clear`].
    fn clear(&self);
    /// See [`Media::force_slate`].
    fn force_slate(&self, on: bool);
    /// See [`Media::set_show`].
    fn set_show(&self, on: bool);
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

    fn clear(&self) {
        Self::clear(self);
    }

    fn force_slate(&self, on: bool) {
        Self::force_slate(self, on);
    }

    fn set_show(&self, on: bool) {
        Self::set_show(self, on);
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
    fn commit_soon(&self, changes: Vec<Change>);
    /// See [`Store::note_elapsed`].
    fn note_elapsed(&self, turn: TurnId, on_air: Duration);
}

impl StorePort for Store {
    fn commit(&self, changes: Vec<Change>) -> BoxFuture<'static, Result<(), StoreError>> {
        let store = self.clone();
        Box::pin(async move { store.commit(changes, Durability::Durable).await })
    }

    fn commit_soon(&self, changes: Vec<Change>) {
        // It fails only when the store is closed, which is after the director has ended.
        if let Err(error) = Self::commit_soon(self, changes) {
            tracing::debug!(%error, "fact not stored");
        }
    }

    fn note_elapsed(&self, turn: TurnId, on_air: Duration) {
        Self::note_elapsed(self, turn, on_air);
    }
}

/// The accounts, as the director sees them.
pub trait AccountsPort: Send + 'static {
    /// See [`Accounts::key_owner`].
    fn key_owner(&self, key: &StreamKey) -> Option<KeyOwner>;
    /// The account's present name.
    fn name(&self, account: AccountId) -> Option<String>;
    /// Why nobody is known: the accounts can not be read.
    fn trouble(&self) -> Option<String> {
        None
    }
}

impl AccountsPort for Accounts {
    fn trouble(&self) -> Option<String> {
        Self::trouble(self).map(|_| {
            "this box can not read what it remembers, so nobody can publish; its page says what to do".to_owned()
        })
    }

    fn key_owner(&self, key: &StreamKey) -> Option<KeyOwner> {
        Self::key_owner(self, key)
    }

    fn name(&self, account: AccountId) -> Option<String> {
        self.get(account).map(|account| account.name)
    }
}
