//! Publishing by WebRTC (WHIP, RFC 9725), passed on to the media server: which sessions were opened, so that their streamers can end them.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use data_encoding::HEXLOWER;

use crate::core::account::AccountId;

/// The session that each streamer opened last. One each: a second publish takes the first one over.
#[derive(Debug, Default)]
pub(crate) struct WhipSessions {
    open: Mutex<HashMap<AccountId, Opened>>,
}

/// A session's name here, and what the media server calls it.
#[derive(Clone)]
struct Opened {
    id: String,
    resource: String,
}

impl std::fmt::Debug for Opened {
    /// Without the resource, which holds the stream key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opened").field("id", &self.id).finish_non_exhaustive()
    }
}

impl WhipSessions {
    /// Notes a session and gives it a name that says nothing.
    pub(crate) fn opened(&self, account: AccountId, resource: String) -> String {
        let id = HEXLOWER.encode(&rand::random::<[u8; 16]>());
        self.open().insert(account, Opened { id: id.clone(), resource });
        id
    }

    /// What the media server calls the session, if this account opened it last.
    pub(crate) fn find(&self, account: AccountId, id: &str) -> Option<String> {
        self.open().get(&account).filter(|opened| opened.id == id).map(|opened| opened.resource.clone())
    }

    /// Forgets a session that has ended.
    pub(crate) fn forget(&self, account: AccountId, id: &str) {
        let mut open = self.open();
        if open.get(&account).is_some_and(|opened| opened.id == id) {
            open.remove(&account);
        }
    }

    /// Forgets the sessions of accounts that are gone.
    pub(crate) fn retain(&self, exists: impl Fn(AccountId) -> bool) {
        self.open().retain(|account, _| exists(*account));
    }

    fn open(&self) -> std::sync::MutexGuard<'_, HashMap<AccountId, Opened>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
