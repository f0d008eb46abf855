//! Sound in, sound out, judged by decoding what left.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "tests"
)]

use std::{collections::HashSet, f64::consts::TAU, sync::LazyLock};

use gstreamer as gst;
use gstreamer::prelude::*;

use super::{codec::rate_of, *};
use crate::{
    core::frame::ConnectionId,
    media::chain::{Chain, element},
};

/// Coded sound of one source.
struct Coded {
    config: Arc<CodecConfig>,
    packets: Vec<Bytes>,
    rate: u32,
}

/// A signal: what is heard at a time in seconds.
type Signal<'a> = &'a dyn Fn(f64) -> f64;

/// Encodes `seconds` of `signal`. The packet at index 1 begins at the signal's time zero.
fn code(rate: u32, channels: i32, seconds: f64, signal: Signal<'_>) -> Coded {
    gst::init().unwrap();
    let mask: u64 = if channels == 1 { 0 } else { 3 };
    let caps = gst::Caps::builder("audio/x-raw")
        .field("format", "F32LE")
        .field("layout", "interleaved")
        .field("rate", rate.cast_signed())
        .field("channels", channels)
        .field("channel-mask", gst::Bitmask::new(mask))
        .build();
    let encoder = element("avenc_aac").unwrap();
    encoder.set_property_from_str("bitrate", "128000");
    let chain = Chain::new("source", vec![encoder], &caps).unwrap();
    let mut packets = Vec::new();
    for block in 0..(seconds * f64::from(rate) / 1024.0) as usize + 2 {
        let mut bytes = Vec::new();
        for sample in 0..1024 {
            let value = signal((block * 1024 + sample) as f64 / f64::from(rate)) as f32;
            (0..channels).for_each(|_| bytes.extend_from_slice(&value.to_le_bytes()));
        }
        packets.extend(chain.push(gst::Buffer::from_mut_slice(bytes)).unwrap());
    }
    let caps = chain.caps().unwrap();
    let record: gst::Buffer = caps.structure(0).unwrap().get("codec_data").unwrap();
    let bytes = |buffer: &gst::Buffer| Bytes::copy_from_slice(buffer.map_readable().unwrap().as_slice());
    Coded {
        config: Arc::new(CodecConfig::Aac(AacConfig {
            record: bytes(&record),
            sample_rate: rate_of(&caps).unwrap(),
            channels: channels as u8,
            frame_samples: 1024,
        })),
        packets: packets.iter().map(bytes).collect(),
        rate,
    }
}

impl Coded {
    /// Programme frames; the signal's time zero is at `start` seconds, and times are rounded to `unit` microseconds.
    fn frames(&self, start: f64, unit: f64) -> Vec<ProgramFrame> {
        let frame = |(number, payload): (usize, &Bytes)| {
            let seconds = start + (number as f64 - 1.0) * 1024.0 / f64::from(self.rate);
            let time = MediaTime::from_micros(((seconds * 1e6 / unit).round() * unit) as i64);
            ProgramFrame {
                frame: Frame {
                    track: Track::Audio,
                    dts: time,
                    pts: time,
                    keyframe: true,
                    payload: payload.clone(),
                    config: self.config.clone(),
                },
                source: Source::Input(ConnectionId::new("a")),
                splice: number == 1,
            }
        };
        self.packets.iter().enumerate().skip(1).map(frame).collect()
    }
}

/// RTMP's unit of time.
const MILLISECOND: f64 = 1000.0;
/// As exact as programme time is.
const EXACT: f64 = 1.0;

fn tone(hertz: f64) -> impl Fn(f64) -> f64 {
    move |time| 0.5 * (time * hertz * TAU).sin()
}

/// A short click every quarter of a second, the first one at 0.125 s.
fn clicks(rate: u32) -> impl Fn(f64) -> f64 {
    move |time| {
        let sample = (time * f64::from(rate)).round() as u32;
        if (sample + rate / 8).is_multiple_of(rate / 4) { 0.9 } else { 0.0 }
    }
}

/// What a player hears.
struct Heard {
    /// When it begins, in seconds of programme time.
    start: f64,
    pcm: Vec<Stereo>,
}

fn run(house: &mut House, frames: &[ProgramFrame]) -> Vec<ProgramFrame> {
    let mut out = Vec::new();
    for frame in frames {
        house.push(frame, &mut out);
    }
    out
}

