"""Who manages which field: `metadata.managedFields`.

Each entry names a manager, what it did (`Apply` or `Update`), in which API version, through which subresource, when,
and which fields that gave it. Every write goes through `track_update`; an apply through `apply.apply`.

Upstream: `apimachinery/pkg/util/managedfields/internal`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from workshop.api import meta
from workshop.api.meta import Obj
from workshop.api.patch import fieldset, typed, walk
from workshop.api.patch.fieldset import Trie
from workshop.api.patch.resets import Filter, nothing
from workshop.api.patch.typed import ANY, Node
from workshop.api.schema import Schema
from workshop.clock import parse_rfc3339, rfc3339

MAX_UPDATE_MANAGERS = 10
"""Beyond it the oldest updates are put together under `ancient-changes`."""
ANCIENT = "ancient-changes"
BEFORE_FIRST_APPLY = "before-first-apply"

STRIPPED = fieldset.of(
    ("apiVersion",),
    ("kind",),
    ("metadata",),
    *(("metadata", name) for name in ("name", "namespace", "creationTimestamp", "selfLink", "uid", "clusterName")),
    *(("metadata", name) for name in ("generation", "managedFields", "resourceVersion")),
)
"""Fields that nobody manages."""


class Manager(NamedTuple):
    """Whom an entry belongs to. `api_version` is "" for appliers: an apply in a new version is the same manager's."""

    name: str
    operation: str
    api_version: str = ""
    subresource: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    fields: Trie
    api_version: str
    time: str = ""

    @property
    def seconds(self) -> float:
        return parse_rfc3339(self.time) if self.time else 0.0


Managed = dict[Manager, Entry]
Types = Schema | Node | None
"""The type of an object: a built-in kind's schema, a custom resource's node (`typed.of_custom`), or None."""


def root_of(types: Types) -> Node:
    if isinstance(types, Schema):
        return typed.of_schema(types)
    return types or ANY


def blank_of(types: Types) -> dict[str, Any]:
    return typed.blank(types) if isinstance(types, Schema) else {}


# --- on the wire -----------------------------------------------------------------------------------------------------


def decode(entries: Iterable[dict[str, Any]]) -> Managed:
    """Raises ValueError for entries that make no sense."""
    managed: Managed = {}
    for i, entry in enumerate(entries):
        operation = entry.get("operation", "")
        if operation not in ("Apply", "Update"):
            raise ValueError("operation must be `Apply` or `Update`")
        version = entry.get("apiVersion", "")
        if not version:
            raise ValueError("apiVersion must not be empty")
        if entry.get("fieldsType", "") != "FieldsV1":
            kind = entry.get("fieldsType", "")
            what = f'invalid fieldsType "{kind}"' if kind else "missing fieldsType"
            raise ValueError(f"{what} in managed fields entry {i}")
        manager = Manager(
            entry.get("manager", ""), operation, "" if operation == "Apply" else version, entry.get("subresource", "")
        )
        managed[manager] = Entry(entry.get("fieldsV1") or {}, version, entry.get("time", ""))
    return managed


def encode(managed: Managed) -> list[dict[str, Any]]:
    """Appliers first, then by time, as upstream sorts. `subresource` only where there is one."""

    def rank(pair: tuple[Manager, Entry]) -> tuple[Any, ...]:
        manager, entry = pair
        return manager.operation, entry.seconds, manager.name, entry.api_version, manager.subresource

    rows = sorted(managed.items(), key=rank) if len(managed) > 1 else managed.items()
    return [_encode(manager, entry) for manager, entry in rows]


def _encode(manager: Manager, entry: Entry) -> dict[str, Any]:
    row: dict[str, Any] = {"manager": manager.name} if manager.name else {}
    row["operation"] = manager.operation
    row["apiVersion"] = entry.api_version
    if entry.time:
        row["time"] = entry.time
    row["fieldsType"] = "FieldsV1"
    row["fieldsV1"] = fieldset.ordered(entry.fields)
    if manager.subresource:
        row["subresource"] = manager.subresource
    return row


