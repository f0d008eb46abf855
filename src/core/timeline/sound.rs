//! Sound on its input's line, placed by counting its samples. Pure.
//!
//! A frame of AAC has an exact length, so a sound without a hole needs no time stamps. Many encoders' are rough: two frames of one
//! capture carry one stamp, a clock has ticks of 32 ms, stamps are off by 10 ms. Played by such stamps, a whole sound has holes.
//! So each frame follows the one before, and the stamps only steer: what they say on average is followed, so slowly that
//! nobody hears it. They are believed at once only where sound is really missing, or comes twice.

use crate::core::frame::{CodecConfig, MediaTime};

/// How long a frame of sound is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SoundLength {
    samples: u32,
    rate: u32,
}

impl SoundLength {
    /// `samples` at `rate` a second. A rate of none counts as 48000.
    pub const fn new(samples: u32, rate: u32) -> Self {
        Self { samples, rate: if rate == 0 { 48_000 } else { rate } }
    }

    /// That of a frame with this configuration.
    pub fn of(config: &CodecConfig) -> Self {
        match config {
            CodecConfig::Aac(aac) => Self::new(aac.frame_samples, aac.sample_rate),
            CodecConfig::Avc(_) => Self::new(1024, 0),
        }
    }

    /// As a time, rounded down to a microsecond.
    pub fn duration(self) -> MediaTime {
        MediaTime::from_micros(self.micros(0).0)
    }

    /// In microseconds, with what an earlier rounding left over, and what this one leaves.
    fn micros(self, rest: i64) -> (i64, i64) {
        let all = i64::from(self.samples) * 1_000_000 + rest;
        let rate = i64::from(self.rate);
        (all.div_euclid(rate), all.rem_euclid(rate))
    }
}

/// A smoothed error below this is how stamps are rounded, and left alone: a clock with ticks of 32 ms is 16 ms off on average.
/// Picture and sound may be 40 ms apart.
const DEAD_BAND: i64 = 15_000;
/// Once steering has begun it goes on down to this.
const SETTLED: i64 = 3_000;
/// The error is smoothed over so many frames: two thirds of a second.
const SMOOTHING: i64 = 32;
/// An error would be gone after so long, at the speed at which it begins to go.
const CORRECTION: i64 = 10_000_000;
/// The fastest steering: one part in so many, 0.2 %, 3.4 cents of pitch, which nobody hears.
const SLOWEST: i64 = 500;
/// An error beyond this is no rough stamp: sound is missing or comes twice, if it lasts.
const STEP: i64 = 100_000;
/// It lasts when so many frames in a row agree: 170 ms of sound, which are in the ring still and are moved then.
const LASTING: u32 = 8;
/// Frames agree when their errors are no further apart.
const AGREEMENT: i64 = 40_000;
/// An error that came by more than this from one frame to the next came at a stroke; by less it grew.
const STROKE: i64 = 60_000;
/// A pause at least so long in the stamps, during which nothing arrived either, is believed at once: by the time that more frames agree, the
/// first would be late.
const PAUSE: i64 = 500_000;
/// The stamps of the first frames are taken together before anything is heard.
const FIRST: usize = 8;
/// So many frames long the least lateness is still being found out: about two seconds, which the burst at a stream's start is over in.
const FINDING: u32 = 100;
/// So many frames long stamps that ran at a wrong speed do not steer: a minute.
const DISTRUST: u32 = 2800;

/// A frame of sound's place on its input's continuous line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SoundPlace {
    /// When it sounds: at the end of the one before, but for steps and what the time stamps steer.
    pub at: MediaTime,
    /// So many of the latest frames before this one lie so much later than was said of them: only now it is known.
    pub moved: Option<(usize, MediaTime)>,
}

/// One input's sound. Errors are how far a stamp is ahead of the count, in microseconds.
#[derive(Clone, Debug, Default)]
pub(super) struct SoundLine {
    /// Where the next frame belongs; none before the first.
    next: Option<i64>,
    /// What rounding to microseconds left over.
    rest: i64,
    rate: u32,
    /// How far the stamps are ahead for good, since they run at another speed than the sound.
    bias: i64,
    /// The first frames' errors.
    first: [i64; FIRST],
    frames: usize,
    /// Smoothed.
    error: i64,
    /// The last frame's.
    latest: i64,
    steering: bool,
    distrust: u32,
    doubt: Doubt,
    last_arrival: MediaTime,
    /// The least arrival less place, followed slowly, and how many frames it is known from.
    lateness: i64,
    noted: u32,
}

/// Frames in a row whose stamps are far from the count.
#[derive(Clone, Copy, Debug, Default)]
struct Doubt {
    frames: u32,
    /// Error of the first, and of all together.
    first: i64,
    sum: i64,
    /// The least arrival less place.
    lateness: i64,
    /// Whether the first came at a stroke.
    stroke: bool,
}

impl SoundLine {
    /// How far the stamps are ahead of the sound for good.
    pub(super) fn bias(&self) -> MediaTime {
        MediaTime::from_micros(self.bias)
    }

