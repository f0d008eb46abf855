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
//! and merge it in the routes of its face. The guard runs before the handler and leaves the `Caller` in the request: a handler that
//! wants to know who it is takes `Caller`, or `Own(account)` below [`Right::SignedIn`], as an argument, which costs nothing more.
//! A route that nobody stated a right for is not served. `docs/rights.md` is compared with the table of all routes by a test.
//!
//! Cookies count for every right but [`Right::Token`]: a GET that changes state must never be accepted by cookie, because any
//! page can make a browser send one. Whatever else changes state is a POST, PUT, PATCH or DELETE, and is refused when another
//! site's page sent it (`hosts::only_our_pages`).

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::DefaultBodyLimit,
    handler::Handler,
    http::{Method, StatusCode},
    routing::{MethodFilter, on},
};
use tower_http::{limit::RequestBodyLimitLayer, timeout::TimeoutLayer};
use utoipa::openapi::{OpenApi, path::PathItem};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};

use super::{body::LARGEST_BODY, describe};
use crate::web::app::App;

/// How long an answer may take, streams excepted.
const ANSWER_TIME: Duration = Duration::from_secs(10);

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
    /// Programs on this machine, by its key, also while the box has no owner; admins and `admin.token`.
    Machine,
    /// The same, and whoever holds `web.metrics_token`.
    Health,
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
            Self::Machine => "machine",
            Self::Health => "health",
        }
    }

    /// Whether it answers while the box has no owner.
    pub(crate) const fn answers_unclaimed(self) -> bool {
        matches!(self, Self::Stranger | Self::Machine | Self::Health)
    }

    /// Whether it answers while there is no store: what tells how the box does, and what error pages are made of.
    pub(crate) fn answers_in_trouble(self, path: &str) -> bool {
        matches!(self, Self::Machine | Self::Health) || (self == Self::Stranger && path.starts_with("/assets/"))
    }

    /// How the API's description says it.
    const fn schemes(self) -> &'static [&'static str] {
        match self {
            Self::Stranger | Self::Anyone | Self::Ticket => &[],
            Self::Encoder => &["stream_key"],
            Self::SignedIn => &["session"],
            Self::Operator | Self::Admin | Self::Machine | Self::Health => &["session", "bearer"],
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
    pub(crate) fn find(&self, method: &Method, path: &str) -> Result<Stated, String> {
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

    /// The router without its outer layers, its description, and the table that the guard reads.
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
