"""A tree becomes a function: `planned(tree.root)(frame)` gives the value and writes down what it cost.

Every node is turned into a closure of `steps.py` once; running an expression is calling them. Each step is charged as
cel-go charges it, so an expression stops where upstream's would:

    self.a.b            3: a name, two fields
    l.all(x, x > 0)     5 for each element, and 2
    c ? self.a : 0      the branch that is taken costs its fields, not its name

Errors of `&&`, `||` and of macros over them are forgotten where the other side decides.
Upstream: cel-go interpreter/{planner,attributes,runtimecost}.go.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from workshop.api.cel import standard, steps, values
from workshop.api.cel.frames import begun, constant, namespace, value_of
from workshop.api.cel.steps import Step
from workshop.api.cel.syntax import Call, Expr, Fold, Ident, ListOf, Literal, MapOf, Select

Functions = Mapping[str, Callable[..., Any]]


class Planner:
    """`functions` are those beside CEL's own, by name; they take the target first."""

    def __init__(self, functions: Functions, variables: frozenset[str]) -> None:
        self._functions, self._variables = {**standard.FUNCTIONS, **functions}, variables

    def plan(self, e: Expr) -> Step:
        match e:
            case Literal():
                return steps.always(e.value)
            case Ident():
                return self._name(e.name)
            case Select():
                return self._select(e)
            case ListOf() | MapOf() if constant(e):
                return lambda frame: value_of(e)  # made anew at each run: nobody shares it
            case ListOf():
                return steps.new_list([self.plan(each) for each in e.items], e.optional)
            case MapOf():
                return steps.new_map([(self.plan(key), self.plan(each), maybe) for key, each, maybe in e.entries])
            case Fold():
                return self._fold(e)
        return self._call(e)

    # --- ways through fields and indexes

    def _path(self, e: Expr) -> Step:
        """A value that is asked for by the way: it costs its fields, but no name."""
        match e:
            case Ident() if self._is_variable(e):
                return steps.variable(e.name)
            case Select() if not e.test and (name := self._dotted(e)):
                return steps.variable(name)
            case Select() if not e.test:
                return self._field(e)
            case Call(function="_[_]" | "_?._" | "_[?_]"):
                return self._indexed(e)
        return self.plan(e)

    def _is_path(self, e: Expr) -> bool:
        match e:
            case Ident():
                return self._is_variable(e)
            case Select():
                return not e.test
            case Call():
                return e.function in ("_[_]", "_?._", "_[?_]", "_?_:_")
        return False

    def _under(self, e: Expr) -> Step:
        """What a field or an index is taken of."""
        return self._path(e) if self._is_path(e) else self.plan(e)

    def _is_variable(self, e: Ident) -> bool:
        """A name like `int` may be a type, or a variable that hides it."""
        return e.name not in values.TYPES or e.name in self._variables

    def _name(self, name: str) -> Step:
        if name in values.TYPES and name not in self._variables:
            return steps.always(values.TYPES[name])
        return steps.named(name)

    def _dotted(self, e: Expr) -> str:
        """`authorizer.requestResource` where a variable has such a name."""
        parts: list[str] = []
        at = e
        while isinstance(at, Select) and not at.test:
            parts.append(at.field)
            at = at.operand
        if not isinstance(at, Ident):
            return ""
        name = ".".join([at.name, *reversed(parts)])
        return name if name in self._variables or name in values.TYPES else ""

    def _select(self, e: Select) -> Step:
        if e.test:
            return steps.has(self.plan(e.operand), e.field, cost=0 if self._is_path(e.operand) else 1)
        if name := self._dotted(e):
            return self._name(name)
        return steps.counted(self._field(e), begun(e))

    def _field(self, e: Select) -> Step:
        return steps.field(self._under(e.operand), e.field)

    def _indexed(self, e: Call) -> Step:
        return steps.index(self._under(e.args[0]), self._path(e.args[1]), optional=e.function != "_[_]")

    # --- loops and calls

    def _fold(self, e: Fold) -> Step:
        if e.binds:
            return steps.bind(self.plan(e.start), self.plan(e.result), e.accumulator)
        return steps.fold(
            self.plan(e.over), self.plan(e.start), self.plan(e.condition), self.plan(e.step), self.plan(e.result),
            names=(e.variable, e.second, e.accumulator), whole=isinstance(e.condition, Literal),
        )  # fmt: skip

    def _call(self, e: Call) -> Step:
        match e.function:
            case "_&&_":
                return steps.joined(self.plan(e.args[0]), self.plan(e.args[1]), decides=False)
            case "_||_":
                return steps.joined(self.plan(e.args[0]), self.plan(e.args[1]), decides=True)
            case "_?_:_":
                return steps.conditional(self.plan(e.args[0]), self._path(e.args[1]), self._path(e.args[2]))
            case "!_":
                return steps.negated(self.plan(e.args[0]))
            case "@not_strictly_false":
                return steps.not_strictly_false(self.plan(e.args[0]))
            case "_[_]" | "_?._" | "_[?_]":
                return steps.counted(self._indexed(e), begun(e))
            case "or" | "orValue" if e.target is not None and len(e.args) == 1:
                return steps.otherwise(self.plan(e.target), self.plan(e.args[0]), whole=e.function == "or")
            case "cel.@mapInsert":
                return steps.insert([self.plan(each) for each in e.args])
        if constant(e):
            return lambda frame: value_of(e)
        return self._plain(e)

    def _plain(self, e: Call) -> Step:
        """A call of a function from the tables: `target.name(args)`, or `namespace.name(args)`."""
        name, args = e.function, list(e.args)
        if e.target is not None:
            namespaced = namespace(e.target)
            if namespaced and f"{namespaced}.{name}" in self._functions:
                name = f"{namespaced}.{name}"
            else:
                args.insert(0, e.target)
        does = self._functions.get(name)
        among_constants = name == "@in" and isinstance(args[1], ListOf) and all(map(constant, args[1].items))
        given = [self.plan(each) for each in args]
        if len(given) == 2 and name in steps.OPERATORS and does is not None:
            return steps.operator(name, given[0], given[1], does)
        return steps.call(name, given, does, free=among_constants)
