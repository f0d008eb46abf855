//! `/` for the room: what is on air, whose turn it is and for how long, who is next, how to join.

use std::sync::Arc;

use askama::Template;
use axum::{extract::State, response::Response};

use super::{assets, layout::Page, live::Rendered, ui};
use crate::{
    core::moment::Moment,
    director::{EntryView, Presence, Snapshot, TurnView},
    web::{
        App,
        encoders::{Reached, rtmp_url_for_others},
        pictures::may_watch,
        problem::{Kind, Problem},
        rights::{Right, Routes},
        sessions::Caller,
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

/// The turn's clock. `now` is there in a page, which may stay without a script, and not in a live part, whose text must not
/// change with every second.
pub(super) struct Clock {
    /// The end of the turn by the box's clock, in milliseconds; none while the turn's clock stands.
    pub(super) ends: Option<u64>,
    /// The turn's length in milliseconds.
    pub(super) length: u64,
    /// What is left, in words: always while the clock stands, and in a page.
    pub(super) left: String,
    /// What has passed, in milliseconds, under the same conditions.
    pub(super) passed: u64,
}

impl Clock {
    /// `turn` is as of `taken`.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "lengths of turns: a day at most")]
    pub(super) fn of(turn: &TurnView, taken: Moment, now: Option<Moment>) -> Self {
        let milliseconds = |seconds: f64| (seconds.max(0.0) * 1000.0).round() as u64;
        let taken_ms = ui::milliseconds(taken);
        // From what has passed, so that overtime counts on; in steps of 0.1 s, so that rounding does not make it another moment
        // each time.
        let length = milliseconds(turn.length_seconds);
        let end = (taken_ms + length).saturating_sub(milliseconds(turn.elapsed_seconds));
        let since = now.filter(|_| turn.running).map_or(0.0, |now| now.since(taken).as_secs_f64());
        let says = !turn.running || now.is_some();
        let left = (turn.remaining_seconds - since).max(0.0);
        Self {
            ends: turn.running.then_some((end + 50) / 100 * 100),
            length,
            left: if says { ui::clock(left) } else { String::new() },
            passed: if says { length.saturating_sub(milliseconds(left)) } else { 0 },
        }
    }
}

/// What stands under the picture.
#[derive(Template)]
#[template(path = "parts/stage.html")]
struct Stage<'a> {
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
    let snapshot = app.state.director.snapshot().borrow().clone();
    rendered(app, &snapshot, None)
}

fn rendered(app: &App, snapshot: &Snapshot, now: Option<Moment>) -> askama::Result<Vec<Rendered>> {
    let queue = &snapshot.queue;
    let turn = queue.on_air.as_ref();
    let next = queue.waiting.iter().find(|entry| Some(entry.id) == queue.next);
    let stage = Stage {
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
    let snapshot = app.state.director.snapshot().borrow().clone();
    let parts = rendered(&app, &snapshot, Some(app.state.clock.now()));
    let mut parts = parts.map_err(|error| Problem::new(Kind::Internal, error.to_string()))?.into_iter();
    let mut next = || parts.next().map(|(_, html)| html).unwrap_or_default();
    Ok(page.show(&Room {
        page: &page,
        picture: may_watch(&app, &caller),
        stage: next(),
        queue: next(),
        register_url: reached.page_url("/register"),
        rtmp_url: rtmp_url_for_others(&app, &reached),
    }))
}
