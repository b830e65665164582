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


def to_beat(now: float, period: float, phase: float = 0.0) -> float:
    """Seconds to sleep so that a loop of `period` wakes where `now - phase` is a multiple of it: a part of a period
    the first time, then one each (never less than a tenth: a timer that rings early does not ring twice).

    Loops that only keep something alive wake together so, whichever process they are in: a lease renewal that wakes
    the API server and etcd costs them several times what a second one costs a moment later, while their memory is
    still in the processor's caches. (Linux does the same with `round_jiffies`.)

    >>> to_beat(100.5, 2.0), to_beat(101.9, 2.0), to_beat(102.0, 2.0)
    (1.5, 2.1, 2.0)
    """
    left = period - (now - phase) % period
    return left if left >= period / 10 else left + period


def rfc3339(seconds: float) -> str:
    """`metav1.Time` on the wire: whole seconds, UTC, as in `2026-01-31T09:00:00Z`."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def rfc3339_micro(seconds: float) -> str:
    """`metav1.MicroTime` on the wire: six decimals, UTC. Leases and events.k8s.io use it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse_rfc3339(text: str) -> float:
    """Seconds since 1970 of an RFC 3339 time with any offset. Raises ValueError."""
    return datetime.fromisoformat(text).timestamp()
