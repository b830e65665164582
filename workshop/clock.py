"""Time, injected. Pure cores take `now` as an argument; loops take a `Clock`.

This is the only module that reads the system's clocks, so that the same loops run on a virtual clock in a
simulation. Times are POSIX seconds (`now`) or seconds on a clock that never jumps (`monotonic`).
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """What a loop may ask of time."""

    def now(self) -> float:
        """Seconds since 1970, UTC. May jump when the machine's clock is set."""
        ...

    def monotonic(self) -> float:
        """Seconds since some fixed moment. Never jumps; compare only with itself."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds` of this clock."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


SYSTEM: Clock = SystemClock()


def rfc3339(seconds: float) -> str:
    """`metav1.Time` on the wire: whole seconds, UTC, as in `2026-01-31T09:00:00Z`."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def rfc3339_micro(seconds: float) -> str:
    """`metav1.MicroTime` on the wire: six decimals, UTC. Leases and events.k8s.io use it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse_rfc3339(text: str) -> float:
    """Seconds since 1970 of an RFC 3339 time with any offset. Raises ValueError."""
    return datetime.fromisoformat(text).timestamp()
