//! One input: measured always, kept in a ring while cued.
//!
//! The ingest pushes frames into a [`Tap`]. It counts them in atomics, which the monitor reads twice a second; while the
//! connection is cued it also hands them to the pacing thread, over one bounded channel that all cued inputs share. Of a
//! connection that is only announced the frames are pulled when they are needed (`pull`), into a tap of the same kind.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
};

use arc_swap::ArcSwapOption;
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

pub(super) use self::{pull::Parts, remote::Pulled};
use self::{pull::Pull, reception::Reception};

use super::pictures::{Pictures, Shutter};
use crate::core::{
    frame::{
        CodecConfig, ConnectionId, Frame, FrameSink, FrameSinks, MediaTime, PullAddress, RemoteFigures, RemoteInput,
        Track,
    },
    moment::Moment,
    timeline::COMPOSITION_DELAY,
};

mod pull;
mod reception;
mod remote;
#[cfg(test)]
mod tests;

/// Elements that a pull is built from: by HTTP `fdsrc` reads our own connection, by RTMP `rtmp2src` makes one.
pub const PULL_ELEMENTS: &[&str] = &["fdsrc", "rtmp2src", "appsink"];

/// Frames on their way to the pacing thread, of all cued inputs together. It empties the channel every 40 ms; a burst of ten seconds of one
/// input is 800 frames.
const FRAMES_IN_FLIGHT: usize = 8192;
/// One input's share of them, so that a flood of one never keeps another's frames out.
const FRAMES_OF_ONE: usize = 2048;
/// Bytes of one input on their way. The same bound as its ring's.
pub(super) const MAX_INPUT_BYTES: usize = 16 << 20;
/// Sound alone makes an input ready after so long without any picture.
const SOUND_ALONE: MediaTime = MediaTime::from_millis(3000);

/// A frame on its way to the pacing thread.
pub(super) type Arrival = (Arc<Gauge>, Frame, Moment);

/// What is known of one connection. Written by its tap, read by the monitor and the pacing thread.
#[derive(Debug)]
pub(super) struct Gauge {
    pub(super) connection: ConnectionId,
    /// Where key frames leave for a thumbnail.
    shutter: Arc<Shutter>,
    /// Of one that is pulled.
    pulled: Option<Arc<Pulled>>,
    /// Frames go to the pacing thread.
    fed: AtomicBool,
    /// The connection is over.
    pub(super) ended: AtomicBool,
    /// First IDR seen (or sound alone for 3 s).
    pub(super) ready: AtomicBool,
    /// Reported as stalled and not yet as recovered.
    pub(super) stalled: AtomicBool,
    /// Pictures are reordered for longer than the programme can bear.
    pub(super) reordered: AtomicBool,
    /// Bytes and frames on their way to the pacing thread.
    in_flight: AtomicUsize,
    frames_in_flight: AtomicUsize,
    pub(super) video_bytes: AtomicU64,
    pub(super) audio_bytes: AtomicU64,
    pub(super) pictures: AtomicU64,
    pub(super) keyframes: AtomicU64,
    pub(super) sounds: AtomicU64,
    pub(super) lost: AtomicU64,
    /// Moments in microseconds; -1: never.
    pub(super) first: AtomicI64,
    pub(super) last_video: AtomicI64,
    pub(super) last_audio: AtomicI64,
    /// Between the last two IDRs, in microseconds; -1: not known.
    pub(super) keyframe_interval: AtomicI64,
    /// Smoothed deviation of arrival from the time stamps, in microseconds.
    pub(super) jitter: AtomicU32,
    pub(super) video_config: ArcSwapOption<CodecConfig>,
    pub(super) audio_config: ArcSwapOption<CodecConfig>,
}

impl Gauge {
    fn new(connection: ConnectionId, pulled: Option<Arc<Pulled>>, pictures: &Pictures) -> Self {
        Self {
            shutter: pictures.input(&connection),
            connection,
            pulled,
            fed: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            ready: AtomicBool::new(false),
            stalled: AtomicBool::new(false),
            reordered: AtomicBool::new(false),
            in_flight: AtomicUsize::new(0),
            frames_in_flight: AtomicUsize::new(0),
            video_bytes: AtomicU64::new(0),
            audio_bytes: AtomicU64::new(0),
            pictures: AtomicU64::new(0),
            keyframes: AtomicU64::new(0),
            sounds: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            first: AtomicI64::new(-1),
            last_video: AtomicI64::new(-1),
            last_audio: AtomicI64::new(-1),
            keyframe_interval: AtomicI64::new(-1),
            jitter: AtomicU32::new(0),
            video_config: ArcSwapOption::empty(),
            audio_config: ArcSwapOption::empty(),
        }
    }

