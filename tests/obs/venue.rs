//! A venue: a box, its OBS with scenes of the venue's own, and a platform.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{
    assets::Asset,
    boxed::{Streamer, TheBox},
    obs::{Observer, PASSWORD, RealObs},
    publisher::Encoder,
    recorder::Recorder,
    seconds, wait,
};

/// The venue's scenes.
pub(crate) const AIR: &str = "Air";
pub(crate) const PAUSE: &str = "Pause";
pub(crate) const CHANGE: &str = "Change";
/// A scene that is not in the mapping.
pub(crate) const OTHER: &str = "Interview";

/// How long anything may take that has no promise of its own.
pub(crate) const SOON: Duration = seconds(15);

/// Mostly red: what Anna sends.
pub(crate) fn red([red, green, blue]: [f64; 3]) -> bool {
    red > 120.0 && green < 90.0 && blue < 90.0
}

/// Mostly blue: what Bert sends.
pub(crate) fn blue([red, green, blue]: [f64; 3]) -> bool {
    blue > 120.0 && green < 90.0 && red < 90.0
}

/// Mostly green: the venue's own pause.
pub(crate) fn green([red, green, blue]: [f64; 3]) -> bool {
    green > 120.0 && red < 90.0 && blue < 90.0
}

/// All of it.
pub(crate) struct Venue {
    pub(crate) obs: RealObs,
    pub(crate) the_box: TheBox,
    pub(crate) platform: Recorder,
    pub(crate) streamers: [Streamer; 2],
}

impl Venue {
    /// A box and an OBS that know nothing of each other; Anna and Bert are registered. None without an OBS.
    pub(crate) fn open() -> Option<Self> {
        Self::open_with(|_| ())
    }

    /// The same; `prepare` sees the OBS before it runs.
    pub(crate) fn open_with(prepare: impl FnOnce(&mut RealObs)) -> Option<Self> {
        let mut obs = RealObs::prepare()?;
        prepare(&mut obs);
        obs.run();
        let platform = Recorder::start();
        let the_box = TheBox::builder()
            .set("queue.turn_seconds", 600)
            .set("queue.rejoin_seconds", 2)
            .destination("recorder", &platform.url())
            .start();
        let streamers = ["Anna", "Bert"].map(|name| the_box.api.register(name));
        Some(Self { obs, the_box, platform, streamers })
    }

    /// Gives OBS the venue's own scenes, and the box a mapping to them; waits until they are connected and the pause is shown.
    pub(crate) fn furnish(&self) {
        let observer = self.obs.observe();
        for scene in [AIR, PAUSE, CHANGE, OTHER] {
            observer.request("CreateScene", &json!({ "sceneName": scene }));
        }
        let token = self.the_box.api.post("/api/v1/viewers", &json!({ "label": "the stage" }))["token"].clone();
        let programme = self.the_box.api.url(&format!("/program.flv?token={}", token.as_str().unwrap()));
        let media = json!({ "is_local_file": false, "input": programme, "reconnect_delay_sec": 1, "restart_on_activate": false });
        let kinds = observer.request("GetInputKindList", &json!({}));
        let kind = |wanted: &str| {
            let kinds = kinds["inputKinds"].as_array().unwrap().iter();
            kinds.map(|kind| kind.as_str().unwrap()).find(|kind| kind.starts_with(wanted)).unwrap().to_owned()
        };
        let colour =
            |bgr: u32, width: u32, height: u32| json!({ "color": bgr | 0xff00_0000, "width": width, "height": height });
        // Small: the picture below is to be judged.
        let words = |text: &str| json!({ "text": text, "font": { "face": "DejaVu Sans", "size": 10 } });
        let (text, plain) = (kind("text_ft2_source"), kind("color_source"));
        for (scene, name, kind, settings) in [
            (AIR, "Programme", "ffmpeg_source", media),
            (AIR, "Name", &text, words("nobody yet")),
            (AIR, "Next", &text, words("nobody yet")),
            (AIR, "Clock", &text, words("no time yet")),
            (AIR, "Banner", &plain, colour(0x00ff_ffff, 20, 10)),
            (PAUSE, "Curtain", &plain, colour(0x0000_ff00, 320, 180)),
            (CHANGE, "Applause", &plain, colour(0x0000_ffff, 320, 180)),
            (OTHER, "Sofa", &plain, colour(0x00ff_00ff, 320, 180)),
        ] {
            observer.request(
                "CreateInput",
                &json!({ "sceneName": scene, "inputName": name, "inputKind": kind, "inputSettings": settings }),
            );
        }
        // The transition of a stage that wants to be quick.
        observer.request("SetCurrentSceneTransition", &json!({ "transitionName": "Cut" }));
        observer.choose(PAUSE);
        self.settings(&json!({
            "obs.scene_on_air": AIR, "obs.scene_slate": PAUSE, "obs.scene_handover": CHANGE, "obs.handover_seconds": 1,
            "obs.text_streamer": "Name", "obs.text_next": "Next", "obs.text_time": "Clock", "obs.show_next": ["Banner"],
        }));
        self.connect(PASSWORD);
        self.wait_link("connected");
    }

