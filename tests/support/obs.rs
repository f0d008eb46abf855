//! A real OBS without a screen: Debian's in a root file system of its own (`scripts/obs-root`), with an X server that draws into
//! memory, a home of its own and a port of its own. What it does is read back over its websocket by [`Observer`].

mod observer;

use std::{
    fs,
    net::{Ipv4Addr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Instant,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::json;
use tempfile::TempDir;

pub(crate) use self::observer::Observer;
use super::{free_port, seconds, wait};

/// The password of every OBS of the tests.
pub(crate) const PASSWORD: &str = "the-password-of-this-obs";

/// The root file system with an OBS. Without it, what needs it is skipped, and says so.
pub(crate) fn real_obs() -> Option<PathBuf> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/obs-root");
    let output = Command::new(script).arg("--path").stdin(Stdio::null()).output().unwrap();
    if !output.status.success() {
        eprintln!(
            "SKIPPED, NOT TESTED: there is no OBS to test with; scripts/obs-root makes one, or says what is missing"
        );
        return None;
    }
    Some(PathBuf::from(String::from_utf8(output.stdout).unwrap().trim()))
}

/// An OBS. Ends with its owner, who is told what it said if the test has failed.
pub(crate) struct RealObs {
    root: PathBuf,
    /// What stands for the user's home: all that OBS keeps.
    home: TempDir,
    /// Shared by OBS and its X server, whose socket lies there.
    tmp: TempDir,
    screen: Child,
    display: String,
    program: Option<Child>,
    /// Of its websocket server.
    pub(crate) port: u16,
    options: Vec<String>,
}

impl RealObs {
    /// Starts one with an empty scene, a canvas of 320 x 180 and 10 pictures a second, and waits until it takes requests.
    pub(crate) fn start() -> Option<Self> {
        let mut this = Self::prepare()?;
        this.run();
        Some(this)
    }

    /// The same, but OBS does not run yet.
    pub(crate) fn prepare() -> Option<Self> {
        let root = real_obs()?;
        let (home, tmp) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        let display = tmp.path().join("display");
        let mut command = inside(&root, home.path(), tmp.path());
        command.args([
            "Xvfb",
            "-displayfd",
            "1",
            "-screen",
            "0",
            "640x480x24",
            "+extension",
            "GLX",
            "-nolisten",
            "tcp",
        ]);
        command.stdin(Stdio::null()).stderr(Stdio::null()).stdout(fs::File::create(&display).unwrap());
        let screen = command.spawn().unwrap();
        let mut this = Self {
            root,
            home,
            tmp,
            screen,
            display: String::new(),
            program: None,
            port: free_port(),
            options: Vec::new(),
        };
        this.display = wait("the X server", seconds(20), || {
            let said = fs::read_to_string(&display).unwrap();
            said.strip_suffix('\n').map(|number| format!(":{number}"))
        });
        this.write_settings();
        Some(this)
    }

    /// Where OBS keeps its settings.
    pub(crate) fn settings(&self) -> PathBuf {
        self.home.path().join(".config/obs-studio")
    }

    fn write_settings(&self) {
        let settings = self.settings();
        let websocket = json!({
            "alerts_enabled": false, "auth_required": true, "first_load": false, "server_enabled": true,
            "server_password": PASSWORD, "server_port": self.port,
        });
        let general = "[General]\nFirstRun=true\nEnableAutoUpdates=false\n\n[Basic]\nProfile=Test\nProfileDir=Test\n\
                       SceneCollection=Test\nSceneCollectionFile=Test\n\n[BasicWindow]\nPreviewEnabled=false\n";
        let profile = "[General]\nName=Test\n\n[Video]\nBaseCX=320\nBaseCY=180\nOutputCX=320\nOutputCY=180\nFPSType=0\n\
                       FPSCommon=10\n\n[Output]\nMode=Simple\n\n[SimpleOutput]\nVBitrate=300\nPreset=ultrafast\n";
        for (path, text) in [
            ("plugin_config/obs-websocket/config.json", websocket.to_string()),
            ("global.ini", general.to_owned()),
            // From OBS 31 on, what a user chose stands in a file of its own, the profile among it.
            ("user.ini", general.to_owned()),
            ("basic/profiles/Test/basic.ini", profile.to_owned()),
        ] {
            let path = settings.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
    }

    /// Streams to `url` with `key` when it is told to. Before it runs.
    pub(crate) fn stream_to(&self, url: &str, key: &str) {
        let service = json!({ "type": "rtmp_custom", "settings": { "server": url, "key": key, "use_auth": false, "bwtest": false } });
        fs::write(self.settings().join("basic/profiles/Test/service.json"), service.to_string()).unwrap();
    }

    /// Gives it arguments of the command line. Before it runs.
    pub(crate) fn options(&mut self, options: &[&str]) {
        self.options = options.iter().map(|&option| option.to_owned()).collect();
    }

    /// Starts OBS, which must not run, and waits until it takes requests.
    pub(crate) fn run(&mut self) {
        self.launch();
        self.wait_socket();
        drop(self.observe());
    }

    /// Starts OBS, which must not run.
    pub(crate) fn launch(&mut self) {
        assert!(self.program.is_none(), "OBS runs already");
        let log = fs::File::options().create(true).append(true).open(self.tmp.path().join("log")).unwrap();
        let mut command = inside(&self.root, self.home.path(), self.tmp.path());
        command.args(["--setenv", "DISPLAY", &self.display]);
        command.args(["obs", "--multi", "--minimize-to-tray", "--disable-updater", "--disable-shutdown-check"]);
        command.args(&self.options).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let program = command.spawn().unwrap();
        wait("bubblewrap to start OBS", seconds(10), || child_of(program.id()));
        self.program = Some(program);
    }

    /// Waits until something listens on its port; gives when.
    pub(crate) fn wait_socket(&mut self) -> Instant {
        wait("OBS's websocket server", seconds(30), || {
            let ended = self.program.as_mut().unwrap().try_wait().unwrap();
            assert!(ended.is_none(), "OBS ended: {ended:?}");
            TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).ok()
        });
        Instant::now()
    }

    /// A connection that looks at it, as soon as it takes requests.
    pub(crate) fn observe(&self) -> Observer {
        wait("OBS to take requests", seconds(20), || {
            let observer = Observer::connect(self.port, PASSWORD).ok()?;
            observer.try_request("GetSceneList", &json!({})).ok().map(|_| observer)
        })
    }

    /// The process of OBS itself, which bubblewrap has started.
    pub(crate) fn pid(&self) -> u32 {
        child_of(self.program.as_ref().unwrap().id()).expect("OBS runs")
    }

    /// Whether OBS runs.
    pub(crate) fn is_alive(&mut self) -> bool {
        self.program.as_mut().is_some_and(|program| program.try_wait().unwrap().is_none())
    }

    /// Kills it with SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.signal(Signal::SIGKILL);
        self.program.take().unwrap().wait().unwrap();
    }

    /// Asks it to quit, as somebody who closes its window does: it writes its settings.
    pub(crate) fn quit(&mut self) {
        self.signal(Signal::SIGINT);
        let mut program = self.program.take().unwrap();
        wait("OBS to quit", seconds(20), || program.try_wait().unwrap());
    }

    /// Freezes it, or lets it go on.
    pub(crate) fn freeze(&self, on: bool) {
        self.signal(if on { Signal::SIGSTOP } else { Signal::SIGCONT });
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid() as i32), signal).unwrap();
    }

    /// What it printed.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.tmp.path().join("log")).unwrap_or_default()
    }
}

