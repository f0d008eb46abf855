//! What is known of an input, and the tap that measures it.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed},
};

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::sync::{Notify, mpsc};

use super::{cadence::Cadence, remote::Pulled};
use crate::{
    core::{
        fitness::{Fitness, Takeable},
        frame::{CodecConfig, ConnectionId, Frame, MediaTime, Track},
        moment::Moment,
        oddity::{OddCounts, Oddity},
        remark::{Remark, Remarks},
        timeline::SoundLength,
    },
    media::pictures::{Pictures, Shutter},
};

/// Frames of one input on their way: its share, so that a flood of one never keeps another's out.
const FRAMES_OF_ONE: usize = 2048;
/// Bytes of one input on their way. The same bound as its ring's.
pub(in crate::media) const MAX_INPUT_BYTES: usize = 16 << 20;
/// How often an input is judged that was judged before.
const JUDGE_EVERY: MediaTime = MediaTime::from_millis(100);

/// The leading pictures of a key frame are shown so long before it at most.
const LEADING: MediaTime = MediaTime::from_millis(2000);

/// A frame on its way to the pacing thread.
pub(in crate::media) type Arrival = (Arc<Gauge>, Frame, Moment);

/// What is known of one connection. Written by its tap, read by the monitor and the pacing thread.
#[derive(Debug)]
pub(in crate::media) struct Gauge {
    pub(in crate::media) connection: ConnectionId,
    /// Where key frames leave for a thumbnail.
    shutter: Arc<Shutter>,
    /// Of one that is pulled.
    pulled: Option<Arc<Pulled>>,
    /// Frames go to the pacing thread.
    fed: AtomicBool,
    /// The connection is over.
    pub(in crate::media) ended: AtomicBool,
    /// What its tap judged last, once it could.
    takeable: ArcSwap<Takeable>,
    /// Takes that did not happen.
    pub(in crate::media) not_taken: AtomicU32,
    /// Reported as stalled and not yet as recovered.
    pub(in crate::media) stalled: AtomicBool,
    /// Bytes and frames on their way to the pacing thread.
    in_flight: AtomicUsize,
    frames_in_flight: AtomicUsize,
    pub(in crate::media) video_bytes: AtomicU64,
    pub(in crate::media) audio_bytes: AtomicU64,
    pub(in crate::media) pictures: AtomicU64,
    pub(in crate::media) keyframes: AtomicU64,
    pub(in crate::media) sounds: AtomicU64,
    pub(in crate::media) lost: AtomicU64,
    /// Messages that were odd, in the order of [`Oddity::ALL`].
    odd: [AtomicU64; Oddity::ALL.len()],
    /// Moments in microseconds; -1: never.
    pub(in crate::media) first: AtomicI64,
    pub(in crate::media) last_video: AtomicI64,
    pub(in crate::media) last_audio: AtomicI64,
    /// Between the last two IDRs, in microseconds; -1: not known.
    pub(in crate::media) keyframe_interval: AtomicI64,
    /// Smoothed deviation of arrival from the time stamps, in microseconds.
    pub(in crate::media) jitter: AtomicU32,
    /// Pictures in a thousand seconds, by their time stamps; 0: not known yet.
    cadence: AtomicU32,
    /// What the ingest remarked, as bits.
    remarks: AtomicU32,
    pub(in crate::media) video_config: ArcSwapOption<CodecConfig>,
    pub(in crate::media) audio_config: ArcSwapOption<CodecConfig>,
}

impl Gauge {
    pub(super) fn new(connection: ConnectionId, pulled: Option<Arc<Pulled>>, pictures: &Pictures) -> Self {
        Self {
            shutter: pictures.input(&connection),
            connection,
            pulled,
            fed: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            takeable: ArcSwap::default(),
            not_taken: AtomicU32::new(0),
            stalled: AtomicBool::new(false),
            in_flight: AtomicUsize::new(0),
            frames_in_flight: AtomicUsize::new(0),
            video_bytes: AtomicU64::new(0),
            audio_bytes: AtomicU64::new(0),
            pictures: AtomicU64::new(0),
            keyframes: AtomicU64::new(0),
            sounds: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            odd: std::array::from_fn(|_| AtomicU64::new(0)),
            first: AtomicI64::new(-1),
            last_video: AtomicI64::new(-1),
            last_audio: AtomicI64::new(-1),
            keyframe_interval: AtomicI64::new(-1),
            jitter: AtomicU32::new(0),
            cadence: AtomicU32::new(0),
            remarks: AtomicU32::new(0),
            video_config: ArcSwapOption::empty(),
            audio_config: ArcSwapOption::empty(),
        }
    }

    /// What is known besides of one that is pulled.
    pub(in crate::media) fn pulled(&self) -> Option<&Pulled> {
        self.pulled.as_deref()
    }

