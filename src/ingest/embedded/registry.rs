//! Who is here: visitors that have not been accepted yet, bounded per address and in all, and the publishers.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::oneshot, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{
    core::{frame::ConnectionId, origin::Origin},
    telemetry::seldom::seldom,
};

/// Visitors of one origin that are not publishing. A venue's encoders may all come from one; those that do not
/// finish are put out first, so this is no limit on publishers.
const MAX_VISITORS_PER_ADDRESS: usize = 16;

/// An encoder asks to publish within a few round trips. One that is here for longer and has not got on is put out before any that may just
/// be about to.
const GETTING_ON: Duration = Duration::from_secs(1);

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
    /// By the number that each was given when it came, so the oldest is first.
    visitors: BTreeMap<u64, Visitor>,
    publishers: HashMap<ConnectionId, Publisher>,
    /// Visits, of either kind, that have not ended and were not put out.
    open: BTreeSet<u64>,
}

struct Visitor {
    origin: Origin,
    headway: Headway,
    /// Since it came so far.
    since: Instant,
    out: CancellationToken,
}

/// How far a visitor came. The least is put out first when there are too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Headway {
    /// Is over but for reading why.
    Leaving,
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
    origin: Origin,
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

    /// Lets a connection in. When its address has too many visitors, or the ingest is full, one that has not got on is put out for it: of
    /// the address that has the most of them, the one that came least far, the oldest first. So whoever opens connections without end, from
    /// however many addresses, does not lock out the encoder beside them. `None` when all publish or wait for the director.
    pub(super) fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Visit> {
        let mut guard = self.lock();
        let inner = &mut *guard;
        let origin = Origin::of(address);
        let same = inner.visitors.values().filter(|visitor| visitor.origin == origin).count();
        let crowded = same >= MAX_VISITORS_PER_ADDRESS;
        if crowded || inner.open.len() >= self.max_connections {
            let Some(number) = inner.least_advanced(crowded.then_some(origin)) else {
                seldom!(WARN, "encoder's connection refused, there are too many");
                return None;
            };
            if let Some(visitor) = inner.visitors.remove(&number) {
                visitor.out.cancel();
            }
            inner.open.remove(&number);
            seldom!(WARN, "connection that did not get on made room for a newcomer");
        }
        inner.last += 1;
        let number = inner.last;
        let out = CancellationToken::new();
        let visitor = Visitor { origin, headway: Headway::Greeting, since: Instant::now(), out: out.clone() };
        inner.open.insert(number);
        inner.visitors.insert(number, visitor);
        Some(Visit { registry: Arc::clone(self), origin, number, out })
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

impl Inner {
    /// Who is to be put out for a newcomer, among those `of` one origin or among all.
    fn least_advanced(&self, of: Option<Origin>) -> Option<u64> {
        let all = || {
            let here = self.visitors.iter().filter(move |(_, visitor)| of.is_none_or(|of| visitor.origin == of));
            here.filter(|(_, visitor)| visitor.headway != Headway::Asking)
        };
        let idle = |visitor: &Visitor| visitor.since.elapsed() >= GETTING_ON;
        let any_idle = all().any(|(_, visitor)| idle(visitor));
        let candidates = || all().filter(|(_, visitor)| idle(visitor) || !any_idle);
        let mut counts: HashMap<Origin, usize> = HashMap::new();
        for (_, visitor) in candidates() {
            *counts.entry(visitor.origin).or_default() += 1;
        }
        candidates()
            .min_by_key(|(number, visitor)| (Reverse(counts.get(&visitor.origin).copied()), visitor.headway, **number))
            .map(|(number, _)| *number)
    }
}

impl Visit {
    /// Resolves when the visitor is put out.
    pub(super) async fn put_out(&self) {
        self.out.cancelled().await;
    }

    /// The visitor came as far as this.
    pub(super) fn reach(&self, headway: Headway) {
        if let Some(visitor) = self.registry.lock().visitors.get_mut(&self.number) {
            visitor.headway = headway;
            visitor.since = Instant::now();
        }
    }

    /// The visit is over, but for what the peer is still to read: whoever comes may have its room.
    pub(super) fn leave(&self) {
        let mut inner = self.registry.lock();
        if inner.open.contains(&self.number) {
            let (origin, out) = (self.origin, self.out.clone());
            inner
                .visitors
                .insert(self.number, Visitor { origin, headway: Headway::Leaving, since: Instant::now(), out });
        }
    }

    /// The visitor asks to publish. From here on an order to disconnect finds it: the director's may come right behind its
    /// verdict.
    pub(super) fn ask(&self) -> Publication {
        self.reach(Headway::Asking);
        // One visit may publish more than once, and each time is a connection to everybody else.
        let number = {
            let mut inner = self.registry.lock();
            inner.last += 1;
            inner.last
        };
        let id = ConnectionId::new(format!("{:016x}-{number}", self.registry.prefix));
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
        inner.open.remove(&self.number);
    }
}

impl Drop for Publication {
    fn drop(&mut self) {
        if let Some(publisher) = self.registry.lock().publishers.remove(&self.id) {
            publisher.gone.cancel();
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    const MOST: usize = 264;

    fn gone(visits: &[Visit]) -> usize {
        visits.iter().filter(|visit| visit.out.is_cancelled()).count()
    }

    #[tokio::test(start_paused = true)]
    async fn crowd_from_many_addresses_makes_room_for_every_encoder() {
        let registry = Registry::new(MOST);
        let mut idle = Vec::new();
        for number in 0..18 * 18 {
            let address = format!("127.0.1.{}", number % 18 + 1);
            idle.push(registry.enter(address.parse().unwrap()).unwrap());
        }
        tokio::time::sleep(GETTING_ON).await;
        let encoders: Vec<_> =
            (0..25).map(|number| registry.enter(format!("10.0.0.{number}").parse().unwrap()).unwrap()).collect();
        let more = registry.enter("127.0.1.1".parse().unwrap());
        assert!(more.is_some(), "whoever comes is heard");
        assert_eq!(gone(&encoders), 0, "nobody who may be about to publish is put out");
        assert!(registry.lock().open.len() <= MOST);
        drop((idle, encoders, more));
        assert!(registry.lock().open.is_empty() && registry.lock().visitors.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn who_publishes_or_waits_for_the_director_stays_and_who_leaves_goes_first() {
        let registry = Registry::new(4);
        let visit = |address: &str| registry.enter(address.parse().unwrap());
        let (asking, publishing) = (visit("10.0.0.1").unwrap(), visit("10.0.0.1").unwrap());
        let (asked, published) = (asking.ask(), publishing.ask());
        publishing.accepted(&published);
        let others = [visit("10.0.0.2").unwrap(), visit("10.0.0.3").unwrap()];
        others[1].leave();
        tokio::time::sleep(GETTING_ON).await;
        let new = visit("10.0.0.4").unwrap();
        assert_eq!((gone(&others[..1]), gone(&others[1..])), (0, 1));
        new.ask();
        others[0].ask();
        assert!(visit("10.0.0.5").is_none(), "all publish or ask");
        publishing.leave();
        assert!(visit("10.0.0.5").is_some());
        assert!(!asking.out.is_cancelled());
        drop(asked);
    }
}
