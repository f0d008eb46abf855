//! Changes of the settings: checked, written, put into effect where that can be done at once, and told.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde_json::Value;
use tokio::{task::spawn_blocking, time::timeout};
use utoipa::ToSchema;

use super::{
    denied::Denied,
    journal::By,
    news::News,
    room::{Control, to_the_end},
};
use crate::{
    config::{Config, NetworkConfig, ObsConfig, Proposal, SettingView},
    director,
    media::slate::{self, SlateError, SlateSettings},
};

/// How long an answer waits for the slate.
const SLATE_TIME: Duration = Duration::from_secs(4);

/// What a change led to.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Changed {
    /// The keys that were named, as they are now.
    pub(crate) settings: Vec<SettingView>,
    /// What did not take effect at once, and why, in words.
    pub(crate) notes: Vec<String>,
}

/// Changes settings, all of them or none: checked, written, and put into effect where that can be done at once. Null takes a setting
/// back to what it was without the page.
///
/// # Errors
/// The first key that is unknown, locked or wrong; then nothing has changed.
pub(crate) async fn change(control: &Control, by: &By, edits: BTreeMap<String, Value>) -> Result<Changed, Denied> {
    by.did("settings.change", edits.keys().map(String::as_str).collect::<Vec<_>>().join(", "));
    let control = control.clone();
    to_the_end(async move { apply(&control, edits).await }).await
}

/// As [`change`], as a part of another order, which has words of its own.
pub(super) async fn apply(control: &Control, edits: BTreeMap<String, Value>) -> Result<Changed, Denied> {
    let _turn = control.room().settings_turn.lock().await;
    let proposal = propose(control, edits, false).await?;
    write(control, proposal).await
}

/// Checks a change. Whoever calls this holds `settings_turn` until it is written. `own`: keys that are set by other ways than their value.
pub(super) async fn propose(control: &Control, edits: BTreeMap<String, Value>, own: bool) -> Result<Proposal, Denied> {
    let settings = control.parts().settings.clone();
    let proposed = move || if own { settings.propose_own(&edits) } else { settings.propose(&edits) };
    Ok(spawn_blocking(proposed).await.map_err(|_| Denied::BrokenOff)??)
}

/// Writes a change that was checked, and puts it into effect.
pub(super) async fn write(control: &Control, proposal: Proposal) -> Result<Changed, Denied> {
    let keys = proposal.keys.clone();
    let (before, settings) = (control.config(), control.parts().settings.clone());
    let now = spawn_blocking(move || settings.write(&proposal)).await.map_err(|_| Denied::BrokenOff)??;
    control.parts().accounts.set_policy(now.accounts.registration);
    // Whoever follows looks the values up, and does not wait for what takes longer.
    control.tell(News::SettingsChanged(keys.clone()));
    let mut notes = put_into_effect(control, &before, &now).await;
    let view = control.parts().settings.view();
    let waiting = view.iter().filter(|setting| keys.contains(&setting.key) && setting.waits_for_start);
    notes.extend(waiting.map(|setting| format!("{} takes effect at the next start of the box", setting.key)));
    let settings = view.into_iter().filter(|setting| keys.contains(&setting.key)).collect();
    Ok(Changed { settings, notes })
}

/// Has done what follows from a change. What cannot be done now is done by the next start, and said.
async fn put_into_effect(control: &Control, before: &Config, now: &Arc<Config>) -> Vec<String> {
    let mut notes = Vec::new();
    let rules = |config: &Config| director::settings(&config.queue, &control.config().ingest);
    if rules(before) != rules(now)
        && let Err(error) = control.parts().director.configure(rules(now)).await
    {
        notes.push(format!("the queue follows its new settings from the next start of the box on: {error}"));
    }
    control.parts().media.set_idle_end(now.program.idle_end());
    if !same_obs(&before.obs, &now.obs) {
        control.parts().obs.configure(now.obs.clone());
    }
    if !same_network(&before.network, &now.network) {
        control.parts().network.configure(now.network.clone());
    }
    let look = |config: &Config| (config.venue.name.clone(), config.program.slate.clone(), config.program.slate_sound);
    if look(before) != look(now)
        && let Err(note) = show_slate(control, now).await
    {
        notes.push(note);
    }
    notes
}

/// Whether nothing of `[obs]` has changed.
fn same_obs(before: &ObsConfig, now: &ObsConfig) -> bool {
    // The text has everything but the password, which it hides.
    format!("{before:?}") == format!("{now:?}") && same_secret(before.password.as_ref(), now.password.as_ref())
}

/// Whether nothing of `[network]` has changed.
fn same_network(before: &NetworkConfig, now: &NetworkConfig) -> bool {
    let same = same_secret(before.setup_password.as_ref(), now.setup_password.as_ref());
    format!("{before:?}") == format!("{now:?}") && same
}

fn same_secret(before: Option<&SecretString>, now: Option<&SecretString>) -> bool {
    before.map(ExposeSecret::expose_secret) == now.map(ExposeSecret::expose_secret)
}

/// Renders the slate and has it shown, in the background if that takes long: it is a fraction of a second's work on a machine that has
/// nothing else to do.
async fn show_slate(control: &Control, config: &Arc<Config>) -> Result<(), String> {
    let turn = control.room().slates.fetch_add(1, Ordering::SeqCst) + 1;
    let (control, config) = (control.clone(), Arc::clone(config));
    let rendering = spawn_blocking(move || {
        let slate = slate::kept(&config.data_dir, SlateSettings::of(&config))?;
        // Unless another was asked for meanwhile.
        if control.room().slates.load(Ordering::SeqCst) == turn {
            control.parts().media.set_slate(slate);
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
