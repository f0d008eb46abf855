//! Who is here: visitors that have not been accepted yet, bounded per address, and the publishers.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::core::{frame::ConnectionId, origin::Origin};

/// Visitors of one origin that are not publishing. A venue's encoders may all come from one; those that do not
/// finish are put out first, so this is no limit on publishers.
const MAX_VISITORS_PER_ADDRESS: usize = 16;

/// Everybody who is connected. One lock, held for a few map operations.
pub(super) struct Registry {
    max_connections: usize,
    /// Random, so that an id is never used twice, not even after a restart.
    prefix: u64,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    last: u64,
    /// By age.
    visitors: BTreeMap<u64, Visitor>,
    publishers: HashMap<ConnectionId, Publisher>,
    /// Visits, of either kind, that have not ended.
    open: usize,
}

struct Visitor {
    origin: Origin,
    stage: Stage,
    out: CancellationToken,
}

/// How far a visitor came. The least is put out first when its address has too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// Has not finished the handshake.
    Greeting,
    /// Finished it.
    Talking,
    /// Waits for the director: never put out.
    Asking,
}

struct Publisher {
    accepted: bool,
    disconnect: Option<oneshot::Sender<String>>,
    gone: CancellationToken,
}

/// One connection's presence, from TCP accept to its very end.
pub(super) struct Visit {
    registry: Arc<Registry>,
    number: u64,
    out: CancellationToken,
}

/// A publish that was asked for or accepted. Dropping it says that it is over and wakes whoever waits for that.
pub(super) struct Publication {
    registry: Arc<Registry>,
    pub(super) id: ConnectionId,
    /// An order to disconnect, with the reason.
    pub(super) disconnect: oneshot::Receiver<String>,
}

impl Registry {
    pub(super) fn new(max_connections: usize) -> Arc<Self> {
        Arc::new(Self { max_connections, prefix: rand::random(), inner: Mutex::default() })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing under the lock can leave it half changed.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a connection in. When its address has too many visitors, the one that came least far is put out, the oldest
    /// first: someone who opens connections without end does not lock out the encoder beside them. `None` when the house is
    /// full, or everybody of that address waits for the director.
    pub(super) fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Visit> {
        let mut inner = self.lock();
        if inner.open >= self.max_connections {
            return None;
        }
        let origin = Origin::of(address);
        let same = || inner.visitors.iter().filter(|(_, visitor)| visitor.origin == origin);
        if same().count() >= MAX_VISITORS_PER_ADDRESS {
            let (number, _) = same()
                .filter(|(_, visitor)| visitor.stage != Stage::Asking)
                .min_by_key(|(number, visitor)| (visitor.stage, **number))?;
            let number = *number;
            if let Some(visitor) = inner.visitors.remove(&number) {
                visitor.out.cancel();
            }
        }
        inner.open += 1;
        inner.last += 1;
        let number = inner.last;
        let out = CancellationToken::new();
        inner.visitors.insert(number, Visitor { origin, stage: Stage::Greeting, out: out.clone() });
        Some(Visit { registry: Arc::clone(self), number, out })
    }

    /// Orders a publication to end. The token is cancelled when it is over; `None` when there is none.
    pub(super) fn disconnect(&self, id: &ConnectionId, reason: String) -> Option<CancellationToken> {
        let mut inner = self.lock();
        let publisher = inner.publishers.get_mut(id)?;
        if let Some(disconnect) = publisher.disconnect.take() {
            // A closed channel: it is ending by itself.
            let _ = disconnect.send(reason);
        }
        Some(publisher.gone.clone())
    }

    /// The accepted connections that are alive.
    pub(super) fn accepted(&self) -> Vec<ConnectionId> {
        let inner = self.lock();
        inner.publishers.iter().filter(|(_, publisher)| publisher.accepted).map(|(id, _)| id.clone()).collect()
    }
}

impl Visit {
    /// Resolves when the visitor is put out.
    pub(super) async fn put_out(&self) {
        self.out.cancelled().await;
    }

    /// The visitor came as far as this.
    pub(super) fn reach(&self, stage: Stage) {
        if let Some(visitor) = self.registry.lock().visitors.get_mut(&self.number) {
            visitor.stage = stage;
        }
    }

    /// The visitor asks to publish. From here on an order to disconnect finds it: the director's may come right behind its
    /// verdict.
    pub(super) fn ask(&self) -> Publication {
        self.reach(Stage::Asking);
        let id = ConnectionId::new(format!("{:016x}-{}", self.registry.prefix, self.number));
        let (order, disconnect) = oneshot::channel();
        let publisher = Publisher { accepted: false, disconnect: Some(order), gone: CancellationToken::new() };
        self.registry.lock().publishers.insert(id.clone(), publisher);
        Publication { registry: Arc::clone(&self.registry), id, disconnect }
    }

    /// The visitor was accepted and does not count against its address any more.
    pub(super) fn accepted(&self, publication: &Publication) {
        let mut inner = self.registry.lock();
        inner.visitors.remove(&self.number);
        if let Some(publisher) = inner.publishers.get_mut(&publication.id) {
            publisher.accepted = true;
        }
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let mut inner = self.registry.lock();
        inner.visitors.remove(&self.number);
        inner.open -= 1;
    }
}

impl Drop for Publication {
    fn drop(&mut self) {
        if let Some(publisher) = self.registry.lock().publishers.remove(&self.id) {
            publisher.gone.cancel();
        }
    }
}
