//! `/admin/destinations`: where the programme goes, how it arrives there, and what to do about it.

use std::{fmt::Write as _, sync::Arc};

use askama::Template;
use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::desk::Desk;
use crate::{
    control::{
        denied::Denied,
        destinations::{
            self,
            bitrate::BitrateView,
            trial::{self, Preset},
            wanted::{DestinationError, DestinationView, EditDestination},
        },
        journal::By,
    },
    core::destination::{DestinationId, DestinationInput, DestinationState, MAX_DESTINATIONS, Platform, free_name},
    media::egress::TrialVerdict,
    web::{
        app::App,
        http::{
            body::{Path, UrlQuery},
            problem::{Kind, Problem},
            rights::{Right, Routes},
        },
        page::{
            assets,
            flash::Flash,
            form::{Form, Merged, Sender, Switched, conflict_words, merged},
            layout::Page,
            live::Rendered,
            people::{Wrong, to_be_filled_in_again},
            ui,
            words::{bytes, told},
        },
    },
};

/// Where the messages stand without scripts.
const LIST: &str = "/admin/destinations";

/// The graph's drawing, in its own units.
const GRAPH_WIDTH: f64 = 240.0;
const GRAPH_HEIGHT: f64 = 44.0;

/// Values of a whole graph: ten minutes.
const GRAPH_VALUES: usize = 120;

pub(super) fn routes() -> Routes {
    Routes::new()
        .page(Right::Operator, LIST, list)
        .form(Right::Operator, "/admin/destinations/{id}/switch", switch)
        .page(Right::Admin, "/admin/destinations/new", new)
        .form(Right::Admin, "/admin/destinations/new", add)
        .page(Right::Admin, "/admin/destinations/{id}", edit_page)
        .form(Right::Admin, "/admin/destinations/{id}", edit)
        .page(Right::Admin, "/admin/destinations/{id}/delete", delete_page)
        .form(Right::Admin, "/admin/destinations/{id}/delete", delete)
        .form(Right::Admin, "/admin/destinations/{id}/test", test)
}

/// One destination as it does now.
struct Card {
    view: DestinationView,
    /// The class of its badge.
    tone: &'static str,
    state: &'static str,
    reason: Option<String>,
    platform: Option<&'static str>,
    live: bool,
    rate: String,
    graph: Graph,
}

impl Card {
    fn of(app: &App, view: DestinationView) -> Self {
        let (tone, state, reason) = told(&view.status.state);
        let host = url::Url::parse(&view.url).ok().and_then(|url| url.host_str().map(str::to_owned));
        Self {
            tone,
            state,
            reason,
            platform: host.and_then(|host| Platform::of_host(&host)).map(Platform::name),
            live: view.status.state == DestinationState::Live,
            rate: ui::rate(view.status.kbps),
            graph: Graph::of(&app.control.bitrate(view.id).unwrap_or_default()),
            view,
        }
    }

    fn sent(&self) -> String {
        bytes(self.view.status.bytes)
    }
}

/// What was sent in the last minutes, as a drawing.
struct Graph {
    line: String,
    area: String,
    /// The highest value in words; none while nothing was sent.
    peak: Option<String>,
}

impl Graph {
    #[expect(clippy::cast_precision_loss, reason = "a hundred values")]
    fn of(bitrate: &BitrateView) -> Self {
        let peak = bitrate.kbps.iter().copied().fold(0.0, f64::max);
        if peak <= 0.0 {
            return Self { line: String::new(), area: String::new(), peak: None };
        }
        // The newest value stands at the right, wherever the oldest is.
        let missing = GRAPH_VALUES.saturating_sub(bitrate.kbps.len());
        let step = GRAPH_WIDTH / (GRAPH_VALUES - 1) as f64;
        let x = |index: usize| (missing + index) as f64 * step;
        let mut line = String::new();
        for (index, kbps) in bitrate.kbps.iter().enumerate() {
            let y = GRAPH_HEIGHT - 2.0 - kbps / peak * (GRAPH_HEIGHT - 6.0);
            // Writing to a String does not fail.
            let _written = write!(line, "{}{:.1} {y:.1}", if index == 0 { "M" } else { "L" }, x(index));
        }
        let (first, last) = (x(0), x(bitrate.kbps.len().saturating_sub(1)));
        let area = format!("{line}L{last:.1} {GRAPH_HEIGHT}L{first:.1} {GRAPH_HEIGHT}Z");
        Self { line, area, peak: Some(ui::rate(peak)) }
    }
}

