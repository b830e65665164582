"""Kubernetes' functions, in one table: a name, the types that it takes and gives, and what it does.

A `+` before a name makes a function a member of its first argument: `+isSorted` is called `list.isSorted()`. Upstream:
apiserver/pkg/cel/library; cel-go's ext (sets, lists).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache, cmp_to_key
from itertools import pairwise
from typing import Any

from workshop.api.cel import amounts, authorizer, network, standard, texts
from workshop.api.cel.standard import add, contains
from workshop.api.cel.syntax import ANY
from workshop.api.cel.values import NONE, EvaluationError, NoOverload, Optional, compare, equal, kind
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
def extensions(bind: bool) -> list[Any]:
    from cel_expr_python.ext import ext_bindings, ext_optional

    return [ext_optional.ExtOptional(), *([ext_bindings.ExtBindings()] if bind else [])]


@cache
def parser() -> Any:
    """An environment that knows nothing but the grammar, with `a.?b` and the macros of optionals."""
    from cel_expr_python.ext import ext_optional

    return cel().NewEnv(extensions=[ext_optional.ExtOptional()])


@cache
def matcher() -> Any:
    """RE2, whose time is linear to the text: for patterns that others wrote."""
    return cel().NewEnv(variables={"s": cel().Type.STRING, "p": cel().Type.STRING}).compile("s.matches(p)")


def matches(text: str, pattern: str) -> bool:
    if not isinstance(text, str) or not isinstance(pattern, str):
        raise NoOverload
    try:
        found = matcher().eval(data={"s": text, "p": pattern})
    except RuntimeError as error:
        raise EvaluationError(_no_pattern(str(error), pattern)) from None
    if str(found.type()) == "ERROR":
        raise EvaluationError(_no_pattern(str(found.plain_value()), pattern))
    return bool(found.plain_value())


_IN_GO = {
    "missing ]": "missing closing ]", "missing )": "missing closing )",
    "invalid named capture group": "invalid named capture",
    "no argument for repetition operator": "missing argument to repetition operator",
    "bad repetition operator": "invalid nested repetition operator",
    "trailing \\": "trailing backslash at end of expression",
    "invalid perl operator": "invalid or unsupported Perl syntax", "invalid repetition size": "invalid repeat count",
}  # fmt: skip
"""RE2's words for what is no pattern, and those of Go's regexp/syntax."""


def _no_pattern(told: str, pattern: str) -> str:
    """
    >>> _no_pattern("INVALID_ARGUMENT: invalid regular expression: missing ]: [a", "b[a")
    'error parsing regexp: missing closing ]: `[a`'
    """
    told = told.partition("invalid regular expression: ")[2].partition(" [INVALID_ARGUMENT]")[0]
    why, _, part = told.partition(": ")
    said = f"{_IN_GO.get(why, why)}: `{part}`" if why else f"`{pattern}`"
    return f"error parsing regexp: {said}"


TEXT = "_text_"
"""`string` for the checker where an address is made one: to its own function no overload can be added."""
ONLY_MUTATING = ("jsonpatch.escapeKey",)


@cache
def functions(mutating: bool = False) -> list[Any]:
    """The table as declarations for the checker."""
    library = cel()
    declared: dict[str, list[Any]] = {}
    for index, (name, takes, gives, _) in enumerate(table()):
        if name in ONLY_MUTATING and not mutating:
            continue
        parameters = [_type(library, each) for each in takes.split()]
        declared.setdefault(name.removeprefix("+"), []).append(
            library.Overload(
                id=f"k8s_{index}", return_type=_type(library, gives), parameters=parameters,
                is_member=name.startswith("+"), impl=_never,
            )
        )  # fmt: skip
    return [library.FunctionDecl(name, overloads) for name, overloads in declared.items()]


def _never(*args: Any) -> Any:
    raise AssertionError("the library only parses and checks")


@cache
def implementations() -> dict[str, Callable[..., Any]]:
    """The table as functions by name, each of which finds its overload by the kinds of its arguments."""
    found: dict[str, list[tuple[list[str], Callable[..., Any]]]] = {}
    for name, takes, _, does in table():
        found.setdefault(name.removeprefix("+"), []).append((takes.split(), does))
    made = {name: _one_of(overloads) for name, overloads in found.items()}
    return {**made, "matches": matches, "@sortByAssociatedKeys": _sorted_by}


def _one_of(overloads: list[tuple[list[str], Callable[..., Any]]]) -> Callable[..., Any]:
    def call(*args: Any) -> Any:
        for kinds, does in overloads:
            if len(kinds) == len(args) and all(map(_is, args, kinds)):
                return does(*args)
        raise NoOverload

    return call


def _is(value: Any, wanted: str) -> bool:
    if wanted == "dyn":
        return True
    if wanted in OPAQUE:
        return isinstance(value, dict) and (
            wanted not in ("quantity", "url", "ip", "cidr", "semver", "format") or wanted in value
        )
    return kind(value) == ("list" if wanted.startswith("list") else wanted)


def _type(library: Any, name: str) -> Any:
    types = library.Type
    if name in OPAQUE:
        return types.AbstractType(OPAQUE[name])
    if name == "optional":
        return types.DYN
    if name.startswith("list_"):
        return types.List(getattr(types, name[5:].upper()))
    return getattr(types, name.upper())


def of_type(of: tuple[Any, ...]) -> Any:
    """A type of a tree as the library's."""
    types = cel().Type
    inside = [of_type(each) for each in of[1:] if isinstance(each, tuple)]
    match of[0]:
        case "list" | "map":
            return getattr(types, of[0].capitalize())(*inside)
        case "opaque":
            return types.DYN if of[1] == "optional_type" else types.AbstractType(of[1], inside)
        case "message":
            return types(of[1])
        case "any":
            return types("google.protobuf.Any")
        case "parameter":
            return types.DYN
    return getattr(types, of[0].upper())


