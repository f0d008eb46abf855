//! `/admin/settings`: every key that can change while the box runs, the slate's picture, and tokens for players.

use std::{collections::BTreeMap, sync::Arc};

use askama::Template;
use axum::{extract::State, http::StatusCode, response::Response};
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::Value;

use super::{
    Desk,
    invitations::Once,
    past::{wall, zone},
};
use crate::{
    config::SettingView,
    web::{
        App,
        audit::By,
        body::Path,
        encoders::Reached,
        page::{
            assets,
            flash::Flash,
            form::{Form, Sender},
            layout::Page,
            people::{Wrong, to_be_filled_in_again},
            ui,
        },
        problem::{Kind, Problem},
        rights::{Right, Routes},
        settings::change,
        to_the_end,
        viewers::{self, make_viewer, revoke_viewer},
    },
};

const PAGE: &str = "/admin/settings";

pub(super) fn routes() -> Routes {
    Routes::new()
        .page(Right::Admin, PAGE, show)
        .form(Right::Admin, PAGE, save)
        .form(Right::Admin, "/admin/viewers", make)
        .form(Right::Admin, "/admin/viewers/{id}/revoke", revoke)
}

/// The groups of the page, in its order, each with the beginning of its keys.
const SECTIONS: &[(&str, &str, &str)] = &[
    ("venue", "Venue", "venue."),
    ("accounts", "Who may join", "accounts."),
    ("queue", "Queue", "queue."),
    ("program", "Programme", "program."),
    ("web", "Page", "web."),
    ("ingest", "Ingest", "ingest."),
];

/// What keys are called on the page. What is not here is called by its own name.
const LABELS: &[(&str, &str)] = &[
    ("venue.name", "Name"),
    ("venue.timezone", "Time zone"),
    ("accounts.registration", "Registration"),
    ("queue.turn_seconds", "Length of a turn"),
    ("queue.rejoin_seconds", "A lost connection keeps its place for"),
    ("queue.restart_grace_seconds", "The same after the box was restarted"),
    ("queue.hold_off_seconds", "A kick keeps out for"),
    ("queue.stall_limit_seconds", "A stalled stream loses its turn after"),
    ("queue.overtime", "Turns go on while nobody else is ready"),
    ("queue.block", "Others first"),
    ("program.latency_ms", "Buffer"),
    ("program.house_format", "House format"),
    ("program.slate_sound", "Sound of the slate"),
    ("program.idle_end_minutes", "The show ends when nobody was on air for"),
    ("web.listen", "Address of the page"),
    ("web.https_listen", "Address over HTTPS"),
    ("web.public_host", "What streamers are told to connect to"),
    ("web.open_preview", "The room may watch the programme"),
    ("web.session_idle_hours", "Signed out when unused for"),
    ("web.session_max_days", "Signed out at the latest after"),
    ("ingest.kind", "Ingest"),
    ("ingest.app", "RTMP application"),
    ("ingest.rtmp_listen", "Address of RTMP"),
    ("ingest.max_publishers", "Streamers at once, at most"),
    ("ingest.handshake_seconds", "Time to begin"),
    ("ingest.silence_seconds", "Silence that ends a connection"),
];

fn label(key: &str) -> String {
    if let Some((_, label)) = LABELS.iter().find(|(known, _)| *known == key) {
        return (*label).to_owned();
    }
    let name = key.rsplit('.').next().unwrap_or(key).replace('_', " ");
    let srs = if key.starts_with("ingest.srs.") { "SRS: " } else { "" };
    format!("{srs}{name}")
}

/// How a key is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Text,
    Number,
    Flag,
    Choice,
}

/// One key on the page.
struct Field {
    view: SettingView,
    label: String,
    kind: Asked,
    /// What may be chosen.
    choices: Vec<String>,
    /// What stands in the field.
    text: String,
    default: String,
    wrong: Option<String>,
}

impl Field {
    fn of(view: SettingView) -> Self {
        let choices = choices(view.shape);
        let kind = match &view.default {
            Value::Bool(_) => Asked::Flag,
            Value::Number(_) => Asked::Number,
            _ if choices.len() > 1 => Asked::Choice,
            _ => Asked::Text,
        };
        Self {
            label: label(view.key),
            kind,
            choices,
            text: words(&view.value),
            default: words(&view.default),
            wrong: None,
            view,
        }
    }

    fn is_number(&self) -> bool {
        self.kind == Asked::Number
    }

    fn is_flag(&self) -> bool {
        self.kind == Asked::Flag
    }

