//! Invitations: codes that let so many register until so long.

use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::Map;
use subtle::ConstantTimeEq;
use utoipa::ToSchema;

use super::{Accounts, State, change::to_the_end, codes::fingerprint, error::AccountError};
use crate::{
    core::account,
    store::{Change, InvitationRecord},
};

/// Invitations there may be; each is compared at every registration.
const MAX: usize = 200;

/// The most that may register with one: a festival.
const MOST_USES: u32 = 1000;

/// The longest that one lasts, in hours: a year.
const LONGEST_HOURS: u32 = 366 * 24;

/// An invitation without its code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Invitation {
    /// Its id.
    pub id: u64,
    /// Whom it is for, in an admin's words.
    pub label: String,
    /// How many may register with it.
    pub uses: u32,
    /// How many have.
    pub used: u32,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created: Timestamp,
    /// When it ends.
    #[schema(value_type = String, format = DateTime)]
    pub expires: Timestamp,
    /// Whether somebody can still register with it.
    pub open: bool,
}

/// An invitation to be made.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewInvitation {
    /// Whom it is for: 1 to 64 characters.
    pub label: String,
    /// How many may register with it: 1 to 1000.
    #[serde(default = "one")]
    pub uses: u32,
    /// For how long, in hours: 1 to 8784, a week without it.
    #[serde(default = "a_week")]
    pub valid_hours: u32,
}

const fn one() -> u32 {
    1
}

const fn a_week() -> u32 {
    7 * 24
}

impl Accounts {
    /// All invitations, the latest first, those that are over included.
    pub fn invitations(&self) -> Vec<Invitation> {
        let now = Timestamp::now();
        let mut list: Vec<_> = self.state().invitations.iter().map(|record| view(record, now)).collect();
        list.sort_by_key(|invitation| std::cmp::Reverse((invitation.created, invitation.id)));
        list
    }

    /// Makes an invitation. Its code is shown this once; only its hash is kept.
    ///
    /// # Errors
    /// A field that does not fit, too many invitations, or a store that cannot write.
    pub async fn invite(&self, new: NewInvitation) -> Result<(Invitation, SecretString), AccountError> {
        let invalid = |field, reason: String| Err(AccountError::Invalid { field, reason });
        let label = new.label.trim().to_owned();
        if label.is_empty() || label.chars().count() > 64 || label.chars().any(char::is_control) {
            return invalid("label", "say in 1 to 64 visible characters whom it is for".to_owned());
        }
        if !(1..=MOST_USES).contains(&new.uses) {
            return invalid("uses", format!("1 to {MOST_USES} may register with one invitation"));
        }
        if !(1..=LONGEST_HOURS).contains(&new.valid_hours) {
            return invalid("valid_hours", format!("an invitation lasts 1 to {LONGEST_HOURS} hours"));
        }
        let code = account::invitation_code(rand::random());
        let created = Timestamp::now();
        let record = InvitationRecord {
            // Random, so that the id of a revoked one does not come back; 52 bits, which every program's numbers hold.
            id: rand::random::<u64>() >> 12,
            label,
            sha256: fingerprint(&code),
            uses: new.uses,
            used: 0,
            created,
            expires: later(created, i64::from(new.valid_hours)),
            extra: Map::new(),
        };
        let accounts = self.clone();
        to_the_end(async move {
            let _turn = accounts.inner.changes.lock().await;
            let over: Vec<_> = {
                let state = accounts.state();
                if state.invitations.len() < MAX {
                    Vec::new()
                } else {
                    state.invitations.iter().filter(|one| !is_open(one, created)).map(|one| one.id).collect()
                }
            };
            if accounts.state().invitations.len() >= MAX + over.len() {
                let reason = format!("there are {MAX} invitations already; revoke one first");
                return Err(AccountError::Invalid { field: "label", reason });
            }
            let mut changes: Vec<_> = over.iter().copied().map(Change::DeleteInvitation).collect();
            changes.push(Change::PutInvitation(record.clone()));
            accounts.commit(changes).await?;
            let invitation = view(&record, created);
            accounts.write(|state| {
                state.invitations.retain(|one| !over.contains(&one.id));
                state.invitations.push(record);
            });
            Ok((invitation, code))
        })
        .await
    }

    /// Revokes an invitation. Who registered with it stays.
    ///
    /// # Errors
    /// [`AccountError::NotFound`], or a store that cannot write.
    pub async fn revoke_invitation(&self, id: u64) -> Result<(), AccountError> {
        let accounts = self.clone();
        to_the_end(async move {
            let _turn = accounts.inner.changes.lock().await;
            if !accounts.state().invitations.iter().any(|one| one.id == id) {
                return Err(AccountError::NotFound);
            }
            accounts.commit(vec![Change::DeleteInvitation(id)]).await?;
            accounts.write(|state| state.invitations.retain(|one| one.id != id));
            Ok(())
        })
        .await
    }
}

impl State {
    /// The invitation with this fingerprint as it is after one more registration; none where none was shown.
    pub(super) fn use_of(&self, sha256: Option<&str>) -> Result<Option<InvitationRecord>, AccountError> {
        let Some(sha256) = sha256 else { return Ok(None) };
        let mut found = None;
        // All of them, so that it takes as long for any code.
        for record in &self.invitations {
            if bool::from(record.sha256.as_bytes().ct_eq(sha256.as_bytes())) {
                found = Some(record);
            }
        }
        match found.filter(|record| is_open(record, Timestamp::now())) {
            Some(record) => Ok(Some(InvitationRecord { used: record.used.saturating_add(1), ..record.clone() })),
            None => Err(AccountError::Invalid {
                field: "invitation",
                reason: "this invitation is used up, too old, or none of this box; ask for a new one".to_owned(),
            }),
        }
    }
}

/// So many hours after `from`.
pub(super) fn later(from: Timestamp, hours: i64) -> Timestamp {
    from.checked_add(SignedDuration::from_hours(hours)).unwrap_or(Timestamp::MAX)
}

fn is_open(record: &InvitationRecord, now: Timestamp) -> bool {
    record.used < record.uses && now < record.expires
}

fn view(record: &InvitationRecord, now: Timestamp) -> Invitation {
    Invitation {
        id: record.id,
        label: record.label.clone(),
        uses: record.uses,
        used: record.used,
        created: record.created,
        expires: record.expires,
        open: is_open(record, now),
    }
}
