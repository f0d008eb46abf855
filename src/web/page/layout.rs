//! What every page shows, and how a template becomes an answer.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{FromRequestParts, State},
    http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use flate2::Compression;
use serde::Deserialize;

use super::{
    assets::{self, GZIP},
    flash::{self, Flash},
    form::{Form, Sender, local},
    ui,
};
use crate::{
    accounts::Account,
    config::Registration,
    control::{journal::Caller, network},
    web::{
        app::App,
        http::{
            captive,
            connections::Encrypted,
            cookie::cookie_of,
            forwarded::Through,
            hosts::requested_host,
            problem::{Kind, Problem},
            rights::{Right, Routes},
        },
    },
};

/// The policy of pages that these may show in a frame.
macro_rules! policy {
    ($frames:literal) => {
        HeaderValue::from_static(concat!(
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; ",
            "media-src 'self' blob:; worker-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors ",
            $frames
        ))
    };
}

/// What a page may load and do: from here only, and nothing inline. A test looks through the templates for what this would
/// break.
pub(crate) const POLICY: HeaderValue = policy!("'none'");

/// The same for pages without sign-in and controls, which pages of other sites may show in a frame.
pub(crate) const FRAMED: HeaderValue = policy!("*");

/// The program's version, in the footer.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

const THEME: &str = "motherstream_theme";

/// The part of the routes that belongs to every page.
pub(crate) fn routes() -> Routes {
    Routes::new().form(Right::Stranger, "/theme", set_theme)
}

/// Dark, light, or as the device is set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Theme {
    #[default]
    Auto,
    Dark,
    Light,
}

impl Theme {
    /// Its name, as in the cookie and in `data-theme`.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Dark => "dark",
            Self::Light => "light",
        }
    }

    fn of(headers: &HeaderMap) -> Self {
        match cookie_of(headers, THEME) {
            Some("dark") => Self::Dark,
            Some("light") => Self::Light,
            _ => Self::Auto,
        }
    }
}

/// Plain HTTP or HTTPS.
#[derive(Clone, Debug, Default)]
pub(crate) struct Line {
    /// Nobody on the network can read along.
    pub(crate) encrypted: bool,
    /// The same page by HTTPS, if the box has that.
    pub(crate) https_url: Option<String>,
    /// SHA-256 of the certificate.
    pub(crate) fingerprint: Option<String>,
    /// The page was asked for over the box's own access point.
    pub(crate) captive: bool,
}

impl Line {
    fn of(app: &App, parts: &Parts) -> Self {
        let host = requested_host(&parts.uri, &parts.headers).unwrap_or_default();
        let encrypted = parts.extensions.get::<Encrypted>().is_some();
        if parts.extensions.get::<Through>() == Some(&Through::Named) {
            // The box's own HTTPS is not where the proxy is.
            return Self { encrypted, ..Self::default() };
        }
        if captive::came_over(parts.extensions.get()) {
            // HTTPS is refused there.
            return Self { encrypted, captive: true, ..Self::default() };
        }
        Self {
            encrypted,
            captive: false,
            https_url: app.control.doors().https_url(host, parts.uri.path_and_query().map_or("/", |it| it.as_str())),
            fingerprint: app.control.doors().https.as_ref().map(|(_, fingerprint)| fingerprint.clone()),
        }
    }
}

/// What every page knows: the first argument of a page's handler, and the field `page` of its template.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    /// The venue's name.
    pub(crate) venue: String,
    /// Who is signed in.
    pub(crate) who: Option<Account>,
    /// Whether newcomers can register by themselves.
    pub(crate) registration: bool,
    /// The message of the action before.
    pub(crate) flash: Option<Flash>,
    /// Dark or light.
    pub(crate) theme: Theme,
    /// The page's own path, which marks its place in the navigation.
    pub(crate) path: String,
    /// The box's monotonic clock in milliseconds when the page was made, for countdowns.
    pub(crate) now_ms: u64,
    /// How the page was asked for, and how else it could be.
    pub(crate) line: Line,
    /// For those who run the night: that nothing can be stored, and what follows from that.
    pub(crate) card: Option<String>,
    /// For those who run the night: what is wrong with the network.
    pub(crate) network: Option<String>,
    /// Something went wrong before it was known who is there: the navigation says nothing of that.
    pub(crate) bare: bool,
    gzip: bool,
}

