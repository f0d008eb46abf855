//! The one task: holds the connection, looks at the latest stage, and makes the next request.
//!
//! It never queues what it is to do: after each request it looks anew at the stage and at what OBS shows, and plans from there. So what
//! OBS was away or frozen for is never sent afterwards.

use std::{collections::BTreeMap, mem::discriminant, sync::Arc, time::Duration};

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use futures_util::{FutureExt as _, StreamExt as _};
use obws::events::{Event, EventStream};
use secrecy::ExposeSecret as _;
use serde_json::Value;
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep_until},
};

use super::{
    Link, RequestError, Stage, Status, Target, TimeLeft, Trouble,
    acts::{self, Acts},
    command::{Command, reply},
    link::{self, Fault, ObsClient},
    plan::{self, Seen, Step, Wanted},
    report, setup,
    stream::{StreamOrder, Watch},
};
use crate::{clock::Clock, config::ObsConfig};

/// Between two looks at whether OBS lives.
const HEALTH: Duration = Duration::from_secs(2);
/// The first wait after a connection is lost, and the longest: OBS is right again within 5 s of being back.
const SHORTEST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(2);
/// After a refused password, for each of which OBS shows a notice, and after one that sent too much.
const REFUSED: Duration = Duration::from_secs(15);
/// A connection that lasted so long was one; the next wait is the shortest again.
const STABLE: Duration = Duration::from_secs(10);
/// A transition whose end is not heard of is over by then.
const TRANSITION: Duration = Duration::from_secs(3);
/// A change of the scene collection whose end is not heard of is asked after so late. OBS is asked for nothing meanwhile.
const CHANGE: Duration = Duration::from_secs(30);
/// An OBS that said it was not ready is asked again so often.
const ASK: Duration = Duration::from_secs(1);
/// One that is not ready for so long is away.
const NOT_READY: Duration = Duration::from_secs(if cfg!(test) { 6 } else { 60 });
/// Between two readings of everything, however many events ask for one.
const READ: Duration = Duration::from_secs(1);
/// Everything is read so often although nothing is said to have changed: what OBS said it did and did not do is noticed. A reading takes
/// some twenty milliseconds.
const REREAD: Duration = Duration::from_secs(15);
/// Events that are looked at before anything else has its turn.
const AT_ONCE: usize = 1000;
/// What OBS refused is tried again after that.
const AGAIN: Duration = Duration::from_secs(5);
/// So often one step is made for one stage: then something undoes it, and the box does not fight.
const FIGHTS: u32 = 5;
/// After that it may be tried again: whoever undid it may have gone.
const PEACE: Duration = Duration::from_mins(1);

/// Why a connection is not used any more, or a wait is over.
enum End {
    /// Something is wrong.
    Trouble(Trouble),
    /// It is to be made anew, at once.
    Anew,
}

impl From<Trouble> for End {
    fn from(trouble: Trouble) -> Self {
        Self::Trouble(trouble)
    }
}

/// The task's state.
pub(super) struct Engine {
    config: watch::Receiver<Arc<ObsConfig>>,
    stage: watch::Receiver<Arc<Stage>>,
    commands: mpsc::Receiver<Command>,
    status: watch::Sender<Arc<Status>>,
    clock: Clock,
    /// The stage as it was last taken over.
    now: Arc<Stage>,
    /// When its time is up.
    deadline: Option<Instant>,
    acts: Acts,
    watch: Watch,
    /// When OBS was last seen to follow; none: it was left alone then, or there is none.
    followed: Option<Instant>,
    /// When which OBS answered last.
    answered: Option<(Instant, String, u16)>,
    /// Nothing took connections there since.
    vanished: bool,
    /// What is in the way, until a connection is there.
    trouble: Option<Trouble>,
    waits: Option<ExponentialBackoff>,
    /// Steps that OBS refused, with why.
    refused: BTreeMap<Step, String>,
    /// How often each step was made since the stage or the mapping changed.
    made: BTreeMap<Step, u32>,
}

/// What belongs to one connection.
struct Held<'a> {
    obs: &'a ObsClient,
    target: &'a Target,
    config: Arc<ObsConfig>,
    events: EventStream,
    seen: Seen,
    /// Something came or went: all is to be read anew.
    stale: bool,
    read: Instant,
    health: Instant,
    transition: Option<Instant>,
    again: Instant,
    /// OBS is not to be asked for anything.
    busy: Option<Busy>,
    /// When the count of what is undone again and again begins anew.
    peace: Instant,
}

