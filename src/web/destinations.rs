//! Destinations as they are wanted: those of the configuration, shown locked, and those made by admins, kept in the store. What
//! they do at the moment is media's to say.

use std::{
    net::{IpAddr, UdpSocket},
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use axum::{Json, extract::State, http::StatusCode, response::Response};
use rand::RngExt;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::sync::{Mutex, watch};
use url::Url;
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::{
    App,
    audit::By,
    body::{Body, Path, json},
    encoders::rtmp_door,
    problem::{Kind, Problem},
    queue::{Switch, on_or_off},
    rights::{Right, Routes},
    to_the_end,
};
use crate::{
    config::{Config, IngestConfig},
    core::destination::{
        Destination, DestinationId, DestinationInput, DestinationState, DestinationStatus, InvalidDestination,
        fit_together, port_of, redacted,
    },
    ingest::{Door, IngestState},
    media::MediaStatus,
    store::{Change, DestinationRecord, Durability, Store, StoreError},
};

pub(crate) mod bitrate;
pub(crate) mod trial;

/// How long a destination's name may take to be looked up when it is saved. One that is not found is saved nevertheless: the
/// internet may be away for the moment.
const LOOK_UP: Duration = Duration::from_secs(3);

/// Ids of the page's own destinations stay below those of the configuration's.
const CONFIGURED_IDS: u64 = 1 << 52;

/// All destinations, as they are wanted. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Destinations {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    store: Store,
    /// Where encoders publish to: a destination that leads there would be a loop.
    ingest: watch::Receiver<IngestState>,
    ingest_config: IngestConfig,
    all: RwLock<Vec<Destination>>,
    /// Held over a whole change, so that two of them can not both pass a check that only one may pass.
    change: Mutex<()>,
}

impl Destinations {
    /// The configured destinations and the stored ones, in this order, made to fit together (which is said in the log). The caller hands [`Self::all`] to media. `ingest` says where the
    /// box's own front door is.
    pub fn new(
        store: Store,
        config: &Config,
        stored: Vec<DestinationRecord>,
        ingest: watch::Receiver<IngestState>,
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
        let ingest_config = config.ingest.clone();
        let shared = Shared { store, ingest, ingest_config, all: RwLock::new(all), change: Mutex::new(()) };
        Self { shared: Arc::new(shared) }
    }

    /// All of them, keys included.
    pub fn all(&self) -> Vec<Destination> {
        self.shared.all.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// All of them with what they do, without keys.
    pub(crate) fn view(&self, media: &MediaStatus) -> Vec<DestinationView> {
        let all = self.shared.all.read().unwrap_or_else(PoisonError::into_inner);
        all.iter().map(|destination| DestinationView::new(destination, media)).collect()
    }

    /// Adds a destination, durably.
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
        self.save(id, input, &others).await
    }

    /// Edits a destination, durably.
    ///
    /// # Errors
    ///
    /// As [`Self::add`], and that there is no such one or that it is locked.
    pub(crate) async fn edit(&self, id: DestinationId, edit: EditDestination) -> Result<Destination, DestinationError> {
        let _alone = self.shared.change.lock().await;
        let others = self.all();
        let before = editable(&others, id)?.clone();
        let input = DestinationInput {
            name: edit.name.unwrap_or(before.name),
            url: edit.url.unwrap_or_else(|| before.url.to_string()),
            key: edit.key.unwrap_or(before.key),
            enabled: edit.enabled.unwrap_or(before.enabled),
        };
        self.save(id, input, &others).await
    }

    /// Removes a destination, durably.
    ///
    /// # Errors
    ///
    /// That there is no such one, that it is locked, or that it could not be stored.
    pub(crate) async fn remove(&self, id: DestinationId) -> Result<(), DestinationError> {
        let _alone = self.shared.change.lock().await;
        editable(&self.all(), id)?;
        self.shared.store.commit(vec![Change::DeleteDestination(id)], Durability::Durable).await?;
        self.shared.all.write().unwrap_or_else(PoisonError::into_inner).retain(|destination| destination.id != id);
        Ok(())
    }