#[derive(Template)]
#[template(path = "admin/parts/destinations.html")]
struct Shelf {
    cards: Vec<Card>,
    admin: bool,
    show: bool,
}

#[derive(Template)]
#[template(path = "admin/destinations.html")]
struct List<'a> {
    page: &'a Page,
    desk: Desk,
    cards: String,
    /// There can be no more of them.
    is_full: bool,
}

/// The part that changes, as operators see it.
pub(crate) fn parts_for_operators(app: &App) -> askama::Result<Vec<Rendered>> {
    Ok(vec![("destinations", cards(app, false)?)])
}

/// The part that changes, as admins see it.
pub(crate) fn parts_for_admins(app: &App) -> askama::Result<Vec<Rendered>> {
    Ok(vec![("destinations", cards(app, true)?)])
}

fn cards(app: &App, admin: bool) -> askama::Result<String> {
    let all = app.control.destinations();
    let show = app.control.snapshot().queue.show;
    Shelf { cards: all.into_iter().map(|view| Card::of(app, view)).collect(), admin, show }.render()
}

async fn list(State(app): State<Arc<App>>, page: Page, desk: Desk) -> Result<Response, Problem> {
    let cards = cards(&app, desk.admin).map_err(|error| Problem::new(Kind::Internal, error.to_string()))?;
    let is_full = app.control.destinations().len() >= MAX_DESTINATIONS;
    Ok(page.show(&List { page: &page, desk, cards, is_full }))
}

fn view(app: &App, id: DestinationId) -> Result<DestinationView, Problem> {
    let all = app.control.destinations();
    let found = all.into_iter().find(|destination| destination.id == id);
    found.ok_or_else(|| Problem::new(Kind::NotFound, "no such destination"))
}

async fn switch(
    State(app): State<Arc<App>>,
    by: By,
    sender: Sender,
    Path(id): Path<DestinationId>,
    Form(to): Form<Switched>,
) -> Result<Response, Problem> {
    let (view, kept) = destinations::switch(&app.control, &by, id, to.on).await?;
    let show = app.control.snapshot().queue.show;
    let text = match (to.on, show) {
        (true, true) => format!("{} is switched on, and connects.", view.name),
        (true, false) => format!("{} is switched on: the next show goes there.", view.name),
        (false, true) => format!("{} is switched off. The broadcast there is over.", view.name),
        (false, false) => format!("{} is switched off.", view.name),
    };
    let flash = Flash::done(text).kept(kept).undo_switch(format!("/admin/destinations/{}/switch", id.0), to.on);
    Ok(sender.done(&app, LIST, &flash))
}

async fn test(
    State(app): State<Arc<App>>,
    by: By,
    sender: Sender,
    Path(id): Path<DestinationId>,
) -> Result<Response, Problem> {
    let name = view(&app, id)?.name;
    let trial = trial::run(&app.control, &by, id).await?;
    let flash = match trial.verdict {
        TrialVerdict::Accepted => Flash::done(format!("{name}: {}", trial.message)),
        TrialVerdict::Refused | TrialVerdict::Failed => Flash::failed(format!("{name}: {}", trial.message)),
    };
    Ok(sender.done(&app, LIST, &flash))
}

/// What is filled in. The key is never shown again.
#[derive(Clone)]
struct Filled {
    name: String,
    url: String,
    enabled: bool,
}

impl Filled {
    fn of(view: &DestinationView) -> Self {
        Self { name: view.name.clone(), url: view.url.clone(), enabled: view.enabled }
    }
}

