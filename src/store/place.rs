//! Whether the file that is open is still the one that its path names. A file that was moved or deleted takes writes as before, and the next
//! start does not find them.

use std::{
    fs::{self, File},
    io::{self, ErrorKind},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// The file that was there at the start, kept open: so its number on the disk is nobody else's, whatever becomes of its name.
pub(super) struct Place {
    path: PathBuf,
    first: File,
}

impl Place {
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), first: File::open(path)? })
    }

    /// Whether the path names that file.
    pub(super) fn is_held(&self) -> io::Result<bool> {
        let first = self.first.metadata()?;
        match fs::metadata(&self.path) {
            Ok(now) => Ok((now.dev(), now.ino()) == (first.dev(), first.ino())),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(false),
            Err(error) => Err(error),
        }
    }
}
