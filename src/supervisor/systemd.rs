//! What systemd is told, where systemd started the box: that it is ready, that it lives, and, on an image with updates, that this version
//! works.
//!
//! A sign of life is given only while the programme's time goes on and the other parts run: a process that is frozen, or whose programme
//! stands, is ended and started again by systemd's watchdog. Without systemd nothing of this happens.

use std::{process::Stdio, time::Duration};

use sd_notify::NotifyState;
use tokio::{process::Command, time::timeout};

use crate::{core::moment::Moment, update::Updates};

/// A box whose ingest does not start is told ready after this all the same: its page has to say what is wrong.
const PATIENCE: Duration = Duration::from_secs(30);
/// The programme's time may stand for so long: it is published twice a second.
const STANDSTILL: Duration = Duration::from_secs(5);
/// A new version works when it has been ready and has paced its programme for so long.
const PROOF: Duration = Duration::from_secs(30);

/// systemd has so long to say what it does; it takes milliseconds. Ending the box has 5 s in all.
const ASKED: Duration = Duration::from_secs(1);

/// What is seen of the box at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    pub(super) now: Moment,
    /// Store, programme and page work.
    pub(super) serves: bool,
    /// Encoders can connect.
    pub(super) ingest: bool,
    /// What the version that runs has to show.
    pub(super) version: Version,
    /// The programme's time in milliseconds.
    pub(super) program_ms: u64,
}

/// A version, as the boot loader has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    /// It has proven itself at an earlier start.
    Established,
    /// It is on trial.
    New {
        /// What is acknowledged is still there after the machine's next start.
        remembers: bool,
    },
}

/// What follows from it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Signs {
    /// It is ready: told once.
    pub(super) ready: bool,
    /// It lives: the watchdog is told, each time.
    pub(super) alive: bool,
    /// This version has proven itself: told once.
    pub(super) proven: bool,
}

/// Remembers what was seen and told.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Health {
    first: Option<Moment>,
    /// The programme's time, and when it went on last.
    program: Option<(u64, Moment)>,
    told_ready: bool,
    /// Since when everything works.
    sound_since: Option<Moment>,
    proven: bool,
}

impl Health {
    /// Judges a look. To be called about once a second.
    pub(super) fn judge(&mut self, look: Look) -> Signs {
        let first = *self.first.get_or_insert(look.now);
        let program = match self.program {
            Some((before, since)) if before == look.program_ms => (before, since),
            _ => (look.program_ms, look.now),
        };
        self.program = Some(program);
        let paces = look.program_ms > 0 && look.now.since(program.1) < STANDSTILL;
        let may = look.ingest || look.now.since(first) >= PATIENCE;
        let ready = !self.told_ready && look.serves && paces && may;
        self.told_ready |= ready;

        // A store that is damaged or a card that is dead is not an established version's fault: a box that was never marked good again would
        // use up its tries and start again in the middle of a show.
        let works = match look.version {
            Version::Established => true,
            Version::New { remembers } => look.ingest && remembers,
        };
        let sound = look.serves && paces && works;
        self.sound_since = sound.then(|| self.sound_since.unwrap_or(look.now));
        let proven = !self.proven && self.sound_since.is_some_and(|since| look.now.since(since) >= PROOF);
        self.proven |= proven;
        // While the box starts, its start has a limit of its own.
        Signs { ready, alive: paces || !self.told_ready, proven }
    }
}

/// Passes signs on. Costs nothing where nobody listens.
pub(super) fn tell(signs: Signs) {
    let mut states = Vec::new();
    if signs.ready {
        states.push(NotifyState::Ready);
        states.push(NotifyState::Status("running"));
    }
    if signs.alive {
        states.push(NotifyState::Watchdog);
    }
    send(&states);
}

/// Says that the box stops.
pub(super) fn tell_stopping() {
    send(&[NotifyState::Stopping, NotifyState::Status("stopping")]);
}

fn send(states: &[NotifyState<'_>]) {
    if states.is_empty() || std::env::var_os("NOTIFY_SOCKET").is_none() {
        return;
    }
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "systemd was not told");
    }
}

/// Whether systemd ends this program only to start it again: a restart of its unit, or of the machine. Not known is no.
pub(super) async fn starts_again() -> bool {
    // systemd sets it for whatever it starts.
    if std::env::var_os("INVOCATION_ID").is_none() {
        return false;
    }
    let place = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let mut command = Command::new("systemctl");
    if place.contains("/user@") {
        command.arg("--user");
    }
    command.args(["list-jobs", "--plain", "--no-legend", "--no-pager"]).stdin(Stdio::null()).kill_on_drop(true);
    match timeout(ASKED, command.output()).await {
        Ok(Ok(answer)) if answer.status.success() => is_restart(&String::from_utf8_lossy(&answer.stdout), unit(&place)),
        Ok(Ok(answer)) => {
            tracing::warn!(status = %answer.status, "systemd does not say whether this is a restart");
            false
        }
        Ok(Err(error)) => {
            tracing::warn!(%error, "systemd does not say whether this is a restart");
            false
        }
        Err(_) => {
            tracing::warn!("systemd does not say in time whether this is a restart");
            false
        }
    }
}