/// Decodes, and checks what must hold of everything that leaves.
fn hear(house: &House, out: &[ProgramFrame]) -> Heard {
    let config = house.config();
    let CodecConfig::Aac(aac) = &*config else { panic!("not AAC") };
    let mut decoder = Decoder::new(aac);
    let first = out.first().unwrap().frame.pts;
    let mut pcm = Vec::new();
    for (number, frame) in out.iter().enumerate() {
        assert!(Arc::ptr_eq(&frame.frame.config, &config));
        assert_eq!(frame.splice, number == 0);
        assert_eq!(frame.frame.pts, frame.frame.dts);
        let exact = number as f64 * 1024.0 / 0.048;
        assert!(
            ((frame.frame.pts - first).as_micros() as f64 - exact).abs() <= 1.0,
            "frame {number} is not on the clock"
        );
        let (samples, rate, fault) = decoder.decode(&frame.frame.payload);
        assert_eq!((samples.len(), rate, fault), (1024, 48_000, None));
        pcm.extend_from_slice(samples);
    }
    Heard { start: first.as_micros() as f64 / 1e6, pcm }
}

impl Heard {
    fn between(&self, from: f64, to: f64) -> &[Stereo] {
        let at = |time: f64| ((time - self.start) * 48_000.0).round() as usize;
        &self.pcm[at(from)..at(to)]
    }

    fn level(&self, from: f64, to: f64) -> f64 {
        let samples = self.between(from, to);
        (samples.iter().map(|[left, _]| f64::from(left * left)).sum::<f64>() / samples.len() as f64).sqrt()
    }

    /// Frequency by upward zero crossings, on both channels.
    fn pitch(&self, from: f64, to: f64) -> [f64; 2] {
        [0, 1].map(|channel| {
            let samples: Vec<f64> = self.between(from, to).iter().map(|sample| f64::from(sample[channel])).collect();
            let crossings: Vec<f64> = samples
                .windows(2)
                .enumerate()
                .filter(|(_, pair)| pair[0] < 0.0 && pair[1] >= 0.0)
                .map(|(index, pair)| index as f64 + pair[0] / (pair[0] - pair[1]))
                .collect();
            (crossings.len() - 1) as f64 * 48_000.0 / (crossings.last().unwrap() - crossings.first().unwrap())
        })
    }

    /// The time of the loudest sample.
    fn peak(&self, from: f64, to: f64) -> f64 {
        let samples = self.between(from, to);
        let loudest = |a: &(usize, &Stereo), b: &(usize, &Stereo)| a.1[0].abs().total_cmp(&b.1[0].abs());
        let (index, sample) = samples.iter().enumerate().max_by(loudest).unwrap();
        assert!(sample[0].abs() > 0.2, "no click at {from}: {sample:?}");
        from + index as f64 / 48_000.0
    }

    fn end(&self) -> f64 {
        self.start + self.pcm.len() as f64 / 48_000.0
    }
}

fn assert_pitch(heard: &Heard, from: f64, to: f64, hertz: f64) {
    for pitch in heard.pitch(from, to) {
        assert!((pitch - hertz).abs() < hertz * 0.000_5, "{pitch} Hz instead of {hertz} from {from} to {to}");
    }
    let level = heard.level(from, to);
    assert!((level - 0.5 / 2_f64.sqrt()).abs() < 0.03, "level {level} from {from} to {to}");
}

#[test]
fn every_element_exists() {
    gst::init().unwrap();
    for name in ELEMENTS.iter().chain(&["avenc_aac"]) {
        assert!(gst::ElementFactory::find(name).is_some(), "{name}");
    }
}

#[test]
fn a_tone_keeps_its_pitch_and_its_length_at_every_rate() {
    for (rate, channels) in [(44_100, 1), (44_100, 2), (48_000, 2), (32_000, 2), (22_050, 1), (96_000, 2), (8_000, 1)] {
        let coded = code(rate, channels, 4.0, &tone(440.0));
        let mut house = House::new().unwrap();
        let out = run(&mut house, &coded.frames(10.0, MILLISECOND));
        let heard = hear(&house, &out);
        assert!((heard.start - 10.0).abs() < 0.03, "{}", heard.start);
        assert!((heard.end() - 14.0).abs() < 0.3, "{} {rate}", heard.end());
        assert_pitch(&heard, 10.2, 13.7, 440.0);
    }
}