    /// Tells the box where its OBS is.
    pub(crate) fn connect(&self, password: &str) {
        self.settings(&json!({ "obs.host": "127.0.0.1", "obs.port": self.obs.port, "obs.password": password }));
    }

    /// Changes settings, as an admin does on the page.
    #[track_caller]
    pub(crate) fn settings(&self, changes: &Value) {
        self.the_box.api.call(&Method::PATCH, "/api/v1/settings", Some(changes));
    }

    /// What the box says of its OBS.
    #[track_caller]
    pub(crate) fn status(&self) -> Value {
        self.the_box.api.get("/api/v1/obs/status")
    }

    /// Waits until the box says so of its OBS.
    #[track_caller]
    pub(crate) fn wait_status(&self, what: &str, patience: Duration, so: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + patience;
        loop {
            let status = self.status();
            if so(&status) {
                return status;
            }
            assert!(Instant::now() < deadline, "waited {patience:?} in vain for {what}: {status}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until the connection is in that state.
    #[track_caller]
    pub(crate) fn wait_link(&self, state: &str) -> Value {
        self.wait_status(&format!("the connection to be {state}"), SOON, |status| status["link"]["state"] == state)
    }

    /// Anna, who sends red.
    pub(crate) fn anna(&self) -> Encoder {
        Encoder::publish(&Asset::Red.path(), &self.the_box.publish_url(&self.streamers[0].key))
    }

    /// Bert, who sends blue.
    pub(crate) fn bert(&self) -> Encoder {
        Encoder::publish(&Asset::Blue.path(), &self.the_box.publish_url(&self.streamers[1].key))
    }

    /// Anna on air with Bert behind her, in the venue's own scenes. The encoders go on until they are dropped.
    pub(crate) fn anna_on_air(&self) -> (Observer, [Encoder; 2]) {
        self.furnish();
        let anna = self.anna();
        self.the_box.api.wait_on_air("Anna", SOON);
        let bert = self.bert();
        self.the_box.api.wait_ready("Bert", SOON);
        let observer = self.obs.observe();
        observer.wait_scene(AIR, SOON);
        (observer, [anna, bert])
    }

    /// Begins or ends the panic slate.
    #[track_caller]
    pub(crate) fn slate(&self, on: bool) {
        self.the_box.api.post("/api/v1/queue/slate", &json!({ "on": on }));
    }

    /// The programme's figures.
    #[track_caller]
    pub(crate) fn program(&self) -> Value {
        self.the_box.api.get("/api/v1/status")["program"].clone()
    }
}

/// The scenes that OBS switched to from `since` on, in their order.
pub(crate) fn switches(observer: &Observer, since: Instant) -> Vec<String> {
    let events = observer.events_of("CurrentProgramSceneChanged", since);
    events.iter().map(|event| event.data["sceneName"].as_str().unwrap().to_owned()).collect()
}

/// Whether a source of a scene is shown.
#[track_caller]
pub(crate) fn shown(observer: &Observer, scene: &str, source: &str) -> bool {
    let items = observer.items(scene);
    items.iter().find(|(name, _)| name == source).unwrap_or_else(|| panic!("no {source} in {scene}: {items:?}")).1
}

/// Waits until a source of a scene is shown, or hidden.
#[track_caller]
pub(crate) fn wait_shown(observer: &Observer, scene: &str, source: &str, on: bool) {
    wait(&format!("{source} in {scene} to be shown: {on}"), SOON, || {
        (shown(observer, scene, source) == on).then_some(())
    });
}

/// Seconds in words like `9:58` or `1:00:00`.
pub(crate) fn seconds_of(clock: &str) -> Option<u64> {
    let parts: Option<Vec<u64>> = clock.split(':').map(|part| part.parse().ok()).collect();
    let parts = parts.filter(|parts| parts.len() > 1)?;
    Some(parts.into_iter().fold(0, |sum, part| sum * 60 + part))
}
