//! Who may call what: stated once, where a route is registered, and enforced from that statement.
//!
//! Every route of the web goes through [`Routes`], which takes nothing without a [`Right`]. How to add one:
//!
//! ```ignore
//! pub(crate) fn routes() -> Routes {
//!     Routes::new()
//!         // A call of the API, described by `utoipa::path`. Refusals are problems (JSON).
//!         .api(Right::Admin, routes!(list, add))
//!         // An HTML page (GET) and a form it sends (POST, answered by a redirect). Whoever has to sign in first is led to
//!         // /login?next=...; other refusals are problems, and the response carries `Judged { face: Face::Page, .. }`, so that the
//!         // layer of error pages can draw them.
//!         .page(Right::Anyone, "/", index)
//!         .form(Right::SignedIn, "/me/leave", leave)
//!         // What a page loads (GET): styles, pictures. Refusals are problems.
//!         .file(Right::Stranger, "/assets/{hash}/{name}", asset)
//!         // Live fragments (GET): an answer without an end, which no limit of time ends.
//!         .live(Right::Anyone, "/live/room", room)
//! }
//! ```
//!
//! and merge it in [`super::routes`]. The guard runs before the handler and leaves the [`Caller`] in the request: a handler that
//! wants to know who it is takes `Caller`, or `Own(account)` below [`Right::SignedIn`], as an argument, which costs nothing more.
//! A route that nobody stated a right for is not served. `docs/rights.md` is compared with the table of all routes by a test.
//!
//! Cookies count for every right but [`Right::Token`]: a GET that changes state must never be accepted by cookie, because any
//! page can make a browser send one. Whatever else changes state is a POST, PUT, PATCH or DELETE, and is refused when another
//! site's page sent it (`hosts::only_our_pages`).

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Router,
    body::Body,
    extract::{DefaultBodyLimit, FromRequestParts, MatchedPath, Request, State},
    handler::Handler,
    http::{HeaderValue, Method, StatusCode, Uri, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
    routing::{MethodFilter, on},
};
use futures_util::StreamExt;
use tower_http::{limit::RequestBodyLimitLayer, timeout::TimeoutLayer};
use tower_sessions::{Session, session::Id};
use utoipa::openapi::{OpenApi, path::PathItem};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};

use super::{
    ANSWER_TIME, App,
    audit::Watched,
    body::LARGEST_BODY,
    describe,
    problem::{Kind, Problem},
    sessions::{Caller, Local, Peer, is_here},
};
use crate::{core::account::Role, store::StoreError};

/// Where whoever has to sign in first is led.
const SIGN_IN: &str = "/login";

/// Where everything leads while the box has no owner.
const SET_UP: &str = "/setup";

/// Who may call a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Right {
    /// Anybody, also while the box has no owner: claiming it, and what every page loads.
    Stranger,
    /// Anybody, once the box has an owner.
    Anyone,
    /// Whoever brings what the handler asks for: a viewer token, the code of a reset link.
    Ticket,
    /// Whoever brings a stream key as a bearer token, which the handler judges.
    Encoder,
    /// Whoever is signed in. Not `admin.token`, which has no account.
    SignedIn,
    /// Who runs the night: operators, admins, `admin.token`.
    Operator,
    /// Admins and `admin.token`.
    Admin,
    /// `admin.token` as a bearer token, never a cookie.
    Token,
    /// Whoever is on this machine, also while the box has no owner; from elsewhere admins and `admin.token`.
    LocalOrAdmin,
}

