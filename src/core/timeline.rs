//! An input's time stamps, made one continuous line: wraps, jumps, restarts, B-frames; and how late its frames arrive.
//!
//! Time zero of an input's line is its first frame's raw time stamp. `Timeline` alone shifts it; the switcher adds one
//! offset per input to reach the programme's line.

use super::frame::{MediaTime, Track};

/// The composition delay that every input is brought to: how long after its decoding time an IDR is shown. Inputs that share it meet
/// at a cut in both time stamps. 200 ms is two pictures of reordering at 10 fps, or six at 30 fps: more than encoders
/// for live streaming use.
pub const COMPOSITION_DELAY: MediaTime = MediaTime::from_millis(200);

/// No picture is shown later than this after its decoding: sixteen B-frames in a row at 20 fps need 850 ms. More is a broken or
/// hostile stream, and would keep the programme's picture waiting.
const MOST_COMPOSITION: MediaTime = MediaTime::from_millis(1000);

/// A frame from further in the future than this, measured against the earliest arrivals, is a jump of the clock.
const JUMP_AHEAD: MediaTime = MediaTime::from_millis(1000);
/// A time stamp that runs back by more than this is a jump of the clock; by less it is a glitch and is clamped.
const JUMP_BACK: MediaTime = MediaTime::from_millis(-1000);
/// How far apart the two tracks may jump, in arrival, and still be given one and the same shift.
const JUMP_TOGETHER: MediaTime = MediaTime::from_millis(10_000);
/// What a clamped frame is moved to behind its predecessor: RTMP's resolution.
const LEAST_STEP: MediaTime = MediaTime::from_millis(1);

/// A frame's place on its input's continuous line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Decoding time, strictly increasing per track, with every IDR exactly [`COMPOSITION_DELAY`] before its presentation.
    pub dts: MediaTime,
    /// Presentation time; for sound the same as `dts`.
    pub pts: MediaTime,
    /// Presentation time less composition delay of the stream itself: the decoding time as sent, for judging arrival.
    pub sent: MediaTime,
}

/// Why a picture can not be placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlaceError {
    /// Pictures are reordered over a longer time than [`COMPOSITION_DELAY`].
    #[error("pictures are reordered over {} ms; use at most 2 B-frames, or none", .0.as_millis())]
    TooMuchReordering(MediaTime),
    /// Pictures before the first IDR can not be shown.
    #[error("no key frame yet")]
    NoKeyframe,
}

#[derive(Clone, Copy, Debug, Default)]
struct TrackLine {
    /// Raw time, unwrapped, to the continuous line.
    shift: MediaTime,
    /// When the shift last changed, in arrival time.
    shifted_at: Option<MediaTime>,
    last_sent: Option<MediaTime>,
    last_dts: Option<MediaTime>,
    last_arrival: MediaTime,
    /// Smoothed distance of two frames.
    period: Option<MediaTime>,
    lateness: Lateness,
}

/// One input's line.
#[derive(Clone, Debug, Default)]
pub struct Timeline {
    /// The latest raw time stamp of either track, unwrapped to 64 bits.
    raw: Option<i64>,
    video: TrackLine,
    audio: TrackLine,
    /// The stream's own composition delay: that of its last IDR.
    delay: Option<MediaTime>,
}

impl Timeline {
    /// An empty line.
    pub fn new() -> Self {
        Self::default()
    }

