//! The connection to one OBS: obws with a time-out around every call, and its failures told apart.
//!
//! Requests are made one after another, never two at once: what is written to a frozen OBS is carried out when it thaws, so at most one
//! stale request can wait there. A time-out ends the connection.

use std::{
    collections::{BTreeMap, BTreeSet},
    error::Error as StdError,
    io,
    net::Ipv4Addr,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use obws::{
    Client,
    client::{ConnectConfig, DangerousConnectConfig, HandshakeError},
    common::{Alignment, BoundsType, MediaAction},
    error::Error,
    events::EventStream,
    requests::{
        EventSubscription,
        inputs::{Create, InputId, SetSettings},
        scene_items::{Bounds, CreateSceneItem, Position, SceneItemTransform, SetEnabled, SetTransform},
        scenes::SceneId,
        sources::SourceId,
    },
    responses::StatusCode,
};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use tokio::{net::TcpStream, time::timeout};

use super::{
    InputInfo, InputRole, Inventory, Target, Trouble,
    plan::{self, Item, Seen, Step},
    relay::Relay,
};
use crate::config::ObsConfig;

/// How long TCP, the upgrade and the greeting may take together. obws itself waits 5 s for the greeting.
const CONNECT: Duration = Duration::from_secs(4);
/// How long any other answer may take. Longer than a scene with many sources blocks OBS, shorter than people wait.
const ANSWER: Duration = Duration::from_millis(2500);
/// Requests that make OBS build something block it for longer.
const BUILD: Duration = Duration::from_secs(10);
/// Events that wait while a request is under way; of more, the oldest are lost, and all is read anew. A show makes a few; a scene collection
/// with hundreds of sources is read in one burst. What they may weigh in all is the relay's.
const EVENTS: usize = 4096;
/// More than that of any of these is no venue's OBS.
const SCENES: usize = 5000;
const INPUTS: usize = 10_000;
/// Items of one scene, and of the sources that are looked after in all scenes: each of these costs a request.
const ITEMS: usize = 5000;
const OURS: usize = 500;
/// Characters of a reason of OBS's that are shown and logged.
const SAID: usize = 200;
/// Addresses where an OBS once answered: what is silent there later is a frozen OBS.
const KNOWN: usize = 64;

static ANSWERED: Mutex<BTreeSet<(String, u16)>> = Mutex::new(BTreeSet::new());

/// Why a call failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// OBS understood it and said no; the connection is fine.
    Refused(String),
    /// The connection is of no use any more.
    Gone(Trouble),
}

impl Fault {
    fn of(error: &Error) -> Self {
        match error {
            Error::Api { code: StatusCode::NotReady, .. } => Self::Gone(Trouble::StillStarting),
            Error::Api { code, message } => {
                let message = message.as_deref().filter(|message| !message.is_empty());
                Self::Refused(
                    message.map_or_else(|| format!("{code:?}"), |message| message.chars().take(SAID).collect()),
                )
            }
            Error::DeserializeResponse(error) => {
                let error: String = error.to_string().chars().take(SAID).collect();
                Self::Refused(format!("its answer is not what this request is answered with: {error}"))
            }
            _ => Self::Gone(Trouble::Lost),
        }
    }

    /// As the end of the connection, for answers without which nothing can be done.
    fn needed(self) -> Trouble {
        match self {
            Self::Refused(reason) => Trouble::Garbled { reason },
            Self::Gone(trouble) => trouble,
        }
    }
}

/// OBS at the other end of a connection that is identified.
pub(super) struct ObsClient {
    client: Client,
    /// OBS's version.
    pub(super) version: String,
    relay: Relay,
}

/// Connects, within `CONNECT` and a second.
pub(super) async fn connect(target: &Target) -> Result<ObsClient, Trouble> {
    match attempt(target, false).await {
        // A pre-release of a later version is not "30.2 or later" for a strict comparison.
        Err(Failed::Obws(Error::ObsStudioVersion(version, _))) if (version.major, version.minor) >= (30, 2) => {
            match attempt(target, true).await {
                Ok(obs) => Ok(obs),
                Err(failed) => Err(explain(target, failed).await),
            }
        }
        Ok(obs) => Ok(obs),
        Err(failed) => Err(explain(target, failed).await),
    }
}

