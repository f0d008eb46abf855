#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use proptest::prelude::*;

use super::*;

/// What ffmpeg 5.1 sends for a publish of 0.4 s of `testsrc` and a tone to `/live/recorded-key`.
const FFMPEG: &[u8] = include_bytes!("ffmpeg.rtmp");

/// What an encoder says, put together by hand.
pub(in crate::ingest::embedded) struct Encoder {
    writer: ChunkWriter,
    pub(in crate::ingest::embedded) bytes: BytesMut,
}

impl Encoder {
    /// One that has greeted.
    fn new() -> Self {
        let mut bytes = BytesMut::new();
        bytes.put_u8(3);
        bytes.put_bytes(7, 2 * HANDSHAKE);
        Self { writer: ChunkWriter::new(), bytes }
    }

    /// One whose publish will be asked for.
    pub(in crate::ingest::embedded) fn publishing() -> Self {
        let mut encoder = Self::new();
        encoder.connect();
        encoder.command(0, "createStream", 2.0, nothing);
        encoder.publish();
        encoder
    }

    fn command(&mut self, stream: u32, name: &str, transaction: f64, arguments: impl FnOnce(&mut Writer<'_>)) {
        let mut body = BytesMut::new();
        let mut writer = Writer::new(&mut body);
        writer.string(name);
        writer.number(transaction);
        arguments(&mut writer);
        self.writer.message(&mut self.bytes, 3, kind::COMMAND, stream, &body);
    }

    fn connect(&mut self) {
        self.command(0, "connect", 1.0, |out| {
            out.begin_object();
            out.key("app");
            out.string("live/?x=1");
            out.end_object();
        });
    }

    fn publish(&mut self) {
        self.command(1, "publish", 3.0, |out| {
            out.null();
            out.string("secret-key?token=1");
            out.string("live");
        });
    }

    pub(in crate::ingest::embedded) fn control(&mut self, kind: u8, value: u32) {
        self.writer.control(&mut self.bytes, kind, value);
    }

    fn video(&mut self, body: &[u8]) {
        self.writer.message(&mut self.bytes, 4, kind::VIDEO, 1, body);
    }

    pub(in crate::ingest::embedded) fn audio(&mut self, body: &[u8]) {
        self.writer.message(&mut self.bytes, 5, kind::AUDIO, 1, body);
    }

    fn raw(&mut self, bytes: &[u8]) {
        self.bytes.put_slice(bytes);
    }

    /// Gives everything to a new dialogue that accepts.
    fn run(self) -> Outcome {
        run(&self.bytes, &[])
    }
}

/// No arguments but the command object that is none.
fn nothing(out: &mut Writer<'_>) {
    out.null();
}

/// What became of a dialogue.
#[derive(Debug, Default)]
struct Outcome {
    publishes: Vec<(String, String)>,
    media: Vec<(Track, u32, Bytes)>,
    unpublished: bool,
    refused: bool,
    odd: Vec<Oddity>,
    too_long: Vec<(Track, Bytes)>,
    error: Option<DialogueError>,
    output: Vec<u8>,
}

impl Outcome {
    fn said(&self, text: &str) -> bool {
        self.sent(text.as_bytes())
    }

    fn sent(&self, bytes: &[u8]) -> bool {
        bytes.is_empty() || self.output.windows(bytes.len()).any(|window| window == bytes)
    }

    /// The acknowledgements that were sent.
    fn acknowledged(&self) -> Vec<u32> {
        const HEADER: [u8; 12] = [2, 0, 0, 0, 0, 0, 4, kind::ACKNOWLEDGEMENT, 0, 0, 0, 0];
        let numbers = self.output.windows(16).filter_map(|window| window.strip_prefix(&HEADER));
        numbers.map(|number| u32::from_be_bytes(number.try_into().unwrap())).collect()
    }
}

/// Feeds `bytes` to a dialogue, cut at `cuts`, and accepts its publish.
fn run(bytes: &[u8], cuts: &[usize]) -> Outcome {
    let mut dialogue = Dialogue::new();
    let mut outcome = Outcome::default();
    let mut input = BytesMut::new();
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).chain([bytes.len()]).collect();
    cuts.sort_unstable();
    let mut start = 0;
    for cut in cuts {
        input.extend_from_slice(&bytes[start..cut]);
        start = cut;
        loop {
            match dialogue.advance(&mut input) {
                Ok(Some(Event::Publish { app, key })) => {
                    outcome.publishes.push((app, key.expose().to_owned()));
                    dialogue.accept();
                }
                Ok(Some(Event::Media { track, timestamp, body })) => outcome.media.push((track, timestamp, body)),
                Ok(Some(Event::TooLong { track, start })) => outcome.too_long.push((track, start)),
                Ok(Some(Event::Odd(oddity))) => outcome.odd.push(oddity),
                Ok(Some(Event::Unpublish)) => outcome.unpublished = true,
                Ok(Some(Event::Refused(_))) => outcome.refused = true,
                Ok(None) => break,
                Err(error) => {
                    outcome.error = Some(error);
                    outcome.output.extend_from_slice(&dialogue.output().split());
                    return outcome;
                }
            }
        }
        assert!(input.len() < 1 + HANDSHAKE, "what is not understood yet stays small");
        outcome.output.extend_from_slice(&dialogue.output().split());
    }
    outcome
}

