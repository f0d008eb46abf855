//! What can happen to a disk, and what is promised then.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use std::{
    io,
    os::unix::fs::PermissionsExt,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use redb::{Builder, Database, ReadableDatabase, ReadableTable, TableDefinition, backends::InMemoryBackend};
use serde_json::{Map, json};
use tempfile::TempDir;

mod restoring;

use super::{
    file::{Migration, check, initialise},
    testing::Flaky,
    *,
};
use crate::core::{
    account::{AccountId, Role, StreamKey},
    destination::DestinationId,
    show::darkness::LifeSign,
};

fn account(id: u64, name: &str) -> AccountRecord {
    AccountRecord {
        id: AccountId(id),
        name: name.to_owned(),
        password_hash: "hash".into(),
        stream_key: StreamKey::new("key"),
        role: Role::Streamer,
        enabled: true,
        awaiting_approval: false,
        banned: false,
        email: None,
        timezone: None,
        created: Timestamp::UNIX_EPOCH,
        extra: Map::new(),
    }
}

fn turn(number: u64) -> HistoryRecord {
    HistoryRecord {
        turn: TurnId(number),
        account: AccountId(1),
        name: "Ada".to_owned(),
        started: Timestamp::UNIX_EPOCH,
        ended: Timestamp::UNIX_EPOCH,
        seconds_on_air: 1.5,
        reason: "time is up".to_owned(),
        extra: Map::new(),
    }
}

async fn put(store: &Store, id: u64, name: &str) -> Result<(), StoreError> {
    store.commit(vec![Change::PutAccount(account(id, name))], Durability::Durable).await
}

fn names(loaded: &Loaded) -> Vec<&str> {
    loaded.accounts.iter().map(|account| account.name.as_str()).collect()
}

/// Opens, looks at what is there, closes.
async fn reload(folder: &TempDir) -> Loaded {
    let (store, loaded) = Store::open(folder.path()).unwrap();
    store.close().await;
    loaded
}

#[tokio::test]
async fn everything_committed_comes_back() {
    let folder = TempDir::new().unwrap();
    let (store, loaded) = Store::open(folder.path()).unwrap();
    assert!(loaded.accounts.is_empty() && loaded.queue.is_none() && loaded.note == Note::default());
    let session =
        SessionRecord { id: "s".to_owned(), expires: Timestamp::UNIX_EPOCH, data: json!({"a": 1}), extra: Map::new() };
    let destination = DestinationRecord {
        id: DestinationId(4),
        name: "Twitch".to_owned(),
        url: "rtmp://live.example/app".parse().unwrap(),
        key: "secret".into(),
        enabled: true,
        extra: Map::new(),
    };
    store
        .commit(
            vec![
                Change::PutAccount(account(1, "Ada")),
                Change::PutAccount(account(2, "Bob")),
                Change::DeleteAccount(AccountId(2)),
                Change::PutQueue(b"{}".to_vec()),
                Change::AppendHistory(turn(1)),
                Change::AppendHistory(turn(2)),
                Change::PutDestination(destination),
                Change::PutSetting("show".to_owned(), json!(true)),
                Change::PutSession(session.clone()),
            ],
            Durability::Durable,
        )
        .await
        .unwrap();
    assert_eq!(store.history(None, 1).await.unwrap(), [turn(2)]);
    store.close().await;

    let loaded = reload(&folder).await;
    assert_eq!(names(&loaded), ["Ada"]);
    assert_eq!(loaded.accounts[0].stream_key.expose(), "key");
    assert_eq!(loaded.queue.as_deref(), Some(b"{}".as_slice()));
    assert_eq!(loaded.settings["show"], json!(true));
    assert_eq!(loaded.sessions, [session]);
    assert_eq!(secrecy::ExposeSecret::expose_secret(&loaded.destinations[0].key), "secret");
}

