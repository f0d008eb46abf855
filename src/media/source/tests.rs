//! The pull against a server that does what SRS does, and what it does not.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod program;
mod server;
mod srs;
mod tap;

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{Notify, mpsc},
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::server::{Behaviour, GOP, PICTURE, SOUND, SimulatedFlvServer};
use super::{Arrival, Gauge, Gauges, Parts, Pictures, Taps};
use crate::{
    clock::Clock,
    core::{
        frame::{
            AvcConfig, CodecConfig, ConnectionId, Frame, FrameSinks, MediaTime, PullAddress, RemoteFigures,
            RemoteInput, Track,
        },
        moment::Moment,
        remark::Remark,
    },
};

/// Taps, without the rest of media.
struct House {
    clock: Clock,
    gauges: Arc<Gauges>,
    taps: Taps,
    frames: mpsc::Receiver<Arrival>,
    token: CancellationToken,
}

impl House {
    fn new() -> Self {
        gstreamer::init().unwrap();
        let (clock, token) = (Clock::start(), CancellationToken::new());
        let parts = Parts {
            clock,
            latency: Duration::from_millis(1500),
            runtime: tokio::runtime::Handle::current(),
            tracker: TaskTracker::new(),
            token: token.clone(),
        };
        let gauges = Arc::new(Gauges::default());
        let (taps, frames) = Taps::new(gauges.clone(), Arc::new(Notify::new()), parts, Pictures::start().unwrap());
        Self { clock, gauges, taps, frames, token }
    }

    fn announce(&self, name: &str, url: &str) -> (Box<dyn RemoteInput>, Arc<Gauge>) {
        let id = ConnectionId::new(name);
        let input = self.taps.announce(id.clone(), PullAddress::new(url));
        (input, self.gauges.get(&id).unwrap())
    }

    async fn frame(&mut self) -> (Frame, Moment) {
        let (gauge, frame, arrival) =
            timeout(Duration::from_secs(10), self.frames.recv()).await.expect("a frame").unwrap();
        gauge.landed(&frame);
        (frame, arrival)
    }

