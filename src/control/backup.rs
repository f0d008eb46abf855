//! Everything that the box remembers as one file, and its way back.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;
use utoipa::{IntoParams, ToSchema};

use super::{
    denied::Denied,
    journal::By,
    room::{Control, to_the_end},
};
use crate::{
    config::ChangeError,
    media::slate,
    store::backup::{self, Backup, BackupError},
};

/// What lies ready for the next start.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Restored {
    /// How many accounts it has.
    accounts: usize,
    /// When the backup was made.
    #[schema(value_type = String)]
    made: jiff::Timestamp,
    /// The version of the program that made it.
    version: String,
    /// How many Wi-Fi networks it has, which the box then knows too.
    networks: usize,
    /// Keys of its settings that are left out: only the file of the box's own configuration, or a USB stick, may set them.
    left_out: Vec<&'static str>,
}

impl Restored {
    /// What is said to whoever restored it.
    pub(crate) fn words(&self) -> String {
        let left_out = match self.left_out.as_slice() {
            [] => String::new(),
            keys => format!(
                " Of its settings {} are left out: set them by a USB stick, or where the box is installed.",
                keys.join(", ")
            ),
        };
        let accounts = match self.accounts {
            1 => "1 account".to_owned(),
            more => format!("{more} accounts"),
        };
        let networks = match self.networks {
            0 => String::new(),
            1 => " and 1 Wi-Fi network".to_owned(),
            more => format!(" and {more} Wi-Fi networks"),
        };
        format!(
            "The backup of {} with {accounts}{networks} is checked and lies ready: it takes the place of everything at the next start of the box. What \
             happens until then is not in it.{left_out}",
            self.made.strftime("%F %R UTC")
        )
    }
}

/// What a backup holds beside what it always does.
#[derive(Clone, Copy, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Packing {
    /// Also the Wi-Fi networks that the box knows, with their passwords in the clear. Only on a box that runs the image.
    #[serde(default)]
    pub(crate) wifi: bool,
}

/// Packs everything into one file. Gives it with the time that it is of.
///
/// # Errors
/// When the store cannot be read, something could not be packed, or the network does not tell what is asked of it.
pub(crate) async fn pack(control: &Control, by: &By, what: Packing) -> Result<(Vec<u8>, jiff::Timestamp), Denied> {
    by.did("backup.download", if what.wifi { "with the Wi-Fi passwords" } else { "" });
    let wifi = if what.wifi { control.parts().network.saved().await? } else { Vec::new() };
    // All that the box remembers is in memory for it, twice.
    let turn = control.room().heavy.clone().lock_owned().await;
    let tables = control.parts().store.dump().await?;
    let (settings, data_dir) = (control.parts().settings.clone(), control.config().data_dir.clone());
    let now = jiff::Timestamp::now();
    let file = spawn_blocking(move || {
        // Until it is packed, whether who asked still waits or not.
        let _turn = turn;
        let settings = settings.text();
        let slate = settings.as_deref().and_then(|settings| slate_of(settings, &data_dir));
        backup::pack(&tables, settings.as_deref(), slate.as_ref(), &wifi, now)
    });
    let file = file.await.map_err(|_| Denied::BrokenOff)?;
    Ok((file.map_err(|error| Denied::Failed(format!("the backup could not be packed: {error}")))?, now))
}

/// Whether a backup lies ready for the next start.
pub(crate) fn is_staged(control: &Control) -> bool {
    backup::is_staged(&control.config().data_dir)
}

/// The picture that the settings name, if it lies in the data folder.
fn slate_of(settings: &str, data_dir: &Path) -> Option<(String, Vec<u8>)> {
    let path = slate_path(settings)?;
    let name = path.file_name()?.to_str().filter(|name| backup::is_picture(name))?.to_owned();
    let picture = std::fs::read(data_dir.join(&name)).ok()?;
    Some((name, picture))
}

fn slate_path(settings: &str) -> Option<PathBuf> {
    let settings: toml::Table = settings.parse().ok()?;
    settings.get("program")?.get("slate")?.as_str().map(PathBuf::from)
}

/// How a backup is restored.
#[derive(Clone, Copy, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Restoring {
    /// Also one without an admin who could sign in: the box then comes up without an owner, and makes a new setup code.
    #[serde(default)]
    pub(crate) without_admin: bool,
}

