//! The parameter sets that a stream sent, wherever it sent them.

use std::collections::BTreeMap;

use bytes::{BufMut, Bytes, BytesMut};

use super::{
    avc::{Record, Sps},
    nal,
};
use crate::core::bits::BitReader;

/// All sets together; encoders send some hundred bytes.
const MOST_BYTES: usize = 64 << 10;
/// Numbers that fit in an `AVCDecoderConfigurationRecord`.
const MOST_SPS: usize = 31;
const MOST_PPS: usize = 255;
/// Bytes in which the ids end: an SPS's three bytes and one number, or a PPS's two numbers.
const IDS: usize = 16;

/// The sets by their ids. A later one takes the place of an earlier one with the same id, as in a decoder.
#[derive(Debug, Default)]
pub(super) struct ParameterSets {
    sps: BTreeMap<u32, Bytes>,
    /// With the id of the SPS that each is for.
    pps: BTreeMap<u32, (u32, Bytes)>,
}

impl ParameterSets {
    /// Those in a configuration record.
    pub(super) fn of(record: &Record) -> Self {
        let mut sets = Self::default();
        for set in record.sps.iter().chain(&record.pps) {
            sets.note(set);
        }
        sets
    }

    /// Notes a set. True when that changes something. What is malformed, or finds no room, is passed over.
    pub(super) fn note(&mut self, unit: &[u8]) -> bool {
        let unit = nal::trimmed(unit);
        match nal::kind(unit) {
            Some(nal::SPS) => self.note_sps(unit).unwrap_or(false),
            Some(nal::PPS) => self.note_pps(unit).unwrap_or(false),
            _ => false,
        }
    }

    fn note_sps(&mut self, unit: &[u8]) -> Option<bool> {
        let id = sps_id(unit).filter(|id| *id < 32)?;
        if self.sps.get(&id).is_some_and(|held| held == unit) {
            return Some(false);
        }
        Sps::parse(unit).ok()?;
        self.has_room(unit).then(|| self.sps.insert(id, Bytes::copy_from_slice(unit)))?;
        Some(true)
    }

    fn note_pps(&mut self, unit: &[u8]) -> Option<bool> {
        let (id, sps) = pps_ids(unit).filter(|(id, sps)| *id < 256 && *sps < 32)?;
        if self.pps.get(&id).is_some_and(|(_, held)| held == unit) {
            return Some(false);
        }
        self.has_room(unit).then(|| self.pps.insert(id, (sps, Bytes::copy_from_slice(unit))))?;
        Some(true)
    }

    fn has_room(&self, unit: &[u8]) -> bool {
        let held: usize = self.sps.values().chain(self.pps.values().map(|(_, set)| set)).map(Bytes::len).sum();
        held + unit.len() <= MOST_BYTES && u16::try_from(unit.len()).is_ok()
    }

    /// The id of the SPS that a picture with this PPS is coded by.
    pub(super) fn sps_of(&self, pps: u32) -> Option<u32> {
        let (sps, _) = self.pps.get(&pps)?;
        self.sps.contains_key(sps).then_some(*sps)
    }

    /// An `AVCDecoderConfigurationRecord` of all sets, for lengths of four bytes, the SPS `active` first (ISO/IEC 14496-15, 5.3.3.1).
    /// None without an SPS or a PPS.
    pub(super) fn record(&self, active: Option<u32>) -> Option<Bytes> {
        let first = active.filter(|id| self.sps.contains_key(id)).or_else(|| self.sps.keys().next().copied())?;
        let leading = self.sps.get(&first)?;
        let facts = Sps::parse(leading).ok()?;
        let others = self.sps.iter().filter(|(id, _)| **id != first).map(|(_, set)| set);
        let sps: Vec<&Bytes> = std::iter::once(leading).chain(others).take(MOST_SPS).collect();
        let pps: Vec<&Bytes> = self.pps.values().map(|(_, set)| set).take(MOST_PPS).collect();
        if pps.is_empty() {
            return None;
        }
        let mut out = BytesMut::with_capacity(128);
        out.put_slice(&[1, facts.profile, leading.get(2).copied().unwrap_or(0), facts.level, 0xfc | 3]);
        out.put_u8(0xe0 | u8::try_from(sps.len()).ok()?);
        let put = |out: &mut BytesMut, sets: &[&Bytes]| {
            for set in sets {
                out.put_uint(set.len() as u64, 2);
                out.put_slice(set);
            }
        };
        put(&mut out, &sps);
        out.put_u8(u8::try_from(pps.len()).ok()?);
        put(&mut out, &pps);
        if !matches!(facts.profile, 66 | 77 | 88) {
            out.put_slice(&[0xfc | facts.chroma, 0xf8 | (facts.luma_bits - 8), 0xf8 | (facts.chroma_bits - 8), 0]);
        }
        Some(out.freeze())
    }
}

/// The id of an SPS (H.264, 7.3.2.1.1).
pub(super) fn sps_id(unit: &[u8]) -> Option<u32> {
    let head = nal::without_emulation_prevention(unit.get(1..unit.len().min(IDS))?);
    BitReader::new(head.get(3..)?).exp_golomb()
}

/// The id of a PPS, and that of its SPS (H.264, 7.3.2.2).
fn pps_ids(unit: &[u8]) -> Option<(u32, u32)> {
    let head = nal::without_emulation_prevention(unit.get(1..unit.len().min(IDS))?);
    let mut bits = BitReader::new(&head);
    Some((bits.exp_golomb()?, bits.exp_golomb()?))
}
