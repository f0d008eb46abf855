//! Tags in, segments out: one per group of pictures.
//!
//! A segment begins with a key frame, unless its group is too long to be kept waiting for, or it continues the very first one, which ends
//! early so that there is something to show. Every cut of the programme begins a new period: an initialisation of its own,
//! announced as a discontinuity. No segment is longer than what the playlist has promised once and for all.

use std::{collections::VecDeque, mem, sync::Arc};

use bytes::Bytes;

use super::mp4::{self, Run, Sample, VIDEO_RATE};
use crate::{
    core::frame::{AacConfig, AvcConfig, MediaTime},
    media::tag::{Tag, TagKind},
};

/// Groups shorter than this share a segment: an encoder that sends nothing but key frames must not make thirty a second. A little under a
/// second, so that groups of one second stand alone.
const SHORTEST: MediaTime = MediaTime::from_millis(900);
/// What no segment's length exceeds when it is rounded to whole seconds: the playlist's target duration, which must never change
/// (RFC 8216, 6.2.1). Platforms ask for a key frame every 2 to 4 s. Players that follow the rules stay three times as far behind live, so
/// it is no longer for the sake of encoders' defaults, which reach 8.3 s: such groups become two segments.
pub(super) const TARGET_SECONDS: i64 = 4;
/// The longest that rounds to the target.
const LIMIT: MediaTime = MediaTime::from_millis(TARGET_SECONDS * 1000 + 499);
/// Where a cut follows a cut at once: players take a length of 0 for an error.
const BRIEFEST: MediaTime = MediaTime::from_millis(1);
/// A group that is longer is cut in its middle. A little less than the limit, since pictures come one by one; 250 pictures at 60 a second, which
/// are x264's own, stay whole.
const LONGEST: MediaTime = MediaTime::from_millis(TARGET_SECONDS * 1000 + 400);
/// So is one that is larger: the limit at 15 Mbit/s.
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

#[cfg(test)]
impl Initialisation {
    /// Stands for one.
    pub(super) const fn empty(number: u64) -> Self {
        Self { number, bytes: Bytes::new(), sound: None }
    }
}

/// A finished piece of the programme.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) number: u64,
    pub(super) initialisation: Arc<Initialisation>,
    /// Programme time at which its first picture left.
    pub(super) start: MediaTime,
    /// At most the target duration, as that is rounded.
    pub(super) duration: MediaTime,
    /// It can be decoded without the ones before it.
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
/// In a period a picture leaves a fixed time before it is shown, sound when it is heard. So a group's sound ends that time after its pictures, and
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
    /// That of the period.
    delay: MediaTime,
    groups: VecDeque<Group>,
}

/// A segment under way.
struct Group {
    /// Begins a period.
    cut: bool,
    /// Is the rest of a group that was too long.
    continues: bool,
    config: Arc<AvcConfig>,
    pictures: Vec<Tag>,
    /// Sound by its configuration: around a cut the two tracks do not change in the same instant.
    sounds: Vec<(Arc<AacConfig>, Vec<Tag>)>,
    /// How long after it left a key frame is shown.
    delay: MediaTime,
    /// When the next one's pictures begin to be shown.
    end: Option<MediaTime>,
    bytes: usize,
    samples: usize,
}

impl Group {
    fn begin(picture: Tag, config: Arc<AvcConfig>, cut: bool, delay: MediaTime) -> Self {
        let (bytes, pictures) = (picture.body.len(), vec![picture]);
        Self { cut, continues: false, config, pictures, sounds: Vec::new(), delay, end: None, bytes, samples: 1 }
    }

    fn start(&self) -> MediaTime {
        self.pictures.first().map_or(MediaTime::ZERO, |picture| picture.time)
    }

    /// Whether it ends before this picture. What continues a long group ends with it, however short it is: the next segment is to begin with
    /// a key frame again.
    fn ends_before(&self, picture: &Tag, first: bool) -> bool {
        let length = picture.time - self.start();
        let enough = length >= SHORTEST && (picture.keyframe || first);
        let is_over = picture.keyframe && self.continues;
        enough || is_over || length >= LONGEST || self.bytes >= LARGEST || self.samples >= MOST_SAMPLES
    }