/// OBS changes its scene collection, or said that it is not ready.
#[derive(Clone, Copy)]
struct Busy {
    since: Instant,
    /// When it is asked whether that is over, unless it says so.
    ask: Instant,
}

impl Held<'_> {
    /// Nothing is to be sent for `wait`, unless OBS says before that it is ready.
    fn leave_in_peace(&mut self, wait: Duration) {
        let now = Instant::now();
        let since = self.busy.map_or(now, |busy| busy.since);
        self.busy = Some(Busy { since, ask: now + wait });
    }

    /// OBS is ready. What was known of it is of the time before.
    fn go_on(&mut self) {
        self.busy = None;
        self.read_now();
    }

    /// Everything is to be read anew, at once.
    fn read_now(&mut self) {
        self.stale = true;
        self.read = Instant::now().checked_sub(READ).unwrap_or(self.read);
    }
}

impl Engine {
    /// An engine for `config` and `stage`; `run` starts it.
    pub(super) fn new(
        config: watch::Receiver<Arc<ObsConfig>>,
        stage: watch::Receiver<Arc<Stage>>,
        commands: mpsc::Receiver<Command>,
        status: watch::Sender<Arc<Status>>,
        clock: Clock,
    ) -> Self {
        let now = Arc::new(Stage::default());
        let (acts, watch) = (Acts::default(), Watch::default());
        let (deadline, followed, answered, trouble, waits) = (None, None, None, None, None);
        let (refused, made) = (BTreeMap::new(), BTreeMap::new());
        Self {
            config,
            stage,
            commands,
            status,
            clock,
            now,
            deadline,
            acts,
            watch,
            followed,
            answered,
            vanished: false,
            trouble,
            waits,
            refused,
            made,
        }
    }

    /// Works until it is dropped.
    pub(super) async fn run(&mut self) {
        loop {
            self.follow(true);
            let config = self.config.borrow_and_update().clone();
            let Some(target) = target(&config) else {
                self.off().await;
                continue;
            };
            if self.trouble.is_none() {
                self.publish(None, Link::Connecting);
            }
            let began = Instant::now();
            let end = match self.connect(&target).await {
                Ok(obs) => {
                    let end = self.serve(&obs, &target, config).await.err().unwrap_or(End::Anew);
                    // What hangs may be OBS, or the way to it.
                    match end {
                        End::Trouble(Trouble::Frozen) => {
                            drop(obs);
                            End::Trouble(link::silent(&target).await)
                        }
                        End::Trouble(trouble) => End::Trouble(obs.end(trouble)),
                        end @ End::Anew => end,
                    }
                }
                Err(end) => end,
            };
            if began.elapsed() >= STABLE {
                self.waits = None;
            }
            match end {
                End::Trouble(trouble) => {
                    let wait = self.away(trouble);
                    self.pause(wait).await;
                }
                End::Anew => {
                    self.watch.away(false);
                    (self.trouble, self.waits, self.followed) = (None, None, None);
                }
            }
        }
    }

    /// There is no OBS to follow the show.
    async fn off(&mut self) {
        self.watch.away(true);
        self.trouble = None;
        self.publish(None, Link::Off);
        loop {
            tokio::select! {
                Ok(()) = self.config.changed() => return,
                Some(command) = self.commands.recv() => command.away("no OBS is set (obs.host)"),
                Ok(()) = self.stage.changed() => self.follow(true),
                else => std::future::pending().await,
            }
        }
    }

    async fn connect(&mut self, target: &Target) -> Result<ObsClient, End> {
        let reason = self.trouble.as_ref().map_or_else(|| "it is being connected".to_owned(), ToString::to_string);
        let connecting = link::connect(target);
        tokio::pin!(connecting);
        loop {
            tokio::select! {
                connected = &mut connecting => return connected.map_err(End::Trouble),
                Ok(()) = self.config.changed() => return Err(End::Anew),
                Some(command) = self.commands.recv() => command.away(&reason),
                Ok(()) = self.stage.changed() => self.follow(true),
            }
        }
    }

    /// Waits before the next try, unless somebody asks for it now.
    async fn pause(&mut self, wait: Duration) {
        let until = Instant::now() + wait;
        loop {
            tokio::select! {
                () = sleep_until(until) => return,
                Ok(()) = self.config.changed() => {
                    (self.trouble, self.waits) = (None, None);
                    return;
                }
                Some(command) = self.commands.recv() => {
                    let now = matches!(command, Command::Reconnect(_));
                    let reason = self.trouble.as_ref().map(ToString::to_string).unwrap_or_default();
                    command.away(&reason);
                    if now {
                        self.watch.forgive();
                        return;
                    }
                }
                Ok(()) = self.stage.changed() => self.follow(true),
            }
        }
    }

