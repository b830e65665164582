"""Job: run pods until enough of them have succeeded. Upstream: `pkg/controller/job`. Decisions: `job_tally`
(counting), `job_util`, and `job_policies` for what a Job says about failed pods, single indexes and early success.
"""

from __future__ import annotations

import asyncio

from workshop.api import labels, meta
from workshop.api.errors import ApiError
from workshop.api.meta import Key, Obj, key_of
from workshop.api.resources import resource

from . import job_util as util
from . import ownership
from .base import Context, all_of, slow_start, update_status
from .expectations import Expectations
from .job_tally import FINALIZER, Tally, tally
from .pod_control import PODS, PodControl

JOBS = resource("jobs.batch")
SETTLE = 0.02


class JobController:
    def __init__(self, context: Context) -> None:
        self._context = context
        self._client = context.client
        self._clock = context.clock
        self._queue = context.queue()
        self._orphans = context.queue()
        self._expectations = Expectations()
        self._recorder = context.recorders("job-controller")
        self._pod_control = PodControl(self._client, self._recorder)
        self._jobs = context.informer("jobs.batch")
        self._pods = context.informer("pods")
        self._pods.store.add_index(ownership.INDEX, ownership.by_controller)
        self._jobs.add_handler(self._enqueue, lambda old, new: self._enqueue(new), self._job_deleted)
        self._pods.add_handler(self._pod_added, self._pod_updated, self._pod_deleted)

    def _enqueue(self, job: Obj) -> None:
        self._queue.add(key_of(job))

    def _job_deleted(self, job: Obj) -> None:
        self._expectations.forget(key_of(job))
        for pod in self._pods.store.by_index(ownership.INDEX, meta.uid(job)):
            self._orphans.add(key_of(pod))

    def _owner(self, pod: Obj) -> Key | None:
        ref = meta.controller_of(pod)
        return Key(meta.namespace(pod), ref["name"]) if ref is not None and ref["kind"] == "Job" else None

    def _pod_added(self, pod: Obj) -> None:
        if (key := self._owner(pod)) is not None:
            self._expectations.creation_observed(key)
        self._pod_changed(pod)

    def _pod_updated(self, old: Obj, new: Obj) -> None:
        if (before := self._owner(old)) is not None and before != self._owner(new):
            self._queue.add_after(before, SETTLE)
        self._pod_changed(new)

    def _pod_changed(self, pod: Obj) -> None:
        if "deletionTimestamp" in pod["metadata"]:
            self._pod_deleted(pod)
            return
        self._wake(pod)

    def _pod_deleted(self, pod: Obj) -> None:
        if (key := self._owner(pod)) is not None:
            self._expectations.deletion_observed(key, meta.uid(pod))
        self._wake(pod)

    def _wake(self, pod: Obj) -> None:
        key = self._owner(pod)
        if key is None and meta.controller_of(pod) is None:
            wanting = [key_of(job) for job in self._jobs.store.list() if _wants(job, pod)]
            for each in wanting:
                self._queue.add_after(each, SETTLE)
            if wanting:
                return
        if key is not None:
            self._queue.add_after(key, SETTLE)
        if FINALIZER in meta.finalizers(pod):
            job = self._jobs.store.get(key) if key is not None else None
            if job is None or meta.uid(job) != (meta.controller_of(pod) or {}).get("uid"):
                self._orphans.add_after(key_of(pod), SETTLE)

    async def run(self) -> None:
        workers = self._context.options.workers("job")
        async with asyncio.TaskGroup() as group:
            group.create_task(self._context.controller(self._queue, self.sync, workers).run())
            group.create_task(self._context.controller(self._orphans, self.sync_orphan, 1).run())

    async def sync_orphan(self, key: Key) -> None:
        """A pod whose Job is gone: nobody will count it, so nothing may hold it."""
        pod = self._pods.store.get(key)
        if pod is None or FINALIZER not in meta.finalizers(pod):
            return
        ref = meta.controller_of(pod)
        if ref is not None and ref["kind"] == "Job":
            try:
                job = await self._client.get(JOBS, ref["name"], key.namespace)
            except ApiError as error:
                if error.code != 404:
                    raise
            else:
                if meta.uid(job) == ref["uid"]:
                    return
        await self._release(pod)

    async def sync(self, key: Key) -> float | None:
        job = self._jobs.store.get(key)
        if job is None or job["spec"].get("managedBy") not in (None, "", "kubernetes.io/job-controller"):
            return None
        now = self._clock.now()
        satisfied = self._expectations.satisfied(key, now)
        selector = labels.from_selector(job["spec"]["selector"])
        found = ownership.candidates(self._pods.store, job)
        if util.finished(job) is not None:
            owned = ownership.claim(job, selector, found).owned
            await all_of(self._release(pod) for pod in owned if FINALIZER in meta.finalizers(pod))
            return None
        owned = await ownership.claimed(self._client, job, JOBS, selector, found, PODS, FINALIZER)
        counted = tally(job, owned)
        decided = util.verdict(job, counted, now)
        failure: Exception | None = None
        wait: float | None = None
        if satisfied and "deletionTimestamp" not in job["metadata"]:
            plan = util.plan(job, counted, decided is not None, now)
            wait = plan.wait
            failure = await self._act(key, job, plan, counted, now)
        status, events = util.compute_status(job, counted, decided, now)
        await update_status(self._client, JOBS, job, status)
        for kind, reason, message in events:
            self._recorder.event(job, kind, reason, message)
        await all_of(self._release(pod) for pod in counted.release)
        if failure is not None:
            raise failure
        waits = [w for w in (wait, util.deadline_left({**job, "status": status}, now)) if w is not None and w > 0]
        return min(waits, default=None)

    async def _act(self, key: Key, job: Obj, plan: util.Plan, counted: Tally, now: float) -> Exception | None:
        if not plan.create and not plan.delete:
            return None
        self._expectations.expect(key, len(plan.create), {meta.uid(pod) for pod in plan.delete}, now)
        asked = 0

        async def create(i: int) -> None:
            nonlocal asked
            asked += 1
            try:
                counted.active.append(
                    await self._pod_control.create(
                        job, util.new_pod(job, plan.create[i], plan.replaced.get(plan.create[i]))
                    )
                )
            except Exception:
                self._expectations.creation_observed(key)
                raise

        async def delete(pod: Obj) -> None:
            try:
                await self._pod_control.delete(job, pod)
            except (ApiError, OSError) as error:
                self._expectations.deletion_observed(key, meta.uid(pod))
                if not (isinstance(error, ApiError) and error.code == 404):
                    raise
            else:
                counted.active.remove(pod)
                counted.terminating += 1

        _, failure = await slow_start(len(plan.create), create)
        self._expectations.creation_observed(key, len(plan.create) - asked)
        results = await asyncio.gather(*map(delete, plan.delete), return_exceptions=True)
        failures = [r for r in results if isinstance(r, Exception)]
        return failure or (failures[0] if failures else None)

    async def _release(self, pod: Obj) -> None:
        patch = {"metadata": {"uid": meta.uid(pod), "$deleteFromPrimitiveList/finalizers": [FINALIZER]}}
        try:
            await self._client.patch(PODS, meta.name(pod), patch, meta.namespace(pod))
        except ApiError as error:
            if error.code not in (404, 409, 422):
                raise


def _wants(job: Obj, pod: Obj) -> bool:
    """Whether the Job would adopt a pod that is nobody's."""
    return meta.namespace(job) == meta.namespace(pod) and labels.from_selector(job["spec"]["selector"]).matches(
        meta.labels(pod)
    )
