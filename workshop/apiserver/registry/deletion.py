"""Deleting: at once, after a grace, or once every finalizer is gone.

    has finalizers (own, or `orphan`/`foregroundDeletion` by policy)   → deletionTimestamp, wait
    has a grace (a pod on a node)                                      → deletionTimestamp in `grace` seconds, wait
    else                                                               → gone

The second delete with grace 0 (a kubelet's, when the containers have ended) removes a pod.
Upstream: apiserver/pkg/registry/rest/delete.go, apiserver/pkg/registry/generic/registry/store.go (Delete).
"""

from __future__ import annotations

import asyncio

from workshop import trace
from workshop.api import errors
from workshop.api.meta import Obj, copy
from workshop.api.resources import Resource
from workshop.apiserver.interfaces import AdmissionChain, AdmissionRequest, UserInfo
from workshop.apiserver.shelf import Stored
from workshop.apiserver.storage.interface import Conflict, NotFound, Storage
from workshop.clock import Clock, parse_rfc3339, rfc3339

from .encoding import to_storage
from .options import DeleteOptions
from .reader import Presenter, served_obj
from .strategies import Strategies
from .written import tell, versioned

ORPHAN, FOREGROUND = "orphan", "foregroundDeletion"
PARALLEL_DELETES = 32
DEFINITION = "CustomResourceDefinition"
UNCOLLECTED = ("Event", DEFINITION)
"""Kinds whose deletion asks nothing of the garbage collector."""
BY_THEMSELVES = ("Namespace", DEFINITION)
"""Kinds that upstream marks by code of their own: they get no grace."""
TRIES = 50


class Deleter:
    def __init__(
        self, storage: Storage, admission: AdmissionChain, strategies: Strategies, presenter: Presenter, clock: Clock
    ) -> None:
        self._storage, self._admission, self._strategies, self._clock = storage, admission, strategies, clock
        self._presenter = presenter

    async def delete(
        self, resource: Resource, namespace: str, name: str, options: DeleteOptions, user: UserInfo
    ) -> tuple[Obj, bool]:
        """(the object as it stands or stood, whether it is gone). Raises ApiError 403, 404, 409."""
        key = resource.storage_key(namespace or None, name)
        for _ in range(TRIES):
            kv = await self._storage.get(key)
            if kv is None:
                raise errors.not_found(resource, name)
            stored = await self._presenter.one(resource, Stored(kv.key, kv.value, kv.mod_revision))
            try:
                return await self._once(resource, stored, options, user)
            except (Conflict, NotFound):
                continue
        raise errors.conflict(resource, name)

    async def _once(
        self, resource: Resource, stored: Stored, options: DeleteOptions, user: UserInfo
    ) -> tuple[Obj, bool]:
        old = served_obj(resource, stored)
        metadata = old["metadata"]
        name, namespace = metadata["name"], metadata.get("namespace", "")
        kind = f"{resource.kind}.{resource.storage_group}" if resource.storage_group else resource.kind
        kind = resource.group_resource if resource.kind == DEFINITION else kind  # code of its own
        check_preconditions(kind, name, metadata, options)
        request = AdmissionRequest("DELETE", resource, "", namespace, name, {}, old, user, options.dry_run)
        await self._admission.admit(request)
        await self._admission.validate(request)
        strategy = self._strategies.of(resource)
        new = copy(old)
        if "deletionTimestamp" not in metadata:
            strategy.prepare_for_delete(new, self._clock.now())
        grace = strategy.grace_seconds(old, options)
        marked = mark(new, options, grace, self._clock.now(), strategy.default_propagation(), resource)
        if marked is None:
            if options.dry_run:
                return new, True
            with trace.step("apiserver.link", link="etcd", key=stored.key) as told:
                gone = await self._storage.delete(stored.key, stored.revision)
                told["revision"] = gone.mod_revision
            await strategy.release(old)
            last = versioned(new, gone.mod_revision)
            tell("delete", last, "", user)
            return last, True
        if options.dry_run or not marked:
            return new, False
        raw = to_storage(resource, await self._presenter.stored(resource, new))
        with trace.step("apiserver.link", link="etcd", key=stored.key) as told:
            told["revision"] = revision = await self._storage.update(stored.key, raw, stored.revision)
        marked_obj = versioned(new, revision)
        tell("mark for deletion", marked_obj, "", user)
        return marked_obj, False

    async def delete_all(self, resource: Resource, items: list[Stored], options: DeleteOptions, user: UserInfo) -> None:
        """Every one of `items`, many at a time; one that has gone meanwhile is no error. Raises the first ApiError
        when all have been tried."""
        gate = asyncio.Semaphore(PARALLEL_DELETES)

        async def one(stored: Stored) -> None:
            metadata = stored.obj["metadata"]
            async with gate:
                try:
                    await self.delete(resource, metadata.get("namespace", ""), metadata["name"], options, user)
                except errors.ApiError as error:
                    if not errors.is_not_found(error):
                        raise

        ends = await asyncio.gather(*map(one, items), return_exceptions=True)
        for end in ends:
            if end is not None:
                raise end