#[test]
fn clicks_stay_where_the_source_had_them() {
    for kind in EncoderKind::ALL {
        for (rate, unit, tolerance) in [
            (48_000, EXACT, 0.000_05),
            (44_100, EXACT, 0.000_05),
            (24_000, EXACT, 0.000_05),
            (48_000, MILLISECOND, 0.000_6),
            (44_100, MILLISECOND, 0.000_6),
        ] {
            let coded = code(rate, 2, 5.0, &clicks(rate));
            gst::init().unwrap();
            let mut house = House::with_encoder(kind).unwrap();
            let out = run(&mut house, &coded.frames(3.0, unit));
            let heard = hear(&house, &out);
            for number in 1..18 {
                let time = 3.125 + f64::from(number) * 0.25;
                let off = heard.peak(time - 0.05, time + 0.05) - time;
                assert!(off.abs() < tolerance, "{kind:?} {rate} Hz: {off} s off at {time}");
            }
        }
    }
}

#[test]
fn what_leaves_is_never_further_behind_than_said() {
    for kind in EncoderKind::ALL {
        for rate in [96_000, 48_000, 44_100, 22_050] {
            let coded = code(rate, 2, 2.0, &tone(440.0));
            let mut house = House::with_encoder(kind).unwrap();
            let mut out = Vec::new();
            let mut lag = MediaTime::ZERO;
            for (number, frame) in coded.frames(0.0, MILLISECOND).iter().enumerate() {
                house.push(frame, &mut out);
                if number > 5 {
                    lag = lag.max(frame.frame.pts - out.last().unwrap().frame.pts);
                }
            }
            println!("{kind:?} {rate}: {lag:?}");
            assert!(lag <= House::LAG, "{kind:?} {rate}: {lag:?}");
        }
    }
}

#[test]
fn sources_of_every_kind_follow_each_other_in_one_configuration() {
    let kinds = [(48_000, 2, 330.0), (44_100, 1, 550.0), (32_000, 2, 440.0), (22_050, 1, 660.0), (48_000, 2, 880.0)];
    let mut house = House::new().unwrap();
    let mut out = Vec::new();
    for (number, (rate, channels, hertz)) in kinds.into_iter().enumerate() {
        let coded = code(rate, channels, 2.2, &tone(hertz));
        let start = number as f64 * 2.0;
        for frame in coded.frames(start, MILLISECOND) {
            if frame.frame.pts < MediaTime::from_millis((start * 1000.0) as i64 + 2000) {
                house.push(&frame, &mut out);
            }
        }
    }
    let heard = hear(&house, &out);
    for (number, (_, _, hertz)) in kinds.into_iter().enumerate() {
        let start = number as f64 * 2.0;
        assert_pitch(&heard, start + 0.1, start + 1.85, hertz);
    }
}

#[test]
fn a_hole_is_silence_of_its_length() {
    for rate in [48_000, 44_100] {
        let coded = code(rate, 2, 6.0, &clicks(rate));
        let mut house = House::new().unwrap();
        let frames: Vec<_> = coded
            .frames(0.0, EXACT)
            .into_iter()
            .filter(|frame| !(2000..3000).contains(&frame.frame.pts.as_millis()))
            .collect();
        let out = run(&mut house, &frames);
        let heard = hear(&house, &out);
        assert!(heard.level(2.04, 2.95) < 1e-3);
        for time in [0.625, 1.875, 3.125, 3.375, 5.125] {
            assert!((heard.peak(time - 0.05, time + 0.05) - time).abs() < 0.000_1, "{time}");
        }
    }
}

#[test]
fn a_step_back_is_trimmed_and_what_follows_is_on_time() {
    for rate in [48_000, 44_100] {
        let coded = code(rate, 2, 3.0, &clicks(rate));
        let mut house = House::new().unwrap();
        let mut out = run(&mut house, &coded.frames(0.0, EXACT));
        let mut again = coded.frames(2.8, EXACT);
        for frame in &mut again {
            frame.splice = false;
        }
        out.extend(run(&mut house, &again));
        let heard = hear(&house, &out);
        for time in [2.625, 2.8 + 0.375, 2.8 + 1.125, 2.8 + 2.625] {
            assert!((heard.peak(time - 0.05, time + 0.05) - time).abs() < 0.000_1, "{time}");
        }
    }
}