impl Drop for RealObs {
    fn drop(&mut self) {
        for child in self.program.iter_mut().chain([&mut self.screen]) {
            // What bubblewrap has started dies with it, but only when the system comes to it; this one is sure, and SIGKILL ends a
            // frozen one too.
            if let Some(pid) = child_of(child.id()) {
                let _ = kill(Pid::from_raw(pid as i32), Signal::SIGKILL);
            }
            let _ = child.kill();
            let _ = child.wait();
        }
        if thread::panicking() {
            let log = self.log();
            let lines: Vec<_> = log.lines().collect();
            eprintln!("--- what OBS said (last lines)\n{}", lines[lines.len().saturating_sub(40)..].join("\n"));
        }
    }
}

/// A command in the root file system, on this machine's network and among its processes.
fn inside(root: &Path, home: &Path, tmp: &Path) -> Command {
    let mut command = Command::new("bwrap");
    // The folders of the machine that it sees are two of the test's own.
    command.arg("--die-with-parent").arg("--ro-bind").arg(root).args(["/", "--dev", "/dev", "--proc", "/proc"]);
    command.arg("--bind").arg(tmp).arg("/tmp").arg("--bind").arg(home).arg("/home");
    command.arg("--clearenv");
    for (name, value) in [
        ("HOME", "/home"),
        ("PATH", "/usr/bin:/bin"),
        ("LANG", "C.UTF-8"),
        ("XDG_RUNTIME_DIR", "/home"),
        ("LIBGL_ALWAYS_SOFTWARE", "1"),
        ("QT_QPA_PLATFORM", "xcb"),
    ] {
        command.args(["--setenv", name, value]);
    }
    command
}

/// The only child of a process.
fn child_of(pid: u32) -> Option<u32> {
    fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?.split_whitespace().next()?.parse().ok()
}
