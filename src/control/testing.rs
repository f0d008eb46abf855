//! A whole box for tests, but for its ingest: real accounts, store, director and media behind a control room, and the tests say what
//! encoders do.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use tempfile::TempDir;
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::{JoinHandle, spawn_blocking},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    addresses::Doors,
    destinations::wanted::Destinations,
    machine_key::MachineKey,
    news::Wire,
    readiness::Readiness,
    room::{Control, Parts},
    sessions::Sessions,
    stage,
};
use crate::{
    accounts::Accounts,
    clock::{Clock, machine::MachineClock},
    config::{LoadedConfig, Settings, Sources},
    core::{
        account::AccountId,
        frame::{ConnectionId, Frame, MediaTime, Track},
        network::{Purpose, Reason, wifi::Security},
    },
    director::{self, Director},
    ingest::{Ingest, IngestEvent, IngestOrder, IngestState, PublishRequest, PublishVerdict, srs::whip::Whip},
    media::{
        Media, MediaSettings,
        slate::{self, SlateSettings},
    },
    network::{AccessPoint, Interface, Internet, Kind, Manager, Network, Simulated, Snapshot, State, Visible},
    obs::{self, Obs, Stage},
    store::{Store, testing::Flaky},
    telemetry::RecentEvents,
    update::Updates,
};

/// `admin.token` of the tests.
pub(crate) const TOKEN: &str = "a-token-for-the-tests";

/// The port that encoders would connect to.
pub(crate) const RTMP_PORT: u16 = 19_350;

/// In the data folder: what stands for RAUC, a USB stick, and the folder that the machine looks into.
pub(crate) const SIMULATED_RAUC: &str = "simulated-rauc";
pub(crate) const STICK: &str = "stick";
pub(crate) const REQUESTS: &str = "requests";

/// The password of everybody in the tests.
pub(crate) const PASSWORD: &str = "correct horse";

/// `KEY`, `value`; an empty value leaves a key out that is set here otherwise.
pub(crate) fn config(folder: &Path, settings: &[(&str, &str)]) -> LoadedConfig {
    let mut environment = BTreeMap::from([("DATA_DIR", folder.to_str().unwrap()), ("ADMIN__TOKEN", TOKEN)]);
    environment.extend(settings.iter().copied());
    environment.retain(|_, value| !value.is_empty());
    let environment =
        environment.iter().map(|(key, value)| (format!("MOTHERSTREAM_{key}"), (*value).to_owned())).collect();
    Sources { file: None, fallback: folder.join("none.toml"), environment }.load().unwrap()
}

/// A cable that leads so far.
pub(crate) fn cable(internet: Internet) -> Interface {
    Interface {
        name: "eth0".to_owned(),
        kind: Kind::Cable,
        state: State::Up,
        link: true,
        mac: "DC:A6:32:00:0A:1B".to_owned(),
        ssid: None,
        signal: None,
        frequency: None,
        speed: Some(1000),
        addresses: vec!["192.168.1.7".parse().unwrap()],
        gateway: Some("192.168.1.1".to_owned()),
        dns: vec!["192.168.1.1".to_owned()],
        fixed: false,
        internet,
    }
}

/// A radio that has joined a network, or none.
pub(crate) fn radio(ssid: Option<&str>, internet: Internet) -> Interface {
    Interface {
        name: "wlan0".to_owned(),
        kind: Kind::Wifi,
        state: if ssid.is_some() { State::Up } else { State::Down },
        link: ssid.is_some(),
        mac: "DC:A6:32:00:0A:1C".to_owned(),
        ssid: ssid.map(str::to_owned),
        signal: ssid.map(|_| 71),
        frequency: ssid.map(|_| 2437),
        speed: None,
        addresses: ssid.map(|_| "10.1.2.3".parse().unwrap()).into_iter().collect(),
        gateway: ssid.map(|_| "10.1.2.1".to_owned()),
        dns: Vec::new(),
        internet,
        fixed: false,
    }
}

