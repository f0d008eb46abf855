"""What the image must show."""

import hashlib
import itertools
import json
import os
import re
import shutil
import subprocess
import threading
import time
from pathlib import Path

import hardening
from machine import Machine, check, copy_disk, wait
from wire import SimulatedTimeServer, Wire

HERE = Path(__file__).parent
PASSWORD = "a long password"
# Of the source: small and slow, because everything is emulated.
WIDTH, HEIGHT, RATE = 320, 180, 10
MIB = 1 << 20


def say(text: str) -> None:
    """A line of the case that this thread runs: cases run beside one another."""
    print("\n".join(f"{threading.current_thread().name + ':':<10}{line}" for line in text.splitlines()), flush=True)


class Lab:
    """Images are assembled once for a run and kept for the next, if nothing they are made of has changed."""

    def __init__(self, out: Path, program: Path, srs: str | None):
        self.out, self.program, self.srs = out, program, srs
        self.made: dict[str, Path] = {}
        # Held while an image is assembled: who else needs it waits for it.
        self.assembling = threading.RLock()

    def image(self, name: str, version: str, *lay: Path | str, rig: bool = True, program: Path | None = None) -> Path:
        """The folder with an image and its update."""
        with self.assembling:
            return self.assembled(name, version, *lay, rig=rig, program=program)

    def assembled(self, name: str, version: str, *lay: Path | str, rig: bool, program: Path | None) -> Path:
        folder = self.out / name
        if name in self.made:
            return folder
        layers = [HERE / "overlay"] if rig else []
        layers += [Path(layer) for layer in lay]
        env = os.environ | {
            "PROGRAM": str(program or self.program), "SRS": self.srs or "", "LAY": " ".join(map(str, layers)), "MOTHERSTREAM_VERSION": version,
        }  # fmt: skip
        if rig:
            # Quick to make and a little larger; what is measured is the plain one.
            env["MOTHERSTREAM_COMPRESS"] = "-comp zstd -Xcompression-level 3"
        stamp, mark = self.stamp(version, program or self.program, layers), folder / "stamp"
        if mark.exists() and mark.read_text() == stamp:
            self.made[name] = folder
            return folder
        say(f"assembling {name} (version {version})")
        mark.unlink(missing_ok=True)
        log = self.out / f"{name}.log"
        with log.open("wb") as file:
            done = subprocess.run([HERE / "assemble", folder, "qemu"], env=env, stdout=file, stderr=file, check=False)
        check(f"{name} is assembled", done.returncode == 0, log.read_text(errors="replace")[-2000:])
        mark.write_text(stamp)
        self.made[name] = folder
        return folder

    def stamp(self, version: str, program: Path, layers: list[Path]) -> str:
        """What an image is made of."""
        digest = hashlib.sha256(version.encode())
        files = [program, *([Path(self.srs)] if self.srs else [])]
        for folder in [HERE.parent.parent / "image", *layers]:
            files += sorted(path for path in folder.rglob("*") if path.is_file())
        for path in [*files, *(HERE / name for name in ("assemble", "root", "packages", "prune", "initrd"))]:
            digest.update(f"{path}\0".encode() + path.read_bytes())
        return digest.hexdigest()

    def card(self, image: Path, name: str) -> Path:
        return copy_disk(image / "motherstream-qemu.img", self.out / "vm" / name / "card.img", "3G")

    def machine(self, card: Path, **more: object) -> Machine:
        return Machine(card, card.parent, **more)


def claim(box: Machine) -> str:
    """Claims the box with the code on its console; the admin's cookie."""
    code = box.wait_console(r"(?i)setup code\W+([A-Z0-9][A-Z0-9-]{5,})", 60)[1]
    box.ok("POST", "/api/v1/setup", {"code": code, "name": "Stage", "password": PASSWORD})
    return box.sign_in("Stage", PASSWORD)


def register(box: Machine, name: str) -> dict:
    return box.ok("POST", "/api/v1/accounts", {"name": name, "password": PASSWORD})


