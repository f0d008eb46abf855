//! RTMP as the tests speak it: a chunk reader and writer, AMF0 as far as a publish needs it, and a publishing client.
//! Written from Adobe's "RTMP 1.0" and "AMF0" documents, independently of the code under test.

use std::{
    collections::HashMap,
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

/// Message types (RTMP 1.0, 5.4 and 7.1).
pub(crate) const SET_CHUNK_SIZE: u8 = 1;
pub(crate) const ACKNOWLEDGEMENT: u8 = 3;
pub(crate) const USER_CONTROL: u8 = 4;
pub(crate) const WINDOW_SIZE: u8 = 5;
pub(crate) const PEER_BANDWIDTH: u8 = 6;
pub(crate) const AUDIO: u8 = 8;
pub(crate) const VIDEO: u8 = 9;
pub(crate) const DATA: u8 = 18;
pub(crate) const COMMAND: u8 = 20;

/// One RTMP message.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Message {
    pub(crate) kind: u8,
    pub(crate) stream: u32,
    pub(crate) timestamp: u32,
    pub(crate) payload: Vec<u8>,
}

#[derive(Default)]
struct ChunkStream {
    timestamp: u32,
    field: u32,
    extended: bool,
    length: usize,
    kind: u8,
    stream: u32,
    partial: Vec<u8>,
}

/// What one chunk brought.
enum Progress {
    /// Its message goes on in another chunk.
    Chunk,
    /// The message is whole.
    Message(Message),
}

/// Turns bytes into messages (RTMP 1.0, 5.3).
pub(crate) struct ChunkReader {
    size: usize,
    streams: HashMap<u32, ChunkStream>,
    pending: Vec<u8>,
    at: usize,
}

impl ChunkReader {
    pub(crate) fn new() -> Self {
        Self { size: 128, streams: HashMap::new(), pending: Vec::new(), at: 0 }
    }

    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        if self.at > 1 << 16 {
            self.pending.drain(..self.at);
            self.at = 0;
        }
        self.pending.extend_from_slice(bytes);
    }

    /// The next whole message. Follows the peer's chunk size by itself.
    pub(crate) fn next(&mut self) -> Option<Message> {
        loop {
            if let Progress::Message(message) = self.chunk()? {
                if message.kind == SET_CHUNK_SIZE && message.payload.len() >= 4 {
                    self.size = be(&message.payload[..4]) as usize;
                }
                return Some(message);
            }
        }
    }

    /// Reads one chunk; `None`: bytes are missing.
    fn chunk(&mut self) -> Option<Progress> {
        let bytes = &self.pending[self.at..];
        let mut at = 0;
        let mut take = |count: usize| {
            let slice = bytes.get(at..at + count);
            at += count;
            slice
        };
        let first = take(1)?[0];
        let id = match first & 0x3f {
            0 => 64 + u32::from(take(1)?[0]),
            1 => {
                let two = take(2)?;
                64 + u32::from(two[0]) + 256 * u32::from(two[1])
            }
            id => u32::from(id),
        };
        let format = first >> 6;
        let header = take([11, 7, 3, 0][usize::from(format)])?;
        let stream = self.streams.entry(id).or_default();
        let begins = stream.partial.is_empty();
        let (mut field, mut extended) = (stream.field, stream.extended);
        if format < 3 {
            field = be(&header[..3]);
            extended = field == 0xff_ffff;
        }
        if extended {
            // Both dialects are possible in a chunk of type 3; the peers here (ffmpeg, GStreamer, nginx) repeat the field.
            field = be(take(4)?);
        }
        let length = if format < 2 { be(&header[3..6]) as usize } else { stream.length };
        let body = take((length - stream.partial.len().min(length)).min(self.size))?;
        if format < 2 {
            stream.length = length;
            stream.kind = header[6];
        }
        if format == 0 {
            stream.stream = u32::from_le_bytes([header[7], header[8], header[9], header[10]]);
        }
        if begins {
            stream.timestamp = if format == 0 { field } else { stream.timestamp.wrapping_add(field) };
        }
        stream.field = field;
        stream.extended = extended;
        stream.partial.extend_from_slice(body);
        self.at += at;
        if stream.partial.len() < stream.length {
            return Some(Progress::Chunk);
        }
        Some(Progress::Message(Message {
            kind: stream.kind,
            stream: stream.stream,
            timestamp: stream.timestamp,
            payload: std::mem::take(&mut stream.partial),
        }))
    }
}

