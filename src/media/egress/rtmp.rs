//! RTMP and RTMPS: `rtmp2sink`, and what it says of itself.
//!
//! rtmp2sink connects by itself when the pipeline starts, and says that the publish was accepted in no signal and no
//! message. Its `stats` do: they are all zero until it has a connection, which it has only after `NetStream.Publish.Start`.

use std::time::Duration;

use bytes::Bytes;
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::AppSrc;
use secrecy::{ExposeSecret, SecretString};

use super::{
    liveness::Sample,
    look,
    transport::{Driver, SILENCE_LIMIT, Transport},
    trust::introduce,
};
use crate::{
    core::{
        destination::{ClosedAt, Destination, DestinationFailure, Doubtful, LoginScheme, Protocol, Secret, port_of},
        flv,
        frame::MediaTime,
    },
    media::tag::Tag,
};

/// One chunk for all but the largest key frames: fewer headers, and less to copy.
const CHUNK_SIZE: u32 = 65536;
/// From the end of the stream to the last command's way into the socket, which nothing announces; it takes a millisecond.
const LAST_WORDS: Duration = Duration::from_millis(120);

/// See `Driver`.
pub(super) static DRIVER: Driver = Driver { elements: &["rtmp2sink"], open: Rtmp::open, closer };

/// One publish.
#[derive(Debug)]
struct Rtmp {
    sink: gst::Element,
    /// Left out of what the platform says.
    key: SecretString,
}

impl Rtmp {
    fn open(destination: &Destination) -> Result<Box<dyn Transport>, gst::glib::BoolError> {
        let url = &destination.url;
        if destination.protocol().is_some_and(Protocol::is_encrypted)
            && let Some(server) = look::server(destination)
        {
            introduce(&server, false);
        }
        let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        // Properties rather than one location: a key may hold characters that mean something in a URL.
        let sink = gst::ElementFactory::make("rtmp2sink")
            .property_from_str("scheme", url.scheme())
            .property("host", host)
            .property("port", i32::from(port_of(url).unwrap_or_default()))
            .property("application", destination.application())
            .property("stream", destination.key.expose_secret())
            .property("timeout", u32::try_from(SILENCE_LIMIT.as_secs()).unwrap_or(u32::MAX))
            .property("chunk-size", CHUNK_SIZE)
            .property("sync", false)
            .property("async", false)
            .property("qos", false)
            .property("enable-last-sample", false)
            .build()?;
        Ok(Box::new(Self { sink, key: destination.key.clone() }))
    }

    fn stats(&self) -> gst::Structure {
        self.sink.property("stats")
    }
}

impl Transport for Rtmp {
    fn element(&self) -> &gst::Element {
        &self.sink
    }

    fn is_accepted(&self) -> bool {
        self.stats().get::<u32>("in-chunk-size").unwrap_or_default() > 0
    }

    /// An FLV tag: rtmp2sink makes a message of each.
    fn write(&self, tag: &Tag, time: MediaTime) -> Bytes {
        flv::tag(tag.kind as u8, tag.stamp(time), &tag.body)
    }

    fn sample(&self) -> Sample {
        let stats = self.stats();
        let get = |name: &str| stats.get::<u64>(name).unwrap_or_default();
        Sample {
            sent: get("out-bytes-total"),
            acked: get("out-bytes-acked"),
            window: u64::from(stats.get::<u32>("out-window-ack-size").unwrap_or_default()),
            ..Sample::default()
        }
    }

    /// The end of the stream makes rtmp2sink say `FCUnpublish` and `deleteStream`.
    fn finish(&self, source: &AppSrc) -> Option<Duration> {
        source.end_of_stream().is_ok().then_some(LAST_WORDS)
    }

    fn explain(&self, error: &gst::glib::Error, debug: &str) -> DestinationFailure {
        let refused = error.matches(gst::ResourceError::NotAuthorized);
        explain(error.message(), debug, refused, self.key.expose_secret())
    }
}

/// See `Driver::closer`.
fn closer(destination: &Destination, failure: &DestinationFailure) -> Option<DestinationFailure> {
    // Its authority may be another than the last time; then the next try succeeds.
    if matches!(failure, DestinationFailure::Certificate(_))
        && let Some(server) = look::server(destination)
    {
        introduce(&server, true);
    }
    look::closer(destination, failure)
}

