"""Pods that nobody will ever clean up otherwise. Upstream: `pkg/controller/podgc`.

Every 20 s, and when a node goes: finished pods beyond the threshold (the oldest first), pods of nodes that are no more
(after 40 s, in case the node comes back), terminating pods that were never scheduled, and terminating pods of nodes
tainted out-of-service. `doomed` is pure.
"""

from __future__ import annotations

from typing import Any

from workshop.api import conditions, meta
from workshop.api.errors import ApiError
from workshop.api.meta import Key, Obj
from workshop.api.resources import resource

from . import pods
from .base import Context, all_of

PODS = resource("pods")
PERIOD = 20.0
QUARANTINE = 40.0
OUT_OF_SERVICE = "node.kubernetes.io/out-of-service"


def doomed(found: list[Obj], nodes: dict[str, Obj], gone: set[str], threshold: int) -> list[tuple[Obj, str]]:
    """(pod, why). `gone`: nodes that are surely no more."""
    result: list[tuple[Obj, str]] = []
    finished = [pod for pod in found if pods.is_finished(pod) and not pods.is_terminating(pod)]
    if threshold > 0 and len(finished) > threshold:
        finished.sort(key=lambda pod: (meta.creation_timestamp(pod), meta.name(pod)))
        result += [(pod, "terminated") for pod in finished[: len(finished) - threshold]]
    for pod in found:
        node = pods.node_name(pod)
        if node in gone:
            result.append((pod, "orphaned"))
        elif pods.is_terminating(pod) and not node:
            result.append((pod, "unscheduled"))
        elif pods.is_terminating(pod) and node in nodes and _out_of_service(nodes[node]) and not pods.is_ready(pod):
            result.append((pod, "out-of-service"))
    return result


def _out_of_service(node: Obj) -> bool:
    tainted = any(t["key"] == OUT_OF_SERVICE for t in node["spec"].get("taints") or ())
    return tainted and not conditions.is_true(node, "Ready")


class PodGarbageCollector:
    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._clock = context.clock
        self._threshold = context.options.terminated_pod_gc_threshold
        self._missing: dict[str, float] = {}
        """node → since when pods name it though it does not exist"""
        self._nodes = context.informer("nodes")
        self._pods = context.informer("pods")
        self._pods.store.add_index("node", lambda pod: (pod["spec"].get("nodeName") or "",))

    async def run(self) -> None:
        while True:
            await self.collect()
            await self._clock.sleep(PERIOD)

    async def collect(self) -> None:
        gone = await self._gone_nodes()
        nodes = {meta.name(node): node for node in self._nodes.store.list()}
        await all_of(
            self._delete(pod, why) for pod, why in doomed(self._pods.store.list(), nodes, gone, self._threshold)
        )

    async def _gone_nodes(self) -> set[str]:
        now = self._clock.monotonic()
        named = {name for name in self._pods.store.index_values("node") if name}
        missing = {name for name in named if Key("", name) not in self._nodes.store}
        self._missing = {name: self._missing.get(name, now) for name in missing}
        gone: set[str] = set()
        for name, since in self._missing.items():
            if now - since >= QUARANTINE and not await self._exists(name):
                gone.add(name)
        return gone

    async def _exists(self, node: str) -> bool:
        try:
            await self._client.get(resource("nodes"), node)
        except ApiError as error:
            if error.code == 404:
                return False
            raise
        return True

    async def _delete(self, pod: Obj, why: str) -> None:
        name, namespace = meta.name(pod), meta.namespace(pod)
        try:
            if why in ("orphaned", "out-of-service") and not pods.is_finished(pod):
                await self._mark_failed(pod, why)
            await self._client.delete(PODS, name, namespace, grace_period_seconds=0, uid=meta.uid(pod))
        except ApiError as error:
            if error.code not in (404, 409):
                raise

    async def _mark_failed(self, pod: Obj, why: str) -> None:
        """So that a Job sees that the pod failed, and why."""
        status: dict[str, Any] = {"phase": "Failed"}
        if why == "orphaned":
            target = {
                "type": "DisruptionTarget",
                "status": "True",
                "reason": "DeletionByPodGC",
                "message": "PodGC: node no longer exists",
            }
            listed = (pod.get("status") or {}).get("conditions") or []
            status |= {"conditions": conditions.set(listed, conditions.observed(target, pod), self._clock.now())}
        body = {"metadata": {"uid": meta.uid(pod)}, "status": status}
        await self._client.patch(PODS, meta.name(pod), body, meta.namespace(pod), subresource="status")
