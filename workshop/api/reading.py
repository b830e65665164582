"""A parsed JSON value by its schema, exactly as Go reads it: the types checked, unknown and doubled fields told, the
rest brought to the form in which the server would answer it (canonical quantities and times, no empty optional fields,
fields in Go's order).

>>> deployment = schema.for_kind("apps/v1", "Deployment")
>>> convert(deployment, {"kind": "Deployment", "spec": {"replicas": 1, "foo": 2}}).strict
['unknown field "spec.foo"']
>>> convert(deployment, {"spec": 5})
Traceback (most recent call last):
workshop.api.self_reading.DecodeError: json: cannot unmarshal number into Go struct field Deployment.spec of type ...

Upstream: sigs.k8s.io/json, encoding/json.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from workshop.api.meta import Obj
from workshop.api.schema import Field, Schema, Type
from workshop.api.self_reading import SELF_READING, DecodeError, word

MOST_ERRORS = 100
"""Strict errors beyond these are not collected (sigs.k8s.io/json)."""
LIMITS = {"int32": 1 << 31, "int64": 1 << 63}


class Doubled(dict[str, Any]):
    """An object of JSON in which a name stood twice: `pairs` has all of them, the dict the last of each."""

    pairs: list[tuple[str, Any]]


@dataclass(frozen=True, slots=True)
class Converted:
    obj: Obj
    strict: list[str]
    """`unknown field "spec.foo"`, `duplicate field "spec.replicas"`, in the order of the body."""


class Written(float):
    """A number of JSON with a point or an exponent, which errors tell as it was written."""

    def __new__(cls, text: str) -> Written:
        made = super().__new__(cls, text)
        made.text = text
        return made

    text: str


def convert(root: Schema, value: dict[str, Any], known: Obj | None = None) -> Converted:
    """Reads a parsed object by its schema. Raises DecodeError; what strictness would refuse is in `.strict`."""
    reader = Reader(known=_parts(known) if known is not None else frozenset())
    obj = reader.struct(root, value, "", Where("", (), root.go))
    if reader.wrong_type:
        raise DecodeError(reader.wrong_type)
    return Converted(obj, reader.strict)


def _parts(of: Obj) -> frozenset[int]:
    """The objects and lists in the first two levels of one, by identity."""
    first = [part for part in of.values() if isinstance(part, dict | list)]
    second = [part for each in first if isinstance(each, dict) for part in each.values()]
    return frozenset(id(part) for part in (*first, *second) if isinstance(part, dict | list))


@dataclass(frozen=True, slots=True)
class Where:
    """What Go's errors tell of a place: the innermost struct and the JSON names that lead there."""

    struct: str
    names: tuple[str, ...]
    go: str

    def wrong(self, what: str, go: str) -> str:
        if not self.struct:
            return f"json: cannot unmarshal {what} into Go value of type {go}"
        return f"json: cannot unmarshal {what} into Go struct field {self.struct}.{'.'.join(self.names)} of type {go}"


