//! `connect` and `publish`, asked once more by hand: an answer's whole object, of which rtmp2sink tells a line, and what is said after
//! an accepted publish, of which it tells nothing.

use std::{
    collections::HashMap,
    io::{self, Read, Write},
};

use bytes::BytesMut;
use secrecy::ExposeSecret;

use crate::core::{
    amf::{Reader, Value, Writer},
    destination::{Destination, port_of},
};

/// Bytes of a greeting's second and third part.
pub(super) const GREETING: usize = 1536;
/// What both sides begin with (RTMP 1.0, section 5.4.1).
const FIRST_CHUNK: usize = 128;
/// An answer has some hundred bytes; more than this is nothing of use.
const MOST: usize = 64 * 1024;
/// Messages before the answer: window, bandwidth, chunk size, and a few more.
const MESSAGES: usize = 32;
/// Chunk streams that a server may use for them.
const STREAMS: usize = 16;
pub(super) const COMMAND: u8 = 20;
const SET_CHUNK_SIZE: u8 = 1;

/// What a server said that rtmp2sink does not pass on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It is at this address.
    Elsewhere(String),
    /// It refuses the publish, with a code and its own words.
    No { code: String, said: String },
}

/// How far the question goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// To the answer to `connect`.
    Application,
    /// To what follows a publish.
    Publish,
}

/// Asks for the application of `destination`, or to publish there, and sends nothing else. None if nothing of interest is said.
///
/// # Errors
/// What went wrong on the way; that the server says something else than RTMP.
pub(super) fn ask(
    destination: &Destination,
    asked: Asked,
    from: &mut impl Read,
    to: &mut impl Write,
) -> io::Result<Option<Answer>> {
    let mut greeting = vec![0; 1 + GREETING];
    if let Some(version) = greeting.first_mut() {
        *version = 3;
    }
    to.write_all(&greeting)?;
    let mut theirs = vec![0; 1 + 2 * GREETING];
    from.read_exact(&mut theirs)?;
    to.write_all(theirs.get(1..=GREETING).unwrap_or_default())?;
    to.write_all(&question(destination))?;
    let mut chunks = Chunks::new(from.take(MOST as u64));
    for _ in 0..MESSAGES {
        let (kind, message) = chunks.message()?;
        if kind != COMMAND {
            continue;
        }
        let Some(heard) = heard(&message) else { continue };
        match (heard.name.as_str(), heard.transaction) {
            ("_error", CONNECT) => return Ok(heard.redirect.map(Answer::Elsewhere)),
            ("_result", CONNECT) if asked == Asked::Application => return Ok(None),
            ("_result", CONNECT) => to.write_all(&command("createStream", CREATE, 0, &[]))?,
            ("_result", CREATE) => {
                let stream = u8::try_from(heard.number).unwrap_or(1);
                let key = destination.key.expose_secret();
                to.write_all(&command("publish", PUBLISH, stream, &[key, "live"]))?;
            }
            ("onStatus" | "_error", _) if heard.level == "error" => {
                return Ok(Some(Answer::No { code: heard.code, said: heard.said }));
            }
            _ => {}
        }
    }
    Ok(None)
}

/// Numbers of the commands.
const CONNECT: u32 = 1;
const CREATE: u32 = 2;
const PUBLISH: u32 = 3;

/// A command of the server.
#[derive(Debug, Default)]
struct Heard {
    name: String,
    transaction: u32,
    /// What is no object: the number of a stream.
    number: u32,
    level: String,
    code: String,
    said: String,
    redirect: Option<String>,
}

/// Reads a command; none if it is none.
fn heard(message: &[u8]) -> Option<Heard> {
    let whole = |value: &Value| value.as_number().map_or(0, |number| format!("{number:.0}").parse().unwrap_or(0));
    let mut reader = Reader::new(message);
    let name = reader.value().ok()?.as_str()?.to_owned();
    let transaction = whole(&reader.value().ok()?);
    let mut heard = Heard { name, transaction, ..Heard::default() };
    while !reader.is_empty()
        && let Ok(value) = reader.value()
    {
        let text = |key: &str| value.get(key).and_then(Value::as_str).map(ToOwned::to_owned);
        heard.number = heard.number.max(whole(&value));
        heard.level = text("level").unwrap_or(heard.level);
        heard.code = text("code").unwrap_or(heard.code);
        heard.said = text("description").unwrap_or(heard.said);
        // Adobe's servers have it in an object `ex` beside the code 302.
        let places = [value.get("ex").and_then(|ex| ex.get("redirect")), value.get("redirect")];
        let redirect = places.into_iter().flatten().find_map(Value::as_str).map(ToOwned::to_owned);
        heard.redirect = heard.redirect.or(redirect);
    }
    Some(heard)
}

/// A command without an object.
fn command(name: &str, transaction: u32, stream: u8, words: &[&str]) -> Vec<u8> {
    let mut body = BytesMut::new();
    let mut writer = Writer::new(&mut body);
    writer.string(name);
    writer.number(f64::from(transaction));
    writer.null();
    for word in words {
        writer.string(word);
    }
    chunked(COMMAND, stream, &body)
}

