"""What a patch made of an object, as Go's types take it from maps and lists. Where a body of JSON is refused in JSON's
words, this is refused by Go's kinds; and a number that is too large for its field is cut to it, not refused.

Upstream: apimachinery/pkg/runtime/converter.go (`FromUnstructured`).
"""

from __future__ import annotations

import base64
from typing import Any

from workshop.api.reading import Reader, Where
from workshop.api.schema import Schema, Type
from workshop.api.self_reading import SELF_READING, DecodeError

_ITSELF = Where("", (), "")
_BITS = {"int32": 32, "int64": 64}
_KINDS = {"string": "string", "bool": "bool", "int32": "int32", "int64": "int64", "double": "float64"}


class Unconvertible(ValueError):
    """The text is Go's."""


def of_struct(schema: Schema, value: Any) -> dict[str, Any]:
    """`value` with its numbers cut to size. Raises Unconvertible at the first field, as Go declares them, that does not
    fit."""
    if not isinstance(value, dict):
        raise Unconvertible(f"cannot restore struct from: {_kind(value)}")
    found = dict(value)
    for name, field in schema.fields.items():
        if value.get(name) is not None:
            found[name] = _of_type(field.type, value[name])
    return found


def _of_type(type: Type, value: Any) -> Any:
    if value is None:
        return None
    match type.kind:
        case "struct":
            return of_struct(type.schema, value) if type.schema is not None else value
        case "map":
            if not isinstance(value, dict):
                raise Unconvertible(f"cannot restore map from {_kind(value)}")
            assert type.element is not None
            return {name: _of_type(type.element, child) for name, child in value.items()}
        case "list":
            if not isinstance(value, list):
                raise Unconvertible(f"cannot restore slice from {_kind(value)}")
            assert type.element is not None
            return [_of_type(type.element, child) for child in value]
        case "bytes":
            return _bytes(type, value)
        case "string" | "bool" | "int32" | "int64" | "double":
            return _simple(type, value)
        case "quantity" | "int-or-string" | "time" | "microtime":
            try:
                SELF_READING[type.kind](Reader(), type, value, "", _ITSELF)
            except DecodeError as error:
                raise Unconvertible(str(error)) from error
    return value


def _simple(type: Type, value: Any) -> Any:
    """Go turns numbers into numbers only; that it could make a text of an integer it says in another sentence."""
    kind = _kind(value)
    if kind in ("string", "bool") and type.kind == kind:
        return value
    if kind in ("int64", "float64") and type.kind == "double":
        return value
    if kind == "int64" and type.kind in _BITS:
        return _cut(value, _BITS[type.kind])
    if kind == "float64" and type.kind in _BITS and value.is_integer():
        whole = int(value)
        return _cut(whole if -(1 << 63) <= whole < 1 << 63 else -1 << 63, _BITS[type.kind])
    if (kind, type.kind) in (("int64", "string"), ("float64", "int32"), ("float64", "int64")):
        raise Unconvertible(f"cannot convert {kind} to {type.go}")
    raise Unconvertible(f"unrecognized type: {_KINDS[type.kind]}")


def _cut(value: int, bits: int) -> int:
    """The lowest bits, the topmost of which is the sign.

    >>> _cut(5_000_000_000, 32)
    705032704
    """
    half = 1 << (bits - 1)
    return (value + half) % (1 << bits) - half


def _bytes(type: Type, value: Any) -> Any:
    if not isinstance(value, str):
        if not isinstance(value, list):
            raise Unconvertible(f"cannot restore slice from {_kind(value)}")
        if any(isinstance(byte, bool) or not isinstance(byte, int) for byte in value):
            raise Unconvertible("unrecognized type: uint8")
        return base64.b64encode(bytes(byte & 0xFF for byte in value)).decode()
    reader = Reader()
    SELF_READING["bytes"](reader, type, value, "", _ITSELF)
    if reader.wrong_type:
        raise Unconvertible(f"error decoding from json: {reader.wrong_type}")
    return value


def _kind(value: Any) -> str:
    """Go's kind of what JSON was read into."""
    match value:
        case bool():
            return "bool"
        case int():
            return "int64"
        case float():
            return "float64"
        case str():
            return "string"
        case list():
            return "slice"
    return "map"
