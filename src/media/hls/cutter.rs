//! Tags in, segments out: one per group of pictures.
//!
//! A segment begins with a key frame, unless its group is too long to be kept waiting for, or it continues the very first one, which ends
//! early so that there is something to show. Every cut of the programme begins a new period: an initialisation of its own,
//! announced as a discontinuity.

use std::{mem, sync::Arc};

use bytes::{BufMut, Bytes, BytesMut};

use super::mp4::{self, Run, Sample, VIDEO_RATE};
use crate::{
    core::frame::{AacConfig, AvcConfig, MediaTime},
    media::tag::{Tag, TagKind},
};

/// Groups shorter than this share a segment: an encoder that sends nothing but key frames must not make thirty a second. A little under a
/// second, so that groups of one second stand alone.
const SHORTEST: MediaTime = MediaTime::from_millis(900);
/// A group that is longer is cut in its middle. Encoders' defaults reach 8.3 s.
const LONGEST: MediaTime = MediaTime::from_millis(10_000);
/// So is one that is larger: 10 s at 6 Mbit/s.
const LARGEST: usize = 8 << 20;
/// Samples on their way into a segment: an all-too-small GOP of tiny frames is no reason to keep a hundred thousand of them.
const MOST_SAMPLES: usize = 4096;

/// What a decoder must know before the segments of a period.
#[derive(Debug)]
pub(super) struct Initialisation {
    pub(super) number: u64,
    pub(super) bytes: Bytes,
    sound: Option<Arc<AacConfig>>,
}

/// A finished piece of the programme.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) number: u64,
    pub(super) initialisation: Arc<Initialisation>,
    /// Programme time at which its first picture left.
    pub(super) start: MediaTime,
    pub(super) duration: MediaTime,
    /// It begins with a key frame.
    pub(super) independent: bool,
    pub(super) bytes: Bytes,
}

/// Numbers that go on from one production to the next: those of the next segment and of the next initialisation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Numbers {
    pub(super) segment: u64,
    pub(super) initialisation: u64,
}

/// Makes segments of the programme's tags.
pub(super) struct Cutter {
    next: Numbers,
    video: Option<AvcConfig>,
    sound: Option<Arc<AacConfig>>,
    initialisation: Option<Arc<Initialisation>>,
    /// The next segment begins a period.
    cut: bool,
    /// Nothing has been finished yet.
    first: bool,
    pictures: Vec<Tag>,
    /// Sound by its configuration: around a cut the two tracks do not change in the same instant.
    sounds: Vec<(Arc<AacConfig>, Vec<Tag>)>,
    bytes: usize,
    samples: usize,
}

impl Cutter {
    pub(super) fn new(next: Numbers) -> Self {
        Self {
            next,
            video: None,
            sound: None,
            initialisation: None,
            cut: true,
            first: true,
            pictures: Vec::new(),
            sounds: Vec::new(),
            bytes: 0,
            samples: 0,
        }
    }

    pub(super) fn numbers(&self) -> Numbers {
        self.next
    }

    /// Takes the next tag of the programme, and gives the segment that it ends.
    pub(super) fn push(&mut self, tag: Tag) -> Option<Segment> {
        match (tag.kind, tag.header) {
            (TagKind::Script, _) => None,
            (TagKind::Video, true) => {
                let done = self.finish(tag.time);
                self.video = AvcConfig::parse(tag.body.slice(tag.body.len().min(5)..)).ok();
                self.cut = true;
                done
            }
            (TagKind::Audio, true) => {
                self.sound = AacConfig::parse(tag.body.slice(tag.body.len().min(2)..)).ok().map(Arc::new);
                None
            }
            (TagKind::Video, false) => {
                let done = if self.is_due(&tag) { self.finish(tag.time) } else { None };
                // A period begins with a key frame.
                if tag.keyframe || !self.cut || !self.pictures.is_empty() {
                    self.note(&tag);
                    self.pictures.push(tag);
                }
                done
            }
            (TagKind::Audio, false) => {
                if let (Some(sound), false) = (&self.sound, self.pictures.is_empty()) {
                    if self.sounds.last().is_none_or(|(held, _)| held != sound) {
                        self.sounds.push((sound.clone(), Vec::new()));
                    }
                    self.note(&tag);
                    if let Some((_, tags)) = self.sounds.last_mut() {
                        tags.push(tag);
                    }
                }
                None
            }
        }
    }

    fn note(&mut self, tag: &Tag) {
        self.bytes += tag.body.len();
        self.samples += 1;
    }

    /// Whether the segment under way ends before this picture.
    fn is_due(&self, picture: &Tag) -> bool {
        let Some(first) = self.pictures.first() else { return false };
        let length = picture.time - first.time;
        let enough = (picture.keyframe || self.first) && length >= SHORTEST;
        enough || length >= LONGEST || self.bytes >= LARGEST || self.samples >= MOST_SAMPLES
    }

