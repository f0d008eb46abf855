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

/// How OBS shall be now.
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
        /// What it shall show.
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
        /// The source's name.
        input: String,
        /// Whether it plays media or shows a page, which begin anew in different ways.
        role: InputRole,
    },
    /// Switches the scene of the programme.
    Switch {
        /// The scene's name.
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

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use proptest::{prelude::*, sample::select};

    use super::{super::tests::unset, *};

    const SCENES: [&str; 4] = ["on", "slate", "between", "own"];
    const SOURCES: [&str; 4] = ["timer", "banner", "logo", "other"];

    fn maybe(names: &'static [&'static str]) -> impl Strategy<Value = Option<String>> {
        prop::option::of(select(names).prop_map(str::to_owned))
    }

    fn some(names: &'static [&'static str]) -> impl Strategy<Value = Vec<String>> {
        prop::collection::vec(select(names).prop_map(str::to_owned), 0..3)
    }

    prop_compose! {
        fn mapping()(
            scene_on_air in maybe(&["on", "missing"]), scene_slate in maybe(&["slate", "on"]),
            scene_handover in maybe(&["between", "on"]), only_our_scenes in any::<bool>(),
            show_on_air in some(&SOURCES), show_next in some(&SOURCES), show_slate in some(&SOURCES),
            text_streamer in maybe(&["name"]), text_next in maybe(&["next", "name", "movie"]), text_time in maybe(&["time"]),
            restart_at_take in some(&["movie", "page", "name", "missing"]),
        ) -> ObsConfig {
            ObsConfig {
                only_our_scenes, scene_on_air, scene_slate, scene_handover, show_on_air, show_next, show_slate,
                text_streamer, text_next, text_time, restart_at_take, ..unset()
            }
        }
    }

    prop_compose! {
        /// An OBS with some sources in its scenes, one group of which may be in several.
        fn shown()(
            program in select(&SCENES[..]),
            items in prop::collection::vec((select(&SCENES[..]), select(&SOURCES[..]), any::<bool>(), any::<bool>()), 0..12),
            texts in prop::collection::btree_map(select(&["name", "next", "time"][..]), select(&["", "x", "A"][..]), 0..3),
        ) -> Seen {
            let mut found: Vec<Item> = Vec::new();
            for (id, (scene, source, enabled, grouped)) in (0..).zip(items) {
                let parent = if grouped { "group" } else { scene };
                // In a group a source is one item, in however many scenes the group is.
                let shared = (1000..).zip(SOURCES).find(|(_, name)| *name == source).unwrap().0;
                let id = if grouped { shared } else { id };
                let before = found.iter().find(|item| item.parent == parent && item.id == id);
                let enabled = before.map_or(enabled, |item| item.enabled);
                let (scene, parent, source) = (scene.to_owned(), parent.to_owned(), source.to_owned());
                found.push(Item { scene, parent, id, source, enabled });
            }
            let kinds = [("name", "text_ft2_source_v2"), ("next", "text_gdiplus_v3"), ("time", "text_ft2_source_v2"),
                ("movie", "ffmpeg_source"), ("page", "browser_source")];
            Seen {
                scenes: SCENES.map(str::to_owned).to_vec(),
                program: Some(program.to_owned()),
                inputs: kinds.map(|(name, kind)| (name.to_owned(), kind.to_owned())).into(),
                items: found,
                texts: texts.into_iter().map(|(name, text)| (name.to_owned(), text.to_owned())).collect(),
                ..Seen::default()
            }
        }
    }

    prop_compose! {
        fn stage()(
            act in select(&[Act::Slate, Act::Handover, Act::OnAir][..]), streamer in maybe(&["A", "B"]), next in maybe(&["B", "C"]),
        ) -> Stage {
            Stage { show: true, act, streamer, next, ..Stage::default() }
        }
    }

    fn on_screen(seen: &Seen, parent: &str, id: i64) -> bool {
        let shown = seen.items.iter().filter(|item| Some(&item.scene) == seen.program.as_ref());
        shown.into_iter().any(|item| item.parent == parent && item.id == id)
    }

    proptest! {
        /// Whatever is wanted is to be seen before its scene comes, and nothing goes from the screen before the scene does.
        #[test]
        fn no_empty_frame_is_ever_shown(config in mapping(), seen in shown(), stage in stage(), restart in any::<bool>()) {
            let mut seen = seen;
            let mut wanted = Wanted { act: stage.act, stage: &stage, time: "1:00", restart };
            let target = scene_for(&config, wanted.act, &seen).map(str::to_owned);
            for _ in 0..3 {
                for step in steps(&config, &wanted, &seen) {
                    let there = target.is_none() || target == seen.program;
                    match &step {
                        Step::Visible { parent, id, on: false, .. } => prop_assert!(there || !on_screen(&seen, parent, *id)),
                        Step::Switch { scene } => {
                            prop_assert_eq!(Some(scene), target.as_ref());
                            prop_assert!(!there);
                            for item in seen.items.iter().filter(|item| &item.scene == scene) {
                                prop_assert!(item.enabled || !visible(&config, &wanted, &item.source));
                            }
                        }
                        Step::Restart { .. } => prop_assert!(restart),
                        Step::Text { .. } | Step::Visible { .. } => {}
                    }
                    done(&step, &mut seen);
                }
                wanted.restart = false;
            }
            // Two rounds reach it, the third finds nothing to do.
            prop_assert_eq!(steps(&config, &wanted, &seen), []);
            if left_alone(&config, &seen).is_none() {
                for item in &seen.items {
                    prop_assert_eq!(item.enabled, visible(&config, &wanted, &item.source), "{:?}", item);
                }
                prop_assert!(target.is_none() || target == seen.program);
            }
        }

        /// Whoever shows another scene has the wheel.
        #[test]
        fn scene_of_somebody_else_is_left_alone(config in mapping(), seen in shown(), stage in stage(), restart in any::<bool>()) {
            let mut seen = seen;
            seen.program = Some("own".to_owned());
            let wanted = Wanted { act: stage.act, stage: &stage, time: "1:00", restart };
            let steps = steps(&config, &wanted, &seen);
            if config.only_our_scenes && !mapped(&config).is_empty() {
                prop_assert_eq!(left_alone(&config, &seen), Some("own"));
                prop_assert_eq!(steps, []);
            } else {
                prop_assert_eq!(left_alone(&config, &seen), None);
            }
        }

        /// While the picture fades from one scene to the other, the one that goes stays as it is.
        #[test]
        fn old_scene_is_not_touched_in_a_transition(config in mapping(), seen in shown(), stage in stage()) {
            let mut seen = seen;
            seen.in_transition = true;
            let wanted = Wanted { act: stage.act, stage: &stage, time: "", restart: false };
            let target = scene_for(&config, wanted.act, &seen).map(str::to_owned).or(seen.program.clone());
            for step in steps(&config, &wanted, &seen) {
                if let Step::Visible { parent, id, .. } = step {
                    prop_assert!(seen.items.iter().any(|item| item.parent == parent && item.id == id && Some(&item.scene) == target.as_ref()));
                }
            }
        }
    }

    #[test]
    fn order_is_texts_then_shows_then_hides_then_restarts_then_the_scene() {
        let config = ObsConfig {
            scene_on_air: Some("on".to_owned()),
            scene_slate: Some("slate".to_owned()),
            show_on_air: vec!["timer".to_owned()],
            show_slate: vec!["logo".to_owned()],
            text_streamer: Some("name".to_owned()),
            restart_at_take: vec!["movie".to_owned(), "page".to_owned()],
            ..unset()
        };
        let item = |scene: &str, id, source: &str, enabled| Item {
            scene: scene.to_owned(),
            parent: scene.to_owned(),
            id,
            source: source.to_owned(),
            enabled,
        };
        let mut seen = Seen {
            scenes: vec!["on".to_owned(), "slate".to_owned()],
            program: Some("slate".to_owned()),
            inputs: [("name", "text_gdiplus_v2"), ("movie", "ffmpeg_source"), ("page", "browser_source")]
                .map(|(name, kind)| (name.to_owned(), kind.to_owned()))
                .into(),
            items: vec![item("on", 1, "logo", true), item("on", 2, "timer", false), item("slate", 3, "logo", true)],
            ..Seen::default()
        };
        let stage = Stage { act: Act::OnAir, streamer: Some("A".to_owned()), ..Stage::default() };
        let wanted = Wanted { act: Act::OnAir, stage: &stage, time: "", restart: true };
        let visible = |parent: &str, id, source: &str, on| Step::Visible {
            parent: parent.to_owned(),
            id,
            source: source.to_owned(),
            on,
        };
        let first = steps(&config, &wanted, &seen);
        assert_eq!(
            first,
            [
                Step::Text { input: "name".to_owned(), text: "A".to_owned() },
                visible("on", 2, "timer", true),
                visible("on", 1, "logo", false),
                Step::Restart { input: "movie".to_owned(), role: InputRole::Media },
                Step::Restart { input: "page".to_owned(), role: InputRole::Browser },
                Step::Switch { scene: "on".to_owned() },
            ]
        );
        for step in &first {
            done(step, &mut seen);
        }
        let wanted = Wanted { restart: false, ..wanted };
        assert_eq!(steps(&config, &wanted, &seen), [visible("slate", 3, "logo", false)]);
    }

    #[test]
    fn name_of_what_is_not_there_is_a_problem_and_the_rest_goes_on() {
        let config = ObsConfig {
            scene_on_air: Some("on".to_owned()),
            scene_slate: Some("gone".to_owned()),
            only_our_scenes: false,
            show_next: vec!["nowhere".to_owned()],
            text_next: Some("movie".to_owned()),
            text_time: Some("lost".to_owned()),
            program_source: Some("movie".to_owned()),
            ..unset()
        };
        let seen = Seen {
            scenes: vec!["on".to_owned(), "slate".to_owned()],
            program: Some("slate".to_owned()),
            inputs: [("movie".to_owned(), "ffmpeg_source".to_owned())].into(),
            ..Seen::default()
        };
        let problems = missing(&config, &seen);
        for (key, problem) in ["scene_slate", "show_next", "text_next", "text_time"].iter().zip(&problems) {
            assert!(problem.contains(&format!("(obs.{key})")), "{problem}");
        }
        assert_eq!(problems.len(), 4);
        let stage = Stage { act: Act::OnAir, ..Stage::default() };
        let wanted = Wanted { act: Act::OnAir, stage: &stage, time: "", restart: false };
        assert_eq!(steps(&config, &wanted, &seen), [Step::Switch { scene: "on".to_owned() }]);
    }

    #[test]
    fn handover_without_a_scene_of_its_own_stays_on_air() {
        let mut config = ObsConfig { scene_on_air: Some("on".to_owned()), ..unset() };
        let seen = Seen { scenes: SCENES.map(str::to_owned).to_vec(), ..Seen::default() };
        assert_eq!(scene_for(&config, Act::Handover, &seen), Some("on"));
        config.scene_handover = Some("between".to_owned());
        assert_eq!(scene_for(&config, Act::Handover, &seen), Some("between"));
    }
}
