//! OBS's own stream: when it is started and stopped. Pure: what is known comes in with the present, orders come out.
//!
//! Two starts back to back crash OBS, and a status says "inactive" while it starts. So there is one gate for all starts, the box's and
//! people's: after one was sent none follows until OBS said how that went, or was seen gone, or `UNHEARD` is over.

use std::time::Duration;

use obws::events::OutputState;
use tokio::time::Instant;

use super::{Streaming, link::StreamState};

/// OBS gives a platform that is silent up about 30 s after a start; later nothing can be under way.
const UNHEARD: Duration = Duration::from_secs(45);
/// A fresh connection may find somebody else's start under way, which a status does not show.
const SETTLE: Duration = Duration::from_secs(2);
/// OBS writes out what waits before it stops.
const STOPS: Duration = Duration::from_secs(20);
/// Between two tries.
const PAUSE: Duration = Duration::from_secs(5);
/// A stream that ran so long worked; its end is the first failure, not the next.
const WORKED: Duration = Duration::from_mins(1);
/// So many failures in a row, and it waits for a person.
const FAILURES: u32 = 3;

/// What is to be sent to OBS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// `StartStream`.
    Start,
    /// `StopStream`.
    Stop,
}

/// The state machine. `Running`, `Reconnecting` and `Stopped` follow OBS; `GivenUp` is `Stopped` after three failures.
#[derive(Debug, Default)]
pub(super) struct Watch {
    state: Streaming,
    /// Whether the box looks after the stream: by setting, while the show is on.
    wanted: bool,
    /// Whether it was the box that started it, so that the box stops it.
    ours: bool,
    /// A person stopped it: left alone until the next show or a person's start.
    hands_off: bool,
    failures: u32,
    /// When a start was sent whose result is not known.
    started: Option<Instant>,
    /// When a stop was sent.
    stopping: Option<Instant>,
    /// Since when it streams.
    running: Option<Instant>,
    /// No start before that.
    not_before: Option<Instant>,
}

impl Watch {
    /// What people see.
    pub(super) fn state(&self) -> Streaming {
        match self.state {
            Streaming::Stopped if self.failures >= FAILURES => Streaming::GivenUp,
            state => state,
        }
    }

    /// A connection is there.
    pub(super) fn connected(&mut self, now: Instant) {
        (self.state, self.stopping) = (Streaming::Unknown, None);
        self.not_before = self.not_before.max(Some(now + SETTLE));
    }

    /// The connection is gone. `process_gone` says that this OBS ended or is another: nothing of it is under way.
    pub(super) fn away(&mut self, process_gone: bool) {
        (self.state, self.running) = (Streaming::Unknown, None);
        if process_gone {
            (self.started, self.ours) = (None, false);
        }
    }

    /// What the show and the settings ask for.
    pub(super) fn want(&mut self, wanted: bool) {
        if wanted != self.wanted {
            (self.wanted, self.hands_off, self.failures) = (wanted, false, 0);
        }
    }

    /// A person asks to try again.
    pub(super) fn forgive(&mut self) {
        (self.failures, self.hands_off) = (0, false);
    }

    /// What a status says.
    pub(super) fn status(&mut self, status: StreamState, now: Instant) {
        match (status.active, status.reconnecting) {
            (true, true) => self.streams(Streaming::Reconnecting, now),
            // It streams for a moment after a stop, and for good when the stop was lost.
            (true, false) if self.stopping.is_some_and(|since| now.duration_since(since) < STOPS) => {}
            (true, false) => self.streams(Streaming::Running, now),
            // It says so while it starts, too.
            (false, _) if self.started.is_some_and(|started| now.duration_since(started) < UNHEARD) => {
                self.state = Streaming::Starting;
            }
            (false, _) if self.started.is_some() => self.failed(now),
            (false, _) => match self.state {
                Streaming::Running | Streaming::Reconnecting => self.ended(now),
                Streaming::Starting => {}
                _ => self.state = Streaming::Stopped,
            },
        }
    }

