"""Kubernetes' functions, in one table: a name, the types that it takes and gives, and what it does.

A `+` before a name makes a function a member of its first argument: `+isSorted` is called `list.isSorted()`. Upstream:
apiserver/pkg/cel/library; cel-go's ext (sets, lists).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache
from itertools import pairwise
from typing import Any

from workshop.api.cel import amounts, authorizer, network, texts
from workshop.api.custom import formats

Function = tuple[str, str, str, Callable[..., Any]]
"""Name, argument types, result type, implementation."""
OPAQUE = {
    "quantity": "kubernetes.Quantity", "url": "kubernetes.URL", "ip": "net.IP", "cidr": "net.CIDR",
    "semver": "kubernetes.Semver", "format": "kubernetes.NamedFormat",
    "authorizer": "kubernetes.authorization.Authorizer", "path_check": "kubernetes.authorization.PathCheck",
    "group_check": "kubernetes.authorization.GroupCheck",
    "resource_check": "kubernetes.authorization.ResourceCheck", "decision": "kubernetes.authorization.Decision",
}  # fmt: skip
SCALARS = ("int", "double", "string", "bool", "uint", "bytes", "duration", "timestamp", "map", "list")


def cel() -> Any:
    """The library. Its first use loads it."""
    from cel_expr_python import cel

    return cel


@cache
def extensions() -> list[Any]:
    from cel_expr_python.ext import ext_bindings, ext_encoders, ext_math, ext_optional

    return [ext_bindings.ExtBindings(), ext_encoders.ExtEncoders(), ext_math.ExtMath(), ext_optional.ExtOptional()]


@cache
def functions(checking: bool) -> list[Any]:
    """The table as declarations: with types of their own for the checker, as plain maps for the evaluator."""
    library = cel()
    declared: dict[str, list[Any]] = {}
    seen: set[tuple[str, ...]] = set()
    for index, (name, takes, gives, does) in enumerate(table()):
        if not checking:  # as plain values a quantity and a semver are alike: one function serves both
            takes, gives = " ".join(map(_kind, takes.split())), _kind(gives) if gives in OPAQUE else "dyn"
        told = (name, *takes.split())
        if told in seen:
            continue
        seen.add(told)
        parameters = [_type(library, each, checking) for each in takes.split()]
        declared.setdefault(name.removeprefix("+"), []).append(
            library.Overload(
                id=f"k8s_{index}", return_type=_type(library, gives, checking), parameters=parameters,
                is_member=name.startswith("+"), impl=does,
            )
        )  # fmt: skip
    return [library.FunctionDecl(name, overloads) for name, overloads in declared.items()]


def _kind(name: str) -> str:
    """What the evaluator tells apart."""
    return "map" if name in OPAQUE else "list" if name.startswith("list") else name


def _type(library: Any, name: str, checking: bool) -> Any:
    types = library.Type
    if name in OPAQUE:
        return types.AbstractType(OPAQUE[name]) if checking else types.MAP
    if name == "optional":
        return types.DYN
    if name.startswith("list_"):
        return types.List(getattr(types, name[5:].upper()))
    return getattr(types, name.upper())


def table() -> Iterator[Function]:
    yield from _lists()
    yield "+find", "string string", "string", lambda text, pattern: next(iter(_matches(text, pattern)), "")
    yield "+findAll", "string string", "list_string", lambda text, pattern: list(_matches(text, pattern))
    yield "+findAll", "string string int", "list_string", lambda text, pattern, most: _matches(text, pattern)[:most]
    yield "sets.contains", "list list", "bool", lambda a, b: all(each in a for each in b)
    yield "sets.intersects", "list list", "bool", lambda a, b: any(each in a for each in b)
    yield "sets.equivalent", "list list", "bool", lambda a, b: all(x in b for x in a) and all(x in a for x in b)
    yield "jsonpatch.escapeKey", "string", "string", lambda text: text.replace("~", "~0").replace("/", "~1")
    yield from _formats()
    yield from texts.FUNCTIONS
    yield from network.FUNCTIONS
    yield from amounts.FUNCTIONS
    yield from authorizer.FUNCTIONS


def _lists() -> Iterator[Function]:
    yield "+isSorted", "list", "bool", lambda found: all(a <= b for a, b in pairwise(found))
    yield "+sum", "list_int", "int", sum
    yield "+sum", "list_double", "double", sum
    yield "+min", "list", "dyn", lambda found: _least(found, min)
    yield "+max", "list", "dyn", lambda found: _least(found, max)
    for kind in SCALARS:
        yield "+indexOf", f"list {kind}", "int", lambda found, value: _index(found, value)
        yield "+lastIndexOf", f"list {kind}", "int", _last
    yield "+distinct", "list", "list", _distinct
    yield "+reverse", "list", "list", lambda found: found[::-1]
    yield "+flatten", "list", "list", lambda found: _flat(found, 1)
    yield "+flatten", "list int", "list", _flat
    yield "+slice", "list int int", "list", _slice
    yield "+sort", "list", "list", sorted
    yield "lists.range", "int", "list_int", lambda count: list(range(count))


def _least(found: list[Any], choose: Callable[[list[Any]], Any]) -> Any:
    if not found:
        raise ValueError(f"{choose.__name__} called on empty list")
    return choose(found)


def _index(found: list[Any], value: Any) -> int:
    return found.index(value) if value in found else -1


def _last(found: list[Any], value: Any) -> int:
    return len(found) - 1 - found[::-1].index(value) if value in found else -1


def _distinct(found: list[Any]) -> list[Any]:
    made: list[Any] = []
    for each in found:
        if each not in made:
            made.append(each)
    return made


def _flat(found: list[Any], depth: int) -> list[Any]:
    if depth < 0:
        raise ValueError("level must be non-negative")
    made: list[Any] = []
    for each in found:
        made += _flat(each, depth - 1) if isinstance(each, list) and depth else [each]
    return made


def _slice(found: list[Any], start: int, end: int) -> list[Any]:
    if start < 0 or end < 0:
        raise ValueError(f"cannot slice({start}, {end}), negative indexes not supported")
    if start > end:
        raise ValueError(f"cannot slice({start}, {end}), start index must be less than or equal to end index")
    if end > len(found):
        raise ValueError(f"cannot slice({start}, {end}), list is length {len(found)}")
    return found[start:end]


def _matches(text: str, pattern: str) -> list[str]:
    return [found[0] for found in re.finditer(pattern, text)]


# --- named formats ---------------------------------------------------------------------------------------------------

_NAMED = {
    "dns1123Label": "k8s-short-name", "dns1123Subdomain": "k8s-long-name", "dns1035Label": "dns1035",
    "qualifiedName": "qualified", "dns1123LabelPrefix": "dns1123prefix", "dns1123SubdomainPrefix": "subdomainprefix",
    "dns1035LabelPrefix": "dns1035prefix", "labelValue": "label", "uri": "uri", "uuid": "uuid", "byte": "byte",
    "date": "date", "datetime": "datetime",
}  # fmt: skip


def _formats() -> Iterator[Function]:
    for name in _NAMED:
        yield f"format.{name}", "", "format", lambda name=name: {"format": name}
    yield "+validate", "format string", "optional", lambda format, text: complaints(format["format"], text)


def complaints(format: str, text: str) -> list[str]:
    """What is wrong with a text that shall be of a named format."""
    from workshop.api import names

    checks: dict[str, Callable[[str], list[str]]] = {
        "dns1123Label": names.dns1123_label, "dns1123Subdomain": names.dns1123_subdomain,
        "dns1035Label": names.dns1035_label, "qualifiedName": names.qualified_name, "labelValue": names.label_value,
        "dns1123LabelPrefix": lambda value: names.dns1123_label(names.mask_trailing_dash(value)),
        "dns1123SubdomainPrefix": lambda value: names.dns1123_subdomain(names.mask_trailing_dash(value)),
        "dns1035LabelPrefix": lambda value: names.dns1035_label(names.mask_trailing_dash(value)),
    }  # fmt: skip
    if format in checks:
        return checks[format](text)
    known = {"uri": "invalid uri", "uuid": "does not match the UUID format", "byte": "invalid base64",
             "date": "invalid date", "datetime": "invalid datetime"}  # fmt: skip
    return [] if formats.holds(format, text) else [known[format]]


def quoted(text: str) -> str:
    """A text as CEL writes it."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n") + "'"
