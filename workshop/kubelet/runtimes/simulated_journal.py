"""What the simulated runtime remembers over a restart of kubelet, as real containers outlive one.

A file of lines, each a change: `["sandbox", {…}]`, `["container", {…}]`, `["image", "…"]`, `["gone", "ID"]`. It is
written anew with what there is when it is opened, and when it has grown too long. A restart of the machine ends all
containers: the first line names the boot, and the lines of another one are forgotten. `workshop down` removes it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from workshop.kubelet.cri import ContainerStatus, PodSandboxStatus

LONG = 4_000
"""Lines from which it is written anew, if most of them are history."""
Entry = PodSandboxStatus | ContainerStatus | str


def boot() -> str:
    """What the kernel calls this run of the machine; "" where it says nothing."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


class Journal:
    """`present` lists what is to be kept when the file is written anew: sandboxes before their containers."""

    def __init__(self, path: Path, present: Callable[[], Iterable[Entry]], boot_id: str | None = None) -> None:
        self._path, self._present = path, present
        self._boot = boot() if boot_id is None else boot_id
        self._file: int = -1
        self._lines = 0

    def entries(self) -> list[Entry]:
        """What was there when the last kubelet ended. A line that was torn by its end is as if not written."""
        found: dict[str, Entry] = {}
        lines = self._path.read_bytes().split(b"\n")[:-1] if self._path.exists() else []
        changes = list(_changes(lines))
        if changes[:1] != [("boot", self._boot)]:
            return []
        for kind, what in changes[1:]:
            if kind == "gone":
                found.pop(what, None)
            elif kind == "image":
                found[f"image {what}"] = what
            elif kind == "sandbox":
                found[what["id"]] = msgspec.convert(what, PodSandboxStatus)
            else:
                found[what["id"]] = msgspec.convert(what, ContainerStatus)
        return sorted(found.values(), key=lambda entry: isinstance(entry, ContainerStatus))

    def open(self) -> None:
        """Write it anew, and go on behind. Raises OSError."""
        self.close()
        entries = list(self._present())
        new = self._path.with_suffix(".new")
        new.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        new.write_bytes(b"".join([_line("boot", self._boot), *map(_entry_line, entries)]))
        new.replace(self._path)
        self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        self._lines = len(entries)

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
        self._file = -1

    def put(self, entry: Entry) -> None:
        """It is there, or has changed."""
        self._append(_entry_line(entry))

    def gone(self, identity: str) -> None:
        self._append(_line("gone", identity))

    def _append(self, line: bytes) -> None:
        if self._file < 0:
            return
        os.write(self._file, line)
        self._lines += 1
        if self._lines >= LONG and self._lines > 4 * sum(1 for _ in self._present()):
            self.open()


def _changes(lines: list[bytes]) -> Iterator[tuple[str, Any]]:
    for line in lines:
        try:
            kind, what = msgspec.json.decode(line)
        except (msgspec.DecodeError, ValueError):
            return
        yield kind, what


def _entry_line(entry: Entry) -> bytes:
    if isinstance(entry, str):
        return _line("image", entry)
    return _line("sandbox" if isinstance(entry, PodSandboxStatus) else "container", entry)


def _line(kind: str, what: object) -> bytes:
    return msgspec.json.encode([kind, what]) + b"\n"
