#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::os::unix::fs::PermissionsExt as _;

use futures_util::stream;
use tempfile::TempDir;

use super::*;
use crate::config::Sources;

/// A script that says what RAUC says, word for word, and knows nothing else of it: a simulation.
const SIMULATED_RAUC: &str = r#"#!/bin/sh
case "$1" in
status) if [ "$2" = mark-good ]; then
    # Too busy at first, as on a machine that is starting.
    [ -e "$0.asked" ] && exit 0
    touch "$0.asked"; echo 'D-Bus: timeout' >&2; exit 1
  fi
  echo '{"compatible":"motherstream-qemu","variant":"","booted":"A","boot_primary":"rootfs.0","slots":[
  {"rootfs.1":{"class":"rootfs","bootname":"B","state":"inactive","boot_status":"bad","slot_status":{"bundle":{"version":"0.9"}}}},
  {"rootfs.0":{"class":"rootfs","bootname":"A","state":"booted","boot_status":"good"}},
  {"boot.0":{"class":"boot","bootname":null,"state":"inactive"}}]}' ;;
info) case "$(head -c 20 "$3")" in
  *other-board*) echo '{"compatible":"motherstream-rpi4","version":"2"}' ;;
  *other-key*) echo 'rauc-Message: Verifying bundle signature...' >&2
    echo 'signature verification failed: Verify error: self-signed certificate' >&2; exit 1 ;;
  *) echo '{"compatible":"motherstream-qemu","version":"2.0"}' ;;
  esac ;;
install) echo installing; echo '  0% Installing'; echo ' 40% Determining slot states done.'
  case "$(head -c 20 "$2")" in
  *breaks*) echo 'LastError: Failed updating slot rootfs.1: No space left on device'; exit 1 ;;
  esac
  echo '100% Installing done.'; echo idle ;;
esac
"#;

struct Bench {
    folder: TempDir,
    updates: Updates,
}

impl Bench {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let path = |name: &str| folder.path().join(name);
        let rauc = path("simulated-rauc");
        fs::write(&rauc, SIMULATED_RAUC).unwrap();
        fs::set_permissions(&rauc, fs::Permissions::from_mode(0o755)).unwrap();
        for name in ["data", "boot", "stick", "run"] {
            fs::create_dir(path(name)).unwrap();
        }
        let environment = Vec::from([
            ("MOTHERSTREAM_DATA_DIR".to_owned(), path("data").display().to_string()),
            ("MOTHERSTREAM_BOX__BOOT_DIR".to_owned(), path("boot").display().to_string()),
        ]);
        let loaded = Sources { file: None, fallback: path("none.toml"), environment }.load().unwrap();
        let updates = Updates::with(Some(rauc), &loaded.config, path("stick"), Some(path("run")));
        Self { folder, updates }
    }

    async fn install(&self, file: Vec<u8>) -> Result<(), UpdateError> {
        let mut update = self.updates.begin()?;
        let half = file.len() / 2;
        let (one, other) = file.split_at(half);
        let chunks = [one, other].map(|part| Ok::<_, io::Error>(Bytes::copy_from_slice(part)));
        update.receive(stream::iter(chunks)).await?;
        let checked = update.check(None).await?;
        update.install(checked).await;
        Ok(())
    }
}

/// What looks like an update, with a word in it for the simulation.
fn bundle(word: &str) -> Vec<u8> {
    let mut file = b"hsqs".to_vec();
    file.extend_from_slice(word.as_bytes());
    file.resize(4096, 7);
    let mut signature = vec![0x30, 0x82];
    signature.resize(1600, 1);
    file.extend_from_slice(&signature);
    file.extend_from_slice(&(signature.len() as u64).to_be_bytes());
    file
}

#[tokio::test]
async fn whole_update_for_this_board_is_installed_and_the_upload_is_gone_afterwards() {
    let bench = Bench::new();
    assert_eq!(bench.updates.progress(), Progress::Nothing);
    bench.install(bundle("good")).await.unwrap();
    assert_eq!(bench.updates.progress(), Progress::Installed { version: "2.0".to_owned() });
    assert_eq!(fs::read_dir(bench.folder.path().join("data")).unwrap().count(), 0);
    let slots = bench.updates.slots().await.unwrap();
    let slot = |name: &str, booted, version: Option<&str>| Slot {
        name: name.to_owned(),
        booted,
        good: booted,
        version: version.map(str::to_owned),
    };
    assert_eq!(slots.board, "motherstream-qemu");
    assert_eq!(slots.slots, [slot("rootfs.0", true, None), slot("rootfs.1", false, Some("0.9"))]);
}

