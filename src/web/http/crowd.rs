//! Who is connected to the page: bounded, and where there is no room the least advanced makes some.
//!
//! Whoever comes has not said yet who they are, so nobody is refused for a full house while somebody is there who does nothing, or nothing
//! of weight: that one makes room. The crew, once recognised, makes room for nobody and counts against no address.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;

use crate::{control::journal::Caller, core::origin::Origin, telemetry::seldom::seldom};

/// Connections at once.
pub(super) const MOST_CONNECTIONS: usize = 1024;

/// Connections at once from one origin, the crew's aside: a whole venue may share one behind a router.
pub(super) const MOST_FROM_ONE: usize = 640;

/// Requests at once from one origin, the crew's aside. By HTTP/2 one connection carries many.
const MOST_REQUESTS_FROM_ONE: usize = 2 * MOST_FROM_ONE;

/// How far a connection has come, the least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Standing {
    /// No request is under way: it is new, or waits for the next one.
    Quiet,
    /// Somebody who is not signed in listens, and does nothing else.
    Listens,
    /// A request of such a one is under way.
    Asks,
    /// Somebody who is signed in.
    Known,
    /// Who runs the night. Never made to go.
    Crew,
}

/// Everybody who is connected. One lock, held for a look at all of them at most.
#[derive(Clone, Debug)]
pub(crate) struct Crowd(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    last: u64,
    there: BTreeMap<u64, Connected>,
    requests: HashMap<Origin, usize>,
}

#[derive(Debug)]
struct Connected {
    origin: Origin,
    recognised: Option<Standing>,
    under_way: usize,
    lines: usize,
    /// When nothing was under way for the last time: the beginning, or the end of a request.
    quiet: Instant,
    out: CancellationToken,
}

impl Connected {
    fn standing(&self) -> Standing {
        match self.recognised {
            Some(standing) => standing,
            None if self.under_way == 0 => Standing::Quiet,
            None if self.under_way == self.lines => Standing::Listens,
            None => Standing::Asks,
        }
    }
}

/// One connection's place. Given back when dropped.
#[derive(Debug)]
pub(super) struct Seat(Visitor);

/// One connection, for what happens on it.
#[derive(Clone, Debug)]
pub(crate) struct Visitor {
    crowd: Crowd,
    number: u64,
    out: CancellationToken,
}

/// A request that is under way. Over when dropped.
#[derive(Debug)]
pub(super) struct UnderWay {
    visitor: Visitor,
    line: bool,
}

impl Default for Crowd {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Inner { last: 0, there: BTreeMap::new(), requests: HashMap::new() })))
    }
}

impl Crowd {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing under the lock can leave it half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a newcomer, for which another may have to go. None where all are further than any newcomer.
    pub(super) fn enter(&self, address: IpAddr) -> Option<Seat> {
        let mut inner = self.lock();
        let origin = Origin::of(address);
        let counted = |other: &Connected| other.origin == origin && other.standing() != Standing::Crew;
        let crowded = inner.there.values().filter(|other| counted(other)).count() >= MOST_FROM_ONE;
        if crowded || inner.there.len() >= MOST_CONNECTIONS {
            let Some(number) = inner.least_advanced(crowded.then_some(origin)) else {
                seldom!(WARN, "web connection refused, there are too many");
                return None;
            };
            if let Some(gone) = inner.remove(number) {
                gone.out.cancel();
            }
            seldom!(WARN, "web connection that did least made room for a newcomer");
        }
        inner.last += 1;
        let (number, out) = (inner.last, CancellationToken::new());
        let connected =
            Connected { origin, recognised: None, under_way: 0, lines: 0, quiet: Instant::now(), out: out.clone() };
        inner.there.insert(number, connected);
        Some(Seat(Visitor { crowd: self.clone(), number, out }))
    }
}

impl Inner {
    /// Who came least far; among these of who has the most like it; of these who has done nothing for longest.
    fn least_advanced(&self, of: Option<Origin>) -> Option<u64> {
        let all = || self.there.iter().filter(move |(_, one)| of.is_none_or(|origin| one.origin == origin));
        let least = all().map(|(_, one)| one.standing()).min().filter(|least| *least != Standing::Crew)?;
        let mut counts: HashMap<Origin, usize> = HashMap::new();
        for (_, one) in all().filter(|(_, one)| one.standing() == least) {
            *counts.entry(one.origin).or_default() += 1;
        }
        let most = counts.values().max().copied()?;
        all()
            .filter(|(_, one)| one.standing() == least && counts.get(&one.origin) == Some(&most))
            .min_by_key(|(number, one)| (one.quiet, **number))
            .map(|(number, _)| *number)
    }

    fn remove(&mut self, number: u64) -> Option<Connected> {
        let gone = self.there.remove(&number)?;
        self.end_requests(gone.origin, gone.under_way);
        Some(gone)
    }

    fn end_requests(&mut self, origin: Origin, count: usize) {
        if let Some(requests) = self.requests.get_mut(&origin) {
            *requests -= count.min(*requests);
            if *requests == 0 {
                self.requests.remove(&origin);
            }
        }
    }
}

impl Seat {
    pub(super) fn visitor(&self) -> &Visitor {
        &self.0
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        drop(self.0.crowd.lock().remove(self.0.number));
    }
}

impl Visitor {
    /// Resolves when the connection has to make room.
    pub(super) async fn put_out(&self) {
        self.out.cancelled().await;
    }

