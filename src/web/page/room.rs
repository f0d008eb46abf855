//! `/` for the room: what is on air, whose turn it is and for how long, who is next, how to join.

use std::sync::Arc;

use askama::Template;
use axum::{extract::State, response::Response};

use super::{assets, layout::Page, live::Rendered, ui, words::Clock};
use crate::{
    control::{
        journal::Caller,
        viewers::may_watch,
        ways::{Reached, rtmp_url_for_others},
    },
    core::moment::Moment,
    director::{EntryView, Presence, Snapshot, TurnView},
    web::{
        app::App,
        http::{
            problem::{Kind, Problem},
            rights::{Right, Routes},
        },
    },
};

pub(super) fn routes() -> Routes {
    Routes::new().page(Right::Anyone, "/", room)
}

#[derive(Template)]
#[template(path = "room.html")]
struct Room<'a> {
    page: &'a Page,
    /// Whether this visitor may see the programme.
    picture: bool,
    stage: String,
    queue: String,
    register_url: String,
    rtmp_url: String,
}

/// What stands under the picture.
#[derive(Template)]
#[template(path = "parts/stage.html")]
struct StagePart<'a> {
    turn: Option<&'a TurnView>,
    clock: Option<Clock>,
    /// The slate by an admin's hand.
    paused: bool,
    /// The rotation stands still.
    hold: bool,
    /// Who is about to begin, when nobody is on air.
    coming: Option<&'a str>,
    registration: bool,
}

/// One who waits.
struct Row<'a> {
    place: usize,
    entry: &'a EntryView,
    next: bool,
}

impl Row<'_> {
    fn is_away(&self) -> bool {
        self.entry.presence == Presence::Absent
    }

    fn is_getting_ready(&self) -> bool {
        self.entry.presence == Presence::Present
    }
}

#[derive(Template)]
#[template(path = "parts/queue.html")]
struct Queue<'a> {
    rows: Vec<Row<'a>>,
    on_air: bool,
}

/// The parts that change, as everybody sees them.
pub(super) fn parts(app: &App) -> askama::Result<Vec<Rendered>> {
    let snapshot = app.control.snapshot();
    rendered(app, &snapshot, None)
}

fn rendered(app: &App, snapshot: &Snapshot, now: Option<Moment>) -> askama::Result<Vec<Rendered>> {
    let queue = &snapshot.queue;
    let turn = queue.on_air.as_ref();
    let next = queue.waiting.iter().find(|entry| Some(entry.id) == queue.next);
    let stage = StagePart {
        turn,
        clock: turn.map(|turn| Clock::of(turn, snapshot.taken, now)),
        paused: queue.forced_slate,
        hold: queue.hold,
        coming: next.map(|entry| entry.name.as_str()),
        registration: Page::registration_is_open(app),
    };
    let rows = queue.waiting.iter().enumerate().map(|(index, entry)| Row {
        place: index + 1,
        entry,
        next: Some(entry.id) == queue.next,
    });
    let queue = Queue { rows: rows.collect(), on_air: turn.is_some() };
    Ok(vec![("stage", stage.render()?), ("queue", queue.render()?)])
}

async fn room(State(app): State<Arc<App>>, page: Page, reached: Reached, caller: Caller) -> Result<Response, Problem> {
    let snapshot = app.control.snapshot();
    let parts = rendered(&app, &snapshot, Some(app.control.now()));
    let mut parts = parts.map_err(|error| Problem::new(Kind::Internal, error.to_string()))?.into_iter();
    let mut next = || parts.next().map(|(_, html)| html).unwrap_or_default();
    Ok(page.show(&Room {
        page: &page,
        picture: may_watch(&app.control, &caller),
        stage: next(),
        queue: next(),
        register_url: reached.page_url("/register"),
        rtmp_url: rtmp_url_for_others(&app.control, &reached),
    }))
}
