"""Each node gets a range of pod addresses of its own, at once when it appears. Upstream: `pkg/controller/nodeipam`."""

from __future__ import annotations

import ipaddress

from workshop.api import meta
from workshop.api.errors import ApiError
from workshop.api.meta import Key, Obj, key_of
from workshop.api.resources import resource

from .base import Context

NODES = resource("nodes")
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class CidrSet:
    """The ranges of one cluster CIDR. `allocate` gives the first free one after the last given, as upstream does, so
    that a range of a deleted node rests before it is used again."""

    def __init__(self, cluster: str, mask: int) -> None:
        self._cluster = ipaddress.ip_network(cluster)
        if not self._cluster.prefixlen <= mask <= self._cluster.prefixlen + 16:
            raise ValueError(f"node CIDR mask size {mask} does not fit the cluster CIDR {cluster}")
        self._mask = mask
        self._count = 1 << (mask - self._cluster.prefixlen)
        self._step = 1 << (self._cluster.max_prefixlen - mask)
        self._used: set[int] = set()
        self._next = 0

    def occupy(self, cidr: str) -> None:
        """All ranges that `cidr` touches. One outside of the cluster's CIDR is nobody's business here."""
        network = ipaddress.ip_network(cidr)
        if network.version == self._cluster.version and network.overlaps(self._cluster):
            self._used.update(self._indexes(network))

    def release(self, cidr: str) -> None:
        network = ipaddress.ip_network(cidr)
        if network.version == self._cluster.version and network.overlaps(self._cluster):
            self._used.difference_update(self._indexes(network))

    def _indexes(self, network: Network) -> range:
        base = int(self._cluster.network_address)
        first = max(0, (int(network.network_address) - base) // self._step)
        last = min(self._count - 1, (int(network.broadcast_address) - base) // self._step)
        return range(first, last + 1)

    def allocate(self) -> str | None:
        """None when all are taken."""
        for i in range(self._count):
            index = (self._next + i) % self._count
            if index not in self._used:
                self._used.add(index)
                self._next = (index + 1) % self._count
                address = self._cluster.network_address + index * self._step
                return f"{address}/{self._mask}"
        return None


class NodeIpamController:
    def __init__(self, context: Context) -> None:
        self._context = context
        self._client = context.client
        self._queue = context.queue()
        self._recorder = context.recorders("cidrAllocator")
        options = context.options
        self._sets: list[CidrSet] = []
        if options.allocate_node_cidrs:
            for cidr in options.cluster_cidr:
                v4 = ipaddress.ip_network(cidr).version == 4
                mask = options.node_cidr_mask_size if v4 else options.node_cidr_mask_size_ipv6
                self._sets.append(CidrSet(cidr, mask))
            for pool in self._sets:
                for cidr in filter(None, options.service_cluster_ip_range.split(",")):
                    pool.occupy(cidr)
        self._nodes = context.informer("nodes")
        self._nodes.add_handler(self._seen, lambda old, new: self._seen(new), self._deleted)

    def _seen(self, node: Obj) -> None:
        cidrs = _cidrs(node)
        for pool in self._sets:
            for cidr in cidrs:
                pool.occupy(cidr)
        if not cidrs and self._sets:
            self._queue.add(key_of(node))

    def _deleted(self, node: Obj) -> None:
        for pool in self._sets:
            for cidr in _cidrs(node):
                pool.release(cidr)

    async def run(self) -> None:
        # All nodes that already have a range must be known before the first one is given.
        await self._nodes.synced.wait()
        await self._context.controller(self._queue, self.sync, workers=1).run()

    async def sync(self, key: Key) -> None:
        node = self._nodes.store.get(key)
        if node is None or _cidrs(node):
            return
        given: list[str] = []
        for pool in self._sets:
            cidr = pool.allocate()
            if cidr is None:
                self._undo(given)
                about = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": key.name, "uid": meta.uid(node)}}
                text = f"Node {key.name} status is now: CIDRNotAvailable"
                self._recorder.event(about, "Normal", "CIDRNotAvailable", text)
                raise OSError("CIDR allocation failed; there are no remaining CIDRs left to allocate")
            given.append(cidr)
        try:
            # With the version that we looked at: a node that got a range meanwhile must not get a second one.
            metadata = {"resourceVersion": meta.resource_version(node)}
            body = {"metadata": metadata, "spec": {"podCIDR": given[0], "podCIDRs": given}}
            await self._client.patch(NODES, key.name, body, type="application/merge-patch+json")
        except (ApiError, OSError) as error:
            self._undo(given)
            if not (isinstance(error, ApiError) and error.code == 404):
                raise

    def _undo(self, given: list[str]) -> None:
        for pool, cidr in zip(self._sets, given, strict=False):
            pool.release(cidr)


def _cidrs(node: Obj) -> list[str]:
    spec = node["spec"]
    return list(spec.get("podCIDRs") or ([spec["podCIDR"]] if spec.get("podCIDR") else []))
