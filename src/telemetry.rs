//! What the box says: lines on stderr, and the latest of them for the admin's page.
//!
//! Info and above, or what `RUST_LOG` asks for. A healthy box is nearly silent. Secrets are redacted by their types, so that
//! nothing here has to know them.

use std::{
    collections::VecDeque,
    fmt::{self, Write as _},
    io::{self, IsTerminal, Write},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use serde::Serialize;
use tracing::{Event, Level, Subscriber, field::Visit, level_filters::LevelFilter};
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    fmt::MakeWriter,
    layer::{Context, SubscriberExt},
    util::SubscriberInitExt,
};
use utoipa::ToSchema;

pub(crate) mod seldom;

/// Events that are kept for the admin's page. A line is about 150 bytes.
const KEPT: usize = 1000;

/// Bytes of one event's text that are kept.
const LONGEST: usize = 1000;

/// Lines that may wait for a stderr that nobody reads (a stopped terminal, a full pipe). Later ones are left out and counted:
/// no thread of the programme ever waits for a reader of its log.
const WAITING_LINES: usize = 1024;

/// How long the end of the process waits for its last lines to be written.
const LAST_LINES: Duration = Duration::from_millis(500);

/// What is not said, whatever is asked for: anybody can send a cookie that is no session's, and fill the log with warnings of it.
const STRANGERS: [&str; 3] = ["tower_sessions=error", "tower_sessions_core=error", "obws=off"];

/// Info and above, or what `RUST_LOG` asks for.
fn filter() -> EnvFilter {
    let filter = EnvFilter::builder().with_default_directive(LevelFilter::INFO.into()).from_env_lossy();
    STRANGERS.iter().filter_map(|directive| directive.parse().ok()).fold(filter, EnvFilter::add_directive)
}

/// Sets up logging for the whole process. To be kept until the end: when it is dropped, what waits is written.
///
/// # Errors
/// When it was set up before, or the thread that writes cannot be started.
pub fn start() -> io::Result<Telemetry> {
    let (lines, waiting) = sync_channel(WAITING_LINES);
    let lost = Arc::new(AtomicU64::new(0));
    let writer = Lines { lines, lost: Arc::clone(&lost) };
    let thread = std::thread::Builder::new().name("log".to_owned()).spawn(move || write_lines(&waiting, &lost))?;
    let recent = RecentEvents::default();
    let format = tracing_subscriber::fmt::layer()
        .with_writer(writer.clone())
        .with_ansi(io::stderr().is_terminal())
        .with_target(false);
    // The journal has times of its own.
    let format =
        if std::env::var_os("JOURNAL_STREAM").is_some() { format.without_time().boxed() } else { format.boxed() };
    let layers: Box<dyn Layer<Registry> + Send + Sync> = Box::new(format.and_then(recent.layer()));
    tracing_subscriber::registry().with(layers.with_filter(filter())).try_init().map_err(io::Error::other)?;
    Ok(Telemetry { recent, writer, thread: Some(thread) })
}

/// Logging as it runs.
#[derive(Debug)]
pub struct Telemetry {
    recent: RecentEvents,
    writer: Lines,
    thread: Option<JoinHandle<()>>,
}

impl Telemetry {
    /// The latest events, for the admin's page.
    pub fn recent(&self) -> RecentEvents {
        self.recent.clone()
    }
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        // An empty line ends the thread. With no room for it nobody reads, and there is nothing to wait for.
        let Some(thread) = self.thread.take().filter(|_| self.writer.lines.try_send(Vec::new()).is_ok()) else {
            return;
        };
        // Not `join`: a terminal that was stopped must not keep the process from ending.
        let end = Instant::now() + LAST_LINES;
        while !thread.is_finished() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Takes lines to the thread that writes them.
#[derive(Clone, Debug)]
struct Lines {
    lines: SyncSender<Vec<u8>>,
    lost: Arc<AtomicU64>,
}

/// One line in the making.
struct Line {
    to: Lines,
    text: Vec<u8>,
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line { to: self.clone(), text: Vec::new() }
    }
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if !self.text.is_empty() && self.to.lines.try_send(std::mem::take(&mut self.text)).is_err() {
            self.to.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn write_lines(lines: &Receiver<Vec<u8>>, lost: &AtomicU64) {
    let mut out = io::stderr();
    for line in lines {
        if line.is_empty() {
            return;
        }
        // A closed stderr is nothing to end for, and there is nobody to tell.
        let _written = out.write_all(&line);
        let lost = lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            let _written = writeln!(out, "{lost} lines were left out because nobody read them");
        }
    }
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct RecentEvent {
    /// Counts up from 1, without gaps.
    pub number: u64,
    /// When, by the wall clock.
    #[schema(value_type = String, format = DateTime)]
    pub time: jiff::Timestamp,
    /// `ERROR`, `WARN`, `INFO`, `DEBUG` or `TRACE`.
    pub level: &'static str,
    /// Which part of the program said it.
    pub target: String,
    /// What happened: the message, then its fields.
    pub text: String,
}

/// The latest events. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct RecentEvents {
    ring: Arc<Mutex<Ring>>,
}

#[derive(Debug, Default)]
struct Ring {
    events: VecDeque<RecentEvent>,
    count: u64,
}

impl RecentEvents {
    /// The events that are at least so severe, and before the one with this number if one is given; the latest first.
    pub fn latest(&self, level: Level, before: Option<u64>) -> Vec<RecentEvent> {
        // A copy first: nobody who logs waits for a search.
        let events = self.ring.lock().unwrap_or_else(PoisonError::into_inner).events.clone();
        let wanted = |event: &RecentEvent| {
            before.is_none_or(|before| event.number < before)
                && event.level.parse::<Level>().is_ok_and(|severity| severity <= level)
        };
        events.into_iter().rev().filter(wanted).collect()
    }

