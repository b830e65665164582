"""The cache behind an informer: objects by key, and indexes. Upstream: `client-go/tools/cache/thread_safe_store.go`."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from workshop import trace
from workshop.api import meta
from workshop.api.meta import Key, Obj

IndexFunc = Callable[[Obj], Iterable[str]]
Objs = list[Obj]
Keys = list[Key]


def by_namespace(obj: Obj) -> Iterable[str]:
    return (meta.namespace(obj) or "",)


def by_node_name(obj: Obj) -> Iterable[str]:
    """Of pods: the node they are bound to; "" while they are not scheduled."""
    return (obj["spec"].get("nodeName") or "",)


class Store:
    """Objects as the server sent them. They are shared: never change one.

    An index maps a value to the keys of the objects that have it, and is kept up to date by each change:

        store.add_index("node", by_node_name)
        store.by_index("node", "node-1")      # → the pods on node-1
    """

    def __init__(self) -> None:
        self._objects: dict[Key, Obj] = {}
        self._functions: dict[str, IndexFunc] = {}
        self._indexes: dict[str, dict[str, dict[Key, None]]] = {}
        self.add_index("namespace", by_namespace)

    def add_index(self, name: str, function: IndexFunc) -> None:
        """Idempotent: several controllers may ask for the same index of a shared informer."""
        if name in self._functions:
            return
        self._functions[name] = function
        self._indexes[name] = {}
        for key, obj in self._objects.items():
            self._enter(name, key, obj)

    def get(self, key: Key) -> Obj | None:
        found = self._objects.get(key)
        if found is not None and trace.enabled():
            trace.read(found)
        return found

    def list(self) -> Objs:
        return [*self._objects.values()]

    def keys(self) -> Keys:
        return [*self._objects]

    def by_index(self, name: str, value: str) -> Objs:
        """In the order of arrival. KeyError for an index that nobody has added."""
        found = [self._objects[key] for key in self._indexes[name].get(value, ())]
        if trace.enabled():
            for obj in found:
                trace.read(obj)
        return found

    def index_values(self, name: str) -> Iterable[str]:
        return [*self._indexes[name]]

    def __len__(self) -> int:
        return len(self._objects)

    def __contains__(self, key: object) -> bool:
        return key in self._objects

    # --- only the informer writes

    def put(self, key: Key, obj: Obj) -> Obj | None:
        """Returns the object that was there before."""
        old = self._objects.get(key)
        if old is not None:
            for name in self._functions:
                self._leave(name, key, old)
        self._objects[key] = obj
        for name in self._functions:
            self._enter(name, key, obj)
        return old

    def remove(self, key: Key) -> Obj | None:
        old = self._objects.pop(key, None)
        if old is not None:
            for name in self._functions:
                self._leave(name, key, old)
        return old

    def _enter(self, name: str, key: Key, obj: Obj) -> None:
        index = self._indexes[name]
        for value in self._functions[name](obj):
            index.setdefault(value, {})[key] = None

    def _leave(self, name: str, key: Key, obj: Obj) -> None:
        index = self._indexes[name]
        for value in self._functions[name](obj):
            keys = index.get(value)
            if keys is not None:
                keys.pop(key, None)
                if not keys:
                    del index[value]
