//! The task that holds the connection to NetworkManager: it looks, asks the rule, and has done what that wants.

use std::{collections::HashMap, fs, future::Future, io::Read as _, path::Path, pin::Pin, sync::Arc, time::Duration};

use secrecy::{ExposeSecret as _, SecretString};
use tokio::{
    select,
    sync::{mpsc, watch},
    task::spawn_blocking,
    time::{Instant, MissedTickBehavior, interval, sleep, sleep_until},
};
use zbus::OwnedObjectPath;

use super::{
    asks::{Asks, Wanted},
    bus::{Bus, BusError, Kept},
    guests::Guests,
    jobs::{self, Raise, Tried},
    look::{self, Look, MOST_NETWORKS, Own},
    order::{Addressing, Answer, Command, Join, Made, NetworkError, Parts, Touched},
    profile::{self, Channel, GUESTS, access_point_id},
    saved,
    view::{AccessPoint, Kind, Manager, Outcome, SECOND, Snapshot, State, TRIAL, Trial},
};
use crate::{
    config::NetworkConfig,
    core::{
        account,
        moment::Moment,
        network::{
            AGAIN_TIME, ASKED_TIME, Hotspot, Purpose, Reason, Rule, Seen, Want,
            wifi::{Failure, MOST_SAVED_BYTES, SAVED, SavedWifi, read_saved},
        },
    },
    files::{self, Readers},
};

/// How often the rule is asked.
const TICK: Duration = Duration::from_secs(1);
/// Changes come in swarms; they are looked at together.
const SWARM: Duration = Duration::from_millis(300);
/// Without a sign of one it is looked at so often: the service may hang without a word.
const EVERY: Duration = Duration::from_secs(20);
/// How long it is waited before a bus that is not there is looked for again.
const RETRY: Duration = Duration::from_secs(30);
/// The same for a service that is not there, or silent.
const RETRY_SERVICE: Duration = Duration::from_secs(5);
/// How often NetworkManager is made to look whether the venue's page lets the box through: by itself it takes up to a minute.
const CHECK: Duration = Duration::from_secs(3);
/// How often a known network is joined by hand while there is none: after a refused password NetworkManager tries no more by itself.
const NUDGE: Duration = Duration::from_mins(1);
/// So long after the page has answered is the access point taken away for a join: the answer has to reach the phone.
const PARTING: Duration = Duration::from_secs(3);
/// How long a radio is waited for that is asked to be two things at once.
const SPLIT: Duration = Duration::from_secs(10);
/// The file that says which join was under way when the plug was pulled.
const NOTE: &str = "network-join";
/// The file on the card that asks for the access point.
const FLAG: &str = "wifi-setup";
/// The file with the password that the box made for its streamers' network.
const PASSWORD: &str = "network-password";

/// What is under way.
enum Done {
    Joined(Join, Result<(), Failure>),
    Raised(Raise, Result<(), String>),
    Other,
}

type Job = Pin<Box<dyn Future<Output = Done> + Send>>;

/// The task.
pub(super) struct Task {
    parts: Parts,
    config: watch::Receiver<Arc<NetworkConfig>>,
    ordered: mpsc::Receiver<Command>,
    publish: watch::Sender<Arc<Snapshot>>,
    guests: Guests,
    /// What an earlier process left standing is still to be taken over.
    inherits: Option<()>,
    rule: Rule,
    asks: Asks,
    look: Look,
    manager: Manager,
    want: Want,
    /// The purpose that the access point was raised for.
    purpose: Purpose,
    job: Option<Job>,
    joining: Option<Join>,
    outcome: Option<Outcome>,
    failed: bool,
    /// The file on the card counts.
    flag: bool,
    /// Networks of a backup that was restored, which are to be known.
    restored: Vec<SavedWifi>,
    tried: Option<(Tried, String, Moment)>,
    trouble: Option<(String, Moment)>,
    /// How often in a row it could not be raised.
    tries: u32,
    /// As what it was raised by this process.
    raised: Option<Raise>,
    began: Moment,
    checked: Moment,
    nudged: Moment,
    /// Since when the radio has been asked to be two things at once; and whether it turned out that it cannot.
    split: Option<Moment>,
    one_radio: bool,
    /// The password of the streamers' network.
    guests_password: Made,
}

