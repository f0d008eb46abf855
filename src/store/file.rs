//! The file: finding, making, checking, migrating and reading it.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, ErrorKind},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, TryLockError},
    time::{Duration, Instant},
};

use redb::{
    Builder, Database, DatabaseError, Key, ReadTransaction, ReadableDatabase, ReadableTable, ReadableTableMetadata,
    StorageBackend as _, TableDefinition, TableError, WriteTransaction, backends::InMemoryBackend,
};
use rustix::fs::StatVfsMountFlags;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use super::{
    AUDIT_ROWS, AuditRecord, Change, FILE_NAME, HISTORY_ROWS, HistoryRecord, Loaded, Look, Note, StoreError, TurnId,
    place::Place,
};
use crate::core::queue;

/// The schema that this program writes.
pub(super) const SCHEMA: u32 = 1;

/// The oldest schema whose program can read what this one writes. It rises only when a change cannot be made by adding.
const OLDEST_READER: u32 = 1;

/// Bytes that redb may keep in memory; its default is 1 GB, on boards that have no more than that in all.
const CACHE_BYTES: usize = 4 << 20;

/// How long somebody who reads waits for the file to be opened anew after a failed write, and how often it is looked at.
const READER_WAIT: Duration = Duration::from_secs(1);
const READER_STEP: Duration = Duration::from_millis(10);

/// Leads from schema `from` to the next one. It must keep what the older program reads, or raise [`OLDEST_READER`]: a failed
/// update brings the older program back.
pub(super) struct Migration {
    pub(super) from: u32,
    pub(super) apply: fn(&WriteTransaction) -> Result<(), redb::Error>,
}

/// All migrations, in order.
const MIGRATIONS: &[Migration] = &[];

type Documents<K> = TableDefinition<'static, K, &'static [u8]>;

const META: Documents<&'static str> = TableDefinition::new("meta");
const ACCOUNTS: Documents<u64> = TableDefinition::new("accounts");
const QUEUE: Documents<&'static str> = TableDefinition::new("queue");
const HISTORY: Documents<u64> = TableDefinition::new("history");
const DESTINATIONS: Documents<u64> = TableDefinition::new("destinations");
const VIEWERS: Documents<u64> = TableDefinition::new("viewers");
const SETTINGS: Documents<&'static str> = TableDefinition::new("settings");
const INVITATIONS: Documents<u64> = TableDefinition::new("invitations");
const RESETS: Documents<u64> = TableDefinition::new("resets");
const AUDIT: Documents<u64> = TableDefinition::new("audit");
const SESSIONS: Documents<&'static str> = TableDefinition::new("sessions");

/// All tables whose keys are texts, and all whose keys are numbers.
pub(super) const BY_NAME: &[&str] = &["meta", "queue", "settings", "sessions"];
pub(super) const BY_NUMBER: &[&str] =
    &["accounts", "history", "destinations", "viewers", "invitations", "resets", "audit"];

/// The row of `META` and of `QUEUE`.
const META_ROW: &str = "motherstream";
const QUEUE_ROW: &str = "state";

/// Says whose file it is and who may read it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Meta {
    /// The schema it is written in.
    pub(super) schema: u32,
    /// The oldest schema whose program can read it.
    pub(super) oldest_reader: u32,
    /// Fields of a newer schema.
    #[serde(flatten)]
    pub(super) extra: Map<String, Value>,
}

/// Where the database is and how it is opened. Tests bring a disk that fails.
pub(super) struct Disk {
    path: PathBuf,
    open: Box<dyn Fn() -> Result<Database, DatabaseError> + Send + Sync>,
    read_only: Box<dyn Fn() -> bool + Send + Sync>,
    /// Whether the path still names the file that was there at the start.
    in_place: Box<dyn Fn() -> io::Result<bool> + Send + Sync>,
    content: Box<dyn Fn() -> io::Result<Vec<u8>> + Send + Sync>,
}

