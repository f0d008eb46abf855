//! Accounts: registration, claiming the box, and what admins do with them.

use std::sync::Arc;

use axum::{Json, extract::State, http::StatusCode, response::Response};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::routes;

use crate::{
    accounts::{Account, Edit, Registration},
    control::{
        journal::By,
        people::{self, Setup},
        ways::{Reached, Way, rtmp_url, ways},
    },
    core::account::{AccountId, StreamKey},
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
            rtmp_url: rtmp_url(&app.control, reached),
            ways: ways(&app.control, reached, &key),
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
    reached: Reached,
    Body(registration): Body<Registration>,
) -> Result<Response, Problem> {
    let made = people::register(&app.control, &by, registration).await?;
    Ok(Registered::answer(&app, &reached, made))
}

/// Makes the first admin, once.
#[utoipa::path(post, path = "/api/v1/setup", tag = "accounts", request_body = Setup, responses(
    (status = 201, description = "The box has an owner", body = Registered),
    (status = 409, description = "The box has an owner already"),
))]
async fn set_up(
    State(app): State<Arc<App>>,
    by: By,
    reached: Reached,
    Body(setup): Body<Setup>,
) -> Result<Response, Problem> {
    let made = people::claim(&app.control, &by, setup).await?;
    Ok(Registered::answer(&app, &reached, made))
}

/// All accounts, by name.
#[utoipa::path(get, path = "/api/v1/accounts", tag = "accounts", responses(
    (status = 200, description = "All accounts", body = Vec<Account>),
))]
async fn list(State(app): State<Arc<App>>) -> Json<Vec<Account>> {
    Json(app.control.everybody())
}

/// Edits an account. Disabling it drops its connection and its place; a new password ends its sessions.
#[utoipa::path(patch, path = "/api/v1/accounts/{id}", tag = "accounts", params(("id" = AccountId, Path)),
    request_body = Edit, responses((status = 200, description = "The account as it is now", body = Account),
        (status = 202, description = "It is disabled, and that is not stored yet", body = DoneNotStored<Account>),
        (status = 409, description = "The name is taken, or it is the last admin")))]
async fn edit(
    State(app): State<Arc<App>>,
    by: By,
    Path(id): Path<AccountId>,
    Body(edit): Body<Edit>,
) -> Result<Response, Problem> {
    let (account, kept) = people::edit(&app.control, &by, id, edit).await?;
    Ok(done_with(kept, account))
}

/// Deletes an account, its connection, its place and its sessions.
#[utoipa::path(delete, path = "/api/v1/accounts/{id}", tag = "accounts", params(("id" = AccountId, Path)),
    responses((status = 204, description = "Deleted"),
        (status = 409, description = "It is the last admin")))]
async fn delete(State(app): State<Arc<App>>, by: By, Path(id): Path<AccountId>) -> Result<StatusCode, Problem> {
    people::delete(&app.control, &by, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Bans a streamer: disables the account, drops its connection and its place. Operators can do this to streamers only.
#[utoipa::path(post, path = "/api/v1/accounts/{id}/ban", tag = "accounts", params(("id" = AccountId, Path)),
    responses((status = 200, description = "The account as it is now", body = Account),
        (status = 202, description = "It is banned, and that is not stored yet", body = DoneNotStored<Account>),
        (status = 409, description = "It is the last admin")))]
async fn ban(State(app): State<Arc<App>>, by: By, Path(id): Path<AccountId>) -> Result<Response, Problem> {
    let (account, kept) = people::ban(&app.control, &by, id).await?;
    Ok(done_with(kept, account))
}

/// Takes a ban back. Operators can do this for streamers only.
#[utoipa::path(post, path = "/api/v1/accounts/{id}/unban", tag = "accounts", params(("id" = AccountId, Path)),
    responses((status = 200, description = "The account as it is now", body = Account)))]
async fn unban(State(app): State<Arc<App>>, by: By, Path(id): Path<AccountId>) -> Result<Json<Account>, Problem> {
    Ok(Json(people::unban(&app.control, &by, id).await?))
}

/// Lifts the account's hold-off.
#[utoipa::path(post, path = "/api/v1/accounts/{id}/lift-hold-off", tag = "accounts", params(("id" = AccountId, Path)),
    responses((status = 204, description = "Lifted"),
        (status = 409, description = "Not now")))]
async fn lift_hold_off(State(app): State<Arc<App>>, by: By, Path(id): Path<AccountId>) -> Result<StatusCode, Problem> {
    people::lift_hold_off(&app.control, &by, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
