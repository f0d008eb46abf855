//! The card's image, put together from stand-ins of what Buildroot lays out.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use crate::{files, fragment, text, top};

/// What lies in Buildroot's folder of images, by what the board's fragment asks for.
fn laid_out(board: &str, folder: &Path) {
    let fragment = fragment(board);
    let lay = |path: &str| {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, path.to_string_lossy().as_bytes()).unwrap();
    };
    lay("Image");
    if fragment.contains("BR2_TARGET_UBOOT=y") {
        lay("u-boot.bin");
    }
    let trees =
        fragment.lines().find_map(|line| line.strip_prefix("BR2_LINUX_KERNEL_INTREE_DTS_NAME=\"")?.strip_suffix('"'));
    for tree in trees.unwrap_or_default().split_whitespace() {
        lay(&format!("{}.dtb", tree.rsplit('/').next().unwrap()));
    }
    // The package makes the folder when it has a file for it.
    if fragment.contains("BR2_PACKAGE_RPI_FIRMWARE_VARIANT_PI4=y") {
        lay("rpi-firmware/start4.elf");
        lay("rpi-firmware/fixup4.dat");
    }
    if fragment.contains("BR2_PACKAGE_RPI_FIRMWARE=y") && !fragment.contains("INSTALL_DTB_OVERLAYS is not set") {
        lay("rpi-firmware/overlays/disable-bt.dtbo");
    }
}

