//! The network's part of the image: what is guarded, who may ask for what, and that root's helper takes nothing that it was not made for.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    process::Command,
};

use crate::{BOARDS, files, read, text, top};

const OVERLAY: &str = "image/overlay/";
const HELPER: &str = "usr/lib/motherstream/network";
const RULES: &str = "usr/lib/motherstream/firewall.nft";
const DISPATCHER: &str = "usr/lib/NetworkManager/dispatcher.d/";

fn overlay(file: &str) -> String {
    read(&format!("{OVERLAY}{file}"))
}

/// A script whose folders are below another root, with stand-ins for the programs that it runs: each writes down its words, and `nft` what it
/// is given. `fails`: programs that say no.
struct Stage {
    folder: tempfile::TempDir,
}

impl Stage {
    fn new(fails: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let bin = folder.path().join("bin");
        for path in ["bin", "run/motherstream", "sys/class/net", "sys/class/ieee80211", "run/systemd/resolve"] {
            fs::create_dir_all(folder.path().join(path)).unwrap();
        }
        for name in ["iw", "nft", "systemctl", "sleep"] {
            let called = folder.path().join("called");
            let portal = folder.path().join("portal").display().to_string();
            let (called, status) = (called.display(), i32::from(fails.contains(&name)));
            // Of nft's files the last word is the name; `list set` names what is in the set.
            let does = match name {
                "nft" => format!(
                    "case \"$*\" in\n'list chain inet motherstream names') [ -e {portal} ]; exit ;;\n'list set inet motherstream ap') echo 'elements = {{ \"ap0\", \"wlan9\" }}' ;;\n'list set inet motherstream guests') echo 'elements = {{ \"wlan9\" }}' ;;\n'-f -') cat >>{called} ;;\n*) cat \"$2\" >>{called} ;;\nesac"
                ),
                _ => format!("echo {name} \"$@\" >>{called}"),
            };
            let path = bin.join(name);
            fs::write(&path, format!("#!/bin/sh\n{does}\nexit {status}\n")).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        Self { folder }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    /// Runs it; what the stand-ins wrote down meanwhile.
    fn run(&self, script: &str, words: &[&str], environment: &[(&str, &str)]) -> String {
        let root = self.folder.path().display();
        let text = overlay(script).replace("/run/", &format!("{root}/run/")).replace("/sys/", &format!("{root}/sys/"));
        let copy = self.path("script");
        fs::write(&copy, text).unwrap();
        let called = self.path("called");
        fs::write(&called, "").unwrap();
        let path = format!("{root}/bin:{}", std::env::var("PATH").unwrap());
        let mut command = Command::new("sh");
        command.arg(&copy).args(words).env("PATH", path).envs(environment.iter().copied());
        let done = command.output().unwrap();
        assert!(done.status.success(), "{}", crate::text(&done));
        fs::read_to_string(called).unwrap()
    }

    /// Asks the helper for something, as the program does.
    fn ask(&self, asked: impl AsRef<[u8]>) -> String {
        fs::write(self.path("run/motherstream/network"), asked).unwrap();
        self.run(HELPER, &[], &[])
    }

    fn read(&self, path: &str) -> Option<String> {
        fs::read_to_string(self.path(path)).ok()
    }

    fn said(&self) -> String {
        self.read("run/motherstream-network/said").unwrap()
    }
}

const APPLIED: &str = "run/motherstream-network/applied";
const CHECK: &str = "run/NetworkManager/conf.d/motherstream-check.conf";
const TIME: &str = "run/systemd/timesyncd.conf.d/90-asked.conf";

#[test]
fn root_s_helper_does_what_is_asked_for_once() {
    let stage = Stage::new(&[]);
    fs::create_dir(stage.path("sys/class/ieee80211/phy3")).unwrap();
    fs::write(
        stage.path("run/systemd/resolve/resolv.conf"),
        "nameserver 4.3.2.1\nnameserver fe80::1\nnameserver 10.9.8.7\n",
    )
    .unwrap();
    let whole =
        "country DE\ncheck http://check.example/nm?a=1&b=%20\nntp one.example 10.0.0.1\nsecond yes\nportal yes\n";
    let did = stage.ask(whole);
    for line in [
        "iw reg set DE",
        "iw phy phy3 interface add ap0 type __ap",
        "systemctl --no-block reload NetworkManager.service",
        "systemctl --no-block try-restart systemd-timesyncd.service",
        "add rule inet motherstream names iifname @portal meta l4proto { tcp, udp } th dport 53 dnat ip to 10.9.8.7",
        // Not the interface that guests are on.
        "add element inet motherstream portal { \"ap0\" }",
    ] {
        assert!(did.lines().any(|found| found == line), "{line}\n{did}");
    }
    assert!(!did.contains("wlan9"), "{did}");
    assert_eq!(
        stage.read(CHECK).unwrap(),
        "[connectivity]\nenabled=true\nuri=http://check.example/nm?a=1&b=%20\ninterval=60\n"
    );
    assert_eq!(stage.read(TIME).unwrap(), "[Time]\nNTP=\nNTP=one.example 10.0.0.1\n");
    assert_eq!((stage.read(APPLIED).unwrap(), stage.said()), (whole.to_owned(), String::new()));
    assert!(!stage.path("run/motherstream/network").exists(), "it is taken");

    // The same again: nothing is restarted, and the second interface is there.
    fs::create_dir(stage.path("sys/class/net/ap0")).unwrap();
    let did = stage.ask(whole);
    assert!(!did.contains("systemctl") && !did.contains("iw "), "{did}");

    // What it does not say is off, and goes where it was.
    assert!(!did.contains("delete"), "{did}");
    fs::write(stage.path("portal"), "").unwrap();
    let did = stage.ask("ntp\n");
    for line in [
        "iw reg set 00",
        "iw dev ap0 del",
        "flush set inet motherstream portal",
        "delete chain inet motherstream names",
        "delete chain inet motherstream masked",
    ] {
        assert!(did.lines().any(|found| found == line), "{line}\n{did}");
    }
    assert!(!did.contains("accept") && !did.contains("add element"), "{did}");
    assert_eq!(stage.read(CHECK).unwrap(), "[connectivity]\nenabled=false\n");
    assert_eq!(stage.read(TIME), None);
    assert_eq!(stage.read(APPLIED).unwrap(), "check off\nsecond no\nportal no\n");
}

#[test]
fn root_s_helper_takes_nothing_that_it_was_not_made_for() {
    let long = format!("check http://{}", "a".repeat(200));
    let many = "ntp a\n".repeat(500);
    let wrong: [&[u8]; 28] = [
        b"country de",
        b"country DEU",
        b"country D;",
        b"country",
        b"country ../",
        b"check https://check.example/",
        b"check http://",
        b"check ftp://check.example/",
        b"check http://check.example/\t[main]",
        b"check http://check.example/ x",
        b"check http://a;b",
        b"check http://`reboot`",
        b"check http://a$(reboot)",
        b"check http://a\"",
        b"check http://a\\nb",
        "check http://caf\u{e9}.example/".as_bytes(),
        long.as_bytes(),
        b"ntp a b c d e",
        b"ntp -x",
        b"ntp a;b",
        b"ntp a/../b",
        b"ntp *",
        b"second perhaps",
        b"portal",
        b"portal yes\nportal no",
        b"reboot now",
        b"country DE\0\n",
        many.as_bytes(),
    ];
    let stage = Stage::new(&[]);
    for asked in wrong {
        // What is right beside it is not done either.
        let did = stage.ask([b"country FR\n".as_slice(), asked, b"\nsecond yes\n"].concat());
        assert_eq!(did, "sleep 1\n", "{}", String::from_utf8_lossy(asked));
        assert!(stage.said().starts_with("what is asked for is "), "{}", stage.said());
        for file in [APPLIED, CHECK, TIME] {
            assert_eq!(stage.read(file), None, "{}", String::from_utf8_lossy(asked));
        }
    }
    // A link in the program's folder is not followed, and no folder is a file.
    let secret = stage.path("secret");
    fs::write(&secret, "country DE\n").unwrap();
    symlink(&secret, stage.path("run/motherstream/network")).unwrap();
    assert_eq!(stage.run(HELPER, &[], &[]), "sleep 1\n");
    fs::create_dir(stage.path("run/motherstream/network")).unwrap();
    assert_eq!(stage.run(HELPER, &[], &[]), "sleep 1\n");
    assert_eq!(stage.read(APPLIED), None);
    assert!(secret.exists());
    // It goes on working.
    assert!(stage.ask("country DE").contains("iw reg set DE"));
}

#[test]
fn what_could_not_be_done_is_said_and_tried_again_when_a_radio_comes() {
    let stage = Stage::new(&["iw"]);
    stage.ask("country DE\nsecond yes\nportal yes\n");
    for part in ["country", "there is no radio", "no DNS server"] {
        assert!(stage.said().contains(part), "{part}: {}", stage.said());
    }
    assert_eq!(stage.read(APPLIED).unwrap(), "check off\nsecond yes\nportal yes\n");
    // Not said to be there where the rules are not: no later access point is let through.
    let closed = Stage::new(&["nft"]);
    closed.ask("portal yes\n");
    assert!(
        closed.read(APPLIED).unwrap().ends_with("portal no\n") && closed.said().contains("rules"),
        "{}",
        closed.said()
    );
    // udev starts it again, and the program asks for nothing.
    fs::create_dir(stage.path("sys/class/ieee80211/phy0")).unwrap();
    let did = stage.run(HELPER, &[], &[]);
    assert!(did.contains("iw reg set DE\n") && did.contains("iw phy phy0 interface add ap0 type __ap\n"), "{did}");
    let udev = overlay("usr/lib/udev/rules.d/90-motherstream.rules");
    assert!(udev.contains("SUBSYSTEM==\"ieee80211\"") && udev.contains("motherstream-network.service"));
    // Without anything ever asked for there is nothing to do.
    assert_eq!(Stage::new(&[]).run(HELPER, &[], &[]), "");
}

#[test]
fn an_access_point_is_named_to_the_firewall_and_whatever_it_becomes_later_is_not() {
    let script = format!("{DISPATCHER}pre-up.d/50-motherstream");
    let stage = Stage::new(&[]);
    let sets = |words: [&str; 2], id: &str| -> BTreeSet<String> {
        let did = stage.run(&script, &words, &[("CONNECTION_ID", id)]);
        let mut inside = BTreeSet::new();
        for line in did.lines() {
            let words: Vec<_> = line.split_whitespace().collect();
            let [what, "element", "inet", "motherstream", set, "{", "\"wlan0\"", "}"] = words[..] else {
                panic!("{line}")
            };
            if what == "add" {
                inside.insert(set.to_owned())
            } else {
                inside.remove(set)
            };
        }
        inside
    };
    let named = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(sets(["wlan0", "pre-up"], "motherstream-setup"), named(&["ap"]));
    assert_eq!(sets(["wlan0", "pre-up"], "motherstream-guests"), named(&["ap", "guests"]));
    assert_eq!(sets(["wlan0", "up"], "motherstream-wifi-Hall"), named(&[]));
    assert_eq!(sets(["wlan0", "down"], "motherstream-guests"), named(&[]));
    fs::create_dir(stage.path("run/motherstream-network")).unwrap();
    fs::write(stage.path(APPLIED), "second no\nportal yes\n").unwrap();
    assert_eq!(sets(["wlan0", "pre-up"], "motherstream-setup"), named(&["ap", "portal"]));
    assert_eq!(sets(["wlan0", "pre-up"], "motherstream-guests"), named(&["ap", "guests"]));
    // Nothing else happens to sets, and no name that is none of the kernel's gets through.
    // A cable is none, whatever it is called.
    fs::create_dir_all(stage.path("sys/class/net/eth0")).unwrap();
    fs::create_dir_all(stage.path("sys/class/net/wlan0/phy80211")).unwrap();
    assert_eq!(sets(["wlan0", "up"], "motherstream-setup"), named(&["ap", "portal"]));
    for words in [
        ["eth0", "up"],
        ["wlan0", "dhcp4-change"],
        ["wlan0", "connectivity-change"],
        ["a\" }; x", "up"],
        ["a-name-that-is-too-long", "up"],
        ["", "up"],
    ] {
        assert_eq!(stage.run(&script, &words, &[("CONNECTION_ID", "motherstream-setup")]), "", "{words:?}");
    }
}

#[test]
fn the_venue_s_time_servers_reach_the_clock_and_nothing_else_of_its_router_s_words_does() {
    let script = format!("{DISPATCHER}60-motherstream-time");
    let stage = Stage::new(&[]);
    let file = "run/systemd/timesyncd.conf.d/50-dhcp-eth0.conf";
    let restarted = "systemctl --no-block try-restart systemd-timesyncd.service\n";
    let told = |what: &str, servers: &str| stage.run(&script, &["eth0", what], &[("DHCP4_NTP_SERVERS", servers)]);
    assert_eq!(told("up", "10.0.0.1 10.0.0.2"), restarted);
    assert_eq!(stage.read(file).unwrap(), "[Time]\nNTP=10.0.0.1 10.0.0.2\n");
    assert_eq!(told("dhcp4-change", "10.0.0.1 10.0.0.2"), "", "nothing is new");
    assert_eq!(told("dhcp4-change", "x\n[Main] 10.0.0.3 * ; 1.1.1.1 2.2.2.2 3.3.3.3 4.4.4.4"), restarted);
    assert_eq!(stage.read(file).unwrap(), "[Time]\nNTP=10.0.0.3 1.1.1.1 2.2.2.2 3.3.3.3\n");
    assert_eq!(told("down", "10.0.0.1"), restarted);
    assert_eq!(stage.read(file), None);
    assert_eq!(told("up", ""), "");
}

#[test]
fn scripts_that_network_manager_calls_may_be_run_and_are_all_of_them_scripts() {
    let mut scripts = files(&top().join(OVERLAY).join(DISPATCHER));
    assert_eq!(scripts.len(), 3);
    scripts.push(top().join(OVERLAY).join(HELPER));
    scripts.push(top().join(OVERLAY).join("usr/lib/motherstream/requests"));
    for script in scripts {
        assert_ne!(fs::metadata(&script).unwrap().permissions().mode() & 0o111, 0, "{}", script.display());
        assert!(fs::read_to_string(&script).unwrap().starts_with("#!/bin/sh\n"), "{}", script.display());
        let parsed = Command::new("sh").arg("-n").arg(&script).output().unwrap();
        assert!(parsed.status.success(), "{}", text(&parsed));
    }
    let post_build = read("image/post-build");
    for line in [
        "ln -sfn /usr/lib/systemd/system/NetworkManager-dispatcher.service \"$units/dbus-org.freedesktop.nm-dispatcher.service\"",
        "enable motherstream-network.path multi-user.target",
        "enable motherstream-firewall.service NetworkManager.service",
    ] {
        assert!(post_build.lines().any(|found| found == line), "{line}");
    }
    // Masked, it could not be started over D-Bus; enabled, every box would run it. Buildroot enables what no preset names.
    let masked = post_build.split("for unit in ").last().unwrap().split("; do").next().unwrap();
    let masked: Vec<_> = masked.split_whitespace().collect();
    assert!(!masked.contains(&"wpa_supplicant.service") && masked.contains(&"nftables.service"));
    let preset = overlay("usr/lib/systemd/system-preset/00-motherstream.preset");
    for unit in ["wpa_supplicant", "polkit", "nftables"] {
        assert!(preset.lines().any(|line| line == format!("disable {unit}.service")), "{unit}");
    }
}

/// The calls that D-Bus lets through: interface and member.
fn calls(policy: &str) -> BTreeSet<(String, String)> {
    let value = |line: &str, key: &str| Some(line.split(&format!("{key}=\"")).nth(1)?.split('"').next()?.to_owned());
    let lines = policy.lines().map(str::trim).filter(|line| line.starts_with("<allow"));
    lines
        .map(|line| {
            assert_eq!(value(line, "send_destination").as_deref(), Some("org.freedesktop.NetworkManager"), "{line}");
            let both = (value(line, "send_interface"), value(line, "send_member"));
            let (Some(interface), Some(member)) = both else { panic!("all of it: {line}") };
            (interface, member)
        })
        .collect()
}

#[test]
fn the_program_may_ask_network_manager_for_this_and_nobody_else_for_anything() {
    let file = overlay("usr/share/dbus-1/system.d/org.freedesktop.NetworkManager.conf");
    let policies: Vec<_> = file.split("<policy ").skip(1).map(|part| part.split_once('>').unwrap()).collect();
    let who: Vec<_> = policies.iter().map(|(who, _)| *who).collect();
    assert_eq!(who, ["user=\"root\"", "user=\"motherstream\"", "context=\"default\""]);
    let may = calls(policies[1].1);
    let nm = "org.freedesktop.NetworkManager";
    let wanted: BTreeSet<_> = [
        ("org.freedesktop.DBus.ObjectManager".to_owned(), vec!["GetManagedObjects"]),
        ("org.freedesktop.DBus.Properties".to_owned(), vec!["Get", "GetAll"]),
        (format!("{nm}.Device.Wireless"), vec!["RequestScan"]),
        (
            nm.to_owned(),
            vec![
                "AddAndActivateConnection2",
                "ActivateConnection",
                "DeactivateConnection",
                "CheckConnectivity",
                "CheckpointCreate",
                "CheckpointDestroy",
                "CheckpointRollback",
                "CheckpointAdjustRollbackTimeout",
            ],
        ),
        (format!("{nm}.Settings"), vec!["ListConnections", "AddConnection2"]),
        (format!("{nm}.Settings.Connection"), vec!["GetSettings", "GetSecrets", "Update2", "Delete"]),
    ]
    .into_iter()
    .flat_map(|(interface, members)| members.into_iter().map(move |member| (interface.clone(), member.to_owned())))
    .collect();
    assert_eq!(may, wanted);
    assert!(!policies[2].1.contains("<allow"), "{}", policies[2].1);
    assert!(policies[2].1.contains("<deny send_destination=\"org.freedesktop.NetworkManager\"/>"));

    let rules = overlay("usr/share/polkit-1/rules.d/00-motherstream.rules");
    let actions: BTreeSet<_> =
        rules.split('"').filter_map(|word| word.strip_prefix("org.freedesktop.NetworkManager.")).collect();
    let allowed = [
        "checkpoint-rollback",
        "network-control",
        "settings.modify.system",
        "wifi.scan",
        "wifi.share.open",
        "wifi.share.protected",
    ];
    assert_eq!(actions, BTreeSet::from(allowed));
    assert_eq!(rules.matches("Result.YES").count(), 1);
    assert!(rules.contains("subject.user === \"motherstream\" && "));
    assert!(rules.trim_end().ends_with("return polkit.Result.NO;\n});"), "everything else");
}

#[test]
fn the_access_point_s_names_and_rules_are_what_phones_need() {
    let names = overlay("etc/NetworkManager/dnsmasq-shared.d/motherstream.conf");
    let lines: BTreeSet<_> = names.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).collect();
    let wanted = [
        "address=/#/4.3.2.1",
        "local=/#/",
        "no-resolv",
        "no-ping",
        "local-ttl=5",
        "dhcp-option-force=114,http://4.3.2.1/setup",
    ];
    // One more that dnsmasq does not know, and there is no access point at all.
    assert_eq!(lines, BTreeSet::from(wanted));

    let rules = overlay(RULES);
    // The ports of the image's own configuration, and no others.
    let own = overlay("etc/motherstream.toml");
    let port =
        |key: &str| own.lines().find_map(|line| line.strip_prefix(key)?.rsplit(':').next()?.strip_suffix('"')).unwrap();
    for line in [
        format!("iifname @guests tcp dport {} accept", port("rtmp_listen = ")),
        format!("iifname @guests udp dport {{ {}, {} }} accept", port("rtc_listen = "), port("srt_listen = ")),
        format!("tcp dport {{ 53, {} }} accept", port("listen = ")),
    ] {
        assert!(rules.lines().any(|found| found.trim() == line), "{line}");
    }
    // Nothing is let through that is not named: each chain that an access point's packets get to ends with a word about all others.
    let chain = |name: &str| -> Vec<String> {
        let body = rules.split(&format!("chain {name} {{")).nth(1).unwrap().split("\n  }").next().unwrap();
        body.lines()
            .map(|line| line.trim().to_owned())
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .collect()
    };
    assert_eq!(chain("forward")[0], "type filter hook forward priority -10; policy drop;");
    assert_eq!(chain("stranger").last().unwrap(), "drop");
    assert_eq!(chain("inward").last().unwrap(), "drop");
    assert_eq!(chain("outward").last().unwrap(), "reject with icmpx admin-prohibited");
    assert!(chain("portal_outward").is_empty() && chain("portal_inward").is_empty());
    assert!(
        rules.lines().all(|line| line.trim_start().starts_with('#') || !line.contains(" ct ")),
        "nothing is followed without a portal"
    );
    let nft = Path::new("/usr/sbin/nft");
    if nft.exists() {
        // In a network of its own: looking at rules asks the kernel too.
        let parsed = Command::new("unshare")
            .args(["--user", "--map-root-user", "--net"])
            .arg(nft)
            .args(["-c", "-f"])
            .arg(top().join(OVERLAY).join(RULES))
            .output()
            .unwrap();
        let said = text(&parsed);
        if said.contains("unshare") || said.contains("not supported") || said.contains("Operation not permitted") {
            eprintln!("SKIPPED, NOT TESTED: what nft says to the rules, because this machine lets nobody try: {said}");
        } else {
            assert!(parsed.status.success(), "{said}");
        }
    } else {
        eprintln!(
            "SKIPPED, NOT TESTED: what nft says to the rules, because it is not here (apt-get install nftables)."
        );
    }
}

#[test]
fn what_the_program_asks_root_for_is_waited_for() {
    let requests = overlay("usr/lib/motherstream/requests");
    let taken = requests.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split("if take ").nth(1));
    let taken: BTreeSet<_> = taken.map(|rest| rest.split([' ', ';']).next().unwrap()).collect();
    let waited = |unit: &str| -> BTreeSet<String> {
        let unit = overlay(&format!("usr/lib/systemd/system/motherstream-{unit}.path"));
        unit.lines().filter_map(|line| line.strip_prefix("PathExists=/run/motherstream/")).map(str::to_owned).collect()
    };
    assert_eq!(taken.iter().map(|&name| name.to_owned()).collect::<BTreeSet<_>>(), waited("requests"));
    assert!(taken.contains("wifi-setup-done"), "{taken:?}");
    assert_eq!(waited("network"), BTreeSet::from(["network".to_owned()]));
    // The file that it removes then, as people are told about it.
    assert!(read("image/boot/README.txt").contains("\n  wifi-setup   "));
}

