//! The front door as the director sees it: events in, accept, refuse and disconnect out, frames to media.

use std::net::IpAddr;

use tokio::sync::{mpsc, oneshot};

use crate::core::{account::StreamKey, frame::ConnectionId};

pub mod embedded;

/// What the ingest tells the director. The channel is bounded; when it is full the ingest waits, which holds back only the
/// encoder concerned.
#[derive(Debug)]
pub enum IngestEvent {
    /// An encoder asks to publish. The encoder waits for the verdict.
    Publish(PublishRequest),
    /// A connection that had been accepted is over, for whatever reason. Sent exactly once for each.
    Unpublish(ConnectionId),
    /// The ingest ended or refused a connection by a rule of its own (codec, silence, malformed data), in words for the streamer
    /// whose key it was. Precedes the `Unpublish`.
    Trouble {
        /// The connection, accepted earlier.
        connection: ConnectionId,
        /// What was wrong and what to do.
        reason: String,
    },
}

/// One publish that waits for its verdict.
#[derive(Debug)]
pub struct PublishRequest {
    /// The connection's name from now on.
    pub connection: ConnectionId,
    /// The RTMP application it asked for.
    pub app: String,
    /// The stream name it gave, which should be a stream key.
    pub key: StreamKey,
    /// Where it comes from.
    pub address: IpAddr,
    /// Where the verdict goes. A dropped sender is a refusal.
    pub verdict: oneshot::Sender<Verdict>,
}

/// The director's answer to a publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Accepted, durably. An older connection of the same streamer is to be disconnected first, and waited for (2 s at most).
    Accept {
        /// The connection that this one takes over from.
        replaces: Option<ConnectionId>,
    },
    /// Refused, with the reason in words for the streamer.
    Refuse {
        /// Why, and what to do.
        reason: String,
    },
}

/// Orders to the ingest. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Ingest {
    orders: mpsc::Sender<IngestOrder>,
}

/// One order to the ingest.
#[derive(Debug)]
pub(crate) enum IngestOrder {
    /// Close this connection and tell the encoder why if its protocol can.
    Disconnect(ConnectionId, String),
    /// List the accepted connections that are alive.
    List(oneshot::Sender<Vec<ConnectionId>>),
}

impl Ingest {
    /// A handle and the orders' other end, for the ingest that runs.
    pub(crate) fn channel() -> (Self, mpsc::Receiver<IngestOrder>) {
        let (orders, receiver) = mpsc::channel(256);
        (Self { orders }, receiver)
    }

    /// Whether the ingest still takes orders.
    pub fn is_running(&self) -> bool {
        !self.orders.is_closed()
    }

    /// Closes a connection. Its `Unpublish` follows. One that is gone already is no error.
    pub async fn disconnect(&self, connection: ConnectionId, reason: String) {
        // The ingest is gone only when the whole box stops.
        let _ = self.orders.send(IngestOrder::Disconnect(connection, reason)).await;
    }

    /// The connections the ingest still has, for `Restarted`. Empty for the embedded ingest of a fresh process.
    pub async fn connections(&self) -> Vec<ConnectionId> {
        let (sender, receiver) = oneshot::channel();
        if self.orders.send(IngestOrder::List(sender)).await.is_err() {
            return Vec::new();
        }
        receiver.await.unwrap_or_default()
    }
}
