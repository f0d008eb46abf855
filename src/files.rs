//! Files that a power cut must not halve.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

/// What is added to a file's name while it is written.
pub const NEW: &str = ".new";

/// Who may read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readers {
    /// Its owner alone: secrets, and what may hold one.
    Owner,
    /// Everybody on the machine.
    Everybody,
}

/// Puts a file in the place of an older one, or of none: beside it first, then by a rename. It is on the disk when this returns; whenever
/// the power goes there is the old one or the new one, whole. One at a time for one path.
///
/// # Errors
/// What the system said; then the old one is there still, or the new one, which a power cut might take back.
pub fn replace(path: &Path, content: &[u8], readers: Readers) -> io::Result<()> {
    let mut new = path.as_os_str().to_owned();
    new.push(NEW);
    let new = Path::new(&new);
    let mode = match readers {
        Readers::Owner => 0o600,
        Readers::Everybody => 0o644,
    };
    // One that was left by a power cut may have other rights.
    let _gone = fs::remove_file(new);
    let written = OpenOptions::new().write(true).create_new(true).mode(mode).open(new).and_then(|mut file| {
        file.write_all(content)?;
        file.sync_all()
    });
    if let Err(error) = written.and_then(|()| fs::rename(new, path)) {
        // Half of it helps nobody, and a full disk needs the room.
        let _gone = fs::remove_file(new);
        return Err(error);
    }
    match path.parent() {
        Some(folder) if folder.as_os_str().is_empty() => File::open(".")?.sync_all(),
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn file_is_replaced_whole_with_its_own_rights_whatever_a_power_cut_left_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("settings.toml");
        let beside = folder.path().join("settings.toml.new");
        for (readers, mode, content) in [(Readers::Owner, 0o600, "one"), (Readers::Everybody, 0o644, "another")] {
            fs::write(&beside, "half, and for everybody to rea").unwrap();
            fs::set_permissions(&beside, fs::Permissions::from_mode(0o666)).unwrap();
            replace(&path, content.as_bytes(), readers).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), content);
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, mode);
            assert!(!beside.exists());
        }
    }

    #[test]
    fn what_can_not_be_put_in_place_leaves_the_old_one_and_nothing_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("taken");
        fs::create_dir(&place).unwrap();
        fs::write(place.join("inside"), "kept").unwrap();
        assert!(replace(&place, b"new", Readers::Owner).is_err());
        assert_eq!(fs::read_to_string(place.join("inside")).unwrap(), "kept");
        assert!(!folder.path().join("taken.new").exists());
        assert!(replace(&folder.path().join("nowhere/file"), b"new", Readers::Owner).is_err());
    }
}
