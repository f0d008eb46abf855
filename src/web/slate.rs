//! The venue's slate picture: uploaded, looked at, taken away. The file lies in the data folder under a name made of its content, and
//! `program.slate` of the page's own settings points at it: a power cut leaves the old picture or the new one.

use std::{collections::BTreeMap, fs, path::PathBuf, sync::Arc, time::Duration};

use axum::{
    Json,
    body::Body as HttpBody,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use data_encoding::HEXLOWER;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::task::spawn_blocking;
use utoipa_axum::routes;

use super::{
    App,
    audit::By,
    page::{
        flash::Flash,
        form::{Sender, local},
    },
    problem::{Kind, Problem},
    rights::{Right, Routes},
    settings::{Changed, propose, write},
    to_the_end,
    upload::Upload,
};
use crate::{
    config::{Config, SlateSound},
    files::{self, Readers},
    media::slate::{self, PictureKind, SlateSettings},
    store::backup::{PICTURE, is_picture},
};

/// The largest picture, in bytes.
pub(crate) const LARGEST: usize = 8 * 1024 * 1024;

/// The largest form with a picture in it.
const LARGEST_FORM: usize = LARGEST + 64 * 1024;

/// How one arrives: 8 MB over a poor Wi-Fi.
const FILE: Upload = Upload {
    name: "the picture",
    field: "picture",
    time: Duration::from_mins(1),
    largest: LARGEST,
    too_large: "a picture may be 8 MB at most; save it smaller",
    too_slow: "the picture took more than a minute to arrive",
};

/// The configuration's key.
const KEY: &str = "program.slate";

/// Where the page's forms lead to.
const PAGE: &str = "/admin/settings";

pub(crate) fn routes() -> Routes {
    Routes::new()
        .upload(Right::Admin, LARGEST, routes!(put))
        .api(Right::Operator, routes!(show))
        .api(Right::Admin, routes!(remove))
        .form_upload(Right::Admin, LARGEST_FORM, "/admin/slate-picture", upload_form)
        .form(Right::Admin, "/admin/slate-picture/remove", remove_form)
}

/// Sets the picture that stands in while nobody is on air: a PNG or JPEG of up to 8 MB and 6000 pixels a side, scaled to fit. It is
/// shown at once.
#[utoipa::path(put, path = "/api/v1/slate", tag = "settings",
    request_body(content = Vec<u8>, content_type = "image/png", description = "The picture: image/png or image/jpeg"),
    responses((status = 200, description = "What changed", body = Changed),
        (status = 409, description = "It is set by the configuration")))]
async fn put(State(app): State<Arc<App>>, by: By, request: Request) -> Result<Json<Changed>, Problem> {
    let picture = FILE.body(request).await?;
    to_the_end(async move { set(&app, &by, picture).await.map(Json) }).await
}

/// The slate's picture as it is shown: the venue's own, or the built-in one with the venue's name. 1280 x 720 pixels.
#[utoipa::path(get, path = "/api/v1/slate", tag = "settings",
    responses((status = 200, description = "The picture", body = Vec<u8>, content_type = "image/jpeg"),
        (status = 304, description = "As it was")))]
async fn show(State(app): State<Arc<App>>, headers: HeaderMap) -> Result<Response, Problem> {
    let config = app.state.settings.now();
    let tag = format!("\"{}\"", tag(&config));
    let head = [(header::ETAG, tag.clone()), (header::CACHE_CONTROL, "private, no-cache".to_owned())];
    if headers.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes()) {
        return Ok((StatusCode::NOT_MODIFIED, head).into_response());
    }
    let picture = spawn_blocking(move || slate::still(settings(&config))).await.map_err(|_| Problem::ours())?;
    let picture = picture.map_err(|error| Problem::new(Kind::Internal, error.to_string()))?;
    Ok((head, [(header::CONTENT_TYPE, HeaderValue::from_static("image/jpeg"))], HttpBody::from(picture))
        .into_response())
}

/// Takes the page's picture away: that of the configuration file is shown again, or the built-in one.
#[utoipa::path(delete, path = "/api/v1/slate", tag = "settings",
    responses((status = 200, description = "What changed", body = Changed),
        (status = 409, description = "It is set by the configuration"),
        (status = 422, description = "The settings do not fit together without it")))]
async fn remove(State(app): State<Arc<App>>, by: By) -> Result<Json<Changed>, Problem> {
    to_the_end(async move { unset(&app, &by).await.map(Json) }).await
}

