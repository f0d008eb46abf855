//! What an encoder needs to reach the box: each way in that the running ingest really has.

use std::net::IpAddr;

use serde::Serialize;
use utoipa::ToSchema;

use super::{
    addresses::{bracketed, primary_address, rtmp_door, with_port, without_port},
    room::Control,
};
use crate::{core::account::StreamKey, ingest::Door};

/// By which name whoever asks reaches the box: `web.public_host`, else the host the request was sent to (which is ours, or it would
/// have been refused), else the machine's address.
pub(crate) struct Reached {
    /// Without a port.
    host: String,
    /// With the page's port, if that is not the usual one.
    page: String,
    /// The port of HTTPS, if whoever asks came by that.
    encrypted: Option<u16>,
    /// A proxy stands before the page and speaks HTTPS for it.
    proxy_encrypts: bool,
}

impl Reached {
    /// By the configured name, else by the one that was asked for; each may bring a port.
    pub(crate) fn new(configured: Option<&str>, requested: Option<&str>) -> Self {
        let host = configured.or(requested).map(|host| without_port(host).to_owned());
        let host = host.or_else(|| primary_address().map(|address| address.to_string()));
        let host = host.unwrap_or_else(|| "motherstream.local".to_owned());
        // A configured name may bring a port of its own; the one the request came to is the page's otherwise.
        let port = [configured, requested].into_iter().flatten().find_map(port);
        let page = port.map_or_else(|| host.clone(), |port| format!("{host}:{port}"));
        Self { host, page, encrypted: None, proxy_encrypts: false }
    }

    /// By HTTPS at this port.
    pub(crate) fn by_https(self, port: Option<u16>) -> Self {
        Self { encrypted: port, ..self }
    }

    /// Through a proxy that speaks HTTPS for the page: then every address of a page is one of its.
    pub(crate) fn by_encrypting_proxy(self) -> Self {
        Self { proxy_encrypts: true, ..self }
    }

    /// As which the page is asked for.
    fn scheme(&self) -> &'static str {
        if self.proxy_encrypts { "https" } else { "http" }
    }

    /// The address of a page for other devices. A browser on the box itself may have asked for `localhost`, which leads nobody
    /// else here: then it is the machine's address.
    pub(crate) fn page_url(&self, path: &str) -> String {
        let port = self.page.get(self.host.len()..).unwrap_or_default();
        format!("{}://{}{port}{path}", self.scheme(), self.host_for_others())
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

/// The server's address for encoders on other devices, whatever name this browser used.
pub(crate) fn rtmp_url_for_others(control: &Control, reached: &Reached) -> String {
    let config = &control.config().ingest;
    let door = rtmp_door(&control.ingest_states().borrow(), config);
    rtmp_address(&door, &reached.host_for_others(), &config.app)
}

/// The server's address for an encoder that speaks RTMP.
pub(crate) fn rtmp_url(control: &Control, reached: &Reached) -> String {
    let config = &control.config().ingest;
    let door = rtmp_door(&control.ingest_states().borrow(), config);
    rtmp_address(&door, &reached.host, &config.app)
}

fn rtmp_address(door: &Door, host: &str, app: &str) -> String {
    match door {
        Door::Port(port) => format!("rtmp://{host}:{port}/{app}"),
        Door::Elsewhere(url) => url.clone(),
    }
}

/// Every way that is open at this moment, for the owner of `key`.
pub(crate) fn ways(control: &Control, reached: &Reached, key: &StreamKey) -> Vec<Way> {
    let state = control.ingest_states();
    let doors = &state.borrow().doors;
    let rtmp_app = &control.config().ingest.app;
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
    let whip = control.whip().map(|_| Way::Whip {
        url: format!("{}://{}/whip", reached.scheme(), reached.page),
        bearer_token: key.to_owned(),
    });
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
        let proxied = Reached::new(None, Some("stage.example")).by_encrypting_proxy();
        assert_eq!(proxied.secret_url("/reset/x"), "https://stage.example/reset/x");
        assert_eq!(proxied.page_url("/register"), "https://stage.example/register");
    }
}
