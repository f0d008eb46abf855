//! One cued input: its ring of frames, and its offset to the programme's line.

use std::collections::VecDeque;

use crate::core::{
    flv,
    frame::{ConnectionId, Frame, MediaTime, Track},
    timeline::{LEAST_STEP, MOST_REORDERING, Place, PlaceError, SoundLength, Timeline},
};

/// The slate stands in at the latest when the next picture of a stream of slow pictures is so far away.
pub const LONGEST_PICTURE_HOLE: MediaTime = MediaTime::from_millis(5000);
/// A picture stands no longer than this while its sound goes on: somebody who shares a screen reads for so long, and a camera that
/// died is no longer looked at.
pub const LONGEST_STILL: MediaTime = MediaTime::from_millis(10_000);
/// The slate stands in when the next picture is so far away: longer than any encoder's frame drops should be seen, ...
const PICTURE_HOLE: MediaTime = MediaTime::from_millis(500);
/// ... or for a stream of slow pictures when it is so many halves of its pictures' distance away.
const PICTURE_HOLE_HALVES: i64 = 5;

/// How fast the offset follows a drifting clock: 1 ms a second, which is ten times what a bad crystal does and no ear hears.
const SLEW_DIVISOR: i64 = 1000;
/// Differences below this are jitter, not drift.
const SLEW_FROM: MediaTime = MediaTime::from_millis(5);
/// What a frame costs in a ring besides its payload: so that a flood of tiny frames is bounded too.
const FRAME_OVERHEAD: usize = 256;
/// An input that lies further behind live than it has to by this is entered anew at its next key frame; less is left to the slew.
const REENTER_FROM: MediaTime = MediaTime::from_millis(250);

/// How the programme leaves.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// How long a frame waits.
    pub(super) latency: MediaTime,
    /// How long before its presentation a key frame leaves.
    pub(super) delay: MediaTime,
}

/// A picture in the ring.
#[derive(Debug)]
pub(super) struct Picture {
    pub(super) place: Place,
    pub(super) frame: Frame,
    /// The latest presentation time of all pictures before this one.
    shown_before: MediaTime,
    /// Nothing seen so far contradicts that all before is shown before this one and all after it.
    clean: bool,
}

/// A frame of sound in the ring.
#[derive(Debug)]
pub(super) struct Sound {
    /// When it sounds, on the input's line.
    pub(super) at: MediaTime,
    pub(super) frame: Frame,
    pub(super) duration: MediaTime,
}

#[expect(clippy::struct_excessive_bools, reason = "independent facts about one input")]
#[derive(Debug)]
pub(super) struct Input {
    /// This input's number in the switcher; a connection that is cued twice has two.
    pub(super) serial: u64,
    pub(super) id: ConnectionId,
    timeline: Timeline,
    spacing: Spacing,
    pub(super) video: VecDeque<Picture>,
    pub(super) audio: VecDeque<Sound>,
    bytes: usize,
    max_bytes: usize,
    /// From this input's line to the programme's. None until it is known how late the frames are.
    pub(super) offset: Option<MediaTime>,
    /// The offset before it was entered anew, for the sound that is heard before that.
    pub(super) heard_with: Option<MediaTime>,
    /// The decoding time stamp of the latest picture.
    stamped: Option<MediaTime>,
    latest_pts: MediaTime,
    /// When the newest key frame is shown, and whether pictures that came after one were shown before it.
    keyframe_pts: MediaTime,
    leads: bool,
    newest_sent: MediaTime,
    /// Pictures shown before this one are leading pictures of the key frame it was entered at.
    pub(super) entered_at: MediaTime,
    /// Pictures were dropped: those that come are of no use before the next key frame.
    cut_off: bool,
    /// It sends pictures, as far as is known.
    pub(super) video_seen: bool,
    /// Its sound has been on air since it was taken.
    pub(super) heard: bool,
    pub(super) audio_seen: bool,
    /// The connection is over; what the ring holds still plays.
    pub(super) ended: bool,
    /// Wanted by the director.
    pub(super) kept: bool,
    /// Key frames that came too late to be entered at, in a row.
    pub(super) late_keyframes: u32,
    /// Until then it may wait for a key frame without counting as stalled: the forced slate was lifted.
    pub(super) excused: MediaTime,
    /// Reported as stalled.
    pub(super) stalled: bool,
    pub(super) problem: Option<PlaceError>,
}

