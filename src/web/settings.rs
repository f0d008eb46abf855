//! Settings: every key of the configuration, and changes of those that may be changed here.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use axum::{Json, extract::State};
use secrecy::ExposeSecret as _;
use serde::Serialize;
use serde_json::Value;
use tokio::{task::spawn_blocking, time::timeout};
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::{
    App,
    audit::By,
    body::Body,
    problem::{Kind, Problem},
    rights::{Right, Routes},
    to_the_end,
};
use crate::{
    config::{ChangeError, Config, ObsConfig, Proposal, SettingView, SlateSound},
    director,
    media::slate::{self, SlateError, SlateSettings},
};

/// How long an answer waits for the slate.
const SLATE_TIME: Duration = Duration::from_secs(4);

pub(crate) fn routes() -> Routes {
    Routes::new().api(Right::Admin, routes!(settings, change_settings))
}

/// What a change led to.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Changed {
    /// The keys that were named, as they are now.
    pub(crate) settings: Vec<SettingView>,
    /// What did not take effect at once, and why, in words.
    pub(crate) notes: Vec<String>,
}

/// Every key of the configuration: its value, default, unit, where it comes from, and whether and when a change takes effect. Secrets
/// are redacted.
#[utoipa::path(get, path = "/api/v1/settings", tag = "settings",
    responses((status = 200, description = "Every key", body = Vec<SettingView>)))]
async fn settings(State(app): State<Arc<App>>) -> Json<Vec<SettingView>> {
    Json(app.state.settings.view())
}

/// Changes settings, all of them or none: `{"queue.turn_seconds": 900, "venue.name": null}`. Null takes a setting back to what it was
/// without the page. Checked as at the start of the box; kept in its data folder.
#[utoipa::path(patch, path = "/api/v1/settings", tag = "settings",
    request_body(content = Object, description = "`section.key` and value"),
    responses((status = 200, description = "What changed", body = Changed),
        (status = 409, description = "A key is set where the page can not change it")))]
async fn change_settings(
    State(app): State<Arc<App>>,
    by: By,
    Body(edits): Body<BTreeMap<String, Value>>,
) -> Result<Json<Changed>, Problem> {
    by.did("settings.change", edits.keys().map(String::as_str).collect::<Vec<_>>().join(", "));
    to_the_end(async move { change(&app, edits).await.map(Json) }).await
}

/// Changes settings: checked, written, and put into effect where that can be done at once.
///
/// # Errors
/// The first key that is unknown, locked or wrong; then nothing has changed.
pub(crate) async fn change(app: &Arc<App>, edits: BTreeMap<String, Value>) -> Result<Changed, Problem> {
    let _turn = app.settings_turn.lock().await;
    let proposal = propose(app, edits, false).await?;
    write(app, proposal).await
}

/// Checks a change. Whoever calls this holds `settings_turn` until it is written. `own`: keys that are set by other ways than their value.
pub(crate) async fn propose(app: &Arc<App>, edits: BTreeMap<String, Value>, own: bool) -> Result<Proposal, Problem> {
    let settings = app.state.settings.clone();
    let proposed = move || if own { settings.propose_own(&edits) } else { settings.propose(&edits) };
    Ok(spawn_blocking(proposed).await.map_err(|_| Problem::ours())??)
}

/// Writes a change that was checked, and puts it into effect.
pub(crate) async fn write(app: &Arc<App>, proposal: Proposal) -> Result<Changed, Problem> {
    let keys = proposal.keys.clone();
    let (before, settings) = (app.state.settings.now(), app.state.settings.clone());
    let now = spawn_blocking(move || settings.write(&proposal)).await.map_err(|_| Problem::ours())??;
    let mut notes = put_into_effect(app, &before, &now).await;
    let view = app.state.settings.view();
    let waiting = view.iter().filter(|setting| keys.contains(&setting.key) && setting.waits_for_start);
    notes.extend(waiting.map(|setting| format!("{} takes effect at the next start of the box", setting.key)));
    let settings = view.into_iter().filter(|setting| keys.contains(&setting.key)).collect();
    Ok(Changed { settings, notes })
}

/// Tells everybody whom it concerns. What can not be done now is done by the next start, and said.
pub(crate) async fn put_into_effect(app: &Arc<App>, before: &Config, now: &Config) -> Vec<String> {
    let mut notes = Vec::new();
    app.state.accounts.set_policy(now.accounts.registration);
    let rules = |config: &Config| director::settings(&config.queue, &app.state.config.ingest);
    if rules(before) != rules(now)
        && let Err(error) = app.state.director.configure(rules(now)).await
    {
        notes.push(format!("the queue follows its new settings from the next start of the box on: {error}"));
    }
    app.state.media.set_idle_end(idle_end(now));
    if !same_obs(&before.obs, &now.obs) {
        app.state.obs.configure(now.obs.clone());
    }
    let look = |config: &Config| (config.venue.name.clone(), config.program.slate.clone(), config.program.slate_sound);
    if look(before) != look(now)
        && let Err(note) = show_slate(app, now).await
    {
        notes.push(note);
    }
    notes
}

/// Whether nothing of `[obs]` has changed.
fn same_obs(before: &ObsConfig, now: &ObsConfig) -> bool {
    let password = |config: &ObsConfig| config.password.as_ref().map(|secret| secret.expose_secret().to_owned());
    // The text has everything but the password, which it hides.
    format!("{before:?}") == format!("{now:?}") && password(before) == password(now)
}

fn idle_end(config: &Config) -> Option<Duration> {
    (config.program.idle_end_minutes > 0).then(|| Duration::from_secs(60 * config.program.idle_end_minutes))
}

/// Renders the slate and has it shown, in the background if that takes long: it is a fraction of a second's work on a machine that has
/// nothing else to do.
pub(crate) async fn show_slate(app: &Arc<App>, config: &Config) -> Result<(), String> {
    let (venue, picture) = (config.venue.name.clone(), config.program.slate.clone());
    let (tone, folder) = (config.program.slate_sound == SlateSound::Tone, config.data_dir.clone());
    let turn = app.slates.fetch_add(1, Ordering::SeqCst) + 1;
    let shared = Arc::clone(app);
    let rendering = spawn_blocking(move || {
        let slate = slate::kept(&folder, SlateSettings { venue: &venue, picture: picture.as_deref(), tone })?;
        // Unless another was asked for meanwhile.
        if shared.slates.load(Ordering::SeqCst) == turn {
            shared.state.media.set_slate(slate);
        }
        Ok::<_, SlateError>(())
    });
    match timeout(SLATE_TIME, rendering).await {
        Ok(Ok(Ok(()))) => Ok(()),
        Ok(Ok(Err(error))) => Err(format!("the slate stays as it is: {error}")),
        Ok(Err(_)) => Err("the slate stays as it is until the next start of the box".to_owned()),
        Err(_) => Err("the slate changes in a moment".to_owned()),
    }
}

impl From<ChangeError> for Problem {
    fn from(error: ChangeError) -> Self {
        let detail = error.to_string();
        match error {
            ChangeError::Locked { key, .. } => Self::new(Kind::Locked, detail).field(key),
            ChangeError::Unknown { key } | ChangeError::Invalid { key, .. } => Self::invalid(key, detail),
            ChangeError::File { .. } => Self::new(Kind::NotStored, detail),
        }
    }
}
