//! Viewer tokens: what a player needs for `/program.flv`. Made and revoked by admins, stored as hashes.

use std::sync::{Arc, PoisonError, RwLock};

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use secrecy::SecretString;
use serde::Serialize;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use utoipa::ToSchema;

use super::{change::to_the_end, error::AccountError};
use crate::store::{Change, Durability, Store, ViewerRecord};

/// Tokens there may be; each is compared at every check.
const MAX: usize = 100;

/// A viewer token without the token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Viewer {
    /// Its id.
    pub id: u64,
    /// What it is for, in an admin's words.
    pub label: String,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created: jiff::Timestamp,
}

/// The handle. Cheap to clone.
#[derive(Clone)]
pub struct Viewers {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    records: RwLock<Vec<ViewerRecord>>,
    changes: tokio::sync::Mutex<()>,
}

impl Viewers {
    pub(super) fn new(store: Store, records: Vec<ViewerRecord>) -> Self {
        let inner = Inner { store, records: RwLock::new(records), changes: tokio::sync::Mutex::default() };
        Self { inner: Arc::new(inner) }
    }

    /// Makes a token. It is shown this once; only its hash is kept.
    ///
    /// # Errors
    /// A label of no or more than 64 characters, too many tokens, or a store that cannot write.
    pub async fn create(&self, label: &str) -> Result<(Viewer, SecretString), AccountError> {
        let label = label.trim().to_owned();
        if label.is_empty() || label.chars().count() > 64 || label.chars().any(char::is_control) {
            let reason = "say in 1 to 64 visible characters what it is for".to_owned();
            return Err(AccountError::Invalid { field: "label", reason });
        }
        let token = BASE64URL_NOPAD.encode(&rand::random::<[u8; 16]>());
        let sha256 = fingerprint(&token);
        let viewers = self.clone();
        let viewer = to_the_end(async move {
            let _turn = viewers.inner.changes.lock().await;
            let count = viewers.records().len();
            if count >= MAX {
                let reason = format!("there are {MAX} tokens already; revoke one first");
                return Err(AccountError::Invalid { field: "label", reason });
            }
            // Random, so that the id of a revoked one does not come back.
            let id = rand::random::<u64>() >> 12;
            let created = jiff::Timestamp::now();
            let record = ViewerRecord { id, label, sha256, created, extra: serde_json::Map::new() };
            viewers.commit(Change::PutViewer(record.clone())).await?;
            let viewer = view(&record);
            viewers.inner.records.write().unwrap_or_else(PoisonError::into_inner).push(record);
            Ok(viewer)
        })
        .await?;
        Ok((viewer, SecretString::from(token)))
    }

    /// All, the oldest first.
    pub fn list(&self) -> Vec<Viewer> {
        let mut list: Vec<_> = self.records().iter().map(view).collect();
        list.sort_by_key(|viewer| (viewer.created, viewer.id));
        list
    }

    /// Revokes a token. Who watches with it at this moment is the caller's business.
    ///
    /// # Errors
    /// [`AccountError::NotFound`], or a store that cannot write.
    pub async fn revoke(&self, id: u64) -> Result<(), AccountError> {
        let viewers = self.clone();
        to_the_end(async move {
            let _turn = viewers.inner.changes.lock().await;
            if !viewers.records().iter().any(|record| record.id == id) {
                return Err(AccountError::NotFound);
            }
            viewers.commit(Change::DeleteViewer(id)).await?;
            let mut records = viewers.inner.records.write().unwrap_or_else(PoisonError::into_inner);
            records.retain(|record| record.id != id);
            Ok(())
        })
        .await
    }

    /// The id of the token if it is one that stands; takes as long for any text.
    pub fn check(&self, token: &str) -> Option<u64> {
        let sha256 = fingerprint(token);
        let records = self.records();
        let mut found = None;
        for record in &*records {
            if bool::from(record.sha256.as_bytes().ct_eq(sha256.as_bytes())) {
                found = Some(record.id);
            }
        }
        found
    }

    fn records(&self) -> std::sync::RwLockReadGuard<'_, Vec<ViewerRecord>> {
        self.inner.records.read().unwrap_or_else(PoisonError::into_inner)
    }

    async fn commit(&self, change: Change) -> Result<(), AccountError> {
        Ok(self.inner.store.commit(vec![change], Durability::Durable).await?)
    }
}

fn view(record: &ViewerRecord) -> Viewer {
    Viewer { id: record.id, label: record.label.clone(), created: record.created }
}

fn fingerprint(token: &str) -> String {
    HEXLOWER.encode(&Sha256::digest(token.as_bytes()))
}
