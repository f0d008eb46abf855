//! A full venue looks at the page.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::watch,
    task::JoinSet,
};

use crate::support::{
    analysis,
    assets::Asset,
    boxed::{Streamer, TheBox, path_part},
    publisher::Encoder,
    recorder::Recorder,
    seconds,
};

/// How many pages are open: what one box has to bear.
const PAGES: usize = 300;

/// What a page may cost the box.
const MOST_BYTES_EACH: u64 = 30_000;

/// What a change may take to the last page.
const AT_ONCE: Duration = seconds(1);

/// One kind of page: what it listens to, and by which event it learns of a change in the order of those who wait.
#[derive(Clone, Copy)]
struct Kind {
    path: &'static str,
    event: &'static str,
}

const ROOM: Kind = Kind { path: "/live/room", event: "event: queue\n" };
const OVERLAY: Kind = Kind { path: "/live/overlay", event: "event: queue\n" };
const OWN: Kind = Kind { path: "/live/me", event: "event: place\n" };

/// Mostly the room's phones, some overlays, and those who stream.
fn kind(number: usize) -> Kind {
    match number % 10 {
        0 => OVERLAY,
        1 => OWN,
        _ => ROOM,
    }
}

/// What a page has been told: how often of the order, and when last.
#[derive(Clone, Copy)]
struct Heard {
    times: u64,
    last: Instant,
}

/// Listens as a browser does, and tells what it hears. Ends with its connection.
async fn listen(port: u16, kind: Kind, cookie: Arc<str>, heard: watch::Sender<Heard>) {
    let mut socket = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let cookie = if kind.path == OWN.path { format!("Cookie: {cookie}\r\n") } else { String::new() };
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAccept: text/event-stream\r\nAccept-Encoding: gzip\r\n\
         User-Agent: Mozilla/5.0 (Linux; Android 14) AppleWebKit/537.36 (KHTML, like Gecko)\r\n{cookie}\r\n",
        kind.path
    );
    socket.write_all(request.as_bytes()).await.unwrap();
    let (mut buffer, mut kept) = (vec![0; 4096], String::new());
    loop {
        match socket.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(count) => kept.push_str(&String::from_utf8_lossy(&buffer[..count])),
        }
        let times = kept.matches(kind.event).count() as u64;
        if times > 0 {
            heard.send_modify(|heard| *heard = Heard { times: heard.times + times, last: Instant::now() });
            kept.clear();
        } else {
            // The event's name may come in two pieces.
            let from = kept.len().saturating_sub(kind.event.len());
            kept = kept.get(from..).unwrap_or_default().to_owned();
        }
    }
}

#[test]
fn three_hundred_pages_learn_of_a_change_within_a_second_and_cost_little() {
    let platform = Recorder::start();
    let the_box = TheBox::builder().destination("recorder", &platform.url()).start();
    let api = &the_box.api;
    let [ada, grace, hedy] = ["Ada", "Grace", "Hedy"].map(|name| api.register(name));
    let publish = |streamer: &Streamer| Encoder::publish(&Asset::A.path(), &the_box.publish_url(&streamer.key));
    let mut encoders = vec![publish(&ada)];
    // On a busy machine whoever comes to rest first is on air first.
    api.wait_on_air("Ada", seconds(10));
    for streamer in [&grace, &hedy] {
        encoders.push(publish(streamer));
        api.wait_ready(&streamer.name, seconds(10));
    }
    // One account has no more than some pages open at once.
    let cookies = ["Grace", "Hedy"].map(|name| Arc::<str>::from(api.sign_in(name)));

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let open = async |count: usize| {
        let mut pages = JoinSet::new();
        let mut heard = Vec::new();
        for number in 0..count {
            let (sender, receiver) = watch::channel(Heard { times: 0, last: Instant::now() });
            let cookie = Arc::clone(&cookies[number / 10 % cookies.len()]);
            pages.spawn(listen(api.port(), kind(number), cookie, sender));
            heard.push(receiver);
        }
        let deadline = Instant::now() + seconds(10);
        while heard.iter().any(|heard| heard.borrow().times == 0) {
            assert!(Instant::now() < deadline, "not every page was told what there is");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        (pages, heard)
    };

    // What the first listeners make the box set up once is not what each of them costs.
    let warm = runtime.block_on(open(20));
    drop(warm);
    runtime.block_on(async { tokio::time::sleep(seconds(2)).await });
    let before = the_box.anonymous_memory();
    let (mut pages, heard) = runtime.block_on(open(PAGES));
    let mut slowest = Duration::ZERO;
    for round in 0..4 {
        runtime.block_on(async { tokio::time::sleep(seconds(2)).await });
        let (first, last) = if round % 2 == 0 { ("Hedy", "Grace") } else { ("Grace", "Hedy") };
        let id = |name: &str| api.entry(name).unwrap()["id"].clone();
        let (moved, before) = (id(first), id(last));
        let told: Vec<_> = heard.iter().map(|heard| heard.borrow().times).collect();
        let begin = Instant::now();
        // The client has a runtime of its own, and that one cannot be driven within this one.
        api.post(&format!("/api/v1/queue/entries/{}/move", path_part(&moved)), &json!({ "before": before }));
        runtime.block_on(async {
            let all = |heard: &[watch::Receiver<Heard>]| {
                heard.iter().zip(&told).all(|(heard, told)| heard.borrow().times > *told)
            };
            while !all(&heard) {
                assert!(begin.elapsed() < seconds(10), "a change did not reach every page");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        let last = heard.iter().map(|heard| heard.borrow().last).max().unwrap();
        slowest = slowest.max(last.saturating_duration_since(begin));
    }
    let each = the_box.anonymous_memory().saturating_sub(before) / PAGES as u64;
    eprintln!("{PAGES} pages: a change reaches the last one after {slowest:?}; {each} bytes each");
    assert!(pages.try_join_next().is_none(), "a page lost its connection");
    assert!(slowest < AT_ONCE, "a change took {slowest:?}");
    assert!(each < MOST_BYTES_EACH, "{each} bytes for each page");
    let figures = analysis::figures(&platform.only_session());
    drop(encoders);
    eprintln!("{figures:#?}");
    analysis::assert_unbroken(&figures);
}
