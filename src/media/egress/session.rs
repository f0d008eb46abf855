//! One connection to a platform: `appsrc ! rtmp2sink`, and what it says of itself.
//!
//! rtmp2sink connects by itself when the pipeline starts, and says that the publish was accepted in no signal and no
//! message. Its `stats` do: they are all zero until it has a connection, which it has only after `NetStream.Publish.Start`.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::{AppSrc, AppStreamType};
use secrecy::ExposeSecret;
use tokio::{
    sync::mpsc,
    task::spawn_blocking,
    time::{sleep, timeout},
};

use super::liveness::Sample;
use crate::core::destination::{Destination, port_of};

/// One chunk for all but the largest key frames: fewer headers, and less to copy.
const CHUNK_SIZE: u32 = 65536;
/// After this long without a byte rtmp2sink gives a connection up that it is still making.
const CONNECT_TIMEOUT_SECONDS: u32 = 5;
/// How long a session's polite end may take: what is queued, then `FCUnpublish` and `deleteStream`.
const POLITE: Duration = Duration::from_millis(1500);
/// How long the polite end of a session may take over which nothing was sent.
const LEAVE: Duration = Duration::from_millis(700);
/// From the end of the stream to the last command's way into the socket, which nothing announces; it takes a millisecond.
const LAST_WORDS: Duration = Duration::from_millis(120);
/// `set_state(Null)` takes 0.1 to 2 ms (measured); a pipeline that takes longer than this is left to its thread.
const NULL_LIMIT: Duration = Duration::from_secs(2);

/// How the reason begins when a platform takes nothing more.
pub(super) const FROZEN: &str = "the platform seems frozen";

/// The reason when the other side closes and says nothing.
pub(super) const CLOSED: &str = "the platform closed the connection";

/// Why a session ended or never began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The platform answered and said no.
    Refused(String),
    /// Anything else.
    Broken(String),
}

/// What the pacing thread sees of a session.
#[derive(Debug)]
pub(super) struct Outlet {
    appsrc: AppSrc,
    /// The platform accepted the publish: sending may begin. Written by the control half.
    accepted: AtomicBool,
    /// The first key frame is on its way. Written by the feed.
    begun: AtomicBool,
}

impl Outlet {
    const fn new(appsrc: AppSrc) -> Self {
        Self { appsrc, accepted: AtomicBool::new(false), begun: AtomicBool::new(false) }
    }

    /// One whose other end is no platform.
    #[cfg(test)]
    pub(super) fn accepted(appsrc: AppSrc) -> Self {
        let outlet = Self::new(appsrc);
        outlet.accepted.store(true, Ordering::Release);
        outlet
    }

    /// Whether the platform accepted the publish.
    pub(super) fn is_accepted(&self) -> bool {
        self.accepted.load(Ordering::Acquire)
    }

    /// Whether the first key frame is on its way.
    pub(super) fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Acquire)
    }

    /// Bytes that were handed over and that rtmp2sink has not taken yet.
    pub(super) fn level(&self) -> u64 {
        self.appsrc.current_level_bytes()
    }

    /// Hands tags over. Never blocks. False if the session is over.
    pub(super) fn push(&self, tags: gst::BufferList) -> bool {
        let taken = self.appsrc.push_buffer_list(tags).is_ok();
        if taken {
            self.begun.store(true, Ordering::Release);
        }
        taken
    }
}

/// A connection, as its task holds it.
pub(super) struct Session {
    pipeline: gst::Pipeline,
    sink: gst::Element,
    outlet: Arc<Outlet>,
    messages: mpsc::Receiver<Message>,
}

