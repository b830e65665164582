"""CEL's own functions over plain values, with the errors of cel-go.

Numbers are 64 bits wide and complain when they do not fit; an int, a uint and a double are compared by what they are
worth. Times are Python's, exact to the microsecond. Upstream: cel-go common/{stdlib,types}.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from workshop.api.cel.values import (
    NONE,
    TYPES,
    EvaluationError,
    NoOverload,
    Optional,
    TypeName,
    Uint,
    compare,
    equal,
    is_number,
    kind,
)

LEAST, MOST, MOST_UNSIGNED = -(1 << 63), (1 << 63) - 1, (1 << 64) - 1


def fits(number: int) -> int:
    if LEAST <= number <= MOST:
        return number
    raise EvaluationError("integer overflow")


def _unsigned(number: int) -> Uint:
    if 0 <= number <= MOST_UNSIGNED:
        return Uint(number)
    raise EvaluationError("unsigned integer overflow")


def _whole(a: Any, b: Any, does: Callable[[Any, Any], int]) -> Any:
    """An operation on two ints, or on two uints."""
    match kind(a), kind(b):
        case "int", "int":
            return fits(does(a, b))
        case "uint", "uint":
            return _unsigned(does(a, b))
    raise NoOverload


def add(a: Any, b: Any) -> Any:
    match kind(a), kind(b):
        case ("int", "int") | ("uint", "uint"):
            return _whole(a, b, lambda x, y: int(x) + int(y))
        case ("double", "double") | ("string", "string") | ("bytes", "bytes") | ("list", "list"):
            return a + b
        case ("timestamp", "duration") | ("duration", "timestamp") | ("duration", "duration"):
            return a + b
    raise NoOverload


def subtract(a: Any, b: Any) -> Any:
    match kind(a), kind(b):
        case ("double", "double") | ("timestamp", "duration") | ("timestamp", "timestamp") | ("duration", "duration"):
            return a - b
    return _whole(a, b, lambda x, y: int(x) - int(y))


def multiply(a: Any, b: Any) -> Any:
    return a * b if kind(a) == kind(b) == "double" else _whole(a, b, lambda x, y: int(x) * int(y))


def divide(a: Any, b: Any) -> Any:
    if kind(a) == kind(b) == "double":
        if b == 0:
            return math.nan if a == 0 or math.isnan(a) else math.copysign(math.inf, a) * math.copysign(1, b)
        return a / b
    if b == 0 and kind(a) == kind(b):
        raise EvaluationError("division by zero")
    return _whole(a, b, lambda x, y: abs(x) // abs(y) * (1 if (x < 0) == (y < 0) else -1))


def modulo(a: Any, b: Any) -> Any:
    if b == 0 and kind(a) == kind(b) and kind(a) != "double":
        raise EvaluationError("modulus by zero")
    return _whole(a, b, lambda x, y: abs(x) % abs(y) * (-1 if x < 0 else 1))


def negate(a: Any) -> Any:
    match kind(a):
        case "int":
            return fits(-a)
        case "double":
            return -a
    raise NoOverload


def contains(value: Any, among: Any) -> bool:
    if isinstance(among, list):
        return any(equal(value, each) for each in among)
    if isinstance(among, dict):
        return _hashable(value) in among
    raise NoOverload


def _hashable(value: Any) -> Any:
    return None if isinstance(value, list | dict) else value


def index(of: Any, at: Any) -> Any:
    """`of[at]`."""
    if isinstance(of, dict):
        if (key := _hashable(at)) not in of:
            raise EvaluationError(f"no such key: {_shown(at)}")
        return of[key]
    if isinstance(of, list):
        if not is_number(at) or at != int(at):
            raise EvaluationError(f"unsupported index type '{kind(at)}' in list")
        if not 0 <= at < len(of):
            raise EvaluationError(f"index out of bounds: {int(at)}")
        return of[int(at)]
    raise NoOverload


def _shown(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def size(of: Any) -> int:
    if isinstance(of, str | bytes | list | dict):
        return len(of)
    raise NoOverload


def _conversion(value: Any, to: str) -> EvaluationError:
    known = {"null": "null_type", "timestamp": "google.protobuf.Timestamp", "duration": "google.protobuf.Duration"}
    return EvaluationError(f"type conversion error from '{known.get(kind(value), kind(value))}' to '{to}'")


def to_int(value: Any) -> int:
    match value:
        case str():
            digits = value[1:] if value[:1] in ("+", "-") else value
            if not (digits.isascii() and digits.isdigit()) or not LEAST <= int(value) <= MOST:
                raise _conversion(value, "int")
            return int(value)
        case bool() | None:
            raise NoOverload
        case float():
            if not math.isfinite(value) or not LEAST < value < MOST:
                raise EvaluationError("integer overflow")
            return int(value)
        case int():
            return fits(int(value))
        case datetime():
            return int((value - _EPOCH).total_seconds() // 1)
        case timedelta():
            return int(value / timedelta(microseconds=1)) * 1000
    raise NoOverload


def to_uint(value: Any) -> Uint:
    match value:
        case str():
            if not (value.isascii() and value.isdigit()) or int(value) > MOST_UNSIGNED:
                raise _conversion(value, "uint")
            return Uint(value)
        case bool() | None:
            raise NoOverload
        case float():
            if not math.isfinite(value) or not 0 <= value < MOST_UNSIGNED:
                raise EvaluationError("unsigned integer overflow")
            return Uint(int(value))
        case int():
            return _unsigned(value)
    raise NoOverload


def to_double(value: Any) -> float:
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            raise _conversion(value, "double") from None
    if is_number(value):
        return float(value)
    raise NoOverload


def to_string(value: Any) -> str:
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case bytes():
            try:
                return value.decode()
            except UnicodeDecodeError:
                raise EvaluationError("invalid UTF-8 in bytes, cannot convert to string") from None
        case int():
            return str(int(value))
        case float():
            return number(value)
        case datetime():
            return moment(value)
        case timedelta():
            return number(value.total_seconds(), plain=True) + "s"
        case {"ip": text} | {"cidr": text} if len(value) == 1:
            return str(text)
    raise NoOverload


def number(value: float, plain: bool = False) -> str:
    """As Go prints it: `1`, `1.5`, `1e+06`; `plain` without exponents."""
    if math.isnan(value) or math.isinf(value):
        return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
    if value == 0:
        return "-0" if math.copysign(1, value) < 0 else "0"
    sign, digits, power = Decimal(repr(value)).as_tuple()
    text = "".join(map(str, digits)).rstrip("0") or "0"
    assert isinstance(power, int)
    exponent = len(digits) + power - 1
    lead = "-" if sign else ""
    if not plain and not -4 <= exponent < 6:
        rest = f".{text[1:]}" if len(text) > 1 else ""
        return f"{lead}{text[0]}{rest}e{'-' if exponent < 0 else '+'}{abs(exponent):02d}"
    if exponent < 0:
        return f"{lead}0.{'0' * (-exponent - 1)}{text}"
    whole = text[: exponent + 1].ljust(exponent + 1, "0")
    return f"{lead}{whole}.{text[exponent + 1 :]}" if len(text) > exponent + 1 else lead + whole


def moment(value: datetime) -> str:
    text = value.astimezone(UTC).isoformat().replace("+00:00", "")
    return (text.rstrip("0") if "." in text else text) + "Z"


def to_bytes(value: Any) -> bytes:
    if isinstance(value, str | bytes):
        return value.encode() if isinstance(value, str) else value
    raise NoOverload


def to_bool(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        if value in ("1", "t", "T", "true", "TRUE", "True"):
            return True
        if value in ("0", "f", "F", "false", "FALSE", "False"):
            return False
        raise _conversion(value, "bool")
    raise NoOverload


def to_duration(value: Any) -> timedelta:
    from workshop.api.cel.types import duration

    if isinstance(value, timedelta):
        return value
    match kind(value):
        case "string":
            try:
                return duration(value)
            except ValueError:
                raise EvaluationError(f'time: invalid duration "{value}"') from None
        case "int":
            return timedelta(seconds=value)
    raise NoOverload


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def to_timestamp(value: Any) -> datetime:
    if isinstance(value, datetime):
        return value
    match kind(value):
        case "string":
            return parse_moment(value)
        case "int":
            return _EPOCH + timedelta(seconds=value)
    raise NoOverload


def parse_moment(text: str) -> datetime:
    try:
        if len(text) < 20 or text[10] not in "Tt":
            raise ValueError(text)
        found = datetime.fromisoformat(text.upper().replace("Z", "+00:00"))
        if found.tzinfo is None:
            raise ValueError(text)
        return found
    except ValueError:
        lead = f'parsing time "{text}" as "2006-01-02T15:04:05Z07:00"'
        raise EvaluationError(f'{lead}: cannot parse "{text}" as "2006"') from None


def type_of(value: Any) -> TypeName:
    names = {
        "null": "null_type", "timestamp": "google.protobuf.Timestamp", "duration": "google.protobuf.Duration",
        "optional": "optional_type",
    }  # fmt: skip
    return TYPES[names.get(kind(value), kind(value))]


def _zone(name: str) -> tzinfo:
    if name and name[0] in "+-0123456789" and ":" in name:
        sign = -1 if name[0] == "-" else 1
        hours, _, minutes = name.lstrip("+-").partition(":")
        return timezone(sign * timedelta(hours=int(hours), minutes=int(minutes)))
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        raise EvaluationError(f"unknown time zone {name}") from None


def _of_time(read: Callable[[datetime], int]) -> Callable[..., int]:
    def get(value: Any, zone: str = "UTC") -> int:
        if not isinstance(value, datetime):
            raise NoOverload
        return read(value.astimezone(_zone(zone)))

    return get


def _part(name: str, of_length: Callable[[timedelta], float], of_time: Callable[[datetime], int]) -> Callable[..., int]:
    at = _of_time(of_time)

    def get(value: Any, zone: str = "UTC") -> int:
        return int(of_length(value)) if isinstance(value, timedelta) else at(value, zone)

    return get


def _text(does: Callable[[str, str], bool]) -> Callable[[Any, Any], bool]:
    def ask(a: Any, b: Any) -> bool:
        if not isinstance(a, str) or not isinstance(b, str):
            raise NoOverload
        return does(a, b)

    return ask


def _present(value: Any) -> bool:
    """Not the zero value of its kind."""
    return not (value is None or value in (False, 0, "", b"", [], {}) or value == timedelta(0))


def opened(value: Any) -> Any:
    if not isinstance(value, Optional):
        raise NoOverload
    if not value.there:
        raise EvaluationError("optional.none() dereference")
    return value.value


def _end(at: int) -> Callable[[Any], Optional]:
    def get(of: Any) -> Optional:
        if not isinstance(of, list):
            raise NoOverload
        return Optional(of[at], True) if of else NONE

    return get


def _has_value(of: Any) -> bool:
    if not isinstance(of, Optional):
        raise NoOverload
    return of.there


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "_==_": equal, "_!=_": lambda a, b: not equal(a, b), "_<_": lambda a, b: compare(a, b) < 0,
    "_<=_": lambda a, b: compare(a, b) <= 0, "_>_": lambda a, b: compare(a, b) > 0,
    "_>=_": lambda a, b: compare(a, b) >= 0, "_+_": add, "_-_": subtract, "_*_": multiply, "_/_": divide,
    "_%_": modulo, "-_": negate, "@in": contains, "_in_": contains, "size": size, "int": to_int, "uint": to_uint,
    "double": to_double, "string": to_string, "bytes": to_bytes, "bool": to_bool, "duration": to_duration,
    "timestamp": to_timestamp, "type": type_of, "dyn": lambda value: value,
    "contains": _text(lambda a, b: b in a), "startsWith": _text(str.startswith), "endsWith": _text(str.endswith),
    "getFullYear": _of_time(lambda t: t.year), "getMonth": _of_time(lambda t: t.month - 1),
    "getDate": _of_time(lambda t: t.day), "getDayOfMonth": _of_time(lambda t: t.day - 1),
    "getDayOfWeek": _of_time(lambda t: t.isoweekday() % 7),
    "getDayOfYear": _of_time(lambda t: t.timetuple().tm_yday - 1),
    "getHours": _part("hours", lambda d: d / timedelta(hours=1), lambda t: t.hour),
    "getMinutes": _part("minutes", lambda d: d / timedelta(minutes=1), lambda t: t.minute),
    "getSeconds": _part("seconds", lambda d: d / timedelta(seconds=1), lambda t: t.second),
    "getMilliseconds": _part("ms", lambda d: d / timedelta(milliseconds=1), lambda t: t.microsecond // 1000),
    "optional.of": lambda value: Optional(value, True), "optional.none": lambda: NONE,
    "optional.ofNonZeroValue": lambda value: Optional(value, True) if _present(value) else NONE,
    "value": opened, "hasValue": _has_value, "first": _end(0), "last": _end(-1),
    "optional.unwrap": lambda of: [each.value for each in of if each.there],
    "unwrapOpt": lambda of: [each.value for each in of if each.there],
}  # fmt: skip
