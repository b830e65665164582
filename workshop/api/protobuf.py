"""Protobuf bodies: newer kubectl and client-go post `application/vnd.kubernetes.protobuf`. Decoding only: the server
may always answer in JSON.

A body is `k8s\\0` and a message Unknown {typeMeta=1 {apiVersion=1, kind=2}, raw=2}; `raw` is the object by
the field numbers that the tables of types hold. A message is a run of (number, wire type, value):

    0a 03 'web'   number 1, length-delimited: ObjectMeta.name = "web"
    38 02         number 7, varint: ObjectMeta.generation = 2

Upstream: apimachinery/pkg/runtime/serializer/protobuf, and each API group's generated.proto.
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from workshop.api import schema
from workshop.api.meta import Obj
from workshop.api.reading import tidy, zero
from workshop.api.schema import Schema, Type

MAGIC = b"k8s\x00"
DEEPEST = 100
VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5
# Named lists that Go's generator wraps in a message of their own, {items=1}.
WRAPPED_LISTS = {"v1.ExtraValue", "v1beta1.ExtraValue", "v1.Verbs"}


class MalformedError(ValueError):
    """The bytes are no message of the kind that they say they are."""


def decode(body: bytes) -> Obj:
    """The object in a `k8s\\0` envelope, shaped as its JSON would be (unset and empty fields as Go writes them)."""
    if not body.startswith(MAGIC):
        raise MalformedError("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")
    envelope = _message(body[len(MAGIC) :])
    type_meta = _message(_last(envelope, 1, b""))
    api_version, kind = (_text(_last(type_meta, number, b"")) for number in (1, 2))
    return {"kind": kind, "apiVersion": api_version, **decode_raw(api_version, kind, _last(envelope, 2, b""))}


def decode_raw(api_version: str, kind: str, raw: bytes) -> Obj:
    """A bare message of the given kind."""
    found = schema.for_kind(api_version, kind)
    if found is None:
        raise MalformedError(f'no kind "{kind}" is registered for version "{api_version}"')
    return _struct(found, raw, 0)


Message = dict[int, list[Any]]


def _message(data: Any) -> Message:
    """Field number → its values in order: int for varint and fixed, bytes for length-delimited."""
    found: Message = {}
    for number, value in _fields(data):
        found.setdefault(number, []).append(value)
    return found


def _fields(data: Any) -> Iterator[tuple[int, Any]]:
    if not isinstance(data, bytes):
        raise MalformedError("proto: wrong wireType = 0 for a message")
    at, end = 0, len(data)
    while at < end:
        key, at = _varint(data, at)
        number, wire = key >> 3, key & 7
        value: Any
        if wire == VARINT:
            value, at = _varint(data, at)
        elif wire == LENGTH:
            size, at = _varint(data, at)
            value, at = data[at : at + size], at + size
        elif wire in (FIXED64, FIXED32):
            size = 8 if wire == FIXED64 else 4
            value, at = data[at : at + size], at + size
        else:
            raise MalformedError(f"proto: illegal wireType {wire}")
        if at > end:
            raise MalformedError("unexpected EOF")
        yield number, value


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(data):
            raise MalformedError("unexpected EOF")
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
        if shift >= 70:
            raise MalformedError("proto: integer overflow")


def _last(message: Message, number: int, default: Any) -> Any:
    return message[number][-1] if number in message else default


def _text(value: Any) -> str:
    try:
        return bytes(value).decode()
    except UnicodeDecodeError as error:
        raise MalformedError("invalid UTF-8 string") from error


def _signed(value: Any) -> int:
    if not isinstance(value, int):
        raise MalformedError("proto: wrong wireType for an integer")
    return value - (1 << 64) if value >= 1 << 63 else value


def _struct(of: Schema, data: bytes, depth: int) -> dict[str, Any]:
    return tidy(of, _found(of, data, depth))


def _found(of: Schema, data: bytes, depth: int) -> dict[str, Any]:
    """JSON name → value of what the message holds; the fields of embedded structs are lifted into it."""
    if depth > DEEPEST:
        raise MalformedError("exceeded max depth")
    found: dict[str, Any] = {}
    for number, values in _message(data).items():
        row = of.by_number.get(number)
        if row is None:
            continue
        if row.name.startswith("+"):
            embedded = row.type.schema
            assert embedded is not None
            found |= _found(embedded, values[-1], depth + 1)
        else:
            found[row.name] = _repeated(row.type, values, depth + 1)
    return found


def _repeated(kind: Type, values: list[Any], depth: int) -> Any:
    """A field's value: all of them for a list or map, the last one otherwise."""
    element = kind.element
    if kind.kind == "map":
        assert element is not None
        entries = (_message(value) for value in values)
        made = {_text(_last(e, 1, b"")): _entry(element, _last(e, 2, None), depth) for e in entries}
        return dict(sorted(made.items()))
    if kind.kind == "list" and kind.go not in WRAPPED_LISTS:
        assert element is not None
        if element.kind in ("int32", "int64") and values and isinstance(values[0], bytes):
            values = [number for packed in values for number in _packed(packed)]
        return [_single(element, value, depth) for value in values]
    return _single(kind, values[-1], depth)