enum Failed {
    Obws(Error),
    /// There is no way to it.
    Way(io::Error),
    TooMuch,
    Time,
}

async fn attempt(target: &Target, any_version: bool) -> Result<ObsClient, Failed> {
    let began = Instant::now();
    let opening = timeout(CONNECT, Relay::open(bare(&target.host), target.port));
    let relay = opening.await.map_err(|_| Failed::Time)?.map_err(Failed::Way)?;
    let config = ConnectConfig {
        host: Ipv4Addr::LOCALHOST.to_string(),
        port: relay.port,
        dangerous: any_version
            .then_some(DangerousConnectConfig { skip_studio_version_check: true, skip_websocket_version_check: false }),
        password: target.password.as_ref().map(|password| password.expose_secret().to_owned()),
        event_subscriptions: Some(
            EventSubscription::GENERAL
                | EventSubscription::CONFIG
                | EventSubscription::SCENES
                | EventSubscription::INPUTS
                | EventSubscription::TRANSITIONS
                | EventSubscription::OUTPUTS
                | EventSubscription::SCENE_ITEMS
                | EventSubscription::UI,
        ),
        broadcast_capacity: EVENTS,
        connect_timeout: CONNECT,
    };
    let connected = timeout(CONNECT.saturating_sub(began.elapsed()), async {
        let client = Client::connect_with_config(config).await?;
        let version = client.general().version().await?.obs_studio_version.to_string();
        Ok((client, version))
    });
    let (client, version) = match connected.await {
        Ok(Ok(connected)) => connected,
        Ok(Err(_)) | Err(_) if relay.is_overrun() => return Err(Failed::TooMuch),
        Ok(Err(error)) => return Err(Failed::Obws(error)),
        Err(_) => return Err(Failed::Time),
    };
    let mut known = ANSWERED.lock().unwrap_or_else(PoisonError::into_inner);
    if known.len() < KNOWN {
        known.insert((target.host.clone(), target.port));
    }
    Ok(ObsClient { client, version, relay })
}

/// A host as it is looked up.
fn bare(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches(']')
}

async fn explain(target: &Target, failed: Failed) -> Trouble {
    let error = match failed {
        Failed::Time => return silent(target).await,
        Failed::Way(error) => return Trouble::NothingThere { reason: error.to_string() },
        Failed::TooMuch => return too_much("in one go"),
        Failed::Obws(error) => error,
    };
    match &error {
        // obws waited for the greeting, or for less, and nothing came.
        Error::Timeout | Error::Handshake(HandshakeError::NoHello) => silent(target).await,
        Error::InvalidUri(error) => Trouble::NothingThere { reason: error.to_string() },
        Error::Connect(error) => match cause(error) {
            // Something took the connection and hung up in the middle of the upgrade: an RTMP server does so.
            Some(error) if matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset) => {
                Trouble::NotObs
            }
            Some(error) => Trouble::NothingThere { reason: error.to_string() },
            None => Trouble::NotObs,
        },
        Error::Handshake(HandshakeError::ConnectionClosed(Some(details))) => match u16::from(details.code) {
            4009 => Trouble::WrongPassword,
            4010 => Trouble::TooOld { version: "with another obs-websocket".to_owned() },
            4000..=4999 => Trouble::Garbled { reason: details.reason.chars().take(200).collect() },
            _ => Trouble::Lost,
        },
        Error::Handshake(HandshakeError::DeserializeMessage(_) | HandshakeError::IntoText) => Trouble::NotObs,
        Error::Handshake(HandshakeError::NoIdentified) => {
            Trouble::Garbled { reason: "it did not confirm the greeting".to_owned() }
        }
        Error::ObsStudioVersion(version, _) => Trouble::TooOld { version: version.to_string() },
        Error::ObsWebsocketVersion(version, _) => Trouble::TooOld { version: format!("with obs-websocket {version}") },
        Error::RpcVersion { negotiated, .. } => Trouble::TooOld { version: format!("with protocol {negotiated}") },
        error => Fault::of(error).needed(),
    }
}

/// What the operating system said, if it said anything.
fn cause<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a io::Error> {
    let mut next = Some(error);
    // Chains are short; one that bites its own tail is none of ours.
    for _ in 0..16 {
        let error = next?;
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return Some(error);
        }
        next = error.source();
    }
    None
}

