//! The picture's side of the switcher: what leaves next, and when to change over.

use crate::core::{
    frame::{Frame, MediaTime, Track},
    queue::Urgency,
};

use super::{
    Entry, Input, LEAST_STEP, NEAREST, NOW_WAIT, On, PLANNED_WAIT, ProgramFrame, SLATE_STEADY, Source, SwitchEvent,
    Switcher, takeable::WaysIn,
};

impl Switcher {
    /// One decision about the next picture. False when nothing more is due.
    pub(super) fn video_step(
        &mut self,
        now: MediaTime,
        out: &mut Vec<ProgramFrame>,
        events: &mut Vec<SwitchEvent>,
    ) -> bool {
        // A picture leaves that long before it is shown.
        let horizon = now + self.settings.horizon + self.video.delay;
        let leave = self.video.leave;
        if leave > horizon {
            return false;
        }
        let entry = self.entry(now, events);
        match self.video.on {
            On::Slate => {
                let half = MediaTime::from_micros(self.slate.picture_duration.as_micros() / 2);
                if let Some(entry) = entry
                    && (entry.at_once || entry.due <= leave + half)
                {
                    self.enter(entry, events);
                    return true;
                }
                self.emit_slate(entry.filter(|entry| !entry.free).map(|entry| entry.due), out);
                true
            }
            On::Input(serial) => self.input_step(serial, now, entry, out, events),
        }
    }

    fn input_step(
        &mut self,
        serial: u64,
        now: MediaTime,
        entry: Option<Entry>,
        out: &mut Vec<ProgramFrame>,
        events: &mut Vec<SwitchEvent>,
    ) -> bool {
        let leave = self.video.leave;
        let stays = self.selected == Some(serial) || self.pending.is_some();
        if self.forced || !stays {
            self.leave_for_slate(true);
            return true;
        }
        // What is shown at the moment, and what may leave: a picture leaves that long before it is shown.
        let at_present = now + self.video.delay;
        let horizon = at_present + self.settings.horizon;
        let (stands, may_stand) = (self.video.stands, self.may_stand(serial, now));
        let group = self.input(serial).and_then(|input| {
            let count = input.group()?;
            let offset = input.offset?;
            let shown = || {
                let group = input.video.iter().take(count).map(|picture| picture.place.pts);
                group.filter(|pts| *pts >= input.entered_at)
            };
            // A group of leading pictures alone is passed over as soon as it is seen.
            let first = shown().min().map_or(leave, |pts| pts + offset);
            let after = shown().max().map_or(leave, |pts| pts + offset + input.video_period());
            Some((count, first, after))
        });
        let hole = self.input(serial).map_or(MediaTime::ZERO, Input::picture_hole);
        // What comes too late after a pause was no still picture: it was a stall.
        let late = stands && group.is_some_and(|(_, first, _)| first < at_present);
        let group = group.filter(|(_, first, _)| *first <= leave + hole && !late);
        if let Some(entry) = entry {
            let now_is_nearest =
                group.is_none_or(|(_, _, after)| (entry.due - leave).abs() <= (entry.due - after).abs());
            // Without anything more of the old input a near key frame is entered at once rather than by way of the slate.
            let close = group.is_none() && entry.due - leave <= self.early();
            if entry.at_once || (group.is_some() && now_is_nearest) || close {
                self.end_still(now);
                // Between slow pictures there is room for its own time.
                let between = group.is_some_and(|(_, first, _)| (self.video.leave..first).contains(&entry.due));
                self.enter(Entry { free: entry.free && !between, ..entry }, events);
                return true;
            }
        }
        match group {
            Some((_, first, _)) if first > horizon => {
                self.wait(at_present);
                false
            }
            Some((count, _, _)) => {
                self.emit_group(serial, count, now, out);
                true
            }
            None if may_stand && !late => {
                self.video.stands = true;
                self.wait(at_present);
                false
            }
            None => {
                self.end_still(now);
                self.leave_for_slate(false);
                self.starved(serial);
                true
            }
        }
    }

