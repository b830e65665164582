"""Walks over one or two values along their type: which fields are there, what changed, merge, remove.

Upstream: `structured-merge-diff/v6/typed` (`tofieldset.go`, `compare.go`, `merge.go`, `remove.go`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from workshop.api.patch.fieldset import EMPTY, Trie, children_of, is_member, path_text
from workshop.api.patch.resets import Filter
from workshop.api.patch.typed import ANY, Node

MISSING: Any = object()
"""Not there at all; None is JSON's null."""


def _is_leaf(value: Any, node: Node) -> bool:
    """Owned and compared whole."""
    if node.atomic or node.kind == "scalar":
        return True
    if node.kind == "any":
        return not isinstance(value, dict)
    return not isinstance(value, dict if node.kind == "map" else list)


def items_of(values: list[Any], node: Node) -> Iterator[tuple[str, Any]]:
    for value in values:
        yield node.path_element(value), value


def to_set(value: Any, node: Node) -> Trie:
    """The fields that a configuration names: what its applier will own. Raises ValueError (an element without keys)."""
    result: Trie = {}
    if isinstance(value, dict):
        for name, child in value.items():
            inner = node.at(name)
            if child is None or child == {} or _is_leaf(child, inner):
                result[f"f:{name}"] = {}
                continue
            below = to_set(child, inner)
            if node.named(name) is None:  # a key of a map is owned itself, a declared field by what is in it
                result[f"f:{name}"] = {".": {}, **below} if below else {}
            elif below:
                result[f"f:{name}"] = below
        return result
    for key, item in items_of(value, node):
        inner = node.element or ANY
        below = {} if key in result or _is_leaf(item, inner) else to_set(item, inner)
        result[key] = {".": {}, **below} if below else {}
    return result


@dataclass(slots=True)
class Comparison:
    added: Trie
    modified: Trie
    removed: Trie

    def without(self, reset: Filter) -> Comparison:
        """Less what the request could not set anyway."""
        return Comparison(reset(self.added), reset(self.modified), reset(self.removed))


def compare(old: dict[str, Any], new: dict[str, Any], node: Node) -> Comparison:
    """What changed from `old` to `new`. What is equal is not walked, so the cost is that of the change."""
    added: Trie = {}
    modified: Trie = {}
    removed: Trie = {}
    _compare_maps(old, new, node, added, modified, removed)
    return Comparison(added, modified, removed)


def _compare_maps(
    old: dict[str, Any], new: dict[str, Any], node: Node, added: Trie, modified: Trie, removed: Trie
) -> None:
    for name, value in new.items():
        before = old.get(name, MISSING)
        if before is not value and (before is MISSING or before != value):
            _compare(f"f:{name}", before, value, node.at(name), added, modified, removed)
    for name, value in old.items():
        if name not in new:
            removed[f"f:{name}"] = _whole(value, node.at(name))


def _compare(key: str, old: Any, new: Any, node: Node, added: Trie, modified: Trie, removed: Trie) -> None:
    """Of two values that differ; put under `key` what did."""
    if old is MISSING:
        added[key] = _whole(new, node)
        return
    below: tuple[Trie, Trie, Trie] = ({}, {}, {})
    if node.atomic or node.kind == "scalar" or (not old and not new):
        modified[key] = {}
        return
    if isinstance(new, dict) or isinstance(old, dict):
        if not isinstance(new or {}, dict) or not isinstance(old or {}, dict):
            modified[key] = {}
            return
        _compare_maps(old or {}, new or {}, node, *below)
    elif node.kind == "list" and isinstance(old or [], list) and isinstance(new or [], list):
        _compare_lists(old or [], new or [], node, *below)
    else:
        modified[key] = {}
        return
    for trie, part in zip((added, modified, removed), below, strict=True):
        if part:
            trie[key] = part


def _grouped(values: list[Any], node: Node) -> dict[str, list[Any]]:
    groups: dict[str, list[Any]] = {}
    for key, value in items_of(values, node):
        groups.setdefault(key, []).append(value)
    return groups


def _compare_lists(old: list[Any], new: list[Any], node: Node, added: Trie, modified: Trie, removed: Trie) -> None:
    before, after = _grouped(old, node), _grouped(new, node)
    inner = node.element or ANY
    for key in before | after:
        olds, news = before.get(key, []), after.get(key, [])
        if olds == news:
            continue
        if len(olds) > 1 and len(news) > 1:
            modified[key] = {}
        elif len(olds) > 1 or (olds and not news):
            removed[key] = _whole(olds[0], inner) if len(olds) == 1 else {}
        elif len(news) > 1 or not olds:
            added[key] = _whole(news[0], inner) if len(news) == 1 else {}
        else:
            _compare(key, olds[0], news[0], inner, added, modified, removed)


