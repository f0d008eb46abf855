//! One's own account: signing in and out, what an encoder needs, and one's place in the queue.

use std::{net::SocketAddr, sync::Arc};

use axum::{Json, extract::State, http::StatusCode};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use tower_sessions::{Session, session::Id};
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::{
    App,
    accounts::delete_account,
    audit::By,
    body::Body,
    encoders::{Reached, Way, rtmp_url, ways},
    problem::{Kind, Problem},
    rights::{Right, Routes},
    sessions::{self, Own, Peer},
    to_the_end,
};
use crate::{
    accounts::{Account, AccountError, Edit},
    core::{
        account::{AccountId, StreamKey},
        queue::EntryId,
    },
    director::{Presence, Snapshot},
    media::InputStatus,
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

/// What signs somebody in.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Credentials {
    /// The account's name.
    pub(crate) name: String,
    /// Its password.
    #[schema(value_type = String)]
    pub(crate) password: SecretString,
}

/// Signs in: the answer sets the session's cookie.
#[utoipa::path(post, path = "/api/v1/session", tag = "session", request_body = Credentials, responses(
    (status = 200, description = "Signed in", body = Account),
))]
async fn sign_in(
    State(app): State<Arc<App>>,
    by: By,
    session: Session,
    Peer(peer): Peer,
    Body(credentials): Body<Credentials>,
) -> Result<Json<Account>, Problem> {
    Ok(Json(enter(&app, &by, &session, peer, &credentials).await?))
}

/// Signs the session in. `peer` is who asks, for the limit.
pub(crate) async fn enter(
    app: &App,
    by: &By,
    session: &Session,
    peer: SocketAddr,
    credentials: &Credentials,
) -> Result<Account, Problem> {
    app.limits.sign_in.attempt(peer.ip())?;
    let account = app.state.accounts.sign_in(&credentials.name, &credentials.password).await?;
    sessions::sign_in(session, account.id).await?;
    by.becomes(&account).did_with_own("session.begin");
    Ok(account)
}

/// Signs out.
#[utoipa::path(delete, path = "/api/v1/session", tag = "session", responses((status = 204, description = "Signed out")))]
async fn sign_out(_: Own, session: Session) -> Result<StatusCode, Problem> {
    go_out(&session).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Ends the session.
pub(crate) async fn go_out(session: &Session) -> Result<(), Problem> {
    session.flush().await.map_err(|error| Problem::new(Kind::NotStored, error.to_string()))
}

/// Signs out everywhere: ends all sessions of the account, this one included.
#[utoipa::path(delete, path = "/api/v1/sessions", tag = "session",
    responses((status = 204, description = "Signed out everywhere")))]
async fn sign_out_everywhere(
    State(app): State<Arc<App>>,
    by: By,
    Own(account): Own,
    session: Session,
) -> Result<StatusCode, Problem> {
    go_out_everywhere(&app, &by, &account, &session).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Ends all sessions of the account, and this one.
pub(crate) async fn go_out_everywhere(app: &App, by: &By, account: &Account, session: &Session) -> Result<(), Problem> {
    by.did_with_own("session.end-all");
    app.sessions.end_all(account.id, None).await?;
    go_out(session).await
}

/// One's own account.
#[derive(Serialize, ToSchema)]
pub(crate) struct Me {
    #[serde(flatten)]
    pub(crate) account: Account,
    /// The stream key. Whoever has it can publish as this streamer.
    pub(crate) stream_key: Option<String>,
    /// The server's address for the encoder.
    pub(crate) rtmp_url: String,
    /// Every way to publish that is open now.
    pub(crate) ways: Vec<Way>,
    /// Why the last publish was refused or the connection was ended by the box, and what to do.
    pub(crate) last_refusal: Option<Refusal>,
    /// The place in the queue, if there is one.
    pub(crate) entry: Option<OwnEntry>,
    /// Seconds until a publish is accepted again, while held off.
    pub(crate) held_off_seconds: Option<f64>,
    /// How the open connection does. Asking for it has it measured for the next 15 s, also while it only waits.
    pub(crate) health: Option<InputStatus>,
}

/// Why a publish was refused or a connection ended by the box.
#[derive(Serialize, ToSchema)]
pub(crate) struct Refusal {
    /// When, by the wall clock.
    #[schema(value_type = String, format = DateTime)]
    pub(crate) at: jiff::Timestamp,
    /// Why, and what to do.
    pub(crate) reason: String,
}

/// One's own place in the queue.
#[derive(Serialize, ToSchema)]
pub(crate) struct OwnEntry {
    /// Its id.
    pub(crate) id: EntryId,
    /// Whether it can be taken.
    pub(crate) presence: Presence,
    /// 0 on air, 1 the first who waits, and so on.
    pub(crate) position: usize,
}

pub(crate) fn own_entry(snapshot: &Snapshot, account: AccountId) -> Option<OwnEntry> {
    let on_air = snapshot.queue.on_air.as_ref().map(|turn| (0, &turn.entry));
    let waiting = snapshot.queue.waiting.iter().enumerate().map(|(place, entry)| (place + 1, entry));
    on_air.into_iter().chain(waiting).find(|(_, entry)| entry.account == account).map(|(position, entry)| OwnEntry {
        id: entry.id,
        presence: entry.presence,
        position,
    })
}

/// How the entry's connection does; has it measured while somebody looks.
pub(crate) fn health(app: &App, snapshot: &Snapshot, entry: EntryId) -> Option<InputStatus> {
    let connection = snapshot.connections.get(&entry)?;
    app.state.media.look_at(connection);
    app.state.media.status().borrow().inputs.get(connection).cloned()
}

/// One's own account, key, ways to publish, and place.
#[utoipa::path(get, path = "/api/v1/me", tag = "me", responses((status = 200, description = "The account", body = Me)))]
async fn me(State(app): State<Arc<App>>, Own(account): Own, reached: Reached) -> Json<Me> {
    Json(told(&app, account, &reached))
}

/// All that its owner is told of an account.
pub(crate) fn told(app: &App, account: Account, reached: &Reached) -> Me {
    let snapshot = app.state.director.snapshot().borrow().clone();
    let late = app.state.clock.now().since(snapshot.taken).as_secs_f64();
    let hold_off = snapshot.hold_offs.iter().find(|held| held.account == account.id);
    let key = app.state.accounts.stream_key(account.id);
    let entry = own_entry(&snapshot, account.id);
    Me {
        ways: key.as_ref().map(|key| ways(app, reached, key)).unwrap_or_default(),
        stream_key: key.map(|key| key.expose().to_owned()),
        rtmp_url: rtmp_url(app, reached),
        last_refusal: snapshot
            .refusals
            .get(&account.id)
            .map(|(at, reason)| Refusal { at: *at, reason: reason.clone() }),
        health: entry.as_ref().and_then(|entry| health(app, &snapshot, entry.id)),
        entry,
        held_off_seconds: hold_off.map(|held| (held.remaining_seconds - late).max(0.0)),
        account,
    }
}

/// An edit of one's own account; what is absent stays.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OwnEdit {
    /// A new name.
    pub(crate) name: Option<String>,
    /// A new address; empty removes it.
    pub(crate) email: Option<String>,
    /// A new time zone; empty removes it.
    pub(crate) timezone: Option<String>,
    /// A new password; needs the current one too.
    #[schema(value_type = Option<String>)]
    pub(crate) password: Option<SecretString>,
    /// The password until now: a browser left open is not enough to take an account over.
    #[schema(value_type = Option<String>)]
    pub(crate) current_password: Option<SecretString>,
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
    Peer(peer): Peer,
    Body(edit): Body<OwnEdit>,
) -> Result<Json<Account>, Problem> {
    edit_own(&app, &by, &account, session.id(), peer, edit).await.map(Json)
}

