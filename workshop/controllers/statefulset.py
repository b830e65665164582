"""StatefulSet: pods with names that stay, one after the other. Upstream: `pkg/controller/statefulset`.

`decide` is pure and says the next steps: web-0 before web-1, each Running and Ready before the next, scaled down and
updated from the highest ordinal. With podManagementPolicy Parallel nobody waits.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from workshop.api import labels, meta
from workshop.api.errors import ApiError, is_already_exists
from workshop.api.meta import Key, Obj, key_of
from workshop.api.resources import resource

from . import history, ownership, pods
from .base import Context, all_of, enqueue_owner, update_status
from .pod_control import PODS

SETS = resource("statefulsets.apps")
CLAIMS = resource("persistentvolumeclaims")
HASH = "controller-revision-hash"
POD_NAME = "statefulset.kubernetes.io/pod-name"
POD_INDEX = "apps.kubernetes.io/pod-index"


def ordinal(owner: Obj, pod: Obj) -> int:
    """-1 for a pod whose name is not of this set."""
    match = re.fullmatch(r"(.*)-([0-9]+)", meta.name(pod))
    return int(match[2]) if match and match[1] == meta.name(owner) else -1


def ordinals(owner: Obj) -> range:
    start = int((owner["spec"].get("ordinals") or {}).get("start") or 0)
    wanted = owner["spec"].get("replicas")
    return range(start, start + (1 if wanted is None else int(wanted)))


def partition(owner: Obj) -> int:
    strategy = owner["spec"].get("updateStrategy") or {}
    return int((strategy.get("rollingUpdate") or {}).get("partition") or 0)


def is_rolling(owner: Obj) -> bool:
    return bool((owner["spec"].get("updateStrategy") or {}).get("type", "RollingUpdate") == "RollingUpdate")


def running_and_ready(pod: Obj) -> bool:
    return pods.phase(pod) == "Running" and pods.is_ready(pod)


@dataclass
class Steps:
    create: list[tuple[int, str]] = field(default_factory=list)
    """(ordinal, revision name)"""
    delete: list[Obj] = field(default_factory=list)


@dataclass
class Look:
    """A set and its pods at one moment."""

    owner: Obj
    found: list[Obj]
    now: float

    def __post_init__(self) -> None:
        self.wanted = ordinals(self.owner)
        self.parallel = self.owner["spec"].get("podManagementPolicy") == "Parallel"
        self.by_ordinal = {ordinal(self.owner, pod): pod for pod in self.found}

    def healthy(self, pod: Obj) -> bool:
        min_ready = self.owner["spec"].get("minReadySeconds") or 0
        return running_and_ready(pod) and not pods.is_terminating(pod) and pods.is_available(pod, min_ready, self.now)

    def surplus(self) -> list[Obj]:
        """The pods beyond what is wanted, the highest ordinal first."""
        beyond = [pod for pod in self.found if ordinal(self.owner, pod) not in self.wanted]
        return sorted(beyond, key=lambda pod: -ordinal(self.owner, pod))


def decide(owner: Obj, found: list[Obj], current: str, update: str, now: float) -> Steps:
    """`current` and `update` are names of revisions. One step where order matters; all at once where it does not.

    up      from the lowest ordinal    what is missing is made, what has ended makes room for another
    down    from the highest           what is too many goes
    roll    from the highest           what is of an old revision goes, once nothing else is to be done
    """
    look, steps = Look(owner, found, now), Steps()
    if _up(look, steps, current, update) and _down(look, steps) and not (steps.create or steps.delete):
        _roll(look, steps, update)
    return steps


def _up(look: Look, steps: Steps, current: str, update: str) -> bool:
    """Whether anything else may be done as well."""
    owner = look.owner
    for i in look.wanted:
        pod = look.by_ordinal.get(i)
        if pod is None:
            newest = current == update or (is_rolling(owner) and i >= partition(owner))
            steps.create.append((i, update if newest else current))
        elif pods.is_finished(pod) and not pods.is_terminating(pod):
            steps.delete.append(pod)
        elif look.healthy(pod):
            continue
        if not look.parallel:
            # Not healthy yet: nothing after it, except that a broken rollout may be replaced below.
            return pod is not None and not pods.is_terminating(pod) and not steps.delete and _stuck(pod, update)
    return True


def _down(look: Look, steps: Steps) -> bool:
    """Whether anything else may be done as well."""
    surplus = look.surplus()
    if look.parallel:
        steps.delete += [pod for pod in surplus if not pods.is_terminating(pod)]
        return True
    for last in surplus[:1]:
        wanted_ail = any(not look.healthy(pod) for pod in look.found if ordinal(look.owner, pod) in look.wanted)
        others_ail = any(not look.healthy(pod) for pod in surplus[1:])
        # an ailing one may go only when no other ails
        if not pods.is_terminating(last) and not wanted_ail and (look.healthy(last) or not others_ail):
            steps.delete.append(last)
    return not surplus


def _roll(look: Look, steps: Steps, update: str) -> None:
    """One pod at a time, each after the one above it is healthy; those below the partition stay as they are."""
    if not is_rolling(look.owner):
        return
    for i in sorted(look.wanted, reverse=True):
        if i < partition(look.owner):
            return
        pod = look.by_ordinal.get(i)
        if pod is None:  # it waits for one below it, which is stuck
            return
        if meta.labels(pod).get(HASH) != update and not pods.is_terminating(pod):
            steps.delete.append(pod)
            return
        if not look.healthy(pod):
            return


def _stuck(pod: Obj, update: str) -> bool:
    """An unhealthy pod of an old revision does not hold up the rollout that may mend it."""
    return meta.labels(pod).get(HASH) != update and pods.phase(pod) in ("Running", "Pending")


def new_pod(owner: Obj, template: dict[str, Any], index: int, revision: str) -> Obj:
    """The pod of an ordinal: its name, host name and claims are the same whenever it is made again."""
    name = f"{meta.name(owner)}-{index}"
    pod = pods.from_template(meta.copy(template), owner, name=name)
    pod["metadata"]["labels"] |= {POD_NAME: name, POD_INDEX: str(index), HASH: revision}
    spec = pod["spec"]
    spec["hostname"] = name
    spec["subdomain"] = owner["spec"].get("serviceName") or ""
    volumes = [v for v in spec.get("volumes") or () if v["name"] not in _claim_names(owner)]
    for template_name in _claim_names(owner):
        claim = {"claimName": f"{template_name}-{name}", "readOnly": False}
        volumes.append({"name": template_name, "persistentVolumeClaim": claim})
    if volumes:
        spec["volumes"] = volumes
    return pod


def _claim_names(owner: Obj) -> list[str]:
    return [meta.name(t) for t in owner["spec"].get("volumeClaimTemplates") or ()]


def claims_of(owner: Obj, index: int) -> list[Obj]:
    """The PersistentVolumeClaims of an ordinal, one a template: `data-web-0`."""
    made = []
    match = (owner["spec"].get("selector") or {}).get("matchLabels") or {}
    for template in owner["spec"].get("volumeClaimTemplates") or ():
        claim = meta.copy(template)
        metadata = claim["metadata"]
        metadata["name"] = f"{metadata['name']}-{meta.name(owner)}-{index}"
        metadata["namespace"] = meta.namespace(owner)
        metadata["labels"] = {**(metadata.get("labels") or {}), **match}
        claim.pop("status", None)
        made.append(claim)
    return made


def compute_status(owner: Obj, found: list[Obj], current: str, update: str, now: float) -> dict[str, Any]:
    """The counts. Once all pods are of the newest revision it becomes the current one."""
    min_ready = owner["spec"].get("minReadySeconds") or 0
    alive = [pod for pod in found if not pods.is_terminating(pod)]
    old = owner.get("status") or {}
    of_current = sum(meta.labels(pod).get(HASH) == current for pod in alive)
    of_update = sum(meta.labels(pod).get(HASH) == update for pod in alive)
    status: dict[str, Any] = {
        **old,
        "observedGeneration": meta.generation(owner),
        "replicas": len(found),
        "readyReplicas": sum(running_and_ready(pod) for pod in found),
        "availableReplicas": sum(pods.is_available(pod, min_ready, now) for pod in alive),
        "currentReplicas": of_current,
        "updatedReplicas": of_update,
        "currentRevision": current,
        "updateRevision": update,
    }
    done = of_update == len(ordinals(owner)) == len(found) == status["readyReplicas"]
    if is_rolling(owner) and partition(owner) == 0 and done:
        status["currentRevision"] = update
        status["currentReplicas"] = of_update
    return {k: v for k, v in status.items() if v or k in ("replicas", "availableReplicas")}


class StatefulSetController:
    def __init__(self, context: Context) -> None:
        self._context = context
        self._client = context.client
        self._clock = context.clock
        self._queue = context.queue()
        self._recorder = context.recorders("statefulset-controller")
        self._sets = context.informer("statefulsets.apps")
        self._pods = context.informer("pods")
        self._claims = context.informer("persistentvolumeclaims")
        self._revisions = context.informer("controllerrevisions.apps")
        for informer in (self._pods, self._revisions):
            informer.store.add_index(ownership.INDEX, ownership.by_controller)
        self._sets.add_handler(self._enqueue, lambda old, new: self._enqueue(new))
        owner = enqueue_owner(self._queue, "StatefulSet")
        self._pods.add_handler(self._pod_seen, lambda old, new: self._pod_seen(new), owner)
        self._revisions.add_handler(owner, None, owner)

    def _enqueue(self, owner: Obj) -> None:
        self._queue.add(key_of(owner))

    def _pod_seen(self, pod: Obj) -> None:
        if meta.controller_of(pod) is not None:
            enqueue_owner(self._queue, "StatefulSet")(pod)
            return
        for owner in self._sets.store.by_index("namespace", meta.namespace(pod)):
            if labels.from_selector(owner["spec"]["selector"]).matches(meta.labels(pod)):
                self._enqueue(owner)

    async def run(self) -> None:
        await self._context.controller(self._queue, self.sync, self._context.options.workers("statefulset")).run()

    async def sync(self, key: Key) -> float | None:
        owner = self._sets.store.get(key)
        if owner is None:
            return None
        now = self._clock.now()
        selector = labels.from_selector(owner["spec"]["selector"])
        mine = [p for p in ownership.candidates(self._pods.store, owner) if ordinal(owner, p) >= 0]
        found = await ownership.claimed(self._client, owner, SETS, selector, mine, PODS)
        if "deletionTimestamp" in owner["metadata"]:
            return None
        revisions = self._revisions.store.by_index(ownership.INDEX, meta.uid(owner))
        old = owner.get("status") or {}
        collisions = old.get("collisionCount")
        latest, revisions, collisions = await history.current(self._client, owner, revisions, HASH, collisions)
        update = meta.name(latest)
        names = {meta.name(r): r for r in revisions}
        current = old.get("currentRevision") or update
        if current not in names:
            current = update
        steps = decide(owner, found, current, update, now)
        failure = await self._act(owner, steps, names)
        status = compute_status(owner, found, current, update, now)
        status["collisionCount"] = collisions or 0
        await update_status(self._client, SETS, owner, status)
        if failure is not None:
            raise failure
        live = {meta.labels(pod).get(HASH, "") for pod in found} | {current, update}
        limit = owner["spec"].get("revisionHistoryLimit")
        await history.truncate(self._client, revisions, live, 10 if limit is None else int(limit))
        min_ready = owner["spec"].get("minReadySeconds") or 0
        return pods.next_available(found, min_ready, now) if min_ready else None

    async def _act(self, owner: Obj, steps: Steps, revisions: dict[str, Obj]) -> ApiError | None:
        try:
            for index, revision in steps.create:
                await self._create(owner, index, revision, history.template_of(revisions[revision]))
            await all_of(self._delete(owner, pod) for pod in steps.delete)
        except ApiError as error:
            return error
        return None

    async def _create(self, owner: Obj, index: int, revision: str, template: dict[str, Any]) -> None:
        for claim in claims_of(owner, index):
            if key_of(claim) not in self._claims.store:
                try:
                    await self._client.create(CLAIMS, claim)
                except ApiError as error:
                    if not is_already_exists(error):
                        raise
                else:
                    text = f"Create Claim {meta.name(claim)} Pod {meta.name(owner)}-{index} in StatefulSet "
                    text += f"{meta.name(owner)} success"
                    self._recorder.event(owner, "Normal", "SuccessfulCreate", text)
        pod = new_pod(owner, template, index, revision)
        what = f"Create Pod {meta.name(pod)} in StatefulSet {meta.name(owner)}"
        try:
            await self._client.create(PODS, pod)
        except ApiError as error:
            if is_already_exists(error):
                return  # the cache is behind
            self._recorder.event(owner, "Warning", "FailedCreate", f"{what} failed error: {error}")
            raise
        self._recorder.event(owner, "Normal", "SuccessfulCreate", f"{what} successful")

    async def _delete(self, owner: Obj, pod: Obj) -> None:
        what = f"Delete Pod {meta.name(pod)} in StatefulSet {meta.name(owner)}"
        if pods.is_finished(pod):
            text = f"StatefulSet {meta.namespace(owner)}/{meta.name(owner)} is recreating "
            verb = "failed" if pods.phase(pod) == "Failed" else "terminated"
            reason = "RecreatingFailedPod" if verb == "failed" else "RecreatingTerminatedPod"
            self._recorder.event(owner, "Warning", reason, f"{text}{verb} Pod {meta.name(pod)}")
        try:
            await self._client.delete(PODS, meta.name(pod), meta.namespace(pod), uid=meta.uid(pod))
        except ApiError as error:
            if error.code == 404:
                return
            self._recorder.event(owner, "Warning", "FailedDelete", f"{what} failed error: {error}")
            raise
        self._recorder.event(owner, "Normal", "SuccessfulDelete", f"{what} successful")
