//! Destinations as they are wanted: those of the configuration, shown locked, and those made by admins, kept in the store. What
//! they do at the moment is media's to say.

use std::{
    collections::HashMap,
    net::{IpAddr, UdpSocket},
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard},
    time::Duration,
};

use rand::RngExt;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::sync::{Mutex, watch};
use url::Url;
use utoipa::ToSchema;

use crate::{
    config::{Config, IngestConfig},
    control::{
        addresses::rtmp_door,
        news::{News, Wire},
    },
    core::destination::{
        Destination, DestinationId, DestinationInput, DestinationState, DestinationStatus, InvalidDestination,
        OwnIngest, fit_together, is_own, port_of, redacted,
    },
    director::Snapshot,
    ingest::{Door, IngestState},
    media::{Media, MediaStatus},
    store::{Change, DestinationRecord, Durability, Receipt, Store, StoreError},
};

/// How long a destination's name may take to be looked up when it is saved. One that is not found is saved nevertheless: the
/// internet may be away for the moment.
const LOOK_UP: Duration = Duration::from_secs(3);

/// Ids of the page's own destinations stay below those of the configuration's.
const CONFIGURED_IDS: u64 = 1 << 52;

/// All destinations, as they are wanted. Cheap to clone.
#[derive(Clone)]
pub struct Destinations {
    shared: Arc<Shared>,
}

struct Shared {
    store: Store,
    /// Where encoders publish to: a destination that leads there would be a loop.
    ingest: watch::Receiver<IngestState>,
    ingest_config: IngestConfig,
    media: Media,
    wire: Wire,
    /// Held for a moment at a time, in which media and store hear of a change too: in the order in which memory does.
    wanted: RwLock<Wanted>,
    /// Held over a whole change, until media was told: two of them cannot both pass a check that only one may pass. Taken before `wanted`.
    /// [`Destinations::switch_off`] does not take it, and each change looks afterwards whether its destination was switched off meanwhile.
    change: Mutex<()>,
}

struct Wanted {
    all: Vec<Destination>,
    /// How often each was switched off by this process: so a change that was asked for before that knows that it came later.
    offs: HashMap<DestinationId, u64>,
}

impl Wanted {
    fn offs(&self, id: DestinationId) -> u64 {
        self.offs.get(&id).copied().unwrap_or_default()
    }
}

impl Destinations {
    /// The configured destinations and the stored ones, in this order, made to fit together (which is said in the log), and handed to
    /// media. `ingest` says where the box's own front door is.
    pub fn new(
        store: Store,
        config: &Config,
        stored: Vec<DestinationRecord>,
        ingest: watch::Receiver<IngestState>,
        media: Media,
        wire: Wire,
    ) -> Self {
        let stored = stored.into_iter().map(|record| Destination {
            id: record.id,
            name: record.name,
            url: record.url,
            key: record.key,
            enabled: record.enabled,
            locked: false,
        });
        let (all, told) = fit_together(config.locked_destinations(), stored.collect());
        for (destination, problem) in told {
            tracing::warn!(destination, problem, "stored destination does not fit beside the others");
        }
        for destination in &all {
            media.put_destination(destination.clone());
        }
        let ingest_config = config.ingest.clone();
        let wanted = Wanted { all, offs: HashMap::new() };
        let shared =
            Shared { store, ingest, ingest_config, media, wire, wanted: RwLock::new(wanted), change: Mutex::new(()) };
        Self { shared: Arc::new(shared) }
    }

    /// All of them, keys included.
    pub fn all(&self) -> Vec<Destination> {
        self.shared.wanted().all.clone()
    }

    /// All of them with what they do, without keys.
    pub(crate) fn view(&self, media: &MediaStatus, snapshot: &Snapshot) -> Vec<DestinationView> {
        let on_air = snapshot.queue.on_air.as_ref().map_or("whoever is on air", |turn| &turn.entry.name);
        let view = |destination| {
            let mut view = DestinationView::new(destination, media);
            view.waits_for = view.status.waits_for_key_frame.then(|| format!("waits for a key frame of {on_air}"));
            view
        };
        self.shared.wanted().all.iter().map(view).collect()
    }

    /// Adds a destination, durably, and hands it to media.
    ///
    /// # Errors
    ///
    /// What is wrong with it, or that it could not be stored; then nothing has changed.
    pub(crate) async fn add(&self, input: DestinationInput) -> Result<Destination, DestinationError> {
        let _alone = self.shared.change.lock().await;
        let others = self.all();
        let id = loop {
            let id = DestinationId(rand::rng().random_range(1..CONFIGURED_IDS));
            if others.iter().all(|other| other.id != id) {
                break id;
            }
        };
        self.save(id, input, &others, 0).await
    }

