//! Imports run one way: `core <- adapters <- director, accounts <- web <- supervisor, doctor, console <- main`.
//!
//! The sources are read as text, paths are resolved (`crate::`, `super::`, `self::`, grouped `use`), and every edge between
//! two top modules is judged. No compiler is asked, so code behind any `cfg` counts too.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

/// The layer of a top module, lowest first. `None`: a module this table has not heard of.
fn layer(top: &str) -> Option<u8> {
    Some(match top {
        "core" => 0,
        "clock" | "config" | "files" | "telemetry" => 1,
        "store" | "ingest" | "media" | "obs" | "update" => 2,
        "accounts" | "director" => 3,
        "web" => 4,
        "supervisor" | "doctor" | "console" => 5,
        "main" | "lib" => 6,
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

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    PathSeparator,
    Mark(char),
}

/// Words and marks of a Rust source: comments, strings and characters are left out.
fn tokens(source: &str) -> Vec<(usize, Token)> {
    let text: Vec<char> = source.chars().collect();
    let at = |index: usize| text.get(index).copied().unwrap_or('\0');
    let mut found = Vec::new();
    let (mut index, mut line) = (0, 1);
    while index < text.len() {
        let here = at(index);
        match here {
            '\n' => {
                line += 1;
                index += 1;
            }
            '/' if at(index + 1) == '/' => {
                while index < text.len() && at(index) != '\n' {
                    index += 1;
                }
            }
            '/' if at(index + 1) == '*' => {
                while index < text.len() && !(at(index) == '*' && at(index + 1) == '/') {
                    line += usize::from(at(index) == '\n');
                    index += 1;
                }
                index += 2;
            }
            'r' if at(index + 1) == '"' || (at(index + 1) == '#' && matches!(at(index + 2), '#' | '"')) => {
                let hashes = text[index + 1..].iter().take_while(|c| **c == '#').count();
                index += 2 + hashes;
                while index < text.len() && !(at(index) == '"' && (1..=hashes).all(|n| at(index + n) == '#')) {
                    line += usize::from(at(index) == '\n');
                    index += 1;
                }
                index += 1 + hashes;
            }
            '"' => {
                index += 1;
                while index < text.len() && at(index) != '"' {
                    line += usize::from(at(index) == '\n');
                    index += if at(index) == '\\' && at(index + 1) != '\n' { 2 } else { 1 };
                }
                index += 1;
            }
            '\'' if at(index + 1) == '\\' => {
                index += 3;
                while index < text.len() && at(index) != '\'' {
                    index += 1;
                }
                index += 1;
            }
            '\'' if at(index + 2) == '\'' => index += 3,
            ':' if at(index + 1) == ':' => {
                found.push((line, Token::PathSeparator));
                index += 2;
            }
            c if c.is_alphanumeric() || c == '_' => {
                let begin = index;
                while at(index).is_alphanumeric() || at(index) == '_' {
                    index += 1;
                }
                found.push((line, Token::Word(text[begin..index].iter().collect())));
            }
            c if c.is_whitespace() => index += 1,
            c => {
                found.push((line, Token::Mark(c)));
                index += 1;
            }
        }
    }
    found
}

/// Every path a source names, absolute (`crate::a::b` or `external::a`), with its line. `module` is where the file stands.
fn paths(source: &str, module: &[String]) -> Vec<(usize, Vec<String>)> {
    let tokens = tokens(source);
    let mut found = Vec::new();
    // Inline modules and where their braces close.
    let mut scope = module.to_vec();
    let mut closings: Vec<usize> = Vec::new();
    let mut depth = 0_usize;
    let mut index = 0;
    while let Some((_, token)) = tokens.get(index) {
        match token {
            Token::Word(word) if word == "mod" => {
                if let (Some((_, Token::Word(name))), Some((_, Token::Mark('{')))) =
                    (tokens.get(index + 1), tokens.get(index + 2))
                {
                    scope.push(name.clone());
                    depth += 1;
                    closings.push(depth);
                    index += 3;
                    continue;
                }
                index += 1;
            }
            Token::Word(_) => index = tree(&tokens, index, &[], &scope, &mut found),
            Token::Mark('{') => {
                depth += 1;
                index += 1;
            }
            Token::Mark('}') => {
                if closings.last() == Some(&depth) {
                    closings.pop();
                    scope.pop();
                }
                depth = depth.saturating_sub(1);
                index += 1;
            }
            _ => index += 1,
        }
    }
    found
}

/// Reads one path, or a tree of them (`a::{b, c::d}`), from `index` on; returns where it ends.
fn tree(
    tokens: &[(usize, Token)],
    mut index: usize,
    prefix: &[String],
    scope: &[String],
    found: &mut Vec<(usize, Vec<String>)>,
) -> usize {
    let mut path = prefix.to_vec();
    let line = tokens[index].0;
    loop {
        match tokens.get(index) {
            Some((_, Token::Word(word))) => {
                path.push(word.clone());
                index += 1;
                if tokens.get(index).map(|t| &t.1) != Some(&Token::PathSeparator) {
                    break;
                }
                index += 1;
            }
            Some((_, Token::Mark('{'))) if !path.is_empty() && path.len() > prefix.len() => {
                index += 1;
                while let Some((_, token)) = tokens.get(index) {
                    match token {
                        Token::Mark('}') => return index + 1,
                        Token::Word(_) | Token::Mark('{') => {
                            index = tree(tokens, index, &path, scope, found);
                        }
                        _ => index += 1,
                    }
                }
                return index;
            }
            _ => break,
        }
    }
    if let Some(path) = absolute(&path, scope) {
        found.push((line, path));
    }
    index
}

/// Resolves `crate`, `self` and `super`; a bare word alone says nothing.
fn absolute(path: &[String], scope: &[String]) -> Option<Vec<String>> {
    let crate_root = || vec!["crate".to_owned()];
    let (first, rest) = path.split_first()?;
    match first.as_str() {
        "crate" | "motherstream" => Some(crate_root().into_iter().chain(rest.iter().cloned()).collect()),
        "self" | "super" => {
            let ups = path.iter().take_while(|word| *word == "super").count();
            let rest = &path[ups.max(1)..];
            let kept = scope.len().saturating_sub(ups);
            Some(crate_root().into_iter().chain(scope[..kept].iter().cloned()).chain(rest.iter().cloned()).collect())
        }
        _ if rest.is_empty() => None,
        _ => Some(path.to_vec()),
    }
}

/// What is wrong with one source file.
fn faults(file: &str, source: &str) -> Vec<String> {
    let module: Vec<String> =
        file.trim_end_matches(".rs").split('/').filter(|part| *part != "lib").map(ToOwned::to_owned).collect();
    let top = module.first().map_or("lib", String::as_str);
    let mut faults = Vec::new();
    if layer(top).is_none() {
        faults.push(format!("{file}: the module `{top}` stands in no layer; add it to tests/layers.rs"));
        return faults;
    }
    for (line, path) in paths(source, if top == "main" { &[] } else { &module }) {
        match path.as_slice() {
            [root, to, ..] if root == "crate" && layer(to).is_some() && !allowed(top, to) => {
                faults.push(format!("{file}:{line}: `{top}` must not import `{to}`"));
            }
            _ if top == "core" => {
                let path = path.join("::");
                if let Some(impure) = IMPURE.iter().find(|i| path == **i || path.starts_with(&format!("{i}::"))) {
                    faults.push(format!("{file}:{line}: core is pure and must not use `{impure}`"));
                }
            }
            _ => {}
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

#[test]
fn imports_run_one_way() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let files = sources(&root);
    assert!(files.len() > 20, "only {} sources found", files.len());
    let mut report = String::new();
    for path in &files {
        let name = path.strip_prefix(&root).unwrap().to_str().unwrap();
        for fault in faults(name, &fs::read_to_string(path).unwrap()) {
            writeln!(report, "{fault}").unwrap();
        }
    }
    assert!(report.is_empty(), "\n{report}");
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
        ("printer.rs", "", "printer.rs: the module `printer` stands in no layer; add it to tests/layers.rs"),
    ] {
        assert_eq!(faults(file, source), [expected], "{source}");
    }
}

#[test]
fn an_edge_that_runs_the_right_way_is_no_fault() {
    for (file, source) in [
        ("media/program.rs", "use crate::{clock::Clock, config, core::frame, telemetry}; use super::house;"),
        ("director.rs", "use crate::{accounts::Accounts, ingest, media, store};"),
        ("web.rs", "use crate::director; mod tests { use super::*; use super::api; }"),
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
