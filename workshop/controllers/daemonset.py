"""DaemonSet: one pod on each node that fits. Upstream: `pkg/controller/daemon`.

The pods are bound by the scheduler, as all pods: each is made with a node affinity for just its node. `should_run` and
`decide` are pure.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from workshop.api import labels, meta
from workshop.api.errors import ApiError
from workshop.api.meta import Key, Obj, key_of
from workshop.api.resources import resource
from workshop.api.scheduling.node_affinity import NodeAffinity
from workshop.api.scheduling.tolerations import untolerated

from . import history, ownership, pods
from .base import Context, enqueue_owner, slow_start, update_status
from .deployment_util import int_or_percent
from .expectations import Expectations
from .pod_control import PODS, PodControl

SETS = resource("daemonsets.apps")
HASH = "controller-revision-hash"
GENERATION = "pod-template-generation"
BURST = 250
TOLERATIONS = (
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
)


def tolerations(spec: dict[str, Any]) -> list[dict[str, Any]]:
    """The template's, and those of every daemon: it stays where others must go."""
    extra = [{"key": key, "operator": "Exists", "effect": effect} for key, effect in TOLERATIONS]
    if spec.get("hostNetwork"):
        key = "node.kubernetes.io/network-unavailable"
        extra.append({"key": key, "operator": "Exists", "effect": "NoSchedule"})
    had = list(spec.get("tolerations") or [])
    return had + [t for t in extra if t not in had]


def should_run(ds: Obj, node: Obj) -> tuple[bool, bool]:
    """(a pod should be started on the node, one that is there may stay)."""
    spec = ds["spec"]["template"]["spec"]
    if spec.get("nodeName") and spec["nodeName"] != meta.name(node):
        return False, False
    if not NodeAffinity.of(spec).matches(node):
        return False, False
    daemon, taints = {"tolerations": tolerations(spec)}, node["spec"].get("taints") or ()
    if untolerated(daemon, taints, ("NoSchedule", "NoExecute")):
        return False, not untolerated(daemon, taints, ("NoExecute",))
    return True, True


def target_node(pod: Obj) -> str:
    """Where it runs, or is meant to."""
    if pods.node_name(pod):
        return pods.node_name(pod)
    affinity = ((pod["spec"].get("affinity") or {}).get("nodeAffinity") or {}).get(
        "requiredDuringSchedulingIgnoredDuringExecution"
    ) or {}
    for term in affinity.get("nodeSelectorTerms") or ():
        for one in term.get("matchFields") or ():
            if one["key"] == "metadata.name" and one["operator"] == "In" and len(one["values"]) == 1:
                return str(one["values"][0])
    return ""


def new_pod(ds: Obj, node: str, revision: str) -> Obj:
    """A pod for that node: the scheduler places it, by an affinity to the node's name."""
    pod = pods.from_template(meta.copy(ds["spec"]["template"]), ds)
    generation = meta.annotations(ds).get("deprecated.daemonset.template.generation")
    pod["metadata"]["labels"] |= {HASH: revision} | ({GENERATION: generation} if generation else {})
    spec = pod["spec"]
    spec["tolerations"] = tolerations(spec)
    field_term = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]}
    affinity = spec.setdefault("affinity", {}).setdefault("nodeAffinity", {})
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    terms = [{**term, **field_term} for term in (required or {}).get("nodeSelectorTerms") or ()]
    affinity["requiredDuringSchedulingIgnoredDuringExecution"] = {"nodeSelectorTerms": terms or [field_term]}
    return pod


@dataclass
class Changes:
    """Nodes that get a pod, and pods that go."""

    create: list[str] = field(default_factory=list)
    """nodes"""
    delete: list[Obj] = field(default_factory=list)
    failed: list[Obj] = field(default_factory=list)
    """of `delete`: pods that had failed and are made again"""


def by_node(found: list[Obj]) -> dict[str, list[Obj]]:
    """The pods by the node on which they run or are meant to."""
    result: dict[str, list[Obj]] = {}
    for pod in found:
        result.setdefault(target_node(pod), []).append(pod)
    return result


def decide(ds: Obj, nodes: list[Obj], found: list[Obj]) -> Changes:
    """One pod on each node that should have one, whatever revision it is of; `update` looks at that."""
    changes = Changes()
    grouped = by_node(found)
    for node in nodes:
        here = grouped.pop(meta.name(node), [])
        start, stay = should_run(ds, node)
        alive = [pod for pod in here if not pods.is_terminating(pod)]
        failed = [pod for pod in alive if pods.phase(pod) == "Failed"]
        running = [pod for pod in alive if pods.phase(pod) != "Failed"]
        if start and not here:
            changes.create.append(meta.name(node))
        elif stay:
            changes.failed += failed
            changes.delete += failed
            # Two on one node (two controllers, a race): the oldest stays.
            running.sort(key=lambda pod: (not pods.is_ready(pod), meta.creation_timestamp(pod)))
            if not _surging(ds):
                changes.delete += running[1:]
        else:
            changes.delete += alive
    for gone in grouped.values():  # nodes that are no more: pods that the scheduler cannot place any more
        changes.delete += [pod for pod in gone if not pods.is_terminating(pod) and not pods.node_name(pod)]
    return changes


