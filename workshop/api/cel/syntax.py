"""An expression as a tree. The library's parser makes it (and hands it over as bytes); macros that it does not know are
written out here: those of two variables, and `sortBy`.

>>> tree = parsed("1 + n")
>>> tree.root.function, tree.root.args[0].value
('_+_', 1)

Upstream: cel-spec proto/cel/expr/{syntax,checked}.proto (the bytes), cel-go ext/{comprehensions,lists}.go (the macros).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import count
from struct import unpack
from typing import Any

from workshop.api.cel.values import Uint

RESULT = "@result"
SORTED = "@__sortBy_input__"


@dataclass(frozen=True, slots=True)
class Literal:
    id: int
    value: Any


@dataclass(frozen=True, slots=True)
class Ident:
    id: int
    name: str


@dataclass(frozen=True, slots=True)
class Select:
    """`operand.field`; `has(operand.field)` where it only tests."""

    id: int
    operand: Expr
    field: str
    test: bool = False


@dataclass(frozen=True, slots=True)
class Call:
    id: int
    function: str
    target: Expr | None
    args: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class ListOf:
    """`optional` are the places of elements with a question mark."""

    id: int
    items: tuple[Expr, ...]
    optional: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class MapOf:
    """Key, value, is it there only if the value is? A message has names as keys."""

    id: int
    entries: tuple[tuple[Expr, Expr, bool], ...]
    message: str = ""


@dataclass(frozen=True, slots=True)
class Fold:
    """A macro written out: the accumulator goes from `start` by `step` while `condition` holds."""

    id: int
    over: Expr
    variable: str
    second: str
    accumulator: str
    start: Expr
    condition: Expr
    step: Expr
    result: Expr

    @property
    def binds(self) -> bool:
        """It is no loop, but gives a value a name."""
        return isinstance(self.over, ListOf) and not self.over.items and self.accumulator != RESULT


Expr = Literal | Ident | Select | Call | ListOf | MapOf | Fold
Type = tuple[Any, ...]
"""("int",), ("list", Type), ("map", Type, Type), ("message", name), ("opaque", name, *Types), ("dyn",), …"""


@dataclass(frozen=True)
class Tree:
    """`types` and `overloads` by the id of a node, where the tree was checked; `places` are offsets in the text."""

    root: Expr
    types: dict[int, Type] = field(default_factory=dict)
    overloads: dict[int, tuple[str, ...]] = field(default_factory=dict)
    places: dict[int, int] = field(default_factory=dict)


def parsed(text: str) -> Tree:
    """Only parsed. Raises RuntimeError with the parser's complaint."""
    from workshop.api.cel import library

    tree = read(library.parser().compile(text, disable_check=True).serialize())
    return replace(tree, root=_Macros().written_out(tree.root))


def read(data: bytes) -> Tree:
    """The library's bytes: a ParsedExpr or a CheckedExpr in an Any."""
    told = dict(_fields(data))
    checked = told[1].endswith(b"CheckedExpr")
    root: Expr | None = None
    types: dict[int, Type] = {}
    overloads: dict[int, tuple[str, ...]] = {}
    places: dict[int, int] = {}
    for number, value in _fields(told[2]):
        if number == (4 if checked else 2):
            root = _expr(value)
        elif checked and number == 2:
            entry = dict(_fields(value))
            overloads[entry.get(1, 0)] = tuple(v.decode() for n, v in _fields(entry.get(2, b"")) if n == 3)
        elif checked and number == 3:
            entry = dict(_fields(value))
            types[entry.get(1, 0)] = _type(entry.get(2, b""))
        elif number == (5 if checked else 3):
            for n, v in _fields(value):
                if n == 4:
                    entry = dict(_fields(v))
                    places[entry.get(1, 0)] = entry.get(2, 0)
    assert root is not None
    return Tree(_plain(root), types, overloads, places)


ANY = "_any_"
"""The checker is told that its argument may be anything; it is no call."""


def _plain(e: Expr) -> Expr:
    return _plain(e.args[0]) if isinstance(e, Call) and e.function == ANY else rebuilt(e, _plain)


