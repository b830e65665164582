"""The loop around the cycle: informers fill cache and queue, decisions become bindings.

Decide, then act: `framework.schedule` and `preemption.preempt` decide, without waiting for anything; what they decide
is written by tasks of which many run at once, while the next pod is being decided upon. Upstream:
`pkg/scheduler/schedule_one.go`, `pkg/scheduler/eventhandlers.go`.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Coroutine, Mapping
from random import Random
from typing import Any, Protocol

from workshop import trace
from workshop.api import conditions, meta
from workshop.api.errors import ApiError, is_not_found
from workshop.api.meta import Obj
from workshop.api.resources import resource
from workshop.client.rest import Client
from workshop.clock import Clock, rfc3339
from workshop.scheduler import events
from workshop.scheduler.cache import Cache
from workshop.scheduler.framework import Decision, Event, Framework, schedule
from workshop.scheduler.node_info import PodInfo, Snapshot
from workshop.scheduler.preemption import Victims, preempt
from workshop.scheduler.queue import QueuedPod, SchedulingQueue

log = logging.getLogger(__name__)

PODS = resource("pods")
MAX_BINDING = 100
"""Bindings under way at once."""


class EventSink(Protocol):
    """What is asked of `client.events.Recorder`."""

    def event(
        self, obj: Obj, type: str, reason: str, message: str, *, action: str = "", related: Obj | None = None
    ) -> None: ...


class Budgets(Protocol):
    def list(self) -> list[Obj]: ...


class Scheduler:
    """`frameworks` is schedulerName → profile, `recorders` schedulerName → where its events go."""

    def __init__(
        self,
        client: Client,
        frameworks: Mapping[str, Framework],
        recorders: Mapping[str, EventSink],
        clock: Clock,
        random: Random,
        budgets: Budgets | None = None,
    ) -> None:
        self.client, self.frameworks, self.recorders = client, frameworks, recorders
        self.clock, self.random, self.budgets = clock, random, budgets
        self.cache = Cache()
        self.queue = SchedulingQueue(self._interested)
        self.results: Counter[str] = Counter()
        """How many tries ended how: scheduled, unschedulable, error."""
        self._wake = asyncio.Event()
        self._binding = asyncio.Semaphore(MAX_BINDING)
        self._tasks: set[asyncio.Task[None]] = set()
        self._start = 0

    def _interested(self, pod: PodInfo, refused_by: frozenset[str], event: Event) -> bool:
        framework = self._framework(pod)
        return framework is not None and framework.interested(pod, refused_by, event)

    def _framework(self, pod: PodInfo) -> Framework | None:
        return self.frameworks.get(_profile(pod))

    def _event(self, pod: PodInfo, type: str, reason: str, message: str, action: str) -> None:
        self.recorders[_profile(pod)].event(pod.pod, type, reason, message, action=action)

    def _now(self) -> float:
        return self.clock.monotonic()

    # --- what informers tell

    def node_added(self, node: Obj) -> None:
        self.cache.set_node(node)
        self._happened(events.node_added(node))

    def node_changed(self, old: Obj, new: Obj) -> None:
        self.cache.set_node(new)
        self._happened(events.node_changed(old, new))

    def node_removed(self, node: Obj) -> None:
        self.cache.remove_node(meta.name(node))
        self._happened([Event("Node/Delete", node, None)])

    def pod_added(self, obj: Obj) -> None:
        pod = PodInfo(obj)
        if pod.node_name:
            self._placed(pod)
            self._happened([Event("Pod/Add", None, obj)])
        else:
            self._pending(pod)

    def pod_changed(self, old: Obj, new: Obj) -> None:
        if meta.uid(old) != meta.uid(new):  # deleted and made again behind our back
            self.pod_removed(old)
            self.pod_added(new)
            return
        pod, was_placed = PodInfo(new), bool((old.get("spec") or {}).get("nodeName"))
        if pod.node_name:
            self._placed(pod)
            self._happened(events.pod_changed(old, new) if was_placed else [Event("Pod/Add", None, new)])
        elif not self.cache.is_assumed(pod.key):
            self._pending_changed(pod, old, new)

    def pod_removed(self, obj: Obj) -> None:
        key = meta.key_of(obj)
        placed = self.cache.remove_pod(key)
        self.cache.unnominate(key)
        self.queue.remove(key)
        if placed is not None or (obj.get("spec") or {}).get("nodeName"):
            self._happened([Event("Pod/Delete", obj, None)])

    def objects_changed(self, what: str, old: Obj | None, new: Obj) -> None:
        """`what` is Claim/Change (also of classes), Volume/Change or ResourceClaim/Change."""
        self._happened([Event(what, old, new)])

    def namespace_changed(self, namespace: Obj) -> None:
        self.cache.namespaces[meta.name(namespace)] = meta.labels(namespace)

    def namespace_removed(self, namespace: Obj) -> None:
        self.cache.namespaces.pop(meta.name(namespace), None)

    def _placed(self, pod: PodInfo) -> None:
        self.queue.remove(pod.key)
        self.cache.set_pod(pod)

    def _pending(self, pod: PodInfo) -> None:
        framework = self._framework(pod)
        if framework is None or pod.terminating:
            return  # somebody else's, or going
        status = framework.pre_enqueue(pod)
        if pod.nominated_node:
            self.cache.nominate(pod, pod.nominated_node)
        self.queue.add(pod, self._now(), status.plugin if status else "")
        self._wake.set()

    def _pending_changed(self, pod: PodInfo, old: Obj, new: Obj) -> None:
        framework = self._framework(pod)
        if framework is None:
            return
        if pod.terminating:
            self.queue.remove(pod.key)
            self.cache.unnominate(pod.key)
            return
        if framework.pre_enqueue(pod) is None:
            self.queue.ungate(pod, self._now())
        self.queue.update(pod, self._now(), events.pod_changed(old, new))
        self._wake.set()

    def _happened(self, what: list[Event]) -> None:
        for event in what:
            self.queue.event(event, self._now())
        if what:
            self._wake.set()

    # --- the loop

    async def run(self) -> None:
        """Schedule until cancelled."""
        try:
            while True:
                queued = self.queue.pop(self._now())
                if queued is None:
                    await self._rest()
                    continue
                self._one(queued)
                await asyncio.sleep(0)  # let bindings go out
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _rest(self) -> None:
        """Until something happens, or a pod has backed off long enough."""
        self._wake.clear()
        at = self.queue.next_time()
        if at is None:
            await self._wake.wait()
            return
        woken = asyncio.ensure_future(self._wake.wait())
        timer = asyncio.ensure_future(self.clock.sleep(max(0.0, at - self._now())))
        try:
            await asyncio.wait([woken, timer], return_when=asyncio.FIRST_COMPLETED)
        finally:
            woken.cancel()
            timer.cancel()

    def _one(self, queued: QueuedPod) -> None:
        """One scheduling cycle."""
        pod = queued.pod
        framework = self._framework(pod)
        assert framework is not None
        snapshot = self.cache.snapshot()
        decision = schedule(framework, pod, snapshot, self.random, self._start)
        self._start += len(decision.diagnosis) + 1
        if decision.node:
            self.cache.assume(pod, decision.node)
            self._spawn(self._bind(queued, decision.node))
        else:
            self._refused(framework, queued, decision, snapshot)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # --- a node was found

    async def _bind(self, queued: QueuedPod, node: str) -> None:
        pod = queued.pod
        with trace.span("scheduler.bind", key=f"{pod.key.namespace}/{pod.key.name}", node=node):
            trace.read(pod.pod)
            await self._bind_once(queued, node)

    async def _bind_once(self, queued: QueuedPod, node: str) -> None:
        pod = queued.pod
        async with self._binding:
            try:
                await self.client.create(
                    PODS, binding(pod, node), pod.key.namespace, name=pod.key.name, subresource="binding"
                )
            except (ApiError, OSError) as error:
                self._not_bound(queued, node, error)
                return
        self.results["scheduled"] += 1
        where = f"{pod.key.namespace}/{pod.key.name}"
        self._event(pod, "Normal", "Scheduled", f"Successfully assigned {where} to {node}", "Binding")
        log.debug("bound %s to %s", pod.key, node)

    def _not_bound(self, queued: QueuedPod, node: str, error: Exception) -> None:
        pod = queued.pod
        if not self.cache.is_assumed(pod.key):
            return  # deleted, or bound after all: the informer said so meanwhile
        self.cache.forget(pod.key)
        if is_not_found(error):
            return
        self.results["error"] += 1
        log.warning("binding %s to %s failed: %s", pod.key, node, error)
        self._event(pod, "Warning", "FailedScheduling", f"binding rejected: {error}", "Scheduling")
        self._happened([Event("Pod/Delete", pod.pod, None)])  # the room it had taken is free again
        self.queue.failed(queued, self._now(), frozenset())
        self._wake.set()

    # --- none was found

    def _refused(self, framework: Framework, queued: QueuedPod, decision: Decision, snapshot: Snapshot) -> None:
        pod = queued.pod
        self.results["unschedulable"] += 1
        budgets = self.budgets.list() if self.budgets is not None else []
        nominated, text = "", ""
        victims: Victims | None = None
        if decision.all_nodes:
            outcome = preempt(framework, pod, decision, snapshot, budgets)
            victims, text = outcome.victims, outcome.message
            if victims is not None:
                nominated = victims.node
                self.cache.nominate(pod, nominated)
            elif pod.nominated_node and not any(s.resolvable for s in decision.diagnosis.values()):
                self.cache.unnominate(pod.key)
        message = decision.message(text)
        self.queue.failed(queued, self._now(), self._waits_for(queued, decision, nominated))
        log.info("unable to schedule pod; no fit; waiting: %s: %s", pod.key, message)
        self._event(pod, "Warning", "FailedScheduling", message, "Scheduling")
        self._spawn(self._tell(pod, message, nominated, victims))
        self._wake.set()

    def _waits_for(self, queued: QueuedPod, decision: Decision, nominated: str) -> frozenset[str]:
        """The plugins whose events wake the pod again."""
        if not decision.all_nodes:
            queued.attempts = 0  # the first node is reason enough to try at once
            return frozenset({"NodeName"})
        return decision.plugins | {"NodeResourcesFit"} if nominated else decision.plugins

    async def _tell(self, pod: PodInfo, message: str, nominated: str, victims: Victims | None) -> None:
        """Write the reason into the pod's status, and evict the victims."""
        with trace.span("scheduler.refuse", key=f"{pod.key.namespace}/{pod.key.name}", why=message):
            trace.read(pod.pod)
            await self._tell_once(pod, message, nominated, victims)

    async def _tell_once(self, pod: PodInfo, message: str, nominated: str, victims: Victims | None) -> None:
        try:
            patch = refusal(pod.pod, message, nominated, self.clock.now())
            if patch:
                await self.client.patch(PODS, pod.key.name, patch, pod.key.namespace, subresource="status")
            for victim in victims.pods if victims is not None else ():
                await self._evict(victim, pod)
        except (ApiError, OSError) as error:
            if not is_not_found(error):
                log.warning("updating pod %s failed: %s", pod.key, error)
                self.cache.unnominate(pod.key)

    async def _evict(self, victim: PodInfo, by: PodInfo) -> None:
        name, namespace = victim.key.name, victim.key.namespace
        try:
            condition = {
                "type": "DisruptionTarget",
                "status": "True",
                "reason": "PreemptionByScheduler",
                "message": "preempting to accommodate a higher priority pod",
                "lastTransitionTime": rfc3339(self.clock.now()),
            }
            condition = conditions.observed(condition, victim.pod)
            patch = {"metadata": {"uid": victim.uid}, "status": {"conditions": [condition]}}
            await self.client.patch(PODS, name, patch, namespace, subresource="status")
            await self.client.delete(PODS, name, namespace, uid=victim.uid)
        except ApiError as error:
            if not is_not_found(error):
                raise
            return
        text = f"Preempted by pod {by.uid} on node {victim.node_name}"
        recorder = self.recorders[_profile(by)]
        recorder.event(victim.pod, "Normal", "Preempted", text, action="Preempting", related=by.pod)


