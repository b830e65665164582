"""Spread pods over zones, nodes or whatever a node label tells apart.

`maxSkew` bounds how many more matching pods one place may have than the emptiest place. A pod without constraints of
its own is spread softly with the other pods of its Service or controller. Upstream:
`pkg/scheduler/framework/plugins/podtopologyspread`, KEP-895.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from workshop.api import labels
from workshop.api.scheduling.tolerations import untolerated
from workshop.scheduler.framework import MAX_SCORE, CycleState, Plugin, Status, unresolvable, unschedulable
from workshop.scheduler.node_info import NodeInfo, PodInfo, Snapshot

HOSTNAME, ZONE = "kubernetes.io/hostname", "topology.kubernetes.io/zone"
SKEWED = "node(s) didn't match pod topology spread constraints"
NO_LABEL = f"{SKEWED} (missing required label)"
INVALID = -1


@dataclass(frozen=True)
class Constraint:
    max_skew: int
    topology_key: str
    selector: labels.Selector
    min_domains: int = 1
    affinity_policy: str = "Honor"
    taints_policy: str = "Ignore"

    def counts(self, pod: PodInfo, node: NodeInfo) -> bool:
        """Is that node one of those over which the pods are spread?"""
        if self.affinity_policy == "Honor" and not pod.node_affinity.matches(node.node):
            return False
        tainted = self.taints_policy == "Honor" and untolerated(pod.spec, node.taints, ("NoSchedule", "NoExecute"))
        return not tainted


def constraint(rule: Mapping[str, Any], pod: PodInfo) -> Constraint:
    selector = labels.from_selector(rule.get("labelSelector"))
    same = [(key, pod.labels[key]) for key in rule.get("matchLabelKeys") or () if key in pod.labels]
    if same:
        more = tuple(labels.Requirement(key, "in", (value,)) for key, value in same)
        selector = labels.Selector(selector.requirements + more, selector.nothing)
    return Constraint(
        rule.get("maxSkew") or 1,
        rule.get("topologyKey") or "",
        selector,
        rule.get("minDomains") or 1,
        rule.get("nodeAffinityPolicy") or "Honor",
        rule.get("nodeTaintsPolicy") or "Ignore",
    )


def constraints(pod: PodInfo, when: str) -> list[Constraint]:
    rules = pod.spec.get("topologySpreadConstraints") or ()
    return [constraint(rule, pod) for rule in rules if rule.get("whenUnsatisfiable") == when]


@dataclass
class _Soft:
    constraints: list[Constraint]
    counts: list[dict[str, int]]
    weights: list[float]
    ignored: set[str] = field(default_factory=set)


class PodTopologySpread(Plugin):
    name = "PodTopologySpread"
    events = frozenset({"Pod/Delete", "Pod/Add", "Pod/Label", "Node/Add", "Node/Delete", "Node/Label", "Node/Taint"})

    def __init__(self, default_selector: Callable[[PodInfo], labels.Selector | None] = lambda pod: None) -> None:
        self.default_selector = default_selector

    def pre_filter(self, state: CycleState, pod: PodInfo, snapshot: Snapshot) -> None:
        hard = constraints(pod, "DoNotSchedule")
        if not hard:
            state.skip_filter.add(self.name)
            return
        counts: list[dict[str, int]] = [{} for _ in hard]
        for node in snapshot.nodes.values():
            if not all(c.topology_key in node.labels for c in hard):
                continue
            for rule, places in zip(hard, counts, strict=True):
                if rule.counts(pod, node):
                    value = node.labels[rule.topology_key]
                    places[value] = places.get(value, 0) + node.count(pod.key.namespace, rule.selector)
        state.notes[self.name] = list(zip(hard, counts, strict=True))

    def filter(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> Status | None:
        for rule, places in state.notes[self.name]:
            value = node.labels.get(rule.topology_key)
            if value is None:
                return unresolvable(NO_LABEL)
            least = 0 if len(places) < rule.min_domains else min(places.values(), default=0)
            itself = int(rule.selector.matches(pod.labels))
            if places.get(value, 0) + itself - least > rule.max_skew:
                return unschedulable(SKEWED)
        return None

    # --- scores

    def pre_score(self, state: CycleState, pod: PodInfo, nodes: Sequence[NodeInfo], snapshot: Snapshot) -> None:
        own = bool(pod.spec.get("topologySpreadConstraints"))
        soft = constraints(pod, "ScheduleAnyway") if own else self._default(pod)
        if not soft:
            state.skip_score.add(self.name)
            return
        notes = _Soft(soft, [{} for _ in soft], [])
        for node in nodes:
            if own and not all(c.topology_key in node.labels for c in soft):
                notes.ignored.add(node.name)
                continue
            for rule, places in zip(soft, notes.counts, strict=True):
                if rule.topology_key != HOSTNAME:
                    places.setdefault(node.labels.get(rule.topology_key, ""), 0)
        for rule, places in zip(soft, notes.counts, strict=True):
            size = len(nodes) - len(notes.ignored) if rule.topology_key == HOSTNAME else len(places)
            notes.weights.append(math.log(size + 2))
        for node in snapshot.nodes.values():
            if own and not all(c.topology_key in node.labels for c in soft):
                continue
            for rule, places in zip(soft, notes.counts, strict=True):
                value = node.labels.get(rule.topology_key, "")
                if value in places and rule.counts(pod, node):
                    places[value] += node.count(pod.key.namespace, rule.selector)
        state.notes[self.name + "/score"] = notes

    def _default(self, pod: PodInfo) -> list[Constraint]:
        selector = self.default_selector(pod)
        if selector is None:
            return []
        return [Constraint(3, HOSTNAME, selector), Constraint(5, ZONE, selector)]

    def score(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> int:
        """The fuller the node's places, the higher; `normalize` turns it round."""
        notes: _Soft = state.notes[self.name + "/score"]
        if node.name in notes.ignored:
            return INVALID
        total = 0.0
        for rule, places, weight in zip(notes.constraints, notes.counts, notes.weights, strict=True):
            value = node.labels.get(rule.topology_key)
            if value is not None:
                host = rule.topology_key == HOSTNAME
                count = node.count(pod.key.namespace, rule.selector) if host else places[value]
                total += count * weight + (rule.max_skew - 1)
        return math.floor(total + 0.5)

    def normalize(self, state: CycleState, scores: dict[str, int]) -> dict[str, int]:
        valid = [score for score in scores.values() if score != INVALID]
        least, most = min(valid, default=0), max(valid, default=0)

        def turned(score: int) -> int:
            if score == INVALID:
                return 0
            return MAX_SCORE * (most + least - score) // most if most else MAX_SCORE

        return {name: turned(score) for name, score in scores.items()}