class Publisher:
    """An encoder: ffmpeg on the host, which connects again whenever it is disconnected, as encoders do."""

    def __init__(self, box: Machine, key: str, tone: int, port: int | None = None):
        self.command = [
            "nice", "-n", "5", "ffmpeg", "-v", "error", "-re", "-f", "lavfi", "-i", f"testsrc2=size={WIDTH}x{HEIGHT}:rate={RATE}",
            "-f", "lavfi", "-i", f"sine={tone}:sample_rate=48000", "-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-g", str(2 * RATE),
            "-b:v", "200k", "-c:a", "aac", "-b:a", "64k", "-ac", "2", "-f", "flv", f"rtmp://127.0.0.1:{port or box.rtmp}/live/{key}",
        ]  # fmt: skip
        self.stopped = threading.Event()
        # How often it has connected.
        self.began = 0
        self.process: subprocess.Popen | None = None
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self) -> None:
        while not self.stopped.is_set():
            self.began += 1
            self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            while self.process.poll() is None and not self.stopped.wait(0.2):
                pass
            self.process.kill()
            self.process.wait(10)
            self.stopped.wait(2)

    def stop(self) -> None:
        self.stopped.set()
        self.thread.join(15)

    def __enter__(self) -> "Publisher":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class Platform:
    """A platform on this machine: ffmpeg, which takes one session after another and records each."""

    def __init__(self, port: int, folder: Path):
        self.port, self.folder = port, folder
        self.sessions = 0
        self.stopped = threading.Event()
        self.process: subprocess.Popen | None = None
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def recording(self, session: int) -> Path:
        return self.folder / f"session-{session}.flv"

    def run(self) -> None:
        while not self.stopped.is_set():
            command = ["ffmpeg", "-v", "error", "-y", "-listen", "1", "-i", f"rtmp://127.0.0.1:{self.port}/live/key", "-c", "copy", self.recording(self.sessions + 1)]
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            while self.process.poll() is None and not self.stopped.wait(0.2):
                pass
            self.process.terminate()
            self.process.wait(10)
            # The last one that it listens for never comes.
            self.sessions += not self.stopped.is_set() or self.recording(self.sessions + 1).exists()

    def longest_step(self, session: int) -> tuple[float, float]:
        """Of a recording's picture: the longest time between two, and from the first to the last, in seconds."""
        command = ["ffprobe", "-v", "error", "-select_streams", "v", "-show_entries", "packet=dts_time", "-of", "csv=p=0", self.recording(session)]
        told = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
        times = [float(line.strip(",")) for line in told]
        return max(after - before for before, after in itertools.pairwise(times)), times[-1] - times[0]

    def __enter__(self) -> "Platform":
        return self

    def __exit__(self, *_: object) -> None:
        self.stopped.set()
        self.thread.join(15)


JUDGE = ["cargo", "test", "--locked", "--quiet", "--test", "whole_box"]


def judged(box: Machine, admin: str) -> list[str]:
    """Two encoders take turns in the box, and the whole-box tests' own judge receives the programme; its figures."""
    told = json.dumps({"http": box.http, "rtmp": box.rtmp, "cookie": admin, "screen": str(box.serial)})
    name = "machine::a_box_in_a_virtual_machine_keeps_the_promises_through_takes"
    ran = subprocess.run([*JUDGE, "--", "--ignored", "--exact", name, "--nocapture"], cwd=HERE.parent.parent, env=os.environ | {"MOTHERSTREAM_TEST_MACHINE": told}, capture_output=True, text=True, timeout=1800)
    figures = re.findall("^FIGURES (.*)$", ran.stdout, re.MULTILINE)
    check("the promises hold", ran.returncode == 0 and figures, f"{ran.stdout[-3000:]}\n{ran.stderr[-6000:]}")
    return figures[0].split("; ")


def timed(command: list[str]) -> float:
    began = time.monotonic()
    subprocess.run(command, check=True)
    return time.monotonic() - began


def written(box: Machine) -> int:
    """Bytes that the box has written to its card."""
    return int(box.sh("cat /sys/block/vda/stat").split()[6]) * 512


def on_air(box: Machine) -> str | None:
    turn = box.ok("GET", "/api/v1/queue")["on_air"]
    return turn["entry"]["name"] if turn and not turn["suspended"] else None


def line(queue: dict) -> tuple[str | None, list[str]]:
    """Whose turn it is, there or not, and who waits, in order."""
    return queue["on_air"] and queue["on_air"]["entry"]["name"], [entry["name"] for entry in queue["waiting"]]


def boot(lab: Lab) -> None:
    """from a fresh card to a programme: the page, the claim, two publishers who take turns, one session at a platform"""
    card = lab.card(lab.image("one", "1.0"), "boot")
    # Built before the machine wants the processor.
    subprocess.run([*JUDGE, "--no-run"], cwd=HERE.parent.parent, check=True)
    with lab.machine(card) as box:
        box.start()
        seconds = box.wait_page()
        say(f"first start (makes and grows the data partition): the page answers after {seconds:.0f} s")
        admin = claim(box)
        say("claimed with the code from its console")
        box.wait_agent()
        chosen = box.sh("journalctl -D /run/log/journal --no-pager -o cat -u motherstream | grep 'ingest chosen'")
        check("the ingest is what was put into the image", f'ingest="{"srs" if lab.srs else "embedded"}"' in chosen, chosen)
        say(f"encoders are taken by {'SRS' if lab.srs else 'the embedded ingest'}")
        for figure in judged(box, admin):
            say(figure)
        box.shut_down()


