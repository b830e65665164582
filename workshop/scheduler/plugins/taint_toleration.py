"""Taints with NoSchedule and NoExecute keep pods off; those with PreferNoSchedule cost a node points.

Upstream: `pkg/scheduler/framework/plugins/tainttoleration`.
"""

from __future__ import annotations

from workshop.api.scheduling.tolerations import tolerates, untolerated
from workshop.scheduler.framework import CycleState, Event, Plugin, Status, normalize_to_max, unresolvable
from workshop.scheduler.node_info import NodeInfo, PodInfo


class TaintToleration(Plugin):
    name = "TaintToleration"
    events = frozenset({"Node/Add", "Node/Taint", "Pod/Tolerations"})

    def hint(self, pod: PodInfo, event: Event) -> bool:
        """A node whose taints still keep the pod off is no news."""
        if not event.what.startswith("Node/") or event.new is None:
            return True
        taints = (event.new.get("spec") or {}).get("taints") or ()
        return untolerated(pod.spec, taints, ("NoSchedule", "NoExecute")) is None

    def filter(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> Status | None:
        if node.taints and untolerated(pod.spec, node.taints, ("NoSchedule", "NoExecute")) is not None:
            return unresolvable("node(s) had untolerated taint(s)")
        return None

    def score(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> int:
        """The number of soft taints that the pod does not tolerate."""
        soft = [taint for taint in node.taints if taint.get("effect") == "PreferNoSchedule"]
        if not soft:
            return 0
        useful = [t for t in pod.spec.get("tolerations") or () if t.get("effect") in (None, "", "PreferNoSchedule")]
        return sum(not any(tolerates(toleration, taint) for toleration in useful) for taint in soft)

    def normalize(self, state: CycleState, scores: dict[str, int]) -> dict[str, int]:
        return normalize_to_max(scores, reverse=True)
