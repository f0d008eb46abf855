//! H.264's configuration record, and as much of its SPS as tells the picture's size.

use bytes::Bytes;
use thiserror::Error;

use super::nal;
use crate::core::{
    bits::BitReader,
    frame::AvcConfig,
    remark::{Remark, Remarks},
};

/// Larger pictures are refused: H.264's level 6.2 ends at 139,264 macroblocks, and 16,384 pixels is the widest that gives.
const MAX_SIDE: u32 = 16_384;

/// Why an avcC is unusable.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum AvcError {
    /// It ends too early.
    #[error("it ends too early")]
    Truncated,
    /// Its first byte is not 1.
    #[error("its version is {0}, not 1")]
    Version(u8),
    /// No sequence or no picture parameter set.
    #[error("it holds no parameter sets")]
    NoParameterSets,
    /// The sequence parameter set makes no sense.
    #[error("its sequence parameter set is malformed")]
    Sps,
    /// The picture's size is zero or absurd.
    #[error("its picture size is {width} x {height}")]
    Size {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
    },
}

impl AvcConfig {
    /// Reads an `AVCDecoderConfigurationRecord`. Its parameter sets are slices of `record`.
    ///
    /// # Errors
    ///
    /// When the record is cut short, is of another version, holds no parameter sets, or its first SPS is unusable.
    pub fn parse(record: Bytes) -> Result<Self, AvcError> {
        let Record { length_size, sps, pps } = Record::read(&record)?;
        let (Some(first), false) = (sps.first(), pps.is_empty()) else {
            return Err(AvcError::NoParameterSets);
        };
        let facts = Sps::parse(first)?;
        Ok(Self {
            length_size,
            width: facts.width,
            height: facts.height,
            profile: facts.profile,
            level: facts.level,
            sps,
            pps,
            record,
        })
    }

    /// What about its pictures is refused by platforms, which take 4:2:0 with 8 bits and no profile beyond High.
    pub fn remarks(&self) -> Remarks {
        let mut remarks = Remarks::default();
        let Some(Ok(sps)) = self.sps.first().map(|sps| Sps::parse(sps)) else { return remarks };
        if sps.luma_bits != 8 || sps.chroma_bits != 8 {
            remarks.add(Remark::BitDepth);
        }
        if sps.chroma != 1 {
            remarks.add(Remark::Chroma);
        }
        if remarks == Remarks::default() && !matches!(sps.profile, 66 | 77 | 88 | 100) {
            remarks.add(Remark::Profile);
        }
        remarks
    }
}

/// What stands in an `AVCDecoderConfigurationRecord`: whether it is enough is not asked.
pub(super) struct Record {
    /// Bytes of a NAL unit's length prefix, 1 to 4. Three are not allowed and understood.
    pub(super) length_size: u8,
    pub(super) sps: Vec<Bytes>,
    pub(super) pps: Vec<Bytes>,
}

impl Record {
    pub(super) fn read(record: &Bytes) -> Result<Self, AvcError> {
        let &[version, _, _, _, lengths, sps_count, ..] = record.as_ref() else {
            return Err(AvcError::Truncated);
        };
        if version != 1 {
            return Err(AvcError::Version(version));
        }
        let mut at = 6;
        let sps = parameter_sets(record, &mut at, sps_count & 0x1f, nal::SPS)?;
        let pps_count = *record.get(at).ok_or(AvcError::Truncated)?;
        at += 1;
        let pps = parameter_sets(record, &mut at, pps_count, nal::PPS)?;
        Ok(Self { length_size: (lengths & 3) + 1, sps, pps })
    }
}

/// The parameter sets of type `kind` among the next `count`; others and empty ones are passed over.
fn parameter_sets(record: &Bytes, at: &mut usize, count: u8, kind: u8) -> Result<Vec<Bytes>, AvcError> {
    let mut sets = Vec::new();
    for _ in 0..count {
        let (Some(&high), Some(&low)) = (record.get(*at), record.get(*at + 1)) else {
            return Err(AvcError::Truncated);
        };
        let start = *at + 2;
        let end = start + usize::from(u16::from_be_bytes([high, low]));
        if end > record.len() {
            return Err(AvcError::Truncated);
        }
        let set = record.slice(start..end);
        if nal::kind(&set) == Some(kind) {
            sets.push(set);
        }
        *at = end;
    }
    Ok(sets)
}

/// What a sequence parameter set says of its pictures.
pub(super) struct Sps {
    pub(super) profile: u8,
    pub(super) level: u8,
    /// `chroma_format_idc`: 0 none, 1 4:2:0, 2 4:2:2, 3 4:4:4.
    pub(super) chroma: u8,
    pub(super) luma_bits: u8,
    pub(super) chroma_bits: u8,
    width: u32,
    height: u32,
}

