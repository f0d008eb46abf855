//! An input's time stamps, made one continuous line: wraps, jumps, restarts, B-frames; and how late its frames arrive.
//!
//! Time zero of an input's line is its first frame's raw time stamp. `Timeline` alone shifts it; the switcher adds one
//! offset per input to reach the programme's line.

use super::frame::{MediaTime, Track};

mod sound;

use sound::SoundLine;
pub use sound::{SoundLength, SoundPlace};

/// Pictures may be reordered over so long a time: what is shown first may be decoded so much later than its place. A pyramid of B-frames at
/// 4 fps, or any at 30 fps. The whole programme is sent that much before it is shown, so it is not more.
pub const MOST_REORDERING: MediaTime = MediaTime::from_millis(500);
/// No picture is shown later than this after its decoding: sixteen B-frames in a row at 20 fps need 850 ms. More is a broken or
/// hostile stream, and would keep the programme's picture waiting.
const MOST_COMPOSITION: MediaTime = MediaTime::from_millis(1000);
/// Nor does a stream have all its pictures shown later than this, or earlier.
const MOST_CONSTANT: MediaTime = MediaTime::from_millis(5000);
/// Pictures after which what was seen of a stream's offsets begins to be forgotten: half a minute at 30 fps.
const OFFSETS_WINDOW: u32 = 1000;
/// Pictures that are shown too far before their place are left out; a stream in which they are as common as this is refused.
const MOST_ODD: u32 = 16;

/// A frame from further in the future than this, measured against the earliest arrivals, is a jump of the clock.
const JUMP_AHEAD: MediaTime = MediaTime::from_millis(1000);
/// A time stamp that runs back by more than this is a jump of the clock; by less it is a glitch and is clamped.
const JUMP_BACK: MediaTime = MediaTime::from_millis(-1000);
/// How far apart the two tracks may jump, in arrival, and still be given one and the same shift.
const JUMP_TOGETHER: MediaTime = MediaTime::from_millis(10_000);
/// The least distance of two frames, and what a clamped one is moved to behind its predecessor: RTMP's resolution.
pub const LEAST_STEP: MediaTime = MediaTime::from_millis(1);

/// A picture's place on its input's continuous line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Presentation time.
    pub pts: MediaTime,
    /// Decoding time as sent, strictly increasing. For judging arrival; where a picture's decoding time
    /// belongs is reckoned from it and [`Reordering`].
    pub sent: MediaTime,
}

/// Why a picture cannot be placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlaceError {
    /// Pictures are reordered over a longer time than [`MOST_REORDERING`].
    #[error("pictures are reordered over {} ms; use at most 2 B-frames, or none", .0.as_millis())]
    TooMuchReordering(MediaTime),
    /// A picture's composition offset is out of all proportion.
    #[error("a picture is to be shown {} ms after its time stamp", .0.as_millis())]
    FarOff(MediaTime),
    /// Pictures before the first key frame cannot be shown.
    #[error("no key frame yet")]
    NoKeyframe,
}

/// How far a stream reorders its pictures, read from their composition offsets (presentation time less decoding time).
///
/// Only differences count: one encoder shows everything 400 ms after its time stamp and reorders nothing, another lets key frames have 0
/// and B-frames less. The *least* offset of a stream is a picture that is shown as soon as it is decoded. How far a key frame's own
/// lies above that is how long before its presentation it has to be decoded. An I picture in the midst of an open GOP stands in a
/// P picture's place and has a larger offset than an IDR, so that the least one of a key frame tells.
#[derive(Clone, Debug, Default)]
pub struct Reordering {
    /// The least offset of a key frame and of any picture: in this window, and in the one before.
    windows: [Option<(MediaTime, MediaTime)>; 2],
    pictures: u32,
    odd: u32,
}

impl Reordering {
    /// Takes the next picture's composition offset into account.
    ///
    /// # Errors
    /// See [`PlaceError`]; the picture must then be left out.
    pub fn note(&mut self, offset: MediaTime, keyframe: bool) -> Result<(), PlaceError> {
        let Some((key, least)) = self.offsets() else {
            if !keyframe {
                return Err(PlaceError::NoKeyframe);
            }
            if offset.abs() > MOST_CONSTANT {
                return Err(PlaceError::FarOff(offset));
            }
            self.windows = [Some((offset, offset)), None];
            return Ok(());
        };
        self.odd = self.odd.saturating_sub(1);
        if !keyframe && key - offset > MOST_REORDERING {
            self.odd = (self.odd + 5).min(2 * MOST_ODD);
            return Err(PlaceError::TooMuchReordering(key - offset));
        }
        if self.is_refused() {
            return Err(PlaceError::TooMuchReordering(MOST_REORDERING));
        }
        if offset.abs() > MOST_CONSTANT || offset - least > MOST_COMPOSITION {
            return Err(PlaceError::FarOff(offset));
        }
        self.pictures += 1;
        if keyframe && self.pictures > OFFSETS_WINDOW {
            self.pictures = 0;
            self.windows = [None, self.windows.first().copied().flatten()];
        }
        if let Some(window) = self.windows.first_mut() {
            *window = match *window {
                Some((key, least)) => Some((if keyframe { key.min(offset) } else { key }, least.min(offset))),
                // Begun by a key frame, as each is.
                None => Some((offset, offset)),
            };
        }
        Ok(())
    }

