//! Tags in, segments out: one per group of pictures.
//!
//! A segment begins with a key frame, unless its group is too long to be kept waiting for, or it continues the very first one, which ends
//! early so that there is something to show. Every cut of the programme begins a new period: an initialisation of its own,
//! announced as a discontinuity.

use std::{collections::VecDeque, mem, sync::Arc};

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
///
/// A picture leaves a fixed time before it is shown, sound when it is heard. So a group's sound ends that time after its pictures, and
/// a segment is finished when the sound that is heard with it has come: players take the two tracks of a segment to begin together.
pub(super) struct Cutter {
    next: Numbers,
    video: Option<Arc<AvcConfig>>,
    sound: Option<Arc<AacConfig>>,
    initialisation: Option<Arc<Initialisation>>,
    /// The next group begins a period.
    cut: bool,
    /// Nothing has been ended yet.
    first: bool,
    delay: MediaTime,
    groups: VecDeque<Group>,
}

/// A segment under way.
struct Group {
    /// Begins a period.
    cut: bool,
    config: Arc<AvcConfig>,
    pictures: Vec<Tag>,
    /// Sound by its configuration: around a cut the two tracks do not change in the same instant.
    sounds: Vec<(Arc<AacConfig>, Vec<Tag>)>,
    /// How long after it left a key frame is shown.
    delay: MediaTime,
    /// When the first picture of the next one leaves.
    end: Option<MediaTime>,
    bytes: usize,
    samples: usize,
}

impl Group {
    fn begin(picture: Tag, config: Arc<AvcConfig>, cut: bool, delay: MediaTime) -> Self {
        let (bytes, pictures) = (picture.body.len(), vec![picture]);
        Self { cut, config, pictures, sounds: Vec::new(), delay, end: None, bytes, samples: 1 }
    }

    fn start(&self) -> MediaTime {
        self.pictures.first().map_or(MediaTime::ZERO, |picture| picture.time)
    }

    /// Whether it ends before this picture.
    fn ends_before(&self, picture: &Tag, first: bool) -> bool {
        let length = picture.time - self.start();
        let enough = (picture.keyframe || first) && length >= SHORTEST;
        enough || length >= LONGEST || self.bytes >= LARGEST || self.samples >= MOST_SAMPLES
    }

    /// Whether what is heard at `time` is heard with this group or before it.
    fn is_heard(&self, time: MediaTime) -> bool {
        self.end.is_none_or(|end| time < end + self.delay)
    }