impl Task {
    pub(super) fn new(
        parts: Parts,
        config: watch::Receiver<Arc<NetworkConfig>>,
        ordered: mpsc::Receiver<Command>,
        publish: watch::Sender<Arc<Snapshot>>,
        (touched, guests_password): (Touched, Made),
    ) -> Self {
        let now = parts.clock.now();
        let (hotspot, after) = (parts.config.hotspot, Duration::from_secs(parts.config.setup_after_seconds));
        let asks = Asks::new(parts.requests.clone().filter(|_| parts.own));
        Self {
            rule: Rule::new(hotspot, after, now),
            asks,
            config,
            ordered,
            publish,
            guests: Guests::new(touched),
            inherits: Some(()),
            look: Look::default(),
            manager: Manager::Unknown,
            want: Want::Down,
            purpose: Purpose::Setup,
            job: None,
            joining: None,
            outcome: None,
            failed: false,
            flag: false,
            restored: Vec::new(),
            tried: None,
            trouble: None,
            tries: 0,
            raised: None,
            began: now,
            checked: now,
            nudged: now,
            split: None,
            one_radio: false,
            guests_password,
            parts,
        }
    }

    /// Works until it is dropped.
    pub(super) async fn run(&mut self) {
        if self.parts.own {
            self.remember().await;
        }
        loop {
            let pause = match Bus::connect(self.parts.bus.as_deref()).await {
                Ok(bus) => {
                    self.attached(&bus).await;
                    RETRY_SERVICE
                }
                Err(error) => {
                    self.is_gone(&error);
                    RETRY
                }
            };
            self.break_off();
            let end = Instant::now() + pause;
            loop {
                select! {
                    () = sleep_until(end) => break,
                    command = self.ordered.recv() => match command {
                        Some(command) => self.refuse(command),
                        None => return,
                    },
                }
            }
        }
    }

    /// What an earlier start left. Off this thread: a card may take its time.
    async fn remember(&mut self) {
        let (data, boot) = (self.parts.data_dir.clone(), self.parts.boot_dir.clone());
        let left = spawn_blocking(move || {
            let note = data.join(NOTE);
            let broken_off = fs::read_to_string(&note).ok().map(|ssid| ssid.chars().take(32).collect::<String>());
            let _gone = fs::remove_file(&note);
            let flag = boot.is_some_and(|folder| folder.join(FLAG).exists());
            (broken_off, flag, password_for_guests(&data.join(PASSWORD)), of_a_backup(&data.join(SAVED)))
        });
        let Ok((broken_off, flag, password, restored)) = left.await else { return };
        self.restored = restored;
        let _once = self.guests_password.set(password);
        self.flag = flag;
        if let Some(ssid) = broken_off {
            let join = Join { ssid, password: None, hidden: false, identity: None, server: None };
            self.end_join(&join, Err(Failure::BrokenOff));
        }
    }

    fn is_gone(&mut self, error: &BusError) {
        let manager = if matches!(error, BusError::Absent) { Manager::Absent } else { Manager::Silent };
        if self.manager != manager {
            // A computer without it is no news.
            if self.parts.own || manager == Manager::Silent {
                tracing::warn!(%error, "the network cannot be seen or set");
            }
            self.manager = manager.clone();
        }
        if manager == Manager::Absent {
            // What it was doing ended with it. One that is silent may be doing it still, and what is connected stays so.
            self.look = Look::default();
            self.break_off();
        }
        self.show();
    }

    /// Gives up what is under way.
    fn break_off(&mut self) {
        self.job = None;
        if let Some(join) = self.joining.take() {
            self.end_join(&join, Err(Failure::BrokenOff));
        }
    }

