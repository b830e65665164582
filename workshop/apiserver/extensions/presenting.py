"""Stored custom resources in the version that a request asks for: converted, pruned and defaulted by its schema.

What was made once is kept for the readers and watchers that come after (an object's version never changes again).
Built-in kinds pass through untouched. Upstream: the codec of `crdHandler.getOrCreateServingInfoFor`.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from workshop.api.custom.kind import CustomKind
from workshop.api.meta import Obj
from workshop.api.resources import Resource
from workshop.apiserver.shelf import Change, Stored

from .conversion import Conversion

KEPT = 2_000
"""Objects in a version that are kept over all kinds."""
_encode = msgspec.json.Encoder(order="sorted").encode


class Presenter:
    def __init__(self, conversion: Conversion) -> None:
        self._conversion = conversion
        self._made: dict[tuple[CustomKind, str, int], Stored] = {}

    async def served(self, resource: Resource, items: Iterable[Stored]) -> list[Stored]:
        """Raises ApiError 500 when a webhook fails."""
        kind = resource.definition
        if kind is None:
            return list(items)
        wanted = list(items)
        found = [self._made.get((kind, each.key, each.revision)) for each in wanted]
        missing = [index for index, each in enumerate(found) if each is None]
        if missing:
            objects = [wanted[index].obj for index in missing]
            made = await self._conversion.convert(kind, objects, resource.api_version)
            for index, obj in zip(missing, made, strict=True):
                found[index] = self._keep(kind, wanted[index], kind.taken(obj))
        return [each for each in found if each is not None]

    async def one(self, resource: Resource, item: Stored) -> Stored:
        return (await self.served(resource, [item]))[0] if resource.definition is not None else item

    async def changes(self, resource: Resource, changes: list[Change]) -> list[Change]:
        """The same for what a watch tells."""
        if resource.definition is None or not changes:
            return changes
        news = await self.served(resource, [change.new for change in changes])
        olds = iter(await self.served(resource, [change.old for change in changes if change.old is not None]))
        return [
            Change(change.revision, change.type, new, next(olds) if change.old is not None else None)
            for change, new in zip(changes, news, strict=True)
        ]

    async def stored(self, resource: Resource, obj: Obj) -> Obj:
        """An object as it is to be stored: in the storage version."""
        if resource.definition is None:
            return obj
        return (await self._conversion.convert(resource.definition, [obj], resource.storage_api_version))[0]

    def _keep(self, kind: CustomKind, item: Stored, obj: Obj) -> Stored:
        metadata = {name: value for name, value in obj["metadata"].items() if name != "resourceVersion"}
        made = Stored(item.key, _encode({**obj, "metadata": metadata}), item.revision)
        while len(self._made) >= KEPT:
            del self._made[next(iter(self._made))]
        self._made[kind, item.key, item.revision] = made
        return made
