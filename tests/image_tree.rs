//! The Buildroot tree, read as text: what it names is there, what boards share does not drift, and it carries what the
//! program uses. What only a real Buildroot can tell is in `buildroot/scripts/check`.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::print_stderr, reason = "tests")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    process::{Command, Output},
};

use motherstream::media::{house, pictures, slate, source};
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

/// The lines that decide something.
fn symbols(text: &str) -> BTreeSet<&str> {
    text.lines().filter(|line| line.starts_with("BR2_") || line.starts_with("# BR2_")).collect()
}

/// The symbol of a line, set or not.
fn symbol(line: &str) -> &str {
    line.trim_start_matches("# ").split(['=', ' ']).next().unwrap()
}

fn common() -> String {
    read("buildroot/board/common.fragment")
}

fn fragment(board: &str) -> String {
    read(&format!("buildroot/board/{board}/board.fragment"))
}

fn defconfig(board: &str) -> String {
    read(&format!("buildroot/configs/motherstream_{board}_defconfig"))
}

#[test]
fn every_board_has_a_defconfig_and_a_short_fragment_and_there_are_no_others() {
    let mut configs: Vec<_> = files(&top().join("buildroot/configs"));
    configs.sort();
    let names: Vec<_> = configs.iter().map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect();
    assert_eq!(names, BOARDS.map(|board| format!("motherstream_{board}_defconfig")));
    for board in BOARDS {
        let own = symbols(&fragment(board)).len();
        assert!((1..=20).contains(&own), "{board}: {own} lines");
    }
}

#[test]
fn a_defconfig_is_the_common_fragment_and_its_board_s() {
    let common = common();
    for board in BOARDS {
        let (own, whole) = (fragment(board), defconfig(board));
        let (own, shared, whole) = (symbols(&own), symbols(&common), symbols(&whole));
        let joined: BTreeSet<_> = own.union(&shared).copied().collect();
        let hint = "buildroot/scripts/defconfigs write /path/to/buildroot";
        assert_eq!(joined, whole, "{board}: {hint}");
        // The second of two would win in silence.
        let names: Vec<_> = own.iter().chain(&shared).map(|line| symbol(line)).collect();
        assert_eq!(names.len(), names.iter().collect::<BTreeSet<_>>().len(), "{board}: set in both fragments");
    }
}

#[test]
fn what_all_boards_say_stands_in_the_common_fragment() {
    let fragments = BOARDS.map(fragment);
    let sets: Vec<_> = fragments.iter().map(|text| symbols(text)).collect();
    let everywhere: Vec<_> = sets[0].iter().filter(|line| sets.iter().all(|set| set.contains(*line))).collect();
    assert!(everywhere.is_empty(), "{everywhere:?}");
}

#[test]
fn every_file_that_the_tree_names_exists() {
    let external = top().join("buildroot");
    let mut named = 0;
    for file in files(&external) {
        let Ok(text) = fs::read_to_string(&file) else { continue };
        for prefix in ["$(BR2_EXTERNAL_MOTHERSTREAM_PATH)/", "$BR2_EXTERNAL_MOTHERSTREAM_PATH/"] {
            for (at, _) in text.match_indices(prefix) {
                let path = text[at + prefix.len()..].split(['"', ' ', '\n', ')', '\t']).next().unwrap();
                // A pattern of make's.
                if path.contains('*') {
                    continue;
                }
                named += 1;
                assert!(external.join(path).exists(), "{} names {path}, which is not there", file.display());
            }
        }
    }
    // All defconfigs, both packages.
    assert!(named > 15, "{named}");
}

#[test]
fn every_script_that_a_script_calls_exists_and_may_be_run() {
    let mut called = 0;
    for file in ["post-build.sh", "post-image.sh"] {
        let text = read(&format!("buildroot/board/{file}"));
        let path = text.split("$(dirname \"$0\")/").nth(1).unwrap().split('"').next().unwrap();
        let path = top().join("buildroot/board").join(path);
        let mode =
            fs::metadata(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).permissions().mode();
        assert_ne!(mode & 0o111, 0, "{}", path.display());
        called += 1;
    }
    assert_eq!(called, 2);
    let scripts = files(&top().join("buildroot/scripts"));
    let shell = files(&top().join("buildroot/board"))
        .into_iter()
        .filter(|path| path.extension().is_some_and(|end| end == "sh"));
    for script in scripts.into_iter().chain(shell) {
        assert_ne!(fs::metadata(&script).unwrap().permissions().mode() & 0o111, 0, "{}", script.display());
    }
}

