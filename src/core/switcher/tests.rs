#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "tests, with numbers of their own making"
)]
//! The switcher's promises, on made-up sources stepped by hand.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use proptest::prelude::*;

mod takeable;

use super::*;

use crate::core::frame::{AacConfig, AvcConfig};

mod bent;

const TICK: i64 = 20_000;

fn at(micros: i64) -> Moment {
    Moment::from_start(Duration::from_micros(u64::try_from(micros).unwrap()))
}

fn ms(millis: i64) -> MediaTime {
    MediaTime::from_millis(millis)
}

fn avc() -> Arc<CodecConfig> {
    Arc::new(CodecConfig::Avc(AvcConfig::of_tests()))
}

fn aac(sample_rate: u32) -> Arc<CodecConfig> {
    Arc::new(CodecConfig::Aac(AacConfig { record: Bytes::new(), sample_rate, channels: 2, frame_samples: 1024 }))
}

fn slate() -> SlateLoop {
    slate_of("slate")
}

fn slate_of(text: &'static str) -> SlateLoop {
    SlateLoop {
        video: avc(),
        pictures: (0..60)
            .map(|at| SlatePicture { payload: Bytes::from_static(text.as_bytes()), keyframe: at == 0 })
            .collect(),
        picture_duration: MediaTime::from_micros(33_333),
        audio: aac(48_000),
        sounds: vec![Bytes::from_static(b"silence"); 94],
    }
}

fn settings(latency_ms: i64) -> SwitcherSettings {
    SwitcherSettings { latency: ms(latency_ms), horizon: ms(100), max_input_bytes: 20_000_000 }
}

/// A made-up encoder. Its payloads carry the display number of the picture, or the number of the frame of sound.
#[derive(Clone, Debug)]
struct Source {
    id: ConnectionId,
    fps: f64,
    /// Pictures from one IDR to the next.
    gop: u32,
    /// B-frames between two P-frames, without a pyramid.
    b_frames: u32,
    sample_rate: u32,
    video: bool,
    audio: bool,
    /// Start on the wall, and raw time stamp then.
    start: i64,
    raw: i64,
    /// Speed of its clock.
    rate: f64,
    /// Sound arrives so much earlier than the pictures.
    audio_ahead: i64,
    /// Size of one picture.
    size: usize,
    /// Milliseconds by which every picture is shown later than its reordering needs.
    composition: i64,
    /// Key frames but the first are I pictures in the place of a P picture: the B-frames after them are shown before them.
    open: bool,
}

impl Source {
    fn new(name: &str, start: i64) -> Self {
        Self {
            id: ConnectionId::new(name),
            fps: 30.0,
            gop: 60,
            b_frames: 0,
            sample_rate: 48_000,
            video: true,
            audio: true,
            start,
            raw: 0,
            rate: 1.0,
            audio_ahead: 0,
            size: 8,
            composition: 0,
            open: false,
        }
    }

    /// All frames with their arrival in microseconds, from the start up to `until`, arrivals in order.
    fn frames(&self, until: i64) -> Vec<(i64, Frame)> {
        let mut frames = Vec::new();
        let (video, audio) = (avc(), aac(self.sample_rate));
        let seconds = (until - self.start).max(0) as f64 / 1e6;
        let wrap = |millis: f64| MediaTime::from_millis((millis.round() as i64 + self.raw).rem_euclid(1 << 32));
        if self.video {
            let delay = if self.b_frames > 0 { 1.0 } else { 0.0 };
            let count = (seconds * self.fps * self.rate) as u32;
            for decode in 0..count {
                let (display, keyframe) = if self.open {
                    let (display, _) = display_number(decode, u32::MAX, self.b_frames);
                    (display, display % self.gop == 0)
                } else {
                    let in_gop = decode % self.gop;
                    let (display, keyframe) = display_number(in_gop, self.gop, self.b_frames);
                    (decode - in_gop + display, keyframe)
                };
                let dts_ms = f64::from(decode) * 1000.0 / self.fps;
                let pts_ms = (f64::from(display) + delay) * 1000.0 / self.fps;
                let mut payload = vec![0; self.size.max(8)];
                payload[..4].copy_from_slice(&display.to_be_bytes());
                frames.push((
                    self.start + (dts_ms * 1000.0 / self.rate) as i64,
                    Frame {
                        track: Track::Video,
                        dts: wrap(dts_ms),
                        pts: wrap(dts_ms) + ms((pts_ms - dts_ms).round() as i64 + self.composition),
                        keyframe,
                        payload: payload.into(),
                        config: video.clone(),
                    },
                ));
            }
        }
        if self.audio {
            let count = (seconds * self.rate * f64::from(self.sample_rate) / 1024.0) as u32;
            for number in 0..count {
                let dts_ms = f64::from(number) * 1024.0 * 1000.0 / f64::from(self.sample_rate);
                let arrival = self.start + (dts_ms * 1000.0 / self.rate) as i64 - self.audio_ahead;
                frames.push((
                    arrival.max(self.start),
                    Frame {
                        track: Track::Audio,
                        dts: wrap(dts_ms),
                        pts: wrap(dts_ms),
                        keyframe: true,
                        payload: Bytes::copy_from_slice(&number.to_be_bytes()),
                        config: audio.clone(),
                    },
                ));
            }
        }
        frames.sort_by_key(|(arrival, frame)| (*arrival, frame.dts));
        frames
    }

    /// Presentation time in seconds from its start of what a payload shows or sounds.
    fn shown_at(&self, track: Track, payload: &Bytes) -> f64 {
        let number = f64::from(u32::from_be_bytes(payload[..4].try_into().unwrap()));
        match track {
            Track::Video => {
                (number + if self.b_frames > 0 { 1.0 } else { 0.0 }) / self.fps + self.composition as f64 / 1000.0
            }
            Track::Audio => number * 1024.0 / f64::from(self.sample_rate),
        }
    }
}

