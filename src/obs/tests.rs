//! The adapter against a simulated OBS that does everything wrong that one can.

use std::{sync::Arc, time::Duration};

use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    sync::watch,
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::simulated::{Does, Greeting, SimulatedObs};
use super::{Act, Link, Obs, Parts, RequestError, Stage, Status, Streaming, Target, TimeLeft, Trouble};
use crate::{clock::Clock, config::ObsConfig};

mod bounds;
mod changes;
mod simulated;

/// `[obs]` with nothing set.
pub(super) fn unset() -> ObsConfig {
    ObsConfig {
        host: None,
        port: 4455,
        password: None,
        only_our_scenes: true,
        scene_on_air: None,
        scene_slate: None,
        scene_handover: None,
        handover_seconds: 3,
        show_on_air: Vec::new(),
        show_next: Vec::new(),
        show_slate: Vec::new(),
        text_streamer: None,
        text_next: None,
        text_time: None,
        restart_at_take: Vec::new(),
        program_source: None,
        stream: false,
    }
}

/// The mapping for a simulated OBS.
fn mapping(port: u16) -> ObsConfig {
    ObsConfig {
        host: Some("127.0.0.1".to_owned()),
        port,
        password: Some("right".to_owned().into()),
        scene_on_air: Some("On".to_owned()),
        scene_slate: Some("Slate".to_owned()),
        show_on_air: vec!["Timer".to_owned()],
        show_next: vec!["Banner".to_owned()],
        text_streamer: Some("Name".to_owned()),
        text_next: Some("Next".to_owned()),
        restart_at_take: vec!["Movie".to_owned()],
        ..unset()
    }
}

fn on_air(streamer: &str, turn: u64) -> Stage {
    Stage {
        show: true,
        act: Act::OnAir,
        streamer: Some(streamer.to_owned()),
        next: None,
        time: TimeLeft::None,
        turn: Some(turn),
    }
}

/// The adapter on a stage of its own.
struct Rig {
    obs: Obs,
    stage: watch::Sender<Arc<Stage>>,
    token: CancellationToken,
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.token.cancel();
    }
}

impl Rig {
    fn start(config: ObsConfig) -> Self {
        let (stage, shown) = watch::channel(Arc::new(Stage::default()));
        let token = CancellationToken::new();
        let parts = Parts { config, stage: shown, clock: Clock::start(), token: token.clone() };
        Self { obs: Obs::start(parts, &TaskTracker::new()), stage, token }
    }

    fn show(&self, stage: Stage) {
        self.stage.send_replace(Arc::new(stage));
    }

    async fn status(&self, what: &str, is: impl FnMut(&Arc<Status>) -> bool) -> Arc<Status> {
        let mut status = self.obs.status();
        let found = timeout(Duration::from_secs(25), status.wait_for(is)).await.map(|found| found.unwrap().clone());
        found.unwrap_or_else(|_| panic!("{what}: never, but {:?}", self.obs.status().borrow()))
    }

    async fn connected(&self, what: &str) {
        self.status(what, |status| matches!(status.link, Link::Connected { .. })).await;
    }

    async fn trouble(&self, what: &str, is: impl Fn(&Trouble) -> bool) {
        let away = |status: &Arc<Status>| matches!(&status.link, Link::Away { trouble, .. } if is(trouble));
        self.status(what, away).await;
    }
}

async fn eventually(what: &str, mut is: impl FnMut() -> bool) {
    for _ in 0..1250 {
        if is() {
            return;
        }
        sleep(Duration::from_millis(20)).await;
    }
    panic!("{what}: never");
}

/// Everything that a turn of A asks for.
fn shows_a(simulated: &SimulatedObs) -> bool {
    simulated.tell(|world| {
        world.program == "On"
            && world.text("Name") == "A"
            && world.visible("On", "Timer")
            && !world.visible("On", "Banner")
            && !world.visible("Slate", "Banner")
    })
}

