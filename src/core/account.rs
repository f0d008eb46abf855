//! Accounts: ids, names, stream keys, roles and their rules.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A streamer's account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
pub struct AccountId(pub u64);

/// A stream key as an encoder sends it. Shows itself to nobody: `Debug` and `Display` are redacted.
#[derive(Clone)]
pub struct StreamKey(secrecy::SecretString);

impl StreamKey {
    /// Wraps what somebody sent as a key; says nothing about whether it is one.
    pub fn new(text: impl Into<String>) -> Self {
        Self(secrecy::SecretString::from(text.into()))
    }

    /// The key itself, for comparing, storing and showing to its owner.
    pub fn expose(&self) -> &str {
        secrecy::ExposeSecret::expose_secret(&self.0)
    }
}

impl std::fmt::Debug for StreamKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StreamKey([redacted])")
    }
}

/// What an account may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Publishes, and edits its own account.
    #[default]
    Streamer,
    /// Runs the box.
    Admin,
}