    fn refuse(&self, command: Command) {
        let why = if self.manager == Manager::Silent {
            "NetworkManager does not answer; it is asked again every few seconds"
        } else {
            "there is no NetworkManager on this machine"
        };
        answer(command, Err(NetworkError::NoManager(why)));
    }

    /// Works with a bus until that breaks.
    async fn attached(&mut self, bus: &Bus) {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut due = Instant::now();
        let mut silences = 0;
        loop {
            let job = async {
                match self.job.as_mut() {
                    Some(job) => job.await,
                    None => std::future::pending().await,
                }
            };
            select! {
                _ = tick.tick() => {}
                () = bus.changed.notified() => due = due.min(Instant::now() + SWARM),
                done = job => {
                    self.job = None;
                    self.done(done);
                    due = Instant::now();
                }
                command = self.ordered.recv() => {
                    let Some(command) = command else { return std::future::pending().await };
                    if self.manager == Manager::There {
                        self.order(bus, command).await;
                        due = due.min(Instant::now() + SWARM);
                    } else {
                        self.refuse(command);
                    }
                }
                changed = self.config.changed() => {
                    if changed.is_err() {
                        return std::future::pending().await;
                    }
                    let config = self.config.borrow_and_update().clone();
                    self.rule.hotspot = config.hotspot;
                    self.rule.after = Duration::from_secs(config.setup_after_seconds);
                }
            }
            if Instant::now() >= due {
                match self.look(bus).await {
                    Ok(()) => {
                        if self.manager != Manager::There {
                            tracing::info!("NetworkManager answers");
                            self.manager = Manager::There;
                        }
                        silences = 0;
                        due = Instant::now() + EVERY;
                    }
                    // One answer that is late is no silence: a machine has its moments.
                    Err(BusError::Silent) if silences == 0 && !bus.is_closed() => {
                        silences = 1;
                        due = Instant::now() + TICK;
                    }
                    // A refused answer is a NetworkManager that is starting or ending.
                    Err(error) => {
                        self.is_gone(&error);
                        if bus.is_closed() {
                            return;
                        }
                        due = Instant::now() + RETRY_SERVICE;
                    }
                }
            }
            if self.manager == Manager::There {
                self.act(bus);
            }
            self.show();
        }
    }

    async fn look(&mut self, bus: &Bus) -> Result<(), BusError> {
        if self.manager != Manager::There && !bus.is_there().await? {
            return Err(BusError::Absent);
        }
        let before = std::mem::replace(&mut self.look, read(bus).await?);
        let name = self.look.access_point_name();
        self.look.heard.retain(|(network, _)| Some(&network.ssid) != name.as_ref());
        // A radio that is an access point hears nobody but itself: what it heard before stays. Another one hears who is there now.
        let own = self.look.own.as_ref().map(|own| &own.interface);
        if own.is_some_and(|own| self.look.radios().all(|radio| radio.shown.name == *own)) {
            for (network, frequency) in before.heard {
                if !self.look.heard.iter().any(|(other, _)| other.ssid == network.ssid) {
                    self.look.heard.push((network, frequency));
                }
            }
            self.look.heard.truncate(MOST_NETWORKS);
        }
        Ok(())
    }

    fn now(&self) -> Moment {
        self.parts.clock.now()
    }

    /// Takes over what an earlier process left standing: its guests are there still.
    fn adopt(&mut self, now: Moment) {
        let Some(own) = self.inherits.take().and(self.look.own.as_ref()) else { return };
        self.purpose = if own.id == GUESTS { Purpose::Guests } else { Purpose::Setup };
        self.rule.adopt(self.purpose, now);
        self.guests.expect(now);
    }

