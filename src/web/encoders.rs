//! What an encoder needs to reach the box: each way in that the running ingest really has.

use std::{net::IpAddr, sync::Arc};

use axum::{extract::FromRequestParts, http::request::Parts};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    App,
    connections::Encrypted,
    hosts::{bracketed, primary_address, requested_host, without_port},
    problem::Problem,
    with_port,
};
use crate::{
    config::IngestConfig,
    core::account::StreamKey,
    ingest::{Door, IngestState},
};

/// By which name whoever asks reaches the box: `web.public_host`, else the host the request was sent to (which is ours, or it would
/// have been refused), else the machine's address.
pub(crate) struct Reached {
    /// Without a port.
    host: String,
    /// With the page's port, if that is not the usual one.
    page: String,
    /// The port of HTTPS, if whoever asks came by that.
    encrypted: Option<u16>,
}

impl Reached {
    fn new(configured: Option<&str>, requested: Option<&str>) -> Self {
        let host = configured.or(requested).map(|host| without_port(host).to_owned());
        let host = host.or_else(|| primary_address().map(|address| address.to_string()));
        let host = host.unwrap_or_else(|| "motherstream.local".to_owned());
        // A configured name may bring a port of its own; the one the request came to is the page's otherwise.
        let port = [configured, requested].into_iter().flatten().find_map(port);
        let page = port.map_or_else(|| host.clone(), |port| format!("{host}:{port}"));
        Self { host, page, encrypted: None }
    }

    /// The address of a page for other devices. A browser on the box itself may have asked for `localhost`, which leads nobody
    /// else here: then it is the machine's address.
    pub(crate) fn page_url(&self, path: &str) -> String {
        let port = self.page.get(self.host.len()..).unwrap_or_default();
        format!("http://{}{port}{path}", self.host_for_others())
    }

    /// The address of a page for other devices, with a secret in it: encrypted for whoever asks for it encrypted, and has seen to the
    /// browser's warning.
    pub(crate) fn secret_url(&self, path: &str) -> String {
        match self.encrypted {
            Some(port) => format!("https://{}{path}", with_port(&self.host_for_others(), port, 443)),
            None => self.page_url(path),
        }
    }

    /// The host without a port, for other devices.
    fn host_for_others(&self) -> String {
        let own = self.host.eq_ignore_ascii_case("localhost")
            || self.host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        let elsewhere = if own { primary_address() } else { None };
        elsewhere.map_or_else(|| self.host.clone(), bracketed)
    }
}

/// `[::1]:80` -> 80, `box.local` -> none.
fn port(host: &str) -> Option<u16> {
    host.get(without_port(host).len()..)?.strip_prefix(':')?.parse().ok()
}

impl FromRequestParts<Arc<App>> for Reached {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let config = app.state.settings.now();
        let requested = requested_host(&parts.uri, &parts.headers);
        // Encoders trust no certificate that the box made itself, and a phone that scans a code is to see no warning.
        let by_https = parts.extensions.get::<Encrypted>().is_some();
        let plain = requested.filter(|_| by_https).map(|host| app.doors.plain_host(host));
        let reached = Self::new(config.web.public_host.as_deref(), plain.as_deref().or(requested));
        let encrypted = app.doors.https.as_ref().filter(|_| by_https).map(|(port, _)| *port);
        Ok(Self { encrypted, ..reached })
    }
}

/// One way for an encoder to publish. Each address is to be copied as it is, secrets included.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub(crate) enum Way {
    /// RTMP, with H.264 and AAC: what every encoder speaks.
    Rtmp {
        /// The server.
        url: String,
        /// The stream key, in a field of its own.
        stream_key: String,
    },
    /// SRT, with H.264 and AAC in MPEG-TS: over lines that lose packets.
    Srt {
        /// The server with the stream id, all that OBS and ffmpeg need. It holds the stream key.
        url: String,
        /// The stream id alone, for encoders that have a field for it. It holds the stream key.
        stream_id: String,
    },
    /// WebRTC by WHIP (RFC 9725), with H.264 and Opus.
    Whip {
        /// The endpoint.
        url: String,
        /// The stream key, which is the bearer token.
        bearer_token: String,
    },
}

