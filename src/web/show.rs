//! The show: its begin and end, and how everything does.

use std::{collections::BTreeMap, sync::Arc};

use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::{
    App,
    audit::By,
    body::Body,
    destinations::DestinationView,
    health::{Ready, ready_now},
    problem::Problem,
    queue::{Switch, hold_offs_at, on_or_off},
    rights::{Right, Routes},
};
use crate::{
    core::queue::EntryId,
    director::HoldOffView,
    ingest::IngestStatus,
    media::{InputStatus, ProgramStatus},
};

pub(crate) fn routes() -> Routes {
    Routes::new().api(Right::Operator, routes!(show, set_show)).api(Right::Operator, routes!(status))
}

/// Whether a show is on.
#[utoipa::path(get, path = "/api/v1/show", tag = "show", responses((status = 200, description = "The show", body = Switch)))]
async fn show(State(app): State<Arc<App>>) -> Json<Switch> {
    Json(Switch { on: app.state.director.snapshot().borrow().queue.show })
}

/// Begins or ends the show. The end closes the platforms' sessions.
#[utoipa::path(put, path = "/api/v1/show", tag = "show", request_body = Switch,
    responses((status = 200, description = "The show now", body = Switch)))]
async fn set_show(State(app): State<Arc<App>>, by: By, Body(switch): Body<Switch>) -> Result<Json<Switch>, Problem> {
    switch_show(&app, &by, switch.on).await?;
    Ok(Json(switch))
}

/// Begins or ends the show.
pub(crate) async fn switch_show(app: &App, by: &By, on: bool) -> Result<(), Problem> {
    by.did("show", on_or_off(on));
    Ok(app.state.director.set_show(on).await?)
}

/// How everything does.
#[derive(Serialize, ToSchema)]
pub(crate) struct Status {
    /// This program's version.
    version: &'static str,
    /// Seconds since the process started.
    uptime_seconds: u64,
    /// Which parts work.
    ready: Ready,
    /// The front door.
    ingest: IngestStatus,
    /// The programme.
    program: ProgramStatus,
    /// Every open connection.
    inputs: Vec<Input>,
    /// Every destination.
    destinations: Vec<DestinationView>,
    /// Held-off streamers.
    hold_offs: Vec<HoldOffView>,
}

/// An open connection.
#[derive(Serialize, ToSchema)]
struct Input {
    /// The ingest's name for it.
    connection: String,
    /// The entry it belongs to.
    entry: Option<EntryId>,
    /// The streamer.
    name: Option<String>,
    #[serde(flatten)]
    status: InputStatus,
}

/// How everything does at this moment.
pub(crate) fn status_now(app: &App) -> Status {
    let now = app.state.clock.now();
    let snapshot = app.state.director.snapshot().borrow().clone();
    let media = app.state.media.status().borrow().clone();
    let entries = snapshot.queue.on_air.iter().map(|turn| &turn.entry).chain(&snapshot.queue.waiting);
    let names: BTreeMap<_, _> = entries.map(|entry| (entry.id, entry.name.clone())).collect();
    let owners: BTreeMap<_, _> = snapshot.connections.iter().map(|(entry, connection)| (connection, *entry)).collect();
    let mut inputs: Vec<_> = media
        .inputs
        .iter()
        .map(|(connection, status)| {
            let entry = owners.get(connection).copied();
            let name = entry.and_then(|entry| names.get(&entry).cloned());
            Input { connection: connection.to_string(), entry, name, status: status.clone() }
        })
        .collect();
    inputs.sort_by(|a, b| a.connection.cmp(&b.connection));
    Status {
        version: env!("CARGO_PKG_VERSION"),
        uptime_seconds: now.since_start().as_secs(),
        ready: ready_now(app),
        ingest: app.state.ingest.state().borrow().status.clone(),
        program: media.program.clone(),
        inputs,
        destinations: app.state.destinations.view(&media),
        hold_offs: hold_offs_at(&snapshot, now),
    }
}

/// So many waiting connections are measured because somebody looks at all of them: each is pulled from the media server for it.
const MOST_LOOKED_AT: usize = 8;

/// How ingest, inputs, programme and destinations do. Asking has the connections that are next in the queue, up to 8, measured for
/// the next 15 s, also where they only wait.
#[utoipa::path(get, path = "/api/v1/status", tag = "show", responses((status = 200, description = "The status", body = Status)))]
async fn status(State(app): State<Arc<App>>) -> Json<Status> {
    let snapshot = app.state.director.snapshot().borrow().clone();
    let next = snapshot.queue.waiting.iter().filter_map(|entry| snapshot.connections.get(&entry.id));
    for connection in next.take(MOST_LOOKED_AT) {
        app.state.media.look_at(connection);
    }
    Json(status_now(&app))
}
