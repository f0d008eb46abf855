//! Accounts: registration, sign-in, keys, claiming the box. Between store and web; the director asks it whose key a key is.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard},
};

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use utoipa::ToSchema;

use self::{change::to_the_end, codes::fingerprint, device_key::DeviceKey, index::Index, passwords::Passwords};
pub use self::{
    devices::Device,
    error::AccountError,
    invitations::{Invitation, NewInvitation},
    places::Standing,
    viewers::{Viewer, Viewers},
};
use crate::{
    config::{Config, Registration as Policy, is_timezone},
    core::account::{self, AccountId, Role, StreamKey},
    store::{
        AccountRecord, Change, Durability, InvitationRecord, Loaded, Receipt, ResetRecord, SETUP_CODE, Store,
        StoreError,
    },
};

mod change;
mod codes;
mod device_key;
mod devices;
mod error;
mod index;
mod invitations;
mod passwords;
mod places;
mod resets;
#[cfg(test)]
mod tests;
mod viewers;

/// Accounts there may be, so that open registration cannot fill memory and disk: 1 KB each.
const MAX_ACCOUNTS: usize = 10_000;

/// The file on the boot partition that holds the setup code, and in which it can be preset.
pub const SETUP_CODE_FILE: &str = "setup-code.txt";

/// The setting that holds the next account's id: an id never comes back, not even after its account is deleted.
const NEXT_ACCOUNT: &str = "next_account";

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
#[serde(deny_unknown_fields)]
pub struct Registration {
    /// 2 to 32 visible characters.
    pub name: String,
    /// At least 8 characters.
    #[schema(value_type = String)]
    pub password: SecretString,
    /// Optional.
    pub email: Option<String>,
    /// Optional IANA name.
    pub timezone: Option<String>,
    /// The code of an invitation, where `accounts.registration` asks for one.
    #[schema(value_type = Option<String>)]
    pub invitation: Option<SecretString>,
}

/// An edit; what is absent stays.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Edit {
    /// A new name.
    pub name: Option<String>,
    /// A new password.
    #[schema(value_type = Option<String>)]
    pub password: Option<SecretString>,
    /// A new address; empty removes it.
    pub email: Option<String>,
    /// A new time zone; empty removes it.
    pub timezone: Option<String>,
    /// Admins only.
    pub role: Option<Role>,
    /// Admins only; enabling also approves and unbans.
    pub enabled: Option<bool>,
}

impl Edit {
    /// What it changes, for the audit log: no password, no address.
    pub fn in_words(&self) -> String {
        let mut words = Vec::new();
        words.extend(self.name.as_ref().map(|name| format!("name {name:?}")));
        words.extend(self.password.as_ref().map(|_| "password".to_owned()));
        words.extend(self.email.as_ref().map(|_| "email".to_owned()));
        words.extend(self.timezone.as_ref().map(|_| "time zone".to_owned()));
        words.extend(self.role.map(|role| format!("role {role:?}").to_lowercase()));
        words.extend(self.enabled.map(|enabled| if enabled { "enabled" } else { "disabled" }.to_owned()));
        words.join(", ")
    }
}

/// Whose key it is, as the director needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyOwner {
    /// The account whose key it is.
    pub id: AccountId,
    /// The streamer's name, as the room reads it.
    pub name: String,
    /// If it may not publish: why, in words for the streamer.
    pub refusal: Option<String>,
}

/// How somebody is shut out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Out {
    /// Banned by those who run the night.
    Banned,
    /// Disabled by an admin.
    Disabled,
}

/// The handle. Cheap to clone. Reads are from memory; every change is durable before it is answered, but for [`Accounts::shut_out`].
#[derive(Clone)]
pub struct Accounts {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    policy: Mutex<Policy>,
    /// SHA-256 of `admin.token`.
    admin_token: Option<[u8; 32]>,
    passwords: Passwords,
    devices: DeviceKey,
    viewers: Viewers,
    /// Held for a moment at a time, never across an `await`.
    state: RwLock<State>,
    /// Held by a change from its check to its commit: one at a time. Taken before `state`. [`Accounts::shut_out`] does not take it, and
    /// each change looks afterwards whether somebody was shut out meanwhile.
    changes: tokio::sync::Mutex<()>,
}