impl Right {
    /// How `docs/rights.md` calls it.
    #[cfg(test)]
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Stranger => "stranger",
            Self::Anyone => "anyone",
            Self::Ticket => "ticket",
            Self::Encoder => "encoder",
            Self::SignedIn => "signed in",
            Self::Operator => "operator",
            Self::Admin => "admin",
            Self::Token => "token",
            Self::LocalOrAdmin => "local or admin",
        }
    }

    /// Whether it answers while the box has no owner.
    const fn answers_unclaimed(self) -> bool {
        matches!(self, Self::Stranger | Self::LocalOrAdmin)
    }

    /// Whether it answers while there is no store: what tells how the box does, and what error pages are made of.
    fn answers_in_trouble(self, path: &str) -> bool {
        self == Self::LocalOrAdmin || (self == Self::Stranger && path.starts_with("/assets/"))
    }

    /// How the API's description says it.
    const fn schemes(self) -> &'static [&'static str] {
        match self {
            Self::Stranger | Self::Anyone | Self::Ticket => &[],
            Self::Encoder => &["stream_key"],
            Self::SignedIn => &["session"],
            Self::Operator | Self::Admin | Self::LocalOrAdmin => &["session", "bearer"],
            Self::Token => &["bearer"],
        }
    }
}

/// What a route is for, which decides how a refusal looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Face {
    /// A call of the API, or what a page loads.
    Api,
    /// A page or a form: people read the answer.
    Page,
}

/// In the extensions of every answer of a stated route, for the layer that draws error pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Judged {
    /// What the route is for.
    pub(crate) face: Face,
    /// Whether the handler was called: false if the guard refused.
    pub(crate) passed: bool,
}

/// A route with its right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stated {
    pub(crate) right: Right,
    pub(crate) face: Face,
}

/// All routes with their rights, by path and method.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    routes: BTreeMap<String, Vec<(Method, Stated)>>,
}

impl Table {
    fn state(&mut self, method: Method, path: &str, stated: Stated) {
        self.routes.entry(path.to_owned()).or_default().push((method, stated));
    }

    /// All of them, sorted by path.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&Method, &str, Stated)> {
        self.routes
            .iter()
            .flat_map(|(path, methods)| methods.iter().map(move |(method, stated)| (method, path.as_str(), *stated)))
    }

    /// The right that was stated for a route; if only for other methods, for which.
    fn find(&self, method: &Method, path: &str) -> Result<Stated, String> {
        let method = if method == Method::HEAD { &Method::GET } else { method };
        let methods = self.routes.get(path).map(Vec::as_slice).unwrap_or_default();
        methods.iter().find(|(stated, _)| stated == method).map(|(_, stated)| *stated).ok_or_else(|| {
            let names: Vec<_> = methods.iter().map(|(method, _)| method.as_str()).collect();
            names.join(",")
        })
    }
}

/// Routes in the making, each with its right. See the module's own words for how to add some.
pub(crate) struct Routes {
    /// Answered within [`ANSWER_TIME`], bodies up to [`LARGEST_BODY`].
    timed: OpenApiRouter<Arc<App>>,
    /// Answers without an end.
    streams: OpenApiRouter<Arc<App>>,
    /// Routes that take larger bodies, which may take longer.
    uploads: OpenApiRouter<Arc<App>>,
    table: Table,
}

impl Routes {
    pub(crate) fn new() -> Self {
        Self {
            timed: OpenApiRouter::default(),
            streams: OpenApiRouter::default(),
            uploads: OpenApiRouter::default(),
            table: Table::default(),
        }
    }

    /// Described calls of the API: `routes!(a, b)`, all under one right.
    pub(crate) fn api(mut self, right: Right, routes: UtoipaMethodRouter<Arc<App>>) -> Self {
        let routes = self.describe(right, routes);
        self.timed = self.timed.routes(routes);
        self
    }

    /// A described call whose answer has no end.
    pub(crate) fn stream(mut self, right: Right, routes: UtoipaMethodRouter<Arc<App>>) -> Self {
        let routes = self.describe(right, routes);
        self.streams = self.streams.routes(routes);
        self
    }

