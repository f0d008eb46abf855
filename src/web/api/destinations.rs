//! Destinations, for admins: where the programme goes.

use std::sync::Arc;

use axum::{Json, extract::State, http::StatusCode, response::Response};
use secrecy::SecretString;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::queue::Switch;
use crate::{
    control::{
        destinations::{
            self,
            wanted::{DestinationView, EditDestination},
        },
        journal::By,
    },
    core::destination::{DestinationId, DestinationInput},
    web::{
        app::App,
        http::{
            body::{Body, Path, json},
            kept::{DoneNotStored, done_with},
            problem::Problem,
            rights::{Right, Routes},
        },
    },
};

pub(crate) mod bitrate;
pub(crate) mod trial;

pub(crate) fn routes() -> Routes {
    Routes::new()
        .api(Right::Operator, routes!(list))
        .api(Right::Admin, routes!(add))
        .api(Right::Admin, routes!(edit, remove))
        .api(Right::Operator, routes!(set_enabled))
        .merge(bitrate::routes())
        .merge(trial::routes())
}

/// A new destination.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewDestination {
    /// What people call it; unique among destinations.
    name: String,
    /// The server's address without the key: `rtmp://` or `rtmps://`.
    url: String,
    /// The platform's stream key.
    #[schema(value_type = String)]
    key: SecretString,
    /// Whether it takes part in shows.
    #[serde(default = "yes")]
    enabled: bool,
}

const fn yes() -> bool {
    true
}

/// All destinations with what they do.
#[utoipa::path(get, path = "/api/v1/destinations", tag = "destinations",
    responses((status = 200, description = "All destinations", body = Vec<DestinationView>)))]
async fn list(State(app): State<Arc<App>>) -> Json<Vec<DestinationView>> {
    Json(app.control.destinations())
}

/// Adds a destination.
#[utoipa::path(post, path = "/api/v1/destinations", tag = "destinations", request_body = NewDestination,
    responses((status = 201, description = "Added", body = DestinationView),
        (status = 409, description = "It does not fit beside the others")))]
async fn add(State(app): State<Arc<App>>, by: By, Body(new): Body<NewDestination>) -> Result<Response, Problem> {
    let input = DestinationInput { name: new.name, url: new.url, key: new.key, enabled: new.enabled };
    Ok(json(StatusCode::CREATED, destinations::add(&app.control, &by, input).await?))
}

/// Edits a destination. One of the configuration cannot be edited: 409.
#[utoipa::path(patch, path = "/api/v1/destinations/{id}", tag = "destinations", params(("id" = DestinationId, Path)),
    request_body = EditDestination, responses((status = 200, description = "As it is now", body = DestinationView),
        (status = 202, description = "It is off, and that is not stored yet", body = DoneNotStored<DestinationView>),
        (status = 409, description = "It is set by the configuration, or does not fit beside the others")))]
async fn edit(
    State(app): State<Arc<App>>,
    by: By,
    Path(id): Path<DestinationId>,
    Body(edit): Body<EditDestination>,
) -> Result<Response, Problem> {
    let (view, kept) = destinations::edit(&app.control, &by, id, edit).await?;
    Ok(done_with(kept, view))
}

/// Lets a destination take part in shows, or not. One of the configuration cannot be switched: 409.
#[utoipa::path(put, path = "/api/v1/destinations/{id}/enabled", tag = "destinations",
    params(("id" = DestinationId, Path)), request_body = Switch,
    responses((status = 200, description = "As it is now", body = DestinationView),
        (status = 202, description = "It is off, and that is not stored yet", body = DoneNotStored<DestinationView>),
        (status = 409, description = "It does not fit beside the others")))]
async fn set_enabled(
    State(app): State<Arc<App>>,
    by: By,
    Path(id): Path<DestinationId>,
    Body(Switch { on }): Body<Switch>,
) -> Result<Response, Problem> {
    let (view, kept) = destinations::switch(&app.control, &by, id, on).await?;
    Ok(done_with(kept, view))
}

/// Removes a destination. One of the configuration cannot be removed: 409.
#[utoipa::path(delete, path = "/api/v1/destinations/{id}", tag = "destinations", params(("id" = DestinationId, Path)),
    responses((status = 204, description = "Removed"),
        (status = 409, description = "It is set by the configuration")))]
async fn remove(State(app): State<Arc<App>>, by: By, Path(id): Path<DestinationId>) -> Result<StatusCode, Problem> {
    destinations::remove(&app.control, &by, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
