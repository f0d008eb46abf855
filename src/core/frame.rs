//! The internal currency: one coded frame of one track, with its time stamps.

use std::{
    ops::{Add, AddAssign, Neg, Sub},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{moment::Moment, oddity::Oddity, remark::Remark};

/// The ingest's own name for one publish session. It is never used twice, not even after a restart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ConnectionId(pub Arc<str>);

impl ConnectionId {
    /// The connection with the ingest's client id `id`.
    pub fn new(id: impl Into<Arc<str>>) -> Self {
        Self(id.into())
    }
}

impl std::fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// A time stamp or a difference of two, in microseconds. Signed: composition offsets and offsets between lines may be negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MediaTime(i64);

impl MediaTime {
    /// Zero.
    pub const ZERO: Self = Self(0);

    /// From microseconds.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// From milliseconds, RTMP's unit.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis.saturating_mul(1000))
    }

    /// In microseconds.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// In milliseconds, rounded to the nearest.
    pub const fn as_millis(self) -> i64 {
        (self.0 + 500).div_euclid(1000)
    }

    /// The absolute value.
    #[must_use]
    pub const fn abs(self) -> Self {
        Self(self.0.saturating_abs())
    }
}

impl From<Duration> for MediaTime {
    fn from(value: Duration) -> Self {
        Self(i64::try_from(value.as_micros()).unwrap_or(i64::MAX))
    }
}

impl From<Moment> for MediaTime {
    fn from(value: Moment) -> Self {
        Self(value.as_micros())
    }
}

impl Add for MediaTime {
    type Output = Self;

    fn add(self, rhs: Self) -> Self {
        Self(self.0.saturating_add(rhs.0))
    }
}

impl AddAssign for MediaTime {
    fn add_assign(&mut self, rhs: Self) {
        *self = *self + rhs;
    }
}

impl Sub for MediaTime {
    type Output = Self;

    fn sub(self, rhs: Self) -> Self {
        Self(self.0.saturating_sub(rhs.0))
    }
}

impl Neg for MediaTime {
    type Output = Self;

    fn neg(self) -> Self {
        Self(self.0.saturating_neg())
    }
}

/// Which of the two tracks a frame belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Track {
    /// H.264 pictures.
    Video,
    /// AAC sound.
    Audio,
}

/// AAC's `AudioSpecificConfig`, parsed as far as the programme needs it (ISO/IEC 14496-3, 1.6.2.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AacConfig {
    /// The `AudioSpecificConfig` as it was sent.
    pub record: Bytes,
    /// Samples per second of the core AAC stream.
    pub sample_rate: u32,
    /// Channels, 1 to 8.
    pub channels: u8,
    /// Samples in one frame of the core stream: 1024 or 960.
    pub frame_samples: u32,
}

/// H.264's `AVCDecoderConfigurationRecord`, parsed as far as the programme needs it (ISO/IEC 14496-15, 5.3.3.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AvcConfig {
    /// The record as it was sent.
    pub record: Bytes,
    /// Bytes of each NAL unit's length prefix, 1 to 4. At a frame always 4: other lengths are rewritten where frames are made.
    pub length_size: u8,
    /// The sequence parameter sets, without prefixes.
    pub sps: Vec<Bytes>,
    /// The picture parameter sets, without prefixes.
    pub pps: Vec<Bytes>,
    /// Width of the shown picture in pixels.
    pub width: u32,
    /// Height of the shown picture in pixels.
    pub height: u32,
    /// `profile_idc`.
    pub profile: u8,
    /// `level_idc`: ten times the level.
    pub level: u8,
}

#[cfg(test)]
impl AvcConfig {
    /// One that describes pictures that nobody decodes.
    pub(crate) fn of_tests() -> Self {
        Self {
            record: Bytes::from_static(b"avcC"),
            length_size: 4,
            sps: vec![],
            pps: vec![],
            width: 640,
            height: 360,
            profile: 100,
            level: 31,
        }
    }
}

/// What a decoder must know before the first frame of a track. Shared by all frames that it describes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CodecConfig {
    /// H.264, from an `AVCDecoderConfigurationRecord`.
    Avc(AvcConfig),
    /// AAC, from an `AudioSpecificConfig`.
    Aac(AacConfig),
}

/// One coded frame. Cloning it copies no payload.
#[derive(Clone, Debug)]
pub struct Frame {
    /// The track it belongs to.
    pub track: Track,
    /// Decoding time on the source's own clock, as sent: 32-bit milliseconds, widened but not unwrapped.
    pub dts: MediaTime,
    /// Presentation time on the same clock; for sound the same as `dts`.
    pub pts: MediaTime,
    /// Whether decoding can begin here, whatever FLV calls it: an IDR picture (a NAL unit of type 5), or the I picture of an open
    /// GOP whose recovery point (SEI, `recovery_frame_cnt` 0) says that all is right from it on. Pictures that are decoded after
    /// one and shown before it are left out by whoever begins there: behind an I picture they refer to what came before. Every
    /// frame of sound is one.
    pub keyframe: bool,
    /// Video: NAL units with length prefixes of four bytes (ISO/IEC 14496-15, 5.2.3), none of them empty. Sound: one raw AAC frame.
    pub payload: Bytes,
    /// The configuration in force.
    pub config: Arc<CodecConfig>,
}

/// Where an ingest delivers the frames of one connection. Dropping it says that the connection is over.
pub trait FrameSink: Send {
    /// Takes one frame that arrived at `arrival`. Never blocks; a frame that finds no room is counted and lost.
    fn push(&mut self, frame: Frame, arrival: Moment);

    /// Takes what is to be told about the stream though it is shown.
    fn remark(&mut self, _remark: Remark) {}

    /// A message was odd and left out. Never blocks.
    fn odd(&mut self, oddity: Oddity) {
        // Whoever looks at frames alone need not know.
        let _ = oddity;
    }
}

/// Where media fetches a connection's stream that the ingest does not deliver: FLV over HTTP, or RTMP. It holds the stream key, so it
/// is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct PullAddress(String);

impl PullAddress {
    /// The stream at `url`, which begins with `http://` or `rtmp://`.
    pub fn new(url: impl Into<String>) -> Self {
        Self(url.into())
    }

    /// The whole address, key included.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for PullAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PullAddress(redacted)")
    }
}

/// What the ingest's server says of a connection that nobody pulls.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RemoteFigures {
    /// Bytes received since the publish.
    pub bytes: u64,
    /// Kilobits per second, both tracks, if it says.
    pub kbps: Option<f64>,
    /// Picture width and height in pixels.
    pub size: Option<(u32, u32)>,
    /// For example `H.264 High 3.1`.
    pub video_codec: Option<String>,
    /// For example `AAC 48000 Hz stereo`.
    pub audio_codec: Option<String>,
    /// How long it has been publishing.
    pub uptime: Duration,
}

/// An accepted connection whose frames media fetches itself. Dropping it says that the connection is over.
pub trait RemoteInput: Send {
    /// Takes what the server said at `at`. Never blocks.
    fn report(&mut self, figures: RemoteFigures, at: Moment);

    /// Whether media has pulled it for seconds and never got a frame. Where the server hears it, the server has lost it.
    fn is_mute(&self) -> bool;
}

/// Opens the way into media for an accepted connection.
pub trait FrameSinks: Send + Sync {
    /// A sink for `connection`, whose frames the ingest delivers.
    fn open(&self, connection: ConnectionId) -> Box<dyn FrameSink>;

    /// Announces `connection`, whose frames media fetches from `address` while it needs them.
    fn announce(&self, connection: ConnectionId, address: PullAddress) -> Box<dyn RemoteInput>;
}
