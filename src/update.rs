//! Updates of a box that keeps two systems, and what else only the machine itself can do: a restart, and the way back to the factory.
//!
//! RAUC does the work, asked by its command line: it judges signatures, writes the system that does not run, and tells the boot loader.
//! What is put before it is looked at here first, so that whoever chose a wrong file is told in words what is wrong with it. One update at
//! a time.

use std::{
    fs::{self, File},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use backon::{ConstantBuilder, Retryable as _};
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader},
    process::Command,
    sync::mpsc,
    task::spawn_blocking,
    time::timeout,
};
use utoipa::ToSchema;

use crate::config::Config;

#[cfg(test)]
mod tests;

/// The largest update that is taken, in bytes; one is below 150 MB.
pub const LARGEST: u64 = 512 << 20;

/// How long an upload may take.
pub const UPLOAD_TIME: Duration = Duration::from_mins(15);

/// The file in the data folder that an upload becomes.
const FILE_NAME: &str = "update.raucb";
/// How every update begins: squashfs.
const MAGIC: &[u8; 4] = b"hsqs";
/// What every update's name ends in.
const ENDING: &str = ".raucb";
/// The file that asks the machine to clear the data partition at its next start.
const RESET: &str = "factory-reset";
/// Where the image's start says what became of the data partition.
pub const DATA_STATE: &str = "/run/motherstream-data";
/// Where the image's start says whether the version that runs is on trial: `yes`, `no`, or nothing when it does not know.
const TRIAL: &str = "/run/motherstream-trial";
/// Ending of the file beside the stick's folder in which the machine says what became of the stick's settings.
const SAID: &str = "said";
/// The file that asks the machine for a restart.
const RESTART: &str = "reboot";
/// A restart that was asked for happens within this, or not at all.
const RESTARTING: Duration = Duration::from_mins(2);
/// What an upload leaves free on the data partition, in bytes: the queue has to go on.
const ROOM: u64 = 64 << 20;
/// Files on a stick that are offered.
const MOST_OFFERED: usize = 20;
/// How long RAUC may take to say something, and to install: a slow card takes minutes.
const SAYING: Duration = Duration::from_secs(30);
const INSTALLING: Duration = Duration::from_mins(20);
/// How often RAUC is asked again to mark a version good, and the pause before.
const MARKINGS_MORE: usize = 3;
const MARKING_PAUSE: Duration = Duration::from_secs(10);
/// Lines that are read of what it says while it installs.
const MOST_LINES: usize = 10_000;

/// Why an update, a restart or a reset does not happen.
#[derive(Debug, Error)]
pub enum UpdateError {
    /// This machine has nothing of the kind.
    #[error("this box does not run from an image that {0}; look after the machine as you do otherwise")]
    NoImage(&'static str),
    /// Another one is under way.
    #[error("an update is under way already; wait until it is done")]
    Busy,
    /// Cut off, or something else.
    #[error(
        "this is not a whole update (a file ending in .raucb): it was cut off on its way, or is another file. Download it again"
    )]
    Damaged,
    /// Signed by somebody else, or changed afterwards.
    #[error(
        "this update is not signed by those who made this box's system, or was changed afterwards: {0}. Nothing was changed here"
    )]
    Signature(String),
    /// For another machine.
    #[error("this update is for another board: it is made for {found}, and this is {own}. Nothing was changed here")]
    OtherBoard {
        /// What it is made for.
        found: String,
        /// The board that this box is.
        own: String,
    },
    /// The data partition is too full.
    #[error("there is no room for the update on the data partition; put it on a USB stick instead")]
    NoRoom,
    /// Larger than any update.
    #[error("an update is 512 MB at most; this is another file")]
    TooLarge,
    /// It did not arrive whole.
    #[error("the update did not arrive whole")]
    CutOff,
    /// It did not arrive in time.
    #[error("the update took more than 15 minutes to arrive; put it on a USB stick instead")]
    TooSlow,
    /// No such file on the stick.
    #[error("there is no such update on the USB stick; plug the stick in again")]
    NotOffered,
    /// Something cannot be written or started.
    #[error("{what}: {error}")]
    Io {
        /// What could not be done.
        what: &'static str,
        /// What the system said.
        error: io::Error,
    },
    /// RAUC failed for another reason.
    #[error("the update could not be installed, and this version stays: {0}")]
    Failed(String),
    /// RAUC cannot be asked.
    #[error("the system's updater: {0}")]
    Rauc(String),
}

