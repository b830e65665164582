"""An environment (which variables there are, of which types) compiles expressions into programs.

>>> rule = Environment({"self": "dyn"}).compile("self.size > 3 && self.name.startsWith('a')", want="bool")
>>> rule.run({"self": {"size": 4, "name": "abc"}})
True

Google's library parses and checks; what runs is our own (`evaluate.py`), because each step has its price.
Upstream: apiserver/pkg/cel/environment, apiextensions-apiserver/pkg/apiserver/schema/cel/compilation.go.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from workshop.api.cel import complaints, library, literals, numbers, twofold
from workshop.api.cel.costs import PER_CALL
from workshop.api.cel.evaluate import Planner
from workshop.api.cel.frames import EXCEEDED, Frame
from workshop.api.cel.quick import MOMENT, NotQuick
from workshop.api.cel.steps import Step
from workshop.api.cel.syntax import Tree, Type, parsed, read
from workshop.api.cel.types import Declared
from workshop.api.cel.values import EvaluationError, OverBudget

BASIC = ("bool", "bytes", "double", "dyn", "int", "list", "map", "null", "string", "uint")
_TEXT_OF_ADDRESS = "no matching overload for 'string' applied to '(net."
_LOOSE = re.compile(r"\b(min|max|value|orValue|optMap|first|last)\(")
"""Functions whose result the checker does not know as well as upstream's does."""


class CompileError(ValueError):
    """The expression cannot be one; the text is the checker's, with the place."""


class NoProgram(CompileError):
    """The checker took it (its result has a `type`), but what is written out in it cannot be: `int('x')`."""

    def __init__(self, why: str, type: Type) -> None:
        super().__init__(f"program instantiation failed: {why}")
        self.type = type


class Program:
    """A compiled expression. `type` is that of its result, `uses` tells which variables it names; `checked` is its tree
    with types, where the checker knew them all."""

    def __init__(self, text: str, step: Step, type: Type, uses: frozenset[str], checked: bytes | None = None) -> None:
        self.text, self._step, self.type, self.uses, self._checked = text, step, type, uses, checked

    @property
    def checked(self) -> Tree | None:
        return read(self._checked) if self._checked is not None else None

    def run(self, values: Mapping[str, Any]) -> Any:
        """The plain value. Raises EvaluationError."""
        return self.spend(values, Budget(PER_CALL))

    def spend(self, values: Mapping[str, Any], budget: Budget) -> Any:
        """The same; what it cost is taken off the budget. Raises EvaluationError, and NotQuick where it must be."""
        moment = MOMENT.get()
        frame = Frame(values, PER_CALL if moment is None else min(PER_CALL, moment.left))
        try:
            found = self._step(frame)
            if frame.cost > frame.limit:
                raise OverBudget(EXCEEDED)
        except OverBudget:
            if frame.limit < PER_CALL:
                raise NotQuick from None
            raise
        except RecursionError:
            raise EvaluationError("the expression is too deep") from None
        finally:
            budget.spent(frame.cost)
            if moment is not None:
                moment.left -= frame.cost
        return found


class Budget:
    """What several expressions may cost together."""

    def __init__(self, cost: int) -> None:
        self.left = cost

    def spent(self, cost: int) -> None:
        self.left -= cost

    @property
    def gone(self) -> bool:
        return self.left < 0


