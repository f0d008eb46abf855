//! Who a request comes from, and where from: what handlers take as arguments.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    extract::{ConnectInfo, FromRequestParts},
    http::{HeaderMap, header, request::Parts},
};
use jiff::Timestamp;
use tower_sessions::Session;

use super::{
    connections::Encrypted,
    crowd::Visitor,
    devices,
    forwarded::Through,
    hosts::requested_host,
    problem::{Kind, Problem},
    sessions::SEEN,
};
use crate::{
    accounts::Account,
    control::{
        journal::{By, Caller, Noted},
        sessions::ACCOUNT,
        ways::Reached,
    },
    core::account::AccountId,
    web::app::App,
};

impl FromRequestParts<Arc<App>> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        if let Some(caller) = parts.extensions.get::<Self>() {
            return Ok(caller.clone());
        }
        let caller = recognise(parts, app).await?;
        if let Some(visitor) = parts.extensions.get::<Visitor>() {
            visitor.is(&caller);
        }
        parts.extensions.insert(caller.clone());
        Ok(caller)
    }
}

async fn recognise(parts: &mut Parts, app: &Arc<App>) -> Result<Caller, Problem> {
    if parts.headers.contains_key(header::AUTHORIZATION) {
        // A wrong token is an error rather than nobody: and the cookie beside it does not count, see `only_our_pages`.
        if let Some(token) = bearer(&parts.headers) {
            if app.control.is_admin_token(token) {
                return Ok(Caller::Token);
            }
            if app.control.is_machine_key(token) {
                return Ok(Caller::Machine);
            }
            if app.control.is_metrics_token(token) {
                return Ok(Caller::Monitor);
            }
        }
        let Peer(address) = Peer::from_request_parts(parts, app).await?;
        app.control.limits().sign_in.attempt(address.ip())?;
        return Err(Problem::new(Kind::NotSignedIn, "the bearer token is not `admin.token`"));
    }
    let Ok(session) = Session::from_request_parts(parts, app).await else {
        return Ok(Caller::Anonymous);
    };
    let stored = |error: tower_sessions::session::Error| Problem::new(Kind::Internal, error.to_string());
    let Some(id) = session.get::<AccountId>(ACCOUNT).await.map_err(stored)? else {
        return Ok(Caller::Anonymous);
    };
    let Some(account) = app.control.in_order(id) else {
        return Ok(Caller::Anonymous);
    };
    let now = Timestamp::now().as_second();
    let untouched = i64::try_from(app.control.sessions().untouched().as_secs()).unwrap_or(i64::MAX);
    let seen = session.get::<i64>(SEEN).await.map_err(stored)?.unwrap_or_default();
    // The box's clock steps, also back.
    if (now - seen).abs() > untouched {
        session.insert(SEEN, now).await.map_err(stored)?;
    }
    Ok(Caller::Account(account))
}

pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// The other end of the connection; through a proxy that is named, whom it asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) SocketAddr);

impl<S: Send + Sync> FromRequestParts<S> for Peer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let ConnectInfo(address) = ConnectInfo::<SocketAddr>::from_request_parts(parts, state)
            .await
            .map_err(|_| Problem::new(Kind::Internal, "the connection's address is not known"))?;
        Ok(Self(address))
    }
}

/// A call on one's own account: whoever is signed in.
#[derive(Clone, Debug)]
pub(crate) struct Own(pub(crate) Account);

impl FromRequestParts<Arc<App>> for Own {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        match Caller::from_request_parts(parts, app).await? {
            Caller::Account(account) => Ok(Self(account)),
            Caller::Anonymous => Err(Problem::new(Kind::NotSignedIn, "this needs a signed-in account")),
            Caller::Token | Caller::Machine | Caller::Monitor => {
                Err(Problem::new(Kind::NotAllowed, "a token has no account of its own"))
            }
        }
    }
}

impl FromRequestParts<Arc<App>> for By {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let caller = Caller::from_request_parts(parts, app).await?;
        let address = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip());
        let proxied = parts.extensions.get::<Through>() == Some(&Through::Unknown);
        let by = Self::new(caller, address, parts.extensions.get_or_insert_default::<Noted>().clone());
        Ok(by.through(devices::brought(parts), proxied))
    }
}

impl FromRequestParts<Arc<App>> for Reached {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let config = app.control.config();
        let requested = requested_host(&parts.uri, &parts.headers);
        if parts.extensions.get::<Through>() == Some(&Through::Named) {
            // Names and ports are the proxy's own.
            let reached = Self::new(config.web.public_host.as_deref(), requested);
            let encrypts = parts.extensions.get::<Encrypted>().is_some();
            return Ok(if encrypts { reached.by_encrypting_proxy() } else { reached });
        }
        // Encoders trust no certificate that the box made itself, and a phone that scans a code is to see no warning.
        let by_https = parts.extensions.get::<Encrypted>().is_some();
        let plain = requested.filter(|_| by_https).map(|host| app.control.doors().plain_host(host));
        let reached = Self::new(config.web.public_host.as_deref(), plain.as_deref().or(requested));
        let encrypted = app.control.doors().https.as_ref().filter(|_| by_https).map(|(port, _)| *port);
        Ok(reached.by_https(encrypted))
    }
}