impl Input {
    pub(super) fn new(serial: u64, id: ConnectionId, max_bytes: usize) -> Self {
        Self {
            serial,
            id,
            timeline: Timeline::new(),
            spacing: Spacing::default(),
            video: VecDeque::with_capacity(256),
            audio: VecDeque::with_capacity(256),
            bytes: 0,
            max_bytes,
            offset: None,
            heard_with: None,
            stamped: None,
            latest_pts: MediaTime::from_micros(i64::MIN / 2),
            keyframe_pts: MediaTime::from_micros(i64::MIN / 2),
            leads: false,
            newest_sent: MediaTime::from_micros(i64::MIN / 2),
            entered_at: MediaTime::from_micros(i64::MIN / 2),
            cut_off: false,
            video_seen: false,
            heard: false,
            audio_seen: false,
            ended: false,
            kept: true,
            late_keyframes: 0,
            excused: MediaTime::from_micros(i64::MIN / 2),
            stalled: false,
            problem: None,
        }
    }

    /// Bytes in the ring.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes a frame into the ring.
    pub(super) fn push(&mut self, frame: Frame, arrival: MediaTime) {
        let size = frame.payload.len() + FRAME_OVERHEAD;
        match frame.track {
            Track::Audio => self.push_sound(frame, arrival),
            Track::Video => {
                let dts = self.decoding_stamp(&frame);
                match self.timeline.place(dts, frame.pts, frame.keyframe, arrival) {
                    Ok(_) if self.cut_off && !frame.keyframe => return,
                    Ok(place) => {
                        self.video_seen = true;
                        self.problem = None;
                        self.push_picture(place, frame);
                    }
                    Err(problem) => {
                        self.problem = Some(problem);
                        return;
                    }
                }
            }
        }
        self.bytes += size;
        if self.bytes > self.max_bytes {
            self.shrink();
        }
    }

    /// The decoding time stamp of a picture. Where pictures are stamped with when they are shown, a B-frame's runs back, and is decoded
    /// right after the one before it; any other picture's that runs back is a fault of the clock.
    fn decoding_stamp(&mut self, frame: &Frame) -> MediaTime {
        let dts = match self.stamped {
            Some(last) if frame.dts <= last && last - frame.dts < MOST_REORDERING && flv::is_bipredictive(frame) => {
                last + LEAST_STEP
            }
            _ => frame.dts,
        };
        self.stamped = Some(dts);
        dts
    }

    fn push_sound(&mut self, frame: Frame, arrival: MediaTime) {
        self.audio_seen = true;
        let length = SoundLength::of(&frame.config);
        let place = self.timeline.place_sound(frame.dts, length, arrival);
        if let Some((frames, by)) = place.moved {
            // What has left already stays where it was heard.
            for sound in self.audio.iter_mut().rev().take(frames) {
                sound.at += by;
            }
        }
        self.audio.push_back(Sound { at: place.at, frame, duration: length.duration() });
    }

    fn push_picture(&mut self, place: Place, frame: Frame) {
        if frame.keyframe && std::mem::take(&mut self.cut_off) {
            self.entered_at = place.pts;
        }
        self.spacing.note(place.sent);
        if frame.keyframe {
            self.keyframe_pts = place.pts;
        }
        self.leads |= place.pts < self.keyframe_pts;
        for earlier in self.video.iter_mut().rev() {
            if earlier.shown_before < place.pts || earlier.frame.keyframe {
                break;
            }
            earlier.clean = false;
        }
        let clean = frame.keyframe || place.pts > self.latest_pts;
        self.video.push_back(Picture { place, frame, shown_before: self.latest_pts, clean });
        self.latest_pts = self.latest_pts.max(place.pts);
        self.newest_sent = place.sent;
    }

    /// Over the bound: keep what follows the newest key frame, or nothing.
    fn shrink(&mut self) {
        let newest = self.video.iter().rposition(|picture| picture.frame.keyframe).filter(|at| *at > 0);
        self.drop_pictures(newest.unwrap_or(self.video.len()));
        // What was dropped may be what the next pictures are made of.
        self.cut_off = newest.is_none();
        if let Some(first) = self.video.front() {
            self.entered_at = first.place.pts;
        }
        let from = self.video.front().map(|picture| picture.place.pts);
        self.drop_sound_before(from.unwrap_or(MediaTime::from_micros(i64::MAX)));
        if self.bytes > self.max_bytes {
            self.drop_pictures(self.video.len());
            self.cut_off = true;
        }
    }

    fn drop_pictures(&mut self, count: usize) {
        for _ in 0..count {
            self.pop_picture();
        }
    }

    fn drop_sound_before(&mut self, pts: MediaTime) {
        while self.audio.front().is_some_and(|sound| sound.at < pts) {
            self.pop_sound();
        }
    }

