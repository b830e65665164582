"""Namespace deletion: everything in it goes, then the namespace. Upstream: `pkg/controller/namespace`.

A namespace that is being deleted keeps its finalizer `kubernetes` until its content is gone. Pods go first (what they
guard, such as network policies, must outlive them: KEP-5080), then all else, found by discovery. What is left, and why,
stands in the conditions.
"""

from __future__ import annotations

import asyncio
from typing import Any

from workshop.api import conditions, meta
from workshop.api.errors import ApiError
from workshop.api.meta import Key, Obj, key_of
from workshop.api.resources import Resource, resource

from .base import Context
from .discovery import Discovery, DiscoveryFailed

NAMESPACES = resource("namespaces")
PODS = resource("pods")
FINALIZER = "kubernetes"

MESSAGES = {
    "NamespaceDeletionDiscoveryFailure": ("ResourcesDiscovered", "All resources successfully discovered"),
    "NamespaceDeletionGroupVersionParsingFailure": ("ParsedGroupVersions", "All legacy kube types successfully parsed"),
    "NamespaceDeletionContentFailure": (
        "ContentDeleted",
        "All content successfully deleted, may be waiting on finalization",
    ),
    "NamespaceContentRemaining": ("ContentRemoved", "All content successfully removed"),
    "NamespaceFinalizersRemaining": ("ContentHasNoFinalizers", "All content-preserving finalizers finished"),
}


def compute_conditions(
    old: list[dict[str, Any]],
    remaining: dict[str, int],
    finalizers: dict[str, int],
    failures: list[str],
    undiscovered: str,
    now: float,
) -> list[dict[str, Any]]:
    """`remaining`: group-resource → objects left; `finalizers`: finalizer → objects that wait for it."""
    wrong: dict[str, tuple[str, str]] = {}
    if undiscovered:
        wrong["NamespaceDeletionDiscoveryFailure"] = (
            "DiscoveryFailed",
            f"Discovery failed for some groups, {undiscovered}",
        )
    if failures:
        wrong["NamespaceDeletionContentFailure"] = (
            "ContentDeletionFailed",
            f"Failed to delete all resource types, {len(failures)} remaining: " + ", ".join(sorted(failures)),
        )
    if remaining:
        listed = ", ".join(f"{name} has {count} resource instances" for name, count in sorted(remaining.items()))
        wrong["NamespaceContentRemaining"] = ("SomeResourcesRemain", f"Some resources are remaining: {listed}")
    if finalizers:
        listed = ", ".join(f"{name} in {count} resource instances" for name, count in sorted(finalizers.items()))
        wrong["NamespaceFinalizersRemaining"] = (
            "SomeFinalizersRemain",
            f"Some content in the namespace has finalizers remaining: {listed}",
        )
    for kind, (reason, message) in MESSAGES.items():
        status = "True" if kind in wrong else "False"
        reason, message = wrong.get(kind, (reason, message))
        new = {"type": kind, "status": status, "reason": reason, "message": message}
        old = conditions.set(old, new, now)
    return old


class NamespaceController:
    def __init__(self, context: Context) -> None:
        self._context = context
        self._client = context.client
        self._clock = context.clock
        self._queue = context.queue()
        self._discovery = Discovery(context.client)
        self._tries: dict[Key, int] = {}
        self._namespaces = context.informer("namespaces")
        self._namespaces.add_handler(self._seen, lambda old, new: self._seen(new))

    def _seen(self, ns: Obj) -> None:
        if "deletionTimestamp" in ns["metadata"]:
            self._queue.add(key_of(ns))

    async def run(self) -> None:
        await self._context.controller(self._queue, self.sync, self._context.options.workers("namespace", 10)).run()

    async def sync(self, key: Key) -> float | None:
        try:
            ns = await self._client.get(NAMESPACES, key.name)
        except ApiError as error:
            if error.code == 404:
                return None
            raise
        if "deletionTimestamp" not in ns["metadata"]:
            return None
        if FINALIZER not in (ns["spec"].get("finalizers") or ()):
            return None
        if (ns.get("status") or {}).get("phase") != "Terminating":
            ns = await self._client.update(
                NAMESPACES, {**ns, "status": {**ns["status"], "phase": "Terminating"}}, "status"
            )
        outcome = await self._delete_content(key.name)
        now = self._clock.now()
        old = list((ns.get("status") or {}).get("conditions") or [])
        new = compute_conditions(
            old, outcome.remaining, outcome.finalizers, outcome.failures, outcome.undiscovered, now
        )
        if new != old:
            ns = await self._client.update(NAMESPACES, {**ns, "status": {**ns["status"], "conditions": new}}, "status")
        if outcome.failures or outcome.undiscovered:
            raise ApiError({"code": 500, "message": f"deletion of namespace {key.name} failed: {outcome.failures}"})
        if outcome.remaining:
            tries = self._tries[key] = self._tries.get(key, 0) + 1
            return float(min(15.0, outcome.wait * 1.2**tries))  # who is stuck for long is looked at seldom
        self._tries.pop(key, None)
        left = [name for name in ns["spec"]["finalizers"] if name != FINALIZER]
        body = {**ns, "spec": {**ns["spec"], "finalizers": left}}
        await self._client.request("PUT", NAMESPACES.path(None, key.name, "finalize"), body=body)
        return None

    async def _delete_content(self, namespace: str) -> _Outcome:
        outcome = _Outcome()
        try:
            found = await self._discovery.resources()
        except DiscoveryFailed as error:
            outcome.undiscovered, found = str(error), error.found
        await self._delete_all(PODS, namespace, outcome)
        if outcome.remaining or outcome.failures:
            return outcome
        deletable = [r for r in found if r.namespaced and "delete" in r.verbs and r.group_resource != "pods"]
        gate = asyncio.Semaphore(8)

        async def one(res: Resource) -> None:
            async with gate:
                await self._delete_all(res, namespace, outcome)

        await asyncio.gather(*map(one, deletable))
        return outcome

    async def _delete_all(self, res: Resource, namespace: str, outcome: _Outcome) -> None:
        try:
            left = (await self._client.list(res, namespace))["items"] if "list" in res.verbs else []
            if not left:
                return
            if "deletecollection" in res.verbs:
                await self._client.delete_collection(res, namespace, propagation_policy="Background")
            else:
                for obj in left:
                    await self._client.delete(res, meta.name(obj), namespace, propagation_policy="Background")
            left = (await self._client.list(res, namespace))["items"]
        except ApiError as error:
            if error.code not in (404, 405):
                outcome.failures.append(f"{res.group_resource}: {error}")
            return
        if left:
            outcome.remaining[res.group_resource] = len(left)
            for obj in left:
                for name in meta.finalizers(obj):
                    outcome.finalizers[name] = outcome.finalizers.get(name, 0) + 1
        if res is PODS and left:
            # Upstream waits half of the longest grace period; most pods are sooner than that, so look more often.
            outcome.wait = 0.3


class _Outcome:
    def __init__(self) -> None:
        self.remaining: dict[str, int] = {}
        self.finalizers: dict[str, int] = {}
        self.failures: list[str] = []
        self.undiscovered = ""
        self.wait = 0.1
