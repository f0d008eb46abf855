//! The front door as the director sees it: events in, accept, refuse and disconnect out, frames to media.

use tokio::sync::{mpsc, oneshot, watch};

use crate::{
    config::{IngestConfig, IngestKind},
    core::frame::ConnectionId,
};

pub mod embedded;
mod events;
pub mod srs;
mod state;

pub(crate) use events::IngestOrder;
pub use events::{IngestEvent, PublishRequest, PublishVerdict};
use srs::whip::Whip;
pub use state::{Door, Doors, IngestState, IngestStatus};

/// Orders to the ingest. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Ingest {
    orders: mpsc::Sender<IngestOrder>,
    state: watch::Receiver<IngestState>,
    whip: Option<Whip>,
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
