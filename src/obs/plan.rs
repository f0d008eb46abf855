//! What OBS is to show, and the next steps that bring it there. Pure: what is wanted and what OBS shows come in, steps come out.
//!
//! The order never shows an empty frame: cue, show, hide. Texts, and what is to be seen in the scene that comes next, come first; then
//! sources begin anew; then the scene is switched; only when the transition is over are the other scenes made ready. Planning on the
//! state that is reached gives no steps.

use std::collections::{BTreeMap, BTreeSet};

use super::{Act, InputRole, Stage};
use crate::config::ObsConfig;

/// What an OBS shows, as far as the mapping names it: read at the start of a connection, followed by its events.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Seen {
    /// Scenes, in OBS's order from the top.
    pub(super) scenes: Vec<String>,
    /// The scene of the programme.
    pub(super) program: Option<String>,
    /// Kinds of the inputs by name.
    pub(super) inputs: BTreeMap<String, String>,
    /// Where the sources that are shown and hidden stand.
    pub(super) items: Vec<Item>,
    /// The texts of text sources.
    pub(super) texts: BTreeMap<String, String>,
    /// Whether the transition from one scene to another runs.
    pub(super) in_transition: bool,
    /// Studio mode.
    pub(super) studio: bool,
    /// The scene that OBS came back with after it had ended while it followed: it was saved some time, and nobody chose it.
    pub(super) saved: Option<String>,
}

/// A source in a scene.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Item {
    /// The scene that it is seen in.
    pub(super) scene: String,
    /// The scene or group that it lies in: a group may be part of several scenes.
    pub(super) parent: String,
    /// Its number in there.
    pub(super) id: i64,
    /// The source's name.
    pub(super) source: String,
    /// Whether it is shown.
    pub(super) enabled: bool,
}

/// What is wanted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'a> {
    /// The part of the evening, after the handover's least time.
    pub(super) act: Act,
    /// The rest of the stage.
    pub(super) stage: &'a Stage,
    /// The time left, in words.
    pub(super) time: &'a str,
    /// Whether a take is new: sources begin anew.
    pub(super) restart: bool,
}

/// One request.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    /// Writes a text source's text.
    Text {
        /// The text source.
        input: String,
        /// Its text.
        text: String,
    },
    /// Shows or hides a source.
    Visible {
        /// The scene or group.
        parent: String,
        /// The source's number there.
        id: i64,
        /// The source's name.
        source: String,
        /// Shows it, or hides it.
        on: bool,
    },
    /// Lets a source begin anew.
    Restart {
        /// The source.
        input: String,
        /// What it is.
        role: InputRole,
    },
    /// Switches the scene of the programme.
    Switch {
        /// The scene.
        scene: String,
    },
}

/// What an input can be used for, by its kind.
pub(super) fn role(kind: &str) -> InputRole {
    // Kinds carry a version ("text_ft2_source_v2", "text_gdiplus_v3").
    if kind.starts_with("text_ft2_source") || kind.starts_with("text_gdiplus") {
        InputRole::Text
    } else if kind.starts_with("ffmpeg_source") || kind.starts_with("vlc_source") {
        InputRole::Media
    } else if kind.starts_with("browser_source") {
        InputRole::Browser
    } else {
        InputRole::Other
    }
}

/// The scenes that the mapping names, each once.
pub(super) fn mapped(config: &ObsConfig) -> Vec<&str> {
    let mut scenes = Vec::new();
    for scene in [&config.scene_on_air, &config.scene_slate, &config.scene_handover].into_iter().flatten() {
        if !scenes.contains(&scene.as_str()) {
            scenes.push(scene.as_str());
        }
    }
    scenes
}

/// The scenes whose sources are looked after: those of the mapping that exist, or the one that is shown where none is mapped.
pub(super) fn ours(config: &ObsConfig, scenes: &[String], program: Option<&str>) -> Vec<String> {
    let mapped = mapped(config);
    if mapped.is_empty() {
        return program.map(str::to_owned).into_iter().collect();
    }
    mapped.into_iter().filter(|scene| scenes.iter().any(|there| there == scene)).map(str::to_owned).collect()
}

