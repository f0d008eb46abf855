//! The only door into media: cue, take, slate, destinations, the show; events out.
//!
//! One thread of its own (`program`) paces everything against the monotonic clock. The handle only posts orders to it
//! and reads what it publishes; nothing here waits for a frame and no frame waits for anything here.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use gstreamer::{TaskPool, prelude::*};
use thiserror::Error;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::Instrument;

pub use self::status::{InputRemark, InputStatus, MediaEvent, MediaStatus, OddMessages, ProgramStatus};
use self::{
    egress::Parting,
    hls::Watch,
    house::House,
    listeners::{ListenerDoor, Listeners},
    monitor::{Monitor, Request},
    pictures::{PictureOf, Pictures, Thumbnail},
    program::{HORIZON, Program, ProgramOrder, Published},
    source::{Gauges, MAX_INPUT_BYTES, Taps},
};
use crate::{
    clock::Clock,
    config::{Config, HouseFormat, SlateSound},
    core::{
        destination::{Destination, DestinationId},
        frame::{ConnectionId, FrameSinks},
        queue::{TakeId, Urgency},
        switcher::{SlateLoop, Switcher, SwitcherSettings},
    },
    precedence,
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
mod status;
pub mod tag;

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
    /// The show ends after so long without anybody on air; none: by hand only.
    pub idle_end: Option<Duration>,
}

impl MediaSettings {
    /// What the configuration says of media.
    pub fn of(config: &Config) -> Self {
        Self {
            latency: config.program.latency(),
            house: config.program.house_format == HouseFormat::Audio,
            venue: config.venue.name.clone(),
            slate: config.program.slate.clone(),
            tone: config.program.slate_sound == SlateSound::Tone,
            kept: config.data_dir.clone(),
            idle_end: config.program.idle_end(),
        }
    }
}

/// Why media cannot start.
#[derive(Debug, Error)]
pub enum MediaError {
    /// GStreamer does not start, or something of it is missing.
    #[error("GStreamer: {0}; run `motherstream doctor`")]
    GStreamer(String),
    /// The slate cannot be made.
    #[error("the slate cannot be made: {0}")]
    Slate(String),
    /// The system gives no thread.
    #[error("a thread of media's cannot be started: {0}")]
    Thread(std::io::Error),
}

/// The handle. Cheap to clone.
#[derive(Clone)]
pub struct Media {
    inner: Arc<Inner>,
}

struct Inner {
    clock: Clock,
    orders: std::sync::mpsc::SyncSender<ProgramOrder>,
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
    /// takes (a fraction of a second): to be called off the async threads, within a tokio runtime. A picture of the venue's that
    /// cannot be used is said in the log, and the built-in one stands in.
    ///
    /// # Errors
    /// See [`MediaError`].
    pub fn start(
        settings: &MediaSettings,
        clock: Clock,
        tracker: &TaskTracker,
        token: &CancellationToken,
    ) -> Result<(Self, MediaEvents), MediaError> {
        start_gstreamer()?;
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
        let parts = monitor::Parts {
            clock,
            latency: settings.latency,
            gauges,
            published,
            changed,
            orders: orders.clone(),
            requests: request_receiver,
            events,
            status,
            tracker: tracker.clone(),
            token: token.clone(),
        };
        let monitor = Monitor::new(parts, settings.idle_end);
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

    fn order(&self, order: ProgramOrder) {
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
        self.order(ProgramOrder::SetCued(connections.clone()));
        // Whoever is let in opens the connection after this, and may send a key frame before the order is obeyed.
        self.inner.taps.gauges.set_cued(connections);
    }

    /// Orders a take. A later one replaces an earlier one that has not happened.
    pub fn take(&self, take: TakeId, connection: ConnectionId, urgency: Urgency) {
        self.order(ProgramOrder::Take(take, connection, urgency));
    }

    /// Gives a pending take up.
    pub fn cancel_take(&self, take: TakeId) {
        self.order(ProgramOrder::Cancel(take));
    }

    /// Gives a pending take up that did not happen in time. Its input is ready again when it has shown that it can be taken.
    pub fn give_up_take(&self, take: TakeId, connection: ConnectionId) {
        self.order(ProgramOrder::GiveUp(take, connection));
    }

    /// Nobody is on air: the slate, as soon as can be, and gives up any pending take.
    pub fn clear(&self) {
        self.order(ProgramOrder::Clear);
    }

    /// The panic button: the slate covers whoever is on air or taken, until it is lifted.
    pub fn force_slate(&self, on: bool) {
        self.order(ProgramOrder::ForceSlate(on));
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

    /// While it is held the show neither begins nor ends by itself. Takes of that time count once it is not any more.
    pub fn hold_show(&self, held: bool) {
        self.request(Request::HoldShow(held));
    }

    /// The show ends after so long without anybody on air; none: by hand only.
    pub fn set_idle_end(&self, limit: Option<Duration>) {
        self.request(Request::IdleEnd(limit));
    }

    /// Shows another slate from the next round of the present one on. It must be of the same format: what [`slate::render`] makes.
    pub fn set_slate(&self, slate: SlateLoop) {
        self.order(ProgramOrder::Slate(Box::new(slate)));
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

    /// Ends every destination's session and stops the thread; waits at most 4 s.
    pub async fn stop(&self, parting: Parting) {
        let (done, ended) = oneshot::channel();
        let stopped = async {
            // Waits for room: what is ordered first is carried out first.
            if self.inner.requests.send(Request::Stop(parting, done)).await.is_ok() {
                let _ = ended.await;
            }
        };
        let _ = tokio::time::timeout(Duration::from_secs(4), stopped).await;
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

/// GStreamer's threads for streaming, the destinations' among them, begin with the niceness of the thread that made the first pool of threads
/// (`GLib` keeps it for all of them): that one goes first.
fn start_gstreamer() -> Result<(), MediaError> {
    let start = || {
        if let Err(error) = precedence::go_first() {
            tracing::warn!(
                %error,
                "this account may not put the programme before other programs: on a busy machine it may have holes; see `motherstream doctor`"
            );
        }
        gstreamer::init().map_err(|error| MediaError::GStreamer(error.to_string()))?;
        TaskPool::new().prepare().map_err(|error| MediaError::GStreamer(error.to_string()))
    };
    let begun = std::thread::Builder::new().name("gstreamer".to_owned()).spawn(start).map_err(MediaError::Thread)?;
    begun.join().unwrap_or_else(|_| Err(MediaError::GStreamer("it does not start".to_owned())))
}

fn render_slate(settings: &MediaSettings) -> Result<SlateLoop, MediaError> {
    let render = |picture| {
        let wanted = slate::SlateSettings { venue: &settings.venue, picture, tone: settings.tone };
        slate::kept(&settings.kept, wanted)
    };
    match (render(settings.slate.as_deref()), &settings.slate) {
        (Ok(slate), _) => Ok(slate),
        (Err(error), Some(_)) => {
            tracing::warn!(error = %error, "the venue's slate cannot be used, the built-in one stands in");
            render(None).map_err(|error| MediaError::Slate(error.to_string()))
        }
        (Err(error), None) => Err(MediaError::Slate(error.to_string())),
    }
}
