//! Places for live lines: answers that a page or a program listens to for as long as it is open. Each costs a few kilobytes and a wait.
//!
//! The crew, the overlays, the room and programs have places of their own, so that a room full of phones, or one person with a
//! script, takes none from those who run the night. Within each, nobody holds more than a share; and when all are taken, whoever comes
//! takes one from who holds the most, if that is clearly more than their own. Who finds no place asks now and then instead
//! (`web/assets/line.js`), which needs none.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::http::{HeaderName, HeaderValue, header};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::problem::{Kind, Problem};
use crate::{
    control::journal::Caller,
    core::{account::AccountId, origin::Origin},
    telemetry::seldom::seldom,
};

/// So many may listen to `/api/v1/events` at once, the crew aside.
pub(crate) const MOST_PROGRAMS: usize = 200;

/// Who refuses to wait in vain is told to come back after so long.
const COME_BACK: Duration = Duration::from_secs(30);

/// What keeps whoever stands in between, such as a reverse proxy, from gathering what is to arrive at once.
pub(crate) const UNBUFFERED: [(HeaderName, HeaderValue); 2] = [
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store, no-transform")),
    (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
];

/// For whom places are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Pool {
    /// Who runs the night, whatever they look at.
    Crew,
    /// Overlays, which are in the picture that the audience sees.
    Overlays,
    /// Everybody else's pages.
    Room,
    /// Listeners of the API.
    Programs,
}

impl Pool {
    /// Where a line belongs.
    pub(crate) fn of(caller: &Caller, otherwise: Self) -> Self {
        if caller.runs_the_night() { Self::Crew } else { otherwise }
    }

    const fn places(self) -> usize {
        match self {
            Self::Crew => 100,
            Self::Overlays => 150,
            Self::Room => 600,
            Self::Programs => MOST_PROGRAMS,
        }
    }

    /// How many one address, or one account, may hold. Generous for an address: a whole venue may stand behind one. A browser needs
    /// one for all its pages.
    const fn share(self, holder: Holder) -> usize {
        match (self, holder) {
            (Self::Crew, Holder::Token) => 50,
            (Self::Crew, _) => 30,
            (Self::Overlays, _) => 100,
            (Self::Room, Holder::Account(_)) => 20,
            (Self::Room, _) => 400,
            (Self::Programs, _) => MOST_PROGRAMS,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Crew => "crew",
            Self::Overlays => "overlays",
            Self::Room => "room",
            Self::Programs => "programs",
        }
    }
}

/// Who holds a line. Whoever is signed in holds it by account, wherever they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Holder {
    Account(AccountId),
    Token,
    Origin(Origin),
}

impl Holder {
    pub(crate) fn of(caller: &Caller, address: IpAddr) -> Self {
        match caller {
            Caller::Account(account) => Self::Account(account.id),
            Caller::Token => Self::Token,
            Caller::Anonymous | Caller::Machine | Caller::Monitor => Self::Origin(Origin::of(address)),
        }
    }
}

/// All lines that are open.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lines(Arc<Mutex<Open>>);

#[derive(Debug, Default)]
struct Open {
    last: u64,
    /// By the number that each was given when it began.
    pools: HashMap<Pool, BTreeMap<u64, Held>>,
}

#[derive(Debug)]
struct Held {
    holder: Holder,
    out: CancellationToken,
}

/// A place. Given back when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    lines: Lines,
    pool: Pool,
    number: u64,
    out: CancellationToken,
}

