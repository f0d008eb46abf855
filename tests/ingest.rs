//! The embedded ingest on a real socket: real encoders, and peers that mean no good.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::{
    collections::HashMap,
    net::SocketAddr,
    process::{Output, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::{BufMut, BytesMut};
use motherstream::{
    clock::Clock,
    config::{IngestConfig, IngestKind, Sources},
    core::{
        amf::Writer,
        frame::{CodecConfig, ConnectionId, Frame, FrameSink, FrameSinks, MediaTime, PullAddress, RemoteInput, Track},
        moment::Moment,
        oddity::Oddity,
    },
    ingest::{Ingest, IngestEvent, PublishVerdict, embedded},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    process::{Child, Command},
    sync::mpsc,
    time::{Instant, sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Times on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// What happened, in order.
#[derive(Clone, Debug, PartialEq)]
enum Seen {
    Publish(ConnectionId, String),
    Trouble(ConnectionId, String),
    Unpublish(ConnectionId),
    Closed(ConnectionId),
}

#[derive(Default)]
struct Record {
    seen: Vec<Seen>,
    frames: HashMap<ConnectionId, Vec<Frame>>,
    odd: Vec<Oddity>,
}

/// Media's and the director's side: keeps frames, and answers by the key. `refuse-...` is refused, `drop` gets no answer,
/// everything else is accepted and replaces an earlier connection with the same key.
#[derive(Clone)]
struct Venue {
    record: Arc<Mutex<Record>>,
    ingest: Ingest,
    address: SocketAddr,
    token: CancellationToken,
    tracker: TaskTracker,
}

struct Sinks(Arc<Mutex<Record>>);

struct Sink(ConnectionId, Arc<Mutex<Record>>);

impl FrameSinks for Sinks {
    fn open(&self, connection: ConnectionId) -> Box<dyn FrameSink> {
        Box::new(Sink(connection, Arc::clone(&self.0)))
    }

    fn announce(&self, _connection: ConnectionId, _address: PullAddress) -> Box<dyn RemoteInput> {
        unreachable!("the embedded ingest delivers its frames")
    }
}

impl FrameSink for Sink {
    fn push(&mut self, frame: Frame, _arrival: Moment) {
        self.1.lock().unwrap().frames.entry(self.0.clone()).or_default().push(frame);
    }

    fn odd(&mut self, oddity: Oddity) {
        self.1.lock().unwrap().odd.push(oddity);
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.1.lock().unwrap().seen.push(Seen::Closed(self.0.clone()));
    }
}

impl Venue {
    async fn open(handshake_seconds: u64, silence_seconds: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let nothing = Sources { file: None, fallback: "/nonexistent".into(), environment: Vec::new() };
        let config = IngestConfig {
            kind: IngestKind::Embedded,
            rtmp_listen: address,
            handshake_seconds,
            silence_seconds,
            ..nothing.load().unwrap().config.ingest
        };
        let record = Arc::new(Mutex::new(Record::default()));
        let (events, receiver) = mpsc::channel(64);
        let (token, tracker) = (CancellationToken::new(), TaskTracker::new());
        let sinks = Arc::new(Sinks(Arc::clone(&record)));
        let ingest = embedded::start(
            listener,
            &config,
            "the test says so",
            Clock::start(),
            sinks,
            events,
            token.clone(),
            &tracker,
        );
        tokio::spawn(direct(receiver, Arc::clone(&record)));
        Self { record, ingest, address, token, tracker }
    }

    fn url(&self, key: &str) -> String {
        format!("rtmp://{}/live/{key}", self.address)
    }

    fn seen(&self) -> Vec<Seen> {
        self.record.lock().unwrap().seen.clone()
    }

    fn frames(&self, connection: &ConnectionId) -> Vec<Frame> {
        self.record.lock().unwrap().frames.get(connection).cloned().unwrap_or_default()
    }

    /// Waits until `find` finds something in what happened.
    async fn until<T>(&self, find: impl Fn(&[Seen]) -> Option<T>) -> T {
        let start = Instant::now();
        loop {
            if let Some(found) = find(&self.seen()) {
                return found;
            }
            assert!(start.elapsed() < PATIENCE, "it did not happen: {:?}", self.seen());
            sleep(Duration::from_millis(5)).await;
        }
    }

    async fn published(&self, key: &str) -> ConnectionId {
        self.until(|seen| {
            seen.iter().rev().find_map(|seen| match seen {
                Seen::Publish(id, other) if other == key => Some(id.clone()),
                _ => None,
            })
        })
        .await
    }

    async fn unpublished(&self, id: &ConnectionId) {
        self.until(|seen| seen.contains(&Seen::Unpublish(id.clone())).then_some(())).await;
    }

    async fn frames_from(&self, id: &ConnectionId, count: usize) {
        self.until(|_| (self.frames(id).len() >= count).then_some(())).await;
    }
}

async fn direct(mut events: mpsc::Receiver<IngestEvent>, record: Arc<Mutex<Record>>) {
    let mut current: HashMap<String, ConnectionId> = HashMap::new();
    while let Some(event) = events.recv().await {
        match event {
            IngestEvent::Publish(request) => {
                assert!(request.address.is_loopback());
                let key = request.key.expose().to_owned();
                record.lock().unwrap().seen.push(Seen::Publish(request.connection.clone(), key.clone()));
                let verdict = if request.app != "live" {
                    PublishVerdict::Refuse { reason: "nobody publishes to that application".to_owned() }
                } else if key.starts_with("refuse") {
                    PublishVerdict::Refuse { reason: "held off for another 4 minutes".to_owned() }
                } else if key == "drop" {
                    continue;
                } else {
                    PublishVerdict::Accept { replaces: current.insert(key, request.connection) }
                };
                let _ = request.verdict.send(verdict);
            }
            IngestEvent::Unpublish(id) => {
                current.retain(|_, other| *other != id);
                record.lock().unwrap().seen.push(Seen::Unpublish(id));
            }
            IngestEvent::Unusable { connection, reason, .. } => {
                record.lock().unwrap().seen.push(Seen::Trouble(connection, reason.to_string()));
            }
            IngestEvent::Trouble { connection, reason } => {
                record.lock().unwrap().seen.push(Seen::Trouble(connection, reason));
            }
        }
    }
}

/// ffmpeg publishing to `url`: 160x90, 25 pictures a second with a key frame every 10, and a tone.
fn ffmpeg(url: &str, seconds: &str, codecs: &[&str]) -> Child {
    Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-re", "-f", "lavfi", "-i", "testsrc=size=160x90:rate=25"])
        .args(["-f", "lavfi", "-i", "sine=sample_rate=48000", "-t", seconds])
        .args(codecs)
        .args(["-f", "flv", url])
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

const H264_AAC: &[&str] =
    &["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", "10", "-bf", "2", "-c:a", "aac"];

async fn output(child: Child) -> Output {
    timeout(PATIENCE, child.wait_with_output()).await.unwrap().unwrap()
}

/// A client that says exactly what a test wants, in chunks that hold any message.
struct Raw(TcpStream);

impl Raw {
    async fn greeted(venue: &Venue) -> Self {
        let mut stream = TcpStream::connect(venue.address).await.unwrap();
        let mut hello = vec![3; 1];
        hello.resize(1 + 1536, 1);
        stream.write_all(&hello).await.unwrap();
        let mut answer = vec![0; 1 + 2 * 1536];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(answer[1537..], hello[1..], "S2 echoes C1");
        stream.write_all(&answer[1..1537]).await.unwrap();
        let mut raw = Self(stream);
        raw.message(2, 1, 0, &65_536_u32.to_be_bytes()).await;
        raw
    }

    async fn publishing(venue: &Venue, key: &str) -> (Self, ConnectionId) {
        let mut raw = Self::greeted(venue).await;
        raw.publish("live", key).await;
        raw.expect("NetStream.Publish.Start").await;
        let id = venue.published(key).await;
        (raw, id)
    }

    async fn publish(&mut self, app: &str, key: &str) {
        self.command(0, "connect", |out| {
            out.begin_object();
            out.key("app");
            out.string(app);
            out.end_object();
        })
        .await;
        self.command(0, "createStream", nothing).await;
        self.command(1, "publish", |out| {
            out.null();
            out.string(key);
            out.string("live");
        })
        .await;
    }

    async fn message(&mut self, chunk_stream: u8, kind: u8, stream: u8, body: &[u8]) {
        let mut bytes = BytesMut::new();
        bytes.put_slice(&[chunk_stream, 0, 0, 0]);
        bytes.put_uint(body.len() as u64, 3);
        bytes.put_slice(&[kind, stream, 0, 0, 0]);
        bytes.put_slice(body);
        self.0.write_all(&bytes).await.unwrap();
    }

    async fn command(&mut self, stream: u8, name: &str, arguments: impl FnOnce(&mut Writer<'_>)) {
        let mut body = BytesMut::new();
        let mut writer = Writer::new(&mut body);
        writer.string(name);
        writer.number(1.0);
        arguments(&mut writer);
        self.message(3, 20, stream, &body).await;
    }

    /// Reads until the other side has said `text`.
    async fn expect(&mut self, text: &str) {
        let mut heard = Vec::new();
        let told = async {
            while !heard.windows(text.len()).any(|window| window == text.as_bytes()) {
                assert_ne!(self.0.read_buf(&mut heard).await.unwrap(), 0, "closed before it said {text}");
            }
        };
        timeout(PATIENCE, told).await.unwrap();
    }

    /// How long it takes until the other side closes.
    async fn closed(&mut self) -> Duration {
        closed(&mut self.0).await
    }
}

/// No arguments but the command object that is none.
fn nothing(out: &mut Writer<'_>) {
    out.null();
}

async fn closed(stream: &mut TcpStream) -> Duration {
    let start = Instant::now();
    let mut heard = Vec::new();
    let end = async { while matches!(stream.read_buf(&mut heard).await, Ok(1..)) {} };
    timeout(PATIENCE, end).await.expect("it is closed");
    start.elapsed()
}

#[tokio::test]
async fn ffmpeg_publishes_and_every_frame_arrives_with_its_configuration() {
    let venue = Venue::open(10, 30).await;
    let status = output(ffmpeg(&venue.url("key"), "2", H264_AAC)).await;
    assert!(status.status.success(), "{status:?}");
    let id = venue.published("key").await;
    venue.unpublished(&id).await;
    assert_eq!(
        venue.seen(),
        [Seen::Publish(id.clone(), "key".to_owned()), Seen::Closed(id.clone()), Seen::Unpublish(id.clone())]
    );

    let frames = venue.frames(&id);
    let (video, audio): (Vec<&Frame>, Vec<&Frame>) = frames.iter().partition(|frame| frame.track == Track::Video);
    assert_eq!(video.len(), 50);
    assert_eq!(video.iter().filter(|frame| frame.keyframe).count(), 5);
    assert!((90..=97).contains(&audio.len()), "{}", audio.len());
    assert!(video.windows(2).all(|pair| pair[0].dts < pair[1].dts));
    assert!(video.iter().any(|frame| frame.pts > frame.dts), "there are B-frames");
    assert!(video.iter().all(|frame| Arc::ptr_eq(&frame.config, &video[0].config)));
    let CodecConfig::Avc(avc) = video[0].config.as_ref() else { unreachable!("pictures are H.264") };
    assert_eq!((avc.width, avc.height), (160, 90));
    let CodecConfig::Aac(aac) = audio[0].config.as_ref() else { unreachable!("sound is AAC") };
    assert_eq!((aac.sample_rate, aac.channels), (48_000, 1));
    assert!(venue.ingest.connections().await.is_empty());
}

/// 0xFFFFFF ms are 16,777.215 s: from there on RTMP's time stamps have four more bytes.
#[tokio::test]
async fn ffmpeg_publishes_across_the_point_where_time_stamps_are_extended() {
    let venue = Venue::open(10, 30).await;
    let codecs = [H264_AAC, &["-output_ts_offset", "16776"]].concat();
    let status = output(ffmpeg(&venue.url("key"), "3", &codecs)).await;
    assert!(status.status.success(), "{status:?}");
    let id = venue.published("key").await;
    venue.unpublished(&id).await;
    let mut video = venue.frames(&id);
    video.retain(|frame| frame.track == Track::Video);
    assert_eq!(video.len(), 75);
    assert!(video.windows(2).all(|pair| pair[1].dts - pair[0].dts == MediaTime::from_millis(40)));
    assert!(video.first().unwrap().dts < MediaTime::from_millis(0xff_ffff));
    assert!(video.last().unwrap().dts > MediaTime::from_millis(0xff_ffff));
}

#[tokio::test]
async fn gstreamer_publishes_with_rtmp2sink() {
    let venue = Venue::open(10, 30).await;
    let child = Command::new("gst-launch-1.0")
        .args(["-q", "videotestsrc", "num-buffers=50", "!", "video/x-raw,width=160,height=90,framerate=25/1"])
        .args(["!", "x264enc", "speed-preset=ultrafast", "key-int-max=10", "bframes=0", "!", "h264parse"])
        .args(["!", "flvmux", "streamable=true", "!", "rtmp2sink", &format!("location={}", venue.url("gst"))])
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let output = output(child).await;
    assert!(output.status.success(), "{output:?}");
    let id = venue.published("gst").await;
    venue.unpublished(&id).await;
    let frames = venue.frames(&id);
    assert_eq!(frames.len(), 50);
    assert_eq!(frames.iter().filter(|frame| frame.keyframe).count(), 5);
}

#[tokio::test]
async fn a_refusal_can_be_read_in_the_encoder() {
    let venue = Venue::open(10, 30).await;
    let output = output(ffmpeg(&venue.url("refuse-me"), "2", H264_AAC)).await;
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("held off for another 4 minutes"), "{said}");

    let mut raw = Raw::greeted(&venue).await;
    raw.publish("other", "key").await;
    raw.expect("NetStream.Publish.BadName").await;
    assert!(raw.closed().await < Duration::from_secs(3));

    let mut raw = Raw::greeted(&venue).await;
    raw.publish("live", "drop").await;
    raw.expect("try again").await;
    assert!(!venue.seen().iter().any(|seen| matches!(seen, Seen::Unpublish(_))), "nothing was accepted");
    assert!(venue.ingest.connections().await.is_empty());
}

#[tokio::test]
async fn another_codec_is_refused_with_its_name() {
    let venue = Venue::open(10, 30).await;
    let output = output(ffmpeg(&venue.url("old"), "3", &["-c:v", "flv1", "-c:a", "aac"])).await;
    assert!(!output.status.success());
    let id = venue.published("old").await;
    venue.unpublished(&id).await;
    let reason = "Sorenson H.263 is not supported: choose H.264 (x264 or hardware) in Settings, Output".to_owned();
    assert_eq!(
        venue.seen()[1..],
        [Seen::Closed(id.clone()), Seen::Trouble(id.clone(), reason.clone()), Seen::Unpublish(id)]
    );
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains(&reason), "{said}");

    let (mut raw, _) = Raw::publishing(&venue, "new").await;
    raw.message(4, 9, 1, b"\x90hvc1").await;
    raw.expect("HEVC is not supported").await;
}

#[tokio::test]
async fn a_takeover_ends_the_old_connection_before_the_new_one_starts() {
    let venue = Venue::open(10, 30).await;
    let (mut old, old_id) = Raw::publishing(&venue, "key").await;
    assert_eq!(venue.ingest.connections().await, std::slice::from_ref(&old_id));
    let (_new, new_id) = Raw::publishing(&venue, "key").await;
    assert_ne!(old_id, new_id);
    assert!(venue.seen().contains(&Seen::Unpublish(old_id)));
    old.expect("another encoder took over").await;
    assert!(old.closed().await < Duration::from_secs(3));
    assert_eq!(venue.ingest.connections().await, [new_id]);
}

#[tokio::test]
async fn an_ordered_disconnect_tells_the_encoder_why() {
    let venue = Venue::open(10, 30).await;
    let encoder = ffmpeg(&venue.url("key"), "15", H264_AAC);
    let id = venue.published("key").await;
    venue.frames_from(&id, 10).await;
    venue.ingest.disconnect(id.clone(), "your turn is over".to_owned()).await;
    venue.ingest.disconnect(id.clone(), "twice".to_owned()).await;
    venue.ingest.disconnect(ConnectionId::new("nobody"), "gone".to_owned()).await;
    let output = output(encoder).await;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("your turn is over"), "{said}");
    venue.unpublished(&id).await;
    let count = venue.seen().iter().filter(|seen| **seen == Seen::Unpublish(id.clone())).count();
    assert_eq!(count, 1);
}

#[tokio::test]
async fn a_killed_encoder_is_unpublished_at_once() {
    let venue = Venue::open(10, 30).await;
    let mut encoder = ffmpeg(&venue.url("key"), "15", H264_AAC);
    let id = venue.published("key").await;
    venue.frames_from(&id, 10).await;
    encoder.kill().await.unwrap();
    let start = Instant::now();
    venue.unpublished(&id).await;
    assert!(start.elapsed() < Duration::from_secs(1));
}

#[tokio::test]
async fn a_silent_publisher_is_dropped_with_the_reason() {
    let venue = Venue::open(10, 1).await;
    let (mut raw, id) = Raw::publishing(&venue, "key").await;
    // Commands are no media.
    let start = Instant::now();
    let reason = loop {
        raw.command(1, "_checkbw", nothing).await;
        if let Some(reason) = venue.seen().iter().find_map(|seen| match seen {
            Seen::Trouble(other, reason) if *other == id => Some(reason.clone()),
            _ => None,
        }) {
            break reason;
        }
        assert!(start.elapsed() < Duration::from_secs(5));
        sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(reason, "nothing was received for 1 s");
    venue.unpublished(&id).await;
}

#[tokio::test]
async fn peers_that_never_finish_are_closed_by_one_deadline() {
    let venue = Venue::open(1, 30).await;
    let start = Instant::now();
    let mut silent = TcpStream::connect(venue.address).await.unwrap();
    let mut half = TcpStream::connect(venue.address).await.unwrap();
    half.write_all(&[3; 700]).await.unwrap();
    let mut greeted = Raw::greeted(&venue).await;
    let dripping = TcpStream::connect(venue.address).await.unwrap();
    let (mut reader, mut writer) = dripping.into_split();
    let drip = tokio::spawn(async move {
        while writer.write_all(&[3]).await.is_ok() {
            sleep(Duration::from_millis(100)).await;
        }
    });
    let mut heard = Vec::new();
    let read = timeout(PATIENCE, reader.read_to_end(&mut heard)).await.expect("the drip is closed");
    assert!(matches!(read, Ok(0) | Err(_)));
    closed(&mut silent).await;
    closed(&mut half).await;
    greeted.closed().await;
    let elapsed = start.elapsed();
    assert!((Duration::from_millis(900)..Duration::from_secs(4)).contains(&elapsed), "{elapsed:?}");
    timeout(PATIENCE, drip).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_crowd_that_never_finishes_does_not_lock_out_its_neighbours() {
    let venue = Venue::open(5, 30).await;
    let (mut before, before_id) = Raw::publishing(&venue, "before").await;
    let mut crowd = Vec::new();
    for _ in 0..200 {
        crowd.push(TcpStream::connect(venue.address).await.unwrap());
    }
    let start = Instant::now();
    let (_after, _) = Raw::publishing(&venue, "after").await;
    assert!(start.elapsed() < Duration::from_secs(2));
    // All but the newest few are gone long before their deadline.
    for stream in &mut crowd[..180] {
        closed(stream).await;
    }
    assert!(start.elapsed() < Duration::from_secs(3));
    before.message(4, 8, 1, &[0xaf, 0, 0x11, 0x90]).await;
    before.message(4, 8, 1, &[0xaf, 1, 1, 2, 3]).await;
    venue.frames_from(&before_id, 1).await;
}

/// From 18 addresses, each with as many as it may have and more: together they could fill the ingest twice.
#[tokio::test]
async fn a_crowd_from_many_addresses_does_not_lock_out_a_single_encoder() {
    let venue = Venue::open(10, 30).await;
    let mut crowd = Vec::new();
    for number in 0..18 * 18 {
        let socket = TcpSocket::new_v4().unwrap();
        let address = [127, 0, 1, u8::try_from(number % 18 + 1).unwrap()];
        socket.bind((address, 0).into()).unwrap();
        crowd.push(socket.connect(venue.address).await.unwrap());
    }
    sleep(Duration::from_secs(1)).await;
    let mut encoders = Vec::new();
    for number in 0..25 {
        let key = format!("encoder-{number}");
        let encoder = timeout(Duration::from_secs(5), Raw::publishing(&venue, &key));
        encoders.push(encoder.await.expect("accepted, and within seconds"));
    }
    // They go on, and nobody of the crowd that is left was let in.
    for (encoder, id) in &mut encoders {
        encoder.message(4, 8, 1, &[0xaf, 0, 0x11, 0x90]).await;
        encoder.message(4, 8, 1, &[0xaf, 1, 1, 2, 3]).await;
        venue.frames_from(id, 1).await;
    }
}

#[tokio::test]
async fn hostile_bytes_close_their_own_connection_only() {
    let venue = Venue::open(10, 30).await;
    let encoder = ffmpeg(&venue.url("good"), "4", H264_AAC);
    let good = venue.published("good").await;

    let mut garbage = TcpStream::connect(venue.address).await.unwrap();
    let noise: Vec<u8> = (0_u32..20_000).map(|n| (n.wrapping_mul(2_654_435_761) >> 13).to_be_bytes()[3]).collect();
    let _ = garbage.write_all(&noise).await;
    assert!(closed(&mut garbage).await < Duration::from_secs(3));

    for _ in 0..20 {
        let mut quitter = TcpStream::connect(venue.address).await.unwrap();
        quitter.write_all(&[3; 1000]).await.unwrap();
    }

    let mut giant = Raw::greeted(&venue).await;
    giant.message(2, 1, 0, &100_000_000_u32.to_be_bytes()).await;
    giant.0.write_all(&[4, 0, 0, 0, 0xff, 0xff, 0xff, 9, 1, 0, 0, 0]).await.unwrap();
    // 16 MiB that nobody keeps, and 16 MiB more than anybody may send without publishing.
    let flood = vec![0; 64 * 1024];
    for _ in 0..600 {
        if giant.0.write_all(&flood).await.is_err() {
            break;
        }
    }
    assert!(giant.closed().await < Duration::from_secs(3));

    let mut deep = Raw::greeted(&venue).await;
    deep.command(0, "connect", |out| {
        for _ in 0..1000 {
            out.begin_object();
            out.key("a");
        }
    })
    .await;
    deep.expect("NetConnection.Connect.Success").await;

    let mut zero = Raw::greeted(&venue).await;
    zero.message(2, 5, 0, &[0, 0, 0, 0]).await;
    zero.publish("live", "zero").await;
    zero.expect("NetStream.Publish.Start").await;

    let mut player = Raw::greeted(&venue).await;
    player
        .command(1, "play", |out| {
            out.null();
            out.string("good");
        })
        .await;
    player.expect("NetStream.Play.Failed").await;
    assert!(player.closed().await < Duration::from_secs(3));

    let (mut broken, broken_id) = Raw::publishing(&venue, "broken").await;
    for _ in 0..50 {
        broken.message(4, 9, 1, &[0x17, 0, 0, 0, 0, 9, 9]).await;
    }
    broken.expect("unusable").await;
    venue.unpublished(&broken_id).await;

    assert!(output(encoder).await.status.success());
    venue.unpublished(&good).await;
    assert_eq!(venue.frames(&good).iter().filter(|frame| frame.track == Track::Video).count(), 100);
}

#[tokio::test]
async fn odd_messages_in_mid_stream_end_nothing_and_are_counted() {
    let venue = Venue::open(10, 30).await;
    let (mut raw, id) = Raw::publishing(&venue, "key").await;
    raw.message(2, 1, 0, &1_000_000_u32.to_be_bytes()).await;
    raw.message(4, 8, 1, &[0xaf, 0, 0x11, 0x90]).await;
    for round in 1..=20 {
        raw.message(4, 8, 1, &[0xaf, 1, 1, 2, 3]).await;
        raw.message(4, 9, 1, &[0x17]).await; // cut short
        raw.message(4, 8, 1, &[]).await;
        raw.message(4, 8, 1, &[0xaf, 0, 0, 0]).await; // a configuration of zeros
        raw.message(5, 18, 1, &vec![1; 108_000]).await; // metadata
        raw.message(3, 20, 0, &[]).await;
        raw.message(3, 20, 0, &[0; 9]).await;
        raw.command(0, "connect", nothing).await;
        raw.command(0, "deleteStream", |out| {
            out.null();
            out.number(7.0);
        })
        .await;
        venue.frames_from(&id, round).await;
    }
    raw.message(4, 8, 1, &[0xaf, 1, 1, 2, 3]).await;
    venue.frames_from(&id, 21).await;
    assert_eq!(venue.seen(), [Seen::Publish(id.clone(), "key".to_owned())]);
    let odd = venue.record.lock().unwrap().odd.clone();
    for kind in
        [Oddity::CutHeader, Oddity::Empty, Oddity::Configuration, Oddity::TooLong, Oddity::Command, Oddity::Again]
    {
        let count = odd.iter().filter(|other| **other == kind).count();
        assert_eq!(count, if kind == Oddity::Command { 40 } else { 20 }, "{kind:?}");
    }
}

#[tokio::test]
async fn publishing_again_on_the_same_connection_is_another_publish() {
    let venue = Venue::open(2, 30).await;
    let (mut raw, first) = Raw::publishing(&venue, "key").await;
    let mut last = first;
    for stream in 2..5_u8 {
        raw.command(0, "FCUnpublish", |out| {
            out.null();
            out.string("key");
        })
        .await;
        raw.command(0, "deleteStream", |out| {
            out.null();
            out.number(f64::from(stream - 1));
        })
        .await;
        raw.expect("NetStream.Unpublish.Success").await;
        venue.unpublished(&last).await;
        sleep(Duration::from_millis(300)).await;
        raw.command(0, "createStream", nothing).await;
        raw.command(stream, "publish", |out| {
            out.null();
            out.string("key");
        })
        .await;
        raw.expect("NetStream.Publish.Start").await;
        let next = venue.published("key").await;
        assert_ne!(next, last);
        assert_eq!(venue.ingest.connections().await, std::slice::from_ref(&next));
        raw.message(4, 8, stream, &[0xaf, 0, 0x11, 0x90]).await;
        raw.message(4, 8, stream, &[0xaf, 1, 1, 2, 3]).await;
        venue.frames_from(&next, 1).await;
        last = next;
    }
    // Whoever ends a publish and says nothing more is let go quietly.
    raw.command(0, "closeStream", nothing).await;
    venue.unpublished(&last).await;
    assert!(raw.closed().await < Duration::from_secs(6));
    assert!(!venue.seen().iter().any(|seen| matches!(seen, Seen::Trouble(..))));
}

#[tokio::test]
async fn other_protocols_are_closed_with_an_answer_they_understand() {
    let venue = Venue::open(10, 30).await;
    for (hello, answer) in [
        (&b"POST /open/1 HTTP/1.1\r\nHost: box\r\nContent-Length: 1\r\n\r\n\0"[..], &b"HTTP/1.1 501 "[..]),
        (&[22, 3, 1, 0, 5, 1, 0, 0, 1, 3], &[21, 3, 1, 0, 2, 2, 40]),
        (&[6; 1537], &[]),
    ] {
        let start = Instant::now();
        let mut stream = TcpStream::connect(venue.address).await.unwrap();
        stream.write_all(hello).await.unwrap();
        let mut heard = Vec::new();
        let _ = timeout(PATIENCE, stream.read_to_end(&mut heard)).await.expect("it is closed");
        assert!(heard.starts_with(answer), "{}", String::from_utf8_lossy(&heard));
        assert!(start.elapsed() < Duration::from_secs(5));
    }
    assert!(venue.seen().is_empty());
}

#[tokio::test]
async fn a_stop_closes_everybody_and_unpublishes_nobody() {
    let venue = Venue::open(10, 30).await;
    let (mut publisher, id) = Raw::publishing(&venue, "key").await;
    let mut visitor = TcpStream::connect(venue.address).await.unwrap();
    venue.token.cancel();
    venue.tracker.close();
    timeout(Duration::from_secs(2), venue.tracker.wait()).await.expect("every task has ended");
    publisher.closed().await;
    closed(&mut visitor).await;
    assert!(!venue.seen().contains(&Seen::Unpublish(id)), "the queue keeps the place for the restart");
}
