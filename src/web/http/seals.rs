//! Seals on what travels through a browser and comes back: so that nobody but this process could have made it.

use data_encoding::BASE64URL_NOPAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Bytes of the seal.
const SEAL: usize = 16;

/// The key of this process: what was sealed before a restart is not taken.
pub(crate) struct Seals {
    key: [u8; 32],
}

impl Seals {
    pub(crate) fn new() -> Self {
        Self { key: rand::random() }
    }

    fn seal(&self, content: &[u8]) -> Option<Vec<u8>> {
        let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(&self.key).ok()?;
        mac.update(content);
        Some(mac.finalize().into_bytes().get(..SEAL)?.to_vec())
    }

    /// The content with its seal, as text for a cookie.
    pub(crate) fn close(&self, content: &[u8]) -> Option<String> {
        let mut sealed = self.seal(content)?;
        sealed.extend_from_slice(content);
        Some(BASE64URL_NOPAD.encode(&sealed))
    }

    /// The content, if the seal is ours.
    pub(crate) fn open(&self, value: &str) -> Option<Vec<u8>> {
        let sealed = BASE64URL_NOPAD.decode(value.as_bytes()).ok()?;
        let (seal, content) = sealed.split_at_checked(SEAL)?;
        let expected = self.seal(content)?;
        bool::from(subtle::ConstantTimeEq::ct_eq(expected.as_slice(), seal)).then(|| content.to_vec())
    }
}
