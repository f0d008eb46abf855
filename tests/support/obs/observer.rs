//! A client of obs-websocket 5 of the tests' own, so that nothing of what is tested judges itself: requests, one at a time, and every
//! event with the instant at which it came.

use std::{
    net::Ipv4Addr,
    sync::{Arc, Mutex, MutexGuard, mpsc},
    thread,
    time::{Duration, Instant},
};

use data_encoding::BASE64;
use futures_util::{SinkExt as _, StreamExt as _};
use image::RgbImage;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::{net::TcpStream, sync::mpsc as channel, time::timeout};
use tokio_tungstenite::{WebSocketStream, client_async, tungstenite::Message};

use crate::support::{seconds, wait};

/// General, config, scenes, inputs, transitions, filters, outputs, scene items, media inputs, vendors, ui: all but what comes many times a second.
const ALL_EVENTS: u32 = 0x7ff;

/// One event.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) at: Instant,
    pub(crate) kind: String,
    pub(crate) data: Value,
}

/// A request that OBS refused, or that brought no answer.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    /// obs-websocket's code; 0: no answer.
    pub(crate) code: u64,
    pub(crate) comment: String,
}

type Answers = mpsc::Sender<Result<Value, Refusal>>;

/// The connection. Closes with its owner.
pub(crate) struct Observer {
    requests: channel::UnboundedSender<(String, Value, Answers)>,
    events: Arc<Mutex<Vec<Event>>>,
}