    /// What is known besides of one that is pulled.
    pub(super) fn pulled(&self) -> Option<&Pulled> {
        self.pulled.as_deref()
    }

    /// Lets frames go to the pacing thread, or no longer. Wakes the pull of one that is pulled.
    pub(super) fn set_fed(&self, fed: bool) {
        if let Some(pulled) = self.pulled() {
            if fed {
                pulled.cued();
            }
            self.fed.store(fed, Relaxed);
            pulled.wake();
        } else {
            self.fed.store(fed, Relaxed);
        }
    }

    pub(super) fn is_fed(&self) -> bool {
        self.fed.load(Relaxed)
    }

    /// Whether it is cued, and for the time with this number.
    fn is_fed_for(&self, cue: u32) -> bool {
        self.is_fed() && self.pulled().is_some_and(|pulled| pulled.cues() == cue)
    }

    fn is_ready(&self) -> bool {
        self.ready.load(Relaxed)
    }

    fn is_stalled(&self) -> bool {
        self.stalled.load(Relaxed)
    }

    /// Notes that it stalled or recovered. One that is pulled and stalled is looked at now and then.
    pub(super) fn set_stalled(&self, stalled: bool) {
        self.stalled.store(stalled, Relaxed);
        if let Some(pulled) = self.pulled() {
            pulled.wake();
        }
    }

    fn keyframes(&self) -> u64 {
        self.keyframes.load(Relaxed)
    }

    fn sounds(&self) -> u64 {
        self.sounds.load(Relaxed)
    }

    fn has_pictures(&self) -> bool {
        self.last_video.load(Relaxed) >= 0
    }

    /// Bytes of the frames that came.
    pub(super) fn bytes(&self) -> u64 {
        self.video_bytes.load(Relaxed) + self.audio_bytes.load(Relaxed)
    }

    /// Whether there is room for one more frame on the way.
    fn has_room(&self, size: usize) -> bool {
        self.in_flight.load(Relaxed) + size <= MAX_INPUT_BYTES && self.frames_in_flight.load(Relaxed) < FRAMES_OF_ONE
    }

    /// A frame arrived at the pacing thread.
    pub(super) fn landed(&self, frame: &Frame) {
        self.in_flight.fetch_sub(frame.payload.len(), Relaxed);
        self.frames_in_flight.fetch_sub(1, Relaxed);
    }

    /// Pictures per second since the first, once that can be said.
    pub(super) fn frame_rate(&self) -> Option<f64> {
        let passed = match self.pulled() {
            // It is pulled with pauses, and each pull begins with a burst.
            Some(pulled) => pulled.media_time(),
            None => self.last_video.load(Relaxed) - self.first.load(Relaxed),
        };
        let pictures = self.pictures.load(Relaxed);
        (passed > 1_000_000 && pictures > 10).then(|| (pictures as f64 * 1e6 / passed as f64 * 100.0).round() / 100.0)
    }

    /// When it last sent what it is expected to send: pictures if it ever did, else sound.
    pub(super) fn last(&self) -> i64 {
        let video = self.last_video.load(Relaxed);
        if video >= 0 { video } else { self.last_audio.load(Relaxed) }
    }
}

/// All open connections. The lock is taken when one opens or closes, for an order that names one, and by the monitor; never for a
/// frame, and never by the web.
#[derive(Debug, Default)]
pub(super) struct Gauges(Mutex<HashMap<ConnectionId, Arc<Gauge>>>);

impl Gauges {
    pub(super) fn get(&self, connection: &ConnectionId) -> Option<Arc<Gauge>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(connection).cloned()
    }

    pub(super) fn all(&self) -> Vec<Arc<Gauge>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    fn insert(&self, gauge: Arc<Gauge>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(gauge.connection.clone(), gauge);
    }

    fn remove(&self, gauge: &Arc<Gauge>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.get(&gauge.connection).is_some_and(|held| Arc::ptr_eq(held, gauge)) {
            all.remove(&gauge.connection);
        }
    }
}