    pub(super) fn pop_picture(&mut self) -> Option<Picture> {
        let picture = self.video.pop_front()?;
        self.bytes = self.bytes.saturating_sub(picture.frame.payload.len() + FRAME_OVERHEAD);
        Some(picture)
    }

    pub(super) fn pop_sound(&mut self) -> Option<Sound> {
        let sound = self.audio.pop_front()?;
        self.bytes = self.bytes.saturating_sub(sound.frame.payload.len() + FRAME_OVERHEAD);
        Some(sound)
    }

    /// The number of pictures at the ring's front that leave together: after them everything shown was shown before everything to
    /// come. None while that is not known yet.
    ///
    /// A clean point is certain once a picture was *sent* at or after everything shown before it: nothing is shown before it is decoded.
    pub(super) fn group(&self) -> Option<usize> {
        let clean = self.video.iter().enumerate().skip(1).find(|(_, picture)| self.is_clean(picture)).map(|(at, _)| at);
        clean.or_else(|| self.ends_clean().then_some(self.video.len()))
    }

    /// Whether what comes after the ring's last picture is certain to be shown after all that is in it. A still picture's next one may
    /// be seconds away.
    fn ends_clean(&self) -> bool {
        self.video.back().is_some_and(|last| {
            let reordering = self.timeline.reordering();
            let soonest = self.newest_sent + reordering.key_offset() - reordering.delay();
            (last.frame.keyframe && !self.leads) || soonest >= self.latest_pts
        })
    }

    fn is_clean(&self, picture: &Picture) -> bool {
        picture.clean && (picture.frame.keyframe || self.newest_sent >= picture.shown_before)
    }

    /// Whether the picture at `at` is a key frame to enter at: one whose group is complete.
    fn is_entry(&self, at: usize, picture: &Picture) -> bool {
        picture.frame.keyframe
            && (self.ends_clean() || self.video.iter().skip(at + 1).any(|later| self.is_clean(later)))
    }

    /// How long before its presentation a key frame must be decoded.
    pub(super) fn delay(&self) -> MediaTime {
        self.timeline.reordering().delay()
    }

    /// The picture's decoding time as if every IDR were decoded when it is shown: that of the first picture of a group is its place among
    /// the shown ones.
    pub(super) fn decoding(&self, place: Place) -> MediaTime {
        place.sent + self.timeline.reordering().key_offset()
    }

    /// Where the offset should be: the latest track's least lateness and the programme's buffer. `pace.delay` before it is shown a picture
    /// leaves, for which it must not be due earlier than the buffer after its arrival.
    fn wanted_offset(&self, now: MediaTime, pace: Pace) -> Option<MediaTime> {
        let early = (pace.delay - self.timeline.reordering().key_offset()).max(MediaTime::ZERO);
        Some(self.timeline.least_lateness(now)? + pace.latency + early)
    }

    /// Lets the offset follow: freely while nothing of this input is on air, else by at most 1 ms a second.
    pub(super) fn follow(&mut self, now: MediaTime, passed: MediaTime, pace: Pace, bound: bool) {
        let Some(wanted) = self.wanted_offset(now, pace) else {
            return;
        };
        match self.offset {
            Some(offset) if bound => {
                let difference = wanted - offset;
                if difference.abs() > SLEW_FROM {
                    let most = (passed.as_micros() / SLEW_DIVISOR).max(0);
                    self.offset = Some(offset + MediaTime::from_micros(difference.as_micros().clamp(-most, most)));
                }
            }
            _ => self.offset = Some(wanted),
        }
    }

    /// The offset to enter it anew with, if it lies further behind live than it has to: it was entered at a key frame from the ring's past or
    /// while its frames came late, or the source runs fast and its ring grows.
    pub(super) fn lags(&self, now: MediaTime, pace: Pace) -> Option<MediaTime> {
        let wanted = self.wanted_offset(now, pace)?;
        (wanted + REENTER_FROM < self.offset? && self.timeline.settled(now)).then_some(wanted)
    }

    /// Sets the offset to what the arrivals say, on air or not: its pictures come too late for the old one.
    pub(super) fn follow_now(&mut self, now: MediaTime, pace: Pace) {
        self.offset = self.wanted_offset(now, pace).or(self.offset);
        self.late_keyframes = 0;
    }

    pub(super) fn settled(&self, now: MediaTime) -> bool {
        self.timeline.settled(now)
    }

    /// Whether a picture ever came into the ring, which the first does at a key frame only.
    pub(super) fn has_had_pictures(&self) -> bool {
        self.newest_sent > MediaTime::from_micros(i64::MIN / 2)
    }

    /// After a stall the old figures say nothing.
    pub(super) fn forget_lateness(&mut self) {
        self.timeline.forget_lateness();
        self.offset = None;
    }

