//! The forms about the slate's picture on `/admin/settings`.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    response::Response,
};

use crate::{
    control::{journal::By, settings::Changed, slate},
    core::words::sentence,
    web::{
        app::App,
        http::{
            problem::Problem,
            rights::{Right, Routes},
            upload,
        },
        page::{
            flash::Flash,
            form::{Sender, local},
        },
    },
};

/// Where the page's forms lead to.
const PAGE: &str = "/admin/settings";

pub(super) fn routes() -> Routes {
    Routes::new().form_upload(Right::Admin, upload::SLATE.largest_form(), "/admin/slate-picture", upload_form).form(
        Right::Admin,
        "/admin/slate-picture/remove",
        remove_form,
    )
}

/// What the page's form sends: a field `picture` with a file, and `back`, where to go afterwards.
async fn upload_form(
    State(app): State<Arc<App>>,
    by: By,
    sender: Sender,
    request: Request,
) -> Result<Response, Problem> {
    let (picture, back) = upload::SLATE.form(request, Some("back")).await?;
    let back = local(back.as_deref().unwrap_or(PAGE));
    if picture.is_empty() {
        return Err(Problem::invalid("picture", "choose a picture first: a PNG or a JPEG"));
    }
    let changed = slate::set(&app.control, &by, picture).await?;
    Ok(sender.go(&app, back, Some(&Flash::done(told("The slate shows your picture.", &changed)))))
}

async fn remove_form(State(app): State<Arc<App>>, by: By, sender: Sender) -> Result<Response, Problem> {
    let changed = slate::unset(&app.control, &by).await?;
    Ok(sender.go(&app, PAGE, Some(&Flash::done(told("Your picture is gone from the slate.", &changed)))))
}

fn told(what: &str, changed: &Changed) -> String {
    changed.notes.iter().fold(what.to_owned(), |text, note| format!("{text} {}", sentence(note)))
}
