//! An FLV file as it arrives, in pieces of any size: to tags.

use bytes::{Buf, Bytes, BytesMut};

/// The largest tag that is taken: a picture of a second at 60 Mbit/s.
const MAX_TAG: usize = 8 << 20;

/// The file's header, and a tag's header.
const FILE_HEADER: usize = 9;
const TAG_HEADER: usize = 11;
/// The size that stands behind the file's header and behind each tag.
const TRAILER: usize = 4;
/// The file's header says where the first tag begins; nobody puts more than this in between.
const MOST_OFFSET: usize = 1024;
/// Bodies are slices of blocks of this size: a block is a twelfth of a second at 6 Mbit/s.
const BLOCK: usize = 64 << 10;

/// Which kind of tag it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileTagKind {
    /// A message of sound.
    Audio,
    /// A message of pictures.
    Video,
    /// Metadata.
    Script,
}

/// One tag of an FLV file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileTag {
    /// Whether it holds sound, pictures or metadata.
    pub kind: FileTagKind,
    /// Its time stamp in milliseconds, all 32 bits.
    pub time_ms: u32,
    /// What an RTMP message of this kind holds.
    pub body: Bytes,
}

/// Why it is no FLV.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// It does not begin as FLV does.
    #[error("what came is no FLV")]
    NotFlv,
    /// Tags of other kinds are not defined, so that the place in the file is lost; or it is encrypted.
    #[error("the FLV is malformed: a tag of kind {0}")]
    Kind(u8),
    /// More than 8 MiB.
    #[error("the FLV has a tag of {0} bytes")]
    TooLarge(usize),
}

/// Reads a file. Holds at most one unfinished tag and what was written last.
#[derive(Debug, Default)]
pub struct FileReader {
    buffer: BytesMut,
    begun: bool,
}

impl FileReader {
    /// A reader at the beginning of a file.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes. Everything is to be read before more is written.
    pub fn write(&mut self, bytes: &[u8]) {
        let room = self.buffer.capacity() - self.buffer.len();
        if room < bytes.len() {
            // Room for the whole tag that has begun, so that it is moved once and not with every piece.
            let missing = self.tag_size().map_or(0, |size| size.min(MAX_TAG).saturating_sub(self.buffer.len()));
            self.buffer.reserve(bytes.len().max(missing).max(BLOCK));
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next tag; none until more is written.
    ///
    /// # Errors
    /// See [`FileError`]; nothing can be read after one.
    pub fn read(&mut self) -> Result<Option<FileTag>, FileError> {
        if !self.begun && !self.begin()? {
            return Ok(None);
        }
        let Some(&kind) = self.buffer.first() else { return Ok(None) };
        let kind = match kind {
            8 => FileTagKind::Audio,
            9 => FileTagKind::Video,
            18 => FileTagKind::Script,
            other => return Err(FileError::Kind(other)),
        };
        let Some(size) = self.tag_size() else { return Ok(None) };
        let length = size - TAG_HEADER - TRAILER;
        if length > MAX_TAG {
            return Err(FileError::TooLarge(length));
        }
        if self.buffer.len() < size {
            return Ok(None);
        }
        let mut tag = self.buffer.split_to(size);
        let time_ms = match tag.get(4..8) {
            Some(&[a, b, c, extended]) => u32::from_be_bytes([extended, a, b, c]),
            _ => 0,
        };
        tag.advance(TAG_HEADER);
        tag.truncate(length);
        Ok(Some(FileTag { kind, time_ms, body: tag.freeze() }))
    }

    /// Passes over the file's header.
    fn begin(&mut self) -> Result<bool, FileError> {
        if !b"FLV".starts_with(self.buffer.get(..3).unwrap_or(&self.buffer)) {
            return Err(FileError::NotFlv);
        }
        let Some(&[a, b, c, d]) = self.buffer.get(5..FILE_HEADER) else { return Ok(false) };
        let offset = u32::from_be_bytes([a, b, c, d]) as usize;
        if !(FILE_HEADER..=MOST_OFFSET).contains(&offset) {
            return Err(FileError::NotFlv);
        }
        if self.buffer.len() < offset + TRAILER {
            return Ok(false);
        }
        self.buffer.advance(offset + TRAILER);
        self.begun = true;
        Ok(true)
    }

    /// The whole size of the tag that the buffer begins with, once it can be told.
    fn tag_size(&self) -> Option<usize> {
        match self.buffer.get(1..TAG_HEADER) {
            Some(&[a, b, c, ..]) if self.begun => {
                Some(TAG_HEADER + u32::from_be_bytes([0, a, b, c]) as usize + TRAILER)
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;
    use crate::core::flv::{file_header, tag};

    fn read_all(reader: &mut FileReader) -> Result<Vec<FileTag>, FileError> {
        let mut tags = Vec::new();
        while let Some(tag) = reader.read()? {
            tags.push(tag);
        }
        Ok(tags)
    }

    #[test]
    fn what_is_no_flv_is_refused_at_once() {
        for start in [&b"<ht"[..], b"F<", b"FLX"] {
            let mut reader = FileReader::new();
            reader.write(start);
            assert_eq!(reader.read(), Err(FileError::NotFlv));
        }
    }

    #[test]
    fn tag_of_another_kind_ends_it() {
        let mut reader = FileReader::new();
        reader.write(&file_header(true, true));
        reader.write(&tag(9, 1, b"picture"));
        reader.write(&[0x29]);
        assert_eq!(reader.read().unwrap().unwrap().body.as_ref(), b"picture");
        assert_eq!(reader.read(), Err(FileError::Kind(0x29)));
    }

    #[test]
    fn tag_that_claims_too_much_is_refused_before_it_is_held() {
        let mut reader = FileReader::new();
        reader.write(&file_header(true, true));
        reader.write(&[9, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(reader.read(), Err(FileError::TooLarge(0xff_ffff)));
    }

    proptest! {
        #[test]
        fn tags_come_out_however_they_are_cut(
            tags in proptest::collection::vec((prop_oneof![Just(8_u8), Just(9), Just(18)], any::<u32>(), 0_usize..3000), 0..20),
            cuts in proptest::collection::vec(1_usize..700, 1..50),
        ) {
            let mut file = file_header(true, true).to_vec();
            for (n, (kind, time, size)) in (0_u8..).zip(&tags) {
                file.extend_from_slice(&tag(*kind, *time, &vec![n; *size]));
            }
            let (mut reader, mut read, mut rest) = (FileReader::new(), Vec::new(), &file[..]);
            for cut in cuts.iter().cycle() {
                let (piece, after) = rest.split_at((*cut).min(rest.len()));
                reader.write(piece);
                read.extend(read_all(&mut reader).unwrap());
                rest = after;
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert_eq!(read.len(), tags.len());
            for (n, (tag, (_, time, size))) in (0_u8..).zip(read.iter().zip(&tags)) {
                prop_assert_eq!(tag.time_ms, *time);
                prop_assert_eq!(&tag.body[..], &vec![n; *size][..]);
            }
        }

        #[test]
        fn any_bytes_are_tags_or_an_error(
            valid in any::<bool>(),
            pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 0..20),
        ) {
            let mut reader = FileReader::new();
            if valid {
                reader.write(&file_header(true, true));
            }
            for piece in pieces {
                reader.write(&piece);
                if read_all(&mut reader).is_err() {
                    break;
                }
            }
        }
    }
}
