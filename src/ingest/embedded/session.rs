//! One encoder's RTMP session, from our side, without I/O: bytes in, events and bytes out.
//!
//! Only what publishing takes is here, and nothing that a stranger sends makes it panic, loop or grow: every length is
//! checked before anything is allocated, and until a publish is accepted everything is small.

use std::collections::VecDeque;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use thiserror::Error;

use super::chunk::{ChunkError, ChunkReader, ChunkWriter, Message, kind};
use crate::core::{
    account::StreamKey,
    amf::{AmfError, Reader, Value, Writer},
    frame::Track,
};

#[cfg(test)]
mod tests;

/// C1, C2, S1 and S2 (RTMP 1.0, 5.2.3).
const HANDSHAKE: usize = 1536;

/// Our chunks: every message of ours fits into one.
const CHUNK_SIZE: u32 = 4096;

/// What we grant and, until told otherwise, acknowledge after; the value that common servers use.
const WINDOW: u32 = 2_500_000;

/// The least number of bytes between two acknowledgements, whatever the peer asks for.
const MIN_WINDOW: u32 = 64 * 1024;

/// Messages before an accepted publish. OBS sends seven, ffmpeg six, `rtmp2sink` six.
const MAX_MESSAGES_BEFORE_PUBLISH: u32 = 128;

/// Message streams that `createStream` gives out.
const MAX_MESSAGE_STREAMS: u32 = 16;

