"""The acting half of kubelet: bring one pod to what its spec says.

Each pod has a `Worker`, and a task only while there is something to do: a change of the object, an event of the
runtime, the verdict of a probe or the end of a waiting time mark it dirty, and `_run` syncs until it is clean.
Upstream: `pkg/kubelet/pod_workers.go`, `kubelet.go` (`SyncPod`, `SyncTerminatingPod`), `kuberuntime_manager.go`.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
from typing import Any

from workshop import trace
from workshop.api import meta
from workshop.clock import parse_rfc3339
from workshop.kubelet import cri, pods, restarts, status
from workshop.kubelet.actions import Health, Kill, PodActions, compute_pod_actions
from workshop.kubelet.allocation import Allocation
from workshop.kubelet.backoff import Backoff
from workshop.kubelet.container_kill import Killer
from workshop.kubelet.container_start import Starter
from workshop.kubelet.container_statuses import Facts
from workshop.kubelet.pod_parts import Parts, Worker, grace_of
from workshop.kubelet.pods import Obj, Observed
from workshop.kubelet.prober import Prober
from workshop.kubelet.termination_message import with_message
from workshop.kubelet.volumes import VolumeError

log = logging.getLogger(__name__)

RETRY = 1.0
SANDBOX_CHANGED = "Pod sandbox changed, it will be killed and re-created."


class PodWorkers:
    """All pods of this node, by uid."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.workers: dict[str, Worker] = {}
        self.backoff = Backoff()
        self.prober = Prober(parts.runtime, parts.clock, parts.shift, self._unwell, self.wake)
        self._killer = Killer(parts, self.prober)
        end = self._killer.kill_container
        self._starter = Starter(parts, self.backoff, self._observe, self._wake_later, end)
        self.log_directory = self._starter.log_directory
        self.allocation = Allocation(parts, self.workers, self.end, self.wake)
        self._closing = False
        self._born = parts.clock.now()

    # -- what happens --------------------------------------------------------------------------------------------

    def update(self, pod: Obj) -> None:
        """The object was added or changed."""
        uid = pod["metadata"]["uid"]
        worker = self.workers.get(uid)
        if worker is None:
            worker = self.workers[uid] = Worker(pod, pod, start_time=self.parts.clock.now())
        before = worker.api
        self.allocation.update(worker, pod)
        if _same_for_us(before, pod) and worker.seen:
            return
        worker.seen = True
        if pod["metadata"].get("deletionTimestamp") and worker.task and grace_of(pod) < grace_of(before):
            self._hurry(worker, grace_of(pod))
        self.wake(uid)

    def removed(self, pod: Obj) -> None:
        """The object is gone; what still runs is ended at once."""
        worker = self.workers.get(pod["metadata"]["uid"])
        if worker is None:
            return
        worker.gone = True
        if worker.task:
            self._hurry(worker, 0 if pod["metadata"].get("deletionTimestamp") else grace_of(pod))
        self.wake(pod["metadata"]["uid"])

    def wake(self, uid: str) -> None:
        """Look at a pod again."""
        worker = self.workers.get(uid)
        if worker is None or self._closing:
            return
        worker.dirty = True
        if worker.task is None:
            worker.task = asyncio.get_running_loop().create_task(self._run(uid, worker))

    def wake_all(self) -> None:
        for uid in list(self.workers):
            self.wake(uid)

    def _wake_later(self, worker: Worker, seconds: float) -> None:
        """Unless it is looked at earlier anyway."""
        loop, uid = asyncio.get_running_loop(), worker.pod["metadata"]["uid"]
        if worker.timer is not None:
            if not worker.timer.cancelled() and loop.time() < worker.timer.when() <= loop.time() + seconds:
                return
            worker.timer.cancel()
        worker.timer = loop.call_later(max(0.01, seconds), self.wake, uid)

    def _hurry(self, worker: Worker, grace: float) -> None:
        """A shorter grace period came while the pod was already ending."""

        async def stop() -> None:
            observed = await self._observe(worker.pod)
            for container in observed.running():
                try:
                    await self.parts.runtime.stop_container(container.id, grace)
                except cri.CriError as problem:
                    log.debug("hurrying %s: %s", container.id, problem)

        task = asyncio.get_running_loop().create_task(stop())
        worker.hurried.add(task)
        task.add_done_callback(worker.hurried.discard)

    async def close(self) -> None:
        """End all tasks without touching a container."""
        self._closing = True
        tasks = [worker.task for worker in self.workers.values() if worker.task]
        tasks += [task for worker in self.workers.values() for task in worker.hurried]
        for worker in self.workers.values():
            if worker.timer:
                worker.timer.cancel()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.allocation.close()
        await self.prober.close()

    # -- the loop of one pod -------------------------------------------------------------------------------------

    async def _run(self, uid: str, worker: Worker) -> None:
        try:
            while worker.dirty:
                worker.dirty = False
                try:
                    with trace.span("kubelet.sync", key=pods.full_name(worker.pod)):
                        trace.read(worker.pod)
                        await self._sync(worker)
                except (cri.CriError, VolumeError, OSError) as problem:
                    log.error("Error syncing pod, skipping: %s %s", pods.full_name(worker.pod), problem)
                    self._wake_later(worker, RETRY)
        except Exception:
            log.exception("pod worker of %s failed", pods.full_name(worker.pod))
            self._wake_later(worker, 10 * RETRY)
        finally:
            worker.task = None
            if worker.dirty and not self._closing:
                self.wake(uid)

    async def _observe(self, pod: Obj) -> Observed:
        uid = pod["metadata"]["uid"]
        sandboxes = await self.parts.runtime.list_pod_sandbox(uid)
        containers = await self.parts.runtime.list_containers(uid)
        if not self.parts.simulated:
            containers = [with_message(self.parts.volumes, pod, c) for c in containers]
        return Observed(tuple(sandboxes), tuple(containers))

    async def _sync(self, worker: Worker) -> None:
        pod = worker.pod
        if worker.finished:
            if worker.gone:
                await self._forget(worker)
            return
        deleting = worker.gone or bool(pod["metadata"].get("deletionTimestamp"))
        done = pods.is_terminal((pod.get("status") or {}).get("phase"))
        if worker.refused and not deleting:
            return
        if worker.held is None and not (deleting or done):
            if not await self._admit(worker):
                return
            pod = worker.pod
        if not deleting and not worker.killed[0] and not done:
            self._check_deadline(worker)
        if deleting or worker.killed[0] or done:
            await self._terminate(worker, deleting)
            return
        observed = await self._observe(pod)
        self._probe(worker, observed)  # first of all: what an earlier kubelet has said of them is taken over here
        anew = restarts.all_restart(pod, observed, self._told(worker))
        actions = compute_pod_actions(pod, observed, self._health(worker), anew=anew)
        if actions.remove:
            await self._begin_anew(worker, observed, actions)
            return
        if actions.create_sandbox and observed.sandbox() is not None:
            self.parts.event(pod, "Normal", "SandboxChanged", SANDBOX_CHANGED, "")
        if actions.kill_pod:
            await self._killer.kill_pod(pod, observed, grace_of(pod))
            observed = await self._observe(pod)
        for kill in actions.kill:
            await self._killer.kill_container(pod, observed, kill, grace_of(pod))
        if retry := await self.allocation.apply(worker, actions):
            self._wake_later(worker, retry)
        self._report(worker, observed)
        started = True
        if actions.create_sandbox:
            if not await self._starter.create_sandbox(worker, actions.attempt):
                return
            observed = await self._observe(pod)
            self._report(worker, observed)
        elif actions.start:
            await self.parts.fetch(pod)
        await self._prune(observed)
        for name in actions.start:
            started = await self._starter.start(worker, name) and started
        observed = await self._observe(pod)
        self._probe(worker, observed)
        self._report(worker, observed)
        if actions.kill or (actions.start and started):
            worker.dirty = True  # look again: the next init container, or one that ended meanwhile

    async def _begin_anew(self, worker: Worker, observed: Observed, actions: PodActions) -> None:
        """A container's end asked that all be restarted: they are taken away, and the next sync starts from nothing."""
        self._report(worker, observed)
        for name, identity, runs in actions.remove:
            if runs:
                kill = Kill(identity, name, "killing", "RestartAllContainers")
                await self._killer.kill_container(worker.pod, observed, kill, 0)
            self.prober.forget(identity)
            await self.parts.runtime.remove_container(identity)
        self._report(worker, await self._observe(worker.pod))
        worker.dirty = True

    async def _admit(self, worker: Worker) -> bool:
        refusal = await self.allocation.admit(worker)
        if refusal is None:
            return True
        worker.refused = True
        self.parts.event(worker.pod, "Warning", refusal.reason, refusal.message, "")
        told = status.refused(worker.pod, refusal.reason, refusal.message, self.parts.clock.now())
        self.parts.statuses.set(worker.pod, told)
        return False

    def _health(self, worker: Worker) -> Health:
        probed = self.prober
        failed = frozenset(probed.liveness_failed), frozenset(probed.startup_failed)
        return Health(*failed, dict(probed.started), worker.actual)

    def _check_deadline(self, worker: Worker) -> None:
        limit = worker.pod["spec"].get("activeDeadlineSeconds")
        if limit is None:
            return
        told = self._told(worker).get("startTime")
        left = (parse_rfc3339(told) if told else worker.start_time) + limit - self.parts.clock.now()
        if left > 0:
            self._wake_later(worker, left)
            return
        worker.killed = ("DeadlineExceeded", "Pod was active on the node longer than the specified deadline")
        self.parts.event(worker.pod, "Normal", "DeadlineExceeded", worker.killed[1], "")

    def end(self, uid: str, reason: str, message: str, disrupted: str, grace: float | None = None) -> None:
        """Kubelet itself ends the pod; its phase becomes Failed, with a condition that says for whom."""
        if worker := self.workers.get(uid):
            worker.killed, worker.disrupted, worker.grace = (reason, message), disrupted, grace
            self.wake(uid)

    def alive(self) -> list[Obj]:
        """The admitted pods that have not ended."""
        return [w.pod for w in self.workers.values() if w.held and not (w.gone or w.finished or w.killed[0])]

    def _told(self, worker: Worker) -> Obj:
        """The last status that was written, or will be."""
        told: Obj = self.parts.statuses.last(worker.pod["metadata"]["uid"]) or worker.pod.get("status") or {}
        return told

    def _report(self, worker: Worker, observed: Observed, *, stopped: bool = False) -> Obj:
        facts = Facts(
            ready=self.prober.ready,
            started=self.prober.started,
            waiting=worker.waiting,
            host_ip=self.parts.config.node_ip,
            start_time=worker.start_time,
            reason=worker.killed[0],
            message=worker.killed[1],
            disrupted=worker.disrupted,
            actual=worker.actual,
            resize=worker.resize,
            stopped=stopped,
            runtime=self.parts.runtime_name,
        )
        pod, last = worker.pod, self.parts.statuses.last(worker.pod["metadata"]["uid"])
        if last is not None:
            foreign = [c for c in (pod.get("status") or {}).get("conditions") or () if "/" in c["type"]]
            pod = {**pod, "status": {**last, "conditions": [*last["conditions"], *foreign]}}
        new = status.generate(pod, observed, facts, self.parts.clock.now())
        before_us = pods.is_terminal((worker.pod.get("status") or {}).get("phase")) and not observed.sandboxes
        if not (worker.gone or worker.refused or before_us):
            self.parts.statuses.set(worker.pod, new)
        return new

    async def refresh_volumes(self, uid: str) -> None:
        """A ConfigMap, Secret or token that the pod has mounted is newer."""
        worker = self.workers.get(uid)
        if worker is None or worker.finished or worker.gone or self.parts.simulated:
            return
        try:
            await self._starter.mount(worker, await self._observe(worker.pod))
        except VolumeError as problem:
            log.info("refreshing volumes of %s: %s", pods.full_name(worker.pod), problem)
        if worker.waiting:
            self.wake(uid)

    def _probe(self, worker: Worker, observed: Observed) -> None:
        if self.parts.simulated:
            return
        sandbox, told = observed.sandbox(), worker.pod.get("status") or {}
        before = {
            status["name"]: status
            for field in ("containerStatuses", "initContainerStatuses")
            for status in told.get(field) or ()
        }
        for container in [*pods.containers(worker.pod), *pods.init_containers(worker.pod)]:
            latest = observed.latest(container["name"])
            if latest is None or sandbox is None:
                continue
            if latest.state == cri.RUNNING:
                old = self._born - latest.started_at > 10
                said = before.get(container["name"]) if old else None
                self.prober.watch(worker.pod, container, latest, sandbox.ip, added=worker.start_time, told=said)
            else:
                self.prober.forget(latest.id)

    def _unwell(self, pod: Obj, reason: str, message: str, name: str) -> None:
        self.parts.event(pod, "Warning", reason, message, name)

    async def _prune(self, observed: Observed) -> None:
        """Keep the last two attempts of each container; older ones go."""
        for name in {container.name for container in observed.containers}:
            for old in observed.history(name)[2:]:
                if old.state == cri.EXITED:
                    self.prober.forget(old.id)
                    await self.parts.runtime.remove_container(old.id)

    # -- ending --------------------------------------------------------------------------------------------------

    async def _terminate(self, worker: Worker, deleting: bool) -> None:
        pod = worker.pod
        observed = await self._observe(pod)
        if observed.running():
            self._report(worker, observed)
        if observed.running() or any(s.state == cri.READY for s in observed.sandboxes):
            grace = grace_of(pod) if worker.grace is None else worker.grace
            grace = 0.0 if worker.gone and pod["metadata"].get("deletionTimestamp") else grace
            await self._killer.kill_pod(pod, observed, grace)
            observed = await self._observe(pod)
        self._report(worker, observed, stopped=True)
        worker.ended.set()
        self.allocation.retry()
        if worker.timer:
            worker.timer.cancel()
        if worker.gone:
            await self._forget(worker)
        elif worker.pod["metadata"].get("deletionTimestamp"):
            await self._cleanup(worker)
            worker.finished = True
            await self.parts.statuses.finish(pod)
            self.wake(pod["metadata"]["uid"])

    async def _cleanup(self, worker: Worker) -> None:
        uid = worker.pod["metadata"]["uid"]
        for container in await self.parts.runtime.list_containers(uid):
            self.prober.forget(container.id)
        for sandbox in await self.parts.runtime.list_pod_sandbox(uid):
            await self.parts.runtime.remove_pod_sandbox(sandbox.id)
        self.backoff.forget(uid)
        if not self.parts.simulated:
            self.parts.volumes.remove(uid)
            shutil.rmtree(self.log_directory(worker.pod), ignore_errors=True)

    async def _forget(self, worker: Worker) -> None:
        if not worker.finished:
            await self._cleanup(worker)
        if worker.timer:
            worker.timer.cancel()
        self.workers.pop(worker.pod["metadata"]["uid"], None)

    async def remove_orphans(self) -> None:
        """After the first list: end what we once started and what nobody asks for any more."""
        known = set(self.workers)
        for sandbox in await self.parts.runtime.list_pod_sandbox():
            if sandbox.uid not in known:
                log.info("removing orphaned pod %s/%s", sandbox.namespace, sandbox.name)
                await self.parts.runtime.remove_pod_sandbox(sandbox.id)
                if not self.parts.simulated:
                    self.parts.volumes.remove(sandbox.uid)
                    pod: Obj = {"metadata": {"name": sandbox.name, "namespace": sandbox.namespace, "uid": sandbox.uid}}
                    shutil.rmtree(self.log_directory(pod), ignore_errors=True)


def _same_for_us(old: Obj, new: Obj) -> bool:
    """True for a change that needs no sync, such as our own write of the status."""
    if old is new:
        return False
    before, after = old["metadata"], new["metadata"]
    keys: tuple[str, ...] = ("deletionTimestamp", "deletionGracePeriodSeconds", "labels", "annotations")
    gates = bool(new["spec"].get("readinessGates"))
    return (
        old["spec"] == new["spec"]
        and all(before.get(key) == after.get(key) for key in keys)
        and (not gates or _foreign(old) == _foreign(new))
        and meta.uid(old) == meta.uid(new)
    )


def _foreign(pod: Obj) -> list[Any]:
    found = (pod.get("status") or {}).get("conditions") or []
    return [(c["type"], c["status"]) for c in found if "/" in c["type"]]
