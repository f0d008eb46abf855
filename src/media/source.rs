//! One input: measured always, kept in a ring while cued.
//!
//! The ingest pushes frames into a [`Tap`]. It counts them in atomics, which the monitor reads twice a second; while the
//! connection is cued it also hands them to the pacing thread, over one bounded channel that all cued inputs share. Of a
//! connection that is only announced the frames are pulled when they are needed (`pull`), into a tap of the same kind.

use std::sync::{Arc, Mutex, PoisonError, atomic::Ordering::Relaxed};

use tokio::sync::{Notify, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

pub(super) use self::{
    pull::Parts,
    remote::Pulled,
    tap::{Arrival, Gauge, Gauges, MAX_INPUT_BYTES},
};
use self::{pull::Pull, reception::Reception, tap::Tap};

use super::pictures::Pictures;
use crate::core::{
    frame::{ConnectionId, Frame, FrameSink, FrameSinks, PullAddress, RemoteFigures, RemoteInput},
    moment::Moment,
    oddity::Oddity,
    remark::Remark,
};

mod cadence;
mod pull;
mod reception;
mod remote;
mod tap;
#[cfg(test)]
mod tests;

/// Elements that a pull is built from: by HTTP `fdsrc` reads our own connection, by RTMP `rtmp2src` makes one.
pub const PULL_ELEMENTS: &[&str] = &["fdsrc", "rtmp2src", "appsink"];

/// Frames on their way to the pacing thread, of all cued inputs together. It empties the channel every 40 ms; a burst of ten seconds of one
/// input is 800 frames.
const FRAMES_IN_FLIGHT: usize = 8192;
/// Opens taps. One for the whole box.
pub(super) struct Taps {
    pub(super) gauges: Arc<Gauges>,
    frames: mpsc::Sender<Arrival>,
    /// Wakes the monitor when an input becomes ready or ends.
    changed: Arc<Notify>,
    pulls: Parts,
    probes: Arc<Semaphore>,
    pictures: Pictures,
}

impl Taps {
    pub(super) fn new(
        gauges: Arc<Gauges>,
        changed: Arc<Notify>,
        pulls: Parts,
        pictures: Pictures,
    ) -> (Self, mpsc::Receiver<Arrival>) {
        let (frames, receiver) = mpsc::channel(FRAMES_IN_FLIGHT);
        let probes = Arc::new(Semaphore::new(pull::PROBES));
        (Self { gauges, frames, changed, pulls, probes, pictures }, receiver)
    }

    fn register(&self, gauge: Arc<Gauge>) -> Registration {
        self.gauges.insert(gauge.clone());
        Registration { gauge, gauges: self.gauges.clone(), changed: self.changed.clone() }
    }

    fn tap(&self, gauge: &Arc<Gauge>) -> Tap {
        Tap::new(gauge.clone(), self.frames.clone(), self.changed.clone())
    }
}

impl FrameSinks for Taps {
    fn open(&self, connection: ConnectionId) -> Box<dyn FrameSink> {
        let gauge = Arc::new(Gauge::new(connection, None, &self.pictures));
        Box::new(OpenTap { tap: self.tap(&gauge), _registration: self.register(gauge) })
    }

    fn announce(&self, connection: ConnectionId, address: PullAddress) -> Box<dyn RemoteInput> {
        let pulled = Arc::new(Pulled::new());
        let gauge = Arc::new(Gauge::new(connection, Some(pulled.clone()), &self.pictures));
        let reception = Arc::new(Mutex::new(Reception::new(self.tap(&gauge))));
        let registration = self.register(gauge.clone());
        let token = self.pulls.token.child_token();
        let span = tracing::info_span!("pull", connection = %gauge.connection);
        let pull = Pull::new(
            self.pulls.clone(),
            (gauge, pulled.clone()),
            address,
            reception.clone(),
            self.probes.clone(),
            token.clone(),
        );
        self.pulls.tracker.spawn_on(pull.run().instrument(span), &self.pulls.runtime);
        Box::new(Remote { pulled, reception, token, registration })
    }
}

/// An open connection. Dropping it says that it is over.
struct Registration {
    gauge: Arc<Gauge>,
    gauges: Arc<Gauges>,
    changed: Arc<Notify>,
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.gauge.ended.store(true, Relaxed);
        self.gauges.remove(&self.gauge);
        self.changed.notify_one();
    }
}

/// A connection that is pulled when it is needed.
struct Remote {
    pulled: Arc<Pulled>,
    reception: Arc<Mutex<Reception>>,
    token: CancellationToken,
    registration: Registration,
}

impl RemoteInput for Remote {
    fn report(&mut self, figures: RemoteFigures, at: Moment) {
        let gauge = &self.registration.gauge;
        self.pulled.report(figures, at, gauge.bytes(), gauge.is_fed());
    }

    fn is_mute(&self) -> bool {
        self.pulled.is_mute()
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        self.token.cancel();
        self.reception.lock().unwrap_or_else(PoisonError::into_inner).end();
    }
}

/// The way in of a connection whose frames the ingest delivers.
struct OpenTap {
    tap: Tap,
    _registration: Registration,
}

impl FrameSink for OpenTap {
    fn push(&mut self, frame: Frame, arrival: Moment) {
        self.tap.measure(&frame, arrival);
        if self.tap.gauge.is_fed() {
            self.tap.feed(frame, arrival);
        } else {
            self.tap.skip();
        }
    }

    fn remark(&mut self, remark: Remark) {
        self.tap.gauge.remark(remark);
    }

    fn odd(&mut self, oddity: Oddity) {
        self.tap.gauge.note_odd(oddity);
    }
}
