//! The venue's OBS, for admins: how it does, what it has, its stream, a trial of a connection, and "set it up for me".
//!
//! The API and the page call the same functions here. All of them answer in time, even when OBS does not: what was begun then goes on.

use std::{
    collections::BTreeMap,
    future::Future,
    net::{IpAddr, SocketAddr, UdpSocket},
    sync::Arc,
    time::Duration,
};

use axum::{Json, extract::State, http::StatusCode};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::{net::lookup_host, time::timeout};
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::{
    App,
    audit::By,
    body::Body,
    hosts::bracketed,
    problem::{Kind, Problem},
    rights::{Right, Routes},
    settings, to_the_end, viewers, with_port,
};
use crate::{
    accounts::Viewer,
    config::ObsConfig,
    obs::{Built, InputInfo, Inventory, Obs, PROGRAMME_INPUT, SetUp, Status, Streaming, Target, Trouble},
};

/// How long an answer waits for OBS: less than any answer may take.
const IN_TIME: Duration = Duration::from_secs(9);

/// How long the name of OBS's machine may take to be looked up.
const LOOK_UP: Duration = Duration::from_secs(2);

/// What the viewer tokens are called that an OBS was given.
const LABEL: &str = "OBS";

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

/// How OBS does: the connection, the scene, its stream, what of the mapping can not be done; and the mapping.
#[utoipa::path(get, path = "/api/v1/obs/status", tag = "obs",
    responses((status = 200, description = "How it does", body = ObsView)))]
async fn status(State(app): State<Arc<App>>) -> Json<ObsView> {
    let status = Status::clone(&app.state.obs.status().borrow());
    let config = app.state.settings.now().obs.clone();
    let (host, port, password) = (config.host.clone(), config.port, config.password.is_some());
    Json(ObsView { status, host, port, password, mapping: config.into() })
}

/// The names of OBS's scenes, in its order.
#[utoipa::path(get, path = "/api/v1/obs/scenes", tag = "obs",
    responses((status = 200, description = "The scenes", body = Vec<String>),
        (status = 409, description = "OBS is not connected, refused, or has too many requests waiting")))]
async fn scenes(State(app): State<Arc<App>>) -> Result<Json<Vec<String>>, Problem> {
    Ok(Json(inventory(&app).await?.scenes))
}

/// OBS's inputs, and what each can be used for.
#[utoipa::path(get, path = "/api/v1/obs/inputs", tag = "obs",
    responses((status = 200, description = "The inputs", body = Vec<InputInfo>),
        (status = 409, description = "OBS is not connected, refused, or has too many requests waiting")))]
async fn inputs(State(app): State<Arc<App>>) -> Result<Json<Vec<InputInfo>>, Problem> {
    Ok(Json(inventory(&app).await?.inputs))
}

/// What OBS has.
///
/// # Errors
/// That it is not connected, or does not answer in time.
pub(crate) async fn inventory(app: &App) -> Result<Inventory, Problem> {
    let obs = app.state.obs.clone();
    in_time(async move { Ok(obs.inventory().await?) }).await
}

/// Does a thing to its end, and waits for that as long as an answer may.
async fn in_time<T: Send + 'static>(
    work: impl Future<Output = Result<T, Problem>> + Send + 'static,
) -> Result<T, Problem> {
    timeout(IN_TIME, to_the_end(work)).await.unwrap_or_else(|_| {
        let detail = "OBS takes its time, and what was asked for may be done yet: look again in a moment";
        Err(Problem::new(Kind::Busy, detail).retry_after(Duration::from_secs(5)))
    })
}

/// Tries to connect now instead of after the pause; with a connection, reads OBS anew.
#[utoipa::path(post, path = "/api/v1/obs/reconnect", tag = "obs",
    responses((status = 204, description = "It is tried"), (status = 409, description = "Too many requests wait for OBS")))]
