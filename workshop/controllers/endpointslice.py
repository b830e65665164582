"""EndpointSlices: the addresses behind a Service, a hundred a slice. Upstream: `pkg/controller/endpointslice`.

`reconcile` is pure: it compares the endpoints that there should be with the slices that there are, keeps what fits
where it is, fills what has room, and so writes as few slices as it can. When one pod of 5,000 changes, one slice
changes.
"""

from __future__ import annotations

import ipaddress
import json
from dataclasses import dataclass, field
from typing import Any

from workshop.api import meta
from workshop.api.errors import ApiError, is_terminating_namespace
from workshop.api.meta import Key, Obj, key_of
from workshop.api.resources import resource
from workshop.client.informer import Informer

from . import pods, service_pods
from .base import Context, all_of

SLICES = resource("endpointslices.discovery.k8s.io")
SERVICE_NAME = "kubernetes.io/service-name"
MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
MANAGER = "endpointslice-controller.k8s.io"
ZONE = "topology.kubernetes.io/zone"
CLOSE = ("PreferClose", "PreferSameZone", "PreferSameNode")


def endpoint(pod: Obj, service: Obj, family: str, zone: str) -> dict[str, Any] | None:
    """What a slice says of a pod; None where it has no address of that family (`IPv4`, `IPv6`)."""
    addresses = [a["ip"] for a in (pod.get("status") or {}).get("podIPs") or () if family_of(a["ip"]) == family]
    if not addresses and family_of(pod["status"]["podIP"]) == family:
        addresses = [pod["status"]["podIP"]]
    if not addresses:
        return None
    serving, terminating = pods.is_ready(pod), pods.is_terminating(pod)
    ready = bool(service["spec"].get("publishNotReadyAddresses")) or (serving and not terminating)
    made: dict[str, Any] = {
        "addresses": addresses[:1],
        "conditions": {"ready": ready, "serving": serving, "terminating": terminating},
        "targetRef": service_pods.target_ref(pod),
    }
    if pods.node_name(pod):
        made["nodeName"] = pods.node_name(pod)
    if zone:
        made["zone"] = zone
    if name := service_pods.hostname(pod, service):
        made["hostname"] = name
    return made


def hinted(made: dict[str, Any], service: Obj) -> dict[str, Any]:
    """With hints for whom it is, as trafficDistribution wants. Upstream: `endpointslice/trafficdist`."""
    wanted = service["spec"].get("trafficDistribution")
    hints: dict[str, Any] = {}
    if wanted in CLOSE and made.get("zone"):
        hints["forZones"] = [{"name": made["zone"]}]
    if wanted == "PreferSameNode" and made.get("nodeName"):
        hints["forNodes"] = [{"name": made["nodeName"]}]
    return {**made, "hints": hints} if hints and made["conditions"]["ready"] else made


def family_of(address: str) -> str:
    return f"IPv{ipaddress.ip_address(address).version}"


def families(service: Obj) -> list[str]:
    return list(service["spec"].get("ipFamilies") or ["IPv4"])


Group = tuple[str, str]
"""(address family, ports as JSON): endpoints of one group may share a slice."""


def desired(service: Obj, found: list[Obj], zones: dict[str, str]) -> dict[Group, list[dict[str, Any]]]:
    """The endpoints that there should be, in the groups whose slices they may share; `zones` by the node's name."""
    groups: dict[Group, list[dict[str, Any]]] = {}
    for pod in found:
        if not service_pods.has_address(pod, include_terminating=True):
            continue
        ports = json.dumps(service_pods.ports_at(pod, service), sort_keys=True)
        for family in families(service):
            made = endpoint(pod, service, family, zones.get(pods.node_name(pod), ""))
            if made is not None:
                groups.setdefault((family, ports), []).append(hinted(made, service))
    return groups


@dataclass
class Changes:
    """Slices to write."""

    create: list[Obj] = field(default_factory=list)
    update: list[Obj] = field(default_factory=list)
    delete: list[Obj] = field(default_factory=list)


