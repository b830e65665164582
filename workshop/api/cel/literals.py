"""What is written out in an expression and cannot be right, though the checker takes it: texts that are no duration, no
time or no pattern, lists of several types, conversions that fail. And what a type is called.

Upstream: cel-go cel/validator.go, interpreter/planner.go.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from workshop.api.cel import library, standard, texts, values
from workshop.api.cel.complaints import place
from workshop.api.cel.frames import FOLDED, constant, value_of
from workshop.api.cel.syntax import Call, Expr, Fold, Ident, ListOf, Literal, MapOf, Select, Tree, every
from workshop.api.cel.values import EvaluationError

Types = Mapping[int, tuple[Any, ...]]


def wrong(tree: Tree, text: str, strict: bool = True) -> str:
    """The complaints about texts that are no duration, no time or no pattern, and about lists and maps of several
    types (if `strict`); "" if there are none. Upstream: cel-go cel/validator.go."""
    found = [place(text, tree.places.get(id, 0), why) for id, why in _wrong(tree.root, _without_loose(tree), strict)]
    return "\n".join(found)


def _wrong(e: Expr, types: Types, strict: bool = True) -> Iterator[tuple[int, str]]:
    """`strict` is not what `format` is given: there lists hold what they like."""
    match e:
        case Call():
            yield from _wrong_call(e)
            yield from _unlike(e, types)
            inside = strict and e.function != "format"
            for each in (e.target, *e.args):
                if each is not None:
                    yield from _wrong(each, types, inside)
        case Select():
            yield from _wrong(e.operand, types, strict)
        case ListOf():
            if strict:
                yield from _mixed([item for at, item in enumerate(e.items) if at not in e.optional], types)
            for item in e.items:
                yield from _wrong(item, types, strict)
        case MapOf():
            if strict and not e.message:
                yield from _mixed([key for key, _, _ in e.entries], types)
                yield from _mixed([value for _, value, maybe in e.entries if not maybe], types)
            for key, value, _ in e.entries:
                yield from _wrong(key, types, strict)
                yield from _wrong(value, types, strict)
        case Fold():
            for part in (e.over, e.start, e.condition, e.step, e.result):
                yield from _wrong(part, types, strict)


def _wrong_call(e: Call) -> Iterator[tuple[int, str]]:
    if e.function == "format" and isinstance(e.target, Literal) and len(e.args) == 1:
        yield from _wrong_format(e.id, e.target.value, e.args[0])
    argument = e.args[-1] if e.args else None
    if not isinstance(argument, Literal) or len(e.args) != 1:
        return
    if e.function == "duration" and e.target is None and values.kind(argument.value) == "int":
        yield argument.id, "invalid duration argument"
    if not isinstance(argument.value, str):
        return
    read = {"duration": standard.to_duration, "timestamp": standard.to_timestamp}.get(e.function)
    try:
        if e.target is None and read is not None:
            read(argument.value)
        elif e.function == "matches":
            library.matches("", argument.value)
    except EvaluationError:
        yield argument.id, f"invalid {e.function} argument"


def _wrong_format(call: int, text: str, given: Expr) -> Iterator[tuple[int, str]]:
    if not isinstance(given, ListOf) or given.optional:
        return
    for at, (verb, precision) in enumerate(texts.clauses(text)):
        if at >= len(given.items):
            yield call, f"index {at} out of range"
            return
        item = given.items[at]
        try:
            if isinstance(item, Literal):
                texts.formatted(item.value, verb, precision)
        except ValueError as error:
            yield (call if "unrecognized" in str(error) else item.id), str(error)
            return


def impossible(tree: Tree) -> str:
    """Why no program can be made of what is written out: conversions of constants, patterns; "" if one can."""
    for e in every(tree.root):
        if not isinstance(e, Call):
            continue
        try:
            if e.function in CONVERSIONS and e.target is None and e.args and constant(e):
                value_of(e)
            elif e.function in ("find", "findAll") and e.args and isinstance(e.args[0], Literal):
                library.matches("", str(e.args[0].value))
        except values.NoOverload:
            kinds = ", ".join(standard.type_of(value_of(each)).name for each in e.args)
            return f"no such overload: {e.function}({kinds})"
        except EvaluationError as error:
            return str(error)
    return ""


def _mixed(items: list[Expr], types: Types) -> Iterator[tuple[int, str]]:
    """Elements of two types in one list: what may be anything is a type of its own. Those that are not known as well as
    upstream knows them are passed over."""
    named = [(each.id, _type_name(each, types)) for each in items]
    known = [(id, name) for id, name in named if name]
    for id, name in known[1:]:
        if name != known[0][1]:
            yield id, f"expected type '{known[0][1]}' but found '{name}'"
            return


def _type_name(e: Expr, types: Types) -> str:
    if isinstance(e, Literal):
        return values.kind(e.value)
    name = said(types.get(e.id, ("dyn",)))
    return "" if name in ("dyn", "any") and not (e.id in types and _plain(e)) else name


_EXACT = frozenset({"_[_]", "_?_:_", "dyn"})


def _plain(e: Expr) -> bool:
    """It is made of names, fields and choices: what Kubernetes' functions give is declared more loosely here."""
    return all(isinstance(each, Ident | Select | Literal) or _exact(each) for each in every(e))


