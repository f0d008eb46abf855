//! AAC's configuration.

use bytes::Bytes;
use thiserror::Error;

use crate::core::{bits::BitReader, frame::AacConfig};

/// ISO/IEC 14496-3, table 1.18.
const SAMPLE_RATES: [u32; 13] =
    [96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350];

/// Why an `AudioSpecificConfig` is unusable.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum AacError {
    /// It ends too early.
    #[error("it ends too early")]
    Truncated,
    /// A kind of AAC that decoders of platforms do not take.
    #[error("audio object type {0} is not supported: choose AAC-LC")]
    ObjectType(u32),
    /// A reserved or absurd sampling frequency.
    #[error("its sample rate is not one of AAC's")]
    SampleRate,
    /// A reserved channel configuration, or none at all.
    #[error("its channel configuration is not one of AAC's")]
    Channels,
}

impl AacConfig {
    /// Reads an `AudioSpecificConfig`. With SBR or PS signalled explicitly the rate is that of the core stream.
    ///
    /// # Errors
    ///
    /// When it is cut short, is no kind of AAC that can be decoded everywhere, or names a reserved rate or layout.
    pub fn parse(record: Bytes) -> Result<Self, AacError> {
        let CoreStream { sample_rate, channels, frame_samples, .. } = CoreStream::read(&record)?;
        Ok(Self { record, sample_rate, channels, frame_samples })
    }

    /// Whether a decoder of one decodes the other's frames: the core stream is the same, however it was written down.
    pub(super) fn means_the_same(&self, other: &Self) -> bool {
        CoreStream::read(&self.record) == CoreStream::read(&other.record)
    }
}

/// What an `AudioSpecificConfig` says of the core stream.
#[derive(PartialEq, Eq)]
struct CoreStream {
    object_type: u32,
    sample_rate: u32,
    channels: u8,
    frame_samples: u32,
}

impl CoreStream {
    fn read(record: &[u8]) -> Result<Self, AacError> {
        let mut bits = BitReader::new(record);
        let mut object_type = object_type(&mut bits)?;
        let sample_rate = sample_rate(&mut bits)?;
        let layout = bits.small(4).ok_or(AacError::Truncated)?;
        if matches!(object_type, 5 | 29) {
            self::sample_rate(&mut bits)?; // what SBR doubles it to
            object_type = self::object_type(&mut bits)?;
        }
        // Main, LC, SSR and LTP share GASpecificConfig (4.4.1); the rest is not decoded by every platform.
        if !matches!(object_type, 1..=4) {
            return Err(AacError::ObjectType(object_type));
        }
        // Some encoders send two bytes that end right after the layout: then everything is as by default.
        let short_frames = bits.bit().unwrap_or(false);
        let channels = match layout {
            0 => {
                if bits.bit().ok_or(AacError::Truncated)? {
                    bits.bits(14).ok_or(AacError::Truncated)?; // coreCoderDelay
                }
                bits.bit().ok_or(AacError::Truncated)?; // extensionFlag
                program_config_channels(&mut bits).ok_or(AacError::Truncated)?
            }
            1..=6 => layout,
            7 | 12 | 14 => 8,
            11 => 7,
            _ => return Err(AacError::Channels),
        };
        if !(1..=8).contains(&channels) {
            return Err(AacError::Channels);
        }
        Ok(Self { object_type, sample_rate, channels, frame_samples: if short_frames { 960 } else { 1024 } })
    }
}

fn object_type(bits: &mut BitReader<'_>) -> Result<u32, AacError> {
    let short = bits.bits(5).ok_or(AacError::Truncated)?;
    if short == 31 { Ok(32 + bits.bits(6).ok_or(AacError::Truncated)?) } else { Ok(short) }
}

fn sample_rate(bits: &mut BitReader<'_>) -> Result<u32, AacError> {
    let index = bits.bits(4).ok_or(AacError::Truncated)?;
    let rate = if index == 15 {
        bits.bits(24).ok_or(AacError::Truncated)?
    } else {
        usize::try_from(index).ok().and_then(|index| SAMPLE_RATES.get(index).copied()).ok_or(AacError::SampleRate)?
    };
    if (7_350..=96_000).contains(&rate) { Ok(rate) } else { Err(AacError::SampleRate) }
}

/// The number of channels a `program_config_element` describes (4.4.1.1).
fn program_config_channels(bits: &mut BitReader<'_>) -> Option<u8> {
    bits.bits(4 + 2 + 4)?; // instance tag, object type, sampling frequency index
    let pairable = [bits.small(4)?, bits.small(4)?, bits.small(4)?]; // front, side, back
    let low_frequency = bits.small(2)?;
    bits.bits(3 + 4)?; // associated data, coupling channels
    for width in [4, 4, 3] {
        // mono, stereo and matrix mixdown
        if bits.bit()? {
            bits.bits(width)?;
        }
    }
    let mut channels = low_frequency;
    for _ in 0..pairable.into_iter().sum() {
        channels = channels.saturating_add(if bits.bit()? { 2 } else { 1 });
        bits.bits(4)?; // element tag
    }
    Some(channels)
}