/// What a platform, or the network on the way to it, meant. rtmp2sink says "stream already exists" for any refusal, so that
/// only the platform's own status object counts: its `code` and its `description`. GStreamer 1.22 has it in the message, later
/// ones in the debug text, behind a line that names the place in the source.
fn explain(message: &str, debug: &str, not_authorized: bool, key: &str) -> DestinationFailure {
    let secret = Secret::new(key);
    let detail = debug.split_once('\n').map_or("", |(_, detail)| detail).trim();
    let (cause, detail) = cause(detail);
    let leads = [
        "Connection error",
        "Failed to connect",
        "Not authorized to connect",
        "Connection refused",
        "Could not connect",
    ];
    let lead = leads.iter().find_map(|lead| message.strip_prefix(lead)?.strip_prefix(": "));
    let said = if detail.is_empty() { lead.unwrap_or(message) } else { detail };
    if let Some(login) = login(said) {
        return DestinationFailure::Login(login);
    }
    let code = ["NetStream.", "NetConnection."].iter().find_map(|start| {
        let found = said.get(said.find(start)?..)?;
        let end = found.find(|c: char| !c.is_ascii_alphanumeric() && c != '.').unwrap_or(found.len());
        found.get(..end)
    });
    if let Some(code) = code {
        // Of an answer to `connect` rtmp2sink gives no object: `'connect' cmd returned 'NetConnection.Connect.Rejected': words`
        let description = field(said, "description")
            .or_else(|| said.split_once(&format!("'{code}': ")).map(|(_, description)| description.to_owned()))
            .unwrap_or_default();
        return DestinationFailure::Refused { code: code.to_owned(), said: secret.told(&description) };
    }
    if not_authorized {
        return DestinationFailure::Refused { code: String::new(), said: secret.told(said) };
    }
    let live = message.starts_with("Connection error");
    caused(cause, live)
        .or_else(|| in_english(said, live))
        .unwrap_or_else(|| DestinationFailure::Other(secret.told(said)))
}

/// The error of `GLib` that the debug text names, as its domain and number, and what else stands there. Nobody learns anything of the
/// numbers, but they are the same in every language and version.
fn cause(detail: &str) -> (Option<(&str, u32)>, &str) {
    let number = |domain, text: &str| {
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        Some((domain, text.get(..digits)?.parse().ok()?))
    };
    if let Some((name, rest)) = detail.strip_prefix("error ").and_then(|rest| rest.split_once(": ")) {
        (name.split_once(':').and_then(|(domain, code)| number(domain, code)), rest)
    } else if let Some(rest) = detail.strip_prefix("domain ") {
        (rest.split_once(", code ").and_then(|(domain, code)| number(domain, code)), "")
    } else {
        (None, detail)
    }
}

/// What an error of `GLib` means, as far as its number tells. `live` if it ended a connection that was there.
fn caused(cause: Option<(&str, u32)>, live: bool) -> Option<DestinationFailure> {
    // GTlsError, GIOErrorEnum and GResolverError, in the order of their headers.
    Some(match cause? {
        ("g-tls-error-quark", 0) => DestinationFailure::NoTls,
        ("g-tls-error-quark", 2) => DestinationFailure::Certificate(Doubtful::default()),
        ("g-tls-error-quark", 3) => DestinationFailure::NotEncrypted,
        ("g-io-error-quark", 24) if live => frozen(),
        ("g-io-error-quark", 24) => DestinationFailure::Silent,
        ("g-io-error-quark", 37 | 38) => DestinationFailure::NoWay,
        ("g-io-error-quark", 39) => DestinationFailure::NobodyListens,
        ("g-resolver-error-quark", _) => DestinationFailure::NoSuchHost,
        _ => return None,
    })
}

fn frozen() -> DestinationFailure {
    // The time-out for connecting holds for a write that blocks, too.
    DestinationFailure::Frozen("it has taken nothing for 5 s".to_owned())
}

