"""ReplicaSet and ReplicationController: keep so many pods. Upstream: `pkg/controller/replicaset`.

`decide` looks at the pods there are and says how many to make or which to give up. Everything else is bookkeeping:
whose pods they are (`ownership`), which of our own acts the cache has not shown yet (`expectations`), and the status.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from workshop.api import conditions, labels, meta
from workshop.api.errors import ApiError, is_terminating_namespace
from workshop.api.labels import Selector
from workshop.api.meta import Key, Obj, key_of
from workshop.api.resources import Resource, resource
from workshop.hooks import hook

from . import ownership, pods
from .base import Context, slow_start, update_status
from .expectations import Expectations
from .pod_control import PODS, PodControl

BURST = 500
SETTLE = 0.02
"""Seconds in which changes of pods are gathered: 500 pods that become ready write a few statuses, not 500."""


@dataclass(frozen=True)
class Decision:
    create: int = 0
    delete: tuple[Obj, ...] = ()


def _check(decision: Decision, owner: Obj, active: list[Obj], neighbours: list[Obj], now: float) -> str:
    """What is wrong with a learner's decision."""
    if not isinstance(decision.create, int) or decision.create < 0:
        return f"Decision.create has to be a number from 0 up, not {decision.create!r}"
    uids = {meta.uid(pod) for pod in active}
    if not all(isinstance(pod, dict) and meta.uid(pod) in uids for pod in decision.delete):
        return "Decision.delete may only hold pods of `active`"
    return ""


@hook("kube-controller-manager", "replicaset.decide", _check)
def decide(owner: Obj, active: list[Obj], neighbours: list[Obj], now: float) -> Decision:
    """How to get from the `active` pods to `spec.replicas`, at most 500 at a time."""
    difference = len(active) - replicas(owner)
    if difference < 0:
        return Decision(create=min(-difference, BURST))
    if difference > 0:
        victims = pods.deletion_order(active, neighbours, now)[:difference]
        return Decision(delete=tuple(victims[:BURST]))
    return Decision()


def replicas(owner: Obj) -> int:
    wanted = owner["spec"].get("replicas")
    return 1 if wanted is None else int(wanted)


def compute_status(
    owner: Obj, owned: list[Obj], failure: tuple[str, str] | None, now: float, terminating: bool
) -> dict[str, Any]:
    """The status of `owner` with the pods that it owns. `failure`: (reason, message) of what could not be done."""
    active = [pod for pod in owned if pods.is_active(pod)]
    template_labels = (owner["spec"].get("template") or {}).get("metadata", {}).get("labels") or {}
    full = labels.from_set(template_labels)
    min_ready = owner["spec"].get("minReadySeconds") or 0
    old = owner.get("status") or {}
    status: dict[str, Any] = {
        **old,
        "replicas": len(active),
        "fullyLabeledReplicas": sum(full.matches(meta.labels(pod)) for pod in active),
        "readyReplicas": sum(pods.is_ready(pod) for pod in active),
        "availableReplicas": sum(pods.is_available(pod, min_ready, now) for pod in active),
        "observedGeneration": meta.generation(owner),
    }
    if terminating:
        status["terminatingReplicas"] = sum(pods.is_terminating(pod) and not pods.is_finished(pod) for pod in owned)
    listed = old.get("conditions") or []
    if failure is not None and not conditions.find(listed, "ReplicaFailure"):
        reason, message = failure
        new = {"type": "ReplicaFailure", "status": "True", "reason": reason, "message": message}
        listed = conditions.set(listed, new, now)
    elif failure is None:
        listed = conditions.remove(listed, "ReplicaFailure")
    status["conditions"] = listed
    optional = ("fullyLabeledReplicas", "readyReplicas", "availableReplicas", "conditions")
    return {k: v for k, v in status.items() if v or k not in optional}


