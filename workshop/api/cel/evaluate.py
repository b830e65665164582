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

from collections.abc import Callable, Mapping
from typing import Any

from workshop.api.cel import costs, standard
from workshop.api.cel.standard import NONE, EvaluationError, NoOverload, Optional, OverBudget
from workshop.api.cel.syntax import Call, Expr, Fold, Ident, ListOf, Literal, MapOf, Select

EXCEEDED = "operation cancelled: actual cost limit exceeded"
_FOLDED = frozenset({"int", "uint", "double", "string", "bytes", "bool", "duration", "timestamp", "dyn", "type"})


class Frame:
    """One run: the variables, and what it has cost so far."""

    __slots__ = ("cost", "limit", "variables")

    def __init__(self, variables: Mapping[str, Any], limit: int) -> None:
        self.variables, self.cost, self.limit = dict(variables), 0, limit

    def charge(self, cost: int) -> None:
        self.cost += cost
        if self.cost > self.limit:
            raise OverBudget(EXCEEDED)


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
            case Ident() if e.name not in standard.TYPES or e.name in self._variables:
                name = e.name
                return lambda frame: _looked_up(frame, name)
            case Select() if not e.test and (name := self._dotted(e)):
                return lambda frame: _looked_up(frame, name)
            case Select() if not e.test:
                return self._field(e)
            case Call(function="_[_]" | "_?._" | "_[?_]"):
                return self._indexed(e)
        return self.plan(e)

    def _is_path(self, e: Expr) -> bool:
        match e:
            case Ident():
                return e.name not in standard.TYPES or e.name in self._variables
            case Select():
                return not e.test
            case Call():
                return e.function in ("_[_]", "_?._", "_[?_]", "_?_:_")
        return False

    def _under(self, e: Expr) -> Step:
        """What a field or an index is taken of."""
        return self._path(e) if self._is_path(e) else self.plan(e)

    def _name(self, name: str) -> Step:
        if name in standard.TYPES and name not in self._variables:
            found = standard.TYPES[name]
            return lambda frame: found

        def look_up(frame: Frame) -> Any:
            frame.cost += 1
            return _looked_up(frame, name)

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
        return name if name in self._variables or name in standard.TYPES else ""

    def _select(self, e: Select) -> Step:
        if not e.test and (name := self._dotted(e)):
            return self._name(name)
        if e.test:
            return self._has(e)
        return self._counted(self._field(e), _begun(e))

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
        if _constant(e):
            return lambda frame: _value(e)
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
        if _constant(e):
            return lambda frame: _value(e)
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
            kept = frame.variables.get(name, _MISSING)
            frame.variables[name] = Later(lambda: start(frame))  # costs nothing where nobody asks for it
            try:
                return result(frame)
            finally:
                _restore(frame, name, kept)

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
            kept = {each: variables.get(each, _MISSING) for each in (first, second, name)}
            variables[name] = start(frame)
            pairs = _pairs(among, bool(second))
            try:
                for key, value in pairs:
                    variables[first], variables[second] = (key, value) if second else (value, _MISSING)
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
                    _restore(frame, each, before)

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
                return self._counted(self._indexed(e), _begun(e))
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
            namespaced = _namespace(e.target)
            if namespaced and f"{namespaced}.{name}" in self._functions:
                name = f"{namespaced}.{name}"
            else:
                args.insert(0, e.target)
        does = self._functions.get(name)
        if _constant(e):
            return lambda frame: _value(e)
        among_constants = name == "@in" and isinstance(args[1], ListOf) and all(map(_constant, args[1].items))
        steps = [self.plan(each) for each in args]

        def call(frame: Frame) -> Any:
            given = [step(frame) for step in steps]
            if does is None:
                raise NoOverload
            try:
                result = does(*given)
            except EvaluationError:
                frame.charge(1)
                raise
            except (ValueError, OverflowError) as error:
                frame.charge(1)
                raise EvaluationError(str(error)) from None
            except (TypeError, AttributeError, KeyError):
                frame.charge(1)
                raise NoOverload from None
            if not among_constants:
                frame.charge(costs.of_call(name, given, result))
            return result

        return call


_MISSING = object()


def _restore(frame: Frame, name: str, before: Any) -> None:
    if before is _MISSING:
        frame.variables.pop(name, None)
    else:
        frame.variables[name] = before


def _looked_up(frame: Frame, name: str) -> Any:
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


def _pairs(among: Any, both: bool) -> list[tuple[Any, Any]]:
    """Index and element of a list, key and value of a map; a macro of one variable goes through a map's keys."""
    if isinstance(among, list):
        return list(enumerate(among))
    return list(among.items()) if both else [(key, key) for key in among]


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


def _begun(e: Expr) -> int:
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


def _namespace(e: Expr) -> str:
    """`lists` of `lists.range(3)`."""
    if isinstance(e, Ident):
        return e.name
    if isinstance(e, Select) and not e.test and (before := _namespace(e.operand)):
        return f"{before}.{e.field}"
    return ""


def _constant(e: Expr) -> bool:
    """Known before any variable is: it costs nothing."""
    match e:
        case Literal():
            return True
        case ListOf():
            return not e.optional and all(map(_constant, e.items))
        case MapOf():
            return all(_constant(key) and _constant(value) and not maybe for key, value, maybe in e.entries)
        case Call():
            return e.function in _FOLDED and e.target is None and all(map(_constant, e.args))
    return False


def _value(e: Expr) -> Any:
    """Of what is constant. Raises EvaluationError."""
    match e:
        case Literal():
            return e.value
        case ListOf():
            return [_value(each) for each in e.items]
        case MapOf():
            return {_value(key): _value(each) for key, each, _ in e.entries}
        case Call():
            return standard.FUNCTIONS[e.function](*map(_value, e.args))
    raise TypeError(e)
