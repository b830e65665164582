"""Preemption: whom to evict so that a more important pod fits. Upstream: `pkg/scheduler/framework/preemption`.

On each node where eviction could help: take away every pod that is less important, see whether the pod fits then, and
give back as many as possible, the most important first and those that a disruption budget protects before the others.
Then choose the node whose loss is smallest. Pure: the caller evicts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from workshop.api import labels, meta
from workshop.api.meta import Obj
from workshop.clock import parse_rfc3339
from workshop.scheduler.framework import Decision, Framework, Status, fit_error, unresolvable
from workshop.scheduler.node_info import NodeInfo, PodInfo, Snapshot

NO_CLAIMS = "no new claims to deallocate"
"""What upstream's DynamicResources, which comes before preemption, says of a pod without resource claims."""
STILL = "still not schedulable"
"""And of one that has some."""
NOT_FOUND = "not found"
"""What it says, and with that ends the matter, where PreFilter refused the pod before it came to its own notes."""
NO_VICTIMS = "No preemption victims found for incoming pod"
NOT_HELPFUL = "Preemption is not helpful for scheduling"


@dataclass(frozen=True)
class Victims:
    """Of one node, the most important first. `violations` counts those that a budget protects."""

    node: str
    pods: tuple[PodInfo, ...]
    violations: int = 0

    def loss(self) -> tuple[Any, ...]:
        """The smaller, the better the node."""
        priorities = [pod.priority for pod in self.pods]
        highest = max(priorities)
        started = min(_started(pod) for pod in self.pods if pod.priority == highest)
        return self.violations, highest, sum(p + 2**31 for p in priorities), len(self.pods), -started


@dataclass(frozen=True)
class Preemption:
    """`victims` is None where preemption does not help; `message` says why, as FailedScheduling ends."""

    victims: Victims | None
    message: str = ""


def _started(pod: PodInfo) -> float:
    text = (pod.pod.get("status") or {}).get("startTime")
    return parse_rfc3339(text) if text else meta.creation_timestamp(pod.pod)


def preempt(
    framework: Framework, pod: PodInfo, decision: Decision, snapshot: Snapshot, budgets: Sequence[Obj] = ()
) -> Preemption:
    """For a pod that `decision` found no node for."""
    if decision.pre_filter and "DynamicResources" not in decision.plugins:
        return Preemption(None, NOT_FOUND)
    claims = STILL if pod.spec.get("resourceClaims") and not decision.pre_filter else NO_CLAIMS
    if wrong := _not_eligible(pod, decision, snapshot):
        return Preemption(None, f"{claims}, preemption: {wrong}")
    found: list[Victims] = []
    refusals: dict[str, Status] = {}
    for name, status in decision.diagnosis.items():
        if not status.resolvable:
            continue
        outcome = select_victims(framework, pod, snapshot.nodes[name], snapshot, budgets)
        if isinstance(outcome, Victims):
            found.append(outcome)
        else:
            refusals[name] = outcome
    if found:
        return Preemption(min(found, key=Victims.loss))
    others = len(snapshot.nodes) - len(refusals)
    told = [*refusals.values(), *[unresolvable(NOT_HELPFUL)] * others]
    return Preemption(None, f"{claims}, preemption: {fit_error(len(snapshot.nodes), told)}")


def _not_eligible(pod: PodInfo, decision: Decision, snapshot: Snapshot) -> str:
    if pod.spec.get("preemptionPolicy") == "Never":
        return "not eligible due to preemptionPolicy=Never."
    node = snapshot.nodes.get(pod.nominated_node)
    status = decision.diagnosis.get(pod.nominated_node)
    if node is None or (status is not None and not status.resolvable):
        return ""
    if any(other.priority < pod.priority and _preempted(other) for other in node.pods.values()):
        return "not eligible due to a terminating pod on the nominated node."
    return ""


def _preempted(pod: PodInfo) -> bool:
    conditions = (pod.pod.get("status") or {}).get("conditions") or ()
    return pod.terminating and any(
        c.get("type") == "DisruptionTarget" and c.get("status") == "True" and c.get("reason") == "PreemptionByScheduler"
        for c in conditions
    )


def select_victims(
    framework: Framework, pod: PodInfo, node: NodeInfo, snapshot: Snapshot, budgets: Sequence[Obj] = ()
) -> Victims | Status:
    """Whom to evict from that node, or why it does not help."""
    room = node.clone()
    lesser = [other for other in node.pods.values() if other.priority < pod.priority]
    if not lesser:
        return unresolvable(NO_VICTIMS)
    for other in lesser:
        room.remove_pod(other)
    if (status := framework.fits(pod, room, snapshot)) is not None:
        return status
    lesser.sort(key=lambda other: (-other.priority, _started(other)))
    protected = violating(lesser, budgets)
    victims: list[PodInfo] = []
    for other in [p for p in lesser if p.uid in protected] + [p for p in lesser if p.uid not in protected]:
        room.add_pod(other)
        if framework.fits(pod, room, snapshot) is not None:
            room.remove_pod(other)
            victims.append(other)
    if not victims:
        return unresolvable(NO_VICTIMS)
    victims.sort(key=lambda other: (-other.priority, _started(other)))
    return Victims(node.name, tuple(victims), sum(victim.uid in protected for victim in victims))


def violating(pods: Sequence[PodInfo], budgets: Sequence[Obj]) -> set[str]:
    """Uids of the pods whose eviction (after that of those before them) a PodDisruptionBudget does not allow."""
    allowed: list[tuple[Mapping[str, Any], labels.Selector, str, list[int]]] = []
    for budget in budgets:
        status = budget.get("status") or {}
        selector = labels.from_selector((budget.get("spec") or {}).get("selector"))
        left = [status.get("disruptionsAllowed") or 0]
        allowed.append((status.get("disruptedPods") or {}, selector, meta.namespace(budget), left))
    found: set[str] = set()
    for pod in pods:
        for disrupted, selector, namespace, left in allowed:
            if namespace != pod.key.namespace or not pod.labels or not selector.matches(pod.labels):
                continue
            if selector.empty or pod.key.name in disrupted:
                continue
            left[0] -= 1
            if left[0] < 0:
                found.add(pod.uid)
    return found