#[test]
fn missing_sound_is_filled_and_late_sound_is_left_out() {
    let coded = code(48_000, 2, 4.0, &clicks(48_000));
    let mut house = House::new().unwrap();
    let mut out = Vec::new();
    house.fill_until(MediaTime::ZERO, &mut out);
    house.fill_until(MediaTime::from_millis(1000), &mut out);
    for frame in coded.frames(1.0, EXACT) {
        house.push(&frame, &mut out);
        // A tick may come at any time, and does no harm while sound comes.
        house.fill_until(frame.frame.pts + MediaTime::from_millis(21), &mut out);
        if frame.frame.pts.as_millis() / 20 == 100 {
            house.fill_until(MediaTime::from_millis(3000), &mut out);
        }
    }
    house.fill_until(MediaTime::from_millis(6000), &mut out);
    let heard = hear(&house, &out);
    assert!(heard.start < 0.03, "{}", heard.start);
    assert!(heard.end() > 5.9, "{}", heard.end());
    for (from, to) in [(0.03, 1.0), (2.04, 2.99), (5.1, 5.9)] {
        let level = heard.level(from, to);
        assert!(level < 1e-3, "{from} to {to}: {level}");
    }
    for time in [1.125, 1.875, 3.125, 4.125, 4.875] {
        assert!((heard.peak(time - 0.05, time + 0.05) - time).abs() < 0.000_1, "{time}");
    }
}

#[test]
fn a_source_that_drifts_is_followed_without_a_break() {
    let coded = code(48_000, 2, 1.0, &clicks(48_000));
    let mut house = House::new().unwrap();
    let mut out = Vec::new();
    let stretch = 1.0 - 1e-3;
    let period = coded.packets[1..].len() as f64 * 1024.0 / 48_000.0;
    for round in 0..40 {
        for mut frame in coded.frames(f64::from(round) * period, EXACT) {
            let time = (frame.frame.pts.as_micros() as f64 * stretch / MILLISECOND).round() * MILLISECOND;
            frame.frame.pts = MediaTime::from_micros(time as i64);
            frame.splice = round == 0 && time == 0.0;
            house.push(&frame, &mut out);
        }
    }
    let heard = hear(&house, &out);
    for round in 20..39 {
        let time = (f64::from(round) * period + 0.625) * stretch;
        let off = heard.peak(time - 0.05, time + 0.05) - time;
        assert!(off.abs() < 0.007, "{off} s off at {time}");
    }
}

/// Numbers that look random and are the same each time.
fn noise(seed: u64) -> impl FnMut() -> u64 {
    let mut state = seed | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    }
}

#[test]
fn corrupt_sound_neither_stops_the_clock_nor_the_stage() {
    let mut next = noise(0x5eed);
    for (rate, channels) in [(48_000, 2), (44_100, 1)] {
        let coded = code(rate, channels, 6.0, &tone(440.0));
        let mut house = House::new().unwrap();
        let mut out = Vec::new();
        for mut frame in coded.frames(0.0, MILLISECOND) {
            if (1000..4000).contains(&frame.frame.pts.as_millis()) {
                let mut payload = frame.frame.payload.to_vec();
                match next() % 5 {
                    0 => payload = (0..next() % 700).map(|_| next() as u8).collect(),
                    1 => payload.truncate((next() % 50) as usize),
                    2 => payload.clear(),
                    3 => (0..20).for_each(|_| {
                        let index = next() as usize % payload.len();
                        payload[index] ^= next() as u8;
                    }),
                    _ => payload = vec![0xff; 300],
                }
                frame.frame.payload = payload.into();
            }
            house.push(&frame, &mut out);
        }
        let heard = hear(&house, &out);
        assert!(heard.end() > 5.8);
        assert_pitch(&heard, 4.2, 5.8, 440.0);
    }
}

#[test]
fn a_configuration_that_means_nothing_is_silent() {
    let good = code(48_000, 2, 1.0, &tone(440.0));
    for record in [&[][..], &[0xff; 5], &[0x00, 0x00], &[0x12], &[0xf8, 0xe8, 0x50, 0x00]] {
        let config = Arc::new(CodecConfig::Aac(AacConfig {
            record: Bytes::copy_from_slice(record),
            sample_rate: 44_100,
            channels: 2,
            frame_samples: 1024,
        }));
        let mut house = House::new().unwrap();
        let mut out = Vec::new();
        for mut frame in good.frames(0.0, EXACT) {
            frame.frame.config = config.clone();
            house.push(&frame, &mut out);
        }
        out.extend(run(&mut house, &good.frames(2.0, EXACT)));
        assert_pitch(&hear(&house, &out), 2.1, 2.8, 440.0);
    }
}

