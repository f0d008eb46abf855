//! Publishing by WebRTC (WHIP, RFC 9725), passed on to the media server, which nobody but this machine reaches. Publishing only: there
//! is nothing to play here.
//!
//! The stream key is the bearer token, so no cookie counts and no page of another site can publish with a visitor's rights. Nor
//! is another site's page invited: an OPTIONS request is answered without leave (no `Access-Control-Allow-Origin`).

use std::{net::IpAddr, sync::Arc, time::Duration};

use axum::{
    extract::{FromRequestParts, State},
    http::{HeaderName, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use utoipa_axum::routes;

use crate::{
    control::{addresses::without_port, limits::Whom, room::to_the_end},
    core::account::{AccountId, StreamKey},
    ingest::srs::whip::{Whip, WhipError},
    web::{
        app::App,
        http::{
            body::{Path, SDP, Sdp},
            caller::{Peer, bearer},
            connections::Local,
            hosts::{address, requested_host},
            problem::{Kind, Problem},
            rights::{Right, Routes},
        },
    },
};

const ACCEPT_POST: HeaderName = HeaderName::from_static("accept-post");

pub(crate) fn routes() -> Routes {
    Routes::new().api(Right::Encoder, routes!(publish)).api(Right::Encoder, routes!(end)).options(
        Right::Encoder,
        "/whip",
        what_is_taken,
    )
}

/// Whose stream key the bearer token is.
struct Encoder {
    account: AccountId,
    key: StreamKey,
    /// Where the request comes from.
    from: IpAddr,
}

impl FromRequestParts<Arc<App>> for Encoder {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let Peer(peer) = Peer::from_request_parts(parts, app).await?;
        let limit = &app.control.limits().whip;
        let Some(typed) = bearer(&parts.headers) else {
            limit.attempt(peer.ip())?;
            return Err(Problem::new(Kind::NotSignedIn, "this needs your stream key as a bearer token"));
        };
        let owner = app.control.key_owner(&StreamKey::new(typed));
        // The key as it is kept, however it was typed: nothing else goes into an address at the media server.
        let found = owner.and_then(|owner| Some((owner.id, app.control.stream_key(owner.id)?)));
        let Some((account, key)) = found else {
            limit.attempt(peer.ip())?;
            return Err(Problem::new(Kind::NotSignedIn, "the bearer token is nobody's stream key"));
        };
        // Whoever has a key is not held up by those at the same address who have none.
        limit.attempt_of(Whom::Account(account))?;
        Ok(Self { account, key, from: peer.ip().to_canonical() })
    }
}

/// The machine's address by which the encoder reached it: there the media server offers its port for media.
struct Here(String);

impl FromRequestParts<Arc<App>> for Here {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<App>) -> Result<Self, Problem> {
        // The address that was asked for, which a router may have translated; for a name, where the connection ends.
        let asked = requested_host(&parts.uri, &parts.headers).and_then(|host| address(without_port(host)));
        let here = asked.or_else(|| parts.extensions.get::<Local>().map(|Local(local)| local.ip()));
        let here = here.ok_or_else(|| Problem::new(Kind::Internal, "the connection's address is not known"))?;
        Ok(Self(here.to_canonical().to_string()))
    }
}

/// The way to the media server, if it takes WebRTC now.
fn way(app: &App) -> Result<Whip, Problem> {
    if let Some(whip) = app.control.whip() {
        return Ok(whip.clone());
    }
    if app.control.ingest_states().borrow().status.running {
        return Err(Problem::new(Kind::NotFound, "this box takes no WebRTC; publish by RTMP"));
    }
    Err(away("the media server does not run at the moment"))
}

fn away(detail: &str) -> Problem {
    Problem::new(Kind::NoIngest, format!("{detail}; try again")).retry_after(Duration::from_secs(5))
}

/// Publishes: an SDP offer in, the answer out. The session's address is in the `Location` header. Candidates are not trickled: the
/// answer has them all.
#[utoipa::path(post, path = "/whip", tag = "ingest",
    request_body(content = String, content_type = "application/sdp", description = "The offer"),
    responses((status = 201, description = "The answer", body = String, content_type = "application/sdp"),
        (status = 404, description = "There is no WebRTC here")))]
async fn publish(
    State(app): State<Arc<App>>,
    Encoder { account, key, from }: Encoder,
    Here(here): Here,
    Sdp(offer): Sdp,
) -> Result<Response, Problem> {
    let whip = way(&app)?;
    // To the end: a session that was opened is one that can be closed.
    to_the_end(async move {
        let session = whip.publish(&key, offer, &here, from).await.map_err(|error| match error {
            WhipError::Unavailable(_) => away("the media server does not answer"),
            WhipError::Refused(reason) => Problem::new(Kind::NotAllowed, reason),
        })?;
        let location = format!("/whip/{}", app.control.whip_sessions().opened(account, session.resource));
        let headers = [(header::CONTENT_TYPE, SDP.to_owned()), (header::LOCATION, location)];
        Ok((StatusCode::CREATED, headers, session.sdp).into_response())
    })
    .await
}

/// Ends a session that was opened with the same stream key.
#[utoipa::path(delete, path = "/whip/{session}", tag = "ingest", params(("session" = String, Path)),
    responses((status = 200, description = "Ended")))]
async fn end(
    State(app): State<Arc<App>>,
    Encoder { account, .. }: Encoder,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    let Some(resource) = app.control.whip_sessions().find(account, &id) else {
        return Err(Problem::new(Kind::NotFound, "no such session, or it is over"));
    };
    let whip = way(&app)?;
    to_the_end(async move {
        match whip.delete(&resource).await {
            // One that is over already is as good as ended.
            Ok(()) | Err(WhipError::Refused(_)) => app.control.whip_sessions().forget(account, &id),
            Err(WhipError::Unavailable(_)) => return Err(away("the media server does not answer")),
        }
        Ok(StatusCode::OK)
    })
    .await
}

/// What can be posted (RFC 9725, section 4.2).
async fn what_is_taken() -> impl IntoResponse {
    [(header::ALLOW, "POST, OPTIONS"), (ACCEPT_POST, SDP)]
}
