"""Whether a pod that was bound to this node may run on it: the kubelet asks once more what the scheduler has asked.

The scheduler may have known an older node, or somebody has written `nodeName` himself. A pod that does not fit becomes
Failed with a reason that says why; its owner makes a new one. A critical pod is not refused for want of room: others
go. Upstream: `pkg/kubelet/lifecycle/predicate.go`, `pkg/kubelet/preemption/preemption.go`. Pure.

>>> node = {"metadata": {"name": "n"}, "status": {"allocatable": {"cpu": "1", "pods": "110"}}}
>>> pod = {"metadata": {}, "spec": {"nodeName": "n", "containers": [{"resources": {"requests": {"cpu": "2"}}}]}}
>>> refusal(failures(pod, [], node)).reason
'OutOfcpu'
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from workshop.api.scheduling import requests
from workshop.api.scheduling.host_ports import HostPort, clash, host_ports
from workshop.api.scheduling.node_affinity import NodeAffinity
from workshop.api.scheduling.requests import Amounts
from workshop.api.scheduling.tolerations import untolerated
from workshop.kubelet import pods

Obj = dict[str, Any]

SYSTEM_CRITICAL = 2_000_000_000
NODE_AFFINITY = "NodeAffinity"


@dataclass(frozen=True)
class Held:
    """A pod, and what it holds of the node."""

    pod: Obj = field(hash=False)

    @cached_property
    def requests(self) -> Amounts:
        return requests.pod_requests(self.pod)

    @cached_property
    def ports(self) -> tuple[HostPort, ...]:
        return host_ports(self.pod["spec"])


@dataclass(frozen=True)
class Failure:
    """A question that was answered with no. `resource` is empty for those that are not about amounts."""

    name: str
    message: str
    resource: str = ""
    missing: int = 0


@dataclass(frozen=True)
class Refusal:
    reason: str
    message: str


def failures(pod: Obj, others: Sequence[Held], node: Obj) -> list[Failure]:
    """All that speaks against it, in upstream's order: amounts, affinity, name, ports, taints."""
    spec, found = pod["spec"], _shortages(pod, others, node)
    if not NodeAffinity.of(spec).matches(node):
        found.append(_predicate(NODE_AFFINITY, "node(s) didn't match Pod's node affinity/selector"))
    if spec.get("nodeName") and spec["nodeName"] != node["metadata"]["name"]:
        found.append(_predicate("NodeName", "node(s) didn't match the requested node name"))
    wanted = host_ports(spec)
    if wanted and any(clash(ours, theirs) for ours in wanted for other in others for theirs in other.ports):
        found.append(_predicate("NodePorts", "node(s) didn't have free ports for the requested pod ports"))
    taints = (node.get("spec") or {}).get("taints") or ()
    if not is_static(pod) and untolerated(spec, taints, ("NoExecute",)):
        found.append(_predicate("TaintToleration", "node(s) had taints that the pod didn't tolerate"))
    return found


def _predicate(name: str, said: str) -> Failure:
    return Failure(name, f"Predicate {name} failed: {said}")


def _shortages(pod: Obj, others: Sequence[Held], node: Obj) -> list[Failure]:
    allocatable = requests.amounts((node.get("status") or {}).get("allocatable"))
    wanted = {
        name: amount
        for name, amount in requests.pod_requests(pod).items()
        if amount and not (_is_extended(name) and name not in allocatable)  # such are the cluster's, not the node's
    }
    found = []
    if len(others) + 1 > allocatable.get("pods", 0):
        found.append(_shortage("pods", 1, len(others), allocatable.get("pods", 0)))
    for name in sorted(wanted, key=lambda name: (name not in _FIRST, _FIRST.get(name, 0), name)):
        used = sum(other.requests.get(name, 0) for other in others)
        if wanted[name] > allocatable.get(name, 0) - used:
            found.append(_shortage(name, wanted[name], used, allocatable.get(name, 0)))
    return found


_FIRST = {"cpu": 0, "memory": 1, "ephemeral-storage": 2}


def _shortage(name: str, wanted: int, used: int, capacity: int) -> Failure:
    said = f"Node didn't have enough resource: {name}, requested: {wanted}, used: {used}, capacity: {capacity}"
    return Failure(f"OutOf{name}", said, name, wanted - (capacity - used))


