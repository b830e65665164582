"""PURE: from Services and EndpointSlices to what this node listens on, and where each leads.

Upstream: `pkg/proxy/servicechangetracker.go`, `pkg/proxy/endpointslicecache.go`, `pkg/proxy/topology.go`.

    render([web], [web-abc], NodeView("node-1", "10.7.254.11"))
    {Listen('TCP', '10.7.128.9', 80): Target('default/web:http', (Endpoint('10.7.0.5', 80), …), 0)}
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from workshop.api.meta import Obj

SERVICE_NAME = "kubernetes.io/service-name"
OTHER_PROXY = "service.kubernetes.io/service-proxy-name"
HEADLESS = "service.kubernetes.io/headless"
DEFAULT_AFFINITY_SECONDS = 10800
SHIFT = 10_000


@dataclass(frozen=True, order=True)
class Listen:
    """Where this node listens for a Service's port."""

    protocol: str
    address: str
    port: int

    def __str__(self) -> str:
        return f"{self.address}:{self.port}/{self.protocol}"


@dataclass(frozen=True, order=True)
class Endpoint:
    address: str
    port: int


@dataclass(frozen=True)
class Target:
    """Where a connection goes: one of `endpoints`; `affinity` seconds for ClientIP affinity, 0 for none."""

    port_name: str
    endpoints: tuple[Endpoint, ...]
    affinity: int


@dataclass(frozen=True)
class NodeView:
    """What the proxy knows of its node. `lowest_port` is the lowest one that may be bound on a loopback address."""

    name: str
    address: str
    lowest_port: int = 0


def render(services: Iterable[Obj], slices: Iterable[Obj], node: NodeView) -> dict[Listen, Target]:
    """Everything to listen on. A Service port without usable endpoints is not in it: connections are refused."""
    by_service: dict[tuple[str, str], list[Obj]] = {}
    for endpoint_slice in slices:
        labels = endpoint_slice["metadata"].get("labels") or {}
        if endpoint_slice.get("addressType") == "IPv4" and HEADLESS not in labels and SERVICE_NAME in labels:
            key = (endpoint_slice["metadata"].get("namespace", ""), labels[SERVICE_NAME])
            by_service.setdefault(key, []).append(endpoint_slice)
    rules: dict[Listen, Target] = {}
    for service in services:
        if not handled(service):
            continue
        meta = service["metadata"]
        own = by_service.get((meta.get("namespace", ""), meta["name"]), [])
        for port in service["spec"].get("ports") or []:
            for address, number, local in listens(service, port, node):
                target = target_of(service, port, own, node, local)
                if target.endpoints:
                    rules[Listen(port.get("protocol", "TCP"), address, shifted(address, number, node))] = target
    return rules


def handled(service: Obj) -> bool:
    """Not headless, not ExternalName, and not another proxy's."""
    spec = service.get("spec") or {}
    labels = service["metadata"].get("labels") or {}
    return (
        spec.get("clusterIP") not in (None, "", "None")
        and spec.get("type") != "ExternalName"
        and OTHER_PROXY not in labels
    )


def listens(service: Obj, port: dict[str, Any], node: NodeView) -> Iterator[tuple[str, int, bool]]:
    """(address, port, only endpoints of this node?) for each way to reach a Service's port."""
    spec = service["spec"]
    inside = spec.get("internalTrafficPolicy") == "Local"
    outside = spec.get("externalTrafficPolicy") == "Local"
    for address in spec.get("clusterIPs") or [spec["clusterIP"]]:
        if ":" not in address:
            yield address, port["port"], inside
    for address in [*(spec.get("externalIPs") or []), *load_balancer_addresses(service)]:
        yield address, port["port"], outside
    if port.get("nodePort"):
        yield node.address, port["nodePort"], outside


def load_balancer_addresses(service: Obj) -> list[str]:
    """Addresses that a cloud gave to the Service, where traffic comes with that address as destination."""
    ingress = (service.get("status") or {}).get("loadBalancer", {}).get("ingress") or []
    return [entry["ip"] for entry in ingress if entry.get("ip") and entry.get("ipMode", "VIP") == "VIP"]


def target_of(service: Obj, port: dict[str, Any], slices: list[Obj], node: NodeView, local: bool) -> Target:
    """The endpoints of one Service port: the ready ones; if there are none, those that end but still serve."""
    spec, meta = service["spec"], service["metadata"]
    found = [entry for entry in _endpoints(slices, port, node) if not local or entry[0].get("nodeName") == node.name]
    usable = [at for entry, at in found if _condition(entry, "ready", True)]
    if not usable:
        usable = [
            at for entry, at in found if _condition(entry, "serving", False) and _condition(entry, "terminating", False)
        ]
    affinity = 0
    if spec.get("sessionAffinity") == "ClientIP":
        config = (spec.get("sessionAffinityConfig") or {}).get("clientIP") or {}
        affinity = config.get("timeoutSeconds") or DEFAULT_AFFINITY_SECONDS
    name = f"{meta.get('namespace', '')}/{meta['name']}" + (f":{port['name']}" if port.get("name") else "")
    return Target(name, tuple(sorted(set(usable))), affinity)


def _endpoints(slices: list[Obj], port: dict[str, Any], node: NodeView) -> Iterator[tuple[dict[str, Any], Endpoint]]:
    """A slice's ports are matched by name and protocol; the number is the pod's, already resolved."""
    for endpoint_slice in slices:
        for candidate in endpoint_slice.get("ports") or []:
            same = (candidate.get("name") or "") == (port.get("name") or "")
            if not same or candidate.get("protocol", "TCP") != port.get("protocol", "TCP") or not candidate.get("port"):
                continue
            for entry in endpoint_slice.get("endpoints") or []:
                for address in (entry.get("addresses") or [])[:1]:
                    yield entry, Endpoint(address, shifted(address, candidate["port"], node))


def _condition(entry: dict[str, Any], name: str, unknown: bool) -> bool:
    value = (entry.get("conditions") or {}).get(name)
    return unknown if value is None else bool(value)


def shifted(address: str, port: int, node: NodeView) -> int:
    """Mode plain: a loopback port that may not be bound is 10,000 higher, wherever somebody would bind it.

    >>> shifted("127.7.128.9", 80, NodeView("n", "127.7.254.11", lowest_port=1024))
    10080
    >>> shifted("10.7.128.9", 80, NodeView("n", "10.7.254.11", lowest_port=1024))
    80
    """
    return port + SHIFT if address.startswith("127.") and port < node.lowest_port else port


def changes(now: dict[Listen, Target], wanted: dict[Listen, Target]) -> tuple[list[Listen], list[Listen]]:
    """What to close and what to open. A target that only changed its endpoints keeps its socket."""
    return sorted(now.keys() - wanted.keys()), sorted(wanted.keys() - now.keys())
