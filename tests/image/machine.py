"""A virtual box: qemu's aarch64 `virt` under TCG, started through U-Boot from a card's image."""

import base64
import contextlib
import http.client
import itertools
import json
import os
import re
import select
import shutil
import socket
import subprocess
import time
from pathlib import Path

U_BOOT = "/usr/lib/u-boot/qemu_arm64/u-boot.bin"
# TCG is 10 to 30 times slower than the machine it plays; this is what a boot may take here, not what it takes on a Pi.
BOOT_LIMIT = 420


class Failed(Exception):
    """A claim does not hold."""


def check(claim: str, so: object, more: object = "") -> None:
    if not so:
        raise Failed(f"{claim}{f': {more}' if more != '' else ''}")


def wait(what: str, limit: float, look, every: float = 0.5):
    """Until `look` answers something that is true. Exceptions of the network count as not yet."""
    end = time.monotonic() + limit
    last = None
    while time.monotonic() < end:
        try:
            if found := look():
                return found
        except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError, AttributeError) as error:
            last = error
        time.sleep(every)
    raise Failed(f"waited {limit:.0f} s for {what}{f' ({last})' if last else ''}")


GIVEN: set[int] = set()


def free_port() -> int:
    """One that was not given out before: the system gives one that nobody has bound yet a second time."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        if port not in GIVEN:
            GIVEN.add(port)
            return port


class Machine:
    """One qemu. Ended by its process id, whatever happens."""

    def __init__(self, disk: Path, folder: Path, *, memory: int = 1024, blockdev: list[str] | None = None, usb: Path | None = None):
        self.disk, self.folder, self.memory = disk, folder, memory
        self.blockdev, self.usb = blockdev, usb
        # More words for qemu.
        self.more: list[str] = []
        self.http, self.rtmp = free_port(), free_port()
        self.process: subprocess.Popen | None = None
        self.port: socket.socket | None = None
        self.pending = b""
        self.count = itertools.count(1)
        self.boots = 0
        self.started = 0.0
        folder.mkdir(parents=True, exist_ok=True)

    # -- life ---------------------------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        self.boots += 1
        sockets = {name: self.folder / f"{name}.sock" for name in ("rig", "monitor")}
        for path in sockets.values():
            path.unlink(missing_ok=True)
        self.serial = self.folder / f"serial-{self.boots}.log"
        self.serial.unlink(missing_ok=True)
        drive = self.blockdev or ["-blockdev", f"driver=raw,node-name=card,file.driver=file,file.filename={self.disk}"]
        usb = []
        if self.usb:
            usb = ["-device", "qemu-xhci", "-drive", f"if=none,id=stick,format=raw,readonly=on,file={self.usb}", "-device", "usb-storage,drive=stick,removable=on"]
        command = [
            "qemu-system-aarch64", "-M", "virt", "-cpu", "cortex-a72", "-smp", "2", "-m", str(self.memory), "-display", "none", "-nodefaults",
            "-bios", U_BOOT, *drive, "-device", "virtio-blk-pci,drive=card,write-cache=on,serial=card",
            "-netdev", f"user,id=net,hostname=host,hostfwd=tcp:127.0.0.1:{self.http}-:80,hostfwd=tcp:127.0.0.1:{self.rtmp}-:1935",
            "-device", "virtio-net-pci,netdev=net,romfile=", "-device", "virtio-rng-pci", "-device", "i6300esb", "-action", "watchdog=reset",
            "-device", "virtio-serial-pci", "-chardev", f"socket,id=rig,path={sockets['rig']},server=on,wait=off", "-device", "virtserialport,chardev=rig,name=rig",
            "-serial", f"file:{self.serial}", "-chardev", f"socket,id=monitor,path={sockets['monitor']},server=on,wait=off", "-mon", "chardev=monitor,mode=readline",
            *usb, *self.more,
        ]  # fmt: skip
        with (self.folder / "qemu.log").open("ab") as log:
            self.process = subprocess.Popen(["nice", "-n", "10", *command], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.started = time.monotonic()
        wait("qemu's sockets", 20, lambda: sockets["rig"].exists() and sockets["monitor"].exists(), 0.1)
        self.port = socket.socket(socket.AF_UNIX)
        self.port.connect(str(sockets["rig"]))
        self.pending = b""

    def kill(self) -> None:
        """The plug is pulled."""
        if self.port:
            self.port.close()
            self.port = None
        if self.process:
            self.process.kill()
            self.process.wait(20)
            self.process = None

    def monitor(self, text: str) -> None:
        with socket.socket(socket.AF_UNIX) as monitor:
            monitor.connect(str(self.folder / "monitor.sock"))
            monitor.settimeout(2)
            monitor.sendall(text.encode() + b"\n")
            with contextlib.suppress(TimeoutError):
                while monitor.recv(4096):
                    pass

    def shut_down(self) -> None:
        """Cleanly, as the page's button or a short press would."""
        with contextlib.suppress(Failed):
            self.sh("systemctl --no-block poweroff", limit=20)
        end = time.monotonic() + 60
        while self.process and self.process.poll() is None and time.monotonic() < end:
            time.sleep(0.3)
        self.kill()

    def __enter__(self) -> "Machine":
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind and self.process and self.process.poll() is None:
            # What the box has to say about it.
            with contextlib.suppress(Failed, OSError):
                (self.folder / "journal.log").write_text(self.sh("journalctl -D /run/log/journal --no-pager | tail -c 60000", 60))
        self.kill()

    # -- what it says -------------------------------------------------------------------------------------------------------------------

    def console(self) -> str:
        return self.serial.read_text(errors="replace") if self.serial.exists() else ""

    def wait_console(self, pattern: str, limit: float = BOOT_LIMIT, times: int = 1) -> re.Match:
        return wait(f"the console to say {pattern!r}", limit, lambda: (found := list(re.finditer(pattern, self.console()))) and len(found) >= times and found[-1])

    def sh(self, script: str, limit: float = 60, ok: bool = False) -> str:
        """Runs a script in the box, as root, through the rig's own way in, and gives what it wrote."""
        number = next(self.count)
        self.port.sendall(f"{number} {base64.b64encode(script.encode()).decode()}\n".encode())
        end = time.monotonic() + limit
        while time.monotonic() < end:
            for line in self.pending.split(b"\n")[:-1]:
                name, _, answer = line.partition(b" ")
                if name == str(number).encode():
                    text = base64.b64decode(answer).decode(errors="replace")
                    text, _, status = text.rstrip("\n").rpartition("status=")
                    if ok and status != "0":
                        raise Failed(f"in the box: {script!r} answered {status}: {text.strip()}")
                    return text.strip()
            if select.select([self.port], [], [], 0.5)[0]:
                data = self.port.recv(65536)
                if not data:
                    raise Failed("the box is gone")
                self.pending += data
        raise Failed(f"in the box: {script!r} did not answer in {limit} s")

    def wait_agent(self, limit: float = BOOT_LIMIT) -> None:
        """Until the box runs what it is sent."""

        def look():
            # What an earlier boot left unanswered is not asked for again.
            try:
                return self.sh("echo here", limit=5) == "here"
            except Failed:
                return False

        wait("the box to start", limit, look)

    # -- its page -----------------------------------------------------------------------------------------------------------------------

    def call(self, method: str, path: str, body: object = None, cookie: str | None = None, limit: float = 30) -> tuple[int, object, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.http, timeout=limit)
        headers = {"Content-Type": "application/json"} if body is not None else {}
        if cookie:
            headers["Cookie"] = cookie
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None, headers)
            answer = connection.getresponse()
            text = answer.read().decode(errors="replace")
            cookies = [value.split(";")[0] for name, value in answer.getheaders() if name.lower() == "set-cookie"]
        finally:
            connection.close()
        with contextlib.suppress(ValueError):
            text = json.loads(text)
        return answer.status, text, "; ".join(cookies)

    def wait_page(self, limit: float = BOOT_LIMIT) -> float:
        """Until the page answers (with 403 while nobody has claimed the box); the seconds since the start."""
        wait("the page", limit, lambda: self.call("GET", "/api/v1/queue", limit=5)[0] in (200, 403), 0.5)
        return time.monotonic() - self.started

    def ok(self, method: str, path: str, body: object = None, cookie: str | None = None) -> object:
        status, answer, _ = self.call(method, path, body, cookie)
        if not 200 <= status < 300:
            raise Failed(f"{method} {path}: {status} {answer}")
        return answer

    def upload(self, path: str, file: Path, cookie: str) -> tuple[int, object]:
        """PUTs a file, as a script would that uses the API."""
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(file.stat().st_size), "Cookie": cookie}
        with file.open("rb") as body, contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.http, timeout=900)) as connection:
            connection.request("PUT", path, body, headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())

    def download(self, path: str, to: Path, cookie: str) -> Path:
        """GETs a file."""
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.http, timeout=60)) as connection:
            connection.request("GET", path, headers={"Cookie": cookie})
            answer = connection.getresponse()
            check(f"{path} is a file", answer.status == 200, answer.status)
            to.write_bytes(answer.read())
        return to

    def sign_in(self, name: str, password: str) -> str:
        status, answer, cookie = self.call("POST", "/api/v1/session", {"name": name, "password": password})
        check(f"{name} signs in", 200 <= status < 300, f"{status} {answer}")
        return cookie


def copy_disk(image: Path, to: Path, size: str | None = None) -> Path:
    """A card, freshly written; larger than the image, as cards are."""
    to.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["cp", "--sparse=always", "--reflink=auto", image, to], check=True)
    if size:
        os.truncate(to, parse_size(size))
    return to


def parse_size(text: str) -> int:
    return int(text[:-1]) << {"M": 20, "G": 30}[text[-1]]


def need(*programs: str) -> None:
    for program in programs:
        if not shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin:/sbin"):
            raise Failed(f"{program} is missing: scripts/install image")
