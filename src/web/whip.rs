//! Publishing by WebRTC (WHIP, RFC 9725), passed on to the media server, which nobody but this machine reaches. Publishing only: there
//! is nothing to play here.
//!
//! The stream key is the bearer token, so no cookie counts and no page of another site can publish with a visitor's rights. Nor
//! is another site's page invited: an OPTIONS request is answered without leave (no `Access-Control-Allow-Origin`).

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    extract::{FromRequestParts, State},
    http::{HeaderName, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use data_encoding::HEXLOWER;
use utoipa_axum::routes;

use super::{
    App,
    body::{Path, SDP, Sdp},
    hosts::{address, requested_host, without_port},
    problem::{Kind, Problem},
    rights::{Right, Routes},
    sessions::{Local, Peer, bearer},
    to_the_end,
};
use crate::{
    core::account::{AccountId, StreamKey},
    ingest::srs::whip::{Whip, WhipError},
};

const ACCEPT_POST: HeaderName = HeaderName::from_static("accept-post");

pub(crate) fn routes() -> Routes {
    Routes::new().api(Right::Encoder, routes!(publish)).api(Right::Encoder, routes!(end)).options(
        Right::Encoder,
        "/whip",
        what_is_taken,
    )
}

/// The session that each streamer opened last. One each: a second publish takes the first one over.
#[derive(Debug, Default)]
pub(crate) struct WhipSessions {
    open: Mutex<HashMap<AccountId, Opened>>,
}

/// A session's name here, and what the media server calls it.
#[derive(Clone)]
struct Opened {
    id: String,
    resource: String,
}

impl std::fmt::Debug for Opened {
    /// Without the resource, which holds the stream key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opened").field("id", &self.id).finish_non_exhaustive()
    }
}

impl WhipSessions {
    /// Notes a session and gives it a name that says nothing.
    fn opened(&self, account: AccountId, resource: String) -> String {
        let id = HEXLOWER.encode(&rand::random::<[u8; 16]>());
        self.open().insert(account, Opened { id: id.clone(), resource });
        id
    }

    fn find(&self, account: AccountId, id: &str) -> Option<String> {
        self.open().get(&account).filter(|opened| opened.id == id).map(|opened| opened.resource.clone())
    }

    fn forget(&self, account: AccountId, id: &str) {
        let mut open = self.open();
        if open.get(&account).is_some_and(|opened| opened.id == id) {
            open.remove(&account);
        }
    }

    /// Forgets the sessions of accounts that are gone.
    pub(crate) fn retain(&self, exists: impl Fn(AccountId) -> bool) {
        self.open().retain(|account, _| exists(*account));
    }

    fn open(&self) -> std::sync::MutexGuard<'_, HashMap<AccountId, Opened>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
        app.limits.whip.attempt(peer.ip())?;
        let Some(typed) = bearer(&parts.headers) else {
            return Err(Problem::new(Kind::NotSignedIn, "this needs your stream key as a bearer token"));
        };
        let owner = app.state.accounts.key_owner(&StreamKey::new(typed));
        // The key as it is kept, however it was typed: nothing else goes into an address at the media server.
        let found = owner.and_then(|owner| Some((owner.id, app.state.accounts.stream_key(owner.id)?)));
        let Some((account, key)) = found else {
            return Err(Problem::new(Kind::NotSignedIn, "the bearer token is nobody's stream key"));
        };
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
    if let Some(whip) = app.state.ingest.whip() {
        return Ok(whip.clone());
    }
    if app.state.ingest.state().borrow().status.running {
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
        let location = format!("/whip/{}", app.whip.opened(account, session.resource));
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
    let Some(resource) = app.whip.find(account, &id) else {
        return Err(Problem::new(Kind::NotFound, "no such session, or it is over"));
    };
    let whip = way(&app)?;
    to_the_end(async move {
        match whip.delete(&resource).await {
            // One that is over already is as good as ended.
            Ok(()) | Err(WhipError::Refused(_)) => app.whip.forget(account, &id),
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
