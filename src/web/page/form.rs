//! Forms: what they send, and what they are answered.
//!
//! A form is a plain POST that works without scripts: the answer is a redirect, and the message stands on the page it leads to.
//! The same form sent by htmx (`hx-post`, or a boosted form) is answered with the message at once. Handlers do not tell the two apart; [`Sender`] does:
//!
//! ```ignore
//! async fn skip(State(app): State<Arc<App>>, sender: Sender, Form(skip): Form<Skip>) -> Result<Response, Problem> {
//!     app.state.director.skip(skip.turn).await?;
//!     Ok(sender.done(&app, "/admin", &Flash::done("Ada's turn is over.")))
//! }
//! ```
//!
//! A [`Problem`] that a handler returns becomes a message for htmx and a page for everybody else (`errors`). Another site's page
//! can not send any of these: `hosts::only_our_pages` stands before every POST.

use std::{convert::Infallible, sync::Arc};

use askama::Template;
use axum::{
    extract::{FromRequest, FromRequestParts, Request, rejection::FormRejection},
    http::{HeaderName, HeaderValue, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use serde::de::DeserializeOwned;

use super::{flash::Flash, ui};
use crate::web::{
    App,
    problem::{Kind, Problem},
};

/// Says that a request comes from htmx.
pub(super) const HX_REQUEST: HeaderName = HeaderName::from_static("hx-request");
/// Tells htmx to open another page.
pub(super) const HX_REDIRECT: HeaderName = HeaderName::from_static("hx-redirect");
/// Tells htmx to leave the target as it is.
pub(super) const HX_RESWAP: HeaderName = HeaderName::from_static("hx-reswap");

/// What a form sent (`application/x-www-form-urlencoded`).
pub(crate) struct Form<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Form<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        match axum::Form::<T>::from_request(request, state).await {
            Ok(axum::Form(form)) => Ok(Self(form)),
            Err(rejection @ FormRejection::FailedToDeserializeFormBody(_)) => {
                // The text may quote what was sent, which may be a password: only the field's name is repeated.
                let text = rejection.body_text();
                let field = text.split('`').nth(1).filter(|_| text.contains("missing field `"));
                Err(match field {
                    Some(field) => Problem::invalid(field, format!("fill in {field}")),
                    None => Problem::new(Kind::Invalid, "one of the fields has a value that does not fit"),
                })
            }
            Err(rejection) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => {
                Err(Problem::new(Kind::BodyTooLarge, "a form may be 64 KiB at most"))
            }
            Err(_) => Err(Problem::new(Kind::BadRequest, "this address takes what its page's form sends")),
        }
    }
}

/// Who sent a form: the browser itself, or htmx.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sender {
    htmx: bool,
}

impl<S: Send + Sync> FromRequestParts<S> for Sender {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        Ok(Self { htmx: parts.headers.contains_key(HX_REQUEST) })
    }
}

/// A message by itself.
#[derive(Template)]
#[template(path = "parts/toast_alone.html")]
pub(super) struct Toast<'a> {
    pub(super) flash: &'a Flash,
}

impl Sender {
    /// It is done. The browser goes to `to`, where the message stands; htmx shows it where it is, and what changed comes by
    /// itself (`live`).
    pub(crate) fn done(self, app: &Arc<App>, to: &str, flash: &Flash) -> Response {
        if !self.htmx {
            return self.go(app, to, Some(flash));
        }
        let mut response = toast(StatusCode::OK, flash);
        response.extensions_mut().insert(flash.clone());
        response
    }

    /// The whole page is left for another: after signing in, for example. `to` is a path on this box.
    pub(crate) fn go(self, app: &Arc<App>, to: &str, flash: Option<&Flash>) -> Response {
        let to = HeaderValue::from_str(to).unwrap_or_else(|_| HeaderValue::from_static("/"));
        let mut response = if self.htmx {
            (StatusCode::OK, [(HX_REDIRECT, to)]).into_response()
        } else {
            (StatusCode::SEE_OTHER, [(header::LOCATION, to)]).into_response()
        };
        if let Some(flash) = flash {
            // For the audit log, which has no better words than these.
            response.extensions_mut().insert(flash.clone());
            if let Some(cookie) = app.seals.set(flash) {
                response.headers_mut().append(header::SET_COOKIE, cookie);
            }
        }
        response
    }
}

const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");

/// A message for htmx, which leaves everything else as it is.
pub(super) fn toast(status: StatusCode, flash: &Flash) -> Response {
    let text = Toast { flash }.render().unwrap_or_default();
    let head = [(header::CONTENT_TYPE, HTML), (HX_RESWAP, HeaderValue::from_static("none"))];
    (status, head, text).into_response()
}

/// A path of this box, whatever somebody put into a field or a query; `/` for anything else.
pub(crate) fn local(to: &str) -> &str {
    let ours = to.starts_with('/')
        && !to.starts_with("//")
        && !to.contains('\\')
        && to.bytes().all(|byte| byte.is_ascii_graphic());
    if ours { to } else { "/" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_of_this_box_are_gone_to() {
        for ours in ["/", "/me", "/admin/accounts?search=a%20b"] {
            assert_eq!(local(ours), ours);
        }
        for other in
            ["", "me", "//evil.example", "/\\evil.example", "https://evil.example/", "/a\nb", "/\tx", "javascript:x"]
        {
            assert_eq!(local(other), "/", "{other:?}");
        }
    }
}
