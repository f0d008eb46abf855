//! A second protocol: the programme into an FLV file. It shows what a protocol takes: one file, and a row where protocols are listed.

use std::sync::atomic::{AtomicBool, AtomicU64};

use gstreamer_app::AppSrc;

use super::{
    super::{
        liveness::Sample,
        transport::{Driver, Transport},
    },
    *,
};
use crate::{
    core::flv::{self, FileReader, FileTagKind},
    media::tag::session_time,
};

/// How many sessions ended politely. `nextest` gives each test a process of its own.
static GOODBYES: AtomicU64 = AtomicU64::new(0);

static DRIVER: Driver = Driver { elements: &["filesink"], open: FlvFile::open, closer: |_, _| None };

/// A destination that writes an FLV file, which tests read again.
#[derive(Debug)]
pub(super) struct FlvFile {
    sink: gst::Element,
    /// The file has its header.
    begun: AtomicBool,
}

impl FlvFile {
    /// What `sink` takes as it comes.
    pub(super) fn into_sink(sink: gst::Element) -> Box<dyn Transport> {
        Box::new(Self { sink, begun: AtomicBool::new(false) })
    }

    fn open(destination: &Destination) -> Result<Box<dyn Transport>, gst::glib::BoolError> {
        let path = destination.url.to_file_path().map_err(|()| gst::glib::bool_error!("this is no path"))?;
        let sink = gst::ElementFactory::make("filesink")
            .property("location", path)
            .property_from_str("buffer-mode", "unbuffered")
            .property("sync", false)
            .property("async", false)
            .build()?;
        Ok(Self::into_sink(sink))
    }
}

impl Transport for FlvFile {
    fn element(&self) -> &gst::Element {
        &self.sink
    }

    fn is_accepted(&self) -> bool {
        self.sink.current_state() == gst::State::Playing
    }

    fn write(&self, tag: &Tag, time: MediaTime) -> Bytes {
        let bytes = flv::tag(tag.kind as u8, session_time(time), &tag.body);
        if self.begun.swap(true, Ordering::Relaxed) {
            return bytes;
        }
        [flv::file_header(true, true), bytes].concat().into()
    }

    fn sample(&self) -> Sample {
        // The element itself answers in time only.
        let position = self.sink.static_pad("sink").and_then(|pad| pad.query_position::<gst::format::Bytes>());
        Sample { sent: position.map_or(0, |position| *position), ..Sample::default() }
    }

    fn finish(&self, source: &AppSrc) -> Option<Duration> {
        GOODBYES.fetch_add(1, Ordering::Relaxed);
        source.end_of_stream().is_ok().then_some(Duration::ZERO)
    }

    fn explain(&self, error: &gst::glib::Error, _: &str) -> DestinationFailure {
        DestinationFailure::Other(format!("the file: {}", error.message()))
    }
}

#[tokio::test]
async fn protocol_that_is_no_rtmp_carries_a_session_from_its_key_frame_to_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("programme.flv");
    let url = url::Url::from_file_path(&path).unwrap();
    let session = Session::open(&DRIVER, destination(url.as_str())).await.unwrap();
    let shared = Arc::new(Shared::default());
    shared.outlet.store(Some(session.outlet()));
    let mut feed = EgressFeed::new(shared.clone());
    let preroll = Preroll {
        headers: vec![video(900, false, true)],
        tags: VecDeque::from([video(960, false, false), video(1000, true, false)]),
    };
    let at = |millis| Moment::from_start(Duration::from_millis(millis));

    feed.push(&[], &preroll, at(0));
    assert!(!session.outlet().has_begun(), "nothing is sent before it is accepted");
    assert!(session.look_for_acceptance());
    feed.push(&[], &preroll, at(40));
    for step in 1..=50_u64 {
        let millis = i64::try_from(1000 + step * 40).unwrap();
        feed.push(&[video(millis, false, false)], &preroll, at(40 + step * 40));
    }
    // The file's header, 52 tags of 1000 bytes, and what FLV puts around each.
    let whole = 13 + 52 * (11 + 1000 + 4);
    let taken = async {
        while session.sample().sent < whole || session.sample().waiting {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(20), taken).await.map_err(|_| session.sample()).unwrap();
    assert_eq!(session.sample().sent, whole);
    session.finish().await;

    let mut reader = FileReader::new();
    reader.write(&std::fs::read(&path).unwrap());
    let times: Vec<_> = std::iter::from_fn(|| reader.read().unwrap())
        .inspect(|tag| assert_eq!((tag.kind, tag.body.len()), (FileTagKind::Video, 1000)))
        .map(|tag| tag.time_ms)
        .collect();
    let expected: Vec<u32> = [0, 0].into_iter().chain((1..=50).map(|step| step * 40)).collect();
    assert_eq!(times, expected);
}

