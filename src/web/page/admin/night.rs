//! `/admin`: the night at a glance. Who is on air and who waits, how they arrive, where the programme goes, and the panic button.

use std::{sync::Arc, time::Duration};

use askama::Template;
use axum::{extract::State, response::Response};

use super::desk::Desk;
use crate::{
    control::{destinations::wanted::DestinationView, network, night},
    core::{account::AccountId, destination::DestinationState, moment::Moment, words::sentence},
    director::{EntryView, HoldOffView, Presence, Snapshot, TurnView},
    media::{InputStatus, MediaStatus},
    web::{
        app::App,
        http::{
            problem::{Kind, Problem},
            rights::{Right, Routes},
        },
        page::{
            assets,
            layout::Page,
            live::Rendered,
            ui,
            words::{Clock, advice, told},
        },
    },
};

pub(super) mod orders;

pub(super) fn routes() -> Routes {
    Routes::new()
        .page(Right::Operator, "/admin", night)
        .page(Right::Operator, "/admin/show", show)
        .merge(orders::routes())
}

#[derive(Template)]
#[template(path = "admin/night.html")]
struct Night<'a> {
    page: &'a Page,
    desk: Desk,
    parts: Vec<Rendered>,
}

impl Night<'_> {
    fn part(&self, name: &str) -> &str {
        self.parts.iter().find(|(part, _)| *part == name).map_or("", |(_, html)| html)
    }
}

/// The programme's picture is not what somebody sends: why.
#[derive(Template)]
#[template(path = "admin/parts/tally.html")]
struct Tally<'a> {
    turn: Option<&'a TurnView>,
    slate: bool,
}

/// The panic button.
#[derive(Template)]
#[template(path = "admin/parts/panic.html")]
struct Panic<'a> {
    turn: Option<&'a TurnView>,
    slate: bool,
}

/// That nothing can be stored, and what works all the same; and what is wrong with the network.
#[derive(Template)]
#[template(path = "admin/parts/unstored.html")]
struct Unstored {
    words: Option<String>,
    network: Option<String>,
}

/// Whose turn it is, for how long, and what can be done about it.
#[derive(Template)]
#[template(path = "admin/parts/air.html")]
struct Air<'a> {
    turn: Option<&'a TurnView>,
    clock: Option<Clock>,
    slate: bool,
    hold: bool,
    next: Option<&'a EntryView>,
    waiting: usize,
}

/// How the stream on air arrives.
#[derive(Template)]
#[template(path = "admin/parts/air_health.html")]
struct AirHealth {
    on_air: bool,
    health: Option<Health>,
}

/// How a stream arrives, in short.
struct Health {
    picture: Option<String>,
    frame_rate: String,
    video: String,
    sound: String,
    key_frames: Option<String>,
    /// What is wrong, the most urgent first.
    troubles: Vec<&'static str>,
}

impl Health {
    fn of(status: &InputStatus) -> Self {
        let picture = status.width.zip(status.height).map(|(width, height)| format!("{width} × {height}"));
        Self {
            picture,
            // Before it has settled, and while nothing comes, no figure is better than a wrong one.
            frame_rate: if status.frame_rate > 0.0 {
                format!("{:.0} fps", status.frame_rate)
            } else {
                "– fps".to_owned()
            },
            video: ui::rate(status.video_kbps),
            sound: ui::rate(status.audio_kbps),
            key_frames: status.keyframe_interval_seconds.map(|seconds| format!("{seconds:.1} s")),
            troubles: advice(status).into_iter().map(|advice| advice.short).collect(),
        }
    }

    /// One line for a row.
    fn line(&self) -> String {
        let picture = self.picture.iter().map(String::as_str);
        picture.chain([self.frame_rate.as_str(), self.video.as_str()]).collect::<Vec<_>>().join(" · ")
    }
}

/// How long turns are.
#[derive(Template)]
#[template(path = "admin/parts/timer.html")]
struct Timer<'a> {
    turn: Option<&'a TurnView>,
    /// Whether this turn has a length of its own.
    own: bool,
    minutes: u64,
}

/// The show and where it goes.
#[derive(Template)]
#[template(path = "admin/parts/show.html")]
struct Show {
    on: bool,
    /// What became of the show of before the start.
    past: Option<String>,
    outputs: Vec<Output>,
    /// What the dialog asks.
    question: String,
}

impl Show {
    fn of(app: &App, on: bool) -> askama::Result<Self> {
        let outputs: Vec<_> = app.control.destinations().iter().map(Output::of).collect();
        let question = Question::of(on, &outputs).render()?;
        Ok(Self { on, past: night::past_show(&app.control), outputs, question })
    }
}

/// Whether the show is to begin, or to end, naming what that opens or closes.
#[derive(Template)]
#[template(path = "admin/parts/show_question.html")]
struct Question<'a> {
    on: bool,
    /// The destinations that take part.
    names: Vec<&'a str>,
}

impl<'a> Question<'a> {
    fn of(on: bool, outputs: &'a [Output]) -> Self {
        let names = outputs.iter().filter(|output| output.enabled).map(|output| output.name.as_str());
        Self { on, names: names.collect() }
    }
}

/// A destination in short.
pub(super) struct Output {
    pub(super) name: String,
    pub(super) enabled: bool,
    /// The class of its badge.
    pub(super) tone: &'static str,
    pub(super) state: &'static str,
    /// Why it is not live, when something is wrong.
    pub(super) reason: Option<String>,
    pub(super) rate: Option<String>,
}

impl Output {
    pub(super) fn of(view: &DestinationView) -> Self {
        let (tone, state, reason) = told(&view.status.state);
        let live = view.status.state == DestinationState::Live;
        Self {
            name: view.name.clone(),
            enabled: view.enabled,
            tone,
            state,
            reason: reason.or_else(|| view.waits_for.clone()),
            rate: live.then(|| ui::rate(view.status.kbps)),
        }
    }
}

