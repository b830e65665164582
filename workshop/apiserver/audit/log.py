"""The file that audit records go to: a line a record, in the file before the answer goes out; rotated by size.

`audit.log` becomes `audit-2026-11-28T18-30-00.000.log` when it would grow past `max_size`; of those old files
`max_backups` are kept, none older than `max_age` days. The file holds what users sent, so only its owner may read it.

Upstream: `apiserver/plugin/pkg/audit/log/backend.go`; its rotation is lumberjack's.
"""

from __future__ import annotations

import gzip
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Thread

from workshop.api import codec
from workshop.api.meta import Obj
from workshop.clock import Clock, rfc3339_micro

from .event import legacy

MEGABYTE = 1024 * 1024
DAY = 86400.0


class Log:
    """`path` `-` is standard output. `max_size` in megabytes, `max_age` in days; 0 is no limit. Raises OSError."""

    def __init__(
        self,
        path: str,
        clock: Clock,
        format: str = "json",
        max_size: int = 0,
        max_backups: int = 0,
        max_age: int = 0,
        compress: bool = False,
    ) -> None:
        self._path = None if path == "-" else Path(path)
        self._clock, self._max_size = clock, max_size * MEGABYTE
        self._max_backups, self._max_age, self._compress = max_backups, max_age * DAY, compress
        self._packing: Thread | None = None
        self._render: Callable[[Obj], bytes] = codec.dumps if format == "json" else lambda event: legacy(event).encode()
        if self._path is None:
            self._fd, self._size = sys.stdout.fileno(), 0
        else:
            self._open(self._path)

    def _open(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._size = os.fstat(self._fd).st_size

    def write(self, event: Obj) -> None:
        """Raises OSError (a full disk, say): the request must not be answered as if it had been recorded."""
        line = self._render(event).rstrip(b"\n") + b"\n"
        if self._path is not None and self._max_size and self._size and self._size + len(line) > self._max_size:
            self._rotate(self._path)
        written = os.write(self._fd, line)
        while written < len(line):
            written += os.write(self._fd, line[written:])
        self._size += len(line)

    async def write_all(self, events: Sequence[Obj]) -> None:
        """Raises OSError."""
        for event in events:
            self.write(event)

    def _rotate(self, path: Path) -> None:
        moment = rfc3339_micro(self._clock.now())[:23].replace(":", "-")
        full = path.rename(path.with_name(f"{path.stem}-{moment}{path.suffix}"))
        os.close(self._fd)
        self._open(path)
        if self._compress:
            self._packing = Thread(target=_pack, args=(full,))
            self._packing.start()
        old = sorted(path.parent.glob(f"{path.stem}-*{path.suffix}*"), reverse=True)
        for number, backup in enumerate(old):
            too_many = self._max_backups and number >= self._max_backups
            if too_many or (self._max_age and self._clock.now() - backup.stat().st_mtime > self._max_age):
                backup.unlink()

    def close(self) -> None:
        if self._packing is not None:
            self._packing.join()
        if self._path is not None:
            os.close(self._fd)


def _pack(path: Path) -> None:
    """`path` becomes `path.gz`: in a thread, as a large file takes seconds."""
    packed = path.with_name(f"{path.name}.gz")
    with (
        path.open("rb") as plain,
        open(os.open(packed, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as target,
        gzip.GzipFile(fileobj=target, mode="wb") as packing,
    ):
        shutil.copyfileobj(plain, packing)
    path.unlink(missing_ok=True)