def reconcile(
    service: Obj, wanted: dict[Group, list[dict[str, Any]]], existing: list[Obj], limit: int = 100
) -> Changes:
    """The fewest writes that make the slices `existing` say what is `wanted`, none with more than `limit` endpoints."""
    changes = Changes()
    by_group: dict[Group, list[Obj]] = {}
    for one in existing:
        group = (one["addressType"], json.dumps(one.get("ports") or [], sort_keys=True))
        by_group.setdefault(group, []).append(one)
    if not wanted and not by_group:
        wanted = {(family, "[]"): [] for family in families(service)}  # one empty slice says: no endpoints
    labels = slice_labels(service)
    for group in sorted(set(wanted) | set(by_group)):
        _reconcile_group(service, group, wanted.get(group, []), by_group.get(group, []), labels, limit, changes)
    if not wanted and not changes.create and len(changes.delete) == len(existing) and existing:
        keep = changes.delete.pop()  # the last slice stays, empty
        if keep.get("endpoints") or meta.labels(keep) != labels:
            changes.update.append(_with(keep, [], labels))
    return changes


def _reconcile_group(
    service: Obj,
    group: Group,
    wanted: list[dict[str, Any]],
    existing: list[Obj],
    labels: dict[str, str],
    limit: int,
    changes: Changes,
) -> None:
    todo = {e["targetRef"]["uid"]: e for e in wanted}
    kept: list[tuple[Obj, list[dict[str, Any]], bool]] = []
    for one in existing:
        old = one.get("endpoints") or []
        stay = [todo.pop(uid) for e in old if (uid := (e.get("targetRef") or {}).get("uid")) in todo]
        kept.append((one, stay, stay != old or meta.labels(one) != labels))
    rest = list(todo.values())
    # Fill slices that are to be written anyway, the fullest first; then others; then make new ones.
    for one, stay, changed in sorted(kept, key=lambda k: (not k[2], -len(k[1]))):
        if changed or rest:
            room = limit - len(stay)
            if rest and room > 0 and (changed or len(rest) <= room):
                stay.extend(rest[:room])
                del rest[:room]
                changed = True
        if not stay:
            changes.delete.append(one)
        elif changed:
            changes.update.append(_with(one, stay, labels))
    while rest or (not existing and not wanted):
        changes.create.append(_new(service, group, rest[:limit], labels))
        del rest[:limit]
        if not rest:
            break


def _with(one: Obj, endpoints: list[dict[str, Any]], labels: dict[str, str]) -> Obj:
    return {**one, "metadata": {**one["metadata"], "labels": labels}, "endpoints": endpoints}


def _new(service: Obj, group: Group, endpoints: list[dict[str, Any]], labels: dict[str, str]) -> Obj:
    owner = {**service, "apiVersion": "v1", "kind": "Service"}
    return {
        "metadata": {
            "generateName": f"{meta.name(service)}-",
            "namespace": meta.namespace(service),
            "labels": labels,
            "ownerReferences": [meta.owner_reference(owner)],
        },
        "addressType": group[0],
        "endpoints": endpoints,
        "ports": json.loads(group[1]),
    }


def slice_labels(service: Obj) -> dict[str, str]:
    own = {k: v for k, v in meta.labels(service).items() if k not in (service_pods.HEADLESS, SERVICE_NAME, MANAGED_BY)}
    headless = {service_pods.HEADLESS: ""} if service_pods.is_headless(service) else {}
    return {**own, **headless, SERVICE_NAME: meta.name(service), MANAGED_BY: MANAGER}


def by_service(one: Obj) -> tuple[str]:
    return (f"{meta.namespace(one)}/{meta.labels(one).get(SERVICE_NAME, '')}",)