    /// Whether the picture on air may stand although the next one is not here, or far away.
    fn may_stand(&self, serial: u64, now: MediaTime) -> bool {
        let until = now + self.settings.horizon + self.video.delay;
        self.input(serial).is_some_and(|input| input.may_stand(until - self.video.latest_pts, until))
    }

    /// Nothing leaves yet: what leaves next must not be late by then.
    fn wait(&mut self, at_present: MediaTime) {
        let soon = at_present + MediaTime::from_micros(self.settings.horizon.as_micros() / 2);
        self.video.leave = self.video.leave.max(soon);
    }

    /// Something else comes after a picture that stood: it may have to leave earlier before it is shown, and must not be late either.
    fn end_still(&mut self, now: MediaTime) {
        if self.video.stands {
            self.video.leave = self.video.leave.max(now + self.wanted_delay());
        }
    }

    /// By how much an input may be entered before its natural time: it costs that much of its buffer until the offset has
    /// crept back.
    fn early(&self) -> MediaTime {
        MediaTime::from_micros(self.settings.latency.as_micros() / 3)
    }

    /// The key frame to enter at, if somebody is to be entered.
    fn entry(&mut self, now: MediaTime, events: &mut Vec<SwitchEvent>) -> Option<Entry> {
        if let Some(entry) = self.pending_entry(now, events) {
            return Some(entry);
        }
        let serial = self.selected.filter(|_| !self.forced)?;
        let input = self.input(serial)?;
        let half = MediaTime::from_micros(self.slate.picture_duration.as_micros() / 2);
        if self.video.on == On::Input(serial) {
            let offset = input.lags(now, self.pace())?;
            // It is met by the group that ends nearest to it, before or behind.
            let (index, due) = input.keyframe_from(self.video.leave - NEAREST, offset)?;
            return Some(Entry { input: serial, index, due, offset, free: true, at_once: false, take: None });
        }
        let bound = self.is_bound(serial);
        if !bound && !input.settled(now) {
            return None;
        }
        let offset = input.offset?;
        let (index, due) =
            input.keyframe_from((self.video.leave - half).max(self.video.latest_pts + LEAST_STEP), offset)?;
        Some(Entry { input: serial, index, due, offset, free: !bound, at_once: false, take: None })
    }

    /// A key frame can be entered at until so long after its time. One that lies between two pictures of what is on air, or between two
    /// groups of its B-frames, is nearer to one of them, and must be found then. Both streams may keep that phase for ever.
    pub(super) fn behind(&self) -> MediaTime {
        let half = |step: MediaTime| MediaTime::from_micros(step.as_micros() / 2) + LEAST_STEP;
        match self.video.on {
            On::Slate => half(self.slate.picture_duration),
            On::Input(on) => self.input(on).map_or(NEAREST, |input| half(input.longest_step()).max(NEAREST)),
        }
    }

