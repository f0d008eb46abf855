//! The little of a slice's header that is looked at.

use super::{nal, nal_units};
use crate::core::{
    bits::BitReader,
    frame::{CodecConfig, Frame},
};

/// Whether a picture's first slice is a B slice (H.264, 7.3.3 and table 7-6): it may be shown before the picture that was sent before it.
pub fn is_bipredictive(frame: &Frame) -> bool {
    let CodecConfig::Avc(avc) = frame.config.as_ref() else { return false };
    let slice = nal_units(&frame.payload, avc.length_size)
        .map_while(Result::ok)
        .find(|unit| nal::kind(unit).is_some_and(|kind| (nal::SLICE..=nal::IDR).contains(&kind)));
    let Some(slice) = slice.and_then(|unit| unit.get(1..)) else { return false };
    let mut reader = BitReader::new(slice);
    // first_mb_in_slice, then slice_type.
    reader.exp_golomb().and_then(|_| reader.exp_golomb()).is_some_and(|kind| kind % 5 == 1)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;

    use super::*;
    use crate::core::frame::{AvcConfig, MediaTime, Track};

    #[test]
    fn slice_type_is_read_behind_what_stands_before_the_slice() {
        let config = Arc::new(CodecConfig::Avc(AvcConfig::of_tests()));
        let is_b = |payload: &'static [u8]| {
            is_bipredictive(&Frame {
                track: Track::Video,
                dts: MediaTime::ZERO,
                pts: MediaTime::ZERO,
                keyframe: false,
                payload: Bytes::from_static(payload),
                config: config.clone(),
            })
        };
        // A delimiter; then first_mb_in_slice 0 (1), slice_type 1 (010) or 6 (00111): B; 0 (1) or 5 (00110): P; 7 (0001000): I.
        assert!(is_b(&[0, 0, 0, 2, 9, 0xf0, 0, 0, 0, 2, 0x01, 0b1010_0000]));
        assert!(is_b(&[0, 0, 0, 2, 0x01, 0b1001_1100]));
        assert!(!is_b(&[0, 0, 0, 2, 0x41, 0b1100_0000]));
        assert!(!is_b(&[0, 0, 0, 2, 0x41, 0b1001_1000]));
        assert!(!is_b(&[0, 0, 0, 2, 0x65, 0b1000_1000]));
        assert!(!is_b(&[0, 0, 0, 1, 0x41]));
        assert!(!is_b(&[0, 0, 0, 9, 0x41]));
        assert!(!is_b(&[]));
    }
}