    /// A described call that takes a body of up to `largest` bytes, for a handler that reads it by an extractor or counts itself. How long
    /// that may take is the handler's to say.
    pub(crate) fn upload(mut self, right: Right, largest: usize, routes: UtoipaMethodRouter<Arc<App>>) -> Self {
        let (schemas, paths, methods) = self.describe(right, routes);
        // Not the layer that looks at the announced length: it refuses in words of its own, and the handler knows better ones.
        let limit = DefaultBodyLimit::max(largest);
        self.uploads = self.uploads.routes((schemas, paths, methods.route_layer(limit)));
        self
    }

    /// An HTML page (GET).
    pub(crate) fn page<H: Handler<T, Arc<App>>, T: 'static>(self, right: Right, path: &str, handler: H) -> Self {
        self.undescribed(Method::GET, MethodFilter::GET, path, Stated { right, face: Face::Page }, handler)
    }

    /// What a page's form is sent to (POST).
    pub(crate) fn form<H: Handler<T, Arc<App>>, T: 'static>(self, right: Right, path: &str, handler: H) -> Self {
        self.undescribed(Method::POST, MethodFilter::POST, path, Stated { right, face: Face::Page }, handler)
    }

    /// What a page's form with a file is sent to (POST), up to `largest` bytes. How long that may take is the handler's to say.
    pub(crate) fn form_upload<H: Handler<T, Arc<App>>, T: 'static>(
        mut self,
        right: Right,
        largest: usize,
        path: &str,
        handler: H,
    ) -> Self {
        self.table.state(Method::POST, path, Stated { right, face: Face::Page });
        // Not the layer that looks at the announced length: it refuses in words of its own, and the handler knows better ones.
        let limit = DefaultBodyLimit::max(largest);
        self.uploads = self.uploads.route(path, on(MethodFilter::POST, handler).route_layer(limit));
        self
    }

    /// What a page loads (GET): a style, a picture, a segment.
    pub(crate) fn file<H: Handler<T, Arc<App>>, T: 'static>(self, right: Right, path: &str, handler: H) -> Self {
        self.undescribed(Method::GET, MethodFilter::GET, path, Stated { right, face: Face::Api }, handler)
    }

    /// What a client may ask before it sends something (OPTIONS).
    pub(crate) fn options<H: Handler<T, Arc<App>>, T: 'static>(self, right: Right, path: &str, handler: H) -> Self {
        self.undescribed(Method::OPTIONS, MethodFilter::OPTIONS, path, Stated { right, face: Face::Api }, handler)
    }

    /// What a page listens to (GET): an answer without an end.
    pub(crate) fn live<H: Handler<T, Arc<App>>, T: 'static>(mut self, right: Right, path: &str, handler: H) -> Self {
        self.table.state(Method::GET, path, Stated { right, face: Face::Api });
        self.streams = self.streams.route(path, on(MethodFilter::GET, handler));
        self
    }

    /// All of these and all of those.
    pub(crate) fn merge(mut self, other: Self) -> Self {
        for (method, path, stated) in other.table.all() {
            self.table.state(method.clone(), path, stated);
        }
        self.timed = self.timed.merge(other.timed);
        self.streams = self.streams.merge(other.streams);
        self.uploads = self.uploads.merge(other.uploads);
        self
    }

    /// The router without its outer layers, its description, and the table that [`enforce`] reads.
    pub(crate) fn finish(self) -> (Router<Arc<App>>, OpenApi, Table) {
        let timed = self
            .timed
            .layer(TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, ANSWER_TIME))
            .merge(self.streams)
            .layer(DefaultBodyLimit::max(LARGEST_BODY))
            .layer(RequestBodyLimitLayer::new(LARGEST_BODY));
        let (router, description) =
            OpenApiRouter::with_openapi(describe::base()).merge(timed).merge(self.uploads).split_for_parts();
        (router, describe::finish(description), self.table)
    }

    fn undescribed<H: Handler<T, Arc<App>>, T: 'static>(
        mut self,
        method: Method,
        filter: MethodFilter,
        path: &str,
        stated: Stated,
        handler: H,
    ) -> Self {
        self.table.state(method, path, stated);
        self.timed = self.timed.route(path, on(filter, handler));
        self
    }

    /// Notes the rights of described routes, in the table and in their description.
    fn describe(
        &mut self,
        right: Right,
        (schemas, mut paths, methods): UtoipaMethodRouter<Arc<App>>,
    ) -> UtoipaMethodRouter<Arc<App>> {
        for (path, item) in &mut paths.paths {
            let PathItem { get, put, post, delete, patch, .. } = item;
            let operations = [
                (Method::GET, get),
                (Method::PUT, put),
                (Method::POST, post),
                (Method::DELETE, delete),
                (Method::PATCH, patch),
            ];
            for (method, operation) in operations {
                if let Some(operation) = operation {
                    describe::guard(operation, right.schemes());
                    self.table.state(method, path, Stated { right, face: Face::Api });
                }
            }
        }
        (schemas, paths, methods)
    }
}

