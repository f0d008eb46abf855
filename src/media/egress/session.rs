//! One connection to a platform: `appsrc`, and behind it what carries its protocol.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::{AppSrc, AppStreamType};
use tokio::{
    sync::mpsc,
    task::spawn_blocking,
    time::{sleep, timeout},
};

use super::{
    liveness::Sample,
    transport::{Driver, Transport},
};
use crate::{
    core::{
        destination::{ClosedAt, Destination, DestinationFailure},
        frame::MediaTime,
    },
    media::tag::Tag,
};

/// How long a session's polite end may take: what is queued, then the words of its protocol.
const POLITE: Duration = Duration::from_millis(1500);
/// How long the polite end of a session may take over which nothing was sent.
const LEAVE: Duration = Duration::from_millis(700);
/// `set_state(Null)` takes 0.1 to 2 ms (measured); a pipeline that takes longer than this is left to its thread.
const NULL_LIMIT: Duration = Duration::from_secs(2);

/// What the pacing thread sees of a session.
#[derive(Debug)]
pub(super) struct Outlet {
    appsrc: AppSrc,
    transport: Box<dyn Transport>,
    /// The platform accepted the publish: sending may begin. Written by the control half.
    accepted: AtomicBool,
    /// The first key frame is on its way. Written by the feed.
    begun: AtomicBool,
    /// Sound is on its way. Written by the feed.
    heard: AtomicBool,
}

impl Outlet {
    const fn new(appsrc: AppSrc, transport: Box<dyn Transport>) -> Self {
        Self {
            appsrc,
            transport,
            accepted: AtomicBool::new(false),
            begun: AtomicBool::new(false),
            heard: AtomicBool::new(false),
        }
    }

    /// One whose other end is no platform.
    #[cfg(test)]
    pub(super) fn accepted(appsrc: AppSrc, transport: Box<dyn Transport>) -> Self {
        let outlet = Self::new(appsrc, transport);
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

    /// Whether anything is on its way, be it sound alone.
    pub(super) fn is_heard(&self) -> bool {
        self.heard.load(Ordering::Acquire)
    }

    /// Bytes that were handed over and that the transport has not taken yet.
    pub(super) fn level(&self) -> u64 {
        self.appsrc.current_level_bytes()
    }

    /// A tag as it is handed over, `time` after the session's start.
    pub(super) fn write(&self, tag: &Tag, time: MediaTime) -> Bytes {
        self.transport.write(tag, time)
    }

    /// Hands tags over; `pictures`: a key frame is among them, or was before. Never blocks. False if the session is over.
    pub(super) fn push(&self, tags: gst::BufferList, pictures: bool) -> bool {
        let taken = self.appsrc.push_buffer_list(tags).is_ok();
        if taken {
            self.heard.store(true, Ordering::Release);
            self.begun.fetch_or(pictures, Ordering::Release);
        }
        taken
    }
}

/// A connection, as its task holds it.
pub(super) struct Session {
    pipeline: gst::Pipeline,
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
    /// Everything that was queued is sent.
    End,
    /// It failed; with GStreamer's text besides.
    Error(gst::glib::Error, String),
}

impl Session {
    /// Starts to connect by `driver`. What becomes of it is seen by `failure` and `look_for_acceptance`.
    pub(super) async fn open(driver: &'static Driver, destination: Destination) -> Result<Self, DestinationFailure> {
        let broken = |error: &dyn std::fmt::Display| DestinationFailure::NotBegun(error.to_string());
        spawn_blocking(move || Self::build(driver, &destination))
            .await
            .map_err(|error| broken(&error))?
            .map_err(|error| broken(&error))
    }

    fn build(driver: &Driver, destination: &Destination) -> Result<Self, gst::glib::BoolError> {
        gst::init().map_err(|_| gst::glib::bool_error!("GStreamer could not start"))?;
        let appsrc = appsrc();
        let transport = (driver.open)(destination)?;
        let pipeline = gst::Pipeline::new();
        pipeline.add_many([appsrc.upcast_ref(), transport.element()])?;
        appsrc.link(transport.element())?;
        let messages = listen(&pipeline);
        let outlet = Arc::new(Outlet::new(appsrc, transport));
        if pipeline.set_state(gst::State::Playing).is_err() {
            // Before it is dropped, or GStreamer complains loudly.
            let _ = pipeline.set_state(gst::State::Null);
            return Err(gst::glib::bool_error!("the pipeline does not start"));
        }
        Ok(Self { pipeline, outlet, messages })
    }

    /// The pacing thread's end of it.
    pub(super) fn outlet(&self) -> Arc<Outlet> {
        self.outlet.clone()
    }

    /// Waits for it to fail. Safe to be cancelled.
    pub(super) async fn failure(&mut self) -> DestinationFailure {
        let failure = match self.messages.recv().await {
            Some(Message::Error(error, debug)) => self.outlet.transport.explain(&error, &debug),
            Some(Message::End) | None => DestinationFailure::Other("the connection ended".to_owned()),
        };
        // An error of a connection that was there is no proof that the publish had been accepted.
        match failure {
            DestinationFailure::Closed(ClosedAt::Live) if !self.look_for_acceptance() => {
                DestinationFailure::Closed(ClosedAt::Publish)
            }
            failure => failure,
        }
    }

    /// Looks whether the platform accepted the publish, and lets the pacing thread know.
    pub(super) fn look_for_acceptance(&self) -> bool {
        if !self.outlet.is_accepted() && self.outlet.transport.is_accepted() {
            self.outlet.accepted.store(true, Ordering::Release);
        }
        self.outlet.is_accepted()
    }

    /// What its transport counts at this moment, and whether anything waits to be sent.
    pub(super) fn sample(&self) -> Sample {
        Sample { waiting: self.outlet.level() > 0, ..self.outlet.transport.sample() }
    }

    /// Ends it politely: what is queued is sent, then the platform is told. Takes at most 2 s.
    pub(super) async fn finish(mut self) {
        if self.outlet.is_heard()
            && let Some(last_words) = self.outlet.transport.finish(&self.outlet.appsrc)
        {
            let ended = async { matches!(self.messages.recv().await, Some(Message::End)) };
            if timeout(POLITE, ended).await.unwrap_or(false) {
                sleep(last_words).await;
            }
        }
        self.close().await;
    }

    /// Ends one over which nothing was sent, so that the platform hears of it rather than finds out. Takes at most 1 s.
    pub(super) async fn take_leave(mut self) {
        if let Some(last_words) = self.outlet.transport.finish(&self.outlet.appsrc) {
            let _ = timeout(LEAVE, self.messages.recv()).await;
            sleep(last_words).await;
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
fn listen(pipeline: &gst::Pipeline) -> mpsc::Receiver<Message> {
    // Whoever reads needs the first of them only; more than that are dropped.
    let (sender, receiver) = mpsc::channel(4);
    if let Some(bus) = pipeline.bus() {
        bus.set_sync_handler(move |_, message| {
            let told = match message.view() {
                gst::MessageView::Error(error) => {
                    Some(Message::Error(error.error(), error.debug().unwrap_or_default().to_string()))
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
