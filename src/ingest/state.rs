//! What everybody may know of the ingest: which ways in it has, and how it is doing.

use serde::Serialize;
use utoipa::ToSchema;

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