    fn is_choice(&self) -> bool {
        self.kind == Asked::Choice
    }

    fn is_on(&self) -> bool {
        self.text == "true"
    }

    /// Its name as an id: without dots.
    fn id(&self) -> String {
        self.view.key.replace('.', "-")
    }

    /// Where its value comes from, unless nobody has set it.
    fn origin(&self) -> Option<&str> {
        (!self.is_default()).then_some(self.view.origin.as_str())
    }

    fn is_default(&self) -> bool {
        self.view.value == self.view.default
    }

    /// Whether the page has set it, so that it can be taken back.
    fn can_be_reset(&self) -> bool {
        self.view.origin.contains("settings.toml")
    }

    fn default_words(&self) -> String {
        match (self.kind, self.default.as_str()) {
            (Asked::Flag, "true") => "yes".to_owned(),
            (Asked::Flag, _) => "no".to_owned(),
            (_, "") => "none".to_owned(),
            (_, text) => self.view.unit.map_or_else(|| text.to_owned(), |unit| format!("{text} {unit}")),
        }
    }

    /// What the form's text means as a value; none when it is none of the right kind.
    fn value(&self, sent: Option<&str>) -> Value {
        let text = sent.unwrap_or_default().trim();
        match self.kind {
            Asked::Flag => Value::Bool(sent.is_some()),
            Asked::Number => text.parse::<u64>().map_or_else(|_| Value::from(text), Value::from),
            Asked::Text | Asked::Choice if text.is_empty() => Value::Null,
            Asked::Text | Asked::Choice => Value::from(text),
        }
    }
}

/// The quoted words of a shape that is nothing but them: `"open", "invite" or "closed"`.
fn choices(shape: &str) -> Vec<String> {
    if !shape.starts_with('"') {
        return Vec::new();
    }
    shape.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

fn words(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(words).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

struct Section {
    id: &'static str,
    name: &'static str,
    fields: Vec<Field>,
}

/// A token for players.
struct Viewer {
    id: u64,
    label: String,
    created: String,
}

#[derive(Template)]
#[template(path = "admin/settings.html")]
struct Settings<'a> {
    page: &'a Page,
    desk: Desk,
    sections: Vec<Section>,
    /// What is set where the box is installed, and only shown here.
    fixed: Vec<Field>,
    viewers: Vec<Viewer>,
    viewer_label: String,
    viewer_wrong: Option<Wrong>,
    /// What is wrong with no field in particular.
    wrong: Option<Wrong>,
    slate: Option<SettingView>,
}

impl<'a> Settings<'a> {
    fn of(app: &App, page: &'a Page, desk: Desk) -> Self {
        let mut view = app.state.settings.view();
        // These have a page of their own.
        view.retain(|setting| !setting.key.starts_with("obs."));
        let slate = view.iter().find(|setting| setting.key == "program.slate").cloned();
        let (open, fixed): (Vec<_>, Vec<_>) = view.into_iter().partition(|setting| setting.locked.is_none());
        let mut open: Vec<_> = open.into_iter().map(Field::of).collect();
        let mut sections = Vec::new();
        for &(id, name, prefix) in SECTIONS {
            let (fields, others) = open.into_iter().partition(|field: &Field| field.view.key.starts_with(prefix));
            open = others;
            sections.push(Section { id, name, fields });
        }
        sections.retain(|section| !section.fields.is_empty());
        let zone = zone(app);
        let viewers = app.state.accounts.viewers().list().into_iter();
        let viewers = viewers.map(|it| Viewer { id: it.id, label: it.label, created: wall(it.created, &zone) });
        Self {
            page,
            desk,
            sections,
            fixed: fixed.into_iter().filter(|it| it.key != "program.slate").map(Field::of).collect(),
            viewers: viewers.collect(),
            viewer_label: String::new(),
            viewer_wrong: None,
            wrong: None,
            slate,
        }
    }
}

async fn show(State(app): State<Arc<App>>, page: Page, desk: Desk) -> Response {
    page.show(&Settings::of(&app, &page, desk))
}

/// A section's form: its fields by their keys, `section`, and `reset` with a key when that is to be as it was without the page.
async fn save(
    State(app): State<Arc<App>>,
    page: Page,
    desk: Desk,
    by: By,
    sender: Sender,
    Form(sent): Form<BTreeMap<String, String>>,
) -> Result<Response, Problem> {
    let mut again = Settings::of(&app, &page, desk);
    let wanted = sent.get("section").map(String::as_str).unwrap_or_default();
    let Some(section) = again.sections.iter_mut().find(|section| section.id == wanted) else {
        return Err(Problem::invalid("section", "this is none of the page's forms"));
    };
    let mut edits = BTreeMap::new();
    if let Some(key) = sent.get("reset") {
        edits.insert(key.clone(), Value::Null);
    } else {
        for field in &section.fields {
            let value = field.value(sent.get(field.view.key).map(String::as_str));
            if value != field.view.value {
                edits.insert(field.view.key.to_owned(), value);
            }
        }
    }
    let to = format!("{PAGE}#{wanted}");
    if edits.is_empty() {
        return Ok(sender.go(&app, &to, Some(&Flash::done("Everything stays as it was."))));
    }
    by.did("settings.change", edits.keys().map(String::as_str).collect::<Vec<_>>().join(", "));
    let names: Vec<_> = edits.keys().map(|key| label(key)).collect();
    let reset = sent.contains_key("reset");
    let shared = Arc::clone(&app);
    match to_the_end(async move { change(&shared, edits).await }).await {
        Ok(changed) => {
            app.live.poke();
            let what = if reset { "As it was without the page" } else { "Saved" };
            let text = format!("{what}: {}.", names.join(", "));
            let text = changed.notes.iter().fold(text, |text, note| format!("{text} {}.", sentence(note)));
            Ok(sender.go(&app, &to, Some(&Flash::done(text))))
        }
        Err(problem) => {
            let wrong = to_be_filled_in_again(problem)?;
            for field in &mut section.fields {
                if let Some(text) = sent.get(field.view.key) {
                    text.clone_into(&mut field.text);
                } else if field.is_flag() && !reset {
                    "false".clone_into(&mut field.text);
                }
                if wrong.is(field.view.key) {
                    field.wrong = Some(wrong.text.clone());
                }
            }
            if section.fields.iter().all(|field| field.wrong.is_none()) {
                let text = if wrong.field.is_empty() { wrong.text } else { format!("{}: {}", wrong.field, wrong.text) };
                again.wrong = Some(Wrong { field: String::new(), text });
            }
            Ok(page.show_with(StatusCode::UNPROCESSABLE_ENTITY, &again))
        }
    }
}

fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_uppercase().collect::<String>()).unwrap_or_default();
    first + letters.as_str().trim_end_matches('.')
}

