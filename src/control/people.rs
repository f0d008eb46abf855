//! Accounts, and what may be ordered about them: who joins, who runs the night, who is out.

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    denied::Denied,
    journal::{By, Caller},
    news::News,
    own,
    room::{Control, to_the_end},
    ways::Reached,
};
use crate::{
    accounts::{Account, Edit, Invitation, NewInvitation, Out, Registration},
    core::account::{AccountId, Role, StreamKey},
    store::Kept,
};

/// A new account, if whoever asks may have one now. Admins may have one made whatever `accounts.registration` says.
///
/// # Errors
/// What is wrong with it, that registration is not open, that there are too many accounts, or that the address has registered too often.
pub(crate) async fn register(
    control: &Control,
    by: &By,
    registration: Registration,
) -> Result<(Account, StreamKey), Denied> {
    let made = if by.caller.is_admin() {
        by.did("account.create", registration.name.clone());
        control.parts().accounts.create(registration).await?
    } else {
        by.attempt(&control.room().limits.registration)?;
        if control.parts().accounts.count() as u64 >= control.config().accounts.most {
            return Err(Denied::TooMany("the box has as many accounts as it takes; ask the crew for one"));
        }
        let made = control.parts().accounts.register(registration, by.standing(None)).await?;
        by.becomes(&made.0).did("account.register", "");
        made
    };
    control.tell(News::AccountMade(made.0.id));
    Ok(made)
}

/// What claims the box.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Setup {
    /// The code printed at the first start.
    #[schema(value_type = String)]
    pub(crate) code: SecretString,
    /// The admin's name: 2 to 32 visible characters.
    pub(crate) name: String,
    /// At least 8 characters.
    #[schema(value_type = String)]
    pub(crate) password: SecretString,
}

/// Makes the first admin, once, if the code is right.
///
/// # Errors
/// That the code is wrong or was tried too often, that the box has an owner, or what is wrong with name or password.
pub(crate) async fn claim(control: &Control, by: &By, setup: Setup) -> Result<(Account, StreamKey), Denied> {
    by.attempt(&control.room().limits.setup)?;
    let claim = control.parts().accounts.claim(setup.code.expose_secret(), setup.name, setup.password);
    let made = claim.await.inspect_err(|error| by.failed(error))?;
    by.becomes(&made.0).did("box.claim", "");
    control.tell(News::AccountMade(made.0.id));
    Ok(made)
}

/// An account's name, for the audit log.
pub(crate) fn name_of(control: &Control, id: AccountId) -> String {
    control.parts().accounts.get(id).map(|account| account.name).unwrap_or_default()
}

/// Edits an account: who is disabled loses connection, place and sessions; a new password ends the sessions. Who is only disabled is so at
/// once, as by a ban (rule 19).
///
/// # Errors
/// What does not fit, that the last admin has to stay, or that it could not be stored.
pub(crate) async fn edit(control: &Control, by: &By, id: AccountId, edit: Edit) -> Result<(Account, Kept), Denied> {
    by.did("account.edit", format!("{}: {}", name_of(control, id), edit.in_words()));
    if let Edit { name: None, password: None, email: None, timezone: None, role: None, enabled: Some(false) } = edit {
        return shut_out(control, id, Out::Disabled, DISABLED).await;
    }
    let control = control.clone();
    to_the_end(async move {
        let ends_sessions = edit.password.is_some() || edit.enabled == Some(false);
        let disables = edit.enabled == Some(false);
        let before = control.account(id);
        let account = control.parts().accounts.edit(id, edit).await?;
        control.tell_edited(before.as_ref(), &account);
        if ends_sessions {
            control.parts().sessions.end_all(id, None);
        }
        let mut kept = control.parts().sessions.kept().await;
        if disables {
            kept = kept.and(control.parts().director.revoke(id, true, DISABLED.to_owned()).await?);
        }
        Ok((account, kept))
    })
    .await
}

/// What a streamer is told who was disabled.
const DISABLED: &str = "your account was disabled by an admin";

/// Shuts somebody out: account, connection, place and sessions, all at once and before anything is stored.
async fn shut_out(control: &Control, id: AccountId, how: Out, reason: &'static str) -> Result<(Account, Kept), Denied> {
    let control = control.clone();
    to_the_end(async move {
        let (account, receipt) = control.parts().accounts.shut_out(id, how)?;
        control.parts().sessions.end_all(id, None);
        control.tell(News::AccountChanged(id));
        let revoked = control.parts().director.revoke(id, true, reason.to_owned());
        let (revoked, account_kept, sessions_kept) =
            tokio::join!(revoked, receipt.kept(), control.parts().sessions.kept());
        Ok((account, revoked?.and(account_kept).and(sessions_kept)))
    })
    .await
}

/// Deletes an account, its connection, its place and its sessions.
///
/// # Errors
/// That there is no such one, that the last admin has to stay, or that it could not be stored.
pub(crate) async fn delete(control: &Control, by: &By, id: AccountId) -> Result<(), Denied> {
    by.did("account.delete", name_of(control, id));
    to_the_end(remove(control.clone(), id)).await
}

async fn remove(control: Control, id: AccountId) -> Result<(), Denied> {
    control.parts().accounts.delete(id).await?;
    control.tell(News::AccountGone(id));
    control.parts().sessions.end_all(id, None);
    control.parts().director.revoke(id, true, "your account was deleted".to_owned()).await?;
    Ok(())
}

