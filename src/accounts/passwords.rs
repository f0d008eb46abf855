//! Hashing passwords: Argon2id, off the async threads, two at once.

use std::sync::Arc;

use argon2::{
    Algorithm, Argon2, Block, Params, Version,
    password_hash::phc::{Output, PasswordHash},
};
use data_encoding::BASE64_NOPAD;
use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;
use tokio::sync::Semaphore;
use unicode_normalization::UnicodeNormalization;

use super::AccountError;

/// The shortest password, in characters.
pub(super) const MIN: usize = 8;

/// The longest one: a sentence has room.
pub(super) const MAX: usize = 256;

/// Hashes at once in the whole process: each takes 19 MB and, on a Raspberry Pi 4, about 0.1 s of a core of four.
const AT_ONCE: usize = 2;

/// Those that may wait besides. Eight rounds of two are over within a second or so on such a board; whoever comes later is told
/// to come again.
const WAITING: usize = 16;

/// Capacity of a hash's memory in blocks of 1 KiB: only 19 MiB of it are ever touched. Above 32 MiB glibc gives memory back to
/// the system for sure; below, it keeps it for the next time, for good.
const CAPACITY_BLOCKS: usize = 33 * 1024;

const SALT: usize = 16;
const OUTPUT: usize = 32;

/// Who may hash. One for the process.
pub(super) struct Passwords {
    running: Arc<Semaphore>,
    admitted: Arc<Semaphore>,
    /// Compared with when there is no account, so that this takes as long.
    dummy: SecretString,
}

impl Passwords {
    pub(super) fn new() -> Self {
        let dummy = SecretString::from(phc(&Params::DEFAULT, &[0; SALT], &[0; OUTPUT]));
        Self {
            running: Arc::new(Semaphore::new(AT_ONCE)),
            admitted: Arc::new(Semaphore::new(AT_ONCE + WAITING)),
            dummy,
        }
    }

    /// The PHC string of a new hash.
    pub(super) async fn hash(&self, password: SecretString) -> Result<SecretString, AccountError> {
        self.run(move || {
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
    ) -> Result<bool, AccountError> {
        let known = hash.is_some();
        let hash = hash.unwrap_or_else(|| self.dummy.clone());
        let matches = self.run(move || verify(&password, &hash)).await?;
        Ok(known && matches)
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, AccountError> {
        let admitted = Arc::clone(&self.admitted).try_acquire_owned().map_err(|_| AccountError::Busy)?;
        let running = Arc::clone(&self.running).acquire_owned().await.map_err(|_| AccountError::Busy)?;
        // The permits go along: whoever asked may give up, the work goes on to its end and counts until then.
        let task = tokio::task::spawn_blocking(move || {
            let result = work();
            drop((running, admitted));
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
    #![expect(clippy::unwrap_used, reason = "tests")]

    use argon2::PasswordVerifier;

    use super::*;

    #[tokio::test]
    async fn hash_is_what_other_programs_can_check() {
        let passwords = Passwords::new();
        let hash = passwords.hash("correct horse".into()).await.unwrap();
        assert!(hash.expose_secret().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        Argon2::default().verify_password(b"correct horse", hash.expose_secret()).unwrap();
        assert!(passwords.verify("correct horse".into(), Some(hash.clone())).await.unwrap());
        assert!(!passwords.verify("correct house".into(), Some(hash)).await.unwrap());
        assert!(!passwords.verify("correct horse".into(), None).await.unwrap());
    }

    #[tokio::test]
    async fn accents_match_however_they_are_typed() {
        let passwords = Passwords::new();
        let hash = passwords.hash("Zo\u{eb} sings".into()).await.unwrap();
        assert!(passwords.verify("Zoe\u{308} sings".into(), Some(hash)).await.unwrap());
    }

    #[tokio::test]
    async fn two_run_a_few_wait_and_the_rest_are_told_to_come_again() {
        let passwords = Arc::new(Passwords::new());
        // Nobody gets on while the two places are held.
        let held = Arc::clone(&passwords.running).acquire_many_owned(2).await.unwrap();
        let tasks: Vec<_> = (0..AT_ONCE + WAITING)
            .map(|_| {
                let passwords = Arc::clone(&passwords);
                tokio::spawn(async move { passwords.run(|| ()).await })
            })
            .collect();
        while passwords.admitted.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        assert!(matches!(passwords.run(|| ()).await, Err(AccountError::Busy)));
        drop(held);
        for task in tasks {
            task.await.unwrap().unwrap();
        }
        passwords.run(|| ()).await.unwrap();
    }
}
