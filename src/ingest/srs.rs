//! The SRS media server as the ingest: RTMP, SRT and WebRTC. The box runs it, or uses one elsewhere.
//!
//! SRS asks before it lets a publisher in (`hooks`), its API says who is there and disconnects (`api`), and a periodic comparison of both
//! heals what was lost (`sessions`). `server` keeps its process. Frames do not pass here: media pulls what it needs.

use std::{path::Path, sync::Arc};

use thiserror::Error;
use tokio::sync::mpsc;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{Ingest, IngestEvent};
use crate::{clock::Clock, config::IngestConfig, core::frame::FrameSinks};

pub(crate) mod api;
pub mod install;
mod server;
pub mod whip;

/// Why this ingest can not start at all. A server that does not run is no such reason: it is tried again, and the status says why.
#[derive(Debug, Error)]
pub enum StartError {
    /// The hooks' port can not be opened.
    #[error("can not listen for SRS's hooks on {0}: {1}")]
    Listen(std::net::SocketAddr, std::io::Error),
    /// The folder for its files can not be used.
    #[error("{0} can not be used: {1}")]
    Folder(std::path::PathBuf, std::io::Error),
    /// The HTTP client.
    #[error("SRS's API: {0}")]
    Api(String),
}

/// What the ingest is made of.
pub struct Parts<'a> {
    /// `[ingest]`.
    pub config: &'a IngestConfig,
    /// Where the hooks' secret and SRS's own files lie.
    pub data_dir: &'a Path,
    /// Why SRS was chosen, for the status.
    pub chosen_because: String,
    /// The process's clock.
    pub clock: Clock,
    /// Where connections are announced.
    pub sinks: Arc<dyn FrameSinks>,
    /// To the director.
    pub events: mpsc::Sender<IngestEvent>,
    /// Ends the ingest, not SRS: see [`Ingest::stop_server`].
    pub token: CancellationToken,
    /// Where its tasks live.
    pub tracker: &'a TaskTracker,
}

/// Listens for hooks, and starts or finds SRS. Returns before SRS is up.
///
/// # Errors
/// See [`StartError`].
pub async fn start(parts: Parts<'_>) -> Result<Ingest, StartError> {
    let _ = parts;
    Err(StartError::Api("not built yet".to_owned()))
}
