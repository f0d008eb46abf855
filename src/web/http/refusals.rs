//! What outsiders are refused, as the log tells it: a line a second of each kind, see [`seldom!`].

use std::net::SocketAddr;

use axum::{
    extract::{ConnectInfo, MatchedPath, Request},
    http::{StatusCode, header},
    middleware::Next,
    response::Response,
};

use super::{
    hosts::requested_host,
    problem::{Kind, Problem},
};
use crate::telemetry::seldom::{seldom, start_of};

/// Says in the log what was refused. Wrong passwords and codes are said by the control room, which is asked for both faces.
pub(crate) async fn say(request: Request, next: Next) -> Response {
    let address = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip());
    // Never the address itself: it may hold a token.
    let route = request.extensions().get::<MatchedPath>().cloned();
    let host = requested_host(request.uri(), request.headers()).map(|host| start_of(host).to_owned());
    let with_token = request.headers().contains_key(header::AUTHORIZATION);

    let response = next.run(request).await;
    let Some(problem) = response.extensions().get::<Problem>() else { return response };
    let address = address.map(tracing::field::display);
    let host = host.as_deref().map(tracing::field::debug);
    let route = route.as_ref().map(MatchedPath::as_str);
    match problem.of_kind() {
        Some(Kind::WrongHost) => seldom!(WARN, address, host, "request for a host that is not ours"),
        Some(Kind::CrossSite) => seldom!(WARN, address, route, "request from another site's page"),
        Some(Kind::TooManyAttempts) => seldom!(WARN, address, route, "too many attempts from one address"),
        Some(Kind::TooMany) => seldom!(WARN, address, route, "no place is left"),
        Some(Kind::BodyTooSlow) => seldom!(WARN, address, route, "request's body did not arrive in time"),
        Some(Kind::NotSignedIn) if with_token => seldom!(WARN, address, route, "wrong token or stream key"),
        _ if problem.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            seldom!(WARN, address, route, "request's body is too large");
        }
        _ => {}
    }
    response
}
