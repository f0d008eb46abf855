//! What every slate is, and why there may be none.

use std::path::PathBuf;

/// The picture's width in pixels.
pub(super) const COLUMNS: u16 = 1280;

/// The picture's height in pixels.
pub(super) const ROWS: u16 = 720;

/// Both, as lengths of rows and columns.
pub(super) const WIDTH: usize = COLUMNS as usize;
pub(super) const HEIGHT: usize = ROWS as usize;

/// Pictures in a second.
pub(super) const RATE: u16 = 30;

/// Pictures in a loop: 2 s, the distance of key frames that platforms want.
pub(super) const PICTURES: usize = 60;

/// Why there is no slate.
#[derive(Debug, thiserror::Error)]
pub enum SlateError {
    /// The venue's own picture cannot be used; the built-in one can.
    #[error("the slate's picture {} cannot be used: {reason}", file.display())]
    Picture {
        /// The venue's picture, `program.slate`.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// It cannot be encoded.
    #[error("the slate cannot be encoded: {0}")]
    Encode(String),
}