#[tokio::test]
async fn show_is_followed_and_the_scene_comes_when_all_in_it_is_ready() {
    let simulated = SimulatedObs::start().await;
    let rig = Rig::start(mapping(simulated.port));
    rig.connected("at first").await;
    simulated.tell(|world| world.log.clear());
    rig.show(on_air("A", 1));
    eventually("A on air", || shows_a(&simulated) && simulated.tell(|world| world.visible("Slate", "Timer"))).await;
    let log = simulated.log();
    let at = |request: &str, part: &str| {
        log.iter().position(|(name, data)| name == request && data.to_string().contains(part)).unwrap_or_else(|| {
            panic!("{request} {part}: not in {log:?}");
        })
    };
    let switch = at("SetCurrentProgramScene", "On");
    assert!(at("SetInputSettings", "\"A\"") < switch);
    assert!(at("SetSceneItemEnabled", "\"On\"") < switch);
    assert!(at("TriggerMediaInputAction", "RESTART") < switch);
    assert!(at("SetSceneItemEnabled", "\"Slate\"") > switch, "the old scene is left until it is off the screen");
    assert_eq!(simulated.tell(|world| world.count("SetCurrentProgramScene")), 1);
    rig.show(Stage { next: Some("B".to_owned()), ..on_air("A", 1) });
    eventually("the banner", || simulated.tell(|world| world.visible("On", "Banner") && world.text("Next") == "B"))
        .await;
    rig.show(Stage { show: true, ..Stage::default() });
    eventually("nobody", || simulated.tell(|world| world.program == "Slate" && world.text("Name").is_empty())).await;
    assert_eq!(simulated.tell(|world| world.count("TriggerMediaInputAction")), 1);
}

/// Each request, answered in each wrong way once: the adapter gets over it, OBS ends as it should, and nothing is sent in a flood.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_wrong_answer_to_every_request_is_got_over() {
    let requests = [
        "GetVersion",
        "GetSceneList",
        "GetInputList",
        "GetStudioModeEnabled",
        "GetSceneItemList",
        "GetSceneItemEnabled",
        "GetInputSettings",
        "GetStreamStatus",
        "SetInputSettings",
        "SetSceneItemEnabled",
        "TriggerMediaInputAction",
        "SetCurrentProgramScene",
    ];
    let ways = [
        Does::Nothing,
        Does::Late(Duration::from_millis(300)),
        Does::Late(Duration::from_secs(4)),
        Does::HangsUp,
        Does::CutsTheAnswer,
        Does::NoJson,
        Does::Bytes,
        Does::AnotherId,
        Does::NoId,
        Does::NoData,
        Does::OtherTypes,
        Does::Refuses(207),
        Does::Refuses(600),
        Does::Refuses(702),
        Does::RefusesOddly,
        Does::Twice,
        Does::OddEvents,
        Does::Greets,
        Does::Closes(1001),
        Does::Closes(4011),
    ];
    let mut cases = tokio::task::JoinSet::new();
    for request in requests {
        for way in ways.clone() {
            cases.spawn(async move {
                let what = format!("{request} {way:?}");
                let simulated = SimulatedObs::start().await;
                let reading = request.starts_with("Get");
                let odd = (request.to_owned(), way);
                if reading {
                    simulated.tell(|world| world.odd.push(odd.clone()));
                }
                let rig = Rig::start(mapping(simulated.port));
                if !reading {
                    rig.connected(&what).await;
                    simulated.tell(|world| world.odd.push(odd));
                }
                rig.show(on_air("A", 1));
                eventually(&what, || simulated.tell(|world| world.odd.is_empty())).await;
                // A time-out, if this was one, is over then.
                sleep(Duration::from_secs(3)).await;
                eventually(&what, || shows_a(&simulated)).await;
                rig.connected(&what).await;
                simulated.tell(|world| {
                    assert!(world.count("SetCurrentProgramScene") <= 2, "{what}: {:?}", world.log);
                    assert!(world.log.len() < 150, "{what}: {:?}", world.log);
                });
            });
        }
    }
    while let Some(case) = cases.join_next().await {
        case.unwrap();
    }
}

