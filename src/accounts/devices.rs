//! Devices on which somebody has signed in before: what their browsers bring to show it. It signs nobody in; whoever brings it is let
//! through before others, and is not held up by what others try from the same address.

use data_encoding::BASE64URL_NOPAD;
use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;

use super::{Accounts, refusal};
use crate::{core::account::AccountId, store::AccountRecord};

/// Proofs that one browser keeps: whoever signed in there last.
const MOST: usize = 4;

/// What stands between two of them.
const BETWEEN: &str = ".";

/// Bytes of a proof: the account's id and the device's number; the seal comes behind.
const ACCOUNT: usize = 8;
const NUMBER: usize = 8;

/// A device on which an account has signed in before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Device {
    /// Whose it is.
    pub account: AccountId,
    /// Tells it from others of the account.
    pub number: u64,
    /// Whether that account runs the night.
    pub crew: bool,
}

impl Accounts {
    /// What a browser keeps after this account has signed in there, besides those of `before` that still say something. None where there
    /// is no such account.
    pub fn remember(&self, id: AccountId, before: Option<&SecretString>) -> Option<SecretString> {
        let fresh = self.prove(self.record(id)?.as_ref(), rand::random())?;
        let others = before.into_iter().flat_map(proofs);
        let others = others.filter(|proof| self.owner(proof).is_some_and(|device| device.account != id));
        let all: Vec<_> = std::iter::once(fresh.as_str()).chain(others).take(MOST).collect();
        Some(all.join(BETWEEN).into())
    }

    /// The device of the account of this name, if it is in order and what a browser brings proves it.
    pub fn device(&self, name: &str, brought: &SecretString) -> Option<Device> {
        let id = self.state().index.by_name(name)?.id;
        proofs(brought).filter_map(|proof| self.owner(proof)).find(|device| device.account == id)
    }

    fn prove(&self, record: &AccountRecord, number: u64) -> Option<String> {
        let seal = self.inner.devices.seal(record, number)?;
        let proof = [&record.id.0.to_be_bytes()[..], &number.to_be_bytes(), &seal].concat();
        Some(BASE64URL_NOPAD.encode(&proof))
    }

    fn owner(&self, proof: &str) -> Option<Device> {
        let proof = BASE64URL_NOPAD.decode(proof.as_bytes()).ok()?;
        let (account, rest) = proof.split_first_chunk::<ACCOUNT>()?;
        let (number, seal) = rest.split_first_chunk::<NUMBER>()?;
        let number = u64::from_be_bytes(*number);
        let record = self.record(AccountId(u64::from_be_bytes(*account)))?;
        let expected = self.inner.devices.seal(&record, number)?;
        let holds = bool::from(expected.as_slice().ct_eq(seal)) && refusal(&record).is_none();
        holds.then(|| Device { account: record.id, number, crew: record.role.runs_the_night() })
    }
}

/// What one browser brings, as far as we look.
fn proofs(brought: &SecretString) -> impl Iterator<Item = &str> {
    brought.expose_secret().split(BETWEEN).take(MOST)
}
