"""What a call costs while an expression runs, in upstream's units: a tenth for each character that is read, ten for a
list that is made, 350,000 for a question to the authorizer.

Upstream: cel-go interpreter/runtimecost.go, cel-go ext/{lists,sets}.go, apiserver/pkg/cel/library/cost.go;
limits: apiserver/pkg/apis/cel/config.go.
"""

from __future__ import annotations

from math import ceil
from typing import Any

from workshop.api.cel.values import Optional

PER_CALL, PER_OBJECT, PER_CONDITIONS = 1_000_000, 10_000_000, 2_500_000
"""Of one expression; of all of a custom object, or of a policy under a binding; of matchConditions."""
LIST, MAP, MESSAGE = 10, 30, 40
READING, PATTERN = 0.1, 0.25
CHECK = 350_000

CHEAP = frozenset({
    "serviceAccount", "path", "group", "resource", "subresource", "namespace", "name", "allowed", "reason", "error",
    "errored", "masked", "prefixLength", "family", "isUnspecified", "isLoopback", "isLinkLocalMulticast",
    "isLinkLocalUnicast", "isGlobalUnicast", "sign", "asInteger", "isInteger", "asApproximateFloat", "isGreaterThan",
    "isLessThan", "compareTo", "add", "sub", "major", "minor", "patch", "getScheme", "getHostname", "getHost",
    "getPort", "getEscapedPath", "getQuery",
})  # fmt: skip
_WALKS = frozenset({"isSorted", "sum", "max", "min", "indexOf", "lastIndexOf"})
_READS = frozenset({
    "url", "lowerAscii", "upperAscii", "substring", "trim", "jsonpatch.escapeKey", "cidr", "isIP", "isCIDR", "ip",
    "quantity", "isQuantity", "semver", "isSemver", "startsWith", "endsWith", "strings.quote", "format",
})  # fmt: skip
_COMPARES = frozenset({"_<_", "_<=_", "_>_", "_>=_"})
PATTERN_SIZES = {
    "dns1123Label": 30, "dns1123Subdomain": 60, "dns1035Label": 30, "qualifiedName": 60, "dns1123LabelPrefix": 30,
    "dns1123SubdomainPrefix": 60, "dns1035LabelPrefix": 30, "labelValue": 40, "uri": 1103, "uuid": 70, "byte": 84,
    "date": 71, "datetime": 71,
}  # fmt: skip


def size(value: Any) -> int:
    """What reading a value means: characters, elements; 1 for what has no length."""
    if isinstance(value, dict) and len(value) == 1 and (address := value.get("ip") or value.get("cidr")):
        return 16 if ":" in str(address) else 4
    if isinstance(value, str | bytes | list | dict):
        return len(value)
    return size(value.value) if isinstance(value, Optional) and value.there else 1


def _reading(length: float, times: float = 1) -> int:
    return ceil(length * times * READING)


def _matching(text: int, pattern: int) -> int:
    return ceil((1.0 + text) * READING) * ceil(pattern * PATTERN)


def walking(value: Any) -> int:
    """To look at each element, however deep."""
    if isinstance(value, str | bytes):
        return int(len(value.encode() if isinstance(value, str) else value) * READING)
    if isinstance(value, list):
        return sum(map(walking, value))
    if isinstance(value, dict):
        return sum(walking(key) + walking(each) for key, each in value.items())
    return 1


def _made(factor: float, length: int) -> int:
    return int(length * factor) + 1 + LIST


def _sorting(keys: list[Any]) -> int:
    textual = bool(keys) and isinstance(keys[0], str | bytes)
    return _made(2.1 if textual else 2.0, len(keys) ** 2)


def of_call(name: str, args: list[Any], result: Any) -> int:
    """A member's target is the first of `args`."""
    sizes = [size(each) for each in args]
    match name:
        case "check":
            return CHECK
        case _ if name in CHEAP:
            return 1
        case "fieldSelector" | "labelSelector" if len(args) > 1:
            return LIST + _reading(sizes[1]) + ceil(ceil(sizes[1] * 0.5) * float(LIST + MESSAGE))
        case _ if name in _WALKS:
            return walking(args[0]) if args else 0
        case "ip" if isinstance(args[0], dict):
            return 1
        case _ if name in _READS:
            return _reading(sizes[0])
        case "replace" | "split" | "ip.isCanonical":
            return _reading(sizes[0], 2)
        case "join":
            return _reading(size(result), 2)
        case "find" | "findAll" | "matches" if len(args) > 1:
            return _matching(sizes[0], sizes[1])
        case "containsIP":
            return _reading(2 * sizes[0]) + (_reading(sizes[1]) if isinstance(args[1], str) else 0)
        case "containsCIDR":
            own = _reading(2 * sizes[0]) + _reading(sizes[0]) + 1
            return own + (_reading(sizes[1]) if isinstance(args[1], str) else 0)
        case "validate":
            return _matching(sizes[1], PATTERN_SIZES.get(args[0].get("format", ""), 30))
        case "slice" | "lists.range" | "reverse":
            return _made(1, size(result))
        case "flatten":
            return _made(float(args[1]) if len(args) == 2 else 1.0, sizes[0])
        case "distinct" | "sort":
            return _sorting(args[0])
        case "@sortByAssociatedKeys":
            return _sorting(args[1])
        case "sets.contains" | "sets.intersects":
            return 1 + sizes[0] * sizes[1]
        case "sets.equivalent":
            return 1 + 2 * sizes[0] * sizes[1]
        case "@in":
            return sizes[1] if isinstance(args[1], list) else 1
        case "_==_" | "_!=_":
            return _reading(min(sizes))
        case _ if name in _COMPARES and isinstance(args[0], str | bytes):
            return _reading(min(sizes))
        case "_+_" if isinstance(args[0], str | bytes):
            return _reading(sum(sizes))
        case "contains":
            return _reading(sizes[0]) * _reading(sizes[1])
        case "string" | "bytes" if isinstance(args[0], str | bytes) and (name == "string") != isinstance(args[0], str):
            return _reading(sizes[0])
    return 1
