//! Messages: what an action did, told on the next page or at once.
//!
//! Between the action and the next page a message travels in a cookie that lives for a minute. It is sealed with a key of this
//! process, so that nobody but the box can put words, or an undo button, on its pages.

use axum::{
    http::{HeaderValue, header},
    response::Response,
};
use serde::{Deserialize, Serialize};

use crate::{
    control::storing::NOT_YET,
    store::Kept,
    web::http::{cookie::cookie_of, seals::Seals, watched::Told},
};

/// The cookie.
const COOKIE: &str = "motherstream_flash";

/// The longest text, in bytes: a cookie holds 4 KiB.
const LONGEST: usize = 1000;

/// A message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Flash {
    /// How it went.
    pub(crate) tone: Tone,
    /// What happened and, where it helps, what to do next.
    pub(crate) text: String,
    /// How to take it back.
    pub(crate) undo: Option<Undo>,
}

/// How it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Tone {
    /// As wanted.
    Done,
    /// Not at all.
    Failed,
}

/// A form that takes an action back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Undo {
    /// Where it is posted to, on this box.
    pub(crate) action: String,
    /// Its hidden fields.
    pub(crate) fields: Vec<(String, String)>,
}

impl Flash {
    /// It was done.
    pub(crate) fn done(text: impl Into<String>) -> Self {
        Self { tone: Tone::Done, text: text.into(), undo: None }
    }

    /// It was not done.
    pub(crate) fn failed(text: impl Into<String>) -> Self {
        Self { tone: Tone::Failed, text: text.into(), undo: None }
    }

    /// With a button that posts `fields` to `action`, which takes it back.
    pub(crate) fn undo(mut self, action: impl Into<String>, fields: &[(&str, &str)]) -> Self {
        let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        self.undo = Some(Undo { action: action.into(), fields });
        self
    }

    /// With a button that puts the switch at `action` back, which is `on` now.
    pub(crate) fn undo_switch(self, action: impl Into<String>, on: bool) -> Self {
        self.undo(action, &[("on", if on { "false" } else { "true" })])
    }

    /// With that it is not stored yet, if it is not.
    pub(crate) fn kept(mut self, kept: Kept) -> Self {
        if kept == Kept::NotYet {
            self.text = format!("{} {NOT_YET}", self.text);
        }
        self
    }

    /// What the audit log may say where nobody has better words.
    pub(crate) fn told(&self) -> Told {
        Told { text: self.text.clone(), failed: self.is_failure() }
    }

    /// Whether it went wrong, for templates.
    pub(crate) fn is_failure(&self) -> bool {
        self.tone == Tone::Failed
    }
}

/// The `Set-Cookie` that brings a message to the next page.
pub(crate) fn set(seals: &Seals, flash: &Flash) -> Option<HeaderValue> {
    let mut flash = flash.clone();
    if flash.text.len() > LONGEST {
        flash.text.truncate(flash.text.floor_char_boundary(LONGEST));
    }
    let value = seals.close(&serde_json::to_vec(&flash).ok()?)?;
    HeaderValue::from_str(&format!("{COOKIE}={value}; Path=/; Max-Age=60; HttpOnly; SameSite=Lax")).ok()
}

/// The message that a request brings, if it is one of ours.
pub(crate) fn open(seals: &Seals, value: &str) -> Option<Flash> {
    serde_json::from_slice(&seals.open(value)?).ok()
}

/// An answer over HTTPS, whose message does not travel in the clear afterwards. (The session's cookie sees to itself; dark or light may
/// be known to anybody.)
pub(crate) fn secured(mut response: Response) -> Response {
    if let header::Entry::Occupied(mut cookies) = response.headers_mut().entry(header::SET_COOKIE) {
        for cookie in cookies.iter_mut() {
            let ours = cookie.to_str().ok().filter(|text| text.starts_with(COOKIE));
            if let Some(secured) = ours.and_then(|text| HeaderValue::from_str(&format!("{text}; Secure")).ok()) {
                *cookie = secured;
            }
        }
    }
    response
}

/// The value of the message's cookie.
pub(crate) fn cookie(headers: &axum::http::HeaderMap) -> Option<&str> {
    cookie_of(headers, COOKIE)
}

/// The `Set-Cookie` after a message was shown.
pub(crate) fn clear() -> HeaderValue {
    HeaderValue::from_static("motherstream_flash=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax")
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use data_encoding::BASE64URL_NOPAD;

    use super::*;

    fn travelled(seals: &Seals, flash: &Flash) -> String {
        let header = set(seals, flash).unwrap();
        let value = header.to_str().unwrap().split(';').next().unwrap();
        value.strip_prefix("motherstream_flash=").unwrap().to_owned()
    }

    #[test]
    fn message_arrives_as_it_was_sent() {
        let seals = Seals::new();
        let flash = Flash::done("Zoë moved to the front").undo("/admin/queue/7/move", &[("before", "9")]);
        assert_eq!(open(&seals, &travelled(&seals, &flash)), Some(flash));
    }

    #[test]
    fn message_that_somebody_else_wrote_is_not_shown() {
        let (seals, others) = (Seals::new(), Seals::new());
        let value = travelled(&others, &Flash::done("Send your password to evil.example"));
        assert_eq!(open(&seals, &value), None);
        let mut sealed = BASE64URL_NOPAD.decode(travelled(&seals, &Flash::done("fine")).as_bytes()).unwrap();
        *sealed.last_mut().unwrap() ^= 1;
        assert_eq!(open(&seals, &BASE64URL_NOPAD.encode(&sealed)), None);
        for nonsense in ["", "x", "AAAA", "!"] {
            assert_eq!(open(&seals, nonsense), None);
        }
    }

    #[test]
    fn long_message_still_fits_a_cookie() {
        let seals = Seals::new();
        let value = travelled(&seals, &Flash::failed("ü".repeat(5000)));
        assert!(value.len() < 3000, "{}", value.len());
        assert!(open(&seals, &value).is_some());
    }
}