    /// Has the events of a subscriber kept here.
    pub fn layer<S: Subscriber>(&self) -> impl Layer<S> + use<S> {
        RecentLayer(self.clone())
    }

    fn push(&self, level: Level, target: &str, text: String) {
        let time = jiff::Timestamp::now();
        let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        ring.count += 1;
        let number = ring.count;
        if ring.events.len() >= KEPT {
            ring.events.pop_front();
        }
        ring.events.push_back(RecentEvent { number, time, level: level.as_str(), target: target.to_owned(), text });
    }
}

/// Keeps events.
struct RecentLayer(RecentEvents);

impl<S: Subscriber> Layer<S> for RecentLayer {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut text = Text::default();
        event.record(&mut text);
        let metadata = event.metadata();
        self.0.push(*metadata.level(), metadata.target(), text.finish());
    }
}

/// An event's message and fields.
#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Text {
    fn finish(mut self) -> String {
        self.message.push_str(&self.fields);
        if self.message.len() > LONGEST {
            let end = self.message.floor_char_boundary(LONGEST);
            self.message.truncate(end);
            self.message.push('…');
        }
        self.message
    }
}

impl Visit for Text {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn fmt::Debug) {
        // Writing to a String does not fail.
        let _written = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }

    fn record_str(&mut self, field: &tracing::field::Field, value: &str) {
        let _written = match field.name() {
            "message" => write!(self.message, "{value}"),
            name => write!(self.fields, " {name}={value}"),
        };
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

    use super::*;

    #[test]
    fn events_are_told_by_severity_and_place() {
        let recent = RecentEvents::default();
        tracing::subscriber::with_default(Registry::default().with(recent.layer()), || {
            tracing::info!("destination live");
            tracing::warn!(destination = "Twitch", "failed");
            tracing::error!("the disk is full");
        });
        let texts =
            |level, before| recent.latest(level, before).into_iter().map(|event| event.text).collect::<Vec<_>>();
        assert_eq!(texts(Level::WARN, None), ["the disk is full", "failed destination=Twitch"]);
        assert_eq!(texts(Level::TRACE, Some(3)), ["failed destination=Twitch", "destination live"]);
        assert_eq!(texts(Level::ERROR, Some(3)), [""; 0]);
    }

    #[test]
    fn latest_events_are_kept_with_their_fields_and_without_secrets() {
        let recent = RecentEvents::default();
        let key = crate::core::account::StreamKey::new("hunter2");
        tracing::subscriber::with_default(Registry::default().with(recent.layer()), || {
            for number in 0..KEPT + 5 {
                tracing::info!(number, "something happened");
            }
            tracing::warn!(streamer = "Ada", ?key, error = %"no route", "publish refused");
        });
        let latest = recent.latest(Level::TRACE, None);
        assert_eq!(latest[0].level, "WARN");
        assert_eq!(latest[0].text, "publish refused streamer=Ada key=StreamKey([redacted]) error=no route");
        assert_eq!(latest[1].text, "something happened number=1004");
        assert_eq!(latest[0].number, 1006);
        assert_eq!(latest.len(), KEPT);
    }

    #[test]
    fn strangers_cookies_do_not_fill_the_log() {
        let recent = RecentEvents::default();
        tracing::subscriber::with_default(Registry::default().with(recent.layer().with_filter(filter())), || {
            tracing::warn!(target: "tower_sessions_core::session", "no such record");
            tracing::warn!(target: "tower_sessions::service", "malformed session id");
            tracing::error!(target: "tower_sessions_core::session", "the store fails");
            tracing::warn!("failed");
        });
        let texts: Vec<_> = recent.latest(Level::TRACE, None).into_iter().map(|event| event.text).collect();
        assert_eq!(texts, ["failed", "the store fails"]);
    }

    #[test]
    fn long_event_is_cut_at_a_character() {
        let text = Text { message: "ä".repeat(LONGEST), fields: String::new() };
        assert_eq!(text.finish().chars().count(), LONGEST / 2 + 1);
    }

    #[test]
    fn nobody_waits_for_a_reader_of_the_log() {
        let (lines, waiting) = sync_channel(2);
        let writer = Lines { lines, lost: Arc::default() };
        for _ in 0..5 {
            writer.make_writer().write_all(b"line\n").unwrap();
        }
        assert_eq!(writer.lost.load(Ordering::Relaxed), 3);
        assert_eq!(waiting.try_iter().count(), 2);
    }
}