    pub(super) fn video_period(&self) -> MediaTime {
        // Between 125 and 10 pictures a second; slower sources hold their picture longer than a cut may take.
        self.timeline
            .period(Track::Video)
            .unwrap_or(MediaTime::from_millis(33))
            .clamp(MediaTime::from_millis(8), MediaTime::from_millis(100))
    }

    /// The next picture is so far away that the slate stands in. It follows the distance of the stream's own pictures.
    pub(super) fn picture_hole(&self) -> MediaTime {
        let hole = MediaTime::from_micros(self.spacing.distance().as_micros() * PICTURE_HOLE_HALVES / 2);
        hole.clamp(PICTURE_HOLE, LONGEST_PICTURE_HOLE)
    }

    /// How far apart two of its pictures may be, but for holes.
    pub(super) fn longest_step(&self) -> MediaTime {
        self.spacing.distance().max(self.video_period()).min(LONGEST_PICTURE_HOLE)
    }

    /// Whether the picture that has stood for `stood` may stand on at `at`, on the programme's line, although no other one follows: the
    /// stream's pictures are slow, or the picture is still and the sound goes on.
    pub(super) fn may_stand(&self, stood: MediaTime, at: MediaTime) -> bool {
        let sounds = || {
            let last = self.audio.back().zip(self.offset).map(|(sound, offset)| sound.at + offset);
            last.is_some_and(|last| last > at)
        };
        !self.ended && (stood + PICTURE_HOLE <= self.picture_hole() || (stood <= LONGEST_STILL && sounds()))
    }

    /// Drops what cannot be used any more of tracks that are not on air: everything before the last key frame that is shown by
    /// `shown`, and the sound before that, or heard before `heard`.
    pub(super) fn trim(&mut self, shown: MediaTime, heard: MediaTime, video_on_air: bool, audio_on_air: bool) {
        let offset = self.offset;
        if !video_on_air {
            let due = |picture: &Picture| offset.is_some_and(|offset| picture.place.pts + offset <= shown);
            let keep = self
                .video
                .iter()
                .rposition(|picture| picture.frame.keyframe && due(picture))
                .or_else(|| self.video.iter().position(|picture| picture.frame.keyframe));
            self.drop_pictures(keep.unwrap_or(self.video.len()));
        }
        if !audio_on_air && let Some(offset) = offset {
            let margin = MediaTime::from_millis(100);
            let due = heard - offset - margin;
            let from = match self.video.front() {
                Some(picture) if !video_on_air => (picture.place.pts - margin).min(due),
                _ => due,
            };
            self.drop_sound_before(from);
        }
    }

    /// The first key frame that is shown at or after `from` with the given offset.
    pub(super) fn keyframe_from(&self, from: MediaTime, offset: MediaTime) -> Option<(usize, MediaTime)> {
        self.video
            .iter()
            .enumerate()
            .map(|(at, picture)| (at, picture.place.pts + offset, picture))
            .find(|(at, due, picture)| *due >= from && self.is_entry(*at, picture))
            .map(|(at, due, _)| (at, due))
    }

    /// The last key frame that is shown before `before`, if no hole of more than `hole` follows it.
    pub(super) fn keyframe_before(
        &self,
        before: MediaTime,
        offset: MediaTime,
        hole: MediaTime,
    ) -> Option<(usize, MediaTime)> {
        let mut later = before - offset;
        for (at, picture) in self.video.iter().enumerate().rev() {
            let decoding = self.decoding(picture.place);
            if later - decoding > hole {
                return None;
            }
            later = decoding;
            let due = picture.place.pts + offset;
            if due < before && self.is_entry(at, picture) {
                return Some((at, due));
            }
        }
        None
    }
}

/// How far apart a stream's pictures are at the moment.
#[derive(Debug, Default)]
struct Spacing {
    latest: Option<MediaTime>,
    /// The last four distances, the latest one first.
    distances: [MediaTime; 4],
}

impl Spacing {
    fn note(&mut self, sent: MediaTime) {
        if let Some(latest) = self.latest.replace(sent) {
            self.distances.rotate_right(1);
            if let Some(first) = self.distances.first_mut() {
                *first = sent - latest;
            }
        }
    }

    /// The second longest of the last four distances, or the only one: one hole makes no slow stream, and two pictures close together no
    /// quick one.
    fn distance(&self) -> MediaTime {
        let mut distances = self.distances;
        distances.sort_unstable();
        let mut longest_first = distances.into_iter().rev().filter(|distance| *distance > MediaTime::ZERO);
        let longest = longest_first.next().unwrap_or_default();
        longest_first.next().unwrap_or(longest)
    }
}