    fn pending_entry(&mut self, now: MediaTime, events: &mut Vec<SwitchEvent>) -> Option<Entry> {
        let (take, serial, urgency, ordered) = {
            let pending = self.pending.as_ref()?;
            (pending.take, pending.input, pending.urgency, pending.ordered)
        };
        let Some(input) = self.input(serial).filter(|input| !input.ended || !input.video.is_empty()) else {
            self.pending = None;
            events.push(SwitchEvent::TakeFailed(take));
            return None;
        };
        if self.forced {
            // Who is underneath changes unseen.
            if !input.video.is_empty() || !input.audio.is_empty() {
                self.taken(take, serial, events);
            }
            return None;
        }
        if self.selected == Some(serial) && self.video.on == On::Input(serial) {
            self.taken(take, serial, events);
            return None;
        }
        if !input.video_seen {
            if input.audio_seen && (self.is_bound(serial) || input.settled(now)) {
                self.enter_sound_only(take, serial, events);
            }
            return None;
        }
        let WaysIn { offset, coming, past } = self.ways_in(input, now)?;
        let leave = self.video.leave;
        let entry = |(index, due): (usize, MediaTime), at_once| Entry {
            input: serial,
            index,
            due,
            offset,
            free: true,
            at_once,
            take: Some(take),
        };
        let steady = match self.video.on {
            On::Input(on) => self.may_stand(on, now) || self.input(on).is_some_and(|input| input.group().is_some()),
            On::Slate => now - self.video.slate_since >= SLATE_STEADY,
        };
        let wait = coming.map(|(_, due)| due - leave);
        if !steady {
            if let (Some(coming), Some(wait)) = (coming, wait)
                && wait <= self.early()
            {
                return Some(entry(coming, true));
            }
            // One that has just been cued has no past: rather a short buffer than the slate.
            let soon = wait.is_some_and(|wait| wait <= self.early() + self.early());
            return past.map(|past| entry(past, true)).or_else(|| coming.map(|coming| entry(coming, soon)));
        }
        let planned = urgency == Urgency::Planned;
        let patience = if planned { PLANNED_WAIT } else { NOW_WAIT };
        let overdue = now - ordered >= patience;
        match (coming, wait) {
            (Some(coming), Some(wait)) if planned || self.video.on == On::Slate || wait <= NOW_WAIT => {
                Some(entry(coming, false))
            }
            (Some(coming), _) => Some(past.map_or_else(|| entry(coming, false), |past| entry(past, true))),
            _ if !planned || overdue => past.map(|past| entry(past, true)),
            _ => None,
        }
    }

    fn taken(&mut self, take: crate::core::queue::TakeId, serial: u64, events: &mut Vec<SwitchEvent>) {
        self.pending = None;
        self.selected = Some(serial);
        if let Some(input) = self.input_mut(serial) {
            (input.stalled, input.heard) = (false, false);
        }
        events.push(SwitchEvent::Taken(take));
    }

    /// Changes over to the key frame `entry`.
    fn enter(&mut self, entry: Entry, events: &mut Vec<SwitchEvent>) {
        let on = On::Input(entry.input);
        let at = if entry.free { self.video.leave } else { entry.due };
        let at = at.max(self.video.latest_pts + LEAST_STEP);
        let wanted = self.wanted_delay();
        self.video.delay_for(wanted);
        // Entered anew, it goes on to be heard as before until then.
        let anew = self.video.on == on && self.audio.on == on;
        if let Some(input) = self.input_mut(entry.input) {
            input.heard_with = if anew { input.heard_with.or(input.offset) } else { None };
            for _ in 0..entry.index {
                input.pop_picture();
            }
            input.offset = Some(entry.offset + (at - entry.due));
            input.late_keyframes = 0;
            if let Some(first) = input.video.front() {
                input.entered_at = first.place.pts;
            }
        }
        if let Some(take) = entry.take {
            self.taken(take, entry.input, events);
        }
        self.video.on = on;
        self.video.stands = false;
        self.video.leave = at;
        self.video.splice = true;
        if anew || self.audio.on != on || !self.audio.changes.is_empty() {
            self.change_sound(at, on);
        }
    }

    /// A take of an input that sends no picture: the slate's stands over its sound.
    fn enter_sound_only(&mut self, take: crate::core::queue::TakeId, serial: u64, events: &mut Vec<SwitchEvent>) {
        self.taken(take, serial, events);
        let at = self.video.leave;
        if self.video.on != On::Slate {
            self.leave_for_slate(false);
        }
        self.change_sound(at, On::Input(serial));
    }

    /// The slate from here on; with its sound too when nobody is to be heard.
    fn leave_for_slate(&mut self, silence: bool) {
        self.video.on = On::Slate;
        self.video.splice = true;
        self.video.slate_next = 0;
        self.video.slate_since = self.video.leave;
        if silence {
            self.change_sound(self.video.leave, On::Slate);
        }
    }

