"""The promise of `x-kubernetes-list-type`: elements of a set and keys of a map stand once.

Upstream: apiextensions-apiserver/pkg/apiserver/schema/listtype.
"""

from __future__ import annotations

import json
from typing import Any

from workshop.api.custom.structural import LIST_KEYS, LIST_TYPE, NOTHING, Schema, items, more
from workshop.api.validation.field import ErrorList


def check(errors: ErrorList, path: str, schema: Schema | None, value: Any) -> None:
    if schema is None:
        return
    if isinstance(value, dict):
        known, rest = schema.get("properties") or NOTHING, more(schema)
        for name, each in value.items():
            if name in known:
                check(errors, f"{path}.{name}" if path else name, known[name], each)
            elif rest is not None:
                check(errors, f"{path}[{name}]", rest, each)
    elif isinstance(value, list):
        kind = schema.get(LIST_TYPE)
        if kind == "set":
            for index in _twice(value):
                errors.duplicate(f"{path}[{index}]", value[index])
        elif kind == "map":
            _map(errors, path, list(schema.get(LIST_KEYS) or ()), value)
        for index, each in enumerate(value):
            check(errors, f"{path}[{index}]", items(schema), each)


def _twice(values: list[Any]) -> list[int]:
    """The places where something stands for the second time."""
    seen: dict[str, int] = {}
    found = []
    for index, each in enumerate(values):
        told = json.dumps(each, sort_keys=True)
        seen[told] = seen.get(told, 0) + 1
        if seen[told] == 2:
            found.append(index)
    return found


def _map(errors: ErrorList, path: str, keys: list[str], value: list[Any]) -> None:
    for index, each in enumerate(value):
        if each is not None and not isinstance(each, dict):
            errors.invalid(f"{path}[{index}]", each, "must be an object for an array of list-type map")
            return
    named = [{key: each[key] for key in keys if key in each} if each else {} for each in value]
    for index in _twice(named):
        errors.duplicate(f"{path}[{index}]", named[index])