    /// Lets frames go to the pacing thread, or no longer. Wakes the pull of one that is pulled.
    pub(in crate::media) fn set_fed(&self, fed: bool) {
        if self.is_fed() == fed {
            return;
        }
        if let Some(pulled) = self.pulled().filter(|_| fed) {
            pulled.cued();
        }
        self.fed.store(fed, Relaxed);
        if let Some(pulled) = self.pulled() {
            pulled.wake();
        }
    }

    pub(in crate::media) fn is_fed(&self) -> bool {
        self.fed.load(Relaxed)
    }

    /// Whether it is cued, and for the time with this number.
    pub(super) fn is_fed_for(&self, cue: u32) -> bool {
        self.is_fed() && self.pulled().is_some_and(|pulled| pulled.cues() == cue)
    }

    /// What its tap judged last: whether it could be taken.
    pub(in crate::media) fn takeable(&self) -> Takeable {
        **self.takeable.load()
    }

    pub(super) fn is_ready(&self) -> bool {
        self.takeable() == Takeable::Yes
    }

    pub(super) fn is_stalled(&self) -> bool {
        self.stalled.load(Relaxed)
    }

    /// Notes that it stalled or recovered. One that is pulled and stalled is looked at now and then.
    pub(in crate::media) fn set_stalled(&self, stalled: bool) {
        self.stalled.store(stalled, Relaxed);
        if let Some(pulled) = self.pulled() {
            pulled.wake();
        }
    }

    pub(super) fn keyframes(&self) -> u64 {
        self.keyframes.load(Relaxed)
    }

    pub(super) fn sounds(&self) -> u64 {
        self.sounds.load(Relaxed)
    }

    pub(in crate::media) fn has_pictures(&self) -> bool {
        self.last_video.load(Relaxed) >= 0
    }

    /// A message was odd and left out.
    pub(super) fn note_odd(&self, oddity: Oddity) {
        if let Some(count) = self.odd.get(oddity.index()) {
            count.fetch_add(1, Relaxed);
        }
    }

    /// How many messages were odd.
    pub(in crate::media) fn odd(&self) -> OddCounts {
        OddCounts(self.odd.each_ref().map(|count| count.load(Relaxed)))
    }

    /// Bytes of the frames that came.
    pub(in crate::media) fn bytes(&self) -> u64 {
        self.video_bytes.load(Relaxed) + self.audio_bytes.load(Relaxed)
    }

    /// Whether there is room for one more frame on the way.
    fn has_room(&self, size: usize) -> bool {
        self.in_flight.load(Relaxed) + size <= MAX_INPUT_BYTES && self.frames_in_flight.load(Relaxed) < FRAMES_OF_ONE
    }

    /// A frame arrived at the pacing thread.
    pub(in crate::media) fn landed(&self, frame: &Frame) {
        self.in_flight.fetch_sub(frame.payload.len(), Relaxed);
        self.frames_in_flight.fetch_sub(1, Relaxed);
    }

    /// Pictures per second by the stream's own clock over the last 5 s that were seen, once that has settled.
    pub(in crate::media) fn frame_rate(&self) -> Option<f64> {
        let thousandths = self.cadence.load(Relaxed);
        (thousandths > 0).then(|| (f64::from(thousandths) / 10.0).round() / 100.0)
    }

    /// Notes what is to be told about the stream.
    pub(super) fn remark(&self, remark: Remark) {
        let mut added = Remarks::default();
        added.add(remark);
        self.remarks.fetch_or(added.bits(), Relaxed);
    }

    /// What is to be told about the stream: what the ingest remarked, and what its pictures are.
    pub(in crate::media) fn remarks(&self) -> Remarks {
        let mut remarks = Remarks::from_bits(self.remarks.load(Relaxed));
        if let Some(CodecConfig::Avc(config)) = self.video_config.load().as_deref() {
            // A configuration came after all.
            remarks.remove(Remark::NoPictureConfiguration);
            remarks = remarks.and(config.remarks());
        }
        if self.audio_config.load().is_some() {
            remarks.remove(Remark::NoSoundConfiguration);
        }
        remarks
    }

    /// When it last sent what it is expected to send: pictures if it ever did, else sound.
    pub(in crate::media) fn last(&self) -> i64 {
        let video = self.last_video.load(Relaxed);
        if video >= 0 { video } else { self.last_audio.load(Relaxed) }
    }
}

/// All open connections. The lock is taken when one opens or closes, for an order that names one, and by the monitor; never for a
/// frame, and never by the web.
#[derive(Debug, Default)]
pub(in crate::media) struct Gauges(Mutex<Open>);

#[derive(Debug, Default)]
struct Open {
    /// In the order in which they opened: who came first is ready first, where that is seen of several at once.
    gauges: Vec<Arc<Gauge>>,
    /// Who is cued, open or not yet.
    cued: Vec<ConnectionId>,
}

