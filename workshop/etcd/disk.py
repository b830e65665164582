"""What log and snapshots ask of a disk, so that a simulation can stand in its place and lose what was not synced.

A write is durable after `sync`, a new or a renamed file's name after `sync_folder`. Every method raises OSError.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Protocol

#: Bytes that a log's file is longer than what is written in it.
AHEAD = 1 << 20


class File(Protocol):
    """A file that is written from front to back."""

    def write(self, data: bytes) -> None: ...

    def sync(self) -> None: ...

    def close(self) -> None: ...


class Disk(Protocol):
    def names(self, folder: Path) -> list[str]:
        """Names in a folder, sorted; none if there is no folder."""
        ...

    def read(self, path: Path) -> bytes: ...

    def append(self, path: Path) -> File:
        """Open for appending, made if it is not there."""
        ...

    def go_on(self, path: Path, at: int) -> File:
        """Open for writing from byte `at` on, made if it is not there. Zeros may follow what is written."""
        ...

    def truncate(self, path: Path, size: int) -> None: ...

    def rename(self, old: Path, new: Path) -> None: ...

    def remove(self, path: Path) -> None: ...

    def make_folder(self, folder: Path) -> None: ...

    def sync_folder(self, folder: Path) -> None: ...


class SystemFile:
    """`ahead`: room that is taken before it is needed. A file that grows costs each sync a third more, for its new
    length must be made durable too."""

    def __init__(self, path: Path, at: int | None = None, ahead: int = 0, sync: bool = True) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._room = os.fstat(self._file).st_size
        self._at, self._ahead, self._sync = self._room if at is None else at, ahead, sync

    def write(self, data: bytes) -> None:
        if self._ahead and self._at + len(data) > self._room:
            self._room = self._at + len(data)
            with contextlib.suppress(OSError):  # what is not there for later may do for now: the write will tell
                os.posix_fallocate(self._file, self._at, len(data) + self._ahead)
                self._room += self._ahead
        view = memoryview(data)
        while view:
            written = os.pwrite(self._file, view, self._at)
            self._at += written
            view = view[written:]

    def sync(self) -> None:
        if self._sync:
            os.fdatasync(self._file)

    def close(self) -> None:
        os.close(self._file)


class SystemDisk:
    """The machine's own. Without `sync` (`--unsafe-no-fsync`) a crash of the machine may lose what was acknowledged."""

    def __init__(self, sync: bool = True) -> None:
        self._sync = sync

    def names(self, folder: Path) -> list[str]:
        return sorted(os.listdir(folder)) if folder.is_dir() else []

    def read(self, path: Path) -> bytes:
        return path.read_bytes()

    def append(self, path: Path) -> File:
        return SystemFile(path, sync=self._sync)

    def go_on(self, path: Path, at: int) -> File:
        return SystemFile(path, at, AHEAD, self._sync)

    def truncate(self, path: Path, size: int) -> None:
        os.truncate(path, size)

    def rename(self, old: Path, new: Path) -> None:
        old.rename(new)

    def remove(self, path: Path) -> None:
        path.unlink()

    def make_folder(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def sync_folder(self, folder: Path) -> None:
        file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(file)
        finally:
            os.close(file)


SYSTEM_DISK: Disk = SystemDisk()