/// Operators may ban streamers, and nobody above them.
fn may_ban(control: &Control, caller: &Caller, id: AccountId) -> Result<(), Denied> {
    let account = control.parts().accounts.get(id).ok_or(Denied::NotFound("no such account"))?;
    if caller.is_admin() || account.role == Role::Streamer {
        Ok(())
    } else {
        Err(Denied::NotAllowed("operators may ban streamers only; ask an admin"))
    }
}

/// Bans an account, which loses its sessions, its connection and its place, all at once (rule 19). Operators may do this to streamers only.
///
/// # Errors
/// That whoever asks may not, or that the last admin has to stay.
pub(crate) async fn ban(control: &Control, by: &By, id: AccountId) -> Result<(Account, Kept), Denied> {
    by.did("account.ban", name_of(control, id));
    may_ban(control, &by.caller, id)?;
    shut_out(control, id, Out::Banned, "you were banned by those who run this box").await
}

/// Takes a ban back. Operators may do this for streamers only.
///
/// # Errors
/// That whoever asks may not, or that it could not be stored.
pub(crate) async fn unban(control: &Control, by: &By, id: AccountId) -> Result<Account, Denied> {
    by.did("account.unban", name_of(control, id));
    may_ban(control, &by.caller, id)?;
    let control = control.clone();
    to_the_end(async move {
        let account = control.parts().accounts.unban(id).await?;
        control.tell(News::AccountChanged(id));
        Ok(account)
    })
    .await
}

/// Lifts an account's hold-off.
///
/// # Errors
/// That there is no such account or no hold-off, or that it could not be stored.
pub(crate) async fn lift_hold_off(control: &Control, by: &By, id: AccountId) -> Result<(), Denied> {
    by.did("account.lift-hold-off", name_of(control, id));
    if control.parts().accounts.get(id).is_none() {
        return Err(Denied::NotFound("no such account"));
    }
    Ok(control.parts().director.lift_hold_off(id).await?)
}

/// A new invitation.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MadeInvitation {
    #[serde(flatten)]
    pub(crate) invitation: Invitation,
    /// The code, for those who type it. It is shown this once only.
    pub(crate) code: String,
    /// The page that takes it, for a link or a QR code.
    pub(crate) url: String,
}

/// Makes an invitation, whose code is told this once.
///
/// # Errors
/// What does not fit, or that it could not be stored.
pub(crate) async fn invite(
    control: &Control,
    by: &By,
    reached: &Reached,
    new: NewInvitation,
) -> Result<MadeInvitation, Denied> {
    by.did("invitation.create", new.label.clone());
    let (invitation, code) = control.parts().accounts.invite(new).await?;
    let code = code.expose_secret().to_owned();
    let url = reached.secret_url(&format!("/register?invitation={code}"));
    Ok(MadeInvitation { invitation, code, url })
}

/// Revokes an invitation. Who registered with it stays.
///
/// # Errors
/// That there is no such one, or that it could not be stored.
pub(crate) async fn revoke_invitation(control: &Control, by: &By, id: u64) -> Result<(), Denied> {
    let all = control.parts().accounts.invitations();
    let Some(invitation) = all.into_iter().find(|invitation| invitation.id == id) else {
        return Err(Denied::NotFound("no such invitation"));
    };
    by.did("invitation.revoke", invitation.label);
    Ok(control.parts().accounts.revoke_invitation(id).await?)
}

/// A link that sets a new password once.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ResetLink {
    /// The page, for a link or a QR code. It is told this once only.
    pub(crate) url: String,
    /// When it ends.
    #[schema(value_type = String, format = DateTime)]
    pub(crate) expires: jiff::Timestamp,
}

/// Makes a link that sets an account's password once, which is told this once.
///
/// # Errors
/// That there is no such account, or that it could not be stored.
pub(crate) async fn reset_link(
    control: &Control,
    by: &By,
    reached: &Reached,
    id: AccountId,
) -> Result<ResetLink, Denied> {
    by.did("account.reset-link", name_of(control, id));
    let (code, expires) = control.parts().accounts.reset_code(id).await?;
    Ok(ResetLink { url: reached.secret_url(&format!("/reset/{}", code.expose_secret())), expires })
}

/// Whose password a link's code sets anew.
///
/// # Errors
/// That the link is over, or that too many were tried.
pub(crate) fn resets(control: &Control, by: &By, code: &SecretString) -> Result<Account, Denied> {
    // Whoever has the right one is not held up by others: nobody guesses 130 bits.
    match control.parts().accounts.resets(code) {
        Ok(account) => Ok(account),
        Err(error) => {
            by.attempt(&control.room().limits.sign_in)?;
            by.failed(&error);
            Err(error.into())
        }
    }
}

/// Sets the password that a link is for, and ends all sessions of the account.
///
/// # Errors
/// That the link is over, what is wrong with the password, or that it could not be stored.
pub(crate) async fn reset_password(
    control: &Control,
    by: &By,
    code: SecretString,
    password: SecretString,
) -> Result<Account, Denied> {
    let control = control.clone();
    let account = to_the_end(async move {
        let account = control.parts().accounts.reset_password(&code, password).await?;
        control.parts().sessions.end_all(account.id, None);
        Ok::<_, Denied>(account)
    })
    .await?;
    by.becomes(&account).did("account.reset-password", "");
    Ok(account)
}

/// Makes a new stream key for somebody; whoever publishes with the one before is disconnected.
///
/// # Errors
/// That there is no such account, or that it could not be stored.
pub(crate) async fn new_key(control: &Control, by: &By, id: AccountId) -> Result<Account, Denied> {
    let account = control.account(id).ok_or(Denied::NotFound("no such account"))?;
    by.did("account.new-key", account.name.clone());
    own::fresh_key(control, id).await?;
    Ok(account)
}
