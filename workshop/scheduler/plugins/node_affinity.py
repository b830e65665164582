"""`nodeSelector` and node affinity: which nodes a pod wants, by their labels.

Upstream: `pkg/scheduler/framework/plugins/nodeaffinity`.
"""

from __future__ import annotations

from collections.abc import Sequence

from workshop.scheduler.framework import CycleState, Event, Plugin, Status, normalize_to_max, unresolvable
from workshop.scheduler.node_info import NodeInfo, PodInfo, Snapshot

REASON = "node(s) didn't match Pod's node affinity/selector"


class NodeAffinity(Plugin):
    name = "NodeAffinity"
    events = frozenset({"Node/Add", "Node/Label"})

    def hint(self, pod: PodInfo, event: Event) -> bool:
        return event.new is not None and pod.node_affinity.matches(dict(event.new))

    def pre_filter(self, state: CycleState, pod: PodInfo, snapshot: Snapshot) -> Status | set[str] | None:
        affinity = pod.node_affinity
        if affinity.terms is None and affinity.node_selector.empty:
            state.skip_filter.add(self.name)
            return None
        names = affinity.node_names()
        return unresolvable("pod affinity terms conflict") if names is not None and not names else names

    def filter(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> Status | None:
        return None if pod.node_affinity.matches(node.node) else unresolvable(REASON)

    def pre_score(self, state: CycleState, pod: PodInfo, nodes: Sequence[NodeInfo], snapshot: Snapshot) -> None:
        if not pod.node_affinity.preferred:
            state.skip_score.add(self.name)

    def score(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> int:
        return sum(weight for weight, term in pod.node_affinity.preferred if term.matches(node.node))

    def normalize(self, state: CycleState, scores: dict[str, int]) -> dict[str, int]:
        return normalize_to_max(scores)
