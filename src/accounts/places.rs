//! The two places where passwords are hashed, and who waits for them: a queue for each standing, so that whoever comes in their thousands
//! fills the queue of their own kind and no other.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::oneshot;

use super::error::AccountError;

/// Hashes at once in the whole process: each takes 19 MB and, on a Raspberry Pi 4, about 0.1 s of a core of four.
pub(super) const AT_ONCE: usize = 2;

/// How well somebody is known who has a password hashed. The better known go first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Who runs the night, by a session or on a device where they have signed in before.
    Crew,
    /// The owner of an account, by a session, a code, or a device where they have signed in before.
    Known,
    /// Somebody in the venue's own network.
    Near,
    /// Anybody.
    Stranger,
}

impl Standing {
    const ALL: [Self; 4] = [Self::Crew, Self::Known, Self::Near, Self::Stranger];

    /// So many may wait; whoever comes later is told to come again. The last of them all is served within the 10 s that an answer may take
    /// on such a board, whoever else waits; strangers are told sooner.
    pub(super) const fn may_wait(self) -> usize {
        match self {
            Self::Crew | Self::Stranger => 16,
            Self::Known | Self::Near => 32,
        }
    }
}

/// Whose turn it is when a place becomes free and all kinds wait. A kind of which nobody waits leaves its turn to the best known who do:
/// strangers get every eighth place at least, so that they are slowed down by others and never shut out, and never both places at once
/// while others wait.
const TURNS: [Standing; 8] = [
    Standing::Crew,
    Standing::Known,
    Standing::Near,
    Standing::Known,
    Standing::Crew,
    Standing::Near,
    Standing::Known,
    Standing::Stranger,
];

/// The places, and who waits for them. One for the process.
#[derive(Debug, Default)]
pub(super) struct Places {
    queues: Mutex<Queues>,
}

#[derive(Debug, Default)]
struct Queues {
    taken: usize,
    /// Who waits is told apart by a number.
    last: u64,
    turn: usize,
    crew: VecDeque<Waiting>,
    known: VecDeque<Waiting>,
    near: VecDeque<Waiting>,
    strangers: VecDeque<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    number: u64,
    call: oneshot::Sender<Place>,
}

/// A place that is held. Goes to the next who waits when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    of: Arc<Places>,
}

/// Somebody's wait. Whoever gives up leaves the queue.
struct Ticket {
    of: Arc<Places>,
    standing: Standing,
    number: u64,
    called: oneshot::Receiver<Place>,
}

impl Places {
    /// A place, as soon as it is this one's turn.
    ///
    /// # Errors
    /// [`AccountError::Busy`] when too many of this standing wait already.
    pub(super) async fn enter(self: &Arc<Self>, standing: Standing) -> Result<Place, AccountError> {
        let mut ticket = {
            let mut queues = self.lock();
            // While one is free nobody waits.
            if queues.taken < AT_ONCE {
                queues.taken += 1;
                return Ok(Place { of: Arc::clone(self) });
            }
            queues.last += 1;
            let number = queues.last;
            let queue = queues.of(standing);
            if queue.len() >= standing.may_wait() {
                return Err(AccountError::Busy);
            }
            let (call, called) = oneshot::channel();
            queue.push_back(Waiting { number, call });
            Ticket { of: Arc::clone(self), standing, number, called }
        };
        (&mut ticket.called).await.map_err(|_| AccountError::Busy)
    }

    /// Gives a place that has become free to the next.
    fn pass_on(self: &Arc<Self>) {
        let next = {
            let mut queues = self.lock();
            let next = queues.next();
            if next.is_none() {
                queues.taken -= 1;
            }
            next
        };
        if let Some(next) = next {
            // Whoever gave up this very moment drops it, and so passes it on.
            let _given_up = next.call.send(Place { of: Arc::clone(self) });
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many wait.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        let mut queues = self.lock();
        Standing::ALL.into_iter().map(|standing| queues.of(standing).len()).sum()
    }
}

impl Queues {
    fn of(&mut self, standing: Standing) -> &mut VecDeque<Waiting> {
        match standing {
            Standing::Crew => &mut self.crew,
            Standing::Known => &mut self.known,
            Standing::Near => &mut self.near,
            Standing::Stranger => &mut self.strangers,
        }
    }

