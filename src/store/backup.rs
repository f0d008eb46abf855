//! A copy of everything that the box remembers, in one file, and its way back.
//!
//! A backup is a zip: `backup.json` says what it is, `store/TABLE.jsonl` holds the rows of one table each, `settings.toml` the page's
//! settings, and the venue's slate lies beside them; so do, if whoever makes it asks for that, the Wi-Fi networks with their passwords. Rows rather than the store's own file: what is restored is written anew by this
//! program, row by row, so that a damaged or hostile file never reaches the database's code. Web sessions, reset links and the setup code
//! stay out: a copy in a drawer must open no door. So does tonight: who is in the queue, whose turn it is, hold and panic, whether a show is
//! on. An older backup that has any of it is restored without.
//!
//! Restoring has two steps. [`Backup::stage`] checks everything and lays the new files into `restore/` beside the old ones; [`apply`], at the
//! next start without a show and before the store is opened, puts them into place one rename after another and keeps the old ones in
//! `before-restore/`. A power cut at any moment leaves the old state or a swap that the next start finishes.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Cursor, Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    panic,
    path::Path,
};

use redb::{Database, TableDefinition, TableHandle as _};
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use thiserror::Error;
use zip::{ZipArchive, ZipWriter, result::ZipError, write::SimpleFileOptions};

use super::{
    AUDIT_ROWS, AccountRecord, FILE_NAME, HISTORY_ROWS, SETUP_CODE, SHOW, SHOW_ENDED_BY_HAND, Store, StoreError, alive,
    file::{self, Cell, Disk},
};
use crate::core::{
    account::{Role, hash::is_bearable},
    network::wifi::{self, SavedWifi},
    queue::Record,
};

/// What a backup calls itself.
const PROGRAM: &str = "motherstream";
/// The layout of the file that this program writes and reads.
const FORMAT: u32 = 1;
const MANIFEST: &str = "backup.json";
const SETTINGS: &str = "settings.toml";
const FOLDER: &str = "restore";
const KEPT: &str = "before-restore";
/// The same while files are put into place.
const KEPT_NEW: &str = "before-restore.new";

/// How the names of the slate's pictures begin.
pub const PICTURE: &str = "slate-";

/// The largest backup that is read, in bytes; ten thousand turns and a thousand accounts are about 1 MB, a slate up to 8 MB.
pub const LARGEST: usize = 32 << 20;
/// What it may be unpacked.
const LARGEST_UNPACKED: u64 = 128 << 20;

/// Tables that are not copied, besides those this program does not know.
const LEFT_OUT: &[&str] = &["sessions", "resets"];

/// Settings that are not copied: whether a show is on, or was ended by hand, which is tonight's; and the code that makes the first admin,
/// which is of one box.
const OWN_SETTINGS: &[&str] = &[SHOW, SHOW_ENDED_BY_HAND, SETUP_CODE];

/// How many rows of a table are restored: as many as a box makes, or more.
const fn most_rows(table: &str) -> u64 {
    match table.as_bytes() {
        b"accounts" => 10_000,
        b"history" => HISTORY_ROWS,
        b"audit" => AUDIT_ROWS,
        b"viewers" | b"invitations" => 1000,
        _ => 100,
    }
}

/// The longest row that is restored, in bytes. The longest of ours is a destination's, of about 2 KB; the queue is cut down to a few numbers.
const LONGEST_ROW: usize = 64 << 10;

/// Why a file is no backup that can be restored.
#[derive(Debug, Error)]
pub enum BackupError {
    /// Something else, or damaged.
    #[error("this is not a whole backup of a box ({0}); download it again, or choose another file")]
    Damaged(String),
    /// A newer program made it.
    #[error("this backup was made by Motherstream {0}, which is newer than this box can read: update the box first")]
    TooNew(String),
    /// Nobody could sign in who runs the box.
    #[error(
        "there is no admin in this backup who could sign in: nobody could run the box. Choose another one; or restore it by the API with \
         `?without_admin=true`, and the box comes up without an owner and makes a new setup code"
    )]
    NoAdmin,
    /// It cannot be kept, or its rows do not fit.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The data folder cannot be written.
    #[error("the backup could not be kept: {0}")]
    Io(#[from] io::Error),
}