def sizes(lab: Lab) -> None:
    """how large the update is, how much memory the box takes idle, what it writes to its card, and where the time of a start goes"""
    plain = lab.image("plain", "1.0", rig=False)
    update = (plain / "motherstream-qemu.raucb").stat().st_size
    say(f"update (compressed root slot): {update / MIB:.1f} MiB with Debian's packages")
    card = lab.card(lab.image("one", "1.0"), "sizes")
    with lab.machine(card) as box:
        box.start()
        box.wait_page()
        box.shut_down()
        box.start()
        second = box.wait_page()
        box.wait_agent()
        before = written(box)
        time.sleep(60)
        idle = written(box) - before
        analyze = box.sh("systemd-analyze time --no-pager; systemd-analyze critical-chain --no-pager motherstream.service", 100)
        stages = box.sh("journalctl -D /run/log/journal --no-pager -o cat -u motherstream | grep -o 'stage=.*'")
        memory = dict(re.findall(r"(\w+): +(\d+) kB", box.sh("cat /proc/meminfo")))
        cpu = box.sh("cut -d ' ' -f 1,2 /proc/uptime; grep '^cpu ' /proc/stat; cat /sys/fs/cgroup/system.slice/motherstream.service/memory.current; grep -h -e VmRSS -e RssAnon /proc/$(systemctl show -p MainPID --value motherstream)/status")
        # The same loop here and there, to tell how much of a start is the emulation's.
        loop = "mawk 'BEGIN { for (i = 0; i < 3000000; i++) s += i % 7 }'"
        times = timed(["sh", "-c", loop]), float(box.sh(f"a=$(date +%s.%N); {loop}; b=$(date +%s.%N); echo $a $b | mawk '{{ print $2 - $1 }}'", 100))
        admin = claim(box)
        key = register(box, "Ada")["stream_key"]
        box.ok("PUT", "/api/v1/show", {"on": True}, admin)
        with Publisher(box, key, 440):
            wait("Ada on air", 90, lambda: on_air(box) == "Ada")
            # What the beginning of a turn writes is not counted.
            time.sleep(15)
            before = written(box)
            time.sleep(60)
            streaming = written(box) - before
        box.shut_down()
    say(f"written to the card in a minute: {idle / 1024:.0f} KiB idle, {streaming / 1024:.0f} KiB with somebody on air")
    say(f"a loop of arithmetic: {times[0]:.2f} s here, {times[1]:.2f} s in the box: emulation costs {times[1] / times[0]:.0f} times")
    used = (int(memory["MemTotal"]) - int(memory["MemAvailable"])) / 1024
    say(f"second start: the page answers after {second:.1f} s")
    for line in (analyze + "\n" + stages + "\n" + cpu).splitlines():
        say(f"| {line}")
    say(f"memory idle: {used:.0f} MiB of {int(memory['MemTotal']) / 1024:.0f} not available")
    check("the update is at most 150 MB", update <= 150e6, update)
    check("the box takes at most 150 MB idle", used * MIB <= 150e6, used)


def secure(lab: Lab) -> None:
    """nobody gets in: units, sockets, passwords, keys, files"""
    plain = lab.image("plain", "1.0", rig=False)
    hardening.tree(plain / "root", say)
    card = lab.card(lab.image("one", "1.0"), "secure")
    with lab.machine(card) as box:
        box.start()
        box.wait_page()
        box.wait_agent()
        # The page answers a moment before encoders are taken.
        wait("the door for encoders", 60, lambda: ":1935 " in box.sh("ss -H -lnt"), 1)
        hardening.running(box, say)
        box.shut_down()