#[test]
fn a_recorded_ffmpeg_publish_gives_its_media() {
    let outcome = run(FFMPEG, &[]);
    assert_eq!(outcome.error, None);
    assert_eq!(outcome.publishes, [("live".to_owned(), "recorded-key".to_owned())]);
    let tracks = |track| outcome.media.iter().filter(|(other, ..)| *other == track).count();
    // Configuration, ten pictures, end of sequence.
    assert_eq!(tracks(Track::Video), 12);
    assert!(tracks(Track::Audio) > 15);
    assert!(outcome.media.iter().filter(|(track, ..)| *track == Track::Video).is_sorted_by_key(|(_, time, _)| *time));
    assert!(outcome.unpublished);
    assert!(outcome.said("NetStream.Publish.Start"));
}

#[test]
fn names_lose_their_parameters_and_slashes() {
    let outcome = Encoder::publishing().run();
    assert_eq!(outcome.publishes, [("live".to_owned(), "secret-key".to_owned())]);
}

#[test]
fn an_event_does_not_show_the_key() {
    let event = Event::Publish { app: "live".to_owned(), key: StreamKey::new("secret-key") };
    assert!(!format!("{event:?}").contains("secret"));
}

#[test]
fn play_is_refused_in_words() {
    let mut encoder = Encoder::new();
    encoder.connect();
    encoder.command(1, "play", 3.0, |out| {
        out.null();
        out.string("secret-key");
    });
    encoder.publish();
    let outcome = encoder.run();
    assert!(outcome.refused && outcome.publishes.is_empty());
    assert!(outcome.said("NetStream.Play.Failed"));
}

#[test]
fn a_refusal_is_bad_name_with_the_reason_on_the_publishs_stream() {
    let mut dialogue = Dialogue::new();
    let mut input = Encoder::publishing().bytes;
    assert!(matches!(dialogue.advance(&mut input), Ok(Some(Event::Publish { .. }))));
    dialogue.output().clear();
    dialogue.refuse("held off for 5 minutes");
    let output = dialogue.output().split();
    let said = |text: &str| output.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(said("NetStream.Publish.BadName") && said("held off for 5 minutes"));
    assert_eq!(output[8..12], [1, 0, 0, 0], "message stream 1");
    input.extend_from_slice(&[0; 100]);
    assert!(matches!(dialogue.advance(&mut input), Ok(None)), "what comes after is thrown away");
    assert!(input.is_empty());
}

#[test]
fn nothing_is_read_while_a_publish_waits() {
    let mut dialogue = Dialogue::new();
    let mut encoder = Encoder::publishing();
    encoder.video(b"early");
    assert!(matches!(dialogue.advance(&mut encoder.bytes), Ok(Some(Event::Publish { .. }))));
    let left = encoder.bytes.len();
    assert!(matches!(dialogue.advance(&mut encoder.bytes), Ok(None)));
    assert_eq!(encoder.bytes.len(), left);
    dialogue.accept();
    assert!(matches!(dialogue.advance(&mut encoder.bytes), Ok(Some(Event::Media { .. }))));
}

#[test]
fn pings_are_answered() {
    let mut encoder = Encoder::publishing();
    encoder.writer.message(&mut encoder.bytes, 2, kind::USER_CONTROL, 0, &[0, 6, 1, 2, 3, 4]);
    assert!(encoder.run().sent(&[0, 7, 1, 2, 3, 4]));
}

