"""A pod that already names its node fits there only. Upstream: `pkg/scheduler/framework/plugins/nodename`."""

from __future__ import annotations

from workshop.scheduler.framework import CycleState, Plugin, Status, unresolvable
from workshop.scheduler.node_info import NodeInfo, PodInfo


class NodeName(Plugin):
    name = "NodeName"
    events = frozenset({"Node/Add"})

    def filter(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> Status | None:
        if pod.node_name and pod.node_name != node.name:
            return unresolvable("node(s) didn't match the requested node name")
        return None
