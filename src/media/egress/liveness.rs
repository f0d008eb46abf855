//! Whether a platform still takes what it is sent, and how much: pure, with the clock handed in.
//!
//! A frozen peer is no error of the socket for long: the kernel swallows over 4 MB first (measured). Then a protocol's
//! element may say so by itself (rtmp2sink 1.22 does, later ones may not). So this side watches what it can see: bytes that the kernel took, bytes that
//! the peer acknowledged.

use std::{collections::VecDeque, time::Duration};

use crate::core::moment::Moment;

/// Nothing is judged in less than this: one lost packet on a bad uplink takes seconds to repair.
const PATIENCE: Duration = Duration::from_secs(5);
/// The bit rate is a mean of this long.
const RATE_WINDOW: Duration = Duration::from_secs(5);

/// What is known of a session at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sample {
    /// Bytes that the kernel took.
    pub(super) sent: u64,
    /// Bytes that the peer acknowledged.
    pub(super) acked: u64,
    /// Bytes after which the peer was asked to acknowledge; 0 if it never said that it would.
    pub(super) window: u64,
    /// Whether something waits to be sent.
    pub(super) waiting: bool,
}

/// Judges one session.
#[derive(Debug)]
pub(super) struct Liveness {
    sent: u64,
    sent_at: Moment,
    acked: u64,
    acked_at: Moment,
    /// What had been sent when the last acknowledgement came.
    sent_at_ack: u64,
    /// The most that one acknowledgement covered: what the peer's window really is.
    step: u64,
    /// Acknowledgements so far. One is no habit: a peer may acknowledge the handshake and nothing more.
    acks: u32,
}

impl Liveness {
    /// A session that begins at `now`.
    pub(super) const fn new(now: Moment) -> Self {
        Self { sent: 0, sent_at: now, acked: 0, acked_at: now, sent_at_ack: 0, step: 0, acks: 0 }
    }

    /// What is wrong at `now`, if anything is.
    ///
    /// Two rules. Something waits and the kernel took nothing for `PATIENCE`: its buffers are full. Or a peer that used to
    /// acknowledge has not for `PATIENCE`, and was sent twice its window since; at a steady rate that is the deadline
    /// `max(5 s, 2 x window / bitrate)`, and at a rate that falls it is later, never too early.
    pub(super) fn judge(&mut self, sample: Sample, now: Moment) -> Option<&'static str> {
        if sample.sent != self.sent || !sample.waiting {
            self.sent = sample.sent;
            self.sent_at = now;
        }
        if sample.acked != self.acked {
            self.step = self.step.max(sample.acked.saturating_sub(self.acked));
            self.acked = sample.acked;
            self.acked_at = now;
            self.acks = self.acks.saturating_add(1);
            self.sent_at_ack = sample.sent;
        }
        if now.since(self.sent_at) >= PATIENCE {
            return Some("it has taken nothing for 5 s");
        }
        let window = self.step.max(sample.window);
        let unacknowledged = sample.sent.saturating_sub(self.sent_at_ack);
        if self.acks >= 2 && now.since(self.acked_at) >= PATIENCE && unacknowledged > window.saturating_mul(2) {
            return Some("it has stopped acknowledging what it is sent");
        }
        None
    }
}

/// Measures a bit rate from a counter that only grows.
#[derive(Debug, Default)]
pub(super) struct Meter {
    samples: VecDeque<(Moment, u64)>,
}

impl Meter {
    /// Notes that the counter stood at `total`.
    pub(super) fn note(&mut self, total: u64, now: Moment) {
        self.samples.push_back((now, total));
        while self.samples.get(1).is_some_and(|(at, _)| now.since(*at) >= RATE_WINDOW) {
            self.samples.pop_front();
        }
    }

    /// Kilobits per second over the last 5 s.
    pub(super) fn kbps(&self) -> f64 {
        let (Some((from, first)), Some((to, last))) = (self.samples.front(), self.samples.back()) else {
            return 0.0;
        };
        let seconds = to.since(*from).as_secs_f64();
        if seconds <= 0.0 { 0.0 } else { last.saturating_sub(*first) as f64 * 8.0 / 1000.0 / seconds }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Moment {
        Moment::from_start(Duration::from_millis(ms))
    }

    /// 1 Mbit/s in steps of 100 ms, with what the kernel takes and what is acknowledged after `sent` bytes; the time of the verdict.
    fn verdict(seconds: u64, takes: impl Fn(u64) -> u64, acks: impl Fn(u64) -> u64) -> Option<u64> {
        let mut liveness = Liveness::new(at(0));
        for step in 0..seconds * 10 {
            let offered = step * 12_500;
            let sent = takes(offered);
            let sample = Sample { sent, acked: acks(sent), window: 0, waiting: sent < offered };
            if liveness.judge(sample, at(step * 100)).is_some() {
                return Some(step / 10);
            }
        }
        None
    }

    #[test]
    fn healthy_peer_that_acknowledges_every_40_seconds_is_left_alone() {
        assert_eq!(verdict(600, |offered| offered, |sent| sent / 5_000_000 * 5_000_000), None);
    }

    #[test]
    fn healthy_peer_that_never_acknowledges_is_left_alone() {
        assert_eq!(verdict(600, |offered| offered, |_| 0), None);
    }

    #[test]
    fn frozen_peer_is_seen_five_seconds_after_the_kernel_is_full() {
        // 4 MB at 1 Mbit/s fill in 32 s.
        let seen = verdict(60, |offered| offered.min(4_000_000), |_| 0);
        assert!(matches!(seen, Some(36..=38)), "{seen:?}");
    }

    #[test]
    fn peer_that_stops_acknowledging_is_seen_after_two_windows() {
        // Acknowledges every 1 MB up to 3 MB; 2 MB more last 16 s.
        let seen = verdict(600, |offered| offered, |sent| (sent / 1_000_000 * 1_000_000).min(3_000_000));
        assert!(matches!(seen, Some(39..=42)), "{seen:?}");
    }

    #[test]
    fn silence_of_the_programme_is_not_the_peers() {
        let mut liveness = Liveness::new(at(0));
        for second in 0..60 {
            let sample = Sample { sent: 1000, acked: 0, window: 0, waiting: false };
            assert_eq!(liveness.judge(sample, at(second * 1000)), None);
        }
    }

    #[test]
    fn meter_forgets_what_is_older_than_its_window() {
        let mut meter = Meter::default();
        for second in 0..20_u64 {
            let total = if second < 10 { second * 1_000_000 } else { 10_000_000 + (second - 10) * 125_000 };
            meter.note(total, at(second * 1000));
        }
        assert!((meter.kbps() - 1000.0).abs() < 1.0, "{}", meter.kbps());
    }
}