#[test]
fn there_is_no_wi_fi_before_the_rules_are_loaded() {
    let closed = overlay("usr/lib/NetworkManager/conf.d/motherstream-closed.conf");
    assert!(closed.contains("\nmatch-device=type:wifi\nmanaged=0\n"), "{closed}");
    let unit = overlay("usr/lib/systemd/system/motherstream-firewall.service");
    let starts: Vec<_> = unit.lines().filter_map(|line| line.strip_prefix("ExecStart=")).collect();
    // The second is not run where the first fails.
    assert_eq!(starts.len(), 2);
    assert_eq!(starts[0], format!("nft -f /{RULES}"));
    assert!(starts[1].contains("/run/NetworkManager/conf.d/motherstream-closed.conf"));
    assert!(unit.lines().any(|line| line.starts_with("Before=") && line.contains("NetworkManager.service")));
    let own = overlay("usr/lib/NetworkManager/conf.d/motherstream.conf");
    for line in [
        "auth-polkit=true",
        "firewall-backend=nftables",
        "wifi.scan-rand-mac-address=no",
        "wifi.cloned-mac-address=permanent",
        "wifi.powersave=2",
    ] {
        assert!(own.lines().any(|found| found == line), "{line}");
    }
    let unit = overlay("usr/lib/systemd/system/NetworkManager.service.d/motherstream.conf");
    assert!(unit.contains("\nKillMode=control-group\n"));
}