/// One that never has more than its window under way, and waits for ever rather than send a message that would not fit.
#[test]
fn a_sender_that_keeps_its_window_never_waits_for_ever() {
    for (window, longest) in
        [(None, 2_000_000), (Some(500_000), 400_000), (Some(60_000), 50_000), (Some(10_000_000), 2_000_000)]
    {
        for handshake in [0, 3073] {
            let mut dialogue = Dialogue::new();
            let mut input = BytesMut::new();
            let (mut sent, mut acknowledged, mut output) = (0, 0, Vec::new());
            let limit = window.unwrap_or(WINDOW).min(WINDOW) as usize;
            for number in 0..400_usize {
                let mut encoder = Encoder { writer: ChunkWriter::new(), bytes: BytesMut::new() };
                if number == 0 {
                    encoder = Encoder::publishing();
                    if let Some(window) = window {
                        encoder.control(kind::WINDOW_SIZE, window);
                    }
                    encoder.control(kind::SET_CHUNK_SIZE, 0x7f_ffff);
                } else {
                    encoder.video(&vec![1; longest * (number % 7) / 6 + 1]);
                }
                let length = encoder.bytes.len();
                assert!(
                    sent + length - acknowledged <= limit,
                    "message {number} waits for ever: {window:?}, {handshake}"
                );
                sent += length;
                if number == 0 {
                    sent = sent - (1 + 2 * HANDSHAKE) + handshake;
                }
                for piece in encoder.bytes.chunks(65_536) {
                    input.extend_from_slice(piece);
                    while let Some(event) = dialogue.advance(&mut input).unwrap() {
                        if matches!(event, Event::Publish { .. }) {
                            dialogue.accept();
                        }
                    }
                    output.extend_from_slice(&dialogue.output().split());
                }
                let outcome = Outcome { output: std::mem::take(&mut output), ..Outcome::default() };
                acknowledged = outcome.acknowledged().last().map_or(acknowledged, |number| *number as usize);
                assert!(acknowledged <= sent, "nothing is acknowledged that was not sent");
            }
        }
    }
}

#[test]
fn a_tiny_window_does_not_make_us_talkative() {
    for window in [0, 1, 1000] {
        let mut encoder = Encoder::publishing();
        encoder.control(kind::WINDOW_SIZE, window);
        for _ in 0..200 {
            encoder.video(&[1; 1000]);
        }
        // Byte by byte, the worst there is.
        let cuts: Vec<usize> = (0..encoder.bytes.len()).collect();
        let outcome = run(&encoder.bytes, &cuts);
        let count = outcome.acknowledged().len();
        assert!((100..=220).contains(&count), "{count} acknowledgements of 200 kB");
    }
}

#[test]
fn what_an_encoder_does_not_read_stays_small() {
    let mut dialogue = Dialogue::new();
    let mut input = Encoder::publishing().bytes;
    while let Some(event) = dialogue.advance(&mut input).unwrap() {
        assert!(matches!(event, Event::Publish { .. }));
        dialogue.accept();
    }
    let said = dialogue.output().split().len();
    let send = |dialogue: &mut Dialogue| {
        let mut encoder = Encoder { writer: ChunkWriter::new(), bytes: BytesMut::new() };
        encoder.control(kind::WINDOW_SIZE, 0);
        encoder.video(&[1; 2000]);
        while dialogue.advance(&mut encoder.bytes).unwrap().is_some() {}
        let output = dialogue.output().to_vec();
        Outcome { output, ..Outcome::default() }.acknowledged()
    };
    let first = send(&mut dialogue);
    assert_eq!((first.len(), said > 0), (1, true));
    for _ in 0..100 {
        assert_eq!(send(&mut dialogue), first);
    }
    // What was read in part only is no place for another.
    let _ = dialogue.output().split_to(10);
    send(&mut dialogue);
    assert_eq!(dialogue.output().len(), 6);
    dialogue.output().clear();
    let next = send(&mut dialogue);
    assert!(next.len() == 1 && next[0] > first[0] + 200_000, "{next:?}");
}

#[test]
fn a_chunk_size_of_zero_is_refused_and_a_huge_one_is_none() {
    let mut encoder = Encoder::publishing();
    encoder.control(kind::SET_CHUNK_SIZE, 0x7fff_ffff);
    encoder.video(&vec![1; 100_000]);
    let outcome = encoder.run();
    assert_eq!(outcome.media[0].2.len(), 100_000);

    let mut encoder = Encoder::publishing();
    encoder.control(kind::SET_CHUNK_SIZE, 0);
    assert_eq!(encoder.run().error, Some(ChunkError::ChunkSize(0).into()));
    let mut encoder = Encoder::publishing();
    encoder.control(kind::SET_CHUNK_SIZE, 0x8000_0000);
    assert_eq!(encoder.run().error, Some(ChunkError::ChunkSize(0x8000_0000).into()));
}

