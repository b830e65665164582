"""What controllers ask of a pod: pure. Upstream: `pkg/api/v1/pod/util.go`, `pkg/controller/controller_utils.go`."""

from __future__ import annotations

from typing import Any

from workshop.api import conditions, meta
from workshop.api.meta import Obj
from workshop.clock import parse_rfc3339

DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"


def phase(pod: Obj) -> str:
    return str((pod.get("status") or {}).get("phase") or "")


def is_finished(pod: Obj) -> bool:
    return phase(pod) in ("Succeeded", "Failed")


def is_terminating(pod: Obj) -> bool:
    return "deletionTimestamp" in pod["metadata"]


def is_active(pod: Obj) -> bool:
    return not is_finished(pod) and not is_terminating(pod)


def is_ready(pod: Obj) -> bool:
    return conditions.is_true(pod, "Ready")


def ready_since(pod: Obj) -> float | None:
    """Seconds since the epoch; None while it is not ready."""
    condition = conditions.get(pod, "Ready")
    if condition is None or condition.get("status") != "True":
        return None
    text = condition.get("lastTransitionTime")
    return parse_rfc3339(text) if text else 0.0


def is_available(pod: Obj, min_ready_seconds: int, now: float) -> bool:
    """Ready, and for so long."""
    since = ready_since(pod)
    return since is not None and (not min_ready_seconds or since + min_ready_seconds <= now)


def next_available(pods: list[Obj], min_ready_seconds: int, now: float) -> float | None:
    """Seconds until the next ready pod becomes available; None when none is waiting for that."""
    waiting = [since + min_ready_seconds - now for pod in pods if (since := ready_since(pod)) is not None]
    return min((wait for wait in waiting if wait > 0), default=None)


def node_name(pod: Obj) -> str:
    return str(pod["spec"].get("nodeName") or "")


def restarts(pod: Obj) -> int:
    return max((c.get("restartCount", 0) for c in (pod.get("status") or {}).get("containerStatuses") or ()), default=0)


def deletion_order(pods: list[Obj], neighbours: list[Obj], now: float) -> list[Obj]:
    """The pods in the order in which a controller that has too many gives them up. Upstream: `ActivePodsWithRanks`.

    First those that do least: unscheduled before scheduled, Pending before Unknown before Running, not ready before
    ready, low deletion cost first; then from nodes with many pods (`neighbours`) of the same owner, and
    then the youngest.
    """
    crowd: dict[str, int] = {}
    for pod in neighbours:
        if phase(pod) in ("Running", "Pending", "") and node_name(pod):
            crowd[node_name(pod)] = crowd.get(node_name(pod), 0) + 1

    def rank(pod: Obj) -> tuple[Any, ...]:
        since = ready_since(pod)
        return (
            bool(node_name(pod)),
            {"Pending": 0, "Unknown": 1, "Running": 2}.get(phase(pod), 0),
            since is not None,
            deletion_cost(pod),
            -crowd.get(node_name(pod), 0),
            -(since or 0.0),
            -restarts(pod),
            -meta.creation_timestamp(pod),
            meta.uid(pod),
        )

    return sorted(pods, key=rank)


def deletion_cost(pod: Obj) -> int:
    text = meta.annotations(pod).get(DELETION_COST, "0")
    return int(text) if text.lstrip("+-").isdigit() else 0


def from_template(template: dict[str, Any], owner: Obj, *, name: str = "", generate_name: str = "") -> Obj:
    """A pod as `template` says, controlled by `owner`."""
    wanted = template.get("metadata") or {}
    metadata: dict[str, Any] = {
        "namespace": meta.namespace(owner),
        "labels": dict(wanted.get("labels") or {}),
        "annotations": dict(wanted.get("annotations") or {}),
        "ownerReferences": [meta.owner_reference(owner)],
    }
    if wanted.get("finalizers"):
        metadata["finalizers"] = list(wanted["finalizers"])
    metadata |= {"name": name} if name else {"generateName": generate_name or f"{meta.name(owner)}-"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}
