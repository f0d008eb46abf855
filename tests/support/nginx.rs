//! A foreign platform: nginx with its RTMP module, recording whatever is published.

use std::{
    fs,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tempfile::TempDir;

use super::{free_port, seconds, wait};

/// The server. Ends with its owner.
pub(crate) struct Nginx {
    child: Child,
    folder: TempDir,
    port: u16,
}

impl Nginx {
    /// Starts it on a port of its own.
    pub(crate) fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let port = free_port();
        let path = folder.path().display();
        let user = if rustix::process::geteuid().is_root() { "user root;\n" } else { "" };
        let text = format!(
            "load_module /usr/lib/nginx/modules/ngx_rtmp_module.so;\n{user}daemon off;\nmaster_process off;\n\
             pid {path}/pid;\nerror_log {path}/log info;\nevents {{}}\n\
             rtmp {{ server {{ listen 127.0.0.1:{port}; chunk_size 4096; application app {{ live on; record all; \
             record_unique on; record_path {path}; }} }} }}\n"
        );
        let configuration = folder.path().join("nginx.conf");
        fs::write(&configuration, text).unwrap();
        let mut command = Command::new("nginx");
        command.args(["-p"]).arg(folder.path()).arg("-c").arg(&configuration);
        // Before it has read its configuration it complains about a log folder that is not ours.
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let this = Self { child, folder, port };
        wait("nginx to listen", seconds(5), || std::net::TcpStream::connect(("127.0.0.1", port)).ok());
        this
    }

    /// Where the box publishes to.
    pub(crate) fn url(&self) -> String {
        format!("rtmp://127.0.0.1:{}/app", self.port)
    }

    /// What it recorded: one FLV file for each publish session.
    pub(crate) fn recordings(&self) -> Vec<PathBuf> {
        let files = fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap().path());
        let mut files: Vec<_> = files.filter(|path| path.extension().is_some_and(|e| e == "flv")).collect();
        files.sort();
        files
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = kill(Pid::from_raw(self.child.id() as i32), Signal::SIGKILL);
        let _ = self.child.wait();
    }
}
