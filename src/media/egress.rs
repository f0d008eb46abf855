//! One destination: pipeline, liveness, backoff. It connects, fails, backs off and reconnects without anybody else noticing.
//!
//! Two halves. The [`EgressFeed`] lives in the pacing thread and only ever hands tags over. The task behind the
//! [`EgressControl`] connects, watches, judges and tries again; it alone makes and ends sessions. Between them is one atomic
//! pointer to the session that runs.
//!
//! ```text
//! Disabled <-> WaitingForShow <-> WaitingForClock
//!                    |
//!                    v
//!               Connecting <---- BackingOff, Refused
//!                |   |               ^
//!                |   +-- it fails ---+
//!                v                   |
//!               Live ---- it fails --+
//! ```
//!
//! From every state a change of what is wanted leads back to the top. A platform that says that it is elsewhere is followed once a
//! try, where that is the same people's, and without a change of state.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use secrecy::ExposeSecret;
use tokio::{
    runtime::Handle,
    sync::watch,
    task::JoinHandle,
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::Instrument;

use self::{
    feed::Shared,
    judge::Judge,
    liveness::{Liveness, Meter},
    retry::Retry,
    session::Session,
};
use crate::{
    clock::Clock,
    core::{
        destination::{ClosedAt, Destination, DestinationFailure, DestinationState, DestinationStatus, Protocol},
        moment::Moment,
    },
};

mod feed;
mod inquiry;
mod judge;
mod liveness;
mod look;
mod protocols;
mod retry;
mod rtmp;
mod session;
#[cfg(test)]
mod tests;
mod transport;
mod trial;
mod trust;

pub use feed::EgressFeed;
pub use look::{Handshake, reach, shake_hands};
pub use protocols::elements;
pub use trial::{Trial, TrialVerdict, try_out};
pub use trust::BUNDLES;

/// How often a session that connects is looked at: the platform's yes is seen this late.
const CONNECTING_LOOK: Duration = Duration::from_millis(25);
/// How often a live session is looked at. Each look costs one lock and a few allocations.
const LIVE_LOOK: Duration = Duration::from_millis(500);
/// From the first step to the platform's yes: a protocol gives a silent peer up before, but not one that drips.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// A session that the platform closes sooner than this was refused, more likely than not.
const AT_ONCE: Duration = Duration::from_secs(3);
/// How often the countdown to the next try is published.
const COUNTDOWN: Duration = Duration::from_secs(1);
/// How often a wrong clock is looked at.
const CLOCK_LOOK: Duration = Duration::from_secs(1);
/// `stop` waits this long for the session's polite end and the pipeline's rest.
const STOP_LIMIT: Duration = Duration::from_secs(4);
/// A wall clock before this is wrong: the box has no clock battery and starts in the past, where no certificate is valid yet.
const CLOCK_FLOOR: i64 = 1_767_225_600; // 2026-01-01T00:00:00Z

/// What platforms hear when the box ends.
///
/// A platform ends the broadcast of a session that says `FCUnpublish` and `deleteStream`, and keeps that of a connection which only breaks
/// for half a minute to a minute and a half, for the encoder to come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parting {
    /// It is over: each session is ended in the words of its protocol.
    Goodbye,
    /// The box comes back: connections are closed without a word, so that the broadcast is there still.
    Interruption,
}

/// What is wanted of a destination.
#[derive(Clone, Debug)]
struct Wanted {
    destination: Destination,
    show: bool,
}

impl Wanted {
    /// Whether a session made for this serves for `other` too: a new name changes nothing.
    fn same_session(&self, other: &Self) -> bool {
        self.show == other.show && self.destination.enabled == other.destination.enabled && self.same_target(other)
    }

    fn same_target(&self, other: &Self) -> bool {
        self.destination.url == other.destination.url
            && self.destination.key.expose_secret() == other.destination.key.expose_secret()
    }
}

/// The control half's handle. Dropping it ends the destination as `stop` does, without waiting.
#[derive(Debug)]
pub struct EgressControl {
    wanted: watch::Sender<Wanted>,
    status: watch::Receiver<DestinationStatus>,
    interrupted: Arc<AtomicBool>,
    token: CancellationToken,
    task: Option<JoinHandle<()>>,
}

impl EgressControl {
    /// Begins or ends the show for this destination. The end closes the platform's session.
    pub fn set_show(&self, on: bool) {
        self.wanted.send_if_modified(|wanted| std::mem::replace(&mut wanted.show, on) != on);
    }

    /// Replaces what is wanted. A session goes on unless address, key or `enabled` changed.
    pub fn update(&self, destination: Destination) {
        self.wanted.send_modify(|wanted| wanted.destination = destination);
    }

