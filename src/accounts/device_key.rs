//! What seals the proofs by which devices are known ([`super::devices`]).

use data_encoding::HEXLOWER;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::ExposeSecret;
use serde_json::Value;
use sha2::Sha256;

use crate::store::{AccountRecord, Change, Durability, Loaded, Store};

/// The setting that holds the key.
const KEY: &str = "device_key";

/// Bytes of a seal.
pub(super) const SEAL: usize = 16;

/// So that a seal of ours for something else is none for this.
const PURPOSE: &[u8] = b"motherstream: an account has signed in on this device";

/// What seals the proofs. In the store, so that they outlive a restart.
pub(super) struct DeviceKey([u8; 32]);

impl DeviceKey {
    /// That of the store; made at the first start. Where a new one cannot be stored, devices are known until the next start.
    pub(super) async fn open(store: &Store, loaded: &Loaded) -> Self {
        let kept = loaded.settings.get(KEY).and_then(Value::as_str);
        let kept = kept.and_then(|text| HEXLOWER.decode(text.as_bytes()).ok()).and_then(|key| key.try_into().ok());
        if let Some(key) = kept {
            return Self(key);
        }
        let key: [u8; 32] = rand::random();
        // Where the store cannot be read, nobody signs in.
        if store.trouble().is_none() {
            let change = Change::PutSetting(KEY.to_owned(), Value::String(HEXLOWER.encode(&key)));
            if let Err(error) = store.commit(vec![change], Durability::Durable).await {
                tracing::warn!(%error, "devices will not be known after the next start");
            }
        }
        Self(key)
    }

    /// What says that this account had this password when it signed in on this device: with another password it says nothing any more.
    pub(super) fn seal(&self, record: &AccountRecord, number: u64) -> Option<[u8; SEAL]> {
        let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(&self.0).ok()?;
        for part in [PURPOSE, &record.id.0.to_be_bytes(), &number.to_be_bytes()] {
            mac.update(part);
        }
        mac.update(record.password_hash.expose_secret().as_bytes());
        mac.finalize().into_bytes().get(..SEAL)?.try_into().ok()
    }
}
