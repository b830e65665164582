"""One component's process as its supervisor knows it: what `workshop ps` shows, and what the next supervisor reads."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from workshop.clock import rfc3339
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