@dataclass(slots=True)
class Reader:
    """Go goes on after a wrong type and tells of the first; a type that reads itself (a quantity) stops it at once."""

    strict: list[str] = field(default_factory=list)
    wrong_type: str = ""
    known: frozenset[int] = frozenset()

    def complain(self, text: str) -> None:
        if len(self.strict) < MOST_ERRORS and text not in self.strict:
            self.strict.append(text)

    def struct(self, of: Schema, value: dict[str, Any], path: str, where: Where) -> dict[str, Any]:
        fields = of.fields
        found: dict[str, Any] = {}
        lead = path + "." if path else ""
        pairs = value.pairs if isinstance(value, Doubled) else value.items()
        for name, given in pairs:
            about = fields.get(name)
            if about is None:
                self.complain(f'unknown field "{_quoted(lead + name)}"')
                continue
            if name in found or (isinstance(value, Doubled) and self.seen(name, value, found)):
                self.complain(f'duplicate field "{lead}{name}"')
            if (type(given) is str and about.type.kind == "string") or id(given) in self.known:
                found[name] = given
            elif given is not None:
                at = Where(of.name, (*where.names, *of.embedded.get(name, ()), name), where.go)
                found[name] = self.value(about.type, given, lead + name, at)
        return tidy(of, found)

    @staticmethod
    def seen(name: str, value: Doubled, found: dict[str, Any]) -> bool:
        """Null is stored nowhere, so a name may have stood before without being in `found`."""
        del found
        marked = value.__dict__.setdefault("marked", set())
        if name in marked:
            return True
        marked.add(name)
        return False

    def value(self, kind: Type, value: Any, path: str, where: Where) -> Any:
        match kind.kind:
            case "string":
                return value if isinstance(value, str) else self.wrong(kind, value, where)
            case "struct":
                if not isinstance(value, dict):
                    return self.wrong(kind, value, where)
                known = kind.schema
                return self.struct(known, value, path, where) if known is not None else {}
            case "list":
                if not isinstance(value, list):
                    return self.wrong(kind, value, where)
                return self.list(kind, value, path, where)
            case "map":
                if not isinstance(value, dict):
                    return self.wrong(kind, value, where)
                return self.map(kind, value, path, where)
            case "bool":
                return value if isinstance(value, bool) else self.wrong(kind, value, where)
            case "int32" | "int64":
                return self.integer(kind, value, where)
            case other:
                return SELF_READING[other](self, kind, value, path, where)

    def wrong(self, kind: Type, value: Any, where: Where, what: str = "") -> Any:
        self.wrong_type = self.wrong_type or where.wrong(what or word(value), kind.go)
        return None

    def integer(self, kind: Type, value: Any, where: Where) -> Any:
        limit = LIMITS[kind.kind]
        if isinstance(value, bool) or not isinstance(value, int | float):
            return self.wrong(kind, value, where)
        if not isinstance(value, int) or not -limit <= value < limit:
            return self.wrong(kind, value, where, f"number {_number(value)}")
        return value

    def list(self, kind: Type, value: list[Any], path: str, where: Where) -> list[Any]:
        element = kind.element
        assert element is not None
        if element.kind == "string" and all(isinstance(item, str) for item in value):
            return value
        empty = None if element.pointer else zero(element)
        return [
            empty if item is None else self.value(element, item, f"{path}[{index}]", where)
            for index, item in enumerate(value)
        ]

    def map(self, kind: Type, value: dict[str, Any], path: str, where: Where) -> dict[str, Any]:
        element = kind.element
        assert element is not None
        if isinstance(value, Doubled):
            for name, _ in value.pairs:
                if self.seen(name, value, {}):
                    self.complain(f'duplicate field "{path}.{name}"')
        return {
            name: zero(element) if item is None else self.value(element, item, f"{path}.{name}", where)
            for name, item in sorted(value.items())
        }


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1]


def _number(value: float) -> str:
    return value.text if isinstance(value, Written) else repr(value)


def zero(kind: Type) -> Any:
    """Go's zero value, as JSON shows it."""
    match kind.kind:
        case "string" | "microstring":
            return ""
        case "bool":
            return False
        case "int32" | "int64" | "double" | "int-or-string":
            return 0
        case "quantity":
            return "0"
        case "struct":
            known = kind.schema
            return tidy(known, {}) if known is not None else {}
    return None


def tidy(of: Schema, found: dict[str, Any]) -> dict[str, Any]:
    """A struct as Go writes it: fields in order; optional ones left out when empty, others written even when zero."""
    made: dict[str, Any] = {}
    fields = of.fields
    for name in sorted(found.keys() | _always(of), key=of.places.__getitem__):
        about = fields[name]
        kind = about.type
        value = found.get(name)
        if value is None:
            if _left_out(about):
                if not about.omitempty and not about.omitzero:
                    made[name] = None
                continue
            value = zero(kind)
        if about.omitzero and value in (None, {}, 0, ""):
            continue
        if about.omitempty and not kind.pointer and kind.kind in OMITTED_WHEN_EMPTY and not value:
            continue
        made[name] = value
    return made


def _left_out(about: Field) -> bool:
    """Whether Go has nothing to write for a field that was not given, or null."""
    kind = about.type
    return kind.pointer or (about.omitempty and kind.kind not in ("struct", "time", "microtime", "quantity"))


@lru_cache(maxsize=8192)
def _always(of: Schema) -> frozenset[str]:
    """Fields that may be written though they were not given."""
    return frozenset(
        name for name, about in of.fields.items() if not _left_out(about) or not (about.omitempty or about.omitzero)
    )


OMITTED_WHEN_EMPTY = {"string", "bool", "int32", "int64", "double", "bytes", "list", "map"}
