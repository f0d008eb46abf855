//! The only door into media: cue, take, slate, destinations, the show; events out.
//!
//! One thread of its own (`program`) paces everything against the monotonic clock. The handle only posts orders to it
//! and reads what it publishes; nothing here waits for a frame and no frame waits for anything here.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use serde::Serialize;
use thiserror::Error;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::Instrument;
use utoipa::ToSchema;

use self::{
    hls::Watch,
    house::House,
    listeners::{ListenerDoor, Listeners},
    monitor::{Monitor, Request},
    pictures::{PictureOf, Pictures, Thumbnail},
    program::{HORIZON, Order, Program, Published},
    source::{Gauges, MAX_INPUT_BYTES, Taps},
};
use crate::{
    clock::Clock,
    core::{
        destination::{Destination, DestinationId, DestinationStatus},
        frame::{ConnectionId, FrameSinks},
        queue::TakeId,
        switcher::{SlateLoop, Switcher, SwitcherSettings},
    },
};

pub mod chain;
pub mod egress;
pub mod hls;
pub mod house;
pub mod listeners;
mod monitor;
pub mod pictures;
pub mod program;
pub mod slate;
pub mod source;
pub mod tag;

/// How soon a take must happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// The turn is up: the next key frame of the new input will do, the old one goes on until then.
    Planned,
    /// The old input is gone, or somebody pressed a button: as soon as a key frame can be had, also from the ring's past.
    Now,
}

/// What media says to the director. Only what is current counts there: each carries its connection or take id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MediaEvent {
    /// The connection's first IDR arrived (or, with no picture sent at all, 3 s of sound).
    Ready(ConnectionId),
    /// The on-air input's picture or sound (a track it had been sending) has been missing for longer than the programme's
    /// buffer; or a waiting connection has sent nothing for that long.
    Stalled(ConnectionId),
    /// A stalled connection sends again, and its first IDR after the stall is here.
    Recovered(ConnectionId),
    /// The take has happened: the first picture (or sound) of its input left.
    Taken(TakeId),
    /// The take can not happen: its input is gone.
    TakeFailed(TakeId),
    /// Why a connection that sends is not ready yet or sends something that can not be shown, in words for its streamer.
    Advice(ConnectionId, String),
    /// The show began by itself with the first take, or ended by itself after `program.idle_end_minutes`.
    Show(bool),
}

/// What is known of one input by looking at its frames. Of a connection that media fetches itself and does not fetch just now, rates and
/// size come from its server, the rest from when it was fetched last.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct InputStatus {
    /// Kilobits per second of the pictures, over the last 5 s.
    pub video_kbps: f64,
    /// Kilobits per second of the sound, over the last 5 s.
    pub audio_kbps: f64,
    /// Pictures per second, over the last 5 s.
    pub frame_rate: f64,
    /// Seconds between the last two IDRs; none before the second one.
    pub keyframe_interval_seconds: Option<f64>,
    /// Mean deviation of the arrival from the time stamps over the last 5 s, in milliseconds.
    pub jitter_ms: f64,
    /// Picture width and height in pixels.
    pub width: Option<u32>,
    /// See `width`.
    pub height: Option<u32>,
    /// For example `H.264 High 3.1`.
    pub video_codec: Option<String>,
    /// For example `AAC 48000 Hz stereo`.
    pub audio_codec: Option<String>,
    /// Seconds since the first frame.
    pub uptime_seconds: u64,
    /// Bytes received. Of a connection that media fetches itself: what its server counted, protocol included, and an estimate of what
    /// came since its last report.
    pub bytes: u64,
    /// Whether it is cued, that is: its frames are kept.
    pub cued: bool,
    /// Frames that found no room.
    pub lost_frames: u64,
}

