//! SRS out of a container image: a layout on disk stands in for the registry, a few bytes for SRS. skopeo is real.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use crate::{AMD64, ARM64, hex, script, stand_in, text};

/// An OCI layout with one tag, for two machines, each with layers of (path, content).
struct Layout {
    folder: PathBuf,
}

impl Layout {
    fn write(folder: &Path, layers: &[&[(&str, &[u8])]], machines: &[&str]) -> Self {
        let layout = Self { folder: folder.to_owned() };
        let _ = fs::remove_dir_all(folder);
        fs::create_dir_all(folder.join("blobs/sha256")).unwrap();
        let mut blobs = Vec::new();
        for files in layers {
            let staging = tempfile::tempdir().unwrap();
            for (path, content) in *files {
                let path = staging.path().join(path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, content).unwrap();
            }
            let archive = Command::new("tar")
                .args(["-c", "--sort=name", "--mtime=@0", "-C"])
                .arg(staging.path())
                .arg(".")
                .output()
                .unwrap();
            assert!(archive.status.success());
            blobs.push(layout.blob(&archive.stdout, "application/vnd.oci.image.layer.v1.tar"));
        }
        let ids: Vec<_> = blobs.iter().map(|blob| blob["digest"].clone()).collect();
        let manifests: Vec<_> = machines
            .iter()
            .map(|machine| {
                let config = serde_json::json!({ "architecture": machine, "os": "linux", "rootfs": { "type": "layers", "diff_ids": ids } });
                let config = layout.blob(config.to_string().as_bytes(), "application/vnd.oci.image.config.v1+json");
                let kind = "application/vnd.oci.image.manifest.v1+json";
                let manifest = serde_json::json!({ "schemaVersion": 2, "mediaType": kind, "config": config, "layers": blobs });
                let mut manifest = layout.blob(manifest.to_string().as_bytes(), kind);
                manifest["platform"] = serde_json::json!({ "architecture": machine, "os": "linux" });
                manifest
            })
            .collect();
        let kind = "application/vnd.oci.image.index.v1+json";
        let index = serde_json::json!({ "schemaVersion": 2, "mediaType": kind, "manifests": manifests });
        let mut index = layout.blob(index.to_string().as_bytes(), kind);
        index["annotations"] = serde_json::json!({ "org.opencontainers.image.ref.name": "7" });
        fs::write(
            folder.join("index.json"),
            serde_json::json!({ "schemaVersion": 2, "manifests": [index] }).to_string(),
        )
        .unwrap();
        fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        layout
    }

    fn blob(&self, bytes: &[u8], kind: &str) -> serde_json::Value {
        let hash = hex(bytes);
        fs::write(self.folder.join("blobs/sha256").join(&hash), bytes).unwrap();
        serde_json::json!({ "mediaType": kind, "digest": format!("sha256:{hash}"), "size": bytes.len() })
    }
}

fn skopeo_is_here() -> bool {
    let here = Command::new("skopeo").arg("--version").output().is_ok_and(|output| output.status.success());
    if !here {
        eprintln!(
            "SKIPPED, NOT TESTED: SRS out of a container image, because skopeo is not installed (scripts/install test)."
        );
    }
    here
}

const INSIDE: &str = "usr/local/srs/objs/srs";

/// Runs `srs LOCK TO` on the layout in `folder/image`.
fn fetch(folder: &Path) -> Output {
    let mut command = script("srs");
    command.arg(folder.join("srs.lock")).arg(folder.join("srs"));
    command.env("MOTHERSTREAM_SRS_IMAGE", format!("oci:{}:7", folder.join("image").display()));
    command.output().unwrap()
}

