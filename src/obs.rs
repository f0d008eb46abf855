//! The venue's OBS follows the show: an adapter fed by snapshots of the stage, which can be away for ever without anybody noticing.
//!
//! Nobody waits for OBS: the director and media do not know that it exists. One task holds the connection, looks at the latest
//! [`Stage`], and brings OBS to what it asks for; what was asked for in the meantime and is over is never sent. Every call has a time-out.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, oneshot, watch},
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{
    command::{Answer, Command},
    engine::Engine,
};
pub use self::{
    request::{Built, InputInfo, InputRole, Inventory, RequestError, SetUp, Target},
    setup::PROGRAMME as PROGRAMME_INPUT,
    stage::{Act, Stage, TimeLeft},
    status::{Link, Status, Streaming, Trouble},
};
use crate::{clock::Clock, config::ObsConfig};

mod acts;
mod command;
mod engine;
mod link;
mod plan;
mod relay;
mod report;
mod request;
mod setup;
mod stage;
mod status;
mod stream;
#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
mod tests;

/// People's requests that wait for each other. More are refused.
const COMMANDS: usize = 16;
/// The longest that a person waits for an answer. Setting an OBS up makes some thirty requests.
const ANSWERED: Duration = Duration::from_secs(30);

/// What the adapter is started with.
pub struct Parts {
    /// `[obs]` at the start.
    pub config: ObsConfig,
    /// The stage, at each change.
    pub stage: watch::Receiver<Arc<Stage>>,
    /// The process's clock.
    pub clock: Clock,
    /// Ends the adapter.
    pub token: CancellationToken,
}

/// The handle. Cheap to clone.
#[derive(Clone)]
pub struct Obs {
    config: Arc<watch::Sender<Arc<ObsConfig>>>,
    status: watch::Receiver<Arc<Status>>,
    commands: mpsc::Sender<Command>,
}

impl Obs {
    /// Starts the adapter. It ends with its token; nothing waits for OBS on the way.
    pub fn start(parts: Parts, tracker: &TaskTracker) -> Self {
        let (config, configured) = watch::channel(Arc::new(parts.config));
        let (status, shown) = watch::channel(Arc::new(Status::default()));
        let (commands, asked) = mpsc::channel(COMMANDS);
        let mut engine = Engine::new(configured, parts.stage, asked, status, parts.clock);
        let token = parts.token;
        let span = tracing::info_span!("obs");
        let work = async move {
            tokio::select! {
                biased;
                () = token.cancelled() => {}
                () = engine.run() => {}
            }
        };
        tracker.spawn(tracing::Instrument::instrument(work, span));
        Self { config: Arc::new(config), status: shown, commands }
    }

    /// How OBS does; `watch` for changes. The time left is not part of it, so it changes seldom.
    pub fn status(&self) -> watch::Receiver<Arc<Status>> {
        self.status.clone()
    }

    /// Takes a changed `[obs]` over: another connection if that changed, else OBS is brought to the new mapping.
    pub fn configure(&self, config: ObsConfig) {
        self.config.send_replace(Arc::new(config));
    }

    /// Tries again now instead of after the delay; with a connection, reads OBS anew. Takes starts that were given up as new.
    ///
    /// # Errors
    /// When the box is stopping.
    pub async fn reconnect(&self) -> Result<(), RequestError> {
        self.ask(Command::Reconnect).await
    }

    /// Tries a connection of its own, apart from the adapter's, and closes it. Takes 10 s at most. Gives OBS's version.
    ///
    /// # Errors
    /// What is in the way.
    pub async fn try_out(target: &Target) -> Result<String, Trouble> {
        link::connect(target).await.map(|session| session.version)
    }

    /// What OBS has.
    ///
    /// # Errors
    /// Without a connection.
    pub async fn inventory(&self) -> Result<Inventory, RequestError> {
        self.ask(Command::Inventory).await
    }

    /// Starts or stops OBS's own stream. Requests are carried out one after another; a start while it starts is refused. Gives what it
    /// does then: `Starting`, and whether it works is seen in `status`.
    ///
    /// # Errors
    /// Without a connection, when OBS refuses, and when it is starting or stopping just now.
    pub async fn stream(&self, on: bool) -> Result<Streaming, RequestError> {
        self.ask(|answer| Command::Stream(on, answer)).await
    }

    /// Makes the scenes and sources for a show in OBS. What exists by the same name is left as it is, so that a second time changes nothing.
    ///
    /// # Errors
    /// Without a connection, or when OBS refuses.
    pub async fn set_up(&self, wanted: SetUp) -> Result<Built, RequestError> {
        self.ask(|answer| Command::SetUp(wanted, answer)).await
    }

    /// Points the media source `input` at the programme.
    ///
    /// # Errors
    /// Without a connection, when there is no such media source, or when OBS refuses.
    pub async fn play_programme(&self, input: &str, address: &secrecy::SecretString) -> Result<(), RequestError> {
        self.ask(|answer| Command::Play(input.to_owned(), address.clone(), answer)).await
    }

    async fn ask<T>(&self, command: impl FnOnce(Answer<T>) -> Command) -> Result<T, RequestError> {
        let (answer, answered) = oneshot::channel();
        self.commands.try_send(command(answer)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => {
                RequestError::Busy("too many requests wait for OBS already: try again in a moment".to_owned())
            }
            mpsc::error::TrySendError::Closed(_) => RequestError::Stopping,
        })?;
        match timeout(ANSWERED, answered).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(RequestError::Stopping),
            Err(_) => Err(RequestError::Busy("OBS takes too long: see what it does, and try again".to_owned())),
        }
    }
}