    /// What was learnt of arrivals means nothing any more.
    pub(super) fn forget_lateness(&mut self) {
        self.noted = 0;
    }

    /// Places the next frame: `stamp` is its time stamp on the input's line.
    pub(super) fn place(&mut self, stamp: MediaTime, length: SoundLength, arrival: MediaTime) -> SoundPlace {
        let waited = (arrival - self.last_arrival).as_micros();
        self.last_arrival = arrival;
        if self.rate != length.rate {
            self.rate = length.rate;
            self.rest = 0;
        }
        let next = *self.next.get_or_insert(stamp.as_micros());
        let error = stamp.as_micros() - self.bias - next;
        let late = arrival.as_micros() - next;
        let (by, moved) = self.judge(error, late, waited, length);
        self.frames = self.frames.saturating_add(1);
        let at = next + by;
        self.latest = stamp.as_micros() - self.bias - at;
        let (micros, rest) = length.micros(self.rest);
        self.rest = rest;
        self.next = Some(at + micros);
        let moved = (moved > 0).then_some((moved, MediaTime::from_micros(by)));
        SoundPlace { at: MediaTime::from_micros(at), moved }
    }

    /// By how much this frame lies after the end of the last one, and how many before it share that.
    fn judge(&mut self, error: i64, late: i64, waited: i64, length: SoundLength) -> (i64, usize) {
        let duration = length.duration().as_micros();
        self.lateness = match self.noted {
            0 => late,
            1..FINDING => self.lateness.min(late),
            _ => self.lateness + (late - self.lateness).clamp(-duration / 1000, duration / 3000),
        };
        self.noted = self.noted.saturating_add(1);
        let number = self.frames;
        if let Some(first) = self.first.get_mut(number) {
            *first = error;
            let middle = if number + 1 == FIRST { middle(self.first) } else { 0 };
            return if middle.abs() > SETTLED { (middle, number) } else { (0, 0) };
        }
        if error > PAUSE && waited + STEP >= error {
            self.doubt.frames = 0;
            self.error = 0;
            return (error, 0);
        }
        if error.abs() > STEP {
            return self.doubt(error, late);
        }
        self.doubt.frames = 0;
        (self.steer(error, duration), 0)
    }

    fn steer(&mut self, error: i64, duration: i64) -> i64 {
        self.error += (error - self.error) / SMOOTHING;
        if self.distrust > 0 {
            self.distrust -= 1;
            return 0;
        }
        let limit = if self.steering { SETTLED } else { DEAD_BAND };
        self.steering = self.error.abs() > limit;
        if !self.steering {
            return 0;
        }
        let most = duration / SLOWEST;
        let by = (self.error * duration / CORRECTION).clamp(-most, most);
        self.error -= by;
        by
    }

    /// A stamp far from the count: counts those that agree, and decides when they are enough.
    fn doubt(&mut self, error: i64, late: i64) -> (i64, usize) {
        if self.doubt.frames == 0 || (error - self.doubt.first).abs() > AGREEMENT {
            let stroke = (error - self.latest).abs() > STROKE;
            self.doubt = Doubt { frames: 0, first: error, sum: 0, lateness: late, stroke };
        }
        let doubt = &mut self.doubt;
        doubt.frames += 1;
        doubt.sum += error;
        doubt.lateness = doubt.lateness.min(late);
        if doubt.frames < LASTING {
            return (0, 0);
        }
        let by = doubt.sum / i64::from(doubt.frames);
        let later = doubt.lateness - self.lateness;
        let (grew, before) = (!doubt.stroke, usize::try_from(doubt.frames - 1).unwrap_or(0));
        doubt.frames = 0;
        self.error = 0;
        self.steering = false;
        if grew && later.abs() < (later - by).abs() {
            // The stamps run at another speed than the samples, and the samples arrive as they should.
            self.bias += by;
            self.distrust = DISTRUST;
            return (0, 0);
        }
        (by, before)
    }
}

/// The median.
fn middle(mut errors: [i64; FIRST]) -> i64 {
    errors.sort_unstable();
    errors.iter().skip(FIRST / 2 - 1).take(2).sum::<i64>() / 2
}

#[cfg(test)]
#[expect(clippy::indexing_slicing, reason = "tests")]
mod tests {
    use super::*;

    const FRAME: f64 = 1024.0 * 1e6 / 48_000.0;

    fn micros(millis: f64) -> MediaTime {
        #[expect(clippy::cast_possible_truncation, reason = "a few hours")]
        MediaTime::from_micros((millis * 1000.0) as i64)
    }

    /// A sender whose frame `n` is stamped, in milliseconds, as `stamp` says and arrives when `arrives` says: where each frame lies in
    /// the end, in microseconds.
    fn places(frames: u32, stamp: impl Fn(f64) -> f64, arrives: impl Fn(f64) -> f64) -> Vec<i64> {
        let mut line = SoundLine::default();
        let mut places: Vec<MediaTime> = Vec::new();
        for n in 0..frames {
            let n = f64::from(n);
            let place = line.place(micros(stamp(n).floor()), SoundLength::new(1024, 48_000), micros(arrives(n)));
            if let Some((frames, by)) = place.moved {
                for earlier in places.iter_mut().rev().take(frames) {
                    *earlier += by;
                }
            }
            places.push(place.at);
        }
        places.into_iter().map(MediaTime::as_micros).collect()
    }

