//! The slate, judged by decoding it.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::{fs, path::PathBuf};

use bytes::Bytes;
use gstreamer as gst;
use gstreamer::prelude::*;

use super::*;
use crate::{
    core::frame::{AvcConfig, CodecConfig},
    media::chain::{Chain, element, filter},
};

fn settings(venue: &str) -> SlateSettings<'_> {
    SlateSettings { venue, picture: None, tone: false }
}

fn avc(slate: &SlateLoop) -> &AvcConfig {
    match &*slate.video {
        CodecConfig::Avc(config) => config,
        CodecConfig::Aac(_) => panic!("not H.264"),
    }
}

/// Types of the NAL units in a payload with four-byte lengths.
fn nal_types(mut payload: &[u8]) -> Vec<u8> {
    let mut types = Vec::new();
    while let Some((length, rest)) = payload.split_first_chunk::<4>() {
        let (unit, rest) = rest.split_at(u32::from_be_bytes(*length) as usize);
        types.push(unit[0] & 0x1f);
        payload = rest;
    }
    types
}

/// Luma of every picture of `times` loops.
fn decode(slate: &SlateLoop, times: usize) -> Vec<Vec<u8>> {
    let caps = gst::Caps::builder("video/x-h264")
        .field("stream-format", "avc")
        .field("alignment", "au")
        .field("codec_data", gst::Buffer::from_slice(avc(slate).record.clone()))
        .field("width", 1280_i32)
        .field("height", 720_i32)
        .build();
    let decoder = element("avdec_h264").unwrap();
    decoder.set_property_from_str("max-threads", "1");
    let raw = gst::Caps::builder("video/x-raw").field("format", "I420").build();
    let chain = Chain::new("test", vec![decoder, filter(&raw).unwrap()], &caps).unwrap();
    let mut pictures = Vec::new();
    for payload in (0..times).flat_map(|_| &slate.pictures).map(|picture| picture.payload.clone()) {
        pictures.extend(chain.push(gst::Buffer::from_slice(payload)).unwrap());
    }
    pictures.extend(chain.finish());
    pictures.iter().map(|picture| picture.map_readable().unwrap()[..1280 * 720].to_vec()).collect()
}

fn difference(a: &[u8], b: &[u8]) -> u64 {
    a.iter().zip(b).map(|(a, b)| u64::from(a.abs_diff(*b))).sum()
}

#[test]
fn every_element_exists() {
    gst::init().unwrap();
    for name in ELEMENTS {
        assert!(gst::ElementFactory::find(name).is_some(), "{name}");
    }
}

#[test]
fn a_loop_is_two_seconds_that_begin_with_the_only_idr() {
    let slate = render(settings("The Lighthouse")).unwrap();
    let config = avc(&slate);
    assert_eq!((config.width, config.height, config.profile, config.length_size), (1280, 720, 100, 4));
    assert_eq!(slate.pictures.len(), 60);
    for (number, picture) in slate.pictures.iter().enumerate() {
        assert_eq!(picture.keyframe, number == 0);
        assert_eq!(nal_types(&picture.payload).contains(&5), number == 0, "picture {number}");
        assert_eq!(nal_types(&picture.payload).contains(&1), number != 0, "picture {number}");
    }
    // Not so little that a platform takes the stream for dead, not so much that a key frame is a burst.
    let bytes: usize = slate.pictures.iter().map(|picture| picture.payload.len()).sum();
    assert!((50_000..250_000).contains(&bytes), "{bytes}");
    assert!(slate.pictures[0].payload.len() < 120_000);
}

#[test]
fn the_pictures_have_no_seam() {
    let slate = render(settings("The Lighthouse")).unwrap();
    let pictures = decode(&slate, 2);
    assert_eq!(pictures.len(), 120);
    let steps: Vec<u64> = pictures.windows(2).map(|pair| difference(&pair[0], &pair[1])).collect();
    // The encoder's noise changes at a key frame, by a small part of a level in the mean.
    assert!(steps[59] < 1280 * 720 / 2, "{}", steps[59]);
    assert!(steps.iter().all(|&step| step < 1280 * 720 / 2));
    assert!(difference(&pictures[0], &pictures[30]) > 0, "nothing moves");
}

#[test]
fn names_of_every_kind_are_shown_within_the_picture() {
    let long = "Donaudampfschifffahrtsgesellschaft ".repeat(20);
    let endless = "W".repeat(500);
    let names = [
        "",
        " \t\n",
        "A",
        "Ωδείο · Клуб",
        "渋谷ライブハウス",
        "نادي الموسيقى",
        "A & B <Club> \"x\" 🎉",
        "\u{0}\u{7}\u{fffe}",
        &long,
        &endless,
    ];
    for name in names {
        let drawing = picture::built_in(name).unwrap();
        assert_eq!(drawing.pixels.len(), 1280 * 720);
        let bright = |column: usize| drawing.pixels[column..].iter().step_by(1280).any(|pixel| pixel[1] > 150);
        assert!(!(0..100).chain(1180..1280).any(bright), "{name} runs out of the picture");
        assert!((200..1080).any(bright), "{name} shows nothing");
    }
}

