//! Whether an input could be taken now, judged before anybody wants to.
//!
//! Two look at it. Of every input, cued or not, [`Fitness`] sees the time stamps alone, by the same [`Timeline`] that decides where its
//! frames belong; of a cued one the switcher says besides whether its ring has a key frame to enter at. What both say goes through
//! [`Confidence`], so that nobody is ready and not ready in turns.

use std::{collections::VecDeque, mem::discriminant, time::Duration};

use super::{
    frame::MediaTime,
    moment::Moment,
    timeline::{PlaceError, SoundLength, Timeline},
};

/// An older key frame than this is not entered at: the rest of the turn would lag by that. OBS's default interval is 8.3 s.
pub const MOST_LAG: MediaTime = MediaTime::from_millis(10_000);
/// The two tracks may lie so far apart: a take waits for the later one, and nobody waits longer than 4 s.
pub const MOST_APART: MediaTime = MediaTime::from_millis(4000);
/// Sound alone can be taken after so long without any picture.
const SOUND_ALONE: MediaTime = MediaTime::from_millis(3000);
/// Steps of a track's time stamps that are looked at: at most so many, and none older than this.
const STEPS: usize = 64;
const WINDOW: MediaTime = MediaTime::from_millis(3000);
/// So many steps say how the time stamps run. A source too slow for that is believed after `SLOW`.
const ENOUGH: usize = 8;
const SLOW: MediaTime = MediaTime::from_millis(1000);
/// A step that is shorter than this is no sign of stamps in another unit than milliseconds: 90 kHz makes a second out of 11 ms.
const LONG_STEP: MediaTime = MediaTime::from_millis(250);
/// Stamps run too fast when most steps are so many times as long as the time between two arrivals.
const TOO_FAST: i64 = 4;
/// Stamps stand when they progress by less than this part of the time.
const STANDING: i64 = 20;
/// Less time than this says nothing of that: frames come in bursts.
const LEAST_SPAN: MediaTime = MediaTime::from_millis(400);

/// What was judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Takeable {
    /// It can be taken now.
    Yes,
    /// That is not known yet: too little of it has come, or it is just catching up.
    #[default]
    Unknown,
    /// It cannot.
    No(Unfit),
}

/// Why an input that sends cannot be taken, in words for its streamer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// Pictures, and no IDR among them.
    #[error(
        "your encoder sends no key frames (IDR pictures); set the keyframe interval to 2 s and switch intra refresh off"
    )]
    NoKeyframe,
    /// The last IDR is too long ago.
    #[error(
        "no key frame (IDR picture) has come from your encoder for too long; set the keyframe interval to 2 s, and switch open GOP and intra refresh off"
    )]
    NoEntry,
    /// It never comes to rest: frames arrive faster or slower than their time stamps say.
    #[error(
        "your stream arrives faster than its time stamps say, or in bursts without end; restart the stream, and look whether the line is steady"
    )]
    Unsettled,
    /// Pictures are reordered over too long a time.
    #[error("your encoder reorders pictures too far; set B-frames to 2 or less")]
    Reordered,
    /// Time stamps of another unit than milliseconds, or that leap about.
    #[error(
        "your time stamps run too fast: they should count milliseconds; look at the encoder's settings and restart the stream"
    )]
    Fast,
    /// All time stamps are the same.
    #[error(
        "your time stamps stand still: all pictures or sounds are sent with the same one; restart the stream, or the encoder"
    )]
    Still,
    /// The tracks count from different zeros.
    #[error(
        "your pictures and your sound are {} s apart by their time stamps; restart the stream, or the encoder", .0.as_millis() / 1000
    )]
    Apart(MediaTime),
    /// Nothing is wrong that can be seen, and yet a take did not happen.
    #[error(
        "your stream was to go on air, and no picture that a broadcast can begin with came in time; set the keyframe interval to 2 s"
    )]
    NotTaken,
}

impl Unfit {
    /// Whether it is a property of the stream, which one more key frame does not change.
    const fn is_lasting(self) -> bool {
        matches!(self, Self::Reordered | Self::Fast | Self::Still | Self::Apart(_))
    }
}

/// How the time stamps of one track run.
#[derive(Clone, Debug)]
struct Pace {
    last: Option<MediaTime>,
    first: MediaTime,
    /// When it arrived, and how far the time stamp is from the one before.
    steps: VecDeque<(MediaTime, MediaTime)>,
}

