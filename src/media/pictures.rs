//! Thumbnails of the inputs and of the programme, made of key frames while somebody looks.
//!
//! A [`Shutter`] stands in every source. While nobody looks it is closed, and costs its source one atomic read a key frame. A request opens it;
//! the next key frame closes it and goes to the one thread that decodes, which opens it again 2 s later if somebody still looks. So at
//! most one key frame of each source is ever on its way.

mod still;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::sync::watch;

use crate::{
    core::frame::{CodecConfig, ConnectionId, MediaTime},
    precedence,
};

/// GStreamer elements that thumbnails are made with, besides `capsfilter`.
pub const ELEMENTS: &[&str] = &["avdec_h264", "videoscale", "videoconvert", "jpegenc"];

/// One source's thumbnails are at least so far apart.
const INTERVAL: Duration = Duration::from_secs(2);
/// A request keeps a source's thumbnails alive for so long: a few of the page's own, which come every 2 s.
const ALIVE: Duration = Duration::from_secs(10);
/// How long the first thumbnail is waited for: a key frame comes every 2 s where streamers did as they were told.
const PATIENCE: Duration = Duration::from_secs(2);
/// Key frames on their way to the decoding thread, of all sources together.
const SHOTS: usize = 128;
/// The decoding thread gives way to everything else.
const NICENESS: i32 = 15;

/// What a picture is taken of.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PictureOf {
    /// What leaves the programme; the slate too.
    Program,
    /// What a connection sends, on air or not.
    Input(ConnectionId),
}

/// A small picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thumbnail {
    /// JPEG, its longer side at most 480 pixels.
    pub jpeg: Bytes,
    /// No two of the process have the same.
    pub number: u64,
}

/// A key frame on its way to the decoding thread.
struct Shot {
    shutter: Arc<Shutter>,
    config: Arc<CodecConfig>,
    payload: Bytes,
}

/// What the decoding thread is told.
enum PictureOrder {
    Shot(Shot),
    Stop,
}

/// Where a source's key frames leave it, when somebody looks.
pub(super) struct Shutter {
    /// The next key frame is wanted.
    open: AtomicBool,
    /// The decoding thread opens it from time to time.
    active: AtomicBool,
    /// Milliseconds from the beginning to the last request.
    asked: AtomicU64,
    /// Time stamp in microseconds of the key frame that was handed over last: the programme's ring may still hold the same one.
    shown: AtomicI64,
    latest: watch::Sender<Option<Thumbnail>>,
    orders: SyncSender<PictureOrder>,
}

impl std::fmt::Debug for Shutter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shutter").field("open", &self.open).field("active", &self.active).finish_non_exhaustive()
    }
}

impl Shutter {
    /// Whether the next key frame is wanted. For whoever would have to look for one.
    pub(super) fn is_open(&self) -> bool {
        self.open.load(Relaxed)
    }

    /// To be shown every key frame of the source: hands it over if it is wanted. Never blocks; one that finds no room is not missed.
    pub(super) fn take(self: &Arc<Self>, time: MediaTime, config: &Arc<CodecConfig>, payload: &Bytes) {
        if self.shown.load(Relaxed) == time.as_micros() || !self.open.swap(false, Relaxed) {
            return;
        }
        let shot = Shot { shutter: self.clone(), config: config.clone(), payload: payload.clone() };
        if self.orders.try_send(PictureOrder::Shot(shot)).is_ok() {
            self.shown.store(time.as_micros(), Relaxed);
        } else {
            self.open.store(true, Relaxed);
        }
    }
}

