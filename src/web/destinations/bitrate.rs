//! How much each destination took in the last minutes: a value every 5 s, in memory, for graphs.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{Json, extract::State};
use serde::Serialize;
use tokio::time::{MissedTickBehavior, interval};
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::super::{
    App,
    body::Path,
    problem::{Kind, Problem},
    rights::{Right, Routes},
};
use crate::{core::destination::DestinationId, media::MediaStatus};

/// From one value to the next: what a destination's own figure is a mean over.
const STEP: Duration = Duration::from_secs(5);

/// Values that are kept: 10 minutes.
const KEPT: usize = 120;

pub(crate) fn routes() -> Routes {
    Routes::new().api(Right::Operator, routes!(bitrate))
}

/// What was sent to a destination in the last 10 minutes.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct BitrateView {
    /// Seconds from one value to the next.
    pub(crate) step_seconds: u64,
    /// Kilobits per second, the oldest first; 120 values once the box has run for 10 minutes.
    pub(crate) kbps: Vec<f64>,
}

/// The bitrate of a destination over the last 10 minutes.
#[utoipa::path(get, path = "/api/v1/destinations/{id}/bitrate", tag = "destinations",
    params(("id" = DestinationId, Path)), responses((status = 200, description = "A value every 5 s", body = BitrateView)))]
async fn bitrate(State(app): State<Arc<App>>, Path(id): Path<DestinationId>) -> Result<Json<BitrateView>, Problem> {
    if app.state.destinations.all().iter().all(|destination| destination.id != id) {
        return Err(Problem::new(Kind::NotFound, "no such destination"));
    }
    Ok(Json(app.bitrates.of(id)))
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

/// Notes a value every 5 s, until the web stops.
pub(crate) async fn run(app: Arc<App>) {
    let mut steps = interval(STEP);
    steps.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = app.stop.cancelled() => return,
            _ = steps.tick() => {}
        }
        let status = app.state.media.status().borrow().clone();
        app.bitrates.note(&status);
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