class ReplicaSetController:
    """`resource_name` is replicasets.apps or replicationcontrollers: the same loop for both."""

    def __init__(self, context: Context, resource_name: str = "replicasets.apps", workers: str = "replicaset") -> None:
        self._context = context
        self._resource: Resource = resource(resource_name)
        self._client = context.client
        self._clock = context.clock
        self._queue = context.queue()
        self._expectations = Expectations()
        self._recorder = context.recorders(context.name)
        self._pod_control = PodControl(self._client, self._recorder)
        self._workers = context.options.workers(workers)
        self._owners = context.informer(resource_name)
        self._pods = context.informer("pods")
        self._pods.store.add_index(ownership.INDEX, ownership.by_controller)
        self._owners.store.add_index(ownership.INDEX, ownership.by_controller)
        self._owners.add_handler(self._enqueue, lambda old, new: self._enqueue(new), self._owner_deleted)
        self._pods.add_handler(self._pod_added, self._pod_updated, self._pod_deleted)

    async def run(self) -> None:
        await self._context.controller(self._queue, self.sync, self._workers).run()

    # --- what wakes it

    def _enqueue(self, owner: Obj) -> None:
        self._queue.add(key_of(owner))

    def _owner_deleted(self, owner: Obj) -> None:
        self._expectations.forget(key_of(owner))
        self._enqueue(owner)

    def _owner_key(self, pod: Obj) -> Key | None:
        ref = meta.controller_of(pod)
        if ref is None or ref["kind"] != self._resource.kind:
            return None
        return Key(meta.namespace(pod), ref["name"])

    def _pod_added(self, pod: Obj) -> None:
        if pods.is_terminating(pod):
            self._pod_deleted(pod)
        elif (key := self._owner_key(pod)) is not None:
            self._expectations.creation_observed(key)
            self._queue.add_after(key, SETTLE)
        elif meta.controller_of(pod) is None:
            self._orphan_seen(pod)

    def _pod_updated(self, old: Obj, new: Obj) -> None:
        if pods.is_terminating(new):
            self._pod_deleted(new)
            return
        old_key, key = self._owner_key(old), self._owner_key(new)
        if old_key is not None and old_key != key:
            self._queue.add(old_key)
        if key is not None:
            self._queue.add_after(key, SETTLE)
        elif meta.controller_of(new) is None and (old_key or meta.labels(old) != meta.labels(new)):
            self._orphan_seen(new)

    def _pod_deleted(self, pod: Obj) -> None:
        if (key := self._owner_key(pod)) is not None:
            self._expectations.deletion_observed(key, meta.uid(pod))
            self._queue.add_after(key, SETTLE)

    def _orphan_seen(self, pod: Obj) -> None:
        for owner in self._owners.store.by_index("namespace", meta.namespace(pod)):
            if self._selector(owner).matches(meta.labels(pod)):
                self._enqueue(owner)

    # --- the loop

    def _selector(self, owner: Obj) -> Selector:
        selector = owner["spec"].get("selector") or {}
        return labels.from_set(selector) if self._resource.group == "" else labels.from_selector(selector)

    async def sync(self, key: Key) -> float | None:
        owner = self._owners.store.get(key)
        if owner is None:
            self._expectations.forget(key)
            return None
        now = self._clock.now()
        satisfied = self._expectations.satisfied(key, now)
        found = ownership.candidates(self._pods.store, owner)
        owned = await ownership.claimed(self._client, owner, self._resource, self._selector(owner), found, PODS)
        active = [pod for pod in owned if pods.is_active(pod)]
        failure: Exception | None = None
        wrong = 0
        if satisfied and "deletionTimestamp" not in owner["metadata"]:
            decision = decide(owner, active, self._neighbours(owner, active), now)
            wrong = decision.create or -len(decision.delete)
            failure = await self._act(key, owner, decision, now)
        reason = ("FailedCreate" if wrong > 0 else "FailedDelete", str(failure)) if failure is not None else None
        status = compute_status(owner, owned, reason, now, terminating=self._resource.group == "apps")
        await update_status(self._client, self._resource, owner, status)
        if failure is not None:
            raise failure
        min_ready = owner["spec"].get("minReadySeconds") or 0
        return pods.next_available(active, min_ready, now) if min_ready else None

    async def _act(self, key: Key, owner: Obj, decision: Decision, now: float) -> Exception | None:
        if decision.create:
            self._expectations.expect_creations(key, decision.create, now)
            pod = pods.from_template(owner["spec"]["template"], owner)
            asked = 0

            async def create(_: int) -> None:
                nonlocal asked
                asked += 1
                try:
                    await self._pod_control.create(owner, pod)
                except Exception as error:
                    self._expectations.creation_observed(key)
                    if isinstance(error, ApiError) and is_terminating_namespace(error):
                        return
                    raise

            _, failure = await slow_start(decision.create, create)
            self._expectations.creation_observed(key, decision.create - asked)  # those that were not tried
            return failure
        if decision.delete:
            self._expectations.expect_deletions(key, {meta.uid(pod) for pod in decision.delete}, now)
            results = await asyncio.gather(*(self._delete(key, owner, pod) for pod in decision.delete))
            return next((result for result in results if result is not None), None)
        return None

    async def _delete(self, key: Key, owner: Obj, pod: Obj) -> Exception | None:
        try:
            await self._pod_control.delete(owner, pod)
        except (ApiError, OSError) as error:
            self._expectations.deletion_observed(key, meta.uid(pod))
            return None if isinstance(error, ApiError) and error.code == 404 else error
        return None

    def _neighbours(self, owner: Obj, active: list[Obj]) -> list[Obj]:
        """The active pods of all ReplicaSets with the same controller (a Deployment's old and new ones)."""
        ref = meta.controller_of(owner)
        if ref is None:
            return active
        related = self._owners.store.by_index(ownership.INDEX, ref["uid"])
        return [
            pod
            for one in related
            for pod in self._pods.store.by_index(ownership.INDEX, meta.uid(one))
            if pods.is_active(pod)
        ]


def replication_controller(context: Context) -> ReplicaSetController:
    return ReplicaSetController(context, "replicationcontrollers", "rc")