def _entry(element: Type, value: Any, depth: int) -> Any:
    return zero(element) if value is None else _single(element, value, depth)


def _packed(data: bytes) -> Iterator[int]:
    at = 0
    while at < len(data):
        value, at = _varint(data, at)
        yield value


def _single(kind: Type, value: Any, depth: int) -> Any:
    match kind.kind:
        case "string":
            return _text(value)
        case "bool":
            return bool(value)
        case "int32" | "int64":
            return _signed(value)
    if not isinstance(value, bytes):
        raise MalformedError("proto: wrong wireType for a message")
    if kind.kind == "struct":
        known = kind.schema
        return _struct(known, value, depth) if known is not None else {}
    return MESSAGES[kind.kind](kind, value, depth)


def _time(kind: Type, value: bytes, depth: int) -> Any:
    message = _message(value)
    seconds, nanos = _signed(_last(message, 1, 0)), _signed(_last(message, 2, 0))
    if not message:
        return None
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds, microseconds=nanos // 1000)
    fraction = f".{moment.microsecond:06d}" if kind.kind == "microtime" else ""
    return f"{moment.year:04d}{moment.strftime('-%m-%dT%H:%M:%S')}{fraction}Z"


def _quantity(kind: Type, value: bytes, depth: int) -> Any:
    return _text(_last(_message(value), 1, b"")) or "0"


def _int_or_string(kind: Type, value: bytes, depth: int) -> Any:
    message = _message(value)
    return _text(_last(message, 3, b"")) if _last(message, 1, 0) else _signed(_last(message, 2, 0))


def _raw(kind: Type, value: bytes, depth: int) -> Any:
    raw = _last(_message(value), 1, b"")
    if not raw:
        return None
    if raw.startswith(MAGIC):
        return decode(raw)
    try:
        return json.loads(raw)
    except ValueError as error:
        raise MalformedError(f"embedded JSON: {error}") from error


def _bytes(kind: Type, value: bytes, depth: int) -> Any:
    return base64.b64encode(value).decode()


def _double(kind: Type, value: bytes, depth: int) -> Any:
    number = struct.unpack("<d", value)[0]
    return int(number) if number.is_integer() else number


def _wrapped_list(kind: Type, value: bytes, depth: int) -> Any:
    assert kind.element is not None
    return [_single(kind.element, item, depth) for item in _message(value).get(1, [])]


def _schema(value: bytes, depth: int) -> Any:
    of = schema.load("apiextensions.v1", "JSONSchemaProps")
    assert of is not None
    return _struct(of, value, depth + 1)


def _schema_or_bool(kind: Type, value: bytes, depth: int) -> Any:
    message = _message(value)
    return _schema(message[2][-1], depth) if 2 in message else bool(_last(message, 1, 0))


def _schema_or_array(kind: Type, value: bytes, depth: int) -> Any:
    message = _message(value)
    return [_schema(each, depth) for each in message[2]] if 2 in message else _schema(_last(message, 1, b""), depth)


def _schema_or_strings(kind: Type, value: bytes, depth: int) -> Any:
    message = _message(value)
    return [_text(each) for each in message[2]] if 2 in message else _schema(_last(message, 1, b""), depth)


MESSAGES: dict[str, Callable[[Type, bytes, int], Any]] = {
    "time": _time,
    "microtime": _time,
    "quantity": _quantity,
    "int-or-string": _int_or_string,
    "raw": _raw,
    "any": _raw,
    "bytes": _bytes,
    "double": _double,
    "list": _wrapped_list,
    "schema-or-bool": _schema_or_bool,
    "schema-or-array": _schema_or_array,
    "schema-or-strings": _schema_or_strings,
}