    /// Says that there is no connection, and how long to wait.
    fn away(&mut self, trouble: Trouble) -> Duration {
        self.watch.away(false);
        self.vanished |= matches!(trouble, Trouble::NothingThere { .. });
        let reason = trouble.to_string();
        if self.trouble.as_ref().is_none_or(|before| discriminant(before) != discriminant(&trouble)) {
            tracing::warn!(error = %reason, "obs is away");
        }
        let patience = matches!(trouble, Trouble::WrongPassword | Trouble::TooMuch { .. });
        self.trouble = Some(trouble.clone());
        self.publish(None, Link::Away { trouble, reason });
        if patience {
            return REFUSED;
        }
        let waits = self.waits.get_or_insert_with(|| {
            ExponentialBuilder::new()
                .with_min_delay(SHORTEST)
                .with_max_delay(LONGEST)
                .with_factor(2.0)
                .without_max_times()
                .build()
        });
        // Several boxes must not knock in step.
        waits.next().unwrap_or(LONGEST).min(LONGEST).mul_f64(1.0 - 0.25 * rand::random::<f64>())
    }

    /// Takes the latest stage over. `late`: what was to begin anew at a take does not any more, because nobody could tell OBS.
    fn follow(&mut self, late: bool) {
        if self.stage.has_changed().unwrap_or(false) || *self.now != **self.stage.borrow() {
            self.now = self.stage.borrow_and_update().clone();
            self.made.clear();
            self.deadline = match self.now.time {
                TimeLeft::Until(moment) => Some(Instant::now() + moment.since(self.clock.now())),
                TimeLeft::None | TimeLeft::Standing(_) => None,
            };
        }
        let config = self.config.borrow().clone();
        let stays = config.scene_handover.is_some().then(|| Duration::from_secs(config.handover_seconds));
        self.acts.follow(&self.now, stays, Instant::now());
        self.watch.want(config.stream && self.now.show);
        if late {
            self.acts.restarted();
        }
    }

    /// Uses a connection until something ends it.
    async fn serve(&mut self, obs: &ObsClient, target: &Target, config: Arc<ObsConfig>) -> Result<(), End> {
        let events = obs.events().ok_or(Trouble::Lost)?;
        let mut seen = obs.read(&config).await?;
        self.recognise(obs, target).await?;
        // An OBS that ended comes back with a scene that it had saved, not with one that somebody chose.
        if let Some(followed) = self.followed
            && plan::left_alone(&config, &seen).is_some()
            && obs.uptime().await?.is_some_and(|uptime| uptime < followed.elapsed())
        {
            seen.saved.clone_from(&seen.program);
        }
        let now = Instant::now();
        self.follow(true);
        self.refused.clear();
        self.made.clear();
        self.watch.connected(now);
        self.trouble = None;
        tracing::info!(version = obs.version, "obs is connected");
        let mut held = Held {
            obs,
            target,
            config,
            events,
            seen,
            stale: false,
            read: now,
            health: now,
            transition: None,
            again: now + AGAIN,
            busy: None,
            peace: now + PEACE,
        };
        loop {
            self.listen(&mut held)?;
            let worked = match held.busy {
                Some(busy) => self.sit_out(&mut held, busy).await,
                None => self.work(&mut held).await,
            };
            match worked {
                Ok(false) => {}
                Ok(true) => continue,
                Err(End::Trouble(Trouble::StillStarting))
                    if held.busy.is_none_or(|busy| busy.since.elapsed() < NOT_READY) =>
                {
                    held.leave_in_peace(ASK);
                    continue;
                }
                Err(end) => return Err(end),
            }
            let wake = self.wake(&held);
            tokio::select! {
                event = held.events.next() => match event {
                    Some(event) => self.hear(&mut held, event)?,
                    None => relisten(&mut held)?,
                },
                Ok(()) = self.stage.changed() => self.follow(false),
                // While nothing may be sent both are looked at once a second.
                Ok(()) = self.config.changed(), if held.busy.is_none() => self.config.mark_changed(),
                Some(command) = self.commands.recv(), if held.busy.is_none() => match self.obey(&mut held, command).await {
                    Err(End::Trouble(Trouble::StillStarting)) => held.leave_in_peace(ASK),
                    obeyed => obeyed?,
                },
                () = sleep_until(wake) => {}
            }
        }
    }

