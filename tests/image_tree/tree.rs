//! The Buildroot tree, read as text: what it names is there, what boards share does not drift, and it carries what the
//! program uses.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::Command,
};

use motherstream::media::{house, pictures, slate, source};

use crate::{BOARDS, files, fragment, hex, read, text, top};

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
        assert!((1..=24).contains(&own), "{board}: {own} lines");
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
        ("nft -f ", "BR2_PACKAGE_NFTABLES"),
        ("iw reg ", "BR2_PACKAGE_IW"),
        ("address=/#/", "BR2_PACKAGE_DNSMASQ"),
        ("polkit.addRule(", "BR2_PACKAGE_POLKIT"),
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
        ("\"systemctl\"", "BR2_INIT_SYSTEMD"),
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
    let hash = hex(read("LICENSE").as_bytes());
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

#[test]
fn program_may_put_its_programme_first_and_is_stopped_before_the_memory_is_full() {
    let unit = read("image/overlay/usr/lib/systemd/system/motherstream.service");
    let value = |key: &str| unit.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('=')).unwrap();
    assert_eq!(value("LimitNICE"), motherstream::precedence::PROGRAM.to_string());
    assert!(unit.lines().any(|line| line.starts_with("SystemCallFilter=") && line.contains(" setpriority ")));
    let percent = |key| value(key).strip_suffix('%').unwrap().parse::<u32>().unwrap();
    assert!(percent("MemoryHigh") < percent("MemoryMax") && percent("MemoryMax") < 90);
    assert_eq!(value("OOMPolicy"), "continue", "a media server that is ended does not end the program");
    let memory = read("buildroot/board/linux.fragment");
    assert!(memory.lines().any(|line| line == "CONFIG_MEMCG=y"), "without it there are no such limits");
}
