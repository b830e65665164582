"""A disk that keeps what was synced, and of the rest what chance leaves.

Each file is what is durable and what was written since the last sync. A crash keeps a random part of the latter (its
beginning, or sectors of that, which are written in any order, with zeros between) and forgets names of files that were
made or renamed since their folder was synced.
"""

from __future__ import annotations

import errno
from itertools import pairwise
from pathlib import Path
from random import Random

from workshop.etcd.disk import File
from workshop.etcd.wal import SECTOR


class Crash(Exception):
    """Power fails in the middle of an operation."""


class Contents:
    """One file. `durable` bytes survive; `pending` are written and not synced."""

    __slots__ = ("durable", "pending")

    def __init__(self) -> None:
        self.durable, self.pending = b"", b""


class OpenFile:
    def __init__(self, disk: SimulatedDisk, contents: Contents) -> None:
        self._disk, self._contents = disk, contents

    def write(self, data: bytes) -> None:
        self._contents.pending += self._disk.room_for(data)
        self._disk.operation()
        self._disk.check_full()

    def sync(self) -> None:
        self._disk.operation()
        self._contents.durable += self._contents.pending
        self._contents.pending = b""

    def close(self) -> None:
        return


class SimulatedDisk:
    """`crash_after` n: power fails at the n-th operation from now. `full`: bytes that may still be written."""

    def __init__(self, random: Random) -> None:
        self.files: dict[Path, Contents] = {}
        self._durable_names: dict[Path, Contents] = {}
        self._random = random
        self.crash_after: int | None = None
        self.full: int | None = None
        self._refused = False

    # Faults

    def operation(self) -> None:
        if self.crash_after is not None:
            self.crash_after -= 1
            if self.crash_after < 0:
                self.crash_after = None
                raise Crash

    def room_for(self, data: bytes) -> bytes:
        """As much of `data` as there is room for."""
        if self.full is None:
            return data
        fits, self._refused = data[: self.full], len(data) > self.full
        self.full -= len(fits)
        return fits

    def check_full(self) -> None:
        if self._refused:
            self._refused = False
            raise OSError(errno.ENOSPC, "No space left on device")

    def power_fails(self) -> None:
        """Keep what a disk keeps."""
        self.files = dict(self._durable_names)
        for contents in self.files.values():
            if contents.pending:
                contents.durable += self._leftover(contents.pending, len(contents.durable))
                contents.pending = b""

    def _leftover(self, pending: bytes, offset: int) -> bytes:
        kind = self._random.randrange(4)
        if kind == 0:
            return b""
        if kind == 1:
            return pending
        torn = pending[: self._random.randrange(len(pending) + 1)]
        if kind == 2:
            return torn
        edges = [0, *range(SECTOR - offset % SECTOR, len(torn), SECTOR), len(torn)]
        sectors = [torn[start:end] for start, end in pairwise(edges)]
        return b"".join(s if self._random.random() < 0.7 else bytes(len(s)) for s in sectors)

    def corrupt(self, suffix: str) -> str | None:
        """Flip a bit of something that was durable long ago, not in the last record: what was written, if anything."""
        paths = [path for path in sorted(self.files) if path.name.endswith(suffix)]
        for path in paths:
            contents = self.files[path]
            if len(contents.durable) > 400:
                place = self._random.randrange(len(contents.durable) // 4)
                damaged = bytearray(contents.durable)
                damaged[place] ^= 1 << self._random.randrange(8)
                contents.durable = bytes(damaged)
                return f"{path.name} at byte {place}"
        return None

    # The seam

    def names(self, folder: Path) -> list[str]:
        return sorted(path.name for path in self.files if path.parent == folder)

    def read(self, path: Path) -> bytes:
        contents = self.files[path]
        return contents.durable + contents.pending

    def append(self, path: Path) -> File:
        if path not in self.files:
            self.operation()
            self.files[path] = Contents()
        return OpenFile(self, self.files[path])

    def go_on(self, path: Path, at: int) -> File:
        file = self.append(path)
        contents = self.files[path]
        contents.durable, contents.pending = (contents.durable + contents.pending)[:at], b""  # zeros, if anything
        return file

    def truncate(self, path: Path, size: int) -> None:
        self.operation()
        contents = self.files[path]
        contents.durable = (contents.durable + contents.pending)[:size]
        contents.pending = b""

    def rename(self, old: Path, new: Path) -> None:
        self.operation()
        self.files[new] = self.files.pop(old)

    def remove(self, path: Path) -> None:
        self.operation()
        del self.files[path]
        self._durable_names.pop(path, None)

    def make_folder(self, folder: Path) -> None:
        return

    def sync_folder(self, folder: Path) -> None:
        self.operation()
        self._durable_names = {path: c for path, c in self._durable_names.items() if path.parent != folder}
        self._durable_names.update({path: c for path, c in self.files.items() if path.parent == folder})
