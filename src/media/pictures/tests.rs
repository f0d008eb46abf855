#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use image::GenericImageView as _;

use super::*;
use crate::{
    core::switcher::SlateLoop,
    media::slate::{self, SlateSettings},
};

fn slate() -> SlateLoop {
    slate::render(SlateSettings { venue: "The Blue Room", picture: None, tone: false }).unwrap()
}

fn avc(slate: &SlateLoop) -> &crate::core::frame::AvcConfig {
    let CodecConfig::Avc(config) = &*slate.video else { panic!("the slate has pictures") };
    config
}

/// A key frame of the slate `seconds` after the beginning.
fn show(shutter: &Arc<Shutter>, slate: &SlateLoop, seconds: i64) {
    let picture = slate.pictures.first().unwrap();
    shutter.take(MediaTime::from_millis(seconds * 1000), &slate.video, &picture.payload);
}

/// A thumbnail, however busy the machine is: the thread that makes it gives way to everything else, and nobody is waited for without end.
async fn made(pictures: &Pictures, of: &PictureOf) -> Thumbnail {
    for _ in 0..20 {
        if let Some(thumbnail) = pictures.thumbnail(of).await {
            return thumbnail;
        }
    }
    panic!("no thumbnail of {of:?}")
}

#[test]
fn key_frame_becomes_a_small_jpeg_of_the_same_picture() {
    let slate = slate();
    let jpeg = still::still(avc(&slate), &slate.pictures.first().unwrap().payload).unwrap();
    assert_eq!(jpeg.get(..2), Some(&[0xff, 0xd8][..]), "JPEG's first two bytes");
    let picture = image::load_from_memory(&jpeg).unwrap();
    assert_eq!(picture.dimensions(), (480, 270));
    // The slate is dark and has bright words on it.
    let brightest = picture.to_luma8().pixels().map(|pixel| pixel.0[0]).max().unwrap();
    let dark = picture.to_luma8().pixels().filter(|pixel| pixel.0[0] < 80).count();
    assert!(brightest > 150 && dark > 100_000, "{brightest} {dark}");
}

#[test]
fn garbage_is_no_picture_and_neither_is_one_of_absurd_size() {
    let slate = slate();
    let picture = &slate.pictures.first().unwrap().payload;
    assert!(still::still(avc(&slate), b"").is_err());
    assert!(still::still(avc(&slate), &[0, 0, 0, 9, 0x65]).is_err());
    let huge = crate::core::frame::AvcConfig { width: 16_384, height: 16_384, ..avc(&slate).clone() };
    assert!(matches!(still::still(&huge, picture), Err(still::StillError::Size { .. })));
    let mut spoilt = picture.to_vec();
    spoilt.iter_mut().skip(40).step_by(3).for_each(|byte| *byte ^= 0x55);
    // Whatever a decoder makes of it, the caller lives on.
    let _ = still::still(avc(&slate), &spoilt);
}

#[tokio::test(flavor = "multi_thread")]
async fn thumbnail_is_made_only_when_somebody_asked() {
    gstreamer::init().unwrap();
    let (pictures, slate) = (Pictures::start().unwrap(), slate());
    let connection = ConnectionId::new("one");
    let shutter = pictures.input(&connection);
    show(&shutter, &slate, 0);
    assert!(!shutter.is_open() && !shutter.active.load(Relaxed));
    let of = PictureOf::Input(connection);
    let asked = tokio::spawn({
        let pictures = pictures.clone();
        async move { (made(&pictures, &of).await, made(&pictures, &of).await) }
    });
    while !shutter.is_open() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    show(&shutter, &slate, 2);
    assert!(!shutter.is_open(), "one key frame is enough for the next 2 s");
    let (first, second) = asked.await.unwrap();
    assert_eq!(first, second);
    pictures.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn next_thumbnail_is_at_least_two_seconds_later_and_of_another_key_frame() {
    gstreamer::init().unwrap();
    let (pictures, slate) = (Pictures::start().unwrap(), slate());
    let shutter = pictures.program();
    let asked = tokio::spawn({
        let pictures = pictures.clone();
        async move { made(&pictures, &PictureOf::Program).await }
    });
    while !shutter.is_open() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    show(&shutter, &slate, 0);
    let first = asked.await.unwrap();
    let begin = Instant::now();
    while !shutter.is_open() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(begin.elapsed() > INTERVAL * 9 / 10, "{:?}", begin.elapsed());
    show(&shutter, &slate, 0);
    assert!(shutter.is_open(), "the same key frame again is not wanted");
    show(&shutter, &slate, 2);
    while shutter.latest.borrow().as_ref().unwrap().number == first.number {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    pictures.stop();
}

#[tokio::test(start_paused = true)]
async fn source_that_shows_nothing_and_one_that_is_gone_have_no_thumbnail() {
    gstreamer::init().unwrap();
    let pictures = Pictures::start().unwrap();
    let connection = ConnectionId::new("one");
    let of = PictureOf::Input(connection.clone());
    assert_eq!(pictures.thumbnail(&of).await, None);
    let shutter = pictures.input(&connection);
    assert_eq!(pictures.thumbnail(&of).await, None);
    drop(shutter);
    assert_eq!(pictures.thumbnail(&of).await, None);
    pictures.stop();
}