impl Disk {
    /// The file in `data_dir`, both made if they are missing.
    pub(super) fn folder(data_dir: &Path) -> Result<Self, StoreError> {
        fs::create_dir_all(data_dir).map_err(|error| folder_error(data_dir, &error))?;
        let path = data_dir.join(FILE_NAME);
        match fs::symlink_metadata(&path) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => create(data_dir, &path)?,
            Err(error) => return Err(folder_error(data_dir, &error)),
        }
        let place = Place::of(&path).map_err(|error| io_error(&path, &error))?;
        let (file, same) = (path.clone(), path.clone());
        let folder = data_dir.to_owned();
        Ok(Self {
            path,
            // Never `create`: that would take an empty file for a new store.
            open: Box::new(move || builder().open(&file)),
            read_only: Box::new(move || {
                rustix::fs::statvfs(&folder).is_ok_and(|disk| disk.f_flag.contains(StatVfsMountFlags::RDONLY))
            }),
            in_place: Box::new(move || place.is_held()),
            content: Box::new(move || fs::read(&same)),
        })
    }

    #[cfg(test)]
    pub(super) fn custom(
        path: PathBuf,
        open: impl Fn() -> Result<Database, DatabaseError> + Send + Sync + 'static,
        read_only: impl Fn() -> bool + Send + Sync + 'static,
        content: impl Fn() -> io::Result<Vec<u8>> + Send + Sync + 'static,
    ) -> Self {
        let (open, read_only) = (Box::new(open), Box::new(read_only));
        Self { path, open, read_only, in_place: Box::new(|| Ok(true)), content: Box::new(content) }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn open(&self) -> Result<Database, StoreError> {
        // Not what somebody has put into its place: that is nobody's to write over.
        self.check_place()?;
        (self.open)().map_err(|error| open_error(&self.path, error))
    }

    /// What the file holds, opened in memory: a few megabytes.
    fn copy(&self) -> Result<Database, StoreError> {
        self.check_place()?;
        let content = (self.content)().map_err(|error| io_error(&self.path, &error))?;
        if content.is_empty() {
            // The library would take it for a new one.
            return Err(StoreError::Corrupt { path: self.path.clone(), detail: "it is empty".to_owned() });
        }
        let memory = InMemoryBackend::new();
        let filled = memory.set_len(content.len() as u64).and_then(|()| memory.write(0, &content));
        filled.map_err(|error| io_error(&self.path, &error))?;
        let database = builder().create_with_backend(memory).map_err(|error| open_error(&self.path, error))?;
        readable_meta(&database, &self.path, SCHEMA)?;
        Ok(database)
    }

    /// Asked before and after each commit, because the system does not tell. Once ext4 was made read-only under an open file (a forced
    /// remount), writes into what the file already has, and their flushes, succeed and reach no disk; and a file that was moved or deleted
    /// takes everything, for nobody.
    fn check(&self) -> Result<(), StoreError> {
        if (self.read_only)() {
            return Err(io_error(&self.path, &ErrorKind::ReadOnlyFilesystem.into()));
        }
        self.check_place()
    }

    fn check_place(&self) -> Result<(), StoreError> {
        match (self.in_place)() {
            Ok(true) => Ok(()),
            Ok(false) => Err(StoreError::Moved { path: self.path.clone() }),
            Err(error) => Err(io_error(&self.path, &error)),
        }
    }
}

/// The whole file is checked at each start: redb trusts a file that was closed well, and may panic over a damaged one. It takes
/// a few milliseconds for the few megabytes there are.
fn builder() -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE_BYTES).set_check_integrity_on_open(true);
    builder
}

