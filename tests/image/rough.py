"""The cases in which something goes wrong: updates, power cuts, watchdogs, a full disk; and what a venue does with files."""

import http.client
import itertools
import json
import os
import random
import re
import shutil
import subprocess
import threading
import time
from pathlib import Path

import powercut
from card import boot_partition
from cases import CASES, HERE, PASSWORD, Lab, Publisher, claim, on_air, register, say
from machine import Failed, Machine, check, free_port, wait


def laid(lab: Lab, name: str, files: dict[str, str]) -> Path:
    """A folder that is laid on top of a root."""
    folder = lab.out / "lay" / name
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    return folder


def stick(card: Path, files: dict[str, Path]) -> Path:
    """A USB stick labelled MSTREAM-USB, for the box with this card."""
    image = card.with_name("stick.img")
    image.unlink(missing_ok=True)
    size = sum(path.stat().st_size for path in files.values()) // (1 << 20) + 80
    subprocess.run(["truncate", "-s", f"{size}M", image], check=True)
    subprocess.run(["/usr/sbin/mkfs.vfat", "-F", "32", "-n", "MSTREAM-USB", image], check=True, stdout=subprocess.DEVNULL)
    for name, path in files.items():
        subprocess.run(["mcopy", "-i", image, path, f"::{name}"], check=True)
    return image