/// Decode order I P B B P B B within a closed GOP -> display number, and whether it is the IDR.
fn display_number(in_gop: u32, gop: u32, b_frames: u32) -> (u32, bool) {
    if in_gop == 0 {
        return (0, true);
    }
    let group = b_frames + 1;
    let (number, place) = ((in_gop - 1) / group, (in_gop - 1) % group);
    let first = 1 + number * group;
    let size = group.min(gop - first);
    let display = if place == 0 { first + size - 1 } else { first + place - 1 };
    (display, false)
}

/// What a test lets happen.
#[derive(Clone, Debug)]
enum Act {
    Cue(usize),
    End(usize),
    Take { source: usize, urgency: Urgency },
    ExpectPictures(usize),
    Clear,
    Force(bool),
    Slate(&'static str),
}

/// By how many numbers pictures that follow each other in decoding order may differ.
const MOST_REORDERED: u32 = 8;

struct Run {
    sources: Vec<Source>,
    out: Vec<ProgramFrame>,
    events: Vec<(i64, SwitchEvent)>,
    /// When each frame was decided.
    decided: Vec<i64>,
    most_ring_bytes: usize,
    /// Pictures that never arrived: their source and their number.
    lost: BTreeSet<(usize, u32)>,
    /// Sources of which pictures were late or lost: their last one may stand while the sound goes on.
    paused: BTreeSet<usize>,
}

/// The number of a picture, in the order in which its source shows them.
fn number_of(frame: &Frame) -> u32 {
    u32::from_be_bytes(frame.payload[..4].try_into().unwrap())
}

/// Runs to `until`. `stall` moves or drops (None) an arrival.
fn run(
    switcher: &mut Switcher,
    sources: Vec<Source>,
    mut acts: Vec<(i64, Act)>,
    until: i64,
    stall: impl Fn(usize, i64, &Frame) -> Option<i64>,
) -> Run {
    let mut arrivals: Vec<(i64, usize, Frame)> = Vec::new();
    let (mut lost, mut paused) = (BTreeSet::new(), BTreeSet::new());
    for (index, source) in sources.iter().enumerate() {
        let mut broken = false;
        for (on_time, frame) in source.frames(until) {
            let mut arrival = stall(index, on_time, &frame);
            if frame.track == Track::Video {
                // As the tap does: without the pictures before them these are of no use.
                broken = arrival.is_none() || (broken && !frame.keyframe);
                arrival = arrival.filter(|_| !broken);
            }
            if frame.track == Track::Video && arrival != Some(on_time) {
                paused.insert(index);
            }
            if let Some(arrival) = arrival {
                arrivals.push((arrival, index, frame));
            } else if frame.track == Track::Video {
                lost.insert((index, number_of(&frame)));
            }
        }
    }
    arrivals.sort_by_key(|(arrival, ..)| *arrival);
    acts.sort_by_key(|(when, _)| *when);
    let (mut out, mut events, mut decided, mut most_ring_bytes) = (Vec::new(), Vec::new(), Vec::new(), 0);
    let (mut arrivals, mut acts) = (arrivals.into_iter().peekable(), acts.into_iter().peekable());
    let mut takes = 0;
    let mut now = 0;
    while now < until {
        while let Some((_, act)) = acts.next_if(|(when, _)| *when <= now) {
            match act {
                Act::Cue(source) => switcher.cue(&sources[source].id),
                Act::End(source) => switcher.end(&sources[source].id),
                Act::Take { source, urgency } => {
                    takes += 1;
                    switcher.take(TakeId(takes), &sources[source].id, urgency, at(now));
                }
                Act::ExpectPictures(source) => switcher.expect_pictures(&sources[source].id),
                Act::Slate(text) => switcher.set_slate(slate_of(text)),
                Act::Clear => switcher.clear(),
                Act::Force(on) => switcher.force_slate(on),
            }
        }
        while let Some((arrival, index, frame)) = arrivals.next_if(|(arrival, ..)| *arrival <= now) {
            switcher.push(&sources[index].id, frame, at(arrival));
        }
        let mut new_events = Vec::new();
        switcher.poll(at(now), &mut out, &mut new_events);
        events.extend(new_events.into_iter().map(|event| (now, event)));
        decided.resize(out.len(), now);
        most_ring_bytes = most_ring_bytes.max(switcher.ring_bytes());
        now += TICK;
    }
    Run { sources, out, events, decided, most_ring_bytes, lost, paused }
}

impl Run {
    fn track(&self, track: Track) -> impl Iterator<Item = &ProgramFrame> {
        self.out.iter().filter(move |frame| frame.frame.track == track)
    }

    fn source(&self, frame: &ProgramFrame) -> Option<&Source> {
        match &frame.source {
            super::Source::Slate => None,
            super::Source::Input(id) => self.sources.iter().find(|source| source.id == *id),
        }
    }

    fn period(&self, frame: &ProgramFrame) -> f64 {
        self.source(frame).map_or(1000.0 / 30.0, |source| 1000.0 / source.fps)
    }

    /// How long a picture may stand beyond its time, in milliseconds.
    fn still(&self, frame: &ProgramFrame) -> f64 {
        let Some(source) = self.source(frame) else { return 0.0 };
        // A stream that ends inside an open group: whether pictures that are shown sooner are still to come is not known, and the
        // slate comes as much later as they would have taken.
        let open = if source.open { f64::from(source.b_frames) * 1000.0 / source.fps } else { 0.0 };
        if !source.audio {
            return open;
        }
        let index = self.sources.iter().position(|other| other.id == source.id).unwrap();
        // The pictures of a slow clock are late in the end, too.
        if self.paused.contains(&index) || source.rate < 1.0 {
            return 10_000.0;
        }
        // Of a source whose sound comes before its pictures there is sound at hand when the next picture is only just late.
        open.max(source.audio_ahead as f64 / 1000.0)
    }