def table() -> Iterator[Function]:
    yield from _lists()
    yield "+unwrapOpt", "list", "list", _unwrapped
    yield "optional.unwrap", "list", "list", _unwrapped
    yield "+find", "string string", "string", lambda text, pattern: next(iter(_matches(text, pattern)), "")
    yield "+findAll", "string string", "list_string", lambda text, pattern: list(_matches(text, pattern))
    yield "+findAll", "string string int", "list_string", lambda text, pattern, most: _matches(text, pattern)[:most]
    yield "sets.contains", "list list", "bool", lambda a, b: all(contains(each, a) for each in b)
    yield "sets.intersects", "list list", "bool", lambda a, b: any(contains(each, a) for each in b)
    yield "sets.equivalent", "list list", "bool", _equivalent
    yield "jsonpatch.escapeKey", "string", "string", lambda text: text.replace("~", "~0").replace("/", "~1")
    yield from _formats()
    yield from texts.FUNCTIONS
    yield from network.FUNCTIONS
    for of in ("ip", "cidr", "bool", "bytes", "double", "duration", "int", "string", "timestamp", "uint"):
        yield TEXT, of, "string", standard.to_string
    yield ANY, "dyn", "dyn", lambda value: value
    yield from amounts.FUNCTIONS
    yield from authorizer.FUNCTIONS


def _lists() -> Iterator[Function]:
    for of in ("int", "uint", "double", "duration"):
        yield "+sum", f"list_{of}", of, _sum
    for of in ("int", "uint", "double", "bool", "duration", "timestamp", "string", "bytes"):
        yield "+isSorted", f"list_{of}", "bool", lambda found: all(compare(a, b) <= 0 for a, b in pairwise(found))
        yield "+min", f"list_{of}", of, lambda found: _least(found, "min", -1)
        yield "+max", f"list_{of}", of, lambda found: _least(found, "max", 1)
        yield "+sort", f"list_{of}", f"list_{of}", _sort
    for of in SCALARS:
        yield "+indexOf", f"list {of}", "int", lambda found, value: _index(found, value)
        yield "+lastIndexOf", f"list {of}", "int", _last
    yield "+distinct", "list", "list", _distinct
    yield "+reverse", "list", "list", lambda found: found[::-1]
    yield "+flatten", "list", "list", lambda found: _flat(found, 1)
    yield "+flatten", "list int", "list", _flat
    yield "+slice", "list int int", "list", _slice
    yield "lists.range", "int", "list_int", lambda count: list(range(count))


def _equivalent(a: list[Any], b: list[Any]) -> bool:
    return all(contains(x, b) for x in a) and all(contains(x, a) for x in b)


def _sum(found: list[Any]) -> Any:
    total = found[0] if found else 0
    for each in found[1:]:
        total = add(total, each)
    return total


def _least(found: list[Any], name: str, sign: int) -> Any:
    if not found:
        raise ValueError(f"{name} called on empty list")
    chosen = found[0]
    for each in found[1:]:
        if compare(each, chosen) * sign > 0:
            chosen = each
    return chosen


def _sort(found: list[Any]) -> list[Any]:
    return _sorted_by(found, found)


def _sorted_by(found: list[Any], keys: list[Any]) -> list[Any]:
    """By their keys, which must be of one kind."""
    for key in keys:
        if kind(key) != kind(keys[0]):
            raise EvaluationError("list elements must have the same type")

    def by_key(a: int, b: int) -> int:
        return compare(keys[a], keys[b])

    order = sorted(range(len(found)), key=cmp_to_key(by_key))
    return [found[at] for at in order]


def _index(found: list[Any], value: Any) -> int:
    return next((at for at, each in enumerate(found) if equal(each, value)), -1)


def _last(found: list[Any], value: Any) -> int:
    return next((at for at in range(len(found) - 1, -1, -1) if equal(found[at], value)), -1)


def _distinct(found: list[Any]) -> list[Any]:
    made: list[Any] = []
    for each in found:
        if not contains(each, made):
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


def _unwrapped(found: list[Any]) -> list[Any]:
    return [each.value for each in found if each.there]


def _matches(text: str, pattern: str) -> list[str]:
    matches("", pattern)  # a pattern that is none
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
    yield "format.named", "string", "optional", _named
    yield "+validate", "format string", "optional", _validated


def _named(name: str) -> Optional:
    return Optional({"format": name}, True) if name in _NAMED else NONE


def _validated(format: dict[str, str], text: str) -> Optional:
    found = complaints(format["format"], text)
    return Optional(found, True) if found else NONE


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
    if formats.holds(format, text):
        return []
    return [f'parse "{text}": invalid URI for request' if format == "uri" else known[format]]


def quoted(text: str) -> str:
    """A text as CEL writes it."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n") + "'"
