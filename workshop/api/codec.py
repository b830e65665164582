"""JSON and YAML, read with limits and written quickly.

msgspec reads and writes JSON where it is installed; the standard library does where it is not (a browser). Errors are
ValueError with Go's words. Bytes that are no UTF-8 become U+FFFD, as Go reads them. How large a body may be is for
the caller to say, before it is read.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from workshop.api import deep_json
from workshop.api.json_syntax import MAX_DEPTH, complaint

try:
    import msgspec
except ImportError:  # pure fallback
    msgspec = None  # type: ignore[assignment]

MAX_YAML_NODES = 500_000
"""Nodes of a YAML document with its aliases written out: ten lines can stand for billions."""
LONGEST_DEEP_YAML = 128 * 1024
"""Characters of a YAML text that may be nested deeper than the quick reader goes; others are refused as too deep."""


def loads(data: bytes | str, max_depth: int = MAX_DEPTH) -> Any:
    """Decode JSON. Raises ValueError as Go would word it."""
    try:
        value = _decode(data)
    except (ValueError, RecursionError) as error:
        text = data if isinstance(data, str) else data.decode(errors="replace")
        wrong = complaint(text)
        if wrong:
            raise ValueError(wrong) from None
        if isinstance(error, RecursionError):
            return deep_json.loads(text)
        value = without_surrogates(json.loads(text))  # only its encoding was bad
    check_depth(data, value, max_depth)
    return value


def check_depth(data: bytes | str, value: Any, max_depth: int = MAX_DEPTH) -> None:
    """Raises ValueError where the `value` of a text has too many levels."""
    brackets = (data.count(b"{") + data.count(b"[")) if isinstance(data, bytes) else data.count("{") + data.count("[")
    if brackets > max_depth and depth(value) > max_depth:  # few texts have so many brackets at all
        raise ValueError(complaint(data) or "exceeded max depth")


def _no_constant(name: str) -> Any:
    raise ValueError(f"invalid character '{name[0]}' looking for beginning of value")


def _decode_pure(data: bytes | str) -> Any:
    return json.loads(data, parse_constant=_no_constant)


def _encode_pure(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


_decode: Callable[[bytes | str], Any] = msgspec.json.Decoder().decode if msgspec else _decode_pure
dumps: Callable[[Any], bytes] = msgspec.json.Encoder().encode if msgspec else _encode_pure


def dumps_indented(value: Any) -> str:
    """For people: two spaces, as `kubectl -o json` writes it (four) is kubectl's own affair."""
    return json.dumps(value, indent=2, ensure_ascii=False)


def depth(value: Any) -> int:
    """Levels of objects and lists; a scalar has none."""
    level, row = 0, [value] if isinstance(value, (dict, list)) else []
    while row:
        level += 1
        row = [child for node in row for child in _children(node) if isinstance(child, (dict, list))]
    return level


def may_have_surrogates(text: bytes | str) -> bool:
    return (b"\\ud" in text or b"\\uD" in text) if isinstance(text, bytes) else ("\\ud" in text or "\\uD" in text)


def without_surrogates(value: Any) -> Any:
    """Half a pair (`\\ud800`) is no character: U+FFFD stands for it, as in Go."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [without_surrogates(child) for child in value]
    if isinstance(value, dict):
        for key in list(value):
            value[without_surrogates(key)] = without_surrogates(value.pop(key))
    return value


def _children(node: Any) -> Iterable[Any]:
    return node.values() if isinstance(node, dict) else node


# --- keys given twice ----------------------------------------------------------------------------------------------


class _Twice(dict[str, Any]):
    """An object in which some keys were given more than once."""

    twice: tuple[str, ...] = ()


def duplicates(data: bytes | str) -> list[str]:
    """Paths of the keys that a (well-formed) JSON text gives more than once: `spec.containers[0].name`.

    The server's strict field validation makes `duplicate field "…"` of each.
    """
    any_twice = False

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal any_twice
        if len(found := dict(items)) == len(items):
            return found
        any_twice = True
        seen: set[str] = set()
        twice: dict[str, None] = {}  # in the order in which they are met again
        for key, _ in items:
            if key in seen:
                twice[key] = None
            seen.add(key)
        marked = _Twice(found)
        marked.twice = tuple(twice)
        return marked

    value = json.loads(data if isinstance(data, str) else data.decode(errors="replace"), object_pairs_hook=pairs)
    return list(_paths(value, "")) if any_twice else []


def _paths(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value, _Twice):
            yield from (f"{path}.{key}" if path else key for key in value.twice)
        for key, child in value.items():
            yield from _paths(child, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for i, child in enumerate(value):
            yield from _paths(child, f"{path}[{i}]")


# --- YAML ----------------------------------------------------------------------------------------------------------


def load_yaml(data: bytes | str, max_depth: int = MAX_DEPTH, doubled: list[str] | None = None) -> Any:
    """One YAML document as the JSON it stands for. Raises ValueError, also for an alias bomb. What is wrong with keys
    that are given twice is added to `doubled`."""
    documents = load_yaml_all(data, max_depth, doubled)
    return documents[0] if documents else None


def load_yaml_all(data: bytes | str, max_depth: int = MAX_DEPTH, doubled: list[str] | None = None) -> list[Any]:
    """All documents of a stream; empty ones are None."""
    import yaml  # only those who read YAML pay for it

    from workshop.api.yaml_json import DeepLoader, Reader

    try:
        text = data if isinstance(data, str) else data.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"error converting YAML to JSON: yaml: {_no_utf8(error)}") from None
    reader = Reader(MAX_YAML_NODES, max_depth, text)
    try:
        try:
            nodes = list(yaml.compose_all(text, Loader=reader.loader))
        except yaml.YAMLError as error:
            if "nesting depth" not in str(error) or len(text) > LONGEST_DEEP_YAML:
                raise
            nodes = list(yaml.compose_all(text, Loader=DeepLoader))
        found = [reader.read(node) for node in nodes if node is not None]
        if doubled is not None:
            doubled += reader.doubled
        return found
    except yaml.YAMLError as error:
        raise ValueError(f"error converting YAML to JSON: yaml: {_where(error, text)}") from None
    except RecursionError:
        raise ValueError("error converting YAML to JSON: yaml: exceeded max depth of 10000") from None


def _no_utf8(error: UnicodeDecodeError) -> str:
    """In the words of the C library that Go's YAML is made after."""
    if error.reason == "unexpected end of data":
        return "incomplete UTF-8 octet sequence"
    leading = error.object[error.start]
    return "invalid leading UTF-8 octet" if leading < 0xC2 or leading > 0xF4 else "invalid trailing UTF-8 octet"


def _where(error: Any, text: str) -> str:
    """The problem and its line, counted as Go's yaml counts: parser errors from the line before, line 0 untold."""
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
    if "nesting depth" in problem:
        return "exceeded max depth of 10000"
    if "undefined alias" in problem:
        mark = error.problem_mark
        alias = text.splitlines()[mark.line][mark.column + 1 :]
        return f"unknown anchor '{alias.split()[0].rstrip(',]}')}' referenced"
    marks = (getattr(error, "context_mark", None), getattr(error, "problem_mark", None))
    line = next((mark.line for mark in marks if mark is not None and mark.line), 0)
    if line and type(error).__name__ == "ScannerError":
        line += 1
    return f"line {line}: {problem}" if line else str(problem)
