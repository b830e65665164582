"""What each node of a tree does once its parts are steps: functions of a frame, which give the value and write down
what it cost. `evaluate.py` says which of them a node becomes.

Upstream: cel-go interpreter/{interpretable,attributes,runtimecost}.go.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from workshop.api.cel import costs, standard
from workshop.api.cel.frames import EXCEEDED, MISSING, Frame, Later, looked_up, pairs, restore
from workshop.api.cel.values import NONE, EvaluationError, NoOverload, Optional, OverBudget, Uint

Step = Callable[[Frame], Any]
Function = Callable[..., Any]


# --- names, fields and elements --------------------------------------------------------------------------------------


def always(value: Any) -> Step:
    """The same value at each run; that costs nothing."""
    return lambda frame: value


def variable(name: str) -> Step:
    """Its value, on a way through its fields: the name costs nothing."""
    return lambda frame: looked_up(frame, name)


def named(name: str) -> Step:
    """The same where the name itself is asked for: it costs 1."""

    def look_up(frame: Frame) -> Any:
        frame.cost += 1
        return looked_up(frame, name)

    return look_up


def counted(step: Step, cost: int) -> Step:
    """What `step` does, for `cost` more."""

    def count(frame: Frame) -> Any:
        frame.cost += cost
        return step(frame)

    return count


def field(operand: Step, name: str) -> Step:
    """`of.name`; of an optional it is an optional."""

    def select(frame: Frame) -> Any:
        of = operand(frame)
        frame.cost += 1
        if isinstance(of, Optional):
            return Optional(of.value[name], True) if isinstance(of.value, dict) and name in of.value else NONE
        if not isinstance(of, dict):
            raise NoOverload
        if name not in of:
            raise EvaluationError(f"no such key: {name}")
        return of[name]

    return select


def has(operand: Step, name: str, cost: int) -> Step:
    """`has(of.name)`"""

    def test(frame: Frame) -> bool:
        of = operand(frame)
        frame.cost += cost
        if isinstance(of, Optional):
            of = of.value if of.there else {}
        return isinstance(of, dict) and name in of

    return test


def index(operand: Step, place: Step, optional: bool) -> Step:
    """`of[at]`; `of.?field` and `of[?at]` are optional: they give optionals."""

    def look(frame: Frame) -> Any:
        of, at = operand(frame), place(frame)
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

    return look


# --- lists and maps --------------------------------------------------------------------------------------------------


def new_list(steps: Sequence[Step], optional: frozenset[int]) -> Step:
    """`optional`: the places of elements that are left out where there is none."""

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


def new_map(steps: Sequence[tuple[Step, Step, bool]]) -> Step:
    """Of (key, value, whether the value is optional)."""

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


def insert(steps: Sequence[Step]) -> Step:
    """A map with an entry (or all entries of another map) more."""

    def make(frame: Frame) -> dict[Any, Any]:
        into, *rest = [step(frame) for step in steps]
        frame.charge(1)
        more = {rest[0]: rest[1]} if len(rest) == 2 else rest[0]
        if taken := next((key for key in more if key in into), None):
            raise EvaluationError(f"insert failed: key {taken} already exists")
        return {**into, **more}

    return make


# --- loops -----------------------------------------------------------------------------------------------------------


def bind(start: Step, result: Step, name: str) -> Step:
    """`cel.bind`: a name for a value, which costs nothing where nobody asks for it."""

    def run(frame: Frame) -> Any:
        kept = frame.variables.get(name, MISSING)
        frame.variables[name] = Later(lambda: start(frame))
        try:
            return result(frame)
        finally:
            restore(frame, name, kept)

    return run


def fold(
    over: Step, start: Step, condition: Step, step: Step, result: Step, names: tuple[str, str, str], whole: bool
) -> Step:
    """A macro's loop. `names`: of the element, of the second variable or "", of what is gathered. An error in a step is
    kept like a value, for the condition to look at; not where the loop goes over all elements anyway (`whole`)."""
    first, second, gathered = names

    def run(frame: Frame) -> Any:
        among = over(frame)
        if not isinstance(among, list | dict):
            raise NoOverload
        variables = frame.variables
        kept = {each: variables.get(each, MISSING) for each in names}
        variables[gathered] = start(frame)
        entries = pairs(among, bool(second))
        try:
            for key, value in entries:
                variables[first], variables[second] = (key, value) if second else (value, MISSING)
                if condition(frame) is not True:
                    break
                try:
                    variables[gathered] = step(frame)
                except OverBudget:
                    raise
                except EvaluationError as error:
                    variables[gathered] = error
                    if whole:
                        raise
                if frame.cost > frame.limit:
                    raise OverBudget(EXCEEDED)
            return result(frame)
        finally:
            for each, before in kept.items():
                restore(frame, each, before)

    return run


# --- what decides ----------------------------------------------------------------------------------------------------


def joined(left: Step, right: Step, decides: bool) -> Step:
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


def conditional(condition: Step, yes: Step, no: Step) -> Step:
    """`condition ? yes : no`"""

    def choose(frame: Frame) -> Any:
        chosen = condition(frame)
        if not isinstance(chosen, bool):
            raise NoOverload
        return yes(frame) if chosen else no(frame)

    return choose


def negated(inner: Step) -> Step:
    """`!inner`"""

    def negate(frame: Frame) -> bool:
        value = inner(frame)
        frame.cost += 1
        if not isinstance(value, bool):
            raise NoOverload
        return not value

    return negate


def not_strictly_false(inner: Step) -> Step:
    """The condition of `all` and `exists`: an error does not end the loop, since a later element may decide."""

    def hold(frame: Frame) -> bool:
        try:
            value = inner(frame)
        except OverBudget:
            raise
        except EvaluationError:
            value = True
        frame.cost += 1
        return value is not False

    return hold


def otherwise(first: Step, second: Step, whole: bool) -> Step:
    """`first.or(second)` (`whole`: it stays an optional), `first.orValue(second)`."""

    def choose(frame: Frame) -> Any:
        found = first(frame)
        if not isinstance(found, Optional):
            raise NoOverload
        if found.there:
            return found if whole else found.value
        return second(frame)

    return choose


# --- calls -----------------------------------------------------------------------------------------------------------

OPERATORS = frozenset({"_+_", "_-_", "_*_", "_/_", "_%_", "_==_", "_!=_", "_<_", "_<=_", "_>_", "_>=_"})
_NUMBERS = (int, float, bool, Uint)


def operator(name: str, left: Step, right: Step, does: Function) -> Step:
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


def call(name: str, steps: Sequence[Step], does: Function | None, free: bool) -> Step:
    """Any other call. `free`: it costs no more than its arguments."""

    def run(frame: Frame) -> Any:
        given = [step(frame) for step in steps]
        result = _called(frame, does, given)
        if not free:
            frame.charge(costs.of_call(name, given, result))
        return result

    return run


def _called(frame: Frame, does: Function | None, given: Sequence[Any]) -> Any:
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
