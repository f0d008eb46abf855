//! One SRS process: found, waited for and ended by a descriptor that never means another process, child of ours or not.

use std::{fs, os::fd::OwnedFd, path::Path, process::Child, time::Duration};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::{io::unix::AsyncFd, time::timeout};

use super::launch::{Environment, NAME_VARIABLE, PID_FILE, PID_VARIABLE};

/// A process that is, or was, an SRS.
pub(super) struct Process {
    pub(super) pid: u32,
    descriptor: AsyncFd<OwnedFd>,
    child: Option<Child>,
    /// What it was started with, where this user may know.
    pub(super) environment: Environment,
}

impl Process {
    /// The SRS that this box started and that still runs, by the pid file in its folder.
    pub(super) fn find(folder: &Path) -> Option<Self> {
        Self::of_box(pid_of(folder)?, folder)
    }

    /// The process `pid`, if it is an SRS that was started for this folder.
    pub(super) fn of_box(pid: u32, folder: &Path) -> Option<Self> {
        Self::open(pid, None).filter(|process| is_of(&process.environment, folder))
    }

    /// The process `pid`, whosever it is.
    pub(super) fn other(pid: u32) -> Option<Self> {
        Self::open(pid, None)
    }

    /// One that was started just now.
    pub(super) fn started(child: Child) -> Option<Self> {
        Self::open(child.id(), Some(child))
    }

    fn open(pid: u32, child: Option<Child>) -> Option<Self> {
        let number = Pid::from_raw(i32::try_from(pid).ok()?)?;
        let descriptor = pidfd_open(number, PidfdFlags::NONBLOCK).ok()?;
        // Read after the descriptor was opened: what is read is of the process that the descriptor means, or it has ended.
        let environment = environment(pid);
        #[expect(deprecated, reason = "its successor is unsafe; an OwnedFd is what it says and stays open")]
        let descriptor = AsyncFd::new(descriptor).ok()?;
        Some(Self { pid, descriptor, child, environment })
    }

    /// The name under which it was started.
    pub(super) fn name(&self) -> Option<&str> {
        variable(&self.environment, NAME_VARIABLE)
    }

    /// Returns when it has ended, with how, where that can be known.
    pub(super) async fn ended(&mut self) -> String {
        // An error of the descriptor would say that nothing more can be learned from it.
        let _ = self.descriptor.readable().await;
        match self.child.as_mut().map(Child::try_wait) {
            Some(Ok(Some(status))) => format!(" ({status})"),
            // Of one that is no child of ours the system does not say.
            _ => String::new(),
        }
    }

    /// Whether it still runs.
    pub(super) async fn runs(&mut self) -> bool {
        timeout(Duration::ZERO, self.ended()).await.is_err()
    }

    /// Asks it to end, insists after `patience`, and returns when it is gone.
    pub(super) async fn end(&mut self, patience: Duration) {
        // One that is gone cannot be told; one that may not be told is waited for no longer than patience.
        let _ = pidfd_send_signal(self.descriptor.get_ref(), Signal::TERM);
        // One that is stopped does not act on it.
        let _ = pidfd_send_signal(self.descriptor.get_ref(), Signal::CONT);
        if timeout(patience, self.ended()).await.is_err() {
            let _ = pidfd_send_signal(self.descriptor.get_ref(), Signal::KILL);
            let _ = timeout(patience, self.ended()).await;
        }
    }
}

/// The SRS that the box with this folder started, if it still runs; without holding on to it.
pub(super) fn running(folder: &Path) -> Option<u32> {
    pid_of(folder).filter(|pid| is_of(&environment(*pid), folder))
}

fn pid_of(folder: &Path) -> Option<u32> {
    fs::read_to_string(folder.join(PID_FILE)).ok()?.trim().parse().ok()
}

fn is_of(environment: &Environment, folder: &Path) -> bool {
    let own = std::path::absolute(folder).map(|folder| folder.join(PID_FILE));
    variable(environment, PID_VARIABLE).is_some_and(|path| own.is_ok_and(|own| own == Path::new(path)))
}

fn variable<'a>(environment: &'a Environment, name: &str) -> Option<&'a str> {
    environment.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
}

fn environment(pid: u32) -> Environment {
    let Ok(bytes) = fs::read(format!("/proc/{pid}/environ")) else { return Vec::new() };
    let texts = bytes.split(|byte| *byte == 0).map(String::from_utf8_lossy);
    texts.filter_map(|text| text.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()))).collect()
}