/// Nothing came in time: what is it? A stopped process's connections are still taken by its kernel. So: what takes none is not there;
/// silence where an OBS answered before is a frozen OBS; silence at a first
/// contact is taken for the wrong port, though it cannot be told from a frozen OBS; the words name both.
pub(super) async fn silent(target: &Target) -> Trouble {
    match timeout(Duration::from_secs(1), TcpStream::connect((bare(&target.host), target.port))).await {
        Ok(Ok(_)) if known(target) => Trouble::Frozen,
        Ok(Ok(_)) => Trouble::NotObs,
        Ok(Err(error)) => Trouble::NothingThere { reason: error.to_string() },
        Err(_) => Trouble::NothingThere { reason: "no answer in time".to_owned() },
    }
}

fn known(target: &Target) -> bool {
    let known = ANSWERED.lock().unwrap_or_else(PoisonError::into_inner);
    known.contains(&(target.host.clone(), target.port))
}

async fn within<T>(limit: Duration, call: impl Future<Output = Result<T, Error>>) -> Result<T, Fault> {
    match timeout(limit, call).await {
        Ok(answer) => answer.map_err(|error| Fault::of(&error)),
        Err(_) => Err(Fault::Gone(Trouble::Frozen)),
    }
}

/// OBS's stream, as it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StreamState {
    /// It streams, or tries to again. Not while it starts.
    pub(super) active: bool,
    /// Its platform is gone.
    pub(super) reconnecting: bool,
}

fn too_much(what: &str) -> Trouble {
    Trouble::TooMuch { what: what.to_owned() }
}

/// A list of OBS's, unless it is too long.
fn bounded<T>(list: Vec<T>, most: usize, what: &str) -> Result<Vec<T>, Fault> {
    if list.len() > most {
        return Err(Fault::Gone(too_much(&format!("{} {what}, and {most} are the most", list.len()))));
    }
    Ok(list)
}

impl ObsClient {
    /// Why it ended, where only this end knows.
    pub(super) fn end(&self, trouble: Trouble) -> Trouble {
        if self.relay.is_overrun() { too_much("in one go") } else { trouble }
    }

    /// A new listener; none when the connection is closed.
    pub(super) fn events(&self) -> Option<EventStream> {
        self.client.events().ok()
    }

    /// Asks for the stream's state: the health check.
    pub(super) async fn stream_state(&self) -> Result<StreamState, Fault> {
        let status = within(ANSWER, self.client.streaming().status()).await?;
        Ok(StreamState { active: status.active, reconnecting: status.reconnecting })
    }

    /// For how long OBS has been running, at least: by the pictures that it has drawn since it started. None where it does not say.
    pub(super) async fn uptime(&self) -> Result<Option<Duration>, Trouble> {
        let stats = optional(within(ANSWER, self.client.general().stats()).await)?;
        // The rate is not known in its first second; nobody runs a show at less.
        Ok(stats
            .map(|stats| Duration::from_secs_f64(f64::from(stats.render_total_frames) / stats.active_fps.max(10.0))))
    }

    /// Starts the stream. OBS answers before it knows whether it works.
    pub(super) async fn start_stream(&self) -> Result<(), Fault> {
        within(ANSWER, self.client.streaming().start()).await
    }

    /// Stops the stream.
    pub(super) async fn stop_stream(&self) -> Result<(), Fault> {
        within(ANSWER, self.client.streaming().stop()).await
    }

