//! Which frames leave, when, and with which programme time stamps. Pure: it is given frames and `now`.
//!
//! Every input lies on the programme's line, which counts presentation time, by one offset of its own. What is shown or heard within
//! the horizon is decided; the pacer lets it go at its decoding time.
//!
//! **The cut.** An input is left only at a *clean point*: everything before is shown before everything after. The next input's key
//! frame is shown one picture's duration after the latest that was: its offset is shifted to meet that. The sound changes
//! over at the same time.
//!
//! **The delay.** A key frame leaves one *delay* before it is shown, whoever it comes from: as long as those of the inputs that are cued
//! need, which is nothing without B-frames. It changes only from a cut on, or on the slate. Where it grows, the decoding times of
//! the next pictures draw together; where it shrinks, each is a little further from the one before, so that none of them is a step that a
//! platform notices. Presentation times go on as if nothing had happened.
//!
//! **As far behind live as promised.** A take that cannot wait enters at a key frame from the ring's past, and lies that much further
//! behind live. At the first key frame that comes it jumps to where it belongs: a cut from the input to itself.
//!
//! Picture and sound have a source each: when one starves, the slate's stands in for it alone.

mod audio;
mod input;
mod takeable;
mod video;

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;

use self::input::{Input, Pace};
pub use self::input::{LONGEST_PICTURE_HOLE, LONGEST_STILL};
use super::{
    frame::{CodecConfig, ConnectionId, Frame, MediaTime, Track},
    moment::Moment,
    queue::{TakeId, Urgency},
    timeline::LEAST_STEP,
};

/// Whose picture or sound it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// The stand-in picture and sound.
    Slate,
    /// A streamer's connection.
    Input(ConnectionId),
}

/// A frame of the programme.
#[derive(Clone, Debug)]
pub struct ProgramFrame {
    /// The frame, with its time stamps on the programme's line: microseconds since the programme started.
    pub frame: Frame,
    /// What it comes from: an input, or the slate.
    pub source: Source,
    /// Whether it is the first one of its track after another source (or after a break in its own): a decoder starts afresh here.
    pub splice: bool,
}

/// The slate, rendered and encoded once, looped for ever. Pictures have no B-frames.
#[derive(Clone, Debug)]
pub struct SlateLoop {
    /// H.264 configuration of the pictures.
    pub video: Arc<CodecConfig>,
    /// One loop; the first picture is an IDR, every one lasts `picture_duration`.
    pub pictures: Vec<SlatePicture>,
    /// How long one picture is shown: 1/30 s.
    pub picture_duration: MediaTime,
    /// AAC-LC, 48 kHz, stereo.
    pub audio: Arc<CodecConfig>,
    /// One loop of raw AAC frames of 1024 samples.
    pub sounds: Vec<Bytes>,
}

/// One picture of the slate.
#[derive(Clone, Debug)]
pub struct SlatePicture {
    /// Length-prefixed NAL units.
    pub payload: Bytes,
    /// Whether it is an IDR.
    pub keyframe: bool,
}

/// The switcher's constants of a run.
#[derive(Clone, Copy, Debug)]
pub struct SwitcherSettings {
    /// How long a frame waits: the stall that nobody sees.
    pub latency: MediaTime,
    /// How long before a frame is due it is decided upon: room for the house stage's work.
    pub horizon: MediaTime,
    /// Most bytes that one input's ring may hold.
    pub max_input_bytes: usize,
}

/// What happened, for the director.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SwitchEvent {
    /// The take's first picture (or sound) is decided.
    Taken(TakeId),
    /// Its input is gone.
    TakeFailed(TakeId),
    /// A track of the on-air input is missing; the slate stands in.
    Stalled(ConnectionId),
    /// All its tracks are back.
    Recovered(ConnectionId),
}

/// A planned take waits so long for a key frame to come before it takes one from the ring's past.
const PLANNED_WAIT: MediaTime = MediaTime::from_millis(3000);
/// A take that is wanted now waits so long for a key frame to come, when the old input can go on meanwhile.
const NOW_WAIT: MediaTime = MediaTime::from_millis(500);
/// How far behind its time a key frame may be entered anew at: less than what is gained.
const NEAREST: MediaTime = MediaTime::from_millis(200);
/// A slate that has been up for so long is a steady picture; before that it is a gap to be closed quickly.
const SLATE_STEADY: MediaTime = MediaTime::from_millis(1000);
/// The next frame of sound is so far away that the slate's silence stands in; a gap this short is filled by the house stage.
const SOUND_HOLE: MediaTime = MediaTime::from_millis(100);
/// Sound comes back only when so much of it is there, so that it does not flap.
const SOUND_RETURN: MediaTime = MediaTime::from_millis(200);
/// How long an input may wait for a key frame after the forced slate was lifted. OBS's default interval is 8.3 s.
const EXCUSED: MediaTime = MediaTime::from_millis(10_000);
/// By so much the delay shrinks from one picture to the next: with 25 a second the decoding times are 44 ms apart then, and with 120 still no
/// half a step more than usual.
const DELAY_SHRINKS: MediaTime = MediaTime::from_millis(4);
/// Decisions per track in one call at most, so that a clock that leapt cannot keep it for ever.
const MOST_PER_POLL: usize = 20_000;