def _is_extended(name: str) -> bool:
    """Upstream: `v1helper.IsExtendedResourceName`."""
    return "/" in name and "kubernetes.io/" not in name and not name.startswith("requests.")


def not_for_this_system(pod: Obj) -> Refusal | None:
    """What room on the node would not help."""
    label = (pod["metadata"].get("labels") or {}).get("kubernetes.io/os", "linux")
    if label != "linux":
        said = "Failed to admit pod as the `kubernetes.io/os` label doesn't match node label"
        return Refusal("PodOSSelectorNodeLabelDoesNotMatch", said)
    if (pod["spec"].get("os") or {}).get("name", "linux") != "linux":
        return Refusal("PodOSNotSupported", "Failed to admit pod as the OS field doesn't match node OS")
    return None


def refusal(found: Sequence[Failure]) -> Refusal:
    """Upstream tells the first one only."""
    return Refusal(found[0].name, found[0].message)


# -- critical pods ---------------------------------------------------------------------------------------------------


def is_static(pod: Obj) -> bool:
    """By its uid, which `static_pods.py` makes; an annotation alone can be claimed by anybody."""
    digest = (pod["metadata"].get("annotations") or {}).get("kubernetes.io/config.hash")
    return bool(digest) and bool(digest == pod["metadata"].get("uid"))


def is_critical(pod: Obj) -> bool:
    return is_static(pod) or (pod["spec"].get("priority") or 0) >= SYSTEM_CRITICAL


def _preemptable(by: Obj, other: Obj) -> bool:
    if is_critical(by) and not is_critical(other):
        return True
    ours, theirs = by["spec"].get("priority"), other["spec"].get("priority")
    return ours is not None and theirs is not None and ours > theirs


Need = dict[str, int]


class NoVictims(Exception):
    """Not even without all others would there be room. The text is upstream's."""


def victims(pod: Obj, others: Sequence[Held], short: Sequence[Failure]) -> list[Held]:
    """Who has to go so that a critical pod fits: as few as possible, BestEffort first. Raises NoVictims."""
    need = {failure.resource: failure.missing for failure in short}
    by_class: dict[str, list[Held]] = {"BestEffort": [], "Burstable": [], "Guaranteed": []}
    for other in others:
        if _preemptable(pod, other.pod):
            by_class[pods.qos_class(other.pod)].append(other)
    effort, burst, sure = by_class["BestEffort"], by_class["Burstable"], by_class["Guaranteed"]
    if left := _without(need, [*effort, *burst, *sure]):
        raise NoVictims(f"no set of running pods found to reclaim resources: {_said(left)}")
    sure = _nearest(sure, _without(need, [*effort, *burst]))
    burst = _nearest(burst, _without(need, [*effort, *sure]))
    effort = _nearest(effort, _without(need, [*burst, *sure]))
    return [*effort, *burst, *sure]


def _of(held: Held, resource: str) -> int:
    return 1 if resource == "pods" else held.requests.get(resource, 0)


def _without(need: Need, gone: Sequence[Held]) -> Need:
    left = {name: amount - sum(_of(held, name) for held in gone) for name, amount in need.items()}
    return {name: amount for name, amount in left.items() if amount > 0}


def _nearest(candidates: list[Held], need: Need) -> list[Held]:
    """Of `candidates` those that together free what is needed, at each step the one that frees the largest part."""
    chosen, left = [], list(candidates)
    while need:
        if not left:
            raise NoVictims(f"no set of running pods found to reclaim resources: {_said(need)}")
        wanted = dict(need)

        def rank(held: Held, wanted: Need = wanted) -> tuple[float, int, int]:
            short = ((max(0, amount - _of(held, name)) / amount) ** 2 for name, amount in wanted.items())
            return sum(short), _of(held, "memory"), _of(held, "cpu")

        best = min(left, key=rank)
        left.remove(best)
        chosen.append(best)
        need = _without(need, [best])
    return chosen


def _said(need: Need) -> str:
    return "[" + "".join(f"(res: {name}, q: {amount}), " for name, amount in need.items()) + "]"
