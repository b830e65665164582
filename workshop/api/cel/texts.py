"""Functions of strings, as cel-go's strings extension has them (version 2, the one that Kubernetes takes).

They are written here because the library cannot give one name (`indexOf`) to strings and, for Kubernetes, to lists.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from workshop.api.cel import standard, values
from workshop.api.cel.values import kind

_CLAUSES = {
    "b": "only integers and bools can be formatted as binary", "d": "decimal clause can only be used on integers",
    "f": "fixed-point clause can only be used on doubles", "o": "octal clause can only be used on integers",
    "x": "only integers, byte buffers, and strings can be formatted as hex",
    "X": "only integers, byte buffers, and strings can be formatted as hex",
    "e": "scientific clause can only be used on doubles",
}  # fmt: skip
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_CLAUSE = re.compile(r"%(?:\.(\d+))?(.)", re.DOTALL)


def _char(text: str, index: int) -> str:
    if not 0 <= index <= len(text):
        raise ValueError(f"index out of range: {index}")
    return text[index : index + 1]


def _substring(text: str, start: int, end: int | None = None) -> str:
    end = len(text) if end is None else end
    for index in (start, end):
        if not 0 <= index <= len(text):
            raise ValueError(f"index out of range: {index}")
    if start > end:
        raise ValueError(f"invalid substring range. start: {start}, end: {end}")
    return text[start:end]


def _replace(text: str, old: str, new: str, most: int = -1) -> str:
    return text.replace(old, new, most)


def _split(text: str, separator: str, most: int = -1) -> list[str]:
    if most == 0:
        return []
    if not separator:
        parts = list(text)
        return parts if most < 0 or len(parts) <= most else [*parts[: most - 1], "".join(parts[most - 1 :])]
    return text.split(separator, most - 1 if most > 0 else -1)


def format(text: str, values: list[Any]) -> str:
    """`'%s is %d'.format([…])`. Raises ValueError."""
    left = list(values)

    def clause(found: re.Match[str]) -> str:
        precision, verb = found[1], found[2]
        if verb == "%":
            return "%"
        if not left:
            raise ValueError("index 0 out of range" if not values else f"index {len(values)} out of range")
        return formatted(left.pop(0), verb, int(precision) if precision else 6)

    return _CLAUSE.sub(clause, text)


def clauses(text: str) -> list[tuple[str, int]]:
    """Verb and precision of each clause that takes a value."""
    return [(found[2], int(found[1]) if found[1] else 6) for found in _CLAUSE.finditer(text) if found[2] != "%"]


def formatted(value: Any, verb: str, precision: int) -> str:
    if verb == "s":
        return shown(value)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if verb == "d" and isinstance(value, int) and number:
        return str(value)
    if verb == "f" and number:
        return f"{value:.{precision}f}"
    if verb == "e" and number:
        mantissa, _, power = f"{value:.{precision}e}".partition("e")
        return f"{mantissa}×10{power.removeprefix('+').translate(_RAISED)}"
    if verb in "box" and isinstance(value, bool | int):
        return ("1" if value else "0") if value is True or value is False else f"{value:{verb}}"
    if verb == "X" and isinstance(value, int) and number:
        return f"{value:X}"
    if verb in "xX" and isinstance(value, str | bytes):
        told = (value.encode() if isinstance(value, str) else value).hex()
        return told.upper() if verb == "X" else told
    names = {"null": "null_type", "timestamp": "google.protobuf.Timestamp", "duration": "google.protobuf.Duration"}
    why = _CLAUSES.get(verb)
    if why is None:
        raise ValueError(f'could not parse formatting clause: unrecognized formatting clause "{verb}"')
    raise ValueError(f"error during formatting: {why}, was given {names.get(kind(value), kind(value))}")


def shown(value: Any) -> str:
    """`%s` of any value."""
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case bytes():
            return value.decode(errors="replace")
        case timedelta():
            return f"{value.total_seconds():g}s"
        case datetime():
            return value.isoformat().replace("+00:00", "Z")
        case list():
            return "[" + ", ".join(map(_inside, value)) + "]"
        case dict():
            return "{" + ", ".join(f"{_inside(key)}:{_inside(value[key])}" for key in sorted(value, key=str)) + "}"
        case float():
            return standard.number(value)
        case values.TypeName():
            return value.name
    return str(value)


def _inside(value: Any) -> str:
    """In a list or a map texts stand in quotes."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else shown(value)


FUNCTIONS: list[tuple[str, str, str, Callable[..., Any]]] = [
    ("+charAt", "string int", "string", _char),
    ("+indexOf", "string string", "int", lambda text, part: text.find(part)),
    ("+indexOf", "string string int", "int", lambda text, part, start: text.find(part, start)),
    ("+lastIndexOf", "string string", "int", lambda text, part: text.rfind(part)),
    ("+lastIndexOf", "string string int", "int", lambda text, part, end: text.rfind(part, 0, end + len(part))),
    ("+join", "list_string", "string", lambda parts: "".join(parts)),
    ("+join", "list_string string", "string", lambda parts, separator: separator.join(parts)),
    ("+lowerAscii", "string", "string", lambda text: re.sub("[A-Z]", lambda c: c[0].lower(), text)),
    ("+upperAscii", "string", "string", lambda text: re.sub("[a-z]", lambda c: c[0].upper(), text)),
    ("+replace", "string string string", "string", _replace),
    ("+replace", "string string string int", "string", _replace),
    ("+split", "string string", "list_string", _split),
    ("+split", "string string int", "list_string", _split),
    ("+substring", "string int", "string", _substring),
    ("+substring", "string int int", "string", _substring),
    ("+trim", "string", "string", lambda text: text.strip()),
    ("+format", "string list", "string", format),
    ("strings.quote", "string", "string", lambda text: json.dumps(text, ensure_ascii=False)),
]
