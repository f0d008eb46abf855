//! Tag bodies to frames.

use std::sync::Arc;

use bytes::Bytes;

use super::{FlvError, pictures::PictureIntake, sounds::SoundIntake};
use crate::core::{
    frame::{CodecConfig, Frame},
    remark::{Remark, Remarks},
};

/// Enhanced RTMP's packet types; video's and audio's agree as far as they are used here.
mod packet {
    pub(super) const SEQUENCE_START: u8 = 0;
    pub(super) const CODED_FRAMES: u8 = 1;
    pub(super) const CODED_FRAMES_X: u8 = 3;
    pub(super) const MULTITRACK_AUDIO: u8 = 5;
    pub(super) const MULTITRACK_VIDEO: u8 = 6;
    pub(super) const MOD_EX: u8 = 7;
}

/// A frame type (upper four bits of a video tag, legacy and enhanced) that carries a seek command instead of a picture.
const COMMAND_FRAME: u8 = 5;

/// The track of everything that names none.
const DEFAULT_TRACK: u8 = 0;

/// Bytes of an MPEG-TS packet, and the first of them.
const TRANSPORT_PACKET: usize = 188;
const TRANSPORT_SYNC: u8 = 0x47;

/// One connection's way from RTMP messages to frames. Keeps the configurations in force.
#[derive(Debug, Default)]
pub struct Demuxer {
    pictures: PictureIntake,
    sounds: SoundIntake,
    video_track: Choice,
    audio_track: Choice,
    remarks: Remarks,
    told: Remarks,
}

impl Demuxer {
    /// A demuxer that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// The picture's configuration in force.
    pub const fn video_config(&self) -> Option<&Arc<CodecConfig>> {
        self.pictures.config()
    }

    /// The sound's configuration in force.
    pub const fn audio_config(&self) -> Option<&Arc<CodecConfig>> {
        self.sounds.config()
    }

    /// What is to be told about the stream though it is shown. Each remark once, when what was taken last gave rise to it.
    pub fn next_remark(&mut self) -> Option<Remark> {
        let next = self.remarks.iter().find(|remark| !self.told.has(*remark))?;
        self.told.add(next);
        Some(next)
    }

    /// Takes the body of a video message with the time stamp `dts_ms`. `None` for what is no picture: configurations, ends of
    /// sequence, metadata, empty messages, other tracks, and pictures before the first configuration. Of a stream that has shown that
    /// it sends a picture's slices one by one, a picture comes with the message behind it.
    ///
    /// # Errors
    ///
    /// When the codec is not H.264, the configuration is unusable, or the message is malformed.
    /// [`FlvError::ends_the_stream`] says whether that is for good.
    pub fn video(&mut self, body: &Bytes, dts_ms: u32) -> Result<Option<Frame>, FlvError> {
        look_at_container(body)?;
        let mut reader = Reader::new(body);
        let Some(first) = reader.byte() else {
            return Ok(None);
        };
        if first & 0x80 != 0 {
            return self.enhanced_video(reader, first, dts_ms);
        }
        if first >> 4 == COMMAND_FRAME {
            return Ok(None);
        }
        if first & 0x0f != 7 {
            return Err(FlvError::VideoCodec(legacy_video_codec(first & 0x0f)));
        }
        self.choose_video(DEFAULT_TRACK, true);
        let kind = reader.need("a video header")?;
        let composition = reader.signed_24("a video header")?;
        match kind {
            0 => self.pictures.configure(&reader.rest()),
            1 => self.picture(&reader.rest(), dts_ms, composition),
            // 2 is the end of the sequence; more is not defined.
            _ => Ok(None),
        }
    }

