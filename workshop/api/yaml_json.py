"""YAML's node graph as JSON values: YAML 1.1 scalars as Kubernetes reads them, string keys, aliases within a budget.

PyYAML's safe loader shares what an alias names, so a bomb costs it little and whoever walks the result everything. So
the graph is written out here, node by node, and the nodes are counted. Upstream: `sigs.k8s.io/yaml`.
"""

from __future__ import annotations

import contextlib
import json
import math
import re
from collections import OrderedDict
from typing import Any

import yaml
from yaml.scanner import ScannerError


class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Without timestamps: JSON has none, so they stay text."""


_NUMBER = re.compile(r"[-+]?(\.[0-9]+|[0-9][0-9_]*(\.[0-9_]*)?)([eE][-+]?[0-9]+)?|[-+]?\.inf|\.nan", re.IGNORECASE)
_INTEGER = re.compile(r"[-+]?(0x[0-9a-f_]+|0b[01_]+|0o?[0-7_]+|[0-9][0-9_]*)", re.IGNORECASE)
_TAG = "tag:yaml.org,2002:"
_NUMBERS = [
    (_TAG + name, re.compile(f"(?:{found.pattern})$", re.IGNORECASE))
    for name, found in (("int", _INTEGER), ("float", _NUMBER))
]
"""What Go's YAML takes for numbers: more than YAML 1.1 (`1e3`, `0o17`), but nothing sexagesimal (`12:30`)."""
Loader.yaml_implicit_resolvers = {
    first: [
        *(_NUMBERS if first in "-+.0123456789" else ()),
        *((tag, pattern) for tag, pattern in resolvers if tag.removeprefix(_TAG) not in ("timestamp", "int", "float")),
    ]
    for first, resolvers in {**dict.fromkeys("+-.0123456789", ()), **yaml.SafeLoader.yaml_implicit_resolvers}.items()
}
for _letter in "yYnN":
    Loader.yaml_implicit_resolvers[_letter] = [
        (_TAG + "bool", re.compile(r"[yYnN]$")),
        *Loader.yaml_implicit_resolvers.get(_letter, []),
    ]


class DeepLoader(yaml.SafeLoader):
    """The same without libyaml, whose scanner gives up at a thousand levels; slower by far, so only for what is deep.

    PyYAML looks at all keys that are open each time. They are open in their order: looking at the first is enough."""

    yaml_implicit_resolvers = Loader.yaml_implicit_resolvers

    def __init__(self, stream: Any) -> None:
        super().__init__(stream)
        self.possible_simple_keys: OrderedDict[int, Any] = OrderedDict()

    def stale_possible_simple_keys(self) -> None:
        keys = self.possible_simple_keys
        while keys:
            level, key = next(iter(keys.items()))
            if key.line == self.line and self.index - key.index <= 1024:
                return
            if key.required:
                raise ScannerError(
                    "while scanning a simple key", key.mark, "could not find expected ':'", self.get_mark()
                )
            del keys[level]

    def next_possible_simple_key(self) -> int | None:
        return next((key.token_number for key in self.possible_simple_keys.values()), None)


_SCALARS = {f"tag:yaml.org,2002:{name}" for name in ("null", "bool", "int", "float", "str", "binary", "timestamp")}
_MERGE = "tag:yaml.org,2002:merge"


def _go_float(value: float) -> str:
    return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"


