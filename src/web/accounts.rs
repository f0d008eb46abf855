//! Accounts: registration, claiming the box, and what admins do with them.

use std::{net::SocketAddr, sync::Arc};

use axum::{Json, extract::State, http::StatusCode, response::Response};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::{
    App,
    audit::By,
    body::{Body, Path, json},
    encoders::{Reached, Way, rtmp_url, ways},
    problem::{Kind, Problem},
    rights::{Right, Routes},
    sessions::{Caller, Peer},
    to_the_end,
};
use crate::{
    accounts::{Account, Edit, Registration},
    core::account::{AccountId, Role, StreamKey},
};

pub(crate) fn routes() -> Routes {
    Routes::new()
        .api(Right::Stranger, routes!(set_up))
        .api(Right::Anyone, routes!(register))
        .api(Right::Admin, routes!(list))
        .api(Right::Admin, routes!(edit, delete))
        .api(Right::Operator, routes!(ban))
        .api(Right::Operator, routes!(unban))
        .api(Right::Operator, routes!(lift_hold_off))
}

/// A new account, with what an encoder needs.
#[derive(Serialize, ToSchema)]
pub(crate) struct Registered {
    /// The account's id.
    id: AccountId,
    /// The name as it was taken.
    name: String,
    /// The stream key. Whoever has it can publish as this streamer.
    stream_key: String,
    /// The server's address for the encoder.
    rtmp_url: String,
    /// Every way to publish that is open now.
    ways: Vec<Way>,
}

impl Registered {
    fn answer(app: &App, reached: &Reached, (account, key): (Account, StreamKey)) -> Response {
        let body = Self {
            id: account.id,
            name: account.name,
            stream_key: key.expose().to_owned(),
            rtmp_url: rtmp_url(app, reached),
            ways: ways(app, reached, &key),
        };
        json(StatusCode::CREATED, body)
    }
}

/// Registers a streamer. Admins may do so whatever `accounts.registration` says.
#[utoipa::path(post, path = "/api/v1/accounts", tag = "accounts", request_body = Registration, responses(
    (status = 201, description = "Registered", body = Registered),
    (status = 409, description = "The name is taken"),
))]
async fn register(
    State(app): State<Arc<App>>,
    by: By,
    Peer(peer): Peer,
    reached: Reached,
    Body(registration): Body<Registration>,
) -> Result<Response, Problem> {
    let made = take_in(&app, &by, peer, registration).await?;
    Ok(Registered::answer(&app, &reached, made))
}

/// A new account, if whoever asks may have one now. `peer` is who asks, for the limit.
pub(crate) async fn take_in(
    app: &App,
    by: &By,
    peer: SocketAddr,
    registration: Registration,
) -> Result<(Account, StreamKey), Problem> {
    if by.caller.is_admin() {
        by.did("account.create", registration.name.clone());
        return Ok(app.state.accounts.create(registration).await?);
    }
    app.limits.registration.attempt(peer.ip())?;
    let made = app.state.accounts.register(registration).await?;
    by.becomes(&made.0).did("account.register", "");
    Ok(made)
}

/// What claims the box.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Setup {
    /// The code printed at the first start.
    #[schema(value_type = String)]
    pub(crate) code: SecretString,
    /// The admin's name: 2 to 32 visible characters.
    pub(crate) name: String,
    /// At least 8 characters.
    #[schema(value_type = String)]
    pub(crate) password: SecretString,
}

/// Makes the first admin, once.
#[utoipa::path(post, path = "/api/v1/setup", tag = "accounts", request_body = Setup, responses(
    (status = 201, description = "The box has an owner", body = Registered),
    (status = 409, description = "The box has an owner already"),
))]
async fn set_up(
    State(app): State<Arc<App>>,
    by: By,
    Peer(peer): Peer,
    reached: Reached,
    Body(setup): Body<Setup>,
) -> Result<Response, Problem> {
    let made = claim(&app, &by, peer, setup).await?;
    Ok(Registered::answer(&app, &reached, made))
}

/// The first admin, if the code is right. `peer` is who asks, for the limit.
pub(crate) async fn claim(app: &App, by: &By, peer: SocketAddr, setup: Setup) -> Result<(Account, StreamKey), Problem> {
    app.limits.setup.attempt(peer.ip())?;
    let code = secrecy::ExposeSecret::expose_secret(&setup.code);
    let made = app.state.accounts.claim(code, setup.name, setup.password).await?;
    by.becomes(&made.0).did("box.claim", "");
    Ok(made)
}

/// An account's name, for the audit log.
pub(crate) fn name_of(app: &App, id: AccountId) -> String {
    app.state.accounts.get(id).map(|account| account.name).unwrap_or_default()
}

/// All accounts, by name.
#[utoipa::path(get, path = "/api/v1/accounts", tag = "accounts", responses(
    (status = 200, description = "All accounts", body = Vec<Account>),
))]
async fn list(State(app): State<Arc<App>>) -> Json<Vec<Account>> {
    Json(app.state.accounts.list())
}

/// Edits an account. Disabling it drops its connection and its place; a new password ends its sessions.
#[utoipa::path(patch, path = "/api/v1/accounts/{id}", tag = "accounts", params(("id" = AccountId, Path)),
    request_body = Edit, responses((status = 200, description = "The account as it is now", body = Account),
        (status = 409, description = "The name is taken, or it is the last admin")))]