/// Makes an empty store under another name and moves it into place, so that a store that is found is never half-made.
fn create(data_dir: &Path, path: &Path) -> Result<(), StoreError> {
    let new = path.with_extension("redb.new");
    match fs::remove_file(&new) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(folder_error(data_dir, &error)),
    }
    // It holds stream keys and password hashes: nobody else's business.
    let own = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new);
    own.map_err(|error| folder_error(data_dir, &error))?;
    let written = builder().create(&new).map_err(redb::Error::from).and_then(|database| initialise(&database));
    written.map_err(|error| match error {
        redb::Error::Io(error) => folder_error(data_dir, &error),
        error => file_error(&new, &error),
    })?;
    let moved = fs::rename(&new, path).and_then(|()| File::open(data_dir)?.sync_all());
    moved.map_err(|error| folder_error(data_dir, &error))
}

/// Writes the row that says whose file it is.
pub(super) fn initialise(database: &Database) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    put_meta(&transaction, &Meta { schema: SCHEMA, oldest_reader: OLDEST_READER, extra: Map::new() })?;
    transaction.commit()?;
    Ok(())
}

fn put_meta(transaction: &WriteTransaction, meta: &Meta) -> Result<(), redb::Error> {
    put(transaction, META, META_ROW, meta)
}

/// The open database, or none after a failed write; whoever needs it next opens it anew then. redb refuses all work after one
/// failed write.
///
/// Lock order: `opening` before `database`. Whoever writes or opens holds `opening` all the while, so that there is one who opens, and no copy
/// takes the place of the file that is written. Reading takes it only when nothing is open.
pub(super) struct Cell {
    disk: Disk,
    database: RwLock<Option<Open>>,
    /// Why it is never opened.
    trouble: Option<StoreError>,
    opening: Mutex<Stopped>,
}

/// Whether it was closed for good.
#[derive(Default)]
struct Stopped(bool);

/// What is open.
struct Open {
    database: Database,
    /// A copy in memory, to read from: the file itself cannot be opened, which takes writing.
    copy: bool,
}

impl Cell {
    pub(super) fn open(disk: Disk) -> Result<(Self, Loaded), StoreError> {
        let database = disk.open()?;
        check(&database, &disk.path, MIGRATIONS, SCHEMA)?;
        let open = Some(Open { database, copy: false });
        let cell = Self { disk, database: RwLock::new(open), trouble: None, opening: Mutex::default() };
        let loaded = cell.load()?;
        Ok((cell, loaded))
    }

    /// One that is never opened, because of `trouble`.
    pub(super) fn closed(data_dir: &Path, trouble: StoreError) -> Self {
        let disk = Disk {
            path: data_dir.join(FILE_NAME),
            open: Box::new(|| Err(DatabaseError::DatabaseAlreadyOpen)),
            read_only: Box::new(|| false),
            in_place: Box::new(|| Ok(false)),
            content: Box::new(|| Err(ErrorKind::NotFound.into())),
        };
        Self { disk, database: RwLock::new(None), trouble: Some(trouble), opening: Mutex::default() }
    }

    pub(super) fn path(&self) -> &Path {
        &self.disk.path
    }

