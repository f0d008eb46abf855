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

/// What a session that begins now is sent first. A batch of tags that is handed over beside it is in it already.
#[derive(Debug, Default)]
pub struct Preroll {
    /// `onMetaData`, AVC and AAC sequence headers in force at the ring's first tag.
    pub headers: Vec<Tag>,
    /// Everything from the programme's last key frame on, in the order in which it left (with the headers that came in between).
    pub tags: std::collections::VecDeque<Tag>,
}

/// A time since a session's start as FLV and RTMP write it: whole milliseconds in 32 bits, which wrap after 49.7 days. A time
/// before the start is zero.
pub fn session_time(since_start: MediaTime) -> u32 {
    const WRAP: i64 = 1 << 32;
    u32::try_from(since_start.as_millis().max(0).rem_euclid(WRAP)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn session_time_wraps_at_32_bits_and_never_precedes_the_start() {
        let at = |millis| session_time(MediaTime::from_millis(millis));
        assert_eq!(at(-5), 0);
        assert_eq!(at(0x00ff_ffff), 0x00ff_ffff);
        assert_eq!(at(0x0100_0000), 0x0100_0000);
        assert_eq!(at(0xffff_ffff), 0xffff_ffff);
        assert_eq!(at(0x1_0000_0001), 1);
    }
}