/// `connect` in chunks, as rtmp2sink says it.
fn question(destination: &Destination) -> Vec<u8> {
    let mut body = BytesMut::new();
    let url = &destination.url;
    let (host, port) = (url.host_str().unwrap_or_default(), port_of(url).unwrap_or_default());
    let mut writer = Writer::new(&mut body);
    writer.string("connect");
    writer.number(f64::from(CONNECT));
    writer.begin_object();
    for (key, value) in [
        ("app", destination.application().to_owned()),
        ("type", "nonprivate".to_owned()),
        ("flashVer", "FMLE/3.0".to_owned()),
        ("tcUrl", format!("{}://{host}:{port}/{}", url.scheme(), destination.application())),
    ] {
        writer.key(key);
        writer.string(&value);
    }
    writer.end_object();
    chunked(COMMAND, 0, &body)
}

/// A message in chunks of the first size.
pub(super) fn chunked(kind: u8, stream: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap_or_default().to_be_bytes();
    let mut out = vec![3, 0, 0, 0];
    out.extend_from_slice(length.get(1..).unwrap_or_default());
    out.extend_from_slice(&[kind, stream, 0, 0, 0]);
    for (index, part) in body.chunks(FIRST_CHUNK).enumerate() {
        if index > 0 {
            out.push(0xc3);
        }
        out.extend_from_slice(part);
    }
    out
}

/// Messages out of chunks.
pub(super) struct Chunks<R> {
    from: R,
    size: usize,
    streams: HashMap<u32, Unfinished>,
}

/// What is known of a chunk stream.
#[derive(Default)]
struct Unfinished {
    length: usize,
    kind: u8,
    extended: bool,
    body: Vec<u8>,
}

impl<R: Read> Chunks<R> {
    /// From the first chunk on.
    pub(super) fn new(from: R) -> Self {
        Self { from, size: FIRST_CHUNK, streams: HashMap::new() }
    }

    /// The next message: its type and its bytes.
    pub(super) fn message(&mut self) -> io::Result<(u8, Vec<u8>)> {
        loop {
            let [first] = self.bytes()?;
            let id = match first & 0x3f {
                0 => 64 + u32::from(self.bytes::<1>()?[0]),
                1 => 64 + u32::from(u16::from_le_bytes(self.bytes()?)),
                id => u32::from(id),
            };
            let form = first >> 6;
            let mut head = [0; 11];
            let known = [11, 7, 3, 0].get(usize::from(form)).copied().unwrap_or_default();
            self.from.read_exact(head.get_mut(..known).unwrap_or_default())?;
            if !self.streams.contains_key(&id) && self.streams.len() >= STREAMS {
                return Err(io::ErrorKind::InvalidData.into());
            }
            let size = self.size;
            let stream = self.streams.entry(id).or_default();
            let [time @ .., long, longer, last, kind, _, _, _, _] = head;
            if form < 3 {
                stream.extended = time == [0xff; 3];
            }
            if form < 2 {
                let length = u32::from_be_bytes([0, long, longer, last]);
                (stream.length, stream.kind) = (usize::try_from(length).unwrap_or(MOST), kind);
            }
            if stream.length > MOST {
                return Err(io::ErrorKind::InvalidData.into());
            }
            if stream.extended {
                self.from.read_exact(&mut [0; 4])?;
            }
            let begun = stream.body.len();
            let more = stream.length.saturating_sub(begun).min(size);
            stream.body.resize(begun + more, 0);
            self.from.read_exact(stream.body.get_mut(begun..).unwrap_or_default())?;
            if stream.body.len() < stream.length {
                continue;
            }
            let (kind, body) = (stream.kind, std::mem::take(&mut stream.body));
            if kind == SET_CHUNK_SIZE
                && let Ok(size) = <[u8; 4]>::try_from(body.as_slice())
            {
                self.size = usize::try_from(u32::from_be_bytes(size) & 0x7fff_ffff).unwrap_or(MOST).clamp(1, MOST);
            }
            return Ok((kind, body));
        }
    }

    fn bytes<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.from.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn message_comes_out_of_its_chunks_whole() {
        let long: Vec<u8> = (0..1000_u32).map(|byte| u8::try_from(byte % 251).unwrap()).collect();
        let wire = [chunked(COMMAND, 0, &long), chunked(9, 1, &[]), chunked(COMMAND, 1, b"end")].concat();
        let mut chunks = Chunks::new(wire.as_slice());
        assert_eq!(chunks.message().unwrap(), (COMMAND, long));
        assert_eq!(chunks.message().unwrap(), (9, Vec::new()));
        assert_eq!(chunks.message().unwrap(), (COMMAND, b"end".to_vec()));
        assert!(chunks.message().is_err());
    }

    proptest! {
        /// Whatever a server sends, it ends with what was sent, and what is kept of it is bounded by that.
        #[test]
        fn anything_ends(bytes in prop::collection::vec(any::<u8>(), 0..4000)) {
            let mut chunks = Chunks::new(bytes.as_slice());
            let mut kept = 0;
            while let Ok((_, message)) = chunks.message() {
                kept += message.len();
                let _ = heard(&message);
            }
            prop_assert!(kept <= bytes.len());
        }
    }
}
