//! Whether the box is alive and ready, and what it measures.

use std::sync::Arc;

use axum::{Json, extract::State, response::Response};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::metrics;
use crate::{
    control::{readiness::Ready, status::ready_now},
    web::{
        app::App,
        http::{
            problem::{Kind, Problem},
            rights::{Right, Routes},
        },
    },
};

pub(crate) fn routes() -> Routes {
    Routes::new()
        .api(Right::Health, routes!(healthz))
        .api(Right::Health, routes!(readyz))
        .api(Right::Health, routes!(metrics_text))
}

/// Whether the process is alive.
#[utoipa::path(get, path = "/healthz", tag = "health", responses((status = 200, description = "It is", body = Alive)))]
async fn healthz(State(app): State<Arc<App>>) -> Json<Alive> {
    Json(Alive { uptime_seconds: app.control.now().since_start().as_secs() })
}

/// A sign of life.
#[derive(Serialize, ToSchema)]
struct Alive {
    /// Seconds since the process started.
    uptime_seconds: u64,
}

/// Whether the box is ready for streamers: takes encoders, and remembers. While the disk takes nothing no encoder is let in, so that is
/// `storing` among what does not work.
#[utoipa::path(get, path = "/readyz", tag = "health", responses(
    (status = 200, description = "It is", body = Ready),
))]
async fn readyz(State(app): State<Arc<App>>) -> Result<Json<Ready>, Problem> {
    let ready = ready_now(&app.control);
    if ready.ready {
        return Ok(Json(ready));
    }
    let parts = [
        ("store", ready.store),
        ("program", ready.program),
        ("ingest", ready.ingest),
        ("web", ready.web),
        ("storing", ready.storing),
    ];
    let missing: Vec<_> = parts.into_iter().filter_map(|(name, works)| (!works).then_some(name)).collect();
    let why = app.control.ingest_states().borrow().status.problem.clone().filter(|_| !ready.ingest);
    let why = why.map(|why| format!("; ingest: {why}")).unwrap_or_default();
    let disk = app.control.storing().why.map(|why| format!("; storing: {why}")).unwrap_or_default();
    Err(Problem::new(Kind::NotReady, format!("not working: {}{why}{disk}", missing.join(", "))))
}

/// What the box measures, for Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "health", responses(
    (status = 200, description = "OpenMetrics text", body = String, content_type = "application/openmetrics-text"),
))]
async fn metrics_text(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    metrics::answer(&app)
}
