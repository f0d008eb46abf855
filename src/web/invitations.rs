//! Invitations, and links that set a forgotten password: codes that an admin hands out.

use std::sync::Arc;

use axum::{Json, extract::State, http::StatusCode, response::Response};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::{
    App,
    accounts::name_of,
    audit::By,
    body::{Body, Path, json},
    encoders::Reached,
    problem::{Kind, Problem},
    rights::{Right, Routes},
    to_the_end,
};
use crate::{
    accounts::{Account, Invitation, NewInvitation},
    core::account::AccountId,
};

pub(crate) fn routes() -> Routes {
    Routes::new()
        .api(Right::Admin, routes!(list, make))
        .api(Right::Admin, routes!(revoke))
        .api(Right::Admin, routes!(reset_link))
}

/// A new invitation.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MadeInvitation {
    #[serde(flatten)]
    pub(crate) invitation: Invitation,
    /// The code, for those who type it. It is shown this once only.
    pub(crate) code: String,
    /// The page that takes it, for a link or a QR code.
    pub(crate) url: String,
}

/// All invitations, the latest first, without their codes.
#[utoipa::path(get, path = "/api/v1/invitations", tag = "invitations",
    responses((status = 200, description = "All invitations", body = Vec<Invitation>)))]
async fn list(State(app): State<Arc<App>>) -> Json<Vec<Invitation>> {
    Json(app.state.accounts.invitations())
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
    Ok(json(StatusCode::CREATED, make_invitation(&app, &by, &reached, new).await?))
}

/// Makes an invitation, which is told this once.
pub(crate) async fn make_invitation(
    app: &App,
    by: &By,
    reached: &Reached,
    new: NewInvitation,
) -> Result<MadeInvitation, Problem> {
    by.did("invitation.create", new.label.clone());
    let (invitation, code) = app.state.accounts.invite(new).await?;
    let code = code.expose_secret().to_owned();
    let url = reached.secret_url(&format!("/register?invitation={code}"));
    Ok(MadeInvitation { invitation, code, url })
}

/// Revokes an invitation. Who registered with it stays.
#[utoipa::path(delete, path = "/api/v1/invitations/{id}", tag = "invitations", params(("id" = u64, Path)),
    responses((status = 204, description = "Revoked")))]
async fn revoke(State(app): State<Arc<App>>, by: By, Path(id): Path<u64>) -> Result<StatusCode, Problem> {
    revoke_invitation(&app, &by, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Revokes an invitation.
pub(crate) async fn revoke_invitation(app: &App, by: &By, id: u64) -> Result<(), Problem> {
    let all = app.state.accounts.invitations();
    let Some(invitation) = all.into_iter().find(|invitation| invitation.id == id) else {
        return Err(Problem::new(Kind::NotFound, "no such invitation"));
    };
    by.did("invitation.revoke", invitation.label);
    Ok(app.state.accounts.revoke_invitation(id).await?)
}

/// A link that sets a new password once.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ResetLink {
    /// The page, for a link or a QR code. It is told this once only.
    pub(crate) url: String,
    /// When it ends.
    #[schema(value_type = String, format = DateTime)]
    pub(crate) expires: jiff::Timestamp,
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
    Ok(json(StatusCode::CREATED, make_reset_link(&app, &by, &reached, id).await?))
}

/// Makes a link that sets an account's password once, which is told this once.
pub(crate) async fn make_reset_link(
    app: &App,
    by: &By,
    reached: &Reached,
    id: AccountId,
) -> Result<ResetLink, Problem> {
    by.did("account.reset-link", name_of(app, id));
    let (code, expires) = app.state.accounts.reset_code(id).await?;
    Ok(ResetLink { url: reached.secret_url(&format!("/reset/{}", code.expose_secret())), expires })
}

/// Sets the password that a link is for, and ends all sessions of the account.
pub(crate) async fn reset_password(
    app: &Arc<App>,
    by: &By,
    code: SecretString,
    password: SecretString,
) -> Result<Account, Problem> {
    let shared = Arc::clone(app);
    let account = to_the_end(async move {
        let account = shared.state.accounts.reset_password(&code, password).await?;
        shared.sessions.end_all(account.id, None).await?;
        Ok(account)
    })
    .await?;
    by.becomes(&account).did("account.reset-password", "");
    Ok(account)
}
