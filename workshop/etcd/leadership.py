"""Who leads, as one member sees it, and who waits for that to change."""

from __future__ import annotations

import asyncio

from workshop.clock import Clock


class Leadership:
    """`leader`: its id, 0 while there is none. `since`: when (monotonic) it was first heard of. `changes`: how many
    there were."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.leader, self.since, self.changes = 0, 0.0, 0
        self._waiting: list[asyncio.Future[None]] = []

    def notice(self, leader: int) -> int:
        """Another leads, or nobody; who led before."""
        before, self.leader = self.leader, leader
        if leader:
            self.changes += 1
            self.since = self._clock.monotonic()
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)
        return before

    async def change(self, timeout: float) -> None:
        """Return when another leads, or nobody, or after `timeout` seconds."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        await asyncio.wait([future], timeout=timeout)

    async def missing(self, seconds: float) -> None:
        """Return when there has been no leader for so long."""
        while True:
            while self.leader:
                await self.change(3600.0)
            await self.change(seconds)
            if not self.leader:
                return
