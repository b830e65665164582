"""Taints repel pods, tolerations let them through. Upstream: `component-helpers/scheduling/corev1/helpers.go`.

>>> tolerates({"key": "gpu", "operator": "Exists"}, {"key": "gpu", "value": "a100", "effect": "NoSchedule"})
True
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any


def tolerates(toleration: Mapping[str, Any], taint: Mapping[str, Any]) -> bool:
    """An empty effect tolerates all; an empty key with `Exists` every taint. `Lt` and `Gt` compare numbers."""
    if toleration.get("effect") and toleration["effect"] != taint.get("effect"):
        return False
    if toleration.get("key") and toleration["key"] != taint.get("key"):
        return False
    operator = toleration.get("operator") or "Equal"
    if operator == "Exists":
        return True
    ours, theirs = toleration.get("value") or "", taint.get("value") or ""
    if operator == "Equal":
        return bool(toleration.get("key")) and ours == theirs
    try:
        return int(theirs) > int(ours) if operator == "Gt" else operator == "Lt" and int(theirs) < int(ours)
    except ValueError:
        return False


def tolerates_one(spec: Mapping[str, Any], taint: Mapping[str, Any]) -> bool:
    return any(tolerates(toleration, taint) for toleration in spec.get("tolerations") or ())


def untolerated(
    spec: Mapping[str, Any], taints: Iterable[Mapping[str, Any]], effects: Collection[str]
) -> Mapping[str, Any] | None:
    """The first taint with one of `effects` that a pod's spec does not tolerate."""
    return next((t for t in taints if t.get("effect") in effects and not tolerates_one(spec, t)), None)