    /// Places a frame with raw time stamps `dts` and `pts` (32-bit milliseconds, as sent) that arrived at `arrival` (on the
    /// programme's line).
    ///
    /// # Errors
    /// See [`PlaceError`]; the frame must then be left out.
    pub fn place(
        &mut self,
        track: Track,
        dts: MediaTime,
        pts: MediaTime,
        keyframe: bool,
        arrival: MediaTime,
    ) -> Result<Place, PlaceError> {
        let raw = self.unwrap(dts);
        let other_shift = match track {
            Track::Video => (self.audio.shift, self.audio.shifted_at),
            Track::Audio => (self.video.shift, self.video.shifted_at),
        };
        let line = match track {
            Track::Video => &mut self.video,
            Track::Audio => &mut self.audio,
        };
        let sent = line.continue_line(raw, arrival, other_shift);
        let composition = if pts > dts { pts - dts } else { MediaTime::ZERO };
        line.lateness.note(arrival, arrival - sent);
        if track == Track::Audio {
            line.last_dts = Some(sent);
            return Ok(Place { dts: sent, pts: sent, sent });
        }
        if keyframe {
            self.delay = Some(composition);
        }
        let delay = self.delay.ok_or(PlaceError::NoKeyframe)?;
        if delay > COMPOSITION_DELAY || composition > MOST_COMPOSITION {
            return Err(PlaceError::TooMuchReordering(composition.max(delay)));
        }
        let mut dts = sent - (COMPOSITION_DELAY - delay);
        if let Some(last) = line.last_dts
            && dts <= last
        {
            // Only when the stream's own delay grew at an IDR.
            dts = last + LEAST_STEP;
        }
        line.last_dts = Some(dts);
        Ok(Place { dts, pts: (sent + composition).max(dts), sent })
    }

    /// The least lateness (arrival less decoding time as sent) of the last 5 s, of the later one of the tracks that were heard
    /// of in that time. None before the first frame and after silence.
    pub fn least_lateness(&self, now: MediaTime) -> Option<MediaTime> {
        match (self.video.lateness.least(now), self.audio.lateness.least(now)) {
            (Some(video), Some(audio)) => Some(video.max(audio)),
            (video, audio) => video.or(audio),
        }
    }

    /// Whether the least lateness can be relied on: frames have come for half a second, and it has not fallen by more than
    /// 60 ms in the last 300 ms (a burst that catches up lets it fall with every frame; a source a fifth too fast does not).
    pub fn settled(&self, now: MediaTime) -> bool {
        let settled = |line: &TrackLine| line.lateness.settled(now);
        match (self.video.lateness.first.is_some(), self.audio.lateness.first.is_some()) {
            (false, false) => false,
            (true, false) => settled(&self.video),
            (false, true) => settled(&self.audio),
            (true, true) => settled(&self.video) && settled(&self.audio),
        }
    }

    /// Forgets how late frames were: after a stall the old figures mean nothing.
    pub fn forget_lateness(&mut self) {
        self.video.lateness = Lateness::default();
        self.audio.lateness = Lateness::default();
    }

    /// The smoothed distance of two frames of a track.
    pub fn period(&self, track: Track) -> Option<MediaTime> {
        match track {
            Track::Video => self.video.period,
            Track::Audio => self.audio.period,
        }
    }

    /// Widens a 32-bit stamp to the value nearest to the last one of either track.
    fn unwrap(&mut self, stamp: MediaTime) -> MediaTime {
        let millis = stamp.as_micros().div_euclid(1000);
        let raw = match self.raw {
            None => millis.rem_euclid(1 << 32),
            Some(last) => {
                let difference = (millis - last).rem_euclid(1 << 32);
                if difference < 1 << 31 { last + difference } else { last + difference - (1 << 32) }
            }
        };
        self.raw = Some(raw);
        MediaTime::from_micros(raw * 1000 + stamp.as_micros().rem_euclid(1000))
    }
}

