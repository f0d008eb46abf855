//! When a connection is pulled, and when again: a task of its own for each that was announced.
//!
//! It is pulled while it is cued; at once when it is announced, and now and then while it is not ready or stalled, until a key frame
//! came (a *probe*); and for 3 s in every 10 while somebody looks. Otherwise it costs nothing. A pull that fails is tried again
//! as long as it is wanted: whether the streamer still sends is for the server to say.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::Semaphore,
    time::{sleep, sleep_until, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::fetch::{Failure, Fetch, Intake};
use super::{
    Pulled,
    reception::{Purpose, Reception},
    tap::Gauge,
};
use crate::{
    clock::Clock,
    core::{flaw::Flaw, frame::PullAddress, moment::Moment},
};

mod fetch;
mod http;

/// Probes at the same time: fifty encoders that come at once do not open fifty pulls at once.
pub(super) const PROBES: usize = 8;
/// A probe takes at least so long to say that nothing comes: sound alone makes a connection ready after 3 s.
const PROBE: Duration = Duration::from_secs(4);
/// Between two probes of one connection.
const PROBE_PAUSE: Duration = Duration::from_secs(2);
/// Of a connection that somebody looks at so much is pulled ...
const LOOK: Duration = Duration::from_secs(3);
/// ... in each such time.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// A server that sends nothing for so long has lost us, or its streamer is silent, and then it costs nothing to ask again.
const SILENCE: Duration = Duration::from_secs(5);
/// How long a connection to the server may take to be made.
const OPEN: Duration = Duration::from_secs(6);
/// The first wait before another try; each later one is twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// The longest wait before another try.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// A pull that lasted so long ends a row of failures.
const STABLE: Duration = Duration::from_secs(2);

/// What all pulls share.
#[derive(Clone)]
pub(in crate::media) struct Parts {
    pub(in crate::media) clock: Clock,
    /// The programme's buffer: silence that is longer counts as a stall, which a probe must be able to see.
    pub(in crate::media) latency: Duration,
    pub(in crate::media) runtime: tokio::runtime::Handle,
    pub(in crate::media) tracker: TaskTracker,
    pub(in crate::media) token: CancellationToken,
}

/// One connection's task.
pub(super) struct Pull {
    parts: Parts,
    gauge: Arc<Gauge>,
    pulled: Arc<Pulled>,
    address: PullAddress,
    reception: Arc<Mutex<Reception>>,
    probes: Arc<Semaphore>,
    /// Ended with the connection.
    token: CancellationToken,
    next_probe: Moment,
    next_look: Moment,
    next_try: Moment,
    failures: u32,
    /// What was last said in the log.
    said: Option<Failure>,
    /// The cue that is pulled or was pulled last.
    cue: u32,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    Pull(Purpose),
    /// Nothing before then, or before it is woken.
    Rest(Option<Moment>),
}

/// How a pull ended.
enum End {
    /// It is wanted no more, or for another purpose.
    Done,
    Failed(Failure),
}

impl Pull {
    pub(super) fn new(
        parts: Parts,
        (gauge, pulled): (Arc<Gauge>, Arc<Pulled>),
        address: PullAddress,
        reception: Arc<Mutex<Reception>>,
        probes: Arc<Semaphore>,
        token: CancellationToken,
    ) -> Self {
        Self {
            parts,
            gauge,
            pulled,
            address,
            reception,
            probes,
            token,
            next_probe: Moment::ZERO,
            next_look: Moment::ZERO,
            next_try: Moment::ZERO,
            failures: 0,
            said: None,
            cue: 0,
        }
    }

    /// Until the connection is over.
    pub(super) async fn run(mut self) {
        let token = self.token.clone();
        loop {
            let wish = self.wish(self.parts.clock.now());
            let pulled = self.pulled.clone();
            match wish {
                Wish::Rest(until) => {
                    let until = until.map(|until| self.parts.clock.instant(until).into());
                    let rest = async {
                        match until {
                            Some(until) => sleep_until(until).await,
                            None => std::future::pending().await,
                        }
                    };
                    tokio::select! {
                        () = token.cancelled() => break,
                        () = pulled.woken() => {}
                        () = rest => {}
                    }
                }
                Wish::Pull(Purpose::Probe) => {
                    let probes = self.probes.clone();
                    let permit = tokio::select! {
                        () = token.cancelled() => break,
                        () = pulled.woken() => continue,
                        permit = probes.acquire() => permit,
                    };
                    self.pull(Purpose::Probe).await;
                    drop(permit);
                }
                Wish::Pull(purpose) => self.pull(purpose).await,
            }
            if token.is_cancelled() {
                break;
            }
        }
        self.receive().end();
    }

    fn receive(&self) -> MutexGuard<'_, Reception> {
        self.reception.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wish(&mut self, now: Moment) -> Wish {
        let mut soonest: Option<Moment> = None;
        let mut due = |at: Moment| {
            if at > now {
                soonest = Some(soonest.map_or(at, |soonest| soonest.min(at)));
            }
            at <= now
        };
        if self.gauge.is_fed() {
            let cue = self.pulled.cues();
            // For a new cue nobody waits.
            if cue != self.cue || due(self.next_try) {
                return Wish::Pull(Purpose::Cue(cue));
            }
            return Wish::Rest(Some(self.next_try));
        }
        self.pulled.watch_from(None);
        if (!self.gauge.is_ready() || self.gauge.is_stalled() || self.pulled.is_suspected())
            && due(self.next_probe.max(self.next_try))
        {
            return Wish::Pull(Purpose::Probe);
        }
        if self.pulled.is_looked_at(now) && due(self.next_look.max(self.next_try)) {
            return Wish::Pull(Purpose::Look);
        }
        Wish::Rest(soonest)
    }

    /// One pull from its beginning to its end.
    async fn pull(&mut self, purpose: Purpose) {
        let began = self.parts.clock.now();
        if let Purpose::Cue(cue) = purpose {
            if cue != self.cue {
                self.cue = cue;
                self.failures = 0;
                self.pulled.watch_from(Some(began));
            }
        } else {
            self.pulled.watch_from(None);
        }
        let number = self.receive().begin(purpose);
        let end = self.fetch(purpose, number).await;
        self.receive().end();
        let now = self.parts.clock.now();
        let heard = self.receive().has_heard();
        self.pulled.set_mute(!heard && now.since(began) >= STABLE);
        match purpose {
            // A cue's silence is a stall, also while the pull is tried again.
            Purpose::Cue(_) if self.gauge.is_fed() => {}
            _ => self.pulled.watch_from(None),
        }
        match purpose {
            Purpose::Probe => {
                self.next_probe = now + PROBE_PAUSE;
                if matches!(end, End::Done) {
                    self.pulled.clear_suspicion();
                }
            }
            Purpose::Look => self.next_look = began + LOOK_EVERY,
            Purpose::Cue(_) => {}
        }
        match end {
            End::Done => (self.next_try, self.failures) = (now, 0),
            End::Failed(failure) => self.failed(failure, began, now),
        }
    }

    fn failed(&mut self, failure: Failure, began: Moment, now: Moment) {
        if now.since(began) >= STABLE {
            self.failures = 0;
        }
        let wait = FIRST_WAIT.saturating_mul(1 << self.failures.min(10)).min(LONGEST_WAIT);
        self.next_try = now + wait.mul_f64(1.0 + 0.3 * rand::random::<f64>());
        self.failures += 1;
        // A server that is a moment late, or the end of the publish whose notice is on its way, is worth no line.
        if self.failures > 2 && self.said.as_ref() != Some(&failure) {
            tracing::warn!(connection = %self.gauge.connection, error = %failure, "a stream cannot be pulled, trying again");
            self.said = Some(failure.clone());
        }
        if let Failure::Unusable(error) = failure {
            match Flaw::of(&error) {
                Some(flaw) => self.pulled.set_unusable(flaw, error.to_string()),
                None => self.pulled.advise(Some(error.to_string())),
            }
        }
    }

    async fn fetch(&mut self, purpose: Purpose, number: u64) -> End {
        let intake = Intake::new(self.reception.clone(), number, self.parts.clock);
        let address = self.address.clone();
        let opening = timeout(OPEN, Fetch::open(&address, intake));
        tokio::pin!(opening);
        let opened = loop {
            tokio::select! {
                () = self.token.cancelled() => return End::Done,
                () = self.pulled.woken() => if !self.still(purpose) { return End::Done },
                opened = &mut opening => break opened,
            }
        };
        let mut fetch = match opened {
            Ok(Ok(fetch)) => fetch,
            Ok(Err(failure)) => return End::Failed(failure),
            Err(_) => return End::Failed(Failure::Silent(OPEN)),
        };
        let open = self.parts.clock.now();
        if !matches!(purpose, Purpose::Cue(_)) {
            self.pulled.watch_from(Some(open));
        }
        let end = self.watch(purpose, &mut fetch, open).await;
        // Before the pipeline's end, so that the next pull's frames are never mixed with this one's.
        self.receive().end();
        fetch.close().await;
        end
    }

    /// Whether the pull that runs is the one that is wanted.
    fn still(&self, purpose: Purpose) -> bool {
        match purpose {
            Purpose::Cue(cue) => self.gauge.is_fed_for(cue),
            Purpose::Probe => !self.gauge.is_fed() && !self.receive().reached(),
            Purpose::Look => !self.gauge.is_fed(),
        }
    }

    async fn watch(&mut self, purpose: Purpose, fetch: &mut Fetch, open: Moment) -> End {
        let longest = match purpose {
            Purpose::Cue(_) => Duration::MAX,
            Purpose::Probe => PROBE.max(self.parts.latency + Duration::from_millis(1500)),
            Purpose::Look => LOOK,
        };
        loop {
            let now = self.parts.clock.now();
            let passed = now.since(open);
            if passed >= longest || !self.still(purpose) {
                return End::Done;
            }
            let last = Duration::from_micros(u64::try_from(self.pulled.last_bytes()).unwrap_or(0));
            let silent = passed.min(now.since_start().saturating_sub(last));
            if silent >= SILENCE && matches!(purpose, Purpose::Cue(_)) {
                return End::Failed(Failure::Silent(SILENCE));
            }
            if passed >= STABLE && silent < STABLE {
                self.pulled.advise(None);
                if self.said.take().is_some() {
                    tracing::info!(connection = %self.gauge.connection, "the stream is pulled again");
                }
            }
            tokio::select! {
                () = self.token.cancelled() => return End::Done,
                () = self.pulled.woken() => {}
                failure = fetch.failure() => return End::Failed(failure),
                () = sleep(longest.saturating_sub(passed).min(Duration::from_secs(1))) => {}
            }
        }
    }
}
