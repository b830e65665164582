"""Deployment: replace the pods of one template by those of another. Upstream: `pkg/controller/deployment`.

A Deployment makes no pods. It keeps one ReplicaSet a template and moves replicas from the old ones to the new one; the
arithmetic of that is in `deployment_util`. Each sync does one step: it scales one side up or the other down, writes the
status, and is woken again when the ReplicaSets have followed.
"""

from __future__ import annotations

from typing import Any

from workshop.api import conditions, labels, meta
from workshop.api.errors import ApiError, is_terminating_namespace
from workshop.api.meta import Key, Obj, key_of
from workshop.api.resources import resource

from . import deployment_util as util
from . import ownership, pods
from .base import Context, all_of, enqueue_owner, update_status
from .hashing import template_hash

DEPLOYMENTS = resource("deployments.apps")
REPLICA_SETS = resource("replicasets.apps")


class DeploymentController:
    def __init__(self, context: Context) -> None:
        self._context = context
        self._client = context.client
        self._clock = context.clock
        self._queue = context.queue()
        self._recorder = context.recorders("deployment-controller")
        self._deployments = context.informer("deployments.apps")
        self._sets = context.informer("replicasets.apps")
        self._sets.store.add_index(ownership.INDEX, ownership.by_controller)
        self._pods = context.informer("pods")
        self._pods.store.add_index(ownership.INDEX, ownership.by_controller)
        self._deployments.add_handler(self._enqueue, lambda old, new: self._enqueue(new), self._enqueue)
        self._sets.add_handler(self._set_seen, self._set_updated, enqueue_owner(self._queue, "Deployment"))
        self._pods.add_handler(on_delete=self._pod_deleted)

    async def run(self) -> None:
        await self._context.controller(self._queue, self.sync, self._context.options.workers("deployment")).run()

    def _enqueue(self, d: Obj) -> None:
        self._queue.add(key_of(d))

    def _set_seen(self, rs: Obj) -> None:
        if meta.controller_of(rs) is not None:
            enqueue_owner(self._queue, "Deployment")(rs)
            return
        for d in self._deployments.store.by_index("namespace", meta.namespace(rs)):
            if labels.from_selector(d["spec"]["selector"]).matches(meta.labels(rs)):
                self._enqueue(d)

    def _set_updated(self, old: Obj, new: Obj) -> None:
        if meta.controller_of(old) != meta.controller_of(new):
            enqueue_owner(self._queue, "Deployment")(old)
            self._set_seen(new)
        elif meta.controller_of(new) is not None or meta.labels(old) != meta.labels(new):
            self._set_seen(new)

    def _pod_deleted(self, pod: Obj) -> None:
        """Recreate waits for the last old pod to go."""
        ref = meta.controller_of(pod)
        if ref is None or ref["kind"] != "ReplicaSet":
            return
        rs = self._sets.store.get(Key(meta.namespace(pod), ref["name"]))
        owner = meta.controller_of(rs) if rs is not None else None
        if owner is None:
            return
        key = Key(meta.namespace(pod), owner["name"])
        d = self._deployments.store.get(key)
        if d is not None and not util.is_rolling(d):
            self._queue.add(key)

    # --- the loop

    async def sync(self, key: Key) -> float | None:
        d = self._deployments.store.get(key)
        if d is None:
            return None
        selector = labels.from_selector(d["spec"]["selector"])
        if selector.empty:
            text = "This deployment is selecting all pods. A non-empty selector is required."
            self._recorder.event(d, "Warning", "SelectingAll", text)
            return None
        found = ownership.candidates(self._sets.store, d)
        sets = await ownership.claimed(self._client, d, DEPLOYMENTS, selector, found, REPLICA_SETS)
        rollout = _Rollout(self, d, sets)
        if "deletionTimestamp" in d["metadata"]:
            return await rollout.status_only()
        await rollout.note_pause()
        if d["spec"].get("paused") or rollout.is_scaling():
            return await rollout.scale()
        return await (rollout.rolling() if util.is_rolling(d) else rollout.recreate())

    def pods_of(self, sets: list[Obj]) -> list[Obj]:
        return [pod for rs in sets for pod in self._pods.store.by_index(ownership.INDEX, meta.uid(rs))]


