"""A node must have room for what the pod requests (never for what pods really use), and the emptier one is better.

Upstream: `pkg/scheduler/framework/plugins/noderesources/fit.go`, `least_allocated.go`.
"""

from __future__ import annotations

from workshop.api.scheduling.requests import amounts
from workshop.hooks import hook
from workshop.scheduler.framework import MAX_SCORE, CycleState, Event, Plugin, Status, unresolvable, unschedulable
from workshop.scheduler.node_info import NodeInfo, PodInfo


class NodeResourcesFit(Plugin):
    name = "NodeResourcesFit"
    events = frozenset({"Pod/Delete", "Pod/ScaleDown", "Node/Add", "Node/Allocatable"})

    def hint(self, pod: PodInfo, event: Event) -> bool:
        """A node that would be too small even when empty is no news."""
        if not event.what.startswith("Node/") or event.new is None:
            return True
        allocatable = amounts((event.new.get("status") or {}).get("allocatable"))
        return all(amount <= allocatable.get(name, 0) for name, amount in pod.requests.items())

    @hook("kube-scheduler")
    def filter(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> Status | None:
        short = insufficient(pod, node)
        if not short:
            return None
        hopeless = any(amount > node.allocatable.get(name, 0) for name, amount in pod.requests.items())
        return unresolvable(*short) if hopeless else unschedulable(*short)

    @hook("kube-scheduler")
    def score(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> int:
        """The mean of the free shares of cpu and memory with the pod on the node, in percent."""
        shares = []
        for name, taken in (("cpu", node.nonzero_cpu), ("memory", node.nonzero_memory)):
            if total := node.allocatable.get(name, 0):
                taken += pod.nonzero_requests.get(name, 0)
                shares.append(max(0, total - taken) * MAX_SCORE // total)
        return sum(shares) // len(shares) if shares else 0


def insufficient(pod: PodInfo, node: NodeInfo) -> list[str]:
    """Everything that the node has too little of, as `Insufficient cpu`."""
    found = []
    if len(node.pods) + 1 > node.allocatable.get("pods", 0):
        found.append("Too many pods")
    for name, amount in pod.requests.items():
        if amount > 0 and amount > node.allocatable.get(name, 0) - node.requested.get(name, 0):
            found.append(f"Insufficient {name}")
    return found