    fn next(&mut self) -> Option<Waiting> {
        let due = TURNS.get(self.turn).copied();
        let next = due.into_iter().chain(Standing::ALL).find_map(|standing| self.of(standing).pop_front())?;
        self.turn = (self.turn + 1) % TURNS.len();
        Some(next)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.of.pass_on();
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.of.lock().of(self.standing).retain(|waiting| waiting.number != self.number);
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use tokio::{sync::mpsc, task::JoinHandle};

    use super::*;

    /// Takes both places, so that whoever comes waits.
    async fn full() -> (Arc<Places>, Vec<Place>) {
        let places = Arc::new(Places::default());
        let held =
            vec![places.enter(Standing::Stranger).await.unwrap(), places.enter(Standing::Stranger).await.unwrap()];
        (places, held)
    }

    /// Somebody who waits, says who they are when they are called, and gives the place on.
    async fn wait(places: &Arc<Places>, standing: Standing, said: &mpsc::UnboundedSender<Standing>) -> JoinHandle<()> {
        let (before, places_of_task, said) = (places.waiting(), Arc::clone(places), said.clone());
        let task = tokio::spawn(async move {
            let place = places_of_task.enter(standing).await.unwrap();
            said.send(standing).unwrap();
            drop(place);
        });
        while places.waiting() == before {
            tokio::task::yield_now().await;
        }
        task
    }

    async fn order(places: &Arc<Places>, mut held: Vec<Place>, waiting: &[(Standing, usize)]) -> Vec<Standing> {
        let (said, mut heard) = mpsc::unbounded_channel();
        let mut tasks = Vec::new();
        for (standing, count) in waiting {
            for _ in 0..*count {
                tasks.push(wait(places, *standing, &said).await);
            }
        }
        drop(said);
        // One place alone, so that the order is one.
        held.truncate(1);
        let mut order = Vec::new();
        while let Some(standing) = heard.recv().await {
            order.push(standing);
        }
        order
    }

    #[tokio::test]
    async fn strangers_who_fill_their_queue_keep_nobody_else_from_waiting() {
        let (places, held) = full().await;
        let (said, _heard) = mpsc::unbounded_channel();
        let mut tasks = Vec::new();
        for _ in 0..Standing::Stranger.may_wait() {
            tasks.push(wait(&places, Standing::Stranger, &said).await);
        }
        assert!(matches!(places.enter(Standing::Stranger).await, Err(AccountError::Busy)));
        for standing in [Standing::Near, Standing::Known, Standing::Crew] {
            for _ in 0..standing.may_wait() {
                tasks.push(wait(&places, standing, &said).await);
            }
            assert!(matches!(places.enter(standing).await, Err(AccountError::Busy)), "{standing:?}");
        }
        drop(held);
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!((places.waiting(), places.lock().taken), (0, 0));
    }

    #[tokio::test]
    async fn the_better_known_go_first_and_strangers_are_not_starved() {
        let (places, held) = full().await;
        let waiting = [(Standing::Stranger, 4), (Standing::Near, 4), (Standing::Known, 15)];
        let order = order(&places, held, &waiting).await;
        assert_eq!(order.len(), 23);
        let last = |standing| order.iter().rposition(|one| *one == standing).unwrap();
        assert!(order.iter().take(8).any(|one| *one == Standing::Stranger), "strangers wait for ever: {order:?}");
        assert!(last(Standing::Near) < last(Standing::Known), "{order:?}");
        assert!(last(Standing::Known) < last(Standing::Stranger), "{order:?}");
        let before = order.iter().take(last(Standing::Known)).filter(|one| **one == Standing::Stranger).count();
        assert!(before <= 3, "strangers were served as often as others: {order:?}");
    }

    #[tokio::test]
    async fn strangers_among_themselves_wait_for_nobody_else() {
        let (places, held) = full().await;
        assert_eq!(order(&places, held, &[(Standing::Stranger, 9)]).await, [Standing::Stranger; 9]);
        let both = (places.enter(Standing::Stranger).await.unwrap(), places.enter(Standing::Stranger).await.unwrap());
        drop(both);
    }

    #[tokio::test]
    async fn whoever_gives_up_leaves_the_queue_and_their_place_to_the_next() {
        let (places, held) = full().await;
        let (said, mut heard) = mpsc::unbounded_channel();
        let gone = wait(&places, Standing::Crew, &said).await;
        let stays = wait(&places, Standing::Known, &said).await;
        gone.abort();
        while places.waiting() > 1 {
            tokio::task::yield_now().await;
        }
        drop(held);
        stays.await.unwrap();
        assert_eq!(heard.recv().await, Some(Standing::Known));
        assert_eq!(places.lock().taken, 0);
    }
}