    /// Asks the rule, and has done what it wants; one thing at a time.
    fn act(&mut self, bus: &Bus) {
        let now = self.now();
        if self.tried.as_ref().is_some_and(|(_, _, until)| now >= *until) {
            // NetworkManager has taken it back by itself; what was made for it goes too.
            if let Some((tried, ..)) = self.tried.take() {
                let bus = bus.clone();
                tokio::spawn(async move { jobs::take_back(&bus, &tried).await });
            }
        }
        if !self.parts.own {
            return;
        }
        let joined_wifi = self.look.joined().is_some();
        if joined_wifi && self.joining.is_none() {
            self.failed = false;
        }
        self.adopt(now);
        self.guests.look(now, self.look.own.as_ref().map(|_| self.purpose));
        let guests = self.guests.there;
        // A file that was left lying there is for whoever comes within a while.
        self.flag &= guests || now.since(self.began) < ASKED_TIME;
        let situation = (self.parts.situation)();
        // A show's own radio is left alone; what stands beside it stays.
        let keeps_off = situation.show && joined_wifi && self.look.own.is_none();
        let free = self.look.free().filter(|free| !(keeps_off && free.shown.name == SECOND));
        let radios = self.look.radios().count();
        let seen = Seen {
            claimed: situation.claimed,
            show: situation.show,
            radio: radios > 0,
            cable: self.look.devices.iter().any(|device| device.shown.kind == Kind::Cable && device.shown.link),
            uplink: self.look.leads_somewhere(),
            beside: if self.joining.is_some() { radios > 1 } else { free.is_some() },
            portal: self.look.is_behind_portal(),
            known: !self.look.known.is_empty(),
            joining: self.joining.is_some(),
            failed: self.failed,
            flag: self.flag,
            guests,
        };
        self.want = self.rule.look(now, &seen);
        self.split(now, &seen);
        if self.job.is_none() {
            self.job = self.next_job(bus, now, &seen);
        }
    }

    /// Asks the machine for what needs root: whether the radio is to be two things at once, and whether phones are let through.
    fn split(&mut self, now: Moment, seen: &Seen) {
        let config = self.config.borrow().clone();
        let taken = self.look.joined().is_some() && self.look.radios().count() == 1;
        let wanted = taken
            && (seen.portal || config.hotspot == Hotspot::Always)
            && config.hotspot != Hotspot::Off
            && !seen.show
            && !self.one_radio;
        let there = self.look.devices.iter().any(|device| device.shown.name == SECOND);
        let second = wanted || (there && self.look.own.as_ref().is_some_and(|own| own.interface == SECOND));
        if !second || there {
            self.split = None;
        } else if now.since(*self.split.get_or_insert(now)) > SPLIT {
            tracing::info!("the radio cannot be client and access point at once");
            self.one_radio = true;
        }
        if self.look.joined().is_none() {
            // Another network may be on a channel on which it can.
            self.one_radio = false;
        }
        let up = self.look.own.as_ref().is_some_and(|own| own.up);
        let portal = up && matches!(self.want, Want::Up(Purpose::Portal, _));
        self.asks.ask(&config, Wanted { second, portal });
    }

    fn next_job(&mut self, bus: &Bus, now: Moment, seen: &Seen) -> Option<Job> {
        let bus = bus.clone();
        if !self.restored.is_empty() {
            return Some(self.know(bus));
        }
        match (self.want, self.look.own.clone()) {
            (Want::Up(purpose, _), own) => {
                let pause = AGAIN_TIME * 2_u32.pow(self.tries.clamp(1, 5) - 1);
                let tried = self.trouble.as_ref().is_some_and(|(_, at)| now.since(*at) < pause);
                // Another password than the one that it was raised with comes when nobody is on it.
                let wanted = self.password(purpose);
                let other = self.raised.as_ref().is_some_and(|raised| !same(raised.password.as_ref(), wanted.as_ref()));
                let stands = own.as_ref().is_some_and(|own| own.id == access_point_id(purpose));
                // The venue's router has come back on another channel, where the radio cannot go for the access point beside it.
                let in_the_way = stands
                    && !seen.uplink
                    && own.is_some_and(|own| own.interface == SECOND)
                    && now.since(self.nudged) >= NUDGE
                    && self.raised.as_ref().is_some_and(|raised| {
                        self.channel_of_the_first().is_some_and(|channel| raised.channel != Some(channel))
                    });
                if in_the_way {
                    self.nudged = now;
                    return self.raise(bus, purpose);
                }
                if stands && !(other && !seen.guests && !seen.show) {
                    // Which may be an earlier process's.
                    self.purpose = purpose;
                    if purpose == Purpose::Portal && now.since(self.checked) >= CHECK {
                        self.checked = now;
                        return Some(Box::pin(async move {
                            let _told = bus.check().await;
                            Done::Other
                        }));
                    }
                    return None;
                }
                if tried { None } else { self.raise(bus, purpose) }
            }
            (Want::Down | Want::Look, Some(Own { active, .. })) => Some(Box::pin(async move {
                let _gone = bus.deactivate(&active).await;
                Done::Other
            })),
            (Want::Down | Want::Look, None) => {
                let looks = self.want == Want::Look;
                let pause = if looks { SWARM } else { NUDGE };
                if seen.uplink || self.look.known.is_empty() || now.since(self.nudged) < pause {
                    return None;
                }
                self.nudged = now;
                self.nudge(bus)
            }
        }
    }

