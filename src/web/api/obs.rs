//! The venue's OBS, for admins: how it does, what it has, its stream, a trial of a connection, and "set it up for me".
//!
//! The API and the page call the same functions here. All of them answer in time, even when OBS does not: what was begun then goes on.

use std::sync::Arc;

use axum::{Json, extract::State, http::StatusCode};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::routes;

use crate::{
    config::ObsConfig,
    control::{
        journal::By,
        obs::{self, ProgramSource, SetUpDone, Trial, Tried},
    },
    obs::{InputInfo, Status, Streaming},
    web::{
        app::App,
        http::{
            body::Body,
            problem::Problem,
            rights::{Right, Routes},
        },
    },
};

pub(crate) fn routes() -> Routes {
    Routes::new()
        .api(Right::Admin, routes!(status))
        .api(Right::Admin, routes!(scenes))
        .api(Right::Admin, routes!(inputs))
        .api(Right::Admin, routes!(reconnect))
        .api(Right::Admin, routes!(start))
        .api(Right::Admin, routes!(stop))
        .api(Right::Admin, routes!(test))
        .api(Right::Admin, routes!(setup))
        .api(Right::Admin, routes!(program))
}

/// How OBS does, and what it is used for.
#[derive(Debug, Serialize, ToSchema)]
struct ObsView {
    #[serde(flatten)]
    status: Status,
    /// `obs.host`.
    host: Option<String>,
    /// `obs.port`.
    port: u16,
    /// Whether a password is set. It is never told.
    password: bool,
    mapping: Mapping,
}

/// The keys of `[obs]` that say what it does; see `docs/obs.md`.
#[derive(Debug, Serialize, ToSchema)]
struct Mapping {
    only_our_scenes: bool,
    scene_on_air: Option<String>,
    scene_slate: Option<String>,
    scene_handover: Option<String>,
    handover_seconds: u64,
    show_on_air: Vec<String>,
    show_next: Vec<String>,
    show_slate: Vec<String>,
    text_streamer: Option<String>,
    text_next: Option<String>,
    text_time: Option<String>,
    restart_at_take: Vec<String>,
    program_source: Option<String>,
    stream: bool,
}

impl From<ObsConfig> for Mapping {
    fn from(config: ObsConfig) -> Self {
        Self {
            only_our_scenes: config.only_our_scenes,
            scene_on_air: config.scene_on_air,
            scene_slate: config.scene_slate,
            scene_handover: config.scene_handover,
            handover_seconds: config.handover_seconds,
            show_on_air: config.show_on_air,
            show_next: config.show_next,
            show_slate: config.show_slate,
            text_streamer: config.text_streamer,
            text_next: config.text_next,
            text_time: config.text_time,
            restart_at_take: config.restart_at_take,
            program_source: config.program_source,
            stream: config.stream,
        }
    }
}

/// How OBS does: the connection, the scene, its stream, what of the mapping cannot be done; and the mapping.
#[utoipa::path(get, path = "/api/v1/obs/status", tag = "obs",
    responses((status = 200, description = "How it does", body = ObsView)))]
async fn status(State(app): State<Arc<App>>) -> Json<ObsView> {
    let status = Status::clone(&app.control.obs_status());
    let config = app.control.config().obs.clone();
    let (host, port, password) = (config.host.clone(), config.port, config.password.is_some());
    Json(ObsView { status, host, port, password, mapping: config.into() })
}

/// The names of OBS's scenes, in its order.
#[utoipa::path(get, path = "/api/v1/obs/scenes", tag = "obs",
    responses((status = 200, description = "The scenes", body = Vec<String>),
        (status = 409, description = "OBS is not connected, refused, or has too many requests waiting")))]
async fn scenes(State(app): State<Arc<App>>) -> Result<Json<Vec<String>>, Problem> {
    Ok(Json(obs::inventory(&app.control).await?.scenes))
}