#[test]
fn a_name_stands_above_the_message() {
    let rows = |name: &str| {
        let drawing = picture::built_in(name).unwrap();
        drawing.pixels.chunks(1280).filter(|row| row.iter().any(|pixel| pixel[1] > 150)).count()
    };
    let (none, short, long) =
        (rows(""), rows("Lighthouse"), rows("Kulturzentrum Alte Feuerwache am Stadtgarten e. V."));
    assert!(none < short && short < long, "{none} {short} {long}");
}

#[test]
fn the_venues_own_picture_is_shown_whole_on_black() {
    let folder = tempfile::tempdir().unwrap();
    for (name, width, height) in [("tall.png", 90, 300), ("wide.jpg", 3000, 400), ("exact.png", 1280, 720)] {
        let file = folder.path().join(name);
        image::RgbImage::from_pixel(width, height, image::Rgb([200, 40, 40])).save(&file).unwrap();
        let drawing = picture::own(&file).unwrap();
        let red = drawing.pixels.iter().filter(|pixel| pixel[0] > 150).count();
        let scale = (1280.0 / f64::from(width)).min(720.0 / f64::from(height));
        let expected = f64::from(width) * scale * f64::from(height) * scale;
        assert!((red as f64 / expected - 1.0).abs() < 0.01, "{name}: {red} of {expected}");
        assert!(drawing.pixels.iter().all(|pixel| pixel[0] > 150 || pixel[0] < 30), "{name}");
        assert!(drawing.pixels[360 * 1280 + 640][0] > 150);
    }
    let file = folder.path().join("exact.png");
    let slate = render(SlateSettings { venue: "", picture: Some(&file), tone: false }).unwrap();
    // Red's luma, 0.2126 * 200 + 0.7874 * 40 in limited range.
    assert!(decode(&slate, 1).iter().all(|picture| picture.iter().all(|&luma| luma.abs_diff(80) < 4)));
}

#[test]
fn a_bad_picture_is_refused_with_its_name_and_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let file = folder.path().join(name);
        fs::write(&file, bytes).unwrap();
        file
    };
    let mut good = std::io::Cursor::new(Vec::new());
    image::RgbImage::new(64, 64).write_to(&mut good, image::ImageFormat::Png).unwrap();
    let good = good.into_inner();
    // A header that promises 60,000 pixels a side.
    let mut vast = good.clone();
    vast[16..24].copy_from_slice(&[0, 0, 0xea, 0x60, 0, 0, 0xea, 0x60]);
    for file in [
        folder.path().join("missing.png"),
        folder.path().to_owned(),
        file("empty.png", b""),
        file("text.png", b"not a picture at all"),
        file("short.png", &good[..good.len() / 2]),
        file("vast.png", &vast),
        file("large.png", &vec![0; 21 * 1024 * 1024]),
    ] {
        let error = picture::own(&file).unwrap_err();
        assert!(matches!(error, SlateError::Picture { .. }));
        let text = error.to_string();
        assert!(text.contains(file.to_str().unwrap()) && text.len() > file.to_str().unwrap().len() + 40, "{text}");
    }
}

/// Left channel of `times` loops.
fn listen(slate: &SlateLoop, times: usize) -> Vec<f32> {
    let CodecConfig::Aac(config) = &*slate.audio else { panic!("not AAC") };
    assert_eq!((config.sample_rate, config.channels, config.frame_samples), (48_000, 2, 1024));
    let payloads: Vec<Bytes> = (0..times).flat_map(|_| slate.sounds.clone()).collect();
    crate::media::house::decode(config, &payloads).iter().map(|[left, _]| *left).collect()
}

#[test]
fn without_a_tone_the_sound_is_silence() {
    let slate = render(settings("A")).unwrap();
    assert!(listen(&slate, 2).iter().all(|sample| sample.abs() < 1e-4));
}

#[test]
fn the_tone_is_soft_and_has_no_seam() {
    let slate = render(SlateSettings { tone: true, ..settings("A") }).unwrap();
    let samples = listen(&slate, 3);
    let one = slate.sounds.len() * 1024;
    let middle = &samples[one..2 * one];
    let level = (middle.iter().map(|sample| sample * sample).sum::<f32>() / one as f32).sqrt();
    assert!((0.005..0.05).contains(&level), "{level}");
    // Steps in the slope would be clicks: those at the seam are like those elsewhere.
    let bend = |from: usize, to: usize| {
        samples[from..to].windows(3).map(|part| (part[0] - 2.0 * part[1] + part[2]).abs()).fold(0.0, f32::max)
    };
    let (seam, elsewhere) = (bend(2 * one - 1100, 2 * one + 1100), bend(one + 3000, 2 * one - 3000));
    assert!(seam < elsewhere * 1.2, "{seam} {elsewhere}");
    let repeats = samples[one..2 * one].iter().zip(&samples[2 * one..]).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(repeats < 1e-6, "{repeats}");
}

