//! Who did what. Every order takes a [`By`], who gives it, and says with it what it is; whoever carries the order in (the web's guard)
//! has the row written afterwards, with how it ended. The log is bounded, holds no secrets, and makes nobody wait.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use secrecy::SecretString;
use serde::Deserialize;

use super::{denied::Denied, limits::Limit, neighbours::is_near, room::Control};
use crate::{
    accounts::{Account, AccountError, Device, Standing},
    core::account::{AccountId, Role},
    store::{AuditRecord, Change},
    telemetry::seldom::seldom,
};

/// Who a request comes from.
#[derive(Clone, Debug)]
pub(crate) enum Caller {
    /// Nobody we know.
    Anonymous,
    /// Somebody signed in, whose account is in order at this moment.
    Account(Account),
    /// Whoever holds `admin.token`.
    Token,
    /// A program on this machine that may read the box's own files.
    Machine,
    /// Whoever holds `web.metrics_token`.
    Monitor,
}

impl Caller {
    /// Whether the caller may run the night.
    pub(crate) fn runs_the_night(&self) -> bool {
        match self {
            Self::Anonymous | Self::Machine | Self::Monitor => false,
            Self::Account(account) => account.role.runs_the_night(),
            Self::Token => true,
        }
    }

    pub(crate) fn is_admin(&self) -> bool {
        match self {
            Self::Anonymous | Self::Machine | Self::Monitor => false,
            Self::Account(account) => account.role == Role::Admin,
            Self::Token => true,
        }
    }
}

/// How `admin.token` is called there.
const TOKEN: &str = "admin.token";

/// The longest text of a row, in characters.
const LONGEST: usize = 200;

/// Who gives an order, from where. Whatever changes something for others takes one, and says what it is.
#[derive(Clone, Debug)]
pub(crate) struct By {
    /// Who it is.
    pub(crate) caller: Caller,
    /// From where, as far as that is known.
    address: Option<IpAddr>,
    /// Whether somebody in between speaks for whoever it is, and nobody here knows them.
    proxied: bool,
    /// What the browser brings to show who has signed in there before.
    device: Option<SecretString>,
    noted: Noted,
}

/// What an order says of itself for the log, and who has signed in by it. Shared with whoever writes the row afterwards. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Noted(Arc<Mutex<Said>>);

#[derive(Debug, Default)]
struct Said {
    words: Option<Words>,
    signed_in: Option<AccountId>,
}

/// An order in words.
#[derive(Debug)]
pub(crate) struct Words {
    who: Caller,
    action: &'static str,
    target: String,
}

impl By {
    pub(crate) fn new(caller: Caller, address: Option<IpAddr>, noted: Noted) -> Self {
        Self { caller, address, proxied: false, device: None, noted }
    }

    /// With what the browser brings to show who has signed in there before, and whether somebody in between speaks for it.
    pub(crate) fn through(self, device: Option<SecretString>, proxied: bool) -> Self {
        Self { proxied, device, ..self }
    }

    /// Somebody who shows by this very order who they are: who registers, signs in or claims the box.
    pub(crate) fn becomes(&self, account: &Account) -> Self {
        Self { caller: Caller::Account(account.clone()), ..self.clone() }
    }

    /// What this order does: `action` for programs, as `queue.skip`; `target` in words, never a secret. The last words count.
    pub(crate) fn did(&self, action: &'static str, target: impl Into<String>) {
        let words = Words { who: self.caller.clone(), action, target: target.into() };
        self.noted.lock().words = Some(words);
    }

    /// As [`Self::did`], for what people do with their own account: noted of those who run the night, whose account opens more than
    /// their own affairs, and not of streamers, who could fill the log with it.
    pub(crate) fn did_with_own(&self, action: &'static str) {
        if self.caller.runs_the_night() {
            self.did(action, "");
        }
    }

    /// Counts an attempt of this address.
    ///
    /// # Errors
    /// The time to wait, when the address has used up its allowance; and that it is not known.
    pub(crate) fn attempt(&self, limit: &Limit) -> Result<(), Denied> {
        let address = self.address.ok_or_else(|| Denied::Failed("the connection's address is not known".to_owned()))?;
        limit.attempt(address)
    }

