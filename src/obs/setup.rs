//! "Set it up for me": the scenes and sources of a show, made in an OBS that does not have them. What exists is left as it is.

use std::collections::BTreeMap;

use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use super::{
    Built, InputRole, SetUp,
    link::{Area, Fault, ObsClient},
    plan,
};

const ON_AIR: &str = "Motherstream - On air";
const SLATE: &str = "Motherstream - Slate";
const HANDOVER: &str = "Motherstream - Handover";
/// The media source that "set it up for me" makes for the programme.
pub const PROGRAMME: &str = "Motherstream - Programme";
const QUEUE: &str = "Motherstream - Queue";
const TIMER: &str = "Motherstream - Timer";
const NOW: &str = "Motherstream - Now";
const STREAMER: &str = "Motherstream - Streamer";
const NEXT: &str = "Motherstream - Next";
const TIME: &str = "Motherstream - Time left";

/// A source of the show: its kind and settings, and where it stands in which scenes, from the bottom up.
#[derive(Clone, Debug, PartialEq)]
struct Source {
    name: &'static str,
    kind: String,
    settings: Value,
    scenes: &'static [&'static str],
    area: Area,
}

/// What a show needs in an OBS that can make `kinds` and has a canvas of so many pixels. Pure.
fn sources(wanted: &SetUp, kinds: &[String], (width, height): (u32, u32)) -> Vec<Source> {
    let pixels = |share: f32, whole: u32| (whole as f32 * share).round();
    let area = |x: f32, y: f32, w: f32, h: f32| Area {
        x: pixels(x, width),
        y: pixels(y, height),
        width: pixels(w, width).max(1.0),
        height: pixels(h, height).max(1.0),
    };
    let mut sources = Vec::new();
    if let Some(kind) = newest(kinds, "ffmpeg_source") {
        let settings = programme(wanted.programme.expose_secret());
        // The slate is part of the programme, so it is in every scene.
        let scenes = &[ON_AIR, SLATE, HANDOVER];
        sources.push(Source { name: PROGRAMME, kind, settings, scenes, area: area(0.0, 0.0, 1.0, 1.0) });
    }
    if let Some(kind) = newest(kinds, "browser_source") {
        let page = |name, url: &str, scenes, area: Area| Source {
            name,
            kind: kind.clone(),
            settings: json!({
                "url": url, "width": area.width, "height": area.height,
                "shutdown": false, "restart_when_active": false, "reroute_audio": false,
            }),
            scenes,
            area,
        };
        sources.push(page(QUEUE, &wanted.queue, &[SLATE, HANDOVER], area(0.68, 0.2, 0.3, 0.6)));
        sources.push(page(TIMER, &wanted.timer, &[ON_AIR], area(0.78, 0.04, 0.2, 0.14)));
        sources.push(page(NOW, &wanted.now, &[ON_AIR, HANDOVER], area(0.02, 0.8, 0.5, 0.16)));
    } else if let Some(kind) = newest(kinds, "text_gdiplus").or_else(|| newest(kinds, "text_ft2_source")) {
        let face = if kind.starts_with("text_gdiplus") { "Arial" } else { "Sans Serif" };
        let size = pixels(0.06, height).max(8.0);
        let text = |name, scenes, area| Source {
            name,
            kind: kind.clone(),
            settings: json!({ "text": "", "font": { "face": face, "size": size, "style": "Regular", "flags": 0 } }),
            scenes,
            area,
        };
        sources.push(text(STREAMER, &[ON_AIR, HANDOVER], area(0.02, 0.88, 0.45, 0.08)));
        sources.push(text(NEXT, &[SLATE, HANDOVER], area(0.53, 0.88, 0.45, 0.08)));
        sources.push(text(TIME, &[ON_AIR], area(0.83, 0.04, 0.15, 0.08)));
    }
    sources
}

/// A media source that plays an address as it is: at once again when it ends, and the last picture until then.
fn programme(address: &str) -> Value {
    json!({
        "is_local_file": false, "input": address, "input_format": "flv", "reconnect_delay_sec": 1, "buffering_mb": 1,
        "close_when_inactive": false, "restart_on_activate": false, "clear_on_media_end": false, "seekable": false,
        "looping": false,
    })
}

/// The newest version of a kind. Versions count up in the name (`text_gdiplus_v3`); the plain name is the first.
fn newest(kinds: &[String], name: &str) -> Option<String> {
    kinds.iter().filter(|kind| kind.as_str() == name || kind.starts_with(&format!("{name}_v"))).max().cloned()
}

/// Makes what is not there.
pub(super) async fn build(obs: &ObsClient, wanted: &SetUp) -> Result<Built, Fault> {
    let sources = sources(wanted, &obs.kinds().await?, obs.canvas().await?);
    let mut inputs = obs.inputs().await?;
    let scenes = obs.scenes().await?;
    let mut built = Built::default();
    for scene in [ON_AIR, SLATE, HANDOVER] {
        if scenes.contains(scene) {
            built.kept.push(scene.to_owned());
        } else {
            obs.make_scene(scene).await?;
            built.made.push(scene.to_owned());
        }
    }
    for source in &sources {
        let there = inputs.contains_key(source.name);
        for scene in source.scenes {
            // A source that was there goes into scenes that are new; a new one goes everywhere it belongs.
            let item = if !inputs.contains_key(source.name) {
                let item = obs.make_input(scene, source.name, &source.kind, &source.settings).await?;
                inputs.insert(source.name.to_owned(), source.kind.clone());
                item
            } else if !there || !scenes.contains(*scene) {
                obs.add(scene, source.name).await?
            } else {
                continue;
            };
            obs.place(scene, item, source.area).await?;
        }
        let names = if there { &mut built.kept } else { &mut built.made };
        names.push(source.name.to_owned());
    }
    built.mapping = mapping(&inputs);
    Ok(built)
}

