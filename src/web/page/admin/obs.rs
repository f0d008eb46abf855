//! `/admin/obs`: the venue's OBS. How it does, where it is, and what it does with the show; with lists read from OBS itself.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use askama::Template;
use axum::{extract::State, http::StatusCode, response::Response};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::Value;
use tokio::time::timeout;

use super::desk::Desk;
use crate::{
    config::{self, SettingView},
    control::{
        journal::By,
        obs::{self, ProgramSource, Trial, Tried},
        settings,
    },
    core::words::sentence,
    obs::{Act, InputRole, Inventory, Link, Status, Streaming},
    web::{
        app::App,
        http::{
            problem::{Kind, Problem},
            rights::{Right, Routes},
        },
        page::{
            assets,
            flash::Flash,
            form::{Form, Merged, SHOWN, Sender, conflict_words, merged},
            layout::Page,
            live::Rendered,
            people::{Wrong, to_be_filled_in_again},
            ui,
        },
    },
};

const PAGE: &str = "/admin/obs";

/// How long the page waits for OBS's lists. Without them names are typed.
const LISTS: Duration = Duration::from_secs(3);

pub(super) fn routes() -> Routes {
    Routes::new()
        .page(Right::Admin, PAGE, show)
        .form(Right::Admin, "/admin/obs/connection", connection)
        .form(Right::Admin, "/admin/obs/mapping", mapping)
        .form(Right::Admin, "/admin/obs/reconnect", reconnect)
        .form(Right::Admin, "/admin/obs/stream", stream)
        .form(Right::Admin, "/admin/obs/setup", set_up)
        .form(Right::Admin, "/admin/obs/program", program)
}

/// How OBS does: the part that changes by itself.
#[derive(Template)]
#[template(path = "admin/parts/obs_state.html")]
struct Now {
    status: Status,
}

impl Now {
    /// The class and the word of the connection's badge.
    fn badge(&self) -> (&'static str, &'static str) {
        match self.status.link {
            Link::Off => ("badge-plain", "Not set up"),
            Link::Connecting => ("badge-warn", "Connecting"),
            Link::Connected { .. } => ("badge-good", "Connected"),
            Link::Away { .. } => ("badge-bad", "Not connected"),
        }
    }

    fn is_off(&self) -> bool {
        self.status.link == Link::Off
    }

    /// Its version, while it is connected.
    fn version(&self) -> Option<&str> {
        match &self.status.link {
            Link::Connected { version } => Some(version),
            _ => None,
        }
    }

    /// Why it is not connected.
    fn away(&self) -> Option<String> {
        match &self.status.link {
            Link::Away { reason, .. } => Some(sentence(reason)),
            _ => None,
        }
    }

    fn left_alone(&self) -> Option<String> {
        self.status.left_alone.as_deref().map(sentence)
    }

    fn problems(&self) -> Vec<String> {
        self.status.problems.iter().map(|problem| sentence(problem)).collect()
    }

    fn act(&self) -> &'static str {
        match self.status.act {
            Act::Slate => "Slate",
            Act::Handover => "Handover",
            Act::OnAir => "On air",
        }
    }

    /// The class and the words of its own stream.
    fn streaming(&self) -> (&'static str, &'static str) {
        match self.status.streaming {
            Streaming::Unknown => ("badge-plain", "Not known"),
            Streaming::Stopped => ("badge-plain", "Off"),
            Streaming::Starting => ("badge-warn", "Starting"),
            Streaming::Running => ("badge-good", "On"),
            Streaming::Reconnecting => ("badge-warn", "Reconnecting"),
            Streaming::Stopping => ("badge-warn", "Stopping"),
            Streaming::GivenUp => ("badge-bad", "Given up"),
        }
    }

    /// What to know, or to do, about its own stream.
    fn streaming_advice(&self) -> Option<&'static str> {
        match self.status.streaming {
            Streaming::Reconnecting => Some("OBS has lost its platform and tries again by itself."),
            Streaming::GivenUp => Some(
                "Three starts failed. Look at OBS (Settings, Stream: server and key; its line to the internet), then start it here.",
            ),
            _ => None,
        }
    }

    fn may_start(&self) -> bool {
        matches!(self.status.streaming, Streaming::Stopped | Streaming::GivenUp)
    }

    fn may_stop(&self) -> bool {
        matches!(self.status.streaming, Streaming::Running | Streaming::Reconnecting)
    }
}

