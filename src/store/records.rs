//! The rows. Each keeps the fields of a newer program that it does not know, so that a rollback loses nothing.

use jiff::Timestamp;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use url::Url;
use utoipa::ToSchema;

use crate::core::{
    account::{AccountId, Role, StreamKey},
    destination::DestinationId,
    queue::TurnId,
};

/// An account with its secrets.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AccountRecord {
    /// Stays the same when everything else of it is edited.
    pub id: AccountId,
    /// The name as its owner wrote it.
    pub name: String,
    /// Argon2id in the PHC string format.
    #[serde(serialize_with = "expose")]
    pub password_hash: SecretString,
    /// The key, kept readable because its owner may look at it again.
    #[serde(with = "stream_key")]
    pub stream_key: StreamKey,
    /// What it may do. Stored as two fields: see [`stored_role`].
    #[serde(flatten, with = "stored_role")]
    pub role: Role,
    /// Whether an admin left it enabled.
    pub enabled: bool,
    /// Waits for an admin's approval.
    #[serde(default)]
    pub awaiting_approval: bool,
    /// Banned by an admin.
    #[serde(default)]
    pub banned: bool,
    /// An address to reach its owner by.
    #[serde(default)]
    pub email: Option<String>,
    /// An IANA time zone name.
    #[serde(default)]
    pub timezone: Option<String>,
    /// When it was made.
    pub created: Timestamp,
    /// Fields of a newer schema.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl AccountRecord {
    /// Whether it may sign in and publish.
    pub const fn is_in_order(&self) -> bool {
        self.enabled && !self.banned && !self.awaiting_approval
    }
}

/// A turn that ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HistoryRecord {
    /// The turn.
    pub turn: TurnId,
    /// Whose it was.
    pub account: AccountId,
    /// The streamer's name at that time.
    pub name: String,
    /// When it began, by the wall clock.
    #[schema(value_type = String, format = DateTime)]
    pub started: Timestamp,
    /// When it ended, by the wall clock.
    #[schema(value_type = String, format = DateTime)]
    pub ended: Timestamp,
    /// Time on air, by the monotonic clock.
    pub seconds_on_air: f64,
    /// Why it ended, in words.
    pub reason: String,
    /// Fields of a newer schema.
    #[serde(flatten)]
    #[schema(ignore)]
    pub extra: Map<String, Value>,
}

/// Who did what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditRecord {
    /// Counts up; given by the store.
    #[serde(default)]
    pub number: u64,
    /// When, by the wall clock.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// Whose account it was; none for `admin.token`, the box itself, and people without one.
    #[serde(default)]
    pub account: Option<AccountId>,
    /// The name at that time.
    pub who: String,
    /// The address it came from.
    #[serde(default)]
    pub address: Option<String>,
    /// What was done, for programs: `queue.skip`.
    pub action: String,
    /// To whom or what, in words; may be empty. Never a secret.
    pub target: String,
    /// `done`, or `refused: ` and why.
    pub outcome: String,
    /// Fields of a newer schema.
    #[serde(flatten)]
    #[schema(ignore)]
    pub extra: Map<String, Value>,
}

/// A destination made on the page.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DestinationRecord {
    /// Stays the same when everything else of it is edited.
    pub id: DestinationId,
    /// What people call it.
    pub name: String,
    /// The server's address without the key.
    pub url: Url,
    /// The platform's stream key.
    #[serde(serialize_with = "expose")]
    pub key: SecretString,
    /// Whether it takes part in shows.
    pub enabled: bool,
    /// Fields of a newer schema.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// A viewer token for `/program.flv`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViewerRecord {
    /// By which an admin revokes it.
    pub id: u64,
    /// What it is for, in an admin's words.
    pub label: String,
    /// SHA-256 of the token in hexadecimal: the token itself has 128 random bits, so that no slow hash is needed.
    pub sha256: String,
    /// When it was made.
    pub created: Timestamp,
    /// Fields of a newer schema.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// An invitation without its code.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct InvitationRecord {
    /// By which an admin revokes it.
    pub id: u64,
    /// Whom it is for, in an admin's words.
    pub label: String,
    /// SHA-256 of the code in hexadecimal: the code has 80 random bits, so that no slow hash is needed.
    pub sha256: String,
    /// How many may register with it.
    pub uses: u32,
    /// How many have registered with it.
    pub used: u32,
    /// When it was made.
    pub created: Timestamp,
    /// From when on nobody can register with it.
    pub expires: Timestamp,
    /// Fields of a newer schema.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// A link that sets a new password once. One per account.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ResetRecord {
    /// Whose password it sets.
    pub account: AccountId,
    /// SHA-256 of the code in hexadecimal: the code has 130 random bits.
    pub sha256: String,
    /// From when on it sets no password.
    pub expires: Timestamp,
    /// Fields of a newer schema.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// A web session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SessionRecord {
    /// What its owner finds it by.
    pub id: String,
    /// From when on its owner has to sign in again.
    pub expires: Timestamp,
    /// What the web keeps in it.
    pub data: Value,
    /// Fields of a newer schema.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// Writes a secret into the store. Nothing else serialises one.
fn expose<S: serde::Serializer>(secret: &SecretString, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secrecy::ExposeSecret::expose_secret(secret))
}

mod stream_key {
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::core::account::StreamKey;

    pub(super) fn serialize<S: Serializer>(key: &StreamKey, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(key.expose())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<StreamKey, D::Error> {
        String::deserialize(deserializer).map(StreamKey::new)
    }
}

/// A role as it is stored. The first program knew `streamer` and `admin` only and refuses a store with any other word; so
/// `role` stays one of these for ever, and what was added later is a field of its own. That program keeps such a field as it
/// is, and takes an operator for a streamer, who can do less.
mod stored_role {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::core::account::Role;

    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Word {
        Streamer,
        Admin,
    }

    #[derive(Serialize, Deserialize)]
    struct Stored {
        role: Word,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        operator: bool,
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde calls")]
    pub(super) fn serialize<S: Serializer>(role: &Role, serializer: S) -> Result<S::Ok, S::Error> {
        let (role, operator) = match role {
            Role::Streamer => (Word::Streamer, false),
            Role::Operator => (Word::Streamer, true),
            Role::Admin => (Word::Admin, false),
        };
        Stored { role, operator }.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Role, D::Error> {
        // An older program may have made an operator an admin, and left the field it did not know.
        Ok(match Stored::deserialize(deserializer)? {
            Stored { role: Word::Admin, .. } => Role::Admin,
            Stored { operator: true, .. } => Role::Operator,
            Stored { .. } => Role::Streamer,
        })
    }
}