    /// A request begins. None where its origin has too many under way.
    pub(super) fn begin(&self) -> Option<UnderWay> {
        let mut guard = self.crowd.lock();
        let inner = &mut *guard;
        if let Some(one) = inner.there.get_mut(&self.number) {
            let requests = inner.requests.entry(one.origin).or_default();
            if *requests >= MOST_REQUESTS_FROM_ONE && one.recognised != Some(Standing::Crew) {
                return None;
            }
            *requests += 1;
            one.under_way += 1;
        }
        Some(UnderWay { visitor: self.clone(), line: false })
    }

    /// It is known who asks: that holds for what else comes by this connection.
    pub(crate) fn is(&self, caller: &Caller) {
        let standing = match caller {
            Caller::Anonymous => return,
            caller if caller.runs_the_night() => Standing::Crew,
            _ => Standing::Known,
        };
        if let Some(one) = self.crowd.lock().there.get_mut(&self.number) {
            one.recognised = one.recognised.max(Some(standing));
        }
    }

    /// For how long no request has been under way; none while one is.
    pub(super) fn quiet(&self) -> Option<Duration> {
        let inner = self.crowd.lock();
        let one = inner.there.get(&self.number).filter(|one| one.under_way == 0)?;
        Some(one.quiet.elapsed())
    }
}

impl UnderWay {
    /// What it is answered has no end.
    pub(super) fn listens(&mut self) {
        if let Some(one) = self.visitor.crowd.lock().there.get_mut(&self.visitor.number) {
            one.lines += 1;
            self.line = true;
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut guard = self.visitor.crowd.lock();
        let inner = &mut *guard;
        let Some(one) = inner.there.get_mut(&self.visitor.number) else { return };
        one.under_way -= one.under_way.min(1);
        one.lines -= usize::from(self.line).min(one.lines);
        one.quiet = Instant::now();
        let origin = one.origin;
        inner.end_requests(origin, 1);
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests {
    use super::*;

    fn come(crowd: &Crowd, address: &str, count: usize) -> Vec<Seat> {
        (0..count).map(|_| crowd.enter(address.parse().unwrap()).unwrap()).collect()
    }

    fn gone(seats: &[Seat]) -> usize {
        seats.iter().filter(|seat| seat.0.out.is_cancelled()).count()
    }

    #[test]
    fn newcomer_of_a_crowded_address_puts_out_who_has_been_quiet_for_longest_there() {
        let crowd = Crowd::default();
        let other = come(&crowd, "10.0.0.2", 1);
        let greedy = come(&crowd, "10.0.0.1", MOST_FROM_ONE);
        let under_way = greedy[0].visitor().begin().unwrap();
        let new = come(&crowd, "10.0.0.1", 2);
        assert_eq!((gone(&greedy), gone(&other), gone(&new)), (2, 0, 0));
        assert!(!greedy[0].0.out.is_cancelled() && greedy[1].0.out.is_cancelled(), "a request is under way");
        drop((under_way, greedy, other, new));
        assert!(crowd.lock().there.is_empty() && crowd.lock().requests.is_empty());
    }

    #[test]
    fn full_house_makes_room_at_who_has_the_most_and_never_at_the_crew() {
        let crowd = Crowd::default();
        let crew = come(&crowd, "10.0.0.1", 300);
        for seat in &crew {
            seat.visitor().is(&Caller::Token);
        }
        let greedy = come(&crowd, "10.0.0.1", MOST_FROM_ONE);
        let modest = come(&crowd, "10.0.0.2", MOST_CONNECTIONS - 300 - MOST_FROM_ONE);
        let listening: Vec<_> = greedy
            .iter()
            .chain(&modest)
            .map(|seat| {
                let mut request = seat.visitor().begin().unwrap();
                request.listens();
                request
            })
            .collect();
        let new = come(&crowd, "10.0.0.3", 1);
        assert_eq!((gone(&crew), gone(&greedy), gone(&modest)), (0, 1, 0));
        // Who does nothing goes before who listens, wherever they are.
        let newer = come(&crowd, "10.0.0.4", 1);
        assert_eq!((gone(&new), gone(&greedy), gone(&newer)), (1, 1, 0));
        drop(listening);
    }

    #[test]
    fn house_full_of_crew_takes_nobody() {
        let crowd = Crowd::default();
        let crew = come(&crowd, "10.0.0.1", MOST_FROM_ONE);
        for seat in &crew {
            seat.visitor().is(&Caller::Token);
        }
        let more = come(&crowd, "10.0.0.1", MOST_CONNECTIONS - MOST_FROM_ONE);
        for seat in &more {
            seat.visitor().is(&Caller::Token);
        }
        assert!(crowd.enter("10.0.0.9".parse().unwrap()).is_none());
        drop((crew, more));
        assert!(crowd.enter("10.0.0.9".parse().unwrap()).is_some());
    }

    #[test]
    fn requests_of_one_address_are_bounded_however_few_connections_carry_them() {
        let crowd = Crowd::default();
        let mut seats = come(&crowd, "10.0.0.1", 2);
        seats.extend(come(&crowd, "10.0.0.2", 1));
        let mut under_way: Vec<_> = (0..MOST_REQUESTS_FROM_ONE).map(|_| seats[0].visitor().begin().unwrap()).collect();
        assert!(seats[1].visitor().begin().is_none());
        assert!(seats[2].visitor().begin().is_some());
        seats[1].visitor().is(&Caller::Token);
        assert!(seats[1].visitor().begin().is_some(), "the crew is not counted");
        under_way.pop();
        assert!(seats[0].visitor().begin().is_some());
    }
}
