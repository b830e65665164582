"""`quantity('1Gi')` and `semver('1.2.3')`. Upstream: apiserver/pkg/cel/library/{quantity,semverlib}.go."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from workshop.api import quantity
from workshop.api.quantity import NANO

Value = dict[str, Any]
_SEMVER = re.compile(
    r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)"
    r"(?:-((?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(?:\.(?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*))?"
    r"(?:\+([0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*))?"
)
_LOOSE = re.compile(r"v?(\d+)(?:\.(\d+))?(?:\.(\d+))?((?:-|\+).*)?")


def _of(nano: int) -> Value:
    """In thousand-millionths, so that equal quantities are equal maps: `1000m` and `1`."""
    return {"quantity": str(nano)}


def _nano(found: Value) -> int:
    return int(found["quantity"])


def _is_quantity(text: str) -> bool:
    try:
        quantity.parse(text)
    except ValueError:
        return False
    return True


def _whole(found: Value) -> bool:
    return _nano(found) % NANO == 0 and abs(_nano(found) // NANO) < 1 << 63


def _integer(found: Value) -> int:
    if not _whole(found):
        raise ValueError("cannot convert value to integer")
    return _nano(found) // NANO


def semver(text: str, loose: bool = False) -> Value:
    """Raises ValueError."""
    if loose and (found := _LOOSE.fullmatch(text)):
        numbers = [str(int(part or 0)) for part in found.groups()[:3]]
        text = ".".join(numbers) + (found[4] or "")
    exact = _SEMVER.fullmatch(text)
    if exact is None:
        raise ValueError(_no_semver(text))
    return {"semver": f"{exact[1]}.{exact[2]}.{exact[3]}" + (f"-{exact[4]}" if exact[4] else "")}


def _no_semver(text: str) -> str:
    """What blang/semver says of it."""
    parts = text.split(".", 2)
    if not text or len(parts) != 3:
        return "No Major.Minor.Patch elements found" if text else "Version string empty"
    for name, part in zip(("major", "minor", "patch"), [*parts[:2], re.split(r"[-+]", parts[2])[0]], strict=True):
        if not part.isdigit():
            return f'Invalid character(s) found in {name} number "{part}"'
        if part[0] == "0" and len(part) > 1:
            return f'{name.capitalize()} number must not contain leading zeroes "{part}"'
    return f'Invalid character(s) found in prerelease "{text}"'


def _is_semver(text: str, loose: bool = False) -> bool:
    try:
        semver(text, loose)
    except ValueError:
        return False
    return True


def _order(found: Value) -> tuple[Any, ...]:
    numbers, dash, before = found["semver"].partition("-")
    parts = tuple((0, int(p), "") if p.isdigit() else (1, 0, p) for p in before.split(".")) if dash else ()
    return (*map(int, numbers.split(".")), 0 if dash else 1, parts)


def _part(index: int) -> Callable[[Value], int]:
    return lambda found: int(found["semver"].partition("-")[0].split(".")[index])


def _compare(a: Any, b: Any) -> int:
    return int(a > b) - int(a < b)


FUNCTIONS: list[tuple[str, str, str, Callable[..., Any]]] = [
    ("quantity", "string", "quantity", lambda text: _of(quantity.parse(text).nano)),
    ("isQuantity", "string", "bool", _is_quantity),
    ("sign", "quantity", "int", lambda q: _compare(_nano(q), 0)),
    ("+isGreaterThan", "quantity quantity", "bool", lambda a, b: _greater(a, b)),
    ("+isLessThan", "quantity quantity", "bool", lambda a, b: _greater(b, a)),
    ("+compareTo", "quantity quantity", "int", lambda a, b: _compared(a, b)),
    ("+asApproximateFloat", "quantity", "double", lambda q: _nano(q) / NANO),
    ("+asInteger", "quantity", "int", _integer),
    ("+isInteger", "quantity", "bool", _whole),
    ("+add", "quantity quantity", "quantity", lambda a, b: _of(_nano(a) + _nano(b))),
    ("+add", "quantity int", "quantity", lambda a, b: _of(_nano(a) + b * NANO)),
    ("+sub", "quantity quantity", "quantity", lambda a, b: _of(_nano(a) - _nano(b))),
    ("+sub", "quantity int", "quantity", lambda a, b: _of(_nano(a) - b * NANO)),
    ("semver", "string", "semver", semver),
    ("semver", "string bool", "semver", semver),
    ("isSemver", "string", "bool", _is_semver),
    ("isSemver", "string bool", "bool", _is_semver),
    ("+major", "semver", "int", _part(0)),
    ("+minor", "semver", "int", _part(1)),
    ("+patch", "semver", "int", _part(2)),
    ("+isGreaterThan", "semver semver", "bool", lambda a, b: _greater(a, b)),
    ("+isLessThan", "semver semver", "bool", lambda a, b: _greater(b, a)),
    ("+compareTo", "semver semver", "int", lambda a, b: _compared(a, b)),
]


def _key(found: Value) -> Any:
    return _nano(found) if "quantity" in found else _order(found)


def _greater(a: Value, b: Value) -> bool:
    return bool(_key(a) > _key(b))


def _compared(a: Value, b: Value) -> int:
    return _compare(_key(a), _key(b))
