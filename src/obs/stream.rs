//! OBS's own stream: when it is started and stopped. Pure: what is known comes in with the present, orders come out.
//!
//! OBS can crash at a start, and a status says "inactive" while it starts. So one gate keeps all starts apart, the box's and people's: after
//! one was sent none follows until OBS said how that went, or was seen gone, or `UNHEARD` is over.

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
/// OBS's stream is not started again sooner than this after it stopped.
const PAUSE: Duration = Duration::from_secs(5);
/// OBS refused to stop: the box asks again after that.
const INSIST: Duration = Duration::from_secs(30);
/// A stream that ran so long worked; its end is the first failure, not the next.
const WORKED: Duration = Duration::from_mins(1);
/// So many failures in a row, and it waits for a person.
const FAILURES: u32 = 3;

/// What is to be sent to OBS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StreamOrder {
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
    /// Whether it was the box that started it, so that the box stops it. Until it is seen to have stopped, or to be another OBS's.
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
    /// Nor a stop before that, because OBS refused one.
    no_stop_before: Option<Instant>,
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
                _ => (self.state, self.ours) = (Streaming::Stopped, false),
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
    pub(super) fn order(&mut self, now: Instant) -> Option<StreamOrder> {
        match self.state() {
            Streaming::Stopped if self.wanted && !self.hands_off && self.may_start(now) => {
                self.ours = true;
                Some(self.start(now))
            }
            Streaming::Running | Streaming::Reconnecting
                if self.ours && !self.wanted && self.no_stop_before.is_none_or(|not_before| not_before <= now) =>
            {
                Some(self.stop(now))
            }
            _ => None,
        }
    }

    /// A person's order: what is to be sent, if anything.
    ///
    /// # Errors
    /// In words, when it starts or stops just now.
    pub(super) fn person(&mut self, on: bool, now: Instant) -> Result<Option<StreamOrder>, String> {
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
    pub(super) fn refused(&mut self, order: StreamOrder, now: Instant) {
        match order {
            StreamOrder::Start => self.failed(now),
            StreamOrder::Stop => {
                self.no_stop_before = Some(now + INSIST);
                self.unsent(order, now);
            }
        }
    }

    /// OBS was not ready for an order: nothing came of it.
    pub(super) fn unsent(&mut self, order: StreamOrder, now: Instant) {
        match order {
            StreamOrder::Start => {
                (self.state, self.started, self.ours) = (Streaming::Stopped, None, false);
                self.not_before = Some(now + PAUSE);
            }
            // The next status says what it does.
            StreamOrder::Stop => (self.state, self.stopping) = (Streaming::Unknown, None),
        }
    }

    /// When `order` is to be asked again although nothing happens.
    pub(super) fn wake(&self) -> Option<Instant> {
        self.not_before.filter(|_| self.wanted && self.state() == Streaming::Stopped)
    }

    fn may_start(&self, now: Instant) -> bool {
        self.started.is_none() && self.not_before.is_none_or(|not_before| not_before <= now)
    }

    fn start(&mut self, now: Instant) -> StreamOrder {
        (self.state, self.started) = (Streaming::Starting, Some(now));
        StreamOrder::Start
    }

    fn stop(&mut self, now: Instant) -> StreamOrder {
        (self.state, self.stopping) = (Streaming::Stopping, Some(now));
        StreamOrder::Stop
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
            self.failures = (self.failures + 1).min(FAILURES);
        }
    }

    fn stopped(&mut self, now: Instant) {
        (self.state, self.started, self.stopping, self.running) = (Streaming::Stopped, None, None, None);
        self.ours = false;
        self.not_before = Some(now + PAUSE);
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OFF: StreamState = StreamState { active: false, reconnecting: false };
    const ON: StreamState = StreamState { active: true, reconnecting: false };
    const TRYING: StreamState = StreamState { active: true, reconnecting: true };

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// Connected, idle and settled.
    fn idle(now: Instant) -> Watch {
        let mut watch = Watch::default();
        watch.connected(now - seconds(60));
        watch.status(OFF, now);
        watch
    }

    #[test]
    fn show_starts_the_stream_once_and_its_end_stops_it() {
        let now = Instant::now();
        let mut watch = idle(now);
        assert_eq!(watch.order(now), None);
        watch.want(true);
        assert_eq!(watch.order(now), Some(StreamOrder::Start));
        assert_eq!((watch.state(), watch.order(now)), (Streaming::Starting, None));
        // A status says inactive while it starts.
        watch.status(OFF, now + seconds(2));
        assert_eq!((watch.state(), watch.order(now + seconds(2))), (Streaming::Starting, None));
        watch.event(OutputState::Starting, now + seconds(2));
        watch.event(OutputState::Started, now + seconds(3));
        assert_eq!(watch.state(), Streaming::Running);
        watch.want(false);
        assert_eq!(watch.order(now + seconds(9)), Some(StreamOrder::Stop));
        watch.event(OutputState::Stopping, now + seconds(9));
        watch.event(OutputState::Stopped, now + seconds(10));
        assert_eq!((watch.state(), watch.order(now + seconds(99))), (Streaming::Stopped, None));
    }

    #[test]
    fn stream_that_somebody_else_started_is_not_stopped() {
        let now = Instant::now();
        let mut watch = idle(now);
        watch.status(ON, now);
        watch.want(true);
        assert_eq!(watch.order(now), None);
        watch.want(false);
        assert_eq!(watch.order(now), None);
    }

    #[test]
    fn three_failures_wait_for_a_person() {
        let mut now = Instant::now();
        let mut watch = idle(now);
        watch.want(true);
        for tries in 1..=3 {
            assert_eq!(watch.order(now), Some(StreamOrder::Start), "{tries}");
            watch.event(OutputState::Starting, now);
            watch.event(OutputState::Stopped, now);
            assert_eq!(watch.order(now), None, "not at once");
            now = watch.wake().unwrap_or(now + seconds(60));
        }
        assert_eq!((watch.state(), watch.order(now + seconds(3600))), (Streaming::GivenUp, None));
        watch.forgive();
        assert_eq!(watch.order(now), Some(StreamOrder::Start));
    }

    #[test]
    fn stream_that_breaks_after_it_worked_is_tried_three_times_again() {
        let now = Instant::now();
        let mut watch = idle(now);
        watch.want(true);
        watch.failures = 2;
        watch.order(now).unwrap();
        watch.event(OutputState::Started, now);
        watch.event(OutputState::Reconnecting, now + seconds(100));
        assert_eq!(watch.state(), Streaming::Reconnecting);
        watch.event(OutputState::Stopped, now + seconds(200));
        assert_eq!((watch.state(), watch.failures), (Streaming::Stopped, 1));
        assert_eq!(watch.order(now + seconds(206)), Some(StreamOrder::Start));
    }

    #[test]
    fn second_person_is_told_that_it_starts() {
        let now = Instant::now();
        let mut watch = idle(now);
        assert_eq!(watch.person(true, now), Ok(Some(StreamOrder::Start)));
        assert!(watch.person(true, now).unwrap_err().contains("starting"));
        watch.event(OutputState::Started, now);
        assert_eq!(watch.person(true, now), Ok(None));
        assert_eq!(watch.person(false, now), Ok(Some(StreamOrder::Stop)));
        assert!(watch.person(true, now).unwrap_err().contains("stopping"));
    }

    #[test]
    fn person_who_stops_it_in_mid_show_is_obeyed() {
        let now = Instant::now();
        for in_obs in [false, true] {
            let mut watch = idle(now);
            watch.want(true);
            watch.order(now).unwrap();
            watch.event(OutputState::Started, now);
            if in_obs {
                watch.event(OutputState::Stopping, now);
            } else {
                watch.person(false, now).unwrap();
            }
            watch.event(OutputState::Stopped, now);
            assert_eq!(watch.order(now + seconds(600)), None);
            watch.want(false);
            watch.want(true);
            assert_eq!(watch.order(now + seconds(600)), Some(StreamOrder::Start), "the next show");
        }
    }

    #[test]
    fn lost_connection_does_not_open_the_gate_and_a_gone_process_does() {
        let now = Instant::now();
        for gone in [false, true] {
            let mut watch = idle(now);
            watch.want(true);
            watch.order(now).unwrap();
            watch.away(gone);
            assert_eq!(watch.state(), Streaming::Unknown);
            watch.connected(now + seconds(5));
            watch.status(OFF, now + seconds(5));
            assert_eq!(watch.order(now + seconds(10)), gone.then_some(StreamOrder::Start));
        }
    }

    /// The box started it, and the show is over.
    fn ours_after_the_show(now: Instant) -> Watch {
        let mut watch = idle(now);
        watch.want(true);
        watch.order(now).unwrap();
        watch.event(OutputState::Started, now);
        watch.want(false);
        assert_eq!(watch.order(now), Some(StreamOrder::Stop));
        watch
    }

    #[test]
    fn stop_that_obs_was_not_ready_for_or_that_was_lost_is_sent_again() {
        let now = Instant::now();
        let mut watch = ours_after_the_show(now);
        watch.unsent(StreamOrder::Stop, now);
        watch.status(ON, now + seconds(1));
        assert_eq!(watch.order(now + seconds(1)), Some(StreamOrder::Stop));

        let mut watch = ours_after_the_show(now);
        watch.away(false);
        watch.connected(now + seconds(5));
        watch.status(ON, now + seconds(40));
        assert_eq!(watch.order(now + seconds(40)), Some(StreamOrder::Stop));

        let mut watch = ours_after_the_show(now);
        watch.refused(StreamOrder::Stop, now);
        watch.status(ON, now + seconds(2));
        assert_eq!(watch.order(now + seconds(2)), None, "it is not asked without end");
        assert_eq!(watch.order(now + seconds(31)), Some(StreamOrder::Stop));
    }

    #[test]
    fn stream_is_not_the_boxs_any_more_once_it_was_seen_stopped() {
        let now = Instant::now();
        let mut watch = idle(now);
        watch.want(true);
        watch.order(now).unwrap();
        watch.event(OutputState::Started, now);
        watch.event(OutputState::Stopping, now);
        watch.event(OutputState::Stopped, now);
        // A person starts it again, in OBS.
        watch.event(OutputState::Starting, now + seconds(9));
        watch.event(OutputState::Started, now + seconds(10));
        watch.want(false);
        assert_eq!(watch.order(now + seconds(60)), None);
    }

    #[test]
    fn start_that_obs_was_not_ready_for_is_no_failure() {
        let mut now = Instant::now();
        let mut watch = idle(now);
        watch.want(true);
        for _ in 0..5 {
            assert_eq!(watch.order(now), Some(StreamOrder::Start));
            watch.unsent(StreamOrder::Start, now);
            assert_eq!((watch.state(), watch.order(now)), (Streaming::Stopped, None));
            now += seconds(5);
        }
    }

    #[test]
    fn reconnecting_is_not_healthy_and_a_missed_end_is_noticed() {
        let now = Instant::now();
        let mut watch = idle(now);
        watch.status(TRYING, now);
        assert_eq!(watch.state(), Streaming::Reconnecting);
        watch.status(OFF, now + seconds(2));
        assert_eq!(watch.state(), Streaming::Stopped);
    }

    #[derive(Clone, Debug)]
    enum Happens {
        Event(OutputState),
        Status(StreamState),
        Person(bool),
        Want(bool),
        Away(bool),
        Connected,
        Refused,
        Unsent,
        Time(u64),
    }

    fn happens() -> impl Strategy<Value = Happens> {
        use OutputState::{Reconnected, Reconnecting, Started, Starting, Stopped, Stopping};
        prop_oneof![
            prop::sample::select(vec![Starting, Started, Stopping, Stopped, Reconnecting, Reconnected])
                .prop_map(Happens::Event),
            prop::sample::select(vec![OFF, ON, TRYING]).prop_map(Happens::Status),
            any::<bool>().prop_map(Happens::Person),
            any::<bool>().prop_map(Happens::Want),
            any::<bool>().prop_map(Happens::Away),
            Just(Happens::Connected),
            Just(Happens::Refused),
            Just(Happens::Unsent),
            (1_u64..50).prop_map(Happens::Time),
        ]
    }

    proptest! {
        /// Whatever OBS, people and the network do: after a start none follows until something was heard of it, or its time is over.
        #[test]
        fn no_start_follows_a_start_unheard(all in prop::collection::vec(happens(), 1..120)) {
            let mut now = Instant::now();
            let mut watch = Watch::default();
            let mut unheard: Option<Instant> = None;
            for one in all {
                let mut order = None;
                match one {
                    Happens::Event(state) => {
                        if !matches!(state, OutputState::Starting | OutputState::Stopping) {
                            unheard = None;
                        } else if state == OutputState::Starting {
                            unheard.get_or_insert(now);
                        }
                        watch.event(state, now);
                    }
                    Happens::Status(state) => {
                        if state.active {
                            unheard = None;
                        }
                        watch.status(state, now);
                    }
                    Happens::Person(on) => order = watch.person(on, now).ok().flatten(),
                    Happens::Want(on) => watch.want(on),
                    Happens::Away(gone) => {
                        if gone {
                            unheard = None;
                        }
                        watch.away(gone);
                    }
                    Happens::Connected => watch.connected(now),
                    Happens::Refused => {
                        unheard = None;
                        watch.refused(StreamOrder::Start, now);
                    }
                    Happens::Unsent => {
                        unheard = None;
                        watch.unsent(StreamOrder::Start, now);
                    }
                    Happens::Time(passes) => now += seconds(passes),
                }
                for order in [order, watch.order(now)].into_iter().flatten() {
                    if order == StreamOrder::Start {
                        prop_assert!(unheard.is_none_or(|since| now.duration_since(since) >= UNHEARD));
                        unheard = Some(now);
                    }
                }
                prop_assert!(watch.failures <= FAILURES);
            }
        }
    }
}
