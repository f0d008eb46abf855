//! Updates, a restart of the machine, and the way back to the factory: where the box is an image of its own.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    body::Body as HttpBody,
    extract::{Request, State},
    http::StatusCode,
    response::Response,
};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use serde::{Deserialize, Serialize};
use tokio::{task::spawn_blocking, time::timeout};
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::{
    App,
    audit::By,
    body::Body,
    page::{
        flash::Flash,
        form::{Form, Sender},
    },
    problem::{Kind, Problem},
    rights::{Right, Routes},
    to_the_end, upload,
};
use crate::update::{LARGEST, Progress, Slots, UPLOAD_TIME, Update, UpdateError};

/// The largest body with an update in it.
#[expect(clippy::cast_possible_truncation, reason = "512 MB")]
const LARGEST_BODY: usize = LARGEST as usize + 64 * 1024;

/// A body with a file's name in it.
const SMALL_BODY: usize = 16 * 1024;

/// How long RAUC may take to tell of the two systems: a page waits for it.
const TELLING: Duration = Duration::from_secs(3);

/// How long the rest of an upload is read that is refused.
const READING_OUT: Duration = Duration::from_mins(2);

/// Where the page's forms lead to.
const PAGE: &str = "/admin/system#machine";

pub(crate) fn routes() -> Routes {
    Routes::new()
        .api(Right::Admin, routes!(update))
        .upload(Right::Admin, LARGEST_BODY, routes!(upload))
        // Not uploads, but as slow: RAUC looks at the file before there is an answer.
        .upload(Right::Admin, SMALL_BODY, routes!(from_stick))
        .api(Right::Admin, routes!(restart))
        .api(Right::Admin, routes!(factory_reset))
        .form_upload(Right::Admin, LARGEST_BODY, "/admin/update", upload_form)
        .form_upload(Right::Admin, SMALL_BODY, "/admin/update/stick", from_stick_form)
        .form(Right::Admin, "/admin/system/restart", restart_form)
        .form(Right::Admin, "/admin/system/factory-reset", factory_reset_form)
}

/// What there is to say of updates.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct UpdateView {
    /// What happens with one now.
    pub(crate) progress: Progress,
    /// The two systems; none while RAUC does not tell.
    pub(crate) systems: Option<Slots>,
    /// Updates on a USB stick labelled `MSTREAM-USB` that is plugged in.
    pub(crate) stick: Vec<String>,
    /// What became of the settings (`motherstream.toml`) on such a stick, in words.
    pub(crate) stick_settings: Option<String>,
}

/// How updates do on this box.
///
/// # Errors
/// Where the box does not keep two systems.
pub(crate) async fn look(app: &Arc<App>) -> Result<UpdateView, Problem> {
    let updates = app.state.updates.clone();
    if !updates.are_possible() {
        return Err(refused(&UpdateError::NoImage("keeps two systems")));
    }
    let systems = timeout(TELLING, updates.slots()).await.ok().and_then(Result::ok);
    let progress = updates.progress();
    let (stick, stick_settings) =
        spawn_blocking(move || (updates.offered(), updates.stick_settings())).await.unwrap_or_default();
    Ok(UpdateView { progress, systems, stick, stick_settings })
}

/// What happens with an update now, which systems there are, and what a USB stick offers.
#[utoipa::path(get, path = "/api/v1/update", tag = "system",
    responses((status = 200, description = "Updates", body = UpdateView),
        (status = 409, description = "The box does not run from an image that keeps two systems")))]
async fn update(State(app): State<Arc<App>>) -> Result<Json<UpdateView>, Problem> {
    look(&app).await.map(Json)
}

/// Installs an update (`.raucb`), beside the version that runs, which goes on: the new one is used from the next start on. The answer comes
/// when it was looked at; `GET` tells how it goes on. Not during a show.
#[utoipa::path(put, path = "/api/v1/update", tag = "system",
    request_body(content = Vec<u8>, content_type = "application/octet-stream", description = "The update"),
    responses((status = 202, description = "It is being installed", body = Progress),
        (status = 409, description = "A show is on, another update is under way, or the box keeps no two systems"),
        (status = 422, description = "It is no whole update, not signed for this box, or for another board")))]
async fn upload(
    State(app): State<Arc<App>>,
    by: By,
    request: Request,
) -> Result<(StatusCode, Json<Progress>), Problem> {
    by.did("update.install", "an upload");
    let body: HttpBody = request.into_body();
    take(&app, body.into_data_stream()).await?;
    Ok((StatusCode::ACCEPTED, Json(app.state.updates.progress())))
}

