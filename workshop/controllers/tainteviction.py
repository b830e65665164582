"""NoExecute: pods that do not tolerate a node's taints leave it, at once or when their toleration ends.

Upstream: `pkg/controller/tainteviction`. `deadline` is pure.
"""

from __future__ import annotations

from typing import Any

from workshop.api import conditions, meta
from workshop.api.errors import ApiError
from workshop.api.meta import Key, Obj, key_of
from workshop.api.resources import resource
from workshop.api.scheduling.tolerations import tolerates
from workshop.clock import parse_rfc3339

from .base import Context

PODS = resource("pods")


def deadline(tolerations: list[dict[str, Any]], taints: list[dict[str, Any]], now: float) -> float | None:
    """When the pod must leave; None: never. `now` if some taint is not tolerated at all.

    The shortest of the tolerations in use counts, from the time of the latest taint.
    """
    if not taints:
        return None
    used: list[dict[str, Any]] = []
    for taint in taints:
        matching = [t for t in tolerations if tolerates(t, taint)]
        if not matching:
            return now
        used += matching
    limits = [max(0, t["tolerationSeconds"]) for t in used if t.get("tolerationSeconds") is not None]
    if not limits:
        return None
    since = [parse_rfc3339(t["timeAdded"]) for t in taints if t.get("timeAdded")]
    return float((min(since) if since else now) + min(limits))


class TaintEvictionController:
    def __init__(self, context: Context) -> None:
        self._context = context
        self._client = context.client
        self._clock = context.clock
        self._queue = context.queue()
        self._recorder = context.recorders("taint-eviction-controller")
        self._due: dict[Key, float] = {}
        self._nodes = context.informer("nodes")
        self._pods = context.informer("pods")
        self._pods.store.add_index("node", lambda pod: (pod["spec"].get("nodeName") or "",))
        self._nodes.add_handler(self._node_seen, self._node_updated)
        self._pods.add_handler(self._pod_seen, self._pod_updated, self._pod_deleted)

    def _node_seen(self, node: Obj) -> None:
        for pod in self._pods.store.by_index("node", meta.name(node)):
            self._queue.add(key_of(pod))

    def _node_updated(self, old: Obj, new: Obj) -> None:
        if _no_execute(old) != _no_execute(new):
            self._node_seen(new)

    def _pod_seen(self, pod: Obj) -> None:
        if pod["spec"].get("nodeName"):
            self._queue.add(key_of(pod))

    def _pod_updated(self, old: Obj, new: Obj) -> None:
        before = (old["spec"].get("nodeName"), old["spec"].get("tolerations"))
        if before != (new["spec"].get("nodeName"), new["spec"].get("tolerations")):
            self._pod_seen(new)

    def _pod_deleted(self, pod: Obj) -> None:
        self._due.pop(key_of(pod), None)

    async def run(self) -> None:
        await self._context.controller(self._queue, self.sync, workers=8).run()

    async def sync(self, key: Key) -> float | None:
        pod = self._pods.store.get(key)
        if pod is None or "deletionTimestamp" in pod["metadata"]:
            return None
        node = self._nodes.store.get(Key("", pod["spec"].get("nodeName") or ""))
        now = self._clock.now()
        due = deadline(pod["spec"].get("tolerations") or [], _no_execute(node) if node else [], now)
        if due is None:
            if self._due.pop(key, None) is not None:
                self._recorder.event(pod, "Normal", "TaintManagerEviction", f"Cancelling deletion of Pod {key}")
            return None
        if due > now:
            self._due[key] = due
            return due - now
        self._due.pop(key, None)
        self._recorder.event(pod, "Normal", "TaintManagerEviction", f"Marking for deletion Pod {key}")
        await self._evict(pod)
        return None

    async def _evict(self, pod: Obj) -> None:
        name, namespace = meta.name(pod), meta.namespace(pod)
        target = {
            "type": "DisruptionTarget",
            "status": "True",
            "reason": "DeletionByTaintManager",
            "message": "Taint manager: deleting due to NoExecute taint",
        }
        listed = (pod.get("status") or {}).get("conditions") or []
        merged = conditions.set(listed, conditions.observed(target, pod), self._clock.now())
        try:
            body = {"metadata": {"uid": meta.uid(pod)}, "status": {"conditions": merged}}
            await self._client.patch(PODS, name, body, namespace, subresource="status")
            await self._client.delete(PODS, name, namespace, uid=meta.uid(pod))
        except ApiError as error:
            if error.code != 404:
                raise


def _no_execute(node: Obj) -> list[dict[str, Any]]:
    return [t for t in node["spec"].get("taints") or () if t["effect"] == "NoExecute"]