    /// Edits a destination, durably, and hands it to media.
    ///
    /// # Errors
    ///
    /// As [`Self::add`], and that there is no such one or that it is locked.
    pub(crate) async fn edit(&self, id: DestinationId, edit: EditDestination) -> Result<Destination, DestinationError> {
        let asked = self.shared.wanted().offs(id);
        let _alone = self.shared.change.lock().await;
        let others = self.all();
        let before = editable(&others, id)?.clone();
        let input = DestinationInput {
            name: edit.name.unwrap_or(before.name),
            url: edit.url.unwrap_or_else(|| before.url.to_string()),
            key: edit.key.unwrap_or(before.key),
            enabled: edit.enabled.unwrap_or(before.enabled),
        };
        self.save(id, input, &others, asked).await
    }

    /// Switches a destination off at once: media is told, and the disk as soon as possible. Waits for no disk, and for no change that does.
    ///
    /// # Errors
    ///
    /// That there is no such one, or that it is locked.
    pub(crate) fn switch_off(&self, id: DestinationId) -> Result<(Destination, Receipt), DestinationError> {
        let switched = self.shared.write(|wanted| {
            editable(&wanted.all, id)?;
            *wanted.offs.entry(id).or_default() += 1;
            let one = wanted.all.iter_mut().find(|one| one.id == id).ok_or(DestinationError::NotFound)?;
            let changes =
                if one.enabled { vec![put(&Destination { enabled: false, ..one.clone() })] } else { Vec::new() };
            one.enabled = false;
            self.shared.media.put_destination(one.clone());
            Ok::<_, DestinationError>((one.clone(), self.shared.store.commit_soon(changes)))
        })?;
        self.shared.wire.tell(News::DestinationPut(id));
        Ok(switched)
    }

    /// Removes a destination, durably, from media too.
    ///
    /// # Errors
    ///
    /// That there is no such one, that it is locked, or that it could not be stored.
    pub(crate) async fn remove(&self, id: DestinationId) -> Result<(), DestinationError> {
        let _alone = self.shared.change.lock().await;
        let mut offs = {
            let wanted = self.shared.wanted();
            editable(&wanted.all, id)?;
            wanted.offs(id)
        };
        self.shared.store.commit(vec![Change::DeleteDestination(id)], Durability::Durable).await?;
        loop {
            let switched_off = self.shared.write(|wanted| {
                let now = wanted.offs(id);
                if now == offs {
                    wanted.all.retain(|destination| destination.id != id);
                    wanted.offs.remove(&id);
                    self.shared.media.remove_destination(id);
                }
                (now != offs).then_some(now)
            });
            let Some(now) = switched_off else { break };
            // That has written it once more.
            self.commit_or_keep(id, Change::DeleteDestination(id)).await?;
            offs = now;
        }
        self.shared.wire.tell(News::DestinationGone(id));
        Ok(())
    }

    /// `asked`: how often it had been switched off when this was asked for.
    async fn save(
        &self,
        id: DestinationId,
        input: DestinationInput,
        others: &[Destination],
        asked: u64,
    ) -> Result<Destination, DestinationError> {
        let mut destination = Destination::validate(id, input, false, others)?;
        let door = rtmp_door(&self.shared.ingest.borrow(), &self.shared.ingest_config);
        if leads_to(&destination.url, &door).await {
            return Err(DestinationError::Loop);
        }
        let mut offs = self.shared.wanted().offs(id);
        destination.enabled &= offs == asked;
        self.shared.store.commit(vec![put(&destination)], Durability::Durable).await?;
        loop {
            let switched_off = self.shared.write(|wanted| {
                let now = wanted.offs(id);
                if now != offs {
                    return Some(now);
                }
                match wanted.all.iter_mut().find(|other| other.id == id) {
                    Some(place) => *place = destination.clone(),
                    None => wanted.all.push(destination.clone()),
                }
                self.shared.media.put_destination(destination.clone());
                None
            });
            let Some(now) = switched_off else { break };
            // It stays off: that was ordered later.
            destination.enabled = false;
            self.commit_or_keep(id, put(&destination)).await?;
            offs = now;
        }
        self.shared.wire.tell(News::DestinationPut(id));
        Ok(destination)
    }

