//! What people ask of an OBS, and what they are told.

use serde::Serialize;
use thiserror::Error;
use utoipa::ToSchema;

/// Where an OBS is, for a trial of a connection.
#[derive(Clone, Debug)]
pub struct Target {
    /// A name or an address.
    pub host: String,
    /// The port of its websocket server.
    pub port: u16,
    /// The password of its websocket server; none where it asks for none.
    pub password: Option<secrecy::SecretString>,
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