/// Opens taps. One for the whole box.
pub(super) struct Taps {
    pub(super) gauges: Arc<Gauges>,
    frames: mpsc::Sender<Arrival>,
    /// Wakes the monitor when an input becomes ready or ends.
    changed: Arc<Notify>,
    pulls: Parts,
    probes: Arc<Semaphore>,
    pictures: Pictures,
}

impl Taps {
    pub(super) fn new(
        gauges: Arc<Gauges>,
        changed: Arc<Notify>,
        pulls: Parts,
        pictures: Pictures,
    ) -> (Self, mpsc::Receiver<Arrival>) {
        let (frames, receiver) = mpsc::channel(FRAMES_IN_FLIGHT);
        let probes = Arc::new(Semaphore::new(pull::PROBES));
        (Self { gauges, frames, changed, pulls, probes, pictures }, receiver)
    }

    fn register(&self, gauge: Arc<Gauge>) -> Registration {
        self.gauges.insert(gauge.clone());
        Registration { gauge, gauges: self.gauges.clone(), changed: self.changed.clone() }
    }

    fn tap(&self, gauge: &Arc<Gauge>) -> Tap {
        Tap {
            gauge: gauge.clone(),
            frames: self.frames.clone(),
            changed: self.changed.clone(),
            broken: true,
            last_keyframe: None,
            first_sound: None,
            lateness: None,
            settles: None,
        }
    }
}

impl FrameSinks for Taps {
    fn open(&self, connection: ConnectionId) -> Box<dyn FrameSink> {
        let gauge = Arc::new(Gauge::new(connection, None, &self.pictures));
        Box::new(OpenTap { tap: self.tap(&gauge), _registration: self.register(gauge) })
    }

    fn announce(&self, connection: ConnectionId, address: PullAddress) -> Box<dyn RemoteInput> {
        let pulled = Arc::new(Pulled::new());
        let gauge = Arc::new(Gauge::new(connection, Some(pulled.clone()), &self.pictures));
        let reception = Arc::new(Mutex::new(Reception::new(self.tap(&gauge))));
        let registration = self.register(gauge.clone());
        let token = self.pulls.token.child_token();
        let span = tracing::info_span!("pull", connection = %gauge.connection);
        let pull = Pull::new(
            self.pulls.clone(),
            (gauge, pulled.clone()),
            address,
            reception.clone(),
            self.probes.clone(),
            token.clone(),
        );
        self.pulls.tracker.spawn_on(pull.run().instrument(span), &self.pulls.runtime);
        Box::new(Remote { pulled, reception, token, registration })
    }
}

/// An open connection. Dropping it says that it is over.
struct Registration {
    gauge: Arc<Gauge>,
    gauges: Arc<Gauges>,
    changed: Arc<Notify>,
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.gauge.ended.store(true, Relaxed);
        self.gauges.remove(&self.gauge);
        self.changed.notify_one();
    }
}

/// A connection that is pulled when it is needed.
struct Remote {
    pulled: Arc<Pulled>,
    reception: Arc<Mutex<Reception>>,
    token: CancellationToken,
    registration: Registration,
}

impl RemoteInput for Remote {
    fn report(&mut self, figures: RemoteFigures, at: Moment) {
        let gauge = &self.registration.gauge;
        self.pulled.report(figures, at, gauge.bytes(), gauge.is_fed());
    }

    fn is_mute(&self) -> bool {
        self.pulled.is_mute()
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        self.token.cancel();
        self.reception.lock().unwrap_or_else(PoisonError::into_inner).end();
    }
}

/// The way in of a connection whose frames the ingest delivers.
struct OpenTap {
    tap: Tap,
    _registration: Registration,
}

impl FrameSink for OpenTap {
    fn push(&mut self, frame: Frame, arrival: Moment) {
        self.tap.measure(&frame, arrival);
        if self.tap.gauge.is_fed() {
            self.tap.feed(frame, arrival);
        } else {
            self.tap.skip();
        }
    }
}

/// Measures frames and hands them on.
struct Tap {
    gauge: Arc<Gauge>,
    frames: mpsc::Sender<Arrival>,
    changed: Arc<Notify>,
    /// Pictures are missing since the last IDR, so those that follow are of no use.
    broken: bool,
    last_keyframe: Option<MediaTime>,
    first_sound: Option<Moment>,
    /// Arrival less time stamp of the last frame of the leading track, for the jitter.
    lateness: Option<i64>,
    /// Before that arrivals say nothing: a burst.
    settles: Option<Moment>,
}

