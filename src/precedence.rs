//! Which threads go first when the machine is busy: those that the programme leaves by; then those that serve; then those that draw, pack and
//! compress. By niceness, which Linux keeps for each thread: it needs no real-time scheduling, which a thread that hangs would take a whole
//! machine with, and going behind needs no right.
//!
//! A thread begins with the niceness of the one that starts it.

use std::{fs, io, process, sync::OnceLock, thread};

use rustix::process::{getpriority_process, setpriority_process};

/// The programme's. Each tick of 40 ms and each write to a platform takes well under a millisecond, and has to happen on time: with eight
/// programs that take all they get, at a niceness of 0, a thread of this one still gets the processor as soon as it wakes.
pub const PROGRAM: i32 = -10;

/// So much behind the others is what takes long and nobody waits for. More would starve it: behind eight busy programs on two cores a thread
/// with this still has a twelfth of a core.
const BEHIND: i32 = 5;

/// The greatest niceness that there is.
const MOST: i32 = 19;

/// What the process was started with.
static OWN: OnceLock<i32> = OnceLock::new();

/// Notes what the process was started with. To be called before there are threads.
pub fn begin() {
    OWN.get_or_init(|| getpriority_process(None).unwrap_or(0));
}

/// Lets the whole process go before those of other sessions, where it has a session of its own, as what systemd starts has: there the kernel
/// shares the processors out by sessions first (autogroup), and niceness counts within one only. Not where it shares one, with a terminal's
/// other programs.
pub fn lead_session() {
    if fs::read_to_string("/proc/self/stat").is_ok_and(|stat| session(&stat) == Some(process::id())) {
        // Kernels without that, and accounts that may not: what is left is niceness.
        let _ = fs::write("/proc/self/autogroup", PROGRAM.to_string());
    }
}

/// The session that a process's `stat` names, by its leader. 0 where the leader is in another namespace, as in a container whose session was
/// begun outside it; which is why it is read here: `rustix::process::getsid` takes 0 for impossible.
fn session(stat: &str) -> Option<u32> {
    // The name before the last parenthesis is anything. What follows: state, parent, group, session.
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(3)?.parse().ok()
}

/// Lets the calling thread, and those that it starts from now on, go before other programs.
///
/// # Errors
/// What the system says where this account may not (`RLIMIT_NICE`, `CAP_SYS_NICE`); then nothing has changed.
pub fn go_first() -> io::Result<()> {
    if getpriority_process(None)? > PROGRAM {
        setpriority_process(None, PROGRAM)?;
    }
    Ok(())
}

/// Lets the calling thread, and those that it starts from now on, go behind the others of this process.
pub fn go_behind() {
    go_behind_by(BEHIND);
}

/// The same, by so much.
pub fn go_behind_by(niceness: i32) {
    let own = *OWN.get_or_init(|| getpriority_process(None).unwrap_or(0));
    // Without it the work is done all the same.
    let _ = setpriority_process(None, own.saturating_add(niceness).min(MOST));
}

/// Whether this account may let a thread go before other programs.
///
/// # Errors
/// What the system says where it may not.
pub fn may_go_first() -> io::Result<()> {
    let tried = thread::Builder::new().name("precedence".to_owned()).spawn(go_first)?.join();
    tried.unwrap_or_else(|_| Err(io::Error::other("it could not be tried")))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    /// What a thread comes to that does so.
    fn niceness(what: impl FnOnce() + Send + 'static) -> i32 {
        let work = move || {
            what();
            getpriority_process(None).unwrap()
        };
        thread::spawn(work).join().unwrap()
    }

    #[test]
    fn session_is_read_whatever_the_program_is_called() {
        assert_eq!(session("77 (a) b (c)) S 1 77 70 0 -1 4194304"), Some(70));
        assert_eq!(session("77 (motherstream) S 1 77 0 0 -1 4194304"), Some(0), "its leader is in another namespace");
        assert_eq!(session("77"), None);
        let own = session(&fs::read_to_string("/proc/self/stat").unwrap()).unwrap();
        let asked = nix::unistd::getsid(None).unwrap();
        assert_eq!(i32::try_from(own).unwrap(), asked.as_raw());
    }

    #[test]
    fn thread_goes_behind_once_however_often_it_and_those_before_it_are_told() {
        begin();
        let own = getpriority_process(None).unwrap();
        assert_eq!(niceness(go_behind), own + BEHIND);
        assert_eq!(
            niceness(|| {
                go_behind();
                thread::spawn(go_behind).join().unwrap();
                go_behind();
            }),
            own + BEHIND
        );
        assert_eq!(getpriority_process(None).unwrap(), own, "others are as they were");
    }

    #[test]
    fn thread_goes_first_where_the_account_may_and_says_so_where_not() {
        let own = getpriority_process(None).unwrap();
        let may = may_go_first().is_ok();
        let became = niceness(|| {
            let _ = go_first();
        });
        assert_eq!(became, if may { PROGRAM.min(own) } else { own });
    }
}
