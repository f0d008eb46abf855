//! The slate: the stand-in picture and sound, rendered and encoded once.

use std::path::{Path, PathBuf};

use crate::core::switcher::SlateLoop;

/// GStreamer elements the slate's encoding is built from.
pub const ELEMENTS: &[&str] = &["appsrc", "videoconvert", "x264enc", "h264parse", "appsink"];

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
#[expect(clippy::todo, unused_variables, reason = "skeleton")]
pub fn render(settings: SlateSettings<'_>) -> Result<SlateLoop, SlateError> {
    todo!()
}
