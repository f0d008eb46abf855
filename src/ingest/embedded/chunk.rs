//! RTMP's chunk stream (Adobe's "Real Time Messaging Protocol" 1.0, section 5.3): bytes to messages and back, without I/O.
//!
//! What a stranger claims is not believed: of a message whose header says that it is too long only the beginning is kept, and a buffer
//! grows with what has arrived.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use thiserror::Error;

/// Message types.
pub(super) mod kind {
    pub(in super::super) const SET_CHUNK_SIZE: u8 = 1;
    pub(in super::super) const ABORT: u8 = 2;
    pub(in super::super) const ACKNOWLEDGEMENT: u8 = 3;
    pub(in super::super) const USER_CONTROL: u8 = 4;
    pub(in super::super) const WINDOW_SIZE: u8 = 5;
    pub(in super::super) const PEER_BANDWIDTH: u8 = 6;
    pub(in super::super) const AUDIO: u8 = 8;
    pub(in super::super) const VIDEO: u8 = 9;
    pub(in super::super) const COMMAND_AMF3: u8 = 17;
    pub(in super::super) const COMMAND: u8 = 20;
    pub(in super::super) const AGGREGATE: u8 = 22;
}

/// The longest message that carries no media, and the longest of any kind before a publish was accepted. Metadata is the longest that
/// encoders send: some put a list of key frames there, which nobody reads.
pub(super) const MAX_COMMAND: usize = 64 * 1024;

/// The longest message that carries media. An IDR of 4 MiB would take a second at 34 Mbit/s.
pub(super) const MAX_MEDIA: usize = 4 * 1024 * 1024;

/// What is kept of a message that is too long: its media header, which says what is lost with it.
const KEPT_OF_TOO_LONG: usize = 16;

/// Chunk streams of one connection. Encoders use three to five.
const MAX_CHUNK_STREAMS: usize = 64;

/// Bytes of all unfinished messages of one connection together: one of the longest, and as much again.
const MAX_UNFINISHED: usize = 2 * MAX_MEDIA;

/// What is reserved for a message at first; from there its buffer doubles as data arrives, up to exactly its length. Covers
/// everything but large key frames at once.
const FIRST_RESERVE: usize = 64 * 1024;

/// The chunk size before anybody sets one (5.4.1).
const DEFAULT_CHUNK_SIZE: usize = 128;

/// A time stamp field that says that four more bytes follow (5.3.1.3).
const EXTENDED: u32 = 0xff_ffff;

/// Why the bytes are no chunk stream that is taken here.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub(super) enum ChunkError {
    #[error("a chunk size of {0} is not allowed")]
    ChunkSize(u32),
    #[error("more than {MAX_CHUNK_STREAMS} chunk streams are open")]
    TooManyStreams,
    #[error("a chunk stream begins without a full header")]
    NoHeader,
    #[error("unfinished messages fill more than {MAX_UNFINISHED} bytes")]
    TooMuchUnfinished,
}

/// A whole message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) kind: u8,
    /// The message stream: 0 for the connection, others from `createStream`.
    pub(super) stream: u32,
    /// Milliseconds, 32 bits.
    pub(super) timestamp: u32,
    pub(super) body: Bytes,
    /// It was too long: `body` is its beginning.
    pub(super) too_long: bool,
}

/// What the last header on one chunk stream said, and the message that is being put together.
#[derive(Default)]
struct ChunkStream {
    id: u32,
    timestamp: u32,
    /// The last time stamp field: what a header without one adds again (5.3.1.2.4).
    step: u32,
    extended: bool,
    length: usize,
    kind: u8,
    stream: u32,
    /// The unfinished message.
    body: Option<Vec<u8>>,
    /// It is too long: so many of its bytes have come, and not all were kept.
    passed: Option<usize>,
}

impl ChunkStream {
    /// How much of the unfinished message has come.
    fn have(&self) -> usize {
        self.passed.unwrap_or_else(|| self.body.as_ref().map_or(0, Vec::len))
    }

    /// Gives the unfinished message up; says how much of it was kept.
    fn give_up(&mut self) -> usize {
        self.passed = None;
        self.body.take().map_or(0, |body| body.len())
    }
}

/// The payload of the chunk that is being read.
struct Chunk {
    stream: usize,
    left: usize,
}

