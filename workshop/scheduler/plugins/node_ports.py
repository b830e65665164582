"""Two pods on a node cannot have the same host port. Upstream: `pkg/scheduler/framework/plugins/nodeports`."""

from __future__ import annotations

from workshop.api.scheduling.host_ports import clash
from workshop.scheduler.framework import CycleState, Plugin, Status, unschedulable
from workshop.scheduler.node_info import NodeInfo, PodInfo, Snapshot


class NodePorts(Plugin):
    name = "NodePorts"
    events = frozenset({"Pod/Delete", "Node/Add"})

    def pre_filter(self, state: CycleState, pod: PodInfo, snapshot: Snapshot) -> None:
        if not pod.host_ports:
            state.skip_filter.add(self.name)

    def filter(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> Status | None:
        if any(clash(wanted, used) for wanted in pod.host_ports for used in node.ports):
            return unschedulable("node(s) didn't have free ports for the requested pod ports")
        return None