/// What a backup says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Always `motherstream`: anything else is another program's file.
    program: String,
    /// The version of the file's layout; a higher one than ours is not read.
    format: u32,
    /// The version of the program that made it.
    pub version: String,
    /// When the backup was made.
    pub made: jiff::Timestamp,
    /// The file name of the venue's slate in it.
    #[serde(default)]
    pub slate: Option<String>,
}

/// Rows of one table: keys and documents as JSON, one row a line.
#[derive(Debug, Serialize, Deserialize)]
struct Row {
    key: Value,
    row: Value,
}

/// Tables by name, as lines.
pub type Tables = BTreeMap<String, String>;

/// A backup that was read.
#[derive(Debug)]
pub struct Backup {
    /// What it says of itself.
    pub manifest: Manifest,
    /// The page's settings.
    pub settings: Option<String>,
    /// The venue's slate: bytes that claim to be a picture.
    pub slate: Option<Vec<u8>>,
    /// The Wi-Fi networks that the box knew.
    pub wifi: Vec<SavedWifi>,
    tables: Tables,
}

impl Store {
    /// All rows but sessions, reset links and what belongs to tonight, of one moment.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn dump(&self) -> Result<Tables, StoreError> {
        self.read(|cell| cell.read(dump)).await
    }
}

fn dump(transaction: &redb::ReadTransaction) -> Result<Tables, redb::Error> {
    let mut tables = Tables::new();
    for handle in transaction.list_tables()? {
        let name = handle.name();
        if LEFT_OUT.contains(&name) {
            continue;
        }
        let mut lines = String::new();
        let mut add = |key: Value, row: &[u8]| -> Result<(), redb::Error> {
            // A queue that makes no sense has nothing of the box.
            let Some(row) = of_the_box(name, &key, file::parse(name, row)?).unwrap_or_default() else { return Ok(()) };
            let line = serde_json::to_string(&Row { key, row })
                .map_err(|error| redb::Error::Corrupted(format!("a row of {name}: {error}")))?;
            lines.push_str(&line);
            lines.push('\n');
            Ok(())
        };
        if file::BY_NAME.contains(&name) {
            let table = transaction.open_table(TableDefinition::<&str, &[u8]>::new(name))?;
            for row in redb::ReadableTable::iter(&table)? {
                let (key, row) = row?;
                add(key.value().into(), row.value())?;
            }
        } else if file::BY_NUMBER.contains(&name) {
            let table = transaction.open_table(TableDefinition::<u64, &[u8]>::new(name))?;
            for row in redb::ReadableTable::iter(&table)? {
                let (key, row) = row?;
                add(key.value().into(), row.value())?;
            }
        } else {
            // A newer program's: its rows are not ours to read.
            continue;
        }
        tables.insert(name.to_owned(), lines);
    }
    Ok(tables)
}

/// What of a row belongs to the box; none: it belongs to tonight, or opens a door.
fn of_the_box(table: &str, key: &Value, row: Value) -> Result<Option<Value>, serde_json::Error> {
    Ok(match table {
        "settings" => Some(row).filter(|_| !OWN_SETTINGS.iter().any(|own| *key == json!(own))),
        "queue" => Some(serde_json::to_value(serde_json::from_value::<Record>(row)?.of_the_box())?),
        _ => Some(row),
    })
}

/// Packs a backup.
///
/// # Errors
/// When it cannot be packed.
pub fn pack(
    tables: &Tables,
    settings: Option<&str>,
    slate: Option<&(String, Vec<u8>)>,
    wifi: &[SavedWifi],
    made: jiff::Timestamp,
) -> io::Result<Vec<u8>> {
    let manifest = Manifest {
        program: PROGRAM.to_owned(),
        format: FORMAT,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        made,
        slate: slate.map(|(name, _)| name.clone()),
    };
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    let mut add = |name: &str, content: &[u8]| {
        archive.start_file(name, SimpleFileOptions::default())?;
        archive.write_all(content)
    };
    add(MANIFEST, &serde_json::to_vec_pretty(&manifest)?)?;
    for (name, lines) in tables {
        add(&format!("store/{name}.jsonl"), lines.as_bytes())?;
    }
    if let Some(settings) = settings {
        add(SETTINGS, settings.as_bytes())?;
    }
    if let Some((name, picture)) = slate {
        add(name, picture)?;
    }
    if !wifi.is_empty() {
        add(wifi::SAVED, &serde_json::to_vec_pretty(wifi)?)?;
    }
    Ok(archive.finish()?.into_inner())
}

