"""An environment (which variables there are, of which types) compiles expressions into programs.

>>> rule = Environment({"self": "dyn"}).compile("self.size > 3 && self.name.startsWith('a')", want="bool")
>>> rule.run({"self": {"size": 4, "name": "abc"}})
True

Each expression is compiled twice: by the types that are known, to find mistakes, and without, to run on plain dicts.
Upstream: apiserver/pkg/cel/environment, apiextensions-apiserver/pkg/apiserver/schema/cel/compilation.go.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from workshop.api.cel import library
from workshop.api.cel.types import Declared

BASIC = ("bool", "bytes", "double", "dyn", "int", "list", "map", "null", "string", "uint")
_NUMBERS = r"'_[<>]=?_' applied to '\((?:int|uint|double), (?:int|uint|double)\)'"
_STATUS = re.compile(r" ?\[[A-Z_]+\]$")
_LOOSE = re.compile(r"\b(min|max|value|orValue|optMap|first|last)\(")
"""Functions whose result the checker does not know as well as upstream's does."""
BUDGET = "operation cancelled: actual cost limit exceeded"


class CompileError(ValueError):
    """The expression cannot be one; the text is the checker's, with the place."""


class EvaluationError(ValueError):
    """The expression has no value for these variables: a key is missing, an index out of bounds, …"""

    over_budget = False


class Program:
    """A compiled expression. `uses` tells which variables it names."""

    def __init__(self, text: str, run: Any, result: str, uses: frozenset[str]) -> None:
        self.text, self._run, self.result, self.uses = text, run, result, uses

    def run(self, values: Mapping[str, Any]) -> Any:
        """The plain value. Raises EvaluationError."""
        try:
            found = self._run.eval(data=values)
            if str(found.type()) == "ERROR":
                raise _error(str(found.plain_value()))
            return found.plain_value()
        except RuntimeError as error:
            raise _error(str(error)) from None
        except TypeError:
            raise EvaluationError("the result of the expression has no JSON form") from None


def _error(text: str) -> EvaluationError:
    """The library's complaints in the words of cel-go."""
    text = _STATUS.sub("", text)
    text = text.partition(": ")[2] if re.match(r"[A-Z_]+: ", text) else text
    if found := re.match(r'Key not found in map : "(.*)"', text):
        return EvaluationError(f"no such key: {found[1]}")
    if found := re.match(r"Index error: index=(-?\d+)", text):
        return EvaluationError(f"index out of bounds: {found[1]}")
    if "Iteration budget exceeded" in text:
        error = EvaluationError(BUDGET)
        error.over_budget = True
        return error
    if text.startswith("No matching overloads found"):
        return EvaluationError("no such overload")
    return EvaluationError(text.replace("divide by zero", "division by zero"))


class Environment:
    """`variables`: name → type, one of CEL's (`dyn`, `int`, `list`, …), one of `library.OPAQUE`, or a `Declared` type
    of a schema. Raises nothing; the library is loaded by the first `compile`."""

    def __init__(self, variables: Mapping[str, str | Declared], authorizer: bool = False) -> None:
        self._variables, self._authorizer = dict(variables), authorizer
        self._checked: Any = None
        self._plain: Any = None

    def _load(self) -> None:
        if self._plain is not None:
            return
        cel = library.cel()
        declared = [t for t in self._variables.values() if isinstance(t, Declared)]
        pool = declared[0].pool() if declared else None
        checked = {name: _type(cel, t, True) for name, t in self._variables.items()}
        plain = {name: _type(cel, t, False) for name, t in self._variables.items()}
        more: dict[str, Any] = {"extensions": library.extensions()}
        self._checked = cel.NewEnv(pool, variables=checked, functions=library.functions(True), **more)
        self._plain = cel.NewEnv(variables=plain, functions=library.functions(False), **more)

    def compile(self, text: str, want: str = "") -> Program:
        """`want` is the type that the result must have (`bool`, `string`), "" for any. Raises CompileError."""
        self._load()
        result = want or "dyn"  # where numbers of two kinds are compared the checker cannot say
        try:
            result = str(self._checked.compile(text).return_type()).lower().replace("<", "(").replace(">", ")")
        except RuntimeError as error:
            problems = _problems(str(error))
            if problems:
                raise CompileError("".join(problems).rstrip("\n")) from None
        if want and result != want and not (result == "dyn" and _LOOSE.search(text)):
            raise CompileError(f"must evaluate to {want} but got {result}")
        return Program(text, self._executable(with_optionals(text)), result, used(text, self._variables))

    def _executable(self, text: str) -> Any:
        try:
            return self._plain.compile(text)
        except RuntimeError as error:
            if _problems(str(error)):
                raise CompileError(_cleaned(str(error))) from None
            return self._plain.compile(text, disable_check=True)


_VALIDATE = re.compile(r"format\.\w+\(\)\.validate\(")


def with_optionals(text: str) -> str:
    """`format.x().validate(y)` gives a list here, and an optional of it in CEL: `optional.ofNonZeroValue(…)`."""
    while found := re.search(r"(?<!ofNonZeroValue\()" + _VALIDATE.pattern, text):
        end, depth = found.end(), 1
        while depth and end < len(text):
            depth += {"(": 1, ")": -1}.get(text[end], 0)
            end += 1
        text = f"{text[: found.start()]}optional.ofNonZeroValue({text[found.start() : end]}){text[end:]}"
    return text


def used(text: str, names: Mapping[str, Any]) -> frozenset[str]:
    """Which of `names` stand in the expression outside of its texts."""
    bare = re.sub(r"""'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|//[^\n]*""", "''", text)
    return frozenset(name for name in names if re.search(rf"(?<![\w.]){re.escape(name)}(?!\w)", bare))


def _type(cel: Any, given: str | Declared, checking: bool) -> Any:
    if isinstance(given, Declared):
        return given.type(cel) if checking else cel.Type.DYN
    if given in library.OPAQUE:
        return cel.Type.AbstractType(library.OPAQUE[given]) if checking else cel.Type.MAP
    return getattr(cel.Type, given.upper())


def _cleaned(text: str) -> str:
    text = _STATUS.sub("", text).removeprefix("INVALID_ARGUMENT: ")
    text = re.sub(r"undefined field '([^']*)' not found in struct '[^']*'", r"undefined field '\1'", text)
    return re.sub(r"\bk8s\.Type\d+\b", "object", text)


def _problems(text: str) -> list[str]:
    """The checker's complaints but those of numbers of two kinds that are compared, which Kubernetes allows."""
    found = re.split(r"(?=^ERROR: )", _cleaned(text), flags=re.MULTILINE)
    return [each for each in found if each.strip() and not re.search(_NUMBERS, each)]


@cache
def regular_expression(pattern: str) -> Program:
    """`matches` of CEL runs in time linear to the text: for patterns that others wrote."""
    return Environment({"s": "string"}).compile(f"s.matches({library.quoted(pattern)})")
