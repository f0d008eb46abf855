//! The programme to watch in a browser: HLS with fragmented MP4, held in memory, made only while somebody watches.
//!
//! A request keeps the production alive; the first one starts it, from the programme's ring, so that there is something to show at once. The
//! pacing thread knows of it as of one more listener: it hands tags over and waits for nobody.

mod cutter;
mod mp4;
mod playlist;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use tokio::{
    sync::{Notify, mpsc, watch},
    time::{Instant, interval, timeout},
};
use tokio_util::sync::CancellationToken;

use self::{
    cutter::{Cutter, Numbers},
    playlist::Window,
};
use super::{listeners::ListenerDoor, tag::Tag};

/// A request keeps the production alive for so long: twice what a player waits between two of them when key frames come every 8 s.
const ALIVE: Duration = Duration::from_secs(20);
/// How long the first playlist is waited for: a second of the programme has to be there, and comes out of the ring at best.
const PATIENCE: Duration = Duration::from_secs(4);
/// How long the next segment is waited for: less than an answer may take.
const NEXT: Duration = Duration::from_secs(8);
/// A production that ended by itself is begun again after this long: whatever made it too slow may still be there.
const PAUSE: Duration = Duration::from_secs(1);
/// A player that asks for one further ahead than this is mistaken, and is told what there is.
const AHEAD: u64 = 2;

/// The programme to watch. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Watch {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// Programme time zero.
    began: Instant,
    /// Milliseconds from `began` to the last request.
    asked: AtomicU64,
    running: AtomicBool,
    wake: Notify,
    window: watch::Sender<Arc<Window>>,
}

impl Watch {
    /// To be called when programme time is zero.
    pub(super) fn new() -> Self {
        let shared = Shared {
            began: Instant::now(),
            asked: AtomicU64::new(0),
            running: AtomicBool::new(false),
            wake: Notify::new(),
            window: watch::Sender::new(Arc::default()),
        };
        Self { shared: Arc::new(shared) }
    }

    /// The playlist, `application/vnd.apple.mpegurl`. Its segments are `{number}.m4s` and its initialisations `init-{number}.mp4`, beside
    /// it. None when there is nothing to show within 4 s.
    ///
    /// With `next`, the number of the segment after the last one known, it comes when that segment is there, or as it is after 8 s: so
    /// players need not ask again and again (RFC 8216bis, 6.2.5.2).
    pub async fn playlist(&self, next: Option<u64>) -> Option<Bytes> {
        self.ask();
        let mut window = self.shared.window.subscribe();
        let first = timeout(PATIENCE, window.wait_for(|window| window.playlist().is_some())).await.ok()?.ok()?.clone();
        let last = first.last_number();
        let Some(next) = next.filter(|next| last.is_some_and(|last| *next > last && *next <= last + AHEAD)) else {
            return first.playlist();
        };
        // Ended meanwhile: then there is none.
        let is_there = |window: &Arc<Window>| window.last_number().is_none_or(|last| last >= next);
        match timeout(NEXT, window.wait_for(is_there)).await {
            Ok(window) => window.ok()?.playlist(),
            Err(_) => self.shared.window.borrow().playlist(),
        }
    }

    /// A segment, `video/mp4`.
    pub fn segment(&self, number: u64) -> Option<Bytes> {
        self.ask();
        self.shared.window.borrow().segment(number)
    }

    /// An initialisation, `video/mp4`.
    pub fn initialisation(&self, number: u64) -> Option<Bytes> {
        self.ask();
        self.shared.window.borrow().initialisation(number)
    }

    /// Whether segments are being made.
    pub fn is_running(&self) -> bool {
        self.shared.running.load(Relaxed)
    }

    fn ask(&self) {
        let passed = u64::try_from(self.shared.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.shared.asked.store(passed, Relaxed);
        if !self.is_running() {
            self.shared.wake.notify_one();
        }
    }

    fn is_wanted(&self) -> bool {
        let asked = Duration::from_millis(self.shared.asked.load(Relaxed));
        self.shared.began.elapsed().saturating_sub(asked) < ALIVE
    }

    /// Makes segments while somebody watches, until the token is cancelled.
    pub(super) async fn run(self, door: ListenerDoor, token: CancellationToken) {
        // Larger after every restart of the box, so that nothing of an earlier life is taken for something of this one. Periods are
        // different ones only: hls.js copies an array of their number's length at each.
        let seconds = u64::try_from(Timestamp::now().as_second()).unwrap_or_default();
        let mut next = Numbers { segment: seconds, initialisation: seconds % 1000 };
        loop {
            tokio::select! {
                () = token.cancelled() => return,
                () = self.shared.wake.notified() => {}
            }
            self.shared.running.store(true, Relaxed);
            while self.is_wanted() && !token.is_cancelled() {
                let Some(tags) = door.follow() else { break };
                let mut cutter = Cutter::new(next);
                self.produce(tags, &mut cutter, &token).await;
                next = cutter.numbers();
                if self.is_wanted() {
                    let _ = timeout(PAUSE, token.cancelled()).await;
                }
            }
            self.shared.running.store(false, Relaxed);
            self.shared.window.send_replace(Arc::default());
            // Whoever asked in between saw a production that was about to end.
            if self.is_wanted() {
                self.shared.wake.notify_one();
            }
        }
    }

    /// Ends when nobody watches, or when this was too slow and the tags ended.
    async fn produce(&self, mut tags: mpsc::Receiver<Tag>, cutter: &mut Cutter, token: &CancellationToken) {
        let mut looks = interval(Duration::from_secs(1));
        // Once for each production: steps of the wall clock would look like holes.
        let passed = SignedDuration::try_from(self.shared.began.elapsed()).unwrap_or_default();
        let zero = Timestamp::now().checked_sub(passed).unwrap_or_default();
        loop {
            let tag = tokio::select! {
                () = token.cancelled() => return,
                _ = looks.tick() => {
                    if self.is_wanted() {
                        continue;
                    }
                    return;
                }
                tag = tags.recv() => tag,
            };
            let Some(tag) = tag else { return };
            if let Some(segment) = cutter.push(tag) {
                self.shared.window.send_modify(|window| *window = Arc::new(window.with(segment, zero)));
            }
        }
    }
}

/// The playlist without its marks of discontinuity, for VLC: version 3 ends at the first one where segments are fragmented MP4, since it
/// gives the next segment to a new demuxer without its initialisation. Where there are no marks it goes on, and sees another size by the
/// parameter sets in band. They may be left out where tracks and time stamps go on (RFC 8216, 4.3.2.3), as the programme's do.
pub fn without_discontinuities(playlist: &Bytes) -> Bytes {
    let lines = playlist.split_inclusive(|byte| *byte == b'\n');
    let kept: Vec<&[u8]> = lines.filter(|line| !line.starts_with(b"#EXT-X-DISCONTINUITY")).collect();
    kept.concat().into()
}

#[cfg(test)]
mod tests;
