//! What the box remembers cannot be read: it comes up on the slate, and says so.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
};

use reqwest::Method;
use serde_json::json;

use crate::support::{
    boxed::{Api, TheBox},
    rtmp::{PublishError, Publisher},
    seconds, wait,
};

/// Frames of the programme so far.
fn frames(api: &Api) -> f64 {
    let metrics = api.get("/metrics");
    let text = metrics.as_str().unwrap();
    let line = text.lines().find(|line| line.starts_with("motherstream_program_frames_total ")).unwrap();
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

/// A page as a browser gets it, with its head.
fn page(api: &Api, path: &str) -> String {
    let mut socket = TcpStream::connect(("127.0.0.1", api.port())).unwrap();
    write!(socket, "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/html\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn box_whose_store_is_damaged_comes_up_on_the_slate_and_says_so() {
    let boot = tempfile::TempDir::new().unwrap();
    let mut the_box = TheBox::builder().set("box.boot_dir", boot.path().display()).start();
    let ada = the_box.api.register("Ada");
    assert!(the_box.stop().success());
    let file = the_box.data().join("motherstream.redb");
    let good = fs::read(&file).unwrap();
    let mut damaged = good.clone();
    for byte in damaged.iter_mut().skip(64).take(16 << 10) {
        *byte ^= 0x5a;
    }
    for (what, content, words) in [
        ("damaged", damaged, "damaged"),
        ("another's", b"a text that somebody put here".to_vec(), "not a store"),
        ("empty", Vec::new(), "not a store"),
    ] {
        fs::write(&file, &content).unwrap();
        the_box.boot();
        the_box.wait_answers();
        let api = &the_box.api;

        let before = wait("the slate", seconds(10), || Some(frames(api)).filter(|frames| *frames > 0.0));
        wait("the programme to go on", seconds(5), || (frames(api) > before).then_some(()));
        let (status, ready) = api.try_call(&Method::GET, "/readyz", None).unwrap();
        assert_eq!((status, ready["detail"].as_str().unwrap().contains("store")), (503, true), "{what}: {ready}");

        // Pages and calls say what is wrong and what to do; the token opens nothing.
        for path in ["/", "/login", "/setup", "/admin"] {
            let page = page(api, path);
            assert!(page.starts_with("HTTP/1.1 503 "), "{what} {path}: {page}");
            assert!(page.contains(words) && page.contains("factory-reset"), "{what} {path}: {page}");
        }
        let guest = json!({ "name": "Guest", "password": "a good password" });
        for (method, path, body) in [
            (Method::POST, "/api/v1/accounts", Some(&guest)),
            (Method::GET, "/api/v1/accounts", None),
            (Method::PUT, "/api/v1/show", Some(&json!({ "on": true }))),
        ] {
            let (status, problem) = api.try_call(&method, path, body).unwrap();
            assert_eq!(
                (status, problem["type"].as_str()),
                (503, Some("urn:motherstream:no-store")),
                "{what}: {problem}"
            );
            assert!(problem["detail"].as_str().unwrap().contains(words), "{what}: {problem}");
        }
        match Publisher::publish(the_box.rtmp, "live", &ada.key).map(|_| ()) {
            Err(PublishError::Refused { description, .. }) => {
                assert!(description.contains("cannot read what it remembers"), "{what}: {description}");
            }
            other => panic!("{what}: {other:?}"),
        }
        assert!(the_box.stop().success(), "{what}");
        assert!(fs::read(&file).unwrap() == content, "{what}: the file was touched");
    }

    // What was left alone can be put right.
    fs::write(&file, &good).unwrap();
    the_box.boot();
    the_box.wait_ready();
    assert_eq!(the_box.api.get("/api/v1/accounts")[0]["name"], "Ada");
}