/// Turns messages into chunks: always type 0 and 3, which every peer must understand.
pub(crate) struct ChunkWriter {
    size: usize,
    /// Repeat an extended time stamp in chunks of type 3 (as most do), or not (as OBS before 2024 does).
    pub(crate) repeat_extended: bool,
}

impl ChunkWriter {
    pub(crate) fn new() -> Self {
        Self { size: 128, repeat_extended: true }
    }

    /// Announces a chunk size and uses it from then on.
    pub(crate) fn set_size(&mut self, size: u32, out: &mut Vec<u8>) {
        self.write(2, &control(SET_CHUNK_SIZE, &size.to_be_bytes()), out);
        self.size = size as usize;
    }

    pub(crate) fn write(&self, chunk_stream: u8, message: &Message, out: &mut Vec<u8>) {
        let extended = message.timestamp >= 0xff_ffff;
        let field = if extended { 0xff_ffff } else { message.timestamp };
        out.push(chunk_stream);
        out.extend_from_slice(&field.to_be_bytes()[1..]);
        out.extend_from_slice(&(message.payload.len() as u32).to_be_bytes()[1..]);
        out.push(message.kind);
        out.extend_from_slice(&message.stream.to_le_bytes());
        let mut parts = message.payload.chunks(self.size);
        if extended {
            out.extend_from_slice(&message.timestamp.to_be_bytes());
        }
        out.extend_from_slice(parts.next().unwrap_or_default());
        for part in parts {
            out.push(0xc0 | chunk_stream);
            if extended && self.repeat_extended {
                out.extend_from_slice(&message.timestamp.to_be_bytes());
            }
            out.extend_from_slice(part);
        }
    }
}

fn be(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |value, byte| value << 8 | u32::from(*byte))
}

/// A message of the protocol itself.
pub(crate) fn control(kind: u8, payload: &[u8]) -> Message {
    Message { kind, stream: 0, timestamp: 0, payload: payload.to_vec() }
}

/// An AMF0 value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Amf {
    Number(f64),
    Boolean(bool),
    Text(String),
    Object(Vec<(String, Amf)>),
    Null,
}

impl Amf {
    pub(crate) fn text(text: &str) -> Self {
        Self::Text(text.to_owned())
    }

    pub(crate) fn as_text(&self) -> &str {
        if let Self::Text(text) = self { text } else { "" }
    }

    pub(crate) fn as_number(&self) -> f64 {
        if let Self::Number(number) = self { *number } else { f64::NAN }
    }

    /// A field of an object.
    pub(crate) fn field(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Object(fields) => fields.iter().find(|(key, _)| key == name).map(|(_, value)| value),
            _ => None,
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        fn name(text: &str, out: &mut Vec<u8>) {
            out.extend_from_slice(&(text.len() as u16).to_be_bytes());
            out.extend_from_slice(text.as_bytes());
        }
        match self {
            Self::Number(number) => {
                out.push(0);
                out.extend_from_slice(&number.to_be_bytes());
            }
            Self::Boolean(value) => out.extend_from_slice(&[1, u8::from(*value)]),
            Self::Text(text) => {
                out.push(2);
                name(text, out);
            }
            Self::Object(fields) => {
                out.push(3);
                for (key, value) in fields {
                    name(key, out);
                    value.encode(out);
                }
                out.extend_from_slice(&[0, 0, 9]);
            }
            Self::Null => out.push(5),
        }
    }

