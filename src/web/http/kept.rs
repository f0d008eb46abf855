//! What is answered when something was done before it is stored: 202, the usual body, and that it is not stored yet.

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{control::storing::NOT_YET, store::Kept};

/// It is done, and not stored yet.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub(crate) struct NotStoredYet {
    /// False: after a restart before it is stored, what was stored last holds.
    stored: bool,
    /// The same in words.
    #[schema(value_type = String)]
    detail: &'static str,
}

const NOT_STORED_YET: NotStoredYet = NotStoredYet { stored: false, detail: NOT_YET };

/// What is answered otherwise, and that it is not stored yet.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DoneNotStored<T: ToSchema> {
    #[serde(flatten)]
    usual: T,
    #[serde(flatten)]
    not_yet: NotStoredYet,
}

/// Done, without anything to say: 204, or 202.
pub(crate) fn done(kept: Kept) -> Response {
    match kept {
        Kept::Stored => StatusCode::NO_CONTENT.into_response(),
        Kept::NotYet => (StatusCode::ACCEPTED, Json(NOT_STORED_YET)).into_response(),
    }
}

/// Done, and what there is to say of it: 200, or 202.
pub(crate) fn done_with<T: Serialize + ToSchema>(kept: Kept, usual: T) -> Response {
    match kept {
        Kept::Stored => Json(usual).into_response(),
        Kept::NotYet => (StatusCode::ACCEPTED, Json(DoneNotStored { usual, not_yet: NOT_STORED_YET })).into_response(),
    }
}
