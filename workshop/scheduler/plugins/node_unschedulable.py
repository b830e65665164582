"""A cordoned node takes only pods that tolerate its taint.

Upstream: `pkg/scheduler/framework/plugins/nodeunschedulable`.
"""

from __future__ import annotations

from workshop.api.scheduling.tolerations import tolerates_one
from workshop.scheduler.framework import CycleState, Plugin, Status, unresolvable
from workshop.scheduler.node_info import NodeInfo, PodInfo

TAINT = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}


class NodeUnschedulable(Plugin):
    name = "NodeUnschedulable"
    events = frozenset({"Node/Add", "Node/Taint", "Pod/Tolerations"})

    def filter(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> Status | None:
        if not (node.node.get("spec") or {}).get("unschedulable") or tolerates_one(pod.spec, TAINT):
            return None
        return unresolvable("node(s) were unschedulable")
