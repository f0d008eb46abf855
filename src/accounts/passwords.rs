//! Hashing passwords: Argon2id, off the async threads, two at once, the better known first ([`super::places`]).

use std::sync::Arc;

use argon2::{
    Algorithm, Argon2, Block, Params, Version,
    password_hash::phc::{Output, PasswordHash},
};
use data_encoding::BASE64_NOPAD;
use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;
use unicode_normalization::UnicodeNormalization;

use super::{
    error::AccountError,
    places::{Places, Standing},
};
use crate::core::account::hash::is_bearable;

/// The shortest password, in characters.
pub(super) const MIN: usize = 8;

/// The longest one: a sentence has room.
pub(super) const MAX: usize = 256;

/// Capacity of a hash's memory in blocks of 1 KiB: only 19 MiB of it are ever touched. Above 32 MiB glibc gives memory back to
/// the system for sure; below, it keeps it for the next time, for good.
const CAPACITY_BLOCKS: usize = 33 * 1024;

const SALT: usize = 16;
const OUTPUT: usize = 32;

/// Who may hash. One for the process.
pub(super) struct Passwords {
    places: Arc<Places>,
    /// Compared with when there is no account, so that this takes as long.
    dummy: SecretString,
}

impl Passwords {
    pub(super) fn new() -> Self {
        let dummy = SecretString::from(phc(&Params::DEFAULT, &[0; SALT], &[0; OUTPUT]));
        Self { places: Arc::default(), dummy }
    }

    /// The PHC string of a new hash.
    pub(super) async fn hash(&self, password: SecretString, standing: Standing) -> Result<SecretString, AccountError> {
        self.run(standing, move || {
            let salt: [u8; SALT] = rand::random();
            let output = derive(&password, &salt, &Params::DEFAULT)?;
            Some(SecretString::from(phc(&Params::DEFAULT, &salt, &output)))
        })
        .await?
        .ok_or_else(|| AccountError::Store("the password could not be hashed".to_owned()))
    }

    /// Whether `password` is the one of `hash`; with none it takes as long, and is not.
    pub(super) async fn verify(
        &self,
        password: SecretString,
        hash: Option<SecretString>,
        standing: Standing,
    ) -> Result<bool, AccountError> {
        let known = hash.is_some();
        let hash = hash.unwrap_or_else(|| self.dummy.clone());
        let matches = self.run(standing, move || verify(&password, &hash)).await?;
        Ok(known && matches)
    }

    async fn run<T: Send + 'static>(
        &self,
        standing: Standing,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, AccountError> {
        let place = self.places.enter(standing).await?;
        // The place goes along: whoever asked may give up, the work goes on to its end and counts until then.
        let task = tokio::task::spawn_blocking(move || {
            let result = work();
            drop(place);
            result
        });
        task.await.map_err(|_| AccountError::Busy)
    }
}

/// What is wrong with a password, if anything.
pub(super) fn check(password: &SecretString) -> Result<(), AccountError> {
    let count = normal(password).chars().count();
    let reason = match count {
        0..MIN => format!("use at least {MIN} characters; a short sentence is good and easy to keep"),
        MIN..=MAX => return Ok(()),
        _ => format!("use at most {MAX} characters"),
    };
    Err(AccountError::Invalid { field: "password", reason })
}

/// An accented letter is written in two ways by two keyboards.
fn normal(password: &SecretString) -> String {
    password.expose_secret().nfc().collect()
}

fn verify(password: &SecretString, hash: &SecretString) -> bool {
    // Whatever a hash from elsewhere asks for: the machine stays as it is.
    if !is_bearable(hash.expose_secret()) {
        return false;
    }
    let Ok(hash) = PasswordHash::new(hash.expose_secret()) else { return false };
    let (Ok(params), Some(salt), Some(expected)) = (Params::try_from(&hash), hash.salt, hash.hash) else {
        return false;
    };
    derive(password, &salt, &params).is_some_and(|output| output.ct_eq(Output::as_bytes(&expected)).into())
}

fn derive(password: &SecretString, salt: &[u8], params: &Params) -> Option<[u8; OUTPUT]> {
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone());
    let mut memory = Vec::with_capacity(CAPACITY_BLOCKS.max(params.block_count()));
    memory.resize(params.block_count(), Block::default());
    let mut output = [0; OUTPUT];
    argon2.hash_password_into_with_memory(normal(password).as_bytes(), salt, &mut output, &mut memory).ok()?;
    Some(output)
}

/// The PHC string format, as other programs write and read it.
fn phc(params: &Params, salt: &[u8], output: &[u8]) -> String {
    format!(
        "$argon2id$v=19$m={},t={},p={}${}${}",
        params.m_cost(),
        params.t_cost(),
        params.p_cost(),
        BASE64_NOPAD.encode(salt),
        BASE64_NOPAD.encode(output)
    )
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        time::Duration,
    };

    use argon2::PasswordVerifier;

    use super::*;
    use crate::accounts::places::AT_ONCE;

    #[tokio::test]
    async fn hash_is_what_other_programs_can_check() {
        let passwords = Passwords::new();
        let hash = passwords.hash("correct horse".into(), Standing::Known).await.unwrap();
        assert!(hash.expose_secret().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        Argon2::default().verify_password(b"correct horse", hash.expose_secret()).unwrap();
        assert!(passwords.verify("correct horse".into(), Some(hash.clone()), Standing::Known).await.unwrap());
        assert!(!passwords.verify("correct house".into(), Some(hash), Standing::Known).await.unwrap());
        assert!(!passwords.verify("correct horse".into(), None, Standing::Known).await.unwrap());
    }

    #[tokio::test]
    async fn hash_that_asks_for_too_much_is_nobodys_password() {
        let passwords = Passwords::new();
        let hash = |memory: u32, passes: u32| {
            let params = Params::new(memory, passes, 1, None).unwrap();
            let output = derive(&"correct horse".into(), &[7; SALT], &params).unwrap();
            SecretString::from(phc(&params, &[7; SALT], &output))
        };
        assert!(passwords.verify("correct horse".into(), Some(hash(8, 10)), Standing::Known).await.unwrap());
        // Just over the bound, and right otherwise.
        assert!(!passwords.verify("correct horse".into(), Some(hash(8, 11)), Standing::Known).await.unwrap());
        assert!(
            !passwords.verify("correct horse".into(), Some(hash(64 * 1024 + 8, 1)), Standing::Known).await.unwrap()
        );
    }

    #[tokio::test]
    async fn accents_match_however_they_are_typed() {
        let passwords = Passwords::new();
        let hash = passwords.hash("Zo\u{eb} sings".into(), Standing::Known).await.unwrap();
        assert!(passwords.verify("Zoe\u{308} sings".into(), Some(hash), Standing::Known).await.unwrap());
    }

    #[tokio::test]
    async fn no_more_than_two_are_hashed_at_once_whoever_asks() {
        static NOW: AtomicUsize = AtomicUsize::new(0);
        static MOST: AtomicUsize = AtomicUsize::new(0);
        let passwords = Passwords::new();
        let hash = |standing| {
            passwords.run(standing, || {
                MOST.fetch_max(NOW.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                std::thread::sleep(Duration::from_millis(5));
                NOW.fetch_sub(1, Ordering::SeqCst);
            })
        };
        let all = [Standing::Crew, Standing::Known, Standing::Near, Standing::Stranger];
        for done in futures_util::future::join_all((0..40).map(|number| hash(all[number % 4]))).await {
            done.unwrap();
        }
        assert_eq!(MOST.load(Ordering::SeqCst), AT_ONCE);
    }
}
