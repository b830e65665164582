"""ConfigMaps, Secrets and claims that pods of this node name: watched one by one, as long as a pod needs them.

Upstream: `pkg/kubelet/util/manager/watch_based_manager.go`. A kubelet may only read the objects that its pods name, so
each is followed by a watch with `metadata.name=`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from workshop.api.meta import Key
from workshop.api.resources import Resource, resource
from workshop.client.informer import Informer
from workshop.client.rest import Client
from workshop.kubelet import volumes
from workshop.kubelet.pods import Obj

RESOURCES: dict[str, Resource] = {
    "ConfigMap": resource("configmaps"),
    "Secret": resource("secrets"),
    "PersistentVolumeClaim": resource("persistentvolumeclaims"),
    "PersistentVolume": resource("persistentvolumes"),
}
SYNC_TIMEOUT = 5.0
Ref = tuple[str, str, str]  # (kind, namespace, name)


class Objects:
    """A cache of single objects; `lookup` is what the pure parts take."""

    def __init__(self, client: Client, changed: Callable[[str], None]) -> None:
        self._client, self._changed = client, changed
        self._informers: dict[Ref, tuple[Informer, asyncio.Task[None]]] = {}
        self._users: dict[Ref, set[str]] = {}

    async def fetch(self, pod: Obj) -> None:
        """Follow all that the pod names; returns when it is in the cache, or after a few seconds."""
        namespace, uid = pod["metadata"].get("namespace", "default"), pod["metadata"]["uid"]
        await self._follow({(kind, namespace, name) for kind, name in volumes.names_used(pod) if name}, uid)
        bound = set()
        for ref in [ref for ref, users in self._users.items() if uid in users and ref[0] == "PersistentVolumeClaim"]:
            claim = self.lookup(*ref)
            if claim and claim["spec"].get("volumeName"):
                bound.add(("PersistentVolume", "", claim["spec"]["volumeName"]))
        await self._follow(bound, uid)

    async def _follow(self, refs: set[Ref], uid: str) -> None:
        for ref in refs:
            self._users.setdefault(ref, set()).add(uid)
            if ref not in self._informers:
                kind, namespace, name = ref
                informer = Informer(
                    self._client, RESOURCES[kind], namespace=namespace or None, field_selector=f"metadata.name={name}"
                )
                tell = partial(self._tell, ref)
                informer.add_handler(tell, tell, tell)
                self._informers[ref] = (informer, asyncio.get_running_loop().create_task(informer.run()))
        waiting = [self._informers[ref][0].synced.wait() for ref in refs]
        if waiting:
            try:
                await asyncio.wait_for(asyncio.gather(*waiting), SYNC_TIMEOUT)
            except TimeoutError:
                return

    def _tell(self, ref: Ref, *_: Obj) -> None:
        """It has changed, or has come or gone since the pod began: an optional one may."""
        found = self._informers.get(ref)
        if found is None or not found[0].synced.is_set():
            return
        for uid in list(self._users.get(ref, ())):
            self._changed(uid)

    def lookup(self, kind: str, namespace: str, name: str) -> Obj | None:
        """The object, or None."""
        found = self._informers.get((kind, namespace, name))
        return found[0].store.get(Key(namespace, name)) if found else None

    def release(self, uid: str) -> None:
        """The pod is gone; stop following what nobody else names."""
        for ref in [ref for ref, users in self._users.items() if uid in users]:
            self._users[ref].discard(uid)
            if not self._users[ref]:
                del self._users[ref]
                self._informers.pop(ref)[1].cancel()

    async def close(self) -> None:
        tasks = [task for _, task in self._informers.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