/// Reads a backup, within bounds of size.
///
/// # Errors
/// When it is something else, damaged, or newer than this program.
pub fn unpack(file: &[u8]) -> Result<Backup, BackupError> {
    let damaged = |what: &dyn std::fmt::Display| BackupError::Damaged(what.to_string());
    let mut archive = ZipArchive::new(Cursor::new(file)).map_err(|error| damaged(&error))?;
    let mut left = LARGEST_UNPACKED;
    let mut take = |name: &str| -> Result<Option<Vec<u8>>, BackupError> {
        let entry = match archive.by_name(name) {
            Ok(entry) => entry,
            Err(ZipError::FileNotFound) => return Ok(None),
            // Damaged, encrypted, or packed in a way that we do not know: not the same as not there.
            Err(error) => return Err(damaged(&format!("{name}: {error}"))),
        };
        let mut content = Vec::new();
        let read = entry.take(left + 1).read_to_end(&mut content).map_err(|error| damaged(&error))?;
        left = left.checked_sub(read as u64).ok_or_else(|| damaged(&"it is too large"))?;
        Ok(Some(content))
    };
    let text = |content: Vec<u8>| String::from_utf8(content).map_err(|_| damaged(&"a part of it is not text"));

    let manifest = take(MANIFEST)?.ok_or_else(|| damaged(&"backup.json is missing"))?;
    let manifest: Manifest = serde_json::from_slice(&manifest).map_err(|error| damaged(&error))?;
    if manifest.program != PROGRAM {
        return Err(damaged(&"another program made it"));
    }
    if manifest.format > FORMAT {
        return Err(BackupError::TooNew(manifest.version));
    }
    if manifest.slate.as_deref().is_some_and(|name| !is_picture(name)) {
        return Err(damaged(&"the slate has another name than the box's pictures have"));
    }
    let mut tables = Tables::new();
    for name in file::BY_NAME.iter().chain(file::BY_NUMBER).filter(|name| !LEFT_OUT.contains(name)) {
        if let Some(lines) = take(&format!("store/{name}.jsonl"))? {
            tables.insert((*name).to_owned(), text(lines)?);
        }
    }
    if !tables.contains_key("meta") {
        return Err(damaged(&"store/meta.jsonl is missing"));
    }
    let settings = take(SETTINGS)?.map(text).transpose()?;
    let slate = match manifest.slate.as_deref() {
        Some(name) => Some(take(name)?.ok_or_else(|| damaged(&"the slate is missing"))?),
        None => None,
    };
    let wifi = take(wifi::SAVED)?.map(|content| wifi::read_saved(&content)).transpose();
    let wifi = wifi.map_err(|error| damaged(&format!("{}: {error}", wifi::SAVED)))?.unwrap_or_default();
    Ok(Backup { manifest, settings, slate, wifi, tables })
}

/// Whether a file of the data folder is a picture for the slate, by its name: `slate-`, 16 hexadecimal digits of its content's hash, `.png`
/// or `.jpg`.
pub fn is_picture(name: &str) -> bool {
    name.strip_prefix(PICTURE).and_then(|rest| rest.split_once('.')).is_some_and(|(digest, ending)| {
        digest.len() == 16 && digest.bytes().all(|byte| byte.is_ascii_hexdigit()) && matches!(ending, "png" | "jpg")
    })
}

impl Backup {
    /// Checks everything, by writing a store from the rows and opening it as a start would, and lays the files ready for the next start.
    /// What was laid ready before is replaced. Blocks for as long as the disk takes. Tells how many accounts there are. `without_admin`: it
    /// may be one that leaves the box without an owner.
    ///
    /// # Errors
    /// What is wrong with it; then nothing has changed.
    pub fn stage(&self, data_dir: &Path, without_admin: bool) -> Result<usize, BackupError> {
        let new = data_dir.join(format!("{FOLDER}.new"));
        remove(&new)?;
        fs::create_dir_all(&new)?;
        let staged = self.stage_into(data_dir, &new, without_admin);
        if staged.is_err() {
            remove(&new)?;
        }
        staged
    }