    /// Applies all changes in one transaction and commits it durably. Without any, it writes what is there once more: whether the disk
    /// takes something again.
    pub(super) fn write<'a>(&self, changes: impl Iterator<Item = &'a Change>) -> Result<(), StoreError> {
        // Before anything is touched: what is open stays so, to be read from.
        self.disk.check()?;
        let _opening = self.opening();
        self.open_to_write()?;
        let result = {
            let open = self.lock();
            let open = open.as_ref().ok_or(StoreError::Stopped)?;
            write_all(&open.database, changes)
        };
        if let Err(error) = result {
            // redb leaves a database that failed to be opened and repaired.
            self.put(None);
            return Err(file_error(&self.disk.path, &error));
        }
        // Afterwards too: it may have happened in between.
        self.disk.check().inspect_err(|error| {
            // What was moved away can be read from here, and from nowhere else.
            if !matches!(error, StoreError::Moved { .. }) {
                self.put(None);
            }
        })
    }

    fn open_to_write(&self) -> Result<(), StoreError> {
        if self.lock().as_ref().is_some_and(|open| !open.copy) {
            return Ok(());
        }
        let database = self.disk.open()?;
        self.put(Some(Open { database, copy: false }));
        Ok(())
    }

    /// After a failed write: the file, or a copy of it where opening fails because the disk is full or read-only. Those who run the night
    /// have to be known then too.
    fn open_to_read(&self) -> Result<(), StoreError> {
        let opening = self.opening_soon()?;
        if opening.0 {
            return Err(StoreError::Stopped);
        }
        // By somebody else meanwhile.
        if self.lock().is_some() {
            return Ok(());
        }
        let open = match self.disk.open() {
            Ok(database) => Open { database, copy: false },
            Err(StoreError::Full { .. } | StoreError::ReadOnly { .. } | StoreError::Io { .. }) => {
                Open { database: self.disk.copy()?, copy: true }
            }
            Err(error) => return Err(error),
        };
        self.put(Some(open));
        Ok(())
    }

    fn opening(&self) -> MutexGuard<'_, Stopped> {
        self.opening.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As [`Self::opening`], for those who read: they do not wait for ever behind a writer whom the disk does not answer.
    fn opening_soon(&self) -> Result<MutexGuard<'_, Stopped>, StoreError> {
        let until = Instant::now() + READER_WAIT;
        loop {
            match self.opening.try_lock() {
                Ok(opening) => return Ok(opening),
                Err(TryLockError::Poisoned(opening)) => return Ok(opening.into_inner()),
                Err(TryLockError::WouldBlock) if Instant::now() < until => std::thread::sleep(READER_STEP),
                Err(TryLockError::WouldBlock) => return Err(StoreError::Busy),
            }
        }
    }

    fn put(&self, open: Option<Open>) {
        *self.database.write().unwrap_or_else(PoisonError::into_inner) = open;
    }

    /// As after a failed write.
    #[cfg(test)]
    pub(super) fn forget(&self) {
        self.put(None);
    }

    /// Closes the store for good: nothing opens it again.
    pub(super) fn close(&self) {
        let mut opening = self.opening();
        opening.0 = true;
        self.put(None);
    }

    pub(super) fn history(&self, before: Option<TurnId>, limit: usize) -> Result<Vec<HistoryRecord>, StoreError> {
        self.read(|transaction| {
            let Some(table) = open_table(transaction, HISTORY)? else {
                return Ok(Vec::new());
            };
            let end = table.last()?.map_or(0, |(key, _)| key.value().saturating_add(1));
            let (mut first, mut after) = (table.first()?.map_or(0, |(key, _)| key.value()), end);
            // Turns end in the order in which they began, so both keys and turns ascend: the rows before a turn are found by halving.
            while let Some(before) = before.filter(|_| first < after) {
                let middle = first + (after - first) / 2;
                let row = table.get(middle)?.map(|row| parse::<HistoryRecord>("history", row.value())).transpose()?;
                match row {
                    Some(row) if row.turn < before => first = middle + 1,
                    _ => after = middle,
                }
            }
            let mut rows = Vec::new();
            for row in table.range(..after)?.rev().take(limit) {
                rows.push(parse("history", row?.1.value())?);
            }
            Ok(rows)
        })
    }

    pub(super) fn audit(&self, before: Option<u64>, limit: usize) -> Result<Vec<AuditRecord>, StoreError> {
        self.read(|transaction| {
            let Some(table) = open_table(transaction, AUDIT)? else {
                return Ok(Vec::new());
            };
            let mut rows = Vec::new();
            for row in table.range(..before.unwrap_or(u64::MAX))?.rev().take(limit) {
                let (number, row) = row?;
                let mut row: AuditRecord = parse("audit", row.value())?;
                row.number = number.value();
                rows.push(row);
            }
            Ok(rows)
        })
    }

    fn load(&self) -> Result<Loaded, StoreError> {
        self.read(|transaction| {
            let queue = match open_table(transaction, QUEUE)? {
                Some(table) => table.get(QUEUE_ROW)?.map(|row| row.value().to_vec()),
                None => None,
            };
            // Its owner reads it; that it can be read belongs to a store that opens.
            if let Some(row) = &queue {
                let _readable: queue::Record = parse("queue", row)?;
            }
            let mut settings = BTreeMap::new();
            if let Some(table) = open_table(transaction, SETTINGS)? {
                for row in table.iter()? {
                    let (key, value) = row?;
                    settings.insert(key.value().to_owned(), parse("settings", value.value())?);
                }
            }
            Ok(Loaded {
                accounts: all(transaction, ACCOUNTS, "accounts")?,
                queue,
                destinations: all(transaction, DESTINATIONS, "destinations")?,
                viewers: all(transaction, VIEWERS, "viewers")?,
                invitations: all(transaction, INVITATIONS, "invitations")?,
                resets: all(transaction, RESETS, "resets")?,
                sessions: all(transaction, SESSIONS, "sessions")?,
                settings,
                note: Note::default(),
            })
        })
    }

    pub(super) fn read<T>(
        &self,
        read: impl FnOnce(&ReadTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, StoreError> {
        if let Some(trouble) = &self.trouble {
            return Err(trouble.clone());
        }
        if self.lock().is_none() {
            self.open_to_read()?;
        }
        let open = self.lock();
        // The writer has closed it in this very moment.
        let failed =
            || StoreError::Io { path: self.disk.path.clone(), detail: "closed after a failed write".to_owned() };
        let open = open.as_ref().ok_or_else(failed)?;
        open.database
            .begin_read()
            .map_err(redb::Error::from)
            .and_then(|transaction| read(&transaction))
            .map_err(|error| file_error(&self.disk.path, &error))
    }

    fn lock(&self) -> RwLockReadGuard<'_, Option<Open>> {
        self.database.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whose file it is, whether this program may read it, and what it takes to bring it up to date.
pub(super) fn check(database: &Database, path: &Path, migrations: &[Migration], known: u32) -> Result<(), StoreError> {
    let mut meta = readable_meta(database, path, known)?;
    // A newer file that we may read stays what it is: its version tells the newer program, when that comes back, that its own
    // rows are still there.
    if meta.schema >= known {
        return Ok(());
    }
    let mut migrate = || -> Result<(), redb::Error> {
        let transaction = database.begin_write()?;
        for migration in migrations.iter().filter(|migration| migration.from >= meta.schema) {
            (migration.apply)(&transaction)?;
        }
        meta.schema = known;
        meta.oldest_reader = OLDEST_READER;
        put_meta(&transaction, &meta)?;
        transaction.commit()?;
        Ok(())
    };
    migrate().map_err(|error| file_error(path, &error))
}

/// The row that says whose file it is, if this program may read the file.
fn readable_meta(database: &impl ReadableDatabase, path: &Path, known: u32) -> Result<Meta, StoreError> {
    let meta = read_meta(database).map_err(|error| file_error(path, &error))?;
    let path = path.to_owned();
    match meta {
        None => Err(StoreError::Foreign { path, detail: "a redb file of another program".to_owned() }),
        Some(Meta { schema, oldest_reader, .. }) if oldest_reader > known => {
            Err(StoreError::TooNew { path, found: schema, oldest: oldest_reader, known })
        }
        Some(meta) => Ok(meta),
    }
}

fn read_meta(database: &impl ReadableDatabase) -> Result<Option<Meta>, redb::Error> {
    let transaction = database.begin_read()?;
    let table = match transaction.open_table(META) {
        Ok(table) => table,
        Err(TableError::Storage(error)) => return Err(error.into()),
        // Missing, or made by somebody else with other types.
        Err(_) => return Ok(None),
    };
    table.get(META_ROW)?.map(|row| parse("meta", row.value())).transpose()
}

/// Opens for reading only and changes nothing.
pub(super) fn look(path: &Path) -> Result<Look, StoreError> {
    if !path.try_exists().map_err(|error| io_error(path, &error))? {
        return Ok(Look::Missing);
    }
    let database = match builder().open_read_only(path) {
        Ok(database) => database,
        Err(DatabaseError::RepairAborted) => return Ok(Look::Unclean),
        Err(error) => return Err(open_error(path, error)),
    };
    readable_meta(&database, path, SCHEMA)?;
    let count = || -> Result<u64, redb::Error> {
        let transaction = database.begin_read()?;
        Ok(match open_table(&transaction, ACCOUNTS)? {
            Some(table) => table.len()?,
            None => 0,
        })
    };
    count().map(|accounts| Look::Opens { accounts }).map_err(|error| file_error(path, &error))
}

/// A named value.
pub(super) fn setting(database: &Database, name: &str) -> Result<Option<Value>, redb::Error> {
    let Some(table) = open_table(&database.begin_read()?, SETTINGS)? else { return Ok(None) };
    table.get(name)?.map(|row| parse("settings", row.value())).transpose()
}

fn open_table<K: Key + 'static>(
    transaction: &ReadTransaction,
    definition: Documents<K>,
) -> Result<Option<redb::ReadOnlyTable<K, &'static [u8]>>, redb::Error> {
    match transaction.open_table(definition) {
        Ok(table) => Ok(Some(table)),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn all<K: Key + 'static, T: DeserializeOwned>(
    transaction: &ReadTransaction,
    definition: Documents<K>,
    name: &str,
) -> Result<Vec<T>, redb::Error> {
    let Some(table) = open_table(transaction, definition)? else {
        return Ok(Vec::new());
    };
    let mut rows = Vec::new();
    for row in table.iter()? {
        rows.push(parse(name, row?.1.value())?);
    }
    Ok(rows)
}

pub(super) fn parse<T: DeserializeOwned>(table: &str, row: &[u8]) -> Result<T, redb::Error> {
    serde_json::from_slice(row).map_err(|error| redb::Error::Corrupted(format!("a row of {table}: {error}")))
}

fn write_all<'a>(database: &Database, changes: impl Iterator<Item = &'a Change>) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    let mut changes = changes.peekable();
    if changes.peek().is_none() {
        let mut table = transaction.open_table(META)?;
        let row = table.get(META_ROW)?.map(|row| row.value().to_vec());
        if let Some(row) = row {
            table.insert(META_ROW, row.as_slice())?;
        }
    }
    for change in changes {
        apply(&transaction, change)?;
    }
    transaction.commit()?;
    Ok(())
}