/// What the programme shows and how it does.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct ProgramStatus {
    /// Whether a show is on: outside one nothing is sent to a platform.
    pub show: bool,
    /// The connection whose picture is shown; none for the slate's.
    #[schema(value_type = Option<String>)]
    pub picture: Option<ConnectionId>,
    /// The connection whose sound is heard; none for the slate's.
    #[schema(value_type = Option<String>)]
    pub sound: Option<ConnectionId>,
    /// Milliseconds of programme time since the process started.
    pub time_ms: u64,
    /// Takes so far.
    pub takes: u64,
    /// Frames that left.
    pub frames: u64,
    /// Times the slate stepped in because an input starved.
    pub starvations: u64,
    /// Largest number of milliseconds by which a tick of the pacing thread was late, since the start.
    pub latest_tick_ms: u64,
}

/// One consistent look at media, published about twice a second and at each change of state.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MediaStatus {
    /// The programme.
    pub program: ProgramStatus,
    /// Every open connection.
    pub inputs: HashMap<ConnectionId, InputStatus>,
    /// Every destination, with its state.
    pub destinations: HashMap<DestinationId, DestinationStatus>,
}

/// What media is started with.
pub struct MediaSettings {
    /// The programme's buffer.
    pub latency: Duration,
    /// Whether the sound passes through the house stage.
    pub house: bool,
    /// The venue's name, for the slate.
    pub venue: String,
    /// The venue's own slate.
    pub slate: Option<PathBuf>,
    /// A soft tone under the slate instead of silence.
    pub tone: bool,
    /// The folder that keeps the encoded slate from one start to the next.
    pub kept: PathBuf,
    /// The show ends after so long without anybody; none: by hand only.
    pub idle_end: Option<Duration>,
}

/// Why media can not start.
#[derive(Debug, Error)]
pub enum MediaError {
    /// GStreamer does not start, or something of it is missing.
    #[error("GStreamer: {0}; run `motherstream doctor`")]
    GStreamer(String),
    /// The slate can not be made.
    #[error("the slate can not be made: {0}")]
    Slate(String),
    /// The system gives no thread.
    #[error("a thread of media's can not be started: {0}")]
    Thread(std::io::Error),
}

/// The handle. Cheap to clone.
#[derive(Clone)]
pub struct Media {
    inner: Arc<Inner>,
}

struct Inner {
    clock: Clock,
    orders: std::sync::mpsc::SyncSender<Order>,
    requests: mpsc::Sender<Request>,
    status: watch::Receiver<Arc<MediaStatus>>,
    taps: Arc<Taps>,
    door: ListenerDoor,
    watch: Watch,
    pictures: Pictures,
    token: CancellationToken,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
    monitor: tokio::task::JoinHandle<()>,
}

/// Media's events; bounded, and read by the director alone.
pub type MediaEvents = mpsc::Receiver<MediaEvent>;

/// Orders that wait for the pacing thread, which empties them every 40 ms.
const ORDERS: usize = 1024;
/// Events that wait for the director; when it is full the pacing thread keeps them.
const EVENTS: usize = 1024;

