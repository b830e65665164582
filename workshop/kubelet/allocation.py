"""What each pod of this node may use, from its admission on; a resize in place asks for more or less.

Three states of a container's `resources`: *desired* (the spec), *allocated* (what the node has granted: `given` here,
`allocatedResources` in the status) and *actual* (what the runtime was told: `actual` here, `resources` in the status).
They differ while a resize waits for room (PodResizePending) or is being done (PodResizeInProgress). A new kubelet
reads the last two off the status that the last one has written.

Upstream: `pkg/kubelet/allocation/allocation_manager.go`.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Mapping
from typing import Any

from workshop.api import meta
from workshop.api.scheduling import requests
from workshop.kubelet import admission, configs, cri, pods, sysctls
from workshop.kubelet.actions import PodActions
from workshop.kubelet.admission import Held, NoVictims, Refusal
from workshop.kubelet.pod_parts import Parts, Worker
from workshop.kubelet.pods import Obj

log = logging.getLogger(__name__)

PENDING, IN_PROGRESS = "PodResizePending", "PodResizeInProgress"
RETRY, RETRY_FAILED = 180.0, 10.0
PREEMPTED = "Preempted in order to admit critical pod"

Given = dict[str, Any]
"""Container name → its `resources`; "" → the pod's own."""


def resizable(pod: Obj) -> list[Obj]:
    return [*pods.containers(pod), *pods.init_containers(pod)]


def desired(pod: Obj) -> Given:
    return {"": pod["spec"].get("resources"), **{c["name"]: c.get("resources") or {} for c in resizable(pod)}}


def reported(pod: Obj) -> Given:
    """What the status says is in force, for containers that have been made."""
    found = pod.get("status") or {}
    told = [*(found.get("containerStatuses") or ()), *(found.get("initContainerStatuses") or ())]
    return {status["name"]: status["resources"] for status in told if status.get("resources") is not None}


def granted(pod: Obj, given: Given) -> Obj:
    """The pod as it is allocated: the same object when that is what it desires."""
    if not given or all(_same(wanted, given.get(name, wanted)) for name, wanted in desired(pod).items()):
        return pod

    def put(container: Obj) -> Obj:
        return {**container, "resources": given[container["name"]]} if container["name"] in given else container

    spec = {**pod["spec"], "containers": [put(c) for c in pods.containers(pod)]}
    if pods.init_containers(pod):
        spec["initContainers"] = [put(c) for c in pods.init_containers(pod)]
    if given.get(""):
        spec["resources"] = given[""]
    return {**pod, "spec": spec}


def _same(one: Any, other: Any) -> bool:
    """By amounts: `1` and `1000m` are the same."""
    if one == other:
        return True
    ours, theirs = one or {}, other or {}
    return all(
        requests.amounts(ours.get(part)) == requests.amounts(theirs.get(part)) for part in ("requests", "limits")
    )


def message(pod: Obj, said: str, generation: int, error: str = "") -> str:
    """An event's text: what is wanted of each container, as JSON. Upstream: `pkg/kubelet/events/resize_msg.go`."""

    def summary(found: list[Obj]) -> list[Obj]:
        return [{"name": c["name"], "resources": _sorted(c.get("resources") or {})} for c in found]

    told: dict[str, Any] = {}
    if pods.init_containers(pod):
        told["initContainers"] = summary(pods.init_containers(pod))
    told |= {"containers": summary(pods.containers(pod)), "generation": generation}
    told |= {"error": error} if error else {}
    return f"{said}: {json.dumps(told, separators=(',', ':'))}"


def _sorted(resources: Obj) -> Obj:
    return {part: dict(sorted(resources[part].items())) for part in ("limits", "requests") if resources.get(part)}


def _condition(kind: str, reason: str, said: str, generation: int) -> Obj:
    found: Obj = {"type": kind, "status": "True", "observedGeneration": generation}
    return found | ({"reason": reason} if reason else {}) | ({"message": said} if said else {})


