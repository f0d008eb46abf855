//! AAC as it stands in a file of its own: with a header before each frame (ISO/IEC 13818-7, 6.2).

/// A frame's header.
pub(super) struct AdtsHeader {
    /// Bytes of the header, with its check sum.
    pub(super) size: usize,
    /// Bytes of the frame, header included.
    pub(super) frame: usize,
    /// The `AudioSpecificConfig` that says the same.
    pub(super) record: [u8; 2],
}

impl AdtsHeader {
    /// Reads a header. None for what begins otherwise: a raw frame never begins with its twelve bits, which there are an end.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let &[0xff, second, third, fourth, fifth, sixth, _, ..] = bytes else { return None };
        if second & 0xf6 != 0xf0 {
            return None;
        }
        let size = if second & 1 == 1 { 7 } else { 9 };
        let frame = usize::from(fourth & 3) << 11 | usize::from(fifth) << 3 | usize::from(sixth) >> 5;
        let (object_type, rate) = ((third >> 6) + 1, (third >> 2) & 0x0f);
        let layout = (third & 1) << 2 | fourth >> 6;
        let record = [object_type << 3 | rate >> 1, (rate & 1) << 7 | layout << 3];
        Some(Self { size, frame, record })
    }
}
