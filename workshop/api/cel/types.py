"""An OpenAPI schema as types for CEL's checker, and values as CEL sees them.

The checker knows structs as protobuf messages, so a schema becomes message types of its own: `self.foo` is refused
before any object was seen. Values stay plain dicts; what they need is other names for fields that CEL cannot spell
(`a-b` is `a__dash__b`), and times and bytes where a format says so.

Upstream: apiserver/pkg/cel/{escaping,types}.go, apiserver/pkg/cel/common/{schemas,values}.go.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from copy import copy
from datetime import UTC, datetime, timedelta
from typing import Any

Schema = Mapping[str, Any]
RESERVED = frozenset({
    "true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function", "if", "import", "let",
    "loop", "package", "namespace", "return", "var", "void", "while",
})  # fmt: skip
OWN_NAME = " name"
"""In a schema that is written by hand here: how upstream calls the type, whose fields it does not escape."""
_ESCAPES = {"__": "__underscores__", ".": "__dot__", "-": "__dash__", "/": "__slash__"}
_META = {
    "metadata": {"type": "object", "properties": {"name": {"type": "string"}, "generateName": {"type": "string"}}},
    "apiVersion": {"type": "string"},
    "kind": {"type": "string"},
}
_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)")
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def escape(name: str) -> str | None:
    """A field's name in CEL; None for one that cannot be said."""
    if not name or name[0].isdigit():
        return None
    if name in RESERVED:
        return f"__{name}__"
    if re.search(r"[^a-zA-Z0-9_./-]", name):
        return None
    return re.sub(r"__|[-./]", lambda found: _ESCAPES[found[0]], name)


def with_meta(schema: Schema) -> Schema:
    """An object's root (or an embedded one): its name and kind may be read in every rule."""
    return {**schema, "properties": {**(schema.get("properties") or {}), **_META}}


def value(given: Any, schema: Schema | None) -> Any:
    """A JSON value as CEL sees it under its schema."""
    if given is None or schema is None:
        return given
    if isinstance(given, dict):
        if schema.get("x-kubernetes-embedded-resource"):
            schema = with_meta(schema)
        known, more = schema.get("properties") or {}, schema.get("additionalProperties")
        if isinstance(more, Mapping):
            return {name: value(each, more) for name, each in given.items()}
        if not known:
            return given
        named = ((escape(name), name) for name in given if name in known)
        made = {short: value(given[name], known[name]) for short, name in named if short is not None}
        if schema.get("x-kubernetes-preserve-unknown-fields"):
            made |= {name: each for name, each in given.items() if name not in known}
        return made
    if isinstance(given, list):
        of = schema.get("items")
        return [value(each, of) for each in given] if isinstance(of, Mapping) else given
    if isinstance(given, str) and schema.get("format") and schema.get("type") == "string":
        return _formatted(given, schema["format"])
    if schema.get("type") == "number" and isinstance(given, int) and not isinstance(given, bool):
        return float(given)
    return given


def _formatted(text: str, format: str) -> Any:
    """Times as times."""
    try:
        if format == "byte":
            return base64.b64decode(text)
        if format == "duration":
            return duration(text)
        if format == "date":
            return datetime.fromisoformat(text).replace(tzinfo=UTC)
        if format in ("date-time", "datetime"):
            return datetime.fromisoformat(text.upper().replace("Z", "+00:00"))
    except ValueError:
        return text
    return text


def duration(text: str) -> timedelta:
    """Go's form: `1h30m`. Raises ValueError."""
    sign, rest = (-1, text[1:]) if text.startswith("-") else (1, text.removeprefix("+"))
    parts = _DURATION.findall(rest)
    if "".join(number + unit for number, unit in parts) != rest and rest != "0":
        raise ValueError(f"invalid duration {text!r}")
    return timedelta(seconds=sign * sum(float(number) * _SECONDS[unit] for number, unit in parts))


class Declared:
    """The type of a variable that a schema describes."""

    def __init__(self, schema: Schema, messages: Messages | None = None) -> None:
        """Variables of one environment share their `messages`."""
        self._messages = Messages() if messages is None else messages
        self._kind = self._messages.kind(schema)

    def pool(self) -> Any:
        return self._messages.pool()

    def type(self, cel: Any) -> Any:
        """The library's type."""
        return self._messages.type(cel, self._kind)


def listed(of: Declared) -> Declared:
    """The type of a list of such values, for the same environment."""
    made = copy(of)
    made._kind = ("list", of._kind)
    return made


