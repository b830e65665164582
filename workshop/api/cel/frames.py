"""One run of an expression: its variables, and what it has cost so far. And what may be known of a node before.

Upstream: cel-go interpreter/{activation,runtimecost}.go.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from workshop.api.cel import standard
from workshop.api.cel.syntax import Call, Expr, Ident, ListOf, Literal, MapOf, Select
from workshop.api.cel.values import EvaluationError, OverBudget

EXCEEDED = "operation cancelled: actual cost limit exceeded"
FOLDED = frozenset({"int", "uint", "double", "string", "bytes", "bool", "duration", "timestamp", "dyn", "type"})


class Frame:
    """One run: the variables, and what it has cost so far."""

    __slots__ = ("cost", "limit", "variables")

    def __init__(self, variables: Mapping[str, Any], limit: int) -> None:
        self.variables, self.cost, self.limit = dict(variables), 0, limit

    def charge(self, cost: int) -> None:
        self.cost += cost
        if self.cost > self.limit:
            raise OverBudget(EXCEEDED)


MISSING = object()


def restore(frame: Frame, name: str, before: Any) -> None:
    if before is MISSING:
        frame.variables.pop(name, None)
    else:
        frame.variables[name] = before


def looked_up(frame: Frame, name: str) -> Any:
    try:
        value = frame.variables[name]
    except KeyError:
        raise EvaluationError(f"no such attribute(s): {name}") from None
    if isinstance(value, EvaluationError):
        raise value
    if isinstance(value, Later):
        value = frame.variables[name] = value.make()
    return value


class Later:
    """A variable's value that is made when somebody asks."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self.make = make


def pairs(among: Any, both: bool) -> list[tuple[Any, Any]]:
    """Index and element of a list, key and value of a map; a macro of one variable goes through a map's keys."""
    if isinstance(among, list):
        return list(enumerate(among))
    return list(among.items()) if both else [(key, key) for key in among]


def begun(e: Expr) -> int:
    """A way through fields and indexes costs 1 to begin with, but not where it begins with a choice."""
    while True:
        match e:
            case Select(test=False):
                e = e.operand
            case Call(function="_[_]" | "_?._" | "_[?_]"):
                e = e.args[0]
            case Call(function="_?_:_"):
                return 0
            case _:
                return 1


def namespace(e: Expr) -> str:
    """`lists` of `lists.range(3)`."""
    if isinstance(e, Ident):
        return e.name
    if isinstance(e, Select) and not e.test and (before := namespace(e.operand)):
        return f"{before}.{e.field}"
    return ""


def constant(e: Expr) -> bool:
    """Known before any variable is: it costs nothing."""
    match e:
        case Literal():
            return True
        case ListOf():
            return not e.optional and all(map(constant, e.items))
        case MapOf():
            return all(constant(key) and constant(value) and not maybe for key, value, maybe in e.entries)
        case Call():
            return e.function in FOLDED and e.target is None and all(map(constant, e.args))
    return False


def value_of(e: Expr) -> Any:
    """Of what is constant. Raises EvaluationError."""
    match e:
        case Literal():
            return e.value
        case ListOf():
            return [value_of(each) for each in e.items]
        case MapOf():
            return {value_of(key): value_of(each) for key, each, _ in e.entries}
        case Call():
            return standard.FUNCTIONS[e.function](*map(value_of, e.args))
    raise TypeError(e)