/// Puts messages together.
pub(super) struct ChunkReader {
    streams: Vec<ChunkStream>,
    chunk_size: usize,
    max_media: usize,
    unfinished: usize,
    current: Option<Chunk>,
    /// Whether this peer repeats the extended time stamp in chunks without a header, as the standard says, or leaves it out
    /// there, as OBS did until 2024. Unknown until the first such chunk, which tells.
    repeats_extended: Option<bool>,
}

impl ChunkReader {
    pub(super) fn new() -> Self {
        Self {
            streams: Vec::new(),
            chunk_size: DEFAULT_CHUNK_SIZE,
            max_media: MAX_COMMAND,
            unfinished: 0,
            current: None,
            repeats_extended: None,
        }
    }

    /// Media may be as long as media gets: a publish was accepted. Or not: it is over.
    pub(super) const fn allow_media(&mut self, allowed: bool) {
        self.max_media = if allowed { MAX_MEDIA } else { MAX_COMMAND };
    }

    /// The peer's chunks are as long as this from now on. More than the longest message is never needed (5.4.1).
    pub(super) fn set_chunk_size(&mut self, size: u32) -> Result<(), ChunkError> {
        if size == 0 || size > 0x7fff_ffff {
            return Err(ChunkError::ChunkSize(size));
        }
        self.chunk_size = usize::try_from(size).unwrap_or(usize::MAX).min(0xff_ffff);
        Ok(())
    }

    /// Forgets the unfinished message on chunk stream `id`.
    pub(super) fn abort(&mut self, id: u32) {
        if let Some(stream) = self.streams.iter_mut().find(|stream| stream.id == id) {
            self.unfinished -= stream.give_up();
        }
    }

    /// The next message, taken from the front of `input`. `None` when there is not enough for one; what was understood is
    /// taken away all the same.
    pub(super) fn next(&mut self, input: &mut BytesMut) -> Result<Option<Message>, ChunkError> {
        loop {
            if let Some(chunk) = &mut self.current {
                let take = chunk.left.min(input.len());
                let Some(stream) = self.streams.get_mut(chunk.stream) else { return Err(ChunkError::NoHeader) };
                let data = input.get(..take).unwrap_or_default();
                let body = stream.body.get_or_insert_default();
                let before = body.len();
                if let Some(passed) = &mut stream.passed {
                    *passed += take;
                    let room = KEPT_OF_TOO_LONG.saturating_sub(body.len()).min(take);
                    body.extend_from_slice(data.get(..room).unwrap_or_default());
                } else {
                    append(body, data, stream.length);
                }
                self.unfinished += body.len() - before;
                input.advance(take);
                chunk.left -= take;
                if self.unfinished > MAX_UNFINISHED {
                    return Err(ChunkError::TooMuchUnfinished);
                }
                if chunk.left > 0 {
                    return Ok(None);
                }
                self.current = None;
                if stream.have() >= stream.length {
                    let too_long = stream.passed.take().is_some();
                    let body = stream.body.take().unwrap_or_default();
                    self.unfinished -= body.len();
                    return Ok(Some(Message {
                        kind: stream.kind,
                        stream: stream.stream,
                        timestamp: stream.timestamp,
                        body: body.into(),
                        too_long,
                    }));
                }
            } else if !self.header(input)? {
                return Ok(None);
            }
        }
    }

