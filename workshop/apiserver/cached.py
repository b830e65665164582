"""What the rooms around the registry see of the watch cache: objects by name for admission, a feed for indexes."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from random import Random
from typing import Any, Protocol

from workshop.api import errors
from workshop.api.meta import Obj, copy
from workshop.api.resources import Registry, Resource, resource
from workshop.apiserver.bootstrap.run import encode
from workshop.apiserver.extensions.conversion import Conversion
from workshop.apiserver.interfaces import Authorizer
from workshop.apiserver.registry.convert import convert
from workshop.apiserver.storage.interface import Conflict, Storage
from workshop.apiserver.webhooks import addresses
from workshop.apiserver.webhooks.client import WebhookClient
from workshop.clock import Clock


class Cache(Protocol):
    """Of the watch cache (`cacher.Cacher`) what is needed here."""

    revision: int

    def shelf(self, prefix: str) -> Any: ...

    def watch(self, prefix: str, revision: int) -> tuple[list[Any], Any]: ...

    async def wait_until(self, revision: int) -> None: ...


class CachedContext:
    """What plugins may use, over the watch cache and the store."""

    def __init__(
        self, cache: Cache, storage: Storage, served: Registry, authorizer: Authorizer, clock: Clock, random: Random
    ) -> None:
        self._cache = cache
        self._storage = storage
        self.served = served
        self.authorizer = authorizer
        self.clock = clock
        self.random = random
        self.webhooks = WebhookClient(addresses.Services(self.get, self.list, random))
        self.conversion = Conversion(self.webhooks, random.getrandbits)

    async def get(self, resource: Resource, name: str, namespace: str = "") -> Obj | None:
        stored = self._cache.shelf(resource.storage_key()).items.get(resource.storage_key(namespace or None, name))
        return stored.obj if stored is not None else None

    async def get_live(self, resource: Resource, name: str, namespace: str = "") -> Obj | None:
        found = await self._storage.get(resource.storage_key(namespace or None, name))
        if found is None:
            return None
        obj: Obj = json.loads(found.value)
        obj["metadata"]["resourceVersion"] = str(found.mod_revision)
        return obj

    async def list(self, resource: Resource, namespace: str = "") -> list[Obj]:
        shelf = self._cache.shelf(resource.storage_key())
        return [stored.obj for stored in shelf.under(resource.storage_key(namespace or None))]

    def shelf(self, resource: Resource) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self._cache.shelf(resource.storage_key()).items
        return found

    async def in_version(self, obj: Obj, to: Resource) -> Obj:
        if to.definition is None:
            return convert(obj, to.api_version)
        (made,) = await self.conversion.convert(to.definition, [copy(obj)], to.api_version)
        return to.definition.taken(made)

    async def update_status(self, resource: Resource, obj: Obj) -> bool:
        metadata = obj["metadata"]
        key = resource.storage_key(metadata.get("namespace"), metadata["name"])
        stored = {**obj, "metadata": {k: v for k, v in metadata.items() if k != "resourceVersion"}}
        try:
            await self._storage.update(key, encode(stored), int(metadata["resourceVersion"]))
        except Conflict:
            return False
        return True

    async def by_name(self, plural: str, namespace: str, name: str) -> Obj | None:
        """For tokens: from the cache, and from the store what the cache does not hold (yet)."""
        kind = resource(plural)
        return await self.get(kind, name, namespace) or await self.get_live(kind, name, namespace)


async def feed(
    cache: Cache,
    kind: Resource,
    put: Callable[[str, Obj], None],
    remove: Callable[[str, Obj], None],
    told: Callable[[str], None] = lambda plural: None,
) -> None:
    """Tell an index every object of a kind (then call `told`) and all that happens to them, for ever.

    A watcher that was cut off (the cache was built anew) begins again, and what vanished meanwhile is removed. The
    first objects are told before anything is waited for.
    """
    prefix = kind.storage_key()
    known: dict[str, Obj] = {}
    while True:
        while cache.revision == 0:  # the cache is being filled
            try:
                await cache.wait_until(1)
            except errors.ApiError:
                continue
        current = {key: stored.obj for key, stored in cache.shelf(prefix).items.items()}
        for key in known.keys() - current.keys():
            remove(kind.plural, known[key])
        for obj in current.values():
            put(kind.plural, obj)
        known = {key: _identity(obj) for key, obj in current.items()}
        told(kind.plural)
        changes, watcher = cache.watch(prefix, cache.revision)
        while True:
            for change in changes:
                if change.type == "DELETED":
                    remove(kind.plural, change.new.obj)
                    known.pop(change.new.key, None)
                else:
                    put(kind.plural, change.new.obj)
                    known[change.new.key] = _identity(change.new.obj)
            if watcher.cut:
                break
            changes = await watcher.next(None)


def _identity(obj: Obj) -> Obj:
    metadata = obj["metadata"]
    return {"metadata": {key: metadata[key] for key in ("name", "namespace") if key in metadata}}