/// What a text of `GLib`'s or rtmp2sink's means.
fn in_english(said: &str, live: bool) -> Option<DestinationFailure> {
    let has = |parts: &[&str]| parts.iter().any(|part| said.contains(part));
    let at = if live {
        ClosedAt::Live
    } else if has(&["'publish' cmd"]) {
        ClosedAt::Publish
    } else if has(&["'connect' cmd", "'createStream' cmd"]) {
        ClosedAt::Connect
    } else {
        ClosedAt::Greeting
    };
    Some(
        if said == "Connection error"
        || said.ends_with("connection closed remotely")
        || said.ends_with("Connection reset by peer")
        || said.ends_with("Broken pipe")
        // A close within the handshake.
        || said.contains("Short read")
        {
            DestinationFailure::Closed(at)
        } else if has(&["I/O timed out", "did not answer in time", "Connection timed out"]) {
            if live { frozen() } else { DestinationFailure::Silent }
        } else if has(&["Connection refused"]) {
            DestinationFailure::NobodyListens
        } else if has(&["Error resolving", "Name or service not known", "No address associated", "not found in DNS"]) {
            DestinationFailure::NoSuchHost
        } else if has(&["unreachable", "No route to host"]) {
            DestinationFailure::NoWay
        } else if has(&["TLS support is not available", "TLS/SSL support not available"]) {
            DestinationFailure::NoTls
        } else if has(&["certificate", "Certificate"]) {
            DestinationFailure::Certificate(Doubtful::default())
        } else if has(&["TLS", "SSL"]) {
            DestinationFailure::Handshake(said.to_owned())
        } else {
            return None;
        },
    )
}

/// The way of logging in that a platform asks for.
fn login(said: &str) -> Option<LoginScheme> {
    let named =
        |name: &str| said.contains(&format!("authmod={name}")) || said.contains(&format!("for {name} authentication"));
    // rtmp2sink speaks Adobe's, and asks for the user's name in words of its own.
    let known = [("adobe", LoginScheme::Adobe), ("llnw", LoginScheme::Llnw)];
    known.into_iter().find(|(name, _)| named(name)).map(|(_, login)| login)
}