    fn enhanced_video(&mut self, mut reader: Reader<'_>, first: u8, dts_ms: u32) -> Result<Option<Frame>, FlvError> {
        const FIELD: &str = "an enhanced video header";
        let kind = reader.modifiers(first & 0x0f)?;
        if (first >> 4) & 7 == COMMAND_FRAME {
            return Ok(None);
        }
        let mut tracks = Tracks::new(reader, kind, packet::MULTITRACK_VIDEO, FIELD)?;
        let mut frame = None;
        while let Some(part) = tracks.next()? {
            let supported = part.codec == *b"avc1";
            if !supported && part.track == DEFAULT_TRACK {
                return Err(FlvError::VideoCodec(video_four_cc(part.codec)));
            }
            if !self.choose_video(part.track, supported) {
                continue;
            }
            let mut reader = Reader::new(&part.body);
            let taken = match part.kind {
                packet::SEQUENCE_START => self.pictures.configure(&reader.rest())?,
                packet::CODED_FRAMES => {
                    let composition = reader.signed_24(FIELD)?;
                    self.picture(&reader.rest(), dts_ms, composition)?
                }
                packet::CODED_FRAMES_X => self.picture(&part.body, dts_ms, 0)?,
                // End of sequence, metadata (HDR), MPEG-2 TS configuration (AV1 only).
                _ => None,
            };
            frame = taken.or(frame);
        }
        Ok(frame)
    }

    /// Whether pictures of this track are those that are shown. Notes what is left out.
    fn choose_video(&mut self, track: u8, supported: bool) -> bool {
        let chosen = self.video_track.choose(track, supported, &mut self.pictures);
        if !chosen {
            self.remarks.add(Remark::SecondPicture);
        }
        chosen
    }

    fn picture(&mut self, payload: &Bytes, dts_ms: u32, composition_ms: i32) -> Result<Option<Frame>, FlvError> {
        look_at_container(payload)?;
        let frame = self.pictures.take(payload, dts_ms, composition_ms)?;
        if self.pictures.is_unconfigured() {
            self.remarks.add(Remark::NoPictureConfiguration);
        }
        Ok(frame)
    }

    /// Takes the body of an audio message with the time stamp `dts_ms`. `None` as for [`Demuxer::video`].
    ///
    /// # Errors
    ///
    /// When the codec is not AAC, the configuration is unusable, or the message is malformed.
    /// [`FlvError::ends_the_stream`] says whether that is for good.
    pub fn audio(&mut self, body: &Bytes, dts_ms: u32) -> Result<Option<Frame>, FlvError> {
        look_at_container(body)?;
        let mut reader = Reader::new(body);
        let Some(first) = reader.byte() else {
            return Ok(None);
        };
        match first >> 4 {
            10 => {}
            9 => return self.enhanced_audio(reader, first, dts_ms),
            format => return Err(FlvError::AudioCodec(legacy_audio_codec(format))),
        }
        self.choose_audio(DEFAULT_TRACK, true);
        match reader.byte() {
            Some(0) => self.sounds.configure(&reader.rest()).map(|()| None),
            Some(1) => self.sound(reader.rest(), dts_ms),
            _ => Ok(None),
        }
    }

    fn enhanced_audio(&mut self, mut reader: Reader<'_>, first: u8, dts_ms: u32) -> Result<Option<Frame>, FlvError> {
        const FIELD: &str = "an enhanced audio header";
        let kind = reader.modifiers(first & 0x0f)?;
        let mut tracks = Tracks::new(reader, kind, packet::MULTITRACK_AUDIO, FIELD)?;
        let mut frame = None;
        while let Some(part) = tracks.next()? {
            let supported = part.codec == *b"mp4a";
            if !supported && part.track == DEFAULT_TRACK {
                return Err(FlvError::AudioCodec(audio_four_cc(part.codec)));
            }
            if !self.choose_audio(part.track, supported) {
                continue;
            }
            match part.kind {
                packet::SEQUENCE_START => self.sounds.configure(&part.body)?,
                packet::CODED_FRAMES => frame = self.sound(part.body, dts_ms)?.or(frame),
                _ => {}
            }
        }
        Ok(frame)
    }

