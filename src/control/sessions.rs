//! Who is signed in, whichever face made the session. All of it is in memory: no request waits for the disk to know who it comes from, and a
//! session ends at once. The store has the same as soon as possible, so that sessions survive a restart.

use std::{
    collections::{HashMap, hash_map::Entry},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use data_encoding::HEXLOWER;
use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};
use tokio::sync::watch;

use crate::{
    config::WebConfig,
    core::account::AccountId,
    store::{Change, Kept, Receipt, SessionRecord, Store},
};

/// The end of a session is put off at most this often: each time is a write to an SD card.
const LONGEST_UNTOUCHED: Duration = Duration::from_hours(24);

/// Sessions of one account. Beyond that the one that would end first does: whoever signs in again and again fills no memory, which takes
/// 400 bytes for each.
const MOST: usize = 50;

/// In a session's data: whose it is.
pub(crate) const ACCOUNT: &str = "account";

/// In a session's data: when it began, in seconds of the wall clock.
pub(crate) const BEGAN: &str = "began";

/// A session as the store knows it: the SHA-256 of what the browser holds, so that whoever reads the file cannot use it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SessionId(String);

impl SessionId {
    /// Of what the browser holds.
    pub(crate) fn of(held: &str) -> Self {
        Self(HEXLOWER.encode(&Sha256::digest(held.as_bytes())))
    }

    /// As the store has it.
    pub(crate) fn stored(&self) -> &str {
        &self.0
    }
}

/// All sessions. Cheap to clone.
#[derive(Clone)]
pub struct Sessions {
    all: Arc<Mutex<All>>,
    store: Store,
    /// A session that is not used for so long ends.
    idle: Duration,
    /// And so long after its beginning it ends in any case.
    longest: SignedDuration,
    /// Changes whenever sessions end: whoever hangs on one looks whether it was that one.
    ended: watch::Sender<()>,
}

/// Those that stand, by their id. Held for a moment at a time.
struct All {
    standing: HashMap<String, SessionRecord>,
    /// When the latest change is stored, all are. None: nothing has changed.
    latest: Option<Receipt>,
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sessions")
    }
}

impl Sessions {
    /// Those that were stored.
    pub fn new(store: Store, stored: Vec<SessionRecord>, config: &WebConfig) -> Self {
        let standing = stored.into_iter().map(|record| (record.id.clone(), record)).collect();
        Self {
            all: Arc::new(Mutex::new(All { standing, latest: None })),
            store,
            idle: Duration::from_secs(3600 * u64::from(config.session_idle_hours)),
            longest: SignedDuration::from_hours(24 * i64::from(config.session_max_days)),
            ended: watch::channel(()).0,
        }
    }

    fn all(&self) -> MutexGuard<'_, All> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A session that is not used for so long ends.
    pub(crate) fn idle(&self) -> Duration {
        self.idle
    }

    /// The end of a session that is used is put off when it was not for so long.
    pub(crate) fn untouched(&self) -> Duration {
        (self.idle / 8).min(LONGEST_UNTOUCHED)
    }

    /// Changes whenever sessions end.
    pub(crate) fn ends(&self) -> watch::Receiver<()> {
        self.ended.subscribe()
    }

    /// How long the session still stands; none if it does not.
    fn left(&self, id: &SessionId) -> Option<SignedDuration> {
        let left = self.all().standing.get(id.stored())?.expires.duration_since(Timestamp::now());
        Some(left).filter(SignedDuration::is_positive)
    }

    /// Whether the session stands.
    pub(crate) fn stands(&self, id: &SessionId) -> bool {
        self.left(id).is_some()
    }