def _rolling(ds: Obj) -> dict[str, Any]:
    return (ds["spec"].get("updateStrategy") or {}).get("rollingUpdate") or {}


def _surging(ds: Obj) -> bool:
    return bool(_rolling(ds).get("maxSurge") not in (None, 0, "0%"))


def decide_update(ds: Obj, nodes: list[Obj], found: list[Obj], revision: str, now: float) -> Changes:
    """The rolling update: old pods go, at most maxUnavailable nodes without an available one; with maxSurge the new pod
    comes first. Pods that are not available cost nothing and go at once."""
    wanted = [meta.name(node) for node in nodes if should_run(ds, node)[0]]
    min_ready = ds["spec"].get("minReadySeconds") or 0
    surge = int_or_percent(_rolling(ds).get("maxSurge", 0), len(wanted), up=True)
    unavailable = int_or_percent(_rolling(ds).get("maxUnavailable", 1), len(wanted), up=True)
    if not surge and not unavailable:
        unavailable = 1
    grouped, changes = by_node(found), Changes()
    out, candidates, surging = 0, [], 0
    for name in wanted:
        here = [pod for pod in grouped.get(name, []) if not pods.is_terminating(pod)]
        old = [pod for pod in here if meta.labels(pod).get(HASH) != revision]
        new = [pod for pod in here if meta.labels(pod).get(HASH) == revision]
        available = [pod for pod in here if pods.is_available(pod, min_ready, now)]
        if surge:
            if old and new:
                if any(pod in available for pod in new):
                    changes.delete += old
                else:
                    surging += 1
            elif old:
                candidates.append((name, old[0], old[0] in available))
            continue
        if not available:
            out += 1
            changes.delete += [pod for pod in old if pod not in available]
        elif old:
            candidates.append((name, old[0], True))
    if surge:
        changes.create += [name for name, _, _ in candidates[: max(0, surge - surging)]]
    else:
        changes.delete += [pod for _, pod, _ in candidates[: max(0, unavailable - out)]]
    return changes


def compute_status(ds: Obj, nodes: list[Obj], found: list[Obj], revision: str, now: float) -> dict[str, Any]:
    """The counts, by node and not by pod: of two pods on one node the ready and older one counts."""
    min_ready = ds["spec"].get("minReadySeconds") or 0
    grouped = by_node(found)
    counts = dict.fromkeys(("desired", "current", "misscheduled", "ready", "available", "updated"), 0)
    for node in nodes:
        here = [p for p in grouped.get(meta.name(node), []) if not pods.is_terminating(p)]
        if not should_run(ds, node)[0]:
            counts["misscheduled"] += bool(here)
            continue
        counts["desired"] += 1
        if here:
            first = min(here, key=lambda pod: (not pods.is_ready(pod), meta.creation_timestamp(pod)))
            counts["current"] += 1
            counts["ready"] += pods.is_ready(first)
            counts["available"] += pods.is_available(first, min_ready, now)
            counts["updated"] += any(meta.labels(pod).get(HASH) == revision for pod in here)
    status = {
        **(ds.get("status") or {}),
        "observedGeneration": meta.generation(ds),
        "desiredNumberScheduled": counts["desired"],
        "currentNumberScheduled": counts["current"],
        "numberMisscheduled": counts["misscheduled"],
        "numberReady": counts["ready"],
        "updatedNumberScheduled": counts["updated"],
        "numberAvailable": counts["available"],
        "numberUnavailable": counts["desired"] - counts["available"],
    }
    optional = ("updatedNumberScheduled", "numberAvailable", "numberUnavailable", "collisionCount")
    return {k: v for k, v in status.items() if v or k not in optional}


