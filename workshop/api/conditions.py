"""Conditions: the list `status.conditions`, one entry a type.

`lastTransitionTime` moves only when `status` changes. Upstream: `apimachinery/pkg/api/meta/conditions.go`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from workshop.clock import rfc3339


def get(obj: Mapping[str, Any], type: str) -> dict[str, Any] | None:
    """The condition of that type in the object's status, or None."""
    return find((obj.get("status") or {}).get("conditions") or (), type)


def find(conditions: Sequence[dict[str, Any]], type: str) -> dict[str, Any] | None:
    return next((condition for condition in conditions if condition.get("type") == type), None)


def is_true(obj: Mapping[str, Any], type: str) -> bool:
    condition = get(obj, type)
    return condition is not None and condition.get("status") == "True"


def set(conditions: Sequence[dict[str, Any]], new: Mapping[str, Any], now: float) -> list[dict[str, Any]]:
    """A new list in which `new` (type, status, reason, message) replaces the condition of its type, or stands last.

    Fields that `new` does not name are kept (`lastProbeTime`, `observedGeneration`). Equal to the old list when
    nothing changed, so that a caller can compare and skip its write.
    """
    result = list(conditions)
    at = next((i for i, condition in enumerate(result) if condition.get("type") == new["type"]), None)
    if at is None:
        result.append({"lastTransitionTime": rfc3339(now), **new})
        return result
    merged = {**result[at], **new}
    if result[at].get("status") != new.get("status") and "lastTransitionTime" not in new:
        merged["lastTransitionTime"] = rfc3339(now)
    result[at] = merged
    return result


def observed(condition: dict[str, Any], obj: Mapping[str, Any]) -> dict[str, Any]:
    """The same, with the generation of the object that it speaks of (KEP-5067)."""
    generation = (obj.get("metadata") or {}).get("generation")
    return {**condition, "observedGeneration": generation} if generation else condition


def remove(conditions: Sequence[dict[str, Any]], type: str) -> list[dict[str, Any]]:
    return [condition for condition in conditions if condition.get("type") != type]
