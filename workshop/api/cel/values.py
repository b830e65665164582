"""Values as expressions see them, which kinds there are, and the errors of evaluation.

Plain Python, but for an unsigned integer (`Uint`), an optional and the name of a type. Numbers of all kinds are
compared by what they are worth. Upstream: cel-go common/types.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any


class Uint(int):
    """An unsigned integer, which CEL does not mix with others."""


class EvaluationError(ValueError):
    """The expression has no value for these variables: a key is missing, an index out of bounds, …"""

    over_budget = False


class NoOverload(EvaluationError):
    def __init__(self) -> None:
        super().__init__("no such overload")


class OverBudget(EvaluationError):
    """Nothing catches this one."""

    over_budget = True


@dataclass(frozen=True)
class Optional:
    """`optional.of(value)`; without `there` it is `optional.none()`."""

    value: Any = None
    there: bool = False


@dataclass(frozen=True)
class TypeName:
    """What `type(x)` gives."""

    name: str


NONE = Optional()
TYPES = {
    name: TypeName(name)
    for name in (
        "bool", "int", "uint", "double", "string", "bytes", "list", "map", "null_type", "type", "dyn", "optional_type",
        "google.protobuf.Timestamp", "google.protobuf.Duration",
    )
}  # fmt: skip


def kind(value: Any) -> str:
    """Which of CEL's kinds a value is of."""
    match value:
        case None:
            return "null"
        case bool():
            return "bool"
        case Uint():
            return "uint"
        case int():
            return "int"
        case float():
            return "double"
        case str():
            return "string"
        case bytes():
            return "bytes"
        case dict():
            return "map"
        case list():
            return "list"
        case datetime():
            return "timestamp"
        case timedelta():
            return "duration"
        case Optional():
            return "optional"
    return "type"


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def equal(a: Any, b: Any) -> bool:
    if is_number(a) and is_number(b):
        return bool(a == b)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(equal, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return len(a) == len(b) and all(key in b and equal(each, b[key]) for key, each in a.items())
    return kind(a) == kind(b) and bool(a == b)


def compare(a: Any, b: Any) -> int:
    """Less than, equal to or greater than 0. Raises NoOverload."""
    known = kind(a)
    if (is_number(a) and is_number(b)) or (known == kind(b) and known in _ORDERED):
        return int(a > b) - int(a < b)
    raise NoOverload


_ORDERED = ("bool", "string", "bytes", "timestamp", "duration")