/// Every element that the program makes: what its lists name, and what its source names to GStreamer.
fn elements() -> BTreeSet<String> {
    let listed = [house::ELEMENTS, slate::ELEMENTS, pictures::ELEMENTS, source::PULL_ELEMENTS].concat();
    let mut elements: BTreeSet<String> = listed.iter().map(|&name| name.to_owned()).collect();
    for file in files(&top().join("src")) {
        let tests = file.components().any(|part| part.as_os_str() == "tests") || file.ends_with("tests.rs");
        if tests || file.extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        let text = fs::read_to_string(&file).unwrap();
        for call in ["element(\"", "ElementFactory::make(\"", "ElementFactory::find(\""] {
            elements.extend(text.split(call).skip(1).map(|rest| rest.split('"').next().unwrap().to_owned()));
        }
        for (builder, element) in [("AppSrc::builder", "appsrc"), ("AppSink::builder", "appsink")] {
            if text.contains(builder) {
                elements.insert(element.to_owned());
            }
        }
    }
    elements
}

/// Which symbol of Buildroot's brings an element; `None`: GStreamer's core does.
fn brought_by(element: &str) -> Option<&'static str> {
    Some(match element {
        "capsfilter" | "fdsrc" => return None,
        "appsrc" | "appsink" => "BR2_PACKAGE_GST1_PLUGINS_BASE_PLUGIN_APP",
        "audioconvert" => "BR2_PACKAGE_GST1_PLUGINS_BASE_PLUGIN_AUDIOCONVERT",
        "audioresample" => "BR2_PACKAGE_GST1_PLUGINS_BASE_PLUGIN_AUDIORESAMPLE",
        "videoconvert" | "videoscale" => "BR2_PACKAGE_GST1_PLUGINS_BASE_PLUGIN_VIDEOCONVERTSCALE",
        "jpegenc" => "BR2_PACKAGE_GST1_PLUGINS_GOOD_JPEG",
        "rtmp2sink" | "rtmp2src" => "BR2_PACKAGE_GST1_PLUGINS_BAD_PLUGIN_RTMP2",
        "voaacenc" => "BR2_PACKAGE_GST1_PLUGINS_BAD_PLUGIN_VOAACENC",
        "x264enc" => "BR2_PACKAGE_GST1_PLUGINS_UGLY_PLUGIN_X264",
        "avdec_aac" | "avdec_h264" => "BR2_PACKAGE_GST1_LIBAV",
        unknown => {
            panic!("which symbol of Buildroot's brings {unknown}? Add it here and to package/motherstream/Config.in")
        }
    })
}

#[test]
fn the_image_has_the_plugins_of_every_element_the_program_names_and_no_others() {
    let elements = elements();
    assert!(elements.len() >= 12, "{elements:?}");
    let wanted: BTreeSet<_> = elements.iter().filter_map(|element| brought_by(element)).collect();
    let package = read("buildroot/package/motherstream/Config.in");
    let selected: BTreeSet<_> = package
        .lines()
        .filter_map(|line| line.trim().strip_prefix("select "))
        // The sets themselves bring nothing.
        .filter(|name| {
            name.starts_with("BR2_PACKAGE_GST1_")
                && !name.rsplit("_PLUGINS_").next().is_some_and(|set| ["BASE", "GOOD", "BAD", "UGLY"].contains(&set))
        })
        .collect();
    assert_eq!(wanted, selected);
    for board in BOARDS {
        let config = defconfig(board);
        let more: Vec<_> = symbols(&config)
            .into_iter()
            .filter(|line| line.starts_with("BR2_PACKAGE_GST1_"))
            // The Pi 4's encoder in hardware.
            .filter(|line| board != "rpi4" || !line.contains("_GOOD_PLUGIN_V4L2"))
            .map(str::to_owned)
            .collect();
        assert!(more.is_empty(), "{board}: {more:?}");
        assert!(!config.contains(" BR2_PACKAGE_MOTHERSTREAM is not set"), "{board}");
    }
}