class _Rollout:
    """One sync of one Deployment."""

    def __init__(self, controller: DeploymentController, d: Obj, sets: list[Obj]) -> None:
        self._client = controller._client
        self._clock = controller._clock
        self._recorder = controller._recorder
        self._pods_of = controller.pods_of
        self.d = d
        self.sets = sets

    async def rolling(self) -> float | None:
        new = await self._new(create=True)
        assert new is not None
        wanted = util.new_size(self.d, self.sets, new)
        if wanted != util.size(new):
            await self._resize(new, wanted)
            return await self._finish()
        olds = util.active([rs for rs in self.sets if meta.uid(rs) != meta.uid(new)])
        plan = util.scale_down_plan(self.d, self.sets, new, olds)
        if plan:
            for rs in olds:
                if meta.name(rs) in plan:
                    await self._resize(rs, plan[meta.name(rs)])
        return await self._finish(cleanup=not plan)

    async def recreate(self) -> float | None:
        """All old pods go before the first new one comes."""
        new = await self._new(create=False)
        olds = [rs for rs in self.sets if new is None or meta.uid(rs) != meta.uid(new)]
        shrinking = util.active(olds)
        if shrinking:
            for rs in shrinking:
                await self._resize(rs, 0)
            return await self._finish()
        if any(not pods.is_finished(pod) for pod in self._pods_of(olds)):
            return await self._finish()
        new = await self._new(create=True)
        assert new is not None
        if util.size(new) != util.size(self.d):
            await self._resize(new, util.size(self.d))
        return await self._finish(cleanup=True)

    async def scale(self) -> float | None:
        """Paused, or `spec.replicas` has changed: sizes move, the template does not."""
        new = await self._new(create=False)
        olds = [rs for rs in self.sets if new is None or meta.uid(rs) != meta.uid(new)]
        live = util.active(self.sets)
        newest = live[0] if len(live) == 1 else None
        if not live:
            newest = new or max(olds, key=util.revision, default=None)
        if newest is not None:
            await self._resize(newest, util.size(self.d))
        elif util.is_saturated(self.d, new):
            for rs in util.active(olds):
                await self._resize(rs, 0)
        elif util.is_rolling(self.d):
            sizes = util.proportional_sizes(self.d, self.sets)
            for rs in list(live):
                await self._resize(rs, sizes[meta.name(rs)])
        if self.d["spec"].get("paused"):
            await self._cleanup(olds)
        return await self.status_only()

    def is_scaling(self) -> bool:
        for rs in util.active(self.sets):
            text = meta.annotations(rs).get(util.DESIRED, "")
            if text.isdigit() and int(text) != util.size(self.d):
                return True
        return False

    # --- the steps

    async def _new(self, create: bool) -> Obj | None:
        """The ReplicaSet of the current template, with its revision set; made if there is none and `create`."""
        new = util.find_new(self.d, self.sets)
        others = [rs for rs in self.sets if new is None or meta.uid(rs) != meta.uid(new)]
        number = max((util.revision(rs) for rs in others), default=0) + 1
        if new is None and not create:
            return None
        if new is None:
            new = await self._create(number)
        else:
            annotations = util.set_annotations(self.d, new, number, existed=True)
            min_ready = self.d["spec"].get("minReadySeconds") or 0
            if annotations != meta.annotations(new) or min_ready != (new["spec"].get("minReadySeconds") or 0):
                changed = meta.copy(new)
                changed["metadata"]["annotations"] = annotations
                changed["spec"]["minReadySeconds"] = min_ready
                new = await self._replace(new, await self._client.update(REPLICA_SETS, changed))
        await self._note_revision(new)
        return new

    async def _create(self, number: int) -> Obj:
        d = self.d
        status = d.get("status") or {}
        hashed = template_hash(d["spec"]["template"], status.get("collisionCount"))
        template = meta.copy(d["spec"]["template"])
        metadata = template.setdefault("metadata", {})
        metadata["labels"] = {**(metadata.get("labels") or {}), util.HASH_LABEL: hashed}
        selector = meta.copy(d["spec"]["selector"])
        selector["matchLabels"] = {**(selector.get("matchLabels") or {}), util.HASH_LABEL: hashed}
        rs: Obj = {
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "metadata": {
                "name": f"{meta.name(d)}-{hashed}",
                "namespace": meta.namespace(d),
                "labels": metadata["labels"],
                "ownerReferences": [meta.owner_reference(d)],
            },
            "spec": {
                "replicas": 0,
                "minReadySeconds": d["spec"].get("minReadySeconds") or 0,
                "selector": selector,
                "template": template,
            },
        }
        rs["spec"]["replicas"] = util.new_size(d, self.sets, rs)
        rs["metadata"]["annotations"] = util.set_annotations(d, rs, number, existed=False)
        try:
            created = await self._client.create(REPLICA_SETS, rs)
        except ApiError as error:
            if error.reason == "AlreadyExists":
                return await self._collided(rs)
            if not is_terminating_namespace(error):
                text = f'Failed to create new replica set "{meta.name(rs)}": {error}'
                await self._set_progressing("False", "ReplicaSetCreateError", text)
                self._recorder.event(d, "Warning", "ReplicaSetCreateError", text)
            raise
        self.sets = [*self.sets, created]
        if util.size(created) > 0:
            text = f"Scaled up replica set {meta.name(created)} from 0 to {util.size(created)}"
            self._recorder.event(d, "Normal", "ScalingReplicaSet", text)
        if util.has_deadline(d):
            self._remember_progressing("NewReplicaSetCreated", f'Created new replica set "{meta.name(created)}"')
        return created

    async def _collided(self, rs: Obj) -> Obj:
        """The name is taken: by ourselves, a moment ago (the cache is behind), or by another template's hash."""
        there = await self._client.get(REPLICA_SETS, meta.name(rs), meta.namespace(rs))
        same = util.without_hash(there["spec"]["template"]) == util.without_hash(rs["spec"]["template"])
        if meta.is_controlled_by(there, self.d) and same:
            self.sets = [*self.sets, there]
            return there
        status = {**(self.d.get("status") or {})}
        status["collisionCount"] = (status.get("collisionCount") or 0) + 1
        await update_status(self._client, DEPLOYMENTS, self.d, status)
        raise ApiError({"code": 409, "reason": "Conflict", "message": f"hash collision for {meta.name(rs)}"})

    async def _resize(self, rs: Obj, wanted: int) -> None:
        annotations = {**meta.annotations(rs), **util.replica_annotations(self.d)}
        if util.size(rs) == wanted and annotations == meta.annotations(rs):
            return
        changed = meta.copy(rs)
        changed["spec"]["replicas"] = wanted
        changed["metadata"]["annotations"] = annotations
        old = util.size(rs)
        await self._replace(rs, await self._client.update(REPLICA_SETS, changed))
        if old != wanted:
            direction = "up" if wanted > old else "down"
            text = f"Scaled {direction} replica set {meta.name(rs)} from {old} to {wanted}"
            self._recorder.event(self.d, "Normal", "ScalingReplicaSet", text)

    async def _replace(self, old: Obj, new: Obj) -> Obj:
        self.sets = [new if meta.uid(rs) == meta.uid(old) else rs for rs in self.sets]
        return new

    async def _note_revision(self, new: Obj) -> None:
        number = meta.annotations(new).get(util.REVISION, "")
        if number and meta.annotations(self.d).get(util.REVISION) != number:
            annotations = {**meta.annotations(self.d), util.REVISION: number}
            changed = {**self.d, "metadata": {**self.d["metadata"], "annotations": annotations}}
            # By way of the status: there, an annotation makes no new generation.
            self.d = await self._client.update(DEPLOYMENTS, {**changed, "status": self.d.get("status") or {}}, "status")
            self._written = None

    async def note_pause(self) -> None:
        """The Progressing condition says so: a paused rollout cannot miss its deadline."""
        if not util.has_deadline(self.d):
            return
        current = conditions.get(self.d, "Progressing")
        if current is not None and current["reason"] == "ProgressDeadlineExceeded":
            return
        was = current is not None and current["reason"] == "DeploymentPaused"
        if self.d["spec"].get("paused") and not was:
            await self._set_progressing("Unknown", "DeploymentPaused", "Deployment is paused")
        elif not self.d["spec"].get("paused") and was:
            await self._set_progressing("Unknown", "DeploymentResumed", "Deployment is resumed")

    def _progressing(self, status: str, reason: str, message: str) -> dict[str, Any]:
        now = self._clock.now()
        old = self.d.get("status") or {}
        made = util.condition("Progressing", status, reason, message, now)
        return {**old, "conditions": util.with_condition(list(old.get("conditions") or []), made, now)}

    def _remember_progressing(self, reason: str, message: str) -> None:
        """Written with the status at the end of this sync."""
        self._written = self.d.get("status") or {}
        self.d = {**self.d, "status": self._progressing("True", reason, message)}

    async def _set_progressing(self, status: str, reason: str, message: str) -> None:
        updated = await update_status(self._client, DEPLOYMENTS, self.d, self._progressing(status, reason, message))
        if updated is not None:
            self.d = updated

    # --- the end of a sync

    async def status_only(self) -> float | None:
        now = self._clock.now()
        status = util.compute_status(self.d, self.sets, util.find_new(self.d, self.sets), now)
        await self._write_status(status)
        return None

    async def _finish(self, cleanup: bool = False) -> float | None:
        now = self._clock.now()
        new = util.find_new(self.d, self.sets)
        olds = [rs for rs in self.sets if new is None or meta.uid(rs) != meta.uid(new)]
        status = util.compute_status(self.d, self.sets, new, now)
        if cleanup and util.is_complete(self.d, status):
            await self._cleanup(olds)
        status = util.with_progress(self.d, status, self.sets, new, now)
        await self._write_status(status)
        left = util.seconds_to_deadline(self.d, status, now)
        return max(left, 0.0) + 1.0 if left is not None else None

    _written: dict[str, Any] | None = None

    async def _write_status(self, status: dict[str, Any]) -> None:
        status = util.omit_empty(status)
        if self._written is not None:
            # A condition was noted in this sync only in memory: compare with what the server has.
            await update_status(self._client, DEPLOYMENTS, {**self.d, "status": self._written}, status)
        else:
            await update_status(self._client, DEPLOYMENTS, self.d, status)

    async def _cleanup(self, olds: list[Obj]) -> None:
        """Beyond `revisionHistoryLimit` the oldest empty ReplicaSets go."""
        limit = self.d["spec"].get("revisionHistoryLimit")
        if limit is None or limit == util.NO_DEADLINE:
            return
        alive = sorted((rs for rs in olds if "deletionTimestamp" not in rs["metadata"]), key=util.revision)
        surplus = alive[: max(0, len(alive) - int(limit))]
        idle = [
            rs
            for rs in surplus
            if util.size(rs) == 0
            and util.reported(rs, "replicas") == 0
            and util.reported(rs, "observedGeneration") >= meta.generation(rs)
        ]
        await all_of(self._delete(rs) for rs in idle)

    async def _delete(self, rs: Obj) -> None:
        try:
            await self._client.delete(REPLICA_SETS, meta.name(rs), meta.namespace(rs), uid=meta.uid(rs))
        except ApiError as error:
            if error.code != 404:
                raise
