"""The simple JSON paths of definitions: printer columns, selectable fields, scale.

>>> find({"conditions": [{"type": "Ready", "status": "True"}]}, '.conditions[?(@.type=="Ready")].status')
['True']

Dots, `['key']`, `[0]`, `[*]`, `[a:b]`, `..name`, and filters `[?(@.a=="b")]` with the usual comparisons; what is not
there gives nothing. Upstream: client-go/util/jsonpath.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

_STEP = re.compile(
    r"""\.\.(?P<deep>[^.\[\]]+|\*) | \.(?P<name>(?:\\.|[^.\[\]\\])+) | \['(?P<key>(?:\\.|[^'\\])*)'\]
    | \["(?P<quoted>(?:\\.|[^"\\])*)"\]
    | \[(?P<index>-?\d+)\] | \[(?P<all>\*)\] | \[(?P<from>-?\d*):(?P<to>-?\d*)(?::(?P<step>-?\d*))?\]
    | \[\?\((?P<filter>.*?)\)\] | (?P<bare>^[^.\[\]]+)""",
    re.VERBOSE,
)  # fmt: skip
_FILTER = re.compile(r"""\s*@(?P<left>[^=!<>\s]*)\s*(?:(?P<op>==|!=|<=|>=|<|>)\s*(?P<right>.+?))?\s*""")


class Unreadable(ValueError):
    """A path that is none."""


@lru_cache(maxsize=1024)
def parse(path: str) -> tuple[re.Match[str], ...]:
    """The steps of a path. Raises Unreadable."""
    steps, at = [], 0
    text = path.strip()
    if text.startswith("$"):
        text = text[1:]
    while at < len(text):
        if text[at:] == ".":
            break
        step = _STEP.match(text, at)
        if step is None:
            raise Unreadable(f"cannot read {text[at:]!r}")
        steps.append(step)
        at = step.end()
    return tuple(steps)


def find(obj: Any, path: str) -> list[Any]:
    """Everything at a path, in order; [] where nothing is."""
    found = [obj]
    for step in parse(path):
        found = [value for each in found for value in _take(each, step)]
    return found


def _take(value: Any, step: re.Match[str]) -> Iterator[Any]:
    part = step.groupdict()
    if part["deep"] is not None:
        yield from _deep(value, part["deep"])
        return
    name = part["name"] or part["bare"]
    if name is None:
        name = part["key"] if part["key"] is not None else part["quoted"]
    if name == "*" or part["all"] is not None:
        yield from value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    elif name is not None:
        name = re.sub(r"\\(.)", r"\1", name)
        if isinstance(value, dict) and name in value:
            yield value[name]
    elif isinstance(value, list):
        yield from _elements(value, part)


def _elements(value: list[Any], part: dict[str, str | None]) -> Iterator[Any]:
    if part["index"] is not None:
        index = int(part["index"])
        if -len(value) <= index < len(value):
            yield value[index]
    elif part["filter"] is not None:
        yield from (each for each in value if _holds(each, part["filter"]))
    else:
        start, stop, step = (int(text) if text else None for text in (part["from"], part["to"], part["step"]))
        yield from value[start:stop:step]


def _deep(value: Any, name: str) -> Iterator[Any]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        if name in ("*", key):
            yield each
        yield from _deep(each, name)


def _holds(item: Any, condition: str) -> bool:
    read = _FILTER.fullmatch(condition)
    if read is None:
        return False
    left = find(item, read["left"] or ".")
    if not read["op"]:
        return bool(left)
    right = _literal(item, read["right"])
    return any(_compare(each, read["op"], right) for each in left)


def _literal(item: Any, text: str) -> Any:
    if text[:1] in "\"'":
        return text[1:-1]
    if text.startswith("@"):
        found = find(item, text[1:])
        return found[0] if found else None
    if text in ("true", "false"):
        return text == "true"
    try:
        return float(text)
    except ValueError:
        return text


def _compare(left: Any, sign: str, right: Any) -> bool:
    if sign in ("==", "!="):
        return bool((left == right) is (sign == "=="))
    try:
        return bool({"<": left < right, ">": left > right, "<=": left <= right, ">=": left >= right}[sign])
    except TypeError:
        return False