    /// Gives the last picture to a group of its own, with what is heard with it.
    fn split_last(&mut self) -> Option<Self> {
        if self.pictures.len() < 2 {
            return None;
        }
        let picture = self.pictures.pop()?;
        let (start, continues) = (picture.time, !picture.keyframe);
        self.end = Some(start + self.delay);
        let mut next = Self { continues, ..Self::begin(picture, self.config.clone(), false, self.delay) };
        for (sound, tags) in &mut self.sounds {
            let later = tags.partition_point(|tag| tag.time < start + self.delay);
            for tag in tags.drain(later..) {
                next.add_sound(sound, tag);
            }
        }
        self.sounds.retain(|(_, tags)| !tags.is_empty());
        Some(next)
    }

    /// Leaves out the pictures that are shown before the first one although they follow it: they refer to pictures before a cut.
    fn drop_leading(&mut self) {
        if let Some(first) = self.pictures.first().map(shown) {
            self.pictures.retain(|picture| shown(picture) >= first);
        }
    }

    /// Whether nothing before it is needed: an open group's leading pictures refer to the group before.
    fn is_independent(&self) -> bool {
        let first = self.pictures.first();
        first.is_some_and(|first| first.keyframe && self.pictures.iter().all(|picture| shown(picture) >= shown(first)))
    }

    /// Whether what is heard at `time` is heard with this group or before it.
    fn is_heard(&self, time: MediaTime) -> bool {
        self.end.is_none_or(|end| time < end)
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

    /// Ends the open group with its last picture but one where it would be too long, were it to end at `end`: pictures may come slowly.
    fn keep_limit(&mut self, end: MediaTime) {
        let is_long = |group: &&mut Group| group.end.is_none() && end - group.delay - group.start() > LIMIT;
        let open = self.groups.back_mut().filter(is_long);
        if let Some(next) = open.and_then(Group::split_last) {
            self.groups.push_back(next);
            self.first = false;
        }
    }

    fn end_group(&mut self, end: MediaTime) {
        if let Some(group) = self.groups.back_mut().filter(|group| group.end.is_none()) {
            group.end = Some(end);
            self.first = false;
        }
    }

    fn add_picture(&mut self, tag: Tag) {
        if tag.keyframe && self.cut {
            self.delay = tag.composition();
        }
        let end = tag.time + self.delay;
        self.keep_limit(end);
        // What ends early to have something to show may go on into the next group.
        let early = self.first;
        let ends = |group: &Group| group.end.is_none() && (self.cut || group.ends_before(&tag, self.first));
        if self.groups.back().is_some_and(ends) {
            self.end_group(end);
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
                let cut = mem::take(&mut self.cut);
                let continues = !tag.keyframe && !early;
                let group = Group::begin(tag, config.clone(), cut, self.delay);
                self.groups.push_back(Group { continues, ..group });
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

    fn finish(&mut self, mut group: Group) -> Option<Segment> {
        if group.cut {
            group.drop_leading();
        }
        let independent = group.is_independent();
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
        let end = end - group.delay;
        let pictures = picture_run(&group.pictures, end, group.delay);
        let bytes = mp4::fragment(fragment, &pictures, &sound.unwrap_or_default());
        Some(Segment {
            number,
            initialisation,
            start: first.time,
            // One picture alone may stand for longer: a player goes by the media's own times.
            duration: (end - first.time).clamp(BRIEFEST, LIMIT),
            independent,
            bytes,
        })
    }
}

/// When a picture is shown.
fn shown(tag: &Tag) -> MediaTime {
    tag.time + tag.composition()
}

/// Pictures that leave before `end`. Their times are FLV's, whole milliseconds, so that presentation time is exactly what a platform is
/// told. `delay` is made part of the decoding time: players take the two to begin together.
///
/// The parameter sets stay in front of key frames, where the programme has them, though they stand in the initialisation too: many players
/// read the first initialisation only, and see a cut to another size by what is in band.
fn picture_run(tags: &[Tag], end: MediaTime, delay: MediaTime) -> Run {
    let ticks =
        |time: MediaTime| u64::try_from((time + delay).as_millis()).unwrap_or_default() * u64::from(VIDEO_RATE / 1000);
    let ends = tags.iter().skip(1).map(|tag| tag.time).chain([end]);
    let samples = tags.iter().zip(ends).map(|(tag, end)| {
        let composition = (tag.composition() - delay).as_millis() * i64::from(VIDEO_RATE / 1000);
        Sample {
            duration: duration(ticks(tag.time), ticks(end)),
            composition: i32::try_from(composition).unwrap_or_default(),
            sync: tag.keyframe,
            payload: tag.body.slice(tag.body.len().min(5)..),
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

#[cfg(test)]
mod tests;
