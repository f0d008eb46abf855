//! An OBS, or what passes for one, that sends more than any venue's does.

use super::*;

#[tokio::test]
async fn obs_with_more_scenes_than_any_venue_has_is_cut_off_in_clear_words() {
    // More bytes than are taken, and more scenes than are.
    for scenes in [25_000, 6000] {
        let simulated = SimulatedObs::start().await;
        simulated
            .tell(|world| world.scenes = (0..scenes).map(|number| (format!("Scene {number}"), Vec::new())).collect());
        let rig = Rig::start(mapping(simulated.port));
        rig.trouble("too much", |trouble| matches!(trouble, Trouble::TooMuch { .. })).await;
        let Link::Away { reason, .. } = rig.obs.status().borrow().link.clone() else { panic!("it is away") };
        assert!(reason.contains("more than the box takes") && reason.contains("smaller scene collection"), "{reason}");
    }
}

#[tokio::test]
async fn venue_with_a_thousand_scenes_and_two_thousand_sources_is_followed() {
    let simulated = SimulatedObs::start().await;
    simulated.tell(|world| {
        world.scenes.extend((0..1000).map(|number| (format!("Scene {number}"), Vec::new())));
        let source = |number| (format!("Source {number}"), ("image_source".to_owned(), json!({})));
        world.inputs.extend((0..2000).map(source));
    });
    let rig = Rig::start(mapping(simulated.port));
    rig.connected("at first").await;
    rig.show(on_air("A", 1));
    eventually("A on air", || shows_a(&simulated)).await;
    assert_eq!(rig.obs.inventory().await.unwrap().scenes.len(), 1004);
}

#[tokio::test]
async fn event_that_is_larger_than_any_of_a_real_obs_is_not_taken() {
    let simulated = SimulatedObs::start().await;
    let rig = Rig::start(mapping(simulated.port));
    rig.connected("at first").await;
    simulated.say("SceneNameChanged", &json!({"oldSceneName": "a".repeat(3 << 20), "sceneName": "b"}));
    rig.trouble("too much", |trouble| matches!(trouble, Trouble::TooMuch { .. })).await;
}
