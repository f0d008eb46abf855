//! Publishing by WebRTC (WHIP, RFC 9725), passed on to SRS, which serves it on its API port. Publishing only.

use bytes::Bytes;
use thiserror::Error;

use crate::core::account::StreamKey;

/// The way to SRS's WHIP. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Whip {}

/// A session that SRS opened.
#[derive(Clone, Debug)]
pub struct WhipSession {
    /// SRS's answer to the offer.
    pub sdp: Bytes,
    /// What ends the session: for [`Whip::delete`], in SRS's words. Holds the stream key.
    pub resource: String,
}

/// Why there is no session.
#[derive(Debug, Error)]
pub enum WhipError {
    /// SRS, or the director through its hook, says no.
    #[error("refused: {0}")]
    Refused(String),
    /// SRS does not answer.
    #[error("the media server does not answer: {0}")]
    Unavailable(String),
}

impl Whip {
    /// Opens a session for `key` with the encoder's SDP offer. `host` is the address by which the encoder reached the page: SRS offers its
    /// media port there.
    ///
    /// # Errors
    /// See [`WhipError`].
    pub async fn publish(&self, key: &StreamKey, offer: Bytes, host: &str) -> Result<WhipSession, WhipError> {
        let _ = (key, offer, host);
        Err(WhipError::Unavailable("not built yet".to_owned()))
    }

    /// Ends a session.
    ///
    /// # Errors
    /// See [`WhipError`].
    pub async fn delete(&self, resource: &str) -> Result<(), WhipError> {
        let _ = resource;
        Err(WhipError::Unavailable("not built yet".to_owned()))
    }
}