async fn reconnect(State(app): State<Arc<App>>, by: By) -> Result<StatusCode, Problem> {
    connect_anew(&app, &by).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Tries to connect now; with a connection, reads OBS anew.
pub(crate) async fn connect_anew(app: &App, by: &By) -> Result<(), Problem> {
    by.did("obs.reconnect", "");
    let obs = app.state.obs.clone();
    in_time(async move { Ok(obs.reconnect().await?) }).await
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
    Ok(Json(StreamView { streaming: stream(&app, &by, true).await? }))
}

/// Stops OBS's own stream. The box leaves it alone then until the next show or a start by a person.
#[utoipa::path(post, path = "/api/v1/obs/stream/stop", tag = "obs",
    responses((status = 200, description = "OBS was told", body = StreamView),
        (status = 409, description = "OBS is not connected, refused, or starts or stops just now")))]
async fn stop(State(app): State<Arc<App>>, by: By) -> Result<Json<StreamView>, Problem> {
    Ok(Json(StreamView { streaming: stream(&app, &by, false).await? }))
}

/// Starts or stops OBS's own stream.
///
/// # Errors
/// That it is not connected, refuses, or starts or stops just now.
pub(crate) async fn stream(app: &App, by: &By, on: bool) -> Result<Streaming, Problem> {
    by.did("obs.stream", if on { "start" } else { "stop" });
    let obs = app.state.obs.clone();
    in_time(async move { Ok(obs.stream(on).await?) }).await
}

/// Where an OBS may be.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = ObsTrial)]
#[serde(deny_unknown_fields)]
pub(crate) struct Trial {
    /// A name or an address.
    pub(crate) host: String,
    /// The port of its websocket server.
    pub(crate) port: u16,
    /// Its password. Without one, that of the settings if the host is the one that is set there.
    #[schema(value_type = Option<String>)]
    pub(crate) password: Option<SecretString>,
}

/// What a trial of a connection found.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Tried {
    /// OBS's version, if it works.
    pub(crate) version: Option<String>,
    /// What is in the way, if it does not.
    pub(crate) trouble: Option<Trouble>,
    /// The same in words, with a next step.
    pub(crate) message: String,
}

/// Tries a connection to an OBS, and changes nothing. Says what is in the way: nothing there, not OBS, a wrong password, too old, still
/// starting, or frozen. Takes 10 s at most; one trial at a time.
#[utoipa::path(post, path = "/api/v1/obs/test", tag = "obs", request_body = Trial,
    responses((status = 200, description = "What was found", body = Tried),
        (status = 409, description = "Another trial runs")))]
async fn test(State(app): State<Arc<App>>, by: By, Body(trial): Body<Trial>) -> Result<Json<Tried>, Problem> {
    try_out(&app, &by, trial).await.map(Json)
}

/// Tries a connection out.
///
/// # Errors
/// An address that can be none, or that another trial runs.
pub(crate) async fn try_out(app: &App, by: &By, trial: Trial) -> Result<Tried, Problem> {
    let host = trial.host.trim().to_owned();
    by.did("obs.test", format!("{}:{}", host.chars().take(100).collect::<String>(), trial.port));
    if host.is_empty() || host.len() > 253 || host.contains(|c: char| c.is_control() || c.is_whitespace()) {
        return Err(Problem::invalid("host", "write a name or an address, such as 10.0.0.7"));
    }
    if trial.port == 0 {
        return Err(Problem::invalid("port", "write a port from 1 to 65535"));
    }
    let Ok(_alone) = app.obs_trial.try_lock() else {
        let other = "another connection is being tried out; wait until that is done";
        return Err(Problem::new(Kind::Refused, other).retry_after(Duration::from_secs(5)));
    };
    let set = app.state.settings.now();
    // Only to where it belongs: whoever may try any address would have it sent to any.
    let kept = set.obs.password.clone().filter(|_| set.obs.host.as_deref() == Some(host.as_str()));
    // An empty one is none.
    let password = trial.password.or(kept).filter(|password| !password.expose_secret().is_empty());
    let target = Target { host, port: trial.port, password };
    let found = timeout(IN_TIME, Obs::try_out(&target)).await.unwrap_or(Err(Trouble::Frozen));
    Ok(match found {
        Ok(version) => {
            let message = format!("OBS {version} answers there, and takes the password");
            Tried { message, version: Some(version), trouble: None }
        }
        Err(trouble) => Tried { version: None, message: trouble.to_string(), trouble: Some(trouble) },
    })
}

