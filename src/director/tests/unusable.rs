//! Streams that cannot be used or taken, from ingest and media to the streamer's page.

use super::*;
use crate::core::flaw::Flaw;

const AV1: &str = "AV1 is not supported: choose H.264 (x264 or hardware) in Settings, Output";

fn refused(verdict: PublishVerdict) -> String {
    match verdict {
        PublishVerdict::Refuse { reason } => reason,
        verdict @ PublishVerdict::Accept { .. } => panic!("{verdict:?}"),
    }
}

/// Rule 5, of what the ingest itself ends.
#[tokio::test(start_paused = true)]
async fn what_the_ingest_cannot_use_is_refused_after_the_second_time() {
    let neighbours = Neighbours::new();
    let stage = House::start(&neighbours);
    stage.goes_on_air("bea", "b1").await;
    for name in ["a1", "a2"] {
        assert!(matches!(stage.publish("ann", name).await, PublishVerdict::Accept { .. }), "{name}");
        let connection = connection(name);
        stage
            .ingest
            .send(IngestEvent::Unusable { connection, flaw: Flaw::Pictures, reason: AV1.into() })
            .await
            .unwrap();
        stage.leaves(name).await;
        assert_eq!(stage.refusal("ann").as_deref(), Some(AV1));
    }
    assert!(stage.waiting().is_empty(), "the entry goes");
    let reason = refused(stage.publish("ann", "a3").await);
    assert!(reason.starts_with(AV1) && reason.contains("1 min"), "{reason}");
    stage.rest().await;
    assert_eq!(stage.refusal("ann"), Some(reason));
    let held = stage.director.snapshot().borrow().hold_offs.clone();
    assert!(held.len() == 1 && held[0].account == id("ann") && held[0].reason.contains(AV1), "{held:?}");
    // After it, one is let in.
    sleep(Duration::from_mins(1)).await;
    assert!(matches!(stage.publish("ann", "a4").await, PublishVerdict::Accept { .. }));
    stage.stop().await;
}

/// Rule 5, of what media fetches: the ingest does not know, and is told to end it.
#[tokio::test(start_paused = true)]
async fn what_media_cannot_use_is_disconnected_and_refused_after_the_second_time() {
    let neighbours = Neighbours::new();
    let stage = House::start(&neighbours);
    for name in ["a1", "a2"] {
        assert!(matches!(stage.publish("ann", name).await, PublishVerdict::Accept { .. }), "{name}");
        neighbours.said();
        stage.media(MediaEvent::Unusable(connection(name), Flaw::Sound, "Opus is not supported".into())).await;
        let said = neighbours.said();
        assert!(said.contains(&format!("disconnect {name}: Opus is not supported")), "{said:?}");
        stage.leaves(name).await;
    }
    assert!(refused(stage.publish("ann", "a3").await).contains("Opus is not supported"));
    stage.stop().await;
}

/// Rule 11: media takes back that somebody is ready.
#[tokio::test(start_paused = true)]
async fn who_cannot_be_taken_is_passed_over_and_told_why() {
    let neighbours = Neighbours::new();
    let stage = House::with_three(&neighbours).await;
    stage.leaves("a1").await;
    assert!(takes(&neighbours.said())[0].ends_with("b1 Now"));
    stage.media(MediaEvent::Unfit(connection("b1"), "your time stamps stand still".into())).await;
    let said = neighbours.said();
    assert!(takes(&said)[0].ends_with("c1 Now"), "{said:?}");
    stage.taken(&said).await;
    assert_eq!(stage.on_air(), "cid");
    let snapshot = stage.director.snapshot().borrow().clone();
    let bea = snapshot.queue.waiting.iter().find(|entry| entry.name == "bea").unwrap();
    assert_eq!(snapshot.lacks[&bea.id].as_ref(), "your time stamps stand still");
    // What is told after 20 s is the same.
    sleep(Duration::from_secs(21)).await;
    assert_eq!(stage.refusal("bea").as_deref(), Some("your time stamps stand still"));
    stage.stop().await;
}

/// Rule 11: a take that simply does not happen.
#[tokio::test(start_paused = true)]
async fn a_take_that_does_not_happen_is_given_up_and_the_next_is_taken_within_five_seconds() {
    let neighbours = Neighbours::new();
    let stage = House::with_three(&neighbours).await;
    stage.leaves("a1").await;
    sleep(Duration::from_secs(4)).await;
    let said = neighbours.said();
    assert!(said.iter().any(|line| line.starts_with("give up ")), "{said:?}");
    assert!(takes(&said)[1].ends_with("c1 Now"), "{said:?}");
    stage.taken(&said).await;
    assert_eq!(stage.on_air(), "cid");
    assert_eq!(stage.waiting(), ["ann", "bea"], "their places are kept");
    stage.stop().await;
}
