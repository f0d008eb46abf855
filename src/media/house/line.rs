//! The sample line: where decoded sound is placed on the programme's clock. Pure.

use std::f32::consts::PI;

/// The house's sample rate.
pub(super) const RATE: u32 = 48_000;

/// One sample of left and right, full scale at 1.
pub(in crate::media) type Stereo = [f32; 2];

/// Samples in one frame of AAC, which is what leaves at a time.
pub(in crate::media) const BLOCK: usize = 1024;

/// Samples of a fade: 5 ms, too short to be noticed, long enough not to click.
pub(super) const FADE: usize = 240;

/// The programme's sound as one unbroken row of samples. A sample is known by its index, counted from the programme's first.
#[derive(Debug, Default)]
pub(super) struct Line {
    /// Placed and not taken yet. The last [`FADE`] of them stay, so that they can still be faded out.
    pending: Vec<Stereo>,
    /// Index of the next sample to be placed.
    end: i64,
    /// Samples of the fade-in that are still to come.
    fading: usize,
    /// Whether the last samples are sound rather than filled-in silence.
    sounding: bool,
}

impl Line {
    /// Index of the next sample.
    pub(super) fn end(&self) -> i64 {
        self.end
    }

    /// Places `pcm` at index `start`: what lies before the end is left out, a gap before it is silence.
    pub(super) fn place(&mut self, start: i64, pcm: &[Stereo]) {
        if pcm.is_empty() {
            return;
        }
        let late = usize::try_from(self.end - start).unwrap_or(0);
        let Some(pcm) = pcm.get(late..).filter(|rest| !rest.is_empty()) else {
            // Nothing is heard of it, so what comes after it does not follow what was heard before.
            self.interrupt();
            return;
        };
        if late > 0 {
            self.interrupt();
        } else {
            self.silence_until(start);
        }
        if !self.sounding {
            self.fading = FADE;
        }
        self.sounding = true;
        let first = self.pending.len();
        self.pending.extend_from_slice(pcm);
        self.end += count(pcm.len());
        for sample in self.pending.iter_mut().skip(first).take(self.fading) {
            scale(sample, rise(FADE - self.fading));
            self.fading -= 1;
        }
    }

    /// Fills up to index `end` with silence.
    pub(super) fn silence_until(&mut self, end: i64) {
        if let Some(missing) = usize::try_from(end - self.end).ok().filter(|&missing| missing > 0) {
            self.interrupt();
            self.pending.resize(self.pending.len() + missing, [0.0; 2]);
            self.end = end;
        }
    }

    /// The sound stops here: fades out what is at the end, and will fade in what comes next.
    pub(super) fn interrupt(&mut self) {
        if self.sounding {
            self.sounding = false;
            for (after, sample) in self.pending.iter_mut().rev().take(FADE).enumerate() {
                scale(sample, rise(after));
            }
        }
    }

    /// Takes the oldest block, once it cannot change any more.
    pub(super) fn take_block(&mut self, block: &mut Vec<Stereo>) -> bool {
        let ready = self.pending.len() >= BLOCK + FADE;
        if ready {
            block.clear();
            block.extend(self.pending.drain(..BLOCK));
        }
        ready
    }

    /// Leaves out about `samples` samples of silence that nobody will hear, whole blocks; says how many.
    pub(super) fn skip(&mut self, samples: i64) -> i64 {
        self.interrupt();
        let skipped = samples - samples.rem_euclid(count(BLOCK));
        self.end += skipped;
        skipped
    }
}

/// A number of samples as a difference of two indices.
pub(super) fn count(samples: usize) -> i64 {
    i64::try_from(samples).unwrap_or(i64::MAX)
}

/// A fade-in's factor, half a cosine, `step` samples after its silent end.
fn rise(step: usize) -> f32 {
    0.5 - 0.5 * (PI * step as f32 / FADE as f32).cos()
}

fn scale(sample: &mut Stereo, by: f32) {
    for channel in sample {
        *channel *= by;
    }
}

#[cfg(test)]
#[expect(clippy::indexing_slicing, clippy::float_cmp, reason = "tests")]
mod tests {
    use super::*;

    fn all(line: &Line) -> Vec<f32> {
        line.pending.iter().map(|[left, _]| *left).collect()
    }

    #[test]
    fn a_gap_is_silence_between_fades() {
        let mut line = Line::default();
        line.place(0, &[[1.0; 2]; 1000]);
        line.place(1500, &[[1.0; 2]; 1000]);
        let samples = all(&line);
        assert_eq!((samples.len(), line.end()), (2500, 2500));
        assert!(samples[FADE..1000 - FADE].iter().all(|&sample| sample == 1.0));
        assert!(samples[1000..1500].iter().all(|&sample| sample == 0.0));
        assert!(samples[1500 + FADE..].iter().all(|&sample| sample == 1.0));
        assert!(samples.windows(2).all(|pair| (pair[0] - pair[1]).abs() < 0.01), "a click");
    }

    #[test]
    fn an_overlap_is_trimmed_from_what_comes_later() {
        let mut line = Line::default();
        line.place(0, &[[1.0; 2]; 1000]);
        line.place(700, &[[0.5; 2]; 1000]);
        let samples = all(&line);
        assert_eq!((samples.len(), line.end()), (1700, 1700));
        assert_eq!((samples[500], samples[1000 + FADE]), (1.0, 0.5));
        assert!(samples.windows(2).all(|pair| (pair[0] - pair[1]).abs() < 0.01), "a click");
    }

    #[test]
    fn what_is_wholly_late_is_not_heard() {
        let mut line = Line::default();
        line.silence_until(3000);
        line.place(1000, &[[1.0; 2]; 1000]);
        assert_eq!(line.end(), 3000);
        assert!(all(&line).iter().all(|&sample| sample == 0.0));
    }

    #[test]
    fn sound_that_follows_itself_is_not_touched() {
        let mut line = Line::default();
        for start in (0..10_000).step_by(1000) {
            line.place(start, &[[0.25; 2]; 1000]);
            line.place(start + 1000, &[]);
        }
        assert!(all(&line)[FADE..].iter().all(|&sample| sample == 0.25));
    }

    #[test]
    fn a_fade_reaches_over_what_comes_in_pieces() {
        let mut line = Line::default();
        for start in (0..1000).step_by(10) {
            line.place(start, &[[1.0; 2]; 10]);
        }
        let samples = all(&line);
        assert!(samples.windows(2).all(|pair| (pair[0] - pair[1]).abs() < 0.01), "a click");
        assert_eq!((samples[0], samples[FADE]), (0.0, 1.0));
    }

    #[test]
    fn the_last_five_milliseconds_can_still_be_faded() {
        let mut line = Line::default();
        line.place(0, &[[1.0; 2]; BLOCK + FADE - 1]);
        let mut block = Vec::new();
        assert!(!line.take_block(&mut block));
        line.place(line.end(), &[[1.0; 2]; 1]);
        assert!(line.take_block(&mut block));
        assert_eq!(block.len(), BLOCK);
        assert_eq!(line.pending.len(), FADE);
        assert!(!line.take_block(&mut block));
    }
}