struct State {
    index: Index,
    /// Who runs the box no longer as soon as a change that is being stored is.
    leaving: Option<AccountId>,
    /// Who was shut out by this process.
    outs: HashMap<AccountId, Outs>,
    next: u64,
    setup_code: Option<SecretString>,
    invitations: Vec<InvitationRecord>,
    resets: Vec<ResetRecord>,
}

/// How often somebody was shut out: so a change that was asked for before that knows that it came later.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Outs {
    banned: u64,
    disabled: u64,
}

impl Outs {
    /// Has a change that was made when it was `before` say what was ordered since.
    fn since(self, before: Self, record: &mut AccountRecord) {
        record.banned |= self.banned != before.banned;
        record.enabled &= self.disabled == before.disabled;
    }
}

/// As what somebody is taken in, and what lets them in.
struct Admission {
    role: Role,
    awaiting_approval: bool,
    /// The setup code, folded.
    claim: Option<String>,
    /// The fingerprint of an invitation's code.
    invitation: Option<String>,
}

impl Admission {
    const fn streamer() -> Self {
        Self { role: Role::Streamer, awaiting_approval: false, claim: None, invitation: None }
    }
}

impl Accounts {
    /// Builds the accounts from what the store held, and makes the setup code at the first start.
    ///
    /// # Errors
    /// [`AccountError::Store`] when the setup code cannot be stored.
    pub async fn open(store: Store, loaded: &Loaded, config: &Config) -> Result<Self, AccountError> {
        let index = Index::new(loaded.accounts.iter().cloned());
        let highest = loaded.accounts.last().map_or(0, |record| record.id.0);
        let next =
            loaded.settings.get(NEXT_ACCOUNT).and_then(Value::as_u64).unwrap_or(1).max(highest.saturating_add(1));
        let mut setup_code =
            loaded.settings.get(SETUP_CODE).and_then(Value::as_str).map(|code| SecretString::from(code.to_owned()));
        if index.has_admin() || store.trouble().is_some() {
            setup_code = None;
        } else if setup_code.is_none() {
            let preset = config.machine.boot_dir.as_deref().and_then(preset_code);
            let code = preset.unwrap_or_else(|| account::setup_code(rand::random()));
            let change = Change::PutSetting(SETUP_CODE.to_owned(), json!(code.expose_secret()));
            store.commit(vec![change], Durability::Durable).await?;
            setup_code = Some(code);
        }
        let devices = DeviceKey::open(&store, loaded).await;
        let inner = Inner {
            viewers: Viewers::new(store.clone(), loaded.viewers.clone()),
            store,
            policy: Mutex::new(config.accounts.registration),
            admin_token: config.admin.token.as_ref().map(|token| Sha256::digest(token.expose_secret()).into()),
            passwords: Passwords::new(),
            devices,
            state: RwLock::new(State {
                index,
                leaving: None,
                outs: HashMap::new(),
                next,
                setup_code,
                invitations: loaded.invitations.clone(),
                resets: loaded.resets.clone(),
            }),
            changes: tokio::sync::Mutex::default(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The tokens for `/program.flv`.
    pub fn viewers(&self) -> &Viewers {
        &self.inner.viewers
    }

    /// Who may register at present.
    pub fn policy(&self) -> Policy {
        *self.inner.policy.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes who may register, from now on.
    pub fn set_policy(&self, policy: Policy) {
        *self.inner.policy.lock().unwrap_or_else(PoisonError::into_inner) = policy;
    }

    /// Registers a streamer by the policy in force. Whoever is better known waits less.
    ///
    /// # Errors
    /// A field that is wrong, a name that is taken, a policy that forbids it, or a store that cannot write.
    pub async fn register(
        &self,
        registration: Registration,
        standing: Standing,
    ) -> Result<(Account, StreamKey), AccountError> {
        let invitation = registration.invitation.as_ref().map(fingerprint);
        let admission = match self.policy() {
            // An invitation that is not needed is not used up.
            Policy::Open => Admission::streamer(),
            // Whoever was invited is approved.
            Policy::Approval if invitation.is_none() => Admission { awaiting_approval: true, ..Admission::streamer() },
            Policy::Invite if invitation.is_none() => return Err(AccountError::InvitationNeeded),
            Policy::Approval | Policy::Invite => Admission { invitation, ..Admission::streamer() },
            Policy::Closed => {
                return Err(AccountError::RegistrationClosed("this box takes no new streamers at present"));
            }
        };
        self.add(registration, admission, standing).await
    }

    /// Makes a streamer's account by an admin's order, whatever the policy says: enabled, and waiting for no approval.
    ///
    /// # Errors
    /// A field that is wrong, a name that is taken, or a store that cannot write.
    pub async fn create(&self, registration: Registration) -> Result<(Account, StreamKey), AccountError> {
        self.add(registration, Admission::streamer(), Standing::Crew).await
    }

    /// Makes the first admin, once. Rate limits and delays are the web's.
    ///
    /// # Errors
    /// [`AccountError::AlreadyClaimed`], [`AccountError::WrongSetupCode`], or as [`Accounts::create`].
    pub async fn claim(
        &self,
        code: &str,
        name: String,
        password: SecretString,
    ) -> Result<(Account, StreamKey), AccountError> {
        let code = account::folded(code).ok_or(AccountError::WrongSetupCode)?;
        // Now, so that a wrong code costs no hash; and once more when it is this claim's turn.
        self.state().check_claim(&code)?;
        let registration = Registration { name, password, email: None, timezone: None, invitation: None };
        let admission = Admission { role: Role::Admin, claim: Some(code), ..Admission::streamer() };
        self.add(registration, admission, Standing::Crew).await
    }

    /// Whether there is an admin, or `admin.token` is configured.
    pub fn is_claimed(&self) -> bool {
        self.inner.admin_token.is_some() || self.state().index.has_admin()
    }

    /// The setup code while the box is not claimed. Printed at the first start, the same until it is used.
    pub fn setup_code(&self) -> Option<SecretString> {
        if self.is_claimed() { None } else { self.state().setup_code.clone() }
    }

    /// Why nobody is known here, where the store cannot be opened.
    pub fn trouble(&self) -> Option<&StoreError> {
        self.inner.store.trouble()
    }

    /// Checks a password. Takes as long for a name nobody has; whoever is better known waits less.
    ///
    /// # Errors
    /// [`AccountError::WrongCredentials`]; [`AccountError::NotEnabled`] to whoever knows the password; [`AccountError::Busy`].
    pub async fn sign_in(
        &self,
        name: &str,
        password: &SecretString,
        standing: Standing,
    ) -> Result<Account, AccountError> {
        let record = self.state().index.by_name(name).cloned();
        let hash = record.as_ref().map(|record| record.password_hash.clone());
        let id = record.map(|record| record.id);
        if !self.inner.passwords.verify(password.clone(), hash.clone(), standing).await? {
            return Err(AccountError::WrongCredentials);
        }
        // As it is now: it may have changed while the password was checked.
        let record = id.and_then(|id| self.record(id)).ok_or(AccountError::WrongCredentials)?;
        if hash.is_none_or(|hash| hash.expose_secret() != record.password_hash.expose_secret()) {
            return Err(AccountError::WrongCredentials);
        }
        match refusal(&record) {
            Some(reason) => Err(AccountError::NotEnabled(reason)),
            None => Ok(view(&record)),
        }
    }

    /// Whether `token` is `admin.token`, in constant time.
    pub fn is_admin_token(&self, token: &str) -> bool {
        let given: [u8; 32] = Sha256::digest(token).into();
        self.inner.admin_token.is_some_and(|expected| expected.ct_eq(&given).into())
    }

    /// One account.
    pub fn get(&self, id: AccountId) -> Option<Account> {
        self.state().index.get(id).map(|record| view(record))
    }

    /// All, by name.
    pub fn list(&self) -> Vec<Account> {
        let mut list: Vec<_> = self.state().index.all().map(|record| view(record)).collect();
        list.sort_by_cached_key(|account| account::canonical_name(&account.name));
        list
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.state().index.all().count()
    }

    /// Whom those who run the night have banned, by name.
    pub fn banned(&self) -> Vec<(AccountId, String)> {
        let banned = |record: &&Arc<AccountRecord>| record.banned;
        let mut banned: Vec<_> =
            self.state().index.all().filter(banned).map(|record| (record.id, record.name.clone())).collect();
        banned.sort_by_cached_key(|(_, name)| account::canonical_name(name));
        banned
    }

    /// The account's stream key, to show to its owner.
    pub fn stream_key(&self, id: AccountId) -> Option<StreamKey> {
        self.state().index.get(id).map(|record| record.stream_key.clone())
    }

    /// Whose key this is; takes the same time whatever the key.
    pub fn key_owner(&self, key: &StreamKey) -> Option<KeyOwner> {
        let state = self.state();
        let record = state.index.by_key(key)?;
        let refusal = refusal(record).map(|reason| format!("this account cannot publish: {reason}"));
        Some(KeyOwner { id: record.id, name: record.name.clone(), refusal })
    }

    /// A fresh key; the old one is dead at once. The caller tells the director, which drops the connection.
    ///
    /// # Errors
    /// [`AccountError::NotFound`], or a store that cannot write.
    pub async fn new_stream_key(&self, id: AccountId) -> Result<StreamKey, AccountError> {
        let key = StreamKey::from_random(rand::random());
        let fresh = key.clone();
        self.change(id, move |_, record| {
            record.stream_key = fresh;
            Ok(())
        })
        .await?;
        Ok(key)
    }

    /// Edits an account. The caller tells the director if it was disabled.
    ///
    /// # Errors
    /// A field that is wrong, a name that is taken, [`AccountError::LastAdmin`], or a store that cannot write.
    pub async fn edit(&self, id: AccountId, edit: Edit) -> Result<Account, AccountError> {
        // Now: whoever is shut out while the password is hashed was shut out later.
        let asked = self.state().outs(id);
        let Edit { name, password, email, timezone, role, enabled } = edit;
        let name = name.map(|name| valid_name(&name)).transpose()?;
        let email = email.map(|email| valid_email(&email)).transpose()?;
        let timezone = timezone.map(|timezone| valid_timezone(&timezone)).transpose()?;
        let password = match password {
            None => None,
            Some(password) => {
                passwords::check(&password)?;
                Some(self.inner.passwords.hash(password, Standing::Known).await?)
            }
        };
        self.change_asked(id, asked, move |state, record| {
            if let Some(name) = name {
                if state.index.by_name(&name).is_some_and(|other| other.id != id) {
                    return Err(AccountError::NameTaken);
                }
                record.name = name;
            }
            record.password_hash = password.unwrap_or_else(|| record.password_hash.clone());
            record.email = email.unwrap_or_else(|| record.email.clone());
            record.timezone = timezone.unwrap_or_else(|| record.timezone.clone());
            record.role = role.unwrap_or(record.role);
            if let Some(enabled) = enabled {
                record.enabled = enabled;
                record.banned &= !enabled;
                record.awaiting_approval &= !enabled;
            }
            Ok(())
        })
        .await
    }

    /// Takes a ban back. Nothing else: it approves nobody, and enables nobody who was disabled besides.
    ///
    /// # Errors
    /// [`AccountError::NotFound`], or a store that cannot write.
    pub async fn unban(&self, id: AccountId) -> Result<Account, AccountError> {
        self.change(id, |_, record| {
            record.banned = false;
            Ok(())
        })
        .await
    }

    /// Shuts somebody out at once: in memory, and on the disk as soon as possible. Waits for no disk, and for no change that does. The
    /// caller tells the director, and ends the sessions.
    ///
    /// # Errors
    /// [`AccountError::NotFound`], [`AccountError::LastAdmin`].
    pub fn shut_out(&self, id: AccountId, how: Out) -> Result<(Account, Receipt), AccountError> {
        self.write(|state| {
            let old = state.index.get(id).ok_or(AccountError::NotFound)?;
            let mut record = AccountRecord::clone(old);
            match how {
                Out::Banned => record.banned = true,
                Out::Disabled => record.enabled = false,
            }
            if runs_the_box(old) && !runs_the_box(&record) && !state.other_admin(id) {
                return Err(AccountError::LastAdmin);
            }
            let account = view(&record);
            let differs = (old.banned, old.enabled) != (record.banned, record.enabled);
            let outs = state.outs.entry(id).or_default();
            match how {
                Out::Banned => outs.banned += 1,
                Out::Disabled => outs.disabled += 1,
            }
            // Who is out already has the row that says so.
            let changes = if differs { vec![Change::PutAccount(record.clone())] } else { Vec::new() };
            if differs {
                state.index.put(record);
            }
            // While `state` is held: the store gets these in the order in which memory did.
            Ok((account, self.inner.store.commit_soon(changes)))
        })
    }

    /// Deletes. The caller tells the director.
    ///
    /// # Errors
    /// [`AccountError::NotFound`], [`AccountError::LastAdmin`], or a store that cannot write.
    pub async fn delete(&self, id: AccountId) -> Result<(), AccountError> {
        let accounts = self.clone();
        to_the_end(async move {
            let _turn = accounts.inner.changes.lock().await;
            let record = accounts.record(id).ok_or(AccountError::NotFound)?;
            if runs_the_box(&record) && !accounts.state().other_admin(id) {
                return Err(AccountError::LastAdmin);
            }
            let _leaving = accounts.leaves(runs_the_box(&record).then_some(id));
            accounts.commit(vec![Change::DeleteAccount(id), Change::DeleteReset(id)]).await?;
            let mut old = record;
            loop {
                let shut_out = accounts.write(|state| {
                    let now = state.index.get(id).filter(|now| !Arc::ptr_eq(now, &old)).cloned();
                    if now.is_none() {
                        state.index.remove(id);
                        state.outs.remove(&id);
                        state.resets.retain(|reset| reset.account != id);
                    }
                    now
                });
                // Whoever was shut out meanwhile was written once more: then that goes too.
                let Some(now) = shut_out else { return Ok(()) };
                accounts.commit_or_keep(vec![Change::DeleteAccount(id)], id).await?;
                old = now;
            }
        })
        .await
    }

    async fn add(
        &self,
        registration: Registration,
        admission: Admission,
        standing: Standing,
    ) -> Result<(Account, StreamKey), AccountError> {
        let Registration { name, password, email, timezone, invitation: _ } = registration;
        let Admission { role, awaiting_approval, claim, invitation } = admission;
        let name = valid_name(&name)?;
        let email = email.map(|email| valid_email(&email)).transpose()?.flatten();
        let timezone = timezone.map(|timezone| valid_timezone(&timezone)).transpose()?.flatten();
        passwords::check(&password)?;
        // Now, so that a name that is taken costs no hash; and once more when it is this registration's turn.
        self.state().check_new(&name)?;
        self.state().use_of(invitation.as_deref())?;
        let password_hash = self.inner.passwords.hash(password, standing).await?;

        let accounts = self.clone();
        to_the_end(async move {
            let _turn = accounts.inner.changes.lock().await;
            let (id, used) = {
                let state = accounts.state();
                if let Some(code) = &claim {
                    state.check_claim(code)?;
                }
                state.check_new(&name)?;
                (AccountId(state.next), state.use_of(invitation.as_deref())?)
            };
            let stream_key = StreamKey::from_random(rand::random());
            let record = AccountRecord {
                id,
                name,
                password_hash,
                stream_key: stream_key.clone(),
                role,
                enabled: true,
                awaiting_approval,
                banned: false,
                email,
                timezone,
                created: jiff::Timestamp::now(),
                extra: Map::new(),
            };
            let next = id.0.saturating_add(1);
            let mut changes =
                vec![Change::PutAccount(record.clone()), Change::PutSetting(NEXT_ACCOUNT.to_owned(), json!(next))];
            if claim.is_some() {
                changes.push(Change::DeleteSetting(SETUP_CODE.to_owned()));
            }
            changes.extend(used.clone().map(Change::PutInvitation));
            accounts.commit(changes).await?;
            let account = view(&record);
            accounts.write(|state| {
                state.index.put(record);
                state.next = next;
                if claim.is_some() {
                    state.setup_code = None;
                }
                if let Some(used) = used {
                    state.invitations.retain(|other| other.id != used.id);
                    state.invitations.push(used);
                }
            });
            Ok((account, stream_key))
        })
        .await
    }

    /// Changes one account, durably, by a rule that sees all of them as they are then.
    async fn change(
        &self,
        id: AccountId,
        rule: impl FnOnce(&State, &mut AccountRecord) -> Result<(), AccountError> + Send + 'static,
    ) -> Result<Account, AccountError> {
        let asked = self.state().outs(id);
        self.change_asked(id, asked, rule).await
    }

    /// The same; it was asked for when somebody had been shut out as often as `asked` says.
    async fn change_asked(
        &self,
        id: AccountId,
        asked: Outs,
        rule: impl FnOnce(&State, &mut AccountRecord) -> Result<(), AccountError> + Send + 'static,
    ) -> Result<Account, AccountError> {
        let accounts = self.clone();
        to_the_end(async move {
            let _turn = accounts.inner.changes.lock().await;
            let (mut old, mut outs, mut record) = {
                let state = accounts.state();
                let old = Arc::clone(state.index.get(id).ok_or(AccountError::NotFound)?);
                let (outs, mut record) = (state.outs(id), AccountRecord::clone(&old));
                rule(&state, &mut record)?;
                outs.since(asked, &mut record);
                if runs_the_box(&old) && !runs_the_box(&record) && !state.other_admin(id) {
                    return Err(AccountError::LastAdmin);
                }
                (old, outs, record)
            };
            let new_password = record.password_hash.expose_secret() != old.password_hash.expose_secret();
            let _leaving = accounts.leaves((runs_the_box(&old) && !runs_the_box(&record)).then_some(id));
            let mut changes = vec![Change::PutAccount(record.clone())];
            // A link that was made for another password than this must not undo it.
            changes.extend(new_password.then_some(Change::DeleteReset(id)));
            accounts.commit(changes).await?;
            loop {
                let shut_out = accounts.write(|state| {
                    if state.is_as(id, &old, outs) {
                        state.index.put(record.clone());
                        state.resets.retain(|reset| !new_password || reset.account != id);
                        return None;
                    }
                    Some((state.index.get(id).cloned()?, state.outs(id)))
                });
                // Whoever was shut out meanwhile stays so: that was ordered later.
                let Some((now, later)) = shut_out else { return Ok(view(&record)) };
                later.since(outs, &mut record);
                accounts.commit_or_keep(vec![Change::PutAccount(record.clone())], id).await?;
                (old, outs) = (now, later);
            }
        })
        .await
    }

    /// Says who leaves those who run the box, until it is dropped.
    fn leaves(&self, who: Option<AccountId>) -> Leaving<'_> {
        self.write(|state| state.leaving = who);
        Leaving(self)
    }

    /// Commits what takes the place of a change of this account that is stored already; or, if that fails, has the disk follow memory.
    async fn commit_or_keep(&self, changes: Vec<Change>, id: AccountId) -> Result<(), AccountError> {
        let done = self.commit(changes).await;
        if done.is_err() {
            // As it is now, and while `state` is held: somebody may have been shut out once more.
            let state = self.state();
            if let Some(now) = state.index.get(id) {
                self.inner.store.commit_soon(vec![Change::PutAccount(AccountRecord::clone(now))]);
            }
        }
        done
    }

    async fn commit(&self, changes: Vec<Change>) -> Result<(), AccountError> {
        Ok(self.inner.store.commit(changes, Durability::Durable).await?)
    }

    fn record(&self, id: AccountId) -> Option<Arc<AccountRecord>> {
        self.state().index.get(id).cloned()
    }

    fn state(&self) -> RwLockReadGuard<'_, State> {
        self.inner.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.inner.state.write().unwrap_or_else(PoisonError::into_inner))
    }
}

/// See [`Accounts::leaves`].
struct Leaving<'a>(&'a Accounts);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.0.write(|state| state.leaving = None);
    }
}

