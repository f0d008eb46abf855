//! One encoder's RTMP dialogue, from our side, without I/O: bytes in, events and bytes out.
//!
//! Only what publishing takes is here, and nothing that a stranger sends makes it panic, loop or grow: every length is
//! checked before anything is allocated, and until a publish is accepted everything is small.
//!
//! Only bytes that are no chunks end it. A message that is odd is left out and told as [`Event::Odd`], and the rest goes on: encoders of
//! all ages send commands that nobody asked for, twice, or in forms of their own.

use std::collections::VecDeque;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use thiserror::Error;

use super::{
    chunk::{ChunkError, ChunkReader, ChunkWriter, Message, kind},
    dialect::Dialect,
    naming,
};
use crate::core::{
    account::StreamKey,
    amf::{Reader, Value, Writer},
    frame::Track,
    oddity::Oddity,
};

#[cfg(test)]
pub(super) mod tests;

/// C1, C2, S1 and S2 (RTMP 1.0, 5.2.3).
const HANDSHAKE: usize = 1536;

/// Our chunks: every message of ours fits into one.
const CHUNK_SIZE: u32 = 4096;

/// What we grant; the value that common servers use.
const WINDOW: u32 = 2_500_000;

/// Acknowledgements come after this part of the window. Half of it is what senders expect at the latest; one that never has more than the
/// window under way would wait for ever before a key frame that is larger than the other half.
const WINDOW_PARTS: u32 = 8;

/// The least number of bytes between two acknowledgements, whatever the peer asks for. One has 16 bytes.
const LEAST_ACKNOWLEDGED: u64 = 1024;

/// Messages that carry no media before an accepted publish. OBS sends seven, ffmpeg six, `rtmp2sink` six.
const MAX_MESSAGES_BEFORE_PUBLISH: u32 = 128;

/// Bytes without a publish that is accepted. An encoder that ended one may still have media under way: two seconds of 60 Mbit/s.
const MAX_BYTES_BEFORE_PUBLISH: u64 = 16 * 1024 * 1024;

