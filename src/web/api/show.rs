//! The show: its begin and end, and how everything does.

use std::sync::Arc;

use axum::{Json, extract::State, response::Response};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::queue::Switch;
use crate::{
    control::{
        journal::By,
        night,
        status::{Status, status_now},
    },
    web::{
        app::App,
        http::{
            body::Body,
            kept::{DoneNotStored, done_with},
            problem::Problem,
            rights::{Right, Routes},
        },
    },
};

pub(crate) fn routes() -> Routes {
    Routes::new().api(Right::Operator, routes!(show, set_show)).api(Right::Operator, routes!(status))
}

/// The show.
#[derive(Serialize, ToSchema)]
struct ShowView {
    /// Whether one is on.
    on: bool,
    /// What became of the one that was on before the box started, if that is still to be known: it ended because the box was dark, or it is
    /// not decided yet whether it goes on.
    #[serde(skip_serializing_if = "Option::is_none")]
    past: Option<String>,
}

/// Whether a show is on.
#[utoipa::path(get, path = "/api/v1/show", tag = "show", responses((status = 200, description = "The show", body = ShowView)))]
async fn show(State(app): State<Arc<App>>) -> Json<ShowView> {
    Json(ShowView { on: app.control.snapshot().queue.show, past: night::past_show(&app.control) })
}

/// Begins or ends the show. The end closes the platforms' sessions.
#[utoipa::path(put, path = "/api/v1/show", tag = "show", request_body = Switch,
    responses((status = 200, description = "The show now", body = Switch),
        (status = 202, description = "It has ended, and that is not stored yet", body = DoneNotStored<Switch>),
        (status = 409, description = "It was ended while it began")))]
async fn set_show(State(app): State<Arc<App>>, by: By, Body(switch): Body<Switch>) -> Result<Response, Problem> {
    let kept = night::switch_show(&app.control, &by, switch.on).await?;
    Ok(done_with(kept, switch))
}

/// How ingest, inputs, programme and destinations do. Asking has the connections that are next in the queue, up to 8, measured for
/// the next 15 s, also where they only wait.
#[utoipa::path(get, path = "/api/v1/status", tag = "show", responses((status = 200, description = "The status", body = Status)))]
async fn status(State(app): State<Arc<App>>) -> Json<Status> {
    app.control.look_at_waiting(&app.control.snapshot());
    Json(status_now(&app.control))
}
