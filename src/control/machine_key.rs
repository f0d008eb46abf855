//! What shows that a program runs on this machine: a key in a file that its owner alone may read, another one at each start. A connection
//! over loopback shows nothing: a proxy here has those of the whole world.

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

use data_encoding::HEXLOWER;
use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;

use crate::files::{self, Readers};

/// The file's name.
const FILE: &str = "machine-key";

/// Where systemd says that files of a running program belong.
const RUNTIME_DIRECTORY: &str = "RUNTIME_DIRECTORY";

/// More than a key has is none.
const LONGEST: u64 = 200;

/// The key of this start. Cheap to clone.
#[derive(Clone)]
pub struct MachineKey(SecretString);

impl fmt::Debug for MachineKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MachineKey([redacted])")
    }
}

impl MachineKey {
    /// A new one.
    pub fn new() -> Self {
        Self(HEXLOWER.encode(&rand::random::<[u8; 32]>()).into())
    }

    /// Where it lies: in `$RUNTIME_DIRECTORY`, which is memory, else in the data folder.
    pub fn place(data_dir: &Path) -> PathBuf {
        let folder = std::env::var_os(RUNTIME_DIRECTORY).filter(|folder| !folder.is_empty()).map(PathBuf::from);
        folder.unwrap_or_else(|| data_dir.to_owned()).join(FILE)
    }

    /// Lays it down for programs that may read it.
    ///
    /// # Errors
    /// What the system said.
    pub fn lay_down(&self, file: &Path) -> io::Result<()> {
        files::replace(file, format!("{}\n", self.expose()).as_bytes(), Readers::Owner)
    }

    /// The one that the running box has laid down.
    ///
    /// # Errors
    /// What the system said.
    pub fn read(file: &Path) -> io::Result<Self> {
        let mut text = String::new();
        io::Read::read_to_string(&mut io::Read::take(std::fs::File::open(file)?, LONGEST), &mut text)?;
        Ok(Self(text.trim().into()))
    }

    /// As a bearer token.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// Whether this is it, in constant time.
    pub(crate) fn is(&self, token: &str) -> bool {
        self.expose().as_bytes().ct_eq(token.as_bytes()).into()
    }
}

impl Default for MachineKey {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn key_is_another_one_at_each_start_and_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(FILE);
        let (first, second) = (MachineKey::new(), MachineKey::new());
        first.lay_down(&file).unwrap();
        second.lay_down(&file).unwrap();
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        let read = MachineKey::read(&file).unwrap();
        assert!(second.is(read.expose()) && !first.is(read.expose()) && !second.is(""));
        assert!(!format!("{second:?}").contains(second.expose()));
        assert!(MachineKey::read(&folder.path().join("nothing")).is_err());
    }
}
