//! The setup code in a file on the boot partition, for whoever has the card and no screen.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use secrecy::{ExposeSecret as _, SecretString};

use crate::accounts::SETUP_CODE_FILE;

/// Keeps the file as it should be: there while the box has no owner, gone afterwards.
#[derive(Debug)]
pub(super) struct SetupFile {
    path: Option<PathBuf>,
    /// What was done last, so that a partition that can not be written is said once and not touched every second.
    done: Option<bool>,
}

impl SetupFile {
    /// In `boot_dir`, if there is one.
    pub(super) fn new(boot_dir: Option<&Path>) -> Self {
        Self { path: boot_dir.map(|folder| folder.join(SETUP_CODE_FILE)), done: None }
    }

    /// Brings the file to the present code. Blocks for as long as the card takes, and only when something has changed.
    pub(super) fn keep(&mut self, code: Option<&SecretString>) {
        let Some(path) = &self.path else { return };
        if self.done == Some(code.is_some()) {
            return;
        }
        self.done = Some(code.is_some());
        let kept = match code {
            Some(code) => write(path, code.expose_secret()),
            None => match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            },
        };
        if let Err(error) = kept {
            tracing::warn!(%error, path = %path.display(), "the file with the setup code can not be kept");
        }
    }
}

fn write(path: &Path, code: &str) -> io::Result<()> {
    // What stands there already is left: every write to the partition that boots is one too many.
    if fs::read_to_string(path).is_ok_and(|text| text.trim() == code) {
        return Ok(());
    }
    let mut file = File::create(path)?;
    writeln!(file, "{code}\r")?;
    file.sync_all()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn file_is_there_until_the_box_has_an_owner() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(SETUP_CODE_FILE);
        let mut file = SetupFile::new(Some(folder.path()));
        let code = SecretString::from("abcd2345");
        file.keep(Some(&code));
        assert_eq!(fs::read_to_string(&path).unwrap(), "abcd2345\r\n");
        file.keep(None);
        assert!(!path.exists());
        // A card that can not be written is no reason to end.
        SetupFile::new(Some(Path::new("/proc/nothing"))).keep(Some(&code));
        SetupFile::new(None).keep(Some(&code));
    }
}
