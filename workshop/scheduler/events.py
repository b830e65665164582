"""What changed in the cluster, as the queue wants to know it: an old and a new object in, events out.

A node's heartbeat changes nothing that a pod could wait for, and so is no event. Upstream:
`pkg/scheduler/framework/events.go`.
"""

from __future__ import annotations

from typing import Any

from workshop.api import meta
from workshop.api.meta import Obj
from workshop.api.scheduling.requests import pod_requests
from workshop.scheduler.framework import Event


def node_added(node: Obj) -> list[Event]:
    return [Event("Node/Add", None, node)]


def node_changed(old: Obj, new: Obj) -> list[Event]:
    found = []
    if _at(old, "status", "allocatable") != _at(new, "status", "allocatable"):
        found.append("Node/Allocatable")
    if meta.labels(old) != meta.labels(new):
        found.append("Node/Label")
    taints = _at(old, "spec", "taints") != _at(new, "spec", "taints")
    if taints or _at(old, "spec", "unschedulable") != _at(new, "spec", "unschedulable"):
        found.append("Node/Taint")
    return [Event(what, old, new) for what in found]


def pod_changed(old: Obj, new: Obj) -> list[Event]:
    """Of a pod on a node, which others may have waited for, or of a pending pod itself."""
    found = []
    if meta.labels(old) != meta.labels(new):
        found.append("Pod/Label")
    if _at(old, "spec", "tolerations") != _at(new, "spec", "tolerations"):
        found.append("Pod/Tolerations")
    if _at(old, "spec", "schedulingGates") != _at(new, "spec", "schedulingGates"):
        found.append("Pod/Gates")
    if _at(old, "status", "resourceClaimStatuses") != _at(new, "status", "resourceClaimStatuses"):
        found.append("Pod/GeneratedClaim")
    before, after = pod_requests(old, reported=True), pod_requests(new, reported=True)
    if any(amount < before.get(name, 0) for name, amount in after.items()):
        found.append("Pod/ScaleDown")
    return [Event(what, old, new) for what in found]


def _at(obj: Obj, part: str, name: str) -> Any:
    return (obj.get(part) or {}).get(name)