    /// Has the networks of a backup known. What is broken off or refused is tried again at the next start.
    fn know(&mut self, bus: Bus) -> Job {
        let (restored, known) = (std::mem::take(&mut self.restored), self.look.known.clone());
        let file = self.parts.data_dir.join(SAVED);
        Box::pin(async move {
            match saved::know(&bus, &known, restored).await {
                Ok(new) => {
                    tracing::info!(new, "the box knows the Wi-Fi networks of the backup");
                    let _gone = spawn_blocking(move || fs::remove_file(file)).await;
                }
                Err(error) => tracing::warn!(%error, "the Wi-Fi networks of the backup are not known yet"),
            }
            Done::Other
        })
    }

    /// Looks for a known network, and joins it.
    fn nudge(&self, bus: Bus) -> Option<Job> {
        let device = self.look.radios().find(|device| device.shown.state == State::Down)?.clone();
        let known = self.look.known.clone();
        Some(Box::pin(async move {
            let Some(now) = jobs::look_around(&bus, &device).await else { return Done::Other };
            // NetworkManager may have found one by itself.
            if !now.radios().any(|radio| radio.path == device.path && radio.shown.state == State::Down) {
                return Done::Other;
            }
            let by_name = |ssid: &str| known.iter().find(|known| known.ssid == ssid);
            let loudest = now.heard.iter().find_map(|(network, _)| by_name(&network.ssid));
            // A hidden one shows no name.
            if let Some(known) = loudest.or_else(|| known.iter().find(|known| known.hidden)) {
                let _joins = bus.activate(&known.profile, &device.path).await;
                sleep(Duration::from_secs(5)).await;
            }
            Done::Other
        }))
    }

    /// The password of the access point, by what it is for.
    fn password(&self, purpose: Purpose) -> Option<SecretString> {
        let set = self.config.borrow().setup_password.clone();
        if purpose == Purpose::Guests { set.or_else(|| self.guests_password.get().cloned()) } else { set }
    }

    /// The second interface of a radio is on the channel of the first: of what that has joined, or of the known network that it hears and cannot go
    /// to while the second one is on another.
    fn channel_of_the_first(&self) -> Option<Channel> {
        let joined = self.look.joined().and_then(|joined| joined.shown.frequency);
        let known = || self.look.heard.iter().find(|(network, _)| network.known).map(|(_, frequency)| *frequency);
        Channel::of(joined.or_else(known)?)
    }

    fn raise(&self, bus: Bus, purpose: Purpose) -> Option<Job> {
        let device = self.look.free().or_else(|| self.look.radios().next())?.clone();
        let ssid = self.look.access_point_name()?;
        let password = self.password(purpose);
        let channel = (device.shown.name == SECOND).then(|| self.channel_of_the_first()).flatten();
        let (look, wanted) = (self.look.clone(), Raise { ssid, purpose, password, channel });
        Some(Box::pin(async move {
            let raised = jobs::raise(&bus, &look, &device, &wanted).await;
            Done::Raised(wanted, raised)
        }))
    }