impl Page {
    /// One that does not know who looks at it: for errors from outside the sessions.
    pub(crate) fn bare(app: &App, headers: &HeaderMap, path: &str) -> Self {
        Self {
            venue: app.control.config().venue.name.clone(),
            who: None,
            registration: Self::registration_is_open(app),
            flash: None,
            theme: Theme::of(headers),
            path: path.to_owned(),
            now_ms: ui::milliseconds(app.control.now()),
            line: Line::default(),
            card: None,
            network: None,
            bare: true,
            gzip: assets::takes_gzip(headers),
        }
    }

    /// One that shows a secret: sent as it is, so that its length tells nothing.
    pub(crate) fn with_secrets(mut self) -> Self {
        self.gzip = false;
        self
    }

    /// Whether newcomers can register by themselves.
    pub(crate) fn registration_is_open(app: &App) -> bool {
        matches!(app.control.registration(), Registration::Open | Registration::Approval)
    }

    /// Whether the navigation is at `path` or below it.
    pub(crate) fn is_at(&self, path: &str) -> bool {
        self.path.strip_prefix(path).is_some_and(|rest| rest.is_empty() || (path != "/" && rest.starts_with('/')))
    }

    /// The page as an answer.
    pub(crate) fn show(&self, template: &impl Template) -> Response {
        self.show_with(StatusCode::OK, template)
    }

    /// The page as an answer with another status: 422 for a form that has to be filled in again.
    pub(crate) fn show_with(&self, status: StatusCode, template: &impl Template) -> Response {
        let text = match template.render() {
            Ok(text) => text,
            Err(error) => return Problem::new(Kind::Internal, error.to_string()).into_response(),
        };
        let mut response = (status, [(header::CONTENT_TYPE, "text/html; charset=utf-8")]).into_response();
        // Pages hold no secret beside what a stranger can make them repeat, which is what compressing over TLS would give away.
        let small = if self.gzip { assets::gzip(text.as_bytes(), Compression::new(5)) } else { None };
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_SECURITY_POLICY, POLICY);
        headers.insert(header::VARY, HeaderValue::from_static("accept-encoding, cookie, hx-request"));
        if self.flash.is_some() {
            headers.append(header::SET_COOKIE, flash::clear());
        }
        if small.is_some() {
            headers.insert(header::CONTENT_ENCODING, GZIP);
        }
        *response.body_mut() = small.unwrap_or_else(|| text.into_bytes()).into();
        response
    }
}

impl FromRequestParts<Arc<App>> for Page {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let who = match Caller::from_request_parts(parts, app).await? {
            Caller::Account(account) => Some(account),
            Caller::Anonymous | Caller::Token | Caller::Machine | Caller::Monitor => None,
        };
        let flash = flash::cookie(&parts.headers).and_then(|value| flash::open(&app.seals, value));
        let line = Line::of(app, parts);
        let crew = who.as_ref().is_some_and(|who| who.role.runs_the_night());
        let card = if crew { app.control.storing().words() } else { None };
        let network = if crew { network::trouble(&app.control) } else { None };
        Ok(Self { who, flash, line, card, network, bare: false, ..Self::bare(app, &parts.headers, parts.uri.path()) })
    }
}

#[derive(Deserialize)]
struct SetTheme {
    theme: Theme,
    #[serde(default)]
    back: String,
}

/// Chooses dark or light, and goes back to where one was.
async fn set_theme(State(app): State<Arc<App>>, sender: Sender, Form(set): Form<SetTheme>) -> Response {
    let mut response = sender.go(&app, local(&set.back), None);
    let kept = if set.theme == Theme::Auto { 0 } else { 365 * 24 * 3600 };
    let cookie = format!("{THEME}={}; Path=/; Max-Age={kept}; SameSite=Lax", set.theme.name());
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}
