//! Everything that the box remembers as one file, and its way back.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Request, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use utoipa_axum::routes;

use crate::{
    control::{
        backup::{self, Packing, Restored, Restoring},
        journal::By,
    },
    web::{
        app::App,
        http::{
            body::UrlQuery,
            problem::Problem,
            rights::{Right, Routes},
            upload,
        },
    },
};

pub(crate) fn routes() -> Routes {
    Routes::new().api(Right::Admin, routes!(download, discard)).upload(
        Right::Admin,
        upload::BACKUP.largest,
        routes!(restore),
    )
}

/// Accounts, history, destinations, settings and the slate as one file. It holds stream keys and the platforms' keys: keep it as you
/// keep those. With `wifi=true` it holds the passwords of the Wi-Fi networks that the box knows, too. Web sessions are not in it, nor is tonight: the queue, the turn, hold and panic, and whether a show is on.
#[utoipa::path(get, path = "/api/v1/backup", tag = "system", params(Packing),
    responses((status = 200, description = "The backup", body = Vec<u8>, content_type = "application/zip"),
        (status = 409, description = "Wi-Fi networks are asked for, and this machine's network is its own")))]
async fn download(State(app): State<Arc<App>>, by: By, UrlQuery(what): UrlQuery<Packing>) -> Result<Response, Problem> {
    let (file, now) = backup::pack(&app.control, &by, what).await?;
    let name = format!("motherstream-backup-{}.zip", now.strftime("%Y-%m-%d-%H%M"));
    let head = [
        (header::CONTENT_TYPE, "application/zip".to_owned()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")),
    ];
    Ok((head, file).into_response())
}

/// Restores a backup at the next start of the box, in place of everything that it remembers. It is checked completely before anything is
/// kept. Not during a show. The box comes up with an empty queue and no show, whatever the backup holds of it. One without an admin who could
/// sign in is refused unless that is meant, or `admin.token` is configured.
#[utoipa::path(put, path = "/api/v1/backup", tag = "system",
    params(Restoring), request_body(content = Vec<u8>, content_type = "application/zip", description = "The backup"),
    responses((status = 200, description = "It lies ready for the next start", body = Restored),
        (status = 409, description = "A show is on"),
        (status = 422, description = "The file is no backup that this box can restore")))]
async fn restore(
    State(app): State<Arc<App>>,
    by: By,
    UrlQuery(how): UrlQuery<Restoring>,
    request: Request,
) -> Result<Json<Restored>, Problem> {
    let file = upload::BACKUP.body(request).await?;
    Ok(Json(backup::stage(&app.control, &by, file, how).await?))
}

/// Discards a backup that lies ready for the next start.
#[utoipa::path(delete, path = "/api/v1/backup", tag = "system",
    responses((status = 204, description = "Nothing lies ready any more")))]
async fn discard(State(app): State<Arc<App>>, by: By) -> Result<StatusCode, Problem> {
    backup::unstage(&app.control, &by).await?;
    Ok(StatusCode::NO_CONTENT)
}
