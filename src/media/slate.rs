//! The slate: the stand-in picture and sound, rendered and encoded once.

mod encode;
mod format;
mod kept;
mod picture;

use std::{
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;

use self::format::RATE;
#[cfg(test)]
pub(crate) use self::kept::folder_of_tests;
use self::picture::Drawing;
pub use self::{
    format::SlateError,
    kept::{kept, still},
    picture::{Fitted, PictureKind},
};
use crate::{
    config::{Config, SlateSound},
    core::{frame::MediaTime, switcher::SlateLoop},
};

/// GStreamer elements the slate's encoding is built from, besides those of the house format.
pub const ELEMENTS: &[&str] = &["x264enc", "capsfilter"];

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

impl<'a> SlateSettings<'a> {
    /// What the configuration says of the slate.
    pub fn of(config: &'a Config) -> Self {
        Self {
            venue: &config.venue.name,
            picture: config.program.slate.as_deref(),
            tone: config.program.slate_sound == SlateSound::Tone,
        }
    }
}

/// Renders and encodes the slate.
///
/// # Errors
///
/// [`SlateError::Picture`] for a bad file: call again without it and say so. [`SlateError::Encode`] when GStreamer fails.
pub fn render(settings: SlateSettings<'_>) -> Result<SlateLoop, SlateError> {
    let _turn = turn();
    encode(&draw(settings)?, settings.tone)
}

/// Held while a picture is decoded, drawn or encoded: one at a time in the whole process, because each takes a hundred megabytes for a
/// moment, and any number of people may look at the slate at once.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn draw(settings: SlateSettings<'_>) -> Result<Drawing, SlateError> {
    match settings.picture {
        Some(file) => picture::own(file),
        None => picture::built_in(settings.venue),
    }
}

fn encode(drawing: &Drawing, tone: bool) -> Result<SlateLoop, SlateError> {
    gstreamer::init().map_err(|error| SlateError::Encode(error.to_string()))?;
    let (video, pictures) = encode::pictures(drawing)?;
    let (audio, sounds) = encode::sounds(tone)?;
    Ok(SlateLoop { video, pictures, picture_duration: picture_duration(), audio, sounds })
}

fn picture_duration() -> MediaTime {
    MediaTime::from_micros(1_000_000 / i64::from(RATE))
}

/// Whether a picture can be the slate's, by decoding it within the limits that hold there: 6000 pixels a side, 120 MB when decoded. One
/// with more pixels than the slate is given back smaller, so that it is decoded this once.
///
/// # Errors
/// What is wrong with it, in words for whoever chose it.
pub fn fit(file: &[u8]) -> Result<Fitted, String> {
    let _turn = turn();
    picture::fit(file)
}

/// Whether a picture can be the slate's, as [`fit`] judges it.
///
/// # Errors
/// What is wrong with it, in words for whoever chose it.
pub fn check(file: &[u8]) -> Result<PictureKind, String> {
    fit(file).map(|fitted| fitted.kind)
}

/// The slate as a still picture, a JPEG of 1280 x 720 pixels; of a bad file of the venue's own the built-in picture, as on the programme.
fn drawn_still(settings: SlateSettings<'_>) -> Result<Bytes, SlateError> {
    let drawing = match draw(settings) {
        Err(SlateError::Picture { .. }) => picture::built_in(settings.venue)?,
        drawn => drawn?,
    };
    picture::jpeg(&drawing)
}

#[cfg(test)]
mod tests;
