//! Encoders: ffmpeg that copies an asset in real time, stopped and killed as a test likes; and one of the tests' own for
//! what ffmpeg cannot be made to send.

use std::{
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::{
    flv::{self, Content, FlvTag},
    rtmp::Publisher,
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
        Self::run(&mut command)
    }

    /// The same by SRT, as MPEG-TS.
    pub(crate) fn publish_srt(file: &Path, address: SocketAddr, key: &str) -> Self {
        let mut command = Command::new("ffmpeg");
        command.args(["-nostdin", "-v", "error", "-re", "-stream_loop", "-1", "-i"]).arg(file);
        command.args(["-c", "copy", "-f", "mpegts"]);
        command.arg(format!("srt://{address}?streamid=#!::r=live/{key},m=publish"));
        Self::run(&mut command)
    }

    fn run(command: &mut Command) -> Self {
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

    /// Waits until it has ended, as an encoder does that was disconnected.
    #[track_caller]
    pub(crate) fn wait_end(mut self, patience: Duration) {
        super::wait("an encoder to be disconnected", patience, || self.has_ended().then_some(()));
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
                    if !stop.load(Ordering::Relaxed) {
                        thread::sleep(pause);
                    }
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

/// A publisher that sends an asset's tags in real time with time stamps of the test's choice. Ends with its owner.
pub(crate) struct Paced {
    /// When time stamp 0 of the asset was due.
    pub(crate) began: Instant,
    stop: Arc<AtomicBool>,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// How a [`Paced`] differs from the asset.
#[derive(Clone, Copy, Default)]
pub(crate) struct Manner {
    /// Added to every time stamp, modulo 2^32.
    pub(crate) offset: u32,
    /// Whether chunks of type 3 leave the extended time stamp out, as OBS did before 2024.
    pub(crate) terse: bool,
    /// Leaves out every IDR picture.
    pub(crate) without_idr: bool,
}

impl Paced {
    /// Publishes, and fails if it is refused.
    #[track_caller]
    pub(crate) fn publish(file: &Path, address: SocketAddr, key: &str, manner: Manner) -> Self {
        let mut tags = flv::read(file).unwrap();
        if manner.without_idr {
            tags.retain(|tag| !matches!(flv::content(tag.kind, &tag.payload), Content::Picture { idr: true, .. }));
        }
        let mut publisher = Publisher::publish(address, "live", key).unwrap();
        publisher.writer.repeat_extended = !manner.terse;
        let stop = Arc::new(AtomicBool::new(false));
        let ended = Arc::new(AtomicBool::new(false));
        let began = Instant::now();
        let thread = thread::spawn({
            let (stop, ended) = (stop.clone(), ended.clone());
            move || {
                send(&tags, &mut publisher, began, manner.offset, &stop);
                ended.store(true, Ordering::Relaxed);
            }
        });
        Self { began, stop, ended, thread: Some(thread) }
    }

    /// Whether the asset, or the connection, is at its end.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }
}

fn send(tags: &[FlvTag], publisher: &mut Publisher, begin: Instant, offset: u32, stop: &AtomicBool) {
    for tag in tags {
        let due = begin + Duration::from_millis(u64::from(tag.timestamp));
        thread::sleep(due.saturating_duration_since(Instant::now()));
        if stop.load(Ordering::Relaxed)
            || publisher.send(tag.kind, tag.timestamp.wrapping_add(offset), &tag.payload).is_err()
        {
            return;
        }
    }
}

impl Drop for Paced {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
