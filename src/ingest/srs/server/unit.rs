//! The unit that runs SRS in the image: ordered by way of `systemctl`, stopped by nobody but systemd.

use std::{
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// How long an order may take; a restart waits for the old process to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// `systemctl ORDER UNIT`.
///
/// # Errors
/// In words for an admin.
pub(super) fn order(systemctl: &Path, order: &str, unit: &str) -> Result<(), String> {
    run(Command::new(systemctl).args(["--quiet", order, "--", unit])).map_err(|error| {
        format!("`systemctl {order} {unit}` failed: {error}; `journalctl -u {unit}` says more (ingest.srs.unit)")
    })
}

fn run(command: &mut Command) -> Result<(), String> {
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let mut child = child.map_err(|error| error.to_string())?;
    let until = Instant::now() + PATIENCE;
    loop {
        match child.try_wait().map_err(|error| error.to_string())? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => return Err(status.to_string()),
            None if Instant::now() < until => thread::sleep(Duration::from_millis(10)),
            None => {
                let _ = child.kill();
                let _ = child.wait();
                return Err("it takes too long".to_owned());
            }
        }
    }
}
