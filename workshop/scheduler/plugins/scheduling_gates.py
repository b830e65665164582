"""A pod with `spec.schedulingGates` is not tried until somebody has removed them all (KEP-3521)."""

from __future__ import annotations

from workshop.scheduler.framework import Plugin, Status, unresolvable
from workshop.scheduler.node_info import PodInfo


class SchedulingGates(Plugin):
    name = "SchedulingGates"
    events = frozenset({"Pod/Gates"})

    def pre_enqueue(self, pod: PodInfo) -> Status | None:
        gates = [gate.get("name", "") for gate in pod.spec.get("schedulingGates") or ()]
        return unresolvable(f"waiting for scheduling gates: [{' '.join(gates)}]") if gates else None
