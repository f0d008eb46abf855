//! Viewer tokens, and the programme itself for whoever has one: OBS and players on the LAN.

use std::sync::Arc;

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
use utoipa::ToSchema;
use utoipa_axum::routes;

use crate::{
    accounts::Viewer,
    control::{journal::By, viewers},
    web::{
        app::App,
        http::{
            body::{Body, Path, UrlQuery, json},
            problem::{Kind, Problem},
            rights::{Right, Routes},
        },
    },
};

pub(crate) fn routes() -> Routes {
    Routes::new()
        .stream(Right::Ticket, routes!(program))
        .api(Right::Admin, routes!(list, make))
        .api(Right::Admin, routes!(revoke))
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
    Json(app.control.viewers())
}

/// Makes a viewer token.
#[utoipa::path(post, path = "/api/v1/viewers", tag = "viewers", request_body = NewViewer,
    responses((status = 201, description = "Made", body = MadeViewer)))]
async fn make(State(app): State<Arc<App>>, by: By, Body(new): Body<NewViewer>) -> Result<Response, Problem> {
    let (viewer, token) = viewers::make(&app.control, &by, &new.label).await?;
    let token = token.expose_secret().to_owned();
    let path = viewers::path(&token);
    Ok(json(StatusCode::CREATED, MadeViewer { viewer, token, path }))
}

/// Revokes a viewer token and ends its players.
#[utoipa::path(delete, path = "/api/v1/viewers/{id}", tag = "viewers", params(("id" = u64, Path)),
    responses((status = 204, description = "Revoked")))]
async fn revoke(State(app): State<Arc<App>>, by: By, Path(id): Path<u64>) -> Result<StatusCode, Problem> {
    viewers::revoke(&app.control, &by, id).await?;
    Ok(StatusCode::NO_CONTENT)
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
    let (programme, end) = viewers::play(&app.control, &token)?;
    let bytes = ReceiverStream::new(programme).take_until(end.cancelled_owned()).map(Ok::<_, std::convert::Infallible>);
    Ok(([(header::CONTENT_TYPE, "video/x-flv")], HttpBody::from_stream(bytes)).into_response())
}