class Environment:
    """`variables`: name → type, one of CEL's (`dyn`, `int`, `list`, …), one of `library.OPAQUE`, a `Declared` type of a
    schema, the `type` of another Program, or one of the library's own. Raises nothing; the library is loaded by the
    first `compile`."""

    def __init__(self, variables: Mapping[str, Any], mutating: bool = False, bind: bool = False) -> None:
        """`mutating`: with what only mutations know, objects among it, which are maps of many types here; `bind`: the
        checker knows `cel.bind`."""
        self._variables, self._mutating, self._bind = dict(variables), mutating, bind
        self._checked: Any = None
        self._planner = Planner(library.implementations(), frozenset(variables))

    def _load(self) -> None:
        if self._checked is not None:
            return
        cel = library.cel()
        declared = [t for t in self._variables.values() if isinstance(t, Declared)]
        pool = declared[0].pool() if declared else None
        variables = {name: _type(cel, t) for name, t in self._variables.items()}
        more: dict[str, Any] = {
            "extensions": library.extensions(self._bind),
            "functions": library.functions(self._mutating),
        }
        self._checked = cel.NewEnv(pool, variables=variables, **more)

    def compile(self, text: str, want: str = "", told: str = "") -> Program:
        """`want` is the type that the result must have (`bool`, `string`), "" for any. `told` is what is checked in the
        place of `text` where that says more of types. Raises CompileError."""
        self._load()
        tree = written(text)
        checked, exact = self._check(told or text)
        known = read(checked) if checked is not None else None
        type = known.types.get(known.root.id, ("dyn",)) if known is not None else (want or "dyn",)
        result = literals.said(type, literals.AT_RUN_TIME)
        typed = known if known is not None and exact and not told else tree
        if wrong := literals.wrong(typed, text, strict=not self._mutating):
            raise CompileError(wrong)
        if want and result != want and not (result == "dyn" and _LOOSE.search(text)):
            raise CompileError(f"must evaluate to {want} but got {result}")
        if why := literals.impossible(tree):
            raise NoProgram(why, type)
        return Program(text, self._planner.plan(tree.root), type, used(text, self._variables), checked)

    def _check(self, text: str) -> tuple[bytes | None, bool]:
        """The checked tree as bytes, and whether it is that of the text itself, place by place; None where the checker
        cannot say."""
        wrong = ""
        for asked, places in twofold.forms(text):
            told, origins = asked, places or list(range(len(asked)))
            for _ in range(2):  # the second time without comparisons of numbers of two kinds
                try:
                    return self._checked.compile(told).serialize(), told == text
                except RuntimeError as error:
                    complaint = str(error)
                if _TEXT_OF_ADDRESS in complaint:
                    return self._check_text(text)
                if not (operators := complaints.mixed_numbers(complaint, told)):
                    break
                told, moved = numbers.loose(told, operators)
                origins = [origins[at] for at in moved]
            problems = complaints.problems(complaint, told)
            if not problems:
                return None, False
            if not wrong or twofold.NO_LIST in wrong:
                said = "".join(problems).rstrip("\n")
                wrong = said if told == text else twofold.moved(said, told, text, origins)
        raise CompileError(wrong)

    def _check_text(self, text: str) -> tuple[bytes | None, bool]:
        """The same of an expression with `string(ip('10.0.0.1'))`."""
        try:
            return self._check(re.sub(r"\bstring(?=\s*\()", library.TEXT, text))
        except CompileError as error:
            raise CompileError(str(error).replace(library.TEXT, "string")) from None


def written(text: str) -> Tree:
    """The expression as it is written. Raises CompileError."""
    try:
        return parsed(text)
    except RuntimeError as error:
        raise CompileError(complaints.cleaned(str(error)).rstrip("\n")) from None


def used(text: str, names: Mapping[str, Any]) -> frozenset[str]:
    """Which of `names` stand in the expression outside of its texts."""
    bare = re.sub(r"""'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|//[^\n]*""", "''", text)
    return frozenset(name for name in names if re.search(rf"(?<![\w.]){re.escape(name)}(?!\w)", bare))


def _type(cel: Any, given: Any) -> Any:
    if isinstance(given, Declared):
        return given.type(cel)
    if isinstance(given, tuple):
        return library.of_type(given)
    if not isinstance(given, str):
        return given
    if given in library.OPAQUE:
        return cel.Type.AbstractType(library.OPAQUE[given])
    return getattr(cel.Type, given.upper())