/// A box that is its own machine, with these interfaces and a few networks within reach.
pub(crate) fn seen(interfaces: Vec<Interface>) -> Snapshot {
    let network = |ssid: &str, signal, security, known| Visible { ssid: ssid.to_owned(), signal, security, known };
    let internet = interfaces.iter().filter(|one| one.is_uplink()).map(|one| one.internet).max();
    Snapshot {
        manager: Manager::There,
        own: true,
        internet: internet.unwrap_or(Internet::None),
        interfaces,
        networks: vec![
            network("Venue", 82, Security::Wpa2, false),
            network("Caf\u{e9} <guests>", 55, Security::Open, false),
            network("Campus", 31, Security::Enterprise, true),
            network("Old router", 12, Security::Wep, false),
        ],
        known: vec!["Campus".to_owned()],
        access_point_name: Some("Motherstream-0A1C".to_owned()),
        ..Snapshot::default()
    }
}

/// The same as somebody sees it who came by the box's own access point.
pub(crate) fn on_the_access_point(purpose: Purpose, reason: Reason) -> Snapshot {
    let interface = Interface { state: State::AccessPoint, ..radio(None, Internet::None) };
    let access_point = AccessPoint {
        ssid: "Motherstream-0A1C".to_owned(),
        purpose,
        reason,
        interface: "wlan0".to_owned(),
        closed: purpose == Purpose::Guests,
        guests: false,
    };
    Snapshot { access_point: Some(access_point), one_radio: true, ..seen(vec![interface]) }
}

/// What stands behind every face, and the ends that the ingest would hold.
pub(crate) struct Whole {
    pub(crate) state: Parts,
    /// What encoders do.
    pub(crate) ingest: mpsc::Sender<IngestEvent>,
    /// How the ingest does.
    pub(crate) door: watch::Sender<IngestState>,
    /// What OBS follows.
    pub(crate) stage: watch::Receiver<Arc<Stage>>,
    /// What stands for NetworkManager.
    pub(crate) network: Simulated,
    /// Ends director and media.
    pub(crate) token: CancellationToken,
}

/// A whole box but for its ingest: the tests say what encoders do.
pub(crate) async fn a_box(folder: &Path, settings: &[(&str, &str)], whip: Option<Whip>) -> Whole {
    a_box_on(folder, settings, whip, None).await
}

/// The same, whose store is on another disk.
pub(crate) async fn a_box_on(
    folder: &Path,
    settings: &[(&str, &str)],
    whip: Option<Whip>,
    disk: Option<&Flaky>,
) -> Whole {
    let configured = config(folder, settings);
    let config = Arc::new(configured.config.clone());
    let (clock, token) = (Clock::start(), CancellationToken::new());
    let (store, loaded) = disk.map_or_else(|| Store::open(&config.data_dir).unwrap(), Flaky::open);
    let accounts = Accounts::open(store.clone(), &loaded, &config).await.unwrap();
    let kept = slate::folder_of_tests();
    let media_settings = MediaSettings { house: false, idle_end: None, kept, ..MediaSettings::of(&config) };
    let end = token.clone();
    let started = move || Media::start(&media_settings, clock, &TaskTracker::new(), &end);
    let (media, media_events) = spawn_blocking(started).await.unwrap().unwrap();
    let (door, ingest_state) = watch::channel(IngestState::embedded(RTMP_PORT, "the test says so"));
    let (ingest, mut orders) = Ingest::channel(ingest_state, whip);
    let (events, ingest_events) = mpsc::channel(16);
    let from_encoders = events.clone();
    tokio::spawn(async move {
        while let Some(order) = orders.recv().await {
            match order {
                IngestOrder::Disconnect(connection, _) => {
                    let _ = from_encoders.send(IngestEvent::Unpublish(connection)).await;
                }
                IngestOrder::List(answer) => answer.send(Vec::new()).unwrap(),
                IngestOrder::StopServer(answer) => answer.send(()).unwrap(),
            }
        }
    });
    let machine = MachineClock::of_this_machine();
    let parts = director::Parts {
        settings: director::settings(&config.queue, &config.ingest),
        app: config.ingest.app.clone(),
        stored: (&loaded).into(),
        clock,
        alive: Arc::new(move || machine.look()),
        resume: config.program.resume_limit(),
        media: media.clone(),
        media_events,
        ingest: ingest.clone(),
        ingest_events,
        store: store.clone(),
        accounts: accounts.clone(),
    };
    let (director, running) = Director::start(parts, token.clone()).unwrap();
    tokio::spawn(running);
    let wire = Wire::default();
    let sessions = Sessions::new(store.clone(), loaded.sessions, &config.web);
    let destinations =
        Destinations::new(store.clone(), &config, loaded.destinations, ingest.state(), media.clone(), wire.clone());
    let readiness = Readiness::default();
    let settings = Settings::new(configured);
    let recent = RecentEvents::default();
    let (shown, followed) = watch::channel(Arc::default());
    tokio::spawn(stage::follow(director.snapshot(), shown, token.clone()));
    let obs = obs::Parts { config: config.obs.clone(), stage: followed.clone(), clock, token: token.clone() };
    let obs = Obs::start(obs, &TaskTracker::new());
    // Where a test puts a program in RAUC's place.
    let rauc = Some(config.data_dir.join(SIMULATED_RAUC)).filter(|_| config.machine.updates);
    let requests = Some(config.data_dir.join(REQUESTS));
    let updates = Updates::with(rauc, &config, config.data_dir.join(STICK), requests);
    let (network, simulated) = Network::simulated(config.network.clone(), clock);
    let state = Parts {
        settings,
        clock,
        accounts,
        director,
        media,
        store,
        sessions,
        destinations,
        readiness,
        ingest,
        obs,
        network,
        recent,
        updates,
        wire,
        doors: Doors::default(),
        machine: MachineKey::new(),
        stop: token.clone(),
    };
    Whole { state, ingest: events, door, stage: followed, network: simulated, token }
}

