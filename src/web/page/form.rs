//! Forms: what they send, and what they are answered.
//!
//! A form is a plain POST that works without scripts: the answer is a redirect, and the message stands on the page it leads to.
//! The same form sent by htmx (`hx-post`, or a boosted form) is answered with the message at once. Handlers do not tell the two apart; [`Sender`] does:
//!
//! ```ignore
//! async fn skip(State(app): State<Arc<App>>, by: By, sender: Sender, Form(skip): Form<Skip>) -> Result<Response, Problem> {
//!     night::skip(&app.control, &by, skip.turn).await?;
//!     Ok(sender.done(&app, "/admin", &Flash::done("Ada's turn is over.")))
//! }
//! ```
//!
//! A [`Problem`] that a handler returns becomes a message for htmx and a page for everybody else (`errors`). Another site's page
//! cannot send any of these: `hosts::only_our_pages` stands before every POST.

use std::{convert::Infallible, sync::Arc};

use askama::Template;
use axum::{
    extract::{FromRequest, FromRequestParts, Request, rejection::FormRejection},
    http::{HeaderName, HeaderValue, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Deserializer, de::DeserializeOwned};

use super::{
    flash::{self, Flash},
    ui,
};
use crate::web::{
    app::App,
    http::problem::{Kind, Problem},
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

/// How the fields begin that hold what a form was made with, beside the fields for the values themselves.
pub(crate) const SHOWN: &str = "was.";

/// What becomes of one value of a form with several. Two people may have the same page open: whoever saves last changes what they have
/// changed, and nothing that somebody else has set meanwhile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Merged<T> {
    /// Whoever sent the form has left it alone.
    Stays,
    /// It is to be this.
    Changes(T),
    /// Whoever sent the form has changed it, and so has somebody else since it was shown.
    Conflict,
}

impl<T> Merged<T> {
    /// What it is to be, if it changes.
    pub(crate) fn change(self) -> Option<T> {
        match self {
            Self::Changes(value) => Some(value),
            Self::Stays | Self::Conflict => None,
        }
    }
}

/// Judges a value: what the form was made with, if it says so, what it sends, and what holds `now`.
pub(crate) fn merged<T: PartialEq>(shown: Option<&T>, sent: T, now: &T) -> Merged<T> {
    if sent == *now || shown == Some(&sent) {
        Merged::Stays
    } else if shown.is_none_or(|shown| shown == now) {
        Merged::Changes(sent)
    } else {
        Merged::Conflict
    }
}

/// What is said beside a value that two have changed; `now` in words. The form that says it was made with that.
pub(crate) fn conflict_words(now: &str) -> String {
    let now = if now.is_empty() { "nothing" } else { now };
    format!(
        "Somebody else has changed this meanwhile, to: {now}. Nothing of yours is saved yet; what you wrote stands here. Save again if it is to be so."
    )
}

/// A switch of a form.
#[derive(Deserialize)]
pub(crate) struct Switched {
    /// Whether it is to be on.
    #[serde(deserialize_with = "on_or_off")]
    pub(crate) on: bool,
}

/// `true` and `false` as a form's button says them.
fn on_or_off<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    match String::deserialize(deserializer)?.as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(serde::de::Error::custom("neither true nor false")),
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
        response.extensions_mut().insert(flash.told());
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
            response.extensions_mut().insert(flash.told());
            if let Some(cookie) = flash::set(&app.seals, flash) {
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
    fn whoever_saves_last_changes_only_what_they_have_changed() {
        // Shown, sent, now.
        assert_eq!(merged(Some(&15), 15, &120), Merged::Stays, "somebody else's change stays");
        assert_eq!(merged(Some(&15), 30, &15), Merged::Changes(30));
        assert_eq!(merged(Some(&15), 30, &120), Merged::Conflict);
        assert_eq!(merged(Some(&15), 120, &120), Merged::Stays, "both want the same");
        assert_eq!(merged(None, 30, &15), Merged::Changes(30), "a form that does not say");
        assert_eq!(merged(None, 15, &15), Merged::Stays);
    }

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