    /// When frame `n` was recorded, in milliseconds.
    fn truth(n: f64) -> f64 {
        n * FRAME / 1000.0
    }

    /// How far each frame begins after the end of the one before it.
    fn gaps(places: &[i64]) -> Vec<f64> {
        places.windows(2).map(|pair| (pair[1] - pair[0]) as f64 - FRAME).collect()
    }

    fn worst(gaps: &[f64]) -> f64 {
        gaps.iter().fold(0.0, |worst, gap| worst.max(gap.abs()))
    }

    #[test]
    fn whole_milliseconds_do_not_move_the_sound_in_hours() {
        let places = places(600_000, truth, truth);
        assert!(worst(&gaps(&places)) < 1.5, "{}", worst(&gaps(&places)));
        assert!((places[599_999] as f64 / 1000.0 - truth(599_999.0)).abs() < 3.0);
    }

    #[test]
    fn rough_stamps_leave_no_gap() {
        let rough: [fn(f64) -> f64; 4] = [
            |n| truth((n / 2.0).floor() * 2.0),
            |n| (truth(n) / 32.0).floor() * 32.0,
            |n| truth(n) + if n % 2.0 < 1.0 { 10.0 } else { -10.0 },
            |n| truth((n / 6.0).floor() * 6.0),
        ];
        for stamp in rough {
            let places = places(20_000, stamp, truth);
            assert!(worst(&gaps(&places[8..])) < 50.0, "{}", worst(&gaps(&places)));
            let off = places[19_999] as f64 / 1000.0 - truth(19_999.0);
            assert!((-70.0..16.0).contains(&off), "{off}");
        }
    }

    #[test]
    fn sample_clock_that_drifts_is_followed_unheard() {
        for ppm in [-1000.0, -200.0, 200.0, 1000.0] {
            let stamp = |n| truth(n) * (1.0 + ppm / 1e6);
            let places = places(100_000, stamp, stamp);
            assert!(worst(&gaps(&places)) <= FRAME / 500.0 + 1.0);
            let off = (places[99_999] as f64 / 1000.0 - stamp(99_999.0)).abs();
            assert!(off < 17.0, "{ppm}: {off}");
        }
    }

    #[test]
    fn missing_sound_leaves_a_gap_of_its_length_where_it_is_missing() {
        for missing in [120.0, 300.0, 2000.0] {
            let stamp = |n| truth(n) + if n >= 500.0 { missing } else { 0.0 };
            let gaps = gaps(&places(1000, stamp, stamp));
            assert!((gaps[499] / 1000.0 - missing).abs() < 2.0, "{missing}: {}", gaps[499]);
            assert!(worst(&gaps[..499]) < 50.0 && worst(&gaps[500..]) < 50.0, "{missing}");
        }
    }

    #[test]
    fn sound_that_comes_twice_overlaps_where_it_does() {
        let stamp = |n| truth(n) - if n >= 500.0 { 300.0 } else { 0.0 };
        let gaps = gaps(&places(1000, stamp, truth));
        assert!((gaps[499] / 1000.0 + 300.0).abs() < 2.0, "{}", gaps[499]);
        assert!(worst(&gaps[..499]) < 50.0 && worst(&gaps[500..]) < 50.0);
    }

    #[test]
    fn short_loss_is_made_good_slowly() {
        let stamp = |n| truth(n) + if n >= 500.0 { 64.0 } else { 0.0 };
        let places = places(3000, stamp, stamp);
        assert!(worst(&gaps(&places)) < 50.0);
        assert!((places[2999] as f64 / 1000.0 - stamp(2999.0)).abs() < 10.0);
    }

    #[test]
    fn few_odd_stamps_are_nothing() {
        let stamp = |n: f64| truth(n) + if n % 100.0 > 93.0 { 5000.0 } else { 0.0 };
        let places = places(3000, stamp, truth);
        assert!(worst(&gaps(&places)) < 50.0);
    }

    #[test]
    fn stamps_at_a_wrong_speed_are_not_followed_but_a_wrong_rate_is() {
        let stamp = |n| truth(n) * 48_000.0 / 44_100.0;
        // Samples arrive as they are counted: the stamps are wrong.
        let right = places(3000, stamp, truth);
        assert!(worst(&gaps(&right)) < 50.0);
        assert!((right[2999] as f64 / 1000.0 - truth(2999.0)).abs() < 20.0);
        // They arrive as they are stamped: each lasts longer than its configuration says.
        let wrong = places(3000, stamp, stamp);
        let off = wrong[2999] as f64 / 1000.0 - stamp(2999.0);
        assert!(off.abs() < 150.0, "{off}");
    }

    #[test]
    fn stall_of_the_network_moves_nothing() {
        let arrives = |n| if (200.0..400.0).contains(&n) { truth(400.0) } else { truth(n) };
        let places = places(1000, truth, arrives);
        assert!(worst(&gaps(&places)) < 50.0);
    }
}