    /// The frames of so much of the stream's time, from the next one on.
    async fn frames(&mut self, time: Duration) -> Vec<Frame> {
        let mut frames = vec![self.frame().await.0];
        let end = frames[0].dts + time.into();
        while frames.last().unwrap().dts < end {
            frames.push(self.frame().await.0);
        }
        frames
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.token.cancel();
    }
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let all = async {
        while !holds() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(timeout(Duration::from_secs(15), all).await.is_ok(), "not within 15 s: {what}");
}

fn steps(frames: &[Frame], track: Track) -> Vec<i64> {
    let times: Vec<_> = frames.iter().filter(|frame| frame.track == track).map(|frame| frame.dts.as_millis()).collect();
    times.windows(2).map(|two| two[1] - two[0]).collect()
}

/// Nothing is missing and nothing is there twice. Where the server was left in between: nothing but the rest of a group of pictures whose
/// successor had begun by then.
fn assert_unbroken(frames: &[Frame], left: bool) {
    let pictures: Vec<_> = frames.iter().filter(|frame| frame.track == Track::Video).collect();
    assert!(pictures.len() > 10 && pictures[0].keyframe, "pictures begin with a key frame");
    let hole = |step: i64| left && step > 0 && step < GOP + PICTURE;
    for two in pictures.windows(2) {
        let step = (two[1].dts - two[0].dts).as_millis();
        assert!(
            step == PICTURE || (two[1].keyframe && hole(step)),
            "a step of {step} ms: {:?}",
            steps(frames, Track::Video)
        );
    }
    let audio = steps(frames, Track::Audio);
    assert!(!audio.is_empty() && audio.iter().all(|step| *step == SOUND || hole(*step)), "{audio:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn announced_connection_is_pulled_until_its_first_keyframe_and_no_longer() {
    let house = House::new();
    let server = SimulatedFlvServer::start(|_| Behaviour::default());
    let (_input, gauge) = house.announce("a", &server.url());
    until("ready", || gauge.is_ready()).await;
    until("the pull's end", || server.open() == 0).await;
    assert_eq!(server.requests(), 1);
    sleep(Duration::from_millis(500)).await;
    assert_eq!(server.requests(), 1, "who waits costs nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn sound_alone_makes_a_pulled_connection_ready_after_three_seconds() {
    let house = House::new();
    let server = SimulatedFlvServer::start(|_| Behaviour { pictures: false, ..Behaviour::default() });
    let (_input, gauge) = house.announce("a", &server.url());
    sleep(Duration::from_secs(2)).await;
    assert!(!gauge.is_ready());
    until("ready", || gauge.is_ready()).await;
    until("the pull's end", || server.open() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cue_has_the_running_group_of_pictures_at_once() {
    let mut house = House::new();
    let server = SimulatedFlvServer::start(|_| Behaviour::default());
    let (_input, gauge) = house.announce("a", &server.url());
    until("ready", || gauge.is_ready() && server.open() == 0).await;
    // In the middle of a group of pictures.
    sleep(Duration::from_millis(GOP as u64 / 2)).await;
    let cued = house.clock.now();
    gauge.set_fed(true);
    let (first, arrival) = house.frame().await;
    let took = arrival.since(cued);
    eprintln!("the first key frame came {took:?} after the cue");
    assert!(took < Duration::from_millis(300), "{took:?}");
    let mut frames = vec![first];
    frames.extend(house.frames(Duration::from_secs(2)).await);
    assert_unbroken(&frames, false);
}

#[tokio::test(flavor = "multi_thread")]
async fn cue_within_a_probe_begins_with_a_keyframe_too() {
    let mut house = House::new();
    // Its first key frame comes late, so that the probe is still on.
    let server = SimulatedFlvServer::start(|n| Behaviour { burst: n > 0, ..Behaviour::default() });
    let (_input, gauge) = house.announce("a", &server.url());
    until("the probe", || gauge.bytes() > 0).await;
    gauge.set_fed(true);
    assert_unbroken(&house.frames(Duration::from_secs(2)).await, false);
}

#[tokio::test(flavor = "multi_thread")]
async fn pull_that_ends_is_taken_up_again_without_a_frame_lost_or_repeated() {
    let mut house = House::new();
    let server = SimulatedFlvServer::start(|_| Behaviour { closes_after: Some(600), ..Behaviour::default() });
    let (_input, gauge) = house.announce("a", &server.url());
    gauge.set_fed(true);
    assert_unbroken(&house.frames(Duration::from_secs(4)).await, true);
    assert!(server.requests() > 3, "{}", server.requests());
}

#[tokio::test(flavor = "multi_thread")]
async fn time_stamps_that_begin_anew_with_each_pull_are_put_on_one_line() {
    let mut house = House::new();
    let server =
        SimulatedFlvServer::start(|_| Behaviour { closes_after: Some(700), own_line: true, ..Behaviour::default() });
    let (_input, gauge) = house.announce("a", &server.url());
    gauge.set_fed(true);
    let frames = house.frames(Duration::from_secs(4)).await;
    let steps = steps(&frames, Track::Video);
    // Unless a key frame fell into the gap, which only a server does that has no key frame in common.
    assert!(steps.iter().all(|step| *step > 0 && *step < 1500), "{steps:?}");
    assert!(steps.iter().filter(|step| **step != PICTURE).count() <= 2, "{steps:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_a_refusal_and_a_closed_port_are_tried_again_and_survived() {
    let mut house = House::new();
    let server = SimulatedFlvServer::start(|n| match n {
        0 => Behaviour { status: 404, ..Behaviour::default() },
        1 => Behaviour { garbage_after: Some(0), ..Behaviour::default() },
        2 => Behaviour { garbage_after: Some(300), ..Behaviour::default() },
        3 => Behaviour { closes_after: Some(0), ..Behaviour::default() },
        _ => Behaviour::default(),
    });
    let (_input, gauge) = house.announce("a", &server.url());
    gauge.set_fed(true);
    assert_unbroken(&house.frames(Duration::from_secs(3)).await, true);
    assert_eq!(server.requests(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn stream_of_which_nothing_comes_is_mute_until_something_does() {
    let house = House::new();
    let server =
        SimulatedFlvServer::start(|n| Behaviour { silent_after: (n == 0).then_some(0), ..Behaviour::default() });
    let (input, gauge) = house.announce("a", &server.url());
    sleep(Duration::from_secs(1)).await;
    assert!(!input.is_mute(), "it may be late");
    until("mute", || input.is_mute()).await;
    until("another request, and its key frame", || gauge.is_ready() && server.requests() == 2).await;
    until("heard", || !input.is_mute()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_server_is_asked_again() {
    let mut house = House::new();
    let server =
        SimulatedFlvServer::start(|n| Behaviour { silent_after: (n == 0).then_some(500), ..Behaviour::default() });
    let (_input, gauge) = house.announce("a", &server.url());
    gauge.set_fed(true);
    until("another request", || server.requests() == 2).await;
    let frames = house.frames(Duration::from_secs(7)).await;
    assert!(steps(&frames, Track::Video).iter().all(|step| *step > 0), "time does not run back");
}

#[tokio::test(flavor = "multi_thread")]
async fn cued_again_the_ring_begins_with_the_running_group_again() {
    let mut house = House::new();
    let server = SimulatedFlvServer::start(|_| Behaviour::default());
    let (_input, gauge) = house.announce("a", &server.url());
    gauge.set_fed(true);
    house.frames(Duration::from_millis(1300)).await;
    // So quickly that the pull notices only that it is another cue.
    gauge.set_fed(false);
    gauge.set_fed(true);
    while timeout(Duration::from_millis(5), house.frames.recv()).await.is_ok() {}
    let pictures = gauge.pictures.load(std::sync::atomic::Ordering::Relaxed);
    gauge.set_fed(false);
    until("the pull's end", || server.open() == 0).await;
    while house.frames.try_recv().is_ok() {}
    gauge.set_fed(true);
    let frames = house.frames(Duration::from_secs(1)).await;
    assert_unbroken(&frames, false);
    let fed = frames.iter().filter(|frame| frame.track == Track::Video).count() as u64;
    let counted = gauge.pictures.load(std::sync::atomic::Ordering::Relaxed) - pictures;
    assert!(counted <= fed + 3, "{counted} were counted, {fed} are in the ring");
}

#[tokio::test(flavor = "multi_thread")]
async fn looked_at_it_is_pulled_for_three_seconds_in_ten() {
    let house = House::new();
    let server = SimulatedFlvServer::start(|_| Behaviour::default());
    let (_input, gauge) = house.announce("a", &server.url());
    until("ready", || gauge.is_ready() && server.open() == 0).await;
    let begin = house.clock.now();
    gauge.pulled().unwrap().look_at(begin);
    until("the look", || server.requests() == 2).await;
    until("its end", || server.open() == 0).await;
    let took = house.clock.now().since(begin);
    assert!(took > Duration::from_millis(2900) && took < Duration::from_millis(4500), "{took:?}");
    gauge.pulled().unwrap().look_at(house.clock.now());
    until("the next look", || server.requests() == 3).await;
    let took = house.clock.now().since(begin);
    assert!(took > Duration::from_millis(9900) && took < Duration::from_millis(11_500), "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_arrivals_are_probed_a_few_at_a_time() {
    let house = House::new();
    let server = SimulatedFlvServer::start(|_| Behaviour { delay: 50, ..Behaviour::default() });
    let inputs: Vec<_> = (0..50).map(|n| house.announce(&format!("c{n}"), &server.url())).collect();
    until("all are ready", || inputs.iter().all(|(_, gauge)| gauge.is_ready())).await;
    // The server is a little late in seeing that a pull has ended.
    assert!(server.most_open() <= super::pull::PROBES * 5 / 2, "{} at once", server.most_open());
}

#[tokio::test(flavor = "multi_thread")]
async fn connection_that_is_over_is_pulled_no_more_and_its_name_can_be_announced_again() {
    let mut house = House::new();
    let server = SimulatedFlvServer::start(|_| Behaviour::default());
    let (input, gauge) = house.announce("a", &server.url());
    gauge.set_fed(true);
    house.frame().await;
    drop(input);
    assert!(gauge.ended.load(std::sync::atomic::Ordering::Relaxed));
    assert!(house.gauges.get(&gauge.connection).is_none());
    until("the pull's end", || server.open() == 0).await;
    let (_input, again) = house.announce("a", &server.url());
    until("ready", || again.is_ready()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn burst_spoils_neither_jitter_nor_time() {
    let house = House::new();
    let server = SimulatedFlvServer::start(|_| Behaviour::default());
    let (_input, gauge) = house.announce("a", &server.url());
    gauge.set_fed(true);
    sleep(Duration::from_secs(4)).await;
    let jitter = gauge.jitter.load(std::sync::atomic::Ordering::Relaxed);
    assert!(jitter < 30_000, "{jitter} us");
    let rate = gauge.frame_rate().unwrap();
    assert!((rate - 25.0).abs() < 1.5, "{rate}");
}

#[tokio::test(flavor = "multi_thread")]
async fn remarks_and_a_settled_frame_rate_are_known_of_a_stream() {
    let house = House::new();
    let id = ConnectionId::new("a");
    let mut sink = house.taps.open(id.clone());
    let gauge = house.gauges.get(&id).unwrap();
    sink.remark(Remark::NoPictureConfiguration);
    sink.remark(Remark::SecondSound);
    let told = || gauge.remarks().iter().collect::<Vec<_>>();
    assert_eq!(told(), [Remark::NoPictureConfiguration, Remark::SecondSound]);

    // High 10, by x264.
    let record = b"016e000cffe1001a676e000ca6cd941419f9f0110000030001000003000a0f14299601000668ebe3cb22c0fdfafa00";
    let record = data_encoding::HEXLOWER.decode(record).unwrap();
    let config = Arc::new(CodecConfig::Avc(AvcConfig::parse(record.into()).unwrap()));
    for n in 0..100 {
        assert_eq!(gauge.frame_rate(), (n > 50).then_some(25.0), "after {n} pictures");
        let (dts, payload) = (MediaTime::from_millis(n * 40), b"\0\0\0\x01\x41"[..].into());
        let frame = Frame { track: Track::Video, dts, pts: dts, keyframe: false, payload, config: config.clone() };
        // All at once: arrivals say nothing.
        sink.push(frame, house.clock.now());
    }
    assert_eq!(told(), [Remark::BitDepth, Remark::SecondSound], "a configuration came after all");
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_grow_between_reports_and_never_fall() {
    let pulled = super::Pulled::new();
    let at = |seconds: u64| Moment::from_start(Duration::from_secs(seconds));
    let report = |bytes| RemoteFigures { bytes, ..RemoteFigures::default() };
    // Just seen, and not heard of yet.
    let first = pulled.bytes(3000, at(1));
    assert!(pulled.bytes(3000, at(2)) > first);
    pulled.report(report(1_000_000), at(5), 3000, false);
    pulled.report(report(2_000_000), at(10), 3000, false);
    let mut last = 0;
    for seconds in 10..=17 {
        let bytes = pulled.bytes(3000, at(seconds));
        assert!(bytes > last, "alive at {seconds} s");
        last = bytes;
    }
    let last = pulled.bytes(3000, at(30));
    assert_eq!(pulled.bytes(3000, at(60)), last, "one that is heard of no more is not alive");
    pulled.report(report(2_000_000), at(13), 3000, false);
    assert!(!pulled.is_suspected(), "SRS's count is up to 3 s old");
    pulled.report(report(2_000_000), at(16), 3000, false);
    assert!(pulled.is_suspected());
    assert!(pulled.bytes(3000, at(17)) >= last);
    let last = pulled.bytes(3000, at(17));
    assert_eq!(pulled.bytes(3000, at(18)), last, "one that is silent is not alive");
}