/// Which source a track has. Inputs by their serial number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum On {
    Slate,
    Input(u64),
}

#[derive(Debug)]
struct VideoTrack {
    on: On,
    /// When the next picture is to be shown.
    leave: MediaTime,
    /// The latest decoding and presentation times that left.
    latest_dts: MediaTime,
    latest_pts: MediaTime,
    /// How long before its presentation a key frame leaves, and what that comes to.
    delay: MediaTime,
    settles: MediaTime,
    /// Decoding times of the group that leaves. Kept for its room.
    times: Vec<MediaTime>,
    splice: bool,
    /// The latest picture stands longer than was to be expected.
    stands: bool,
    /// Next picture of the slate's loop, and when the slate came up.
    slate_next: usize,
    slate_since: MediaTime,
}

impl VideoTrack {
    /// The delay comes to `wanted` from here on: at once if it grows.
    fn delay_for(&mut self, wanted: MediaTime) {
        self.settles = wanted;
        self.delay = self.delay.max(wanted);
    }

    /// A picture leaves: what is too much of the delay goes bit by bit.
    fn settle_delay(&mut self) {
        self.delay = (self.delay - DELAY_SHRINKS).max(self.settles);
    }
}

#[derive(Debug)]
struct AudioTrack {
    on: On,
    /// The end of the sound that left.
    end: MediaTime,
    splice: bool,
    slate_next: usize,
    /// Changes to come: the cut's pictures are decided before its sound.
    changes: VecDeque<(MediaTime, On)>,
}

#[derive(Debug)]
struct Pending {
    take: TakeId,
    input: u64,
    urgency: Urgency,
    ordered: MediaTime,
}

/// A key frame to enter at.
#[derive(Clone, Copy, Debug)]
struct Entry {
    input: u64,
    index: usize,
    /// When it is shown with `offset`.
    due: MediaTime,
    offset: MediaTime,
    /// The offset may be shifted to meet the cut.
    free: bool,
    /// Enter at once, however far `due` is from the cut.
    at_once: bool,
    take: Option<TakeId>,
}

/// The splicer.
#[derive(Debug)]
pub struct Switcher {
    settings: SwitcherSettings,
    slate: SlateLoop,
    /// The one that takes its place at the end of the loop.
    next_slate: Option<SlateLoop>,
    start: Moment,
    inputs: Vec<Input>,
    serial: u64,
    selected: Option<u64>,
    pending: Option<Pending>,
    forced: bool,
    video: VideoTrack,
    audio: AudioTrack,
    polled: MediaTime,
}

impl Switcher {
    /// A switcher that shows the slate; programme time zero is `start`.
    pub fn new(settings: SwitcherSettings, slate: SlateLoop, start: Moment) -> Self {
        Self {
            settings,
            slate,
            next_slate: None,
            start,
            inputs: Vec::new(),
            serial: 0,
            selected: None,
            pending: None,
            forced: false,
            video: VideoTrack {
                on: On::Slate,
                leave: MediaTime::ZERO,
                latest_dts: -LEAST_STEP,
                latest_pts: -LEAST_STEP,
                delay: MediaTime::ZERO,
                settles: MediaTime::ZERO,
                times: Vec::with_capacity(64),
                splice: true,
                stands: false,
                slate_next: 0,
                slate_since: MediaTime::from_millis(-10_000),
            },
            audio: AudioTrack {
                on: On::Slate,
                end: MediaTime::ZERO,
                splice: true,
                slate_next: 0,
                changes: VecDeque::with_capacity(8),
            },
            polled: MediaTime::ZERO,
        }
    }

    /// Programme time of a moment.
    pub fn program_time(&self, now: Moment) -> MediaTime {
        MediaTime::from(now) - MediaTime::from(self.start)
    }

