//! Which frames leave, when, and with which programme time stamps. Pure: it is given frames and `now`.

use std::sync::Arc;

use bytes::Bytes;

use super::frame::{CodecConfig, ConnectionId, Frame, MediaTime};

/// Whose picture or sound it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// The stand-in picture and sound.
    Slate,
    /// A streamer's connection.
    Input(ConnectionId),
}

/// A frame of the programme.
#[derive(Clone, Debug)]
pub struct ProgramFrame {
    /// The frame, with its time stamps on the programme's line: microseconds since the programme started.
    pub frame: Frame,
    /// Whose it is.
    pub source: Source,
    /// Whether it is the first one of its track after another source (or after a break in its own): a decoder starts afresh here.
    pub splice: bool,
}

/// The slate, rendered and encoded once, looped for ever. Pictures have no B-frames.
#[derive(Clone, Debug)]
pub struct SlateLoop {
    /// H.264 configuration of the pictures.
    pub video: Arc<CodecConfig>,
    /// One loop; the first picture is an IDR, every one lasts `picture_duration`.
    pub pictures: Vec<SlatePicture>,
    /// 1/30 s.
    pub picture_duration: MediaTime,
    /// AAC-LC, 48 kHz, stereo.
    pub audio: Arc<CodecConfig>,
    /// One loop of raw AAC frames of 1024 samples.
    pub sounds: Vec<Bytes>,
}

/// One picture of the slate.
#[derive(Clone, Debug)]
pub struct SlatePicture {
    /// Length-prefixed NAL units.
    pub payload: Bytes,
    /// Whether it is an IDR.
    pub keyframe: bool,
}