impl Lines {
    /// A place for `holder`.
    ///
    /// # Errors
    /// When the holder has their share, or all places are taken and nobody holds clearly more.
    pub(crate) fn enter(&self, pool: Pool, holder: Holder) -> Result<Place, Problem> {
        let mut guard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let open = &mut *guard;
        let held = open.pools.entry(pool).or_default();
        let mut counts: HashMap<Holder, usize> = HashMap::new();
        for line in held.values() {
            *counts.entry(line.holder).or_default() += 1;
        }
        let own = counts.get(&holder).copied().unwrap_or_default();
        let greedy = counts.iter().max_by_key(|(_, count)| **count).map(|(greedy, count)| (*greedy, *count));
        let full = held.len() >= pool.places();
        let victim = greedy.filter(|(_, most)| full && *most > own + 1).map(|(greedy, _)| greedy);
        if own >= pool.share(holder) || (full && victim.is_none()) {
            seldom!(WARN, pool = pool.name(), "live line refused, no place is left for it");
            let why = "too many pages listen already; this one is kept up to date by asking now and then";
            return Err(Problem::new(Kind::TooMany, why).retry_after(COME_BACK));
        }
        // Whoever was here before a flood keeps their line: its newest goes.
        let number =
            victim.and_then(|victim| held.iter().rev().find(|(_, line)| line.holder == victim)).map(|(n, _)| *n);
        if let Some(line) = number.and_then(|number| held.remove(&number)) {
            line.out.cancel();
            seldom!(WARN, pool = pool.name(), "live line of who holds the most gave way to a newcomer's");
        }
        open.last += 1;
        let (number, out) = (open.last, CancellationToken::new());
        held.insert(number, Held { holder, out: out.clone() });
        Ok(Place { lines: self.clone(), pool, number, out })
    }
}

impl Place {
    /// Resolves when the place is given to somebody else.
    pub(crate) fn lost(&self) -> WaitForCancellationFutureOwned {
        self.out.clone().cancelled_owned()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.lines.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = open.pools.get_mut(&self.pool) {
            held.remove(&self.number);
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn from(address: &str) -> Holder {
        Holder::Origin(Origin::of(address.parse().unwrap()))
    }

    fn fill(lines: &Lines, pool: Pool, holder: Holder, count: usize) -> Vec<Place> {
        (0..count).map(|_| lines.enter(pool, holder).unwrap()).collect()
    }

    #[test]
    fn nobody_holds_more_than_their_share_and_the_pools_know_nothing_of_each_other() {
        let lines = Lines::default();
        let greedy = from("10.0.0.1");
        let held = fill(&lines, Pool::Room, greedy, 400);
        assert!(lines.enter(Pool::Room, greedy).is_err());
        let others = fill(&lines, Pool::Room, from("10.0.0.2"), 200);
        for pool in [Pool::Crew, Pool::Overlays, Pool::Programs] {
            assert!(lines.enter(pool, greedy).is_ok(), "{pool:?}");
        }
        let streamer = Holder::Account(AccountId(7));
        assert!(lines.enter(Pool::Room, streamer).is_ok(), "whoever is signed in is no address");
        drop((held, others));
        assert!(lines.0.lock().unwrap().pools.values().all(BTreeMap::is_empty));
    }

    #[test]
    fn newcomer_takes_the_newest_place_of_who_holds_the_most_and_nobody_elses() {
        let lines = Lines::default();
        let greedy = fill(&lines, Pool::Room, from("10.0.0.1"), 400);
        let modest = fill(&lines, Pool::Room, from("10.0.0.2"), 200);
        let new = fill(&lines, Pool::Room, from("10.0.0.3"), 10);
        let out = |places: &[Place]| places.iter().filter(|place| place.out.is_cancelled()).count();
        assert_eq!((out(&greedy), out(&modest), out(&new)), (10, 0, 0));
        assert!(greedy.iter().rev().take(10).all(|place| place.out.is_cancelled()), "who was here first stays");
        // The greedy one takes nothing back.
        assert!(lines.enter(Pool::Room, from("10.0.0.1")).is_err());
    }

    #[test]
    fn among_equals_nobody_is_put_out() {
        let lines = Lines::default();
        let all: Vec<_> = (0..600_u16)
            .map(|n| {
                let [high, low] = n.to_be_bytes();
                lines.enter(Pool::Room, from(&format!("10.1.{high}.{low}"))).unwrap()
            })
            .collect();
        assert!(lines.enter(Pool::Room, from("10.0.0.9")).is_err());
        assert!(all.iter().all(|place| !place.out.is_cancelled()));
    }
}