    /// What it does; changes at each change of state, and about twice a second while live.
    pub fn status(&self) -> watch::Receiver<DestinationStatus> {
        self.status.clone()
    }

    /// Closes the platform's session and ends the task. Waits at most 4 s; 2 s are for the platform. A session that is over anyhow, because
    /// the show is or something else is wanted by now, ends with a goodbye in either case.
    pub async fn stop(mut self, parting: Parting) {
        self.interrupted.store(parting == Parting::Interruption, Ordering::Release);
        self.token.cancel();
        if let Some(task) = self.task.take()
            && timeout(STOP_LIMIT, task).await.is_err()
        {
            tracing::error!("a destination does not stop");
        }
    }
}

impl Drop for EgressControl {
    fn drop(&mut self) {
        self.token.cancel();
    }
}

/// One destination.
#[derive(Debug)]
pub struct Egress {
    wanted: watch::Receiver<Wanted>,
    status: watch::Sender<DestinationStatus>,
    /// The end that `token` orders is an interruption.
    interrupted: Arc<AtomicBool>,
    token: CancellationToken,
    clock: Clock,
    wall: fn() -> Timestamp,
    shared: Arc<Shared>,
    retry: Retry,
    judge: Judge,
    meter: Meter,
    /// Bytes of the sessions before the one that runs.
    earlier_bytes: u64,
    /// Sessions of this show that became live.
    sessions: u64,
    /// The platform accepted this address and key before.
    known_good: bool,
    /// What was logged last.
    logged: Option<DestinationState>,
}

/// Whether a destination cannot be reached before the clock is right, and it is not. `now` is what it says.
fn waits_for_clock(destination: &Destination, now: Timestamp) -> bool {
    destination.protocol().is_some_and(Protocol::is_encrypted) && now.as_second() < CLOCK_FLOOR
}

/// How a session ended.
enum Ended {
    /// Something else is wanted now, or nothing any more.
    Wanted,
    /// The platform refused it, or the way there broke.
    Failed(DestinationFailure),
}

impl Egress {
    /// Starts a destination's task on `runtime`. The feed belongs into the pacing thread, which `push`es at each tick. Ends with
    /// `token`, politely; `tracker` is told.
    pub fn spawn(
        destination: Destination,
        show: bool,
        clock: Clock,
        runtime: &Handle,
        tracker: &TaskTracker,
        token: &CancellationToken,
    ) -> (EgressControl, EgressFeed) {
        Self::spawn_with(destination, show, clock, Timestamp::now, runtime, tracker, token)
    }

    fn spawn_with(
        destination: Destination,
        show: bool,
        clock: Clock,
        wall: fn() -> Timestamp,
        runtime: &Handle,
        tracker: &TaskTracker,
        token: &CancellationToken,
    ) -> (EgressControl, EgressFeed) {
        let span = tracing::info_span!("destination", id = destination.id.0);
        let shared = Arc::new(Shared::default());
        let feed = EgressFeed::new(shared.clone());
        let first = if destination.enabled { DestinationState::WaitingForShow } else { DestinationState::Disabled };
        let (status, status_receiver) = watch::channel(DestinationStatus::new(first));
        let (wanted, wanted_receiver) = watch::channel(Wanted { destination, show });
        let token = token.child_token();
        let interrupted = Arc::new(AtomicBool::new(false));
        let egress = Self {
            wanted: wanted_receiver,
            status,
            interrupted: interrupted.clone(),
            token: token.clone(),
            clock,
            wall,
            shared,
            retry: Retry::default(),
            judge: Judge::default(),
            meter: Meter::default(),
            earlier_bytes: 0,
            sessions: 0,
            known_good: false,
            logged: None,
        };
        let task = tracker.spawn_on(egress.run().instrument(span), runtime);
        (EgressControl { wanted, status: status_receiver, interrupted, token, task: Some(task) }, feed)
    }