class Reader:
    """Reads composed nodes. `nodes` is what one stream may hold with its aliases written out."""

    loader = Loader

    def __init__(self, nodes: int, max_depth: int, text: str) -> None:
        self.text = text
        self.left = nodes
        self.max_depth = max_depth
        self.within: set[int] = set()
        self.construct = yaml.constructor.SafeConstructor()
        self.doubled: list[str] = []

    def read(self, node: Any, depth: int = 0) -> Any:
        self.left -= 1
        if self.left < 0:
            raise ValueError("error converting YAML to JSON: yaml: document contains excessive aliasing")
        if isinstance(node, yaml.ScalarNode):
            return self.scalar(node)
        if depth >= self.max_depth:
            raise ValueError("error converting YAML to JSON: yaml: exceeded max depth of 10000")
        if id(node) in self.within:
            raise ValueError(f"error converting YAML to JSON: yaml: anchor '{self.anchor(node)}' value contains itself")
        self.within.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            value: Any = [self.read(child, depth + 1) for child in node.value]
        else:
            value = self._mapping(node, depth)
        self.within.discard(id(node))
        return value

    def _mapping(self, node: Any, depth: int) -> dict[str, Any]:
        merged: dict[str, Any] = {}
        own: dict[str, Any] = {}
        for key, value in node.value:
            if key.tag == _MERGE:
                self.merge(self.read(value, depth + 1), merged)
            else:
                name = self.key(key)
                if name in own:
                    self.doubled.append(f"line {key.start_mark.line + 1}: key {json.dumps(name)} already set in map")
                own[name] = self.read(value, depth + 1)
        return dict(sorted({**merged, **own}.items()))  # as it comes to the reader of JSON upstream

    def anchor(self, node: Any) -> str:
        """The name that the text gives a node: composed nodes do not keep it."""
        found = re.match(r"&([^\s,\[\]{}]+)", self.text[node.start_mark.index :])
        return found[1] if found else ""

    def merge(self, value: Any, into: dict[str, Any]) -> None:
        for source in value if isinstance(value, list) else [value]:
            if not isinstance(source, dict):
                raise ValueError(
                    "error converting YAML to JSON: yaml: map merge requires map or sequence of maps as the value"
                )
            for name, given in source.items():
                into.setdefault(name, given)

    def key(self, node: Any) -> str:
        """Keys that YAML takes for numbers or booleans are written out as JSON would write them."""
        if not isinstance(node, yaml.ScalarNode):
            raise ValueError("error converting YAML to JSON: yaml: invalid map key")
        value = self.scalar(node)
        if isinstance(value, str):
            return value
        if value is None:
            raise ValueError("error converting YAML to JSON: unsupported map key of type: %!s(<nil>), key: <nil>")
        if isinstance(value, bool) or value is None:
            return {True: "true", False: "false", None: "null"}[value]
        return str(value)

    def scalar(self, node: Any) -> Any:
        if node.tag == _MERGE:
            return node.value
        if node.tag not in _SCALARS:
            return node.value  # a local tag (`!thing`) on a scalar: its text
        if node.tag == _TAG + "bool" and len(node.value) == 1:
            return node.value in "yY"
        if node.tag in (_TAG + "int", _TAG + "float"):
            return _number(node.value, node.tag)
        try:
            value = self.construct.construct_object(node)
        except (ValueError, KeyError):
            short = node.tag.replace("tag:yaml.org,2002:", "!!")
            raise ValueError(
                f"error converting YAML to JSON: yaml: cannot decode !!str `{node.value}` as a {short}"
            ) from None
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError("error converting YAML to JSON: json: unsupported value: " + _go_float(value))
        if isinstance(value, bytes):
            return value.decode(errors="replace")
        return value if isinstance(value, (str, int, float, bool)) or value is None else node.value


def _number(text: str, tag: str) -> Any:
    """An integer in Go's notation, or another number. Raises ValueError."""
    bare = text.replace("_", "")
    sign, digits = (bare[0], bare[1:]) if bare[:1] in ("-", "+") else ("", bare)
    if digits[:1].isdigit() and digits.isascii():
        octal = digits[0] == "0" and digits.isdigit() and len(digits) > 1
        with contextlib.suppress(ValueError):
            whole = int(sign + ("0o" + digits[1:] if octal else digits), 0)
            return whole if -(1 << 63) <= whole < 1 << 64 else _large(text, whole)
    if _NUMBER.fullmatch(bare):
        value = float(bare.lower().replace(".inf", "inf").replace(".nan", "nan"))
        if not math.isfinite(value):
            raise ValueError("error converting YAML to JSON: json: unsupported value: " + _go_float(value))
        return int(value) if value.is_integer() and abs(value) < 1e21 else value
    short = tag.replace(_TAG, "!!")
    raise ValueError(f"error converting YAML to JSON: yaml: cannot decode !!str `{text}` as a {short}")


def _large(text: str, value: int) -> Any:
    """What is no integer of 64 bits is a float, and a text where it is no float either."""
    try:
        return float(value) and value
    except OverflowError:
        return text