    async fn save(
        &self,
        id: DestinationId,
        input: DestinationInput,
        others: &[Destination],
    ) -> Result<Destination, DestinationError> {
        let destination = Destination::validate(id, input, false, others)?;
        let door = rtmp_door(&self.shared.ingest.borrow(), &self.shared.ingest_config);
        if leads_to(&destination.url, &door).await {
            return Err(DestinationError::Loop);
        }
        let record = DestinationRecord {
            id,
            name: destination.name.clone(),
            url: destination.url.clone(),
            key: destination.key.clone(),
            enabled: destination.enabled,
            extra: serde_json::Map::new(),
        };
        self.shared.store.commit(vec![Change::PutDestination(record)], Durability::Durable).await?;
        let mut all = self.shared.all.write().unwrap_or_else(PoisonError::into_inner);
        match all.iter_mut().find(|other| other.id == id) {
            Some(place) => *place = destination.clone(),
            None => all.push(destination.clone()),
        }
        Ok(destination)
    }
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
        Door::Port(port) => {
            port_of(url) == *port && addresses(url).await.is_some_and(|found| found.into_iter().any(is_own))
        }
        Door::Elsewhere(server) => {
            let Some(server) = Url::parse(server).ok().filter(|server| port_of(server) == port_of(url)) else {
                return false;
            };
            if server.host_str() == url.host_str() {
                return true;
            }
            let (Some(theirs), Some(ours)) = tokio::join!(addresses(url), addresses(&server)) else {
                return false;
            };
            theirs.iter().any(|address| ours.contains(address))
        }
    }
}

/// The addresses of a URL's host; none when they are not found in time.
async fn addresses(url: &Url) -> Option<Vec<IpAddr>> {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let found = tokio::time::timeout(LOOK_UP, tokio::net::lookup_host((host, port_of(url)))).await.ok()?.ok()?;
    Some(found.map(|address| address.ip().to_canonical()).collect())
}

/// Only an address of this machine can be bound to.
fn is_own(address: IpAddr) -> bool {
    UdpSocket::bind((address, 0)).is_ok()
}

/// Why a destination was not changed.
#[derive(Debug, Error)]
pub(crate) enum DestinationError {
    #[error("no such destination")]
    NotFound,
    #[error("this destination is set by the configuration file; change it there")]
    Locked,
    #[error("this is the box's own ingest; the programme would be sent back to itself")]
    Loop,
    #[error(transparent)]
    Invalid(#[from] InvalidDestination),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<DestinationError> for Problem {
    fn from(error: DestinationError) -> Self {
        let detail = error.to_string();
        match error {
            DestinationError::NotFound => Self::new(Kind::NotFound, detail),
            DestinationError::Locked => Self::new(Kind::Locked, detail),
            DestinationError::Loop => Self::invalid("url", detail),
            DestinationError::Invalid(InvalidDestination { field, reason }) => Self::invalid(field, reason),
            DestinationError::Store(_) => Self::new(Kind::NotStored, detail),
        }
    }
}

/// A destination with what it does, never its key.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct DestinationView {
    /// Its id.
    pub(crate) id: DestinationId,
    /// What people call it.
    pub(crate) name: String,
    /// The server's address without the key.
    pub(crate) url: String,
    /// Whether it takes part in shows.
    pub(crate) enabled: bool,
    /// Whether it is set by the configuration and can not be edited here.
    pub(crate) locked: bool,
    /// What it does, and its figures.
    #[serde(flatten)]
    pub(crate) status: DestinationStatus,
}

impl DestinationView {
    fn new(destination: &Destination, media: &MediaStatus) -> Self {
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
        }
    }
}

pub(crate) fn routes() -> Routes {
    Routes::new()
        .api(Right::Operator, routes!(list))
        .api(Right::Admin, routes!(add))
        .api(Right::Admin, routes!(edit, remove))
        .api(Right::Operator, routes!(set_enabled))
        .merge(bitrate::routes())
        .merge(trial::routes())
}

/// A new destination.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewDestination {
    /// What people call it; unique among destinations.
    name: String,
    /// The server's address without the key: `rtmp://` or `rtmps://`.
    url: String,
    /// The platform's stream key.
    #[schema(value_type = String)]
    key: SecretString,
    /// Whether it takes part in shows.
    #[serde(default = "yes")]
    enabled: bool,
}

const fn yes() -> bool {
    true
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

/// All destinations with what they do.
#[utoipa::path(get, path = "/api/v1/destinations", tag = "destinations",
    responses((status = 200, description = "All destinations", body = Vec<DestinationView>)))]
async fn list(State(app): State<Arc<App>>) -> Json<Vec<DestinationView>> {
    Json(app.state.destinations.view(&app.state.media.status().borrow()))
}

/// Adds a destination.
#[utoipa::path(post, path = "/api/v1/destinations", tag = "destinations", request_body = NewDestination,
    responses((status = 201, description = "Added", body = DestinationView),
        (status = 409, description = "It does not fit beside the others")))]