    fn done(&mut self, done: Done) {
        match done {
            Done::Joined(join, ended) => {
                self.joining = None;
                if ended.is_ok() && std::mem::take(&mut self.flag) {
                    self.asks.flag_is_done();
                }
                self.end_join(&join, ended);
            }
            Done::Raised(raise, Ok(())) => {
                tracing::info!(ssid = raise.ssid, purpose = ?raise.purpose, "the access point is up");
                self.purpose = raise.purpose;
                self.raised = Some(raise);
                self.trouble = None;
                self.tries = 0;
            }
            Done::Raised(_, Err(why)) => {
                tracing::warn!(why, "the access point could not be raised");
                self.trouble = Some((why, self.now()));
                self.tries = self.tries.saturating_add(1);
            }
            Done::Other => {}
        }
    }

    fn end_join(&mut self, join: &Join, ended: Result<(), Failure>) {
        let ssid = join.ssid.clone();
        let message = match &ended {
            Ok(()) => format!("The box is in {ssid}."),
            Err(failure) => failure.words(&ssid),
        };
        match &ended {
            Ok(()) => tracing::info!(ssid, "joined"),
            Err(failure) => tracing::warn!(ssid, ?failure, "not joined"),
        }
        let note = self.parts.data_dir.join(NOTE);
        spawn_blocking(move || fs::remove_file(note));
        self.failed = ended.is_err();
        let (hidden, identity, server) = (join.hidden, join.identity.clone(), join.server.clone());
        self.outcome = Some(Outcome { ssid, failure: ended.err(), message, hidden, identity, server });
    }

    async fn order(&mut self, bus: &Bus, command: Command) {
        if !self.parts.own {
            answer(command, Err(NetworkError::NotOurs));
            return;
        }
        match command {
            Command::Look(answer) => drop(answer.send(self.look_around(bus).await)),
            Command::Join(join, answer) => drop(answer.send(self.join(bus, join))),
            Command::Forget(ssid, answer) => drop(answer.send(self.forget(bus, &ssid).await)),
            Command::Saved(answer) => {
                drop(answer.send(saved::read(bus, &self.look.known).await.map_err(refused)));
            }
            Command::Hotspot(on, answer) => drop(answer.send(self.hotspot(on))),
            Command::Address(interface, addressing, answer) => {
                drop(answer.send(self.address(bus, &interface, &addressing).await));
            }
            Command::Confirm(keep, answer) => drop(answer.send(self.confirm(bus, keep).await)),
        }
    }

    async fn look_around(&mut self, bus: &Bus) -> Result<(), NetworkError> {
        let device = self.look.radios().next().ok_or(NetworkError::NoRadio)?.clone();
        let is_own = self.look.own.as_ref().is_some_and(|own| own.interface == device.shown.name);
        // One that is the access point, or joins something, hears nobody now.
        if !is_own && self.job.is_none() {
            let _looked_at_below = jobs::look_around(bus, &device).await;
            self.look(bus).await.map_err(refused)?;
        }
        Ok(())
    }

    fn join(&mut self, bus: &Bus, join: Join) -> Result<(), NetworkError> {
        if self.joining.is_some() {
            return Err(NetworkError::Busy("the box is joining a network already: wait until that is done"));
        }
        if self.tried.is_some() {
            let why = "a change of addresses is being tried: confirm it, or wait until it is taken back";
            return Err(NetworkError::Busy(why));
        }
        let seen =
            self.look.heard.iter().map(|(network, _)| network).find(|network| network.ssid == join.ssid).cloned();
        // What cannot be is said while whoever typed it is there.
        let profile = profile::venue(&join, seen.as_ref().map(|seen| seen.security))?;
        let device = self.look.radios().find(|device| device.shown.state != State::AccessPoint);
        let device = device.or_else(|| self.look.radios().next()).ok_or(NetworkError::NoRadio)?.clone();
        let (note, ssid) = (self.parts.data_dir.join(NOTE), join.ssid.clone());
        spawn_blocking(move || {
            if let Err(error) = files::replace(&note, ssid.as_bytes(), Readers::Owner) {
                tracing::warn!(%error, "a join that is broken off will not be told of");
            }
        });
        self.outcome = None;
        self.failed = false;
        self.joining = Some(join.clone());
        // Raising the access point would be in the way now; half raised, it is taken down as one that stands.
        let (bus, look) = (bus.clone(), self.look.clone());
        self.job = Some(Box::pin(async move {
            sleep(PARTING).await;
            let ended = jobs::join(&bus, &look, &device, &join, profile, seen.as_ref()).await;
            Done::Joined(join, ended)
        }));
        Ok(())
    }