def strip(obj: Obj) -> Obj:
    """The object without its managedFields (a shallow copy)."""
    metadata = obj.get("metadata")
    if not metadata or "managedFields" not in metadata:
        return obj
    return {**obj, "metadata": {key: value for key, value in metadata.items() if key != "managedFields"}}


def with_entries(obj: Obj, entries: list[dict[str, Any]]) -> Obj:
    """The object with these managedFields instead of its own (a shallow copy)."""
    metadata = {key: value for key, value in (obj.get("metadata") or {}).items() if key != "managedFields"}
    if entries:
        metadata["managedFields"] = entries
    return {**obj, "metadata": metadata}


def _entries(obj: Obj | None) -> list[dict[str, Any]] | None:
    return meta.metadata(obj).get("managedFields") if obj else None


def _decoded_or_none(obj: Obj | None) -> Managed:
    try:
        return decode(_entries(obj) or ())
    except (ValueError, TypeError, AttributeError):
        return {}


def _before(old: Obj | None, new: Obj, subresource: str) -> Managed | None:
    """The entries that the write starts from. None: the writer empties them (`[]` or `[{}]`), and with that stops
    tracking. A writer that knows nothing of them and leaves them out does not change them."""
    given = _entries(new)
    if not subresource and given is not None:
        if given in ([], [{}]):
            return None
        if sent := _decoded_or_none(new):
            return sent
    return _decoded_or_none(old)


# --- an update -------------------------------------------------------------------------------------------------------


def track_update(
    old: Obj | None,
    new: Obj,
    manager: str,
    schema: Types,
    now: float,
    subresource: str = "",
    reset: Filter = nothing,
) -> list[dict[str, Any]]:
    """The managedFields that `new` is to be stored with. `old` is None at its creation; the objects are not changed.

    What changed now belongs to `manager`, and to none of the others. To be called with `new` decoded and defaulted, but
    before admission: what admission plugins fill in is managed by nobody (as in upstream's handlers).
    """
    managed = _before(old, new, subresource)
    if managed is None:
        managed = {}
    if not managed and old is not None and meta.uid(old):
        return []  # nobody tracked it until now
    base = strip(old) if old is not None else blank_of(schema)
    version = new.get("apiVersion") or ""
    managed = update(base, strip(new), managed, Manager(manager or "unknown", "Update", version, subresource),
                     version, root_of(schema), now, reset)  # fmt: skip
    return encode(managed)


def update(
    old: Obj,
    new: Obj,
    managed: Managed,
    manager: Manager,
    version: str,
    node: Node,
    now: float,
    reset: Filter = nothing,
) -> Managed:
    """The decision behind `track_update`."""
    try:
        changes = walk.compare(old, new, node).without(reset)
    except ValueError:  # a list whose elements have no keys: nobody can say who manages what
        return {}
    gained = fieldset.union(changes.modified, changes.added)
    if not gained and not changes.removed:
        return managed
    result: Managed = {}
    for other, entry in managed.items():
        fields = fieldset.difference(fieldset.difference(entry.fields, gained), changes.removed)
        if fields:
            result[other] = entry if fields == entry.fields else replace(entry, fields=fields)
    mine = fieldset.difference(gained, STRIPPED)
    if mine:
        previous = result.get(manager)
        fields = fieldset.union(mine, previous.fields) if previous else mine
        result[manager] = Entry(fields, version, rfc3339(now))
    return cap(result)


def cap(managed: Managed) -> Managed:
    """At most ten updaters: the oldest of a version are put together until there are no more."""
    updaters = [manager for manager in managed if manager.operation == "Update"]
    too_many = len(updaters) - MAX_UPDATE_MANAGERS
    if too_many <= 0:
        return managed
    result = dict(managed)
    first: dict[str, Manager] = {}
    for manager in sorted(updaters, key=lambda m: (managed[m].seconds, m)):
        if too_many <= 0:
            break
        entry = managed[manager]
        bucket = Manager(ANCIENT, "Update", entry.api_version)
        if entry.api_version not in first:
            first[entry.api_version] = manager
            continue
        if bucket not in result:
            result[bucket] = result.pop(first[entry.api_version])
        del result[manager]
        result[bucket] = Entry(fieldset.union(entry.fields, result[bucket].fields), entry.api_version, entry.time)
        too_many -= 1
    return result