/// `LOOK=/some/folder cargo nextest run --run-ignored only slate`
#[test]
#[ignore = "makes pictures to look at"]
fn pictures_to_look_at() {
    let folder = PathBuf::from(std::env::var("LOOK").unwrap());
    let long = "Kulturzentrum Alte Feuerwache am Stadtgarten e. V.";
    for (number, name) in ["The Lighthouse", "", long, "渋谷ライブハウス", "نادي الموسيقى"].into_iter().enumerate()
    {
        let start = std::time::Instant::now();
        let slate = render(settings(name)).unwrap();
        println!("rendered and encoded in {:?}", start.elapsed());
        let luma = decode(&slate, 1)[30].clone();
        image::GrayImage::from_raw(1280, 720, luma).unwrap().save(folder.join(format!("{number}-coded.png"))).unwrap();
        let flat = picture::built_in(name).unwrap().pixels.concat();
        image::RgbImage::from_raw(1280, 720, flat).unwrap().save(folder.join(format!("{number}.png"))).unwrap();
    }
}

fn png(width: u32, height: u32) -> Vec<u8> {
    let mut file = std::io::Cursor::new(Vec::new());
    let picture = image::RgbImage::from_pixel(width, height, image::Rgb([200, 30, 60]));
    picture.write_to(&mut file, image::ImageFormat::Png).unwrap();
    file.into_inner()
}

#[test]
fn picture_is_checked_by_decoding_it() {
    assert_eq!(check(&png(64, 36)), Ok(PictureKind::Png));
    assert!(check(&png(6001, 1)).unwrap_err().contains("6000 pixels"));
    let whole = png(640, 360);
    assert!(check(&whole[..whole.len() / 2]).unwrap_err().contains("damaged"));
    for other in [&b""[..], b"GIF89a", b"<svg xmlns='http://www.w3.org/2000/svg'/>"] {
        assert!(check(other).unwrap_err().contains("neither"));
    }
}

/// A PNG whose header promises another size, of red, green, blue and opacity, with the right sum.
fn promising(width: u32, height: u32) -> Vec<u8> {
    let mut file = png(64, 36);
    file[16..20].copy_from_slice(&width.to_be_bytes());
    file[20..24].copy_from_slice(&height.to_be_bytes());
    file[25] = 6;
    let mut sum = flate2::Crc::new();
    sum.update(&file[12..29]);
    file[29..33].copy_from_slice(&sum.sum().to_be_bytes());
    file
}

#[test]
fn picture_that_would_be_too_large_when_decoded_is_refused_by_its_header() {
    // 137 MB.
    let error = fit(&promising(6000, 6000)).unwrap_err();
    assert!(error.contains("too large"), "{error}");
    // 92 MB: it is decoded, and there is not enough of it.
    let error = fit(&promising(6000, 4000)).unwrap_err();
    assert!(error.contains("damaged"), "{error}");
}

#[test]
fn picture_with_more_pixels_than_the_slate_is_kept_small_and_another_as_it_is() {
    assert!(fit(&png(1280, 720)).unwrap().smaller.is_none());
    for (width, height, size) in [(3000, 2000, (1080, 720)), (1281, 10, (1280, 10)), (900, 4000, (162, 720))] {
        let Fitted { kind, smaller } = fit(&png(width, height)).unwrap();
        let smaller = image::load_from_memory(&smaller.unwrap()).unwrap().to_rgb8();
        assert_eq!((kind, smaller.dimensions()), (PictureKind::Png, size), "{width} x {height}");
        assert!(smaller.pixels().all(|pixel| pixel.0[0] > 190 && pixel.0[1] < 40), "{width} x {height}");
    }
}

#[test]
fn still_picture_is_what_the_slate_shows() {
    let decoded = |file: Bytes| image::load_from_memory(&file).unwrap().to_rgb8();
    let built_in = decoded(drawn_still(settings("Blue Room")).unwrap());
    assert_eq!(built_in.dimensions(), (1280, 720));
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("own.png");
    fs::write(&file, png(64, 36)).unwrap();
    let own = decoded(drawn_still(SlateSettings { picture: Some(&file), ..settings("Blue Room") }).unwrap());
    assert!(own.get_pixel(640, 360).0[0] > 180, "{:?}", own.get_pixel(640, 360));
    let gone =
        drawn_still(SlateSettings { picture: Some(&folder.path().join("gone.png")), ..settings("Blue Room") }).unwrap();
    assert_eq!(decoded(gone), built_in);
}
