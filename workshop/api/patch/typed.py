"""What server-side apply asks of a type: is it a scalar, a list or a map, is it merged or taken whole?

A `Node` is made once a field, from a built-in kind's `Schema` or from a custom resource's OpenAPI schema. Where nothing
is known (`ANY`), dicts are merged field by field and lists are taken whole, as upstream's deduced types do.

>>> from workshop.api.schema import for_kind
>>> pod = of_schema(for_kind("v1", "Pod"))
>>> ports = pod.at("spec").at("containers").element.at("ports")
>>> ports.keys, ports.atomic, ports.path_element({"containerPort": 80})
(('containerPort', 'protocol'), False, 'k:{"containerPort":80,"protocol":"TCP"}')
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from workshop.api.patch import fieldset
from workshop.api.resources import Resource
from workshop.api.schema import Field, Schema, Type, for_kind


class Node:
    """`kind` is scalar, list, map or any. An atomic list or map is one value: it is owned and replaced whole."""

    __slots__ = ("_find", "_found", "atomic", "defaults", "element", "keys", "kind", "scalar")

    def __init__(
        self,
        kind: str,
        *,
        atomic: bool = False,
        keys: tuple[str, ...] = (),
        defaults: Mapping[str, Any] | None = None,
        element: Node | None = None,
        find: Callable[[str], Node | None] | None = None,
        scalar: str = "",
    ) -> None:
        self.kind, self.atomic, self.keys = kind, atomic, keys
        self.scalar = scalar
        """Of a scalar: string, numeric or boolean; "" for one that may be any of these, "any" for what a type reads by
        itself."""
        self.defaults = defaults or {}
        """Of a keyed list: what a key is where an element leaves it out."""
        self.element = element
        self._find = find
        self._found: dict[str, Node | None] = {}

    def named(self, name: str) -> Node | None:
        """The declared field of a struct; None for the key of a map."""
        if self._find is None:
            return None
        try:
            return self._found[name]
        except KeyError:
            node = self._found[name] = self._find(name)
            return node

    def at(self, name: str) -> Node:
        return self.named(name) or self.element or ANY

    def path_element(self, item: Any) -> str:
        """How an element of this list is named in a path. Raises ValueError for one that cannot be."""
        if not self.keys:
            if item is None or isinstance(item, (dict, list)):
                raise ValueError("associative list without keys has an element that's a map type")
            return fieldset.value_element(item)
        if not isinstance(item, dict):
            raise ValueError("associative list with keys may not have non-map elements")
        keys = {}
        for key in self.keys:
            value = item.get(key, self.defaults.get(key))
            if value is not None:
                keys[key] = value
        if not keys:
            listed = " ".join(f'"{key}"' for key in self.keys)
            raise ValueError(
                f"associative list with keys has an element that omits all key fields [{listed}] "
                "(and doesn't have default values for any key fields)"
            )
        return fieldset.key_element(keys)


ANY = Node("any")
WHOLE = Node("any", atomic=True)
SCALAR = Node("scalar")
STRING, NUMERIC, BOOLEAN = (Node("scalar", scalar=kind) for kind in ("string", "numeric", "boolean"))
SCALARS = {
    **dict.fromkeys(("string", "bytes"), STRING),
    **dict.fromkeys(("int32", "int64", "double"), NUMERIC),
    "bool": BOOLEAN,
    "int-or-string": Node("scalar", scalar="any"),
}


def types_of(resource: Resource) -> Schema | Node | None:
    """The type of a resource's objects: a built-in kind's schema, a custom one's node, None where nothing is known."""
    if resource.definition is not None:
        return resource.definition.node
    return for_kind(resource.api_version, resource.kind)


@cache
def of_schema(schema: Schema) -> Node:
    """Of a built-in kind, or any struct of it."""

    def find(name: str) -> Node | None:
        if name in ("apiVersion", "kind") and name not in schema.fields:
            return SCALAR
        field = schema.fields.get(name)
        return _of_field(field) if field is not None else None

    return Node("map", atomic=schema.map_type == "atomic", find=find)


