//! Invitations, and links that set a forgotten password: codes that an admin hands out.

use std::sync::Arc;

use axum::{Json, extract::State, http::StatusCode, response::Response};
use utoipa_axum::routes;

use crate::{
    accounts::{Invitation, NewInvitation},
    control::{
        journal::By,
        people::{self, MadeInvitation, ResetLink},
        ways::Reached,
    },
    core::account::AccountId,
    web::{
        app::App,
        http::{
            body::{Body, Path, json},
            problem::Problem,
            rights::{Right, Routes},
        },
    },
};

pub(crate) fn routes() -> Routes {
    Routes::new()
        .api(Right::Admin, routes!(list, make))
        .api(Right::Admin, routes!(revoke))
        .api(Right::Admin, routes!(reset_link))
}

/// All invitations, the latest first, without their codes.
#[utoipa::path(get, path = "/api/v1/invitations", tag = "invitations",
    responses((status = 200, description = "All invitations", body = Vec<Invitation>)))]
async fn list(State(app): State<Arc<App>>) -> Json<Vec<Invitation>> {
    Json(app.control.invitations())
}

/// Makes an invitation. Its code is in this answer and nowhere else.
#[utoipa::path(post, path = "/api/v1/invitations", tag = "invitations", request_body = NewInvitation,
    responses((status = 201, description = "Made", body = MadeInvitation)))]
async fn make(
    State(app): State<Arc<App>>,
    by: By,
    reached: Reached,
    Body(new): Body<NewInvitation>,
) -> Result<Response, Problem> {
    Ok(json(StatusCode::CREATED, people::invite(&app.control, &by, &reached, new).await?))
}

/// Revokes an invitation. Who registered with it stays.
#[utoipa::path(delete, path = "/api/v1/invitations/{id}", tag = "invitations", params(("id" = u64, Path)),
    responses((status = 204, description = "Revoked")))]
async fn revoke(State(app): State<Arc<App>>, by: By, Path(id): Path<u64>) -> Result<StatusCode, Problem> {
    people::revoke_invitation(&app.control, &by, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Makes a link with which an account's owner sets a new password, once, within 24 hours. The link before is dead; the password stays
/// until then.
#[utoipa::path(post, path = "/api/v1/accounts/{id}/reset-link", tag = "accounts", params(("id" = AccountId, Path)),
    responses((status = 201, description = "Made", body = ResetLink)))]
async fn reset_link(
    State(app): State<Arc<App>>,
    by: By,
    reached: Reached,
    Path(id): Path<AccountId>,
) -> Result<Response, Problem> {
    Ok(json(StatusCode::CREATED, people::reset_link(&app.control, &by, &reached, id).await?))
}