/// What holds for everybody in the queue.
#[derive(Template)]
#[template(path = "admin/parts/rules.html")]
struct Rules {
    hold: bool,
    block: bool,
}

/// One who waits.
struct Row<'a> {
    place: usize,
    entry: &'a EntryView,
    next: bool,
    last: bool,
    /// Why it cannot be put on air, although its stream arrives.
    trouble: Option<String>,
    health: Option<Health>,
}

impl Row<'_> {
    fn is_ready(&self) -> bool {
        self.entry.presence == Presence::Ready
    }

    fn is_away(&self) -> bool {
        self.entry.presence == Presence::Absent
    }
}

#[derive(Template)]
#[template(path = "admin/parts/waiting.html")]
struct Waiting<'a> {
    rows: Vec<Row<'a>>,
    on_air: bool,
}

/// Somebody who may not publish for a while.
struct Held<'a> {
    view: &'a HoldOffView,
    /// When it ends, in milliseconds of the box's clock.
    ends: u64,
    /// The same as a length of time, where the page may stay without a script.
    left: String,
}

#[derive(Template)]
#[template(path = "admin/parts/held.html")]
struct HeldOff<'a> {
    held: Vec<Held<'a>>,
    banned: Vec<(AccountId, String)>,
}

/// The parts that change, as all who run the night see them.
pub(crate) fn parts(app: &App) -> askama::Result<Vec<Rendered>> {
    let snapshot = app.control.snapshot();
    rendered(app, &snapshot, None)
}

fn rendered(app: &App, snapshot: &Snapshot, now: Option<Moment>) -> askama::Result<Vec<Rendered>> {
    app.control.look_at_waiting(snapshot);
    let media = app.control.media_status();
    let health = |entry: &EntryView| health(snapshot, &media, entry);
    let queue = &snapshot.queue;
    let (turn, slate) = (queue.on_air.as_ref(), queue.forced_slate);
    let air = Air {
        turn,
        clock: turn.map(|turn| Clock::of(turn, snapshot.taken, now)),
        slate,
        hold: queue.hold,
        next: queue.waiting.iter().find(|entry| Some(entry.id) == queue.next),
        waiting: queue.waiting.len(),
    };
    let air_health = AirHealth { on_air: turn.is_some(), health: turn.and_then(|turn| health(&turn.entry)) };
    let every = Duration::from_secs(queue.turn_seconds);
    let timer = Timer {
        turn,
        own: turn.is_some_and(|turn| (turn.length_seconds - every.as_secs_f64()).abs() >= 1.0),
        minutes: queue.turn_seconds.div_ceil(60),
    };
    let show = Show::of(app, queue.show)?;
    let rows = queue.waiting.iter().enumerate().map(|(index, entry)| Row {
        place: index + 1,
        entry,
        next: Some(entry.id) == queue.next,
        last: index + 1 == queue.waiting.len(),
        trouble: snapshot.lacks.get(&entry.id).map(|lack| sentence(lack)),
        health: health(entry),
    });
    let waiting = Waiting { rows: rows.collect(), on_air: turn.is_some() };
    let held = snapshot.hold_offs.iter().map(|view| held(view, snapshot.taken, now)).collect();
    let held = HeldOff { held, banned: app.control.banned() };
    Ok(vec![
        ("tally", Tally { turn, slate }.render()?),
        ("panic", Panic { turn, slate }.render()?),
        (
            "unstored",
            Unstored { words: app.control.storing().words(), network: network::trouble(&app.control) }.render()?,
        ),
        ("air", air.render()?),
        ("health", air_health.render()?),
        ("timer", timer.render()?),
        ("show", show.render()?),
        ("rules", Rules { hold: queue.hold, block: queue.block }.render()?),
        ("waiting", waiting.render()?),
        ("held", held.render()?),
    ])
}

fn health(snapshot: &Snapshot, media: &MediaStatus, entry: &EntryView) -> Option<Health> {
    let status = media.inputs.get(snapshot.connections.get(&entry.id)?)?;
    Some(Health::of(status))
}

/// The end of a hold-off. From what was left then, in steps of 0.1 s, so that rounding does not make it another moment each time.
fn held(view: &HoldOffView, taken: Moment, now: Option<Moment>) -> Held<'_> {
    let end = taken + Duration::from_secs_f64(view.remaining_seconds.clamp(0.0, 1e6));
    let left = now.map(|now| ui::clock(end.since(now).as_secs_f64())).unwrap_or_default();
    Held { view, ends: (ui::milliseconds(end) + 50) / 100 * 100, left }
}

async fn night(State(app): State<Arc<App>>, page: Page, desk: Desk) -> Result<Response, Problem> {
    let snapshot = app.control.snapshot();
    let parts = rendered(&app, &snapshot, Some(app.control.now()));
    let parts = parts.map_err(|error| Problem::new(Kind::Internal, error.to_string()))?;
    Ok(page.show(&Night { page: &page, desk, parts }))
}

/// The same question as the dialog asks, where there is no script to open one.
#[derive(Template)]
#[template(path = "admin/show.html")]
struct ShowPage<'a> {
    page: &'a Page,
    desk: Desk,
    question: String,
}

async fn show(State(app): State<Arc<App>>, page: Page, desk: Desk) -> Result<Response, Problem> {
    let on = app.control.snapshot().queue.show;
    let show = Show::of(&app, on);
    let question = show.map_err(|error| Problem::new(Kind::Internal, error.to_string()))?.question;
    Ok(page.show(&ShowPage { page: &page, desk, question }))
}