    /// What the store says of itself is said of the backup.
    fn blamed(&self, error: BackupError) -> BackupError {
        match error {
            BackupError::Store(StoreError::TooNew { .. }) => BackupError::TooNew(self.manifest.version.clone()),
            BackupError::Store(StoreError::Corrupt { detail, .. } | StoreError::Foreign { detail, .. }) => {
                BackupError::Damaged(detail)
            }
            other => other,
        }
    }

    fn stage_into(&self, data_dir: &Path, new: &Path, without_admin: bool) -> Result<usize, BackupError> {
        let accounts = build(&self.tables, new, without_admin).map_err(|error| self.blamed(error))?;
        // Empty rather than missing: then the old ones go.
        put(&new.join(SETTINGS), self.settings.as_deref().unwrap_or_default().as_bytes())?;
        if let (Some(name), Some(picture)) = (&self.manifest.slate, &self.slate) {
            put(&new.join(name), picture)?;
        }
        if !self.wifi.is_empty() {
            put(&new.join(wifi::SAVED), &serde_json::to_vec(&self.wifi).map_err(io::Error::other)?)?;
        }
        File::open(new)?.sync_all()?;
        let folder = data_dir.join(FOLDER);
        remove(&folder)?;
        fs::rename(new, &folder)?;
        File::open(data_dir)?.sync_all()?;
        Ok(accounts)
    }
}

/// Writes a store from rows and opens it as a start would.
fn build(tables: &Tables, folder: &Path, without_admin: bool) -> Result<usize, BackupError> {
    let disk = Disk::folder(folder)?;
    let path = disk.path().to_owned();
    {
        let database = disk.open()?;
        let transaction = database.begin_write().map_err(|error| file::file_error(&path, &error.into()))?;
        for (name, lines) in tables {
            fill(&transaction, name, lines)
                .map_err(|reason| BackupError::Damaged(format!("store/{name}.jsonl: {reason}")))?;
        }
        transaction.commit().map_err(|error| file::file_error(&path, &error.into()))?;
    }
    let (cell, loaded) = Cell::open(disk)?;
    cell.close();
    if let Some(account) = loaded.accounts.iter().find(|account| !is_bearable(account.password_hash.expose_secret())) {
        let reason = format!("the password of account {} is kept in a way that this box cannot check", account.id.0);
        return Err(BackupError::Damaged(reason));
    }
    let runs_the_box = |account: &AccountRecord| account.role == Role::Admin && account.is_in_order();
    if !without_admin && !loaded.accounts.iter().any(runs_the_box) {
        return Err(BackupError::NoAdmin);
    }
    Ok(loaded.accounts.len())
}

fn fill(transaction: &redb::WriteTransaction, name: &str, lines: &str) -> Result<(), String> {
    let said = |error: &dyn std::fmt::Display| error.to_string();
    let most = most_rows(name);
    if lines.lines().take(usize::try_from(most).unwrap_or(usize::MAX).saturating_add(1)).count() as u64 > most {
        return Err(format!("there are more than {most} rows, which no box has"));
    }
    let rows = lines.lines().enumerate().filter_map(|(number, line)| {
        let at = |error: &dyn std::fmt::Display| format!("line {}: {error}", number + 1);
        let row: Row = match serde_json::from_str(line) {
            Ok(row) => row,
            Err(error) => return Some(Err(at(&error))),
        };
        let document = match of_the_box(name, &row.key, row.row) {
            Ok(document) => document?,
            Err(error) => return Some(Err(at(&error))),
        };
        Some(match serde_json::to_vec(&document) {
            Ok(document) if document.len() > LONGEST_ROW => Err(at(&"it is longer than any row of a box")),
            Ok(document) => Ok((row.key, document)),
            Err(error) => Err(at(&error)),
        })
    });
    if file::BY_NAME.contains(&name) {
        let definition = TableDefinition::<&str, &[u8]>::new(name);
        let mut table = transaction.open_table(definition).map_err(|error| said(&error))?;
        for row in rows {
            let (key, document) = row?;
            let key = key.as_str().ok_or("a key is not a text")?;
            table.insert(key, document.as_slice()).map_err(|error| said(&error))?;
        }
    } else {
        let definition = TableDefinition::<u64, &[u8]>::new(name);
        let mut table = transaction.open_table(definition).map_err(|error| said(&error))?;
        for row in rows {
            let (key, document) = row?;
            let key = key.as_u64().ok_or("a key is not a number")?;
            table.insert(key, document.as_slice()).map_err(|error| said(&error))?;
        }
    }
    Ok(())
}

