//! The two faces, pages and API, over one kit. They give orders to the control room and show what may be looked at there; they decide
//! nothing.
//!
//! A request passes, from the outside in: a proxy's word taken or not; headers every answer carries; errors made problems; panics caught; requests counted;
//! whoever is on the box's own Wi-Fi led to where the box is set up; hosts and pages that are not ours refused; the session found; the right judged that was stated for the route (see
//! [`http::rights`]); body and time limited.

use std::{
    future::ready,
    sync::{Arc, OnceLock},
};

use axum::{
    Extension, Router,
    body::Bytes,
    extract::Request,
    http::{HeaderName, HeaderValue, header},
    middleware::{from_fn, from_fn_with_state, map_response},
    response::Response,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower::{ServiceExt, service_fn};
use tower_http::{catch_panic::CatchPanicLayer, set_header::SetResponseHeaderLayer};
use tracing::error;

mod api;
mod app;
mod http;
mod page;
#[cfg(test)]
mod tests;

pub use api::console::{ConsoleView, ConsoleWifi};
pub use http::tls::{Https, HttpsError, fingerprint};

use self::{
    app::App,
    http::{
        captive,
        connections::{self, Encrypted},
        crowd::Crowd,
        devices, forwarded, guard, hosts, metrics,
        problem::{self, Kind, NOTHING_HERE, Problem},
        refusals,
        rights::{Right, Routes},
        sessions,
    },
    page::channels::Channels,
};
use crate::control::{readiness::Latch, room::Control};

/// Serves until `stop`, on plain HTTP and where there is one on HTTPS too; then ends the streams, finishes the answers under way, and returns within 2 s.
///
/// # Errors
///
/// None at present: a listener that fails is tried again, because the box must not end for it.
pub async fn serve(
    listener: TcpListener,
    https: Option<Https>,
    control: Control,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let readiness = control.readiness().clone();
    let app = App::new(control, stop.clone());
    let channels = Arc::new(Channels::new());
    let crowd = Crowd::default();
    let router = router(&app, &channels);
    let plain = connections::serve(listener, None, router.clone(), crowd.clone(), stop.clone());
    let encrypted = async {
        if let Some(Https { listener, acceptor, .. }) = https {
            connections::serve(listener, Some(acceptor), router, crowd, stop.clone()).await;
        }
    };
    readiness.set(Latch::Web, true);
    tokio::join!(plain, encrypted, channels.run(&app));
    readiness.set(Latch::Web, false);
    Ok(())
}

/// Every route, each with its right.
fn routes() -> Routes {
    api::routes().merge(page::routes())
}

/// All of it. A request is one of HTTPS if it came encrypted: to this box, or to a proxy before it that is named.
fn router(app: &Arc<App>, channels: &Arc<Channels>) -> Router {
    let (plain, encrypted) = (faces(app, channels, false), faces(app, channels, true));
    let either = service_fn(move |request: Request| {
        let came_encrypted = request.extensions().get::<Encrypted>().is_some();
        if came_encrypted { encrypted.clone() } else { plain.clone() }.oneshot(request)
    });
    Router::new().fallback_service(either).layer(from_fn_with_state(Arc::clone(app), forwarded::resolve))
}

/// Both faces, for plain HTTP or for HTTPS: they differ in their cookies.
fn faces(app: &Arc<App>, channels: &Arc<Channels>, encrypted: bool) -> Router {
    let description: Arc<OnceLock<Bytes>> = Arc::default();
    let described = Arc::clone(&description);
    let answer =
        async move || ([(header::CONTENT_TYPE, "application/json")], described.get().cloned().unwrap_or_default());
    let (router, document, table) = routes().file(Right::Anyone, "/api/v1/openapi.json", answer).finish();
    // Once and only here. As text: what it is made of takes 4 MB.
    match serde_json::to_vec(&document) {
        Ok(text) => drop(description.set(text.into())),
        Err(error) => error!(%error, "the API cannot be described"),
    }
    drop(document);
    router
        .fallback(async || Problem::new(Kind::NotFound, NOTHING_HERE))
        .layer(Extension(Arc::clone(channels)))
        .layer(from_fn_with_state((Arc::clone(app), Arc::new(table)), guard::enforce))
        .layer(sessions::layer(app.control.sessions(), encrypted))
        .layer(from_fn_with_state(Arc::clone(app), devices::remember))
        .layer(from_fn(hosts::only_our_pages))
        .layer(from_fn_with_state((Arc::clone(&app.hosts), app.control.clone()), hosts::only_our_hosts))
        .layer(from_fn_with_state(Arc::clone(app), captive::lead))
        .layer(CatchPanicLayer::new())
        .layer(from_fn(problem::every_error_is_a_problem))
        .layer(from_fn(refusals::say))
        .layer(from_fn_with_state(Arc::clone(app), page::errors::for_people))
        .layer(from_fn_with_state(app.http.clone(), metrics::count))
        .layer(map_response(move |response: Response| {
            ready(if encrypted { page::flash::secured(response) } else { response })
        }))
        .layer(map_response(async |response| passed_on_at_once(response)))
        .layer(always(header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        // Nobody else learns where a reader came from. (With `no-referrer` a form's POST would carry `Origin: null`.)
        .layer(always(header::REFERRER_POLICY, "same-origin"))
        .layer(always(header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"))
        .layer(always(header::CACHE_CONTROL, "no-store"))
        .with_state(Arc::clone(app))
}

/// Has a proxy pass on what a page listens to as it comes: nginx keeps it back until it has 32 KB, unless the answer says otherwise.
fn passed_on_at_once(mut response: Response) -> Response {
    let streams = response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == "text/event-stream");
    if streams {
        response.headers_mut().insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    }
    response
}

/// A header that an answer carries unless its handler chose otherwise.
fn always(name: HeaderName, value: &'static str) -> SetResponseHeaderLayer<HeaderValue> {
    SetResponseHeaderLayer::if_not_present(name, HeaderValue::from_static(value))
}
