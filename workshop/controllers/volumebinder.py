"""Claims find volumes: the first form of the persistent volume controller. Upstream:
`pkg/controller/volume/persistentvolume`.

`choose` is pure: the smallest volume that fits. Binding is written at the volume first, then at the claim: a crash in
between is mended by the next sync, as the volume already names the claim. Left out: provisioning, recycling, and the
volume plugins' own deletion: a released volume stays Released, or, with reclaim policy Delete, its object goes.
"""

from __future__ import annotations

from typing import Any

from workshop.api import labels, meta, quantity
from workshop.api.errors import ApiError
from workshop.api.meta import Key, Obj, key_of
from workshop.api.resources import resource

from .base import Context, gather_running, update_status

CLAIMS = resource("persistentvolumeclaims")
VOLUMES = resource("persistentvolumes")
BIND_COMPLETED = "pv.kubernetes.io/bind-completed"
BOUND_BY_US = "pv.kubernetes.io/bound-by-controller"


def capacity(volume: Obj) -> quantity.Quantity:
    return quantity.parse((volume["spec"].get("capacity") or {}).get("storage", "0"))


def fits(claim: Obj, volume: Obj) -> bool:
    """Class, modes, size and selector: whether the volume could serve that claim."""
    spec, offer = claim["spec"], volume["spec"]
    wanted = quantity.parse(((spec.get("resources") or {}).get("requests") or {}).get("storage", "0"))
    return (
        "deletionTimestamp" not in volume["metadata"]
        and (spec.get("storageClassName") or "") == (offer.get("storageClassName") or "")
        and set(spec.get("accessModes") or ()) <= set(offer.get("accessModes") or ())
        and spec.get("volumeMode", "Filesystem") == offer.get("volumeMode", "Filesystem")
        and not capacity(volume) < wanted
        and (not spec.get("selector") or labels.from_selector(spec["selector"]).matches(meta.labels(volume)))
    )


def is_for(volume: Obj, claim: Obj) -> bool:
    """The volume names this claim (by uid, once it is bound)."""
    ref = volume["spec"].get("claimRef") or {}
    named = (ref.get("namespace"), ref.get("name")) == (meta.namespace(claim), meta.name(claim))
    return named and ref.get("uid") in (None, "", meta.uid(claim))


def choose(claim: Obj, volumes: list[Obj]) -> Obj | None:
    """The volume that the claim names, else one that is kept for it, else the smallest free one that fits; or None."""
    reserved = [v for v in volumes if is_for(v, claim)]
    if claim["spec"].get("volumeName"):
        named = [v for v in volumes if meta.name(v) == claim["spec"]["volumeName"]]
        return next((v for v in named if not v["spec"].get("claimRef") or is_for(v, claim)), None)
    if reserved:
        return reserved[0]
    free = [v for v in volumes if not v["spec"].get("claimRef") and fits(claim, v)]
    # The smallest that is large enough wastes least.
    free.sort(key=meta.name)
    best: Obj | None = None
    for volume in free:
        if best is None or capacity(volume) < capacity(best):
            best = volume
    return best


