"""PodDisruptionBudgets: how many pods may be evicted now. Upstream: `pkg/controller/disruption`.

The eviction subresource trusts `status.disruptionsAllowed`, and counts it down itself; `disruptedPods` holds pods whose
eviction was granted and that we have not seen go. `compute` is pure.
"""

from __future__ import annotations

from typing import Any

from workshop.api import conditions, labels, meta
from workshop.api.meta import Key, Obj, key_of
from workshop.api.resources import resource
from workshop.clock import parse_rfc3339

from . import pods
from .base import Context, update_status
from .deployment_util import int_or_percent

BUDGETS = resource("poddisruptionbudgets.policy")
DELETION_TIMEOUT = 120.0
SCALES = {
    "ReplicaSet": resource("replicasets.apps"),
    "ReplicationController": resource("replicationcontrollers"),
    "StatefulSet": resource("statefulsets.apps"),
    "Deployment": resource("deployments.apps"),
}


def compute(budget: Obj, found: list[Obj], expected: int, now: float) -> dict[str, Any]:
    """The status. `expected`: how many pods the controllers of `found` want."""
    spec, old = budget["spec"], budget.get("status") or {}
    if spec.get("maxUnavailable") is not None:
        desired = max(0, expected - int_or_percent(spec["maxUnavailable"], expected, up=True))
    else:
        least = spec.get("minAvailable", 1)
        expected = len(found) if isinstance(least, int) else expected
        desired = int_or_percent(least, expected, up=True)
    disrupted = {
        name: since
        for name, since in (old.get("disruptedPods") or {}).items()
        if now - parse_rfc3339(since) < DELETION_TIMEOUT
        and any(meta.name(pod) == name and not pods.is_terminating(pod) for pod in found)
    }
    healthy = sum(
        pods.is_ready(pod) and not pods.is_terminating(pod) and meta.name(pod) not in disrupted for pod in found
    )
    allowed = max(0, healthy - desired) if expected else 0
    reason, status = ("SufficientPods", "True") if allowed else ("InsufficientPods", "False")
    listed = list(old.get("conditions") or [])
    condition = {
        "type": "DisruptionAllowed",
        "status": status,
        "reason": reason,
        "message": "",
        "observedGeneration": meta.generation(budget),
    }
    result: dict[str, Any] = {
        "conditions": conditions.set(listed, condition, now),
        "currentHealthy": healthy,
        "desiredHealthy": desired,
        "disruptionsAllowed": allowed,
        "expectedPods": expected,
        "observedGeneration": meta.generation(budget),
    }
    return result | ({"disruptedPods": disrupted} if disrupted else {})


class DisruptionController:
    def __init__(self, context: Context) -> None:
        self._context = context
        self._client = context.client
        self._clock = context.clock
        self._queue = context.queue()
        self._recorder = context.recorders("controllermanager")
        self._budgets = context.informer("poddisruptionbudgets.policy")
        self._pods = context.informer("pods")
        self._owners = {kind: context.informer(res.group_resource) for kind, res in SCALES.items()}
        self._budgets.add_handler(self._enqueue, lambda old, new: self._enqueue(new))
        self._pods.add_handler(self._pod_seen, self._pod_updated, self._pod_seen)

    def _enqueue(self, budget: Obj) -> None:
        self._queue.add(key_of(budget))

    def _pod_seen(self, pod: Obj) -> None:
        for budget in self._budgets.store.by_index("namespace", meta.namespace(pod)):
            if labels.from_selector(budget["spec"].get("selector")).matches(meta.labels(pod)):
                self._queue.add_after(key_of(budget), 0.02)

    def _pod_updated(self, old: Obj, new: Obj) -> None:
        before = (pods.is_ready(old), pods.is_terminating(old), meta.labels(old))
        if before != (pods.is_ready(new), pods.is_terminating(new), meta.labels(new)):
            self._pod_seen(new)

    async def run(self) -> None:
        await self._context.controller(self._queue, self.sync).run()

    async def sync(self, key: Key) -> float | None:
        budget = self._budgets.store.get(key)
        if budget is None:
            return None
        selector = labels.from_selector(budget["spec"].get("selector"))
        found = [
            pod
            for pod in self._pods.store.by_index("namespace", key.namespace)
            if selector.matches(meta.labels(pod)) and not pods.is_finished(pod)
        ]
        if not found:
            self._recorder.event(budget, "Normal", "NoPods", "No matching pods found")
        status = compute(budget, found, await self._expected(found), self._clock.now())
        await update_status(self._client, BUDGETS, budget, status)
        return DELETION_TIMEOUT if status.get("disruptedPods") else None

    async def _expected(self, found: list[Obj]) -> int:
        """The sum of what the pods' controllers want; a pod without one counts for itself."""
        wanted: dict[str, int] = {}
        for pod in found:
            ref = meta.controller_of(pod)
            if ref is None:
                wanted[meta.uid(pod)] = 1
            elif ref["uid"] not in wanted:
                wanted[ref["uid"]] = self._replicas(Key(meta.namespace(pod), ref["name"]), ref["kind"])
        return sum(wanted.values())

    def _replicas(self, key: Key, kind: str) -> int:
        owner = self._owners[kind].store.get(key) if kind in self._owners else None
        if owner is None:
            return 0
        above = meta.controller_of(owner)
        if kind == "ReplicaSet" and above is not None and above["kind"] == "Deployment":
            # During a rollout the Deployment says what is wanted, not the sum of its ReplicaSets.
            deployment = self._owners["Deployment"].store.get(Key(key.namespace, above["name"]))
            owner = deployment if deployment is not None else owner
        return int(owner["spec"].get("replicas", 1))
