//! The setup code in a file on the boot partition, for whoever has the card and no screen. The program may not write what the machine starts
//! from: it lays the code ready, and the machine's own helper writes it there.

use std::{
    io,
    path::{Path, PathBuf},
};

use secrecy::{ExposeSecret as _, SecretString};

use crate::files::{self, Readers};

/// The request: a code, or nothing once the box has an owner, which takes the file away.
const REQUEST: &str = "setup-code";

/// Keeps the request as it should be.
#[derive(Debug)]
pub(super) struct SetupFile {
    path: Option<PathBuf>,
    /// What was asked for last, so that it is asked once.
    done: Option<bool>,
}

impl SetupFile {
    /// In `requests`, the folder into which the machine looks, if there is one.
    pub(super) fn new(requests: Option<&Path>) -> Self {
        Self { path: requests.map(|folder| folder.join(REQUEST)), done: None }
    }

    /// Asks for the present code to be there. The folder lies in memory: nothing waits for a card.
    pub(super) fn keep(&mut self, code: Option<&SecretString>) {
        let Some(path) = &self.path else { return };
        if self.done == Some(code.is_some()) {
            return;
        }
        self.done = Some(code.is_some());
        if let Err(error) = ask(path, code) {
            tracing::warn!(%error, path = %path.display(), "the file with the setup code cannot be kept");
        }
    }
}

fn ask(path: &Path, code: Option<&SecretString>) -> io::Result<()> {
    let content = code.map_or_else(String::new, |code| format!("{}\n", code.expose_secret()));
    files::replace(path, content.as_bytes(), Readers::Owner)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn code_is_asked_for_until_the_box_has_an_owner() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(REQUEST);
        let mut file = SetupFile::new(Some(folder.path()));
        let code = SecretString::from("abcd2345");
        file.keep(Some(&code));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "abcd2345\n");
        file.keep(None);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "");
        // A folder that cannot be written is no reason to end.
        SetupFile::new(Some(Path::new("/proc/nothing"))).keep(Some(&code));
        SetupFile::new(None).keep(Some(&code));
    }
}
