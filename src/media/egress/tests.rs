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
    /// Milliseconds from one key frame to the next.
    group: i64,
}

impl Blocked {
    fn new() -> Self {
        Self::with_ring(0)
    }

    /// The programme's ring holds a group that began so many seconds ago.
    fn with_ring(seconds: i64) -> Self {
        gst::init().unwrap();
        let pipeline = gst::Pipeline::new();
        let appsrc = session::appsrc();
        appsrc.set_property("name", "way");
        let sink =
            gst::ElementFactory::make("fakesink").property("sync", false).property("async", false).build().unwrap();
        pipeline.add_many([appsrc.upcast_ref(), &sink]).unwrap();
        appsrc.link(&sink).unwrap();
        let probe = Self::close(appsrc.static_pad("src").unwrap());
        pipeline.set_state(gst::State::Playing).unwrap();
        let shared = Arc::new(Shared::default());
        shared.outlet.store(Some(Arc::new(session::Outlet::accepted(appsrc, FlvFile::into_sink(sink)))));
        let from = -seconds * 1000;
        let tags = (from..=0).step_by(40).map(|millis| video(millis, millis == from, false)).collect();
        let preroll = Preroll { headers: vec![video(from, false, true)], tags };
        let feed = EgressFeed::new(shared.clone());
        Self { pipeline, feed, shared, probe: Some(probe), preroll, now: Moment::ZERO, group: 2000 }
    }

    fn close(pad: gst::Pad) -> (gst::Pad, gst::PadProbeId) {
        let what = gst::PadProbeType::BLOCK | gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST;
        let probe = pad.add_probe(what, |_, _| gst::PadProbeReturn::Ok).unwrap();
        (pad, probe)
    }

    fn block(&mut self) {
        self.probe = Some(Self::close(self.pipeline.by_name("way").unwrap().static_pad("src").unwrap()));
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

    /// Lets `seconds` pass at 25 pictures a second, with a key frame every `group`.
    fn play(&mut self, seconds: u64) {
        for _ in 0..seconds * 25 {
            let millis = self.step();
            self.push(video(millis, millis % self.group == 0, false));
        }
    }

    /// A tick, and what its time is.
    fn step(&mut self) -> i64 {
        self.now = self.now + Duration::from_millis(40);
        i64::try_from(self.now.since_start().as_millis()).unwrap()
    }

    fn push(&mut self, tag: Tag) {
        self.feed.push(&[tag], &self.preroll, self.now);
        // This clock runs faster than the other end's thread.
        if self.probe.is_none() {
            self.drain();
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
fn destination_that_has_caught_up_is_heard_at_once_and_seen_with_the_next_key_frame() {
    let mut blocked = Blocked::new();
    blocked.play(8);
    assert!(blocked.dropped() > 0);
    blocked.unblock();
    let before = blocked.dropped();
    for step in 1..=50 {
        let millis = blocked.step();
        blocked.push(Tag { kind: TagKind::Audio, ..video(millis, false, false) });
        assert_eq!(blocked.dropped(), before + step - 1, "sound does not wait for a key frame");
        blocked.push(video(millis, false, false));
        assert_eq!(blocked.dropped(), before + step, "pictures wait for one");
    }
    let millis = blocked.step();
    blocked.push(video(millis, true, false));
    blocked.group = i64::MAX;
    blocked.play(8);
    assert_eq!(blocked.dropped(), before + 50);
}

#[test]
fn destination_whose_connection_takes_the_first_group_slowly_is_not_left_behind_for_it() {
    let mut blocked = Blocked::with_ring(8);
    blocked.play(11);
    assert_eq!(blocked.dropped(), 0, "it may lag by the group that it began with");
    blocked.play(3);
    assert!(blocked.dropped() > 0, "but not by more");
    blocked.unblock();
    blocked.play(4);
    let resumed = blocked.dropped();
    blocked.play(2);
    blocked.block();
    blocked.play(3);
    assert_eq!(blocked.dropped(), resumed);
    blocked.play(4);
    assert!(blocked.dropped() > resumed, "when it has caught up it is as any other");
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
