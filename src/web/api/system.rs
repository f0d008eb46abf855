//! The machine that the box runs on: how busy, how warm, how full.

use std::sync::Arc;

use axum::{Json, extract::State};
use utoipa_axum::routes;

use crate::{
    control::machine::{self, SystemView},
    web::{
        app::App,
        http::{
            problem::Problem,
            rights::{Right, Routes},
        },
    },
};

pub(crate) fn routes() -> Routes {
    Routes::new().api(Right::Operator, routes!(system))
}

/// How the machine does. Measured anew every 2 s while somebody asks.
#[utoipa::path(get, path = "/api/v1/system", tag = "system",
    responses((status = 200, description = "The machine", body = SystemView)))]
async fn system(State(app): State<Arc<App>>) -> Result<Json<SystemView>, Problem> {
    Ok(Json(machine::system(&app.control).await?))
}
