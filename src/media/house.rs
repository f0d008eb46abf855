//! The house-format stage: sound becomes 48 kHz stereo AAC-LC at 160 kbit/s on one continuous clock.
//!
//! A platform's remux breaks without an error when the sound's configuration changes in mid stream, so whatever a streamer
//! sends is decoded, placed on one row of samples by its programme time, and encoded by the one encoder that lives as long as
//! the process. It is placed by its time stamps: gaps become silence, overlaps are trimmed, and a servo follows sources whose clock
//! is off. All of it happens inside the call, in the caller's thread, and the same frames give the same bytes.

mod codec;
mod line;
mod servo;

use std::sync::Arc;

use bytes::Bytes;

pub(super) use self::line::BLOCK;
use self::{
    codec::{Decoder, Encoder, EncoderKind, Resampler},
    line::{Line, RATE, Stereo, count},
    servo::{Servo, stretch},
};
use super::chain::ChainError;
use crate::core::{
    frame::{AacConfig, CodecConfig, Frame, MediaTime, Track},
    switcher::{ProgramFrame, Source},
};

/// GStreamer elements this stage is built from. `avenc_aac` stands in for a missing `voaacenc`.
pub const ELEMENTS: &[&str] = &["avdec_aac", "audioconvert", "audioresample", "capsfilter", "voaacenc"];

/// What Twitch takes at most.
const BITS_PER_SECOND: u32 = 160_000;

/// Blocks of silence the encoder is given first: it is in its stride, and its configuration is known, before anything is heard.
const PRIMING: i64 = 4;

/// An error larger than this is not drift but a step: it is made good at once, with silence or by trimming. Picture and
/// sound may be 40 ms apart.
const STEP: MediaTime = MediaTime::from_millis(40);

/// So much may be missing before [`House::fill_until`] fills it: more than [`STEP`], so that what the servo is about to correct is
/// not torn first, and a resampler holds a millisecond back.
const PATIENCE: MediaTime = MediaTime::from_millis(45);

/// A hole longer than this is left out rather than encoded. It cannot come about while somebody calls
/// [`House::fill_until`], and keeps a wild time stamp from stopping the caller.
const LONGEST_HOLE: MediaTime = MediaTime::from_millis(10_000);

/// Complaints about a source's sound are at least this far apart.
const COMPLAINT_INTERVAL: MediaTime = MediaTime::from_millis(10_000);

