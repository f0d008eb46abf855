//! Pulled inputs in the programme, and what media says of them.

use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::server::{Behaviour, SimulatedFlvServer};
use crate::{
    clock::Clock,
    core::{
        flv::{FileReader, FileTagKind},
        frame::{ConnectionId, PullAddress, RemoteFigures, RemoteInput},
        queue::{TakeId, Urgency},
    },
    media::{InputStatus, Media, MediaEvent, MediaEvents, MediaSettings, slate},
};

struct Stage {
    media: Media,
    events: MediaEvents,
    clock: Clock,
}

impl Stage {
    async fn new() -> Self {
        let settings = MediaSettings {
            latency: Duration::from_millis(1500),
            house: false,
            venue: "Motherstream".to_owned(),
            slate: None,
            tone: false,
            kept: slate::folder_of_tests(),
            idle_end: None,
        };
        let clock = Clock::start();
        let start = move || Media::start(&settings, clock, &TaskTracker::new(), &CancellationToken::new()).unwrap();
        let (media, events) = tokio::task::spawn_blocking(start).await.unwrap();
        Self { media, events, clock }
    }

    fn announce(&self, name: &str, server: &SimulatedFlvServer) -> (ConnectionId, Box<dyn RemoteInput>) {
        let id = ConnectionId::new(name);
        (id.clone(), self.media.sinks().announce(id, PullAddress::new(server.url())))
    }

    async fn wait(&mut self, wanted: &MediaEvent) {
        let all = async { while self.events.recv().await.as_ref() != Some(wanted) {} };
        assert!(timeout(Duration::from_secs(25), all).await.is_ok(), "not within 25 s: {wanted:?}");
    }

    fn status(&self, id: &ConnectionId) -> InputStatus {
        self.media.status().borrow().inputs[id].clone()
    }
}

