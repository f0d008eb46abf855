//! Whether the box is alive and ready, and what it measures.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use axum::{Json, extract::State, response::Response};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::{
    App, metrics,
    problem::{Kind, Problem},
    rights::{Right, Routes},
};

/// The latches of readiness. The supervisor sets each once its part works; readiness never waits for the internet.
#[derive(Clone, Debug, Default)]
pub struct Readiness {
    latches: Arc<Latches>,
}

#[derive(Debug, Default)]
struct Latches {
    store: AtomicBool,
    program: AtomicBool,
    ingest: AtomicBool,
    web: AtomicBool,
}

/// One part of the box that has to work before the box is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Latch {
    /// The store is open and migrated.
    Store,
    /// The programme runs, on the slate at least.
    Program,
    /// Encoders can connect.
    Ingest,
    /// Pages and API are served. Set by [`super::serve`].
    Web,
}

/// Which parts work.
#[expect(clippy::struct_excessive_bools, reason = "independent facts, each told by itself")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Ready {
    /// Whether all of them do.
    pub ready: bool,
    /// The store is open and migrated.
    pub store: bool,
    /// The programme runs, on the slate at least.
    pub program: bool,
    /// Encoders can connect.
    pub ingest: bool,
    /// Pages and API are served.
    pub web: bool,
}

impl Readiness {
    /// Says that a part works, or does no longer.
    pub fn set(&self, latch: Latch, works: bool) {
        self.latch(latch).store(works, Ordering::Release);
    }

    /// Which parts work at this moment.
    pub fn look(&self) -> Ready {
        let [store, program, ingest, web] = [Latch::Store, Latch::Program, Latch::Ingest, Latch::Web]
            .map(|latch| self.latch(latch).load(Ordering::Acquire));
        Ready { ready: store && program && ingest && web, store, program, ingest, web }
    }

    fn latch(&self, latch: Latch) -> &AtomicBool {
        match latch {
            Latch::Store => &self.latches.store,
            Latch::Program => &self.latches.program,
            Latch::Ingest => &self.latches.ingest,
            Latch::Web => &self.latches.web,
        }
    }
}

/// Which parts work: the latches, and whether the ingest, whose server may come and go, takes encoders now.
pub(crate) fn ready_now(app: &App) -> Ready {
    let Ready { store, program, ingest, web, .. } = app.state.readiness.look();
    let ingest = ingest && app.state.ingest.state().borrow().status.running;
    Ready { ready: store && program && ingest && web, store, program, ingest, web }
}

pub(crate) fn routes() -> Routes {
    Routes::new()
        .api(Right::LocalOrAdmin, routes!(healthz))
        .api(Right::LocalOrAdmin, routes!(readyz))
        .api(Right::LocalOrAdmin, routes!(metrics_text))
}

/// Whether the process is alive.
#[utoipa::path(get, path = "/healthz", tag = "health", responses((status = 200, description = "It is", body = Alive)))]
async fn healthz(State(app): State<Arc<App>>) -> Json<Alive> {
    Json(Alive { uptime_seconds: app.state.clock.now().since_start().as_secs() })
}

/// A sign of life.
#[derive(Serialize, ToSchema)]
struct Alive {
    /// Seconds since the process started.
    uptime_seconds: u64,
}

/// Whether the box is ready for streamers.
#[utoipa::path(get, path = "/readyz", tag = "health", responses(
    (status = 200, description = "It is", body = Ready),
))]
async fn readyz(State(app): State<Arc<App>>) -> Result<Json<Ready>, Problem> {
    let ready = ready_now(&app);
    if ready.ready {
        return Ok(Json(ready));
    }
    let parts = [("store", ready.store), ("program", ready.program), ("ingest", ready.ingest), ("web", ready.web)];
    let missing: Vec<_> = parts.into_iter().filter_map(|(name, works)| (!works).then_some(name)).collect();
    let why = app.state.ingest.state().borrow().status.problem.clone().filter(|_| !ready.ingest);
    let why = why.map(|why| format!("; ingest: {why}")).unwrap_or_default();
    Err(Problem::new(Kind::NotReady, format!("not working yet: {}{why}", missing.join(", "))))
}

/// What the box measures, for Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "health", responses(
    (status = 200, description = "OpenMetrics text", body = String, content_type = "application/openmetrics-text"),
))]
async fn metrics_text(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    metrics::answer(&app)
}