    /// The next picture of the slate. When a key frame is to be entered at `next` to the microsecond (the input's sound is on air),
    /// the steps up to it are made even.
    fn emit_slate(&mut self, next: Option<MediaTime>, out: &mut Vec<ProgramFrame>) {
        if self.video.slate_next == 0
            && let Some(slate) = self.next_slate.take_if(|slate| !slate.pictures.is_empty())
        {
            self.slate = slate;
            self.video.splice = true;
        }
        if self.video.slate_next == 0 {
            let wanted = self.wanted_delay();
            self.video.delay_for(wanted);
        }
        let video = &mut self.video;
        let Some(picture) = self.slate.pictures.get(video.slate_next) else {
            return;
        };
        let at = video.leave;
        let dts = (at - video.delay).max(video.latest_dts + LEAST_STEP).max(MediaTime::ZERO);
        video.settle_delay();
        let pts = at.max(dts);
        out.push(ProgramFrame {
            frame: Frame {
                track: Track::Video,
                dts,
                pts,
                keyframe: picture.keyframe,
                payload: picture.payload.clone(),
                config: self.slate.video.clone(),
            },
            source: Source::Slate,
            splice: std::mem::take(&mut video.splice),
        });
        video.slate_next = (video.slate_next + 1) % self.slate.pictures.len();
        video.latest_dts = dts;
        video.latest_pts = pts;
        let step = self.slate.picture_duration.as_micros();
        let step = match next.map(|next| (next - at).as_micros()) {
            Some(rest) if rest > step / 2 && rest < step * 15 => rest / ((rest + step / 2) / step).max(1),
            _ => step,
        };
        video.leave = pts + MediaTime::from_micros(step);
    }

    /// Lets the first `count` pictures of an input go.
    fn emit_group(&mut self, serial: u64, count: usize, now: MediaTime, out: &mut Vec<ProgramFrame>) {
        self.video.stands = false;
        let Some(input) = self.inputs.iter_mut().find(|input| input.serial == serial) else {
            return;
        };
        let Some(offset) = input.offset else { return };
        let video = &mut self.video;
        let source = Source::Input(input.id.clone());
        // Where each belongs: a fixed time before its place, and early enough that all after it that are shown sooner follow in time.
        // Presentation times are kept exactly; where the delay has just grown, decoding times draw together.
        video.times.clear();
        for picture in input.video.iter().take(count).filter(|picture| picture.place.pts >= input.entered_at) {
            let pts = picture.place.pts + offset;
            let dts = input.decoding(picture.place) + offset - video.delay;
            // What is entered at stands in the place of an IDR, whatever leading pictures are left out after it.
            let dts = if video.splice && video.times.is_empty() { dts.max(pts - video.delay) } else { dts };
            video.times.push(dts.min(pts));
            video.settle_delay();
        }
        let mut next = MediaTime::from_micros(i64::MAX);
        for time in video.times.iter_mut().rev() {
            *time = (*time).min(next - LEAST_STEP);
            next = *time;
        }
        let mut times = 0..video.times.len();
        for _ in 0..count {
            let Some(picture) = input.pop_picture() else {
                break;
            };
            if picture.place.pts < input.entered_at {
                continue;
            }
            let time = times.next().and_then(|at| video.times.get(at)).copied().unwrap_or_default();
            let pts = picture.place.pts + offset;
            // While a delay that was longer goes bit by bit, what comes at the last moment would have had to leave before it came.
            let dts = time.max(now.min(pts)).max(video.latest_dts + LEAST_STEP);
            let pts = pts.max(dts);
            video.latest_dts = dts;
            video.latest_pts = video.latest_pts.max(pts);
            out.push(ProgramFrame {
                frame: Frame { dts, pts, ..picture.frame },
                source: source.clone(),
                splice: std::mem::take(&mut video.splice),
            });
        }
        video.leave = video.latest_pts + input.video_period();
    }
}
