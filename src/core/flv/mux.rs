//! Frames to tag bodies and tags.

use bytes::{BufMut, Bytes, BytesMut};

use super::{nal, nal_units};
use crate::core::{
    amf::Writer,
    frame::{AacConfig, AvcConfig, CodecConfig, Frame},
};

/// What `onMetaData` says. What is not known is left out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MetaData {
    /// Width of the picture in pixels.
    pub width: Option<u32>,
    /// Height of the picture in pixels.
    pub height: Option<u32>,
    /// Pictures per second.
    pub frame_rate: Option<f64>,
    /// Kilobits per second of the pictures.
    pub video_kbps: Option<f64>,
    /// Kilobits per second of the sound.
    pub audio_kbps: Option<f64>,
    /// Samples per second of the sound.
    pub sample_rate: Option<u32>,
    /// Whether the sound has two channels.
    pub stereo: Option<bool>,
    /// Who made the stream; left out when empty.
    pub encoder: String,
}

/// The body of a script tag `onMetaData`.
pub fn on_metadata(data: &MetaData) -> Bytes {
    let video = data.width.is_some();
    let audio = data.sample_rate.is_some();
    let numbers = [
        ("width", data.width.map(f64::from)),
        ("height", data.height.map(f64::from)),
        ("framerate", data.frame_rate),
        ("videocodecid", video.then_some(7.0)),
        ("videodatarate", data.video_kbps),
        ("audiocodecid", audio.then_some(10.0)),
        ("audiodatarate", data.audio_kbps),
        ("audiosamplerate", data.sample_rate.map(f64::from)),
        ("audiosamplesize", audio.then_some(16.0)),
    ];
    let known = || numbers.iter().filter_map(|(name, value)| value.map(|value| (*name, value)));
    let count = known().count() + usize::from(data.stereo.is_some()) + usize::from(!data.encoder.is_empty());
    let mut out = BytesMut::with_capacity(320 + data.encoder.len());
    let mut writer = Writer::new(&mut out);
    writer.string("onMetaData");
    writer.begin_ecma_array(count);
    for (name, value) in known() {
        writer.key(name);
        writer.number(value);
    }
    if let Some(stereo) = data.stereo {
        writer.key("stereo");
        writer.boolean(stereo);
    }
    if !data.encoder.is_empty() {
        writer.key("encoder");
        writer.string(&data.encoder);
    }
    writer.end_object();
    out.freeze()
}

/// The body of an AVC sequence header.
pub fn video_header(config: &AvcConfig) -> Bytes {
    let mut out = BytesMut::with_capacity(5 + config.record.len());
    out.put_slice(&[0x17, 0, 0, 0, 0]);
    out.put_slice(&config.record);
    out.freeze()
}

/// The body of an AAC sequence header.
pub fn audio_header(config: &AacConfig) -> Bytes {
    let mut out = BytesMut::with_capacity(2 + config.record.len());
    out.put_slice(&[AAC, 0]);
    out.put_slice(&config.record);
    out.freeze()
}

/// AAC is always declared as 44 kHz, 16 bit, stereo; the truth is in its configuration (annex E.4.2.1).
const AAC: u8 = 0xaf;

/// Appends the body of a picture's tag to `out`. Before an IDR come the parameter sets of its configuration, unless it
/// brings its own: remuxed to MPEG-TS without them, the pictures after a change of configuration cannot be decoded.
pub fn video_body(frame: &Frame, out: &mut BytesMut) {
    let composition = (frame.pts.as_millis() - frame.dts.as_millis()).clamp(-0x80_0000, 0x7f_ffff);
    let [.., a, b, c] = composition.to_be_bytes();
    out.reserve(5 + frame.payload.len() + 256);
    out.put_slice(&[if frame.keyframe { 0x17 } else { 0x27 }, 1, a, b, c]);
    let mut payload = frame.payload.as_ref();
    if let (true, CodecConfig::Avc(config)) = (frame.keyframe, frame.config.as_ref()) {
        let place = parameter_set_place(payload, config);
        if let Some((delimiter, rest)) = place.and_then(|at| payload.split_at_checked(at)) {
            out.put_slice(delimiter);
            for set in config.sps.iter().chain(&config.pps) {
                out.put_uint(set.len() as u64, usize::from(config.length_size));
                out.put_slice(set);
            }
            payload = rest;
        }
    }
    out.put_slice(payload);
}

/// Where parameter sets are to be put in: at the start, or behind an access unit delimiter, which must stay first (H.264,
/// 7.4.1.2.3). `None` when the access unit has its own, or the length prefix is too small for them.
fn parameter_set_place(payload: &[u8], config: &AvcConfig) -> Option<usize> {
    let longest = (1_usize << (8 * u32::from(config.length_size.min(4)))) - 1;
    if config.sps.iter().chain(&config.pps).any(|set| set.len() > longest) {
        return None;
    }
    let (mut sps, mut pps, mut place) = (false, false, 0);
    for (index, unit) in nal_units(payload, config.length_size).enumerate() {
        let unit = unit.ok()?;
        match nal::kind(unit) {
            Some(nal::DELIMITER) if index == 0 => place = usize::from(config.length_size) + unit.len(),
            Some(nal::SPS) => sps = true,
            Some(nal::PPS) => pps = true,
            // From the first slice on there are none.
            Some(1..=5) => break,
            _ => {}
        }
    }
    (!(sps && pps)).then_some(place)
}

/// Appends the body of a sound's tag to `out`.
pub fn audio_body(frame: &Frame, out: &mut BytesMut) {
    out.reserve(2 + frame.payload.len());
    out.put_slice(&[AAC, 1]);
    out.put_slice(&frame.payload);
}

/// An FLV file's header, with the size of the tag before the first, which is none.
pub fn file_header(audio: bool, video: bool) -> Bytes {
    let flags = (u8::from(audio) << 2) | u8::from(video);
    Bytes::copy_from_slice(&[b'F', b'L', b'V', 1, flags, 0, 0, 0, 9, 0, 0, 0, 0])
}

/// A whole FLV tag: header, body and the size that follows it. `kind` is 8, 9 or 18; a body of 16 MiB or more cannot be
/// told in its header and is cut off.
pub fn tag(kind: u8, time_ms: u32, body: &[u8]) -> Bytes {
    let body = body.get(..0xff_ffff).unwrap_or(body);
    let mut out = BytesMut::with_capacity(11 + body.len() + 4);
    let [extended, time @ ..] = time_ms.to_be_bytes();
    out.put_u8(kind);
    out.put_uint(body.len() as u64, 3);
    out.put_slice(&time);
    out.put_u8(extended);
    out.put_slice(&[0, 0, 0]);
    out.put_slice(body);
    let size = out.len();
    out.put_uint(size as u64, 4);
    out.freeze()
}
