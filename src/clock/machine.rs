//! The machine's clocks, which go on while the box is off: for signs of life that are compared across a restart, never for the queue.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use rustix::time::{ClockId, clock_gettime};

use crate::core::show::darkness::LifeSign;

/// Which start of the machine this is.
const BOOT_ID: &str = "proc/sys/kernel/random/boot_id";

/// Made by systemd-timesyncd, and by systemd-time-wait-sync for any other, when the network has told the time.
pub const TIME_SET: &str = "run/systemd/timesync/synchronized";

/// A hardware clock; `hctosys` holds 1 where the kernel took the time from it.
const HARDWARE_CLOCK: &str = "sys/class/rtc/rtc0";

/// A hardware clock that is farther from the time of day has lost its battery, or the time was never taken from it.
const APART: i64 = 60;

/// For tests: a file whose words stand for the machine's clocks. The boot's id, `known` or `unknown`, and by how many seconds the time of day
/// is ahead.
const TEST_CLOCK: &str = "MOTHERSTREAM_TEST_CLOCK";

/// The machine's clocks. Cheap to clone.
#[derive(Clone, Debug)]
pub struct MachineClock {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    root: PathBuf,
    boot: Arc<str>,
    /// Once the time of day is right it stays so.
    known: AtomicBool,
    test: Option<PathBuf>,
}

impl MachineClock {
    /// Those of this machine. Reads a few files.
    pub fn of_this_machine() -> Self {
        Self::under(Path::new("/"), std::env::var_os(TEST_CLOCK).map(PathBuf::from))
    }

    fn under(root: &Path, test: Option<PathBuf>) -> Self {
        let boot = std::fs::read_to_string(root.join(BOOT_ID)).unwrap_or_default();
        let known = AtomicBool::new(is_kept_by_hardware(root, Timestamp::now()));
        let boot = boot.trim().chars().take(64).collect::<String>().into();
        Self { inner: Arc::new(Inner { root: root.to_owned(), boot, known, test }) }
    }

    /// What they say now.
    pub fn look(&self) -> LifeSign {
        let up = clock_gettime(ClockId::Boottime);
        let up_ms = u64::try_from(up.tv_sec * 1000 + up.tv_nsec / 1_000_000).unwrap_or(0);
        let now = Timestamp::now();
        if let Some(told) = self.inner.test.as_deref().and_then(|file| told_by_test(file, up_ms, now)) {
            return told;
        }
        let known = self.inner.known.load(Ordering::Relaxed) || self.inner.root.join(TIME_SET).exists();
        if known {
            self.inner.known.store(true, Ordering::Relaxed);
        }
        LifeSign { boot: Arc::clone(&self.inner.boot), up_ms, wall: now, known }
    }
}

/// Whether the time of day was taken from a hardware clock, which still agrees.
fn is_kept_by_hardware(root: &Path, now: Timestamp) -> bool {
    let clock = root.join(HARDWARE_CLOCK);
    let number = |file: &str| std::fs::read_to_string(clock.join(file)).ok()?.trim().parse::<i64>().ok();
    number("hctosys") == Some(1)
        && number("since_epoch").is_some_and(|clock| clock.abs_diff(now.as_second()) <= APART.unsigned_abs())
}

fn told_by_test(file: &Path, up_ms: u64, now: Timestamp) -> Option<LifeSign> {
    let text = std::fs::read_to_string(file).ok()?;
    let mut words = text.split_whitespace();
    let (boot, known, ahead) = (words.next()?, words.next()? == "known", words.next()?.parse().ok()?);
    let wall = now.checked_add(Duration::from_secs(ahead)).ok()?;
    Some(LifeSign { boot: boot.into(), up_ms, wall, known })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::fs;

    use super::*;

    /// A machine's files: whether the kernel took the time from a hardware clock, and what that says.
    fn machine(from_hardware: &str, hardware_clock: i64) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for folder in ["proc/sys/kernel/random", "run/systemd/timesync", HARDWARE_CLOCK] {
            fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        fs::write(root.path().join(BOOT_ID), "77ecbc83-d843-4b20-af4a-26be8733bdef\n").unwrap();
        fs::write(root.path().join(HARDWARE_CLOCK).join("hctosys"), from_hardware).unwrap();
        fs::write(root.path().join(HARDWARE_CLOCK).join("since_epoch"), format!("{hardware_clock}\n")).unwrap();
        root
    }

    #[test]
    fn the_time_is_known_once_the_network_told_it() {
        let root = machine("0\n", 0);
        let clock = MachineClock::under(root.path(), None);
        let first = clock.look();
        assert_eq!((&*first.boot, first.known), ("77ecbc83-d843-4b20-af4a-26be8733bdef", false));
        fs::write(root.path().join(TIME_SET), "").unwrap();
        assert!(clock.look().known);
        fs::remove_file(root.path().join(TIME_SET)).unwrap();
        let last = clock.look();
        assert!(last.known, "a clock that was set goes on");
        assert!(last.up_ms >= first.up_ms && last.wall >= first.wall);
    }

    #[test]
    fn a_hardware_clock_counts_where_the_time_came_from_it_and_it_agrees() {
        let now = Timestamp::now().as_second();
        for (from_hardware, says, known) in
            [("1\n", now, true), ("1\n", now - 3600, false), ("1\n", 30, false), ("0\n", now, false), ("", now, false)]
        {
            let root = machine(from_hardware, says);
            assert_eq!(MachineClock::under(root.path(), None).look().known, known, "{from_hardware:?} {says}");
        }
        assert!(!MachineClock::under(Path::new("/nowhere"), None).look().known);
    }
}
