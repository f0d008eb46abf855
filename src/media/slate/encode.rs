//! The slate's loop: pictures to H.264, sound to AAC, once.

use std::{f32::consts::TAU, sync::Arc};

use bytes::Bytes;
use gstreamer as gst;
use gstreamer::prelude::*;

use super::{
    format::{COLUMNS, HEIGHT, PICTURES, RATE, ROWS, SlateError, WIDTH},
    picture::{Drawing, level},
};
use crate::{
    core::{
        frame::{AacConfig, AvcConfig, CodecConfig},
        switcher::SlatePicture,
    },
    media::{
        chain::{Chain, ChainError, element, filter},
        house,
    },
};

/// The accent's colour.
const ACCENT: [f32; 3] = [236.0, 170.0, 96.0];

/// Rows above and below the accent's own that it may touch; the first one is even, as chroma's rows are.
const BAND: usize = 4;

/// Frames of sound in a loop: 2.005 s.
pub(super) const SOUNDS: usize = 94;

/// One picture as the encoder takes it: I420, BT.709, limited range.
#[derive(Clone)]
struct Planes {
    bytes: Vec<u8>,
}

impl Planes {
    fn new(pixels: &[[u8; 3]]) -> Self {
        let mut planes = Self { bytes: vec![0; WIDTH * HEIGHT * 3 / 2] };
        planes.draw(0, pixels);
        planes
    }

    /// Replaces rows from the even row `top` on.
    fn draw(&mut self, top: usize, pixels: &[[u8; 3]]) {
        let (luma, chroma) = self.bytes.split_at_mut(WIDTH * HEIGHT);
        let (blue, red) = chroma.split_at_mut(WIDTH * HEIGHT / 4);
        for (to, &pixel) in luma.iter_mut().skip(top * WIDTH).zip(pixels) {
            let [y, _, _] = convert(pixel.map(f32::from));
            *to = y;
        }
        let start = top / 2 * (WIDTH / 2);
        let pairs = blue.iter_mut().zip(red).skip(start);
        let squares = pixels.chunks_exact(2 * WIDTH).flat_map(|rows| {
            let (upper, lower) = rows.split_at(WIDTH);
            upper.chunks_exact(2).zip(lower.chunks_exact(2))
        });
        for ((blue, red), (upper, lower)) in pairs.zip(squares) {
            let mut sum = [0.0; 3];
            for pixel in upper.iter().chain(lower) {
                for (sum, &channel) in sum.iter_mut().zip(pixel) {
                    *sum += f32::from(channel) / 4.0;
                }
            }
            [_, *blue, *red] = convert(sum);
        }
    }
}

/// To luma and chroma (ITU-R BT.709, limited range).
fn convert([red, green, blue]: [f32; 3]) -> [u8; 3] {
    let luma = 0.2126 * red + 0.7152 * green + 0.0722 * blue;
    [
        16.0 + luma * 219.0 / 255.0,
        128.0 + (blue - luma) / 1.8556 * 224.0 / 255.0,
        128.0 + (red - luma) / 1.5748 * 224.0 / 255.0,
    ]
    .map(level)
}

/// The rows around the accent with the line in it, at `phase` of the loop (0 to 1).
fn accent(rows: &mut [[u8; 3]], phase: f32) {
    let breath = 0.5 - 0.5 * (phase * TAU).cos();
    let (half, light) = (58.0 + 14.0 * breath, 0.72 + 0.28 * breath);
    for (row, pixels) in rows.chunks_exact_mut(WIDTH).enumerate() {
        let above = row as f32 - BAND as f32;
        // Three rows thick, with a faint glow.
        let across = if above.abs() <= 1.0 { 1.0 } else { 0.10 * breath / above.abs() };
        for (column, pixel) in pixels.iter_mut().enumerate() {
            let beyond = (column as f32 + 0.5 - WIDTH as f32 / 2.0).abs() - half;
            let along = (-beyond / 26.0).clamp(0.0, 1.0);
            let cover = light * across * along * along * (3.0 - 2.0 * along);
            for (channel, accent) in pixel.iter_mut().zip(ACCENT) {
                *channel = level(f32::from(*channel) * (1.0 - cover) + accent * cover);
            }
        }
    }
}