    fn finish(&mut self, end: MediaTime) -> Option<Segment> {
        let pictures = mem::take(&mut self.pictures);
        let sounds = mem::take(&mut self.sounds);
        (self.bytes, self.samples) = (0, 0);
        let (first, video) = (pictures.first()?, self.video.as_ref()?);
        // A track has one configuration in a segment: what little is of another one is left out.
        let (sound, sounds) = sounds.into_iter().max_by_key(|(_, tags)| tags.len()).unzip();
        let initialisation = match &self.initialisation {
            Some(held) if !self.cut && (sound.is_none() || held.sound == sound) => held.clone(),
            _ => {
                let sound = sound.or_else(|| self.sound.clone());
                let bytes = mp4::initialisation(video, sound.as_deref());
                let made = Arc::new(Initialisation { number: self.next.initialisation, bytes, sound });
                self.next.initialisation += 1;
                self.initialisation.insert(made).clone()
            }
        };
        let number = self.next.segment;
        self.next.segment += 1;
        (self.cut, self.first) = (false, false);
        // Fragments count in 32 bits, and only order matters.
        let fragment = u32::try_from(number & u64::from(u32::MAX)).unwrap_or_default();
        let sound = initialisation.sound.as_deref().map(|config| sound_run(&sounds.unwrap_or_default(), config));
        let bytes = mp4::fragment(fragment, &picture_run(&pictures, end, video), &sound.unwrap_or_default());
        Some(Segment {
            number,
            initialisation,
            start: first.time,
            duration: end - first.time,
            independent: first.keyframe,
            bytes,
        })
    }
}

/// Pictures up to `end`. Their times are FLV's, whole milliseconds, so that presentation time is exactly what a platform is told.
fn picture_run(tags: &[Tag], end: MediaTime, config: &AvcConfig) -> Run {
    let ticks = |time: MediaTime| u64::try_from(time.as_millis()).unwrap_or_default() * u64::from(VIDEO_RATE / 1000);
    let ends = tags.iter().skip(1).map(|tag| tag.time).chain([end]);
    let samples = tags.iter().zip(ends).map(|(tag, end)| {
        let composition = match tag.body.as_ref() {
            // Three bytes with their sign.
            &[_, _, a, b, c, ..] => i32::from_be_bytes([a, b, c, 0]) >> 8,
            _ => 0,
        };
        let payload = tag.body.slice(tag.body.len().min(5)..);
        Sample {
            duration: duration(ticks(tag.time), ticks(end)),
            composition: composition.saturating_mul(90),
            sync: tag.keyframe,
            payload: if tag.keyframe { without_parameter_sets(&payload, config) } else { payload },
        }
    });
    Run { start: tags.first().map_or(0, |tag| ticks(tag.time)), samples: samples.collect() }
}

fn sound_run(tags: &[Tag], config: &AacConfig) -> Run {
    let ticks = |time: MediaTime| {
        let micros = u128::try_from(time.as_micros()).unwrap_or_default();
        u64::try_from((micros * u128::from(config.sample_rate) + 500_000) / 1_000_000).unwrap_or_default()
    };
    let last = tags.last().map(|tag| ticks(tag.time) + u64::from(config.frame_samples));
    let ends = tags.iter().skip(1).map(|tag| ticks(tag.time)).chain(last);
    let samples = tags.iter().zip(ends).map(|(tag, end)| Sample {
        duration: duration(ticks(tag.time), end),
        composition: 0,
        sync: true,
        payload: tag.body.slice(tag.body.len().min(2)..),
    });
    Run { start: tags.first().map_or(0, |tag| ticks(tag.time)), samples: samples.collect() }
}

fn duration(start: u64, end: u64) -> u32 {
    u32::try_from(end.saturating_sub(start)).unwrap_or(u32::MAX)
}

/// The picture without the parameter sets that stand in its configuration: `avc1` keeps them out of the samples (ISO/IEC 14496-15,
/// 5.3.2). The programme carries them in band for platforms that remux to MPEG-TS. Others, which an encoder may send, stay.
fn without_parameter_sets(payload: &Bytes, config: &AvcConfig) -> Bytes {
    let mut kept = BytesMut::with_capacity(payload.len());
    let mut rest = payload.as_ref();
    while !rest.is_empty() {
        let unit = rest.split_at_checked(usize::from(config.length_size)).and_then(|(prefix, tail)| {
            let length = prefix.iter().fold(0_usize, |length, byte| (length << 8) | usize::from(*byte));
            tail.split_at_checked(length).map(|(unit, tail)| (prefix, unit, tail))
        });
        // Malformed: a decoder may make more of it.
        let Some((prefix, unit, tail)) = unit else { return payload.clone() };
        rest = tail;
        if !config.sps.iter().chain(&config.pps).any(|set| set == unit) {
            kept.put_slice(prefix);
            kept.put_slice(unit);
        }
    }
    kept.freeze()
}

#[cfg(test)]
mod tests;