#[test]
fn a_message_that_is_too_long_is_passed_over_and_not_kept() {
    let mut encoder = Encoder::publishing();
    encoder.control(kind::SET_CHUNK_SIZE, 0x10_0000);
    encoder.raw(&[5, 0, 0, 0, 1, 0xa5, 0xe0, 18, 1, 0, 0, 0]); // metadata of 108 kB
    encoder.raw(&vec![2; 0x1_a5e0]);
    encoder.raw(&[4, 0, 0, 0, 0xff, 0xff, 0xff, kind::VIDEO, 1, 0, 0, 0]); // a picture of 16 MiB
    for part in 0..16 {
        if part > 0 {
            encoder.raw(&[0xc4]);
        }
        encoder.raw(&vec![if part == 0 { 0x17 } else { 0 }; 0x10_0000 - usize::from(part == 15)]);
    }
    encoder.video(b"next");
    let mut dialogue = Dialogue::new();
    let mut input = BytesMut::new();
    let (mut odd, mut lost, mut media) = (Vec::new(), Vec::new(), Vec::new());
    for piece in encoder.bytes.chunks(65_536) {
        input.extend_from_slice(piece);
        while let Some(event) = dialogue.advance(&mut input).unwrap() {
            match event {
                Event::Odd(oddity) => odd.push(oddity),
                Event::TooLong { track, start } => lost.push((track, start)),
                Event::Media { body, .. } => media.push(body),
                _ => dialogue.accept(),
            }
        }
        assert!(input.len() < 100, "all of it is taken");
    }
    assert_eq!(odd, [Oddity::TooLong]);
    assert_eq!(lost, [(Track::Video, Bytes::from_static(&[0x17; 16]))], "its beginning, which says what is lost");
    assert_eq!(media, [Bytes::from_static(b"next")]);
}

#[test]
fn media_without_a_publish_is_passed_over_for_a_while() {
    let flood = |count| {
        let mut encoder = Encoder::new();
        encoder.connect();
        for _ in 0..count {
            encoder.video(&[1; 10_000]);
        }
        encoder.run()
    };
    let outcome = flood(300);
    assert_eq!((outcome.error, outcome.media.len(), outcome.odd.len()), (None, 0, 0));
    assert!(matches!(flood(2000).error, Some(DialogueError::Order(_))));
}

#[test]
fn unfinished_messages_are_bounded_together() {
    let mut encoder = Encoder::publishing();
    encoder.control(kind::SET_CHUNK_SIZE, 0x10_0000);
    for id in 4..20 {
        encoder.raw(&[id, 0, 0, 0, 0x40, 0, 0, kind::VIDEO, 1, 0, 0, 0]);
        encoder.raw(&vec![0; 0x10_0000]);
    }
    let mut dialogue = Dialogue::new();
    let error = loop {
        match dialogue.advance(&mut encoder.bytes) {
            Ok(Some(_)) => dialogue.accept(),
            Ok(None) => unreachable!("16 MiB were kept"),
            Err(error) => break error,
        }
    };
    assert_eq!(error, ChunkError::TooMuchUnfinished.into());
}

#[test]
fn chunk_streams_are_bounded() {
    let mut encoder = Encoder::publishing();
    for id in 0..100 {
        encoder.raw(&[0, id, 0, 0, 0, 0, 0, 1, kind::AUDIO, 1, 0, 0, 0, 1]);
    }
    assert_eq!(encoder.run().error, Some(ChunkError::TooManyStreams.into()));
}

#[test]
fn endless_commands_are_refused() {
    let mut encoder = Encoder::new();
    for _ in 0..1000 {
        encoder.command(0, "releaseStream", 1.0, nothing);
    }
    assert!(matches!(encoder.run().error, Some(DialogueError::Order(_))));
}

