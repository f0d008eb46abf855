//! The running turn's time on air, in a file of its own beside the store.
//!
//! redb loses a commit without fsync when the process is killed, and one with fsync writes about 27 KB: too much every few
//! seconds for an SD card. So these few bytes are written in place, always the same length, without fsync: the kernel has them
//! as soon as the call returns, which survives `kill -9`, and brings them to the disk in its own time, which may not survive a
//! power cut. They lie in one sector, so that a reader finds the old or the new ones.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::FileExt,
    path::Path,
    time::Duration,
};

use crate::core::queue::TurnId;

pub(super) const FILE_NAME: &str = "elapsed";

/// Two numbers of 20 digits, a space between, a newline behind.
const LENGTH: usize = 42;

/// The last value noted, if there is one that can be read: it only refines what the queue itself stores.
pub(super) fn read(path: &Path) -> Option<(TurnId, Duration)> {
    let text = std::fs::read_to_string(path).ok()?;
    if text.len() != LENGTH || !text.ends_with('\n') {
        return None;
    }
    let (turn, millis) = text.trim_end().split_once(' ')?;
    Some((TurnId(turn.parse().ok()?), Duration::from_millis(millis.parse().ok()?)))
}

/// The open file, made at the first note.
#[derive(Default)]
pub(super) struct ElapsedFile {
    file: Option<File>,
}

impl ElapsedFile {
    pub(super) fn write(&mut self, path: &Path, turn: TurnId, elapsed: Duration) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            empty => empty.insert(OpenOptions::new().write(true).create(true).truncate(false).open(path)?),
        };
        let millis = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        let text = format!("{:020} {millis:020}\n", turn.0);
        file.write_all_at(text.as_bytes(), 0)
    }
}