    fn choose_audio(&mut self, track: u8, supported: bool) -> bool {
        let chosen = self.audio_track.choose(track, supported, &mut self.sounds);
        if !chosen {
            self.remarks.add(Remark::SecondSound);
        }
        chosen
    }

    fn sound(&mut self, payload: Bytes, dts_ms: u32) -> Result<Option<Frame>, FlvError> {
        let frame = self.sounds.take(payload, dts_ms)?;
        if self.sounds.is_unconfigured() {
            self.remarks.add(Remark::NoSoundConfiguration);
        }
        Ok(frame)
    }
}

/// Refuses by name what is no body of an FLV tag: encoders that were told to send a file's bytes as they are.
fn look_at_container(body: &[u8]) -> Result<(), FlvError> {
    let packets = || body.chunks(TRANSPORT_PACKET);
    if body.first() == Some(&TRANSPORT_SYNC)
        && body.len().is_multiple_of(TRANSPORT_PACKET)
        && packets().all(|packet| packet.first() == Some(&TRANSPORT_SYNC))
    {
        return Err(FlvError::TransportStream);
    }
    Ok(())
}

/// The track that is shown: the default one, or the first one seen that can be, until the default one comes.
#[derive(Debug, Default)]
struct Choice(Option<u8>);

impl Choice {
    /// Whether a message's track is the one that is shown. When the default one takes another's place, `intake` begins anew.
    fn choose<I: Default>(&mut self, track: u8, supported: bool, intake: &mut I) -> bool {
        match self.0 {
            _ if !supported => false,
            Some(held) if held == track => true,
            Some(_) if track != DEFAULT_TRACK => false,
            held => {
                if held.is_some() {
                    *intake = I::default();
                }
                self.0 = Some(track);
                true
            }
        }
    }
}

/// One track's part of an enhanced message.
struct Part {
    track: u8,
    codec: [u8; 4],
    kind: u8,
    body: Bytes,
}

/// The parts of an enhanced message: one, or one for each track (Enhanced RTMP v2, "Multitrack").
struct Tracks<'a> {
    reader: Reader<'a>,
    field: &'static str,
    kind: u8,
    /// Of all parts; otherwise each says its own.
    codec: Option<[u8; 4]>,
    form: Form,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// What is left is the default track's.
    Plain,
    /// What is left is one track's, whose number comes first.
    One,
    /// Each part has its number and size.
    Many,
    Done,
}

impl<'a> Tracks<'a> {
    fn new(mut reader: Reader<'a>, kind: u8, multitrack: u8, field: &'static str) -> Result<Self, FlvError> {
        let (form, own_codecs, kind) = if kind == multitrack {
            let header = reader.need(field)?;
            // 0: one track. 1: many of one codec. 2: many with a codec each.
            let form = if header >> 4 == 0 { Form::One } else { Form::Many };
            (form, header >> 4 == 2, header & 0x0f)
        } else {
            (Form::Plain, false, kind)
        };
        let codec = if own_codecs { None } else { Some(reader.four_cc(field)?) };
        Ok(Self { reader, field, kind, codec, form })
    }

    fn next(&mut self) -> Result<Option<Part>, FlvError> {
        let kind = self.kind;
        match self.form {
            Form::Done => return Ok(None),
            Form::Many if self.reader.is_empty() => return Ok(None),
            _ => {}
        }
        let codec = match self.codec {
            Some(codec) => codec,
            None => self.reader.four_cc(self.field)?,
        };
        let track = if self.form == Form::Plain { DEFAULT_TRACK } else { self.reader.need(self.field)? };
        let body = if self.form == Form::Many {
            let size = self.reader.unsigned_24(self.field)?;
            self.reader.part(size).ok_or(FlvError::Truncated { field: self.field })?
        } else {
            self.form = Form::Done;
            self.reader.rest()
        };
        Ok(Some(Part { track, codec, kind, body }))
    }
}

/// Walks through a message; what is left becomes a slice of the same buffer.
struct Reader<'a> {
    body: &'a Bytes,
    at: usize,
}

