//! Whether a cued input could be taken now: by the same ways in that a take looks for.

use crate::core::{
    fitness::{MOST_APART, MOST_LAG, Takeable, Unfit},
    frame::{ConnectionId, MediaTime},
    moment::Moment,
    timeline::PlaceError,
};

use super::{Switcher, input::Input};

/// The key frames that an input can be entered at, by their index in the ring and where they lie with `offset`.
pub(super) struct WaysIn {
    pub(super) offset: MediaTime,
    /// The first that is to come.
    pub(super) coming: Option<(usize, MediaTime)>,
    /// The last that has passed, not too long ago.
    pub(super) past: Option<(usize, MediaTime)>,
}

impl Switcher {
    /// The ways into an input's pictures; none while it is not known how late its frames are.
    pub(super) fn ways_in(&self, input: &Input, now: MediaTime) -> Option<WaysIn> {
        if !self.is_bound(input.serial) && !input.settled(now) {
            return None;
        }
        let offset = input.offset?;
        let leave = self.video.leave;
        let from = leave - self.behind();
        let coming = input.keyframe_from(from, offset);
        let hole = input.picture_hole();
        let past = input.keyframe_before(from, offset, hole).filter(|(_, due)| leave - *due <= MOST_LAG);
        Some(WaysIn { offset, coming, past })
    }

    /// Whether a take of the cued `connection` would happen now. None for who is on air, and while nothing of its pictures is kept yet.
    pub fn can_take(&self, connection: &ConnectionId, now: Moment) -> Option<Takeable> {
        let now = self.program_time(now);
        let input = self.inputs.iter().rev().find(|input| input.id == *connection && !input.ended)?;
        if self.selected == Some(input.serial) || self.is_bound(input.serial) {
            return None;
        }
        if input.problem.is_some_and(|problem| problem != PlaceError::NoKeyframe) {
            return Some(Takeable::No(Unfit::Reordered));
        }
        if !input.video_seen {
            return (input.audio_seen && input.settled(now)).then_some(Takeable::Yes);
        }
        if !input.has_had_pictures() {
            return None;
        }
        let Some(ways) = self.ways_in(input, now) else { return Some(Takeable::Unknown) };
        // What waits in the programme's buffer comes as soon as that is over.
        let reach = self.settings.latency + MOST_APART;
        let wait = ways.coming.map(|(_, due)| due - self.video.leave);
        Some(match (ways.past, wait) {
            // Behind the slate a take waits for what comes, whatever has passed.
            (_, Some(wait)) if wait > reach => Takeable::No(Unfit::Apart(wait - self.settings.latency)),
            (None, None) => Takeable::No(Unfit::NoEntry),
            _ => Takeable::Yes,
        })
    }
}
