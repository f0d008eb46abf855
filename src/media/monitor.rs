//! What media does at leisure: it looks at the inputs' gauges, runs the show, keeps the destinations, and publishes the status.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, atomic::Ordering::Relaxed, mpsc as orders},
    time::Duration,
};

use arc_swap::ArcSwap;
use tokio::{
    runtime::Handle,
    sync::{Notify, mpsc, oneshot, watch},
    time::{MissedTickBehavior, interval},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    InputStatus, MediaEvent, MediaStatus,
    egress::{Egress, EgressControl},
    program::{Order, Published},
    source::{Gauge, Gauges, Pulled},
};
use crate::{
    clock::Clock,
    core::{
        destination::{Destination, DestinationId},
        frame::{CodecConfig, ConnectionId},
        moment::Moment,
    },
};

/// How often everything is looked at when nothing happens.
const LOOK: Duration = Duration::from_millis(500);
/// Rates are means over so many looks: 5 s.
const LOOKS: usize = 10;
/// Of a pulled stream less than this is too little to tell its rates: a second.
const LEAST_SPAN: i64 = 1_000_000;
/// After a show was ended by hand, the next one begins by itself only when nobody was connected for so long: longer than an encoder
/// that reconnects stays away.
const EVERYBODY_GONE: Duration = Duration::from_mins(1);
/// A waiting input that has sent pictures for so long and no IDR is told why it waits.
const NO_KEYFRAME: Duration = Duration::from_secs(8);

/// What the handle asks for.
pub(super) enum Request {
    Show(bool),
    Put(Destination),
    Remove(DestinationId),
    /// The show ends after so long without anybody; none: by hand only.
    IdleEnd(Option<Duration>),
    Stop(oneshot::Sender<()>),
}

/// What the monitor is made of.
pub(super) struct Parts {
    pub(super) clock: Clock,
    pub(super) latency: Duration,
    pub(super) idle_end: Option<Duration>,
    pub(super) gauges: Arc<Gauges>,
    pub(super) published: Arc<ArcSwap<Published>>,
    pub(super) changed: Arc<Notify>,
    pub(super) orders: orders::SyncSender<Order>,
    pub(super) requests: mpsc::Receiver<Request>,
    pub(super) events: mpsc::Sender<MediaEvent>,
    pub(super) status: watch::Sender<Arc<MediaStatus>>,
    pub(super) tracker: TaskTracker,
    pub(super) token: CancellationToken,
}

/// The task.
pub(super) struct Monitor {
    parts: Parts,
    show: Show,
    inputs: HashMap<ConnectionId, Watched>,
    destinations: HashMap<DestinationId, EgressControl>,
}

/// Whether the show is on.
struct Show {
    on: bool,
    /// It was ended by hand: takes do not begin it anew until everybody has been gone for a while.
    ended_by_hand: bool,
    last_connected: Moment,
    takes_seen: u64,
    last_busy: Moment,
}

/// What the monitor remembers of an input.
#[derive(Default)]
struct Watched {
    ready_said: bool,
    advice_said: Option<String>,
    /// IDRs (or frames of sound) when it stalled.
    stalled_at: Option<u64>,
    looks: VecDeque<Look>,
    /// The latest rates that could be measured; none before that.
    rates: Option<Rates>,
}

/// What an input's frames amount to.
#[derive(Clone, Copy, Default)]
struct Rates {
    video_kbps: f64,
    audio_kbps: f64,
    frame_rate: f64,
}

#[derive(Clone, Copy, Default)]
struct Look {
    /// Microseconds: of the clock, or for a connection that is pulled, with pauses and in bursts, of the stream itself.
    at: i64,
    video_bytes: u64,
    audio_bytes: u64,
    pictures: u64,
}

impl Monitor {
    pub(super) fn new(parts: Parts) -> Self {
        let last_busy = parts.clock.now();
        Self {
            parts,
            show: Show { on: false, ended_by_hand: false, takes_seen: 0, last_busy, last_connected: last_busy },
            inputs: HashMap::new(),
            destinations: HashMap::new(),
        }
    }

