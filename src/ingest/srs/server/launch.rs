//! What SRS is started with: program, configuration, environment, and the limits under which it runs.

use std::{
    fmt::Write as _,
    fs::{self, File, OpenOptions},
    io,
    net::SocketAddr,
    os::unix::{
        fs::{MetadataExt, OpenOptionsExt},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use data_encoding::HEXLOWER;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use crate::{
    config::IngestConfig,
    files::{self, Readers},
    ingest::srs::install::{self, Installed},
};

/// In the folder: which process it is, as SRS writes it.
pub(super) const PID_FILE: &str = "srs.pid";
/// In the folder: what SRS says.
pub(super) const LOG_FILE: &str = "srs.log";
/// In the folder: the environment for a unit that starts it.
pub(super) const ENVIRONMENT_FILE: &str = "environment";

/// Begins the name by which an SRS that we started calls itself in its API; the fingerprint follows.
const NAME: &str = "motherstream-";

/// The variable that holds this name.
pub(super) const NAME_VARIABLE: &str = "SRS_SERVER_ID";
/// The variable that holds the pid file's path: by it a process is known as this box's own.
pub(super) const PID_VARIABLE: &str = "SRS_PID";

/// Without these the new supervisor and the old SRS do not find each other; the rest may wait until nobody publishes.
const ESSENTIAL: [&str; 7] = [
    "SRS_LISTEN",
    "SRS_HTTP_API_LISTEN",
    "SRS_HTTP_SERVER_LISTEN",
    "SRS_SRT_SERVER_LISTEN",
    "SRS_RTC_SERVER_LISTEN",
    "SRS_VHOST_HTTP_HOOKS_ON_PUBLISH",
    "SRS_VHOST_HTTP_HOOKS_ON_UNPUBLISH",
];

/// Connections besides two for each publisher: pulls, calls of the API, pages that look.
const OTHER_CONNECTIONS: usize = 448;

/// Files that SRS wants to be able to open besides one for each connection; it refuses to start otherwise.
const OTHER_FILES: usize = 256;

/// The longest log while nobody is there to shorten it, in blocks of 512 bytes: 16 MiB. SRS loses what it writes beyond.
const LOG_BLOCKS: u32 = 32_768;

/// What it keeps of our own environment.
const INHERITED: [&str; 2] = ["LD_LIBRARY_PATH", "TZ"];

/// Names and values, sorted by name.
pub(crate) type Environment = Vec<(String, String)>;

/// Everything that SRS is started with.
#[derive(Clone)]
pub(super) struct Launch {
    pub(super) program: PathBuf,
    pub(super) config: PathBuf,
    /// Holds the hooks' secret.
    pub(super) environment: Environment,
    /// By this SRS calls itself in its API.
    pub(super) name: String,
    folder: PathBuf,
    files: usize,
}

impl Launch {
    /// Looks for the program and the configuration file. Blocks on the disk for a moment.
    ///
    /// # Errors
    /// What is missing, in words for an admin.
    pub(super) fn prepare(config: &IngestConfig, folder: &Path, hooks_url: &SecretString) -> Result<Self, String> {
        fs::create_dir_all(folder).map_err(|error| format!("{} cannot be made: {error}", folder.display()))?;
        let (program, file) = (install::program(&config.srs)?, install::configuration(&config.srs)?);
        let mut environment = environment(config, folder, hooks_url)?;
        let name = name(&program, &file, &environment)?;
        environment.push((NAME_VARIABLE.to_owned(), name.clone()));
        environment.sort();
        let files = connections(config) + OTHER_FILES;
        Ok(Self { program, config: file, environment, name, folder: folder.to_owned(), files })
    }

    /// Whether the program is one that can be used. Runs it for a moment.
    ///
    /// # Errors
    /// In words for an admin.
    pub(super) fn look(&self) -> Result<Installed, String> {
        let version = install::version(&self.program)?;
        Ok(Installed { program: self.program.clone(), version, config: self.config.clone() })
    }

    /// Whether what an SRS was started with differs in what it needs to work with us.
    pub(super) fn estranged(&self, from: &Environment) -> bool {
        let value = |of: &Environment, name: &str| of.iter().find(|(n, _)| n == name).map(|(_, value)| value.clone());
        ESSENTIAL.iter().any(|name| value(&self.environment, name) != value(from, name))
    }

    /// Starts SRS so that it outlives us: in a session of its own, without our pipes, its output in its log file. It cannot fill the
    /// disk with it, and leaves no core, which would hold keys. The secret is in its environment, never in its arguments.
    ///
    /// # Errors
    /// When the system refuses.
    pub(super) fn spawn(&self) -> io::Result<Child> {
        let log = self.log_file()?;
        // The shell sets what only a process itself can set, then becomes SRS. Writing beyond the limit is to fail, not to kill.
        let script = format!(
            "ulimit -c 0; ulimit -f {LOG_BLOCKS}; ulimit -S -n {} 2>/dev/null; trap '' XFSZ; exec \"$@\"",
            self.files
        );
        let own_session = Path::new("/usr/bin/setsid").exists() || Path::new("/bin/setsid").exists();
        let mut command = if own_session {
            let mut command = Command::new("setsid");
            command.arg("sh");
            command
        } else {
            let mut command = Command::new("sh");
            // Not reached by what the terminal sends to our group.
            command.process_group(0);
            command
        };
        command
            .args(["-c", &script, "sh"])
            .arg(&self.program)
            .arg("-c")
            .arg(&self.config)
            .current_dir(&self.folder)
            .env_clear()
            // What a program may need to be loaded, and to write the right time.
            .envs(INHERITED.iter().filter_map(|name| Some((name, std::env::var_os(name)?))))
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
    }

    fn log_file(&self) -> io::Result<File> {
        OpenOptions::new().append(true).create(true).mode(0o600).open(self.folder.join(LOG_FILE))
    }

    /// Writes the environment for a unit, whole or not at all, readable to us (and root) alone. Answers what stood there before.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(super) fn write_environment(&self) -> io::Result<Option<Environment>> {
        let path = self.folder.join(ENVIRONMENT_FILE);
        let text = written(&self.environment);
        let before = fs::read_to_string(&path).ok();
        if before.as_deref() != Some(&text) {
            files::replace(&path, text.as_bytes(), Readers::Owner)?;
        }
        Ok(before.map(|text| read(&text)))
    }
}

fn connections(config: &IngestConfig) -> usize {
    2 * config.max_publishers + OTHER_CONNECTIONS
}

/// What SRS reads in place of `srs.conf`'s values.
fn environment(config: &IngestConfig, folder: &Path, hooks_url: &SecretString) -> Result<Environment, String> {
    let srs = &config.srs;
    let folder = std::path::absolute(folder).map_err(|error| error.to_string())?;
    let listens = [
        ("SRS_LISTEN", "ingest.rtmp_listen", config.rtmp_listen),
        ("SRS_HTTP_API_LISTEN", "ingest.srs.api_listen", srs.api_listen),
        ("SRS_HTTP_SERVER_LISTEN", "ingest.srs.http_listen", srs.http_listen),
        ("SRS_SRT_SERVER_LISTEN", "ingest.srs.srt_listen", srs.srt_listen),
        ("SRS_RTC_SERVER_LISTEN", "ingest.srs.rtc_listen", srs.rtc_listen),
    ];
    let mut variables = Vec::new();
    for (variable, key, address) in listens {
        if address.port() == 0 {
            return Err(format!("SRS needs a port of its own to listen on; set {key}"));
        }
        variables.push((variable, listen(variable, address)));
    }
    let seconds = config.silence_seconds;
    let milliseconds = seconds.saturating_mul(1000).min(i32::MAX.unsigned_abs().into());
    let hooks = hooks_url.expose_secret();
    variables.extend([
        ("SRS_MAX_CONNECTIONS", connections(config).to_string()),
        (PID_VARIABLE, folder.join(PID_FILE).display().to_string()),
        ("SRS_LOG_TANK", "file".to_owned()),
        ("SRS_LOG_FILE", folder.join(LOG_FILE).display().to_string()),
        ("SRS_VHOST_HTTP_HOOKS_ENABLED", "on".to_owned()),
        ("SRS_VHOST_HTTP_HOOKS_ON_PUBLISH", hooks.to_owned()),
        ("SRS_VHOST_HTTP_HOOKS_ON_UNPUBLISH", hooks.to_owned()),
        ("SRS_VHOST_PUBLISH_FIRSTPKT_TIMEOUT", milliseconds.to_string()),
        ("SRS_VHOST_PUBLISH_NORMAL_TIMEOUT", milliseconds.to_string()),
        ("SRS_SRT_SERVER_PEER_IDLE_TIMEOUT", milliseconds.to_string()),
        ("SRS_SRT_SERVER_DEFAULT_APP", config.app.clone()),
        ("SRS_VHOST_RTC_STUN_TIMEOUT", seconds.to_string()),
    ]);
    let mut environment: Environment = variables.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    environment.sort();
    Ok(environment)
}

/// SRT and WebRTC take a port alone.
fn listen(variable: &str, address: SocketAddr) -> String {
    match variable {
        "SRS_SRT_SERVER_LISTEN" | "SRS_RTC_SERVER_LISTEN" => address.port().to_string(),
        _ => address.to_string(),
    }
}

/// Lets SRS check its configuration with the environment that it would have, without starting anything. `folder` is where it would run.
///
/// # Errors
/// What it refuses, in its words.
pub(crate) fn check(installed: &Installed, config: &IngestConfig, folder: &Path) -> Result<(), String> {
    let environment = rehearsal(config, folder)?;
    let mut command = Command::new(&installed.program);
    command.arg("-t").arg("-c").arg(&installed.config).env_clear().envs(environment);
    let said = install::run(&mut command)?;
    if said.good { Ok(()) } else { Err(install::why(&said.text).unwrap_or_else(|| "SRS does not say why".to_owned())) }
}

/// The environment as it would be, with hooks that nobody answers, and with nothing said into a file: for trying the configuration.
///
/// # Errors
/// In words for an admin.
fn rehearsal(config: &IngestConfig, folder: &Path) -> Result<Environment, String> {
    let mut environment = environment(config, folder, &SecretString::from("http://127.0.0.1/unset"))?;
    environment.retain(|(name, _)| name != "SRS_LOG_FILE");
    for (name, value) in &mut environment {
        if name == "SRS_LOG_TANK" {
            "console".clone_into(value);
        }
    }
    Ok(environment)
}

/// Program, configuration and environment in one word. Says nothing about the secret, which is far too long to be guessed.
fn name(program: &Path, config: &Path, environment: &Environment) -> Result<String, String> {
    let unreadable = |path: &Path, error: io::Error| format!("{} cannot be read: {error}", path.display());
    let mut digest = Sha256::new();
    let mut add = |bytes: &[u8]| {
        digest.update((bytes.len() as u64).to_le_bytes());
        digest.update(bytes);
    };
    add(program.as_os_str().as_encoded_bytes());
    // An upgrade in place is another program.
    let file = fs::metadata(program).map_err(|error| unreadable(program, error))?;
    add(&file.size().to_le_bytes());
    add(&file.mtime().to_le_bytes());
    add(&fs::read(config).map_err(|error| unreadable(config, error))?);
    for (name, value) in environment {
        add(name.as_bytes());
        add(value.as_bytes());
    }
    let digest = digest.finalize();
    Ok(format!("{NAME}{}", HEXLOWER.encode(digest.get(..8).unwrap_or(&digest))))
}

/// Whether an SRS calls itself as those that this program starts.
pub(super) fn is_name(name: &str) -> bool {
    name.starts_with(NAME)
}

/// As systemd's `EnvironmentFile` reads it.
fn written(environment: &Environment) -> String {
    let mut text = String::new();
    for (name, value) in environment {
        let value = value.replace('\\', "\\\\").replace('"', "\\\"");
        let _ = writeln!(text, "{name}=\"{value}\"");
    }
    text
}

fn read(text: &str) -> Environment {
    let value = |text: &str| text.trim_matches('"').replace("\\\"", "\"").replace("\\\\", "\\");
    text.lines().filter_map(|line| line.split_once('=')).map(|(name, text)| (name.to_owned(), value(text))).collect()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use tempfile::TempDir;

    use super::*;
    use crate::config::Sources;

    const HOOKS: &str = "http://127.0.0.1:8085/hooks/0123456789abcdef";

    fn config(folder: &TempDir) -> IngestConfig {
        let sources = Sources { file: None, fallback: "/nowhere".into(), environment: Vec::new() };
        let mut config = sources.load().unwrap().config.ingest;
        config.srs.binary = folder.path().join("srs-binary");
        config.srs.config = folder.path().join("srs.conf");
        fs::write(&config.srs.binary, "one").unwrap();
        fs::write(&config.srs.config, "two").unwrap();
        config
    }

    fn launch(config: &IngestConfig, folder: &TempDir) -> Launch {
        Launch::prepare(config, &folder.path().join("srs"), &SecretString::from(HOOKS)).unwrap()
    }

    #[test]
    fn name_changes_with_whatever_it_is_started_with() {
        let folder = TempDir::new().unwrap();
        let config = config(&folder);
        let first = launch(&config, &folder);
        assert_eq!(first.name, launch(&config, &folder).name);
        assert!(is_name(&first.name) && !first.name.contains("0123456789abcdef"));

        let quiet = IngestConfig { silence_seconds: 31, ..config.clone() };
        let other = launch(&quiet, &folder);
        assert!(other.name != first.name && !other.estranged(&first.environment));
        let moved = IngestConfig { rtmp_listen: "0.0.0.0:1936".parse().unwrap(), ..config.clone() };
        let other = launch(&moved, &folder);
        assert!(other.name != first.name && other.estranged(&first.environment));
        fs::write(&config.srs.config, "three").unwrap();
        assert_ne!(launch(&config, &folder).name, first.name);
    }

    #[test]
    fn environment_for_a_unit_is_private_whole_and_read_back() {
        let folder = TempDir::new().unwrap();
        let launch = launch(&config(&folder), &folder);
        assert_eq!(launch.write_environment().unwrap(), None);
        assert_eq!(launch.write_environment().unwrap().unwrap(), launch.environment);
        let file = folder.path().join("srs").join(ENVIRONMENT_FILE);
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        let odd = vec![("NAME".to_owned(), "with \"quotes\" and \\ and spaces".to_owned())];
        assert_eq!(read(&written(&odd)), odd);
    }

    #[test]
    fn silence_and_connections_come_from_the_configuration() {
        let folder = TempDir::new().unwrap();
        let config = IngestConfig { silence_seconds: 40, max_publishers: 10, ..config(&folder) };
        let environment = launch(&config, &folder).environment;
        let value = |name: &str| environment.iter().find(|(n, _)| n == name).unwrap().1.as_str();
        assert_eq!(value("SRS_VHOST_PUBLISH_NORMAL_TIMEOUT"), "40000");
        assert_eq!(value("SRS_VHOST_RTC_STUN_TIMEOUT"), "40");
        assert_eq!(value("SRS_MAX_CONNECTIONS"), "468");
        assert_eq!(value("SRS_SRT_SERVER_LISTEN"), "10080");
        assert_eq!(value("SRS_HTTP_API_LISTEN"), "127.0.0.1:1985");
        assert_eq!(value("SRS_VHOST_HTTP_HOOKS_ON_PUBLISH"), HOOKS);
    }
}
