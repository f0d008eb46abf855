//! A show that was on when the box went dark.

use super::*;

/// A show with ann on air goes dark; the machine's clocks say so much more when the box is back.
async fn dark_for(boot: &str, by_wall: Duration, by_machine: Duration, known: bool) -> (Neighbours, House) {
    dark_after(false, boot, by_wall, by_machine, known).await
}

/// The same; the show may have been `ended` by hand before, with ann on air still.
async fn dark_after(
    ended: bool,
    boot: &str,
    by_wall: Duration,
    by_machine: Duration,
    known: bool,
) -> (Neighbours, House) {
    let neighbours = Neighbours::new();
    let stage = House::start(&neighbours);
    stage.goes_on_air("ann", "a1").await;
    stage.media(MediaEvent::Show(true)).await;
    if ended {
        stage.director.end_show().await.unwrap();
        stage.media(MediaEvent::Show(false)).await;
    }
    sleep(Duration::from_secs(9)).await;
    stage.task.abort();
    neighbours.said();
    neighbours.with(|book| {
        let was = book.clocks.clone();
        book.clocks = LifeSign {
            boot: boot.into(),
            up_ms: if boot == &*was.boot { was.up_ms } else { 0 } + u64::try_from(by_machine.as_millis()).unwrap(),
            wall: was.wall.checked_add(by_wall).unwrap(),
            known,
        };
    });
    let stage = House::start(&neighbours);
    stage.rest().await;
    (neighbours, stage)
}

fn minutes(minutes: u64) -> Duration {
    Duration::from_mins(minutes)
}

fn show_is_on(stage: &House) -> bool {
    stage.director.snapshot().borrow().queue.show
}

fn past(stage: &House) -> Option<PastShow> {
    stage.director.snapshot().borrow().past.clone()
}

fn stored_show(neighbours: &Neighbours) -> bool {
    neighbours.with(|book| book.settings[SHOW] == true)
}