def _exact(e: Expr) -> bool:
    own = isinstance(e, Call) and e.target is None and e.function in standard.FUNCTIONS
    return own or (isinstance(e, Call) and e.function in _EXACT)


def _without_loose(tree: Tree) -> Types:
    """The types of all nodes but of variables of macros that go through a function's result."""
    nodes = every(tree.root)
    loops = [e for e in nodes if isinstance(e, Fold) and not _plain(e.over)]
    loose = {name for e in loops for name in (e.variable, e.second)}
    unknown = {e.id for e in nodes if isinstance(e, Ident) and e.name in loose}
    return {id: of for id, of in tree.types.items() if id not in unknown}


_OF_SETS = frozenset({"sets.contains", "sets.intersects", "sets.equivalent"})


def _unlike(e: Call, types: Types) -> Iterator[tuple[int, str]]:
    """Lists of two types where upstream's functions want them of one: of sets, of what is looked for."""
    of_sets = e.function in _OF_SETS
    if not of_sets and (e.function not in ("indexOf", "lastIndexOf") or e.target is None):
        return
    given = [types.get(each.id, ("dyn",)) for each in (e.target, *e.args) if each is not None]
    if len(given) != 2 or given[0][0] != "list" or (of_sets and given[1][0] != "list"):
        return
    element, other = given[0][1], given[1][1] if of_sets else given[1]
    if element != other and not {element[0], other[0]} & {"dyn", "any", "parameter"}:
        shown = [said(each) for each in given]
        applied = f"({', '.join(shown)})" if of_sets else f"{shown[0]}.({shown[1]})"
        yield e.id, f"found no matching overload for '{e.function}' applied to '{applied}'"


CONVERSIONS = FOLDED - {"dyn", "type"}
AT_RUN_TIME = {
    "any": "google.protobuf.Any", "null": "null_type", "timestamp": "google.protobuf.Timestamp",
    "duration": "google.protobuf.Duration",
}  # fmt: skip


def said(of: tuple[Any, ...], otherwise: Mapping[str, str] = {}) -> str:
    """A type as cel-go's checker names it; `otherwise` are other names for some of them, such as those AT_RUN_TIME."""
    if of[0] in otherwise:
        return otherwise[of[0]]
    inner = [said(each, otherwise) for each in of[1:] if isinstance(each, tuple)]
    match of[0]:
        case "list" | "map" | "type":
            return f"{of[0]}({', '.join(inner)})"
        case "opaque" | "message":
            return str(of[1]) + (f"({', '.join(inner)})" if inner else "")
    return str(of[0]) if of[0] != "parameter" else "dyn"