def itself(lab: Lab) -> None:
    """who a box is, from one start to the next: its name on the wire, its id, its clock, the whole of its card"""
    card = lab.card(lab.image("one", "1.0"), "itself")
    year = 365 * 86400
    with lab.machine(card) as box, Wire() as wire:
        box.more = wire.qemu
        box.start()
        box.wait_page()
        box.wait_agent()
        address = wait("an answer to mDNS", 60, lambda: wire.asks("motherstream.local"))
        own = box.sh("ip -6 -o addr show scope link")
        check("the address is the box's own", f" {address}/" in own, f"{address}: {own}")
        check("nobody else's name is answered for", wire.asks("somebody.local") is None)
        say(f"over IPv6 the box answers for motherstream.local, to whoever asks everybody: {address}")
        # Nobody has given this network an address until now: a router that needs longer to start than the box.
        given = wire.gives_address(180)
        wait("an answer to mDNS over IPv4", 60, lambda: wire.asks("motherstream.local", version=4) == given)
        check("nobody else's name is answered for over IPv4", wire.asks("somebody.local", version=4) is None)
        say(f"a router that comes {time.monotonic() - box.started:.0f} s late gives an address, and over IPv4 the box answers with it: {given}")
        routed = box.sh("ip -6 -o addr show scope site; ip -6 -o addr show scope global")
        check("a router's IPv6 prefix is taken", "fec0:" in routed, routed)
        size = int(box.sh("df -B 1 --output=size /data | tail -n 1"))
        check("the data partition has grown to the card's end", size > 1_700_000_000, size)
        say(f"the data partition, shipped with 32 MiB, has {size // MIB} MiB of a card of 3 GiB")
        doctor = box.sh("motherstream --config /etc/motherstream.toml doctor", ok=True)
        missing = [part for part in ("data partition", "boot partition", "watchdog of the hardware", "updates by RAUC") if f"ok    {part}" not in doctor]
        check("doctor finds every part of the box well", not missing, f"{missing}: {doctor}")
        check("it tells times of day by time zones of its own", "the program's own" in doctor and not box.sh("ls /usr/share/zoneinfo 2>/dev/null"), doctor)
        say("doctor, in the box: everything is there and well; the system has no time zones, the program has")
        identity = box.sh("cat /etc/machine-id")
        check("it has a machine id", re.fullmatch("[0-9a-f]{32}", identity), identity)
        with SimulatedTimeServer(year):
            box.sh("mkdir -p /run/systemd/timesyncd.conf.d; printf '[Time]\\nNTP=10.0.2.2\\n' >/run/systemd/timesyncd.conf.d/rig.conf; systemctl restart systemd-timesyncd")
            then = time.time() + year
            wait("the network's time", 60, lambda: abs(int(box.sh("date +%s")) - then) < 120)
        check("a clock that jumps by a year harms nothing", box.call("GET", "/api/v1/queue")[0] in (200, 403))
        say("the time is the network's: a SIMULATED server's, a year ahead")
        # On the card within ext4's five seconds.
        time.sleep(12)
        box.kill()
        # As on a Pi, which has no clock of its own: years behind, and no network time.
        box.more = ["-rtc", "base=2020-01-01T00:00:00"]
        box.start()
        box.wait_page()
        box.wait_agent()
        now = int(box.sh("date +%s"))
        check("after a power cut the last time known is kept", then - 60 < now < then + 900, now - then)
        say("after a power cut, with a clock that says 2020: the last time known")
        check("the machine id stays", box.sh("cat /etc/machine-id") == identity)
        box.shut_down()


def tryboot(lab: Lab) -> None:
    """the Raspberry Pi 5's boot backend, as a program: no firmware has been asked"""
    boot_folder, run = lab.out / "tryboot/boot", lab.out / "tryboot/run"
    shutil.rmtree(boot_folder.parent, ignore_errors=True)
    boot_folder.mkdir(parents=True)
    run.mkdir()
    shutil.copy(HERE.parent.parent / "image/boot/rpi5/autoboot.txt", boot_folder)
    cmdline = run / "cmdline"
    env = os.environ | {"MOTHERSTREAM_BOOT": str(boot_folder), "MOTHERSTREAM_RUN": str(run), "MOTHERSTREAM_CMDLINE": str(cmdline)}

    def ask(*words: str) -> str:
        script = HERE.parent.parent / "image/overlay-rpi5/usr/lib/motherstream/tryboot"
        return subprocess.run([script, *words], env=env, capture_output=True, text=True, check=True).stdout.strip()

    def started(slot: str) -> None:
        # A restart: the order to try is used up.
        cmdline.write_text(f"root=PARTLABEL=root-{slot.lower()} rauc.slot={slot} quiet")
        (run / "systemd/reboot-param").unlink(missing_ok=True)

    started("A")
    check("as shipped A is started", (ask("get-primary"), ask("get-current"), ask("get-default")) == ("A", "A", "A"))
    ask("set-primary", "B")
    check("an installed B is tried at the next restart", ask("get-primary") == "B" and (run / "systemd/reboot-param").read_text() == "0 tryboot\n")
    check("and not for good", ask("get-default") == "A")
    started("A")
    check("a try that failed leaves A", ask("get-primary") == "A")
    ask("set-primary", "B")
    started("B")
    ask("set-state", "B", "good")
    check("a B that was marked good stays", (ask("get-default"), ask("get-primary"), ask("get-state", "B")) == ("B", "B", "good"))
    check("the firmware reads it", (boot_folder / "autoboot.txt").read_text() == "[all]\ntryboot_a_b=1\nboot_partition=3\n[tryboot]\nboot_partition=2\n")
    ask("set-state", "B", "bad")
    check("a B that was marked bad is left", (ask("get-default"), ask("get-state", "B")) == ("A", "bad"))
    say("tries once, falls back by itself, stays when marked good (NOT RUN on a Raspberry Pi)")


# What is measured in these is nobody else's doing.
ALONE = {"boot", "sizes"}
CASES = {"boot": boot, "sizes": sizes, "secure": secure, "itself": itself, "tryboot": tryboot}
