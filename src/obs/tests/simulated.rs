//! A simulated OBS: a small obs-websocket 5 server, written from the protocol's description, that can be told to misbehave.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use data_encoding::BASE64;
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpListener, TcpStream},
    sync::broadcast,
    task::JoinHandle,
};
use tokio_tungstenite::{
    WebSocketStream, accept_async,
    tungstenite::{Message, protocol::CloseFrame},
};

/// What it does with a request.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Does {
    /// Nothing, for ever.
    Nothing,
    /// The right thing, so much later.
    Late(Duration),
    /// Hangs up before it did anything.
    HangsUp,
    /// Does it, and hangs up in the middle of the answer.
    CutsTheAnswer,
    /// Answers with something that is no JSON.
    NoJson,
    /// Answers with bytes.
    Bytes,
    /// Answers another request.
    AnotherId,
    /// Answers with an id that is no number.
    NoId,
    /// Answers without any data.
    NoData,
    /// Answers with data of other types.
    OtherTypes,
    /// Refuses with this code.
    Refuses(u16),
    /// Refuses with a code that nobody knows.
    RefusesOddly,
    /// Answers twice.
    Twice,
    /// Sends events that nobody knows before the answer.
    OddEvents,
    /// Greets again instead of answering.
    Greets,
    /// Closes the websocket with this code.
    Closes(u16),
}

/// How it greets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Greeting {
    Proper,
    None,
    NoJson,
    Bytes,
    AnotherMessage,
    HangsUp,
    /// Greets, and never says that it knows who this is.
    NeverIdentifies,
}

pub(super) struct Item {
    pub(super) id: i64,
    pub(super) source: String,
    pub(super) enabled: bool,
}

/// What the simulated OBS has and shows.
pub(super) struct World {
    pub(super) version: String,
    pub(super) scenes: Vec<(String, Vec<Item>)>,
    pub(super) inputs: BTreeMap<String, (String, Value)>,
    pub(super) program: String,
    pub(super) streams: bool,
    /// Requests that were carried out, with their data.
    pub(super) log: Vec<(String, Value)>,
    pub(super) greeting: Greeting,
    pub(super) password: Option<String>,
    /// The next requests of a kind are treated so.
    pub(super) odd: Vec<(String, Does)>,
    pub(super) connections: u32,
    /// Every request is refused because it is not ready.
    pub(super) not_ready: bool,
    /// Requests that came, refused ones too.
    pub(super) asked: usize,
    /// Its stream starts and stops as it is told; else nothing comes of a start.
    pub(super) stream_works: bool,
    /// How long it has been running, in seconds; none: it does not say.
    pub(super) uptime: Option<u64>,
}

impl World {
    pub(super) fn visible(&self, scene: &str, source: &str) -> bool {
        let items = self.scenes.iter().filter(|(name, _)| name == scene).flat_map(|(_, items)| items);
        items.into_iter().any(|item| item.source == source && item.enabled)
    }

    pub(super) fn text(&self, input: &str) -> String {
        let text = self.inputs.get(input).and_then(|(_, settings)| settings.get("text")).and_then(Value::as_str);
        text.unwrap_or_default().to_owned()
    }

    pub(super) fn count(&self, request: &str) -> usize {
        self.log.iter().filter(|(name, _)| name == request).count()
    }
}

pub(super) struct SimulatedObs {
    pub(super) port: u16,
    pub(super) world: Arc<Mutex<World>>,
    events: broadcast::Sender<Value>,
    frozen: Arc<AtomicBool>,
    accepting: JoinHandle<()>,
}

