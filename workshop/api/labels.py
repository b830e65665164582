"""Label selectors: parse, print, match.

Upstream: `apimachinery/pkg/labels/selector.go`, `apimachinery/pkg/apis/meta/v1/helpers.go`. Errors are
ValueError in upstream's words.

>>> selector = parse("env in (prod, qa), !legacy,tier=web")
>>> str(selector)
'env in (prod,qa),!legacy,tier=web'
>>> selector.matches({"env": "qa", "tier": "web"}), selector.matches({"env": "qa", "tier": "web", "legacy": ""})
(True, False)
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from workshop.api import names
from workshop.api.errors import quote
from workshop.api.remembered import remembered

BINARY = ("in", "notin", "=", "==", "!=", "gt", "lt")
_SYMBOL = {"gt": ">", "lt": "<"}


@dataclass(frozen=True, slots=True)
class Requirement:
    """`operator` is one of `in notin = == != exists ! gt lt`; `values` are sorted."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        value = labels.get(self.key)
        operator = self.operator
        if operator in ("=", "==", "in"):
            return value in self.values
        if operator in ("!=", "notin"):
            return value not in self.values
        if operator == "exists":
            return value is not None
        if operator == "!":
            return value is None
        have, want = _int64(value), _int64(self.values[0])
        if have is None or want is None:
            return False
        return have > want if operator == "gt" else have < want

    def __str__(self) -> str:
        joined = ",".join(self.values)
        if self.operator == "exists":
            return self.key
        if self.operator == "!":
            return f"!{self.key}"
        if self.operator in ("in", "notin"):
            return f"{self.key} {self.operator} ({joined})"
        return f"{self.key}{_SYMBOL.get(self.operator, self.operator)}{joined}"


@dataclass(frozen=True, slots=True)
class Selector:
    """All of `requirements` must hold; none matches everything. `nothing` is the selector of a null LabelSelector."""

    requirements: tuple[Requirement, ...] = ()
    nothing: bool = False

    def matches(self, labels: Mapping[str, str]) -> bool:
        for requirement in self.requirements:  # a loop, not all(): this is the hottest line of many lists
            if not requirement.matches(labels):
                return False
        return not self.nothing

    @property
    def empty(self) -> bool:
        """Matches everything."""
        return not self.requirements and not self.nothing

    def __str__(self) -> str:
        return ",".join(str(requirement) for requirement in self.requirements)


EVERYTHING = Selector()
NOTHING = Selector(nothing=True)


def _int64(text: str | None) -> int | None:
    if text is None or not re.fullmatch(r"[+-]?[0-9]+", text):
        return None
    number = int(text)
    return number if -(2**63) <= number < 2**63 else None


def requirement(key: str, operator: str, values: Iterable[str] = ()) -> Requirement:
    """A checked requirement. Raises ValueError that lists all that is wrong."""
    given = tuple(values)
    wrong = _about_key(key, "key")
    if operator in ("in", "notin"):
        if not given:
            wrong.append(_bad("values", given, "for 'in', 'notin' operators, values set can't be empty"))
    elif operator in ("=", "==", "!="):
        if len(given) != 1:
            wrong.append(_bad("values", given, "exact-match compatibility requires one single value"))
    elif operator in ("gt", "lt"):
        if len(given) != 1:
            wrong.append(_bad("values", given, "for 'Gt', 'Lt' operators, exactly one value is required"))
        integer = "for 'Gt', 'Lt' operators, the value must be an integer"
        wrong += [_bad(f"values[{i}]", value, integer) for i, value in enumerate(given) if _int64(value) is None]
    elif given:
        wrong.append(_bad("values", given, "values set must be empty for exists and does not exist"))
    for i, value in enumerate(given):
        if sentences := names.label_value(value):
            wrong.append(_bad(f"values[{i}][{key}]", value, "; ".join(sentences)))
    if wrong:
        raise ValueError(wrong[0] if len(wrong) == 1 else f"[{', '.join(dict.fromkeys(wrong))}]")
    return Requirement(key, operator, tuple(sorted(set(given))))


def _about_key(key: str, path: str) -> list[str]:
    sentences = names.qualified_name(key)
    return [_bad(path, key, "; ".join(sentences))] if sentences else []


def _bad(path: str, value: str | tuple[str, ...], why: str) -> str:
    shown = quote(value) if isinstance(value, str) else "[" + ",".join(quote(v) for v in value) + "]"
    return f"{path}: Invalid value: {shown}: {why}"


def from_set(labels: Mapping[str, str] | None) -> Selector:
    """Exactly these labels (a Service's or ReplicationController's selector). Empty or None matches everything."""
    pairs = sorted((labels or {}).items())
    return Selector(tuple(Requirement(key, "=", (value,)) for key, value in pairs))


_OPERATORS = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!"}


