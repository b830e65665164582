"""JSON merge patch (RFC 7386): a dict is laid over a dict, null deletes, everything else replaces.

>>> apply({"a": {"b": 1, "c": 2}, "l": [1]}, {"a": {"b": None, "d": 3}, "l": [2]})
{'a': {'c': 2, 'd': 3}, 'l': [2]}
"""

from __future__ import annotations

from typing import Any


def apply(obj: Any, patch: Any) -> Any:
    """The patched object. Neither argument is changed; the result shares what was not patched.

    In what is new a null names nothing to delete, and is left out, inside of lists too: that is upstream's library, the
    RFC takes lists as they are."""
    if not isinstance(obj, dict):
        return _new(patch)
    if not isinstance(patch, dict):
        return patch
    result = dict(obj)
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = apply(result.get(key), value)
    return result


def _new(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _new(child) for key, child in value.items() if child is not None}
    return [_new(child) for child in value] if isinstance(value, list) else value


def diff(original: dict[str, Any], modified: dict[str, Any]) -> dict[str, Any]:
    """The patch that makes `modified` of `original`."""
    patch: dict[str, Any] = {key: None for key in original if key not in modified}
    for key, value in modified.items():
        old = original.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            if inner := diff(old, value):
                patch[key] = inner
        elif key not in original or old != value:
            patch[key] = value
    return patch