impl State {
    /// Whether somebody else than `id` can run the box, now and when what is being stored is.
    fn other_admin(&self, id: AccountId) -> bool {
        self.index.all().any(|record| record.id != id && Some(record.id) != self.leaving && runs_the_box(record))
    }

    /// How often somebody was shut out so far.
    fn outs(&self, id: AccountId) -> Outs {
        self.outs.get(&id).copied().unwrap_or_default()
    }

    /// Whether nobody was shut out since the account was so.
    fn is_as(&self, id: AccountId, old: &Arc<AccountRecord>, outs: Outs) -> bool {
        self.outs(id) == outs && self.index.get(id).is_some_and(|now| Arc::ptr_eq(now, old))
    }

    fn check_claim(&self, code: &str) -> Result<(), AccountError> {
        if self.index.has_admin() {
            return Err(AccountError::AlreadyClaimed);
        }
        // A preset one may have been written as people write.
        let expected =
            self.setup_code.as_ref().and_then(|code| account::folded(code.expose_secret())).unwrap_or_default();
        if !expected.is_empty() && bool::from(expected.as_bytes().ct_eq(code.as_bytes())) {
            Ok(())
        } else {
            Err(AccountError::WrongSetupCode)
        }
    }

    fn check_new(&self, name: &str) -> Result<(), AccountError> {
        if self.index.by_name(name).is_some() {
            return Err(AccountError::NameTaken);
        }
        if self.index.all().nth(MAX_ACCOUNTS - 1).is_some() {
            return Err(AccountError::RegistrationClosed("this box has as many accounts as it can hold"));
        }
        Ok(())
    }
}