/// Where RTMP is taken, whether the ingest runs at this moment or not: an address does not change because a server starts anew.
pub fn rtmp_door(state: &IngestState, config: &IngestConfig) -> Door {
    state.doors.rtmp.clone().unwrap_or_else(|| match (&config.srs.api_url, &config.srs.rtmp_url) {
        (Some(_), Some(url)) => Door::Elsewhere(url.clone()),
        _ => Door::Port(config.rtmp_listen.port()),
    })
}

/// The server's address for encoders on other devices, whatever name this browser used.
pub(crate) fn rtmp_url_for_others(app: &App, reached: &Reached) -> String {
    let config = &app.state.config.ingest;
    let door = rtmp_door(&app.state.ingest.state().borrow(), config);
    rtmp_address(&door, &reached.host_for_others(), &config.app)
}

/// The server's address for an encoder that speaks RTMP.
pub(crate) fn rtmp_url(app: &App, reached: &Reached) -> String {
    let config = &app.state.config.ingest;
    let door = rtmp_door(&app.state.ingest.state().borrow(), config);
    rtmp_address(&door, &reached.host, &config.app)
}

fn rtmp_address(door: &Door, host: &str, app: &str) -> String {
    match door {
        Door::Port(port) => format!("rtmp://{host}:{port}/{app}"),
        Door::Elsewhere(url) => url.clone(),
    }
}

/// Every way that is open at this moment, for the owner of `key`.
pub(crate) fn ways(app: &App, reached: &Reached, key: &StreamKey) -> Vec<Way> {
    let state = app.state.ingest.state();
    let doors = &state.borrow().doors;
    let rtmp_app = &app.state.config.ingest.app;
    let key = key.expose();
    let rtmp = doors
        .rtmp
        .as_ref()
        .map(|door| Way::Rtmp { url: rtmp_address(door, &reached.host, rtmp_app), stream_key: key.to_owned() });
    let srt = doors.srt.as_ref().map(|door| {
        let server = match door {
            Door::Port(port) => format!("srt://{}:{port}", reached.host),
            Door::Elsewhere(url) => url.clone(),
        };
        srt_way(&server, rtmp_app, key)
    });
    let whip = app
        .state
        .ingest
        .whip()
        .map(|_| Way::Whip { url: format!("http://{}/whip", reached.page), bearer_token: key.to_owned() });
    [rtmp, srt, whip].into_iter().flatten().collect()
}

/// The stream id in SRS's form. Not percent-encoded: OBS and ffmpeg hand over what stands behind `streamid=` as it is, `#` included, and
/// SRS decodes nothing (tried: ffmpeg 5.1, SRS 7.0.18).
fn srt_way(server: &str, app: &str, key: &str) -> Way {
    let stream_id = format!("#!::r={app}/{key},m=publish");
    Way::Srt { url: format!("{server}?streamid={stream_id}"), stream_id }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_keeps_the_port_it_was_asked_by_and_the_encoder_does_not() {
        for (configured, requested, host, page) in [
            (None, Some("192.168.1.7:8080"), "192.168.1.7", "192.168.1.7:8080"),
            (None, Some("box.local"), "box.local", "box.local"),
            (None, Some("[::1]:8080"), "[::1]", "[::1]:8080"),
            (Some("stream.example.org"), Some("10.0.0.1:8080"), "stream.example.org", "stream.example.org:8080"),
            (Some("stream.example.org:81"), Some("10.0.0.1:8080"), "stream.example.org", "stream.example.org:81"),
            (Some("stream.example.org"), None, "stream.example.org", "stream.example.org"),
        ] {
            let reached = Reached::new(configured, requested);
            assert_eq!((reached.host.as_str(), reached.page.as_str()), (host, page));
        }
    }

    #[test]
    fn link_with_a_secret_is_encrypted_for_whoever_came_encrypted() {
        let reached = |encrypted| Reached { encrypted, ..Reached::new(None, Some("192.168.1.7:8080")) };
        for (encrypted, url) in [
            (None, "http://192.168.1.7:8080/reset/x"),
            (Some(8443), "https://192.168.1.7:8443/reset/x"),
            (Some(443), "https://192.168.1.7/reset/x"),
        ] {
            assert_eq!(reached(encrypted).secret_url("/reset/x"), url);
        }
    }
}
