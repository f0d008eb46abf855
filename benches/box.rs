//! The whole box, release build, against its limits and against `ffmpeg -c copy` in the same run.
//!
//! `make bench`, or `cargo bench --bench box -- cpu` for the parts whose names contain a word: `cpu`, `memory`, `death`,
//! `start`, `load`, `publish`, `pull` (with `MOTHERSTREAM_TEST_SRS`), `watch`. `MOTHERSTREAM_BENCH_SECONDS` (60) shortens the CPU runs.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "a bench"
)]

#[path = "box/pull.rs"]
mod pull;
#[path = "../tests/support/mod.rs"]
#[expect(dead_code, reason = "tests use what benches do not")]
mod support;
#[path = "box/watch.rs"]
mod watch;

use std::{
    env,
    process::{Child, Command, Stdio},
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

use support::{
    analysis,
    assets::Asset,
    boxed::{Streamer, TheBox, cpu_time},
    free_port,
    publisher::Encoder,
    recorder::Recorder,
    rtmp::Publisher,
    seconds, wait,
};

/// One line of the table.
struct Row {
    what: String,
    measured: String,
    limit: String,
    holds: bool,
}

#[derive(Default)]
struct Table(Vec<Row>);

impl Table {
    /// Notes a figure that must be at most `limit`.
    fn at_most(&mut self, what: &str, value: f64, limit: f64, unit: &str, remark: &str) {
        let measured = format!("{value:.2} {unit}{remark}");
        let row = Row { what: what.to_owned(), measured, limit: format!("{limit} {unit}"), holds: value <= limit };
        eprintln!("{}: {} (at most {})", row.what, row.measured, row.limit);
        self.0.push(row);
    }

    fn print(&self) {
        println!("\n| what | measured | at most | |\n|---|---|---|---|");
        for row in &self.0 {
            let verdict = if row.holds { "holds" } else { "**fails**" };
            println!("| {} | {} | {} | {verdict} |", row.what, row.measured, row.limit);
        }
    }
}

fn main() {
    let words: Vec<_> = env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let wanted = |name: &str| words.is_empty() || words.iter().any(|word| name.contains(word.as_str()));
    let length = env::var("MOTHERSTREAM_BENCH_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(60);
    let mut table = Table::default();
    if wanted("cpu") {
        for (format, limits) in [("off", [(1, 1.0), (3, 0.6)]), ("audio", [(1, 1.4), (3, 0.7)])] {
            for (destinations, limit) in limits {
                cpu(&mut table, format, destinations, limit, seconds(length));
            }
        }
    }
    if wanted("pull") {
        pull::pull(&mut table, seconds(length));
    }
    if wanted("watch") {
        watch::watch(&mut table, seconds(length));
    }
    if wanted("memory") {
        memory(&mut table, "off", 25.0);
        memory(&mut table, "audio", 30.0);
    }
    if wanted("death") {
        death(&mut table);
    }
    if wanted("start") {
        start(&mut table);
    }
    if wanted("load") {
        load(&mut table);
    }
    if wanted("publish") {
        publish(&mut table);
    }
    table.print();
}

/// A box with so many recorders as its destinations, and the recorders.
fn box_with(destinations: usize, format: &str) -> (TheBox, Vec<Recorder>) {
    let recorders: Vec<_> = (0..destinations).map(|_| Recorder::start()).collect();
    let mut builder = TheBox::builder().set("program.house_format", format);
    for (n, recorder) in recorders.iter().enumerate() {
        recorder.keep_no_payload();
        builder = builder.destination(&format!("platform-{n}"), &recorder.url());
    }
    (builder.start(), recorders)
}

fn streamer_on_air(the_box: &TheBox, recorders: &[Recorder], name: &str, asset: Asset) -> (Streamer, Encoder) {
    let streamer = the_box.api.register(name);
    let encoder = Encoder::publish(&asset.path(), &the_box.publish_url(&streamer.key));
    the_box.api.wait_on_air(name, seconds(15));
    for recorder in recorders {
        wait("the programme at the platform", seconds(10), || recorder.first_picture(0));
    }
    (streamer, encoder)
}

/// A relay of the kind people use today. Ends with its owner.
struct Relay {
    child: Child,
    _encoder: Encoder,
}

impl Relay {
    fn start(destination: &str) -> Self {
        Self::with(&[], &["-c", "copy", "-f", "flv", destination])
    }

    /// An ffmpeg that is fed 6 Mbit/s by RTMP.
    fn with(input: &[&str], output: &[&str]) -> Self {
        let listen = format!("rtmp://127.0.0.1:{}/live/key", free_port());
        let mut command = Command::new("ffmpeg");
        command.args(["-nostdin", "-v", "error", "-y"]).args(input).args(["-listen", "1", "-i", &listen]).args(output);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        thread::sleep(Duration::from_millis(500));
        Self { child, _encoder: Encoder::publish(&Asset::SixMbit.path(), &listen) }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// CPU of the box against one ffmpeg per destination, both fed 6 Mbit/s in the same minute.
fn cpu(table: &mut Table, format: &str, destinations: usize, limit: f64, length: Duration) {
    let (the_box, recorders) = box_with(destinations, format);
    let (_streamer, _encoder) = streamer_on_air(&the_box, &recorders, "Anna", Asset::SixMbit);
    let platforms: Vec<_> = (0..destinations).map(|_| Recorder::start()).collect();
    let relays: Vec<_> = platforms
        .iter()
        .map(|platform| {
            platform.keep_no_payload();
            let relay = Relay::start(&format!("{}/key", platform.url()));
            wait("the relay to forward", seconds(15), || platform.first_picture(0));
            relay
        })
        .collect();
    thread::sleep(seconds(3));
    let look = || {
        let relayed: Duration = relays.iter().map(|relay| cpu_time(relay.child.id())).sum();
        (cpu_time(the_box.pid()), relayed)
    };
    let bytes = |recorder: &Recorder| recorder.look(|s| s[0].records.iter().map(|r| r.size).sum::<usize>());
    let (before, sent) = (look(), (bytes(&recorders[0]), bytes(&platforms[0])));
    thread::sleep(length);
    let after = look();
    let rate = |bytes: usize| bytes as f64 * 8.0 / 1e6 / length.as_secs_f64();
    let rates = (rate(bytes(&recorders[0]) - sent.0), rate(bytes(&platforms[0]) - sent.1));
    let used = |before: Duration, after: Duration| after.saturating_sub(before).as_secs_f64();
    let (own, peers) = (used(before.0, after.0), used(before.1, after.1));
    let what = format!("CPU, `{format}`, {destinations} destination(s), against as many ffmpeg");
    let remark = format!(
        " ({own:.2} s against {peers:.2} s in {:.0} s; {:.1} and {:.1} Mbit/s)",
        length.as_secs_f64(),
        rates.0,
        rates.1
    );
    table.at_most(&what, own / peers, limit, "times", &remark);
}

/// The longest hole at a platform while eight other programs take all of the machine that they get. The platform's own threads go before
/// those, where the account may let them; without that right the figure is also theirs.
fn load(table: &mut Table) {
    let (_the_box, figures) = support::load::under_load(8, seconds(30));
    let gap = figures.arrival_gap.as_secs_f64() * 1000.0;
    table.at_most("longest hole at a platform, eight busy programs", gap, 150.0, "ms", "");
}

/// The least of some samples: what is held, not what is in flight.
fn anonymous_megabytes(the_box: &TheBox) -> f64 {
    let samples = (0..30).map(|_| {
        thread::sleep(Duration::from_millis(100));
        the_box.anonymous_memory()
    });
    samples.min().unwrap() as f64 / 1e6
}

/// Anonymous memory of the box, of what is cued, and of who waits.
fn memory(table: &mut Table, format: &str, limit: f64) {
    let (the_box, recorders) = box_with(1, format);
    let (_first, _encoder) = streamer_on_air(&the_box, &recorders, "Anna", Asset::SixMbit);
    thread::sleep(seconds(10));
    let alone = anonymous_megabytes(&the_box);
    table.at_most(&format!("memory, `{format}`, one streamer, one destination"), alone, limit, "MB", "");
    let publish = |name: &str| {
        let streamer = the_box.api.register(name);
        let encoder = Encoder::publish(&Asset::SixMbit.path(), &the_box.publish_url(&streamer.key));
        the_box.api.wait_ready(name, seconds(15));
        encoder
    };
    let _next = publish("Bert");
    thread::sleep(seconds(8));
    let cued = anonymous_megabytes(&the_box);
    table.at_most(&format!("memory, `{format}`, a cued input at 6 Mbit/s more"), cued - alone, 6.0, "MB", "");
    let waiting: Vec<_> = (0..10).map(|n| publish(&format!("Guest {n}"))).collect();
    thread::sleep(seconds(8));
    let full = anonymous_megabytes(&the_box);
    let each = (full - cued) / waiting.len() as f64;
    table.at_most(&format!("memory, `{format}`, each that only waits"), each, 0.3, "MB", "");
}

/// From the on-air encoder's death to the next picture at the platform.
fn death(table: &mut Table) {
    for (what, another) in [("another is ready", true), ("nobody is", false)] {
        let (the_box, recorders) = box_with(1, "audio");
        let (_streamer, encoder) = streamer_on_air(&the_box, &recorders, "Anna", Asset::A);
        let other = the_box.api.register("Bert");
        let second = another.then(|| {
            let encoder = Encoder::publish(&Asset::B.path(), &the_box.publish_url(&other.key));
            the_box.api.wait_ready("Bert", seconds(10));
            encoder
        });
        thread::sleep(seconds(3));
        let killed = Instant::now();
        encoder.kill();
        thread::sleep(seconds(6));
        let records = recorders[0].only_session().records;
        let after: Vec<_> = records.into_iter().filter(|r| r.arrival + seconds(1) > killed).collect();
        let figures = analysis::figures_of(&after);
        let gap = figures.picture_gap.as_secs_f64() * 1000.0;
        let remark = format!(" (largest step in media time {} ms)", figures.video_step_ms);
        table.at_most(
            &format!("longest wait for a picture when the encoder dies and {what}"),
            gap,
            150.0,
            "ms",
            &remark,
        );
        drop(second);
    }
}

/// From process start to the slate at the platform, with a show on.
fn start(table: &mut Table) {
    let (mut the_box, recorders) = box_with(1, "audio");
    the_box.api.show(true);
    wait("the slate at the platform", seconds(10), || recorders[0].first_picture(0));
    let mut worst: f64 = 0.0;
    let mut since_start: f64 = 0.0;
    for n in 1..=5 {
        the_box.kill();
        thread::sleep(Duration::from_millis(300));
        the_box.boot();
        let picture = wait("the slate at the platform", seconds(20), || recorders[0].first_picture(n));
        let accepted = recorders[0].look(|sessions| sessions[n].began);
        worst = worst.max((picture - accepted).as_secs_f64());
        since_start = since_start.max((picture - the_box.started).as_secs_f64());
    }
    let remark = format!(" ({since_start:.2} s from the start of the process; the worst of 5)");
    table.at_most("from the platform's yes to the slate there", worst, 1.0, "s", &remark);
}

/// How long an encoder waits for the answer to its publish: 100 a second by 1,000 accounts.
fn publish(table: &mut Table) {
    let the_box = TheBox::builder().set("ingest.max_publishers", 1000).start();
    let names: Vec<_> = (0..1000).map(|n| format!("Streamer {n}")).collect();
    let keys = Mutex::new(Vec::new());
    let registering = Instant::now();
    // Two passwords are hashed at once, no more.
    thread::scope(|scope| {
        for half in names.chunks(500) {
            let (api, keys) = (the_box.api.clone(), &keys);
            scope.spawn(move || {
                for name in half {
                    let key = api.register(name).key;
                    keys.lock().unwrap().push(key);
                }
            });
        }
    });
    eprintln!("1,000 accounts registered in {:?}", registering.elapsed());
    let keys = keys.into_inner().unwrap();
    let answers = Mutex::new(Vec::new());
    let begin = Instant::now();
    thread::scope(|scope| {
        // Twenty encoders knock in turn, each every 200 ms: 100 a second.
        for knocker in 0..20_u32 {
            let (keys, answers, address) = (&keys, &answers, the_box.rtmp);
            scope.spawn(move || {
                for (n, key) in keys.iter().skip(knocker as usize).step_by(20).enumerate() {
                    let due = begin + Duration::from_millis(u64::from(knocker) * 10 + n as u64 * 200);
                    thread::sleep(due.saturating_duration_since(Instant::now()));
                    let publisher = Publisher::publish(address, "live", key).unwrap();
                    answers.lock().unwrap().push(publisher.answered_in);
                }
            });
        }
    });
    let took = begin.elapsed();
    let mut answers = answers.into_inner().unwrap();
    answers.sort_unstable();
    let at = |share: f64| answers[(answers.len() as f64 * share) as usize].as_secs_f64() * 1000.0;
    let remark = format!(" ({} publishes in {:.1} s)", answers.len(), took.as_secs_f64());
    table.at_most("answer to a publish, median", at(0.5), 1.0, "ms", &remark);
    table.at_most("answer to a publish, 99th percentile", at(0.99), 5.0, "ms", &remark);
}
