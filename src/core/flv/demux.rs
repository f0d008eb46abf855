//! Tag bodies to frames.

use std::sync::Arc;

use bytes::Bytes;

use super::{FlvError, nal, nal_type, nal_units};
use crate::core::frame::{AacConfig, AvcConfig, CodecConfig, Frame, MediaTime, Track};

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

/// One connection's way from RTMP messages to frames. Keeps the configurations in force.
#[derive(Debug, Default)]
pub struct Demuxer {
    video: Option<Arc<CodecConfig>>,
    audio: Option<Arc<CodecConfig>>,
}

impl Demuxer {
    /// A demuxer that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// The picture's configuration in force.
    pub const fn video_config(&self) -> Option<&Arc<CodecConfig>> {
        self.video.as_ref()
    }

    /// The sound's configuration in force.
    pub const fn audio_config(&self) -> Option<&Arc<CodecConfig>> {
        self.audio.as_ref()
    }

    /// Takes the body of a video message with the time stamp `dts_ms`. `None` for what is no picture: configurations, ends of
    /// sequence, metadata, empty messages, and pictures before the first configuration.
    ///
    /// # Errors
    ///
    /// When the codec is not H.264, the configuration is unusable, or the message is malformed.
    pub fn video(&mut self, body: &Bytes, dts_ms: u32) -> Result<Option<Frame>, FlvError> {
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
        let kind = reader.need("a video header")?;
        let composition = reader.signed_24("a video header")?;
        match kind {
            0 => self.avc_config(&reader.rest()).map(|()| None),
            1 => self.picture(reader.rest(), dts_ms, composition),
            // 2 is the end of the sequence; more is not defined.
            _ => Ok(None),
        }
    }

    fn enhanced_video(&mut self, mut reader: Reader<'_>, first: u8, dts_ms: u32) -> Result<Option<Frame>, FlvError> {
        const FIELD: &str = "an enhanced video header";
        let mut kind = reader.modifiers(first & 0x0f)?;
        if (first >> 4) & 7 == COMMAND_FRAME {
            return Ok(None);
        }
        let multitrack = kind == packet::MULTITRACK_VIDEO;
        if multitrack {
            let Some(inner) = reader.single_track(FIELD)? else {
                return Ok(None);
            };
            kind = inner;
        }
        let codec = reader.four_cc(FIELD)?;
        if codec != *b"avc1" {
            return Err(FlvError::VideoCodec(video_four_cc(codec)));
        }
        if multitrack && reader.need(FIELD)? != 0 {
            return Ok(None);
        }
        match kind {
            packet::SEQUENCE_START => self.avc_config(&reader.rest()).map(|()| None),
            packet::CODED_FRAMES => {
                let composition = reader.signed_24(FIELD)?;
                self.picture(reader.rest(), dts_ms, composition)
            }
            packet::CODED_FRAMES_X => self.picture(reader.rest(), dts_ms, 0),
            // End of sequence, metadata (HDR), MPEG-2 TS configuration (AV1 only).
            _ => Ok(None),
        }
    }

    /// Takes the body of an audio message with the time stamp `dts_ms`. `None` as for [`Demuxer::video`].
    ///
    /// # Errors
    ///
    /// When the codec is not AAC, the configuration is unusable, or the message is malformed.
    pub fn audio(&mut self, body: &Bytes, dts_ms: u32) -> Result<Option<Frame>, FlvError> {
        let mut reader = Reader::new(body);
        let Some(first) = reader.byte() else {
            return Ok(None);
        };
        match first >> 4 {
            10 => {}
            9 => return self.enhanced_audio(reader, first, dts_ms),
            format => return Err(FlvError::AudioCodec(legacy_audio_codec(format))),
        }
        match reader.byte() {
            Some(0) => self.aac_config(&reader.rest()).map(|()| None),
            Some(1) => Ok(self.sound(reader.rest(), dts_ms)),
            _ => Ok(None),
        }
    }

    fn enhanced_audio(&mut self, mut reader: Reader<'_>, first: u8, dts_ms: u32) -> Result<Option<Frame>, FlvError> {
        const FIELD: &str = "an enhanced audio header";
        let mut kind = reader.modifiers(first & 0x0f)?;
        let multitrack = kind == packet::MULTITRACK_AUDIO;
        if multitrack {
            let Some(inner) = reader.single_track(FIELD)? else {
                return Ok(None);
            };
            kind = inner;
        }
        let codec = reader.four_cc(FIELD)?;
        if codec != *b"mp4a" {
            return Err(FlvError::AudioCodec(audio_four_cc(codec)));
        }
        if multitrack && reader.need(FIELD)? != 0 {
            return Ok(None);
        }
        match kind {
            packet::SEQUENCE_START => self.aac_config(&reader.rest()).map(|()| None),
            packet::CODED_FRAMES => Ok(self.sound(reader.rest(), dts_ms)),
            _ => Ok(None),
        }
    }

    fn avc_config(&mut self, record: &Bytes) -> Result<(), FlvError> {
        let known = matches!(self.video.as_deref(), Some(CodecConfig::Avc(old)) if old.record == *record);
        if !known && !record.is_empty() {
            self.video = Some(Arc::new(CodecConfig::Avc(AvcConfig::parse(detached(record))?)));
        }
        Ok(())
    }

    fn aac_config(&mut self, record: &Bytes) -> Result<(), FlvError> {
        let known = matches!(self.audio.as_deref(), Some(CodecConfig::Aac(old)) if old.record == *record);
        if !known && !record.is_empty() {
            self.audio = Some(Arc::new(CodecConfig::Aac(AacConfig::parse(detached(record))?)));
        }
        Ok(())
    }

    fn picture(&self, payload: Bytes, dts_ms: u32, composition_ms: i32) -> Result<Option<Frame>, FlvError> {
        let Some(config) = &self.video else {
            return Ok(None);
        };
        let CodecConfig::Avc(avc) = config.as_ref() else {
            return Ok(None);
        };
        let (mut keyframe, mut empty) = (false, true);
        for unit in nal_units(&payload, avc.length_size) {
            if let Some(kind) = nal_type(unit?) {
                empty = false;
                keyframe |= kind == nal::IDR;
            }
        }
        if empty {
            return Ok(None);
        }
        let dts = MediaTime::from_millis(i64::from(dts_ms));
        let pts = dts + MediaTime::from_millis(i64::from(composition_ms));
        Ok(Some(Frame { track: Track::Video, dts, pts, keyframe, payload, config: Arc::clone(config) }))
    }

    fn sound(&self, payload: Bytes, dts_ms: u32) -> Option<Frame> {
        let config = Arc::clone(self.audio.as_ref()?);
        let dts = MediaTime::from_millis(i64::from(dts_ms));
        (!payload.is_empty()).then_some(Frame { track: Track::Audio, dts, pts: dts, keyframe: true, payload, config })
    }
}

/// A configuration outlives its message by hours: a copy of its few bytes keeps no larger buffer alive.
fn detached(record: &Bytes) -> Bytes {
    Bytes::copy_from_slice(record)
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

    /// The packet type inside a multitrack packet that holds one track; `None` when it holds several. The programme has one
    /// track of each kind: encoders that send more send the first one outside multitrack packets too.
    fn single_track(&mut self, field: &'static str) -> Result<Option<u8>, FlvError> {
        let header = self.need(field)?;
        Ok((header >> 4 == 0).then_some(header & 0x0f))
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
