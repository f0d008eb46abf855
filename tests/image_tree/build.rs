//! The binaries that Buildroot does not make, and the script that builds an image.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    process::Command,
};

use crate::{AMD64, ARM64, hex, read, script, stand_in, text};

#[test]
fn a_binary_that_was_changed_or_is_for_another_machine_does_not_get_into_the_image() {
    let folder = tempfile::tempdir().unwrap();
    let (file, to) = (folder.path().join("motherstream"), folder.path().join("image/motherstream"));
    let chosen = stand_in(ARM64, "one");
    let take =
        || script("binary").args(["take", "motherstream"]).arg(&file).arg(hex(&chosen)).arg(&to).output().unwrap();

    let absent = take();
    assert!(!absent.status.success() && text(&absent).contains("is not there"), "{}", text(&absent));
    fs::write(&file, stand_in(ARM64, "another")).unwrap();
    let changed = take();
    assert!(
        !changed.status.success() && text(&changed).contains("is not the one that was chosen"),
        "{}",
        text(&changed)
    );
    fs::write(&file, stand_in(AMD64, "one")).unwrap();
    let foreign = take();
    assert!(!foreign.status.success() && text(&foreign).contains("not a program for arm64"), "{}", text(&foreign));
    assert!(!to.exists());
    fs::write(&file, &chosen).unwrap();
    assert!(take().status.success());
    assert_eq!(fs::read(&to).unwrap(), chosen);

    let unsaid = script("binary").args(["take", "motherstream", "", ""]).arg(&to).output().unwrap();
    assert!(!unsaid.status.success() && text(&unsaid).contains("make image BOARD="), "{}", text(&unsaid));
}

/// Tried on a program of this machine's, with its own libraries as the image's.
#[test]
fn a_binary_that_needs_a_newer_c_library_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    fs::create_dir(&root).unwrap();
    let check = |readelf: &str| script("binary").args(["check", readelf]).arg(&root).arg("/bin/true").output().unwrap();

    let without = check("readelf");
    assert!(
        !without.status.success() && text(&without).contains("libc.so.6 is not in the image"),
        "{}",
        text(&without)
    );

    let ldd = Command::new("ldd").arg("/bin/true").output().unwrap();
    let ldd = String::from_utf8_lossy(&ldd.stdout).into_owned();
    let libc = ldd.lines().find_map(|line| line.trim().strip_prefix("libc.so.6 => ")).unwrap();
    let libc = Path::new(libc.split(' ').next().unwrap());
    symlink(libc.parent().unwrap(), root.join("lib")).unwrap();
    let fine = check("readelf");
    assert!(fine.status.success(), "{}", text(&fine));
    let other =
        script("binary").args(["check", "readelf"]).arg(&root).args(["/bin/true", &hex(b"another")]).output().unwrap();
    assert!(!other.status.success() && text(&other).contains("not the one that was chosen"), "{}", text(&other));

    // The same library as an older readelf's owner would have it: without the version that every program asks for.
    let version = "GLIBC_2.34";
    let needs = Command::new("readelf").args(["-V", "/bin/true"]).output().unwrap();
    assert!(text(&needs).contains(version), "another version would have to be taken away: {}", text(&needs));
    let old = folder.path().join("readelf");
    let filter = format!(
        "#!/bin/sh\ncase \"$*\" in *libc.so.6) readelf \"$@\" | grep -v {version} ;; *) readelf \"$@\" ;; esac\n"
    );
    fs::write(&old, filter).unwrap();
    fs::set_permissions(&old, fs::Permissions::from_mode(0o755)).unwrap();
    let newer = check(old.to_str().unwrap());
    assert!(
        !newer.status.success() && text(&newer).contains(&format!("libc.so.6 has no {version}")),
        "{}",
        text(&newer)
    );
}