    async fn run(mut self) {
        let mut last: Option<Wanted> = None;
        while !self.token.is_cancelled() {
            let wanted = self.wanted.borrow_and_update().clone();
            if last.as_ref().is_none_or(|last| !last.same_session(&wanted)) {
                self.retry.reset();
                self.judge.reset();
                self.known_good &= last.as_ref().is_some_and(|last| last.same_target(&wanted));
            }
            if !wanted.show {
                self.sessions = 0;
            }
            last = Some(wanted.clone());
            if let Some(state) = self.hindrance(&wanted) {
                let look_again = if state == DestinationState::WaitingForClock { CLOCK_LOOK } else { Duration::MAX };
                self.enter(&wanted, state);
                self.rest(look_again).await;
                continue;
            }
            self.retry.trying(self.clock.now());
            self.enter(&wanted, DestinationState::Connecting);
            let mut server = wanted.destination.clone();
            let mut ended = self.session(&wanted, &server).await;
            if let Ended::Failed(DestinationFailure::Moved(moved)) = &ended
                && let Some(there) = moved.follow(&wanted.destination)
            {
                tracing::info!(
                    destination = wanted.destination.name,
                    server = there.redacted(),
                    "destination follows its platform elsewhere"
                );
                server = there;
                ended = self.session(&wanted, &server).await;
            }
            if let Ended::Failed(failure) = ended {
                self.back_off(&wanted, &server, &failure).await;
            }
        }
    }

    /// Why there is to be no session now.
    fn hindrance(&self, wanted: &Wanted) -> Option<DestinationState> {
        if !wanted.destination.enabled {
            Some(DestinationState::Disabled)
        } else if !wanted.show {
            Some(DestinationState::WaitingForShow)
        } else if waits_for_clock(&wanted.destination, (self.wall)()) {
            Some(DestinationState::WaitingForClock)
        } else {
            None
        }
    }

    /// Waits for something else to be wanted, for the end, or for `limit`. True if something changed.
    async fn rest(&mut self, limit: Duration) -> bool {
        tokio::select! {
            () = self.token.cancelled() => true,
            changed = self.wanted.changed() => {
                if changed.is_err() {
                    self.token.cancel();
                }
                true
            }
            () = sleep(limit) => false,
        }
    }

    /// One session with `server`, from the first step to its end.
    async fn session(&mut self, wanted: &Wanted, server: &Destination) -> Ended {
        let began = self.clock.now();
        let mut session = match protocols::connect(server.clone()).await {
            Ok(session) => session,
            Err(failure) => return Ended::Failed(failure),
        };
        self.shared.outlet.store(Some(session.outlet()));
        let mut live = None;
        let ended = loop {
            let look = if live.is_some() { LIVE_LOOK } else { CONNECTING_LOOK };
            tokio::select! {
                biased;
                () = self.token.cancelled() => break Ended::Wanted,
                changed = self.wanted.changed() => {
                    if changed.is_err() {
                        self.token.cancel();
                    }
                    if !wanted.same_session(&self.wanted.borrow_and_update()) {
                        break Ended::Wanted;
                    }
                }
                failure = session.failure() => break Ended::Failed(failure),
                () = sleep(look) => {
                    let now = self.clock.now();
                    let failed = match &mut live {
                        None => self.look_while_connecting(wanted, &session, began, &mut live, now),
                        Some((_, liveness)) => {
                            let sample = session.sample();
                            self.publish_figures(sample.sent, now);
                            liveness.judge(sample, now).map(|what| DestinationFailure::Frozen(what.to_owned()))
                        }
                    };
                    if let Some(failure) = failed {
                        break Ended::Failed(failure);
                    }
                }
            }
        };
        // From here on the pacing thread hands nothing over.
        self.shared.outlet.store(None);
        self.status.send_if_modified(|status| std::mem::take(&mut status.waits_for_key_frame));
        self.earlier_bytes += session.sample().sent;
        let now = self.clock.now();
        let lasted = live.map(|(since, _)| {
            self.retry.was_live(since, now);
            now.since(since)
        });
        self.publish_figures(0, now);
        match ended {
            Ended::Wanted => {
                // It is wanted as much as before, and taken up again by the next start.
                let comes_back = self.interrupted.load(Ordering::Acquire);
                if comes_back && wanted.same_session(&self.wanted.borrow()) {
                    session.close().await;
                } else {
                    session.finish().await;
                }
                Ended::Wanted
            }
            Ended::Failed(failure) => {
                session.close().await;
                // One that waited for a key frame was not closed at once, though it never was live.
                let at_once = lasted.map_or_else(|| now.since(began) < CONNECT_LIMIT, |lasted| lasted < AT_ONCE);
                let failure = match failure {
                    DestinationFailure::Closed(ClosedAt::Live) if at_once => {
                        DestinationFailure::Closed(ClosedAt::Accepted)
                    }
                    failure => failure,
                };
                if lasted.is_some_and(|lasted| lasted >= AT_ONCE) {
                    self.judge.was_live();
                }
                self.understand(server, failure).await
            }
        }
    }

