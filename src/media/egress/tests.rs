//! The parts that need no server. Against real servers: `tests/whole_box/egress.rs`.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;
use gstreamer as gst;
use gstreamer::prelude::*;

use self::file::FlvFile;
use super::*;
use crate::{
    core::{destination::DestinationId, frame::MediaTime},
    media::tag::{Preroll, Tag, TagKind},
};

mod file;
mod platforms;
mod simulated;

pub(super) fn destination(url: &str) -> Destination {
    Destination {
        id: DestinationId(1),
        name: "d".to_owned(),
        url: url.parse().unwrap(),
        key: "k".into(),
        enabled: true,
        locked: false,
    }
}

#[tokio::test(start_paused = true)]
async fn encrypted_destination_waits_for_the_clock_to_be_right_and_a_plain_one_does_not() {
    for (url, waits) in [("rtmps://127.0.0.1:1/app", true), ("rtmp://127.0.0.1:1/app", false)] {
        let (tracker, token) = (TaskTracker::new(), CancellationToken::new());
        let wall = || Timestamp::UNIX_EPOCH;
        let (control, _feed) =
            Egress::spawn_with(destination(url), true, Clock::start(), wall, &Handle::current(), &tracker, &token);
        let mut status = control.status();
        status.wait_for(|status| status.state != DestinationState::WaitingForShow).await.unwrap();
        assert_eq!(status.borrow().state == DestinationState::WaitingForClock, waits, "{url}");
        control.stop(Parting::Goodbye).await;
    }
}

#[tokio::test]
async fn platform_that_closes_without_an_answer_is_tried_again_soon() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("rtmp://{}/app", listener.local_addr().unwrap());
    let closing = tokio::spawn(async move { while listener.accept().await.is_ok() {} });
    let (tracker, token) = (TaskTracker::new(), CancellationToken::new());
    let (control, _feed) = Egress::spawn(destination(&url), true, Clock::start(), &Handle::current(), &tracker, &token);
    let mut status = control.status();
    let backs_off = status.wait_for(|status| matches!(status.state, DestinationState::BackingOff { .. }));
    let state = timeout(Duration::from_secs(10), backs_off).await.unwrap().unwrap().state.clone();
    let DestinationState::BackingOff { reason, retry_in_seconds } = state else { unreachable!("it backs off") };
    assert!(reason.starts_with("the platform closed the connection without an answer: check the address"), "{reason}");
    assert_eq!(retry_in_seconds, 1);
    control.stop(Parting::Goodbye).await;
    closing.abort();
}

/// An outlet whose other end takes nothing while it is blocked.
struct Blocked {
    pipeline: gst::Pipeline,
    feed: EgressFeed,
    shared: Arc<Shared>,
    probe: Option<(gst::Pad, gst::PadProbeId)>,
    preroll: Preroll,
    now: Moment,
}

impl Blocked {
    fn new() -> Self {
        gst::init().unwrap();
        let pipeline = gst::Pipeline::new();
        let appsrc = session::appsrc();
        let sink =
            gst::ElementFactory::make("fakesink").property("sync", false).property("async", false).build().unwrap();
        pipeline.add_many([appsrc.upcast_ref(), &sink]).unwrap();
        appsrc.link(&sink).unwrap();
        let pad = appsrc.static_pad("src").unwrap();
        let what = gst::PadProbeType::BLOCK | gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST;
        let probe = pad.add_probe(what, |_, _| gst::PadProbeReturn::Ok).unwrap();
        pipeline.set_state(gst::State::Playing).unwrap();
        let shared = Arc::new(Shared::default());
        shared.outlet.store(Some(Arc::new(session::Outlet::accepted(appsrc, FlvFile::into_sink(sink)))));
        let preroll = Preroll { headers: vec![video(0, false, true)], tags: VecDeque::from([video(0, true, false)]) };
        let feed = EgressFeed::new(shared.clone());
        Self { pipeline, feed, shared, probe: Some((pad, probe)), preroll, now: Moment::ZERO }
    }

    fn unblock(&mut self) {
        let (pad, probe) = self.probe.take().unwrap();
        pad.remove_probe(probe);
        self.drain();
    }

    fn drain(&self) {
        let outlet = self.shared.outlet.load_full().unwrap();
        while outlet.level() > 0 {
            std::thread::yield_now();
        }
    }

    /// Lets `seconds` pass at 25 pictures a second, with a key frame every two seconds.
    fn play(&mut self, seconds: u64) {
        for _ in 0..seconds * 25 {
            self.now = self.now + Duration::from_millis(40);
            let millis = i64::try_from(self.now.since_start().as_millis()).unwrap();
            let tag = video(millis, millis % 2000 == 0, false);
            self.feed.push(&[tag], &self.preroll, self.now);
            // This clock runs faster than the other end's thread.
            if self.probe.is_none() {
                self.drain();
            }
        }
    }

    fn dropped(&self) -> u64 {
        self.shared.dropped_frames.load(Ordering::Relaxed)
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        self.pipeline.set_state(gst::State::Null).unwrap();
    }
}

fn video(millis: i64, keyframe: bool, header: bool) -> Tag {
    let body = Bytes::from_static(&[0x27; 1000]);
    Tag { kind: TagKind::Video, time: MediaTime::from_millis(millis), keyframe, header, body }
}

#[test]
fn destination_that_lags_is_left_behind_until_a_key_frame_when_it_has_caught_up() {
    let mut blocked = Blocked::new();
    blocked.play(4);
    assert_eq!(blocked.dropped(), 0);
    blocked.play(6);
    let dropped = blocked.dropped();
    assert!((140..=152).contains(&dropped), "{dropped} of 150 were left out");
    let outlet = blocked.shared.outlet.load_full().unwrap();
    assert!(outlet.level() < 120_000, "{} bytes wait", outlet.level());
    blocked.unblock();
    blocked.play(4);
    // At 10 s everything left, so that the key frame at 12 s or before brings it back.
    assert!(blocked.dropped() - dropped <= 50, "{} more were left out", blocked.dropped() - dropped);
    let resumed = blocked.dropped();
    blocked.play(4);
    assert_eq!(blocked.dropped(), resumed);
}

#[test]
fn headers_are_never_left_out() {
    let mut blocked = Blocked::new();
    blocked.play(10);
    let (dropped, level) = (blocked.dropped(), blocked.shared.outlet.load_full().unwrap().level());
    blocked.now = blocked.now + Duration::from_millis(40);
    blocked.feed.push(&[video(10_040, false, true)], &blocked.preroll, blocked.now);
    assert_eq!(blocked.dropped(), dropped);
    assert!(blocked.shared.outlet.load_full().unwrap().level() > level);
}
