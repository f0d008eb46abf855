#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::LazyLock;

use bytes::{Bytes, BytesMut};

use proptest::prelude::*;

use super::*;
use crate::{
    core::{
        flv,
        frame::{CodecConfig, Frame, Track},
        switcher::SlateLoop,
    },
    media::slate::{self, SlateSettings},
};

/// Drawn once: a property asks for it often.
fn slate() -> SlateLoop {
    static DRAWN: LazyLock<SlateLoop> =
        LazyLock::new(|| slate::render(SlateSettings { venue: "The Blue Room", picture: None, tone: false }).unwrap());
    DRAWN.clone()
}

fn numbers() -> Numbers {
    Numbers { segment: 100, initialisation: 7 }
}

/// A programme of 30 pictures and as many frames of sound a second.
struct Programme {
    cutter: Cutter,
    slate: SlateLoop,
    millis: i64,
    segments: Vec<Segment>,
}

impl Programme {
    fn new() -> Self {
        Self { cutter: Cutter::new(numbers()), slate: slate(), millis: 1000, segments: Vec::new() }
    }

    fn push(&mut self, kind: TagKind, keyframe: bool, header: bool, body: Bytes) {
        let tag = Tag { kind, time: MediaTime::from_millis(self.millis), keyframe, header, body };
        self.segments.extend(self.cutter.push(tag));
    }

    fn video_header(&mut self) {
        let CodecConfig::Avc(config) = &*self.slate.video.clone() else { unreachable!("it is the pictures'") };
        self.push(TagKind::Video, false, true, flv::video_header(config));
    }

    fn audio_header(&mut self, record: [u8; 2]) {
        let config = AacConfig::parse(Bytes::copy_from_slice(&record)).unwrap();
        self.push(TagKind::Audio, false, true, flv::audio_header(&config));
    }

    fn picture(&mut self, keyframe: bool) {
        let payload = self.slate.pictures.iter().find(|picture| picture.keyframe == keyframe).unwrap().payload.clone();
        let time = MediaTime::from_millis(self.millis);
        let pts = time + MediaTime::from_millis(200);
        let config = self.slate.video.clone();
        let frame = Frame { track: Track::Video, dts: time, pts, keyframe, payload, config };
        let mut body = BytesMut::new();
        flv::video_body(&frame, &mut body);
        self.push(TagKind::Video, keyframe, false, body.freeze());
    }

    fn sound(&mut self) {
        self.push(TagKind::Audio, false, false, Bytes::from_static(b"\xaf\x01sound"));
    }

    /// Pictures for so long, a key frame first and then every `group` pictures.
    fn run(&mut self, millis: i64, group: i64) {
        for number in 0..millis / 40 {
            self.picture(number % group == 0);
            self.sound();
            self.millis += 40;
        }
    }

    fn lengths(&self) -> Vec<i64> {
        self.segments.iter().map(|segment| segment.duration.as_millis()).collect()
    }
}

const STEREO_48: [u8; 2] = [0x11, 0x90];
const MONO_44: [u8; 2] = [0x12, 0x08];

#[test]
fn segment_is_a_group_of_pictures_but_for_the_first_which_does_not_wait() {
    let mut programme = Programme::new();
    programme.video_header();
    programme.audio_header(STEREO_48);
    programme.run(10_000, 50);
    assert_eq!(programme.lengths(), [920, 1080, 2000, 2000, 2000]);
    let independent: Vec<_> = programme.segments.iter().map(|segment| segment.independent).collect();
    assert_eq!(independent, [true, false, true, true, true]);
    let numbers: Vec<_> = programme.segments.iter().map(|segment| segment.number).collect();
    assert_eq!(numbers, [100, 101, 102, 103, 104]);
    assert!(programme.segments.iter().all(|segment| segment.initialisation.number == 7));
    let starts: Vec<_> = programme.segments.iter().map(|segment| segment.start.as_millis()).collect();
    assert_eq!(starts, [1000, 1920, 3000, 5000, 7000]);
}

#[test]
fn long_group_is_cut_and_short_ones_are_put_together() {
    let mut programme = Programme::new();
    programme.video_header();
    programme.run(24_000, 10_000);
    assert_eq!(programme.lengths(), [920, 4400, 4400, 4400, 4400, 4400]);
    // What continues a group ends with it, and the next one is whole again.
    let mut programme = Programme::new();
    programme.video_header();
    programme.run(24_000, 200);
    assert_eq!(programme.lengths(), [920, 4400, 2680, 4400, 3600, 4400]);
    let independent: Vec<_> = programme.segments.iter().map(|segment| segment.independent).collect();
    assert_eq!(independent, [true, false, false, true, false, true]);
    let mut programme = Programme::new();
    programme.video_header();
    programme.run(4000, 1);
    assert_eq!(programme.lengths(), [920, 920, 920, 920]);
}

#[test]
fn no_segment_has_no_length_where_two_cuts_fall_together() {
    let mut programme = Programme::new();
    programme.video_header();
    programme.run(2000, 25);
    programme.video_header();
    programme.picture(true);
    programme.video_header();
    programme.run(3000, 25);
    assert_eq!(programme.lengths(), [920, 1080, 1, 1000, 1000]);
}

#[test]
fn every_cut_begins_a_period_with_an_initialisation_of_its_own() {
    let mut programme = Programme::new();
    programme.video_header();
    programme.audio_header(STEREO_48);
    programme.run(3000, 25);
    programme.video_header();
    programme.run(500, 25);
    programme.video_header();
    programme.run(2000, 25);
    assert_eq!(programme.lengths(), [920, 1080, 1000, 480, 1000]);
    let periods: Vec<_> = programme.segments.iter().map(|segment| segment.initialisation.number).collect();
    assert_eq!(periods, [7, 7, 7, 8, 9]);
    assert_eq!(programme.cutter.numbers().initialisation, 10);
}

