//! SRS's log: a file, because a pipe would die with us. It is followed, put into ours without keys, and kept short.

use std::{
    fs::{File, OpenOptions},
    io::{Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    time::Duration,
};

use secrecy::{ExposeSecret, SecretString};
use tokio::{
    task::spawn_blocking,
    time::{Instant, MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;
use tracing::Level;

/// How often it is looked for new lines.
const LOOK: Duration = Duration::from_millis(500);
/// Longer than this, and all read, it begins anew. SRS appends, so it goes on at the new end.
const LONGEST: u64 = 4 << 20;
/// What is read at a time; of more that came at once, the rest is left out.
const CHUNK: u64 = 64 << 10;
/// Lines at info and above that pass in one `WINDOW`: nobody may flood the journal by knocking at SRS.
const LINES: u32 = 20;
const WINDOW: Duration = Duration::from_secs(10);
/// A word this long with a digit in it is taken for a key, whatever stands around it. SRS's own names have 8 symbols.
const KEY_LENGTH: usize = 16;

const REDACTED: &str = "[redacted]";

/// What belongs to a single connection, or is always said: nothing to trouble anybody with.
const USUAL: [&str; 17] = [
    "client disconnect peer",
    "serve error",
    "[SRT]",
    "DTLS",
    "RTC error",
    "RTC: ",
    "accept client failed",
    "accept srt client failed",
    "stats network use",
    "stats disk not configed",
    "is not stable",
    "use public address",
    "use private address",
    "use first address",
    "No best matched",
    "srt to rtmp, audio duration",
    "kickoff client",
];

/// Where the fields begin in which SRS writes what an encoder sent.
const FIELDS: [&str; 10] =
    ["stream=", "streamid=", "url=", "tcUrl=", "param=", "name=", "request=", "body=", "r=", "sid="];

/// One line as SRS meant it, without anybody's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) level: Level,
    pub(super) text: String,
}

/// Takes what is secret out of lines.
#[derive(Clone)]
pub(super) struct Redaction {
    /// Words that are secrets themselves.
    secrets: Vec<SecretString>,
    /// After this comes a stream key: `/live/`.
    app: String,
}

impl Redaction {
    /// For an application, and the address of the hooks, whose path is secret.
    pub(super) fn new(app: &str, hooks_url: &SecretString) -> Self {
        let path = hooks_url.expose_secret().splitn(4, '/').nth(3).unwrap_or_default();
        let secrets = path.split('/').filter(|word| word.len() >= 8).map(SecretString::from).collect();
        Self { secrets, app: format!("{app}/") }
    }

    /// The line without anything that is, or looks like, a key or the hooks' secret.
    pub(super) fn clean(&self, line: &str) -> String {
        let mut text = line.to_owned();
        for secret in &self.secrets {
            text = text.replace(secret.expose_secret(), REDACTED);
        }
        // Whatever was sent or answered as JSON, spaces inside included.
        if let (Some(from), Some(to)) = (text.find('{'), text.rfind('}'))
            && from < to
        {
            text.replace_range(from..=to, REDACTED);
        }
        // Everything that follows an address's host or the application's name.
        let mut clean = String::with_capacity(text.len());
        for (index, word) in text.split(' ').enumerate() {
            if index > 0 {
                clean.push(' ');
            }
            clean.push_str(&self.clean_word(word));
        }
        clean
    }

    fn clean_word(&self, word: &str) -> String {
        let fields = FIELDS.iter().filter_map(|field| Some((begin(word, field)? + field.len(), true)));
        let host = word.find("://").map(|at| at + 3);
        let path = host.and_then(|host| Some((host + word.get(host..)?.find('/')? + 1, true)));
        let app = word.find(self.app.as_str()).map(|at| (at + self.app.len(), true));
        let json = word.find('{').map(|at| (at, true));
        let cut = fields.chain(path).chain(app).chain(json).map(|(at, _)| at).min();
        if let Some(cut) = cut
            && let (Some(before), Some(after)) = (word.get(..cut), word.get(cut..))
            && !after.is_empty()
        {
            let tail = after.trim_start_matches(|c| c != ',');
            return format!(
                "{before}{REDACTED}{}",
                if tail.contains('=') { self.clean_word(tail) } else { String::new() }
            );
        }
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_' || c == '%';
        let looks_secret = |part: &str| part.len() >= KEY_LENGTH && part.contains(|c: char| c.is_ascii_digit());
        if word.split(|c| !is_part(c)).any(looks_secret) { REDACTED.to_owned() } else { word.to_owned() }
    }
}

/// Where `field` begins in `word` as a whole field, not as the end of a longer one.
fn begin(word: &str, field: &str) -> Option<usize> {
    word.match_indices(field)
        .map(|(at, _)| at)
        .find(|at| word.get(..*at).is_none_or(|before| !before.ends_with(|c: char| c.is_ascii_alphanumeric())))
}

/// Reads one line; none for what says nothing.
pub(super) fn line(raw: &str, redaction: &Redaction) -> Option<Line> {
    let raw = raw.replace("\u{1b}[31m", "").replace("\u{1b}[33m", "").replace("\u{1b}[0m", "");
    let raw = raw.trim();
    if raw.is_empty() {
        return None;
    }
    // [2026-11-22 18:56:03.444][ERROR][19521][660783e3][22] text
    let (head, text) = raw.split_once("] ").filter(|_| raw.starts_with('[')).unwrap_or(("", raw));
    let said = head.split("][").nth(1).unwrap_or_default();
    let text = redaction.clean(text);
    let level = match said {
        _ if USUAL.iter().any(|usual| raw.contains(usual)) => Level::DEBUG,
        "ERROR" => Level::ERROR,
        "WARN" => Level::WARN,
        // What it says before it has read its configuration, and the lines of a stack.
        _ => Level::DEBUG,
    };
    Some(Line { level, text })
}

/// Follows the file until the token ends.
pub(super) async fn follow(path: PathBuf, from: u64, redaction: Redaction, token: CancellationToken) {
    let mut tail = Tail { path, at: from, rest: String::new() };
    let mut budget = Budget::default();
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = look.tick() => {}
            () = token.cancelled() => return,
        }
        let read = spawn_blocking(move || {
            let lines = tail.read();
            (tail, lines)
        });
        let Ok((back, lines)) = read.await else { return };
        tail = back;
        for line in lines.iter().filter_map(|raw| line(raw, &redaction)) {
            budget.say(&line);
        }
    }
}

