"""An honest power cut.

Killing qemu loses nothing that the guest had submitted. So qemu's `blklogwrites` filter logs every write and every flush, in the format
of Linux's dm-log-writes, and the card is built again as it would be after a cut: all that was written before the last flush, and a
random half of what came after it.
"""

import http.client
import itertools
import json
import os
import random
import shutil
import struct
import subprocess
import threading
import time
from pathlib import Path

from cases import CASES, PASSWORD, Lab, Publisher, claim, line, register, say
from machine import Failed, check, free_port, wait

MAGIC = 0x6A736677736872
FLUSH, FUA, DISCARD, MARK = 1, 2, 4, 8
SECTOR = 512


def blockdev(disk: Path, log: Path) -> list[str]:
    """qemu's words for a card whose writes are logged."""
    log.write_bytes(b"")
    return [
        "-blockdev", f"driver=file,node-name=log-file,filename={log}",
        "-blockdev", f"driver=raw,node-name=card-raw,file.driver=file,file.filename={disk}",
        "-blockdev", "driver=blklogwrites,node-name=card,file=card-raw,log=log-file,log-sector-size=512",
    ]  # fmt: skip


class Entry:
    """One logged request."""

    __slots__ = ("at", "sector", "sectors", "flags", "data")

    def __init__(self, at: int, sector: int, sectors: int, flags: int, data: int):
        # Where it stands in the log, where on the card, how much, what kind, where its bytes are.
        self.at, self.sector, self.sectors, self.flags, self.data = at, sector, sectors, flags, data


def entries(log: Path, upto: int) -> list[Entry]:
    """What was logged in the file's first `upto` bytes, in order."""
    found = []
    with log.open("rb") as file:
        magic, _version, _count, size = struct.unpack("<QQQI", file.read(28))
        if magic != MAGIC or size != SECTOR:
            raise ValueError(f"{log} is no log of writes")
        at = SECTOR
        while at + SECTOR <= upto:
            file.seek(at)
            sector, sectors, flags, _length = struct.unpack("<QQQQ", file.read(32))
            if sectors == 0 and flags == 0 and sector == 0:
                break
            data = at + SECTOR
            found.append(Entry(at, sector, sectors, flags, data))
            at = data + (0 if flags & (DISCARD | MARK) else sectors * SECTOR)
    # The last one may be there in part.
    return [entry for entry in found if entry.data + (0 if entry.flags & (DISCARD | MARK) else entry.sectors * SECTOR) <= upto]


def rebuild(card: Path, log: Path, done: list[Entry], first: int, last: int, chance: random.Random, since: int | None = None) -> None:
    """Applies to `card`, a copy of the partition of sectors `first` to `last` as it was when logging began, what a cut after `done` leaves.

    `since`: an index; what was logged from there on is treated as if no flush had ever happened (the negative control).
    """
    flushed = max((index + 1 for index, entry in enumerate(done) if entry.flags & FLUSH), default=0)
    if since is not None:
        flushed = min(flushed, since)
    with log.open("rb") as source, card.open("r+b") as target:
        for index, entry in enumerate(done):
            if entry.flags & (DISCARD | MARK) or not entry.sectors or entry.sector < first or entry.sector > last:
                continue
            kept = index < flushed or (since is None and entry.flags & FUA) or chance.random() < 0.5
            if kept:
                source.seek(entry.data)
                target.seek((entry.sector - first) * SECTOR)
                target.write(source.read(entry.sectors * SECTOR))


def host_program(lab: Lab) -> tuple[list[str], dict[str, str]]:
    """Something that runs the program here, and its environment: this machine's own build, else the arm64 one emulated (slower)."""
    target = os.environ.get("CARGO_TARGET_DIR", "")
    for path in (os.environ.get("HOST_PROGRAM", ""), f"{target}/release/motherstream", f"{target}/debug/motherstream"):
        if path and Path(path).is_file():
            return [path], {}
    root = lab.image("one", "1.0") / "root"
    return ["qemu-aarch64-static", "-L", str(root), str(lab.program)], {"GST_PLUGIN_SYSTEM_PATH": f"{root}/usr/lib/aarch64-linux-gnu/gstreamer-1.0"}


