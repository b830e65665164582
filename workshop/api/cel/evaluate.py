"""A tree becomes a function: `planned(tree.root)(frame)` gives the value and writes down what it cost.

Every node is turned into a closure once; running an expression is calling them. Each step is charged as cel-go charges
it, so an expression stops where upstream's would:

    self.a.b            3: a name, two fields
    l.all(x, x > 0)     5 for each element, and 2
    c ? self.a : 0      the branch that is taken costs its fields, not its name

Errors of `&&`, `||` and of macros over them are forgotten where the other side decides.
Upstream: cel-go interpreter/{interpretable,planner,attributes,runtimecost}.go.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from workshop.api.cel import costs, standard, values
from workshop.api.cel.frames import (
    EXCEEDED,
    MISSING,
    Frame,
    Later,
    begun,
    constant,
    looked_up,
    namespace,
    pairs,
    restore,
    value_of,
)
from workshop.api.cel.syntax import Call, Expr, Fold, Ident, ListOf, Literal, MapOf, Select, Uint
from workshop.api.cel.values import NONE, EvaluationError, NoOverload, Optional, OverBudget

Step = Callable[[Frame], Any]
Functions = Mapping[str, Callable[..., Any]]


class Planner:
    """`functions` are those beside CEL's own, by name; they take the target first."""

    def __init__(self, functions: Functions, variables: frozenset[str]) -> None:
        self._functions, self._variables = {**standard.FUNCTIONS, **functions}, variables

    def plan(self, e: Expr) -> Step:
        match e:
            case Literal():
                value = e.value
                return lambda frame: value
            case Ident():
                return self._name(e.name)
            case Select():
                return self._select(e)
            case ListOf():
                return self._list(e)
            case MapOf():
                return self._map(e)
            case Fold():
                return self._bind(e) if e.binds else self._fold(e)
        return self._call(e)

    def _path(self, e: Expr) -> Step:
        """A value that is asked for by the way: it costs its fields, but no name."""
        match e:
            case Ident() if e.name not in values.TYPES or e.name in self._variables:
                name = e.name
                return lambda frame: looked_up(frame, name)
            case Select() if not e.test and (name := self._dotted(e)):
                return lambda frame: looked_up(frame, name)
            case Select() if not e.test:
                return self._field(e)
            case Call(function="_[_]" | "_?._" | "_[?_]"):
                return self._indexed(e)
        return self.plan(e)

    def _is_path(self, e: Expr) -> bool:
        match e:
            case Ident():
                return e.name not in values.TYPES or e.name in self._variables
            case Select():
                return not e.test
            case Call():
                return e.function in ("_[_]", "_?._", "_[?_]", "_?_:_")
        return False

    def _under(self, e: Expr) -> Step:
        """What a field or an index is taken of."""
        return self._path(e) if self._is_path(e) else self.plan(e)

    def _name(self, name: str) -> Step:
        if name in values.TYPES and name not in self._variables:
            found = values.TYPES[name]
            return lambda frame: found

        def look_up(frame: Frame) -> Any:
            frame.cost += 1
            return looked_up(frame, name)

        return look_up

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
        if not e.test and (name := self._dotted(e)):
            return self._name(name)
        if e.test:
            return self._has(e)
        return self._counted(self._field(e), begun(e))

    def _field(self, e: Select) -> Step:
        operand = self._under(e.operand)
        name = e.field

        def field(frame: Frame) -> Any:
            of = operand(frame)
            frame.cost += 1
            if isinstance(of, Optional):
                return Optional(of.value[name], True) if isinstance(of.value, dict) and name in of.value else NONE
            if not isinstance(of, dict):
                raise NoOverload
            if name not in of:
                raise EvaluationError(f"no such key: {name}")
            return of[name]

        return field

    def _has(self, e: Select) -> Step:
        operand, name = self.plan(e.operand), e.field
        first = 0 if self._is_path(e.operand) else 1

        def has(frame: Frame) -> bool:
            of = operand(frame)
            frame.cost += first
            if isinstance(of, Optional):
                of = of.value if of.there else {}
            return isinstance(of, dict) and name in of

        return has

    def _indexed(self, e: Call) -> Step:
        """`of[at]`, `of.?field`, `of[?at]`; the last two give optionals."""
        of_step = self._under(e.args[0])
        at_step = self._path(e.args[1])
        optional = e.function != "_[_]"

        def index(frame: Frame) -> Any:
            of, at = of_step(frame), at_step(frame)
            chained = isinstance(of, Optional)
            if chained:
                if not of.there:
                    return NONE
                of = of.value
            if not (optional or chained):
                frame.cost += 1
                return standard.index(of, at)
            try:
                found = standard.index(of, at)
            except NoOverload:
                raise
            except EvaluationError:
                return NONE
            frame.cost += 1
            return Optional(found, True)

        return index

    def _list(self, e: ListOf) -> Step:
        if constant(e):
            return lambda frame: value_of(e)
        steps, optional = [self.plan(each) for each in e.items], e.optional

        def make(frame: Frame) -> list[Any]:
            made = [step(frame) for step in steps]
            if optional:
                made = [
                    each.value if place in optional else each
                    for place, each in enumerate(made)
                    if place not in optional or each.there
                ]
            frame.charge(costs.LIST)
            return made

        return make

    def _map(self, e: MapOf) -> Step:
        if constant(e):
            return lambda frame: value_of(e)
        steps = [(self.plan(key), self.plan(each), maybe) for key, each, maybe in e.entries]

        def make(frame: Frame) -> dict[Any, Any]:
            made = {}
            for key, each, maybe in steps:
                name, value = key(frame), each(frame)
                if not maybe:
                    made[name] = value
                elif value.there:
                    made[name] = value.value
            frame.charge(costs.MAP)
            return made

        return make

    # --- loops -------------------------------------------------------------------------------------------------------

    def _bind(self, e: Fold) -> Step:
        start, result, name = self.plan(e.start), self.plan(e.result), e.accumulator

        def bind(frame: Frame) -> Any:
            kept = frame.variables.get(name, MISSING)
            frame.variables[name] = Later(lambda: start(frame))  # costs nothing where nobody asks for it
            try:
                return result(frame)
            finally:
                restore(frame, name, kept)

        return bind

    def _fold(self, e: Fold) -> Step:
        over, start, condition = self.plan(e.over), self.plan(e.start), self.plan(e.condition)
        step, result = self.plan(e.step), self.plan(e.result)
        first, second, name = e.variable, e.second, e.accumulator
        always = isinstance(e.condition, Literal)

        def fold(frame: Frame) -> Any:
            among = over(frame)
            if not isinstance(among, list | dict):
                raise NoOverload
            variables = frame.variables
            kept = {each: variables.get(each, MISSING) for each in (first, second, name)}
            variables[name] = start(frame)
            entries = pairs(among, bool(second))
            try:
                for key, value in entries:
                    variables[first], variables[second] = (key, value) if second else (value, MISSING)
                    if condition(frame) is not True:
                        break
                    try:
                        variables[name] = step(frame)
                    except OverBudget:
                        raise
                    except EvaluationError as error:
                        variables[name] = error
                        if always:
                            raise
                    if frame.cost > frame.limit:
                        raise OverBudget(EXCEEDED)
                return result(frame)
            finally:
                for each, before in kept.items():
                    restore(frame, each, before)

        return fold

    # --- calls -------------------------------------------------------------------------------------------------------

    def _call(self, e: Call) -> Step:
        match e.function:
            case "_&&_":
                return _joined(self.plan(e.args[0]), self.plan(e.args[1]), decides=False)
            case "_||_":
                return _joined(self.plan(e.args[0]), self.plan(e.args[1]), decides=True)
            case "_?_:_":
                return self._conditional(e)
            case "!_":
                return self._not(e)
            case "@not_strictly_false":
                return self._not_strictly_false(e)
            case "_[_]" | "_?._" | "_[?_]":
                return self._counted(self._indexed(e), begun(e))
            case "or" | "orValue" if e.target is not None and len(e.args) == 1:
                return self._or(e, e.target, whole=e.function == "or")
            case "cel.@mapInsert":
                return self._insert(e)
        return self._plain(e)

    @staticmethod
    def _counted(step: Step, cost: int) -> Step:
        def counted(frame: Frame) -> Any:
            frame.cost += cost
            return step(frame)

        return counted

    def _conditional(self, e: Call) -> Step:
        condition, yes, no = self.plan(e.args[0]), self._path(e.args[1]), self._path(e.args[2])

        def choose(frame: Frame) -> Any:
            chosen = condition(frame)
            if not isinstance(chosen, bool):
                raise NoOverload
            return yes(frame) if chosen else no(frame)

        return choose

    def _not(self, e: Call) -> Step:
        inner = self.plan(e.args[0])

        def negate(frame: Frame) -> bool:
            value = inner(frame)
            frame.cost += 1
            if not isinstance(value, bool):
                raise NoOverload
            return not value

        return negate

    def _not_strictly_false(self, e: Call) -> Step:
        inner = self.plan(e.args[0])

        def held(frame: Frame) -> bool:
            try:
                value = inner(frame)
            except OverBudget:
                raise
            except EvaluationError:
                value = True
            frame.cost += 1
            return value is not False

        return held

    def _or(self, e: Call, target: Expr, whole: bool) -> Step:
        first, second = self.plan(target), self.plan(e.args[0])

        def either(frame: Frame) -> Any:
            found = first(frame)
            if not isinstance(found, Optional):
                raise NoOverload
            if found.there:
                return found if whole else found.value
            return second(frame)

        return either

    def _insert(self, e: Call) -> Step:
        steps = [self.plan(each) for each in e.args]

        def insert(frame: Frame) -> dict[Any, Any]:
            into, *rest = [step(frame) for step in steps]
            frame.charge(1)
            more = {rest[0]: rest[1]} if len(rest) == 2 else rest[0]
            if taken := next((key for key in more if key in into), None):
                raise EvaluationError(f"insert failed: key {taken} already exists")
            return {**into, **more}

        return insert

    def _plain(self, e: Call) -> Step:
        name, args = e.function, list(e.args)
        if e.target is not None:
            namespaced = namespace(e.target)
            if namespaced and f"{namespaced}.{name}" in self._functions:
                name = f"{namespaced}.{name}"
            else:
                args.insert(0, e.target)
        does = self._functions.get(name)
        if constant(e):
            return lambda frame: value_of(e)
        among_constants = name == "@in" and isinstance(args[1], ListOf) and all(map(constant, args[1].items))
        steps = [self.plan(each) for each in args]

        if len(steps) == 2 and name in _OPERATORS and does is not None:
            return _operator(name, steps[0], steps[1], does)

        def call(frame: Frame) -> Any:
            given = [step(frame) for step in steps]
            result = _called(frame, does, given)
            if not among_constants:
                frame.charge(costs.of_call(name, given, result))
            return result

        return call


