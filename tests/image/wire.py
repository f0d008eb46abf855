"""What stands at the other end of a box's cables: a wire that carries Ethernet frames, and a SIMULATED time server."""

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Iterator
from typing import NamedTuple

from machine import Failed, free_port

# Seconds from NTP's beginning to Unix's.
ERA = 2_208_988_800
FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}
# Who asks, on the wire.
MAC = bytes.fromhex("525400990001")
HERE = {4: "192.168.77.1", 6: "fe80::5054:ff:fe99:1"}


class Wire:
    """A second network card of the box, whose frames go over UDP on this machine."""

    def __init__(self):
        self.box, self.here = free_port(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.here.bind(("127.0.0.1", 0))
        ends = f"local.type=inet,local.host=127.0.0.1,local.port={self.box},remote.type=inet,remote.host=127.0.0.1,remote.port={self.here.getsockname()[1]}"
        self.qemu = ["-netdev", f"dgram,id=wire,{ends}", "-device", "virtio-net-pci,netdev=wire,romfile="]

    def asks(self, name: str, limit: float = 3, version: int = 6) -> str | None:
        """Asks everybody on the wire for `name`, as a phone does (mDNS); the address on this wire in an answer."""
        labels = b"".join(bytes([len(label)]) + label for label in name.encode().split(b".")) + b"\0"
        kind = {6: 28, 4: 1}[version]
        question = struct.pack("!6H", 0, 0, 1, 0, 0, 0) + labels + struct.pack("!2H", kind, 1)
        everybody = "ff02::fb" if version == 6 else "224.0.0.251"
        self.here.sendto(frame(HERE[version], everybody, 5353, 5353, question), ("127.0.0.1", self.box))
        for came in self.comes(limit):
            # From the mDNS port, a response with answers.
            if came.version != version or came.port_from != 5353 or not came.content[2] & 0x80:
                continue
            # The record: name, kind, class, time to live, length, address.
            at = came.content.find(labels + struct.pack("!H", kind))
            address = came.content[at + len(labels) + 10 :][: 16 if version == 6 else 4]
            if at >= 0 and address.startswith(b"\xfe\x80" if version == 6 else socket.inet_aton(HERE[4])[:3]):
                return socket.inet_ntop(FAMILY[version], address)
        return None

    def gives_address(self, limit: float) -> str:
        """Is a router that has been switched on late: gives the box an address of this wire (DHCP)."""
        given = HERE[4].rpartition(".")[0] + ".50"
        for came in self.comes(limit):
            if came.version != 4 or came.port_to != 67:
                continue
            kind = came.content[240:].partition(b"\x35\x01")[2][:1]
            answer = {b"\1": 2, b"\3": 5}.get(kind)
            if not answer:
                continue
            head = struct.pack("!4B", 2, 1, 6, 0) + came.content[4:8] + bytes(8) + socket.inet_aton(given) + socket.inet_aton(HERE[4]) + bytes(4) + came.content[28:44] + bytes(192)
            server, mask, lease = socket.inet_aton(HERE[4]), socket.inet_aton("255.255.255.0"), struct.pack("!I", 3600)
            options = b"".join(bytes([number, len(value)]) + value for number, value in ((53, bytes([answer])), (54, server), (1, mask), (51, lease)))
            self.here.sendto(frame(HERE[4], "255.255.255.255", 67, 68, head + b"\x63\x82\x53\x63" + options + b"\xff"), ("127.0.0.1", self.box))
            if answer == 5:
                return given
        raise Failed(f"in {limit:.0f} s the box did not ask for an address")

    def comes(self, limit: float) -> Iterator["Came"]:
        """What the box sends over UDP."""
        end = time.monotonic() + limit
        while (left := end - time.monotonic()) > 0:
            self.here.settimeout(left)
            with contextlib.suppress(TimeoutError):
                if came := taken_apart(self.here.recv(4096)):
                    yield came

    def __enter__(self) -> "Wire":
        return self

    def __exit__(self, *_: object) -> None:
        self.here.close()


class Came(NamedTuple):
    """A datagram."""

    version: int
    port_from: int
    port_to: int
    content: bytes


def taken_apart(frame: bytes) -> Came | None:
    if frame[12:14] == b"\x86\xdd" and frame[20] == 17:
        version, udp = 6, frame[54:]
    elif frame[12:14] == b"\x08\x00" and frame[23] == 17:
        version, udp = 4, frame[14 + 4 * (frame[14] & 15) :]
    else:
        return None
    return Came(version, *struct.unpack("!2H", udp[:4]), udp[8:])


def frame(source: str, target: str, port_from: int, port_to: int, content: bytes) -> bytes:
    """A datagram to everybody on the wire, or to a group of them."""
    version = 6 if ":" in source else 4
    ends = socket.inet_pton(FAMILY[version], source) + socket.inet_pton(FAMILY[version], target)
    length = 8 + len(content)
    udp = struct.pack("!4H", port_from, port_to, length, 0) + content
    pseudo = ends + (struct.pack("!2I", length, 17) if version == 6 else struct.pack("!2H", 17, length))
    udp = udp[:6] + struct.pack("!H", checksum(pseudo + udp)) + udp[8:]
    if version == 6:
        return b"\x33\x33" + ends[-4:] + MAC + b"\x86\xdd" + struct.pack("!IHBB", 6 << 28, length, 17, 255) + ends + udp
    to = b"\xff" * 6 if target == "255.255.255.255" else b"\x01\0\x5e" + bytes([ends[5] & 127]) + ends[6:]
    head = struct.pack("!2B3H2BH", 0x45, 0, 20 + length, 0, 0, 255, 17, 0) + ends
    return to + MAC + b"\x08\0" + head[:10] + struct.pack("!H", checksum(head)) + head[12:] + udp


def checksum(data: bytes) -> int:
    total = sum(struct.unpack(f"!{(len(data) + 1) // 2}H", data + b"\0" * (len(data) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF or 0xFFFF


class SimulatedTimeServer:
    """Answers NTP with the time that it is given. Not a real server: those need the internet."""

    def __init__(self, ahead: float):
        self.ahead = ahead
        self.port = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self.port.bind(("127.0.0.1", 123))
        except OSError as error:
            raise Failed(f"the simulated time server needs UDP port 123 of this machine: run as root, with no other server of time there ({error})") from error
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                asked, whom = self.port.recvfrom(512)
                now = time.time() + self.ahead + ERA
                stamp = struct.pack("!2I", int(now), int(now % 1 * 2**32))
                # Version 4, a server, stratum 1; its own clock was set just now; the asker's time comes back to it.
                self.port.sendto(struct.pack("!4B2I4s", 0x24, 1, 4, 0xEC, 0, 0, b"GPS\0") + stamp + asked[40:48] + stamp + stamp, whom)

    def __enter__(self) -> "SimulatedTimeServer":
        return self

    def __exit__(self, *_: object) -> None:
        self.port.close()
