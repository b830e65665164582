"""The work queue: three sets and one invariant. Upstream: `client-go/util/workqueue`.

    queue       keys waiting for a worker, in order
    dirty       keys that need work
    processing  keys in a worker's hands

A key is in `queue` exactly when it is in `dirty` and not in `processing`. So a key that is added ten times is worked
on once, never by two workers at once, and one that is added while a worker has it comes back when the worker is done.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections import deque
from collections.abc import Hashable
from typing import Generic, TypeVar

from workshop.clock import SYSTEM, Clock

K = TypeVar("K", bound=Hashable)


class ShutDown(Exception):
    """The queue takes no more work, and has none left."""


class Queue(Generic[K]):
    """add → get → done. `add_after` adds later, by the clock."""

    def __init__(self, clock: Clock = SYSTEM) -> None:
        self._clock = clock
        self._queue: deque[K] = deque()
        self._dirty: set[K] = set()
        self._processing: set[K] = set()
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._shut_down = False
        self._delayed: list[tuple[float, int, K]] = []
        self._due: dict[K, float] = {}
        self._order = itertools.count()
        self._timer: asyncio.Task[None] | None = None
        self._timer_due = 0.0

    def __len__(self) -> int:
        return len(self._queue)

    def add(self, key: K) -> None:
        if self._shut_down or key in self._dirty:
            return
        self._dirty.add(key)
        if key not in self._processing:
            self._queue.append(key)
            self._wake()

    async def get(self) -> K:
        """The next key; the caller owes a `done(key)`. Raises ShutDown once the queue is shut down and empty."""
        while not self._queue:
            if self._shut_down:
                raise ShutDown
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            try:
                await waiter
            except asyncio.CancelledError:
                if waiter.done() and not waiter.cancelled():
                    self._wake()  # this worker was woken and leaves: the key is another's
                raise
        key = self._queue.popleft()
        self._dirty.discard(key)
        self._processing.add(key)
        return key

    def done(self, key: K) -> None:
        self._processing.discard(key)
        if key in self._dirty:
            self._queue.append(key)
            self._wake()

    def add_after(self, key: K, seconds: float) -> None:
        """Add `key` in `seconds`. Of several delays for one key the earliest counts."""
        if self._shut_down:
            return
        if seconds <= 0:
            self.add(key)
            return
        due = self._clock.monotonic() + seconds
        if self._due.get(key, due + 1) <= due:
            return
        self._due[key] = due
        heapq.heappush(self._delayed, (due, next(self._order), key))
        if self._timer is None or due < self._timer_due:
            self._set_timer(due)

    def shut_down(self) -> None:
        """Workers get what is queued, then ShutDown. Delayed keys are given up."""
        self._shut_down = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()

    def _wake(self) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    def _set_timer(self, due: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_due = due
        self._timer = asyncio.get_running_loop().create_task(self._ring(due))

    async def _ring(self, due: float) -> None:
        await self._clock.sleep(due - self._clock.monotonic())
        now = max(due, self._clock.monotonic())
        while self._delayed and self._delayed[0][0] <= now:
            when, _, key = heapq.heappop(self._delayed)
            if self._due.get(key) == when:
                del self._due[key]
                self.add(key)
        self._timer = None
        if self._delayed:
            self._set_timer(self._delayed[0][0])


class RateLimiter(Generic[K]):
    """How long a failing key waits: 5 ms, 10 ms, 20 ms, … up to 1000 s; and all failing keys together come back at
    10 a second at most, after a burst of 100. The longer of the two counts."""

    def __init__(
        self, clock: Clock, base: float = 0.005, cap: float = 1000.0, per_second: float = 10.0, burst: int = 100
    ) -> None:
        self._clock = clock
        self._base = base
        self._cap = cap
        self._per_second = per_second
        self._burst = burst
        self._tokens = float(burst)
        self._last = clock.monotonic()
        self._failures: dict[K, int] = {}

    def when(self, key: K) -> float:
        """Count a failure of `key`; answers the seconds until its next try."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        own = min(self._cap, self._base * 2.0 ** min(failures, 60))
        return max(own, self._reserve())

    def forget(self, key: K) -> None:
        self._failures.pop(key, None)

    def failures(self, key: K) -> int:
        return self._failures.get(key, 0)

    def _reserve(self) -> float:
        now = self._clock.monotonic()
        self._tokens = min(float(self._burst), self._tokens + (now - self._last) * self._per_second) - 1.0
        self._last = now
        return max(0.0, -self._tokens / self._per_second)


class RateLimitingQueue(Queue[K]):
    """A queue that also takes keys whose work has failed."""

    def __init__(self, clock: Clock = SYSTEM, limiter: RateLimiter[K] | None = None) -> None:
        super().__init__(clock)
        self._limiter = limiter if limiter is not None else RateLimiter(clock)

    def add_rate_limited(self, key: K) -> None:
        self.add_after(key, self._limiter.when(key))

    def forget(self, key: K) -> None:
        """The work on `key` succeeded: its next failure waits 5 ms again."""
        self._limiter.forget(key)

    def num_requeues(self, key: K) -> int:
        return self._limiter.failures(key)
