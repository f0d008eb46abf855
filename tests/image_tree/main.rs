//! The Buildroot tree and the folder that every way of building the root shares, without a Buildroot: what only a real one
//! can tell is in `buildroot/scripts/check`.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::print_stderr, reason = "tests")]

mod build;
mod card;
mod network;
mod srs;
mod tree;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use sha2::{Digest as _, Sha256};

const BOARDS: [&str; 3] = ["qemu_aarch64", "rpi4", "rpi5"];

fn top() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(file: &str) -> String {
    fs::read_to_string(top().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// Every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.is_symlink() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}

fn fragment(board: &str) -> String {
    read(&format!("buildroot/board/{board}/board.fragment"))
}

fn script(name: &str) -> Command {
    Command::new(top().join("buildroot/scripts").join(name))
}

fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(&Sha256::digest(bytes))
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The first 20 bytes of a program for a machine, and a tail that makes it another one: a stand-in that nothing runs.
fn stand_in(machine: u8, tail: &str) -> Vec<u8> {
    let mut bytes = b"\x7fELF\x02\x01\x01".to_vec();
    bytes.resize(16, 0);
    bytes.extend([3, 0, machine, 0]);
    bytes.extend(tail.as_bytes());
    bytes
}

const ARM64: u8 = 0xb7;
const AMD64: u8 = 0x3e;
