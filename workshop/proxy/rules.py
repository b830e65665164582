"""PURE: from Services and EndpointSlices to what this node listens on, and where each leads.

Upstream: `pkg/proxy/servicechangetracker.go`, `pkg/proxy/endpointslicecache.go`, `pkg/proxy/topology.go`.

    render([web], [web-abc], NodeView("node-1", "10.7.254.11"))
    {Listen('TCP', '10.7.128.9', 80): Target('default/web:http', (Endpoint('10.7.0.5', 80), …), 0)}
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
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
    """Where a connection goes: one of `endpoints`; `affinity` seconds for ClientIP affinity, 0 for none. `sources`:
    ranges of clients that may come (a load balancer's), empty for all."""

    port_name: str
    endpoints: tuple[Endpoint, ...]
    affinity: int
    sources: tuple[str, ...] = ()

    def admits(self, client: str) -> bool:
        """Whether this client may come.

        >>> Target("default/web", (), 0, ("10.0.0.0/8",)).admits("192.168.0.1")
        False
        """
        at = ip_address(client) if self.sources else None
        return at is None or any(at in ip_network(source, strict=False) for source in self.sources)


@dataclass(frozen=True)
class NodeView:
    """What the proxy knows of its node. `lowest_port` is the lowest one that may be bound on a loopback address;
    `zone` comes from the Node's label topology.kubernetes.io/zone."""

    name: str
    address: str
    lowest_port: int = 0
    zone: str = ""

    @property
    def shared(self) -> bool:
        """Mode plain: Services' addresses are loopback addresses, which the proxies of all nodes share."""
        return self.address.startswith("127.")


@dataclass(frozen=True)
class Way:
    """One way to reach a Service's port. `local`: only endpoints of this node."""

    address: str
    port: int
    local: bool
    sources: tuple[str, ...] = ()


@dataclass(frozen=True)
class HealthCheck:
    """A port of the node, and how many endpoints of the Service are ready there."""

    port: int
    endpoints: int


Found = tuple[dict[str, Any], Endpoint]
"""An endpoint as the slice has it, and where it is."""


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
            for way in listens(service, port, node):
                target = target_of(service, port, own, node, way)
                if target.endpoints:
                    number = shifted(way.address, way.port, node)
                    rules[Listen(port.get("protocol", "TCP"), way.address, number)] = target
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


def listens(service: Obj, port: dict[str, Any], node: NodeView) -> Iterator[Way]:
    """Each way to reach a Service's port."""
    spec = service["spec"]
    inside = spec.get("internalTrafficPolicy") == "Local"
    outside = spec.get("externalTrafficPolicy") == "Local"
    for address in spec.get("clusterIPs") or [spec["clusterIP"]]:
        if ":" not in address:
            yield Way(address, port["port"], inside)
    for address in spec.get("externalIPs") or []:
        yield Way(address, port["port"], outside)
    sources = tuple(source.strip() for source in spec.get("loadBalancerSourceRanges") or ())
    for address in load_balancer_addresses(service):
        yield Way(address, port["port"], outside, sources)
    if port.get("nodePort"):
        yield Way(node.address, port["nodePort"], outside)


def unheeded(service: Obj, node: NodeView) -> list[str]:
    """Fields of a Service that cannot be heeded here: in mode plain all nodes share a ClusterIP on one machine, and the
    kernel gives a connection to any of their proxies.

    >>> web = {"spec": {"clusterIP": "127.7.128.9", "internalTrafficPolicy": "Local"}}
    >>> unheeded(web, NodeView("node-1", "127.7.254.11"))
    ['spec.internalTrafficPolicy']
    """
    spec = service["spec"]
    if not node.shared or spec.get("clusterIP") in (None, "", "None"):
        return []
    found = ["spec.internalTrafficPolicy"] if spec.get("internalTrafficPolicy") == "Local" else []
    return found + (["spec.trafficDistribution"] if spec.get("trafficDistribution") else [])


def load_balancer_addresses(service: Obj) -> list[str]:
    """Addresses that a cloud gave to the Service, where traffic comes with that address as destination."""
    ingress = (service.get("status") or {}).get("loadBalancer", {}).get("ingress") or []
    return [entry["ip"] for entry in ingress if entry.get("ip") and entry.get("ipMode", "VIP") == "VIP"]


def target_of(service: Obj, port: dict[str, Any], slices: list[Obj], node: NodeView, way: Way) -> Target:
    """The endpoints of one Service port: the ready ones; if there are none, those that end but still serve."""
    spec, meta = service["spec"], service["metadata"]
    found = list(_endpoints(slices, port, node))
    if way.local:
        found = [pair for pair in found if pair[0].get("nodeName") == node.name]
    ready = [pair for pair in found if _condition(pair[0], "ready", True)]
    usable = [at for _, at in (ready if way.local else near(ready, node))]
    if not usable:
        usable = [
            at for entry, at in found if _condition(entry, "serving", False) and _condition(entry, "terminating", False)
        ]
    affinity = 0
    if spec.get("sessionAffinity") == "ClientIP":
        config = (spec.get("sessionAffinityConfig") or {}).get("clientIP") or {}
        affinity = config.get("timeoutSeconds") or DEFAULT_AFFINITY_SECONDS
    name = f"{meta.get('namespace', '')}/{meta['name']}" + (f":{port['name']}" if port.get("name") else "")
    return Target(name, tuple(sorted(set(usable))), affinity, way.sources)


def near(ready: list[Found], node: NodeView) -> list[Found]:
    """Those that the hints of the slices name for this node, else for its zone; all, as soon as one has no hint or
    none is named. Upstream: `topologyModeFromHints`."""
    for field, here in (("forNodes", node.name), ("forZones", node.zone)):
        hints = [{hint["name"] for hint in (entry.get("hints") or {}).get(field) or ()} for entry, _ in ready]
        if all(hints) and any(here in named for named in hints):
            return [pair for pair, named in zip(ready, hints, strict=True) if here in named]
    return ready


def health_checks(services: Iterable[Obj], slices: Iterable[Obj], node: NodeView) -> dict[tuple[str, str], HealthCheck]:
    """(namespace, name) → what a load balancer asks this node: Services that want their traffic at the node where it
    arrived (externalTrafficPolicy Local). Upstream: `pkg/proxy/healthcheck/service_health.go`."""
    found = {}
    here: dict[tuple[str, str], set[str]] = {}
    for endpoint_slice in slices:
        labels = endpoint_slice["metadata"].get("labels") or {}
        if endpoint_slice.get("addressType") != "IPv4" or SERVICE_NAME not in labels:
            continue
        ready = (
            address
            for entry in endpoint_slice.get("endpoints") or []
            if entry.get("nodeName") == node.name and _condition(entry, "ready", True)
            for address in (entry.get("addresses") or [])[:1]
        )
        key = (endpoint_slice["metadata"].get("namespace", ""), labels[SERVICE_NAME])
        here.setdefault(key, set()).update(ready)
    for service in services:
        spec, meta = service["spec"], service["metadata"]
        port = spec.get("healthCheckNodePort")
        if handled(service) and port and spec.get("externalTrafficPolicy") == "Local":
            key = (meta.get("namespace", ""), meta["name"])
            found[key] = HealthCheck(shifted(node.address, port, node), len(here.get(key, ())))
    return found


def _endpoints(slices: list[Obj], port: dict[str, Any], node: NodeView) -> Iterator[Found]:
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
