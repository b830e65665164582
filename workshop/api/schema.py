"""Schemas: what fields a kind has and of which Go type, out of the committed tables (`tables/types/PACKAGE.json`).

A `Schema` is one Go struct with its fields flattened as JSON shows them. A table is read when one of its structs is
first asked for, so a component that never validates never pays for it.

>>> pod = for_kind("v1", "Pod")
>>> containers = pod.fields["spec"].type.schema.fields["containers"]
>>> containers.type.kind, containers.merge_key, containers.type.schema.name
('list', 'name', 'Container')

Reading JSON by a schema (strict checks, canonical forms) is in `reading.py`, defaults are in `defaults`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache, cached_property, lru_cache
from pkgutil import get_data
from typing import Any

# Go types that read and write their own JSON: their kind here.
SPECIAL = {
    "meta.v1.Time": "time",
    "meta.v1.MicroTime": "microtime",
    "meta.v1.FieldsV1": "raw",
    "resource.Quantity": "quantity",
    "intstr.IntOrString": "int-or-string",
    "runtime.RawExtension": "raw",
    "types.UID": "string",
    "types.NodeName": "string",
    "apiextensions.v1.JSON": "any",
    "apiextensions.v1.JSONSchemaPropsOrArray": "schema-or-array",
    "apiextensions.v1.JSONSchemaPropsOrBool": "schema-or-bool",
    "apiextensions.v1.JSONSchemaPropsOrStringArray": "schema-or-strings",
}
BASIC = {
    "string": "string",
    "bool": "bool",
    "int": "int64",
    "int32": "int32",
    "int64": "int64",
    "float64": "double",
    "struct{}": "struct",
}
ROOTS = {  # API group → Go package, where it is not the group's first label
    "": "core",
    "rbac.authorization.k8s.io": "rbac",
    "flowcontrol.apiserver.k8s.io": "flowcontrol",
    "internal.apiserver.k8s.io": "apiserverinternal",
    "meta.k8s.io": "meta",
}


@dataclass(frozen=True, slots=True)
class Type:
    """`kind` is string, bool, int32, int64, double, bytes, struct, list, map, time, microtime, quantity, int-or-string,
    raw (any object, kept as it is), any (any JSON) or a schema-or-… union of apiextensions. `go` is how Go's errors
    write it (`[]v1.Container`, `v1.RestartPolicy`); `pointer` tells unset from zero."""

    kind: str
    go: str
    pointer: bool = False
    element: Type | None = None
    struct: tuple[str, str] | None = None

    @property
    def schema(self) -> Schema | None:
        """Of a struct, or of the elements of a list or map of structs."""
        if self.struct is not None:
            return load(*self.struct)
        return self.element.schema if self.element is not None else None


@dataclass(frozen=True, slots=True)
class Field:
    name: str
    type: Type
    number: int = 0
    """In protobuf; 0 for those that are not sent (inlined TypeMeta)."""
    omitempty: bool = False
    omitzero: bool = False
    required: bool = False
    list_type: str = ""
    """`atomic`, `set` or `map`, as server-side apply merges."""
    map_keys: tuple[str, ...] = ()
    map_type: str = ""
    patch_strategy: tuple[str, ...] = ()
    """`merge`, `replace`, `retainKeys`, as a strategic merge patch does."""
    merge_key: str = ""
    enum: tuple[str, ...] = ()
    default: Any = None

    @property
    def schema(self) -> Schema | None:
        return self.type.schema


@dataclass(frozen=True, eq=False)
class Schema:
    """One struct. `rows` are its fields as Go declares them (an embedded struct is a `+Name` row), for protobuf."""

    package: str
    name: str
    rows: tuple[Field, ...] = field(repr=False)
    map_type: str = ""

    @property
    def go(self) -> str:
        """As Go prints the type: `v1.Deployment`."""
        return f"{self.package.rpartition('.')[2]}.{self.name}"

    @cached_property
    def fields(self) -> dict[str, Field]:
        """JSON name → field, embedded structs flattened, in Go's order (which is that of the server's answers)."""
        return dict(self._flat())

    @cached_property
    def places(self) -> dict[str, int]:
        """JSON name → where the field stands in Go's order."""
        return {name: place for place, name in enumerate(self.fields)}

    @cached_property
    def embedded(self) -> dict[str, tuple[str, ...]]:
        """JSON name → the embedded structs that it comes from, as Go's errors tell the way: `("VolumeSource",)`."""
        found: dict[str, tuple[str, ...]] = {}
        for row in self.rows:
            if row.name.startswith("+") and (inner := row.type.schema) is not None:
                for name in inner.fields:
                    found[name] = (inner.name, *inner.embedded.get(name, ()))
        return found

    def _flat(self) -> Iterator[tuple[str, Field]]:
        for row in self.rows:
            if not row.name.startswith("+"):
                yield row.name, row
            elif (embedded := row.type.schema) is not None:
                yield from embedded.fields.items()

    @cached_property
    def by_number(self) -> dict[int, Field]:
        return {row.number: row for row in self.rows if row.number}

    def field_at(self, path: str) -> Field | None:
        """The field at a dotted path, through lists and maps: `spec.template.spec.containers`."""
        schema: Schema | None = self
        found = None
        for name in path.split("."):
            found = schema.fields.get(name) if schema else None
            if found is None:
                return None
            schema = found.schema
        return found