/// The guard itself. Reads the table only, so a route that is in no table is not served.
pub(crate) async fn enforce(
    State((app, table)): State<(Arc<App>, Arc<Table>)>,
    request: Request,
    next: Next,
) -> Response {
    let claimed = app.state.accounts.is_claimed();
    let Some(path) = request.extensions().get::<MatchedPath>().cloned() else {
        // Nothing is here.
        return if claimed { next.run(request).await } else { lead_to_set_up(request.method(), request.uri(), None) };
    };
    let stated = match table.find(request.method(), path.as_str()) {
        Ok(stated) => stated,
        Err(others) => {
            let allow = HeaderValue::from_str(&others).unwrap_or_else(|_| HeaderValue::from_static(""));
            return (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, allow)]).into_response();
        }
    };
    let in_trouble = app.state.store.trouble().filter(|_| !stated.right.answers_in_trouble(path.as_str()));
    let (mut response, passed) = if let Some(trouble) = in_trouble {
        (without_store(&app, trouble).into_response(), false)
    } else if !claimed && !stated.right.answers_unclaimed() {
        (lead_to_set_up(request.method(), request.uri(), Some(stated.face)), false)
    } else {
        let (mut parts, body) = request.into_parts();
        match judge(&app, stated.right, &mut parts).await {
            Ok(()) => {
                let watched = Watched::begin(&mut parts, stated, path.as_str());
                let session = signed_in_by(&parts);
                let response = next.run(Request::from_parts(parts, body)).await;
                let response = ends_with(&app, session, response);
                if let Some(watched) = watched {
                    watched.end(&app, &response);
                }
                (response, true)
            }
            Err(problem) => (refuse(problem, stated.face, &parts.method, &parts.uri), false),
        }
    };
    response.extensions_mut().insert(Judged { face: stated.face, passed });
    response
}

/// The session by which the guard knew who calls.
fn signed_in_by(parts: &Parts) -> Option<Id> {
    let known = matches!(parts.extensions.get::<Caller>(), Some(Caller::Account(_)));
    parts.extensions.get::<Session>().filter(|_| known).and_then(Session::id)
}

/// What a page listens to has no end of its own: it ends with the session that opened it.
fn ends_with(app: &App, session: Option<Id>, response: Response) -> Response {
    let endless = response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == "text/event-stream");
    match session.filter(|_| endless) {
        Some(session) => {
            let over = app.sessions.clone().over(session);
            response.map(|body| Body::from_stream(body.into_data_stream().take_until(Box::pin(over))))
        }
        None => response,
    }
}

