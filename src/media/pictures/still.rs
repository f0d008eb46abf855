//! One key frame to one small JPEG.

use bytes::{BufMut, Bytes, BytesMut};
use gstreamer as gst;
use gstreamer::prelude::*;

use crate::{
    core::frame::AvcConfig,
    media::chain::{Chain, ChainError, element, filter},
};

/// The longer side of a thumbnail in pixels: sharp on a phone, where it is as wide as the page.
const SIDE: u32 = 480;

/// JPEG's quality of 100: below it text on a slate gets visible fringes, above it bytes double.
const QUALITY: i32 = 78;

/// Larger pictures are not decoded: 4096 x 2304. A configuration that claims 16,384 pixels would make the decoder ask for gigabytes.
const MOST_PIXELS: u64 = 4096 * 2304;

/// Slices of an IDR picture (H.264, table 7-1).
const IDR: u8 = 5;

/// Why there is no thumbnail.
#[derive(Debug, thiserror::Error)]
pub(super) enum StillError {
    #[error(transparent)]
    Chain(#[from] ChainError),
    #[error("{width} x {height} pixels are too many")]
    Size { width: u32, height: u32 },
    #[error("it has more than one sequence parameter set")]
    ParameterSets,
    #[error("the picture cannot be decoded")]
    Picture,
}

/// Decodes an IDR picture and makes a JPEG of it. `payload` is what a frame holds: NAL units with length prefixes.
///
/// A decoder is opened for each, and nothing is kept in between: opening takes well under a millisecond, and 9 decoders that wait for
/// their next picture would keep tens of megabytes.
pub(super) fn still(config: &AvcConfig, payload: &[u8]) -> Result<Bytes, StillError> {
    // Only the first one's picture size is known.
    if config.sps.len() != 1 {
        return Err(StillError::ParameterSets);
    }
    let (width, height) = (config.width, config.height);
    if u64::from(width) * u64::from(height) > MOST_PIXELS {
        return Err(StillError::Size { width, height });
    }
    let chain = chain(config)?;
    let mut buffer = gst::Buffer::from_slice(slices(config, payload).ok_or(StillError::Picture)?);
    if let Some(buffer) = buffer.get_mut() {
        buffer.set_pts(gst::ClockTime::ZERO);
    }
    let mut pictures = chain.push(buffer).map_err(|_| StillError::Picture)?;
    // A decoder holds a picture back in case another one is to be shown before it.
    pictures.extend(chain.finish());
    let map = pictures.first().and_then(|picture| picture.map_readable().ok()).ok_or(StillError::Picture)?;
    Ok(Bytes::copy_from_slice(&map))
}

fn chain(config: &AvcConfig) -> Result<Chain, ChainError> {
    let side = |pixels: u32| i32::try_from(pixels).unwrap_or(i32::MAX);
    let coded = gst::Caps::builder("video/x-h264")
        .field("stream-format", "avc")
        .field("alignment", "au")
        .field("width", side(config.width))
        .field("height", side(config.height))
        .field("codec_data", gst::Buffer::from_slice(config.record.clone()))
        .build();
    let (width, height) = thumbnail_size(config.width, config.height);
    let small = gst::Caps::builder("video/x-raw")
        .field("format", "I420")
        .field("width", side(width))
        .field("height", side(height))
        .field("pixel-aspect-ratio", gst::Fraction::new(1, 1))
        .build();
    let decoder = element("avdec_h264")?;
    // In this thread.
    decoder.set_property("max-threads", 1_i32);
    let scaler = element("videoscale")?;
    // Over all pixels, not two of them: a thumbnail of text is read.
    scaler.set_property_from_str("method", "bilinear2");
    let encoder = element("jpegenc")?;
    encoder.set_property("quality", QUALITY);
    Chain::new("thumbnail", vec![decoder, scaler, element("videoconvert")?, filter(&small)?, encoder], &coded)
}

/// Width and height with the longer side at most [`SIDE`], even as chroma is.
fn thumbnail_size(width: u32, height: u32) -> (u32, u32) {
    let longer = width.max(height).max(1);
    let scaled = |side: u32| {
        let side = if longer <= SIDE { side } else { (side * SIDE + longer / 2) / longer };
        (side & !1).max(2)
    };
    (scaled(width), scaled(height))
}

/// The picture's slices alone. Parameter sets in band could announce a picture of any size; those of the configuration count.
fn slices(config: &AvcConfig, payload: &[u8]) -> Option<Bytes> {
    let mut kept = BytesMut::with_capacity(payload.len());
    let mut rest = payload;
    while !rest.is_empty() {
        let (prefix, tail) = rest.split_at_checked(usize::from(config.length_size))?;
        let length = prefix.iter().fold(0_usize, |length, byte| (length << 8) | usize::from(*byte));
        let (unit, tail) = tail.split_at_checked(length)?;
        if unit.first().is_some_and(|header| header & 0x1f == IDR) {
            kept.put_slice(prefix);
            kept.put_slice(unit);
        }
        rest = tail;
    }
    (!kept.is_empty()).then(|| kept.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thumbnail_keeps_the_shape_and_is_never_larger_than_the_picture() {
        for (picture, thumbnail) in [
            ((1280, 720), (480, 270)),
            ((720, 1280), (270, 480)),
            ((320, 240), (320, 240)),
            ((4096, 2), (480, 2)),
            ((1920, 1080), (480, 270)),
            ((854, 480), (480, 270)),
        ] {
            assert_eq!(thumbnail_size(picture.0, picture.1), thumbnail, "{picture:?}");
        }
    }
}