pub(crate) fn folder() -> TempDir {
    TempDir::new().unwrap()
}

/// The control room over these parts, and what follows the news in it.
pub(crate) fn control_room(parts: Parts) -> Control {
    let control = Control::new(parts);
    let room = control.clone();
    tokio::spawn(async move { room.run().await });
    control
}

/// An encoder publishes with this account's key; whether it is accepted.
pub(crate) async fn publish(
    parts: &Parts,
    ingest: &mpsc::Sender<IngestEvent>,
    account: AccountId,
    connection: &str,
) -> bool {
    let (verdict, answered) = oneshot::channel();
    let request = PublishRequest {
        connection: ConnectionId::new(connection),
        app: "live".into(),
        key: parts.accounts.stream_key(account).unwrap(),
        address: "127.0.0.1".parse().unwrap(),
        verdict,
    };
    ingest.send(IngestEvent::Publish(request)).await.unwrap();
    matches!(answered.await.unwrap(), PublishVerdict::Accept { .. })
}

/// Sends pictures of a connection that was accepted, in real time, until it is dropped.
pub(crate) struct Camera(JoinHandle<()>);

impl Camera {
    pub(crate) async fn start(parts: &Parts, connection: &str) -> Self {
        let config = parts.settings.now();
        // The slate's own pictures: media has encoded them already.
        let pictures = move || slate::kept(&slate::folder_of_tests(), SlateSettings::of(&config)).unwrap();
        let slate = spawn_blocking(pictures).await.unwrap();
        let mut sink = parts.media.sinks().open(ConnectionId::new(connection));
        let clock = parts.clock;
        Self(tokio::spawn(async move {
            let mut time = MediaTime::ZERO;
            let mut due =
                tokio::time::interval(Duration::from_micros(slate.picture_duration.as_micros().unsigned_abs()));
            for picture in slate.pictures.iter().cycle() {
                due.tick().await;
                let (payload, config) = (picture.payload.clone(), slate.video.clone());
                let keyframe = picture.keyframe;
                sink.push(Frame { track: Track::Video, dts: time, pts: time, keyframe, payload, config }, clock.now());
                time += slate.picture_duration;
            }
        }))
    }
}

impl Drop for Camera {
    fn drop(&mut self) {
        self.0.abort();
    }
}
