//! One's own account: signing in and out, what an encoder needs, and one's place in the queue.

use std::sync::Arc;

use axum::{Json, extract::State, http::StatusCode, response::Response};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use tower_sessions::Session;
use utoipa::ToSchema;
use utoipa_axum::routes;

use crate::{
    accounts::Account,
    control::{
        journal::By,
        own::{self, Credentials, Me, OwnEdit},
        people,
        ways::{Reached, Way, rtmp_url, ways},
    },
    web::{
        app::App,
        http::{
            body::Body,
            caller::Own,
            kept::{DoneNotStored, NotStoredYet, done, done_with},
            problem::Problem,
            rights::{Right, Routes},
            sessions::{self, stored},
        },
    },
};

pub(crate) fn routes() -> Routes {
    Routes::new()
        .api(Right::Anyone, routes!(sign_in))
        .api(Right::SignedIn, routes!(sign_out))
        .api(Right::SignedIn, routes!(sign_out_everywhere))
        .api(Right::SignedIn, routes!(me, edit_me, delete_me))
        .api(Right::SignedIn, routes!(new_key))
        .api(Right::SignedIn, routes!(leave))
}

/// Signs in: the answer sets the session's cookie.
#[utoipa::path(post, path = "/api/v1/session", tag = "session", request_body = Credentials, responses(
    (status = 200, description = "Signed in", body = Account),
    (status = 202, description = "Signed in, and not stored yet: forgotten at a restart", body = DoneNotStored<Account>),
))]
async fn sign_in(
    State(app): State<Arc<App>>,
    by: By,
    session: Session,
    Body(credentials): Body<Credentials>,
) -> Result<Response, Problem> {
    let account = own::sign_in(&app.control, &by, &credentials).await?;
    sessions::sign_in(&session, &by, account.id).await?;
    Ok(done_with(app.control.sessions().kept().await, account))
}

/// Signs out.
#[utoipa::path(delete, path = "/api/v1/session", tag = "session", responses((status = 204, description = "Signed out"),
    (status = 202, description = "Signed out, and not stored yet", body = NotStoredYet)))]
async fn sign_out(State(app): State<Arc<App>>, _: Own, session: Session) -> Result<Response, Problem> {
    sessions::sign_out(&session).await?;
    Ok(done(app.control.sessions().kept().await))
}

/// Signs out everywhere: ends all sessions of the account, this one included.
#[utoipa::path(delete, path = "/api/v1/sessions", tag = "session",
    responses((status = 204, description = "Signed out everywhere"),
        (status = 202, description = "Signed out everywhere, and not stored yet", body = NotStoredYet)))]
async fn sign_out_everywhere(
    State(app): State<Arc<App>>,
    by: By,
    Own(account): Own,
    session: Session,
) -> Result<Response, Problem> {
    let kept = own::end_sessions(&app.control, &by, &account).await;
    sessions::sign_out(&session).await?;
    Ok(done(kept))
}

/// One's own account, key, ways to publish, and place.
#[utoipa::path(get, path = "/api/v1/me", tag = "me", responses((status = 200, description = "The account", body = Me)))]
async fn me(State(app): State<Arc<App>>, Own(account): Own, reached: Reached) -> Json<Me> {
    Json(own::told(&app.control, account, &reached))
}

/// Edits one's own account. A new password ends all its other sessions.
#[utoipa::path(patch, path = "/api/v1/me", tag = "me", request_body = OwnEdit, responses(
    (status = 200, description = "The account as it is now", body = Account),
    (status = 409, description = "The name is taken"),
))]
async fn edit_me(
    State(app): State<Arc<App>>,
    by: By,
    Own(account): Own,
    session: Session,
    Body(edit): Body<OwnEdit>,
) -> Result<Json<Account>, Problem> {
    Ok(Json(own::edit(&app.control, &by, &account, session.id().as_ref().map(stored), edit).await?))
}

/// A session that is left open is not enough.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Sure {
    /// The account's password.
    #[schema(value_type = String)]
    current_password: SecretString,
}

/// Deletes one's own account, its connection, its place and its sessions.
#[utoipa::path(delete, path = "/api/v1/me", tag = "me", request_body = Sure, responses(
        (status = 204, description = "Deleted"),
        (status = 409, description = "It is the last admin"),
        (status = 422, description = "The password is missing or wrong")))]
async fn delete_me(
    State(app): State<Arc<App>>,
    by: By,
    Own(account): Own,
    Body(sure): Body<Sure>,
) -> Result<StatusCode, Problem> {
    own::is_owner(&app.control, &by, &account, &sure.current_password).await?;
    people::delete(&app.control, &by, account.id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A new key and where to use it.
#[derive(Serialize, ToSchema)]
struct NewKey {
    /// The stream key. The one before is dead.
    stream_key: String,
    /// The server's address for the encoder.
    rtmp_url: String,
    /// Every way to publish that is open now.
    ways: Vec<Way>,
}

/// Makes a new stream key. Whoever publishes with the old one is disconnected.
#[utoipa::path(post, path = "/api/v1/me/stream-key", tag = "me", responses(
    (status = 200, description = "The new key", body = NewKey),
))]
async fn new_key(State(app): State<Arc<App>>, Own(account): Own, reached: Reached) -> Result<Json<NewKey>, Problem> {
    let key = own::fresh_key(&app.control, account.id).await?;
    Ok(Json(NewKey {
        stream_key: key.expose().to_owned(),
        rtmp_url: rtmp_url(&app.control, &reached),
        ways: ways(&app.control, &reached, &key),
    }))
}

/// Leaves the queue: the place goes and the connection is dropped.
#[utoipa::path(delete, path = "/api/v1/me/entry", tag = "me", responses((status = 204, description = "Left"),
        (status = 202, description = "Done, and not stored yet", body = NotStoredYet),
        (status = 404, description = "Not in the queue"),
        (status = 409, description = "Not now")))]
async fn leave(State(app): State<Arc<App>>, Own(account): Own) -> Result<Response, Problem> {
    Ok(done(own::leave(&app.control, account.id).await?))
}
