"""The cases in which something goes wrong: updates, watchdogs, a full disk; and what a venue does with files."""

import os
import random
import re
import subprocess
import time
from pathlib import Path

from card import boot_partition
from cases import CASES, HERE, PASSWORD, Lab, Publisher, claim, line, on_air, register, say
from machine import Machine, check, wait


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


def restarted_with_a_queue(box: Machine, keys: list[str], order, console: str) -> None:
    """Ada on air and Cleo waiting, then the order for a restart: what starts next knows both, and how much of the turn is over."""
    with Publisher(box, keys[0], 440):
        wait("Ada on air", 90, lambda: on_air(box) == "Ada")
        with Publisher(box, keys[1], 880):
            wait("Cleo in the queue", 60, lambda: line(box.ok("GET", "/api/v1/queue")) == ("Ada", ["Cleo"]))
            # So that there is something of the turn to know.
            time.sleep(5)
            elapsed = box.ok("GET", "/api/v1/queue")["on_air"]["elapsed_seconds"]
            order()
            box.wait_console(console, 180)
    # Neither comes back before this is read: nobody stands in the queue by publishing anew.
    box.wait_page()
    queue = box.ok("GET", "/api/v1/queue")
    check("the queue is kept", line(queue) == ("Ada", ["Cleo"]) and queue["on_air"]["suspended"], queue)
    now = queue["on_air"]["elapsed_seconds"]
    check("and how much of the turn is over", elapsed - 1 <= now < elapsed + 60, f"{elapsed} s before, {now} s after")
    say(f"the queue after the restart, before any encoder is back: Ada's turn, {now:.0f} s of it over ({elapsed:.0f} s when it was ordered), then Cleo")


def installed(box: Machine, admin: str, name: str) -> None:
    """What the page has begun to install."""
    began, seen = time.monotonic(), set()

    def look() -> bool:
        progress = box.ok("GET", "/api/v1/update", cookie=admin)["progress"]
        check(f"{name} is installed", progress["stage"] in ("installing", "installed"), progress)
        seen.add(progress.get("percent"))
        return progress["stage"] == "installed"

    wait(f"{name} to be installed", 600, look, 3)
    say(f"{name} installed in {time.monotonic() - began:.0f} s; the page said {len(seen - {None})} different percentages")


