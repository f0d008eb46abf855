//! Messages of AAC to frames, each with the configuration that it is decoded by.

use std::sync::Arc;

use bytes::Bytes;

use super::{FlvError, adts::AdtsHeader};
use crate::core::frame::{AacConfig, CodecConfig, Frame, MediaTime, Track};

/// Frames without any configuration before that is told.
const MOST_UNCONFIGURED: u32 = 100;

/// One track's way from messages to frames of sound.
#[derive(Debug, Default)]
pub(super) struct SoundIntake {
    /// In force.
    config: Option<Arc<CodecConfig>>,
    /// It was in an `AudioSpecificConfig`, and not in the frames' own headers.
    sent: bool,
    /// Frames that came before any configuration.
    unconfigured: u32,
}

impl SoundIntake {
    /// The configuration in force.
    pub(super) const fn config(&self) -> Option<&Arc<CodecConfig>> {
        self.config.as_ref()
    }

    /// Whether sound comes and none can be decoded, for want of a configuration.
    pub(super) const fn is_unconfigured(&self) -> bool {
        self.unconfigured > MOST_UNCONFIGURED
    }

    /// Takes an `AudioSpecificConfig`. One that says the same as the one in force changes nothing.
    pub(super) fn configure(&mut self, record: &Bytes) -> Result<(), FlvError> {
        if record.is_empty() {
            return Ok(());
        }
        if record.starts_with(b"OpusHead") {
            // OBS sends it like that when FFmpeg's Opus is chosen for a stream by RTMP.
            return Err(FlvError::AudioCodec("Opus".to_owned()));
        }
        if let Some(header) = AdtsHeader::read(record) {
            return self.put_in_force(&header.record);
        }
        self.put_in_force(record)?;
        self.sent = true;
        Ok(())
    }

    fn put_in_force(&mut self, record: &[u8]) -> Result<(), FlvError> {
        let held = match self.config.as_deref() {
            Some(CodecConfig::Aac(held)) => Some(held),
            _ => None,
        };
        if held.is_some_and(|held| held.record == record) {
            return Ok(());
        }
        // It outlives its message by hours: a copy of its few bytes keeps no larger buffer alive.
        let config = AacConfig::parse(Bytes::copy_from_slice(record))?;
        if held.is_none_or(|held| !held.means_the_same(&config)) {
            self.config = Some(Arc::new(CodecConfig::Aac(config)));
        }
        self.unconfigured = 0;
        Ok(())
    }

    /// Takes a message of sound: one frame, raw, or as in a file of its own, behind a header that is taken off.
    pub(super) fn take(&mut self, message: Bytes, dts_ms: u32) -> Result<Option<Frame>, FlvError> {
        let payload = match AdtsHeader::read(&message) {
            None => message,
            Some(header) => {
                if header.frame < header.size || header.frame > message.len() {
                    return Err(FlvError::Truncated { field: "a frame of sound" });
                }
                if !self.sent {
                    self.put_in_force(&header.record)?;
                }
                message.slice(header.size..header.frame)
            }
        };
        if payload.is_empty() {
            return Ok(None);
        }
        let Some(config) = self.config.clone() else {
            self.unconfigured = self.unconfigured.saturating_add(1);
            return Ok(None);
        };
        let dts = MediaTime::from_millis(i64::from(dts_ms));
        Ok(Some(Frame { track: Track::Audio, dts, pts: dts, keyframe: true, payload, config }))
    }
}
