//! NAL units (H.264, 7.3.1), as far as they matter here.

use crate::core::bits::BitReader;

pub(super) const SLICE: u8 = 1;
pub(super) const IDR: u8 = 5;
pub(super) const SEI: u8 = 6;
pub(super) const SPS: u8 = 7;
pub(super) const PPS: u8 = 8;
pub(super) const DELIMITER: u8 = 9;

/// The payload type of a recovery point among SEI messages (H.264, D.1.8).
const RECOVERY_POINT: usize = 6;

/// Bytes in which a slice header's first three numbers end: the largest take 10, and emulation prevention adds a half.
const SLICE_START: usize = 16;

/// The type of a NAL unit; none for an empty one.
pub(super) fn kind(unit: &[u8]) -> Option<u8> {
    unit.first().map(|header| header & 0x1f)
}

/// How a slice begins (H.264, 7.3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SliceStart {
    /// The slice's first macroblock: zero in a picture's first slice.
    pub(super) first_macroblock: u32,
    /// It refers to no other picture: an I slice.
    pub(super) intra: bool,
    /// The id of its picture parameter set.
    pub(super) parameter_set: u32,
}

impl SliceStart {
    /// Reads the start of a slice, or of the partition that holds its header; none for any other NAL unit.
    pub(super) fn read(unit: &[u8]) -> Option<Self> {
        if !matches!(kind(unit)?, 1 | 2 | IDR) {
            return None;
        }
        let head = unit.get(1..)?;
        let head = without_emulation_prevention(head.get(..SLICE_START).unwrap_or(head));
        let mut bits = BitReader::new(&head);
        let first_macroblock = bits.exp_golomb()?;
        // 7 says the same as 2, and that all slices of the picture are alike.
        let intra = matches!(bits.exp_golomb()?, 2 | 7);
        let parameter_set = bits.exp_golomb()?;
        Some(Self { first_macroblock, intra, parameter_set })
    }
}

/// Whether a NAL unit holds coded picture: a slice or a partition of one.
pub(super) fn is_coded(unit: &[u8]) -> bool {
    matches!(kind(unit), Some(1..=5))
}

/// Whether a NAL unit belongs to the picture before it: an end of sequence or of stream, or filler.
pub(super) fn is_suffix(unit: &[u8]) -> bool {
    matches!(kind(unit), Some(10..=12))
}

/// The NAL units in what claims to be one, if it is to be `split`. Inside of one no start code can stand (H.264, 7.4.1): where one does,
/// an encoder glued its units together. What begins as a slice is not searched.
pub(super) fn pieces(unit: &[u8], split: bool) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(unit);
    std::iter::from_fn(move || {
        let unit = rest.take()?;
        let code = if !split || is_coded(unit) { None } else { unit.windows(3).position(|bytes| bytes == [0, 0, 1]) };
        let Some((before, after)) = code.and_then(|at| unit.split_at_checked(at)) else { return Some(unit) };
        rest = after.get(3..);
        Some(trimmed(before))
    })
    .filter(|unit| !unit.is_empty())
}

/// Whether bytes begin with a start code (H.264, annex B) instead of a length.
pub(super) fn begins_with_start_code(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0, 0, 1]) || bytes.starts_with(&[0, 0, 0, 1])
}

/// A NAL unit without zero bytes behind it, which are none of it: its last byte has the stop bit.
pub(super) fn trimmed(unit: &[u8]) -> &[u8] {
    let end = unit.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    unit.get(..end).unwrap_or(unit)
}

/// Whether a NAL unit of SEI messages says that pictures decoded from here on are right at once: a recovery point with a
/// `recovery_frame_cnt` of zero (H.264, D.2.8).
pub(super) fn recovers_at_once(unit: &[u8]) -> bool {
    if kind(unit) != Some(SEI) {
        return false;
    }
    let plain = without_emulation_prevention(unit.get(1..).unwrap_or_default());
    let mut rest = plain.as_slice();
    while let Some((payload_type, after)) = sei_number(rest)
        && let Some((size, after)) = sei_number(after)
        && let Some((payload, after)) = after.split_at_checked(size)
    {
        if payload_type == RECOVERY_POINT {
            return BitReader::new(payload).exp_golomb() == Some(0);
        }
        rest = after;
    }
    false
}

/// A type or a size of an SEI message, and what follows it: bytes of 255 count on (H.264, 7.3.2.3.1).
fn sei_number(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let more = bytes.iter().take_while(|byte| **byte == 0xff).count();
    let (last, rest) = bytes.get(more..)?.split_first()?;
    Some((more * 255 + usize::from(*last), rest))
}

/// Takes out the 3 of every 0 0 3 (H.264, 7.4.1).
pub(super) fn without_emulation_prevention(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut zeros = 0;
    for &byte in bytes {
        if zeros >= 2 && byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        out.push(byte);
    }
    out
}