/// The sources that are shown and hidden, each once.
pub(super) fn sources(config: &ObsConfig) -> BTreeSet<&str> {
    [&config.show_on_air, &config.show_next, &config.show_slate].into_iter().flatten().map(String::as_str).collect()
}

/// The text sources, each once.
pub(super) fn texts(config: &ObsConfig) -> BTreeSet<&str> {
    [&config.text_streamer, &config.text_next, &config.text_time].into_iter().flatten().map(String::as_str).collect()
}

/// The scene for a part of the evening; none if the mapping does not say, or names one that is not there.
pub(super) fn scene_for<'a>(config: &'a ObsConfig, act: Act, seen: &Seen) -> Option<&'a str> {
    let scene = match act {
        Act::Slate => config.scene_slate.as_deref(),
        Act::OnAir => config.scene_on_air.as_deref(),
        Act::Handover => config.scene_handover.as_deref().or(config.scene_on_air.as_deref()),
    }?;
    seen.scenes.iter().any(|there| there == scene).then_some(scene)
}

/// The scene that somebody chose, if OBS is to be left alone for it.
pub(super) fn left_alone<'a>(config: &ObsConfig, seen: &'a Seen) -> Option<&'a str> {
    let mapped = mapped(config);
    let shown = seen.program.as_deref().filter(|_| seen.program != seen.saved)?;
    (config.only_our_scenes && !mapped.is_empty() && !mapped.contains(&shown)).then_some(shown)
}

/// The steps to the next switch of the scene, or all that are left when there is none to make. In order.
pub(super) fn steps(config: &ObsConfig, wanted: &Wanted<'_>, seen: &Seen) -> Vec<Step> {
    if left_alone(config, seen).is_some() {
        return Vec::new();
    }
    let mut steps = texts_to_write(config, wanted, seen);
    let target = scene_for(config, wanted.act, seen).map(str::to_owned).or_else(|| seen.program.clone());
    let switch = target.is_some() && target != seen.program;
    // What is on the screen now, through whichever scene or group: nothing of it is hidden before the switch.
    let on_screen: BTreeSet<(&str, i64)> = seen
        .items
        .iter()
        .filter(|item| Some(&item.scene) == seen.program.as_ref())
        .map(|item| (item.parent.as_str(), item.id))
        .collect();
    let mut show = Vec::new();
    let mut hide = Vec::new();
    for item in seen.items.iter().filter(|item| Some(&item.scene) == target.as_ref()) {
        let on = visible(config, wanted, &item.source);
        if on && !item.enabled {
            show.push(change(item, on));
        } else if !on && item.enabled && !(switch && on_screen.contains(&(item.parent.as_str(), item.id))) {
            hide.push(change(item, on));
        }
    }
    steps.append(&mut show);
    steps.append(&mut hide);
    if wanted.restart {
        steps.extend(config.restart_at_take.iter().filter_map(|input| {
            let role = role(seen.inputs.get(input)?);
            matches!(role, InputRole::Media | InputRole::Browser).then(|| Step::Restart { input: input.clone(), role })
        }));
    }
    if switch {
        steps.extend(target.map(|scene| Step::Switch { scene }));
    } else if !seen.in_transition {
        // The old scene is off the screen by now; so it is ready when it comes again.
        let others = seen.items.iter().filter(|item| Some(&item.scene) != target.as_ref());
        for item in others {
            let on = visible(config, wanted, &item.source);
            let step = change(item, on);
            if on != item.enabled && !steps.contains(&step) {
                steps.push(step);
            }
        }
    }
    steps
}

/// What `step` does to what is seen.
pub(super) fn done(step: &Step, seen: &mut Seen) {
    match step {
        Step::Text { input, text } => {
            seen.texts.insert(input.clone(), text.clone());
        }
        Step::Visible { parent, id, on, .. } => set_visible(seen, parent, *id, *on),
        Step::Restart { .. } => {}
        Step::Switch { scene } => switched(seen, scene.clone()),
    }
}

/// Takes over that a scene is shown.
pub(super) fn switched(seen: &mut Seen, scene: String) {
    (seen.program, seen.saved) = (Some(scene), None);
}

