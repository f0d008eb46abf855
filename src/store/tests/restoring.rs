//! A backup that lies ready for the next start.

use super::{super::backup, *};

async fn set(store: &Store, name: &str, value: serde_json::Value) {
    store.commit(vec![Change::PutSetting(name.to_owned(), value)], Durability::Durable).await.unwrap();
}

/// A box that remembers `mine`, with another one's backup lying ready.
async fn with_a_backup() -> (TempDir, Store) {
    let (folder, other) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let (store, _) = Store::open(other.path()).unwrap();
    set(&store, "whose", json!("theirs")).await;
    let file = backup::pack(&store.dump().await.unwrap(), None, None, &[], Timestamp::UNIX_EPOCH).unwrap();
    store.close().await;
    let (store, _) = Store::open(folder.path()).unwrap();
    set(&store, "whose", json!("mine")).await;
    backup::unpack(&file).unwrap().stage(folder.path(), true).unwrap();
    (folder, store)
}

#[tokio::test]
async fn backup_waits_for_the_end_of_the_show_when_the_box_crashes_in_the_middle_of_it() {
    let (folder, store) = with_a_backup().await;
    set(&store, "show", json!(true)).await;
    store.close().await;
    for _ in 0..2 {
        assert!(matches!(backup::apply(folder.path()), Err(backup::LiesReady::ShowIsOn)));
        assert!(backup::is_staged(folder.path()), "it is not forgotten");
    }
    let (store, loaded) = Store::open(folder.path()).unwrap();
    assert_eq!((&loaded.settings["whose"], &loaded.settings["show"]), (&json!("mine"), &json!(true)));
    set(&store, "show", json!(false)).await;
    store.close().await;
    assert!(backup::apply(folder.path()).unwrap());
    assert_eq!(reload(&folder).await.settings["whose"], "theirs");
}

#[tokio::test]
async fn second_process_beside_a_running_box_puts_no_backup_into_place() {
    let (folder, store) = with_a_backup().await;
    assert!(matches!(backup::apply(folder.path()), Err(backup::LiesReady::InUse)));
    set(&store, "later", json!(1)).await;
    store.close().await;
    assert_eq!(reload(&folder).await.settings["later"], 1, "the box has its file still");
    assert!(backup::apply(folder.path()).unwrap());
}

#[tokio::test]
async fn backup_takes_the_place_of_a_store_that_cannot_be_read() {
    let (folder, store) = with_a_backup().await;
    store.close().await;
    std::fs::write(folder.path().join(FILE_NAME), "nonsense").unwrap();
    assert!(backup::apply(folder.path()).unwrap());
    assert_eq!(reload(&folder).await.settings["whose"], "theirs");
}
