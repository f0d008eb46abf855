//! The only door into media: cue, take, slate, destinations, the show; events out.
//!
//! One thread of its own (`program`) paces everything against the monotonic clock. The handle only posts orders to it
//! and reads what it publishes; nothing here waits for a frame and no frame waits for anything here.

use std::{collections::HashMap, sync::Arc};

use serde::Serialize;
use tokio::sync::{mpsc, watch};
use utoipa::ToSchema;

use crate::core::{
    destination::{Destination, DestinationId, DestinationStatus},
    frame::{ConnectionId, FrameSinks},
    queue::TakeId,
};

pub mod chain;
pub mod egress;
pub mod house;
pub mod listeners;
pub mod program;
pub mod slate;
pub mod source;
pub mod tag;

/// How soon a take must happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// The turn is up: the next key frame of the new input will do, the old one goes on until then.
    Planned,
    /// The old input is gone, or somebody pressed a button: as soon as a key frame can be had, also from the ring's past.
    Now,
}

/// What media says to the director. Only what is current counts there: each carries its connection or take id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MediaEvent {
    /// The connection's first IDR arrived (or, with no picture sent at all, 3 s of sound).
    Ready(ConnectionId),
    /// The on-air input's picture or sound (a track it had been sending) has been missing for longer than the programme's
    /// buffer; or a waiting connection has sent nothing for that long.
    Stalled(ConnectionId),
    /// A stalled connection sends again, and its first IDR after the stall is here.
    Recovered(ConnectionId),
    /// The take has happened: the first picture (or sound) of its input left.
    Taken(TakeId),
    /// The take can not happen: its input is gone.
    TakeFailed(TakeId),
    /// Why a connection that sends is not ready yet or sends something that can not be shown, in words for its streamer.
    Advice(ConnectionId, String),
    /// The show began by itself with the first take, or ended by itself after `program.idle_end_minutes`.
    Show(bool),
}

/// What is known of one input by looking at its frames.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct InputStatus {
    /// Kilobits per second of the pictures, over the last 5 s.
    pub video_kbps: f64,
    /// Kilobits per second of the sound, over the last 5 s.
    pub audio_kbps: f64,
    /// Pictures per second, over the last 5 s.
    pub frame_rate: f64,
    /// Seconds between the last two IDRs; none before the second one.
    pub keyframe_interval_seconds: Option<f64>,
    /// Mean deviation of the arrival from the time stamps over the last 5 s, in milliseconds.
    pub jitter_ms: f64,
    /// Picture width and height in pixels.
    pub width: Option<u32>,
    /// See `width`.
    pub height: Option<u32>,
    /// For example `H.264 High 3.1`.
    pub video_codec: Option<String>,
    /// For example `AAC 48000 Hz stereo`.
    pub audio_codec: Option<String>,
    /// Seconds since the first frame.
    pub uptime_seconds: u64,
    /// Bytes received.
    pub bytes: u64,
    /// Whether it is cued, that is: its frames are kept.
    pub cued: bool,
    /// Frames that found no room.
    pub lost_frames: u64,
}

/// What the programme shows and how it does.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct ProgramStatus {
    /// Whether a show is on: outside one nothing is sent to a platform.
    pub show: bool,
    /// The connection whose picture is shown; none for the slate's.
    #[schema(value_type = Option<String>)]
    pub picture: Option<ConnectionId>,
    /// The connection whose sound is heard; none for the slate's.
    #[schema(value_type = Option<String>)]
    pub sound: Option<ConnectionId>,
    /// Milliseconds of programme time since the process started.
    pub time_ms: u64,
    /// Takes so far.
    pub takes: u64,
    /// Frames that left.
    pub frames: u64,
    /// Times the slate stepped in because an input starved.
    pub starvations: u64,
    /// Largest number of milliseconds by which a tick of the pacing thread was late, since the start.
    pub latest_tick_ms: u64,
}

/// One consistent look at media, published about twice a second and at each change of state.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MediaStatus {
    /// The programme.
    pub program: ProgramStatus,
    /// Every open connection.
    pub inputs: HashMap<ConnectionId, InputStatus>,
    /// Every destination, with its state.
    pub destinations: HashMap<DestinationId, DestinationStatus>,
}

/// The handle. Cheap to clone.
#[derive(Clone)]
pub struct Media {
    inner: Arc<Inner>,
}

struct Inner {
    status: watch::Receiver<Arc<MediaStatus>>,
}

/// Media's events; bounded, and read by the director alone.
pub type MediaEvents = mpsc::Receiver<MediaEvent>;

#[expect(
    clippy::todo,
    clippy::unused_self,
    unused_variables,
    reason = "skeleton"
)]
impl Media {
    /// Says which connections are to be kept in a ring, in order of importance: the on-air one, the next, a put-on-air target.
    pub fn set_cued(&self, connections: Vec<ConnectionId>) {
        todo!()
    }

    /// Orders a take. A later one replaces an earlier one that has not happened.
    pub fn take(&self, take: TakeId, connection: ConnectionId, urgency: Urgency) {
        todo!()
    }

    /// Gives a pending take up.
    pub fn cancel_take(&self, take: TakeId) {
        todo!()
    }

    /// Nobody is on air: the slate, as soon as can be, and gives up any pending take.
    pub fn clear(&self) {
        todo!()
    }

    /// The panic button: the slate covers whoever is on air or taken, until it is lifted.
    pub fn force_slate(&self, on: bool) {
        todo!()
    }

    /// Begins or ends the show by hand. The end closes the platforms' sessions.
    pub fn set_show(&self, on: bool) {
        todo!()
    }

    /// Adds a destination or replaces the one with its id. Never touches another.
    pub fn put_destination(&self, destination: Destination) {
        todo!()
    }

    /// Removes a destination and closes its session.
    pub fn remove_destination(&self, id: DestinationId) {
        todo!()
    }

    /// The latest look; `watch` for changes.
    pub fn status(&self) -> watch::Receiver<Arc<MediaStatus>> {
        self.inner.status.clone()
    }

    /// The way in for the ingest's frames.
    pub fn sinks(&self) -> Arc<dyn FrameSinks> {
        todo!()
    }

    /// A player of `/program.flv`: FLV file header, configuration, then tags from the last key frame on. Bounded: a player that
    /// does not read is dropped (the channel closes). None when there are too many players.
    pub fn listen(&self) -> Option<mpsc::Receiver<bytes::Bytes>> {
        todo!()
    }

    /// Ends every destination's session cleanly and stops the thread; waits at most 2 s.
    pub async fn stop(&self) {
        todo!()
    }
}