/// Takes over that an item is shown or hidden.
pub(super) fn set_visible(seen: &mut Seen, parent: &str, id: i64, on: bool) {
    for item in seen.items.iter_mut().filter(|item| item.parent == parent && item.id == id) {
        item.enabled = on;
    }
}

/// What of the mapping this OBS does not have, in words.
pub(super) fn missing(config: &ObsConfig, seen: &Seen) -> Vec<String> {
    let mut problems = Vec::new();
    let scenes = [
        ("scene_on_air", &config.scene_on_air),
        ("scene_slate", &config.scene_slate),
        ("scene_handover", &config.scene_handover),
    ];
    for (key, scene) in scenes.into_iter().filter_map(|(key, scene)| Some((key, scene.as_ref()?))) {
        if !seen.scenes.contains(scene) {
            problems.push(format!("OBS has no scene \"{scene}\" (obs.{key})"));
        }
    }
    let lists =
        [("show_on_air", &config.show_on_air), ("show_next", &config.show_next), ("show_slate", &config.show_slate)];
    for (key, source) in lists.into_iter().flat_map(|(key, list)| list.iter().map(move |source| (key, source))) {
        if !seen.items.iter().any(|item| &item.source == source) {
            problems.push(format!("no scene of the mapping holds a source \"{source}\" (obs.{key})"));
        }
    }
    let single = [
        ("text_streamer", &config.text_streamer, &[InputRole::Text][..], "text source"),
        ("text_next", &config.text_next, &[InputRole::Text], "text source"),
        ("text_time", &config.text_time, &[InputRole::Text], "text source"),
        ("program_source", &config.program_source, &[InputRole::Media], "media source"),
    ];
    let restarts = config.restart_at_take.iter().map(|input| {
        ("restart_at_take", input, &[InputRole::Media, InputRole::Browser][..], "media or browser source")
    });
    let inputs = single.into_iter().filter_map(|(key, input, roles, words)| Some((key, input.as_ref()?, roles, words)));
    for (key, input, roles, words) in inputs.chain(restarts) {
        match seen.inputs.get(input) {
            None => problems.push(format!("OBS has no source \"{input}\" (obs.{key})")),
            Some(kind) if !roles.contains(&role(kind)) => {
                problems.push(format!("\"{input}\" is no {words} in OBS (obs.{key})"));
            }
            Some(_) => {}
        }
    }
    if seen.studio && !sources(config).is_empty() {
        problems.push(
            "OBS is in studio mode: sources that are shown or hidden in the scene that is on may be seen only at its next switch"
                .to_owned(),
        );
    }
    problems
}

fn change(item: &Item, on: bool) -> Step {
    Step::Visible { parent: item.parent.clone(), id: item.id, source: item.source.clone(), on }
}

fn visible(config: &ObsConfig, wanted: &Wanted<'_>, source: &str) -> bool {
    let named = |list: &[String]| list.iter().any(|name| name == source);
    named(&config.show_on_air) && wanted.act != Act::Slate
        || named(&config.show_next) && wanted.stage.next.is_some()
        || named(&config.show_slate) && wanted.act == Act::Slate
}

fn texts_to_write(config: &ObsConfig, wanted: &Wanted<'_>, seen: &Seen) -> Vec<Step> {
    let texts = [
        (&config.text_streamer, wanted.stage.streamer.as_deref().unwrap_or_default()),
        (&config.text_next, wanted.stage.next.as_deref().unwrap_or_default()),
        (&config.text_time, wanted.time),
    ];
    // One source may be named twice; the first use wins, so that two do not overwrite each other for ever.
    let mut written = BTreeSet::new();
    let mut steps = Vec::new();
    for (input, text) in texts {
        let Some(input) = input else { continue };
        let is_text = seen.inputs.get(input).is_some_and(|kind| role(kind) == InputRole::Text);
        if is_text && written.insert(input) && seen.texts.get(input).map(String::as_str) != Some(text) {
            steps.push(Step::Text { input: input.clone(), text: text.to_owned() });
        }
    }
    steps
}