async fn add(State(app): State<Arc<App>>, by: By, Body(new): Body<NewDestination>) -> Result<Response, Problem> {
    let input = DestinationInput { name: new.name, url: new.url, key: new.key, enabled: new.enabled };
    Ok(json(StatusCode::CREATED, new_destination(&app, &by, input).await?))
}

/// Adds a destination and hands it to media.
pub(crate) async fn new_destination(
    app: &Arc<App>,
    by: &By,
    input: DestinationInput,
) -> Result<DestinationView, Problem> {
    by.did("destination.create", input.name.clone());
    let app = Arc::clone(app);
    to_the_end(async move {
        let destination = app.state.destinations.add(input).await?;
        Ok(put(&app, destination))
    })
    .await
}

/// Edits a destination. One of the configuration can not be edited: 409.
#[utoipa::path(patch, path = "/api/v1/destinations/{id}", tag = "destinations", params(("id" = DestinationId, Path)),
    request_body = EditDestination, responses((status = 200, description = "As it is now", body = DestinationView),
        (status = 409, description = "It is set by the configuration, or does not fit beside the others")))]
async fn edit(
    State(app): State<Arc<App>>,
    by: By,
    Path(id): Path<DestinationId>,
    Body(edit): Body<EditDestination>,
) -> Result<Json<DestinationView>, Problem> {
    change_destination(&app, &by, id, edit).await.map(Json)
}

/// Edits a destination and hands it to media.
pub(crate) async fn change_destination(
    app: &Arc<App>,
    by: &By,
    id: DestinationId,
    edit: EditDestination,
) -> Result<DestinationView, Problem> {
    by.did("destination.edit", name_of(app, id));
    save(app, id, edit).await
}

async fn save(app: &Arc<App>, id: DestinationId, edit: EditDestination) -> Result<DestinationView, Problem> {
    let app = Arc::clone(app);
    to_the_end(async move {
        let destination = app.state.destinations.edit(id, edit).await?;
        Ok(put(&app, destination))
    })
    .await
}

/// Lets a destination take part in shows, or not. One of the configuration can not be switched: 409.
#[utoipa::path(put, path = "/api/v1/destinations/{id}/enabled", tag = "destinations",
    params(("id" = DestinationId, Path)), request_body = Switch,
    responses((status = 200, description = "As it is now", body = DestinationView),
        (status = 409, description = "It does not fit beside the others")))]
async fn set_enabled(
    State(app): State<Arc<App>>,
    by: By,
    Path(id): Path<DestinationId>,
    Body(Switch { on }): Body<Switch>,
) -> Result<Json<DestinationView>, Problem> {
    switch_destination(&app, &by, id, on).await.map(Json)
}

/// Lets a destination take part in shows, or not.
pub(crate) async fn switch_destination(
    app: &Arc<App>,
    by: &By,
    id: DestinationId,
    on: bool,
) -> Result<DestinationView, Problem> {
    by.did("destination.switch", format!("{}: {}", name_of(app, id), on_or_off(on)));
    save(app, id, EditDestination { enabled: Some(on), ..EditDestination::default() }).await
}

/// A destination's name, for the audit log.
fn name_of(app: &App, id: DestinationId) -> String {
    app.state.destinations.all().into_iter().find(|one| one.id == id).map(|one| one.name).unwrap_or_default()
}

/// Hands a destination that is stored to media.
fn put(app: &App, destination: Destination) -> DestinationView {
    let view = DestinationView::new(&destination, &app.state.media.status().borrow());
    app.state.media.put_destination(destination);
    app.live.poke();
    view
}

/// Removes a destination. One of the configuration can not be removed: 409.
#[utoipa::path(delete, path = "/api/v1/destinations/{id}", tag = "destinations", params(("id" = DestinationId, Path)),
    responses((status = 204, description = "Removed"),
        (status = 409, description = "It is set by the configuration")))]
async fn remove(State(app): State<Arc<App>>, by: By, Path(id): Path<DestinationId>) -> Result<StatusCode, Problem> {
    delete_destination(&app, &by, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Removes a destination, from media too.
pub(crate) async fn delete_destination(app: &Arc<App>, by: &By, id: DestinationId) -> Result<(), Problem> {
    by.did("destination.delete", name_of(app, id));
    let app = Arc::clone(app);
    to_the_end(async move {
        app.state.destinations.remove(id).await?;
        app.state.media.remove_destination(id);
        app.live.poke();
        Ok(())
    })
    .await
}
