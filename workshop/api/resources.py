"""The resources that a Kubernetes 1.36 API server knows: what `kubectl api-resources` prints, and how each is stored.

The table is committed (`tables/resources.json`, taken from a real server's discovery) and read once, on first use.
Custom resources are `Resource` values too: whoever learns of a CustomResourceDefinition makes one. What one server
serves now, both together, is a `Registry`.

>>> resource("deploy.apps").path("default", "web", "scale")
'/apis/apps/v1/namespaces/default/deployments/web/scale'
>>> resource("nodes").storage_key(None, "node-1")
'/registry/minions/node-1'
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pkgutil import get_data
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workshop.api.custom.kind import CustomKind

ALL_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


@dataclass(frozen=True, slots=True)
class Subresource:
    """`pods/eviction` takes an Eviction of policy/v1; `deployments/status` a Deployment of its own group."""

    name: str
    group: str
    version: str
    kind: str
    verbs: tuple[str, ...]

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource in one version. `storage_prefix` is what stands between `/registry/` and the namespace."""

    group: str
    version: str
    kind: str
    plural: str
    singular: str = ""
    namespaced: bool = True
    verbs: tuple[str, ...] = ALL_VERBS
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    subresources: tuple[Subresource, ...] = ()
    storage_prefix: str = ""
    storage_group: str = ""
    storage_version: str = ""
    persisted: bool = True
    """False for what is only posted and answered (reviews, bindings) or computed (component statuses)."""
    served_by_default: bool = True
    storage_version_hash: str = ""
    list_kind: str = ""
    custom: bool = False
    definition: CustomKind | None = None
    """Of a custom resource that this server serves: what its CustomResourceDefinition says."""

    def __post_init__(self) -> None:
        def default(name: str, value: str) -> None:
            if not getattr(self, name):
                object.__setattr__(self, name, value)

        default("singular", self.kind.lower())
        default("list_kind", self.kind + "List")
        default("storage_prefix", f"{self.group}/{self.plural}" if self.custom else self.plural)
        if not self.storage_version:
            object.__setattr__(self, "storage_group", self.group)
            object.__setattr__(self, "storage_version", self.version)

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def group_resource(self) -> str:
        """`pods`, `deployments.apps`: as upstream's error texts name a resource."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def storage_api_version(self) -> str:
        return f"{self.storage_group}/{self.storage_version}" if self.storage_group else self.storage_version

    def subresource(self, name: str) -> Subresource | None:
        return next((sub for sub in self.subresources if sub.name == name), None)

    def path(self, namespace: str | None = None, name: str | None = None, subresource: str | None = None) -> str:
        """URL path of a collection, an object or a subresource. `namespace` is ignored for cluster-scoped resources."""
        parts = ["/apis", self.group, self.version] if self.group else ["/api", self.version]
        if namespace and self.namespaced:
            parts += ["namespaces", namespace]
        parts += [self.plural, *((name,) if name else ()), *((subresource,) if subresource else ())]
        return "/".join(parts)

    def storage_key(self, namespace: str | None = None, name: str | None = None) -> str:
        """The key in etcd. Without a name: the prefix of a namespace or of the whole resource, with its final slash."""
        key = f"/registry/{self.storage_prefix}/"
        if self.namespaced and namespace:
            key += namespace + "/"
        return key + (name or "")


def storage_version_hash(group: str, version: str, kind: str) -> str:
    """Upstream's StorageVersionHash (apiserver/pkg/endpoints/discovery/storageversionhash.go)."""
    return base64.b64encode(hashlib.sha256(f"{group}/{version}/{kind}".encode()).digest()[:8]).decode()


def _subresource(name: str, group: str, version: str, kind: str, verbs: list[str]) -> Subresource:
    return Subresource(name, group, version, kind, tuple(verbs))


