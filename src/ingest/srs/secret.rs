//! The secret in the hooks' path. SRS outlives the box, so it stays the same over restarts.

use std::{fs, io, os::unix::fs::PermissionsExt, path::Path};

use data_encoding::BASE32_NOPAD;
use secrecy::SecretString;

use crate::files::{self, Readers};

/// Random bytes of one.
const BYTES: usize = 20;

/// What is shorter is no secret.
const LEAST: usize = 16;

/// That of `folder`, made at the first time.
pub(super) fn kept(folder: &Path) -> io::Result<SecretString> {
    let path = folder.join("hooks-secret");
    match fs::read_to_string(&path) {
        Ok(text) if is_secret(text.trim()) => {
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
            return Ok(text.trim().to_owned().into());
        }
        Ok(_) => tracing::warn!("the hooks' secret is damaged, a new one is made"),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let secret = BASE32_NOPAD.encode(&rand::random::<[u8; BYTES]>()).to_lowercase();
    files::replace(&path, secret.as_bytes(), Readers::Owner)?;
    Ok(secret.into())
}

fn is_secret(text: &str) -> bool {
    text.len() >= LEAST && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn it_stays_the_same_and_is_nobody_elses_to_read() {
        let folder = tempfile::tempdir().unwrap();
        let first = kept(folder.path()).unwrap();
        assert!(is_secret(first.expose_secret()));
        assert_eq!(kept(folder.path()).unwrap().expose_secret(), first.expose_secret());
        let path = folder.path().join("hooks-secret");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);

        fs::write(&path, "short").unwrap();
        assert_ne!(kept(folder.path()).unwrap().expose_secret(), first.expose_secret());
    }
}