    /// Waits until the session is over: signed out, ended by others, or expired.
    pub(crate) async fn over(self, id: SessionId) {
        let mut ends = self.ends();
        while let Some(left) = self.left(&id) {
            // An hour at most: the wall clock steps.
            let wait = Duration::try_from(left).unwrap_or_default().min(Duration::from_hours(1));
            tokio::select! {
                _ = ends.changed() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// A session that stands.
    pub(crate) fn load(&self, id: &SessionId) -> Option<SessionRecord> {
        let stands = |record: &&SessionRecord| record.expires > Timestamp::now() && began(&record.data).is_some();
        // One of a program that did not know when it began: whoever it is signs in once more.
        self.all().standing.get(id.stored()).filter(stands).cloned()
    }

    /// Begins a session; it ends then, or earlier because it began so long ago.
    pub(crate) fn begin(&self, id: &SessionId, expires: Timestamp, data: serde_json::Value) {
        self.put(id, expires, data, true);
    }

    /// Puts the end of a session off, and what it holds in its place. One that was ended meanwhile stays so.
    pub(crate) fn renew(&self, id: &SessionId, expires: Timestamp, data: serde_json::Value) {
        self.put(id, expires, data, false);
    }

    fn put(&self, id: &SessionId, expires: Timestamp, data: serde_json::Value, begins: bool) {
        let longest = began(&data).and_then(|began| began.checked_add(self.longest).ok());
        let expires = longest.map_or(expires, |longest| longest.min(expires));
        let record = SessionRecord { id: id.stored().to_owned(), expires, data, extra: serde_json::Map::new() };
        let mut all = self.all();
        let mut changes = vec![Change::PutSession(record.clone())];
        match all.standing.entry(record.id.clone()) {
            Entry::Occupied(same) if *same.get() == record => return,
            Entry::Occupied(mut other) => drop(other.insert(record)),
            Entry::Vacant(_) if !begins => return,
            Entry::Vacant(place) => {
                let (account, newest) = (owner(&record), record.id.clone());
                place.insert(record);
                changes.extend(all.one_too_many(account, &newest).map(Change::DeleteSession));
            }
        }
        let ends = changes.len() > 1;
        all.latest = Some(self.store.commit_soon(changes));
        drop(all);
        if ends {
            self.ended.send_replace(());
        }
    }

    /// Whether everything that was done with sessions is stored, after a moment at most.
    pub(crate) async fn kept(&self) -> Kept {
        let latest = self.all().latest.clone();
        match latest {
            Some(latest) => latest.kept().await,
            None => Kept::Stored,
        }
    }

    /// Ends one session, at once.
    pub(crate) fn end(&self, id: &SessionId) {
        self.delete(|record| record.id == id.stored());
    }

    /// Ends the account's sessions, but for the one that asks for it, at once.
    pub(crate) fn end_all(&self, account: AccountId, except: Option<&SessionId>) {
        let kept = except.map(SessionId::stored);
        self.delete(|record| owner(record) == Some(account) && Some(record.id.as_str()) != kept);
    }

    /// Deletes the sessions that have expired.
    pub(crate) fn delete_expired(&self) {
        let now = Timestamp::now();
        self.delete(|record| record.expires <= now);
    }

    fn delete(&self, which: impl Fn(&SessionRecord) -> bool) {
        let mut all = self.all();
        let gone: Vec<_> = all.standing.extract_if(|_, record| which(record)).map(|(id, _)| id).collect();
        if gone.is_empty() {
            return;
        }
        // While `all` is held: the store gets these in the order in which memory did.
        let changes = gone.into_iter().map(Change::DeleteSession).collect();
        all.latest = Some(self.store.commit_soon(changes));
        drop(all);
        self.ended.send_replace(());
    }

    /// As if all had begun, been used and been put off so much earlier.
    #[cfg(test)]
    #[expect(clippy::indexing_slicing, reason = "tests")]
    pub(crate) fn age(&self, ago: SignedDuration, unused: bool) {
        for record in self.all().standing.values_mut() {
            let before = began(&record.data).unwrap_or_default().as_second() - ago.as_secs();
            record.data[BEGAN] = before.into();
            record.data["seen"] = 0.into();
            record.expires = if unused { record.expires - ago } else { record.expires };
        }
    }
}

impl All {
    /// Takes out the session of this account that would end first, if there are too many with the newest, which stays.
    fn one_too_many(&mut self, account: Option<AccountId>, newest: &str) -> Option<String> {
        let others = || self.standing.values().filter(|record| owner(record) == account && record.id != newest);
        if others().count() < MOST {
            return None;
        }
        let first = others().min_by_key(|record| record.expires)?.id.clone();
        self.standing.remove(&first);
        Some(first)
    }
}

fn owner(record: &SessionRecord) -> Option<AccountId> {
    record.data.get(ACCOUNT).and_then(serde_json::Value::as_u64).map(AccountId)
}

fn began(data: &serde_json::Value) -> Option<Timestamp> {
    data.get(BEGAN).and_then(serde_json::Value::as_i64).and_then(|second| Timestamp::from_second(second).ok())
}
