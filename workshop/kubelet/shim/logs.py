"""Container logs in CRI's format, rotated.

    2026-01-31T09:00:00.123456789Z stdout F a whole line
    2026-01-31T09:00:00.123456789Z stderr P the first 16 KiB of a longer one

Upstream: `pkg/kubelet/kuberuntime/logs`, containerd's `internal/cri/io/logger.go`, `pkg/kubelet/logs/
container_log_manager.go` (10 MiB a file, 5 files; ours are not compressed, so that `tail` reads them).
"""

from __future__ import annotations

import os
import time

MAX_LINE = 16 * 1024
MAX_SIZE = 10 * 1024 * 1024
MAX_FILES = 5


def stamp(nanoseconds: int) -> str:
    """RFC 3339 with nine decimals, UTC."""
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{rest:09d}Z"


class LogFile:
    """One container's log: appends whole lines, renames itself away when it grows past `max_size`."""

    def __init__(self, path: str, max_size: int = MAX_SIZE, max_files: int = MAX_FILES) -> None:
        self.path, self._max_size, self._max_files = path, max_size, max_files
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        self._fd = self._open()
        self._size = os.fstat(self._fd).st_size
        self._rest = {"stdout": b"", "stderr": b""}

    def _open(self) -> int:
        return os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def write(self, stream: str, data: bytes, now: int | None = None) -> None:
        """Add output of `stream` (stdout or stderr); `now` in nanoseconds since 1970."""
        head = f"{stamp(time.time_ns() if now is None else now)} {stream} ".encode()
        lines = (self._rest[stream] + data).split(b"\n")
        rest = lines.pop()
        out = []
        for line in lines:
            while len(line) > MAX_LINE:
                out.append(head + b"P " + line[:MAX_LINE] + b"\n")
                line = line[MAX_LINE:]
            out.append(head + b"F " + line + b"\n")
        while len(rest) >= MAX_LINE:
            out.append(head + b"P " + rest[:MAX_LINE] + b"\n")
            rest = rest[MAX_LINE:]
        self._rest[stream] = rest
        if out:
            self._append(b"".join(out))

    def _append(self, data: bytes) -> None:
        if self._size and self._size + len(data) > self._max_size:
            self._rotate()
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._fd, view) :]
        except OSError:
            # A full disk loses log lines, never the container.
            self._size = os.fstat(self._fd).st_size
            return
        self._size += len(data)

    def _rotate(self) -> None:
        os.close(self._fd)
        name = f"{self.path}.{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}"
        while os.path.exists(name):
            name += "0"
        os.rename(self.path, name)
        folder, base = os.path.split(self.path)
        old = sorted(entry for entry in os.listdir(folder) if entry.startswith(base + "."))
        for entry in old[: max(0, len(old) - (self._max_files - 1))]:
            os.unlink(os.path.join(folder, entry))
        self._fd = self._open()
        self._size = 0

    def close(self) -> None:
        """Write what has no newline yet, as a part of a line, and end."""
        for stream, rest in self._rest.items():
            if rest:
                self._append(f"{stamp(time.time_ns())} {stream} P ".encode() + rest + b"\n")
        self._rest = {"stdout": b"", "stderr": b""}
        os.close(self._fd)
