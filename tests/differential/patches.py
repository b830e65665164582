"""What an update may change, asked by every way of patching: for each field that `mutate.py` changes one change, as
merge patch, as JSON patch, as strategic merge patch, and applied."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from .cases import DRY, Case, Obj, path_of
from .mutate import mutations
from .verbs import APPLY, JSON_PATCH, MERGE, STRATEGIC

LEFT_OUT = ("wrong type", "null", "metadata.name:", "metadata.namespace:", "aaaa")


def all_of(base: Obj) -> Iterator[Case]:
    path = path_of(base, "") + DRY
    seen: set[str] = set()
    for what, obj in mutations(base):
        field = what.partition(": ")[0]
        if field in seen or any(each in what for each in LEFT_OUT) or (change := merge_of(base, obj)) is None:
            continue
        seen.add(field)
        yield Case(f"{what} (merge)", "PATCH", path, _raw(change), MERGE)
        yield Case(f"{what} (strategic)", "PATCH", path, _raw(change), STRATEGIC)
        yield Case(f"{what} (json)", "PATCH", path, _raw(operations(base, obj)), JSON_PATCH)
        yield Case(f"{what} (apply)", "PATCH", f"{path}&fieldManager=m&force=true", _raw(obj), APPLY)


def _raw(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def merge_of(old: Any, new: Any) -> Any:
    """The merge patch from `old` to `new`; None where there is nothing to say."""
    if not isinstance(old, dict) or not isinstance(new, dict):
        return new
    changed: Obj = {key: None for key in old if key not in new}
    for key, value in new.items():
        if key not in old:
            changed[key] = value
        elif value != old[key]:
            changed[key] = merge_of(old[key], value)
    return changed or None


def operations(old: Any, new: Any, at: str = "") -> list[Obj]:
    """The JSON patch from `old` to `new`, field by field."""
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return [step for i, pair in enumerate(zip(old, new, strict=True)) for step in operations(*pair, f"{at}/{i}")]
    if not isinstance(old, dict) or not isinstance(new, dict):
        return [{"op": "replace", "path": at, "value": new}] if old != new else []
    found: list[Obj] = []
    for key in {**old, **new}:
        path = f"{at}/{key.replace('~', '~0').replace('/', '~1')}"
        if key not in new:
            found.append({"op": "remove", "path": path})
        elif key not in old:
            found.append({"op": "add", "path": path, "value": new[key]})
        else:
            found += operations(old[key], new[key], path)
    return found
