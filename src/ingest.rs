//! The front door as the director sees it: events in, accept, refuse and disconnect out, frames to media.

use std::net::IpAddr;

use serde::Serialize;
use tokio::sync::{mpsc, oneshot, watch};
use utoipa::ToSchema;

use crate::{
    config::{IngestConfig, IngestKind},
    core::{account::StreamKey, frame::ConnectionId},
};

pub mod embedded;
pub mod srs;

use srs::whip::Whip;

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

/// The ways in that the running ingest really has, for what streamers are told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Doors {
    /// RTMP; none while it takes nobody.
    pub rtmp: Option<Door>,
    /// SRT, with MPEG-TS inside.
    pub srt: Option<Door>,
    /// WebRTC: the page passes `/whip` on.
    pub whip: bool,
}

/// One way in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Door {
    /// A port of this machine, on whatever address a streamer reaches it by.
    Port(u16),
    /// A server elsewhere, as `rtmp://HOST:PORT/APP`, without a key.
    Elsewhere(String),
}

/// How the ingest is doing, for status and health.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct IngestStatus {
    /// `embedded`, `srs` (run by the box) or `srs elsewhere`.
    pub kind: &'static str,
    /// Why this one was chosen, in words for an admin.
    pub chosen_because: String,
    /// Whether it takes encoders now.
    pub running: bool,
    /// The server's version, for example `7.0.18`.
    pub version: Option<String>,
    /// Whether it ran already when the box started.
    pub adopted: bool,
    /// What is wrong and what to do, when it does not run.
    pub problem: Option<String>,
    /// Times it was started again since the box started.
    pub restarts: u64,
}

/// State of an ingest that changes on its own, published by it and read by web and supervisor.
#[derive(Clone, Debug)]
pub struct IngestState {
    /// See [`Doors`].
    pub doors: Doors,
    /// See [`IngestStatus`].
    pub status: IngestStatus,
}

impl IngestState {
    /// That of the embedded ingest, listening on `port`.
    pub fn embedded(port: u16, chosen_because: &str) -> Self {
        let doors = Doors { rtmp: Some(Door::Port(port)), ..Doors::default() };
        let status = IngestStatus {
            kind: "embedded",
            chosen_because: chosen_because.to_owned(),
            running: true,
            version: None,
            adopted: false,
            problem: None,
            restarts: 0,
        };
        Self { doors, status }
    }
}

/// Orders to the ingest. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Ingest {
    orders: mpsc::Sender<IngestOrder>,
    state: watch::Receiver<IngestState>,
    whip: Option<Whip>,
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

impl Ingest {
    /// A handle and the orders' other end, for the ingest that runs. `whip` is there when the server takes WebRTC.
    pub(crate) fn channel(
        state: watch::Receiver<IngestState>,
        whip: Option<Whip>,
    ) -> (Self, mpsc::Receiver<IngestOrder>) {
        let (orders, receiver) = mpsc::channel(256);
        (Self { orders, state, whip }, receiver)
    }

    /// How it is doing and which ways in it has; a watch, because a server may come and go.
    pub fn state(&self) -> watch::Receiver<IngestState> {
        self.state.clone()
    }

    /// The way to publish by WebRTC, where the running server takes it.
    pub fn whip(&self) -> Option<&Whip> {
        self.whip.as_ref().filter(|_| self.state.borrow().doors.whip)
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

    /// Ends the server that the box runs, if it runs one, and with it every connection, without an `Unpublish`. Without this it outlives the
    /// process, and the next one finds it again.
    pub async fn stop_server(&self) {
        let (sender, receiver) = oneshot::channel();
        if self.orders.send(IngestOrder::StopServer(sender)).await.is_ok() {
            let _ = receiver.await;
        }
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

/// Which ingest runs, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// SRS, else the embedded one.
    pub srs: bool,
    /// In words for an admin.
    pub because: String,
}

/// Chooses by `ingest.kind` and what is installed. Blocks for a fraction of a second.
pub fn choose(config: &IngestConfig) -> Choice {
    match config.kind {
        IngestKind::Embedded => Choice { srs: false, because: "ingest.kind says so".to_owned() },
        IngestKind::Srs => Choice { srs: true, because: "ingest.kind says so".to_owned() },
        IngestKind::Auto if config.srs.api_url.is_some() => {
            Choice { srs: true, because: "ingest.srs.api_url names one".to_owned() }
        }
        IngestKind::Auto => match srs::install::find(&config.srs) {
            Ok(found) => Choice {
                srs: true,
                because: format!("SRS {} is installed ({})", found.version, found.program.display()),
            },
            Err(reason) => Choice { srs: false, because: format!("no usable SRS is installed: {reason}") },
        },
    }
}