    /// Everything that must hold whatever happens.
    fn assert_sound(&self) {
        // Nothing is decided after it is due.
        for (frame, decided) in self.out.iter().zip(&self.decided) {
            assert!(
                frame.frame.dts.as_micros() >= *decided,
                "late by {} us: {frame:?}",
                decided - frame.frame.dts.as_micros()
            );
        }
        let video: Vec<_> = self.track(Track::Video).collect();
        let mut shown: Vec<_> = video.iter().map(|frame| frame.frame.pts).collect();
        let mut latest = MediaTime::from_micros(i64::MIN / 2);
        for pair in video.windows(2) {
            assert!(pair[1].frame.dts > pair[0].frame.dts, "runs back: {pair:?}");
            assert!(pair[1].frame.dts <= pair[1].frame.pts, "shown before it is decoded: {pair:?}");
            latest = latest.max(pair[0].frame.pts);
            if pair[1].splice {
                assert!(pair[1].frame.keyframe, "enters at no IDR");
                let step = (pair[1].frame.pts - latest).as_micros() as f64 / 1000.0;
                let slower = self.period(pair[0]).max(self.period(pair[1]));
                assert!(step <= slower * 1.5 + 1.5 + self.still(pair[0]), "step of {step} ms at {pair:?}");
                let step = (pair[1].frame.dts - pair[0].frame.dts).as_micros() as f64 / 1000.0;
                assert!(step <= slower * 1.5 + 1.5 + self.still(pair[0]), "decoding steps by {step} ms at {pair:?}");
                // In presentation, everything before the cut is shown before everything after.
                assert!(latest < pair[1].frame.pts, "{pair:?}");
            }
        }
        shown.sort();
        for pair in shown.windows(2) {
            assert!(pair[1] > pair[0], "two pictures at {:?}", pair[0]);
        }
        // Each run of one source shows its pictures without a hole, from an IDR on.
        let mut run: Vec<&ProgramFrame> = Vec::new();
        for frame in &video {
            if frame.splice {
                self.assert_whole(&run);
                run.clear();
            }
            run.push(frame);
        }
        // The last run may be cut by the end of the test in the middle of a group.
        let audio: Vec<_> = self.track(Track::Audio).collect();
        for pair in audio.windows(2) {
            assert!(pair[1].frame.dts > pair[0].frame.dts, "sound runs back: {pair:?}");
            let step = (pair[1].frame.dts - pair[0].frame.dts).as_micros();
            assert!(step <= 150_000, "hole of {step} us in the sound: {pair:?}");
        }
    }

    fn assert_whole(&self, run: &[&ProgramFrame]) {
        let Some(source) = run.first().and_then(|frame| self.source(frame)) else {
            return;
        };
        let numbers: BTreeMap<u32, MediaTime> =
            run.iter().map(|frame| (number_of(&frame.frame), frame.frame.pts)).collect();
        assert_eq!(numbers.len(), run.len(), "a picture twice");
        let (first, last) = (*numbers.keys().next().unwrap(), *numbers.keys().last().unwrap());
        let index = self.sources.iter().position(|other| other.id == source.id).unwrap();
        for missing in (first..=last).filter(|number| !numbers.contains_key(number)) {
            let id = &source.id;
            // A source that comes out of a stall in one burst and has lost whole groups by then jumps over them, and the run goes on.
            assert!(
                self.lost.contains(&(index, missing)),
                "pictures {first} to {last} of {id:?} have a hole at {missing}"
            );
        }
        for pair in run.windows(2).filter(|pair| number_of(&pair[1].frame) > number_of(&pair[0].frame) + MOST_REORDERED)
        {
            assert!(pair[1].frame.keyframe, "goes on behind a hole at no IDR: {pair:?}");
            let step = (pair[1].frame.dts - pair[0].frame.dts).as_micros() as f64 / 1000.0;
            // A hole up to so long is waited out; behind a longer one the slate is shown, and the run is over.
            let longest = 500.0 + self.still(pair[0]) + self.period(pair[0]) * 1.5 + 1.5;
            assert!(step <= longest, "a hole of {step} ms: {pair:?}");
        }
        let mut times: Vec<_> = numbers.values().copied().collect();
        times.sort();
        assert!(times.iter().eq(numbers.values()), "shown out of order");
    }

    /// Largest difference between where sound and where pictures of `source` lie, in milliseconds, in `from..to`.
    fn lip_sync(&self, source: usize, from: i64, to: i64) -> f64 {
        let source = &self.sources[source];
        let offset = |track| {
            let offsets: Vec<f64> = self
                .track(track)
                .filter(|frame| frame.source == super::Source::Input(source.id.clone()))
                .filter(|frame| (from..to).contains(&frame.frame.dts.as_micros()))
                .map(|frame| {
                    frame.frame.pts.as_micros() as f64 / 1000.0 - source.shown_at(track, &frame.frame.payload) * 1000.0
                })
                .collect();
            assert!(!offsets.is_empty(), "no {track:?}");
            (offsets.iter().copied().fold(f64::MAX, f64::min), offsets.iter().copied().fold(f64::MIN, f64::max))
        };
        let (video, audio) = (offset(Track::Video), offset(Track::Audio));
        (video.1 - audio.0).abs().max((audio.1 - video.0).abs())
    }

