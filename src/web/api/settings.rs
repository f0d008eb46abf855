//! Settings: every key of the configuration, and changes of those that may be changed here.

use std::{collections::BTreeMap, sync::Arc};

use axum::{Json, extract::State};
use serde_json::Value;
use utoipa_axum::routes;

use crate::{
    config::SettingView,
    control::{
        journal::By,
        settings::{self, Changed},
    },
    web::{
        app::App,
        http::{
            body::Body,
            problem::Problem,
            rights::{Right, Routes},
        },
    },
};

pub(crate) fn routes() -> Routes {
    Routes::new().api(Right::Admin, routes!(every_setting, change_settings))
}

/// Every key of the configuration: its value, default, unit, where it comes from, and whether and when a change takes effect. Secrets
/// are redacted.
#[utoipa::path(get, path = "/api/v1/settings", tag = "settings", operation_id = "settings",
    responses((status = 200, description = "Every key", body = Vec<SettingView>)))]
async fn every_setting(State(app): State<Arc<App>>) -> Json<Vec<SettingView>> {
    Json(app.control.settings())
}

/// Changes settings, all of them or none: `{"queue.turn_seconds": 900, "venue.name": null}`. Null takes a setting back to what it was
/// without the page. Checked as at the start of the box; kept in its data folder.
#[utoipa::path(patch, path = "/api/v1/settings", tag = "settings",
    request_body(content = Object, description = "`section.key` and value"),
    responses((status = 200, description = "What changed", body = Changed),
        (status = 409, description = "A key is set where the page cannot change it")))]
async fn change_settings(
    State(app): State<Arc<App>>,
    by: By,
    Body(edits): Body<BTreeMap<String, Value>>,
) -> Result<Json<Changed>, Problem> {
    Ok(Json(settings::change(&app.control, &by, edits).await?))
}