#[test]
fn ffmpeg_has_the_decoders_of_the_elements_and_nothing_under_the_gpl() {
    let common = common();
    let decoders: BTreeSet<_> = common
        .lines()
        .find_map(|line| line.strip_prefix("BR2_PACKAGE_FFMPEG_DECODERS=\"")?.strip_suffix('"'))
        .unwrap()
        .split(' ')
        .collect();
    let elements = elements();
    assert_eq!(decoders, elements.iter().filter_map(|element| element.strip_prefix("avdec_")).collect());
    assert!(!elements.iter().any(|element| element.starts_with("avenc_")), "the image's FFmpeg has no encoders");
    for board in BOARDS {
        assert!(!defconfig(board).contains("FFMPEG_GPL"), "{board}");
        assert!(!defconfig(board).contains("FFMPEG_NONFREE"), "{board}");
    }
}

#[test]
fn nobody_can_log_in() {
    for board in BOARDS {
        let config = defconfig(board);
        let config = symbols(&config);
        for symbol in ["BR2_TARGET_ENABLE_ROOT_LOGIN", "BR2_TARGET_GENERIC_GETTY"] {
            assert!(config.contains(format!("# {symbol} is not set").as_str()), "{board}: {symbol}");
        }
        for line in config {
            for word in ["PASSWD", "PASSWORD", "SSH", "DROPBEAR", "TELNET", "SUDO", "USERS_TABLES"] {
                assert!(!line.contains(word), "{board}: {line}");
            }
        }
    }
    for file in files(&top().join("buildroot/package")).iter().chain(&files(&top().join("buildroot/board"))) {
        let text = fs::read_to_string(file).unwrap().to_lowercase();
        for line in text.lines().filter(|line| !(line.starts_with("# ") && line.ends_with(" is not set"))) {
            for word in ["passwd", "dropbear", "openssh", "authorized_keys", "telnet"] {
                assert!(!line.contains(word), "{}: {line}", file.display());
            }
        }
    }
}

#[test]
fn one_name_service_and_one_network_manager() {
    for board in BOARDS {
        let config = defconfig(board);
        assert!(config.contains("BR2_PACKAGE_NETWORK_MANAGER=y\n"), "{board}");
        assert!(config.contains("# BR2_PACKAGE_SYSTEMD_NETWORKD is not set\n"), "{board}");
        // resolved is on unless it is said not to be, and answers for the box's name.
        assert!(!config.contains("SYSTEMD_RESOLVED"), "{board}");
        assert!(!config.contains("AVAHI"), "{board}");
        // Buildroot puts it in where networkd is not, and starts it.
        assert!(config.contains("# BR2_PACKAGE_IFUPDOWN_SCRIPTS is not set\n"), "{board}");
    }
    // A build with OpenSSL, which RAUC brings, tries TLS first.
    let resolved = read("image/overlay/usr/lib/systemd/resolved.conf.d/motherstream.conf");
    for line in ["MulticastDNS=yes", "DNSSEC=no", "DNSOverTLS=no"] {
        assert!(resolved.lines().any(|found| found == line), "{line}");
    }
}

