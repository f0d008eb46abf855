//! `/` for the room: who is on air, who is next, how to join.

use std::sync::Arc;

use askama::Template;
use axum::{extract::State, response::Response};

use super::{assets, layout::Page, live::Rendered, ui};
use crate::{
    director::EntryView,
    web::{
        App,
        problem::{Kind, Problem},
        rights::{Right, Routes},
    },
};

pub(super) fn routes() -> Routes {
    Routes::new().page(Right::Anyone, "/", room)
}

#[derive(Template)]
#[template(path = "room.html")]
struct Room<'a> {
    page: &'a Page,
    stage: String,
    queue: String,
}

#[derive(Template)]
#[template(path = "parts/stage.html")]
struct Stage<'a> {
    on_air: Option<&'a EntryView>,
}

#[derive(Template)]
#[template(path = "parts/queue.html")]
struct Queue<'a> {
    waiting: &'a [EntryView],
}

/// The parts that change.
pub(super) fn parts(app: &App) -> askama::Result<Vec<Rendered>> {
    let snapshot = app.state.director.snapshot().borrow().clone();
    let stage = Stage { on_air: snapshot.queue.on_air.as_ref().map(|turn| &turn.entry) };
    let queue = Queue { waiting: &snapshot.queue.waiting };
    Ok(vec![("stage", stage.render()?), ("queue", queue.render()?)])
}

async fn room(State(app): State<Arc<App>>, page: Page) -> Result<Response, Problem> {
    let mut parts = parts(&app).map_err(|error| Problem::new(Kind::Internal, error.to_string()))?.into_iter();
    let mut next = || parts.next().map(|(_, html)| html).unwrap_or_default();
    Ok(page.show(&Room { page: &page, stage: next(), queue: next() }))
}