#[tokio::test(start_paused = true)]
async fn a_short_power_cut_goes_on_and_a_long_one_has_ended_the_show() {
    let (neighbours, stage) = dark_for("two", minutes(14), minutes(1), true).await;
    let said = neighbours.said();
    assert!(said.contains(&"show true".to_owned()) && show_is_on(&stage), "{said:?}");
    assert_eq!(past(&stage), None);
    stage.stop().await;

    let (neighbours, stage) = dark_for("two", minutes(16), minutes(1), true).await;
    let said = neighbours.said();
    assert!(!said.iter().any(|line| line == "show true") && !show_is_on(&stage), "{said:?}");
    let told = said.iter().find(|line| line.starts_with("audit")).unwrap();
    assert_eq!(told, "audit the box show off: the show of 1970-01-01 ended: the box was dark for 16 min");
    let Some(PastShow::Ended(ended)) = past(&stage) else { panic!("{:?}", past(&stage)) };
    assert_eq!(ended.dark_for, Some(minutes(16)));
    assert!(!stored_show(&neighbours), "it stays ended");
    // The next evening is a show of its own.
    assert_eq!(
        said.iter().filter(|line| line.starts_with("show held")).collect::<Vec<_>>(),
        ["show held true", "show held false"]
    );
    stage.media(MediaEvent::Show(true)).await;
    assert_eq!((show_is_on(&stage), past(&stage)), (true, None));
    stage.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_crash_goes_on_whatever_the_clock_on_the_wall_says() {
    let (_, stage) = dark_for("one", Duration::ZERO, Duration::from_secs(3), false).await;
    assert!(show_is_on(&stage));
    stage.stop().await;
    let (neighbours, stage) = dark_for("one", minutes(960), Duration::from_secs(3), false).await;
    assert!(!show_is_on(&stage), "two clocks that disagree leave it to the streamers");
    stage.publish("ann", "a2").await;
    stage.rest().await;
    assert!(show_is_on(&stage) && neighbours.said().contains(&"show true".to_owned()));
    stage.stop().await;
}

/// As when the crew goes home and pulls the plug: nobody is waited for who had gone before.
#[tokio::test(start_paused = true)]
async fn a_show_that_everybody_had_left_ends_at_once_where_the_clocks_disagree() {
    let neighbours = Neighbours::new();
    let stage = House::start(&neighbours);
    stage.goes_on_air("ann", "a1").await;
    stage.media(MediaEvent::Show(true)).await;
    stage.leaves("a1").await;
    stage.task.abort();
    neighbours.with(|book| book.clocks.wall = book.clocks.wall.checked_add(minutes(960)).unwrap());
    let stage = House::start(&neighbours);
    stage.rest().await;
    let Some(PastShow::Ended(ended)) = past(&stage) else { panic!("{:?}", past(&stage)) };
    assert_eq!((ended.dark_for, show_is_on(&stage)), (Some(minutes(960)), false));
    stage.stop().await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_while_the_time_is_not_known_and_then_the_streamers_decide() {
    let (neighbours, stage) = dark_for("two", minutes(1), minutes(1), false).await;
    stage.publish("ann", "a2").await;
    sleep(Duration::from_secs(18)).await;
    assert!(!show_is_on(&stage) && matches!(past(&stage), Some(PastShow::Waits(_))));
    assert!(stored_show(&neighbours), "a crash now changes nothing");
    sleep(Duration::from_secs(3)).await;
    assert!(show_is_on(&stage));
    stage.stop().await;

    // Only somebody who was not there is back.
    let (neighbours, stage) = dark_for("two", minutes(1), minutes(1), false).await;
    stage.publish("bea", "b1").await;
    sleep(Duration::from_secs(58)).await;
    assert!(!show_is_on(&stage) && stored_show(&neighbours));
    sleep(Duration::from_secs(4)).await;
    assert!(!show_is_on(&stage) && !stored_show(&neighbours));
    assert!(matches!(past(&stage), Some(PastShow::Ended(Ended { dark_for: None, .. }))), "{:?}", past(&stage));
    stage.stop().await;
}

#[tokio::test(start_paused = true)]
async fn time_that_becomes_known_decides_at_once() {
    let (neighbours, stage) = dark_for("two", minutes(1), minutes(1), false).await;
    sleep(Duration::from_secs(5)).await;
    neighbours.with(|book| {
        book.clocks.known = true;
        book.clocks.wall = book.clocks.wall.checked_add(minutes(900)).unwrap();
    });
    sleep(Duration::from_secs(1)).await;
    assert!(matches!(past(&stage), Some(PastShow::Ended(Ended { dark_for: Some(_), .. }))), "{:?}", past(&stage));
    stage.stop().await;
}

/// The box comes up without the time, and goes dark again before it has it.
#[tokio::test(start_paused = true)]
async fn a_start_that_does_not_know_yet_is_no_sign_of_life() {
    let (neighbours, stage) = dark_for("two", minutes(960), minutes(1), false).await;
    stage.arrive("bea", "b1").await;
    sleep(Duration::from_secs(16)).await;
    stage.taken(&neighbours.said()).await;
    sleep(Duration::from_secs(2)).await;
    stage.task.abort();
    neighbours.with(|book| book.clocks.known = true);
    let stage = House::start(&neighbours);
    stage.rest().await;
    assert!(!show_is_on(&stage), "it was dark for sixteen hours all the same");
    assert!(matches!(past(&stage), Some(PastShow::Ended(_))), "{:?}", past(&stage));
    stage.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_crew_need_not_wait() {
    for on in [true, false] {
        let (neighbours, stage) = dark_for("two", minutes(1), minutes(1), false).await;
        if on {
            stage.director.begin_show().await.unwrap();
        } else {
            stage.director.end_show().await.unwrap();
        }
        stage.rest().await;
        assert_eq!((show_is_on(&stage), past(&stage), stored_show(&neighbours)), (on, None, on));
        sleep(Duration::from_mins(2)).await;
        assert_eq!(show_is_on(&stage), on);
        assert!(neighbours.said().contains(&"show held false".to_owned()));
        stage.stop().await;
    }
}

/// A show without a turn leaves signs of life too, as seldom as a turn is committed.
#[tokio::test(start_paused = true)]
async fn a_show_without_anybody_is_known_to_be_alive() {
    let neighbours = Neighbours::new();
    let stage = House::start(&neighbours);
    stage.director.begin_show().await.unwrap();
    sleep(Duration::from_mins(20)).await;
    let later = LifeSign {
        up_ms: 1_260_000,
        wall: jiff::Timestamp::from_second(1200).unwrap(),
        ..neighbours.with(|book| book.clocks.clone())
    };
    neighbours.with(|book| book.clocks = later.clone());
    let commits = neighbours.with(|book| book.commits);
    sleep(Duration::from_secs(31)).await;
    assert_eq!(neighbours.with(|book| (book.note.alive.clone(), book.commits)), (Some(later), commits));
    stage.task.abort();
    neighbours.with(|book| {
        book.clocks =
            LifeSign { boot: "two".into(), up_ms: 0, wall: jiff::Timestamp::from_second(1260).unwrap(), known: true }
    });
    let stage = House::start(&neighbours);
    stage.rest().await;
    assert!(show_is_on(&stage), "a minute of darkness is short, however long nobody was on air");
    stage.stop().await;
}

/// What media was told about the show.
fn about_the_show(said: &[String]) -> Vec<&str> {
    said.iter().map(String::as_str).filter(|line| line.starts_with("show")).collect()
}

fn stored_end(neighbours: &Neighbours) -> bool {
    neighbours.with(|book| book.settings[SHOW_ENDED_BY_HAND] == true)
}

/// Media keeps a show that is ordered to be off from beginning with a take.
const STAYS_OFF: [&str; 3] = ["show held true", "show false", "show held false"];

#[tokio::test(start_paused = true)]
async fn a_show_that_was_ended_by_hand_does_not_begin_by_itself_after_a_restart() {
    for boot in ["one", "two"] {
        let (neighbours, stage) = dark_after(true, boot, minutes(2), minutes(2), true).await;
        assert_eq!(about_the_show(&neighbours.said()), STAYS_OFF, "{boot}");
        assert_eq!((show_is_on(&stage), past(&stage), stored_end(&neighbours)), (false, None, true));
        // Not after another one either.
        stage.task.abort();
        let stage = House::start(&neighbours);
        stage.rest().await;
        assert_eq!(about_the_show(&neighbours.said()), STAYS_OFF, "{boot}");
        // A hand begins it, and with that the end is over.
        stage.director.begin_show().await.unwrap();
        stage.rest().await;
        assert_eq!((show_is_on(&stage), stored_show(&neighbours), stored_end(&neighbours)), (true, true, false));
        stage.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_box_that_is_plugged_in_the_next_day_begins_with_its_first_take_whoever_ended_the_last_show() {
    let (neighbours, stage) = dark_after(true, "two", minutes(960), minutes(1), true).await;
    let said = neighbours.said();
    assert_eq!(about_the_show(&said), ["show held true", "show held false"]);
    assert!(!said.iter().any(|line| line.starts_with("audit")), "no show ended in the dark: {said:?}");
    assert_eq!((past(&stage), stored_end(&neighbours)), (None, false));
    stage.stop().await;
}

/// A Pi has no clock battery.
#[tokio::test(start_paused = true)]
async fn an_end_by_hand_holds_until_the_time_is_known_and_then_as_the_streamers_say() {
    let (neighbours, stage) = dark_after(true, "two", minutes(1), minutes(1), false).await;
    assert_eq!(about_the_show(&neighbours.said()), ["show held true"]);
    assert_eq!(past(&stage), None, "nobody is told that a show may go on");
    stage.publish("ann", "a2").await;
    sleep(Duration::from_secs(21)).await;
    assert_eq!(about_the_show(&neighbours.said()), ["show false", "show held false"]);
    stage.stop().await;

    let (neighbours, stage) = dark_after(true, "two", minutes(1), minutes(1), false).await;
    sleep(Duration::from_secs(62)).await;
    assert_eq!(about_the_show(&neighbours.said()), ["show held true", "show held false"]);
    assert!(!stored_end(&neighbours));
    stage.stop().await;
}

/// With everybody waiting, hours after the end.
#[tokio::test(start_paused = true)]
async fn a_queue_without_a_turn_is_known_to_be_alive() {
    let neighbours = Neighbours::new();
    let stage = House::start(&neighbours);
    stage.publish("ann", "a1").await;
    stage.director.set_hold(true).await.unwrap();
    stage.media(MediaEvent::Ready(connection("a1"))).await;
    stage.director.end_show().await.unwrap();
    neighbours.with(|book| {
        book.clocks.up_ms += 7_200_000;
        book.clocks.wall = book.clocks.wall.checked_add(minutes(120)).unwrap();
    });
    sleep(Duration::from_secs(31)).await;
    stage.task.abort();
    neighbours.said();
    let stage = House::start(&neighbours);
    stage.rest().await;
    assert_eq!(about_the_show(&neighbours.said()), STAYS_OFF);
    stage.stop().await;
}
