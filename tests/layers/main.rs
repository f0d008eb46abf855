//! Imports run one way: `core <- adapters <- director, accounts <- control <- web <- supervisor, doctor, console <- main`.
//! Inside the large modules rooms stand on floors (`floors`), no files run in a circle (`circles`), and no word is two types' (`words`).
//!
//! The sources are read as text, paths are resolved (`crate::`, `super::`, `self::`, grouped `use`), and every edge between
//! two top modules is judged. No compiler is asked, so code behind any `cfg` counts too.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod circles;
mod floors;
mod source;
mod words;

use std::{
    fs,
    path::{Path, PathBuf},
};

use circles::{Tree, circles, module};
use source::{absolute, read};

/// The layer of a top module, lowest first. `None`: a module this table has not heard of.
fn layer(top: &str) -> Option<u8> {
    Some(match top {
        "core" => 0,
        "clock" | "config" | "files" | "precedence" | "telemetry" => 1,
        "store" | "ingest" | "media" | "network" | "obs" | "update" => 2,
        "accounts" | "director" => 3,
        "control" => 4,
        "web" => 5,
        "supervisor" | "doctor" | "console" => 6,
        "main" | "lib" => 7,
        _ => return None,
    })
}

/// Whether code of top module `from` may name top module `to`.
fn allowed(from: &str, to: &str) -> bool {
    if from == to || from == "lib" {
        return true;
    }
    // Within the middle the director asks accounts whose key a key is, never the other way round.
    if (from, to) == ("director", "accounts") {
        return true;
    }
    // Configuration, clock, files and telemetry serve every adapter, each other included.
    if layer(from) == Some(1) && layer(to) == Some(1) {
        return true;
    }
    matches!((layer(from), layer(to)), (Some(from), Some(to)) if to < from)
}

/// What the pure part must not name: clocks, I/O, randomness, the runtime, media and web libraries.
const IMPURE: &[&str] = &[
    "tokio",
    "tokio_util",
    "tokio_stream",
    "gstreamer",
    "gstreamer_app",
    "rand",
    "redb",
    "axum",
    "rustix",
    "std::fs",
    "std::io",
    "std::env",
    "std::process",
    "std::thread",
    "std::time::Instant",
    "std::time::SystemTime",
    "std::net::TcpStream",
    "std::net::TcpListener",
    "std::net::UdpSocket",
    "std::net::ToSocketAddrs",
    "jiff::Timestamp::now",
    "jiff::Zoned::now",
];

/// What is wrong with one source file.
fn faults(file: &str, source: &str) -> Vec<String> {
    let module = module(file);
    let top = module.first().map_or("lib", String::as_str);
    let mut faults = Vec::new();
    if layer(top).is_none() {
        faults.push(format!("{file}: the module `{top}` stands in no layer; add it to tests/layers"));
        return faults;
    }
    for name in read(source, &module).names {
        let line = name.line;
        match absolute(&name.path, &name.scope) {
            Some(path) => {
                if let Some(to) = path.first().filter(|to| layer(to).is_some() && !allowed(top, to)) {
                    faults.push(format!("{file}:{line}: `{top}` must not import `{to}`"));
                }
            }
            None if top == "core" => {
                let path = name.path.join("::");
                if let Some(impure) = IMPURE.iter().find(|i| path == **i || path.starts_with(&format!("{i}::"))) {
                    faults.push(format!("{file}:{line}: core is pure and must not use `{impure}`"));
                }
            }
            None => {}
        }
    }
    faults.dedup();
    faults
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Every source with its text, named as below `src`.
fn all() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let name = |path: &Path| path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
    let files: Vec<_> = sources(&root).iter().map(|path| (name(path), fs::read_to_string(path).unwrap())).collect();
    assert!(files.len() > 20, "only {} sources found", files.len());
    files
}

fn assert_none(faults: &[String]) {
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn imports_run_one_way() {
    let faults: Vec<_> = all().iter().flat_map(|(file, source)| faults(file, source)).collect();
    assert_none(&faults);
}

#[test]
fn rooms_look_down_only() {
    let files = all();
    let tree = Tree::new(files.iter().map(|(file, source)| (file.as_str(), source.as_str())));
    assert_none(&floors::faults(&tree, &tree.needs()));
}

#[test]
fn no_files_run_in_a_circle() {
    let files = all();
    let tree = Tree::new(files.iter().map(|(file, source)| (file.as_str(), source.as_str())));
    assert_none(&circles(&tree.needs()));
}

#[test]
fn a_word_is_one_type_s() {
    let files = all();
    assert_none(&words::faults(&Tree::new(files.iter().map(|(file, source)| (file.as_str(), source.as_str())))));
}

#[test]
fn an_edge_that_runs_the_other_way_is_found_however_it_is_written() {
    for (file, source, expected) in [
        ("core/queue.rs", "use crate::store::Store;", "core/queue.rs:1: `core` must not import `store`"),
        ("core/queue.rs", "use super::super::media;", "core/queue.rs:1: `core` must not import `media`"),
        (
            "media.rs",
            "use crate::{\n    core::frame,\n    ingest::{self, Ingest},\n};",
            "media.rs:3: `media` must not import `ingest`",
        ),
        ("media/program.rs", "fn f() { crate::store::open() }", "media/program.rs:1: `media` must not import `store`"),
        ("store.rs", "mod tests { use super::super::web; }", "store.rs:1: `store` must not import `web`"),
        ("accounts.rs", "type D = crate::director::Director;", "accounts.rs:1: `accounts` must not import `director`"),
        ("web/api.rs", "use crate::supervisor;", "web/api.rs:1: `web` must not import `supervisor`"),
        ("control/night.rs", "use crate::web::App;", "control/night.rs:1: `control` must not import `web`"),
        ("director.rs", "use crate::control;", "director.rs:1: `director` must not import `control`"),
        ("core/frame.rs", "use tokio::sync::mpsc;", "core/frame.rs:1: core is pure and must not use `tokio`"),
        (
            "core/frame.rs",
            "use std::{sync::Arc, time::{Duration, Instant}};",
            "core/frame.rs:1: core is pure and must not use `std::time::Instant`",
        ),
        (
            "core/frame.rs",
            "fn f() {\n let n = std::fs::read(\"x\"); }",
            "core/frame.rs:2: core is pure and must not use `std::fs`",
        ),
        ("printer.rs", "", "printer.rs: the module `printer` stands in no layer; add it to tests/layers"),
    ] {
        assert_eq!(faults(file, source), [expected], "{source}");
    }
}

#[test]
fn an_edge_that_runs_the_right_way_is_no_fault() {
    for (file, source) in [
        ("media/program.rs", "use crate::{clock::Clock, config, core::frame, telemetry}; use super::house;"),
        ("director.rs", "use crate::{accounts::Accounts, ingest, media, store};"),
        ("control.rs", "use crate::{accounts, director::Director, store, config};"),
        ("web.rs", "use crate::{control, director}; mod tests { use super::*; use super::api; }"),
        ("main.rs", "use motherstream::{supervisor, doctor};"),
        (
            "core/queue.rs",
            "// use tokio::x;\n/* crate::web::x */ const S: &str = \"crate::store::x\"; const C: char = '\"'; use std::time::Duration;",
        ),
        (
            "core/switcher.rs",
            "fn f<'a>(x: &'a str) -> char { '\\'' } use super::frame::Frame; const R: &str = r#\"crate::web::x\"#;",
        ),
        ("lib.rs", "pub mod core; pub use crate::web::x;"),
    ] {
        assert_eq!(faults(file, source), Vec::<String>::new(), "{source}");
    }
}
