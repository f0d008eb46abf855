//! One cued input: its ring of frames, and its offset to the programme's line.

use std::collections::VecDeque;

use crate::core::{
    frame::{CodecConfig, ConnectionId, Frame, MediaTime, Track},
    timeline::{COMPOSITION_DELAY, Place, PlaceError, Timeline},
};

/// How fast the offset follows a drifting clock: 1 ms a second, which is ten times what a bad crystal does and no ear hears.
const SLEW_DIVISOR: i64 = 1000;
/// Differences below this are jitter, not drift.
const SLEW_FROM: MediaTime = MediaTime::from_millis(5);
/// What a frame costs in a ring besides its payload: so that a flood of tiny frames is bounded too.
const FRAME_OVERHEAD: usize = 256;
/// A source that is further ahead than this runs fast, and is entered anew before its ring overflows.
const REENTER_AHEAD: MediaTime = MediaTime::from_millis(1000);

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
    pub(super) place: Place,
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
    pub(super) video: VecDeque<Picture>,
    pub(super) audio: VecDeque<Sound>,
    bytes: usize,
    max_bytes: usize,
    /// From this input's line to the programme's. None until it is known how late the frames are.
    pub(super) offset: Option<MediaTime>,
    /// How far before its natural place it was entered (a key frame from the ring's past).
    pub(super) lag: MediaTime,
    latest_pts: MediaTime,
    newest_sent: MediaTime,
    /// Pictures shown before this one are leading pictures of the IDR it was entered at.
    pub(super) entered_at: MediaTime,
    /// It sends pictures, as far as is known.
    pub(super) video_seen: bool,
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
            video: VecDeque::with_capacity(256),
            audio: VecDeque::with_capacity(256),
            bytes: 0,
            max_bytes,
            offset: None,
            lag: MediaTime::ZERO,
            latest_pts: MediaTime::from_micros(i64::MIN / 2),
            newest_sent: MediaTime::from_micros(i64::MIN / 2),
            entered_at: MediaTime::from_micros(i64::MIN / 2),
            video_seen: false,
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
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes a frame into the ring.
    pub(super) fn push(&mut self, frame: Frame, arrival: MediaTime) {
        let place = match self.timeline.place(frame.track, frame.dts, frame.pts, frame.keyframe, arrival) {
            Ok(place) => place,
            Err(problem) => {
                self.problem = Some(problem);
                return;
            }
        };
        self.bytes += frame.payload.len() + FRAME_OVERHEAD;
        match frame.track {
            Track::Audio => {
                self.audio_seen = true;
                let duration = sound_duration(&frame);
                self.audio.push_back(Sound { place, frame, duration });
            }
            Track::Video => {
                self.video_seen = true;
                self.problem = None;
                self.push_picture(place, frame);
            }
        }
        if self.bytes > self.max_bytes {
            self.shrink();
        }
    }

    fn push_picture(&mut self, place: Place, frame: Frame) {
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
        let from = self.video.front().map(|picture| picture.place.pts);
        self.drop_sound_before(from.unwrap_or(MediaTime::from_micros(i64::MAX)));
        if self.bytes > self.max_bytes {
            self.drop_pictures(self.video.len());
        }
    }

    fn drop_pictures(&mut self, count: usize) {
        for _ in 0..count {
            self.pop_picture();
        }
    }

    fn drop_sound_before(&mut self, pts: MediaTime) {
        while self.audio.front().is_some_and(|sound| sound.place.pts < pts) {
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
        self.video.iter().enumerate().skip(1).find(|(_, picture)| self.is_clean(picture)).map(|(at, _)| at)
    }

    fn is_clean(&self, picture: &Picture) -> bool {
        picture.clean && (picture.frame.keyframe || self.newest_sent >= picture.shown_before)
    }

    /// Whether the picture at `at` is an IDR to enter at: one whose group is complete.
    fn is_entry(&self, at: usize, picture: &Picture) -> bool {
        picture.frame.keyframe && self.video.iter().skip(at + 1).any(|later| self.is_clean(later))
    }

    /// Where the offset should be: the latest track's least lateness, the programme's buffer and the composition delay.
    fn wanted_offset(&self, now: MediaTime, latency: MediaTime) -> Option<MediaTime> {
        Some(self.timeline.least_lateness(now)? + latency + COMPOSITION_DELAY)
    }

    /// Lets the offset follow: freely while nothing of this input is on air, else by at most 1 ms a second.
    pub(super) fn follow(&mut self, now: MediaTime, passed: MediaTime, latency: MediaTime, bound: bool) {
        let Some(wanted) = self.wanted_offset(now, latency) else {
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
            _ => {
                self.offset = Some(wanted);
                self.lag = MediaTime::ZERO;
            }
        }
    }

    /// The offset to enter it anew with, if the source runs so fast that its ring grows.
    pub(super) fn runs_ahead(&self, now: MediaTime, latency: MediaTime) -> Option<MediaTime> {
        let wanted = self.wanted_offset(now, latency)?;
        (wanted + self.lag + REENTER_AHEAD < self.offset? && self.timeline.settled(now)).then_some(wanted)
    }

    /// Sets the offset to what the arrivals say, on air or not: its pictures come too late for the old one.
    pub(super) fn follow_now(&mut self, now: MediaTime, latency: MediaTime) {
        self.offset = self.wanted_offset(now, latency).or(self.offset);
        self.late_keyframes = 0;
    }

    pub(super) fn settled(&self, now: MediaTime) -> bool {
        self.timeline.settled(now)
    }

    /// After a stall the old figures say nothing.
    pub(super) fn forget_lateness(&mut self) {
        self.timeline.forget_lateness();
        self.offset = None;
        self.lag = MediaTime::ZERO;
    }

    pub(super) fn video_period(&self) -> MediaTime {
        // Between 125 and 10 pictures a second; slower sources hold their picture longer than a cut may take.
        self.timeline
            .period(Track::Video)
            .unwrap_or(MediaTime::from_millis(33))
            .clamp(MediaTime::from_millis(8), MediaTime::from_millis(100))
    }

    /// Drops what can not be used any more of tracks that are not on air: everything before the last key frame that is due by
    /// `limit`, and the sound before that.
    pub(super) fn trim(&mut self, limit: MediaTime, video_on_air: bool, audio_on_air: bool) {
        let offset = self.offset;
        if !video_on_air {
            let due = |picture: &Picture| offset.is_some_and(|offset| picture.place.dts + offset <= limit);
            let keep = self
                .video
                .iter()
                .rposition(|picture| picture.frame.keyframe && due(picture))
                .or_else(|| self.video.iter().position(|picture| picture.frame.keyframe));
            self.drop_pictures(keep.unwrap_or(self.video.len()));
        }
        if !audio_on_air && let Some(offset) = offset {
            let margin = MediaTime::from_millis(100);
            let due = limit - offset - margin;
            let from = match self.video.front() {
                Some(picture) if !video_on_air => (picture.place.pts - margin).min(due),
                _ => due,
            };
            self.drop_sound_before(from);
        }
    }

    /// The first key frame that is due at or after `from` with the given offset.
    pub(super) fn keyframe_from(&self, from: MediaTime, offset: MediaTime) -> Option<(usize, MediaTime)> {
        self.video
            .iter()
            .enumerate()
            .map(|(at, picture)| (at, picture.place.dts + offset, picture))
            .find(|(at, due, picture)| *due >= from && self.is_entry(*at, picture))
            .map(|(at, due, _)| (at, due))
    }

    /// The last key frame that is due before `before`, if no hole of more than `hole` follows it.
    pub(super) fn keyframe_before(
        &self,
        before: MediaTime,
        offset: MediaTime,
        hole: MediaTime,
    ) -> Option<(usize, MediaTime)> {
        let mut later = before - offset;
        for (at, picture) in self.video.iter().enumerate().rev() {
            if later - picture.place.dts > hole {
                return None;
            }
            later = picture.place.dts;
            if later + offset < before && self.is_entry(at, picture) {
                return Some((at, later + offset));
            }
        }
        None
    }
}

/// How long a frame of AAC sounds.
fn sound_duration(frame: &Frame) -> MediaTime {
    match frame.config.as_ref() {
        CodecConfig::Aac(aac) if aac.sample_rate > 0 => {
            MediaTime::from_micros(i64::from(aac.frame_samples) * 1_000_000 / i64::from(aac.sample_rate))
        }
        _ => MediaTime::from_millis(21),
    }
}
