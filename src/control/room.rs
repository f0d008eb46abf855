//! The control room itself: the handles of every part of the box, and what is held over a change in several steps.

use std::{
    future::Future,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use tokio::{sync::Mutex, time::sleep};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::{
    addresses::Doors,
    denied::Denied,
    destinations::{bitrate::Bitrates, wanted::Destinations},
    figures::Measured,
    limits::Limits,
    machine_key::MachineKey,
    news::{Heard, News, Wire},
    players::Players,
    readiness::Readiness,
    sessions::Sessions,
    stills::Stills,
    whip::WhipSessions,
};
use crate::{
    accounts::{Account, Accounts},
    clock::Clock,
    config::Settings,
    director::Director,
    ingest::Ingest,
    media::Media,
    network::Network,
    obs::Obs,
    store::Store,
    telemetry::RecentEvents,
    update::Updates,
};

/// What the control room is built from.
#[derive(Clone)]
pub struct Parts {
    /// The configuration in force, and changes of it.
    pub settings: Settings,
    /// The process's clock.
    pub clock: Clock,
    /// Accounts, keys, viewer tokens.
    pub accounts: Accounts,
    /// Takes orders about the queue, and tells how it stands.
    pub director: Director,
    /// The programme, the inputs' pictures, the destinations' state.
    pub media: Media,
    /// For history and the audit log.
    pub store: Store,
    /// Who is signed in.
    pub sessions: Sessions,
    /// All destinations as they are wanted.
    pub destinations: Destinations,
    /// Which parts of the box work.
    pub readiness: Readiness,
    /// The front door, for its state and for WebRTC.
    pub ingest: Ingest,
    /// The venue's OBS.
    pub obs: Obs,
    /// The network, where NetworkManager has it.
    pub network: Network,
    /// The latest events of the log.
    pub recent: RecentEvents,
    /// What only the machine can do: updates, a restart, a reset.
    pub updates: Updates,
    /// Where what happened is told.
    pub wire: Wire,
    /// By which ports and with which certificate the page is reached.
    pub doors: Doors,
    /// What programs on this machine show.
    pub machine: MachineKey,
    /// Cancelled when the box stops.
    pub stop: CancellationToken,
}

/// The handle. Cheap to clone. Orders are functions of the modules beside this one; what is here only looks.
#[derive(Clone)]
pub struct Control {
    room: Arc<Room>,
}

/// Everything in the room. Only the room's own modules reach the parts: nobody else gives orders past them.
pub(super) struct Room {
    pub(super) parts: Parts,
    pub(super) limits: Limits,
    pub(super) players: Players,
    pub(super) measured: Measured,
    pub(super) bitrates: Bitrates,
    pub(super) whip: WhipSessions,
    /// Held over a whole change of the settings, from its check on.
    pub(super) settings_turn: Mutex<()>,
    /// Held while a destination is tried out: one at a time.
    pub(super) trial: Mutex<()>,
    /// Held while a connection to an OBS is tried out: one at a time.
    pub(super) obs_trial: Mutex<()>,
    /// How many slates were asked for: the last one counts.
    pub(super) slates: AtomicU64,
    /// The slate as people look at it.
    pub(super) stills: Stills,
    /// Held by what takes a good part of the memory, or of a core, for a moment: one at a time.
    pub(super) heavy: Arc<Mutex<()>>,
}

impl Control {
    /// Opens the control room. What follows the news does so from [`Self::run`] on.
    pub fn new(parts: Parts) -> Self {
        let room = Room {
            limits: Limits::new(),
            players: Players::default(),
            measured: Measured::default(),
            bitrates: Bitrates::default(),
            whip: WhipSessions::default(),
            settings_turn: Mutex::default(),
            trial: Mutex::default(),
            obs_trial: Mutex::default(),
            slates: AtomicU64::new(0),
            stills: Stills::default(),
            heavy: Arc::default(),
            parts,
        };
        Self { room: Arc::new(room) }
    }

    /// Follows the news for the parts that cannot do so themselves, and clears out what is expired, until the box stops.
    pub async fn run(&self) {
        tokio::select! {
            () = self.parts().stop.cancelled() => {}
            () = self.bring_names() => {}
            () = self.follow_obs() => {}
            () = self.follow_network() => {}
            () = self.follow_storing() => {}
            () = self.room().bitrates.keep(self.parts().media.status()) => {}
            () = self.keep_house() => {}
        }
    }

    /// Names in the queue's snapshots are as of then: a new one is no event of the queue.
    async fn bring_names(&self) {
        let mut news = self.parts().wire.follow();
        while let Some(heard) = news.next().await {
            if matches!(heard, Heard::Missed | Heard::News(News::AccountRenamed(_))) {
                self.parts().director.look_again();
            }
        }
    }

    /// What OBS does is seldom news, and is told as other such changes are.
    async fn follow_obs(&self) {
        let mut status = self.parts().obs.status();
        while status.changed().await.is_ok() {
            self.tell(News::ObsChanged);
        }
        // The adapter is gone: the box stops.
        std::future::pending::<()>().await;
    }

    /// So are networks.
    async fn follow_network(&self) {
        let mut snapshot = self.parts().network.snapshot();
        while snapshot.changed().await.is_ok() {
            self.tell(News::NetworkChanged);
        }
        std::future::pending::<()>().await;
    }

    /// Clears out what is expired.
    async fn keep_house(&self) {
        let mut minutes: u64 = 0;
        loop {
            sleep(Duration::from_mins(1)).await;
            self.room().limits.forget_the_quiet();
            self.room().whip.retain(|account| self.parts().accounts.get(account).is_some());
            // Sessions last for days: once an hour is enough, and spares the disk.
            minutes += 1;
            if minutes.is_multiple_of(60) {
                self.parts().sessions.delete_expired();
            }
        }
    }

    pub(super) fn parts(&self) -> &Parts {
        &self.room.parts
    }

    pub(super) fn room(&self) -> &Room {
        &self.room
    }

    pub(super) fn tell(&self, news: News) {
        self.parts().wire.tell(news);
    }

    /// Tells what an edit of an account changed.
    pub(super) fn tell_edited(&self, before: Option<&Account>, now: &Account) {
        if before.is_none_or(|before| before.name != now.name) {
            self.tell(News::AccountRenamed(now.id));
        }
        self.tell(News::AccountChanged(now.id));
    }
}

/// Does a change in several steps to its end, even when whoever asked for it goes away meanwhile: an account that is disabled must not
/// keep its connection because a browser was closed in between.
///
/// # Errors
/// Those of the change, and that it broke off.
pub(crate) async fn to_the_end<T: Send + 'static, E: From<Denied> + Send + 'static>(
    change: impl Future<Output = Result<T, E>> + Send + 'static,
) -> Result<T, E> {
    match tokio::spawn(change.in_current_span()).await {
        Ok(done) => done,
        Err(_) => Err(Denied::BrokenOff.into()),
    }
}