/// The part that changes by itself.
pub(crate) fn parts(app: &App) -> askama::Result<Vec<Rendered>> {
    let status = Status::clone(&app.control.obs_status());
    Ok(vec![("obs", Now { status }.render()?)])
}

/// How a key is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    /// One of OBS's scenes.
    Scene,
    /// One input of a kind.
    One(InputRole),
    /// Any inputs.
    Some,
    /// Inputs that can begin anew.
    Restartable,
    Flag,
    Number,
}

/// Keys with how they are asked for.
type Keys = &'static [(&'static str, Asked)];

/// The groups of the mapping.
const MAPPING: &[(&str, Keys)] = &[
    (
        "Scenes",
        &[
            ("obs.scene_on_air", Asked::Scene),
            ("obs.scene_slate", Asked::Scene),
            ("obs.scene_handover", Asked::Scene),
            ("obs.handover_seconds", Asked::Number),
            ("obs.only_our_scenes", Asked::Flag),
        ],
    ),
    (
        "Texts",
        &[
            ("obs.text_streamer", Asked::One(InputRole::Text)),
            ("obs.text_next", Asked::One(InputRole::Text)),
            ("obs.text_time", Asked::One(InputRole::Text)),
        ],
    ),
    (
        "Sources",
        &[
            ("obs.show_on_air", Asked::Some),
            ("obs.show_next", Asked::Some),
            ("obs.show_slate", Asked::Some),
            ("obs.restart_at_take", Asked::Restartable),
        ],
    ),
    ("OBS's own stream", &[("obs.stream", Asked::Flag)]),
];

/// Something to be chosen.
struct Choice {
    name: String,
    chosen: bool,
    /// What is the matter with it.
    note: Option<&'static str>,
}

/// One key of the mapping.
struct Field {
    view: SettingView,
    label: &'static str,
    asked: Asked,
    /// What is set, or was sent.
    chosen: Vec<String>,
    /// What may be chosen; none when OBS did not say what it has.
    choices: Option<Vec<Choice>>,
    wrong: Option<String>,
}

impl Field {
    fn new(view: SettingView, asked: Asked, inventory: Option<&Inventory>) -> Self {
        let chosen = names(&view.value);
        let mut field = Self { label: view.row.label, view, asked, chosen, choices: None, wrong: None };
        field.offer(inventory);
        field
    }

    /// What may be chosen: what OBS has, and what is chosen whether it has it or not.
    fn offer(&mut self, inventory: Option<&Inventory>) {
        let Some(inventory) = inventory.filter(|_| !matches!(self.asked, Asked::Flag | Asked::Number)) else {
            self.choices = None;
            return;
        };
        let fits = |role: InputRole| match self.asked {
            Asked::One(wanted) => role == wanted,
            Asked::Restartable => matches!(role, InputRole::Media | InputRole::Browser),
            _ => true,
        };
        let there: Vec<&str> = match self.asked {
            Asked::Scene => inventory.scenes.iter().map(String::as_str).collect(),
            _ => inventory.inputs.iter().filter(|input| fits(input.role)).map(|input| input.name.as_str()).collect(),
        };
        let missing = self.chosen.iter().filter(|name| !there.contains(&name.as_str())).map(|name| Choice {
            name: name.clone(),
            chosen: true,
            note: Some(match self.asked {
                Asked::Scene => "not in OBS",
                // Groups and scenes can be shown and hidden too, and OBS does not list them with its inputs.
                Asked::Some => "not among OBS's inputs",
                _ if inventory.inputs.iter().any(|input| input.name == *name) => "of another kind",
                _ => "not in OBS",
            }),
        });
        let found = there.iter().map(|name| Choice {
            name: (*name).to_owned(),
            chosen: self.chosen.iter().any(|chosen| chosen == name),
            note: None,
        });
        self.choices = Some(missing.chain(found).collect());
    }

    fn id(&self) -> String {
        self.view.key.replace('.', "-")
    }

    fn is_flag(&self) -> bool {
        self.asked == Asked::Flag
    }

    fn is_number(&self) -> bool {
        self.asked == Asked::Number
    }

    /// Whether several may be chosen.
    fn is_list(&self) -> bool {
        matches!(self.asked, Asked::Some | Asked::Restartable)
    }

    fn is_on(&self) -> bool {
        self.chosen.iter().any(|text| text == "true")
    }

    fn first(&self) -> &str {
        self.chosen.first().map_or("", String::as_str)
    }

    /// One a line.
    fn lines(&self) -> String {
        self.chosen.join("\n")
    }

