//! Everything that the box remembers as one file, and its way back.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use axum::{
    Json,
    extract::{Request, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use serde::Serialize;
use tokio::task::spawn_blocking;
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::{
    App,
    audit::By,
    page::{flash::Flash, form::Sender},
    problem::{Kind, Problem},
    rights::{Right, Routes},
    to_the_end,
    upload::Upload,
};
use crate::{
    config::ChangeError,
    media::slate,
    store::backup::{self, Backup, BackupError, LARGEST},
};

/// The largest form with a backup in it.
const LARGEST_FORM: usize = LARGEST + 64 * 1024;

/// How one arrives.
const FILE: Upload = Upload {
    name: "the backup",
    field: "backup",
    time: Duration::from_mins(2),
    largest: LARGEST,
    too_large: "a backup is 32 MB at most; this is another file",
    too_slow: "the backup took more than two minutes to arrive",
};

/// Where the page's forms lead to.
const PAGE: &str = "/admin/system#backup";

pub(crate) fn routes() -> Routes {
    Routes::new()
        .api(Right::Admin, routes!(download, discard))
        .upload(Right::Admin, LARGEST, routes!(restore))
        .form_upload(Right::Admin, LARGEST_FORM, "/admin/backup/restore", restore_form)
        .form(Right::Admin, "/admin/backup/discard", discard_form)
}

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
    /// Keys of its settings that are left out: only the file of the box's own configuration, or a USB stick, may set them.
    left_out: Vec<&'static str>,
}

impl Restored {
    fn words(&self) -> String {
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
        format!(
            "The backup of {} with {accounts} is checked and lies ready: it takes the place of everything at the next start of the box. What \
             happens until then is not in it.{left_out}",
            self.made.strftime("%F %R UTC")
        )
    }
}

/// Accounts, queue, history, destinations, settings and the slate as one file. It holds stream keys and the platforms' keys: keep it as you
/// keep those. Web sessions are not in it.
#[utoipa::path(get, path = "/api/v1/backup", tag = "system",
    responses((status = 200, description = "The backup", body = Vec<u8>, content_type = "application/zip")))]
async fn download(State(app): State<Arc<App>>, by: By) -> Result<Response, Problem> {
    by.did("backup.download", "");
    let tables = app.state.store.dump().await?;
    let data_dir = app.state.config.data_dir.clone();
    let now = jiff::Timestamp::now();
    let file = spawn_blocking(move || {
        let settings = read_settings(&data_dir)?;
        let slate = settings.as_deref().and_then(|settings| slate_of(settings, &data_dir));
        backup::pack(&tables, settings.as_deref(), slate.as_ref(), now)
    });
    let file = file.await.map_err(|_| Problem::ours())?;
    let file =
        file.map_err(|error| Problem::new(Kind::Internal, format!("the backup could not be packed: {error}")))?;
    let name = format!("motherstream-backup-{}.zip", now.strftime("%Y-%m-%d-%H%M"));
    let head = [
        (header::CONTENT_TYPE, "application/zip".to_owned()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")),
    ];
    Ok((head, file).into_response())
}

fn read_settings(data_dir: &Path) -> std::io::Result<Option<String>> {
    match std::fs::read_to_string(data_dir.join("settings.toml")) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
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

/// Restores a backup at the next start of the box, in place of everything that it remembers. It is checked completely before anything is
/// kept. Not during a show.
#[utoipa::path(put, path = "/api/v1/backup", tag = "system",
    request_body(content = Vec<u8>, content_type = "application/zip", description = "The backup"),
    responses((status = 200, description = "It lies ready for the next start", body = Restored),
        (status = 409, description = "A show is on"),
        (status = 422, description = "The file is no backup that this box can restore")))]
async fn restore(State(app): State<Arc<App>>, by: By, request: Request) -> Result<Json<Restored>, Problem> {
    let file = FILE.body(request).await?;
    to_the_end(async move { stage(&app, &by, file).await.map(Json) }).await
}

