//! Codes that let somebody in: those of invitations and of links that set a password.

use data_encoding::HEXLOWER;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use crate::core::account;

/// What is kept of a code. However it was typed, it is the same.
pub(super) fn fingerprint(code: &SecretString) -> String {
    let folded = account::folded(code.expose_secret()).unwrap_or_default();
    HEXLOWER.encode(&Sha256::digest(folded.as_bytes()))
}
