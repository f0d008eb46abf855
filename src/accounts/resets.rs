//! One-time links that set a new password: what there is instead of mail.

use jiff::Timestamp;
use secrecy::SecretString;
use serde_json::Map;
use subtle::ConstantTimeEq;

use super::{
    Account, AccountError, Accounts, Standing, State, codes::fingerprint, invitations::later, passwords, to_the_end,
    view,
};
use crate::{
    core::account::{AccountId, StreamKey},
    store::{Change, ResetRecord},
};

/// How long a link lasts.
const HOURS: i64 = 24;

impl Accounts {
    /// Makes the code of a link that sets the account's password once, within a day. The one before is dead. It is shown this once;
    /// only its hash is kept.
    ///
    /// # Errors
    /// [`AccountError::NotFound`], or a store that cannot write.
    pub async fn reset_code(&self, id: AccountId) -> Result<(SecretString, Timestamp), AccountError> {
        // As long as a stream key: 130 bits.
        let code = SecretString::from(StreamKey::from_random(rand::random()).expose().to_owned());
        let now = Timestamp::now();
        let record =
            ResetRecord { account: id, sha256: fingerprint(&code), expires: later(now, HOURS), extra: Map::new() };
        let expires = record.expires;
        let accounts = self.clone();
        to_the_end(async move {
            let _turn = accounts.inner.changes.lock().await;
            accounts.record(id).ok_or(AccountError::NotFound)?;
            let over: Vec<_> =
                accounts.state().resets.iter().filter(|one| one.expires <= now).map(|one| one.account).collect();
            let mut changes: Vec<_> = over.iter().copied().map(Change::DeleteReset).collect();
            changes.push(Change::PutReset(record.clone()));
            accounts.commit(changes).await?;
            accounts.write(|state| {
                state.resets.retain(|one| one.account != id && !over.contains(&one.account));
                state.resets.push(record);
            });
            Ok((code, expires))
        })
        .await
    }

    /// Whose password a link's code sets. Does not use it up: a messenger's preview opens links too.
    ///
    /// # Errors
    /// [`AccountError::LinkOver`].
    pub fn resets(&self, code: &SecretString) -> Result<Account, AccountError> {
        let state = self.state();
        let id = state.reset(&fingerprint(code))?;
        state.index.get(id).map(|record| view(record)).ok_or(AccountError::LinkOver)
    }

    /// Sets the password that a link is for, and uses the link up. The caller ends the sessions.
    ///
    /// # Errors
    /// [`AccountError::LinkOver`], a password that does not fit, or a store that cannot write.
    pub async fn reset_password(&self, code: &SecretString, password: SecretString) -> Result<Account, AccountError> {
        let sha256 = fingerprint(code);
        let id = self.state().reset(&sha256)?;
        passwords::check(&password)?;
        let hash = self.inner.passwords.hash(password, Standing::Known).await?;
        // A new password ends the link, in the same commit.
        self.change(id, move |state, record| {
            if state.reset(&sha256)? != id {
                return Err(AccountError::LinkOver);
            }
            record.password_hash = hash;
            Ok(())
        })
        .await
    }
}

impl State {
    /// Whose link has this fingerprint.
    fn reset(&self, sha256: &str) -> Result<AccountId, AccountError> {
        let mut found = None;
        // All of them, so that it takes as long for any code.
        for record in &self.resets {
            if bool::from(record.sha256.as_bytes().ct_eq(sha256.as_bytes())) {
                found = Some(record);
            }
        }
        found.filter(|one| Timestamp::now() < one.expires).map(|one| one.account).ok_or(AccountError::LinkOver)
    }
}