def in_queue(queue: dict) -> set[str]:
    """Who is in the queue, on air, waiting, or gone and expected back."""
    turn, waiting = line(queue)
    return {turn, *waiting} - {None}


def read_store(lab: Lab, data: Path, token: str = "0123456789abcdef0123") -> tuple[set[str], int, set[str]]:
    """The names of the accounts, the length of a turn and who is in the queue, in a store, as the program itself reads them."""
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
        return {account["name"] for account in accounts}, get("/api/v1/turn")["seconds"], in_queue(get("/api/v1/queue"))
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
        keys = {name: register(box, name)["stream_key"] for name in ("Ada", "Ben")}
        box.shut_down()
    base, log = card.with_name("base.img"), card.with_name("writes.log")
    subprocess.run(["cp", "--sparse=always", card, base], check=True)
    acknowledged: list[tuple[int, str, object]] = []
    # Who was taken into the queue, and from where to where in the log they were there.
    publishes: list[tuple[int, int, str]] = []
    stop = threading.Event()
    box = lab.machine(card, blockdev=blockdev(card, log))
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
                        # Long enough that no turn ends in this run.
                        value = 3600 + number
                        status = box.call("PUT", "/api/v1/turn", {"seconds": value}, admin)[0]
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
        end = time.monotonic() + seconds

        def publish(name: str, tone: int, meanwhile) -> None:
            with Publisher(box, keys[name], tone):
                wait(f"{name} in the queue", 60, lambda: name in in_queue(box.ok("GET", "/api/v1/queue")), 0.2)
                since = log.stat().st_size
                meanwhile()
                publishes.append((since, log.stat().st_size, name))

        def come_and_go() -> None:
            while time.monotonic() < end:
                publish("Ben", 880, lambda: time.sleep(6))

        publish("Ada", 440, come_and_go)
        stop.set()
        for thread in threads:
            thread.join(40)
        upto = log.stat().st_size
        box.kill()
    # With base.img and writes.log all that it takes to look at this run again.
    card.with_name("acknowledged.json").write_text(json.dumps({"begin": begin, "upto": upto, "acknowledged": acknowledged, "publishes": publishes}))
    counts = {kind: sum(1 for _, k, _ in acknowledged if k == kind) for kind in ("account", "turn")}
    check("there was a load", counts["account"] >= 3 and counts["turn"] >= 10 and len(publishes) >= 4, f"{counts} {len(publishes)}")
    table = json.loads(subprocess.run(["/usr/sbin/sfdisk", "--json", base], capture_output=True, check=True).stdout)["partitiontable"]
    part = next(part for part in table["partitions"] if part.get("name") == "data")
    first, last = part["start"], part["start"] + part["size"] - 1
    all_entries = entries(log, upto)
    flushes = sum(1 for entry in all_entries if entry.flags & FLUSH)
    say(f"{seconds} s of load: {counts['account']} registrations and {counts['turn']} settings acknowledged, {len(publishes)} publishes taken; {len(all_entries)} requests logged, {flushes} flushes")
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
        rebuild(after, log, all_entries[:index], first, last, chance, since)
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
            names, turn, queue = read_store(lab, folder / "motherstream")
        except (Failed, OSError) as error:
            return str(error)
        promised = {value for position, kind, value in acknowledged if kind == "account" and position <= at}
        least = max((value for position, kind, value in acknowledged if kind == "turn" and position <= at), default=0)
        if missing := promised - names:
            return f"acknowledged and missing: {sorted(missing)}"
        if turn < least:
            return f"a turn of {least} s was acknowledged, {turn} s is stored"
        if gone := {name for since, until, name in publishes if since <= at < until} - queue:
            return f"taken into the queue and not in it: {sorted(gone)}"
        return None

    wrong = [(number, problem) for number in range(cuts) if (problem := cut(number, None))]
    say(f"{cuts} cuts: {cuts - len(wrong)} with a clean file system, a store that opens, and everything acknowledged in it")
    check("no cut loses anything", not wrong, wrong[:3])
    control = [problem for number in range(10) if (problem := cut(number, loaded[0]))]
    say(f"negative control, flushes ignored: {len(control)} of 10 cuts lose something, for example: {(control or ['nothing'])[0][:110]}")
    check("the rig can fail", control)


CASES |= {"power": power}