#[tokio::test]
async fn failure_of_a_session_is_told_in_the_words_of_its_protocol() {
    // Every write to it fails.
    let mut session = Session::open(&DRIVER, destination("file:///dev/full")).await.unwrap();
    assert!(session.look_for_acceptance());
    let shared = Arc::new(Shared::default());
    shared.outlet.store(Some(session.outlet()));
    let mut feed = EgressFeed::new(shared);
    let preroll =
        Preroll { headers: Vec::new(), tags: (0..100).map(|step| video(step * 40, step == 0, false)).collect() };
    feed.push(&[], &preroll, Moment::ZERO);
    let failure = timeout(Duration::from_secs(10), session.failure()).await.unwrap();
    let DestinationFailure::Other(reason) = failure else { unreachable!("a file refuses nothing") };
    assert!(reason.starts_with("the file: "), "{reason}");
    session.close().await;
}

#[tokio::test]
async fn platform_that_heard_sound_alone_is_said_goodbye_to() {
    let folder = tempfile::tempdir().unwrap();
    for (sound, goodbyes) in [(false, 0), (true, 1)] {
        let url = url::Url::from_file_path(folder.path().join("programme.flv")).unwrap();
        let session = Session::open(&DRIVER, destination(url.as_str())).await.unwrap();
        let shared = Arc::new(Shared::default());
        shared.outlet.store(Some(session.outlet()));
        assert!(session.look_for_acceptance());
        let tags = sound.then(|| Tag { kind: TagKind::Audio, ..video(900, false, false) }).into_iter().collect();
        EgressFeed::new(shared).push(&[], &Preroll { headers: vec![], tags }, Moment::ZERO);
        session.finish().await;
        assert_eq!(GOODBYES.load(Ordering::Relaxed), goodbyes, "sound: {sound}");
    }
}

/// Where no key frame is at hand, as in a stream of long groups: sound does not wait for one.
#[tokio::test]
async fn session_is_heard_before_it_is_seen_and_live_when_it_is_seen() {
    let folder = tempfile::tempdir().unwrap();
    let url = url::Url::from_file_path(folder.path().join("programme.flv")).unwrap();
    let session = Session::open(&DRIVER, destination(url.as_str())).await.unwrap();
    let shared = Arc::new(Shared::default());
    shared.outlet.store(Some(session.outlet()));
    let mut feed = EgressFeed::new(shared.clone());
    let at = |millis| Moment::from_start(Duration::from_millis(millis));
    let sound = |millis| Tag { kind: TagKind::Audio, ..video(millis, false, false) };
    let preroll = Preroll { headers: vec![], tags: VecDeque::from([sound(900)]) };
    feed.push(&[], &preroll, at(0));
    assert!(session.look_for_acceptance());
    feed.push(&[sound(920)], &preroll, at(20));
    feed.push(&[video(930, false, false), sound(940)], &preroll, at(40));
    assert!(session.outlet().is_heard() && !session.outlet().has_begun());
    feed.push(&[video(960, true, false)], &preroll, at(60));
    assert!(session.outlet().has_begun());
    session.finish().await;
}