/// OBS's inputs, and what each can be used for.
#[utoipa::path(get, path = "/api/v1/obs/inputs", tag = "obs",
    responses((status = 200, description = "The inputs", body = Vec<InputInfo>),
        (status = 409, description = "OBS is not connected, refused, or has too many requests waiting")))]
async fn inputs(State(app): State<Arc<App>>) -> Result<Json<Vec<InputInfo>>, Problem> {
    Ok(Json(obs::inventory(&app.control).await?.inputs))
}

/// Tries to connect now instead of after the pause; with a connection, reads OBS anew.
#[utoipa::path(post, path = "/api/v1/obs/reconnect", tag = "obs",
    responses((status = 204, description = "It is tried"), (status = 409, description = "Too many requests wait for OBS")))]
async fn reconnect(State(app): State<Arc<App>>, by: By) -> Result<StatusCode, Problem> {
    obs::connect_anew(&app.control, &by).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What OBS's own stream does now.
#[derive(Debug, Serialize, ToSchema)]
struct StreamView {
    /// Whether a start worked is told by the status.
    streaming: Streaming,
}

/// Starts OBS's own stream. One start at a time: 409 while it starts or stops.
#[utoipa::path(post, path = "/api/v1/obs/stream/start", tag = "obs",
    responses((status = 200, description = "OBS was told", body = StreamView),
        (status = 409, description = "OBS is not connected, refused, or starts or stops just now")))]
async fn start(State(app): State<Arc<App>>, by: By) -> Result<Json<StreamView>, Problem> {
    Ok(Json(StreamView { streaming: obs::stream(&app.control, &by, true).await? }))
}

/// Stops OBS's own stream. The box leaves it alone then until the next show or a start by a person.
#[utoipa::path(post, path = "/api/v1/obs/stream/stop", tag = "obs",
    responses((status = 200, description = "OBS was told", body = StreamView),
        (status = 409, description = "OBS is not connected, refused, or starts or stops just now")))]
async fn stop(State(app): State<Arc<App>>, by: By) -> Result<Json<StreamView>, Problem> {
    Ok(Json(StreamView { streaming: obs::stream(&app.control, &by, false).await? }))
}

/// Tries a connection to an OBS, and changes nothing. Says what is in the way: nothing there, not OBS, a wrong password, too old, still
/// starting, or frozen. Takes 10 s at most; one trial at a time.
#[utoipa::path(post, path = "/api/v1/obs/test", tag = "obs", request_body = Trial,
    responses((status = 200, description = "What was found", body = Tried),
        (status = 409, description = "Another trial runs")))]
async fn test(State(app): State<Arc<App>>, by: By, Body(trial): Body<Trial>) -> Result<Json<Tried>, Problem> {
    Ok(Json(obs::try_out(&app.control, &by, trial).await?))
}

/// Makes scenes and sources for a show in OBS, and writes them into the settings where nothing is set. What exists is left as it is: a
/// second time changes nothing. The programme's source plays with a viewer token of its own.
#[utoipa::path(post, path = "/api/v1/obs/setup", tag = "obs",
    responses((status = 200, description = "What was made", body = SetUpDone),
        (status = 409, description = "OBS is not connected, refused, or has too many requests waiting")))]
async fn setup(State(app): State<Arc<App>>, by: By) -> Result<Json<SetUpDone>, Problem> {
    Ok(Json(obs::set_up(&app.control, &by).await?))
}

/// Points a media source of OBS at the programme, with a viewer token of its own, and notes it as `obs.program_source`.
#[utoipa::path(post, path = "/api/v1/obs/program", tag = "obs", request_body = ProgramSource,
    responses((status = 204, description = "It plays the programme"),
        (status = 409, description = "OBS is not connected or refused, or `obs.program_source` is set where the page cannot change it")))]
async fn program(
    State(app): State<Arc<App>>,
    by: By,
    Body(source): Body<ProgramSource>,
) -> Result<StatusCode, Problem> {
    obs::play(&app.control, &by, source).await?;
    Ok(StatusCode::NO_CONTENT)
}