class Allocation:
    """Says who may run, and what each may use. `end(uid, reason, message, why)` ends a pod for a more important one."""

    def __init__(
        self,
        parts: Parts,
        workers: Mapping[str, Worker],
        end: Callable[[str, str, str, str], None],
        wake: Callable[[str], None],
    ) -> None:
        self._parts, self._workers, self._end, self._wake = parts, workers, end, wake
        self._one = asyncio.Lock()
        self._retry: asyncio.TimerHandle | None = None

    # -- admission -----------------------------------------------------------------------------------------------

    def _others(self, worker: Worker) -> list[Held]:
        """The admitted pods that are alive."""
        return [
            other.held
            for other in self._workers.values()
            if other is not worker and other.held is not None and self._alive(other)
        ]

    def _alive(self, worker: Worker) -> bool:
        if worker.gone or worker.finished or worker.refused:
            return False
        last = self._parts.statuses.last(worker.pod["metadata"]["uid"]) or worker.pod.get("status") or {}
        return not pods.is_terminal(last.get("phase"))

    async def admit(self, worker: Worker) -> Refusal | None:
        """Once for each pod, one after the other. One that an earlier kubelet has begun was admitted by it."""
        async with self._one:
            if worker.held is not None:
                return None
            begun = bool((worker.pod.get("status") or {}).get("startTime"))
            refusal = None if begun else await self._refusal(worker)
            if refusal is None:
                worker.actual = reported(worker.api)
                worker.given = {**desired(worker.api), **worker.actual}
                self._hold(worker)
                self._resize(worker)
            return refusal

    def _hold(self, worker: Worker) -> None:
        worker.pod = granted(worker.api, worker.given)
        worker.held = Held(worker.pod)

    async def _refusal(self, worker: Worker) -> Refusal | None:
        pod = worker.pod
        if refusal := admission.not_for_this_system(pod) or sysctls.refusal(pod):
            return refusal
        found = admission.failures(pod, self._others(worker), self._seen())
        if found and {failure.name for failure in found} == {admission.NODE_AFFINITY}:
            # the node's labels may be newer than what we have seen
            found = admission.failures(pod, self._others(worker), self._seen(await self._parts.fresh_node()))
        if not found:
            return None
        if not admission.is_critical(pod):
            return admission.refusal(found)
        if other_reasons := [failure for failure in found if not failure.resource]:
            return admission.refusal(other_reasons)
        try:
            await self._make_room(worker, found)
        except NoVictims as problem:
            said = (
                "Unexpected error while attempting to recover from admission failure: preemption: error finding a set"
            )
            return Refusal("UnexpectedAdmissionError", f"{said} set of pods to preempt: {problem}")
        return None

    async def _make_room(self, worker: Worker, found: list[admission.Failure]) -> None:
        going = admission.victims(worker.pod, self._others(worker), found)
        for held in going:
            victim = self._workers[meta.uid(held.pod)]
            self._parts.event(victim.pod, "Warning", "Preempting", PREEMPTED, "")
            said = "Pod was preempted by Kubelet to accommodate a critical pod."
            self._end(meta.uid(held.pod), "Preempting", PREEMPTED, said)
            await victim.ended.wait()

    def _seen(self, node: Obj | None = None) -> Obj:
        """The Node; what can be had is our own count until the API has it."""
        node = node or self._parts.node()
        status = node.get("status") or {}
        found = {"metadata": {}, **node}
        found["metadata"] = {**found["metadata"], "name": self._parts.config.node_name}
        return {**found, "status": {**status, "allocatable": status.get("allocatable") or self._parts.allocatable}}

    # -- resize in place -----------------------------------------------------------------------------------------

    def update(self, worker: Worker, api: Obj) -> None:
        """The object was changed: take it over, with what is allocated in the place of what is desired."""
        worker.api = api
        worker.pod = granted(api, worker.given)
        if worker.held is not None:
            self._resize(worker)

    def _resize(self, worker: Worker) -> None:
        """Grant what is desired, if there is room."""
        if worker.pod is worker.api:
            worker.resize.pop(PENDING, None)
            return
        uid, generation = meta.uid(worker.api), worker.api["metadata"].get("generation") or 0
        if not self._alive(worker) or worker.api["metadata"].get("deletionTimestamp"):
            return
        found = admission.failures(worker.api, self._others(worker), self._seen())
        if not found:
            worker.given = desired(worker.api)
            self._hold(worker)
            worker.resize = {IN_PROGRESS: _condition(IN_PROGRESS, "", "", generation)}
            said = message(worker.api, "Pod resize started", generation)
            self._parts.event(worker.api, "Normal", "ResizeStarted", said, "")
        else:
            why = admission.refusal(found).message
            was = worker.resize.get(PENDING)
            worker.resize[PENDING] = _condition(PENDING, "Deferred", why, generation)
            if was is None or was["observedGeneration"] != generation:
                said = message(worker.api, "Pod resize Deferred", generation, why)
                self._parts.event(worker.api, "Warning", "ResizeDeferred", said, "")
            self._retry_later()
        self._wake(uid)

    async def apply(self, worker: Worker, actions: PodActions) -> float:
        """Tell the runtime what was granted. Seconds until it is worth another try; 0 when it is done.

        Memory is not taken away from under what uses it.
        """
        for name, identity in actions.update:
            container = pods.container_named(worker.pod, name) or {}
            wanted = configs.resources(worker.pod, container, self._parts.memory)
            used = (await self._parts.runtime.container_stats(identity)).get("memory_bytes", 0)
            try:
                if wanted.memory_limit and used >= wanted.memory_limit:
                    limit = f"memory limit ({wanted.memory_limit}) below current usage ({used:.0f})"
                    said = f'cannot decrease memory limits: attempting to set container "{name}" {limit}'
                    raise cri.CriError(said)
                await self._parts.runtime.update_container_resources(identity, wanted)
            except cri.CriError as problem:
                self._failed(worker, str(problem))
                return RETRY_FAILED
            worker.actual[name] = container.get("resources") or {}
        if not actions.kill:
            self._done(worker)
        return 0

    def _failed(self, worker: Worker, error: str) -> None:
        was = worker.resize.get(IN_PROGRESS) or {}
        generation = was.get("observedGeneration") or worker.api["metadata"].get("generation") or 0
        if (was.get("reason"), was.get("message")) != ("Error", error):
            said = message(worker.pod, "Pod resize error", generation, error)
            self._parts.event(worker.pod, "Warning", "ResizeError", said, "")
        worker.resize[IN_PROGRESS] = _condition(IN_PROGRESS, "Error", error, generation)

    def _done(self, worker: Worker) -> None:
        """Allocated and actual are the same again."""
        was = worker.resize.pop(IN_PROGRESS, None)
        if was is not None:
            said = message(worker.pod, "Pod resize completed", was["observedGeneration"])
            self._parts.event(worker.pod, "Normal", "ResizeCompleted", said, "")
            self.retry()

    def retry(self) -> None:
        """Room may have come: smaller wishes first, then more important pods, then those that came first."""
        waiting = [worker for worker in self._workers.values() if PENDING in worker.resize]
        ranks = ["Guaranteed", "Burstable", "BestEffort"]

        def rank(worker: Worker) -> tuple[bool, int, int]:
            held, wanted = requests.pod_requests(worker.pod), requests.pod_requests(worker.api)
            grows = any(wanted.get(name, 0) > held.get(name, 0) for name in ("cpu", "memory"))
            return grows, -(worker.api["spec"].get("priority") or 0), ranks.index(pods.qos_class(worker.api))

        for worker in sorted(waiting, key=rank):
            self._resize(worker)

    def _retry_later(self) -> None:
        if self._retry is not None:
            self._retry.cancel()
        self._retry = asyncio.get_running_loop().call_later(RETRY, self.retry)

    def close(self) -> None:
        if self._retry is not None:
            self._retry.cancel()
