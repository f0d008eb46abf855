//! The half of a destination that lives in the pacing thread. It never waits: it looks at atomics, copies tags, and hands
//! them to appsrc, whose lock nobody holds for longer than it takes to move a pointer.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwapOption;
use gstreamer as gst;

use super::session::Outlet;
use crate::{
    core::{frame::MediaTime, moment::Moment},
    media::tag::{Entrance, Preroll, Tag},
};

/// Tags are handed over this often at most. Nearly all that a destination costs is waking its two threads (measured at 6 Mbit/s:
/// 0.9 s of CPU a minute at every 20 ms, 0.5 s at every 40 ms); platforms buffer seconds.
const HAND_OVER: Duration = Duration::from_millis(36);
/// A destination that lags further behind than this is not sent more until it has caught up: then sound, and pictures from a key frame on.
const MOST_LAG: MediaTime = MediaTime::from_millis(4000);
/// The same in bytes beyond a session's first burst, whatever the bit rate: memory is small.
const MOST_BYTES: u64 = 12 << 20;

/// What both halves of a destination hold.
#[derive(Debug, Default)]
pub(super) struct Shared {
    /// The session that runs, from its start until its end is decided. Written by the control half.
    pub(super) outlet: ArcSwapOption<Outlet>,
    /// Frames left out. Written by the feed.
    pub(super) dropped_frames: AtomicU64,
}

/// The pacing thread's half. Belongs to one thread; dropping it ends nothing.
#[derive(Debug)]
pub struct EgressFeed {
    shared: Arc<Shared>,
    sending: Option<Sending>,
}

/// A session that is being fed.
#[derive(Debug)]
struct Sending {
    outlet: Arc<Outlet>,
    /// Programme time of the session's first tag, which is its zero.
    base: MediaTime,
    /// The last time stamp: the next is never less.
    last: MediaTime,
    /// Tags that were not handed over yet.
    pending: Vec<gst::Buffer>,
    pending_bytes: u64,
    handed_over: Moment,
    /// Bytes handed over in all, and the session's time, after each hand-over that may not have left yet.
    marks: VecDeque<(u64, MediaTime)>,
    bytes: u64,
    /// Bytes that the first hand-over may keep waiting: a whole group of pictures goes at once.
    burst: u64,
    /// How far it may lag: further until it has caught up with its first hand-over, which is a group of the past.
    most_lag: MediaTime,
    /// Sound alone is sent until it opens.
    entrance: Entrance,
    pace: Pace,
    /// The session took nothing more; its end is about to be noticed by the control half.
    over: bool,
}

/// Whether a session keeps up with the programme.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pace {
    InStep,
    /// Left behind: nothing but headers is sent until it has caught up.
    Behind,
    /// It has caught up: sound is sent, and pictures again with a key frame.
    Returning,
}

impl EgressFeed {
    pub(super) const fn new(shared: Arc<Shared>) -> Self {
        Self { shared, sending: None }
    }

    /// Sends what left the programme since the last call. To be called at each tick, also with nothing. `preroll` is the
    /// programme's ring after `batch` was added to it: a session that begins now is sent the ring, and not the batch besides.
    /// Never blocks.
    pub fn push(&mut self, batch: &[Tag], preroll: &Preroll, now: Moment) {
        let outlet = self.shared.outlet.load();
        let Some(outlet) = outlet.as_ref().filter(|outlet| outlet.is_accepted()) else {
            self.sending = None;
            return;
        };
        match &mut self.sending {
            Some(sending) if Arc::ptr_eq(&sending.outlet, outlet) => {
                sending.take(batch, &self.shared.dropped_frames);
                sending.hand_over(now);
            }
            other => *other = Sending::begin(outlet, preroll, now),
        }
    }
}

impl Sending {
    /// Begins a session with the ring's last key frame, or with sound alone if it holds none.
    fn begin(outlet: &Arc<Outlet>, preroll: &Preroll, now: Moment) -> Option<Self> {
        let (base, tags) = preroll.beginning()?;
        let mut sending = Self {
            outlet: outlet.clone(),
            base,
            last: MediaTime::ZERO,
            pending: Vec::with_capacity(preroll.tags.len() + preroll.headers.len()),
            pending_bytes: 0,
            handed_over: Moment::ZERO,
            marks: VecDeque::new(),
            bytes: 0,
            burst: 0,
            most_lag: MOST_LAG,
            entrance: Entrance::default(),
            pace: Pace::InStep,
            over: false,
        };
        for tag in tags {
            sending.add(tag);
        }
        sending.burst = sending.pending_bytes;
        // A connection that is hardly faster than the programme is so late when it has taken it all.
        sending.most_lag = MOST_LAG + sending.last;
        sending.flush(now);
        Some(sending)
    }

    /// Adds what left the programme, or leaves it out while the destination lags.
    fn take(&mut self, batch: &[Tag], dropped: &AtomicU64) {
        if self.over || batch.is_empty() {
            return;
        }
        let level = self.outlet.level();
        let gone = self.bytes.saturating_sub(level);
        while self.marks.front().is_some_and(|(bytes, _)| *bytes <= gone) {
            self.marks.pop_front();
        }
        let lag = self.marks.front().map_or(MediaTime::ZERO, |(_, time)| self.last - *time);
        let is_near = lag <= MediaTime::from_millis(MOST_LAG.as_millis() / 2);
        // A hand-over leaves the queue at once and goes out on its own: the first one has gone out when the second leaves.
        if is_near && gone > self.burst {
            self.most_lag = MOST_LAG;
        }
        if lag > self.most_lag || level > self.burst + MOST_BYTES {
            self.pace = Pace::Behind;
        } else if self.pace == Pace::Behind && is_near && level <= self.burst + MOST_BYTES / 2 {
            self.pace = Pace::Returning;
            self.entrance.close();
        }
        for tag in batch {
            if self.pace == Pace::Returning && tag.keyframe {
                self.pace = Pace::InStep;
            }
            let sent = (self.pace != Pace::Behind || tag.header) && self.add(tag);
            // What the session began without, or shows before its first picture, was not left out for its lag.
            if !sent && self.pace != Pace::InStep {
                dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// False if it is left out because pictures begin with a key frame.
    fn add(&mut self, tag: &Tag) -> bool {
        if !self.entrance.admits(tag) {
            return false;
        }
        self.last = self.last.max(tag.time - self.base);
        let bytes = self.outlet.write(tag, self.last);
        self.pending_bytes += bytes.len() as u64;
        self.pending.push(gst::Buffer::from_slice(bytes));
        true
    }

    /// Hands over what is pending, unless that was done a moment ago.
    fn hand_over(&mut self, now: Moment) {
        if !self.pending.is_empty() && now.since(self.handed_over) >= HAND_OVER {
            self.flush(now);
        }
    }

    fn flush(&mut self, now: Moment) {
        let tags: gst::BufferList = self.pending.drain(..).collect();
        self.bytes += self.pending_bytes;
        self.marks.push_back((self.bytes, self.last));
        self.over = !self.outlet.push(tags, self.entrance.is_open());
        self.pending_bytes = 0;
        self.handed_over = now;
    }
}