async fn edit(
    State(app): State<Arc<App>>,
    by: By,
    Path(id): Path<AccountId>,
    Body(edit): Body<Edit>,
) -> Result<Json<Account>, Problem> {
    edit_account(&app, &by, id, edit).await.map(Json)
}

/// Edits an account: who is disabled loses connection, place and sessions; a new password ends the sessions.
pub(crate) async fn edit_account(app: &Arc<App>, by: &By, id: AccountId, edit: Edit) -> Result<Account, Problem> {
    by.did("account.edit", format!("{}: {}", name_of(app, id), edit.in_words()));
    let app = Arc::clone(app);
    to_the_end(async move {
        let ends_sessions = edit.password.is_some() || edit.enabled == Some(false);
        let disables = edit.enabled == Some(false);
        let account = app.state.accounts.edit(id, edit).await?;
        // The connection goes first, and whatever happens to it the sessions go too.
        let revoked = if disables {
            app.state.director.revoke(id, true, "your account was disabled by an admin".to_owned()).await
        } else {
            Ok(())
        };
        if ends_sessions {
            app.sessions.end_all(id, None).await?;
        }
        revoked?;
        Ok(account)
    })
    .await
}

/// Deletes an account, its connection, its place and its sessions.
#[utoipa::path(delete, path = "/api/v1/accounts/{id}", tag = "accounts", params(("id" = AccountId, Path)),
    responses((status = 204, description = "Deleted"),
        (status = 409, description = "It is the last admin")))]
async fn delete(State(app): State<Arc<App>>, by: By, Path(id): Path<AccountId>) -> Result<StatusCode, Problem> {
    delete_account(&app, &by, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Deletes an account and what hangs on it.
pub(crate) async fn delete_account(app: &Arc<App>, by: &By, id: AccountId) -> Result<(), Problem> {
    by.did("account.delete", name_of(app, id));
    to_the_end(remove(Arc::clone(app), id)).await
}

async fn remove(app: Arc<App>, id: AccountId) -> Result<(), Problem> {
    app.state.accounts.delete(id).await?;
    let revoked = app.state.director.revoke(id, true, "your account was deleted".to_owned()).await;
    app.sessions.end_all(id, None).await?;
    Ok(revoked?)
}

/// Operators may ban streamers, and nobody above them.
fn may_ban(app: &App, caller: &Caller, id: AccountId) -> Result<(), Problem> {
    let account = app.state.accounts.get(id).ok_or_else(|| Problem::new(Kind::NotFound, "no such account"))?;
    if caller.is_admin() || account.role == Role::Streamer {
        Ok(())
    } else {
        Err(Problem::new(Kind::NotAllowed, "operators may ban streamers only; ask an admin"))
    }
}

/// Bans a streamer: disables the account, drops its connection and its place. Operators can do this to streamers only.
#[utoipa::path(post, path = "/api/v1/accounts/{id}/ban", tag = "accounts", params(("id" = AccountId, Path)),
    responses((status = 200, description = "The account as it is now", body = Account),
        (status = 409, description = "It is the last admin")))]
async fn ban(State(app): State<Arc<App>>, by: By, Path(id): Path<AccountId>) -> Result<Json<Account>, Problem> {
    ban_account(&app, &by, id, true).await.map(Json)
}

/// Bans an account or takes its ban back.
pub(crate) async fn ban_account(app: &Arc<App>, by: &By, id: AccountId, on: bool) -> Result<Account, Problem> {
    by.did(if on { "account.ban" } else { "account.unban" }, name_of(app, id));
    may_ban(app, &by.caller, id)?;
    let app = Arc::clone(app);
    to_the_end(async move {
        let account = app.state.accounts.set_banned(id, on).await?;
        if on {
            let revoked = app.state.director.revoke(id, true, "you were banned by an admin".to_owned()).await;
            app.sessions.end_all(id, None).await?;
            revoked?;
        }
        app.live.poke();
        Ok(account)
    })
    .await
}

/// Takes a ban back. Operators can do this for streamers only.
#[utoipa::path(post, path = "/api/v1/accounts/{id}/unban", tag = "accounts", params(("id" = AccountId, Path)),
    responses((status = 200, description = "The account as it is now", body = Account)))]
async fn unban(State(app): State<Arc<App>>, by: By, Path(id): Path<AccountId>) -> Result<Json<Account>, Problem> {
    ban_account(&app, &by, id, false).await.map(Json)
}

/// Lifts the account's hold-off.
#[utoipa::path(post, path = "/api/v1/accounts/{id}/lift-hold-off", tag = "accounts", params(("id" = AccountId, Path)),
    responses((status = 204, description = "Lifted"),
        (status = 409, description = "Not now")))]
async fn lift_hold_off(State(app): State<Arc<App>>, by: By, Path(id): Path<AccountId>) -> Result<StatusCode, Problem> {
    end_hold_off(&app, &by, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lifts an account's hold-off.
pub(crate) async fn end_hold_off(app: &App, by: &By, id: AccountId) -> Result<(), Problem> {
    by.did("account.lift-hold-off", name_of(app, id));
    if app.state.accounts.get(id).is_none() {
        return Err(Problem::new(Kind::NotFound, "no such account"));
    }
    Ok(app.state.director.lift_hold_off(id).await?)
}