/// The unit that this process belongs to, by its control groups.
fn unit(cgroup: &str) -> Option<&str> {
    let mut parts = cgroup.lines().flat_map(|line| line.rsplit('/'));
    parts.find(|part| part.ends_with(".service"))
}

/// Whether systemd's jobs (`systemctl list-jobs`: number, unit, what is done with it, state) start `unit` or the machine again.
fn is_restart(jobs: &str, unit: Option<&str>) -> bool {
    jobs.lines().any(|line| {
        let mut words = line.split_whitespace().skip(1);
        match (words.next(), words.next()) {
            (Some("reboot.target" | "kexec.target" | "soft-reboot.target"), Some("start")) => true,
            (name, Some(job)) => name == unit && job.ends_with("restart"),
            _ => false,
        }
    })
}

/// Has the running version marked good, and says what became of it.
pub(super) async fn mark_good(updates: Updates) {
    match updates.mark_good().await {
        Ok(()) => tracing::info!("this version works: its slot was marked good"),
        Err(error) => tracing::error!(
            %error,
            "this slot could not be marked good; a new version falls back to the other at its next start"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks once a second, with the programme's time as `program` says, at a version on trial.
    fn looks(seconds: u64, ingest: bool, program: impl Fn(u64) -> u64) -> Vec<(u64, Signs)> {
        looks_at(seconds, Look { ingest, ..new_version() }, program)
    }

    fn new_version() -> Look {
        Look {
            now: Moment::from_start(Duration::ZERO),
            serves: true,
            ingest: true,
            version: Version::New { remembers: true },
            program_ms: 0,
        }
    }

    fn looks_at(seconds: u64, what: Look, program: impl Fn(u64) -> u64) -> Vec<(u64, Signs)> {
        let mut health = Health::default();
        let look = |second| Look {
            now: Moment::from_start(Duration::from_secs(second)),
            serves: what.serves && second >= 2,
            ingest: what.ingest && second >= 3,
            program_ms: program(second),
            ..what
        };
        (0..seconds).map(|second| (second, health.judge(look(second)))).collect()
    }

    #[test]
    fn new_version_on_a_memory_disk_proves_nothing_and_an_established_one_is_kept_with_whatever_is_broken_around_it() {
        let proven = |look| -> Vec<u64> {
            let signs = looks_at(60, look, |second| second * 1000);
            signs.iter().filter(|(_, signs)| signs.proven).map(|(second, _)| *second).collect()
        };
        let empty: [u64; 0] = [];
        assert_eq!(proven(Look { version: Version::New { remembers: false }, ..new_version() }), empty);
        let old = Look { version: Version::Established, ingest: false, ..new_version() };
        assert_eq!(proven(old), [32]);
        assert_eq!(proven(Look { serves: false, ..old }), empty);
    }

    #[test]
    fn restart_of_the_unit_or_the_machine_is_told_from_a_stop() {
        let cgroup = "0::/system.slice/motherstream.service\n";
        assert_eq!(unit(cgroup), Some("motherstream.service"));
        assert_eq!(unit("0::/user.slice/user-1000.slice/session-2.scope\n"), None);
        let of_ours = |jobs| is_restart(jobs, unit(cgroup));
        assert!(of_ours("1204 motherstream.service restart running\n"));
        assert!(of_ours("1204 motherstream.service try-restart waiting\n"));
        let reboot = "2110 motherstream.service stop running\n2001 reboot.target start waiting\n";
        assert!(of_ours(reboot));
        for stop in [
            "",
            "No jobs running.\n",
            "1204 motherstream.service stop running\n",
            "1204 other.service restart running\n",
            "2110 motherstream.service stop running\n2001 poweroff.target start waiting\n",
        ] {
            assert!(!of_ours(stop), "{stop}");
        }
        assert!(!is_restart("1204 other.service restart running\n", None));
    }

    #[test]
    fn box_is_told_ready_once_and_proven_after_thirty_sound_seconds() {
        let signs = looks(60, true, |second| second * 1000);
        let when = |what: fn(&Signs) -> bool| -> Vec<u64> {
            signs.iter().filter(|(_, signs)| what(signs)).map(|(second, _)| *second).collect()
        };
        assert_eq!(when(|signs| signs.ready), [3]);
        assert_eq!(when(|signs| signs.proven), [33]);
        assert!(signs.iter().all(|(_, signs)| signs.alive));
    }

    #[test]
    fn box_without_an_ingest_serves_its_page_and_proves_nothing() {
        let signs = looks(100, false, |second| second * 1000);
        let ready: Vec<_> = signs.iter().filter(|(_, signs)| signs.ready).map(|(second, _)| *second).collect();
        assert_eq!(ready, [30]);
        assert!(!signs.iter().any(|(_, signs)| signs.proven));
    }

    #[test]
    fn programme_that_stands_gives_no_sign_of_life() {
        let signs = looks(40, true, |second| second.min(20) * 1000);
        let dead: Vec<_> = signs.iter().filter(|(_, signs)| !signs.alive).map(|(second, _)| *second).collect();
        assert_eq!(dead.first(), Some(&25));
        assert_eq!(dead.len(), 15);
        assert!(!signs.iter().any(|(_, signs)| signs.proven));
    }
}