    /// Judges whether this is the OBS that was there before. What another one streams is none of the box's.
    async fn recognise(&mut self, obs: &ObsClient, target: &Target) -> Result<(), End> {
        if let Some((answered, host, port)) = &self.answered {
            let same = *host == target.host
                && *port == target.port
                && obs.uptime().await?.map_or(!self.vanished, |uptime| uptime >= answered.elapsed());
            if !same {
                self.watch.away(true);
            }
        }
        self.vanished = false;
        self.answered = Some((Instant::now(), target.host.clone(), target.port));
        Ok(())
    }

    /// Does the next thing, if there is one. Whether there was.
    async fn work(&mut self, held: &mut Held<'_>) -> Result<bool, End> {
        self.renew(held).await?;
        self.follow(false);
        self.time_out(held);
        // Pictures first; then people; then the stream; then a look at whether it lives.
        if self.step(held).await? {
            return Ok(true);
        }
        self.publish(Some(held), Link::Connected { version: held.obs.version.clone() });
        if let Ok(command) = self.commands.try_recv() {
            self.obey(held, command).await?;
            return Ok(true);
        }
        if let Some(order) = self.watch.order(Instant::now()) {
            self.order(held, order).await?;
            return Ok(true);
        }
        if held.health <= Instant::now() {
            self.look(held).await?;
            return Ok(true);
        }
        Ok(false)
    }

    /// Sends nothing to an OBS that is not ready, but asks from time to time whether it is. True: it is.
    async fn sit_out(&mut self, held: &mut Held<'_>, busy: Busy) -> Result<bool, End> {
        let elsewhere = |config: &ObsConfig| !target(config).is_some_and(|target| same(&target, held.target));
        if self.config.has_changed().unwrap_or(false) && elsewhere(&self.config.borrow()) {
            return Err(End::Anew);
        }
        while let Ok(command) = self.commands.try_recv() {
            command.decline(&RequestError::Busy(
                "OBS is starting, or changes its scene collection just now: try again in a moment".to_owned(),
            ));
        }
        if busy.ask > Instant::now() {
            return Ok(false);
        }
        self.look(held).await?;
        held.go_on();
        Ok(true)
    }

    /// When there is something to do although nothing happens.
    fn wake(&self, held: &Held<'_>) -> Instant {
        let now = Instant::now();
        let time = self.deadline.and_then(|deadline| acts::next_change(deadline, now));
        if let Some(busy) = held.busy {
            return busy.ask.min(now + ASK);
        }
        let mut wake = held.health.min(held.again);
        for at in [time, self.acts.wake(&self.now), self.watch.wake(), held.transition].into_iter().flatten() {
            wake = wake.min(at);
        }
        wake.min(held.read + if held.stale { READ } else { REREAD })
    }

    /// Looks at the events that are there.
    fn listen(&mut self, held: &mut Held<'_>) -> Result<(), End> {
        for _ in 0..AT_ONCE {
            match held.events.next().now_or_never() {
                None => return Ok(()),
                Some(Some(event)) => self.hear(held, event)?,
                Some(None) => relisten(held)?,
            }
        }
        Ok(())
    }

    fn hear(&mut self, held: &mut Held<'_>, event: Event) -> Result<(), End> {
        let seen = &mut held.seen;
        match event {
            Event::CurrentProgramSceneChanged { id } => {
                // Where no scene is mapped, the sources of the one that is shown are looked after.
                held.stale |= plan::mapped(&held.config).is_empty() && seen.program.as_ref() != Some(&id.name);
                if seen.program.as_ref() != Some(&id.name) {
                    plan::switched(seen, id.name);
                }
            }
            Event::SceneItemEnableStateChanged { scene, item_id, enabled } => {
                if let Ok(id) = i64::try_from(item_id) {
                    plan::set_visible(seen, &scene.name, id, enabled);
                }
            }
            Event::InputSettingsChanged { id, settings } => {
                if let (Some(text), Some(new)) =
                    (seen.texts.get_mut(&id.name), settings.get("text").and_then(Value::as_str))
                {
                    new.clone_into(text);
                }
            }
            Event::SceneTransitionStarted { .. } => {
                held.transition = Some(Instant::now() + TRANSITION);
            }
            Event::SceneTransitionEnded { .. } => held.transition = None,
            Event::StreamStateChanged { state, .. } => self.watch.event(state, Instant::now()),
            Event::StudioModeStateChanged { enabled } => seen.studio = enabled,
            Event::SceneCreated { .. }
            | Event::SceneRemoved { .. }
            | Event::SceneNameChanged { .. }
            | Event::SceneListChanged { .. }
            | Event::SceneItemCreated { .. }
            | Event::SceneItemRemoved { .. }
            | Event::InputCreated { .. }
            | Event::InputRemoved { .. }
            | Event::InputNameChanged { .. } => held.stale = true,
            Event::CurrentSceneCollectionChanging { .. } => held.leave_in_peace(CHANGE),
            Event::CurrentSceneCollectionChanged { .. } => held.go_on(),
            Event::ExitStarted | Event::ServerStopping | Event::ServerStopped => return Err(Trouble::Lost.into()),
            _ => {}
        }
        Ok(())
    }

