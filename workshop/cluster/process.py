"""One component's process as its supervisor knows it: what `workshop ps` shows, and what the next supervisor reads."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workshop.clock import rfc3339
from workshop.cluster import procfs
from workshop.cluster.plan import Component


@dataclass
class Process:
    """One component's process, now or to be."""

    spec: Component
    state: str = "stopped"
    pid: int = 0
    start: int = 0
    restarts: int = 0
    since: float = 0.0
    exit: int | None = None
    wanted: bool = True
    failures: int = 0
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    retry: asyncio.TimerHandle | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.spec.name,
            "program": self.spec.program,
            "node": self.spec.node,
            "pid": self.pid or None,
            "start": self.start,
            "state": self.state,
            "restarts": self.restarts,
            "since": rfc3339(self.since) if self.since else None,
            "exit": self.exit,
            "wanted": self.wanted,
            "log": f"logs/{self.spec.name}.log",
        }


@dataclass(frozen=True)
class Remembered:
    """What an earlier supervisor wrote down of a process."""

    pid: int = 0
    start: int = 0
    restarts: int = 0
    wanted: bool = True

    def lives(self) -> bool:
        return bool(self.pid) and procfs.alive(self.pid, self.start)


def remembered(path: Path) -> dict[str, Remembered]:
    """By name, of `run/processes.json`. What is missing or makes no sense is forgotten: processes have titles, too."""
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    found = {}
    for name, row in rows.items() if isinstance(rows, dict) else ():
        if not isinstance(row, dict):
            continue
        pid, start, restarts = (row.get(key) or 0 for key in ("pid", "start", "restarts"))
        if all(isinstance(number, int) for number in (pid, start, restarts)):
            found[name] = Remembered(pid, start, restarts, row.get("wanted") is not False)
    return found