impl<'a> Reader<'a> {
    const fn new(body: &'a Bytes) -> Self {
        Self { body, at: 0 }
    }

    fn byte(&mut self) -> Option<u8> {
        let byte = *self.body.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    fn need(&mut self, field: &'static str) -> Result<u8, FlvError> {
        self.byte().ok_or(FlvError::Truncated { field })
    }

    fn signed_24(&mut self, field: &'static str) -> Result<i32, FlvError> {
        let [a, b, c] = [self.need(field)?, self.need(field)?, self.need(field)?];
        Ok(i32::from_be_bytes([a, b, c, 0]) >> 8)
    }

    fn four_cc(&mut self, field: &'static str) -> Result<[u8; 4], FlvError> {
        Ok([self.need(field)?, self.need(field)?, self.need(field)?, self.need(field)?])
    }

    /// Passes over `ModEx` prefixes (nanoseconds of the time stamp) and returns the packet type behind them.
    fn modifiers(&mut self, mut kind: u8) -> Result<u8, FlvError> {
        const FIELD: &str = "a ModEx header";
        while kind == packet::MOD_EX {
            let mut size = usize::from(self.need(FIELD)?) + 1;
            if size == 256 {
                size = usize::from(u16::from_be_bytes([self.need(FIELD)?, self.need(FIELD)?])) + 1;
            }
            self.at += size;
            kind = self.need(FIELD)? & 0x0f;
        }
        Ok(kind)
    }

    fn unsigned_24(&mut self, field: &'static str) -> Result<usize, FlvError> {
        let [a, b, c] = [self.need(field)?, self.need(field)?, self.need(field)?];
        Ok(usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c))
    }

    /// The next `size` bytes, if there are as many.
    fn part(&mut self, size: usize) -> Option<Bytes> {
        let end = self.at.checked_add(size).filter(|end| *end <= self.body.len())?;
        let part = self.body.slice(self.at..end);
        self.at = end;
        Some(part)
    }

    fn is_empty(&self) -> bool {
        self.at >= self.body.len()
    }

    fn rest(&self) -> Bytes {
        self.body.slice(self.at.min(self.body.len())..)
    }
}

fn legacy_video_codec(id: u8) -> String {
    match id {
        2 => "Sorenson H.263".to_owned(),
        3 | 6 => "Screen video".to_owned(),
        4 | 5 => "VP6".to_owned(),
        12 => "HEVC".to_owned(),
        13 => "AV1".to_owned(),
        id => format!("video codec {id}"),
    }
}

fn legacy_audio_codec(format: u8) -> String {
    match format {
        0 | 3 => "PCM".to_owned(),
        1 => "ADPCM".to_owned(),
        2 | 14 => "MP3".to_owned(),
        4..=6 => "Nellymoser".to_owned(),
        7 | 8 => "G.711".to_owned(),
        11 => "Speex".to_owned(),
        13 => "Opus".to_owned(),
        format => format!("audio format {format}"),
    }
}

fn video_four_cc(code: [u8; 4]) -> String {
    match &code {
        b"hvc1" | b"hev1" => "HEVC".to_owned(),
        b"av01" => "AV1".to_owned(),
        b"vp08" => "VP8".to_owned(),
        b"vp09" => "VP9".to_owned(),
        b"vvc1" => "VVC".to_owned(),
        _ => unknown_four_cc(code),
    }
}

fn audio_four_cc(code: [u8; 4]) -> String {
    match &code {
        b"Opus" => "Opus".to_owned(),
        b"fLaC" => "FLAC".to_owned(),
        b".mp3" => "MP3".to_owned(),
        b"ac-3" | b"ec-3" => "Dolby Digital".to_owned(),
        _ => unknown_four_cc(code),
    }
}

fn unknown_four_cc(code: [u8; 4]) -> String {
    format!("codec \"{}\"", code.escape_ascii())
}
