//! What the front door refuses, and what it bears.

use std::{
    io::Write,
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use reqwest::Method;
use serde_json::json;

use crate::support::{
    analysis,
    assets::Asset,
    boxed::{self, TheBox, path_part},
    publisher::Encoder,
    recorder::Recorder,
    rtmp::{self, Message, PublishError, Publisher},
    seconds, wait,
};

/// The refusal's description.
#[track_caller]
fn refused(the_box: &TheBox, app: &str, key: &str) -> String {
    match Publisher::publish(the_box.rtmp, app, key).map(|_| ()) {
        Err(PublishError::Refused { code, description }) => {
            assert!(
                code == "NetStream.Publish.BadName" || code == "NetConnection.Connect.Rejected",
                "{code}: {description}"
            );
            assert!(!description.is_empty(), "a refusal says why");
            description
        }
        other => panic!("{app}/{key}: {other:?}"),
    }
}

/// Whether a raw peer that sends `bytes` is closed within `patience`.
fn closed_after(the_box: &TheBox, bytes: &[u8], patience: Duration) -> bool {
    let mut socket = TcpStream::connect(the_box.rtmp).unwrap();
    // It may be closed in the middle.
    let _ = socket.write_all(bytes);
    rtmp::closed_within(&mut socket, patience)
}

/// A peer that has shaken hands and then sends `bytes`.
fn closed_after_handshake(the_box: &TheBox, bytes: &[u8], patience: Duration) -> bool {
    let Ok(mut socket) = Publisher::handshake(the_box.rtmp) else { return true };
    let _ = socket.write_all(bytes);
    rtmp::closed_within(&mut socket, patience)
}

/// One chunk with an AMF0 `connect` whose object lies `depth` objects deep.
fn nested(depth: usize) -> Vec<u8> {
    let mut payload = b"\x02\0\x07connect\0\x3f\xf0\0\0\0\0\0\0".to_vec();
    for _ in 0..depth {
        payload.extend_from_slice(b"\x03\0\x01a");
    }
    payload.push(5);
    for _ in 0..depth {
        payload.extend_from_slice(&[0, 0, 9]);
    }
    let mut out = Vec::new();
    let message = Message { kind: rtmp::COMMAND, stream: 0, timestamp: 0, payload };
    rtmp::ChunkWriter::new().write(3, &message, &mut out);
    out
}

#[test]
fn refusals_and_hostile_peers_leave_the_programme_untouched() {
    let platform = Recorder::start();
    let mut the_box =
        TheBox::builder().set("ingest.handshake_seconds", 3).destination("recorder", &platform.url()).start();
    let api = the_box.api.clone();
    let [a, disabled, kicked, good] = ["Anna", "Dora", "Karl", "Gwen"].map(|name| api.register(name));
    let _encoder = Encoder::publish(&Asset::A.path(), &the_box.publish_url(&a.key));
    api.wait_on_air("Anna", seconds(10));
    wait("the programme at the platform", seconds(5), || platform.first_picture(0));
    thread::sleep(seconds(2));
    let memory = the_box.anonymous_memory();

    // By rule.
    assert_ne!(refused(&the_box, "live", "nobody-has-this-key"), "");
    refused(&the_box, "other", &good.key);
    let account = format!("/api/v1/accounts/{}", path_part(&disabled.id));
    api.call(&Method::PATCH, &account, Some(&json!({ "enabled": false })));
    refused(&the_box, "live", &disabled.key);
    let visitor = Encoder::publish(&Asset::C.path(), &the_box.publish_url(&kicked.key));
    api.wait_ready("Karl", seconds(10));
    let entry = path_part(&api.entry("Karl").unwrap()["id"]);
    api.post(&format!("/api/v1/queue/entries/{entry}/kick"), &json!({}));
    visitor.wait_end(seconds(5));
    refused(&the_box, "live", &kicked.key);
    assert_eq!(api.get("/api/v1/status")["hold_offs"][0]["name"], "Karl");

    // Peers that never become publishers: each is closed when the time for it is over. Limits are three times as wide here.
    let patience = seconds(9);
    let silent: Vec<_> = (0..200).filter_map(|_| TcpStream::connect(the_box.rtmp).ok()).collect();
    let begin = Instant::now();
    for mut socket in silent {
        let left = patience.saturating_sub(begin.elapsed()).max(Duration::from_millis(1));
        assert!(rtmp::closed_within(&mut socket, left), "a connection without a handshake stands after {patience:?}");
    }
    assert!(closed_after(&the_box, &[0x47; 5000], patience), "garbage");
    assert!(closed_after(&the_box, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", patience), "HTTP");
    for _ in 0..20 {
        // Closed by the peer in the middle of the handshake.
        TcpStream::connect(the_box.rtmp).unwrap().write_all(&[3; 700]).unwrap();
    }
    let before = boxed::cpu_time(the_box.pid());
    thread::sleep(seconds(2));
    let spent = boxed::cpu_time(the_box.pid()).saturating_sub(before);
    assert!(spent < seconds(1), "{spent:?} of 2 s after peers closed in the handshake");

    let mut drip = TcpStream::connect(the_box.rtmp).unwrap();
    let begin = Instant::now();
    while begin.elapsed() < patience && drip.write_all(&[3]).is_ok() {
        thread::sleep(Duration::from_millis(500));
    }
    assert!(rtmp::closed_within(&mut drip, seconds(1)), "a byte every half second");

    let mut window_of_zero = Vec::new();
    rtmp::ChunkWriter::new().write(2, &rtmp::control(rtmp::WINDOW_SIZE, &[0; 4]), &mut window_of_zero);
    assert!(closed_after_handshake(&the_box, &window_of_zero, patience), "an acknowledgement window of 0");
    // The longest message that a header can announce, in chunks of 100 MB.
    let mut huge = Vec::new();
    rtmp::ChunkWriter::new().write(2, &rtmp::control(rtmp::SET_CHUNK_SIZE, &100_000_000_u32.to_be_bytes()), &mut huge);
    huge.extend_from_slice(&[4, 0, 0, 0, 0xff, 0xff, 0xff, rtmp::VIDEO, 1, 0, 0, 0]);
    huge.extend_from_slice(&vec![0; 1 << 20]);
    assert!(closed_after_handshake(&the_box, &huge, patience), "a message of 16 MB");
    assert!(closed_after_handshake(&the_box, &nested(1000), patience), "AMF nested 1,000 deep");

    // The same by one who was let in is left out as it comes, and held nowhere.
    let mut publisher = Publisher::publish(the_box.rtmp, "live", &good.key).unwrap();
    publisher.send_raw(&huge).unwrap();
    assert!(!publisher.closed_within(seconds(2)), "a message of 16 MB after the publish");
    drop(publisher);

    assert!(the_box.is_alive());
    let grown = the_box.anonymous_memory().saturating_sub(memory);
    assert!(grown < 32 << 20, "memory grew by {} MB", grown >> 20);
    assert_eq!(api.on_air().as_deref(), Some("Anna"));
    let again = Publisher::publish(the_box.rtmp, "live", &good.key).unwrap();
    drop(again);
    let figures = analysis::figures(&platform.only_session());
    eprintln!("{figures:#?}");
    analysis::assert_unbroken(&figures);
}