/// What the form of a new token sends.
#[derive(Deserialize)]
struct NewViewer {
    label: String,
}

async fn make(
    State(app): State<Arc<App>>,
    page: Page,
    desk: Desk,
    by: By,
    reached: Reached,
    Form(new): Form<NewViewer>,
) -> Result<Response, Problem> {
    match make_viewer(&app, &by, &new.label).await {
        Ok((viewer, token)) => {
            let page = page.with_secrets();
            Ok(page.show(&Once {
                page: &page,
                desk,
                title: format!("Token for {}", viewer.label),
                what: "OBS (as a media source) and players in this network show the programme from this address."
                    .to_owned(),
                until: None,
                url: reached.page_url(&viewers::path(token.expose_secret())),
                code: None,
                back: format!("{PAGE}#viewers"),
                back_name: "Settings",
            }))
        }
        Err(problem) => {
            let viewer_wrong = Some(to_be_filled_in_again(problem)?);
            let again = Settings { viewer_label: new.label, viewer_wrong, ..Settings::of(&app, &page, desk) };
            Ok(page.show_with(StatusCode::UNPROCESSABLE_ENTITY, &again))
        }
    }
}

async fn revoke(State(app): State<Arc<App>>, by: By, sender: Sender, Path(id): Path<u64>) -> Result<Response, Problem> {
    let known = app.state.accounts.viewers().list().into_iter().find(|viewer| viewer.id == id);
    let label = known.ok_or_else(|| Problem::new(Kind::NotFound, "no such viewer token"))?.label;
    revoke_viewer(&app, &by, id).await?;
    let text = format!("The token for {label} is dead, and who played with it is cut off.");
    Ok(sender.go(&app, &format!("{PAGE}#viewers"), Some(&Flash::done(text))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_are_the_words_of_a_shape_that_is_nothing_else() {
        assert_eq!(choices("\"open\", \"invite\" or \"closed\""), ["open", "invite", "closed"]);
        assert!(choices("a name, such as \"Blue Room\"").is_empty());
    }

    #[test]
    fn key_without_a_label_is_called_by_its_name() {
        assert_eq!(label("queue.block"), "Others first");
        assert_eq!(label("ingest.srs.api_listen"), "SRS: api listen");
    }
}