def updates(lab: Lab) -> None:
    """a signed update and the way back, with what the box knew; one that is cut off, and three that must be refused"""
    other = Path(os.environ.get("OTHER_PROGRAM", lab.program))
    one, two = lab.image("one", "1.0"), lab.image("two", "2.0", program=other)
    if other != lab.program:
        say(f"the update has another program than the card: {other}")
    half = lab.out / "half.raucb"
    whole = (two / "motherstream-qemu.raucb").read_bytes()
    half.write_bytes(whole[: len(whole) // 2])
    files = {
        "good.raucb": two / "motherstream-qemu.raucb", "half.raucb": half,
        "board.raucb": bundle(lab, "board", "rpi4"), "key.raucb": bundle(lab, "key", "qemu", lab.out / "other-keys"),
    }  # fmt: skip
    card = lab.card(one, "updates")
    with lab.machine(card, usb=stick(card, files)) as box:
        box.start()
        box.wait_page()
        admin = claim(box)
        keys = [register(box, name)["stream_key"] for name in ("Ada", "Cleo")]
        box.ok("PUT", "/api/v1/turn", {"seconds": 1234}, admin)
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
        check("and knows what it knew", box.ok("GET", "/api/v1/turn", cookie=admin)["seconds"] == 1234)
        say(f"the plug pulled at {cut['percent']} % of an installation: the old version runs, with what it knew")

        began = time.monotonic()
        status, answer = box.upload("/api/v1/update", files["good.raucb"], admin)
        check("the page takes the update", status == 202, f"{status} {answer}")
        say(f"{files['good.raucb'].stat().st_size / (1 << 20):.0f} MiB uploaded and looked at in {time.monotonic() - began:.0f} s")
        installed(box, admin, "good")

        def restart() -> None:
            # Somebody on air begins a show, and during one the page restarts nothing.
            box.ok("PUT", "/api/v1/show", {"on": False}, admin)
            box.ok("POST", "/api/v1/system/restart", cookie=admin)

        began = time.monotonic()
        restarted_with_a_queue(box, keys, restart, r"slot B, left")
        say(f"the other slot's page answers {time.monotonic() - began:.0f} s after the first encoder was started")
        box.wait_agent()
        check("version 2.0 runs from slot B", release(box) == "B 2.0", release(box))
        admin = box.sign_in("Stage", PASSWORD)
        check("settings are kept", settings(box, admin) == (1234, True), settings(box, admin))
        check("a show that was ended by hand is not begun by a restart", not box.ok("GET", "/api/v1/show", cookie=admin)["on"])
        marked_good(box, "B")
        register(box, "Ben")

        # Back to the old version on purpose (as a technician would), during a show, with what a newer one might have left in the settings.
        newer = '[venue]\nmood = "blue"\n[accounts]\nregistration = "by a way of the future"\n'
        box.sh(f"printf '%s' '{newer}' >>/data/motherstream/settings.toml && rauc status mark-active other", 120, ok=True)

        def restart_during_a_show() -> None:
            box.ok("PUT", "/api/v1/show", {"on": True}, admin)
            box.sh("touch /run/motherstream/reboot")

        restarted_with_a_queue(box, keys, restart_during_a_show, r"slot A, left A 8 ")
        box.wait_agent()
        check("version 1.0 runs from slot A", release(box) == "A 1.0", release(box))
        admin = box.sign_in("Stage", PASSWORD)
        names = [account["name"] for account in box.ok("GET", "/api/v1/accounts", cookie=admin)]
        check("accounts are kept on the way back", {"Stage", "Ada", "Ben"} <= set(names), names)
        check("settings are kept on the way back", settings(box, admin) == (1234, True), settings(box, admin))
        check("the show is kept on the way back", box.ok("GET", "/api/v1/show", cookie=admin)["on"])
        marked_good(box, "A")
        say("and back on version 1.0, with accounts, queue, show and settings, among which are two that it does not understand")

        box.shut_down()


def fallback(lab: Lab) -> None:
    """a version that never becomes ready, one without a kernel, and no slot left to try: each time back on the old one, by itself"""
    units = "usr/lib/systemd/system"
    never = {
        f"{units}/motherstream.service.d/never.conf": "[Service]\nExecStart=\nExecStart=/bin/sleep infinity\n",
        # It has three quarters of a minute instead of five, each time: it does not become ready in any.
        f"{units}/motherstream-trial.timer.d/rig.conf": "[Timer]\nOnActiveSec=\nOnActiveSec=45s\n",
    }
    stuck = lab.image("stuck", "3.0", laid(lab, "stuck", never))
    card = lab.card(lab.image("one", "1.0"), "fallback")
    with lab.machine(card, usb=stick(card, {"stuck.raucb": stuck / "motherstream-qemu.raucb"})) as box:
        box.start()
        box.wait_page()
        admin = claim(box)
        register(box, "Ada")
        box.wait_agent()
        wait("this version to be marked good", 300, lambda: state(box)["BOOT_A_LEFT"] == "6", 2)
        wait("the stick", 60, lambda: "stuck.raucb" in box.sh("ls /run/motherstream-usb"))
        box.ok("POST", "/api/v1/update/stick", {"file": "stuck.raucb"}, admin)
        installed(box, admin, "stuck")
        box.ok("POST", "/api/v1/system/restart", cookie=admin)
        began = time.monotonic()
        box.wait_console(r"slot B, left A \d B 8", 180)
        box.wait_console(r"slot B, left A \d B 7", 500)
        say(f"the one that never becomes ready: second try after {time.monotonic() - began:.0f} s")
        # The first time was that of the fresh card.
        box.wait_console(r"slot A, left A \d B 0", 500, times=2)
        say(f"and back on the old version after {time.monotonic() - began:.0f} s, by itself")
        box.wait_page()
        box.wait_agent()
        check("version 1.0 runs from slot A again", release(box) == "A 1.0", release(box))
        names = [account["name"] for account in box.ok("GET", "/api/v1/accounts", cookie=box.sign_in("Stage", PASSWORD))]
        check("accounts are kept", {"Stage", "Ada"} <= set(names), names)

        # What a card that has lost some blocks does to the other version: there is no kernel in it.
        wait("this version to be marked good", 300, lambda: state(box)["BOOT_A_LEFT"] == "6", 2)
        box.sh("mkdir -p /run/rig && mount /dev/motherstream/root-b /run/rig && rm /run/rig/boot/Image && umount /run/rig && rauc status mark-active other", 120, ok=True)
        box.sh("touch /run/motherstream/reboot")
        began = time.monotonic()
        box.wait_console(r"slot B, left A \d B 8", 180, times=2)
        box.wait_console(r"slot B, left A \d B 7", 120, times=2)
        box.wait_console(r"slot A, left A \d B 0", 120, times=3)
        check("the boot loader says why", box.console().count("slot B does not start") == 2, box.console().count("slot B does not start"))
        box.wait_page()
        box.wait_agent()
        check("a version without a kernel falls back by itself", release(box) == "A 1.0", release(box))
        say(f"a version without a kernel: two tries, and back on the old one, {time.monotonic() - began:.0f} s after the order")

        # Neither has a try left, and the other version is the first in order.
        check("what was chosen last is first in order", state(box)["BOOT_ORDER"] == "B A", state(box))
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
        check("a stick that is not FAT is not mounted", "cannot be read" in said and box.sh("mountpoint -q /run/motherstream-usb && echo mounted") == "", said)
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
LONG = {"updates", "fallback"}
CASES |= {"updates": updates, "fallback": fallback, "trouble": trouble, "watchdog": watchdog, "files": files}