def _from_row(row: dict[str, Any]) -> Resource:
    group, version, kind = row["group"], row["version"], row["kind"]
    stored_group, stored_version = row.get("stored", (group, version))
    persisted = row.get("persisted", True)
    return Resource(
        group=group,
        version=version,
        kind=kind,
        plural=row["plural"],
        singular=row["singular"],
        namespaced=row["namespaced"],
        verbs=tuple(row["verbs"]),
        short_names=tuple(row.get("short_names", ())),
        categories=tuple(row.get("categories", ())),
        subresources=tuple(_subresource(*sub) for sub in row.get("subresources", ())),
        storage_prefix=row.get("prefix", ""),
        storage_group=stored_group,
        storage_version=stored_version,
        persisted=persisted,
        served_by_default=row.get("default", True),
        storage_version_hash=row.get("hash")
        or (storage_version_hash(stored_group, stored_version, kind) if persisted else ""),
    )


@cache
def _table() -> tuple[Resource, ...]:
    text = get_data("workshop.api.tables", "resources.json") or b""
    return tuple(_from_row(row) for row in json.loads(text)["resources"])


@cache
def _by_kind() -> dict[tuple[str, str], Resource]:
    return {(r.api_version, r.kind): r for r in _table()}


@cache
def _by_name() -> dict[str, Resource]:
    """`pods`, `deployments.apps`, `deployments.v1.apps`, singular and short names. The core group and each group's
    preferred version come first in the table, so they win; a full plural wins over anybody's short name."""
    names: dict[str, Resource] = {}
    for column in (lambda r: (r.plural,), lambda r: (r.singular,), lambda r: r.short_names):
        for r in sorted(_table(), key=lambda r: not r.served_by_default):
            for name in column(r):
                names.setdefault(name, r)
                names.setdefault(f"{name}.{r.group}" if r.group else name, r)
                names.setdefault(f"{name}.{r.version}.{r.group}" if r.group else f"{name}.{r.version}", r)
    return names


def all_resources(every_version: bool = False) -> tuple[Resource, ...]:
    """What is served by default, in discovery's order; with `every_version` also what `--runtime-config` adds."""
    return tuple(r for r in _table() if every_version or r.served_by_default)


def resource(name: str) -> Resource:
    """By plural, singular or short name, with `.group` or `.version.group` if wanted. KeyError when there is none."""
    return _by_name()[name]


def for_kind(api_version: str, kind: str) -> Resource | None:
    return _by_kind().get((api_version, kind))


class Registry:
    """The resources that one server serves: the built-in ones, and those that CustomResourceDefinitions add and take
    away while it runs. `generation` counts these changes: who has made something of all resources looks whether it is
    still true."""

    def __init__(self, built_in: Iterable[Resource] | None = None) -> None:
        self._built_in = tuple(all_resources() if built_in is None else built_in)
        self._custom: dict[str, tuple[Resource, ...]] = {}
        self._found: dict[tuple[str, str, str], Resource] = {}
        self._own_groups = frozenset(r.group for r in self._built_in)
        self.generation = 0
        self.listeners: list[Callable[[], None]] = []
        """Called after each change."""
        self._index()

    def _index(self) -> None:
        self._all = (*self._built_in, *(r for name in sorted(self._custom) for r in self._custom[name]))
        self._found = {(r.group, r.version, r.plural): r for r in self._all}
        self.generation += 1
        for listener in self.listeners:
            listener()

    def __iter__(self) -> Iterator[Resource]:
        return iter(self._all)

    def find(self, group: str, version: str, plural: str) -> Resource | None:
        return self._found.get((group, version, plural))

    def for_kind(self, api_version: str, kind: str) -> Resource | None:
        return next((r for r in self._all if r.kind == kind and r.api_version == api_version), None)

    def is_built_in(self, group: str) -> bool:
        return group in self._own_groups

    def put(self, name: str, resources: Iterable[Resource]) -> None:
        """What the definition `name` serves now, its versions in discovery's order; nothing takes it away."""
        made = tuple(resources)
        if made == self._custom.get(name, ()):
            return
        if made:
            self._custom[name] = made
        else:
            del self._custom[name]
        self._index()


def group_versions(resources: Iterable[Resource] | None = None) -> dict[str, list[str]]:
    """Group → its versions, preferred one first, in discovery's order ("" is the core group)."""
    groups: dict[str, list[str]] = {}
    for r in all_resources() if resources is None else resources:
        versions = groups.setdefault(r.group, [])
        if r.version not in versions:
            versions.append(r.version)
    return groups
