//! What the documents repeat is held to what it repeats.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use motherstream::media::{house, pictures, slate};

fn read(file: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap()
}

/// The crates in one section of the manifest.
fn manifest(section: &str) -> BTreeSet<String> {
    let manifest: toml::Table = read("Cargo.toml").parse().unwrap();
    manifest.get(section).unwrap().as_table().unwrap().keys().cloned().collect()
}

/// The first column of the table below one heading: what stands there in backticks.
fn documented(heading: &str) -> BTreeSet<String> {
    let page = read("docs/dependencies.md");
    let (_, section) = page.split_once(&format!("\n## {heading}\n")).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let rows: Vec<&str> = section.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    let names: BTreeSet<String> = rows.iter().map(|&name| name.to_owned()).collect();
    assert_eq!(rows.len(), names.len(), "a row stands twice under {heading}");
    names
}

#[test]
fn every_dependency_is_documented_and_every_documented_one_is_there() {
    assert_eq!(manifest("dependencies"), documented("In the program"));
    let tests: BTreeSet<String> = manifest("dev-dependencies").difference(&manifest("dependencies")).cloned().collect();
    assert_eq!(tests, documented("In tests and benchmarks"));
}

#[test]
fn every_element_is_documented() {
    let documented = documented("GStreamer");
    for element in house::ELEMENTS.iter().chain(slate::ELEMENTS).chain(pictures::ELEMENTS) {
        assert!(documented.contains(*element), "{element}");
    }
}

#[test]
fn every_licence_is_permissive() {
    const PERMISSIVE: [&str; 12] = [
        "MIT",
        "Apache-2.0",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "ISC",
        "Zlib",
        "0BSD",
        "BSL-1.0",
        "Unlicense",
        "Unicode-3.0",
        "OFL-1.1",
        "Ubuntu-font-1.0",
    ];
    let output = Command::new(env!("CARGO"))
        // What is compiled here has been fetched; what other systems would need may not have been.
        .args(["metadata", "--format-version", "1", "--locked", "--offline", "--filter-platform"])
        .arg(format!("{}-unknown-linux-gnu", std::env::consts::ARCH))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    for package in metadata["packages"].as_array().unwrap() {
        let name = package["name"].as_str().unwrap();
        let licence = package["license"].as_str().unwrap_or_default().replace('/', " OR ");
        let allowed =
            |name: &str| PERMISSIVE.contains(&name.trim_matches(['(', ')', ' ']).split(" WITH ").next().unwrap());
        // One of each choice, and all of what is joined.
        let fine = licence.split(" AND ").all(|part| part.split(" OR ").any(allowed));
        assert!(fine, "{name}: {licence}");
    }
}