#[test]
fn every_board_has_wi_fi_and_simulated_radios_are_the_test_machine_s() {
    for board in BOARDS {
        let config = read(&format!("buildroot/configs/motherstream_{board}_defconfig"));
        for symbol in [
            "WPA_SUPPLICANT",
            "WPA_SUPPLICANT_AP_SUPPORT",
            "WPA_SUPPLICANT_DBUS",
            "WPA_SUPPLICANT_EAP",
            "WPA_SUPPLICANT_WPA3",
            "DNSMASQ",
            "NFTABLES",
            "IW",
            "WIRELESS_REGDB",
            "LIBCURL",
            "POLKIT",
        ] {
            assert!(config.lines().any(|line| line == format!("BR2_PACKAGE_{symbol}=y")), "{board}: {symbol}");
        }
        let pi = board.starts_with("rpi");
        assert_eq!(config.contains("BR2_PACKAGE_BRCMFMAC_SDIO_FIRMWARE_RPI_WIFI=y\n"), pi, "{board}");
        let own = read(&format!("buildroot/board/{board}/linux.fragment"));
        let simulated = |line: &str| own.lines().any(|found| found == line);
        assert_eq!(simulated("CONFIG_MAC80211_HWSIM=m"), !pi, "{board}");
        // Raspberry Pi's own configuration has it.
        assert_eq!(simulated("# CONFIG_MAC80211_HWSIM is not set"), pi, "{board}");
        assert_eq!(simulated("CONFIG_BRCMFMAC=m"), pi, "{board}");
    }
    let shared = read("buildroot/board/linux.fragment");
    for option in [
        "CFG80211=m",
        "MAC80211=m",
        "NF_TABLES=y",
        "NF_TABLES_INET=y",
        "NFT_CT=m",
        "NFT_LIMIT=m",
        "NFT_MASQ=m",
        "NFT_NAT=m",
        "NFT_REJECT=m",
    ] {
        assert!(shared.lines().any(|line| line == format!("CONFIG_{option}")), "{option}");
    }
    // Of the rig's Debian root: kept apart from what is measured.
    let root = read("tests/image/root");
    assert!(root.contains("rig='mac80211_hwsim|veth'") && !root.split("rig=").next().unwrap().contains("hwsim"));
}
