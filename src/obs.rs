//! The venue's OBS follows the show: an adapter fed by snapshots of the stage, which can be away for ever without anybody noticing.
//!
//! Nobody waits for OBS: the director and media do not know that it exists. One task holds the connection, looks at the latest
//! [`Stage`], and brings OBS to what it asks for; what was asked for in the meantime and is over is never sent. Every call has a time-out.

use std::{sync::Arc, time::Duration};

use serde::Serialize;
use thiserror::Error;
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use utoipa::ToSchema;

pub use self::setup::PROGRAMME as PROGRAMME_INPUT;
use self::{
    command::{Answer, Command},
    engine::Engine,
};
use crate::{clock::Clock, config::ObsConfig, core::moment::Moment};

mod acts;
mod command;
mod engine;
mod link;
mod plan;
mod report;
mod setup;
mod stream;
#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
mod tests;

/// People's requests that wait for each other. More are refused.
const COMMANDS: usize = 16;
/// The longest that a person waits for an answer. Setting an OBS up makes some thirty requests.
const ANSWERED: Duration = Duration::from_secs(30);

/// What the stage shows: all that OBS has to know of the queue.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stage {
    /// Whether a show is on.
    pub show: bool,
    /// Which part of the evening this is.
    pub act: Act,
    /// Who is on air, or was until the handover that is under way.
    pub streamer: Option<String>,
    /// Who is next: the target of a handover under way, else the first ready one.
    pub next: Option<String>,
    /// The time left.
    pub time: TimeLeft,
    /// Names the turn; another number is another take.
    pub turn: Option<u64>,
}

/// A part of the evening.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// The slate is shown: nobody is on air, the turn is suspended, or the panic button was pressed.
    #[default]
    Slate,
    /// Somebody is on air, and a take of somebody else was ordered.
    Handover,
    /// Somebody is on air.
    OnAir,
}

/// What is left of a turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimeLeft {
    /// No turn.
    #[default]
    None,
    /// The clock runs, until then.
    Until(Moment),
    /// The clock stands; so many seconds are left.
    Standing(u64),
}

/// Where an OBS is, for a trial of a connection.
#[derive(Clone, Debug)]
pub struct Target {
    /// A name or an address.
    pub host: String,
    /// The port of its websocket server.
    pub port: u16,
    /// Its password.
    pub password: Option<secrecy::SecretString>,
}

/// Why there is no connection, each with a next step in its words.
#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Trouble {
    /// Nothing listens there.
    #[error(
        "nothing answers there: is OBS running, its websocket server on (Tools, WebSocket Server Settings), and the address right? ({reason})"
    )]
    NothingThere {
        /// What the system said.
        reason: String,
    },
    /// Something listens that does not speak obs-websocket.
    #[error(
        "what listens there does not answer as OBS's websocket server: is the port right? If it is, OBS may be frozen, or waits with a dialog"
    )]
    NotObs,
    /// The password is wrong, or missing.
    #[error("OBS refuses the password: copy it from OBS (Tools, WebSocket Server Settings, Show Connect Info)")]
    WrongPassword,
    /// OBS is older than what this needs.
    #[error("this is OBS {version}, and 30.2 is needed: update OBS")]
    TooOld {
        /// Its version.
        version: String,
    },
    /// It is there and not ready for requests yet.
    #[error("OBS is still starting; this goes on by itself")]
    StillStarting,
    /// It is connected and answers nothing.
    #[error("OBS answers nothing: it is frozen, or a dialog waits on its screen")]
    Frozen,
    /// It speaks obs-websocket, and not as this understands it.
    #[error("OBS answers with something that this does not understand: is it a newer one? ({reason})")]
    Garbled {
        /// What was odd.
        reason: String,
    },
    /// The connection broke.
    #[error("the connection to OBS was lost")]
    Lost,
}

/// The connection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Link {
    /// `obs.host` is not set.
    #[default]
    Off,
    /// The first try is under way.
    Connecting,
    /// It is there and answers.
    Connected {
        /// OBS's version.
        version: String,
    },
    /// It is not; the next try comes by itself.
    Away {
        /// Why.
        trouble: Trouble,
        /// Why, in words with a next step.
        reason: String,
    },
}

/// OBS's own stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Streaming {
    /// Not known: no connection.
    #[default]
    Unknown,
    /// It does not stream.
    Stopped,
    /// It was told to start and has not said how that went.
    Starting,
    /// It streams.
    Running,
    /// Its platform is gone and it tries again: not healthy.
    Reconnecting,
    /// It was told to stop.
    Stopping,
    /// Three starts failed: it waits for a person.
    GivenUp,
}

/// How OBS does, for people.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = ObsStatus)]
pub struct Status {
    /// The connection.
    pub link: Link,
    /// Which part of the evening OBS was brought to, or is to be.
    pub act: Act,
    /// The scene it shows.
    pub scene: Option<String>,
    /// Why it is left alone, if it is: the scene that somebody chose, in words.
    pub left_alone: Option<String>,
    /// Its own stream.
    pub streaming: Streaming,
    /// What of the mapping can not be done, in words: a scene or a source that is not there, a request that OBS refused.
    pub problems: Vec<String>,
}

/// What an OBS has, for lists to choose from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Inventory {
    /// Scenes, in OBS's order from the top.
    pub scenes: Vec<String>,
    /// Inputs.
    pub inputs: Vec<InputInfo>,
    /// Kinds of inputs this OBS can make.
    pub kinds: Vec<String>,
}

/// An input of an OBS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct InputInfo {
    /// Its name.
    pub name: String,
    /// Its kind, as OBS calls it.
    pub kind: String,
    /// What it can be used for here.
    pub role: InputRole,
}

/// What an input can be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum InputRole {
    /// It shows a text.
    Text,
    /// It plays a file or an address.
    Media,
    /// It shows a page.
    Browser,
    /// Anything else.
    Other,
}

/// Addresses of the box that "set it up for me" writes into OBS. The first holds a viewer token.
#[derive(Clone, Debug)]
pub struct SetUp {
    /// The programme, with its viewer token.
    pub programme: secrecy::SecretString,
    /// The overlay page of the queue.
    pub queue: String,
    /// The overlay page of the time left.
    pub timer: String,
    /// The overlay page of who is on air.
    pub now: String,
}

/// What "set it up for me" made, and the mapping that uses it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Built {
    /// Names of the scenes and sources that were made.
    pub made: Vec<String>,
    /// Names of those that were there and were left as they are.
    pub kept: Vec<String>,
    /// Keys of `[obs]` with what they are to be for this, to be written into the settings where they are unset.
    #[schema(value_type = std::collections::BTreeMap<String, serde_json::Value>)]
    pub mapping: std::collections::BTreeMap<String, serde_json::Value>,
}

/// Why a request of a person was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RequestError {
    /// There is no connection.
    #[error("OBS is not connected: {0}")]
    Away(String),
    /// OBS refused it.
    #[error("OBS refused: {0}")]
    Refused(String),
    /// It is in the middle of starting or stopping, or another person's request is under way.
    #[error("{0}")]
    Busy(String),
    /// The box is stopping.
    #[error("the box is stopping")]
    Stopping,
}

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