impl Gauges {
    fn open(&self) -> MutexGuard<'_, Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(in crate::media) fn get(&self, connection: &ConnectionId) -> Option<Arc<Gauge>> {
        self.open().gauges.iter().find(|gauge| gauge.connection == *connection).cloned()
    }

    pub(in crate::media) fn all(&self) -> Vec<Arc<Gauge>> {
        self.open().gauges.clone()
    }

    /// Notes who is cued. An encoder's first key frame comes some milliseconds after it was let in, so that a connection may be cued before
    /// it opens.
    pub(in crate::media) fn set_cued(&self, connections: Vec<ConnectionId>) {
        self.open().cued = connections;
    }

    pub(super) fn insert(&self, gauge: Arc<Gauge>) {
        let mut open = self.open();
        if open.cued.contains(&gauge.connection) {
            gauge.set_fed(true);
        }
        open.gauges.retain(|held| held.connection != gauge.connection);
        open.gauges.push(gauge);
    }

    pub(super) fn remove(&self, gauge: &Arc<Gauge>) {
        self.open().gauges.retain(|held| !Arc::ptr_eq(held, gauge));
    }
}

/// Measures frames and hands them on.
pub(super) struct Tap {
    pub(super) gauge: Arc<Gauge>,
    frames: mpsc::Sender<Arrival>,
    changed: Arc<Notify>,
    /// Pictures are missing since the last key frame, so those that follow are of no use.
    broken: bool,
    /// Pictures were missing before the key frame shown then, so those shown before it are of no use either.
    mended: Option<MediaTime>,
    last_keyframe: Option<MediaTime>,
    /// By pictures' time stamps.
    cadence: Cadence,
    /// It is pulled, with pauses.
    rejoined: bool,
    fitness: Fitness,
    judged: MediaTime,
    /// Arrival less time stamp of the last frame of the leading track, for the jitter.
    lateness: Option<i64>,
    /// Before that arrivals say nothing: a burst.
    settles: Option<Moment>,
}

impl Tap {
    pub(super) fn new(gauge: Arc<Gauge>, frames: mpsc::Sender<Arrival>, changed: Arc<Notify>) -> Self {
        Self {
            gauge,
            frames,
            changed,
            broken: true,
            mended: None,
            last_keyframe: None,
            cadence: Cadence::default(),
            rejoined: false,
            fitness: Fitness::default(),
            judged: MediaTime::ZERO,
            lateness: None,
            settles: None,
        }
    }

    /// Frames were left out: pictures wait for the next IDR.
    pub(super) fn skip(&mut self) {
        self.broken = true;
    }

    /// Another pull begins; `same`: where an earlier one was.
    pub(super) fn rejoin(&mut self, same: bool) {
        if !same {
            self.last_keyframe = None;
        }
        self.lateness = None;
        // What comes between two pulls was not seen: the figure stays until this one has settled.
        self.cadence.clear();
        self.rejoined = true;
        self.fitness = Fitness::default();
    }

    /// The burst is over by then.
    pub(super) fn settle_at(&mut self, at: Moment) {
        self.settles = Some(at);
    }

    /// Hands a frame to the pacing thread.
    pub(super) fn feed(&mut self, frame: Frame, arrival: Moment) {
        let size = frame.payload.len();
        if frame.track == Track::Video {
            if frame.keyframe {
                self.mended = std::mem::take(&mut self.broken).then_some(frame.pts);
            } else if self.broken || self.mended.is_some_and(|key| frame.pts < key && key - frame.pts < LEADING) {
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

    pub(super) fn measure(&mut self, frame: &Frame, arrival: Moment) {
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
                let rate = self.cadence.note(frame.dts);
                if rate.is_some() || !self.rejoined {
                    gauge.cadence.store(rate.unwrap_or(0), Relaxed);
                }
                gauge.last_video.store(now, Relaxed);
                if frame.keyframe {
                    gauge.shutter.take(frame.dts, &frame.config, &frame.payload);
                    gauge.keyframes.fetch_add(1, Relaxed);
                    let interval = self.last_keyframe.map(|last| (frame.dts - last).as_micros());
                    if let Some(interval) = interval.filter(|interval| *interval > 0) {
                        gauge.keyframe_interval.store(interval, Relaxed);
                    }
                    self.last_keyframe = Some(frame.dts);
                }
            }
            Track::Audio => {
                gauge.audio_bytes.fetch_add(size, Relaxed);
                gauge.sounds.fetch_add(1, Relaxed);
                gauge.last_audio.store(now, Relaxed);
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
        self.judge(frame, arrival.into());
    }

    /// Whether it could be taken, as far as its frames say that. What is not known changes nothing.
    fn judge(&mut self, frame: &Frame, arrival: MediaTime) {
        match frame.track {
            Track::Video => self.fitness.note_picture(frame.dts, frame.pts, frame.keyframe, arrival),
            Track::Audio => self.fitness.note_sound(frame.dts, SoundLength::of(&frame.config), arrival),
        }
        let held = self.gauge.takeable();
        if held != Takeable::Unknown && arrival - self.judged < JUDGE_EVERY {
            return;
        }
        self.judged = arrival;
        let judged = self.fitness.judge(arrival);
        if judged != Takeable::Unknown && judged != held {
            self.gauge.takeable.store(Arc::new(judged));
            self.changed.notify_one();
        }
    }
}
