//! How much each destination took in the last minutes: a value every 5 s, in memory, for graphs.

use std::sync::Arc;

use axum::{Json, extract::State};
use utoipa_axum::routes;

use crate::{
    control::destinations::bitrate::BitrateView,
    core::destination::DestinationId,
    web::{
        app::App,
        http::{
            body::Path,
            problem::{Kind, Problem},
            rights::{Right, Routes},
        },
    },
};

pub(crate) fn routes() -> Routes {
    Routes::new().api(Right::Operator, routes!(bitrate))
}

/// The bitrate of a destination over the last 10 minutes.
#[utoipa::path(get, path = "/api/v1/destinations/{id}/bitrate", tag = "destinations",
    params(("id" = DestinationId, Path)), responses((status = 200, description = "A value every 5 s", body = BitrateView)))]
async fn bitrate(State(app): State<Arc<App>>, Path(id): Path<DestinationId>) -> Result<Json<BitrateView>, Problem> {
    let bitrate = app.control.bitrate(id);
    bitrate.map(Json).ok_or_else(|| Problem::new(Kind::NotFound, "no such destination"))
}
