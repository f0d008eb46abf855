//! Encoders: ffmpeg that copies an asset in real time, stopped and killed as a test likes.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// One running ffmpeg. Ends with its owner.
pub(crate) struct Encoder {
    child: Child,
}

impl Encoder {
    /// Publishes `file` to `url` in real time, again and again, from its beginning.
    pub(crate) fn publish(file: &Path, url: &str) -> Self {
        Self::publish_with(file, url, &[])
    }

    /// The same with more output options, for example `-an`.
    pub(crate) fn publish_with(file: &Path, url: &str, options: &[&str]) -> Self {
        let mut command = Command::new("ffmpeg");
        command.args(["-nostdin", "-v", "error", "-re", "-stream_loop", "-1", "-i"]).arg(file);
        command.args(["-c", "copy"]).args(options).args(["-f", "flv", url]);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        Self { child }
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        // It may be gone already, as a kicked encoder is.
        let _ = kill(Pid::from_raw(self.child.id() as i32), signal);
    }

    /// Kills it at once, as a power cut would.
    pub(crate) fn kill(mut self) {
        self.signal(Signal::SIGKILL);
        self.child.wait().unwrap();
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }
}

impl Drop for Encoder {
    fn drop(&mut self) {
        // SIGKILL ends a stopped process too.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An encoder that comes back whenever it is disconnected, as OBS does.
pub(crate) struct Returning {
    stop: Arc<AtomicBool>,
    starts: Arc<AtomicU64>,
    current: Arc<Mutex<Option<Encoder>>>,
    thread: Option<JoinHandle<()>>,
}

impl Returning {
    /// Publishes `file` to `url`, and again `pause` after each end.
    pub(crate) fn publish(file: &Path, url: &str, pause: Duration) -> Self {
        let (file, url) = (file.to_owned(), url.to_owned());
        let stop = Arc::new(AtomicBool::new(false));
        let starts = Arc::new(AtomicU64::new(0));
        let current = Arc::new(Mutex::new(None));
        let thread = thread::spawn({
            let (stop, starts, current) = (stop.clone(), starts.clone(), current.clone());
            move || {
                while !stop.load(Ordering::Relaxed) {
                    *current.lock().unwrap() = Some(Encoder::publish(&file, &url));
                    starts.fetch_add(1, Ordering::Relaxed);
                    while !stop.load(Ordering::Relaxed) && !current.lock().unwrap().as_mut().unwrap().has_ended() {
                        thread::sleep(Duration::from_millis(20));
                    }
                    thread::sleep(pause);
                }
                *current.lock().unwrap() = None;
            }
        });
        Self { stop, starts, current, thread: Some(thread) }
    }

    /// How many times it has begun.
    pub(crate) fn starts(&self) -> u64 {
        self.starts.load(Ordering::Relaxed)
    }

    /// Signals the ffmpeg that runs at the moment.
    pub(crate) fn signal(&self, signal: Signal) {
        if let Some(encoder) = self.current.lock().unwrap().as_ref() {
            encoder.signal(signal);
        }
    }
}

impl Drop for Returning {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