def check_preconditions(kind: str, name: str, metadata: Obj, options: DeleteOptions) -> None:
    """Raises ApiError 409. Upstream names the kind here where it names the resource elsewhere."""
    uid, version = metadata["uid"], metadata["resourceVersion"]
    if options.uid is not None and options.uid != uid:
        why = f"the UID in the precondition ({options.uid}) does not match the UID in record ({uid})"
        raise errors.conflict(kind, name, f"{why}. The object might have been deleted and then recreated")
    if options.version is not None and options.version != version:
        asked = f"the ResourceVersion in the precondition ({options.version})"
        why = f"{asked} does not match the ResourceVersion in record ({version})"
        raise errors.conflict(kind, name, f"{why}. The object might have been modified")


def mark(
    obj: Obj, options: DeleteOptions, grace: int | None, now: float, default: str, resource: Resource
) -> bool | None:
    """Decide: None to remove the object now; else `obj` is marked in place, and True says that this changed it."""
    metadata = obj["metadata"]
    present = metadata.get("finalizers") or []
    finalizers = present if resource.kind in UNCOLLECTED else _finalizers(present, options, default)
    changed = finalizers != (metadata.get("finalizers") or [])
    if finalizers:
        metadata["finalizers"] = finalizers
    else:
        metadata.pop("finalizers", None)
    waits = bool(finalizers or (obj.get("spec", {}).get("finalizers") if resource.kind == "Namespace" else None))
    already = "deletionTimestamp" in metadata
    seconds = grace if grace is not None else 0
    if already:
        left = metadata.get("deletionGracePeriodSeconds") or 0
        if seconds and seconds >= left:
            return changed
        if not seconds and not waits:
            metadata["deletionGracePeriodSeconds"] = 0
            return None
        if seconds < left:  # a shorter grace counts from the first wish
            first = parse_rfc3339(metadata["deletionTimestamp"]) - left
            metadata["deletionTimestamp"] = rfc3339(first + seconds)
            metadata["deletionGracePeriodSeconds"] = seconds
            return True
        return changed
    if not waits and grace is None:
        return None
    metadata["deletionTimestamp"] = rfc3339(now + seconds)
    if resource.kind not in BY_THEMSELVES:
        metadata["deletionGracePeriodSeconds"] = seconds
    if metadata.get("generation") and resource.kind != DEFINITION:
        metadata["generation"] += 1
    if resource.kind == "Namespace":
        obj.setdefault("status", {})["phase"] = "Terminating"
    return True if waits or seconds else None


def _finalizers(present: list[str], options: DeleteOptions, default: str) -> list[str]:
    """The finalizers that the propagation policy asks for, beside the object's own."""
    if options.orphan is not None:
        policy = "Orphan" if options.orphan else "Background"
    elif options.propagation:
        policy = options.propagation
    elif ORPHAN in present or FOREGROUND in present:
        return present
    else:
        policy = default
    own = [f for f in present if f not in (ORPHAN, FOREGROUND)]
    return own + {"Orphan": [ORPHAN], "Foreground": [FOREGROUND]}.get(policy, [])
