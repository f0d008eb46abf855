//! Messages of H.264 to whole pictures, each with the configuration that it is decoded by.
//!
//! Whatever an encoder does with the forms that RTMP allows, and some that it does not, comes out alike: every NAL unit behind a length
//! of four bytes, none of them empty, one picture in one frame, and the parameter sets of a configuration those that were sent last.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};

use super::{
    FlvError,
    avc::Record,
    nal::{self, SliceStart},
    nal_units,
    sets::{ParameterSets, sps_id},
};
use crate::core::frame::{AvcConfig, CodecConfig, Frame, MediaTime, Track};

/// Bytes of the length before each NAL unit, as everything downstream has it.
const LENGTH_SIZE: u8 = 4;
/// SEI, delimiter and parameter sets that came in messages of their own and wait for their picture.
const MOST_AHEAD: usize = 64 << 10;
/// A picture whose slices come one by one. The largest message is not much larger.
const MOST_JOINED: usize = 8 << 20;
/// Pictures without any configuration before that is told.
const MOST_UNCONFIGURED: u32 = 60;

/// One track's way from messages to pictures.
#[derive(Debug, Default)]
pub(super) struct PictureIntake {
    /// In force.
    config: Option<Arc<CodecConfig>>,
    /// The configuration record that was sent last, as it was sent.
    sent: Option<Bytes>,
    /// The first SPS in it.
    sent_first: Option<u32>,
    /// Bytes of the lengths in messages; 0 until a record said so.
    length_size: u8,
    sets: ParameterSets,
    /// The sets are not those of `sent`.
    changed: bool,
    /// The configuration in force may not be what was sent last. The next picture that decoding can begin at tells: between two of them
    /// nothing changes.
    stale: bool,
    /// The SPS that the configuration in force begins with.
    active: Option<u32>,
    /// Slices of one picture come in several messages.
    split: bool,
    /// The picture that more slices may belong to, of such a stream.
    open: Option<Open>,
    /// What came ahead of a picture.
    ahead: Option<(u32, BytesMut)>,
    /// The time stamp of the latest picture.
    latest: Option<u32>,
    /// Pictures that came before any configuration.
    unconfigured: u32,
}

/// A message's NAL units.
struct Units {
    /// With lengths of four bytes.
    payload: Bytes,
    /// How the first slice begins.
    slice: Option<SliceStart>,
    /// Anything of a picture is among them.
    coded: bool,
    /// All belong behind a picture.
    suffix: bool,
}

/// A picture that may not be whole.
#[derive(Debug)]
struct Open {
    frame: Frame,
    dts_ms: u32,
    /// Its first slice is among it: of the first picture that came in parts the start is on its way already.
    whole: bool,
    /// What was added, with what the frame began with; empty as long as nothing was.
    joined: BytesMut,
}

impl Open {
    fn new(frame: Frame, dts_ms: u32, whole: bool) -> Self {
        Self { frame, dts_ms, whole, joined: BytesMut::new() }
    }

    /// Adds to it, if it is of the same instant and there is room.
    fn join(&mut self, payload: &[u8], dts_ms: u32) -> bool {
        let before = self.joined.len().max(self.frame.payload.len());
        if self.dts_ms != dts_ms || before + payload.len() > MOST_JOINED {
            return false;
        }
        if self.joined.is_empty() {
            self.joined.extend_from_slice(&self.frame.payload);
        }
        self.joined.extend_from_slice(payload);
        true
    }

    fn finish(mut self) -> Frame {
        if !self.joined.is_empty() {
            self.frame.payload = self.joined.freeze();
            self.frame.keyframe = self.whole && is_entry(&self.frame.payload);
        }
        self.frame
    }
}

impl PictureIntake {
    /// The configuration in force.
    pub(super) const fn config(&self) -> Option<&Arc<CodecConfig>> {
        self.config.as_ref()
    }

    /// Whether pictures come and none can be decoded, for want of a configuration.
    pub(super) const fn is_unconfigured(&self) -> bool {
        self.unconfigured > MOST_UNCONFIGURED
    }

