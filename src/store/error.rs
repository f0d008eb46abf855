//! Why the store cannot be used.

use std::path::PathBuf;

use thiserror::Error;

/// Why the store cannot be opened or written. Each says what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum StoreError {
    /// The data folder cannot be made or entered.
    #[error(
        "the data folder {path} cannot be used: {detail}; create it, or set `data_dir` to a folder that this user may write"
    )]
    Folder {
        /// The data folder.
        path: PathBuf,
        /// What the system said.
        detail: String,
    },
    /// The folder or the file is read-only.
    #[error(
        "{path} cannot be written: {detail}; give this user the right to write it, or set `data_dir` to another folder"
    )]
    ReadOnly {
        /// The folder or file.
        path: PathBuf,
        /// What the system said.
        detail: String,
    },
    /// Another process has it open.
    #[error(
        "{path} is in use by another process, most likely a running motherstream; stop that one, or set another `data_dir`"
    )]
    InUse {
        /// The store's file.
        path: PathBuf,
    },
    /// The file is something else.
    #[error(
        "{path} is not a store of motherstream ({detail}); it was left as it is: move it away, or set another `data_dir`"
    )]
    Foreign {
        /// The file that stands in the store's place.
        path: PathBuf,
        /// What is there instead.
        detail: String,
    },
    /// The file is damaged.
    #[error(
        "{path} is damaged ({detail}); it was left as it is: put a backup in its place, or move it away to begin empty"
    )]
    Corrupt {
        /// The store's file.
        path: PathBuf,
        /// What the reading stumbled over.
        detail: String,
    },
    /// A newer program wrote it, and said that this one cannot read it.
    #[error(
        "{path} was written by a newer motherstream (schema {found}, readable from {oldest}; this program knows {known}); \
         update motherstream, or put back the backup made before the update"
    )]
    TooNew {
        /// The store's file.
        path: PathBuf,
        /// The schema of the file.
        found: u32,
        /// The oldest program's schema that may read it.
        oldest: u32,
        /// The schema of this program.
        known: u32,
    },
    /// The disk is full.
    #[error("the disk that holds {path} is full; free some space, nothing stored is lost")]
    Full {
        /// The file or folder that could not be written.
        path: PathBuf,
    },
    /// The disk failed in another way.
    #[error("{path} cannot be read or written: {detail}; check the disk")]
    Io {
        /// The file that could not be read or written.
        path: PathBuf,
        /// What the system said.
        detail: String,
    },
    /// The file was moved, deleted or replaced under the running box: what is written into it now, the next start would not find.
    #[error(
        "{path} was moved, deleted or replaced while the box runs, so nothing can be stored; put the same file back to its place and the box \
         goes on by itself, or download a backup on the page System, start the box again and restore it"
    )]
    Moved {
        /// Where the store's file was.
        path: PathBuf,
    },
    /// More changes wait than the disk takes.
    #[error("the disk does not keep up; try again in a moment")]
    Busy,
    /// The store is closed: the box is stopping.
    #[error("the store is closed")]
    Stopped,
}