impl Drop for Session {
    /// A pipeline must be at rest before it is dropped. Where it matters `close` does this on a thread that may wait.
    fn drop(&mut self) {
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

/// Where tags go in.
pub(super) fn appsrc() -> AppSrc {
    AppSrc::builder()
        .caps(&gst::Caps::new_empty_simple("video/x-flv"))
        .format(gst::Format::Time)
        .stream_type(AppStreamType::Stream)
        // The feed looks at the level and leaves whole groups of pictures out; a limit here would leave out any frame.
        .max_bytes(0)
        .block(false)
        .build()
}

/// What a pipeline says that matters here.
enum Message {
    /// Everything was sent.
    End,
    /// It failed.
    Error(Failure),
}

impl Session {
    /// Starts to connect. What becomes of it is seen by `failure` and `is_accepted`.
    pub(super) async fn open(destination: Destination) -> Result<Self, Failure> {
        let broken = |error: &dyn std::fmt::Display| Failure::Broken(format!("the box could not start it: {error}"));
        spawn_blocking(move || Self::build(&destination))
            .await
            .map_err(|error| broken(&error))?
            .map_err(|error| broken(&error))
    }

    fn build(destination: &Destination) -> Result<Self, gst::glib::BoolError> {
        gst::init().map_err(|_| gst::glib::bool_error!("GStreamer could not start"))?;
        let url = &destination.url;
        let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        let appsrc = appsrc();
        // Properties rather than one location: a key may hold characters that mean something in a URL.
        let sink = gst::ElementFactory::make("rtmp2sink")
            .property_from_str("scheme", url.scheme())
            .property("host", host)
            .property("port", i32::from(port_of(url)))
            .property("application", destination.application())
            .property("stream", destination.key.expose_secret())
            .property("timeout", CONNECT_TIMEOUT_SECONDS)
            .property("chunk-size", CHUNK_SIZE)
            .property("sync", false)
            .property("async", false)
            .property("qos", false)
            .property("enable-last-sample", false)
            .build()?;
        let pipeline = gst::Pipeline::new();
        pipeline.add_many([appsrc.upcast_ref(), &sink])?;
        appsrc.link(&sink)?;
        let messages = listen(&pipeline, destination.key.expose_secret().to_owned());
        let outlet = Arc::new(Outlet::new(appsrc));
        if pipeline.set_state(gst::State::Playing).is_err() {
            // Before it is dropped, or GStreamer complains loudly.
            let _ = pipeline.set_state(gst::State::Null);
            return Err(gst::glib::bool_error!("the pipeline does not start"));
        }
        Ok(Self { pipeline, sink, outlet, messages })
    }

    /// The pacing thread's end of it.
    pub(super) fn outlet(&self) -> Arc<Outlet> {
        self.outlet.clone()
    }

    /// Waits for it to fail. Safe to be cancelled.
    pub(super) async fn failure(&mut self) -> Failure {
        match self.messages.recv().await {
            Some(Message::Error(failure)) => failure,
            Some(Message::End) | None => Failure::Broken("the connection ended".to_owned()),
        }
    }

    /// Looks whether the platform accepted the publish, and lets the pacing thread know.
    pub(super) fn look_for_acceptance(&self) -> bool {
        if !self.outlet.is_accepted() && self.stat::<u32>("in-chunk-size") > 0 {
            self.outlet.accepted.store(true, Ordering::Release);
        }
        self.outlet.is_accepted()
    }

    /// Its counters.
    pub(super) fn sample(&self) -> Sample {
        let stats: gst::Structure = self.sink.property("stats");
        let get = |name: &str| stats.get::<u64>(name).unwrap_or_default();
        Sample {
            sent: get("out-bytes-total"),
            acked: get("out-bytes-acked"),
            window: u64::from(stats.get::<u32>("out-window-ack-size").unwrap_or_default()),
            waiting: self.outlet.level() > 0,
        }
    }

    fn stat<T: for<'a> gst::glib::value::FromValue<'a> + Default>(&self, name: &str) -> T {
        self.sink.property::<gst::Structure>("stats").get::<T>(name).unwrap_or_default()
    }

    /// Ends it politely: what is queued is sent, then the platform is told. Takes at most 2 s.
    pub(super) async fn finish(mut self) {
        if self.outlet.has_begun() && self.outlet.appsrc.end_of_stream().is_ok() {
            let ended = async { matches!(self.messages.recv().await, Some(Message::End)) };
            if timeout(POLITE, ended).await.unwrap_or(false) {
                sleep(LAST_WORDS).await;
            }
        }
        self.close().await;
    }

    /// Ends one over which nothing was sent, so that the platform hears of it rather than finds out. Takes at most 1 s.
    pub(super) async fn take_leave(mut self) {
        if self.outlet.appsrc.end_of_stream().is_ok() {
            let _ = timeout(LEAVE, self.messages.recv()).await;
            sleep(LAST_WORDS).await;
        }
        self.close().await;
    }

    /// Ends it at once, and brings it to rest off the async threads.
    pub(super) async fn close(self) {
        if timeout(NULL_LIMIT, spawn_blocking(move || drop(self))).await.is_err() {
            tracing::error!("a destination's pipeline does not stop");
        }
    }
}

/// Passes on what matters of a pipeline's messages, and drops the others before they pile up on its bus.
fn listen(pipeline: &gst::Pipeline, key: String) -> mpsc::Receiver<Message> {
    // Whoever reads needs the first of them only; more than that are dropped.
    let (sender, receiver) = mpsc::channel(4);
    if let Some(bus) = pipeline.bus() {
        bus.set_sync_handler(move |_, message| {
            let told = match message.view() {
                gst::MessageView::Error(error) => {
                    let debug = error.debug().unwrap_or_default();
                    let refused = error.error().matches(gst::ResourceError::NotAuthorized);
                    Some(Message::Error(explain(error.error().message(), &debug, refused, &key)))
                }
                gst::MessageView::Eos(_) => Some(Message::End),
                _ => None,
            };
            if let Some(told) = told {
                let _ = sender.try_send(told);
            }
            gst::BusSyncReply::Drop
        });
    }
    receiver
}

/// What a platform, or the network on the way to it, meant. rtmp2sink says "stream already exists" for any refusal, so that
/// only the platform's own status object counts: its `code` and its `description`. GStreamer 1.22 has it in the message, later
/// ones in the debug text, behind a line that names the place in the source.
fn explain(message: &str, debug: &str, not_authorized: bool, key: &str) -> Failure {
    let hidden = |text: &str| if key.is_empty() { text.to_owned() } else { text.replace(key, "[key]") };
    let detail = debug.split_once('\n').map_or("", |(_, detail)| detail).trim();
    // Of the numbers of GLib's error domains nobody learns anything.
    let detail = match detail.strip_prefix("error ").and_then(|rest| rest.split_once(": ")) {
        Some((_, detail)) => detail,
        None if detail.starts_with("domain ") => "",
        None => detail,
    };
    let leads = [
        "Connection error",
        "Failed to connect",
        "Not authorized to connect",
        "Connection refused",
        "Could not connect",
    ];
    let lead = leads.iter().find_map(|lead| message.strip_prefix(lead)?.strip_prefix(": "));
    let said = if detail.is_empty() { lead.unwrap_or(message) } else { detail };
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
        let text = if description.is_empty() {
            format!("the platform answered {code}")
        } else {
            format!("the platform answered: {description} ({code})")
        };
        return Failure::Refused(hidden(&text));
    }
    if not_authorized {
        return Failure::Refused(hidden(&format!("the platform answered: {said}")));
    }
    Failure::Broken(match said {
        // The last one is a close within the handshake.
        said if said == "Connection error"
            || said.ends_with("connection closed remotely")
            || said.ends_with("Connection reset by peer")
            || said.ends_with("Broken pipe")
            || said.contains("Short read") =>
        {
            CLOSED.to_owned()
        }
        // The time-out for connecting holds for a write that blocks, too.
        "Socket I/O timed out" if message.starts_with("Connection error") => {
            format!("{FROZEN}: it has taken nothing for 5 s")
        }
        "Socket I/O timed out" => "the platform did not answer in time".to_owned(),
        said if said.contains("TLS certificate") => {
            format!("the platform's certificate is not accepted ({said}): check the address, and the box's clock")
        }
        said => hidden(said),
    })
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
    fn explained(said: &str, code: i32, not_authorized: bool) -> Failure {
        let lead = if not_authorized { "Not authorized to connect" } else { "Failed to connect" };
        let old = explain(
            &format!("{lead}: {said}"),
            &format!("{PLACE}:\ndomain g-io-error-quark, code {code}"),
            not_authorized,
            "hush",
        );
        let detail = if not_authorized { said.to_owned() } else { format!("error g-io-error-quark:{code}: {said}") };
        let new = explain(lead, &format!("{PLACE}:\n{detail}"), not_authorized, "hush");
        assert_eq!(old, new);
        new
    }

    fn refusal(reason: &str) -> Failure {
        Failure::Refused(reason.to_owned())
    }

    #[test]
    fn refusal_says_what_the_platform_answered() {
        let said = "publish denied; stream already exists: { \"level\": \"error\", \
                    \"code\": \"NetStream.Publish.BadName\", \"description\": \"No channel for \\x22hush\\x22\" }";
        let reason = "the platform answered: No channel for \"[key]\" (NetStream.Publish.BadName)";
        assert_eq!(explained(said, 2, false), refusal(reason));
        let said = "publish denied: { \"code\": \"NetStream.Publish.Denied\" }";
        assert_eq!(explained(said, 14, true), refusal("the platform answered NetStream.Publish.Denied"));
    }

    #[test]
    fn answer_to_connect_is_a_refusal_too() {
        let said = "'connect' cmd returned 'NetConnection.Connect.Rejected': no such application";
        let reason = "the platform answered: no such application (NetConnection.Connect.Rejected)";
        assert_eq!(explained(said, 14, true), refusal(reason));
        let said = "'connect' cmd returned 'NetConnection.Connect.InvalidApp'";
        assert_eq!(explained(said, 0, false), refusal("the platform answered NetConnection.Connect.InvalidApp"));
        let said = "authentication failed; wrong credentials?: no";
        let reason = "the platform answered: authentication failed; wrong credentials?: no";
        assert_eq!(explained(said, 14, true), refusal(reason));
    }

    #[test]
    fn failure_of_the_network_is_no_refusal() {
        let refused = "Could not connect to 127.0.0.1: Connection refused";
        let broken = |reason: &str| Failure::Broken(reason.to_owned());
        assert_eq!(explain(&format!("Connection refused: {refused}"), PLACE, false, "hush"), broken(refused));
        assert_eq!(explain("Could not connect", &format!("{PLACE}:\n{refused}"), false, "hush"), broken(refused));
        assert_eq!(explained("Socket I/O timed out", 24, false), broken("the platform did not answer in time"));
        for message in [
            "Connection error",
            "Connection error: connection closed remotely",
            "Connection error: Error receiving data: Connection reset by peer",
            "Failed to connect: 'connect' cmd failed: connection closed remotely",
            "Failed to connect: Short read (want 3073 have 0)",
        ] {
            assert_eq!(explain(message, PLACE, false, "hush"), broken(CLOSED));
        }
        let frozen = explain("Connection error: Socket I/O timed out", PLACE, false, "hush");
        assert_eq!(frozen, Failure::Broken(format!("{FROZEN}: it has taken nothing for 5 s")));
    }
}