#[tokio::test]
async fn wrong_updates_are_told_apart() {
    let bench = Bench::new();
    let half = bundle("good").get(..3000).unwrap().to_vec();
    let signed_by_another = bench.install(bundle("other-key")).await.unwrap_err();
    assert!(matches!(&signed_by_another, UpdateError::Signature(why) if why == "self-signed certificate"));
    let for_another = bench.install(bundle("other-board")).await.unwrap_err();
    assert!(for_another.to_string().contains("made for motherstream-rpi4, and this is motherstream-qemu"));
    for damaged in [half, Vec::new(), b"hello".to_vec(), vec![0; 100_000]] {
        assert!(matches!(bench.install(damaged).await, Err(UpdateError::Damaged)));
    }
    bench.install(bundle("breaks")).await.unwrap();
    let Progress::Failed { reason } = bench.updates.progress() else { panic!() };
    assert!(reason.contains("No space left on device"), "{reason}");
}

#[test]
fn upload_goes_on_while_it_may_be_an_update_and_there_is_room_for_it_and_for_the_queue() {
    let free = ROOM + 1000;
    for first in [&b""[..], b"h", b"hsqs"] {
        assert!(may_go_on(first, 1000, free).is_ok());
    }
    assert!(matches!(may_go_on(b"PK", 2, free), Err(UpdateError::Damaged)));
    assert!(matches!(may_go_on(b"hsqs", 1001, free), Err(UpdateError::NoRoom)));
    assert!(matches!(may_go_on(b"hsqs", 1, 0), Err(UpdateError::NoRoom)));
    assert!(may_go_on(b"hsqs", LARGEST, u64::MAX).is_ok());
    assert!(matches!(may_go_on(b"hsqs", LARGEST + 1, u64::MAX), Err(UpdateError::TooLarge)));
}

#[tokio::test]
async fn upload_that_breaks_off_changes_nothing_and_leaves_nothing() {
    let bench = Bench::new();
    let mut update = bench.updates.begin().unwrap();
    assert!(matches!(bench.updates.begin(), Err(UpdateError::Busy)));
    let chunks = [Ok(Bytes::from_static(b"hsqs")), Err(io::ErrorKind::UnexpectedEof.into())];
    let broken = update.receive(stream::iter::<[Result<_, io::Error>; 2]>(chunks)).await;
    assert!(matches!(broken, Err(UpdateError::CutOff)));
    drop(update);
    assert!(matches!(bench.updates.progress(), Progress::Failed { .. }));
    assert_eq!(fs::read_dir(bench.folder.path().join("data")).unwrap().count(), 0);
    bench.install(bundle("good")).await.unwrap();
}

#[tokio::test]
async fn updates_on_a_stick_are_offered_by_name_and_nothing_else_of_it_is() {
    let bench = Bench::new();
    let stick = bench.folder.path().join("stick");
    for name in ["b.raucb", "a.raucb", ".hidden.raucb", "notes.txt"] {
        fs::write(stick.join(name), bundle("good")).unwrap();
    }
    assert_eq!(bench.updates.offered(), ["a.raucb", "b.raucb"]);
    let update = bench.updates.begin().unwrap();
    for wrong in ["notes.txt", "../simulated-rauc", "/etc/passwd", "c.raucb", ""] {
        assert!(matches!(update.check(Some(wrong)).await, Err(UpdateError::NotOffered)), "{wrong}");
    }
    let checked = update.check(Some("b.raucb")).await.unwrap();
    update.install(checked).await;
    assert_eq!(bench.updates.progress(), Progress::Installed { version: "2.0".to_owned() });
    assert!(stick.join("b.raucb").exists());
}

// Takes the 10 s of the pause: processes do not heed a clock of the test's own.
#[tokio::test]
async fn version_is_marked_good_at_the_second_try_too() {
    let bench = Bench::new();
    bench.updates.mark_good().await.unwrap();
    assert!(bench.folder.path().join("simulated-rauc.asked").exists());
}

#[test]
fn machine_is_asked_by_files_and_only_where_it_listens() {
    let bench = Bench::new();
    bench.updates.restart().unwrap();
    assert!(bench.folder.path().join("run/reboot").exists());
    bench.updates.reset().unwrap();
    assert!(bench.folder.path().join("run/factory-reset").exists());
    assert!(!bench.folder.path().join("boot/factory-reset").exists(), "the boot partition is the machine's to write");
    let environment = Vec::from([("MOTHERSTREAM_DATA_DIR".to_owned(), bench.folder.path().display().to_string())]);
    let elsewhere = Sources { file: None, fallback: "none.toml".into(), environment }.load().unwrap().config;
    let updates = Updates::new(&elsewhere, Some(bench.folder.path().join("run")));
    assert!(!updates.are_possible() && !updates.can_restart() && !updates.can_reset());
    assert!(matches!(updates.begin().map(|_| ()), Err(UpdateError::NoImage(_))));
    assert!(matches!(updates.restart(), Err(UpdateError::NoImage(_))));
    assert!(matches!(updates.reset(), Err(UpdateError::NoImage(_))));
}