/// Discards a backup that lies ready for the next start.
#[utoipa::path(delete, path = "/api/v1/backup", tag = "system",
    responses((status = 204, description = "Nothing lies ready any more")))]
async fn discard(State(app): State<Arc<App>>, by: By) -> Result<StatusCode, Problem> {
    unstage(&app, &by).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn restore_form(
    State(app): State<Arc<App>>,
    by: By,
    sender: Sender,
    request: Request,
) -> Result<Response, Problem> {
    let (file, _) = FILE.form(request, None).await?;
    if file.is_empty() {
        return Err(Problem::invalid("backup", "choose a backup first"));
    }
    let shared = Arc::clone(&app);
    let restored = to_the_end(async move { stage(&shared, &by, file).await }).await?;
    Ok(sender.go(&app, PAGE, Some(&Flash::done(restored.words()))))
}

async fn discard_form(State(app): State<Arc<App>>, by: By, sender: Sender) -> Result<Response, Problem> {
    unstage(&app, &by).await?;
    Ok(sender.go(&app, PAGE, Some(&Flash::done("The backup is not restored. Everything stays as it is."))))
}

/// Checks a backup and lays it ready for the next start.
///
/// # Errors
/// When a show is on, and what is wrong with it; then nothing has changed.
async fn stage(app: &Arc<App>, by: &By, file: Bytes) -> Result<Restored, Problem> {
    by.did("backup.restore", "");
    if app.state.director.snapshot().borrow().queue.show {
        return Err(Problem::new(Kind::Refused, "a show is on: end it first, then restore the backup"));
    }
    if let Some(why) = app.state.updates.memory_disk() {
        let detail = format!("{why} A backup that is restored now would be too: write a new card first");
        return Err(Problem::new(Kind::Refused, detail));
    }
    let _turn = app.settings_turn.lock().await;
    let (settings, data_dir) = (app.state.settings.clone(), app.state.config.data_dir.clone());
    let staged = spawn_blocking(move || {
        let mut backup: Backup = backup::unpack(&file).map_err(|error| refused(&error))?;
        if let Some(picture) = &backup.slate {
            slate::check(picture).map_err(|reason| {
                Problem::invalid("backup", format!("its picture for the slate can not be used: {reason}"))
            })?;
        }
        let mut left_out = Vec::new();
        if let Some(text) = &mut backup.settings {
            let kept = settings.restorable(text);
            (*text, left_out) = kept.map_err(|error| match error {
                ChangeError::File { .. } => Problem::from(error),
                error => Problem::invalid("backup", format!("its settings can not be read: {error}")),
            })?;
            *text = at_home(text, &data_dir);
            settings.check(text).map_err(|error| {
                let first = error.problems.first();
                let reason = first.map(|problem| format!("{}: {}", problem.field, problem.reason)).unwrap_or_default();
                Problem::invalid("backup", format!("its settings do not fit this box: {reason}"))
            })?;
        }
        let accounts = backup.stage(&data_dir).map_err(|error| refused(&error))?;
        Ok(Restored { accounts, made: backup.manifest.made, version: backup.manifest.version, left_out })
    });
    staged.await.map_err(|_| Problem::ours())?
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

async fn unstage(app: &Arc<App>, by: &By) -> Result<(), Problem> {
    by.did("backup.discard", "");
    let _turn = app.settings_turn.lock().await;
    let data_dir = app.state.config.data_dir.clone();
    let done = spawn_blocking(move || backup::discard(&data_dir)).await.map_err(|_| Problem::ours())?;
    done.map_err(|error| Problem::new(Kind::NotStored, format!("the backup could not be discarded: {error}")))
}

fn refused(error: &BackupError) -> Problem {
    match error {
        BackupError::Io(_) => Problem::new(Kind::NotStored, error.to_string()),
        BackupError::Store(store) => Problem::from(store.clone()),
        BackupError::Damaged(_) | BackupError::TooNew(_) => Problem::invalid("backup", error.to_string()),
    }
}