fn apply(transaction: &WriteTransaction, change: &Change) -> Result<(), redb::Error> {
    match change {
        Change::PutAccount(record) => put(transaction, ACCOUNTS, record.id.0, record),
        Change::DeleteAccount(id) => delete(transaction, ACCOUNTS, id.0),
        Change::PutQueue(state) => {
            transaction.open_table(QUEUE)?.insert(QUEUE_ROW, state.as_slice())?;
            Ok(())
        }
        Change::AppendHistory(record) => append_history(transaction, record),
        Change::AppendAudit(record) => append_audit(transaction, record),
        Change::PutDestination(record) => put(transaction, DESTINATIONS, record.id.0, record),
        Change::DeleteDestination(id) => delete(transaction, DESTINATIONS, id.0),
        Change::PutViewer(record) => put(transaction, VIEWERS, record.id, record),
        Change::DeleteViewer(id) => delete(transaction, VIEWERS, *id),
        Change::PutInvitation(record) => put(transaction, INVITATIONS, record.id, record),
        Change::DeleteInvitation(id) => delete(transaction, INVITATIONS, *id),
        Change::PutReset(record) => put(transaction, RESETS, record.account.0, record),
        Change::DeleteReset(id) => delete(transaction, RESETS, id.0),
        Change::PutSetting(key, value) => put(transaction, SETTINGS, key.as_str(), value),
        Change::DeleteSetting(key) => delete(transaction, SETTINGS, key.as_str()),
        Change::PutSession(record) => put(transaction, SESSIONS, record.id.as_str(), record),
        Change::DeleteSession(id) => delete(transaction, SESSIONS, id.as_str()),
    }
}

