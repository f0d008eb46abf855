//! What the documents repeat is held to what it repeats.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use motherstream::media::{egress, house, pictures, slate};

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
    let egress = egress::elements();
    for element in house::ELEMENTS.iter().chain(slate::ELEMENTS).chain(pictures::ELEMENTS).chain(&egress) {
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

/// The documents, with their texts.
fn documents() -> Vec<(PathBuf, String)> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut documents = vec![top.join("README.md")];
    documents
        .extend(files(&top.join("docs")).into_iter().filter(|file| file.extension().is_some_and(|end| end == "md")));
    documents.into_iter().map(|file| (file.clone(), fs::read_to_string(file).unwrap())).collect()
}

/// All files below a folder, but for what npm has put there.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            if path.file_name().unwrap() != "node_modules" {
                found.extend(files(&path));
            }
        } else {
            found.push(path);
        }
    }
    found
}

/// What a heading is called in an address: `#an-audit-row`.
fn anchor(heading: &str) -> String {
    let letters = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    letters.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
}

#[test]
fn every_link_of_a_document_leads_somewhere() {
    let mut count = 0;
    for (document, text) in documents() {
        for target in text.split("](").skip(1).map(|rest| rest.split(')').next().unwrap()) {
            if target.starts_with("http://") || target.starts_with("https://") {
                continue;
            }
            let (file, heading) = target.split_once('#').unwrap_or((target, ""));
            let file = if file.is_empty() { document.clone() } else { document.parent().unwrap().join(file) };
            assert!(file.exists(), "{}: {target} is not there", document.display());
            if !heading.is_empty() {
                let text = fs::read_to_string(&file).unwrap();
                let mut headings = text.lines().filter(|line| line.starts_with('#'));
                let found = headings.any(|line| anchor(line.trim_start_matches('#').trim()) == heading);
                assert!(found, "{}: {target} leads to no heading", document.display());
            }
            count += 1;
        }
    }
    assert!(count > 100, "only {count} links found");
}

#[test]
fn every_test_that_the_page_about_adding_names_is_there() {
    let sources = rust_sources();
    // Tests have the names of claims, which nothing else has that stands in a document.
    let is_claim = |word: &str| {
        word.matches('_').count() >= 3 && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    };
    let named = read("docs/adding.md");
    let named: BTreeSet<_> = named.split('`').filter(|word| is_claim(word)).collect();
    assert!(named.len() > 10, "{named:?}");
    for name in named {
        assert!(sources.contains(&format!("fn {name}(")), "docs/adding.md names {name}");
    }
}

/// All of the program's and its tests' code.
fn rust_sources() -> String {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = ["src", "tests"].into_iter().flat_map(|folder| files(&top.join(folder)));
    let ours = files.filter(|file| file.extension().is_some_and(|ending| ending == "rs"));
    ours.map(|file| fs::read_to_string(file).unwrap()).collect()
}

#[test]
fn every_row_about_encoders_names_tests_that_there_are() {
    let text = rust_sources();
    let page = read("docs/encoders.md");
    let rows: Vec<&str> =
        page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| encoder |")).collect();
    assert!(rows.len() > 30);
    for row in rows {
        let tests = row.trim_end_matches(" |").rsplit(" | ").next().unwrap();
        let names: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty(), "{row}");
        for name in names {
            assert!(text.contains(&format!("fn {name}(")), "there is no test called {name}");
        }
    }
}