/// What "set it up for me" did.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SetUpDone {
    #[serde(flatten)]
    pub(crate) built: Built,
    /// The settings that were written: those that nobody had set.
    pub(crate) set: Vec<String>,
}

/// Makes scenes and sources for a show in OBS, and writes them into the settings where nothing is set. What exists is left as it is: a
/// second time changes nothing. The programme's source plays with a viewer token of its own.
#[utoipa::path(post, path = "/api/v1/obs/setup", tag = "obs",
    responses((status = 200, description = "What was made", body = SetUpDone),
        (status = 409, description = "OBS is not connected, refused, or has too many requests waiting")))]
async fn setup(State(app): State<Arc<App>>, by: By) -> Result<Json<SetUpDone>, Problem> {
    set_up(&app, &by).await.map(Json)
}

/// Sets OBS up.
///
/// # Errors
/// That it is not connected or refuses, or that the settings can not be written.
pub(crate) async fn set_up(app: &Arc<App>, by: &By) -> Result<SetUpDone, Problem> {
    by.did("obs.setup", "");
    let (app, words) = (Arc::clone(app), by.clone());
    let done = in_time(async move {
        let origin = reached_from(&app).await?;
        let there = has_programme(&app.state.obs.inventory().await?);
        // What is there keeps its own address, so that nothing has to be able to watch.
        let viewer = if there { None } else { Some(make_viewer(&app).await?) };
        let path = viewer.as_ref().map(|(_, token)| viewers::path(token.expose_secret()));
        let wanted = SetUp {
            programme: SecretString::from(format!("{origin}{}", path.as_deref().unwrap_or("/program.flv"))),
            queue: format!("{origin}/queue-list"),
            timer: format!("{origin}/timer-page?align=right"),
            now: format!("{origin}/now-page?valign=bottom"),
        };
        let built = app.state.obs.set_up(wanted).await;
        if let Some((viewer, _)) = viewer {
            let used = match &built {
                Ok(built) => built.made.iter().any(|made| made == PROGRAMME_INPUT),
                // It may have come that far.
                Err(_) => app.state.obs.inventory().await.is_ok_and(|now| has_programme(&now)),
            };
            if !used {
                revoke(&app, &viewer).await;
            }
        }
        let built = built?;
        let set = write_mapping(&app, &built.mapping).await?;
        words.did("obs.setup", format!("{} made; settings: {}", built.made.len(), set.join(", ")));
        Ok(SetUpDone { built, set })
    });
    done.await
}

fn has_programme(inventory: &Inventory) -> bool {
    inventory.inputs.iter().any(|input| input.name == PROGRAMME_INPUT)
}

/// Writes keys of `[obs]` into the settings where nobody has set them; gives those.
async fn write_mapping(app: &Arc<App>, mapping: &BTreeMap<String, Value>) -> Result<Vec<String>, Problem> {
    let view = app.state.settings.view();
    let unset: BTreeMap<_, _> = mapping
        .iter()
        .map(|(key, value)| (format!("obs.{key}"), value.clone()))
        .filter(|(key, _)| {
            let setting = view.iter().find(|setting| setting.key == key);
            setting.is_some_and(|setting| setting.value == setting.default && setting.locked.is_none())
        })
        .collect();
    let keys: Vec<_> = unset.keys().cloned().collect();
    if !keys.is_empty() {
        settings::change(app, unset).await?;
    }
    Ok(keys)
}

/// Which source is to play the programme.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProgramSource {
    /// The name of a media source in OBS.
    pub(crate) input: String,
}

/// Points a media source of OBS at the programme, with a viewer token of its own, and notes it as `obs.program_source`.
#[utoipa::path(post, path = "/api/v1/obs/program", tag = "obs", request_body = ProgramSource,
    responses((status = 204, description = "It plays the programme"),
        (status = 409, description = "OBS is not connected or refused, or `obs.program_source` is set where the page can not change it")))]
