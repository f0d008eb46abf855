//! The client of SRS's HTTP API. Bounded in time and size; survives fields it does not know.

use thiserror::Error;

/// One SRS. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Api {}

/// Which run of which SRS answered: `service` changes with every start of its process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) server: String,
    pub(crate) service: String,
    pub(crate) pid: u32,
}

/// Of `GET /api/v1/summaries` and `/versions`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Summary {
    pub(crate) identity: Identity,
    pub(crate) version: String,
    /// Its command line and folder, for recognising it.
    pub(crate) argv: String,
    pub(crate) cwd: String,
}

/// Why an answer is of no use.
#[derive(Debug, Error)]
pub(crate) enum ApiError {
    /// Nobody answers, or not in time.
    #[error("SRS's API does not answer: {0}")]
    Unreachable(String),
    /// What answers is not SRS.
    #[error("what answers is not SRS's API: {0}")]
    Foreign(String),
    /// SRS said no: its code.
    #[error("SRS refused with code {0}")]
    Refused(i64),
}

impl Api {
    /// The API at `base`, for example `http://127.0.0.1:1985`, with a name and a password if need be.
    ///
    /// # Errors
    /// When `base` is no address that can be used, in words for an admin.
    pub(crate) fn new(base: &str) -> Result<Self, String> {
        let _ = base;
        Ok(Self {})
    }

    /// Who it is and which version.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub(crate) async fn summary(&self) -> Result<Summary, ApiError> {
        Err(ApiError::Unreachable("not built yet".to_owned()))
    }
}