    /// What is set, in words, where it cannot be changed.
    fn words(&self) -> String {
        match (self.asked, self.chosen.as_slice()) {
            (Asked::Flag, _) => if self.is_on() { "yes" } else { "no" }.to_owned(),
            (_, []) => "none".to_owned(),
            (_, names) => names.join(", "),
        }
    }

    /// Where it comes from, if somebody has set it.
    fn origin(&self) -> Option<&str> {
        (self.view.value != self.view.default).then_some(self.view.origin.as_str())
    }

    /// What the form is made with, to be sent along.
    fn shown(&self) -> String {
        self.view.value.to_string()
    }

    /// What was sent for it, as a value.
    fn value(&self) -> Value {
        let first = self.first();
        match self.asked {
            Asked::Flag => Value::Bool(self.is_on()),
            Asked::Number => first.parse::<u64>().map_or_else(|_| Value::from(first), Value::from),
            Asked::Some | Asked::Restartable => Value::from(self.chosen.clone()),
            Asked::Scene | Asked::One(_) if first.is_empty() => Value::Null,
            Asked::Scene | Asked::One(_) => Value::from(first),
        }
    }
}

/// A value as the names, the number or the word that it holds.
fn names(value: &Value) -> Vec<String> {
    match value {
        Value::Null => Vec::new(),
        Value::String(text) => vec![text.clone()],
        Value::Array(items) => items.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        other => vec![other.to_string()],
    }
}

struct Group {
    name: &'static str,
    fields: Vec<Field>,
}

/// Where OBS is, as it stands in the form.
struct Connection {
    host: String,
    port: String,
    /// Why a field cannot be changed here.
    host_locked: Option<String>,
    port_locked: Option<String>,
    password_locked: Option<String>,
    /// Whether there is a password.
    password: bool,
    /// What the form is made with, to be sent along.
    shown_host: String,
    shown_port: String,
    /// What a trial found; whether it works.
    tried: Option<(bool, String)>,
    wrong: Option<Wrong>,
}

impl Connection {
    fn of(view: &[SettingView]) -> Self {
        let find = |key: &str| view.iter().find(|setting| setting.key == key);
        let text = |key: &str| find(key).map(|setting| names(&setting.value).concat()).unwrap_or_default();
        let locked = |key: &str| find(key).and_then(|setting| setting.locked.clone());
        Self {
            host: text("obs.host"),
            port: text("obs.port"),
            host_locked: locked("obs.host"),
            port_locked: locked("obs.port"),
            password_locked: locked("obs.password"),
            password: find("obs.password").is_some_and(|setting| !setting.value.is_null()),
            shown_host: find("obs.host").map(|setting| setting.value.to_string()).unwrap_or_default(),
            shown_port: find("obs.port").map(|setting| setting.value.to_string()).unwrap_or_default(),
            tried: None,
            wrong: None,
        }
    }

    /// What is wrong with a field.
    fn wrong_with(&self, field: &str) -> Option<&str> {
        let wrong = self.wrong.as_ref()?;
        (wrong.is(field) || wrong.field.strip_prefix("obs.") == Some(field)).then_some(wrong.text.as_str())
    }
}

#[derive(Template)]
#[template(path = "admin/obs.html")]
struct ObsPage<'a> {
    page: &'a Page,
    desk: Desk,
    state: String,
    connection: Connection,
    groups: Vec<Group>,
    /// Whether OBS said what it has.
    lists: bool,
    /// Media sources that could play the programme; none when OBS did not say what it has.
    players: Option<Vec<Choice>>,
    /// The one that is set.
    player: String,
    /// What is wrong with no field in particular.
    wrong: Option<Wrong>,
}

impl<'a> ObsPage<'a> {
    async fn of(app: &App, page: &'a Page, desk: Desk) -> Result<Self, Problem> {
        let view = app.control.settings();
        let state = parts(app).map_err(|error| Problem::new(Kind::Internal, error.to_string()))?;
        let inventory = inventory(app).await;
        let field = |key: &str, asked| {
            let setting = view.iter().find(|setting| setting.key == key)?;
            Some(Field::new(setting.clone(), asked, inventory.as_ref()))
        };
        let group = |name, keys: Keys| Group {
            name,
            fields: keys.iter().filter_map(|&(key, asked)| field(key, asked)).collect(),
        };
        let player = field("obs.program_source", Asked::One(InputRole::Media));
        Ok(Self {
            page,
            desk,
            state: state.into_iter().map(|(_, html)| html).collect(),
            connection: Connection::of(&view),
            groups: MAPPING.iter().map(|&(name, keys)| group(name, keys)).collect(),
            lists: inventory.is_some(),
            player: player.as_ref().map(|field| field.first().to_owned()).unwrap_or_default(),
            players: player.and_then(|field| field.choices),
            wrong: None,
        })
    }
}

