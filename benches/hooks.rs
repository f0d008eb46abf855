//! How long SRS waits for the answer to a hook: the whole box, release build, 1,000 accounts, 100 hooks a second, each on a connection of
//! its own as SRS makes them, every yes durable. The SRS is a simulated one: it answers the API and calls hooks, and takes no streams.
//!
//! `make bench`, or `cargo bench --bench hooks`.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "a bench"
)]

#[path = "../tests/support/mod.rs"]
#[expect(dead_code, reason = "tests use what benches do not")]
mod support;

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, TcpStream},
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

use serde_json::json;
use support::{Metronome, boxed::TheBox, free_port, simulated_srs::SimulatedSrs};

const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// The limits of the median and of the 99th percentile, in milliseconds.
const LIMITS: [(&str, f64, f64); 2] = [("median", 0.5, 1.0), ("99th percentile", 0.99, 5.0)];

/// Threads that call hooks, each one every 200 ms: 100 a second.
const KNOCKERS: usize = 20;

const BETWEEN: Duration = Duration::from_millis(200);

fn main() {
    let hooks = free_port();
    let srs = SimulatedSrs::start(&format!("http://127.0.0.1:{hooks}/hooks/{SECRET}"));
    // They are called here, and measured.
    srs.manner(|manner| manner.lose_unpublish = true);
    let the_box = TheBox::builder()
        .set("ingest.kind", "srs")
        .set("ingest.max_publishers", 1000)
        .set("ingest.srs.api_url", srs.url())
        .set("ingest.srs.http_url", srs.url())
        .set("ingest.srs.rtmp_url", "rtmp://127.0.0.1/live")
        .set("ingest.srs.hooks_listen", format!("127.0.0.1:{hooks}"))
        .set("ingest.srs.hooks_secret", SECRET)
        .start();
    let keys = register(&the_box);

    let metronome = Metronome::start();
    let (publishes, unpublishes) = (Mutex::new(Vec::new()), Mutex::new(Vec::new()));
    let begin = Instant::now();
    thread::scope(|scope| {
        for knocker in 0..KNOCKERS {
            let (srs, keys, publishes, unpublishes) = (&srs, &keys, &publishes, &unpublishes);
            scope.spawn(move || {
                let mut due = begin + BETWEEN * knocker as u32 / KNOCKERS as u32;
                let mut hook = |action: &str, client: &str, key: &str| {
                    let request = request(hooks, action, client, key);
                    thread::sleep(due.saturating_duration_since(Instant::now()));
                    due += BETWEEN;
                    // Nothing of the simulation is in here: its own locks are no part of the answer.
                    let asked = Instant::now();
                    let answer = call(hooks, &request);
                    let took = asked.elapsed();
                    assert!(
                        answer.starts_with("HTTP/1.1 200") && answer.ends_with("{\"code\":0}"),
                        "{action}: {answer}"
                    );
                    took
                };
                let mut there = Vec::new();
                for key in keys.iter().skip(knocker).step_by(KNOCKERS) {
                    let encoder = srs.appear("live", key);
                    publishes.lock().unwrap().push(hook("on_publish", encoder.id(), key));
                    there.push((encoder, key));
                }
                for (encoder, key) in there {
                    let client = encoder.id().to_owned();
                    drop(encoder);
                    unpublishes.lock().unwrap().push(hook("on_unpublish", &client, key));
                }
            });
        }
    });
    let took = begin.elapsed();

    println!("\n| what | measured | at most | |\n|---|---|---|---|");
    for (action, times) in [("on_publish", publishes), ("on_unpublish", unpublishes)] {
        let mut times = times.into_inner().unwrap();
        times.sort_unstable();
        for (name, share, limit) in LIMITS {
            let milliseconds = times[(times.len() as f64 * share) as usize].as_secs_f64() * 1000.0;
            let verdict = if milliseconds <= limit { "holds" } else { "**fails**" };
            println!("| answer to {action}, {name} | {milliseconds:.2} ms | {limit} ms | {verdict} |");
        }
        eprintln!("{action}: {} hooks, the longest {:.2} ms", times.len(), times[times.len() - 1].as_secs_f64() * 1e3);
    }
    let late = metronome.worst().as_secs_f64() * 1e3;
    eprintln!("in all {:.1} s; the machine itself woke a thread up to {late:.1} ms late", took.as_secs_f64());
}

/// A hook as SRS 7 writes it.
fn request(port: u16, action: &str, client: &str, key: &str) -> String {
    let body = json!({
        "server_id": "vid-simulated", "service_id": "service-1", "action": action, "client_id": client,
        "ip": "127.0.0.1", "vhost": "__defaultVhost__", "app": "live", "tcUrl": "rtmp://127.0.0.1:1935/live",
        "stream": key, "param": "", "stream_url": format!("/live/{key}"), "stream_id": "vid-simulated",
    })
    .to_string();
    format!(
        "POST /hooks/{SECRET} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: Keep-Alive\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// The answer, on a connection of its own; the box closes it.
fn call(port: u16, request: &str) -> String {
    let mut socket = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    socket.set_nodelay(true).unwrap();
    socket.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    answer
}

/// 1,000 accounts; their keys.
fn register(the_box: &TheBox) -> Vec<String> {
    let names: Vec<_> = (0..1000).map(|n| format!("Streamer {n}")).collect();
    let keys = Mutex::new(Vec::new());
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
    keys.into_inner().unwrap()
}