    pub(super) async fn run(mut self) {
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let token = self.parts.token.clone();
        let changed = self.parts.changed.clone();
        loop {
            let look = tokio::select! {
                biased;
                () = token.cancelled() => break,
                request = self.parts.requests.recv() => match request {
                    Some(Request::Stop(done)) => {
                        self.stop().await;
                        let _ = done.send(());
                        break;
                    }
                    Some(request) => {
                        self.serve(request).await;
                        false
                    }
                    None => break,
                },
                () = changed.notified() => false,
                _ = looks.tick() => true,
            };
            self.look(look).await;
        }
        self.stop().await;
    }

    async fn stop(&mut self) {
        let stops = self.destinations.drain().map(|(_, control)| control.stop());
        futures_util::future::join_all(stops).await;
    }

    async fn serve(&mut self, request: Request) {
        match request {
            Request::Show(on) => self.set_show(on, true).await,
            Request::Put(destination) => self.put(destination),
            Request::Remove(id) => {
                let _ = self.parts.orders.try_send(Order::RemoveFeed(id));
                if let Some(control) = self.destinations.remove(&id) {
                    // Its polite end takes up to 2 s, and nobody waits for it.
                    self.parts.tracker.spawn(control.stop());
                }
            }
            Request::IdleEnd(limit) => self.parts.idle_end = limit,
            Request::Stop(_) => {}
        }
    }

    fn put(&mut self, destination: Destination) {
        if let Some(control) = self.destinations.get(&destination.id) {
            control.update(destination);
            return;
        }
        let id = destination.id;
        let (control, feed) = Egress::spawn(
            destination,
            self.show.on,
            self.parts.clock,
            &Handle::current(),
            &self.parts.tracker,
            &self.parts.token,
        );
        if self.parts.orders.try_send(Order::AddFeed(id, feed)).is_err() {
            tracing::error!("the programme takes no orders");
        }
        self.destinations.insert(id, control);
    }

    async fn set_show(&mut self, on: bool, by_hand: bool) {
        self.show.ended_by_hand = !on && by_hand;
        self.show.last_busy = self.parts.clock.now();
        self.show.last_connected = self.show.last_busy;
        if self.show.on == on {
            return;
        }
        self.show.on = on;
        tracing::info!(on, by_hand, "show");
        for control in self.destinations.values() {
            control.set_show(on);
        }
        let _ = self.parts.events.send(MediaEvent::Show(on)).await;
    }

    async fn look(&mut self, regular: bool) {
        let published = self.parts.published.load_full();
        let gauges = self.parts.gauges.all();
        self.run_show(&published, !gauges.is_empty()).await;
        self.inputs.retain(|id, _| gauges.iter().any(|gauge| gauge.connection == *id));
        let now = self.parts.clock.now();
        for gauge in &gauges {
            self.watch(gauge, &published, now, regular).await;
        }
        let inputs = gauges.iter().map(|gauge| (gauge.connection.clone(), self.input_status(gauge, now))).collect();
        let destinations =
            self.destinations.iter().map(|(id, control)| (*id, control.status().borrow().clone())).collect();
        let mut program = published.program.clone();
        program.show = self.show.on;
        let status = MediaStatus { program, inputs, destinations };
        self.parts.status.send_if_modified(|held| {
            let differs = **held != status;
            if differs {
                *held = Arc::new(status);
            }
            differs
        });
    }

    async fn run_show(&mut self, published: &Published, connected: bool) {
        let now = self.parts.clock.now();
        let taken = published.program.takes > self.show.takes_seen;
        self.show.takes_seen = published.program.takes;
        if published.on_air.is_some() {
            self.show.last_busy = now;
        }
        if connected {
            self.show.last_connected = now;
        } else if now.since(self.show.last_connected) >= EVERYBODY_GONE {
            self.show.ended_by_hand = false;
        }
        if taken && !self.show.on && !self.show.ended_by_hand {
            self.set_show(true, false).await;
        }
        if self.show.on && self.parts.idle_end.is_some_and(|limit| now.since(self.show.last_busy) >= limit) {
            self.set_show(false, false).await;
        }
    }

