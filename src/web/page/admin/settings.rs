//! `/admin/settings`: every key that can change while the box runs, the slate's picture, and tokens for players.

use std::{collections::BTreeMap, sync::Arc};

use askama::Template;
use axum::{extract::State, http::StatusCode, response::Response};
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::Value;

use super::{desk::Desk, invitations::Once};
use crate::{
    config::{SECTIONS, SettingView, ValueKind, label},
    control::{journal::By, settings, viewers, ways::Reached},
    core::words::sentence,
    web::{
        app::App,
        http::{
            body::Path,
            problem::{Kind, Problem},
            rights::{Right, Routes},
        },
        page::{
            assets,
            flash::Flash,
            form::{Form, Merged, SHOWN, Sender, conflict_words, merged},
            layout::Page,
            people::{Wrong, to_be_filled_in_again},
            ui,
            words::{wall, zone},
        },
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
    label: &'static str,
    kind: Asked,
    /// What may be chosen.
    choices: &'static [&'static str],
    /// What stands in the field.
    text: String,
    default: String,
    wrong: Option<String>,
}

impl Field {
    fn of(view: SettingView) -> Self {
        let kind = match view.row.kind {
            ValueKind::Flag { .. } => Asked::Flag,
            ValueKind::Number { .. } | ValueKind::Port { .. } => Asked::Number,
            ValueKind::Choice { .. } => Asked::Choice,
            _ => Asked::Text,
        };
        Self {
            label: view.row.label,
            kind,
            choices: view.row.kind.choices(),
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
        self.said(&self.default)
    }

    /// What holds now.
    fn in_words(&self) -> String {
        self.said(&words(&self.view.value))
    }

    fn said(&self, value: &str) -> String {
        match (self.kind, value) {
            (Asked::Flag, "true") => "yes".to_owned(),
            (Asked::Flag, _) => "no".to_owned(),
            (_, "") => "none".to_owned(),
            (_, text) => self.view.unit.map_or_else(|| text.to_owned(), |unit| format!("{text} {unit}")),
        }
    }

    /// What the form is made with, to be sent along.
    fn shown(&self) -> String {
        self.view.value.to_string()
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
struct SettingsPage<'a> {
    page: &'a Page,
    desk: Desk,
    sections: Vec<Section>,
    /// What is set where the box is installed, and only shown here.
    fixed: Vec<Field>,
    viewers: Vec<Viewer>,
    viewer_label: String,
    viewer_wrong: Option<String>,
    /// What is wrong with no field in particular.
    wrong: Option<Wrong>,
    slate: Option<SettingView>,
}

impl<'a> SettingsPage<'a> {
    fn of(app: &App, page: &'a Page, desk: Desk) -> Self {
        let mut view = app.control.settings();
        // These have a page of their own.
        view.retain(|setting| !setting.key.starts_with("obs."));
        let slate = view.iter().find(|setting| setting.key == "program.slate").cloned();
        let (open, fixed): (Vec<_>, Vec<_>) = view.into_iter().partition(|setting| setting.locked.is_none());
        let mut open: Vec<_> = open.into_iter().map(Field::of).collect();
        let mut sections = Vec::new();
        for &(id, name) in SECTIONS {
            let (fields, others) = open.into_iter().partition(|field: &Field| field.view.row.section() == id);
            open = others;
            sections.push(Section { id, name, fields });
        }
        sections.retain(|section| !section.fields.is_empty());
        let zone = zone(app);
        let viewers = app.control.viewers().into_iter();
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
    page.show(&SettingsPage::of(&app, &page, desk))
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
    let mut again = SettingsPage::of(&app, &page, desk);
    let wanted = sent.get("section").map(String::as_str).unwrap_or_default();
    let Some(section) = again.sections.iter_mut().find(|section| section.id == wanted) else {
        return Err(Problem::invalid("section", "this is none of the page's forms"));
    };
    let mut edits = BTreeMap::new();
    if let Some(key) = sent.get("reset") {
        edits.insert(key.clone(), Value::Null);
    } else {
        for field in &mut section.fields {
            let key = field.view.key;
            let shown: Option<Value> =
                sent.get(&format!("{SHOWN}{key}")).and_then(|text| serde_json::from_str(text).ok());
            let value = field.value(sent.get(key).map(String::as_str));
            match merged(shown.as_ref(), value, &field.view.value) {
                Merged::Stays => continue,
                Merged::Changes(value) => drop(edits.insert(key.to_owned(), value)),
                Merged::Conflict => field.wrong = Some(conflict_words(&field.in_words())),
            }
            // In case that it has to be filled in again.
            let sent = sent.get(key).map(String::as_str);
            let off = if field.is_flag() { "false" } else { "" };
            sent.unwrap_or(off).clone_into(&mut field.text);
        }
        if section.fields.iter().any(|field| field.wrong.is_some()) {
            return Ok(page.show_with(StatusCode::CONFLICT, &again));
        }
    }
    let to = format!("{PAGE}#{wanted}");
    if edits.is_empty() {
        return Ok(sender.go(&app, &to, Some(&Flash::done("Everything stays as it was."))));
    }
    let names: Vec<_> = edits.keys().map(|key| label(key).to_owned()).collect();
    let reset = sent.contains_key("reset");
    match settings::change(&app.control, &by, edits).await {
        Ok(changed) => {
            let what = if reset { "As it was without the page" } else { "Saved" };
            let text = format!("{what}: {}.", names.join(", "));
            let text = changed.notes.iter().fold(text, |text, note| format!("{text} {}", sentence(note)));
            Ok(sender.go(&app, &to, Some(&Flash::done(text))))
        }
        Err(problem) => {
            let wrong = to_be_filled_in_again(problem)?;
            for field in &mut section.fields {
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
    match viewers::make(&app.control, &by, &new.label).await {
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
                for_phones: false,
                code: None,
                back: format!("{PAGE}#viewers"),
                back_name: "Settings",
            }))
        }
        Err(problem) => {
            let viewer_wrong = Some(to_be_filled_in_again(problem)?.text);
            let again = SettingsPage { viewer_label: new.label, viewer_wrong, ..SettingsPage::of(&app, &page, desk) };
            Ok(page.show_with(StatusCode::UNPROCESSABLE_ENTITY, &again))
        }
    }
}

async fn revoke(State(app): State<Arc<App>>, by: By, sender: Sender, Path(id): Path<u64>) -> Result<Response, Problem> {
    let known = app.control.viewers().into_iter().find(|viewer| viewer.id == id);
    let label = known.ok_or_else(|| Problem::new(Kind::NotFound, "no such viewer token"))?.label;
    viewers::revoke(&app.control, &by, id).await?;
    let text = format!("The token for {label} is dead, and who played with it is cut off.");
    Ok(sender.go(&app, &format!("{PAGE}#viewers"), Some(&Flash::done(text))))
}
