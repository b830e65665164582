"""Audit records that leave in batches: what a webhook gets, and a log that nobody waits for.

Records wait in a buffer; when it is full, the newest is dropped and counted. A batch goes when it is full or when its
first record has waited long enough, not more often than the throttle allows.
Upstream: apiserver/plugin/pkg/audit/{buffered/buffered.go,webhook/webhook.go}.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from workshop.api.meta import Obj
from workshop.apiserver.webhooks.remote import NoAnswer, Remote
from workshop.clock import Clock

logger = logging.getLogger(__name__)
TRIES, FACTOR = 5, 1.5
Send = Callable[[Sequence[Obj]], Awaitable[Any]]


@dataclass(frozen=True)
class Limits:
    """Records, records, seconds, batches a second (0: no throttle), batches at once."""

    buffer: int = 10_000
    batch: int = 400
    wait: float = 30.0
    per_second: float = 10.0
    burst: int = 15


class Batching:
    """`put` records, `run` sends them until it is cancelled, `close` what is left. `send` does not raise."""

    def __init__(self, send: Send, limits: Limits, clock: Clock) -> None:
        self._send, self._limits, self._clock = send, limits, clock
        self._waiting: deque[Obj] = deque()
        self._some, self._full = asyncio.Event(), asyncio.Event()
        self._credit, self._counted_at = float(limits.burst), clock.monotonic()
        self.dropped = 0

    def put(self, event: Obj) -> None:
        if len(self._waiting) >= self._limits.buffer:
            self.dropped += 1
            if self.dropped == 1:
                logger.error("audit buffer queue blocked: records are being dropped")
            return
        self._waiting.append(event)
        self._some.set()
        if len(self._waiting) >= self._limits.batch:
            self._full.set()

    async def run(self) -> None:
        while True:
            await self._some.wait()
            await self._until_full()
            await self._send(self._taken())

    async def _until_full(self) -> None:
        """Or until the first record has waited long enough; then until the throttle lets a batch through."""
        waiting = asyncio.ensure_future(self._clock.sleep(self._limits.wait))
        full = asyncio.ensure_future(self._full.wait())
        try:
            await asyncio.wait((waiting, full), return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
            full.cancel()
            await asyncio.gather(waiting, full, return_exceptions=True)
        if self._limits.per_second:
            while not self._may_send():
                await self._clock.sleep(1 / self._limits.per_second)

    def _may_send(self) -> bool:
        now = self._clock.monotonic()
        gained = (now - self._counted_at) * self._limits.per_second
        self._credit, self._counted_at = min(self._credit + gained, float(self._limits.burst)), now
        if self._credit < 1:
            return False
        self._credit -= 1
        return True

    def _taken(self) -> list[Obj]:
        batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), self._limits.batch))]
        if not self._waiting:
            self._some.clear()
        if len(self._waiting) < self._limits.batch:
            self._full.clear()
        return batch

    async def close(self) -> None:
        """Send what still waits."""
        while self._waiting:
            await self._send(self._taken())


class Webhook:
    """Sends records to the server of a kubeconfig, and tries a few times."""

    def __init__(self, remote: Remote, clock: Clock, first_pause: float = 10.0) -> None:
        self._remote, self._clock, self._first_pause = remote, clock, first_pause

    async def send(self, events: Sequence[Obj]) -> None:
        """Raises ConnectionError."""
        items = [{key: value for key, value in event.items() if key not in ("kind", "apiVersion")} for event in events]
        told = {"kind": "EventList", "apiVersion": "audit.k8s.io/v1", "metadata": {}, "items": items}
        pause = self._first_pause
        for attempt in range(1, TRIES + 1):
            try:
                await self._remote.send(told)
                return
            except NoAnswer as error:
                if not error.again or attempt == TRIES:
                    raise ConnectionError(str(error)) from None
            await self._clock.sleep(pause)
            pause *= FACTOR