/// A log that is read as it grows, and how far that has come.
struct Tail {
    path: PathBuf,
    at: u64,
    /// The beginning of a line whose end is still to come.
    rest: String,
}

impl Tail {
    /// The whole lines that came since. Shortens the file when it is long. A file that cannot be read has none.
    fn read(&mut self) -> Vec<String> {
        let Ok(mut file) = File::open(&self.path) else { return Vec::new() };
        let length = file.metadata().map_or(0, |file| file.len());
        if length < self.at {
            self.at = 0;
            self.rest.clear();
        }
        if length - self.at > CHUNK {
            self.at = length - CHUNK;
            self.rest.clear();
        }
        let mut bytes = Vec::new();
        if file.seek(SeekFrom::Start(self.at)).is_ok() && (&file).take(CHUNK).read_to_end(&mut bytes).is_ok() {
            self.at += bytes.len() as u64;
        }
        if self.at >= LONGEST && shorten(&self.path) {
            self.at = 0;
        }
        self.rest.push_str(&String::from_utf8_lossy(&bytes));
        let (whole, rest) = self.rest.rsplit_once('\n').unwrap_or(("", &self.rest));
        let lines = whole.lines().map(str::to_owned).collect();
        let rest = if rest.len() as u64 > CHUNK { String::new() } else { rest.to_owned() };
        self.rest = rest;
        lines
    }
}

/// Empties a log. Whoever appends to it goes on at its new end.
pub(super) fn shorten(path: &Path) -> bool {
    OpenOptions::new().write(true).open(path).and_then(|file| file.set_len(0)).is_ok()
}

/// The file's length, shortened first if it is long.
pub(super) fn begin_at(path: &Path) -> u64 {
    let length = path.metadata().map_or(0, |file| file.len());
    if length >= LONGEST && shorten(path) { 0 } else { length }
}

