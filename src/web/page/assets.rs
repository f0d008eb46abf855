//! Styles, scripts, font and icons: in the program, compressed once, kept by browsers for a year under an address that changes
//! with their content.

use std::{io::Write as _, sync::LazyLock};

use axum::{
    extract::Path,
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use data_encoding::HEXLOWER;
use flate2::{Compression, write::GzEncoder};
use sha2::{Digest, Sha256};

use crate::web::http::{
    problem::{Kind, Problem},
    rights::{Right, Routes},
};

/// One file.
struct Asset {
    name: &'static str,
    kind: &'static str,
    content: &'static [u8],
}

/// What the shared worker may do: it has a policy of its own, which comes with its script, and talks to the box alone.
const WORKER_POLICY: HeaderValue = HeaderValue::from_static("default-src 'none'; connect-src 'self'");

/// A text file or several, joined.
macro_rules! text {
    ($name:literal, $kind:literal, $($file:literal),+) => {
        Asset {
            name: $name,
            kind: $kind,
            content: concat!($(include_str!(concat!("../../../web/", $file)), "\n"),+).as_bytes(),
        }
    };
}

/// A file as it is.
macro_rules! binary {
    ($name:literal, $kind:literal, $file:literal) => {
        Asset { name: $name, kind: $kind, content: include_bytes!(concat!("../../../web/", $file)) }
    };
}

/// The shared worker's script.
const WORKER: &str = "line.js";

/// Everything that is served. What belongs together is one file: each costs a round trip on a slow network.
const ASSETS: &[Asset] = &[
    text!("app.css", "text/css; charset=utf-8", "assets/app.css", "assets/player.css"),
    text!("overlay.css", "text/css; charset=utf-8", "assets/overlay.css"),
    text!("setup.css", "text/css; charset=utf-8", "assets/setup.css"),
    text!("admin.css", "text/css; charset=utf-8", "assets/admin.css"),
    text!("admin.js", "text/javascript; charset=utf-8", "assets/admin.js"),
    text!("app.js", "text/javascript; charset=utf-8", "assets/line.js", "assets/app.js", "assets/player.js"),
    // The shared worker.
    text!("line.js", "text/javascript; charset=utf-8", "assets/line.js", "assets/worker.js"),
    text!(
        "lib.js",
        "text/javascript; charset=utf-8",
        "vendor/htmx/htmx.min.js",
        "vendor/htmx-ext-sse/sse.min.js",
        "vendor/idiomorph/idiomorph-ext.min.js"
    ),
    // Fetched when somebody presses play.
    text!("hls.js", "text/javascript; charset=utf-8", "vendor/hls.js/hls.light.min.js"),
    text!("icons.svg", "image/svg+xml", "assets/icons.svg"),
    text!("favicon.svg", "image/svg+xml", "assets/favicon.svg"),
    binary!("geist.woff2", "font/woff2", "vendor/geist/geist-latin-wght-normal.woff2"),
];

/// Browsers may keep what lies under a hash for a year: other content has another hash.
const FOR_A_YEAR: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");

/// A page that was open while the box was updated asks by the old hash: it is given what there is, and must not keep it.
const NOT_AT_ALL: HeaderValue = HeaderValue::from_static("no-store");

/// Names all assets at once, and with them this build's page: one that was made by another build is out of date.
pub(crate) static BUILD: LazyLock<String> = LazyLock::new(|| {
    let mut hash = Sha256::new();
    for asset in ASSETS {
        hash.update(asset.name.as_bytes());
        hash.update(asset.content);
    }
    let mut name = HEXLOWER.encode(&hash.finalize());
    name.truncate(12);
    name
});

/// Each asset compressed, where that makes it smaller. Only gzip: browsers take brotli over HTTPS alone, and a LAN has little of
/// that. 40 ms of a small board's time, once.
static COMPRESSED: LazyLock<Vec<Option<Bytes>>> = LazyLock::new(|| {
    ASSETS
        .iter()
        .map(|asset| gzip(asset.content, Compression::best()).filter(|small| small.len() < asset.content.len()))
        .map(|small| small.map(Bytes::from))
        .collect()
});

pub(super) fn routes() -> Routes {
    Routes::new().file(Right::Stranger, "/assets/{hash}/{name}", asset)
}

/// The address of an asset, for templates. A test looks for names that are not there.
pub(crate) fn url(name: &str) -> String {
    format!("/assets/{}/{name}", *BUILD)
}

/// Whether there is an asset of this name.
#[cfg(test)]
pub(crate) fn exists(name: &str) -> bool {
    ASSETS.iter().any(|asset| asset.name == name)
}

/// An asset.
async fn asset(Path((hash, name)): Path<(String, String)>, headers: HeaderMap) -> Result<Response, Problem> {
    let Some((index, asset)) = ASSETS.iter().enumerate().find(|(_, asset)| asset.name == name) else {
        return Err(Problem::new(Kind::NotFound, "there is no such file"));
    };
    let kept = if hash == *BUILD { FOR_A_YEAR } else { NOT_AT_ALL };
    let head = [
        (header::CONTENT_TYPE, HeaderValue::from_static(asset.kind)),
        (header::CACHE_CONTROL, kept),
        (header::VARY, HeaderValue::from_static("accept-encoding")),
    ];
    let small = COMPRESSED.get(index).and_then(Option::as_ref).filter(|_| takes_gzip(&headers));
    let mut response = match small {
        Some(small) => (head, [(header::CONTENT_ENCODING, GZIP)], small.clone()).into_response(),
        None => (head, Bytes::from_static(asset.content)).into_response(),
    };
    if asset.name == WORKER {
        response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, WORKER_POLICY);
    }
    Ok(response)
}

pub(super) const GZIP: HeaderValue = HeaderValue::from_static("gzip");

/// Whether whoever asks takes gzip.
pub(super) fn takes_gzip(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT_ENCODING);
    accepted.iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')).any(|coding| {
        let (name, quality) = coding.split_once(';').unwrap_or((coding, ""));
        name.trim().eq_ignore_ascii_case("gzip") && !matches!(quality.trim(), "q=0" | "q=0.0" | "q=0.00" | "q=0.000")
    })
}

pub(super) fn gzip(content: &[u8], level: Compression) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(content.len() / 3), level);
    encoder.write_all(content).ok()?;
    encoder.finish().ok()
}
