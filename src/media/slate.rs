//! The slate: the stand-in picture and sound, rendered and encoded once.

mod encode;
mod kept;
mod picture;

use std::path::{Path, PathBuf};

pub use self::kept::kept;
use crate::core::{frame::MediaTime, switcher::SlateLoop};

/// GStreamer elements the slate's encoding is built from, besides those of the house format.
pub const ELEMENTS: &[&str] = &["x264enc", "capsfilter"];

/// The picture's width in pixels.
const COLUMNS: u16 = 1280;

/// The picture's height in pixels.
const ROWS: u16 = 720;

/// Both, as lengths of rows and columns.
const WIDTH: usize = COLUMNS as usize;
const HEIGHT: usize = ROWS as usize;

/// Pictures in a second.
const RATE: u16 = 30;

/// Pictures in a loop: 2 s, the distance of key frames that platforms want.
const PICTURES: usize = 60;

/// What the slate shows and sounds like.
#[derive(Clone, Copy, Debug)]
pub struct SlateSettings<'a> {
    /// The venue's name, any Unicode text.
    pub venue: &'a str,
    /// The venue's own PNG or JPEG; none for the built-in picture.
    pub picture: Option<&'a Path>,
    /// A soft tone instead of silence.
    pub tone: bool,
}

/// Why there is no slate.
#[derive(Debug, thiserror::Error)]
pub enum SlateError {
    /// The venue's own picture can not be used; the built-in one can.
    #[error("the slate's picture {} can not be used: {reason}", file.display())]
    Picture {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// It can not be encoded.
    #[error("the slate can not be encoded: {0}")]
    Encode(String),
}

/// Renders and encodes the slate.
///
/// # Errors
///
/// [`SlateError::Picture`] for a bad file: call again without it and say so. [`SlateError::Encode`] when GStreamer fails.
pub fn render(settings: SlateSettings<'_>) -> Result<SlateLoop, SlateError> {
    gstreamer::init().map_err(|error| SlateError::Encode(error.to_string()))?;
    let drawing = match settings.picture {
        Some(file) => picture::own(file)?,
        None => picture::built_in(settings.venue)?,
    };
    let (video, pictures) = encode::pictures(&drawing)?;
    let (audio, sounds) = encode::sounds(settings.tone)?;
    Ok(SlateLoop { video, pictures, picture_duration: picture_duration(), audio, sounds })
}

fn picture_duration() -> MediaTime {
    MediaTime::from_micros(1_000_000 / i64::from(RATE))
}

/// What a picture file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PictureKind {
    /// PNG.
    Png,
    /// JPEG.
    Jpeg,
}

/// Whether a picture can be the slate's, by decoding it within the limits that hold there: 6000 pixels a side, 160 MB of memory.
///
/// # Errors
/// What is wrong with it, in words for whoever chose it.
pub fn check(file: &[u8]) -> Result<PictureKind, String> {
    picture::check(file)
}

/// The slate as a still picture, a JPEG of 1280 x 720 pixels. Takes a fraction of a second of work.
///
/// # Errors
/// As [`render`]; of a bad file of the venue's own the built-in picture is given, as it is on the programme.
pub fn still(settings: SlateSettings<'_>) -> Result<Vec<u8>, SlateError> {
    let drawing = match settings.picture.map(picture::own) {
        Some(Ok(drawing)) => drawing,
        Some(Err(_)) | None => picture::built_in(settings.venue)?,
    };
    picture::jpeg(&drawing)
}

#[cfg(test)]
mod tests;
