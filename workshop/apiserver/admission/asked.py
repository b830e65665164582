"""What webhooks and policies share: the configurations that are there, cheaply, and the object in another version."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar
from uuid import UUID

from workshop.api import decode, defaults
from workshop.api.meta import Obj
from workshop.api.resources import Resource, resource
from workshop.apiserver.admission.plugin import Plugin
from workshop.apiserver.admission.selecting import ADMISSION_KINDS, namespace_matches, objects_match
from workshop.apiserver.interfaces import AdmissionRequest, Context

NAMESPACES = resource("namespaces")
T = TypeVar("T")


class Configured(Generic[T]):
    """The objects of a kind, each read once a version. Nothing is done while there are none."""

    def __init__(self, context: Context, kind: str, read: Callable[[Obj], T]) -> None:
        self._context, self._kind, self._read = context, resource(kind), read
        self._known: dict[str, tuple[int, T]] = {}

    @property
    def any(self) -> bool:
        return bool(self._context.shelf(self._kind))

    def all(self) -> list[T]:
        """In the order of their names."""
        shelf = self._context.shelf(self._kind)
        for key in self._known.keys() - shelf.keys():
            del self._known[key]
        found = []
        for key, stored in shelf.items():
            known = self._known.get(key)
            if known is None or known[0] != stored.revision:
                known = self._known[key] = (stored.revision, self._read(stored.obj))
            found.append(known[1])
        return found


class Asked(Plugin):
    """A plugin that asks what the cluster's own configuration says. It sees all that is written but that itself."""

    operations = ("CREATE", "UPDATE", "DELETE", "CONNECT")
    subresources = ("*",)
    configured: Configured[Any]

    def sees(self, request: AdmissionRequest) -> bool:
        return self.configured.any and request.resource.group_resource not in ADMISSION_KINDS

    async def namespace_of(self, request: AdmissionRequest) -> Obj | None:
        name = request.namespace or (request.name if request.resource.group_resource == "namespaces" else "")
        return await self.context.get(NAMESPACES, name) if name else None

    def selected(self, selectors: Obj, request: AdmissionRequest, namespace: Obj | None) -> bool:
        """By `namespaceSelector` and `objectSelector`."""
        return namespace_matches(selectors.get("namespaceSelector"), request, namespace) and objects_match(
            selectors.get("objectSelector"), request
        )

    async def shown(self, request: AdmissionRequest, as_: Resource) -> tuple[Obj | None, Obj | None]:
        """(new, old) in the version of `as_`."""
        found = []
        for obj in (request.object or None, request.old_object):
            found.append(obj if obj is None or as_ is request.resource else await self._in_version(obj, as_))
        return found[0], found[1]

    async def _in_version(self, obj: Obj, to: Resource) -> Obj:
        return await self.context.in_version(obj, to)

    async def put(self, request: AdmissionRequest, as_: Resource, made: Obj) -> bool:
        """Takes what a webhook or a policy made of the object; whether that changed anything. Raises ApiError."""
        made = reread(as_, made)
        if as_ is not request.resource:
            made = await self._in_version(made, request.resource)
        if made == request.object:
            return False
        request.object = made
        return True

    def uid(self) -> str:
        return str(UUID(int=self.context.random.getrandbits(128), version=4))


def reread(kind: Resource, obj: Obj) -> Obj:
    """An object that was patched as JSON, read by its schema and filled in again. Raises ApiError."""
    if kind.definition is not None:
        return kind.definition.filled(kind.definition.decode(obj, "Ignore")[0])
    return defaults.apply(kind, decode.decode_value(kind.api_version, kind.kind, obj, "Ignore")[0])