#[derive(Template)]
#[template(path = "admin/destination.html")]
struct FormPage<'a> {
    page: &'a Page,
    desk: Desk,
    /// The one that is edited; none for a new one.
    id: Option<DestinationId>,
    filled: Filled,
    /// What the form is made with, to be sent along; none for a new one.
    shown: Option<Filled>,
    /// All platforms, for a new one.
    presets: [Preset; 5],
    /// The one that was chosen.
    chosen: Option<Preset>,
    full: bool,
    wrong: Option<Wrong>,
}

impl<'a> FormPage<'a> {
    /// The form of one that is there already, as it is `now`.
    fn edit(page: &'a Page, desk: Desk, id: DestinationId, filled: Filled, now: Filled, wrong: Option<Wrong>) -> Self {
        let (id, shown) = (Some(id), Some(now));
        Self { page, desk, id, filled, shown, presets: Preset::all(), chosen: None, full: false, wrong }
    }
}

/// Which platform was chosen.
#[derive(Deserialize)]
struct Chosen {
    #[serde(default)]
    platform: String,
}

fn preset(id: &str) -> Option<Preset> {
    Preset::all().into_iter().find(|preset| preset.id == id)
}

async fn new(State(app): State<Arc<App>>, page: Page, desk: Desk, UrlQuery(chosen): UrlQuery<Chosen>) -> Response {
    let chosen = preset(&chosen.platform);
    let all = app.control.destinations();
    let filled = Filled {
        name: chosen
            .filter(|preset| preset.complete)
            .map_or_else(String::new, |preset| free_name(preset.name, all.iter().map(|one| one.name.as_str()))),
        url: chosen.filter(|preset| preset.complete).map_or_else(String::new, |preset| preset.url.to_owned()),
        enabled: true,
    };
    let full = all.len() >= MAX_DESTINATIONS;
    let (id, shown, presets) = (None, None, Preset::all());
    page.show(&FormPage { page: &page, desk, id, filled, shown, presets, chosen, full, wrong: None })
}

/// What the form sends.
#[derive(Deserialize)]
struct Sent {
    name: String,
    url: String,
    key: SecretString,
    /// A box that is not ticked is not sent.
    enabled: Option<String>,
    #[serde(default)]
    platform: String,
    /// What the form was made with.
    #[serde(rename = "was.name")]
    was_name: Option<String>,
    #[serde(rename = "was.url")]
    was_url: Option<String>,
    #[serde(rename = "was.enabled")]
    was_enabled: Option<String>,
}

async fn add(
    State(app): State<Arc<App>>,
    page: Page,
    desk: Desk,
    by: By,
    sender: Sender,
    Form(sent): Form<Sent>,
) -> Result<Response, Problem> {
    let filled = Filled { name: sent.name.clone(), url: sent.url.clone(), enabled: sent.enabled.is_some() };
    let input = DestinationInput { name: sent.name, url: sent.url, key: sent.key, enabled: filled.enabled };
    match destinations::add(&app.control, &by, input).await {
        Ok(view) => {
            let text = format!("{} is there. Test it before the show: then you know that the key is right.", view.name);
            Ok(sender.go(&app, LIST, Some(&Flash::done(text))))
        }
        Err(problem) => {
            let wrong = Some(to_be_filled_in_again(problem)?);
            let chosen = preset(&sent.platform);
            let (id, shown, presets) = (None, None, Preset::all());
            let again = FormPage { page: &page, desk, id, filled, shown, presets, chosen, full: false, wrong };
            Ok(page.show_with(StatusCode::UNPROCESSABLE_ENTITY, &again))
        }
    }
}

async fn edit_page(
    State(app): State<Arc<App>>,
    page: Page,
    desk: Desk,
    Path(id): Path<DestinationId>,
) -> Result<Response, Problem> {
    let view = view(&app, id)?;
    if view.locked {
        return Err(Problem::new(Kind::Locked, "this destination is set by the configuration file; change it there"));
    }
    let filled = Filled::of(&view);
    Ok(page.show(&FormPage::edit(&page, desk, id, filled.clone(), filled, None)))
}