    /// Begins to keep the frames of `connection`. One that is kept already stays as it is.
    pub fn cue(&mut self, connection: &ConnectionId) {
        if let Some(input) = self.inputs.iter_mut().find(|input| input.id == *connection && !input.ended) {
            input.kept = true;
            return;
        }
        self.serial += 1;
        self.inputs.push(Input::new(self.serial, connection.clone(), self.settings.max_input_bytes));
    }

    /// Keeps the frames of `connection` no longer, once it is not on air.
    pub fn uncue(&mut self, connection: &ConnectionId) {
        for input in self.inputs.iter_mut().filter(|input| input.id == *connection) {
            input.kept = false;
        }
    }

    /// The connection is over. What its ring holds still plays if it is on air.
    pub fn end(&mut self, connection: &ConnectionId) {
        for input in self.inputs.iter_mut().filter(|input| input.id == *connection) {
            input.ended = true;
        }
    }

    /// Connections that are kept at the moment.
    pub fn cued(&self) -> impl Iterator<Item = &ConnectionId> {
        self.inputs.iter().filter(|input| input.kept && !input.ended).map(|input| &input.id)
    }

    /// Whether the frames of `connection` are still of use: it is cued or on air.
    pub fn holds(&self, connection: &ConnectionId) -> bool {
        self.inputs.iter().any(|input| input.id == *connection && !input.ended)
    }

    /// Says that `connection` sends pictures, although none may have come this way yet: cued in the middle of a GOP, its sound is
    /// here up to a whole GOP before its first usable picture. It is not entered as sound alone.
    pub fn expect_pictures(&mut self, connection: &ConnectionId) {
        for input in self.inputs.iter_mut().filter(|input| input.id == *connection && !input.ended) {
            input.video_seen = true;
        }
    }

    /// Takes a frame of a cued connection; one that is not cued is left out.
    pub fn push(&mut self, connection: &ConnectionId, frame: Frame, arrival: Moment) {
        let arrival = self.program_time(arrival);
        let horizon = self.polled + self.settings.horizon + self.video.delay;
        let waits_for_picture = self.video.on == On::Slate;
        let Some(input) = self.inputs.iter_mut().rev().find(|input| input.id == *connection && !input.ended) else {
            return;
        };
        let keyframe = frame.keyframe && frame.track == Track::Video;
        input.push(frame, arrival);
        if keyframe
            && waits_for_picture
            && let (Some(picture), Some(offset)) = (input.video.back(), input.offset)
        {
            input.late_keyframes = if picture.place.pts + offset < horizon { input.late_keyframes + 1 } else { 0 };
        }
    }

    /// Orders a take, instead of any that is pending.
    pub fn take(&mut self, take: TakeId, connection: &ConnectionId, urgency: Urgency, now: Moment) {
        self.cue(connection);
        let ordered = self.program_time(now);
        if let Some(input) = self.inputs.iter().rev().find(|input| input.id == *connection && !input.ended) {
            self.pending = Some(Pending { take, input: input.serial, urgency, ordered });
        }
    }

    /// Gives a pending take up; one that has happened stays.
    pub fn cancel(&mut self, take: TakeId) {
        if self.pending.as_ref().is_some_and(|pending| pending.take == take) {
            self.pending = None;
        }
    }

    /// Nobody is on air.
    pub fn clear(&mut self) {
        self.pending = None;
        self.selected = None;
    }

    /// The slate covers whoever is on air.
    pub fn force_slate(&mut self, on: bool) {
        if self.forced && !on {
            // Covered, it was not followed: it returns at its next key frame, which is nobody's fault.
            let until = self.polled + EXCUSED;
            if let Some(input) = self.selected.and_then(|serial| self.input_mut(serial)) {
                input.excused = until;
            }
        }
        self.forced = on;
    }

    /// Another slate takes the place of this one: at its next loop if it is seen, so that the new one begins with its key frame.
    pub fn set_slate(&mut self, slate: SlateLoop) {
        self.next_slate = Some(slate);
    }

    /// Whose picture and whose sound leave.
    pub fn on_air(&self) -> (Source, Source) {
        (self.source(self.video.on), self.source(self.audio.on))
    }

    /// Who was taken last and is on air still: seen, stalled or covered.
    pub fn selected(&self) -> Option<&ConnectionId> {
        self.input(self.selected?).map(|input| &input.id)
    }

    /// Bytes that the rings hold.
    #[cfg(test)]
    fn ring_bytes(&self) -> usize {
        self.inputs.iter().map(Input::bytes).sum()
    }