    fn decode(bytes: &mut &[u8]) -> Option<Self> {
        fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
            let (head, tail) = bytes.split_at_checked(count)?;
            *bytes = tail;
            Some(head)
        }
        fn name(bytes: &mut &[u8]) -> Option<String> {
            let length = be(take(bytes, 2)?) as usize;
            Some(String::from_utf8_lossy(take(bytes, length)?).into_owned())
        }
        fn fields(bytes: &mut &[u8]) -> Option<Amf> {
            let mut fields = Vec::new();
            loop {
                let key = name(bytes)?;
                if key.is_empty() && bytes.first() == Some(&9) {
                    take(bytes, 1)?;
                    return Some(Amf::Object(fields));
                }
                fields.push((key, Amf::decode(bytes)?));
            }
        }
        match take(bytes, 1)?[0] {
            0 => Some(Self::Number(f64::from_be_bytes(take(bytes, 8)?.try_into().ok()?))),
            1 => Some(Self::Boolean(take(bytes, 1)?[0] != 0)),
            2 => Some(Self::Text(name(bytes)?)),
            3 => fields(bytes),
            8 => {
                take(bytes, 4)?;
                fields(bytes)
            }
            5 | 6 => Some(Self::Null),
            _ => None,
        }
    }

    /// All values of a command or data message.
    pub(crate) fn decode_all(mut bytes: &[u8]) -> Vec<Self> {
        let mut values = Vec::new();
        while let Some(value) = Self::decode(&mut bytes) {
            values.push(value);
        }
        values
    }
}

/// A command message.
pub(crate) fn command(stream: u32, values: &[Amf]) -> Message {
    let mut payload = Vec::new();
    for value in values {
        value.encode(&mut payload);
    }
    Message { kind: COMMAND, stream, timestamp: 0, payload }
}

/// An `onStatus` as servers send it.
pub(crate) fn status(level: &str, code: &str, description: &str) -> Message {
    let information = [("level", level), ("code", code), ("description", description)];
    let information = information.map(|(key, value)| (key.to_owned(), Amf::text(value))).to_vec();
    command(1, &[Amf::text("onStatus"), Amf::Number(0.0), Amf::Null, Amf::Object(information)])
}

/// Why a publish did not happen.
#[derive(Debug)]
pub(crate) enum PublishError {
    /// The server said no.
    Refused { code: String, description: String },
    /// The connection ended or was silent.
    Io(io::Error),
}

impl From<io::Error> for PublishError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// A client that publishes.
pub(crate) struct Publisher {
    socket: TcpStream,
    reader: ChunkReader,
    pub(crate) writer: ChunkWriter,
    out: Vec<u8>,
    key: String,
    /// From sending `publish` to its answer.
    pub(crate) answered_in: Duration,
}