    fn add_sound(&mut self, sound: &Arc<AacConfig>, tag: Tag) {
        self.bytes += tag.body.len();
        self.samples += 1;
        match self.sounds.last_mut() {
            Some((held, tags)) if held == sound => tags.push(tag),
            _ => self.sounds.push((sound.clone(), vec![tag])),
        }
    }
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
            delay: MediaTime::ZERO,
            groups: VecDeque::new(),
        }
    }

    pub(super) fn numbers(&self) -> Numbers {
        self.next
    }

    /// Takes the next tag of the programme, and gives the segment that is finished by it. Two are never finished by one: then the second
    /// comes with the next tag.
    pub(super) fn push(&mut self, tag: Tag) -> Option<Segment> {
        let time = tag.time;
        match (tag.kind, tag.header) {
            (TagKind::Script, _) => {}
            (TagKind::Video, true) => {
                self.end_group(time);
                self.video = AvcConfig::parse(tag.body.slice(tag.body.len().min(5)..)).ok().map(Arc::new);
                self.cut = true;
            }
            (TagKind::Audio, true) => {
                self.sound = AacConfig::parse(tag.body.slice(tag.body.len().min(2)..)).ok().map(Arc::new);
            }
            (TagKind::Video, false) => self.add_picture(tag),
            (TagKind::Audio, false) => self.add_sound(tag),
        }
        let is_done = self.groups.front().is_some_and(|group| !group.is_heard(time));
        if is_done { self.groups.pop_front().and_then(|group| self.finish(group)) } else { None }
    }

    fn end_group(&mut self, end: MediaTime) {
        if let Some(group) = self.groups.back_mut().filter(|group| group.end.is_none()) {
            group.end = Some(end);
            self.first = false;
        }
    }

    fn add_picture(&mut self, tag: Tag) {
        if self.groups.back().is_some_and(|group| group.end.is_none() && group.ends_before(&tag, self.first)) {
            self.end_group(tag.time);
        }
        let Some(config) = &self.video else { return };
        match self.groups.back_mut().filter(|group| group.end.is_none()) {
            Some(group) => {
                group.bytes += tag.body.len();
                group.samples += 1;
                group.pictures.push(tag);
            }
            // A period begins with a key frame.
            None if tag.keyframe || !self.cut => {
                if tag.keyframe {
                    self.delay = composition(&tag);
                }
                let cut = mem::take(&mut self.cut);
                self.groups.push_back(Group::begin(tag, config.clone(), cut, self.delay));
            }
            None => {}
        }
    }

    fn add_sound(&mut self, tag: Tag) {
        let Some(sound) = &self.sound else { return };
        // What is heard before the first picture of all is shown is left out.
        if let Some(group) = self.groups.iter_mut().find(|group| group.is_heard(tag.time))
            && tag.time >= group.start() + group.delay
        {
            group.add_sound(sound, tag);
        }
    }

    fn finish(&mut self, group: Group) -> Option<Segment> {
        let (first, end) = (group.pictures.first()?, group.end?);
        // A track has one configuration in a segment: what little is of another one is left out.
        let (sound, sounds) = group.sounds.into_iter().max_by_key(|(_, tags)| tags.len()).unzip();
        let initialisation = match &self.initialisation {
            Some(held) if !group.cut && (sound.is_none() || held.sound == sound) => held.clone(),
            _ => {
                let sound = sound.or_else(|| self.sound.clone());
                let bytes = mp4::initialisation(&group.config, sound.as_deref());
                let made = Arc::new(Initialisation { number: self.next.initialisation, bytes, sound });
                self.next.initialisation += 1;
                self.initialisation.insert(made).clone()
            }
        };
        let number = self.next.segment;
        self.next.segment += 1;
        // Fragments count in 32 bits, and only order matters.
        let fragment = u32::try_from(number & u64::from(u32::MAX)).unwrap_or_default();
        let sound = initialisation.sound.as_deref().map(|config| sound_run(&sounds.unwrap_or_default(), config));
        let pictures = picture_run(&group.pictures, end, group.delay, &group.config);
        let bytes = mp4::fragment(fragment, &pictures, &sound.unwrap_or_default());
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

/// How long after it left a picture is shown: whole milliseconds, in three bytes with their sign.
fn composition(tag: &Tag) -> MediaTime {
    match tag.body.as_ref() {
        &[_, _, a, b, c, ..] => MediaTime::from_millis(i64::from(i32::from_be_bytes([a, b, c, 0]) >> 8)),
        _ => MediaTime::ZERO,
    }
}

/// Pictures that leave before `end`. Their times are FLV's, whole milliseconds, so that presentation time is exactly what a platform is
/// told. `delay` is made part of the decoding time: players take the two to begin together.
fn picture_run(tags: &[Tag], end: MediaTime, delay: MediaTime, config: &AvcConfig) -> Run {
    let ticks =
        |time: MediaTime| u64::try_from((time + delay).as_millis()).unwrap_or_default() * u64::from(VIDEO_RATE / 1000);
    let ends = tags.iter().skip(1).map(|tag| tag.time).chain([end]);
    let samples = tags.iter().zip(ends).map(|(tag, end)| {
        let composition = (composition(tag) - delay).as_millis() * i64::from(VIDEO_RATE / 1000);
        let payload = tag.body.slice(tag.body.len().min(5)..);
        Sample {
            duration: duration(ticks(tag.time), ticks(end)),
            composition: i32::try_from(composition).unwrap_or_default(),
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