fn io(what: &'static str) -> impl Fn(io::Error) -> UpdateError {
    move |error| UpdateError::Io { what, error }
}

/// What happens with an update.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
#[serde(tag = "stage", rename_all = "snake_case")]
pub enum Progress {
    /// Nothing.
    #[default]
    Nothing,
    /// It is on its way here.
    Receiving {
        /// Bytes so far.
        bytes: u64,
    },
    /// It is written beside the version that runs.
    Installing {
        /// Of a hundred.
        percent: u8,
    },
    /// It runs from the next start of the box on.
    Installed {
        /// Its version.
        version: String,
    },
    /// It was refused or went wrong; the version that runs stays.
    Failed {
        /// Why, and what to do.
        reason: String,
    },
}

/// One of the two systems.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Slot {
    /// RAUC's name for it.
    pub name: String,
    /// Whether the box runs from it.
    pub booted: bool,
    /// Whether it has proven itself.
    pub good: bool,
    /// The version that was installed there; none for the one the card was written with.
    pub version: Option<String>,
}

/// The two systems.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Slots {
    /// What updates have to be made for.
    pub board: String,
    /// Each of them.
    pub slots: Vec<Slot>,
}

/// The handle. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Updates {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// None where there are no two systems.
    rauc: Option<PathBuf>,
    data_dir: PathBuf,
    boot_dir: Option<PathBuf>,
    /// Where a USB stick is mounted.
    stick: PathBuf,
    /// The folder in which the machine is asked for something.
    requests: Option<PathBuf>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    progress: Progress,
    busy: bool,
    /// When the machine was asked to start again.
    restart: Option<Instant>,
    /// It was asked to forget everything before.
    reset: bool,
}

impl Updates {
    /// As configured; `requests` is the folder that the machine looks into (systemd's `RUNTIME_DIRECTORY`).
    pub fn new(config: &Config, requests: Option<PathBuf>) -> Self {
        let rauc = config.machine.updates.then(|| PathBuf::from("rauc"));
        Self::with(rauc, config, PathBuf::from("/run/motherstream-usb"), requests)
    }

    /// With another RAUC and another stick.
    pub(crate) fn with(rauc: Option<PathBuf>, config: &Config, stick: PathBuf, requests: Option<PathBuf>) -> Self {
        let (data_dir, boot_dir) = (config.data_dir.clone(), config.machine.boot_dir.clone());
        let state = Mutex::default();
        Self { inner: Arc::new(Inner { rauc, data_dir, boot_dir, stick, requests, state }) }
    }

    /// Whether this box keeps two systems.
    pub fn are_possible(&self) -> bool {
        self.inner.rauc.is_some()
    }

    /// Whether the machine can be asked for a restart.
    pub fn can_restart(&self) -> bool {
        self.inner.requests.is_some() && self.inner.boot_dir.is_some()
    }

    /// Whether the box knows a way back to the factory.
    pub fn can_reset(&self) -> bool {
        self.inner.boot_dir.is_some()
    }

    /// That the data partition could not be used, if a memory disk stands in for it.
    pub fn memory_disk(&self) -> Option<String> {
        self.inner.boot_dir.as_ref()?;
        let told = fs::read_to_string(DATA_STATE).ok()?;
        let why = told.trim().strip_prefix("temporary: ")?;
        Some(format!("{why}: everything is kept in memory only, and forgotten at the next start."))
    }

