//! What destinations and players get: FLV tag bodies (RTMP message payloads) on the programme's line.

use bytes::Bytes;

use crate::core::frame::MediaTime;

/// FLV's tag types, which are RTMP's message types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum TagKind {
    /// Sound.
    Audio = 8,
    /// Pictures.
    Video = 9,
    /// `onMetaData`.
    Script = 18,
}

/// One tag. Cloning it copies no payload.
#[derive(Clone, Debug)]
pub struct Tag {
    /// What it is.
    pub kind: TagKind,
    /// Programme time (decoding time) in microseconds since the programme started.
    pub time: MediaTime,
    /// An IDR picture: a session can begin here, after the headers.
    pub keyframe: bool,
    /// A codec configuration (sequence header) or `onMetaData`: never dropped alone.
    pub header: bool,
    /// The tag's body.
    pub body: Bytes,
}

/// What a session that begins now is sent first.
#[derive(Debug, Default)]
pub struct Preroll {
    /// `onMetaData`, AVC and AAC sequence headers in force at the ring's first tag.
    pub headers: Vec<Tag>,
    /// Everything from the programme's last key frame on, in the order in which it left (with the headers that came in between).
    pub tags: std::collections::VecDeque<Tag>,
}
