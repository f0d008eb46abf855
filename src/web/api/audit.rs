//! The audit log: who did what.

use std::sync::Arc;

use axum::{Json, extract::State};
use utoipa_axum::routes;

use crate::{
    control::journal::{self, Part},
    store::AuditRecord,
    web::{
        app::App,
        http::{
            body::UrlQuery,
            problem::Problem,
            rights::{Right, Routes},
        },
    },
};

pub(crate) fn routes() -> Routes {
    Routes::new().api(Right::Admin, routes!(audit))
}

/// Who did what, the latest first: what operators, admins and `admin.token` did or were refused, who registered and who signed in to run
/// the night. The latest 5,000 rows are kept.
#[utoipa::path(get, path = "/api/v1/audit", tag = "audit",
    params(("limit" = Option<usize>, Query, description = "How many rows at most: 50 without it, 500 at most"),
        ("before" = Option<u64>, Query, description = "Only rows before this number: the last one of the page before")),
    responses((status = 200, description = "Rows of the audit log", body = Vec<AuditRecord>)))]
async fn audit(State(app): State<Arc<App>>, UrlQuery(part): UrlQuery<Part>) -> Result<Json<Vec<AuditRecord>>, Problem> {
    Ok(Json(journal::read(&app.control, &part).await?))
}
