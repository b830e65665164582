"""Finished Jobs go after `ttlSecondsAfterFinished`. Upstream: `pkg/controller/ttlafterfinished`."""

from __future__ import annotations

from workshop.api import meta
from workshop.api.errors import ApiError
from workshop.api.meta import Key, Obj, key_of
from workshop.api.resources import resource
from workshop.clock import parse_rfc3339

from .base import Context
from .job_util import finished

JOBS = resource("jobs.batch")


def seconds_left(job: Obj, now: float) -> float | None:
    """None: it stays."""
    ttl, end = job["spec"].get("ttlSecondsAfterFinished"), finished(job)
    if ttl is None or end is None or "deletionTimestamp" in job["metadata"]:
        return None
    return parse_rfc3339(end["lastTransitionTime"]) + float(ttl) - now


class TTLAfterFinishedController:
    def __init__(self, context: Context) -> None:
        self._context = context
        self._client = context.client
        self._clock = context.clock
        self._queue = context.queue()
        self._jobs = context.informer("jobs.batch")
        self._jobs.add_handler(self._seen, lambda old, new: self._seen(new))

    def _seen(self, job: Obj) -> None:
        if seconds_left(job, self._clock.now()) is not None:
            self._queue.add(key_of(job))

    async def run(self) -> None:
        workers = self._context.options.workers("ttl-after-finished")
        await self._context.controller(self._queue, self.sync, workers).run()

    async def sync(self, key: Key) -> float | None:
        job = self._jobs.store.get(key)
        left = seconds_left(job, self._clock.now()) if job is not None else None
        if job is None or left is None:
            return None
        if left > 0:
            return left
        try:
            # The server's own word: its TTL may have been changed a moment ago.
            live = await self._client.get(JOBS, key.name, key.namespace)
            left = seconds_left(live, self._clock.now())
            if left is None or left > 0:
                return left
            await self._client.delete(
                JOBS, key.name, key.namespace, propagation_policy="Foreground", uid=meta.uid(live)
            )
        except ApiError as error:
            if error.code != 404:
                raise
        return None