#[test]
fn the_kernels_have_what_bundles_and_the_watchdog_need() {
    let shared = read("buildroot/board/linux.fragment");
    for option in
        ["DM_VERITY", "BLK_DEV_DM", "BLK_DEV_LOOP", "SQUASHFS", "SQUASHFS_XZ", "EXT4_FS", "VFAT_FS", "WATCHDOG"]
    {
        assert!(shared.contains(&format!("\nCONFIG_{option}=y\n")), "{option}");
    }
    for (board, watchdog) in BOARDS.iter().zip(["I6300ESB_WDT", "BCM2835_WDT", "BCM2835_WDT"]) {
        let own = read(&format!("buildroot/board/{board}/linux.fragment"));
        assert!(own.contains(&format!("CONFIG_{watchdog}=y\n")), "{board}");
        assert!(
            defconfig(board).contains(&format!(
                "/board/linux.fragment $(BR2_EXTERNAL_MOTHERSTREAM_PATH)/board/{board}/linux.fragment\""
            )),
            "{board}"
        );
    }
    // The Pis' modules are packed: for who unpacks them here, and on the box.
    for symbol in ["BR2_PACKAGE_HOST_KMOD_XZ", "BR2_PACKAGE_XZ"] {
        assert!(common().lines().any(|line| line == format!("{symbol}=y")), "{symbol}");
    }
}

/// The kernel that a fragment pins: 6.12 as (6, 12).
fn kernel(board: &str) -> (u32, u32) {
    let fragment = fragment(board);
    let version = fragment
        .lines()
        .find_map(|line| {
            line.strip_prefix("# Linux ")
                .or_else(|| line.strip_prefix("BR2_LINUX_KERNEL_CUSTOM_VERSION_VALUE=\"")?.strip_suffix('"'))
        })
        .unwrap_or_else(|| panic!("{board}: says neither `# Linux 6.x` nor a version"));
    let mut numbers = version.split('.').map(|number| number.parse().unwrap_or(0));
    (numbers.next().unwrap(), numbers.next().unwrap())
}

#[test]
fn a_pi_5_s_kernel_gives_up_on_a_root_that_does_not_come_and_each_slot_starts_its_own() {
    for (slot, name) in [("a", "A"), ("b", "B")] {
        let line = read(&format!("image/boot/rpi5/cmdline-{slot}.txt"));
        assert_eq!(line.lines().count(), 1, "the firmware takes the first line");
        let words: Vec<_> = line.split_whitespace().collect();
        let (root, slot) = (format!("root=PARTLABEL=root-{slot}"), format!("rauc.slot={name}"));
        for word in [
            root.as_str(),
            &slot,
            "ro",
            "panic=10",
            // The table's second copy, where the first was torn by a cut.
            "gpt",
            // Raspberry Pi's device trees say cgroup_disable=memory, before these words; the units have MemoryMax=.
            "cgroup_enable=memory",
        ] {
            assert!(words.contains(&word), "{word}: {line}");
        }
        let wait: u32 = words.iter().find_map(|word| word.strip_prefix("rootwait=")).unwrap().parse().unwrap();
        let fed: u32 = read("image/boot/rpi5/config.txt")
            .lines()
            .find_map(|line| line.strip_prefix("kernel_watchdog_timeout="))
            .unwrap()
            .parse()
            .unwrap();
        assert!((10..fed).contains(&wait), "a slow card must not be taken for a kernel that hangs: {wait} of {fed} s");
    }
    // rootwait= with a number is Linux 6.6's; an older kernel waits for ever.
    for board in BOARDS {
        assert!(kernel(board) >= (6, 6), "{board}");
    }
    // U-Boot would have to feed it.
    assert!(!read("image/boot/rpi4/config.txt").contains("kernel_watchdog"));
}

