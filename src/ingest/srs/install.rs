//! Which SRS is installed, and whether it can be used.

use std::{
    env,
    io::Read,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

pub(crate) use super::server::ports::{self, Held};
use crate::config::SrsConfig;

/// The oldest SRS whose API, hooks and settings are those that the box knows.
const OLDEST: u64 = 6;

/// How long SRS may take to say its version or to check its configuration. It takes 10 ms.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// What is kept of what it says.
const LONGEST_ANSWER: u64 = 64 << 10;

/// Where the configuration file is looked for after the working folder and the folder of our own program.
const SYSTEM_FOLDER: &str = "/etc/motherstream";

/// Where SRS's own installer puts its program, which is not in `PATH`.
const INSTALLERS_FOLDER: &str = "/usr/local/srs/objs";

/// An SRS that can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    /// The program.
    pub program: PathBuf,
    /// Its version, for example `7.0.18`.
    pub version: String,
    /// Its configuration file.
    pub config: PathBuf,
}

/// Looks for the program and the configuration file, and asks its version. Blocks for a fraction of a second.
///
/// # Errors
/// What is missing, too old or refused, and what to do, in words for an admin.
pub fn find(config: &SrsConfig) -> Result<Installed, String> {
    let program = program(config)?;
    let version = version(&program)?;
    Ok(Installed { program, version, config: configuration(config)? })
}

/// The program: the path as it is written, or the first of that name in `PATH`, or where SRS's installer puts it.
///
/// # Errors
/// In words for an admin.
pub(super) fn program(config: &SrsConfig) -> Result<PathBuf, String> {
    let binary = &config.binary;
    let advice = "install SRS 6 or newer, or set ingest.srs.binary to the path of its program";
    if binary.components().count() > 1 {
        return match binary.metadata() {
            Ok(file) if file.is_file() => std::path::absolute(binary).map_err(|error| error.to_string()),
            _ => Err(format!("there is no program {}; {advice}", binary.display())),
        };
    }
    let folders = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&folders)
        .chain([PathBuf::from(INSTALLERS_FOLDER)])
        .map(|folder| folder.join(binary))
        .find(|path| path.is_file() && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok())
        .ok_or_else(|| format!("there is no program {} in PATH; {advice}", binary.display()))
}

/// The configuration file. A relative path is looked for in the working folder, then by its name beside our own program and in
/// `/etc/motherstream`.
///
/// # Errors
/// In words for an admin.
pub(super) fn configuration(config: &SrsConfig) -> Result<PathBuf, String> {
    let wanted = &config.config;
    if wanted.is_file() {
        return std::path::absolute(wanted).map_err(|error| error.to_string());
    }
    let named = wanted.is_relative().then(|| wanted.file_name()).flatten();
    let beside = env::current_exe().ok().and_then(|program| program.parent().map(Path::to_owned));
    let folders = beside.into_iter().chain([PathBuf::from(SYSTEM_FOLDER)]);
    let found = named.and_then(|name| folders.map(|folder| folder.join(name)).find(|path| path.is_file()));
    found.ok_or_else(|| {
        format!(
            "SRS's configuration file {} is not there; set ingest.srs.config to the path of the srs.conf that came with this program",
            wanted.display()
        )
    })
}

/// The program's version, if it is one that can be used.
///
/// # Errors
/// In words for an admin.
pub(super) fn version(program: &Path) -> Result<String, String> {
    let said = run(Command::new(program).arg("-v"))?;
    let version = said.text.split_whitespace().find_map(version_in);
    match version {
        Some(version) if usable(&version) => Ok(version),
        Some(version) => Err(too_old(&version)),
        None => Err(format!("{} -v says no version; is it SRS? (ingest.srs.binary)", program.display())),
    }
}

/// Whether the box can use an SRS of this version.
pub(crate) fn usable(version: &str) -> bool {
    version.split('.').next().and_then(|major| major.parse::<u64>().ok()).is_some_and(|major| major >= OLDEST)
}

/// What is said of an SRS that is not [`usable`].
pub(crate) fn too_old(version: &str) -> String {
    format!("SRS {version} is too old; install SRS {OLDEST}.0 or newer")
}