    /// Reads all that the mapping names.
    pub(super) async fn read(&self, config: &ObsConfig) -> Result<Seen, Trouble> {
        let scenes = within(ANSWER, self.client.scenes().list()).await.map_err(Fault::needed)?;
        let list = bounded(scenes.scenes, SCENES, "scenes").map_err(Fault::needed)?;
        let inputs = within(ANSWER, self.client.inputs().list(None)).await.map_err(Fault::needed)?;
        let inputs = bounded(inputs, INPUTS, "sources").map_err(Fault::needed)?;
        let mut names: Vec<_> = list.into_iter().map(|scene| (scene.index, scene.id.name)).collect();
        // OBS counts from the bottom of its list.
        names.sort_by_key(|(index, _)| usize::MAX - index);
        let mut seen = Seen {
            scenes: names.into_iter().map(|(_, name)| name).collect(),
            program: scenes.current_program_scene.map(|scene| scene.name),
            inputs: inputs.into_iter().map(|input| (input.id.name, input.kind)).collect(),
            ..Seen::default()
        };
        seen.studio = optional(within(ANSWER, self.client.ui().studio_mode_enabled()).await)?.unwrap_or(false);
        let sources = plan::sources(config);
        if !sources.is_empty() {
            for scene in plan::ours(config, &seen.scenes, seen.program.as_deref()) {
                self.read_items(&scene, &sources, &mut seen.items).await?;
            }
        }
        for input in plan::texts(config) {
            if seen.inputs.get(input).is_some_and(|kind| plan::role(kind) == InputRole::Text)
                && let Some(settings) = optional(self.settings(input).await)?
            {
                let text = settings.get("text").and_then(Value::as_str).unwrap_or_default();
                seen.texts.insert(input.to_owned(), text.to_owned());
            }
        }
        Ok(seen)
    }

    async fn read_items(&self, scene: &str, sources: &BTreeSet<&str>, items: &mut Vec<Item>) -> Result<(), Trouble> {
        let client = &self.client;
        let list = optional(within(ANSWER, client.scene_items().list(SceneId::Name(scene))).await)?.unwrap_or_default();
        let mut found = Vec::new();
        let what = "items in a scene";
        for item in bounded(list, ITEMS, what).map_err(Fault::needed)? {
            if item.is_group == Some(true) {
                let group = SceneId::Name(&item.source_name);
                let inner = optional(within(ANSWER, client.scene_items().list_group(group)).await)?.unwrap_or_default();
                found.extend(inner.into_iter().map(|inner| (item.source_name.clone(), inner)));
            }
            found.push((scene.to_owned(), item));
            found.retain(|(_, item)| sources.contains(item.source_name.as_str()));
            if found.len() + items.len() > OURS {
                return Err(too_much(&format!("more than {OURS} items that are to be shown and hidden")));
            }
        }
        for (parent, item) in found {
            let enabled = within(ANSWER, client.scene_items().enabled(SceneId::Name(&parent), item.id)).await;
            if let Some(enabled) = optional(enabled)? {
                let (scene, source) = (scene.to_owned(), item.source_name);
                items.push(Item { scene, parent, id: item.id, source, enabled });
            }
        }
        Ok(())
    }

    /// Carries a step out.
    pub(super) async fn carry_out(&self, step: &Step) -> Result<(), Fault> {
        match step {
            Step::Text { input, text } => self.set(input, &json!({ "text": text })).await,
            Step::Visible { parent, id, on, .. } => {
                let set = SetEnabled { scene: SceneId::Name(parent), item_id: *id, enabled: *on };
                within(ANSWER, self.client.scene_items().set_enabled(set)).await
            }
            Step::Restart { input, role: InputRole::Browser } => {
                let press = self.client.inputs();
                within(ANSWER, press.press_properties_button(InputId::Name(input), "refreshnocache")).await
            }
            Step::Restart { input, .. } => {
                let media = self.client.media_inputs();
                within(ANSWER, media.trigger_action(InputId::Name(input), MediaAction::Restart)).await
            }
            Step::Switch { scene } => {
                within(ANSWER, self.client.scenes().set_current_program_scene(SceneId::Name(scene))).await
            }
        }
    }

    /// The scenes and inputs that OBS has, to choose from.
    pub(super) async fn inventory(&self) -> Result<Inventory, Fault> {
        let scenes = within(ANSWER, self.client.scenes().list()).await?;
        let list = bounded(scenes.scenes, SCENES, "scenes")?;
        let inputs = bounded(within(ANSWER, self.client.inputs().list(None)).await?, INPUTS, "sources")?;
        let kinds = self.kinds().await?;
        let mut names: Vec<_> = list.into_iter().map(|scene| (scene.index, scene.id.name)).collect();
        names.sort_by_key(|(index, _)| usize::MAX - index);
        let inputs = inputs.into_iter().map(|input| {
            let role = plan::role(&input.kind);
            InputInfo { name: input.id.name, kind: input.kind, role }
        });
        Ok(Inventory { scenes: names.into_iter().map(|(_, name)| name).collect(), inputs: inputs.collect(), kinds })
    }

