//! FLV over HTTP: a connection, a request, and the answer's body.
//!
//! libsoup's way (`souphttpsrc`) costs twice as much as `ffmpeg -c copy` in all, because each piece passes through three threads. The
//! little that is needed of HTTP stands here, and GStreamer reads from the connection itself.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use url::Url;

/// How long the connection and the answer's head may take.
const PATIENCE: Duration = Duration::from_secs(4);
/// More than this in front of the body is no honest answer.
const MOST_HEAD: usize = 16 << 10;
/// An origin cluster sends whoever asks to the server that has the stream.
const REDIRECTIONS: u32 = 3;

/// Why there is no stream. Its text holds no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum HttpError {
    #[error("the address is of no use")]
    Address,
    #[error("the server cannot be reached: {0}")]
    Unreachable(std::io::ErrorKind),
    #[error("the server did not answer in time")]
    Late,
    #[error("the server does not speak HTTP")]
    Malformed,
    #[error("the server answered {0}")]
    Status(u16),
}

/// An answer whose body is to be read from `socket`.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) socket: std::net::TcpStream,
    /// What came with the head already.
    pub(super) first: Bytes,
    pub(super) body: Body,
}

/// Asks for the stream at `url`.
pub(super) async fn get(url: &Url) -> Result<Answer, HttpError> {
    let mut url = url.clone();
    for _ in 0..=REDIRECTIONS {
        match timeout(PATIENCE, ask(&url)).await.map_err(|_| HttpError::Late)?? {
            Asked::Body(answer) => return Ok(answer),
            Asked::Elsewhere(place) => url = url.join(&place).map_err(|_| HttpError::Address)?,
        }
    }
    Err(HttpError::Address)
}

enum Asked {
    Body(Answer),
    Elsewhere(String),
}

async fn ask(url: &Url) -> Result<Asked, HttpError> {
    let host = url.host_str().filter(|_| url.scheme() == "http").ok_or(HttpError::Address)?;
    let port = url.port().unwrap_or(80);
    let unreachable = |error: std::io::Error| HttpError::Unreachable(error.kind());
    let mut socket = TcpStream::connect((host.trim_matches(['[', ']']), port)).await.map_err(unreachable)?;
    let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
    let request = format!(
        "GET {}{query} HTTP/1.1\r\nHost: {host}:{port}\r\nUser-Agent: Motherstream\r\nAccept: */*\r\nConnection: close\r\n\r\n",
        url.path()
    );
    socket.write_all(request.as_bytes()).await.map_err(unreachable)?;
    let mut buffer = BytesMut::with_capacity(MOST_HEAD);
    loop {
        if let Some(head) = Head::parse(&buffer)? {
            let first = buffer.split_off(head.length).freeze();
            return match (head.status, head.location) {
                (200, _) => {
                    let socket = socket.into_std().map_err(unreachable)?;
                    let body = if head.chunked { Body::Chunked(Chunks::default()) } else { Body::Plain };
                    Ok(Asked::Body(Answer { socket, first, body }))
                }
                (301 | 302 | 303 | 307 | 308, Some(place)) => Ok(Asked::Elsewhere(place)),
                (status, _) => Err(HttpError::Status(status)),
            };
        }
        if buffer.len() >= MOST_HEAD || socket.read_buf(&mut buffer).await.map_err(unreachable)? == 0 {
            return Err(HttpError::Malformed);
        }
    }
}

/// What stands before the body.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    length: usize,
    status: u16,
    chunked: bool,
    location: Option<String>,
}

impl Head {
    /// None until it is there as a whole.
    fn parse(bytes: &[u8]) -> Result<Option<Self>, HttpError> {
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
            let start = b"HTTP/1.";
            let fits = start.starts_with(bytes) || bytes.starts_with(start);
            return if fits { Ok(None) } else { Err(HttpError::Malformed) };
        };
        let text = bytes.get(..end).and_then(|head| std::str::from_utf8(head).ok()).ok_or(HttpError::Malformed)?;
        let mut lines = text.split("\r\n");
        let status = lines
            .next()
            .filter(|line| line.starts_with("HTTP/1."))
            .and_then(|line| line.split_ascii_whitespace().nth(1)?.parse().ok())
            .ok_or(HttpError::Malformed)?;
        let mut head = Self { length: end + 4, status, chunked: false, location: None };
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            let value = value.trim();
            if name.eq_ignore_ascii_case("transfer-encoding") {
                head.chunked = value.eq_ignore_ascii_case("chunked");
            } else if name.eq_ignore_ascii_case("location") {
                head.location = Some(value.to_owned());
            }
        }
        Ok(Some(head))
    }
}

/// How the body is written.
#[derive(Debug)]
pub(super) enum Body {
    /// As it is, up to the end of the connection.
    Plain,
    /// In chunks (RFC 9112, 7.1).
    Chunked(Chunks),
}

/// The chunks' length lines are not what they must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the server's answer is malformed")]
pub(super) struct Malformed;