impl Observer {
    /// Connects, tells the password, and hears every event from then on.
    ///
    /// # Errors
    /// When that does not come about within 5 s, in words.
    pub(crate) fn connect(port: u16, password: &str) -> Result<Self, String> {
        let (requests, inbox) = channel::unbounded_channel();
        let events = Arc::new(Mutex::new(Vec::new()));
        let (ready, connected) = mpsc::channel();
        let (password, heard) = (password.to_owned(), events.clone());
        // It ends with the connection, or when nobody can ask any more.
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                match timeout(seconds(5), identify(port, &password)).await {
                    Ok(Ok(socket)) => {
                        let _ = ready.send(Ok(()));
                        talk(socket, inbox, &heard).await;
                    }
                    Ok(Err(reason)) => drop(ready.send(Err(reason))),
                    Err(_) => drop(ready.send(Err("no answer in 5 s".to_owned()))),
                }
            });
        });
        connected.recv().map_err(|_| "the connection's thread died".to_owned())??;
        Ok(Self { requests, events })
    }

    /// One request.
    ///
    /// # Errors
    /// When OBS refuses it or does not answer within 10 s.
    pub(crate) fn try_request(&self, kind: &str, data: &Value) -> Result<Value, Refusal> {
        let (answers, answer) = mpsc::channel();
        let silence = |_| Refusal { code: 0, comment: "no answer".to_owned() };
        self.requests
            .send((kind.to_owned(), data.clone(), answers))
            .map_err(|_| silence(mpsc::RecvTimeoutError::Disconnected))?;
        answer.recv_timeout(seconds(10)).map_err(silence)?
    }

    /// One request that must be carried out.
    #[track_caller]
    pub(crate) fn request(&self, kind: &str, data: &Value) -> Value {
        self.try_request(kind, data).unwrap_or_else(|refusal| panic!("{kind} {data}: {refusal:?}"))
    }

    /// The events so far.
    pub(crate) fn events(&self) -> Vec<Event> {
        self.lock().clone()
    }

    /// The data of the events of a kind so far, from `since` on.
    pub(crate) fn events_of(&self, kind: &str, since: Instant) -> Vec<Event> {
        self.lock().iter().filter(|event| event.kind == kind && event.at >= since).cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Event>> {
        self.events.lock().unwrap()
    }

    /// The scene that goes out.
    #[track_caller]
    pub(crate) fn scene(&self) -> String {
        text(&self.request("GetCurrentProgramScene", &json!({}))["currentProgramSceneName"])
    }

    /// Chooses the scene that goes out, as a person does.
    #[track_caller]
    pub(crate) fn choose(&self, scene: &str) {
        self.request("SetCurrentProgramScene", &json!({ "sceneName": scene }));
    }

    /// Every scene, from the top.
    #[track_caller]
    pub(crate) fn scenes(&self) -> Vec<String> {
        let answer = self.request("GetSceneList", &json!({}));
        // It lists them from the bottom.
        answer["scenes"].as_array().unwrap().iter().rev().map(|scene| text(&scene["sceneName"])).collect()
    }

    /// Every input: name and kind.
    #[track_caller]
    pub(crate) fn inputs(&self) -> Vec<(String, String)> {
        let answer = self.request("GetInputList", &json!({}));
        let inputs = answer["inputs"].as_array().unwrap().iter();
        inputs.map(|input| (text(&input["inputName"]), text(&input["inputKind"]))).collect()
    }

    /// The settings of an input, without its kind's defaults.
    #[track_caller]
    pub(crate) fn settings(&self, input: &str) -> Value {
        self.request("GetInputSettings", &json!({ "inputName": input }))["inputSettings"].clone()
    }

    /// What a text source says.
    #[track_caller]
    pub(crate) fn text(&self, input: &str) -> String {
        text(&self.settings(input)["text"])
    }

    /// The sources of a scene, from the bottom: name, and whether it is shown.
    #[track_caller]
    pub(crate) fn items(&self, scene: &str) -> Vec<(String, bool)> {
        let answer = self.request("GetSceneItemList", &json!({ "sceneName": scene }));
        let items = answer["sceneItems"].as_array().unwrap().iter();
        items.map(|item| (text(&item["sourceName"]), item["sceneItemEnabled"] == true)).collect()
    }

    /// A picture of a source or a scene, 64 x 36.
    pub(crate) fn try_picture(&self, source: &str) -> Option<RgbImage> {
        let wanted = json!({ "sourceName": source, "imageFormat": "png", "imageWidth": 64, "imageHeight": 36 });
        let answer = self.try_request("GetSourceScreenshot", &wanted).ok()?;
        let bytes =
            BASE64.decode(answer["imageData"].as_str()?.strip_prefix("data:image/png;base64,")?.as_bytes()).ok()?;
        Some(image::load_from_memory(&bytes).ok()?.to_rgb8())
    }

    /// Red, green and blue, each in the mean, of the scene that goes out. Black where OBS gives no picture.
    #[track_caller]
    pub(crate) fn colour(&self) -> [f64; 3] {
        let Some(picture) = self.try_picture(&self.scene()) else { return [0.0; 3] };
        let count = f64::from(picture.width() * picture.height());
        let sum = |channel: usize| picture.pixels().map(|pixel| f64::from(pixel.0[channel])).sum::<f64>();
        [0, 1, 2].map(|channel| sum(channel) / count)
    }

    /// Waits until the scene that goes out looks so.
    #[track_caller]
    pub(crate) fn wait_colour(&self, what: &str, patience: Duration, so: impl Fn([f64; 3]) -> bool) {
        let mut last = [0.0; 3];
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline {
            last = self.colour();
            if so(last) {
                return;
            }
            thread::sleep(Duration::from_millis(50));
        }
        panic!("OBS shows {} with the mean colour {last:?} after {patience:?}, not {what}", self.scene());
    }

    /// Waits until that scene goes out.
    #[track_caller]
    pub(crate) fn wait_scene(&self, scene: &str, patience: Duration) {
        wait(&format!("OBS to show {scene}"), patience, || (self.scene() == scene).then_some(()));
    }

    /// Waits until a text source says so.
    #[track_caller]
    pub(crate) fn wait_text(&self, input: &str, wanted: &str, patience: Duration) {
        wait(&format!("the text {input} to say {wanted:?}"), patience, || (self.text(input) == wanted).then_some(()));
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

type Socket = WebSocketStream<TcpStream>;

async fn receive(socket: &mut Socket) -> Result<Value, String> {
    loop {
        match socket.next().await {
            Some(Ok(Message::Text(text))) => return serde_json::from_str(&text).map_err(|error| error.to_string()),
            Some(Ok(Message::Close(frame))) => return Err(format!("closed: {frame:?}")),
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(error.to_string()),
            None => return Err("the connection ended".to_owned()),
        }
    }
}

/// Hello, Identify, Identified: the protocol's own order.
async fn identify(port: u16, password: &str) -> Result<Socket, String> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.map_err(|error| error.to_string())?;
    stream.set_nodelay(true).map_err(|error| error.to_string())?;
    let (mut socket, _) =
        client_async(format!("ws://127.0.0.1:{port}/"), stream).await.map_err(|error| error.to_string())?;
    let hello = receive(&mut socket).await?;
    let asked = &hello["d"]["authentication"];
    let digest = |text: String| BASE64.encode(&Sha256::digest(text.as_bytes()));
    let secret = digest(format!("{password}{}", asked["salt"].as_str().unwrap_or_default()));
    let answer = digest(format!("{secret}{}", asked["challenge"].as_str().unwrap_or_default()));
    let identify = json!({ "rpcVersion": 1, "authentication": answer, "eventSubscriptions": ALL_EVENTS });
    let message = json!({ "op": 1, "d": identify }).to_string();
    socket.send(Message::text(message)).await.map_err(|error| error.to_string())?;
    let identified = receive(&mut socket).await?;
    if identified["op"] == 2 { Ok(socket) } else { Err(format!("not identified: {identified}")) }
}

/// Requests go out, answers find who asked, events are kept.
async fn talk(
    mut socket: Socket,
    mut inbox: channel::UnboundedReceiver<(String, Value, Answers)>,
    events: &Mutex<Vec<Event>>,
) {
    let mut open: Vec<(String, Answers)> = Vec::new();
    let mut next = 0_u64;
    loop {
        tokio::select! {
            request = inbox.recv() => {
                let Some((kind, data, answers)) = request else {
                    let _ = timeout(Duration::from_millis(200), socket.close(None)).await;
                    return;
                };
                next += 1;
                open.push((next.to_string(), answers));
                let request = json!({ "requestType": kind, "requestId": next.to_string(), "requestData": data });
                if socket.send(Message::text(json!({ "op": 6, "d": request }).to_string())).await.is_err() {
                    return;
                }
            }
            message = receive(&mut socket) => {
                let at = Instant::now();
                // Who has asked, and whoever asks from now on, hears that nobody answers.
                let Ok(message) = message else { return };
                let data = &message["d"];
                match message["op"].as_u64() {
                    Some(5) => {
                        let kind = text(&data["eventType"]);
                        events.lock().unwrap().push(Event { at, kind, data: data["eventData"].clone() });
                    }
                    Some(7) => {
                        let id = text(&data["requestId"]);
                        if let Some(position) = open.iter().position(|(open, _)| *open == id) {
                            let (_, answers) = open.swap_remove(position);
                            let status = &data["requestStatus"];
                            let refusal = || Refusal { code: status["code"].as_u64().unwrap_or_default(), comment: text(&status["comment"]) };
                            let answer = if status["result"] == true { Ok(data["responseData"].clone()) } else { Err(refusal()) };
                            let _ = answers.send(answer);
                        }
                    }
                    _ => {}
                }
            }
        }
    }
}