impl Drop for SimulatedObs {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Scenes "On", "Slate", "Between" and "Own" with a timer and a banner; text sources "Name", "Next", "Time"; a media source "Movie".
fn world() -> World {
    let scenes = ["Own", "Between", "Slate", "On"].map(|scene| {
        let items = [(1, "Timer"), (2, "Banner")].map(|(id, source)| Item {
            id,
            source: source.to_owned(),
            enabled: scene == "Slate",
        });
        (scene.to_owned(), items.into())
    });
    let inputs = [
        ("Name", "text_ft2_source_v2"),
        ("Next", "text_ft2_source_v2"),
        ("Time", "text_ft2_source_v2"),
        ("Movie", "ffmpeg_source"),
        ("Timer", "image_source"),
        ("Banner", "image_source"),
    ];
    World {
        version: "30.2.3".to_owned(),
        scenes: scenes.into(),
        inputs: inputs.map(|(name, kind)| (name.to_owned(), (kind.to_owned(), json!({})))).into(),
        program: "Slate".to_owned(),
        streams: false,
        log: Vec::new(),
        greeting: Greeting::Proper,
        password: Some("right".to_owned()),
        odd: Vec::new(),
        connections: 0,
        not_ready: false,
        asked: 0,
        stream_works: false,
        uptime: None,
    }
}

impl SimulatedObs {
    pub(super) async fn start() -> Self {
        Self::at(0, world()).await
    }

    /// One that comes back where one was.
    pub(super) async fn start_at(port: u16) -> Self {
        Self::at(port, world()).await
    }

    /// Its websocket server is switched off and on again, or the whole of it if its world is changed so.
    pub(super) async fn again(mut self, change: impl FnOnce(&mut World)) -> Self {
        let mut after = world();
        std::mem::swap(&mut after, &mut *self.world.lock().unwrap());
        change(&mut after);
        let port = self.port;
        self.accepting.abort();
        // Its connections end with it.
        assert!((&mut self.accepting).await.is_err());
        drop(self);
        tokio::time::sleep(Duration::from_secs(1)).await;
        Self::at(port, after).await
    }

    async fn at(port: u16, world: World) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let world = Arc::new(Mutex::new(world));
        let (events, _) = broadcast::channel(100_000);
        let frozen = Arc::new(AtomicBool::new(false));
        let (for_world, for_events, for_frozen) = (world.clone(), events.clone(), frozen.clone());
        let accepting = tokio::spawn(async move {
            // Dropped with this task, and then closed.
            let mut serving = tokio::task::JoinSet::new();
            loop {
                let Ok((stream, _)) = listener.accept().await else { return };
                let served =
                    Served { world: for_world.clone(), frozen: for_frozen.clone(), events: for_events.clone() };
                serving.spawn(async move { served.serve(stream).await });
            }
        });
        Self { port, world, events, frozen, accepting }
    }

    pub(super) fn tell<T>(&self, change: impl FnOnce(&mut World) -> T) -> T {
        change(&mut self.world.lock().unwrap())
    }

    /// Reads and answers nothing any more, like a stopped process; or goes on.
    pub(super) fn freeze(&self, frozen: bool) {
        self.frozen.store(frozen, Ordering::SeqCst);
    }

    pub(super) fn say(&self, kind: &str, data: &Value) {
        // Nobody may be connected.
        drop(self.events.send(json!({"op": 5, "d": {"eventType": kind, "eventIntent": 1, "eventData": data}})));
    }

    /// A person switches the scene.
    pub(super) fn switch(&self, scene: &str) {
        self.tell(|world| scene.clone_into(&mut world.program));
        self.say("CurrentProgramSceneChanged", &json!({"sceneName": scene, "sceneUuid": uuid(scene)}));
    }

    /// What was carried out, in order.
    pub(super) fn log(&self) -> Vec<(String, Value)> {
        self.tell(|world| world.log.clone())
    }
}

