#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use proptest::prelude::*;

use super::{
    super::chunk::{MAX_COMMAND, MAX_MEDIA},
    *,
};

/// What ffmpeg 5.1 sends for a publish of 0.4 s of `testsrc` and a tone to `/live/recorded-key`.
const FFMPEG: &[u8] = include_bytes!("ffmpeg.rtmp");

/// What an encoder says, put together by hand.
struct Encoder {
    writer: ChunkWriter,
    bytes: BytesMut,
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
    fn publishing() -> Self {
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

    fn control(&mut self, kind: u8, value: u32) {
        self.writer.control(&mut self.bytes, kind, value);
    }

    fn video(&mut self, body: &[u8]) {
        self.writer.message(&mut self.bytes, 4, kind::VIDEO, 1, body);
    }

    fn raw(&mut self, bytes: &[u8]) {
        self.bytes.put_slice(bytes);
    }

    /// Gives everything to a new session that accepts.
    fn run(self) -> Outcome {
        run(&self.bytes, &[])
    }
}

/// No arguments but the command object that is none.
fn nothing(out: &mut Writer<'_>) {
    out.null();
}

/// What became of a session.
#[derive(Debug, Default)]
struct Outcome {
    publishes: Vec<(String, String)>,
    media: Vec<(Track, u32, Bytes)>,
    unpublished: bool,
    refused: bool,
    error: Option<SessionError>,
    output: Vec<u8>,
}

impl Outcome {
    fn said(&self, text: &str) -> bool {
        self.output.windows(text.len()).any(|window| window == text.as_bytes())
    }
}

/// Feeds `bytes` to a session, cut at `cuts`, and accepts its publish.
fn run(bytes: &[u8], cuts: &[usize]) -> Outcome {
    let mut session = Session::new();
    let mut outcome = Outcome::default();
    let mut input = BytesMut::new();
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).chain([bytes.len()]).collect();
    cuts.sort_unstable();
    let mut start = 0;
    for cut in cuts {
        input.extend_from_slice(&bytes[start..cut]);
        start = cut;
        loop {
            match session.advance(&mut input) {
                Ok(Some(Event::Publish { app, key })) => {
                    outcome.publishes.push((app, key.expose().to_owned()));
                    session.accept();
                }
                Ok(Some(Event::Media { track, timestamp, body })) => outcome.media.push((track, timestamp, body)),
                Ok(Some(Event::Unpublish)) => outcome.unpublished = true,
                Ok(Some(Event::Refused(_))) => outcome.refused = true,
                Ok(None) => break,
                Err(error) => {
                    outcome.error = Some(error);
                    outcome.output.extend_from_slice(&session.output().split());
                    return outcome;
                }
            }
        }
        assert!(input.len() < 1 + HANDSHAKE, "what is not understood yet stays small");
    }
    outcome.output.extend_from_slice(&session.output().split());
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
    let mut session = Session::new();
    let mut input = Encoder::publishing().bytes;
    assert!(matches!(session.advance(&mut input), Ok(Some(Event::Publish { .. }))));
    session.output().clear();
    session.refuse("held off for 5 minutes");
    let output = session.output().split();
    let said = |text: &str| output.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(said("NetStream.Publish.BadName") && said("held off for 5 minutes"));
    assert_eq!(output[8..12], [1, 0, 0, 0], "message stream 1");
    input.extend_from_slice(&[0; 100]);
    assert!(matches!(session.advance(&mut input), Ok(None)), "what comes after is thrown away");
    assert!(input.is_empty());
}

#[test]
fn nothing_is_read_while_a_publish_waits() {
    let mut session = Session::new();
    let mut encoder = Encoder::publishing();
    encoder.video(b"early");
    assert!(matches!(session.advance(&mut encoder.bytes), Ok(Some(Event::Publish { .. }))));
    let left = encoder.bytes.len();
    assert!(matches!(session.advance(&mut encoder.bytes), Ok(None)));
    assert_eq!(encoder.bytes.len(), left);
    session.accept();
    assert!(matches!(session.advance(&mut encoder.bytes), Ok(Some(Event::Media { .. }))));
}

#[test]
fn pings_are_answered_and_windows_acknowledged() {
    let mut encoder = Encoder::publishing();
    encoder.control(kind::WINDOW_SIZE, 0);
    encoder.writer.message(&mut encoder.bytes, 2, kind::USER_CONTROL, 0, &[0, 6, 1, 2, 3, 4]);
    for _ in 0..20 {
        encoder.video(&[1; 10_000]);
    }
    let outcome = encoder.run();
    assert_eq!(outcome.error, None);
    assert!(outcome.output.windows(6).any(|window| window == [0, 7, 1, 2, 3, 4]));
    let acknowledgement = [2, 0, 0, 0, 0, 0, 4, kind::ACKNOWLEDGEMENT, 0, 0, 0, 0];
    let count = outcome.output.windows(12).filter(|window| *window == acknowledgement).count();
    assert_eq!(count, 2, "once per 64 KiB although a window of 0 was asked for");
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
fn long_messages_are_refused_by_their_header() {
    let claim = |kind: u8, length: u32| {
        let [_, a, b, c] = length.to_be_bytes();
        [4, 0, 0, 0, a, b, c, kind, 1, 0, 0, 0]
    };
    let mut encoder = Encoder::new();
    encoder.raw(&claim(kind::VIDEO, 0xff_ffff));
    assert_eq!(encoder.run().error, Some(ChunkError::TooLong { length: 0xff_ffff, limit: MAX_COMMAND }.into()));
    let mut encoder = Encoder::publishing();
    encoder.raw(&claim(kind::VIDEO, 0xff_ffff));
    assert_eq!(encoder.run().error, Some(ChunkError::TooLong { length: 0xff_ffff, limit: MAX_MEDIA }.into()));
    let mut encoder = Encoder::publishing();
    encoder.raw(&claim(kind::COMMAND, 100_000));
    assert_eq!(encoder.run().error, Some(ChunkError::TooLong { length: 100_000, limit: MAX_COMMAND }.into()));
}

#[test]
fn unfinished_messages_are_bounded_together() {
    let mut encoder = Encoder::publishing();
    encoder.control(kind::SET_CHUNK_SIZE, 0x10_0000);
    for id in 4..20 {
        encoder.raw(&[id, 0, 0, 0, 0x40, 0, 0, kind::VIDEO, 1, 0, 0, 0]);
        encoder.raw(&vec![0; 0x10_0000]);
    }
    let mut session = Session::new();
    let error = loop {
        match session.advance(&mut encoder.bytes) {
            Ok(Some(_)) => session.accept(),
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
fn deep_objects_and_endless_commands_are_refused() {
    let mut encoder = Encoder::new();
    encoder.command(0, "connect", 1.0, |out| {
        for _ in 0..1000 {
            out.begin_object();
            out.key("a");
        }
    });
    assert_eq!(encoder.run().error, Some(AmfError::TooLarge.into()));

    let mut encoder = Encoder::new();
    for _ in 0..1000 {
        encoder.command(0, "releaseStream", 1.0, nothing);
    }
    assert!(matches!(encoder.run().error, Some(SessionError::Order(_))));
}

#[test]
fn a_second_publish_and_other_protocols_are_refused() {
    let mut encoder = Encoder::publishing();
    encoder.publish();
    assert!(matches!(encoder.run().error, Some(SessionError::Order(_))));
    assert_eq!(run(b"GET / HTTP/1.1\r\n", &[]).error, Some(SessionError::Version(b'G')));
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
    fn mutated_sessions_never_panic(
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
