"""Pods that want to be near other pods, or far from them; "near" is the same value of a node label.

Upstream: `pkg/scheduler/framework/plugins/interpodaffinity`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from workshop.scheduler.framework import MAX_SCORE, CycleState, Plugin, Status, unresolvable, unschedulable
from workshop.scheduler.node_info import AffinityTerm, NodeInfo, PodInfo, Snapshot

AFFINITY = "node(s) didn't match pod affinity rules"
ANTI_AFFINITY = "node(s) didn't match pod anti-affinity rules"
EXISTING = "node(s) didn't satisfy existing pods anti-affinity rules"
HARD_AFFINITY_WEIGHT = 1
"""What the required affinity of a pod that is already there counts for a newcomer who matches it."""

Place = tuple[str, str]
"""(topology key, value)."""


@dataclass
class _Counts:
    repelled: Counter[Place] = field(default_factory=Counter)
    """Places whose pods refuse the newcomer."""
    near: Counter[Place] = field(default_factory=Counter)
    """Places with pods that match all its affinity terms."""
    far: Counter[Place] = field(default_factory=Counter)
    """Places with pods that match one of its anti-affinity terms."""
    first: bool = False
    """It matches its own affinity terms, and so may be the first of its kind."""


class InterPodAffinity(Plugin):
    name = "InterPodAffinity"
    events = frozenset({"Pod/Delete", "Pod/Add", "Pod/Label", "Node/Add", "Node/Label"})

    def pre_filter(self, state: CycleState, pod: PodInfo, snapshot: Snapshot) -> None:
        counts = _Counts()
        for node in snapshot.nodes.values():
            for other in node.with_affinity.values():
                for term in other.required_anti_affinity:
                    if term.matches(pod, snapshot.namespaces):
                        _count(counts.repelled, term, node)
            if pod.required_affinity or pod.required_anti_affinity:
                self._count_own(counts, pod, node, snapshot)
        if not counts.repelled and not pod.required_affinity and not pod.required_anti_affinity:
            state.skip_filter.add(self.name)
            return
        counts.first = all(term.matches(pod, snapshot.namespaces) for term in pod.required_affinity)
        state.notes[self.name] = counts

    def _count_own(self, counts: _Counts, pod: PodInfo, node: NodeInfo, snapshot: Snapshot) -> None:
        for other in node.pods.values():
            if pod.required_affinity and all(t.matches(other, snapshot.namespaces) for t in pod.required_affinity):
                for term in pod.required_affinity:
                    _count(counts.near, term, node)
            for term in pod.required_anti_affinity:
                if term.matches(other, snapshot.namespaces):
                    _count(counts.far, term, node)

    def filter(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> Status | None:
        counts: _Counts = state.notes[self.name]
        if not self._near(counts, pod.required_affinity, node):
            return unresolvable(AFFINITY)
        for term in pod.required_anti_affinity:
            value = node.labels.get(term.topology_key)
            if value is not None and counts.far[term.topology_key, value] > 0:
                return unschedulable(ANTI_AFFINITY)
        if counts.repelled and any(counts.repelled[place] > 0 for place in node.labels.items()):
            return unschedulable(EXISTING)
        return None

    def _near(self, counts: _Counts, terms: Iterable[AffinityTerm], node: NodeInfo) -> bool:
        here = True
        for term in terms:
            value = node.labels.get(term.topology_key)
            if value is None:
                return False
            here = here and counts.near[term.topology_key, value] > 0
        return here or (not counts.near and counts.first)

    # --- scores

    def pre_score(self, state: CycleState, pod: PodInfo, nodes: Sequence[NodeInfo], snapshot: Snapshot) -> None:
        places: Counter[Place] = Counter()
        own = bool(pod.preferred_affinity or pod.preferred_anti_affinity)
        for node in snapshot.nodes.values():
            for other in node.pods.values() if own else node.with_affinity.values():
                self._weigh(places, pod, other, node, snapshot)
        if not places:
            state.skip_score.add(self.name)
        state.notes[self.name + "/score"] = places

    def _weigh(self, places: Counter[Place], pod: PodInfo, other: PodInfo, node: NodeInfo, snapshot: Snapshot) -> None:
        """What each of the two wants of the other."""
        for terms, whom, sign in (
            (pod.preferred_affinity, other, 1),
            (pod.preferred_anti_affinity, other, -1),
            (other.preferred_affinity, pod, 1),
            (other.preferred_anti_affinity, pod, -1),
        ):
            for term in terms:
                if term.matches(whom, snapshot.namespaces):
                    _count(places, term, node, sign * term.weight)
        for term in other.required_affinity:
            if term.matches(pod, snapshot.namespaces):
                _count(places, term, node, HARD_AFFINITY_WEIGHT)

    def score(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> int:
        places: Counter[Place] = state.notes[self.name + "/score"]
        return sum(weight for (key, value), weight in places.items() if node.labels.get(key) == value)

    def normalize(self, state: CycleState, scores: dict[str, int]) -> dict[str, int]:
        least, most = min(scores.values()), max(scores.values())
        if least == most:
            return dict.fromkeys(scores, 0)
        return {name: int(MAX_SCORE * ((score - least) / (most - least))) for name, score in scores.items()}


def _count(counter: Counter[Place], term: AffinityTerm, node: NodeInfo, weight: int = 1) -> None:
    value = node.labels.get(term.topology_key)
    if value is not None:
        counter[term.topology_key, value] += weight
