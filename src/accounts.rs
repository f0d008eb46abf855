//! Accounts: registration, sign-in, keys, claiming the box. Between store and web; the director asks it whose key a key is.

use serde::{Deserialize, Serialize};
use thiserror::Error;
use utoipa::ToSchema;

use crate::core::account::{AccountId, Role, StreamKey};

/// An account without its secrets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Account {
    /// Its id.
    pub id: AccountId,
    /// The name as its owner wrote it.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// Whether it may sign in and publish.
    pub enabled: bool,
    /// Waits for an admin's approval (`accounts.registration = approval`).
    pub awaiting_approval: bool,
    /// Banned by an admin.
    pub banned: bool,
    /// An address to reach its owner by, if given.
    pub email: Option<String>,
    /// An IANA time zone name, if given.
    pub timezone: Option<String>,
    /// When it was made.
    #[schema(value_type = String)]
    pub created: jiff::Timestamp,
}

/// What somebody fills in to register.
#[derive(Deserialize, ToSchema)]
pub struct Registration {
    /// 2 to 32 visible characters.
    pub name: String,
    /// At least 8 characters.
    #[schema(value_type = String)]
    pub password: secrecy::SecretString,
    /// Optional.
    pub email: Option<String>,
    /// Optional IANA name.
    pub timezone: Option<String>,
}

/// An edit; what is absent stays.
#[derive(Default, Deserialize, ToSchema)]
pub struct Edit {
    /// A new name.
    pub name: Option<String>,
    /// A new password.
    #[schema(value_type = Option<String>)]
    pub password: Option<secrecy::SecretString>,
    /// A new address; empty removes it.
    pub email: Option<String>,
    /// A new time zone; empty removes it.
    pub timezone: Option<String>,
    /// Admins only.
    pub role: Option<Role>,
    /// Admins only; enabling also approves and unbans.
    pub enabled: Option<bool>,
}

/// Why an account operation did not happen.
#[derive(Debug, Error)]
pub enum AccountError {
    /// A field is wrong.
    #[error("{field}: {reason}")]
    Invalid {
        /// Which field.
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
    /// Name and password do not match. Says not which.
    #[error("name or password is wrong")]
    WrongCredentials,
    /// The account is disabled, banned or awaits approval.
    #[error("this account can not sign in: {0}")]
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
    /// The last admin can not be removed, disabled or demoted.
    #[error("the last admin can not be removed, disabled or demoted")]
    LastAdmin,
    /// Too many passwords are being checked at the moment.
    #[error("busy; try again in a moment")]
    Busy,
    /// It could not be stored.
    #[error("could not be stored: {0}")]
    Store(String),
}

/// Whose key it is, as the director needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyOwner {
    /// The account.
    pub id: AccountId,
    /// Its name.
    pub name: String,
    /// If it may not publish: why, in words for the streamer.
    pub refusal: Option<String>,
}

/// The handle. Cheap to clone. Reads are from memory; every change is durable before it is answered.
#[derive(Clone)]
pub struct Accounts {}

#[expect(clippy::todo, clippy::unused_self, clippy::unused_async, unused_variables, reason = "skeleton")]
impl Accounts {
    /// Registers a streamer by the policy in force.
    pub async fn register(&self, registration: Registration) -> Result<(Account, StreamKey), AccountError> {
        todo!()
    }

    /// Makes a streamer's account by an admin's order, whatever the policy says: enabled, and waiting for no approval.
    pub async fn create(&self, registration: Registration) -> Result<(Account, StreamKey), AccountError> {
        todo!()
    }

    /// Makes the first admin, once. Rate limits and delays are the web's.
    pub async fn claim(
        &self,
        code: &str,
        name: String,
        password: secrecy::SecretString,
    ) -> Result<(Account, StreamKey), AccountError> {
        todo!()
    }

    /// Whether there is an admin, or `admin.token` is configured.
    pub fn is_claimed(&self) -> bool {
        todo!()
    }

    /// The setup code while the box is not claimed. Printed at the first start, the same until it is used.
    pub fn setup_code(&self) -> Option<secrecy::SecretString> {
        todo!()
    }

    /// Checks a password. Takes as long for a name nobody has.
    pub async fn sign_in(&self, name: &str, password: &secrecy::SecretString) -> Result<Account, AccountError> {
        todo!()
    }

    /// Whether `token` is `admin.token`, in constant time.
    pub fn is_admin_token(&self, token: &str) -> bool {
        todo!()
    }

    /// One account.
    pub fn get(&self, id: AccountId) -> Option<Account> {
        todo!()
    }

    /// All, by name.
    pub fn list(&self) -> Vec<Account> {
        todo!()
    }

    /// The account's stream key, to show to its owner.
    pub fn stream_key(&self, id: AccountId) -> Option<StreamKey> {
        todo!()
    }

    /// Whose key this is; takes the same time whatever the key.
    pub fn key_owner(&self, key: &StreamKey) -> Option<KeyOwner> {
        todo!()
    }

    /// A fresh key; the old one is dead at once. The caller tells the director, which drops the connection.
    pub async fn new_stream_key(&self, id: AccountId) -> Result<StreamKey, AccountError> {
        todo!()
    }

    /// Edits an account. The caller tells the director if it was disabled.
    pub async fn edit(&self, id: AccountId, edit: Edit) -> Result<Account, AccountError> {
        todo!()
    }

    /// Bans (disables) or unbans. The caller tells the director.
    pub async fn set_banned(&self, id: AccountId, banned: bool) -> Result<Account, AccountError> {
        todo!()
    }

    /// Deletes. The caller tells the director.
    pub async fn delete(&self, id: AccountId) -> Result<(), AccountError> {
        todo!()
    }
}