impl Tap {
    /// Frames were left out: pictures wait for the next IDR.
    fn skip(&mut self) {
        self.broken = true;
    }

    /// Another pull begins; `same`: where an earlier one was.
    fn rejoin(&mut self, same: bool) {
        if !same {
            self.last_keyframe = None;
        }
        self.lateness = None;
    }

    /// The burst is over by then.
    fn settle_at(&mut self, at: Moment) {
        self.settles = Some(at);
    }

    /// Hands a frame to the pacing thread.
    fn feed(&mut self, frame: Frame, arrival: Moment) {
        let size = frame.payload.len();
        if frame.track == Track::Video {
            if frame.keyframe {
                self.broken = false;
            } else if self.broken {
                return;
            }
        }
        let video = frame.track == Track::Video;
        let room = self.gauge.has_room(size);
        // Counted before it is sent: the other side may be quicker than this one.
        self.gauge.in_flight.fetch_add(size, Relaxed);
        self.gauge.frames_in_flight.fetch_add(1, Relaxed);
        if !room || self.frames.try_send((self.gauge.clone(), frame, arrival)).is_err() {
            self.gauge.in_flight.fetch_sub(size, Relaxed);
            self.gauge.frames_in_flight.fetch_sub(1, Relaxed);
            self.gauge.lost.fetch_add(1, Relaxed);
            self.broken |= video;
        }
    }

    fn measure(&mut self, frame: &Frame, arrival: Moment) {
        let gauge = &self.gauge;
        let now = arrival.as_micros();
        let _ = gauge.first.compare_exchange(-1, now, Relaxed, Relaxed);
        let size = frame.payload.len() as u64;
        let config = match frame.track {
            Track::Video => &gauge.video_config,
            Track::Audio => &gauge.audio_config,
        };
        if config.load().as_ref().is_none_or(|held| !Arc::ptr_eq(held, &frame.config)) {
            config.store(Some(frame.config.clone()));
        }
        match frame.track {
            Track::Video => {
                gauge.video_bytes.fetch_add(size, Relaxed);
                gauge.pictures.fetch_add(1, Relaxed);
                gauge.last_video.store(now, Relaxed);
                if frame.keyframe {
                    gauge.shutter.take(frame.dts, &frame.config, &frame.payload);
                    gauge.keyframes.fetch_add(1, Relaxed);
                    let interval = self.last_keyframe.map(|last| (frame.dts - last).as_micros());
                    if let Some(interval) = interval.filter(|interval| *interval > 0) {
                        gauge.keyframe_interval.store(interval, Relaxed);
                    }
                    self.last_keyframe = Some(frame.dts);
                    let bearable = frame.pts - frame.dts <= COMPOSITION_DELAY;
                    gauge.reordered.store(!bearable, Relaxed);
                    if bearable && !gauge.ready.swap(true, Relaxed) {
                        self.changed.notify_one();
                    }
                }
            }
            Track::Audio => {
                gauge.audio_bytes.fetch_add(size, Relaxed);
                gauge.sounds.fetch_add(1, Relaxed);
                gauge.last_audio.store(now, Relaxed);
                let first = *self.first_sound.get_or_insert(arrival);
                let alone = gauge.last_video.load(Relaxed) < 0 && MediaTime::from(arrival.since(first)) >= SOUND_ALONE;
                if alone && !gauge.ready.swap(true, Relaxed) {
                    self.changed.notify_one();
                }
            }
        }
        let leading = (frame.track == Track::Video) == (gauge.last_video.load(Relaxed) >= 0);
        if leading && self.settles.is_none_or(|settles| arrival >= settles) {
            let lateness = now - frame.dts.as_micros();
            if let Some(last) = self.lateness.replace(lateness) {
                let deviation = u32::try_from((lateness - last).unsigned_abs().min(10_000_000)).unwrap_or(0);
                let jitter = gauge.jitter.load(Relaxed);
                // RFC 3550's smoothing, by sixteenths.
                gauge.jitter.store(jitter - jitter / 16 + deviation / 16, Relaxed);
            }
        }
    }
}