/// What OBS has, if it says so soon.
async fn inventory(app: &App) -> Option<Inventory> {
    let connected = matches!(app.control.obs_status().link, Link::Connected { .. });
    if !connected {
        return None;
    }
    timeout(LISTS, obs::inventory(&app.control)).await.ok()?.ok()
}

async fn show(State(app): State<Arc<App>>, page: Page, desk: Desk) -> Result<Response, Problem> {
    Ok(page.show(&ObsPage::of(&app, &page, desk).await?))
}

/// What the form of the connection sends. A field that is locked is not sent.
#[derive(Deserialize)]
struct Sent {
    host: Option<String>,
    port: Option<String>,
    password: Option<SecretString>,
    /// A box that is not ticked is not sent.
    remove: Option<String>,
    /// What the form was made with.
    #[serde(rename = "was.host")]
    was_host: Option<String>,
    #[serde(rename = "was.port")]
    was_port: Option<String>,
    /// `test`, or something else for saving.
    #[serde(default)]
    act: String,
}

/// Saves where OBS is, or tries it out as it stands in the form, which keeps what was written.
async fn connection(
    State(app): State<Arc<App>>,
    page: Page,
    desk: Desk,
    by: By,
    sender: Sender,
    Form(sent): Form<Sent>,
) -> Result<Response, Problem> {
    let mut again = ObsPage::of(&app, &page, desk).await?;
    let form = &mut again.connection;
    let view = app.control.settings();
    let before = |key: &str| view.iter().find(|setting| setting.key == key).map(|setting| setting.value.clone());
    let mut edits = BTreeMap::new();
    if let Some(host) = sent.host.filter(|_| form.host_locked.is_none()) {
        host.trim().clone_into(&mut form.host);
        let value = if form.host.is_empty() { Value::Null } else { Value::from(form.host.as_str()) };
        edits.insert("obs.host".to_owned(), value);
    }
    if let Some(port) = sent.port.filter(|_| form.port_locked.is_none()) {
        port.trim().clone_into(&mut form.port);
        let value = form.port.parse::<u64>().map_or_else(|_| Value::from(form.port.as_str()), Value::from);
        edits.insert("obs.port".to_owned(), if form.port.is_empty() { Value::Null } else { value });
    }
    let shown = |text: Option<&String>| text.and_then(|text| serde_json::from_str::<Value>(text).ok());
    let all =
        [("obs.host", "host", shown(sent.was_host.as_ref())), ("obs.port", "port", shown(sent.was_port.as_ref()))];
    for (key, field, shown) in all {
        let (Some(value), Some(now)) = (edits.remove(key), before(key)) else { continue };
        match merged(shown.as_ref(), value, &now) {
            Merged::Stays => {
                let kept = names(&now).concat();
                if key == "obs.host" { form.host = kept } else { form.port = kept }
            }
            Merged::Changes(value) => drop(edits.insert(key.to_owned(), value)),
            Merged::Conflict if sent.act != "test" => {
                form.wrong = Some(Wrong { field: field.to_owned(), text: conflict_words(&names(&now).concat()) });
                return Ok(page.show_with(StatusCode::CONFLICT, &again));
            }
            Merged::Conflict => {}
        }
    }
    // Left empty it stays.
    let password = sent.password.filter(|password| !password.expose_secret().is_empty());
    let remove = sent.remove.is_some();
    if sent.act == "test" {
        let password = if remove { Some(SecretString::from(String::new())) } else { password };
        match obs::try_out(&app.control, &by, Trial { host: form.host.clone(), port: port_of(&form.port), password })
            .await
        {
            Ok(Tried { version, message, .. }) => form.tried = Some((version.is_some(), sentence(&message))),
            Err(problem) => form.wrong = Some(to_be_filled_in_again(problem)?),
        }
        let status = if form.wrong.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
        return Ok(page.show_with(status, &again));
    }
    if form.password_locked.is_none() {
        match password {
            _ if remove && form.password => drop(edits.insert("obs.password".to_owned(), Value::Null)),
            Some(password) if !remove => {
                edits.insert("obs.password".to_owned(), Value::from(password.expose_secret()));
            }
            _ => {}
        }
    }
    if edits.is_empty() {
        return Ok(sender.go(&app, PAGE, Some(&Flash::done("Everything stays as it was."))));
    }
    match save(&app, &by, edits).await {
        Ok(notes) => {
            let text = if again.connection.host.is_empty() {
                "Saved. There is no OBS to follow the show now."
            } else {
                "Saved. OBS is being connected."
            };
            Ok(sender.go(&app, PAGE, Some(&Flash::done(format!("{text}{notes}")))))
        }
        Err(problem) => {
            again.connection.wrong = Some(to_be_filled_in_again(problem)?);
            Ok(page.show_with(StatusCode::UNPROCESSABLE_ENTITY, &again))
        }
    }
}