fn append_history(transaction: &WriteTransaction, record: &HistoryRecord) -> Result<(), redb::Error> {
    let row = document(record)?;
    let mut table = transaction.open_table(HISTORY)?;
    let next = table.last()?.map_or(0, |(key, _)| key.value().saturating_add(1));
    table.insert(next, row.as_slice())?;
    while table.len()? > HISTORY_ROWS {
        table.pop_first()?;
    }
    Ok(())
}

fn append_audit(transaction: &WriteTransaction, record: &AuditRecord) -> Result<(), redb::Error> {
    let mut table = transaction.open_table(AUDIT)?;
    let number = table.last()?.map_or(1, |(key, _)| key.value().saturating_add(1));
    let row = document(&AuditRecord { number, ..record.clone() })?;
    table.insert(number, row.as_slice())?;
    while table.len()? > AUDIT_ROWS {
        table.pop_first()?;
    }
    Ok(())
}

fn put<'k, K: Key + 'static>(
    transaction: &WriteTransaction,
    definition: Documents<K>,
    key: impl std::borrow::Borrow<K::SelfType<'k>>,
    row: &impl Serialize,
) -> Result<(), redb::Error> {
    let row = document(row)?;
    transaction.open_table(definition)?.insert(key, row.as_slice())?;
    Ok(())
}

