"""The cases about the card: whose it is, what is written to it and by whom, and what happens when it is damaged."""

import contextlib
import http.client
import json
import random
import struct
import subprocess
import time
from pathlib import Path

from cases import CASES, MIB, Lab, claim, register, say
from machine import Machine, check, wait

DATA = "$(readlink -f /dev/motherstream/data)"


def partitions(card: Path) -> dict[str, tuple[int, int]]:
    """Where each partition of a card begins and how large it is, in bytes."""
    table = json.loads(subprocess.run(["/usr/sbin/sfdisk", "--json", card], capture_output=True, check=True).stdout)["partitiontable"]
    return {part["name"]: (part["start"] * 512, part["size"] * 512) for part in table["partitions"] if "name" in part}


def boot_partition(card: Path) -> str:
    """The small partition of a card, as mtools name it: what a computer shows of a card that is put into it."""
    return f"{card}@@{partitions(card)['boot'][0]}"


def found(box: Machine) -> str:
    """What the box has found of its data partition; nothing while it still looks."""
    return box.sh("cat /run/motherstream-data 2>/dev/null")


def looked_after_again(box: Machine, spoil: str = "true", with_path: bool = False) -> str:
    """Takes the data partition from all who use it, spoils something, and has the box look after it as at a start; what it found."""
    users = "motherstream-requests.path motherstream NetworkManager systemd-timesyncd motherstream-data"
    box.sh(f"systemctl stop {users}; for i in 1 2 3; do umount -A {DATA}; umount /data; done 2>/dev/null; ! grep -E ' /data |timesync' /proc/mounts", 100, ok=True)
    box.sh(spoil, 100, ok=True)
    drop = "/run/systemd/system/motherstream-data.service.d"
    box.sh(f"mkdir -p {drop} && printf '[Service]\\nEnvironment=PATH=/run/rig-bin:/usr/sbin:/usr/bin:/sbin:/bin\\n' >{drop}/rig.conf" if with_path else f"rm -rf {drop}")
    box.sh("systemctl daemon-reload; systemctl start motherstream-data", 100, ok=True)
    return found(box)


