//! What is known besides of a connection that is pulled: what is wanted of it, and what its server says.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use arc_swap::ArcSwapOption;
use tokio::sync::Notify;

use crate::core::{
    flaw::Flaw,
    frame::{MediaTime, RemoteFigures},
    moment::Moment,
};

/// Somebody who looked wants to see for so long.
const LOOKED_AT: Duration = Duration::from_secs(15);
/// Between two reports bytes are taken to come in as before, for at most so long: one report that is late.
const MOST_GUESSED: Duration = Duration::from_millis(7500);
/// A server whose count stands still for so long hears nothing.
const CERTAIN: Duration = Duration::from_millis(4500);
/// Guessed a little low, so that the next report is never below what was said.
const GUESS: f64 = 0.9;

/// Shared by the connection's gauge, its pull and who reports.
#[derive(Debug)]
pub(in crate::media) struct Pulled {
    wake: Notify,
    /// How often it was cued.
    cues: AtomicU32,
    /// Moments in microseconds; -1: never, or not now.
    looked_until: AtomicI64,
    last_bytes: AtomicI64,
    watched_from: AtomicI64,
    /// Microseconds of the stream's own time that were measured.
    media_time: AtomicI64,
    /// The server says that nothing comes in.
    suspected: AtomicBool,
    /// It was pulled for seconds, and nothing of it was ever seen.
    mute: AtomicBool,
    /// What its streamer should know.
    advice: ArcSwapOption<String>,
    /// What of it cannot be used.
    unusable: ArcSwapOption<(Flaw, Arc<str>)>,
    /// Locked by whoever reports and by the monitor.
    figures: Mutex<Figures>,
}

#[derive(Debug, Default)]
struct Figures {
    last: Option<(RemoteFigures, Moment)>,
    /// When the server's count had grown last.
    grown: Moment,
    /// Bytes a second between the last two reports.
    rate: f64,
    /// What the pulls had counted at the last report.
    counted: u64,
    /// What was said last, and what the pulls had counted by then and when that had grown.
    said: u64,
    seen: u64,
    seen_at: Moment,
}

/// The server's figures, as the status needs them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::media) struct Told {
    pub(in crate::media) figures: RemoteFigures,
    pub(in crate::media) kbps: f64,
    pub(in crate::media) uptime: Duration,
}

impl Pulled {
    pub(super) fn new() -> Self {
        Self {
            wake: Notify::new(),
            cues: AtomicU32::new(0),
            looked_until: AtomicI64::new(-1),
            last_bytes: AtomicI64::new(-1),
            watched_from: AtomicI64::new(-1),
            media_time: AtomicI64::new(0),
            suspected: AtomicBool::new(false),
            mute: AtomicBool::new(false),
            advice: ArcSwapOption::empty(),
            unusable: ArcSwapOption::empty(),
            figures: Mutex::default(),
        }
    }

    /// Something is wanted, or no longer. Wakes the pull; never blocks.
    pub(super) fn wake(&self) {
        self.wake.notify_one();
    }

    pub(super) async fn woken(&self) {
        self.wake.notified().await;
    }

    pub(super) fn cued(&self) {
        self.cues.fetch_add(1, Relaxed);
    }

    pub(super) fn cues(&self) -> u32 {
        self.cues.load(Relaxed)
    }

    /// Somebody looks at this input, and wants to see it for `LOOKED_AT` from `now` on.
    pub(in crate::media) fn look_at(&self, now: Moment) {
        let before = self.looked_until.swap((now + LOOKED_AT).as_micros(), Relaxed);
        if before < now.as_micros() {
            self.wake();
        }
    }

    pub(super) fn is_looked_at(&self, now: Moment) -> bool {
        self.looked_until.load(Relaxed) > now.as_micros()
    }

    pub(super) fn note_bytes(&self, at: Moment) {
        self.last_bytes.store(at.as_micros(), Relaxed);
    }

    pub(super) fn last_bytes(&self) -> i64 {
        self.last_bytes.load(Relaxed)
    }

    /// From here on silence is the streamer's; `None`: it is not pulled, so that silence says nothing.
    pub(super) fn watch_from(&self, at: Option<Moment>) {
        self.watched_from.store(at.map_or(-1, Moment::as_micros), Relaxed);
    }

    /// See [`Pulled::watch_from`].
    pub(in crate::media) fn watched_from(&self) -> Option<i64> {
        Some(self.watched_from.load(Relaxed)).filter(|at| *at >= 0)
    }