impl Body {
    /// Gives what `bytes` hold of the content to `take`. False once the content has ended.
    pub(super) fn read(&mut self, bytes: &[u8], mut take: impl FnMut(&[u8])) -> Result<bool, Malformed> {
        match self {
            Self::Plain => {
                take(bytes);
                Ok(true)
            }
            Self::Chunked(chunks) => chunks.read(bytes, take),
        }
    }
}

/// Where in the chunks we are.
#[derive(Debug)]
pub(super) enum Chunks {
    /// In a chunk's length line: the length so far, digits of it, and whether an extension follows them.
    Length { length: usize, digits: u32, extended: bool },
    /// So much of the chunk is to come.
    Content(usize),
    /// Behind a chunk, before its line's end.
    Behind,
    /// Behind the last one.
    Over,
}

impl Default for Chunks {
    fn default() -> Self {
        Self::Length { length: 0, digits: 0, extended: false }
    }
}

impl Chunks {
    fn read(&mut self, mut bytes: &[u8], mut take: impl FnMut(&[u8])) -> Result<bool, Malformed> {
        while let Some((&byte, after)) = bytes.split_first() {
            match self {
                Self::Length { length, digits, extended } => {
                    match byte {
                        b'\n' if *digits > 0 => {
                            *self = if *length == 0 { Self::Over } else { Self::Content(*length) };
                        }
                        b';' | b'\r' | b' ' | b'\t' if *digits > 0 => *extended = true,
                        _ if *extended => {}
                        _ => {
                            let digit = char::from(byte).to_digit(16).ok_or(Malformed)?;
                            // Seven digits are 256 MB.
                            if *digits == 7 {
                                return Err(Malformed);
                            }
                            *length = (*length << 4) | digit as usize;
                            *digits += 1;
                        }
                    }
                    bytes = after;
                }
                Self::Content(left) => {
                    let (content, after) = bytes.split_at((*left).min(bytes.len()));
                    take(content);
                    *left -= content.len();
                    if *left == 0 {
                        *self = Self::Behind;
                    }
                    bytes = after;
                }
                Self::Behind => {
                    match byte {
                        b'\r' => {}
                        b'\n' => *self = Self::default(),
                        _ => return Err(Malformed),
                    }
                    bytes = after;
                }
                Self::Over => return Ok(false),
            }
        }
        Ok(!matches!(self, Self::Over))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn head_says_how_the_body_is_written() {
        let bytes = b"HTTP/1.1 200 OK\r\nServer: SRS/7.0.18\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nFLV";
        let head = Head::parse(bytes).unwrap().unwrap();
        assert_eq!((head.status, head.chunked, head.location), (200, true, None));
        assert_eq!(bytes.get(head.length..).unwrap(), b"4\r\nFLV");
        let moved = Head::parse(b"HTTP/1.1 302 Found\r\nlocation: http://b/x.flv\r\n\r\n").unwrap().unwrap();
        assert_eq!((moved.status, moved.location.as_deref()), (302, Some("http://b/x.flv")));
        assert_eq!(Head::parse(b"HTTP/1.1 200 OK\r\n"), Ok(None));
        assert_eq!(Head::parse(b"HT"), Ok(None));
        assert_eq!(Head::parse(b"SSH-2.0-x\r\n"), Err(HttpError::Malformed));
        assert_eq!(Head::parse(b"HTTP/1.1 what\r\n\r\n"), Err(HttpError::Malformed));
    }

    #[test]
    fn malformed_length_is_an_error() {
        for bytes in ["x\r\n", "\r\n", "123456789\r\n", "2\r\nabX"] {
            assert_eq!(Chunks::default().read(bytes.as_bytes(), |_| {}), Err(Malformed), "{bytes}");
        }
    }

    #[test]
    fn last_chunk_ends_the_body() {
        let mut content = Vec::new();
        let goes_on = Chunks::default().read(b"3;note=1\r\nabc\r\n0\r\n\r\n", |bytes| content.extend_from_slice(bytes));
        assert_eq!((goes_on, content.as_slice()), (Ok(false), &b"abc"[..]));
    }

    proptest! {
        #[test]
        fn content_comes_out_however_it_is_cut(
            chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..300), 0..20),
            cuts in proptest::collection::vec(1_usize..200, 1..30),
        ) {
            let mut written = Vec::new();
            for chunk in &chunks {
                written.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                written.extend_from_slice(chunk);
                written.extend_from_slice(b"\r\n");
            }
            let (mut reader, mut read, mut rest) = (Chunks::default(), Vec::new(), &written[..]);
            for cut in cuts.iter().cycle() {
                let (piece, after) = rest.split_at((*cut).min(rest.len()));
                prop_assert_eq!(reader.read(piece, |bytes| read.extend_from_slice(bytes)), Ok(true));
                rest = after;
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert_eq!(read, chunks.concat());
        }

        #[test]
        fn any_bytes_are_an_answer_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Head::parse(&bytes);
            let _ = Head::parse(&[b"HTTP/1.1 200 OK\r\n", &bytes[..], b"\r\n\r\n"].concat());
            let _ = Chunks::default().read(&bytes, |_| {});
        }
    }
}
