"""What the glass box tells of a change: which fields are not what they were."""

from __future__ import annotations

from typing import Any

MOST = 24
"""Fields that are told; more would not be read."""


def changed(before: Any, after: Any) -> list[str]:
    """Paths of fields that came, went or changed, the outermost where a whole part did.

    >>> changed({"spec": {"a": 1}}, {"spec": {"a": 2, "b": [1]}, "kind": "Pod"})
    ['spec.a', 'spec.b', 'kind']
    """
    found: list[str] = []
    _compare(before, after, "", found)
    return found[:MOST]


def _compare(before: Any, after: Any, path: str, found: list[str]) -> None:
    if isinstance(before, dict) and isinstance(after, dict):
        for key in dict.fromkeys([*before, *after]):
            inner = f"{path}.{key}" if path else str(key)
            if key not in before or key not in after:
                found.append(inner)
            else:
                _compare(before[key], after[key], inner, found)
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for number, (one, other) in enumerate(zip(before, after, strict=True)):
            _compare(one, other, f"{path}[{number}]", found)
    elif before != after:
        found.append(path)