/// What SRS said since `from`, for telling why it ended.
pub(super) fn since(path: &Path, from: u64) -> String {
    let mut bytes = Vec::new();
    if let Ok(mut file) = File::open(path) {
        let end = file.metadata().map_or(0, |file| file.len());
        let start = SeekFrom::Start(from.max(end.saturating_sub(CHUNK)));
        if file.seek(start).is_ok() {
            let _ = file.take(CHUNK).read_to_end(&mut bytes);
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// How many lines may still pass.
#[derive(Default)]
struct Budget {
    since: Option<Instant>,
    said: u32,
}

impl Budget {
    fn say(&mut self, line: &Line) {
        let text = line.text.as_str();
        if line.level == Level::DEBUG {
            tracing::debug!(text, "srs says");
            return;
        }
        let now = Instant::now();
        if self.since.is_none_or(|since| now - since >= WINDOW) {
            let left_out = self.said.saturating_sub(LINES);
            if left_out > 0 {
                tracing::warn!(left_out, "srs said more than fits in the log");
            }
            (self.since, self.said) = (Some(now), 0);
        }
        self.said += 1;
        if self.said > LINES {
            return;
        }
        if line.level == Level::ERROR {
            tracing::error!(text, "srs says");
        } else {
            tracing::warn!(text, "srs says");
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use tempfile::TempDir;

    use super::*;

    const KEY: &str = "7k2mv0qx3c9zr8hw1t5ydn4bpg";
    const SECRET: &str = "S3cretS3cretS3cretS3cret";

    fn redaction() -> Redaction {
        Redaction::new("live", &SecretString::from(format!("http://127.0.0.1:8085/hooks/{SECRET}")))
    }

    #[test]
    fn keys_and_the_secret_are_in_no_line() {
        // The forms in which SRS 6 and 7 were seen to write them.
        for said in [
            format!("RTMP: Stream /live/{KEY} is busy"),
            format!("serve error code=1028(StreamBusy) : stream live/{KEY} is busy"),
            format!("publish url=/live/{KEY} stream={KEY}, param=?token={KEY}"),
            format!("url: rtmp://10.0.0.1:1935/other/{KEY}?x=1, tcUrl=rtmp://10.0.0.1/other/{KEY}"),
            format!("streamid: #!::r=live/{KEY},m=publish"),
            format!("srt streamid=#!::h=box,r=other/{KEY},m=publish"),
            format!("POST /rtc/v1/whip/?app=live&stream={KEY}&eip=10.0.0.1"),
            format!(
                "http: on_publish failed, url=http://127.0.0.1:8085/hooks/{SECRET}, request={{\"stream\":\"{KEY}\"}}, code=1"
            ),
            format!(
                "request={{\"stream\":\"my own {KEY} key\",\"param\":\"\"}}, response={{\"code\":403}}, status=200"
            ),
            format!("body={{\"stream_url\":\"/live/{KEY}\"}}"),
            format!("connect to 127.0.0.1:8085 /hooks/{SECRET} failed"),
            format!("name={KEY}"),
            format!("live%2F{KEY}"),
            format!("\u{1b}[31m[2026-11-22 18:56:03.444][ERROR][1][ab][2] {KEY}\u{1b}[0m"),
            "/live/short".to_owned(),
        ] {
            let line = line(&said, &redaction()).unwrap();
            for secret in [KEY, SECRET, "short", "my own"] {
                assert!(!line.text.contains(secret), "{said}\n{line:?}");
            }
        }
    }

    #[test]
    fn what_is_no_key_stays() {
        let said = "[2026-11-22 18:56:03.444][WARN][19521][ab12][22] main cycle terminated, system quit normally.";
        let line = line(said, &redaction()).unwrap();
        assert_eq!(line, Line { level: Level::WARN, text: "main cycle terminated, system quit normally.".to_owned() });
        for kept in ["err=1007, ifname=eth0, max=264", "config file /etc/motherstream/srs.conf test is failed"] {
            assert_eq!(redaction().clean(kept), kept);
        }
        let failed = "[2026-11-22 18:56:03.444][ERROR][1][ab][22] server err code=1003(SocketListen)";
        assert_eq!(super::line(failed, &redaction()).unwrap().level, Level::ERROR);
        assert_eq!(super::line("  ", &redaction()), None);
    }

    #[test]
    fn what_one_connection_does_troubles_nobody() {
        for said in [
            "[2026-11-22 18:55:55.210][ERROR][1][83a28890][11] serve error code=1054(SecurityAllow) : for 192.0.2.2",
            "[2026-11-22 18:55:55.531][WARN][1][n9t2581t][4] client disconnect peer. ret=1009",
            "[2026-11-22 18:56:08.929][ERROR][1][95lqdk2q][22][SRT] ./srtcore/api.cpp:1116(accept) # : no pending connection",
            "thread [19521][83a28890]: do_cycle() [./src/app/srs_app_rtmp_conn.cpp:263][errno=11]",
        ] {
            assert_eq!(line(said, &redaction()).unwrap().level, Level::DEBUG, "{said}");
        }
    }

    #[test]
    fn tail_gives_whole_lines_once_and_keeps_the_file_short() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("srs.log");
        let mut file = OpenOptions::new().append(true).create(true).open(&path).unwrap();
        let mut say = |text: &str| std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
        let mut tail = Tail { path: path.clone(), at: 0, rest: String::new() };
        say("one\ntw");
        assert_eq!(tail.read(), ["one"]);
        say("o\n");
        assert_eq!(tail.read(), ["two"]);
        assert!(tail.read().is_empty());
        say(&"x".repeat(usize::try_from(LONGEST).unwrap()));
        say("\nend\n");
        assert_eq!(tail.read().last().unwrap(), "end");
        assert_eq!(path.metadata().unwrap().len(), 0);
        // Whoever appends goes on at the new end.
        say("again\n");
        assert_eq!(tail.read(), ["again"]);
        assert!(path.metadata().unwrap().len() < 10);
    }
}
