//! Viewer tokens, and the programme itself for whoever has one: OBS and players on the LAN.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Json,
    body::Body as HttpBody,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use futures_util::StreamExt;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::{
    App,
    audit::By,
    body::{Body, Path, UrlQuery, json},
    problem::{Kind, Problem},
    rights::{Right, Routes},
    to_the_end,
};
use crate::accounts::Viewer;

pub(crate) fn routes() -> Routes {
    Routes::new()
        .stream(Right::Ticket, routes!(program))
        .api(Right::Admin, routes!(list, make))
        .api(Right::Admin, routes!(revoke))
}

/// One switch per viewer token that plays: revoking the token ends its players.
#[derive(Debug, Default)]
pub(crate) struct Players {
    ends: Mutex<HashMap<u64, CancellationToken>>,
}

impl Players {
    fn end_of(&self, viewer: u64, stop: &CancellationToken) -> CancellationToken {
        let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        ends.entry(viewer).or_insert_with(|| stop.child_token()).clone()
    }

    pub(crate) fn end(&self, viewer: u64) {
        if let Some(end) = self.ends.lock().unwrap_or_else(PoisonError::into_inner).remove(&viewer) {
            end.cancel();
        }
    }
}

/// What a new viewer token is for.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewViewer {
    /// What it is for, so that the right one is revoked one day.
    label: String,
}

/// A new viewer token.
#[derive(Serialize, ToSchema)]
struct MadeViewer {
    #[serde(flatten)]
    viewer: Viewer,
    /// The token. It is shown this once only.
    token: String,
    /// Where the programme is played from, on this host.
    path: String,
}

/// All viewer tokens, without the tokens themselves.
#[utoipa::path(get, path = "/api/v1/viewers", tag = "viewers",
    responses((status = 200, description = "All viewer tokens", body = Vec<Viewer>)))]
async fn list(State(app): State<Arc<App>>) -> Json<Vec<Viewer>> {
    Json(app.state.accounts.viewers().list())
}

/// Makes a viewer token.
#[utoipa::path(post, path = "/api/v1/viewers", tag = "viewers", request_body = NewViewer,
    responses((status = 201, description = "Made", body = MadeViewer)))]
async fn make(State(app): State<Arc<App>>, by: By, Body(new): Body<NewViewer>) -> Result<Response, Problem> {
    let (viewer, token) = make_viewer(&app, &by, &new.label).await?;
    let token = token.expose_secret().to_owned();
    let path = path(&token);
    Ok(json(StatusCode::CREATED, MadeViewer { viewer, token, path }))
}

/// Makes a viewer token, which is told this once.
pub(crate) async fn make_viewer(app: &App, by: &By, label: &str) -> Result<(Viewer, SecretString), Problem> {
    by.did("viewer.create", label);
    Ok(app.state.accounts.viewers().create(label).await?)
}

/// Where the programme is played from with a token, on this host.
pub(crate) fn path(token: &str) -> String {
    format!("/program.flv?token={token}")
}

/// Revokes a viewer token and ends its players.
#[utoipa::path(delete, path = "/api/v1/viewers/{id}", tag = "viewers", params(("id" = u64, Path)),
    responses((status = 204, description = "Revoked")))]
async fn revoke(State(app): State<Arc<App>>, by: By, Path(id): Path<u64>) -> Result<StatusCode, Problem> {
    revoke_viewer(&app, &by, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Revokes a viewer token and ends its players.
pub(crate) async fn revoke_viewer(app: &Arc<App>, by: &By, id: u64) -> Result<(), Problem> {
    let viewers = app.state.accounts.viewers().list();
    by.did("viewer.revoke", viewers.into_iter().find(|viewer| viewer.id == id).map(|it| it.label).unwrap_or_default());
    let app = Arc::clone(app);
    to_the_end(async move {
        app.state.accounts.viewers().revoke(id).await?;
        app.players.end(id);
        Ok(())
    })
    .await
}

/// Who plays.
#[derive(Deserialize)]
struct Play {
    /// The viewer token.
    token: Option<SecretString>,
}

/// The programme as HTTP-FLV, from its last key frame on.
#[utoipa::path(get, path = "/program.flv", tag = "viewers",
    params(("token" = Option<String>, Query, description = "The viewer token")),
    responses((status = 200, description = "The programme", body = Vec<u8>, content_type = "video/x-flv")))]
async fn program(State(app): State<Arc<App>>, UrlQuery(play): UrlQuery<Play>) -> Result<Response, Problem> {
    let Some(token) = play.token else {
        return Err(Problem::new(Kind::NotSignedIn, "this needs a viewer token, which an admin makes: ?token="));
    };
    let Some(viewer) = app.state.accounts.viewers().check(token.expose_secret()) else {
        return Err(Problem::new(Kind::NotAllowed, "this viewer token is unknown or was revoked"));
    };
    let end = app.players.end_of(viewer, &app.stop);
    // Revoked between the look and the switch: the switch would never be thrown.
    if app.state.accounts.viewers().check(token.expose_secret()).is_none() {
        return Err(Problem::new(Kind::NotAllowed, "this viewer token was revoked"));
    }
    let Some(programme) = app.state.media.listen() else {
        return Err(Problem::new(Kind::TooMany, "there are too many players already"));
    };
    let bytes = ReceiverStream::new(programme).take_until(end.cancelled_owned()).map(Ok::<_, std::convert::Infallible>);
    Ok(([(header::CONTENT_TYPE, "video/x-flv")], HttpBody::from_stream(bytes)).into_response())
}