def _fields(data: bytes) -> Iterator[tuple[int, Any]]:
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, at = _varint(data, at)
            yield number, value
        elif wire == 1:
            yield number, data[at : at + 8]
            at += 8
        else:
            size, at = _varint(data, at)
            yield number, data[at : at + size]
            at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7


def _expr(data: bytes) -> Expr:
    told = dict(_fields(data))
    id = told.pop(2, 0)
    (kind, inner) = next(iter(told.items()), (3, b"\x08\x00"))
    parts = list(_fields(inner))
    one = dict(parts)
    match kind:
        case 3:
            return Literal(id, _constant(parts))
        case 4:
            return Ident(id, one.get(1, b"").decode())
        case 5:
            return Select(id, _expr(one[1]), one[2].decode(), bool(one.get(3)))
        case 6:
            target = _expr(one[1]) if 1 in one else None
            return Call(id, one[2].decode(), target, tuple(_expr(v) for n, v in parts if n == 3))
        case 7:
            optional = frozenset(i for n, v in parts if n == 2 for i in ([v] if isinstance(v, int) else _packed(v)))
            return ListOf(id, tuple(_expr(v) for n, v in parts if n == 1), optional)
        case 8:
            return MapOf(id, tuple(_entry(v) for n, v in parts if n == 2), one.get(1, b"").decode())
    return Fold(
        id, _expr(one[2]), one[1].decode(), one.get(8, b"").decode(), one[3].decode(), _expr(one[4]), _expr(one[5]),
        _expr(one[6]), _expr(one[7]),
    )  # fmt: skip


def _packed(data: bytes) -> Iterator[int]:
    at = 0
    while at < len(data):
        value, at = _varint(data, at)
        yield value


def _entry(data: bytes) -> tuple[Expr, Expr, bool]:
    one = dict(_fields(data))
    key = _expr(one[3]) if 3 in one else Literal(0, one[2].decode())
    return key, _expr(one[4]), bool(one.get(5))


def _constant(parts: list[tuple[int, Any]]) -> Any:
    first: tuple[int, Any] = parts[0] if parts else (1, 0)
    number, value = first
    match number:
        case 2:
            return bool(value)
        case 3:
            return value - (1 << 64) if value >= 1 << 63 else value
        case 4:
            return Uint(value)
        case 5:
            return unpack("<d", value)[0]
        case 6:
            return value.decode()
        case 7:
            return bytes(value)
    return None


_PRIMITIVES = ("", "bool", "int", "uint", "double", "string", "bytes")


def _type(data: bytes) -> Type:
    first: tuple[int, Any] = next(_fields(data), (1, b""))
    number, value = first
    match number:
        case 2:
            return ("null",)
        case 3 | 4:
            return (_PRIMITIVES[value],)
        case 5:
            return (("", "any", "timestamp", "duration")[value],)
        case 6:
            return ("list", _type(dict(_fields(value)).get(1, b"")))
        case 7:
            inner = dict(_fields(value))
            return ("map", _type(inner.get(1, b"")), _type(inner.get(2, b"")))
        case 9:
            return ("message", value.decode())
        case 10:
            return ("parameter",)
        case 11:
            return ("type", _type(value))
        case 14:
            parts = list(_fields(value))
            name = next((v.decode() for n, v in parts if n == 1), "").partition("<")[0]
            return ("opaque", name, *(_type(v) for n, v in parts if n == 2))
    return ("dyn",)


def rebuilt(e: Expr, change: Callable[[Expr], Expr]) -> Expr:
    """The expression with others in the place of those that it is made of."""
    match e:
        case Select():
            return replace(e, operand=change(e.operand))
        case Call():
            target = change(e.target) if e.target is not None else None
            return replace(e, target=target, args=tuple(map(change, e.args)))
        case ListOf():
            return replace(e, items=tuple(map(change, e.items)))
        case MapOf():
            return replace(e, entries=tuple((change(k), change(v), o) for k, v, o in e.entries))
        case Fold():
            over, start, condition = change(e.over), change(e.start), change(e.condition)
            step, result = change(e.step), change(e.result)
            return replace(e, over=over, start=start, condition=condition, step=step, result=result)
    return e


