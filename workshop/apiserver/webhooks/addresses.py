"""Where a Service is, and where nobody may send the API server.

A webhook's url is written by whoever may write webhooks; the API server stands where more can be reached than its
clients reach. So what only the machine itself should ask (link-local addresses, where clouds answer with credentials),
and what is no host at all, is refused by address, after the name was looked up: a name may point anywhere.

Upstream: apiserver/pkg/util/proxy/proxy.go (ResolveEndpoint, ResolveCluster); the refusals are ours.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable
from random import Random

from workshop.api.meta import Obj
from workshop.api.resources import Resource, resource

SERVICES, SLICES = resource("services"), resource("endpointslices.discovery.k8s.io")
METADATA = frozenset({"169.254.169.254", "fd00:ec2::254", "100.100.100.200"})
Get = Callable[[Resource, str, str], Awaitable[Obj | None]]
List = Callable[[Resource, str], Awaitable[list[Obj]]]


class NoAddress(ValueError):
    """There is nothing to speak to; says why."""


def forbidden(address: str) -> str:
    """Why nobody may send us to this address; "" if it may be."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return f"{address} is no address"
    mapped = getattr(ip, "ipv4_mapped", None)
    if mapped is not None:
        return forbidden(str(mapped))
    if str(ip) in METADATA or ip.is_link_local:
        return f"{address} is a link-local or metadata address"
    if ip.is_multicast or ip.is_unspecified:
        return f"{address} is no address of a host"
    return ""


async def look_up(host: str, port: int) -> str:
    """The first address of a host that may be asked. Raises NoAddress."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError:
        raise NoAddress(f"dial tcp: lookup {host}: no such host") from None
    addresses = [str(entry[4][0]) for entry in found]
    for address in addresses:  # one bad address is enough: who answers so has something in mind
        if why := forbidden(address):
            raise NoAddress(f"dial tcp: refusing to connect to {host}: {why}")
    return addresses[0]


class Services:
    """Finds the address of a Service: its ClusterIP, or one of its ready endpoints (`--enable-aggregator-routing`)."""

    def __init__(self, get: Get, list_: List, random: Random, to_endpoints: bool = False) -> None:
        self._get, self._list, self._random, self._to_endpoints = get, list_, random, to_endpoints

    async def find(self, namespace: str, name: str, port: int) -> tuple[str, int]:
        """(address, port). Raises NoAddress."""
        service = await self._get(SERVICES, name, namespace)
        if service is None:
            raise NoAddress(f'service "{name}" not found')
        spec = service["spec"]
        if spec.get("type") == "ExternalName":
            return await look_up(spec["externalName"], port), port
        named = next((p for p in spec.get("ports") or () if p["port"] == port), None)
        if named is None:
            raise NoAddress(f'no service port {port} found for service "{name}"')
        cluster_ip = spec.get("clusterIP") or ""
        if self._to_endpoints or cluster_ip in ("", "None"):
            return await self._endpoint(namespace, name, named.get("name") or "")
        if why := forbidden(cluster_ip):
            raise NoAddress(why)
        return cluster_ip, port

    async def _endpoint(self, namespace: str, name: str, port: str) -> tuple[str, int]:
        found: list[tuple[str, int]] = []
        for slice in await self._list(SLICES, namespace):
            if (slice["metadata"].get("labels") or {}).get("kubernetes.io/service-name") != name:
                continue
            number = next((p["port"] for p in slice.get("ports") or () if (p.get("name") or "") == port), None)
            for endpoint in slice.get("endpoints") or ():
                if number and (endpoint.get("conditions") or {}).get("ready", True):
                    found += [(address, number) for address in endpoint["addresses"] if not forbidden(address)]
        if not found:
            raise NoAddress(f'no endpoints available for service "{name}"')
        return found[self._random.randrange(len(found))]
