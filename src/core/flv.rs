//! FLV tag bodies, which are RTMP message payloads: to frames and back. FLV exists only at the edges.
//!
//! Sources: Adobe's "Video File Format Specification 10.1", annex E; Veovera's "Enhanced RTMP" v2; ISO/IEC 14496-15 for
//! the avcC; ISO/IEC 14496-3 for the `AudioSpecificConfig`.

use thiserror::Error;

mod aac;
mod avc;
mod demux;
mod file;
mod mux;
#[cfg(test)]
mod tests;

pub use aac::AacError;
pub use avc::AvcError;
pub use demux::Demuxer;
pub use file::{FileError, FileReader, FileTag, FileTagKind};
pub use mux::{MetaData, audio_body, audio_header, file_header, on_metadata, tag, video_body, video_header};

/// Why a message of a streamer's stream is no frame. Its text is for the streamer.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum FlvError {
    /// Pictures in a codec that the programme does not carry.
    #[error("{0} is not supported: choose H.264 (x264 or hardware) in Settings, Output")]
    VideoCodec(String),
    /// Sound in a codec that the programme does not carry.
    #[error("{0} sound is not supported: choose AAC in Settings, Output")]
    AudioCodec(String),
    /// The message ends before `field` does.
    #[error("the stream is malformed: a message ends inside {field}")]
    Truncated {
        /// What was being read.
        field: &'static str,
    },
    /// The pictures' configuration is unusable.
    #[error("the video configuration (avcC) is unusable: {0}")]
    Avc(#[from] AvcError),
    /// The sound's configuration is unusable.
    #[error("the audio configuration is unusable: {0}")]
    Aac(#[from] AacError),
    /// A picture's NAL units do not fill it exactly.
    #[error("the stream is malformed: the length of a NAL unit runs past the end of its picture")]
    NalLength,
}

/// NAL unit types (H.264, table 7-1), as far as they matter here.
mod nal {
    pub(super) const IDR: u8 = 5;
    pub(super) const SPS: u8 = 7;
    pub(super) const PPS: u8 = 8;
    pub(super) const DELIMITER: u8 = 9;
}

/// The NAL units of one access unit with length prefixes of `length_size` bytes. Ends after the first malformed one.
fn nal_units(payload: &[u8], length_size: u8) -> impl Iterator<Item = Result<&[u8], FlvError>> {
    let mut rest = payload;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let split = rest.split_at_checked(usize::from(length_size)).and_then(|(prefix, tail)| {
            let length = prefix.iter().fold(0_usize, |length, byte| (length << 8) | usize::from(*byte));
            tail.split_at_checked(length)
        });
        if let Some((unit, tail)) = split {
            rest = tail;
            Some(Ok(unit))
        } else {
            rest = &[];
            Some(Err(FlvError::NalLength))
        }
    })
}

/// The type of a NAL unit; none for an empty one.
fn nal_type(unit: &[u8]) -> Option<u8> {
    unit.first().map(|header| header & 0x1f)
}
