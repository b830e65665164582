"""Mutations of an object, field by field, by its schema: taken away, emptied, of a wrong type, out of range, twice."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from workshop.api import schema
from workshop.api.schema import Field, Schema, Type

Obj = dict[str, Any]
LONG = "a" * 300
STRINGS = ("", "Bad Name!", LONG, "x.y", "-1")
NUMBERS = (-1, 0, 70000, 2147483647)
INT_OR_STRINGS = (-1, 0, "150%", "-5%", "x", "Bad!", 70000)
QUANTITIES = ("-1", "0", "1500m", "1n", "100Gi")
WRONG: dict[str, Any] = {
    "string": 5, "int32": "x", "int64": 1.5, "bool": "x", "list": {}, "map": [], "struct": "x", "quantity": "x1",
    "int-or-string": 1.5, "time": "yesterday", "microtime": "2026-01-01T00:00:00Z", "bytes": "?", "double": "x",
}  # fmt: skip
SKIPPED = ("metadata.managedFields", "metadata.creationTimestamp", "metadata.deletionTimestamp", "metadata.selfLink")
OWN_STATUS = ("status",)


def mutations(base: Obj) -> Iterator[tuple[str, Obj]]:
    """(`path: what was done`, the changed object)."""
    root = schema.for_kind(base["apiVersion"], base["kind"])
    assert root is not None, base["kind"]
    for path, what, value in _struct(root, base, (), base["kind"] == "Pod"):
        yield f"{_dotted(path)}: {what}", _with(base, path, value)


def _dotted(path: tuple[str | int, ...]) -> str:
    return "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in path).lstrip(".")


_GONE = object()


def _with(base: Obj, path: tuple[str | int, ...], value: Any) -> Obj:
    made = copy.deepcopy(base)
    at: Any = made
    for step in path[:-1]:
        at = at[step]
    if value is _GONE:
        del at[path[-1]]
    else:
        at[path[-1]] = value
    return made


Step = tuple[tuple[str | int, ...], str, Any]


def _struct(of: Schema, value: Obj, at: tuple[str | int, ...], deep: bool) -> Iterator[Step]:
    for name, about in of.fields.items():
        path = (*at, name)
        dotted = ".".join(str(p) for p in path if not isinstance(p, int))
        if dotted in SKIPPED or (name in ("kind", "apiVersion") and not at):
            continue
        if name == "metadata" and at and not deep:
            continue
        if name in value:
            yield path, "taken away", _GONE
            yield path, "null", None
            yield from _present(about, value[name], path, deep)
        elif name not in OWN_STATUS:
            yield from _absent(about, path)


def _present(about: Field, value: Any, path: tuple[str | int, ...], deep: bool) -> Iterator[Step]:
    kind = about.type
    yield from _scalars(kind, value, path)
    if kind.kind in WRONG:
        yield path, "of a wrong type", WRONG[kind.kind]
    within_template = "template" in path and "spec" in path[path.index("template") :]
    if kind.kind == "struct" and kind.schema is not None:
        yield path, "{}", {}
        if not (within_template and not deep):
            yield from _struct(kind.schema, value, path, deep)
    elif kind.kind == "list":
        yield path, "[]", []
        if value:
            yield path, "first one twice", [*copy.deepcopy(value), copy.deepcopy(value[0])]
        element = kind.element
        assert element is not None
        if element.kind == "struct" and element.schema is not None:
            yield path, "another {}", [*copy.deepcopy(value), {}]
            if within_template and not deep:
                return
            for index, item in enumerate(value):
                yield from _struct(element.schema, item, (*path, index), deep)
        elif value:
            yield from _scalars(element, value[0], (*path, 0))
    elif kind.kind == "map":
        yield path, "{}", {}
        yield from _map(kind, value, path)


def _map(kind: Type, value: Obj, path: tuple[str | int, ...]) -> Iterator[Step]:
    element = kind.element
    assert element is not None
    some = next(iter(value.values()), "0" if element.kind == "quantity" else "x")
    for key in ("Bad Key!", "", "a/b/c", LONG, "plain", "kubernetes.io/x", "../x"):
        yield path, f"key {key[:10]!r}", {**copy.deepcopy(value), key: copy.deepcopy(some)}
    for key, item in value.items():
        yield from _scalars(element, item, (*path, key))


def _scalars(kind: Type, value: Any, path: tuple[str | int, ...]) -> Iterator[Step]:
    choices: tuple[Any, ...] = {
        "string": STRINGS, "int32": NUMBERS, "int64": NUMBERS, "int-or-string": INT_OR_STRINGS, "quantity": QUANTITIES,
        "bytes": ("", "AAAA"),
    }.get(kind.kind, ())  # fmt: skip
    if kind.kind == "bool":
        choices = (not value,)
    for choice in choices:
        if choice != value:
            yield path, str(choice)[:12], choice


def _absent(about: Field, path: tuple[str | int, ...]) -> Iterator[Step]:
    kind = about.type
    if kind.kind == "struct":
        yield path, "added {}", {}
    elif kind.kind == "list":
        element = kind.element
        assert element is not None
        if element.kind == "struct":
            yield path, "added [{}]", [{}]
        elif element.kind == "string":
            yield path, "added [bad]", ["Bad Name!"]
            yield path, "added [x]", ["x"]
        elif element.kind in ("int32", "int64"):
            yield path, "added [-1]", [-1]
    elif kind.kind == "map":
        element = kind.element
        assert element is not None
        yield (
            path,
            "added map",
            {"Bad Key!": {"string": "bad value!", "quantity": "-1", "list": ["x"]}.get(element.kind, "AAAA")},
        )
    elif kind.kind == "bool":
        yield path, "added true", True
    else:
        yield from ((p, f"added {what}", v) for p, what, v in _scalars(kind, None, path) if v != "")