/// All thumbnails. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Pictures {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    began: Instant,
    orders: SyncSender<PictureOrder>,
    program: Arc<Shutter>,
    /// The lock is taken when a connection opens and by the web; never for a frame.
    inputs: Mutex<HashMap<ConnectionId, Weak<Shutter>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Pictures {
    /// Starts the thread that decodes, which sleeps until somebody looks.
    ///
    /// # Errors
    ///
    /// When the system gives no thread.
    pub(super) fn start() -> std::io::Result<Self> {
        let (orders, receiver) = sync_channel(SHOTS);
        let began = Instant::now();
        // Wall time, so that a browser does not take a picture of the box's earlier life for this one's.
        let number = u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or_default();
        let worker = Worker { began, orders: receiver, number, due: Vec::new() };
        let thread = thread::Builder::new().name("thumbnails".to_owned()).spawn(move || worker.run())?;
        let inner = Inner {
            began,
            program: Arc::new(shutter(&orders)),
            orders,
            inputs: Mutex::default(),
            thread: Mutex::new(Some(thread)),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The programme's shutter.
    pub(super) fn program(&self) -> Arc<Shutter> {
        self.inner.program.clone()
    }

    /// A shutter for a connection that opens. It is forgotten when the connection drops it.
    pub(super) fn input(&self, connection: &ConnectionId) -> Arc<Shutter> {
        let made = Arc::new(shutter(&self.inner.orders));
        let mut inputs = self.inner.inputs.lock().unwrap_or_else(PoisonError::into_inner);
        inputs.retain(|_, held| held.strong_count() > 0);
        inputs.insert(connection.clone(), Arc::downgrade(&made));
        made
    }

    /// The latest thumbnail of a source. The first one is waited for, at most 2 s.
    pub(super) async fn thumbnail(&self, of: &PictureOf) -> Option<Thumbnail> {
        let shutter = match of {
            PictureOf::Program => self.program(),
            PictureOf::Input(connection) => {
                let inputs = self.inner.inputs.lock().unwrap_or_else(PoisonError::into_inner);
                inputs.get(connection)?.upgrade()?
            }
        };
        shutter.asked.store(millis(self.inner.began), Relaxed);
        if !shutter.active.swap(true, Relaxed) {
            shutter.open.store(true, Relaxed);
        }
        let mut latest = shutter.latest.subscribe();
        // A connection that ends meanwhile is one more that shows nothing.
        drop(shutter);
        let first = tokio::time::timeout(PATIENCE, latest.wait_for(Option::is_some)).await.ok()?.ok()?;
        first.clone()
    }

    /// Ends the thread. Blocks for as long as one picture takes.
    pub(super) fn stop(&self) {
        let thread = self.inner.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // A full channel empties within the time of its pictures.
            let _ = self.inner.orders.send(PictureOrder::Stop);
            let _ = thread.join();
        }
    }
}

fn shutter(orders: &SyncSender<PictureOrder>) -> Shutter {
    Shutter {
        open: AtomicBool::new(false),
        active: AtomicBool::new(false),
        asked: AtomicU64::new(0),
        shown: AtomicI64::new(i64::MIN),
        latest: watch::Sender::new(None),
        orders: orders.clone(),
    }
}

fn millis(began: Instant) -> u64 {
    u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// The decoding thread.
struct Worker {
    began: Instant,
    orders: Receiver<PictureOrder>,
    number: u64,
    /// Closed shutters, and when they are to be opened again.
    due: Vec<(Instant, Weak<Shutter>)>,
}

impl Worker {
    fn run(mut self) {
        precedence::go_behind_by(NICENESS);
        loop {
            let next = self.due.iter().map(|(due, _)| *due).min();
            let order = match next {
                Some(next) => self.orders.recv_timeout(next.saturating_duration_since(Instant::now())),
                None => self.orders.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match order {
                Ok(PictureOrder::Shot(shot)) => self.develop(shot),
                Err(RecvTimeoutError::Timeout) => self.open_those_due(),
                Ok(PictureOrder::Stop) | Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn develop(&mut self, shot: Shot) {
        let Shot { shutter, config, payload } = shot;
        if self.is_wanted(&shutter)
            && let CodecConfig::Avc(config) = &*config
        {
            match still::still(config, &payload) {
                Ok(jpeg) => {
                    self.number += 1;
                    shutter.latest.send_replace(Some(Thumbnail { jpeg, number: self.number }));
                }
                // Whoever sends it is on air or will be, and hears of it there.
                Err(error) => tracing::debug!(%error, "no thumbnail"),
            }
        }
        self.due.push((Instant::now() + INTERVAL, Arc::downgrade(&shutter)));
    }

    fn open_those_due(&mut self) {
        let now = Instant::now();
        let is_due = |(due, _): &mut (Instant, Weak<Shutter>)| *due <= now;
        let due: Vec<_> = self.due.extract_if(.., is_due).collect();
        for shutter in due.into_iter().filter_map(|(_, shutter)| shutter.upgrade()) {
            if !self.is_wanted(&shutter) {
                // What was shown last is no longer what there is to see.
                shutter.latest.send_replace(None);
                shutter.shown.store(i64::MIN, Relaxed);
                shutter.active.store(false, Relaxed);
                // Whoever asks from now on opens it; who asked a moment ago found it active.
                if !self.is_wanted(&shutter) || shutter.active.swap(true, Relaxed) {
                    continue;
                }
            }
            shutter.open.store(true, Relaxed);
        }
    }

    /// Whether somebody asked lately.
    fn is_wanted(&self, shutter: &Shutter) -> bool {
        let alive = u64::try_from(ALIVE.as_millis()).unwrap_or(u64::MAX);
        millis(self.began).saturating_sub(shutter.asked.load(Relaxed)) < alive
    }
}

#[cfg(test)]
mod tests;