    /// What an event says.
    pub(super) fn event(&mut self, state: OutputState, now: Instant) {
        match state {
            OutputState::Starting => {
                self.started.get_or_insert(now);
                self.state = Streaming::Starting;
            }
            OutputState::Started | OutputState::Reconnected => self.streams(Streaming::Running, now),
            OutputState::Reconnecting => self.streams(Streaming::Reconnecting, now),
            OutputState::Stopping => {
                // OBS says so only when it was told to stop, not when the stream broke.
                if self.state != Streaming::Stopping {
                    self.hands_off = true;
                }
                self.stop(now);
            }
            OutputState::Stopped => match self.state {
                Streaming::Starting => self.failed(now),
                Streaming::Running | Streaming::Reconnecting => self.ended(now),
                _ => self.stopped(now),
            },
            _ => {}
        }
    }

    /// What is to be sent now. Whoever gets an order sends it, and calls `refused` if OBS says no.
    pub(super) fn order(&mut self, now: Instant) -> Option<Order> {
        match self.state() {
            Streaming::Stopped if self.wanted && !self.hands_off && self.may_start(now) => {
                self.ours = true;
                Some(self.start(now))
            }
            Streaming::Running | Streaming::Reconnecting if self.ours && !self.wanted => {
                self.ours = false;
                Some(self.stop(now))
            }
            _ => None,
        }
    }

    /// A person's order: what is to be sent, if anything.
    ///
    /// # Errors
    /// In words, when it starts or stops just now.
    pub(super) fn person(&mut self, on: bool, now: Instant) -> Result<Option<Order>, String> {
        match (self.state(), on) {
            (Streaming::Starting, _) => Err("OBS is starting its stream just now: wait for how that goes".to_owned()),
            (Streaming::Stopping, _) => Err("OBS is stopping its stream just now: wait a moment".to_owned()),
            (Streaming::Unknown, _) => Err("OBS has not said yet whether it streams: wait a moment".to_owned()),
            (Streaming::Running | Streaming::Reconnecting, true) => Ok(None),
            (Streaming::Running | Streaming::Reconnecting, false) => {
                (self.ours, self.hands_off) = (false, true);
                Ok(Some(self.stop(now)))
            }
            (Streaming::Stopped | Streaming::GivenUp, true) => {
                self.forgive();
                self.ours = self.wanted;
                Ok(Some(self.start(now)))
            }
            (Streaming::Stopped | Streaming::GivenUp, false) => {
                self.hands_off = true;
                Ok(None)
            }
        }
    }

    /// OBS refused an order.
    pub(super) fn refused(&mut self, order: Order, now: Instant) {
        match order {
            Order::Start => self.failed(now),
            // The next status says what it does.
            Order::Stop => (self.state, self.stopping) = (Streaming::Unknown, None),
        }
    }

    /// When `order` is to be asked again although nothing happens.
    pub(super) fn wake(&self) -> Option<Instant> {
        self.not_before.filter(|_| self.wanted && self.state() == Streaming::Stopped)
    }

    fn may_start(&self, now: Instant) -> bool {
        self.started.is_none() && self.not_before.is_none_or(|not_before| not_before <= now)
    }

    fn start(&mut self, now: Instant) -> Order {
        (self.state, self.started) = (Streaming::Starting, Some(now));
        Order::Start
    }

    fn stop(&mut self, now: Instant) -> Order {
        (self.state, self.stopping) = (Streaming::Stopping, Some(now));
        Order::Stop
    }

    fn streams(&mut self, state: Streaming, now: Instant) {
        (self.state, self.started, self.stopping) = (state, None, None);
        let since = *self.running.get_or_insert(now);
        if state == Streaming::Running && now.duration_since(since) >= WORKED {
            self.failures = 0;
        }
    }

    /// It streamed and does not any more, without being told.
    fn ended(&mut self, now: Instant) {
        if self.running.is_some_and(|since| now.duration_since(since) >= WORKED) {
            self.failures = 0;
        }
        self.failed(now);
    }

    fn failed(&mut self, now: Instant) {
        self.stopped(now);
        if self.wanted {
            self.failures += 1;
        }
    }

    fn stopped(&mut self, now: Instant) {
        (self.state, self.started, self.stopping, self.running) = (Streaming::Stopped, None, None, None);
        self.not_before = Some(now + PAUSE);
    }
}