    /// Kinds of inputs that it can make, with their versions.
    pub(super) async fn kinds(&self) -> Result<Vec<String>, Fault> {
        within(ANSWER, self.client.inputs().list_kinds(false)).await
    }

    /// An input's settings.
    pub(super) async fn settings(&self, input: &str) -> Result<Value, Fault> {
        within(ANSWER, self.client.inputs().settings::<Value>(InputId::Name(input))).await.map(|found| found.settings)
    }

    /// Changes some of an input's settings.
    pub(super) async fn set(&self, input: &str, settings: &Value) -> Result<(), Fault> {
        let set = SetSettings { input: InputId::Name(input), settings, overlay: Some(true) };
        within(ANSWER, self.client.inputs().set_settings(set)).await
    }

    /// Kinds of the inputs by name.
    pub(super) async fn inputs(&self) -> Result<BTreeMap<String, String>, Fault> {
        let inputs = within(ANSWER, self.client.inputs().list(None)).await?;
        Ok(inputs.into_iter().map(|input| (input.id.name, input.kind)).collect())
    }

    /// Names of the scenes.
    pub(super) async fn scenes(&self) -> Result<BTreeSet<String>, Fault> {
        let scenes = within(ANSWER, self.client.scenes().list()).await?;
        Ok(scenes.scenes.into_iter().map(|scene| scene.id.name).collect())
    }

    /// The canvas's width and height.
    pub(super) async fn canvas(&self) -> Result<(u32, u32), Fault> {
        let video = within(ANSWER, self.client.config().video_settings()).await?;
        Ok((video.base_width, video.base_height))
    }

    /// Makes a scene.
    pub(super) async fn make_scene(&self, name: &str) -> Result<(), Fault> {
        within(BUILD, self.client.scenes().create(name)).await.map(drop)
    }

    /// Makes an input in a scene. Its number there.
    pub(super) async fn make_input(
        &self,
        scene: &str,
        input: &str,
        kind: &str,
        settings: &Value,
    ) -> Result<i64, Fault> {
        let create = Create { scene: SceneId::Name(scene), input, kind, settings: Some(settings), enabled: Some(true) };
        within(BUILD, self.client.inputs().create(create)).await.map(|made| made.scene_item_id)
    }

    /// Puts an input that exists into a scene. Its number there.
    pub(super) async fn add(&self, scene: &str, input: &str) -> Result<i64, Fault> {
        let (scene, source) = (SceneId::Name(scene), SourceId::Name(input));
        let create = CreateSceneItem { scene, source, enabled: Some(true) };
        within(BUILD, self.client.scene_items().create(create)).await
    }

    /// Lays an item of a scene out: it fills `area` as far as its shape allows.
    pub(super) async fn place(&self, scene: &str, id: i64, area: Area) -> Result<(), Fault> {
        let transform = SceneItemTransform {
            position: Some(Position { x: Some(area.x), y: Some(area.y) }),
            alignment: Some(Alignment::LEFT | Alignment::TOP),
            bounds: Some(Bounds {
                r#type: Some(BoundsType::ScaleInner),
                alignment: Some(Alignment::CENTER),
                width: Some(area.width),
                height: Some(area.height),
            }),
            ..SceneItemTransform::default()
        };
        let place = SetTransform { scene: SceneId::Name(scene), item_id: id, transform };
        within(ANSWER, self.client.scene_items().set_transform(place)).await
    }
}

/// A part of the canvas, in its pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Area {
    /// Pixels from the left edge of the canvas to its own.
    pub(super) x: f32,
    /// Pixels from the top edge of the canvas to its own.
    pub(super) y: f32,
    /// Pixels.
    pub(super) width: f32,
    /// Pixels.
    pub(super) height: f32,
}

/// An answer that one can do without: a source may be gone since it was listed.
fn optional<T>(answer: Result<T, Fault>) -> Result<Option<T>, Trouble> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(Fault::Refused(_)) => Ok(None),
        Err(Fault::Gone(trouble)) => Err(trouble),
    }
}
