//! What media says: events to the director, and a look at itself for everybody.

use std::{collections::HashMap, sync::Arc};

use serde::Serialize;
use utoipa::ToSchema;

use crate::core::{
    destination::{DestinationId, DestinationStatus},
    flaw::Flaw,
    frame::ConnectionId,
    oddity::Oddity,
    queue::TakeId,
    remark::Remark,
};

/// What media says to the director. Only what is current counts there: each carries its connection or take id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MediaEvent {
    /// The connection can be taken: its first IDR arrived (or, with no picture sent at all, 3 s of sound), and nothing stands in the way.
    Ready(ConnectionId),
    /// The connection sends, and cannot be taken, or not any more: why, in words for its streamer. `Ready` takes it back.
    Unfit(ConnectionId, Arc<str>),
    /// What the connection sends cannot be used, now or when it is sent again, in words for its streamer.
    Unusable(ConnectionId, Flaw, Arc<str>),
    /// The on-air input's picture or sound (a track it had been sending) has been missing for longer than the programme's
    /// buffer; or a waiting connection has sent nothing for longer than its pictures let expect.
    Stalled(ConnectionId),
    /// A stalled connection sends again, and its first IDR after the stall is here.
    Recovered(ConnectionId),
    /// The take has happened: the first picture (or sound) of its input left.
    Taken(TakeId),
    /// The take cannot happen: its input is gone.
    TakeFailed(TakeId),
    /// Why a connection that sends is not ready yet or sends something that cannot be shown, in words for its streamer.
    Advice(ConnectionId, String),
    /// The show began by itself with the first take, or ended by itself after `program.idle_end_minutes`.
    Show(bool),
}

/// What is known of one input by looking at its frames. Of a connection that media fetches itself and does not fetch just now, rates and
/// size come from its server, the rest from when it was fetched last.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct InputStatus {
    /// Kilobits per second of the pictures, over the last 5 s.
    pub video_kbps: f64,
    /// Kilobits per second of the sound, over the last 5 s.
    pub audio_kbps: f64,
    /// Pictures per second by the stream's own clock, over the last 5 s; 0 until that has settled, and when none come.
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
    /// Bytes received. Of a connection that media fetches itself: what its server counted, protocol included, and an estimate of what
    /// came since its last report.
    pub bytes: u64,
    /// Whether it is cued, that is: its frames are kept.
    pub cued: bool,
    /// Frames that found no room.
    pub lost_frames: u64,
    /// What its streamer, and whoever puts it on air, should know; the most urgent first.
    pub remarks: Vec<InputRemark>,
    /// Messages that were odd and left out, each kind that occurred.
    pub odd_messages: Vec<OddMessages>,
}

/// Something to know about a stream that is shown all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct InputRemark {
    /// Which one it is, for programs: for example `bit_depth`, `chroma` or `second_sound`.
    pub kind: &'static str,
    /// What it is and what to do, for the streamer.
    pub words: &'static str,
    /// The remark itself.
    #[serde(skip)]
    pub remark: Remark,
}

impl From<Remark> for InputRemark {
    fn from(remark: Remark) -> Self {
        Self { kind: remark.name(), words: remark.words(), remark }
    }
}

/// Messages of one kind that were odd and left out; the stream went on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct OddMessages {
    /// What was odd about them.
    pub kind: Oddity,
    /// How many there were since the publish.
    pub count: u64,
    /// Whether they go on: there were more than ten within the last minute.
    pub goes_on: bool,
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
    /// What leaves towards the destinations, and from whom.
    pub program: ProgramStatus,
    /// Every open connection.
    pub inputs: HashMap<ConnectionId, InputStatus>,
    /// Every destination, with its state.
    pub destinations: HashMap<DestinationId, DestinationStatus>,
}