#[test]
fn an_image_that_can_not_be_built_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let foreign = folder.path().join("foreign");
    fs::write(&foreign, stand_in(AMD64, "one")).unwrap();
    let foreign = foreign.to_str().unwrap();
    let binary = folder.path().join("motherstream");
    fs::write(&binary, stand_in(ARM64, "one")).unwrap();
    let binary = binary.to_str().unwrap();
    for (arguments, said) in [
        (["rpi3", binary], "make image BOARD=rpi4"),
        (["", binary], "make image BOARD=rpi4"),
        (["rpi4", "/nowhere"], "make cross"),
        // At once, whatever the step.
        (["rpi4", foreign], "not a program for arm64"),
    ] {
        let output = script("image")
            .args(arguments)
            .env("STEP", "configure")
            .env("SRS", "none")
            .env("MOTHERSTREAM_IMAGES", folder.path())
            .output()
            .unwrap();
        assert!(!output.status.success() && text(&output).contains(said), "{said}: {}", text(&output));
    }
    let mut other = script("image");
    other.args(["rpi4", binary]).env("STEP", "configure").env("SRS", foreign).env("MOTHERSTREAM_IMAGES", folder.path());
    let output = other.output().unwrap();
    assert!(
        !output.status.success() && text(&output).contains("(SRS) is not a program for arm64"),
        "{}",
        text(&output)
    );
    let mut wrong = script("image");
    wrong
        .args(["rpi4", binary])
        .env("STEP", "configure")
        .env("SRS", "none")
        .env("MOTHERSTREAM_IMAGES", folder.path())
        .env("BUILDROOT", folder.path());
    let output = wrong.output().unwrap();
    assert!(!output.status.success() && text(&output).contains("is not a Buildroot"), "{}", text(&output));
}

#[test]
fn what_a_build_needs_stands_in_the_script_and_in_the_manual_alike() {
    let script = read("buildroot/scripts/image");
    let list = |name: &str| -> Vec<String> {
        let line = script.lines().find_map(|line| line.strip_prefix(&format!("{name}=("))?.strip_suffix(')'));
        line.unwrap().split(' ').map(str::to_owned).collect()
    };
    let packages = list("packages");
    // The version of an image, and of Buildroot's own tree, is git's.
    assert!(packages.iter().chain(&list("programs")).filter(|name| *name == "git").count() == 2);
    let manual = read("docs/building.md");
    let (_, rest) = manual.split_once("`apt-get install ").unwrap();
    let said: Vec<_> = rest.split('`').next().unwrap().split_whitespace().collect();
    assert_eq!(said, packages);
}

/// A folder that `make` takes for a Buildroot: it configures, and no more.
fn stand_in_buildroot(folder: &Path) -> PathBuf {
    let buildroot = folder.join("buildroot");
    let check = buildroot.join("support/scripts/check-dotconfig.py");
    fs::create_dir_all(check.parent().unwrap()).unwrap();
    fs::write(&check, "#!/bin/sh\n").unwrap();
    fs::set_permissions(&check, fs::Permissions::from_mode(0o755)).unwrap();
    let makefile = "export BR2_VERSION := none\n%_defconfig:\n\ttouch $(O)/.config\n\tprintf '%%-dirclean:\\n\\t@true\\n' >$(O)/Makefile\n";
    fs::write(buildroot.join("Makefile"), makefile).unwrap();
    buildroot
}

#[test]
fn after_configuring_it_says_how_to_go_on_with_the_same_files() {
    let folder = tempfile::tempdir().unwrap();
    let binary = folder.path().join("motherstream");
    fs::write(&binary, stand_in(ARM64, "one")).unwrap();
    let buildroot = stand_in_buildroot(folder.path());
    let images = folder.path().join("images");
    let output = script("image")
        .arg("rpi5")
        .arg(&binary)
        .env("STEP", "configure")
        .env("SRS", "none")
        .env("BUILDROOT", &buildroot)
        .env("MOTHERSTREAM_IMAGES", &images)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output));
    let words = format!(
        "make image BOARD=rpi5 BINARY={} BUILDROOT={} SRS=none MOTHERSTREAM_IMAGES={}\n",
        binary.display(),
        buildroot.display(),
        images.display()
    );
    assert!(text(&output).contains(&words), "{words}{}", text(&output));
    let written = fs::read_to_string(images.join("rpi5/motherstream.mk")).unwrap();
    assert!(written.contains(&format!("MOTHERSTREAM_BINARY_SHA256 = {}\n", hex(&stand_in(ARM64, "one")))));
}