Kind = tuple[Any, ...]
"""("dyn",), ("int",), ("list", Kind), ("map", Kind) or ("message", name)."""
_PROTO = {"bool": 8, "bytes": 12, "double": 1, "int": 3, "string": 9}
_WELL_KNOWN = {"timestamp": ".google.protobuf.Timestamp", "duration": ".google.protobuf.Duration"}
_ANYTHING = ".google.protobuf.Value"
_FORMATS = {"byte": "bytes", "date": "timestamp", "date-time": "timestamp", "datetime": "timestamp",
            "duration": "duration"}  # fmt: skip


class Messages:
    """Message types, made of schemas as they are met."""

    def __init__(self) -> None:
        from google.protobuf import descriptor_pb2

        self._file = descriptor_pb2.FileDescriptorProto(name="k8s.proto", package="kubernetes", syntax="proto3")
        self._known: dict[str, Kind] = {}
        self._pool: Any = None

    def kind(self, schema: Schema) -> Kind:
        if schema.get("x-kubernetes-int-or-string"):
            return ("dyn",)
        match schema.get("type"):
            case "boolean":
                return ("bool",)
            case "integer":
                return ("int",)
            case "number":
                return ("double",)
            case "string":
                return (_FORMATS.get(schema.get("format") or "", "string"),)
            case "array":
                of = schema.get("items")
                return ("list", self.kind(of) if isinstance(of, Mapping) else ("dyn",))
            case "object":
                return self._object(schema)
        return ("dyn",)

    def _object(self, schema: Schema) -> Kind:
        if schema.get("x-kubernetes-embedded-resource"):
            schema = with_meta(schema)
        more = schema.get("additionalProperties")
        if isinstance(more, Mapping):
            return ("map", self.kind(more))
        known = schema.get("properties") or {}
        if not known:  # an object of which nothing is known has no fields to speak of
            return ("dyn",) if schema.get("x-kubernetes-preserve-unknown-fields") or more else self._message({})
        if (name := schema.get(OWN_NAME)) is not None:
            self._known[name] = self._known.get(name) or self._message(known, name)
            return self._known[name]
        return self._message(known)

    def _message(self, properties: Schema, own_name: str = "") -> Kind:
        name = own_name or f"Type{len(self._file.message_type)}"
        message = self._file.message_type.add(name=name)
        number = 0
        for field, of in properties.items():
            short = field if own_name else escape(field)
            if short is not None:
                number += 1
                self._field(message, name, short, number, self.kind(of))
        return ("message", name)

    def _field(self, message: Any, owner: str, name: str, number: int, kind: Kind) -> None:
        if kind[0] == "map":
            inner = "".join(part[:1].upper() + part[1:] for part in name.split("_")) + "Entry"  # as protobuf insists
            entry = message.nested_type.add(name=inner)
            entry.options.map_entry = True
            entry.field.add(name="key", number=1, type=9, label=1)
            self._plain(entry.field.add(name="value", number=2, label=1), kind[1])
            message.field.add(
                name=name, number=number, type=11, label=3, type_name=f".{self._file.package}.{owner}.{inner}"
            )
        elif kind[0] == "list":
            self._plain(message.field.add(name=name, number=number, label=3), kind[1])
        else:
            self._plain(message.field.add(name=name, number=number, label=1), kind)

    def _plain(self, field: Any, kind: Kind) -> None:
        if kind[0] in _PROTO:
            field.type = _PROTO[kind[0]]
        else:  # a list in a list, or what is unknown, is anything
            field.type = 11
            own = f".{self._file.package}.{kind[1]}" if kind[0] == "message" else ""
            field.type_name = own or _WELL_KNOWN.get(kind[0], _ANYTHING)

    def pool(self) -> Any:
        if self._pool is None:
            from google.protobuf import (
                any_pb2,
                descriptor_pb2,
                descriptor_pool,
                duration_pb2,
                struct_pb2,
                timestamp_pb2,
                wrappers_pb2,
            )

            self._pool = descriptor_pool.DescriptorPool()
            for module in (any_pb2, duration_pb2, struct_pb2, timestamp_pb2, wrappers_pb2):
                file = descriptor_pb2.FileDescriptorProto()
                module.DESCRIPTOR.CopyToProto(file)
                self._pool.Add(file)
                self._file.dependency.append(file.name)
            self._pool.Add(self._file)
        return self._pool

    def type(self, cel: Any, kind: Kind) -> Any:
        match kind[0]:
            case "message":
                return cel.Type(f"{self._file.package}.{kind[1]}")
            case "list":
                return cel.Type.List(self.type(cel, kind[1]))
            case "map":
                return cel.Type.Map(cel.Type.STRING, self.type(cel, kind[1]))
        return getattr(cel.Type, kind[0].upper())
