"""A cache that follows the server. Upstream: `client-go/tools/cache/reflector.go` and `shared_informer.go`.

The reflector's loop, which is all there is to it:

1. fetch every object, as a stream (WatchList, KEP-3157) or, where the server refuses that, as a list;
   what is in the store and no longer on the server gets its `on_delete` now (upstream's tombstone)
2. watch from that resourceVersion on; a watch that ends is resumed from the last resourceVersion seen
   (bookmarks move it, so that a quiet resource does not fall behind)
3. 410 Gone: the server has compacted that version away; back to 1

No poll, no resync: an informer that sees no change does nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from workshop import trace
from workshop.api.errors import ApiError
from workshop.api.meta import Key, Obj, key_of
from workshop.api.resources import Resource
from workshop.clock import SYSTEM, Clock

from .backoff import Backoff
from .rest import Client
from .store import Store
from .transport import Unreachable
from .watch import INITIAL_EVENTS_END, Watch

log = logging.getLogger(__name__)

OnAdd = Callable[[Obj], None]
OnUpdate = Callable[[Obj, Obj], None]
OnDelete = Callable[[Obj], None]
Transform = Callable[[Obj], Obj]


@dataclass(frozen=True)
class Handler:
    on_add: OnAdd | None = None
    on_update: OnUpdate | None = None
    on_delete: OnDelete | None = None


class Informer:
    """`store` mirrors one resource (of one namespace, or matching selectors). `synced` is an asyncio.Event, set once
    the first full fetch is in the store and the handlers have seen it.

    Handlers are called in the loop, in the server's order, after the store has changed; they must not block. One
    that raises is logged, and the others go on. `transform` may cut an object down before it is stored.
    """

    def __init__(
        self,
        client: Client,
        res: Resource,
        *,
        namespace: str | None = None,
        field_selector: str | None = None,
        label_selector: str | None = None,
        transform: Transform | None = None,
        clock: Clock = SYSTEM,
        random: Random | None = None,
    ) -> None:
        self.resource = res
        self.store = Store()
        self.synced = asyncio.Event()
        self.last_resource_version = ""
        self.unreachable = ""
        """Why the server cannot be reached at present: what is in the store is its last word."""
        self._client = client
        self._scope: dict[str, Any] = {
            "namespace": namespace,
            "field_selector": field_selector,
            "label_selector": label_selector,
        }
        self._transform = transform
        self._clock = clock
        self._random = random if random is not None else Random()
        self._handlers: list[Handler] = []
        self._watch_list = True

    def add_handler(
        self, on_add: OnAdd | None = None, on_update: OnUpdate | None = None, on_delete: OnDelete | None = None
    ) -> None:
        """A handler that comes late is told of everything that is already in the store."""
        handler = Handler(on_add, on_update, on_delete)
        self._handlers.append(handler)
        if on_add is not None:
            for obj in self.store.list():
                self._call(on_add, obj)

    async def run(self) -> None:
        """Follow the server until cancelled. Losing it is no failure: it is looked for again."""
        backoff = Backoff(self._random)
        while True:
            try:
                if not self.last_resource_version:
                    await self._fetch()
                    backoff.reset()
                await self._follow(backoff)
            except ApiError as error:
                if error.code == 410:
                    self.last_resource_version = ""
                    continue
                log.warning("failed to list or watch %s: %s", self.resource.group_resource, error)
                await self._clock.sleep(backoff.next())
            except Unreachable as error:
                log.debug("%s: %s", self.resource.group_resource, error)
                self.unreachable = str(error)
                await self._clock.sleep(backoff.next())

    # --- 1: fetch everything

    async def _fetch(self) -> None:
        if self._watch_list:
            try:
                await self._fetch_by_watch()
                return
            except ApiError as error:
                if error.code in (401, 403, 404, 410, 429):
                    raise
                # An older server does not know sendInitialEvents; one over an old etcd cannot do it.
                self._watch_list = False
        await self._fetch_by_list()

    async def _fetch_by_watch(self) -> None:
        """Initial events and all later changes in one stream; here only up to the bookmark between the two."""
        objects: dict[Key, Obj] = {}
        watch = self._client.watch(
            self.resource, send_initial_events=True, timeout_seconds=self._timeout(), **self._scope
        )
        async with watch:
            async for kind, obj in watch:
                if kind == "BOOKMARK":
                    if (obj["metadata"].get("annotations") or {}).get(INITIAL_EVENTS_END) == "true":
                        self._replace(objects, obj["metadata"]["resourceVersion"])
                        await self._changes(watch)
                        return
                elif kind == "DELETED":
                    objects.pop(key_of(obj), None)
                else:
                    objects[key_of(obj)] = self._kept(obj)
        raise Unreachable(f"watch of {self.resource.group_resource} ended before its initial events")

    async def _fetch_by_list(self) -> None:
        found = await self._client.list(self.resource, resource_version="0", **self._scope)
        self._replace({key_of(obj): self._kept(obj) for obj in found["items"]}, found["metadata"]["resourceVersion"])

    def _replace(self, objects: dict[Key, Obj], resource_version: str) -> None:
        for key in self.store.keys():  # noqa: SIM118  a copy: the store changes below
            if key not in objects:
                self._removed(key)
        for key, obj in objects.items():
            self._put(key, obj)
        self.last_resource_version, self.unreachable = resource_version, ""
        self.synced.set()

    # --- 2: follow the changes

    async def _follow(self, backoff: Backoff) -> None:
        seen, began = self.last_resource_version, self._clock.monotonic()
        watch = self._client.watch(self.resource, resource_version=seen, timeout_seconds=self._timeout(), **self._scope)
        async with watch:
            self.unreachable = ""
            try:
                await self._changes(watch)
            finally:
                healthy = self.last_resource_version != seen or self._clock.monotonic() - began > 1.0
                if healthy:
                    backoff.reset()
        if not healthy:
            await self._clock.sleep(backoff.next())

    async def _changes(self, watch: Watch) -> None:
        async for kind, obj in watch:
            if kind == "DELETED":
                self._removed(key_of(obj), obj)
            elif kind != "BOOKMARK":
                self._put(key_of(obj), self._kept(obj))
            self.last_resource_version = obj["metadata"]["resourceVersion"]
            if trace.enabled() and kind != "BOOKMARK":
                self._tell(kind, obj["metadata"])

    def _tell(self, kind: str, metadata: dict[str, Any]) -> None:
        trace.emit(
            "informer.event",
            type=kind,
            kind=self.resource.kind,
            namespace=metadata.get("namespace", ""),
            name=metadata["name"],
            version=metadata["resourceVersion"],
        )

    def _timeout(self) -> int:
        """5 to 10 minutes, by chance, so that the watches of a cluster do not all end at once."""
        return 300 + int(self._random.random() * 300)

    # --- 3: the store and the handlers

    def _kept(self, obj: Obj) -> Obj:
        if "kind" not in obj:
            obj = {"apiVersion": self.resource.api_version, "kind": self.resource.kind, **obj}
        return self._transform(obj) if self._transform is not None else obj

    def _put(self, key: Key, obj: Obj) -> None:
        old = self.store.get(key)
        if old is not None and old["metadata"].get("resourceVersion") == obj["metadata"].get("resourceVersion"):
            return  # a relist saw it again
        self.store.put(key, obj)
        for handler in self._handlers:
            if old is None:
                if handler.on_add is not None:
                    self._call(handler.on_add, obj)
            elif handler.on_update is not None:
                self._call(handler.on_update, old, obj)

    def _removed(self, key: Key, last: Obj | None = None) -> None:
        old = self.store.remove(key)
        if old is None:
            return
        for handler in self._handlers:
            if handler.on_delete is not None:
                self._call(handler.on_delete, self._kept(last) if last is not None else old)

    def _call(self, function: Callable[..., None], *objects: Obj) -> None:
        try:
            function(*objects)
        except Exception:  # one controller's mistake must not blind the others
            log.exception("a handler of %s failed", self.resource.group_resource)


class InformerFactory:
    """One informer for each resource and selection, shared by all who ask for it."""

    def __init__(self, client: Client, *, clock: Clock = SYSTEM, random: Random | None = None) -> None:
        self._client = client
        self._clock = clock
        self._random = random if random is not None else Random()
        self._informers: dict[tuple[object, ...], Informer] = {}
        self._tasks: dict[tuple[object, ...], asyncio.Task[None]] = {}

    def informer(
        self,
        res: Resource,
        *,
        namespace: str | None = None,
        field_selector: str | None = None,
        label_selector: str | None = None,
        transform: Transform | None = None,
    ) -> Informer:
        """`transform` counts only for whoever asks first."""
        key = (res.group, res.version, res.plural, namespace, field_selector, label_selector)
        if key not in self._informers:
            self._informers[key] = Informer(
                self._client,
                res,
                namespace=namespace,
                field_selector=field_selector,
                label_selector=label_selector,
                transform=transform,
                clock=self._clock,
                random=self._random,
            )
        return self._informers[key]

    def start(self) -> None:
        """Run those that do not run yet. Call it again after asking for more."""
        for key, informer in self._informers.items():
            if key not in self._tasks:
                self._tasks[key] = asyncio.get_running_loop().create_task(informer.run())

    async def wait_for_sync(self) -> None:
        """Until every informer asked for so far has its first full fetch. Raises what ended one that ended."""
        waits = [asyncio.ensure_future(i.synced.wait()) for i in self._informers.values()]
        everything: asyncio.Future[Any] = asyncio.gather(*waits)
        try:
            running: list[asyncio.Future[Any]] = [everything, *self._tasks.values()]
            await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in self._tasks.values():
                if task.done():
                    task.result()
            await everything
        finally:
            everything.cancel()

    async def forget(self, res: Resource) -> None:
        """Stop following a resource that the server no longer serves."""
        for key in [k for k in self._informers if k[:3] == (res.group, res.version, res.plural)]:
            del self._informers[key]
            if (task := self._tasks.pop(key, None)) is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    async def stop(self) -> None:
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        self._tasks.clear()
