//! Requests on their way to the disk: what is answered when they arrive there, and the way back if they do not.

use futures_util::future::BoxFuture;
use tokio::sync::oneshot;

use super::OrderError;
use crate::{
    core::{
        account::AccountId,
        frame::ConnectionId,
        moment::Moment,
        queue::{Event, Queue},
    },
    ingest::Verdict,
    store::StoreError,
};

/// An answer to an order: the block toggle as it is now.
pub(super) type OrderAnswer = oneshot::Sender<Result<bool, OrderError>>;

/// A yes that waits for its commit.
pub(super) enum Promise {
    Publish {
        account: AccountId,
        connection: ConnectionId,
        replaces: Option<ConnectionId>,
        answer: oneshot::Sender<Verdict>,
    },
    Order {
        block: bool,
        answer: OrderAnswer,
    },
    Show {
        on: bool,
        answer: OrderAnswer,
    },
}

/// One commit under way.
pub(super) struct Flight {
    pub(super) commit: BoxFuture<'static, Result<(), StoreError>>,
    pub(super) promises: Vec<Promise>,
    /// The state without the requests, and the facts since: what is left if they can not be stored.
    pub(super) base: Queue,
    pub(super) facts: Vec<(Event, Moment)>,
    /// Whether anything was done since on the strength of the requests.
    pub(super) acted: bool,
}