    /// Whether so many pictures are reordered too far that the stream cannot be shown.
    pub const fn is_refused(&self) -> bool {
        self.odd >= MOST_ODD
    }

    /// Whether it is known that the stream can be shown: its key frames' offset alone, if it is large, may be reordering or not.
    pub fn is_known(&self) -> bool {
        !self.is_refused() && self.offsets().is_some_and(|(key, _)| key <= MOST_REORDERING || self.pictures > MOST_ODD)
    }

    /// How long before its presentation a key frame of this stream must be decoded.
    pub fn delay(&self) -> MediaTime {
        self.offsets().map_or(MediaTime::ZERO, |(key, least)| key - least)
    }

    /// The composition offset of a key frame.
    pub fn key_offset(&self) -> MediaTime {
        self.offsets().map_or(MediaTime::ZERO, |(key, _)| key)
    }

    fn offsets(&self) -> Option<(MediaTime, MediaTime)> {
        self.windows.iter().copied().flatten().reduce(|(a, b), (c, d)| (a.min(c), b.min(d)))
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct TrackLine {
    /// Raw time, unwrapped, to the continuous line.
    shift: MediaTime,
    /// When the shift last changed, in arrival time.
    shifted_at: Option<MediaTime>,
    last_sent: Option<MediaTime>,
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
    reordering: Reordering,
    sound: SoundLine,
}

impl Timeline {
    /// An empty line.
    pub fn new() -> Self {
        Self::default()
    }

    /// Places a picture with raw time stamps `dts` and `pts` (32-bit milliseconds, as sent) that arrived at `arrival` (on the
    /// programme's line).
    ///
    /// # Errors
    /// See [`PlaceError`]; the frame must then be left out.
    pub fn place(
        &mut self,
        dts: MediaTime,
        pts: MediaTime,
        keyframe: bool,
        arrival: MediaTime,
    ) -> Result<Place, PlaceError> {
        let raw = self.unwrap(dts);
        let line = &mut self.video;
        let sent = line.continue_line(raw, arrival, (self.audio.shift, self.audio.shifted_at));
        line.lateness.note(arrival, arrival - sent);
        let composition = pts - dts;
        self.reordering.note(composition, keyframe)?;
        Ok(Place { pts: sent + composition, sent })
    }

    /// How far the pictures are reordered.
    pub const fn reordering(&self) -> &Reordering {
        &self.reordering
    }

    /// Places a frame of sound with the raw time stamp `stamp` that arrived at `arrival`.
    pub fn place_sound(&mut self, stamp: MediaTime, length: SoundLength, arrival: MediaTime) -> SoundPlace {
        let raw = self.unwrap(stamp);
        let line = &mut self.audio;
        let sent = line.continue_line(raw, arrival, (self.video.shift, self.video.shifted_at));
        let place = self.sound.place(raw + line.shift, length, arrival);
        line.lateness.note(arrival, arrival - sent + self.sound.bias());
        place
    }

    /// The least lateness (arrival less decoding time as sent) of the last 5 s, of the later one of the tracks that were heard
    /// of in that time. None before the first frame and after silence.
    pub fn least_lateness(&self, now: MediaTime) -> Option<MediaTime> {
        match (self.video.lateness.least(now), self.audio.lateness.least(now)) {
            (Some(video), Some(audio)) => Some(video.max(audio)),
            (video, audio) => video.or(audio),
        }
    }

    /// How far the lines of the two tracks lie apart by when their frames arrive, if both are heard of.
    pub fn apart(&self, now: MediaTime) -> Option<MediaTime> {
        Some((self.video.lateness.least(now)? - self.audio.lateness.least(now)?).abs())
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

    /// Forgets how late frames were of late: after a stall the old figures mean nothing. How little late they ever were is kept, because what
    /// comes next catches up with that.
    pub fn forget_lateness(&mut self) {
        for line in [&mut self.video, &mut self.audio] {
            line.lateness = Lateness { ever: line.lateness.ever, ..Lateness::default() };
        }
        self.sound.forget_lateness();
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