fn uuid(name: &str) -> String {
    let hash = Sha256::digest(name.as_bytes());
    let hex = data_encoding::HEXLOWER.encode(&hash[..16]);
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

struct Served {
    world: Arc<Mutex<World>>,
    frozen: Arc<AtomicBool>,
    events: broadcast::Sender<Value>,
}

type Socket = WebSocketStream<TcpStream>;

impl Served {
    async fn thawed(&self) {
        while self.frozen.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn serve(self, stream: TcpStream) -> Option<()> {
        self.thawed().await;
        let mut socket = accept_async(stream).await.ok()?;
        let greeting = self.world.lock().unwrap().greeting;
        let hello = json!({"op": 0, "d": {
            "obsWebSocketVersion": "5.5.2", "rpcVersion": 1,
            "authentication": {"challenge": "challenge", "salt": "salt"},
        }});
        let open = self.world.lock().unwrap().password.is_none();
        match greeting {
            Greeting::Proper | Greeting::NeverIdentifies if open => {
                let hello = json!({"op": 0, "d": {"obsWebSocketVersion": "5.5.2", "rpcVersion": 1}});
                socket.send(Message::text(hello.to_string())).await.ok()?;
            }
            Greeting::Proper | Greeting::NeverIdentifies => {
                socket.send(Message::text(hello.to_string())).await.ok()?;
            }
            Greeting::None => {}
            Greeting::NoJson => socket.send(Message::text("hello")).await.ok()?,
            Greeting::Bytes => socket.send(Message::binary(vec![0, 1, 2])).await.ok()?,
            Greeting::AnotherMessage => {
                socket
                    .send(Message::text(json!({"op": 2, "d": {"negotiatedRpcVersion": 1}}).to_string()))
                    .await
                    .ok()?;
            }
            Greeting::HangsUp => return None,
        }
        let identify = next(&mut socket).await?;
        if greeting != Greeting::Proper {
            tokio::time::sleep(Duration::from_mins(1)).await;
        }
        let password = self.world.lock().unwrap().password.clone();
        if let Some(password) = password {
            let secret = BASE64.encode(&Sha256::digest(format!("{password}salt").as_bytes()));
            let expected = BASE64.encode(&Sha256::digest(format!("{secret}challenge").as_bytes()));
            if identify["d"]["authentication"] != json!(expected) {
                let frame = CloseFrame { code: 4009.into(), reason: "Authentication failed.".into() };
                socket.send(Message::Close(Some(frame))).await.ok()?;
                return None;
            }
        }
        let mut events = self.events.subscribe();
        self.world.lock().unwrap().connections += 1;
        socket.send(Message::text(json!({"op": 2, "d": {"negotiatedRpcVersion": 1}}).to_string())).await.ok()?;
        loop {
            tokio::select! {
                request = next(&mut socket) => {
                    let request = request?;
                    self.thawed().await;
                    self.answer(&mut socket, &request["d"]).await?;
                }
                Ok(event) = events.recv() => {
                    self.thawed().await;
                    socket.send(Message::text(event.to_string())).await.ok()?;
                }
            }
        }
    }

    async fn answer(&self, socket: &mut Socket, request: &Value) -> Option<()> {
        let kind = request["requestType"].as_str()?.to_owned();
        let odd = {
            let mut world = self.world.lock().unwrap();
            world.asked += 1;
            if world.not_ready {
                world.odd.insert(0, (kind.clone(), Does::Refuses(207)));
            }
            let position = world.odd.iter().position(|(name, _)| *name == kind || name == "*");
            position.map(|position| world.odd.remove(position).1)
        };
        let answer = |code: u16, data: Value| {
            json!({"op": 7, "d": {
                "requestType": kind, "requestId": request["requestId"],
                "requestStatus": {"result": code == 100, "code": code}, "responseData": data,
            }})
        };
        let mut send = Vec::new();
        match odd {
            Some(Does::HangsUp) => return None,
            Some(Does::Nothing) => return Some(()),
            Some(Does::Refuses(code)) => send.push(answer(code, Value::Null).to_string()),
            Some(Does::RefusesOddly) => {
                let mut answer = answer(100, Value::Null);
                answer["d"]["requestStatus"] = json!({"result": false, "code": 4711, "comment": "\u{1f984}"});
                send.push(answer.to_string());
            }
            Some(Does::NoJson) => send.push("{\"op\": 7, \"d\": {".to_owned()),
            Some(Does::Bytes) => {
                socket.send(Message::binary(vec![0xff; 300])).await.ok()?;
                return Some(());
            }
            Some(Does::Greets) => {
                send.push(json!({"op": 0, "d": {"obsWebSocketVersion": "5.5.2", "rpcVersion": 1}}).to_string());
            }
            Some(Does::Closes(code)) => {
                let frame = CloseFrame { code: code.into(), reason: "for a test".into() };
                socket.send(Message::Close(Some(frame))).await.ok()?;
                return None;
            }
            Some(Does::NoData) => send.push(answer(100, Value::Null).to_string()),
            Some(Does::OtherTypes) => {
                send.push(
                    answer(100, json!({"scenes": 7, "inputs": "no", "outputActive": "maybe", "sceneItems": {}}))
                        .to_string(),
                );
            }
            other => {
                let (code, data, events) = act(&mut self.world.lock().unwrap(), &kind, &request["requestData"]);
                for event in events {
                    drop(self.events.send(event));
                }
                let mut answer = answer(code, data);
                match other {
                    Some(Does::Late(late)) => tokio::time::sleep(late).await,
                    Some(Does::AnotherId) => answer["d"]["requestId"] = json!("987654321"),
                    Some(Does::NoId) => answer["d"]["requestId"] = json!("none"),
                    Some(Does::Twice) => send.push(answer.to_string()),
                    Some(Does::OddEvents) => {
                        send.push(
                            json!({"op": 5, "d": {"eventType": "Unheard", "eventIntent": 1, "eventData": {"a": []}}})
                                .to_string(),
                        );
                        send.push(
                            json!({"op": 5, "d": {"eventType": "CurrentProgramSceneChanged", "eventData": 7}})
                                .to_string(),
                        );
                        send.push(json!({"op": 99, "d": null}).to_string());
                    }
                    Some(Does::CutsTheAnswer) => {
                        // The head of a frame of 200 bytes, and two of them.
                        socket.get_mut().write_all(&[0x81, 126, 0, 200, b'{', b'"']).await.ok()?;
                        return None;
                    }
                    _ => {}
                }
                send.push(answer.to_string());
            }
        }
        for text in send {
            socket.send(Message::text(text)).await.ok()?;
        }
        Some(())
    }
}

async fn next(socket: &mut Socket) -> Option<Value> {
    loop {
        match socket.next().await?.ok()? {
            Message::Text(text) => return serde_json::from_str(&text).ok(),
            Message::Close(_) => return None,
            _ => {}
        }
    }
}

#[expect(clippy::too_many_lines, reason = "one arm for each request")]
/// Carries a request out: code, data, and events that it causes.
fn act(world: &mut World, kind: &str, data: &Value) -> (u16, Value, Vec<Value>) {
    world.log.push((kind.to_owned(), data.clone()));
    let event =
        |kind: &str, data: Value| json!({"op": 5, "d": {"eventType": kind, "eventIntent": 1, "eventData": data}});
    let name = |key: &str| data[key].as_str().unwrap_or_default().to_owned();
    let mut events = Vec::new();
    let answer = match kind {
        "GetVersion" => json!({
            "obsVersion": world.version, "obsWebSocketVersion": "5.5.2", "rpcVersion": 1, "availableRequests": [],
            "supportedImageFormats": [], "platform": "simulated", "platformDescription": "simulated",
        }),
        "GetSceneList" => {
            let scenes = world.scenes.iter().enumerate();
            let scenes: Vec<_> = scenes
                .map(|(index, (scene, _))| json!({"sceneIndex": index, "sceneName": scene, "sceneUuid": uuid(scene)}))
                .collect();
            json!({
                "currentProgramSceneName": world.program, "currentProgramSceneUuid": uuid(&world.program),
                "currentPreviewSceneName": null, "currentPreviewSceneUuid": null, "scenes": scenes,
            })
        }
        "GetInputList" => {
            let inputs: Vec<_> = world
                .inputs
                .iter()
                .map(|(input, (kind, _))| {
                    json!({"inputName": input, "inputUuid": uuid(input), "inputKind": kind, "unversionedInputKind": kind})
                })
                .collect();
            json!({ "inputs": inputs })
        }
        "GetInputKindList" => json!({"inputKinds": ["text_ft2_source_v2", "ffmpeg_source"]}),
        "GetStudioModeEnabled" => json!({"studioModeEnabled": false}),
        "GetSceneItemList" => {
            let scene = name("sceneName");
            let Some((_, items)) = world.scenes.iter().find(|(there, _)| *there == scene) else {
                return (600, Value::Null, events);
            };
            let items: Vec<_> = items
                .iter()
                .enumerate()
                .map(|(index, item)| {
                    json!({
                        "sceneItemId": item.id, "sceneItemIndex": index, "sourceName": item.source,
                        "sourceType": "OBS_SOURCE_TYPE_INPUT", "inputKind": "image_source", "isGroup": null,
                    })
                })
                .collect();
            json!({ "sceneItems": items })
        }
        "GetSceneItemEnabled" | "SetSceneItemEnabled" => {
            let (scene, id) = (name("sceneName"), data["sceneItemId"].as_i64());
            let items = world.scenes.iter_mut().filter(|(there, _)| *there == scene).flat_map(|(_, items)| items);
            let Some(item) = items.into_iter().find(|item| Some(item.id) == id) else {
                return (600, Value::Null, events);
            };
            if kind == "GetSceneItemEnabled" {
                json!({"sceneItemEnabled": item.enabled})
            } else {
                item.enabled = data["sceneItemEnabled"] == json!(true);
                let told = json!({
                    "sceneName": scene, "sceneUuid": uuid(&scene), "sceneItemId": item.id, "sceneItemEnabled": item.enabled,
                });
                events.push(event("SceneItemEnableStateChanged", told));
                Value::Null
            }
        }
        "GetInputSettings" => match world.inputs.get(&name("inputName")) {
            Some((kind, settings)) => json!({"inputSettings": settings, "inputKind": kind}),
            None => return (600, Value::Null, events),
        },
        "SetInputSettings" => match world.inputs.get_mut(&name("inputName")) {
            Some((_, settings)) => {
                for (key, value) in data["inputSettings"].as_object().into_iter().flatten() {
                    settings[key] = value.clone();
                }
                Value::Null
            }
            None => return (600, Value::Null, events),
        },
        "SetCurrentProgramScene" => {
            let scene = name("sceneName");
            if !world.scenes.iter().any(|(there, _)| *there == scene) {
                return (600, Value::Null, events);
            }
            events.push(event("CurrentProgramSceneChanged", json!({"sceneName": scene, "sceneUuid": uuid(&scene)})));
            let transition = json!({"transitionName": "Cut", "transitionUuid": uuid("Cut")});
            events.push(event("SceneTransitionStarted", transition.clone()));
            events.push(event("SceneTransitionEnded", transition));
            world.program = scene;
            Value::Null
        }
        "GetStreamStatus" => json!({
            "outputActive": world.streams, "outputReconnecting": false, "outputTimecode": "00:00:00.000", "outputDuration": 0,
            "outputCongestion": 0.0, "outputBytes": 0, "outputSkippedFrames": 0, "outputTotalFrames": 0,
        }),
        "StartStream" => {
            events.push(event(
                "StreamStateChanged",
                json!({"outputActive": false, "outputState": "OBS_WEBSOCKET_OUTPUT_STARTING"}),
            ));
            if world.stream_works {
                world.streams = true;
                events.push(event(
                    "StreamStateChanged",
                    json!({"outputActive": true, "outputState": "OBS_WEBSOCKET_OUTPUT_STARTED"}),
                ));
            }
            Value::Null
        }
        "StopStream" => {
            world.streams = false;
            for state in ["STOPPING", "STOPPED"] {
                let state = format!("OBS_WEBSOCKET_OUTPUT_{state}");
                events.push(event("StreamStateChanged", json!({"outputActive": false, "outputState": state})));
            }
            Value::Null
        }
        "GetStats" if world.uptime.is_some() => json!({
            "cpuUsage": 1.0, "memoryUsage": 1.0, "availableDiskSpace": 1.0, "activeFps": 30.0, "averageFrameRenderTime": 1.0,
            "renderSkippedFrames": 0, "renderTotalFrames": world.uptime.unwrap_or_default() * 30, "outputSkippedFrames": 0,
            "outputTotalFrames": 0, "webSocketSessionIncomingMessages": 0, "webSocketSessionOutgoingMessages": 0,
        }),
        "TriggerMediaInputAction" => Value::Null,
        _ => return (204, Value::Null, events),
    };
    (100, answer, events)
}
