//! Keeps an SRS running, or finds the one that runs already, or watches one elsewhere.

use std::path::PathBuf;

use secrecy::SecretString;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::api::{Api, Identity};
use crate::config::IngestConfig;

/// What is known of the server.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum ServerState {
    /// Not up yet.
    Starting,
    /// It answers.
    Running(Running),
    /// It does not run; it is tried again with backoff.
    Down {
        /// What is wrong and what to do, in words for an admin.
        problem: String,
        /// Times it was started again since the box started.
        restarts: u64,
    },
}

/// A server that answers. Another `identity` is another process: nothing of the old one lives.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Running {
    pub(super) identity: Identity,
    pub(super) version: String,
    /// It ran already when the box started.
    pub(super) adopted: bool,
    pub(super) restarts: u64,
}

/// What keeping a server takes.
pub(super) struct Parts {
    pub(super) config: IngestConfig,
    /// Where pid file, log and SRS's folder lie: `data_dir/srs`.
    pub(super) folder: PathBuf,
    pub(super) api: Api,
    /// The address of the hooks, secret included, for its environment.
    pub(super) hooks_url: SecretString,
    pub(super) tracker: TaskTracker,
    /// Ends the keeping; the server itself goes on.
    pub(super) token: CancellationToken,
}

/// The keeper.
pub(super) struct Server {
    /// See [`ServerState`].
    pub(super) state: watch::Receiver<ServerState>,
    /// Asks for the server's own end (TERM, then KILL); answered when it is gone. Without it the server outlives the box.
    pub(super) stop: mpsc::Sender<oneshot::Sender<()>>,
}

impl Server {
    /// Starts keeping; returns at once.
    pub(super) fn keep(parts: Parts) -> Self {
        let _ = parts;
        Self { state: watch::channel(ServerState::Starting).1, stop: mpsc::channel(1).0 }
    }
}
