//! The forms about the whole machine on `/admin/system`: updates, restart, factory reset, backup.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    response::Response,
};
use serde::Deserialize;

use crate::{
    control::{
        backup::{self, Restoring},
        journal::By,
        machine,
    },
    update::UpdateError,
    web::{
        app::App,
        http::{
            problem::Problem,
            rights::{Right, Routes},
            upload,
        },
        page::{
            flash::Flash,
            form::{Form, Sender},
        },
    },
};

/// Where the forms about updates lead to.
const MACHINE: &str = "/admin/system#machine";

/// Where the forms about backups lead to.
const BACKUP: &str = "/admin/system#backup";

pub(super) fn routes() -> Routes {
    Routes::new()
        .form_upload(Right::Admin, upload::LARGEST_UPDATE, "/admin/update", upload_form)
        // Not an upload, but as slow: RAUC looks at the file before there is an answer.
        .form_upload(Right::Admin, upload::SMALL, "/admin/update/stick", from_stick_form)
        .form(Right::Admin, "/admin/system/restart", restart_form)
        .form(Right::Admin, "/admin/system/factory-reset", factory_reset_form)
        .form_upload(Right::Admin, upload::BACKUP.largest_form(), "/admin/backup/restore", restore_form)
        .form(Right::Admin, "/admin/backup/discard", discard_form)
}

const BEGUN: &str = "The update is being installed, which takes a few minutes. This page says how it goes.";

async fn upload_form(
    State(app): State<Arc<App>>,
    by: By,
    sender: Sender,
    request: Request,
) -> Result<Response, Problem> {
    let broken = |error| upload::broken(&error, &UpdateError::TooLarge.to_string());
    let mut form = upload::fields(request).await?;
    while let Some(field) = form.next_field().await.map_err(broken)? {
        if field.name() == Some("update") {
            machine::install(&app.control, &by, field).await?;
            return Ok(sender.go(&app, MACHINE, Some(&Flash::done(BEGUN))));
        }
    }
    Err(Problem::invalid("update", "choose an update first"))
}

/// Which file of the stick.
#[derive(Deserialize)]
struct Chosen {
    file: String,
}

async fn from_stick_form(
    State(app): State<Arc<App>>,
    by: By,
    sender: Sender,
    Form(chosen): Form<Chosen>,
) -> Result<Response, Problem> {
    machine::install_from_stick(&app.control, &by, chosen.file).await?;
    Ok(sender.go(&app, MACHINE, Some(&Flash::done(BEGUN))))
}

async fn restart_form(State(app): State<Arc<App>>, by: By, sender: Sender) -> Result<Response, Problem> {
    machine::restart(&app.control, &by).await?;
    Ok(sender.go(&app, MACHINE, Some(&Flash::done("The box starts again. Open this page anew in a minute."))))
}

/// What confirms that everything is to be cleared: the venue's name.
#[derive(Deserialize)]
struct Confirmed {
    venue: String,
}

async fn factory_reset_form(
    State(app): State<Arc<App>>,
    by: By,
    sender: Sender,
    Form(confirmed): Form<Confirmed>,
) -> Result<Response, Problem> {
    let words = if machine::factory_reset(&app.control, &by, &confirmed.venue).await? {
        "The box starts again and forgets everything. In a minute it asks for a new setup code, which is on its screen."
    } else {
        "At its next start the box forgets everything. Pull its plug, wait ten seconds, and plug it in again."
    };
    Ok(sender.go(&app, MACHINE, Some(&Flash::done(words))))
}

async fn restore_form(
    State(app): State<Arc<App>>,
    by: By,
    sender: Sender,
    request: Request,
) -> Result<Response, Problem> {
    let (file, _) = upload::BACKUP.form(request, None).await?;
    if file.is_empty() {
        return Err(Problem::invalid("backup", "choose a backup first"));
    }
    let restored = backup::stage(&app.control, &by, file, Restoring::default()).await?;
    Ok(sender.go(&app, BACKUP, Some(&Flash::done(restored.words()))))
}

async fn discard_form(State(app): State<Arc<App>>, by: By, sender: Sender) -> Result<Response, Problem> {
    backup::unstage(&app.control, &by).await?;
    Ok(sender.go(&app, BACKUP, Some(&Flash::done("The backup is not restored. Everything stays as it is."))))
}
