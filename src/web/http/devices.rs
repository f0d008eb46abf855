//! The cookie by which a browser shows who has signed in there before: it signs nobody in, and lets whoever brings it through when strangers
//! crowd the door.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::{HeaderValue, header, request::Parts},
    middleware::Next,
    response::Response,
};
use secrecy::{ExposeSecret as _, SecretString};

use super::{connections::Encrypted, cookie::cookie_of};
use crate::{control::journal::Noted, web::app::App};

/// The cookie on plain HTTP.
const COOKIE: &str = "motherstream_device";

/// The cookie on HTTPS, which never travels in the clear.
const ENCRYPTED_COOKIE: &str = "__Host-motherstream_device";

/// Seconds that a browser keeps it: 400 days, the most that browsers do.
const KEPT: u32 = 400 * 24 * 3600;

/// What the browser brings.
pub(crate) fn brought(parts: &Parts) -> Option<SecretString> {
    let encrypted = parts.extensions.get::<Encrypted>().is_some();
    cookie_of(&parts.headers, name(encrypted)).map(SecretString::from)
}

/// Gives the cookie to whoever has signed in.
pub(crate) async fn remember(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let encrypted = parts.extensions.get::<Encrypted>().is_some();
    let before = brought(&parts);
    let noted = parts.extensions.get_or_insert_default::<Noted>().clone();
    let mut response = next.run(Request::from_parts(parts, body)).await;
    let proofs = noted.signed_in().and_then(|account| app.control.remember(account, before.as_ref()));
    if let Some(cookie) = proofs.and_then(|proofs| cookie(&proofs, encrypted)) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

fn name(encrypted: bool) -> &'static str {
    if encrypted { ENCRYPTED_COOKIE } else { COOKIE }
}

fn cookie(proofs: &SecretString, encrypted: bool) -> Option<HeaderValue> {
    let secure = if encrypted { "; Secure" } else { "" };
    let text = format!(
        "{}={}; Path=/; Max-Age={KEPT}; HttpOnly; SameSite=Lax{secure}",
        name(encrypted),
        proofs.expose_secret()
    );
    let mut value = HeaderValue::from_str(&text).ok()?;
    value.set_sensitive(true);
    Some(value)
}