def _of_field(field: Field) -> Node:
    kind = field.type.kind
    if kind == "list":
        element = field.type.element
        assert element is not None
        if field.list_type not in ("map", "set"):
            return Node("list", atomic=True, element=_of_type(element))
        defaults = {}
        if element.schema is not None:
            facts = {key: element.schema.fields.get(key) for key in field.map_keys}
            defaults = {key: _key_default(fact) for key, fact in facts.items() if fact is not None}
            if element.schema.name == "LocalObjectReference":
                defaults = {"name": ""}  # told by a comment of upstream's type
        return Node("list", keys=field.map_keys, defaults=defaults, element=_of_type(element))
    if field.map_type == "atomic":
        return Node("map", atomic=True)
    if field.map_type == "granular" and kind == "struct":  # a struct that elsewhere is one value
        return Node("map", find=_of_type(field.type).named)
    return _of_type(field.type)


def _key_default(field: Field) -> Any:
    """A field that Go always writes has at least its zero value."""
    return field.default if field.default is not None or field.omitempty else _zero(field)


def _of_type(type: Type) -> Node:
    if type.kind == "struct" and type.schema is not None:
        return of_schema(type.schema)
    if type.kind == "map":
        assert type.element is not None
        return Node("map", element=_of_type(type.element))
    if type.kind == "list":
        return Node("list", atomic=True)
    if (scalar := SCALARS.get(type.kind)) is not None:
        return scalar
    if type.kind == "raw":
        return WHOLE
    return ANY if type.kind in ("any", "struct") or type.kind.startswith("schema-or") else SCALAR


@cache
def blank(schema: Schema) -> dict[str, Any]:
    """What Go writes of an empty struct, as the JSON of a kind that nobody has filled in yet: fields without
    `omitempty`, and structs that are no pointers. A new object is compared with it. Not to be changed."""
    return {name: _zero(field) for name, field in schema.fields.items() if not _omitted(field)}


_STRUCTS = {"struct", "time", "microtime", "quantity", "int-or-string"}
"""Of Go's structs `omitempty` omits none."""


def _omitted(field: Field) -> bool:
    struct = field.type.kind in _STRUCTS and not field.type.pointer
    return field.omitzero or (field.omitempty and not struct)


_ZEROS: dict[str, Any] = {"string": "", "bool": False, "int32": 0, "int64": 0, "double": 0, "quantity": "0"}


def _zero(field: Field) -> Any:
    if field.type.pointer:
        return None
    if field.type.kind == "struct" and field.type.schema is not None:
        return blank(field.type.schema)
    return 0 if field.type.kind == "int-or-string" else _ZEROS.get(field.type.kind)


def of_openapi(schema: Mapping[str, Any]) -> Node:
    """Of a custom resource, from its `openAPIV3Schema` (`x-kubernetes-list-type` and the like)."""
    kind = schema.get("type")
    if kind == "array":
        items = schema.get("items") or {}
        if schema.get("x-kubernetes-list-type") not in ("map", "set"):
            return Node("list", atomic=True)
        keys = tuple(schema.get("x-kubernetes-list-map-keys") or ())
        fields = items.get("properties") or {}
        defaults = {key: fields[key]["default"] for key in keys if "default" in fields.get(key, {})}
        return Node("list", keys=keys, defaults=defaults, element=of_openapi(items))
    if kind == "object" or "properties" in schema:
        if schema.get("x-kubernetes-embedded-resource") and not schema.get("properties"):
            return ANY
        properties = schema.get("properties") or {}
        more = schema.get("additionalProperties")
        open_ended = not properties or schema.get("x-kubernetes-preserve-unknown-fields") or more is True
        element = of_openapi(more) if isinstance(more, Mapping) else ANY if open_ended else None
        atomic = schema.get("x-kubernetes-map-type") == "atomic"

        def find(name: str) -> Node | None:
            return of_openapi(properties[name]) if name in properties else None

        return Node("map", atomic=atomic, element=element, find=find)
    return SCALAR if kind in ("string", "integer", "number", "boolean") else ANY


def of_custom(schema: Mapping[str, Any] | None, meta: Node) -> Node:
    """A custom resource's root: its own fields, and the metadata that every object has (`meta`)."""
    own = of_openapi({"type": "object", **schema}) if schema else ANY
    closed = own.kind == "map" and own.element is None

    def find(name: str) -> Node | None:
        if name == "metadata":
            return meta
        return SCALAR if name in ("apiVersion", "kind") else own.named(name)

    return Node("map", element=None if closed else ANY, find=find)