/// Why the dialogue cannot go on.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub(super) enum DialogueError {
    #[error("{0}")]
    Dialect(Dialect),
    #[error(transparent)]
    Chunk(#[from] ChunkError),
    #[error("{0}")]
    Order(&'static str),
}

/// What an encoder wants.
#[derive(Debug)]
pub(super) enum Event {
    /// It asks to publish: answer with [`Dialogue::accept`] or [`Dialogue::refuse`].
    Publish { app: String, key: StreamKey },
    /// The body of one audio or video message, with its 32-bit time stamp in milliseconds.
    Media { track: Track, timestamp: u32, body: Bytes },
    /// An audio or video message that is too long to be taken begins so.
    TooLong { track: Track, start: Bytes },
    /// A message, or a part of one, was left out.
    Odd(Oddity),
    /// It ended its publish. It may ask for another.
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

/// One encoder's side of RTMP, without I/O: bytes in, events and bytes out.
pub(super) struct Dialogue {
    state: State,
    reader: ChunkReader,
    writer: ChunkWriter,
    output: BytesMut,
    /// Events of a message that were not returned yet.
    events: VecDeque<Event>,
    /// Bytes since the handshake. Senders that count its 3073 bytes too are a little ahead of us, which does no harm; to be ahead of
    /// those that do not would.
    received: u64,
    acknowledged: u64,
    /// An acknowledgement is in the output.
    acknowledging: bool,
    /// `received` when the last publish ended.
    idle_since: u64,
    window: u32,
    /// What `connect` said. It may hold the key.
    app: String,
    last_stream: u32,
    publish_stream: u32,
    /// The key of the publish.
    key: Option<StreamKey>,
    /// Media has come on the message stream of the publish.
    heard: bool,
    messages: u32,
}

impl Dialogue {
    pub(super) fn new() -> Self {
        Self {
            state: State::Greeting,
            reader: ChunkReader::new(),
            writer: ChunkWriter::new(),
            output: BytesMut::new(),
            events: VecDeque::new(),
            received: 0,
            acknowledged: 0,
            acknowledging: false,
            idle_since: 0,
            window: WINDOW,
            app: String::new(),
            last_stream: 0,
            publish_stream: 0,
            key: None,
            heard: false,
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
    pub(super) fn advance(&mut self, input: &mut BytesMut) -> Result<Option<Event>, DialogueError> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(Some(event));
            }
            let message = match self.state {
                State::Greeting => {
                    let Ok(dialect) = Dialect::of(input) else { return Ok(None) };
                    if let Some(dialect) = dialect {
                        self.output.put_slice(dialect.answer());
                        return Err(DialogueError::Dialect(dialect));
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
                    message
                }
            };
            let Some(message) = message else {
                // Everything that has come is read: once for all of it.
                self.acknowledge();
                self.check_patience()?;
                return Ok(None);
            };
            if let Some(event) = self.message(message)? {
                return Ok(Some(event));
            }
        }
    }

    /// The publish is accepted: media may come.
    pub(super) fn accept(&mut self) {
        if self.state == State::Asking {
            self.state = State::Live;
            self.heard = false;
            self.reader.allow_media(true);
            self.stream_begins(self.publish_stream);
            self.started();
        }
    }

    /// The publish is refused or ended by us: says why, in words, and takes nothing more.
    pub(super) fn refuse(&mut self, description: &str) {
        if matches!(self.state, State::Asking | State::Live) {
            self.status(self.publish_stream, "error", "NetStream.Publish.BadName", description);
        }
        self.state = State::Over;
    }

    /// Says how much has come, unless the encoder has not taken yet what was said last: many never read, and the next one says it all.
    fn acknowledge(&mut self) {
        self.acknowledging &= !self.output.is_empty();
        let after = u64::from(self.window.min(WINDOW) / WINDOW_PARTS).max(LEAST_ACKNOWLEDGED);
        if !self.acknowledging && self.received - self.acknowledged >= after {
            self.acknowledging = true;
            self.acknowledged = self.received;
            // The sequence number wraps (5.4.3).
            let number = u32::try_from(self.received & 0xffff_ffff).unwrap_or_default();
            self.writer.control(&mut self.output, kind::ACKNOWLEDGEMENT, number);
        }
    }

    /// Without a publish nobody may send for ever.
    const fn check_patience(&self) -> Result<(), DialogueError> {
        if matches!(self.state, State::Open) && self.received - self.idle_since > MAX_BYTES_BEFORE_PUBLISH {
            return Err(DialogueError::Order("it sends without publishing"));
        }
        Ok(())
    }

    fn odd(&mut self, oddity: Oddity) {
        self.events.push_back(Event::Odd(oddity));
    }

    fn message(&mut self, message: Message) -> Result<Option<Event>, DialogueError> {
        let is_media = matches!(message.kind, kind::AUDIO | kind::VIDEO | kind::AGGREGATE);
        if self.state != State::Live {
            if is_media {
                self.check_patience()?;
                return Ok(None);
            }
            self.messages += 1;
            if self.messages > MAX_MESSAGES_BEFORE_PUBLISH {
                return Err(DialogueError::Order("too many messages before a publish"));
            }
        }
        if is_media && !self.is_ours(message.stream) {
            self.odd(Oddity::OtherStream);
            return Ok(None);
        }
        let track = match message.kind {
            kind::AUDIO => Some(Track::Audio),
            kind::VIDEO => Some(Track::Video),
            _ => None,
        };
        if message.too_long {
            match track {
                Some(track) => return Ok(Some(Event::TooLong { track, start: message.body })),
                None => self.odd(Oddity::TooLong),
            }
            return Ok(None);
        }
        if let Some(track) = track {
            return Ok(Some(media(track, message.timestamp, message.body)));
        }
        match message.kind {
            kind::AGGREGATE => self.aggregate(&message),
            kind::COMMAND => return Ok(self.command(message.stream, &message.body)),
            kind::COMMAND_AMF3 => return Ok(self.command(message.stream, behind_lead(&message.body))),
            kind::USER_CONTROL => self.user_control(&message.body),
            kind::SET_CHUNK_SIZE | kind::ABORT | kind::WINDOW_SIZE => match (message.kind, number(&message.body)) {
                (kind::SET_CHUNK_SIZE, Some(size)) => self.reader.set_chunk_size(size)?,
                (kind::ABORT, Some(chunk_stream)) => self.reader.abort(chunk_stream),
                (_, Some(window)) => self.window = window,
                (_, None) => self.odd(Oddity::Control),
            },
            // Acknowledgements, bandwidth, metadata and shared objects: nothing follows from them.
            _ => {}
        }
        Ok(None)
    }

    /// Whether media on a message stream is the publish's. Encoders that never use the right one are taken by what they send: only
    /// beside the right one another is another.
    fn is_ours(&mut self, stream: u32) -> bool {
        // Zero belongs to nobody: many send with it what is the publish's, whichever that is.
        self.heard |= stream != 0 && stream == self.publish_stream;
        !self.heard || stream == self.publish_stream || stream == 0
    }

    /// Several audio and video messages in one (RTMP 1.0, 7.1.6): FLV tags, timed relative to the first.
    fn aggregate(&mut self, message: &Message) {
        let mut rest = message.body.clone();
        let mut first = None;
        while !rest.is_empty() {
            let Some((kind, timestamp, data)) = sub_message(&mut rest) else {
                self.odd(Oddity::Bundle);
                return;
            };
            let offset = timestamp.wrapping_sub(*first.get_or_insert(timestamp));
            let timestamp = message.timestamp.wrapping_add(offset);
            match kind {
                kind::AUDIO => self.events.push_back(media(Track::Audio, timestamp, data)),
                kind::VIDEO => self.events.push_back(media(Track::Video, timestamp, data)),
                _ => {}
            }
        }
    }

    /// Answers a ping (7.1.7); everything else is for players.
    fn user_control(&mut self, body: &[u8]) {
        match body {
            &[0, 6, a, b, c, d, ..] => {
                self.writer.message(&mut self.output, 2, kind::USER_CONTROL, 0, &[0, 7, a, b, c, d]);
            }
            [] | [_] | [0, 6, ..] => self.odd(Oddity::Control),
            _ => {}
        }
    }

    /// `StreamBegin`, which some encoders wait for after `connect` and after `publish`.
    fn stream_begins(&mut self, stream: u32) {
        let [a, b, c, d] = stream.to_be_bytes();
        self.writer.message(&mut self.output, 2, kind::USER_CONTROL, 0, &[0, 0, a, b, c, d]);
    }

    fn command(&mut self, stream: u32, body: &[u8]) -> Option<Event> {
        let mut arguments = Reader::new(body);
        let event = if let Ok(Value::String(name)) = arguments.value() {
            self.carry_out(&name, stream, &mut arguments)
        } else {
            self.odd(Oddity::Command);
            None
        };
        if arguments.not_utf8() {
            self.odd(Oddity::Text);
        }
        event
    }

    fn carry_out(&mut self, name: &str, stream: u32, arguments: &mut Reader<'_>) -> Option<Event> {
        // Encoders leave the transaction out now and then; without one there is nothing to answer to.
        let transaction = self.argument(arguments).as_number().unwrap_or_default();
        let live = self.state == State::Live;
        match name {
            "connect" => self.connect(transaction, arguments),
            "createStream" => {
                // Only counted: how many there are costs nothing.
                self.last_stream = self.last_stream.wrapping_add(1).max(1);
                let number = f64::from(self.last_stream);
                self.answer(transaction, |out| out.number(number));
            }
            "publish" => return self.publish(stream, arguments),
            "play" | "play2" => {
                self.status(stream, "error", "NetStream.Play.Failed", "nothing can be played here");
                if !live {
                    self.state = State::Over;
                    return Some(Event::Refused("it asked to play"));
                }
            }
            "FCPublish" => {
                self.answer(transaction, |_| {});
                self.notice("onFCPublish", "NetStream.Publish.Start");
            }
            "FCUnpublish" => {
                self.argument(arguments); // null
                let name = self.argument(arguments);
                let is_ours = self.is_named(name.as_str().unwrap_or_default());
                if live && is_ours {
                    self.notice("onFCUnpublish", "NetStream.Unpublish.Success");
                    return Some(self.unpublish());
                }
                self.answer(transaction, |_| {});
            }
            "deleteStream" => {
                self.argument(arguments); // null
                // One that does not say which means the only one it has.
                let number = self.argument(arguments).as_number();
                if live && number.is_none_or(|number| self.is_published_on(number)) {
                    return Some(self.unpublish());
                }
                self.answer(transaction, |_| {});
            }
            "closeStream" => {
                if live && (stream == self.publish_stream || stream == 0) {
                    return Some(self.unpublish());
                }
                self.answer(transaction, |_| {});
            }
            "_result" | "_error" | "onStatus" => {}
            // releaseStream, _checkbw and whatever else: nothing is done, and that succeeded.
            _ => self.answer(transaction, |_| {}),
        }
        None
    }

    /// The next argument; null when there is none, or none that can be read.
    fn argument(&mut self, arguments: &mut Reader<'_>) -> Value {
        if arguments.is_empty() {
            return Value::Null;
        }
        arguments.value_or_part().unwrap_or_else(|(part, _)| {
            self.odd(Oddity::Command);
            part
        })
    }

    /// Whether the publish has this name, or there is none to tell it by: then it is the only one.
    fn is_named(&self, name: &str) -> bool {
        let (_, named) = naming::meant(&self.app, name);
        let ours = self.key.as_ref().map(StreamKey::expose).unwrap_or_default();
        name.is_empty() || named.expose() == ours
    }

    /// Whether the publish is on the message stream with this number. One that publishes on the connection's own means any that it has.
    fn is_published_on(&self, number: f64) -> bool {
        let is = |stream: u32| (f64::from(stream) - number).abs() < 0.5;
        is(self.publish_stream) || (self.publish_stream == 0 && number <= f64::from(self.last_stream))
    }

    /// The publish is over; the connection may begin another.
    fn unpublish(&mut self) -> Event {
        self.status(self.publish_stream, "status", "NetStream.Unpublish.Success", "unpublished");
        self.state = State::Open;
        self.reader.allow_media(false);
        self.key = None;
        self.messages = 0;
        self.idle_since = self.received;
        Event::Unpublish
    }

    fn connect(&mut self, transaction: f64, arguments: &mut Reader<'_>) {
        let properties = self.argument(arguments);
        let text = |name: &str| properties.get(name).and_then(Value::as_str).unwrap_or_default();
        let app = if text("app").is_empty() { naming::path_of(text("tcUrl")) } else { text("app") };
        if self.state == State::Open {
            app.clone_into(&mut self.app);
        } else {
            self.odd(Oddity::Again);
        }
        let encoding = properties.get("objectEncoding").and_then(Value::as_number).unwrap_or_default();

        self.writer.control(&mut self.output, kind::WINDOW_SIZE, WINDOW);
        let [a, b, c, d] = WINDOW.to_be_bytes();
        // Limit type 2: dynamic.
        self.writer.message(&mut self.output, 2, kind::PEER_BANDWIDTH, 0, &[a, b, c, d, 2]);
        self.stream_begins(0);
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
        // Some encoders go on only when the measurement of the bandwidth that never began is done.
        self.send("onBWDone", 0.0, 0, |out| {
            out.null();
        });
    }

    fn publish(&mut self, stream: u32, arguments: &mut Reader<'_>) -> Option<Event> {
        self.argument(arguments); // null: publish has no command object
        let name = self.argument(arguments);
        if self.state == State::Live {
            return self.publish_again(stream, &name);
        }
        if name == Value::Boolean(false) {
            return None;
        }
        let (app, key) = naming::meant(&self.app, name.as_str().unwrap_or_default());
        self.publish_stream = stream;
        self.key = Some(key.clone());
        self.state = State::Asking;
        Some(Event::Publish { app, key })
    }

    /// A publish beside the one that is under way. It stays; what the encoder hears depends on which one it means.
    fn publish_again(&mut self, stream: u32, name: &Value) -> Option<Event> {
        let same_stream = stream == self.publish_stream;
        // `publish(false)` ends a publish.
        if same_stream && matches!(name, Value::Boolean(false)) {
            return Some(self.unpublish());
        }
        self.odd(Oddity::Again);
        if same_stream && self.is_named(name.as_str().unwrap_or_default()) {
            self.started();
        } else {
            let reason = "this connection publishes already; a second stream needs a connection of its own";
            self.status(stream, "error", "NetStream.Publish.Denied", reason);
        }
        None
    }

    fn started(&mut self) {
        self.status(self.publish_stream, "status", "NetStream.Publish.Start", "publishing");
    }

    /// `onStatus` on a message stream: of a publish on its own, where `rtmp2sink` waits for it.
    fn status(&mut self, stream: u32, level: &str, code: &str, description: &str) {
        self.send("onStatus", 0.0, stream, |out| {
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

    /// What Flash Media Server calls back after `FCPublish` and `FCUnpublish`. The name stays out of it: it is the key.
    fn notice(&mut self, name: &str, code: &str) {
        self.send(name, 0.0, 0, |out| {
            out.null();
            out.begin_object();
            out.key("code");
            out.string(code);
            out.key("description");
            out.string("");
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
fn number(mut body: &[u8]) -> Option<u32> {
    body.try_get_u32().ok()
}

/// The values of an AMF3 command: AMF0 values behind one byte, which some encoders leave out.
fn behind_lead(body: &[u8]) -> &[u8] {
    const SHORT_STRING: u8 = 2;
    match body {
        [SHORT_STRING, ..] => body,
        _ => body.get(1..).unwrap_or_default(),
    }
}
