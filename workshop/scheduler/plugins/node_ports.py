"""Two pods on a node cannot have the same host port. Upstream: `pkg/scheduler/framework/plugins/nodeports`."""

from __future__ import annotations

from workshop.scheduler.framework import CycleState, Plugin, Status, unschedulable
from workshop.scheduler.node_info import HostPort, NodeInfo, PodInfo, Snapshot

ANY_ADDRESS = "0.0.0.0"


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


def clash(a: HostPort, b: HostPort) -> bool:
    same_address = a[1] == b[1] or ANY_ADDRESS in (a[1], b[1])
    return a[0] == b[0] and a[2] == b[2] and same_address