async fn edit(
    State(app): State<Arc<App>>,
    page: Page,
    desk: Desk,
    by: By,
    sender: Sender,
    Path(id): Path<DestinationId>,
    Form(sent): Form<Sent>,
) -> Result<Response, Problem> {
    let filled = Filled { name: sent.name.clone(), url: sent.url.clone(), enabled: sent.enabled.is_some() };
    // Left empty it stays.
    let key = (!sent.key.expose_secret().is_empty()).then_some(sent.key);
    let now = Filled::of(&view(&app, id)?);
    let shown = sent.was_enabled.map(|was| was == "true");
    let (name, url, enabled) = (
        merged(sent.was_name.as_ref(), sent.name, &now.name),
        merged(sent.was_url.as_ref(), sent.url, &now.url),
        merged(shown.as_ref(), filled.enabled, &now.enabled),
    );
    let in_words = if now.enabled { "takes part in shows" } else { "does not take part in shows" };
    let conflicts = [
        (name == Merged::Conflict, "name", now.name.as_str()),
        (url == Merged::Conflict, "url", &now.url),
        (enabled == Merged::Conflict, "", in_words),
    ];
    let filled = Filled {
        name: if name == Merged::Stays { now.name.clone() } else { filled.name },
        url: if url == Merged::Stays { now.url.clone() } else { filled.url },
        enabled: if enabled == Merged::Stays { now.enabled } else { filled.enabled },
    };
    let conflict = conflicts.into_iter().find(|(conflict, ..)| *conflict);
    if let Some(wrong) = conflict.map(|(_, field, now)| Wrong { field: field.to_owned(), text: conflict_words(now) }) {
        let again = FormPage::edit(&page, desk, id, filled, now, Some(wrong));
        return Ok(page.show_with(StatusCode::CONFLICT, &again));
    }
    let edit = EditDestination { name: name.change(), url: url.change(), key, enabled: enabled.change() };
    match destinations::edit(&app.control, &by, id, edit).await {
        Ok((view, kept)) => {
            Ok(sender.go(&app, LIST, Some(&Flash::done(format!("{} is changed.", view.name)).kept(kept))))
        }
        Err(Denied::Destination(error @ DestinationError::NotFound)) => Err(Denied::from(error).into()),
        Err(problem) => {
            let wrong = Some(to_be_filled_in_again(problem)?);
            let again = FormPage::edit(&page, desk, id, filled, now, wrong);
            Ok(page.show_with(StatusCode::UNPROCESSABLE_ENTITY, &again))
        }
    }
}

#[derive(Template)]
#[template(path = "admin/destination_delete.html")]
struct DeletePage<'a> {
    page: &'a Page,
    desk: Desk,
    view: DestinationView,
}

async fn delete_page(
    State(app): State<Arc<App>>,
    page: Page,
    desk: Desk,
    Path(id): Path<DestinationId>,
) -> Result<Response, Problem> {
    Ok(page.show(&DeletePage { page: &page, desk, view: view(&app, id)? }).into_response())
}

async fn delete(
    State(app): State<Arc<App>>,
    by: By,
    sender: Sender,
    Path(id): Path<DestinationId>,
) -> Result<Response, Problem> {
    let name = view(&app, id)?.name;
    destinations::remove(&app.control, &by, id).await?;
    Ok(sender.done(&app, LIST, &Flash::done(format!("{name} is deleted, and its key with it."))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn graph_ends_at_the_right_and_its_highest_value_is_told() {
        let graph = Graph::of(&BitrateView { step_seconds: 5, kbps: vec![0.0, 4000.0, 2000.0] });
        assert_eq!(graph.peak.as_deref(), Some("4.0 Mbit/s"));
        assert!(graph.line.starts_with("M236.0 42.0L238.0 4.0L240.0"), "{}", graph.line);
        assert!(graph.area.ends_with("L240.0 44L236.0 44Z"), "{}", graph.area);
        assert!(Graph::of(&BitrateView { step_seconds: 5, kbps: vec![0.0; 120] }).peak.is_none());
    }
}
