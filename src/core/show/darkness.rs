//! Whether a show that was on goes on when the box comes up again. Pure: clocks and streamers are handed in.
//!
//! While it runs the box leaves signs of life. The darkness is the time from the last one to the start. On the same boot of the machine it is
//! told by the clock that counts from the boot, which nobody sets; across boots by the time of day, where that is known to be right. Where
//! neither can be trusted, the streamers decide: the show goes on when one of those who were there is back in time.

use std::{sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::super::moment::Moment;

/// So long a machine that was started anew has to learn the time: a time server answers within a few seconds once the network is there.
pub const TIME_LIMIT: Duration = Duration::from_secs(20);

/// So much the time of day may have been set back meanwhile: a clock that is kept right by the network is off by less.
const SLACK: SignedDuration = SignedDuration::from_secs(60);

/// What the clocks said when the box was seen alive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LifeSign {
    /// Which start of the machine this was.
    pub boot: Arc<str>,
    /// Milliseconds since that start, suspended time included.
    pub up_ms: u64,
    /// The time of day.
    pub wall: Timestamp,
    /// Whether the time of day was known to be right.
    pub known: bool,
}

impl LifeSign {
    /// The later one of two.
    #[must_use]
    pub fn later(self, other: Self) -> Self {
        let later = if self.boot == other.boot { other.up_ms > self.up_ms } else { other.wall > self.wall };
        if later { other } else { self }
    }
}

/// What the clocks say about the darkness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Darkness {
    /// It was short enough.
    Short,
    /// It was longer than the limit.
    Long(Duration),
    /// The time of day is not known, and may be soon.
    NotYetKnown,
    /// It cannot be told; what the time of day says, if anything.
    Unknown(Option<Duration>),
}

/// What the clocks say about the time from the `last` sign of life to the `start`; up to `limit` is short.
pub fn darkness(last: Option<&LifeSign>, start: &LifeSign, limit: Duration) -> Darkness {
    let Some(last) = last else { return Darkness::Unknown(None) };
    let by_wall = start.wall.duration_since(last.wall);
    let told = Duration::try_from(by_wall).ok();
    // Without an id, or where the machine's own clock has begun anew, it is another boot.
    if start.boot == last.boot && !start.boot.is_empty() && start.up_ms >= last.up_ms {
        let dark = Duration::from_millis(start.up_ms.saturating_sub(last.up_ms));
        return match told {
            _ if dark > limit => Darkness::Long(dark),
            // The time of day went on by far more than the machine did: one of its clocks is not to be trusted.
            Some(told) if told > dark + limit => Darkness::Unknown(Some(told)),
            _ => Darkness::Short,
        };
    }
    if !start.known {
        return Darkness::NotYetKnown;
    }
    match told {
        Some(told) if told <= limit => Darkness::Short,
        // A clock that was not right was late, by as long as the machine had been off before.
        Some(told) if last.known => Darkness::Long(told),
        None if last.known && by_wall >= -SLACK => Darkness::Short,
        told => Darkness::Unknown(told),
    }
}

/// Whether the show goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resumption {
    /// It does.
    GoesOn,
    /// It has ended; how long the box was dark, as far as that can be told.
    Ended(Option<Duration>),
    /// That is not known yet.
    Waits,
}

/// A show that was on when the box went dark.
#[derive(Clone, Debug)]
pub struct DarkShow {
    last: Option<LifeSign>,
    limit: Duration,
    started: Moment,
    grace: Duration,
}

impl DarkShow {
    /// The box came up at `started`; `last` it had been seen alive. A darkness of up to `limit` is short. Where it cannot be told,
    /// streamers have `grace` from the start to be back.
    pub const fn new(last: Option<LifeSign>, limit: Duration, grace: Duration, started: Moment) -> Self {
        Self { last, limit, started, grace }
    }

    /// When the box was seen alive last.
    pub const fn last(&self) -> Option<&LifeSign> {
        self.last.as_ref()
    }

    /// When it is decided at the latest.
    pub fn decided_by(&self) -> Moment {
        self.started + self.grace.max(TIME_LIMIT)
    }

    /// Judges what is seen: the clocks at this moment, whether somebody who was there is `back`, and whether anybody can be `awaited`.
    pub fn look(&self, clocks: &LifeSign, back: bool, awaited: bool, now: Moment) -> Resumption {
        let up = now.since(self.started);
        let start = LifeSign {
            up_ms: clocks.up_ms.saturating_sub(u64::try_from(up.as_millis()).unwrap_or(u64::MAX)),
            wall: clocks.wall.checked_sub(up).unwrap_or(clocks.wall),
            ..clocks.clone()
        };
        let told = match darkness(self.last.as_ref(), &start, self.limit) {
            Darkness::Short => return Resumption::GoesOn,
            Darkness::Long(dark) => return Resumption::Ended(Some(dark)),
            Darkness::NotYetKnown if up < TIME_LIMIT => return Resumption::Waits,
            Darkness::NotYetKnown => None,
            Darkness::Unknown(told) => told,
        };
        if back {
            Resumption::GoesOn
        } else if awaited && up < self.grace {
            Resumption::Waits
        } else {
            Resumption::Ended(told.filter(|told| *told > self.limit))
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "tests")]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_mins(15);
    const GRACE: Duration = Duration::from_mins(1);

    /// Minutes from the first sign of life on, by the time of day and by the machine's own clock.
    fn sign(boot: &str, wall: f64, up: f64, known: bool) -> LifeSign {
        let wall = Timestamp::from_second(1_800_000_000).unwrap() + SignedDuration::from_secs_f64(wall * 60.0);
        LifeSign { boot: boot.into(), up_ms: (up * 60_000.0) as u64, wall, known }
    }

