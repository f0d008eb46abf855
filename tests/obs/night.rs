//! A whole night with an OBS that was empty.

use std::{
    collections::BTreeMap,
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    support::{
        obs::{Observer, PASSWORD},
        wait,
    },
    venue::{SOON, Venue, blue, red, seconds_of, switches},
};

/// Everything that "set it up for me" could change: scenes with their sources, inputs with their settings.
///
/// Without the sizes that OBS reads off a source's picture: the programme has none until its first frame is decoded.
fn everything(observer: &Observer) -> BTreeMap<String, Value> {
    let mut all = BTreeMap::new();
    for scene in observer.scenes() {
        let mut items = observer.request("GetSceneItemList", &json!({ "sceneName": scene }))["sceneItems"].clone();
        for item in items.as_array_mut().into_iter().flatten() {
            let transform = item["sceneItemTransform"].as_object_mut().expect("an item without its place");
            for read_off in ["sourceWidth", "sourceHeight", "width", "height"] {
                transform.remove(read_off);
            }
        }
        all.insert(format!("scene {scene}"), items);
    }
    for (input, kind) in observer.inputs() {
        all.insert(format!("input {input}"), json!({ "kind": kind, "settings": observer.settings(&input) }));
    }
    all
}

/// A key of `[obs]`, as it is now.
#[track_caller]
fn setting(venue: &Venue, key: &str) -> Value {
    let settings = venue.the_box.api.get("/api/v1/settings");
    let settings = settings.as_array().unwrap();
    settings.iter().find(|setting| setting["key"] == key).unwrap_or_else(|| panic!("no {key}"))["value"].clone()
}

#[test]
fn whole_night_is_followed_by_an_obs_that_was_empty() {
    let Some(venue) = Venue::open() else { return };
    let observer = venue.obs.observe();
    // But for a scene of the venue's own, which stays as it is.
    let own = json!({
        "sceneName": "Scene", "inputName": "Logo", "inputKind": "color_source_v3",
        "inputSettings": { "color": 0xffff_00ff_u32, "width": 50, "height": 50 },
    });
    observer.request("CreateInput", &own);
    let before = everything(&observer);
    venue.connect(PASSWORD);
    venue.wait_link("connected");

    let built = venue.the_box.api.post("/api/v1/obs/setup", &json!({}));
    eprintln!("{built}");
    let after = everything(&observer);
    for (what, is) in &before {
        assert_eq!(after.get(what), Some(is), "{what} was touched");
    }
    let name = |key: &str| setting(&venue, key).as_str().unwrap_or_else(|| panic!("{key} is unset")).to_owned();
    let [air, slate, handover] = ["obs.scene_on_air", "obs.scene_slate", "obs.scene_handover"].map(name);
    let [streamer, next, time] = ["obs.text_streamer", "obs.text_next", "obs.text_time"].map(name);
    let programme = name("obs.program_source");
    let kinds: BTreeMap<_, _> = observer.inputs().into_iter().collect();
    assert_eq!(kinds[&programme], "ffmpeg_source");
    // Debian's OBS has no browser sources: texts stand in their place.
    assert!([&streamer, &next, &time].iter().all(|text| kinds[*text].starts_with("text_ft2_source")), "{kinds:?}");
    let all = everything(&observer);
    let again = venue.the_box.api.post("/api/v1/obs/setup", &json!({}));
    assert_eq!(again["made"], json!([]), "the second time makes nothing: {again}");
    assert_eq!(everything(&observer), all, "and changes nothing");

    // Nobody. A person gives the box the wheel, if it does not have it: OBS shows another scene still.
    if observer.scene() == "Scene" {
        observer.choose(&slate);
    }
    observer.wait_scene(&slate, SOON);
    let of_slate = |[red, green, blue]: [f64; 3]| red + green + blue > 20.0 && (red - blue).abs() < 90.0;
    observer.wait_colour("the box's slate", SOON, of_slate);

    // Anna.
    let begin = Instant::now();
    let anna = venue.anna();
    venue.the_box.api.wait_on_air("Anna", SOON);
    observer.wait_scene(&air, SOON);
    observer.wait_text(&streamer, "Anna", SOON);
    observer.wait_colour("Anna's red", SOON, red);
    let left = |observer: &Observer| seconds_of(&observer.text(&time)).unwrap_or_default();
    let first = left(&observer);
    assert!((560..=600).contains(&first), "{first} s left");
    let watched = Instant::now();
    thread::sleep(Duration::from_millis(3200));
    let gone = first - left(&observer);
    assert!((2..=5).contains(&gone), "{gone} s went by in 3.2 s");
    let ticks = observer.events_of("InputSettingsChanged", watched);
    let ticks = ticks.iter().filter(|event| event.data["inputName"] == time).count();
    assert!((2..=5).contains(&ticks), "the time once a second at most: {ticks} times in 3.2 s");

    // Bert is next, and then is handed over to.
    let bert = venue.bert();
    venue.the_box.api.wait_ready("Bert", SOON);
    wait("Bert to be named", SOON, || observer.text(&next).contains("Bert").then_some(()));
    let skipped = Instant::now();
    venue.the_box.api.take("Bert");
    venue.the_box.api.wait_on_air("Bert", SOON);
    observer.wait_text(&streamer, "Bert", SOON);
    wait("the scene of the handover, and then that of the air", SOON, || {
        let seen = switches(&observer, skipped);
        (seen.len() >= 2).then_some(seen)
    });
    assert_eq!(switches(&observer, skipped), [handover, air.clone()]);
    observer.wait_colour("Bert's blue", SOON, blue);

    // Panic, and back.
    venue.slate(true);
    observer.wait_scene(&slate, SOON);
    observer.wait_colour("the box's slate", SOON, of_slate);
    venue.slate(false);
    observer.wait_scene(&air, SOON);
    observer.wait_colour("Bert's blue", SOON, blue);

    // Nobody again.
    drop((anna, bert));
    observer.wait_scene(&slate, SOON);
    observer.wait_colour("the box's slate", SOON, of_slate);
    let status = venue.status();
    assert_eq!((&status["problems"], &status["left_alone"]), (&json!([]), &Value::Null), "{status}");
    eprintln!("switches: {:?} in {:?}", switches(&observer, begin), begin.elapsed());
}
