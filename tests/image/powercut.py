"""An honest power cut.

Killing qemu loses nothing that the guest had submitted. So qemu's `blklogwrites` filter logs every write and every flush, in the format
of Linux's dm-log-writes, and the card is built again as it would be after a cut: all that was written before the last flush, and a
random half of what came after it.
"""

import random
import struct
from pathlib import Path

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