#[test]
fn sound_of_another_configuration_around_a_cut_is_left_out_and_the_period_has_the_new_one() {
    let mut programme = Programme::new();
    programme.video_header();
    programme.audio_header(STEREO_48);
    programme.run(1000, 25);
    programme.video_header();
    // Sound is heard when it leaves, and pictures are shown 200 ms later: the old sound's tail, and a little too much of it.
    programme.run(240, 25);
    programme.audio_header(MONO_44);
    programme.run(3000, 25);
    let [_, first, second, ..] = &programme.segments[..] else { unreachable!("there are several") };
    let rate = |segment: &Segment| segment.initialisation.sound.as_ref().map(|sound| sound.sample_rate);
    assert_eq!((rate(first), rate(second)), (Some(48_000), Some(44_100)));
    assert_ne!(first.initialisation.number, second.initialisation.number);
}

/// Decoding times of the first picture and the first sound in milliseconds.
fn begins(segment: &Segment) -> (u64, u64) {
    let places: Vec<_> = segment.bytes.windows(4).enumerate().filter(|(_, bytes)| bytes == b"tfdt").collect();
    let time =
        |(at, _): &(usize, &[u8])| u64::from_be_bytes(segment.bytes.get(at + 8..at + 16).unwrap().try_into().unwrap());
    let [video, audio] = &places[..] else { unreachable!("there are two tracks") };
    (time(video) / 90, time(audio) / 48)
}

#[test]
fn pictures_and_sound_of_a_segment_begin_together_as_they_are_seen_and_heard() {
    let mut programme = Programme::new();
    programme.video_header();
    programme.audio_header(STEREO_48);
    programme.run(6000, 50);
    let begins: Vec<_> = programme.segments.iter().map(begins).collect();
    assert_eq!(begins, [(1200, 1200), (2120, 2120), (3200, 3200)]);
}

#[test]
fn nothing_is_made_before_the_first_key_frame_or_without_a_configuration() {
    let mut programme = Programme::new();
    programme.run(2000, 25);
    assert!(programme.segments.is_empty());
    let mut programme = Programme::new();
    programme.video_header();
    programme.sound();
    for _ in 0..100 {
        programme.picture(false);
        programme.millis += 40;
    }
    assert!(programme.segments.is_empty());
}

#[test]
fn key_frames_keep_their_parameter_sets() {
    let mut programme = Programme::new();
    programme.video_header();
    programme.run(3000, 25);
    let CodecConfig::Avc(config) = &*programme.slate.video else { unreachable!("it is the pictures'") };
    for segment in programme.segments.iter().filter(|segment| segment.independent) {
        for set in config.sps.iter().chain(&config.pps) {
            assert!(segment.bytes.windows(set.len()).any(|bytes| bytes == set), "segment {}", segment.number);
        }
    }
}

/// A group of pictures by how much later each is shown than it leaves, in steps of 40 ms; the first is the key frame.
fn group(programme: &mut Programme, delays: &[i64]) {
    for (number, delay) in delays.iter().enumerate() {
        let [.., a, b, c] = (delay * 40).to_be_bytes();
        let body = Bytes::copy_from_slice(&[if number == 0 { 0x17 } else { 0x27 }, 1, a, b, c, 0, 0, 0, 1, 0x65]);
        programme.push(TagKind::Video, number == 0, false, body);
        programme.millis += 40;
    }
}

#[test]
fn open_group_is_not_independent_and_at_a_cut_its_leading_pictures_are_left_out() {
    let mut programme = Programme::new();
    programme.video_header();
    let mut delays = [2; 30];
    // Two pictures that are shown before the key frame they follow.
    (delays[0], delays[1], delays[2]) = (3, 0, 0);
    for _ in 0..4 {
        group(&mut programme, &delays);
    }
    let independent: Vec<_> = programme.segments.iter().map(|segment| segment.independent).collect();
    assert_eq!(independent, [true, false, false], "the continuation of the first, and an open group");
    let pictures = |segment: &Segment| {
        let at = segment.bytes.windows(4).position(|bytes| bytes == b"trun").unwrap();
        u32::from_be_bytes(segment.bytes.get(at + 8..at + 12).unwrap().try_into().unwrap())
    };
    assert_eq!(programme.segments.iter().map(pictures).collect::<Vec<_>>(), [21, 37, 30]);
}

proptest! {
    #[test]
    fn no_segment_is_longer_than_the_playlist_promises_and_none_overlaps(
        steps in prop::collection::vec((0_i64..6000, any::<bool>(), 0..40_u8), 1..200), every: bool,
    ) {
        let mut programme = Programme::new();
        programme.video_header();
        for (step, key, header) in steps {
            if header == 0 {
                programme.video_header();
            }
            programme.picture(key && every);
            programme.sound();
            // Mostly as pictures come, seldom very slowly.
            programme.millis += if step < 5000 { step / 100 } else { step };
        }
        for pair in programme.segments.windows(2) {
            let [first, second] = pair else { unreachable!("they are two") };
            prop_assert!((first.duration.as_millis() + 500) / 1000 <= TARGET_SECONDS);
            prop_assert!(first.duration >= BRIEFEST);
            prop_assert!(first.start + first.duration <= second.start.max(first.start + BRIEFEST));
            prop_assert_eq!(first.number + 1, second.number);
        }
    }
}