    pub(super) fn note_time(&self, step: MediaTime) {
        self.media_time.fetch_add(step.as_micros(), Relaxed);
    }

    /// Microseconds of the stream's own time that were measured.
    pub(in crate::media) fn media_time(&self) -> i64 {
        self.media_time.load(Relaxed)
    }

    pub(super) fn is_suspected(&self) -> bool {
        self.suspected.load(Relaxed)
    }

    pub(super) fn clear_suspicion(&self) {
        self.suspected.store(false, Relaxed);
    }

    pub(super) fn set_mute(&self, mute: bool) {
        self.mute.store(mute, Relaxed);
    }

    pub(super) fn is_mute(&self) -> bool {
        self.mute.load(Relaxed)
    }

    pub(super) fn advise(&self, advice: Option<String>) {
        if advice.is_some() || self.advice.load().is_some() {
            self.advice.store(advice.map(Arc::new));
        }
    }

    pub(in crate::media) fn advice(&self) -> Option<String> {
        self.advice.load().as_deref().cloned()
    }

    /// What it sends cannot be used, now or when it is sent again.
    pub(super) fn set_unusable(&self, flaw: Flaw, reason: String) {
        self.unusable.store(Some(Arc::new((flaw, reason.into()))));
    }

    pub(in crate::media) fn unusable(&self) -> Option<(Flaw, Arc<str>)> {
        self.unusable.load().as_deref().cloned()
    }

    /// What the server said at `at`, when the pulls had counted `counted` bytes. `fed`: its silence is judged by frames.
    pub(super) fn report(&self, figures: RemoteFigures, at: Moment, counted: u64, fed: bool) {
        let mut held = self.figures.lock().unwrap_or_else(PoisonError::into_inner);
        let held = &mut *held;
        let (before, passed) = match &held.last {
            Some((before, when)) => (before.bytes, at.since(*when)),
            None => (0, figures.uptime),
        };
        let grown = figures.bytes.saturating_sub(before);
        if grown > 0 || held.last.is_none() {
            held.grown = at;
        }
        // A server brings its count up to date only every few seconds.
        let silent = at.since(held.grown) >= CERTAIN;
        if grown > 0 && !passed.is_zero() {
            held.rate = grown as f64 / passed.as_secs_f64();
        } else if silent {
            held.rate = 0.0;
        }
        let suspected = silent && !fed;
        if suspected != self.suspected.swap(suspected, Relaxed) {
            self.wake();
        }
        held.counted = counted;
        held.last = Some((figures, at));
    }

    /// The latest report.
    pub(in crate::media) fn told(&self, now: Moment) -> Option<Told> {
        let held = self.figures.lock().unwrap_or_else(PoisonError::into_inner);
        let (figures, at) = held.last.clone()?;
        // SRS says a mean of 30 s, and nothing in the first of them.
        let kbps = figures.kbps.filter(|kbps| *kbps > 0.0).unwrap_or(held.rate * 8.0 / 1000.0);
        Some(Told { kbps, uptime: figures.uptime + now.since(at), figures })
    }

    /// Bytes since the publish: the server's count, and since its last report what the pulls counted or, without a pull, as much as came
    /// in before. Never falls, and grows as long as there is a sign of life: whoever compares two values learns that.
    pub(in crate::media) fn bytes(&self, counted: u64, now: Moment) -> u64 {
        let mut held = self.figures.lock().unwrap_or_else(PoisonError::into_inner);
        let held = &mut *held;
        let grown = counted > held.seen;
        if grown {
            (held.seen, held.seen_at) = (counted, now);
        }
        let watched = self.watched_from().is_some();
        let (bytes, alive) = match &held.last {
            // Until the server is heard, who was just seen is taken to go on.
            None => (counted, counted > 0 && now.since(held.seen_at) < MOST_GUESSED),
            Some((figures, at)) => {
                let pulled = counted.saturating_sub(held.counted);
                let guessed = held.rate * GUESS * now.since(*at).min(MOST_GUESSED).as_secs_f64();
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bytes of some seconds")]
                let guessed = if watched { 0 } else { guessed as u64 };
                (figures.bytes + pulled.max(guessed), held.rate > 0.0 && now.since(*at) < MOST_GUESSED)
            }
        };
        let least = held.said + u64::from(grown || (alive && !watched));
        held.said = bytes.max(counted).max(least);
        held.said
    }
}
