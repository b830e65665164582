"""Endpoints: the addresses behind a Service, in one object. Upstream: `pkg/controller/endpoint`.

The older form, deprecated since 1.33 and still written by the real one. `subsets` is pure.
"""

from __future__ import annotations

import json
from typing import Any

from workshop.api import meta
from workshop.api.errors import ApiError, is_already_exists, is_terminating_namespace
from workshop.api.meta import Key, Obj
from workshop.api.resources import resource

from . import pods, service_pods
from .base import Context

ENDPOINTS = resource("endpoints")
CAPACITY = 1000
OVER_CAPACITY = "endpoints.kubernetes.io/over-capacity"
MANAGED_BY = "endpoints.kubernetes.io/managed-by"


def subsets(service: Obj, found: list[Obj]) -> list[dict[str, Any]]:
    """Addresses that have the same ports stand together: `[{addresses, notReadyAddresses, ports}]`."""
    groups: dict[str, dict[str, Any]] = {}
    publish = bool(service["spec"].get("publishNotReadyAddresses"))
    for pod in found:
        if not service_pods.has_address(pod, include_terminating=publish):
            continue
        address: dict[str, Any] = {"ip": pod["status"]["podIP"]}
        if name := service_pods.hostname(pod, service):
            address["hostname"] = name
        if pods.node_name(pod):
            address["nodeName"] = pods.node_name(pod)
        address["targetRef"] = service_pods.target_ref(pod)
        ports = [{k: v for k, v in p.items() if v != ""} for p in service_pods.ports_at(pod, service)]
        if not ports and service["spec"].get("ports"):
            continue
        ports.sort(key=lambda p: (p.get("name", ""), p["port"], p["protocol"]))
        group = groups.setdefault(json.dumps(ports), {"addresses": [], "notReadyAddresses": [], "ports": ports})
        if publish or pods.is_ready(pod):
            group["addresses"].append(address)
        elif pod["spec"].get("restartPolicy") != "Never" or pods.phase(pod) in ("Pending", "Running", ""):
            group["notReadyAddresses"].append(address)
    result = []
    for _, group in sorted(groups.items()):
        for field in ("addresses", "notReadyAddresses"):
            group[field].sort(key=lambda a: (a["ip"], a["targetRef"]["uid"]))
        result.append({k: v for k, v in group.items() if v})
    return [subset for subset in result if "addresses" in subset or "notReadyAddresses" in subset]


def truncate(found: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], bool]:
    """At most 1000 addresses, ready ones first. → what is kept, whether something was cut."""
    room, cut, result = CAPACITY, False, []
    for field in ("addresses", "notReadyAddresses"):
        for subset in found:
            listed = subset.get(field) or []
            if len(listed) > room:
                subset, cut = {**subset, field: listed[:room]}, True
            room -= len(subset.get(field) or [])
            result.append((field, subset))
    if not cut:
        return found, False
    kept: dict[int, dict[str, Any]] = {}
    for i, (field, subset) in enumerate(result):
        merged = kept.setdefault(i % len(found), {"ports": subset.get("ports")})
        merged[field] = subset.get(field)
    return [{k: v for k, v in s.items() if v} for s in kept.values()], True


class EndpointsController:
    def __init__(self, context: Context) -> None:
        self._context = context
        self._client = context.client
        self._queue = context.queue()
        self._services = context.informer("services")
        self._pods = context.informer("pods")
        self._endpoints = context.informer("endpoints")
        services = service_pods.ServiceQueue(self._queue, self._services, self._pods)
        self._endpoints.add_handler(None, None, services.seen)

    async def run(self) -> None:
        await self._context.controller(self._queue, self.sync, self._context.options.workers("endpoint")).run()

    async def sync(self, key: Key) -> None:
        service = self._services.store.get(key)
        if service is None:
            current = self._endpoints.store.get(key)
            if current is not None and MANAGED_BY in meta.labels(current):
                await self._delete(key)
            return
        if not service["spec"].get("selector") or service["spec"].get("type") == "ExternalName":
            return
        wanted, cut = truncate(subsets(service, service_pods.pods_of(service, self._pods.store)))
        current = self._endpoints.store.get(key)
        labels = {k: v for k, v in meta.labels(service).items() if k != service_pods.HEADLESS}
        labels[MANAGED_BY] = "endpoint-controller"
        if service_pods.is_headless(service):
            labels[service_pods.HEADLESS] = ""
        annotations = dict(meta.annotations(current)) if current is not None else {}
        annotations.pop(OVER_CAPACITY, None)
        if cut:
            annotations[OVER_CAPACITY] = "truncated"
        if (
            current is not None
            and (current.get("subsets") or []) == wanted
            and meta.labels(current) == labels
            and meta.annotations(current) == annotations
        ):
            return
        metadata = dict(current["metadata"]) if current is not None else {"name": key.name, "namespace": key.namespace}
        obj = {"metadata": {**metadata, "labels": labels, "annotations": annotations}, "subsets": wanted}
        try:
            if current is None:
                await self._client.create(ENDPOINTS, obj)
            else:
                await self._client.update(ENDPOINTS, obj)
        except ApiError as error:
            if is_terminating_namespace(error):
                return
            if is_already_exists(error):
                raise ApiError({**error.status, "reason": "Conflict"}) from error
            raise

    async def _delete(self, key: Key) -> None:
        try:
            await self._client.delete(ENDPOINTS, key.name, key.namespace)
        except ApiError as error:
            if error.code != 404:
                raise
