//! Publishing by WebRTC (WHIP, RFC 9725), passed on to SRS, which serves it on its API port. Publishing only.
//!
//! SRS answers a session that it does not take by closing the connection without a word. It does so before it asks its hook when the stream's
//! name is taken, for example by an older session whose encoder vanished: then room is made where a takeover is let in, and SRS asked again.

use std::{net::IpAddr, time::Duration};

use bytes::Bytes;
use reqwest::{Client as HttpClient, Method, StatusCode, Url, header, redirect};
use thiserror::Error;
use tokio::{
    net::lookup_host,
    sync::{mpsc, oneshot},
    time::{sleep, timeout},
};

use super::{
    api::bounded,
    dispatcher::{Message, Room},
};
use crate::{clock::Clock, core::account::StreamKey};

/// An offer, and an answer. Those of browsers have 5,000 bytes.
const MOST_SDP: usize = 64 * 1024;

/// The hook, with a takeover in it, and some.
const CALL_LIMIT: Duration = Duration::from_secs(10);

/// How long a connection in the way has to go.
const ROOM_LIMIT: Duration = Duration::from_secs(3);

/// SRS ends a refused session so long after its hook's answer.
const SETTLE: Duration = Duration::from_millis(500);

/// A name is looked up for so long.
const NAME_LIMIT: Duration = Duration::from_secs(1);

/// Where an encoder's address stands that a proxy passes on.
const X_REAL_IP: header::HeaderName = header::HeaderName::from_static("x-real-ip");

/// Where SRS serves it.
const PATH: &str = "/rtc/v1/whip/";

/// The way to SRS's WHIP. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Whip {
    http: HttpClient,
    base: Url,
    app: String,
    clock: Clock,
    dispatcher: mpsc::Sender<Message>,
}

/// A session that SRS opened.
#[derive(Clone)]
pub struct WhipSession {
    /// SRS's answer to the offer.
    pub sdp: Bytes,
    /// What ends the session: for [`Whip::delete`], in SRS's words. Holds the stream key.
    pub resource: String,
}

impl std::fmt::Debug for WhipSession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WhipSession").finish_non_exhaustive()
    }
}

/// Why there is no session.
#[derive(Debug, Error)]
pub enum WhipError {
    /// SRS, or the director through its hook, says no.
    #[error("refused: {0}")]
    Refused(String),
    /// SRS does not answer.
    #[error("the media server does not answer: {0}")]
    Unavailable(String),
}

impl Whip {
    /// The way to the SRS whose API is at `base`.
    pub(super) fn new(
        base: Url,
        app: &str,
        clock: Clock,
        dispatcher: mpsc::Sender<Message>,
    ) -> Result<Self, reqwest::Error> {
        let http = HttpClient::builder().timeout(CALL_LIMIT).redirect(redirect::Policy::none()).no_proxy().build()?;
        Ok(Self { http, base, app: app.to_owned(), clock, dispatcher })
    }

    /// Opens a session for `key` with the encoder's SDP offer. `host` is the address by which the encoder reached the page: SRS offers its
    /// media port there. `from` is where the encoder is.
    ///
    /// # Errors
    /// See [`WhipError`].
    pub async fn publish(
        &self,
        key: &StreamKey,
        offer: Bytes,
        host: &str,
        from: IpAddr,
    ) -> Result<WhipSession, WhipError> {
        if offer.len() > MOST_SDP {
            return Err(WhipError::Refused("the offer is too long".to_owned()));
        }
        let address = reachable(host).await;
        let mut url = self.url();
        {
            let mut query = url.query_pairs_mut();
            query.append_pair("app", &self.app).append_pair("stream", key.expose());
            if let Some(address) = address {
                query.append_pair("eip", &address.to_string());
            }
        }
        let asked = self.clock.now();
        if let Some(session) = self.offer(&url, offer.clone(), from).await? {
            return Ok(session);
        }
        let (answer, room) = oneshot::channel();
        let message = Message::MakeRoom { app: self.app.clone(), key: key.clone(), since: asked, answer };
        let stopping = || WhipError::Unavailable("the box is stopping".to_owned());
        self.dispatcher.send(message).await.map_err(|_| stopping())?;
        match timeout(ROOM_LIMIT, room).await {
            Ok(Ok(Room::Free)) => {}
            Ok(Ok(Room::Refused(reason))) => return Err(WhipError::Refused(reason)),
            Ok(Ok(Room::Taken)) | Err(_) => {
                let reason = "another encoder is publishing with the same stream key; stop one of them";
                return Err(WhipError::Refused(reason.to_owned()));
            }
            Ok(Err(_)) => return Err(stopping()),
        }
        sleep(SETTLE).await;
        let refused =
            "the media server does not take this offer; it takes H.264 and Opus, bundled, and nothing to play";
        self.offer(&url, offer, from).await?.ok_or_else(|| WhipError::Refused(refused.to_owned()))
    }

