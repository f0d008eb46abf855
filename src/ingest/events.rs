//! What the ingest and the director say to each other.

use std::{net::IpAddr, sync::Arc};

use tokio::sync::oneshot;

use crate::core::{account::StreamKey, flaw::Flaw, frame::ConnectionId};

/// What the ingest tells the director. The channel is bounded; when it is full the ingest waits, which holds back only the
/// encoder concerned.
#[derive(Debug)]
pub enum IngestEvent {
    /// An encoder asks to publish. The encoder waits for the verdict.
    Publish(PublishRequest),
    /// A connection that had been accepted is over, for whatever reason. Sent exactly once for each.
    Unpublish(ConnectionId),
    /// What a connection sends cannot be used, whenever it is sent again. Precedes the `Unpublish`.
    Unusable {
        /// The connection, accepted earlier.
        connection: ConnectionId,
        /// What is wrong with it.
        flaw: Flaw,
        /// The same in words for the streamer, and what to do.
        reason: Arc<str>,
    },
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
    pub verdict: oneshot::Sender<PublishVerdict>,
}

/// The director's answer to a publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublishVerdict {
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

/// One order to the ingest.
#[derive(Debug)]
pub(crate) enum IngestOrder {
    /// Close this connection and tell the encoder why if its protocol can.
    Disconnect(ConnectionId, String),
    /// List the accepted connections that are alive.
    List(oneshot::Sender<Vec<ConnectionId>>),
    /// End the server that the box runs, if any.
    StopServer(oneshot::Sender<()>),
}