#[tokio::test]
async fn facts_are_on_the_disk_once_the_store_is_closed() {
    let folder = TempDir::new().unwrap();
    let (store, _) = Store::open(folder.path()).unwrap();
    store.commit(vec![Change::PutQueue(br#"{"next_id":1}"#.to_vec())], Durability::Soon).await.unwrap();
    store.commit(vec![Change::PutQueue(br#"{"next_id":2}"#.to_vec())], Durability::Soon).await.unwrap();
    store.close().await;
    assert_eq!(store.commit(Vec::new(), Durability::Durable).await, Err(StoreError::Stopped));
    assert_eq!(reload(&folder).await.queue.as_deref(), Some(br#"{"next_id":2}"#.as_slice()));
}

#[tokio::test]
async fn history_keeps_the_latest_rows_only() {
    let folder = TempDir::new().unwrap();
    let (store, _) = Store::open(folder.path()).unwrap();
    let rows = (0..HISTORY_ROWS + 7).map(|number| Change::AppendHistory(turn(number))).collect();
    store.commit(rows, Durability::Durable).await.unwrap();
    let history = store.history(None, usize::MAX).await.unwrap();
    // A page in the middle: those before a turn, also where the oldest rows are gone.
    let middle = history[history.len() / 2].turn;
    let page = store.history(Some(middle), 3).await.unwrap();
    assert_eq!(page, history[history.len() / 2 + 1..][..3]);
    assert_eq!(store.history(Some(history[history.len() - 1].turn), 3).await.unwrap(), []);
    assert_eq!(history.len() as u64, HISTORY_ROWS);
    assert_eq!(history.last().unwrap().turn, TurnId(7));
}

#[tokio::test]
async fn audit_log_is_numbered_bounded_and_read_in_pages() {
    let folder = TempDir::new().unwrap();
    let (store, _) = Store::open(folder.path()).unwrap();
    let row = |target: u64| {
        Change::AppendAudit(AuditRecord {
            number: 0,
            at: Timestamp::UNIX_EPOCH,
            account: None,
            who: "Ada".to_owned(),
            address: None,
            action: "queue.skip".to_owned(),
            target: target.to_string(),
            outcome: "done".to_owned(),
            extra: Map::new(),
        })
    };
    store.commit((1..=AUDIT_ROWS + 3).map(row).collect(), Durability::Durable).await.unwrap();
    let all = store.audit(None, usize::MAX).await.unwrap();
    assert_eq!((all.len() as u64, all[0].number, all.last().unwrap().number), (AUDIT_ROWS, AUDIT_ROWS + 3, 4));
    let page = store.audit(Some(10), 3).await.unwrap();
    let told: Vec<_> = page.iter().map(|row| (row.number, row.target.as_str())).collect();
    assert_eq!(told, [(9, "9"), (8, "8"), (7, "7")]);
    assert_eq!(store.audit(Some(4), 3).await.unwrap(), []);
}

#[tokio::test]
async fn elapsed_time_survives_without_a_commit() {
    let folder = TempDir::new().unwrap();
    let (store, _) = Store::open(folder.path()).unwrap();
    let alive = Some(LifeSign { boot: "one".into(), up_ms: 12_000, wall: Timestamp::UNIX_EPOCH, known: true });
    store.note(Note { alive: alive.clone(), turn: Some((TurnId(7), 3000)) });
    store.note(Note { alive: alive.clone(), turn: Some((TurnId(7), 7250)) });
    store.close().await;
    let note = reload(&folder).await.note;
    assert_eq!((note.turn, note.alive), (Some((TurnId(7), 7250)), alive));
    // A shorter one leaves nothing of a longer one.
    let (store, _) = Store::open(folder.path()).unwrap();
    store.note(Note::default());
    store.close().await;
    assert_eq!(reload(&folder).await.note, Note::default());
}

#[tokio::test]
async fn unreadable_elapsed_time_is_none() {
    let folder = TempDir::new().unwrap();
    for content in ["", "7 7\n", &"\0".repeat(512), &"x".repeat(512), "{}"] {
        for file in [alive::FILE_NAME, alive::OLD_FILE_NAME] {
            std::fs::write(folder.path().join(file), content).unwrap();
            assert_eq!(reload(&folder).await.note, Note::default(), "{content:?}");
        }
    }
}

/// After an update, and after the way back and another update.
#[tokio::test]
async fn what_an_older_program_noted_of_a_later_turn_counts() {
    let folder = TempDir::new().unwrap();
    let old = |turn: u64| std::fs::write(folder.path().join("elapsed"), format!("{turn:020} {:020}\n", 5000)).unwrap();
    old(7);
    assert_eq!(reload(&folder).await.note.turn, Some((TurnId(7), 5000)));
    let (store, _) = Store::open(folder.path()).unwrap();
    store.note(Note { alive: None, turn: Some((TurnId(8), 100)) });
    store.close().await;
    assert_eq!(reload(&folder).await.note.turn, Some((TurnId(8), 100)));
    old(9);
    assert_eq!(reload(&folder).await.note.turn, Some((TurnId(9), 5000)));
}

#[tokio::test]
async fn second_process_is_told_that_the_store_is_in_use() {
    let folder = TempDir::new().unwrap();
    let (store, _) = Store::open(folder.path()).unwrap();
    // The lock belongs to the open file, not to the process: a second opening here is refused like one from elsewhere.
    assert!(matches!(Store::open(folder.path()), Err(StoreError::InUse { .. })));
    assert!(matches!(look(folder.path()), Err(StoreError::InUse { .. })));
    store.close().await;
    assert_eq!(look(folder.path()), Ok(Look::Opens { accounts: 0 }));
}

#[test]
fn looking_makes_nothing() {
    let folder = TempDir::new().unwrap();
    assert_eq!(look(folder.path()), Ok(Look::Missing));
    assert!(!folder.path().join(FILE_NAME).exists());
}

#[test]
fn foreign_and_empty_files_are_left_as_they_are() {
    for content in ["", "SQLite format 3\0", &"text ".repeat(2000)] {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join(FILE_NAME);
        std::fs::write(&path, content).unwrap();
        let error = Store::open(folder.path()).unwrap_err();
        assert!(matches!(error, StoreError::Foreign { .. } | StoreError::Corrupt { .. }), "{error}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), content);
    }
}

#[test]
fn redb_file_of_another_program_is_foreign() {
    let folder = TempDir::new().unwrap();
    let database = Database::create(folder.path().join(FILE_NAME)).unwrap();
    let transaction = database.begin_write().unwrap();
    let table: TableDefinition<'_, u64, u64> = TableDefinition::new("meta");
    transaction.open_table(table).unwrap().insert(1, 1).unwrap();
    transaction.commit().unwrap();
    drop(database);
    assert!(matches!(Store::open(folder.path()), Err(StoreError::Foreign { .. })));
}

/// Damages one page after another: an error or the right rows, never a panic, never an empty store.
#[tokio::test]
async fn damaged_file_is_an_error_and_never_an_empty_store() {
    let folder = TempDir::new().unwrap();
    let (store, _) = Store::open(folder.path()).unwrap();
    let rows = (1..200).map(|id| Change::PutAccount(account(id, "Ada"))).collect();
    store.commit(rows, Durability::Durable).await.unwrap();
    store.close().await;
    let path = folder.path().join(FILE_NAME);
    let good = std::fs::read(&path).unwrap();
    let mut refused = 0;
    for start in (0..good.len()).step_by(4096) {
        let mut bad = good.clone();
        let end = good.len().min(start + 4096);
        bad[start..end].iter_mut().for_each(|byte| *byte ^= 0x5a);
        std::fs::write(&path, &bad).unwrap();
        match Store::open(folder.path()) {
            // A page that held nothing.
            Ok((store, loaded)) => {
                assert_eq!(loaded.accounts.len(), 199, "page at {start}");
                store.close().await;
            }
            Err(StoreError::Corrupt { .. } | StoreError::Foreign { .. }) => {
                refused += 1;
                assert_eq!(std::fs::read(&path).unwrap().len(), bad.len());
            }
            Err(error) => panic!("page at {start}: {error}"),
        }
    }
    assert!(refused > 3, "{refused}");
    std::fs::write(&path, &good[..good.len() / 2]).unwrap();
    assert!(matches!(Store::open(folder.path()), Err(StoreError::Corrupt { .. })));
}

#[test]
fn folder_that_can_not_be_made_says_so() {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("file"), "").unwrap();
    let error = Store::open(&folder.path().join("file/data")).unwrap_err();
    assert!(matches!(error, StoreError::Folder { .. }), "{error}");
}

#[test]
fn read_only_folder_says_so() {
    let folder = TempDir::new().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o555)).unwrap();
    let error = Store::open(folder.path()).err();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    // The system lets root write everywhere.
    if !rustix::process::geteuid().is_root() {
        assert!(matches!(error, Some(StoreError::ReadOnly { .. })), "{error:?}");
    }
}

#[tokio::test]
async fn full_disk_refuses_requests_keeps_facts_and_recovers() {
    let flaky = Flaky::new();
    let (store, _) = flaky.open();
    put(&store, 1, "Ada").await.unwrap();

    flaky.fail(Some(io::ErrorKind::StorageFull));
    store
        .commit(vec![Change::PutQueue(br#"{"next_id":3}"#.to_vec()), Change::AppendHistory(turn(1))], Durability::Soon)
        .await
        .unwrap();
    let error = put(&store, 2, "Bob").await.unwrap_err();
    assert!(matches!(error, StoreError::Full { .. }), "{error}");
    store.commit(vec![Change::PutQueue(br#"{"next_id":4}"#.to_vec())], Durability::Soon).await.unwrap();
    assert!(put(&store, 3, "Cy").await.is_err());
    // Who is signed in is known all the same, as often as somebody asks.
    for _ in 0..3 {
        assert_eq!(store.history(None, 9).await.unwrap(), []);
        assert!(store.dump().await.unwrap()["accounts"].contains("Ada"));
    }

    flaky.fail(None);
    put(&store, 4, "Dee").await.unwrap();
    assert_eq!(store.history(None, 9).await.unwrap(), [turn(1)]);
    store.close().await;

    let (store, loaded) = flaky.open();
    assert_eq!(names(&loaded), ["Ada", "Dee"], "refused means refused");
    assert_eq!(loaded.queue.as_deref(), Some(br#"{"next_id":4}"#.as_slice()));
    store.close().await;
}

/// What somebody did, for the audit log.
fn deed(number: u64) -> Change {
    Change::AppendAudit(AuditRecord {
        number: 0,
        at: Timestamp::UNIX_EPOCH,
        account: None,
        who: "Ada".to_owned(),
        address: None,
        action: "queue.skip".to_owned(),
        target: number.to_string(),
        outcome: "done".to_owned(),
        extra: Map::new(),
    })
}

/// Waits until the writer does so.
async fn until(store: &Store, so: impl Fn(&Writing) -> bool) {
    let mut writing = store.writing();
    let seen = tokio::time::timeout(Duration::from_secs(10), writing.wait_for(|now| so(now))).await;
    assert!(seen.is_ok_and(|seen| seen.is_ok()), "not within 10 s");
}

/// Requests have no number, and those that nobody waits for have.
#[tokio::test]
async fn store_that_has_everything_says_so_after_a_request() {
    let (store, _) = Flaky::new().open();
    for round in 1..=3 {
        assert_eq!(store.commit_soon(vec![Change::PutAccount(account(1, "Ada"))]).kept().await, Kept::Stored);
        put(&store, round, "Bob").await.unwrap();
        let now = store.writing().borrow().clone();
        assert_eq!((now.unstored_since, now.stored), (None, round));
    }
    store.close().await;
}

/// As an order that changes nothing, because somebody is out already.
#[tokio::test]
async fn order_without_a_change_is_stored_when_the_disk_works_again() {
    let flaky = Flaky::new();
    let (store, _) = flaky.open();
    flaky.fail(Some(io::ErrorKind::Other));
    let receipt = store.commit_soon(Vec::new());
    until(&store, |now| now.failure.is_some()).await;
    flaky.fail(None);
    until(&store, |now| now.failure.is_none()).await;
    assert_eq!(receipt.kept().await, Kept::Stored);
    assert!(store.writing().borrow().unstored_since.is_none());
    store.close().await;
}

/// By itself, with nobody asking: every kind of disk that takes nothing, and one that has just nothing to take.
#[tokio::test]
async fn what_was_done_before_it_was_stored_is_stored_by_itself_when_the_disk_works_again() {
    for kind in [io::ErrorKind::StorageFull, io::ErrorKind::ReadOnlyFilesystem, io::ErrorKind::Other] {
        let flaky = Flaky::new();
        let (store, _) = flaky.open();
        assert_eq!(store.commit_soon(vec![Change::PutAccount(account(1, "Ada"))]).kept().await, Kept::Stored);
        flaky.fail(Some(kind));
        let bob = store.commit_soon(vec![Change::PutAccount(account(2, "Bob"))]);
        assert_eq!(bob.clone().kept().await, Kept::NotYet, "{kind}");
        until(&store, |now| now.failure.is_some() && now.unstored_since.is_some()).await;
        assert!(put(&store, 3, "Cy").await.is_err(), "{kind}");
        // Once it is known that the disk takes nothing, nobody waits.
        let asked = Instant::now();
        assert_eq!(store.commit_soon(vec![deed(1)]).kept().await, Kept::NotYet);
        assert!(asked.elapsed() < Duration::from_millis(200), "{:?}", asked.elapsed());
        flaky.fail(None);
        until(&store, |now| now.failure.is_none() && now.unstored_since.is_none()).await;
        assert_eq!(bob.kept().await, Kept::Stored);

        // Nothing waits: it is found all the same that the disk works again.
        flaky.fail(Some(kind));
        assert!(put(&store, 3, "Cy").await.is_err(), "{kind}");
        until(&store, |now| now.failure.is_some() && now.unstored_since.is_none()).await;
        flaky.fail(None);
        until(&store, |now| now.failure.is_none()).await;
        store.close().await;
        let (store, loaded) = flaky.open();
        assert_eq!(names(&loaded), ["Ada", "Bob"], "{kind}: refused means refused");
        store.close().await;
    }
}

#[tokio::test]
async fn answer_waits_for_a_slow_disk_for_a_moment_only() {
    let flaky = Flaky::new();
    let (store, _) = flaky.open();
    flaky.slow_down(Duration::from_secs(1));
    let asked = Instant::now();
    let ada = store.commit_soon(vec![Change::PutAccount(account(1, "Ada"))]);
    assert_eq!(ada.kept().await, Kept::NotYet);
    assert!(asked.elapsed() < Duration::from_millis(900), "{:?}", asked.elapsed());
    assert!(store.writing().borrow().commit_since.is_some());
    until(&store, |now| now.unstored_since.is_none()).await;
    flaky.slow_down(Duration::ZERO);
    store.close().await;
    assert_eq!(names(&flaky.open().1), ["Ada"]);
}

/// Later writes lose nothing: rows of the same key take each other's place, a request that fails takes nobody's.
#[tokio::test]
async fn latest_of_each_row_waits_for_a_disk_that_fails_for_hours_and_no_more() {
    let flaky = Flaky::new();
    let (store, _) = flaky.open();
    flaky.fail(Some(io::ErrorKind::StorageFull));
    let session = |id: u64, expires| SessionRecord { id: id.to_string(), expires, data: json!({}), extra: Map::new() };
    for round in 0..3000 {
        store.commit_soon(vec![
            Change::PutQueue(format!(r#"{{"next_id":{round}}}"#).into_bytes()),
            Change::PutAccount(account(round % 5, &format!("Ada {round}"))),
            Change::PutSetting("show".to_owned(), json!(round % 2 == 0)),
            deed(round),
            Change::AppendHistory(turn(round)),
        ]);
        store.commit_soon(vec![if round % 2 == 0 {
            Change::PutSession(session(round % 10, Timestamp::UNIX_EPOCH))
        } else {
            Change::DeleteSession((round % 10 - 1).to_string())
        }]);
        if round % 500 == 0 {
            assert!(put(&store, 1, "refused").await.is_err());
        }
    }
    let waiting = store.inner.inbox.waiting_soon();
    assert!((2000..2100).contains(&waiting), "{waiting} changes wait");
    flaky.fail(None);
    put(&store, 9, "Zoe").await.unwrap();
    let audit = store.audit(None, usize::MAX).await.unwrap();
    assert_eq!(audit[0].target, "2999", "the latest");
    assert_eq!(audit.len() + store.history(None, usize::MAX).await.unwrap().len(), 2000, "the oldest were left out");
    store.close().await;
    let (store, loaded) = flaky.open();
    assert_eq!(names(&loaded), ["Ada 2995", "Ada 2996", "Ada 2997", "Ada 2998", "Ada 2999", "Zoe"]);
    assert_eq!(loaded.queue.as_deref(), Some(br#"{"next_id":2999}"#.as_slice()));
    assert_eq!((&loaded.settings["show"], loaded.sessions.len()), (&json!(false), 0));
    store.close().await;
}

#[tokio::test]
async fn later_request_stores_what_waited_before_it_and_holds() {
    let flaky = Flaky::new();
    let (store, _) = flaky.open();
    flaky.fail(Some(io::ErrorKind::StorageFull));
    let soon = store.commit_soon(vec![Change::PutAccount(account(1, "banned")), Change::PutAccount(account(2, "Bob"))]);
    assert!(put(&store, 1, "renamed").await.is_err());
    flaky.fail(None);
    put(&store, 1, "let in again").await.unwrap();
    assert_eq!(soon.kept().await, Kept::Stored);
    store.close().await;
    assert_eq!(names(&flaky.open().1), ["let in again", "Bob"]);
}

/// Moved, deleted, replaced: nothing is acknowledged that the next start would not find, and nobody else's file is touched.
#[tokio::test]
async fn file_that_was_moved_or_replaced_takes_nothing_until_it_is_back() {
    let folder = TempDir::new().unwrap();
    let (store, _) = Store::open(folder.path()).unwrap();
    put(&store, 1, "Ada").await.unwrap();
    let (path, elsewhere) = (folder.path().join(FILE_NAME), folder.path().join("elsewhere"));
    let moved = StoreError::Moved { path: path.clone() };
    std::fs::rename(&path, &elsewhere).unwrap();
    assert_eq!(put(&store, 2, "Bob").await, Err(moved.clone()));
    assert!(
        moved.to_string().contains("was moved, deleted or replaced") && moved.to_string().contains("motherstream.redb")
    );
    // What is there can be read, to be saved.
    assert!(store.dump().await.unwrap()["accounts"].contains("Ada"));
    until(&store, |now| now.failure.as_ref() == Some(&moved)).await;

    // Somebody else's file in its place, another store even, stays as it is.
    let other = TempDir::new().unwrap();
    reload(&other).await;
    for content in [b"a text".to_vec(), std::fs::read(other.path().join(FILE_NAME)).unwrap()] {
        std::fs::write(&path, &content).unwrap();
        assert_eq!(put(&store, 2, "Bob").await, Err(moved.clone()));
        let fact = store.commit_soon(vec![Change::PutAccount(account(3, "Cy"))]);
        assert_eq!(fact.kept().await, Kept::NotYet);
        assert!(std::fs::read(&path).unwrap() == content, "touched");
    }
    std::fs::rename(&elsewhere, &path).unwrap();
    until(&store, |now| now.failure.is_none() && now.unstored_since.is_none()).await;
    put(&store, 4, "Dee").await.unwrap();
    store.close().await;
    assert_eq!(names(&reload(&folder).await), ["Ada", "Cy", "Dee"], "refused means refused");
}

#[tokio::test]
async fn file_that_was_deleted_takes_nothing_and_can_be_saved() {
    let folder = TempDir::new().unwrap();
    let (store, _) = Store::open(folder.path()).unwrap();
    put(&store, 1, "Ada").await.unwrap();
    std::fs::remove_file(folder.path().join(FILE_NAME)).unwrap();
    assert!(matches!(put(&store, 2, "Bob").await, Err(StoreError::Moved { .. })));
    let saved = store.dump().await.unwrap();
    assert!(saved["accounts"].contains("Ada") && !saved["accounts"].contains("Bob"));
    // The whole folder, too.
    std::fs::remove_dir_all(folder.path()).unwrap();
    assert!(matches!(put(&store, 2, "Bob").await, Err(StoreError::Moved { .. })));
    store.close().await;
    assert!(!folder.path().exists(), "nothing is made anew");
}

/// What the kernel does then was seen on a real ext4: writes and flushes are answered well, and the next start finds nothing of them.
#[tokio::test]
async fn disk_that_became_read_only_under_the_open_file_refuses_what_it_would_forget() {
    let flaky = Flaky::new();
    let (store, _) = flaky.open();
    put(&store, 1, "Ada").await.unwrap();

    flaky.make_read_only(true);
    let error = put(&store, 2, "Bob").await.unwrap_err();
    assert!(matches!(error, StoreError::ReadOnly { .. }), "{error}");
    assert!(store.dump().await.unwrap()["accounts"].contains("Ada"), "it is read all the same");
    flaky.make_read_only(false);
    put(&store, 3, "Cy").await.unwrap();
    store.close().await;

    let (store, loaded) = flaky.open();
    assert_eq!(names(&loaded), ["Ada", "Cy"], "refused means refused");
    store.close().await;
    assert_eq!(store.history(None, 9).await, Err(StoreError::Stopped), "closed is closed");
}

/// A file can be opened once at a time, and by nobody twice.
#[test]
fn readers_and_the_writer_open_a_failed_store_anew_together() {
    let folder = TempDir::new().unwrap();
    let (cell, _) = Cell::open(Disk::folder(folder.path()).unwrap()).unwrap();
    for round in 0..20 {
        cell.forget();
        let change = Change::PutAccount(account(round + 1, "Ada"));
        std::thread::scope(|scope| {
            let readers = [(); 4].map(|()| scope.spawn(|| cell.audit(None, 1).map(drop)));
            let writer = scope.spawn(|| cell.write(std::iter::once(&change)));
            for reader in readers {
                reader.join().unwrap().unwrap();
            }
            writer.join().unwrap().unwrap();
        });
    }
    cell.close();
    let (cell, loaded) = Cell::open(Disk::folder(folder.path()).unwrap()).unwrap();
    assert_eq!(loaded.accounts.len(), 20, "nothing went into a copy");
    cell.close();
    assert_eq!(cell.audit(None, 1).unwrap_err(), StoreError::Stopped);
}

#[tokio::test]
async fn store_whose_queue_makes_no_sense_is_damaged_and_stays_as_it_is() {
    let folder = TempDir::new().unwrap();
    let (store, _) = Store::open(folder.path()).unwrap();
    store.commit(vec![Change::PutQueue(br#"{"waiting":5}"#.to_vec())], Durability::Durable).await.unwrap();
    store.close().await;
    let error = Store::open(folder.path()).unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { .. }) && error.to_string().contains("queue"), "{error}");
}

#[tokio::test]
async fn commits_that_wait_together_are_all_answered() {
    let folder = TempDir::new().unwrap();
    let (store, _) = Store::open(folder.path()).unwrap();
    let commits = (1..=500).map(|id| {
        let store = store.clone();
        tokio::spawn(async move { put(&store, id, "Ada").await })
    });
    for commit in commits.collect::<Vec<_>>() {
        commit.await.unwrap().unwrap();
    }
    store.close().await;
    assert_eq!(reload(&folder).await.accounts.len(), 500);
}

const FUTURE: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("lights");
const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
const ACCOUNTS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("accounts");

/// A file as a newer program leaves it: a table and a field that this one does not know.
fn newer_file(folder: &TempDir, oldest_reader: u32) {
    let database = Database::create(folder.path().join(FILE_NAME)).unwrap();
    let transaction = database.begin_write().unwrap();
    let meta = json!({"schema": 7, "oldest_reader": oldest_reader, "channel": "beta"}).to_string();
    transaction.open_table(META).unwrap().insert("motherstream", meta.as_bytes()).unwrap();
    let mut row = serde_json::to_value(account(1, "Ada")).unwrap();
    row["pronouns"] = json!("she");
    transaction.open_table(ACCOUNTS).unwrap().insert(1, row.to_string().as_bytes()).unwrap();
    transaction.open_table(FUTURE).unwrap().insert("wall", b"blue".as_slice()).unwrap();
    transaction.commit().unwrap();
}

#[tokio::test]
async fn newer_schema_that_we_may_read_keeps_its_fields_and_tables() {
    let folder = TempDir::new().unwrap();
    newer_file(&folder, 1);
    let (store, loaded) = Store::open(folder.path()).unwrap();
    let mut ada = loaded.accounts[0].clone();
    ada.name = "Ada L".to_owned();
    store.commit(vec![Change::PutAccount(ada)], Durability::Durable).await.unwrap();
    store.close().await;

    let database = Database::open(folder.path().join(FILE_NAME)).unwrap();
    let transaction = database.begin_read().unwrap();
    let row = transaction.open_table(ACCOUNTS).unwrap().get(1).unwrap().unwrap().value().to_vec();
    let row: serde_json::Value = serde_json::from_slice(&row).unwrap();
    assert_eq!((&row["name"], &row["pronouns"]), (&json!("Ada L"), &json!("she")));
    assert_eq!(transaction.open_table(FUTURE).unwrap().get("wall").unwrap().unwrap().value(), b"blue");
    let meta = transaction.open_table(META).unwrap().get("motherstream").unwrap().unwrap().value().to_vec();
    let meta: serde_json::Value = serde_json::from_slice(&meta).unwrap();
    assert_eq!(meta, json!({"schema": 7, "oldest_reader": 1, "channel": "beta"}));
}

#[test]
fn newer_schema_that_we_may_not_read_is_refused_unchanged() {
    let folder = TempDir::new().unwrap();
    newer_file(&folder, 5);
    let before = std::fs::read(folder.path().join(FILE_NAME)).unwrap();
    let expected = |error| matches!(error, StoreError::TooNew { found: 7, oldest: 5, known: 1, .. });
    assert!(expected(look(folder.path()).unwrap_err()));
    assert!(before == std::fs::read(folder.path().join(FILE_NAME)).unwrap(), "looking changes nothing");
    assert!(expected(Store::open(folder.path()).unwrap_err()));
}

#[test]
fn older_schema_is_migrated_once_and_in_order() {
    let database = Builder::new().create_with_backend(InMemoryBackend::new()).unwrap();
    initialise(&database).unwrap();
    let steps: &[Migration] = &[
        Migration { from: 0, apply: |_| Err(redb::Error::Corrupted("not for this file".to_owned())) },
        Migration { from: 1, apply: |transaction| note(transaction, "1") },
        Migration { from: 2, apply: |transaction| note(transaction, "2") },
    ];
    for _ in 0..2 {
        check(&database, Path::new("x"), steps, 3).unwrap();
    }
    let transaction = database.begin_read().unwrap();
    let table = transaction.open_table(FUTURE).unwrap();
    assert_eq!(table.get("wall").unwrap().unwrap().value(), b"12");
    // The older program comes back on the migrated file.
    check(&database, Path::new("x"), &[], 1).unwrap();
}

fn note(transaction: &redb::WriteTransaction, step: &str) -> Result<(), redb::Error> {
    let mut table = transaction.open_table(FUTURE)?;
    let mut seen = table.get("wall")?.map(|row| row.value().to_vec()).unwrap_or_default();
    seen.extend_from_slice(step.as_bytes());
    table.insert("wall", seen.as_slice())?;
    Ok(())
}

/// An account as the first program reads and writes it.
#[derive(serde::Serialize, serde::Deserialize)]
struct FirstAccount {
    role: FirstRole,
    #[serde(flatten)]
    extra: Map<String, serde_json::Value>,
}

#[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
enum FirstRole {
    Streamer,
    Admin,
}

#[test]
fn operator_survives_a_rollback_to_a_program_that_knows_none() {
    for (role, first) in
        [(Role::Streamer, FirstRole::Streamer), (Role::Operator, FirstRole::Streamer), (Role::Admin, FirstRole::Admin)]
    {
        let row = serde_json::to_string(&AccountRecord { role, ..account(1, "Ada") }).unwrap();
        let rolled_back: FirstAccount = serde_json::from_str(&row).unwrap();
        assert_eq!(rolled_back.role, first);
        // Written by that program, and read by this one again.
        let updated: AccountRecord = serde_json::from_str(&serde_json::to_string(&rolled_back).unwrap()).unwrap();
        assert_eq!((updated.role, updated.extra.len()), (role, 0));
        let promoted = FirstAccount { role: FirstRole::Admin, ..rolled_back };
        let updated: AccountRecord = serde_json::from_str(&serde_json::to_string(&promoted).unwrap()).unwrap();
        assert_eq!(updated.role, Role::Admin);
    }
}

#[test]
fn secrets_of_rows_are_not_shown() {
    let shown = format!("{:?}", account(1, "Ada"));
    assert!(!shown.contains("hash\"") && !shown.contains("\"key\""), "{shown}");
}

#[tokio::test]
async fn nobody_else_can_read_the_store() {
    let folder = TempDir::new().unwrap();
    reload(&folder).await;
    let mode = std::fs::metadata(folder.path().join(FILE_NAME)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

/// A half-made file of a start that was cut short is made anew.
#[tokio::test]
async fn cut_off_first_start_is_repeated() {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("motherstream.redb.new"), "half").unwrap();
    assert!(reload(&folder).await.accounts.is_empty());
}

#[tokio::test]
async fn stand_in_is_empty_refuses_requests_with_the_reason_and_leaves_the_disk_alone() {
    let folder = TempDir::new().unwrap();
    let trouble = StoreError::Corrupt { path: folder.path().join(FILE_NAME), detail: "a test says so".to_owned() };
    let (store, loaded) = Store::stand_in(folder.path(), trouble.clone());
    assert_eq!(store.trouble(), Some(&trouble));
    assert!(loaded.accounts.is_empty() && loaded.queue.is_none());
    assert_eq!(put(&store, 1, "Ada").await, Err(trouble.clone()));
    // Facts are forgotten, not piled up.
    assert_eq!(store.commit_soon(vec![Change::PutQueue(b"{}".to_vec())]).kept().await, Kept::NotYet);
    store.note(Note { alive: None, turn: Some((TurnId(1), 1000)) });
    assert_eq!(store.history(None, 1).await.map(|_| ()), Err(trouble));
    store.close().await;
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