/// Checks a backup and lays it ready for the next start.
///
/// # Errors
/// When a show is on, and what is wrong with it; then nothing has changed.
pub(crate) async fn stage(control: &Control, by: &By, file: Bytes, how: Restoring) -> Result<Restored, Denied> {
    by.did("backup.restore", "");
    if control.snapshot().queue.show {
        return Err(Denied::not_now("a show is on: end it first, then restore the backup"));
    }
    if let Some(why) = control.parts().updates.memory_disk() {
        let detail = format!("{why} A backup that is restored now would be too: write a new card first");
        return Err(Denied::not_now(detail));
    }
    let control = control.clone();
    to_the_end(async move { check_and_stage(&control, file, how).await }).await
}

async fn check_and_stage(control: &Control, file: Bytes, how: Restoring) -> Result<Restored, Denied> {
    let _turn = control.room().settings_turn.lock().await;
    let (settings, data_dir) = (control.parts().settings.clone(), control.config().data_dir.clone());
    let sets_network = control.network().own;
    // `admin.token` runs the box whatever the accounts are, and no backup brings or takes it.
    let without_admin = how.without_admin || control.config().admin.token.is_some();
    let staged = spawn_blocking(move || {
        let mut backup: Backup = backup::unpack(&file).map_err(|error| refused(&error))?;
        if let Some(picture) = &backup.slate {
            slate::check(picture).map_err(|reason| {
                Denied::invalid("backup", format!("its picture for the slate cannot be used: {reason}"))
            })?;
        }
        if !sets_network {
            // On somebody's own computer the network is theirs, and passwords would lie there for nothing.
            backup.wifi.clear();
        }
        let mut left_out = Vec::new();
        if let Some(text) = &mut backup.settings {
            let kept = settings.restorable(text);
            (*text, left_out) = kept.map_err(|error| match error {
                ChangeError::File { .. } => Denied::from(error),
                error => Denied::invalid("backup", format!("its settings cannot be read: {error}")),
            })?;
            *text = at_home(text, &data_dir);
            settings.check(text).map_err(|error| {
                let first = error.problems.first();
                let reason = first.map(|problem| format!("{}: {}", problem.field, problem.reason)).unwrap_or_default();
                Denied::invalid("backup", format!("its settings do not fit this box: {reason}"))
            })?;
        }
        let accounts = backup.stage(&data_dir, without_admin).map_err(|error| refused(&error))?;
        let networks = backup.wifi.len();
        Ok(Restored { accounts, networks, made: backup.manifest.made, version: backup.manifest.version, left_out })
    });
    staged.await.map_err(|_| Denied::BrokenOff)?
}

/// Settings that name a picture of the data folder name it in this one.
fn at_home(settings: &str, data_dir: &Path) -> String {
    let Some(name) = slate_path(settings).and_then(|path| Some(path.file_name()?.to_owned())) else {
        return settings.to_owned();
    };
    let Ok(mut document) = settings.parse::<toml_edit::DocumentMut>() else { return settings.to_owned() };
    if let Some(program) = document.get_mut("program").and_then(|program| program.as_table_like_mut()) {
        program.insert("slate", toml_edit::value(data_dir.join(name).display().to_string()));
    }
    document.to_string()
}

/// Discards a backup that lies ready for the next start.
///
/// # Errors
/// When it cannot be removed.
pub(crate) async fn unstage(control: &Control, by: &By) -> Result<(), Denied> {
    by.did("backup.discard", "");
    let _turn = control.room().settings_turn.lock().await;
    let data_dir = control.config().data_dir.clone();
    let done = spawn_blocking(move || backup::discard(&data_dir)).await.map_err(|_| Denied::BrokenOff)?;
    done.map_err(|error| Denied::NotStored(format!("the backup could not be discarded: {error}")))
}

fn refused(error: &BackupError) -> Denied {
    match error {
        BackupError::Io(_) => Denied::NotStored(error.to_string()),
        BackupError::Store(store) => Denied::from(store.clone()),
        BackupError::Damaged(_) | BackupError::TooNew(_) | BackupError::NoAdmin => {
            Denied::invalid("backup", error.to_string())
        }
    }
}