impl Pace {
    fn new() -> Self {
        Self { last: None, first: MediaTime::ZERO, steps: VecDeque::with_capacity(STEPS) }
    }

    fn note(&mut self, dts: MediaTime, arrival: MediaTime) {
        let Some(last) = self.last.replace(dts) else {
            self.first = arrival;
            return;
        };
        // 32-bit milliseconds, which wrap.
        let step = (dts - last).as_millis().rem_euclid(1 << 32);
        let step = MediaTime::from_millis(if step < 1 << 31 { step } else { step - (1 << 32) });
        if self.steps.len() == STEPS {
            self.steps.pop_front();
        }
        self.steps.push_back((arrival, step));
        while self.steps.front().is_some_and(|(at, _)| arrival - *at > WINDOW) {
            self.steps.pop_front();
        }
    }

    /// Whether enough is known of it.
    fn is_known(&self, now: MediaTime) -> bool {
        self.steps.len() >= ENOUGH || (self.last.is_some() && now - self.first >= SLOW)
    }

    fn flaw(&self) -> Option<Unfit> {
        let (first, last) = (self.steps.front()?.0, self.steps.back()?.0);
        let count = i64::try_from(self.steps.len()).unwrap_or(i64::MAX);
        if self.steps.len() < ENOUGH {
            return None;
        }
        let span = last - first;
        let apart = MediaTime::from_micros(span.as_micros() / count * TOO_FAST);
        let long = self.steps.iter().filter(|(_, step)| step.abs() >= LONG_STEP && step.abs() >= apart).count();
        if long * 5 >= self.steps.len() * 4 {
            return Some(Unfit::Fast);
        }
        let progress: i64 = self.steps.iter().skip(1).map(|(_, step)| step.as_micros()).sum();
        (span >= LEAST_SPAN && progress.saturating_abs().saturating_mul(STANDING) < span.as_micros())
            .then_some(Unfit::Still)
    }
}

/// Judges one input by what its frames say of themselves.
#[derive(Clone, Debug)]
pub struct Fitness {
    timeline: Timeline,
    video: Pace,
    audio: Pace,
    /// The newest IDR's decoding time as sent while no picture has come after it.
    fresh: Option<MediaTime>,
    /// That of the newest one that a take could begin at: a picture has followed.
    entry: Option<MediaTime>,
    reordered: bool,
}

impl Default for Fitness {
    fn default() -> Self {
        Self {
            timeline: Timeline::new(),
            video: Pace::new(),
            audio: Pace::new(),
            fresh: None,
            entry: None,
            reordered: false,
        }
    }
}

impl Fitness {
    /// Takes note of a frame of sound with its raw time stamp.
    pub fn note_sound(&mut self, stamp: MediaTime, length: SoundLength, arrival: MediaTime) {
        self.audio.note(stamp, arrival);
        self.timeline.place_sound(stamp, length, arrival);
    }

    /// Takes note of a picture with its raw time stamps.
    pub fn note_picture(&mut self, dts: MediaTime, pts: MediaTime, keyframe: bool, arrival: MediaTime) {
        self.video.note(dts, arrival);
        match self.timeline.place(dts, pts, keyframe, arrival) {
            Ok(place) => {
                self.entry = self.fresh.take().or(self.entry);
                if keyframe {
                    (self.fresh, self.reordered) = (Some(place.sent), false);
                }
            }
            Err(PlaceError::NoKeyframe) => {}
            Err(_) => self.reordered = true,
        }
    }

    /// Whether it could be taken at `now`.
    pub fn judge(&self, now: MediaTime) -> Takeable {
        if let Some(flaw) = self.video.flaw().or_else(|| self.audio.flaw()) {
            return Takeable::No(flaw);
        }
        if self.reordered {
            return Takeable::No(Unfit::Reordered);
        }
        let pictures = self.video.last.is_some();
        let leading = if pictures { &self.video } else { &self.audio };
        if !leading.is_known(now) || !self.timeline.settled(now) {
            return Takeable::Unknown;
        }
        if !pictures {
            let alone = self.audio.last.is_some() && now - self.audio.first >= SOUND_ALONE;
            return if alone { Takeable::Yes } else { Takeable::Unknown };
        }
        let Some(sent) = self.entry else { return Takeable::Unknown };
        let Some(lateness) = self.timeline.least_lateness(now) else { return Takeable::Unknown };
        if let Some(apart) = self.timeline.apart(now).filter(|apart| *apart > MOST_APART) {
            return Takeable::No(Unfit::Apart(apart));
        }
        if now - (sent + lateness) > MOST_LAG {
            return Takeable::No(Unfit::NoEntry);
        }
        Takeable::Yes
    }
}

