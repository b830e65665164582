"""Sets of field paths, in the very form they have on the wire (FieldsV1): nested dicts.

A key is a path element: `f:spec` a field, `k:{"name":"web"}` an element of a list by its keys, `v:"x"` an element of a
set by its value. What stands below it says whether the path itself is a member of the set:

    {}                    it is, and nothing below it
    {".": {}, "f:a": {}}  it is, and so is its field a
    {"f:a": {}}           it is not, only its field a

Sets are never changed, so they may share parts. Upstream: `structured-merge-diff/v6/fieldpath`.

>>> a = {"f:spec": {"f:replicas": {}, "f:paused": {}}}
>>> difference(a, {"f:spec": {"f:paused": {}}}), list(map(path_text, paths(a)))
({'f:spec': {'f:replicas': {}}}, ['.spec.paused', '.spec.replicas'])
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

Trie = dict[str, Any]
EMPTY: Trie = {}


def of(*paths: Iterable[str]) -> Trie:
    """A set of paths of field names: `of(("spec",), ("metadata", "labels"))`."""
    result: Trie = {}
    for path in paths:
        names = [f"f:{name}" for name in path]
        below: Trie = {}
        for name in reversed(names):
            below = {name: below}
        result = union(result, below)
    return result


def _node(member: bool, children: Trie) -> Trie | None:
    """A node of the form above; None for one that holds nothing."""
    if not children:
        return {} if member else None
    return {".": {}, **children} if member else children


def is_member(node: Trie) -> bool:
    return not node or "." in node


def children_of(node: Trie) -> Trie:
    return {key: child for key, child in node.items() if key != "."} if "." in node else node


def union(a: Trie, b: Trie) -> Trie:
    if not a or not b:
        return a or b
    result = dict(a)
    for key, theirs in b.items():
        mine = result.get(key)
        if mine is None or key == ".":
            result[key] = theirs
        elif mine != theirs:
            member = is_member(mine) or is_member(theirs)
            node = _node(member, union(children_of(mine), children_of(theirs)))
            result[key] = {} if node is None else node
    return result


def intersection(a: Trie, b: Trie) -> Trie:
    result: Trie = {}
    for key in a.keys() & b.keys():
        if key != ".":
            mine, theirs = a[key], b[key]
            below = intersection(children_of(mine), children_of(theirs))
            if (node := _node(is_member(mine) and is_member(theirs), below)) is not None:
                result[key] = node
    return result


def difference(a: Trie, b: Trie) -> Trie:
    """Members of `a` that are none of `b`. A member of `b` does not take those below it along."""
    if not b:
        return a
    result: Trie = {}
    for key, mine in a.items():
        theirs = b.get(key)
        if theirs is None:
            result[key] = mine
        elif key != ".":
            below = difference(children_of(mine), children_of(theirs))
            if (node := _node(is_member(mine) and not is_member(theirs), below)) is not None:
                result[key] = node
    return result


def recursive_difference(a: Trie, b: Trie) -> Trie:
    """As `difference`, but a member of `b` takes everything below it along."""
    if not b:
        return a
    result: Trie = {}
    for key, mine in a.items():
        theirs = b.get(key)
        if theirs is None:
            result[key] = mine
        elif key != "." and not is_member(theirs):
            below = recursive_difference(children_of(mine), theirs)
            if (node := _node(is_member(mine), below)) is not None:
                result[key] = node
    return result


def has(fields: Trie, path: tuple[str, ...]) -> bool:
    node = fields
    for element in path:
        found = node.get(element)
        if found is None:
            return False
        node = found
    return is_member(node)


def paths(fields: Trie, prefix: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Members in upstream's order: those of a level before those below."""
    keys = sorted((key for key in fields if key != "."), key=order)
    for key in keys:
        if is_member(fields[key]):
            yield (*prefix, key)
    for key in keys:
        yield from paths(fields[key], (*prefix, key))


def ordered(fields: Trie) -> Trie:
    """The same with its keys in upstream's order, as it is written."""
    if len(fields) < 2:
        return {key: ordered(node) if node else node for key, node in fields.items()}
    return {key: ordered(fields[key]) if fields[key] else {} for key in sorted(fields, key=order)}


# --- path elements ---------------------------------------------------------------------------------------------------

_KINDS = {".": 0, "f": 1, "k": 2, "v": 3, "i": 4}


@lru_cache(maxsize=8192)
def order(element: str) -> tuple[Any, ...]:
    """Sort key: fields by name, then keyed elements by their keys' values, then values, then indices."""
    kind = _KINDS.get(element[0], 5)
    if kind < 2 or kind > 4:
        return (kind, element)
    try:
        value = json.loads(element[2:])
    except ValueError:
        return (5, element)
    if isinstance(value, dict):
        return (kind, tuple((name, *_rank(value[name])) for name in sorted(value)))
    return (kind, _rank(value))


def _rank(value: Any) -> tuple[Any, ...]:
    """Numbers before texts before truth values, as upstream compares."""
    if isinstance(value, bool):
        return (2, value)
    if isinstance(value, (int, float)):
        return (0, value)
    return (1, str(value))


def key_element(keys: Mapping[str, Any]) -> str:
    """`k:{"containerPort":80,"protocol":"TCP"}`: the keys in order of their names."""
    return "k:" + _json({name: keys[name] for name in sorted(keys)} if len(keys) > 1 else dict(keys))


def value_element(value: Any) -> str:
    return "v:" + _json(value)


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def path_text(path: Iterable[str]) -> str:
    """As conflicts are told: `.spec.template.spec.containers[name="web"].image`."""
    return "".join(map(_element_text, path))


def _element_text(element: str) -> str:
    kind, rest = element[0], element[2:]
    if kind == "f":
        return f".{rest}"
    if kind == "k":
        keys = json.loads(rest)
        return "[" + ",".join(f"{name}={_json(keys[name])}" for name in sorted(keys)) + "]"
    return f"[={rest}]" if kind == "v" else f"[{rest}]"
