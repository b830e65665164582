"""Clocks by which no real time passes.

`VirtualClock` is turned by the test: `await clock.advance(15)` runs whatever falls due, in order. `StillClock` stands where
it was put, `HastyClock` lets nobody wait.
"""

import asyncio
import heapq
import itertools
from collections.abc import Callable


class StillClock:
    """Stands at `time`; nobody may wait by it."""

    def __init__(self, time: float = 1_800_000_000.0) -> None:
        self.time = time

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        raise AssertionError(f"nobody waits here, for {seconds} s or otherwise")


class HastyClock(StillClock):
    """Whoever waits has waited at once, and `on_sleep` was called."""

    def __init__(self, time: float = 1_800_000_000.0) -> None:
        super().__init__(time)
        self.on_sleep: Callable[[], None] = lambda: None

    async def sleep(self, seconds: float) -> None:
        self.time += seconds
        self.on_sleep()


class VirtualClock:
    def __init__(self, start: float = 1_800_000_000.0) -> None:
        self._now = start
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = itertools.count()

    def now(self) -> float:
        return self._now

    def monotonic(self) -> float:
        return self._now

    async def sleep(self, seconds: float) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._now + max(0.0, seconds), next(self._order), future))
        await future

    async def advance(self, seconds: float) -> None:
        end = self._now + seconds
        await settle()
        while self._sleepers and self._sleepers[0][0] <= end:
            due, _, future = heapq.heappop(self._sleepers)
            self._now = max(self._now, due)
            if not future.done():
                future.set_result(None)
            await settle()
        self._now = end
        await settle()


async def settle(rounds: int = 60) -> None:
    """Let everything that can run now run."""
    for _ in range(rounds):
        await asyncio.sleep(0)