impl Media {
    /// Renders the slate or takes the kept one, builds the house stage and starts the programme on the slate. Blocks for as long as that
    /// takes (a fraction of a second): to be called off the async threads, within a tokio runtime. A picture of the venue's that can
    /// not be used is said in the log, and the built-in one stands in.
    ///
    /// # Errors
    /// See [`MediaError`].
    pub fn start(
        settings: &MediaSettings,
        clock: Clock,
        tracker: &TaskTracker,
        token: &CancellationToken,
    ) -> Result<(Self, MediaEvents), MediaError> {
        gstreamer::init().map_err(|error| MediaError::GStreamer(error.to_string()))?;
        let slate = render_slate(settings)?;
        let house =
            settings.house.then(House::new).transpose().map_err(|error| MediaError::GStreamer(error.to_string()))?;
        let token = token.child_token();
        let (orders, order_receiver) = std::sync::mpsc::sync_channel(ORDERS);
        let (events, event_receiver) = mpsc::channel(EVENTS);
        let (requests, request_receiver) = mpsc::channel(64);
        let (status, status_receiver) = watch::channel(Arc::new(MediaStatus::default()));
        let (door, listeners) = Listeners::new();
        let gauges = Arc::new(Gauges::default());
        let changed = Arc::new(Notify::new());
        let pulls = source::Parts {
            clock,
            latency: settings.latency,
            runtime: tokio::runtime::Handle::current(),
            tracker: tracker.clone(),
            token: token.clone(),
        };
        let pictures = Pictures::start().map_err(MediaError::Thread)?;
        let (taps, frames) = Taps::new(gauges.clone(), changed.clone(), pulls, pictures.clone());
        let published = Arc::new(ArcSwap::from_pointee(Published::default()));
        let switcher_settings =
            SwitcherSettings { latency: settings.latency.into(), horizon: HORIZON, max_input_bytes: MAX_INPUT_BYTES };
        let watch = Watch::new();
        let program = Program {
            clock,
            switcher: Switcher::new(switcher_settings, slate, clock.now()),
            house,
            frames,
            orders: order_receiver,
            gauges: gauges.clone(),
            listeners,
            shutter: pictures.program(),
            events: events.clone(),
            published: published.clone(),
            changed: changed.clone(),
            token: token.clone(),
        };
        let thread = std::thread::Builder::new()
            .name("program".to_owned())
            .spawn(move || program.run())
            .map_err(MediaError::Thread)?;
        let monitor = Monitor::new(monitor::Parts {
            clock,
            latency: settings.latency,
            idle_end: settings.idle_end,
            gauges,
            published,
            changed,
            orders: orders.clone(),
            requests: request_receiver,
            events,
            status,
            tracker: tracker.clone(),
            token: token.clone(),
        });
        let monitor = tracker.spawn(monitor.run().instrument(tracing::info_span!("media")));
        tracker.spawn(watch.clone().run(door.clone(), token.clone()).instrument(tracing::info_span!("watch")));
        let inner = Inner {
            clock,
            orders,
            requests,
            status: status_receiver,
            taps: Arc::new(taps),
            door,
            watch,
            pictures,
            token,
            thread: Mutex::new(Some(thread)),
            monitor,
        };
        Ok((Self { inner: Arc::new(inner) }, event_receiver))
    }

    fn order(&self, order: Order) {
        // Full only when the pacing thread has died, and then the supervisor ends the process.
        if self.inner.orders.try_send(order).is_err() && !self.inner.token.is_cancelled() {
            tracing::error!("the programme takes no orders");
        }
    }

    fn request(&self, request: Request) {
        if self.inner.requests.try_send(request).is_err() && !self.inner.token.is_cancelled() {
            tracing::error!("media takes no orders");
        }
    }

    /// Says which connections are to be kept in a ring, in order of importance: the on-air one, the next, a put-on-air target.
    pub fn set_cued(&self, connections: Vec<ConnectionId>) {
        self.order(Order::SetCued(connections));
    }

    /// Orders a take. A later one replaces an earlier one that has not happened.
    pub fn take(&self, take: TakeId, connection: ConnectionId, urgency: Urgency) {
        self.order(Order::Take(take, connection, urgency == Urgency::Now));
    }

    /// Gives a pending take up.
    pub fn cancel_take(&self, take: TakeId) {
        self.order(Order::Cancel(take));
    }

    /// Nobody is on air: the slate, as soon as can be, and gives up any pending take.
    pub fn clear(&self) {
        self.order(Order::Clear);
    }

    /// The panic button: the slate covers whoever is on air or taken, until it is lifted.
    pub fn force_slate(&self, on: bool) {
        self.order(Order::ForceSlate(on));
    }

    /// Somebody looks at this connection's health or picture: for the next 15 s a connection that media fetches itself is fetched for 3 s
    /// in every 10, cued or not. Cheap; to be called as often as somebody looks. Of no effect on one whose frames are delivered.
    pub fn look_at(&self, connection: &ConnectionId) {
        let gauge = self.inner.taps.gauges.get(connection);
        if let Some(pulled) = gauge.as_ref().and_then(|gauge| gauge.pulled()) {
            pulled.look_at(self.inner.clock.now());
        }
    }

