//! One fetch of a stream: `fdsrc ! appsink` on a connection of our own for HTTP, `rtmp2src ! appsink` for RTMP.
//!
//! The element's thread hands the bytes over, and everything up to the pacing thread's channel happens in it: nothing is queued.

use std::{
    os::fd::AsRawFd,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::{AppSink, AppSinkCallbacks};
use tokio::{sync::mpsc, task::spawn_blocking, time::timeout};
use url::Url;

use super::http::{self, Body, HttpError};
use crate::{
    clock::Clock,
    core::{
        flv::{FileError, FileReader, FileTagKind, FlvError, Sieve, Sifted},
        frame::{PullAddress, Track},
    },
    media::source::reception::Reception,
};

/// One read takes at most so much: a burst comes in few pieces.
const READ: u32 = 64 << 10;
/// After this long without a byte rtmp2src gives a connection up that it is still making.
const RTMP_CONNECT_SECONDS: u32 = 4;
/// rtmp2src never hears of the end of a publish; this makes it one.
const RTMP_IDLE_SECONDS: u32 = 2;
/// `set_state(Null)` takes a millisecond; a pipeline that takes longer than this is left to its thread.
const NULL_LIMIT: Duration = Duration::from_secs(2);

/// Why a pull ended or never began. Its text holds no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Failure {
    #[error("{0}")]
    Http(#[from] HttpError),
    #[error("the server ended the stream")]
    Ended,
    #[error("nothing has come for {} s", .0.as_secs())]
    Silent(Duration),
    #[error("{0}")]
    Malformed(String),
    /// What the streamer sends cannot be used; the text is for them.
    #[error("{0}")]
    Unusable(FlvError),
    #[error("GStreamer: {0}")]
    Element(String),
}

impl From<FileError> for Failure {
    fn from(error: FileError) -> Self {
        Self::Malformed(error.to_string())
    }
}

/// A pull that runs, on one connection. Ends when it is dropped, which may block for a moment: see [`Fetch::close`].
pub(super) struct Fetch {
    pipeline: gst::Pipeline,
    failures: mpsc::Receiver<Failure>,
    /// What fdsrc reads from; it must outlive the pipeline.
    socket: Option<std::net::TcpStream>,
}

impl Drop for Fetch {
    fn drop(&mut self) {
        if let Some(socket) = &self.socket {
            // A read that waits in spite of all returns.
            let _ = socket.shutdown(std::net::Shutdown::Both);
        }
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

impl Fetch {
    /// Connects and begins to read into `intake`.
    pub(super) async fn open(address: &PullAddress, mut intake: Intake) -> Result<Self, Failure> {
        let url = Url::parse(address.expose()).map_err(|_| HttpError::Address)?;
        if url.scheme() == "rtmp" {
            let address = address.clone();
            return build(move || Self::rtmp(&address, &url, intake)).await;
        }
        let http::Answer { socket, first, body } = http::get(&url).await?;
        intake.body = body;
        if !first.is_empty() {
            intake.read(&first)?;
        }
        build(move || Self::http(socket, intake)).await
    }

    fn http(socket: std::net::TcpStream, intake: Intake) -> Result<Self, gst::glib::BoolError> {
        // fdsrc waits by itself, and takes "not now" for an error.
        socket.set_nonblocking(false).map_err(|error| gst::glib::bool_error!("{error}"))?;
        let source = gst::ElementFactory::make("fdsrc")
            .name("pull")
            .property("fd", socket.as_raw_fd())
            .property("blocksize", READ)
            .build()?;
        Self::start(&source, intake, Some(socket), String::new())
    }

    fn rtmp(address: &PullAddress, url: &Url, intake: Intake) -> Result<Self, gst::glib::BoolError> {
        let source = gst::ElementFactory::make("rtmp2src")
            .name("pull")
            .property("location", address.expose())
            .property("timeout", RTMP_CONNECT_SECONDS)
            .property("idle-timeout", RTMP_IDLE_SECONDS)
            .build()?;
        let key = url.path_segments().and_then(|mut segments| segments.next_back()).unwrap_or_default().to_owned();
        Self::start(&source, intake, None, key)
    }

    fn start(
        source: &gst::Element,
        mut intake: Intake,
        socket: Option<std::net::TcpStream>,
        key: String,
    ) -> Result<Self, gst::glib::BoolError> {
        // Whoever reads needs the first of them only; more than that are dropped.
        let (sender, failures) = mpsc::channel(2);
        let told = sender.clone();
        let callbacks = AppSinkCallbacks::builder()
            .new_sample(move |sink| {
                let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
                let buffer = sample.buffer().ok_or(gst::FlowError::Error)?;
                let bytes = buffer.map_readable().map_err(|_| gst::FlowError::Error)?;
                intake.read(&bytes).map_err(|failure| {
                    let _ = told.try_send(failure);
                    gst::FlowError::Eos
                })?;
                Ok(gst::FlowSuccess::Ok)
            })
            .build();
        let sink = AppSink::builder().sync(false).async_(false).max_buffers(4).callbacks(callbacks).build();
        sink.set_property("enable-last-sample", false);
        let pipeline = gst::Pipeline::new();
        pipeline.add_many([source, sink.upcast_ref()])?;
        source.link(&sink)?;
        if let Some(bus) = pipeline.bus() {
            bus.set_sync_handler(move |_, message| {
                let told = match message.view() {
                    gst::MessageView::Error(error) => {
                        let text = error.error().message().to_owned();
                        Some(Failure::Element(if key.is_empty() { text } else { text.replace(&key, "[key]") }))
                    }
                    gst::MessageView::Eos(_) => Some(Failure::Ended),
                    _ => None,
                };
                if let Some(told) = told {
                    let _ = sender.try_send(told);
                }
                gst::BusSyncReply::Drop
            });
        }
        let fetch = Self { pipeline, failures, socket };
        fetch.pipeline.set_state(gst::State::Playing).map_err(|_| gst::glib::bool_error!("the pull does not start"))?;
        Ok(fetch)
    }

    /// Waits for its end. Safe to be cancelled.
    pub(super) async fn failure(&mut self) -> Failure {
        self.failures.recv().await.unwrap_or(Failure::Ended)
    }

    /// Ends it, off the async threads.
    pub(super) async fn close(self) {
        if timeout(NULL_LIMIT, spawn_blocking(move || drop(self))).await.is_err() {
            tracing::error!("a pull's pipeline does not stop");
        }
    }
}

async fn build(build: impl FnOnce() -> Result<Fetch, gst::glib::BoolError> + Send + 'static) -> Result<Fetch, Failure> {
    let element = |error: &dyn std::fmt::Display| Failure::Element(error.to_string());
    spawn_blocking(build).await.map_err(|error| element(&error))?.map_err(|error| element(&error))
}

/// From bytes to frames, for one pull.
pub(super) struct Intake {
    reception: Arc<Mutex<Reception>>,
    /// Which pull of the connection it is: one that was ended delivers nothing more.
    number: u64,
    clock: Clock,
    body: Body,
    file: FileReader,
    sieve: Sieve,
}

impl Intake {
    /// For pull `number` into `reception`.
    pub(super) fn new(reception: Arc<Mutex<Reception>>, number: u64, clock: Clock) -> Self {
        Self { reception, number, clock, body: Body::Plain, file: FileReader::new(), sieve: Sieve::new() }
    }

    fn read(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let arrival = self.clock.now();
        let mut reception = self.reception.lock().unwrap_or_else(PoisonError::into_inner);
        if !reception.receives(self.number, arrival) {
            return Err(Failure::Ended);
        }
        let file = &mut self.file;
        let goes_on = self.body.read(bytes, |content| file.write(content));
        while let Some(tag) = self.file.read()? {
            let track = match tag.kind {
                FileTagKind::Video => Track::Video,
                FileTagKind::Audio => Track::Audio,
                FileTagKind::Script => continue,
            };
            match self.sieve.take(track, &tag.body, tag.time_ms).map_err(Failure::Unusable)? {
                Sifted::Frame(frame) => reception.push(frame, arrival),
                Sifted::Nothing => {}
                Sifted::Odd(oddity) => reception.odd(oddity),
            }
            while let Some(remark) = self.sieve.next_remark() {
                reception.remark(remark);
            }
        }
        reception.look();
        match goes_on {
            Ok(true) => Ok(()),
            Ok(false) => Err(Failure::Ended),
            Err(error) => Err(Failure::Malformed(error.to_string())),
        }
    }
}