    /// Reads everything anew, when the mapping changed or something came or went.
    async fn renew(&mut self, held: &mut Held<'_>) -> Result<(), End> {
        let now = Instant::now();
        if self.config.has_changed().unwrap_or(false) {
            let config = self.config.borrow_and_update().clone();
            if !target(&config).is_some_and(|target| same(&target, held.target)) {
                return Err(End::Anew);
            }
            held.config = config;
            self.made.clear();
        } else if now < held.read + if held.stale { READ } else { REREAD } {
            return Ok(());
        }
        (held.stale, held.read) = (false, now);
        let saved = held.seen.saved.take();
        held.seen = Seen { saved, ..held.obs.read(&held.config).await? };
        self.refused.clear();
        Ok(())
    }

    fn time_out(&mut self, held: &mut Held<'_>) {
        let now = Instant::now();
        if held.transition.is_some_and(|end| end <= now) {
            held.transition = None;
        }
        held.seen.in_transition = held.transition.is_some();
        if held.again <= now {
            held.again = now + AGAIN;
            self.refused.clear();
        }
        if held.peace <= now {
            held.peace = now + PEACE;
            self.made.clear();
        }
    }

    /// Makes the next step, if there is one. Whether there was.
    async fn step(&mut self, held: &mut Held<'_>) -> Result<bool, End> {
        let time = self.time();
        let restart = self.acts.restart();
        let wanted = Wanted { act: self.acts.act(), stage: &self.now, time: &time, restart };
        let mut steps = plan::steps(&held.config, &wanted, &held.seen);
        steps.retain(|step| !self.refused.contains_key(step) && self.made.get(step).is_none_or(|made| *made < FIGHTS));
        if restart && matches!(steps.first(), None | Some(Step::Restart { .. } | Step::Switch { .. })) {
            // Each once for a take, whatever becomes of them.
            self.acts.restarted();
            for step in steps.into_iter().filter(|step| matches!(step, Step::Restart { .. })) {
                self.carry_out(held, step).await?;
            }
            return Ok(true);
        }
        let Some(step) = steps.into_iter().next() else { return Ok(false) };
        self.carry_out(held, step.clone()).await?;
        *self.made.entry(step).or_default() += 1;
        Ok(true)
    }

    async fn carry_out(&mut self, held: &mut Held<'_>, step: Step) -> Result<(), End> {
        match held.obs.carry_out(&step).await {
            Ok(()) => {
                if matches!(step, Step::Switch { .. }) {
                    held.transition = Some(Instant::now() + TRANSITION);
                }
                plan::done(&step, &mut held.seen);
                Ok(())
            }
            Err(Fault::Refused(reason)) => {
                self.refused.insert(step, reason);
                Ok(())
            }
            Err(Fault::Gone(trouble)) => Err(trouble.into()),
        }
    }

    async fn order(&mut self, held: &Held<'_>, order: StreamOrder) -> Result<(), End> {
        match self.send(held, order).await {
            Err(Fault::Gone(trouble)) => Err(trouble.into()),
            Ok(()) | Err(Fault::Refused(_)) => Ok(()),
        }
    }

    async fn send(&mut self, held: &Held<'_>, order: StreamOrder) -> Result<(), Fault> {
        let sent = match order {
            StreamOrder::Start => held.obs.start_stream().await,
            StreamOrder::Stop => held.obs.stop_stream().await,
        };
        match &sent {
            Ok(()) => tracing::info!(start = order == StreamOrder::Start, "obs is told to start or stop its stream"),
            Err(Fault::Refused(reason)) => {
                tracing::warn!(
                    error = reason,
                    start = order == StreamOrder::Start,
                    "obs refuses to start or stop its stream"
                );
                self.watch.refused(order, Instant::now());
            }
            Err(Fault::Gone(Trouble::StillStarting)) => self.watch.unsent(order, Instant::now()),
            Err(Fault::Gone(_)) => {}
        }
        sent
    }

