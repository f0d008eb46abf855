//! Why an order was not carried out. Which HTTP status that is, only the web knows.

use std::{borrow::Cow, time::Duration};

use thiserror::Error;

use super::destinations::wanted::DestinationError;
use crate::{
    accounts::AccountError, config::ChangeError, director::OrderError, network::NetworkError, obs::RequestError,
    store::StoreError, update::UpdateError,
};

/// Why an order was not carried out. Its text says what is wrong and, where that helps, what to do; it holds no secret.
#[derive(Debug, Error)]
pub enum Denied {
    /// What accounts said.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// What the queue's rules said.
    #[error(transparent)]
    Order(#[from] OrderError),
    /// What is wrong with a destination.
    #[error(transparent)]
    Destination(#[from] DestinationError),
    /// What is wrong with a setting.
    #[error(transparent)]
    Setting(#[from] ChangeError),
    /// What OBS, or the way to it, said.
    #[error(transparent)]
    Obs(#[from] RequestError),
    /// What the network, or the way to it, said.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// What is wrong with an update, or with asking for one.
    #[error(transparent)]
    Update(#[from] UpdateError),
    /// It could not be stored; then nothing has changed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no such thing.
    #[error("{0}")]
    NotFound(&'static str),
    /// Whoever asks may not.
    #[error("{0}")]
    NotAllowed(&'static str),
    /// There are too many already.
    #[error("{0}")]
    TooMany(&'static str),
    /// One value does not fit.
    #[error("{reason}")]
    Invalid {
        /// The field or key that is to blame.
        field: Cow<'static, str>,
        /// What would be right.
        reason: String,
    },
    /// Not at this moment.
    #[error("{why}")]
    NotNow {
        /// What is in the way.
        why: String,
        /// When asking again makes sense, if that is known.
        again: Option<Duration>,
    },
    /// It takes longer than anybody waits, and may be done yet.
    #[error("{why}")]
    Busy {
        /// What takes so long.
        why: &'static str,
        /// When to look again.
        again: Duration,
    },
    /// The address has used up its allowance.
    #[error("too many attempts from your address; wait a little")]
    TooManyAttempts {
        /// Until one more is allowed.
        wait: Duration,
    },
    /// The account has changed itself as often as it may.
    #[error("you have changed a lot of your own in a minute; wait a little, then try again")]
    TooManyChanges {
        /// Until one more is allowed.
        wait: Duration,
    },
    /// No OBS is set, or none can be reached.
    #[error("{0}")]
    NoObs(String),
    /// A file could not be written.
    #[error("{0}")]
    NotStored(String),
    /// Something here failed, and the words say what.
    #[error("{0}")]
    Failed(String),
    /// Something here broke off in the middle.
    #[error("something went wrong here, not with the request")]
    BrokenOff,
}

impl Denied {
    /// One value does not fit.
    pub(crate) fn invalid(field: impl Into<Cow<'static, str>>, reason: impl Into<String>) -> Self {
        Self::Invalid { field: field.into(), reason: reason.into() }
    }

    /// Not at this moment.
    pub(crate) fn not_now(why: impl Into<String>) -> Self {
        Self::NotNow { why: why.into(), again: None }
    }
}