/// What changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turned {
    /// It is ready.
    Ready,
    /// It is not, or not any more, or for another reason than before.
    Unfit(Unfit),
}

/// Who was ready is not any more once it could not be taken for so long at least, or two key frame intervals, or `LONGEST_DOUBT`.
const LEAST_DOUBT: Duration = Duration::from_secs(2);
const LONGEST_DOUBT: Duration = Duration::from_secs(4);
/// A stream that cannot be taken whatever comes gets so long: longer than a leap of the time stamps is seen.
const LASTING_DOUBT: Duration = Duration::from_millis(500);
/// Who was ready and could not be taken has to be fit for so long to be ready again, twice as long each time.
const PROOF: Duration = Duration::from_secs(4);
const MOST_DOUBLED: u32 = 4;
/// Who was ready for so long is believed as at first.
const FORGIVEN: Duration = Duration::from_mins(5);

/// Whether an input counts as ready, by what was judged of it over time.
#[derive(Clone, Debug, Default)]
pub struct Confidence {
    ready: Option<Moment>,
    fit_since: Option<Moment>,
    unfit_since: Option<Moment>,
    /// How often it was not what it seemed.
    failures: u32,
    why: Option<Unfit>,
}

impl Confidence {
    /// Whether it counts as ready.
    pub const fn is_ready(&self) -> bool {
        self.ready.is_some()
    }

    /// Why it does not, though it sends.
    pub const fn why(&self) -> Option<Unfit> {
        self.why
    }

    /// Looks at what is judged at `now`. `interval`: between its key frames, if known.
    pub fn look(&mut self, judged: Takeable, interval: Option<Duration>, now: Moment) -> Option<Turned> {
        match (judged, self.ready) {
            (Takeable::Yes, None) => {
                let since = *self.fit_since.get_or_insert(now);
                let proof = match self.failures {
                    0 => Duration::ZERO,
                    failures => PROOF.saturating_mul(1 << (failures - 1).min(MOST_DOUBLED)),
                };
                (now.since(since) >= proof).then(|| {
                    *self = Self { ready: Some(now), failures: self.failures, ..Self::default() };
                    Turned::Ready
                })
            }
            (Takeable::Yes, Some(since)) => {
                self.unfit_since = None;
                if now.since(since) >= FORGIVEN {
                    self.failures = 0;
                }
                None
            }
            (Takeable::No(why), None) => {
                self.fit_since = None;
                self.say(why)
            }
            (Takeable::Unknown, None) => {
                self.fit_since = None;
                None
            }
            (judged, Some(_)) => {
                let (why, limit) = match judged {
                    Takeable::No(why) if why.is_lasting() => (why, LASTING_DOUBT),
                    Takeable::No(why) => (why, doubt(interval)),
                    Takeable::Unknown | Takeable::Yes => (Unfit::Unsettled, doubt(interval)),
                };
                let since = *self.unfit_since.get_or_insert(now);
                if now.since(since) < limit { None } else { self.fail(why) }
            }
        }
    }

    /// Nothing comes, so that nothing can be said of it.
    pub fn pause(&mut self) {
        (self.fit_since, self.unfit_since) = (None, None);
    }

    /// A take of it did not happen.
    pub fn not_taken(&mut self, judged: Takeable) -> Option<Turned> {
        self.fail(match judged {
            Takeable::No(why) => why,
            Takeable::Yes | Takeable::Unknown => Unfit::NotTaken,
        })
    }

    fn fail(&mut self, why: Unfit) -> Option<Turned> {
        // Where only a key frame was missing, the next one is the proof.
        let failed = u32::from(why != Unfit::NoEntry);
        *self = Self { failures: self.failures.saturating_add(failed), ..Self::default() };
        self.say(why)
    }

    fn say(&mut self, why: Unfit) -> Option<Turned> {
        let news = self.why.is_none_or(|said| discriminant(&said) != discriminant(&why));
        self.why = Some(why);
        news.then_some(Turned::Unfit(why))
    }
}

/// How long an input that counts as ready may have no way in.
fn doubt(interval: Option<Duration>) -> Duration {
    interval.map_or(LONGEST_DOUBT, |interval| interval.saturating_mul(2).clamp(LEAST_DOUBT, LONGEST_DOUBT))
}

#[cfg(test)]
mod tests;