def every(e: Expr) -> list[Expr]:
    """An expression and all that are in it."""
    found = [e]

    def visit(each: Expr) -> Expr:
        found.extend(every(each))
        return each

    rebuilt(e, visit)
    return found


class _Macros:
    """Writes out calls that stand for loops."""

    def __init__(self) -> None:
        self._ids = count(1 << 30)

    def written_out(self, e: Expr) -> Expr:
        made = rebuilt(e, self.written_out)
        return (self._loop(made) or made) if isinstance(made, Call) else made

    def _loop(self, e: Call) -> Expr | None:
        if e.target is None:
            return None
        names = [arg.name if isinstance(arg, Ident) else "" for arg in e.args]
        if e.function == "sortBy" and len(names) == 2 and names[0]:
            return self._sort_by(e, e.target, names[0])
        if len(names) not in (3, 4) or not (names[0] and names[1]) or e.function not in _TWO:
            return None
        if len(names) == 4 and not e.function.startswith("transform"):
            return None
        rest = e.args[2:]
        if e.function == "transformMap":  # the key stays
            start, condition, result = self.map(), self.value(True), self.result()
            step = self.call("cel.@mapInsert", self.result(), e.args[0], rest[-1])
        else:
            start, condition, step, result = _TWO[e.function](self, rest)
        if len(names) == 4:
            step = self.call("_?_:_", e.args[2], step, self.result())
        return Fold(e.id, e.target, names[0], names[1], RESULT, start, condition, step, result)

    def _sort_by(self, e: Call, over: Expr, name: str) -> Expr:
        keys = Fold(
            next(self._ids), self._name(SORTED), name, "", RESULT, self.list(), self.value(True),
            self.call("_+_", self.result(), self.list(e.args[1])), self.result(),
        )  # fmt: skip
        result = Call(next(self._ids), "@sortByAssociatedKeys", self._name(SORTED), (keys,))
        nothing = self.list()
        return Fold(e.id, nothing, "#unused", "", SORTED, over, self.value(False), self._name(SORTED), result)

    def _name(self, name: str) -> Expr:
        return Ident(next(self._ids), name)

    def result(self) -> Expr:
        return self._name(RESULT)

    def value(self, value: Any) -> Expr:
        return Literal(next(self._ids), value)

    def list(self, *items: Expr) -> Expr:
        return ListOf(next(self._ids), items)

    def map(self) -> Expr:
        return MapOf(next(self._ids), ())

    def call(self, function: str, *args: Expr) -> Expr:
        return Call(next(self._ids), function, None, args)

    def all(self, rest: tuple[Expr, ...]) -> Parts:
        held = self.call("@not_strictly_false", self.result())
        return self.value(True), held, self.call("_&&_", self.result(), rest[0]), self.result()

    def exists(self, rest: tuple[Expr, ...]) -> Parts:
        held = self.call("@not_strictly_false", self.call("!_", self.result()))
        return self.value(False), held, self.call("_||_", self.result(), rest[0]), self.result()

    def exists_one(self, rest: tuple[Expr, ...]) -> Parts:
        more = self.call("_+_", self.result(), self.value(1))
        step = self.call("_?_:_", rest[0], more, self.result())
        return self.value(0), self.value(True), step, self.call("_==_", self.result(), self.value(1))

    def to_list(self, rest: tuple[Expr, ...]) -> Parts:
        step = self.call("_+_", self.result(), self.list(rest[-1]))
        return self.list(), self.value(True), step, self.result()

    def to_map(self, rest: tuple[Expr, ...]) -> Parts:
        return self.map(), self.value(True), self.call("cel.@mapInsert", self.result(), *rest[-1:]), self.result()


Parts = tuple[Expr, Expr, Expr, Expr]
_TWO: dict[str, Callable[[_Macros, tuple[Expr, ...]], Parts]] = {
    "all": _Macros.all, "exists": _Macros.exists, "existsOne": _Macros.exists_one, "exists_one": _Macros.exists_one,
    "transformList": _Macros.to_list, "transformMapEntry": _Macros.to_map,
    "transformMap": _Macros.to_map,
}  # fmt: skip
