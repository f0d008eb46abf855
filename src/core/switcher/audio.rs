//! The sound's side of the switcher.

use crate::core::frame::{Frame, MediaTime, Track};

use super::{On, ProgramFrame, SOUND_HOLE, SOUND_RETURN, Source, Switcher};

/// Duration of one frame of the slate's sound: 1024 samples at 48 kHz, in microseconds, rounded down. The rest is made up by
/// the count (see `emit_slate_sound`).
const SLATE_SOUND: i64 = 21_333;

impl Switcher {
    /// Lets the sound change over to `to` at `at`. A change that was to come after that is void.
    pub(super) fn change_sound(&mut self, at: MediaTime, to: On) {
        let changes = &mut self.audio.changes;
        changes.retain(|(earlier, _)| *earlier < at);
        if changes.len() < 16 {
            changes.push_back((at, to));
        }
    }

    /// One decision about the next frame of sound. False when nothing more is due.
    pub(super) fn audio_step(&mut self, now: MediaTime, out: &mut Vec<ProgramFrame>) -> bool {
        let horizon = now + self.settings.horizon;
        let end = self.audio.end;
        if let Some((at, to)) = self.audio.changes.front().copied()
            && end + MediaTime::from_micros(SLATE_SOUND / 2) >= at
        {
            self.audio.changes.pop_front();
            let anew = match to {
                On::Input(serial) => self.input_mut(serial).is_some_and(|input| input.heard_with.take().is_some()),
                On::Slate => false,
            };
            if anew || self.audio.on != to {
                self.hear(to);
            }
            return true;
        }
        match self.audio.on {
            On::Slate => {
                if end > horizon {
                    return false;
                }
                if let Some(serial) = self.sound_to_return(now) {
                    self.hear(On::Input(serial));
                    return true;
                }
                self.emit_slate_sound(out);
                true
            }
            On::Input(serial) => self.input_sound_step(serial, horizon, out),
        }
    }

    fn input_sound_step(&mut self, serial: u64, horizon: MediaTime, out: &mut Vec<ProgramFrame>) -> bool {
        let end = self.audio.end;
        let Some(input) = self.inputs.iter_mut().find(|input| input.serial == serial) else {
            self.hear(On::Slate);
            return true;
        };
        let offset = input.heard_with.or(input.offset).unwrap_or_default();
        while input
            .audio
            .front()
            .is_some_and(|sound| sound.at + offset + MediaTime::from_micros(sound.duration.as_micros() / 2) < end)
        {
            input.pop_sound();
        }
        let due = input.audio.front().map(|sound| sound.at + offset);
        match due {
            Some(due) if due <= end + SOUND_HOLE => {
                if due > horizon {
                    return false;
                }
                let Some(sound) = input.pop_sound() else {
                    return false;
                };
                let at = due.max(end - MediaTime::from_micros(sound.duration.as_micros() / 2));
                out.push(ProgramFrame {
                    frame: Frame { dts: at, pts: at, ..sound.frame },
                    source: Source::Input(input.id.clone()),
                    splice: std::mem::take(&mut self.audio.splice),
                });
                self.audio.end = at + sound.duration;
                input.heard = true;
                true
            }
            _ if end > horizon => false,
            _ => {
                self.hear(On::Slate);
                self.starved(serial);
                true
            }
        }
    }

    /// The on-air input, if its sound was missing and enough of it is here again.
    fn sound_to_return(&self, now: MediaTime) -> Option<u64> {
        let serial = self.selected.filter(|_| !self.forced && self.audio.changes.is_empty())?;
        let input = self.input(serial)?;
        if !self.is_bound(serial) && !input.settled(now) {
            return None;
        }
        let offset = input.offset?;
        let end = self.audio.end;
        let first =
            input.audio.iter().map(|sound| sound.at + offset).find(|due| *due + MediaTime::from_millis(10) >= end)?;
        let last = input.audio.back()?.at + offset;
        (first <= end + SOUND_HOLE && last - first >= SOUND_RETURN).then_some(serial)
    }

    fn hear(&mut self, on: On) {
        self.audio.on = on;
        self.audio.splice = true;
        if on == On::Slate {
            self.audio.slate_next = 0;
        }
    }

    fn emit_slate_sound(&mut self, out: &mut Vec<ProgramFrame>) {
        let audio = &mut self.audio;
        let at = audio.end;
        let Some(payload) = self.slate.sounds.get(audio.slate_next % self.slate.sounds.len().max(1)) else {
            audio.end = at + MediaTime::from_micros(SLATE_SOUND);
            return;
        };
        out.push(ProgramFrame {
            frame: Frame {
                track: Track::Audio,
                dts: at,
                pts: at,
                keyframe: true,
                payload: payload.clone(),
                config: self.slate.audio.clone(),
            },
            source: Source::Slate,
            splice: std::mem::take(&mut audio.splice),
        });
        audio.slate_next += 1;
        // 21333.3 us: every third frame is a microsecond longer.
        audio.end = at + MediaTime::from_micros(SLATE_SOUND + i64::from(audio.slate_next.is_multiple_of(3)));
    }
}
