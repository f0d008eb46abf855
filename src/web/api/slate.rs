//! The venue's slate picture: uploaded, looked at, taken away.

use std::sync::Arc;

use axum::{
    Json,
    body::Body as HttpBody,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use utoipa_axum::routes;

use crate::{
    control::{journal::By, settings::Changed, slate, stills::Still},
    web::{
        app::App,
        http::{
            problem::Problem,
            rights::{Right, Routes},
            upload,
        },
    },
};

pub(crate) fn routes() -> Routes {
    Routes::new()
        .upload(Right::Admin, upload::SLATE.largest, routes!(put))
        .api(Right::Operator, routes!(show))
        .api(Right::Admin, routes!(remove))
}

/// Sets the picture that stands in while nobody is on air: a PNG or JPEG of up to 8 MB, 6000 pixels a side and 120 MB when decoded (30
/// megapixels with an alpha channel, 40 without), scaled to fit. It is shown at once, and kept as small as it is shown.
#[utoipa::path(put, path = "/api/v1/slate", tag = "settings",
    request_body(content = Vec<u8>, content_type = "image/png", description = "The picture: image/png or image/jpeg"),
    responses((status = 200, description = "What changed", body = Changed),
        (status = 409, description = "It is set by the configuration")))]
async fn put(State(app): State<Arc<App>>, by: By, request: Request) -> Result<Json<Changed>, Problem> {
    let picture = upload::SLATE.body(request).await?;
    Ok(Json(slate::set(&app.control, &by, picture).await?))
}

/// The slate's picture as it is shown: the venue's own, or the built-in one with the venue's name. 1280 x 720 pixels.
#[utoipa::path(get, path = "/api/v1/slate", tag = "settings",
    responses((status = 200, description = "The picture", body = Vec<u8>, content_type = "image/jpeg"),
        (status = 304, description = "As it was")))]
async fn show(State(app): State<Arc<App>>, headers: HeaderMap) -> Result<Response, Problem> {
    let Still { jpeg, tag } = slate::shown(&app.control).await?;
    let tag = format!("\"{tag}\"");
    let head = [(header::ETAG, tag.clone()), (header::CACHE_CONTROL, "private, no-cache".to_owned())];
    if headers.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes()) {
        return Ok((StatusCode::NOT_MODIFIED, head).into_response());
    }
    Ok((head, [(header::CONTENT_TYPE, HeaderValue::from_static("image/jpeg"))], HttpBody::from(jpeg)).into_response())
}

/// Takes the page's picture away: that of the configuration file is shown again, or the built-in one.
#[utoipa::path(delete, path = "/api/v1/slate", tag = "settings",
    responses((status = 200, description = "What changed", body = Changed),
        (status = 409, description = "It is set by the configuration"),
        (status = 422, description = "The settings do not fit together without it")))]
async fn remove(State(app): State<Arc<App>>, by: By) -> Result<Json<Changed>, Problem> {
    Ok(Json(slate::unset(&app.control, &by).await?))
}
