//! How many pictures a second a stream has, by its own clock.

use std::collections::VecDeque;

use crate::core::frame::MediaTime;

/// What is looked back on.
const WINDOW: MediaTime = MediaTime::from_millis(5000);
/// Before that much has passed a figure would be wrong more often than right.
const SETTLED: MediaTime = MediaTime::from_millis(2000);
/// Three pictures are two distances: fewer tell nothing. Slow ones are kept for longer than the window.
const LEAST: usize = 3;
/// 240 a second for the whole window.
const MOST: usize = 1200;
/// A longer hole, or a step back, is another stretch of time.
const HOLE: MediaTime = MediaTime::from_millis(10_000);

/// The decoding time stamps of the latest pictures. What shares its stamp with the picture before is a part of that one.
#[derive(Debug, Default)]
pub(super) struct Cadence(VecDeque<MediaTime>);

impl Cadence {
    /// Begins anew.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Notes a picture. Returns pictures in a thousand seconds, once that can be said.
    pub(super) fn note(&mut self, dts: MediaTime) -> Option<u32> {
        match self.0.back() {
            Some(last) if *last == dts => {}
            Some(last) if dts < *last || dts - *last > HOLE => {
                self.0.clear();
                self.0.push_back(dts);
            }
            _ => self.0.push_back(dts),
        }
        while self.0.len() > MOST || self.0.len() > LEAST && self.0.get(1).is_some_and(|second| dts - *second >= WINDOW)
        {
            self.0.pop_front();
        }
        let passed = dts - *self.0.front()?;
        if self.0.len() < LEAST || passed < SETTLED && self.0.len() < MOST {
            return None;
        }
        let steps = u64::try_from(self.0.len() - 1).ok()?;
        let micros = u64::try_from(passed.as_micros()).ok().filter(|micros| *micros > 0)?;
        u32::try_from((steps * 1_000_000_000 + micros / 2) / micros).ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn last(stamps: impl IntoIterator<Item = i64>) -> Option<u32> {
        let mut cadence = Cadence::default();
        stamps.into_iter().map(|millis| cadence.note(MediaTime::from_millis(millis))).last().flatten()
    }

    #[test]
    fn nothing_is_said_before_it_has_settled_and_then_what_is_so() {
        assert_eq!(last((0..60).map(|n| n * 33)), None);
        for (step, rate) in [(40, 25_000), (20, 50_000), (8, 125_000), (1000, 1000), (2000, 500), (5000, 200)] {
            assert_eq!(last((0..800).map(|n| n * step)), Some(rate), "every {step} ms");
        }
    }

    #[test]
    fn parts_of_a_picture_and_stretches_apart_do_not_count() {
        assert_eq!(last((0..400).map(|n| n / 4 * 40)), Some(25_000), "four messages with one stamp");
        assert_eq!(last((0..100).map(|n| n * 40).chain((0..10).map(|n| n * 40))), None, "the clock went back");
        assert_eq!(last((0..100).map(|n| n * 40).chain((500..600).map(|n| n * 40))), Some(25_000), "a hole");
        assert_eq!(last((0..2000).map(|_| 7)), None, "a clock that stands");
    }

    proptest! {
        #[test]
        fn rate_that_is_told_is_within_a_twentieth_of_the_true_one(
            period in 8_000_i64..200_000, jitter in proptest::collection::vec(-3_i64..=3, 900),
        ) {
            let mut cadence = Cadence::default();
            let mut told = 0;
            for (n, off) in (0_i64..).zip(jitter) {
                if let Some(rate) = cadence.note(MediaTime::from_millis((n * period / 1000 + off).max(0))) {
                    told += 1;
                    let is = f64::from(rate) * period as f64 / 1e9;
                    // Stamps out of order begin another stretch; otherwise only their rounding shows.
                    prop_assert!((is - 1.0).abs() < 0.05, "{is}");
                }
            }
            prop_assert!(told > 0 || period < 12_000);
        }

        #[test]
        fn any_stamps_are_borne(stamps in proptest::collection::vec(any::<i64>(), 0..3000)) {
            let mut cadence = Cadence::default();
            for stamp in stamps {
                cadence.note(MediaTime::from_micros(stamp));
                prop_assert!(cadence.0.len() <= MOST);
            }
        }
    }
}