/// Tags with their arrival, until it is dropped.
fn record(mut player: mpsc::Receiver<Bytes>) -> tokio::task::JoinHandle<Vec<(FileTagKind, u32, bool, Instant)>> {
    tokio::spawn(async move {
        let (mut reader, mut tags) = (FileReader::new(), Vec::new());
        while let Some(bytes) = player.recv().await {
            reader.write(&bytes);
            while let Some(tag) = reader.read().unwrap() {
                // A configuration is no frame.
                if tag.body.get(1) == Some(&1) {
                    tags.push((tag.kind, tag.time_ms, tag.body[0] == 0x17, Instant::now()));
                }
            }
        }
        tags
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn takes_between_pulled_inputs_right_after_their_cue_keep_the_promise() {
    let mut stage = Stage::new().await;
    let server = SimulatedFlvServer::start(|_| Behaviour::default());
    let (a, _input_a) = stage.announce("a", &server);
    let (b, _input_b) = stage.announce("b", &server);
    stage.wait(&MediaEvent::Ready(a.clone())).await;
    let player = record(stage.media.listen().unwrap());
    sleep(Duration::from_millis(700)).await;
    for take in 1..=6_u64 {
        let target = if take % 2 == 1 { &a } else { &b };
        stage.media.set_cued(vec![target.clone()]);
        let (id, ordered) = (TakeId(take), Instant::now());
        stage.media.take(id, target.clone(), Urgency::Now);
        stage.wait(&MediaEvent::Taken(id)).await;
        eprintln!("take {take}: {:?}", ordered.elapsed());
        assert!(ordered.elapsed() < Duration::from_millis(2500), "{:?}", ordered.elapsed());
        sleep(Duration::from_millis(1700)).await;
    }
    stage.media.stop(crate::media::egress::Parting::Goodbye).await;
    drop(stage);
    let tags = player.await.unwrap();
    for (kind, most) in [(FileTagKind::Video, 60), (FileTagKind::Audio, 50)] {
        let times: Vec<_> = tags.iter().filter(|tag| tag.0 == kind).map(|tag| i64::from(tag.1)).collect();
        let steps: Vec<_> = times.windows(2).map(|two| two[1] - two[0]).collect();
        eprintln!("{kind:?}: {} frames, largest step {:?} ms", times.len(), steps.iter().max());
        assert!(steps.iter().all(|step| (0..=most).contains(step)), "{kind:?}: {steps:?}");
    }
    let hole = tags.windows(2).map(|two| two[1].3 - two[0].3).max().unwrap();
    eprintln!("largest hole in arrival {hole:?}");
}

/// The queue cues whom it lets in, and the ingest opens the connection after that; an encoder's key frame follows at once, and the next one
/// much later.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_cued_before_the_connection_opens_is_taken_from_the_first_key_frame() {
    let mut stage = Stage::new().await;
    let id = ConnectionId::new("a");
    stage.media.set_cued(vec![id.clone()]);
    let mut sink = stage.media.sinks().open(id.clone());
    let clock = stage.clock;
    let encoder = tokio::spawn(async move {
        for picture in 0..200 {
            sink.push(super::tap::picture(picture * 33, picture == 0), clock.now());
            sleep(Duration::from_millis(33)).await;
        }
    });
    stage.wait(&MediaEvent::Ready(id.clone())).await;
    stage.media.take(TakeId(1), id, Urgency::Now);
    let taken = timeout(Duration::from_secs(4), stage.wait(&MediaEvent::Taken(TakeId(1))));
    assert!(taken.await.is_ok(), "not taken from the only key frame there is");
    encoder.abort();
}

/// Cued in the middle of a group, its sound is kept at once, and is not what a take waits for.
#[tokio::test(flavor = "multi_thread")]
async fn sound_of_a_stream_whose_pictures_are_not_kept_yet_makes_nobody_ready() {
    let mut stage = Stage::new().await;
    let id = ConnectionId::new("a");
    let mut sink = stage.media.sinks().open(id.clone());
    let clock = stage.clock;
    let encoder = tokio::spawn(async move {
        for number in 0..300 {
            sink.push(super::tap::picture(number * 32, number == 0), clock.now());
            sink.push(super::tap::sound(number * 32), clock.now());
            sleep(Duration::from_millis(32)).await;
        }
    });
    sleep(Duration::from_millis(300)).await;
    stage.media.set_cued(vec![id.clone()]);
    let told = async { while !matches!(stage.events.recv().await, Some(MediaEvent::Unfit(..))) {} };
    assert!(timeout(Duration::from_secs(6), told).await.is_ok(), "there is nothing to enter at");
    let ready = MediaEvent::Ready(id);
    let again = timeout(Duration::from_secs(3), stage.wait(&ready));
    assert!(again.await.is_err(), "there is still nothing");
    encoder.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn input_on_air_whose_pull_breaks_is_not_seen_to_break() {
    let mut stage = Stage::new().await;
    let server = SimulatedFlvServer::start(|_| Behaviour { closes_after: Some(1900), ..Behaviour::default() });
    let (a, _input) = stage.announce("a", &server);
    stage.wait(&MediaEvent::Ready(a.clone())).await;
    stage.media.set_cued(vec![a.clone()]);
    stage.media.take(TakeId(1), a.clone(), Urgency::Now);
    stage.wait(&MediaEvent::Taken(TakeId(1))).await;
    sleep(Duration::from_secs(7)).await;
    assert!(server.requests() >= 4, "{}", server.requests());
    let status = stage.media.status().borrow().clone();
    assert_eq!(status.program.starvations, 0);
    assert_eq!(status.program.picture.as_ref(), Some(&a));
    while let Ok(event) = stage.events.try_recv() {
        assert!(!matches!(event, MediaEvent::Stalled(_)), "{event:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_streamer_that_falls_silent_is_stalled_and_comes_back_and_a_pause_of_the_pull_is_no_stall() {
    let mut stage = Stage::new().await;
    let server = SimulatedFlvServer::start(|_| Behaviour::default());
    let (a, mut input) = stage.announce("a", &server);
    stage.wait(&MediaEvent::Ready(a.clone())).await;
    let mut bytes = 1_000_000;
    let mut report = |grows: bool| {
        bytes += u64::from(grows) * 500_000;
        let figures = RemoteFigures {
            bytes,
            kbps: Some(800.0),
            size: Some((640, 360)),
            uptime: Duration::from_secs(100),
            ..RemoteFigures::default()
        };
        input.report(figures, stage.clock.now());
    };
    for _ in 0..2 {
        report(true);
        sleep(Duration::from_secs(2)).await;
    }
    stage.media.look_at(&a);
    sleep(Duration::from_secs(5)).await;
    report(true);
    while let Ok(event) = stage.events.try_recv() {
        assert!(!matches!(event, MediaEvent::Stalled(_)), "{event:?}");
    }
    let status = stage.status(&a);
    assert!((status.frame_rate - 25.0).abs() < 2.0, "{status:?}");
    assert!((status.video_kbps + status.audio_kbps - 800.0).abs() < 1.0, "{status:?}");
    assert!(status.uptime_seconds >= 100 && status.bytes >= 2_000_000, "{status:?}");
    server.set_silent(true);
    for _ in 0..4 {
        sleep(Duration::from_millis(1700)).await;
        report(false);
    }
    stage.wait(&MediaEvent::Stalled(a.clone())).await;
    server.set_silent(false);
    stage.wait(&MediaEvent::Recovered(a.clone())).await;
    sleep(Duration::from_secs(3)).await;
    assert_eq!(server.open(), 0, "it is pulled no longer than it takes");
}

#[tokio::test(flavor = "multi_thread")]
async fn cued_streamer_that_falls_silent_is_stalled_by_its_frames() {
    let mut stage = Stage::new().await;
    let server = SimulatedFlvServer::start(|_| Behaviour::default());
    let (a, _input) = stage.announce("a", &server);
    stage.wait(&MediaEvent::Ready(a.clone())).await;
    stage.media.set_cued(vec![a.clone()]);
    sleep(Duration::from_secs(1)).await;
    let silent = Instant::now();
    server.set_silent(true);
    stage.wait(&MediaEvent::Stalled(a.clone())).await;
    assert!(silent.elapsed() < Duration::from_secs(4), "{:?}", silent.elapsed());
    sleep(Duration::from_secs(2)).await;
    server.set_silent(false);
    stage.wait(&MediaEvent::Recovered(a.clone())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn address_nobody_can_pull_from_makes_no_streamer_stall() {
    let mut stage = Stage::new().await;
    let server =
        SimulatedFlvServer::start(|n| Behaviour { status: if n == 0 { 200 } else { 500 }, ..Behaviour::default() });
    let (a, mut input) = stage.announce("a", &server);
    stage.wait(&MediaEvent::Ready(a.clone())).await;
    for _ in 0..4 {
        input.report(RemoteFigures { bytes: 5000, ..RemoteFigures::default() }, stage.clock.now());
        sleep(Duration::from_secs(2)).await;
    }
    assert!(server.requests() > 1);
    assert!(stage.events.try_recv().is_err());
}
