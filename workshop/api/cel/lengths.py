"""How long the values of a schema can be, for the estimates of what rules cost.

>>> longest({"type": "string", "maxLength": 10}), longest({"type": "array", "items": {"type": "string"}})
(40, 1048575)

A character may take four bytes; what has no limit of its own ends where the longest request ends.
Upstream: apiserver/pkg/cel/common/schemas.go, apiserver/pkg/cel/limits.go.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from workshop.api.cel.ranges import ZERO, Path, Range, Sizes

REQUEST = 3 * 1024 * 1024
"""Bytes of the longest request."""
Schema = Mapping[str, Any]
_LENGTHS = {"duration": 32, "date": 12, "date-time": 32}
_SHORTEST = {"duration": 3, "date": 12, "date-time": 21}


def sizes_of(schema: Schema, resolve: Callable[[str], str | None]) -> Sizes:
    """Of paths below `self` and `oldSelf`; `resolve` gives a field's name in CEL."""

    def size(path: Path) -> Range | None:
        at: Schema | None = schema
        for name in path[2:] if path[0] == "before" else path[1:]:  # a list of what was
            if at is None:
                return None
            if name == "@keys":
                at = {"type": "string"} if isinstance(at.get("additionalProperties"), Mapping) else None
            elif name in ("@items", "@values"):
                at = at.get("items") if at.get("type") == "array" else at.get("additionalProperties")
            else:
                at = next((of for key, of in (at.get("properties") or {}).items() if resolve(key) == name), None)
            if not isinstance(at, Mapping):
                return None
            if name == "@keys":
                return ZERO
        return None if at is None else Range(0, longest(at))

    return size


def longest(schema: Schema) -> int:
    """How many characters or elements a value may have; 0 of what has none."""
    limit = schema.get("maxLength")
    if schema.get("x-kubernetes-int-or-string"):
        return REQUEST - 2 if limit is None else max(limit, 0) * 4
    match schema.get("type"):
        case "array" if isinstance(schema.get("items"), Mapping):
            most = schema.get("maxItems")
            return (REQUEST - 2) // (shortest(schema["items"]) + 1) if most is None else max(most, 0)
        case "object" if isinstance(schema.get("additionalProperties"), Mapping):
            most = schema.get("maxProperties")
            return (REQUEST - 2) // (shortest(schema["additionalProperties"]) + 6) if most is None else max(most, 0)
        case "string":
            format = schema.get("format") or ""
            if format in _LENGTHS:
                return _LENGTHS[format]
            if limit is not None:
                return int(max(limit, 0) * (1 if format == "byte" else 4))
            if format != "byte" and schema.get("enum"):
                return max((len(each.encode()) for each in schema["enum"] if isinstance(each, str)), default=0)
            return REQUEST - 2
    return 0


def shortest(schema: Schema) -> int:
    """The fewest bytes that a value takes as JSON."""
    if schema.get("x-kubernetes-int-or-string"):
        return 1
    match schema.get("type"):
        case "boolean":
            return 4
        case "number" | "integer":
            return 1
        case "string":
            return _SHORTEST.get(schema.get("format") or "", 2)
        case "object" if not isinstance(schema.get("additionalProperties"), Mapping):
            properties = schema.get("properties") or {}
            needed = [name for name in schema.get("required") or () if name in properties]
            own = [name for name in needed if "default" not in properties[name]]
            return 2 + sum(len(name) + shortest(properties[name]) + 4 for name in own)
    return 2


def most_often(schema: Schema) -> int:
    """How many values of this schema fit into one request."""
    return REQUEST // (shortest(schema) + 1)