    /// Commits what takes the place of a change that is stored already; or, if that fails, has the disk follow memory.
    async fn commit_or_keep(&self, id: DestinationId, change: Change) -> Result<(), DestinationError> {
        let done = self.shared.store.commit(vec![change], Durability::Durable).await;
        if done.is_err() {
            let now = self.shared.wanted();
            self.shared.store.commit_soon(now.all.iter().filter(|one| one.id == id).map(put).collect());
        }
        Ok(done?)
    }
}

impl Shared {
    fn wanted(&self) -> RwLockReadGuard<'_, Wanted> {
        self.wanted.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write<T>(&self, change: impl FnOnce(&mut Wanted) -> T) -> T {
        change(&mut self.wanted.write().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A destination's row.
fn put(destination: &Destination) -> Change {
    Change::PutDestination(DestinationRecord {
        id: destination.id,
        name: destination.name.clone(),
        url: destination.url.clone(),
        key: destination.key.clone(),
        enabled: destination.enabled,
        extra: serde_json::Map::new(),
    })
}

fn editable(all: &[Destination], id: DestinationId) -> Result<&Destination, DestinationError> {
    match all.iter().find(|destination| destination.id == id) {
        None => Err(DestinationError::NotFound),
        Some(destination) if destination.locked => Err(DestinationError::Locked),
        Some(destination) => Ok(destination),
    }
}

/// Whether the programme would be sent to the box's own ingest.
async fn leads_to(url: &Url, door: &Door) -> bool {
    match door {
        Door::Port(port) => match OwnIngest::Port(*port).is_at(url) {
            Some(told) => told,
            None => addresses(url).await.is_some_and(|found| found.into_iter().any(is_here)),
        },
        Door::Elsewhere(server) => {
            let Ok(server) = Url::parse(server) else { return false };
            if let Some(told) = OwnIngest::Server(&server).is_at(url) {
                return told;
            }
            let (Some(theirs), Some(ours)) = tokio::join!(addresses(url), addresses(&server)) else {
                return false;
            };
            theirs.iter().any(|address| is_own(*address, &ours))
        }
    }
}

/// The addresses of a URL's host; none when they are not found in time.
async fn addresses(url: &Url) -> Option<Vec<IpAddr>> {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let found = tokio::time::timeout(LOOK_UP, tokio::net::lookup_host((host, port_of(url)?))).await.ok()?.ok()?;
    Some(found.map(|address| address.ip().to_canonical()).collect())
}

/// Only an address of this machine can be bound to.
fn is_here(address: IpAddr) -> bool {
    UdpSocket::bind((address, 0)).is_ok()
}

/// Why a destination was not changed.
#[derive(Debug, Error)]
pub enum DestinationError {
    /// There is no such one.
    #[error("no such destination")]
    NotFound,
    /// It can be changed elsewhere only.
    #[error("this destination is set by the configuration file; change it there")]
    Locked,
    /// The programme would come back in.
    #[error("this is the box's own ingest; the programme would be sent back to itself")]
    Loop,
    /// What is wrong with it.
    #[error(transparent)]
    Invalid(#[from] InvalidDestination),
    /// It could not be stored.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A destination with what it does, never its key.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct DestinationView {
    /// Its id.
    pub(crate) id: DestinationId,
    /// What people call it.
    pub(crate) name: String,
    /// The server's address without the key.
    pub(crate) url: String,
    /// Whether it takes part in shows.
    pub(crate) enabled: bool,
    /// Whether it is set by the configuration and cannot be edited here.
    pub(crate) locked: bool,
    /// What it does, and its figures.
    #[serde(flatten)]
    pub(crate) status: DestinationStatus,
    /// What is waited for while it is connected and only sound is sent.
    pub(crate) waits_for: Option<String>,
}

impl DestinationView {
    pub(crate) fn new(destination: &Destination, media: &MediaStatus) -> Self {
        let at_first = if destination.enabled { DestinationState::WaitingForShow } else { DestinationState::Disabled };
        Self {
            id: destination.id,
            name: destination.name.clone(),
            url: redacted(&destination.url),
            enabled: destination.enabled,
            locked: destination.locked,
            // Media publishes its look twice a second: a new destination may not be in it yet.
            status: media
                .destinations
                .get(&destination.id)
                .cloned()
                .unwrap_or_else(|| DestinationStatus::new(at_first)),
            waits_for: None,
        }
    }
}

/// An edit; what is absent stays.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EditDestination {
    /// A new name.
    pub(crate) name: Option<String>,
    /// A new address.
    pub(crate) url: Option<String>,
    /// A new key.
    #[schema(value_type = Option<String>)]
    pub(crate) key: Option<SecretString>,
    /// Whether it takes part in shows.
    pub(crate) enabled: Option<bool>,
}