async fn program(
    State(app): State<Arc<App>>,
    by: By,
    Body(source): Body<ProgramSource>,
) -> Result<StatusCode, Problem> {
    play(&app, &by, source).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Points a media source at the programme.
///
/// # Errors
/// That OBS is not connected or refuses, or that the setting can not be written.
pub(crate) async fn play(app: &Arc<App>, by: &By, source: ProgramSource) -> Result<(), Problem> {
    let input = source.input;
    by.did("obs.program", input.chars().take(100).collect::<String>());
    if input.is_empty() {
        return Err(Problem::invalid("input", "choose a media source of OBS"));
    }
    let app = Arc::clone(app);
    in_time(async move {
        let edits = BTreeMap::from([("obs.program_source".to_owned(), Value::from(input.as_str()))]);
        let same = app.state.settings.now().obs.program_source.as_deref() == Some(input.as_str());
        if !same {
            // Before a token is made and OBS is touched: whether it can be written at all.
            settings::propose(&app, edits.clone(), false).await?;
        }
        let origin = reached_from(&app).await?;
        let (viewer, token) = make_viewer(&app).await?;
        let address = SecretString::from(format!("{origin}{}", viewers::path(token.expose_secret())));
        if let Err(error) = app.state.obs.play_programme(&input, &address).await {
            revoke(&app, &viewer).await;
            return Err(error.into());
        }
        if !same {
            settings::change(&app, edits).await?;
        }
        Ok(())
    })
    .await
}

async fn make_viewer(app: &App) -> Result<(Viewer, SecretString), Problem> {
    Ok(app.state.accounts.viewers().create(LABEL).await?)
}

/// Nobody plays with it.
async fn revoke(app: &App, viewer: &Viewer) {
    if let Err(error) = app.state.accounts.viewers().revoke(viewer.id).await {
        tracing::warn!(%error, "a viewer token that nobody uses could not be revoked");
    }
    app.players.end(viewer.id);
}

/// The beginning of the addresses by which OBS reaches this box: that of the route towards it, and the plain page's port.
async fn reached_from(app: &App) -> Result<String, Problem> {
    let set = app.state.settings.now();
    let Some(host) = set.obs.host.as_deref() else {
        return Err(Problem::new(Kind::NoObs, "no OBS is set: write where it is first (obs.host)"));
    };
    let unknown = || Problem::new(Kind::NoObs, format!("this box finds no way to {host}: is the address right?"));
    let listen = app.state.config.web.listen.ip();
    if !listen.is_unspecified() {
        return Ok(origin(listen, app.doors.plain));
    }
    let found = timeout(LOOK_UP, lookup_host((host.trim_matches(['[', ']']), set.obs.port))).await;
    let found: Vec<SocketAddr> = found.map_err(|_| unknown())?.map_err(|_| unknown())?.collect();
    // A page that listens on IPv4 alone is reached by that alone.
    let mut served = found.iter().filter(|address| listen.is_ipv6() || address.is_ipv4());
    let own = served.find_map(|address| own_address_towards(*address)).ok_or_else(unknown)?;
    Ok(origin(own, app.doors.plain))
}

fn origin(address: IpAddr, port: u16) -> String {
    let host = bracketed(address.to_canonical());
    format!("http://{}", with_port(&host, port, 80))
}

/// This machine's address on the way there. Sends nothing: connecting a datagram socket only looks the route up.
fn own_address_towards(address: SocketAddr) -> Option<IpAddr> {
    let any: SocketAddr =
        if address.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { (std::net::Ipv6Addr::UNSPECIFIED, 0).into() };
    let socket = UdpSocket::bind(any).ok()?;
    socket.connect(address).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn obs_on_this_machine_reaches_the_box_by_loopback() {
        let towards = |address: &str| own_address_towards(address.parse().unwrap());
        assert_eq!(towards("127.0.0.1:4455"), Some([127, 0, 0, 1].into()));
    }

    #[test]
    fn origin_has_a_port_only_where_it_is_not_the_usual_one_and_brackets_where_they_are_needed() {
        for (address, port, wanted) in [
            ("10.0.0.7", 8080, "http://10.0.0.7:8080"),
            ("10.0.0.7", 80, "http://10.0.0.7"),
            ("fd00::7", 8080, "http://[fd00::7]:8080"),
            ("::ffff:10.0.0.7", 80, "http://10.0.0.7"),
        ] {
            assert_eq!(origin(address.parse().unwrap(), port), wanted);
        }
    }
}
