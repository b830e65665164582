"""Follows the definitions: what they say is served as soon as the watch cache has seen it.

    a definition is new, or asks for other names   → its conditions are decided (naming.py) and written
    it is established                              → its versions are in the registry of what is served
    it is being deleted                            → its objects are deleted, then its finalizer goes
    its spec has changed, or it is gone            → watches on its objects end; clients come back and see the new

Several servers do the same work on one store; whoever is slower finds nothing left to do.
Upstream: apiextensions-apiserver/pkg/controller/{status,establish,finalizer}, pkg/apiserver.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from workshop.api import conditions, errors
from workshop.api.conditions import is_true
from workshop.api.custom.definition import CLEANUP, resource_of, resources_of
from workshop.api.custom.naming import settled
from workshop.api.meta import Obj
from workshop.api.resources import Registry, Resource, resource
from workshop.apiserver.cached import feed
from workshop.apiserver.cacher import Cacher
from workshop.apiserver.interfaces import UserInfo
from workshop.apiserver.registry.deletion import Deleter
from workshop.apiserver.registry.options import DeleteOptions, WriteOptions
from workshop.apiserver.registry.writer import Writer
from workshop.apiserver.storage.interface import StorageError
from workshop.clock import Clock

logger = logging.getLogger(__name__)
CRDS = resource("customresourcedefinitions.apiextensions.k8s.io")
SERVER = UserInfo("system:apiserver", groups=("system:masters", "system:authenticated"))
RETRY = 1.0
WAIT_FOR_OBJECTS = 60.0


class DefinitionController:
    def __init__(self, cacher: Cacher, served: Registry, writer: Writer, deleter: Deleter, clock: Clock) -> None:
        self._cacher, self._served, self._writer, self._deleter = cacher, served, writer, deleter
        self._clock = clock
        self._known: dict[str, Obj] = {}
        self._queue: asyncio.Queue[str] = asyncio.Queue()
        self._queued: set[str] = set()
        self.told = asyncio.Event()
        """Set once what the store holds at the start is served."""

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(
                feed(self._cacher, CRDS, lambda _, crd: self._put(crd), lambda _, crd: self._gone(crd), self._first)
            )
            group.create_task(self._work())

    def _first(self, plural: str) -> None:
        self.told.set()

    async def caught_up(self) -> None:
        """Everything that the store holds now is known: for a request that another server's answer led to."""
        await self._cacher.consistent()
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    # --- what the watch cache tells

    def _put(self, crd: Obj) -> None:
        name = crd["metadata"]["name"]
        old = self._known.get(name)
        self._known[name] = crd
        self._served.put(name, resources_of(crd))
        if old is not None and old["metadata"].get("generation") != crd["metadata"].get("generation"):
            self._end_watches(old)
        self._add(name)

    def _gone(self, crd: Obj) -> None:
        name = crd["metadata"]["name"]
        old = self._known.pop(name, None)
        self._served.put(name, [])
        if old is not None:
            self._end_watches(old, for_good=True)
            for other in self._of_group(old):  # it may have held their names
                self._add(other["metadata"]["name"])

    def _end_watches(self, crd: Obj, for_good: bool = False) -> None:
        if not is_true(crd, "Established"):
            return
        prefix = resource_of(crd, crd["spec"]["versions"][0]).storage_key()
        for watcher in self._cacher.shelf(prefix).everybody():
            watcher.close()
        if for_good:
            self._cacher.drop(prefix)

    def _of_group(self, crd: Obj) -> list[Obj]:
        group, name = crd["spec"]["group"], crd["metadata"]["name"]
        return [c for c in self._known.values() if c["spec"]["group"] == group and c["metadata"]["name"] != name]

    # --- what has to be done

    def _add(self, name: str) -> None:
        if name not in self._queued:
            self._queued.add(name)
            self._queue.put_nowait(name)

    async def _work(self) -> None:
        while True:
            name = await self._queue.get()
            self._queued.discard(name)
            try:
                await self._sync(name)
            except errors.ApiError as error:
                if not errors.is_conflict(error) and not errors.is_not_found(error):
                    logger.warning("definition %s: %s", name, error)
                    await self._again(name)
            except StorageError as error:
                logger.debug("definition %s: %s", name, error)
                await self._again(name)

    async def _again(self, name: str) -> None:
        await self._clock.sleep(RETRY)
        self._add(name)

    async def _sync(self, name: str) -> None:
        crd = self._known.get(name)
        if crd is None:
            return
        if "deletionTimestamp" in crd["metadata"]:
            if CLEANUP in (crd["metadata"].get("finalizers") or ()):
                await self._clean_up(crd)
            return
        wanted = settled(crd, self._of_group(crd), self._clock.now())
        if _same(wanted, crd.get("status") or {}):
            return
        await self._write(name, lambda live: {**live, "status": settled(live, self._of_group(live), self._clock.now())})
        for other in self._of_group(crd):
            self._add(other["metadata"]["name"])

    async def _write(self, name: str, change: Any) -> Obj:
        async def changed(live: Obj | None) -> Obj:
            if live is None:
                raise errors.not_found(CRDS, name)
            made: Obj = change(live)
            return made

        options = WriteOptions(user=SERVER, manager="kube-apiserver", warnings=[])
        return (await self._writer.update(CRDS, "", name, changed, options, "status")).obj

    async def _clean_up(self, crd: Obj) -> None:
        """Delete all its objects, wait until the last finalizer of them has gone, let the definition go."""
        name = crd["metadata"]["name"]
        if is_true(crd, "Established"):
            await self._condition(name, True, "InstanceDeletionInProgress", "CustomResource deletion is in progress")
            kind = resource_of(crd, next(v for v in crd["spec"]["versions"] if v.get("storage")))
            left = await self._delete_objects(kind)
            if left:
                text = "could not confirm zero CustomResources remaining: timed out waiting for the condition"
                await self._condition(name, True, "InstanceDeletionCheck", text)
                await self._again(name)
                return
            done = (False, "InstanceDeletionCompleted", "removed all instances")
        else:
            done = (False, "NeverEstablished", "resource was never established")
        await self._condition(name, *done, last=True)

    async def _delete_objects(self, kind: Resource) -> int:
        """How many are left when we have waited long enough."""
        await self._cacher.consistent()
        shelf = self._cacher.shelf(kind.storage_key())
        await self._deleter.delete_all(kind, list(shelf.items.values()), DeleteOptions(), SERVER)
        await self._cacher.consistent()
        end = self._clock.monotonic() + WAIT_FOR_OBJECTS
        _, watcher = self._cacher.watch(kind.storage_key(), self._cacher.revision)
        try:
            while shelf.items and not watcher.cut and (left := end - self._clock.monotonic()) > 0:
                await watcher.next(left)
        finally:
            watcher.close()
        return len(self._cacher.shelf(kind.storage_key()).items)

    async def _condition(self, name: str, true: bool, reason: str, message: str, last: bool = False) -> None:
        told = {"type": "Terminating", "status": "True" if true else "False", "reason": reason, "message": message}

        def change(live: Obj) -> Obj:
            status = live.get("status") or {}
            found = conditions.set(list(status.get("conditions") or ()), told, self._clock.now())
            metadata = dict(live["metadata"])
            if last:
                metadata["finalizers"] = [f for f in metadata.get("finalizers") or () if f != CLEANUP]
            return {**live, "metadata": metadata, "status": {**status, "conditions": found}}

        await self._write(name, change)


def _same(wanted: Obj, status: Obj) -> bool:
    def plain(found: Obj) -> Any:
        return [{k: v for k, v in c.items() if k != "lastTransitionTime"} for c in found.get("conditions") or ()]

    names = status.get("acceptedNames") or {}
    accepted = {k: v for k, v in names.items() if v}
    return bool(plain(wanted) == plain(status) and wanted["acceptedNames"] == accepted)