/// Why an account may neither sign in nor publish.
fn refusal(record: &AccountRecord) -> Option<&'static str> {
    if record.banned {
        Some("it was banned by those who run this box")
    } else if record.awaiting_approval {
        Some("it waits for the approval of those who run this box")
    } else if record.enabled {
        None
    } else {
        Some("it was disabled by those who run this box")
    }
}

fn runs_the_box(record: &AccountRecord) -> bool {
    record.role == Role::Admin && refusal(record).is_none()
}

fn view(record: &AccountRecord) -> Account {
    Account {
        id: record.id,
        name: record.name.clone(),
        role: record.role,
        enabled: refusal(record).is_none(),
        awaiting_approval: record.awaiting_approval,
        banned: record.banned,
        email: record.email.clone(),
        timezone: record.timezone.clone(),
        created: record.created,
    }
}

fn invalid(field: &'static str, reason: &str) -> AccountError {
    AccountError::Invalid { field, reason: reason.to_owned() }
}

fn valid_name(typed: &str) -> Result<String, AccountError> {
    account::name(typed).map_err(|reason| invalid("name", reason))
}

/// None removes it. Only its shape is checked: whether mail arrives, only mail can tell.
fn valid_email(typed: &str) -> Result<Option<String>, AccountError> {
    let email = typed.trim();
    if email.is_empty() {
        return Ok(None);
    }
    let (local, domain) = email.rsplit_once('@').unwrap_or_default();
    let plain = |text: &str| !text.is_empty() && !text.chars().any(|c| c.is_whitespace() || c.is_control());
    // RFC 5321, 4.5.3.1: 254 is what fits between the brackets of a path.
    if email.len() > 254 || !plain(local) || !plain(domain) {
        return Err(invalid("email", "this is not an address such as name@example.org"));
    }
    Ok(Some(email.to_owned()))
}

/// The name of a time zone, checked; none, which removes it, for an empty one.
fn valid_timezone(typed: &str) -> Result<Option<String>, AccountError> {
    let name = typed.trim();
    if name.is_empty() {
        return Ok(None);
    }
    if !is_timezone(name) {
        return Err(invalid("timezone", "this is not a time zone such as Europe/Berlin"));
    }
    Ok(Some(name.to_owned()))
}

/// A setup code that somebody wrote onto the boot partition before the first start: 8 to 40 letters and digits.
fn preset_code(boot_dir: &std::path::Path) -> Option<SecretString> {
    let path = boot_dir.join(SETUP_CODE_FILE);
    let mut text = String::new();
    let file = std::fs::File::open(&path).ok()?;
    std::io::Read::read_to_string(&mut std::io::Read::take(file, 200), &mut text).ok()?;
    let code = text.trim();
    let symbols = account::folded(code)?;
    if (8..=40).contains(&symbols.len()) && symbols.chars().all(|symbol| symbol.is_ascii_alphanumeric()) {
        return Some(SecretString::from(code.to_owned()));
    }
    tracing::warn!(path = %path.display(), "this is no setup code (8 to 40 letters and digits); the box makes one");
    None
}