    /// Decides everything that is due by the horizon: appends the frames that leave to `out`, each track in decoding order, and what
    /// happened to `events`.
    pub fn poll(&mut self, now: Moment, out: &mut Vec<ProgramFrame>, events: &mut Vec<SwitchEvent>) {
        let now = self.program_time(now);
        self.follow(now);
        let _ = (0..MOST_PER_POLL).find(|_| !self.video_step(now, out, events));
        let _ = (0..MOST_PER_POLL).find(|_| !self.audio_step(now, out));
        self.settle_stalls(now, events);
        self.polled = now;
    }

    fn follow(&mut self, now: MediaTime) {
        let passed = now - self.polled;
        let heard = now + self.settings.horizon;
        let shown = heard + self.video.delay;
        let (pace, to_come) = (self.pace(), Pace { delay: self.wanted_delay(), ..self.pace() });
        for at in 0..self.inputs.len() {
            let Some(serial) = self.inputs.get(at).map(|input| input.serial) else {
                break;
            };
            let (video, audio, bound) =
                (self.video.on == On::Input(serial), self.audio.on == On::Input(serial), self.is_bound(serial));
            if let Some(input) = self.inputs.get_mut(at) {
                input.follow(now, passed, if bound { pace } else { to_come }, bound);
                input.trim(shown, heard, video, audio);
                if bound && !video && input.late_keyframes >= 2 {
                    // The sound was followed, and the pictures come later than it allows: both start afresh.
                    input.follow_now(now, pace);
                }
            }
        }
    }

    fn pace(&self) -> Pace {
        Pace { latency: self.settings.latency, delay: self.video.delay }
    }

    /// The delay that the inputs at hand need.
    fn wanted_delay(&self) -> MediaTime {
        self.inputs.iter().map(Input::delay).max().unwrap_or_default()
    }

    /// Whether something of the input is on air, so that its offset must not move freely.
    fn is_bound(&self, serial: u64) -> bool {
        let on = On::Input(serial);
        self.video.on == on || self.audio.on == on || self.audio.changes.iter().any(|(_, to)| *to == on)
    }

    /// A track of the input ran dry. When nothing of it is on air any more it is placed afresh once it is back.
    fn starved(&mut self, serial: u64) {
        if !self.is_bound(serial)
            && let Some(input) = self.input_mut(serial)
        {
            input.forget_lateness();
        }
    }

    fn source(&self, on: On) -> Source {
        match on {
            On::Slate => Source::Slate,
            On::Input(serial) => self.input(serial).map_or(Source::Slate, |input| Source::Input(input.id.clone())),
        }
    }

    fn input(&self, serial: u64) -> Option<&Input> {
        self.inputs.iter().find(|input| input.serial == serial)
    }

    fn input_mut(&mut self, serial: u64) -> Option<&mut Input> {
        self.inputs.iter_mut().find(|input| input.serial == serial)
    }

    /// Reports stalls and recoveries, forgets inputs that are over.
    fn settle_stalls(&mut self, now: MediaTime, events: &mut Vec<SwitchEvent>) {
        let (video, audio) = (self.video.on, self.audio.on);
        let changing = !self.audio.changes.is_empty();
        let forced = self.forced;
        if let Some(serial) = self.selected
            && let Some(input) = self.input_mut(serial)
        {
            let on = On::Input(serial);
            let picture_missing = input.video_seen && video != on;
            let sound_missing = input.audio_seen && audio != on && !changing;
            // A sound that starts after its pictures is not a stall.
            let entering = !input.stalled
                && match input.offset {
                    None => !input.heard,
                    Some(offset) => input.audio.front().is_some_and(|sound| sound.at + offset > now),
                };
            let excused = now < input.excused && !(input.video.is_empty() && input.audio.is_empty());
            let missing = !forced && !excused && (picture_missing || (sound_missing && !entering));
            if missing && !input.stalled {
                input.stalled = true;
                events.push(SwitchEvent::Stalled(input.id.clone()));
            } else if !missing && input.stalled && !forced {
                input.stalled = false;
                events.push(SwitchEvent::Recovered(input.id.clone()));
            }
        }
        let pending = self.pending.as_ref().map(|pending| pending.input);
        if let Some(serial) = self.selected
            && !self.is_bound(serial)
            && self.input(serial).is_none_or(|input| input.ended)
        {
            self.selected = None;
        }
        let (selected, changes) = (self.selected, &self.audio.changes);
        self.inputs.retain(|input| {
            let on = On::Input(input.serial);
            let bound = video == on || audio == on || changes.iter().any(|(_, to)| *to == on);
            bound || pending == Some(input.serial) || (!input.ended && (input.kept || selected == Some(input.serial)))
        });
    }
}

#[cfg(test)]
mod tests;