/// Why the session can not go on.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub(super) enum SessionError {
    #[error("the first byte asks for protocol version {0}, which is not RTMP")]
    Version(u8),
    #[error(transparent)]
    Chunk(#[from] ChunkError),
    #[error("a command is malformed: {0}")]
    Command(#[from] AmfError),
    #[error("a control message is cut short")]
    ControlMessage,
    #[error("an aggregate message is malformed")]
    Aggregate,
    #[error("{0}")]
    Order(&'static str),
}

/// What an encoder wants.
#[derive(Debug)]
pub(super) enum Event {
    /// It asks to publish: answer with [`Session::accept`] or [`Session::refuse`].
    Publish { app: String, key: StreamKey },
    /// The body of one audio or video message, with its 32-bit time stamp in milliseconds.
    Media { track: Track, timestamp: u32, body: Bytes },
    /// It ended its publish.
    Unpublish,
    /// It asked for something that is refused; the answer is in the output. Close.
    Refused(&'static str),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Waits for C0 and C1.
    Greeting,
    /// Waits for C2.
    Greeted,
    /// Takes commands.
    Open,
    /// A publish waits for its answer.
    Asking,
    /// Publishing.
    Live,
    /// Everything was said; what comes is thrown away.
    Over,
}

/// The session.
pub(super) struct Session {
    state: State,
    reader: ChunkReader,
    writer: ChunkWriter,
    output: BytesMut,
    /// Events of an aggregate message that were not returned yet.
    events: VecDeque<Event>,
    received: u64,
    acknowledged: u64,
    window: u32,
    app: Option<String>,
    last_stream: u32,
    publish_stream: u32,
    messages: u32,
}

impl Session {
    pub(super) fn new() -> Self {
        Self {
            state: State::Greeting,
            reader: ChunkReader::new(),
            writer: ChunkWriter::new(),
            output: BytesMut::new(),
            events: VecDeque::new(),
            received: 0,
            acknowledged: 0,
            window: WINDOW,
            app: None,
            last_stream: 0,
            publish_stream: 0,
            messages: 0,
        }
    }

    /// What is to be sent to the encoder; the caller takes it away.
    pub(super) const fn output(&mut self) -> &mut BytesMut {
        &mut self.output
    }

    /// Whether the handshake is done.
    pub(super) const fn is_open(&self) -> bool {
        !matches!(self.state, State::Greeting | State::Greeted)
    }

    /// The next event, from the front of `input`. `None` when more is needed.
    pub(super) fn advance(&mut self, input: &mut BytesMut) -> Result<Option<Event>, SessionError> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(Some(event));
            }
            let message = match self.state {
                State::Greeting => {
                    if let Some(&version) = input.first()
                        && version != 3
                    {
                        return Err(SessionError::Version(version));
                    }
                    let Some(hello) = input.get(1..=HANDSHAKE) else { return Ok(None) };
                    greet(hello, &mut self.output);
                    input.advance(1 + HANDSHAKE);
                    self.state = State::Greeted;
                    continue;
                }
                State::Greeted => {
                    if input.len() < HANDSHAKE {
                        return Ok(None);
                    }
                    // Peers that echo S1 wrongly are common, and nothing depends on it.
                    input.advance(HANDSHAKE);
                    self.state = State::Open;
                    continue;
                }
                // The caller answers first; what comes meanwhile waits.
                State::Asking => return Ok(None),
                State::Over => {
                    input.clear();
                    return Ok(None);
                }
                State::Open | State::Live => {
                    let before = input.len();
                    let message = self.reader.next(input)?;
                    self.received += (before - input.len()) as u64;
                    self.acknowledge();
                    message
                }
            };
            let Some(message) = message else { return Ok(None) };
            if let Some(event) = self.message(message)? {
                return Ok(Some(event));
            }
        }
    }

    /// The publish is accepted: media may come.
    pub(super) fn accept(&mut self) {
        if self.state == State::Asking {
            self.state = State::Live;
            self.reader.allow_media();
            self.status("status", "NetStream.Publish.Start", "publishing");
        }
    }

    /// The publish is refused or ended by us: says why, in words, and takes nothing more.
    pub(super) fn refuse(&mut self, description: &str) {
        if matches!(self.state, State::Asking | State::Live) {
            self.status("error", "NetStream.Publish.BadName", description);
        }
        self.state = State::Over;
    }

    fn acknowledge(&mut self) {
        if self.received - self.acknowledged >= u64::from(self.window) {
            self.acknowledged = self.received;
            // The sequence number wraps (5.4.3).
            let number = u32::try_from(self.received & 0xffff_ffff).unwrap_or_default();
            self.writer.control(&mut self.output, kind::ACKNOWLEDGEMENT, number);
        }
    }

    fn message(&mut self, message: Message) -> Result<Option<Event>, SessionError> {
        if self.state != State::Live {
            self.messages += 1;
            if self.messages > MAX_MESSAGES_BEFORE_PUBLISH {
                return Err(SessionError::Order("too many messages before a publish"));
            }
        }
        match message.kind {
            kind::AUDIO | kind::VIDEO | kind::AGGREGATE if self.state != State::Live => {}
            kind::AUDIO => return Ok(Some(media(Track::Audio, message.timestamp, message.body))),
            kind::VIDEO => return Ok(Some(media(Track::Video, message.timestamp, message.body))),
            kind::AGGREGATE => self.aggregate(&message)?,
            kind::COMMAND => return self.command(message.stream, &message.body),
            // AMF3 commands of encoders are AMF0 values behind one byte.
            kind::COMMAND_AMF3 => return self.command(message.stream, message.body.get(1..).unwrap_or_default()),
            kind::SET_CHUNK_SIZE => self.reader.set_chunk_size(number(&message)?)?,
            kind::ABORT => self.reader.abort(number(&message)?),
            kind::USER_CONTROL => self.user_control(&message.body),
            // A window of 0 asks for an acknowledgement of every byte; nobody gets that.
            kind::WINDOW_SIZE => self.window = number(&message)?.max(MIN_WINDOW),
            // Acknowledgements, bandwidth, metadata and shared objects: nothing follows from them.
            _ => {}
        }
        Ok(None)
    }

    /// Several audio and video messages in one (RTMP 1.0, 7.1.6): FLV tags, timed relative to the first.
    fn aggregate(&mut self, message: &Message) -> Result<(), SessionError> {
        let mut rest = message.body.clone();
        let mut first = None;
        while !rest.is_empty() {
            let (kind, timestamp, data) = sub_message(&mut rest).ok_or(SessionError::Aggregate)?;
            let offset = timestamp.wrapping_sub(*first.get_or_insert(timestamp));
            let timestamp = message.timestamp.wrapping_add(offset);
            match kind {
                kind::AUDIO => self.events.push_back(media(Track::Audio, timestamp, data)),
                kind::VIDEO => self.events.push_back(media(Track::Video, timestamp, data)),
                _ => {}
            }
        }
        Ok(())
    }

    /// Answers a ping (7.1.7); everything else is for players.
    fn user_control(&mut self, body: &[u8]) {
        if let &[0, 6, a, b, c, d, ..] = body {
            self.writer.message(&mut self.output, 2, kind::USER_CONTROL, 0, &[0, 7, a, b, c, d]);
        }
    }

    fn command(&mut self, stream: u32, body: &[u8]) -> Result<Option<Event>, SessionError> {
        let mut arguments = Reader::new(body);
        let name = arguments.value()?;
        let Some(name) = name.as_str() else { return Err(SessionError::Order("a command has no name")) };
        // Encoders leave the transaction out now and then; without one there is nothing to answer to.
        let transaction = if arguments.is_empty() { 0.0 } else { arguments.value()?.as_number().unwrap_or_default() };
        match name {
            "connect" => self.connect(transaction, &mut arguments)?,
            "createStream" => self.create_stream(transaction)?,
            "publish" => return self.publish(stream, &mut arguments),
            "play" | "play2" => {
                self.publish_stream = stream;
                self.status("error", "NetStream.Play.Failed", "nothing can be played here");
                self.state = State::Over;
                return Ok(Some(Event::Refused("it asked to play")));
            }
            "FCUnpublish" | "deleteStream" | "closeStream" if self.state == State::Live => {
                self.status("status", "NetStream.Unpublish.Success", "unpublished");
                self.state = State::Over;
                return Ok(Some(Event::Unpublish));
            }
            "_result" | "_error" | "onStatus" => {}
            // releaseStream, FCPublish, _checkbw and whatever else: nothing is done, and that succeeded.
            _ => self.answer(transaction, |_| {}),
        }
        Ok(None)
    }

    fn connect(&mut self, transaction: f64, arguments: &mut Reader<'_>) -> Result<(), SessionError> {
        if self.app.is_some() {
            return Err(SessionError::Order("a second connect"));
        }
        let properties = arguments.value()?;
        let app = properties.get("app").and_then(Value::as_str).unwrap_or_default();
        self.app = Some(plain_name(app).trim_matches('/').to_owned());
        let encoding = properties.get("objectEncoding").and_then(Value::as_number).unwrap_or_default();

        self.writer.control(&mut self.output, kind::WINDOW_SIZE, WINDOW);
        let [a, b, c, d] = WINDOW.to_be_bytes();
        // Limit type 2: dynamic.
        self.writer.message(&mut self.output, 2, kind::PEER_BANDWIDTH, 0, &[a, b, c, d, 2]);
        self.writer.control(&mut self.output, kind::SET_CHUNK_SIZE, CHUNK_SIZE);
        self.send("_result", transaction, 0, |out| {
            // Some encoders look at the version before they dare to call FCPublish.
            out.begin_object();
            out.key("fmsVer");
            out.string("FMS/3,0,1,123");
            out.key("capabilities");
            out.number(31.0);
            out.end_object();
            out.begin_object();
            out.key("level");
            out.string("status");
            out.key("code");
            out.string("NetConnection.Connect.Success");
            out.key("description");
            out.string("connected");
            out.key("objectEncoding");
            out.number(encoding);
            out.end_object();
        });
        Ok(())
    }

    fn create_stream(&mut self, transaction: f64) -> Result<(), SessionError> {
        if self.app.is_none() {
            return Err(SessionError::Order("createStream before connect"));
        }
        if self.last_stream >= MAX_MESSAGE_STREAMS {
            return Err(SessionError::Order("too many message streams"));
        }
        self.last_stream += 1;
        let stream = f64::from(self.last_stream);
        self.answer(transaction, |out| out.number(stream));
        Ok(())
    }

    fn publish(&mut self, stream: u32, arguments: &mut Reader<'_>) -> Result<Option<Event>, SessionError> {
        if self.state != State::Open {
            return Err(SessionError::Order("a second publish"));
        }
        let Some(app) = self.app.clone() else { return Err(SessionError::Order("publish before connect")) };
        arguments.value()?; // null: publish has no command object
        let name = arguments.value()?;
        let key = StreamKey::new(plain_name(name.as_str().unwrap_or_default()));
        self.publish_stream = stream;
        self.state = State::Asking;
        Ok(Some(Event::Publish { app, key }))
    }

    /// `onStatus` on the message stream of the publish: `rtmp2sink` waits for it there.
    fn status(&mut self, level: &str, code: &str, description: &str) {
        self.send("onStatus", 0.0, self.publish_stream, |out| {
            out.null();
            out.begin_object();
            out.key("level");
            out.string(level);
            out.key("code");
            out.string(code);
            out.key("description");
            out.string(description);
            out.end_object();
        });
    }

    /// `_result` without properties.
    fn answer(&mut self, transaction: f64, result: impl FnOnce(&mut Writer<'_>)) {
        if transaction > 0.0 {
            self.send("_result", transaction, 0, |out| {
                out.null();
                result(out);
            });
        }
    }

    fn send(&mut self, name: &str, transaction: f64, stream: u32, arguments: impl FnOnce(&mut Writer<'_>)) {
        let mut body = BytesMut::with_capacity(256);
        let mut writer = Writer::new(&mut body);
        writer.string(name);
        writer.number(transaction);
        arguments(&mut writer);
        let chunk_stream = if stream == 0 { 3 } else { 5 };
        self.writer.message(&mut self.output, chunk_stream, kind::COMMAND, stream, &body);
    }
}

/// S0, S1 and S2 in answer to C1. A plain handshake: peers that begin with a digest take it too, but for Flash players.
fn greet(hello: &[u8], out: &mut BytesMut) {
    out.reserve(1 + 2 * HANDSHAKE);
    out.put_u8(3);
    // Time 0 and version 0, which says that there is no digest. The rest is to be different from the peer's, no more.
    out.put_bytes(0, 8);
    out.put_bytes(b'm', HANDSHAKE - 8);
    out.put_slice(hello);
}

const fn media(track: Track, timestamp: u32, body: Bytes) -> Event {
    Event::Media { track, timestamp, body }
}

/// Type, time stamp and body of the first message inside an aggregate one; `None` when it is cut short.
fn sub_message(rest: &mut Bytes) -> Option<(u8, u32, Bytes)> {
    let kind = rest.try_get_u8().ok()?;
    let length = usize::try_from(rest.try_get_uint(3).ok()?).ok()?;
    let low = u32::try_from(rest.try_get_uint(3).ok()?).ok()?;
    let high = u32::from(rest.try_get_u8().ok()?);
    let _message_stream = rest.try_get_uint(3).ok()?;
    if length > rest.len() {
        return None;
    }
    let data = rest.split_to(length);
    // The size of the whole, which the last one may lack.
    rest.advance(rest.len().min(4));
    Some((kind, (high << 24) | low, data))
}

/// The number that a protocol control message consists of.
fn number(message: &Message) -> Result<u32, SessionError> {
    message.body.as_ref().try_get_u32().map_err(|_| SessionError::ControlMessage)
}

/// A name without the parameters that some encoders append to it.
fn plain_name(name: &str) -> &str {
    name.split_once('?').map_or(name, |(name, _)| name)
}
