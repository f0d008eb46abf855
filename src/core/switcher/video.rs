//! The picture's side of the switcher: what leaves next, and when to change over.

use crate::core::{
    frame::{Frame, MediaTime, Track},
    timeline::COMPOSITION_DELAY,
};

use super::{
    Entry, LEAST_STEP, MOST_LAG, On, PICTURE_HOLE, PLANNED_WAIT, ProgramFrame, SLATE_STEADY, Source, SwitchEvent,
    Switcher, URGENT_WAIT,
};

impl Switcher {
    /// One decision about the next picture. False when nothing more is due.
    pub(super) fn video_step(
        &mut self,
        now: MediaTime,
        out: &mut Vec<ProgramFrame>,
        events: &mut Vec<SwitchEvent>,
    ) -> bool {
        let horizon = now + self.settings.horizon;
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
            On::Input(serial) => self.input_step(serial, horizon, entry, out, events),
        }
    }

    fn input_step(
        &mut self,
        serial: u64,
        horizon: MediaTime,
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
        let group = self.input(serial).and_then(|input| {
            let count = input.group()?;
            let offset = input.offset?;
            let first = input.video.front()?.place.dts + offset;
            let shown = input.video.iter().take(count).map(|picture| picture.place.pts).max()? + offset;
            Some((count, first, shown + input.video_period() - COMPOSITION_DELAY))
        });
        let group = group.filter(|(_, first, _)| *first <= leave + PICTURE_HOLE);
        if let Some(entry) = entry {
            let now_is_nearest =
                group.is_none_or(|(_, _, after)| (entry.due - leave).abs() <= (entry.due - after).abs());
            // Without anything more of the old input a near key frame is entered at once rather than by way of the slate.
            let close = group.is_none() && entry.due - leave <= self.early();
            if entry.at_once || (group.is_some() && now_is_nearest) || close {
                self.enter(entry, events);
                return true;
            }
        }
        match group {
            Some((_, first, _)) if first > horizon => false,
            Some((count, _, _)) => {
                self.emit_group(serial, count, out);
                true
            }
            None => {
                self.leave_for_slate(false);
                self.starved(serial);
                true
            }
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
            let offset = input.runs_ahead(now, self.settings.latency)?;
            let (index, due) = input.keyframe_from(self.video.leave, offset)?;
            return Some(Entry { input: serial, index, due, offset, free: true, at_once: false, take: None });
        }
        let bound = self.is_bound(serial);
        if !bound && !input.settled(now) {
            return None;
        }
        let offset = input.offset?;
        let (index, due) =
            input.keyframe_from((self.video.leave - half).max(self.video.latest_dts + LEAST_STEP), offset)?;
        Some(Entry { input: serial, index, due, offset, free: !bound, at_once: false, take: None })
    }

    fn pending_entry(&mut self, now: MediaTime, events: &mut Vec<SwitchEvent>) -> Option<Entry> {
        let (take, serial, urgent, ordered) = {
            let pending = self.pending.as_ref()?;
            (pending.take, pending.input, pending.urgent, pending.ordered)
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
        if !self.is_bound(serial) && !input.settled(now) {
            return None;
        }
        let offset = input.offset?;
        let leave = self.video.leave;
        let half = MediaTime::from_micros(self.slate.picture_duration.as_micros() / 2);
        let entry = |(index, due): (usize, MediaTime), at_once| Entry {
            input: serial,
            index,
            due,
            offset,
            free: true,
            at_once,
            take: Some(take),
        };
        let coming = input.keyframe_from(leave - half, offset);
        let past =
            input.keyframe_before(leave - half, offset, PICTURE_HOLE).filter(|(_, due)| leave - *due <= MOST_LAG);
        let steady = match self.video.on {
            On::Input(on) => self.input(on).is_some_and(|input| input.group().is_some()),
            On::Slate => now - self.video.slate_since >= SLATE_STEADY,
        };
        let wait = coming.map(|(_, due)| due - leave);
        if !steady {
            if let (Some(coming), Some(wait)) = (coming, wait)
                && wait <= self.early()
            {
                return Some(entry(coming, true));
            }
            return past.map(|past| entry(past, true)).or_else(|| coming.map(|coming| entry(coming, false)));
        }
        let patience = if urgent { URGENT_WAIT } else { PLANNED_WAIT };
        let overdue = now - ordered >= patience;
        match (coming, wait) {
            (Some(coming), Some(wait)) if !urgent || self.video.on == On::Slate || wait <= URGENT_WAIT => {
                Some(entry(coming, false))
            }
            (Some(coming), _) => Some(past.map_or_else(|| entry(coming, false), |past| entry(past, true))),
            _ if urgent || overdue => past.map(|past| entry(past, true)),
            _ => None,
        }
    }

    fn taken(&mut self, take: crate::core::queue::TakeId, serial: u64, events: &mut Vec<SwitchEvent>) {
        self.pending = None;
        self.selected = Some(serial);
        if let Some(input) = self.input_mut(serial) {
            input.stalled = false;
        }
        events.push(SwitchEvent::Taken(take));
    }

    /// Changes over to the key frame `entry`.
    fn enter(&mut self, entry: Entry, events: &mut Vec<SwitchEvent>) {
        let on = On::Input(entry.input);
        let at = if entry.free { self.video.leave } else { entry.due };
        let at = at.max(self.video.latest_dts + LEAST_STEP).max(self.video.latest_pts + LEAST_STEP - COMPOSITION_DELAY);
        if let Some(input) = self.input_mut(entry.input) {
            for _ in 0..entry.index {
                input.pop_picture();
            }
            input.offset = Some(entry.offset + (at - entry.due));
            input.lag = (at - entry.due).max(MediaTime::ZERO);
            input.late_keyframes = 0;
            if let Some(first) = input.video.front() {
                input.entered_at = first.place.pts;
            }
        }
        if let Some(take) = entry.take {
            self.taken(take, entry.input, events);
        }
        self.video.on = on;
        self.video.leave = at;
        self.video.splice = true;
        if self.audio.on != on || !self.audio.changes.is_empty() {
            self.change_sound(at + COMPOSITION_DELAY, on);
        }
    }

    /// A take of an input that sends no picture: the slate's stands over its sound.
    fn enter_sound_only(&mut self, take: crate::core::queue::TakeId, serial: u64, events: &mut Vec<SwitchEvent>) {
        self.taken(take, serial, events);
        let at = self.video.leave + COMPOSITION_DELAY;
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
            self.change_sound(self.video.leave + COMPOSITION_DELAY, On::Slate);
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
        let video = &mut self.video;
        let Some(picture) = self.slate.pictures.get(video.slate_next) else {
            return;
        };
        let dts = video.leave;
        let pts = dts + COMPOSITION_DELAY;
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
        let step = match next.map(|next| (next - dts).as_micros()) {
            Some(rest) if rest > step / 2 && rest < step * 15 => rest / ((rest + step / 2) / step).max(1),
            _ => step,
        };
        video.leave = dts + MediaTime::from_micros(step);
    }

    /// Lets the first `count` pictures of an input go.
    fn emit_group(&mut self, serial: u64, count: usize, out: &mut Vec<ProgramFrame>) {
        let Some(input) = self.inputs.iter_mut().find(|input| input.serial == serial) else {
            return;
        };
        let Some(offset) = input.offset else { return };
        let video = &mut self.video;
        let source = Source::Input(input.id.clone());
        for _ in 0..count {
            let Some(picture) = input.pop_picture() else {
                break;
            };
            if picture.place.pts < input.entered_at {
                continue;
            }
            let dts = (picture.place.dts + offset).max(video.latest_dts + LEAST_STEP);
            let pts = (picture.place.pts + offset).max(dts);
            video.latest_dts = dts;
            video.latest_pts = video.latest_pts.max(pts);
            out.push(ProgramFrame {
                frame: Frame { dts, pts, ..picture.frame },
                source: source.clone(),
                splice: std::mem::take(&mut video.splice),
            });
        }
        video.leave = (video.latest_pts + input.video_period() - COMPOSITION_DELAY).max(video.latest_dts + LEAST_STEP);
    }
}