impl TrackLine {
    fn continue_line(
        &mut self,
        raw: MediaTime,
        arrival: MediaTime,
        other: (MediaTime, Option<MediaTime>),
    ) -> MediaTime {
        let Some(last) = self.last_sent else {
            // The second track starts on the first one's line.
            self.shift = other.0;
            self.last_sent = Some(raw + self.shift);
            self.last_arrival = arrival;
            return raw + self.shift;
        };
        let mut sent = raw + self.shift;
        let step = sent - last;
        // Against the least ever: after a congestion the frames of a gap catch up with the line, which is no jump.
        let ahead = self.lateness.least_ever().map_or(MediaTime::ZERO, |least| least - (arrival - sent));
        if step < JUMP_BACK || ahead > JUMP_AHEAD {
            let together = raw + other.0;
            let other_recent = other.1.is_some_and(|at| (arrival - at).abs() < JUMP_TOGETHER);
            let step_together = together - last;
            if other_recent && step_together > JUMP_BACK && step_together < MediaTime::from_millis(2000) {
                self.shift = other.0;
            } else {
                let waited = arrival - self.last_arrival;
                let period = self.period.unwrap_or(MediaTime::from_millis(33));
                self.shift = last + waited.max(period) - raw;
            }
            self.shifted_at = Some(arrival);
            sent = raw + self.shift;
        } else if step > MediaTime::ZERO && step < MediaTime::from_millis(1000) {
            self.period = Some(self.period.map_or(step, |period| {
                // A hole in the stream is no slower stream: it counts as two periods at most.
                let step = step.min(period + period);
                MediaTime::from_micros(period.as_micros() + (step.as_micros() - period.as_micros()) / 8)
            }));
        }
        if sent <= last {
            sent = last + LEAST_STEP;
        }
        self.last_sent = Some(sent);
        self.last_arrival = arrival;
        sent
    }
}

const BUCKETS: usize = 20;
/// Microseconds of one bucket, and of all.
const BUCKET: i64 = 250_000;
const WINDOW: i64 = 5_000_000;

/// The least lateness of the last 5 s, in buckets of a quarter second.
#[derive(Clone, Copy, Debug)]
struct Lateness {
    buckets: [i64; BUCKETS],
    /// Number of the newest bucket.
    newest: i64,
    first: Option<MediaTime>,
    last: MediaTime,
    /// The least since the first frame.
    ever: i64,
    /// The least when it last fell by a good bit, and when that was.
    least: i64,
    fell: MediaTime,
}

impl Default for Lateness {
    fn default() -> Self {
        Self {
            buckets: [i64::MAX; BUCKETS],
            newest: 0,
            first: None,
            last: MediaTime::ZERO,
            ever: i64::MAX,
            least: i64::MAX,
            fell: MediaTime::ZERO,
        }
    }
}

impl Lateness {
    fn note(&mut self, arrival: MediaTime, lateness: MediaTime) {
        let number = arrival.as_micros().div_euclid(BUCKET);
        if self.first.is_none() || number - self.newest >= WINDOW / BUCKET {
            self.buckets = [i64::MAX; BUCKETS];
            self.newest = number;
        }
        while self.newest < number {
            self.newest += 1;
            *self.slot(self.newest) = i64::MAX;
        }
        let value = lateness.as_micros();
        let slot = self.slot(number);
        *slot = (*slot).min(value);
        if self.first.is_none() {
            self.first = Some(arrival);
        }
        self.ever = self.ever.min(value);
        if value < self.least.saturating_sub(60_000) {
            self.least = value;
            self.fell = arrival;
        }
        self.last = arrival;
    }

    fn slot(&mut self, number: i64) -> &mut i64 {
        let index = usize::try_from(number.rem_euclid(WINDOW / BUCKET)).unwrap_or(0);
        #[expect(clippy::indexing_slicing, reason = "the index is a remainder by the length")]
        &mut self.buckets[index]
    }

    fn least_ever(&self) -> Option<MediaTime> {
        (self.ever != i64::MAX).then(|| MediaTime::from_micros(self.ever))
    }

    fn least(&self, now: MediaTime) -> Option<MediaTime> {
        self.first?;
        if now - self.last > MediaTime::from_micros(WINDOW) {
            return None;
        }
        let least = self.buckets.iter().copied().min().unwrap_or(i64::MAX);
        (least != i64::MAX).then(|| MediaTime::from_micros(least))
    }

    fn settled(&self, now: MediaTime) -> bool {
        self.first.is_some_and(|first| now - first >= MediaTime::from_millis(500))
            && now - self.fell >= MediaTime::from_millis(300)
    }
}
