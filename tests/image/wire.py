"""What stands at the other end of a box's cables: a wire that carries Ethernet frames, and a SIMULATED time server."""

import contextlib
import socket
import struct
import threading
import time

from machine import Failed, free_port

# Seconds from NTP's beginning to Unix's.
ERA = 2_208_988_800


class Wire:
    """A second network card of the box, whose frames go over UDP on this machine."""

    def __init__(self):
        self.box, self.here = free_port(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.here.bind(("127.0.0.1", 0))
        ends = f"local.type=inet,local.host=127.0.0.1,local.port={self.box},remote.type=inet,remote.host=127.0.0.1,remote.port={self.here.getsockname()[1]}"
        self.qemu = ["-netdev", f"dgram,id=wire,{ends}", "-device", "virtio-net-pci,netdev=wire,romfile="]

    def asks(self, name: str, limit: float = 3) -> str | None:
        """Asks everybody on the wire for `name`, as a phone does (mDNS over IPv6); the link-local address in an answer."""
        labels = b"".join(bytes([len(label)]) + label for label in name.encode().split(b".")) + b"\0"
        question = struct.pack("!6H", 0, 0, 1, 0, 0, 0) + labels + struct.pack("!2H", 28, 1)
        source, everybody = socket.inet_pton(socket.AF_INET6, "fe80::5054:ff:fe99:1"), socket.inet_pton(socket.AF_INET6, "ff02::fb")
        length = 8 + len(question)
        udp = struct.pack("!4H", 5353, 5353, length, 0) + question
        udp = udp[:6] + struct.pack("!H", checksum(source + everybody + struct.pack("!2I", length, 17) + udp)) + udp[8:]
        frame = bytes.fromhex("3333000000fb" "525400990001" "86dd") + struct.pack("!IHBB", 6 << 28, length, 17, 255) + source + everybody + udp
        self.here.sendto(frame, ("127.0.0.1", self.box))
        end = time.monotonic() + limit
        while (left := end - time.monotonic()) > 0:
            self.here.settimeout(left)
            with contextlib.suppress(TimeoutError):
                answer = self.here.recv(4096)
                # IPv6, UDP from the mDNS port, a response with answers.
                if answer[12:14] != b"\x86\xdd" or answer[20] != 17 or answer[54:56] != b"\x14\xe9" or not answer[64] & 0x80:
                    continue
                # The record: name, AAAA, class, time to live, 16 bytes.
                at = answer.find(labels + b"\0\x1c")
                if at >= 0 and (address := answer[at + len(labels) + 10 :][:16])[:2] == b"\xfe\x80":
                    return socket.inet_ntop(socket.AF_INET6, address)
        return None

    def __enter__(self) -> "Wire":
        return self

    def __exit__(self, *_: object) -> None:
        self.here.close()


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