#[test]
fn a_wild_time_stamp_does_not_stop_the_caller() {
    let coded = code(48_000, 2, 1.0, &clicks(48_000));
    let mut house = House::new().unwrap();
    let mut out = run(&mut house, &coded.frames(0.0, EXACT));
    let before = out.len();
    out.extend(run(&mut house, &coded.frames(1_000_000.0, EXACT)));
    assert!(out.len() - before < 700);
    assert!((out.last().unwrap().frame.pts.as_micros() as f64 / 1e6 - 1_000_001.0).abs() < 0.2);
}

#[test]
fn the_same_frames_give_the_same_bytes() {
    static CODED: LazyLock<Coded> = LazyLock::new(|| code(44_100, 2, 2.0, &tone(440.0)));
    let threads: Vec<_> = (0..3)
        .map(|_| {
            std::thread::spawn(|| {
                let mut house = House::new().unwrap();
                let mut counts = Vec::new();
                let mut out = Vec::new();
                for frame in CODED.frames(0.0, MILLISECOND) {
                    house.push(&frame, &mut out);
                    counts.push(out.len());
                }
                let bytes: Vec<Bytes> = out.into_iter().map(|frame| frame.frame.payload).collect();
                (counts, bytes)
            })
        })
        .collect();
    let results: HashSet<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    assert_eq!(results.len(), 1);
}

#[test]
fn both_encoders_say_that_it_is_plain_aac() {
    for kind in EncoderKind::ALL {
        gst::init().unwrap();
        let house = House::with_encoder(kind).unwrap();
        let config = house.config();
        let CodecConfig::Aac(aac) = &*config else { panic!("not AAC") };
        // Object type 2 (LC), frequency index 3 (48 kHz), two channels, frames of 1024.
        assert_eq!(aac.record.get(..2), Some(&[0x11, 0x90][..]), "{kind:?} {:?}", aac.record);
        println!("{kind:?} {:?}", aac.record);
    }
}

/// CPU for a minute of sound: `cargo nextest run --release --run-ignored only house --no-capture`.
#[test]
#[ignore = "measures instead of testing"]
fn cost_of_a_minute() {
    // Nanoseconds that this thread has run.
    let cpu = || -> f64 {
        let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
        text.split_whitespace().next().unwrap().parse::<f64>().unwrap() / 1e9
    };
    let seconds = |since: f64| cpu() - since;
    for kind in EncoderKind::ALL {
        for rate in [48_000, 44_100] {
            let mut next = noise(1);
            let random: Vec<f64> = (0..48_000).map(|_| (next() as f64 / u64::MAX as f64) - 0.5).collect();
            let coded = code(rate, 2, 60.0, &move |time| {
                0.2 * (time * 220.0 * TAU).sin() * (1.0 - time % 0.5)
                    + 0.1 * random[(time * 40_000.0) as usize % 48_000]
            });
            let mut house = House::with_encoder(kind).unwrap();
            let frames = coded.frames(0.0, MILLISECOND);
            let CodecConfig::Aac(aac) = &*coded.config else { panic!("not AAC") };
            let start = std::time::Instant::now();
            (0..100).for_each(|_| Decoder::new(aac).open().unwrap());
            println!("a decoder is built in {:?}", start.elapsed() / 100);
            let mut decoder = Decoder::new(aac);
            let start = cpu();
            let pcm: Vec<Vec<Stereo>> = coded.packets.iter().map(|packet| decoder.decode(packet).0.to_vec()).collect();
            println!("of it: decode {:.3}", seconds(start));
            let start = cpu();
            for block in &pcm {
                house.encoder.encode(block).unwrap();
            }
            println!("of it: encode {:.3}", seconds(start));
            let start = cpu();
            let out = run(&mut house, &frames);
            let bytes: usize = out.iter().map(|frame| frame.frame.payload.len()).sum();
            println!("{kind:?} from {rate} Hz: {:.3} s of CPU, {} kbit/s", seconds(start), bytes * 8 / 60_000);
        }
    }
}
