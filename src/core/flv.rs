//! FLV tag bodies, which are RTMP message payloads: to frames and back. FLV exists only at the edges.
//!
//! Sources: Adobe's "Video File Format Specification 10.1", annex E; Veovera's "Enhanced RTMP" v2; ISO/IEC 14496-15 for
//! the avcC; ISO/IEC 14496-3 for the `AudioSpecificConfig`.

use thiserror::Error;

use super::oddity::Oddity;

mod aac;
mod adts;
mod avc;
mod demux;
mod file;
mod mux;
mod nal;
mod pictures;
mod sets;
mod sieve;
mod slice;
mod sounds;
#[cfg(test)]
mod tests;

pub use aac::AacError;
pub use avc::AvcError;
pub use demux::Demuxer;
pub use file::{FileError, FileReader, FileTag, FileTagKind};
pub use mux::{MetaData, audio_body, audio_header, file_header, on_metadata, tag, video_body, video_header};
pub use sieve::{Sieve, Sifted};
pub use slice::is_bipredictive;

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
    /// Pictures with start codes instead of lengths.
    #[error(
        "its pictures are packed as in an H.264 file (Annex B start codes), which RTMP does not carry: set the encoder's output format \
         to FLV (ffmpeg: -f flv), or choose another video encoder"
    )]
    AnnexB,
    /// A transport stream in RTMP's messages.
    #[error(
        "it sends MPEG-TS, which RTMP does not carry: set the encoder's output format (container) to FLV, with H.264 and AAC"
    )]
    TransportStream,
    /// A picture's NAL units do not fill it exactly.
    #[error("the stream is malformed: the length of a NAL unit runs past the end of its picture")]
    NalLength,
}

impl FlvError {
    /// Whether the stream can never be shown like this, so that it is best ended with these words. False for one odd message,
    /// behind which a sound stream may go on: that one is left out.
    pub const fn ends_the_stream(&self) -> bool {
        match self {
            Self::VideoCodec(_) | Self::AudioCodec(_) | Self::AnnexB | Self::TransportStream => true,
            Self::Truncated { .. } | Self::NalLength => false,
            Self::Avc(error) => !matches!(error, AvcError::Truncated | AvcError::NoParameterSets),
            // Object type 0 is none at all: a configuration of zeros.
            Self::Aac(error) => !matches!(error, AacError::Truncated | AacError::ObjectType(0)),
        }
    }

    /// What a message is counted as that is left out for it.
    pub const fn oddity(&self) -> Oddity {
        match self {
            Self::VideoCodec(_) | Self::AudioCodec(_) | Self::TransportStream => Oddity::OtherCodec,
            Self::Truncated { .. } => Oddity::CutHeader,
            Self::NalLength | Self::AnnexB => Oddity::CutPicture,
            Self::Avc(_) | Self::Aac(_) => Oddity::Configuration,
        }
    }
}

/// The NAL units of one access unit with length prefixes of `length_size` bytes. Ends after the first malformed one. Zero bytes behind
/// the last one that are too few for another length are nothing.
fn nal_units(payload: &[u8], length_size: u8) -> impl Iterator<Item = Result<&[u8], FlvError>> {
    let mut rest = payload;
    std::iter::from_fn(move || {
        if rest.len() < usize::from(length_size) && rest.iter().all(|byte| *byte == 0) {
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