/// Programs of this name that leave an empty file where the real ones would write.
fn stand_in_tools(folder: &Path) -> PathBuf {
    let tools = folder.join("tools");
    fs::create_dir(&tools).unwrap();
    let last = "for last; do :; done; : >\"$last\"";
    for (name, does) in [
        ("e2fsck", ":"),
        ("resize2fs", ":"),
        ("mkfs.vfat", ":"),
        ("mcopy", ":"),
        ("mkimage", last),
        // It reads what it is given: whoever writes to it would end by SIGPIPE otherwise.
        ("mkenvimage", "cat >/dev/null; : >\"$4\""),
        ("rauc", last),
        ("genimage", ": >\"${10}/motherstream-$(basename \"$2\" .cfg).img\""),
    ] {
        let path = tools.join(name);
        fs::write(&path, format!("#!/bin/sh\n{does}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    tools
}

/// Runs `image/post-image` for a board on what is in the folder.
fn post_image(board: &str, folder: &Path, tools: Option<&Path>) -> Output {
    let path = std::env::var("PATH").unwrap();
    let path = tools.map_or_else(|| format!("{path}:/usr/sbin:/sbin"), |tools| format!("{}:{path}", tools.display()));
    let keys = folder.with_file_name("keys");
    if tools.is_some() {
        fs::create_dir_all(&keys).unwrap();
        fs::write(keys.join("signing.key.pem"), "").unwrap();
    }
    Command::new(top().join("image/post-image"))
        .arg(folder)
        .arg(board.split('_').next().unwrap())
        .env("PATH", path)
        .env("MOTHERSTREAM_KEYS", keys)
        .env("MOTHERSTREAM_VERSION", "1")
        .output()
        .unwrap()
}

fn names(folder: &Path) -> BTreeSet<String> {
    let under = files(folder).into_iter().map(|path| path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned());
    under.collect()
}

/// The partition that starts the box, and the slot's own where there is one: every file that must be there.
const STARTS: [(&str, &[&str], &[&str]); 3] = [
    ("qemu_aarch64", &["README.txt", "boot.scr"], &[]),
    (
        "rpi4",
        &[
            "README.txt",
            "boot.scr",
            "bcm2711-rpi-4-b.dtb",
            "bcm2711-rpi-400.dtb",
            "bcm2711-rpi-cm4.dtb",
            "config.txt",
            "fixup4.dat",
            "overlays/disable-bt.dtbo",
            "start4.elf",
            "u-boot.bin",
        ],
        &[],
    ),
    (
        "rpi5",
        &["README.txt", "autoboot.txt"],
        &[
            "Image",
            "bcm2712-rpi-5-b.dtb",
            "bcm2712-rpi-500.dtb",
            "bcm2712d0-rpi-5-b.dtb",
            "cmdline-a.txt",
            "cmdline-b.txt",
            "config.txt",
        ],
    ),
];

#[test]
fn each_board_s_boot_partitions_hold_what_it_starts_from() {
    for (board, boot, slot) in STARTS {
        let folder = tempfile::tempdir().unwrap();
        let tools = stand_in_tools(folder.path());
        let images = folder.path().join("images");
        laid_out(board, &images);
        fs::write(images.join("rootfs.ext4"), "root").unwrap();
        let done = post_image(board, &images, Some(&tools));
        assert!(done.status.success(), "{board}: {}", text(&done));
        let set = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<BTreeSet<_>>();
        assert_eq!(names(&images.join("parts/boot")), set(boot), "{board}");
        assert_eq!(names(&images.join("parts/slot-boot")), set(slot), "{board}");
    }
}

#[test]
fn a_pi_4_without_its_firmware_gets_no_image() {
    let folder = tempfile::tempdir().unwrap();
    let tools = stand_in_tools(folder.path());
    let images = folder.path().join("images");
    laid_out("rpi4", &images);
    fs::write(images.join("rootfs.ext4"), "root").unwrap();
    fs::remove_dir_all(images.join("rpi-firmware")).unwrap();
    assert!(!post_image("rpi4", &images, Some(&tools)).status.success());
}

/// With the real tools, as far as they are here.
#[test]
fn each_board_s_image_and_update_are_put_together() {
    let programs =
        ["genimage", "mcopy", "mkfs.vfat", "mke2fs", "mkimage", "mkenvimage", "mksquashfs", "rauc", "openssl"];
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap());
    let missing: Vec<_> = programs
        .iter()
        .filter(|program| !std::env::split_paths(&path).any(|folder| folder.join(program).is_file()))
        .collect();
    if !missing.is_empty() {
        eprintln!(
            "SKIPPED, NOT TESTED: the cards' images put together, because these are missing: {missing:?} (scripts/install image)."
        );
        return;
    }
    for (board, boot, slot) in STARTS {
        let folder = tempfile::tempdir().unwrap();
        let images = folder.path().join("images");
        laid_out(board, &images);
        // A few files, so that there is something to sign.
        let root = folder.path().join("root");
        fs::create_dir(&root).unwrap();
        fs::write(root.join("something"), fs::read(top().join("Cargo.lock")).unwrap()).unwrap();
        let made = Command::new("mke2fs")
            .args(["-q", "-F", "-t", "ext4", "-d"])
            .arg(&root)
            .arg(images.join("rootfs.ext4"))
            .arg("32M")
            .env("PATH", &path)
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", text(&made));
        let done = post_image(board, &images, None);
        assert!(done.status.success(), "{board}: {}", text(&done));

        for (image, wanted) in [("boot.vfat", boot), ("slot-boot.vfat", slot)] {
            if wanted.is_empty() {
                continue;
            }
            let listed = Command::new("mdir")
                .args(["-/", "-b", "-i"])
                .arg(images.join("parts").join(image))
                .arg("::")
                .output()
                .unwrap();
            let found: BTreeSet<_> = text(&listed)
                .lines()
                .filter_map(|line| line.strip_prefix("::/"))
                .filter(|line| !line.ends_with('/'))
                .map(str::to_owned)
                .collect();
            assert_eq!(found, wanted.iter().map(|&name| name.to_owned()).collect(), "{board}: {image}");
        }
        let name = board.split('_').next().unwrap();
        assert!(fs::metadata(images.join(format!("motherstream-{name}.raucb"))).unwrap().len() > 4096, "{board}");
        // The names in its partition table, which is the card's first sectors, are what everything is found by.
        let card = fs::File::open(images.join(format!("motherstream-{name}.img"))).unwrap();
        let mut table = vec![0; 34 * 512];
        std::os::unix::fs::FileExt::read_exact_at(&card, &mut table, 0).unwrap();
        let parts: &[&str] = if board == "rpi5" {
            &["boot", "boot-a", "boot-b", "root-a", "root-b", "data"]
        } else {
            &["boot", "bootstate", "root-a", "root-b", "data"]
        };
        for part in parts {
            // As the table has it: two bytes a letter, filled up with zeros.
            let letters: Vec<u8> = part.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect();
            assert!(table.windows(letters.len()).any(|found| found == letters), "{board}: {part}");
        }
    }
}
