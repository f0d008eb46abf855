//! What is asked of the director, on its way to the disk, and what is answered.

use futures_util::future::BoxFuture;
use thiserror::Error;
use tokio::sync::oneshot;

use crate::{
    core::{
        account::AccountId,
        frame::ConnectionId,
        moment::Moment,
        queue::{Denial, Event, Order, Queue},
    },
    ingest::{PublishRequest, PublishVerdict},
    store::{Receipt, StoreError},
};

/// Why an order was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum OrderError {
    /// No such entry, account or hold-off.
    #[error("no such {0}")]
    NotFound(&'static str),
    /// The turn that was named is over.
    #[error("that turn is already over")]
    AlreadyOver,
    /// The rules do not allow it now.
    #[error("{0}")]
    Refused(String),
    /// A value is out of bounds.
    #[error("{field}: {reason}")]
    Invalid {
        /// The value's name, as the API has it.
        field: &'static str,
        /// What would be right.
        reason: String,
    },
    /// It could not be made durable, so it did not happen.
    #[error("could not be stored: {0}")]
    Store(String),
    /// The box is stopping.
    #[error("the box is stopping")]
    Stopping,
}

/// What a denial is called outside.
pub(super) fn order_error(denial: &Denial) -> OrderError {
    match *denial {
        Denial::NotFound(what) => OrderError::NotFound(what),
        Denial::AlreadyOver => OrderError::AlreadyOver,
        Denial::NotNow(why) => OrderError::Refused(why.to_owned()),
        Denial::Invalid { field, reason } => OrderError::Invalid { field, reason: reason.to_owned() },
    }
}

/// An answer to an order: the block toggle as it is now.
pub(super) type OrderAnswer = oneshot::Sender<Result<bool, OrderError>>;

/// What the handle asks for.
pub(super) enum Message {
    Order { order: Order, answer: OrderAnswer },
    BeginShow { answer: OrderAnswer },
    LookAgain,
}

/// What makes the show safe, and waits for no disk.
pub(super) enum Safe {
    Order(Order),
    EndShow,
}

/// One of these on its way in. The answer comes when it was done; what it holds, when it was handed to the store.
pub(super) struct SafeOrder {
    pub(super) what: Safe,
    pub(super) answer: oneshot::Sender<Result<oneshot::Receiver<Receipt>, OrderError>>,
}

pub(super) enum Request {
    Publish(PublishRequest),
    Message(Message),
}

impl Request {
    /// Whether nobody waits for the answer any more: whoever asked has been told that it did not happen, or is gone.
    pub(super) fn is_abandoned(&self) -> bool {
        match self {
            Self::Publish(request) => request.verdict.is_closed(),
            Self::Message(Message::Order { answer, .. } | Message::BeginShow { answer }) => answer.is_closed(),
            Self::Message(Message::LookAgain) => false,
        }
    }
}

/// A yes that waits for its commit.
pub(super) enum Promise {
    Publish {
        account: AccountId,
        connection: ConnectionId,
        replaces: Option<ConnectionId>,
        answer: oneshot::Sender<PublishVerdict>,
    },
    Order {
        block: bool,
        answer: OrderAnswer,
    },
    BeginShow {
        answer: OrderAnswer,
    },
}

/// One commit under way.
pub(super) struct Flight {
    pub(super) commit: BoxFuture<'static, Result<(), StoreError>>,
    pub(super) since: Moment,
    pub(super) promises: Vec<Promise>,
    /// The state without the requests, and the facts since: what is left if they cannot be stored.
    pub(super) base: Queue,
    pub(super) facts: Vec<(Event, Moment)>,
    /// Whether anything was done since on the strength of the requests.
    pub(super) acted: bool,
}
