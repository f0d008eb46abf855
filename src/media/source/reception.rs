//! The frames of a connection that is pulled, made one stream of many pulls.
//!
//! Each pull begins with a burst: the server's cache from the last key frame on. What of it was seen in an earlier pull is left out,
//! so that nothing is counted or spliced twice; what was missed in between is kept. A server may give each pull time stamps that
//! begin at zero; so whether two pulls lie on one line is told by a key frame that both brought.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use super::tap::{Gauge, Tap};
use crate::core::{
    frame::{Frame, MediaTime, Track},
    moment::Moment,
    oddity::Oddity,
    remark::Remark,
};

/// Key frames that are remembered; a pull begins with the latest one or with none of them.
const KEYFRAMES: usize = 4;
/// What is seen again comes in the first moments. Later than this nothing is left out, whatever its time stamp.
const BURST: Duration = Duration::from_secs(5);
/// Arrivals in the first moments say nothing about the network.
const SETTLING: Duration = Duration::from_secs(1);
/// A pull that begins without a key frame is believed to lie on the last one's line when it goes back or on by no more than this.
const BACK: MediaTime = MediaTime::from_millis(15_000);
const ON: MediaTime = MediaTime::from_millis(60_000);
/// Frames that are further apart than this have a hole between them, which is no time of the stream's.
const HOLE: MediaTime = MediaTime::from_millis(1000);

/// What a pull is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Its frames go to the pacing thread, for the cue with this number.
    Cue(u32),
    /// To see whether a key frame comes.
    Probe,
    /// Somebody looks at its figures.
    Look,
}

/// Where the frames of all pulls of one connection go.
pub(super) struct Reception {
    tap: Tap,
    /// The pull that is received; earlier ones deliver nothing more.
    number: u64,
    purpose: Option<Purpose>,
    /// When the pull began, by its first byte.
    begun: Option<Moment>,
    /// Its first frame was looked at.
    joined: bool,
    /// From the pull's time stamps to the line of those before.
    shift: MediaTime,
    keyframes: VecDeque<Seen>,
    measured: Progress,
    fed: Progress,
    /// The cue that `fed` is of.
    cue: u32,
    /// What a probe waits for: more of this than there was.
    goal: Option<Goal>,
    /// A frame has come, in whichever pull.
    heard: bool,
}

/// A key frame as it can be told from others.
struct Seen {
    dts: MediaTime,
    size: usize,
    end: [u8; 16],
}

#[derive(Clone, Copy)]
struct Goal {
    ready: bool,
    keyframes: u64,
    sounds: u64,
}

/// How far a stream has come.
#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    video: Latest,
    audio: Latest,
}

#[derive(Clone, Copy, Debug, Default)]
struct Latest {
    dts: Option<MediaTime>,
    /// What comes may have been seen before.
    repeats: bool,
}

impl Latest {
    /// Whether the frame is new, and notes it if so. All time stamps are 32-bit milliseconds and wrap.
    fn advance(&mut self, dts: MediaTime) -> bool {
        if self.repeats && self.dts.is_some_and(|last| after(last, dts) <= MediaTime::ZERO) {
            return false;
        }
        *self = Self { dts: Some(dts), repeats: false };
        true
    }
}

impl Progress {
    fn of(&mut self, track: Track) -> &mut Latest {
        match track {
            Track::Video => &mut self.video,
            Track::Audio => &mut self.audio,
        }
    }

    /// Another pull begins, on the same line or on another.
    fn join(&mut self, same: bool) {
        for latest in [&mut self.video, &mut self.audio] {
            *latest = if same { Latest { repeats: true, ..*latest } } else { Latest::default() };
        }
    }

    /// The burst is over.
    fn settle(&mut self) {
        self.video.repeats = false;
        self.audio.repeats = false;
    }
}

/// How long after `last` `dts` is, on a circle of 32-bit milliseconds.
fn after(last: MediaTime, dts: MediaTime) -> MediaTime {
    let difference = (dts - last).as_millis().rem_euclid(1 << 32);
    MediaTime::from_millis(if difference < 1 << 31 { difference } else { difference - (1 << 32) })
}

impl Seen {
    fn of(frame: &Frame) -> Self {
        let mut end = [0; 16];
        let tail = frame.payload.get(frame.payload.len().saturating_sub(16)..).unwrap_or_default();
        for (to, from) in end.iter_mut().zip(tail) {
            *to = *from;
        }
        Self { dts: frame.dts, size: frame.payload.len(), end }
    }

    fn is(&self, other: &Self) -> bool {
        self.size == other.size && self.end == other.end
    }
}

impl Reception {
    pub(super) fn new(tap: Tap) -> Self {
        Self {
            tap,
            number: 0,
            purpose: None,
            begun: None,
            joined: false,
            shift: MediaTime::ZERO,
            keyframes: VecDeque::with_capacity(KEYFRAMES),
            measured: Progress::default(),
            fed: Progress::default(),
            cue: 0,
            goal: None,
            heard: false,
        }
    }

