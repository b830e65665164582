"""What Go says of a patched object that does not fit its struct: a strategic merge patch is read back from maps, not
through JSON, and the first field that does not fit is told of by its types alone.

>>> from workshop.api.schema import for_kind
>>> complaint(for_kind("v1", "ConfigMap"), {"data": {"a": 5}})
'cannot convert int64 to string'

Upstream: apimachinery/pkg/runtime/converter.go (FromUnstructured), v1.36.2.
"""

from __future__ import annotations

from typing import Any

from workshop.api.schema import Schema, Type

KINDS: dict[type, str] = {str: "string", bool: "bool", int: "int64", float: "float64", list: "slice", dict: "map"}
NUMBERS = ("int32", "int64", "double")
CONTAINERS = {"list": "slice", "map": "map"}


def complaint(schema: Schema, value: dict[str, Any]) -> str:
    """ "" where nothing is wrong, or where another one has to say what."""
    for name, field in schema.fields.items():
        if value.get(name) is not None and (wrong := _wrong(field.type, value[name])):
            return wrong
    return ""


def _wrong(type: Type, value: Any) -> str:
    if value is None:
        return ""
    kind = KINDS[value.__class__]
    if type.kind in ("string", "bool", *NUMBERS):
        return _wrong_scalar(type, value, kind)
    if type.kind == "struct" and type.schema is not None:
        return complaint(type.schema, value) if kind == "map" else f"cannot restore struct from: {kind}"
    if type.kind in CONTAINERS and type.element is not None:
        if kind != CONTAINERS[type.kind]:
            return f"cannot restore {CONTAINERS[type.kind]} from {kind}"
        inner = value if kind == "slice" else value.values()
        return next((wrong for each in inner if (wrong := _wrong(type.element, each))), "")
    return ""


def _wrong_scalar(type: Type, value: Any, kind: str) -> str:
    reflected = "float64" if type.kind == "double" else type.kind
    if kind == reflected or (kind == "int64" and type.kind in NUMBERS):
        return ""
    if kind == "float64" and type.kind in NUMBERS and value == int(value):
        return ""
    if (kind == "int64" and type.kind == "string") or (kind == "float64" and type.kind in NUMBERS):
        return f"cannot convert {kind} to {type.go.lstrip('*') or reflected}"
    return f"unrecognized type: {reflected}"