def stranger(lab: Lab) -> None:
    """a second disk in the box whose partitions have the names of the card's: nothing on it is touched, and nothing on it is believed"""
    card = lab.card(lab.image("one", "1.0"), "stranger")
    disk, folder = card.with_name("foreign.img"), lab.out / "lay/stranger"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "thesis.txt").write_text("the only copy\n")
    (folder / "factory-reset").write_text("")
    disk.unlink(missing_ok=True)
    with disk.open("wb") as file:
        file.truncate(256 * MIB)
    # With room at its end, as a partition has that could be grown.
    table = "label: gpt\nsize=16M,name=bootstate\nsize=40M,name=boot\nsize=40M,name=root-b\nsize=64M,name=data\n"
    subprocess.run(["/usr/sbin/sfdisk", "--quiet", disk], input=table, text=True, check=True)
    at = partitions(disk)
    subprocess.run(["/usr/sbin/mkfs.vfat", "-F", "32", "-s", "1", "--offset", str(at["boot"][0] // 512), disk, str(at["boot"][1] // 1024)], check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["mcopy", "-i", boot_partition(disk), folder / "factory-reset", "::factory-reset"], check=True)
    mke2fs = ["/usr/sbin/mke2fs", "-q", "-F", "-t", "ext4", "-d", folder, "-E", f"offset={at['data'][0]}", disk, "64M"]
    subprocess.run(mke2fs, check=True)
    before = subprocess.run(["sha256sum", disk], capture_output=True, text=True, check=True).stdout
    with lab.machine(card) as box:
        # Once alone, so that there is something to lose.
        box.start()
        box.wait_agent()
        wait("the data partition", 120, lambda: found(box) == "new", 1)
        box.sh("echo ours >/data/system/kept && sync", ok=True)
        box.shut_down()
        box.more = ["-blockdev", f"driver=raw,node-name=foreign,file.driver=file,file.filename={disk}", "-device", "virtio-blk-pci,drive=foreign,serial=foreign"]
        box.start()
        box.wait_agent()
        wait("the data partition", 120, lambda: found(box), 1)
        names = box.sh("lsblk -rno NAME,SERIAL,PARTLABEL; ls -l /dev/motherstream")
        check("the box has both disks", "foreign" in names and names.count("data") >= 2, names)
        own = {line.split()[0] for line in box.sh("lsblk -rndo NAME,SERIAL").splitlines() if line.endswith("card")}
        disks = set(box.sh("for name in /dev/motherstream/*; do lsblk -rndo PKNAME $name; done").split())
        check("every name is the card's own partition", len(own) == 1 and disks == own, f"{own}: {names}")
        links = sorted(box.sh("ls /dev/motherstream").split())
        check("the card's partitions have their names", links == ["boot", "bootstate", "data", "root-a", "root-b"], links)
        check("the box is not reset", found(box) == "kept" and box.sh("cat /data/system/kept") == "ours", found(box))
        mounted = box.sh("findmnt -no SOURCE /boot/firmware; findmnt -no SOURCE /data").split()
        check("what is mounted is the card's", len(mounted) == 2 and all(source.startswith(f"/dev/{next(iter(own))}") for source in mounted), mounted)
        # RAUC writes to root-b, the boot loader's state to bootstate.
        slots = [slot for entry in json.loads(box.sh("rauc status --output-format=json", 120, ok=True))["slots"] for slot in entry.values()]
        check("updates go to the card", {slot["device"] for slot in slots} == {"/dev/motherstream/root-a", "/dev/motherstream/root-b"}, slots)
        check("the boot loader's state is the card's", "BOOT_ORDER=" in box.sh("fw_printenv", ok=True))
        box.sh("fw_setenv BOOT_B_LEFT 0", ok=True)
        box.shut_down()
    check("not a byte of the other disk is another", subprocess.run(["sha256sum", disk], capture_output=True, text=True, check=True).stdout == before)
    say("a disk with partitions named bootstate, boot, root-b and data, in which a factory-reset lies: unchanged, and not believed")


def first(lab: Lab) -> None:
    """the plug pulled in the very first formatting of the data partition, and a partition table of which the first copy is torn"""
    card = lab.card(lab.image("one", "1.0"), "first")
    # Few writes a second: a card so slow that there is an instant to pull the plug in.
    slow = [
        "-object", "throttle-group,id=slow,x-iops-write=3", "-blockdev", f"driver=raw,node-name=card-raw,file.driver=file,file.filename={card}",
        "-blockdev", "driver=throttle,node-name=card,throttle-group=slow,file=card-raw",
    ]  # fmt: skip
    with lab.machine(card, blockdev=slow) as box:
        box.start()
        box.wait_console("first start: making its file system")
        time.sleep(1)
        box.kill()
    on_card = subprocess.run(["mdir", "-b", "-i", boot_partition(card), "::"], capture_output=True, text=True, check=True).stdout
    check("cut in the first formatting, the flag to begin again is on the card", "factory-reset" in on_card, on_card)
    # The worst of what half a formatting leaves: neither zeros nor a file system.
    with card.open("r+b") as file:
        file.seek(partitions(card)["data"][0])
        file.write(random.Random(3).randbytes(65536))
    with lab.machine(card) as box:
        box.start()
        box.wait_agent()
        told = wait("the data partition", 120, lambda: found(box), 1)
        check("it is formatted at the next start", told == "reset", told)
        check("and really is on the card", "ext4" in box.sh("findmnt -no FSTYPE /data"), box.sh("findmnt /data"))
        check("the flag is gone", box.sh("ls /boot/firmware/factory-reset 2>/dev/null") == "")
        box.shut_down()
    say("the plug pulled in the very first formatting: the next start formats again")
    with card.open("r+b") as file:
        file.seek(512)
        file.write(bytes(512))
    with lab.machine(card) as box:
        box.start()
        box.wait_agent()
        told = wait("the data partition", 120, lambda: found(box), 1)
        check("a box whose partition table is torn starts from its second copy", told == "kept", told)
        box.shut_down()
    say("the partition table's first copy torn: the box starts from the second one")


def asks(lab: Lab) -> None:
    """what the program asks of the machine: the setup code's file, a reset, a restart; and what it cannot do by itself"""
    card = lab.card(lab.image("one", "1.0"), "asks")
    with lab.machine(card) as box:
        box.start()
        # By then the program has asked for what it asks for by itself.
        box.wait_page()
        box.wait_agent()
        as_program = "setpriv --reuid 800 --regid 800 --clear-groups"
        options = box.sh("findmnt -no OPTIONS /boot/firmware")
        check("the boot partition is read-only", options.startswith("ro,"), options)
        owner = box.sh("stat -c '%u:%g %a' /boot/firmware/README.txt")
        check("its files are root's, and the program reads them", owner == "0:800 750", owner)
        check("the program can read it", "MOTHERSTREAM" in box.sh(f"{as_program} cat /boot/firmware/README.txt", ok=True))
        mount = f"{as_program} sh -c 'touch /boot/firmware/x; rm -f /boot/firmware/boot.scr; mount -o remount,rw /boot/firmware' 2>&1"
        check("the program can neither write it nor mount it", box.sh(f"{mount}; ls /boot/firmware/boot.scr /boot/firmware/x").count("/boot/firmware/boot.scr") >= 1)
        check("and it is read-only still", box.sh("findmnt -no OPTIONS /boot/firmware").startswith("ro,"))

        def ask(name: str, text: str) -> None:
            box.sh(f"cd /run/motherstream && {as_program} sh -c 'printf \"{text}\" >.asked && mv .asked {name}'", ok=True)

        def handled(name: str) -> None:
            wait(f"{name} to be taken", 60, lambda: box.sh(f"ls /run/motherstream | grep -x {name}") == "" and "inactive" in box.sh("systemctl is-active motherstream-requests.service"), 1)
            check(f"after {name} the boot partition is read-only again", box.sh("findmnt -no OPTIONS /boot/firmware").startswith("ro,"))

        own = wait("the program's own code in the file", 60, lambda: box.sh("cat /boot/firmware/setup-code.txt 2>/dev/null"), 2)
        check("and on its screen", box.wait_console(r"(?i)setup code\W+([A-Z0-9][A-Z0-9-]{5,})", 60)[1] == own.strip(), own)
        code = "od -An -c /boot/firmware/setup-code.txt | tr -d ' \\n'"
        ask("setup-code", "abcd 2345-WXYZ\\n")
        handled("setup-code")
        check("the setup code is in the file, for every computer to read", box.sh(code) == "abcd2345-WXYZ\\r\\n", box.sh(code))
        written = box.sh("cut -d ' ' -f 1- /sys/class/block/$(basename $(readlink -f /dev/motherstream/boot))/stat | tr -s ' ' | cut -d ' ' -f 6-8")
        ask("setup-code", "abcd 2345-WXYZ\\n")
        handled("setup-code")
        again = box.sh("cut -d ' ' -f 1- /sys/class/block/$(basename $(readlink -f /dev/motherstream/boot))/stat | tr -s ' ' | cut -d ' ' -f 6-8")
        check("the same code is not written again", written == again, f"{written} {again}")
        for nonsense in ("short\\n", "a" * 41 + "\\n", "twolines\\nof1234567\\n", "../../etc/passwd\\n", "\\t tab tab tab\\n"):
            ask("setup-code", nonsense)
            handled("setup-code")
            check(f"{nonsense!r} is no setup code", box.sh(code) == "abcd2345-WXYZ\\r\\n", box.sh(code))
        # A link to something that looks like a code and is not the program's to read.
        box.sh("echo secret12345 >/run/secret && chmod 600 /run/secret")
        box.sh(f"{as_program} ln -s /run/secret /run/motherstream/setup-code", ok=True)
        handled("setup-code")
        check("a link is not followed", box.sh(code) == "abcd2345-WXYZ\\r\\n", box.sh(code))
        ask("setup-code", "")
        handled("setup-code")
        check("the file goes when the box has an owner", box.sh("ls /boot/firmware") != "" and box.sh("ls /boot/firmware/setup-code.txt 2>/dev/null") == "")
        say("the setup code's file is written by the machine alone, when asked; nonsense and links are not taken")
        box.sh("echo ours >/data/system/kept && sync", ok=True)
        # While it is asked: whoever asks for both gets both.
        box.sh(f"cd /run/motherstream && {as_program} sh -c ': >factory-reset; : >reboot'", ok=True)
        box.wait_console(r"U-Boot 20", 120, times=2)
        box.wait_agent()
        told = wait("the data partition", 120, lambda: found(box), 1)
        check("a reset that was asked for is done at the next start", told == "reset" and box.sh("ls /data/system/kept 2>/dev/null") == "", told)
        check("once", box.sh("ls /boot/firmware/factory-reset 2>/dev/null") == "")
        say("a reset and a restart that were asked for are done, in this order")
        failed = box.sh("systemctl --failed --no-legend --plain")
        check("nothing failed", "motherstream-requests" not in failed and "motherstream-data" not in failed and "motherstream-identity" not in failed, failed)
        box.shut_down()


def programme(box: Machine, path: str, seconds: float) -> bytes:
    """What a player receives of the programme."""
    received = b""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", box.http, timeout=30)) as connection:
        connection.request("GET", path)
        answer = connection.getresponse()
        check("a player is let in", answer.status == 200, answer.status)
        end = time.monotonic() + seconds
        while time.monotonic() < end and (some := answer.read1(65536)):
            received += some
    return received


def tags(flv: bytes) -> dict[int, list[int]]:
    """The time stamps in FLV, by kind: 8 is sound, 9 pictures."""
    check("it is FLV", flv[:3] == b"FLV", flv[:16])
    at, stamps = 13, {}
    while at + 11 <= len(flv):
        size, low = struct.unpack(">I", b"\0" + flv[at + 1 : at + 4])[0], struct.unpack(">I", b"\0" + flv[at + 4 : at + 7])[0]
        stamps.setdefault(flv[at] & 0x1F, []).append(flv[at + 7] << 24 | low)
        at += 11 + size + 4
    return stamps


def damaged(lab: Lab) -> None:
    """a data partition that is damaged in every way, or missing, and a store that is no store: the box comes up and says so"""
    card = lab.card(lab.image("one", "1.0"), "damaged")
    with lab.machine(card) as box:
        # So that it is a used one, with all the copies that its file system keeps of itself.
        box.start()
        box.wait_page()
        claim(box)
        register(box, "Ada")
        box.wait_agent()
        store = "/data/motherstream/motherstream.redb"
        # The file system is sound, what is in it is not.
        box.sh(f"systemctl stop motherstream && fw_setenv BOOT_A_LEFT 4 && cp {store} /run/store && head -c 300000 /dev/urandom >{store} && chown 800:800 {store} && sync", 100, ok=True)
        garbage = box.sh(f"sha256sum {store}; ls /data/motherstream | sort")
        box.sh("systemctl start --no-block motherstream", ok=True)
        status, page, _ = wait("a page that says so", 180, lambda: (got := box.call("GET", "/", limit=5))[0] == 503 and "not a store" in str(got[1]) and got)
        status, answer, _ = box.call("POST", "/api/v1/accounts", {"name": "Ben", "password": "a long password"})
        check("a registration is refused, with the reason", status == 503 and "not a store" in answer["detail"], f"{status} {answer}")
        wait("the screen to say so", 120, lambda: "The store does not work" in box.console(), 2)
        check("nobody's file is replaced", box.sh(f"sha256sum {store}; ls /data/motherstream | sort") == garbage, garbage)
        # It has proven itself: the other version would not find another store. What a start takes away is given back.
        check("this version is no trial", box.sh("cat /run/motherstream-trial") == "no")
        wait("the version to be marked good all the same", 300, lambda: box.sh("fw_printenv -n BOOT_A_LEFT") == "6", 2)
        say("an established version is marked good although its store does not open")
        say(f"a store that is garbage: page, screen and API say so and the file stays as it is: {answer['detail'][:110]}")

        back = f"mkdir -p /run/rig-mnt && mount {DATA} /run/rig-mnt && cp /run/store /run/rig-mnt/motherstream/motherstream.redb && chown 800:800 /run/rig-mnt/motherstream/motherstream.redb && umount /run/rig-mnt"
        check("a box that is whole is kept", looked_after_again(box, back) == "kept", found(box))
        # A reset that can never be taken back would clear the box at every start.
        lock = "/usr/lib/motherstream/boot-write touch /boot/firmware/factory-reset && blockdev --setro /dev/motherstream/boot"
        check("no reset when its flag cannot be taken away", looked_after_again(box, lock) == "kept", found(box))
        check("and nothing is gone", box.sh(f"sha256sum <{store}") == box.sh("sha256sum </run/store"))
        said = box.sh("journalctl -D /run/log/journal --no-pager -o cat -u motherstream-data | tail -n 20")
        check("the box says why", "no factory reset" in said, said)
        say("a reset is not done when the boot partition cannot be written, and the box says so")
        # A check that comes to no end; the limit of five minutes is three seconds here.
        hangs = (
            "blockdev --setrw /dev/motherstream/boot && /usr/lib/motherstream/boot-write rm /boot/firmware/factory-reset && mkdir -p /run/rig-bin && cd /run/rig-bin"
            " && printf '#!/bin/sh\\nshift 3; exec /usr/bin/timeout -k 1 3 \"$@\"\\n' >timeout && printf '#!/bin/sh\\nexec sleep 1000\\n' >e2fsck && chmod 755 timeout e2fsck"
        )
        told = looked_after_again(box, hangs, with_path=True)
        check("a check without an end: a memory disk stands in", told.startswith("temporary") and "no end" in told, told)
        # Made whole without what was in it: something was put aside, and the store is gone.
        lost = f"mkdir -p /run/rig-mnt && mount {DATA} /run/rig-mnt && rm /run/rig-mnt/motherstream/motherstream.redb && touch /run/rig-mnt/lost+found/#12 && umount /run/rig-mnt"
        told = looked_after_again(box, lost)
        check("a repair that has lost the store: a memory disk stands in", told.startswith("temporary"), told)
        say(f"a check without an end, and a repair that has lost the store: {told}")
        box.shut_down()
    for what in ("damaged", "missing"):
        at, size = partitions(card)["data"]
        if what == "damaged":
            with card.open("r+b") as file:
                file.seek(at)
                for _ in range(min(size, 256 << 20) >> 20):
                    file.write(random.Random(7).randbytes(1 << 20))
        else:
            number = list(partitions(card)).index("data") + 1
            subprocess.run(["/usr/sbin/sfdisk", "--quiet", "--delete", card, str(number)], check=True, stdout=subprocess.DEVNULL)
        with lab.machine(card) as box:
            box.start()
            box.wait_page()
            box.wait_agent()
            told = found(box)
            check(f"data {what}: the box says so", told.startswith("temporary"), told)
            check(f"data {what}: its console says so", "memory disk" in box.console())
            status = box.call("GET", "/api/v1/queue")[0]
            check(f"data {what}: it waits for an owner, as a new box does", status == 403, status)
            say(f"data {what}: the page answers; {told}")
            if what == "damaged":
                plays(box, claim(box))
            box.shut_down()


def plays(box: Machine, admin: str) -> None:
    """The slate, as a player sees it."""
    viewer = box.ok("POST", "/api/v1/viewers", {"label": "the rig"}, admin)
    check("nobody plays without a token", box.call("GET", "/program.flv?token=none")[0] in (401, 403))
    flv = programme(box, viewer["path"], 12)
    stamps = tags(flv)
    check("the slate has pictures and sound", {8, 9} <= set(stamps), {kind: len(times) for kind, times in stamps.items()})
    lasted = {kind: stamps[kind][-1] - stamps[kind][0] for kind in (8, 9)}
    check("the slate goes on", min(lasted.values()) > 5000, lasted)
    check("time does not run back", all(times == sorted(times) for times in (stamps[8], stamps[9])))
    say(f"the slate plays: {len(flv) >> 10} KiB in 12 s, {len(stamps[9])} pictures over {lasted[9] / 1000:.1f} s")


CASES |= {"stranger": stranger, "first": first, "asks": asks, "damaged": damaged}