fn delete<'k, K: Key + 'static>(
    transaction: &WriteTransaction,
    definition: Documents<K>,
    key: impl std::borrow::Borrow<K::SelfType<'k>>,
) -> Result<(), redb::Error> {
    transaction.open_table(definition)?.remove(key)?;
    Ok(())
}

fn document(row: &impl Serialize) -> Result<Vec<u8>, redb::Error> {
    serde_json::to_vec(row)
        .map_err(|error| redb::Error::Corrupted(format!("a row that cannot be written as JSON: {error}")))
}

/// An error of the folder, before there is a file to blame.
fn folder_error(path: &Path, error: &io::Error) -> StoreError {
    match io_error(path, error) {
        StoreError::Io { path, detail } => StoreError::Folder { path, detail },
        named => named,
    }
}

fn io_error(path: &Path, error: &io::Error) -> StoreError {
    let path = path.to_owned();
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => StoreError::Full { path },
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            StoreError::ReadOnly { path, detail: error.to_string() }
        }
        // redb says so of a file that does not begin as one of its own.
        ErrorKind::InvalidData => StoreError::Foreign { path, detail: "not a redb file".to_owned() },
        // A file shorter than its own header says.
        ErrorKind::UnexpectedEof => StoreError::Corrupt { path, detail: "it ends too early".to_owned() },
        ErrorKind::IsADirectory => StoreError::Foreign { path, detail: "a folder".to_owned() },
        _ => StoreError::Io { path, detail: error.to_string() },
    }
}

fn open_error(path: &Path, error: DatabaseError) -> StoreError {
    match error {
        DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => {
            StoreError::InUse { path: path.to_owned() }
        }
        DatabaseError::UpgradeRequired(version) => {
            StoreError::Foreign { path: path.to_owned(), detail: format!("a redb file of the old format {version}") }
        }
        error => file_error(path, &error.into()),
    }
}

pub(super) fn file_error(path: &Path, error: &redb::Error) -> StoreError {
    match error {
        redb::Error::Io(error) => io_error(path, error),
        redb::Error::Corrupted(detail) => StoreError::Corrupt { path: path.to_owned(), detail: detail.clone() },
        error => StoreError::Io { path: path.to_owned(), detail: error.to_string() },
    }
}