    /// Whether OBS lives, and streams.
    async fn look(&mut self, held: &mut Held<'_>) -> Result<(), End> {
        held.health = Instant::now() + HEALTH;
        match held.obs.stream_state().await {
            Ok(state) => {
                self.answered = Some((Instant::now(), held.target.host.clone(), held.target.port));
                self.watch.status(state, Instant::now());
            }
            // It answers, so it lives.
            Err(Fault::Refused(_)) => {}
            Err(Fault::Gone(trouble)) => return Err(trouble.into()),
        }
        Ok(())
    }

    /// Does what a person asks for.
    async fn obey(&mut self, held: &mut Held<'_>, command: Command) -> Result<(), End> {
        match command {
            Command::Reconnect(answer) => {
                self.watch.forgive();
                held.read_now();
                drop(answer.send(Ok(())));
                Ok(())
            }
            Command::Inventory(answer) if !answer.is_closed() => Ok(reply(answer, held.obs.inventory().await)?),
            Command::Stream(on, answer) if !answer.is_closed() => {
                match self.watch.person(on, Instant::now()) {
                    Err(busy) => drop(answer.send(Err(RequestError::Busy(busy)))),
                    Ok(None) => drop(answer.send(Ok(self.watch.state()))),
                    Ok(Some(order)) => {
                        let sent = self.send(held, order).await;
                        return Ok(reply(answer, sent.map(|()| self.watch.state()))?);
                    }
                }
                Ok(())
            }
            Command::SetUp(wanted, answer) if !answer.is_closed() => {
                let built = setup::build(held.obs, &wanted).await;
                held.read_now();
                Ok(reply(answer, built)?)
            }
            Command::Play(input, address, answer) if !answer.is_closed() => {
                Ok(reply(answer, setup::play(held.obs, &input, address.expose_secret()).await)?)
            }
            _ => Ok(()),
        }
    }

    /// The time left, in words.
    fn time(&self) -> String {
        match (self.now.time, self.deadline) {
            (TimeLeft::None, _) => String::new(),
            (TimeLeft::Standing(seconds), _) => acts::words(Duration::from_secs(seconds)),
            (TimeLeft::Until(_), deadline) => acts::words(
                deadline.map_or(Duration::ZERO, |deadline| deadline.saturating_duration_since(Instant::now())),
            ),
        }
    }

    /// Shows how OBS does, and says in the log what changed.
    fn publish(&mut self, held: Option<&Held<'_>>, link: Link) {
        let alone = held.and_then(|held| {
            plan::left_alone(&held.config, &held.seen)
                .map(|scene| format!("OBS shows \"{scene}\", which is none of the show's scenes: it is left alone"))
        });
        let mut problems = held.map(|held| plan::missing(&held.config, &held.seen)).unwrap_or_default();
        problems.extend(self.refused.iter().map(|(step, reason)| format!("{}: {reason}", report::describe(step))));
        let fights = self.made.iter().filter(|(_, made)| **made >= FIGHTS);
        problems.extend(
            fights.map(|(step, _)| format!("{}: something in OBS undoes it again and again", report::describe(step))),
        );
        if held.is_some() {
            self.followed = alone.is_none().then(Instant::now);
        } else {
            problems.clear();
        }
        let status = Status {
            link,
            act: self.acts.act(),
            scene: held.and_then(|held| held.seen.program.clone()),
            left_alone: alone,
            streaming: self.watch.state(),
            problems,
        };
        let before = self.status.borrow().clone();
        if *before == status {
            return;
        }
        report::log(&before, &status, held.is_some());
        self.status.send_replace(Arc::new(status));
    }
}

/// The events ended although the connection lives: they came faster than they were looked at. What they said is read.
fn relisten(held: &mut Held<'_>) -> Result<(), End> {
    held.events = held.obs.events().ok_or(Trouble::Lost)?;
    held.stale = true;
    Ok(())
}

fn target(config: &ObsConfig) -> Option<Target> {
    let host = config.host.clone().filter(|host| !host.is_empty())?;
    Some(Target { host, port: config.port, password: config.password.clone() })
}

fn same(one: &Target, other: &Target) -> bool {
    let password = |target: &Target| target.password.as_ref().map(|password| password.expose_secret().to_owned());
    one.host == other.host && one.port == other.port && password(one) == password(other)
}
