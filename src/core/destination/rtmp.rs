//! RTMP's and RTMPS's rules for an address and its key.

use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::{
    invalid::{EXAMPLE, InvalidDestination, invalid, invisible},
    platform::Platform,
};

/// The longest key, in bytes. The longest known ones (Facebook's) have about 100.
pub(super) const MAX_KEY: usize = 512;

/// Whether `url` names a server and an application, and nothing else. `key` is looked for in it, and never told.
pub(super) fn check_url(url: &Url, key: &SecretString) -> Result<(), InvalidDestination> {
    const FIELD: &str = "url";
    if !url.username().is_empty() || url.password().is_some() {
        return invalid(FIELD, "remove the user name and password before the @: platforms know you by the key");
    }
    let host = url.host_str().unwrap_or_default();
    if host.is_empty() {
        return invalid(FIELD, format!("the host is missing; the address should look like {EXAMPLE}"));
    }
    if url.port() == Some(0) {
        return invalid(FIELD, "port 0 does not exist; leave the port out for the usual one");
    }
    if url.fragment().is_some() {
        return invalid(FIELD, "remove the # and what follows it");
    }
    if url.query().is_some() {
        return invalid(
            FIELD,
            "remove the ? and what follows it; if the platform gave it to you, it belongs at the end of the key",
        );
    }
    let path = url.path().trim_matches('/');
    if path.is_empty() {
        return invalid(FIELD, "the application is missing: most platforms want /app or /live after the host");
    }
    if path.split('/').any(str::is_empty) {
        return invalid(FIELD, "there is a doubled / in the path");
    }
    if let Some(without) = key_in_path(url, path, key.expose_secret()) {
        return invalid(
            FIELD,
            format!(
                "the end of this address looks like a stream key; put it into the key field and leave {without} here"
            ),
        );
    }
    Ok(())
}

/// If the last part of the path is a key, the address without it.
fn key_in_path(url: &Url, path: &str, key: &str) -> Option<String> {
    let (application, last) = path.rsplit_once('/')?;
    let platform = url.host_str().and_then(Platform::of_host);
    // The platforms of the presets have applications of one part; elsewhere two can be right (an application's instance).
    let is_key = platform.is_some() || last == key.trim() || looks_like_key(last);
    is_key.then(|| {
        let port = url.port().map_or_else(String::new, |port| format!(":{port}"));
        format!("{}://{}{port}/{application}", url.scheme(), url.host_str().unwrap_or_default())
    })
}

/// Whether a word has the shape of a stream key: long, with letters and digits (all platforms'), or with a known beginning.
fn looks_like_key(word: &str) -> bool {
    let known = ["live_", "sk_", "FB-"].iter().any(|start| word.starts_with(start) && word.len() > start.len() + 8);
    let dense =
        word.len() >= 20 && word.chars().any(|c| c.is_ascii_digit()) && word.chars().any(|c| c.is_ascii_alphabetic());
    known || dense
}

/// Whether `key` can be a stream key; as it is typed in, without the spaces at its ends.
pub(super) fn check_key(key: SecretString) -> Result<SecretString, InvalidDestination> {
    const FIELD: &str = "key";
    let text = key.expose_secret();
    let trimmed = text.trim();
    if trimmed.is_empty() {
        return invalid(FIELD, "give the stream key; the platform shows it on its page for going live");
    }
    if trimmed.len() > MAX_KEY {
        return invalid(FIELD, format!("use at most {MAX_KEY} characters"));
    }
    if trimmed.chars().any(|c| c.is_whitespace() || invisible(c)) {
        return invalid(FIELD, "remove the spaces and line breaks inside it; copy it once more");
    }
    if trimmed.contains("://") {
        return invalid(FIELD, "this is an address; the key is the other thing that the platform shows");
    }
    if trimmed.chars().all(|c| matches!(c, '*' | '•' | '●' | '.')) {
        return invalid(FIELD, "this is the hidden form of the key; use the platform's copy button");
    }
    if trimmed.len() == text.len() { Ok(key) } else { Ok(SecretString::from(trimmed.to_owned())) }
}