    /// Whether the account of this name has signed in before where this order comes from.
    pub(crate) fn device(&self, control: &Control, name: &str) -> Option<Device> {
        control.parts().accounts.device(name, self.device.as_ref()?)
    }

    /// How well somebody is known who gives this order without a session, on this device, or on none that is known.
    pub(crate) fn standing(&self, device: Option<&Device>) -> Standing {
        match device {
            Some(device) if device.crew => Standing::Crew,
            Some(_) => Standing::Known,
            None if !self.proxied && self.address.is_some_and(is_near) => Standing::Near,
            None => Standing::Stranger,
        }
    }

    /// Notes that this account has signed in by this order: the device is known from now on.
    pub(crate) fn has_signed_in(&self, account: AccountId) {
        self.noted.lock().signed_in = Some(account);
    }

    /// Says in the log that somebody brought what opens nothing. Not the name that was typed: now and then it is a password.
    pub(crate) fn failed(&self, error: &AccountError) {
        let address = self.address.map(tracing::field::display);
        match error {
            AccountError::WrongCredentials => seldom!(WARN, address, "wrong name or password"),
            AccountError::WrongSetupCode => seldom!(WARN, address, "wrong setup code"),
            AccountError::LinkOver => seldom!(WARN, address, "wrong code of a link that sets a password"),
            AccountError::Busy => seldom!(WARN, address, "too many passwords are to be checked at once"),
            _ => {}
        }
    }
}

impl Noted {
    fn lock(&self) -> std::sync::MutexGuard<'_, Said> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was said last.
    pub(crate) fn take(&self) -> Option<Words> {
        self.lock().words.take()
    }

    /// Who has signed in.
    pub(crate) fn signed_in(&self) -> Option<AccountId> {
        self.lock().signed_in
    }
}

/// An order that is over.
pub(crate) struct Deed {
    /// Who gave it, as far as that had to be known.
    pub(crate) caller: Caller,
    /// The client's address; none where the transport does not tell it.
    pub(crate) address: Option<IpAddr>,
    /// What it said of itself.
    pub(crate) words: Option<Words>,
    /// What stands for words where it said nothing: action and target.
    pub(crate) otherwise: (String, String),
    /// Why it was refused; none: it was done.
    pub(crate) refused: Option<String>,
}

/// Writes a row. Into the store's queue and not by the news: those may be missed, and no row may.
pub(crate) fn write(control: &Control, deed: Deed) {
    let (caller, action, target) = match deed.words {
        Some(words) => (words.who, words.action.to_owned(), words.target),
        None => (deed.caller, deed.otherwise.0, deed.otherwise.1),
    };
    let (account, who) = match caller {
        Caller::Account(account) => (Some(account.id), account.name),
        Caller::Token => (None, TOKEN.to_owned()),
        Caller::Machine => (None, "this machine".to_owned()),
        Caller::Monitor => (None, "web.metrics_token".to_owned()),
        Caller::Anonymous => (None, "somebody".to_owned()),
    };
    let outcome = deed.refused.map_or_else(|| "done".to_owned(), |why| format!("refused: {why}"));
    let row = AuditRecord {
        number: 0,
        at: jiff::Timestamp::now(),
        account,
        who,
        address: deed.address.map(|address| address.to_string()),
        action,
        target: target.chars().take(LONGEST).collect(),
        outcome: outcome.chars().take(LONGEST).collect(),
        extra: serde_json::Map::new(),
    };
    // Nobody waits for it. While the disk takes nothing the latest rows are kept in memory.
    control.parts().store.commit_soon(vec![Change::AppendAudit(row)]);
}

/// Which part of the log.
#[derive(Default, Deserialize)]
pub(crate) struct Part {
    /// How many rows at most: 50 without it, 500 at most.
    pub(crate) limit: Option<usize>,
    /// Only rows before this one: the last one of the page before.
    pub(crate) before: Option<u64>,
}

/// One part of the log, the latest first.
///
/// # Errors
/// When the store cannot be read.
pub(crate) async fn read(control: &Control, part: &Part) -> Result<Vec<AuditRecord>, Denied> {
    let limit = part.limit.unwrap_or(50).clamp(1, 500);
    Ok(control.parts().store.audit(part.before, limit).await?)
}