#[tokio::test]
async fn each_greeting_that_is_none_is_told_apart_and_got_over() {
    for (greeting, is) in [
        (Greeting::NoJson, (|trouble| *trouble == Trouble::NotObs) as fn(&Trouble) -> bool),
        (Greeting::Bytes, |trouble| *trouble == Trouble::NotObs),
        (Greeting::None, |trouble| *trouble == Trouble::NotObs),
        (Greeting::NeverIdentifies, |trouble| *trouble == Trouble::NotObs),
        (Greeting::AnotherMessage, |trouble| *trouble == Trouble::NotObs),
        (Greeting::HangsUp, |trouble| matches!(trouble, Trouble::Lost | Trouble::NotObs)),
    ] {
        let simulated = SimulatedObs::start().await;
        simulated.tell(|world| world.greeting = greeting);
        let rig = Rig::start(mapping(simulated.port));
        rig.trouble(&format!("{greeting:?}"), is).await;
        simulated.tell(|world| world.greeting = Greeting::Proper);
        rig.connected(&format!("{greeting:?}")).await;
    }
}

#[tokio::test]
async fn wrong_password_is_said_and_the_right_one_connects() {
    let simulated = SimulatedObs::start().await;
    let mut config = mapping(simulated.port);
    for wrong in [Some("wrong".to_owned().into()), None] {
        config.password = wrong;
        let rig = Rig::start(config.clone());
        rig.trouble("wrong", |trouble| *trouble == Trouble::WrongPassword).await;
        assert!(matches!(rig.obs.inventory().await, Err(RequestError::Away(reason)) if reason.contains("password")));
        rig.obs.configure(mapping(simulated.port));
        rig.connected("right").await;
    }
    // One without a password takes everybody.
    simulated.tell(|world| world.password = None);
    let rig = Rig::start(mapping(simulated.port));
    rig.connected("open").await;
}

#[tokio::test]
async fn old_one_is_named_and_a_later_trial_version_is_taken() {
    let simulated = SimulatedObs::start().await;
    let target =
        Target { host: "127.0.0.1".to_owned(), port: simulated.port, password: Some("right".to_owned().into()) };
    for (version, answer) in [
        ("29.1.3", Err(Trouble::TooOld { version: "29.1.3".to_owned() })),
        ("30.1.2", Err(Trouble::TooOld { version: "30.1.2".to_owned() })),
        ("30.2.0", Ok("30.2.0".to_owned())),
        ("32.0.0-beta2", Ok("32.0.0-beta2".to_owned())),
    ] {
        simulated.tell(|world| version.clone_into(&mut world.version));
        assert_eq!(Obs::try_out(&target).await, answer);
    }
}

#[tokio::test]
async fn one_that_still_starts_is_waited_for() {
    let simulated = SimulatedObs::start().await;
    simulated.tell(|world| world.odd = vec![("*".to_owned(), Does::Refuses(207)); 4]);
    let rig = Rig::start(mapping(simulated.port));
    rig.trouble("starting", |trouble| *trouble == Trouble::StillStarting).await;
    rig.connected("started").await;
}

#[tokio::test]
async fn other_servers_are_no_obs() {
    /// What a server does with a connection.
    #[derive(Clone, Copy, Debug)]
    enum Kind {
        Http,
        HangsUp,
        Banner,
        Silent,
    }
    for kind in [Kind::Http, Kind::HangsUp, Kind::Banner, Kind::Silent] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = tokio::spawn(async move {
            let mut held = Vec::new();
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                match kind {
                    Kind::Http => {
                        let mut request = [0; 1024];
                        assert!(stream.read(&mut request).await.unwrap() > 0);
                        stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").await.unwrap();
                    }
                    Kind::HangsUp => {}
                    Kind::Banner => stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n").await.unwrap(),
                    Kind::Silent => held.push(stream),
                }
            }
        });
        let target = Target { host: "127.0.0.1".to_owned(), port, password: None };
        assert_eq!(timeout(Duration::from_secs(10), Obs::try_out(&target)).await, Ok(Err(Trouble::NotObs)), "{kind:?}");
        server.abort();
    }
}