/// Which file of the stick.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Chosen {
    /// Its name, as `GET /api/v1/update` lists it.
    file: String,
}

/// Installs an update from the USB stick. Not during a show.
#[utoipa::path(post, path = "/api/v1/update/stick", tag = "system", request_body = Chosen,
    responses((status = 202, description = "It is being installed", body = Progress),
        (status = 404, description = "There is no such file on the stick"),
        (status = 409, description = "A show is on, another update is under way, or the box keeps no two systems"),
        (status = 422, description = "It is no whole update, not signed for this box, or for another board")))]
async fn from_stick(
    State(app): State<Arc<App>>,
    by: By,
    Body(chosen): Body<Chosen>,
) -> Result<(StatusCode, Json<Progress>), Problem> {
    by.did("update.install", chosen.file.clone());
    take_from_stick(&app, chosen.file).await?;
    Ok((StatusCode::ACCEPTED, Json(app.state.updates.progress())))
}

/// Starts the machine again. Not during a show, and not while an update is being installed.
#[utoipa::path(post, path = "/api/v1/system/restart", tag = "system",
    responses((status = 204, description = "It starts again in a moment"),
        (status = 409, description = "A show is on, an update is under way, or the machine can not be asked")))]
async fn restart(State(app): State<Arc<App>>, by: By) -> Result<StatusCode, Problem> {
    by.did("system.restart", "");
    start_again(&app).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What confirms that everything is to be cleared.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Confirmed {
    /// The venue's name, as the settings have it.
    venue: String,
}

/// Clears accounts, queue, settings and keys, and starts the box again as it came. There is no way back but a backup. Not during a show.
#[utoipa::path(post, path = "/api/v1/system/factory-reset", tag = "system", request_body = Confirmed,
    responses((status = 204, description = "It is cleared at the next start, which comes in a moment where the machine can be asked"),
        (status = 409, description = "A show is on, or the box does not run from an image")))]
