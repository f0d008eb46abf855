//! Destinations: where the programme goes. Presets, URL rules, the redacted form, and the states of one.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One destination. Those of the configuration file have ids derived from their names; see `Destination::locked`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
pub struct DestinationId(pub u64);

/// A destination as it is wanted. What it does at the moment is a `DestinationStatus`.
#[derive(Clone, Debug)]
pub struct Destination {
    /// Its id.
    pub id: DestinationId,
    /// What people call it; unique among destinations.
    pub name: String,
    /// The server's address without the key: `rtmp://` or `rtmps://`.
    pub url: url::Url,
    /// The platform's stream key.
    pub key: secrecy::SecretString,
    /// Whether it takes part in shows.
    pub enabled: bool,
    /// Whether it comes from the configuration and can not be edited on the page.
    pub locked: bool,
}

/// What a destination does at the moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum DestinationState {
    /// Switched off by hand.
    Disabled,
    /// Waits for a show to begin.
    WaitingForShow,
    /// RTMPS, and the box's clock is not right yet.
    WaitingForClock,
    /// Connecting.
    Connecting,
    /// The platform takes the programme.
    Live,
    /// Failed, and tries again.
    BackingOff {
        /// What went wrong, in words.
        reason: String,
        /// Seconds until the next try.
        retry_in_seconds: u64,
    },
    /// The platform refused the key; it is tried again slowly.
    Refused {
        /// What the platform said.
        reason: String,
        /// Seconds until the next try.
        retry_in_seconds: u64,
    },
}

/// A destination's state and figures.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct DestinationStatus {
    /// What it does.
    #[serde(flatten)]
    pub state: DestinationState,
    /// Bytes sent in all sessions.
    pub bytes: u64,
    /// Kilobits per second over the last 5 s.
    pub kbps: f64,
    /// Sessions after the first.
    pub reconnects: u64,
    /// Frames left out because the platform did not take them in time.
    pub dropped_frames: u64,
}