    fn share(&self, track: Track, source: Option<usize>, from: i64, to: i64) -> f64 {
        let wanted =
            source.map_or(super::Source::Slate, |source| super::Source::Input(self.sources[source].id.clone()));
        let all: Vec<_> = self.track(track).filter(|frame| (from..to).contains(&frame.frame.dts.as_micros())).collect();
        all.iter().filter(|frame| frame.source == wanted).count() as f64 / all.len().max(1) as f64
    }
}

fn two(a: Source, b: Source) -> (Switcher, Vec<Source>) {
    (Switcher::new(settings(1500), slate(), Moment::ZERO), vec![a, b])
}

const SECOND: i64 = 1_000_000;

#[test]
fn slate_alone_is_steady() {
    let mut switcher = Switcher::new(settings(1500), slate(), Moment::ZERO);
    let run = run(&mut switcher, vec![], vec![], 5 * SECOND, |_, arrival, _| Some(arrival));
    run.assert_sound();
    assert!(run.track(Track::Video).count() >= 150);
    assert!(run.track(Track::Audio).count() >= 234);
}

#[test]
fn another_slate_takes_over_at_its_key_frame_seen_or_not() {
    let (mut switcher, sources) = two(Source::new("a", 0), Source::new("b", 0));
    let acts = vec![
        (SECOND / 2, Act::Slate("other")),
        (0, Act::Cue(0)),
        (4 * SECOND, Act::Take { source: 0, urgency: Urgency::Planned }),
        (9 * SECOND, Act::Slate("third")),
        (12 * SECOND, Act::Clear),
    ];
    let run = run(&mut switcher, sources, acts, 16 * SECOND, |_, arrival, _| Some(arrival));
    run.assert_sound();
    let mut seen: Vec<_> = Vec::new();
    for frame in run.track(Track::Video).filter(|frame| frame.source == super::Source::Slate) {
        if seen.last() != Some(&frame.frame.payload) {
            assert!(frame.splice && frame.frame.keyframe, "{frame:?}");
            seen.push(frame.frame.payload.clone());
        }
    }
    assert_eq!(seen, ["slate", "other", "third"]);
}

#[test]
fn planned_take_cuts_at_the_next_key_frame_without_a_gap() {
    let a = Source { gop: 30, ..Source::new("a", 100_000) };
    let b = Source { fps: 25.0, b_frames: 2, gop: 50, sample_rate: 44_100, ..Source::new("b", 333_000) };
    let (mut switcher, sources) = two(a, b);
    let acts = vec![
        (0, Act::Cue(0)),
        (0, Act::Cue(1)),
        (SECOND, Act::Take { source: 0, urgency: Urgency::Planned }),
        (8 * SECOND, Act::Take { source: 1, urgency: Urgency::Planned }),
        (14 * SECOND, Act::Take { source: 0, urgency: Urgency::Planned }),
    ];
    let run = run(&mut switcher, sources, acts, 20 * SECOND, |_, arrival, _| Some(arrival));
    run.assert_sound();
    assert_eq!(run.events.iter().filter(|(_, event)| matches!(event, SwitchEvent::Taken(_))).count(), 3);
    assert!(!run.events.iter().any(|(_, event)| matches!(event, SwitchEvent::Stalled(_))), "{:?}", run.events);
    assert!(run.share(Track::Video, None, 4 * SECOND, 20 * SECOND) < f64::EPSILON, "no slate in between");
    assert!(run.lip_sync(0, 4 * SECOND, 8 * SECOND) < 30.0);
    assert!(run.lip_sync(1, 11 * SECOND, 14 * SECOND) < 30.0);
    assert!(run.lip_sync(0, 17 * SECOND, 20 * SECOND) < 30.0);
}

#[test]
fn dead_input_is_replaced_at_once_by_a_cued_one() {
    let (mut switcher, sources) = two(Source::new("a", 0), Source { fps: 25.0, b_frames: 2, ..Source::new("b", 0) });
    let acts = vec![
        (0, Act::Cue(0)),
        (0, Act::Cue(1)),
        (SECOND, Act::Take { source: 0, urgency: Urgency::Planned }),
        (7 * SECOND, Act::End(0)),
        (7 * SECOND, Act::Take { source: 1, urgency: Urgency::Now }),
    ];
    let run = run(&mut switcher, sources, acts, 14 * SECOND, |source, arrival, _| {
        (source == 1 || arrival < 7 * SECOND).then_some(arrival)
    });
    run.assert_sound();
    assert!(run.share(Track::Video, None, 4 * SECOND, 14 * SECOND) < f64::EPSILON);
    assert!(run.share(Track::Video, Some(1), 9 * SECOND, 14 * SECOND) > 0.99);
}

#[test]
fn short_stall_is_never_seen() {
    let (mut switcher, sources) = two(Source::new("a", 0), Source::new("b", 0));
    let acts = vec![(0, Act::Cue(0)), (SECOND, Act::Take { source: 0, urgency: Urgency::Planned })];
    let stall = |_: usize, arrival: i64, _: &Frame| {
        Some(if (6 * SECOND..7_300_000).contains(&arrival) { 7_300_000 } else { arrival })
    };
    let run = run(&mut switcher, sources, acts, 12 * SECOND, stall);
    run.assert_sound();
    assert!(run.share(Track::Video, Some(0), 4 * SECOND, 12 * SECOND) > 0.999);
    assert!(run.share(Track::Audio, Some(0), 4 * SECOND, 12 * SECOND) > 0.999);
}

#[test]
fn long_stall_is_filled_and_the_input_returns_at_its_next_idr() {
    let (mut switcher, sources) = two(Source { b_frames: 2, ..Source::new("a", 0) }, Source::new("b", 0));
    let acts = vec![(0, Act::Cue(0)), (SECOND, Act::Take { source: 0, urgency: Urgency::Planned })];
    // A stopped process that goes on: everything of the stall comes in one burst.
    let stall = |_: usize, arrival: i64, _: &Frame| {
        Some(if (6 * SECOND..16 * SECOND).contains(&arrival) { 16 * SECOND } else { arrival })
    };
    let run = run(&mut switcher, sources, acts, 26 * SECOND, stall);
    run.assert_sound();
    assert!(run.share(Track::Video, None, 8 * SECOND, 16 * SECOND) > 0.99);
    assert!(run.share(Track::Video, Some(0), 21 * SECOND, 26 * SECOND) > 0.99, "{:?}", run.events);
    assert!(run.share(Track::Audio, Some(0), 21 * SECOND, 26 * SECOND) > 0.99);
    assert!(run.lip_sync(0, 21 * SECOND, 26 * SECOND) < 30.0);
    // The lag of the stall is not kept.
    let last = run.track(Track::Video).last().unwrap();
    let late = last.frame.pts.as_micros() as f64 / 1e6 - run.sources[0].shown_at(Track::Video, &last.frame.payload);
    assert!(late < 2.0, "{late}");
    let kinds: Vec<_> = run.events.iter().map(|(_, event)| event).collect();
    assert!(
        matches!(kinds[..], [SwitchEvent::Taken(_), SwitchEvent::Stalled(_), SwitchEvent::Recovered(_)]),
        "{kinds:?}"
    );
}

/// An encoder whose line is frozen throws pictures away and keeps the sound.
#[test]
fn pictures_lost_in_a_freeze_leave_sound_and_picture_in_step() {
    let (mut switcher, sources) = two(Source { b_frames: 2, ..Source::new("a", 0) }, Source::new("b", 0));
    let acts = vec![(0, Act::Cue(0)), (SECOND, Act::Take { source: 0, urgency: Urgency::Planned })];
    let frozen = 6 * SECOND..12 * SECOND;
    let stall = |_: usize, arrival: i64, frame: &Frame| {
        if !frozen.contains(&arrival) {
            return Some(arrival);
        }
        // What was on its way comes first.
        (frame.track == Track::Audio || arrival < frozen.start + SECOND / 2).then_some(frozen.end)
    };
    let run = run(&mut switcher, sources, acts, 26 * SECOND, stall);
    run.assert_sound();
    assert!(run.share(Track::Video, Some(0), 18 * SECOND, 26 * SECOND) > 0.99, "{:?}", run.events);
    assert!(run.lip_sync(0, 18 * SECOND, 26 * SECOND) < 30.0, "{}", run.lip_sync(0, 18 * SECOND, 26 * SECOND));
}

#[test]
fn sound_alone_that_falls_silent_has_stalled() {
    let (mut switcher, sources) = two(Source { video: false, ..Source::new("a", 0) }, Source::new("b", 0));
    let acts = vec![(0, Act::Cue(0)), (3 * SECOND, Act::Take { source: 0, urgency: Urgency::Planned })];
    let run = run(&mut switcher, sources, acts, 14 * SECOND, |_, arrival, _| (arrival < 8 * SECOND).then_some(arrival));
    run.assert_sound();
    let stalled = run.events.iter().find(|(_, event)| matches!(event, SwitchEvent::Stalled(_)));
    let (at, _) = stalled.expect("it is told");
    assert!((8 * SECOND..11 * SECOND).contains(at), "{at}");
}

#[test]
fn picture_that_fails_leaves_the_sound_on_and_comes_back_in_step() {
    let (mut switcher, sources) = two(Source::new("a", 0), Source::new("b", 0));
    let acts = vec![(0, Act::Cue(0)), (SECOND, Act::Take { source: 0, urgency: Urgency::Planned })];
    let stall = |_: usize, arrival: i64, frame: &Frame| {
        (frame.track == Track::Audio || !(6 * SECOND..21 * SECOND).contains(&arrival)).then_some(arrival)
    };
    let run = run(&mut switcher, sources, acts, 30 * SECOND, stall);
    run.assert_sound();
    assert!(run.share(Track::Audio, Some(0), 4 * SECOND, 30 * SECOND) > 0.999);
    // It may be a still picture for so long.
    assert!(!run.track(Track::Video).any(|frame| (8 * SECOND..17 * SECOND).contains(&frame.frame.dts.as_micros())));
    assert!(run.share(Track::Video, None, 17_700_000, 22 * SECOND) > 0.99);
    assert!(run.share(Track::Video, Some(0), 26 * SECOND, 30 * SECOND) > 0.99);
    assert!(run.lip_sync(0, 26 * SECOND, 30 * SECOND) < 30.0);
}

#[test]
fn sound_that_fails_is_silence_under_the_picture_and_comes_back_in_step() {
    let (mut switcher, sources) = two(Source::new("a", 0), Source::new("b", 0));
    let acts = vec![(0, Act::Cue(0)), (SECOND, Act::Take { source: 0, urgency: Urgency::Planned })];
    let stall = |_: usize, arrival: i64, frame: &Frame| {
        (frame.track == Track::Video || !(6 * SECOND..12 * SECOND).contains(&arrival)).then_some(arrival)
    };
    let run = run(&mut switcher, sources, acts, 20 * SECOND, stall);
    run.assert_sound();
    assert!(run.share(Track::Video, Some(0), 4 * SECOND, 20 * SECOND) > 0.999);
    assert!(run.share(Track::Audio, None, 8 * SECOND, 13 * SECOND) > 0.99);
    assert!(run.share(Track::Audio, Some(0), 16 * SECOND, 20 * SECOND) > 0.99);
    assert!(run.lip_sync(0, 16 * SECOND, 20 * SECOND) < 30.0);
    assert!(run.events.iter().any(|(_, event)| matches!(event, SwitchEvent::Recovered(_))));
}

#[test]
fn wrap_of_the_time_stamps_is_not_seen() {
    for raw in [0xFF_FFFF - 5_000, (1 << 32) - 5_000] {
        let (mut switcher, sources) = two(Source { raw, b_frames: 2, ..Source::new("a", 0) }, Source::new("b", 0));
        let acts = vec![(0, Act::Cue(0)), (SECOND, Act::Take { source: 0, urgency: Urgency::Planned })];
        let run = run(&mut switcher, sources, acts, 12 * SECOND, |_, arrival, _| Some(arrival));
        run.assert_sound();
        assert!(run.share(Track::Video, Some(0), 4 * SECOND, 12 * SECOND) > 0.999);
        assert!(run.lip_sync(0, 4 * SECOND, 12 * SECOND) < 30.0);
    }
}

#[test]
fn clock_that_jumps_or_restarts_is_continued() {
    for jump in [3_600_000, -3_000, -1_000_000, 5_000, 60_000] {
        let (mut switcher, mut sources) = two(Source { b_frames: 2, ..Source::new("a", 0) }, Source::new("b", 0));
        let acts = vec![(0, Act::Cue(0)), (SECOND, Act::Take { source: 0, urgency: Urgency::Planned })];
        // Two sources under one name: the second one's clock stands elsewhere.
        sources[0].raw = 10_000_000;
        let mut jumped = Switcher::new(settings(1500), slate(), Moment::ZERO);
        std::mem::swap(&mut jumped, &mut switcher);
        let mut out = Vec::new();
        let mut events = Vec::new();
        let mut frames: Vec<_> = sources[0].frames(20 * SECOND);
        for (arrival, frame) in &mut frames {
            if *arrival >= 8 * SECOND {
                frame.dts = MediaTime::from_millis((frame.dts.as_millis() + jump).rem_euclid(1 << 32));
                frame.pts = MediaTime::from_millis((frame.pts.as_millis() + jump).rem_euclid(1 << 32));
            }
        }
        let mut frames = frames.into_iter().peekable();
        let mut acts = acts.into_iter().peekable();
        let mut now = 0;
        let mut decided = Vec::new();
        while now < 20 * SECOND {
            while let Some((_, act)) = acts.next_if(|(when, _)| *when <= now) {
                match act {
                    Act::Cue(_) => jumped.cue(&sources[0].id),
                    _ => jumped.take(TakeId(1), &sources[0].id, Urgency::Planned, at(now)),
                }
            }
            while let Some((arrival, frame)) = frames.next_if(|(arrival, _)| *arrival <= now) {
                jumped.push(&sources[0].id, frame, at(arrival));
            }
            jumped.poll(at(now), &mut out, &mut events);
            decided.resize(out.len(), now);
            now += TICK;
        }
        let run = Run {
            sources,
            out,
            events: vec![],
            decided,
            most_ring_bytes: 0,
            lost: BTreeSet::new(),
            paused: BTreeSet::new(),
        };
        run.assert_sound();
        assert!(run.share(Track::Video, Some(0), 4 * SECOND, 20 * SECOND) > 0.99, "jump of {jump} ms: {events:?}");
        assert!(run.share(Track::Audio, Some(0), 4 * SECOND, 20 * SECOND) > 0.99, "jump of {jump} ms");
        assert!(
            run.lip_sync(0, 13 * SECOND, 20 * SECOND) < 45.0,
            "jump of {jump} ms: {}",
            run.lip_sync(0, 13 * SECOND, 20 * SECOND)
        );
    }
}

#[test]
fn clock_200_ppm_fast_is_followed_for_ten_minutes() {
    for rate in [1.0002, 0.9998] {
        let (mut switcher, sources) = two(Source { rate, ..Source::new("a", 0) }, Source::new("b", 0));
        let acts = vec![(0, Act::Cue(0)), (SECOND, Act::Take { source: 0, urgency: Urgency::Planned })];
        let run = run(&mut switcher, sources, acts, 600 * SECOND, |_, arrival, _| Some(arrival));
        run.assert_sound();
        assert!(run.share(Track::Video, Some(0), 4 * SECOND, 600 * SECOND) > 0.9999, "{:?}", run.events);
        assert!(run.lip_sync(0, 597 * SECOND, 600 * SECOND) < 30.0);
        // It still lies a buffer behind live: 120 ms of drift were followed.
        let last = run.track(Track::Video).last().unwrap();
        let shown = run.sources[0].shown_at(Track::Video, &last.frame.payload) / rate;
        let late = last.frame.dts.as_micros() as f64 / 1e6 - shown;
        assert!((late - 1.5).abs() < 0.06, "{late}");
    }
}

#[test]
fn source_that_runs_fast_or_slow_neither_fills_memory_nor_breaks() {
    for rate in [1.1, 0.9] {
        let (mut switcher, sources) = two(Source { rate, size: 20_000, ..Source::new("a", 0) }, Source::new("b", 0));
        let acts = vec![(0, Act::Cue(0)), (SECOND, Act::Take { source: 0, urgency: Urgency::Planned })];
        let run = run(&mut switcher, sources, acts, 120 * SECOND, |_, arrival, _| Some(arrival));
        run.assert_sound();
        assert!(run.most_ring_bytes < 5_000_000, "{}", run.most_ring_bytes);
        let share = run.share(Track::Video, Some(0), 8 * SECOND, 120 * SECOND);
        assert!(share > if rate > 1.0 { 0.99 } else { 0.6 }, "{rate}: {share}, {:?}", run.events);
    }
}

#[test]
fn sound_only_is_heard_under_the_slate() {
    let (mut switcher, sources) = two(Source { video: false, ..Source::new("a", 0) }, Source::new("b", 0));
    let acts = vec![
        (0, Act::Cue(0)),
        (0, Act::Cue(1)),
        (3 * SECOND, Act::Take { source: 0, urgency: Urgency::Planned }),
        (8 * SECOND, Act::Take { source: 1, urgency: Urgency::Planned }),
        (13 * SECOND, Act::Take { source: 0, urgency: Urgency::Planned }),
    ];
    let run = run(&mut switcher, sources, acts, 18 * SECOND, |_, arrival, _| Some(arrival));
    run.assert_sound();
    assert!(run.share(Track::Audio, Some(0), 5 * SECOND, 8 * SECOND) > 0.99);
    assert!(run.share(Track::Video, None, 5 * SECOND, 8 * SECOND) > 0.99);
    assert!(run.share(Track::Video, Some(1), 11 * SECOND, 13 * SECOND) > 0.99);
    assert!(run.share(Track::Video, None, 14 * SECOND, 18 * SECOND) > 0.99);
    assert!(!run.events.iter().any(|(_, event)| matches!(event, SwitchEvent::Stalled(id) if *id == run.sources[0].id)));
}

#[test]
fn picture_only_has_silence() {
    let (mut switcher, sources) = two(Source { audio: false, ..Source::new("a", 0) }, Source::new("b", 0));
    let acts = vec![(0, Act::Cue(0)), (SECOND, Act::Take { source: 0, urgency: Urgency::Planned })];
    let run = run(&mut switcher, sources, acts, 10 * SECOND, |_, arrival, _| Some(arrival));
    run.assert_sound();
    assert!(run.share(Track::Video, Some(0), 4 * SECOND, 10 * SECOND) > 0.99);
    assert!((run.share(Track::Audio, None, 0, 10 * SECOND) - 1.0).abs() < f64::EPSILON);
    assert!(!run.events.iter().any(|(_, event)| matches!(event, SwitchEvent::Stalled(_))));
}

#[test]
fn sound_that_comes_seconds_ahead_of_its_picture_stays_in_step() {
    let (mut switcher, sources) = two(Source { audio_ahead: 3 * SECOND, ..Source::new("a", 0) }, Source::new("b", 0));
    let acts = vec![(0, Act::Cue(0)), (SECOND, Act::Take { source: 0, urgency: Urgency::Planned })];
    let run = run(&mut switcher, sources, acts, 14 * SECOND, |_, arrival, _| Some(arrival));
    run.assert_sound();
    assert!(run.share(Track::Video, Some(0), 7 * SECOND, 12 * SECOND) > 0.99);
    assert!(run.share(Track::Audio, Some(0), 7 * SECOND, 12 * SECOND) > 0.99);
    assert!(run.lip_sync(0, 7 * SECOND, 12 * SECOND) < 30.0);
}

#[test]
fn forced_slate_covers_and_uncovers() {
    let (mut switcher, sources) = two(Source::new("a", 0), Source::new("b", 0));
    let acts = vec![
        (0, Act::Cue(0)),
        (SECOND, Act::Take { source: 0, urgency: Urgency::Planned }),
        (6 * SECOND, Act::Force(true)),
        (7 * SECOND, Act::Take { source: 1, urgency: Urgency::Now }),
        (10 * SECOND, Act::Force(false)),
    ];
    let run = run(&mut switcher, sources, acts, 18 * SECOND, |_, arrival, _| Some(arrival));
    run.assert_sound();
    assert!(run.share(Track::Video, None, 6_500_000, 10 * SECOND) > 0.99);
    assert!(run.share(Track::Audio, None, 6_500_000, 10 * SECOND) > 0.99);
    assert!(run.share(Track::Video, Some(1), 14 * SECOND, 18 * SECOND) > 0.99);
    assert_eq!(run.events.iter().filter(|(_, event)| matches!(event, SwitchEvent::Taken(_))).count(), 2);
}

#[test]
fn long_gop_is_taken_from_the_rings_past_when_it_must_be() {
    let (mut switcher, sources) = two(Source::new("a", 0), Source { gop: 240, ..Source::new("b", 0) });
    let acts = vec![
        (0, Act::Cue(0)),
        (0, Act::Cue(1)),
        (SECOND, Act::Take { source: 0, urgency: Urgency::Planned }),
        (13 * SECOND, Act::End(0)),
        (13 * SECOND, Act::Take { source: 1, urgency: Urgency::Now }),
    ];
    let run = run(&mut switcher, sources, acts, 30 * SECOND, |source, arrival, _| {
        (source == 1 || arrival < 13 * SECOND).then_some(arrival)
    });
    run.assert_sound();
    assert!(run.share(Track::Video, None, 4 * SECOND, 30 * SECOND) < 0.01);
    assert!(run.share(Track::Video, Some(1), 16 * SECOND, 30 * SECOND) > 0.99);
}

/// Cued in the middle of a GOP, an input's sound is there long before its first usable picture.
#[test]
fn input_cued_between_key_frames_is_entered_with_its_picture() {
    let (mut switcher, sources) = two(Source::new("a", 0), Source::new("b", 3 * SECOND));
    let acts = vec![
        (0, Act::Cue(0)),
        (SECOND, Act::Take { source: 0, urgency: Urgency::Planned }),
        (3 * SECOND, Act::Cue(1)),
        (4 * SECOND, Act::ExpectPictures(1)),
        (4 * SECOND, Act::Take { source: 1, urgency: Urgency::Now }),
    ];
    // The first GOP of the second source never comes this way.
    let run = run(&mut switcher, sources, acts, 12 * SECOND, |source, arrival, frame| {
        (source == 0 || frame.track == Track::Audio || arrival >= 5 * SECOND).then_some(arrival)
    });
    run.assert_sound();
    assert!(run.share(Track::Video, None, 4 * SECOND, 12 * SECOND) < f64::EPSILON);
    assert!(run.share(Track::Audio, None, 4 * SECOND, 12 * SECOND) < f64::EPSILON);
    assert!(run.share(Track::Video, Some(1), 8 * SECOND, 12 * SECOND) > 0.99);
}

/// A picture that says it is shown hours after its decoding would keep every picture after it waiting.
#[test]
fn hostile_composition_offset_does_not_hold_the_picture_up() {
    let (mut switcher, mut sources) = two(Source::new("a", 0), Source::new("b", 0));
    sources.truncate(1);
    let mut out = Vec::new();
    let mut frames = sources[0].frames(12 * SECOND);
    for (index, (arrival, frame)) in frames.iter_mut().enumerate() {
        if *arrival > 6 * SECOND && frame.track == Track::Video && index % 7 == 0 && !frame.keyframe {
            frame.pts = frame.dts + ms(8_000_000);
        }
    }
    let mut frames = frames.into_iter().peekable();
    let mut now = 0;
    switcher.cue(&sources[0].id);
    switcher.take(TakeId(1), &sources[0].id, Urgency::Planned, at(0));
    while now < 12 * SECOND {
        while let Some((arrival, frame)) = frames.next_if(|(arrival, _)| *arrival <= now) {
            switcher.push(&sources[0].id, frame, at(arrival));
        }
        switcher.poll(at(now), &mut out, &mut Vec::new());
        now += TICK;
    }
    let last = out.iter().rfind(|frame| frame.frame.track == Track::Video).unwrap();
    assert!(last.frame.dts.as_micros() > 11 * SECOND, "{last:?}");
    assert!(out.iter().all(|frame| frame.frame.pts.as_micros() < 14 * SECOND));
}

/// A flood of tiny frames fills no memory.
#[test]
fn flood_of_tiny_frames_is_bounded() {
    let (mut switcher, sources) = two(Source::new("a", 0), Source::new("b", 0));
    let mut frames = sources[0].frames(SECOND);
    frames.retain(|(_, frame)| frame.track == Track::Audio);
    let (_, frame) = frames.remove(0);
    switcher.cue(&sources[0].id);
    for number in 0..200_000 {
        let frame = Frame { dts: ms(number), pts: ms(number), ..frame.clone() };
        switcher.push(&sources[0].id, frame, at(number));
    }
    assert!(switcher.ring_bytes() <= 20_000_000);
    assert!(switcher.inputs[0].audio.len() <= 20_000_000 / 256);
}

#[test]
fn stream_without_idrs_is_never_entered() {
    let (mut switcher, sources) = two(Source::new("a", 0), Source::new("b", 0));
    let acts = vec![(0, Act::Cue(0)), (SECOND, Act::Take { source: 0, urgency: Urgency::Planned })];
    let mut stripped = sources.clone();
    stripped[0].gop = u32::MAX;
    let run = run(&mut switcher, stripped, acts, 8 * SECOND, |_, arrival, frame| {
        (!frame.keyframe || frame.track == Track::Audio).then_some(arrival)
    });
    run.assert_sound();
    assert!((run.share(Track::Video, None, 0, 8 * SECOND) - 1.0).abs() < f64::EPSILON);
}

mod delay;
mod turns;

fn any_source(name: &'static str) -> impl Strategy<Value = Source> {
    (
        prop::sample::select(vec![23.976, 24.0, 25.0, 29.97, 30.0, 50.0, 59.94, 60.0]),
        prop::sample::select(vec![15_u32, 30, 60, 100, 250, 600]),
        0_u32..4,
        prop::sample::select(vec![32_000_u32, 44_100, 48_000]),
        (0_i64..2_000_000, prop::sample::select(vec![0_i64, 0xFF_FFFF - 3_000, (1 << 32) - 4_000])),
        prop::sample::select(vec![1.0, 1.0, 1.0002, 0.9998, 1.05, 0.95]),
        prop::sample::select(vec![(true, true), (true, true), (true, true), (true, false), (false, true)]),
        prop::sample::select(vec![0_i64, 0, 500_000, 2_000_000]),
        (prop::sample::select(vec![0_i64, 0, 150, 400, -40]), any::<bool>()),
    )
        .prop_map(
            move |(fps, gop, b_frames, sample_rate, (start, raw), rate, tracks, audio_ahead, (composition, open))| {
                let (video, audio) = tracks;
                Source {
                    fps,
                    composition,
                    open: open && b_frames > 0,
                    // In whole groups, so that one begins with each key frame of an open GOP.
                    gop: if open { gop.next_multiple_of(b_frames + 1) } else { gop },
                    b_frames,
                    sample_rate,
                    video,
                    audio,
                    start,
                    raw,
                    rate,
                    audio_ahead,
                    ..Source::new(name, 0)
                }
            },
        )
}

fn any_urgency() -> impl Strategy<Value = Urgency> {
    any::<bool>().prop_map(|now| if now { Urgency::Now } else { Urgency::Planned })
}

fn any_act() -> impl Strategy<Value = Act> {
    prop_oneof![
        5 => (0_usize..3, any_urgency()).prop_map(|(source, urgency)| Act::Take { source, urgency }),
        2 => (0_usize..3).prop_map(Act::Cue),
        1 => (0_usize..3).prop_map(Act::End),
        1 => Just(Act::Clear),
        1 => any::<bool>().prop_map(Act::Force),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 500, ..ProptestConfig::default() })]

    /// Nothing runs back, no picture twice or missing, every cut at an IDR and a clean point, no long step, no hole in the sound:
    /// on any inputs, orders and stalls.
    #[test]
    fn promises_hold_on_any_sequence(
        a in any_source("a"),
        b in any_source("b"),
        c in any_source("c"),
        acts in prop::collection::vec((0_i64..40_000_000, any_act()), 1..16),
        stalls in prop::collection::vec((0_usize..3, 2_000_000_i64..38_000_000, 100_000_i64..12_000_000, any::<bool>(), 0_u8..3), 0..4),
        latency in prop::sample::select(vec![300_i64, 1500, 4000]),
    ) {
        let mut switcher = Switcher::new(settings(latency), slate(), Moment::ZERO);
        let mut acts = acts;
        acts.extend([(0, Act::Cue(0)), (0, Act::Cue(1)), (0, Act::Cue(2))]);
        let gop = |source: &Source| ((f64::from(source.gop) / source.fps / source.rate * 1e6) as i64, source.start - 1000);
        let gops = (gop(&a), gop(&b), gop(&c));
        let stall = |source: usize, arrival: i64, frame: &Frame| {
            let mut arrival = arrival;
            for (of, from, length, lost, track) in &stalls {
                // Pictures are lost from one IDR to another: what is lost elsewhere is a fault of the source's own.
                let gop = if source == 0 { gops.0 } else if source == 1 { gops.1 } else { gops.2 };
                let floor = |at: i64| (at - gop.1).max(0) / gop.0 * gop.0 + gop.1;
                let (from, until) = if *lost && frame.track == Track::Video { (floor(*from), floor(from + length)) } else { (*from, from + length) };
                let hit = *of == source && (from..until).contains(&arrival)
                    && (*track == 0 || (*track == 1) == (frame.track == Track::Video));
                if hit && *lost {
                    return None;
                }
                if hit {
                    arrival = until;
                }
            }
            Some(arrival)
        };
        let run = run(&mut switcher, vec![a, b, c], acts, 45 * SECOND, stall);
        run.assert_sound();
    }
}
