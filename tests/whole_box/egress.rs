//! Destinations by themselves: a programme made of one asset, paced as the box paces it, against real servers.

use std::{
    collections::VecDeque,
    net::TcpListener,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use motherstream::{
    clock::Clock,
    core::{
        destination::{Destination, DestinationId, DestinationState, DestinationStatus},
        frame::MediaTime,
    },
    media::{
        egress::{Egress, EgressControl, EgressFeed, TrialVerdict, try_out},
        tag::{Preroll, Tag, TagKind},
    },
};
use tokio::runtime::Runtime;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::support::{
    analysis,
    assets::Asset,
    flv::{self, Content},
    nginx::Nginx,
    recorder::Recorder,
    rtmp::{AUDIO, VIDEO},
    seconds, wait,
};

/// A programme on the air, and the destinations that it is sent to.
struct Air {
    runtime: Runtime,
    clock: Clock,
    feeds: Arc<Mutex<Vec<EgressFeed>>>,
    stop: Arc<AtomicBool>,
    longest_push: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Air {
    /// Loops asset A, with `padding` bytes more in each picture.
    fn start(padding: usize) -> Self {
        let clock = Clock::start();
        let feeds: Arc<Mutex<Vec<EgressFeed>>> = Arc::default();
        let stop = Arc::new(AtomicBool::new(false));
        let longest_push = Arc::new(AtomicU64::new(0));
        let (theirs, stopped, longest) = (feeds.clone(), stop.clone(), longest_push.clone());
        let (headers, media) = programme(padding);
        let thread = thread::spawn(move || pace(clock, &headers, &media, &theirs, &stopped, &longest));
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        Self { runtime, clock, feeds, stop, longest_push, thread: Some(thread) }
    }

    fn send_to(&self, id: u64, url: &str, key: &str) -> EgressControl {
        let tracker = TaskTracker::new();
        let token = CancellationToken::new();
        let destination = destination(id, url, key);
        let (control, feed) = Egress::spawn(destination, true, self.clock, self.runtime.handle(), &tracker, &token);
        self.feeds.lock().unwrap().push(feed);
        control
    }

    fn longest_push(&self) -> Duration {
        Duration::from_micros(self.longest_push.load(Ordering::Relaxed))
    }

    fn stop(&self, control: EgressControl) {
        self.runtime.block_on(control.stop(motherstream::media::egress::Parting::Goodbye));
    }
}

impl Drop for Air {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
    }
}

fn destination(id: u64, url: &str, key: &str) -> Destination {
    Destination {
        id: DestinationId(id),
        name: format!("d{id}"),
        url: url.parse().unwrap(),
        key: key.to_owned().into(),
        enabled: true,
        locked: false,
    }
}

/// Asset A as tags: its headers, and its media with the time from the first to behind the last.
fn programme(padding: usize) -> (Vec<Tag>, (Vec<Tag>, MediaTime)) {
    let (mut headers, mut media) = (Vec::new(), Vec::new());
    for tag in flv::read(&Asset::A.path()).unwrap() {
        let content = flv::content(tag.kind, &tag.payload);
        let kind = match tag.kind {
            AUDIO => TagKind::Audio,
            VIDEO => TagKind::Video,
            _ => TagKind::Script,
        };
        let mut body = tag.payload;
        let keyframe = matches!(content, Content::Picture { idr: true, .. });
        if matches!(content, Content::Picture { .. }) {
            body.resize(body.len() + padding, 0);
        }
        let header = matches!(content, Content::VideoConfig | Content::AudioConfig) || kind == TagKind::Script;
        let time = MediaTime::from_millis(i64::from(tag.timestamp));
        let tag = Tag { kind, time, keyframe, header, body: body.into() };
        match content {
            _ if header => headers.push(tag),
            // ffmpeg's end of sequence.
            Content::Other => {}
            _ => media.push(tag),
        }
    }
    let length = media.last().unwrap().time + MediaTime::from_millis(33);
    (headers, (media, length))
}

fn pace(
    clock: Clock,
    headers: &[Tag],
    (media, length): &(Vec<Tag>, MediaTime),
    feeds: &Mutex<Vec<EgressFeed>>,
    stop: &AtomicBool,
    longest: &AtomicU64,
) {
    let mut preroll = Preroll { headers: headers.to_vec(), tags: VecDeque::new() };
    let (mut next, mut round) = (0, MediaTime::ZERO);
    while !stop.load(Ordering::Relaxed) {
        thread::sleep(Duration::from_millis(20));
        let now = clock.now();
        let mut batch = Vec::new();
        while round + media[next].time <= MediaTime::from(now) {
            let tag = Tag { time: round + media[next].time, ..media[next].clone() };
            if tag.keyframe {
                preroll.tags.clear();
            }
            preroll.tags.push_back(tag.clone());
            batch.push(tag);
            next += 1;
            if next == media.len() {
                next = 0;
                round += *length;
            }
        }
        for feed in &mut *feeds.lock().unwrap() {
            let began = Instant::now();
            feed.push(&batch, &preroll, now);
            longest.fetch_max(began.elapsed().as_micros() as u64, Ordering::Relaxed);
        }
    }
}

fn status(control: &EgressControl) -> DestinationStatus {
    control.status().borrow().clone()
}

fn is_live(control: &EgressControl) -> Option<()> {
    (status(control).state == DestinationState::Live).then_some(())
}

/// The reason of a destination that backs off.
fn backing_off(control: &EgressControl) -> Option<String> {
    match status(control).state {
        DestinationState::BackingOff { reason, .. } => Some(reason),
        _ => None,
    }
}

/// What every session must be: headers and an IDR at time 0, and never back.
#[track_caller]
fn assert_begins_well(recorder: &Recorder, index: usize) {
    recorder.look(|sessions| {
        let records = &sessions[index].records;
        let first = records.iter().position(|record| matches!(record.content, Content::Picture { .. })).unwrap();
        assert!(matches!(records[first].content, Content::Picture { idr: true, .. }), "begins with an IDR");
        for header in [Content::VideoConfig, Content::AudioConfig] {
            assert!(records[..first].iter().any(|record| record.content == header), "{header:?} comes first");
        }
        assert!(records[..=first].iter().all(|record| record.time == 0), "begins at time 0");
        assert!(records.is_sorted_by_key(|record| record.time), "time never runs back");
    });
}

#[test]
fn refused_key_says_what_the_platform_answered() {
    let air = Air::start(0);
    let recorder = Recorder::start();
    recorder.refuse(true);
    let control = air.send_to(1, &recorder.url(), "hush");
    let (reason, retry) = wait("the refusal", seconds(5), || match status(&control).state {
        DestinationState::Refused { reason, retry_in_seconds } => Some((reason, retry_in_seconds)),
        _ => None,
    });
    assert_eq!(
        reason,
        "the platform answered: this key is not welcome (NetStream.Publish.BadName). Check the key, and that the platform's page is ready to go live"
    );
    assert!(retry >= 20, "tried again after {retry} s");
    thread::sleep(seconds(3));
    assert_eq!(recorder.attempts(), 1, "a refused key is tried slowly");
    // A new key is tried at once.
    recorder.refuse(false);
    control.update(destination(1, &recorder.url(), "good"));
    wait("the new key to be live", seconds(2), || is_live(&control));
    assert_eq!(recorder.only_session().key, "good");
    air.stop(control);
}

#[test]
fn returning_platform_is_live_within_two_seconds_from_a_key_frame_at_time_zero() {
    let air = Air::start(0);
    let mut recorder = Recorder::start();
    let control = air.send_to(1, &recorder.url(), "k/e?y&=%20");
    wait("the first session", seconds(3), || is_live(&control));
    thread::sleep(seconds(3));
    recorder.die();
    wait("the outage to be noticed", seconds(2), || backing_off(&control));
    thread::sleep(seconds(5));
    recorder.come_back();
    let back = Instant::now();
    let first = wait("a picture", seconds(5), || recorder.first_picture(1));
    assert!(first - back < seconds(2), "back after {:?}", first - back);
    wait("the state to say so", seconds(1), || is_live(&control));
    thread::sleep(seconds(2));
    for index in [0, 1] {
        assert_begins_well(&recorder, index);
    }
    let sessions = recorder.sessions();
    assert_eq!(sessions.len(), 2);
    assert_eq!(sessions[1].key, "k/e?y&=%20", "keys arrive as they were typed");
    let status = status(&control);
    assert_eq!(status.reconnects, 1);
    assert!(status.bytes > 300_000 && status.dropped_frames == 0, "{status:?}");
    assert!((400.0..2000.0).contains(&status.kbps), "{status:?}");
    air.stop(control);
}

#[test]
fn frozen_platform_never_holds_the_programme_up_and_is_given_up() {
    // 3 MB a second, so that the kernel's buffers are full soon.
    let air = Air::start(100_000);
    let (frozen, healthy) = (Recorder::start(), Recorder::start());
    healthy.keep_no_payload();
    let controls = [air.send_to(1, &frozen.url(), "a"), air.send_to(2, &healthy.url(), "b")];
    for control in &controls {
        wait("both to be live", seconds(3), || is_live(control));
    }
    frozen.freeze(true);
    let reason = wait("the frozen one to be given up", seconds(15), || backing_off(&controls[0]));
    assert!(reason.contains("frozen"), "{reason}");
    assert!(status(&controls[0]).dropped_frames > 0 || frozen.session_count() == 1);
    assert!(air.longest_push() < Duration::from_millis(50), "a push took {:?}", air.longest_push());
    assert!(is_live(&controls[1]).is_some());
    let session = healthy.only_session();
    let arrivals: Vec<Instant> = session.pictures().map(|picture| picture.arrival).collect();
    let hole = arrivals.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
    assert!(hole < Duration::from_millis(450), "the healthy one's worst hole is {hole:?}");
    frozen.freeze(false);
    wait("it to be back", seconds(5), || is_live(&controls[0]));
    thread::sleep(seconds(1));
    assert_begins_well(&frozen, frozen.session_count() - 1);
    for control in controls {
        air.stop(control);
    }
}

#[test]
fn change_to_one_destination_never_touches_another() {
    let air = Air::start(0);
    let (changed, other) = (Recorder::start(), Recorder::start());
    let first = air.send_to(1, &changed.url(), "a");
    let second = air.send_to(2, &other.url(), "b");
    wait("the first", seconds(3), || is_live(&first));
    wait("the second", seconds(3), || is_live(&second));
    first.update(Destination { name: "renamed".into(), ..destination(1, &changed.url(), "a") });
    thread::sleep(seconds(1));
    assert_eq!(changed.session_count(), 1, "a new name is no reason for a new session");
    first.update(destination(1, &changed.url(), "new"));
    wait("the new key", seconds(3), || (changed.session_count() == 2).then_some(()));
    wait("the new key to be live", seconds(3), || is_live(&first));
    first.update(Destination { enabled: false, ..destination(1, &changed.url(), "new") });
    wait("the end", seconds(3), || (status(&first).state == DestinationState::Disabled).then_some(()));
    wait("the session's end", seconds(3), || {
        changed.look(|all| all.iter().all(|one| one.ended.is_some())).then_some(())
    });
    assert_begins_well(&changed, 1);
    assert!(other.only_session().ended.is_none());
    assert!(is_live(&second).is_some());
    air.stop(first);
    air.stop(second);
}

#[test]
fn end_of_the_show_closes_the_session_and_the_next_show_begins_another() {
    let air = Air::start(0);
    let recorder = Recorder::start();
    let control = air.send_to(1, &recorder.url(), "k");
    wait("the show", seconds(3), || is_live(&control));
    thread::sleep(seconds(1));
    control.set_show(false);
    let ended = Instant::now();
    wait("the session's end", seconds(2), || recorder.only_session().ended);
    wait("the state", seconds(2), || (status(&control).state == DestinationState::WaitingForShow).then_some(()));
    assert!(ended.elapsed() < seconds(2));
    thread::sleep(Duration::from_millis(500));
    assert_eq!(recorder.session_count(), 1, "nothing is sent outside a show");
    control.set_show(true);
    wait("the next show", seconds(3), || is_live(&control));
    assert_eq!(status(&control).reconnects, 0, "a new show is no reconnect");
    assert_eq!(recorder.session_count(), 2);
    let stopped = Instant::now();
    air.stop(control);
    assert!(stopped.elapsed() < seconds(2));
    assert!(recorder.look(|sessions| sessions[1].ended.is_some()));
}

#[test]
fn foreign_server_records_a_stream_that_begins_at_zero_and_decodes() {
    let air = Air::start(0);
    let nginx = Nginx::start();
    // In the middle of a group of pictures.
    thread::sleep(seconds(3));
    let control = air.send_to(1, &nginx.url(), "k");
    wait("nginx to accept", seconds(3), || is_live(&control));
    thread::sleep(seconds(4));
    air.stop(control);
    let recording = wait("the recording", seconds(3), || nginx.recordings().pop());
    let tags = flv::read(&recording).unwrap();
    let first =
        tags.iter().find(|tag| matches!(flv::content(tag.kind, &tag.payload), Content::Picture { .. })).unwrap();
    assert!(matches!(flv::content(first.kind, &first.payload), Content::Picture { idr: true, .. }));
    assert_eq!(first.timestamp, 0);
    assert!(tags.last().unwrap().timestamp > 3500, "{}", tags.last().unwrap().timestamp);
    assert_eq!(analysis::remux_complaints(&recording), "");
}

#[test]
fn server_that_never_answers_is_given_up_and_so_is_a_closed_port() {
    let air = Air::start(0);
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("rtmp://{}/app", silent.local_addr().unwrap());
    let control = air.send_to(1, &url, "k");
    let began = Instant::now();
    wait("the silent one to be given up", seconds(12), || backing_off(&control));
    assert!(began.elapsed() > seconds(4), "given up after {:?}", began.elapsed());
    drop(silent);
    let reason =
        wait("the closed port", seconds(12), || backing_off(&control).filter(|why| why.contains("connection refused")));
    assert!(reason.contains("takes no connections on port"), "{reason}");
    air.stop(control);
}

/// The platform hears a publish and its end, and gets nothing in between.
#[test]
fn trial_says_what_the_platform_answers_and_leaves_nothing_behind() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let give_up = CancellationToken::new();
    let tried = |url: &str, key: &str| runtime.block_on(try_out(destination(1, url, key), &give_up)).unwrap();
    let recorder = Recorder::start();
    let trial = tried(&recorder.url(), "key");
    assert_eq!(trial.verdict, TrialVerdict::Accepted, "{trial:?}");
    recorder.refuse(true);
    let trial = tried(&recorder.url(), "a-secret-key");
    assert_eq!(trial.verdict, TrialVerdict::Refused, "{trial:?}");
    assert!(
        trial.message.contains("NetStream.Publish.BadName") && !trial.message.contains("a-secret-key"),
        "{trial:?}"
    );
    let nginx = Nginx::start();
    for _ in 0..2 {
        // A session that was left open would be in the way of the second.
        let trial = tried(&nginx.url(), "key");
        assert_eq!(trial.verdict, TrialVerdict::Accepted, "{trial:?}");
        assert!(trial.elapsed_ms < 4000, "{trial:?}");
    }
}
