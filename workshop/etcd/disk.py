"""What log and snapshots ask of a disk, so that a simulation can stand in its place and lose what was not synced.

A write is durable after `sync`, a new or a renamed file's name after `sync_folder`. Every method raises OSError.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol


class File(Protocol):
    """A file that is appended to."""

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

    def truncate(self, path: Path, size: int) -> None: ...

    def rename(self, old: Path, new: Path) -> None: ...

    def remove(self, path: Path) -> None: ...

    def make_folder(self, folder: Path) -> None: ...

    def sync_folder(self, folder: Path) -> None: ...


class SystemFile:
    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._file, view) :]

    def sync(self) -> None:
        os.fdatasync(self._file)

    def close(self) -> None:
        os.close(self._file)


class SystemDisk:
    """The machine's own."""

    def names(self, folder: Path) -> list[str]:
        return sorted(os.listdir(folder)) if folder.is_dir() else []

    def read(self, path: Path) -> bytes:
        return path.read_bytes()

    def append(self, path: Path) -> File:
        return SystemFile(path)

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