def _whole(value: Any, node: Node) -> Trie:
    """A value that appears (or goes) with all its parts, containers included."""
    if not value or _is_leaf(value, node):
        return {}
    result: Trie = {".": {}}
    if isinstance(value, dict):
        for name, child in value.items():
            result[f"f:{name}"] = _whole(child, node.at(name))
    else:
        for key, items in _grouped(value, node).items():
            result[key] = _whole(items[0], node.element or ANY) if len(items) == 1 else {}
    return result


# --- merge -----------------------------------------------------------------------------------------------------------


def merge(live: Any, config: Any, node: Node) -> Any:
    """`config` laid over `live`. Shares with both what it does not have to make anew. Raises ValueError."""
    if config is MISSING:
        return live
    if live is MISSING or not live:
        if isinstance(config, list) and not node.atomic and node.kind == "list":
            _unique(config, node)
        return config
    if node.kind in ("map", "any") and not node.atomic and isinstance(live, dict) and isinstance(config or {}, dict):
        result = dict(live)
        for name, value in (config or {}).items():
            result[name] = merge(live.get(name, MISSING), value, node.at(name))
        return result
    if node.kind == "list" and not node.atomic and isinstance(live, list) and isinstance(config or [], list):
        return _merge_lists(live, config or [], node)
    return config


def _unique(config: list[Any], node: Node) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in items_of(config, node):
        if key in found:
            raise ValueError(f"duplicate entries for key {path_text((key,))}")
        found[key] = value
    return found


def _merge_lists(live: list[Any], config: list[Any], node: Node) -> list[Any]:
    """Elements of the configuration in its order; elements that only the live list has keep their places among them.

    Worked example: live [a, x, b, y], config [b, a, new] → [x, b, y, a, new]: x stood before b, y after it.
    """
    inner = node.element or ANY
    wanted = _unique(config, node)
    grouped = _grouped(live, node)
    have = [(key, value) for key, value in items_of(live, node)]
    shared = [key for key in wanted if key in grouped]
    order = list(wanted)
    done: set[str] = set()
    result: list[Any] = []
    at_live = at_config = next_shared = 0

    def take(key: str) -> None:
        olds = grouped.get(key, [])
        result.append(merge(olds[0] if len(olds) == 1 else MISSING, wanted[key], inner))
        done.add(key)

    def due() -> str | None:
        return shared[next_shared] if next_shared < len(shared) else None

    while at_live < len(have) or at_config < len(order):
        if at_live < len(have) and at_config < len(order):
            key = have[at_live][0]
            if key == order[at_config]:
                take(key)
                at_live, at_config, next_shared = at_live + 1, at_config + 1, next_shared + 1
                continue
            if key in wanted and due() not in (None, key):
                at_live += 1
                continue
        if at_live < len(have):
            key, value = have[at_live]
            if key not in wanted:
                result.append(value)
                at_live += 1
                continue
            if key in done:
                at_live += 1
        if at_config < len(order):
            key = order[at_config]
            if key == due():
                next_shared += 1
            take(key)
            at_config += 1
    return result


# --- remove ----------------------------------------------------------------------------------------------------------


def remove(value: Any, fields: Trie, node: Node) -> Any:
    """`value` without the members of `fields`. A container that loses everything stays, empty."""
    if not fields or node.atomic:
        return value
    if isinstance(value, dict):
        result = {}
        for name, child in value.items():
            below = fields.get(f"f:{name}")
            if below is None:
                result[name] = child
            elif not is_member(below):
                result[name] = remove(child, below, node.at(name))
        return result
    if isinstance(value, list) and node.kind == "list":
        kept = []
        for key, item in items_of(value, node):
            below = fields.get(key)
            if below is None:
                kept.append(item)
            elif not is_member(below):
                kept.append(remove(item, below, node.element or ANY))
        return kept
    return value


def with_named_fields(fields: Trie, node: Node) -> Trie:
    """Also the structs on the way to a member, which are not usually members (`spec` of `spec.replicas`)."""
    result: Trie = {}
    for key, below in fields.items():
        if key == ".":
            continue
        name = key[2:]
        inner = node.at(name) if key[0] == "f" else (node.element or ANY)
        inside = with_named_fields(children_of(below), inner) if below else EMPTY
        member = is_member(below) or (key[0] == "f" and node.named(name) is not None)
        result[key] = ({".": {}, **inside} if inside else {}) if member else inside
    return result