#[test]
fn u_boot_never_stands_at_a_prompt_and_starts_nothing_but_the_card() {
    let shared = read("buildroot/board/u-boot.fragment");
    for line in [
        "CONFIG_BOOTDELAY=-2",
        "CONFIG_AUTOBOOT_KEYED=y",
        "# CONFIG_AUTOBOOT_KEYED_CTRLC is not set",
        "# CONFIG_PANIC_HANG is not set",
        "# CONFIG_BOOTMETH_EFI_BOOTMGR is not set",
    ] {
        assert!(shared.lines().any(|found| found == line), "{line}");
    }
    let mut boards = 0;
    for board in BOARDS.iter().filter(|board| fragment(board).contains("BR2_TARGET_UBOOT=y")) {
        boards += 1;
        let own = read(&format!("buildroot/board/{board}/u-boot.fragment"));
        let command = own
            .lines()
            .find_map(|line| line.strip_prefix("CONFIG_BOOTCOMMAND=\"")?.strip_suffix('"'))
            .unwrap_or_else(|| panic!("{board}: no boot command, so U-Boot's own, which ends at a prompt"));
        let steps: Vec<_> = command.split("; ").collect();
        assert_eq!(steps.last(), Some(&"reset"), "{board}: {command}");
        let targets = steps[0].strip_prefix("setenv boot_targets ").unwrap();
        for target in targets.split(' ') {
            assert!(["mmc", "usb", "virtio"].contains(&target), "{board}: {target}");
        }
        let files = format!("/board/u-boot.fragment $(BR2_EXTERNAL_MOTHERSTREAM_PATH)/board/{board}/u-boot.fragment\"");
        assert!(defconfig(board).contains(&files), "{board}");
        for text in [&shared, &own] {
            for word in ["CONFIG_BOOT_RETRY", "CONFIG_BUTTON_CMD", "CONFIG_AUTOBOOT_USE_MENUKEY=y"] {
                assert!(!text.contains(word), "{board}: {word}");
            }
        }
    }
    assert_eq!(boards, 2);
}