def _profile(pod: PodInfo) -> str:
    return pod.spec.get("schedulerName") or "default-scheduler"


def binding(pod: PodInfo, node: str) -> Obj:
    """What DefaultBinder posts. The uid keeps a pod of the same name made meanwhile from being bound."""
    metadata = {"name": pod.key.name, "namespace": pod.key.namespace, "uid": pod.uid}
    target = {"kind": "Node", "name": node}
    return {"apiVersion": "v1", "kind": "Binding", "metadata": metadata, "target": target}


def refusal(pod: Obj, message: str, nominated: str, now: float) -> Obj | None:
    """The patch of the pod's status; None when it says that already."""
    told = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    told = conditions.observed(told, pod)
    status = pod.get("status") or {}
    before = status.get("conditions") or []
    after = conditions.find(conditions.set(before, told, now), "PodScheduled")
    patch: Obj = {}
    if after != conditions.find(before, "PodScheduled"):
        patch["conditions"] = [after]
    if nominated and status.get("nominatedNodeName") != nominated:
        patch["nominatedNodeName"] = nominated
    return {"metadata": {"uid": meta.uid(pod)}, "status": patch} if patch else None


def without_bulk(obj: Obj) -> Obj:
    """An object as it is kept in the cache: who managed which field is of no interest here."""
    metadata = obj.get("metadata") or {}
    if "managedFields" not in metadata:
        return obj
    return {**obj, "metadata": {key: value for key, value in metadata.items() if key != "managedFields"}}


def only_selector(obj: Obj) -> Obj:
    """Of Services and controllers only name and selector matter."""
    metadata = obj.get("metadata") or {}
    keep = {key: metadata[key] for key in ("name", "namespace", "uid", "resourceVersion") if key in metadata}
    return {"metadata": keep, "spec": {"selector": (obj.get("spec") or {}).get("selector")}}