    /// Says what changed about an input. A waiting one stalls when nothing came for longer than the programme's buffer; of the
    /// on-air one the switcher judges.
    async fn watch(&mut self, gauge: &Arc<Gauge>, published: &Published, now: Moment, regular: bool) {
        let watched = self.inputs.entry(gauge.connection.clone()).or_default();
        let mut events: Vec<MediaEvent> = Vec::new();
        let id = || gauge.connection.clone();
        watched.measure(gauge, now, regular);
        let ready = gauge.ready.load(Relaxed);
        if ready && !watched.ready_said {
            watched.ready_said = true;
            events.push(MediaEvent::Ready(id()));
        }
        let progress = if gauge.last_video.load(Relaxed) >= 0 {
            gauge.keyframes.load(Relaxed)
        } else {
            gauge.sounds.load(Relaxed)
        };
        let on_air = published.on_air.as_ref() == Some(&gauge.connection);
        if ready && !on_air {
            // While it is not pulled, silence says nothing.
            let silence = match gauge.pulled().map(Pulled::watched_from) {
                None => now.as_micros() - gauge.last(),
                Some(Some(from)) => now.as_micros() - gauge.last().max(from),
                Some(None) => 0,
            };
            let stalled = gauge.stalled.load(Relaxed);
            let at = *watched.stalled_at.get_or_insert(progress);
            if !stalled {
                watched.stalled_at = None;
                // 1.5 s at least, for sources with a picture a second.
                if silence
                    > i64::try_from(self.parts.latency.max(Duration::from_millis(1500)).as_micros()).unwrap_or(i64::MAX)
                {
                    gauge.set_stalled(true);
                    watched.stalled_at = Some(progress);
                    events.push(MediaEvent::Stalled(id()));
                }
            } else if progress > at {
                gauge.set_stalled(false);
                watched.stalled_at = None;
                events.push(MediaEvent::Recovered(id()));
            }
        } else {
            watched.stalled_at = None;
        }
        let advice = advice(gauge, published, now);
        if advice.is_some() && advice != watched.advice_said {
            watched.advice_said.clone_from(&advice);
            events.extend(advice.map(|advice| MediaEvent::Advice(id(), advice)));
        }
        for event in events {
            // The director reads these as fast as it can; waiting here holds nobody back.
            let _ = self.parts.events.send(event).await;
        }
    }

    fn input_status(&self, gauge: &Gauge, now: Moment) -> InputStatus {
        let rates = self.inputs.get(&gauge.connection).and_then(|watched| watched.rates);
        let told = gauge.pulled().and_then(|pulled| pulled.told(now));
        let pulled_now = gauge.pulled().is_none_or(|pulled| pulled.watched_from().is_some());
        let rates = match (rates, &told) {
            (rates, Some(told)) if !pulled_now || rates.is_none() => {
                shared_out(told.kbps, rates, told.figures.video_codec.is_some())
            }
            (rates, _) => rates.unwrap_or_default(),
        };
        let Rates { video_kbps, audio_kbps, frame_rate } = rates;
        let video = gauge.video_config.load_full();
        let audio = gauge.audio_config.load_full();
        let avc = match video.as_deref() {
            Some(CodecConfig::Avc(avc)) => Some(avc),
            _ => None,
        };
        let aac = match audio.as_deref() {
            Some(CodecConfig::Aac(aac)) => Some(aac),
            _ => None,
        };
        let interval = gauge.keyframe_interval.load(Relaxed);
        let first = gauge.first.load(Relaxed);
        let uptime = if first >= 0 { u64::try_from((now.as_micros() - first) / 1_000_000).unwrap_or(0) } else { 0 };
        let figures = told.as_ref().map(|told| &told.figures);
        let size = avc.map(|avc| (avc.width, avc.height)).or_else(|| figures.and_then(|figures| figures.size));
        InputStatus {
            video_kbps,
            audio_kbps,
            frame_rate,
            keyframe_interval_seconds: (interval >= 0).then_some(interval as f64 / 1e6),
            jitter_ms: f64::from(gauge.jitter.load(Relaxed)) / 1000.0,
            width: size.map(|(width, _)| width),
            height: size.map(|(_, height)| height),
            video_codec: avc
                .map(|avc| format!("H.264 {} {}.{}", profile_name(avc.profile), avc.level / 10, avc.level % 10))
                .or_else(|| figures.and_then(|figures| figures.video_codec.clone())),
            audio_codec: aac
                .map(|aac| {
                    let channels = match aac.channels {
                        1 => "mono".to_owned(),
                        2 => "stereo".to_owned(),
                        more => format!("{more} channels"),
                    };
                    format!("AAC {} Hz {channels}", aac.sample_rate)
                })
                .or_else(|| figures.and_then(|figures| figures.audio_codec.clone())),
            uptime_seconds: uptime.max(told.as_ref().map_or(0, |told| told.uptime.as_secs())),
            bytes: gauge.pulled().map_or(gauge.bytes(), |pulled| pulled.bytes(gauge.bytes(), now)),
            cued: gauge.is_fed(),
            lost_frames: gauge.lost.load(Relaxed),
        }
    }
}