/// Run as Buildroot does, after systemd's table of modes.
#[test]
fn the_program_gets_through_boot_and_nothing_has_a_set_user_id_bit() {
    let root = tempfile::tempdir().unwrap();
    let (boot, busybox) = (root.path().join("boot"), root.path().join("busybox"));
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    fs::create_dir(&boot).unwrap();
    fs::set_permissions(&boot, fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(&busybox, "").unwrap();
    fs::set_permissions(&busybox, fs::Permissions::from_mode(0o4755)).unwrap();
    let done = Command::new(top().join("buildroot/board/post-fakeroot.sh")).arg(root.path()).output().unwrap();
    assert!(done.status.success(), "{}", text(&done));
    assert_eq!((mode(&boot), mode(&busybox)), (0o755, 0o755));
}

#[test]
fn what_the_overlay_runs_is_in_the_image() {
    let mut overlay = String::new();
    for file in files(&top().join("image/overlay")) {
        overlay.push_str(&fs::read_to_string(file).unwrap());
    }
    let common = common();
    for (word, symbol) in [
        ("sfdisk ", "BR2_PACKAGE_UTIL_LINUX_BINARIES"),
        ("partx ", "BR2_PACKAGE_UTIL_LINUX_PARTX"),
        ("setpriv ", "BR2_PACKAGE_UTIL_LINUX_SETPRIV"),
        ("e2fsck ", "BR2_PACKAGE_E2FSPROGS"),
        ("resize2fs ", "BR2_PACKAGE_E2FSPROGS_RESIZE2FS"),
        ("fw_printenv ", "BR2_PACKAGE_LIBUBOOTENV"),
        ("de.pengutronix.rauc", "BR2_PACKAGE_RAUC_DBUS"),
        ("SystemCallFilter=", "BR2_PACKAGE_LIBSECCOMP"),
        ("[keyfile]", "BR2_PACKAGE_NETWORK_MANAGER"),
    ] {
        assert!(overlay.contains(word), "nothing in the overlay says {word} any more: {symbol} may go");
        assert!(common.lines().any(|line| line == format!("{symbol}=y")), "{word} needs {symbol}");
    }
    // Applets that Buildroot's busybox is without.
    let busybox = read("buildroot/board/busybox.fragment");
    for (word, symbol) in [("timeout ", "CONFIG_TIMEOUT"), ("stat -", "CONFIG_STAT")] {
        if overlay.lines().any(|line| !line.trim_start().starts_with('#') && line.contains(word)) {
            assert!(busybox.lines().any(|line| line == format!("{symbol}=y")), "{word} needs {symbol} of busybox");
        }
    }
}

#[test]
fn what_the_program_runs_is_in_the_image() {
    // What every start of another program names, by the words in its parentheses.
    let starts = BTreeMap::from([
        ("systemctl", "BR2_INIT_SYSTEMD"),
        ("\"setsid\"", "BR2_PACKAGE_UTIL_LINUX_BINARIES"),
        // busybox's, which is on by default.
        ("\"sh\"", ""),
        // SRS itself, and RAUC.
        ("program", "BR2_PACKAGE_MOTHERSTREAM_SRS"),
        ("&installed.program", "BR2_PACKAGE_MOTHERSTREAM_SRS"),
        ("rauc", "BR2_PACKAGE_RAUC"),
        ("&self.rauc", "BR2_PACKAGE_RAUC"),
    ]);
    let common = common();
    let has = |symbol: &str| symbol.is_empty() || common.lines().any(|line| line == format!("{symbol}=y"));
    let mut found = 0;
    let mut asks_for_json = false;
    for file in files(&top().join("src")) {
        let tests = file.components().any(|part| part.as_os_str() == "tests") || file.ends_with("tests.rs");
        if tests || file.extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        let text = fs::read_to_string(&file).unwrap();
        let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        asks_for_json |= text.contains("--output-format=json");
        for start in text.split("Command::new(").skip(1) {
            let started = start.split(')').next().unwrap();
            let symbol = starts.get(started).unwrap_or_else(|| {
                panic!("{} starts {started}: what brings it into the image? Add it here", file.display())
            });
            assert!(has(symbol), "{} starts {started}, which needs {symbol}", file.display());
            found += 1;
        }
    }
    assert!(found >= 6, "{found}");
    // Without this RAUC refuses the option, and no update is ever taken.
    assert!(asks_for_json, "nothing asks RAUC for JSON any more: BR2_PACKAGE_RAUC_JSON may go");
    assert!(has("BR2_PACKAGE_RAUC_JSON"));
}

#[test]
fn every_kernel_has_a_hash() {
    let hashes = read("buildroot/patches/linux/linux.hash");
    for board in BOARDS {
        let config = defconfig(board);
        let value = |name: &str| config.lines().find_map(|line| line.strip_prefix(name)?.strip_suffix('"'));
        let archive = value("BR2_LINUX_KERNEL_CUSTOM_VERSION_VALUE=\"").map_or_else(
            || value("BR2_LINUX_KERNEL_CUSTOM_TARBALL_LOCATION=\"").unwrap().rsplit('/').next().unwrap().to_owned(),
            |version| format!("linux-{version}.tar.xz"),
        );
        assert!(
            hashes.lines().any(|line| line.starts_with("sha256  ") && line.ends_with(&format!("  {archive}"))),
            "{board}: {archive}"
        );
    }
}

#[test]
fn the_licence_s_hash_is_that_of_the_licence() {
    let hash = data_encoding::HEXLOWER.encode(&Sha256::digest(read("LICENSE")));
    assert!(read("buildroot/package/motherstream/motherstream.hash").contains(&format!("sha256  {hash}  LICENSE\n")));
}

#[test]
fn the_buildroot_release_stands_in_one_place() {
    let release = read("buildroot/release");
    let version = release.lines().find_map(|line| line.strip_prefix("version = ")).unwrap();
    for file in files(&top().join("buildroot")) {
        if file.ends_with("release") {
            continue;
        }
        let text = fs::read_to_string(&file).unwrap();
        assert!(!text.contains(version), "{} repeats {version}", file.display());
    }
    // Written by a build from upstream's signed list, or not there: a hash that is too short was typed.
    if let Some(hash) = release.lines().find_map(|line| line.strip_prefix("sha256 = ")) {
        assert!(hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()), "{hash}");
    }
}

// --- The binaries that Buildroot does not make.

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

// --- SRS out of a container image: a layout on disk stands in for the registry, a few bytes for SRS. skopeo is real.

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
        (elsewhere, "amd64", "can not be fetched"),
    ] {
        let _ = fs::remove_file(folder.join("srs"));
        let _ = fs::remove_file(folder.join("srs.lock"));
        Layout::write(&image, layers, &[machine]);
        let refused = fetch(folder);
        assert!(!refused.status.success() && text(&refused).contains(said), "{said}: {}", text(&refused));
        assert!(!folder.join("srs").exists() && !folder.join("srs.lock").exists(), "{said}");
    }
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

// --- The card's image, put together from stand-ins of what Buildroot lays out.

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