/// Whether a request may pass. Leaves the [`Caller`] in its extensions where it had to be asked for.
async fn judge(app: &Arc<App>, right: Right, parts: &mut Parts) -> Result<(), Problem> {
    match right {
        Right::Stranger | Right::Anyone | Right::Ticket | Right::Encoder => return Ok(()),
        Right::LocalOrAdmin => {
            let peer = Peer::from_request_parts(parts, app).await?;
            if is_here(&peer, parts.extensions.get::<Local>(), app) {
                return Ok(());
            }
        }
        Right::SignedIn | Right::Operator | Right::Admin | Right::Token => {}
    }
    let caller = Caller::from_request_parts(parts, app).await?;
    let not_signed_in = |detail| Err(Problem::new(Kind::NotSignedIn, detail));
    let not_allowed = |detail| Err(Problem::new(Kind::NotAllowed, detail));
    match (right, &caller) {
        (Right::Stranger | Right::Anyone | Right::Ticket | Right::Encoder, _)
        | (Right::SignedIn, Caller::Account(_))
        | (Right::Operator | Right::Admin | Right::LocalOrAdmin | Right::Token, Caller::Token) => Ok(()),
        (Right::Operator, Caller::Account(account)) if account.role.runs_the_night() => Ok(()),
        (Right::Admin | Right::LocalOrAdmin, Caller::Account(account)) if account.role == Role::Admin => Ok(()),
        (Right::SignedIn, Caller::Anonymous) => not_signed_in("this needs a signed-in account"),
        (Right::SignedIn, Caller::Token) => not_allowed("`admin.token` has no account of its own"),
        (Right::Token, Caller::Anonymous) => not_signed_in("this needs `admin.token` as a bearer token"),
        (Right::Token, Caller::Account(_)) => not_allowed("this takes `admin.token` as a bearer token only"),
        (Right::Operator, Caller::Anonymous) => {
            not_signed_in("this needs the session of an operator or an admin, or `admin.token`")
        }
        (_, Caller::Anonymous) => not_signed_in("this needs an admin's session or `admin.token`"),
        (Right::Operator, Caller::Account(_)) => not_allowed("this is for operators and admins"),
        (_, Caller::Account(_)) => not_allowed("this is for admins"),
    }
}

fn refuse(problem: Problem, face: Face, method: &Method, uri: &Uri) -> Response {
    if face == Face::Page && problem.status() == StatusCode::UNAUTHORIZED {
        // Back to where they wanted to go, unless that was a form: its content is gone.
        let wanted = if *method == Method::GET { uri.path_and_query().map_or("/", |path| path.as_str()) } else { "" };
        return see_other(&match wanted {
            "" => SIGN_IN.to_owned(),
            wanted => format!(
                "{SIGN_IN}?{}",
                url::form_urlencoded::Serializer::new(String::new()).append_pair("next", wanted).finish()
            ),
        });
    }
    problem.into_response()
}

/// The answer while the store can not be opened.
fn without_store(app: &App, trouble: &StoreError) -> Problem {
    Problem::new(Kind::NoStore, no_store(trouble, app.state.updates.can_reset()))
}

/// What people are told while the store can not be opened: what is wrong, what goes on, what to do next. `image`: the box has a way back
/// to the factory.
pub(crate) fn no_store(trouble: &StoreError, image: bool) -> String {
    let next = if image {
        " First start the box again. If this stays: put an empty file named factory-reset on the card's small partition, start again, \
         claim the box, and restore a backup on the page System."
    } else {
        ""
    };
    format!(
        "{trouble}. The programme goes on with the slate; until this is put right nobody can sign in or publish, and nothing is kept.{next}"
    )
}

/// The answer while the box has no owner. Without a face nothing is there: a person's browser is led on nevertheless.
fn lead_to_set_up(method: &Method, uri: &Uri, face: Option<Face>) -> Response {
    let people = match face {
        Some(face) => face == Face::Page,
        None => *method == Method::GET && !uri.path().starts_with("/api/"),
    };
    if people && uri.path() != SET_UP {
        return see_other(SET_UP);
    }
    let detail = "this box has no owner yet: open /setup, or send the code that it printed when it started to POST /api/v1/setup";
    Problem::new(Kind::NotClaimed, detail).into_response()
}

/// 303: look there, with a GET.
pub(crate) fn see_other(to: &str) -> Response {
    let to = HeaderValue::from_str(to).unwrap_or_else(|_| HeaderValue::from_static("/"));
    (StatusCode::SEE_OTHER, [(header::LOCATION, to)]).into_response()
}
