"""Expressions that choose devices, of a DeviceClass and of a ResourceClaim's requests. Pure.

>>> judged("device.driver == 'gpu.example.com'").cost
4
>>> judged("device.driver").wrong
'must evaluate to bool or the unknown type, not string'

The checker of the library knows structs as protobuf messages, and those have no maps of maps. So each field of `device`
is a variable with a dot in its name, `device.attributes`; what is asked of `device` itself finds a message beside them.
What an attribute is nobody knows before there is a device: its type is `any`.

Upstream: k8s.io/dynamic-resource-allocation/cel/compile.go, with the gates of 1.36 (no lists in attributes).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cache
from itertools import count
from typing import NamedTuple

from workshop.api.cel import library
from workshop.api.cel.environment import CompileError, Environment, NoProgram
from workshop.api.cel.estimate import estimated
from workshop.api.cel.literals import AT_RUN_TIME, said
from workshop.api.cel.ranges import Path, Range
from workshop.api.cel.syntax import Expr, Ident, Select, Tree, Type, rebuilt
from workshop.api.cel.types import OWN_NAME, Declared

MOST_ENTRIES, LONGEST_DOMAIN, LONGEST_ID, LONGEST_VALUE, LONGEST_DRIVER = 32, 63, 32, 64, 63
DEVICE = "kubernetes.DRADevice"
ITSELF = "_dra__"
"""The device once more, under a name as long: `has(device.driver)` means the field, not the variable."""
_HAS = re.compile(r"(?<=\bhas\()(\s*)device(?=\s*\.\s*\w+\s*\))")


@dataclass(frozen=True)
class Shape:
    """How long a value can be, and what is in it."""

    most: int
    keys: Shape | None = None
    values: Shape | None = None
    fields: tuple[tuple[str, Shape], ...] = ()


ATTRIBUTE, QUANTITY = Shape(LONGEST_VALUE), Shape(0)


def _by_domain(of: Shape) -> Shape:
    """`[domain][identifier]`."""
    return Shape(MOST_ENTRIES, Shape(LONGEST_DOMAIN), Shape(MOST_ENTRIES, Shape(LONGEST_ID), of))


SHAPE = Shape(
    0,
    fields=(
        ("driver", Shape(LONGEST_DRIVER)),
        ("allowMultipleAllocations", Shape(1)),
        ("attributes", _by_domain(ATTRIBUTE)),
        ("capacity", _by_domain(QUANTITY)),
    ),
)


def size_of(path: Path) -> Range | None:
    """Of the value at a path below `device`; None where nobody knows.

    >>> size_of(("device", "attributes", "@values", "model"))
    Range(least=0, most=64)
    """
    at: Shape | None = SHAPE if path[0] in ("device", ITSELF) else None
    for name in path[1:]:
        if at is None:
            break
        if name in ("@items", "@values"):
            at = at.values
        elif name == "@keys":
            at = at.keys
        else:
            at = dict(at.fields).get(name) or (ATTRIBUTE if at.values is ATTRIBUTE else None)
    return None if at is None else Range(0, at.most)


@cache
def environment() -> Environment:
    known = {"driver": {"type": "string"}, "allowMultipleAllocations": {"type": "boolean"}}
    properties = {**known, "attributes": {}, "capacity": {}}
    itself = Declared({OWN_NAME: "DRADevice", "type": "object", "properties": properties})
    text: Type = ("string",)
    attributes = ("map", text, ("map", text, ("any",)))
    capacity = ("map", text, ("map", text, ("opaque", library.OPAQUE["quantity"])))
    variables = {
        "device": itself, ITSELF: itself, "device.driver": "string", "device.allowMultipleAllocations": "bool",
        "device.attributes": attributes, "device.capacity": capacity,
    }  # fmt: skip
    return Environment(variables, bind=True)


class Judged(NamedTuple):
    """What is wrong with an expression ("" if nothing is), and what it costs at worst. `late`: the checker took it, but
    no program can be made of it."""

    wrong: str
    cost: int = 0
    late: bool = False


def judged(text: str) -> Judged:
    asked = text if ITSELF in text else _HAS.sub(rf"\1{ITSELF}", text)
    late = ""
    try:
        program = environment().compile(asked)
        type, tree = program.type, program.checked
    except NoProgram as error:
        type, tree, late = error.type, None, str(error)
    except CompileError as error:
        return Judged(f"compilation failed: {str(error).replace(ITSELF, 'device')}")
    if not late and tree is None:  # numbers of two kinds are compared, of which the checker cannot say
        return Judged("")
    if type not in (("bool",), ("any",)):
        return Judged(f"must evaluate to bool or the unknown type, not {said(type, AT_RUN_TIME)}")
    if tree is None:
        return Judged(late, late=True)
    return Judged("", estimated(_Fields(tree).tree, size_of).most)


class _Fields:
    """`device.driver`, a variable to the checker, as the field that it is."""

    def __init__(self, tree: Tree) -> None:
        self._ids = count(1 << 29)
        self._types: dict[int, Type] = {}
        root = self._field(tree.root)
        self.tree = replace(tree, root=root, types={**tree.types, **self._types})

    def _field(self, e: Expr) -> Expr:
        if isinstance(e, Ident) and e.name.startswith("device."):
            device = Ident(next(self._ids), "device")
            self._types[device.id] = ("message", DEVICE)
            return Select(e.id, device, e.name.removeprefix("device."))
        return rebuilt(e, self._field)
