//! Platforms that the box knows, and trials of destinations: what their platforms answer.

use std::sync::Arc;

use axum::{Json, extract::State};
use utoipa_axum::routes;

use crate::{
    control::{
        destinations::trial::{self, Preset},
        journal::By,
    },
    core::destination::DestinationId,
    media::egress::Trial,
    web::{
        app::App,
        http::{
            body::Path,
            problem::Problem,
            rights::{Right, Routes},
        },
    },
};

pub(crate) fn routes() -> Routes {
    Routes::new().api(Right::Operator, routes!(presets)).api(Right::Admin, routes!(test))
}

/// Platforms whose addresses the box knows, and where each shows its stream key.
#[utoipa::path(get, path = "/api/v1/destinations/presets", tag = "destinations",
    responses((status = 200, description = "The platforms", body = Vec<Preset>)))]
async fn presets() -> Json<[Preset; 5]> {
    Json(Preset::all())
}

/// Connects to a destination's platform and says what it answered: handshake, connect and publish as for a show, without sending a
/// picture. Takes 10 s at most. 409 while the destination is live or connects; one trial at a time.
#[utoipa::path(post, path = "/api/v1/destinations/{id}/test", tag = "destinations", params(("id" = DestinationId, Path)),
    responses((status = 200, description = "What the platform answered", body = Trial),
        (status = 409, description = "It is live, or another one is being tried out")))]
async fn test(State(app): State<Arc<App>>, by: By, Path(id): Path<DestinationId>) -> Result<Json<Trial>, Problem> {
    Ok(Json(trial::run(&app.control, &by, id).await?))
}