/// Why the stage cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum HouseError {
    /// GStreamer itself does not start.
    #[error("GStreamer cannot be started: {0}")]
    Library(#[from] gstreamer::glib::Error),
    /// An element is missing or does not do what it must.
    #[error(transparent)]
    Chain(#[from] ChainError),
}

/// The stage. Synchronous: everything happens inside the call, in the caller's thread.
#[derive(Debug)]
pub struct House {
    config: Arc<CodecConfig>,
    encoder: Encoder,
    /// Programme time of the line's sample 0; none before the first sound.
    base: Option<MediaTime>,
    line: Line,
    /// Index on the line of the next packet's first sample.
    next_packet: i64,
    feed: Option<Feed>,
    source: Source,
    started: bool,
    next_complaint: MediaTime,
    scratch: Scratch,
}

/// Buffers that are kept for the sake of their memory.
#[derive(Debug, Default)]
struct Scratch {
    pcm: Vec<Stereo>,
    stretched: Vec<Stereo>,
    block: Vec<Stereo>,
}

/// One source's way to the line, from its first frame or its last step on.
#[derive(Debug)]
struct Feed {
    decoder: Decoder,
    way: Option<Way>,
}

/// What is known of a feed once it has begun.
#[derive(Debug)]
struct Way {
    resampler: Resampler,
    servo: Servo,
    /// Index on the line where the resampler's next sample goes.
    next: i64,
    /// Samples given to the resampler, and got from it.
    given: u64,
    got: u64,
}

impl Way {
    fn new(rate: u32, start: i64) -> Result<Self, ChainError> {
        Ok(Self { resampler: Resampler::new(rate)?, servo: Servo::default(), next: start, given: 0, got: 0 })
    }

    /// Where on the line the next sample given would be.
    fn due(&self) -> f64 {
        let owed = self.given as f64 * f64::from(RATE) / f64::from(self.resampler.rate()) - self.got as f64;
        self.next as f64 + owed
    }
}

impl House {
    /// The most by which the time stamps of what leaves are behind those of what came in: what is kept for a fade, an unfinished
    /// block, and what the encoder keeps. Frames are decided upon so long before they leave, at least. Measured:
    /// 66 ms with `voaacenc`, 75 ms with `avenc_aac`.
    pub const LAG: MediaTime = MediaTime::from_millis(80);

    /// Builds the encoder and makes sure that there is a decoder.
    ///
    /// # Errors
    ///
    /// When GStreamer cannot be started or an element is missing.
    pub fn new() -> Result<Self, HouseError> {
        gstreamer::init()?;
        let [first, second] = EncoderKind::ALL;
        Self::with_encoder(first).or_else(|error| Self::with_encoder(second).map_err(|_| error))
    }

    fn with_encoder(kind: EncoderKind) -> Result<Self, HouseError> {
        let (encoder, packets) = primed(kind)?;
        let record = encoder
            .record()
            .ok_or_else(|| ChainError::Start { chain: "sound encoder", reason: "it makes no packets".to_owned() })?;
        let config = AacConfig { record, sample_rate: RATE, channels: 2, frame_samples: 1024 };
        // A missing element shows now rather than at the first take.
        Decoder::new(&config).open()?;
        Resampler::new(RATE + 1)?;
        Ok(Self {
            config: Arc::new(CodecConfig::Aac(config)),
            encoder,
            base: None,
            line: Line::default(),
            next_packet: (packets - PRIMING) * count(BLOCK) - kind.delay(),
            feed: None,
            source: Source::Slate,
            started: false,
            next_complaint: MediaTime::ZERO,
            scratch: Scratch::default(),
        })
    }

    /// The configuration of everything that ever leaves: the same for the life of the process.
    pub fn config(&self) -> Arc<CodecConfig> {
        self.config.clone()
    }

    /// Takes one frame of sound with its programme time, and adds to `out` what is ready, at most [`House::LAG`] behind.
    pub fn push(&mut self, frame: &ProgramFrame, out: &mut Vec<ProgramFrame>) {
        let CodecConfig::Aac(config) = &*frame.frame.config else { return };
        let time = frame.frame.pts;
        self.source = frame.source.clone();
        let place = samples(time - *self.base.get_or_insert(time));
        let mut feed = match self.feed.take() {
            Some(feed) if !frame.splice && feed.decoder.fits(config) => feed,
            last => {
                self.end(last.and_then(|feed| feed.way));
                Feed { decoder: Decoder::new(config), way: None }
            }
        };
        let (pcm, rate, fault) = feed.decoder.decode(&frame.frame.payload);
        if let Some(fault) = fault {
            self.complain(time, &fault);
        }
        let way = match feed.way.take() {
            Some(way) if way.resampler.rate() == rate && (way.due() - place).abs() <= samples(STEP) => Some(way),
            last => {
                self.end(last);
                self.fill(index(place));
                Way::new(rate, index(place)).map_err(|error| self.complain(time, &error.to_string())).ok()
            }
        };
        feed.way = way.map(|way| self.advance(way, place, pcm));
        self.feed = Some(feed);
        self.emit(out);
    }

    /// Says that no sound for a time before `time` will come any more: what is missing becomes silence. Less than 45 ms is
    /// waited for. Before the first sound it starts the clock.
    pub fn fill_until(&mut self, time: MediaTime, out: &mut Vec<ProgramFrame>) {
        let missing = samples(time - *self.base.get_or_insert(time));
        if missing - self.line.end() as f64 > samples(PATIENCE) {
            self.fill(index(missing));
            self.emit(out);
        }
    }

    /// Gives one frame's samples to the line.
    fn advance(&mut self, mut way: Way, place: f64, pcm: &[Stereo]) -> Way {
        let error = way.due() - place;
        let Scratch { pcm: resampled, stretched, .. } = &mut self.scratch;
        resampled.clear();
        way.resampler.push(pcm, resampled);
        way.given += pcm.len() as u64;
        way.got += resampled.len() as u64;
        let more = way.servo.steer(error, resampled.len());
        stretched.clear();
        stretch(resampled, resampled.len().saturating_add_signed(more), stretched);
        self.line.place(way.next, stretched);
        way.next += count(stretched.len());
        way
    }

    /// A source is over, or goes on elsewhere: what its resampler still holds is placed, and faded out.
    fn end(&mut self, way: Option<Way>) {
        if let Some(way) = way {
            self.scratch.pcm.clear();
            way.resampler.finish(&mut self.scratch.pcm);
            self.line.place(way.next, &self.scratch.pcm);
        }
        self.line.interrupt();
    }

    /// Fills the line up to `index` with silence, but for a hole that is too long.
    fn fill(&mut self, index: i64) {
        let hole = index - self.line.end() - self::index(samples(LONGEST_HOLE));
        if hole > 0 {
            let skipped = self.line.skip(hole);
            self.next_packet += skipped;
        }
        self.line.silence_until(index);
    }

    /// Encodes what is settled.
    fn emit(&mut self, out: &mut Vec<ProgramFrame>) {
        let mut block = std::mem::take(&mut self.scratch.block);
        while self.line.take_block(&mut block) {
            for payload in self.encode(&block) {
                let (start, base) = (self.next_packet, self.base.unwrap_or_default());
                self.next_packet += count(BLOCK);
                // What lies before the first sound is the encoder's own silence.
                if start < 0 {
                    continue;
                }
                let time = base + duration(start);
                let (config, source, splice) = (self.config.clone(), self.source.clone(), !self.started);
                self.started = true;
                let frame = Frame { track: Track::Audio, dts: time, pts: time, keyframe: true, payload, config };
                out.push(ProgramFrame { frame, source, splice });
            }
        }
        self.scratch.block = block;
    }

    /// Encodes one block. An encoder that fails is replaced by another, primed to the same point.
    fn encode(&mut self, block: &[Stereo]) -> Vec<Bytes> {
        let error = match self.encoder.encode(block) {
            Ok(packets) => return packets,
            Err(error) => error,
        };
        let time = self.base.unwrap_or_default() + duration(self.next_packet);
        self.complain(time, &format!("the encoder stopped: {error}"));
        if let Ok((encoder, _)) = primed(self.encoder.kind()) {
            self.encoder = encoder;
        }
        self.encoder.encode(block).unwrap_or_else(|_| {
            self.next_packet += count(BLOCK);
            Vec::new()
        })
    }

    /// Says once in a while what is wrong with the sound on air.
    fn complain(&mut self, time: MediaTime, error: &str) {
        if time < self.next_complaint {
            return;
        }
        self.next_complaint = time + COMPLAINT_INTERVAL;
        let connection = match &self.source {
            Source::Slate => "slate",
            Source::Input(connection) => &*connection.0,
        };
        tracing::warn!(connection, error, "sound could not be converted and is silent");
    }
}

/// An encoder that was given [`PRIMING`] blocks of silence, and how many packets that made.
fn primed(kind: EncoderKind) -> Result<(Encoder, i64), ChainError> {
    let encoder = Encoder::new(kind, RATE, BITS_PER_SECOND)?;
    let mut packets = 0;
    for _ in 0..PRIMING {
        let made = encoder
            .encode(&[[0.0; 2]; BLOCK])
            .map_err(|error| ChainError::Start { chain: "sound encoder", reason: error.to_string() })?;
        packets += count(made.len());
    }
    Ok((encoder, packets))
}

/// Encodes `pcm`, whole blocks, as everything that leaves is: the `AudioSpecificConfig`, and as many packets, of which a decoder
/// makes what went in, but for the encoder's delay.
pub(super) fn encode(pcm: &[Stereo]) -> Result<(Bytes, Vec<Bytes>), HouseError> {
    gstreamer::init()?;
    let [first, second] = EncoderKind::ALL;
    let (encoder, _) = primed(first).or_else(|error| primed(second).map_err(|_| error))?;
    let stopped = |reason: String| ChainError::Start { chain: "sound encoder", reason };
    let mut packets = Vec::new();
    for block in pcm.chunks_exact(BLOCK) {
        packets.extend(encoder.encode(block).map_err(|error| stopped(error.to_string()))?);
    }
    let record = encoder.record().ok_or_else(|| stopped("it makes no packets".to_owned()))?;
    Ok((record, packets))
}

/// What a player hears of `payloads`.
#[cfg(test)]
pub(super) fn decode(config: &AacConfig, payloads: &[Bytes]) -> Vec<Stereo> {
    let mut decoder = Decoder::new(config);
    payloads.iter().flat_map(|payload| decoder.decode(payload).0.to_vec()).collect()
}

/// In samples of the house's rate: 6 in 125 microseconds.
fn samples(time: MediaTime) -> f64 {
    time.as_micros() as f64 * 6.0 / 125.0
}

/// The nearest sample.
#[expect(clippy::cast_possible_truncation, reason = "saturates, and 2^63 samples are six million years")]
fn index(samples: f64) -> i64 {
    samples.round() as i64
}

/// To the nearest microsecond; always from the whole count, so that the rounding does not add up.
fn duration(samples: i64) -> MediaTime {
    MediaTime::from_micros((samples * 125 + 3).div_euclid(6))
}

#[cfg(test)]
mod tests;
