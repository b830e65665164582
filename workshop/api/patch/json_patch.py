"""JSON Patch (RFC 6902), with the complaints of the library that the real server uses.

Upstream: `gopkg.in/evanphx/json-patch.v4/patch.go`, `apiserver/pkg/endpoints/handlers/patch.go`.

>>> apply({"a": [1, 2]}, [{"op": "add", "path": "/a/-", "value": 3}, {"op": "remove", "path": "/a/0"}])
{'a': [2, 3]}
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from workshop.api import errors, meta

MAX_OPERATIONS = 10_000
MISSING = "missing value"
BAD_INDEX = "invalid index referenced"


class _Refused(Exception):
    pass


def apply(obj: Any, patch: Any) -> Any:
    """The patched object. Raises ApiError: 400 for what is no patch, 413 for too many operations, 422 for one that does
    not apply."""
    if not isinstance(patch, list):
        shown = {dict: "object", str: "string", bool: "bool"}.get(type(patch), "number")
        raise errors.bad_request(f"json: cannot unmarshal {shown} into Go value of type jsonpatch.Patch")
    if len(patch) > MAX_OPERATIONS:
        text = f"The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {len(patch)}"
        raise errors.request_entity_too_large(text)
    holder = {"": meta.copy(obj)}
    try:
        for operation in patch:
            if not isinstance(operation, dict):
                raise errors.bad_request(
                    "json: cannot unmarshal into Go value of type jsonpatch.Operation: an operation is an object"
                )
            kind = operation.get("op")
            act = _OPERATIONS.get(kind) if isinstance(kind, str) else None
            if act is None:
                raise _Refused(f"Unexpected kind: {kind if isinstance(kind, str) else 'unknown'}")
            act(holder, operation)
    except _Refused as refused:
        raise errors.generic(422) from refused  # its text stays here: the real server does not tell it either
    return holder[""]


# --- where a path leads ------------------------------------------------------------------------------------------


def _text(operation: dict[str, Any], field: str, complaint: str) -> str:
    value = operation.get(field)
    if not isinstance(value, str):
        raise _Refused(complaint)
    return value


def _find(holder: dict[str, Any], path: str) -> tuple[Any, str] | None:
    """(container, last key), or None when something on the way is missing."""
    parts = path.split("/")
    if len(parts) < 2:
        return None
    container = holder[""]
    keys = [part.replace("~1", "/").replace("~0", "~") for part in parts[1:]]
    for key in keys[:-1]:
        try:
            container = _get(container, key)
        except _Refused:
            return None
        if not isinstance(container, (dict, list)):
            return None
    return container, keys[-1]


def _index(text: str, what: str = "") -> int:
    if not re.fullmatch(r"[+-]?[0-9]+", text):
        raise _Refused(f"{what}strconv.Atoi: parsing {errors.quote(text)}: invalid syntax")
    return int(text)


def _within(index: int, size: int) -> int:
    """Negative ones count from the end, as upstream allows."""
    if index >= size or index < -size:
        raise _Refused(f"Unable to access invalid index: {index}: {BAD_INDEX}")
    return index + size if index < 0 else index


def _get(container: Any, key: str) -> Any:
    if isinstance(container, dict):
        return container.get(key)
    return container[_within(_index(key), len(container))]


def _add(container: Any, key: str, value: Any) -> None:
    if isinstance(container, dict):
        container[key] = value
    elif key == "-":
        container.append(value)
    else:
        index = _index(key, f"value was not a proper array index: '{key}': ")
        container.insert(_within(index, len(container) + 1), value)


def _remove(container: Any, key: str) -> None:
    if isinstance(container, list):
        del container[_within(_index(key), len(container))]
    elif key not in container:
        raise _Refused(f"Unable to remove nonexistent key: {key}: {MISSING}")
    else:
        del container[key]


def _blame(prefix: str, act: Callable[[], Any]) -> Any:
    try:
        return act()
    except _Refused as refused:
        raise _Refused(f"{prefix}: {refused}") from None


# --- the operations ------------------------------------------------------------------------------------------------

NO_PATH = f"operation missing path field: {MISSING}"
NO_FROM = f"operation, missing from field: {MISSING}"


def _op_add(holder: dict[str, Any], op: dict[str, Any]) -> None:
    path = _text(op, "path", f"add operation failed to decode path: {MISSING}")
    found = _find(holder, path)
    if found is None:
        raise _Refused(f'add operation does not apply: doc is missing path: "{path}": {MISSING}')
    _blame(f"error in add for path: '{path}'", lambda: _add(*found, meta.copy(op.get("value"))))


def _op_remove(holder: dict[str, Any], op: dict[str, Any]) -> None:
    path = _text(op, "path", f"remove operation failed to decode path: {MISSING}")
    found = _find(holder, path)
    if found is None:
        raise _Refused(f'remove operation does not apply: doc is missing path: "{path}": {MISSING}')
    _blame(f"error in remove for path: '{path}'", lambda: _remove(*found))


def _op_replace(holder: dict[str, Any], op: dict[str, Any]) -> None:
    path = _text(op, "path", f"replace operation failed to decode path: {NO_PATH}")
    value = meta.copy(op.get("value"))
    if path == "":
        if not isinstance(value, (dict, list)):
            raise _Refused("replace operation value must be object or array: %!w(<nil>)")
        holder[""] = value
        return
    found = _find(holder, path)
    if found is None:
        raise _Refused(f"replace operation does not apply: doc is missing path: {path}: {MISSING}")
    container, key = found
    if isinstance(container, dict):
        container[key] = value  # also where there was none: so does the real server
        return
    try:
        at = _within(_index(key), len(container))
    except _Refused:
        raise _Refused(f"replace operation does not apply: doc is missing key: {path}: {MISSING}") from None
    container[at] = value


def _op_move(holder: dict[str, Any], op: dict[str, Any]) -> None:
    source = _text(op, "from", f"move operation failed to decode from: {NO_FROM}")
    found = _find(holder, source)
    if found is None:
        raise _Refused(f"move operation does not apply: doc is missing from path: {source}: {MISSING}")
    container, key = found
    value = _blame(f"error in move for path: '{key}'", lambda: _get(container, key))
    _blame(f"error in move for path: '{key}'", lambda: _remove(container, key))
    path = _text(op, "path", f"move operation failed to decode path: {NO_PATH}")
    target = _find(holder, path)
    if target is None:
        raise _Refused(f"move operation does not apply: doc is missing destination path: {path}: {MISSING}")
    _blame(f"error in move for path: '{path}'", lambda: _add(*target, value))


def _op_copy(holder: dict[str, Any], op: dict[str, Any]) -> None:
    source = _text(op, "from", f"copy operation failed to decode from: {NO_FROM}")
    found = _find(holder, source)
    if found is None:
        raise _Refused(f"copy operation does not apply: doc is missing from path: {source}: {MISSING}")
    value = _blame(f"error in copy for from: '{source}'", lambda: _get(*found))
    path = _text(op, "path", f"copy operation failed to decode path: {MISSING}")
    target = _find(holder, path)
    if target is None:
        raise _Refused(f"copy operation does not apply: doc is missing destination path: {path}: {MISSING}")
    _blame("error while adding value during copy", lambda: _add(*target, meta.copy(value)))


def _op_test(holder: dict[str, Any], op: dict[str, Any]) -> None:
    path = _text(op, "path", f"test operation failed to decode path: {NO_PATH}")
    if path == "":
        value = holder[""]
    else:
        found = _find(holder, path)
        if found is None:
            raise _Refused(f"test operation does not apply: is missing path: {path}: {MISSING}")
        value = _blame(f"error in test for path: '{path}'", lambda: _get(*found))
    if not _equal(value, op.get("value")):
        raise _Refused(f"testing value {path} failed: test failed")


def _equal(a: Any, b: Any) -> bool:
    """As JSON: `true` is not 1."""
    if isinstance(a, bool) is not isinstance(b, bool):
        return False
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_equal(value, b[key]) for key, value in a.items())
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(_equal, a, b))
    return bool(a == b)


_OPERATIONS: dict[str, Callable[[dict[str, Any], dict[str, Any]], None]] = {
    "add": _op_add,
    "remove": _op_remove,
    "replace": _op_replace,
    "move": _op_move,
    "copy": _op_copy,
    "test": _op_test,
}