/// What the page's form sends: a field `picture` with a file, and `back`, where to go afterwards.
async fn upload_form(
    State(app): State<Arc<App>>,
    by: By,
    sender: Sender,
    request: Request,
) -> Result<Response, Problem> {
    let (picture, back) = FILE.form(request, Some("back")).await?;
    let back = local(back.as_deref().unwrap_or(PAGE));
    if picture.is_empty() {
        return Err(Problem::invalid("picture", "choose a picture first: a PNG or a JPEG"));
    }
    let shared = Arc::clone(&app);
    let changed = to_the_end(async move { set(&shared, &by, picture).await }).await?;
    Ok(sender.go(&app, back, Some(&Flash::done(told("The slate shows your picture.", &changed)))))
}

async fn remove_form(State(app): State<Arc<App>>, by: By, sender: Sender) -> Result<Response, Problem> {
    let shared = Arc::clone(&app);
    let changed = to_the_end(async move { unset(&shared, &by).await }).await?;
    Ok(sender.go(&app, PAGE, Some(&Flash::done(told("Your picture is gone from the slate.", &changed)))))
}

fn told(what: &str, changed: &Changed) -> String {
    changed.notes.iter().fold(what.to_owned(), |text, note| format!("{text} {note}."))
}

/// Checks a picture, keeps it, and has it shown.
///
/// # Errors
/// What is wrong with it, or that it could not be kept; then nothing has changed.
pub(crate) async fn set(app: &Arc<App>, by: &By, picture: Bytes) -> Result<Changed, Problem> {
    by.did("slate.set", "");
    let _turn = app.settings_turn.lock().await;
    let checked = picture.clone();
    // Before anything is written: what does not decode never comes near the disk.
    let kind = spawn_blocking(move || slate::check(&checked)).await.map_err(|_| Problem::ours())?;
    let kind = kind.map_err(|reason| Problem::invalid("picture", format!("this picture can not be used: {reason}")))?;
    let ending = match kind {
        PictureKind::Png => "png",
        PictureKind::Jpeg => "jpg",
    };
    let digest = HEXLOWER.encode(&Sha256::digest(&picture));
    let name = format!("{PICTURE}{}.{ending}", digest.get(..16).unwrap_or_default());
    let folder = app.state.config.data_dir.clone();
    let path = folder.join(&name);
    let kept = path.clone();
    let stored = spawn_blocking(move || files::replace(&kept, &picture, Readers::Everybody))
        .await
        .map_err(|_| Problem::ours())?;
    stored.map_err(|error| Problem::new(Kind::NotStored, format!("the picture could not be kept: {error}")))?;
    let edits = BTreeMap::from([(KEY.to_owned(), Value::from(path.display().to_string()))]);
    let changed = async { write(app, propose(app, edits, true).await?).await }.await;
    tidy(app, folder).await;
    changed
}

/// Takes the page's picture away.
///
/// # Errors
/// When that could not be written; then nothing has changed.
pub(crate) async fn unset(app: &Arc<App>, by: &By) -> Result<Changed, Problem> {
    by.did("slate.remove", "");
    let _turn = app.settings_turn.lock().await;
    let changed = write(app, propose(app, BTreeMap::from([(KEY.to_owned(), Value::Null)]), true).await?).await;
    tidy(app, app.state.config.data_dir.clone()).await;
    changed
}

/// Removes pictures that are shown no more. One that stays does no harm.
async fn tidy(app: &App, folder: PathBuf) {
    let shown = app.state.settings.now().program.slate.clone();
    let tidied = spawn_blocking(move || {
        for file in fs::read_dir(folder).into_iter().flatten().flatten() {
            let ours = file.file_name().to_str().is_some_and(is_ours);
            if ours && shown.as_ref().is_none_or(|shown| shown.file_name() != Some(&file.file_name())) {
                let _gone = fs::remove_file(file.path());
            }
        }
    });
    let _done = tidied.await;
}

/// Whether a file is one of these, or a half of one: nothing else in the data folder is touched.
fn is_ours(name: &str) -> bool {
    is_picture(name.strip_suffix(files::NEW).unwrap_or(name))
}

/// What the configuration says of the slate.
fn settings(config: &Config) -> SlateSettings<'_> {
    SlateSettings {
        venue: &config.venue.name,
        picture: config.program.slate.as_deref(),
        tone: config.program.slate_sound == SlateSound::Tone,
    }
}

/// Changes with the picture.
fn tag(config: &Config) -> String {
    let look = format!("{}\0{:?}\0{}", config.venue.name, config.program.slate, env!("CARGO_PKG_VERSION"));
    HEXLOWER.encode(Sha256::digest(look).get(..8).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_old_pictures_is_removed() {
        for (name, ours) in [
            ("slate-0123456789abcdef.png", true),
            ("slate-0123456789abcdef.jpg", true),
            ("slate-0123456789abcdef.png.new", true),
            ("slate-of-ours.png", false),
            ("slate-0123456789abcdef.redb", false),
            ("motherstream.redb", false),
            ("settings.toml", false),
        ] {
            assert_eq!(is_ours(name), ours, "{name}");
        }
    }
}