    /// Whether the version that runs has proven itself at an earlier start. Not known is no.
    pub fn is_established(&self) -> bool {
        self.are_possible() && fs::read_to_string(TRIAL).is_ok_and(|told| told.trim() == "no")
    }

    /// What became of the settings on a USB stick, if one with settings was plugged in since the machine's start.
    pub fn stick_settings(&self) -> Option<String> {
        let said = fs::read(self.inner.stick.with_extension(SAID)).ok()?;
        Some(String::from_utf8_lossy(&said).trim().to_owned()).filter(|said| !said.is_empty())
    }

    /// What happens with an update now.
    pub fn progress(&self) -> Progress {
        self.state().progress.clone()
    }

    /// The two systems.
    ///
    /// # Errors
    /// When there are none, or RAUC does not tell.
    pub async fn slots(&self) -> Result<Slots, UpdateError> {
        let told = self.ask(&["status", "--detailed", "--output-format=json"]).await?;
        parse_slots(&told).ok_or_else(|| UpdateError::Rauc("RAUC tells nothing of the two systems".to_owned()))
    }

    /// Updates on a USB stick, by file name. Blocks for as long as the stick takes.
    pub fn offered(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.inner.stick).into_iter().flatten().take(1000).flatten();
        let mut names: Vec<String> = entries
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()))
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter(|name| name.ends_with(ENDING) && !name.starts_with('.'))
            .collect();
        names.sort_unstable();
        names.truncate(MOST_OFFERED);
        names
    }

    /// Begins an update: nobody else can until the answer is dropped.
    ///
    /// # Errors
    /// Where there are no two systems, or another update is under way.
    pub fn begin(&self) -> Result<Update, UpdateError> {
        let rauc = self.inner.rauc.clone().ok_or(UpdateError::NoImage("keeps two systems"))?;
        let mut state = self.state();
        if state.busy {
            return Err(UpdateError::Busy);
        }
        (state.progress, state.busy) = (Progress::Receiving { bytes: 0 }, true);
        drop(state);
        Ok(Update { updates: self.clone(), rauc, received: None })
    }

    /// Asks the machine to start again.
    ///
    /// # Errors
    /// Where it cannot be asked.
    pub fn restart(&self) -> Result<(), UpdateError> {
        let folder = self.inner.requests.as_deref().filter(|_| self.can_restart());
        let folder = folder.ok_or(UpdateError::NoImage("can start the machine again"))?;
        File::create(folder.join(RESTART)).map_err(io("the machine could not be asked for a restart"))?;
        self.state().restart = Some(Instant::now());
        Ok(())
    }

    /// Whether the machine was asked to start again a moment ago, and will know afterwards what it knows now.
    pub fn comes_back(&self) -> bool {
        let state = self.state();
        !state.reset && state.restart.is_some_and(|asked| asked.elapsed() < RESTARTING)
    }

    /// Asks the machine to clear everything at its next start: accounts, queue, settings, keys. It lays a flag on the boot partition, which
    /// this program may not write.
    ///
    /// # Errors
    /// Where it cannot be asked.
    pub fn reset(&self) -> Result<(), UpdateError> {
        let folder = self.inner.requests.as_deref().filter(|_| self.can_reset());
        let folder = folder.ok_or(UpdateError::NoImage("can be reset"))?;
        File::create(folder.join(RESET)).map_err(io("the machine could not be asked for a reset"))?;
        self.state().reset = true;
        Ok(())
    }

    /// Tells RAUC that the version that runs works, so that the boot loader stays with it. Asked some times: a machine that is busy
    /// starting does not answer in time.
    ///
    /// # Errors
    /// Where there are no two systems, or RAUC did not do it in all that time.
    pub async fn mark_good(&self) -> Result<(), UpdateError> {
        let rauc = self.inner.rauc.as_deref().ok_or(UpdateError::NoImage("keeps two systems"))?;
        let mark = async || match ask(rauc, &["status", "mark-good"]).await? {
            (true, ..) => Ok(()),
            (false, _, trouble) => Err(UpdateError::Rauc(short(trouble.trim()))),
        };
        let tries = ConstantBuilder::default().with_delay(MARKING_PAUSE).with_max_times(MARKINGS_MORE);
        mark.retry(tries).notify(|error, _| tracing::warn!(%error, "this version could not be marked good yet")).await
    }

    async fn ask(&self, arguments: &[&str]) -> Result<String, UpdateError> {
        let rauc = self.inner.rauc.as_deref().ok_or(UpdateError::NoImage("keeps two systems"))?;
        let (succeeded, said, trouble) = ask(rauc, arguments).await?;
        if succeeded { Ok(said) } else { Err(judged(&trouble)) }
    }

    fn set(&self, progress: Progress) {
        self.state().progress = progress;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An update under way. Dropped in the middle it has failed.
#[derive(Debug)]
pub struct Update {
    updates: Updates,
    rauc: PathBuf,
    /// The upload, which is not needed afterwards.
    received: Option<PathBuf>,
}

impl Drop for Update {
    fn drop(&mut self) {
        if let Some(path) = self.received.take() {
            // What is left behind is removed by the next one.
            let _gone = fs::remove_file(path);
        }
        let mut state = self.updates.state();
        if matches!(state.progress, Progress::Receiving { .. } | Progress::Installing { .. }) {
            state.progress = Progress::Failed { reason: UpdateError::CutOff.to_string() };
        }
        state.busy = false;
    }
}

impl Update {
    /// Ends it with the reason.
    pub fn fail(self, reason: String) {
        self.updates.set(Progress::Failed { reason });
    }

    /// Writes an upload to the data partition, as it comes, and leaves room there. What does not begin as an update does is not written.
    ///
    /// # Errors
    /// When it is another file, too large, does not arrive whole, or cannot be written.
    pub async fn receive<E: std::fmt::Debug>(
        &mut self,
        mut upload: impl Stream<Item = Result<Bytes, E>> + Unpin,
    ) -> Result<(), UpdateError> {
        let folder = &self.updates.inner.data_dir;
        let path = folder.join(FILE_NAME);
        // A file that a power cut left: its room counts. RAUC may still read one that a crash left; then it keeps what it has open.
        if fs::symlink_metadata(&path).is_ok_and(|left| left.is_file()) {
            fs::remove_file(&path).map_err(io("an older update cannot be removed"))?;
        }
        let free = rustix::fs::statvfs(folder.as_path()).map_or(0, |disk| disk.f_bavail.saturating_mul(disk.f_frsize));
        self.received = Some(path.clone());
        let (chunks, mut to_write) = mpsc::channel::<Bytes>(8);
        let writer = spawn_blocking(move || {
            let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
            while let Some(chunk) = to_write.blocking_recv() {
                file.write_all(&chunk)?;
            }
            file.sync_all()
        });
        let mut bytes = 0u64;
        let mut first = Vec::with_capacity(MAGIC.len());
        let mut refused = None;
        while let Some(chunk) = upload.next().await {
            let Ok(chunk) = chunk else {
                refused = Some(UpdateError::CutOff);
                break;
            };
            bytes = bytes.saturating_add(chunk.len() as u64);
            first.extend(chunk.iter().take(MAGIC.len() - first.len()));
            if let Err(error) = may_go_on(&first, bytes, free) {
                refused = Some(error);
                break;
            }
            self.updates.set(Progress::Receiving { bytes });
            if chunks.send(chunk).await.is_err() {
                break;
            }
        }
        drop(chunks);
        let written = writer.await.unwrap_or_else(|_| Err(io::ErrorKind::Other.into()));
        match refused {
            Some(error) => Err(error),
            None => written.map_err(|error| match error.kind() {
                io::ErrorKind::StorageFull => UpdateError::NoRoom,
                _ => UpdateError::Io { what: "the update could not be written", error },
            }),
        }
    }

    /// Looks at the upload, or at a file of the stick, before anything is changed.
    ///
    /// # Errors
    /// What is wrong with it.
    pub async fn check(&self, stick: Option<&str>) -> Result<Checked, UpdateError> {
        let path = match (stick, &self.received) {
            (Some(name), _) => {
                let (updates, name) = (self.updates.clone(), name.to_owned());
                let found =
                    spawn_blocking(move || updates.offered().contains(&name).then(|| updates.inner.stick.join(name)));
                found.await.ok().flatten().ok_or(UpdateError::NotOffered)?
            }
            (None, Some(path)) => path.clone(),
            (None, None) => return Err(UpdateError::NotOffered),
        };
        let looked = path.clone();
        let whole = spawn_blocking(move || is_whole(&looked)).await;
        if !matches!(whole, Ok(Ok(true))) {
            return Err(UpdateError::Damaged);
        }
        let file = path.to_str().ok_or(UpdateError::NotOffered)?;
        let told = self.updates.ask(&["info", "--output-format=json", file]).await?;
        let told: Info = serde_json::from_str(&told).map_err(|_| UpdateError::Damaged)?;
        let own = self.updates.slots().await?.board;
        if told.compatible != own {
            return Err(UpdateError::OtherBoard { found: told.compatible, own });
        }
        Ok(Checked { path, version: told.version.unwrap_or_else(|| "without a number".to_owned()) })
    }

    /// Installs what was looked at. Takes minutes; how it goes is told by [`Updates::progress`].
    pub async fn install(self, checked: Checked) {
        tracing::info!(version = checked.version, "update begins");
        self.updates.set(Progress::Installing { percent: 0 });
        let done = match timeout(INSTALLING, self.run(&checked.path)).await {
            Ok(done) => done,
            Err(_) => Err(UpdateError::Failed("it took longer than 20 minutes".to_owned())),
        };
        match done {
            Ok(()) => {
                tracing::info!(version = checked.version, "update installed; it runs from the next start on");
                self.updates.set(Progress::Installed { version: checked.version });
            }
            Err(error) => {
                tracing::error!(%error, "update not installed");
                self.fail(error.to_string());
            }
        }
    }

    async fn run(&self, path: &Path) -> Result<(), UpdateError> {
        let start = io("rauc cannot be started");
        let mut command = Command::new(&self.rauc);
        command.arg("install").arg(path).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.kill_on_drop(true).spawn().map_err(&start)?;
        let (out, err) = (child.stdout.take(), child.stderr.take());
        let trouble = async {
            let mut text = Vec::new();
            if let Some(err) = err {
                // What was said until it broke off is all there is.
                let _read = err.take(64 << 10).read_to_end(&mut text).await;
            }
            String::from_utf8_lossy(&text).into_owned()
        };
        let lines = async {
            let mut said = String::new();
            let Some(out) = out else { return said };
            let mut lines = BufReader::new(out.take(1 << 20)).lines();
            for _ in 0..MOST_LINES {
                let Ok(Some(line)) = lines.next_line().await else { break };
                match percent(&line) {
                    Some(percent) => self.updates.set(Progress::Installing { percent }),
                    None => said = format!("{said}{line}\n"),
                }
            }
            said
        };
        let (said, trouble) = tokio::join!(lines, trouble);
        let status = child.wait().await.map_err(&start)?;
        if status.success() { Ok(()) } else { Err(judged(&format!("{said}{trouble}"))) }
    }
}

/// An update that was looked at.
#[derive(Clone, Debug)]
pub struct Checked {
    path: PathBuf,
    /// The version in it, or `without a number`.
    pub version: String,
}

#[derive(Deserialize)]
struct Info {
    compatible: String,
    version: Option<String>,
}

async fn ask(rauc: &Path, arguments: &[&str]) -> Result<(bool, String, String), UpdateError> {
    let mut command = Command::new(rauc);
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    let output = match timeout(SAYING, command.output()).await {
        Ok(output) => output.map_err(io("rauc cannot be started"))?,
        Err(_) => return Err(UpdateError::Rauc("RAUC does not answer".to_owned())),
    };
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ok((output.status.success(), text(output.stdout), text(output.stderr)))
}

/// What RAUC complains of, as far as people have to tell it apart.
fn judged(said: &str) -> UpdateError {
    let line = |with: &str| said.lines().find(|line| line.contains(with)).map(|line| line.trim().to_owned());
    if let Some(line) = line("Compatible mismatch") {
        let mut quoted = line.split('\'').skip(1).step_by(2).map(str::to_owned);
        let own = quoted.next().unwrap_or_default();
        return UpdateError::OtherBoard { found: quoted.next().unwrap_or_default(), own };
    }
    if let Some(line) = line("signature verification failed") {
        return UpdateError::Signature(short(line.rsplit(": ").next().unwrap_or_default()));
    }
    if line("Invalid bundle format").is_some() || line("Signature size").is_some() {
        return UpdateError::Damaged;
    }
    let told = line("LastError: ").or_else(|| said.lines().rfind(|line| !line.trim().is_empty()).map(str::to_owned));
    UpdateError::Failed(short(told.as_deref().unwrap_or("RAUC says nothing of why")))
}

fn short(text: &str) -> String {
    text.chars().take(300).collect()
}

/// `" 40% Determining slot states done."`
fn percent(line: &str) -> Option<u8> {
    let (number, _) = line.trim_start().split_once('%')?;
    number.parse().ok().filter(|percent| *percent <= 100)
}

/// Whether more of an upload is wanted, by its first bytes, its size so far, and the room there was when it began, in bytes.
fn may_go_on(first: &[u8], bytes: u64, free: u64) -> Result<(), UpdateError> {
    if !MAGIC.starts_with(first) {
        Err(UpdateError::Damaged)
    } else if bytes > LARGEST {
        Err(UpdateError::TooLarge)
    } else if bytes.saturating_add(ROOM) > free {
        Err(UpdateError::NoRoom)
    } else {
        Ok(())
    }
}

/// Whether a file begins as an update does, and ends with the signature that is always the last of it.
fn is_whole(path: &Path) -> io::Result<bool> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut magic = [0; 4];
    file.read_exact(&mut magic)?;
    let mut size = [0; 8];
    file.seek(SeekFrom::End(-8))?;
    file.read_exact(&mut size)?;
    let size = u64::from_be_bytes(size);
    if &magic != MAGIC || !(16..=64 << 10).contains(&size) || size + 12 > length {
        return Ok(false);
    }
    let mut first = [0; 1];
    file.seek(SeekFrom::Start(length - 8 - size))?;
    file.read_exact(&mut first)?;
    // A sequence, as every signature in DER is.
    Ok(first == [0x30])
}

fn parse_slots(told: &str) -> Option<Slots> {
    let told: serde_json::Value = serde_json::from_str(told).ok()?;
    let text = |value: &serde_json::Value, pointer: &str| value.pointer(pointer)?.as_str().map(str::to_owned);
    let mut slots = Vec::new();
    for slot in told.get("slots")?.as_array()? {
        for (name, slot) in slot.as_object()? {
            if slot.get("bootname").is_none_or(serde_json::Value::is_null) {
                continue;
            }
            slots.push(Slot {
                name: name.clone(),
                booted: text(slot, "/state").is_some_and(|state| state == "booted"),
                good: text(slot, "/boot_status").is_some_and(|status| status == "good"),
                version: text(slot, "/slot_status/bundle/version"),
            });
        }
    }
    slots.sort_by(|one, other| one.name.cmp(&other.name));
    Some(Slots { board: text(&told, "/compatible")?, slots })
}