impl Sps {
    /// Reads an SPS up to its cropping (H.264, 7.3.2.1.1).
    pub(super) fn parse(unit: &[u8]) -> Result<Self, AvcError> {
        let payload = nal::without_emulation_prevention(unit.get(1..).ok_or(AvcError::Sps)?);
        let sps = Self::read(&mut BitReader::new(&payload)).ok_or(AvcError::Sps)?;
        if sps.width == 0 || sps.height == 0 || sps.width > MAX_SIDE || sps.height > MAX_SIDE {
            return Err(AvcError::Size { width: sps.width, height: sps.height });
        }
        Ok(sps)
    }

    fn read(bits: &mut BitReader<'_>) -> Option<Self> {
        let profile = bits.small(8)?;
        bits.bits(8)?; // constraint flags
        let level = bits.small(8)?;
        bits.exp_golomb()?; // seq_parameter_set_id
        // Chroma 4:2:0 and progressive unless said otherwise.
        let mut chroma = 1;
        let (mut luma_bits, mut chroma_bits) = (8, 8);
        let mut separate_planes = false;
        if matches!(profile, 100 | 110 | 122 | 244 | 44 | 83 | 86 | 118 | 128 | 138 | 139 | 134 | 135) {
            chroma = bits.exp_golomb()?;
            if chroma > 3 {
                return None;
            }
            if chroma == 3 {
                separate_planes = bits.bit()?;
            }
            luma_bits = bit_depth(bits)?;
            chroma_bits = bit_depth(bits)?;
            bits.bit()?; // qpprime_y_zero_transform_bypass_flag
            if bits.bit()? {
                let lists = if chroma == 3 { 12 } else { 8 };
                for list in 0..lists {
                    if bits.bit()? {
                        skip_scaling_list(bits, if list < 6 { 16 } else { 64 })?;
                    }
                }
            }
        }
        bits.exp_golomb()?; // log2_max_frame_num_minus4
        match bits.exp_golomb()? {
            0 => {
                bits.exp_golomb()?; // log2_max_pic_order_cnt_lsb_minus4
            }
            1 => {
                bits.bit()?; // delta_pic_order_always_zero_flag
                bits.exp_golomb()?; // offset_for_non_ref_pic
                bits.exp_golomb()?; // offset_for_top_to_bottom_field
                let cycle = bits.exp_golomb()?;
                if cycle > 255 {
                    return None;
                }
                for _ in 0..cycle {
                    bits.exp_golomb()?;
                }
            }
            2 => {}
            _ => return None,
        }
        bits.exp_golomb()?; // max_num_ref_frames
        bits.bit()?; // gaps_in_frame_num_value_allowed_flag
        let columns = bits.exp_golomb()?.checked_add(1)?;
        let rows = bits.exp_golomb()?.checked_add(1)?;
        let progressive = bits.bit()?;
        if !progressive {
            bits.bit()?; // mb_adaptive_frame_field_flag
        }
        bits.bit()?; // direct_8x8_inference_flag
        let fields = if progressive { 1 } else { 2 };
        let mut width = columns.checked_mul(16)?;
        let mut height = rows.checked_mul(16)?.checked_mul(fields)?;
        if bits.bit()? {
            // Units of cropping: table 6-1 and equations 7-19 to 7-22.
            let (unit_x, unit_y) = match chroma {
                _ if separate_planes => (1, 1),
                1 => (2, 2),
                2 => (2, 1),
                _ => (1, 1),
            };
            let [left, right, top, bottom] =
                [bits.exp_golomb()?, bits.exp_golomb()?, bits.exp_golomb()?, bits.exp_golomb()?];
            width = width.checked_sub(left.checked_add(right)?.checked_mul(unit_x)?)?;
            height = height.checked_sub(top.checked_add(bottom)?.checked_mul(unit_y)?.checked_mul(fields)?)?;
        }
        let chroma = u8::try_from(chroma).ok()?;
        Some(Self { profile, level, chroma, luma_bits, chroma_bits, width, height })
    }
}

/// Bits of a sample: 8 to 14 (H.264, 7.4.2.1.1).
fn bit_depth(bits: &mut BitReader<'_>) -> Option<u8> {
    let beyond = u8::try_from(bits.exp_golomb()?).ok()?;
    (beyond <= 6).then_some(8 + beyond)
}

/// Passes over one scaling list (H.264, 7.3.2.1.1.1).
fn skip_scaling_list(bits: &mut BitReader<'_>, size: u32) -> Option<()> {
    let (mut last, mut next) = (8_i64, 8_i64);
    for _ in 0..size {
        if next != 0 {
            next = (last + bits.signed_exp_golomb()?).rem_euclid(256);
        }
        if next != 0 {
            last = next;
        }
    }
    Some(())
}
