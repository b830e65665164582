"""Endpoints that somebody writes by hand are shown as EndpointSlices too. Upstream:
`pkg/controller/endpointslicemirroring`.

For a Service without a selector whose Endpoints object no controller manages: kube-proxy reads only slices.
"""

from __future__ import annotations

import json
from typing import Any

from workshop.api import meta
from workshop.api.errors import ApiError, is_terminating_namespace
from workshop.api.meta import Key, Obj, key_of

from . import endpoints
from .base import Context, all_of
from .endpointslice import MANAGED_BY, SERVICE_NAME, SLICES, by_service, family_of

MIRROR = "endpointslicemirroring-controller.k8s.io"
SKIP = "endpointslice.kubernetes.io/skip-mirror"
LEADER = "control-plane.alpha.kubernetes.io/leader"
MAX_ADDRESSES = 1000


def is_mirrored(one: Obj) -> bool:
    labels = meta.labels(one)
    return labels.get(SKIP) != "true" and endpoints.MANAGED_BY not in labels and LEADER not in meta.annotations(one)


def slices(one: Obj) -> list[Obj]:
    """The slices of an Endpoints object: one for each subset and address family."""
    result: list[Obj] = []
    for subset in one.get("subsets") or ():
        families: dict[str, list[dict[str, Any]]] = {}
        for field, ready in (("addresses", True), ("notReadyAddresses", False)):
            for address in (subset.get(field) or ())[:MAX_ADDRESSES]:
                made: dict[str, Any] = {"addresses": [address["ip"]], "conditions": {"ready": ready}}
                made |= {k: address[k] for k in ("hostname", "nodeName", "targetRef") if address.get(k)}
                families.setdefault(family_of(address["ip"]), []).append(made)
        ports = [{"name": p.get("name", ""), **p} for p in subset.get("ports") or ()]
        for family, found in sorted(families.items()):
            result.append({"addressType": family, "endpoints": found, "ports": ports})
    return result


def content(one: Obj) -> str:
    """What makes two slices the same to a reader."""
    fields = {k: one.get(k) or [] for k in ("addressType", "endpoints", "ports")}
    return json.dumps(fields, sort_keys=True)


class EndpointSliceMirroringController:
    def __init__(self, context: Context) -> None:
        self._context = context
        self._client = context.client
        self._queue = context.queue()
        self._services = context.informer("services")
        self._endpoints = context.informer("endpoints")
        self._slices = context.informer("endpointslices.discovery.k8s.io")
        self._slices.store.add_index("service", by_service)
        for informer in (self._services, self._endpoints):
            informer.add_handler(self._seen, lambda old, new: self._seen(new), self._seen)
        self._slices.add_handler(self._slice_seen, lambda old, new: self._slice_seen(new), self._slice_seen)

    def _seen(self, obj: Obj) -> None:
        self._queue.add(key_of(obj))

    def _slice_seen(self, one: Obj) -> None:
        if meta.labels(one).get(MANAGED_BY) == MIRROR:
            self._queue.add_after(Key(meta.namespace(one), meta.labels(one).get(SERVICE_NAME, "")), 0.02)

    async def run(self) -> None:
        await self._context.controller(self._queue, self.sync).run()

    async def sync(self, key: Key) -> None:
        service, one = self._services.store.get(key), self._endpoints.store.get(key)
        existing = [
            s for s in self._slices.store.by_index("service", str(key)) if meta.labels(s).get(MANAGED_BY) == MIRROR
        ]
        wanted: list[Obj] = []
        if service is not None and not service["spec"].get("selector") and one is not None and is_mirrored(one):
            wanted = slices(one)
        kept = {content(s) for s in existing}
        shown = {content(s) for s in wanted}
        # What nobody wants, and doubles (two syncs before the cache showed the first one's slice).
        texts = [content(s) for s in existing]
        stale = [s for i, s in enumerate(existing) if texts[i] not in shown or texts[i] in texts[:i]]
        new = [s for s in wanted if content(s) not in kept]
        acts = []
        while stale and new:  # write over an old one: readers see one change, not a gap
            acts.append(self._write({**stale.pop(0), **new.pop(0)}, update=True))
        acts += [self._delete(s) for s in stale]
        acts += [self._write(self._made(key, one, s), update=False) for s in new if one is not None]
        await all_of(acts)

    def _made(self, key: Key, one: Obj, content: Obj) -> Obj:
        labels = {**meta.labels(one), SERVICE_NAME: key.name, MANAGED_BY: MIRROR}
        owner = {**one, "apiVersion": "v1", "kind": "Endpoints"}
        metadata = {
            "generateName": f"{key.name}-",
            "namespace": key.namespace,
            "labels": labels,
            "ownerReferences": [meta.owner_reference(owner)],
        }
        return {"metadata": metadata, **content}

    async def _write(self, one: Obj, update: bool) -> None:
        try:
            if update:
                await self._client.update(SLICES, one)
            else:
                await self._client.create(SLICES, one)
        except ApiError as error:
            if not is_terminating_namespace(error):
                raise

    async def _delete(self, one: Obj) -> None:
        try:
            await self._client.delete(SLICES, meta.name(one), meta.namespace(one), uid=meta.uid(one))
        except ApiError as error:
            if error.code != 404:
                raise
