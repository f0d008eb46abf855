//! What media does at leisure: it measures the inputs by their gauges, carries out what the show's rules say, keeps the destinations,
//! and publishes the status.

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
    InputRemark, InputStatus, MediaEvent, MediaStatus, OddMessages,
    egress::{Egress, EgressControl, Parting},
    program::{ProgramOrder, Published},
    source::{Gauge, Gauges, Pulled},
};
use crate::{
    clock::Clock,
    core::{
        destination::{Destination, DestinationId},
        fitness::{Confidence, Takeable, Turned, Unfit},
        frame::{CodecConfig, ConnectionId},
        moment::Moment,
        oddity::{OddWatch, Oddity},
        show::{Change, Seen, Show},
        switcher::{LONGEST_PICTURE_HOLE, LONGEST_STILL},
    },
};

/// How often everything is looked at when nothing happens.
const LOOK: Duration = Duration::from_millis(500);
/// Rates are means over so many looks: 5 s.
const LOOKS: usize = 10;
/// Of a pulled stream less than this is too little to tell its rates: a second.
const LEAST_SPAN: i64 = 1_000_000;
/// A waiting input that has sent pictures for so long and no IDR is told why it waits.
const NO_KEYFRAME: Duration = Duration::from_secs(8);

/// Microseconds. Who sent nothing for so long, or for half of what they are given, is about to stall: what cannot be taken of them says
/// nothing.
const SILENT: i64 = 1_200_000;

/// A cued input may wait for its first key frame as long as its key frames are apart, and not longer than this.
const LONGEST_INTERVAL: Duration = Duration::from_secs(10);
/// Where it is not known yet.
const USUAL_INTERVAL: Duration = Duration::from_secs(2);

/// What the handle asks for.
pub(super) enum Request {
    Show(bool),
    /// It is not decided yet whether the show of before the start goes on.
    HoldShow(bool),
    Put(Destination),
    Remove(DestinationId),
    /// The show ends after so long without anybody on air; none: by hand only.
    IdleEnd(Option<Duration>),
    /// Ends every destination, so.
    Stop(Parting, oneshot::Sender<()>),
}

/// What the monitor is made of.
pub(super) struct Parts {
    pub(super) clock: Clock,
    pub(super) latency: Duration,
    pub(super) gauges: Arc<Gauges>,
    pub(super) published: Arc<ArcSwap<Published>>,
    pub(super) changed: Arc<Notify>,
    pub(super) orders: orders::SyncSender<ProgramOrder>,
    pub(super) requests: mpsc::Receiver<Request>,
    pub(super) events: mpsc::Sender<MediaEvent>,
    pub(super) status: watch::Sender<Arc<MediaStatus>>,
    pub(super) tracker: TaskTracker,
    pub(super) token: CancellationToken,
}

/// The task that measures the inputs, follows the rules of the show, and publishes the status.
pub(super) struct Monitor {
    parts: Parts,
    show: Show,
    inputs: HashMap<ConnectionId, Watched>,
    destinations: HashMap<DestinationId, EgressControl>,
}