impl Publisher {
    /// Connects and shakes hands, no more.
    pub(crate) fn handshake(address: SocketAddr) -> io::Result<TcpStream> {
        let mut socket = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(Duration::from_secs(10)))?;
        let mut hello = vec![3_u8];
        hello.extend((0..1536_u32).map(|n| if n < 8 { 0 } else { (n * 7 % 251) as u8 }));
        socket.write_all(&hello)?;
        let mut answer = vec![0; 1 + 1536 * 2];
        socket.read_exact(&mut answer)?;
        socket.write_all(&answer[1..=1536])?;
        Ok(socket)
    }

    /// Publishes to `app` as `key`.
    pub(crate) fn publish(address: SocketAddr, app: &str, key: &str) -> Result<Self, PublishError> {
        let mut this = Self {
            socket: Self::handshake(address)?,
            reader: ChunkReader::new(),
            writer: ChunkWriter::new(),
            out: Vec::new(),
            key: key.to_owned(),
            answered_in: Duration::ZERO,
        };
        this.writer.set_size(4096, &mut this.out);
        let connect = Amf::Object(vec![
            ("app".to_owned(), Amf::text(app)),
            ("type".to_owned(), Amf::text("nonprivate")),
            ("tcUrl".to_owned(), Amf::Text(format!("rtmp://{address}/{app}"))),
        ]);
        this.command(0, &[Amf::text("connect"), Amf::Number(1.0), connect])?;
        this.answer(1.0)?;
        this.command(0, &[Amf::text("releaseStream"), Amf::Number(2.0), Amf::Null, Amf::text(key)])?;
        this.command(0, &[Amf::text("FCPublish"), Amf::Number(3.0), Amf::Null, Amf::text(key)])?;
        this.command(0, &[Amf::text("createStream"), Amf::Number(4.0), Amf::Null])?;
        this.answer(4.0)?;
        let begin = Instant::now();
        this.command(1, &[Amf::text("publish"), Amf::Number(5.0), Amf::Null, Amf::text(key), Amf::text("live")])?;
        this.answer(5.0)?;
        this.answered_in = begin.elapsed();
        Ok(this)
    }

    fn command(&mut self, stream: u32, values: &[Amf]) -> io::Result<()> {
        self.writer.write(3, &command(stream, values), &mut self.out);
        self.flush()
    }

    fn flush(&mut self) -> io::Result<()> {
        self.socket.write_all(&self.out)?;
        self.out.clear();
        Ok(())
    }

    /// Waits for the `_result` of `transaction`, or for `onStatus`.
    fn answer(&mut self, transaction: f64) -> Result<(), PublishError> {
        let mut buffer = [0; 8192];
        loop {
            while let Some(message) = self.reader.next() {
                if message.kind != COMMAND {
                    continue;
                }
                let values = Amf::decode_all(&message.payload);
                let information = values.iter().rev().find(|value| value.field("code").is_some());
                let text = |name: &str| information.and_then(|i| i.field(name)).map_or("", Amf::as_text).to_owned();
                match (values.first().map_or("", Amf::as_text), values.get(1).map_or(f64::NAN, Amf::as_number)) {
                    ("_result", number) if (number - transaction).abs() < 0.5 => return Ok(()),
                    ("onStatus", _) if text("code") == "NetStream.Publish.Start" => return Ok(()),
                    ("onStatus", _) if text("level") == "status" => {}
                    ("_error" | "onStatus", _) => {
                        return Err(PublishError::Refused { code: text("code"), description: text("description") });
                    }
                    _ => {}
                }
            }
            let count = self.socket.read(&mut buffer)?;
            if count == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
            self.reader.feed(&buffer[..count]);
        }
    }

    /// Sends one tag.
    pub(crate) fn send(&mut self, kind: u8, timestamp: u32, payload: &[u8]) -> io::Result<()> {
        let message = Message { kind, stream: 1, timestamp, payload: payload.to_vec() };
        self.writer.write(if kind == AUDIO { 4 } else { 6 }, &message, &mut self.out);
        self.flush()
    }

    /// Sends bytes as they are.
    pub(crate) fn send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.socket.write_all(bytes)
    }

    /// Stops publishing as encoders do, and closes.
    pub(crate) fn unpublish(mut self) {
        let stop = |name: &str, value: Amf| [Amf::text(name), Amf::Number(6.0), Amf::Null, value];
        // The server may have closed before.
        let _ = self.command(0, &stop("FCUnpublish", Amf::text(&self.key)));
        let _ = self.command(0, &stop("deleteStream", Amf::Number(1.0)));
    }

    /// Whether the server has closed the connection; waits for it at most `patience`.
    pub(crate) fn closed_within(&mut self, patience: Duration) -> bool {
        closed_within(&mut self.socket, patience)
    }
}

/// Whether the peer closes `socket` within `patience`, whatever it sends before.
pub(crate) fn closed_within(socket: &mut TcpStream, patience: Duration) -> bool {
    let deadline = Instant::now() + patience;
    let mut buffer = [0; 4096];
    while let Some(left) = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
        if socket.set_read_timeout(Some(left)).is_err() {
            return true;
        }
        match socket.read(&mut buffer) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => return false,
            Err(_) => return true,
        }
    }
    false
}

/// Unwraps 32-bit milliseconds that may pass 2^32.
#[derive(Default)]
pub(crate) struct Unwrap {
    last: Option<i64>,
}

impl Unwrap {
    /// The time stamp nearest to the last one among those that equal `timestamp` modulo 2^32.
    pub(crate) fn next(&mut self, timestamp: u32) -> i64 {
        let value = match self.last {
            None => i64::from(timestamp),
            Some(last) => last + i64::from(timestamp.wrapping_sub(last as u32) as i32),
        };
        self.last = Some(value);
        value
    }
}
