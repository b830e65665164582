"""What calls of Kubernetes' functions cost at worst, and how long their results are. Upstream:
apiserver/pkg/cel/library/cost.go, cel-go ext/{lists,sets}.go.
"""

from __future__ import annotations

from math import ceil
from typing import Any, NamedTuple

from workshop.api.cel.costs import CHEAP, CHECK, LIST, MESSAGE, PATTERN, READING
from workshop.api.cel.ranges import MOST, ONE, UNKNOWN, ZERO, Path, Range, Sizes, exactly
from workshop.api.cel.syntax import Expr, Literal


class Node(NamedTuple):
    """An argument as the estimates of calls see it."""

    expr: Expr
    path: Path
    type: tuple[Any, ...]
    size: Range


def of_library(name: str, target: Node | None, args: list[Node], sizes: Sizes) -> tuple[Range, Range | None] | None:
    """What a call of Kubernetes' functions costs, and how long its result is; None for a function of CEL's own."""
    first = args[0].size if args else UNKNOWN
    match name:
        case "check":
            return exactly(CHECK), None
        case _ if name in CHEAP or name.startswith("format."):
            return ONE, None
        case "fieldSelector" | "labelSelector" if len(args) == 1:
            return exactly(LIST).plus(first.by(READING)).plus(first.by(0.5).by(float(LIST + MESSAGE))), None
        case "isSorted" | "sum" | "max" | "min" | "indexOf" | "lastIndexOf" if target is not None:
            return _walk(target, sizes), None
        case "url" | "jsonpatch.escapeKey":
            return first.by(READING), first
        case "lowerAscii" | "upperAscii" | "substring" | "trim" if target is not None:
            return target.size.by(READING), target.size
        case "replace" if target is not None and len(args) > 1:
            return target.size.by(2 * READING), _replaced(target.size, first, args[1].size)
        case "split" if target is not None:
            most = args[1].expr.value if len(args) > 1 and isinstance(args[1].expr, Literal) else target.size.most
            return target.size.by(2 * READING), Range(0, most & MOST)
        case "join" if target is not None:
            size = _joined(target, args, sizes)
            return size.by(READING), size
        case "find" | "findAll" if target is not None:
            cost = target.size.plus(ONE).by(READING).times(first.by(PATTERN))
            return cost, Range(0, target.size.most)
        case "cidr" | "isIP" | "isCIDR" | "quantity" | "isQuantity" | "semver" | "isSemver":
            return first.by(READING), None
        case "ip":
            return (ONE if not args else first.by(READING)), None
        case "ip.isCanonical":
            return first.by(2 * READING), None
        case "containsIP" | "containsCIDR":
            return _contained(name, args[0]), None
        case "validate":
            return first.by(READING).by(128 * PATTERN), None
        case "strings.quote":
            return first.by(READING), Range(first.least + 2, min(first.most * 2 + 2, MOST))
        case "format" if target is not None:
            return target.size.by(READING), None
    return _of_lists(name, target, args)


def _walk(target: Node, sizes: Sizes) -> Range:
    if target.type[0] != "list":
        return target.size.by(READING)
    each = ONE
    if target.type[1][0] in ("string", "bytes"):
        found = sizes((*target.path, "@items")) if target.path else None
        each = each.plus((found or UNKNOWN).by(READING))
    return target.size.times(each)


def _joined(target: Node, args: list[Node], sizes: Sizes) -> Range:
    size = ZERO  # of what is no list to the checker
    if target.type[0] == "list":
        found = sizes((*target.path, "@items")) if target.path else None
        size = target.size.times(UNKNOWN if found is None else found)
    if args:
        between = Range(max(target.size.least - 1, 0), max(target.size.most - 1, 0))
        size = size.plus(args[0].size.times(between))
    return size


def _replaced(text: Range, old: Range, new: Range) -> Range:
    """How long a text is after `replace`."""
    if old.least == 0:
        most = min(min(text.most + 1, MOST) * new.most, MOST) + text.most
    elif new.most <= old.least:
        most = text.most
    else:
        most = ceil(text.most / old.least) * new.most
    if old.most == 0:
        least = (text.least + 1) * new.least + text.least
    elif old.most <= new.least:
        least = text.least
    else:
        least = ceil(text.least / old.most) * new.least
    return Range(min(least, MOST), min(most, MOST))


def _contained(name: str, other: Node) -> Range:
    address = Range(4, 16)
    cost = address.plus(address).by(READING)
    if name == "containsCIDR":
        cost = cost.plus(address.by(READING)).plus(ONE)
    return cost.plus(other.size.by(READING)) if other.type[0] == "string" else cost


def _of_lists(name: str, target: Node | None, args: list[Node]) -> tuple[Range, Range | None] | None:
    def made(factor: float, length: Range) -> tuple[Range, Range]:
        return length.by(factor).plus(exactly(LIST + 1)), length

    def number(node: Node, otherwise: int) -> int:
        value = node.expr.value if isinstance(node.expr, Literal) else None
        return value if isinstance(value, int) and value >= 0 else otherwise

    match name:
        case "slice" if target is not None:
            return made(1, exactly((number(args[1], target.size.most) - number(args[0], 0)) & MOST))
        case "lists.range":
            return made(1, exactly(number(args[0], MOST)))
        case "reverse" if target is not None:
            return made(1, target.size)
        case "flatten" if target is not None:
            return made(float(number(args[0], MOST)) if args else 1.0, target.size)
        case "distinct" if target is not None:
            return made(2.0, target.size.times(target.size))
        case "sort" if target is not None:
            textual = target.type[0] == "list" and target.type[1][0] in ("string", "bytes")
            return made(2.1 if textual else 2.0, target.size.times(target.size))
        case "sets.contains" | "sets.intersects" | "sets.equivalent":
            return args[0].size.times(args[1].size).by(2 if name == "sets.equivalent" else 1).plus(ONE), None
    return None