    /// Reads one chunk's header. False, and nothing is taken, when there is not enough for it.
    fn header(&mut self, input: &mut BytesMut) -> Result<bool, ChunkError> {
        let mut rest = input.as_ref();
        let Ok(first) = rest.try_get_u8() else { return Ok(false) };
        let format = first >> 6;
        let id = match first & 0x3f {
            0 => rest.try_get_u8().map(|low| 64 + u32::from(low)),
            1 => rest.try_get_u16_le().map(|low| 64 + u32::from(low)),
            id => Ok(u32::from(id)),
        };
        let Ok(id) = id else { return Ok(false) };

        let index = self.streams.iter().position(|stream| stream.id == id);
        let Some(fields) = Fields::read(format, &mut rest) else { return Ok(false) };
        let index = match index {
            Some(index) => index,
            // The standard wants a full header first; a librtmp begins with one that lacks the message stream.
            None if format > 1 => return Err(ChunkError::NoHeader),
            None if self.streams.len() >= MAX_CHUNK_STREAMS => return Err(ChunkError::TooManyStreams),
            None => {
                // Not taken into account until the header is whole: the stream is put in below.
                self.streams.len()
            }
        };
        let blank = ChunkStream { id, ..ChunkStream::default() };
        let old = self.streams.get(index).unwrap_or(&blank);

        let continues = format == 3 && old.body.is_some();
        let mut step = fields.step.unwrap_or(old.step);
        let mut extended = old.extended;
        let mut learned = None;
        if let Some(field) = fields.step {
            extended = field == EXTENDED;
            if extended {
                let Ok(value) = rest.try_get_u32() else { return Ok(false) };
                step = value;
            }
        } else if extended && self.repeats_extended != Some(false) {
            let Some(field) = rest.first_chunk::<4>() else { return Ok(false) };
            let field = u32::from_be_bytes(*field);
            // Data that looks like the time stamp by chance would have to do so in the very first such chunk.
            let repeated = self.repeats_extended == Some(true) || field == step || field == old.timestamp;
            learned = Some(repeated);
            if repeated {
                rest.advance(4);
                if !continues {
                    step = field;
                }
            }
        }

        let length = fields.length.unwrap_or(old.length);
        let kind = fields.kind.unwrap_or(old.kind);
        let limit = match kind {
            kind::AUDIO | kind::VIDEO | kind::AGGREGATE => self.max_media,
            _ => MAX_COMMAND,
        };

        let taken = input.len() - rest.len();
        input.advance(taken);
        if learned.is_some() {
            self.repeats_extended = learned;
        }
        if index == self.streams.len() {
            self.streams.push(blank);
        }
        let Some(stream) = self.streams.get_mut(index) else { return Ok(false) };
        if !continues {
            // A header in the middle of a message gives that message up.
            self.unfinished -= stream.give_up();
            stream.timestamp = if format == 0 { step } else { stream.timestamp.wrapping_add(step) };
            stream.step = step;
            stream.extended = extended;
            stream.length = length;
            stream.kind = kind;
            stream.stream = fields.stream.unwrap_or(stream.stream);
            stream.passed = (length > limit).then_some(0);
        }
        let left = stream.length.saturating_sub(stream.have()).min(self.chunk_size);
        self.current = Some(Chunk { stream: index, left });
        Ok(true)
    }
}

/// The fields of a message header (5.3.1.2), as far as its format has them.
#[derive(Default)]
struct Fields {
    step: Option<u32>,
    length: Option<usize>,
    kind: Option<u8>,
    stream: Option<u32>,
}

impl Fields {
    fn read(format: u8, rest: &mut &[u8]) -> Option<Self> {
        let mut fields = Self::default();
        if format < 3 {
            fields.step = u32::try_from(rest.try_get_uint(3).ok()?).ok();
        }
        if format < 2 {
            fields.length = usize::try_from(rest.try_get_uint(3).ok()?).ok();
            fields.kind = Some(rest.try_get_u8().ok()?);
        }
        if format == 0 {
            fields.stream = Some(rest.try_get_u32_le().ok()?);
        }
        Some(fields)
    }
}

/// Appends to a body that will be `length` bytes long; its capacity ends at exactly that, so that it freezes without a copy.
fn append(body: &mut Vec<u8>, data: &[u8], length: usize) {
    let need = body.len() + data.len();
    if need > body.capacity() {
        let wanted = need.max(2 * body.capacity()).max(FIRST_RESERVE).min(length);
        body.reserve_exact(wanted - body.len());
    }
    body.extend_from_slice(data);
}

/// Appends messages of ours, in chunks.
pub(super) struct ChunkWriter {
    chunk_size: usize,
}

impl ChunkWriter {
    pub(super) const fn new() -> Self {
        Self { chunk_size: DEFAULT_CHUNK_SIZE }
    }

    /// A protocol control message (5.4), with its one number.
    pub(super) fn control(&mut self, out: &mut BytesMut, kind: u8, value: u32) {
        self.message(out, 2, kind, 0, &value.to_be_bytes());
        if kind == kind::SET_CHUNK_SIZE {
            self.chunk_size = usize::try_from(value).unwrap_or(usize::MAX).max(1);
        }
    }

    /// A message at time 0 on chunk stream `chunk_stream`, which is 2 to 63.
    pub(super) fn message(&self, out: &mut BytesMut, chunk_stream: u8, kind: u8, stream: u32, body: &[u8]) {
        out.put_slice(&[chunk_stream, 0, 0, 0]);
        out.put_uint(body.len() as u64, 3);
        out.put_u8(kind);
        out.put_u32_le(stream);
        for (index, chunk) in body.chunks(self.chunk_size).enumerate() {
            if index > 0 {
                out.put_u8(0xc0 | chunk_stream);
            }
            out.put_slice(chunk);
        }
    }
}