    /// Takes an `AVCDecoderConfigurationRecord`. Returns the picture that it ends, of a stream whose slices come one by one. A record
    /// without parameter sets says how long lengths are; they are taken from where the pictures have them.
    pub(super) fn configure(&mut self, record: &Bytes) -> Result<Option<Frame>, FlvError> {
        if record.is_empty() {
            return Ok(None);
        }
        if nal::begins_with_start_code(record) {
            return Err(FlvError::AnnexB);
        }
        if self.sent.as_ref() == Some(record) {
            if self.changed {
                // Some repeat it with every key frame although the picture's own sets are others: those that follow decide.
                self.sets = ParameterSets::of(&Record::read(record)?);
                (self.changed, self.stale) = (false, true);
            }
            return Ok(None);
        }
        // A configuration outlives its message by hours: a copy of its few bytes keeps no larger buffer alive.
        let record = Bytes::copy_from_slice(record);
        let read = Record::read(&record)?;
        let complete = !read.sps.is_empty() && !read.pps.is_empty();
        if complete {
            let config = AvcConfig::parse(with_long_lengths(&record))?;
            self.sets = ParameterSets::of(&read);
            self.sent_first = config.sps.first().and_then(|sps| sps_id(sps));
            self.active = self.sent_first;
            self.stale = false;
            self.put_in_force(config);
        }
        self.changed = !complete;
        self.length_size = read.length_size;
        self.sent = Some(record);
        Ok(self.open.take().map(Open::finish))
    }

    /// Takes a message of NAL units. Returns a picture once it is whole: with the message that brings it, unless the stream has shown
    /// that it sends slices one by one; then with the next one.
    pub(super) fn take(
        &mut self,
        message: &Bytes,
        dts_ms: u32,
        composition_ms: i32,
    ) -> Result<Option<Frame>, FlvError> {
        let Some(units) = self.read(message)? else { return Ok(None) };
        for unit in nal_units(&units.payload, LENGTH_SIZE).map_while(Result::ok) {
            if self.sets.note(unit) {
                (self.changed, self.stale) = (true, true);
            }
        }
        let continues =
            self.latest == Some(dts_ms) && units.slice.is_some_and(|slice| slice.first_macroblock != 0) || units.suffix;
        if continues
            && let Some(open) = &mut self.open
            && open.join(&units.payload, dts_ms)
        {
            return Ok(None);
        }
        if units.suffix {
            return Ok(None);
        }
        if !units.coded {
            self.put_ahead(&units.payload, dts_ms);
            return Ok(self.open.take().map(Open::finish));
        }
        if continues {
            // The start of this one is on its way already: the rest follows it. From the next one on they are joined.
            self.split = true;
            let finished = self.open.take().map(Open::finish);
            let rest = self.frame(units.payload, dts_ms, composition_ms, false);
            self.open = rest.map(|frame| Open::new(frame, dts_ms, false));
            return Ok(finished);
        }
        let payload = match self.ahead.take() {
            Some((at, mut ahead)) if at == dts_ms => {
                ahead.extend_from_slice(&units.payload);
                ahead.freeze()
            }
            _ => units.payload,
        };
        self.latest = Some(dts_ms);
        let entry = is_entry(&payload);
        if entry || self.config.is_none() {
            self.settle(units.slice);
        }
        let frame = self.frame(payload, dts_ms, composition_ms, entry);
        if !self.split {
            return Ok(frame);
        }
        let finished = self.open.take().map(Open::finish);
        self.open = frame.map(|frame| Open::new(frame, dts_ms, true));
        Ok(finished)
    }

    /// Reads a message; none when nothing is in it.
    fn read(&self, message: &Bytes) -> Result<Option<Units>, FlvError> {
        let length_size = if self.length_size == 0 { LENGTH_SIZE } else { self.length_size };
        let split = is_glued(message, length_size);
        let (mut slice, mut coded, mut suffix) = (None, false, true);
        let (mut end, mut kept, mut whole) = (0, 0, length_size == LENGTH_SIZE);
        for unit in nal_units(message, length_size) {
            let unit = match unit {
                Ok(unit) => unit,
                // A damaged picture may begin like that too, but not the first one.
                Err(_) if self.latest.is_none() && nal::begins_with_start_code(message) => {
                    return Err(FlvError::AnnexB);
                }
                Err(error) => return Err(error),
            };
            end += usize::from(length_size) + unit.len();
            let mut pieces = 0;
            for piece in nal::pieces(unit, split) {
                pieces += 1;
                kept += usize::from(LENGTH_SIZE) + piece.len();
                suffix &= nal::is_suffix(piece);
                coded |= nal::is_coded(piece);
                slice = slice.or_else(|| SliceStart::read(piece));
            }
            whole &= pieces == 1;
        }
        if kept == 0 {
            return Ok(None);
        }
        let payload = if whole {
            message.slice(..end)
        } else {
            let mut out = BytesMut::with_capacity(kept);
            let units = nal_units(message, length_size).map_while(Result::ok);
            for piece in units.flat_map(|unit| nal::pieces(unit, split)) {
                out.put_uint(piece.len() as u64, usize::from(LENGTH_SIZE));
                out.put_slice(piece);
            }
            out.freeze()
        };
        Ok(Some(Units { payload, slice, coded, suffix }))
    }