fn locked(folder: &Path) -> BTreeMap<String, String> {
    let lock = fs::read_to_string(folder.join("srs.lock")).unwrap();
    lock.lines()
        .filter_map(|line| line.split_once(" = "))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

#[test]
fn the_first_fetch_of_srs_locks_it_and_later_ones_take_no_other() {
    if !skopeo_is_here() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let image = folder.join("image");
    let srs = stand_in(ARM64, "srs");
    Layout::write(&image, &[&[(INSIDE, &srs), ("etc/hosts", b"")]], &["amd64", "arm64"]);
    let first = fetch(folder);
    assert!(first.status.success(), "{}", text(&first));
    assert_eq!(fs::read(folder.join("srs")).unwrap(), srs);
    let lock = locked(folder);
    assert_eq!(lock["binary"], format!("sha256:{}", hex(&srs)));
    assert_eq!(lock["platform"], "linux/arm64");
    // The digest is that of a manifest in the layout, not a number of ours.
    let manifest = fs::read(image.join("blobs/sha256").join(lock["digest"].strip_prefix("sha256:").unwrap())).unwrap();
    assert!(String::from_utf8(manifest).unwrap().contains("layers"));

    // The same again, and from the lock alone where the binary is here already.
    fs::remove_file(folder.join("srs")).unwrap();
    assert!(fetch(folder).status.success());
    fs::rename(&image, folder.join("away")).unwrap();
    assert!(fetch(folder).status.success(), "a binary that is here needs no network");
    fs::remove_file(folder.join("srs")).unwrap();
    let away = fetch(folder);
    assert!(!away.status.success() && text(&away).contains("SRS=none"), "{}", text(&away));

    // Somebody moved the tag.
    Layout::write(&image, &[&[(INSIDE, &stand_in(ARM64, "another"))]], &["amd64", "arm64"]);
    let moved = fetch(folder);
    assert!(!moved.status.success() && text(&moved).contains("another image than the one in"), "{}", text(&moved));
    assert!(!folder.join("srs").exists(), "nothing is taken from it");
    assert_eq!(locked(folder), lock, "the lock stays");
}

#[test]
fn a_damaged_or_foreign_lock_is_refused() {
    if !skopeo_is_here() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    Layout::write(&folder.join("image"), &[&[(INSIDE, &stand_in(ARM64, "srs"))]], &["arm64"]);
    assert!(fetch(folder).status.success());
    fs::remove_file(folder.join("srs")).unwrap();
    let good = fs::read_to_string(folder.join("srs.lock")).unwrap();
    let hash = locked(folder)["binary"].clone();
    for (from, to, said) in [
        (hash.as_str(), "sha256:12", "is damaged"),
        (hash.as_str(), &format!("sha256:{}", "0".repeat(64)), "is not the one in"),
        ("image = oci:", "image = dir:", "not for oci:"),
    ] {
        fs::write(folder.join("srs.lock"), good.replace(from, to)).unwrap();
        let refused = fetch(folder);
        assert!(!refused.status.success() && text(&refused).contains(said), "{said}: {}", text(&refused));
        assert!(!folder.join("srs").exists());
    }
}

#[test]
fn srs_comes_from_the_last_layer_that_has_it_and_only_for_arm64() {
    if !skopeo_is_here() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let image = folder.join("image");
    let (old, new) = (stand_in(ARM64, "old"), stand_in(ARM64, "new"));
    Layout::write(&image, &[&[(INSIDE, &old)], &[(INSIDE, &new)], &[("etc/hosts", b"")]], &["arm64"]);
    assert!(fetch(folder).status.success());
    assert_eq!(fs::read(folder.join("srs")).unwrap(), new);

    // Deleted by a later layer; never there; a program for another machine; an image for another machine.
    let deleted: &[&[(&str, &[u8])]] = &[&[(INSIDE, &old)], &[("usr/local/srs/objs/.wh.srs", b"")]];
    let absent: &[&[(&str, &[u8])]] = &[&[("usr/bin/srs", &old)]];
    let foreign = stand_in(AMD64, "srs");
    let foreign: &[&[(&str, &[u8])]] = &[&[(INSIDE, &foreign)]];
    let elsewhere: &[&[(&str, &[u8])]] = &[&[(INSIDE, &old)]];
    for (layers, machine, said) in [
        (deleted, "arm64", "has no usr/local/srs/objs/srs"),
        (absent, "arm64", "has no usr/local/srs/objs/srs"),
        (foreign, "arm64", "not a program for arm64"),
        (elsewhere, "amd64", "cannot be fetched"),
    ] {
        let _ = fs::remove_file(folder.join("srs"));
        let _ = fs::remove_file(folder.join("srs.lock"));
        Layout::write(&image, layers, &[machine]);
        let refused = fetch(folder);
        assert!(!refused.status.success() && text(&refused).contains(said), "{said}: {}", text(&refused));
        assert!(!folder.join("srs").exists() && !folder.join("srs.lock").exists(), "{said}");
    }
}
