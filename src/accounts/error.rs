//! Why an account operation did not happen.

use thiserror::Error;

use crate::store::StoreError;

/// Why an account operation did not happen.
#[derive(Debug, Error)]
pub enum AccountError {
    /// A field is wrong.
    #[error("{field}: {reason}")]
    Invalid {
        /// The field of the request, as the API names it.
        field: &'static str,
        /// What is wrong and what would be right.
        reason: String,
    },
    /// The name, or one that looks like it, is taken.
    #[error("the name is taken; choose another")]
    NameTaken,
    /// The policy does not let this person register.
    #[error("registration is not open: {0}")]
    RegistrationClosed(&'static str),
    /// Registration is by invitation, and none was shown.
    #[error("registration is by invitation: ask those who run this box for one")]
    InvitationNeeded,
    /// Name and password do not match. Says not which.
    #[error("name or password is wrong")]
    WrongCredentials,
    /// The account is disabled, banned or awaits approval.
    #[error("this account cannot sign in: {0}")]
    NotEnabled(&'static str),
    /// The setup code is wrong.
    #[error("the setup code is wrong")]
    WrongSetupCode,
    /// The box has an owner already.
    #[error("this box has been set up already")]
    AlreadyClaimed,
    /// No such account.
    #[error("no such account")]
    NotFound,
    /// A link that sets a password was used, replaced, is too old, or never was.
    #[error("this link was used already, is older than a day, or never was one; ask an admin for a new one")]
    LinkOver,
    /// The last admin cannot be removed, disabled or demoted.
    #[error("the last admin cannot be removed, disabled or demoted")]
    LastAdmin,
    /// Too many passwords are being checked at the moment.
    #[error("busy; try again in a moment")]
    Busy,
    /// It could not be stored.
    #[error("could not be stored: {0}")]
    Store(String),
}

impl From<StoreError> for AccountError {
    fn from(error: StoreError) -> Self {
        Self::Store(error.to_string())
    }
}
