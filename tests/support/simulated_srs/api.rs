//! The API and HTTP-FLV of a simulated SRS.

use std::{
    io::{self, Read, Write},
    net::TcpStream,
    sync::{Arc, atomic::Ordering},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{
    Answers, Client, Shared, State,
    flv::{self, Content},
    leave,
};

/// SRS's code for a client that is not there.
const NO_SUCH_CLIENT: u64 = 2049;

/// Serves one connection of the API, which is one request.
pub(super) fn serve(shared: &Arc<Shared>, mut socket: TcpStream, life: u64) -> io::Result<()> {
    socket.set_nonblocking(false)?;
    socket.set_read_timeout(Some(Duration::from_secs(5)))?;
    let (mut head, mut buffer) = (Vec::new(), [0; 4096]);
    while !head.windows(4).any(|window| window == b"\r\n\r\n") {
        let count = socket.read(&mut buffer)?;
        if count == 0 || head.len() > 1 << 16 {
            return Ok(());
        }
        head.extend_from_slice(&buffer[..count]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let mut words = head.split_whitespace();
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    if let Some(stream) = target.split('?').next().and_then(|path| path.strip_suffix(".flv")) {
        return play(shared, socket, life, stream);
    }
    shared.requests.fetch_add(1, Ordering::Relaxed);
    let manner = shared.state().manner.api;
    match manner {
        Answers::Fine => {}
        Answers::After(delay) => thread::sleep(delay),
        Answers::Garbage => return say(&mut socket, "200 OK", "{\"code\":0,\"clients\":[{{{{\u{1}"),
        Answers::Failure => return say(&mut socket, "500 Internal Server Error", "oops"),
        Answers::Nonsense => {
            let text = json!({ "code": 0, "clients": 7, "streams": { "a": 1 }, "data": [], "service": null });
            return say(&mut socket, "200 OK", &text.to_string());
        }
        Answers::Half => {
            write!(socket, "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{{\"code\":0,")?;
            thread::sleep(Duration::from_millis(50));
            return Ok(());
        }
        Answers::Never => {
            while shared.life.load(Ordering::Relaxed) == life && shared.state().manner.api == Answers::Never {
                thread::sleep(Duration::from_millis(20));
            }
            return Ok(());
        }
    }
    let answer = api(shared, method, target);
    say(&mut socket, "200 OK", &answer.to_string())
}

fn say(socket: &mut TcpStream, status: &str, body: &str) -> io::Result<()> {
    let length = body.len();
    write!(
        socket,
        "HTTP/1.1 {status}\r\nConnection: Close\r\nContent-Length: {length}\r\nContent-Type: application/json\r\n\
         Server: SRS/7.0.18(Hang)\r\n\r\n{body}"
    )
}

fn api(shared: &Arc<Shared>, method: &str, target: &str) -> Value {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let number = |name: &str| {
        let mut fields = query.split('&').filter_map(|field| field.split_once('='));
        fields.find(|(key, _)| *key == name).and_then(|(_, value)| value.parse::<usize>().ok())
    };
    let path = path.trim_end_matches('/');
    if let (Some(id), "DELETE") = (path.strip_prefix("/api/v1/clients/"), method) {
        if !shared.state().clients.iter().any(|client| client.id == id && !client.gone) {
            return json!({ "code": NO_SUCH_CLIENT });
        }
        leave(shared, id);
        return answer(&shared.state(), |_| {});
    }
    let state = shared.state();
    let mut clients = state.clients.clone();
    clients.sort_by(|one, other| one.id.cmp(&other.id));
    let page = |all: Vec<Value>| -> Value {
        all.into_iter().skip(number("start").unwrap_or(0)).take(number("count").unwrap_or(10).max(10)).collect()
    };
    match (method, path) {
        ("GET", "/api/v1/versions") => answer(&state, |answer| {
            answer["data"] = json!({ "major": 7, "minor": 0, "revision": 18, "version": "7.0.18" });
        }),
        ("GET", "/api/v1/summaries") => answer(&state, |answer| {
            let me = json!({
                "version": "7.0.18", "pid": 1, "ppid": 1, "argv": "/simulated/srs -c srs.conf", "cwd": "/simulated",
                "mem_kbyte": 31344, "mem_percent": 0.0, "cpu_percent": 0.02, "srs_uptime": 4,
            });
            answer["data"] = json!({ "ok": true, "now_ms": 1_795_349_276_216_u64, "self": me, "system": {} });
        }),
        ("GET", "/api/v1/clients") => answer(&state, |answer| {
            let mut all: Vec<_> = clients.iter().map(|client| client_json(&state, client)).collect();
            all.extend(state.players.iter().map(|(id, stream)| player_json(id, stream)));
            all.sort_by(|one, other| one["id"].as_str().cmp(&other["id"].as_str()));
            answer["clients"] = page(all);
        }),
        ("GET", "/api/v1/streams") => answer(&state, |answer| answer["streams"] = page(streams(&state, &clients))),
        ("GET", other) => {
            let found = other.strip_prefix("/api/v1/clients/");
            let found = found.and_then(|id| clients.iter().find(|client| client.id == id));
            found.map_or(json!({ "code": NO_SUCH_CLIENT }), |client| {
                answer(&state, |answer| answer["client"] = client_json(&state, client))
            })
        }
        _ => json!({ "code": 100 }),
    }
}

fn answer(state: &State, fill: impl FnOnce(&mut Value)) -> Value {
    let mut answer = json!({ "code": 0, "server": "vid-simulated", "service": state.service, "pid": "1" });
    fill(&mut answer);
    if state.manner.strange {
        answer["tomorrow"] = json!([{ "unknown": true }]);
    }
    answer
}

/// Bytes received by now: as if it sent 1 Mbit/s.
fn bytes(client: &Client) -> u64 {
    client.since.elapsed().as_millis() as u64 * 125
}

fn client_json(state: &State, client: &Client) -> Value {
    let alive = client.since.elapsed().as_secs_f64();
    let mut value = json!({
        "id": client.id, "vhost": "vid-h703wwr", "stream": format!("vid-{}", client.key), "ip": "127.0.0.1",
        "pageUrl": "", "swfUrl": "", "tcUrl": format!("rtmp://127.0.0.1:1935/{}", client.app),
        "url": client.stream(), "name": client.key, "type": "fmle-publish", "publish": true,
        "alive": alive, "send_bytes": 4384, "recv_bytes": bytes(client), "kbps": { "recv_30s": 0, "send_30s": 0 },
    });
    if state.manner.strange {
        value["tomorrow"] = json!({ "x": 1 });
    }
    value
}

fn player_json(id: &str, stream: &str) -> Value {
    let name = format!("{}.flv", stream.rsplit('/').next().unwrap_or_default());
    json!({
        "id": id, "vhost": "vid-h703wwr", "stream": "vid-played", "ip": "127.0.0.1", "pageUrl": "", "swfUrl": "",
        "tcUrl": "http://127.0.0.1/live", "url": stream, "name": name, "type": "flv-play", "publish": false, "alive": 1.0,
        "send_bytes": 0, "recv_bytes": 134, "kbps": { "recv_30s": 0, "send_30s": 0 },
    })
}

/// One for each name that has a publisher, whether it was let in or waits for its hook.
fn streams(state: &State, clients: &[Client]) -> Vec<Value> {
    let mut streams: Vec<Value> = Vec::new();
    for client in clients {
        let url = client.stream();
        if streams.iter().any(|stream| stream["url"] == url) {
            continue;
        }
        let live = clients.iter().find(|other| other.live && other.is(client));
        let count = clients.iter().filter(|other| other.is(client)).count();
        let mut stream = json!({
            "id": format!("vid-{}", client.key), "name": client.key, "vhost": "vid-h703wwr", "app": client.app,
            "tcUrl": format!("rtmp://127.0.0.1:1935/{}", client.app), "url": url, "live_ms": 1_795_349_276_161_u64,
            "clients": count, "frames": 0, "send_bytes": 4384, "recv_bytes": live.map_or(0, bytes),
            "kbps": { "recv_30s": 1000, "send_30s": 0 }, "publish": { "active": false }, "video": null, "audio": null,
        });
        if let Some(live) = live {
            stream["publish"] = json!({ "active": true, "cid": live.id });
            stream["video"] = json!({
                "codec": "H264", "profile": "High", "level": "3", "width": 640, "height": 360,
            });
            stream["audio"] = json!({ "codec": "AAC", "sample_rate": 48000, "channel": 2, "profile": "LC" });
        }
        if state.manner.strange {
            stream["tomorrow"] = json!("x");
        }
        streams.push(stream);
    }
    streams
}

/// HTTP-FLV: the media from its beginning in real time, again and again, for as long as the stream is live. A stream that is not
/// there is waited for in silence.
fn play(shared: &Arc<Shared>, mut socket: TcpStream, life: u64, stream: &str) -> io::Result<()> {
    let player = shared.id();
    shared.state().players.push((player.clone(), stream.to_owned()));
    let result = stream_media(shared, &mut socket, life, stream);
    shared.state().players.retain(|(id, _)| *id != player);
    result
}

fn stream_media(shared: &Arc<Shared>, socket: &mut TcpStream, life: u64, stream: &str) -> io::Result<()> {
    let goes_on = || shared.life.load(Ordering::Relaxed) == life;
    let playable = || {
        let state = shared.state();
        let found = state.clients.iter().find(|client| client.live && client.stream() == stream);
        Some((found?.id.clone(), state.media.clone()?))
    };
    let (id, media) = loop {
        if let Some(found) = playable() {
            break found;
        }
        // Whoever waits for it may give up.
        socket.set_read_timeout(Some(Duration::from_millis(10)))?;
        if !goes_on() || matches!(socket.read(&mut [0; 16]), Ok(0)) {
            return Ok(());
        }
    };
    let tags = flv::read(&media)?;
    write!(socket, "HTTP/1.1 200 OK\r\nConnection: Close\r\nContent-Type: video/x-flv\r\n\r\n")?;
    socket.write_all(flv::HEADER)?;
    let round_ms = tags.iter().map(|tag| tag.timestamp).max().unwrap_or(0) + 33;
    let begin = Instant::now();
    for round in 0.. {
        for tag in &tags {
            // Metadata, and what ends a sequence, come once at most.
            if round > 0 && flv::content(tag.kind, &tag.payload) == Content::Other {
                continue;
            }
            let time = tag.timestamp + round * round_ms;
            let due = begin + Duration::from_millis(u64::from(time));
            thread::sleep(due.saturating_duration_since(Instant::now()));
            if !goes_on() || !shared.state().clients.iter().any(|client| client.live && client.id == id) {
                return Ok(());
            }
            let mut out = Vec::new();
            flv::tag(tag.kind, time, &tag.payload, &mut out);
            socket.write_all(&out)?;
        }
    }
    Ok(())
}
