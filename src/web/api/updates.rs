//! Updates, a restart of the machine, and the way back to the factory: where the box is an image of its own.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Request, State},
    http::StatusCode,
};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::routes;

use crate::{
    control::{
        journal::By,
        machine::{self, UpdateView},
    },
    update::Progress,
    web::{
        app::App,
        http::{
            body::Body,
            problem::Problem,
            rights::{Right, Routes},
            upload::{LARGEST_UPDATE, SMALL},
        },
    },
};

pub(crate) fn routes() -> Routes {
    Routes::new()
        .api(Right::Admin, routes!(update))
        .upload(Right::Admin, LARGEST_UPDATE, routes!(upload))
        // Not uploads, but as slow: RAUC looks at the file before there is an answer.
        .upload(Right::Admin, SMALL, routes!(from_stick))
        .api(Right::Admin, routes!(restart))
        .api(Right::Admin, routes!(factory_reset))
}

/// What happens with an update now, which systems there are, and what a USB stick offers.
#[utoipa::path(get, path = "/api/v1/update", tag = "system",
    responses((status = 200, description = "Updates", body = UpdateView),
        (status = 409, description = "The box does not run from an image that keeps two systems")))]
async fn update(State(app): State<Arc<App>>) -> Result<Json<UpdateView>, Problem> {
    Ok(Json(machine::updates(&app.control).await?))
}

/// Installs an update (`.raucb`), beside the version that runs, which goes on: the new one is used from the next start on. The answer comes
/// when it was looked at; `GET` tells how it goes on. Not during a show.
#[utoipa::path(put, path = "/api/v1/update", tag = "system",
    request_body(content = Vec<u8>, content_type = "application/octet-stream", description = "The update"),
    responses((status = 202, description = "It is being installed", body = Progress),
        (status = 409, description = "A show is on, another update is under way, or the box keeps no two systems"),
        (status = 422, description = "It is no whole update, not signed for this box, or for another board")))]
async fn upload(
    State(app): State<Arc<App>>,
    by: By,
    request: Request,
) -> Result<(StatusCode, Json<Progress>), Problem> {
    machine::install(&app.control, &by, request.into_body().into_data_stream()).await?;
    Ok((StatusCode::ACCEPTED, Json(machine::progress(&app.control))))
}

/// Which file of the stick.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Chosen {
    /// Its name, as `GET /api/v1/update` lists it.
    file: String,
}

/// Installs an update from the USB stick. Not during a show.
#[utoipa::path(post, path = "/api/v1/update/stick", tag = "system", request_body = Chosen,
    responses((status = 202, description = "It is being installed", body = Progress),
        (status = 404, description = "There is no such file on the stick"),
        (status = 409, description = "A show is on, another update is under way, or the box keeps no two systems"),
        (status = 422, description = "It is no whole update, not signed for this box, or for another board")))]
async fn from_stick(
    State(app): State<Arc<App>>,
    by: By,
    Body(chosen): Body<Chosen>,
) -> Result<(StatusCode, Json<Progress>), Problem> {
    machine::install_from_stick(&app.control, &by, chosen.file).await?;
    Ok((StatusCode::ACCEPTED, Json(machine::progress(&app.control))))
}

/// Starts the machine again. Not during a show, and not while an update is being installed.
#[utoipa::path(post, path = "/api/v1/system/restart", tag = "system",
    responses((status = 204, description = "It starts again in a moment"),
        (status = 409, description = "A show is on, an update is under way, or the machine cannot be asked")))]
async fn restart(State(app): State<Arc<App>>, by: By) -> Result<StatusCode, Problem> {
    machine::restart(&app.control, &by).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What confirms that everything is to be cleared.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Confirmed {
    /// The venue's name, as the settings have it.
    venue: String,
}

/// Clears accounts, queue, settings and keys, and starts the box again as it came. There is no way back but a backup. Not during a show.
#[utoipa::path(post, path = "/api/v1/system/factory-reset", tag = "system", request_body = Confirmed,
    responses((status = 204, description = "It is cleared at the next start, which comes in a moment where the machine can be asked"),
        (status = 409, description = "A show is on, or the box does not run from an image")))]
async fn factory_reset(
    State(app): State<Arc<App>>,
    by: By,
    Body(confirmed): Body<Confirmed>,
) -> Result<StatusCode, Problem> {
    machine::factory_reset(&app.control, &by, &confirmed.venue).await?;
    Ok(StatusCode::NO_CONTENT)
}