/// What the monitor remembers of an input.
#[derive(Default)]
struct Watched {
    confidence: Confidence,
    /// Takes that did not happen.
    not_taken: u32,
    unusable_said: bool,
    /// Since when it is cued and nothing of its pictures is kept.
    cold_since: Option<Moment>,
    advice_said: Option<String>,
    /// IDRs (or frames of sound) when it stalled.
    stalled_at: Option<u64>,
    looks: VecDeque<Look>,
    odd: OddWatch,
    /// Kinds of odd messages that go on.
    goes_on: Vec<Oddity>,
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
    /// The show ends after `idle_end` without anybody on air; none: by hand only.
    pub(super) fn new(parts: Parts, idle_end: Option<Duration>) -> Self {
        let show = Show::new(idle_end, parts.clock.now());
        Self { parts, show, inputs: HashMap::new(), destinations: HashMap::new() }
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
                    Some(Request::Stop(parting, done)) => {
                        self.stop(parting).await;
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
        self.stop(Parting::Goodbye).await;
    }

    async fn stop(&mut self, parting: Parting) {
        let stops = self.destinations.drain().map(|(_, control)| control.stop(parting));
        futures_util::future::join_all(stops).await;
    }

    async fn serve(&mut self, request: Request) {
        match request {
            Request::Show(on) => {
                let change = self.show.order(on, self.parts.clock.now());
                self.carry_out(change).await;
            }
            Request::HoldShow(held) => self.show.hold(held),
            Request::Put(destination) => self.put(destination),
            Request::Remove(id) => {
                let _ = self.parts.orders.try_send(ProgramOrder::RemoveFeed(id));
                if let Some(control) = self.destinations.remove(&id) {
                    // Its polite end takes up to 2 s, and nobody waits for it.
                    self.parts.tracker.spawn(control.stop(Parting::Goodbye));
                }
            }
            Request::IdleEnd(limit) => self.show.set_idle_end(limit),
            Request::Stop(..) => {}
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
            self.show.is_on(),
            self.parts.clock,
            &Handle::current(),
            &self.parts.tracker,
            &self.parts.token,
        );
        if self.parts.orders.try_send(ProgramOrder::AddFeed(id, feed)).is_err() {
            tracing::error!("the programme takes no orders");
        }
        self.destinations.insert(id, control);
    }

    async fn carry_out(&mut self, change: Option<Change>) {
        let Some(Change { on, by_hand }) = change else { return };
        tracing::info!(on, by_hand, "show");
        for control in self.destinations.values() {
            control.set_show(on);
        }
        let _ = self.parts.events.send(MediaEvent::Show(on)).await;
    }

    async fn look(&mut self, regular: bool) {
        let published = self.parts.published.load_full();
        let gauges = self.parts.gauges.all();
        let seen =
            Seen { takes: published.program.takes, on_air: published.on_air.is_some(), connected: !gauges.is_empty() };
        let change = self.show.look(seen, self.parts.clock.now());
        self.carry_out(change).await;
        self.inputs.retain(|id, _| gauges.iter().any(|gauge| gauge.connection == *id));
        let now = self.parts.clock.now();
        for gauge in &gauges {
            self.watch(gauge, &published, now, regular).await;
        }
        let inputs = gauges.iter().map(|gauge| (gauge.connection.clone(), self.input_status(gauge, now))).collect();
        let destinations =
            self.destinations.iter().map(|(id, control)| (*id, control.status().borrow().clone())).collect();
        let mut program = published.program.clone();
        program.show = self.show.is_on();
        let status = MediaStatus { program, inputs, destinations };
        self.parts.status.send_if_modified(|held| {
            let differs = **held != status;
            if differs {
                *held = Arc::new(status);
            }
            differs
        });
    }

    /// Says what changed about an input. A waiting one stalls when nothing came for longer than [`patience`] says; of the
    /// on-air one the switcher judges.
    async fn watch(&mut self, gauge: &Arc<Gauge>, published: &Published, now: Moment, regular: bool) {
        let watched = self.inputs.entry(gauge.connection.clone()).or_default();
        let mut events: Vec<MediaEvent> = Vec::new();
        let id = || gauge.connection.clone();
        watched.measure(gauge, now, regular);
        watched.goes_on = watched.odd.look(gauge.odd(), now);
        let on_air = published.on_air.as_ref() == Some(&gauge.connection);
        if let Some((flaw, reason)) = gauge.pulled().and_then(Pulled::unusable)
            && !std::mem::replace(&mut watched.unusable_said, true)
        {
            events.push(MediaEvent::Unusable(id(), flaw, reason));
        }
        // While it is not pulled, silence says nothing.
        let silence = match gauge.pulled().map(Pulled::watched_from) {
            None => now.as_micros() - gauge.last(),
            Some(Some(from)) => now.as_micros() - gauge.last().max(from),
            Some(None) => 0,
        };
        let patience = patience(gauge, self.parts.latency, now);
        match watched.look(gauge, published, on_air, silence > SILENT.max(patience / 2), now) {
            Some(Turned::Ready) => events.push(MediaEvent::Ready(id())),
            Some(Turned::Unfit(why)) => events.push(MediaEvent::Unfit(id(), why.to_string().into())),
            None => {}
        }
        let ready = watched.confidence.is_ready();
        let progress = if gauge.last_video.load(Relaxed) >= 0 {
            gauge.keyframes.load(Relaxed)
        } else {
            gauge.sounds.load(Relaxed)
        };
        if ready && !on_air {
            let stalled = gauge.stalled.load(Relaxed);
            let at = *watched.stalled_at.get_or_insert(progress);
            if !stalled {
                watched.stalled_at = None;
                if silence > patience {
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
        let advice = gauge.pulled().and_then(Pulled::advice);
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
        // Arrivals say whether pictures come, and time stamps how many a second.
        let frame_rate = match gauge.frame_rate() {
            Some(rate) if frame_rate > 0.0 => rate,
            // Of one that is pulled a little at a time the stamps seldom settle.
            None if gauge.pulled().is_some() => frame_rate,
            _ => 0.0,
        };
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
            remarks: gauge.remarks().iter().map(InputRemark::from).collect(),
            odd_messages: self.odd_messages(gauge),
        }
    }

    fn odd_messages(&self, gauge: &Gauge) -> Vec<OddMessages> {
        let counts = gauge.odd();
        let watched = self.inputs.get(&gauge.connection);
        let goes_on = |kind| watched.is_some_and(|watched| watched.goes_on.contains(&kind));
        let messages =
            Oddity::ALL.into_iter().map(|kind| OddMessages { kind, count: counts.of(kind), goes_on: goes_on(kind) });
        messages.filter(|messages| messages.count > 0).collect()
    }
}

impl Watched {
    /// Whether it counts as ready from here on, or no longer. Who is on air is judged by what is seen, and stays as it was.
    fn look(
        &mut self,
        gauge: &Gauge,
        published: &Published,
        on_air: bool,
        silent: bool,
        now: Moment,
    ) -> Option<Turned> {
        let mut judged = gauge.takeable();
        if judged == Takeable::Unknown && has_no_keyframe(gauge, now) {
            judged = Takeable::No(Unfit::NoKeyframe);
        }
        let interval = u64::try_from(gauge.keyframe_interval.load(Relaxed)).ok().map(Duration::from_micros);
        // The ring has the last word: what it cannot give is not taken, whatever the time stamps say. While it has nothing it waits for
        // the next key frame, as a take would.
        let ring = published.takeable.iter().find(|(id, _)| *id == gauge.connection).map(|(_, judged)| *judged);
        let is_cold = ring.is_none() && gauge.is_fed() && !on_air;
        self.cold_since = is_cold.then(|| self.cold_since.unwrap_or(now));
        if let Some(since) = self.cold_since.filter(|_| judged == Takeable::Yes) {
            if now.since(since) > interval.unwrap_or(USUAL_INTERVAL).min(LONGEST_INTERVAL) {
                judged = Takeable::No(Unfit::NoEntry);
            } else if !self.confidence.is_ready() {
                judged = Takeable::Unknown;
            }
        }
        if judged == Takeable::Yes {
            judged = ring.unwrap_or(judged);
        }
        let not_taken = gauge.not_taken.load(Relaxed);
        if std::mem::replace(&mut self.not_taken, not_taken) != not_taken {
            return self.confidence.not_taken(judged);
        }
        if on_air {
            return None;
        }
        if silent || gauge.stalled.load(Relaxed) {
            // A stall, which is judged for itself.
            self.confidence.pause();
            return None;
        }
        self.confidence.look(judged, interval, now)
    }

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

/// How long, in microseconds, a waiting input may send no picture (where it has none, no sound) before it counts as stalled: as long as the
/// switcher would wait for it on air, and the programme's buffer at least.
fn patience(gauge: &Gauge, latency: Duration, now: Moment) -> i64 {
    let micros = |time: Duration| i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
    // For sources with a picture a second.
    let least = micros(latency.max(Duration::from_millis(1500)));
    let (video, audio) = (gauge.last_video.load(Relaxed), gauge.last_audio.load(Relaxed));
    if video >= 0 && audio >= 0 && now.as_micros() - audio < least {
        return least.max(LONGEST_STILL.as_micros());
    }
    let pictures = i64::try_from(gauge.pictures.load(Relaxed)).unwrap_or(i64::MAX);
    let distance = (video - gauge.first.load(Relaxed)) / (pictures - 1).max(1);
    least.max((distance * 5 / 2).min(LONGEST_PICTURE_HOLE.as_micros()))
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

/// Whether a connection has sent pictures for so long, and no IDR among them.
fn has_no_keyframe(gauge: &Gauge, now: Moment) -> bool {
    let first = Duration::from_micros(u64::try_from(gauge.first.load(Relaxed)).unwrap_or(u64::MAX));
    gauge.pictures.load(Relaxed) > 0
        && gauge.keyframes.load(Relaxed) == 0
        && now.since_start().saturating_sub(first) > NO_KEYFRAME
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