def bundle(lab: Lab, name: str, board: str, keys: Path | None = None) -> Path:
    """A small update that must be refused."""
    out = lab.out / f"{name}.raucb"
    if not out.exists():
        root = lab.out / f"{name}.ext4"
        subprocess.run(["/usr/sbin/mke2fs", "-q", "-F", "-t", "ext4", root, "8M"], check=True)
        # Something that is not nothing: RAUC makes no update of next to no bytes.
        with root.open("r+b") as file:
            file.seek(4 << 20)
            file.write(random.Random(name).randbytes(1 << 20))
        env = os.environ | ({"MOTHERSTREAM_KEYS": str(keys)} if keys else {})
        subprocess.run([HERE.parent.parent / "image/rauc/bundle", board, "9.9", root, out], env=env, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return out


def state(box: Machine) -> dict[str, str]:
    """What the boot loader will do."""
    return dict(line.split("=", 1) for line in box.sh("fw_printenv", ok=True).splitlines())


def release(box: Machine) -> str:
    slot = re.search(r"rauc\.slot=([AB])", box.sh("cat /proc/cmdline"))[1]
    return f"{slot} {re.search('VERSION=(.*)', box.sh('cat /etc/motherstream-release'))[1]}"


def marked_good(box: Machine, slot: str) -> None:
    """Waits for the program to mark its slot good, and sees that it did not do so early."""
    left = state(box)[f"BOOT_{slot}_LEFT"]
    check("a new version is on trial first", left in ("8", "7") and box.sh("cat /run/motherstream-trial") == "yes", left)
    wait("the slot to be marked good", 300, lambda: state(box)[f"BOOT_{slot}_LEFT"] == "6", 2)
    said = box.sh("journalctl -D /run/log/journal -b --no-pager -o short-monotonic -u motherstream | grep -e stage= -e 'was marked good'")
    at = {what: float(found[1]) for what in ("ready", "marked good") if (found := re.search(rf"\[ *([\d.]+)\][^\n]*{what}", said))}
    check("the program says when it was ready and when it marked its slot", len(at) == 2, said)
    took = at["marked good"] - at["ready"]
    say(f"marked good {took:.1f} s after it was ready, by the program")
    # RAUC needs a moment after that; the looks are a second apart.
    check("not before it has been ready for 30 s", took >= 29, took)


def settings(box: Machine, admin: str) -> tuple[int, bool]:
    """The turn's length, and whether the queue is blocked."""
    return box.ok("GET", "/api/v1/turn", cookie=admin)["seconds"], box.ok("GET", "/api/v1/block", cookie=admin)["on"]


def updates(lab: Lab) -> None:
    """a signed update, one that never becomes ready, and three that must be refused"""
    other = Path(os.environ.get("OTHER_PROGRAM", lab.program))
    one, two = lab.image("one", "1.0"), lab.image("two", "2.0", program=other)
    if other != lab.program:
        say(f"the update has another program than the card: {other}")
    units = "usr/lib/systemd/system"
    never = {
        f"{units}/motherstream.service.d/never.conf": "[Service]\nExecStart=\nExecStart=/bin/sleep infinity\n",
        # It has two minutes instead of five, each time: it does not become ready in any.
        f"{units}/motherstream-trial.timer.d/rig.conf": "[Timer]\nOnActiveSec=\nOnActiveSec=120s\n",
    }
    stuck = lab.image("stuck", "3.0", laid(lab, "stuck", never))
    half = lab.out / "half.raucb"
    whole = (two / "motherstream-qemu.raucb").read_bytes()
    half.write_bytes(whole[: len(whole) // 2])
    files = {
        "good.raucb": two / "motherstream-qemu.raucb", "stuck.raucb": stuck / "motherstream-qemu.raucb", "half.raucb": half,
        "board.raucb": bundle(lab, "board", "rpi4"), "key.raucb": bundle(lab, "key", "qemu", lab.out / "other-keys"),
    }  # fmt: skip
    card = lab.card(one, "updates")
    with lab.machine(card, usb=stick(card, files)) as box:
        box.start()
        box.wait_page()
        admin = claim(box)
        register(box, "Ada")
        box.ok("PUT", "/api/v1/turn", {"seconds": 123}, admin)
        box.ok("PUT", "/api/v1/block", {"on": True}, admin)
        box.wait_agent()
        wait("the stick", 60, lambda: "good.raucb" in box.sh("ls /run/motherstream-usb"))
        say(f"running {release(box)}; the stick is there, read-only")
        # It is marked good at every start.
        wait("this version to be marked good", 300, lambda: state(box)["BOOT_A_LEFT"] == "6", 2)
        check("a slot that is established is not on trial", box.sh("cat /run/motherstream-trial; /usr/lib/motherstream/slot trial").split() == ["no", "no"])
        # Of the slot that an update would be written to, what even the smallest would have written.
        other_slot = "head -c 16777216 /dev/motherstream/root-b | sha256sum"
        before, bytes_before = state(box), box.sh(other_slot, 120)
        for name, what in {"key": "signed by a stranger", "board": "for another board", "half": "cut in half"}.items():
            answer = box.sh(f"rauc install /run/motherstream-usb/{name}.raucb", 120)
            status = box.sh(f"rauc install /run/motherstream-usb/{name}.raucb >/dev/null 2>&1; echo $?", 120)
            check(f"an update {what} is refused", status != "0", answer)
            check(f"an update {what} changes nothing", state(box) == before, state(box))
            reason = [line for line in answer.splitlines() if "LastError" in line or "rror" in line]
            say(f"refused, {what}: {reason[-1].strip()[-140:] if reason else answer[-140:]}")

        for name, what in {"key": "signed by a stranger", "board": "for another board", "half": "cut in half"}.items():
            status, answer = box.upload("/api/v1/update", files[f"{name}.raucb"], admin)
            check(f"the page refuses an update {what}", status == 422 and state(box) == before, f"{status} {answer}")
            say(f"the page, {what}: {str(answer)[:300]}")
        check("a refused update leaves the other slot's bytes as they were", box.sh(other_slot, 120) == bytes_before)
        box.ok("PUT", "/api/v1/show", {"on": True}, admin)
        status, answer = box.upload("/api/v1/update", files["board.raucb"], admin)
        check("no update is taken during a show", status == 409, f"{status} {answer}")
        for path, body, what in (("/api/v1/update/stick", {"file": "good.raucb"}, "update from the stick"), ("/api/v1/system/restart", None, "restart")):
            status, answer, _ = box.call("POST", path, body, admin)
            check(f"no {what} during a show", status == 409, f"{status} {answer}")
        check("and nothing has changed", state(box) == before and box.sh(other_slot, 120) == bytes_before)
        say("during a show: no update by the page, none from the stick, no restart")
        box.ok("PUT", "/api/v1/show", {"on": False}, admin)

        def installed(name: str) -> None:
            """What the page has begun to install."""
            began, seen = time.monotonic(), set()

            def look() -> bool:
                progress = box.ok("GET", "/api/v1/update", cookie=admin)["progress"]
                check(f"{name} is installed", progress["stage"] in ("installing", "installed"), progress)
                seen.add(progress.get("percent"))
                return progress["stage"] == "installed"

            wait(f"{name} to be installed", 600, look, 3)
            say(f"{name} installed in {time.monotonic() - began:.0f} s; the page said {len(seen - {None})} different percentages")

        # The plug is pulled while it is written.
        box.ok("POST", "/api/v1/update/stick", {"file": "good.raucb"}, admin)
        cut = wait("half of an installation", 600, lambda: (now := box.ok("GET", "/api/v1/update", cookie=admin)["progress"]).get("percent", 0) >= 50 and now, 0.3)
        check("the plug is pulled before it is done", cut["stage"] == "installing", cut)
        box.kill()
        box.start()
        box.wait_page()
        box.wait_agent()
        check("after a cut in an installation the old version runs", release(box) == "A 1.0", release(box))
        admin = box.sign_in("Stage", PASSWORD)
        check("and knows what it knew", box.ok("GET", "/api/v1/turn", cookie=admin)["seconds"] == 123)
        say(f"the plug pulled at {cut['percent']} % of an installation: the old version runs, with what it knew")

        began = time.monotonic()
        status, answer = box.upload("/api/v1/update", files["good.raucb"], admin)
        check("the page takes the update", status == 202, f"{status} {answer}")
        say(f"{files['good.raucb'].stat().st_size / (1 << 20):.0f} MiB uploaded and looked at in {time.monotonic() - began:.0f} s")
        installed("good")
        began = time.monotonic()
        box.ok("POST", "/api/v1/system/restart", cookie=admin)
        box.wait_console(r"slot B, left", 120)
        box.wait_page()
        say(f"the other slot's page answers {time.monotonic() - began:.0f} s after the order")
        box.wait_agent()
        check("version 2.0 runs from slot B", release(box) == "B 2.0", release(box))
        admin = box.sign_in("Stage", PASSWORD)
        check("settings are kept", settings(box, admin) == (123, True), settings(box, admin))
        marked_good(box, "B")
        register(box, "Ben")
        box.ok("PUT", "/api/v1/show", {"on": True}, admin)

        # Back to the old version on purpose (as a technician would), during a show, with what a newer one might have left in the settings.
        newer = '[venue]\nmood = "blue"\n[accounts]\nregistration = "by a way of the future"\n'
        box.sh(f"printf '%s' '{newer}' >>/data/motherstream/settings.toml && rauc status mark-active other", 120, ok=True)
        box.sh("touch /run/motherstream/reboot")
        box.wait_console(r"slot A, left A 8 ", 180)
        box.wait_page()
        box.wait_agent()
        check("version 1.0 runs from slot A", release(box) == "A 1.0", release(box))
        admin = box.sign_in("Stage", PASSWORD)
        names = [account["name"] for account in box.ok("GET", "/api/v1/accounts", cookie=admin)]
        check("accounts are kept on the way back", {"Stage", "Ada", "Ben"} <= set(names), names)
        check("settings are kept on the way back", settings(box, admin) == (123, True), settings(box, admin))
        check("the show is kept on the way back", box.ok("GET", "/api/v1/show", cookie=admin)["on"])
        marked_good(box, "A")
        say("and back on version 1.0, with accounts, show and settings, among which are two that it does not understand")

        # What a card that has lost some blocks does to the other version: there is no kernel in it.
        box.sh("mkdir -p /run/rig && mount /dev/motherstream/root-b /run/rig && rm /run/rig/boot/Image && umount /run/rig && rauc status mark-active other", 120, ok=True)
        box.sh("touch /run/motherstream/reboot")
        began = time.monotonic()
        # The first time was the good version's.
        box.wait_console(r"slot B, left A \d B 8", 180, times=2)
        box.wait_console(r"slot B, left A \d B 7", 120)
        # The first time was that of the fresh card.
        box.wait_console(r"slot A, left A \d B 0", 120, times=2)
        check("the boot loader says why", box.console().count("slot B does not start") == 2, box.console().count("slot B does not start"))
        box.wait_page()
        box.wait_agent()
        check("a version without a kernel falls back by itself", release(box) == "A 1.0", release(box))
        say(f"a version without a kernel: two tries, and back on the old one, {time.monotonic() - began:.0f} s after the order")
        admin = box.sign_in("Stage", PASSWORD)

        wait("the stick", 60, lambda: "stuck.raucb" in box.sh("ls /run/motherstream-usb"))
        box.ok("PUT", "/api/v1/show", {"on": False}, admin)
        box.ok("POST", "/api/v1/update/stick", {"file": "stuck.raucb"}, admin)
        installed("stuck")
        box.ok("POST", "/api/v1/system/restart", cookie=admin)
        began = time.monotonic()
        box.wait_console(r"slot B, left A \d B 8", 180, times=3)
        box.wait_console(r"slot B, left A \d B 7", 500, times=2)
        say(f"the one that never becomes ready: second try after {time.monotonic() - began:.0f} s")
        box.wait_console(r"slot A, left A \d B 0", 500, times=3)
        say(f"and back on the old version after {time.monotonic() - began:.0f} s, by itself")
        box.wait_page()
        box.wait_agent()
        check("version 1.0 runs from slot A again", release(box) == "A 1.0", release(box))
        names = [account["name"] for account in box.ok("GET", "/api/v1/accounts", cookie=box.sign_in("Stage", PASSWORD))]
        check("accounts are kept", {"Stage", "Ada", "Ben"} <= set(names), names)

        # Neither has a try left, and the version that never becomes ready is the first in order.
        check("what was installed last is first in order", state(box)["BOOT_ORDER"] == "B A", state(box))
        wait("this version to be marked good", 300, lambda: state(box)["BOOT_A_LEFT"] == "6", 2)
        box.sh("fw_setenv BOOT_A_LEFT 0 && fw_setenv BOOT_B_LEFT 0 && touch /run/motherstream/reboot", ok=True)
        box.wait_console("no slot has a try left", 180)
        box.wait_console(r"slot A, left A 2 B 3", 60)
        box.wait_page()
        box.wait_agent()
        check("both slots used up: the older version runs", release(box) == "A 1.0", release(box))
        check("and is not on trial", box.sh("cat /run/motherstream-trial; /usr/lib/motherstream/slot trial").split() == ["no", "no"], state(box))
        say("both slots used up: the boot loader begins again with the older version, which is not on trial")
        box.shut_down()


def files(lab: Lab) -> None:
    """what a venue does with files: a setup code and a name of its own, settings from a USB stick, a factory reset"""
    card = lab.card(lab.image("one", "1.0"), "files")
    boot, folder = boot_partition(card), lab.out / "lay/files"
    folder.mkdir(parents=True, exist_ok=True)

    def put(name: str, text: str) -> Path:
        (folder / name).write_text(text)
        return folder / name

    def on_card() -> str:
        return subprocess.run(["mdir", "-b", "-i", boot, "::"], capture_output=True, text=True, check=True).stdout

    for name, text in {"setup-code.txt": "blue room 2345\r\n", "hostname": "stage2\r\n"}.items():
        subprocess.run(["mcopy", "-o", "-i", boot, put(name, text), f"::{name}"], check=True)
    good = put("good.toml", '[venue]\nname = "Blue Room"\n[queue]\nturn_seconds = 77\n')
    with lab.machine(card, usb=stick(card, {"motherstream.toml": good})) as box:
        box.start()
        box.wait_page()
        box.wait_agent()
        # Whoever asks, and not only at first: systemd-hostnamed, which NetworkManager starts, has an opinion of its own.
        names = box.sh("cat /proc/sys/kernel/hostname; busctl get-property org.freedesktop.hostname1 /org/freedesktop/hostname1 org.freedesktop.hostname1 Hostname; cat /proc/sys/kernel/hostname")
        check("the host name is the file's", names.split() == ["stage2", "s", '"stage2"', "stage2"], names)
        box.ok("POST", "/api/v1/setup", {"code": "Blue-Room-2345", "name": "Stage", "password": PASSWORD})
        say("named and claimed by the files hostname and setup-code.txt")
        key = register(box, "Ada")["stream_key"]
        wait("the stick's settings", 60, lambda: "was taken" in box.sh("journalctl -D /run/log/journal --no-pager -o cat -u 'motherstream-usb@*'"))
        ours = box.sh("cat /data/motherstream/settings.toml")
        # Sticks of which nothing may be taken: each of them the program would not start with.
        for what, text in {"a key that does not exist": "[queue]\nturn_second = 5\n", "another data folder": 'data_dir = "/tmp"\n', "no TOML": "[queue\n"}.items():
            # The same script, for a stick that is there already.
            said = box.sh(
                "mkdir -p /run/rig-bin && ln -sfn /bin/true /run/rig-bin/mount && ln -sfn /bin/false /run/rig-bin/mountpoint && umount /run/motherstream-usb;"
                f" printf '%s' '{text}' >/run/motherstream-usb/motherstream.toml && PATH=/run/rig-bin:$PATH sh /usr/lib/motherstream/usb none"
            )
            check(f"a stick with {what} is not taken", "was not taken" in said and box.sh("cat /data/motherstream/settings.toml") == ours, said)
            told = box.ok("GET", "/api/v1/update", cookie=box.sign_in("Stage", PASSWORD))["stick_settings"]
            check("the page tells why", "was not taken" in told and "motherstream.toml" in told, told)
            refusal = next(line for line in said.splitlines() if "was not taken" in line)
            say(f"a stick with {what}: {refusal[:130]}")
        # A program that is no longer its own master lays a link where root would write.
        victim = "echo whole >/data/system/victim; setpriv --reuid 800 --regid 800 --clear-groups ln -sfn /data/system/victim /data/motherstream/settings.toml.new;"
        said = box.sh(victim + " cp /data/motherstream/settings.toml /run/motherstream-usb/motherstream.toml; echo '# again' >>/run/motherstream-usb/motherstream.toml; PATH=/run/rig-bin:$PATH sh /usr/lib/motherstream/usb none")
        taken = box.sh("cat /data/system/victim; tail -n 1 /data/motherstream/settings.toml; stat -c '%u %a' /data/motherstream/settings.toml").split("\n")
        check("a link in the program's folder is not followed", taken == ["whole", "# again", "800 600"], f"{taken} {said}")
        # The kernel reads no other file system from a stick than the one that is documented.
        said = box.sh("rm -rf /run/rig-bin /run/motherstream-usb/*; truncate -s 8M /run/rig.img && mke2fs -q -F -t ext4 -L MSTREAM-USB /run/rig.img && sh /usr/lib/motherstream/usb $(basename $(losetup -f --show /run/rig.img))")
        check("a stick that is not FAT is not mounted", "can not be read" in said and box.sh("mountpoint -q /run/motherstream-usb && echo mounted") == "", said)
        say("a stick's settings follow no link, and a stick that is not FAT is not mounted")
        box.sh("systemctl restart --no-block motherstream", ok=True)
        time.sleep(5)
        box.wait_page()
        admin = box.sign_in("Stage", PASSWORD)
        turn = box.ok("GET", "/api/v1/turn", cookie=admin)["seconds"]
        check("the stick's settings hold from the next start", turn == 77, turn)
        backup = box.download("/api/v1/backup", folder / "backup.zip", admin)
        box.shut_down()
    check("the file with the setup code is gone when the box has an owner", "setup-code.txt" not in on_card(), on_card())
    subprocess.run(["mcopy", "-o", "-i", boot, put("factory-reset", ""), "::factory-reset"], check=True)
    with lab.machine(card) as box:
        box.start()
        box.wait_page()
        box.wait_agent()
        check("the box says that it was reset", box.sh("cat /run/motherstream-data") == "reset", box.sh("cat /run/motherstream-data"))
        status, answer, _ = box.call("POST", "/api/v1/session", {"name": "Stage", "password": PASSWORD})
        check("nobody is known any more", status >= 400, f"{status} {answer}")
        admin = claim(box)
        check("settings are the image's again", box.ok("GET", "/api/v1/turn", cookie=admin)["seconds"] == 3600)
        say("a factory reset by file clears accounts and settings, and makes a new setup code")
        venue = box.ok("GET", "/api/v1/console", cookie=admin)["venue"]
        status, answer, _ = box.call("POST", "/api/v1/system/factory-reset", {"venue": "elsewhere"}, admin)
        check("a reset wants the venue's name", status == 422, f"{status} {answer}")
        box.ok("POST", "/api/v1/system/factory-reset", {"venue": venue}, admin)
        box.wait_console(r"U-Boot 20", 120, times=2)
        box.wait_page()
        box.wait_agent()
        status, answer, _ = box.call("POST", "/api/v1/session", {"name": "Stage", "password": PASSWORD})
        check("nobody is known any more after the page's reset", status >= 400, f"{status} {answer}")
        say("and so does one by the page, which starts the box again by itself")
        code = wait("the setup code's file", 60, lambda: box.sh("cat /boot/firmware/setup-code.txt 2>/dev/null"), 2)
        box.ok("POST", "/api/v1/setup", {"code": code.strip(), "name": "Somebody", "password": PASSWORD})
        say("claimed with the code that the box left on the small partition")
        admin = box.sign_in("Somebody", PASSWORD)
        status, answer = box.upload("/api/v1/backup", backup, admin)
        check("the backup of before both resets is taken", status == 200, f"{status} {answer}")
        box.ok("POST", "/api/v1/system/restart", cookie=admin)
        box.wait_console(r"U-Boot 20", 120, times=3)
        box.wait_page()
        admin = box.sign_in("Stage", PASSWORD)
        people = {account["name"]: account["id"] for account in box.ok("GET", "/api/v1/accounts", cookie=admin)}
        check("accounts are those of the backup", set(people) == {"Stage", "Ada"}, people)
        check("settings are those of the backup", box.ok("GET", "/api/v1/turn", cookie=admin)["seconds"] == 77)
        with Publisher(box, key, 440):
            wait("Ada on air with her old stream key", 90, lambda: on_air(box) == "Ada")
        say("the backup brings back accounts, settings and stream keys")
        box.shut_down()
    check("a reset is done once", "factory-reset" not in on_card(), on_card())


def host_program(lab: Lab) -> tuple[list[str], dict[str, str]]:
    """Something that runs the program here, and its environment: this machine's own build, else the arm64 one emulated (slower)."""
    target = os.environ.get("CARGO_TARGET_DIR", "")
    for path in (os.environ.get("HOST_PROGRAM", ""), f"{target}/release/motherstream", f"{target}/debug/motherstream"):
        if path and Path(path).is_file():
            return [path], {}
    root = lab.image("one", "1.0") / "root"
    return ["qemu-aarch64-static", "-L", str(root), str(lab.program)], {"GST_PLUGIN_SYSTEM_PATH": f"{root}/usr/lib/aarch64-linux-gnu/gstreamer-1.0"}


def read_store(lab: Lab, data: Path, token: str = "0123456789abcdef0123") -> tuple[set[str], int]:
    """The names of the accounts and the length of a turn in a store, as the program itself reads them."""
    port, rtmp = free_port(), free_port()
    program, needed = host_program(lab)
    # What this rig is told by is no configuration.
    env = {name: value for name, value in os.environ.items() if not name.startswith("MOTHERSTREAM_")} | needed | {
        "MOTHERSTREAM_DATA_DIR": str(data), "MOTHERSTREAM_WEB__LISTEN": f"127.0.0.1:{port}", "MOTHERSTREAM_WEB__HTTPS_LISTEN": "off",
        "MOTHERSTREAM_INGEST__RTMP_LISTEN": f"127.0.0.1:{rtmp}", "MOTHERSTREAM_ADMIN__TOKEN": token, "MOTHERSTREAM_INGEST__KIND": "embedded",
    }  # fmt: skip
    with (data / "log").open("wb") as log:
        process = subprocess.Popen([*program, "run"], env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=data)

    def get(path: str) -> object:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            connection.request("GET", path, headers={"Authorization": f"Bearer {token}"})
            answer = connection.getresponse()
            text = answer.read()
            if answer.status >= 500:
                # It runs without its store then, and says why.
                raise Failed(f"the store does not open: {answer.status} {text[:300].decode(errors='replace')}")
            return json.loads(text) if answer.status == 200 else None
        finally:
            connection.close()

    try:
        accounts = wait("the store to open", 90, lambda: process.poll() is not None or get("/api/v1/accounts"), 0.2)
        if accounts is True:
            raise Failed(f"the store does not open: {(data / 'log').read_text(errors='replace')[-600:]}")
        return {account["name"] for account in accounts}, get("/api/v1/turn")["seconds"]
    finally:
        process.kill()
        process.wait(10)


def power(lab: Lab) -> None:
    """fifty power cuts at random instants under load, with a log of all writes; nothing acknowledged is missing"""
    cuts = int(os.environ.get("CUTS", "50"))
    card = lab.card(lab.image("one", "1.0"), "power")
    with lab.machine(card) as box:
        box.start()
        box.wait_page()
        admin = claim(box)
        keys = [register(box, name)["stream_key"] for name in ("Ada", "Ben")]
        box.shut_down()
    base, log = card.with_name("base.img"), card.with_name("writes.log")
    subprocess.run(["cp", "--sparse=always", card, base], check=True)
    acknowledged: list[tuple[int, str, object]] = []
    stop = threading.Event()
    box = lab.machine(card, blockdev=powercut.blockdev(card, log))
    with box:
        box.start()
        box.wait_page()
        admin = box.sign_in("Stage", PASSWORD)
        begin = log.stat().st_size

        def load(kind: str) -> None:
            for number in itertools.count(1):
                if stop.is_set():
                    return
                try:
                    if kind == "account":
                        status = box.call("POST", "/api/v1/accounts", {"name": f"Guest {number}", "password": PASSWORD}, admin)[0]
                        value: object = f"Guest {number}"
                    else:
                        status = box.call("PUT", "/api/v1/turn", {"seconds": 100 + number}, admin)[0]
                        value = 100 + number
                        time.sleep(0.2)
                    if 200 <= status < 300:
                        acknowledged.append((log.stat().st_size, kind, value))
                    else:
                        time.sleep(1)
                except (OSError, http.client.HTTPException):
                    time.sleep(0.5)

        threads = [threading.Thread(target=load, args=(kind,), daemon=True) for kind in ("account", "turn")]
        for thread in threads:
            thread.start()
        seconds = int(os.environ.get("LOAD_SECONDS", "90"))
        with Publisher(box, keys[0], 440):
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                # Publishes come and go.
                with Publisher(box, keys[1], 880):
                    time.sleep(8)
        stop.set()
        for thread in threads:
            thread.join(40)
        upto = log.stat().st_size
        box.kill()
    # With base.img and writes.log all that it takes to look at this run again.
    card.with_name("acknowledged.json").write_text(json.dumps({"begin": begin, "upto": upto, "acknowledged": acknowledged}))
    counts = {kind: sum(1 for _, k, _ in acknowledged if k == kind) for kind in ("account", "turn")}
    check("there was a load", counts["account"] >= 3 and counts["turn"] >= 10, counts)
    table = json.loads(subprocess.run(["/usr/sbin/sfdisk", "--json", base], capture_output=True, check=True).stdout)["partitiontable"]
    part = next(part for part in table["partitions"] if part.get("name") == "data")
    first, last = part["start"], part["start"] + part["size"] - 1
    all_entries = powercut.entries(log, upto)
    flushes = sum(1 for entry in all_entries if entry.flags & powercut.FLUSH)
    say(f"{seconds} s of load: {counts['account']} registrations and {counts['turn']} settings acknowledged; {len(all_entries)} requests logged, {flushes} flushes")
    data = card.with_name("data.img")
    subprocess.run(["dd", f"if={base}", f"of={data}", "bs=1M", f"skip={first * 512}", f"count={part['size'] * 512}", "iflag=skip_bytes,count_bytes", "conv=sparse", "status=none"], check=True)
    base.unlink()
    chance = random.Random(20261)
    loaded = [index for index, entry in enumerate(all_entries) if entry.at >= begin]

    def cut(number: int, since: int | None) -> str | None:
        """One cut; what is wrong afterwards, or nothing."""
        index = chance.choice(loaded)
        at = all_entries[index].at
        after = card.with_name("after.img")
        subprocess.run(["cp", "--sparse=always", "--reflink=auto", data, after], check=True)
        powercut.rebuild(after, log, all_entries[:index], first, last, chance, since)
        check_run = lambda *words: subprocess.run(["/usr/sbin/e2fsck", *words, after], capture_output=True, text=True, check=False)  # noqa: E731
        if (replayed := check_run("-p")).returncode > 1:
            return f"e2fsck -p: {replayed.stdout[-200:]}"
        if (clean := check_run("-fn")).returncode:
            return f"e2fsck -fn: {clean.stdout[-200:]}"
        folder = card.with_name("after")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        subprocess.run(["/usr/sbin/debugfs", "-R", f"rdump /motherstream {folder}", after], capture_output=True, check=True)
        try:
            names, turn = read_store(lab, folder / "motherstream")
        except (Failed, OSError) as error:
            return str(error)
        promised = {value for position, kind, value in acknowledged if kind == "account" and position <= at}
        least = max((value for position, kind, value in acknowledged if kind == "turn" and position <= at), default=0)
        if missing := promised - names:
            return f"acknowledged and missing: {sorted(missing)}"
        if turn < least:
            return f"a turn of {least} s was acknowledged, {turn} s is stored"
        return None

    wrong = [(number, problem) for number in range(cuts) if (problem := cut(number, None))]
    say(f"{cuts} cuts: {cuts - len(wrong)} with a clean file system, a store that opens, and everything acknowledged in it")
    check("no cut loses anything", not wrong, wrong[:3])
    control = [problem for number in range(10) if (problem := cut(number, loaded[0]))]
    say(f"negative control, flushes ignored: {len(control)} of 10 cuts lose something, for example: {(control or ['nothing'])[0][:110]}")
    check("the rig can fail", control)


def trouble(lab: Lab) -> None:
    """a data partition that is full, and one that is read-only, in two ways"""
    card = lab.card(lab.image("one", "1.0"), "trouble")
    with lab.machine(card) as box:
        box.start()
        box.wait_page()
        admin = claim(box)
        ada, ben = register(box, "Ada"), register(box, "Ben")
        box.wait_agent()
        kept = ["Ada", "Ben"]

        def carries_on(what: str, spoil: str, mend: str, limit: float = 90, readable: bool = True) -> None:
            with Publisher(box, ada["stream_key"], 440) as first:
                wait("Ada on air", 90, lambda: on_air(box) == "Ada")
                with Publisher(box, ben["stream_key"], 880):
                    wait("Ben ready", 60, lambda: any(entry["presence"] == "ready" for entry in box.ok("GET", "/api/v1/queue")["waiting"]))
                    box.sh(spoil, 100, ok=True)
                    # A full disk takes what fits into the store as it is. What was taken must be there later.
                    taken = []
                    for number in range(40):
                        name = f"Cleo {what} {number}"
                        status, answer, _ = box.call("POST", "/api/v1/accounts", {"name": name, "password": PASSWORD}, admin, limit=60)
                        if status != 201:
                            break
                        taken.append(name)
                    kept.extend(taken)
                    say(f"data {what}: {len(taken)} registrations fitted in")
                    check(f"data {what}: a registration is refused", status >= 500, f"{status} {answer}")
                    reason = answer.get("detail", answer) if isinstance(answer, dict) else answer
                    # Those who run the night are known all the same, and what is on the card can be saved.
                    for path in ("/api/v1/accounts", "/api/v1/history", "/api/v1/backup") if readable else ():
                        status_then, answer_then, _ = box.call("GET", path, cookie=admin)
                        check(f"data {what}: {path} is read", status_then == 200, f"{status_then} {answer_then}")
                    first.stop()
                    wait(f"data {what}: Ben on air after Ada is gone", 90, lambda: on_air(box) == "Ben")
                    say(f"data {what}: the handover went on; a registration was answered {status}: {str(reason)[:120]}")
                    box.sh(mend, 100)
            wait("nobody on air", limit, lambda: on_air(box) is None)
            wait(f"data {what}: mended, a registration is taken", limit, lambda: box.call("POST", "/api/v1/accounts", {"name": f"Dora {what}", "password": PASSWORD}, admin)[0] == 201, 3)

        # Reserved quickly, written where the file system keeps something back for root.
        fill = "fallocate -l $(df --output=avail -B 1 /data | tail -n 1) /data/filler; dd if=/dev/zero of=/data/filler2 bs=64k >/dev/null 2>&1; sync; df /data | tail -n 1"
        carries_on("full", fill, "rm -f /data/filler /data/filler2; sync")
        # The kernel's forced remount: from then on it takes writes into what an open file has, says that they are flushed, and forgets them.
        carries_on("forced read-only", "echo u >/proc/sysrq-trigger; sleep 3; grep ' /data ext4 ro,' /proc/mounts", "mount -o remount,rw /data")
        # As after an error of the card: ext4 gives up. It is whole again after a restart, which checks it. Linux 6.12 refuses reads then as
        # well (later ones do not): nobody's session can be looked up.
        give_up = "echo rig >/sys/fs/ext4/$(basename $(readlink -f /dev/motherstream/data))/trigger_fs_error; sleep 2; grep ' /data ' /proc/mounts"
        carries_on("read-only", give_up, "systemctl --no-block reboot", 420, readable=False)
        names = [account["name"] for account in box.ok("GET", "/api/v1/accounts", cookie=box.sign_in("Stage", PASSWORD))]
        check("what was taken is kept", set(kept) <= set(names), set(kept) - set(names))
        box.shut_down()


def watchdog(lab: Lab) -> None:
    """a kernel that hangs, and a program that is frozen"""
    card = lab.card(lab.image("one", "1.0"), "watchdog")
    with lab.machine(card) as box:
        box.start()
        box.wait_page()
        claim(box)
        register(box, "Ada")
        box.wait_agent()
        # A panic that is told to stand still for ever: nothing runs any more, and nobody feeds the hardware.
        began = time.monotonic()
        box.sh("(sleep 1; echo 0 >/proc/sys/kernel/panic; echo c >/proc/sysrq-trigger) >/dev/null 2>&1 &")
        box.wait_console(r"U-Boot 20", 120, times=2)
        say(f"hung kernel: reset by the hardware watchdog after {time.monotonic() - began:.0f} s")
        box.wait_page()
        box.wait_agent()
        names = [account["name"] for account in box.ok("GET", "/api/v1/accounts", cookie=box.sign_in("Stage", PASSWORD))]
        check("accounts are kept", {"Stage", "Ada"} <= set(names), names)
        main = "systemctl show -p MainPID --value motherstream"
        before = box.sh(main)
        server = box.sh("pidof srs") if lab.srs else ""
        box.sh(f"kill -STOP {before}")
        began = time.monotonic()
        wait("another process", 180, lambda: box.sh(main) not in (before, "0", ""), 2)
        box.wait_page()
        say(f"frozen program: restarted, its page answers {time.monotonic() - began:.0f} s after it froze")
        if lab.srs:
            check("SRS outlives it, and with it the encoders' connections", server and box.sh("pidof srs") == server, server)
            say("SRS outlived it")
        box.shut_down()


# These are begun first.
LONG = {"updates"}
CASES |= {"updates": updates, "power": power, "trouble": trouble, "watchdog": watchdog, "files": files}
