"""What an image may not have: checked on the root's tree, and on a box that runs."""

import os
import re
import stat
import subprocess
import tempfile
from pathlib import Path

from machine import Machine, check

# What a stranger on the network may reach: the page, encoders, and the name.
TCP = {80, 443, 1935}
# mDNS; DHCP's and router discovery's answers. SRS's SRT and WebRTC media where SRS is there.
UDP = {5353, 68, 546, 10080, 8000}
# What programs on the box reach: SRS's own API, its streams and our hooks where SRS is there. Nothing without it.
LOOPBACK = {"tcp/1985", "tcp/8086", "tcp/8085"}
# The worst of systemd's own exposure score (0 is best, 10 worst) that our units may have. Those of root that mount something for others
# cannot have a view of the file system of their own, which most of the score is made of.
EXPOSURE = {
    "motherstream.service": 2.0, "motherstream-console@tty1.service": 2.0, "motherstream-requests.service": 2.0, "motherstream-trial.service": 1.5,
    "motherstream-network.service": 2.5, "motherstream-firewall.service": 2.5,
    "motherstream-identity.service": 4.0, "motherstream-data.service": 4.2, "motherstream-usb@sda.service": 4.9,
}  # fmt: skip


def is_private_key(path: Path) -> bool:
    """As text (PEM), or as the bytes themselves (DER), of whatever kind openssl knows."""
    content = path.read_bytes()
    if b"PRIVATE KEY-----" in content:
        return True
    # Every key is a sequence in ASN.1; few other files are.
    if content[:1] != b"\x30":
        return False
    kinds = (["pkey", "-inform", "DER"], ["pkcs12", "-nokeys", "-passin", "pass:"])
    return any(subprocess.run(["openssl", *kind, "-noout", "-in", path], stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode == 0 for kind in kinds)


def keys_are_found() -> None:
    """That the search would find one, of each kind."""
    with tempfile.TemporaryDirectory() as folder:
        pem, der = Path(folder, "pem"), Path(folder, "der")
        for words in (["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"], ["-algorithm", "RSA"], ["-algorithm", "ED25519"]):
            subprocess.run(["openssl", "genpkey", *words, "-out", pem], check=True, capture_output=True)
            for shape in ([], ["-traditional"] if "ED25519" not in words else []):
                subprocess.run(["openssl", "pkey", "-in", pem, *shape, "-outform", "DER", "-out", der], check=True, capture_output=True)
                check("a private key would be found", is_private_key(pem) and is_private_key(der), f"{words} {shape}")
        subprocess.run(["openssl", "pkey", "-in", pem, "-pubout", "-outform", "DER", "-out", der], check=True, capture_output=True)
        check("a public key is none", not is_private_key(der))


def tree(root: Path, say) -> None:
    """The root as it was laid out, without the rig's own additions."""
    shadow = (root / "etc/shadow").read_text()
    passwords = [line for line in shadow.splitlines() if not line.split(":")[1].startswith(("!", "*"))]
    check("nobody has a password", not passwords, passwords)
    check("the shadow file is root's", stat.S_IMODE((root / "etc/shadow").stat().st_mode) == 0o600)
    users = [line.split(":") for line in (root / "etc/passwd").read_text().splitlines()]
    check("root alone has root's number", [user[0] for user in users if user[2] == "0"] == ["root"])
    check("root has no shell", next(user[6] for user in users if user[0] == "root").endswith("nologin"))
    check("there is no server to log in at", not any((root / path).exists() for path in ("usr/sbin/sshd", "usr/sbin/dropbear", "usr/sbin/telnetd", "usr/sbin/in.telnetd")))
    for unit in ("getty@.service", "serial-getty@.service", "debug-shell.service", "emergency.service", "rescue.service", "ssh.service"):
        check(f"{unit} is never started", os.path.realpath(root / "etc/systemd/system" / unit) == "/dev/null")

    keys_are_found()
    writable, owners, special, keys, count = [], [], [], [], 0
    for folder, folders, files in os.walk(root):
        for name in folders + files:
            path = Path(folder, name)
            info = path.lstat()
            # Links' modes mean nothing, and devices are the kernel's.
            if not (stat.S_ISREG(info.st_mode) or stat.S_ISDIR(info.st_mode)):
                continue
            count += 1
            inside = "/" + str(path.relative_to(root))
            if info.st_mode & stat.S_IWOTH and not info.st_mode & stat.S_ISVTX:
                writable.append(inside)
            if info.st_uid and not inside.startswith(("/var/", "/run/")):
                owners.append(inside)
            if info.st_mode & (stat.S_ISUID | stat.S_ISGID) and stat.S_ISREG(info.st_mode) and name != "dbus-daemon-launch-helper":
                special.append(inside)
            if stat.S_ISREG(info.st_mode) and info.st_size < 65536 and is_private_key(path):
                keys.append(inside)
    check("no file is everybody's to write", not writable, writable)
    check("everything is root's", not owners, owners)
    check("no program is another user's when it runs", not special, special)
    check("no private key is in it", not keys, keys)
    check("no key of a stranger is trusted", not list(root.glob("**/authorized_keys")))
    check("the machine id is made by the box", (root / "etc/machine-id").read_bytes() == b"")
    say(f"{count} files and folders: no password, no login, no key, nothing that everybody writes, no set-user-id")


def running(box: Machine, say) -> None:
    """The box, as the network sees it."""
    listening = box.sh("ss -H -lntu")
    tcp, udp, local = set(), set(), set()
    for line in listening.splitlines():
        kind, address = line.split()[0], line.split()[4]
        host, _, port = address.rpartition(":")
        if host.startswith("127.") or host == "[::1]":
            local.add(f"{kind}/{port}")
        else:
            (tcp if kind == "tcp" else udp).add(int(port))
    say(f"listening: tcp {sorted(tcp)}, udp {sorted(udp)}, on loopback {sorted(local)}")
    check("only what is meant to be reached listens (tcp)", tcp <= TCP and {80, 443, 1935} <= tcp, tcp - TCP or TCP - tcp)
    check("only what is meant to be reached listens (udp)", udp <= UDP, udp - UDP)
    check("only what is meant to listens on loopback", local <= (LOOPBACK if box.sh("pidof srs") else set()), local)
    for unit, limit in EXPOSURE.items():
        score = re.search(r"exposure level for \S+: ([0-9.]+)", box.sh(f"systemd-analyze security --no-pager {unit}", 100))
        check(f"systemd knows {unit}", score)
        say(f"systemd-analyze security {unit}: {score[1]} (0 best, 10 worst)")
        check(f"{unit} is sandboxed", float(score[1]) <= limit, score[1])
    check("the root is read-only", " ro," in box.sh("grep ' / ' /proc/mounts").replace(" ro ", " ro,"))
    check("the program is not root", box.sh("ps -o user= -C motherstream | sort -u").split() == ["motherst+"] or "root" not in box.sh("ps -o user= -C motherstream"))
    check("nothing failed", box.sh("systemctl --failed --no-legend --plain") == "", box.sh("systemctl --failed --no-legend --plain"))
    check("the journal is in memory and bounded", box.sh("ls /var/log/journal 2>/dev/null") == "")
    check("the hardware watchdog is fed", "/dev/watchdog" in box.sh("systemctl show -p WatchdogDevice; ls /dev/watchdog0") and "RuntimeWatchdogUSec=14s" in box.sh("systemctl show -p RuntimeWatchdogUSec"))