def from_selector(selector: Mapping[str, Any] | None) -> Selector:
    """Of a LabelSelector object (`matchLabels`, `matchExpressions`). None matches nothing, an empty one everything."""
    if selector is None:
        return NOTHING
    found = [requirement(key, "=", (value,)) for key, value in (selector.get("matchLabels") or {}).items()]
    for expression in selector.get("matchExpressions") or ():
        operator = expression.get("operator") or ""
        if operator not in _OPERATORS:
            raise ValueError(f"{quote(operator)} is not a valid label selector operator")
        found.append(requirement(expression.get("key") or "", _OPERATORS[operator], expression.get("values") or ()))
    return Selector(tuple(sorted(found, key=lambda r: r.key)))


# --- the text form -----------------------------------------------------------------------------------------------

_TOKEN = re.compile(r"[ \t\r\n]*(?:(==|!=|[=!(),<>])|([^=!(),<> \t\r\n]+))")
_END = ("end", "")
Token = tuple[str, str]
"""(what it is, as written); an identifier is ("id", text), `in` and `notin` are themselves, the end is `_END`."""


def _scan(text: str) -> list[Token]:
    tokens: list[Token] = []
    at, end = 0, len(text.rstrip(" \t\r\n"))
    while at < end:
        found = _TOKEN.match(text, at)
        assert found is not None
        symbol, word = found.groups()
        tokens.append((symbol, symbol) if symbol else (word if word in ("in", "notin") else "id", word))
        at = found.end()
    return [*tokens, _END]


class _Parser:
    """Upstream's recursive descent, so that its complaints are upstream's. `values` reads `in` and `notin` as words."""

    def __init__(self, text: str) -> None:
        self.tokens = _scan(text)
        self.at = 0

    def peek(self, values: bool = True) -> Token:
        kind, literal = self.tokens[min(self.at, len(self.tokens) - 1)]
        return ("id", literal) if values and kind in ("in", "notin") else (kind, literal)

    def take(self, values: bool = True) -> Token:
        token = self.peek(values)
        self.at += 1
        return token

    def parse(self) -> list[Requirement]:
        found: list[Requirement] = []
        while True:
            kind, literal = self.peek()
            if kind == "end":
                return found
            if kind not in ("id", "!"):
                raise ValueError(f"found '{literal}', expected: !, identifier, or 'end of string'")
            try:
                found.append(self.requirement())
            except ValueError as error:
                raise ValueError(f"unable to parse requirement: {error}") from None
            kind, literal = self.take()
            if kind == "end":
                return found
            if kind != ",":
                raise ValueError(f"found '{literal}', expected: ',' or 'end of string'")
            kind, literal = self.peek()
            if kind not in ("id", "!"):
                raise ValueError(f"found '{literal}', expected: identifier after ','")

    def requirement(self) -> Requirement:
        kind, key = self.take()
        absent = kind == "!"
        if absent:
            kind, key = self.take()
        if kind != "id":
            raise ValueError(f"found '{key}', expected: identifier")
        if wrong := _about_key(key, "<nil>"):
            raise ValueError(wrong[0])
        if absent or self.peek()[0] in ("end", ","):
            return requirement(key, "!" if absent else "exists")
        kind, literal = self.take(values=False)
        if kind not in ("in", "notin", "=", "==", "!=", ">", "<"):
            raise ValueError(f"found '{literal}', expected: {', '.join(BINARY)}")
        values = self.values() if kind in ("in", "notin") else self.exact()
        return requirement(key, {">": "gt", "<": "lt"}.get(kind, kind), sorted(values))

    def exact(self) -> set[str]:
        if self.peek()[0] in ("end", ","):
            return {""}
        kind, literal = self.take()
        if kind != "id":
            raise ValueError(f"found '{literal}', expected: identifier")
        return {literal}

    def values(self) -> set[str]:
        kind, literal = self.take()
        if kind != "(":
            raise ValueError(f"found '{literal}' expected: '('")
        kind, literal = self.peek()
        if kind == ")":
            self.take()
            return {""}
        if kind not in ("id", ","):
            raise ValueError(f"found '{literal}', expected: ',', ')' or identifier")
        found = self.listed()
        if self.take()[0] != ")":
            raise ValueError(f"found '{literal}', expected: ')'")
        return found

    def listed(self) -> set[str]:
        """`a, b` up to the closing parenthesis, which stays; an empty place is the empty value."""
        found: set[str] = set()
        while True:
            kind, literal = self.take()
            if kind == "id":
                found.add(literal)
                kind, literal = self.peek()
                if kind == ")":
                    return found
                if kind != ",":
                    raise ValueError(f"found '{literal}', expected: ',' or ')'")
            elif kind == ",":
                if not found or self.peek()[0] in (")", ","):
                    found.add("")
                if self.peek()[0] == ")":
                    return found
            else:
                raise ValueError(f"found '{literal}', expected: ',', or identifier")


@remembered(1024)
def parse(text: str) -> Selector:
    """`a=b,c!=d,e in (f,g),h notin (i),j,!k,l>1`. The empty text matches everything. Raises ValueError."""
    return Selector(tuple(sorted(_Parser(text).parse(), key=lambda r: r.key)))
