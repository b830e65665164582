"""Garbage collection: when the last owner is gone, the owned goes too. Upstream: `pkg/controller/garbagecollector`.

Watches the metadata of everything that can be deleted, builds `gc_graph`, and looks at a node when an edge changes:

    no owner is left alive                    delete it, as it asks (foreground, orphan), background else
    some owners are gone, some are not        drop the references to those that are gone
    every owner waits for its dependents      delete it in the foreground too, if it has dependents of its own
    it waits itself and nobody blocks it      drop its finalizer: it goes
    it orphans                                drop the references of its dependents, then its finalizer

Before anything is deleted, the server itself is asked: the graph is a memory, and may be old.
"""

from __future__ import annotations

import logging
from typing import Any

from workshop.api import meta
from workshop.api.errors import ApiError
from workshop.api.meta import Obj
from workshop.api.resources import Resource

from .base import Context, all_of, gather_running
from .discovery import Discovery, DiscoveryFailed
from .gc_graph import FOREGROUND, ORPHAN, Graph, Node

log = logging.getLogger(__name__)

IGNORED = {"events", "events.events.k8s.io"}
START_DELAY = 1.5
UNDISCOVERED = 10.0
"""Seconds to the next try while some group does not answer."""
MERGE = "application/merge-patch+json"


def only_metadata(obj: Obj) -> Obj:
    """What the graph needs of an object; the rest would only fill memory."""
    fields = ("name", "namespace", "uid", "resourceVersion", "ownerReferences", "finalizers", "deletionTimestamp")
    metadata = {field: obj["metadata"][field] for field in fields if field in obj["metadata"]}
    return {"apiVersion": obj["apiVersion"], "kind": obj["kind"], "metadata": metadata}


