"""PURE: desired, reported and observed side by side, and who has to act next.

Three truths of a workload: *desired* is its `.spec`, as stored; *reported* its `.status`, as the API tells it;
*observed* what the operating system shows now. Where they differ, somebody has not acted yet. Example:

    desired 3   reported 2   observed 2     next: kube-scheduler (web-7d9-x has no node)
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from workshop.api.meta import Obj, controller_of

FINISHED = ("Succeeded", "Failed")


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
    _below: dict[str, list[Obj]] = field(default_factory=dict, compare=False, repr=False)
    """Objects by the uid of their controller: filled when it is first asked for."""


def rows(world: World) -> list[Row]:
    """A row for each Deployment, StatefulSet, DaemonSet, Job, bare ReplicaSet and bare pod, by kind and name."""
    found = []
    for workload in world.workloads:
        if controller_of(workload) is None:
            found.append(row_of(workload, pods_of(workload, world), world.observed, world.running))
    found += [row_of(pod, [pod], world.observed, world.running) for pod in world.pods if controller_of(pod) is None]
    return sorted(found, key=lambda row: (row.namespace, row.kind, row.name))


def pods_of(workload: Obj, world: World) -> list[Obj]:
    """Pods below a workload: its own, or those of the ReplicaSets that it owns."""
    if not world._below:
        for obj in (*world.workloads, *world.pods):
            if (reference := controller_of(obj)) is not None:
                world._below.setdefault(reference["uid"], []).append(obj)
    found: list[Obj] = []
    for child in world._below.get(workload["metadata"]["uid"], ()):
        found += [child] if child["kind"] == "Pod" else pods_of(child, world)
    return found


def row_of(obj: Obj, pods: Iterable[Obj], observed: Mapping[str, int] | None, running: Collection[str]) -> Row:
    """The row of one workload (or bare pod), of which `pods` are all the pods below it.

    `observed` None: nothing can be seen but the API. Then every process is taken to live, and who acts next is told
    from the API alone; the row's `observed` means nothing.
    """
    kind, metadata = obj["kind"], obj["metadata"]
    mine = list(pods)
    desired, reported = wanted(obj), told(obj)
    if observed is None:
        observed = {pod["metadata"]["uid"]: 1 for pod in mine}
        running = {*running, *(f"kubelet-{pod.get('spec', {}).get('nodeName')}" for pod in mine)}
    seen = sum(1 for pod in mine if observed.get(pod["metadata"]["uid"]))
    todo = next_actor(kind, desired, reported, mine, observed, running)
    return Row(kind, metadata.get("namespace", ""), metadata["name"], desired, reported, seen, todo)


def wanted(obj: Obj) -> int:
    """How many pods its spec asks for now.

    A DaemonSet's number depends on the nodes, and stands in its status alone. A Job wants fewer the more have
    succeeded. A pod that has finished is wanted no more.
    """
    kind, spec, status = obj["kind"], obj.get("spec") or {}, obj.get("status") or {}
    if kind == "Pod":
        return 0 if status.get("phase") in FINISHED else 1
    if kind == "DaemonSet":
        return int(status.get("desiredNumberScheduled", 0))
    if kind == "Job":
        if spec.get("suspend") or any(
            c.get("type") in ("Complete", "Failed") and c.get("status") == "True"
            for c in status.get("conditions") or []
        ):
            return 0
        parallel = int(spec.get("parallelism", 1))
        left = int(spec["completions"]) - int(status.get("succeeded") or 0) if "completions" in spec else parallel
        return max(0, min(parallel, left))
    return int(spec.get("replicas", 1))


def told(obj: Obj) -> int:
    """How many its status reports as ready."""
    status = obj.get("status") or {}
    if obj["kind"] == "Pod":
        return int(_ready(obj))
    if obj["kind"] == "Job":
        return int(status.get("ready") or 0)
    return int(status.get("readyReplicas", status.get("numberReady", 0)) or 0)


def next_actor(
    kind: str, desired: int, reported: int, pods: list[Obj], observed: Mapping[str, int], running: Collection[str]
) -> str:
    """Who has to act next for this workload; the first thing that is not done yet decides."""
    for process in ("etcd", "kube-apiserver"):
        if not runs(process, running):
            return f"{process} (it is down: nothing can be written)"
    ending = [pod for pod in pods if pod["metadata"].get("deletionTimestamp")]
    living = [
        pod
        for pod in pods
        if not pod["metadata"].get("deletionTimestamp") and (pod.get("status") or {}).get("phase") not in FINISHED
    ]
    if kind != "Pod" and len(living) != desired:
        missing = desired - len(living)
        what = _pods(missing, "create") if missing > 0 else _pods(-missing, "delete")
        return _who("kube-controller-manager", what, running)
    without = [pod for pod in living if not pod.get("spec", {}).get("nodeName")]
    if without:
        name = without[0]["metadata"]["name"]
        what = f"{name} has no node" if len(without) == 1 else f"{len(without)} pods without a node"
        return _who("kube-scheduler", what + _because(without[0]), running)
    for pod in living:
        name, node = pod["metadata"]["name"], pod["spec"]["nodeName"]
        if not observed.get(pod["metadata"]["uid"]):
            return _who(f"kubelet-{node}", f"{name} has no process{_because(pod)}", running)
        if not _ready(pod):
            return _who(f"kubelet-{node}", f"{name} is not ready{_because(pod)}", running)
    for pod in ending:
        return _who(f"kubelet-{pod['spec'].get('nodeName', '?')}", f"{pod['metadata']['name']} has to end", running)
    if reported != desired:
        return _who("kube-controller-manager", "the status is not up to date", running)
    return ""


def _pods(count: int, verb: str) -> str:
    return f"{count} {'pod' if count == 1 else 'pods'} to {verb}"


def _who(process: str, what: str, running: Collection[str]) -> str:
    return f"{process} ({what})" if runs(process, running) else f"{process} is down ({what})"


def runs(process: str, running: Collection[str]) -> bool:
    """Does it run? With several masters `etcd` is `etcd-master-1` and its likes, and one is enough to act."""
    return process in running or any(name.startswith(f"{process}-master-") for name in running)


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
