//! The box that is an image of its own: its partitions, its updates, its clock, its watchdog.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
};

use rustix::fs::Access;

use super::finding::{Finding, bad, good, note};
use crate::{clock::machine::TIME_SET, config::MachineConfig, update::DATA_STATE};

/// The hardware that starts the machine again when it hangs.
const WATCHDOGS: &[&str] = &["/dev/watchdog0", "/dev/watchdog"];

/// Looks at what the image brings; at nothing where there is none.
pub(super) fn examine(config: &MachineConfig) -> Vec<Finding> {
    look(config, Path::new("/"), std::env::var_os("PATH").as_deref())
}

/// With another root of the file system, and another `PATH`.
fn look(config: &MachineConfig, root: &Path, path: Option<&OsStr>) -> Vec<Finding> {
    let under = |file: &str| root.join(file.trim_start_matches('/'));
    let mut findings = Vec::new();
    if let Some(folder) = &config.boot_dir {
        findings.push(boot(folder));
        findings.push(data(&under(DATA_STATE)));
        findings.push(if under(TIME_SET).exists() {
            good("clock: set by the network")
        } else {
            note(
                "the network has not set the clock yet",
                "let the box reach a time server (NTP, UDP port 123): secure connections to platforms need the right time",
            )
        });
        findings.push(if WATCHDOGS.iter().any(|device| under(device).exists()) {
            good("watchdog of the hardware")
        } else {
            note("no watchdog of the hardware", "a machine that hangs stays so until its plug is pulled")
        });
    }
    if config.updates {
        let found =
            path.into_iter().flat_map(std::env::split_paths).any(|folder: PathBuf| folder.join("rauc").is_file());
        findings.push(if found {
            good("updates by RAUC")
        } else {
            bad("`box.updates` is set, and there is no program rauc", "install it, or set `box.updates = false`")
        });
    }
    findings
}

fn boot(folder: &Path) -> Finding {
    let name = folder.display();
    if !folder.is_dir() {
        return bad(format!("the boot partition is not at {name}"), "mount it there, or correct `box.boot_dir`");
    }
    match rustix::fs::access(folder, Access::READ_OK | Access::EXEC_OK) {
        Ok(()) => good(format!("boot partition {name}")),
        Err(error) => note(
            format!("the boot partition {name} cannot be read: {error}"),
            "a setup code that is put there is not taken; give this user the right to read it",
        ),
    }
}

fn data(state: &Path) -> Finding {
    let told = fs::read_to_string(state).unwrap_or_default();
    match told.trim().strip_prefix("temporary: ") {
        Some(why) => bad(
            format!("{why}: a memory disk stands in for it, and everything is forgotten at the next start"),
            "start the box again; if this stays, write a new card and restore a backup",
        ),
        None => good("data partition"),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::doctor::Grade;

    fn grades(findings: &[Finding]) -> Vec<Grade> {
        findings.iter().map(|finding| finding.grade).collect()
    }

    #[test]
    fn image_with_everything_in_its_place_is_well_and_one_without_is_told_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for name in ["boot", "run/systemd/timesync", "dev", "bin"] {
            fs::create_dir_all(root.join(name)).unwrap();
        }
        let config = MachineConfig { boot_dir: Some(root.join("boot")), updates: true };
        let path = root.join("bin");
        let bare = look(&config, root, Some(path.as_os_str()));
        assert_eq!(grades(&bare), [Grade::Good, Grade::Good, Grade::Note, Grade::Note, Grade::Bad], "{bare:?}");
        assert!(bare.iter().all(|finding| finding.grade == Grade::Good || finding.advice.is_some()));
        for file in ["run/systemd/timesync/synchronized", "dev/watchdog0", "bin/rauc"] {
            fs::write(root.join(file), "").unwrap();
        }
        let whole = look(&config, root, Some(path.as_os_str()));
        assert_eq!(grades(&whole), [Grade::Good; 5], "{whole:?}");
        fs::write(root.join("run/motherstream-data"), "temporary: there is no data partition\n").unwrap();
        fs::remove_dir(root.join("boot")).unwrap();
        let broken = look(&config, root, Some(path.as_os_str()));
        assert_eq!(grades(&broken).get(..2).unwrap(), [Grade::Bad, Grade::Bad], "{broken:?}");
        let none = MachineConfig { boot_dir: None, updates: false };
        assert!(look(&none, root, None).is_empty());
    }
}
