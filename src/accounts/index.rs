//! All accounts in memory, found by id, by name and by key. Reads never wait for the disk.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::{
    core::account::{AccountId, Role, StreamKey, canonical_name},
    store::AccountRecord,
};

/// See [`Index::digest`].
type Digest = [u8; 32];

pub(super) struct Index {
    by_id: BTreeMap<AccountId, Arc<AccountRecord>>,
    by_name: HashMap<String, AccountId>,
    by_key: HashMap<Digest, AccountId>,
    /// Known to this process alone.
    blind: [u8; 32],
}

impl Index {
    pub(super) fn new(records: impl IntoIterator<Item = AccountRecord>) -> Self {
        let mut index =
            Self { by_id: BTreeMap::new(), by_name: HashMap::new(), by_key: HashMap::new(), blind: rand::random() };
        for record in records {
            index.put(record);
        }
        index
    }

    pub(super) fn put(&mut self, record: AccountRecord) {
        self.remove(record.id);
        self.by_name.insert(canonical_name(&record.name), record.id);
        if let Some(digest) = self.digest(&record.stream_key) {
            self.by_key.insert(digest, record.id);
        }
        self.by_id.insert(record.id, Arc::new(record));
    }

    pub(super) fn remove(&mut self, id: AccountId) {
        let Some(old) = self.by_id.remove(&id) else { return };
        self.by_name.remove(&canonical_name(&old.name));
        if let Some(digest) = self.digest(&old.stream_key) {
            self.by_key.remove(&digest);
        }
    }

    pub(super) fn get(&self, id: AccountId) -> Option<&Arc<AccountRecord>> {
        self.by_id.get(&id)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<AccountRecord>> {
        self.by_id.values()
    }

    pub(super) fn by_name(&self, name: &str) -> Option<&Arc<AccountRecord>> {
        self.get(*self.by_name.get(&canonical_name(name))?)
    }

    /// Whose key it is. What time the map takes depends on the digest, which nobody outside can steer or foresee; the digest
    /// takes as long for any key, and so does the comparison, which a key that nobody has makes as well.
    pub(super) fn by_key(&self, key: &StreamKey) -> Option<&Arc<AccountRecord>> {
        let digest = self.digest(key)?;
        let found = self.by_key.get(&digest).and_then(|id| self.get(*id));
        let expected = found.and_then(|record| self.digest(&record.stream_key)).unwrap_or_else(|| {
            let other = StreamKey::from_random([0; _]);
            self.digest(&other).unwrap_or_default()
        });
        found.filter(|_| bool::from(expected.ct_eq(&digest)))
    }

    /// Whether somebody can sign in who runs the box.
    pub(super) fn has_admin(&self) -> bool {
        self.all().any(|record| record.role == Role::Admin && record.is_in_order())
    }

    /// The key's fingerprint under this process's own secret. None for what cannot be a key.
    fn digest(&self, key: &StreamKey) -> Option<Digest> {
        let folded = key.folded()?;
        let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(&self.blind).ok()?;
        mac.update(folded.as_bytes());
        Some(mac.finalize().into_bytes().into())
    }
}