async fn factory_reset(
    State(app): State<Arc<App>>,
    by: By,
    Body(confirmed): Body<Confirmed>,
) -> Result<StatusCode, Problem> {
    by.did("system.factory-reset", "");
    clear(&app, &confirmed.venue).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn upload_form(
    State(app): State<Arc<App>>,
    by: By,
    sender: Sender,
    request: Request,
) -> Result<Response, Problem> {
    by.did("update.install", "an upload");
    let broken = |error| upload::broken(&error, &UpdateError::TooLarge.to_string());
    let mut form = upload::fields(request).await?;
    while let Some(field) = form.next_field().await.map_err(broken)? {
        if field.name() == Some("update") {
            take(&app, field).await?;
            return Ok(sender.go(&app, PAGE, Some(&Flash::done(BEGUN))));
        }
    }
    Err(Problem::invalid("update", "choose an update first"))
}

const BEGUN: &str = "The update is being installed, which takes a few minutes. This page says how it goes.";

async fn from_stick_form(
    State(app): State<Arc<App>>,
    by: By,
    sender: Sender,
    Form(chosen): Form<Chosen>,
) -> Result<Response, Problem> {
    by.did("update.install", chosen.file.clone());
    take_from_stick(&app, chosen.file).await?;
    Ok(sender.go(&app, PAGE, Some(&Flash::done(BEGUN))))
}

async fn restart_form(State(app): State<Arc<App>>, by: By, sender: Sender) -> Result<Response, Problem> {
    by.did("system.restart", "");
    start_again(&app).await?;
    Ok(sender.go(&app, PAGE, Some(&Flash::done("The box starts again. Open this page anew in a minute."))))
}

async fn factory_reset_form(
    State(app): State<Arc<App>>,
    by: By,
    sender: Sender,
    Form(confirmed): Form<Confirmed>,
) -> Result<Response, Problem> {
    by.did("system.factory-reset", "");
    let words = if clear(&app, &confirmed.venue).await? {
        "The box starts again and forgets everything. In a minute it asks for a new setup code, which is on its screen."
    } else {
        "At its next start the box forgets everything. Pull its plug, wait ten seconds, and plug it in again."
    };
    Ok(sender.go(&app, PAGE, Some(&Flash::done(words))))
}

async fn take_from_stick(app: &Arc<App>, file: String) -> Result<(), Problem> {
    let update = begin(app)?;
    to_the_end(proceed(Arc::clone(app), update, Some(file))).await
}

/// Takes an upload in, and goes on with it.
async fn take<E: std::fmt::Debug>(app: &Arc<App>, upload: impl Stream<Item = Result<Bytes, E>>) -> Result<(), Problem> {
    let mut upload = Box::pin(upload.fuse());
    let mut update = match begin(app) {
        Ok(update) => update,
        Err(problem) => {
            read_out(&mut upload).await;
            return Err(problem);
        }
    };
    let received = timeout(UPLOAD_TIME, update.receive(&mut upload)).await;
    read_out(&mut upload).await;
    match received.unwrap_or(Err(UpdateError::TooSlow)) {
        // What is here is looked at whether the browser waits for the answer or not.
        Ok(()) => to_the_end(proceed(Arc::clone(app), update, None)).await,
        Err(error) => {
            update.fail(error.to_string());
            Err(refused(&error))
        }
    }
}

fn begin(app: &App) -> Result<Update, Problem> {
    no_show(app, "install the update")?;
    app.state.updates.begin().map_err(|error| refused(&error))
}

/// Looks at what was uploaded, or at a file of the stick, which takes RAUC its time, and has it installed.
async fn proceed(app: Arc<App>, update: Update, stick: Option<String>) -> Result<(), Problem> {
    // A show may have begun while it came in.
    let looked = update.check(stick.as_deref()).await.map_err(|error| refused(&error));
    match looked.and_then(|checked| no_show(&app, "install the update").map(|()| checked)) {
        Ok(checked) => {
            tokio::spawn(update.install(checked));
            Ok(())
        }
        Err(problem) => {
            update.fail(problem.sentence());
            Err(problem)
        }
    }
}

/// Reads what is left of an upload: a browser that still sends sees a broken connection, not the reason.
async fn read_out<E>(upload: &mut (impl Stream<Item = Result<Bytes, E>> + Unpin)) {
    let rest = async { while let Some(Ok(_)) = upload.next().await {} };
    let _in_time = timeout(READING_OUT, rest).await;
}

async fn start_again(app: &Arc<App>) -> Result<(), Problem> {
    no_show(app, "start the box again")?;
    not_in_the_middle(app)?;
    let updates = app.state.updates.clone();
    let asked = spawn_blocking(move || updates.restart()).await.map_err(|_| Problem::ours())?;
    asked.map_err(|error| refused(&error))
}

/// Clears everything at the next start. True: that comes in a moment.
async fn clear(app: &Arc<App>, venue: &str) -> Result<bool, Problem> {
    no_show(app, "reset the box")?;
    not_in_the_middle(app)?;
    let updates = app.state.updates.clone();
    if !updates.can_reset() {
        return Err(refused(&UpdateError::NoImage("can be reset")));
    }
    let name = app.state.settings.now().venue.name.clone();
    if venue.trim() != name.trim() {
        return Err(Problem::invalid("venue", format!("type the venue's name, {name}, to confirm")));
    }
    let done = spawn_blocking(move || updates.reset().map(|()| updates.can_restart() && updates.restart().is_ok()));
    done.await.map_err(|_| Problem::ours())?.map_err(|error| refused(&error))
}

fn no_show(app: &App, what: &str) -> Result<(), Problem> {
    if app.state.director.snapshot().borrow().queue.show {
        return Err(Problem::new(Kind::Refused, format!("a show is on: end it first, then {what}")));
    }
    Ok(())
}

fn not_in_the_middle(app: &App) -> Result<(), Problem> {
    match app.state.updates.progress() {
        Progress::Receiving { .. } | Progress::Installing { .. } => Err(refused(&UpdateError::Busy)),
        _ => Ok(()),
    }
}

fn refused(error: &UpdateError) -> Problem {
    let said = error.to_string();
    match error {
        UpdateError::NoImage(_) | UpdateError::Busy => Problem::new(Kind::Refused, said),
        UpdateError::Damaged | UpdateError::Signature(_) | UpdateError::OtherBoard { .. } => {
            Problem::invalid("update", said)
        }
        UpdateError::TooLarge => Problem::new(Kind::BodyTooLarge, said),
        UpdateError::CutOff => Problem::new(Kind::BadRequest, said),
        UpdateError::TooSlow => Problem::new(Kind::BodyTooSlow, said),
        UpdateError::NotOffered => Problem::new(Kind::NotFound, said),
        UpdateError::NoRoom | UpdateError::Io { .. } | UpdateError::Failed(_) | UpdateError::Rauc(_) => {
            Problem::new(Kind::NotStored, said)
        }
    }
}
