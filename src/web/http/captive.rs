//! Whoever comes over the box's own access point. Phones ask there for addresses that they know the answer of, to find out whether the internet is
//! there; none gets that answer, so that the phone opens the page that it is led to. `docs/network.md` lists them, and a test tries each.
//!
//! While the access point is for setting up, nothing but that answers on it: a stranger on an open Wi-Fi sees no more of the box.

use std::{net::IpAddr, sync::Arc};

use axum::{
    extract::{Request, State},
    http::{HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::{
    connections::Local,
    hosts::{address, requested_host},
    problem::{Kind, Problem},
};
use crate::{
    control::{addresses::without_port, network},
    core::network::{Hotspot, Purpose},
    network::ACCESS_POINT,
    web::app::App,
};

/// Where a box is set up.
const SET_UP: &str = "/setup";

/// What answers on an access point that is for setting up: these pages, and what is below them.
const OPEN: [&str; 6] = [SET_UP, "/login", "/logout", "/theme", "/assets", "/api/v1/network"];

/// What programs ask for by themselves: that says nothing of somebody who is in the middle of a step.
const BACKGROUND: &str = "/healthz";

/// Whether a connection came over the box's own access point.
pub(crate) fn came_over(local: Option<&Local>) -> bool {
    local.is_some_and(|Local(local)| local.ip().to_canonical() == IpAddr::V4(ACCESS_POINT))
}

/// Leads requests over the own access point.
pub(crate) async fn lead(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    if !came_over(request.extensions().get()) {
        return next.run(request).await;
    }
    // Streamers' network once the box has an owner: then all of the page is theirs.
    // While nobody tells what it is for (the program has just started), the settings do.
    let purpose = app.control.network().access_point.as_ref().map(|own| own.purpose);
    let always = app.control.config().network.hotspot == Hotspot::Always;
    let whole = purpose.map_or(always, |purpose| purpose == Purpose::Guests) && app.control.is_claimed();
    let to = if whole { "/" } else { SET_UP };
    let path = request.uri().path();
    let host = requested_host(request.uri(), request.headers());
    if !host.is_some_and(|host| is_ours(&app, host)) {
        return led(&app, to);
    }
    if path != BACKGROUND {
        network::touch(&app.control, false);
    }
    if whole || path == BACKGROUND || OPEN.iter().any(|open| is_at(path, open)) {
        return next.run(request).await;
    }
    if path.starts_with("/api/") {
        let detail = "on the box's own Wi-Fi only its set-up and its network are open; ask over the venue's network";
        return Problem::new(Kind::NotAllowed, detail).into_response();
    }
    led(&app, to)
}

/// Whether a host is the box: every other address leads here only because the box answers to all names on its own access point.
fn is_ours(app: &App, host: &str) -> bool {
    match address(without_port(host)) {
        Some(address) => address.to_canonical() == IpAddr::V4(ACCESS_POINT),
        None => app.hosts.are_ours(host, app.control.config().web.names()),
    }
}

/// Whether a path is `open`, or below it.
fn is_at(path: &str, open: &str) -> bool {
    path.strip_prefix(open).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Sends whoever asks to a page of the box, by its address: a name could be remembered as the box's.
fn led(app: &App, to: &str) -> Response {
    let url = format!("http://{}{to}", app.control.doors().plain_host(&ACCESS_POINT.to_string()));
    let body =
        format!("<!doctype html><title>Motherstream</title><p><a href=\"{url}\">Go on to the box's page</a></p>\n");
    let location = HeaderValue::from_str(&url).unwrap_or_else(|_| HeaderValue::from_static(SET_UP));
    let headers = [
        (header::LOCATION, location),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
    ];
    (StatusCode::FOUND, headers, body).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_for_setting_up_are_told_from_those_that_only_begin_alike() {
        for (path, open) in [
            ("/setup", true),
            ("/setup/network", true),
            ("/setup-code", false),
            ("/login", true),
            ("/loginx", false),
            ("/assets/abc/app.css", true),
            ("/api/v1/network/wifi", true),
            ("/api/v1/networks", false),
            ("/admin", false),
            ("/", false),
        ] {
            assert_eq!(OPEN.iter().any(|one| is_at(path, one)), open, "{path}");
        }
    }
}