/// The last reason among the lines that SRS wrote, without time and level.
pub(super) fn why(lines: &str) -> Option<String> {
    let reason = |line: &&str| line.contains("code=") || line.contains("][ERROR]");
    let line = lines.lines().rev().find(reason).or_else(|| lines.lines().rfind(|line| !line.trim().is_empty()))?;
    let text = line.split_once("] ").map_or(line, |(_, text)| text);
    Some(text.replace("\u{1b}[0m", "").trim().to_owned())
}

/// The word `7.0.18`, or the one in `SRS/7.0.18(Hang)`.
fn version_in(word: &str) -> Option<String> {
    let start = word.find(|c: char| c.is_ascii_digit())?;
    let digits: String = word.get(start..)?.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
    let version = digits.trim_end_matches('.');
    (version.split('.').count() >= 2 && version.split('.').all(|part| part.parse::<u32>().is_ok()))
        .then(|| version.to_owned())
}

pub(super) struct Said {
    pub(super) good: bool,
    pub(super) text: String,
}

/// Runs it to its end, bounded in time and in what it says.
pub(super) fn run(command: &mut Command) -> Result<Said, String> {
    let shown = command.get_program().display().to_string();
    let failed = |error: &dyn std::fmt::Display| format!("{shown} cannot be run: {error}");
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| failed(&error))?;
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let out = thread::spawn(move || read(out));
    let err = thread::spawn(move || read(err));
    let until = Instant::now() + ANSWER_WITHIN;
    let status = loop {
        match child.try_wait().map_err(|error| failed(&error))? {
            Some(status) => break status,
            None if Instant::now() < until => thread::sleep(Duration::from_millis(2)),
            None => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("{shown} does not answer; is it SRS? (ingest.srs.binary)"));
            }
        }
    };
    let text = out.join().unwrap_or_default() + &err.join().unwrap_or_default();
    Ok(Said { good: status.success(), text })
}

fn read(from: Option<impl Read>) -> String {
    let mut bytes = Vec::new();
    if let Some(from) = from {
        let _ = from.take(LONGEST_ANSWER).read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use tempfile::TempDir;

    use super::*;
    use crate::config::Sources;

    fn config() -> SrsConfig {
        let sources = Sources { file: None, fallback: "/nowhere".into(), environment: Vec::new() };
        let mut config = sources.load().unwrap().config.ingest.srs;
        config.config = Path::new(env!("CARGO_MANIFEST_DIR")).join("srs.conf");
        config
    }

    fn stand_in(folder: &TempDir, text: &str) -> SrsConfig {
        let path = folder.path().join("stand-in-srs");
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        SrsConfig { binary: path, ..config() }
    }

    #[test]
    fn version_is_found_wherever_it_is_said() {
        let folder = TempDir::new().unwrap();
        assert_eq!(find(&stand_in(&folder, "echo 7.0.18 >&2")).unwrap().version, "7.0.18");
        assert_eq!(find(&stand_in(&folder, "echo 'SRS/6.0.157(Hang), MIT'")).unwrap().version, "6.0.157");
    }

    #[test]
    fn old_foreign_and_missing_programs_are_refused_in_words() {
        let folder = TempDir::new().unwrap();
        let refused = |config: &SrsConfig| find(config).unwrap_err();
        assert!(refused(&stand_in(&folder, "echo 5.0.213")).contains("6.0 or newer"));
        assert!(refused(&stand_in(&folder, "echo hello")).contains("is it SRS?"));
        let missing = refused(&SrsConfig { binary: "no-such-srs".into(), ..config() });
        assert!(missing.contains("no-such-srs in PATH") && missing.contains("ingest.srs.binary"), "{missing}");
        let bare = SrsConfig { config: "/no/srs.conf".into(), ..stand_in(&folder, "echo 7.0.18") };
        assert!(refused(&bare).contains("ingest.srs.config"));
    }

    #[test]
    fn reason_is_the_last_one_without_time_and_level() {
        let said = "[2026][INFO][1][a] config parse complete\n\
                    [2026][INFO][1][a] invalid configcode=1023(ConfigInvalid) : illegal vhost.bogus in bad.conf\n\
                    [2026][INFO][1][a] config file bad.conf test is failed\n";
        assert_eq!(why(said).unwrap(), "invalid configcode=1023(ConfigInvalid) : illegal vhost.bogus in bad.conf");
        assert_eq!(why("not found\n").unwrap(), "not found");
        assert_eq!(why(""), None);
    }
}
