"""Writes pod statuses: the newest one of each pod, one request a pod at a time, several pods at once.

Upstream: `pkg/kubelet/status/status_manager.go`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from workshop import trace
from workshop.api import errors
from workshop.api.errors import ApiError
from workshop.api.meta import Key
from workshop.api.resources import resource
from workshop.client.rest import Client
from workshop.client.transport import Unreachable
from workshop.clock import Clock
from workshop.kubelet import status
from workshop.kubelet.pods import Obj

log = logging.getLogger(__name__)

PODS = resource("pods")
AT_ONCE = 16


class StatusManager:
    """`set` notes a status and returns at once; `finish` returns when it is written and the pod is deleted."""

    def __init__(self, client: Client, clock: Clock, current: Callable[[Key], Obj | None]) -> None:
        self._client, self._clock, self._current = client, clock, current
        self._wanted: dict[str, tuple[Obj, Obj]] = {}
        self._written: dict[str, Obj] = {}
        self._busy: dict[str, asyncio.Task[None]] = {}
        self._limit = asyncio.Semaphore(AT_ONCE)
        # the uid at the API server of a static pod's mirror; None: there is none yet, "": not a static pod
        self.mirror: Callable[[str], str | None] = lambda _: ""

    def set(self, pod: Obj, new: Obj) -> None:
        """Note the pod's status."""
        uid = pod["metadata"]["uid"]
        if uid not in self._wanted and self._written.get(uid, pod.get("status") or {}) == new:
            return
        self._wanted[uid] = (pod, new)
        if uid not in self._busy:
            self._busy[uid] = asyncio.get_running_loop().create_task(self._write(uid))

    def last(self, uid: str) -> Obj | None:
        """What was noted or written last."""
        return self._wanted[uid][1] if uid in self._wanted else self._written.get(uid)

    def again(self, pod: Obj) -> None:
        """The object is a new one at the API server (a static pod's mirror): it gets all that was written."""
        told = self._written.pop(pod["metadata"]["uid"], None)
        if told is not None and pod["metadata"]["uid"] not in self._wanted:
            self.set(pod, told)

    async def _write(self, uid: str) -> None:
        try:
            while uid in self._wanted:
                pod, new = self._wanted[uid]
                async with self._limit:
                    done = await self._patch(pod, new)
                if not done:
                    continue
                self._written[uid] = new
                if self._wanted.get(uid, (None, None))[1] is new:
                    del self._wanted[uid]
        finally:
            self._busy.pop(uid, None)

    async def _patch(self, pod: Obj, new: Obj) -> bool:
        """True when there is nothing more to do for this status."""
        meta = pod["metadata"]
        current = self._current(Key(meta.get("namespace", "default"), meta["name"]))
        mirror = self.mirror(meta["uid"])
        if mirror is None:
            await self._clock.sleep(0.5)
            return False
        uid = mirror or meta["uid"]
        if current is not None and current["metadata"]["uid"] != uid:
            if not mirror:
                return True
            current = None  # our cache still has the mirror before this one
        old = self._written.get(meta["uid"]) or (current or pod).get("status") or {}
        body = status.patch(old, new, uid)
        if not body["status"]:
            return True
        namespace = meta.get("namespace", "default")
        try:
            with trace.span("kubelet.status", key=f"{namespace}/{meta['name']}"):
                trace.read(pod)
                await self._client.patch(PODS, meta["name"], body, namespace, subresource="status")
        except Unreachable:
            await self._clock.sleep(0.2)
            return False
        except ApiError as problem:
            if errors.is_not_found(problem) or errors.is_conflict(problem):
                return True
            log.warning("failed to update status of pod %s: %s", meta["name"], problem)
            await self._clock.sleep(1)
            return not (problem.code >= 500 or problem.code == 429)
        return True

    async def finish(self, pod: Obj) -> None:
        """The pod's containers are gone: write the last status, then delete the object."""
        meta = pod["metadata"]
        while (task := self._busy.get(meta["uid"])) is not None:
            await asyncio.wait([task])
        while True:
            namespace = meta.get("namespace", "default")
            try:
                with trace.span("kubelet.delete", key=f"{namespace}/{meta['name']}"):
                    trace.read(pod)
                    await self._client.delete(PODS, meta["name"], namespace, grace_period_seconds=0, uid=meta["uid"])
            except Unreachable:
                await self._clock.sleep(0.2)
                continue
            except ApiError as problem:
                if not (errors.is_not_found(problem) or errors.is_conflict(problem)):
                    log.warning("failed to delete pod %s: %s", meta["name"], problem)
                    await self._clock.sleep(1)
                    continue
            self.forget(meta["uid"])
            return

    def forget(self, uid: str) -> None:
        self._written.pop(uid, None)
        self._wanted.pop(uid, None)

    async def close(self) -> None:
        tasks = list(self._busy.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