class EndpointSliceController:
    def __init__(self, context: Context) -> None:
        self._context = context
        self._client = context.client
        self._queue = context.queue()
        self._services = context.informer("services")
        self._pods = context.informer("pods")
        self._nodes: Informer = context.informer("nodes")
        self._slices = context.informer("endpointslices.discovery.k8s.io")
        self._slices.store.add_index("service", by_service)
        service_pods.ServiceQueue(self._queue, self._services, self._pods)
        self._slices.add_handler(None, self._slice_updated, self._slice_gone)
        self._nodes.add_handler(self._node_seen, self._node_updated)
        # What we wrote and the cache may not show yet: uid → resourceVersion (upstream's EndpointSliceTracker).
        self._written: dict[Key, dict[str, str]] = {}

    def _slice_updated(self, old: Obj, new: Obj) -> None:
        key = Key(meta.namespace(new), meta.labels(new).get(SERVICE_NAME, ""))
        if self._written.get(key, {}).get(meta.uid(new)) == meta.resource_version(new):
            return
        if meta.labels(new).get(MANAGED_BY) == MANAGER or meta.labels(old).get(MANAGED_BY) == MANAGER:
            self._queue.add_after(Key(meta.namespace(old), meta.labels(old).get(SERVICE_NAME, "")), service_pods.SETTLE)

    def _slice_gone(self, one: Obj) -> None:
        key = Key(meta.namespace(one), meta.labels(one).get(SERVICE_NAME, ""))
        self._written.get(key, {}).pop(meta.uid(one), None)  # somebody else deleted it: do not wait for it
        if meta.labels(one).get(MANAGED_BY) == MANAGER:
            self._queue.add_after(Key(meta.namespace(one), meta.labels(one).get(SERVICE_NAME, "")), service_pods.SETTLE)

    def _node_seen(self, node: Obj) -> None:
        if meta.labels(node).get(ZONE):
            for service in self._services.store.list():
                self._queue.add(key_of(service))

    def _node_updated(self, old: Obj, new: Obj) -> None:
        if meta.labels(old).get(ZONE) != meta.labels(new).get(ZONE):
            self._node_seen(new)

    async def run(self) -> None:
        await self._context.controller(self._queue, self.sync, self._context.options.workers("service-endpoint")).run()

    async def sync(self, key: Key) -> None:
        service = self._services.store.get(key)
        if service is None:
            self._written.pop(key, None)
            return  # the slices are owned by the Service: garbage collection takes them
        if not service["spec"].get("selector") or service["spec"].get("type") == "ExternalName":
            return
        if "deletionTimestamp" in service["metadata"]:
            return
        zones = {meta.name(node): meta.labels(node).get(ZONE, "") for node in self._nodes.store.list()}
        wanted = desired(service, service_pods.pods_of(service, self._pods.store), zones)
        existing = [
            one
            for one in self._slices.store.by_index("service", str(key))
            if meta.labels(one).get(MANAGED_BY) == MANAGER and "deletionTimestamp" not in one["metadata"]
        ]
        if self._cache_is_behind(key, existing):
            raise ApiError(
                {"code": 409, "reason": "Conflict", "message": "EndpointSlice informer cache is out of date"}
            )
        changes = reconcile(service, wanted, existing, self._context.options.max_endpoints_per_slice)
        await all_of(
            [
                *(self._write(key, self._client.create(SLICES, one)) for one in changes.create),
                *(self._write(key, self._client.update(SLICES, one)) for one in changes.update),
                *(self._remove(key, one) for one in changes.delete),
            ]
        )

    def _cache_is_behind(self, key: Key, existing: list[Obj]) -> bool:
        """A slice that we wrote and do not see, or see in an older version: deciding now would write it twice."""
        versions = {meta.uid(one): meta.resource_version(one) for one in existing}
        for uid, version in self._written.get(key, {}).items():
            seen = versions.get(uid)
            if seen is None or (seen.isdigit() and version.isdigit() and int(seen) < int(version)):
                return True
        return False

    async def _write(self, key: Key, request: Any) -> None:
        try:
            written = await request
        except ApiError as error:
            if is_terminating_namespace(error):
                return
            if error.code == 404:
                self._written.pop(key, None)
            raise
        self._written.setdefault(key, {})[meta.uid(written)] = meta.resource_version(written)

    async def _remove(self, key: Key, one: Obj) -> None:
        self._written.get(key, {}).pop(meta.uid(one), None)
        try:
            await self._client.delete(SLICES, meta.name(one), meta.namespace(one), uid=meta.uid(one))
        except ApiError as error:
            if error.code != 404:
                raise