_OPERATORS = frozenset({"_+_", "_-_", "_*_", "_/_", "_%_", "_==_", "_!=_", "_<_", "_<=_", "_>_", "_>=_"})
_NUMBERS = (int, float, bool, Uint)


def _operator(name: str, left: Step, right: Step, does: Callable[..., Any]) -> Step:
    """The calls that loops are full of: between numbers each costs 1."""

    def operate(frame: Frame) -> Any:
        a, b = left(frame), right(frame)
        result = _called(frame, does, (a, b))
        if type(a) in _NUMBERS and type(b) in _NUMBERS:
            frame.cost += 1
        else:
            frame.charge(costs.of_call(name, [a, b], result))
        return result

    return operate


def _called(frame: Frame, does: Callable[..., Any] | None, given: Sequence[Any]) -> Any:
    """The result, or an error in CEL's words."""
    if does is None:
        raise NoOverload
    try:
        return does(*given)
    except EvaluationError:
        frame.charge(1)
        raise
    except (ValueError, OverflowError) as error:
        frame.charge(1)
        raise EvaluationError(str(error)) from None
    except (TypeError, AttributeError, KeyError):
        frame.charge(1)
        raise NoOverload from None


def _joined(left: Step, right: Step, decides: bool) -> Step:
    """`&&` (False decides) and `||` (True decides): an error counts only where neither side decides."""

    def join(frame: Frame) -> bool:
        wrong: EvaluationError | None = None
        for side in (left, right):
            try:
                value = side(frame)
            except OverBudget:
                raise
            except EvaluationError as error:
                wrong = wrong or error
                continue
            if isinstance(value, bool) and value == decides:
                return value
            if not isinstance(value, bool):
                wrong = wrong or NoOverload()
        if wrong is not None:
            raise wrong
        return not decides

    return join