class DaemonSetController:
    def __init__(self, context: Context) -> None:
        self._context = context
        self._client = context.client
        self._clock = context.clock
        self._queue = context.queue()
        self._expectations = Expectations()
        self._recorder = context.recorders("daemonset-controller")
        self._pod_control = PodControl(self._client, self._recorder)
        self._sets = context.informer("daemonsets.apps")
        self._pods = context.informer("pods")
        self._nodes = context.informer("nodes")
        self._revisions = context.informer("controllerrevisions.apps")
        for informer in (self._pods, self._revisions):
            informer.store.add_index(ownership.INDEX, ownership.by_controller)
        self._sets.add_handler(self._enqueue, lambda old, new: self._enqueue(new), self._deleted)
        self._pods.add_handler(self._pod_added, self._pod_updated, self._pod_deleted)
        self._nodes.add_handler(lambda node: self._all(), self._node_updated, lambda node: self._all())

    def _enqueue(self, ds: Obj) -> None:
        self._queue.add(key_of(ds))

    def _deleted(self, ds: Obj) -> None:
        self._expectations.forget(key_of(ds))

    def _all(self) -> None:
        for ds in self._sets.store.list():
            self._enqueue(ds)

    def _node_updated(self, old: Obj, new: Obj) -> None:
        before = (meta.labels(old), old["spec"].get("taints"))
        if before != (meta.labels(new), new["spec"].get("taints")):
            self._all()

    def _owner(self, pod: Obj) -> Key | None:
        ref = meta.controller_of(pod)
        return Key(meta.namespace(pod), ref["name"]) if ref is not None and ref["kind"] == "DaemonSet" else None

    def _pod_added(self, pod: Obj) -> None:
        if (key := self._owner(pod)) is not None:
            self._expectations.creation_observed(key)
            self._queue.add(key)
        elif meta.controller_of(pod) is None:
            for ds in self._sets.store.by_index("namespace", meta.namespace(pod)):
                if labels.from_selector(ds["spec"]["selector"]).matches(meta.labels(pod)):
                    self._enqueue(ds)

    def _pod_updated(self, old: Obj, new: Obj) -> None:
        enqueue_owner(self._queue, "DaemonSet")(new)

    def _pod_deleted(self, pod: Obj) -> None:
        if (key := self._owner(pod)) is not None:
            self._expectations.deletion_observed(key, meta.uid(pod))
            self._queue.add(key)

    async def run(self) -> None:
        await self._context.controller(self._queue, self.sync, self._context.options.workers("daemonset", 2)).run()

    async def sync(self, key: Key) -> float | None:
        ds = self._sets.store.get(key)
        if ds is None:
            return None
        now, nodes = self._clock.now(), self._nodes.store.list()
        selector = labels.from_selector(ds["spec"]["selector"])
        found = ownership.candidates(self._pods.store, ds)
        found = await ownership.claimed(self._client, ds, SETS, selector, found, PODS)
        if "deletionTimestamp" in ds["metadata"]:
            return None
        old = (ds.get("status") or {}).get("collisionCount")
        revisions = self._revisions.store.by_index(ownership.INDEX, meta.uid(ds))
        latest, revisions, collisions = await history.current(self._client, ds, revisions, HASH, old)
        revision = meta.labels(latest)[HASH]
        failure: Exception | None = None
        if self._expectations.satisfied(key, now):
            changes = decide(ds, nodes, found)
            strategy = (ds["spec"].get("updateStrategy") or {}).get("type", "RollingUpdate")
            if not changes.create and not changes.delete and strategy == "RollingUpdate":
                changes = decide_update(ds, nodes, found, revision, now)
            failure = await self._act(key, ds, changes, revision, now)
        status = compute_status(ds, nodes, found, revision, now)
        if collisions is not None:
            status["collisionCount"] = collisions
        await update_status(self._client, SETS, ds, status)
        if failure is not None:
            raise failure
        hashes = {meta.labels(pod).get(HASH, "") for pod in found} | {revision}
        live = {meta.name(r) for r in revisions if meta.labels(r).get(HASH) in hashes}
        limit = ds["spec"].get("revisionHistoryLimit")
        await history.truncate(self._client, revisions, live, 10 if limit is None else int(limit))
        min_ready = ds["spec"].get("minReadySeconds") or 0
        return pods.next_available(found, min_ready, now) if min_ready else None

    async def _act(self, key: Key, ds: Obj, changes: Changes, revision: str, now: float) -> Exception | None:
        nodes, doomed = changes.create[:BURST], changes.delete[:BURST]
        if not nodes and not doomed:
            return None
        self._expectations.expect(key, len(nodes), {meta.uid(pod) for pod in doomed}, now)
        asked = 0

        async def create(i: int) -> None:
            nonlocal asked
            asked += 1
            try:
                await self._pod_control.create(ds, new_pod(ds, nodes[i], revision))
            except Exception:
                self._expectations.creation_observed(key)
                raise

        async def delete(pod: Obj) -> None:
            if pod in changes.failed:
                text = f"Found failed daemon pod {key_of(pod)} on node {target_node(pod)}, will try to kill it"
                self._recorder.event(ds, "Warning", "FailedDaemonPod", text)
            try:
                await self._pod_control.delete(ds, pod)
            except (ApiError, OSError) as error:
                self._expectations.deletion_observed(key, meta.uid(pod))
                if not (isinstance(error, ApiError) and error.code == 404):
                    raise

        _, failure = await slow_start(len(nodes), create)
        self._expectations.creation_observed(key, len(nodes) - asked)
        results = await asyncio.gather(*map(delete, doomed), return_exceptions=True)
        failures = [r for r in results if isinstance(r, Exception)]
        return failure or (failures[0] if failures else None)
