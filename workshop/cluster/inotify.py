"""inotify through the C library: which directories below a root changed, told by the kernel, without polling."""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Sequence
from pathlib import Path

_EVENT = struct.Struct("iIII")
CHANGES = 0x8 | 0x80 | 0x40 | 0x100 | 0x200 | 0x01000000
"""Closed after writing, moved to, moved from, created, deleted; directories only."""


class Tree:
    """Watches `root` and the directories below it whose names are `path`'s, level by level; new ones as they come:

        Tree(root, ("*", "run"))        watches root, root/ANYTHING and root/ANYTHING/run

    `descriptor` can be read when something changed; -1 where the system has no inotify (then `changed` is always
    empty, and the caller has to look by itself).
    """

    def __init__(self, root: Path, path: Sequence[str]) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._watches: dict[int, tuple[Path, Sequence[str]]] = {}
        has = hasattr(self._libc, "inotify_init1")
        self.descriptor: int = self._libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK) if has else -1
        self._add(root, path)

    def _add(self, folder: Path, path: Sequence[str]) -> None:
        if self.descriptor < 0:
            return
        watch: int = self._libc.inotify_add_watch(self.descriptor, os.fsencode(folder), CHANGES)
        if watch < 0:
            return  # gone already, or no directory
        self._watches[watch] = (folder, path)
        if path:
            try:
                entries = [e.path for e in os.scandir(folder) if path[0] in ("*", e.name) and e.is_dir()]
            except OSError:
                return
            for entry in entries:
                self._add(Path(entry), path[1:])

    def changed(self) -> bool:
        """Read what happened; watch directories that came. True when anything did."""
        try:
            data = os.read(self.descriptor, 65536)
        except (BlockingIOError, OSError):
            return False
        place = 0
        while place < len(data):
            watch, mask, _, length = _EVENT.unpack_from(data, place)
            name = data[place + _EVENT.size : place + _EVENT.size + length].rstrip(b"\0").decode(errors="replace")
            place += _EVENT.size + length
            if mask & 0x8000:  # the kernel dropped this watch: its directory is gone
                self._watches.pop(watch, None)
            elif mask & 0x40000000 and mask & (0x100 | 0x80) and watch in self._watches:
                folder, path = self._watches[watch]
                if path and path[0] in ("*", name):
                    self._add(folder / name, path[1:])
        return True

    def close(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1