impl Watched {
    /// Notes the counters, and what they amount to over the last looks.
    fn measure(&mut self, gauge: &Gauge, now: Moment, regular: bool) {
        if self.looks.is_empty() && gauge.pulled().is_some() {
            // A first pull may be over before anybody looks.
            self.looks.push_back(Look::default());
        } else if !regular && !self.looks.is_empty() {
            return;
        }
        let latest = Look {
            at: gauge.pulled().map_or(now.as_micros(), Pulled::media_time),
            video_bytes: gauge.video_bytes.load(Relaxed),
            audio_bytes: gauge.audio_bytes.load(Relaxed),
            pictures: gauge.pictures.load(Relaxed),
        };
        self.looks.push_back(latest);
        if self.looks.len() > LOOKS + 1 {
            self.looks.pop_front();
        }
        let Some(first) = self.looks.front() else { return };
        let span = latest.at - first.at;
        if span < if gauge.pulled().is_some() { LEAST_SPAN } else { 1 } {
            return;
        }
        let rate = |from: u64, to: u64| to.saturating_sub(from) as f64 * 1e6 / span as f64;
        self.rates = Some(Rates {
            video_kbps: rate(first.video_bytes, latest.video_bytes) * 8.0 / 1000.0,
            audio_kbps: rate(first.audio_bytes, latest.audio_bytes) * 8.0 / 1000.0,
            frame_rate: rate(first.pictures, latest.pictures),
        });
    }
}

/// A rate of both tracks, divided as it was when they were measured.
fn shared_out(kbps: f64, measured: Option<Rates>, video: bool) -> Rates {
    let measured = measured.unwrap_or_default();
    let both = measured.video_kbps + measured.audio_kbps;
    let share = match both {
        0.0 if video => 1.0,
        0.0 => 0.0,
        both => measured.video_kbps / both,
    };
    Rates { video_kbps: kbps * share, audio_kbps: kbps * (1.0 - share), frame_rate: measured.frame_rate }
}

/// Why a connection that sends can not be shown, in words for its streamer.
fn advice(gauge: &Gauge, published: &Published, now: Moment) -> Option<String> {
    if let Some(advice) = gauge.pulled().and_then(Pulled::advice) {
        return Some(advice);
    }
    if gauge.reordered.load(Relaxed) {
        return Some("your encoder reorders pictures too far; set B-frames to 2 or less".to_owned());
    }
    let since_first = now
        .since_start()
        .saturating_sub(Duration::from_micros(u64::try_from(gauge.first.load(Relaxed)).unwrap_or(u64::MAX)));
    if gauge.pictures.load(Relaxed) > 0 && gauge.keyframes.load(Relaxed) == 0 && since_first > NO_KEYFRAME {
        return Some(
            "your encoder sends no key frames (IDR pictures); set the keyframe interval to 2 s and switch intra refresh off".to_owned(),
        );
    }
    published.problems.iter().find(|(id, _)| *id == gauge.connection).map(|(_, problem)| problem.clone())
}

/// The usual names of H.264's profiles (ITU-T H.264, annex A).
fn profile_name(profile: u8) -> &'static str {
    match profile {
        66 => "Baseline",
        77 => "Main",
        88 => "Extended",
        100 => "High",
        110 => "High 10",
        122 => "High 4:2:2",
        244 => "High 4:4:4",
        _ => "profile unknown",
    }
}