/// The pictures of one loop.
pub(super) fn pictures(drawing: &Drawing) -> Result<(Arc<CodecConfig>, Vec<SlatePicture>), SlateError> {
    let chain = encoder().map_err(|error| SlateError::Encode(error.to_string()))?;
    let still = Planes::new(&drawing.pixels);
    let mut coded = Vec::new();
    for number in 0..PICTURES {
        let mut planes = still.clone();
        if let Some(row) = drawing.accent {
            let top = row.saturating_sub(BAND) & !1;
            let rows = drawing.pixels.chunks_exact(WIDTH).skip(top).take(2 * BAND + 2);
            let mut band: Vec<[u8; 3]> = rows.flatten().copied().collect();
            accent(&mut band, number as f32 / PICTURES as f32);
            planes.draw(top, &band);
        }
        let mut buffer = gst::Buffer::from_mut_slice(planes.bytes);
        if let Some(buffer) = buffer.get_mut() {
            let time = gst::ClockTime::SECOND * number as u64 / u64::from(RATE);
            buffer.set_pts(time);
            buffer.set_duration(gst::ClockTime::SECOND / u64::from(RATE));
        }
        coded.extend(chain.push(buffer).map_err(|error| SlateError::Encode(format!("the encoder stopped: {error}")))?);
    }
    let caps = chain.caps();
    coded.extend(chain.finish());
    let record = caps.as_ref().and_then(|caps| {
        let record: gst::Buffer = caps.structure(0)?.get("codec_data").ok()?;
        Some(Bytes::copy_from_slice(record.map_readable().ok()?.as_slice()))
    });
    let record = record.ok_or_else(|| SlateError::Encode("the encoder gives no configuration".to_owned()))?;
    let config = AvcConfig::parse(record).map_err(|error| SlateError::Encode(error.to_string()))?;
    let pictures: Vec<SlatePicture> = coded
        .iter()
        .filter_map(|buffer| {
            let payload = Bytes::copy_from_slice(buffer.map_readable().ok()?.as_slice());
            Some(SlatePicture { payload, keyframe: !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT) })
        })
        .collect();
    if pictures.len() != PICTURES || !pictures.first().is_some_and(|picture| picture.keyframe) {
        return Err(SlateError::Encode(format!("{} pictures of {PICTURES} were encoded", pictures.len())));
    }
    Ok((Arc::new(CodecConfig::Avc(config)), pictures))
}

fn encoder() -> Result<Chain, ChainError> {
    let raw = gst::Caps::builder("video/x-raw")
        .field("format", "I420")
        .field("width", i32::from(COLUMNS))
        .field("height", i32::from(ROWS))
        .field("framerate", gst::Fraction::new(i32::from(RATE), 1))
        .field("pixel-aspect-ratio", gst::Fraction::new(1, 1))
        .field("interlace-mode", "progressive")
        .field("colorimetry", "bt709")
        .field("chroma-site", "mpeg2")
        .build();
    let coded = gst::Caps::builder("video/x-h264")
        .field("stream-format", "avc")
        .field("alignment", "au")
        .field("profile", "high")
        .build();
    let encoder = element("x264enc")?;
    // Constant quality, no look-ahead: nothing to plan in a still picture, and it takes neither time nor memory.
    for (name, value) in [
        ("pass", "quant"),
        ("quantizer", "11"),
        ("speed-preset", "superfast"),
        ("key-int-max", "60"),
        ("bframes", "0"),
        ("b-adapt", "false"),
        ("rc-lookahead", "0"),
        ("sync-lookahead", "0"),
        ("mb-tree", "false"),
        ("ref", "1"),
        ("dct8x8", "true"),
        ("threads", "2"),
        ("option-string", "scenecut=0"),
    ] {
        encoder.set_property_from_str(name, value);
    }
    Chain::new("picture encoder", vec![encoder, filter(&coded)?], &raw)
}

/// The sound of one loop: silence, or a soft chord.
pub(super) fn sounds(tone: bool) -> Result<(Arc<CodecConfig>, Vec<Bytes>), SlateError> {
    let samples = SOUNDS * house::BLOCK;
    let mut one = vec![[0.0; 2]; samples];
    if tone {
        for (index, sample) in one.iter_mut().enumerate() {
            *sample = chord(index as f32 / samples as f32);
        }
    }
    // Every packet is taken from the middle of three loops, where its neighbours are those it will have.
    let three: Vec<_> = one.iter().chain(&one).chain(&one).copied().collect();
    let (record, packets) = house::encode(&three).map_err(|error| SlateError::Encode(error.to_string()))?;
    let sounds: Vec<Bytes> = packets.into_iter().skip(SOUNDS).take(SOUNDS).collect();
    if sounds.len() != SOUNDS {
        return Err(SlateError::Encode(format!("{} blocks of sound of {SOUNDS} were encoded", sounds.len())));
    }
    let config = AacConfig::parse(record).map_err(|error| SlateError::Encode(error.to_string()))?;
    Ok((Arc::new(CodecConfig::Aac(config)), sounds))
}

/// A soft A major chord at `phase` of the loop (0 to 1), about 30 dB below full scale. Every number of cycles is whole, so that
/// the loop has no seam: within a quarter of a hertz of the notes.
fn chord(phase: f32) -> [f32; 2] {
    // Cycles in a loop, level, and the share that is heard on the left.
    const NOTES: [(f32, f32, f32); 5] =
        [(221.0, 0.016, 0.5), (331.0, 0.012, 0.6), (442.0, 0.012, 0.4), (556.0, 0.007, 0.65), (662.0, 0.004, 0.35)];
    let mut sum = [0.0; 2];
    for (number, (cycles, level, left)) in (0_u8..).zip(NOTES) {
        // The notes swell one after the other.
        let swell = 0.8 + 0.2 * ((phase + f32::from(number) / 5.0) * TAU).cos();
        let note = (phase * cycles * TAU).sin() * level * swell;
        sum = [sum[0] + note * left * 2.0, sum[1] + note * (1.0 - left) * 2.0];
    }
    sum
}