    async fn forget(&mut self, bus: &Bus, ssid: &str) -> Result<(), NetworkError> {
        let known = self.look.known.iter().filter(|known| known.ssid == ssid);
        let profiles: Vec<_> = known.map(|known| known.profile.clone()).collect();
        if profiles.is_empty() {
            return Err(NetworkError::NotFound(format!("the box does not know a network called {ssid}")));
        }
        for profile in &profiles {
            bus.delete(profile).await.map_err(refused)?;
        }
        tracing::info!(ssid, "forgotten");
        Ok(())
    }

    fn hotspot(&mut self, on: bool) -> Result<(), NetworkError> {
        if on && self.look.radios().next().is_none() {
            return Err(NetworkError::NoRadio);
        }
        let now = self.now();
        self.rule.ask(on, now);
        self.flag &= on;
        self.failed &= on;
        Ok(())
    }

    async fn address(&mut self, bus: &Bus, interface: &str, addressing: &Addressing) -> Result<(), NetworkError> {
        if self.tried.is_some() {
            return Err(NetworkError::Busy(
                "another change is being tried: confirm it, or wait until it is taken back",
            ));
        }
        if self.joining.is_some() {
            return Err(NetworkError::Busy("the box is joining a network: wait until that is done"));
        }
        let device = self.look.devices.iter().find(|device| device.shown.name == interface);
        let device = device.ok_or_else(|| NetworkError::NotFound(format!("the box has no interface {interface}")))?;
        if device.shown.state == State::AccessPoint {
            return Err(NetworkError::NotFound(format!("{interface} is the box's own Wi-Fi, whose address stays")));
        }
        let tried = jobs::address(bus, device, addressing).await.map_err(refused)?;
        let what = match addressing {
            Addressing::Given => format!("{interface} takes the address that the venue's network gives it"),
            Addressing::Fixed { address, .. } => format!("{interface} has the address {}", address.addr()),
        };
        self.tried = Some((tried, what, self.now() + TRIAL));
        Ok(())
    }

    async fn confirm(&mut self, bus: &Bus, keep: bool) -> Result<(), NetworkError> {
        let nothing =
            || NetworkError::NotFound("nothing is being tried: it was taken back, or confirmed already".to_owned());
        let (tried, ..) = self.tried.take().ok_or_else(nothing)?;
        let done = if keep { jobs::keep(bus, &tried).await } else { jobs::take_back(bus, &tried).await };
        done.map_err(refused)
    }

    /// Publishes what is different.
    fn show(&mut self) {
        let access_point = self.look.own.as_ref().filter(|own| own.up).map(|own| {
            let reason = match self.want {
                Want::Up(_, reason) => reason,
                Want::Down | Want::Look => Reason::Guests,
            };
            AccessPoint {
                ssid: self.look.access_point_name().unwrap_or_default(),
                purpose: self.purpose,
                reason,
                interface: own.interface.clone(),
                closed: own.closed,
                guests: self.guests.there,
            }
        });
        let until_ms = |until: &Moment| u64::try_from(until.since_start().as_millis()).unwrap_or(u64::MAX);
        let snapshot = Snapshot {
            manager: self.manager.clone(),
            own: self.parts.own,
            interfaces: self.look.devices.iter().map(|device| device.shown.clone()).collect(),
            internet: self.look.reaches(),
            networks: self.look.heard.iter().map(|(network, _)| network.clone()).collect(),
            known: self.look.known.iter().map(|known| known.ssid.clone()).collect(),
            access_point,
            access_point_name: self.look.access_point_name(),
            access_point_trouble: self.trouble.as_ref().map(|(why, _)| why.clone()),
            joining: self.joining.as_ref().map(|join| join.ssid.clone()),
            outcome: self.outcome.clone(),
            trial: self.tried.as_ref().map(|(_, what, until)| Trial { what: what.clone(), until_ms: until_ms(until) }),
            one_radio: self.one_radio,
        };
        self.publish.send_if_modified(|shown| {
            let different = **shown != snapshot;
            if different {
                *shown = Arc::new(snapshot);
            }
            different
        });
    }
}

