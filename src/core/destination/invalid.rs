//! What is wrong with a destination, and what would be right.

use thiserror::Error;

/// An address to show whoever gave none, or something else.
pub(super) const EXAMPLE: &str = "rtmp://live.example.com/app";

/// What is wrong with a destination, and what would be right. Never holds the key.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{field}: {reason}")]
pub struct InvalidDestination {
    /// `name`, `url`, `key`, or `destinations` when there are too many.
    pub field: &'static str,
    /// What is wrong and how to put it right, as one sentence for whoever typed it.
    pub reason: String,
}

pub(super) fn invalid<T>(field: &'static str, reason: impl Into<String>) -> Result<T, InvalidDestination> {
    Err(InvalidDestination { field, reason: reason.into() })
}

/// Control characters, and the spaces and marks that nobody sees.
pub(super) fn invisible(c: char) -> bool {
    c.is_control()
        || (c.is_whitespace() && c != ' ')
        || matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}
