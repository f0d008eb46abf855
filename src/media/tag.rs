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
    /// Whether it is sound, pictures or metadata.
    pub kind: TagKind,
    /// Programme time (decoding time) in microseconds since the programme started.
    pub time: MediaTime,
    /// A session can begin here, after the headers, by an [`Entrance`].
    pub keyframe: bool,
    /// A codec configuration (sequence header) or `onMetaData`: never dropped alone.
    pub header: bool,
    /// The tag's body.
    pub body: Bytes,
}

impl Tag {
    /// The time stamp it is sent with when it is due so long after its session's start. Metadata is always sent with 0, as SRS sends it:
    /// FFmpeg, and mpv with it, take `onMetaData` with any other for a subtitle, and announce a track of those at each cut.
    pub fn stamp(&self, since_start: MediaTime) -> u32 {
        if self.kind == TagKind::Script { 0 } else { session_time(since_start) }
    }

    /// How long after it left it is shown or heard.
    pub fn composition(&self) -> MediaTime {
        match (self.kind, self.header, self.body.as_ref()) {
            // Whole milliseconds, in three bytes with their sign.
            (TagKind::Video, false, &[_, _, a, b, c, ..]) => {
                MediaTime::from_millis(i64::from(i32::from_be_bytes([a, b, c, 0]) >> 8))
            }
            _ => MediaTime::ZERO,
        }
    }
}

/// Where a session's pictures begin: at a key frame, without those that follow it and are shown before it. These, the leading pictures of
/// an open GOP, are made of pictures that the session was never sent.
#[derive(Clone, Copy, Debug, Default)]
pub struct Entrance(Option<MediaTime>);

impl Entrance {
    /// Whether the session is sent this tag. A key frame opens it.
    pub fn admits(&mut self, tag: &Tag) -> bool {
        if tag.kind != TagKind::Video || tag.header {
            return true;
        }
        let shown = tag.time + tag.composition();
        if tag.keyframe && self.0.is_none() {
            self.0 = Some(shown);
        }
        self.0.is_some_and(|first| shown >= first)
    }

    /// Whether a key frame has come.
    pub const fn is_open(&self) -> bool {
        self.0.is_some()
    }

    /// Pictures are left out: they begin again with another key frame.
    pub fn close(&mut self) {
        self.0 = None;
    }
}

/// What a session that begins now is sent first. A batch of tags that is handed over beside it is in it already.
#[derive(Debug, Default)]
pub struct Preroll {
    /// `onMetaData`, AVC and AAC sequence headers in force at the ring's first tag.
    pub headers: Vec<Tag>,
    /// Everything from the programme's last key frame on, in the order in which it left (with the headers that came in between). Where
    /// that would be too much, or too long: the latest sound alone, until a key frame comes.
    pub tags: std::collections::VecDeque<Tag>,
}

impl Preroll {
    /// A session's time zero and what it is sent first. None while there is nothing.
    pub fn beginning(&self) -> Option<(MediaTime, impl Iterator<Item = &Tag>)> {
        let first = self.tags.iter().rposition(|tag| tag.keyframe).unwrap_or(0);
        let base = self.tags.get(first)?.time;
        // Headers that came before the key frame, but after the ring's first tag, are in force too.
        let earlier = self.tags.iter().take(first).filter(|tag| tag.header);
        Some((base, self.headers.iter().chain(earlier).chain(self.tags.iter().skip(first))))
    }
}

/// A time since a session's start as FLV and RTMP write it: whole milliseconds in 32 bits, which wrap after 49.7 days. A time
/// before the start is zero.
pub fn session_time(since_start: MediaTime) -> u32 {
    const WRAP: i64 = 1 << 32;
    u32::try_from(since_start.as_millis().max(0).rem_euclid(WRAP)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use bytes::BufMut;

    use super::*;

    fn picture(millis: i64, shown: i64, keyframe: bool) -> Tag {
        let mut body = bytes::BytesMut::from(&[if keyframe { 0x17 } else { 0x27 }, 1][..]);
        body.put_int(shown - millis, 3);
        let time = MediaTime::from_millis(millis);
        Tag { kind: TagKind::Video, time, keyframe, header: false, body: body.freeze() }
    }

    /// An open GOP in the order of its decoding: an I picture, and two that are shown before it.
    #[test]
    fn entrance_leaves_out_what_is_shown_before_the_key_frame_it_opens_with() {
        let group = [
            picture(0, 33, false),
            picture(33, 133, true),
            picture(66, 66, false),
            picture(99, 99, false),
            picture(132, 233, false),
            picture(165, 166, false),
            picture(233, 333, true),
            picture(266, 266, false),
        ];
        let mut entrance = Entrance::default();
        let admitted = |entrance: &mut Entrance| group.each_ref().map(|tag| entrance.admits(tag));
        assert_eq!(admitted(&mut entrance), [false, true, false, false, true, true, true, true]);
        assert!(entrance.is_open());
        entrance.close();
        let (sound, header) =
            (Tag { kind: TagKind::Audio, ..picture(0, 0, false) }, Tag { header: true, ..picture(0, 0, false) });
        assert!(entrance.admits(&sound) && entrance.admits(&header) && !entrance.is_open());
        assert_eq!(admitted(&mut entrance), [false, true, false, false, true, true, true, true]);
    }

    #[test]
    fn composition_has_a_sign() {
        assert_eq!(picture(100, 60, false).composition(), MediaTime::from_millis(-40));
        assert_eq!(picture(100, 8_000_000, false).composition(), MediaTime::from_millis(7_999_900));
    }

    #[test]
    fn metadata_in_mid_stream_is_stamped_zero_and_nothing_else_is() {
        let tag = |kind| Tag { kind, time: MediaTime::ZERO, keyframe: false, header: true, body: Bytes::new() };
        let stamps =
            [TagKind::Script, TagKind::Video, TagKind::Audio].map(|kind| tag(kind).stamp(MediaTime::from_millis(1500)));
        assert_eq!(stamps, [0, 1500, 1500]);
    }

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
