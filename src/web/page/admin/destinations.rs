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

use super::{Desk, night::orders::Switched, night::told};
use crate::{
    core::destination::{DestinationId, DestinationInput, DestinationState, MAX_DESTINATIONS, Platform, free_name},
    media::egress::Verdict,
    web::{
        App,
        audit::By,
        body::{Path, UrlQuery},
        destinations::{
            DestinationView, EditDestination,
            bitrate::BitrateView,
            change_destination, delete_destination, new_destination, switch_destination,
            trial::{self, Preset},
        },
        page::{
            assets,
            flash::Flash,
            form::{Form, Sender},
            layout::Page,
            live::Rendered,
            people::{Wrong, to_be_filled_in_again},
            ui,
        },
        problem::{Kind, Problem},
        rights::{Right, Routes},
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
            graph: Graph::of(&app.bitrates.of(view.id)),
            view,
        }
    }

    fn sent(&self) -> String {
        bytes(self.view.status.bytes)
    }
}

/// A count of bytes as people read it.
pub(super) fn bytes(count: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let count = count as f64;
    match count {
        ..1e6 => format!("{:.0} kB", count / 1e3),
        ..1e9 => format!("{:.0} MB", count / 1e6),
        _ => format!("{:.1} GB", count / 1e9),
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
    let all = app.state.destinations.view(&app.state.media.status().borrow());
    let show = app.state.director.snapshot().borrow().queue.show;
    Shelf { cards: all.into_iter().map(|view| Card::of(app, view)).collect(), admin, show }.render()
}

async fn list(State(app): State<Arc<App>>, page: Page, desk: Desk) -> Result<Response, Problem> {
    let cards = cards(&app, desk.admin).map_err(|error| Problem::new(Kind::Internal, error.to_string()))?;
    Ok(page.show(&List { page: &page, desk, cards }))
}

fn view(app: &App, id: DestinationId) -> Result<DestinationView, Problem> {
    let all = app.state.destinations.view(&app.state.media.status().borrow());
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
    let view = switch_destination(&app, &by, id, to.on).await?;
    let show = app.state.director.snapshot().borrow().queue.show;
    let text = match (to.on, show) {
        (true, true) => format!("{} is switched on, and connects.", view.name),
        (true, false) => format!("{} is switched on: the next show goes there.", view.name),
        (false, true) => format!("{} is switched off. The broadcast there is over.", view.name),
        (false, false) => format!("{} is switched off.", view.name),
    };
    let flash = Flash::done(text).undo_switch(format!("/admin/destinations/{}/switch", id.0), to.on);
    Ok(sender.done(&app, LIST, &flash))
}

async fn test(
    State(app): State<Arc<App>>,
    by: By,
    sender: Sender,
    Path(id): Path<DestinationId>,
) -> Result<Response, Problem> {
    let name = view(&app, id)?.name;
    by.did("destination.test", name.clone());
    let shared = Arc::clone(&app);
    let trial = crate::web::to_the_end(async move { trial::run(&shared, id).await }).await?;
    let flash = match trial.verdict {
        Verdict::Accepted => Flash::done(format!("{name}: {}", trial.message)),
        Verdict::Refused | Verdict::Failed => Flash::failed(format!("{name}: {}", trial.message)),
    };
    Ok(sender.done(&app, LIST, &flash))
}

/// What is filled in. The key is never shown again.
struct Filled {
    name: String,
    url: String,
    enabled: bool,
}

#[derive(Template)]
#[template(path = "admin/destination.html")]
struct FormPage<'a> {
    page: &'a Page,
    desk: Desk,
    /// The one that is edited; none for a new one.
    id: Option<DestinationId>,
    filled: Filled,
    /// All platforms, for a new one.
    presets: [Preset; 5],
    /// The one that was chosen.
    chosen: Option<Preset>,
    full: bool,
    wrong: Option<Wrong>,
}

impl<'a> FormPage<'a> {
    /// The form of one that is there already.
    fn edit(page: &'a Page, desk: Desk, id: DestinationId, filled: Filled, wrong: Option<Wrong>) -> Self {
        Self { page, desk, id: Some(id), filled, presets: Preset::all(), chosen: None, full: false, wrong }
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
    let all = app.state.destinations.all();
    let filled = Filled {
        name: chosen
            .filter(|preset| preset.complete)
            .map_or_else(String::new, |preset| free_name(preset.name, all.iter().map(|one| one.name.as_str()))),
        url: chosen.filter(|preset| preset.complete).map_or_else(String::new, |preset| preset.url.to_owned()),
        enabled: true,
    };
    let full = all.len() >= MAX_DESTINATIONS;
    page.show(&FormPage { page: &page, desk, id: None, filled, presets: Preset::all(), chosen, full, wrong: None })
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
    match new_destination(&app, &by, input).await {
        Ok(view) => {
            let text = format!("{} is there. Test it before the show: then you know that the key is right.", view.name);
            Ok(sender.go(&app, LIST, Some(&Flash::done(text))))
        }
        Err(problem) => {
            let wrong = Some(to_be_filled_in_again(problem)?);
            let chosen = preset(&sent.platform);
            let again =
                FormPage { page: &page, desk, id: None, filled, presets: Preset::all(), chosen, full: false, wrong };
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
    let filled = Filled { name: view.name, url: view.url, enabled: view.enabled };
    Ok(page.show(&FormPage::edit(&page, desk, id, filled, None)))
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
    let edit = EditDestination { name: Some(sent.name), url: Some(sent.url), key, enabled: Some(filled.enabled) };
    match change_destination(&app, &by, id, edit).await {
        Ok(view) => Ok(sender.go(&app, LIST, Some(&Flash::done(format!("{} is changed.", view.name))))),
        Err(problem) if problem.status() == StatusCode::NOT_FOUND => Err(problem),
        Err(problem) => {
            let wrong = Some(to_be_filled_in_again(problem)?);
            let again = FormPage::edit(&page, desk, id, filled, wrong);
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
    delete_destination(&app, &by, id).await?;
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

    #[test]
    fn bytes_are_told_in_the_unit_that_fits() {
        for (count, text) in [(0, "0 kB"), (123_456, "123 kB"), (98_000_000, "98 MB"), (3_450_000_000, "3.5 GB")] {
            assert_eq!(bytes(count), text);
        }
    }
}