    /// Looks at a failure more closely, unless something else is wanted meanwhile.
    async fn understand(&mut self, server: &Destination, failure: DestinationFailure) -> Ended {
        let now = self.clock.now();
        tokio::select! {
            biased;
            () = self.token.cancelled() => Ended::Wanted,
            _ = self.wanted.changed() => {
                // The loop above looks what it is, and whether its end is meant.
                self.wanted.mark_changed();
                Ended::Wanted
            }
            failure = self.judge.closer(server, failure, now) => Ended::Failed(failure),
        }
    }

    /// Looks at a session that is not live yet, and notes when it becomes so. Says why it is to be given up.
    fn look_while_connecting(
        &mut self,
        wanted: &Wanted,
        session: &Session,
        began: Moment,
        live: &mut Option<(Moment, Liveness)>,
        now: Moment,
    ) -> Option<DestinationFailure> {
        if session.look_for_acceptance() {
            if session.outlet().has_begun() {
                *live = Some((now, Liveness::new(now)));
                self.known_good = true;
                self.sessions += 1;
                self.meter = Meter::default();
                self.status.send_modify(|status| status.reconnects += u64::from(self.sessions > 1));
                self.enter(wanted, DestinationState::Live);
            }
            let waits = live.is_none() && session.outlet().is_heard();
            self.status.send_if_modified(|status| std::mem::replace(&mut status.waits_for_key_frame, waits) != waits);
            return None;
        }
        (now.since(began) >= CONNECT_LIMIT).then_some(DestinationFailure::Silent)
    }

    /// Waits until the next try, and says so.
    async fn back_off(&mut self, wanted: &Wanted, server: &Destination, failure: &DestinationFailure) {
        let began = self.clock.now();
        let dice = rand::random::<f64>();
        let refused = failure.is_refusal();
        let wait = if refused {
            self.retry.after_refusal(began, self.known_good, dice)
        } else {
            self.retry.after_failure(began, dice)
        };
        let reason = failure.words(server);
        loop {
            let left = wait.saturating_sub(self.clock.now().since(began));
            if left.is_zero() {
                return;
            }
            let retry_in_seconds = left.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX);
            let reason = reason.clone();
            let state = if refused {
                DestinationState::Refused { reason, retry_in_seconds }
            } else {
                DestinationState::BackingOff { reason, retry_in_seconds }
            };
            self.enter(wanted, state);
            if self.rest(left.min(COUNTDOWN)).await {
                return;
            }
        }
    }

    /// Publishes a state, and logs it if it says something new: not each try of an outage, not each second of a countdown.
    fn enter(&mut self, wanted: &Wanted, state: DestinationState) {
        let destination = wanted.destination.name.as_str();
        let server = wanted.destination.redacted();
        let again = match (&self.logged, &state) {
            (
                Some(DestinationState::BackingOff { reason: before, .. }),
                DestinationState::BackingOff { reason, .. },
            )
            | (Some(DestinationState::Refused { reason: before, .. }), DestinationState::Refused { reason, .. }) => {
                before == reason
            }
            (
                Some(DestinationState::BackingOff { .. } | DestinationState::Refused { .. }),
                DestinationState::Connecting,
            ) => true,
            (Some(before), state) => before == state,
            (None, _) => false,
        };
        if !again {
            match &state {
                DestinationState::BackingOff { reason, .. } => {
                    tracing::warn!(destination, server, error = reason, "destination failed, trying again");
                }
                DestinationState::Refused { reason, .. } => {
                    tracing::warn!(destination, server, error = reason, "destination refused");
                }
                DestinationState::WaitingForClock => {
                    tracing::warn!(destination, server, "destination waits for the clock to be right");
                }
                DestinationState::Live => tracing::info!(destination, server, "destination live"),
                DestinationState::Connecting => tracing::info!(destination, server, "destination connecting"),
                DestinationState::WaitingForShow => tracing::info!(destination, server, "destination waits for a show"),
                DestinationState::Disabled => tracing::info!(destination, server, "destination disabled"),
            }
            self.logged = Some(state.clone());
        }
        self.status.send_if_modified(|status| {
            let changed = status.state != state;
            status.state = state;
            changed
        });
    }

    /// Publishes the counters. `sent` is what the session that runs has sent.
    fn publish_figures(&mut self, sent: u64, now: Moment) {
        let bytes = self.earlier_bytes + sent;
        self.meter.note(bytes, now);
        let kbps = if self.shared.outlet.load().is_some() { self.meter.kbps() } else { 0.0 };
        let dropped_frames = self.shared.dropped_frames.load(Ordering::Relaxed);
        self.status.send_modify(|status| {
            status.bytes = bytes;
            status.kbps = kbps;
            status.dropped_frames = dropped_frames;
        });
    }
}
