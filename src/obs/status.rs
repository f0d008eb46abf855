//! How OBS does.

use serde::Serialize;
use thiserror::Error;
use utoipa::ToSchema;

use super::stage::Act;

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
    /// It is there and not ready for requests: it starts, ends, or changes its scene collection.
    #[error("OBS is still starting, or changes its scene collection; this goes on by itself")]
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
    /// It has or sends more than any venue's does.
    #[error(
        "OBS sends more than the box takes ({what}), and is cut off: is this the right OBS? If it is, choose a smaller scene collection in it"
    )]
    TooMuch {
        /// What is too much.
        what: String,
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
    /// What of the mapping cannot be done, in words: a scene or a source that is not there, a request that OBS refused.
    pub problems: Vec<String>,
}