    fn minutes(minutes: u64) -> Duration {
        Duration::from_mins(minutes)
    }

    #[test]
    fn the_darkness_is_told_by_the_clock_that_can_be_trusted() {
        use Darkness::{Long, NotYetKnown, Short, Unknown};

        let cases = [
            // The same boot: a crash, a restart. Whether the time of day is known does not matter.
            ("crash", sign("a", 0.1, 60.1, false), true, Short),
            ("14 minutes", sign("a", 14.0, 74.0, false), true, Short),
            ("16 minutes", sign("a", 16.0, 76.0, false), true, Long(minutes(16))),
            ("crash while the clock is set back by a day", sign("a", -1440.0, 60.1, true), true, Short),
            ("16 minutes while the clock is set back", sign("a", -1440.0, 76.0, true), true, Long(minutes(16))),
            ("crash while the clock is set on a little", sign("a", 14.0, 60.1, true), true, Short),
            ("crash while the clock jumps on", sign("a", 960.0, 60.0, true), true, Unknown(Some(minutes(960)))),
            // Another boot: the machine was off.
            ("a boot whose id is the same", sign("a", 960.0, 0.5, true), true, Long(minutes(960))),
            ("short power cut", sign("b", 2.0, 0.5, true), true, Short),
            ("power cut of 14 minutes", sign("b", 14.0, 0.5, true), true, Short),
            ("of 16", sign("b", 16.0, 0.5, true), true, Long(minutes(16))),
            ("over night", sign("b", 960.0, 500.0, true), true, Long(minutes(960))),
            ("the clock is a little back", sign("b", -0.5, 0.5, true), true, Short),
            ("the clock is far back", sign("b", -960.0, 0.5, true), true, Unknown(None)),
            ("no time yet", sign("b", 0.5, 0.5, false), true, NotYetKnown),
            ("no time yet, and late", sign("b", -30.0, 0.5, false), true, NotYetKnown),
            ("the time was not known before, 14 minutes", sign("b", 14.0, 0.5, true), false, Short),
            (
                "the time was not known before, 16 minutes",
                sign("b", 16.0, 0.5, true),
                false,
                Unknown(Some(minutes(16))),
            ),
        ];
        for (case, start, known, expected) in cases {
            assert_eq!(darkness(Some(&sign("a", 0.0, 60.0, known)), &start, LIMIT), expected, "{case}");
        }
        assert_eq!(darkness(None, &sign("a", 0.0, 1.0, true), LIMIT), Unknown(None));
    }

    /// What is said so many seconds after the start.
    fn said(show: &DarkShow, start: &LifeSign, known: bool, back: bool, awaited: bool, after: u64) -> Resumption {
        let up = Duration::from_secs(after);
        let clocks = LifeSign {
            up_ms: start.up_ms + after * 1000,
            wall: start.wall.checked_add(up).unwrap(),
            known,
            ..start.clone()
        };
        show.look(&clocks, back, awaited, Moment::from_start(Duration::from_secs(1) + up))
    }

    fn show() -> DarkShow {
        DarkShow::new(Some(sign("a", 0.0, 60.0, true)), LIMIT, GRACE, Moment::from_start(Duration::from_secs(1)))
    }

    #[test]
    fn the_box_waits_for_the_time_and_then_for_its_streamers() {
        use Resumption::{Ended, GoesOn, Waits};

        let start = sign("b", 0.5, 0.5, false);
        for after in [0, 10, 19] {
            assert_eq!(said(&show(), &start, false, true, true, after), Waits, "nothing is sent after {after} s");
        }
        // The time comes: the clock decides, also against who is back.
        assert_eq!(said(&show(), &start, true, false, true, 10), GoesOn);
        assert_eq!(said(&show(), &sign("b", 960.0, 0.5, false), true, true, true, 10), Ended(Some(minutes(960))));
        // It does not come: the streamers decide.
        assert_eq!(said(&show(), &start, false, true, true, 20), GoesOn);
        assert_eq!(said(&show(), &start, false, false, true, 59), Waits);
        assert_eq!(said(&show(), &start, false, true, true, 59), GoesOn);
        assert_eq!(said(&show(), &start, false, false, true, 60), Ended(None));
        assert_eq!(said(&show(), &start, false, false, false, 20), Ended(None), "nobody was there to come back");
    }

    #[test]
    fn time_that_the_box_waits_is_no_darkness() {
        let start = sign("b", 14.5, 0.5, false);
        assert_eq!(said(&show(), &start, true, false, true, 59), Resumption::GoesOn);
    }

    #[test]
    fn clocks_that_disagree_leave_it_to_the_streamers_at_once() {
        use Resumption::{Ended, GoesOn, Waits};

        let start = sign("a", 960.0, 60.0, true);
        assert_eq!(said(&show(), &start, true, true, true, 0), GoesOn);
        assert_eq!(said(&show(), &start, true, false, true, 30), Waits);
        assert_eq!(said(&show(), &start, true, false, false, 0), Ended(Some(minutes(960))));
        assert_eq!(said(&show(), &start, true, false, true, 60), Ended(Some(minutes(960))));
    }

    #[test]
    fn the_later_sign_of_life_counts() {
        let (early, late) = (sign("a", 5.0, 60.0, true), sign("a", -5.0, 61.0, true));
        assert_eq!(early.clone().later(late.clone()), late, "the machine's own clock does not run back");
        assert_eq!(late.clone().later(early), late);
        let next = sign("b", 10.0, 0.5, true);
        assert_eq!(late.clone().later(next.clone()), next);
        assert_eq!(next.clone().later(late), next);
    }
}
