//! That the box is alive, and the running turn's time on air, in a file of its own beside the store.
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

use serde::{Deserialize, Serialize};

use crate::core::{queue::TurnId, show::darkness::LifeSign};

pub(super) const FILE_NAME: &str = "alive";

/// The file of programs that noted the time on air alone, which they go on writing after a rollback.
pub(super) const OLD_FILE_NAME: &str = "elapsed";

/// One sector of a disk.
const LENGTH: usize = 512;

/// Of the older file: two numbers of 20 digits, a space between, a newline behind.
const OLD_LENGTH: usize = 42;

/// What is noted every few seconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// What the machine's clocks said; none while a start does not know yet how long the box was dark.
    #[serde(default)]
    pub alive: Option<LifeSign>,
    /// The turn that runs, and its time on air in milliseconds.
    #[serde(default)]
    pub turn: Option<(TurnId, u64)>,
}

impl Note {
    /// The turn that runs, and its time on air.
    pub fn elapsed(&self) -> Option<(TurnId, Duration)> {
        self.turn.map(|(turn, millis)| (turn, Duration::from_millis(millis)))
    }
}

/// The last note in the folder; what of it can be read, since it only refines what the queue itself stores.
pub(super) fn read(folder: &Path) -> Note {
    let text = std::fs::read_to_string(folder.join(FILE_NAME)).unwrap_or_default();
    let note: Note =
        if text.len() == LENGTH { serde_json::from_str(&text).unwrap_or_default() } else { Note::default() };
    let old = || read_old(&folder.join(OLD_FILE_NAME));
    // Turns are numbered as they come: the older program's note may be of a later one, after a rollback and an update.
    let turn =
        note.turn.max(old().map(|(turn, elapsed)| (turn, u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX))));
    Note { turn, ..note }
}

fn read_old(path: &Path) -> Option<(TurnId, Duration)> {
    let text = std::fs::read_to_string(path).ok()?;
    if text.len() != OLD_LENGTH || !text.ends_with('\n') {
        return None;
    }
    let (turn, millis) = text.trim_end().split_once(' ')?;
    Some((TurnId(turn.parse().ok()?), Duration::from_millis(millis.parse().ok()?)))
}

/// The open file, made at the first note.
#[derive(Default)]
pub(super) struct NoteFile {
    file: Option<File>,
}

impl NoteFile {
    pub(super) fn write(&mut self, path: &Path, note: &Note) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            empty => empty.insert(OpenOptions::new().write(true).create(true).truncate(false).open(path)?),
        };
        let mut text = serde_json::to_vec(note)?;
        if text.len() >= LENGTH {
            return Err(io::Error::other("the note is too long"));
        }
        text.resize(LENGTH - 1, b' ');
        text.push(b'\n');
        file.write_all_at(&text, 0)
    }
}
