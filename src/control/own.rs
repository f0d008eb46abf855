//! One's own account: what its owner may order, and is told.

use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    denied::Denied,
    journal::By,
    limits::Whom,
    room::{Control, to_the_end},
    sessions::SessionId,
    ways::{Reached, Way, rtmp_url, ways},
};
use crate::{
    accounts::{Account, AccountError, Edit, Standing},
    core::{
        account::{AccountId, StreamKey},
        queue::EntryId,
    },
    director::{Presence, Snapshot},
    media::InputStatus,
    store::Kept,
};

/// What signs somebody in.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Credentials {
    /// The account's name.
    pub(crate) name: String,
    /// Its password.
    #[schema(value_type = String)]
    pub(crate) password: SecretString,
}

/// Who these credentials belong to, for a face that begins a session with it. Whoever signed in on this device before has an allowance of
/// their own, and is let through before those whom nobody knows.
///
/// # Errors
/// That they are wrong or were tried too often, or that the account may not sign in.
pub(crate) async fn sign_in(control: &Control, by: &By, credentials: &Credentials) -> Result<Account, Denied> {
    let limit = &control.room().limits.sign_in;
    let device = by.device(control, &credentials.name);
    match &device {
        Some(device) => limit.attempt_of(Whom::Device(device.number))?,
        None => by.attempt(limit)?,
    }
    let standing = by.standing(device.as_ref());
    let checked = control.parts().accounts.sign_in(&credentials.name, &credentials.password, standing).await;
    let account = checked.inspect_err(|error| by.failed(error))?;
    by.becomes(&account).did_with_own("session.begin");
    Ok(account)
}

/// Ends all sessions of the account, at once.
pub(crate) async fn end_sessions(control: &Control, by: &By, account: &Account) -> Kept {
    by.did_with_own("session.end-all");
    control.parts().sessions.end_all(account.id, None);
    control.parts().sessions.kept().await
}

/// One's own account.
#[derive(Serialize, ToSchema)]
pub(crate) struct Me {
    #[serde(flatten)]
    pub(crate) account: Account,
    /// The stream key. Whoever has it can publish as this streamer.
    pub(crate) stream_key: Option<String>,
    /// The server's address for the encoder.
    pub(crate) rtmp_url: String,
    /// Every way to publish that is open now.
    pub(crate) ways: Vec<Way>,
    /// Why the last publish was refused or the connection was ended by the box, and what to do.
    pub(crate) last_refusal: Option<Refusal>,
    /// The place in the queue, if there is one.
    pub(crate) entry: Option<OwnEntry>,
    /// Seconds until a publish is accepted again, while held off.
    pub(crate) held_off_seconds: Option<f64>,
    /// How the open connection does. Asking for it has it measured for the next 15 s, also while it only waits.
    pub(crate) health: Option<InputStatus>,
}

/// Why a publish was refused or a connection ended by the box.
#[derive(Serialize, ToSchema)]
pub(crate) struct Refusal {
    /// When, by the wall clock.
    #[schema(value_type = String, format = DateTime)]
    pub(crate) at: jiff::Timestamp,
    /// Why, and what to do.
    pub(crate) reason: String,
}

/// One's own place in the queue.
#[derive(Serialize, ToSchema)]
pub(crate) struct OwnEntry {
    /// Its id.
    pub(crate) id: EntryId,
    /// Whether it can be taken.
    pub(crate) presence: Presence,
    /// 0 on air, 1 the first who waits, and so on.
    pub(crate) position: usize,
    /// Why it cannot be taken although its stream arrives, and what to do.
    pub(crate) trouble: Option<String>,
}

pub(crate) fn own_entry(snapshot: &Snapshot, account: AccountId) -> Option<OwnEntry> {
    let on_air = snapshot.queue.on_air.as_ref().map(|turn| (0, &turn.entry));
    let waiting = snapshot.queue.waiting.iter().enumerate().map(|(place, entry)| (place + 1, entry));
    on_air.into_iter().chain(waiting).find(|(_, entry)| entry.account == account).map(|(position, entry)| OwnEntry {
        id: entry.id,
        presence: entry.presence,
        position,
        trouble: snapshot.lacks.get(&entry.id).map(ToString::to_string),
    })
}

/// How the entry's connection does; has it measured while somebody looks.
pub(crate) fn health(control: &Control, snapshot: &Snapshot, entry: EntryId) -> Option<InputStatus> {
    let connection = snapshot.connections.get(&entry)?;
    control.look_at(connection);
    control.media_status().inputs.get(connection).cloned()
}

