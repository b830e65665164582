"""PURE: desired, reported and observed side by side, and who has to act next.

Three truths of a workload: *desired* is its `.spec`, as stored; *reported* its `.status`, as the API tells it;
*observed* what the operating system shows now. Where they differ, somebody has not acted yet. Example:

    desired 3   reported 2   observed 2     next: kube-scheduler (web-7d9-x has no node)
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from workshop.api.meta import Obj, controller_of


@dataclass(frozen=True)
class Row:
    """One workload. `next` says who acts next and on what; empty when all three agree."""

    kind: str
    namespace: str
    name: str
    desired: int
    reported: int
    observed: int
    next: str


@dataclass(frozen=True)
class World:
    """What is known at one moment. `observed` maps a pod's uid to how many of its containers live."""

    workloads: tuple[Obj, ...]
    pods: tuple[Obj, ...]
    observed: Mapping[str, int]
    running: Collection[str]
    """Names of the cluster's processes that run."""


def rows(world: World) -> list[Row]:
    """A row for each Deployment, StatefulSet, DaemonSet, bare ReplicaSet and bare pod, by kind and name."""
    found = []
    for workload in world.workloads:
        if controller_of(workload) is None:
            found.append(_workload_row(workload, world))
    found += [_row("Pod", pod, 1, int(_ready(pod)), [pod], world) for pod in world.pods if controller_of(pod) is None]
    return sorted(found, key=lambda row: (row.namespace, row.kind, row.name))


def _workload_row(workload: Obj, world: World) -> Row:
    status = workload.get("status") or {}
    desired = int(status.get("desiredNumberScheduled", 0))
    if workload["kind"] != "DaemonSet":
        desired = int(workload["spec"].get("replicas", 1))
    reported = int(status.get("readyReplicas", status.get("numberReady", 0)) or 0)
    return _row(workload["kind"], workload, desired, reported, pods_of(workload, world), world)


def pods_of(workload: Obj, world: World) -> list[Obj]:
    """Pods below a workload: its own, or those of the ReplicaSets that it owns."""
    owners = {workload["metadata"]["uid"]}
    for other in world.workloads:
        reference = controller_of(other)
        if reference is not None and reference["uid"] in owners:
            owners.add(other["metadata"]["uid"])
    return [pod for pod in world.pods if (controller_of(pod) or {}).get("uid") in owners]


def _row(kind: str, obj: Obj, desired: int, reported: int, pods: list[Obj], world: World) -> Row:
    observed = sum(1 for pod in pods if world.observed.get(pod["metadata"]["uid"]))
    meta = obj["metadata"]
    todo = next_actor(kind, obj, desired, reported, pods, world)
    return Row(kind, meta.get("namespace", ""), meta["name"], desired, reported, observed, todo)


def next_actor(kind: str, obj: Obj, desired: int, reported: int, pods: list[Obj], world: World) -> str:
    """Who has to act next for this workload; the first thing that is not done yet decides."""
    for process in ("etcd", "kube-apiserver"):
        if process not in world.running:
            return f"{process} (it is down: nothing can be written)"
    ending = [pod for pod in pods if pod["metadata"].get("deletionTimestamp")]
    living = [pod for pod in pods if not pod["metadata"].get("deletionTimestamp")]
    if kind != "Pod" and len(living) != desired:
        what = (
            f"{desired - len(living)} pods to create" if len(living) < desired else f"{len(living) - desired} to delete"
        )
        return _who("kube-controller-manager", what, world)
    for pod in living:
        name = pod["metadata"]["name"]
        if not pod.get("spec", {}).get("nodeName"):
            return _who("kube-scheduler", f"{name} has no node{_because(pod)}", world)
        if not world.observed.get(pod["metadata"]["uid"]):
            return _who(f"kubelet-{pod['spec']['nodeName']}", f"{name} has no process{_because(pod)}", world)
        if not _ready(pod):
            return _who(f"kubelet-{pod['spec']['nodeName']}", f"{name} is not ready{_because(pod)}", world)
    for pod in ending:
        return _who(f"kubelet-{pod['spec'].get('nodeName', '?')}", f"{pod['metadata']['name']} has to end", world)
    if reported != desired:
        return _who("kube-controller-manager", "the status is not up to date", world)
    return ""


def _who(process: str, what: str, world: World) -> str:
    return f"{process} ({what})" if process in world.running else f"{process} is down ({what})"


def _ready(pod: Obj) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or []
    return any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions)


def _because(pod: Obj) -> str:
    """The reason that the API tells: a container's waiting reason, or why no node fits."""
    status = pod.get("status") or {}
    for container in status.get("containerStatuses") or []:
        reason = ((container.get("state") or {}).get("waiting") or {}).get("reason")
        if reason:
            return f": {reason}"
    for condition in status.get("conditions") or []:
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return f": {condition.get('message') or condition.get('reason')}"
    return ""
