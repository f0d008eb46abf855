//! A change of the scene collection, and what is taken for another OBS and what is not.

use super::*;

/// The adapter with an OBS whose stream it has started.
async fn streaming(simulated: &SimulatedObs) -> Rig {
    simulated.tell(|world| world.stream_works = true);
    let rig = Rig::start(ObsConfig { stream: true, ..mapping(simulated.port) });
    rig.show(on_air("A", 1));
    rig.status("streaming", |status| status.streaming == Streaming::Running).await;
    rig
}

fn say(simulated: &SimulatedObs, what: &str) {
    simulated.say(&format!("CurrentSceneCollection{what}"), &json!({"sceneCollectionName": "Main"}));
}

#[tokio::test]
async fn stream_that_the_box_started_is_stopped_at_the_shows_end_after_a_change_of_the_scene_collection() {
    // As OBS says it, and where its word is lost.
    for told in [true, false] {
        let simulated = SimulatedObs::start().await;
        let rig = streaming(&simulated).await;
        simulated.tell(|world| world.not_ready = true);
        if told {
            say(&simulated, "Changing");
        }
        sleep(Duration::from_secs(4)).await;
        simulated.tell(|world| world.not_ready = false);
        if told {
            say(&simulated, "Changed");
        }
        rig.show(Stage::default());
        eventually("the stream's end", || simulated.tell(|world| !world.streams)).await;
        assert_eq!(simulated.tell(|world| (world.count("StartStream"), world.count("StopStream"))), (1, 1));
        assert_eq!(simulated.tell(|world| world.connections), 1, "the connection was kept");
    }
}

#[tokio::test]
async fn show_that_ends_in_the_middle_of_a_change_stops_the_stream_after_it() {
    let simulated = SimulatedObs::start().await;
    let rig = streaming(&simulated).await;
    simulated.tell(|world| world.not_ready = true);
    rig.show(Stage::default());
    sleep(Duration::from_secs(3)).await;
    simulated.tell(|world| world.not_ready = false);
    eventually("the stream's end", || simulated.tell(|world| !world.streams)).await;
}

#[tokio::test]
async fn nothing_is_sent_while_the_scene_collection_changes_and_all_is_looked_up_anew_afterwards() {
    let simulated = SimulatedObs::start().await;
    let rig = Rig::start(mapping(simulated.port));
    rig.connected("at first").await;
    rig.show(on_air("A", 1));
    eventually("A on air", || shows_a(&simulated)).await;
    say(&simulated, "Changing");
    // What was under way when it began.
    sleep(Duration::from_millis(500)).await;
    let asked = simulated.tell(|world| world.asked);
    rig.show(on_air("B", 2));
    let people = timeout(Duration::from_secs(5), rig.obs.inventory()).await.unwrap();
    assert!(matches!(&people, Err(RequestError::Busy(why)) if why.contains("scene collection")), "{people:?}");
    sleep(Duration::from_secs(3)).await;
    assert_eq!(simulated.tell(|world| world.asked), asked);
    // The other collection has the same scenes with other items in them.
    simulated.tell(|world| {
        world.log.clear();
        for item in world.scenes.iter_mut().flat_map(|(_, items)| items) {
            item.id += 100;
        }
        world.program = "Slate".to_owned();
    });
    say(&simulated, "Changed");
    eventually("B on air", || {
        simulated.tell(|world| world.program == "On" && world.text("Name") == "B" && world.visible("On", "Timer"))
    })
    .await;
    let first = simulated.log().remove(0).0;
    assert_eq!(first, "GetSceneList", "it is read before anything is done");
}

#[tokio::test]
async fn obs_whose_websocket_server_was_off_for_a_moment_is_the_same_and_one_that_started_since_is_not() {
    for same in [true, false] {
        let simulated = SimulatedObs::start().await;
        simulated.tell(|world| world.uptime = Some(5000));
        let rig = streaming(&simulated).await;
        let simulated = simulated.again(|world| world.uptime = Some(if same { 5001 } else { 0 })).await;
        eventually("connected again", || simulated.tell(|world| world.connections) == 2).await;
        // Somebody may have started the other one's stream.
        rig.status("streaming", |status| status.streaming == Streaming::Running).await;
        rig.show(Stage::default());
        if same {
            eventually("the stream's end", || simulated.tell(|world| !world.streams)).await;
        } else {
            sleep(Duration::from_secs(5)).await;
            assert!(simulated.tell(|world| world.streams), "another OBS's stream is its own");
        }
    }
}

#[tokio::test]
async fn obs_that_is_not_ready_for_long_is_away() {
    let simulated = SimulatedObs::start().await;
    let rig = Rig::start(mapping(simulated.port));
    rig.connected("at first").await;
    simulated.tell(|world| world.not_ready = true);
    let mut status = rig.obs.status();
    let away = status.wait_for(|status| {
        matches!(&status.link, Link::Away { trouble: Trouble::StillStarting, reason } if reason.contains("scene collection"))
    });
    timeout(Duration::from_secs(90), away).await.unwrap().unwrap();
}