/// Whether files lie ready for the next start.
pub fn is_staged(data_dir: &Path) -> bool {
    data_dir.join(FOLDER).is_dir()
}

/// Takes back what lies ready for the next start.
///
/// # Errors
/// What the system said.
pub fn discard(data_dir: &Path) -> io::Result<()> {
    let (folder, new) = (data_dir.join(FOLDER), data_dir.join(format!("{FOLDER}.new")));
    // By a rename first: half of it must never be found by a start.
    remove(&new)?;
    match fs::rename(folder, &new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => remove(&new),
    }
}

/// Why files that lie ready were not put into place.
#[derive(Debug, Error)]
pub enum LiesReady {
    /// The present store says that a show is on: the box comes back in the middle of it.
    #[error("a show is on")]
    ShowIsOn,
    /// Another process works with the present store.
    #[error("a box is running on this data folder")]
    InUse,
    /// The data folder cannot be written.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Puts files that lie ready into place, and keeps what they replace, in the place of what an earlier restore has replaced. To be called
/// before the store is opened. True: there were some, and the settings have to be read anew.
///
/// # Errors
/// Why not; what lies ready stays so.
pub fn apply(data_dir: &Path) -> Result<bool, LiesReady> {
    let folder = data_dir.join(FOLDER);
    let (kept, new) = (data_dir.join(KEPT), data_dir.join(KEPT_NEW));
    let swaps = folder.is_dir();
    if swaps {
        // Held until all is in its place, so that no other process begins with what is half of each.
        let present = present(data_dir)?;
        let on = present.as_ref().and_then(|present| file::setting(present, SHOW).ok().flatten());
        // A swap that was cut off is finished: it began without a show.
        if on == Some(Value::Bool(true)) && !new.is_dir() {
            return Err(LiesReady::ShowIsOn);
        }
        // What a swap that was cut off has put there already is older than what is in its place now.
        fs::create_dir_all(&new)?;
        // The last sign of life and the time on air belong to the old queue.
        for note in [alive::FILE_NAME, alive::OLD_FILE_NAME] {
            set_aside(&data_dir.join(note), &new)?;
        }
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            let place = data_dir.join(entry.file_name());
            // A link first, so that there is no moment without a file: the rename replaces it.
            let aside = new.join(entry.file_name());
            if place.is_dir() {
                // Somebody's folder stands in a file's place.
                fs::rename(&place, &aside)?;
            } else if place.exists() && !aside.exists() {
                fs::hard_link(&place, &aside).or_else(|_| fs::copy(&place, &aside).map(drop))?;
            }
            fs::rename(entry.path(), place)?;
        }
        File::open(&new)?.sync_all()?;
        File::open(data_dir)?.sync_all()?;
        fs::remove_dir(&folder)?;
        File::open(data_dir)?.sync_all()?;
    }
    // The swap has happened, if only before a power cut.
    if new.is_dir() {
        remove(&kept)?;
        fs::rename(&new, &kept)?;
        File::open(data_dir)?.sync_all()?;
    }
    Ok(swaps)
}

/// The present store, which nobody else can use while it is held; none where there is none that can be read: a backup mends that.
fn present(data_dir: &Path) -> Result<Option<Database>, LiesReady> {
    if !data_dir.join(FILE_NAME).exists() {
        return Ok(None);
    }
    // The library may stumble over a damaged one.
    match panic::catch_unwind(|| Disk::folder(data_dir)?.open()) {
        Ok(Ok(database)) => Ok(Some(database)),
        Ok(Err(StoreError::InUse { .. })) => Err(LiesReady::InUse),
        Ok(Err(_)) | Err(_) => Ok(None),
    }
}

fn set_aside(file: &Path, kept: &Path) -> io::Result<()> {
    match file.file_name().map(|name| fs::rename(file, kept.join(name))) {
        Some(Err(error)) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// A file of which nobody else may read a word, on the disk when this returns.
fn put(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(content)?;
    file.sync_all()
}