/// The text of a field in rtmp2sink's dump of a status object: `{ "code": "NetStream.Publish.BadName", "description": "..." }`.
fn field(dump: &str, name: &str) -> Option<String> {
    let (_, rest) = dump.split_once(&format!("\"{name}\": "))?;
    // Long strings are marked by an L.
    let mut characters = rest.trim_start_matches('L').strip_prefix('"')?.chars();
    let mut text = String::new();
    while let Some(c) = characters.next() {
        match c {
            '"' => return Some(text.trim().to_owned()),
            '\\' => match characters.next()? {
                // A byte as `\x22`.
                'x' => {
                    let digits: String = characters.by_ref().take(2).collect();
                    text.push(u8::from_str_radix(&digits, 16).map_or('?', char::from));
                }
                '\\' => text.push('\\'),
                _ => text.push(' '),
            },
            c => text.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: &str = "../gst/rtmp2/gstrtmp2sink.c(1077): send_connect_error (): /GstPipeline:p/GstRtmp2Sink:s";

    /// As GStreamer 1.22 says it, and as later ones do.
    fn explained(said: &str, domain: &str, code: i32, not_authorized: bool) -> DestinationFailure {
        let lead = if not_authorized { "Not authorized to connect" } else { "Failed to connect" };
        let old = explain(
            &format!("{lead}: {said}"),
            &format!("{PLACE}:\ndomain {domain}, code {code}"),
            not_authorized,
            "hush",
        );
        let detail = if not_authorized { said.to_owned() } else { format!("error {domain}:{code}: {said}") };
        let new = explain(lead, &format!("{PLACE}:\n{detail}"), not_authorized, "hush");
        assert_eq!(old, new);
        new
    }

    const IO: &str = "g-io-error-quark";
    const TLS: &str = "g-tls-error-quark";

    fn refusal(code: &str, said: &str) -> DestinationFailure {
        DestinationFailure::Refused { code: code.to_owned(), said: said.to_owned() }
    }

    #[test]
    fn refusal_says_what_the_platform_answered() {
        let said = "publish denied; stream already exists: { \"level\": \"error\", \
                    \"code\": \"NetStream.Publish.BadName\", \"description\": \"No channel for \\x22hush\\x22\" }";
        assert_eq!(explained(said, IO, 2, false), refusal("NetStream.Publish.BadName", "No channel for \"[key]\""));
        let said = "publish denied: { \"code\": \"NetStream.Publish.Denied\" }";
        assert_eq!(explained(said, IO, 14, true), refusal("NetStream.Publish.Denied", ""));
        let said = "'publish' cmd failed: onStatus: { \"level\": \"error\", \"code\": \"NetStream.Failed\", \
                    \"description\": \"quota is used up\" }";
        assert_eq!(explained(said, IO, 0, false), refusal("NetStream.Failed", "quota is used up"));
    }

    #[test]
    fn answer_to_connect_is_a_refusal_too() {
        let said = "'connect' cmd returned 'NetConnection.Connect.Rejected': no such application";
        assert_eq!(explained(said, IO, 14, true), refusal("NetConnection.Connect.Rejected", "no such application"));
        let said = "'connect' cmd returned 'NetConnection.Connect.InvalidApp'";
        assert_eq!(explained(said, IO, 0, false), refusal("NetConnection.Connect.InvalidApp", ""));
        let said = "authentication failed; wrong credentials?: no";
        assert_eq!(explained(said, IO, 14, true), refusal("", said));
    }

    #[test]
    fn login_that_a_platform_wants_is_told_by_its_kind() {
        for (said, login) in [
            ("no username for adobe authentication", LoginScheme::Adobe),
            (
                "'connect' cmd returned 'NetConnection.Connect.Rejected': [ AccessManager.Reject ] : [ code=403 need auth; authmod=adobe ] : ",
                LoginScheme::Adobe,
            ),
            (
                "'connect' cmd returned unhandled authmod: [ AccessManager.Reject ] : [ code=403 need auth; authmod=llnw ] : ",
                LoginScheme::Llnw,
            ),
        ] {
            assert_eq!(explained(said, IO, 14, true), DestinationFailure::Login(login), "{said}");
        }
    }

    #[test]
    fn failure_of_encryption_is_told_by_its_number_whatever_its_language() {
        for (said, code, failure) in [
            ("TLS-Unterstützung ist nicht verfügbar", 0, DestinationFailure::NoTls),
            ("Inakzeptables TLS-Zertifikat", 2, DestinationFailure::Certificate(Doubtful::default())),
            ("An unexpected TLS packet was received.", 3, DestinationFailure::NotEncrypted),
            (
                "Error performing TLS handshake: No supported cipher suites have been found.",
                1,
                DestinationFailure::Handshake(
                    "Error performing TLS handshake: No supported cipher suites have been found.".to_owned(),
                ),
            ),
        ] {
            assert_eq!(explained(said, TLS, code, false), failure);
        }
    }

    #[test]
    fn failure_of_the_network_is_no_refusal() {
        let refused = "Could not connect to 127.0.0.1: Connection refused";
        for (message, debug) in [
            (format!("Connection refused: {refused}"), PLACE.to_owned()),
            ("Could not connect".to_owned(), format!("{PLACE}:\n{refused}")),
        ] {
            assert_eq!(explain(&message, &debug, false, "hush"), DestinationFailure::NobodyListens);
        }
        assert_eq!(explained("Socket I/O timed out", IO, 24, false), DestinationFailure::Silent);
        assert_eq!(explained("Netz nicht erreichbar", IO, 38, false), DestinationFailure::NoWay);
        assert_eq!(explained("something new", IO, 0, false), DestinationFailure::Other("something new".to_owned()));
        for (message, at) in [
            ("Connection error", ClosedAt::Live),
            ("Connection error: connection closed remotely", ClosedAt::Live),
            ("Connection error: Error receiving data: Connection reset by peer", ClosedAt::Live),
            ("Failed to connect: 'connect' cmd failed: connection closed remotely", ClosedAt::Connect),
            ("Failed to connect: 'createStream' cmd failed: connection closed remotely", ClosedAt::Connect),
            ("Failed to connect: 'publish' cmd failed: connection closed remotely", ClosedAt::Publish),
            ("Failed to connect: Short read (want 3073 have 0)", ClosedAt::Greeting),
        ] {
            assert_eq!(explain(message, PLACE, false, "hush"), DestinationFailure::Closed(at), "{message}");
        }
        assert_eq!(explain("Connection error: Socket I/O timed out", PLACE, false, "hush"), frozen());
    }
}
