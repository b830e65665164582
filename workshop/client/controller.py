"""Workers around a queue. Upstream: any controller's `processNextWorkItem`; the outcomes are controller-runtime's.

`reconcile(key)` is told which object to look at, never what happened to it, and has one of four outcomes:

    returns None        done; a later failure starts from the shortest delay again
    returns a number    done, and look again in that many seconds
    raises ApiError, OSError   try again with back-off; logged unless it is a conflict, which is everyday
    raises anything else       a mistake in the program: logged with its traceback, and tried again with back-off
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from workshop import trace
from workshop.api.errors import ApiError

from .workqueue import RateLimitingQueue, ShutDown

log = logging.getLogger(__name__)

K = TypeVar("K", bound=Hashable)


class Controller(Generic[K]):
    """Runs `reconcile` for the keys of `queue`, `workers` of them at a time and never two for one key."""

    def __init__(
        self,
        name: str,
        queue: RateLimitingQueue[K],
        reconcile: Callable[[K], Awaitable[float | None]],
        workers: int = 1,
    ) -> None:
        self.name = name
        self.queue = queue
        self._reconcile = reconcile
        self._workers = workers

    async def run(self) -> None:
        """Until cancelled, or the queue is shut down."""
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._workers):
                    group.create_task(self._work())
        finally:
            self.queue.shut_down()

    async def _work(self) -> None:
        while True:
            try:
                key = await self.queue.get()
            except ShutDown:
                return
            try:
                await self._process(key)
            finally:
                self.queue.done(key)

    async def _process(self, key: K) -> None:
        try:
            with trace.span("controller.reconcile", controller=self.name, key=str(key)):
                again = await self._reconcile(key)
        except (ApiError, OSError) as error:
            if not (isinstance(error, ApiError) and error.code == 409):
                log.warning("%s: error syncing %s, requeuing: %s", self.name, key, error)
            self.queue.add_rate_limited(key)
        except Exception:  # the worker must outlive any one object
            log.exception("%s: error syncing %s, requeuing", self.name, key)
            self.queue.add_rate_limited(key)
        else:
            self.queue.forget(key)
            if again is not None:
                self.queue.add_after(key, again)