    fn gauge(&self) -> &Arc<Gauge> {
        &self.tap.gauge
    }

    /// Another pull begins, the only one from now on. Gives its number.
    pub(super) fn begin(&mut self, purpose: Purpose) -> u64 {
        self.number += 1;
        self.purpose = Some(purpose);
        (self.begun, self.joined, self.shift) = (None, false, MediaTime::ZERO);
        self.goal = (purpose == Purpose::Probe).then(|| {
            let gauge = self.gauge();
            Goal { ready: gauge.is_ready(), keyframes: gauge.keyframes(), sounds: gauge.sounds() }
        });
        self.number
    }

    /// Nothing is received any more.
    pub(super) fn end(&mut self) {
        self.number += 1;
        self.purpose = None;
    }

    /// Whether a frame of the connection has ever come.
    pub(super) fn has_heard(&self) -> bool {
        self.heard
    }

    /// Whether pull `number` is the one that is received. Notes that bytes came.
    pub(super) fn receives(&mut self, number: u64, arrival: Moment) -> bool {
        let receives = self.number == number && self.purpose.is_some();
        if receives {
            self.begun.get_or_insert(arrival);
            if let Some(pulled) = self.gauge().pulled() {
                pulled.note_bytes(arrival);
            }
        }
        receives
    }

    /// Whether the probe has seen what it is for.
    pub(super) fn reached(&self) -> bool {
        let gauge = self.gauge();
        self.goal.is_some_and(|goal| {
            gauge.is_ready()
                && (!goal.ready
                    || gauge.keyframes() > goal.keyframes
                    || (!gauge.has_pictures() && gauge.sounds() > goal.sounds))
        })
    }

    /// A message was odd and left out. What a burst brings once more counts once more: it is a hint, no account.
    pub(super) fn odd(&self, oddity: Oddity) {
        self.tap.gauge.note_odd(oddity);
    }

    /// Wakes whoever waits for the probe's end. Once for each piece that was read, not for each frame.
    pub(super) fn look(&self) {
        if self.reached()
            && let Some(pulled) = self.gauge().pulled()
        {
            pulled.wake();
        }
    }

    /// Takes what is to be told about the stream.
    pub(super) fn remark(&self, remark: Remark) {
        self.gauge().remark(remark);
    }

    /// Takes a frame of the pull.
    pub(super) fn push(&mut self, mut frame: Frame, arrival: Moment) {
        if !self.joined {
            (self.joined, self.heard) = (true, true);
            self.join(&frame);
        } else if self.begun.is_some_and(|begun| arrival.since(begun) >= BURST) {
            self.measured.settle();
            self.fed.settle();
        }
        frame.dts += self.shift;
        frame.pts += self.shift;
        let last = self.measured.of(frame.track).dts;
        if self.measured.of(frame.track).advance(frame.dts) {
            if frame.track == Track::Video && frame.keyframe {
                if self.keyframes.len() == KEYFRAMES {
                    self.keyframes.pop_front();
                }
                self.keyframes.push_back(Seen::of(&frame));
            }
            self.tap.measure(&frame, arrival);
            self.note_time(&frame, last);
        }
        let Some(Purpose::Cue(cue)) = self.purpose else { return };
        if !self.gauge().is_fed_for(cue) {
            self.tap.skip();
        } else if self.fed.of(frame.track).advance(frame.dts) {
            self.tap.feed(frame, arrival);
        }
    }

    /// Looks whether the pull that begins with `frame` repeats what was seen, and where its line lies.
    fn join(&mut self, frame: &Frame) {
        let begins = frame.track == Track::Video && frame.keyframe;
        let same = if begins {
            let seen = Seen::of(frame);
            let known = self.keyframes.iter().rev().find(|known| known.is(&seen));
            if let Some(known) = known {
                self.shift = known.dts - frame.dts;
            }
            known.is_some()
        } else {
            self.measured.of(frame.track).dts.is_some_and(|last| {
                let on = after(last, frame.dts);
                on > -BACK && on < ON
            })
        };
        self.measured.join(same);
        self.fed.join(same);
        if let Some(Purpose::Cue(cue)) = self.purpose
            && cue != self.cue
        {
            // Another ring, which has nothing yet.
            self.cue = cue;
            self.fed = Progress::default();
            self.tap.skip();
        }
        self.tap.rejoin(same);
        if !(begins && same) {
            // Pictures before the next key frame follow from nothing that was kept.
            self.tap.skip();
        }
        if let Some(begun) = self.begun {
            self.tap.settle_at(begun + SETTLING);
        }
    }

    /// How much of the stream's own time was measured, by its leading track: arrivals tell nothing in a burst.
    fn note_time(&self, frame: &Frame, last: Option<MediaTime>) {
        let gauge = self.gauge();
        if let (Some(pulled), Some(last)) = (gauge.pulled(), last)
            && (frame.track == Track::Video) == gauge.has_pictures()
        {
            let step = after(last, frame.dts);
            if step > MediaTime::ZERO && step < HOLE {
                pulled.note_time(step);
            }
        }
    }
}
