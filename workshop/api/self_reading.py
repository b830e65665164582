"""The values of Go types that read themselves from JSON: quantities, times, bytes, unions. Each gives the form in which
the server would write it, and complains in Go's words.

Upstream: apimachinery/pkg/api/resource, apimachinery/pkg/apis/meta/v1/{time,micro_time}.go, encoding/base64,
apiextensions-apiserver/pkg/apis/apiextensions/v1/marshal.go.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from workshop.api import quantity, schema
from workshop.api.schema import Type

if TYPE_CHECKING:
    from workshop.api.reading import Reader, Where


class DecodeError(ValueError):
    """The body cannot be read as the wanted kind; the text is Go's."""


def word(value: Any) -> str:
    """Go's word for a JSON value in its errors."""
    match value:
        case bool():
            return "bool"
        case int() | float():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
    return "object"


def _quantity(reader: Reader, kind: Type, value: Any, path: str, where: Where) -> Any:
    text = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
    try:
        return quantity.canonical(text.strip())
    except ValueError as error:
        raise DecodeError(str(error)) from error


def _int_or_string(reader: Reader, kind: Type, value: Any, path: str, where: Where) -> Any:
    if isinstance(value, str):
        return value
    read = reader.integer(Type("int32", "int32"), value, where)
    if read is None:
        raise DecodeError(reader.wrong_type)
    return read


RFC3339 = re.compile(r"^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:[.,](\d+))?(Z|[+-]\d\d:\d\d)$")


def _moment(value: str, micro: bool) -> datetime:
    """A time may have a fraction of a second, which is dropped; a MicroTime must have six digits of it."""
    match = RFC3339.match(value)
    if match is None or (micro and len(match[2] or "") != 6):
        layout = f"2006-01-02T15:04:05{'.000000' if micro else ''}Z07:00"
        raise DecodeError(f'parsing time "{value}" as "{layout}": cannot parse {_unread(value, micro)}')
    whole, fraction, zone = match.groups()
    try:
        read = datetime.fromisoformat(whole + zone.replace("Z", "+00:00"))
    except ValueError as error:
        raise DecodeError(f'parsing time "{value}": {_out_of_range(whole)} out of range') from error
    return read.replace(microsecond=int((fraction or "0")[:6].ljust(6, "0"))).astimezone(UTC)


def _unread(value: str, micro: bool) -> str:
    """The rest of the text at which Go's parser gave up, and the piece of its layout that it wanted there."""
    pieces = [("2006", r"\d{4}"), ("-", "-"), ("01", r"\d\d"), ("-", "-"), ("02", r"\d\d"), ("T", "T")]
    pieces += [("15", r"\d\d"), (":", ":"), ("04", r"\d\d"), (":", ":")]
    pieces += [("05", r"\d\d"), (".000000", r"\.\d{6}(?!\d)")] if micro else [("05", r"\d\d(?:[.,]\d+)?")]
    rest = value
    for name, pattern in pieces:
        match = re.match(pattern, rest)
        if match is None:
            return f'"{rest}" as "{name}"'
        rest = rest[match.end() :]
    return f'"{rest}" as "Z07:00"'


def _out_of_range(whole: str) -> str:
    parts = [int(part) for part in re.split("[-T:]", whole)]
    for name, value, least, most in zip(
        ("month", "day", "hour", "minute", "second"), parts[1:], (1, 1, 0, 0, 0), (12, 28, 23, 59, 59), strict=True
    ):
        if not least <= value <= most:
            return name
    return "day"


def time(text: str) -> str:
    """A time as the server writes it, without its fraction of a second. Raises DecodeError."""
    return _shown(_moment(text, micro=False), "")


def _shown(moment: datetime, fraction: str) -> str:
    return f"{moment.year:04d}{moment.strftime('-%m-%dT%H:%M:%S')}{fraction}Z"


def _time(reader: Reader, kind: Type, value: Any, path: str, where: Where) -> Any:
    if not isinstance(value, str):
        raise DecodeError(reader.wrong_type or where.wrong(word(value), "string"))
    moment = _moment(value, kind.kind == "microtime")
    fraction = f".{moment.microsecond:06d}" if kind.kind == "microtime" else ""
    return _shown(moment, fraction)


def _bytes(reader: Reader, kind: Type, value: Any, path: str, where: Where) -> Any:
    if not isinstance(value, str):
        return reader.wrong(kind, value, where)
    text = value.replace("\n", "").replace("\r", "")
    try:
        return base64.b64encode(base64.b64decode(text, validate=True)).decode()
    except (binascii.Error, ValueError):
        reader.wrong_type = reader.wrong_type or f"illegal base64 data at input byte {_bad_byte(text)}"
        return None


def _bad_byte(text: str) -> int:
    odd = next((index for index, c in enumerate(text) if not (c.isascii() and (c.isalnum() or c in "+/"))), len(text))
    return odd if odd < len(text) else len(text) // 4 * 4


def _double(reader: Reader, kind: Type, value: Any, path: str, where: Where) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return reader.wrong(kind, value, where)
    return value


def _as_given(reader: Reader, kind: Type, value: Any, path: str, where: Where) -> Any:
    return value


def _schema_or(plain: type) -> Callable[..., Any]:
    """apiextensions' unions: a schema, or a bool (`additionalProperties`), strings, or schemas (`items`)."""

    def read(reader: Reader, kind: Type, value: Any, path: str, where: Where) -> Any:
        of = schema.load("apiextensions.v1", "JSONSchemaProps")
        assert of is not None
        if isinstance(value, dict):
            return reader.struct(of, value, path, where)
        if isinstance(value, list) and plain is list:
            return [reader.struct(of, item, path, where) for item in value if isinstance(item, dict)]
        return value if isinstance(value, plain) else reader.wrong(kind, value, where)

    return read


SELF_READING: dict[str, Callable[[Reader, Type, Any, str, Where], Any]] = {
    "quantity": _quantity,
    "int-or-string": _int_or_string,
    "time": _time,
    "microtime": _time,
    "bytes": _bytes,
    "double": _double,
    "raw": _as_given,
    "any": _as_given,
    "schema-or-bool": _schema_or(bool),
    "schema-or-array": _schema_or(list),
    "schema-or-strings": _schema_or(list),
}