#[test]
fn a_connect_is_answered_whatever_nobody_needs_of_it() {
    let deep = |out: &mut Writer<'_>| {
        for _ in 0..1000 {
            out.begin_object();
            out.key("a");
        }
    };
    let raw: [(&[u8], Option<Oddity>); 5] = [
        (&[2, 0, 4, b'c', b'a', b'f', 0xe9], Some(Oddity::Text)), // Latin-1
        (&[7, 0, 0], None),                                       // a reference
        (&[17, 10, 11, 1, 1], None),                              // an object of AMF3
        (&[17, 99], Some(Oddity::Command)),                       // what is nothing
        (&[], Some(Oddity::Command)),                             // a thousand levels
    ];
    for (value, oddity) in raw {
        let mut body = BytesMut::new();
        let mut writer = Writer::new(&mut body);
        writer.string("connect");
        writer.number(1.0);
        writer.begin_object();
        writer.key("app");
        writer.string("live");
        writer.key("pageUrl");
        if value.is_empty() {
            deep(&mut writer);
        } else {
            body.put_slice(value);
            body.put_slice(&[0, 0, 9]);
        }
        for (kind, lead) in [(kind::COMMAND, &[][..]), (kind::COMMAND_AMF3, &[0]), (kind::COMMAND_AMF3, &[])] {
            let mut encoder = Encoder::new();
            encoder.control(kind::SET_CHUNK_SIZE, 65_536);
            encoder.writer.message(&mut encoder.bytes, 3, kind, 0, &[lead, &body].concat());
            encoder.publish();
            let outcome = encoder.run();
            assert_eq!((outcome.error.as_ref(), &outcome.odd[..]), (None, oddity.as_slice()), "{value:?}");
            assert!(outcome.said("NetConnection.Connect.Success"));
            assert_eq!(outcome.publishes, [("live".to_owned(), "secret-key".to_owned())]);
        }
    }
    // The whole of it in AMF3, and the application only in the server's address.
    let mut encoder = Encoder::new();
    let connect = [
        &[0, 2, 0, 7][..],
        b"connect",
        &[0, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0, 17, 10, 11, 1, 11],
        b"tcUrl",
        &[6, 31],
        b"rtmp://box/live",
        &[1],
    ];
    encoder.writer.message(&mut encoder.bytes, 3, kind::COMMAND_AMF3, 0, &connect.concat());
    encoder.publish();
    let outcome = encoder.run();
    assert_eq!(outcome.publishes, [("live".to_owned(), "secret-key".to_owned())]);
    assert!(outcome.odd.is_empty());
}

