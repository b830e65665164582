"""Prefer nodes on which cpu and memory are used up in step: a node full of one and empty of the other helps nobody.

Upstream: `pkg/scheduler/framework/plugins/noderesources/balanced_allocation.go`.
"""

from __future__ import annotations

from collections.abc import Sequence

from workshop.scheduler.framework import MAX_SCORE, CycleState, Plugin
from workshop.scheduler.node_info import NodeInfo, PodInfo, Snapshot

NAMES = ("cpu", "memory")


class NodeResourcesBalancedAllocation(Plugin):
    name = "NodeResourcesBalancedAllocation"

    def pre_score(self, state: CycleState, pod: PodInfo, nodes: Sequence[NodeInfo], snapshot: Snapshot) -> None:
        if not any(pod.requests.get(name) for name in NAMES):
            state.skip_score.add(self.name)

    def score(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> int:
        """75 for no change; up to 100 where the pod makes the node more balanced, down to 50 where less."""
        half = MAX_SCORE // 2
        before = balance(node, (0, 0))
        after = balance(node, (pod.requests.get("cpu", 0), pod.requests.get("memory", 0)))
        return half + (half + after - before) // 2


def balance(node: NodeInfo, more: tuple[int, int]) -> int:
    """100 where the used shares are equal, 50 where one is full and the other empty."""
    shares = [
        min(1.0, (node.requested.get(name, 0) + extra) / node.allocatable[name])
        for name, extra in zip(NAMES, more, strict=True)
        if node.allocatable.get(name)
    ]
    deviation = abs(shares[0] - shares[1]) / 2 if len(shares) == 2 else 0.0
    return int((1 - deviation) * MAX_SCORE)
