"""What `/proc` says about processes. Linux; every function answers None or nothing for a process that is gone."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Stat:
    pid: int
    name: str
    state: str
    """R running, S sleeping, T stopped by a signal, Z ended but not yet reaped, …"""
    parent: int
    ticks: int
    """Processor time used so far, in clock ticks."""
    start: int
    """Start time in clock ticks after boot: with the pid it names a process for ever."""


def stat(pid: int) -> Stat | None:
    """What the kernel says of a process; None if there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    name, _, rest = text.partition("(")[2].rpartition(")")
    field = rest.split()
    return Stat(pid, name, field[0], int(field[1]), int(field[11]) + int(field[12]), int(field[19]))


def alive(pid: int, start: int) -> bool:
    """Whether process `pid` still is the one that started at `start`, and has not ended."""
    found = stat(pid)
    return found is not None and found.start == start and found.state not in "ZX"


def moment(start: int) -> float:
    """A start time as POSIX seconds; 0 where the kernel does not tell when it booted."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/stat").read_text().splitlines():
            if line.startswith("btime "):
                return int(line.split()[1]) + start / os.sysconf("SC_CLK_TCK")
    return 0.0


def pids() -> Iterator[int]:
    return (int(entry) for entry in os.listdir("/proc") if entry.isdigit())


def command_line(pid: int) -> str:
    """Arguments joined by blanks; empty for a kernel thread or a process that is gone."""
    with contextlib.suppress(OSError):
        raw = Path(f"/proc/{pid}/cmdline").read_bytes()
        return raw.rstrip(b"\0").replace(b"\0", b" ").decode(errors="replace").rstrip()
    return ""


def environment(pid: int) -> bytes:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/environ").read_bytes()
    return b""


def link(pid: int, name: str) -> str:
    """`cwd`, `exe`, `root`, `ns/net`: where the link leads; empty when it cannot be read."""
    with contextlib.suppress(OSError):
        return os.readlink(f"/proc/{pid}/{name}")
    return ""


def owner(pid: int) -> int | None:
    try:
        return os.stat(f"/proc/{pid}").st_uid
    except OSError:
        return None


def proportional_set_size(pid: int) -> int | None:
    """Bytes of memory, shared pages counted by their share; None when it may not be read."""
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        return None
    return None


def root_layer(pid: int) -> str:
    """Options of the overlay that is the process's root, `…,upperdir=/…`; empty where the root is no overlay."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/mountinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            before, _, after = line.partition(" - ")
            if before.split()[4] == "/" and after.startswith("overlay "):
                return after
    return ""
