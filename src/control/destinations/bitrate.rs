//! How much each destination took in the last minutes: a value every 5 s, in memory, for graphs.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde::Serialize;
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval},
};
use utoipa::ToSchema;

use crate::{core::destination::DestinationId, media::MediaStatus};

/// From one value to the next: what a destination's own figure is a mean over.
const STEP: Duration = Duration::from_secs(5);

/// Values that are kept: 10 minutes.
const KEPT: usize = 120;

/// What was sent to a destination in the last 10 minutes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct BitrateView {
    /// Seconds from one value to the next.
    pub(crate) step_seconds: u64,
    /// Kilobits per second, the oldest first; 120 values once the box has run for 10 minutes.
    pub(crate) kbps: Vec<f64>,
}

/// The values of all destinations.
#[derive(Debug, Default)]
pub(crate) struct Bitrates {
    rings: Mutex<HashMap<DestinationId, VecDeque<f64>>>,
}

impl Bitrates {
    /// What was sent to one; nothing to one that is new.
    pub(crate) fn of(&self, id: DestinationId) -> BitrateView {
        let rings = self.rings.lock().unwrap_or_else(PoisonError::into_inner);
        let kbps = rings.get(&id).map(|ring| ring.iter().copied().collect()).unwrap_or_default();
        BitrateView { step_seconds: STEP.as_secs(), kbps }
    }

    /// Notes a value every 5 s, for ever.
    pub(crate) async fn keep(&self, media: watch::Receiver<Arc<MediaStatus>>) {
        let mut steps = interval(STEP);
        steps.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            steps.tick().await;
            let status = Arc::clone(&media.borrow());
            self.note(&status);
        }
    }

    fn note(&self, status: &MediaStatus) {
        let mut rings = self.rings.lock().unwrap_or_else(PoisonError::into_inner);
        rings.retain(|id, _| status.destinations.contains_key(id));
        for (id, destination) in &status.destinations {
            let ring = rings.entry(*id).or_default();
            if ring.len() >= KEPT {
                ring.pop_front();
            }
            ring.push_back((destination.kbps * 10.0).round() / 10.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::destination::{DestinationState, DestinationStatus};

    fn status(kbps: f64) -> MediaStatus {
        let status = DestinationStatus { kbps, ..DestinationStatus::new(DestinationState::Live) };
        MediaStatus { destinations: HashMap::from([(DestinationId(1), status)]), ..MediaStatus::default() }
    }

    #[test]
    fn ten_minutes_are_kept_and_what_is_gone_is_forgotten() {
        let bitrates = Bitrates::default();
        for value in 0..KEPT + 3 {
            bitrates.note(&status(value as f64 + 0.04));
        }
        let kept = bitrates.of(DestinationId(1));
        assert_eq!((kept.step_seconds, kept.kbps.len()), (5, KEPT));
        assert_eq!((kept.kbps.first(), kept.kbps.last()), (Some(&3.0), Some(&122.0)));
        assert!(bitrates.of(DestinationId(2)).kbps.is_empty());
        bitrates.note(&MediaStatus::default());
        assert!(bitrates.of(DestinationId(1)).kbps.is_empty());
    }
}