class GarbageCollector:
    def __init__(self, context: Context) -> None:
        self._context = context
        self._client = context.client
        self._queue = context.queue()
        self._graph = Graph()
        self._discovery = Discovery(context.client)
        self._monitored: dict[tuple[str, str], Resource] = {}
        self._kinds: dict[tuple[str, str], Resource] = {}
        self._resync = context.queue()
        for name in ("customresourcedefinitions.apiextensions.k8s.io", "apiservices.apiregistration.k8s.io"):
            context.informer(name).add_handler(
                lambda o: self._rediscover(), lambda a, b: self._rediscover(), lambda o: self._rediscover()
            )

    def _rediscover(self) -> None:
        self._resync.add_after("discovery", 0.2)

    async def run(self) -> None:
        # Sixty watches: after those that a starting cluster waits for.
        self._resync.add_after("discovery", START_DELAY)
        workers = self._context.options.workers("gc", 20)
        await gather_running(
            self._context.controller(self._resync, self._discover, 1).run(),
            self._context.controller(self._queue, self.sync, workers).run(),
        )

    # --- the graph follows the server

    async def _discover(self, _: str) -> float | None:
        unknown: set[str] = set()
        try:
            found = await self._discovery.resources()
        except DiscoveryFailed as error:
            log.warning("garbage collector: %s", error)
            found, unknown = error.found, error.groups
        wanted: dict[tuple[str, str], Resource] = {}
        for res in found:
            self._kinds[(res.api_version, res.kind)] = res
            if {"delete", "list", "watch"} <= set(res.verbs) and res.group_resource not in IGNORED:
                wanted[(res.group, res.plural)] = res
        for key, res in wanted.items():
            if key not in self._monitored:
                self._monitor(key, res)
        for key in set(self._monitored) - set(wanted):
            if key[0] not in unknown:
                await self._context.informers.forget(self._monitored.pop(key))
        return UNDISCOVERED if unknown else None

    def _monitor(self, key: tuple[str, str], res: Resource) -> None:
        self._monitored[key] = res
        # Shared with a controller that watches the same resource, if there is one: one watch, one copy in memory.
        informer = self._context.informers.informer(res, transform=only_metadata)
        informer.add_handler(self._put, lambda old, new: self._put(new), self._removed)
        self._context.informers.start()

    def _put(self, obj: Obj) -> None:
        self._look(self._graph.put(obj))

    def _removed(self, obj: Obj) -> None:
        self._look(self._graph.remove(meta.uid(obj)))

    def _look(self, nodes: list[Node]) -> None:
        for node in nodes:
            self._queue.add(node.ref.uid)

    # --- what is to be done with one node

    async def sync(self, uid: str) -> float | None:
        node = self._graph.nodes.get(uid)
        if node is None:
            return None
        if node.virtual:
            await self._look_for_virtual(node)
            return None
        if node.orphaning:
            await self._orphan(node)
            return None
        if node.deleting and not node.foreground:
            return None  # it goes by itself
        if node.foreground:
            return await self._foreground(node)
        if node.owners:
            await self._collect(node)
        return None

    async def _look_for_virtual(self, node: Node) -> None:
        """Nobody has seen this owner. If the server has not either, its dependents are looked at again."""
        ref = node.ref
        res = self._resource(ref.api_version, ref.kind)
        if res is not None and res.namespaced and not ref.namespace:
            return  # the dependent lives in no namespace, its owner cannot be named: that one is looked at itself
        namespace = ref.namespace if res is None or res.namespaced else ""
        if await self._live(ref.api_version, ref.kind, ref.name, namespace, ref.uid) is None:
            self._graph.mark_absent(ref)
            self._look(list(node.dependents.values()))

    async def _collect(self, node: Node) -> None:
        res = self._resource(node.ref.api_version, node.ref.kind)
        if res is None:
            return
        live = await self._get(res, node)
        if live is None or "deletionTimestamp" in live["metadata"]:
            return
        solid, dangling, waiting = await self._classify(node, meta.owner_references(live), res)
        if solid:
            gone = dangling + waiting
            if gone:
                await self._drop_owners(res, live, [o["uid"] for o in gone])
            return
        if waiting and node.dependents:
            if any(dependent.foreground for dependent in node.dependents.values()):
                # The owner waits for it, and a dependent is on its way out as well: it may be a circle, in which each
                # waits for the next for ever. So it stops blocking its owner.
                live = await self._unblock(res, live)
            await self._delete(res, live, "Foreground")
            return
        if not dangling and not waiting:
            return
        if ORPHAN in meta.finalizers(live):
            policy = "Orphan"
        elif FOREGROUND in meta.finalizers(live):
            policy = "Foreground"
        else:
            policy = "Background"
        await self._delete(res, live, policy)

    async def _classify(
        self, node: Node, owners: list[dict[str, Any]], res: Resource
    ) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[dict[str, Any]]]:
        """(alive, gone, waiting for their dependents to go)."""
        solid: list[dict[str, Any]] = []
        dangling: list[dict[str, Any]] = []
        waiting: list[dict[str, Any]] = []
        for owner in owners:
            if (owner["uid"], node.ref.namespace) in self._graph.absent:
                dangling.append(owner)
                continue
            owner_res = self._resource(owner["apiVersion"], owner["kind"])
            if owner_res is None:
                # A kind that the server does not know (any more): perhaps discovery is behind. Never delete for that.
                raise ApiError(
                    {"code": 404, "message": f"unable to find kind {owner['kind']} of {owner['apiVersion']}"}
                )
            if owner_res.namespaced and not res.namespaced:
                self._context.recorders("garbage-collector-controller").event(
                    {
                        "apiVersion": node.ref.api_version,
                        "kind": node.ref.kind,
                        "metadata": {"name": node.ref.name, "uid": node.ref.uid},
                    },
                    "Warning",
                    "OwnerRefInvalidNamespace",
                    "ownerRef "
                    f"[{owner['apiVersion']}/{owner['kind']}, namespace: , name: {owner['name']}, uid: {owner['uid']}] "
                    'does not exist in namespace ""',
                )
                solid.append(owner)  # it can never be resolved: leave the object alone
                continue
            namespace = node.ref.namespace if owner_res.namespaced else ""
            there = await self._live(owner["apiVersion"], owner["kind"], owner["name"], namespace, owner["uid"])
            if there is None:
                dangling.append(owner)
            elif "deletionTimestamp" in there["metadata"] and FOREGROUND in meta.finalizers(there):
                waiting.append(owner)
            else:
                solid.append(owner)
        return solid, dangling, waiting

    async def _foreground(self, node: Node) -> float | None:
        blocking = node.blocking_dependents()
        if not blocking:
            await self._drop_finalizer(node, FOREGROUND)
            return None
        for dependent in blocking:
            if not dependent.deleting:
                self._queue.add(dependent.ref.uid)
        return None

    async def _orphan(self, node: Node) -> None:
        async def release(dependent: Node) -> None:
            res = self._resource(dependent.ref.api_version, dependent.ref.kind)
            live = await self._get(res, dependent) if res is not None else None
            if res is not None and live is not None:
                await self._drop_owners(res, live, [node.ref.uid])

        await all_of(release(d) for d in list(node.dependents.values()))
        await self._drop_finalizer(node, ORPHAN)

    # --- requests

    def _resource(self, api_version: str, kind: str) -> Resource | None:
        found = self._kinds.get((api_version, kind))
        if found is None:
            group = api_version.rpartition("/")[0]
            found = next((r for r in self._kinds.values() if r.group == group and r.kind == kind), None)
        return found

    async def _get(self, res: Resource, node: Node) -> Obj | None:
        ref = node.ref
        return await self._live(res.api_version, res.kind, ref.name, ref.namespace, ref.uid)

    async def _live(self, api_version: str, kind: str, name: str, namespace: str, uid: str) -> Obj | None:
        """The object on the server, if it is still that one."""
        res = self._resource(api_version, kind)
        if res is None:
            raise ApiError({"code": 404, "message": f"unable to find kind {kind} of {api_version}"})
        try:
            live = await self._client.get(res, name, namespace or None)
        except ApiError as error:
            if error.code == 404:
                return None
            raise
        return live if meta.uid(live) == uid else None

    async def _delete(self, res: Resource, live: Obj, policy: str) -> None:
        try:
            await self._client.delete(
                res,
                meta.name(live),
                meta.namespace(live) or None,
                propagation_policy=policy,
                uid=meta.uid(live),
                resource_version=meta.resource_version(live),
            )
        except ApiError as error:
            if error.code != 404:
                raise

    async def _drop_owners(self, res: Resource, live: Obj, uids: list[str]) -> None:
        kept = [ref for ref in meta.owner_references(live) if ref["uid"] not in uids]
        metadata = {"resourceVersion": meta.resource_version(live), "ownerReferences": kept or None}
        await self._patch(res, live, {"metadata": metadata})

    async def _unblock(self, res: Resource, live: Obj) -> Obj:
        """The object as it is once none of its owners waits for it."""
        refs = meta.owner_references(live)
        if not any(ref.get("blockOwnerDeletion") for ref in refs):
            return live
        free = [{**ref, "blockOwnerDeletion": False} for ref in refs]
        metadata = {"resourceVersion": meta.resource_version(live), "ownerReferences": free}
        return await self._patch(res, live, {"metadata": metadata}) or live

    async def _drop_finalizer(self, node: Node, finalizer: str) -> None:
        res = self._resource(node.ref.api_version, node.ref.kind)
        live = await self._get(res, node) if res is not None else None
        if res is None or live is None or finalizer not in meta.finalizers(live):
            return
        kept = [name for name in meta.finalizers(live) if name != finalizer]
        metadata = {"resourceVersion": meta.resource_version(live), "finalizers": kept or None}
        await self._patch(res, live, {"metadata": metadata})

    async def _patch(self, res: Resource, live: Obj, body: Obj) -> Obj | None:
        """The object after the patch; None if it is gone."""
        try:
            return await self._client.patch(res, meta.name(live), body, meta.namespace(live) or None, type=MERGE)
        except ApiError as error:
            if error.code != 404:
                raise
            return None