/// Edits one's own account. A new password ends all its sessions but `session`. `peer` is who asks, for the limit.
pub(crate) async fn edit_own(
    app: &Arc<App>,
    by: &By,
    account: &Account,
    session: Option<Id>,
    peer: SocketAddr,
    edit: OwnEdit,
) -> Result<Account, Problem> {
    let changes_password = edit.password.is_some();
    if changes_password {
        let Some(current) = edit.current_password else {
            return Err(Problem::invalid("current_password", "to change the password, give the current one too"));
        };
        is_owner(app, account, peer, &current).await?;
    }
    let edit = Edit {
        name: edit.name,
        email: edit.email,
        timezone: edit.timezone,
        password: edit.password,
        ..Edit::default()
    };
    by.did_with_own(if changes_password { "me.password" } else { "me.edit" });
    let (app, id) = (Arc::clone(app), account.id);
    to_the_end(async move {
        let account = app.state.accounts.edit(id, edit).await?;
        if changes_password {
            app.sessions.end_all(id, session).await?;
        }
        Ok(account)
    })
    .await
}

/// Whether whoever sits there knows the account's password: a browser left open is not enough for everything.
pub(crate) async fn is_owner(
    app: &App,
    account: &Account,
    peer: SocketAddr,
    password: &SecretString,
) -> Result<(), Problem> {
    app.limits.sign_in.attempt(peer.ip())?;
    match app.state.accounts.sign_in(&account.name, password).await {
        Ok(_) => Ok(()),
        Err(AccountError::WrongCredentials) => {
            Err(Problem::invalid("current_password", "this is not the current password"))
        }
        Err(error) => Err(error.into()),
    }
}

/// Deletes one's own account, its connection, its place and its sessions.
#[utoipa::path(delete, path = "/api/v1/me", tag = "me", responses((status = 204, description = "Deleted"),
        (status = 409, description = "It is the last admin")))]
async fn delete_me(State(app): State<Arc<App>>, by: By, Own(account): Own) -> Result<StatusCode, Problem> {
    delete_account(&app, &by, account.id).await?;
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
    let key = fresh_key(Arc::clone(&app), account.id).await?;
    Ok(Json(NewKey {
        stream_key: key.expose().to_owned(),
        rtmp_url: rtmp_url(&app, &reached),
        ways: ways(&app, &reached, &key),
    }))
}

/// A new key for an account; whoever publishes with the one before is disconnected.
pub(crate) async fn fresh_key(app: Arc<App>, account: AccountId) -> Result<StreamKey, Problem> {
    to_the_end(async move {
        let key = app.state.accounts.new_stream_key(account).await?;
        let reason = "a new stream key was made; put it into your encoder".to_owned();
        app.state.director.revoke(account, false, reason).await?;
        Ok(key)
    })
    .await
}

/// Leaves the queue: the place goes and the connection is dropped.
#[utoipa::path(delete, path = "/api/v1/me/entry", tag = "me", responses((status = 204, description = "Left"),
        (status = 404, description = "Not in the queue"),
        (status = 409, description = "Not now")))]
async fn leave(State(app): State<Arc<App>>, Own(account): Own) -> Result<StatusCode, Problem> {
    app.state.director.leave(account.id).await?;
    Ok(StatusCode::NO_CONTENT)
}