#[test]
fn encoders_get_what_some_of_them_wait_for() {
    let mut encoder = Encoder::new();
    encoder.connect();
    encoder.command(0, "FCPublish", 2.0, nothing);
    let outcome = encoder.run();
    assert!(outcome.said("onFCPublish") && outcome.said("onBWDone"));
    let begin = [2, 0, 0, 0, 0, 0, 6, kind::USER_CONTROL, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    assert!(outcome.sent(&[&begin[..], &[0]].concat()), "StreamBegin of the connection");
    assert!(Encoder::publishing().run().sent(&[&begin[..], &[1]].concat()), "StreamBegin of the publish");
}

type Odd = fn(&mut Encoder);

fn message(encoder: &mut Encoder, kind: u8, body: &[u8]) {
    encoder.writer.message(&mut encoder.bytes, 3, kind, 1, body);
}

/// Odd messages in the midst of a publish, and what is counted for them.
const ODD: [(&str, Odd, &[Oddity]); 29] = [
    ("nothing", |_| {}, &[]),
    ("an empty command", |e| message(e, kind::COMMAND, &[]), &[Oddity::Command]),
    ("a command that begins with a number", |e| message(e, kind::COMMAND, &[0; 9]), &[Oddity::Command]),
    ("a command that ends in its name", |e| message(e, kind::COMMAND, &[2, 0, 9, b'p']), &[Oddity::Command]),
    ("a command of noise", |e| message(e, kind::COMMAND, &[0xff; 50]), &[Oddity::Command]),
    ("a command without a transaction", |e| message(e, kind::COMMAND, &[2, 0, 1, b'x']), &[]),
    ("a transaction that is noise", |e| message(e, kind::COMMAND, &[2, 0, 1, b'x', 99]), &[Oddity::Command]),
    ("an empty command of AMF3", |e| message(e, kind::COMMAND_AMF3, &[]), &[Oddity::Command]),
    ("a name that is not UTF-8", |e| message(e, kind::COMMAND, &[2, 0, 1, 0xe9]), &[Oddity::Text]),
    (
        "AMF3 in a command",
        |e| message(e, kind::COMMAND, &[2, 0, 1, b'x', 0, 0, 0, 0, 0, 0, 0, 0, 0, 17, 10, 11, 1, 1]),
        &[],
    ),
    ("another connect", Encoder::connect, &[Oddity::Again]),
    ("another publish of the same", Encoder::publish, &[Oddity::Again]),
    (
        "a publish of another name",
        |e| {
            e.command(1, "publish", 9.0, |out| {
                out.null();
                out.string("other");
            });
        },
        &[Oddity::Again],
    ),
    (
        "a second stream",
        |e| {
            e.command(0, "createStream", 8.0, nothing);
            e.command(2, "publish", 9.0, |out| {
                out.null();
                out.string("other");
            });
        },
        &[Oddity::Again],
    ),
    (
        "twenty streams",
        |e| {
            for number in 0..20_u8 {
                e.command(0, "createStream", f64::from(number) + 20.0, nothing);
            }
        },
        &[],
    ),
    (
        "the end of another stream",
        |e| {
            e.command(0, "deleteStream", 0.0, |out| {
                out.null();
                out.number(7.0);
            });
            e.command(7, "closeStream", 0.0, nothing);
            e.command(0, "FCUnpublish", 0.0, |out| {
                out.null();
                out.string("another-name");
            });
        },
        &[],
    ),
    (
        "a wish to play",
        |e| {
            e.command(2, "play", 9.0, |out| {
                out.null();
                out.string("secret-key");
            });
        },
        &[],
    ),
    (
        "FCPublish and releaseStream",
        |e| {
            e.command(0, "FCPublish", 9.0, nothing);
            e.command(0, "releaseStream", 9.0, nothing);
        },
        &[],
    ),
    ("media of another stream", |e| e.writer.message(&mut e.bytes, 4, kind::AUDIO, 2, &[1]), &[Oddity::OtherStream]),
    ("a bundle that ends early", |e| message(e, kind::AGGREGATE, &[9, 0, 0, 9, 0]), &[Oddity::Bundle]),
    ("a bundle of too much", |e| message(e, kind::AGGREGATE, &[9, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 1]), &[Oddity::Bundle]),
    ("an empty bundle", |e| message(e, kind::AGGREGATE, &[]), &[]),
    ("a chunk size of two bytes", |e| message(e, kind::SET_CHUNK_SIZE, &[0, 1]), &[Oddity::Control]),
    ("a window without a size", |e| message(e, kind::WINDOW_SIZE, &[]), &[Oddity::Control]),
    ("an abort of nothing", |e| message(e, kind::ABORT, &[0, 0, 0, 60]), &[]),
    ("user control of one byte", |e| message(e, kind::USER_CONTROL, &[0]), &[Oddity::Control]),
    ("a ping without a time", |e| message(e, kind::USER_CONTROL, &[0, 6, 1]), &[Oddity::Control]),
    (
        "types that nobody knows",
        |e| {
            for kind in [0, 7, 10, 14, 15, 16, 18, 19, 21, 23, 255] {
                message(e, kind, b"hello");
            }
        },
        &[],
    ),
    ("metadata of noise", |e| message(e, 18, &[0xff; 500]), &[]),
];

/// One odd message in the midst of a publish: what comes behind it is taken as if it had not been there.
#[test]
fn no_odd_message_ends_a_publish() {
    for (name, odd, expected) in ODD {
        let mut encoder = Encoder::publishing();
        encoder.video(b"before");
        odd(&mut encoder);
        encoder.video(b"behind");
        let outcome = encoder.run();
        assert_eq!((outcome.error, &outcome.odd[..]), (None, expected), "{name}");
        let media: Vec<&[u8]> = outcome.media.iter().map(|(.., body)| body.as_ref()).collect();
        assert_eq!(media, [b"before", b"behind"], "{name}");
        assert_eq!(outcome.publishes.len(), 1, "{name}");
        assert!(!outcome.unpublished && !outcome.refused, "{name}");
        let output = String::from_utf8_lossy(&outcome.output);
        assert!(!output.contains("BadName") && !output.contains("Unpublish.Success"), "{name}");
    }
}

#[test]
fn an_encoder_may_publish_again_on_its_connection() {
    type End = fn(&mut Encoder, u8);
    fn named(name: &'static str) -> impl FnOnce(&mut Writer<'_>) {
        move |out| {
            out.null();
            out.string(name);
        }
    }
    let ends: [End; 7] = [
        |e, _| e.command(0, "FCUnpublish", 6.0, named("secret-key")),
        |e, _| e.command(0, "FCUnpublish", 6.0, named("secret-key?token=1")),
        |e, _| e.command(0, "FCUnpublish", 6.0, nothing),
        |e, stream| {
            e.command(0, "deleteStream", 7.0, |out| {
                out.null();
                out.number(f64::from(stream));
            });
        },
        |e, _| e.command(0, "deleteStream", 7.0, nothing),
        |e, stream| e.command(stream.into(), "closeStream", 0.0, nothing),
        |e, stream| {
            e.command(stream.into(), "publish", 0.0, |out| {
                out.null();
                out.boolean(false);
            });
        },
    ];
    for (number, end) in ends.into_iter().enumerate() {
        let mut encoder = Encoder::publishing();
        for stream in 1..=3_u8 {
            encoder.writer.message(&mut encoder.bytes, 4, kind::VIDEO, stream.into(), &[stream]);
            end(&mut encoder, stream);
            // What was under way, and what says it once more.
            encoder.writer.message(&mut encoder.bytes, 4, kind::VIDEO, stream.into(), &vec![9; 100_000]);
            encoder.command(0, "deleteStream", 7.0, |out| {
                out.null();
                out.number(f64::from(stream));
            });
            encoder.command(0, "createStream", 10.0, nothing);
            encoder.command((stream + 1).into(), "publish", 11.0, named("secret-key"));
        }
        let outcome = encoder.run();
        assert_eq!((outcome.error, &outcome.odd[..]), (None, &[][..]), "{number}");
        assert_eq!(outcome.publishes.len(), 4, "{number}");
        let media: Vec<&[u8]> = outcome.media.iter().map(|(.., body)| body.as_ref()).collect();
        assert_eq!(media, [[1], [2], [3]], "{number}");
        assert!(outcome.unpublished);
    }
}

#[test]
fn media_on_a_wrong_stream_is_taken_when_there_is_no_right_one() {
    let mut encoder = Encoder::publishing();
    for stream in [0, 5, 5, 0] {
        encoder.writer.message(&mut encoder.bytes, 4, kind::AUDIO, stream, &[1]);
    }
    let outcome = encoder.run();
    assert_eq!((outcome.media.len(), outcome.odd.len()), (4, 0));
}

/// Some publish without a message stream, send media with one, and now and then a sound with a header that was cut short.
#[test]
fn sound_on_no_stream_does_not_end_the_pictures_of_an_encoder_that_published_on_none() {
    let mut encoder = Encoder::new();
    encoder.connect();
    encoder.command(0, "publish", 3.0, |out| {
        out.null();
        out.string("secret-key");
    });
    encoder.video(&[1]);
    encoder.writer.message(&mut encoder.bytes, 5, kind::AUDIO, 0, &[2]);
    encoder.video(&[3]);
    let outcome = encoder.run();
    assert_eq!((outcome.media.len(), outcome.odd.len()), (3, 0), "{:?}", outcome.odd);
}

#[test]
fn other_protocols_are_told_by_name() {
    for (bytes, dialect, answer) in [
        (&b"POST /open/1 HTTP/1.1\r\nHost: box\r\n\r\n"[..], Dialect::Rtmpt, "501 Not Implemented"),
        (b"GET / HTTP/1.1\r\n", Dialect::Http, "501 Not Implemented"),
        (&[6; 1537], Dialect::Rtmpe, ""),
        (&[22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3], Dialect::Tls, "\u{15}\u{3}\u{1}"),
        (&[77, 1, 2, 3, 4, 5], Dialect::Unknown(77), ""),
    ] {
        let outcome = run(bytes, &[]);
        assert!(outcome.said(answer));
        assert_eq!(outcome.error, Some(DialogueError::Dialect(dialect)));
    }
}

#[test]
fn time_stamps_follow_deltas_and_wrap() {
    let mut encoder = Encoder::publishing();
    let near_the_end = 0xffff_fff0_u32.to_be_bytes();
    encoder.raw(&[4, 0xff, 0xff, 0xff, 0, 0, 1, kind::AUDIO, 1, 0, 0, 0]);
    encoder.raw(&near_the_end);
    encoder.raw(b"a");
    // A header without the message stream, one with the time alone, one with nothing.
    encoder.raw(&[0x44, 0, 0, 0x20, 0, 0, 1, kind::AUDIO, b'b']);
    encoder.raw(&[0x84, 0, 0, 0x21, b'c']);
    encoder.raw(&[0xc4, b'd']);
    let times: Vec<u32> = encoder.run().media.iter().map(|(_, time, _)| *time).collect();
    assert_eq!(times, [0xffff_fff0, 0x10, 0x31, 0x52]);
}

#[test]
fn both_dialects_of_extended_time_stamps_are_understood() {
    let time = 0x0100_0000_u32;
    let body: Vec<u8> = (0..=255).cycle().take(300).collect();
    for repeated in [true, false] {
        let mut encoder = Encoder::publishing();
        for message in 0..3_u8 {
            let time = (time + u32::from(message)).to_be_bytes();
            encoder.raw(&[4, 0xff, 0xff, 0xff, 0, 1, 44, kind::VIDEO, 1, 0, 0, 0]);
            encoder.raw(&time);
            for (index, chunk) in body.chunks(128).enumerate() {
                if index > 0 {
                    encoder.raw(&[0xc4]);
                    encoder.raw(if repeated { &time } else { &[] });
                }
                encoder.raw(chunk);
            }
        }
        let outcome = encoder.run();
        assert_eq!(outcome.error, None);
        let expected: Vec<_> = (0..3).map(|n| (Track::Video, time + n, Bytes::from(body.clone()))).collect();
        assert_eq!(outcome.media, expected, "repeated: {repeated}");
    }
}

#[test]
fn interleaved_and_aborted_messages_come_out_whole_or_not() {
    let mut encoder = Encoder::publishing();
    let first = [1; 200];
    encoder.raw(&[4, 0, 0, 1, 0, 0, 200, kind::VIDEO, 1, 0, 0, 0]);
    encoder.raw(&first[..128]);
    encoder.raw(&[6, 0, 0, 2, 0, 0, 3, kind::AUDIO, 1, 0, 0, 0, 7, 8, 9]);
    encoder.raw(&[0xc4]);
    encoder.raw(&first[128..]);
    // One that is given up, then another on the same chunk stream.
    encoder.raw(&[4, 0, 0, 3, 0, 0, 200, kind::VIDEO, 1, 0, 0, 0]);
    encoder.raw(&[2; 128]);
    encoder.control(kind::ABORT, 4);
    encoder.raw(&[4, 0, 0, 4, 0, 0, 2, kind::VIDEO, 1, 0, 0, 0, 5, 5]);
    let outcome = encoder.run();
    let media: Vec<_> = outcome.media.iter().map(|(_, time, body)| (*time, body.as_ref())).collect();
    assert_eq!(media, [(2, &[7, 8, 9][..]), (1, &first[..]), (4, &[5, 5][..])]);
}

#[test]
fn aggregates_are_taken_apart() {
    let mut encoder = Encoder::publishing();
    let mut body = Vec::new();
    for (kind, time, data) in [(9, 10, b"video"), (8, 35, b"audio"), (18, 36, b"dataa")] {
        body.extend_from_slice(&[kind, 0, 0, 5, 0, 0, time, 0, 0, 0, 0]);
        body.extend_from_slice(data);
        body.extend_from_slice(&[0, 0, 0, 16]);
    }
    encoder.raw(&[4, 0, 1, 0, 0, 0, 60, kind::AGGREGATE, 1, 0, 0, 0]);
    encoder.raw(&body);
    let media = encoder.run().media;
    assert_eq!(media.len(), 2);
    assert_eq!(media[0], (Track::Video, 256, Bytes::from_static(b"video")));
    assert_eq!(media[1], (Track::Audio, 281, Bytes::from_static(b"audio")));
}

#[test]
fn media_buffers_are_exactly_as_large_as_their_message() {
    let mut encoder = Encoder::publishing();
    encoder.control(kind::SET_CHUNK_SIZE, 1000);
    encoder.video(&vec![3; 300_001]);
    let body = encoder.run().media.remove(0).2;
    assert_eq!(body.try_into_mut().unwrap().capacity(), 300_001);
}

proptest! {
    #[test]
    fn any_split_gives_the_same_events(cuts in proptest::collection::vec(any::<usize>(), 0..60)) {
        let whole = run(FFMPEG, &[]);
        let split = run(FFMPEG, &cuts);
        prop_assert_eq!(whole.media, split.media);
        prop_assert_eq!(whole.output, split.output);
        prop_assert_eq!(split.error, None);
    }

    #[test]
    fn random_bytes_never_panic(
        greeted: bool,
        bytes in proptest::collection::vec(any::<u8>(), 0..4000),
        cuts in proptest::collection::vec(any::<usize>(), 0..10),
    ) {
        let mut input = if greeted { Encoder::publishing().bytes.to_vec() } else { vec![3] };
        input.extend_from_slice(&bytes);
        run(&input, &cuts);
    }

    #[test]
    fn mutated_dialogues_never_panic(
        changes in proptest::collection::vec((any::<usize>(), any::<u8>()), 1..20),
        removed in proptest::option::of((any::<usize>(), 1_usize..50)),
        cuts in proptest::collection::vec(any::<usize>(), 0..10),
    ) {
        // The handshake's contents do not matter: everything happens behind it.
        let start = 1 + 2 * HANDSHAKE;
        let mut bytes = FFMPEG.to_vec();
        for (at, to) in changes {
            // Half of the changes hit the commands, which come first.
            let reach = if at % 2 == 0 { 800 } else { bytes.len() - start };
            bytes[start + (at / 2) % reach] = to;
        }
        if let Some((at, count)) = removed {
            let at = start + at % (bytes.len() - start - count);
            bytes.drain(at..at + count);
        }
        run(&bytes, &cuts);
    }
}