    /// Begins or ends the show by hand. The end closes the platforms' sessions.
    pub fn set_show(&self, on: bool) {
        self.request(Request::Show(on));
    }

    /// The show ends after so long without anybody; none: by hand only.
    pub fn set_idle_end(&self, limit: Option<Duration>) {
        self.request(Request::IdleEnd(limit));
    }

    /// Shows another slate from the next round of the present one on. It must be of the same format: what [`slate::render`] makes.
    pub fn set_slate(&self, slate: SlateLoop) {
        self.order(Order::Slate(Box::new(slate)));
    }

    /// Adds a destination or replaces the one with its id. Never touches another.
    pub fn put_destination(&self, destination: Destination) {
        self.request(Request::Put(destination));
    }

    /// Removes a destination and closes its session.
    pub fn remove_destination(&self, id: DestinationId) {
        self.request(Request::Remove(id));
    }

    /// The latest look; `watch` for changes.
    pub fn status(&self) -> watch::Receiver<Arc<MediaStatus>> {
        self.inner.status.clone()
    }

    /// The way in for the ingest's frames.
    pub fn sinks(&self) -> Arc<dyn FrameSinks> {
        self.inner.taps.clone()
    }

    /// A player of `/program.flv`: FLV file header, configuration, then tags from the last key frame on. Bounded: a player that
    /// does not read is dropped (the channel closes). None when there are too many players.
    pub fn listen(&self) -> Option<mpsc::Receiver<bytes::Bytes>> {
        self.inner.door.add()
    }

    /// The programme to watch in a browser.
    pub fn watch(&self) -> &Watch {
        &self.inner.watch
    }

    /// The latest thumbnail of a source, at most 2 s older than its last key frame. The first one is waited for, at most 2 s. A
    /// request keeps them coming for 10 s; an input that media fetches itself is fetched for it, see [`Self::look_at`].
    pub async fn thumbnail(&self, of: &PictureOf) -> Option<Thumbnail> {
        if let PictureOf::Input(connection) = of {
            self.look_at(connection);
        }
        self.inner.pictures.thumbnail(of).await
    }

    /// Whether the pacing thread and the monitor run.
    pub fn is_running(&self) -> bool {
        let thread = self.inner.thread.lock().unwrap_or_else(PoisonError::into_inner);
        thread.as_ref().is_some_and(|thread| !thread.is_finished()) && !self.inner.monitor.is_finished()
    }

    /// Ends every destination's session cleanly and stops the thread; waits at most 4 s.
    pub async fn stop(&self) {
        let (done, ended) = oneshot::channel();
        self.request(Request::Stop(done));
        let _ = tokio::time::timeout(Duration::from_secs(4), ended).await;
        self.inner.token.cancel();
        let thread = self.inner.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        let pictures = self.inner.pictures.clone();
        let _ = tokio::task::spawn_blocking(move || {
            pictures.stop();
            thread.map(std::thread::JoinHandle::join)
        })
        .await;
    }
}

/// The version of GStreamer that runs, in its own words.
pub fn gstreamer_version() -> String {
    gstreamer::version_string().into()
}

fn render_slate(settings: &MediaSettings) -> Result<SlateLoop, MediaError> {
    let render = |picture| {
        let wanted = slate::SlateSettings { venue: &settings.venue, picture, tone: settings.tone };
        slate::kept(&settings.kept, wanted)
    };
    match (render(settings.slate.as_deref()), &settings.slate) {
        (Ok(slate), _) => Ok(slate),
        (Err(error), Some(_)) => {
            tracing::warn!(error = %error, "the venue's slate can not be used, the built-in one stands in");
            render(None).map_err(|error| MediaError::Slate(error.to_string()))
        }
        (Err(error), None) => Err(MediaError::Slate(error.to_string())),
    }
}