/// Keys of `[obs]` for the scenes, and for the sources that are there and of a kind that they can be used as.
fn mapping(inputs: &BTreeMap<String, String>) -> BTreeMap<String, Value> {
    let is = |name: &str, role| inputs.get(name).is_some_and(|kind| plan::role(kind) == role);
    let mut mapping: BTreeMap<String, Value> =
        [("scene_on_air", ON_AIR), ("scene_slate", SLATE), ("scene_handover", HANDOVER)]
            .map(|(key, scene)| (key.to_owned(), json!(scene)))
            .into();
    let single = [
        ("program_source", PROGRAMME, InputRole::Media),
        ("text_streamer", STREAMER, InputRole::Text),
        ("text_next", NEXT, InputRole::Text),
        ("text_time", TIME, InputRole::Text),
    ];
    for (key, input, role) in single {
        if is(input, role) {
            mapping.insert(key.to_owned(), json!(input));
        }
    }
    let lists = [
        ("show_on_air", &[(TIMER, InputRole::Browser), (TIME, InputRole::Text)][..]),
        ("show_next", &[(NEXT, InputRole::Text)]),
    ];
    for (key, names) in lists {
        let names: Vec<_> = names.iter().filter(|(name, role)| is(name, *role)).map(|(name, _)| name).collect();
        if !names.is_empty() {
            mapping.insert(key.to_owned(), json!(names));
        }
    }
    mapping
}

/// Points a media source at the programme.
pub(super) async fn play(obs: &ObsClient, input: &str, address: &str) -> Result<(), Fault> {
    let inputs = obs.inputs().await?;
    match inputs.get(input).map(String::as_str) {
        None => Err(Fault::Refused(format!("there is no source \"{input}\""))),
        Some(kind) if !kind.starts_with("ffmpeg_source") => {
            Err(Fault::Refused(format!("\"{input}\" is no media source that plays addresses")))
        }
        Some(_) => obs.set(input, &programme(address)).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted() -> SetUp {
        SetUp {
            programme: "http://box/program.flv?token=secret".to_owned().into(),
            queue: "http://box/queue-list".to_owned(),
            timer: "http://box/timer".to_owned(),
            now: "http://box/now".to_owned(),
        }
    }

    fn kinds(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn inputs(sources: &[Source]) -> BTreeMap<String, String> {
        sources.iter().map(|source| (source.name.to_owned(), source.kind.clone())).collect()
    }

    #[test]
    fn pages_are_browser_sources_where_there_are_any_and_texts_where_not() {
        let browser = sources(&wanted(), &kinds(&["ffmpeg_source", "browser_source", "text_gdiplus_v3"]), (1920, 1080));
        let names: Vec<_> = browser.iter().map(|source| source.name).collect();
        assert_eq!(names, [PROGRAMME, QUEUE, TIMER, NOW]);
        let mapped = mapping(&inputs(&browser));
        assert_eq!(mapped.get("show_on_air"), Some(&json!([TIMER])));
        assert_eq!(mapped.get("text_time"), None);
        let text = sources(&wanted(), &kinds(&["ffmpeg_source", "text_ft2_source_v2"]), (320, 180));
        let names: Vec<_> = text.iter().map(|source| source.name).collect();
        assert_eq!(names, [PROGRAMME, STREAMER, NEXT, TIME]);
        let mapped = mapping(&inputs(&text));
        assert_eq!(mapped.get("text_time"), Some(&json!(TIME)));
        assert_eq!(mapped.get("program_source"), Some(&json!(PROGRAMME)));
    }

    #[test]
    fn everything_lies_in_the_canvas() {
        for canvas in [(1920, 1080), (320, 180), (1080, 1920), (8, 8)] {
            for kind in ["browser_source", "text_gdiplus_v3"] {
                for source in sources(&wanted(), &kinds(&["ffmpeg_source", kind]), canvas) {
                    let area = source.area;
                    assert!(area.x >= 0.0 && area.y >= 0.0 && area.width >= 1.0 && area.height >= 1.0, "{source:?}");
                    assert!(area.x + area.width <= canvas.0 as f32 + 1.0, "{source:?}");
                    assert!(area.y + area.height <= canvas.1 as f32 + 1.0, "{source:?}");
                }
            }
        }
    }

    #[test]
    fn newest_version_of_a_kind_is_taken_and_no_other_kind() {
        let all = kinds(&["text_gdiplus", "text_gdiplus_v3", "text_gdiplus_v2", "text_gdiplusplus"]);
        assert_eq!(newest(&all, "text_gdiplus").as_deref(), Some("text_gdiplus_v3"));
        assert_eq!(newest(&all, "text_ft2_source"), None);
    }

    #[test]
    fn source_of_our_name_and_another_kind_is_not_mapped() {
        let there = [(PROGRAMME.to_owned(), "image_source".to_owned())].into();
        assert_eq!(mapping(&there).get("program_source"), None);
    }
}
