//! Keeps a source's sound where its time stamps say, without steps: a sample more or less in a block. Pure.

use super::line::{RATE, Stereo};

/// The mean error is taken over about a second: RTMP's time stamps are whole milliseconds, so each is wrong by up to half of one.
const SMOOTHING_SECONDS: f64 = 1.0;

/// An error would be gone after so many seconds, at the speed at which it begins to go. A source that runs 1 ms/s off (ten
/// times the worst crystal) is followed 5 ms behind.
const CORRECTION_SECONDS: f64 = 5.0;

/// The most that is corrected: 0.2 %, 3.4 cents of pitch, which nobody hears.
const MAX_SLEW: f64 = 0.002;

/// An error nobody can hear or see, a quarter of a millisecond, is left alone, so that most sources are not touched at all.
const DEAD_ZONE: f64 = 0.000_25 * RATE as f64;

/// The controller. All its quantities are samples of the house's rate.
#[derive(Debug, Default)]
pub(super) struct Servo {
    error: f64,
    credit: f64,
}

impl Servo {
    /// Hears that the next `samples` samples would be placed `error` samples after where they belong, and says how many of
    /// them to add.
    pub(super) fn steer(&mut self, error: f64, samples: usize) -> isize {
        let seconds = samples as f64 / f64::from(RATE);
        self.error += (error - self.error) * (seconds / SMOOTHING_SECONDS).min(1.0);
        if self.error.abs() < DEAD_ZONE {
            return 0;
        }
        let most = MAX_SLEW * samples as f64;
        self.credit += (-self.error * seconds / CORRECTION_SECONDS).clamp(-most, most);
        let whole = self.credit.trunc();
        self.credit -= whole;
        self.error += whole;
        #[expect(clippy::cast_possible_truncation, reason = "a whole number far below 2^53: clamped above")]
        let whole = whole as isize;
        whole
    }
}

/// Appends `pcm`, stretched to `samples` samples, to `to`: cubic interpolation, exact at the first sample of a block.
pub(super) fn stretch(pcm: &[Stereo], samples: usize, to: &mut Vec<Stereo>) {
    if samples == pcm.len() {
        to.extend_from_slice(pcm);
        return;
    }
    let at = |index: usize| pcm.get(index).or(pcm.last()).copied().unwrap_or_default();
    for i in 0..samples {
        let position = i * pcm.len();
        let index = position / samples;
        let t = (position % samples) as f32 / samples as f32;
        let points = [at(index.saturating_sub(1)), at(index), at(index + 1), at(index + 2)];
        to.push([cubic(points.map(|[left, _]| left), t), cubic(points.map(|[_, right]| right), t)]);
    }
}

/// Catmull and Rom's cubic through the two middle points.
fn cubic([before, from, to, after]: [f32; 4], t: f32) -> f32 {
    let square = 2.0 * before - 5.0 * from + 4.0 * to - after;
    let cube = 3.0 * (from - to) + after - before;
    from + 0.5 * t * (to - before + t * (square + t * cube))
}

#[cfg(test)]
#[expect(clippy::cast_possible_truncation, reason = "tests")]
mod tests {
    use super::*;

    /// Ten minutes of frames at 44.1 kHz whose time stamps run `ppm` fast and are rounded to milliseconds, as RTMP's are. Gives
    /// the largest distance from the true time after the first half minute, in milliseconds, and how many samples the longest
    /// second differs from 48000.
    fn follow(ppm: f64) -> (f64, i64) {
        let mut servo = Servo::default();
        let (mut placed, mut given) = (0_i64, 0.0_f64);
        let (mut worst, mut second, mut slew) = (0.0_f64, 0_i64, 0_i64);
        let frame = 1024.0 * 48_000.0 / 44_100.0;
        for number in 0..25_840 {
            let start = given * (1.0 + ppm / 1e6);
            let stamp = (start / 48.0).round() * 48.0;
            let more = servo.steer(placed as f64 - stamp, 1115) as i64;
            if number > 1300 {
                worst = worst.max((placed as f64 - start).abs() / 48.0);
            }
            second += more;
            if number % 43 == 0 {
                slew = slew.max(second.abs());
                second = 0;
            }
            given += frame;
            placed = given.round() as i64 + (placed + more - (given - frame).round() as i64);
        }
        (worst, slew)
    }

    #[test]
    fn rounded_time_stamps_do_not_move_the_sound() {
        let (worst, slew) = follow(0.0);
        assert!(worst < 0.6, "{worst} ms");
        assert!(slew <= 2, "{slew} samples in a second");
    }

    #[test]
    fn a_clock_200_ppm_off_is_followed_for_ten_minutes() {
        for ppm in [200.0, -200.0] {
            let (worst, slew) = follow(ppm);
            assert!(worst < 2.0, "{worst} ms");
            assert!(slew <= 20, "{slew} samples in a second");
        }
    }

    #[test]
    fn a_clock_one_millisecond_a_second_off_is_followed() {
        for ppm in [1000.0, -1000.0] {
            let (worst, _) = follow(ppm);
            assert!(worst < 7.0, "{worst} ms");
        }
    }

    #[test]
    fn an_error_goes_without_overshoot() {
        let mut servo = Servo::default();
        let mut error = 720.0;
        for _ in 0..47 * 60 {
            error += servo.steer(error, 1024) as f64;
            assert!(error > -13.0, "{error}");
        }
        assert!(error < 13.0, "{error}");
    }

    #[test]
    fn stretching_keeps_a_tone_s_shape() {
        let tone = |position: f64| (position * std::f64::consts::TAU * 1000.0 / 48_000.0).sin() as f32;
        let block: Vec<Stereo> = (0..1024).map(|i| [tone(f64::from(i)), 0.5]).collect();
        for samples in [1022, 1023, 1024, 1025, 1026] {
            let mut stretched = Vec::new();
            stretch(&block, samples, &mut stretched);
            assert_eq!(stretched.len(), samples);
            for (i, [left, right]) in stretched.iter().enumerate() {
                let expected = tone(i as f64 * 1024.0 / samples as f64);
                assert!((left - expected).abs() < 0.01 || i + 2 > samples, "{i} of {samples}: {left} {expected}");
                assert!((right - 0.5).abs() < 1e-6);
            }
        }
    }
}