#[tokio::test]
async fn where_nothing_is_it_is_said_and_reconnect_tries_at_once() {
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let rig = Rig::start(mapping(port));
    rig.trouble("nothing", |trouble| matches!(trouble, Trouble::NothingThere { .. })).await;
    assert!(matches!(rig.obs.stream(true).await, Err(RequestError::Away(_))));
    let named = Target { host: "no-such-host.invalid".to_owned(), port, password: None };
    assert!(matches!(Obs::try_out(&named).await, Err(Trouble::NothingThere { .. })));
    rig.obs.reconnect().await.unwrap();
    rig.token.cancel();
    eventually("stopped", || rig.obs.commands.is_closed()).await;
    assert_eq!(rig.obs.reconnect().await, Err(RequestError::Stopping));
}

#[tokio::test]
async fn without_a_host_it_is_off_until_there_is_one() {
    let simulated = SimulatedObs::start().await;
    let rig = Rig::start(unset());
    assert!(matches!(rig.obs.inventory().await, Err(RequestError::Away(reason)) if reason.contains("obs.host")));
    rig.status("off", |status| status.link == Link::Off).await;
    rig.obs.configure(mapping(simulated.port));
    rig.connected("on").await;
    rig.obs.configure(unset());
    rig.status("off again", |status| status.link == Link::Off).await;
}

#[tokio::test]
async fn flood_of_events_holds_nothing_up() {
    let simulated = SimulatedObs::start().await;
    let rig = Rig::start(mapping(simulated.port));
    rig.connected("at first").await;
    for number in 0..30_000 {
        let moved = json!({"sceneName": "Own", "sceneUuid": "00000000-0000-0000-0000-000000000000",
            "sceneItemId": number, "sceneItemEnabled": number % 2 == 0});
        simulated.say("SceneItemEnableStateChanged", &moved);
        if number % 100 == 0 {
            simulated.say("SceneListChanged", &json!({"scenes": []}));
        }
    }
    rig.show(on_air("A", 1));
    eventually("A on air", || shows_a(&simulated)).await;
    rig.connected("still").await;
    assert_eq!(simulated.tell(|world| world.connections), 1, "the connection was kept");
    assert!(simulated.tell(|world| world.count("GetSceneList")) < 40, "everything was read anew for each event");
}

#[tokio::test]
async fn scene_of_a_person_is_left_alone_and_one_of_ours_is_followed_again() {
    let simulated = SimulatedObs::start().await;
    let rig = Rig::start(mapping(simulated.port));
    rig.connected("at first").await;
    rig.show(on_air("A", 1));
    eventually("A on air", || shows_a(&simulated)).await;
    rig.status("seen", |status| status.scene.as_deref() == Some("On")).await;
    simulated.switch("Own");
    let status = rig.status("left alone", |status| status.left_alone.is_some()).await;
    assert_eq!(status.scene.as_deref(), Some("Own"));
    simulated.tell(|world| world.log.clear());
    rig.show(on_air("B", 2));
    rig.show(Stage::default());
    rig.show(on_air("C", 3));
    sleep(Duration::from_millis(2500)).await;
    let touched: Vec<_> = simulated.log().into_iter().filter(|(name, _)| !name.starts_with("Get")).collect();
    assert_eq!(touched, []);
    simulated.switch("Slate");
    eventually("C", || simulated.tell(|world| world.program == "On" && world.text("Name") == "C")).await;
    rig.status("followed", |status| status.left_alone.is_none()).await;
    assert_eq!(simulated.tell(|world| world.count("TriggerMediaInputAction")), 0, "the take was long ago");
}

#[tokio::test]
async fn what_was_meanwhile_is_not_replayed_at_one_that_was_frozen() {
    let simulated = SimulatedObs::start().await;
    let rig = Rig::start(mapping(simulated.port));
    rig.connected("at first").await;
    simulated.freeze(true);
    for turn in 0..300 {
        rig.show(on_air(&format!("S{turn}"), turn));
        sleep(Duration::from_millis(20)).await;
    }
    rig.trouble("frozen", |trouble| *trouble == Trouble::Frozen).await;
    rig.show(on_air("A", 999));
    simulated.tell(|world| world.log.clear());
    simulated.freeze(false);
    eventually("A on air", || shows_a(&simulated)).await;
    rig.connected("thawed").await;
    let names: Vec<_> = simulated.log().into_iter().filter(|(_, data)| data["inputName"] == "Name").collect();
    let written = names.iter().filter(|(name, _)| name == "SetInputSettings").count();
    assert!(written <= 2, "one may have waited, and one is right: {names:?}");
    assert!(simulated.tell(|world| world.count("SetCurrentProgramScene")) <= 2);
}

