//! The machine that the box runs on: how busy, how warm, how full. Measured while somebody asks, at most every 2 s, on a thread that
//! may wait.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;
use sysinfo::{Components, MINIMUM_CPU_UPDATE_INTERVAL, System};
use tokio::{sync::Mutex, task::spawn_blocking};
use utoipa::ToSchema;

use super::denied::Denied;

/// A look is good for so long.
const FRESH: Duration = Duration::from_secs(2);

/// The last look was so long ago that the time since says nothing of now.
const LONG_AGO: Duration = Duration::from_secs(15);

/// How busy, warm and full the machine is.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub(crate) struct Figures {
    /// Of all processors together, in percent, over the last seconds.
    pub(crate) cpu_percent: f64,
    /// This program's part of that. What it starts (SRS) is not in it.
    pub(crate) own_cpu_percent: f64,
    /// How many processors there are.
    pub(crate) cpus: usize,
    /// Work that runs or waits, on average over 1, 5 and 15 minutes; all processors are busy at the number of them.
    pub(crate) load: [f64; 3],
    /// Memory in bytes.
    pub(crate) memory_total_bytes: u64,
    /// Memory that programs could still have.
    pub(crate) memory_available_bytes: u64,
    /// Memory of this program.
    pub(crate) own_memory_bytes: u64,
    /// The hottest sensor in degrees Celsius; none where the board has none.
    pub(crate) temperature_celsius: Option<f64>,
    /// Where that is.
    pub(crate) temperature_sensor: Option<String>,
    /// The disk on which the data folder is.
    pub(crate) disk_total_bytes: u64,
    /// What is free there.
    pub(crate) disk_free_bytes: u64,
    /// Seconds since the machine started.
    pub(crate) machine_uptime_seconds: u64,
}

/// The latest look. Whoever asks meanwhile waits for the one that measures.
#[derive(Debug, Default)]
pub(crate) struct Measured {
    look: Mutex<Option<Look>>,
}

/// What was seen, and what the next look compares with.
#[derive(Debug)]
struct Look {
    at: Instant,
    figures: Figures,
    system: System,
    own_cpu_seconds: f64,
}

impl Measured {
    /// How busy, warm and full the machine is, 2 s ago at most. `data_dir`: whose disk is meant.
    ///
    /// # Errors
    /// When the thread that measures fails.
    pub(crate) async fn figures(&self, data_dir: &Path) -> Result<Figures, Denied> {
        let mut held = self.look.lock().await;
        if let Some(look) = held.as_ref().filter(|look| look.at.elapsed() < FRESH) {
            return Ok(look.figures.clone());
        }
        let before = held.take();
        let data_dir = data_dir.to_owned();
        let look = spawn_blocking(move || measure(before, &data_dir)).await.ok().flatten();
        let look = look.ok_or_else(|| Denied::Failed("this machine tells nothing of itself".to_owned()))?;
        let figures = look.figures.clone();
        *held = Some(look);
        Ok(figures)
    }
}

/// Measures. Takes a fifth of a second when there is nothing to compare with.
fn measure(before: Option<Look>, data_dir: &Path) -> Option<Look> {
    let (mut system, began, own_before) = if let Some(look) = before.filter(|look| look.at.elapsed() < LONG_AGO) {
        (look.system, look.at, look.own_cpu_seconds)
    } else {
        let mut system = System::new().ok()?;
        system.refresh_cpu_usage();
        let first = (system, Instant::now(), own_cpu_seconds());
        std::thread::sleep(MINIMUM_CPU_UPDATE_INTERVAL);
        first
    };
    system.refresh_cpu_usage();
    system.refresh_memory();
    let at = Instant::now();
    let own_cpu_seconds = own_cpu_seconds();
    let cpus = system.cpus().len().max(1);
    let share = (own_cpu_seconds - own_before) / at.duration_since(began).as_secs_f64().max(0.001);
    let load = System::load_average().map_or([0.0; 3], |load| [load.one, load.five, load.fifteen]);
    let (disk_total_bytes, disk_free_bytes) = disk(data_dir);
    let hottest = hottest();
    let figures = Figures {
        cpu_percent: percent(f64::from(system.global_cpu_usage())),
        own_cpu_percent: percent(share * 100.0 / cpus as f64),
        cpus,
        load: load.map(rounded),
        memory_total_bytes: system.total_memory(),
        memory_available_bytes: system.available_memory(),
        own_memory_bytes: resident_bytes().unwrap_or_default(),
        temperature_celsius: hottest.as_ref().map(|(_, celsius)| rounded(*celsius)),
        temperature_sensor: hottest.map(|(sensor, _)| sensor),
        disk_total_bytes,
        disk_free_bytes,
        machine_uptime_seconds: System::uptime().unwrap_or_default(),
    };
    Some(Look { at, figures, system, own_cpu_seconds })
}

fn own_cpu_seconds() -> f64 {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    used.tv_sec as f64 + used.tv_nsec as f64 / 1e9
}

/// Size and free bytes of the disk on which a folder is; zero when it cannot be looked at.
fn disk(folder: &Path) -> (u64, u64) {
    rustix::fs::statvfs(folder).map_or((0, 0), |disk| {
        (disk.f_blocks.saturating_mul(disk.f_frsize), disk.f_bavail.saturating_mul(disk.f_frsize))
    })
}

/// Sensors that are not wired up tell -128, 0 or 255.
fn hottest() -> Option<(String, f64)> {
    let components = Components::new_with_refreshed_list().ok()?;
    let told = components.iter().filter_map(|component| {
        let celsius = f64::from(component.temperature()?);
        (celsius > 0.0 && celsius < 150.0).then(|| (component.label().to_owned(), celsius))
    });
    told.max_by(|(_, one), (_, other)| one.total_cmp(other))
}

fn percent(value: f64) -> f64 {
    rounded(value.clamp(0.0, 100.0))
}

/// To hundredths: what is behind them is noise.
fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// `VmRSS` of `/proc/self/status` (proc(5)), which is in units of 1024 bytes.
pub(crate) fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}
