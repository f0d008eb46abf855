//! Requests on a disk that hangs: whose answer nobody waits for any more, and what happens meanwhile.

use super::*;

/// What the web waits for an answer.
const ANSWER_TIME: Duration = Duration::from_secs(10);

/// A house with ann on air and bea next, whose disk hangs while cid's publish is being stored.
async fn hanging() -> (Neighbours, House, oneshot::Receiver<PublishVerdict>) {
    let neighbours = Neighbours::new();
    let stage = House::start(&neighbours);
    stage.goes_on_air("ann", "a1").await;
    stage.arrive("bea", "b1").await;
    neighbours.said();
    neighbours.with(|book| book.disk = Disk::Hangs);
    let answer = stage.ask("cid", "c1", "live").await;
    stage.rest().await;
    (neighbours, stage, answer)
}

/// Rule 19: the web has answered that it was not done.
#[tokio::test(start_paused = true)]
async fn an_order_that_was_answered_too_late_is_not_carried_out_when_the_disk_answers_again() {
    let (neighbours, stage, cid) = hanging().await;
    let bea = stage.director.snapshot().borrow().queue.waiting[0].id;
    let (block, air, begin) = tokio::join!(
        timeout(ANSWER_TIME, stage.director.set_block(Some(true))),
        timeout(ANSWER_TIME, stage.director.put_on_air(bea)),
        timeout(ANSWER_TIME, stage.director.begin_show()),
    );
    assert!(block.is_err() && air.is_err() && begin.is_err(), "nobody is answered");
    let turn = stage.director.set_turn(Duration::from_mins(7), false);
    sleep(Duration::from_mins(2)).await;
    let (turn, ()) = tokio::join!(turn, async {
        stage.rest().await;
        neighbours.mend();
    });
    assert!(turn.is_ok(), "who waits still is answered yes");
    assert!(matches!(cid.await.unwrap(), PublishVerdict::Accept { .. }));
    stage.rest().await;
    let queue = stage.director.snapshot().borrow().queue.clone();
    assert_eq!((queue.block, queue.show, queue.turn_seconds), (false, false, 420));
    let said = neighbours.said();
    assert!(takes(&said).is_empty() && !said.contains(&"show true".to_owned()), "{said:?}");
    stage.stop().await;
}

/// Rule 19: a fact is heard, however many have asked meanwhile.
#[tokio::test(start_paused = true)]
async fn a_handover_does_not_wait_behind_a_crowd_that_has_given_up() {
    let (neighbours, stage, cid) = hanging().await;
    let mut crowd = Vec::new();
    for number in 0..1024 {
        crowd.push(stage.ask("dan", &format!("d{number}"), "live").await);
    }
    stage.leaves("a1").await;
    assert!(takes(&neighbours.said()).is_empty(), "there is no room to hear it");
    drop(crowd);
    sleep(Duration::from_secs(1)).await;
    let said = neighbours.said();
    assert!(takes(&said).iter().any(|take| take.contains("b1")), "{said:?}");
    neighbours.mend();
    assert!(matches!(cid.await.unwrap(), PublishVerdict::Accept { .. }));
    stage.stop().await;
}

/// Rule 19: whoever spoke last has the last word, also on the disk.
#[tokio::test(start_paused = true)]
async fn a_show_that_is_begun_while_it_ends_by_itself_is_on_after_a_restart() {
    let neighbours = Neighbours::new();
    let stage = House::start(&neighbours);
    stage.media(MediaEvent::Show(true)).await;
    neighbours.with(|book| book.disk = Disk::Hangs);
    let begin = tokio::spawn({
        let director = stage.director.clone();
        async move { director.begin_show().await }
    });
    stage.rest().await;
    // Nobody was on air for half an hour.
    stage.media(MediaEvent::Show(false)).await;
    neighbours.mend();
    assert_eq!(begin.await.unwrap(), Ok(()));
    stage.media(MediaEvent::Show(true)).await;
    stage.rest().await;
    assert!(stage.director.snapshot().borrow().queue.show);
    assert_eq!(neighbours.with(|book| book.settings[SHOW].clone()), true);
    stage.stop().await;
}

/// Rule 19: nothing goes out minutes after somebody was told that it does not.
#[tokio::test(start_paused = true)]
async fn a_begin_of_the_show_that_was_answered_too_late_is_taken_back_when_it_is_stored() {
    let neighbours = Neighbours::new();
    let stage = House::start(&neighbours);
    stage.director.end_show().await.unwrap();
    neighbours.said();
    neighbours.with(|book| book.disk = Disk::Hangs);
    assert!(timeout(ANSWER_TIME, stage.director.begin_show()).await.is_err());
    sleep(Duration::from_mins(2)).await;
    neighbours.mend();
    stage.rest().await;
    let said = neighbours.said();
    assert!(!said.contains(&"show true".to_owned()), "{said:?}");
    assert!(!stage.director.snapshot().borrow().queue.show);
    let stored = |name: &str| neighbours.with(|book| book.settings[name].clone());
    assert_eq!((stored(SHOW), stored(SHOW_ENDED_BY_HAND)), (false.into(), true.into()));
    stage.stop().await;
}
