"""What all controllers share: the `Context` that they are built from, and small helpers of their loops."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Protocol, TypeVar

from workshop.api import meta
from workshop.api.errors import ApiError
from workshop.api.meta import Key, Obj, key_of
from workshop.api.resources import Resource, resource
from workshop.client.controller import Controller
from workshop.client.events import Recorder
from workshop.client.informer import Informer, InformerFactory
from workshop.client.rest import Client
from workshop.client.workqueue import RateLimitingQueue
from workshop.clock import Clock

from .options import Options

log = logging.getLogger(__name__)

T = TypeVar("T")


class Runnable(Protocol):
    """A controller: asks the context for informers when it is made, works while `run` does."""

    async def run(self) -> None: ...


@dataclass
class Context:
    """`client` acts as the controller itself; `informers` are the manager's, shared by all controllers."""

    client: Client
    informers: InformerFactory
    clock: Clock
    random: Random
    options: Options
    recorders: Callable[[str], Recorder]
    name: str = ""
    queues: list[RateLimitingQueue[Any]] = field(default_factory=list)

    def informer(self, name: str) -> Informer:
        return self.informers.informer(resource(name))

    def queue(self) -> RateLimitingQueue[Any]:
        made: RateLimitingQueue[Any] = RateLimitingQueue(self.clock)
        self.queues.append(made)
        return made

    def controller(
        self, queue: RateLimitingQueue[Any], reconcile: Callable[[Any], Awaitable[float | None]], workers: int = 5
    ) -> Controller[Any]:
        return Controller(self.name, queue, reconcile, workers)


async def gather_running(*runs: Awaitable[None]) -> None:
    """All of them until the first fails; then the others are cancelled."""
    async with asyncio.TaskGroup() as group:
        for run in runs:
            group.create_task(_as_coroutine(run))


async def _as_coroutine(run: Awaitable[None]) -> None:
    await run


async def slow_start(count: int, act: Callable[[int], Awaitable[None]], first: int = 1) -> tuple[int, Exception | None]:
    """`act(0) … act(count-1)` in batches of 1, 2, 4, …; a batch with a failure is the last. → successes, first failure.

    If all are going to fail for the same reason (a quota), one request learns it, not five hundred. Upstream:
    `slowStartBatch` in `pkg/controller/replicaset/replica_set.go`.
    """
    done, batch = 0, min(first, count)
    while batch:
        results = await asyncio.gather(*(act(done + i) for i in range(batch)), return_exceptions=True)
        failures = [r for r in results if isinstance(r, BaseException)]
        if failures:
            return done + batch - len(failures), _ordinary(failures[0])
        done += batch
        batch = min(2 * batch, count - done)
    return done, None


def _ordinary(error: BaseException) -> Exception:
    if not isinstance(error, Exception):
        raise error
    return error


async def all_of(acts: Iterable[Awaitable[Any]]) -> None:
    """All at once; the first failure is raised after every one has ended."""
    for result in await asyncio.gather(*acts, return_exceptions=True):
        if isinstance(result, BaseException):
            raise result


async def update_status(client: Client, res: Resource, obj: Obj, status: dict[str, Any]) -> Obj | None:
    """PUT the status if it differs from what `obj` has; None when nothing had to be written, or the object is gone."""
    if (obj.get("status") or {}) == status:
        return None
    try:
        return await client.update(res, {**obj, "status": status}, "status")
    except ApiError as error:
        if error.code == 404:
            return None
        raise


def enqueue_owner(queue: RateLimitingQueue[Key], kind: str) -> Callable[[Obj], None]:
    """A handler that queues the controlling owner of an object, if it is of `kind`."""

    def handler(obj: Obj) -> None:
        ref = meta.controller_of(obj)
        if ref is not None and ref["kind"] == kind:
            queue.add(Key(meta.namespace(obj), ref["name"]))

    return handler


def drop(values: dict[str, Any], absent: Sequence[Any] = (None, "")) -> dict[str, Any]:
    """Without the fields that Go's `omitempty` would leave out."""
    return {k: v for k, v in values.items() if v not in absent}


__all__ = [
    "Context",
    "Runnable",
    "all_of",
    "drop",
    "enqueue_owner",
    "gather_running",
    "key_of",
    "slow_start",
    "update_status",
]