class VolumeBinder:
    def __init__(self, context: Context) -> None:
        self._context = context
        self._client = context.client
        self._queue = context.queue()
        self._volume_queue = context.queue()
        self._recorder = context.recorders("persistentvolume-controller")
        self._claims = context.informer("persistentvolumeclaims")
        self._volumes = context.informer("persistentvolumes")
        self._classes = context.informer("storageclasses.storage.k8s.io")
        self._claims.add_handler(self._seen, lambda old, new: self._seen(new), self._claim_gone)
        self._volumes.add_handler(self._volume_seen, lambda old, new: self._volume_seen(new))

    def _seen(self, claim: Obj) -> None:
        self._queue.add(key_of(claim))

    def _claim_gone(self, claim: Obj) -> None:
        if claim["spec"].get("volumeName"):
            self._volume_queue.add(Key("", claim["spec"]["volumeName"]))

    def _volume_seen(self, volume: Obj) -> None:
        self._volume_queue.add(key_of(volume))
        for claim in self._claims.store.list():
            if (claim.get("status") or {}).get("phase") != "Bound":
                self._seen(claim)

    async def run(self) -> None:
        await gather_running(
            self._context.controller(self._queue, self.sync, 1).run(),
            self._context.controller(self._volume_queue, self.sync_volume, 1).run(),
        )

    async def sync(self, key: Key) -> None:
        claim = self._claims.store.get(key)
        if claim is None or "deletionTimestamp" in claim["metadata"]:
            return
        if BIND_COMPLETED in meta.annotations(claim) and (claim.get("status") or {}).get("phase") == "Bound":
            return
        volume = None if self._waits_for_consumer(claim) else choose(claim, self._volumes.store.list())
        if volume is None:
            if self._waits_for_consumer(claim):
                text = "waiting for first consumer to be created before binding"
                self._recorder.event(claim, "Normal", "WaitForFirstConsumer", text)
            elif not claim["spec"].get("volumeName"):
                text = "no persistent volumes available for this claim and no storage class is set"
                self._recorder.event(claim, "Normal", "FailedBinding", text)
            await update_status(self._client, CLAIMS, claim, {**(claim.get("status") or {}), "phase": "Pending"})
            return
        await self._bind(claim, volume)

    def _waits_for_consumer(self, claim: Obj) -> bool:
        """The scheduler chooses the volume (and the node) together: then it sets `volumeName` or an annotation."""
        name = claim["spec"].get("storageClassName") or ""
        storage_class = self._classes.store.get(Key("", name))
        if storage_class is None or claim["spec"].get("volumeName"):
            return False
        selected = "volume.kubernetes.io/selected-node" in meta.annotations(claim)
        return storage_class.get("volumeBindingMode") == "WaitForFirstConsumer" and not selected

    async def _bind(self, claim: Obj, volume: Obj) -> None:
        ref = {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "namespace": meta.namespace(claim),
            "name": meta.name(claim),
            "uid": meta.uid(claim),
        }
        had = volume["spec"].get("claimRef") or {}
        if had.get("uid") != ref["uid"]:
            changed = meta.copy(volume)
            changed["spec"]["claimRef"] = ref
            if not had:
                changed["metadata"].setdefault("annotations", {})[BOUND_BY_US] = "yes"
            volume = await self._client.update(VOLUMES, changed)
        await update_status(self._client, VOLUMES, volume, {**(volume.get("status") or {}), "phase": "Bound"})
        changed = meta.copy(claim)
        annotations = changed["metadata"].setdefault("annotations", {})
        annotations[BIND_COMPLETED] = "yes"
        if not claim["spec"].get("volumeName"):
            annotations[BOUND_BY_US] = "yes"
        changed["spec"]["volumeName"] = meta.name(volume)
        if changed != claim:
            claim = await self._client.update(CLAIMS, changed)
        status: dict[str, Any] = {
            **(claim.get("status") or {}),
            "phase": "Bound",
            "accessModes": volume["spec"].get("accessModes"),
            "capacity": volume["spec"].get("capacity"),
        }
        await update_status(self._client, CLAIMS, claim, status)

    async def sync_volume(self, key: Key) -> None:
        """Available, Bound or Released; a released one with policy Delete goes."""
        volume = self._volumes.store.get(key)
        if volume is None:
            return
        ref = volume["spec"].get("claimRef")
        old = (volume.get("status") or {}).get("phase")
        if not ref or not ref.get("uid"):
            phase = "Available"
        else:
            claim = self._claims.store.get(Key(ref["namespace"], ref["name"]))
            if claim is not None and meta.uid(claim) == ref["uid"]:
                return
            phase = "Released"
        if phase != old:
            updated = await update_status(
                self._client, VOLUMES, volume, {**(volume.get("status") or {}), "phase": phase}
            )
            volume = updated or volume
        if phase == "Released" and volume["spec"].get("persistentVolumeReclaimPolicy") == "Delete":
            try:
                await self._client.delete(VOLUMES, key.name, uid=meta.uid(volume))
            except ApiError as error:
                if error.code != 404:
                    raise