/// The password that the box made for its streamers, once.
fn password_for_guests(file: &Path) -> SecretString {
    let kept = fs::read_to_string(file).ok().map(|text| text.trim().to_owned());
    if let Some(kept) = kept.filter(|text| (8..=63).contains(&text.len())) {
        return kept.into();
    }
    let made = account::setup_code(rand::random());
    if let Err(error) = files::replace(file, made.expose_secret().as_bytes(), Readers::Owner) {
        tracing::warn!(%error, "the password of the streamers' Wi-Fi cannot be kept: it is another one after a restart");
    }
    made
}

/// The Wi-Fi networks of a backup that was restored. It was checked before it came here.
fn of_a_backup(file: &Path) -> Vec<SavedWifi> {
    let Ok(opened) = fs::File::open(file) else { return Vec::new() };
    let mut content = Vec::new();
    let read = opened.take(MOST_SAVED_BYTES).read_to_end(&mut content);
    let saved = read.map_err(|error| error.to_string()).and_then(|_| read_saved(&content));
    saved.unwrap_or_else(|error| {
        tracing::warn!(error, "the Wi-Fi networks of the backup cannot be read");
        let _gone = fs::remove_file(file);
        Vec::new()
    })
}

/// Everything that there is to see.
async fn read(bus: &Bus) -> Result<Look, BusError> {
    let objects = bus.objects().await?;
    let mut profiles: HashMap<OwnedObjectPath, Kept> = HashMap::new();
    for path in look::profiles(&objects) {
        // One that is deleted meanwhile is no reason to see nothing.
        match bus.settings(&path).await {
            Ok(settings) => drop(profiles.insert(path, settings)),
            Err(BusError::Silent) => return Err(BusError::Silent),
            Err(_) => {}
        }
    }
    Ok(Look::of(&objects, &profiles))
}

/// One look.
pub(super) async fn glance() -> Result<Snapshot, NetworkError> {
    let bus = Bus::connect(None).await.map_err(refused)?;
    if !bus.is_there().await.map_err(refused)? {
        return Err(refused(BusError::Absent));
    }
    let look = read(&bus).await.map_err(refused)?;
    Ok(Snapshot {
        manager: Manager::There,
        own: true,
        interfaces: look.devices.iter().map(|device| device.shown.clone()).collect(),
        internet: look.reaches(),
        access_point_name: look.access_point_name(),
        ..Snapshot::default()
    })
}

fn same(one: Option<&SecretString>, other: Option<&SecretString>) -> bool {
    one.map(SecretString::expose_secret) == other.map(SecretString::expose_secret)
}

fn refused(error: BusError) -> NetworkError {
    match error {
        BusError::Absent => NetworkError::NoManager("there is no NetworkManager on this machine"),
        BusError::Silent => NetworkError::Slow,
        BusError::Refused(said) => NetworkError::Refused(said),
    }
}

fn answer(command: Command, with: Result<(), NetworkError>) {
    let answer: Answer<()> = match command {
        Command::Saved(answer) => {
            let _nobody_waits = answer.send(with.map(|()| Vec::new()));
            return;
        }
        Command::Look(answer)
        | Command::Join(_, answer)
        | Command::Forget(_, answer)
        | Command::Hotspot(_, answer)
        | Command::Address(_, _, answer)
        | Command::Confirm(_, answer) => answer,
    };
    let _nobody_waits = answer.send(with);
}
