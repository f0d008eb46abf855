//! The one place that reads the monotonic clock for the core, and beside it the machine's clocks.

use std::time::Instant;

use crate::core::moment::Moment;

pub mod machine;

/// The process's monotonic clock. Cheap to copy; every copy has the same start.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// A clock whose zero is now. Made once, by the supervisor.
    pub fn start() -> Self {
        Self { start: Instant::now() }
    }

    /// The present moment.
    pub fn now(&self) -> Moment {
        Moment::from_start(self.start.elapsed())
    }

    /// The `Instant` of a moment, for timers.
    pub fn instant(&self, moment: Moment) -> Instant {
        self.start + moment.since_start()
    }
}