    /// Ends a session.
    ///
    /// # Errors
    /// See [`WhipError`].
    pub async fn delete(&self, resource: &str) -> Result<(), WhipError> {
        let unknown = || WhipError::Refused("there is no such session".to_owned());
        // Only what SRS needs is passed on, so that it leads nowhere else.
        let given = self.base.join(resource).map_err(|_| unknown())?;
        let value = |name: &str| given.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
        let (Some(token), Some(session)) = (value("token"), value("session")) else { return Err(unknown()) };
        if given.path() != PATH {
            return Err(unknown());
        }
        let mut url = self.url();
        url.query_pairs_mut()
            .append_pair("action", "delete")
            .append_pair("token", &token)
            .append_pair("session", &session);
        let response = self.http.request(Method::DELETE, url).send().await;
        match response {
            Ok(response) if response.status().is_success() => Ok(()),
            Err(error) if error.is_connect() || error.is_timeout() => Err(unavailable(error)),
            _ => Err(unknown()),
        }
    }

    fn url(&self) -> Url {
        let mut url = self.base.clone();
        url.set_path(PATH);
        url
    }

    /// None: SRS does not take it.
    async fn offer(&self, url: &Url, offer: Bytes, from: IpAddr) -> Result<Option<WhipSession>, WhipError> {
        let request = self.http.post(url.clone()).header(header::CONTENT_TYPE, "application/sdp");
        // SRS puts it into its hooks and lists; ours would be this machine's.
        let request = request.header(X_REAL_IP, from.to_string()).body(offer);
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) if error.is_connect() || error.is_timeout() => return Err(unavailable(error)),
            Err(_) => return Ok(None),
        };
        if response.status() == StatusCode::NOT_FOUND {
            return Err(WhipError::Refused("this media server was built without WebRTC".to_owned()));
        }
        let resource =
            response.headers().get(header::LOCATION).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let (true, Some(resource)) = (response.status() == StatusCode::CREATED, resource) else { return Ok(None) };
        match bounded(response, MOST_SDP).await {
            Ok(Some(sdp)) => Ok(Some(WhipSession { sdp: sdp.into(), resource })),
            Ok(None) => Err(WhipError::Unavailable("its answer does not end".to_owned())),
            Err(error) => Err(unavailable(error)),
        }
    }
}

fn unavailable(error: reqwest::Error) -> WhipError {
    // The address holds the stream key.
    WhipError::Unavailable(error.without_url().to_string())
}

/// The address to offer for `host`, an address or a name, as in a URL. None: SRS offers those that it finds itself.
async fn reachable(host: &str) -> Option<IpAddr> {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let usable = |address: &IpAddr| address.is_ipv4() && !address.is_unspecified();
    if let Ok(address) = host.parse::<IpAddr>() {
        // SRS takes what follows a colon for a port.
        return Some(address.to_canonical()).filter(usable);
    }
    let found = timeout(NAME_LIMIT, lookup_host((host, 0))).await.ok()?.ok()?;
    found.map(|address| address.ip().to_canonical()).find(usable)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
mod tests;
