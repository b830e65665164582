"""Follows APIServices: keeps those of this server itself, asks whether the others answer, and what they serve.

Nothing runs for groups that are served here. A server behind a Service is asked when its APIService, its Service or its
endpoints change, and every half minute. Upstream: kube-aggregator/pkg/controllers, pkg/apiserver/handler_discovery.go.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from workshop.api import conditions, errors
from workshop.api.meta import Obj
from workshop.api.resources import Registry, Resource, resource
from workshop.apiserver.cached import feed
from workshop.apiserver.cacher import Cacher
from workshop.apiserver.extensions.controller import SERVER
from workshop.apiserver.registry.deletion import Deleter
from workshop.apiserver.registry.options import DeleteOptions, WriteOptions
from workshop.apiserver.registry.writer import Writer
from workshop.apiserver.storage.interface import StorageError
from workshop.apiserver.webhooks.addresses import NoAddress, Services
from workshop.clock import Clock

from . import availability, local
from .backend import Backend, FrontProxy

logger = logging.getLogger(__name__)
API_SERVICES = resource("apiservices.apiregistration.k8s.io")
SERVICES, SLICES = resource("services"), resource("endpointslices.discovery.k8s.io")
EVERY = 30.0
RETRY = 2.0
PATIENCE = 5.0
SERVICE_NAME = "kubernetes.io/service-name"


@dataclass
class Remote:
    """A group and version that another server serves. `resources` as in aggregated discovery."""

    obj: Obj
    backend: Backend
    resources: list[Obj] = field(default_factory=list)
    fresh: bool = False

    @property
    def group(self) -> str:
        return str(self.obj["spec"]["group"])

    @property
    def version(self) -> str:
        return str(self.obj["spec"]["version"])

    @property
    def available(self) -> bool:
        return conditions.is_true(self.obj, "Available")

    @property
    def rank(self) -> tuple[Any, ...]:
        """Groups by the least priority that they ask for, versions by theirs."""
        spec = self.obj["spec"]
        return -spec["groupPriorityMinimum"], self.group, -spec["versionPriority"], self.version


class Aggregator:
    def __init__(
        self, cacher: Cacher, served: Registry, writer: Writer, deleter: Deleter, services: Services, front: FrontProxy,
        clock: Clock,
    ) -> None:  # fmt: skip
        self._cacher, self._served, self._writer, self._deleter = cacher, served, writer, deleter
        self._services, self._front, self._clock = services, front, clock
        self._known: dict[str, Obj] = {}
        self.remote: dict[tuple[str, str], Remote] = {}
        self.generation = 0
        """Counts what changes in `remote`."""
        self._wake = asyncio.Event()
        self._due: set[str] = set()
        self._closing: set[asyncio.Task[None]] = set()

    async def run(self, started: asyncio.Event) -> None:
        """`started` is set when the server's own kinds can be written."""
        async with asyncio.TaskGroup() as group:
            group.create_task(feed(self._cacher, API_SERVICES, self._put, self._gone))
            group.create_task(self._keep_local(started))
            group.create_task(self._keep_asking())

    async def close(self) -> None:
        for remote in self.remote.values():
            await remote.backend.close()
        await asyncio.gather(*self._closing)

    # --- what the watch cache tells

    def _put(self, plural: str, obj: Obj) -> None:
        name, key = obj["metadata"]["name"], (obj["spec"].get("group") or "", obj["spec"]["version"])
        old = self._known.get(name)
        self._known[name] = obj
        if local.is_local(obj):
            self._drop(key)
            return
        known = self.remote.get(key)
        if known is None or old is None or old["spec"] != obj["spec"]:
            self._drop(key)
            self.remote[key] = Remote(obj, Backend(obj["spec"], self._services, self._front))
            self._ask(name)
        else:
            known.obj = obj
        self.generation += 1

    def _gone(self, plural: str, obj: Obj) -> None:
        known = self._known.pop(obj["metadata"]["name"], None)
        if known is not None:
            self._drop((known["spec"].get("group") or "", known["spec"]["version"]))
        self._wake.set()

    def _drop(self, key: tuple[str, str]) -> None:
        if (remote := self.remote.pop(key, None)) is not None:
            self.generation += 1
            self._closing.add(closing := asyncio.create_task(remote.backend.close()))
            closing.add_done_callback(self._closing.discard)

    def _ask(self, name: str) -> None:
        self._due.add(name)
        self._wake.set()

    # --- what is served here

    async def _keep_local(self, started: asyncio.Event) -> None:
        await started.wait()
        first, changed = True, asyncio.Event()
        self._served.listeners.append(changed.set)
        try:
            while True:
                changed.clear()
                create, gone = local.changes(self._served, self._known, first)
                ends = await asyncio.gather(
                    *map(self._create, create), *map(self._delete, gone), return_exceptions=True
                )
                for end in ends:
                    if isinstance(end, BaseException) and not isinstance(end, errors.ApiError | StorageError):
                        raise end
                first = False
                await changed.wait()
        finally:
            self._served.listeners.remove(changed.set)

    async def _create(self, obj: Obj) -> None:
        options = WriteOptions(user=SERVER, manager="kube-apiserver", warnings=[])
        await self._writer.create(API_SERVICES, "", obj, options)

    async def _delete(self, name: str) -> None:
        await self._deleter.delete(API_SERVICES, "", name, DeleteOptions(), SERVER)

    # --- what others serve

    async def _keep_asking(self) -> None:
        """Waits for ever while there is nobody to ask."""
        watching: list[asyncio.Task[None]] = []
        try:
            while True:
                try:
                    well = all(remote.available for remote in self.remote.values())
                    async with asyncio.timeout((EVERY if well else RETRY) if self.remote else None):
                        await self._wake.wait()
                except TimeoutError:
                    self._due |= {remote.obj["metadata"]["name"] for remote in self.remote.values()}
                self._wake.clear()
                if self.remote and not watching:
                    watching = [asyncio.create_task(self._follow(kind)) for kind in (SERVICES, SLICES)]
                elif not self.remote and watching:
                    await _end(watching)
                    watching = []
                due, self._due = self._due, set()
                await asyncio.gather(*(self._check(name) for name in sorted(due)))
        finally:
            await _end(watching)

    async def _follow(self, kind: Resource) -> None:
        told = self._moved(kind.plural)
        await feed(self._cacher, kind, told, told)

    def _moved(self, plural: str) -> Callable[[str, Obj], None]:
        """A Service or one of its EndpointSlices changed: whoever stands behind it is asked again."""

        def told(_: str, obj: Obj) -> None:
            meta = obj["metadata"]
            name = (
                meta["name"] if plural == "services" else (meta.get("labels") or {}).get("kubernetes.io/service-name")
            )
            for remote in self.remote.values():
                ref = remote.obj["spec"]["service"]
                if (ref["namespace"], ref["name"]) == (meta.get("namespace"), name):
                    self._ask(remote.obj["metadata"]["name"])

        return told

    async def _check(self, name: str) -> None:
        obj = self._known.get(name)
        remote = self.remote.get((obj["spec"].get("group") or "", obj["spec"]["version"])) if obj else None
        if obj is None or remote is None:
            return
        ref = obj["spec"]["service"]
        found = availability.obstacle(ref, self._service(ref), self._slices(ref))
        if found is None:
            found = await self._ask_server(remote)
        try:
            await self._tell(name, found)
        except (errors.ApiError, StorageError) as error:
            logger.debug("APIService %s: %s", name, error)

    def _service(self, ref: Obj) -> Obj | None:
        stored = self._cacher.shelf(SERVICES.storage_key()).items.get(
            SERVICES.storage_key(ref["namespace"], ref["name"])
        )
        return stored.obj if stored is not None else None

    def _slices(self, ref: Obj) -> list[Obj]:
        found = [s.obj for s in self._cacher.shelf(SLICES.storage_key()).under(SLICES.storage_key(ref["namespace"]))]
        return [obj for obj in found if (obj["metadata"].get("labels") or {}).get(SERVICE_NAME) == ref["name"]]

    async def _ask_server(self, remote: Remote) -> Obj:
        """Asks for what it serves; the condition that its answer makes."""
        path = f"/apis/{remote.group}/{remote.version}"
        shown = f"https://{remote.backend.server_name}{path}"
        lead = f"failing or missing response from {shown}"
        try:
            async with asyncio.timeout(PATIENCE):
                status, _, body = await remote.backend.get(path)
                if not 200 <= status < 300:
                    text = f"{lead}: bad status from {shown}: {status}"
                    return availability.condition(False, "FailedDiscoveryCheck", text)
                remote.resources, remote.fresh = listed(msgspec.json.decode(body), remote), True
        except (NoAddress, OSError, ssl.SSLError, TimeoutError, ValueError) as error:
            remote.fresh = False
            return availability.condition(False, "FailedDiscoveryCheck", f"{lead}: {error or 'timed out'}")
        finally:
            self.generation += 1
        return availability.PASSED

    async def _tell(self, name: str, found: Obj) -> None:
        """Writes the condition, if it says anything new."""

        def changed(obj: Obj) -> list[Obj]:
            return conditions.set((obj.get("status") or {}).get("conditions") or [], found, self._clock.now())

        known = self._known.get(name)
        if known is None or changed(known) == ((known.get("status") or {}).get("conditions") or []):
            return

        async def change(live: Obj | None) -> Obj:
            if live is None:
                raise errors.not_found(API_SERVICES, name)
            return {**live, "status": {**(live.get("status") or {}), "conditions": changed(live)}}

        options = WriteOptions(user=SERVER, manager="kube-apiserver", warnings=[])
        await self._writer.update(API_SERVICES, "", name, change, options, "status")


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def listed(answer: Any, remote: Remote) -> list[Obj]:
    """An APIResourceList as the resources of aggregated discovery. Raises ValueError for what is none."""
    rows = answer.get("resources") if isinstance(answer, dict) else None
    if not isinstance(rows, list):
        raise ValueError("the answer is no APIResourceList")
    found: dict[str, Obj] = {}
    for row in rows:
        name, _, sub = row["name"].partition("/")
        kind = {
            "group": row.get("group") or remote.group, "version": row.get("version") or remote.version,
            "kind": row.get("kind", ""),
        }  # fmt: skip
        if sub:
            if name in found:
                subresources = found[name].setdefault("subresources", [])
                subresources.append({"subresource": sub, "responseKind": kind, "verbs": row.get("verbs") or []})
            continue
        found[name] = {
            "resource": name, "responseKind": kind, "scope": "Namespaced" if row.get("namespaced") else "Cluster",
            "singularResource": row.get("singularName") or "", "verbs": row.get("verbs") or [],
            **{key: row[key] for key in ("shortNames", "categories") if row.get(key)},
        }  # fmt: skip
    return list(found.values())