/// Zero where it is none, which is refused.
fn port_of(text: &str) -> u16 {
    text.parse().unwrap_or(0)
}

/// Writes settings; gives what is to be known about it, in sentences.
async fn save(app: &Arc<App>, by: &By, edits: BTreeMap<String, Value>) -> Result<String, Problem> {
    let changed = settings::change(&app.control, by, edits).await?;
    Ok(changed.notes.iter().fold(String::new(), |text, note| text + " " + &sentence(note)))
}

/// The form of the mapping: each key as often as it has values. A key that is locked is not sent.
async fn mapping(
    State(app): State<Arc<App>>,
    page: Page,
    desk: Desk,
    by: By,
    sender: Sender,
    Form(sent): Form<Vec<(String, String)>>,
) -> Result<Response, Problem> {
    let mut again = ObsPage::of(&app, &page, desk).await?;
    let mut edits = BTreeMap::new();
    for field in again.groups.iter_mut().flat_map(|group| &mut group.fields) {
        if field.view.locked.is_some() {
            continue;
        }
        let key = field.view.key;
        let shown = sent.iter().find(|(name, _)| name.strip_prefix(SHOWN) == Some(key));
        let shown: Option<Value> = shown.and_then(|(_, text)| serde_json::from_str(text).ok());
        let (now, in_words) = (field.chosen.clone(), field.words());
        let values = sent.iter().filter(|(name, _)| name == key).map(|(_, value)| value.trim());
        let values = values.flat_map(str::lines).map(str::trim).filter(|value| !value.is_empty());
        field.chosen.clear();
        for value in values {
            if !field.chosen.iter().any(|chosen| chosen == value) {
                field.chosen.push(value.to_owned());
            }
        }
        match merged(shown.as_ref(), field.value(), &field.view.value) {
            Merged::Stays => field.chosen = now,
            Merged::Changes(value) => drop(edits.insert(key.to_owned(), value)),
            Merged::Conflict => field.wrong = Some(conflict_words(&in_words)),
        }
    }
    if again.groups.iter().flat_map(|group| &group.fields).any(|field| field.wrong.is_some()) {
        let inventory = inventory(&app).await;
        for field in again.groups.iter_mut().flat_map(|group| &mut group.fields) {
            field.offer(inventory.as_ref());
        }
        return Ok(page.show_with(StatusCode::CONFLICT, &again));
    }
    let to = format!("{PAGE}#mapping");
    if edits.is_empty() {
        return Ok(sender.go(&app, &to, Some(&Flash::done("Everything stays as it was."))));
    }
    match save(&app, &by, edits).await {
        Ok(notes) => Ok(sender.go(&app, &to, Some(&Flash::done(format!("Saved. OBS follows it from now on.{notes}"))))),
        Err(problem) => {
            let wrong = to_be_filled_in_again(problem)?;
            let mut blamed = false;
            let inventory = inventory(&app).await;
            for field in again.groups.iter_mut().flat_map(|group| &mut group.fields) {
                field.offer(inventory.as_ref());
                if wrong.is(field.view.key) {
                    (field.wrong, blamed) = (Some(wrong.text.clone()), true);
                }
            }
            if !blamed {
                again.wrong = Some(Wrong { field: String::new(), text: wrong.text });
            }
            Ok(page.show_with(StatusCode::UNPROCESSABLE_ENTITY, &again))
        }
    }
}

async fn reconnect(State(app): State<Arc<App>>, by: By, sender: Sender) -> Result<Response, Problem> {
    obs::connect_anew(&app.control, &by).await?;
    Ok(sender.done(&app, PAGE, &Flash::done("OBS is asked again. What comes of it stands here in a moment.")))
}

/// What a switch sends.
#[derive(Deserialize)]
struct Switched {
    on: bool,
}