#[tokio::test]
async fn one_that_comes_back_is_brought_to_what_it_should_show() {
    let simulated = SimulatedObs::start().await;
    let port = simulated.port;
    let rig = Rig::start(mapping(port));
    rig.connected("at first").await;
    drop(simulated);
    rig.trouble("away", |trouble| matches!(trouble, Trouble::NothingThere { .. } | Trouble::Lost)).await;
    rig.show(on_air("A", 1));
    sleep(Duration::from_secs(3)).await;
    let back = SimulatedObs::start_at(port).await;
    let began = std::time::Instant::now();
    eventually("A on air", || shows_a(&back)).await;
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[tokio::test]
async fn two_people_start_the_stream_and_obs_is_told_once() {
    let simulated = SimulatedObs::start().await;
    let rig = Rig::start(mapping(simulated.port));
    rig.status("idle", |status| status.streaming == Streaming::Stopped).await;
    let (one, other) = tokio::join!(rig.obs.stream(true), rig.obs.stream(true));
    let answers = [one, other];
    assert_eq!(answers.iter().filter(|answer| **answer == Ok(Streaming::Starting)).count(), 1, "{answers:?}");
    assert_eq!(answers.iter().filter(|answer| matches!(answer, Err(RequestError::Busy(_)))).count(), 1, "{answers:?}");
    assert_eq!(simulated.tell(|world| world.count("StartStream")), 1);
    // The connection breaks while it starts: no second start may follow.
    simulated.tell(|world| world.odd.push(("GetStreamStatus".to_owned(), Does::HangsUp)));
    rig.status("lost", |status| matches!(status.link, Link::Away { .. })).await;
    rig.status("starting", |status| status.streaming == Streaming::Starting).await;
    assert!(matches!(rig.obs.stream(true).await, Err(RequestError::Busy(_))));
    assert_eq!(simulated.tell(|world| world.count("StartStream")), 1);
}

#[tokio::test]
async fn whoever_undoes_everything_is_not_fought_for_ever() {
    let simulated = SimulatedObs::start().await;
    let rig = Rig::start(mapping(simulated.port));
    rig.connected("at first").await;
    rig.show(on_air("A", 1));
    eventually("A on air", || shows_a(&simulated)).await;
    for _ in 0..40 {
        simulated.switch("Slate");
        sleep(Duration::from_millis(50)).await;
    }
    let status = rig.status("a problem", |status| !status.problems.is_empty()).await;
    assert!(status.problems.iter().any(|problem| problem.contains("undoes")), "{:?}", status.problems);
    assert!(simulated.tell(|world| world.count("SetCurrentProgramScene")) <= 6);
}

#[tokio::test]
async fn time_left_is_written_once_a_second_at_most() {
    let simulated = SimulatedObs::start().await;
    let mut config = mapping(simulated.port);
    config.text_time = Some("Time".to_owned());
    let rig = Rig::start(config);
    rig.connected("at first").await;
    // The process's clock began within this test's last seconds.
    let until = crate::core::moment::Moment::from_start(Duration::from_secs(70));
    rig.show(Stage { time: TimeLeft::Until(until), ..on_air("A", 1) });
    eventually("A on air", || shows_a(&simulated)).await;
    simulated.tell(|world| world.log.clear());
    sleep(Duration::from_millis(3200)).await;
    let written = simulated.tell(|world| world.count("SetInputSettings"));
    assert!((3..=4).contains(&written), "{written}");
    rig.show(Stage { time: TimeLeft::Standing(3725), ..on_air("A", 1) });
    eventually("standing", || simulated.tell(|world| world.text("Time") == "1:02:05")).await;
}
