//! The latest of what the box logged, to read and to take along. Secrets are redacted by their types when something is logged; what
//! went in as plain text nevertheless (a line of another program, a platform's answer) is gone through here once more.

use std::{fmt::Write as _, sync::Arc};

use axum::{
    Json,
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use utoipa_axum::routes;

use crate::{
    control::log::{LogQuery, MOST, latest},
    telemetry::RecentEvent,
    web::{
        app::App,
        http::{
            body::UrlQuery,
            problem::Problem,
            rights::{Right, Routes},
        },
    },
};

/// Events of one answer, without a word about it.
const USUAL: usize = 200;

pub(crate) fn routes() -> Routes {
    Routes::new().api(Right::Admin, routes!(log)).api(Right::Admin, routes!(download))
}

/// The latest events of the log, the latest first. The box keeps a thousand.
#[utoipa::path(get, path = "/api/v1/log", tag = "system",
    params(("level" = Option<String>, Query, description = "At least so severe: error, warn, info, debug or trace"),
        ("search" = Option<String>, Query, description = "Only events whose text holds this"),
        ("before" = Option<u64>, Query, description = "Only events before the one with this number"),
        ("limit" = Option<usize>, Query, description = "How many at most: 200 without it, 1000 at most")),
    responses((status = 200, description = "Events", body = Vec<RecentEvent>),
        (status = 422, description = "A value does not fit")))]
async fn log(
    State(app): State<Arc<App>>,
    UrlQuery(query): UrlQuery<LogQuery>,
) -> Result<Json<Vec<RecentEvent>>, Problem> {
    Ok(Json(latest(&app.control, query, USUAL).await?))
}

/// The same as a text file, the oldest first.
#[utoipa::path(get, path = "/api/v1/log/download", tag = "system",
    params(("level" = Option<String>, Query, description = "At least so severe: error, warn, info, debug or trace"),
        ("search" = Option<String>, Query, description = "Only events whose text holds this"),
        ("before" = Option<u64>, Query, description = "Only events before the one with this number"),
        ("limit" = Option<usize>, Query, description = "How many at most: 1000 without it")),
    responses((status = 200, description = "A line for each event", body = String, content_type = "text/plain"),
        (status = 422, description = "A value does not fit")))]
async fn download(State(app): State<Arc<App>>, UrlQuery(query): UrlQuery<LogQuery>) -> Result<Response, Problem> {
    let mut text = String::new();
    for RecentEvent { time, level, target, text: said, .. } in latest(&app.control, query, MOST).await?.iter().rev() {
        let said: String = said.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        // Writing to a String does not fail.
        let _written = writeln!(text, "{time:.3} {level:5} {target}: {said}");
    }
    let head = [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"motherstream-log.txt\""),
    ];
    Ok((head, text).into_response())
}