async fn stream(
    State(app): State<Arc<App>>,
    by: By,
    sender: Sender,
    Form(to): Form<Switched>,
) -> Result<Response, Problem> {
    obs::stream(&app.control, &by, to.on).await?;
    let text = if to.on {
        "OBS was told to start its stream. Whether it works stands here in a moment."
    } else {
        "OBS was told to stop its stream."
    };
    Ok(sender.done(&app, PAGE, &Flash::done(text)))
}

async fn set_up(State(app): State<Arc<App>>, by: By, sender: Sender) -> Result<Response, Problem> {
    let done = obs::set_up(&app.control, &by).await?;
    let text = if done.built.made.is_empty() {
        "Everything was there already: nothing in OBS was changed.".to_owned()
    } else {
        format!("Made in OBS: {}.", done.built.made.join(", "))
    };
    let text = if done.set.is_empty() { text } else { format!("{text} The settings below use it.") };
    Ok(sender.go(&app, PAGE, Some(&Flash::done(text))))
}

async fn program(
    State(app): State<Arc<App>>,
    by: By,
    sender: Sender,
    Form(source): Form<ProgramSource>,
) -> Result<Response, Problem> {
    let text = format!("{} plays the programme.", source.input);
    obs::play(&app.control, &by, source).await?;
    Ok(sender.go(&app, &format!("{PAGE}#program"), Some(&Flash::done(text))))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::obs::InputInfo;

    fn setting(key: &'static str, value: Value) -> SettingView {
        SettingView {
            key,
            value,
            default: Value::Null,
            unit: None,
            shape: "a name".to_owned(),
            about: String::new(),
            origin: "built in".to_owned(),
            applies: "at_once",
            locked: None,
            waits_for_start: false,
            row: config::KEYS.first().unwrap(),
        }
    }

    fn inventory() -> Inventory {
        let input = |name: &str, role| InputInfo { name: name.to_owned(), kind: String::new(), role };
        Inventory {
            scenes: vec!["Live".to_owned(), "Break".to_owned()],
            inputs: vec![
                input("Title", InputRole::Text),
                input("Clip", InputRole::Media),
                input("Page", InputRole::Browser),
                input("Camera", InputRole::Other),
            ],
            kinds: Vec::new(),
        }
    }

    /// Names that are offered, with what is chosen and what is the matter.
    fn offered(value: Value, asked: Asked) -> Vec<(String, bool, Option<&'static str>)> {
        let field = Field::new(setting("obs.x", value), asked, Some(&inventory()));
        field.choices.unwrap().into_iter().map(|choice| (choice.name, choice.chosen, choice.note)).collect()
    }

    #[test]
    fn choices_are_what_obs_has_of_the_kind_and_what_is_set_though_it_is_gone() {
        let plain = |name: &str, chosen| (name.to_owned(), chosen, None);
        let odd = |name: &str, note| (name.to_owned(), true, Some(note));
        let role = InputRole::Text;
        assert_eq!(offered("Live".into(), Asked::Scene), [plain("Live", true), plain("Break", false)]);
        let gone = [odd("Gone", "not in OBS"), plain("Live", false), plain("Break", false)];
        assert_eq!(offered("Gone".into(), Asked::Scene), gone);
        assert_eq!(offered(Value::Null, Asked::One(role)), [plain("Title", false)]);
        assert_eq!(offered("Clip".into(), Asked::One(role)), [odd("Clip", "of another kind"), plain("Title", false)]);
        let restartable = [plain("Clip", true), plain("Page", false)];
        assert_eq!(offered(Value::from(vec!["Clip"]), Asked::Restartable), restartable);
        assert_eq!(offered(Value::from(vec!["Group"]), Asked::Some).len(), 5);
        assert!(Field::new(setting("obs.x", Value::Null), Asked::Scene, None).choices.is_none());
    }

    #[test]
    fn every_key_of_obs_is_on_the_page() {
        let asked: Vec<_> = MAPPING.iter().flat_map(|(_, keys)| keys.iter().map(|(key, ..)| *key)).collect();
        let others = ["obs.host", "obs.port", "obs.password", "obs.program_source"];
        let all = config::KEYS.iter().map(|key| key.path).filter(|key| key.starts_with("obs."));
        for key in all {
            assert!(asked.contains(&key) || others.contains(&key), "{key}");
        }
    }

    #[test]
    fn words_become_sentences_once() {
        assert_eq!(sentence("the connection was lost"), "The connection was lost.");
        assert_eq!(sentence("is it on? (refused)"), "Is it on? (refused)");
        assert_eq!(sentence(""), ".");
    }
}
