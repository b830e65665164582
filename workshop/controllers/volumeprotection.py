"""Claims in use, volumes bound and classes of attributes that somebody names must not vanish: a finalizer holds them,
and is taken when nobody needs them.

Upstream: `pkg/controller/volume/{pvcprotection,pvprotection,vacprotection}`. Admission puts the finalizers on
(StorageObjectInUseProtection); without these controllers nothing would ever take them off.
"""

from __future__ import annotations

from workshop.api import meta
from workshop.api.errors import ApiError
from workshop.api.meta import Key, Obj, key_of
from workshop.api.resources import Resource, resource
from workshop.client.rest import Client

from . import pods
from .base import Context

CLAIMS = resource("persistentvolumeclaims")
VOLUMES = resource("persistentvolumes")
CLASSES = resource("volumeattributesclasses.storage.k8s.io")
CLAIM_FINALIZER = "kubernetes.io/pvc-protection"
VOLUME_FINALIZER = "kubernetes.io/pv-protection"
CLASS_FINALIZER = "kubernetes.io/vac-protection"


def claims_of(pod: Obj) -> list[str]:
    """Names of the claims that a pod uses, ephemeral ones included."""
    names = []
    for volume in pod["spec"].get("volumes") or ():
        if "persistentVolumeClaim" in volume:
            names.append(volume["persistentVolumeClaim"]["claimName"])
        elif "ephemeral" in volume:
            names.append(f"{meta.name(pod)}-{volume['name']}")
    return names


def by_claim(pod: Obj) -> list[str]:
    return [f"{meta.namespace(pod)}/{name}" for name in claims_of(pod)]


def uses(pod: Obj) -> bool:
    """A pod that was never scheduled and is being deleted, or has ended, holds nothing."""
    return bool(pods.node_name(pod)) and not pods.is_finished(pod)


async def set_finalizer(client: Client, res: Resource, obj: Obj, finalizer: str, wanted: bool) -> None:
    """Put it on or take it off. An object that is gone is no error; else raises ApiError."""
    kept = [name for name in meta.finalizers(obj) if name != finalizer] + ([finalizer] if wanted else [])
    try:
        # Their service accounts may update and not patch.
        await client.update(res, {**obj, "metadata": {**obj["metadata"], "finalizers": kept}})
    except ApiError as error:
        if error.code != 404:
            raise


class ClaimProtection:
    def __init__(self, context: Context) -> None:
        self._context = context
        self._client = context.client
        self._queue = context.queue()
        self._claims = context.informer("persistentvolumeclaims")
        self._pods = context.informer("pods")
        self._pods.store.add_index("claim", by_claim)
        self._claims.add_handler(self._seen, lambda old, new: self._seen(new))
        self._pods.add_handler(None, self._pod_updated, self._pod_gone)

    def _seen(self, claim: Obj) -> None:
        has = CLAIM_FINALIZER in meta.finalizers(claim)
        if ("deletionTimestamp" in claim["metadata"]) == has:
            self._queue.add(key_of(claim))

    def _pod_updated(self, old: Obj, new: Obj) -> None:
        if uses(old) and not uses(new):
            self._pod_gone(new)

    def _pod_gone(self, pod: Obj) -> None:
        for name in claims_of(pod):
            self._queue.add(Key(meta.namespace(pod), name))

    async def run(self) -> None:
        await self._context.controller(self._queue, self.sync).run()

    async def sync(self, key: Key) -> None:
        claim = self._claims.store.get(key)
        if claim is None:
            return
        has, dying = CLAIM_FINALIZER in meta.finalizers(claim), "deletionTimestamp" in claim["metadata"]
        if not dying and not has:
            await set_finalizer(self._client, CLAIMS, claim, CLAIM_FINALIZER, True)
        elif dying and has and not any(uses(pod) for pod in self._pods.store.by_index("claim", str(key))):
            # The cache may be behind a pod that has just been bound: ask the server before letting go.
            live = await self._client.list(resource("pods"), key.namespace)
            if not any(uses(pod) and key.name in claims_of(pod) for pod in live["items"]):
                await set_finalizer(self._client, CLAIMS, claim, CLAIM_FINALIZER, False)


class VolumeProtection:
    def __init__(self, context: Context) -> None:
        self._context = context
        self._client = context.client
        self._queue = context.queue()
        self._volumes = context.informer("persistentvolumes")
        self._volumes.add_handler(self._seen, lambda old, new: self._seen(new))

    def _seen(self, volume: Obj) -> None:
        self._queue.add(key_of(volume))

    async def run(self) -> None:
        await self._context.controller(self._queue, self.sync, 1).run()

    async def sync(self, key: Key) -> None:
        volume = self._volumes.store.get(key)
        if volume is None:
            return
        has, dying = VOLUME_FINALIZER in meta.finalizers(volume), "deletionTimestamp" in volume["metadata"]
        bound = (volume.get("status") or {}).get("phase") == "Bound"
        if not dying and not has:
            await set_finalizer(self._client, VOLUMES, volume, VOLUME_FINALIZER, True)
        elif dying and has and not bound:
            await set_finalizer(self._client, VOLUMES, volume, VOLUME_FINALIZER, False)


def attribute_classes(obj: Obj) -> list[str]:
    """The VolumeAttributesClasses that a claim wants, has or is about to get, or that a volume has."""
    spec, status = obj["spec"], obj.get("status") or {}
    changing = (status.get("modifyVolumeStatus") or {}).get("targetVolumeAttributesClassName")
    names = (spec.get("volumeAttributesClassName"), status.get("currentVolumeAttributesClassName"), changing)
    return sorted({name for name in names if name})


class ClassProtection:
    def __init__(self, context: Context) -> None:
        self._context = context
        self._client = context.client
        self._queue = context.queue()
        self._classes = context.informer("volumeattributesclasses.storage.k8s.io")
        self._classes.add_handler(self._seen, lambda old, new: self._seen(new))
        self._users = [context.informer(name) for name in ("persistentvolumeclaims", "persistentvolumes")]
        for users in self._users:
            users.store.add_index("attributes class", attribute_classes)
            users.add_handler(None, self._changed, self._gone)

    def _seen(self, found: Obj) -> None:
        has = CLASS_FINALIZER in meta.finalizers(found)
        if ("deletionTimestamp" in found["metadata"]) == has:
            self._queue.add(key_of(found))

    def _changed(self, old: Obj, new: Obj) -> None:
        for name in set(attribute_classes(old)) - set(attribute_classes(new)):
            self._queue.add(Key("", name))

    def _gone(self, user: Obj) -> None:
        for name in attribute_classes(user):
            self._queue.add(Key("", name))

    async def run(self) -> None:
        await self._context.controller(self._queue, self.sync, 1).run()

    async def sync(self, key: Key) -> None:
        found = self._classes.store.get(key)
        if found is None:
            return
        has, dying = CLASS_FINALIZER in meta.finalizers(found), "deletionTimestamp" in found["metadata"]
        if not dying and not has:
            await set_finalizer(self._client, CLASSES, found, CLASS_FINALIZER, True)
        elif dying and has and not any(users.store.by_index("attributes class", key.name) for users in self._users):
            await set_finalizer(self._client, CLASSES, found, CLASS_FINALIZER, False)