/// All that its owner is told of an account.
pub(crate) fn told(control: &Control, account: Account, reached: &Reached) -> Me {
    let snapshot = control.snapshot();
    let late = control.now().since(snapshot.taken).as_secs_f64();
    let hold_off = snapshot.hold_offs.iter().find(|held| held.account == account.id);
    let key = control.stream_key(account.id);
    let entry = own_entry(&snapshot, account.id);
    Me {
        ways: key.as_ref().map(|key| ways(control, reached, key)).unwrap_or_default(),
        stream_key: key.map(|key| key.expose().to_owned()),
        rtmp_url: rtmp_url(control, reached),
        last_refusal: snapshot
            .refusals
            .get(&account.id)
            .map(|(at, reason)| Refusal { at: *at, reason: reason.clone() }),
        health: entry.as_ref().and_then(|entry| health(control, &snapshot, entry.id)),
        entry,
        held_off_seconds: hold_off.map(|held| (held.remaining_seconds - late).max(0.0)),
        account,
    }
}

/// An edit of one's own account; what is absent stays.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OwnEdit {
    /// A new name.
    pub(crate) name: Option<String>,
    /// A new address; empty removes it.
    pub(crate) email: Option<String>,
    /// A new time zone; empty removes it.
    pub(crate) timezone: Option<String>,
    /// A new password; needs the current one too.
    #[schema(value_type = Option<String>)]
    pub(crate) password: Option<SecretString>,
    /// The password until now: a browser left open is not enough to take an account over.
    #[schema(value_type = Option<String>)]
    pub(crate) current_password: Option<SecretString>,
}

/// Edits one's own account. A new password ends all its sessions but `session`.
///
/// # Errors
/// What does not fit, that the present password is missing or wrong, or that it could not be stored.
pub(crate) async fn edit(
    control: &Control,
    by: &By,
    account: &Account,
    session: Option<SessionId>,
    edit: OwnEdit,
) -> Result<Account, Denied> {
    let changes_password = edit.password.is_some();
    if changes_password {
        let Some(current) = edit.current_password else {
            return Err(Denied::invalid("current_password", "to change the password, give the current one too"));
        };
        is_owner(control, by, account, &current).await?;
    }
    let edit = Edit {
        name: edit.name,
        email: edit.email,
        timezone: edit.timezone,
        password: edit.password,
        ..Edit::default()
    };
    by.did_with_own(if changes_password { "me.password" } else { "me.edit" });
    let (control, before) = (control.clone(), account.clone());
    to_the_end(async move {
        let account = control.parts().accounts.edit(before.id, edit).await?;
        control.tell_edited(Some(&before), &account);
        if changes_password {
            control.parts().sessions.end_all(account.id, session.as_ref());
        }
        Ok(account)
    })
    .await
}

/// Whether whoever sits there knows the account's password: a browser left open is not enough for everything.
///
/// # Errors
/// That the password is wrong, or was tried too often.
pub(crate) async fn is_owner(
    control: &Control,
    by: &By,
    account: &Account,
    password: &SecretString,
) -> Result<(), Denied> {
    control.room().limits.sign_in.attempt_of(Whom::Account(account.id))?;
    let standing = if account.role.runs_the_night() { Standing::Crew } else { Standing::Known };
    match control.parts().accounts.sign_in(&account.name, password, standing).await {
        Ok(_) => Ok(()),
        Err(error @ AccountError::WrongCredentials) => {
            by.failed(&error);
            Err(Denied::invalid("current_password", "this is not the current password"))
        }
        Err(error) => Err(error.into()),
    }
}

/// Makes a new stream key; whoever publishes with the one before is disconnected.
///
/// # Errors
/// That it could not be stored.
pub(crate) async fn fresh_key(control: &Control, account: AccountId) -> Result<StreamKey, Denied> {
    let control = control.clone();
    to_the_end(async move {
        let key = control.parts().accounts.new_stream_key(account).await?;
        let reason = "a new stream key was made; put it into your encoder".to_owned();
        control.parts().director.revoke(account, false, reason).await?;
        Ok(key)
    })
    .await
}

/// Leaves the queue: the place goes and the connection is dropped, at once (rule 19).
///
/// # Errors
/// That there is no place to leave.
pub(crate) async fn leave(control: &Control, account: AccountId) -> Result<Kept, Denied> {
    Ok(control.parts().director.leave(account).await?)
}