    /// Keeps what came without a picture for the next one of the same instant.
    fn put_ahead(&mut self, payload: &[u8], dts_ms: u32) {
        match &mut self.ahead {
            Some((at, ahead)) if *at == dts_ms => {
                if ahead.len() + payload.len() <= MOST_AHEAD {
                    ahead.extend_from_slice(payload);
                }
            }
            _ => self.ahead = (payload.len() <= MOST_AHEAD).then(|| (dts_ms, BytesMut::from(payload))),
        }
    }

    /// Brings the configuration in force up to what was sent last, at a picture that begins with `slice`.
    fn settle(&mut self, slice: Option<SliceStart>) {
        let active = slice.and_then(|slice| self.sets.sps_of(slice.parameter_set)).or(self.active);
        if !self.stale && self.config.is_some() && active == self.active {
            return;
        }
        let as_sent = if self.changed || active != self.sent_first { None } else { self.sent.as_ref() };
        let record = match as_sent {
            Some(record) => Some(with_long_lengths(record)),
            None => self.sets.record(active),
        };
        // Sets that make no sense were not noted, so this is a matter of some that are missing: what is in force stays.
        let Some(Ok(config)) = record.map(AvcConfig::parse) else { return };
        (self.active, self.stale) = (active, false);
        self.put_in_force(config);
    }

    /// Of one that is as before nothing is seen downstream.
    fn put_in_force(&mut self, config: AvcConfig) {
        let known = matches!(self.config.as_deref(), Some(CodecConfig::Avc(held)) if held.record == config.record);
        if !known {
            self.config = Some(Arc::new(CodecConfig::Avc(config)));
        }
        self.unconfigured = 0;
    }

    /// A frame, if there is a configuration for it.
    fn frame(&mut self, payload: Bytes, dts_ms: u32, composition_ms: i32, keyframe: bool) -> Option<Frame> {
        let Some(config) = self.config.clone() else {
            self.unconfigured = self.unconfigured.saturating_add(1);
            return None;
        };
        let dts = MediaTime::from_millis(i64::from(dts_ms));
        let pts = dts + MediaTime::from_millis(i64::from(composition_ms));
        Some(Frame { track: Track::Video, dts, pts, keyframe, payload, config })
    }
}

/// Whether a message's picture stands inside a unit of another kind, SEI for example, behind a start code. Some encoders leave start
/// codes in user data that nothing follows; so only a message that has no picture otherwise is searched.
fn is_glued(message: &[u8], length_size: u8) -> bool {
    let units = || nal_units(message, length_size).map_while(Result::ok);
    !units().any(nal::is_coded) && units().flat_map(|unit| nal::pieces(unit, true)).any(nal::is_coded)
}

/// Whether decoding can begin at an access unit; see [`Frame::keyframe`].
fn is_entry(payload: &[u8]) -> bool {
    let units = || nal_units(payload, LENGTH_SIZE).map_while(Result::ok);
    if units().any(|unit| nal::kind(unit) == Some(nal::IDR)) {
        return true;
    }
    let mut slices = units().filter_map(SliceStart::read);
    slices.next().is_some_and(|first| first.intra)
        && slices.all(|slice| slice.intra)
        && units().any(nal::recovers_at_once)
}

/// A configuration record that says that lengths have four bytes.
fn with_long_lengths(record: &Bytes) -> Bytes {
    match record.get(4) {
        Some(lengths) if lengths & 3 != 3 => {
            let mut out = BytesMut::from(record.as_ref());
            if let Some(lengths) = out.get_mut(4) {
                *lengths |= 3;
            }
            out.freeze()
        }
        _ => record.clone(),
    }
}
