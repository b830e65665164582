"""Is a node alive, and what follows from it: pure. Upstream: `pkg/controller/nodelifecycle`.

A kubelet renews its Lease every 10 s and posts its status when it changes. We note when *we* saw either move last
(its clock is not ours); after 50 s of silence the node's conditions become Unknown. Then taints say what follows:

    Ready False    node.kubernetes.io/not-ready      NoSchedule at once, NoExecute: pods go after their toleration
    (300 s) Ready Unknown  node.kubernetes.io/unreachable    the same
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from workshop.api import conditions, meta
from workshop.api.meta import Obj
from workshop.clock import rfc3339

NOT_READY = "node.kubernetes.io/not-ready"
UNREACHABLE = "node.kubernetes.io/unreachable"
UNSCHEDULABLE = "node.kubernetes.io/unschedulable"
PRESSURE = {
    "MemoryPressure": "node.kubernetes.io/memory-pressure",
    "DiskPressure": "node.kubernetes.io/disk-pressure",
    "PIDPressure": "node.kubernetes.io/pid-pressure",
    "NetworkUnavailable": "node.kubernetes.io/network-unavailable",
}
OURS = {NOT_READY, UNREACHABLE, UNSCHEDULABLE, *PRESSURE.values()}
CONDITIONS = ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")
REGION, ZONE = "topology.kubernetes.io/region", "topology.kubernetes.io/zone"


@dataclass(frozen=True)
class Health:
    """What we saw of a node last: `probed_at` is our own monotonic time when its status or Lease had moved."""

    probed_at: float
    heartbeat: str = ""
    renewed: str = ""


def observe(node: Obj, lease: Obj | None, old: Health | None, now: float) -> Health:
    """`old` as long as neither the heartbeat nor the Lease has moved; else seen anew at `now`: no clock but ours
    counts."""
    ready = conditions.get(node, "Ready") or {}
    heartbeat = f"{ready.get('lastHeartbeatTime')}/{ready.get('status')}"
    renewed = str((lease or {}).get("spec", {}).get("renewTime") or "")
    if old is not None and (old.heartbeat, old.renewed) == (heartbeat, renewed):
        return old
    return Health(now, heartbeat, renewed)


def grace(node: Obj, period: float, startup: float) -> float:
    """A node that never posted a Ready condition gets longer."""
    return period if conditions.get(node, "Ready") is not None else startup


def unknown_conditions(node: Obj, now: float) -> list[dict[str, Any]]:
    """The node's conditions after it has been silent for too long."""
    result = list((node.get("status") or {}).get("conditions") or [])
    for kind in CONDITIONS:
        old = conditions.find(result, kind)
        if old is None:
            new: dict[str, Any] = {
                "type": kind,
                "status": "Unknown",
                "reason": "NodeStatusNeverUpdated",
                "message": "Kubelet never posted node status.",
                "lastHeartbeatTime": node["metadata"].get("creationTimestamp"),
                "lastTransitionTime": rfc3339(now),
            }
        elif old["status"] != "Unknown":
            new = {
                **old,
                "status": "Unknown",
                "reason": "NodeStatusUnknown",
                "message": "Kubelet stopped posting node status.",
                "lastTransitionTime": rfc3339(now),
            }
        else:
            continue
        result = conditions.set(result, new, now)
    return result


def taints(node: Obj, evict: bool, now: float) -> list[dict[str, Any]]:
    """The taints that the node should have. Those that are not ours stay.

    `evict`: whether the NoExecute taint of an unready node may be added now (zones limit how fast that goes); one
    that is there stays as long as its cause.
    """
    listed = node["spec"].get("taints") or []
    had = {(t["key"], t["effect"]): t for t in listed}
    result = [t for t in listed if t["key"] not in OURS]
    ready = (conditions.get(node, "Ready") or {}).get("status", "Unknown")
    keys: list[tuple[str, str]] = []
    if ready != "True":
        key = NOT_READY if ready == "False" else UNREACHABLE
        keys.append((key, "NoSchedule"))
        other = UNREACHABLE if key == NOT_READY else NOT_READY
        if evict or (key, "NoExecute") in had or (other, "NoExecute") in had:
            keys.append((key, "NoExecute"))
    if node["spec"].get("unschedulable"):
        keys.append((UNSCHEDULABLE, "NoSchedule"))
    for kind, key in PRESSURE.items():
        if (conditions.get(node, kind) or {}).get("status") == "True":
            keys.append((key, "NoSchedule"))
    for key, effect in keys:
        made = {"key": key, "effect": effect, "timeAdded": rfc3339(now)}
        if effect == "NoSchedule" and key == UNSCHEDULABLE:
            made = {"key": key, "effect": effect, "timeAdded": rfc3339(now)}
        result.append(had.get((key, effect), made))
    return result


def zone_of(node: Obj) -> str:
    labels = meta.labels(node)
    return f"{labels.get(REGION, '')}:\x00:{labels.get(ZONE, '')}"


@dataclass(frozen=True)
class Limits:
    eviction_rate: float = 0.1
    secondary_rate: float = 0.01
    large_cluster: int = 50
    unhealthy_share: float = 0.55


def zone_rate(ready: int, not_ready: int, all_zones_down: bool, limits: Limits) -> float:
    """How many nodes a second of one zone may be tainted NoExecute.

    Nodes fail one by one; when most of a zone is silent at once, the network is more likely at fault than the
    nodes, and moving everything would make it worse. If nothing answers anywhere, it is us: nobody is evicted.
    """
    if all_zones_down:
        return 0.0
    if not ready and not_ready:
        return limits.eviction_rate  # FullDisruption of one zone among others
    if not_ready > 2 and not_ready / (ready + not_ready) >= limits.unhealthy_share:
        return limits.secondary_rate if ready + not_ready > limits.large_cluster else 0.0
    return limits.eviction_rate
