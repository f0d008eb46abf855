//! FLV as far as the tests need it: reading assets, writing recordings, looking into tags.

use std::{fs, io, path::Path};

use super::rtmp::{AUDIO, VIDEO};

/// One tag of an FLV file.
#[derive(Clone, Debug)]
pub(crate) struct FlvTag {
    pub(crate) kind: u8,
    pub(crate) timestamp: u32,
    pub(crate) payload: Vec<u8>,
}

/// All tags of a file.
pub(crate) fn read(path: &Path) -> io::Result<Vec<FlvTag>> {
    let bytes = fs::read(path)?;
    Ok(parse(bytes.get(13..).unwrap_or_default()))
}

/// All whole tags of bytes that begin behind the file header.
pub(crate) fn parse(bytes: &[u8]) -> Vec<FlvTag> {
    let mut tags = Vec::new();
    let mut rest = bytes;
    while let Some(header) = rest.get(..11) {
        let length = u32::from_be_bytes([0, header[1], header[2], header[3]]) as usize;
        let Some(payload) = rest.get(11..11 + length) else { break };
        let timestamp = u32::from_be_bytes([header[7], header[4], header[5], header[6]]);
        tags.push(FlvTag { kind: header[0], timestamp, payload: payload.to_vec() });
        rest = rest.get(11 + length + 4..).unwrap_or_default();
    }
    tags
}

/// What a stream of tags begins with.
pub(crate) const HEADER: &[u8] = b"FLV\x01\x05\0\0\0\x09\0\0\0\0";

/// Appends one tag.
pub(crate) fn tag(kind: u8, timestamp: u32, payload: &[u8], out: &mut Vec<u8>) {
    let time = timestamp.to_be_bytes();
    out.push(kind);
    out.extend_from_slice(&(payload.len() as u32).to_be_bytes()[1..]);
    out.extend_from_slice(&time[1..]);
    out.push(time[0]);
    out.extend_from_slice(&[0, 0, 0]);
    out.extend_from_slice(payload);
    out.extend_from_slice(&(payload.len() as u32 + 11).to_be_bytes());
}

/// Writes a file that any player opens.
pub(crate) fn write<'a>(path: &Path, tags: impl IntoIterator<Item = (u8, i64, &'a [u8])>) -> io::Result<()> {
    let mut out = HEADER.to_vec();
    for (kind, milliseconds, payload) in tags {
        tag(kind, milliseconds as u32, payload, &mut out);
    }
    fs::write(path, out)
}

/// What a tag is, by its first bytes (Adobe's "Video File Format", E.4.2 and E.4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    VideoConfig,
    Picture { idr: bool, composition_ms: i32 },
    AudioConfig,
    Sound,
    Other,
}

/// Looks into a tag of H.264 or AAC.
pub(crate) fn content(kind: u8, payload: &[u8]) -> Content {
    match (kind, payload) {
        (VIDEO, [first, 0, ..]) if first & 0x0f == 7 => Content::VideoConfig,
        (VIDEO, [first, 1, a, b, c, units @ ..]) if first & 0x0f == 7 => {
            let composition_ms = i32::from_be_bytes([*a, *b, *c, 0]) >> 8;
            Content::Picture { idr: nal_types(units).contains(&5), composition_ms }
        }
        (AUDIO, [first, 0, ..]) if first >> 4 == 10 => Content::AudioConfig,
        (AUDIO, [first, 1, ..]) if first >> 4 == 10 => Content::Sound,
        _ => Content::Other,
    }
}

/// The types of a picture's NAL units, four-byte lengths assumed.
pub(crate) fn nal_types(mut units: &[u8]) -> Vec<u8> {
    let mut types = Vec::new();
    while let Some((length, rest)) = units.split_at_checked(4) {
        let length = u32::from_be_bytes([length[0], length[1], length[2], length[3]]) as usize;
        let Some((unit, rest)) = rest.split_at_checked(length) else { break };
        types.extend(unit.first().map(|byte| byte & 0x1f));
        units = rest;
    }
    types
}