_PACKAGE = re.compile("[a-z0-9]{1,63}[.][a-z0-9]{1,63}", re.ASCII)
"""The name becomes a part of a path, and it may come from a client."""


@lru_cache(maxsize=512)
def _package(package: str) -> dict[str, Any] | None:
    if not _PACKAGE.fullmatch(package):
        return None
    try:
        text = get_data("workshop.api.tables", f"types/{package}.json")
    except FileNotFoundError:
        return None
    return json.loads(text) if text else None


@lru_cache(maxsize=8192)
def load(package: str, name: str) -> Schema | None:
    """The struct `name` of a Go package such as `core.v1` or `meta.v1`."""
    table = _package(package)
    if table is None:
        return None
    rows = table["structs"].get(name)
    if rows is None:
        elsewhere = table["names"].get(name, "")
        return load(*elsewhere.rsplit(".", 1)) if elsewhere.count(".") == 2 else None
    fields = tuple(_field(package, key, row) for key, row in rows.items() if key != "#")
    return Schema(package, name, fields, rows.get("#", {}).get("map", ""))


def _field(package: str, name: str, row: list[Any]) -> Field:
    go_type, number, flags, more = (*row, "", {})[:4] if len(row) < 4 else row
    flags, more = flags or "", more or {}
    return Field(
        name=name,
        type=parse_type(package, go_type),
        number=number,
        omitempty="o" in flags,
        omitzero="z" in flags,
        required="r" in flags,
        list_type=more.get("list", ""),
        map_keys=tuple(more.get("keys", ())),
        map_type=more.get("map", ""),
        patch_strategy=tuple(s for s in more.get("strategy", "").split(",") if s),
        merge_key=more.get("merge", ""),
        enum=tuple(more.get("enum", ())),
        default=more.get("default"),
    )


@cache
def parse_type(package: str, go: str) -> Type:
    """`*int32`, `[]Container`, `map[string]resource.Quantity`, `meta.v1.LabelSelector` as seen from `package`."""
    if go.startswith("*"):
        inner = parse_type(package, go[1:])
        return Type(inner.kind, inner.go, True, inner.element, inner.struct)
    if go == "[]byte":
        return Type("bytes", "[]uint8")
    if go.startswith("[]"):
        element = parse_type(package, go[2:])
        return Type("list", f"[]{_starred(go[2:], element)}", element=element)
    if go.startswith("map["):
        key, _, value = go[4:].partition("]")
        element = parse_type(package, value)
        return Type("map", f"map[{parse_type(package, key).go}]{_starred(value, element)}", element=element)
    if go in BASIC:
        return Type(BASIC[go], go)
    return _named(*(go.rsplit(".", 1) if "." in go else (package, go)))


def _starred(go: str, element: Type) -> str:
    return "*" + element.go if go.startswith("*") else element.go


def _named(package: str, name: str) -> Type:
    go = f"{package.rpartition('.')[2]}.{name}"
    if special := SPECIAL.get(f"{package}.{name}"):
        return Type(special, go)
    table = _package(package)
    if table is not None and name not in table["structs"] and name in table["names"]:
        under = parse_type(package, table["names"][name])
        alias = table["names"][name].count(".") == 2
        return Type(under.kind, under.go if alias else go, False, under.element, under.struct)
    return Type("struct", go, struct=(package, name))


def package_of(api_version: str) -> str:
    """API version → Go package: `apps/v1` → `apps.v1`, `v1` → `core.v1`, `events.k8s.io/v1` → `events.v1`."""
    group, _, version = api_version.rpartition("/")
    return f"{ROOTS.get(group, group.partition('.')[0])}.{version}"


def prefix(package: str) -> str:
    """OpenAPI's name of a Go package: `core.v1` → `io.k8s.api.core.v1`."""
    table = _package(package)
    return str(table["prefix"]) if table else package


# Kinds that any group serves, from meta/v1.
COMMON = {"DeleteOptions", "CreateOptions", "UpdateOptions", "PatchOptions", "GetOptions", "ListOptions", "WatchEvent"}


def for_kind(api_version: str, kind: str) -> Schema | None:
    """Schema of a kind, its lists and meta/v1's own kinds included; None for one that is not built in."""
    return None if len(kind) > LONGEST or len(api_version) > LONGEST else _for_kind(api_version, kind)


LONGEST = 253
"""Characters of a name that is looked up at all: what clients make up must not fill the memory."""


@lru_cache(maxsize=4096)
def _for_kind(api_version: str, kind: str) -> Schema | None:
    if kind in COMMON:
        return load("meta.v1", kind)
    found = load(package_of(api_version), kind)
    if found is None and api_version in ("v1", "meta.k8s.io/v1"):
        return load("meta.v1", kind)
    return found
