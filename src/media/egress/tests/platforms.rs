//! What platforms answer, each in its way, and how it is told. The platforms are simulated; real ones are in
//! `tests/whole_box/egress.rs`.

use super::{
    simulated::{Answers, start, start_tls},
    *,
};

async fn tried(url: &str) -> Trial {
    let mut destination = destination(url);
    destination.key = "a-secret-key".into();
    let trial = try_out(destination, &CancellationToken::new()).await.unwrap();
    assert!(!trial.message.contains("a-secret-key"), "{trial:?}");
    trial
}

async fn assert_told(address: &str, verdict: TrialVerdict, words: &str) {
    let trial = tried(address).await;
    assert!(trial.verdict == verdict && trial.message.contains(words), "{address}: {trial:?}");
}

#[tokio::test]
async fn each_no_is_told_in_words_of_its_own() {
    let denied = Answers::Refuses("NetStream.Publish.Denied", "a-secret-key may not go live before 20:00");
    let moved = Answers::Moved("rtmp://elsewhere.example/app/a-secret-key".to_owned());
    for (answers, words) in [
        (denied, "the platform answered: [key] may not go live before 20:00 (NetStream.Publish.Denied)"),
        (Answers::Refuses("NetStream.Failed", "quota is used up"), "quota is used up (NetStream.Failed)"),
        (Answers::Rejects("no such application"), "no such application (NetConnection.Connect.Rejected)"),
        (Answers::Rejects("[ code=403 need auth; authmod=adobe ] : "), "a user name and a password (Adobe's"),
        (Answers::Rejects("[ code=403 need auth; authmod=llnw ] : "), "a user name and a password (Limelight's"),
        (moved, "it is at rtmp://elsewhere.example/app now"),
    ] {
        assert_told(&format!("rtmp://{}/app", start(answers)), TrialVerdict::Refused, words).await;
    }
    let closes = format!("rtmp://{}/app", start(Answers::ClosesAtPublish));
    assert_told(&closes, TrialVerdict::Failed, "some refuse a wrong key this way").await;
}

#[tokio::test]
async fn new_address_at_the_same_host_is_followed_once() {
    let there = format!("rtmp://{}/app2", start(Answers::Yes));
    let first = format!("rtmp://{}/app", start(Answers::Moved(there.clone())));
    assert_told(&first, TrialVerdict::Accepted, "accepts the key").await;
    let again = format!("rtmp://{}/app", start(Answers::Moved(first)));
    assert_told(&again, TrialVerdict::Refused, &format!("it is at {there} now")).await;
}

#[tokio::test]
async fn no_of_the_server_that_a_platform_names_is_its_own() {
    const WORDS: &str = "[ Server.Reject ] : moved";
    let there = format!("rtmp://{}/app2", start(Answers::Rejects(WORDS)));
    let first = format!("rtmp://{}/app", start(Answers::Moved(there.clone())));
    let mut judge = Judge::default();
    let no = DestinationFailure::Refused { code: "NetConnection.Connect.Rejected".to_owned(), said: WORDS.to_owned() };
    for _ in 0..2 {
        let moved = judge.closer(&destination(&first), no.clone(), Moment::ZERO).await;
        assert!(matches!(moved, DestinationFailure::Moved(_)), "{moved:?}");
        assert_eq!(judge.closer(&destination(&there), no.clone(), Moment::ZERO).await, no);
    }
}

#[tokio::test]
async fn wrong_scheme_for_a_port_is_told_both_ways() {
    let (encrypted, plain) = (start_tls(), start(Answers::Yes));
    assert_told(&format!("rtmp://{encrypted}/app"), TrialVerdict::Failed, "wants rtmps:// rather than rtmp://").await;
    assert_told(&format!("rtmps://{plain}/app"), TrialVerdict::Failed, "wants rtmp:// rather than rtmps://").await;
    assert_told(&format!("rtmps://{encrypted}/app"), TrialVerdict::Failed, "self-signed").await;
}

/// What a destination says before it counts as refused, and then, with the seconds until the next try.
async fn refused(answers: Answers) -> (Vec<String>, String, u64) {
    let url = format!("rtmp://{}/app", start(answers));
    let (tracker, token) = (TaskTracker::new(), CancellationToken::new());
    let (control, _feed) = Egress::spawn(destination(&url), true, Clock::start(), &Handle::current(), &tracker, &token);
    let mut status = control.status();
    let mut before = Vec::new();
    let refused = status.wait_for(|status| match &status.state {
        DestinationState::Refused { .. } => true,
        DestinationState::BackingOff { reason, .. } => {
            before.push(reason.clone());
            false
        }
        _ => false,
    });
    let state = timeout(Duration::from_secs(20), refused).await.unwrap().unwrap().state.clone();
    control.stop(Parting::Goodbye).await;
    let DestinationState::Refused { reason, retry_in_seconds } = state else { unreachable!("it is refused") };
    (before, reason, retry_in_seconds)
}

#[tokio::test]
async fn platform_that_closes_three_times_at_the_publish_has_refused() {
    let (before, reason, retry_in_seconds) = refused(Answers::ClosesAtPublish).await;
    assert!(reason.contains("the key is wrong or worn out, or another encoder is live with it"), "{reason}");
    assert!(retry_in_seconds > 20, "tried again after {retry_in_seconds} s");
    assert!(!before.is_empty() && before.iter().all(|reason| reason.contains("wrong key")), "{before:?}");
}

#[tokio::test]
async fn words_after_an_accepted_publish_are_found_when_it_closes_again_and_again() {
    let (_, reason, _) = refused(Answers::ThinksAgain("NetStream.Publish.Rejected", "live elsewhere")).await;
    assert!(reason.starts_with("the platform answered: live elsewhere (NetStream.Publish.Rejected)"), "{reason}");
}
